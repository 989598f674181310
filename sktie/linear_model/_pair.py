"""What a model may be tied to: the values of ``pair`` and how each is read."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from sktie._compat import WRAPPER_FRAMES
from sktie._labels import Sample
from sktie._prior import find_prior, fitted_prior
from sktie._shares import Shares
from sktie._typing import Array, FloatArray, IntArray


def resolve_anchor(
    pair: Any, sample: Sample, classes: Array, feature_names: Array | None
) -> tuple[FloatArray, FloatArray, Any]:
    """Return the coefficients and intercepts to be tied to, and the prior they are of.

    Parameters
    ----------
    pair : fitted linear classifier, prior, or (coef, intercept)
        As the user gave it.
    sample : Sample
        All rows of the fit, for priors.
    classes : array of shape (n_classes,)
        Classes of the new model, in order.
    feature_names : array of shape (n_features,) or None
        Names of the features of the new model.

    Returns
    -------
    coef, intercept : ndarrays of shape (rows, n_features) and (rows,)
        The anchor.
    prior : estimator or None
        The fitted prior, where ``pair`` is one.
    """
    n_features, n_classes = sample.X.shape[1], len(classes)
    if isinstance(pair, tuple):
        return *_from_arrays(pair, n_features, n_classes), None
    if isinstance(pair, (bool, type)):
        raise ValueError(
            f"The 'pair' parameter is {pair!r}; expected None, a column of X, "
            "FrozenEstimator(fitted_classifier), or (coef, intercept). Name the column "
            "of the domains, or leave pair out."
        )
    if find_prior(pair) is not None:
        prior = fitted_prior(pair, sample, feature_names)
        anchor = prior.linear_anchor(
            sample.X, sample.y_index, n_classes, sample_weight=sample.weight
        )
        return *_from_arrays(anchor, n_features, n_classes), prior
    source, names = last_step(pair)
    found = _from_classifier(source, names, n_features, feature_names, classes)
    return *found, None


def resolve_regressor(
    pair: Any, n_features: int, n_outputs: int, feature_names: Array | None
) -> tuple[FloatArray, FloatArray]:
    """Return the coefficients and intercepts that a regressor is to be tied to.

    Parameters
    ----------
    pair : fitted linear regressor, or (coef, intercept)
        As the user gave it.
    n_features, n_outputs : int
        Numbers of features and of targets of the new model.
    feature_names : array of shape (n_features,) or None
        Names of its features.

    Returns
    -------
    coef, intercept : ndarrays of shape (n_outputs, n_features) and (n_outputs,)
        The anchor.
    """
    if isinstance(pair, tuple):
        coef, intercept = _numbers(pair, "regressor")
    elif isinstance(pair, (bool, type)):
        raise ValueError(
            f"The 'pair' parameter is {pair!r}; expected None, a column of X, "
            "FrozenEstimator(fitted_regressor), or (coef, intercept). Name the column "
            "of the domains, or leave pair out."
        )
    elif (prior := find_prior(pair)) is not None:
        raise ValueError(
            f"pair={prior!r} says what classes may look like, and y holds numbers; "
            "expected None, a column of X, FrozenEstimator(fitted_regressor), or "
            "(coef, intercept). A prior serves classifiers, or as a step before this "
            "model in a pipeline."
        )
    else:
        source, names = last_step(pair)
        coef, intercept = _parameters_of(source, names, feature_names)
    _check_finite(coef, intercept, n_features, "regressor")
    if len(coef) != n_outputs or intercept.shape not in ((1,), (n_outputs,)):
        raise ValueError(
            f"pair has coefficients of shape {coef.shape} and intercepts of shape "
            f"{intercept.shape}; expected {n_outputs} of each, one for each target in "
            "y. Fit both on the same targets."
        )
    return coef, np.broadcast_to(intercept, (n_outputs,))


def resolve_precision(
    pair: Any,
    n_coefs: int,
    n_outputs: int,
    feature_names: Array | None,
    shares: Shares | None,
) -> FloatArray:
    """Return the curvature of the fitted model that ``pair`` is, in our order.

    Parameters
    ----------
    pair : fitted tied model
        As the user gave it; its coefficients have been read and checked.
    n_coefs, n_outputs : int
        Numbers of coefficients, the intercept among them, and of outputs.
    feature_names : array of shape (n_features,) or None
        Names of the features of the new model.
    shares : Shares or None
        Which of its coefficients are equal.

    Returns
    -------
    ndarray of shape (n_outputs * n_coefs, n_outputs * n_coefs)
        The Hessian of its objective. Where the pair shares coefficients as the new
        model does, that of the stored ones.
    """
    source: Any = pair
    names = None
    if not isinstance(pair, tuple):
        source, names = last_step(pair)
    if not hasattr(source, "_precision"):
        kind = f"{type(source).__name__}()"
        raise ValueError(
            f"metric='fisher' with pair={kind}, which keeps no curvature; expected a "
            "tied model of this package. Fit the pair as TiedLogisticRegression("
            "store_covariance=True), which without a pair of its own is "
            "scikit-learn's, or use metric='identity'."
        )
    precision = np.asarray(source._precision())
    theirs = source._shares
    if theirs is not None:
        if shares is None or not (
            np.array_equal(theirs.index, shares.index)
            and np.allclose(theirs.ratio, shares.ratio)
        ):
            raise ValueError(
                "metric='fisher' with a pair that shares coefficients: it knows "
                "nothing about their differences. Share the same features, in the "
                "same order, or use metric='identity'."
            )
        return precision
    if len(precision) != n_coefs * n_outputs:
        raise ValueError(
            f"metric='fisher': the curvature of the pair is for {len(precision)} "
            f"numbers, but the model has {n_coefs * n_outputs}. Fit both with the same "
            "fit_intercept, features and classes."
        )
    n_features = source.coef_.shape[1]
    order = feature_order(n_features, source, names, feature_names)
    own = np.append(order, np.arange(n_features, n_coefs))
    place = (n_coefs * np.arange(n_outputs)[:, np.newaxis] + own).ravel()
    return np.asarray(precision[np.ix_(place, place)])


def last_step(pair: Any) -> tuple[Any, Array | None]:
    """Return the model that ``pair`` holds, and the names of a pipeline's features."""
    source = pair.estimator if isinstance(pair, FrozenEstimator) else pair
    names = None
    while isinstance(source, Pipeline):
        names = _names_into_last_step(source)
        source = source[-1]
    return source, names


