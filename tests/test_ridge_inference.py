"""Covariances and intervals of TiedRidge against least squares and dense inverses."""

import numpy as np
import pytest
from scipy import stats

from sktie import TiedRidge
from tests.ridge_oracles import hessian, make_rows

INF = np.inf
KEPT = {"store_covariance": True}


@pytest.mark.parametrize("mean", [0.0, 1e6])
def test_without_penalties_they_are_those_of_least_squares(mean):
    X, y, _, weight = make_rows((30,), weights=True)
    X = np.round(X * 2**20) / 2**20
    model = TiedRidge(alpha=0.0, **KEPT).fit(X + mean, y, weight)
    one = np.column_stack([X, np.ones(len(X))])
    unit = np.linalg.inv(one.T @ (weight[:, None] * one))
    coef = unit @ one.T @ (weight * y)
    left = weight.sum() - 4
    variance = weight @ np.square(y - one @ coef) / left
    assert model.sigma2_ == pytest.approx(variance, rel=1e-7)
    width = stats.t.ppf(0.95, left) * np.sqrt(variance * np.diag(unit))
    lower, upper = model.coef_interval(coverage=0.9)
    np.testing.assert_allclose(lower[:3], (coef - width)[:3], rtol=1e-6)
    np.testing.assert_allclose(upper[:3], (coef + width)[:3], rtol=1e-6)
    covariance = model.coef_covariance()[:3, :3]
    np.testing.assert_allclose(covariance, variance * unit[:3, :3], rtol=1e-6)
    spread = np.sqrt(variance * np.einsum("ij,jk,ik->i", one, unit, one))
    lower, upper = model.predict_interval(X + mean, coverage=0.9)
    wide = 2 * stats.t.ppf(0.95, left) * spread
    np.testing.assert_allclose(upper - lower, wide, rtol=1e-5)
    np.testing.assert_allclose(0.5 * (upper + lower), model.predict(X + mean))
    lower, upper = model.predict_interval(X + mean, coverage=0.9, noise=True)
    wide = 2 * stats.t.ppf(0.95, left) * np.sqrt(variance + np.square(spread))
    np.testing.assert_allclose(upper - lower, wide, rtol=1e-5)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("n_targets", [None, 2])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tie": 30.0, "alpha": 0.1},
        {"tie_intercept": 0.2},
        {"tie_intercept": False},
        {"tie": 0.0},
        {"decay": "shared"},
    ],
    ids=str,
)
def test_they_are_blocks_of_the_inverse(settings, n_targets, weights):
    X, y, domain, weight = make_rows(n_targets=n_targets, weights=weights)
    model = TiedRidge(**settings, **KEPT).fit(X, y, weight, sample_domain=domain)
    chosen = {"tie": 1.0, "alpha": 1.0} | settings
    shared = chosen.pop("decay", "each") == "shared"
    _, whole, _ = hessian(X, domain, weight, **chosen, shared_decay=shared)
    inverse = np.linalg.inv(whole)
    variance = np.asarray(model.sigma2_)[..., None, None]
    n = 4
    for t in range(3):
        block = variance * inverse[t * n : (t + 1) * n, t * n : (t + 1) * n]
        np.testing.assert_allclose(model.coef_covariance(t), block, rtol=1e-8)
        lower, upper = model.coef_interval(t)
        coef = np.column_stack(
            [
                np.atleast_2d(model.domain_coef_[t]),
                np.atleast_1d(model.domain_intercept_[t]),
            ]
        )
        np.testing.assert_allclose(
            (0.5 * (lower + upper)).reshape(coef.shape), coef, rtol=1e-10
        )
    mean = np.kron(np.full((1, 3), 1 / 3), np.eye(n))
    centre = variance * (mean @ inverse @ mean.T)
    np.testing.assert_allclose(model.coef_covariance(), centre, rtol=1e-8, atol=1e-14)
    one = np.column_stack([X, np.ones(len(X))])
    unit = np.array(
        [
            row @ inverse[t * n : (t + 1) * n, t * n : (t + 1) * n] @ row
            for row, t in zip(one, domain, strict=True)
        ]
    )
    lower, upper = model.predict_interval(X, sample_domain=domain)
    mass = len(y) if weight is None else weight.sum()
    multiple = stats.t.ppf(0.975, mass - (1 if model.tie_intercept_ > 0 else 3))
    wide = 2 * multiple * np.sqrt(np.multiply.outer(unit, np.asarray(model.sigma2_)))
    np.testing.assert_allclose(upper - lower, wide, rtol=1e-8)


