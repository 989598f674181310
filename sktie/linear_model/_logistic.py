"""Logistic regression tied to another model, or across domains."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.utils import check_array, check_X_y
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sktie._compat import (
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    fit_callbacks,
    with_callbacks,
)
from sktie._design import Design, group_rows
from sktie._loss import classification_loss
from sktie._parallel import Workers, workers
from sktie._problem import TiedProblem
from sktie._tie import Tie, TiedCoordinates, ToFixed, ToMean
from sktie._typing import Array, FloatArray, IntArray, IterationHook, Matrix
from sktie._validation import (
    check_parameters,
    check_weight,
    class_weights,
    cut_column,
    encode_classes,
    encode_domains,
)
from sktie.linear_model._pair import is_column, resolve_anchor
from sktie.solvers import SOLVERS, SolverResult, Status, choose

#: Appended to scikit-learn's message for a parameter out of range.
REMEDIES = {
    "tie": "Use tie=0 for separate models, tie=np.inf for one shared model, and "
    "anything between for tied ones.",
    "C": "Use a positive number; C=np.inf means no decay.",
    "tie_intercept": "Use True (as strong as `tie`), False (free), or a strength.",
    "pair": "Use None, a column of X, FrozenEstimator(fitted_classifier), or "
    "(coef, intercept).",
}


@dataclass(frozen=True)
class _Rows:
    """Validated training rows, in the order of their domains."""

    X: Matrix
    y_index: IntArray
    weight: FloatArray | None
    design: Design
    domain_index: IntArray | None


class TiedLogisticRegression(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    __metadata_request__fit: ClassVar = {"sample_domain": True}
    __metadata_request__predict: ClassVar = {"sample_domain": True}
    __metadata_request__predict_proba: ClassVar = {"sample_domain": True}
    __metadata_request__predict_log_proba: ClassVar = {"sample_domain": True}
    __metadata_request__decision_function: ClassVar = {"sample_domain": True}
    __metadata_request__score: ClassVar = {"sample_domain": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "pair": [None, str, Integral, tuple, HasMethods("fit")],
        "tie": [Interval(Real, 0, None, closed="both")],
        "C": [Interval(Real, 0, None, closed="right")],
        "decay": [StrOptions({"each", "shared"})],
        "tie_intercept": ["boolean", Interval(Real, 0, None, closed="both")],
        "fit_intercept": ["boolean"],
        "class_weight": [None, dict, StrOptions({"balanced"})],
        "handle_unknown": [StrOptions({"error", "shared"})],
        "solver": [StrOptions({"auto", *SOLVERS})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        pair: Any = None,
        *,
        tie: float = 1.0,
        C: float = 1.0,
        decay: str = "each",
        tie_intercept: bool | float = True,
        fit_intercept: bool = True,
        class_weight: Any = None,
        handle_unknown: str = "error",
        solver: str = "auto",
        tol: float = 1e-8,
        max_iter: int = 1000,
        warm_start: bool = False,
        verbose: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.pair = pair
        self.tie = tie
        self.C = C
        self.decay = decay
        self.tie_intercept = tie_intercept
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.handle_unknown = handle_unknown
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.verbose = verbose
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, sample_domain: Any = None
    ) -> TiedLogisticRegression:
        check_parameters(self, REMEDIES)
        previous = self._coefficients() if self.warm_start else None
        rows = self._read(X, y, sample_weight, sample_domain)
        with (
            workers(self.n_jobs, rows.design.n_lanes) as crew,
            fit_callbacks(self, X, y, self.max_iter) as callback,
        ):
            problem = self._problem(rows, crew)
            result = SOLVERS[self._solver(problem)](
                problem,
                self._start(problem, previous),
                tol=float(self.tol),
                max_iter=self.max_iter,
                hook=self._hook(callback),
            )
        self._warn(result)
        self._store(problem, result, rows.X.dtype)
        return self

    def _read(self, X: Any, y: Any, sample_weight: Any, sample_domain: Any) -> _Rows:
        """Validate and encode the training rows."""
        X, skip, labels = self._columns(X, sample_domain, reset=True)
        X, y = check_X_y(
            X,
            y,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            estimator=self,
        )
        check_classification_targets(y)
        weight = check_weight(sample_weight, X)
        self.classes_, y_index = encode_classes(y, weight)
        factors = class_weights(self.class_weight, self.classes_, y_index, weight)
        if factors is not None:
            share = factors[y_index].astype(X.dtype)
            weight = share if weight is None else weight * share
        bounds, order, domain_index = np.array([0, X.shape[0]]), None, None
        self.__dict__.pop("domains_", None)
        if labels is not None:
            self.domains_, domain_index = encode_domains(
                labels, self._source(sample_domain), X.shape[0]
            )
            self._check_domains(domain_index, y_index, weight)
            order, bounds = group_rows(domain_index, len(self.domains_))
        design = Design(
            X, bounds, order=order, skip=skip, fit_intercept=self.fit_intercept
        )
        if order is not None:
            y_index = y_index[order]
            weight = None if weight is None else weight[order]
        return _Rows(X, y_index, weight, design, domain_index)

    def _columns(self, X: Any, sample_domain: Any, reset: bool) -> Any:
        """Check names and number of columns; split off the domain of each row."""
        if getattr(X, "ndim", 2) == 1:
            check_array(X, dtype=None, estimator=self)  # raises: expected 2-D
        validate_data(self, X, reset=reset, skip_check_array=True)
        names = getattr(self, "feature_names_in_", None)
        if not is_column(self.pair):
            if reset:
                self.__dict__.pop("coef_feature_names_", None)
                if names is not None:
                    self.coef_feature_names_ = names
            return X, None, sample_domain
        if sample_domain is not None:
            raise ValueError(
                f"Both pair={self.pair!r} and sample_domain name the domains; expected "
                "one of them. Use pair=None with sample_domain, or leave "
                "sample_domain out."
            )
        columns = cut_column(X, self.pair)
        if reset:
            self.__dict__.pop("coef_feature_names_", None)
            if names is not None:
                place = self.pair
                if isinstance(place, str):
                    place = list(names).index(place)
                self.coef_feature_names_ = np.delete(names, place)
        return columns

    def _source(self, sample_domain: Any) -> str:
        return "sample_domain" if sample_domain is not None else f"pair={self.pair!r}"

    def _check_domains(
        self, domain_index: IntArray, y_index: IntArray, weight: FloatArray | None
    ) -> None:
        """Check that every domain weighs something and can be fitted."""
        n_classes = len(self.classes_)
        cell = domain_index.astype(np.intp) * n_classes + y_index
        mass = np.bincount(
            cell, weights=weight, minlength=len(self.domains_) * n_classes
        ).reshape(-1, n_classes)
        empty = self.domains_[mass.sum(axis=1) == 0].tolist()
        if empty:
            raise ValueError(
                f"The domains {empty} have weight zero; expected some row of positive "
                "weight in every domain. Drop the rows of these domains."
            )
        strengths = self._strengths(1)
        lacking = (mass == 0).any(axis=1)
        if lacking.any() and not strengths.all():
            which = {
                label: self.classes_[row > 0].tolist()
                for label, row in zip(
                    self.domains_[lacking].tolist(), mass[lacking], strict=True
                )
            }
            raise ValueError(
                f"tie={self.tie} with tie_intercept={self.tie_intercept} fits domains "
                "alone, but these hold only some of the classes "
                f"{self.classes_.tolist()}: {which}. Use a positive tie and a positive "
                "tie_intercept, or drop these domains."
            )

    def _strengths(self, n_features: int) -> FloatArray:
        """Return the strength of each coefficient's tie, the intercept's last."""
        strengths = np.full(n_features + bool(self.fit_intercept), float(self.tie))
        if self.fit_intercept and self.tie_intercept is not True:
            strengths[-1] = float(self.tie_intercept)
        return strengths

    def _problem(self, rows: _Rows, crew: Workers) -> TiedProblem:
        """Return the objective as a problem for the solvers."""
        design = rows.design
        loss = classification_loss(len(self.classes_))
        strengths = self._strengths(design.n_features)
        shape = (design.n_domains, loss.n_outputs, design.n_coefs)
        if rows.domain_index is not None:
            tie = Tie(ToMean(), strengths)
        elif self.pair is None:
            tie = Tie(ToFixed(np.zeros(shape[1:])), 0.0)
        else:
            coef, intercept = resolve_anchor(
                self.pair,
                rows.X,
                rows.y_index,
                self.classes_,
                rows.weight,
                getattr(self, "coef_feature_names_", None),
            )
            anchor = loss.reduce(self._join(coef, intercept))
            tie = Tie(ToFixed(anchor), strengths)
        decay = np.full(design.n_coefs, 1.0 / self.C)
        if self.fit_intercept:
            decay[-1] = 0.0
        return TiedProblem(
            design=design,
            loss=loss,
            y=loss.encode(rows.y_index),
            weight=rows.weight,
            coordinates=TiedCoordinates(tie, shape),
            decay=decay,
            shared_decay=self.decay == "shared" and rows.domain_index is not None,
            workers=crew,
        )

    def _join(self, coef: FloatArray, intercept: FloatArray) -> FloatArray:
        if not self.fit_intercept:
            return coef
        return np.concatenate([coef, intercept[..., np.newaxis]], axis=-1)

    def _solver(self, problem: TiedProblem) -> str:
        if self.solver != "auto":
            return self.solver
        design = problem.design
        return choose(
            entries=design.entries,
            n_rows=design.n_rows,
            n_members=design.n_domains,
            n_outputs=problem.loss.n_outputs,
            n_coefs=design.n_coefs,
        )

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

    def _start(self, problem: TiedProblem, previous: Any) -> FloatArray:
        """Return the origin, or the previous fit where it is of the same shape."""
        origin = np.zeros(problem.size)
        if previous is None:
            return origin
        classes, domains, members = previous
        now = getattr(self, "domains_", None)
        same = np.array_equal(classes, self.classes_)
        if domains is None or now is None:
            same &= domains is now
        else:
            same &= np.array_equal(domains, now)
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
        if result.status.success:
            return
        found = f"{type(self).__name__} stopped after {result.n_iter} iterations: "
        if result.status is Status.UNBOUNDED:
            found += (
                "the classes are separable and nothing holds the coefficients back, so "
                "that no minimum exists; those returned predict the training rows to "
                f"rounding. Use a finite C (now C={self.C})."
            )
        else:
            found += (
                f"the relative gap to the minimum is about {result.gap:.1e}, above "
                f"tol={self.tol}. Increase max_iter (now {self.max_iter}), scale the "
                "features (StandardScaler), or choose another solver."
            )
            if np.isinf(self.C):
                found += " Without decay (C=inf) a minimum need not exist: try C=1e4."
        warnings.warn(found, ConvergenceWarning, stacklevel=3)

    def _store(
        self, problem: TiedProblem, result: SolverResult, dtype: np.dtype[Any]
    ) -> None:
        """Set the fitted attributes."""
        coordinates, expand = problem.coordinates, problem.loss.expand
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
            p = slopes.shape[-1]
            self._domain_coef = None if shared[:p].all() else slopes
            self._domain_intercept = None if shared[p:].all() else offsets
        self.coef_, self.intercept_ = self._cut(centre)
        tied = strength > 0
        gaps = np.abs(expand(coordinates.scale * deviations))[..., tied]
        self.tie_gap_ = float(gaps.max(initial=0.0))
        self.objective_ = result.value
        self.n_iter_ = result.n_iter
        self.n_stored_parameters_ = int(n_stored)

    def _cut(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Split rows of coefficients into slopes and intercepts."""
        if not self.fit_intercept:
            return rows, np.zeros(rows.shape[:-1], dtype=rows.dtype)
        return rows[..., :-1].copy(), rows[..., -1].copy()

    @property
    def domain_coef_(self) -> FloatArray:
        """Coefficients of each domain; one stored row where all are shared."""
        return self._of_domains(self._domain_coef, self.coef_)

    @property
    def domain_intercept_(self) -> FloatArray:
        """Intercepts of each domain; one stored row where all are shared."""
        return self._of_domains(self._domain_intercept, self.intercept_)

    def _of_domains(self, own: FloatArray | None, shared: FloatArray) -> FloatArray:
        if own is not None:
            return own
        return np.broadcast_to(shared, (len(self.domains_), *shared.shape))

    def domain_estimator(self, label: Any) -> LogisticRegression:
        check_is_fitted(self)
        if not hasattr(self, "domains_"):
            raise ValueError(
                f"domain_estimator({label!r}): the model was fitted without domains. "
                "Use the fitted model itself."
            )
        index = self._domain_index([label], "label", 1)
        estimator = LogisticRegression(C=self.C, fit_intercept=self.fit_intercept)
        known = index[0] < len(self.domains_)
        estimator.coef_ = (
            self.domain_coef_[index[0]].copy() if known else self.coef_.copy()
        )
        estimator.intercept_ = (
            self.domain_intercept_[index[0]].copy() if known else self.intercept_.copy()
        )
        estimator.classes_ = self.classes_
        estimator.n_iter_ = np.array([self.n_iter_], dtype=np.int32)
        estimator.n_features_in_ = self.coef_.shape[1]
        if hasattr(self, "coef_feature_names_"):
            estimator.feature_names_in_ = self.coef_feature_names_
        return estimator

    def _domain_index(self, labels: Any, source: str, n_samples: int) -> IntArray:
        """Return each row's domain; an unseen one counts as one more: the shared."""
        found, index = encode_domains(labels, source, n_samples)
        known = {label: i for i, label in enumerate(self.domains_.tolist())}
        place = [known.get(label, len(known)) for label in found.tolist()]
        unseen = [label for label in found.tolist() if label not in known]
        if unseen and self.handle_unknown == "error":
            raise ValueError(
                f"{source} holds the domains {unseen}, which fit did not see; it saw "
                f"{self.domains_.tolist()}. Use handle_unknown='shared' to predict "
                "them by the shared model."
            )
        return np.asarray(place)[index]

    def _raw(self, X: Any, sample_domain: Any) -> FloatArray:
        """Return the raw predictions, (n_samples, 1 or n_classes)."""
        check_is_fitted(self)
        X, skip, labels = self._columns(X, sample_domain, reset=False)
        X = check_array(
            X, accept_sparse="csr", dtype=[np.float64, np.float32], estimator=self
        )
        self._check_domain_use(labels)
        members = self._join(self.coef_, self.intercept_)[np.newaxis]
        bounds, order = np.array([0, X.shape[0]]), None
        if labels is not None:
            index = self._domain_index(labels, self._source(sample_domain), X.shape[0])
            own = self._join(self.domain_coef_, self.domain_intercept_)
            members = np.concatenate([own, members])
            order, bounds = group_rows(index, len(members))
        design = Design(
            X, bounds, order=order, skip=skip, fit_intercept=self.fit_intercept
        )
        return design.predict(members)

    def _check_domain_use(self, labels: Any) -> None:
        fitted = hasattr(self, "domains_")
        if fitted and labels is None:
            raise ValueError(
                f"This {type(self).__name__} was fitted with domains, but got none: "
                "pass sample_domain, one label for each row of X. Where scikit-learn "
                "passes none on (scorers, calibration, inspection), name a column of X "
                "by pair= instead."
            )
        if not fitted and labels is not None:
            raise ValueError(
                "sample_domain was given, but the model was fitted without domains. "
                "Leave it out, or fit with sample_domain."
            )

    def decision_function(self, X: Any, *, sample_domain: Any = None) -> FloatArray:
        raw = self._raw(X, sample_domain)
        return raw[:, 0] if raw.shape[1] == 1 else raw

    def predict(self, X: Any, *, sample_domain: Any = None) -> Array:
        raw = self._raw(X, sample_domain)
        index = raw[:, 0] > 0 if raw.shape[1] == 1 else raw.argmax(axis=1)
        return np.asarray(self.classes_[index.astype(np.intp)])

    def predict_proba(self, X: Any, *, sample_domain: Any = None) -> FloatArray:
        raw = self._raw(X, sample_domain)
        if raw.shape[1] == 1:
            return np.hstack([expit(-raw), expit(raw)])
        return np.asarray(softmax(raw, axis=1))

    def predict_log_proba(self, X: Any, *, sample_domain: Any = None) -> FloatArray:
        raw = self._raw(X, sample_domain)
        if raw.shape[1] == 1:
            return np.hstack([log_expit(-raw), log_expit(raw)])
        return np.asarray(log_softmax(raw, axis=1))

    def score(
        self, X: Any, y: Any, sample_weight: Any = None, *, sample_domain: Any = None
    ) -> float:
        predicted = self.predict(X, sample_domain=sample_domain)
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))
