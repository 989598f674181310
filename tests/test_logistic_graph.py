"""`graph=`: many domains, not all equally related."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sktie import TiedLogisticRegression, TiedLogisticRegressionCV

INF = np.inf
NAMES = np.array(["a", "b", "c", "d", "e", "f"])
CHAIN = {pair: 1.0 for pair in pairwise(NAMES)}
RING = CHAIN | {("f", "a"): 0.3, ("b", "e"): 2.0}
PARTS = {("a", "b"): 1.0, ("c", "d"): 0.5, ("d", "e"): 1.0, ("e", "c"): 2.0}
PARTS |= {("f", "f"): 1.0}
NESTING = {"a": "north", "b": "north", "c": "north", "d": "south", "e": "south"}
NESTING |= {"f": "east", "g": "south", "north": "all", "south": "all", "east": "all"}
#: Members without rows in a ring, which cannot be peeled off.
HOLES = RING | {("a", "x"): 1.0, ("x", "y"): 0.5, ("y", "d"): 2.0, ("x", "c"): 1.0}
GRAPHS = {
    "chain": CHAIN,
    "ring": RING,
    "parts": PARTS,
    "nesting": NESTING,
    "holes": HOLES,
}


def data(n_classes=2, n=150, n_features=2, seed=0):
    """Rows of six domains of different sizes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features))
    code = np.minimum(rng.integers(8, size=n), 5)
    own = 1 + rng.normal(size=(6, n_features))
    score = np.einsum("ij,ij->i", X, own[code]) + 0.3 * code + rng.logistic(size=n)
    y = np.digitize(score, np.quantile(score, np.arange(1, n_classes) / n_classes))
    return X, y, NAMES[code]


def edges_of(graph):
    """Return the labels, domains first, and the edges as places and weights."""
    if isinstance(next(iter(graph)), tuple):
        found = [(s, t, w) for (s, t), w in graph.items()]
    else:
        found = [(s, t, 1.0) for s, t in graph.items()]
    others = {v for s, t, _ in found for v in (s, t)} - set(NAMES)
    labels = [*NAMES, *sorted(others)]
    return labels, [(labels.index(s), labels.index(t), w) for s, t, w in found]


def oracle(graph, X, y, domain, tie, C=1.0, own=True, intercept=True, weight=None):
    """Minimise the objective as it is written, over the parameters of all nodes.

    Shared coefficients are one variable for each component; nothing knows sktie.
    """
    labels, edges = edges_of(graph)
    code = np.searchsorted(NAMES, domain)
    n_nodes, n_classes = len(labels), int(y.max()) + 1
    K = 1 if n_classes == 2 else n_classes
    Z = np.column_stack([X, np.ones(len(X))]) if intercept else X
    p = Z.shape[1]
    strength = np.broadcast_to(np.asarray(tie, dtype=float), p).copy()
    if intercept and own is not True:
        strength[-1] = float(own)
    decay = np.full(p, 1.0 / C)
    if intercept:
        decay[-1] = 0.0
    part = np.arange(n_nodes)
    for _ in range(n_nodes):
        for s, t, _w in edges:
            part[s] = part[t] = min(part[s], part[t])
    # Variable of each parameter (node, class row, coefficient).
    key = np.stack(np.meshgrid(range(n_nodes), range(K), range(p), indexing="ij"), -1)
    key = key.reshape(-1, 3)
    shared = np.isinf(strength)[key[:, 2]]
    key[:, 0] = np.where(shared, part[key[:, 0]], key[:, 0])
    _, place = np.unique(key, axis=0, return_inverse=True)
    place = place.ravel()
    finite = np.where(np.isinf(strength), 0.0, strength)
    weight = np.ones(len(y)) if weight is None else weight

    def value_gradient(v):
        W = v[place].reshape(n_nodes, K, p)
        raw = np.einsum("ij,ikj->ik", Z, W[code])
        full = np.hstack([np.zeros((len(y), 1)), raw]) if K == 1 else raw
        log = log_softmax(full, axis=1)
        error = np.exp(log) - np.eye(n_classes)[y]
        error = (error[:, 1:] if K == 1 else error) * weight[:, None]
        value = -np.sum(weight * log[np.arange(len(y)), y])
        gradient = np.zeros_like(W)
        np.add.at(gradient, code, error[:, :, None] * Z[:, None, :])
        value += 0.5 * np.sum(decay * W[:6] ** 2)
        gradient[:6] += decay * W[:6]
        for s, t, w in edges:
            value += 0.5 * w * np.sum(finite * (W[s] - W[t]) ** 2)
            gradient[s] += w * finite * (W[s] - W[t])
            gradient[t] += w * finite * (W[t] - W[s])
        return value, np.bincount(place, gradient.ravel(), len(v))

    # An unpenalised row shift of the classes has no effect: start and stay centred.
    found = minimize(
        value_gradient,
        np.zeros(place.max() + 1),
        jac=True,
        method="BFGS",
        options={"gtol": 1e-9, "maxiter": 10000},
    )
    return found.fun, found.x[place].reshape(n_nodes, K, p), labels


