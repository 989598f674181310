"""TiedPoissonRegressorCV against brute force, and what it passes on."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import xlogy
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import mean_poisson_deviance
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.utils.estimator_checks import (
    check_param_validation,
    parametrize_with_checks,
)

from sktie import TiedPoissonRegressor, TiedPoissonRegressorCV

INF = np.inf


def rows(n=60, p=2, seed=0, exposed=False):
    rng = np.random.default_rng(seed)
    X, code = rng.normal(size=(n, p)), np.arange(n) % 3
    exposure = rng.uniform(0.5, 4.0, n) if exposed else np.ones(n)
    raw = 0.5 * X[:, 0] + 0.3 * code * X[:, 1] + 0.2 * code
    return X, rng.poisson(exposure * np.exp(raw)).astype(float), code, exposure


def deviance(y, mu):
    return 2 * (xlogy(y, y / mu) - y + mu)


FORMS = [{}, {"tie_intercept": False}, {"decay": "shared"}, {"fit_intercept": False}]
FORMS += [{"feature_shares": [[0, 1]]}, {"feature_ties": [[0, 1]], "feature_tie": 0.1}]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("exposed", [False, True])
def test_leave_one_out_is_near_fits_without_each_row(form, exposed):
    X, y, domain, exposure = rows(exposed=exposed)
    settings = {"alphas": [0.01, 0.1], "ties": [0.0, 0.1, INF]}
    model = TiedPoissonRegressorCV(**form, **settings, tol=1e-12)
    given = {"sample_exposure": exposure} if exposed else {}
    model.fit(X, y, sample_domain=domain, **given)
    for i, alpha in enumerate(settings["alphas"]):
        for j, tie in enumerate(settings["ties"]):
            mu = np.empty(len(y))
            for k in range(len(y)):
                rest = np.arange(len(y)) != k
                # The others keep their weights: alpha and tie are of all rows.
                more = exposure.sum() / exposure[rest].sum()
                one = TiedPoissonRegressor(**form, alpha=alpha * more, tie=tie * more)
                if tie == INF:
                    one.set_params(tie=INF)
                one.fit(
                    X[rest],
                    y[rest],
                    sample_domain=domain[rest],
                    sample_exposure=exposure[rest],
                )
                mu[k] = one.predict(
                    X[[k]], sample_domain=domain[[k]], sample_exposure=exposure[[k]]
                )[0]
            expected = -deviance(y, mu).sum() / exposure.sum()
            assert model.scores_[i, j] == pytest.approx(expected, rel=0.02)
    assert model.best_score_ == model.scores_.max()


def test_folds_are_those_of_scikit_learn():
    X, y, domain, exposure = rows(90, exposed=True)
    table, rates = np.column_stack([X, domain]), y / exposure
    alphas, ties, folds = [0.01, 0.1], [0.0, 0.1, INF], KFold(3)
    model = TiedPoissonRegressorCV(-1, alphas=alphas, ties=ties, cv=folds, tol=1e-12)
    model.fit(table, rates)
    for i, alpha in enumerate(alphas):
        for j, tie in enumerate(ties):
            one = TiedPoissonRegressor(-1, alpha=alpha, tie=tie, tol=1e-12)
            found = cross_val_score(
                one, table, rates, cv=folds, scoring="neg_mean_poisson_deviance"
            )
            assert_allclose(model.scores_[i, j], found.mean(), rtol=1e-6)
    chosen = TiedPoissonRegressor(-1, alpha=model.alpha_, tie=model.tie_, tol=1e-12)
    assert_allclose(model.coef_, chosen.fit(table, rates).coef_, rtol=1e-5)
    assert_allclose(model.predict(table), chosen.predict(table), rtol=1e-5)
    assert_allclose(model.score(table, rates), chosen.score(table, rates), rtol=1e-6)


def test_without_a_pair_alpha_alone_is_chosen_as_by_a_search():
    X, y, _, _ = rows(80)
    alphas = np.geomspace(1e-4, 1, 5)
    model = TiedPoissonRegressorCV(alphas=alphas, cv=KFold(4)).fit(X, y)
    search = GridSearchCV(
        PoissonRegressor(tol=1e-8),
        {"alpha": alphas},
        cv=KFold(4),
        scoring="neg_mean_poisson_deviance",
    ).fit(X, y)
    assert model.alpha_ == search.best_params_["alpha"]
    assert model.ties_.tolist() == [INF]
    assert_allclose(model.best_score_, search.best_score_, rtol=1e-5)


def test_sparse_rows_weights_and_order_make_no_difference():
    X, y, domain, exposure = rows(exposed=True)
    weight = np.random.default_rng(1).integers(0, 3, len(y)).astype(float)
    settings = {"ties": [0.1, 1.0], "alphas": [0.01], "tol": 1e-12}
    model = TiedPoissonRegressorCV(**settings)
    model.fit(X, y, weight, sample_domain=domain, sample_exposure=exposure)
    order = np.random.default_rng(2).permutation(len(y))
    other = TiedPoissonRegressorCV(**settings).fit(
        sp.csr_array(X)[order],
        y[order],
        weight[order],
        sample_domain=domain[order],
        sample_exposure=exposure[order],
    )
    assert_allclose(other.scores_, model.scores_, rtol=1e-7)
    assert model.domain_scores_.shape == (3, 1, 4)


def test_other_scorers_and_one_standard_error():
    X, y, domain, _ = rows(90)
    model = TiedPoissonRegressorCV(scoring="r2", ties=3, alphas=0.01, cv=3)
    model.fit(X, y, sample_domain=domain)
    assert np.isfinite(model.scores_).all()
    far = TiedPoissonRegressorCV(one_standard_error=True).fit(
        X, y, sample_domain=domain
    )
    near = TiedPoissonRegressorCV().fit(X, y, sample_domain=domain)
    assert far.tie_ >= near.tie_


def test_graphs_are_held_out_in_folds():
    X, y, domain, _ = rows(90)
    graph = {(0, 1): 1.0, (1, 2): 1.0}
    model = TiedPoissonRegressorCV(graph=graph, ties=[1.0], alphas=[0.01])
    model.fit(X, y, sample_domain=domain)
    assert model.cv_ == 5
    one = TiedPoissonRegressor(graph=graph, tie=model.tie_, alpha=0.01)
    assert_allclose(
        model.domain_coef_, one.fit(X, y, sample_domain=domain).domain_coef_, atol=1e-4
    )
    assert_array_equal(model.component_, [0, 0, 0])


def test_a_lone_event_is_a_failure_of_its_setting():
    X, y, domain, _ = rows(60)
    y[domain == 2] = 0
    y[2] = 3
    model = TiedPoissonRegressorCV(ties=[0.0, 1.0], alphas=[0.1])
    model.fit(X, y, sample_domain=domain)
    assert "holds events" in model.failures_[0.1, 0.0]
    assert np.isfinite(model.scores_[0, 1:]).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_a_lone_event_of_all_rows_leaves_nothing_to_choose(weighted):
    X, y, _, _ = rows(30)
    weight = np.ones(30)
    if weighted:  # the other event does not count
        y[:], weight[7] = 0, 0
        y[[4, 7]] = 2
    else:
        y[:] = 0
        y[4] = 2
    model = TiedPoissonRegressorCV(alphas=[0.1])
    message = r"one row alone holds events; without it .* has no fit"
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, weight)
    free = model.set_params(fit_intercept=False)
    free.fit(X, y, weight)
    assert np.isfinite(free.scores_).all()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"alphas": [-1.0]}, "alphas="),
        ({"alphas": []}, "alphas="),
        ({"ties": [-1.0]}, "ties holds"),
    ],
)
def test_errors(settings, match):
    X, y, domain, _ = rows()
    with pytest.raises(ValueError, match=match):
        TiedPoissonRegressorCV(**settings).fit(X, y, sample_domain=domain)


def test_the_score_is_the_deviance():
    X, y, domain, _ = rows(90)
    model = TiedPoissonRegressorCV(
        ties=[1.0], alphas=[0.1], cv=[(np.r_[:60], np.r_[60:90])]
    )
    model.fit(X, y, sample_domain=domain)
    one = TiedPoissonRegressor(tie=1.0, alpha=0.1).fit(
        X[:60], y[:60], sample_domain=domain[:60]
    )
    mu = one.predict(X[60:], sample_domain=domain[60:])
    j = model.ties_.tolist().index(1.0)
    assert_allclose(model.scores_[0, j], -mean_poisson_deviance(y[60:], mu), rtol=1e-5)


CHECKED = [
    TiedPoissonRegressorCV(alphas=(0.01, 1.0)),
    TiedPoissonRegressorCV(cv=2, alphas=0.1),
]
CHECKS = parametrize_with_checks(CHECKED)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_what_scikit_learn_checks(estimator, check):
    check(estimator)


def test_every_parameter_is_validated():
    check_param_validation("TiedPoissonRegressorCV", TiedPoissonRegressorCV())


@pytest.mark.parametrize("cv", ["loo", 3])
@pytest.mark.parametrize(
    "scoring", ["roc_auc", "neg_log_loss", lambda model, X, y: model.coef_.sum()]
)
def test_scores_that_need_more_than_predictions_are_an_error(scoring, cv):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), np.arange(30) % 2
    with pytest.raises(ValueError, match=r"scorer of these.*'r2'.*GridSearchCV"):
        TiedPoissonRegressorCV(cv=cv, scoring=scoring).fit(X, y)
