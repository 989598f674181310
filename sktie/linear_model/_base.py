"""What all tied linear models share: domains, strengths, solving and storing."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from sktie._compat import WRAPPER_FRAMES, CallbackSupportMixin
from sktie._design import Design, group_rows
from sktie._domains import (
    Domains,
    check_columns,
    check_domain_use,
    domain_index,
    of_domains,
    read_domains,
)
from sktie._problem import TiedProblem
from sktie._related import RelatedCoordinates
from sktie._typing import FloatArray, IterationHook
from sktie.linear_model._graph import has_room
from sktie.solvers import SOLVERS, SolverResult, Status, choose

#: Appended to scikit-learn's message for a parameter out of range.
REMEDIES = {
    "tie": "Use tie=0 for separate models, tie=np.inf for one shared model, "
    "anything between for tied ones, and tie='auto' to have it chosen.",
    "C": "Use a positive number; C=np.inf means no decay, and C='auto' to have it "
    "chosen.",
    "tie_intercept": "Use True (as strong as `tie`), False (free), or a strength.",
    "pair": "Use None, a column of X, FrozenEstimator(fitted_classifier), or "
    "(coef, intercept).",
}


def fastest(problem: TiedProblem) -> str:
    """Return the name of the solver that is fastest for a problem of this size."""
    design = problem.design
    if isinstance(problem.coordinates, RelatedCoordinates) and has_room(problem):
        # Of the others, none sees further than from neighbour to neighbour.
        return "newton-cholesky"
    return choose(
        entries=design.entries,
        n_rows=design.n_rows,
        n_members=design.n_domains,
        n_outputs=problem.loss.n_outputs,
        n_coefs=design.n_coefs,
    )


class TiedLinearModel(CallbackSupportMixin, BaseEstimator):
    """Base of the linear models: reads domains, solves a problem, stores members."""

    __metadata_request__fit: ClassVar = {"sample_domain": True}
    __metadata_request__predict: ClassVar = {"sample_domain": True}
    __metadata_request__score: ClassVar = {"sample_domain": True}

    def _columns(
        self, X: Any, sample_domain: Any, reset: bool
    ) -> tuple[Any, int | None, Domains | None]:
        """Check names and number of columns; split off the domain of each row.

        Returns
        -------
        X : array-like
            What is left to be validated as numbers.
        skip : int or None
            Where X still holds the column of the domains.
        domains : Domains or None
            The domain of each row.
        """
        check_columns(self, X, reset)
        columns, domains = read_domains(self, X, sample_domain)
        if reset:
            self._name_coefs(columns.place)
        return columns.X, columns.skip, domains

    def _name_coefs(self, place: int | None) -> None:
        """Set the names of the coefficients: of all columns but the one at place."""
        self.__dict__.pop("coef_feature_names_", None)
        names = getattr(self, "feature_names_in_", None)
        if names is not None:
            names = names if place is None else np.delete(names, place)
            self.coef_feature_names_ = names

    @property
    def _has_tie(self) -> bool:
        """Whether there is anything to be tied to."""
        return self.pair is not None or hasattr(self, "domains_")

    def _strengths(self, n_features: int, tie: float) -> FloatArray:
        """Return the strength of each coefficient's tie, the intercept's last."""
        if not self._has_tie:
            return np.zeros(n_features + bool(self.fit_intercept))
        strengths = np.full(n_features + bool(self.fit_intercept), float(tie))
        own = not isinstance(self.tie_intercept, (bool, np.bool_))
        if self.fit_intercept and (own or not self.tie_intercept):
            strengths[-1] = float(self.tie_intercept)
        return strengths

    def _decays(self, n_features: int, C: float) -> FloatArray:
        """Return the decay of each coefficient; the intercept has none."""
        decay = np.full(n_features + bool(self.fit_intercept), 1.0 / C)
        decay[n_features:] = 0.0
        return decay

    def _join(self, coef: FloatArray, intercept: FloatArray) -> FloatArray:
        if not self.fit_intercept:
            return coef
        return np.concatenate([coef, intercept[..., np.newaxis]], axis=-1)

    def _solver(self, problem: TiedProblem) -> str:
        return fastest(problem) if self.solver == "auto" else str(self.solver)

    def _coefficients(self) -> tuple[Any, ...] | None:
        """Return the fitted state a warm start can use, or None."""
        if not hasattr(self, "coef_"):
            return None
        domains = getattr(self, "domains_", None)
        if domains is None:
            members = self._join(self.coef_, self.intercept_)[np.newaxis]
        else:
            members = self._join(self.domain_coef_, self.domain_intercept_)
        return self.classes_, domains, members

    def _dial(self, tie: float) -> str:
        return f"tie={tie} with tie_intercept={self.tie_intercept}"

    def _solve(
        self, problem: TiedProblem, previous: Any, callback: IterationHook | None
    ) -> SolverResult:
        """Minimise from a fitting start; from zero where that leads nowhere."""
        solver = SOLVERS[self._solver(problem)]
        options: dict[str, Any] = {
            "tol": float(self.tol),
            "max_iter": self.max_iter,
            "hook": self._hook(callback),
        }
        result = solver(problem, self._start(problem, previous), **options)
        if result.status is Status.STALLED:
            # A saturated start, such as an anchor far out: the loss is flat there.
            zero = problem.coordinates.locate(np.zeros(problem.coordinates.shape))
            result = solver(problem, zero, **options)
        return result

    def _start(self, problem: TiedProblem, previous: Any) -> FloatArray:
        """Return the origin, or the previous fit where it is of the same shape.

        The origin is the hub: zero for domains, and the anchor for a fixed pair, from
        which a strong tie leaves little to go.
        """
        origin = np.zeros(problem.size)
        if previous is None:
            return origin
        classes, domains, members = previous
        now = getattr(self, "domains_", None)
        same = np.array_equal(classes, self.classes_)
        if domains is None or now is None:
            same &= domains is now
        else:
            # As lists: NumPy 1 warns where it compares words with numbers.
            same &= domains.tolist() == now.tolist()
        outputs = problem.loss.reduce(members.astype(np.float64)) if same else members
        if not same or outputs.shape != problem.coordinates.shape:
            return origin
        return problem.coordinates.locate(outputs)

    def _hook(self, callback: IterationHook | None) -> IterationHook | None:
        if not self.verbose:
            return callback

        def hook(n_iter: int, value: float, gap: float) -> None:
            print(f"iteration {n_iter:4d}  objective {value:.10g}  gap {gap:.1e}")  # noqa: T201
            if callback is not None:
                callback(n_iter, value, gap)

        return hook

    def _warn(self, result: SolverResult) -> None:
        if result.status.success or result.gap <= self.tol:
            return
        found = f"{type(self).__name__} stopped after {result.n_iter} iterations: "
        if result.status is Status.UNBOUNDED:
            found += (
                "the classes are separable and nothing holds the coefficients back, so "
                "that no minimum exists; those returned predict the training rows to "
                f"rounding. Use a finite C (now C={self.C_})."
            )
        else:
            found += (
                f"the relative gap to the minimum is about {result.gap:.1e}, above "
                f"tol={self.tol}. Increase max_iter (now {self.max_iter}), scale the "
                "features (StandardScaler), or choose another solver."
            )
            if np.isinf(self.C_):
                found += " Without decay (C=inf) a minimum need not exist: try C=1e4."
        warnings.warn(found, ConvergenceWarning, stacklevel=3 + WRAPPER_FRAMES)

    def _store(self, problem: TiedProblem, result: SolverResult) -> None:
        """Set the fitted attributes."""
        coordinates, expand = problem.coordinates, problem.loss.expand
        dtype = problem.design.dtype
        hub, deviations = coordinates.split(result.theta)
        members = expand(coordinates.members(hub, deviations)).astype(dtype)
        centre = members[0]
        strength = np.broadcast_to(coordinates.tie.strength, members.shape[2:])
        n_stored = len(centre) * len(strength)
        if hasattr(self, "domains_"):
            centre = expand(hub).astype(dtype)
            slopes, offsets = self._cut(members)
            shared = np.isinf(strength)
            n_own = len(strength) - int(shared.sum())
            n_stored += (len(members) - 1) * len(centre) * n_own
            n_parts = getattr(self, "n_components_", 1)
            n_stored += (n_parts - 1) * len(centre) * int(shared.sum())
            p = slopes.shape[-1]
            one = n_parts == 1
            self._domain_coef = None if one and shared[:p].all() else slopes
            self._domain_intercept = None if one and shared[p:].all() else offsets
        if isinstance(coordinates, RelatedCoordinates):
            everyone = coordinates.structure.extend(deviations)
            others = expand(everyone[len(members) :]).astype(dtype)
            self.inferred_coef_, self.inferred_intercept_ = self._cut(others)
        self.coef_, self.intercept_ = self._cut(centre)
        self.tie_gap_ = self._gap(expand(coordinates.differences(deviations)))
        self.objective_ = result.value
        self.n_iter_ = result.n_iter
        self.n_stored_parameters_ = int(n_stored)

    def _gap(self, deviations: FloatArray) -> float:
        """Return the largest deviation; a free intercept has none."""
        if not self._has_tie:
            return 0.0
        if self.fit_intercept and not self.tie_intercept:
            deviations = deviations[..., :-1]
        return float(np.abs(deviations).max(initial=0.0))

    def _cut(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Split rows of coefficients into slopes and intercepts."""
        if not self.fit_intercept:
            return rows, np.zeros(rows.shape[:-1], dtype=rows.dtype)
        return rows[..., :-1].copy(), rows[..., -1].copy()

    @property
    def domain_coef_(self) -> FloatArray:
        """Coefficients of each domain; one stored row where all are shared."""
        return of_domains(self, "_domain_coef", lambda: self.coef_)

    @property
    def domain_intercept_(self) -> FloatArray:
        """Intercepts of each domain; one stored row where all are shared."""
        return of_domains(self, "_domain_intercept", lambda: self.intercept_)

    def _raw(self, X: Any, sample_domain: Any) -> FloatArray:
        """Return the raw predictions, (n_samples, 1 or n_classes)."""
        design, members = self._placed(X, sample_domain)
        return design.predict(members)

    def _placed(self, X: Any, sample_domain: Any) -> tuple[Design, FloatArray]:
        """Return rows to predict, by domain, and the parameters of each domain.

        With domains the last of these, the shared centre, is for those not seen.
        """
        check_is_fitted(self)
        X, skip, domains = self._columns(X, sample_domain, reset=False)
        X = check_array(
            X, accept_sparse="csr", dtype=[np.float64, np.float32], estimator=self
        )
        check_domain_use(self, domains)
        members = self._join(self.coef_, self.intercept_)[np.newaxis]
        bounds, order = np.array([0, X.shape[0]]), None
        if domains is not None:
            own = self._join(self.domain_coef_, self.domain_intercept_)
            if hasattr(self, "inferred_domains_"):
                others = self._join(self.inferred_coef_, self.inferred_intercept_)
                own = np.concatenate([own, others])
            members = np.concatenate([own, members])
            order, bounds = group_rows(domain_index(self, domains), len(members))
        design = Design(
            X, bounds, order=order, skip=skip, fit_intercept=self.fit_intercept
        )
        return design, members
