"""Predictions for each training row by the model that would not have seen it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sktie._design import Block
from sktie._linalg import TINY
from sktie._posterior import spread
from sktie._problem import TiedProblem
from sktie._typing import FloatArray, IntArray

#: Leverage above which no step is trusted to take a row out. At 0.7 one step can be off
#: by a sixth of the loss of the row, at 0.4 two are by some hundredths.
MAX_LEVERAGE = 0.4
#: Leverage above which a second step corrects the first,
SECOND_STEP = 0.05
#: for so many pairs of rows at most: all where rows are few, and matter.
MOST_PAIRS = 1 << 18
#: Pairs of rows at a time.
PAIRS = 1 << 16


def leave_one_out(
    problem: TiedProblem, members: FloatArray, covariances: FloatArray
) -> tuple[FloatArray, FloatArray]:
    r"""Return approximate leave-one-out predictions, and how far to trust them.

    Without row i the minimum moves, to first order, by one Newton step::

        w_(-i) - w = (K - x L x')^-1 x g

    with K the Hessian at the minimum, g and L the gradient and Hessian of the row's
    loss in its raw prediction r, and x the row, once for each output. By the formula of
    Sherman, Morrison and Woodbury all that is left of K is ``M = x' K^-1 x``::

        r_(-i) = r + (I - M L)^-1 M g

    and of K^-1 only the block of the row's own member counts, in which all that other
    members say about this one is contained. Where the step is long, a second one
    follows: the gradients that the first leaves in the other rows j of the domain,
    ``rho_j``, are what L_j has not foreseen, and ``S_ij = x_i' K^-1 x_j``::

        r_(-i) = r + (I - M L)^-1 (M g - sum_j S_ij rho_j)

    Other domains count as quadratic there.

    Parameters
    ----------
    problem : TiedProblem
        The problem.
    members : ndarray of shape (n_members, n_outputs, n_coefs)
        Its minimum.
    covariances : ndarray of shape (n_members, n, n)
        Blocks of the inverse Hessian there, as of `Posterior`.

    Returns
    -------
    raw : ndarray of shape (n_rows, n_outputs)
        Predictions without the row itself, in the order of the design.
    leverage : ndarray of shape (n_rows,)
        Largest eigenvalue of ``M L``, in [0, 1]: the weight of the row in its own
        prediction. The approximation is good where it is well below 1.

    References
    ----------
    K. Rahnama Rad, A. Maleki (2020). A scalable estimate of the out-of-sample
    prediction error via approximate leave-one-out cross-validation. JRSS B.
    """
    rows = _measure(problem, members, covariances)
    n_outputs = members.shape[1]
    kept = np.eye(n_outputs) - rows.spread @ rows.bend
    if n_outputs == 1:
        kept = np.maximum(kept, TINY)
    inverse = np.linalg.inv(kept)
    raw = rows.raw + np.einsum("ikj,ijl,il->ik", inverse, rows.spread, rows.gradient)
    leverage = np.asarray(rows.leverage)
    parts = _second_steps(leverage, problem.design.bounds)
    found = problem.workers.map(
        lambda chosen: _left_over(problem, rows, chosen, inverse[chosen], covariances),
        parts,
    )
    for chosen, left in zip(parts, found, strict=True):
        raw[chosen] -= np.einsum("ikj,ij->ik", inverse[chosen], left)
    return raw, leverage


def _second_steps(leverage: FloatArray, bounds: IntArray) -> list[IntArray]:
    """Return the rows of largest leverage, those of one domain together, in parts."""
    far = np.flatnonzero((leverage > SECOND_STEP) & (leverage <= MAX_LEVERAGE))
    far = far[np.argsort(-leverage[far], kind="stable")]
    sizes, domain = np.diff(bounds), np.searchsorted(bounds, far, side="right") - 1
    within = np.cumsum(sizes[domain]) <= MOST_PAIRS
    parts: list[IntArray] = []
    for t in np.unique(domain[within]):
        own = np.sort(far[within & (domain == t)])
        step = max(1, PAIRS // int(sizes[t]))
        parts += [own[start : start + step] for start in range(0, len(own), step)]
    return parts


@dataclass(frozen=True)
class _Measured:
    """What is known of all rows at the minimum, in the order of the design."""

    raw: FloatArray
    gradient: FloatArray
    bend: FloatArray
    spread: FloatArray

    @property
    def leverage(self) -> FloatArray:
        """Largest eigenvalues of spread times bend, which are real."""
        product = self.spread @ self.bend
        if product.shape[1] == 1:
            return np.asarray(product[:, 0, 0])
        return np.asarray(np.linalg.eigvals(product).real.max(axis=1))


def _measure(
    problem: TiedProblem, members: FloatArray, covariances: FloatArray
) -> _Measured:
    """Return raw predictions, gradients g, Hessians L and ``M = x' K^-1 x``."""
    design, loss = problem.design, problem.loss
    n_outputs, n_coefs = members.shape[1:]
    slopes, intercepts = design.widen(members)
    blocks = covariances.reshape(-1, n_outputs, n_coefs, n_outputs, n_coefs)

    def measure(block: Block) -> tuple[FloatArray, ...]:
        raw = design.raw(block, design.rows(block), slopes, intercepts)
        y, weight = problem.y[block.start : block.stop], problem._weight(block)
        _, gradient = loss.value_gradient(y, raw, weight)
        curvature = loss.curvature(raw, weight)
        rows = design.dense_rows(block)
        covariance = blocks[block.segments[0].domain].astype(design.dtype)
        bend = np.empty((len(rows), n_outputs, n_outputs))
        for k in range(n_outputs):
            for j in range(k + 1):
                bend[:, k, j] = bend[:, j, k] = loss.hessian_block(curvature, k, j)
        return raw, gradient, bend, spread(rows, covariance)

    pieces = [b for _, blocks in design.domain_blocks(n_outputs) for b in blocks]
    parts = problem.workers.map(measure, pieces)
    return _Measured(
        *(np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True))
    )


