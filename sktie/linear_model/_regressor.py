"""What all tied linear regressors read and predict, and how."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_X_y
from sklearn.utils.validation import check_is_fitted

from sktie._design import Design, group_rows
from sktie._domains import Domains, domain_index, encode_domains, read_columns
from sktie._features import Dependencies
from sktie._graph import DomainGraph
from sktie._labels import check_weight
from sktie._loss import Loss
from sktie._moments import Moments, moments_of
from sktie._parallel import Workers
from sktie._row_sums import RowSums
from sktie._tie import Tie, ToFixed, ToMean
from sktie._typing import FloatArray, IntArray
from sktie._validation import as_array, in_range, score_in_range
from sktie.linear_model._base import TiedLinearModel
from sktie.linear_model._pair import resolve_regressor
from sktie.linear_model._parted import Given, as_parts, is_parted, read_parts
from sktie.streams._apply import at_hand, by_blocks

#: What an earlier fit may have set and this one need not.
STALE = (
    "domains_",
    "_domain_coef",
    "_domain_intercept",
    "log_evidence_",
    "_curvature",
    "component_",
    "n_components_",
    "inferred_domains_",
    "inferred_coef_",
    "inferred_intercept_",
    "_domain_relatedness",
)


@dataclass(frozen=True)
class RegressionRows:
    """Training rows, in the design's order.

    Attributes
    ----------
    y : ndarray of shape (n_rows, n_outputs)
        Targets, as floats.
    weight : ndarray of shape (n_rows,) or None
        Sample weights.
    design : Design
        The rows of X.
    metric : object, optional
        That of the tie; None is the identity.
    dependencies : Dependencies, optional
        What is known of the coefficients of one model.
    graph : DomainGraph, optional
        What is known of the domains.
    """

    y: FloatArray
    weight: FloatArray | None
    design: Design
    metric: Any = None
    dependencies: Any = None
    graph: DomainGraph | None = None

    @property
    def mean_weight(self) -> float:
        """Mean of the weights of the rows."""
        return 1.0 if self.weight is None else float(self.weight.mean())

    @property
    def most_weight(self) -> float:
        """The largest weight of a row."""
        return 1.0 if self.weight is None else float(self.weight.max(initial=0.0))

    def sums(self, loss: Loss, crew: Workers, target: int = 0) -> RowSums:
        """Return the sums of a loss over the rows; ``target`` is a column of y."""
        y = np.ascontiguousarray(self.y[:, target])
        return RowSums(self.design, loss, y, self.weight, crew)

    def moments(self, crew: Workers) -> Moments:
        """Return the moments of the rows."""
        return moments_of(self.design, self.y, self.weight, crew)

    def weighing_one(self) -> RegressionRows:
        """Return the same rows with weights whose sum is 1."""
        design, weight = self.design, self.weight
        if weight is None:
            share = np.full(design.n_rows, 1.0 / design.n_rows)
        else:
            share = weight / weight.sum(dtype=np.float64)
        return replace(self, weight=share.astype(design.dtype))

    def depending(self, dependencies: Dependencies) -> RegressionRows:
        """Return the rows of the coefficients that are stored."""
        design, shares = self.design, dependencies.shares
        if shares is not None:
            design = design.of(shares.aggregate(design.X, design.skip))
        return replace(self, design=design, dependencies=dependencies)

    @property
    def domain(self) -> IntArray:
        """Number of each row's domain."""
        bounds = self.design.bounds
        if len(bounds) == 2:
            return np.zeros(bounds[1], dtype=np.intp)
        return np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))


