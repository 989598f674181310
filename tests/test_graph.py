"""Tests of sktie._graph: every form that a graph may have, against its edges."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from sktie._graph import DomainGraph, read_graph

DOMAINS = np.array(["a", "b", "c", "d"])
#: b is tied to a and, more weakly, to d; c to none.
A = np.array([[0, 2, 0, 0], [2, 0, 0, 0.5], [0, 0, 0, 0], [0, 0.5, 0, 0]])
PAIRS = {("b", "a"): 2, ("d", "b"): 0.5, ("c", "a"): 0}


class Network:
    """What is asked of a graph of networkx."""

    nodes = ("d", "c", "b", "a")

    def edges(self, data, default):
        weights = {("a", "b"): 2.0, ("b", "d"): 0.5}
        assert data == "weight"
        assert default == 1.0
        return iter((s, t, w) for (s, t), w in weights.items())

    def is_directed(self):
        return False


FORMS = {
    "array": A,
    "integers": np.array(2 * A, dtype=np.int8),
    "list": A.tolist(),
    "csr": sp.csr_array(A),
    "coo matrix": sp.coo_matrix(A),
    "stored zeros": sp.csr_array((A.ravel(), (*np.divmod(np.arange(16), 4),))),
    "with a diagonal": A + np.diag([0, 3.0, 5.0, 0]),
    "sparse, with a diagonal": sp.csc_array(A + np.diag([0, 3.0, 5.0, 0])),
    "nearly symmetric": A * np.array([1.0, 1 + 1e-9, 1.0, 1.0]),
    "pairs": PAIRS,
    "both ways": PAIRS | {("a", "b"): 2.0, ("b", "d"): 0.5},
    "nearly both ways": PAIRS | {("a", "b"): 2.0 * (1 + 1e-9)},
    "with itself": PAIRS | {("b", "b"): 7.0},
    "numpy labels": {(np.str_(s), np.str_(t)): w for (s, t), w in PAIRS.items()},
    "networkx": Network(),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_one_graph_have_its_edges(form):
    graph = read_graph(FORMS[form], DOMAINS)
    assert graph.labels == tuple("abcd")
    assert graph.n_domains == 4
    weights = 2 * A if form == "integers" else A
    found = graph.adjacency.toarray()
    np.testing.assert_allclose(found, weights, rtol=2e-9)
    assert_array_equal(found, found.T)
    assert found.dtype == np.float64
    assert_array_equal(graph.component[[0, 1, 3]], graph.component[0])
    assert graph.component[2] != graph.component[0]
    assert graph.n_components == 2


@pytest.mark.parametrize(
    "number",
    [int, float, np.int64, np.float32, np.uint8],
    ids=lambda kind: kind.__name__,
)
def test_whole_numbers_are_one_label_whatever_their_type(number):
    graph = {(number(1), number(2)): 1.0, (2, 3.0): np.float32(0.5)}
    found = read_graph(graph, np.array([1, 2, 3]))
    assert found.labels == (1, 2, 3)
    assert_array_equal(found.adjacency.toarray(), [[0, 1, 0], [1, 0, 0.5], [0, 0.5, 0]])


def test_a_nesting_ties_each_to_its_parent_alone():
    nesting = {"b": "north", "a": "north", "c": "south", "d": None, "north": "all"}
    found = read_graph(nesting | {"south": "all", "all": None}, DOMAINS)
    # Domains first, in their order; then the others, sorted.
    assert found.labels == ("a", "b", "c", "d", "all", "north", "south")
    expected = np.zeros((7, 7))
    for s, t in [(0, 5), (1, 5), (2, 6), (5, 4), (6, 4)]:
        expected[s, t] = expected[t, s] = 1.0
    assert_array_equal(found.adjacency.toarray(), expected)
    assert found.n_components == 2


def test_others_come_as_labels_of_rows_would_then_sorted():
    graph = {("a", 2): 1, ("a", "z"): 1, ("a", 1): 1, ("a", "x"): 1, ("a", 0.5): 1}
    found = read_graph(graph, np.array(["a"]))
    assert found.labels == ("a", "x", "z", 0.5, 1, 2)
    graph = {(7, 2): 1, (7, "z"): 1, (7, 1): 1, (7, "x"): 1, (7, (0, 1)): 1}
    found = read_graph(graph, np.array([7]))
    assert found.labels == (7, 1, 2, "x", "z", (0, 1))


def test_a_graph_is_arranged_for_other_domains():
    first = read_graph({("a", "b"): 1.0, ("b", "c"): 2.0, ("d", "e"): 3.0}, DOMAINS)
    assert first.labels == ("a", "b", "c", "d", "e")
    assert isinstance(first, DomainGraph)
    found = read_graph(first, np.array(["b", "c"]))
    # a is reached from b; nothing leads to d and e.
    assert found.labels == ("b", "c", "a")
    assert found.n_domains == 2
    assert_array_equal(found.adjacency.toarray(), [[0, 2, 1], [2, 0, 0], [1, 0, 0]])


def test_frames_are_read_by_their_labels():
    pd = pytest.importorskip("pandas")
    order = [2, 0, 3, 1]
    frame = pd.DataFrame(A, DOMAINS, DOMAINS).iloc[order, order]
    assert_array_equal(read_graph(frame, DOMAINS).adjacency.toarray(), A)
    with pytest.raises(ValueError, match=r"rows labelled \['a'.*same labels.*order"):
        read_graph(frame.loc[DOMAINS], DOMAINS)
    twice = pd.DataFrame(A, list("aabc"), list("aabc"))
    with pytest.raises(ValueError, match="each once"):
        read_graph(twice, DOMAINS)


def test_a_frame_without_an_index_is_no_graph():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({label: A[:, k] for k, label in enumerate(DOMAINS)})
    with pytest.raises(ValueError, match="DataFrame without an index; expected"):
        read_graph(frame, DOMAINS)


def test_directed_networks_have_a_remedy():
    network = Network()
    network.is_directed = lambda: True
    with pytest.raises(ValueError, match=r"both of its ends\. Use graph\.to_und"):
        read_graph(network, DOMAINS)


WRONG = {
    "ragged": ([[0, 1], [1]], "expected a graph of the domains"),
    "words": (np.full((4, 4), "x"), "expected a graph of the domains"),
    "complex": (1j * A, "expected a graph of the domains"),
    "negative": (A - 2.5 * np.eye(4), "weight -2.5 between 'a' and 'a'"),
    "later negative": (A - np.diag([0, 0, 1.5, 0]), "-1.5 between 'c' and 'c'"),
    "not symmetric": (np.triu(A), "'a' to 'b' with weight 2 and back with 0"),
    "hardly symmetric": (
        A + np.diag([0, 0, 1e-7], k=1),
        "'c' to 'd' with weight 1e-07 and back with 0",
    ),
    "pairs that differ": (
        PAIRS | {("a", "b"): 2.0 * (1 + 1e-7)},
        "ties 'a' to 'b'.*equal weights",
    ),
    "a weight of None": (PAIRS | {("a", "c"): None}, r"None for the pair \('a', 'c'\)"),
    "a short list": (
        A[:3],
        r"shape \(3, 4\); expected \(4, 4\), .*labels\. Where some rows",
    ),
    "a cycle": (
        {"a": "b", "b": "c", "c": "d", "d": "b"},
        r"cycle \['b', 'c', 'd', 'b'\]",
    ),
    "a set as a parent": ({"a": {"b"}}, "expected the label of its parent"),
    "a key of three": ({("a", "b", "c"): 1.0}, "expected the label of its parent"),
    "six that lack": (
        {(s, s + s): 1 for s in "uvwxyz"},
        r"\['a', 'b', 'c', 'd'\].*names \['u', 'uu', 'v', 'vv', 'w'\] and others",
    ),
    "some that lack": (
        {("a", "b"): 1, ("a", "x"): 1},
        r"\['c', 'd'\].*names \['a', 'b', 'x'\]\. Use",
    ),
}


@pytest.mark.parametrize(("graph", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_graph_is_named(graph, message):
    with pytest.raises(ValueError, match=message):
        read_graph(graph, DOMAINS)
