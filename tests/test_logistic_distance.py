"""Tests of max_distance: the norm penalty as a constraint."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import NonlinearConstraint, minimize
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sktie import TiedLogisticRegression
from sktie.inspection import tying_report

N_FEATURES = 3


def data(n_domains=3, n_classes=2, seed=0):
    """Rows, classes and domains, in no order."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60 * n_domains, N_FEATURES))
    domain = rng.integers(n_domains, size=len(X))
    weights = rng.normal(size=(n_domains, N_FEATURES + 1, n_classes))
    scores = np.einsum("ij,ijk->ik", np.c_[X, np.ones(len(X))], weights[domain])
    return X, (scores + rng.gumbel(size=scores.shape)).argmax(axis=1), domain


def omega(coef, intercept, with_intercept=True):
    """Sum over domains of twice the squared distance to their mean."""
    parts = [coef.reshape(len(coef), -1)]
    if with_intercept:
        parts.append(intercept.reshape(len(coef), -1))
    members = np.concatenate(parts, axis=1)
    return 2 * np.sum(np.square(members - members.mean(axis=0)))


def of(model, with_intercept=True):
    return omega(model.domain_coef_, model.domain_intercept_, with_intercept)


def radius_of(tie, *rows, **parameters):
    """Distance that a tie leaves."""
    X, y, domain = rows
    model = TiedLogisticRegression(tie=tie, tol=1e-12, **parameters)
    return np.sqrt(of(model.fit(X, y, sample_domain=domain)))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_is_the_minimum_within_the_distance(n_classes):
    # One row of scores for each class, the objective written out, and SLSQP.
    X, y, domain = data(n_domains=2, n_classes=n_classes)
    wide = np.c_[X, np.ones(len(X))]
    shape = (2, N_FEATURES + 1, n_classes)
    centred = np.eye(n_classes) - 1 / n_classes
    # Two classes count the log-odds, whose square is twice that of centred rows.
    double = 2 if n_classes == 2 else 1

    def rows_of(theta):
        return theta.reshape(shape) @ centred

    def objective(theta):
        members = rows_of(theta)
        scores = np.einsum("ij,ijk->ik", wide, members[domain])
        loss = logsumexp(scores, axis=1) - scores[np.arange(len(y)), y]
        return loss.sum() + 0.5 * double * np.square(members[:, :-1]).sum()

    def apart(theta):
        members = rows_of(theta)
        return double * np.square(members[0] - members[1]).sum()

    radius = 1.0
    found = minimize(
        objective,
        np.zeros(np.prod(shape)),
        method="SLSQP",
        constraints=NonlinearConstraint(apart, 0, radius**2),
        options={"ftol": 1e-12, "maxiter": 500},
    )
    model = TiedLogisticRegression(max_distance=radius)
    model.fit(X, y, sample_domain=domain)
    assert model.tie_ > 0
    proba = model.predict_proba(X, sample_domain=domain)
    scores = np.einsum("ij,ijk->ik", wide, rows_of(found.x)[domain])
    expected = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
    assert_allclose(proba, expected, atol=2e-5)
    assert_allclose(of(model), radius**2, rtol=1e-5)


@pytest.mark.parametrize("n_domains", [2, 5])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("decay", ["each", "shared"])
@pytest.mark.parametrize("tie", [1e-3, 0.7, 40.0, 1e6])
def test_the_multiplier_is_the_tie_of_the_same_minimum(
    n_domains, n_classes, decay, tie
):
    rows = X, y, domain = data(n_domains, n_classes)
    radius = radius_of(tie, *rows, decay=decay)
    model = TiedLogisticRegression(max_distance=radius, decay=decay)
    model.fit(X, y, sample_domain=domain)
    assert_allclose(model.tie_, tie, rtol=1e-3)
    assert_allclose(np.sqrt(of(model)), radius, rtol=1e-5)
    penalised = TiedLogisticRegression(tie=model.tie_, decay=decay, tol=1e-12)
    penalised.fit(X, y, sample_domain=domain)
    assert_allclose(model.domain_coef_, penalised.domain_coef_, atol=1e-6)


def test_a_distance_that_separate_models_keep_does_not_act():
    X, y, domain = data()
    separate = TiedLogisticRegression(tie=0).fit(X, y, sample_domain=domain)
    radius = np.sqrt(of(separate))
    free = TiedLogisticRegression(max_distance=1.001 * radius)
    free.fit(X, y, sample_domain=domain)
    assert free.tie_ == 0
    assert_allclose(free.domain_coef_, separate.domain_coef_, atol=1e-4)
    acting = TiedLogisticRegression(max_distance=0.999 * radius)
    assert acting.fit(X, y, sample_domain=domain).tie_ > 0


def test_no_distance_is_sharing():
    X, y, domain = data()
    model = TiedLogisticRegression(max_distance=0).fit(X, y, sample_domain=domain)
    assert model.tie_ == np.inf
    assert model.tie_gap_ == 0
    shared = TiedLogisticRegression(tie=np.inf).fit(X, y, sample_domain=domain)
    assert_allclose(model.coef_, shared.coef_)


