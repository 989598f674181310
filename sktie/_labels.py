"""Targets as indices and weights: classes, class weights, rows without a label."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.metrics import accuracy_score
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from sktie._compat import WRAPPER_FRAMES, check_sample_weight, n_samples_of
from sktie._domains import Domains
from sktie._typing import Array, FloatArray, IntArray, Matrix
from sktie._validation import as_array, numbers_of_rows


@dataclass(frozen=True)
class Sample:
    """Rows, and what is known of their classes.

    Attributes
    ----------
    X : ndarray or CSR container of shape (n_samples, n_features)
        The rows.
    y_index : ndarray of shape (n_samples,)
        Index of each row's class, -1 where it has no label.
    weight : ndarray of shape (n_samples,) or None
        Weights of the rows, those of their classes included.
    factors : ndarray of shape (n_classes,) or None
        Weights of the classes.
    """

    X: Matrix
    y_index: IntArray
    weight: FloatArray | None
    factors: FloatArray | None = None

    def labelled(self) -> Sample:
        """Return the rows that have a label: these, without a copy, if all have."""
        chosen = self.y_index >= 0
        if chosen.all():
            return self
        weight = None if self.weight is None else self.weight[chosen]
        return Sample(self.X[chosen], self.y_index[chosen], weight, self.factors)

    def with_rows(self, X: Matrix) -> Sample:
        """Return these rows and, after them, rows without a label, of weight 1."""
        if sp.issparse(self.X):
            everything: Matrix = sp.vstack([self.X, sp.csr_matrix(X)]).tocsr()
        else:
            dense = X.toarray() if sp.issparse(X) else X
            everything = np.vstack([self.X, dense])
        more = X.shape[0]
        index = np.concatenate([self.y_index, np.full(more, -1, self.y_index.dtype)])
        weight = self.weight
        if weight is not None:
            weight = np.concatenate([weight, np.ones(more, weight.dtype)])
        return Sample(everything, index, weight, self.factors)


def encode_sample(
    X: Matrix,
    y: Array,
    sample_weight: Any,
    class_weight: Any,
    unlabeled: Any,
    known_classes: Array | None = None,
) -> tuple[Array, Sample]:
    """Return the classes, and the rows with their classes as indices.

    Parameters
    ----------
    X : ndarray or CSR container of shape (n_samples, n_features)
        Validated rows.
    y : array of shape (n_samples,)
        Class labels.
    sample_weight, class_weight : array-like or None, dict, "balanced" or None
        As the user gave them.
    unlabeled : object or None
        The label of rows without one; None where every label is a class.
    known_classes : array of shape (n_classes,) or None
        All classes, of which these rows may lack some; None: those of the rows.
    """
    weight = check_weight(sample_weight, X)
    chosen = slice(None) if unlabeled is None else labelled_rows(y, unlabeled)
    known_weight = None if weight is None else weight[chosen]
    if known_classes is None:
        classes, known = encode_classes(y[chosen], known_weight)
    else:
        classes, known = known_classes, index_of_known(y[chosen], known_classes, "y")
    factors = class_weights(class_weight, classes, known, known_weight)
    index = known
    if len(known) < len(y):
        index = np.full(len(y), -1, known.dtype)
        index[chosen] = known
    if factors is not None:
        # The index -1 of rows without a label finds the last factor.
        share = np.append(factors, 1.0)[index].astype(X.dtype)
        weight = share if weight is None else weight * share
    return classes, Sample(X, index, weight, factors)


def labelled_rows(y: Array, unlabeled: Any) -> Array:
    """Return which rows have a label; some must."""
    if isinstance(unlabeled, (bool, np.bool_)) or not np.isscalar(unlabeled):
        raise ValueError(
            f"unlabeled={unlabeled!r} is no mark of rows; expected the label in y of "
            "rows that have none, such as -1, or None where every label is a class."
        )
    if y.dtype.kind == "V":
        raise ValueError(
            f"y has dtype {y.dtype}; expected labels, strings or integers, and the "
            "mark of rows that have none. Pass one column of it."
        )
    chosen = np.ones(len(y), dtype=bool)
    if y.dtype.kind == "O" or (y.dtype.kind in "US") == isinstance(unlabeled, str):
        chosen = np.asarray(y != unlabeled, dtype=bool)
    kinds = {type(label) for label in y[chosen]} if y.dtype.kind == "O" else set()
    if str in kinds and len(kinds) > 1:
        names = ", ".join(sorted(kind.__name__ for kind in kinds - {str}))
        raise ValueError(
            f"y mixes strings with {names}; expected strings alone. Mark rows without "
            "a class by a string too: y.fillna('none') and unlabeled='none'."
        )
    text = y.dtype.kind in "US" or str in kinds
    if chosen.all() and text != isinstance(unlabeled, str):
        holds = "strings" if text else "numbers"
        raise ValueError(
            f"unlabeled={unlabeled!r} cannot mark rows of y, which holds {holds}; "
            "expected a label of the same kind. Mark rows without a class by such a "
            "label in y, and pass it as `unlabeled`."
        )
    if not chosen.any():
        raise ValueError(
            f"y holds no labelled row: all {len(y)} are marked by "
            f"unlabeled={unlabeled!r}. Label at least one row of each class."
        )
    return chosen


def append_unlabeled(estimator: Any, sample: Sample, X_unlabeled: Any) -> Sample:
    """Return the sample with the rows of ``X_unlabeled``, checked against `fit`'s X.

    Without them, an estimator that was told of a mark should have met it in y.
    """
    if X_unlabeled is None:
        if estimator.unlabeled is not None and (sample.y_index >= 0).all():
            warnings.warn(
                f"unlabeled={estimator.unlabeled!r}, but no row of y is marked so. If "
                "some were: meta-estimators such as BaggingClassifier or "
                "OneVsRestClassifier number the labels anew, and the mark becomes a "
                "class. Pass rows without labels to them by X_unlabeled, with metadata "
                "routing.",
                UserWarning,
                stacklevel=4 + WRAPPER_FRAMES,
            )
        return sample
    X = check_array(
        X_unlabeled,
        accept_sparse="csr",
        dtype=sample.X.dtype,
        estimator=estimator,
        input_name="X_unlabeled",
    )
    if X.shape[1] != sample.X.shape[1]:
        raise ValueError(
            f"X_unlabeled has {X.shape[1]} features, but X has {sample.X.shape[1]}; "
            "expected the same columns. Drop or add columns of X_unlabeled."
        )
    validate_data(estimator, X_unlabeled, reset=False, skip_check_array=True)
    return sample.with_rows(X)


def check_weight(sample_weight: Any, X: Matrix) -> FloatArray | None:
    """Return the weights, or None; some row must weigh something."""
    if sample_weight is None:
        return None
    given = as_array("sample_weight", sample_weight)
    if given.dtype.kind in "biuf" and given.size and not given.any():
        raise ValueError(
            "All sample weights are zero; expected at least one positive weight. "
            "Leave sample_weight out to weigh all rows alike."
        )
    weight: FloatArray = check_sample_weight(sample_weight, X)
    limits = np.finfo(weight.dtype)
    with np.errstate(over="ignore"):
        total = weight.sum(dtype=np.float64)
    if not limits.tiny / limits.eps <= total <= limits.max * limits.eps:
        raise ValueError(
            f"sample_weight adds up to {total:g}, which is too small or too large to "
            f"compute with in {weight.dtype}. Divide the weights by their mean."
        )
    return weight


def accuracy(y: Any, predicted: Array, sample_weight: Any) -> float:
    """Return the weighted share of right predictions, weights and labels checked."""
    weight = check_weight(sample_weight, np.empty((len(predicted), 1)))
    return float(accuracy_score(y, predicted, sample_weight=weight))


def check_label_kind(y: Array) -> None:
    """Check that labels are such of classes, and no numbers with fractions."""
    if y.dtype.kind not in "biuUS":
        check_one_kind(y)
        check_classification_targets(y)


def encode_classes(y: Array, weight: FloatArray | None) -> tuple[Array, IntArray]:
    """Return the classes of rows that weigh something, and each row's index.

    Rows of weight zero may have a class that no other row has; they get index 0.
    """
    check_label_kind(y)
    classes = distinct(y if weight is None else y[weight > 0])
    if len(classes) == 0:
        raise ValueError(
            "No row with a label has a positive weight; expected rows of at least two "
            "classes that weigh something. Give labelled rows positive sample weights."
        )
    if len(classes) < 2:
        rows = "y" if weight is None else "y, where sample_weight is positive,"
        raise ValueError(
            f"{rows} holds one class, {classes.tolist()[0]!r}; a classifier needs at "
            "least two classes. Add rows of another class."
        )
    index: IntArray
    if len(classes) == 2:
        # A comparison, not a search: one byte a row instead of eight.
        index = (y == classes[1]).astype(np.int8)
    else:
        index = np.searchsorted(classes, y)
        index[index == len(classes)] = 0
    return classes, index


def check_one_kind(y: Array) -> None:
    """Check that labels in an array of objects can be put in order."""
    if y.dtype.kind != "O":
        return
    kinds = sorted({type(label).__name__ for label in y.ravel().tolist()})
    if len(kinds) > 1 and {"str", "bytes", "NoneType", "NAType"} & set(kinds):
        raise ValueError(
            f"y mixes labels of the types {kinds}; expected all strings or all "
            "numbers, and none missing. Convert them, for example with .astype(str)."
        )


def distinct(y: Array) -> Array:
    """Return the sorted distinct values, without a sort where few integers occur."""
    check_one_kind(y)
    if y.dtype.kind in "iu" and len(y):
        low, high = int(y.min()), int(y.max())
        if high - low < 256:
            offsets = y.astype(np.int64, copy=False) - low
            return (np.flatnonzero(np.bincount(offsets)) + low).astype(y.dtype)
    return np.unique(y)


def check_partial_classes(estimator: Any) -> None:
    """Check that the weights of classes need not be known for all rows at once."""
    if estimator.class_weight == "balanced":
        raise ValueError(
            "partial_fit does not know how many rows each class will have, so "
            "class_weight='balanced' has no meaning. Pass sample_weight, or a dict."
        )


def classes_to_come(classes: Any, known: Array | None) -> Array:
    """Return all classes of `partial_fit`: as its first call has named them.

    Parameters
    ----------
    classes : array-like or None
        As the user gave them.
    known : array of shape (n_classes,) or None
        Those of the first call, if this is not the first.
    """
    if known is None:
        named = _named(classes)
        if len(named) < 2:
            raise ValueError(
                f"classes={np.asarray(classes).tolist()} names one class; expected "
                "all that will ever occur, at least two classes. Name the others."
            )
        return named
    if classes is not None and not np.array_equal(_named(classes), known):
        raise ValueError(
            f"classes={np.asarray(classes).tolist()}, but the first call of "
            f"partial_fit had {known.tolist()}. Leave `classes` out, or start with a "
            "new estimator."
        )
    return known


def _named(classes: Any) -> Array:
    """Return the distinct labels that a user has named."""
    given = as_array("classes", classes)
    if given.ndim != 1 or not len(given) or given.dtype.kind not in "biufUSO":
        raise ValueError(
            f"classes={classes!r}; expected all labels that will ever occur in y, in "
            "one row. Pass them as classes=np.unique(y)."
        )
    missing = given.dtype.kind == "f" and bool(np.isnan(given).any())
    if missing or (given.dtype.kind == "O" and any(x is None for x in given)):
        raise ValueError(
            f"classes={classes!r} holds a missing label; expected all labels that will "
            "ever occur in y. Leave it out."
        )
    return distinct(given)


def index_of_known(y: Array, classes: Array, name: str) -> IntArray:
    """Return class indices of labels, all of which must be known."""
    unknown = ~np.isin(y, classes)
    if unknown.any():
        raise ValueError(
            f"{name} holds the labels {np.unique(y[unknown]).tolist()}, which are none "
            f"of the classes {classes.tolist()}. Drop these rows, or name all classes "
            "from the start."
        )
    return np.searchsorted(classes, y)


def class_weights(
    class_weight: Any, classes: Array, index: IntArray, weight: FloatArray | None
) -> FloatArray | None:
    """Return a factor for each class, or None where all are 1.

    ``"balanced"`` is ``sum of weights / (n_classes * weight of the class)``.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        mass = np.bincount(index, weights=weight, minlength=len(classes))
        return np.asarray(mass.sum() / (len(classes) * mass))
    known = classes.tolist()
    unknown = [label for label in class_weight if label not in known]
    if unknown and not set(known) <= set(class_weight):
        raise ValueError(
            f"class_weight has the labels {unknown}, which y does not hold, and lacks "
            f"some of its classes {known}. Use these as keys."
        )
    given = [class_weight.get(label, 1.0) for label in known]
    factors = as_array("class_weight", given, np.float64).tolist()
    if not all(np.isfinite(factor) and factor > 0 for factor in factors):
        raise ValueError(
            f"class_weight={class_weight!r} holds weights that are not positive and "
            "finite. To leave a class out, drop its rows."
        )
    return np.array(factors)


