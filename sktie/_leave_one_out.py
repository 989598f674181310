"""Predictions for each training row by the model that would not have seen it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sktie._design import Block
from sktie._linalg import TINY
from sktie._posterior import Posterior, spread
from sktie._problem import TiedProblem
from sktie._typing import Array, FloatArray, IntArray

#: Leverage above which no steps are trusted to take a row out.
MAX_LEVERAGE = 0.4
#: Change of a raw prediction in a step after which there need be no other one, and
#: after the last step of all: beyond it the prediction is not trusted.
NEAR, SETTLED = 1e-3, 5e-3
#: Steps after the first one, each with the curvature that the first had.
MORE_STEPS = 6
#: They are for rows whose prediction the first step moves by more than FAR. Where there
#: are no more than so many pairs of rows, by more than FEW_FAR, and all rows are heard.
FAR, FEW_FAR, MOST_PAIRS = 0.5, 0.02, 1 << 18
#: Pairs of rows at a time.
PAIRS = 1 << 16


@dataclass(frozen=True)
class Survey:
    """What is known of all rows at some parameters, in the order of the design.

    Attributes
    ----------
    raw, gradient : ndarrays of shape (n_rows, n_outputs)
        Raw predictions, and the gradients of the weighted losses in them.
    bend : ndarray of shape (n_rows, n_outputs, n_outputs)
        Hessians of the weighted losses in them.
    hessians : ndarray of shape (n_members, n, n)
        Hessians of the losses in the members.
    """

    raw: FloatArray
    gradient: FloatArray
    bend: FloatArray
    hessians: FloatArray


def survey(problem: TiedProblem, members: FloatArray) -> Survey:
    """Look at all rows once."""
    loss, n_rows = problem.loss, problem.design.n_rows
    n_outputs = loss.n_outputs
    raws: FloatArray = np.empty((n_rows, n_outputs))
    gradients: FloatArray = np.empty((n_rows, n_outputs))
    bend: FloatArray = np.empty((n_rows, n_outputs, n_outputs))

    def visit(block: Block, raw: FloatArray, curvature: FloatArray) -> None:
        place = slice(block.start, block.stop)
        weight = problem.rows.weight_of(block)
        raws[place] = raw
        gradients[place] = loss.value_gradient(problem.rows.y[place], raw, weight)[1]
        for k in range(n_outputs):
            for j in range(k + 1):
                own = loss.hessian_block(curvature, k, j)
                bend[place, k, j] = bend[place, j, k] = own

    return Survey(raws, gradients, bend, problem.rows.hessians(members, visit))


def leave_one_out(
    problem: TiedProblem, rows: Survey, posterior: Posterior
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
    few (512 in all), or a row moves its prediction far, more steps follow, with the
    same inverse: each takes back what the step before leaves of the gradient, namely
    what the curvature of the other rows had not foreseen. Where rows are not few, those
    of other domains count as quadratic.

    Parameters
    ----------
    problem : TiedProblem
        The problem.
    rows : Survey
        Its rows at its minimum.
    posterior : Posterior
        The inverse Hessian there.

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
    spreads = row_spreads(problem, posterior.covariances)
    # Of matrices of one number, NumPy's matmul is slow.
    times = np.multiply if problem.loss.n_outputs == 1 else np.matmul
    weights = times(spreads, rows.bend)
    trusted = _leverage(weights) <= MAX_LEVERAGE
    inverse = _inverses(np.eye(problem.loss.n_outputs) - weights)
    step = times(spreads, rows.gradient[:, :, np.newaxis])
    raw = rows.raw + times(inverse, step)[:, :, 0]
    moved = np.abs(raw - rows.raw).max(axis=1)
    all_heard = problem.design.n_rows**2 <= MOST_PAIRS
    least = FEW_FAR if all_heard else FAR
    parts = _parts(problem, np.flatnonzero(trusted & (moved > least)), all_heard)
    found = problem.workers.map(
        lambda chosen: _refine(
            problem, rows, chosen, inverse[chosen], posterior, all_heard
        ),
        parts,
    )
    for chosen, (refined, change) in zip(parts, found, strict=True):
        raw[chosen], trusted[chosen] = refined, change <= SETTLED
    return raw, trusted


def _leverage(weights: FloatArray) -> FloatArray:
    """Return the largest eigenvalue of each ``M L``, or a bound that is low enough.

    The eigenvalues are those of a symmetric matrix, real and not negative: none is
    larger than their sum, which for most rows says all that has to be known.
    """
    leverage: FloatArray = np.einsum("nii->n", weights).copy()
    high = np.flatnonzero(leverage > MAX_LEVERAGE)
    if weights.shape[1] > 1 and len(high):
        leverage[high] = np.linalg.eigvals(weights[high]).real.max(axis=1)
    return leverage


def _inverses(matrices: FloatArray) -> FloatArray:
    """Return inverses of matrices (n, k, k); of numbers, of at least some part.

    LAPACK is called once for each matrix, and takes ten times as long as the formula.
    """
    size = matrices.shape[1]
    if size == 1:
        return np.asarray(1.0 / np.maximum(matrices, TINY))
    if size > 2:
        return np.linalg.inv(matrices)
    (a, b), (c, d) = np.moveaxis(matrices, 0, -1)
    determinant = a * d - b * c
    floor = np.where(determinant == 0, TINY, determinant)
    found = np.array([[d, -b], [-c, a]]) / floor
    return np.ascontiguousarray(np.moveaxis(found, -1, 0))


def _parts(problem: TiedProblem, far: IntArray, all_heard: bool) -> list[IntArray]:
    """Return the rows that need more steps, in parts of one domain each."""
    bounds = problem.design.bounds
    domain = np.searchsorted(bounds, far, side="right") - 1
    numbers = problem.coordinates.size
    parts: list[IntArray] = []
    for t in np.unique(domain):
        own = far[domain == t]
        heard = problem.design.n_rows if all_heard else int(np.diff(bounds)[t])
        step = max(1, PAIRS // max(heard, numbers if all_heard else 1))
        parts += [own[start : start + step] for start in range(0, len(own), step)]
    return parts


def row_spreads(problem: TiedProblem, covariances: FloatArray) -> FloatArray:
    """Return ``M = x' K^-1 x`` of every row, (n_rows, n_outputs, n_outputs)."""
    design, n_outputs = problem.design, problem.loss.n_outputs
    blocks = covariances.reshape(
        -1, n_outputs, design.n_coefs, n_outputs, design.n_coefs
    )
    found: FloatArray = np.empty((design.n_rows, n_outputs, n_outputs))

    def measure(block: Block) -> None:
        rows, place = design.dense_rows(block), slice(block.start, block.stop)
        covariance = blocks[block.segments[0].domain].astype(design.dtype)
        found[place] = spread(rows, covariance)

    pieces = [b for _, blocks in design.domain_blocks(n_outputs) for b in blocks]
    problem.workers.map(measure, pieces)
    return found


