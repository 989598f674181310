"""Tests of sktie.linear_model._tied_pair."""

import pickle
from itertools import combinations_with_replacement

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import xlogy
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import (
    Lasso,
    LogisticRegression,
    LogisticRegressionCV,
    PoissonRegressor,
    Ridge,
)
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import (
    check_param_validation,
    parametrize_with_checks,
)

from sktie import TiedLogisticRegression, TiedPair

# Solvers tight enough to compare coefficients with ours.
PLAIN = {
    "logistic": LogisticRegression(C=0.7, solver="newton-cholesky", tol=1e-10),
    "hinge": LinearSVC(C=0.3, dual=False, tol=1e-12, max_iter=100_000),
    "ridge": Ridge(alpha=2.0),
    "poisson": PoissonRegressor(alpha=0.05, solver="newton-cholesky", tol=1e-10),
}
PAIRS = list(combinations_with_replacement(PLAIN, 2))
pairs = pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
weights = pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])


class Data:
    """Rows of two models in any order, and what both predict."""

    def __init__(self, kinds, n=150, p=3, seed=0, weighted=False):
        rng = np.random.default_rng(seed)
        self.kinds = kinds
        self.X = rng.normal(size=(n, p))
        self.domain = np.where(rng.uniform(size=n) < 0.4, "east", "west")
        raw = self.X @ np.linspace(1, -0.5, p) + 0.3 + 0.5 * rng.normal(size=n)
        self.y = np.empty(n)
        for own, kind in zip(self.masks(), kinds, strict=True):
            self.y[own] = {
                "logistic": raw[own] > 0,
                "hinge": raw[own] > 0,
                "ridge": raw[own],
                "poisson": rng.poisson(np.exp(raw[own])),
            }[kind]
        self.weight = rng.integers(0, 4, n).astype(float) if weighted else None

    def masks(self):
        return [self.domain == label for label in ("east", "west")]

    def estimators(self):
        return [clone(PLAIN[kind]) for kind in self.kinds]

    def fit(self, *args, tol=1e-14, **settings):
        a, b = args or self.estimators()
        model = TiedPair(a, b, tol=tol, **settings)
        return model.fit(self.X, self.y, self.weight, sample_domain=self.domain)

    def parts(self):
        for own in self.masks():
            weight = None if self.weight is None else self.weight[own]
            yield self.X[own], self.y[own], weight

    def naive(self, members, tie, tie_intercept=0.0, intercept=True):
        """The documented objective, from parameters (2, p + 1), with own formulas."""
        total = 0.0
        for kind, w, (X, y, s) in zip(self.kinds, members, self.parts(), strict=True):
            s = np.ones(len(y)) if s is None else s
            f = X @ w[:-1] + w[-1]
            square = w[:-1] @ w[:-1]
            if kind == "logistic":
                total += s @ np.logaddexp(0, -(2 * y - 1) * f) + square / (2 * 0.7)
            elif kind == "hinge":
                square += w[-1] ** 2 if intercept else 0
                lack = np.clip(1 - (2 * y - 1) * f, 0, None)
                total += s @ lack**2 + square / (2 * 0.3)
            elif kind == "ridge":
                total += s @ (y - f) ** 2 / 2 + 2.0 * square / 2
            else:
                deviance = np.exp(f) - y * f + xlogy(y, y) - y
                total += s @ deviance + 0.05 / 2 * s.sum() * square
        apart = np.square(members[0] - members[1])
        return total + tie / 2 * apart[:-1].sum() + tie_intercept / 2 * apart[-1]

    def minimum(self, objective, size):
        found = minimize(
            objective, np.zeros(size), method="BFGS", options={"gtol": 1e-9}
        )
        return found.x, found.fun


def members_of(model):
    return np.column_stack([model.coef_, model.intercept_])


def close(found, expected, atol=2e-6):
    assert_allclose(found, expected, atol=atol, rtol=1e-6)