def check_domain_classes(
    domains: Domains,
    y_index: IntArray,
    classes: Array,
    weight: FloatArray | None,
    alone: str | None,
    remedy: str,
) -> None:
    """Check that every domain weighs something, and that it can be fitted.

    Parameters
    ----------
    domains, y_index, weight : Domains, array, array or None
        The domain, class and weight of each row.
    classes : array of shape (n_classes,)
        Class labels.
    alone : str or None
        The parameters by which domains are fitted alone, for the message; None where
        they are not, so that they may miss classes.
    remedy : str
        By which they would not be.
    """
    n_classes = len(classes)
    cell = domains.index.astype(np.intp) * n_classes + y_index
    n_cells = len(domains.labels) * n_classes
    mass = np.bincount(cell, weights=weight, minlength=n_cells).reshape(-1, n_classes)
    empty = domains.labels[mass.sum(axis=1) == 0].tolist()
    if empty:
        raise ValueError(
            f"The domains {empty} have weight zero; expected some row of positive "
            "weight in every domain. Drop the rows of these domains."
        )
    lacking = (mass == 0).any(axis=1)
    if alone is not None and lacking.any():
        which = {
            label: classes[row > 0].tolist()
            for label, row in zip(
                domains.labels[lacking].tolist(), mass[lacking], strict=True
            )
        }
        raise ValueError(
            f"{alone} fits domains alone, but these hold only some of the classes "
            f"{classes.tolist()}: {which}. Use {remedy}, or drop these domains."
        )


def check_exposure(sample_exposure: Any, X: Any) -> Any:
    """Return exposures as numbers, one for each row of X, or None."""
    if sample_exposure is None:
        return None
    exposure = numbers_of_rows("sample_exposure", sample_exposure, n_samples_of(X))
    if not (np.isfinite(exposure).all() and (exposure > 0).all()):
        wrong = exposure[~(np.isfinite(exposure) & (exposure > 0))][0]
        raise ValueError(
            f"sample_exposure holds {wrong}; expected positive finite numbers. Drop "
            "rows that were not exposed."
        )
    return exposure
