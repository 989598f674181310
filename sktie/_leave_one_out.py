"""Predictions for each training row by the model that would not have seen it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sktie._design import Block
from sktie._linalg import TINY
from sktie._problem import TiedProblem
from sktie._typing import Array, FloatArray, IntArray

#: Leverage above which no steps are trusted to take a row out.
MAX_LEVERAGE = 0.4
#: Change of a raw prediction in the last step that leaves it trusted.
SETTLED = 5e-3
#: Steps after the first one, each with the curvature that the first had.
MORE_STEPS = 6
#: They are for rows whose prediction the first step moves by more than FAR; where there
#: are no more than so many pairs of rows, for all rows.
FAR, MOST_PAIRS = 0.5, 1 << 18
#: Pairs of rows at a time.
PAIRS = 1 << 16


def leave_one_out(
    problem: TiedProblem, members: FloatArray, covariances: FloatArray
) -> tuple[FloatArray, Array]:
    r"""Return approximate leave-one-out predictions, and how far to trust them.

    Without row i the minimum moves, to first order, by one Newton step::

        w_(-i) - w = (K - x L x')^-1 x g

    with K the Hessian at the minimum, g and L the gradient and Hessian of the row's
    loss in its raw prediction r, and x the row, once for each output. By the formula of
    Sherman, Morrison and Woodbury all that is left of K is ``M = x' K^-1 x``::

        r_(-i) = r + (I - M L)^-1 M g

    and of K^-1 only the block of the row's own member counts, in which all that other
    members say about this one is contained. That far Rad and Maleki. Where rows are
    few, or the row weighs much, more steps follow, with the same inverse: each takes
    back what the step before leaves of the gradient, namely what the curvature of the
    other rows of the domain had not foreseen. Other domains count as quadratic there.

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
    trusted : ndarray of bool of shape (n_rows,)
        Whether the steps have settled. Not where the leverage is large, the largest
        eigenvalue of ``M L`` (the weight of a row in its own prediction), or where a
        row moves its member far, as outliers of the wrong class do.

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
    trusted = rows.leverage <= MAX_LEVERAGE
    moved = np.abs(raw - rows.raw).max(axis=1)
    parts = _parts(np.where(trusted, moved, 0), problem.design.bounds)
    found = problem.workers.map(
        lambda chosen: _refine(problem, rows, chosen, inverse[chosen], covariances),
        parts,
    )
    for chosen, (refined, change) in zip(parts, found, strict=True):
        raw[chosen], trusted[chosen] = refined, change <= SETTLED
    return raw, trusted


def _parts(moved: FloatArray, bounds: IntArray) -> list[IntArray]:
    """Return the rows that need more steps, in parts of one domain each."""
    sizes = np.diff(bounds)
    few = int(np.square(sizes.astype(np.int64)).sum()) <= MOST_PAIRS
    far = np.flatnonzero(moved > (0 if few else FAR))
    domain = np.searchsorted(bounds, far, side="right") - 1
    parts: list[IntArray] = []
    for t in np.unique(domain):
        own = far[domain == t]
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
        spread = np.empty_like(bend)
        for k in range(n_outputs):
            for j in range(k + 1):
                bend[:, k, j] = bend[:, j, k] = loss.hessian_block(curvature, k, j)
                taken = rows @ covariance[k, :, j]
                spread[:, k, j] = spread[:, j, k] = np.einsum("ij,ij->i", taken, rows)
        return raw, gradient, bend, spread

    pieces = [b for _, blocks in design.domain_blocks(n_outputs) for b in blocks]
    parts = problem.workers.map(measure, pieces)
    return _Measured(
        *(np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True))
    )


def _refine(
    problem: TiedProblem,
    rows: _Measured,
    chosen: IntArray,
    inverse: FloatArray,
    covariances: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return what rows i of one domain are predicted without themselves.

    The second array says by how much the last step has changed that.

    The member moves by ``C (x g - e)``, with C the inverse Hessian without the row and
    e the part of the gradient that this Hessian does not foresee: 0 at first.
    """
    design, loss = problem.design, problem.loss
    n_outputs, n_chosen = loss.n_outputs, len(chosen)
    domain = int(np.searchsorted(design.bounds, chosen[0], side="right")) - 1
    own = np.stack([design.row(int(row)) for row in chosen]).astype(np.float64)
    covariance = covariances[domain].reshape(n_outputs, design.n_coefs, n_outputs, -1)
    # K^-1 x of each row, and L (I - M L)^-1.
    taken = np.einsum("kplq,iq->ikpl", covariance, own, optimize=True)
    stiff = rows.bend[chosen] @ inverse
    push = np.einsum("ijk,ij->ik", inverse, rows.gradient[chosen])
    first = np.einsum("ikpl,il->ikp", taken, push)
    step = first
    blocks = design.blocks_of(domain, n_chosen * n_outputs)
    moved = np.einsum("ikp,ip->ik", first, own)
    change: FloatArray = np.full(n_chosen, np.inf)
    for _ in range(MORE_STEPS):
        left = np.zeros_like(step)
        for block in blocks:
            left += _unforeseen(problem, rows, chosen, step, block)
        back = np.einsum("kplq,ilq->ikp", covariance, left, optimize=True)
        shared = np.einsum("ikp,ip->ik", back, own)
        shared = np.einsum("ikl,il->ik", stiff, shared)
        step = first - back - np.einsum("ikpl,il->ikp", taken, shared)
        before, moved = moved, np.einsum("ikp,ip->ik", step, own)
        change = np.abs(moved - before).max(axis=1)
    return rows.raw[chosen] + moved, change


def _unforeseen(
    problem: TiedProblem,
    rows: _Measured,
    chosen: IntArray,
    step: FloatArray,
    block: Block,
) -> FloatArray:
    """Return a block's part of e, after steps of (n_chosen, n_outputs, n_coefs)."""
    place, n_chosen = slice(block.start, block.stop), len(chosen)
    others = problem.design.dense_rows(block).astype(np.float64)
    moved = step @ others.T
    y, weight = problem.y[place], problem._weight(block)
    found = np.empty_like(moved)
    for i in range(n_chosen):
        raw = rows.raw[place] + moved[i].T
        found[i] = problem.loss.value_gradient(y, raw, weight)[1].T
    found -= rows.gradient[place].T
    found -= np.einsum("jkl,ilj->ikj", rows.bend[place], moved)
    inside = np.flatnonzero((chosen >= block.start) & (chosen < block.stop))
    found[inside, :, chosen[inside] - block.start] = 0
    return found @ others


def without_row(problem: TiedProblem, row: int) -> TiedProblem:
    """Return the problem without one row, by its place in the design."""
    weight = np.ones(problem.design.n_rows, problem.design.dtype)
    if problem.weight is not None:
        weight = problem.weight.copy()
    weight[row] = 0
    return replace(problem, weight=weight)