@pairs
@weights
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_tie_0_is_the_two_fits_of_scikit_learn(kinds, weighted, fit_intercept):
    data = Data(kinds, weighted=weighted)
    settings = {"fit_intercept": fit_intercept}
    plain = [one.set_params(**settings) for one in data.estimators()]
    model = data.fit(*plain, tie=0)
    for own, one, (X, y, s) in zip(model.estimators_, plain, data.parts(), strict=True):
        expected = clone(one).fit(X, y, sample_weight=s)
        close(own.coef_, expected.coef_)
        close(own.intercept_, expected.intercept_)
        assert own.coef_.shape == expected.coef_.shape
        assert np.shape(own.intercept_) == np.shape(expected.intercept_) or not (
            fit_intercept
        )
        close(own.predict(data.X), expected.predict(data.X), atol=1e-5)
        assert own.score(X, y) == pytest.approx(expected.score(X, y))


@pairs
@weights
@pytest.mark.parametrize(
    ("tie", "tie_intercept"), [(3.0, False), (0.2, True), (50.0, 7.0)]
)
def test_between_it_is_the_joint_minimum(kinds, weighted, tie, tie_intercept):
    data = Data(kinds, weighted=weighted, n=60, p=2)
    model = data.fit(tie=tie, tie_intercept=tie_intercept)
    own = tie if tie_intercept is True else float(tie_intercept)

    def objective(theta):
        return data.naive(theta.reshape(2, -1), tie, own)

    theta, value = data.minimum(objective, 6)
    close(members_of(model), theta.reshape(2, -1), atol=1e-5)
    assert model.objective_ == pytest.approx(value, rel=1e-10)
    assert model.objective_ == pytest.approx(objective(members_of(model).ravel()))


@pairs
@pytest.mark.parametrize("tie_intercept", [False, True])
def test_tie_inf_is_one_vector(kinds, tie_intercept):
    data = Data(kinds, n=60, p=2, weighted=True)
    model = data.fit(tie=np.inf, tie_intercept=tie_intercept)
    assert_array_equal(model.coef_[0], model.coef_[1])
    assert model.tie_gap_ == 0
    assert model.n_stored_parameters_ == (3 if tie_intercept else 4)

    def members(theta):
        return np.vstack([theta[:3], np.r_[theta[:2], theta[-1]]])

    theta, value = data.minimum(
        lambda theta: data.naive(members(theta), 0.0), 3 if tie_intercept else 4
    )
    close(members_of(model), members(theta), atol=1e-5)
    assert model.objective_ == pytest.approx(value, rel=1e-10)


@pairs
def test_the_gap_shrinks_like_one_over_the_tie(kinds):
    data = Data(kinds)
    gaps = [data.fit(tie=tie).tie_gap_ for tie in (1e5, 1e6, 1e7, np.inf)]
    assert_allclose(np.divide(gaps[:2], gaps[1:3]), 10, rtol=0.02)
    assert gaps[-1] == 0
    strong, inf = data.fit(tie=1e12), data.fit(tie=np.inf)
    close(strong.coef_, inf.coef_, atol=1e-7)


@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("tie", [0.0, 1.0, np.inf])
@pairs
def test_solvers_agree(kinds, tie, solver):
    data = Data(kinds)
    expected = data.fit(tie=tie)
    found = data.fit(tie=tie, solver=solver, tol=1e-11)
    close(found.coef_, expected.coef_, atol=1e-4)
    assert found.objective_ == pytest.approx(expected.objective_, rel=1e-9)


@pairs
def test_many_rows_start_from_a_sample(kinds):
    data = Data(kinds, n=40_000, seed=3)
    model = data.fit(tie=0, tol=1e-12)
    for own, one, (X, y, s) in zip(
        model.estimators_, data.estimators(), data.parts(), strict=True
    ):
        close(own.coef_, one.fit(X, y, sample_weight=s).coef_, atol=1e-4)


@pairs
def test_rows_are_predicted_by_their_own_model(kinds):
    data = Data(kinds)
    model = data.fit()
    predicted = model.predict(data.X, sample_domain=data.domain)
    scores, sizes = [], []
    for own, mask in zip(model.estimators_, data.masks(), strict=True):
        assert_allclose(predicted[mask], own.predict(data.X[mask]), rtol=1e-12)
        alone = model.predict(data.X[mask], sample_domain=data.domain[mask])
        assert_array_equal(alone, predicted[mask])
        scores.append(own.score(data.X[mask], data.y[mask]))
        sizes.append(mask.sum())
    expected = np.average(scores, weights=sizes)
    score = model.score(data.X, data.y, sample_domain=data.domain)
    assert score == pytest.approx(expected)
    weight = np.where(data.masks()[0], 0.0, 2.0)
    score = model.score(data.X, data.y, weight, sample_domain=data.domain)
    assert score == pytest.approx(scores[1])


