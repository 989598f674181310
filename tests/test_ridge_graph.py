"""Ridge regression of domains that a graph relates, given or learned."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.base import clone

from sktie import TiedRidge, TiedRidgeCV
from sktie._learned import FLOOR
from sktie.inspection import RelatednessDisplay

INF = np.inf
NAMES = np.array(list("abcd"))
NESTING = {"a": "north", "b": "north", "c": "south", "d": "south", "e": "south"}
NESTING |= {"north": "all", "south": "all"}
GRAPHS = {
    "ring": {("a", "b"): 1.0, ("b", "c"): 0.5, ("c", "d"): 2.0, ("d", "a"): 1.0},
    "nesting": NESTING,
    "parts": {("a", "b"): 1.0, ("c", "d"): 3.0},
}


def rows(n=60, n_targets=None, seed=0):
    rng = np.random.default_rng(seed)
    X, code = rng.normal(size=(n, 2)) + 1, rng.integers(4, size=n)
    slope = 1 + rng.normal(size=(4, 2))
    raw = np.einsum("ij,ij->i", X, slope[code]) + 0.5 * code
    y = raw + rng.normal(size=n)
    if n_targets:
        y = raw[:, None] + rng.normal(size=(n, n_targets))
    return X, y, NAMES[code], rng.integers(1, 4, n).astype(float)


def dense(graph, X, y, domain, weight, alpha, tie, own):
    """Solve the system over the parameters of all nodes, written out."""
    edges = [
        (*(key if isinstance(key, tuple) else (key, value)),
         value if isinstance(key, tuple) else 1.0)
        for key, value in graph.items()
    ]  # fmt: skip
    labels = [*NAMES, *sorted({v for s, t, _ in edges for v in (s, t)} - set(NAMES))]
    N, q = len(labels), X.shape[1] + 1
    left, right = np.zeros((N, q, N, q)), np.zeros((N, q))
    wide = np.column_stack([X, np.ones(len(X))])
    for t, name in enumerate(NAMES):
        here = domain == name
        left[t, :, t] += wide[here].T @ (weight[here][:, None] * wide[here])
        left[t, :, t] += np.diag([alpha] * (q - 1) + [0.0])
        right[t] = wide[here].T @ (weight[here] * y[here])
    strength = np.diag([tie] * (q - 1) + [own])
    for s, t, a in edges:
        s, t = labels.index(s), labels.index(t)
        for one, other in ((s, t), (t, s)):
            left[one, :, one] += a * strength
            left[one, :, other] -= a * strength
    found = np.linalg.lstsq(left.reshape(N * q, -1), right.ravel(), rcond=None)[0]
    return labels, found.reshape(N, q)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("tie", [0.01, 3.0, 1e4])
@pytest.mark.parametrize("sparse", [False, True])
def test_it_is_the_solution_of_the_system_over_all_nodes(name, tie, sparse):
    X, y, domain, weight = rows()
    model = TiedRidge(graph=GRAPHS[name], tie=tie, alpha=0.7, tie_intercept=2.0)
    model.fit(sp.csr_array(X) if sparse else X, y, weight, sample_domain=domain)
    labels, W = dense(GRAPHS[name], X, y, domain, weight, 0.7, tie, 2.0)
    assert_allclose(model.domain_coef_, W[:4, :2], atol=1e-6)
    assert_allclose(model.domain_intercept_, W[:4, 2], atol=1e-6)
    assert_allclose(model.coef_, W[:4, :2].mean(axis=0), atol=1e-6)
    for label, coef, intercept in zip(
        model.inferred_domains_,
        model.inferred_coef_,
        model.inferred_intercept_,
        strict=True,
    ):
        assert_allclose([*coef, intercept], W[labels.index(label)], atol=1e-6)
        raw = model.predict(X[:2], sample_domain=[label] * 2)
        assert_allclose(raw, X[:2] @ coef + intercept)


def test_targets_of_several_columns_are_fitted_side_by_side():
    X, y, domain, weight = rows(n_targets=3)
    model = TiedRidge(graph=NESTING, tie=2.0)
    model.fit(X, y, weight, sample_domain=domain)
    assert model.domain_coef_.shape == (4, 3, 2)
    assert model.inferred_coef_.shape == (4, 3, 2)
    for k in range(3):
        one = clone(model).fit(X, y[:, k], weight, sample_domain=domain)
        assert_allclose(model.domain_coef_[:, k], one.domain_coef_, atol=1e-7)
        assert_allclose(model.inferred_coef_[:, k], one.inferred_coef_, atol=1e-7)
        assert_allclose(model.sigma2_[k], one.sigma2_)


@pytest.mark.parametrize("decay", ["each", "shared"])
def test_a_complete_graph_and_the_ends_are_the_model_without(decay):
    X, y, domain, weight = rows()
    even = np.full((4, 4), 0.5)
    for tie in (0.0, 2.0, INF):
        plain = TiedRidge(tie=tie, decay=decay).fit(X, y, weight, sample_domain=domain)
        learned = TiedRidge(tie=tie, decay=decay, graph="learned")
        others = [learned] if tie != 2.0 else []
        others += [TiedRidge(tie=tie, graph=even)] if decay == "each" else []
        for model in others:
            model.fit(X, y, weight, sample_domain=domain)
            assert_allclose(model.domain_coef_, plain.domain_coef_, atol=1e-6)
            assert_allclose(model.objective_, plain.objective_)
            assert_allclose(model.sigma2_, plain.sigma2_)
            assert model.n_stored_parameters_ == plain.n_stored_parameters_
    assert model.tie_gap_ == 0


def test_large_means_cost_no_accuracy_that_matters():
    X, y, domain, _ = rows()
    given = {"sample_domain": domain}
    even = np.full((4, 4), 0.5)
    plain = TiedRidge(tie=2.0, tie_intercept=False).fit(X + 1e4, y, **given)
    model = TiedRidge(tie=2.0, tie_intercept=False, graph=even).fit(X + 1e4, y, **given)
    assert_allclose(model.domain_coef_, plain.domain_coef_, atol=1e-5)


@pytest.mark.parametrize("tie", [0.5, 20.0])
def test_what_is_learned_is_the_joint_minimum(tie):
    X, y, domain, _ = rows()
    code = np.searchsorted(NAMES, domain)

    def objective(theta):
        W = theta.reshape(4, 3)
        raw = np.einsum("ij,ij->i", np.column_stack([X, np.ones(len(X))]), W[code])
        U = W - W.mean(axis=0)
        z = np.linalg.svd(U, compute_uv=False)[:3]
        low, high = 1e-9, 1e9
        for _ in range(100):
            m = np.sqrt(low * high)
            s = np.maximum(FLOOR / 3, z / m)
            low, high = (m, high) if s.sum() > 1 else (low, m)
        value = np.square(y - raw).sum() + 0.7 * np.square(W[:, :2]).sum()
        return value + tie * 2 / 3 * np.sum(z**2 / s)

    start = 0.1 * np.random.default_rng(0).normal(size=12)
    found = minimize(objective, start, method="BFGS", options={"gtol": 1e-6})
    model = TiedRidge(graph="learned", tie=tie, alpha=0.7)
    model.fit(X, y, sample_domain=domain)
    assert_allclose(model.objective_, found.fun, rtol=1e-7)
    assert_allclose(model.domain_coef_, found.x.reshape(4, 3)[:, :2], atol=1e-3)
    assert_allclose(np.trace(model.domain_covariance_), 1)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.domain_covariance_, model.domain_covariance_)


@pytest.mark.parametrize("graph", [NESTING, "learned"])
def test_the_strength_is_chosen_by_folds(graph):
    X, y, domain, _ = rows(90)
    model = TiedRidgeCV(graph=graph, ties=[1.0, 10.0], alphas=[0.5])
    model.fit(X, y, sample_domain=domain)
    assert model.cv_ == 5
    one = TiedRidge(graph=graph, tie=model.tie_, alpha=0.5)
    one.fit(X, y, sample_domain=domain)
    assert_allclose(model.domain_coef_, one.domain_coef_, atol=1e-5)


def test_a_distance_along_a_graph():
    X, y, domain, _ = rows()
    model = TiedRidge(graph=GRAPHS["ring"], max_distance=0.5, tie_intercept=False)
    model.fit(X, y, sample_domain=domain)
    W = model.domain_coef_
    omega = sum(
        a * np.square(W["abcd".index(s)] - W["abcd".index(t)]).sum()
        for (s, t), a in GRAPHS["ring"].items()
    )
    assert_allclose(np.sqrt(omega), 0.5, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"tie": "auto"}, "tie='auto' is not available with graph=; use TiedRidgeCV"),
        ({"alpha": "auto"}, "alpha='auto' is not available with graph="),
        ({"tie_intercept": "auto"}, "tie_intercept='auto' is not available"),
        ({"store_covariance": True}, "store_covariance=True is not available"),
        ({"metric": "fisher"}, "metric='fisher' with domains"),
        ({"decay": "shared"}, "decay='shared' decays the mean"),
        ({"graph": {("a", "b"): -1.0}}, "weight -1.0"),
    ],
)
def test_errors(settings, match):
    X, y, domain, _ = rows()
    with pytest.raises(ValueError, match=match):
        TiedRidge(**{"graph": NESTING} | settings).fit(X, y, sample_domain=domain)


def test_each_target_learns_a_covariance_of_its_own():
    X, y, domain, _ = rows(n_targets=2)
    model = TiedRidge(graph="learned", tie=3.0).fit(X, y, sample_domain=domain)
    assert model.domain_covariance_.shape == (2, 4, 4)
    for k in range(2):
        one = clone(model).fit(X, y[:, k], sample_domain=domain)
        assert_allclose(model.domain_coef_[:, k], one.domain_coef_, atol=1e-6)
        assert_allclose(model.domain_covariance_[k], one.domain_covariance_, atol=1e-5)
    with pytest.raises(ValueError, match="a covariance for each of 2 targets"):
        RelatednessDisplay.from_estimator(model)