def _left_over(
    problem: TiedProblem,
    rows: _Measured,
    chosen: IntArray,
    inverse: FloatArray,
    covariances: FloatArray,
) -> FloatArray:
    """Return ``sum_j S_ij rho_j`` for rows i of one domain, (n_chosen, n_outputs)."""
    design, loss = problem.design, problem.loss
    n_outputs = loss.n_outputs
    domain = int(np.searchsorted(design.bounds, chosen[0], side="right")) - 1
    covariance = covariances[domain].reshape(n_outputs, design.n_coefs, n_outputs, -1)
    own = np.stack([design.row(int(row)) for row in chosen])
    # The first step is K^-1 x a, with a = (I - L M)^-1 g.
    push = np.einsum("ijk,ij->ik", inverse, rows.gradient[chosen])
    taken = np.einsum("ip,kplq->iklq", own, covariance, optimize=True)
    left = np.zeros((len(chosen), n_outputs))
    for block in design.blocks_of(domain, len(chosen) * n_outputs**2):
        place = slice(block.start, block.stop)
        n = block.stop - block.start
        others = design.dense_rows(block).astype(np.float64)
        between = np.einsum("iklq,jq->ijkl", taken, others, optimize=True)
        moved = np.einsum("ijkl,ik->ijl", between, push)
        raw = (rows.raw[place] + moved).reshape(-1, n_outputs)
        weight = problem._weight(block)
        _, gradient = loss.value_gradient(
            np.tile(
                problem.y[place], (len(chosen), *[1] * (problem.y.ndim - 1))
            ).reshape(-1, *problem.y.shape[1:]),
            raw,
            None if weight is None else np.tile(weight, len(chosen)),
        )
        unforeseen = gradient.reshape(len(chosen), n, n_outputs) - rows.gradient[place]
        unforeseen -= np.einsum("jkl,ijl->ijk", rows.bend[place], moved)
        inside = np.flatnonzero((chosen >= block.start) & (chosen < block.stop))
        unforeseen[inside, chosen[inside] - block.start] = 0
        left += np.einsum("ijkl,ijl->ik", between, unforeseen)
    return left


def without_row(problem: TiedProblem, row: int) -> TiedProblem:
    """Return the problem without one row, by its place in the design."""
    weight = np.ones(problem.design.n_rows, problem.design.dtype)
    if problem.weight is not None:
        weight = problem.weight.copy()
    weight[row] = 0
    return replace(problem, weight=weight)
