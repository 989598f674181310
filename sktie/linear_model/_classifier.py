"""What all tied linear classifiers predict, and how."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from sktie._domains import domain_index, encode_domains
from sktie._labels import accuracy
from sktie._loss import log_probability, most_probable, probability
from sktie._prior import takes_sparse
from sktie._typing import Array, FloatArray
from sktie._validation import in_range
from sktie.linear_model._base import TiedLinearModel
from sktie.linear_model._path import NoMinimum
from sktie.streams._apply import at_hand, by_blocks


def _scores(model: Any) -> FloatArray:
    """Return no rows of what `decision_function` returns."""
    n_columns = len(model.classes_)
    return np.empty((0,) if n_columns == 2 else (0, n_columns), model.coef_.dtype)


def _chances(model: Any) -> FloatArray:
    """Return no rows of what `predict_proba` returns."""
    return np.empty((0, len(model.classes_)), model.coef_.dtype)


def _labels(model: Any) -> Array:
    """Return no rows of what `predict` returns."""
    return np.asarray(model.classes_[:0])


class TiedLinearClassifier(ClassifierMixin, TiedLinearModel):
    """Base of the linear classifiers: labels and probabilities from ``x'w_t + b_t``."""

    __metadata_request__predict_proba: ClassVar = {"sample_domain": True}
    __metadata_request__predict_log_proba: ClassVar = {"sample_domain": True}
    __metadata_request__decision_function: ClassVar = {"sample_domain": True}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = takes_sparse(self.pair)
        return tags

    def _unbounded(self) -> str:
        return (
            "the classes are separable and nothing holds the coefficients back, so "
            "that no minimum exists; those returned predict the training rows to "
            f"rounding. Use a finite C (now C={self.C_})."
        )

    def _undecayed(self) -> str:
        if not np.isinf(self.C_):
            return ""
        return " Without decay (C=inf) a minimum need not exist: try C=1e4."

    def _check_lone_rows(self, rows: Any, tie: float) -> None:
        """Check that no domain which is fitted alone would lose a class with a row.

        Its intercept, which nothing holds, would then be infinite.
        """
        held = self._has_tie and not hasattr(self, "domains_")
        alone = not self._strengths(1, self._holding(tie)).all()
        if not self.fit_intercept or (held and not alone):
            return
        n_classes = len(self.classes_)
        cell = rows.y_index
        if alone:
            cell = rows.domain * n_classes + cell
        if rows.weight is not None:
            cell = cell[rows.weight > 0]
        lone = np.flatnonzero(np.bincount(cell) == 1)
        if not len(lone):
            return
        domain, label = divmod(int(lone[0]), n_classes)
        where = ""
        if alone and hasattr(self, "domains_"):
            where = f" of domain {self.domains_[domain]!s}"
        raise NoMinimum(
            f"one row alone{where} has class {self.classes_[label]!s}; without it "
            f"{self._dial(tie)} has no fit"
        )

    def _public(self, rows: FloatArray) -> tuple[FloatArray, Any]:
        return self._cut(rows)

    def _joined(self, coef: FloatArray, intercept: Any) -> FloatArray:
        return self._join(coef, intercept)

    @by_blocks(_scores)
    def decision_function(self, X: Any, *, sample_domain: Any = None) -> FloatArray:
        """Return the log-odds of the second class, or centred scores of all.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to predict, with the columns of `fit`.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for a model fitted with ``sample_domain``.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Raw predictions ``x'w_t + b_t``.
        """
        raw: FloatArray = in_range(self._raw, X, sample_domain)
        return raw[:, 0] if raw.shape[1] == 1 else raw

    @by_blocks(_labels)
    def predict(self, X: Any, *, sample_domain: Any = None) -> Array:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to predict, with the columns of `fit`.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for a model fitted with ``sample_domain``.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        index = most_probable(in_range(self._raw, X, sample_domain))
        return np.asarray(self.classes_[index])

    @by_blocks(_chances)
    def predict_proba(self, X: Any, *, sample_domain: Any = None) -> FloatArray:
        """Return the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to predict, with the columns of `fit`.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for a model fitted with ``sample_domain``.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        return probability(in_range(self._raw, X, sample_domain))

    @by_blocks(_chances)
    def predict_log_proba(self, X: Any, *, sample_domain: Any = None) -> FloatArray:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to predict, with the columns of `fit`.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for a model fitted with ``sample_domain``.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Log-probabilities, accurate where a probability rounds to 0 or 1.
        """
        return log_probability(in_range(self._raw, X, sample_domain))

    def score(
        self, X: Any, y: Any, sample_weight: Any = None, *, sample_domain: Any = None
    ) -> float:
        """Return the accuracy on the given rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to predict, with the columns of `fit`.
        y : array-like of shape (n_samples,)
            True labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for a model fitted with ``sample_domain``.

        Returns
        -------
        float
            Share of the rows that `predict` gets right.
        """
        predicted = self.predict(X, sample_domain=sample_domain)
        y, predicted, sample_weight = map(at_hand, (y, predicted, sample_weight))
        return accuracy(y, predicted, sample_weight)

    def domain_estimator(self, label: Any) -> LogisticRegression:
        """Return a plain classifier for one domain.

        Parameters
        ----------
        label : str or int
            A label in ``domains_``; with ``handle_unknown="shared"``, any.

        Returns
        -------
        LogisticRegression
            A fitted classifier of scikit-learn with the coefficients of the domain, for
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
        elif (index := index - len(self.domains_)) < len(
            getattr(self, "inferred_domains_", ())
        ):
            coef = self.inferred_coef_[index]
            intercept = self.inferred_intercept_[index]
        estimator = LogisticRegression(C=self.C_, fit_intercept=self.fit_intercept)
        estimator.classes_ = self.classes_
        estimator.coef_, estimator.intercept_ = coef.copy(), intercept.copy()
        estimator.n_iter_ = np.array([self.n_iter_], dtype=np.int32)
        estimator.n_features_in_ = self.coef_.shape[1]
        if hasattr(self, "coef_feature_names_"):
            estimator.feature_names_in_ = self.coef_feature_names_
        return estimator
