"""Odd values for the arguments and parameters of public methods, by name.

Each table is for a role that an argument can play, and maps the name of an oddity to a
function of the valid value: the same numbers in an odd container, or odd numbers, or
something else altogether. Nothing here is random, so that a name is a value.
"""

import collections
import copy
import datetime
import decimal
import fractions
import tempfile
import warnings

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktie import FeatureTie, KMeansPrior, TiedLogisticRegression

try:
    import polars as pl
except ImportError:  # what needs it is not made
    pl = None
try:
    import pyarrow as pa
except ImportError:
    pa = None

# --- Containers ----------------------------------------------------------------------


class NotAnArray:
    """Knows nothing of arrays but how to become one."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


class Liar:
    """Says it has a shape and is no array."""

    shape = (60, 3)
    ndim = 2


def at(X, place, value):
    """Return a copy with another number at one place."""
    out = np.array(X, dtype=np.float64)
    if out.size:
        out.flat[place] = value
    return out


def locked(X):
    out = np.array(X)
    out.setflags(write=False)
    return out


def wide(X):
    """Return a view of every other column of something larger."""
    X = np.asarray(X)
    out = np.zeros((*X.shape[:-1], 2 * X.shape[-1]), dtype=X.dtype)
    out[..., ::2] = X
    return out[..., ::2]


def memmap(X):
    with tempfile.TemporaryFile() as file:
        out = np.memmap(file, dtype=X.dtype, mode="w+", shape=X.shape)
    out[:] = X
    return out


def structured(X):
    X = np.asarray(X)
    kind = [(f"f{i}", "f8") for i in range(X.shape[-1] if X.ndim > 1 else 1)]
    return np.zeros(len(X), dtype=kind)


def matrix(X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.matrix(X)


def flat(X):
    return np.asarray(X).reshape(len(X), -1)


def frame(X, names=None):
    X = flat(X)
    return pd.DataFrame(X, columns=names or [f"x{i}" for i in range(X.shape[1])])


def csr(X):
    return sp.csr_matrix(flat(X))


def unsorted(X):
    """Return CSR rows whose columns are in falling order."""
    X = csr(X)
    indices, data = X.indices.copy(), X.data.copy()
    for a, b in zip(X.indptr[:-1], X.indptr[1:], strict=True):
        indices[a:b], data[a:b] = indices[a:b][::-1].copy(), data[a:b][::-1].copy()
    return sp.csr_matrix((data, indices, X.indptr), shape=X.shape)


def doubled(X):
    """Return CSR rows with every entry stored as two halves."""
    X = csr(X)
    indices, data = np.repeat(X.indices, 2), np.repeat(X.data / 2, 2)
    return sp.csr_array((data, indices, 2 * X.indptr), shape=X.shape)


def long_indices(X):
    X = csr(X)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def sparse_with(X, value):
    X = csr(X)
    X.data[:1] = value
    return X


FORMATS = ("csr", "csc", "coo", "lil", "dok", "dia", "bsr")
INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]

#: The same numbers, or nearly, in another container, for any array.
SAME = {
    "list": lambda v: np.asarray(v).tolist(),
    "tuple": lambda v: tuple(np.asarray(v).tolist()),
    "deque": lambda v: collections.deque(np.asarray(v).tolist()),
    "list of scalars": lambda v: list(np.asarray(v)),
    "Fortran order": np.asfortranarray,
    "negative strides": lambda v: np.ascontiguousarray(v[::-1])[::-1],
    "not contiguous": wide,
    "read-only": locked,
    "memmap": memmap,
    "object": lambda v: np.asarray(v).astype(object),
    "masked, nothing masked": lambda v: np.ma.masked_array(v),
    "masked": lambda v: np.ma.masked_array(
        v, np.arange(np.size(v)).reshape(v.shape) < 1
    ),
    "matrix": matrix,
    "array protocol": NotAnArray,
    "big-endian": lambda v: v.astype(v.dtype.newbyteorder(">")),
}
#: What is no array of the kind, for any array.
OTHER = {
    "None": lambda v: None,
    "0-d": lambda v: np.float64(1.0),
    "0-d array": lambda v: np.array(1.0),
    "empty": lambda v: v[:0],
    "empty list": lambda v: [],
    "more axes": lambda v: np.asarray(v)[..., np.newaxis],
    "an axis before": lambda v: np.asarray(v)[np.newaxis],
    "one row": lambda v: v[:1],
    "two rows": lambda v: v[:2],
    "one row less": lambda v: v[:-1],
    "one row more": lambda v: np.concatenate([v, v[:1]]),
    "string": lambda v: "abc",
    "bytes": lambda v: b"abc",
    "dict": lambda v: {"a": [1, 2]},
    "set": lambda v: {1, 2},
    "range": lambda v: range(len(v)),
    "generator": lambda v: (x for x in v),
    "object()": lambda v: object(),
    "class": lambda v: dict,
    "liar": lambda v: Liar(),
    "ragged": lambda v: [[1.0, 2.0], [1.0]] * (len(v) // 2),
    "Nones": lambda v: [None] * len(v),
    "complex": lambda v: (
        np.asarray(v, dtype=complex) + 1j
        if np.asarray(v).dtype.kind in "fiub"
        else None
    ),
    "dates": lambda v: np.full(np.shape(v), np.datetime64("2020-01-01")),
    "durations": lambda v: np.full(np.shape(v), np.timedelta64(1, "s")),
    "void": lambda v: np.zeros(np.shape(v), dtype="V4"),
    "lists in objects": lambda v: np.array([[1], [1, 2]] * len(v), dtype=object),
    "pandas, empty": lambda v: pd.DataFrame(),
    "sparse row": lambda v: sp.csr_matrix((1, len(v))),
}

ROWS = {
    **SAME,
    **OTHER,
    # Numbers of another kind.
    **{kind: lambda v, kind=kind: np.clip(v, 0, 100).astype(kind) for kind in INTEGERS},
    "float16": lambda v: np.asarray(v, dtype=np.float16),
    "float32": lambda v: np.asarray(v, dtype=np.float32),
    "long double": lambda v: np.asarray(v, dtype=np.longdouble),
    "bool": lambda v: np.asarray(v) > 0,
    "strings of numbers": lambda v: np.asarray(v).astype(str),
    "words": lambda v: np.full(np.shape(v), "a word"),
    "bytes of numbers": lambda v: np.asarray(v).astype("S8"),
    "decimals": lambda v: np.array(
        [decimal.Decimal(1)] * np.size(v), dtype=object
    ).reshape(np.shape(v)),
    "fractions": lambda v: np.array(
        [fractions.Fraction(1, 3)] * np.size(v), dtype=object
    ).reshape(np.shape(v)),
    "structured": structured,
    "big-endian float32": lambda v: np.asarray(v, dtype=">f4"),
    # Shapes.
    "1-d": lambda v: np.asarray(v).ravel(),
    "no columns": lambda v: flat(v)[:, :0],
    "no rows and columns": lambda v: np.zeros((0, 0)),
    "one column": lambda v: flat(v)[:, :1],
    "a column less": lambda v: np.asarray(v)[..., :-1],
    "a column more": lambda v: np.concatenate([v, v[..., :1]], axis=-1),
    "transposed": lambda v: np.asarray(v).T,
    "many columns": lambda v: np.tile(flat(v), 30),
    "list of arrays": list,
    "list of columns": lambda v: flat(v).T.tolist(),
    # Values.
    "NaN": lambda v: at(v, 0, np.nan),
    "inf": lambda v: at(v, 0, np.inf),
    "-inf": lambda v: at(v, -1, -np.inf),
    "all NaN": lambda v: np.full(np.shape(v), np.nan),
    "NaN among objects": lambda v: at(v, 1, np.nan).astype(object),
    "one 1e300": lambda v: at(v, 0, 1e300),
    "one 1e160": lambda v: at(v, 0, 1e160),
    "one 1e20": lambda v: at(v, 0, 1e20),
    "largest": lambda v: at(v, 0, np.finfo(float).max),
    "all 1e300": lambda v: np.asarray(v) * 1e299,
    "all 1e155": lambda v: np.asarray(v) * 1e155,
    "all 1e30": lambda v: np.asarray(v) * 1e30,
    "all 1e-30": lambda v: np.asarray(v) * 1e-30,
    "all 1e-300": lambda v: np.asarray(v) * 1e-300,
    "float32, one 1e38": lambda v: at(v, 0, 1e38).astype(np.float32),
    "float32, all 1e30": lambda v: (np.asarray(v) * 1e30).astype(np.float32),
    "float32, all 1e-30": lambda v: (np.asarray(v) * 1e-30).astype(np.float32),
    "float16, large": lambda v: np.full(np.shape(v), 60000, dtype=np.float16),
    "denormal": lambda v: np.full(np.shape(v), 5e-324),
    "constant": lambda v: np.full(np.shape(v), 3.7),
    "zeros": lambda v: np.zeros(np.shape(v)),
    "-0": lambda v: -np.zeros(np.shape(v)),
    "1e300 and its opposite": lambda v: np.where(np.asarray(v) > 0, 1e300, -1e300),
    "columns of 1e-12 to 1e12": lambda v: (
        flat(v) * np.logspace(-12, 12, flat(v).shape[1])
    ),
    "equal columns": lambda v: np.repeat(flat(v)[:, :1], flat(v).shape[1], axis=1),
    "equal rows": lambda v: np.repeat(v[:1], len(v), axis=0),
    "far from 0": lambda v: np.asarray(v) + 1e12,
    "integers beyond 64 bits": lambda v: np.full(np.shape(v), 10**30, dtype=object),
    # Frames.
    "pandas": frame,
    "pandas, names": lambda v: (
        frame(v, list("abcdefgh")[: flat(v).shape[1]])
        if flat(v).shape[1] < 9
        else frame(v)
    ),
    "pandas, equal names": lambda v: frame(v, ["x"] * flat(v).shape[1]),
    "pandas, numbers for names": lambda v: pd.DataFrame(flat(v)),
    "pandas, mixed names": lambda v: frame(v, [*range(flat(v).shape[1] - 1), "x"]),
    "pandas, empty names": lambda v: frame(v, [""] * flat(v).shape[1]),
    "pandas, unicode names": lambda v: (
        frame(v, ["é", "é", "\U0001f600", "\x00", "x y"][: flat(v).shape[1]])
        if flat(v).shape[1] < 6
        else frame(v)
    ),
    "pandas, index": lambda v: frame(v).set_index(np.arange(len(v))[::-1]),
    "pandas, equal index": lambda v: frame(v).set_index(np.zeros(len(v), dtype=int)),
    "pandas, NaN": lambda v: frame(at(v, 0, np.nan)),
    "pandas, Float64": lambda v: frame(v).astype("Float64"),
    "pandas, NA": lambda v: frame(at(v, 0, np.nan)).astype("Float64"),
    "pandas, Int64": lambda v: frame(np.clip(v, 0, 9).astype(int)).astype("Int64"),
    "pandas, categories": lambda v: frame(np.clip(v, 0, 2).astype(int)).astype(
        "category"
    ),
    "pandas, sparse": lambda v: frame(v).astype(pd.SparseDtype(float, 0.0)),
    "pandas, levels": lambda v: pd.DataFrame(
        flat(v),
        columns=pd.MultiIndex.from_tuples([("a", i) for i in range(flat(v).shape[1])]),
    ),
    "pandas, words": lambda v: frame(v).assign(x0="word"),
    "pandas, dates": lambda v: frame(v).assign(x0=pd.Timestamp("2020-01-01")),
    "pandas, a column less": lambda v: frame(v).iloc[:, :-1],
    "pandas series": lambda v: pd.Series(np.asarray(v).ravel()),
    "polars": lambda v: pl.DataFrame(
        flat(v), schema=[f"x{i}" for i in range(flat(v).shape[1])]
    ),
    "polars, null": lambda v: pl.DataFrame(
        {f"x{i}": [None, *column[1:]] for i, column in enumerate(flat(v).T.tolist())}
    ),
    "polars, words": lambda v: pl.DataFrame(
        {"x0": ["a"] * len(v), "x1": ["b"] * len(v)}
    ),
    "polars, lazy": lambda v: pl.DataFrame(flat(v)).lazy(),
    "pyarrow": lambda v: pa.table({f"x{i}": c for i, c in enumerate(flat(v).T)}),
    "pyarrow, null": lambda v: pa.table(
        {f"x{i}": [None, *c[1:]] for i, c in enumerate(flat(v).T.tolist())}
    ),
    # Sparse.
    **{
        f"{kind}_{form}": lambda v, kind=kind, form=form: getattr(sp, f"{kind}_{form}")(
            flat(v)
        )
        for kind in FORMATS
        for form in ("matrix", "array")
    },
    "csr, int64 indices": long_indices,
    "csr, unsorted": unsorted,
    "csr, entries in halves": doubled,
    "csr, stored zeros": lambda v: sparse_with(v, 0.0),
    "csr, NaN": lambda v: sparse_with(v, np.nan),
    "csr, inf": lambda v: sparse_with(v, np.inf),
    "csr, 1e300": lambda v: sparse_with(v, 1e300),
    "csr, empty": lambda v: sp.csr_matrix(flat(v).shape),
    "csr, no rows": lambda v: csr(v)[:0],
    "csr, a column less": lambda v: csr(v)[:, :-1],
    "csr, float32": lambda v: csr(v).astype(np.float32),
    "csr, int": lambda v: csr(np.clip(v, 0, 9).astype(int)),
    "csr, bool": lambda v: csr(np.asarray(v) > 0),
    "csr, complex": lambda v: csr(v).astype(complex),
    "coo, 1-d": lambda v: sp.coo_array(np.asarray(v).ravel()),
}

_WORDS = np.array(["east", "north", "south"])


def cycle(v, labels):
    """Return labels in turn, one for each row."""
    return [labels[i % len(labels)] for i in range(len(v))]


#: Labels, of classes or domains.
LABELS = {
    "one": lambda v: np.zeros(len(v), dtype=int),
    "all different": lambda v: np.arange(len(v)),
    "words": lambda v: _WORDS[np.arange(len(v)) % 3],
    "words in a list": lambda v: cycle(v, ["east", "north"]),
    "words in objects": lambda v: np.array(cycle(v, ["east", "north"]), dtype=object),
    "emoji": lambda v: cycle(v, ["\U0001f600", "\U0001f468‍\U0001f469‍\U0001f467"]),
    "combining": lambda v: cycle(v, ["é", "é"]),
    "surrogates": lambda v: cycle(v, ["\ud800", "\udfff"]),
    "empty words": lambda v: cycle(v, ["", "a"]),
    "long words": lambda v: cycle(v, ["a" * 10_000, "b" * 10_000]),
    "NUL": lambda v: cycle(v, ["a", "a\x00"]),
    "NUL in objects": lambda v: np.array(cycle(v, ["a", "a\x00"]), dtype=object),
    "spaces": lambda v: cycle(v, [" ", "  "]),
    "right to left": lambda v: cycle(v, ["שלום", "مرحبا"]),
    "braces": lambda v: cycle(v, ["{0}", "%s%n"]),
    "bytes labels": lambda v: cycle(v, [b"a", b"b"]),
    "NaN label": lambda v: cycle(v, [0.0, np.nan]),
    "None label": lambda v: cycle(v, ["a", None]),
    "NA label": lambda v: pd.array(cycle(v, [1, pd.NA]), dtype="Int64"),
    "mixed": lambda v: cycle(v, ["a", 1]),
    "mixed in objects": lambda v: np.array(cycle(v, ["a", 1, 2.5]), dtype=object),
    "numbers and bools": lambda v: np.array(cycle(v, [0, True, 2]), dtype=object),
    "fractions of one": lambda v: np.asarray(cycle(v, [0.5, 1.5])),
    "integral floats": lambda v: np.asarray(cycle(v, [0.0, 1.0])),
    "-0 and 0": lambda v: np.asarray(cycle(v, [-0.0, 0.0, 1.0])),
    "inf label": lambda v: np.asarray(cycle(v, [0.0, np.inf])),
    "beyond 2^53": lambda v: np.asarray(cycle(v, [2.0**53, 2.0**53 + 2])),
    "ends of int64": lambda v: np.asarray(cycle(v, [-(2**63), 2**63 - 1])),
    "ends of uint64": lambda v: np.asarray(cycle(v, [0, 2**64 - 1]), dtype=np.uint64),
    "beyond 64 bits": lambda v: cycle(v, [10**30, 10**30 + 1]),
    "bool labels": lambda v: np.asarray(cycle(v, [True, False])),
    "complex labels": lambda v: np.asarray(cycle(v, [1j, 2j])),
    "dates in turn": lambda v: np.asarray(
        cycle(v, ["2020-01-01", "2021-01-01"]), dtype="datetime64[D]"
    ),
    "datetime": lambda v: cycle(
        v, [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)]
    ),
    "tuples": lambda v: cycle(v, [("a", 1), ("b", 2)]),
    "objects": lambda v: cycle(v, [object(), object()]),
    "functions": lambda v: cycle(v, [len, max]),
    "lists": lambda v: cycle(v, [[1], [2]]),
    "one-hot": lambda v: np.eye(2)[np.arange(len(v)) % 2],
    "a column": lambda v: np.asarray(cycle(v, [0, 1]))[:, np.newaxis],
    "a row": lambda v: np.asarray(cycle(v, [0, 1]))[np.newaxis],
    "int8": lambda v: np.asarray(cycle(v, [-128, 127]), dtype=np.int8),
    "series": lambda v: pd.Series(v, name="labels"),
    "series, other index": lambda v: pd.Series(v, index=np.arange(len(v))[::-1]),
    "series, words": lambda v: pd.Series(_WORDS[np.arange(len(v)) % 3]),
    "series, string": lambda v: pd.Series(cycle(v, ["a", "b"]), dtype="string"),
    "series, NA": lambda v: pd.Series(cycle(v, ["a", None]), dtype="string"),
    "categories": lambda v: pd.Categorical(v, categories=[*np.unique(v), 99]),
    "series of categories": lambda v: pd.Series(cycle(v, ["b", "a"])).astype(
        "category"
    ),
    "categories, NaN": lambda v: pd.Categorical(cycle(v, ["a", None])),
    "intervals": lambda v: pd.Series(pd.cut(np.arange(len(v)), 2)),
    "frame": lambda v: pd.DataFrame({"labels": v}),
    "frame of two": lambda v: pd.DataFrame({"a": v, "b": v}),
    "polars series": lambda v: pl.Series(np.asarray(v)),
    "polars words": lambda v: pl.Series(cycle(v, ["a", "b"])),
    "polars null": lambda v: pl.Series(cycle(v, ["a", None])),
    "polars categories": lambda v: pl.Series(
        cycle(v, ["a", "b"]), dtype=pl.Categorical
    ),
    "pyarrow array": lambda v: pa.array(v),
    "pyarrow chunks": lambda v: pa.chunked_array(
        [np.asarray(v)[:3], np.asarray(v)[3:]]
    ),
    "pyarrow dictionary": lambda v: pa.array(cycle(v, ["a", "b"])).dictionary_encode(),
    "unseen": lambda v: np.full(len(v), 777),
    "some unseen": lambda v: at(v, 0, 777).astype(int),
    "words, unseen": lambda v: np.full(len(v), "elsewhere"),
    "unlabelled": lambda v: np.full(len(v), -1),
    "some unlabelled": lambda v: at(v, 0, -1).astype(int),
    "a class of one row": lambda v: (np.arange(len(v)) == 0).astype(int),
}
LABELS = {**SAME, **OTHER, **LABELS}

#: Numbers, one for each row.
NUMBERS = {
    "int": lambda v: np.arange(len(v)),
    "float32": lambda v: np.asarray(v, dtype=np.float32),
    "float16": lambda v: np.asarray(v, dtype=np.float16),
    "long double": lambda v: np.asarray(v, dtype=np.longdouble),
    "bool": lambda v: np.arange(len(v)) % 2 == 0,
    "zeros": lambda v: np.zeros(len(v)),
    "ones": lambda v: np.ones(len(v)),
    "all but one 0": lambda v: at(np.zeros(len(v)), 0, 1.0),
    "half 0": lambda v: (np.arange(len(v)) < len(v) // 2).astype(float),
    "one negative": lambda v: at(v, 0, -1.0),
    "all negative": lambda v: -np.abs(v) - 1,
    "-0": lambda v: -np.zeros(len(v)),
    "NaN": lambda v: at(v, 0, np.nan),
    "all NaN": lambda v: np.full(len(v), np.nan),
    "inf": lambda v: at(v, 0, np.inf),
    "-inf": lambda v: at(v, 0, -np.inf),
    "one 1e300": lambda v: at(v, 0, 1e300),
    "one 1e-300": lambda v: at(v, 0, 1e-300),
    "all 1e300": lambda v: np.full(len(v), 1e300),
    "all 1e-300": lambda v: np.full(len(v), 1e-300),
    "all 1e30": lambda v: np.full(len(v), 1e30),
    "times 1e30": lambda v: np.asarray(v) * 1e30,
    "times 1e-30": lambda v: np.asarray(v) * 1e-30,
    "times 1e155": lambda v: np.asarray(v) * 1e155,
    "times 1e300": lambda v: np.asarray(v) * 1e299,
    "times 1e-300": lambda v: np.asarray(v) * 1e-300,
    "largest": lambda v: np.full(len(v), np.finfo(float).max),
    "denormal": lambda v: np.full(len(v), 5e-324),
    "far from 0": lambda v: np.asarray(v) + 1e12,
    "1e-150 to 1e150": lambda v: np.logspace(-150, 150, len(v)),
    "1e-12 to 1e12": lambda v: np.logspace(-12, 12, len(v)),
    "fractions": lambda v: np.linspace(0.1, 0.9, len(v)),
    "strings of numbers": lambda v: np.ones(len(v)).astype(str),
    "words": lambda v: _WORDS[np.arange(len(v)) % 3],
    "a column": lambda v: np.asarray(v)[:, np.newaxis],
    "two columns": lambda v: np.column_stack([v, v]),
    "no columns": lambda v: np.zeros((len(v), 0)),
    "a number": lambda v: 2.0,
    "series": lambda v: pd.Series(v),
    "series, other index": lambda v: pd.Series(v, index=np.arange(len(v))[::-1]),
    "series, NA": lambda v: pd.Series(at(v, 0, np.nan)).astype("Float64"),
    "frame": lambda v: pd.DataFrame({"numbers": v}),
    "polars series": lambda v: pl.Series(np.asarray(v)),
    "polars null": lambda v: pl.Series([None, *np.asarray(v)[1:].tolist()]),
    "pyarrow array": lambda v: pa.array(np.asarray(v)),
    "sparse": lambda v: sp.csr_matrix(np.asarray(v)[:, np.newaxis]),
    "decimals": lambda v: [decimal.Decimal(1)] * len(v),
}
NUMBERS = {**SAME, **OTHER, **NUMBERS}

# --- Parameters ----------------------------------------------------------------------

_VALUES = {
    "None": None,
    "True": True,
    "False": False,
    "0": 0,
    "1": 1,
    "2": 2,
    "-1": -1,
    "7": 7,
    "0.0": 0.0,
    "-0.0": -0.0,
    "0.5": 0.5,
    "1.0": 1.0,
    "1.5": 1.5,
    "-0.5": -0.5,
    "1e300": 1e300,
    "1e-300": 1e-300,
    "1e12": 1e12,
    "1e-12": 1e-12,
    "denormal": 5e-324,
    "NaN": np.nan,
    "inf": np.inf,
    "-inf": -np.inf,
    "complex": 1j,
    "fraction": fractions.Fraction(1, 2),
    "decimal": decimal.Decimal("0.5"),
    "numpy float32": np.float32(0.5),
    "numpy float16": np.float16(0.5),
    "numpy long double": np.longdouble(0.5),
    "numpy int": np.int8(2),
    "numpy uint": np.uint64(2**64 - 1),
    "numpy bool": np.bool_(True),
    "0-d array": np.array(1.0),
    "array of one": np.array([1.0]),
    "array of two": np.array([1.0, 2.0]),
    "array of three": np.array([1.0, 2.0, 3.0]),
    "array of NaN": np.array([np.nan, 1.0]),
    "2-d array": np.ones((2, 2)),
    "empty array": np.array([]),
    "array of objects": np.array([None, "a"], dtype=object),
    "array of words": np.array(["a", "b"]),
    "empty list": [],
    "empty tuple": (),
    "empty dict": {},
    "empty set": set(),
    "list of 0": [0],
    "list of 1": [1],
    "list of floats": [0.5, 2.0],
    "list of infinities": [0, np.inf],
    "falling list": [10.0, 1.0, 0.1],
    "list of equals": [1.0, 1.0],
    "list of negatives": [-1.0, 1.0],
    "list of NaN": [np.nan],
    "list of None": [None],
    "list of words": ["a", "b"],
    "list of lists": [[0, 1]],
    "ragged list": [[0], [1, 2]],
    "nested too deep": [[[[0]]]],
    "tuple of 2": (2, 2),
    "tuple of 3": (1, 2, 3),
    "tuple of words": ("same", "valid"),
    "dict": {"a": 1},
    "dict of numbers": {0: 1.0, 1: 2.0},
    "dict, None": {None: 1.0},
    "range": range(3),
    "word": "wrong",
    "empty word": "",
    "auto": "auto",
    "AUTO": "AUTO",
    "balanced": "balanced",
    "emoji": "\U0001f600",
    "surrogate": "\ud800",
    "NUL": "a\x00b",
    "number as word": "1.0",
    "bytes": b"auto",
    "object()": object(),
    "function": len,
    "lambda": lambda *args, **kwargs: 0,
    "class": LogisticRegression,
    "date": datetime.date(2020, 1, 1),
    "NaT": np.datetime64("NaT"),
    "NA": pd.NA,
    "series of two": pd.Series([1.0, 2.0]),
    "frame of four": pd.DataFrame(np.ones((2, 2))),
    "sparse": sp.csr_matrix(np.ones((2, 2))),
    "random state": np.random.RandomState(0),
    "generator of random numbers": np.random.default_rng(0),
    "unfitted": LogisticRegression(),
    "slice": slice(0, 2),
    "ellipsis": ...,
}
#: What is too many to be done: only where a count is not one of steps or parts.
_HUGE = {"10^9": 10**9, "10^30": 10**30, "-10^30": -(10**30)}
#: Parameters that count what is done or made; a huge one is long work, not an error.
_COUNTS = {
    "max_iter", "n_init", "filters", "hidden_layer_sizes", "hidden_units", "n_clusters",
    "n_components", "n_bootstrap", "ties", "Cs", "alphas", "n_iter_no_change",
    "max_shift",
}  # fmt: skip


def _fitted(model, n_features=3, n_classes=2):
    X = np.random.default_rng(0).normal(size=(40, n_features))
    y = np.arange(40) % n_classes
    return model.fit(X, y)


def _special():
    """Return odd values that are near the valid ones, by the parameter."""
    logistic = _fitted(LogisticRegression())
    ring = np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
    groups = {
        "pair": [[0, 1]],
        "group of one": [[0]],
        "empty group": [[]],
        "twice": [[0, 0]],
        "out of range": [[0, 99]],
        "ratios": [{0: 1.0, 1: -2.0}],
        "ratio 0": [{0: 0.0, 1: 1.0}],
        "ratio NaN": [{0: np.nan, 1: 1.0}],
        "ratio 1e300": [{0: 1e300, 1: 1e-300}],
        "ratio words": [{0: "a", 1: "b"}],
        "name": [["x0", "x1"]],
        "no such name": [["nothing", "x1"]],
        "FeatureTie": [FeatureTie([0, 1], 2.0)],
        "FeatureTie, inf": [FeatureTie([0, 1], np.inf)],
        "FeatureTie, NaN": [FeatureTie([0, 1], np.nan)],
        "FeatureTie, negative": [FeatureTie([0, 1], -1.0)],
        "FeatureTie, nothing": [FeatureTie([], 1.0)],
        "FeatureTie, word": [FeatureTie("x0", "strong")],
        "FeatureTie, FeatureTie": [FeatureTie(FeatureTie([0, 1]), 1.0)],
        "graph": ring,
        "graph, sparse": sp.csr_matrix(ring),
        "graph, negative": -ring,
        "graph, NaN": ring * np.nan,
        "graph, inf": np.where(ring > 0, np.inf, 0),
        "graph, 1e300": ring * 1e300,
        "graph, one way": np.triu(ring),
        "graph, too large": np.ones((9, 9)),
        "bools": [[True, False]],
        "floats": [[0.0, 1.5]],
        "overlapping": [[0, 1], [1, 2]],
        "contradictory": [{0: 1, 1: 1}, {0: 1, 1: -1}],
        "cycle": [{0: 1, 1: 2}, {1: 1, 2: 2}, {2: 1, 0: 2}],
    }
    splits = [(np.arange(40), np.arange(40, 60))]
    return {
        "feature_ties": groups,
        "feature_shares": groups,
        "graph": {
            "ring": ring,
            "sparse ring": sp.csr_array(ring),
            "one way": np.triu(ring),
            "negative": -ring,
            "NaN": ring * np.nan,
            "inf": np.where(ring > 0, np.inf, 0.0),
            "1e300": ring * 1e300,
            "1e-300": ring * 1e-300,
            "zeros": np.zeros((3, 3)),
            "too large": np.ones((5, 5)),
            "complex": ring * 1j,
            "words": ring.astype(str),
            "3-d": np.ones((3, 3, 3)),
            "frame": pd.DataFrame(ring),
            "frame, other labels": pd.DataFrame(ring, list("abc"), list("abc")),
            "frame, one side": pd.DataFrame(ring, [0, 1, 2], list("abc")),
            "pairs": {(0, 1): 1.0, (1, 2): 2.0},
            "pairs, negative": {(0, 1): -1.0, (1, 2): 2.0},
            "pairs, NaN": {(0, 1): np.nan, (1, 2): 1.0},
            "pairs, twice": {(0, 1): 1.0, (1, 0): 2.0},
            "pairs, loop": {(0, 0): 1.0},
            "pairs, words": {("a", "b"): 1.0},
            "pairs, mixed": {(0, "b"): 1.0},
            "pairs, three": {(0, 1, 2): 1.0},
            "pairs, a domain left out": {(0, 1): 1.0},
            "pairs, one more": {(0, 1): 1.0, (1, 2): 1.0, (2, 7): 1.0},
            "pairs, apart": {(0, 1): 1.0, (2, 7): 1.0},
            "pairs, None": {(0, None): 1.0},
            "nested": {0: 10, 1: 10, 2: 10},
            "nested, in a circle": {0: 1, 1: 2, 2: 0},
            "nested in itself": {0: 0, 1: 0, 2: 0},
            "nested, None": {0: None, 1: None, 2: None},
            "nested, NaN": {0: np.nan, 1: np.nan, 2: np.nan},
            "nested, lists": {0: [1], 1: [2], 2: [3]},
            "learned": "learned",
        },
        "pair": {
            "-1": -1,
            "0": 0,
            "99": 99,
            "-99": -99,
            "name": "x0",
            "column of a frame": "site",
            "fitted": logistic,
            "frozen": FrozenEstimator(logistic),
            "frozen, not fitted": FrozenEstimator(LogisticRegression()),
            "frozen, 3 classes": FrozenEstimator(
                _fitted(LogisticRegression(), n_classes=3)
            ),
            "frozen, 5 features": FrozenEstimator(_fitted(LogisticRegression(), 5)),
            "frozen ridge": FrozenEstimator(_fitted(Ridge())),
            "frozen forest": FrozenEstimator(
                _fitted(RandomForestClassifier(2, random_state=0))
            ),
            "frozen pipeline": FrozenEstimator(
                _fitted(make_pipeline(StandardScaler(), LogisticRegression()))
            ),
            "frozen tied": FrozenEstimator(_fitted(TiedLogisticRegression())),
            "frozen frozen": FrozenEstimator(FrozenEstimator(logistic)),
            "prior": KMeansPrior(3, n_init=1, random_state=0),
            "frozen prior": FrozenEstimator(
                _fitted(KMeansPrior(3, n_init=1, random_state=0))
            ),
            "prior, too many": KMeansPrior(1000),
            "prior, wrong": KMeansPrior(-1),
            "arrays": (np.zeros((1, 3)), np.zeros(1)),
            "flat arrays": (np.zeros(3), 0.0),
            "arrays, 4 features": (np.zeros((1, 4)), np.zeros(1)),
            "arrays, NaN": (np.full((1, 3), np.nan), np.zeros(1)),
            "arrays, inf": (np.zeros((1, 3)), np.array([np.inf])),
            "arrays, 1e300": (np.full((1, 3), 1e300), np.zeros(1)),
            "arrays, complex": (np.zeros((1, 3)) + 1j, np.zeros(1)),
            "arrays, words": ([["a", "b", "c"]], ["d"]),
            "arrays, ragged": ([[1, 2], [1]], [0]),
            "arrays, None": (None, None),
            "one array": (np.zeros((1, 3)),),
            "three arrays": (np.zeros((1, 3)), np.zeros(1), np.zeros(1)),
            "list": [np.zeros((1, 3)), np.zeros(1)],
            "sparse": (sp.csr_matrix(np.zeros((1, 3))), np.zeros(1)),
        },
        "tie": {
            "dict": {0: 1.0, None: 2.0},
            "dict, negative": {0: -1.0, None: 2.0},
            "dict, NaN": {0: np.nan, None: 1.0},
            "dict, out of range": {99: 1.0, None: 1.0},
            "dict, no others": {0: 1.0},
            "dict, words": {"x9": 1.0, None: 2.0},
            "dict of words": {0: "a", None: 2.0},
            "each": np.array([1.0, 0.0, np.inf]),
            "each, negative": np.array([1.0, -1.0, 2.0]),
            "each, NaN": [1.0, np.nan, 2.0],
            "each, words": ["a", "b", "c"],
        },
        "cv": {
            "3": 3,
            "1": 1,
            "1000": 1000,
            "splits": splits,
            "out of range": [(np.arange(40), np.arange(40, 99))],
            "negative": [(np.arange(40), np.array([-99]))],
            "from the end": [(np.arange(40), np.arange(-20, 0))],
            "training out of range": [(np.arange(99), np.arange(40))],
            "masks": [(np.arange(60) < 40, np.arange(60) >= 40)],
            "short masks": [(np.ones(10, bool), np.ones(10, bool))],
            "floats": [(np.arange(40.0), np.arange(40.0, 60.0))],
            "NaN": [(np.arange(40), np.array([np.nan]))],
            "words": [("train", "test")],
            "lists": [([*range(40)], [*range(40, 60)])],
            "sets": [(set(range(40)), set(range(40, 60)))],
            "nobody tested": [(np.arange(60), np.array([], dtype=int))],
            "nobody trained": [(np.array([], dtype=int), np.arange(60))],
            "trained and tested": [(np.arange(60), np.arange(60))],
            "twice": [(np.arange(40), np.array([41, 41]))],
            "2-d": [(np.arange(40)[:, None], np.arange(40, 60)[:, None])],
            "three parts": [(np.arange(20), np.arange(20), np.arange(20))],
            "not pairs": [np.arange(40)],
            "numbers": [1, 2, 3],
            "no splits": [],
            "None in it": [(None, None)],
            "one shot": iter(splits),
            "KFold": KFold(2),
            "KFold, many": KFold(1000),
            "GroupKFold": GroupKFold(2),
            "StratifiedKFold": StratifiedKFold(3),
            "splitter class": KFold,
            "loo": "loo",
        },
        "scoring": {
            "accuracy": "accuracy",
            "roc_auc": "roc_auc",
            "r2": "r2",
            "deviance": "neg_mean_poisson_deviance",
            "NaN": lambda model, X, y: np.nan,
            "None": lambda model, X, y: None,
            "word": lambda model, X, y: "good",
            "list": ["accuracy"],
            "no arguments": lambda: 1.0,
        },
        "class_weight": {
            "numbers": {0: 1.0, 1: 2.0},
            "negative": {0: -1.0, 1: 2.0},
            "NaN": {0: np.nan, 1: 1.0},
            "inf": {0: np.inf, 1: 1.0},
            "0": {0: 0.0, 1: 1.0},
            "all 0": {0: 0.0, 1: 0.0},
            "words": {0: "a", 1: "b"},
            "other classes": {"a": 1.0, "b": 2.0},
            "None": {0: None, 1: None},
            "1e300": {0: 1e300, 1: 1.0},
            "1e-300": {0: 1e-300, 1: 1.0},
        },
        "augment": {
            "shift": {"shift": 1},
            "shift, huge": {"shift": 10**6},
            "shift, negative": {"shift": -1},
            "shift, NaN": {"shift": np.nan},
            "shift, word": {"shift": "left"},
            "flip": {"flip": "horizontal"},
            "flip, wrong": {"flip": "sideways"},
            "unknown": {"rotate": 90},
            "returns None": lambda pixels, rng: None,
            "returns less": lambda pixels, rng: pixels[:1],
            "returns NaN": lambda pixels, rng: pixels * np.nan,
            "returns words": lambda pixels, rng: "abc",
            "no arguments": lambda: None,
        },
        "image_shape": {
            "1-d": (3,),
            "too large": (99, 99),
            "0": (0, 3),
            "negative": (-1, -3),
            "floats": (1.0, 3.0),
            "NaN": (np.nan, 3),
            "words": ("a", "b"),
            "five": (1, 1, 1, 1, 3),
        },
        "init": {
            "array": np.zeros((3, 3)),
            "too few": np.zeros((1, 3)),
            "too narrow": np.zeros((3, 1)),
            "NaN": np.full((3, 3), np.nan),
            "1e300": np.full((3, 3), 1e300),
            "words": np.full((3, 3), "a"),
            "random": "random",
            "returns None": lambda X, k, random_state: None,
            "returns less": lambda X, k, random_state: X[:1],
        },
        "estimator": {
            "unfitted tied": TiedLogisticRegression(),
            "fitted": logistic,
            "pipeline": _fitted(make_pipeline(StandardScaler(), LogisticRegression())),
            "tied without domains": _fitted(TiedLogisticRegression()),
            "prior": KMeansPrior(2),
            "class": TiedLogisticRegression,
        },
        "domain": {
            "seen": 0,
            "list": [0],
            "unseen": 777,
            "unseen word": "elsewhere",
        },
        "domains": {
            "seen": [0, 1],
            "one": [0],
            "twice": [0, 0],
            "unseen": [0, 777],
            "word": "east",
            "None in it": [None],
        },
        "coverage": {"0.9": 0.9, "just below 1": 1 - 2**-53, "percent": 95},
    }


_SPECIAL = _special()


def _again(value):
    """Return a parameter as new: streams are read, and generators drawn from."""
    try:
        return copy.deepcopy(value)
    except TypeError:
        return value


def parameter(name):
    """Return the table of a parameter: oddities by name, of the valid value."""
    values = dict(_VALUES)
    if name not in _COUNTS:
        values |= _HUGE
    else:
        del values["numpy uint"]  # huge as well
    if name == "scoring":
        del values["function"]  # its own error is the user's
    special = {f"{name}: {key}": value for key, value in _SPECIAL.get(name, {}).items()}
    return {
        key: lambda _, value=value: _again(value)
        for key, value in (values | special).items()
    }


#: Where an argument is no parameter: the role it plays.
ROLES = {
    "X": ROWS,
    "X_unlabeled": ROWS,
    "X_val": ROWS,
    "image": ROWS,
    "y_val": LABELS,
    "groups": LABELS,
    "classes": LABELS,
    "y_index": LABELS,
    "sample_domain": LABELS,
    "sample_domain_val": LABELS,
    "sample_weight": NUMBERS,
    "sample_exposure": NUMBERS,
    "stored": NUMBERS,
    "w_a": NUMBERS,
    "w_b": NUMBERS,
    "input_features": LABELS,
}


def oddities(name, *, numbers=False):
    """Return the table of an argument or parameter; ``numbers``: y holds these."""
    if name == "y":
        return (
            NUMBERS
            if numbers
            else {
                **LABELS,
                **{
                    f"numbers: {k}": NUMBERS[k]
                    for k in (
                        "NaN",
                        "inf",
                        "fractions",
                        "one 1e300",
                        "two columns",
                        "no columns",
                    )
                },
            }
        )
    return ROLES.get(name) or parameter(name)