@pairs
def test_weights_are_copies_of_rows(kinds):
    data = Data(kinds, weighted=True)
    weighted = data.fit()
    again = np.repeat(np.arange(len(data.y)), data.weight.astype(int))
    rng = np.random.default_rng(1)
    rng.shuffle(again)
    data.X, data.y, data.domain = data.X[again], data.y[again], data.domain[again]
    data.weight = None
    copied = data.fit()
    close(members_of(copied), members_of(weighted))
    assert copied.objective_ == pytest.approx(weighted.objective_)


@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_matrix, sp.csc_array])
def test_sparse_rows_give_the_same_model(container):
    data = Data(("logistic", "poisson"))
    data.X[np.abs(data.X) < 0.5] = 0
    expected = data.fit()
    data.X = container(data.X)
    found = data.fit()
    close(found.coef_, expected.coef_)
    assert_allclose(
        found.predict(data.X, sample_domain=data.domain),
        expected.predict(data.X.toarray(), sample_domain=data.domain),
        rtol=1e-5,
    )


def test_float32_stays_float32():
    data = Data(("hinge", "ridge"))
    expected = data.fit()
    data.X = data.X.astype(np.float32)
    found = data.fit(tol=1e-6)
    assert found.coef_.dtype == found.intercept_.dtype == np.float32
    close(found.coef_, expected.coef_, atol=1e-3)


def test_a_column_may_name_the_domains():
    data = Data(("logistic", "ridge"))
    expected = data.fit()
    X = np.column_stack([data.domain == "west", data.X])
    model = TiedPair(*data.estimators(), pair=0, tol=1e-14).fit(X, data.y)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-12)
    assert_array_equal(model.domains_, [0, 1])
    assert model.n_features_in_ == 4
    assert model.estimators_[0].n_features_in_ == 3
    assert_allclose(
        model.predict(X), expected.predict(data.X, sample_domain=data.domain)
    )


def test_columns_keep_their_names():
    pd = pytest.importorskip("pandas")
    data = Data(("logistic", "ridge"))
    frame = pd.DataFrame(data.X, columns=["u", "v", "w"])
    frame.insert(1, "site", data.domain)
    model = TiedPair(*data.estimators(), pair="site").fit(frame, data.y)
    assert list(model.feature_names_in_) == ["u", "site", "v", "w"]
    assert list(model.coef_feature_names_) == ["u", "v", "w"]
    own = model.estimators_[1]
    assert list(own.feature_names_in_) == ["u", "v", "w"]
    west = frame[frame.site == "west"]
    assert_allclose(own.predict(west[["u", "v", "w"]]), model.predict(west))


def test_domains_say_which_is_which():
    data = Data(("logistic", "ridge"))
    expected = data.fit()
    swapped = TiedPair(
        *data.estimators()[::-1], domains=["west", "east"], tol=1e-14
    ).fit(data.X, data.y, sample_domain=data.domain)
    close(swapped.coef_, expected.coef_[::-1], atol=1e-9)
    assert_array_equal(swapped.domains_, ["west", "east"])
    assert_allclose(
        swapped.predict(data.X, sample_domain=data.domain),
        expected.predict(data.X, sample_domain=data.domain),
        atol=1e-9,
    )
    same = data.fit(domains=["east", "west"])
    assert_array_equal(same.coef_, expected.coef_)


def test_two_classifiers_may_have_words_for_classes():
    data = Data(("logistic", "hinge"))
    expected = data.fit()
    names = np.where(data.y > 0, "sick", "healthy").astype(object)
    names[data.masks()[1] & (data.y > 0)] = "very sick"
    data.y = names
    model = data.fit()
    close(model.coef_, expected.coef_, atol=1e-9)
    assert_array_equal(model.classes_, ["healthy", "sick", "very sick"])
    predicted = model.predict(data.X, sample_domain=data.domain)
    assert set(predicted[data.masks()[0]]) == {"healthy", "sick"}
    assert set(predicted[data.masks()[1]]) == {"healthy", "very sick"}
    score = model.score(data.X, names, sample_domain=data.domain)
    assert score == np.mean(predicted == names)


