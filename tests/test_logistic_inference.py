"""Covariances and intervals against inverses, textbooks and simulated truths."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import helmert
from scipy.special import expit, log_softmax, softmax
from scipy.stats import norm
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from sktie import TiedLogisticRegression
from tests.oracles import (
    domain_names,
    fit_tied,
    make_instance,
    plain_fit,
    plain_gradient,
)

KINDS = ["laplace", "sandwich"]
kinds = pytest.mark.parametrize("kind", KINDS)
classes = pytest.mark.parametrize("n_classes", [2, 3])


def fit(case, **settings):
    form = "none" if case.n_domains == 1 else "column"
    return fit_tied(case, form, store_covariance=True, **settings)


def joined(model):
    """Coefficients with intercepts, (n_domains, n_rows, n_coefs)."""
    if not hasattr(model, "domains_"):
        coef, intercept = model.coef_[None], model.intercept_[None]
    else:
        coef, intercept = model.domain_coef_, model.domain_intercept_
    if model.fit_intercept:
        return np.concatenate([coef, intercept[..., None]], axis=-1)
    return np.array(coef)


# ---- the inverse Hessian of everything, by differences -------------------------------


def flat_gradient(case, members):
    """Gradient of the objective over all members, flat, without absent intercepts."""
    coef, intercept = members, np.zeros(members.shape[:-1])
    if case.fit_intercept:
        coef, intercept = members[..., :-1], members[..., -1]
    slopes, offsets = plain_gradient(case, coef, intercept)
    if not case.fit_intercept:
        return slopes.ravel()
    return np.concatenate([slopes, offsets[..., None]], axis=-1).ravel()


def contrasts(members):
    """Columns that span what members of three and more classes can be."""
    n_domains, n_rows, n_coefs = members.shape
    basis = np.ones((1, 1)) if n_rows == 1 else helmert(n_rows).T
    return np.kron(np.eye(n_domains), np.kron(basis, np.eye(n_coefs)))


def along(function, members, directions, step):
    """Central differences of a function of the members, one for each direction."""
    moves = step * directions.T.reshape(-1, *members.shape)
    ends = [(function(members + m), function(members - m)) for m in moves]
    return np.array([(ahead - behind) / (2 * step) for ahead, behind in ends])


def free_hessian(case, members):
    """Hessian in the directions that members can take, from their gradients."""
    basis = contrasts(members)
    gradient = along(lambda m: flat_gradient(case, m), members, basis, 1e-5)
    return gradient @ basis


def inverse_hessian(case, members):
    """The inverse, (n_domains, n, n_domains, n), from differences of gradients."""
    basis = contrasts(members)
    inverse = basis @ np.linalg.inv(free_hessian(case, members)) @ basis.T
    n = members.size // len(members)
    return inverse.reshape(len(members), n, len(members), n)


def mean_less_mode(case, members):
    """``-1/2 K^-1 d log|K|``, of the shape of the members, from differences."""
    basis = contrasts(members)

    def log_volume(at):
        return np.linalg.slogdet(free_hessian(case, at))[1]

    slope = along(log_volume, members, basis, 1e-3)
    step = -0.5 * basis @ np.linalg.solve(free_hessian(case, members), slope)
    return step.reshape(members.shape)


def row_gradients(case, members):
    """Gradients of the losses of rows, weights left out, (n_samples, n_domains, n)."""
    n_domains, n_rows, _ = members.shape
    rows = case.X
    if case.fit_intercept:
        rows = np.column_stack([rows, np.ones(len(rows))])
    raw = np.einsum("ij,ikj->ik", rows, members[case.domain])
    if n_rows == 1:
        error = expit(raw) - case.y[:, None]
    else:
        error = softmax(raw, axis=1) - np.eye(n_rows)[case.y]
    out = np.zeros((len(rows), n_domains, n_rows, rows.shape[1]))
    out[np.arange(len(rows)), case.domain] = error[:, :, None] * rows[:, None]
    return out.reshape(len(rows), n_domains, -1)


def sandwich(inverse, gradients, weight):
    half = np.einsum("tisj,nsj->nti", inverse, gradients)
    return np.einsum("n,nti,nsj->tisj", weight, half, half)


ANCHOR = np.arange(12.0).reshape(3, 4) / 10, np.array([0.3, -0.1, 0.2])
CASES = {
    "domains": {},
    "weights": {"weights": True},
    "three classes": {"n_classes": 3, "weights": True},
    "intercept of its own": {"tie_intercept": 0.05, "C": 0.3},
    "shared decay": {"decay": "shared", "n_classes": 3},
    "no intercept": {"fit_intercept": False, "tie": 8.0, "n_classes": 3},
    "many domains": {"sizes": (12,) * 7, "n_features": 2, "tie": 0.2},
    "plain": {"sizes": (60,)},
    "plain, three classes": {"sizes": (60,), "n_classes": 3, "weights": True},
    "fixed pair": {"sizes": (60,), "n_classes": 3, "anchor": ANCHOR},
    "fixed pair of two": {
        "sizes": (60,),
        "anchor": (ANCHOR[0][:1], ANCHOR[1][:1]),
        "tie_intercept": 5.0,
    },
}


@kinds
@pytest.mark.parametrize("name", CASES)
def test_blocks_of_the_inverse_hessian_of_all_members(name, kind):
    case = make_instance(**{"sizes": (9, 30, 60), **CASES[name]})
    model = fit(case)
    members = joined(model)
    whole = inverse_hessian(case, members)
    if kind == "sandwich":
        whole = sandwich(whole, row_gradients(case, members), case.weight)
    tolerance = {"rtol": 1e-6, "atol": 1e-8}
    if case.n_domains > 1:
        for t in range(case.n_domains):
            found = model.coef_covariance(t, kind=kind)
            assert_allclose(found, whole[t, :, t], **tolerance)
    centre = whole.mean(axis=(0, 2))
    assert_allclose(model.coef_covariance(kind=kind), centre, **tolerance)


def textbook(X, y, kind):
    """Covariance of maximum likelihood: (X'WX)^-1, and its sandwich."""
    model = LogisticRegression(C=np.inf, tol=1e-12, solver="newton-cholesky")
    p = model.fit(X, y).predict_proba(X)[:, 1]
    rows = np.column_stack([X, np.ones(len(X))])
    bread = np.linalg.inv(rows.T @ (rows * (p * (1 - p))[:, None]))
    if kind == "laplace":
        return bread
    scores = rows * (y - p)[:, None]
    return bread @ scores.T @ scores @ bread


@kinds
def test_without_tie_and_decay_each_domain_is_the_textbook(kind):
    case = make_instance((80, 200), tie=0.0, C=np.inf, n_features=3)
    model = fit(case)
    parts = []
    for t in range(2):
        own = case.rows_of(t)
        parts.append(textbook(own.X, own.y, kind))
        assert_allclose(model.coef_covariance(t, kind=kind), parts[t], rtol=1e-6)
    centre = sum(parts) / 4
    assert_allclose(model.coef_covariance(kind=kind), centre, rtol=1e-6)
    single = fit(case.rows_of(0))
    assert_allclose(single.coef_covariance(kind=kind), parts[0], rtol=1e-6)


@kinds
def test_shared_parameters_are_those_of_the_pooled_textbook(kind):
    case = make_instance((80, 5, 200), tie=np.inf, C=np.inf, n_features=3)
    model = fit(case)
    expected = textbook(case.X, case.y, kind)
    for domain in (None, 0, 1, 2):
        assert_allclose(model.coef_covariance(domain, kind=kind), expected, rtol=1e-6)


def test_fixed_parameters_vary_not_at_all():
    case = make_instance((60,), n_classes=3, anchor=ANCHOR, tie=np.inf)
    model = fit(case)
    assert_array_equal(model.coef_covariance(), 0)
    lower, upper = model.predict_interval(case.X)
    assert_allclose(lower, upper, rtol=1e-12)
    # To the last bit, whatever way a probability is rounded.
    point = model.predict_proba(case.X)
    assert (lower <= point).all()
    assert (point <= upper).all()


@kinds
@classes
def test_weight_of_two_is_a_row_twice(kind, n_classes):
    case = make_instance((9, 30, 60), n_classes)
    rng = np.random.default_rng(0)
    times = rng.integers(1, 4, len(case.y))
    twice = case.but(
        X=np.repeat(case.X, times, axis=0),
        y=np.repeat(case.y, times),
        domain=np.repeat(case.domain, times),
        weight=np.ones(times.sum()),
    )
    weighed = fit(case.but(weight=times.astype(float)))
    expected = fit(twice).coef_covariance(1, kind=kind)
    assert_allclose(weighed.coef_covariance(1, kind=kind), expected, rtol=1e-7)


def test_weights_of_classes_are_no_numbers_of_rows():
    case = make_instance((40, 60), weights=True)
    factors = np.array([0.5, 3.0])
    model = fit(case, class_weight={0: 0.5, 1: 3.0})
    members, factor = joined(model), factors[case.y]
    whole = inverse_hessian(case.but(weight=case.weight * factor), members)
    varies = case.weight * factor**2
    whole = sandwich(whole, row_gradients(case, members), varies)
    found = model.coef_covariance(0, kind="sandwich")
    assert_allclose(found, whole[0, :, 0], rtol=1e-6, atol=1e-8)


# ---- coverage ------------------------------------------------------------------------


def inside(bounds, truth):
    return np.mean((bounds[0] <= truth) & (truth <= bounds[1]))


@classes
def test_intervals_hold_the_truth_of_domains_drawn_from_the_prior(n_classes):
    # Of 95 %: half the variance would hold 83 %, twice the variance 99.4 %, the centre
    # alone for domains not seen 60 %. The error of these means is about 0.6 %.
    n_domains, n_rows, p, tie, C = 20, 80, 3, 2.0, 10.0
    basis = np.ones((1, 1)) if n_classes == 2 else helmert(n_classes).T
    variance = np.append(np.full(p, 1 / (2 * tie + 1 / C)), 1 / (2 * tie))
    common = np.append(np.full(p, (C - variance[0]) / n_domains), 1.0)
    rng = np.random.default_rng(0)
    shape = basis.shape[1], p + 1
    held = {"seen": [], "not seen": [], "rows": [], "rows not seen": []}
    for _ in range(20):
        deviations = np.sqrt(variance) * rng.normal(size=(2 * n_domains, *shape))
        truth = basis @ (np.sqrt(common) * rng.normal(size=shape) + deviations)
        domain = np.tile(np.arange(2 * n_domains), n_rows)
        X = rng.normal(size=(len(domain), p))
        rows = np.column_stack([X, np.ones(len(X))])
        raw = np.einsum("ij,ikj->ik", rows, truth[domain])
        if n_classes == 2:
            raw = raw * [0, 1]
        chance = softmax(raw, axis=1)
        y = np.argmax(raw + rng.gumbel(size=raw.shape), axis=1)
        seen = domain < n_domains
        X = np.column_stack([X, domain])
        model = TiedLogisticRegression(
            -1, tie=tie, C=C, handle_unknown="shared", store_covariance=True
        ).fit(X[seen], y[seen])
        held["seen"] += [
            inside(model.coef_interval(t), truth[t]) for t in range(n_domains)
        ]
        held["not seen"].append(inside(model.coef_interval(99), truth[n_domains:]))
        for name, part in (("rows", seen), ("rows not seen", ~seen)):
            held[name].append(inside(model.predict_interval(X[part]), chance[part]))
    for name, rates in held.items():
        assert 0.925 < np.mean(rates) < 0.975, name


def test_a_sandwich_covers_what_was_estimated_where_the_model_is_wrong():
    # Half of the variance of a coefficient is that of a slope over a curve.
    rng = np.random.default_rng(0)
    deviation, claimed = [], {kind: [] for kind in KINDS}
    for _ in range(200):
        X = rng.exponential(size=(300, 1))
        y = rng.uniform(size=300) < expit(2 * np.sin(3 * X[:, 0]))
        model = TiedLogisticRegression(C=np.inf, store_covariance=True).fit(X, y)
        deviation.append(model.coef_[0, 0])
        for kind in KINDS:
            claimed[kind].append(model.coef_covariance(kind=kind)[0, 0])
    ratio = {k: np.mean(v) / np.var(deviation) for k, v in claimed.items()}
    assert 0.8 < ratio["sandwich"] < 1.25
    assert abs(np.log(ratio["laplace"])) > abs(np.log(ratio["sandwich"]))


# ---- intervals -----------------------------------------------------------------------


@kinds
@classes
def test_coefficients_have_normal_intervals(n_classes, kind):
    case = make_instance((9, 30, 60), n_classes)
    model = fit(case)
    members, tolerance = joined(model), {"rtol": 1e-7}
    if kind == "laplace":
        members, tolerance = members + mean_less_mode(case, members), {"atol": 1e-4}
    for domain, centre in [(None, members.mean(axis=0)), (1, members[1])]:
        lower, upper = model.coef_interval(domain, 0.8, kind=kind)
        error = np.sqrt(np.diag(model.coef_covariance(domain, kind=kind)))
        error = error.reshape(centre.shape)
        assert_allclose(lower, centre + norm.ppf(0.1) * error, **tolerance)
        assert_allclose(upper, centre + norm.ppf(0.9) * error, **tolerance)


@pytest.mark.parametrize("name", CASES)
def test_laplace_intervals_have_the_mean_in_their_middle(name):
    case = make_instance(**{"sizes": (20, 30, 60), **CASES[name]})
    model = fit(case)
    members = joined(model)
    expected = members + mean_less_mode(case, members)
    for domain in range(case.n_domains):
        found = model.coef_interval(domain if case.n_domains > 1 else None)
        assert_allclose(np.mean(found, axis=0), expected[domain], atol=2e-4)
    found = np.mean(model.coef_interval(), axis=0)
    assert_allclose(found, expected.mean(axis=0), atol=2e-4)


def test_the_mean_is_that_of_the_density():
    # One coefficient of two domains, two numbers: integrated on a grid.
    case = make_instance((40, 25), n_features=1, fit_intercept=False, tie=0.3, C=4.0)
    model = fit(case)
    mode = joined(model).ravel()
    grid = np.linspace(-2.5, 2.5, 201)
    ones = np.ones((len(grid), 1))

    def losses(t, values):
        own = case.rows_of(t)
        margin = (2 * own.y - 1) * (own.X @ values[None, :]).T
        return np.log1p(np.exp(-margin)).sum(axis=1)

    first, second = mode[0] + grid, mode[1] + grid
    f = losses(0, first)[:, None] + losses(1, second)[None, :]
    a, b = first[:, None] * ones.T, ones * second[None, :]
    f = f + (a**2 + b**2) / (2 * case.C) + 0.5 * case.tie * (a - b) ** 2
    density = np.exp(f.min() - f)
    density /= density.sum()
    mean = np.array([(density * a).sum(), (density * b).sum()])
    found = np.array([np.mean(model.coef_interval(t)) for t in range(2)])
    # What is left of the distance between mean and mode is of the next order.
    assert np.all(np.abs(mean - mode) > 0.01)
    assert np.all(np.abs(found - mean) < 0.25 * np.abs(mode - mean))


def test_no_mean_is_further_from_the_mode_than_a_standard_error():
    # Three rows: the expansion is far off, and would be several errors away.
    X, y = [[0.0], [1.0], [40.0]], [0, 0, 1]
    model = TiedLogisticRegression(C=1e8, store_covariance=True).fit(X, y)
    lower, upper = model.coef_interval(coverage=0.6826894921370859)
    assert_array_equal(lower <= model.coef_ + 1e-9, True)
    error = np.sqrt(np.diag(model.coef_covariance()))
    point = np.append(model.coef_, model.intercept_)
    away = np.abs(np.mean([lower, upper], axis=0).ravel() - point) / error
    assert 0.99 < away.max() < 1.01


def log_odds(members, row):
    """Log-odds of each class against all others."""
    raw = members @ row
    if len(raw) == 1:
        return np.append(-raw, raw)
    p = np.exp(log_softmax(raw))
    return np.log(p) - np.log1p(-p)


def delta_method(mode, mean, covariance, row, coverage):
    """Bounds of one row, the gradient at the mean by differences."""
    members = mean
    step, size = 1e-6, members.size
    moves = step * np.eye(size).reshape(size, *members.shape)
    gradient = np.array(
        [log_odds(members + m, row) - log_odds(members - m, row) for m in moves]
    )
    gradient /= 2 * step
    error = np.sqrt(np.einsum("ik,ij,jk->k", gradient, covariance, gradient))
    centre = log_odds(members, row)
    width = norm.ppf(0.5 + coverage / 2) * error
    point = log_odds(mode, row)
    return (
        expit(np.minimum(centre - width, point)),
        expit(np.maximum(centre + width, point)),
    )


@kinds
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_probabilities_have_intervals_by_the_delta_method(
    n_classes, fit_intercept, kind
):
    case = make_instance((9, 30, 60), n_classes, fit_intercept=fit_intercept)
    model = fit(case)
    rng = np.random.default_rng(1)
    domain = rng.integers(0, 3, 12)
    X = np.column_stack([2 * rng.normal(size=(12, case.n_features)), domain])
    lower, upper = model.predict_interval(X, coverage=0.9, kind=kind)
    assert lower.shape == upper.shape == (12, n_classes)
    modes = means = joined(model)
    if kind == "laplace":
        means = modes + mean_less_mode(case, modes)
    for i, t in enumerate(domain):
        row = np.append(X[i, :-1], 1.0) if fit_intercept else X[i, :-1]
        covariance = model.coef_covariance(t, kind=kind)
        expected = delta_method(modes[t], means[t], covariance, row, 0.9)
        assert_allclose([lower[i], upper[i]], expected, rtol=1e-3)


@classes
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_intervals_of_far_rows_are_in_bounds_and_hold_the_prediction(n_classes, dtype):
    case = make_instance((9, 30, 60), n_classes)
    X = np.column_stack([case.X, case.domain]).astype(dtype)
    model = TiedLogisticRegression(-1, store_covariance=True).fit(X, case.y)
    far = X.copy()
    far[:, :-1] *= np.logspace(-3, 4, len(X)).reshape(-1, 1)
    lower, upper = model.predict_interval(far)
    assert lower.dtype == upper.dtype == model.coef_covariance().dtype == dtype
    assert model.coef_interval()[0].dtype == dtype
    point = model.predict_proba(far)
    assert (lower >= 0).all()
    assert (lower <= point).all()
    assert (point <= upper).all()
    assert (upper <= 1).all()
    wider = model.predict_interval(far, coverage=0.99)
    assert (wider[0] <= lower).all()
    assert (wider[1] >= upper).all()


@classes
def test_single_precision_is_near_double(n_classes):
    case = make_instance((9, 30, 60), n_classes, weights=True)
    X = np.column_stack([case.X, case.domain])
    model = TiedLogisticRegression(-1, store_covariance=True)
    rough = clone(model).fit(X.astype(np.float32), case.y)
    model.fit(X, case.y)
    for kind in KINDS:
        expected = model.coef_covariance(1, kind=kind)
        found = rough.coef_covariance(1, kind=kind)
        assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
        found = rough.predict_interval(X.astype(np.float32), kind=kind)
        assert_allclose(found, model.predict_interval(X, kind=kind), atol=1e-4)


@classes
def test_single_precision_keeps_what_cancels_in_a_prediction(n_classes):
    # Two features that are nearly one: coefficients vary by hundreds, their sum little.
    case = make_instance((200,), n_classes, n_features=1)
    twin = case.X + 1e-3 * np.random.default_rng(0).normal(size=case.X.shape)
    X = np.column_stack([case.X, twin]).astype(np.float32)
    model = TiedLogisticRegression(C=1e6, store_covariance=True).fit(X, case.y)
    rough = model.predict_interval(X)
    assert_allclose(rough, model.predict_interval(X.astype(float)), rtol=1e-3)


@kinds
@classes
def test_columns_names_and_sample_domain_say_the_same(n_classes, kind):
    pd = pytest.importorskip("pandas")
    case = make_instance((9, 30, 60), n_classes)
    names, settings = domain_names(case), {"store_covariance": True, "tol": 1e-20}
    beside = TiedLogisticRegression(**settings)
    beside.fit(case.X, case.y, sample_domain=names)
    expected = beside.predict_interval(case.X, sample_domain=names, kind=kind)
    frame = pd.DataFrame(case.X, columns=list("abcd"))
    frame.insert(2, "site", names)
    whole = np.column_stack([case.domain, case.X])
    forms = [("site", frame, names[0]), (0, whole, case.domain[0])]
    forms += [(0, sp.csr_matrix(whole), case.domain[0])]
    forms += [(0, sp.csr_array(whole), case.domain[0])]
    for pair, X, label in forms:
        model = TiedLogisticRegression(pair, **settings).fit(X, case.y)
        assert_allclose(model.predict_interval(X, kind=kind), expected, rtol=1e-7)
        assert_allclose(
            model.coef_covariance(label, kind=kind),
            beside.coef_covariance(names[0], kind=kind),
            rtol=1e-7,
            atol=1e-12,
        )


@classes
def test_fixed_pair_and_none(n_classes):
    case = make_instance((80,), n_classes)
    anchor = plain_fit(case.but(C=0.1))
    pairs = [None, FrozenEstimator(anchor), (anchor.coef_, anchor.intercept_)]
    widths = []
    for pair in pairs:
        model = TiedLogisticRegression(pair, tie=3.0, store_covariance=True)
        model.fit(case.X, case.y)
        lower, upper = model.predict_interval(case.X)
        mode, covariance = joined(model)[0], model.coef_covariance()
        mean, row = np.mean(model.coef_interval(), axis=0), np.append(case.X[0], 1.0)
        expected = delta_method(mode, mean, covariance, row, 0.95)
        assert_allclose([lower[0], upper[0]], expected, rtol=1e-5)
        widths.append(np.trace(covariance))
    assert widths[1] < 0.9 * widths[0]
    assert_allclose(widths[1], widths[2])


# ---- domains that fit did not see ----------------------------------------------------


@classes
@pytest.mark.parametrize("decay", ["each", "shared"])
@pytest.mark.parametrize("tie_intercept", [True, 0.5])
def test_domains_not_seen_vary_as_the_tie_says(n_classes, decay, tie_intercept):
    case = make_instance(
        (9, 30, 60), n_classes, tie=2.0, C=0.5, decay=decay, tie_intercept=tie_intercept
    )
    model = fit(case, handle_unknown="shared")
    precision = np.full(case.n_features + 1, 4.0 + (2.0 if decay == "each" else 0.0))
    precision[-1] = 4.0 if tie_intercept is True else 1.0
    apart = np.diag((1 + 1 / 3) / precision)
    if n_classes == 3:
        # One number more or less for all classes makes no difference: K - 1 ways.
        apart = np.kron(np.eye(3) - 1 / 3, apart)
    for kind in KINDS:
        expected = model.coef_covariance(kind=kind) + apart
        found = model.coef_covariance(77, kind=kind)
        assert_allclose(found, expected, rtol=1e-10, atol=1e-14)
    row = np.append(case.X[0], 77.0)[None]
    lower, upper = model.predict_interval(row)
    mode, row = joined(model).mean(axis=0), np.append(case.X[0], 1.0)
    mean = np.mean(model.coef_interval(), axis=0)
    assert_allclose(np.mean(model.coef_interval(77), axis=0), mean)
    expected = delta_method(mode, mean, model.coef_covariance(77), row, 0.95)
    assert_allclose([lower[0], upper[0]], expected, rtol=1e-5)


def test_domains_that_share_all_hold_for_those_not_seen():
    case = make_instance((9, 30, 60), tie=np.inf)
    model = fit(case, handle_unknown="shared")
    assert_allclose(model.coef_covariance(77), model.coef_covariance(0))
    seen, unseen = (np.column_stack([case.X, np.full(99, t)]) for t in (0, 77))
    assert_allclose(model.predict_interval(unseen), model.predict_interval(seen))


@pytest.mark.parametrize(
    "settings",
    [{"tie": 0.0}, {"tie_intercept": False}, {"tie_intercept": 0.0}],
    ids=str,
)
def test_what_was_not_tied_says_nothing_about_domains_not_seen(settings):
    case = make_instance((9, 30, 60), **settings)
    model = fit(case, handle_unknown="shared")
    seen, unseen = (np.column_stack([case.X, np.full(99, t)]) for t in (0, 77))
    model.predict_interval(seen)
    for ask in (
        lambda: model.predict_interval(unseen),
        lambda: model.coef_covariance(77),
        lambda: model.coef_interval(77),
    ):
        with pytest.raises(ValueError, match="positive tie_intercept"):
            ask()


def test_without_an_intercept_its_tie_does_not_matter():
    case = make_instance((9, 30, 60), fit_intercept=False, tie_intercept=False)
    model = fit(case, handle_unknown="shared")
    assert model.coef_covariance(77).shape == (4, 4)
