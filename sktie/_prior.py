"""What an estimator must offer to be a prior, and how the value of ``pair`` is one."""

from __future__ import annotations

import warnings
from typing import Any, Protocol, runtime_checkable

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from sktie._compat import WRAPPER_FRAMES
from sktie._labels import Sample
from sktie._typing import Array, FloatArray


@runtime_checkable
class Prior(Protocol):
    """The prior interface: an estimator that offers a model to be tied to.

    An unfitted prior given as ``pair`` is cloned, and its clone is asked once in each
    fit; a prior inside a ``FrozenEstimator`` is asked as it is.
    """

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Learn from the features alone; ``y`` is ignored."""

    def linear_anchor(
        self, X: Any, y_index: Array, n_classes: int, sample_weight: Any = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return ``(coef, intercept)`` of a linear classifier.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows of the fit.
        y_index : array of shape (n_samples,)
            Index of each row's class, -1 for rows without a label.
        n_classes : int
            Number of classes.
        sample_weight : array of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        coef : ndarray of shape (1, n_features) or (n_classes, n_features)
            One row for two classes, log-odds of the second.
        intercept : ndarray of shape (1,) or (n_classes,)
            In the same units.
        """


@runtime_checkable
class Encoder(Protocol):
    """A prior that is a layer of hidden units.

    Their outputs are ``activation(X @ coef_.T + intercept_)``. Fitted, it has the
    attributes below; only the methods are checked, as it may yet have to be fitted.

    Attributes
    ----------
    coef_ : ndarray of shape (n_units, n_features)
        Weights of the units.
    intercept_ : ndarray of shape (n_units,)
        Their intercepts.
    activation : str
        A name in ``sktie.nn.ACTIVATIONS``.
    """

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Learn from the features alone; ``y`` is ignored."""

    def readout_anchor(
        self, X: Any, y_index: Array, n_classes: int, sample_weight: Any = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return ``(coef, intercept)`` of a linear classifier of the hidden units.

        Parameters are those of `Prior.linear_anchor`; ``coef`` has ``n_units`` columns.
        """


def find_prior(pair: Any) -> Any:
    """Return the prior that ``pair`` is or holds, or None."""
    source = pair.estimator if isinstance(pair, FrozenEstimator) else pair
    while isinstance(source, Pipeline):
        source = source[-1]
    return source if isinstance(source, Prior) else None


def takes_sparse(pair: Any) -> bool:
    """Whether a model with this ``pair`` can be fitted to sparse rows."""
    prior = find_prior(pair)
    return prior is None or bool(get_tags(prior).input_tags.sparse)


def fitted_prior(pair: Any, sample: Sample, feature_names: Array | None) -> Any:
    """Return the prior in ``pair``, fitted: a clone on these rows, or the frozen one.

    Parameters
    ----------
    pair : prior, or FrozenEstimator
        As the user gave it.
    sample : Sample
        All rows, labelled or not.
    feature_names : array of shape (n_features,) or None
        Names of the columns of the rows.
    """
    prior = find_prior(pair)
    if isinstance(pair, Pipeline):
        raise ValueError(
            f"pair is a pipeline that ends in {type(prior).__name__}(); its other "
            "steps would not be applied to the rows of this model. Put these steps "
            "before this model in one pipeline, and pass the prior alone."
        )
    if not isinstance(pair, FrozenEstimator):
        prior = clone(prior).fit(sample.X, None, sample_weight=sample.weight)
        if feature_names is not None:  # It was fitted on what a frame was made to.
            prior.feature_names_in_ = feature_names
        return prior
    name = type(prior).__name__
    try:
        check_is_fitted(prior)
    except NotFittedError:
        raise NotFittedError(
            f"pair=FrozenEstimator({name}()) holds a prior that is not fitted. Fit it "
            f"first, or pass pair={name}() to have it fitted here."
        ) from None
    n_features = sample.X.shape[1]
    if getattr(prior, "n_features_in_", n_features) != n_features:
        raise ValueError(
            f"pair={name}() was fitted on {prior.n_features_in_} features, but X has "
            f"{n_features}. Fit both on the same columns."
        )
    theirs = getattr(prior, "feature_names_in_", None)
    if theirs is None or feature_names is None:
        return prior
    if list(theirs) != list(feature_names):
        raise ValueError(
            f"pair={name}() was fitted on the columns {list(theirs)}, but X has "
            f"{list(feature_names)}; expected the same, in the same order. Select and "
            "order the columns of X."
        )
    return prior


def check_unlabeled(pair: Any, unlabeled: Any, X_unlabeled: Any, y: Array) -> None:
    """Check that rows without a label have a prior that learns from them."""
    if find_prior(pair) is None:
        for name, value in (("unlabeled", unlabeled), ("X_unlabeled", X_unlabeled)):
            if value is not None:
                raise ValueError(
                    f"{name} was given, but pair={pair!r} is no prior that learns from "
                    "rows without labels. Use pair=KMeansPrior(...) or "
                    f"pair=AutoencoderPrior(...), or leave {name} out."
                )
        return
    if unlabeled is not None:
        return
    if y.dtype.kind in "ifO" and (y == -1).any() and len(set(y.tolist())) > 2:
        warnings.warn(
            "y holds -1 and at least two other labels, and unlabeled=None makes -1 a "
            "class like any other. If -1 marks rows without a label, set unlabeled=-1.",
            UserWarning,
            stacklevel=4 + WRAPPER_FRAMES,
        )
