"""What all priors are: hidden units, and what labels make of them."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import (
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from sktie._labels import check_weight
from sktie._persistence import VersionedEstimator
from sktie._rows import canonical_rows, drop_zero_weight
from sktie._typing import Array, FloatArray, Matrix
from sktie._validation import as_array, overflow_noted
from sktie.linear_model._softmax import softmax_regression
from sktie.nn import ACTIVATIONS
from sktie.priors._class_table import class_table, local_codes, one_hot, sharpen

#: Weight decay of the two models that are fitted to all rows, the scikit-learn default,
#: and of a readout of units, which are far smaller numbers than features.
ANCHOR_C = 1.0
READOUT_C = 10.0


class EncoderPrior(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, VersionedEstimator
):
    """Base of the priors: an encoder ``activation(X @ coef_.T + intercept_)``."""

    coef_: FloatArray
    intercept_: FloatArray
    activation: str
    temperature_: float
    #: Of softmax units: mean squared distance of a row to its centre, inf if unknown.
    _variance: float

    @abstractmethod
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Learn the encoder."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return len(self.coef_)

    def _units(self, X: Matrix) -> FloatArray:
        """Return the outputs of the hidden units for validated rows."""
        raw = X @ self.coef_.T
        raw += self.intercept_
        units, _ = ACTIVATIONS[self.activation](raw)
        return units

    def class_table(
        self, X: Any, y_index: Any, n_classes: int, sample_weight: Any = None
    ) -> FloatArray:
        """Return what the labelled rows say of the clusters.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            All rows, labelled or not.
        y_index : array-like of shape (n_samples,)
            Index of each row's class, from 0 to ``n_classes - 1``; -1 for rows without
            a label.
        n_classes : int
            Number of classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        ndarray of shape (n_clusters, n_classes)
            Class probabilities of each cluster: labels counted where a cluster has
            them, those of neighbouring clusters where it has none.
        """
        X, y_index, weight = self._read(X, y_index, n_classes, sample_weight)
        codes = self._local_codes(X, weight)
        return class_table(codes, y_index, n_classes, weight)

    def class_targets(
        self, X: Any, y_index: Any, n_classes: int, sample_weight: Any = None
    ) -> FloatArray:
        """Return class probabilities of all rows, from the labels of some.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            All rows, labelled or not.
        y_index : array-like of shape (n_samples,)
            Index of each row's class, from 0 to ``n_classes - 1``; -1 for rows without
            a label.
        n_classes : int
            Number of classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Sharpened class probabilities.
        """
        X, y_index, weight = self._read(X, y_index, n_classes, sample_weight)
        return self._targets(X, y_index, weight, n_classes)

    def linear_anchor(
        self, X: Any, y_index: Any, n_classes: int, sample_weight: Any = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return a linear classifier of what the prior and the labels say of all rows.

        It is the softmax regression on `class_targets`, with ``C=1``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            All rows, labelled or not.
        y_index : array-like of shape (n_samples,)
            Index of each row's class, from 0 to ``n_classes - 1``; -1 for rows without
            a label.
        n_classes : int
            Number of classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        coef : ndarray of shape (n_classes, n_features)
            Coefficients, centred over the classes.
        intercept : ndarray of shape (n_classes,)
            Intercepts, centred over the classes.
        """
        rows = self._read(X, y_index, n_classes, sample_weight)
        X, targets, weight = self._lesson(*rows, n_classes)
        with overflow_noted():
            return softmax_regression(X, targets, weight, C=ANCHOR_C)

    def readout_anchor(
        self, X: Any, y_index: Any, n_classes: int, sample_weight: Any = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return a linear classifier of the hidden units, like `linear_anchor` of X.

        It is the softmax regression of `class_targets` on the units, with ``C=10``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            All rows, labelled or not.
        y_index : array-like of shape (n_samples,)
            Index of each row's class, from 0 to ``n_classes - 1``; -1 for rows without
            a label.
        n_classes : int
            Number of classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        coef : ndarray of shape (n_classes, n_units)
            Coefficients, centred over the classes.
        intercept : ndarray of shape (n_classes,)
            Intercepts, centred over the classes.
        """
        rows = self._read(X, y_index, n_classes, sample_weight)
        X, targets, weight = self._lesson(*rows, n_classes)
        with overflow_noted():
            return softmax_regression(self._units(X), targets, weight, C=READOUT_C)

    def _read(
        self, X: Any, y_index: Any, n_classes: int, sample_weight: Any
    ) -> tuple[Matrix, Array, FloatArray | None]:
        """Validate what the methods that see labels get; names are not compared."""
        check_is_fitted(self)
        X = check_array(
            X,
            accept_sparse="csr" if self.__sklearn_tags__().input_tags.sparse else False,
            dtype=[np.float64, np.float32],
            estimator=self,
        )
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but this {type(self).__name__} was "
                f"fitted on {self.n_features_in_}. Pass rows of the same columns."
            )
        whole = isinstance(n_classes, Integral) and not isinstance(n_classes, bool)
        if not whole or not 0 < n_classes < np.iinfo(np.int32).max:
            raise ValueError(
                f"n_classes={n_classes!r}; expected a whole number, how many classes "
                "y_index counts. Pass len(classes)."
            )
        y_index = as_array("y_index", y_index)
        if y_index.shape != (X.shape[0],) or y_index.dtype.kind != "i":
            raise ValueError(
                f"y_index has shape {y_index.shape} and dtype {y_index.dtype}; "
                f"expected one signed integer for each of the {X.shape[0]} rows of X, "
                "the index of its class, or -1."
            )
        if y_index.min() < -1 or y_index.max() >= n_classes:
            raise ValueError(
                f"y_index runs from {y_index.min()} to {y_index.max()}; expected -1 "
                f"(no label) to {n_classes - 1}, for n_classes={n_classes}."
            )
        weight = check_weight(sample_weight, X)
        known = y_index >= 0 if weight is None else (y_index >= 0) & (weight > 0)
        mass = np.bincount(y_index[known], minlength=n_classes)
        if not mass.all():
            raise ValueError(
                f"No labelled row of positive weight belongs to the classes "
                f"{np.flatnonzero(mass == 0).tolist()} of n_classes={n_classes}. Label "
                "a row of each class, or leave these classes out."
            )
        return X, y_index, weight

    def _local_codes(self, X: Matrix, weight: FloatArray | None) -> Any:
        if self.activation != "softmax":
            raise ValueError(
                f"activation={self.activation!r} makes no clusters, and so there is "
                "no cluster-to-class table. Use activation='softmax'."
            )
        # The variance within clusters, on the scale of the scores.
        within = self._variance / self.temperature_
        return local_codes(X, self.coef_, self.intercept_, weight, within)

    def _targets(
        self, X: Matrix, y_index: Array, weight: FloatArray | None, n_classes: int
    ) -> FloatArray:
        if self.activation == "softmax":
            codes = self._local_codes(X, weight)
            probability = codes @ class_table(codes, y_index, n_classes, weight)
        else:
            probability = self._read_out(X, y_index, weight, n_classes)
        return sharpen(probability).astype(X.dtype)

    def _lesson(
        self, X: Matrix, y_index: Array, weight: FloatArray | None, n_classes: int
    ) -> tuple[Matrix, FloatArray, FloatArray]:
        """Return what an anchor is taught: rows, their class targets and weights.

        The regression stops early, and on other rows would stop elsewhere: equal ones
        are merged here too, and all put in canonical order.
        """
        X, mass, y_index = canonical_rows(*drop_zero_weight(X, weight, y_index))
        return X, self._targets(X, y_index, mass, n_classes), mass

    def _read_out(
        self, X: Matrix, y_index: Array, weight: FloatArray | None, n_classes: int
    ) -> FloatArray:
        """Return class probabilities of all rows, by a linear model of the units."""
        units = self._units(X).astype(np.float64)
        units -= np.average(units, axis=0, weights=weight)
        spread = np.sqrt(np.average(np.square(units), axis=0, weights=weight))
        units /= np.where(spread > 0, spread, 1)
        known = y_index >= 0
        coef, intercept = softmax_regression(
            units[known],
            one_hot(y_index[known], n_classes, units.dtype),
            None if weight is None else weight[known],
            C=ANCHOR_C,
        )
        return np.asarray(softmax(units @ coef.T + intercept, axis=1))
