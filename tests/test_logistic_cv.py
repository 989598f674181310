"""TiedLogisticRegressionCV: what it chooses, and by which predictions."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    StratifiedKFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktie import KMeansPrior, TiedLogisticRegression, TiedLogisticRegressionCV

INF = np.inf


def data(n_classes=2, n_domains=3, n=40, p=3, seed=0, spread=0.7):
    """Rows of related domains, the domain last, and their classes."""
    rng = np.random.default_rng(seed)
    size = n_domains * n
    X = rng.normal(size=(size, p))
    domain = rng.permutation(np.arange(size) % n_domains)
    W = rng.normal(size=(n_classes, p)) + spread * rng.normal(
        size=(n_domains, n_classes, p)
    )
    raw = np.einsum("ip,ikp->ik", X, W[domain]) + rng.gumbel(size=(size, n_classes))
    return np.column_stack([X, domain]), raw.argmax(axis=1)


def brute_force(X, y, *, rows=None, weight=None, **parameters):
    """Probabilities of every row by a model fitted to the others."""
    rows = range(len(y)) if rows is None else rows
    out = []
    for row in rows:
        kept = np.arange(len(y)) != row
        model = TiedLogisticRegression(**parameters)
        model.fit(X[kept], y[kept], None if weight is None else weight[kept])
        out.append(model.predict_proba(X[[row]])[0])
    return np.array(out)


# Leave-one-out


@pytest.mark.parametrize("C", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_loo_is_that_of_brute_force(n_classes, C):
    X, y = data(n_classes)
    ties = [0.0, 0.3, INF]
    model = TiedLogisticRegressionCV(-1, ties=ties, Cs=C).fit(X, y)
    assert model.cv_ == "loo"
    for tie, score in zip(ties, model.scores_[0], strict=True):
        exact = brute_force(X, y, pair=-1, tie=tie, C=C)
        assert_allclose(-score, log_loss(y, exact), rtol=3e-3)


def test_loo_with_weights_and_a_fixed_pair():
    X, y = data(n_domains=1, n=60)
    X = X[:, :-1]
    other, y_other = data(n_domains=1, n=60, seed=5)
    pair = FrozenEstimator(LogisticRegression().fit(other[:, :-1], y_other))
    weight = np.random.default_rng(0).uniform(0, 2, len(y))
    model = TiedLogisticRegressionCV(pair, ties=[0.0, 2.0, INF], Cs=1.0)
    model.fit(X, y, weight)
    for tie, score in zip(model.ties_, model.scores_[0], strict=True):
        exact = brute_force(X, y, weight=weight, pair=pair, tie=tie)
        losses = -np.log(exact[np.arange(len(y)), y])
        assert_allclose(-score, np.average(losses, weights=weight), rtol=3e-3)
    # All rows keep their predictions where the model is the pair itself.
    plain = log_loss(y, pair.predict_proba(X), sample_weight=weight)
    assert_allclose(-model.scores_[0, -1], plain, rtol=1e-6)


def test_rows_of_high_leverage_are_left_out_exactly():
    X, y = data(n=25)
    rows = [0, 1, 2]
    X[rows, 0] = [9.0, -9.0, 8.0]
    y[rows] = [0, 1, 1]
    single = {"pair": -1, "tie": 0.5, "C": 100.0}
    model = TiedLogisticRegressionCV(
        -1, ties=[0.5], Cs=100.0, scoring=keep(scores := [])
    )
    model.fit(X, y)
    assert model.n_refitted_ >= 1
    assert model.n_refitted_ == model.refits_.sum()
    assert model.refits_.shape == y.shape
    assert model.refits_[rows].sum() > model.n_refitted_ / 2
    found = scores[1]
    exact = brute_force(X, y, rows=rows, **single)
    worst = np.abs(np.log(found[rows, 1]) - np.log(exact[:, 1]))
    assert worst.max() < 1e-3


def keep(into):
    """A scorer that keeps the probabilities it is shown."""

    def scorer(estimator, X, y):
        proba = estimator.predict_proba(X)
        into.append(proba)
        return -log_loss(y, proba)

    return scorer


def test_more_steps_bring_loo_nearer(monkeypatch):
    from sktie import _leave_one_out

    X, y = data(n=30, p=4)
    exact = -log_loss(y, brute_force(X, y, pair=-1, tie=0.1, C=30.0))

    def error():
        model = TiedLogisticRegressionCV(-1, ties=[0.1], Cs=30.0).fit(X, y)
        return abs(model.scores_[0, 1] - exact)

    monkeypatch.setattr(_leave_one_out, "FAR", INF)
    monkeypatch.setattr(_leave_one_out, "MOST_PAIRS", 0)
    one = error()
    monkeypatch.undo()
    assert error() < 0.05 * one


@pytest.mark.parametrize("n_classes", [2, 3])
def test_loo_scores_by_means_over_rows(n_classes):
    X, y = data(n_classes)
    probabilities = []
    keeper = TiedLogisticRegressionCV(
        -1, ties=[1.0], Cs=1.0, scoring=keep(probabilities)
    )
    keeper.fit(X, y)
    assert np.isnan(keeper.standard_errors_).all()
    assert not hasattr(keeper, "domain_scores_")
    for name, expected in {
        "neg_log_loss": [-log_loss(y, proba) for proba in probabilities],
        "accuracy": [np.mean(proba.argmax(axis=1) == y) for proba in probabilities],
        "neg_brier_score": [-brier(y, proba) for proba in probabilities],
    }.items():
        model = clone(keeper).set_params(scoring=name).fit(X, y)
        assert_allclose(model.scores_[0], expected)
        assert np.isfinite(model.standard_errors_).all()
        counts = np.bincount(X[:, -1].astype(int)) / len(X)
        assert_allclose(
            np.einsum("t,tij->ij", counts, model.domain_scores_), model.scores_
        )


def brier(y, proba):
    """Mean squared distance from what happened, of two classes halved."""
    happened = np.eye(proba.shape[1])[y]
    squares = np.square(happened - proba).sum(axis=1)
    return squares.mean() / (2 if proba.shape[1] == 2 else 1)


@pytest.mark.parametrize("scoring", ["roc_auc", "f1"])
def test_scores_that_are_no_means_over_rows_need_folds(scoring):
    # Left out, a row lowers the base rate of its own class: models without any use of
    # the features then have an area of 0 under the curve, and strong ones are misled.
    X, y = data()
    model = TiedLogisticRegressionCV(-1, ties=[1.0], Cs=1.0, scoring=scoring)
    with pytest.raises(ValueError, match=rf"{scoring}.*mean over rows.*Use cv=5"):
        model.fit(X, y)
    folds = model.set_params(cv=3).fit(X, y)
    search = GridSearchCV(
        TiedLogisticRegression(-1), {"tie": folds.ties_}, cv=3, scoring=scoring
    ).fit(X, y)
    assert_allclose(folds.scores_[0], search.cv_results_["mean_test_score"], rtol=1e-6)
    prior = TiedLogisticRegressionCV(
        KMeansPrior(3, random_state=0), ties=[1.0], Cs=1.0, scoring=scoring
    )
    assert prior.fit(X, y).cv_ == 5  # "loo" becomes folds there


def test_standard_errors_and_domains_are_of_the_rows():
    X, y = data()
    probabilities = []
    parameters = {"ties": [1.0], "Cs": 1.0}
    TiedLogisticRegressionCV(-1, **parameters, scoring=keep(probabilities)).fit(X, y)
    model = TiedLogisticRegressionCV(-1, **parameters).fit(X, y)
    for j, proba in enumerate(probabilities):
        scores = np.log(proba[np.arange(len(y)), y])
        assert_allclose(model.scores_[0, j], scores.mean())
        error = scores.std() / np.sqrt(len(y))
        assert_allclose(model.standard_errors_[0, j], error)
        for t in range(3):
            own = scores[X[:, -1] == t].mean()
            assert_allclose(model.domain_scores_[t, 0, j], own)


# Folds


@pytest.mark.parametrize("n_classes", [2, 3])
def test_folds_are_those_of_grid_search(n_classes):
    X, y = data(n_classes)
    ties, Cs = [0.0, 0.5, INF], [0.1, 2.0]
    model = TiedLogisticRegressionCV(-1, ties=ties, Cs=Cs, cv=4).fit(X, y)
    search = GridSearchCV(
        TiedLogisticRegression(-1), {"C": Cs, "tie": ties}, cv=4, scoring="neg_log_loss"
    ).fit(X, y)
    found = search.cv_results_
    assert_allclose(model.scores_.ravel(), found["mean_test_score"], rtol=1e-4)
    error = found["std_test_score"] * np.sqrt(4 / 3) / np.sqrt(4)
    assert_allclose(model.standard_errors_.ravel(), error, rtol=1e-2)
    assert (model.tie_, model.C_) == (
        search.best_params_["tie"],
        search.best_params_["C"],
    )
    assert_allclose(model.coef_, search.best_estimator_.coef_, rtol=1e-4, atol=1e-6)
    assert_allclose(model.predict_proba(X), search.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("kind", ["sample_domain", "frame", "sparse", "splitter"])
def test_domains_and_rows_of_any_kind(kind):
    X, y = data()
    expected = TiedLogisticRegressionCV(-1, ties=3, Cs=1.0, cv=3).fit(X, y)
    expected_proba = expected.predict_proba(X)
    expected_loo = TiedLogisticRegressionCV(-1, ties=3, Cs=1.0).fit(X, y)
    arguments, pair, cv = {}, -1, 3
    if kind == "sample_domain":
        arguments, pair = {"sample_domain": X[:, -1].astype(int)}, None
        X = X[:, :-1]
    elif kind == "frame":
        pd = pytest.importorskip("pandas")
        X, pair = pd.DataFrame(X, columns=["a", "b", "c", "site"]), "site"
    elif kind == "sparse":
        X = sp.csr_array(X)
    else:
        cv = list(StratifiedKFold(3).split(X, y))
    model = TiedLogisticRegressionCV(pair, ties=3, Cs=1.0, cv=cv)
    model.fit(X, y, **arguments)
    assert_allclose(model.scores_, expected.scores_, rtol=1e-5)
    assert_allclose(
        model.predict_proba(X, **arguments), expected_proba, rtol=1e-4, atol=1e-6
    )
    loo = clone(model).set_params(cv="loo").fit(X, y, **arguments)
    assert_allclose(loo.scores_, expected_loo.scores_, rtol=1e-5)


def test_stratified_domains_reach_every_fold():
    # Sorted by domain: folds of classes alone would hold out whole domains.
    X, y = data(n_domains=4, n=12)
    order = np.lexsort([y, X[:, -1]])
    X, y = X[order], y[order]
    model = TiedLogisticRegressionCV(-1, ties=[0.0], Cs=1.0, cv=3)
    strata = (X[:, -1] * 2 + y).astype(int)
    by_hand = list(StratifiedKFold(3).split(X, strata))
    expected = clone(model).set_params(cv=by_hand).fit(X, y)
    found = clone(model).set_params(stratify_domains=True).fit(X, y)
    assert_array_equal(found.scores_, expected.scores_)
    assert not np.array_equal(model.fit(X, y).scores_, expected.scores_)


def test_a_prior_is_fitted_anew_in_every_fold():
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    y = y.copy()
    y[::3] = -1
    prior = KMeansPrior(6, random_state=0)
    cv = KFold(3, shuffle=True, random_state=0)
    model = TiedLogisticRegressionCV(
        prior, ties=[0.1, 10.0], Cs=1.0, unlabeled=-1, cv=cv
    ).fit(X, y)
    labelled = np.flatnonzero(y >= 0)
    expected = []
    for train, test in cv.split(labelled[:, np.newaxis]):
        rows = np.sort(np.concatenate([labelled[train], np.flatnonzero(y < 0)]))
        single = TiedLogisticRegression(prior, tie=10.0, unlabeled=-1)
        single.fit(X[rows], y[rows])
        held = labelled[test]
        expected.append(-log_loss(y[held], single.predict_proba(X[held])))
    assert_allclose(model.scores_[0, 2], np.mean(expected), rtol=1e-5)
    assert hasattr(model, "prior_")


def test_loo_of_a_prior_becomes_folds():
    X, y = load_iris(return_X_y=True)
    pair = KMeansPrior(5, random_state=0)
    model = TiedLogisticRegressionCV(pair, ties=[1.0], Cs=1.0).fit(X, y)
    assert model.cv_ == 5
    assert not hasattr(model, "n_refitted_")
    frozen = FrozenEstimator(pair.fit(X))
    assert TiedLogisticRegressionCV(frozen, ties=[1.0], Cs=1.0).fit(X, y).cv_ == 5


def test_loo_of_too_many_coefficients_becomes_folds(monkeypatch):
    from sktie.model_selection import _tied_cv

    monkeypatch.setattr(_tied_cv, "MOST_NUMBERS", 10)
    X, y = data()
    assert TiedLogisticRegressionCV(-1, ties=2, Cs=1.0).fit(X, y).cv_ == 5


# The choice


def test_grids_hold_both_ends():
    X, y = data()
    for ties, expected in {
        5: [0, 1e-3, 10**0.5, 1e4, INF],
        2: [0, INF],
        (3.0, 1.0): [0, 1, 3, INF],
        (INF, 0.0, 1.0): [0, 1, INF],
    }.items():
        model = TiedLogisticRegressionCV(-1, ties=ties, Cs=[2.0, 1.0]).fit(X, y)
        assert_allclose(model.ties_, expected)
        assert_array_equal(model.Cs_, [1.0, 2.0])
        assert model.scores_.shape == (2, len(expected))


def test_refit_is_the_model_itself():
    X, y = data()
    model = TiedLogisticRegressionCV(-1, ties=4).fit(X, y)
    single = TiedLogisticRegression(-1, tie=model.tie_, C=model.C_).fit(X, y)
    assert_allclose(model.domain_coef_, single.domain_coef_, rtol=1e-5, atol=1e-7)
    assert_allclose(model.intercept_, single.intercept_, rtol=1e-4, atol=1e-7)
    assert model.best_score_ == model.scores_.max()
    plain = model.domain_estimator(0)
    assert plain.C == model.C_
    own = X[:, -1] == 0
    assert_allclose(
        plain.predict_proba(X[own][:, :-1]), model.predict_proba(X)[own], atol=1e-12
    )


def test_without_refit_there_is_a_choice_and_no_model():
    from sklearn.exceptions import NotFittedError

    X, y = data()
    model = TiedLogisticRegressionCV(-1, ties=3, refit=False).fit(X, y)
    assert model.tie_ in model.ties_
    assert not hasattr(model, "coef_")
    with pytest.raises(NotFittedError, match="Fit it with refit=True"):
        model.predict(X)
    assert "ties=3" in model._repr_html_()


def test_one_standard_error_prefers_the_stronger_tie():
    X, y = data(seed=3)
    best = TiedLogisticRegressionCV(-1, ties=12, Cs=1.0).fit(X, y)
    model = TiedLogisticRegressionCV(-1, ties=12, Cs=1.0, one_standard_error=True)
    model.fit(X, y)
    j = int(np.flatnonzero(best.ties_ == best.tie_)[0])
    least = best.scores_[0, j] - best.standard_errors_[0, j]
    expected = best.ties_[best.scores_[0] >= least][-1]
    assert expected > best.tie_  # or the case shows nothing
    assert model.tie_ == expected


def test_of_equal_scores_the_strongest_tie():
    X, y = data(n_domains=1)
    model = TiedLogisticRegressionCV(-1, ties=3, Cs=[1.0]).fit(X, y)
    assert np.ptp(model.scores_) < 1e-9  # one domain: nothing to tie
    model = TiedLogisticRegressionCV(None, ties=3, Cs=[1.0]).fit(X[:, :-1], y)
    assert np.ptp(model.scores_) == 0  # no domain: likewise
    assert model.tie_ == INF


def test_similar_domains_share_and_different_ones_do_not():
    for spread, low, high in [(0.0, 3.0, INF), (5.0, 0.0, 0.1)]:
        X, y = data(n_domains=4, n=150, spread=spread, seed=1)
        model = TiedLogisticRegressionCV(-1, ties=10).fit(X, y)
        assert low <= model.tie_ <= high


def test_strengths_that_cannot_be_fitted_are_skipped():
    X, y = data()
    y[X[:, -1] == 0] = 1
    model = TiedLogisticRegressionCV(-1, ties=4, Cs=[1.0, 5.0]).fit(X, y)
    assert set(model.failures_) == {(1.0, 0.0), (5.0, 0.0)}
    assert "only some of the classes" in model.failures_[1.0, 0.0]
    assert np.isneginf(model.scores_[:, 0]).all()
    assert np.isfinite(model.scores_[:, 1:]).all()
    assert model.tie_ > 0


def test_separable_rows_without_decay_are_failures():
    X = np.column_stack([np.linspace(-1, 1, 20), np.arange(20) % 2])
    y = (X[:, 0] > 0).astype(int)
    model = TiedLogisticRegressionCV(-1, ties=2, Cs=[1.0, INF]).fit(X, y)
    assert set(model.failures_) == {(INF, 0.0), (INF, INF)}
    assert model.C_ == 1.0
    with pytest.raises(ValueError, match="None of 2 settings could be fitted"):
        TiedLogisticRegressionCV(-1, ties=2, Cs=INF).fit(X, y)


# As part of scikit-learn


def test_in_pipelines_and_searches():
    X, y = data()
    domain = X[:, -1]
    model = make_pipeline(
        TiedLogisticRegressionCV(-1, ties=3, Cs=1.0),
    ).fit(X, y)
    assert model.score(X, y) > 0.5
    search = GridSearchCV(
        TiedLogisticRegressionCV(-1, ties=3, Cs=1.0),
        {"tie_intercept": [True, False]},
        cv=2,
    ).fit(X, y)
    assert search.best_estimator_.domains_.tolist() == np.unique(domain).tolist()


def test_a_failed_fit_loses_nothing():
    X, y = data()
    model = TiedLogisticRegressionCV(-1, ties=3, Cs=1.0).fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="missing labels"):
        model.fit(np.where(X > 1, np.nan, X), y)
    assert_array_equal(model.predict_proba(X), before)


def test_a_refit_forgets_the_domains():
    X, y = data()
    model = TiedLogisticRegressionCV(-1, ties=3, Cs=1.0, cv="loo").fit(X, y)
    model.set_params(pair=None, cv=3).fit(X[:, :-1], y)
    for name in ("domains_", "domain_scores_", "n_refitted_"):
        assert not hasattr(model, name)


def test_verbose_prints_every_setting(capsys):
    X, y = data()
    TiedLogisticRegressionCV(-1, ties=3, Cs=[1.0, 2.0], verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert all("score" in line for line in lines)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ties": [-1.0]}, "ties holds -1"),
        ({"ties": ["a"]}, "expected an array of numbers"),
        ({"ties": [np.nan]}, "1 NaN"),
        ({"ties": 1}, "'ties' parameter"),
        ({"Cs": 0.0}, "'Cs' parameter|expected positive"),
        ({"Cs": [0.0, 1.0]}, "expected positive numbers"),
        ({"Cs": []}, "expected positive numbers"),
        ({"cv": "all"}, "'cv' parameter"),
        ({"scoring": "no score"}, "no score"),
        (
            {"scoring": keep([]), "one_standard_error": True},
            "has no standard error",
        ),
    ],
)
def test_errors_name_value_and_remedy(parameters, message):
    X, y = data()
    with pytest.raises(ValueError, match=message):
        TiedLogisticRegressionCV(-1, **{"ties": 3, "Cs": 1.0} | parameters).fit(X, y)


def test_a_fold_without_a_class_is_an_error():
    X, y = data(3, n_domains=2, n=10)
    y[:] = np.arange(20) % 2
    y[0] = 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # scikit-learn's own
        with pytest.raises(ValueError, match=r"expected all\. Use fewer folds"):
            TiedLogisticRegressionCV(-1, ties=[1.0], Cs=1.0, cv=3).fit(X, y)


def test_a_lone_row_of_a_class_cannot_be_left_out_of_a_domain_alone():
    # Without it the domain has one class, and its own intercept would be infinite.
    X, y = data()
    own = np.flatnonzero(X[:, -1] == 0)
    y[own] = 1
    y[own[4]] = 0
    model = TiedLogisticRegressionCV(-1, ties=4, Cs=1.0).fit(X, y)
    assert list(model.failures_) == [(1.0, 0.0)]
    assert "one row alone of domain 0" in model.failures_[1.0, 0.0]
    assert np.isneginf(model.scores_[0, 0])
    assert np.isneginf(model.domain_scores_[:, 0, 0]).all()


def test_collinear_features_without_decay_are_failures_of_leave_one_out():
    X, y = data()
    X = np.column_stack([X[:, 0], X])
    with pytest.raises(ValueError, match=r"None of 3 settings.*are collinear"):
        TiedLogisticRegressionCV(-1, ties=[0.5], Cs=INF).fit(X, y)
    model = TiedLogisticRegressionCV(-1, ties=[0.5], Cs=[1.0, INF]).fit(X, y)
    assert model.C_ == 1.0
    assert {C for C, _ in model.failures_} == {INF}


@pytest.mark.parametrize("C", [1.0, 10.0])
def test_loo_of_shared_domains_is_that_of_one_domain(C):
    # The objective is the same; few rows, so that one moves the coefficients far.
    rng = np.random.default_rng(2)
    X = rng.normal(size=(24, 4))
    domain = np.arange(24) % 2
    y = (X @ rng.normal(size=4) + rng.logistic(size=24) > 0).astype(int)
    shared = TiedLogisticRegressionCV(ties=[3.0], Cs=C).fit(X, y, sample_domain=domain)
    one = TiedLogisticRegressionCV(ties=[], Cs=C / 2).fit(X, y)
    assert_allclose(shared.scores_[0, -1], one.scores_[0, -1], rtol=1e-3)
    exact = brute_force(np.column_stack([X, domain]), y, pair=-1, tie=3.0, C=C)
    assert_allclose(-shared.scores_[0, 1], log_loss(y, exact), rtol=3e-3)


def test_a_class_of_one_row_cannot_be_left_out():
    X, y = data()
    y[:] = 0
    y[3] = 1
    model = TiedLogisticRegressionCV(ties=2, Cs=1.0)
    with pytest.raises(ValueError, match="one row alone has class 1"):
        model.fit(X[:, :-1], y)
    with pytest.raises(ValueError, match="None of 2 settings"):
        model.set_params(pair=-1).fit(X, y)


def test_rows_without_which_classes_are_separable_are_failures():
    X = np.linspace(-1, 1, 12)[:, np.newaxis]
    y = (X[:, 0] > 0).astype(int)
    y[1] = 1  # without it, or without row 0, no minimum exists at C=inf
    with pytest.raises(ValueError, match="without one of the rows"):
        TiedLogisticRegressionCV(ties=2, Cs=INF).fit(X, y)
    model = TiedLogisticRegressionCV(ties=2, Cs=[1.0, INF]).fit(X, y)
    assert model.C_ == 1.0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cv": GroupKFold(3)}, r"cv=list\(GroupKFold"),
        ({"cv": iter([])}, "has no folds"),
        ({"stratify_domains": True}, "expected an integer cv"),
        ({"stratify_domains": True, "cv": 20}, "domain 0 has only 10 rows of class 0"),
    ],
)
def test_unfit_splits_are_errors(parameters, message):
    X, y = data(n=24)
    model = TiedLogisticRegressionCV(-1, ties=2, Cs=1.0, **parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)


def test_splitters_see_the_rows():
    class BySign:
        def get_n_splits(self, X=None, y=None, groups=None):
            return 2

        def split(self, X, y, groups=None):
            assert set(np.unique(y)) == {"no", "yes"}
            yield np.flatnonzero(X[:, 0] > 0), np.flatnonzero(X[:, 0] <= 0)
            yield np.flatnonzero(X[:, 0] <= 0), np.flatnonzero(X[:, 0] > 0)

    X, y = data()
    y = np.array(["no", "yes"])[y]
    model = TiedLogisticRegressionCV(-1, ties=[1.0], Cs=1.0, cv=BySign()).fit(X, y)
    by_hand = list(BySign().split(X, y))
    expected = clone(model).set_params(cv=by_hand).fit(X, y)
    assert_array_equal(model.scores_, expected.scores_)


def test_positions_of_folds_are_those_of_all_rows():
    X, y = load_iris(return_X_y=True)
    y = y.copy()
    y[::3] = -1
    prior = KMeansPrior(4, random_state=0)
    shuffled = KFold(3, shuffle=True, random_state=0)
    folds = list(shuffled.split(X))
    model = TiedLogisticRegressionCV(prior, ties=[1.0], Cs=1.0, unlabeled=-1, cv=folds)
    model.fit(X, y)
    train, test = folds[0]
    single = TiedLogisticRegression(prior, tie=1.0, unlabeled=-1)
    rows = np.union1d(train, np.flatnonzero(y < 0))
    single.fit(X[rows], y[rows])
    held = test[y[test] >= 0]
    only = clone(model).set_params(cv=folds[:1]).fit(X, y)
    expected = -log_loss(y[held], single.predict_proba(X[held]))
    assert_allclose(only.scores_[0, 1], expected, rtol=1e-5)


def test_a_fold_without_weight_is_an_error():
    X, y = data()
    weight = np.ones(len(y))
    folds = list(StratifiedKFold(3).split(X, y))
    weight[folds[1][1]] = 0
    model = TiedLogisticRegressionCV(-1, ties=2, Cs=1.0, cv=folds)
    with pytest.raises(ValueError, match=r"rows held out .* weigh nothing"):
        model.fit(X, y, weight)
