"""sktie._rows: rows in an order of their own, equal ones merged."""

import tracemalloc
from collections import defaultdict

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from sktie import _rows
from sktie._rows import canonical_order, canonical_rows, drop_zero_weight

containers = pytest.mark.parametrize(
    "container", [np.asarray, sp.csr_matrix, sp.csr_array], ids=lambda c: c.__name__
)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def few_values(seed=0, n=60, p=2, dtype=np.float64):
    """Rows of which many are equal, with zeros; weights that add without rounding."""
    rng = np.random.default_rng(seed)
    X = rng.choice([0.0, -1.5, 0.1, 2.0], (n, p)).astype(dtype)
    return X, rng.integers(1, 8, n).astype(dtype), rng.integers(0, 3, n)


def dense(X):
    return X.toarray() if sp.issparse(X) else X


def sums(X, weight, y=None):
    """The weight of each distinct row (and target), by a loop."""
    total = defaultdict(float)
    y = [None] * len(weight) if y is None else y.tolist()
    for row, w, label in zip(dense(X).tolist(), weight.tolist(), y, strict=True):
        total[(*(value + 0.0 for value in row), label)] += w
    return dict(total)


# ---- canonical_rows ------------------------------------------------------------------


@containers
@dtypes
@pytest.mark.parametrize("with_y", [False, True])
def test_equal_rows_are_merged_and_their_weights_summed(container, dtype, with_y):
    X, weight, y = few_values(dtype=dtype)
    y = y if with_y else None
    rows, mass, labels = canonical_rows(container(X), weight, y)
    expected = sums(X, weight, y)
    assert rows.shape == (len(expected), 2)
    assert sums(rows, mass, labels) == expected
    assert (labels is None) == (y is None)
    assert rows.dtype == mass.dtype == dtype
    assert sp.issparse(rows) == sp.issparse(container(X))


@containers
@pytest.mark.parametrize("with_y", [False, True])
def test_the_order_of_the_rows_does_not_matter(container, with_y):
    X, weight, y = few_values()
    y = y if with_y else None
    expected = canonical_rows(container(X), weight, y)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(X))
        found = canonical_rows(
            container(X[order]), weight[order], None if y is None else y[order]
        )
        assert_array_equal(dense(found[0]), dense(expected[0]))
        assert_array_equal(found[1], expected[1])
        assert_array_equal(found[2], expected[2])


@containers
def test_a_weight_of_two_is_the_row_twice(container):
    X, _, y = few_values()
    twice = canonical_rows(container(X.repeat(2, axis=0)), np.ones(120), y.repeat(2))
    weighted = canonical_rows(container(X), np.full(60, 2.0), y)
    for one, other in zip(twice, weighted, strict=True):
        assert_array_equal(dense(one), dense(other))


@containers
def test_nothing_is_lost_where_all_rows_differ(container):
    X = np.random.default_rng(0).normal(size=(200, 3))
    weight = np.random.default_rng(1).uniform(size=200)
    rows, mass, _ = canonical_rows(container(X), weight)
    assert sums(rows, mass) == sums(X, weight)


@containers
def test_minus_zero_is_zero(container):
    X = np.array([[0.0, 1.0], [-0.0, 1.0]])
    rows, mass, _ = canonical_rows(container(X), np.ones(2))
    assert rows.shape == (1, 2)
    assert mass.tolist() == [2]


@pytest.mark.parametrize("y", [np.int8, np.int32, np.int64])
def test_rows_of_other_targets_are_other_rows(y):
    X = np.array([[1.0], [1.0], [1.0], [3.0]])
    y = np.array([0, 1, 0, 1], dtype=y)
    rows, mass, labels = canonical_rows(X, np.array([1.0, 2.0, 4.0, 8.0]), y)
    found = sorted(zip(rows.ravel(), labels, mass, strict=True))
    assert found == [(1.0, 0, 5.0), (1.0, 1, 2.0), (3.0, 1, 8.0)]


@dtypes
def test_a_sparse_matrix_may_be_untidy(dtype):
    """Explicit zeros, places out of order, and two entries for one place."""
    data = np.array([2.0, 1.0, 0.5, 1.5, 0.0, 1.0], dtype)
    untidy = sp.csr_matrix((data, [2, 0, 2, 2, 1, 0], [0, 2, 6]), shape=(2, 3))
    before = untidy.copy()
    assert_array_equal(untidy.toarray(), [[1, 0, 2], [1, 0, 2]])
    rows, mass, _ = canonical_rows(untidy, np.ones(2, dtype))
    assert_array_equal(dense(rows), [[1, 0, 2]])
    assert mass.tolist() == [2]
    assert_array_equal(untidy.data, before.data)
    assert_array_equal(untidy.indices, before.indices)


def test_a_sparse_row_without_entries_is_a_row():
    X = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    rows, mass, _ = canonical_rows(sp.csr_matrix(X), np.array([1.0, 2.0, 4.0]))
    assert sums(rows, mass) == {(0.0, 0.0, None): 5.0, (0.0, 1.0, None): 2.0}


def test_equal_values_in_other_columns_are_other_rows():
    X = sp.csr_matrix(np.eye(4)[[0, 1, 2, 3, 1]])
    rows, mass, _ = canonical_rows(X, np.ones(5))
    assert rows.shape[0] == 4
    assert mass.sum() == 5


