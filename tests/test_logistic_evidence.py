"""tie="auto" and C="auto": against evidence that knows neither Laplace nor blocks."""

from functools import cache

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from scipy.integrate import trapezoid
from scipy.linalg import helmert
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from sktie import KMeansPrior, TiedLogisticRegression
from sktie._parallel import Workers
from sktie.linear_model import _evidence
from sktie.linear_model._evidence import INTERCEPT_WIDTH, Evidence
from sktie.linear_model._path import Path
from tests.oracles import make_instance, plain_gradient, plain_objective

LOG_2PI = np.log(2 * np.pi)


def family(n_domains, n_rows, n_features, spread, seed=0, size=1.0):
    """Domains whose coefficients differ by ``spread``, a standard deviation."""
    rng = np.random.default_rng(seed)
    coef = size * rng.normal(size=n_features)
    coef = coef + spread * rng.normal(size=(n_domains, n_features))
    domain = np.repeat(np.arange(n_domains), n_rows)
    X = rng.normal(size=(domain.size, n_features))
    y = np.sum(X * coef[domain], axis=1) + rng.logistic(size=domain.size) > 0
    return X, y.astype(int), domain


def fit(data, pair=None, **parameters):
    X, y, *domain = data
    model = TiedLogisticRegression(pair, **parameters)
    return model.fit(X, y, sample_domain=domain[0] if domain else None)


def evidence(model, data):
    """The function of tie and C that a model maximises."""
    X, y, *domain = data
    model = clone(model)
    rows = model._read(X, y, None, domain[0] if domain else None, None)
    return Evidence(Path(model, rows, Workers()))


# ---- one coefficient, integrated ---------------------------------------------------


def log_likelihood(X, y, slopes, intercepts):
    """Of one domain, on a grid of slopes and intercepts."""
    raw = slopes[:, None, None] * X[:, 0] + intercepts[:, None]
    return -np.logaddexp(0, np.where(y == 1, -raw, raw)).sum(axis=-1)


def log_normal(x, precision):
    return 0.5 * (np.log(precision) - LOG_2PI - precision * x**2)


class Integrated:
    """Log evidence of a slope and an intercept in two domains, by trapezoids.

    The common intercept is flat: sqrt(2) times the mean of both has density 1.
    """

    def __init__(self, data, n_intercepts):
        X, y, domain = data
        self.w = np.linspace(-3, 5, 301)
        self.b = np.linspace(-1.2, 1.2, n_intercepts) if n_intercepts > 1 else [0.0]
        parts = [
            log_likelihood(X[domain == t], y[domain == t], self.w, np.asarray(self.b))
            for t in (0, 1)
        ]
        self.top = sum(part.max() for part in parts)
        self.parts = [np.exp(part - part.max()) for part in parts]

    def __call__(self, tie, C, tie_b=None):
        slopes = weighed(
            self.w,
            lambda mean, apart: (
                # The mean times sqrt(2) and the difference over it are orthonormal.
                log_normal(np.sqrt(2) * mean, 1 / C)
                + log_normal(apart / np.sqrt(2), 1 / C + 2 * tie)
            ),
            np.isinf(tie),
            lambda w: log_normal(w, 2 / C),
        )
        tie_b = tie if tie_b is None else tie_b
        # |b - mean|^2 is half of the squared difference, of which this is a density.
        precision = (2 * tie_b + INTERCEPT_WIDTH**-2) / 2
        offsets = weighed(
            self.b,
            lambda mean, apart: log_normal(apart, precision) + np.log(2) / 2,
            np.isinf(tie_b),
            lambda b: np.full_like(b, np.log(2) / 2),
        )
        total = np.sum((slopes @ self.parts[1]) * (self.parts[0] @ offsets))
        return np.log(total) + self.top


def weighed(grid, log_density, equal, log_density_of_one):
    """Weights of two coordinates, each on a grid, that make an integral a sum."""
    grid = np.asarray(grid)
    if grid.size == 1:
        return np.ones((1, 1))
    steps = trapezoid(np.eye(grid.size), grid)
    if equal:
        return np.diag(steps * np.exp(log_density_of_one(grid)))
    one, other = grid[:, None], grid
    density = np.exp(log_density((one + other) / 2, one - other))
    return steps[:, None] * steps * density


@cache
def integrated(n_intercepts):
    return Integrated(SLOPE, n_intercepts)


SLOPE = family(2, 300, 1, 0.4, seed=3)