def members_of(model, labels):
    """Return coefficients and intercepts of all nodes, in the order of labels."""
    coef = {}
    for names, slopes, offsets in (
        (model.domains_, model.domain_coef_, model.domain_intercept_),
        (model.inferred_domains_, model.inferred_coef_, model.inferred_intercept_),
    ):
        for name, slope, offset in zip(names, slopes, offsets, strict=True):
            coef[name] = np.column_stack([slope, offset])
    return np.stack([coef[label] for label in labels])


@pytest.mark.parametrize("own", [True, False, 4.0, INF], ids=str)
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_minimum_is_that_of_scipy_on_the_objective(graph, own, n_classes):
    X, y, domain = data(n_classes)
    model = TiedLogisticRegression(
        graph=graph, tie=0.7, C=0.5, tie_intercept=own, tol=1e-14
    ).fit(X, y, sample_domain=domain)
    value, members, labels = oracle(graph, X, y, domain, 0.7, C=0.5, own=own)
    assert model.objective_ == pytest.approx(value, rel=1e-9)
    found = members_of(model, labels)
    if own is False:  # of members without rows any intercept is a minimum
        found, members = found[:6], members[:6]
    if n_classes > 2:
        members = members - members.mean(axis=1, keepdims=True)
    assert_allclose(found, members, atol=1e-5)


@pytest.mark.parametrize("tie", [1e-8, 1e-3, 1e3, 1e8])
@pytest.mark.parametrize("graph", [RING, NESTING, HOLES], ids=["ring", "nest", "holes"])
def test_gradient_vanishes_at_any_strength(graph, tie):
    X, y, domain = data()
    model = TiedLogisticRegression(graph=graph, tie=tie, tol=1e-14)
    model.fit(X, y, sample_domain=domain)
    labels, edges = edges_of(graph)
    W = members_of(model, labels)[:, 0]
    Z = np.column_stack([X, np.ones(len(X))])
    code = np.searchsorted(NAMES, domain)
    error = 1 / (1 + np.exp(-np.einsum("ij,ij->i", Z, W[code]))) - y
    forces = np.zeros_like(W)
    np.add.at(forces, code, error[:, None] * Z)
    forces[:6, :2] += W[:6, :2]
    scale = 0.1 * np.abs(Z).sum()
    # Of all together no tie is left; of each, what rounding of W leaves of the tie.
    assert_allclose(forces.sum(axis=0), 0, atol=1e-7 * scale)
    for s, t, w in edges:
        forces[s] += tie * w * (W[s] - W[t])
        forces[t] += tie * w * (W[t] - W[s])
    assert_allclose(forces, 0, atol=2e-7 * scale + 1e-14 * tie)
    assert model.n_iter_ < 25


def test_complete_graph_of_weight_two_over_t_is_the_default_tie():
    X, y, domain = data()
    plain = TiedLogisticRegression(tie=2, tol=1e-14).fit(X, y, sample_domain=domain)
    graph = np.full((6, 6), 2 / 6)
    model = TiedLogisticRegression(graph=graph, tie=2, tol=1e-14)
    model.fit(X, y, sample_domain=domain)
    assert model.objective_ == pytest.approx(plain.objective_, rel=1e-12)
    assert_allclose(model.domain_coef_, plain.domain_coef_, atol=1e-6)
    assert_allclose(model.coef_, plain.coef_, atol=1e-6)


