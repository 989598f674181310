"""`graph="learned"`: which domains are related is estimated with the model."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sktie import TiedLogisticRegression, TiedLogisticRegressionCV, TiedRidge
from sktie._learned import FLOOR, LearnedCoordinates, relate
from sktie._tie import Tie, ToMean

INF = np.inf
SHAPES = [(2, 3), (3, 5), (4, 1), (6, 3), (9, 2), (5, 4)]


def deviations(T, n, rank=None, seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(T, n))
    if rank is not None:
        Z = Z[:, :rank] @ rng.normal(size=(rank, n))
    return Z - Z.mean(axis=0)


def least(Z):
    """The minimum over the covariance, by bisection for its eigenvalues alone."""
    q = len(Z) - 1
    z = np.linalg.svd(Z, compute_uv=False)[:q]
    z = np.concatenate([z, np.zeros(q - len(z))])
    low, high = 1e-12, 1e12
    for _ in range(200):
        m = np.sqrt(low * high)
        s = np.maximum(FLOOR / q, z / m)
        low, high = (m, high) if s.sum() > 1 else (low, m)
    return np.sum(z**2 / s)


def data(T=5, n_classes=2, n=200, p=2, seed=0):
    """Rows of domains of two kinds."""
    rng = np.random.default_rng(seed)
    domain = rng.integers(T, size=n)
    X = rng.normal(size=(n, p))
    own = rng.normal(size=(2, p))[np.arange(T) % 2] + 0.2 * rng.normal(size=(T, p))
    score = np.einsum("ij,ij->i", X, own[domain]) + rng.logistic(size=n)
    edges = np.quantile(score, np.arange(1, n_classes) / n_classes)
    return X, np.digitize(score, edges), domain


def fit(X, y, domain, weight=None, **settings):
    settings = {"tol": 1e-14, "graph": "learned"} | settings
    return TiedLogisticRegression(**settings).fit(X, y, weight, sample_domain=domain)


# The covariance of given deviations


@pytest.mark.parametrize(("T", "n"), SHAPES)
@pytest.mark.parametrize("rank", [None, 1])
def test_the_covariance_is_the_best_of_all(T, n, rank):
    Z = deviations(T, n, rank)
    found = relate(Z)
    assert_allclose(found.least, least(Z), rtol=1e-10)
    rng = np.random.default_rng(1)
    q = T - 1
    basis = np.linalg.qr(np.column_stack([np.ones(T), rng.normal(size=(T, q))]))[0]
    for _ in range(50):  # no other one of trace 1 that is bounded below does better
        root = rng.normal(size=(q, q))
        S = root @ root.T
        S = FLOOR / q * np.eye(q) + (1 - FLOOR) * S / np.trace(S)
        inside = basis[:, 1:].T @ Z
        assert np.sum(inside * np.linalg.solve(S, inside)) >= found.least * (1 - 1e-9)


@pytest.mark.parametrize(("T", "n"), SHAPES)
@pytest.mark.parametrize("rank", [None, 1])
def test_gradient_and_hessian_are_those_of_the_minimum(T, n, rank):
    Z, D = deviations(T, n, rank), deviations(T, n, seed=1)
    step = 1e-5
    slope = (least(Z + step * D) - least(Z - step * D)) / (2 * step)
    assert_allclose(2 * np.sum(relate(Z).solved() * D), slope, rtol=1e-6)
    ahead, behind = relate(Z + step * D).solved(), relate(Z - step * D).solved()
    expected = (ahead - behind) / (2 * step)
    assert_allclose(relate(Z).hessian(D), expected, rtol=1e-5, atol=1e-6)


def test_the_penalty_of_two_is_the_tie_to_their_mean():
    tie = Tie(ToMean(), np.array([0.5, 2.0, INF]))
    at = LearnedCoordinates(tie, (2, 1, 3))
    U = deviations(2, 3).reshape(2, 1, 3) * (at.scale > 0)
    expected = (tie.strength[:2] * np.square(at.scale * U)[..., :2]).sum()
    assert_allclose(at.penalty(U), expected)


def test_without_deviations_there_is_nothing_to_pay():
    at = LearnedCoordinates(Tie(ToMean(), np.ones(3)), (4, 1, 3))
    assert at.penalty(np.zeros((4, 1, 3))) == 0.0
    assert not at.tie_gradient(np.zeros((4, 1, 3))).any()


# The model


@pytest.mark.parametrize(
    ("settings", "n_classes"),
    [
        ({"tie": 0.3}, 2),
        ({"tie": 30.0}, 2),
        ({"tie": 3.0}, 3),
        ({"tie": 3.0, "tie_intercept": False}, 2),
        ({"tie": 3.0, "tie_intercept": 0.1}, 3),
        ({"tie": 3.0, "fit_intercept": False}, 2),
        ({"tie": 3.0, "decay": "shared"}, 2),
        ({"tie": {0: 1.0, 1: 20.0}, "tie_intercept": 2.0}, 2),
        ({"tie": {0: 1.0, 1: INF}, "tie_intercept": 2.0}, 2),
        ({"tie": 2.0, "feature_ties": [[0, 1]], "feature_tie": 4.0}, 2),
        ({"tie": 2.0, "feature_shares": [{0: 1, 1: -1}]}, 2),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_minimum_is_that_of_the_objective_written_out(
    settings, n_classes, weighted
):
    T, p = 5, 2
    X, y, domain = data(T, n_classes)
    weight = np.random.default_rng(3).integers(1, 4, len(X)) if weighted else None
    s = np.ones(len(X)) if weight is None else weight
    C, K = 0.7, n_classes
    intercept = settings.get("fit_intercept", True)
    tie = settings["tie"]
    slopes = [tie[j] for j in range(p)] if isinstance(tie, dict) else [tie] * p
    own = settings.get("tie_intercept", True)
    strength = np.array([*slopes, slopes[0] if own is True else float(own)])

    def members(theta):
        W = theta.reshape(T, K - 1 if K == 2 else K, p + 1).copy()
        if not intercept:
            W[..., -1] = 0
        shared = np.isinf(strength)
        W[..., shared] = W[..., shared].mean(axis=0)
        for group in settings.get("feature_shares", ()):
            W[..., 1] = group[1] * W[..., 0]
        return W if K == 2 else W - W.mean(axis=1, keepdims=True)

    def objective(theta):
        W = members(theta)
        raw = np.einsum("ij,ikj->ik", np.c_[X, np.ones(len(X))], W[domain])
        if K == 2:
            raw = np.c_[np.zeros(len(X)), raw]
        value = -s @ log_softmax(raw, axis=1)[np.arange(len(X)), y]
        decayed = W[..., :p]
        if settings.get("decay") == "shared":
            decayed = decayed.mean(axis=0)
        value += 0.5 / C * np.square(decayed).sum()
        finite = np.isfinite(strength)
        Z = np.sqrt(strength[finite]) * (W - W.mean(axis=0))[..., finite]
        value += 0.5 * 2 / (T - 1) * least(Z.reshape(T, -1))
        for i, j in settings.get("feature_ties", ()):
            value += 4.0 / 2 * np.square(W[..., i] - W[..., j]).sum()
        return value

    model = fit(X, y, domain, weight, C=C, **settings)
    start = np.zeros(T * (K - 1 if K == 2 else K) * (p + 1))
    start += 0.1 * np.random.default_rng(0).normal(size=start.size)
    found = minimize(objective, start, method="BFGS", options={"gtol": 1e-6})
    assert_allclose(model.objective_, found.fun, rtol=1e-6)
    expected = members(found.x)
    shape = model.domain_coef_.shape
    assert_allclose(
        model.domain_coef_, expected[..., :p].reshape(shape), rtol=0, atol=2e-3
    )


def test_tie_0_is_separate_and_tie_inf_one_model():
    X, y, domain = data()
    separate = fit(X, y, domain, tie=0.0)
    plain = fit(X, y, domain, tie=0.0, graph=None)
    assert_allclose(separate.domain_coef_, plain.domain_coef_, atol=1e-8)
    shared = fit(X, y, domain, tie=INF)
    pooled = fit(X, y, domain, tie=INF, graph=None)
    assert_allclose(shared.coef_, pooled.coef_, atol=1e-8)
    assert shared.tie_gap_ == 0
    assert shared.n_stored_parameters_ == 3
    # Nothing deviates: all are equally related.
    assert_allclose(shared.domain_covariance_, (np.eye(5) - 0.2) / 4)


def test_the_limits_are_reached_smoothly():
    X, y, domain = data()
    ends = [fit(X, y, domain, tie=t).domain_coef_ for t in (0.0, INF)]
    near = [fit(X, y, domain, tie=t).domain_coef_ for t in (1e-300, 1e-9, 1e10, 1e300)]
    assert_allclose(near[0], ends[0], atol=1e-6)
    assert_allclose(near[1], ends[0], atol=1e-6)
    assert_allclose(near[2], ends[1], atol=1e-6)
    assert_allclose(near[3], ends[1], atol=1e-6)


@pytest.mark.parametrize("tie", [1e12, 1e14, 1e15, 1e17])
@pytest.mark.parametrize("seed", range(3))
def test_ties_far_beyond_what_rows_can_say_end_without_a_warning(tie, seed):
    # The penalty is flat where deviations of two directions trade places, and the loss
    # says next to nothing there: Newton's last steps are lost in rounding.
    X, y, domain = data(T=6, p=4, seed=seed)
    shared = fit(X, y, domain, tie=INF, tol=1e-8)
    model = fit(X, y, domain, tie=tie, tol=1e-8)
    assert_allclose(model.domain_coef_, shared.domain_coef_, atol=1e-7)
    ridge = TiedRidge(graph="learned", tie=tie).fit(
        X, X[:, 0] + y, sample_domain=domain
    )
    assert ridge.tie_gap_ < 1e-6


@pytest.mark.parametrize("T", [1, 2])
def test_one_domain_and_two_have_nothing_to_learn(T):
    X, y, domain = data(T)
    model, plain = fit(X, y, domain), fit(X, y, domain, graph=None)
    assert_allclose(model.domain_coef_, plain.domain_coef_, atol=1e-7)
    assert_allclose(model.objective_, plain.objective_, rtol=1e-10)
    expected = [[0.0]] if T == 1 else [[0.5, -0.5], [-0.5, 0.5]]
    assert_allclose(model.domain_covariance_, expected)


def test_domains_of_one_kind_are_found_and_lend_to_one_another():
    T, p, rng = 12, 6, np.random.default_rng(0)
    kind = np.arange(T) % 2
    own = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1.0]])[kind]

    def rows(n):
        domain = np.repeat(np.arange(T), n)
        X = rng.normal(size=(T * n, p))
        score = np.einsum("ij,ij->i", X, own[domain])
        return X, score + rng.logistic(size=T * n) > 0, domain

    X, y, domain = rows(15)
    new = rows(1000)
    ties = np.geomspace(0.1, 100, 7)
    models = {
        graph: [fit(X, y, domain, graph=graph, tie=t, tol=1e-8) for t in ties]
        for graph in ("learned", None)
    }
    best = {
        graph: max(m.score(new[0], new[1], sample_domain=new[2]) for m in found)
        for graph, found in models.items()
    }
    assert best["learned"] > best[None] + 0.015
    S = models["learned"][3].domain_covariance_
    assert_allclose(np.trace(S), 1)
    assert_allclose(S.sum(axis=0), 0, atol=1e-12)
    assert np.linalg.eigvalsh(S)[1] >= FLOOR / (T - 1) * (1 - 1e-9)
    main = np.linalg.eigh(S)[1][:, -1]  # it tells the kinds apart
    assert np.unique([kind, main > 0], axis=1).shape == (2, 2)


def test_names_and_order_of_domains_do_not_matter():
    X, y, domain = data()
    model = fit(X, y, domain, tie=2.0)
    other = fit(X[::-1], y[::-1], np.array(list("edcba"))[domain][::-1], tie=2.0)
    assert_allclose(other.domain_coef_[::-1], model.domain_coef_, atol=1e-5)
    back = other.domain_covariance_[::-1, ::-1]
    assert_allclose(back, model.domain_covariance_, atol=1e-5)


@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs", "newton-cg"])
def test_every_solver_finds_the_minimum(solver):
    X, y, domain = data()
    expected = fit(X, y, domain, tie=3.0).objective_
    model = fit(sp.csr_array(X), y, domain, tie=3.0, solver=solver, tol=1e-9)
    assert_allclose(model.objective_, expected, rtol=1e-8)


@pytest.mark.parametrize("tie", [1.0, 30.0, 1e3, 1e6])
@pytest.mark.parametrize(("T", "n"), [(40, 20), (120, 10)])
def test_many_domains_are_of_low_rank_and_take_few_iterations(T, n, tie):
    X, y, domain = data(T, n=T * n, p=3)
    model = fit(X, y, domain, tie=tie, tol=1e-8, solver="auto")
    assert model.n_iter_ < 100
    directions = model._domain_relatedness[0][0]
    assert directions.shape[1] <= 4
    S = model.domain_covariance_
    assert S.shape == (T, T)
    assert_allclose(np.trace(S), 1)


def test_many_rows_use_a_sample_first():
    X, y, domain = data(4, n=60_000, p=3)
    model = fit(X, y, domain, tie=100.0, tol=1e-10)
    again = fit(X, y, domain, tie=100.0, tol=1e-10, warm_start=True)
    assert_allclose(again.objective_, model.objective_, rtol=1e-9)


def test_float32_stays_float32():
    X, y, domain = data()
    model = fit(X.astype(np.float32), y, domain, tol=1e-6)
    assert model.domain_coef_.dtype == np.float32
    assert_allclose(model.domain_coef_, fit(X, y, domain).domain_coef_, atol=1e-3)


def test_domains_not_seen_are_predicted_by_the_centre():
    X, y, domain = data()
    model = fit(X, y, domain, handle_unknown="shared")
    raw = model.decision_function(X[:3], sample_domain=[9, 9, 9])
    assert_allclose(raw, X[:3] @ model.coef_[0] + model.intercept_[0])


def test_clone_pickle_and_search():
    X, y, domain = data()
    table = np.column_stack([X, domain])
    model = TiedLogisticRegression(pair=-1, graph="learned", tie=2.0).fit(table, y)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.domain_covariance_, model.domain_covariance_)
    assert clone(model).graph == "learned"
    assert_array_equal(model.fit(table, y).coef_, again.coef_)
    search = GridSearchCV(
        TiedLogisticRegression(pair=-1, handle_unknown="shared"),
        {"graph": [None, "learned"], "tie": [1.0, INF]},
        cv=2,
        error_score="raise",
    )
    assert hasattr(search.fit(table, y), "best_params_")
    # What an earlier fit has learned is not told of a later one.
    model.set_params(graph=None).fit(table, y)
    assert not hasattr(model, "domain_covariance_")


def test_the_strength_is_chosen_by_folds():
    X, y, domain = data(n=300)
    model = TiedLogisticRegressionCV(graph="learned", ties=[1.0, 10.0], Cs=[1.0], cv=3)
    model = model.fit(X, y, sample_domain=domain)
    assert model.cv_ == 3
    assert model.scores_.shape == (1, 4)
    chosen = fit(X, y, domain, tie=model.tie_, tol=1e-8)
    assert_allclose(model.domain_coef_, chosen.domain_coef_, atol=1e-5)
    assert_allclose(model.domain_covariance_, chosen.domain_covariance_, atol=1e-4)
    default = TiedLogisticRegressionCV(graph="learned", ties=2, Cs=[1.0])
    assert default.fit(X, y, sample_domain=domain).cv_ == 5


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"tie": "auto"}, "tie='auto' is not available with graph="),
        ({"store_covariance": True}, "store_covariance=True is not available"),
        ({"graph": "guessed"}, "graph='guessed'.*learned"),
    ],
)
def test_errors(settings, match):
    X, y, domain = data()
    with pytest.raises(ValueError, match=match):
        fit(X, y, domain, **settings)


def test_without_domains_there_is_nothing_to_learn():
    X, y, _ = data()
    with pytest.raises(ValueError, match="graph= says which domains are related"):
        TiedLogisticRegression(graph="learned").fit(X, y)


def test_a_domain_of_one_class_alone_is_an_error_without_a_tie():
    X, y, domain = data()
    y[domain == 2] = 0
    with pytest.raises(ValueError, match="classes"):
        fit(X, y, domain, tie=0.0)
    assert np.isfinite(fit(X, y, domain, tie=1.0).domain_coef_).all()
