"""The Newton system of tied members, solved one member at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from scipy.linalg import get_lapack_funcs

from sktie._typing import Array, FloatArray, IntArray

EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)
#: A symmetric positive definite map: a Hessian, or a model of the inverse.
Rule: TypeAlias = Callable[[FloatArray], FloatArray]
#: Takes a residual, its squared norm in the model, and the decrease so far.
Enough: TypeAlias = Callable[[FloatArray, float, float], bool]
OVERFLOW = (
    "The features are so large that their squares overflow; expected values whose "
    "squares sum to a finite number. Scale the features (StandardScaler)."
)


@cache
def lapack(name: str, dtype: Any) -> Any:
    """Return a function of LAPACK; to look for it takes as long as a small system."""
    return get_lapack_funcs((name,), dtype=dtype)[0]


def cholesky(matrix: FloatArray) -> FloatArray:
    """Return the lower Cholesky factor; semidefinite input gets a tiny ridge first."""
    if not np.isfinite(matrix).all():
        raise ValueError(OVERFLOW)
    potrf = lapack("potrf", matrix.dtype)
    factor, info = potrf(matrix, lower=True, clean=True)
    if info == 0:
        return np.asarray(factor)
    ridge = 4 * EPS
    diagonal = np.diag(matrix)
    floor = ridge * (float(diagonal.max(initial=0.0)) or 1.0)
    while info != 0:
        # Rows that leave a direction open (collinear features, C=inf): the system
        # is consistent, and any solution of it is a descent direction.
        lifted = matrix + np.diag(ridge * np.maximum(diagonal, floor))
        factor, info = potrf(lifted, lower=True, clean=True)
        ridge *= 16
    return np.asarray(factor)


def lower_inverse(factor: FloatArray) -> FloatArray:
    """Return the inverse of a lower triangular matrix."""
    if factor.size == 0:
        return factor
    inverse, _ = lapack("trtri", factor.dtype)(factor, lower=True)
    return np.asarray(inverse)


#: Matrices of up to this size, and at least so many of them as that, are factored
#: together: calls of LAPACK would take longer than they do.
SMALL = 16
#: Numbers of the matrices that go together otherwise: a thread's piece of work.
PART_NUMBERS = 1 << 15


def in_parts(matrices: FloatArray) -> list[FloatArray]:
    """Return a stack (n_matrices, n, n) in parts to be factored one by one."""
    step = max(1, PART_NUMBERS // max(1, matrices[0].size))
    return [matrices[t : t + step] for t in range(0, len(matrices), step)]


def inverse_factors(matrices: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return inverse Cholesky factors of a stack, and the factors' diagonals.

    Semidefinite matrices get a tiny ridge first, as in `cholesky`.
    """
    n_matrices, n = matrices.shape[:2]
    factors = None
    if 0 < n <= min(SMALL, n_matrices):
        if not np.isfinite(matrices).all():
            raise ValueError(OVERFLOW)
        with suppress(np.linalg.LinAlgError):
            factors = np.linalg.cholesky(matrices)
    if factors is None:
        inverses = np.empty(matrices.shape, matrices.dtype)
        diagonals = np.empty((n_matrices, n), matrices.dtype)
        for t, matrix in enumerate(matrices):
            factor = cholesky(matrix)
            inverses[t], diagonals[t] = lower_inverse(factor), factor.diagonal()
        return inverses, diagonals
    # Forward substitution, row by row of all of them.
    inverses, diagonals = np.zeros_like(factors), np.einsum("tii->ti", factors)
    for i in range(n):
        done = factors[:, i : i + 1, :i] @ inverses[:, :i]
        inverses[:, i] = -done[:, 0]
        inverses[:, i, i] += 1.0
        inverses[:, i] /= diagonals[:, i, np.newaxis]
    return inverses, diagonals


def loose_and_firm(
    hessians: FloatArray, scale: FloatArray, weight: FloatArray, share: FloatArray
) -> tuple[IntArray, IntArray]:
    """Return the coefficients whose tie is below the curvature, and the others.

    Parameters
    ----------
    hessians : array of shape (n_members, n, n)
        Curvature of each member.
    scale, weight : array of shape (n,)
        The coordinates of the tie: its strength is ``weight / scale^2``.
    share : array of shape (n,)
        Curvature to add to that of every member.
    """
    with np.errstate(divide="ignore"):
        strength = weight / np.square(scale)
    curvature = np.einsum("tjj->j", hessians) / len(hessians) + share
    return np.flatnonzero(strength <= curvature), np.flatnonzero(strength > curvature)


