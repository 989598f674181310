"""What intervals need is kept when asked for, and errors tell where there are none."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from sktie import TiedLogisticRegression, TiedLogisticRegressionCV
from tests.oracles import fit_tied, make_instance

KINDS = ["laplace", "sandwich"]
kinds = pytest.mark.parametrize("kind", KINDS)


def fit(case, **settings):
    form = "none" if case.n_domains == 1 else "column"
    return fit_tied(case, form, store_covariance=True, **settings)


# ---- what is kept --------------------------------------------------------------------


def test_nothing_is_kept_unless_asked_for():
    case = make_instance((9, 30, 60))
    model = fit_tied(case)
    X = np.column_stack([case.X, case.domain])
    for ask in (
        model.coef_covariance,
        model.coef_interval,
        lambda: model.predict_interval(X),
    ):
        with pytest.raises(ValueError, match="again with store_covariance=True"):
            ask()


def test_a_fit_that_keeps_nothing_drops_what_was_kept():
    case = make_instance((9, 30, 60))
    model = fit(case)
    model.coef_covariance()
    model.set_params(store_covariance=False)
    model.fit(np.column_stack([case.X, case.domain]), case.y)
    with pytest.raises(ValueError, match="store_covariance=True"):
        model.coef_covariance()


def test_what_is_kept_is_of_the_fit_and_not_of_the_parameters_now():
    model = fit(make_instance((9, 30, 60)), handle_unknown="shared")
    before = model.coef_covariance(77)
    model.set_params(tie=100.0, C=1e-3, decay="shared", tie_intercept=False)
    assert_array_equal(model.coef_covariance(77), before)


def test_pickled_cloned_and_searched():
    case = make_instance((30, 60))
    X = np.column_stack([case.X, case.domain])
    model = TiedLogisticRegression(-1, store_covariance=True)
    search = GridSearchCV(model, {"tie": [0.5, 5.0]}, cv=3).fit(X, case.y)
    best = search.best_estimator_
    again = clone(best).fit(X, case.y)
    copy = pickle.loads(pickle.dumps(best))
    for other in (again, copy):
        for kind in KINDS:
            expected = best.predict_interval(X, kind=kind)
            assert_array_equal(other.predict_interval(X, kind=kind), expected)


@kinds
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("cv", ["loo", 3])
def test_a_search_keeps_what_the_fit_it_chose_would(kind, n_classes, cv):
    case = make_instance((40, 60, 80), n_classes)
    X = np.column_stack([case.X, case.domain])
    common = {"pair": -1, "handle_unknown": "shared", "class_weight": "balanced"}
    search = TiedLogisticRegressionCV(
        ties=[1.0, 10.0], Cs=[0.5, 2.0], cv=cv, store_covariance=True, **common
    ).fit(X, case.y)
    model = TiedLogisticRegression(
        tie=search.tie_, C=search.C_, store_covariance=True, **common
    ).fit(X, case.y)
    rows = np.vstack([X[::9], [*X[0, :-1], 77.0]])
    copy = pickle.loads(pickle.dumps(search))
    for domain in (0, None, 77):
        assert_allclose(
            copy.coef_interval(domain, kind=kind),
            model.coef_interval(domain, kind=kind),
            rtol=1e-4,
            atol=1e-5,
        )
    assert_allclose(
        copy.predict_interval(rows, kind=kind),
        model.predict_interval(rows, kind=kind),
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_search_keeps_nothing_unless_asked_for():
    case = make_instance((30, 60))
    X = np.column_stack([case.X, case.domain])
    search = TiedLogisticRegressionCV(-1, ties=2, Cs=1.0, store_covariance=True)
    search.fit(X, case.y).coef_interval()
    search.set_params(store_covariance=False).fit(X, case.y)
    with pytest.raises(ValueError, match="again with store_covariance=True"):
        search.coef_interval()
    with pytest.raises(ValueError, match=r"refit=False .* nothing to keep"):
        search.set_params(store_covariance=True, refit=False).fit(X, case.y)


def test_a_search_that_cannot_keep_says_so_before_it_searches(monkeypatch):
    case = make_instance((30, 60))
    X = np.column_stack([case.X, case.domain])
    monkeypatch.setattr("sktie.linear_model._inference.MOST_NUMBERS", 10)
    monkeypatch.setattr("sktie.linear_model._path.Path.fit", None)
    search = TiedLogisticRegressionCV(-1, store_covariance=True)
    with pytest.raises(ValueError, match="store_covariance=True keeps 2 x "):
        search.fit(X, case.y)


def test_the_fit_is_the_same():
    case = make_instance((9, 30, 60), 3)
    plain, keeping = fit_tied(case), fit(case)
    assert_array_equal(plain.domain_coef_, keeping.domain_coef_)
    assert plain.n_stored_parameters_ == keeping.n_stored_parameters_


def test_no_bit_depends_on_threads():
    case = make_instance((900, 3000, 700), n_features=30, n_classes=3)
    one, two = (fit(case, n_jobs=n, tol=1e-8) for n in (1, 2))
    for kind in KINDS:
        found = two.coef_covariance(1, kind=kind)
        assert_array_equal(found, one.coef_covariance(1, kind=kind))


def test_too_wide_to_keep_is_told_before_the_fit():
    X = sp.eye(4, 12_000, format="csr")
    model = TiedLogisticRegression(store_covariance=True)
    model.fit(X[:, :3], [0, 1, 0, 1])
    before = model.coef_covariance()
    with pytest.raises(ValueError, match=r"1 x 12001 x 12001 .*=False"):
        model.fit(X, [0, 1, 0, 1])
    assert_array_equal(model.coef_covariance(), before)
    clone(model).set_params(store_covariance=False).fit(X, [0, 1, 0, 1])


# ---- errors --------------------------------------------------------------------------


@pytest.mark.parametrize("tie", [0.0, 1e-6, 2.0, np.inf])
@pytest.mark.parametrize("n_domains", [1, 3])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_the_rows_leave_open_has_no_variance(n_domains, tie):
    case = make_instance((60,) * n_domains, C=np.inf, tie=tie)
    case = case.but(X=np.column_stack([case.X, case.X[:, 0] - 2 * case.X[:, 1]]))
    model = fit(case, tol=1e-8)
    with pytest.raises(ValueError, match=r"collinear features .* C=inf"):
        model.coef_covariance()
    assert np.isfinite(fit(case.but(C=1e4), tol=1e-8).coef_covariance()).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_separable_classes_without_decay_have_no_variance():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    model = TiedLogisticRegression(C=np.inf, store_covariance=True)
    model.fit(X, X[:, 0] > 0, sample_domain=np.arange(60) % 2)
    with pytest.raises(ValueError, match="separable classes"):
        model.coef_covariance(0)


@kinds
@pytest.mark.parametrize("limit", [0.0, np.inf])
def test_extreme_ties_are_near_their_limit(limit, kind):
    case = make_instance((50, 30, 60), C=np.inf, n_features=2)
    expected = fit(case.but(tie=limit)).coef_covariance(1, kind=kind)
    for tie in [1e-200, 1e-14, 1e-9] if limit == 0 else [1e9, 1e14, 1e200]:
        found = fit(case.but(tie=tie)).coef_covariance(1, kind=kind)
        assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


def test_a_domain_without_a_class_borrows_it():
    case = make_instance((9, 90, 60), tie=1e-3, C=1e3)
    case = case.but(y=np.where(case.domain == 0, 1, case.y))
    errors = [np.sqrt(fit(case).coef_covariance(t)[-1, -1]) for t in range(3)]
    assert 5 < errors[0] < 22  # at most that of the prior
    assert max(errors[1:]) < 1


def test_errors_name_the_remedy():
    case = make_instance((9, 30, 60))
    model = fit(case)
    X = np.column_stack([case.X, case.domain])
    with pytest.raises(ValueError, match="handle_unknown='shared'"):
        model.coef_covariance(77)
    with pytest.raises(ValueError, match="handle_unknown='shared'"):
        model.predict_interval(np.column_stack([case.X, case.domain + 1]))
    with pytest.raises(ValueError, match="kind='bootstrap'; expected one of"):
        model.coef_interval(kind="bootstrap")
    for coverage in (0, 1, 1.5, np.nan, "0.95", True):
        with pytest.raises(ValueError, match="between 0 and 1"):
            model.coef_interval(coverage=coverage)
        with pytest.raises(ValueError, match="between 0 and 1"):
            model.predict_interval(X, coverage=coverage)
    plain = fit(make_instance((60,)))
    with pytest.raises(ValueError, match="without domains"):
        plain.coef_covariance(0)
    with pytest.raises(NotFittedError):
        TiedLogisticRegression(store_covariance=True).coef_covariance()
    with pytest.raises(NotFittedError):
        TiedLogisticRegression(store_covariance=True).predict_interval(X)
    with pytest.raises(ValueError, match="features"):
        model.predict_interval(X[:, 1:])