@pytest.mark.parametrize("tie", [0.0, 0.1, 3.0, 50.0, np.inf])
@pytest.mark.parametrize("C", [0.2, 5.0])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_two_domains_integrated(tie, C, fit_intercept):
    exact = integrated(121 if fit_intercept else 1)(tie, C)
    found = evidence(TiedLogisticRegression(fit_intercept=fit_intercept), SLOPE)
    assert found(tie, C) + fit_intercept * LOG_2PI / 2 == pytest.approx(
        exact, abs=0.015
    )


@pytest.mark.parametrize("tie", [0.0, 2.0])
@pytest.mark.parametrize(("tie_intercept", "tie_b"), [(False, 0.0), (0.3, 0.3)])
def test_an_intercept_of_its_own_integrated(tie, tie_intercept, tie_b):
    exact = integrated(121)(tie, 1.0, tie_b)
    found = evidence(TiedLogisticRegression(tie_intercept=tie_intercept), SLOPE)
    assert found(tie, 1.0) + LOG_2PI / 2 == pytest.approx(exact, abs=0.015)


def test_the_maximum_is_that_of_the_integral():
    exact = integrated(1)
    best = minimize(
        lambda logs: -exact(*np.exp(logs)), np.zeros(2), method="Nelder-Mead"
    )
    model = fit(SLOPE, tie="auto", C="auto", fit_intercept=False)
    assert_allclose([model.tie_, model.C_], np.exp(best.x), rtol=0.05)
    assert model.log_evidence_ == pytest.approx(-best.fun, abs=0.015)
    alone = minimize(
        lambda logs: -exact(np.exp(logs[0]), 5.0), np.zeros(1), method="Nelder-Mead"
    )
    model = fit(SLOPE, tie="auto", C=5.0, fit_intercept=False)
    assert_allclose(model.tie_, np.exp(alone.x[0]), rtol=0.05)
    alone = minimize(
        lambda logs: -exact(2.0, np.exp(logs[0])), np.zeros(1), method="Nelder-Mead"
    )
    model = fit(SLOPE, tie=2.0, C="auto", fit_intercept=False)
    assert_allclose(model.C_, np.exp(alone.x[0]), rtol=0.05)


ANCHOR = (np.array([[1.4]]), np.array([0.3]))


ONE = family(1, 300, 1, 0.0, seed=4)[:2]
W, B = np.linspace(-1, 4, 201), np.linspace(-1, 1, 81)


@cache
def of_one():
    return log_likelihood(*ONE, W, B)


def integrated_one(log_slope, log_offset):
    """Log evidence of one slope and one intercept with these densities."""
    log = of_one()
    values = np.exp(log - log.max() + log_slope[:, None] + log_offset)
    return np.log(trapezoid(trapezoid(values, B), W)) + log.max()


def integrated_pair(tie, C):
    """Log evidence of one slope and one intercept, tied to fixed ones."""
    w_a, b_a = ANCHOR[0][0], ANCHOR[1]
    if np.isinf(tie):
        return log_likelihood(*ONE, w_a, b_a)[0, 0]
    decay = 1 / C
    slope = log_normal(W - w_a * tie / (tie + decay), tie + decay)
    return integrated_one(slope, log_normal(B - b_a, tie + INTERCEPT_WIDTH**-2))


@pytest.mark.parametrize("tie", [0.0, 0.1, 3.0, 50.0, np.inf])
@pytest.mark.parametrize("C", [0.2, 5.0, np.inf])
def test_a_fixed_pair_integrated(tie, C):
    found = evidence(TiedLogisticRegression(ANCHOR), ONE)(tie, C)
    if tie == 0 and np.isinf(C):
        assert found == -np.inf
    else:
        assert found == pytest.approx(integrated_pair(tie, C), abs=0.015)


def test_a_good_pair_is_kept_and_a_bad_one_left():
    data = family(1, 400, 4, 0.0, seed=1)[:2]
    true = np.random.default_rng(1).normal(size=4)
    assert fit(data, (true, 0.0), tie="auto").tie_ > 30
    assert fit(data, (-3 * true, 0.0), tie="auto", C=1.0).tie_ < 0.1
    # The anchor does not move with the evidence of C.
    model = fit(data, (true, 0.0), tie="auto", C="auto")
    assert model.tie_ > 30


@pytest.mark.parametrize("tie", [1.0, "auto"])
def test_the_decay_of_one_model_integrated(tie):
    def loss(logs):
        return -integrated_one(log_normal(W, np.exp(-logs[0])), np.zeros_like(B))

    best = minimize(loss, np.zeros(1), method="Nelder-Mead")
    model = fit(ONE, tie=tie, C="auto")
    assert_allclose(model.C_, np.exp(best.x[0]), rtol=0.05)
    assert model.log_evidence_ + LOG_2PI / 2 == pytest.approx(-best.fun, abs=0.015)