@pytest.mark.parametrize("kind", ["logistic", "hinge"])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 1: 0.5}])
def test_class_weights_are_those_of_the_estimator(kind, class_weight):
    data = Data(("ridge", kind))
    plain = data.estimators()
    plain[1].set_params(class_weight=class_weight)
    model = data.fit(*plain, tie=0)
    _, (X, y, _) = data.parts()
    close(model.coef_[1], plain[1].fit(X, y).coef_[0])


@pytest.mark.parametrize("scaling", [0.5, 10.0])
def test_liblinear_decays_the_intercept(scaling):
    data = Data(("logistic", "hinge"))
    plain = data.estimators()
    plain[0].set_params(
        solver="liblinear", intercept_scaling=scaling, tol=1e-10, max_iter=100_000
    )
    plain[1].set_params(intercept_scaling=scaling)
    model = data.fit(*plain, tie=0)
    for own, one, (X, y, _) in zip(model.estimators_, plain, data.parts(), strict=True):
        one.fit(X, y)
        close(own.coef_, one.coef_, atol=1e-4)
        close(own.intercept_, one.intercept_, atol=1e-4)


@pytest.mark.parametrize("kinds", [("logistic", "ridge"), ("poisson", "ridge")])
def test_without_decay_it_is_the_maximum_likelihood(kinds):
    data = Data(kinds)
    plain = [
        one.set_params(**{"C" if "C" in one.get_params() else "alpha": size})
        for one, size in zip(data.estimators(), (np.inf, 0.0), strict=True)
        if not isinstance(one, PoissonRegressor)
    ] or data.estimators()
    if kinds[0] == "poisson":
        plain = [PoissonRegressor(alpha=0.0), Ridge(alpha=0.0)]
    model = data.fit(*plain, tie=0)
    masks = data.masks()
    for own, mask in zip(model.estimators_, masks, strict=True):
        residual = data.y[mask] - (
            own.predict_proba(data.X[mask])[:, 1]
            if hasattr(own, "predict_proba")
            else own.predict(data.X[mask])
        )
        assert_allclose(residual @ data.X[mask], 0, atol=1e-5)
        assert_allclose(residual.sum(), 0, atol=1e-5)


def test_rows_predicted_perfectly_are_a_minimum():
    data = Data(("ridge", "ridge"))
    data.y = data.X @ [1.0, 2.0, 3.0] + 1
    model = data.fit(Ridge(alpha=0.0), Ridge(alpha=0.0), tie=2.0, tol=1e-8)
    assert_allclose(model.coef_, [[1, 2, 3]] * 2, atol=1e-7)


def test_separable_classes_without_decay_have_no_minimum():
    data = Data(("logistic", "logistic"))
    data.y = (data.X[:, 0] > 0).astype(float)
    plain = LogisticRegression(C=np.inf)
    with pytest.warns(ConvergenceWarning, match=r"separable.*Use a finite C"):
        data.fit(plain, plain)


def test_too_few_steps_are_told():
    data = Data(("logistic", "poisson"))
    with pytest.warns(ConvergenceWarning, match=r"TiedPair stopped after 1.*max_iter"):
        data.fit(max_iter=1)


@pytest.mark.parametrize("size", [1e-6, 1e6, 1e12])
def test_counts_of_any_size_are_fitted(size):
    data = Data(("poisson", "ridge"))
    mask = data.masks()[0]
    mean = size * np.exp(data.X[mask] @ [1.0, 0.5, 0.0])
    data.y[mask] = mean * (1 + 0.1 * np.sin(np.arange(mask.sum())))
    model = data.fit(PoissonRegressor(alpha=1e-12), Ridge(), tie=0)
    own = model.estimators_[0]
    residual = data.y[mask] - own.predict(data.X[mask])
    assert_allclose(residual.sum() / data.y[mask].sum(), 0, atol=1e-7)
    assert_allclose(model.intercept_[0], np.log(size), atol=0.1)


