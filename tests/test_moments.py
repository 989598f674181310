"""Tests of sktie._moments, against sums in extended precision in two passes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktie import _design
from sktie._design import Design, group_rows
from sktie._moments import Moments, joined, moments_of
from sktie._parallel import Workers

#: Rows of each domain: of one block, of one row, and of several pieces of several
#: blocks each.
SIZES = [100, 1, 700]
N_FEATURES = 3
PARTS = ("mass", "mean", "level", "gram", "cross", "square")


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of 128 rows or a little more, in blocks of 128, on data of test size."""
    monkeypatch.setattr(_design, "BLOCK_BYTES", 1)
    monkeypatch.setattr(_design, "PIECE_WORK", 1)


def rows(offset=0.0, dtype=np.float64):
    """Features, two targets, positive weights and domains."""
    rng = np.random.default_rng(0)
    n_rows = sum(SIZES)
    X = rng.normal(offset, 1.0, size=(n_rows, N_FEATURES))
    y = rng.normal(-offset, 2.0, size=(n_rows, 2)) + X[:, :2]
    # In steps of powers of two, so that float32 and float64 hold the same.
    weight = rng.integers(1, 9, n_rows) / 4
    domain = np.repeat(np.arange(len(SIZES)), SIZES)
    return X.astype(dtype), y.astype(dtype), weight.astype(dtype), domain


def found(X, y, weight, domain, fit_intercept):
    order, bounds = group_rows(domain, len(SIZES))
    assert order is None
    return moments_of(
        Design(X, bounds, fit_intercept=fit_intercept), y, weight, Workers()
    )


def expected(X, y, weight, domain, fit_intercept):
    """The definitions of `Moments`, one domain after the other."""
    X, y = X.astype(np.longdouble), y.astype(np.longdouble)
    s = np.ones(len(X)) if weight is None else weight.astype(np.longdouble)
    moments = []
    for t in range(len(SIZES)):
        X_t, y_t, s_t = X[domain == t], y[domain == t], s[domain == t]
        mean, level = np.zeros(X.shape[1]), np.zeros(y.shape[1])
        if fit_intercept and s_t.sum() > 0:
            mean, level = s_t @ X_t / s_t.sum(), s_t @ y_t / s_t.sum()
        away, rise = X_t - mean, y_t - level
        gram, cross = (s_t * away.T) @ away, (s_t * away.T) @ rise
        moments.append((s_t.sum(), mean, level, gram, cross, s_t @ rise**2))
    return Moments(*(np.array(part, np.float64) for part in zip(*moments, strict=True)))


def assert_moments_equal(actual, desired, rtol):
    for name in PARTS:
        part = getattr(desired, name)
        # Relative to the size of the rows: a product of unlike columns is near 0.
        assert_allclose(
            getattr(actual, name),
            part,
            rtol=rtol,
            atol=rtol * np.abs(part).max(),
            err_msg=name,
        )
        assert getattr(actual, name).dtype == np.float64


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.usefixtures("small_pieces")
def test_moments_are_those_of_their_definition(offset, weighted, fit_intercept):
    X, y, weight, domain = rows(offset)
    settings = X, y, weight if weighted else None, domain, fit_intercept
    assert_moments_equal(found(*settings), expected(*settings), rtol=1e-13)


@pytest.mark.usefixtures("small_pieces")
def test_large_means_cost_no_digits():
    settings = *rows(offset=2.0**30), True
    # Means are rounded to 1e-7. Sums of squares less the square of the sum would be
    # off by 2^60 roundings, which is all there is.
    assert_moments_equal(found(*settings), expected(*settings), rtol=1e-6)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("offset", [1.0, 1e4])
@pytest.mark.usefixtures("small_pieces")
def test_large_means_cost_no_digits_of_single_precision(offset, weighted):
    X, y, weight, domain = rows(offset, np.float32)
    settings = X, y, weight if weighted else None, domain, True
    actual, desired = found(*settings), expected(*settings)
    assert_moments_equal(actual, desired, rtol=2e-6)
    # Of the means, single precision would leave an error of 1e-7 of their size.
    assert_allclose(actual.mean, desired.mean, atol=1e-6, rtol=0)
    assert_allclose(actual.level, desired.level, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "empty",
    [slice(100, 101), slice(101, 229), slice(101, 300), slice(500, 801), slice(0)],
    ids=["a domain", "a block", "the first piece", "the last pieces", "nothing"],
)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.usefixtures("small_pieces")
def test_rows_without_weight_do_not_count(empty, fit_intercept):
    X, y, weight, domain = rows(offset=3.0)
    weight[empty] = 0.0
    settings = X, y, weight, domain, fit_intercept
    assert_moments_equal(found(*settings), expected(*settings), rtol=1e-13)


@pytest.mark.usefixtures("small_pieces")
def test_rows_are_read_only_and_stay_as_they_are():
    settings = *rows(), True
    for array in settings[:4]:
        array.setflags(write=False)
    kept = [array.copy() for array in settings[:4]]
    found(*settings)
    for array, before in zip(settings[:4], kept, strict=True):
        assert_array_equal(array, before)


@pytest.mark.parametrize("light", [(), (1,), (0, 2)], ids=["none", "one", "others"])
def test_moments_of_two_parts_are_joined(light):
    X, y, weight, domain = rows(offset=3.0)
    first = np.arange(len(X)) % 3 == 0
    parts = []
    for part in (first, ~first):
        own = np.where(part, weight, 0.0)
        own[np.isin(domain, light) & first] = 0.0
        parts.append(expected(X, y, own, domain, True))
    weight = np.where(np.isin(domain, light) & first, 0.0, weight)
    both = expected(X, y, weight, domain, True)
    assert_moments_equal(joined(*parts), both, rtol=1e-12)
    assert_moments_equal(joined(*parts[::-1]), both, rtol=1e-12)


def test_joined_domains_that_weigh_nothing_stay_at_zero():
    X, y, weight, domain = rows()
    nothing = expected(X, y, 0 * weight, domain, True)
    assert_moments_equal(joined(nothing, nothing), nothing, rtol=0)