def test_star_of_weight_two_around_a_member_without_rows_is_the_default_tie():
    X, y, domain = data()
    plain = TiedLogisticRegression(tie=2, tol=1e-14).fit(X, y, sample_domain=domain)
    graph = {(name, "centre"): 2.0 for name in NAMES}
    model = TiedLogisticRegression(graph=graph, tie=2, tol=1e-14)
    model.fit(X, y, sample_domain=domain)
    assert_allclose(model.domain_coef_, plain.domain_coef_, atol=1e-6)
    assert_allclose(model.inferred_coef_[0], plain.coef_, atol=1e-6)


def test_two_domains_and_one_edge_are_the_default_tie():
    X, y, domain = data()
    domain = np.where(domain < "c", "a", "b")
    plain = TiedLogisticRegression(tie=2, tol=1e-14).fit(X, y, sample_domain=domain)
    model = TiedLogisticRegression(graph={("a", "b"): 1.0}, tie=2, tol=1e-14)
    model.fit(X, y, sample_domain=domain)
    assert_allclose(model.domain_coef_, plain.domain_coef_, atol=1e-6)


@pytest.mark.parametrize("graph", [RING, NESTING, HOLES], ids=["ring", "nest", "holes"])
def test_infinite_tie_of_a_connected_graph_is_the_pooled_fit(graph):
    X, y, domain = data(3)
    model = TiedLogisticRegression(graph=graph, tie=INF, C=3.0, tol=1e-14)
    model.fit(X, y, sample_domain=domain)
    pooled = LogisticRegression(C=3.0 / 6, tol=1e-10, max_iter=1000).fit(X, y)
    assert_allclose(model.coef_, pooled.coef_, atol=1e-5)
    assert model.tie_gap_ == 0
    assert (model.domain_coef_ == model.domain_coef_[0]).all()
    assert_allclose(
        model.inferred_coef_,
        model.coef_[np.newaxis].repeat(len(model.inferred_domains_), axis=0),
        rtol=1e-12,
    )
    assert model.n_stored_parameters_ == model.coef_.size + model.intercept_.size


def test_infinite_tie_of_parts_pools_each():
    X, y, domain = data()
    model = TiedLogisticRegression(graph=PARTS, tie=INF, tol=1e-14)
    model.fit(X, y, sample_domain=domain)
    assert model.n_components_ == 3
    assert_array_equal(model.component_, [0, 0, 1, 1, 1, 2])
    for part in range(3):
        here = np.flatnonzero(model.component_ == part)
        rows = np.isin(domain, NAMES[here])
        pooled = LogisticRegression(C=1 / len(here), tol=1e-10).fit(X[rows], y[rows])
        for t in here:
            assert_allclose(model.domain_coef_[t], pooled.coef_, atol=1e-5)
            assert_allclose(model.domain_intercept_[t], pooled.intercept_, atol=1e-5)
    assert model.n_stored_parameters_ == 9


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_no_tie_fits_each_domain_alone(graph):
    X, y, domain = data()
    model = TiedLogisticRegression(graph=graph, tie=0, tol=1e-14)
    model.fit(X, y, sample_domain=domain)
    for t, name in enumerate(NAMES):
        rows = domain == name
        alone = LogisticRegression(tol=1e-10, max_iter=1000).fit(X[rows], y[rows])
        assert_allclose(model.domain_coef_[t], alone.coef_, atol=1e-5)
        assert_allclose(model.domain_intercept_[t], alone.intercept_, atol=1e-5)


@pytest.mark.parametrize("tie", [0, 1e-10, 1.0, 1e10, INF])
@pytest.mark.parametrize("graph", [NESTING, HOLES], ids=["nesting", "holes"])
def test_members_without_rows_are_the_mean_of_their_neighbours(graph, tie):
    X, y, domain = data()
    model = TiedLogisticRegression(graph=graph, tie=tie).fit(X, y, sample_domain=domain)
    labels, edges = edges_of(graph)
    W = members_of(model, labels)
    assert set(labels[6:]) == set(model.inferred_domains_)
    for v in range(6, len(labels)):
        around = [(t if s == v else s, w) for s, t, w in edges if v in (s, t)]
        weights = np.array([w for _, w in around])
        mean = np.einsum("e,ekj->kj", weights, W[[t for t, _ in around]])
        assert_allclose(W[v], mean / weights.sum(), rtol=1e-9)