def test_a_positive_tie_of_intercepts_holds_a_domain_without_events():
    data = Data(("logistic", "poisson"))
    data.y[data.masks()[1]] = 0
    model = data.fit(tie=1.0, tie_intercept=True)
    assert np.isfinite(model.intercept_).all()

    def objective(theta):
        return data.naive(theta.reshape(2, -1), 1.0, 1.0)

    theta, _ = data.minimum(objective, 8)
    close(members_of(model), theta.reshape(2, -1), atol=1e-4)


def test_it_works_in_pipeline_and_search():
    data = Data(("logistic", "ridge"), n=200)
    X = np.column_stack([data.X, data.domain == "west"])
    model = make_pipeline(
        MinMaxScaler(), TiedPair(LogisticRegression(), Ridge(), pair=-1)
    )
    grid = {"tiedpair__tie": [0, 1, np.inf], "tiedpair__a__C": [0.1, 1.0]}
    folds = StratifiedKFold(4).split(X, data.domain)
    search = GridSearchCV(model, grid, cv=list(folds), error_score="raise")
    search.fit(X, data.y)
    assert search.best_score_ > 0.7
    assert len(set(search.cv_results_["mean_test_score"])) > 3
    best = search.best_estimator_[-1]
    assert search.best_params_["tiedpair__a__C"] == best.estimators_[0].C
    assert np.isfinite(search.predict(X)).all()


def test_copies_behave_like_the_model():
    data = Data(("hinge", "poisson"))
    model = data.fit()
    copied = pickle.loads(pickle.dumps(model))
    assert_array_equal(
        copied.predict(data.X, sample_domain=data.domain),
        model.predict(data.X, sample_domain=data.domain),
    )
    assert not hasattr(clone(model), "coef_")
    nested = clone(model).set_params(a__C=9.0, b__alpha=0.1)
    assert (nested.a.C, nested.b.alpha) == (9.0, 0.1)
    assert model.a.C == 0.3


def test_parameters_set_after_the_fit_do_not_change_predictions():
    data = Data(("logistic", "ridge"))
    model = data.fit()
    before = model.predict(data.X, sample_domain=data.domain)
    model.set_params(a=Ridge(), b=PoissonRegressor(fit_intercept=False))
    assert_array_equal(model.predict(data.X, sample_domain=data.domain), before)


def test_tags_are_those_both_have():
    logistic, ridge, poisson = LogisticRegression(), Ridge(), PoissonRegressor()
    assert is_classifier(TiedPair(logistic, LinearSVC()))
    assert not get_tags(TiedPair(logistic, logistic)).classifier_tags.multi_class
    assert is_regressor(TiedPair(ridge, poisson))
    assert get_tags(TiedPair(ridge, poisson)).target_tags.positive_only
    mixed = TiedPair(logistic, ridge)
    assert get_tags(mixed).estimator_type is None
    assert not is_classifier(mixed)
    assert not is_regressor(mixed)
    assert get_tags(mixed).input_tags.sparse


ERRORS = {
    "a lasso": ({"a": Lasso()}, r"a=Lasso\(\) is not supported; expected one of Log"),
    "a tied one": ({"b": TiedLogisticRegression()}, r"b=Tied.*is not supported"),
    "a search": ({"a": LogisticRegressionCV()}, r"a=LogisticRegressionCV.*supported"),
    "a kink": ({"a": LinearSVC(loss="hinge")}, r"LinearSVC\(loss='hinge'\) is not sup"),
    "l1": (
        {"a": LinearSVC(penalty="l1", dual=False)},
        r"a=LinearSVC\(penalty='l1'\) is not supported",
    ),
    "elastic": (
        {"a": LogisticRegression(l1_ratio=0.5, solver="saga")},
        r"l1_ratio=0.5\) is not supported; expected a squared decay",
    ),
    "bounds": ({"b": Ridge(positive=True)}, r"b=Ridge\(positive=True\) is not"),
    "many decays": ({"b": Ridge(alpha=np.ones(2))}, r"alpha=array.*is not supported"),
    "negative C": ({"a": LogisticRegression(C=-1.0)}, r"'C' parameter of LogisticReg"),
    "one intercept": (
        {"b": Ridge(fit_intercept=False)},
        r"a has fit_intercept=True, b has fit_intercept=False; expected the same",
    ),
    "labels": ({"domains": ["east", "north"]}, r"domains=.*holds \['east', 'west'\]"),
    "one label": ({"domains": ["east"]}, r"domains=\['east'\].*expected these two"),
    "tie": ({"tie": -1.0}, r"'tie' parameter of TiedPair.*Use tie=0"),
    "pair": ({"pair": 0}, r"Both pair=0 and sample_domain say"),
}


