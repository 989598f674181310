"""tying_path against fits from the start, and against fits without each row."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sktie import KMeansPrior, TiedLogisticRegression, TiedLogisticRegressionCV
from sktie.inspection import tying_path, tying_report
from tests.tied import INF, KINDS, TIGHT, brute_force, given, model_of, pairs, rows

kinds = pytest.mark.parametrize("kind", KINDS)
classes = pytest.mark.parametrize("n_classes", [2, 3])


@kinds
@classes
def test_a_path_is_what_separate_fits_are(kind, n_classes):
    X, y, domain = rows(n_classes=n_classes)
    model = model_of(kind, n_classes, C=0.7)
    more = given(model, domain)
    weight = np.random.default_rng(1).uniform(0.5, 2, len(y))
    path = tying_path(model, X, y, ties=[0.3, 50], sample_weight=weight, **more)
    assert_array_equal(path.ties, [0, 0.3, 50, INF])
    assert path.failures == {}
    assert not hasattr(model, "coef_")
    for j, tie in enumerate(path.ties):
        cold = model_of(kind, n_classes, C=0.7, tie=tie)
        cold.fit(X, y, sample_weight=weight, **more)
        coef, intercept = cold.coef_[np.newaxis], cold.intercept_[np.newaxis]
        centre = pairs(n_classes)
        if more:
            coef, intercept = cold.domain_coef_, cold.domain_intercept_
            centre = cold.coef_, cold.intercept_
        close = {"rtol": 1e-6, "atol": 2e-6}  # sqrt(tol), in coefficients
        assert_allclose(path.coefs[j], coef, **close)
        assert_allclose(path.intercepts[j], intercept, **close)
        fit_intercept = model.fit_intercept
        assert_allclose(path.centre_coefs[j] + 0 * coef[0], centre[0], **close)
        if fit_intercept:
            assert_allclose(path.centre_intercepts[j], centre[1], **close)
        assert_allclose(path.tie_gaps[j], cold.tie_gap_, **close)
    assert path.tie_gaps[-1] == 0


@pytest.mark.parametrize("kind", ["domains", "pair"])
def test_scores_are_those_of_leaving_rows_out(kind):
    X, y, domain = rows()
    weight = np.random.default_rng(2).uniform(0.2, 3, len(y))
    model = model_of(kind)
    more = given(model, domain)
    path = tying_path(model, X, y, ties=[3], sample_weight=weight, **more)
    losses = [
        brute_force(model_of(kind, tie=tie), X, y, domain, weight) for tie in path.ties
    ]
    mean = np.average(losses, axis=1, weights=weight)
    assert_allclose(-path.scores, mean, rtol=0.01)
    best = int(np.argmin(mean))
    assert path.best_tie == path.ties[best]
    share = weight / weight.sum()
    for errors, values in (
        (path.standard_errors, losses),
        (path.paired_errors, losses - losses[best]),
    ):
        centred = values - np.average(values, axis=1, weights=weight)[:, np.newaxis]
        expected = np.sqrt(np.sum((share * centred) ** 2, axis=1))
        assert_allclose(errors, expected, rtol=0.1, atol=1e-12)
    assert path.paired_errors[best] == 0
    if more:
        for t, name in enumerate(path.domains):
            own = domain == name
            expected = np.average(np.array(losses)[:, own], axis=1, weights=weight[own])
            assert_allclose(-path.domain_scores[t], expected, rtol=0.03)


def test_scores_are_those_of_the_search():
    X, y, domain = rows()
    ties = [0.1, 5]
    search = TiedLogisticRegressionCV(ties=ties, Cs=[0.7], **TIGHT)
    search.fit(X, y, sample_domain=domain)
    path = tying_path(search, X, y, ties=ties, sample_domain=domain)
    assert path.C == 0.7
    assert_allclose(path.scores, search.scores_[0], rtol=1e-7)
    assert_allclose(path.standard_errors, search.standard_errors_[0], rtol=1e-6)
    assert_allclose(path.domain_scores, search.domain_scores_[:, 0], rtol=1e-6)
    assert path.best_tie == search.tie_


def test_accuracy_is_a_score():
    X, y, domain = rows()
    path = tying_path(
        TiedLogisticRegression(), X, y, ties=3, scoring="accuracy", sample_domain=domain
    )
    assert ((path.scores > 0.5) & (path.scores <= 1)).all()
    hits = path.scores * len(y)
    assert_allclose(hits, np.round(hits))
    assert np.isfinite(path.paired_errors).all()
    assert np.isfinite(path.domain_scores).all()


def test_a_score_that_compares_rows_is_none_of_rows_left_out():
    X, y, domain = rows()
    with pytest.raises(ValueError, match=r"scoring='roc_auc'.*mean over rows"):
        tying_path(
            TiedLogisticRegression(), X, y, scoring="roc_auc", sample_domain=domain
        )


def test_a_column_names_the_domains_and_frames_the_features():
    pandas = pytest.importorskip("pandas")
    X, y, domain = rows()
    frame = pandas.DataFrame({"age": X[:, 0], "site": domain, "dose": X[:, 1]})
    path = tying_path(TiedLogisticRegression("site"), frame, y, ties=3)
    plain = tying_path(TiedLogisticRegression(), X, y, ties=3, sample_domain=domain)
    assert path.feature_names.tolist() == ["age", "dose"]
    assert plain.feature_names.tolist() == ["x0", "x1"]
    assert path.domains.tolist() == ["east", "north", "south"]
    assert_allclose(path.coefs, plain.coefs)
    assert_allclose(path.scores, plain.scores)


def test_a_bare_fitted_pair_is_not_stripped():
    X, y, _ = rows()
    pair = LogisticRegression().fit(X[:30], y[:30])
    path = tying_path(TiedLogisticRegression(pair), X[30:], y[30:], ties=2)
    assert_allclose(path.coefs[-1, 0], pair.coef_)
    assert path.domains is None


def test_a_strength_that_cannot_be_fitted_says_why():
    X, y, domain = rows()
    y[domain == "east"] = 1
    path = tying_path(TiedLogisticRegression(), X, y, ties=3, sample_domain=domain)
    assert list(path.failures) == [0.0]
    assert "'east': [1]" in path.failures[0.0]
    assert np.isnan(path.coefs[0]).all()
    assert np.isnan(path.scores[0])
    assert np.isfinite(path.coefs[1:]).all()
    assert np.isfinite(path.scores[1:]).all()
    assert path.best_tie > 0


def test_a_class_that_would_vanish_with_its_only_row_is_no_score():
    X, y, domain = rows()
    y[domain == "east"] = 1
    y[np.flatnonzero(domain == "east")[0]] = 0
    path = tying_path(TiedLogisticRegression(), X, y, ties=3, sample_domain=domain)
    assert path.failures == {
        0.0: "one row alone of domain east has class 0; without it tie=0.0 with "
        "tie_intercept=True has no fit"
    }
    assert np.isfinite(path.coefs).all()
    assert np.isnan(path.scores[0])
    assert np.isfinite(path.scores[1:]).all()


def test_the_anchor_of_a_prior_leaves_no_row_out():
    X, y, _ = rows()
    prior = KMeansPrior(3, random_state=0)
    path = tying_path(TiedLogisticRegression(prior), X, y, ties=3)
    assert np.isfinite(path.coefs).all()
    assert path.best_tie is None
    assert "has seen the labels" in path.failures[0.0]
    model = TiedLogisticRegression(prior).fit(X, y)
    report = tying_report(model, X, y)
    assert np.isnan(report.total.gain_over_pooled)
    assert "has seen the labels" in report.unavailable["this model"]


def test_without_any_fit_there_is_no_path():
    X, _, domain = rows()
    model = TiedLogisticRegression(C=INF)
    with pytest.raises(ValueError, match=r"No tie could be fitted.* without reaching"):
        tying_path(model, X, X[:, 0] > 0, ties=2, sample_domain=domain)


@pytest.mark.parametrize("make", [tying_path, tying_report])
def test_what_is_not_tied_is_refused(make):
    X, y, domain = rows()
    with pytest.raises(TypeError, match="expected a TiedLogisticRegression"):
        make(LogisticRegression().fit(X, y), X, y)
    with pytest.raises(ValueError, match="ties nothing"):
        make(TiedLogisticRegression().fit(X, y), X, y)
    search = TiedLogisticRegressionCV()
    error = ValueError if make is tying_path else NotFittedError
    with pytest.raises(error, match=r"Fit it first|not fitted"):
        make(search, X, y, sample_domain=domain)


def test_ties_are_checked():
    X, y, domain = rows()
    with pytest.raises(ValueError, match="ties holds -1"):
        tying_path(TiedLogisticRegression(), X, y, ties=[-1], sample_domain=domain)