# ---- many coefficients, by finite differences of the objective ----------------------


class Differences:
    """Laplace evidence from the objective as it reads, over one flat vector.

    Members are vectors of orthonormal contrasts of the classes, and of the domains.
    """

    def __init__(self, case, tie_b):
        self.case, self.tie_b = case, tie_b
        self.T, self.K = case.n_domains, case.n_classes
        self.p = case.n_features + 1
        self.q = self.K - 1
        columns = [np.ones((self.T, 1)) / self.T**0.5]
        self.contrasts = np.column_stack([*columns, helmert(self.T).T])

    def parameters(self, z):
        z = z.reshape(self.T, self.q, self.p)
        members = np.tensordot(self.contrasts, z, axes=1)
        if self.K > 2:
            members = np.einsum("kj,tji->tki", helmert(self.K).T, members)
        return members[..., :-1], members[..., -1]

    def objective(self, z):
        case = self.case.but(tie_intercept=self.tie_b)
        return plain_objective(case, *self.parameters(z))

    def gradient(self, z):
        case = self.case.but(tie_intercept=self.tie_b)
        coef, intercept = plain_gradient(case, *self.parameters(z))
        members = np.concatenate([coef, intercept[..., np.newaxis]], axis=-1)
        if self.K > 2:
            members = np.einsum("jk,tki->tji", helmert(self.K), members)
        return np.tensordot(self.contrasts.T, members, axes=1).ravel()

    def hessian(self, z, h=1e-3):
        eye = h * np.eye(z.size)
        far = [self.gradient(z + 2 * e) - self.gradient(z - 2 * e) for e in eye]
        near = [self.gradient(z + e) - self.gradient(z - e) for e in eye]
        found = (8 * np.array(near) - np.array(far)) / (12 * h)
        return 0.5 * (found + found.T)

    def prior(self):
        """Diagonal of its precision, in the coordinates of z; 0 where flat."""
        case, precision = self.case, np.zeros((self.T, self.q, self.p))
        precision[1:, :, :-1] = 2 * case.tie
        precision[1:, :, -1] = 2 * self.tie_b
        if case.decay == "each":
            precision[:, :, :-1] += 1 / case.C
        else:  # 1/2 |mean|^2 / C; the mean is z[0] / sqrt(T).
            precision[0, :, :-1] = 1 / case.C / self.T
        return precision.ravel()

    def evidence(self):
        z = np.zeros(self.T * self.q * self.p)
        for _ in range(12):
            hessian = self.hessian(z)
            step = np.linalg.solve(hessian, self.gradient(z))
            z = z - step
            if np.abs(step).max() < 1e-7:
                break
        prior = self.prior()
        value = np.log(prior[prior > 0]).sum() - np.linalg.slogdet(self.hessian(z))[1]
        return 0.5 * value - self.objective(z)


