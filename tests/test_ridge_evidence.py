"""The evidence of TiedRidge: marginal likelihoods, REML, published mixed models."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LinearRegression

from sktie import TiedRidge
from sktie._parallel import Workers
from sktie.linear_model._ridge_evidence import Evidence
from tests.ridge_oracles import design_rows, make_rows, penalty_matrix

INF = np.inf


def restricted(X, y, domain, strengths, alpha, shared_decay=False, weight=None):
    """Restricted log-likelihood of one target, and the variance of its noise.

    From the covariance of the targets: random where the penalties hold the parameters,
    fixed effects (in an orthonormal basis) where they do not.
    """
    rows = design_rows(X, domain, True)
    shared = np.isinf(strengths)
    decay = np.append(np.full(X.shape[1], float(alpha)), 0.0)
    n_domains, n = domain.max() + 1, len(strengths)
    finite = np.where(shared, 0.0, strengths)
    precision = penalty_matrix(n_domains, finite, decay, shared_decay)
    # Members that the tie allows: an orthonormal basis.
    own = np.eye(n_domains * n)
    columns = [
        own[:, j::n].sum(axis=1, keepdims=True) / np.sqrt(n_domains)
        if shared[j]
        else own[:, j::n]
        for j in range(n)
    ]
    basis = np.hstack(columns)
    precision = basis.T @ precision @ basis
    values, vectors = np.linalg.eigh(precision)
    flat = values < 1e-12 * max(1.0, values.max())
    vectors = basis @ vectors
    fixed, random = rows @ vectors[:, flat], rows @ vectors[:, ~flat]
    s = np.ones(len(y)) if weight is None else weight
    covariance = np.diag(1 / s) + (random / values[~flat]) @ random.T
    inverse = np.linalg.inv(covariance)
    information = fixed.T @ inverse @ fixed
    residual = y - fixed @ np.linalg.solve(information, fixed.T @ inverse @ y)
    left = len(y) - flat.sum()
    variance = residual @ inverse @ residual / left
    log_det = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(information)[1]
    return -0.5 * (left * (np.log(2 * np.pi * variance) + 1) + log_det), variance


SETTINGS = [
    {},
    {"tie": 30.0, "alpha": 0.1},
    {"tie": INF},
    {"tie": INF, "alpha": 0.0, "tie_intercept": 2.0},
    {"tie": 2.0, "alpha": 0.0},
    {"tie_intercept": False},
    {"tie_intercept": 0.01},
    {"tie_intercept": INF, "tie": 0.0},
    {"decay": "shared"},
    {"decay": "shared", "tie": INF},
    {"tie": INF, "tie_intercept": False},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_it_is_the_restricted_likelihood(settings):
    X, y, domain, _ = make_rows((5, 8, 20), n_features=2)
    chosen = {"tie": 1.0, "alpha": 1.0, "tie_intercept": True} | settings
    model = TiedRidge(**chosen)
    path = model._path(model._read(X, y, None, domain), Workers())
    names = ["tie", "alpha", "tie_intercept"]
    setting = [chosen[name] for name in names]
    own = chosen["tie_intercept"]
    own = chosen["tie"] if own is True else float(own)
    strengths = np.array([chosen["tie"]] * 2 + [own])
    expected, variance = restricted(
        X, y, domain, strengths, chosen["alpha"], chosen.get("decay") == "shared"
    )
    assert Evidence(path, setting)(setting) == pytest.approx(expected, abs=1e-8)
    model.fit(X, y, sample_domain=domain)
    assert model.sigma2_ == pytest.approx(variance, rel=1e-9)


def test_targets_are_independent_and_weights_are_numbers_of_rows():
    X, y, domain, _ = make_rows(n_targets=2)
    counts = 1 + np.arange(len(y)) % 2
    rows = np.repeat(np.arange(len(y)), counts)
    settings = {"tie": "auto", "alpha": "auto", "tie_intercept": "auto"}
    model = TiedRidge(**settings).fit(X, y, counts, sample_domain=domain)
    again = TiedRidge(**settings).fit(X[rows], y[rows], sample_domain=domain[rows])
    assert model.log_evidence_ == pytest.approx(again.log_evidence_, rel=1e-9)
    assert model.tie_ == pytest.approx(again.tie_, rel=1e-2)
    strengths = np.array([model.tie_] * 3 + [model.tie_intercept_])
    parts = [
        restricted(X[rows], target, domain[rows], strengths, model.alpha_)
        for target in y[rows].T
    ]
    assert model.log_evidence_ == pytest.approx(sum(p[0] for p in parts), rel=1e-9)
    np.testing.assert_allclose(model.sigma2_, [p[1] for p in parts], rtol=1e-8)


@pytest.mark.parametrize("wanted", [["tie"], ["alpha"], ["tie", "alpha"]], ids=str)
def test_auto_is_the_maximum_that_scipy_finds(wanted):
    X, y, domain, _ = make_rows((6, 12, 30), n_features=4, seed=2)
    model = TiedRidge(**dict.fromkeys(wanted, "auto")).fit(X, y, sample_domain=domain)

    def loss(logs):
        chosen = {"tie": 1.0, "alpha": 1.0}
        chosen |= dict(zip(wanted, np.exp(logs), strict=True))
        strengths = np.full(5, chosen["tie"])
        return -restricted(X, y, domain, strengths, chosen["alpha"])[0]

    best = minimize(loss, np.zeros(len(wanted)), method="Nelder-Mead", tol=1e-8)
    found = [getattr(model, f"{name}_") for name in wanted]
    np.testing.assert_allclose(found, np.exp(best.x), rtol=5e-3)
    assert model.log_evidence_ == pytest.approx(-best.fun, abs=1e-4)


def test_the_dye_of_davies_is_the_published_mixed_model():
    """Yields of dyestuff in six batches: a random intercept, by REML.

    The rows are in O. Davies (1947), Statistical methods in research and production;
    G. Box, G. Tiao (1973), Bayesian inference in statistical analysis, section 5.1.2,
    print the analysis of variance; D. Bates et al. (2015), Fitting linear mixed-effects
    models using lme4, the variances 1764 and 2451. In a balanced design these are
    those of the analysis of variance, where the batches differ at all.
    """
    table = np.array(
        [
            [1545, 1440, 1440, 1520, 1580],
            [1540, 1555, 1490, 1560, 1495],
            [1595, 1550, 1605, 1510, 1560],
            [1445, 1440, 1595, 1465, 1545],
            [1595, 1630, 1515, 1635, 1625],
            [1520, 1455, 1450, 1480, 1445],
        ]
    )
    batch = np.repeat(np.arange(6), 5)
    no_features = np.zeros((30, 1))
    model = TiedRidge(tie=INF, tie_intercept="auto")
    model.fit(no_features, table.ravel(), sample_domain=batch)
    noise, between = 2451.25, 1764.05
    assert table.var(axis=1, ddof=1).mean() == noise
    assert model.intercept_ == pytest.approx(1527.5)
    assert model.sigma2_ == pytest.approx(noise, rel=1e-3)
    assert model.tie_intercept_ == pytest.approx(noise / (2 * between), rel=1e-3)
    blups = (table.mean(axis=1) - 1527.5) * 5 * between / (5 * between + noise)
    np.testing.assert_allclose(model.domain_intercept_ - 1527.5, blups, rtol=1e-3)


def mixed_rows():
    """Twelve groups with levels and slopes of their own, 3 to 14 rows each."""
    rng = np.random.default_rng(7)
    group = np.repeat(np.arange(12), np.arange(3, 15))
    X = rng.normal(size=(len(group), 2))
    level, slope = 1.0 + 0.8 * rng.normal(size=12), 0.5 + 0.6 * rng.normal(size=12)
    y = level[group] + slope[group] * X[:, 0] - X[:, 1] + rng.normal(size=len(group))
    return np.round(X, 3), np.round(y, 3), group


def test_shared_slopes_and_tied_intercepts_are_mixedlm():
    """Reference: statsmodels 0.15.0, MixedLM("y ~ a + b", groups).fit(reml=True)."""
    X, y, group = mixed_rows()
    model = TiedRidge(tie=INF, alpha=0.0, tie_intercept="auto")
    model.fit(X, y, sample_domain=group)
    noise, between = 1.0459417, 0.6449537
    assert model.tie_intercept_ == pytest.approx(noise / (2 * between), rel=2e-3)
    assert model.sigma2_ == pytest.approx(noise, rel=1e-4)
    np.testing.assert_allclose(model.coef_, [0.1871109, -0.7484236], atol=1e-4)
    assert model.intercept_ == pytest.approx(0.7873306, abs=1e-4)
    blups = [1.595625, 2.131791, 0.179714, 0.431896, 0.593211, 0.208881]
    blups += [0.947702, 1.400824, -0.211011, -0.073862, 1.303754, 0.939441]
    np.testing.assert_allclose(model.domain_intercept_, blups, atol=1e-3)
    # Flat directions are measured along unit vectors of the members, one for each.
    llf = -158.92370614
    assert model.log_evidence_ - 1.5 * np.log(12) == pytest.approx(llf, abs=1e-5)


def test_random_slopes_are_a_tie_of_their_own():
    X, y, group = mixed_rows()
    X = X[:, :1]
    model = TiedRidge(tie="auto", alpha=0.0, tie_intercept="auto")
    model.fit(X, y, sample_domain=group)

    def loss(logs):
        return -restricted(X, y, group, np.exp(logs), 0.0)[0]

    best = minimize(loss, [0.0, 0.0], method="Nelder-Mead", tol=1e-8)
    ties = [model.tie_, model.tie_intercept_]
    np.testing.assert_allclose(ties, np.exp(best.x), rtol=1e-2)


def test_one_slope_is_random_and_another_is_not():
    """The strength of the slope as given, that of the intercept by REML."""
    X, y, group = mixed_rows()
    model = TiedRidge(tie=[2.0, INF], alpha=0.0, tie_intercept="auto")
    model.fit(X, y, sample_domain=group)

    def loss(log):
        return -restricted(X, y, group, np.array([2.0, INF, np.exp(log[0])]), 0.0)[0]

    best = minimize(loss, [0.0], method="Nelder-Mead", tol=1e-8)
    assert model.tie_intercept_ == pytest.approx(np.exp(best.x[0]), rel=5e-3)
    assert model.log_evidence_ == pytest.approx(-best.fun, abs=1e-5)


def test_equal_domains_are_shared():
    rng = np.random.default_rng(0)
    X, domain = rng.normal(size=(60, 3)), np.arange(60) % 3
    y = X @ [1.0, 2.0, -1.0] + rng.normal(size=60)
    # The means of the domains are less apart than noise would have them.
    for t in range(3):
        rows = domain == t
        fitted = LinearRegression().fit(X[rows], y[rows])
        y[rows] -= X[rows] @ (fitted.coef_ - [1.0, 2.0, -1.0]) + fitted.intercept_
    model = TiedRidge(tie="auto", tie_intercept="auto").fit(X, y, sample_domain=domain)
    assert model.tie_ == model.tie_intercept_ == INF
    assert model.n_stored_parameters_ == 4


def test_domains_apart_are_hardly_tied():
    rng = np.random.default_rng(0)
    X, domain = rng.normal(size=(600, 3)), np.arange(600) % 3
    coef = 100 * rng.normal(size=(3, 3))
    y = np.einsum("ij,ij->i", X, coef[domain]) + rng.normal(size=600)
    model = TiedRidge(tie="auto", tie_intercept=False, alpha=1e-6)
    model.fit(X, y, sample_domain=domain)
    assert model.tie_ < 0.01
    near = 1 / (4 * np.var(coef))
    assert model.tie_ == pytest.approx(near, rel=1.0)


def test_nothing_to_be_tied_to_leaves_the_decay_to_choose():
    X, y, _, _ = make_rows((60,), n_features=5)
    model = TiedRidge(tie="auto", alpha="auto", tie_intercept="auto").fit(X, y)
    assert model.tie_ == INF
    one = np.zeros(len(y), dtype=int)

    def loss(log):
        return -restricted(X, y, one, np.zeros(6), np.exp(log[0]))[0]

    best = minimize(loss, [0.0], method="Nelder-Mead", tol=1e-8)
    assert model.alpha_ == pytest.approx(np.exp(best.x[0]), rel=5e-3)


def test_a_fixed_pair_and_the_scale_of_features():
    X, y, _, _ = make_rows((60,))
    pair = LinearRegression().fit(X[:30], y[:30])
    pair = pair.coef_, pair.intercept_
    model = TiedRidge(pair, tie="auto", alpha=0.0).fit(X[30:], y[30:])
    assert 0 < model.tie_ <= INF
    scaled = TiedRidge((pair[0] / 1e4, pair[1]), tie="auto", tie_intercept=False)
    scaled.set_params(alpha=0.0).fit(X[30:] * 1e4, y[30:])
    near = TiedRidge(pair, tie="auto", tie_intercept=False, alpha=0.0)
    near.fit(X[30:], y[30:])
    assert scaled.tie_ == pytest.approx(near.tie_ * 1e8, rel=1e-2)


def test_rows_without_noise_have_no_evidence():
    X, _, domain, _ = make_rows()
    with pytest.raises(ValueError, match="tie='auto': the evidence exists for none"):
        TiedRidge(tie="auto").fit(X, np.zeros(len(X)), sample_domain=domain)