def _parameters_of(
    source: Any, names: Array | None, feature_names: Array | None
) -> tuple[FloatArray, FloatArray]:
    """Return the parameters of a fitted linear regressor, features in our order."""
    kind = type(source).__name__
    lacking = [a for a in ("coef_", "intercept_") if not hasattr(source, a)]
    if lacking or hasattr(source, "classes_"):
        what = f"no {', '.join(lacking)}" if lacking else "classes_"
        raise ValueError(
            f"pair={kind}() has {what}: it is no fitted linear regressor. Fit it "
            "first. If it was fitted, clone() (which GridSearchCV, cross_val_score and "
            "Pipeline call) has stripped it: pass FrozenEstimator(fitted_"
            f"{kind.lower()}) from sklearn.frozen."
        )
    coef, intercept = _dense_parameters(source)
    return _by_names(coef, source, names, feature_names), intercept


def _dense_parameters(source: Any) -> tuple[FloatArray, FloatArray]:
    coef = source.coef_.toarray() if sp.issparse(source.coef_) else source.coef_
    coef = np.atleast_2d(np.asarray(coef, dtype=np.float64))
    return coef, np.asarray(source.intercept_, dtype=np.float64).ravel()


def _by_names(
    coef: FloatArray, source: Any, names: Array | None, feature_names: Array | None
) -> FloatArray:
    """Return columns in the order of our features, where both know names."""
    if names is None:
        names = getattr(
            source, "coef_feature_names_", getattr(source, "feature_names_in_", None)
        )
    if names is None or feature_names is None:
        return coef
    return _by_name(coef, list(names), list(feature_names))


def feature_order(
    n_features: int, source: Any, names: Array | None, feature_names: Array | None
) -> IntArray:
    """Return where each of our features is among those of a fitted model."""
    places: FloatArray = np.arange(float(n_features))[np.newaxis]
    return np.asarray(_by_names(places, source, names, feature_names)[0], np.intp)


def _names_into_last_step(pipeline: Pipeline) -> Array | None:
    try:
        names: Array = pipeline[:-1].get_feature_names_out()
    except (AttributeError, ValueError, NotFittedError):
        return None
    return names


def _from_arrays(
    pair: tuple[Any, ...], n_features: int, n_classes: int
) -> tuple[FloatArray, FloatArray]:
    coef, intercept = _numbers(pair, "classifier")
    _check_arrays(coef, intercept, n_features, n_classes)
    intercept = np.broadcast_to(intercept, (coef.shape[0],))
    return one_scale(coef, intercept, n_classes)


def _numbers(pair: tuple[Any, ...], kind: str) -> tuple[FloatArray, FloatArray]:
    """Return the arrays of a pair of arrays; ``kind`` is what they are of."""
    if len(pair) != 2:
        raise ValueError(
            f"pair is a tuple of {len(pair)} items; expected (coef, intercept), with "
            f"coef as in coef_ and intercept as in intercept_ of a fitted {kind}."
        )
    try:
        if any(np.iscomplexobj(part) for part in pair):
            raise TypeError  # NumPy would drop the imaginary part
        coef: FloatArray = np.atleast_2d(np.asarray(pair[0], dtype=np.float64))
        intercept: FloatArray = np.atleast_1d(np.asarray(pair[1], dtype=np.float64))
    except (TypeError, ValueError):
        raise ValueError(
            f"pair=({type(pair[0]).__name__}, {type(pair[1]).__name__}) does not hold "
            "numbers; expected arrays (coef, intercept)."
        ) from None
    return coef, intercept


