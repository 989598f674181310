"""Which domains are related, and how closely: graphs as users give them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from sktie._typing import Array, FloatArray, IntArray, Matrix
from sktie._validation import is_frame

FORMS = (
    "Use an adjacency matrix (dense or sparse, rows and columns in the order of the "
    "sorted labels of the domains), a data frame with labels for both, a networkx "
    "graph, {(label, label): weight}, a nesting {label: parent}, or 'learned'."
)
#: Differences of the two weights of a pair that count as rounding.
ASYMMETRY = 1e-8


@dataclass(frozen=True)
class DomainGraph:
    """Domains and other members, and the weights of the edges between them.

    Attributes
    ----------
    labels : tuple
        Labels of all nodes: first those of the domains with rows, in their order, then
        the members without rows.
    n_domains : int
        How many domains have rows.
    adjacency : CSR array of shape (n_nodes, n_nodes)
        Symmetric and not negative, with nothing on the diagonal.
    """

    labels: tuple[Hashable, ...]
    n_domains: int
    adjacency: Matrix

    @cached_property
    def component(self) -> IntArray:
        """Number of the component of each node."""
        return np.asarray(connected_components(self.adjacency, directed=False)[1])

    @property
    def n_components(self) -> int:
        """Number of components; every one has a domain with rows."""
        return int(self.component.max()) + 1

    def arranged(self, domains: Array) -> DomainGraph:
        """Return the same graph for other domains with rows.

        Members that no path leads to from a domain with rows are left out: nothing is
        known about them.
        """
        nodes = {label: node for node, label in enumerate(self.labels)}
        found: list[Hashable] = domains.tolist()
        missing = [label for label in found if label not in nodes]
        if missing:
            raise ValueError(_missing(missing, list(self.labels)))
        place = np.array([nodes[label] for label in found])
        component = self.component
        known = np.isin(component, component[place])
        known[place] = False
        kind = isinstance(found[0], str)
        # Labels that rows may have come first: strings, or integers, as the domains.
        others = sorted(
            np.flatnonzero(known).tolist(), key=lambda v: _rank(self.labels[v], kind)
        )
        order = np.concatenate([place, np.array(others, dtype=place.dtype)])
        adjacency = sp.csr_array(self.adjacency[order][:, order])
        return DomainGraph(
            tuple(self.labels[node] for node in order), len(found), adjacency
        )


def _rank(label: Hashable, text: bool) -> tuple[bool, str, Any]:
    of_rows = isinstance(label, str if text else int)
    comparable = isinstance(label, (str, int, float))
    return not of_rows, type(label).__name__, label if comparable else 0


def read_graph(graph: Any, domains: Array) -> DomainGraph:
    """Return a graph for domains with rows.

    Parameters
    ----------
    graph : object
        As the user gave it; see `FORMS`.
    domains : ndarray of shape (n_domains,)
        Sorted labels of the domains with rows.

    Raises
    ------
    ValueError
        If it is no graph, or none of these domains.
    """
    if isinstance(graph, DomainGraph):
        return graph.arranged(domains)
    if all(hasattr(graph, name) for name in ("nodes", "edges", "is_directed")):
        return _from_networkx(graph).arranged(domains)
    if isinstance(graph, Mapping):
        if not graph:
            raise ValueError(f"graph={graph!r} names no domain. {FORMS}")
        pairs = [isinstance(key, tuple) and len(key) == 2 for key in graph]
        found = _from_pairs(graph) if all(pairs) else _from_nesting(graph)
        return found.arranged(domains)
    if is_frame(graph):
        return _from_frame(graph).arranged(domains)
    return _from_matrix(graph, tuple(domains.tolist()))


def _missing(missing: list[Any], labels: list[Any]) -> str:
    return (
        f"graph does not name the domains {missing[:5]}, which have rows; it names "
        f"{labels[:5]}{' and others' if len(labels) > 5 else ''}. Use the labels of "
        "the domains, of the same kind (strings or integers). A domain that is tied "
        "to no other needs an edge of weight 0."
    )


def _label(label: Any) -> Hashable:
    """Return a label as the domains have it: integral numbers as int."""
    if isinstance(label, np.generic):
        label = label.item()
    if isinstance(label, Integral):  # bool too
        return int(label)
    if isinstance(label, float) and label.is_integer():
        return int(label)
    return label  # type: ignore[no-any-return]


def _weight(weight: Any, where: str) -> float:
    number = isinstance(weight, (Real, np.number, np.bool_))
    if not number or not 0 <= float(weight) < np.inf:
        raise ValueError(
            f"graph has the weight {weight!r} {where}; expected a finite number that "
            "is not negative, 0 for no tie."
        )
    return float(weight)


def _assemble(
    labels: Iterable[Hashable],
    rows: Iterable[int],
    columns: Iterable[int],
    weights: Iterable[float],
) -> DomainGraph:
    """Return a graph from its edges, each given once; several of a pair add up."""
    labels = tuple(labels)
    row, column = (np.fromiter(part, np.intp) for part in (rows, columns))
    weight: FloatArray = np.fromiter(weights, np.float64)
    apart = (row != column) & (weight > 0)
    row, column, weight = row[apart], column[apart], weight[apart]
    half = sp.csr_array((weight, (row, column)), shape=(len(labels),) * 2)
    return DomainGraph(labels, 0, sp.csr_array(half + half.T))


def _from_pairs(graph: Mapping[Any, Any]) -> DomainGraph:
    nodes: dict[Hashable, int] = {}
    edges: dict[tuple[int, int], float] = {}
    for pair, weight in graph.items():
        s, t = (nodes.setdefault(_label(label), len(nodes)) for label in pair)
        weight = _weight(weight, f"for the pair {pair!r}")
        other = edges.get((t, s), weight)
        if abs(other - weight) > ASYMMETRY * max(other, weight):
            raise ValueError(_asymmetric(pair, weight, other))
        edges[min(s, t), max(s, t)] = weight
    return _assemble(
        nodes, (s for s, _ in edges), (t for _, t in edges), edges.values()
    )


def _from_nesting(graph: Mapping[Any, Any]) -> DomainGraph:
    parents: dict[Hashable, Hashable] = {}
    for label, parent in graph.items():
        if isinstance(label, tuple) or isinstance(parent, (tuple, list, dict, set)):
            raise ValueError(
                f"graph[{label!r}]={parent!r}; expected the label of its parent, as "
                "in a nesting {label: parent}, or pairs as keys, as in "
                "{(label, label): weight}, and not both."
            )
        parents[_label(label)] = _label(parent)
    checked: set[Hashable] = {None}
    for start in parents:
        trail: dict[Hashable, None] = {}
        above: Hashable = start
        while above not in checked and above in parents:
            if above in trail:
                cycle = [*list(trail)[list(trail).index(above) :], above]
                raise ValueError(
                    f"graph is a nesting with the cycle {cycle}; expected parents "
                    "that lead to a root. Give pairs, {(label, label): weight}, for a "
                    "graph that is no nesting."
                )
            trail[above] = None
            above = parents[above]
        checked.update(trail)
    nodes: dict[Hashable, int] = {}
    for label in [*parents, *parents.values()]:
        if label is not None:
            nodes.setdefault(label, len(nodes))
    edges = [(nodes[c], nodes[p]) for c, p in parents.items() if p is not None]
    children, over = (e[0] for e in edges), (e[1] for e in edges)
    return _assemble(nodes, children, over, repeat(1.0, len(edges)))


def _from_networkx(graph: Any) -> DomainGraph:
    nodes: dict[Hashable, int] = {}
    for label in graph.nodes:
        nodes.setdefault(_label(label), len(nodes))
    edges = [
        (nodes[_label(s)], nodes[_label(t)], _weight(w, f"for the edge {(s, t)!r}"))
        for s, t, w in graph.edges(data="weight", default=1.0)
    ]
    if graph.is_directed():
        raise ValueError(
            "graph is directed; expected edges without direction, since a tie pulls "
            "both of its ends. Use graph.to_undirected()."
        )
    return _assemble(nodes, *([e[i] for e in edges] for i in range(3)))  # type: ignore[arg-type]


def _from_frame(graph: Any) -> DomainGraph:
    if not hasattr(graph, "index"):
        raise ValueError(
            f"graph is a {type(graph).__name__} without an index; expected labels of "
            f"rows and columns, as pandas has. {FORMS}"
        )
    rows, columns = ([_label(v) for v in part] for part in (graph.index, graph.columns))
    if rows != columns or len(set(rows)) < len(rows):
        raise ValueError(
            f"graph has rows labelled {rows[:5]} and columns labelled {columns[:5]}; "
            "expected the same labels in the same order, each once."
        )
    return _from_matrix(graph.to_numpy(), tuple(rows))


def _from_matrix(graph: Any, labels: tuple[Hashable, ...]) -> DomainGraph:
    """Return the graph of an adjacency matrix, dense or sparse."""
    n = len(labels)
    if sp.issparse(graph):
        matrix, kind = sp.csr_array(graph), graph.dtype.kind
    else:
        try:
            matrix = np.asarray(graph)
        except ValueError:  # rows of different lengths
            matrix = np.empty(0, dtype=object)
        kind = matrix.dtype.kind
    if kind not in "biuf":
        raise ValueError(f"graph={graph!r}; expected a graph of the domains. {FORMS}")
    if matrix.shape != (n, n):
        raise ValueError(
            f"graph has shape {matrix.shape}; expected {(n, n)}, a row and a column "
            f"for each of the {n} domains with rows, in the order of their sorted "
            "labels. Where some rows may lack a domain, as in cross-validation, use "
            "{(label, label): weight}."
        )
    matrix = sp.coo_array(matrix.astype(np.float64))
    bad = np.flatnonzero(~((matrix.data >= 0) & (matrix.data < np.inf)))
    if len(bad):
        s, t = labels[matrix.row[bad[0]]], labels[matrix.col[bad[0]]]
        _weight(float(matrix.data[bad[0]]), f"between {s!r} and {t!r}")
    csr = sp.csr_array(matrix)
    apart = sp.coo_array(abs(csr - csr.T) - ASYMMETRY * csr)
    found = np.flatnonzero(apart.data > 0)
    if len(found):
        s, t = int(apart.row[found[0]]), int(apart.col[found[0]])
        raise ValueError(_asymmetric((labels[s], labels[t]), csr[s, t], csr[t, s]))
    above = matrix.row < matrix.col
    graph = _assemble(labels, matrix.row[above], matrix.col[above], matrix.data[above])
    return DomainGraph(labels, n, graph.adjacency)


def _asymmetric(pair: Any, there: float, back: float) -> str:
    return (
        f"graph ties {pair[0]!r} to {pair[1]!r} with weight {float(there):g} and back "
        f"with {float(back):g}; expected equal weights, since a tie pulls both. Use "
        "(A + A.T) / 2, or the larger of both, as for nearest neighbours."
    )
