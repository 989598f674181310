"""Domains: which of several each row belongs to, by a column of X or beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from sktie._compat import n_samples_of
from sktie._typing import Array, FloatArray, IntArray
from sktie._validation import as_array, is_frame


def is_column(pair: Any) -> bool:
    """Whether ``pair`` is the name or position of a column of X."""
    return isinstance(pair, (str, Integral)) and not isinstance(pair, bool)


class Columns(NamedTuple):
    """X, cut at the column that holds the domains, if one does.

    Attributes
    ----------
    X : array-like
        What is left to be validated as numbers.
    skip : int or None
        Where X, whole, still holds the column.
    labels : array-like of shape (n_samples,) or None
        The column.
    place : int or None
        Where it was.
    """

    X: Any
    skip: int | None = None
    labels: Any = None
    place: int | None = None

    def without(self) -> Any:
        """Return X without the column: no copy, where that is the first or last."""
        if self.skip is None:
            return self.X
        X = self.X if sp.issparse(self.X) else np.asarray(self.X)
        if self.skip == 0:
            return X[:, 1:]
        if self.skip == X.shape[1] - 1:
            return X[:, :-1]
        return X[:, np.arange(X.shape[1]) != self.skip]


@dataclass(frozen=True)
class Domains:
    """The domains of some rows.

    Attributes
    ----------
    labels : ndarray of shape (n_domains,)
        The distinct labels, sorted.
    index : ndarray of shape (n_samples,)
        Place of each row's label among them.
    source : str
        What the user calls them, for messages.
    """

    labels: Array
    index: IntArray
    source: str


def check_columns(estimator: Any, X: Any, reset: bool) -> None:
    """Check names and number of columns, before those of the domains are cut."""
    if type(X).__name__ == "LazyFrame":  # of polars, which need not be installed
        raise TypeError(
            "X is a LazyFrame, which has no rows yet; expected a data frame. Pass "
            "X.collect()."
        )
    bare = isinstance(X, Mapping | Sequence) and not (len(X) and isinstance(X, list))
    if getattr(X, "ndim", 2) == 1 or (bare and not is_frame(X)):
        check_array(X, dtype=None, estimator=estimator)  # raises: expected 2-D
    validate_data(estimator, X, reset=reset, skip_check_array=True)


def read_domains(
    estimator: Any, X: Any, sample_domain: Any, name: str = "sample_domain"
) -> tuple[Columns, Domains | None]:
    """Return X, cut where ``pair`` names a column, and the domain of each row if any.

    Parameters
    ----------
    estimator : estimator
        Has the parameter ``pair``.
    X : array-like
        Rows, whose names and number of columns have been checked.
    sample_domain : array-like of shape (n_samples,) or None
        Labels beside X.
    name : str
        What the user calls these.
    """
    if estimator.pair is not None and sample_domain is not None:
        raise ValueError(
            f"Both pair={estimator.pair!r} and {name} say what is tied; expected one "
            f"of them. Use pair=None with {name}, or leave {name} out."
        )
    columns, source = Columns(X, labels=sample_domain), name
    if is_column(estimator.pair):
        columns, source = cut_column(X, estimator.pair), f"pair={estimator.pair!r}"
    if columns.labels is None:
        return columns, None
    return columns, encode_domains(columns.labels, source, n_samples_of(columns.X))


def read_columns(
    estimator: Any, X: Any, sample_domain: Any, reset: bool
) -> tuple[Any, int | None, Domains | None]:
    """Check names and number of columns; split off the domain of each row.

    With reset, ``coef_feature_names_`` are set: the names of all columns but that one.

    Returns
    -------
    X : array-like
        What is left to be validated as numbers.
    skip : int or None
        Where X still holds the column of the domains.
    domains : Domains or None
        The domain of each row.
    """
    check_columns(estimator, X, reset)
    columns, domains = read_domains(estimator, X, sample_domain)
    if reset:
        estimator.__dict__.pop("coef_feature_names_", None)
        names = getattr(estimator, "feature_names_in_", None)
        if names is not None:
            place = columns.place
            names = names if place is None else np.delete(names, place)
            estimator.coef_feature_names_ = names
    return columns.X, columns.skip, domains


def check_domain_use(
    estimator: Any, domains: Domains | None, name: str = "sample_domain"
) -> None:
    """Check that domains are given where a fitted model has some, and only there."""
    fitted = hasattr(estimator, "domains_")
    if fitted and domains is None:
        remedy = "name a column of X by pair= instead"
        if hasattr(estimator, "domain_estimator"):
            remedy += ", or take one domain's own model, domain_estimator(label)"
        raise ValueError(
            f"This {type(estimator).__name__} was fitted with domains, but got none: "
            f"pass {name}, one label for each row of X. Where scikit-learn passes "
            f"none on (scorers, calibration, inspection), {remedy}."
        )
    if not fitted and domains is not None:
        raise ValueError(
            f"{name} was given, but the model was fitted without domains. "
            "Leave it out, or fit with sample_domain."
        )


def domain_index(estimator: Any, domains: Domains) -> IntArray:
    """Return each row's domain; an unseen one counts as one more: the shared.

    Members of a graph without rows come after the domains that have some.
    """
    known = estimator.domains_
    inferred = getattr(estimator, "inferred_domains_", known[:0])
    if len(inferred):
        text = known.dtype.kind == "U"
        named = [label for label in inferred.tolist() if isinstance(label, str) == text]
        known = np.array([*known.tolist(), *named])
    remedy = None
    if estimator.handle_unknown == "error":
        remedy = "Use handle_unknown='shared' to predict them by the shared model."
    place = known_domains(domains, known, remedy)
    n_members = len(estimator.domains_) + len(inferred)
    return np.where(place < len(known), place, n_members)


def known_domains(domains: Domains, known: Array, remedy: str | None) -> IntArray:
    """Return where each row's domain is among the known ones, sorted.

    Parameters
    ----------
    domains : Domains
        The domains of some rows.
    known : ndarray of shape (n_domains,)
        Labels that `fit` saw.
    remedy : str or None
        What to do about others, for the message; None: they count as one more.
    """
    found = domains.labels.tolist()
    places = {label: i for i, label in enumerate(known.tolist())}
    unseen = [label for label in found if label not in places]
    text = [labels.dtype.kind == "U" for labels in (domains.labels, known)]
    if text[0] != text[1]:
        raise ValueError(
            f"{domains.source} holds the labels {found[:3]}, but fit saw "
            f"{known[:3].tolist()}; expected labels of the same kind, "
            "strings or integers. Convert them, for example with .astype(str)."
        )
    if unseen and remedy is not None:
        raise ValueError(
            f"{domains.source} holds the domains {unseen}, which fit did not see; "
            f"it saw {known.tolist()}. {remedy}"
        )
    return np.array([places.get(label, len(places)) for label in found])[domains.index]


def of_domains(
    estimator: Any, own: str, shared: Callable[[], FloatArray]
) -> FloatArray:
    """Return parameters of each domain; one stored row where all are shared.

    Parameters
    ----------
    estimator : estimator
        Fitted, with the attribute ``domains_`` where it has domains.
    own : str
        Name of its attribute that holds them, or None where all are shared.
    shared : callable
        Returns those that all domains share.
    """
    if not hasattr(estimator, "domains_"):
        raise AttributeError(
            f"{type(estimator).__name__} has no {own[1:]}_: it is not fitted with "
            "domains."
        )
    if (stored := getattr(estimator, own)) is not None:
        return np.asarray(stored)
    one = shared()
    return np.broadcast_to(one, (len(estimator.domains_), *one.shape))


def _names(X: Any) -> Any:
    # pyarrow's `columns` are the data; its names are `column_names`.
    return X.column_names if hasattr(X, "column_names") else X.columns


def cut_column(X: Any, column: str | int) -> Columns:
    """Split X at the column ``pair`` names.

    Arrays of numbers and sparse matrices stay whole (``skip`` says where the column
    is); data frames and arrays of objects are cut, as their column may hold strings.
    """
    if is_frame(X):
        names = list(_names(X))
        place = _place(column, names, len(names))
        rest = [name for i, name in enumerate(names) if i != place]
        if hasattr(X, "iloc"):
            others = [i for i in range(len(names)) if i != place]
            labels = _as_labels(X.iloc[:, place])
            return Columns(X.iloc[:, others], None, labels, place)
        features = X.select(rest)
        return Columns(features, None, _as_labels(X[names[place]]), place)
    if isinstance(column, str):
        raise ValueError(
            f"pair={column!r} names a column, but X is a {type(X).__name__} without "
            "column names. Pass a data frame, or the position of the column "
            "(pair=-1 is the last)."
        )
    if sp.issparse(X):
        place = _place(column, None, X.shape[1])
        X = check_array(
            X,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
        )
        return Columns(X, place, X[:, [place]].toarray().ravel(), place)
    array = as_array("X", X)
    if array.ndim != 2:
        check_array(array, dtype=None)  # raises scikit-learn's own message
    place = _place(column, None, array.shape[1])
    if array.dtype.kind in "biuf":
        return Columns(X, place, array[:, place], place)
    if array.dtype.kind in "US" and not isinstance(X, np.ndarray):
        # A list of mixed rows: NumPy made strings of the numbers too.
        array = np.asarray(X, dtype=object)
    return Columns(np.delete(array, place, axis=1), None, array[:, place], place)


def _place(column: str | int, names: list[Any] | None, n_columns: int) -> int:
    if n_columns < 2:
        raise ValueError(
            f"X has {n_columns} column(s), and pair={column!r} names the domain of "
            "the rows; expected at least one feature besides. Add features to X."
        )
    if names is not None and isinstance(column, str):
        if column not in names:
            shown = str(names) if n_columns <= 12 else f"{names[:5]} to {names[-5:]}"
            raise ValueError(
                f"pair={column!r} is no column of X, which has the columns {shown}. "
                "Name one of them, or a position (pair=-1 is the last)."
            )
        return names.index(column)
    if not -n_columns <= int(column) < n_columns:
        raise ValueError(
            f"pair={column} is no column of X, which has {n_columns} columns. Use a "
            f"position from {-n_columns} to {n_columns - 1}."
        )
    return int(column) % n_columns


def _as_labels(column: Any) -> Array:
    """Return labels as an array, missing values and types as they were."""
    if isinstance(column, (list, tuple)):
        # NumPy would make strings of numbers and NaN beside strings.
        return as_array("sample_domain", column, object)
    return as_array("sample_domain", column)


def encode_domains(labels: Any, source: str, n_samples: int) -> Domains:
    """Return the domains that the labels of rows name.

    Parameters
    ----------
    labels : array-like of shape (n_samples,)
        Strings, integers, floats with integral values, booleans, or categories.
    source : str
        What the user calls them, for the messages.
    n_samples : int
        Number of rows of X.
    """
    labels = _as_labels(labels)
    if labels.ndim != 1 or len(labels) != n_samples:
        raise ValueError(
            f"{source} has shape {labels.shape}, but X has {n_samples} rows; expected "
            "one label for each row of X, in the same order."
        )
    if labels.dtype.kind == "O":
        return _encode_objects(labels, source)
    if labels.dtype.kind == "f":
        labels = _integral(labels, source)
    if labels.dtype.kind not in "biuUS":
        raise ValueError(
            f"{source} has dtype {labels.dtype}; expected strings, integers or "
            "categories. Convert it, for example with .astype(str)."
        )
    return Domains(*np.unique(labels, return_inverse=True), source)


def _encode_objects(labels: Array, source: str) -> Domains:
    values = labels.tolist()
    try:
        distinct = list(dict.fromkeys(values))
    except TypeError:
        kinds = sorted({type(value).__name__ for value in values})
        raise ValueError(
            f"{source} holds objects of the types {kinds}, which are no labels; "
            "expected strings or integers, one for each row. Convert them to strings."
        ) from None
    if any(_is_missing(value) for value in distinct):
        raise ValueError(_missing(source, sum(_is_missing(value) for value in values)))
    if all(isinstance(value, str) for value in distinct):
        if any(value.endswith("\0") for value in distinct):
            raise ValueError(
                f"{source} holds a label that ends in NUL, which NumPy's strings drop, "
                "so that it would not be told from one without. Strip the labels."
            )
        known: Array = np.array(distinct, dtype=str)
    elif all(isinstance(value, (int, np.integer, np.bool_)) for value in distinct):
        known = np.array([int(value) for value in distinct])
    elif all(isinstance(value, (int, float, np.number)) for value in distinct):
        known = _integral(np.array(distinct, dtype=np.float64), source)
    else:
        kinds = sorted({type(value).__name__ for value in distinct})
        raise ValueError(
            f"{source} mixes labels of the types {kinds}; expected all strings or all "
            "integers. Convert them, for example with .astype(str)."
        )
    if known.dtype.kind == "O":
        raise ValueError(
            f"{source} holds integers that need more than 64 bits. Convert the labels "
            "to strings, with .astype(str)."
        )
    domains, place = np.unique(known, return_inverse=True)
    table = dict(zip(distinct, place.tolist(), strict=True))
    return Domains(domains, np.array([table[value] for value in values]), source)


def _is_missing(value: Any) -> bool:
    # pandas' NA cannot be compared, and its NaT equals nothing.
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _integral(labels: FloatArray, source: str) -> IntArray:
    labels = labels.astype(np.float64)
    if np.isnan(labels).any():
        raise ValueError(_missing(source, int(np.isnan(labels).sum())))
    if np.isinf(labels).any():
        raise ValueError(
            f"{source} holds inf; expected the label of each row's domain, a string "
            "or an integer. Replace it by a label."
        )
    if np.any(labels != np.round(labels)):
        shown = labels[labels != np.round(labels)][:3].tolist()
        raise ValueError(
            f"{source} holds numbers with fractions, such as {shown}; expected the "
            "label of each row's domain. If a scaler changed the column, keep it out: "
            "ColumnTransformer([('scale', StandardScaler(), features)], "
            "remainder='passthrough') leaves it last, for pair=-1."
        )
    if len(labels) and np.abs(labels).max() >= 2**53:
        raise ValueError(
            f"{source} holds floats of 2^53 and more, which do not tell neighbouring "
            "integers apart. Pass the labels as integers or strings."
        )
    return labels.astype(np.int64)


def _missing(source: str, count: int) -> str:
    return (
        f"{source} has {count} missing labels; every row needs the domain it belongs "
        "to. Drop these rows, or give them a label of their own, such as 'unknown'."
    )