def test_strengths_approach_their_limits_smoothly():
    X, y, domain = data()
    shared = TiedLogisticRegression(graph=RING, tie=INF).fit(X, y, sample_domain=domain)
    gaps = []
    for tie in (1e4, 1e6, 1e8, 1e12, 1e20, 1e300):
        model = TiedLogisticRegression(graph=RING, tie=tie, tol=1e-12)
        model.fit(X, y, sample_domain=domain)
        gaps.append(np.abs(model.domain_coef_ - shared.domain_coef_).max())
    assert gaps[0] < 1e-2
    assert_allclose(gaps[1], gaps[0] / 100, rtol=0.1)
    assert max(gaps[2:]) < 2e-6
    separate = TiedLogisticRegression(graph=RING, tie=0, tol=1e-14)
    separate.fit(X, y, sample_domain=domain)
    for tie in (1e-8, 1e-20, 1e-300):
        model = clone(separate).set_params(tie=tie).fit(X, y, sample_domain=domain)
        assert_allclose(model.domain_coef_, separate.domain_coef_, atol=1e-6)


FORMS = ["array", "csr", "csc matrix", "frame", "pairs", "both ways", "networkx"]


def form_of(name):
    """Return the ring in another form."""
    A = np.zeros((6, 6))
    for (s, t), w in RING.items():
        i, j = np.searchsorted(NAMES, [s, t])
        A[i, j] = A[j, i] = w
    if name == "both ways":
        return RING | {(t, s): w for (s, t), w in RING.items()}
    if name == "networkx":
        return Network(NAMES, [(s, t, w) for (s, t), w in RING.items()])
    if name == "frame":
        pd = pytest.importorskip("pandas")
        order = [3, 1, 0, 5, 4, 2]
        return pd.DataFrame(A, NAMES, NAMES).iloc[order, order]
    A[2, 2] = 7.0  # a domain is no neighbour of its own
    return {"array": A, "csr": sp.csr_array(A), "csc matrix": sp.csc_matrix(A)}.get(
        name, RING
    )


class Network:
    """What is asked of a graph of networkx."""

    def __init__(self, nodes, edges, directed=False):
        self.nodes, self._edges, self._directed = list(nodes), edges, directed

    def edges(self, data, default):
        assert (data, default) == ("weight", 1.0)
        return iter(self._edges)

    def is_directed(self):
        return self._directed


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_one_graph_are_one_model(form):
    X, y, domain = data()
    plain = TiedLogisticRegression(graph=RING, tol=1e-12).fit(
        X, y, sample_domain=domain
    )
    model = TiedLogisticRegression(graph=form_of(form), tol=1e-12)
    model.fit(X, y, sample_domain=domain)
    assert_allclose(model.domain_coef_, plain.domain_coef_, atol=1e-7)
    clone(model)
    copy.deepcopy(model)


def test_labels_may_be_numbers_and_their_parents_words():
    X, y, domain = data()
    code = np.searchsorted(NAMES, domain) * 10
    nesting = {10 * t: "low" if t < 2 else "high" for t in range(6)}
    nesting |= {"low": "all", "high": "all", 99: "high"}
    model = TiedLogisticRegression(-1, graph=nesting)
    model.fit(np.column_stack([X, code]), y)
    assert model.inferred_domains_.tolist() == [99, "all", "high", "low"]
    new = np.column_stack([X[:5], np.full(5, 99)])
    own = model.domain_estimator(99)
    assert_allclose(model.decision_function(new), own.decision_function(X[:5]))
    high = list(model.inferred_domains_).index("high")
    assert_allclose(own.coef_, model.inferred_coef_[high])
    model.set_params(handle_unknown="shared")
    found = model.decision_function(np.column_stack([X, np.full(len(X), 98)]))
    assert_allclose(found, X @ model.coef_[0] + model.intercept_[0])


def test_members_that_no_domain_leads_to_are_left_out():
    X, y, domain = data()
    graph = RING | {("p", "q"): 1.0, ("q", "r"): 1.0, ("a", "s"): 1.0}
    model = TiedLogisticRegression(graph=graph).fit(X, y, sample_domain=domain)
    assert model.inferred_domains_.tolist() == ["s"]
    assert model.n_components_ == 1
    with pytest.raises(ValueError, match="did not see"):
        model.predict(X, sample_domain=np.full(len(X), "p"))