def _refine(
    problem: TiedProblem,
    rows: Survey,
    chosen: IntArray,
    inverse: FloatArray,
    posterior: Posterior,
    all_heard: bool,
) -> tuple[FloatArray, FloatArray]:
    """Return what rows i of one domain are predicted without themselves.

    The second array says by how much the last step has changed that.

    The members move by ``C (x g - e)``, with C the inverse Hessian without the row and
    e the part of the gradient that this Hessian does not foresee: 0 at first. Heard
    are the rows of all domains, or those of the own one.
    """
    design, n_outputs = problem.design, problem.loss.n_outputs
    domain = int(np.searchsorted(design.bounds, chosen[0], side="right")) - 1
    heard = list(range(design.n_domains)) if all_heard else [domain]
    place = heard.index(domain)
    own = np.stack([design.row(int(row)) for row in chosen]).astype(np.float64)

    def invert(vectors: FloatArray) -> FloatArray:
        """Return K^-1 times vectors of the members heard."""
        if all_heard:
            return posterior.apply(vectors)
        return np.asarray(vectors @ posterior.covariances[domain])

    def predicted(steps: FloatArray, of: FloatArray) -> FloatArray:
        """Return by how much steps change the predictions of rows."""
        parts = steps[:, place].reshape(len(of), n_outputs, -1)
        return np.asarray(np.einsum("ikp,ip->ik", parts, of))

    # x of each row and output, as a vector of all members heard.
    shape = len(chosen), n_outputs, len(heard), n_outputs, design.n_coefs
    placed = np.zeros(shape)
    for k in range(n_outputs):
        placed[:, k, place, k] = own
    taken = invert(placed.reshape(*shape[:3], -1))
    # L (I - M L)^-1, and the first step.
    stiff = rows.bend[chosen] @ inverse
    push = np.einsum("ijk,ij->ik", inverse, rows.gradient[chosen])
    first = np.einsum("ilhn,il->ihn", taken, push)
    step, moved = first.copy(), predicted(first, own)
    change: FloatArray = np.full(len(chosen), np.inf)
    far = np.arange(len(chosen))
    for _ in range(MORE_STEPS):
        left = np.zeros((len(far), *step.shape[1:]))
        for k, member in enumerate(heard):
            parts = step[far, k].reshape(len(far), n_outputs, -1)
            for block in design.blocks_of(member, len(chosen) * n_outputs):
                found = _unforeseen(problem, rows, chosen[far], parts, block)
                left[:, k] += found.reshape(len(far), -1)
        back = invert(left)
        shared = np.einsum("ikl,il->ik", stiff[far], predicted(back, own[far]))
        step[far] = first[far] - back - np.einsum("ilhn,il->ihn", taken[far], shared)
        now = predicted(step[far], own[far])
        change[far] = np.abs(now - moved[far]).max(axis=1)
        moved[far] = now
        far = far[change[far] > NEAR]
        if not len(far):
            break
    return rows.raw[chosen] + moved, change


def _unforeseen(
    problem: TiedProblem,
    rows: Survey,
    chosen: IntArray,
    step: FloatArray,
    block: Block,
) -> FloatArray:
    """Return a block's part of e, after steps of (n_chosen, n_outputs, n_coefs)."""
    place, n_chosen = slice(block.start, block.stop), len(chosen)
    others = problem.design.dense_rows(block).astype(np.float64)
    moved = step @ others.T
    raw = np.swapaxes(moved + rows.raw[place].T, 1, 2).reshape(-1, moved.shape[1])
    weight = problem.rows.weight_of(block)
    _, gradient = problem.loss.value_gradient(
        np.tile(problem.rows.y[place], n_chosen),
        raw,
        None if weight is None else np.tile(weight, n_chosen),
    )
    found = gradient.reshape(n_chosen, len(others), -1)
    found = np.ascontiguousarray(np.swapaxes(found, 1, 2))
    found -= rows.gradient[place].T
    found -= np.einsum("jkl,ilj->ikj", rows.bend[place], moved)
    inside = np.flatnonzero((chosen >= block.start) & (chosen < block.stop))
    found[inside, :, chosen[inside] - block.start] = 0
    return np.asarray(found @ others)


def without_row(problem: TiedProblem, row: int) -> TiedProblem:
    """Return the problem without one row, by its place in the design."""
    weight = np.ones(problem.design.n_rows, problem.design.dtype)
    if problem.rows.weight is not None:
        weight = problem.rows.weight.copy()
    weight[row] = 0
    return problem.of_rows(weight=weight)
