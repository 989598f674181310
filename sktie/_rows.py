"""Rows in an order that depends on their values alone, equal ones merged.

What starts from rows drawn at random, or ends in one of several minima, depends on the
order of the rows. On rows in canonical order it does not; nor does it matter then
whether a row was given twice or with weight 2.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import gen_batches

from sktie._typing import Array, FloatArray, IntArray, Matrix

#: Numbers in X, or rows of a sparse X, up to which sorting whole rows is cheap beside
#: fitting a model to them.
CANONICAL_ENTRIES = 1 << 24
CANONICAL_SPARSE_ROWS = 1 << 16
#: Rows that are compared at a time, and numbers that are widened to float64.
RANKED_ROWS, RANKED_NUMBERS = 256, 1 << 16


def drop_zero_weight(
    X: Matrix, weight: FloatArray | None, y: Array | None = None
) -> tuple[Matrix, FloatArray, Any]:
    """Return the rows of positive weight, their weights, and their targets if any."""
    if weight is None:
        return X, np.ones(X.shape[0], dtype=X.dtype), y
    positive = weight > 0
    if positive.all():
        return X, weight, y
    return X[positive], weight[positive], None if y is None else y[positive]


def canonical_rows(
    X: Matrix, weight: FloatArray, y: Array | None = None, *, at_least: int = 0
) -> tuple[Matrix, FloatArray, Any]:
    """Return the distinct rows in the order of their values, and their summed weights.

    It is that of the bytes of these as float64, whatever dtype X has. Rows with
    different targets ``y`` count as different. Large data are returned as
    they are, and so are rows of which fewer than ``at_least`` are distinct.
    """
    first, weight = canonical_order(X, weight, y, at_least=at_least)
    if first is None:
        return X, weight, y
    return X[first], weight, None if y is None else y[first]


def canonical_order(
    X: Matrix, weight: FloatArray, y: Array | None = None, *, at_least: int = 0
) -> tuple[IntArray | None, FloatArray]:
    """Return where the `canonical_rows` are in X, and their weights.

    None where rows are returned as they are. No copy of dense rows is made, unless
    they hold -0 or are not in order in memory.
    """
    sparse = sp.issparse(X)
    size, limit = X.size, CANONICAL_ENTRIES
    if sparse:
        size, limit = X.shape[0], CANONICAL_SPARSE_ROWS
    if size > limit:
        return None, weight
    place = _ranks(_sparse_keys(X)) if sparse else _dense_ranks(X)
    if y is not None:
        place = place * (int(y.max()) + 2) + y + 1  # y may hold -1
    _, first, place = np.unique(place, return_index=True, return_inverse=True)
    if len(first) < at_least:
        return None, weight
    # Added up in the order of size, so that the order of rows has no say in rounding.
    order = np.lexsort((weight, place))
    summed = np.bincount(place[order], weights=weight[order]).astype(weight.dtype)
    return first, summed


def _ranks(keys: Array) -> IntArray:
    """Return how many different keys come before each."""
    order = np.argsort(keys, kind="stable")
    new = np.zeros(len(keys), dtype=np.intp)
    for block in gen_batches(len(keys) - 1, RANKED_ROWS) if len(keys) > 1 else ():
        before = keys[order[block]]
        after = keys[order[block.start + 1 : block.stop + 1]]
        new[block.start + 1 : block.stop + 1] = before != after
    ranks = np.empty_like(new)
    ranks[order] = np.cumsum(new)
    return ranks


def _dense_ranks(X: Array) -> IntArray:
    """Return how many rows of lesser value come before each."""
    ranks = _ranks(_dense_keys(X))
    if X.dtype == np.float64:
        return ranks
    _, first, place = np.unique(ranks, return_index=True, return_inverse=True)
    return _value_ranks(X, first)[place]


def _value_ranks(X: Array, rows: IntArray) -> IntArray:
    """Return how many of some rows, as float64, come before each of them.

    Some columns at a time, of those rows alone that equal another one so far.
    """
    n = len(rows)
    ranks, equal = np.zeros(n, dtype=np.intp), np.arange(n)
    for columns in gen_batches(X.shape[1], max(RANKED_NUMBERS // n, 1)):
        values = X[rows[equal], columns].astype(np.float64)
        before = ranks[equal]
        lesser, _ = _counts(before)
        now, as_many = _counts(before * n + _ranks(_dense_keys(values)))
        ranks[equal] = before + now - lesser
        equal = equal[as_many > 1]
        if not len(equal):
            break
    return ranks


def _counts(values: IntArray) -> tuple[IntArray, IntArray]:
    """Return of each value how many are less, and how many are equal."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - count)[place], count[place]


def _dense_keys(X: Array) -> Array:
    """Return each row as one item of bytes, -0 being 0."""
    values = np.ascontiguousarray(X)
    if values.dtype.kind == "f" and _has_negative_zero(values):
        values = values + 0
    row = np.dtype((np.void, values.dtype.itemsize * X.shape[1]))
    return values.view(row).ravel()


def _has_negative_zero(values: Array) -> bool:
    blocks = (values[rows] for rows in gen_batches(len(values), RANKED_ROWS))
    return any(bool(np.any(np.signbit(part) & (part == 0))) for part in blocks)


def _sparse_keys(X: Matrix) -> Array:
    """Return each row as one item of bytes: its places and its values."""
    tidy = X.copy()
    tidy.sum_duplicates()
    tidy.eliminate_zeros()
    indices = tidy.indices.astype(np.int64)
    keys = np.empty(X.shape[0], dtype=object)
    for i, (start, stop) in enumerate(pairwise(tidy.indptr.tolist())):
        keys[i] = indices[start:stop].tobytes() + tidy.data[start:stop].tobytes()
    return keys