def test_unseen_domain_of_the_graph_is_predicted_by_its_parent():
    X, y, domain = data()
    model = TiedLogisticRegression(graph=NESTING).fit(X, y, sample_domain=domain)
    south = list(model.inferred_domains_).index("south")
    raw = X @ model.inferred_coef_[south, 0] + model.inferred_intercept_[south, 0]
    for label in ("g", "south"):
        found = model.decision_function(X, sample_domain=np.full(len(X), label))
        assert_allclose(found, raw)
    with pytest.raises(ValueError, match="did not see"):
        model.predict(X, sample_domain=np.full(len(X), "nowhere"))
    model.set_params(handle_unknown="shared")
    found = model.decision_function(X, sample_domain=np.full(len(X), "nowhere"))
    assert_allclose(found, X @ model.coef_[0] + model.intercept_[0])
    mixed = np.where(np.arange(len(X)) % 2, "nowhere", "south")
    both = model.decision_function(X, sample_domain=mixed)
    assert_allclose(both, np.where(np.arange(len(X)) % 2, found, raw))
    for t, name in enumerate(NAMES):
        here = domain == name
        raw = X @ model.domain_coef_[t, 0] + model.domain_intercept_[t, 0]
        found = model.decision_function(X, sample_domain=domain)
        assert_allclose(found[here], raw[here])


def test_centre_is_the_mean_of_the_domains_with_rows():
    X, y, domain = data()
    model = TiedLogisticRegression(graph=NESTING).fit(X, y, sample_domain=domain)
    assert_allclose(model.coef_, model.domain_coef_.mean(axis=0))
    assert_allclose(model.intercept_, model.domain_intercept_.mean(axis=0))
    W = members_of(model, labels := edges_of(NESTING)[0])
    gap = max(np.abs(W[s] - W[t]).max() for s, t, _ in edges_of(NESTING)[1])
    assert model.tie_gap_ == pytest.approx(gap)
    assert len(labels) == 11


@pytest.mark.parametrize("graph", [CHAIN, HOLES], ids=["chain", "holes"])
def test_weights_sparse_rows_single_precision_and_warm_starts(graph):
    X, y, domain = data(3)
    weight = np.random.default_rng(1).integers(1, 4, size=len(y))
    plain = TiedLogisticRegression(graph=graph, tol=1e-12)
    plain.fit(X, y, weight, sample_domain=domain)
    value, _, _ = oracle(graph, X, y, domain, 1.0, weight=weight)
    assert plain.objective_ == pytest.approx(value, rel=1e-9)
    repeated = np.repeat(np.arange(len(y)), weight)
    twice = clone(plain).fit(X[repeated], y[repeated], sample_domain=domain[repeated])
    assert_allclose(twice.domain_coef_, plain.domain_coef_, atol=1e-6)
    sparse = clone(plain).fit(sp.csr_matrix(X), y, weight, sample_domain=domain)
    assert_allclose(sparse.domain_coef_, plain.domain_coef_, atol=1e-6)
    single = clone(plain).fit(X.astype(np.float32), y, weight, sample_domain=domain)
    assert single.domain_coef_.dtype == single.inferred_coef_.dtype == np.float32
    assert_allclose(single.domain_coef_, plain.domain_coef_, atol=2e-4)
    warm = clone(plain).set_params(warm_start=True)
    warm.fit(X, y, weight, sample_domain=domain)
    warm.fit(X, y, weight, sample_domain=domain)
    assert warm.n_iter_ == 1
    again = pickle.loads(pickle.dumps(plain))
    raw = plain.decision_function(X, sample_domain=domain)
    assert_array_equal(again.decision_function(X, sample_domain=domain), raw)


@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("own", [True, False, INF], ids=str)
@pytest.mark.parametrize(
    "graph", [CHAIN, HOLES, PARTS], ids=["chain", "holes", "parts"]
)
def test_solvers_agree(graph, own, solver):
    X, y, domain = data()
    settings = {"graph": graph, "tie": 3.0, "tie_intercept": own}
    plain = TiedLogisticRegression(**settings, tol=1e-14)
    plain.fit(X, y, sample_domain=domain)
    model = TiedLogisticRegression(**settings, solver=solver, tol=1e-11)
    model.fit(X, y, sample_domain=domain)
    assert model.objective_ == pytest.approx(plain.objective_, rel=1e-9)
    assert_allclose(model.domain_coef_, plain.domain_coef_, atol=1e-4)


