"""What paths and reports of tying start from: a tied model that has read its rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from sktie._compat import n_samples_of
from sktie._parallel import workers
from sktie._prior import find_prior
from sktie._typing import FloatArray
from sktie._validation import check_parameters
from sktie.linear_model import TiedLogisticRegression
from sktie.linear_model._base import REMEDIES
from sktie.linear_model._graph import check_no_graph
from sktie.linear_model._path import NoMinimum, Path, Stop
from sktie.model_selection import TiedLogisticRegressionCV
from sktie.model_selection._scores import Held, held_rows
from sktie.model_selection._tied_cv import MOST_NUMBERS

#: Why the anchor of a prior leaves nothing to be scored.
KNOWS = (
    "the anchor of a prior has seen the labels of all rows, so that none can be left "
    "out; TiedLogisticRegressionCV takes folds instead"
)


@dataclass(frozen=True)
class TiedRows:
    """A model without a fit, the rows it has read, and its path.

    Attributes
    ----------
    model : TiedLogisticRegression
        Knows classes, domains and names.
    path : Path
        Fits it.
    held : Held
        Classes, weights and domains of the rows, in the design's order.
    """

    model: TiedLogisticRegression
    path: Path
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

    def without_each_row(self, stop: Stop) -> FloatArray:
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
        return np.asarray(stop.problem.loss.expand(raw.T).T)


def check_kind(estimator: Any) -> None:
    """Check that an estimator is a tied logistic regression."""
    if not isinstance(estimator, (TiedLogisticRegression, TiedLogisticRegressionCV)):
        raise TypeError(
            f"estimator is of type {type(estimator).__name__}; expected a "
            "TiedLogisticRegression or a fitted TiedLogisticRegressionCV. Of a "
            "pipeline pass the last step, with X as the steps before it leave it."
        )


def unfitted(estimator: Any) -> TiedLogisticRegression:
    """Return a model with the parameters of an estimator, those it chose included.

    ``clone`` would strip a fitted classifier of ``pair``.
    """
    check_kind(estimator)
    names = TiedLogisticRegression().get_params()
    own = estimator.get_params(deep=False)
    chosen = {name: own[name] for name in names if name in own}
    by_distance = chosen.pop("max_distance", None) is not None
    for name in ("tie", "C"):
        # A strength that is given counts, whatever an earlier fit has had.
        found = by_distance and name == "tie"
        if found or isinstance(chosen.get(name, "chosen"), str):
            chosen[name] = getattr(estimator, f"{name}_", chosen.get(name))
    if chosen["C"] is None or isinstance(chosen["C"], str):
        raise ValueError(
            f"{type(estimator).__name__} has not chosen its C yet. Fit it first, or "
            "pass a TiedLogisticRegression with a C of its own."
        )
    if chosen["tie"] is None or isinstance(chosen["tie"], str):
        chosen["tie"] = 1.0
    if not isinstance(chosen["tie"], Real):
        raise ValueError(
            f"{type(estimator).__name__} has a strength of the tie for each "
            "coefficient; expected one number, the dial that is turned here from 0 to "
            "inf. Use a model whose tie is a number, or 'auto'."
        )
    return TiedLogisticRegression(**chosen)


@contextmanager
def tied_rows(
    estimator: Any, X: Any, y: Any, sample_weight: Any, sample_domain: Any
) -> Iterator[TiedRows]:
    """Read rows by an estimator's parameters, and hold threads for its path."""
    model = unfitted(estimator)
    check_parameters(model, REMEDIES)
    remedy = (
        "Its scores by folds are those of TiedLogisticRegressionCV(graph=..., cv=5)."
    )
    check_no_graph(model, "Leave-one-out, of which paths and reports are made,", remedy)
    rows = model._read(X, y, sample_weight, sample_domain, None)
    if not model._has_tie:
        raise ValueError(
            f"{type(estimator).__name__} ties nothing: it has pair=None and no "
            "sample_domain. Name the column of the domains as pair, pass "
            "sample_domain, or tie it to a fitted model."
        )
    held, _ = held_rows(rows, n_samples_of(X), sample_weight)
    with workers(model.n_jobs, rows.design.n_lanes) as crew:
        yield TiedRows(model, Path(model, rows, crew), held)
