"""Graphs of members: structure, coordinates, and the elimination that solves them."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.csgraph import connected_components

from sktie._elimination import Elimination, invert
from sktie._graph import DomainGraph
from sktie._nesting import nest
from sktie._pooled import Pooled
from sktie._related import Related, RelatedCoordinates
from sktie._tie import Tie

INF = np.inf


def adjacency(kind, n=12, seed=0):
    """A weighted graph of n nodes, dense."""
    rng = np.random.default_rng(seed)
    A = np.zeros((n, n))
    if kind in ("tree", "forest", "fringe"):
        for v in range(1, n):
            A[v, rng.integers(v)] = rng.uniform(0.2, 3)
    if kind == "forest":
        A[n // 2, :] = 0
    if kind == "path":
        A[np.arange(1, n), np.arange(n - 1)] = rng.uniform(0.2, 3, n - 1)
    if kind == "star":
        A[1:, 0] = rng.uniform(0.2, 3, n - 1)
    if kind == "fringe":
        A[3, 2] = A[4, 2] = A[4, 3] = 1.0
    if kind == "complete":
        A = np.tril(rng.uniform(0.2, 3, (n, n)), -1)
    if kind == "grid":
        side = int(np.sqrt(n))
        for v in range(side * side):
            if v % side:
                A[v, v - 1] = 1.0
            if v >= side:
                A[v, v - side] = 2.0
    if kind == "two":
        A[: n // 2, : n // 2] = np.tril(np.ones((n // 2, n // 2)), -1)
        A[n // 2 + 1 :, n // 2] = 1.0
    if kind == "unlike":  # a triangle, which is one cluster before the ring is
        A[1, 0] = A[2, 0] = A[2, 1] = 1.0
        for v in range(4, n):
            A[v, v - 1] = 0.5
        A[n - 1, 3] = 0.5
    return A + A.T


FORESTS = ["tree", "forest", "path", "star", "empty"]
KINDS = [*FORESTS, "fringe", "complete", "grid", "two", "unlike"]


def graph_of(A, n_domains):
    return DomainGraph(tuple(range(len(A))), n_domains, sp.csr_array(A))


def laplacian(A):
    return np.diag(A.sum(axis=1)) - A


def hessians(n_members, n, seed=0, rank=2):
    """Curvatures of few rows each, and some decay."""
    rows = np.random.default_rng(seed).normal(size=(n_members, rank, n))
    return np.swapaxes(rows, 1, 2) @ rows + 0.1 * np.eye(n)


@pytest.mark.parametrize("kind", KINDS)
def test_forests_are_themselves_and_every_node_goes_once(kind):
    A = adjacency(kind)
    nesting = nest(sp.csr_array(A))
    assert nesting.exact == (kind in FORESTS)
    n_nodes = len(nesting.place)
    assert_array_equal(np.sort(nesting.place), np.arange(n_nodes))
    found = np.zeros((n_nodes, n_nodes))
    stop, n_roots = 0, 0
    for level in nesting.levels:
        assert (level.nodes.start, level.nodes.stop) == (stop, level.roots.start)
        assert level.roots.stop > stop  # none is empty
        stop = level.roots.stop
        n_roots += level.roots.stop - level.roots.start
        assert (level.up >= stop).all()  # parents go later
        nodes = np.arange(level.nodes.start, level.nodes.stop)
        found[nodes, level.up] = found[level.up, nodes] = level.weight[:, 0]
        parts = np.random.default_rng(0).normal(size=(len(nodes), 2))
        sums = np.zeros((n_nodes, 2))
        np.add.at(sums, level.up, parts)
        assert_allclose(level.sums(parts), sums[level.parents])
    assert stop == n_nodes
    found = found[np.ix_(nesting.place, nesting.place)]
    rest = A - found
    if nesting.exact:
        assert_allclose(rest, 0)
        assert n_roots == connected_components(A)[0]
    else:  # roots are held by what is left of their edges
        roots = np.flatnonzero(rest.any(axis=1))
        last = nesting.levels[-1].roots
        assert_array_equal(np.sort(nesting.place[roots]), np.arange(n_nodes)[last])
        assert_allclose(
            nesting.lumped[nesting.place[roots] - last.start], rest.sum(axis=1)[roots]
        )


def test_a_long_path_is_not_gone_through_node_by_node():
    A = sp.diags([1.0, 1.0], [-1, 1], shape=(500, 500))
    nesting = nest(sp.csr_array(A))
    assert not nesting.exact
    assert len(nesting.levels) == 1
    assert_array_equal(nesting.lumped, np.r_[1.0, np.full(498, 2.0), 1.0])


def dense_system(A, H, strength, shared):
    """The Hessian over all nodes and a basis of the steps that sharing allows."""
    n_nodes, n = len(A), len(strength)
    system = np.kron(laplacian(A), np.diag(np.where(shared, 0.0, strength)))
    for t, hessian in enumerate(H):
        place = slice(t * n, (t + 1) * n)
        system[place, place] += hessian
    label = connected_components(A)[1]
    keys = [(j, label[v] if shared[j] else v) for v in range(n_nodes) for j in range(n)]
    distinct = sorted(set(keys))
    basis = np.zeros((n_nodes * n, len(distinct)))
    basis[np.arange(len(keys)), [distinct.index(key) for key in keys]] = 1.0
    return system, basis


STRENGTHS = {
    "one": [2.0, 2.0, 2.0],
    "loose": [1e-8, 1e-8, 1e-8],
    "firm": [1e8, 1e8, 1e8],
    "mixed": [1e-6, 3.0, 1e6],
    "shared": [INF, INF, INF],
    "free and shared": [0.0, 2.0, INF],
}


@pytest.mark.parametrize("name", STRENGTHS)
@pytest.mark.parametrize("n_members", [12, 7])
@pytest.mark.parametrize("kind", FORESTS)
def test_elimination_solves_the_system_of_a_forest(kind, n_members, name):
    if kind in ("empty", "forest"):  # no part is without rows
        n_members = 12
    A, H = adjacency(kind), hessians(n_members, 3)
    strength = np.array(STRENGTHS[name])
    shared = np.isinf(strength)
    finite = np.where(shared, 0.0, strength)
    force = np.random.default_rng(1).normal(size=(n_members, 3))
    found = Elimination(nest(sp.csr_array(A)), H, finite, shared).solve(force)
    system, basis = dense_system(A, H, finite, shared)
    padded = np.zeros((len(A), 3))
    padded[:n_members] = force
    right = basis.T @ padded.ravel()
    inner = basis.T @ system @ basis
    scale = 1 / np.sqrt(np.maximum(np.diag(inner), 1e-300))
    steps = (
        scale
        * np.linalg.lstsq(inner * scale * scale[:, None], scale * right, rcond=1e-15)[0]
    )
    expected = (basis @ steps).reshape(len(A), 3)[:n_members]
    assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("shared", [[False, False], [False, True]], ids=["", "shared"])
def test_levels_of_many_nodes_are_eliminated_in_parts(shared):
    # Two hubs, of 200 leaves each, and a third that both are tied to.
    n, shared = 403, np.array(shared)
    A = np.zeros((n, n))
    A[3:203, 0] = A[203:, 1] = np.linspace(0.5, 2.0, 200)
    A[0, 2] = A[1, 2] = 3.0
    A += A.T
    H, strength = hessians(n, 2), np.where(shared, 0.0, [2.0, 1.0])
    force = np.random.default_rng(1).normal(size=(n, 2))
    found = Elimination(nest(sp.csr_array(A)), H, strength, shared).solve(force)
    system, basis = dense_system(A, H, strength, shared)
    steps = np.linalg.solve(basis.T @ system @ basis, basis.T @ force.ravel())
    assert_allclose(found, (basis @ steps).reshape(n, 2), rtol=1e-8, atol=1e-10)


CYCLIC = ["fringe", "complete", "grid", "two"]


def model_and_system(model, A, H, strength, shared):
    """The model's inverse and the Hessian, both on the steps that sharing allows.

    Nodes without rows are where the members put them.
    """
    n_members, n = H.shape[:2]
    system, basis = dense_system(A, H, strength, shared)
    inner = basis.T @ system @ basis
    # The Schur complement on what members are made of.
    seen = np.flatnonzero(np.abs(basis[: n_members * n]).sum(axis=0))
    rest = np.setdiff1d(np.arange(len(inner)), seen)
    whole = inner[np.ix_(seen, seen)]
    if len(rest):
        cross = inner[np.ix_(seen, rest)]
        whole = whole - cross @ np.linalg.solve(inner[np.ix_(rest, rest)], cross.T)
    to_members = basis[: n_members * n][:, seen]
    means = np.linalg.pinv(to_members)
    columns = means.reshape(-1, n_members, n)
    steps = np.stack([model.solve(column).ravel() for column in columns])
    return steps @ means.T, whole


def spread_of(model, system):
    """The condition of the preconditioned system; checks that the model is one."""
    assert_allclose(model, model.T, rtol=1e-6, atol=1e-8 * np.abs(model).max())
    values = np.linalg.eigvals(model @ system).real
    assert values.min() > 0
    return values.max() / values.min()


@pytest.mark.parametrize("kind", CYCLIC)
def test_members_held_where_neighbours_are_are_near_the_system_of_loose_ties(kind):
    A, H = adjacency(kind, 36), hessians(36, 2)
    strength, shared = np.full(2, 0.01), np.zeros(2, dtype=bool)
    model = Elimination(nest(sp.csr_array(A)), H, strength, shared)
    assert spread_of(*model_and_system(model, A, H, strength, shared)) < 20


#: Strengths, and a bound of the condition number.
FIRM = {
    "one": ([30.0, 30.0], 3.0),
    "firm": ([1e6, 1e6], 1.01),
    "firmest": ([1e11, 1e11], 1.01),
    "apart": ([1e3, 1e7], 1.2),
    "free and firm": ([0.0, 1e5], 6.0),
    "shared": ([INF, INF], 1.01),
    "shared and firm": ([INF, 1e5], 1.03),
}


@pytest.mark.parametrize("name", FIRM)
@pytest.mark.parametrize("n_members", [36, 30])
@pytest.mark.parametrize("kind", [*CYCLIC, "path", "forest"])
def test_members_curved_alike_are_near_the_system_of_firm_ties(kind, n_members, name):
    if kind in ("forest", "two") or name == "free and firm":  # no part is without rows
        n_members = 36
    A, H = adjacency(kind, 36), hessians(n_members, 2)
    strength, most = FIRM[name]
    shared = np.isinf(strength)
    finite = np.where(shared, 0.0, strength)
    label = connected_components(A)[1]
    model = Pooled(sp.csr_array(A), label, H, finite, shared)
    assert spread_of(*model_and_system(model, A, H, finite, shared)) < most


def test_inverses_of_many_matrices_and_of_singular_ones():
    matrices = hessians(300, 4)
    found = matrices.copy()
    invert(found)
    assert_allclose(found @ matrices, np.tile(np.eye(4), (300, 1, 1)), atol=1e-8)
    assert_array_equal(found, np.swapaxes(found, 1, 2))
    singular = np.ones((1, 2, 2))
    invert(singular)
    assert np.isfinite(singular).all()
    with pytest.raises(ValueError, match="overflow"):
        invert(np.full((1, 2, 2), INF))


@pytest.mark.parametrize("n_domains", [16, 11])
@pytest.mark.parametrize("kind", ["tree", "grid", "complete", "two", "unlike"])
class TestStructure:
    def test_penalty_is_the_least_over_members_without_rows(self, kind, n_domains):
        A = adjacency(kind, 16)
        structure = Related(graph_of(A, n_domains))
        W = np.random.default_rng(0).normal(size=(n_domains, 2, 3))
        everyone = structure.extend(W)
        assert_array_equal(everyone[:n_domains], W)
        pulls = np.einsum("st,tkj->skj", laplacian(A), everyone)
        assert_allclose(pulls[n_domains:], 0, atol=1e-12)
        omega = np.einsum("skj,skj->", everyone, pulls)
        assert np.sum(np.square(structure.deviation(W))) == pytest.approx(omega)

    def test_adjoint_and_projection(self, kind, n_domains):
        structure = Related(graph_of(adjacency(kind, 16), n_domains))
        rng = np.random.default_rng(0)
        W, V = rng.normal(size=(2, n_domains, 2, 3))
        D = rng.normal(size=structure.deviation(W).shape)
        left = np.sum(structure.deviation(W) * D)
        assert np.sum(W * structure.adjoint(D)) == pytest.approx(left)
        P = structure.project(W)
        assert_allclose(structure.project(P), P)
        assert_allclose(structure.deviation(P), 0, atol=1e-12)
        assert np.sum(P * V) == pytest.approx(np.sum(W * structure.project(V)))

    def test_gradient_of_the_penalty(self, kind, n_domains):
        structure = Related(graph_of(adjacency(kind, 16), n_domains))
        tie = Tie(structure, np.array([0.5, INF, 0.0]))
        at = RelatedCoordinates(tie, (n_domains, 1, 3), np.ones(3))
        rng = np.random.default_rng(0)
        theta = at.locate(rng.normal(size=at.shape))
        step = at.locate(rng.normal(size=at.shape))
        _, W = at.split(theta)
        slope = at.tie_gradient(W) @ step
        assert_allclose(at.tie_hessp(W), at.tie_gradient(W), atol=1e-12)
        h = 1e-3
        ahead, behind = (at.penalty(at.split(theta + s * step)[1]) for s in (h, -h))
        assert slope == pytest.approx((ahead - behind) / (2 * h), rel=1e-8)
        assert at.penalty(W) == pytest.approx(tie.value(W))
        assert np.abs(at.differences(W)[..., 1]).max() == 0
