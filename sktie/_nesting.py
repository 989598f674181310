"""Forests of members that are eliminated from the leaves up, many at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp

from sktie._typing import FloatArray, IntArray, Matrix


@dataclass(frozen=True)
class Level:
    """Nodes of a forest that are eliminated together.

    Attributes
    ----------
    nodes, roots : slice
        Places of nodes with a parent, and of nodes without.
    weight : ndarray of shape (n_nodes, 1)
        Weights of the edges of ``nodes`` to their parents.
    up : ndarray of shape (n_nodes,)
        Place of the parent of each.
    parents : ndarray
        The distinct ones of these.
    gather : CSR array of shape (n_parents, n_nodes), or None
        Adds up what the nodes say to each parent; None where each has one child.
    """

    nodes: slice
    roots: slice
    weight: FloatArray
    up: IntArray
    parents: IntArray
    gather: Matrix | None

    def sums(self, parts: FloatArray) -> FloatArray:
        """Return the sums over the children of each of ``parents``."""
        if self.gather is None:
            return parts
        flat = parts.reshape(len(parts), -1)
        return np.asarray(self.gather @ flat).reshape(-1, *parts.shape[1:])


@dataclass(frozen=True)
class Nesting:
    """A rooted forest.

    Attributes
    ----------
    place : ndarray of shape (n_nodes,)
        Where each node is in the order of elimination. Nodes of the graph come first;
        clusters of them may follow.
    levels : tuple of Level
        Children before their parents.
    exact : bool
        Whether it is the graph, and not a model of it.
    lumped : ndarray of shape (n_roots,), or None
        Weights by which the last roots are held where they are, as if all around
        them were at rest.
    """

    place: IntArray
    levels: tuple[Level, ...]
    exact: bool
    lumped: FloatArray | None


#: Nodes that go together, the parents and weights of theirs, and roots beside them.
Round: TypeAlias = tuple[IntArray, IntArray, FloatArray, IntArray]


def _nesting(
    rounds: list[Round],
    n_nodes: int,
    exact: bool,
    lumped: FloatArray | None = None,
) -> Nesting:
    """Return the forest whose nodes go round by round."""
    sorted_rounds = []
    for nodes, up, weight, roots in rounds:
        order = np.argsort(up, kind="stable")
        sorted_rounds.append((nodes[order], up[order], weight[order], roots))
    order = np.concatenate(
        [np.r_[nodes, roots] for nodes, _, _, roots in sorted_rounds]
    )
    place = np.empty(n_nodes, np.intp)
    place[order] = np.arange(n_nodes)
    levels, start = [], 0
    for nodes, up, weight, roots in sorted_rounds:
        middle, stop = start + len(nodes), start + len(nodes) + len(roots)
        up = place[up]
        parents, index = np.unique(up, return_inverse=True)
        gather = None
        if len(parents) < len(nodes):
            table = np.ones(len(nodes)), (index.ravel(), np.arange(len(nodes)))
            gather = sp.csr_array(table, shape=(len(parents), len(nodes)))
        else:
            parents = up
        levels.append(
            Level(
                slice(start, middle),
                slice(middle, stop),
                weight[:, np.newaxis],
                up,
                parents,
                gather,
            )
        )
        start = stop
    return Nesting(place, tuple(levels), exact, lumped)


def nest(adjacency: Matrix, loose: bool = False) -> Nesting:
    """Return a forest by which systems on a graph are solved.

    Trees, and trees that hang on something else, are themselves. What is left is
    gathered in clusters of neighbours, these again in clusters, and so on. A node is
    tied to its cluster by the sum of its weights, two clusters by the sum of the
    weights between them. For loose ties, which reach no further than the neighbours,
    there are no clusters: nodes are held by the sum of their weights.

    Parameters
    ----------
    adjacency : sparse matrix of shape (n_nodes, n_nodes)
        Weights.
    loose : bool
        Whether to do without clusters.

    Notes
    -----
    Eliminating the clusters leaves, on a graph without curvature, the sum of Jacobi's
    method and of corrections that are constant on each cluster, the additive two-level
    method: the number of conjugate gradient steps does not grow with the strength of
    the tie. Two clusterings were tried on graphs of 5 nearest neighbours: pairs that
    are joined twice needed twice as many steps as whole neighbourhoods.

    References
    ----------
    K. Gremban (1996). Combinatorial preconditioners for sparse, symmetric, diagonally
    dominant linear systems. PhD thesis, Carnegie Mellon University.
    I. Koutis, G. Miller (2008). Graph partitioning into isolated, high conductance
    clusters. SPAA.
    """
    adjacency = sp.csr_array(adjacency)
    rounds, core = _peel(adjacency)
    n_nodes = adjacency.shape[0]
    if not len(core):
        return _nesting(rounds, n_nodes, True)
    graph = sp.csr_array(adjacency[core][:, core])
    nodes, empty = core, np.empty(0, np.intp)
    if loose:
        rounds.append((empty, empty, np.empty(0), core))
        return _nesting(rounds, n_nodes, False, np.asarray(graph.sum(axis=1)).ravel())
    while graph.nnz:
        weight = np.asarray(graph.sum(axis=1)).ravel()
        tied = np.flatnonzero(weight)
        label = clusters(sp.csr_array(graph[tied][:, tied]))
        roots = nodes[weight == 0]
        rounds.append((nodes[tied], n_nodes + label, weight[tied], roots))
        ones = np.ones(len(tied))
        shape = int(label.max()) + 1, graph.shape[0]
        join = sp.csr_array((ones, (label, tied)), shape)
        graph = sp.csr_array(join @ graph @ join.T)
        graph.setdiag(0.0)
        graph.eliminate_zeros()
        nodes = n_nodes + np.arange(shape[0])
        n_nodes += shape[0]
    rounds.append((empty, empty, np.empty(0), nodes))
    return _nesting(rounds, n_nodes, False)


def _peel(adjacency: Matrix) -> tuple[list[Round], IntArray]:
    """Take leaves off a graph until none is left; return what remains."""
    n_nodes = adjacency.shape[0]
    edges = sp.coo_array(adjacency)
    row, column = edges.row.astype(np.intp), edges.col.astype(np.intp)
    degree = np.bincount(row, minlength=n_nodes)
    # All neighbours of a node in one number: of a leaf it is the only one.
    around = np.zeros(n_nodes, np.intp)
    np.bitwise_xor.at(around, row, column)
    left = np.ones(n_nodes, dtype=bool)
    parent = np.full(n_nodes, -1)
    rounds = []
    ends = np.flatnonzero(degree <= 1)
    while len(ends):
        roots, leaves = ends[degree[ends] == 0], ends[degree[ends] == 1]
        up = around[leaves]
        # Of two leaves that are all of a tree, the first goes.
        goes = (degree[up] > 1) | (leaves < up)
        leaves, up = leaves[goes], up[goes]
        parent[leaves] = up
        left[leaves] = left[roots] = False
        rounds.append((leaves, roots))
        np.subtract.at(degree, up, 1)
        np.bitwise_xor.at(around, up, leaves)
        up = np.unique(up)
        ends = up[left[up] & (degree[up] <= 1)]
    weight = np.zeros(n_nodes)
    own = parent[row] == column
    weight[row[own]] = edges.data[own]
    found = [(nodes, parent[nodes], weight[nodes], roots) for nodes, roots in rounds]
    return found, np.flatnonzero(left)


def clusters(adjacency: Matrix) -> IntArray:
    """Return the cluster of each node: whole neighbourhoods, and what lies between.

    Nodes of many neighbours are first. Every node must have a neighbour.
    """
    start, other = adjacency.indptr.tolist(), adjacency.indices.tolist()
    weight = adjacency.data.tolist()
    n_nodes = len(start) - 1
    label = [-1] * n_nodes
    n_clusters = 0
    for node in np.argsort(-np.diff(adjacency.indptr), kind="stable").tolist():
        around = other[start[node] : start[node + 1]]
        if label[node] < 0 and all(label[t] < 0 for t in around):
            for t in (node, *around):
                label[t] = n_clusters
            n_clusters += 1
    found = label.copy()
    for node in range(n_nodes):
        if label[node] >= 0:
            continue
        drawn: dict[int, float] = {}
        for edge in range(start[node], start[node + 1]):
            cluster = label[other[edge]]
            if cluster >= 0:
                drawn[cluster] = drawn.get(cluster, 0.0) + weight[edge]
        found[node] = max(drawn, key=drawn.__getitem__)
    return np.array(found)
