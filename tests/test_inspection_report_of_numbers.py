"""tying_report of regressions: squares are checked by dense algebra, counts by fits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge

from sktie import (
    TiedLogisticRegression,
    TiedPoissonRegressor,
    TiedPoissonRegressorCV,
    TiedRidge,
    TiedRidgeCV,
)
from sktie.inspection import tying_report

INF = np.inf
T, P = 3, 2


def rows(n=60, n_targets=None, seed=0):
    rng = np.random.default_rng(seed)
    X, domain = rng.normal(size=(n, P)) + 1, rng.integers(T, size=n)
    slope = 1 + 0.5 * rng.normal(size=(T, P))
    raw = np.einsum("ij,ij->i", X, slope[domain]) + 0.3 * domain
    noise = rng.normal(size=n if n_targets is None else (n, n_targets))
    y = raw + noise if n_targets is None else raw[:, None] + noise
    return X, y, domain, rng.integers(1, 4, n).astype(float)


def dense(X, domain, weight, alpha, tie, own):
    """The Hessian of half the objective over all members, and those of the losses."""
    wide = np.column_stack([X, np.ones(len(X))])
    data = np.zeros((T, T, P + 1, P + 1))
    for t in range(T):
        rows = wide[domain == t]
        data[t, t] = rows.T @ (weight[domain == t][:, None] * rows)
    strength = np.array([tie] * P + [own])
    centre = np.eye(T) - 1 / T
    whole = data + 2 * np.einsum("st,j,ij->stij", centre, strength, np.eye(P + 1))
    for t in range(T):
        whole[t, t] += np.diag([alpha] * P + [0.0])
    return [
        np.transpose(m, (0, 2, 1, 3)).reshape(T * (P + 1), -1) for m in (whole, data)
    ]


@pytest.mark.parametrize("tie_intercept", [True, False, 0.3])
@pytest.mark.parametrize("n_targets", [None, 2])
def test_shares_of_squares_are_those_of_dense_algebra(n_targets, tie_intercept):
    X, y, domain, weight = rows(n_targets=n_targets)
    alpha, tie = 0.7, 4.0
    model = TiedRidge(tie=tie, alpha=alpha, tie_intercept=tie_intercept)
    model.fit(X, y, weight, sample_domain=domain)
    report = tying_report(model, X, y, sample_weight=weight, sample_domain=domain)
    own = tie if tie_intercept is True else float(tie_intercept)
    whole, data = dense(X, domain, weight, alpha, tie, own)
    weights = np.linalg.inv(whole) @ data
    q, K = P + 1, n_targets or 1
    for t, row in enumerate(report.domains):
        mine = weights[t * q : (t + 1) * q]
        blocks = [np.trace(mine[:, s * q : (s + 1) * q]) / q for s in range(T)]
        assert_allclose(row.own, blocks[t], rtol=1e-8)
        assert_allclose(row.borrowed, sum(blocks) - blocks[t], rtol=1e-6, atol=1e-9)
        assert_allclose(row.own + row.borrowed + row.decay, 1.0)
        assert row.n_parameters == q * K
        assert_allclose(row.effective_parameters, blocks[t] * q * K)
        assert row.n_samples == np.sum(domain == t)
    assert report.logical_parameters == T * q * K
    assert "squared error" in str(report)
    assert "alpha=0.7" in str(report)
    assert report.loss == "squared error"


def test_gains_of_squares_are_those_of_fits_without_each_row():
    X, y, domain, _ = rows(30)
    losses = {}
    for tie in (0.0, 4.0, INF):
        found = np.empty(len(y))
        for i in range(len(y)):
            rest = np.arange(len(y)) != i
            one = TiedRidge(tie=tie).fit(X[rest], y[rest], sample_domain=domain[rest])
            found[i] = y[i] - one.predict(X[[i]], sample_domain=domain[[i]])[0]
        losses[tie] = np.square(found)
    model = TiedRidge(tie=4.0).fit(X, y, sample_domain=domain)
    total = tying_report(model, X, y, sample_domain=domain).total
    gain = losses[0.0] - losses[4.0]
    assert_allclose(total.gain_over_separate, gain.mean(), rtol=1e-7)
    assert_allclose(total.separate_error, gain.std() / np.sqrt(len(y)), rtol=1e-7)
    gain = losses[INF] - losses[4.0]
    assert_allclose(total.gain_over_pooled, gain.mean(), rtol=1e-7)


def test_a_fixed_pair_takes_its_share():
    X, y, _, _ = rows()
    pair = FrozenEstimator(Ridge().fit(X[:20], y[:20]))
    model = TiedRidge(pair, tie=3.0, alpha=1.5).fit(X[20:], y[20:])
    report = tying_report(model, X[20:], y[20:])
    assert report.domains == ()
    assert_allclose(report.anchor_factor, 3.0 / 4.5)
    assert_allclose(report.effective_anchor[0], pair.coef_ * 3.0 / 4.5)
    wide = np.column_stack([X[20:], np.ones(40)])
    data = wide.T @ wide
    inverse = np.linalg.inv(data + np.diag([4.5, 4.5, 3.0]))
    assert_allclose(report.total.own, np.trace(inverse @ data) / 3)
    assert_allclose(report.total.pair, np.trace(inverse) * 3.0 / 3)


def test_estimators_that_chose_their_strengths_have_reports_too():
    X, y, domain, _ = rows()
    chosen = TiedRidgeCV(ties=[1.0, 10.0]).fit(X, y, sample_domain=domain)
    plain = TiedRidge(tie=chosen.tie_, alpha=chosen.alpha_)
    plain.fit(X, y, sample_domain=domain)
    one, other = (
        tying_report(model, X, y, sample_domain=domain) for model in (chosen, plain)
    )
    assert str(one) == str(other)
    mixed = TiedRidge(tie=INF, alpha=0.0, tie_intercept="auto")
    mixed.fit(X, y, sample_domain=domain)
    report = tying_report(mixed, X, y, sample_domain=domain)
    assert T > report.effective_parameters - P > 1
    assert "alpha=0:" in str(report)


def counts(n=90, seed=0):
    X, raw, domain, _ = rows(n, seed=seed)
    rng = np.random.default_rng(seed)
    exposure = rng.uniform(0.5, 3.0, n)
    return X, rng.poisson(exposure * np.exp(0.3 * raw)).astype(float), domain, exposure


def test_of_counts_with_exposures():
    X, y, domain, exposure = counts()
    given = {"sample_domain": domain, "sample_exposure": exposure}
    model = TiedPoissonRegressor(tie=0.05, alpha=0.01, tol=1e-12).fit(X, y, **given)
    report = tying_report(model, X, y, **given)
    # Curvature of the mean loss, by the means that the model predicts.
    mean = model.predict(X, **given) / exposure.sum()
    whole, data = dense(X, domain, mean, 0.01, 0.05, 0.05)
    weights = np.linalg.inv(whole) @ data
    assert_allclose(report.effective_parameters, np.trace(weights), rtol=1e-5)
    q = P + 1
    for t, row in enumerate(report.domains):
        mine = np.trace(weights[t * q : (t + 1) * q, t * q : (t + 1) * q]) / q
        assert_allclose(row.own, mine, rtol=1e-5)
    assert report.loss == "deviance"
    chooser = TiedPoissonRegressorCV(ties=[0.0, 0.05, INF], alphas=[0.01], tol=1e-12)
    scores = chooser.fit(X, y, **given).scores_[0]
    assert_allclose(report.total.gain_over_separate, scores[1] - scores[0], rtol=1e-6)
    assert_allclose(report.total.gain_over_pooled, scores[1] - scores[2], rtol=1e-6)


@pytest.mark.parametrize("kind", [TiedRidge, TiedPoissonRegressor])
def test_other_rows_are_an_error(kind):
    X, y, domain, _ = counts()
    model = kind().fit(X, y, sample_domain=domain)
    with pytest.raises(ValueError, match="estimator is no fit to these rows"):
        tying_report(model, X, y[::-1], sample_domain=domain)
    n = X.shape[1]
    with pytest.raises(ValueError, match=f"hold {n - 1} features, .* fitted to {n}"):
        tying_report(model, X[:, 1:], y, sample_domain=domain)
    if kind is TiedRidge:
        with pytest.raises(ValueError, match=r"hold 2 targets, .* fitted to 1"):
            tying_report(model, X, np.column_stack([y, y]), sample_domain=domain)


def test_what_has_no_report_is_an_error():
    X, y, domain, exposure = counts()
    with pytest.raises(TypeError, match=r"expected a TiedLogisticRegression or.*Ridge"):
        tying_report(Ridge().fit(X, y), X, y)
    with pytest.raises(ValueError, match="ties nothing"):
        tying_report(TiedRidge().fit(X, y), X, y)
    model = TiedRidge().fit(X, y, sample_domain=domain)
    with pytest.raises(ValueError, match="sample_exposure with a TiedRidge"):
        tying_report(model, X, y, sample_domain=domain, sample_exposure=exposure)
    graph = TiedPoissonRegressor(graph="learned").fit(X, y, sample_domain=domain)
    with pytest.raises(ValueError, match="does not know about graph="):
        tying_report(graph, X, y, sample_domain=domain)


def test_of_classes_as_before():
    X, y, domain, _ = rows()
    model = TiedLogisticRegression().fit(X, y > 1, sample_domain=domain)
    report = tying_report(model, X, y > 1, sample_domain=domain)
    assert "C=1:" in str(report)
    assert "log-loss" in str(report)
