"""What paths and reports of tying start from: a tied model that has read its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from sktie._compat import n_samples_of
from sktie._parallel import workers
from sktie._prior import find_prior
from sktie._problem import TiedProblem
from sktie._scalar_loss import Squared
from sktie._tie import Tie, TiedCoordinates, ToFixed
from sktie._typing import FloatArray
from sktie._validation import check_parameters, overflow_noted
from sktie.linear_model import TiedLogisticRegression, TiedPoissonRegressor, TiedRidge
from sktie.linear_model._base import REMEDIES
from sktie.linear_model._counts import POISSON_REMEDIES, CountPath
from sktie.linear_model._graph import check_no_graph
from sktie.linear_model._path import NoMinimum, Path
from sktie.linear_model._ridge_updates import REMEDIES as RIDGE_REMEDIES
from sktie.model_selection import (
    TiedLogisticRegressionCV,
    TiedPoissonRegressorCV,
    TiedRidgeCV,
)
from sktie.model_selection._scores import (
    ROWWISE,
    ROWWISE_TARGETS,
    Held,
    deviances,
    held_rows,
    held_targets,
)
from sktie.model_selection._tied_cv import MOST_NUMBERS
from sktie.streams._apply import check_at_hand

#: Why the anchor of a prior leaves nothing to be scored.
KNOWS = (
    "the anchor of a prior has seen the labels of all rows, so that none can be left "
    "out; TiedLogisticRegressionCV takes folds instead"
)


@dataclass(frozen=True)
class Kind:
    """What differs between the models that reports are made of.

    Attributes
    ----------
    model, chooser : type
        The model, and the estimator that chooses its strengths.
    decay : str
        Name of the strength of the decay.
    path : callable
        Returns the path of a model, from the rows it has read and threads.
    remedies : dict
        What to do about parameters that are out of range.
    loss : str
        Name of the loss of rows left out.
    score : callable
        Its negative for each row, from raw predictions and targets.
    """

    model: type
    chooser: type
    decay: str
    path: Any
    remedies: dict[str, str]
    loss: str
    score: Callable[[FloatArray, Any], FloatArray]

    @property
    def names(self) -> str:
        """What estimators are called that are of this kind."""
        return f"{self.model.__name__} or a fitted {self.chooser.__name__}"


KINDS = (
    Kind(
        TiedLogisticRegression,
        TiedLogisticRegressionCV,
        "C",
        Path,
        REMEDIES,
        "log-loss",
        ROWWISE["neg_log_loss"],
    ),
    Kind(
        TiedRidge,
        TiedRidgeCV,
        "alpha",
        TiedRidge._path,
        RIDGE_REMEDIES,
        "squared error",
        ROWWISE_TARGETS["neg_mean_squared_error"],
    ),
    Kind(
        TiedPoissonRegressor,
        TiedPoissonRegressorCV,
        "alpha",
        CountPath,
        POISSON_REMEDIES,
        "deviance",
        deviances,
    ),
)


@dataclass(frozen=True)
class TiedRows:
    """A model without a fit, the rows it has read, and its path.

    Attributes
    ----------
    kind : Kind
        What is particular to the model.
    model : estimator
        Knows classes, domains and names.
    path : object
        Fits it.
    held : Held
        Targets, weights and domains of the rows, in the design's order.
    """

    kind: Kind
    model: Any
    path: Any
    held: Held

    @property
    def too_wide(self) -> str:
        """Why there can be no Hessians; "" where there can."""
        if self.path.n_numbers <= MOST_NUMBERS:
            return ""
        return (
            f"the Hessians of all members hold {self.path.n_numbers:.1e} numbers, of "
            f"{MOST_NUMBERS:.1e} at most; select features, or reduce them with PCA or "
            "TruncatedSVD"
        )

    @property
    def decay(self) -> float:
        """The model's strength of the decay, as its path takes it."""
        return float(getattr(self.model, self.kind.decay))

    @property
    def C(self) -> float:
        """The same as an inverse strength."""
        if self.kind.decay == "C":
            return self.decay
        return 1.0 / self.decay if self.decay > 0 else float(np.inf)

    def problems(self, stop: Any) -> list[TiedProblem]:
        """Return the objective as problems, one for each target with one output."""
        if self.kind.model is not TiedRidge:
            return [stop.problem]
        return [self._half_squares(stop.tie, k) for k in range(self.held.y.shape[1])]

    def _half_squares(self, tie: float, k: int) -> TiedProblem:
        """Return half the objective of least squares in target k."""
        model, rows = self.model, self.path.rows
        design = rows.design
        structure = model._narrowed_tie(rows).structure
        if isinstance(structure, ToFixed):
            structure = ToFixed(structure.target[k : k + 1])
        strengths = Tie(structure, model._strengths(design.n_features, tie))
        shape = design.n_domains, 1, design.n_coefs
        return TiedProblem(
            rows.sums(Squared(), self.path.crew, k),
            coordinates=TiedCoordinates(strengths, shape),
            decay=model._decays(design.n_features, self.C),
            shared_decay=model.decay == "shared" and hasattr(model, "domains_"),
            quadratic=rows.dependencies.quadratic(1, design, rows.mean_weight),
        )

    def members(self, stop: Any) -> FloatArray:
        """Return the parameters at which Hessians are taken; squares have one."""
        if self.kind.model is TiedRidge:
            return np.zeros(self.problems(stop)[0].coordinates.shape)
        return np.asarray(stop.members)

    def minimum(self, stop: Any) -> tuple[float, FloatArray]:
        """Return the objective there and what members are tied to, as users know it."""
        if self.kind.model is TiedRidge:
            hub = self.model._widen(stop.minimum.hub)
            return float(stop.minimum.values.sum()), hub
        problem = stop.problem
        hub, _ = problem.coordinates.split(stop.result.theta)
        return stop.result.value, self.model._widen(problem.loss.expand(hub))

    def value(self, stop: Any, estimator: Any) -> float:
        """Return the objective at the coefficients of an estimator."""
        members = estimator._coefficients()[2].astype(np.float64)
        problems = self.problems(stop)
        if self.kind.model is TiedRidge:
            members = self.model._narrow(members)
            parts = [members[:, k : k + 1] for k in range(members.shape[1])]
        else:
            parts = [self.model._narrow(problems[0].loss.reduce(members))]
        total = 0.0
        for problem, part in zip(problems, parts, strict=True):
            total += problem.value_gradient(problem.coordinates.locate(part))[0]
        return 2.0 * total if self.kind.model is TiedRidge else total

    def losses(self, stop: Any) -> FloatArray:
        """Return the losses of rows left out; see `without_each_row`."""
        return -self.kind.score(self.without_each_row(stop), self.held.y)

    def without_each_row(self, stop: Any) -> FloatArray:
        """Return what the model predicts for each row without having seen it.

        Returns
        -------
        ndarray of shape (n_rows, 1 or n_classes)
            Raw predictions, in the order of ``held``.

        Raises
        ------
        NoMinimum
            Where rows cannot be left out; says why.
        """
        if find_prior(self.model.pair) is not None:
            raise NoMinimum(KNOWS)
        if self.too_wide:
            raise NoMinimum(self.too_wide)
        raw, _ = self.path.without_each_row(stop)
        return np.asarray(self.path.public(stop, raw))