def _check_arrays(
    coef: FloatArray, intercept: FloatArray, n_features: int, n_classes: int
) -> None:
    _check_finite(coef, intercept, n_features, "classifier")
    rows = (1, 2) if n_classes == 2 else (n_classes,)
    if coef.shape[0] not in rows:
        wanted = "1 or 2 rows" if n_classes == 2 else f"{n_classes} rows"
        raise ValueError(
            f"pair has coefficients with {coef.shape[0]} rows; expected {wanted} for "
            f"the {n_classes} classes in y, in their sorted order."
        )
    if intercept.shape not in ((1,), (coef.shape[0],)):
        raise ValueError(
            f"pair has intercepts of shape {intercept.shape}; expected "
            f"({coef.shape[0]},), one for each row of the coefficients."
        )


def _check_finite(
    coef: FloatArray, intercept: FloatArray, n_features: int, kind: str
) -> None:
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise ValueError(
            "pair holds NaN or infinite numbers; expected the finite coefficients "
            f"and intercepts of a fitted {kind}."
        )
    if coef.ndim > 2 or intercept.ndim > 1:
        raise ValueError(
            f"pair has coefficients of shape {coef.shape} and intercepts of shape "
            f"{intercept.shape}; expected (rows, features) and (rows,), as coef_ and "
            f"intercept_ of a fitted {kind}."
        )
    if coef.shape[1] != n_features:
        raise ValueError(
            f"pair has coefficients for {coef.shape[1]} features, but X has "
            f"{n_features}. Fit both on the same features."
        )


def one_scale(
    coef: FloatArray, intercept: FloatArray, n_classes: int
) -> tuple[FloatArray, FloatArray]:
    """Return log-odds of the second of two classes, or rows centred over classes."""
    if n_classes == 2:
        if len(coef) == 2:
            return coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        return coef, intercept
    return coef - coef.mean(axis=0), intercept - intercept.mean()


def _from_classifier(
    source: Any,
    names: Array | None,
    n_features: int,
    feature_names: Array | None,
    classes: Array,
) -> tuple[FloatArray, FloatArray]:
    kind = type(source).__name__
    lacking = [a for a in ("coef_", "intercept_", "classes_") if not hasattr(source, a)]
    if lacking:
        raise ValueError(
            f"pair={kind}() has no {', '.join(lacking)}: it is no fitted linear "
            "classifier and offers no anchor of its own. Fit it first. If it was "
            "fitted, clone() (which GridSearchCV, cross_val_score and Pipeline call) "
            f"has stripped it: pass FrozenEstimator(fitted_{kind.lower()}) from "
            "sklearn.frozen."
        )
    if not hasattr(source, "predict_proba"):
        warnings.warn(
            f"pair={kind}() predicts no probabilities: its coefficients are no "
            "log-odds, and their scale may not suit a logistic model. Prefer a "
            "LogisticRegression as pair, or choose `tie` by cross-validation.",
            UserWarning,
            stacklevel=7 + WRAPPER_FRAMES,
        )
    coef, intercept = _dense_parameters(source)
    coef, intercept = _by_class(coef, intercept, np.asarray(source.classes_), classes)
    coef = _by_names(coef, source, names, feature_names)
    return _from_arrays((coef, intercept), n_features, len(classes))


def _by_class(
    coef: FloatArray, intercept: FloatArray, theirs: Array, ours: Array
) -> tuple[FloatArray, FloatArray]:
    """Reorder rows by class label; one row of log-odds changes its sign."""
    known = theirs.tolist()
    if set(known) != set(ours.tolist()):
        raise ValueError(
            f"pair knows the classes {known}, but y holds {ours.tolist()}; tied models "
            "need the same classes. Map the labels of one to those of the other."
        )
    order = [known.index(label) for label in ours.tolist()]
    intercept = np.broadcast_to(intercept, (len(coef),))
    if len(coef) == 1:
        sign = 1.0 if order == [0, 1] else -1.0
        return sign * coef, sign * intercept
    return coef[order], intercept[order]


def _by_name(coef: FloatArray, theirs: list[Any], ours: list[Any]) -> FloatArray:
    """Reorder columns by feature name."""
    missing = [name for name in ours if name not in theirs]
    extra = [name for name in theirs if name not in ours]
    if missing or extra:
        raise ValueError(
            "pair and X have different features: "
            f"pair lacks {missing or 'none'}, X lacks {extra or 'none'}. Fit both on "
            "the same columns, or rename them."
        )
    return coef[:, [theirs.index(name) for name in ours]]
