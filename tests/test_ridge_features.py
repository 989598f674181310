"""Ties between the features of a ridge regression, and features that share."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge

from sktie import FeatureTie, TiedRidge, TiedRidgeCV
from sktie.inspection import tying_report

INF = np.inf


def rows(n=50, p=4, n_targets=None, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 2
    shape = n if n_targets is None else (n, n_targets)
    common = X[:, 0] + X[:, 1] - X[:, 2]
    y = (common if n_targets is None else common[:, None]) + rng.normal(size=shape)
    return X, y, np.arange(n) % 2, rng.integers(1, 4, n).astype(float)


def augmented(X, y, weight, roots):
    """Rows of target 0 that cost what penalties do: after the means are taken off."""
    weight = np.ones(len(X)) if weight is None else weight
    y = y.reshape(len(y), -1)
    X_mean, y_mean = np.average(X, 0, weight), np.average(y, 0, weight)
    root = np.sqrt(weight)[:, None]
    A = np.vstack([root * (X - X_mean), *roots])
    b = np.vstack([root * (y - y_mean), np.zeros((len(A) - len(X), y.shape[1]))])
    coef = LinearRegression(fit_intercept=False).fit(A, b).coef_
    return coef, y_mean - coef @ X_mean


@pytest.mark.parametrize("n_targets", [None, 3])
@pytest.mark.parametrize("sparse", [False, True])
def test_it_is_least_squares_on_augmented_rows(n_targets, sparse):
    X, y, _, weight = rows(n_targets=n_targets)
    ties = [FeatureTie([0, 1], strength=2.0), {1: 1, 2: -1}]
    model = TiedRidge(alpha=0.7, feature_ties=ties, feature_tie=3.0)
    model.fit(sp.csr_array(X) if sparse else X, y, weight)
    first, second = np.zeros((2, 1, 4))
    first[0, [0, 1]] = np.sqrt(6.0) * np.array([1, -1])
    second[0, [1, 2]] = np.sqrt(3.0) * np.array([1, 1])
    roots = [np.sqrt(0.7) * np.eye(4), first, second]
    coef, intercept = augmented(X, y, weight, roots)
    assert_allclose(np.atleast_2d(model.coef_), coef, atol=1e-8)
    assert_allclose(np.ravel(model.intercept_), intercept, atol=1e-7)
    residual = y.reshape(len(y), -1) - X @ coef.T - intercept
    expected = (weight[:, None] * residual**2).sum() + 0.7 * np.square(coef).sum()
    expected += sum(np.square(root @ coef.T).sum() for root in roots[1:])
    assert_allclose(model.objective_, expected)


def test_a_graph_of_neighbours_without_decay_is_a_smoother():
    X, y, _, _ = rows(n=3, p=8)
    path = np.eye(8, k=1) + np.eye(8, k=-1)
    model = TiedRidge(alpha=0.0, feature_ties=path, feature_tie=2.0).fit(X, y)
    roots = [np.sqrt(2.0) * (np.eye(8)[1:] - np.eye(8)[:-1])]
    coef, _ = augmented(X, y, None, roots)
    assert_allclose(model.coef_, coef[0], atol=1e-7)


@pytest.mark.parametrize("settings", [{}, {"tie_intercept": False}])
def test_features_that_share_are_ridge_on_their_sum(settings):
    X, y, _, weight = rows()
    shares = [{0: 1, 1: 1, 2: -2}]
    model = TiedRidge(alpha=0.7, feature_shares=shares, **settings).fit(X, y, weight)
    column = (X[:, [0]] + X[:, [1]] - 2 * X[:, [2]]) / np.sqrt(6)
    plain = Ridge(alpha=0.7).fit(np.hstack([column, X[:, [3]]]), y, weight)
    assert_allclose(model.coef_[:3], plain.coef_[0] * np.array([1, 1, -2]) / np.sqrt(6))
    assert_allclose(model.coef_[3], plain.coef_[1])
    assert model.stored_coef_.shape == (2,)
    assert_allclose(model.expand(model.stored_coef_), model.coef_)
    assert_allclose(model.predict(X), X @ model.coef_ + model.intercept_)
    near = TiedRidge(alpha=0.7, feature_ties=shares, feature_tie=1e8).fit(X, y, weight)
    assert_allclose(near.coef_, model.coef_, atol=1e-6)
    limit = TiedRidge(alpha=0.7, feature_ties=shares, feature_tie=INF)
    assert_allclose(limit.fit(X, y, weight).coef_, model.coef_)


def test_a_pair_counts_by_its_mean_over_features_that_share():
    X, y, _, _ = rows()
    pair = (np.array([1.0, 3.0, 0.0, -1.0]), 0.0)
    model = TiedRidge(
        pair, tie={0: 3.0, 1: 1.0, None: 2.0}, tie_intercept=False, alpha=0.5,
        feature_shares=[[0, 1]],
    ).fit(X, y)  # fmt: skip
    E = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    S = np.diag([3.0, 1.0, 2.0, 2.0])
    Z = (X - X.mean(0)) @ E
    left = Z.T @ Z + 0.5 * E.T @ E + E.T @ S @ E
    right = Z.T @ (y - y.mean()) + E.T @ S @ pair[0]
    assert_allclose(model.coef_, E @ np.linalg.solve(left, right))


@pytest.mark.parametrize(
    "form",
    [
        {"feature_ties": [[0, 1, 2]], "feature_tie": 4.0},
        {"feature_shares": [[0, 1]]},
        {"feature_shares": [[0, 1]], "feature_ties": [[1, 2]], "feature_tie": 4.0},
    ],
)
@pytest.mark.parametrize("domains", [False, True])
def test_leave_one_out_is_exact(form, domains):
    X, y, domain, weight = rows(24)
    settings = {"ties": [0.0, 2.0], "alphas": [0.0, 0.5]}
    given = {"sample_domain": domain} if domains else {}
    model = TiedRidgeCV(**form, **settings).fit(X, y, weight, **given)
    for i, alpha in enumerate(settings["alphas"]):
        for j, tie in enumerate(model.ties_):
            errors = np.empty(len(y))
            for k in range(len(y)):
                rest = np.arange(len(y)) != k
                own = {"sample_domain": domain[rest]} if domains else {}
                one = TiedRidge(**form, tie=tie, alpha=alpha)
                one.fit(X[rest], y[rest], weight[rest], **own)
                own = {"sample_domain": domain[[k]]} if domains else {}
                errors[k] = (y[k] - one.predict(X[[k]], **own)[0]) ** 2
            expected = -weight @ errors / weight.sum()
            assert_allclose(model.scores_[i, j], expected, rtol=1e-7)
    plain = TiedRidge(**form, tie=model.tie_, alpha=model.alpha_)
    assert_allclose(model.coef_, plain.fit(X, y, weight, **given).coef_)


def test_covariance_and_noise_count_the_ties():
    X, y, _, _ = rows(n_targets=None)
    model = TiedRidge(
        alpha=0.0, feature_ties=[[0, 1]], feature_tie=5.0, store_covariance=True
    ).fit(X, y)
    wide, Q = np.column_stack([X, np.ones(len(X))]), np.zeros((5, 5))
    Q[:2, :2] = 5.0 * np.array([[1, -1], [-1, 1]])
    # Of five directions the tie holds one: the noise has len(X) - 4 degrees.
    assert_allclose(model.sigma2_, model.objective_ / (len(X) - 4))
    expected = model.sigma2_ * np.linalg.inv(wide.T @ wide + Q)
    assert_allclose(model.coef_covariance(), expected, rtol=1e-6)


def test_a_pair_passes_its_ties_on_in_its_metric():
    X, y, _, _ = rows(60)
    settings = {"feature_ties": [[0, 1, 2]], "feature_tie": 3.0}
    first = TiedRidge(store_covariance=True, **settings).fit(X[:30], y[:30])
    pair = FrozenEstimator(first)
    model = TiedRidge(pair, metric="fisher", tie=1.0, alpha=0.0).fit(X[30:], y[30:])
    assert_allclose(model.coef_, TiedRidge(**settings).fit(X, y).coef_, atol=1e-8)


def test_the_report_calls_it_decay():
    X, y, domain, _ = rows()
    settings = {"feature_ties": [[0, 1]], "feature_tie": 3.0, "tie": 2.0}
    model = TiedRidge(**settings).fit(X, y, sample_domain=domain)
    report = tying_report(model, X, y, sample_domain=domain)
    free = TiedRidge(tie=2.0).fit(X, y, sample_domain=domain)
    other = tying_report(free, X, y, sample_domain=domain)
    assert report.total.decay > other.total.decay
    assert report.effective_parameters < other.effective_parameters
    shared = TiedRidge(feature_shares=[[0, 1]]).fit(X, y, sample_domain=domain)
    found = tying_report(shared, X, y, sample_domain=domain)
    assert found.logical_parameters == 10
    assert found.effective_parameters < 8


def test_distance_and_names():
    X, y, domain, _ = rows()
    table = pd.DataFrame(X, columns=list("abcd"))
    model = TiedRidge(max_distance=0.1, feature_shares=[["a", "c"]])
    model.fit(table, y, sample_domain=domain)
    members = np.column_stack([model.domain_coef_, model.domain_intercept_])
    omega = 2 * np.square(members - members.mean(axis=0)).sum()
    assert_allclose(np.sqrt(omega), 0.1, rtol=1e-6)
    assert np.all(model.domain_coef_[:, 0] == model.domain_coef_[:, 2])


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"feature_ties": [[0, 1]], "tie": "auto"}, "tie='auto' with feature_ties"),
        ({"feature_ties": [[0, 1]], "alpha": "auto"}, "alpha='auto' with feature_ties"),
        ({"feature_shares": [[0, 1]], "store_covariance": True}, "store_covariance"),
        ({"feature_shares": [[0, 9]]}, "feature_shares holds 9"),
        ({"feature_shares": [[0, 1], {0: 1, 1: -1}]}, "both are true of 0 alone"),
    ],
)
def test_errors(settings, match):
    X, y, domain, _ = rows()
    with pytest.raises(ValueError, match=match):
        TiedRidge(**settings).fit(X, y, sample_domain=domain)


def test_the_metric_of_a_pair_does_not_know_of_shares():
    X, y, _, _ = rows()
    pair = FrozenEstimator(TiedRidge(store_covariance=True).fit(X, y))
    model = TiedRidge(pair, metric="fisher", feature_shares=[[0, 1]])
    with pytest.raises(ValueError, match="metric='fisher' with features that share"):
        model.fit(X, y)