def kind_of(estimator: Any, kinds: tuple[Kind, ...] = KINDS) -> Kind:
    """Return the kind of an estimator, which must be one of some."""
    for kind in kinds:
        if isinstance(estimator, (kind.model, kind.chooser)):
            return kind
    raise TypeError(
        f"estimator is of type {type(estimator).__name__}; expected a "
        f"{', a '.join(kind.names for kind in kinds)}. Of a pipeline pass the last "
        "step, with X as the steps before it leave it."
    )


def unfitted(estimator: Any, kind: Kind) -> Any:
    """Return a model with the parameters of an estimator, those it chose included.

    ``clone`` would strip a fitted classifier of ``pair``.
    """
    decay = kind.decay
    names = kind.model().get_params()
    own = estimator.get_params(deep=False)
    chosen = {name: own[name] for name in names if name in own}
    by_distance = chosen.pop("max_distance", None) is not None
    for name in ("tie", "tie_intercept", decay):
        # A strength that is given counts, whatever an earlier fit has had.
        found = by_distance and name == "tie"
        if found or isinstance(chosen.get(name, "chosen"), str):
            chosen[name] = getattr(estimator, f"{name}_", chosen.get(name))
    if chosen[decay] is None or isinstance(chosen[decay], str):
        raise ValueError(
            f"{type(estimator).__name__} has not chosen its {decay} yet. Fit it first, "
            f"or pass a {kind.model.__name__} with a {decay} of its own."
        )
    if chosen["tie"] is None or isinstance(chosen["tie"], str):
        chosen["tie"] = 1.0
    if not isinstance(chosen["tie"], Real):
        raise ValueError(
            f"{type(estimator).__name__} has a strength of the tie for each "
            "coefficient; expected one number, the dial that is turned here from 0 to "
            "inf. Use a model whose tie is a number, or 'auto'."
        )
    return kind.model(**chosen)


@contextmanager
def tied_rows(
    estimator: Any,
    kind: Kind,
    X: Any,
    y: Any,
    sample_weight: Any,
    sample_domain: Any,
) -> Iterator[TiedRows]:
    """Read rows by an estimator's parameters, and hold threads for its path."""
    model = unfitted(estimator, kind)
    check_parameters(model, kind.remedies)
    with (
        overflow_noted(),
        _read_rows(model, estimator, kind, X, y, sample_weight, sample_domain) as tied,
    ):
        yield tied


@contextmanager
def _read_rows(
    model: Any,
    estimator: Any,
    kind: Kind,
    X: Any,
    y: Any,
    sample_weight: Any,
    sample_domain: Any,
) -> Iterator[TiedRows]:
    remedy = (
        f"Its scores by folds are those of {kind.chooser.__name__}(graph=..., cv=5)."
    )
    check_no_graph(model, "Leave-one-out, of which paths and reports are made,", remedy)
    labels = kind.decay == "C"
    more = (None,) if labels else ()
    check_at_hand(X, "A report of a tied model")
    rows = model._read(X, y, sample_weight, sample_domain, *more)
    if not model._has_tie:
        raise ValueError(
            f"{type(estimator).__name__} ties nothing: it has pair=None and no "
            "sample_domain. Name the column of the domains as pair, pass "
            "sample_domain, or tie it to a fitted model."
        )
    with workers(model.n_jobs, rows.design.n_lanes) as crew:
        path = kind.path(model, rows, crew)
        if labels:
            held, _ = held_rows(rows, n_samples_of(X), sample_weight)
        else:
            held, _ = held_targets(path.rows)
        yield TiedRows(kind, model, path, held)