@containers
def test_what_is_given_is_not_changed(container):
    X, weight, y = few_values()
    given = container(X.copy())
    kept = weight.copy(), y.copy()
    canonical_rows(given, weight, y)
    assert_array_equal(dense(given), X)
    assert_array_equal(weight, kept[0])
    assert_array_equal(y, kept[1])


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_memory_layout_does_not_matter(order):
    X, weight, _ = few_values()
    whole = np.array(np.hstack([X, X]), order=order)
    expected, _, _ = canonical_rows(X, weight)
    assert_array_equal(canonical_rows(whole[:, :2], weight)[0], expected)


@pytest.mark.parametrize(
    "dtype", ["u1", "i2", ">i2", "i8", "u8", "f2", "f4", ">f4", "f8", "g"]
)
def test_equal_values_of_any_dtype_have_one_order(dtype):
    rng = np.random.default_rng(3)
    X = rng.integers(0, 4, (80, 3))
    weight, y = rng.integers(1, 8, 80).astype(float), rng.integers(0, 2, 80)
    first, mass = canonical_order(X.astype(float), weight, y)
    found, weights = canonical_order(X.astype(dtype), weight, y)
    assert_array_equal(found, first)
    assert_array_equal(weights, mass)


def test_blocks_of_columns_do_not_change_the_order(monkeypatch):
    rng = np.random.default_rng(4)
    X = rng.choice([0.0, 1.0, -2.5], (60, 9), p=[0.8, 0.1, 0.1]).astype(np.float32)
    whole = canonical_order(X, np.ones(60))
    monkeypatch.setattr(_rows, "RANKED_NUMBERS", 1)
    for one, other in zip(canonical_order(X, np.ones(60)), whole, strict=True):
        assert_array_equal(one, other)
    as_bytes = [row.tobytes() for row in X[whole[0]].astype(float)]
    assert as_bytes == sorted(as_bytes)


def test_larger_data_are_returned_as_they_are(monkeypatch):
    X, weight, y = few_values()
    monkeypatch.setattr(_rows, "CANONICAL_ENTRIES", X.size - 1)
    assert all(
        a is b
        for a, b in zip(canonical_rows(X, weight, y), (X, weight, y), strict=True)
    )
    monkeypatch.setattr(_rows, "CANONICAL_ENTRIES", X.size)
    assert len(canonical_rows(X, weight, y)[0]) < len(X)


def test_larger_sparse_data_are_returned_as_they_are(monkeypatch):
    X, weight, y = few_values()
    X = sp.csr_matrix(X)
    monkeypatch.setattr(_rows, "CANONICAL_SPARSE_ROWS", 59)
    assert canonical_rows(X, weight, y)[0] is X
    monkeypatch.setattr(_rows, "CANONICAL_SPARSE_ROWS", 60)
    assert canonical_rows(X, weight, y)[0].shape[0] < 60


@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 12), st.integers(1, 3)),
        elements=st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-300, 1e300]),
    )
)
def test_dense_and_sparse_rows_merge_alike(X):
    weight = 2.0 ** np.arange(len(X))
    found = canonical_rows(X, weight)
    assert sums(found[0], found[1]) == sums(X, weight)
    found = canonical_rows(sp.csr_matrix(X), weight)
    assert sums(found[0], found[1]) == sums(X, weight)


# ---- drop_zero_weight ----------------------------------------------------------------


@containers
def test_rows_of_weight_zero_are_dropped(container):
    X, weight, y = few_values()
    weight[::3] = 0
    rows, mass, labels = drop_zero_weight(container(X), weight, y)
    keep = np.arange(60) % 3 > 0
    assert_array_equal(dense(rows), X[keep])
    assert_array_equal(mass, weight[keep])
    assert_array_equal(labels, y[keep])


@dtypes
def test_no_weights_are_ones(dtype):
    X, _, y = few_values(dtype=dtype)
    rows, mass, labels = drop_zero_weight(X, None, y)
    assert rows is X
    assert labels is y
    assert mass.dtype == dtype
    assert_allclose(mass, np.ones(60))


def test_positive_weights_copy_nothing():
    X, weight, _ = few_values()
    rows, mass, labels = drop_zero_weight(X, weight)
    assert rows is X
    assert mass is weight
    assert labels is None


def test_no_copy_of_dense_rows_is_made_to_order_them():
    X = np.random.default_rng(0).integers(2, size=(4000, 500)).astype(np.float32)
    X[2000:] = X[:2000]
    tracemalloc.start()
    first, mass = canonical_order(X, np.ones(len(X)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(first) == 2000
    assert mass.tolist() == [2.0] * 2000
    assert peak < X.nbytes / 4


@given(
    arrays(
        np.int8,
        st.tuples(st.integers(1, 300), st.integers(1, 2)),
        elements=st.integers(0, 3),
    ),
    st.booleans(),
)
def test_the_order_is_that_of_the_canonical_rows(X, with_y):
    y = X[:, 0] % 2 if with_y else None
    first, mass = canonical_order(X, np.ones(len(X)), y)
    rows, weight, targets = canonical_rows(X, np.ones(len(X)), y)
    assert_array_equal(X[first], rows)
    assert_array_equal(mass, weight)
    assert_array_equal(None if y is None else y[first], targets)
    distinct = X if y is None else np.column_stack([X, y])
    assert len(first) == len(np.unique(distinct, axis=0))
