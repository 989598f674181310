"""Tests of sktie.linear_model._poisson."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import xlogy
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import PoissonRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_param_validation,
    parametrize_with_checks,
)

from sktie import TiedPoissonRegressor

TIGHT = {"solver": "newton-cholesky", "tol": 1e-11, "max_iter": 1000}


class Data:
    """Counts of three domains in any order; weights and exposures, or none."""

    def __init__(self, n=240, p=3, seed=0, weighted=False, exposed=False, labels="abc"):
        rng = np.random.default_rng(seed)
        self.X = rng.normal(size=(n, p))
        number = rng.integers(len(labels), size=n)
        self.domain = np.array(list(labels))[number]
        self.exposure = rng.uniform(0.2, 5, n) if exposed else None
        coef = np.linspace(0.5, -0.3, p) + 0.2 * rng.normal(size=(len(labels), p))
        raw = np.einsum("ij,ij->i", self.X, coef[number]) + 0.3 * number
        self.y = rng.poisson(np.exp(raw) * self.exposed).astype(float)
        self.weight = rng.integers(0, 4, n).astype(float) if weighted else None

    @property
    def exposed(self):
        return 1.0 if self.exposure is None else self.exposure

    def fit(self, domains=True, **settings):
        model = TiedPoissonRegressor(**{"tol": 1e-14, **settings})
        domain = self.domain if domains else None
        return model.fit(
            self.X,
            self.y,
            self.weight,
            sample_domain=domain,
            sample_exposure=self.exposure,
        )

    def naive(self, members, tie, alpha, tie_intercept=None, shared=False):
        """The documented objective of members (n_domains, p + 1), loop by loop."""
        s = np.ones(len(self.y)) if self.weight is None else self.weight
        e = np.ones(len(self.y)) * self.exposed
        total = 0.0
        for w, label in zip(members, np.unique(self.domain), strict=True):
            own = self.domain == label
            mu = e[own] * np.exp(self.X[own] @ w[:-1] + w[-1])
            y = self.y[own]
            total += s[own] @ (mu - y * np.log(mu) + xlogy(y, y) - y)
        total /= (s * e).sum()
        strength = np.full(members.shape[1], float(tie))
        strength[-1] = tie if tie_intercept is None else tie_intercept
        decayed = members.mean(axis=0)[None] if shared else members
        total += alpha / 2 * np.sum(decayed[:, :-1] ** 2)
        for i in range(len(members)):
            for j in range(i):
                apart = strength @ (members[i] - members[j]) ** 2
                total += 0.5 * 2 / len(members) * apart
        return total


def members_of(model):
    return np.column_stack([model.domain_coef_, model.domain_intercept_])


def close(found, expected, atol=1e-7):
    assert_allclose(found, expected, atol=atol, rtol=1e-6)


options = pytest.mark.parametrize(
    ("weighted", "exposed"),
    [(False, False), (True, False), (False, True), (True, True)],
    ids=["plain", "weighted", "exposed", "both"],
)


@options
@pytest.mark.parametrize("alpha", [0.0, 1e-3, 1.0, 30.0])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_without_a_pair_it_is_that_of_scikit_learn(
    weighted, exposed, alpha, fit_intercept
):
    data = Data(weighted=weighted, exposed=exposed)
    # Rates, with exposures as weights: scikit-learn's way of writing them.
    weight = data.exposed * (np.ones(240) if data.weight is None else data.weight)
    settings = {"alpha": alpha, "fit_intercept": fit_intercept}
    expected = PoissonRegressor(**settings, **TIGHT).fit(
        data.X, data.y / data.exposed, sample_weight=weight
    )
    model = data.fit(domains=False, **settings)
    close(model.coef_, expected.coef_)
    close(model.intercept_, expected.intercept_)
    assert model.coef_.shape == (3,)
    assert isinstance(model.intercept_, float)
    close(model.predict(data.X), expected.predict(data.X))
    counts = model.predict(data.X, sample_exposure=data.exposure)
    close(counts, expected.predict(data.X) * data.exposed)
    score = model.score(data.X, data.y, data.weight, sample_exposure=data.exposure)
    wanted = expected.score(data.X, data.y / data.exposed, sample_weight=weight)
    assert score == pytest.approx(wanted, rel=1e-6)
    again = TiedPoissonRegressor(**settings, tol=1e-14).fit(
        data.X, data.y / data.exposed, weight
    )
    assert_allclose(model.coef_, again.coef_, rtol=1e-9, atol=1e-12)


@options
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_tie_0_is_a_fit_for_each_domain(weighted, exposed, fit_intercept):
    data = Data(weighted=weighted, exposed=exposed)
    model = data.fit(tie=0, alpha=0.1, fit_intercept=fit_intercept)
    s = data.exposed * (np.ones(240) if data.weight is None else data.weight)
    for k, label in enumerate(model.domains_):
        own = data.domain == label
        # The loss of all rows is averaged: a domain's share of it counts.
        alpha = 0.1 * s.sum() / s[own].sum()
        plain = PoissonRegressor(alpha=alpha, fit_intercept=fit_intercept, **TIGHT)
        rates = (data.y / data.exposed)[own]
        plain.fit(data.X[own], rates, sample_weight=s[own])
        close(model.domain_coef_[k], plain.coef_)
        close(model.domain_intercept_[k], plain.intercept_)


@options
@pytest.mark.parametrize("decay", ["each", "shared"])
def test_tie_inf_is_the_pooled_fit(weighted, exposed, decay):
    data = Data(weighted=weighted, exposed=exposed)
    model = data.fit(tie=np.inf, alpha=0.1, decay=decay)
    s = data.exposed * (np.ones(240) if data.weight is None else data.weight)
    plain = PoissonRegressor(alpha=0.1 * (3 if decay == "each" else 1), **TIGHT)
    plain.fit(data.X, data.y / data.exposed, sample_weight=s)
    close(model.coef_, plain.coef_)
    close(model.intercept_, plain.intercept_)
    assert model.tie_gap_ == 0
    assert model.n_stored_parameters_ == 4
    assert_array_equal(model.domain_coef_, [model.coef_] * 3)


@options
@pytest.mark.parametrize("decay", ["each", "shared"])
@pytest.mark.parametrize(
    ("tie", "tie_intercept"), [(0.3, True), (2.0, False), (0.1, 5.0)]
)
def test_between_it_is_the_joint_minimum(weighted, exposed, decay, tie, tie_intercept):
    data = Data(n=90, p=2, weighted=weighted, exposed=exposed)
    model = data.fit(tie=tie, alpha=0.1, tie_intercept=tie_intercept, decay=decay)
    own = tie if tie_intercept is True else float(tie_intercept)

    def objective(theta):
        return data.naive(theta.reshape(3, -1), tie, 0.1, own, decay == "shared")

    found = minimize(objective, np.zeros(9), method="BFGS", options={"gtol": 1e-9})
    close(members_of(model), found.x.reshape(3, -1), atol=1e-5)
    assert model.objective_ == pytest.approx(found.fun, rel=1e-10)
    assert model.objective_ == pytest.approx(objective(members_of(model).ravel()))


@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("tie", [0.0, 0.3, np.inf])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_solvers_agree(tie, solver, container):
    data = Data()
    data.X[np.abs(data.X) < 0.4] = 0
    expected = data.fit(tie=tie, alpha=0.01)
    data.X = container(data.X)
    found = data.fit(tie=tie, alpha=0.01, solver=solver, tol=1e-12)
    close(members_of(found), members_of(expected), atol=1e-5)


def test_the_gap_shrinks_like_one_over_the_tie():
    gaps = [Data().fit(tie=tie).tie_gap_ for tie in (1e2, 1e3, 1e4)]
    assert_allclose(np.divide(gaps[:-1], gaps[1:]), 10, rtol=0.05)
    close(Data().fit(tie=1e10).coef_, Data().fit(tie=np.inf).coef_)


def test_many_rows_start_from_a_sample():
    data = Data(n=60_000, seed=1)
    data.y[data.X[:, 0] < 1.5] = 0  # few events
    model = data.fit(domains=False, alpha=1e-3, tol=1e-10)
    plain = PoissonRegressor(alpha=1e-3, **TIGHT).fit(data.X, data.y)
    close(model.coef_, plain.coef_, atol=1e-5)


@pytest.mark.parametrize("domains", [False, True])
def test_weights_are_copies_of_rows(domains):
    data = Data(weighted=True, exposed=True)
    weighted = data.fit(domains=domains)
    again = np.repeat(np.arange(240), data.weight.astype(int))[::-1]
    for name in ("X", "y", "domain", "exposure"):
        setattr(data, name, getattr(data, name)[again])
    data.weight = None
    copied = data.fit(domains=domains)
    close(copied.coef_, weighted.coef_)
    assert copied.objective_ == pytest.approx(weighted.objective_)


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_the_unit_of_the_exposure_is_that_of_the_rate(factor):
    data = Data(exposed=True)
    before = data.fit(alpha=0.0, tie_intercept=False, tie=0.0)
    data.exposure = factor * data.exposure
    after = data.fit(alpha=0.0, tie_intercept=False, tie=0.0)
    close(after.domain_coef_, before.domain_coef_)
    shift = after.domain_intercept_ - before.domain_intercept_
    assert_allclose(shift, -np.log(factor), rtol=1e-6)


@pytest.mark.parametrize("size", [1e-8, 1e6, 1e12, 1e15])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_counts_of_any_size_are_fitted(size, fit_intercept):
    data = Data(n=400)
    X = np.column_stack([data.X, np.ones(400)])
    data.X = data.X if fit_intercept else X
    mean = size * np.exp(X[:, :3] @ [1.0, -0.5, 0.2])
    data.y = mean * (1 + 0.2 * np.sin(np.arange(400)))
    model = data.fit(alpha=0.0, fit_intercept=fit_intercept, domains=False)
    # Stationary: no other oracle keeps so many digits.
    residual = (data.y - model.predict(data.X)) / data.y.mean()
    assert_allclose(residual @ X / 400, 0, atol=1e-8)


def test_a_start_far_off_is_no_trap():
    rng = np.random.default_rng(0)
    X = 30 * rng.normal(size=(200, 2))
    y = np.round(np.exp(np.clip(0.2 * X[:, 0], -20, 20)))
    model = TiedPoissonRegressor(alpha=0.0, fit_intercept=False).fit(X, y)
    residual = y - model.predict(X)
    assert_allclose(residual @ X / y.sum(), 0, atol=1e-5)


def test_float32_stays_float32():
    data = Data()
    expected = data.fit(tie=0.3, alpha=0.1)
    data.X = data.X.astype(np.float32)
    found = data.fit(tie=0.3, alpha=0.1, tol=1e-6)
    assert found.coef_.dtype == np.float32
    assert found.predict(data.X, sample_domain=data.domain).dtype == np.float32
    close(found.domain_coef_, expected.domain_coef_, atol=1e-3)


def test_a_fixed_pair_is_an_anchor():
    data = Data()
    anchor = PoissonRegressor(alpha=0.1).fit(data.X[:80], data.y[:80])
    pair = (anchor.coef_, anchor.intercept_)
    model = data.fit(domains=False, pair=FrozenEstimator(anchor), tie=0.7, alpha=0.2)
    arrays = data.fit(domains=False, pair=pair, tie=0.7, alpha=0.2)
    assert_array_equal(model.coef_, arrays.coef_)

    def objective(theta):
        mu = np.exp(data.X @ theta[:-1] + theta[-1])
        value = np.mean(mu - xlogy(data.y, mu)) + 0.1 * theta[:-1] @ theta[:-1]
        return value + 0.35 * np.sum((theta - np.r_[pair]) ** 2)

    found = minimize(objective, np.zeros(4), method="BFGS", options={"gtol": 1e-9})
    close(np.r_[model.coef_, model.intercept_], found.x, atol=1e-6)
    hard = data.fit(domains=False, pair=pair, tie=np.inf)
    assert_array_equal(hard.coef_, anchor.coef_)


@pytest.mark.parametrize("far", [20.0, 300.0, 1e5])
@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs", "newton-cg"])
def test_an_anchor_far_off_is_no_trap(far, solver):
    data = Data()
    settings = {"domains": False, "tie": 1e-20, "alpha": 1e-3, "solver": solver}
    found = data.fit(pair=([far, -far, 0.0], far), tol=1e-12, **settings)
    close(found.coef_, data.fit(domains=False, alpha=1e-3).coef_, atol=1e-4)


def test_domains_are_predicted_by_their_own_and_others_by_the_centre():
    data = Data(exposed=True)
    model = data.fit(tie=0.1, alpha=0.01, handle_unknown="shared")
    predicted = model.predict(
        data.X, sample_domain=data.domain, sample_exposure=data.exposure
    )
    for label in "abc":
        own = data.domain == label
        plain = model.domain_estimator(label)
        assert type(plain) is PoissonRegressor
        expected = plain.predict(data.X[own]) * data.exposure[own]
        assert_allclose(predicted[own], expected, rtol=1e-12)
    unseen = model.predict(data.X[:5], sample_domain=np.repeat("z", 5))
    expected = np.exp(data.X[:5] @ model.coef_ + model.intercept_)
    assert_allclose(unseen, expected, rtol=1e-12)
    score = model.score(
        data.X, data.y, sample_domain=data.domain, sample_exposure=data.exposure
    )
    assert 0 < score < 1


def test_scores_have_their_limits():
    data = Data()
    model = data.fit(domains=False)
    with pytest.raises(ValueError, match=r"y has 3 rows, but X has 240"):
        model.score(data.X, data.y[:3])
    with pytest.raises(ValueError, match=r"y holds 1 negative numbers, such as -2"):
        model.score(data.X, np.where(np.arange(240) == 5, -2, data.y))
    assert model.score(data.X, np.ones(240)) == 0.0


def test_a_column_may_name_the_domains():
    data = Data()
    expected = data.fit(tie=0.2)
    X = np.column_stack([data.X, [ord(label) for label in data.domain]])
    model = TiedPoissonRegressor(-1, tie=0.2, tol=1e-14).fit(X, data.y)
    close(model.domain_coef_, expected.domain_coef_)
    assert model.n_features_in_ == 4


def test_a_warm_start_is_a_start_near_the_end():
    data = Data()
    model = data.fit(warm_start=True, tie=0.2, tol=1e-8)
    cold = model.n_iter_
    model.fit(data.X, data.y, sample_domain=data.domain)
    assert model.n_iter_ < cold


@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs"])
@pytest.mark.parametrize("tie", [0.0, 0.1, np.inf])
def test_fits_begin_at_the_mean_count_along_graphs_too(tie, solver):
    data = Data()
    data.y = np.random.default_rng(0).poisson(np.exp(4 + 0.1 * data.X[:, 0])) + 0.0
    settings = {"tie": tie, "solver": solver, "tol": 1e-6}
    plain = data.fit(**settings)
    graph = {("a", "b"): 2 / 3, ("b", "c"): 2 / 3, ("a", "c"): 2 / 3}
    model = data.fit(graph=graph, **settings)
    close(model.domain_coef_, plain.domain_coef_, atol=1e-2)
    assert model.n_iter_ <= plain.n_iter_ + 1


def test_it_works_in_pipeline_and_search():
    data = Data(n=300)
    X = np.column_stack([data.X, data.domain == "a"])
    model = TiedPoissonRegressor(pair=-1)
    grid = {"tie": [0, 0.1, np.inf], "alpha": [0.01, 1.0]}
    search = GridSearchCV(model, grid, cv=4, error_score="raise").fit(X, data.y)
    assert search.best_score_ > 0
    assert len(set(search.cv_results_["mean_test_score"])) > 3
    plain = make_pipeline(StandardScaler(), TiedPoissonRegressor())
    assert plain.fit(data.X, data.y).score(data.X, data.y) > 0


def test_copies_behave_like_the_model():
    data = Data()
    model = data.fit()
    copied = pickle.loads(pickle.dumps(model))
    assert_array_equal(
        copied.predict(data.X, sample_domain=data.domain),
        model.predict(data.X, sample_domain=data.domain),
    )
    assert not hasattr(clone(model), "coef_")


def test_rows_that_do_not_fit_are_errors_and_leave_the_model():
    data = Data()
    model = data.fit()
    before = dict(vars(model))

    def refuse(message, y=data.y, weight=None, **settings):
        own = {"sample_domain": data.domain, **settings}
        with pytest.raises(ValueError, match=message):
            model.fit(data.X, y, weight, **own)
        assert vars(model) == before

    refuse(r"y holds 240 negative numbers, such as", y=-1 - data.y)
    refuse(r"y holds no events: every count", y=np.zeros(240))
    refuse(r"y holds no events", weight=(data.y == 0).astype(float))
    for shape in (np.ones(3), np.ones((240, 1)), np.repeat("x", 240)):
        refuse(r"sample_exposure has dtype.*X has 240 rows", sample_exposure=shape)
    for bad in (0.0, -1.0, np.nan, np.inf):
        exposure = np.where(np.arange(240) == 7, bad, 1.0)
        refuse(rf"sample_exposure holds {bad}; expected pos", sample_exposure=exposure)
    refuse(r"domains \['b'\] have weight zero", weight=1.0 * (data.domain != "b"))
    with pytest.raises(ValueError, match=r"'alpha' parameter.*Use a number from 0"):
        TiedPoissonRegressor(alpha=-1).fit(data.X, data.y)
    with pytest.raises(ValueError, match=r"'tie' parameter.*one shared model"):
        TiedPoissonRegressor(tie="auto").fit(data.X, data.y)


def test_exposures_may_be_python_numbers():
    data = Data(exposed=True)
    expected = data.fit()
    data.exposure = np.array(data.exposure.tolist(), dtype=object)
    assert_array_equal(data.fit().coef_, expected.coef_)


def test_a_domain_without_events_needs_a_tie():
    data = Data()
    data.y[data.domain == "b"] = 0
    for settings in ({"tie": 0.0}, {"tie_intercept": False}, {"tie_intercept": 0.0}):
        with pytest.raises(ValueError, match=r"but \['b'\] hold no events.*positive t"):
            data.fit(**settings)
    for settings in ({"tie": 1e-3}, {"tie": 0.0, "tie_intercept": 1e-3}):
        model = data.fit(alpha=0.1, **settings)
        assert np.isfinite(model.domain_intercept_).all()
        assert model.domain_intercept_.argmin() == 1
    assert np.isfinite(data.fit(tie=0.0, alpha=0.1, fit_intercept=False).coef_).all()
    pooled = data.fit(tie=np.inf, alpha=0.1)
    plain = PoissonRegressor(alpha=0.3, **TIGHT).fit(data.X, data.y)
    close(pooled.coef_, plain.coef_)


def test_rows_predicted_perfectly_are_a_minimum():
    data = Data()
    data.y = np.exp(data.X @ [0.5, 0.2, -0.1] + 1)
    model = data.fit(alpha=0.0, tie=1.0)
    assert_allclose(model.domain_coef_, [[0.5, 0.2, -0.1]] * 3, atol=1e-6)


def test_too_few_steps_are_told():
    with pytest.warns(ConvergenceWarning, match=r"Increase max_iter.*try alpha=1e-6"):
        Data().fit(alpha=0.0, tie=0.1, max_iter=1)


@pytest.mark.parametrize("radius", [0.0, 0.2, 1e3])
def test_a_distance_is_kept_by_the_tie_that_is_its_multiplier(radius):
    data = Data()
    model = data.fit(max_distance=radius, alpha=0.01)
    same = data.fit(tie=model.tie_, alpha=0.01)
    assert_allclose(model.domain_coef_, same.domain_coef_, atol=1e-6)
    members = np.c_[model.domain_coef_, model.domain_intercept_]
    omega = 2 * np.square(members - members.mean(axis=0)).sum()
    if radius == 1e3:
        assert model.tie_ == 0
    elif radius == 0:
        assert model.tie_ == np.inf
    assert np.sqrt(omega) <= radius * (1 + 1e-6)
    if radius == 0.2:
        assert_allclose(np.sqrt(omega), radius, rtol=1e-5)


def test_a_pair_meets_shared_features_and_ties():
    data = Data(labels="a")
    pair = (np.array([1.0, -1.0, 0.5]), 0.3)
    settings = {"pair": pair, "tie": 0.5, "alpha": 0.1, "feature_shares": [[0, 2]]}
    model = data.fit(domains=False, **settings)
    assert model.coef_[0] == model.coef_[2]
    assert model.stored_coef_.shape == (2,)
    assert_allclose(model.expand(model.stored_coef_), model.coef_)

    def objective(theta):
        w = theta[[0, 1, 0]]
        raw = data.X @ w + theta[2]
        loss = np.mean(np.exp(raw) - data.y * raw)
        away = np.square(w - pair[0]).sum() + (theta[2] - pair[1]) ** 2
        return loss + 0.05 * w @ w + 0.25 * away

    found = minimize(objective, np.zeros(3), options={"gtol": 1e-8}).x
    assert_allclose(model.coef_, found[[0, 1, 0]], atol=1e-5)
    tied = data.fit(
        domains=False,
        pair=pair,
        tie={0: np.inf, None: 0.1},
        tie_intercept=False,
        feature_ties=[[1, 2]],
        feature_tie=np.inf,
    )
    assert tied.coef_[0] == 1.0
    assert tied.coef_[1] == tied.coef_[2]


def test_a_part_of_the_graph_without_events_is_an_error():
    data = Data()
    data.y[data.domain == "c"] = 0
    graph = {("a", "b"): 1.0, ("c", "d"): 1.0}
    with pytest.raises(ValueError, match=r"graph= of 2 components.*\['c'\]"):
        data.fit(graph=graph)
    assert np.isfinite(data.fit(graph=graph | {("b", "c"): 1.0}).coef_).all()


class SignDomains(TiedPoissonRegressor):
    """The sign of the first number tells the domain, so that no check need pass it."""

    @staticmethod
    def _domain(X):
        # What has no first column of numbers is for the checks of X to refuse.
        try:
            first = X.tocsr()[:, [0]].toarray() if sp.issparse(X) else np.asarray(X)
            first = first.reshape(len(first), -1)
            return np.where(first[:, 0].real.astype(np.float64) > 0, "plus", "minus")
        except (IndexError, TypeError, ValueError):
            return None

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight, sample_domain=self._domain(X))

    def predict(self, X):
        return super().predict(X, sample_domain=self._domain(X))

    def score(self, X, y, sample_weight=None):
        return super().score(X, y, sample_weight, sample_domain=self._domain(X))


CHECKED = [
    TiedPoissonRegressor(),
    # The checks compare predictions to 1e-7, where tol bounds the objective. They
    # need an intercept, too: without one PoissonRegressor fails them in the same way.
    TiedPoissonRegressor(solver="lbfgs", tol=1e-20),
    TiedPoissonRegressor(solver="newton-cg", tol=1e-20),
    SignDomains(handle_unknown="shared"),
    SignDomains(handle_unknown="shared", tie=np.inf, decay="shared", warm_start=True),
    SignDomains(handle_unknown="shared", tie=0.01, tie_intercept=0.5),
]
# A list of the checks, as pytest 9 warns of the generator of scikit-learn 1.7.
CHECKS = parametrize_with_checks(CHECKED)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_what_scikit_learn_checks(estimator, check):
    check(estimator)


def test_every_parameter_is_validated():
    check_param_validation("TiedPoissonRegressor", TiedPoissonRegressor())
