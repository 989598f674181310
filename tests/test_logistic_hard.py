"""Fits that once went wrong: orders, scales, labels and refits of an unkind world."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression

from sktie import TiedLogisticRegression
from sktie.solvers import SOLVERS


def two_features(n_rows, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, 2))


@pytest.mark.parametrize("period", [32, 31, 7])
def test_a_period_in_the_rows_does_not_mislead_the_sample(period):
    # Every 32nd row is positive: a sample of every 32nd row would hold one class.
    X = two_features(64_000)
    y = np.arange(64_000) % period == 0
    model = TiedLogisticRegression().fit(X, y)
    peer = LogisticRegression(solver="newton-cholesky", tol=1e-8).fit(X, y)
    np.testing.assert_allclose(model.coef_, peer.coef_, atol=1e-4)
    np.testing.assert_allclose(model.intercept_, peer.intercept_, atol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_anchor_far_out_is_left_behind(solver):
    X = two_features(200)
    y = X[:, 0] + np.random.default_rng(1).normal(size=200) > 0
    anchor = (np.zeros((1, 2)), [100.0])
    plain = TiedLogisticRegression(tol=1e-12).fit(X, y)
    model = TiedLogisticRegression(anchor, tie=0.0, solver=solver, tol=1e-12).fit(X, y)
    np.testing.assert_allclose(model.coef_, plain.coef_, atol=1e-5)
    np.testing.assert_allclose(model.intercept_, plain.intercept_, atol=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_certificate_holds_where_rows_differ_by_many_decades(solver):
    X = two_features(3_000)
    y = X[:, 0] + np.random.default_rng(2).logistic(size=3_000) > 0
    X[::32] *= 1e6
    best = TiedLogisticRegression(solver="newton-cholesky", tol=1e-16).fit(X, y)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = TiedLogisticRegression(solver=solver, tol=1e-8).fit(X, y)
    assert model.objective_ <= best.objective_ * (1 + 1e-7) or caught


@pytest.mark.parametrize(
    "labels",
    [
        np.array([2**53, 2**53 + 1] * 20, dtype=object),
        [2**53, 2**53 + 1] * 20,
        np.array([2**53, 2**53 + 1] * 20),
        [np.int8(-3), 7] * 20,
        [True, False] * 20,
        ["7", "07"] * 20,
    ],
    ids=["objects", "list", "int64", "small", "booleans", "strings"],
)
def test_labels_that_differ_are_two_domains(labels):
    X = two_features(40)
    model = TiedLogisticRegression().fit(X, X[:, 0] > 0, sample_domain=labels)
    assert len(model.domains_) == 2
    assert model.domains_.tolist() == sorted(set(np.asarray(labels).tolist()))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["a", np.nan], "missing labels"),
        (["a", None], "missing labels"),
        (["a", 1], "mixes labels"),
        (np.array([2.0**53, 2.0**53 + 2]), "2\\^53"),
        ([10**20, 10**20 + 1], "64 bits"),
        (["a", "a\0"], "ends in NUL"),
    ],
    ids=["nan", "none", "mixed", "large floats", "huge integers", "NUL"],
)
def test_labels_that_cannot_be_told_apart_are_an_error(labels, words):
    X = two_features(40)
    labels = labels * 20 if isinstance(labels, list) else np.tile(labels, 20)
    with pytest.raises(ValueError, match=words):
        TiedLogisticRegression().fit(X, X[:, 0] > 0, sample_domain=labels)


def test_classes_may_span_the_range_of_a_small_dtype():
    X = two_features(60)
    y = np.array([-100, 0, 100], dtype=np.int8)[np.arange(60) % 3]
    model = TiedLogisticRegression().fit(X, y)
    assert_array_equal(model.classes_, [-100, 0, 100])
    assert model.classes_.dtype == np.int8


def test_a_gap_within_tol_is_no_warning_though_steps_ran_out():
    # Small problems aim at the square of tol; the promise is tol.
    X = two_features(90)
    y = X[:, 0] + np.random.default_rng(0).normal(size=90) > 0
    needed = TiedLogisticRegression(tol=1e-8).fit(X, y).n_iter_
    TiedLogisticRegression(tol=1e-8, max_iter=needed - 1).fit(X, y)  # a warning fails


def test_a_refit_without_domains_has_no_domains():
    X = np.column_stack([two_features(40), np.arange(40) % 2])
    model = TiedLogisticRegression(-1).fit(X, X[:, 0] > 0)
    assert hasattr(model, "domain_coef_")
    model.set_params(pair=None).fit(X, X[:, 0] > 0)
    assert not hasattr(model, "domain_coef_")
    assert not hasattr(model, "domain_intercept_")


def test_labels_of_another_kind_are_no_unseen_domains():
    X, domain = two_features(40), np.arange(40) % 2
    model = TiedLogisticRegression(handle_unknown="shared")
    model.fit(X, X[:, 0] > 0, sample_domain=domain)
    with pytest.raises(ValueError, match="same kind"):
        model.predict(X, sample_domain=domain.astype(str))


def test_class_weight_may_name_classes_that_a_fold_lacks():
    X = two_features(40)
    y = (X[:, 0] > 0).astype(int)
    weights = {0: 1.0, 1: 2.0, 2: 3.0}
    model = TiedLogisticRegression(class_weight=weights, tol=1e-12).fit(X, y)
    peer = LogisticRegression(class_weight=weights, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(model.coef_, peer.coef_, atol=1e-4)


def test_sparsified_coefficients_serve_as_an_anchor():
    X = two_features(40)
    y = X[:, 0] > 0
    anchor = LogisticRegression().fit(X, y)
    dense = TiedLogisticRegression(anchor, tie=np.inf).fit(X, y)
    sparse = TiedLogisticRegression(anchor.sparsify(), tie=np.inf).fit(X, y)
    assert_array_equal(dense.coef_, sparse.coef_)