class BlockArrow:
    r"""Newton system of members that meet only in their mean.

    The Hessian, in scaled coordinates ``w_t = mean + scale * u_t`` with
    ``sum_t u_t = 0``, of a function of the members with Hessians ``H_t``, their tie
    and a decay ``d`` of their mean::

        sum_t f_t(w_t) + 1/2 sum_t |u_t|_weight^2 + 1/2 |mean|_d^2

    Parameters
    ----------
    hessians : array of shape (n_members, n, n)
        ``H_t``, everything that acts on one member alone included.
    scale, weight : array of shape (n,)
        The coordinates of the tie, both in [0, 2]: its strength is
        ``D = weight / scale^2``.
    free_hub : bool
        Whether the members are tied to their mean; otherwise to a fixed point, and
        they do not meet at all.
    mean_decay : array of shape (n,)
        ``d``.
    apply : callable
        ``apply(function, items)``, a map; members are factored side by side.

    Notes
    -----
    Each member is eliminated by a Cholesky factorisation of
    ``A_t = scale H_t scale + weight``, bounded for every strength. What couples them
    is chosen for each coefficient by the side on which it loses no digits:

    * loose (D below the curvature): the force y that the mean exerts. Its equation
      is ``n_members y - e sum_t x_t = ...`` with ``e -> 0`` as the tie does, so that
      separate members need no mean at all;
    * firm: the step dm of the mean. Its equation is the Schur complement, which at
      inf is the pooled Hessian.

    With ``E_t = [I_loose | -scale H_t,firm]`` both are one system for
    ``v = (y, dm)``, and ``x_t = A_t^-1 (rho_t + E_t v)`` are the steps. An arrow
    on the mean alone has condition 1e15 at a tie of 1e-12 (it must resolve a
    direction that shifts the mean and all deviations against each other).
    """

    def __init__(
        self,
        hessians: FloatArray,
        scale: FloatArray,
        weight: FloatArray,
        free_hub: bool,
        mean_decay: FloatArray,
        apply: Callable[..., Any],
    ) -> None:
        n_members = len(hessians)
        self._scale, self._weight = scale, weight
        self._moving = np.flatnonzero(scale)
        # The decay of the mean counts as curvature, shared out among the members.
        share = mean_decay / n_members
        self._pull = weight - np.square(scale) * share
        self._shift = share * scale
        self._loose: IntArray = np.empty(0, np.intp)
        self._firm: IntArray = self._loose
        if free_hub:
            self._loose, self._firm = loose_and_firm(hessians, scale, weight, share)
        parts = apply(self._factor, in_parts(hessians))
        self._inverses = _joined([inverses for inverses, _ in parts])
        self._edges = self._inverses
        if free_hub and len(self._loose) < len(scale):
            self._edges = _joined([edges for _, edges in parts])
        self._lu: FloatArray | None = None
        if free_hub:
            self._couple(hessians, mean_decay)

    def _factor(self, hessians: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return L^-1 and V = L^-1 E of some members, where L L' are their systems."""
        moving, loose, firm = self._moving, self._loose, self._firm
        n = hessians.shape[1]
        scale = self._scale[moving]
        systems = hessians
        if len(moving) < n:
            systems = systems[:, moving[:, np.newaxis], moving]
        systems = scale[:, np.newaxis] * systems * scale
        np.einsum("tii->ti", systems)[:] += self._weight[moving]
        inverses, _ = inverse_factors(systems)
        if len(loose) == n or not (len(loose) or len(firm)):
            return inverses, inverses  # all loose, or nothing couples the members
        # Row of each coefficient among the moving ones; loose ones always move.
        shape = len(hessians), len(moving), len(loose) + len(firm)
        edges = np.empty(shape, dtype=hessians.dtype)
        edges[:, :, : len(loose)] = inverses[:, :, np.searchsorted(moving, loose)]
        pull = scale[:, np.newaxis] * hessians[:, moving[:, np.newaxis], firm]
        own = np.flatnonzero(self._scale[firm])
        pull[:, np.searchsorted(moving, firm[own]), own] += self._shift[firm[own]]
        edges[:, :, len(loose) :] = -(inverses @ pull)
        return inverses, edges

    def _couple(self, hessians: FloatArray, mean_decay: FloatArray) -> None:
        """Factor the system of what couples the members."""
        loose, firm = self._loose, self._firm
        n_loose = len(loose)
        # The sum of V'V over all members is one product.
        edges = self._edges.reshape(-1, n_loose + len(firm))
        system = -(edges.T @ edges)
        system[:n_loose] *= self._pull[loose][:, np.newaxis]
        if len(firm):
            system[n_loose:, n_loose:] += hessians.sum(axis=0)[np.ix_(firm, firm)]
        diagonal = np.einsum("ii->i", system)
        diagonal[:n_loose] += len(hessians)
        diagonal[n_loose:] += mean_decay[firm]
        # Rows and columns of firm coefficients carry the units of the Hessian:
        # equilibrate, then LU, since the loose rows are scaled by `e`, which may be 0.
        largest = np.abs(system).max(axis=1, initial=0.0)
        self._row_scale = 1.0 / np.maximum(largest, TINY)
        even = system * self._row_scale[:, np.newaxis]
        largest = np.abs(even).max(axis=0, initial=0.0)
        self._column_scale = 1.0 / np.where(largest > 0, largest, 1.0)
        getrf = lapack("getrf", system.dtype)
        self._lu, self._pivots, _ = getrf(even * self._column_scale)
        _lift_zero_pivots(self._lu)

    def solve(
        self, mean_part: FloatArray, member_parts: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return the inverse Hessian times a vector in the shape of a gradient.

        Parameters
        ----------
        mean_part : array of shape (n,)
            The part for the mean (zeros where the hub is fixed).
        member_parts : array of shape (n_members, n)
            The parts for the scaled deviations; where they deviate from a mean,
            these sum to zero over the members.
        """
        moving, loose, firm = self._moving, self._loose, self._firm
        force = member_parts + self._scale * (mean_part / len(member_parts))
        half = np.matmul(self._inverses, force[:, moving, np.newaxis])[:, :, 0]
        mean_step = np.zeros_like(mean_part)
        if self._lu is not None:
            edges = self._edges.reshape(half.size, len(loose) + len(firm))
            right = half.ravel() @ edges
            right[: len(loose)] *= self._pull[loose]
            right[len(loose) :] += mean_part[firm]
            getrs = lapack("getrs", np.result_type(self._lu, right))
            coupling, _ = getrs(self._lu, self._pivots, right * self._row_scale)
            coupling *= self._column_scale
            half += (edges @ coupling).reshape(half.shape)
            mean_step[firm] = coupling[len(loose) :]
        steps = np.zeros_like(member_parts)
        steps[:, moving] = np.matmul(half[:, np.newaxis], self._inverses)[:, 0]
        if self._lu is not None:
            mean = steps.mean(axis=0)
            mean_step[loose] = (self._scale * mean)[loose]
            steps -= mean
        return mean_step, steps


def _joined(stacks: list[FloatArray]) -> FloatArray:
    """Return one stack in the order of rows, so that it is one tall matrix as well.

    LAPACK's matrices are in the order of columns, and a stack of them would be copied
    whenever it is reshaped.
    """
    shape = sum(map(len, stacks)), *stacks[0].shape[1:]
    return np.concatenate(stacks, out=np.empty(shape, stacks[0].dtype))


def _lift_zero_pivots(lu: Array) -> None:
    """Replace pivots that rounding left at zero: the system is consistent."""
    diagonal = np.einsum("ii->i", lu)
    largest = np.abs(diagonal).max(initial=0.0)
    floor = EPS * max(float(largest), TINY)
    small = np.abs(diagonal) < floor
    diagonal[small] = np.where(diagonal[small] < 0, -floor, floor)


MAX_CONJUGATE_STEPS = 500


def conjugate_step(
    product: Rule, gradient: FloatArray, model: Rule, enough: Enough
) -> FloatArray:
    """Return the Newton step by preconditioned conjugate gradients.

    They stop when ``enough`` says so of the residual, its squared norm in the model,
    and the decrease of the quadratic function so far.
    """
    step = np.zeros_like(gradient)
    residual, decrease = -gradient, 0.0
    scaled = model(residual)
    search, energy = scaled, float(residual @ scaled)
    first = energy
    for _ in range(MAX_CONJUGATE_STEPS):
        image = product(search)
        curvature = float(search @ image)
        if curvature <= EPS * float(search @ search):
            break
        length = energy / curvature
        step += length * search
        decrease += 0.5 * length * energy
        residual = residual - length * image
        scaled = model(residual)
        previous, energy = energy, float(residual @ scaled)
        # With nothing left, nor was there anything before.
        if (
            energy <= EPS**2 * first
            or previous == 0
            or enough(residual, energy, decrease)
        ):
            break
        search = scaled + (energy / previous) * search
    return step if step.any() else scaled


def rough_step(
    product: Rule, gradient: FloatArray, model: Rule, accuracy: float
) -> FloatArray:
    """Return a Newton step by conjugate gradients, to a relative residual.

    The residual is measured in the metric of the model.
    """
    first: list[float] = []

    def enough(residual: FloatArray, energy: float, decrease: float) -> bool:
        return energy <= accuracy**2 * first[0]

    def remember(residual: FloatArray) -> FloatArray:
        step = model(residual)
        if not first:
            first.append(float(residual @ step))
        return step

    return conjugate_step(product, gradient, remember, enough)