def test_a_hard_tie_and_domains_not_seen():
    X, y, domain, _ = make_rows()
    model = TiedRidge(tie=INF, handle_unknown="shared", **KEPT)
    model.fit(X, y, sample_domain=domain)
    pooled = TiedRidge(alpha=3.0, **KEPT).fit(X, y)
    for label in (None, 0, 9):
        np.testing.assert_allclose(
            model.coef_covariance(label), pooled.coef_covariance(), rtol=1e-9
        )
    np.testing.assert_allclose(
        model.predict_interval(X, sample_domain=np.full(len(X), 9)),
        pooled.predict_interval(X),
    )
    model.set_params(tie=2.0, alpha=0.5).fit(X, y, sample_domain=domain)
    more = model.coef_covariance(9) - model.coef_covariance()
    expected = model.sigma2_ * 4 / 3 / np.array([4.5, 4.5, 4.5, 4.0])
    np.testing.assert_allclose(more, np.diag(expected), rtol=1e-9, atol=1e-12)
    lower, upper = model.predict_interval(X[:1], sample_domain=[9])
    row = np.append(X[0], 1.0)
    deviation = np.sqrt(row @ model.coef_covariance(9) @ row)
    multiple = stats.t.ppf(0.975, len(X) - 1)
    assert upper[0] - lower[0] == pytest.approx(2 * multiple * deviation)
    model.set_params(tie_intercept=False).fit(X, y, sample_domain=domain)
    with pytest.raises(ValueError, match="positive tie_intercept"):
        model.coef_covariance(9)


def test_intervals_cover_what_their_model_draws():
    rng = np.random.default_rng(0)
    n_domains, hits, total = 8, 0, 0
    domain = np.repeat(np.arange(n_domains), 12)
    for _ in range(100):
        coef = 1.0 + 0.5 * rng.normal(size=(n_domains, 2))
        X = rng.normal(size=(len(domain), 2))
        y = np.einsum("ij,ij->i", X, coef[domain]) + rng.normal(size=len(domain))
        model = TiedRidge(
            tie=1 / (2 * 0.5**2), alpha=0.0, fit_intercept=False, **KEPT
        ).fit(X, y, sample_domain=domain)
        for t in range(n_domains):
            lower, upper = model.coef_interval(t, coverage=0.8)
            hits += int(((lower < coef[t]) & (coef[t] < upper)).sum())
            total += 2
    assert hits / total == pytest.approx(0.8, abs=0.03)


def test_errors_name_the_remedy():
    X, y, domain, _ = make_rows()
    model = TiedRidge().fit(X, y, sample_domain=domain)
    for call in (
        model.coef_covariance,
        model.coef_interval,
        lambda: model.predict_interval(X, sample_domain=domain),
    ):
        with pytest.raises(ValueError, match="store_covariance=True"):
            call()
    model.set_params(**KEPT).fit(X, y, sample_domain=domain)
    with pytest.raises(ValueError, match=r"Use 0\.95"):
        model.coef_interval(coverage=95)
    with pytest.raises(ValueError, match="did not see"):
        model.coef_interval(9)
    plain = TiedRidge(**KEPT).fit(X, y)
    with pytest.raises(ValueError, match="without domains"):
        plain.coef_interval(1)
    twice = np.column_stack([X, X])
    with pytest.raises(ValueError, match=r"there is no covariance: .* collinear"):
        TiedRidge(alpha=0.0, **KEPT).fit(twice, y)
