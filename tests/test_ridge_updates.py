"""Tests of max_distance, metric="fisher" and partial_fit of ridge regression."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import NonlinearConstraint, minimize
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge

from sktie import TiedRidge, TiedRidgeCV

N_FEATURES = 4


def data(n=60, n_targets=None, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, N_FEATURES)) * [1.0, 3.0, 0.1, 1.0] + offset
    shape = (N_FEATURES,) if n_targets is None else (N_FEATURES, n_targets)
    weights = np.random.default_rng(7).normal(size=shape)
    y = X @ weights + 2 + rng.normal(size=(n, *shape[1:]))
    return X, y, rng.integers(1, 4, n).astype(float)


def stacked(*batches):
    return [np.concatenate(part) for part in zip(*batches, strict=True)]


@pytest.mark.parametrize(
    ("fit_intercept", "offset"), [(True, 0.0), (True, 1e4), (False, 0.0)]
)
@pytest.mark.parametrize("n_targets", [None, 3])
@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_yesterday_and_today_are_the_fit_to_all_rows(
    fit_intercept, n_targets, offset, alpha
):
    batches = [data(50, n_targets, seed, offset) for seed in range(2)]
    settings = {"fit_intercept": fit_intercept}
    old = TiedRidge(alpha=alpha, store_covariance=True, **settings)
    old.fit(batches[0][0], batches[0][1], batches[0][2])
    X, y, weight = batches[1]
    new = TiedRidge(FrozenEstimator(old), metric="fisher", alpha=0, **settings)
    new.fit(X, y, weight)
    X, y, weight = stacked(*batches)
    expected = Ridge(alpha=alpha, solver="svd", **settings).fit(X, y, weight)
    assert_allclose(new.coef_, expected.coef_, rtol=1e-8, atol=1e-8)
    raw = new.predict(X)
    assert_allclose(raw, expected.predict(X), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("n_targets", [None, 2])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_batch_after_batch_is_the_fit_to_all_rows(n_targets, fit_intercept):
    batches = [data(30, n_targets, seed) for seed in range(5)]
    settings = {"fit_intercept": fit_intercept, "store_covariance": True, "alpha": 3.0}
    model = TiedRidge(**settings)
    for X, y, weight in batches:
        model.partial_fit(X, y, weight)
    X, y, weight = stacked(*batches)
    whole = TiedRidge(**settings).fit(X, y, weight)
    for name in ("coef_", "intercept_", "sigma2_", "objective_"):
        assert_allclose(getattr(model, name), getattr(whole, name), rtol=1e-9)
    assert_allclose(model.coef_covariance(), whole.coef_covariance(), rtol=1e-8)
    assert_allclose(model.coef_interval(), whole.coef_interval(), rtol=1e-8)
    for noise in (False, True):
        assert_allclose(
            model.predict_interval(X[:5], noise=noise),
            whole.predict_interval(X[:5], noise=noise),
            rtol=1e-8,
        )


def test_a_past_that_fades_is_rows_of_less_weight():
    batches = [data(40, seed=seed) for seed in range(3)]
    model = TiedRidge(alpha=2.0, tie=0.5, store_covariance=True)
    for X, y, weight in batches:
        model.partial_fit(X, y, weight)
    batches = [
        (X, y, weight * 0.5 ** (2 - k)) for k, (X, y, weight) in enumerate(batches)
    ]
    X, y, weight = stacked(*batches)
    expected = Ridge(alpha=2.0 * 0.25).fit(X, y, weight)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-9)
    assert_allclose(model.intercept_, expected.intercept_, rtol=1e-9)


@pytest.mark.parametrize("tie_intercept", [True, 0.7, False])
def test_ties_and_decay_of_the_pair_are_in_its_curvature(tie_intercept):
    X, y, weight = data(30)
    anchor = np.ones(N_FEATURES), 0.5
    middle = TiedRidge(
        anchor, tie=5.0, tie_intercept=tie_intercept, store_covariance=True
    ).fit(X, y, weight)
    X_new, y_new, _ = data(8, seed=3)
    last = TiedRidge(middle, metric="fisher", tie=2.0, alpha=0.4).fit(X_new, y_new)
    own = {True: 5.0, False: 0.0}.get(tie_intercept, tie_intercept)
    wide, wide_new = np.c_[X, np.ones(30)], np.c_[X_new, np.ones(8)]
    P = (wide * weight[:, None]).T @ wide + np.diag([6.0] * N_FEATURES + [own])
    system = wide_new.T @ wide_new + 2 * P + np.diag([0.4] * N_FEATURES + [0])
    right = wide_new.T @ y_new + 2 * P @ np.append(middle.coef_, middle.intercept_)
    expected = np.linalg.solve(system, right)
    assert_allclose(np.append(last.coef_, last.intercept_), expected, rtol=1e-9)
    away = expected - np.append(middle.coef_, middle.intercept_)
    value = np.square(y_new - wide_new @ expected).sum() + 2 * away @ P @ away
    value += 0.4 * np.square(expected[:-1]).sum()
    assert_allclose(last.objective_, value, rtol=1e-9)


def test_the_centre_of_domains_and_names():
    X, y, _ = data(80)
    frame = pd.DataFrame(X, columns=list("abcd"))
    old = TiedRidge(tie=3.0, store_covariance=True)
    old.fit(frame, y, sample_domain=np.arange(80) % 4)
    X_new, y_new, _ = data(20, seed=3)
    turned = pd.DataFrame(X_new, columns=list("abcd"))[list("cadb")]
    model = TiedRidge(FrozenEstimator(old), metric="fisher", alpha=0)
    model.fit(turned, y_new)
    P = np.linalg.inv(old.coef_covariance() / old.sigma2_)
    wide = np.c_[X_new, np.ones(20)]
    centre = np.append(old.coef_, old.intercept_)
    expected = np.linalg.solve(wide.T @ wide + P, wide.T @ y_new + P @ centre)
    assert_allclose(model.coef_, expected[[2, 0, 3, 1]], rtol=1e-8)
    assert_allclose(model.intercept_, expected[-1], rtol=1e-8)


def test_ends_of_the_dial():
    X, y, _ = data(50)
    old = TiedRidge(store_covariance=True).fit(X, y)
    X, y, _ = data(20, seed=2)
    still = TiedRidge(old, metric="fisher", tie=np.inf).fit(X, y)
    assert_allclose(still.coef_, old.coef_, rtol=1e-13)
    alone = TiedRidge(old, metric="fisher", tie=0).fit(X, y)
    assert_allclose(alone.coef_, Ridge().fit(X, y).coef_, rtol=1e-9)
    near = TiedRidge(old, metric="fisher", tie=1e12).fit(X, y)
    assert_allclose(near.coef_, old.coef_, rtol=1e-8)


def test_leave_one_out_knows_the_metric():
    X, y, _ = data(50)
    old = TiedRidge(store_covariance=True).fit(X, y)
    X, y, _ = data(15, seed=2)
    model = TiedRidgeCV(
        FrozenEstimator(old), metric="fisher", ties=[0, 0.5, np.inf], alphas=1.0
    ).fit(X, y)
    for place, tie in enumerate(model.ties_):
        errors = []
        for i in range(len(y)):
            rest = np.arange(len(y)) != i
            one = TiedRidge(old, metric="fisher", tie=tie).fit(X[rest], y[rest])
            errors.append(one.predict(X[[i]])[0] - y[i])
        assert_allclose(-model.scores_[0, place], np.mean(np.square(errors)), rtol=1e-8)


def test_what_has_no_such_metric_says_so():
    X, y, _ = data(30)
    old = TiedRidge(store_covariance=True).fit(X, y)
    plain = Ridge().fit(X, y)
    for pair, settings, message in [
        (None, {}, "expected a fixed pair"),
        (plain, {}, "which keeps no curvature"),
        ((plain.coef_, plain.intercept_), {}, "which keeps no curvature"),
        (TiedRidge().fit(X, y), {}, "store_covariance=False"),
        (old, {"tie_intercept": False}, "expected True"),
        (old, {"tie": "auto"}, "with tie='auto'; expected numbers"),
        (old, {"fit_intercept": False}, "the same fit_intercept"),
    ]:
        with pytest.raises(ValueError, match=message):
            TiedRidge(pair, metric="fisher", **settings).fit(X, y)


def test_updates_that_cannot_be():
    X, y, _ = data(30)
    for settings in (
        {"store_covariance": False},
        {"tie": "auto"},
        {"alpha": "auto"},
        {"tie": np.inf},
        {"pair": -1},
        {"max_distance": 1.0},
    ):
        model = TiedRidge(**{"store_covariance": True} | settings)
        assert not hasattr(model, "partial_fit")
    model = TiedRidge(store_covariance=True).partial_fit(X, y)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="expecting 4 features"):
        model.partial_fit(X[:, :2], y)
    assert vars(model) == before


# ---- max_distance --------------------------------------------------------------------


def apart(model):
    members = np.c_[model.domain_coef_, model.domain_intercept_]
    return np.sqrt(2 * np.square(members - members.mean(axis=0)).sum())


@pytest.mark.parametrize("tie", [1e-3, 2.0, 1e5])
def test_the_multiplier_is_the_tie_of_the_same_minimum(tie):
    X, y, weight = data(60)
    domain = np.arange(60) % 3
    tied = TiedRidge(tie=tie).fit(X, y, weight, sample_domain=domain)
    model = TiedRidge(max_distance=apart(tied))
    model.fit(X, y, weight, sample_domain=domain)
    assert_allclose(model.tie_, tie, rtol=1e-6)
    assert_allclose(model.domain_coef_, tied.domain_coef_, rtol=1e-6)


def test_it_is_the_minimum_within_the_distance():
    X, y, _ = data(30)
    domain = np.arange(30) % 2
    wide = np.c_[X, np.ones(30)]

    def objective(theta):
        members = theta.reshape(2, -1)
        residuals = y - np.einsum("ij,ij->i", wide, members[domain])
        return np.square(residuals).sum() + np.square(members[:, :-1]).sum()

    found = minimize(
        objective,
        np.zeros(2 * (N_FEATURES + 1)),
        method="SLSQP",
        constraints=NonlinearConstraint(
            lambda w: np.square(w[: N_FEATURES + 1] - w[N_FEATURES + 1 :]).sum(),
            0,
            0.25,
        ),
        options={"ftol": 1e-13, "maxiter": 500},
    )
    model = TiedRidge(max_distance=0.5).fit(X, y, sample_domain=domain)
    expected = found.x.reshape(2, -1)
    assert_allclose(model.domain_coef_, expected[:, :-1], atol=1e-4)
    assert_allclose(apart(model), 0.5, rtol=1e-8)


def test_a_distance_that_does_not_act_and_none_at_all():
    X, y, _ = data(60)
    domain = np.arange(60) % 3
    model = TiedRidge(max_distance=1e3).fit(X, y, sample_domain=domain)
    assert model.tie_ == 0
    model = TiedRidge(max_distance=0).fit(X, y, sample_domain=domain)
    assert model.tie_ == np.inf
    with pytest.raises(ValueError, match="expected numbers beside it"):
        TiedRidge(max_distance=1, alpha="auto").fit(X, y, sample_domain=domain)


def test_a_model_that_is_its_pair_is_sure_and_is_no_past():
    """Nothing is left open at tie=inf: no error, and no curvature to add to."""
    X, y, _ = data(60)
    old = Ridge().fit(X[:30], y[:30])
    model = TiedRidge(FrozenEstimator(old), tie=np.inf, store_covariance=True)
    model.fit(X, y)
    assert_allclose(model.coef_covariance(), 0)
    later = TiedRidge(FrozenEstimator(model), metric="fisher")
    with pytest.raises(ValueError, match="was fitted with an infinite tie"):
        later.fit(X, y)
    # An intercept of its own does not make the others finite, nor do they the other.
    for parts in ({"tie_intercept": False}, {"tie": 1.0, "tie_intercept": np.inf}):
        later = TiedRidge(FrozenEstimator(model.set_params(**parts).fit(X, y)))
        with pytest.raises(ValueError, match="was fitted with an infinite tie"):
            later.set_params(metric="fisher").fit(X, y)
