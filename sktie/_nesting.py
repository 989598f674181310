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
        Where each node is in the order of elimination.
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


#: Levels up to which a forest is worth going through, one after the other.
DEEP = 100
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


def nest(adjacency: Matrix) -> Nesting:
    """Return a forest by which systems on a graph are solved.

    Trees, and trees that hang on something else, are themselves. The nodes of what is
    left are held where they are, by the sum of their weights, as if all around them
    were at rest: a model of the graph for ties that reach no further than neighbours.
    So are all nodes where trees are deep, such as long paths.
    """
    adjacency = sp.csr_array(adjacency)
    n_nodes = adjacency.shape[0]
    rounds, core = _peel(adjacency)
    if len(rounds) > DEEP:
        rounds, core = [], np.arange(n_nodes)
    if not len(core):
        return _nesting(rounds, n_nodes, True)
    weight = np.asarray(adjacency[core][:, core].sum(axis=1)).ravel()
    empty = np.empty(0, np.intp)
    rounds.append((empty, empty, np.empty(0), core))
    return _nesting(rounds, n_nodes, False, weight)


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
