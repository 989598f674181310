"""Tests with tools that this package does without: shap, statsmodels and optuna.

They run where a tool is installed; .ci/run has a stage that installs all of them.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sktie import TiedLogisticRegression, TiedPoissonRegressor, TiedRidge
from tests.pages import code_blocks

# What these tools say of themselves and of one another.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def rows(n=200):
    rng = np.random.default_rng(0)
    X, domain = rng.normal(size=(n, 3)), np.arange(n) % 2
    score = X[:, 0] + (2 * domain - 1) * X[:, 1]
    return X, domain, score, score + rng.logistic(size=n) > 0


def add_up(explained):
    return explained.values.sum(axis=1) + explained.base_values


def test_shap_values_of_linear_models_add_up():
    shap = pytest.importorskip("shap")
    X, _, score, y = rows()
    counts = np.random.default_rng(1).poisson(np.exp(score / 2))
    three = np.digitize(score, [-0.5, 0.5])
    for model, target, raw in (
        (TiedLogisticRegression(), y, "decision_function"),
        (TiedLogisticRegression(), three, "decision_function"),
        (TiedRidge(), score, "predict"),
        (TiedPoissonRegressor(), counts, None),
    ):
        model.fit(X, target)
        expected = getattr(model, raw)(X) if raw else np.log(model.predict(X))
        explainer = shap.Explainer(model, X)
        assert isinstance(explainer, shap.LinearExplainer)
        assert_allclose(add_up(explainer(X)), expected, atol=1e-8)


def test_shap_values_are_coefficients_times_deviations():
    shap = pytest.importorskip("shap")
    X, _, _, y = rows()
    model = TiedLogisticRegression().fit(X, y)
    found = shap.LinearExplainer(model, X)(X).values
    assert_allclose(found, model.coef_ * (X - X[:100].mean(axis=0)), atol=0.2)
    # shap takes a sample of the background: against its own mean there is no slack.
    apart = found - model.coef_ * X
    assert_allclose(apart, np.broadcast_to(apart[0], apart.shape), atol=1e-12)


def test_shap_of_a_domain_and_of_any_model():
    shap = pytest.importorskip("shap")
    X, domain, _, y = rows()
    wide = np.c_[X, domain]
    model = TiedLogisticRegression(-1).fit(wide, y)
    own = domain == 1
    explainer = shap.LinearExplainer(model.domain_estimator(1), X[own])
    expected = model.decision_function(wide[own])
    assert_allclose(add_up(explainer(X[own])), expected, atol=1e-8)
    explainer = shap.Explainer(model.predict_proba, wide, seed=0)
    expected = model.predict_proba(wide[:3])
    explained = explainer(wide[:3], silent=True)
    assert_allclose(add_up(explained), expected, atol=1e-8)
    # The second feature means the opposite in the other domain.
    assert np.abs(explained.values[:, 3]).max() > 0.01


@pytest.mark.parametrize("kind", ["laplace", "sandwich"])
def test_summary_is_that_of_statsmodels_logit(kind):
    api = pytest.importorskip("statsmodels.api")
    X, _, _, y = rows()
    model = TiedLogisticRegression(C=np.inf, store_covariance=True, tol=1e-14)
    summary = model.fit(X, y).summary(kind=kind)
    robust = {"cov_type": "HC0"} if kind == "sandwich" else {}
    theirs = api.Logit(y, np.c_[X, np.ones(len(X))]).fit(disp=0, tol=1e-12, **robust)
    found = np.array([[r.estimate, r.std_error, r.statistic] for r in summary.rows]).T
    expected = [theirs.params, theirs.bse, theirs.tvalues]
    assert_allclose(found, expected, rtol=1e-5, atol=1e-8)
    if kind == "sandwich":
        ends = [[row.lower, row.upper] for row in summary.rows]
        assert_allclose(ends, theirs.conf_int(), rtol=1e-5, atol=1e-8)


def test_summary_is_that_of_statsmodels_ols():
    api = pytest.importorskip("statsmodels.api")
    X, _, score, _ = rows()
    y = score + np.random.default_rng(1).normal(size=len(score))
    summary = TiedRidge(alpha=0.0, store_covariance=True).fit(X, y).summary()
    theirs = api.OLS(y, np.c_[X, np.ones(len(X))]).fit()
    found = np.array([[r.estimate, r.std_error, r.statistic] for r in summary.rows]).T
    assert_allclose(found, [theirs.params, theirs.bse, theirs.tvalues], rtol=1e-9)
    ends = [[row.lower, row.upper] for row in summary.rows]
    assert_allclose(ends, theirs.conf_int(), rtol=1e-9)


def test_the_page_runs(root):
    """The blocks of docs/other_tools.rst, one after the other."""
    optuna = pytest.importorskip("optuna")
    pytest.importorskip("shap")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = {"__name__": "other_tools"}
    text = (root / "docs" / "other_tools.rst").read_text("utf-8")
    blocks = code_blocks(text)
    assert len(blocks) == 2
    for code in blocks:
        exec(compile(code, "other_tools.rst", "exec"), names)
    study = names["study"]
    assert len(study.trials) == 25
    assert {trial.params["sharing"] for trial in study.trials} == {
        "separate",
        "tied",
        "shared",
    }
    worst = min(trial.value for trial in study.trials)
    assert study.best_value > worst + 0.01
    rows, model = names["hungary"], names["model"]
    expected = model.decision_function(rows.assign(site="Hungary"))
    assert_allclose(add_up(names["explained"]), expected, atol=1e-8)
