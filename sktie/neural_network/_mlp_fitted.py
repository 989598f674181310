"""What a fitted network with one hidden layer does: predict."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sktie._labels import accuracy
from sktie._loss import most_probable, probability
from sktie._persistence import VersionedEstimator
from sktie._typing import Array, FloatArray
from sktie._validation import in_range
from sktie.neural_network._objective import hidden_units


class FittedMLP(ClassifierMixin, VersionedEstimator):
    """Base of the networks with one hidden layer: all that needs fitted attributes."""

    classes_: Array
    activation_: str
    coefs_: list[FloatArray]
    intercepts_: list[FloatArray]

    def _raw(self, X: Any) -> FloatArray:
        """Return the raw predictions, (n_samples, 1 or n_classes)."""
        check_is_fitted(self)
        X = validate_data(
            self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False
        )
        hidden = np.column_stack([self.coefs_[0].T, self.intercepts_[0]])
        units, _ = hidden_units(X, hidden, self.activation_)
        return np.asarray(units @ self.coefs_[1] + self.intercepts_[1])

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        index = most_probable(in_range(self._raw, X))
        return np.asarray(self.classes_[index])

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        return probability(in_range(self._raw, X))

    def predict_log_proba(self, X: Any) -> FloatArray:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            The logarithm of `predict_proba`; -inf where that is 0.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on the given rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            True labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        float
            Share of the rows that `predict` gets right.
        """
        return accuracy(y, self.predict(X), sample_weight)
