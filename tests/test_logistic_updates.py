"""Tests of metric="fisher" and partial_fit: yesterday's model."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import helmert
from scipy.optimize import minimize
from scipy.special import expit, logsumexp, softmax
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from sktie import KMeansPrior, TiedLogisticRegression, TiedLogisticRegressionCV
from sktie.inspection import tying_path, tying_report

N_FEATURES = 3


def data(n=300, n_classes=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, N_FEATURES))
    weights = np.random.default_rng(99).normal(size=(N_FEATURES + 1, n_classes))
    scores = np.c_[X, np.ones(n)] @ weights
    return X, (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)


def yesterday(n_classes=2, **parameters):
    X, y = data(200, n_classes, seed=1)
    model = TiedLogisticRegression(store_covariance=True, tol=1e-14, **parameters)
    return X, y, model.fit(X, y)


def joined(model):
    return np.c_[model.coef_, model.intercept_]


def curvature(X, W, C, weight=None):
    """Hessian of log-loss and decay, for rows of scores of all classes, (n, n)."""
    wide = np.c_[X, np.ones(len(X))]
    weight = np.ones(len(X)) if weight is None else weight
    if len(W) == 1:
        p = expit(wide @ W[0])
        found = (wide * (weight * p * (1 - p))[:, None]).T @ wide
        return found + np.diag([1 / C] * N_FEATURES + [0])
    p = softmax(wide @ W.T, axis=1)
    bend = p[:, :, None] * np.eye(len(W)) - p[:, :, None] * p[:, None]
    found = np.einsum("i,ikl,ip,iq->kplq", weight, bend, wide, wide)
    size = W.size
    return found.reshape(size, size) + np.diag(
        np.tile([1 / C] * N_FEATURES + [0], len(W))
    )


def losses(X, y, W):
    raw = np.c_[X, np.ones(len(X))] @ W.T
    if len(W) == 1:
        raw = np.c_[np.zeros(len(X)), raw]
    return logsumexp(raw, axis=1) - raw[np.arange(len(y)), y]


def minimum(X, y, anchor, P, tie, C=np.inf, weight=1.0):
    """Coefficients by BFGS from the objective as it is written."""

    def objective(theta):
        W = theta.reshape(anchor.shape)
        away = theta - anchor.ravel()
        decay = 0.5 / C * np.square(W[:, :-1]).sum()
        return np.sum(weight * losses(X, y, W)) + decay + 0.5 * tie * away @ P @ away

    found = minimize(objective, anchor.ravel(), method="BFGS", options={"gtol": 1e-7})
    W = found.x.reshape(anchor.shape)
    return W if len(W) == 1 else W - W.mean(axis=0)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(("tie", "C"), [(0.2, np.inf), (1.0, np.inf), (5.0, 0.5)])
def test_the_distance_is_measured_by_the_curvature_of_the_pair(n_classes, tie, C):
    X_old, _, old = yesterday(n_classes, C=2.0)
    X, y = data(40, n_classes)
    model = TiedLogisticRegression(
        FrozenEstimator(old), tie=tie, C=C, metric="fisher", tol=1e-14
    ).fit(X, y)
    P = curvature(X_old, joined(old), 2.0)
    expected = minimum(X, y, joined(old), P, tie, C)
    assert_allclose(joined(model), expected, atol=2e-5)
    identity = clone(model).set_params(metric="identity").fit(X, y)
    assert np.abs(joined(identity) - joined(model)).max() > 0.01


@pytest.mark.parametrize("n_classes", [2, 3])
def test_ends_of_the_dial_are_exact(n_classes):
    _, _, old = yesterday(n_classes)
    X, y = data(40, n_classes)
    model = TiedLogisticRegression(old, metric="fisher", tie=np.inf).fit(X, y)
    assert_allclose(joined(model), joined(old), rtol=1e-13)
    assert model.tie_gap_ == 0
    alone = clone(model).set_params(tie=0, pair=FrozenEstimator(old)).fit(X, y)
    plain = TiedLogisticRegression().fit(X, y)
    assert_allclose(joined(alone), joined(plain), atol=1e-6)
    near = TiedLogisticRegression(old, metric="fisher", tie=1e12).fit(X, y)
    assert_allclose(joined(near), joined(old), atol=1e-9)
    far = TiedLogisticRegression(old, metric="fisher", tie=1e-12).fit(X, y)
    assert_allclose(joined(far), joined(plain), atol=1e-6)


def test_the_decay_and_the_pair_of_the_pair_are_in_its_curvature():
    X_old, _, oldest = yesterday(C=0.3)
    X_mid, y_mid = data(100, seed=2)
    middle = TiedLogisticRegression(
        FrozenEstimator(oldest), metric="fisher", tie=0.5, C=4.0, store_covariance=True
    ).fit(X_mid, y_mid)
    X, y = data(30)
    last = TiedLogisticRegression(middle, metric="fisher", C=np.inf, tol=1e-14)
    last.fit(X, y)
    P = 0.5 * curvature(X_old, joined(oldest), 0.3)
    P += curvature(X_mid, joined(middle), 4.0)
    assert_allclose(joined(last), minimum(X, y, joined(middle), P, 1.0), atol=2e-5)
    # And so is an identity metric, as strong as its tie.
    middle = TiedLogisticRegression(
        FrozenEstimator(oldest), tie=7.0, C=4.0, store_covariance=True
    ).fit(X_mid, y_mid)
    last = clone(last).set_params(pair=FrozenEstimator(middle)).fit(X, y)
    P = curvature(X_mid, joined(middle), 4.0) + 7.0 * np.eye(N_FEATURES + 1)
    assert_allclose(joined(last), minimum(X, y, joined(middle), P, 1.0), atol=2e-5)


def test_the_centre_of_domains_is_as_sure_as_it_says():
    X_old, y_old, _ = yesterday()
    old = TiedLogisticRegression(tie=3.0, store_covariance=True)
    old.fit(X_old, y_old, sample_domain=np.arange(len(y_old)) % 4)
    P = np.linalg.inv(old.coef_covariance())
    X, y = data(40)
    model = TiedLogisticRegression(old, metric="fisher", C=np.inf, tol=1e-14)
    model.fit(X, y)
    assert_allclose(joined(model), minimum(X, y, joined(old), P, 1.0), atol=2e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_features_are_matched_by_name(n_classes):
    X_old, y_old = data(200, n_classes, seed=1)
    old = TiedLogisticRegression(store_covariance=True)
    old.fit(pd.DataFrame(X_old, columns=["a", "b", "c"]), y_old)
    X, y = data(40, n_classes)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = TiedLogisticRegression(FrozenEstimator(old), metric="fisher")
    straight = model.fit(frame, y).coef_
    turned = clone(model).fit(frame[["c", "a", "b"]], y).coef_
    assert_allclose(turned, straight[:, [2, 0, 1]], atol=1e-8)


def graph_matrix(strength):
    """Hessian of strength/2 (w_0 - w_1)^2."""
    found = np.zeros((N_FEATURES + 1, N_FEATURES + 1))
    found[:2, :2] = [[strength, -strength], [-strength, strength]]
    return found


def test_it_goes_together_with_ties_between_features():
    X_old, _, old = yesterday()
    X, y = data(40)
    P = curvature(X_old, joined(old), 1.0)
    model = TiedLogisticRegression(
        old,
        metric="fisher",
        C=np.inf,
        feature_ties=[[0, 1]],
        feature_tie=9.0,
        tol=1e-14,
    ).fit(X, y)

    def objective(theta):
        away = theta - joined(old)[0]
        tied = 0.5 * theta @ graph_matrix(9.0) @ theta
        return losses(X, y, theta[None]).sum() + 0.5 * away @ P @ away + tied

    found = minimize(objective, np.zeros(N_FEATURES + 1), options={"gtol": 1e-7})
    assert_allclose(joined(model)[0], found.x, atol=2e-5)
    assert_allclose(model.objective_, found.fun, rtol=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_goes_together_with_shares(n_classes):
    _, _, old = yesterday(n_classes)
    X, y = data(40, n_classes)
    strong = TiedLogisticRegression(
        old, metric="fisher", feature_ties=[[0, 1]], feature_tie=1e7, tol=1e-14
    ).fit(X, y)
    shared = TiedLogisticRegression(
        old, metric="fisher", feature_shares=[[0, 1]], tol=1e-14
    ).fit(X, y)
    assert_allclose(joined(shared), joined(strong), atol=1e-5)
    assert_allclose(shared.coef_[:, 0], shared.coef_[:, 1])
    # The best that shares them, by the pair's own lights.
    still = clone(shared).set_params(pair=FrozenEstimator(old), tie=np.inf).fit(X, y)
    close = clone(still).set_params(tie=1e8).fit(X, y)
    assert_allclose(joined(still), joined(close), atol=1e-5)


def test_a_pair_that_shares_is_followed_by_a_model_that_does():
    X_old, y_old, _ = yesterday()
    shares = {"feature_shares": [[0, 1]], "store_covariance": True, "tol": 1e-14}
    old = TiedLogisticRegression(**shares).fit(X_old, y_old)
    X, y = data(40)
    model = TiedLogisticRegression(old, metric="fisher", C=np.inf, **shares).fit(X, y)
    # The same on the sum of both columns, divided by the root of 2.
    narrow = [
        np.c_[rows[:, :2].sum(axis=1) / np.sqrt(2), rows[:, 2]] for rows in (X_old, X)
    ]
    plain = TiedLogisticRegression(store_covariance=True, tol=1e-14)
    plain = plain.fit(narrow[0], y_old)
    follows = TiedLogisticRegression(plain, metric="fisher", C=np.inf, tol=1e-14)
    follows.fit(narrow[1], y)
    assert_allclose(model.coef_[:, 0] * np.sqrt(2), follows.coef_[:, 0], rtol=1e-6)
    updated = TiedLogisticRegression(**shares).partial_fit(X_old, y_old)
    assert_allclose(joined(updated.partial_fit(X, y)), joined(model), rtol=1e-6)
    with pytest.raises(ValueError, match="Share the same features"):
        TiedLogisticRegression(FrozenEstimator(old), metric="fisher").fit(X, y)


def test_covariances_count_what_the_pair_knew():
    X_old, _, old = yesterday()
    X, y = data(40)
    model = TiedLogisticRegression(
        old, metric="fisher", C=np.inf, store_covariance=True
    ).fit(X, y)
    P = curvature(X_old, joined(old), 1.0) + curvature(X, joined(model), np.inf)
    assert_allclose(model.coef_covariance(), np.linalg.inv(P), rtol=1e-4)


def test_leave_one_out_knows_the_metric():
    _, _, old = yesterday()
    X, y = data(30)
    model = TiedLogisticRegressionCV(
        FrozenEstimator(old), metric="fisher", ties=[0, 0.1, 1.0, np.inf], Cs=1.0
    ).fit(X, y)
    for place, tie in enumerate(model.ties_):
        scores = []
        for i in range(len(y)):
            rest = np.arange(len(y)) != i
            one = TiedLogisticRegression(old, metric="fisher", tie=tie)
            one.fit(X[rest], y[rest])
            scores.append(one.predict_log_proba(X[[i]])[0, y[i]])
        assert_allclose(model.scores_[0, place], np.mean(scores), rtol=1e-3)
    path = tying_path(TiedLogisticRegression(old, metric="fisher"), X, y, ties=[0, 1.0])
    assert_allclose(path.scores[[0, 1]], model.scores_[0, [0, 2]], rtol=1e-6)


def test_reports_do_not_know_the_metric():
    _, _, old = yesterday()
    X, y = data(40)
    model = TiedLogisticRegression(old, metric="fisher").fit(X, y)
    with pytest.raises(ValueError, match="metric='fisher'; expected 'identity'"):
        tying_report(model, X, y)


@pytest.mark.parametrize(
    ("pair", "parameters", "message"),
    [
        (None, {}, "with pair=None; expected a fixed pair"),
        (-1, {}, "with domains; expected a fixed pair"),
        ("plain", {}, "which keeps no curvature"),
        ("arrays", {}, "pair=tuple\\(\\), which keeps no curvature"),
        ("prior", {}, "keeps no curvature"),
        ("unsure", {}, "store_covariance=False"),
        ("shared", {}, "was fitted with an infinite tie"),
        ("old", {"tie_intercept": False}, "expected True"),
        ("old", {"tie": "auto"}, "with tie='auto'; expected numbers"),
        ("old", {"max_distance": 1.0}, "with max_distance=1; expected numbers"),
        ("old", {"tie": [1.0, 2, 3]}, "a tie for each coefficient; expected numbers"),
        ("old", {"fit_intercept": False}, "with the same fit_intercept"),
    ],
)
def test_what_has_no_such_metric_says_so(pair, parameters, message):
    X_old, y_old, old = yesterday()
    X, y = data(40)
    pairs = {
        "old": old,
        "plain": LogisticRegression().fit(X_old, y_old),
        "arrays": (old.coef_, old.intercept_),
        "prior": KMeansPrior(5, random_state=0),
        "unsure": TiedLogisticRegression().fit(X_old, y_old),
        "shared": TiedLogisticRegression(old, tie=np.inf, store_covariance=True).fit(
            X_old, y_old
        ),
    }
    if pair == -1:
        X = np.c_[X, np.arange(len(X)) % 2]
    model = TiedLogisticRegression(pairs.get(pair, pair), metric="fisher", **parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)


# ---- partial_fit ---------------------------------------------------------------------


def updated(**parameters):
    return TiedLogisticRegression(**{"store_covariance": True} | parameters)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("tie", [1.0, 0.6])
def test_each_batch_is_tied_to_those_before_it(n_classes, tie):
    model = updated(C=2.0, tie=tie, tol=1e-14)
    P = anchor = None
    for seed in range(3):
        X, y = data(60, n_classes, seed=seed)
        weight = np.linspace(0.5, 2, len(y))
        model.partial_fit(X, y, sample_weight=weight)
        if anchor is None:
            expected = joined(LogisticRegression(C=2.0, tol=1e-10).fit(X, y, weight))
            P = curvature(X, joined(model), 2.0, weight)
        else:
            expected = minimum(X, y, anchor, P, tie, weight=weight)
            P = tie * P + curvature(X, joined(model), np.inf, weight)
        assert_allclose(joined(model), expected, atol=5e-5)
        anchor = joined(model)
    basis = np.eye(N_FEATURES + 1)
    if n_classes > 2:  # scores of all classes may move together, to no effect
        basis = np.kron(helmert(n_classes).T, basis)
    inverse = basis @ np.linalg.inv(basis.T @ P @ basis) @ basis.T
    assert_allclose(model.coef_covariance(), inverse, rtol=1e-3, atol=1e-5)


def test_many_rows_in_batches_come_close_to_all_at_once():
    batches = [data(400, seed=seed) for seed in range(5)]
    model = updated()
    for X, y in batches:
        model.partial_fit(X, y)
    everything = (np.concatenate(part) for part in zip(*batches, strict=True))
    whole = TiedLogisticRegression(store_covariance=True).fit(*everything)
    last = TiedLogisticRegression().fit(*batches[-1])
    errors = np.sqrt(np.diag(whole.coef_covariance()))
    near = np.abs(joined(model) - joined(whole))[0] / errors
    assert near.max() < 0.2
    assert np.abs(joined(last) - joined(whole)).max() > 2 * near.max() * errors.max()
    found = np.sqrt(np.diag(model.coef_covariance()))
    assert_allclose(found, errors, rtol=0.05)
    found = np.sqrt(np.diag(model.coef_covariance(kind="sandwich")))
    errors = np.sqrt(np.diag(whole.coef_covariance(kind="sandwich")))
    assert_allclose(found, errors, rtol=0.08)


def test_without_memory_the_last_batch_is_all():
    model = updated(tie=0)
    for seed in range(3):
        X, y = data(100, seed=seed)
        model.partial_fit(X, y)
    alone = TiedLogisticRegression(C=np.inf).fit(X, y)
    assert_allclose(joined(model), joined(alone), atol=1e-5)


def test_later_batches_may_lack_classes():
    X, y = data(90, n_classes=3)
    model = updated().partial_fit(X, y, classes=[0, 1, 2])
    before = joined(model)
    X, y = data(30, n_classes=3, seed=5)
    only = y == 1
    model.partial_fit(X[only], y[only])
    assert model.classes_.tolist() == [0, 1, 2]
    assert (model.predict_proba(X[only])[:, 1]).mean() > 0.4
    assert np.abs(joined(model) - before).max() > 0.01


def test_a_fit_begins_anew():
    X, y = data(60)
    model = updated().partial_fit(*data(60, seed=3)).fit(X, y)
    assert_array_equal(joined(model), joined(TiedLogisticRegression().fit(X, y)))


def failing():
    X, y = data(60)
    return [
        ({}, (X, y), ([[1.0, 2.0]], [1]), "expecting 3 features"),
        ({}, (X, y), (X, y + 1), r"holds the labels \[2\]"),
        ({}, (X, y, [0, 1, 2]), None, r"first batch has no row of \[2\]"),
        ({}, (X, y, [1]), None, "names one class"),
        ({}, (X, y), (X, y, [0, 1, 2]), "Leave `classes` out"),
    ]


@pytest.mark.parametrize(("parameters", "first", "second", "message"), failing())
def test_a_batch_that_fails_leaves_the_model_as_it_was(
    parameters, first, second, message
):
    model = updated(**parameters)
    if second is not None:
        model.partial_fit(*first)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.partial_fit(*(second or first))
    assert vars(model) == before


def test_a_fitted_model_that_is_sure_goes_on():
    X, y = data(60)
    model = TiedLogisticRegression(store_covariance=True).fit(X, y)
    other = updated().partial_fit(X, y)
    more = data(60, seed=7)
    assert_allclose(
        joined(model.partial_fit(*more)), joined(other.partial_fit(*more)), atol=1e-7
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tie": "auto"}, "expected finite numbers"),
        ({"tie": np.inf}, "expected finite numbers"),
        ({"tie": {0: 1.0, None: 2.0}}, "expected finite numbers"),
        ({"class_weight": "balanced"}, "class_weight='balanced'"),
        ({"C": "auto"}, "expected finite numbers"),
        ({"pair": -1}, "with pair=-1; expected None"),
        ({"max_distance": 1.0}, "with max_distance=1.0; expected None"),
        ({"tie_intercept": False}, "with tie_intercept=False"),
        ({"store_covariance": False}, "expected True"),
    ],
)
def test_models_that_are_tied_to_something_else_have_no_updates(parameters, message):
    model = updated(**parameters)
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError) as caught:
        model.partial_fit(*data())
    assert message in str(caught.value.__cause__)


def test_a_model_with_domains_has_no_updates():
    X, y = data(60)
    model = updated().fit(X, y, sample_domain=np.arange(60) % 2)
    assert not hasattr(model, "partial_fit")
    assert hasattr(model.fit(X, y), "partial_fit")