@pytest.mark.parametrize("case", ERRORS.values(), ids=ERRORS.keys())
def test_parameters_that_do_not_fit_are_errors(case):
    data = Data(("logistic", "ridge"))
    settings, message = case
    model = TiedPair(*data.estimators()).set_params(**settings)
    with pytest.raises(ValueError, match=message):
        model.fit(data.X, data.y, sample_domain=data.domain)
    assert not hasattr(model, "domains_")


def test_rows_that_do_not_fit_are_errors_and_leave_the_model():
    data = Data(("logistic", "poisson"))
    model = data.fit()
    before = dict(vars(model))

    def refuse(message, X=data.X, y=data.y, domain=data.domain, weight=None):
        with pytest.raises(ValueError, match=message):
            model.fit(X, y, weight, sample_domain=domain)
        assert vars(model) == before

    east, west = data.masks()
    refuse("TiedPair got no domains", domain=None)
    three = data.domain.copy()
    three[:4] = "mid"
    refuse(r"holds 3 domain\(s\).*expected two", domain=three)
    refuse(r"holds 1 domain\(s\)", domain=np.full(len(east), "east"))
    y = data.y.copy()
    y[west] -= 1
    refuse(r"domain west \(PoissonRegressor\) holds .* negative.*Ridge", y=y)
    refuse(r"domain east \(LogisticRegression\): y holds one class", y=y * west)
    y = data.y.copy()
    y[np.flatnonzero(east)[:3]] = 2
    refuse(r"domain east holds 3 classes.*binary", y=y)
    refuse(r"domain west holds no event.*tie=1.0 with tie_int", y=data.y * east)
    refuse(r"domain west have weight zero", weight=east.astype(float))
    refuse(r"y holds labels of dtype.*such as 0 and 1", y=data.y.astype(str))
    with pytest.raises(ValueError, match=r"holds the domains \['mid'\].*Drop"):
        model.predict(data.X, sample_domain=three)
    with pytest.raises(ValueError, match="was fitted with domains, but got none"):
        model.predict(data.X)


class TwicePair(TiedPair):
    """Every row is one of both models in fit, so that no check need pass a domain."""

    def fit(self, X, y, sample_weight=None):
        if y is not None:
            y = np.concatenate([np.asarray(y)] * 2)
        if sample_weight is not None:
            sample_weight = np.concatenate([np.asarray(sample_weight)] * 2)
        X = sp.vstack([X, X]) if sp.issparse(X) else np.concatenate([np.asarray(X)] * 2)
        domain = np.arange(X.shape[0]) // (X.shape[0] // 2)
        return super().fit(X, y, sample_weight, sample_domain=domain)

    def predict(self, X):
        return super().predict(X, sample_domain=self._second(X))

    def score(self, X, y, sample_weight=None):
        return super().score(X, y, sample_weight, sample_domain=self._second(X))

    @staticmethod
    def _second(X):
        shape = X.shape if sp.issparse(X) else np.shape(np.asarray(X))
        return np.ones(shape[0], int) if shape else None


CHECKED = [
    TwicePair(LogisticRegression(), LogisticRegression()),
    TwicePair(LogisticRegression(), LinearSVC(dual=False), tie=np.inf),
    TwicePair(Ridge(), Ridge(alpha=0.1), tie=0.0),
    TwicePair(Ridge(), PoissonRegressor(alpha=1e-4)),
]
# A list of the checks, as pytest 9 warns of the generator of scikit-learn 1.7.
CHECKS = parametrize_with_checks(CHECKED)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_what_scikit_learn_checks(estimator, check):
    check(estimator)


def test_every_parameter_is_validated():
    check_param_validation("TiedPair", TiedPair(Ridge(), Ridge()))


def test_a_scaler_before_the_pair_is_one_for_both():
    data = Data(("hinge", "ridge"))
    X = StandardScaler().fit_transform(data.X)
    model = TiedPair(*data.estimators()).fit(X, data.y, sample_domain=data.domain)
    assert model.tie_gap_ > 0
