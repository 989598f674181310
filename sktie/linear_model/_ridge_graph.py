"""Ridge regression of domains that a graph relates: one Newton step, or a few."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sktie._compat import WRAPPER_FRAMES
from sktie._learned import LearnedCoordinates
from sktie._parallel import Workers
from sktie._problem import TiedProblem
from sktie._related import RelatedCoordinates
from sktie._scalar_loss import Squared
from sktie._squares import SquaresMinimum, n_open
from sktie._tie import Tie, ToMean
from sktie._typing import Array, FloatArray, IntArray
from sktie.linear_model._graph import coordinates_of
from sktie.linear_model._path import NoMinimum
from sktie.linear_model._regressor import RegressionRows
from sktie.linear_model._solving import fastest, settled
from sktie.linear_model._updates import check_metric
from sktie.solvers import SOLVERS, SolverResult

#: Relative gap to the minimum at which a fit ends, and that which is told.
TOL, TOLD = 1e-13, 1e-8
MAX_ITER = 1000


@dataclass(frozen=True)
class RelatedStop:
    """One setting and the minimum there.

    Attributes
    ----------
    tie, alpha : float
        The setting.
    problems : list of TiedProblem
        Half the objective, of each target.
    results : list of SolverResult
        The minimum of each.
    n_flat : int
        Directions of the parameters of a target that no penalty holds.
    """

    tie: float
    alpha: float
    problems: list[TiedProblem]
    results: list[SolverResult]
    n_flat: int

    @property
    def _split(self) -> list[tuple[FloatArray, FloatArray]]:
        pairs = zip(self.problems, self.results, strict=True)
        return [own.coordinates.split(result.theta) for own, result in pairs]

    @property
    def strength(self) -> FloatArray:
        """Strength of the tie of each coefficient."""
        return np.asarray(self.problems[0].coordinates.tie.strength)

    @property
    def minimum(self) -> SquaresMinimum:
        """The parameters of all targets."""
        at, split = self.problems[0].coordinates, self._split
        return SquaresMinimum(
            members=np.concatenate([at.members(*parts) for parts in split], axis=1),
            hub=np.concatenate([hub for hub, _ in split]),
            deviations=np.concatenate([at.differences(u) for _, u in split], axis=1),
            values=2.0 * np.array([result.value for result in self.results]),
        )

    @property
    def everyone(self) -> FloatArray | None:
        """The parameters of all nodes of a graph, those without rows last."""
        at = self.problems[0].coordinates
        if not isinstance(at, RelatedCoordinates):
            return None
        return np.concatenate([at.structure.extend(w) for _, w in self._split], axis=1)

    @property
    def relatedness(self) -> list[Any]:
        """What was learned of the domains, for each target."""
        at = self.problems[0].coordinates
        if not isinstance(at, LearnedCoordinates):
            return [None] * len(self.problems)
        return [at.relatedness(deviations) for _, deviations in self._split]

    def omega(self, chosen: Array) -> float:
        """Return Omega of some of the coefficients."""
        at = self.problems[0].coordinates
        return sum(at.omega(deviations, chosen) for _, deviations in self._split)

    @property
    def progress(self) -> tuple[int, float, float]:
        """Iterations, objective and relative gap, as callbacks are told."""
        steps = sum(result.n_iter for result in self.results)
        gap = max(result.gap for result in self.results)
        return steps, float(self.minimum.values.sum()), gap


class RelatedRidgePath:
    """Fits of one model to the same rows, for any strengths; see `RidgePath`.

    Parameters
    ----------
    model : TiedRidge
        Has read the rows; ``tie`` and ``alpha`` of its own do not count.
    rows : RegressionRows
        The rows it has read, with what is known of domains and features.
    crew : Workers
        Threads.
    """

    is_tied = True

    def __init__(self, model: Any, rows: RegressionRows, crew: Workers) -> None:
        check_metric(model)
        self.model, self.rows, self.crew = model, rows, crew
        self._base = [self._problem(k) for k in range(rows.y.shape[1])]
        self._last: list[FloatArray] | None = None

    @property
    def n_weighed(self) -> float:
        """Sum of the weights of the rows: weights are numbers of rows."""
        weight = self.rows.weight
        return float(self.rows.design.n_rows if weight is None else weight.sum())

    def _problem(self, target: int) -> TiedProblem:
        model, rows = self.model, self.rows
        design = rows.design
        return TiedProblem(
            rows.sums(Squared(), self.crew, target),
            coordinates=coordinates_of(
                model,
                rows.graph,
                Tie(ToMean(), np.ones(design.n_coefs)),
                (design.n_domains, 1, design.n_coefs),
                design,
                rows.most_weight,
            ),
            decay=model._decays(design.n_features, 1.0),
            shared_decay=model.decay == "shared",
            quadratic=rows.dependencies.quadratic(1, design, rows.mean_weight),
        )

    def fit(self, tie: float, alpha: float, tie_intercept: Any = None) -> RelatedStop:
        """Return the fit at a setting, from where the last one ended."""
        n_features = self.rows.design.n_features
        strengths = self.model._strengths(n_features, tie, tie_intercept)
        decays = alpha * self.model._decays(n_features, 1.0)
        problems = [own.retied(strengths, decays) for own in self._base]
        results = []
        for k, problem in enumerate(problems):
            start = problem.origin()
            if self._last is not None:
                start = problem.coordinates.locate(self._last[k])
            solver = SOLVERS[fastest(problem)]
            found = solver(problem, start, tol=TOL, max_iter=MAX_ITER)
            results.append(settled(problem, found))
        self._last = [
            problem.members(result.theta)
            for problem, result in zip(problems, results, strict=True)
        ]
        flat = self._n_flat(strengths, decays)
        stop = RelatedStop(tie, alpha, problems, results, flat)
        gap = stop.progress[2]
        if gap > TOLD:
            warnings.warn(
                f"{type(self.model).__name__} stopped with a relative gap to the "
                f"minimum of about {gap:.1e}; scale the features (StandardScaler), or "
                f"use a positive alpha (now alpha={alpha:g}).",
                ConvergenceWarning,
                stacklevel=4 + WRAPPER_FRAMES,
            )
        return stop

    def _n_flat(self, strengths: FloatArray, decays: FloatArray) -> int:
        """Return the directions of a target's parameters that no penalty holds."""
        n_parts = getattr(self.model, "n_components_", 1)
        n_more = self.rows.design.n_domains - n_parts
        quadratic, n_features = self._base[0].quadratic, self.rows.design.n_features
        penalty = None
        if quadratic is not None:
            penalty = quadratic.matrix[:n_features, :n_features]
        common = decays == 0
        own = (common | (self.model.decay == "shared")) & (strengths == 0)
        return n_parts * n_open(penalty, common) + n_more * n_open(penalty, own)

    def store(self, stop: RelatedStop) -> None:
        """Set the fitted attributes of the model."""
        self.model._store_stop(self, stop)

    def keep(self, stop: RelatedStop) -> None:
        """Keep nothing: there are no covariances along a graph."""

    @staticmethod
    def public(stop: RelatedStop, raw: FloatArray) -> FloatArray:
        """Return raw predictions in the columns that users know: these."""
        return raw

    def without_each_row(self, stop: RelatedStop) -> tuple[FloatArray, IntArray]:
        """Raise: leaving one out needs the Hessian over all domains."""
        raise NoMinimum("leave-one-out is not available with graph=")

    def without_each_row_at(self, alphas: FloatArray) -> None:
        """Return nothing: see `RidgePath`."""
