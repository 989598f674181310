"""One model from separate to shared: fits that begin where the one before ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sktie._leave_one_out import leave_one_out, survey, without_row
from sktie._parallel import Workers
from sktie._posterior import Posterior
from sktie._problem import TiedCurvature, TiedProblem
from sktie._quadratic import Quadratic, QuadraticSum
from sktie._typing import Array, FloatArray, IntArray
from sktie.solvers import SOLVERS, SolverResult, newton_from


@dataclass(frozen=True)
class Stop:
    """One setting of a path and the minimum there.

    Attributes
    ----------
    tie, C : float
        The setting.
    problem : TiedProblem
        The objective.
    result : SolverResult
        The minimum.
    members : ndarray of shape (n_members, n_outputs, n_coefs)
        The parameters.
    """

    tie: float
    C: float
    problem: TiedProblem
    result: SolverResult
    members: FloatArray

    def omega(self, chosen: Array) -> float:
        """Return Omega of some of the coefficients."""
        coordinates = self.problem.coordinates
        return coordinates.omega(coordinates.split(self.result.theta)[1], chosen)

    @property
    def progress(self) -> tuple[int, float, float]:
        """Iterations, objective and relative gap, as callbacks are told."""
        return self.result.n_iter, self.result.value, self.result.gap


class NoMinimum(ValueError):
    """A setting at which there is nothing to find; says why."""


class Path:
    """Fits of one model to the same rows, for any strengths of tie and decay.

    Parameters
    ----------
    model : TiedLogisticRegression
        Has read the rows; ``tie`` and ``C`` of its own do not count.
    rows : object
        The rows it has read.
    crew : Workers
        Threads.
    tol : float or None, default=None
        Relative gap at which a fit ends; None is the model's own.
    """

    def __init__(
        self, model: Any, rows: Any, crew: Workers, tol: float | None = None
    ) -> None:
        self.model = model
        self.rows = rows
        self.tol = float(model.tol if tol is None else tol)
        problem = model._problem(rows, crew)
        self._base: TiedProblem = replace(problem, sums=problem.sums.remembering())
        self._solver = model._solver(self._base)
        self._last: FloatArray | None = None
        self._hessians: FloatArray | None = None

    @property
    def n_numbers(self) -> int:
        """Numbers that the Hessians of all members hold."""
        n_members, n_outputs, n_coefs = self._base.coordinates.shape
        return n_members * (n_outputs * n_coefs) ** 2

    @property
    def is_tied(self) -> bool:
        """Whether there is anything to be tied to, so that the tie matters."""
        domains = getattr(self.model, "domains_", None)
        return self.model.pair is not None if domains is None else len(domains) > 1

    def problem(self, tie: float, C: float, extra: float = 0.0) -> TiedProblem:
        """Return the objective at a setting; see `fit`."""
        n_features = self.rows.design.n_features  # of the coefficients that are stored
        strengths = self.model._strengths(n_features, tie)
        strengths[n_features:] += extra
        decays, metric = self.model._decays(n_features, C), self.rows.metric
        if metric is None or tie in (0.0, np.inf):
            return self._base.retied(strengths, decays)
        free = self._base.retied(np.zeros_like(strengths), decays)
        centre = free.coordinates.split(np.zeros(free.size))[0]
        own = Quadratic(tie * metric.matrix, centre.shape, centre)
        both = own if free.quadratic is None else QuadraticSum(own, free.quadratic)
        return replace(free, quadratic=both)

    def fit(self, tie: float, C: float, extra: float = 0.0) -> Stop:
        """Return the fit at a setting, from where the last one ended.

        Parameters
        ----------
        tie, C : float
            The setting.
        extra : float, default=0.0
            More strength for the tie of the intercept.

        Raises
        ------
        NoMinimum
            Where domains cannot be fitted alone, or the solver finds no minimum.
        """
        model = self.model
        try:
            model._check_classes(self.rows, tie)
        except ValueError as error:
            raise NoMinimum(str(error)) from None
        problem = self.problem(tie, C, extra)
        options: dict[str, Any] = {"tol": self.tol, "max_iter": model.max_iter}
        result = None
        if self._last is not None:
            theta = problem.coordinates.locate(self._last)
            if self._hessians is None:
                result = SOLVERS[self._solver](problem, theta, **options)
            else:
                near = TiedCurvature(problem, self._hessians)
                result = newton_from(problem, theta, near, **options)
        if result is None or not self._found(result):
            result = model._solve(problem, None, None, self.tol)
        if not self._found(result):
            raise NoMinimum(f"{result.status.value} (relative gap {result.gap:.1e})")
        members = problem.members(result.theta)
        self._last = members
        return Stop(tie, C, problem, result, members)

    def store(self, stop: Stop) -> None:
        """Set the fitted attributes of the model."""
        self.model._store(stop.problem, stop.result)

    def keep(self, stop: Stop) -> None:
        """Keep the curvature there, where the model asks for it."""
        factors = self.rows.everything.factors
        self.model._keep(stop.problem, stop.result, factors)

    @staticmethod
    def public(stop: Stop, raw: FloatArray) -> FloatArray:
        """Return raw predictions in the columns that users know."""
        return np.asarray(stop.problem.loss.expand(raw.T).T)

    def _found(self, result: SolverResult) -> bool:
        return result.status.success or result.gap <= self.tol

    def posterior(self, stop: Stop) -> Posterior:
        """Return the Laplace approximation there; its Hessians serve the next fit."""
        self._hessians = stop.problem.hessians(stop.members)
        return stop.problem.posterior(self._hessians)

    def without_each_row(self, stop: Stop) -> tuple[FloatArray, IntArray]:
        """Return leave-one-out predictions, in the design's order.

        Rows that Newton steps cannot take out are left out by fits of their own; these
        are returned too.

        Raises
        ------
        NoMinimum
            Where a domain that is fitted alone would lose a class with a row, and
            where rows and decay leave coefficients open.
        """
        self.model._check_lone_rows(self.rows, stop.tie)
        rows = survey(stop.problem, stop.members)
        self._hessians = hessians = rows.hessians
        posterior = stop.problem.posterior(hessians)
        self._check_open(posterior)
        raw, trusted = leave_one_out(stop.problem, rows, posterior)
        domain = self.rows.domain
        left = np.flatnonzero(np.logical_not(trusted))
        for row in left:
            problem = without_row(stop.problem, int(row))
            near = TiedCurvature(problem, hessians)
            result = newton_from(
                problem,
                problem.coordinates.locate(stop.members),
                near,
                tol=self.tol,
                max_iter=self.model.max_iter,
            )
            if not self._found(result):
                raise NoMinimum(
                    "without one of the rows there is no minimum: the classes are then "
                    f"separable, or {self.model.max_iter} steps do not reach it"
                )
            own = problem.members(result.theta)[domain[row]]
            raw[row] = problem.design.row(int(row)) @ own.T
        return raw, left

    def without_each_row_at(self, Cs: FloatArray) -> None:
        """Return nothing: every fit begins where another ended; see `RidgePath`."""

    @staticmethod
    def _check_open(posterior: Posterior) -> None:
        """Check that rows and decay determine all coefficients."""
        if not posterior.is_sound:
            raise NoMinimum(
                "the rows leave some coefficients open, and nothing decays them: "
                "features are collinear or constant; use a finite C, or drop features"
            )
