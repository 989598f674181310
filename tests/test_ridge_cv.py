"""TiedRidgeCV against brute force, and against scikit-learn's RidgeCV."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, ShuffleSplit

from sktie import TiedRidge, TiedRidgeCV
from sktie.linear_model._ridge_path import RidgePath
from tests.ridge_oracles import make_rows

INF = np.inf


def brute_force(model, X, y, domain, weight=None):
    """Predictions of each row by a fit without it."""
    found = np.empty(y.shape)
    named = model.pair is None and domain is not None
    for i in range(len(y)):
        rest = np.arange(len(y)) != i
        w = None if weight is None else weight[rest]
        mine = {"sample_domain": domain[rest]} if named else {}
        model.fit(X[rest], y[rest], w, **mine)
        mine = {"sample_domain": domain[[i]]} if named else {}
        found[i] = model.predict(X[[i]], **mine)[0]
    return found


FORMS = [
    {},
    {"tie_intercept": False},
    {"tie_intercept": 0.3},
    {"tie_intercept": INF},
    {"fit_intercept": False},
    {"decay": "shared"},
    {"pair": ([1.0, -1.0, 0.5], 2.0)},
    {"pair": ([1.0, -1.0, 0.5], 2.0), "tie_intercept": False},
]


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("n_targets", [None, 2])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_leave_one_out_is_that_of_fits_without_each_row(form, n_targets, weights):
    X, y, domain, weight = make_rows((6, 7, 8), n_targets=n_targets, weights=weights)
    X = X + 3.0
    if n_targets and "pair" in form:
        coef, intercept = form["pair"]
        form = form | {"pair": (np.array([coef, coef[::-1]]), [intercept, -1.0])}
    settings = {"alphas": [0.0, 0.7], "ties": [0.0, 2.0, INF]}
    given = {"sample_domain": domain} if "pair" not in form else {}
    model = TiedRidgeCV(**form, **settings).fit(X, y, weight, **given)
    mass = np.ones(len(y)) if weight is None else weight
    for i, alpha in enumerate(settings["alphas"]):
        for j, tie in enumerate(settings["ties"]):
            one = TiedRidge(**form, alpha=alpha, tie=tie)
            raw = brute_force(one, X, y, domain, weight)
            errors = np.square(y - raw).reshape(len(y), -1).mean(axis=1)
            expected = -(mass @ errors) / mass.sum()
            assert model.scores_[i, j] == pytest.approx(expected, rel=1e-8), (
                alpha,
                tie,
            )
            if "pair" in form:
                continue
            for t in range(3):
                own = domain == t
                of_domain = -(mass[own] @ errors[own]) / mass[own].sum()
                assert model.domain_scores_[t, i, j] == pytest.approx(of_domain)
    assert model.n_refitted_ == 0
    assert model.best_score_ == model.scores_.max()


@pytest.mark.parametrize("n_targets", [None, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_without_a_pair_it_chooses_as_ridgecv(fit_intercept, n_targets):
    X, y, _, _ = make_rows((30, 30), n_features=8, n_targets=n_targets)
    X = np.round(X + 5.0, 3)
    alphas = np.geomspace(1e-2, 1e3, 11)
    theirs = RidgeCV(alphas, fit_intercept=fit_intercept).fit(X, y)
    for form in (np.asarray, sp.csr_array):
        ours = TiedRidgeCV(alphas=alphas, fit_intercept=fit_intercept)
        ours.fit(form(X), y)
        assert ours.alpha_ == theirs.alpha_
        assert ours.best_score_ == pytest.approx(theirs.best_score_, rel=1e-9)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)
        np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-9)


def told(monkeypatch, model, X, y, weight=None, *, at_once=True):
    """The fitted model, and what callbacks would be told of each setting."""
    found = []

    def tell(self, place, progress, score, callback):
        found.append((*place, *progress, score))

    with monkeypatch.context() as patched:
        patched.setattr(TiedRidgeCV, "_tell", tell)
        if not at_once:
            patched.setattr(RidgePath, "without_each_row_at", lambda path, alphas: None)
        else:
            patched.delattr(RidgePath, "without_each_row")
        model.fit(X, y, weight)
    return model, found


@pytest.mark.parametrize("scoring", [None, "neg_mean_absolute_error", "r2"])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("n_targets", [None, 3])
@pytest.mark.parametrize(
    "form",
    [{}, {"fit_intercept": False}, {"feature_ties": [[0, 1]]}, {"container": "csr"}],
    ids=str,
)
def test_all_decays_at_once_are_those_one_by_one(
    form, n_targets, weights, scoring, monkeypatch
):
    X, y, _, weight = make_rows((20, 20), 5, n_targets, weights=weights)
    form = dict(form)
    X = sp.csr_array(X + 3.0) if form.pop("container", None) else X + 3.0
    form |= {"alphas": [1e-8, 0.1, 1.0, 1e4], "scoring": scoring}
    one, told_once = told(monkeypatch, TiedRidgeCV(**form), X, y, weight)
    each, told_each = told(
        monkeypatch, TiedRidgeCV(**form), X, y, weight, at_once=False
    )
    assert (one.alpha_, one.tie_) == (each.alpha_, each.tie_)
    np.testing.assert_allclose(told_once, told_each, rtol=1e-10)
    np.testing.assert_allclose(one.scores_, each.scores_, rtol=1e-10)
    np.testing.assert_allclose(
        one.standard_errors_, each.standard_errors_, rtol=1e-10, equal_nan=True
    )
    np.testing.assert_array_equal(one.coef_, each.coef_)


@pytest.mark.parametrize("alphas", [[0.0, 1.0], [1e-14, 1.0]], ids=str)
def test_decays_that_leave_rows_alone_are_taken_one_by_one(alphas):
    X, y, _, _ = make_rows((4, 4), 7)
    model = TiedRidgeCV(alphas=alphas).fit(X, y)
    assert "a row alone determines" in model.failures_[alphas[0], INF]
    assert np.isneginf(model.scores_[0, 0])
    errors = np.square(y - brute_force(TiedRidge(), X, y, None))
    assert model.best_score_ == pytest.approx(-errors.mean(), rel=1e-10)


@pytest.mark.parametrize("mean", [0.0, 1e5])
@pytest.mark.parametrize(
    "form", [{"tie_intercept": False}, {"pair": "none"}, {"ties": [INF]}], ids=str
)
def test_large_means_cost_leverages_no_digits(form, mean):
    X, y, domain, _ = make_rows((20, 30, 40))
    X = np.round(X * 2**20) / 2**20
    given = {} if form.get("pair") else {"sample_domain": domain}
    form = {k: v for k, v in form.items() if k != "pair"}
    near = TiedRidgeCV(**form).fit(X, y, **given)
    far = TiedRidgeCV(**form).fit(X + mean, y, **given)
    places = [-1] if form.get("ties") else slice(None)
    np.testing.assert_allclose(
        far.scores_[:, places], near.scores_[:, places], rtol=1e-7
    )


@pytest.mark.parametrize("cv", [3, KFold(4, shuffle=True, random_state=0), "list"])
@pytest.mark.parametrize("scoring", [None, "neg_mean_absolute_error", "r2"])
def test_folds_are_those_of_a_grid_search(cv, scoring):
    X, y, domain, _ = make_rows((20, 25, 30))
    whole = np.column_stack([X, domain])
    if cv == "list":
        cv = list(ShuffleSplit(3, random_state=1).split(whole))
    ties, alphas = [0.0, 1.0, INF], [0.1, 5.0]
    ours = TiedRidgeCV(-1, ties=ties, alphas=alphas, cv=cv, scoring=scoring)
    ours.fit(whole, y)
    search = GridSearchCV(
        TiedRidge(-1),
        {"alpha": alphas, "tie": ties},
        cv=cv,
        scoring=scoring or "neg_mean_squared_error",
    ).fit(whole, y)
    expected = search.cv_results_["mean_test_score"].reshape(2, 3)
    np.testing.assert_allclose(ours.scores_, expected, rtol=1e-9)
    best = search.best_params_
    assert (ours.alpha_, ours.tie_) == (best["alpha"], best["tie"])
    np.testing.assert_allclose(
        ours.predict(whole), search.best_estimator_.predict(whole)
    )


def test_the_model_is_that_of_the_chosen_strengths():
    X, y, domain, _ = make_rows()
    model = TiedRidgeCV().fit(X, y, sample_domain=domain)
    again = TiedRidge(tie=model.tie_, alpha=model.alpha_)
    again.fit(X, y, sample_domain=domain)
    np.testing.assert_array_equal(model.domain_coef_, again.domain_coef_)
    assert model.sigma2_ == again.sigma2_
    assert model.domain_estimator(1).alpha == model.alpha_


def test_a_row_that_alone_determines_a_coefficient_fails_the_setting():
    X, y, domain, _ = make_rows((1, 10, 20))
    model = TiedRidgeCV(ties=[0.0, 1.0], tie_intercept=True)
    model.fit(X, y, sample_domain=domain)
    assert np.isneginf(model.scores_[:, 0]).all()
    assert np.isfinite(model.scores_[:, 1:]).all()
    assert "a row of domain 0 alone determines" in model.failures_[0.1, 0.0]
    lonely = TiedRidgeCV(ties=[0.0], tie_intercept=False)
    with pytest.raises(ValueError, match="None of 6 settings"):
        lonely.fit(X, y, sample_domain=domain)


def test_one_standard_error_prefers_the_stronger_tie():
    X, y, domain, _ = make_rows()
    best = TiedRidgeCV().fit(X, y, sample_domain=domain)
    near = TiedRidgeCV(one_standard_error=True).fit(X, y, sample_domain=domain)
    assert near.alpha_ == best.alpha_
    i = list(best.alphas_).index(best.alpha_)
    least = (
        best.best_score_ - best.standard_errors_[i, list(best.ties_).index(best.tie_)]
    )
    allowed = best.ties_[best.scores_[i] >= least]
    assert near.tie_ == allowed.max() >= best.tie_
    with pytest.raises(ValueError, match="has no standard error"):
        TiedRidgeCV(one_standard_error=True, scoring="r2").fit(X, y)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"alphas": [-1.0, 1.0]}, "expected numbers from 0 up"),
        ({"alphas": []}, "at least one"),
        ({"alphas": [INF]}, "expected numbers from 0 up"),
        ({"ties": [-1.0]}, "Drop the negative ones"),
        ({"cv": GroupKFold(2)}, "Pass the folds themselves"),
        ({"cv": []}, "has no folds"),
        ({"tie_intercept": "auto"}, "tie_intercept"),
    ],
    ids=str,
)
def test_errors_name_the_remedy(settings, words):
    X, y, domain, _ = make_rows()
    with pytest.raises(ValueError, match=words):
        TiedRidgeCV(**settings).fit(X, y, sample_domain=domain)


def test_a_search_keeps_what_the_fit_it_chose_would():
    X, y, domain, weight = make_rows((12, 14, 16), weights=True)
    common = {"handle_unknown": "shared", "store_covariance": True}
    search = TiedRidgeCV(ties=[1.0, 4.0], alphas=[0.5, 2.0], **common)
    search.fit(X, y, weight, sample_domain=domain)
    model = TiedRidge(tie=search.tie_, alpha=search.alpha_, **common)
    model.fit(X, y, weight, sample_domain=domain)
    for label in (*search.domains_, None, 99):
        np.testing.assert_array_equal(
            search.coef_interval(label), model.coef_interval(label)
        )
    found = search.predict_interval(X, sample_domain=domain, noise=True)
    np.testing.assert_array_equal(
        found, model.predict_interval(X, sample_domain=domain, noise=True)
    )
    with pytest.raises(ValueError, match=r"refit=False .* nothing to keep"):
        search.set_params(refit=False).fit(X, y, weight, sample_domain=domain)


@pytest.mark.parametrize("cv", ["loo", 3])
@pytest.mark.parametrize(
    "scoring", ["roc_auc", "neg_log_loss", lambda model, X, y: model.coef_.sum()]
)
def test_scores_that_need_more_than_predictions_are_an_error(scoring, cv):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), np.arange(30) % 2
    with pytest.raises(ValueError, match=r"scorer of these.*'r2'.*GridSearchCV"):
        TiedRidgeCV(cv=cv, scoring=scoring).fit(X, y)


@pytest.mark.parametrize("domains", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_unlike_scales_are_left_out_to_full_precision(fit_intercept, domains):
    # Rounding takes the smaller axis, and the scores still see what it says.
    rng = np.random.default_rng(0)
    units = np.array([1.0, 1e-7])
    Z = rng.normal(size=(30, 2))
    y = Z @ [1.0, 2.0] + 0.5 * rng.normal(size=30) + 1.0
    domain = np.arange(30) % 2
    alphas = np.array([1e-17, 1e-14])
    model = TiedRidgeCV(alphas=alphas, ties=[0.0], fit_intercept=fit_intercept)
    model.fit(Z * units, y, **({"sample_domain": domain} if domains else {}))
    for i, alpha in enumerate(alphas):
        errors = np.empty(30)
        for k in range(30):
            rest = np.arange(30) != k
            if domains:
                rest &= domain == domain[k]
            # In the units of Z the decay is alpha / units^2.
            centre, level = Z[rest].mean(axis=0), y[rest].mean()
            if not fit_intercept:
                centre, level = np.zeros(2), 0.0
            rows = np.vstack([Z[rest] - centre, np.diag(np.sqrt(alpha) / units)])
            target = np.append(y[rest] - level, [0.0, 0.0])
            coef = np.linalg.lstsq(rows, target, rcond=None)[0]
            errors[k] = y[k] - level - (Z[k] - centre) @ coef
        j = model.ties_.tolist().index(0.0) if domains else 0
        assert model.scores_[i, j] == pytest.approx(-np.mean(errors**2), rel=1e-6)