@pytest.mark.parametrize("kind", ["tree", "neighbours"])
@pytest.mark.parametrize("layout", ["dense", "sparse", "single", "mixed", "multiclass"])
def test_many_small_domains_are_visited_together(kind, layout):
    """Hundreds of domains of all sizes; the same through solvers that use no tiles."""
    rng = np.random.default_rng(0)
    n_domains, n_classes = 150, 3 if layout == "multiclass" else 2
    size = rng.integers(1, 12, size=n_domains)
    if layout == "mixed":
        size[7] = 400
    code = rng.permutation(np.repeat(np.arange(n_domains), size))
    X = rng.normal(size=(len(code), 3))
    score = X @ [1, -1, 0.5] + np.sin(code / 30) + rng.logistic(size=len(code))
    y = np.digitize(score, np.quantile(score, np.arange(1, n_classes) / n_classes))
    graph = {t: t // 3 for t in range(1, n_domains)}
    if kind == "neighbours":
        graph = {
            (t, (t + k) % n_domains): 1.0 for t in range(n_domains) for k in (1, 2)
        }
    X = sp.csr_matrix(X) if layout == "sparse" else X
    X = X.astype(np.float32) if layout == "single" else X
    model = TiedLogisticRegression(graph=graph, tie=5.0).fit(X, y, sample_domain=code)
    first = clone(model).set_params(solver="newton-cg", tol=1e-10)
    first.fit(X, y, sample_domain=code)
    assert model.n_iter_ < 20
    rel = 1e-6 if layout == "single" else 1e-7
    assert model.objective_ == pytest.approx(first.objective_, rel=rel)
    W = model.domain_coef_[code]
    raw = np.einsum("ij,ikj->ik", X.toarray() if sp.issparse(X) else X, W)
    raw += model.domain_intercept_[code]
    found = model.decision_function(X, sample_domain=code)
    assert_allclose(found, raw[:, 0] if n_classes == 2 else raw, atol=1e-5)


def test_choice_of_the_strength_by_folds_that_lack_domains():
    X, y, domain = data()
    domain[domain == "f"] = "e"
    domain[:1] = "f"  # in one fold there is no row of it
    A = form_of("array")
    model = TiedLogisticRegressionCV(graph=A, ties=4, Cs=[1.0], cv=3)
    model.fit(X, y, sample_domain=domain)
    assert not model.failures_ or set(model.failures_) == {(1.0, 0.0)}
    by_name = TiedLogisticRegressionCV(graph=RING, ties=4, Cs=[1.0], cv=3)
    by_name.fit(X, y, sample_domain=domain)
    # They are one graph, but for what tie=0 leaves open.
    assert_allclose(model.scores_, by_name.scores_)
    nested = TiedLogisticRegressionCV(graph=NESTING, ties=3, Cs=[1.0], cv=3)
    nested.fit(X, y, sample_domain=domain)
    south = list(nested.inferred_domains_).index("south")
    raw = nested.decision_function(X, sample_domain=np.full(len(X), "south"))
    own = nested.inferred_coef_[south, 0], nested.inferred_intercept_[south, 0]
    assert_allclose(raw, X @ own[0] + own[1])
    plain = TiedLogisticRegression(graph=A, tie=model.tie_, C=model.C_)
    plain.fit(X, y, sample_domain=domain)
    assert_allclose(model.domain_coef_, plain.domain_coef_, atol=1e-5)
    assert (
        TiedLogisticRegressionCV(graph=RING, ties=2, Cs=[1.0])
        .fit(*data()[:2], sample_domain=data()[2])
        .cv_
        == 5
    )


def test_search_over_graphs():
    X, y, domain = data()
    X = np.column_stack([X, np.searchsorted(NAMES, domain)])
    path = {(t, t + 1): 1.0 for t in range(5)}
    search = GridSearchCV(
        TiedLogisticRegression(-1), {"graph": [None, path], "tie": [0.1, 1.0]}, cv=2
    ).fit(X, y)
    assert search.best_score_ > 0.5


SETTINGS = {
    "decay": ({"decay": "shared"}, "decay='each'"),
    "tie auto": ({"tie": "auto"}, "TiedLogisticRegressionCV"),
    "C auto": ({"C": "auto"}, "TiedLogisticRegressionCV"),
    "covariance": ({"store_covariance": True}, "graph=None"),
    "asymmetric": ({"graph": np.triu(np.ones((6, 6)))}, "equal weights"),
    "asymmetric pairs": ({"graph": RING | {("b", "a"): 2.0}}, "equal weights"),
    "negative": ({"graph": -np.ones((6, 6))}, "-1.0 between 'a' and 'a'"),
    "negative pair": ({"graph": RING | {("a", "c"): -1.0}}, r"-1.0 for the pair"),
    "NaN": ({"graph": np.full((6, 6), np.nan)}, "the weight nan"),
    "NaN, sparse": ({"graph": sp.csr_array(np.full((6, 6), np.nan))}, "weight nan"),
    "infinite": ({"graph": RING | {("a", "c"): INF}}, "finite number"),
    "word": ({"graph": RING | {("a", "c"): "x"}}, "finite number"),
    "shape": ({"graph": np.ones((5, 5))}, r"shape \(5, 5\); expected \(6, 6\)"),
    "not square": ({"graph": np.ones((6, 5))}, r"shape \(6, 5\)"),
    "no graph": ({"graph": "near"}, "expected a graph"),
    "empty": ({"graph": {}}, "names no domain"),
    "missing": ({"graph": {("a", "b"): 1.0}}, r"\['c', 'd', 'e', 'f'\], which have"),
    "numbers": ({"graph": {(0, 1): 1.0}}, "the same kind"),
    "cycle": ({"graph": NESTING | {"all": "a"}}, "cycle"),
    "own parent": ({"graph": NESTING | {"all": "all"}}, "cycle"),
    "mixture": ({"graph": NESTING | {("a", "b"): 1.0}}, "expected"),
    "list as parent": ({"graph": NESTING | {"a": ["north"]}}, "label of its parent"),
    "directed": ({"graph": Network(NAMES, [], directed=True)}, "to_undirected"),
}


@pytest.mark.parametrize(("settings", "message"), SETTINGS.values(), ids=SETTINGS)
def test_errors_name_the_remedy_and_change_nothing(settings, message):
    X, y, domain = data()
    model = TiedLogisticRegression(graph=RING).fit(X, y, sample_domain=domain)
    before = model.domain_coef_
    model.set_params(**settings)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, sample_domain=domain)
    assert_array_equal(model.domain_coef_, before)
    assert_array_equal(model.domains_, NAMES)