@pytest.mark.parametrize("decay", ["each", "shared"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_log_determinants_by_finite_differences(decay, n_classes):
    case = make_instance(
        (15, 25, 40), n_classes, n_features=2, weights=True, decay=decay, C=0.7
    )
    model = TiedLogisticRegression(decay=decay, tie_intercept=0.2)
    rows = model._read(case.X, case.y, case.weight, case.domain, None)
    found = Evidence(Path(model, rows, Workers()))
    tie_b = 0.2 + 1 / (2 * INTERCEPT_WIDTH**2)
    for tie in (0.05, 4.0):
        exact = Differences(case.but(tie=tie), tie_b).evidence()
        assert found(tie, case.C) == pytest.approx(exact, rel=1e-6)


def test_the_evidence_is_continuous_up_to_both_ends():
    data = family(3, 60, 2, 0.3)
    found = evidence(TiedLogisticRegression(), data)
    assert found(0.0, 1.0) == pytest.approx(found(1e-9, 1.0), abs=1e-5)
    assert found(np.inf, 1.0) == pytest.approx(found(1e10, 1.0), abs=1e-5)
    found = evidence(TiedLogisticRegression((np.ones(2), 0.3)), data[:2])
    assert found(0.0, 1.0) == pytest.approx(found(1e-9, 1.0), abs=1e-5)
    assert found(np.inf, 1.0) == pytest.approx(found(1e10, 1.0), abs=1e-5)


# ---- both ends of the dial ---------------------------------------------------------


def same():
    """The same rows in every domain."""
    X, y, _ = family(1, 100, 3, 0.0)
    return np.tile(X, (4, 1)), np.tile(y, 4), np.repeat(np.arange(4), 100)


def opposite():
    """Where one domain says yes, the other says no."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 3))
    y = X @ [2.0, -1.0, 3.0] + 2.0 + rng.logistic(size=150) > 0
    return np.tile(X, (2, 1)), np.r_[y, ~y].astype(int), np.repeat([0, 1], 150)


@pytest.mark.parametrize("C", [1.0, 5.0, "auto"])
@pytest.mark.parametrize("tie_intercept", [True, False])
def test_ends_of_the_dial_are_chosen(C, tie_intercept):
    settings = {"tie": "auto", "C": C, "tie_intercept": tie_intercept}
    assert fit(same(), **settings).tie_ == np.inf
    assert fit(opposite(), **settings).tie_ == 0.0
    between = fit(family(8, 150, 3, 0.6), **settings).tie_
    assert 0.2 < between < 20.0


def test_an_end_wins_where_values_are_equal():
    # Labels that say nothing about a single number: no tie changes the evidence.
    X, domain = np.zeros((40, 1)), np.arange(40) % 2
    y = np.arange(40) // 2 % 2
    assert fit((X, y, domain), tie="auto", tie_intercept=0.1).tie_ == np.inf


def test_settings_that_cannot_be_fitted_are_skipped():
    X, y, domain = family(3, 40, 2, 2.0)
    y[domain == 0] = 1
    model = fit((X, y, domain), tie="auto", C="auto")
    assert 0 < model.tie_ < np.inf
    # Without decay a domain alone has no prior, and without a tie neither.
    for parameters in ({"C": np.inf}, {"decay": "shared"}):
        data = opposite()
        model = fit(data, tie="auto", **parameters)
        assert 0 < model.tie_ < 0.1


def test_nothing_to_be_tied_to_is_one_model():
    X, y, _ = family(1, 80, 3, 0.0)
    for data in ((X, y), (X, y, np.zeros(80, int))):
        model = fit(data, tie="auto")
        assert model.tie_ == np.inf
        expected = LogisticRegression(tol=1e-10).fit(X, y)
        assert_allclose(model.coef_, expected.coef_, rtol=1e-4)
    assert fit((X, y, np.zeros(80, int)), tie="auto", C=np.inf).tie_ == np.inf
    one = fit((X, y, np.zeros(80, int)), tie=0.0, C="auto").C_
    assert one == fit((X, y), tie=0.0, C="auto").C_


# ---- what the fit makes of it -------------------------------------------------------


@pytest.mark.parametrize(
    "parameters", [{"tie": "auto", "C": 1.2345}, {"C": "auto", "tie": 0.12345}]
)
@pytest.mark.parametrize("tie_intercept", [True, False, 0.4])
def test_the_model_is_that_of_the_chosen_strengths(parameters, tie_intercept):
    data = family(4, 60, 2, 0.5)
    model = fit(data, tie_intercept=tie_intercept, **parameters)
    assert {name: getattr(model, name) for name in parameters} == parameters
    given = [name for name, value in parameters.items() if value != "auto"]
    assert getattr(model, given[0] + "_") == parameters[given[0]]
    again = fit(data, tie_intercept=tie_intercept, tie=model.tie_, C=model.C_)
    np.testing.assert_array_equal(model.domain_coef_, again.domain_coef_)
    np.testing.assert_array_equal(model.domain_intercept_, again.domain_intercept_)
    assert (again.tie_, again.C_) == (model.tie_, model.C_)
    assert not hasattr(again, "log_evidence_")
    assert model.domain_estimator(2).C == model.C_
    model.set_params(tie=2, C=3).fit(data[0], data[1], sample_domain=data[2])
    assert (model.tie_, model.C_) == (2.0, 3.0)
    assert not hasattr(model, "log_evidence_")


def test_no_neighbour_has_more_evidence():
    data = family(6, 80, 3, 0.5)
    model = fit(data, tie="auto", C="auto")
    found = evidence(TiedLogisticRegression(), data)
    best = found(model.tie_, model.C_)
    assert best == pytest.approx(model.log_evidence_, rel=1e-9)
    for tie in model.tie_ * np.array([0.8, 1.0, 1.25]):
        for C in model.C_ * np.array([0.8, 1.0, 1.25]):
            assert found(tie, C) <= best + 1e-4
    for tie in (0.0, 0.01, 1e3, np.inf):
        assert found(tie, model.C_) < best - 1


@pytest.mark.parametrize(
    "data",
    [
        # At the C of the grid the shared model is best, at a better C it is not.
        family(3, 40, 2, 0.35, seed=35),
        # The best point of the grid is more than a decade away.
        family(4, 30, 3, 0.2, seed=22),
    ],
    ids=["late", "far"],
)
def test_a_maximum_off_the_grid_is_found(data):
    model = fit(data, tie="auto", C="auto")
    found = evidence(TiedLogisticRegression(), data)
    assert 1 < model.tie_ < np.inf
    for tie in model.tie_ * np.array([0.8, 1.25]):
        assert found(tie, model.C_) <= model.log_evidence_ + 1e-4


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_choice_does_not_depend_on_how_data_are_written(n_classes):
    case = make_instance((30, 50, 40), n_classes, n_features=3)
    X, y, domain = case.X, case.y, case.domain
    settings = {"tie": "auto", "C": "auto"}
    model = fit((X, y, domain), **settings)
    assert 0 < model.tie_ < np.inf
    order = np.random.default_rng(0).permutation(len(y))
    others = [
        fit((X, y, np.array(["z", "a", "m"])[domain]), **settings),
        fit((X[order], y[order], domain[order]), **settings),
        fit((X, np.array(["c", "b", "a"])[y], domain), **settings),
        fit((sp.csr_matrix(X), y, domain), **settings),
        fit((np.column_stack([X, domain]), y), -1, **settings),
        fit((X, y, domain), **settings, n_jobs=2),
        fit((X, y, domain), **settings, solver="newton-cg", tol=1e-14),
    ]
    for other in others:
        assert (other.tie_, other.C_) == (model.tie_, model.C_)
        assert other.log_evidence_ == pytest.approx(model.log_evidence_, rel=1e-9)
    doubled = fit((np.vstack([X, X]), np.r_[y, y], np.r_[domain, domain]), **settings)
    weighted = TiedLogisticRegression(**settings).fit(
        X, y, np.full(len(y), 2.0), sample_domain=domain
    )
    assert (weighted.tie_, weighted.C_) == (doubled.tie_, doubled.C_)


def test_it_works_inside_cross_validation():
    X, y, domain = family(4, 50, 2, 0.5, seed=2, size=3.0)
    table = np.column_stack([X, domain])
    model = TiedLogisticRegression(-1, tie="auto", C="auto")
    folds = StratifiedKFold(3).split(X, domain)
    assert cross_val_score(model, table, y, cv=folds).mean() > 0.7


# ---- what is refused ----------------------------------------------------------------


@pytest.mark.parametrize("strength", ["tie", "C"])
@pytest.mark.parametrize("frozen", [False, True])
def test_an_anchor_that_knows_the_labels_is_refused(strength, frozen):
    X, y, _ = family(1, 60, 2, 0.0)
    prior = KMeansPrior(3, random_state=0)
    pair = FrozenEstimator(prior.fit(X)) if frozen else prior
    message = rf"{strength}='auto' with pair=KMeansPrior.*TiedLogisticRegressionCV"
    with pytest.raises(ValueError, match=message):
        fit((X, y), pair, **{strength: "auto"})


def test_too_many_coefficients_are_refused(monkeypatch):
    monkeypatch.setattr(_evidence, "MOST_NUMBERS", 30)
    data = family(2, 30, 3, 0.5)  # 2 members of 4 coefficients
    with pytest.raises(ValueError, match=r"tie='auto' needs .* 32 numbers.*cv=5"):
        fit(data, tie="auto")
    monkeypatch.setattr(_evidence, "MOST_NUMBERS", 32)
    fit(data, tie="auto")


def test_no_evidence_anywhere_is_an_error():
    X, y, domain = opposite()
    with pytest.raises(ValueError, match=r"C='auto': .* none of .*improper"):
        fit((X, y, domain), tie=0.0, C="auto", decay="shared")
    separable = (X, (X[:, 0] > 0).astype(int), domain)
    with pytest.raises(ValueError, match=r"tie='auto': .* none of 10 .*improper"):
        fit(separable, tie="auto", C=np.inf)


@pytest.mark.parametrize("name", ["tie", "C"])
def test_other_words_are_refused(name):
    with pytest.raises(ValueError, match=rf"'{name}' parameter.*'auto'"):
        fit(family(2, 30, 2, 0.5), **{name: "automatic"})
