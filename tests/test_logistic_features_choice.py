"""Tests of certainty, evidence, choice and reports with ties between features."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sktie import TiedLogisticRegression
from sktie import TiedLogisticRegressionCV as ModelCV
from sktie.inspection import tying_path, tying_report
from tests.dependent import (
    BOTH,
    GROUPS,
    INDEX,
    INF,
    NO_INTERCEPT,
    RATIO,
    SHARED,
    TIED,
    TIGHT,
    UNEVEN,
    P,
    anchor,
    rows,
)
from tests.tied import brute_force

# --- Certainty, evidence, choice.


def dense_system(model, X, domain, n_domains):
    """The Hessian of losses and of penalties at the fitted model, (T P)^2 both."""
    T = n_domains
    data, prior = np.zeros((T * P, T * P)), np.zeros((T * P, T * P))
    for t in range(T):
        place = slice(t * P, (t + 1) * P)
        here = X[domain == t]
        coef = model.domain_coef_[t, 0] if T > 1 else model.coef_[0]
        p = 1 / (1 + np.exp(-here @ coef))
        data[place, place] = here.T @ ((p * (1 - p))[:, np.newaxis] * here)
        prior[place, place] += np.eye(P) / model.C_
        for group, strength in GROUPS if model.feature_ties is not None else ():
            r = np.zeros(P)
            r[list(group)] = list(group.values())
            own = np.diag((r != 0).astype(float)) - np.outer(r, r) / (r @ r)
            prior[place, place] += 2 * strength * model.feature_tie * own
    tie = np.broadcast_to(model.tie_, P)
    if T > 1:
        centred = np.eye(T) - np.full((T, T), 1 / T)
        prior += np.kron(2 * centred, np.diag(tie))
    elif model.pair is not None:
        prior += np.diag(tie)
    if model.feature_shares is None:
        return data, prior, np.eye(T * P)
    E = np.zeros((P, 3))
    E[np.arange(P), INDEX] = RATIO
    E = np.kron(np.eye(T), E / np.linalg.norm(E, axis=0))
    return E.T @ data @ E, E.T @ prior @ E, E


def mean_less_mode(model, X, domain, covariance):
    """Of the first of two domains, from the third derivatives of all rows."""
    slope = np.zeros(2 * P)
    for t in range(2):
        place, here = slice(t * P, (t + 1) * P), X[domain == t]
        p = 1 / (1 + np.exp(-here @ model.domain_coef_[t, 0]))
        spread = np.einsum("ij,jk,ik->i", here, covariance[place, place], here)
        slope[place] = here.T @ (p * (1 - p) * (1 - 2 * p) * spread)
    return -0.5 * (covariance @ slope)[:P]


@pytest.mark.parametrize("settings", [TIED, {"feature_shares": SHARED}, BOTH, UNEVEN])
def test_covariances_are_those_of_the_dense_hessian(settings):
    X, y, domain = rows()
    model = TiedLogisticRegression(store_covariance=True)
    model.set_params(**settings | NO_INTERCEPT).fit(X, y, sample_domain=domain)
    data, prior, E = dense_system(model, X, domain, 2)
    covariance = E @ np.linalg.inv(data + prior) @ E.T
    mean = np.kron(np.full(2, 0.5), np.eye(P))
    assert_allclose(model.coef_covariance(0), covariance[:P, :P], rtol=1e-7)
    assert_allclose(model.coef_covariance(), mean @ covariance @ mean.T, rtol=1e-7)
    lower, upper = model.coef_interval(1)
    width = np.sqrt(np.diag(covariance)[P:]) * 1.959963984540054
    assert_allclose(upper - lower, 2 * width[np.newaxis], rtol=1e-7)
    found = model.predict_interval(X[:6], sample_domain=np.zeros(6, int))
    raw = X[:6] @ (
        model.domain_coef_[0, 0] + mean_less_mode(model, X, domain, covariance)
    )
    spread = np.sqrt(np.einsum("ij,jk,ik->i", X[:6], covariance[:P, :P], X[:6]))
    expected = 1 / (1 + np.exp(-raw + 1.959963984540054 * spread))
    assert_allclose(found[0][:, 1], expected, rtol=1e-7)


def test_unseen_domains_differ_by_ties_of_features_too():
    X, y, domain = rows()
    model = TiedLogisticRegression(
        store_covariance=True, handle_unknown="shared", tie=3.0, **TIED | NO_INTERCEPT
    ).fit(X, y, sample_domain=domain)
    _, prior, _ = dense_system(model, X, domain, 1 + 1)
    alone = prior[:P, :P] - 3.0 * np.eye(P)  # 2 tie (1 - 1/T) for T = 2
    expected = model.coef_covariance() + 1.5 * np.linalg.inv(alone + 6.0 * np.eye(P))
    assert_allclose(model.coef_covariance(99), expected, rtol=1e-7)
    model.set_params(tie=INF).fit(X, y, sample_domain=domain)
    assert_allclose(model.coef_covariance(99), model.coef_covariance(), rtol=1e-9)


@pytest.mark.parametrize("kind", ["domains", "pair"])
@pytest.mark.parametrize("settings", [TIED, {"feature_shares": SHARED}, BOTH])
def test_evidence_is_that_of_the_dense_matrices(settings, kind):
    X, y, domain = rows(n=60)
    model = TiedLogisticRegression(tie=2.0, C="auto", **settings | NO_INTERCEPT)
    given = {"sample_domain": domain} if kind == "domains" else {}
    T = 2 if kind == "domains" else 1
    if kind == "pair":
        coef = np.array([[1.0, 1.0, -2.0, 1.0, 0.5]])  # which the shares can hold
        model.set_params(pair=(coef, np.zeros(1)))
    model.fit(X, y, **given)
    where = domain if kind == "domains" else np.zeros(len(y), int)
    data, prior, E = dense_system(model, X, where, T)
    constant = 0.0
    if kind == "pair":  # the penalties at their own minimum
        pull = model.tie_ * E.T @ coef[0]
        at = np.linalg.solve(prior, pull)
        constant = 0.5 * model.tie_ * coef[0] @ coef[0] - 0.5 * at @ pull
    expected = constant - model.objective_
    expected += 0.5 * np.linalg.slogdet(prior)[1]
    expected -= 0.5 * np.linalg.slogdet(data + prior)[1]
    assert_allclose(model.log_evidence_, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "decay", "near", "end"),
    [
        ("domains", "each", 1e-10, 0.0),
        ("domains", "each", 1e10, INF),
        ("domains", "shared", 1e10, INF),
        ("pair", "each", 1e-10, 0.0),
        ("pair", "each", 1e10, INF),
    ],
)
def test_evidence_at_the_ends_of_the_dial_is_its_limit(kind, decay, near, end):
    X, y, domain = rows(n=60)
    model = TiedLogisticRegression(C="auto", decay=decay, **BOTH | TIGHT)
    if kind == "pair":
        model.set_params(pair=anchor(2))
    given = {"sample_domain": domain} if kind == "domains" else {}
    found = []
    for tie in (near, end):
        model.set_params(tie=tie, tie_intercept=1.0).fit(X, y, **given)
        found.append(model.log_evidence_)
    assert_allclose(found[0], found[1], atol=1e-3)  # C is chosen to 3 digits


def test_evidence_with_intercepts_moves_as_the_dense_one():
    # The flat intercept is the same in both models: their difference needs no rule.
    X, y, domain = rows(n=60)
    found, expected = [], []
    for settings in ({}, TIED):
        model = TiedLogisticRegression(tie="auto", C=0.5, **settings | TIGHT)
        found.append(model.fit(X, y, sample_domain=domain).log_evidence_)
        tie = model.tie_
        wide = TiedLogisticRegression(
            tie=tie, C=0.5, tie_intercept=tie + 1 / 50, **settings | TIGHT
        ).fit(X, y, sample_domain=domain)
        rows_ = np.c_[X, np.ones(len(X))]
        K, Pr = np.zeros((12, 12)), np.zeros((12, 12))
        _, prior, _ = dense_system(wide, X, domain, 2)
        for s in range(2):
            for t in range(2):
                a, b = slice(6 * s, 6 * s + 5), slice(6 * t, 6 * t + 5)
                Pr[a, b] = prior[5 * s : 5 * s + 5, 5 * t : 5 * t + 5]
                Pr[6 * s + 5, 6 * t + 5] = 2 * (tie + 1 / 50) * ((s == t) - 0.5)
            here = rows_[domain == s]
            w = np.r_[wide.domain_coef_[s, 0], wide.domain_intercept_[s]]
            p = 1 / (1 + np.exp(-here @ w))
            place = slice(6 * s, 6 * s + 6)
            K[place, place] = here.T @ ((p * (1 - p))[:, np.newaxis] * here)
        values = np.linalg.eigvalsh(Pr)
        log_prior = np.log(values[1:]).sum()  # but for the flat direction
        log_whole = np.linalg.slogdet(K + Pr)[1]
        expected.append(0.5 * (log_prior - log_whole) - wide.objective_)
    assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("settings", [TIED, BOTH])
@pytest.mark.parametrize("kind", ["domains", "pair"])
def test_leave_one_out_is_that_of_fits_without_each_row(kind, settings):
    X, y, domain = rows(n=60)
    pair = anchor(2) if kind == "pair" else None
    given = {"sample_domain": domain} if kind == "domains" else {}
    chosen = ModelCV(pair, ties=[0.0, 1.0, INF], Cs=[1.0], tol=1e-13, **settings)
    chosen.fit(X, y, **given)
    for j, tie in enumerate(chosen.ties_):
        model = TiedLogisticRegression(pair, tie=tie, **settings | TIGHT)
        losses = brute_force(model, X, y, domain)
        assert_allclose(chosen.scores_[0, j], -losses.mean(), rtol=2e-4)
    best = TiedLogisticRegression(pair, tie=chosen.tie_, **settings | TIGHT)
    assert_allclose(chosen.coef_, best.fit(X, y, **given).coef_, rtol=1e-6)
    assert chosen.stored_coef_.shape == best.stored_coef_.shape


def test_folds_are_fitted_with_ties_of_features():
    X, y, domain = rows()
    chosen = ModelCV(ties=[1.0], Cs=[1.0], cv=3, tol=1e-13, **BOTH)
    chosen.fit(X, y, sample_domain=domain)
    assert chosen.domain_coef_.shape == (2, 1, P)
    assert_allclose(chosen.coef_[0, 2], -2 * chosen.coef_[0, 0])


def test_reports_and_paths_know_all_features():
    X, y, domain = rows()
    model = TiedLogisticRegression(tie=2.0, **BOTH | NO_INTERCEPT)
    model.fit(X, y, sample_domain=domain)
    report = tying_report(model, X, y, sample_domain=domain)
    data, prior, _ = dense_system(model, X, domain, 2)
    effective = np.trace(np.linalg.solve(data + prior, data))
    assert_allclose(report.effective_parameters, effective, rtol=1e-6)
    assert report.logical_parameters == 2 * P
    assert report.stored_parameters == 2 * 3
    path = tying_path(model, X, y, sample_domain=domain, ties=[0, 2.0, INF])
    assert path.coefs.shape == (3, 2, 1, P)
    assert_allclose(path.coefs[1], model.domain_coef_, rtol=1e-5)
    fixed = TiedLogisticRegression(anchor(2), **BOTH | TIGHT).fit(X, y)
    report = tying_report(fixed, X, y)
    total = report.total
    assert report.effective_anchor.shape == (1, P)
    assert_allclose(total.own + total.decay + total.pair, 1.0)
    assert 0 < total.pair < 1
