"""One model that nothing ties, on few rows: the objective without what ties need."""

from __future__ import annotations

import numpy as np

from sktie._contract import Curvature, HessianProduct, Problem
from sktie._grams import add_grams
from sktie._linalg import cholesky, lower_inverse
from sktie._problem import TiedProblem
from sktie._row_sums import RowSums
from sktie._tie import TiedCoordinates
from sktie._typing import FloatArray


def simplest(problem: TiedProblem) -> TiedProblem | PlainProblem:
    """Return the `PlainProblem` that a problem is, or itself.

    Of more rows than a block blocks are faster, and single precision has sums of its
    own.
    """
    coordinates, design = problem.coordinates, problem.design
    plain = (
        isinstance(problem.sums, RowSums)
        and isinstance(coordinates, TiedCoordinates)
        and coordinates.is_plain
        and problem.quadratic is None
        and not design.is_sparse
        and design.dtype == np.float64
        and [len(lane) for lane in design.lanes] == [1]
    )
    return PlainProblem(problem) if plain else problem


class PlainProblem:
    """Loss on the rows of one model and its decay, a function of its parameters.

    Small fits take as long as their calls of NumPy. This makes the few that one model
    needs: its rows are one dense block, with a column of ones for the intercept, and
    its flat vector holds the parameters as they are. All else it leaves to the
    `TiedProblem`, whose values, gradients and Hessians these are, but for rounding.

    Parameters
    ----------
    whole : TiedProblem
        Of one member, at a fixed hub of zeros and without a tie; see `simplest`.
    """

    def __init__(self, whole: TiedProblem) -> None:
        self._whole = whole
        self._shape = whole.coordinates.shape[1:]
        self._rows = whole.design.all_rows()
        self._decay = np.tile(whole.decay, self._shape[0])
        self._last: tuple[FloatArray, FloatArray] | None = None
        self.size = whole.size
        self.eps = whole.eps
        self.curvature_work = whole.curvature_work
        self.curvature_passes = whole.curvature_passes

    def _raw(self, theta: FloatArray) -> FloatArray:
        """Return raw predictions; those of the last theta, as an object, are kept."""
        if self._last is None or self._last[0] is not theta:
            self._last = theta, self._rows @ theta.reshape(self._shape).T
        return self._last[1]

    def value_gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        rows = self._whole.rows
        value, residual = rows.loss.value_gradient(
            rows.y, self._raw(theta), rows.weight
        )
        pull = self._decay * theta
        return value + 0.5 * float(pull @ theta), pull + (
            residual.T @ self._rows
        ).ravel()

    def curvature(self, theta: FloatArray) -> Curvature:
        rows = self._whole.rows
        bend = rows.loss.curvature(rows.y, self._raw(theta), rows.weight)
        grams = np.zeros((*self._shape, *self._shape))
        with np.errstate(over="ignore", invalid="ignore"):  # is checked later
            add_grams(grams, self._rows, bend, rows.loss)
        hessian = grams.reshape(self.size, self.size)
        np.einsum("ii->i", hessian)[:] += self._decay
        return PlainCurvature(hessian)

    def hessp(self, theta: FloatArray) -> HessianProduct:
        return self._whole.hessp(theta)

    def diagonal(self, theta: FloatArray) -> FloatArray:
        return self._whole.diagonal(theta)

    @property
    def curvature_floor(self) -> FloatArray:
        return self._whole.curvature_floor

    def coarse(self) -> Problem | None:
        return self._whole.coarse()


class PlainCurvature:
    """A factored Hessian, (size, size)."""

    def __init__(self, hessian: FloatArray) -> None:
        self._inverse = lower_inverse(cholesky(hessian))

    def solve(self, gradient: FloatArray) -> FloatArray:
        return np.asarray((self._inverse @ gradient) @ self._inverse)