@pytest.mark.parametrize(
    ("tie_intercept", "counts"), [(True, True), (False, False), (3.0, False)]
)
def test_intercepts_count_where_they_are_tied_like_the_rest(tie_intercept, counts):
    X, y, domain = data()
    model = TiedLogisticRegression(max_distance=0.5, tie_intercept=tie_intercept)
    model.fit(X, y, sample_domain=domain)
    assert_allclose(np.sqrt(of(model, counts)), 0.5, rtol=1e-5)
    same = clone(model).set_params(max_distance=None, tie=model.tie_, tol=1e-12)
    same.fit(X, y, sample_domain=domain)
    assert_allclose(
        model.domain_intercept_, same.domain_intercept_, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    "graph", [{(0, 1): 1.0, (1, 2): 0.3}, {0: "a", 1: "a", 2: "a"}, "learned"]
)
@pytest.mark.parametrize("tie", [0.3, 20.0])
def test_along_graphs_too_the_multiplier_is_the_tie(graph, tie):
    X, y, domain = data(n_domains=3)
    known = {"sample_domain": domain}
    settings = {"graph": graph, "tie_intercept": False}
    tied = TiedLogisticRegression(tie=tie, tol=1e-12, **settings).fit(X, y, **known)
    W = tied.domain_coef_[:, 0]
    if graph == "learned":
        U = W - W.mean(axis=0)
        omega = 2 / 2 * np.sum(U * (np.linalg.pinv(tied.domain_covariance_) @ U))
    elif "a" in graph.values():
        omega = np.square(W - W.mean(axis=0)).sum()
    else:
        omega = np.square(W[0] - W[1]).sum() + 0.3 * np.square(W[1] - W[2]).sum()
    model = TiedLogisticRegression(max_distance=np.sqrt(omega), **settings)
    model.fit(X, y, **known)
    assert_allclose(model.tie_, tie, rtol=1e-3)
    assert_allclose(model.domain_coef_, tied.domain_coef_, atol=1e-5)


def test_a_learned_covariance_has_no_intercept_of_its_own_distance():
    X, y, domain = data(n_domains=3)
    model = TiedLogisticRegression(graph="learned", max_distance=1.0, tie_intercept=2.0)
    with pytest.raises(ValueError, match=r"max_distance=1 with graph='learned'"):
        model.fit(X, y, sample_domain=domain)


def test_a_fixed_model_is_kept_within_the_distance():
    X, y, domain = data(n_domains=2)
    here = domain == 0
    other = LogisticRegression().fit(X[~here], y[~here])
    model = TiedLogisticRegression(FrozenEstimator(other), max_distance=0.3)
    model.fit(X[here], y[here])
    steps = np.append(model.coef_ - other.coef_, model.intercept_ - other.intercept_)
    assert_allclose(np.linalg.norm(steps), 0.3, rtol=1e-5)
    same = clone(model).set_params(max_distance=None, tie=model.tie_, tol=1e-12)
    assert_allclose(model.coef_, same.fit(X[here], y[here]).coef_, atol=1e-6)


def test_domains_that_cannot_be_fitted_alone_can_be_kept_together():
    X, y, domain = data(n_domains=2)
    y[domain == 1] = 1
    model = TiedLogisticRegression(max_distance=1.5)
    model.fit(X, y, sample_domain=domain)
    assert_allclose(np.sqrt(of(model)), 1.5, rtol=1e-5)


def test_separable_domains_are_held_by_the_distance_alone():
    X, y, domain = data(n_domains=2)
    y[domain == 1] = X[domain == 1, 0] > 0
    model = TiedLogisticRegression(max_distance=2.0, C=np.inf)
    model.fit(X, y, sample_domain=domain)
    assert_allclose(np.sqrt(of(model)), 2.0, rtol=1e-4)


def test_single_precision_keeps_the_distance_to_its_digits():
    X, y, domain = data()
    model = TiedLogisticRegression(max_distance=0.5)
    model.fit(X.astype(np.float32), y, sample_domain=domain)
    assert_allclose(np.sqrt(of(model)), 0.5, rtol=2e-2)


def test_it_can_be_searched_for():
    X, y, domain = data()
    rows = np.c_[X, domain]
    search = GridSearchCV(
        TiedLogisticRegression(-1), {"max_distance": [0, 0.5, 2.0, None]}, cv=3
    ).fit(rows, y)
    best = search.best_estimator_
    again = clone(best).fit(rows, y)
    assert_allclose(best.predict_proba(rows), again.predict_proba(rows))


def test_reports_read_the_tie_that_was_found():
    X, y, domain = data()
    model = TiedLogisticRegression(max_distance=0.5)
    model.fit(X, y, sample_domain=domain)
    same = clone(model).set_params(max_distance=None, tie=model.tie_)
    same.fit(X, y, sample_domain=domain)
    reports = [str(tying_report(m, X, y, sample_domain=domain)) for m in (model, same)]
    assert reports[0] == reports[1]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_distance": -1}, "Use a distance from 0"),
        ({"max_distance": 1, "tie": "auto"}, "with tie='auto'; expected numbers"),
        ({"max_distance": 1, "C": "auto"}, "with C='auto'; expected numbers"),
    ],
)
def test_what_cannot_be_says_so(parameters, message):
    X, y, domain = data()
    with pytest.raises(ValueError, match=message):
        TiedLogisticRegression(**parameters).fit(X, y, sample_domain=domain)


def test_nothing_to_be_distant_from():
    X, y, _ = data()
    with pytest.raises(ValueError, match="nothing to be distant from"):
        TiedLogisticRegression(max_distance=1).fit(X, y)


def test_a_distance_out_of_reach():
    X, y, domain = data(n_domains=2)
    y[domain == 1] = 1
    model = TiedLogisticRegression(max_distance=1e9)
    with pytest.raises(ValueError, match="max_distance=1e\\+09: ties from 1e-16"):
        model.fit(X, y, sample_domain=domain)