@pytest.mark.parametrize("kind", [TiedLogisticRegression, TiedLogisticRegressionCV])
def test_graph_without_domains_is_an_error(kind):
    X, y, _ = data()
    with pytest.raises(ValueError, match="sample_domain name none"):
        kind(graph=RING).fit(X, y)
    with pytest.raises(ValueError, match="sample_domain name none"):
        kind((np.ones((1, 2)), np.zeros(1)), graph=RING).fit(X, y)


def test_part_that_lacks_a_class_is_an_error_even_if_tied():
    X, y, domain = data()
    keep = ~((domain < "c") & (y == 1))
    model = TiedLogisticRegression(graph=PARTS)
    with pytest.raises(ValueError, match="graph= of 3 components"):
        model.fit(X[keep], y[keep], sample_domain=domain[keep])
    keep = ~((domain == "c") & (y == 1))
    model.fit(X[keep], y[keep], sample_domain=domain[keep])


def test_refit_without_a_graph_forgets_it():
    X, y, domain = data()
    model = TiedLogisticRegression(graph=NESTING).fit(X, y, sample_domain=domain)
    model.set_params(graph=None).fit(X, y, sample_domain=domain)
    fresh = TiedLogisticRegression().fit(X, y, sample_domain=domain)
    assert vars(model).keys() == vars(fresh).keys()
    with pytest.raises(ValueError, match="did not see"):
        model.predict(X, sample_domain=np.full(len(X), "south"))


def test_inspection_does_not_ignore_a_graph():
    from sktie.inspection import compatibility_test, tying_path, tying_report

    X, y, domain = data()
    model = TiedLogisticRegression(graph=RING).fit(X, y, sample_domain=domain)
    for inspect in (compatibility_test, tying_path, tying_report):
        with pytest.raises(ValueError, match="does not know about graph="):
            inspect(model, X, y, sample_domain=domain)