class TiedLinearRegressor(RegressorMixin, TiedLinearModel):
    """Base of the linear regressors: targets from ``x'w_t + b_t``.

    A regressor says which targets it takes (`_check_target`), what a raw prediction
    means (`_inverse_link`), and which model of scikit-learn a domain's alone is
    (`_plain`).
    """

    #: Whether y may have several columns.
    _multi_output: ClassVar[bool] = False

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = self._multi_output
        return tags

    @abstractmethod
    def _check_target(self, y: FloatArray, weight: FloatArray | None) -> None:
        """Check the targets, (n_rows, n_outputs), of rows with these weights."""

    @abstractmethod
    def _inverse_link(self, raw: FloatArray) -> FloatArray:
        """Return what raw predictions predict."""

    @abstractmethod
    def _plain(self) -> Any:
        """Return an unfitted regressor of scikit-learn, of the same objective."""

    def _read(
        self, X: Any, y: Any, sample_weight: Any, sample_domain: Any
    ) -> RegressionRows:
        """Validate the training rows, and bring those of each domain together."""
        X, skip, domains = read_columns(self, X, sample_domain, reset=True)
        X, y = check_X_y(
            X,
            y,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            multi_output=self._multi_output,
            y_numeric=True,
            estimator=self,
        )
        weight = check_weight(sample_weight, X)
        self._flat_target = y.ndim == 1
        y = as_array("y", y.reshape(len(y), -1), X.dtype)
        self._check_target(y, weight)
        bounds, order = np.array([0, X.shape[0]]), None
        for name in STALE:
            self.__dict__.pop(name, None)
        if domains is not None:
            self.domains_ = domains.labels
            _check_masses(domains, weight)
            order, bounds = group_rows(domains.index, len(self.domains_))
        if order is not None:
            y = y[order]
            weight = None if weight is None else weight[order]
        design = Design(
            X, bounds, order=order, skip=skip, fit_intercept=self.fit_intercept
        )
        return RegressionRows(y, weight, design)

    def _rows(self, given: Given, *, counts: bool = False) -> Any:
        """Read the training rows, at hand or in blocks; exposures only of blocks."""
        given = given._replace(X=as_parts(self, given.X, labels=False))
        if not is_parted(given.X):
            return self._read(*given[:4])
        rows, domains, _ = read_parts(self, given, labels=False, counts=counts)
        self._flat_target = np.ndim(rows.parts.empty.y) == 1
        least = np.full((1, rows.y.shape[1]), rows.cells.least)
        self._check_target(least, None)
        for name in STALE:
            self.__dict__.pop(name, None)
        if domains is not None:
            self.domains_ = domains.labels
            _check_masses(Domains(domains.labels, rows.domain, ""), rows.weight)
        return rows

    def _tie(self, rows: Any) -> Tie:
        """Return the tie that ``pair`` asks for; a path sets the strengths."""
        n_features, n_outputs = rows.design.n_features, rows.y.shape[1]
        strengths: FloatArray = np.ones(rows.design.n_coefs)
        if hasattr(self, "domains_"):
            return Tie(ToMean(), strengths)
        if self.pair is None:
            return Tie(ToFixed(np.zeros((n_outputs, rows.design.n_coefs))), strengths)
        return Tie(ToFixed(self._anchor(n_features, n_outputs)), strengths)

    def _anchor(self, n_features: int, n_outputs: int) -> FloatArray:
        """Return the coefficients of a fixed pair."""
        names = getattr(self, "coef_feature_names_", None)
        return self._join(*resolve_regressor(self.pair, n_features, n_outputs, names))

    def _narrowed_tie(self, rows: Any) -> Tie:
        """Return the tie; of features that share, a pair's coefficients do too."""
        shares = rows.dependencies.shares
        if hasattr(self, "domains_") or self.pair is None or shares is None:
            return self._tie(rows)
        features = rows.dependencies.features
        target = self._anchor(features.n_features, rows.y.shape[1])
        tie = self._given_tie(features) if not isinstance(self.tie, str) else 1.0
        weight = np.broadcast_to(tie, features.n_features)
        structure = ToFixed(shares.narrow(target, weight))
        return Tie(structure, np.ones(rows.design.n_coefs))

    def _no_numbers(self) -> FloatArray:
        """Return no rows of what `predict` returns."""
        shape = (0,) if self._flat_target else (0, len(self.coef_))
        return np.empty(shape, self.coef_.dtype)

    def _public(self, rows: FloatArray) -> tuple[FloatArray, Any]:
        if self._flat_target:
            rows = rows[..., 0, :]
        slopes, intercepts = self._cut(rows)
        return slopes, intercepts[()]

    def _joined(self, coef: FloatArray, intercept: Any) -> FloatArray:
        rows = self._join(coef, np.asarray(intercept))
        return rows[..., np.newaxis, :] if self._flat_target else rows

    @by_blocks(lambda self: self._no_numbers())
    def predict(self, X: Any, *, sample_domain: Any = None) -> FloatArray:
        """Return the expected target of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to predict, with the columns of `fit`.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for a model fitted with ``sample_domain``.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions, in the shape of the y of `fit`.
        """
        raw = in_range(self._raw, X, sample_domain)
        found: FloatArray = in_range(self._inverse_link, raw)
        return found[:, 0] if self._flat_target else found

    def score(
        self, X: Any, y: Any, sample_weight: Any = None, *, sample_domain: Any = None
    ) -> float:
        """Return the coefficient of determination R^2 on the given rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to predict, with the columns of `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            True targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for a model fitted with ``sample_domain``.

        Returns
        -------
        float
            At most 1; 0 for the mean of y. The mean over the targets.
        """
        predicted = self.predict(X, sample_domain=sample_domain)
        y, predicted, sample_weight = map(at_hand, (y, predicted, sample_weight))
        return score_in_range(r2_score, y, predicted, sample_weight=sample_weight)

    def domain_estimator(self, label: Any) -> Any:
        """Return a plain regressor for one domain.

        Parameters
        ----------
        label : str or int
            A label in ``domains_``; with ``handle_unknown="shared"``, any.

        Returns
        -------
        estimator
            A fitted regressor of scikit-learn with the coefficients of the domain, for
            rows without the domain column.
        """
        check_is_fitted(self)
        if not hasattr(self, "domains_"):
            raise ValueError(
                f"domain_estimator({label!r}): the model was fitted without domains. "
                "Use the fitted model itself."
            )
        index = domain_index(self, encode_domains([label], "label", 1))[0]
        coef, intercept = self.coef_, self.intercept_
        if index < len(self.domains_):
            coef, intercept = self.domain_coef_[index], self.domain_intercept_[index]
        estimator = self._plain()
        estimator.coef_, estimator.intercept_ = coef.copy(), intercept.copy()
        estimator.n_features_in_ = self.coef_.shape[-1]
        if hasattr(self, "coef_feature_names_"):
            estimator.feature_names_in_ = self.coef_feature_names_
        return estimator


def _check_masses(domains: Domains, weight: FloatArray | None) -> None:
    """Check that every domain weighs something."""
    if weight is None:
        return
    mass = np.bincount(domains.index, weights=weight, minlength=len(domains.labels))
    empty = domains.labels[mass == 0].tolist()
    if empty:
        raise ValueError(
            f"The domains {empty} have weight zero; expected some row of positive "
            "weight in every domain. Drop the rows of these domains."
        )
