"""Tests of sktie._features and sktie._shares."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sktie import FeatureTie
from sktie._design import Design
from sktie._features import Features, read_dependencies, read_strengths
from sktie._shares import Shares

INF = np.inf
NAMES = np.array(["age", "bp", "chol", "dose", "eye"], dtype=object)
NAMED, NUMBERED = Features(5, NAMES), Features(5, None)


def read(ties=None, factor=1.0, shares=None, features=NUMBERED):
    return read_dependencies(ties, factor, shares, features)


def penalty(found, w):
    """The penalty of the finite ties at coefficients of all features."""
    return 0.5 * np.sum(np.square(found.root @ w)) if found.root is not None else 0.0


def distance_penalty(w, places, ratios, strength):
    """The formula of `FeatureTie`, as it is written."""
    r = np.asarray(ratios, dtype=float)
    m = sum(r[k] * w[i] for k, i in enumerate(places)) / np.sum(r**2)
    return strength / 2 * 2 * sum((w[i] - r[k] * m) ** 2 for k, i in enumerate(places))


W = np.array([0.3, -1.2, 2.0, 0.7, 1.1])


@pytest.mark.parametrize(
    ("ties", "terms"),
    [
        ([[0, 1]], [((0, 1), (1, 1), 1)]),
        ([(0, -1)], [((0, 4), (1, 1), 1)]),
        ([np.array([0, 1, 3])], [((0, 1, 3), (1, 1, 1), 1)]),
        ([{0: 1, 2: -1}], [((0, 2), (1, -1), 1)]),
        ([{0: 2.0, 2: -0.5, 3: 1}], [((0, 2, 3), (2, -0.5, 1), 1)]),
        ([FeatureTie([1, 2], 7.0)], [((1, 2), (1, 1), 7)]),
        (
            [FeatureTie({1: 1, 2: 3}, 0.5), [2, 3, 4]],
            [((1, 2), (1, 3), 0.5), ((2, 3, 4), (1, 1, 1), 1)],
        ),
        ([FeatureTie([1, 2], 0.0)], []),
        ([], []),
    ],
)
@pytest.mark.parametrize("factor", [1.0, 2.5])
def test_groups_are_penalised_as_the_formula_says(ties, terms, factor):
    found = read(ties, factor)
    assert found.shares is None
    expected = sum(distance_penalty(W, *term) for term in terms)
    assert_allclose(penalty(found, W), factor * expected, rtol=1e-12)


def test_two_features_are_tied_by_their_difference():
    assert_allclose(penalty(read([[0, 1]]), W), 0.5 * 1.5**2)
    assert_allclose(penalty(read([{0: 1, 1: -1}]), W), 0.5 * 0.9**2)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, sp.coo_matrix])
def test_a_graph_penalises_its_edges(form):
    graph = np.zeros((5, 5))
    graph[0, 1] = graph[1, 0] = 2.0
    graph[3, 1] = graph[1, 3] = 0.5
    graph[2, 2] = 9.0  # of a feature to itself, as grid_to_graph makes them
    expected = 0.5 * (2.0 * (W[0] - W[1]) ** 2 + 0.5 * (W[3] - W[1]) ** 2)
    assert_allclose(penalty(read(form(graph)), W), expected, rtol=1e-12)


def test_infinite_edges_are_shares_and_the_others_ties():
    graph = np.zeros((5, 5))
    graph[0, 3] = graph[3, 0] = INF
    graph[1, 2] = graph[2, 1] = 1.0
    found = read(graph)
    assert_array_equal(found.shares.index, [0, 1, 2, 0, 3])
    assert found.root.shape[0] == 1


def test_names_and_positions_mean_the_same():
    one = read([{"age": 1, "dose": -1}], 1.0, [["chol", "eye"]], NAMED)
    two = read([{0: 1, -2: -1}], 1.0, [[2, 4]], NAMED)
    assert_array_equal(one.root.toarray(), two.root.toarray())
    assert_array_equal(one.shares.index, two.shares.index)


@pytest.mark.parametrize(
    ("groups", "index", "ratio"),
    [
        ([[0, 1]], [0, 0, 1, 2, 3], [1, 1, 1, 1, 1]),
        ([[3, 1]], [0, 1, 2, 1, 3], [1, 1, 1, 1, 1]),
        ([{3: 1, 1: -2}], [0, 1, 2, 1, 3], [1, 1, 1, -0.5, 1]),
        # Sets that meet are one: 0 = -2 of 2, 2 = 3 of 4.
        ([{0: -2, 2: 1}, {2: 3, 4: 1}], [0, 1, 0, 2, 0], [1, 1, -0.5, 1, -1 / 6]),
        # The same said twice, and around a ring.
        ([[0, 1], [1, 0], [1, 2], [2, 0]], [0, 0, 0, 1, 2], [1, 1, 1, 1, 1]),
        (
            [{0: 1, 1: 2}, {1: 2, 2: 6}, {2: 3, 0: 0.5}],
            [0, 0, 0, 1, 2],
            [1, 2, 6, 1, 1],
        ),
    ],
)
def test_equalities_leave_the_first_feature_of_each_set(groups, index, ratio):
    for found in (
        read(shares=groups),
        read(groups, INF),
        read([FeatureTie(group, INF) for group in groups]),
    ):
        assert_array_equal(found.shares.index, index)
        assert_allclose(found.shares.ratio, ratio, rtol=1e-12)
        assert found.root is None


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda e: e[0] != e[1]),
        min_size=1,
        max_size=12,
    ),
    st.lists(
        st.sampled_from([-3.0, -1.0, -0.5, 0.25, 1.0, 2.0]), min_size=8, max_size=8
    ),
)
def test_consistent_equalities_hold_in_any_order(edges, values):
    # Ratios of one vector cannot contradict each other.
    groups = [{i: values[i], j: values[j]} for i, j in edges]
    shares = read(shares=groups, features=Features(8, None)).shares
    n, label = sp.csgraph.connected_components(
        sp.coo_array((np.ones(len(edges)), np.transpose(edges)), shape=(8, 8)), False
    )
    assert shares.n_stored == n
    w = shares.ratio * np.arange(1.0, n + 1)[shares.index]
    for i, j in edges:
        assert_allclose(w[i] * values[j], w[j] * values[i], rtol=1e-9)
    assert len(set(zip(label.tolist(), shares.index.tolist(), strict=True))) == n


SHARES = Shares(np.array([0, 1, 0, 2, 1]), np.array([1.0, 1.0, -2.0, 1.0, 0.5]))


def test_the_basis_is_orthonormal_and_spans_the_equalities():
    E = SHARES.basis.toarray()
    assert_allclose(E.T @ E, np.eye(3), atol=1e-15)
    z = np.array([0.3, -1.0, 2.0])
    w = E @ z
    assert_allclose([w[2] / w[0], w[4] / w[1]], [-2.0, 0.5])
    assert_allclose(SHARES.widen(z), w)
    # An intercept behind the slopes stays what it is, for any number of rows.
    rows = np.arange(24.0).reshape(2, 3, 4)
    wide = SHARES.widen(rows)
    assert_allclose(wide[..., :5], rows[..., :3] @ E.T)
    assert_array_equal(wide[..., 5], rows[..., 3])
    assert_allclose(SHARES.narrow(wide), rows, atol=1e-13)


@pytest.mark.parametrize(
    "weight",
    [np.array([1.0, 2, 3, 4, 5]), np.array([0, 1.0, 2, 0, 0]), np.ones(5), np.zeros(5)],
)
def test_narrow_minimises_the_weighted_distance(weight):
    rng = np.random.default_rng(0)
    w = rng.normal(size=(2, 5))
    E = SHARES.basis.toarray()
    # Where no weight holds a coefficient, all of its features count alike.
    used = weight + 1e-9
    root = np.sqrt(used)[:, np.newaxis]
    expected = np.linalg.lstsq(root * E, root * w.T, rcond=None)[0].T
    assert_allclose(SHARES.narrow(w, weight), expected, rtol=1e-7)


def test_infinite_weights_alone_count_in_narrow_and_in_strengths():
    weight = np.array([INF, 1.0, 5.0, 2.0, INF])
    w = np.array([0.4, 9.0, 9.0, 0.2, -1.0])
    wide = SHARES.widen(SHARES.narrow(w, weight))
    assert_allclose(wide[[0, 3, 4]], [0.4, 0.2, -1.0])
    assert_array_equal(SHARES.strengths(weight), [INF, INF, 2.0])
    even = SHARES.strengths(np.array([3.0, 3, 3, 3, 3, 8.0]))
    assert_allclose(even, [3, 3, 3, 8])


@pytest.mark.parametrize("skip", [None, 0, 3, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["dense", "fortran", "csr_array", "csr_matrix"])
def test_columns_are_aggregated_in_the_type_of_X(kind, dtype, skip):
    X = np.random.default_rng(0).normal(size=(7, 5)).astype(dtype)
    expected = X @ SHARES.basis.toarray()
    if skip is not None:
        X = np.insert(X, skip, 99.0, axis=1)
    make = {"dense": np.asarray, "fortran": np.asfortranarray}
    given = make[kind](X) if kind in make else getattr(sp, kind)(X)
    found = SHARES.aggregate(given, skip)
    assert found.dtype == dtype
    assert sp.issparse(found) == sp.issparse(given)
    if sp.issparse(found):
        assert found.format == "csr"
        found = found.toarray()
    else:
        assert found.flags.c_contiguous
    assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("skip", [None, 1])
def test_the_stiffest_ties_are_limited_by_the_data(sparse, skip):
    X = np.full((10, 5 + (skip is not None)), 2.0)
    design = Design(sp.csr_array(X) if sparse else X, np.array([0, 10]), skip=skip)
    for strength in (1e6, 1e14, 1e30, 1e300):
        Q = read([[0, 1], [2, 3, 4]], strength).quadratic(2, design, 3.0).matrix
        assert Q.shape == (12, 12)
        limit = min(strength, 1e13 * 10 * 4 * 3)
        assert_allclose(Q[0, 0], limit, rtol=0.6)
        # What is tied is the difference, whatever the limit; the intercept is not.
        assert_allclose(Q[:6, :6].sum(axis=1), 0, atol=1e-12 * Q[0, 0])
        assert_array_equal(Q[5], 0)
        assert_array_equal(Q[:6, :6], Q[6:, 6:])


# --- Strengths by coefficient.


@pytest.mark.parametrize(
    ("tie", "expected"),
    [
        (2, 2.0),
        (INF, INF),
        ({"age": INF, 1: 0, None: 2.0}, [INF, 0, 2, 2, 2]),
        (dict.fromkeys(range(5), 3.0), [3.0] * 5),
        ([1, 2, 3, 4, INF], [1, 2, 3, 4, INF]),
        (np.arange(5), [0, 1, 2, 3, 4]),
    ],
)
def test_strengths_are_one_or_one_for_each(tie, expected):
    assert_array_equal(read_strengths(tie, NAMED), expected)


# --- What cannot be read.

BAD = [
    ({"shares": [["a", "bp"]]}, NAMED, r"'a'.*no feature of X.*age"),
    ({"shares": [["a", "b"]]}, NUMBERED, "no column names.*positions"),
    ({"shares": [[0, 5]]}, NUMBERED, "holds 5.*from -5 to 4"),
    ({"ties": [[0, -6]]}, NUMBERED, "holds -6.*from -5 to 4"),
    ({"ties": [[0, 1.5]]}, NUMBERED, "holds 1.5"),
    ({"ties": [[0, True]]}, NUMBERED, "holds True"),
    ({"shares": [[0, 1, 0]]}, NUMBERED, "feature 0 appears twice"),
    ({"shares": [["age", 0]]}, NAMED, "feature 'age' appears twice"),
    ({"ties": [[0]]}, NUMBERED, "two features or more"),
    ({"ties": ["age"]}, NAMED, "holds 'age'.*groups"),
    (
        {"ties": [3]},
        NUMBERED,
        r"holds 3; .*groups .*as \['left', 'right'\] or .*-1\}\.$",
    ),
    ({"ties": {0: 1, 1: -1}}, NUMBERED, "a list of groups"),
    ({"ties": FeatureTie([0, 1])}, NUMBERED, "a list of groups"),
    ({"ties": "age"}, NAMED, "a list of groups"),
    ({"shares": np.array(3.0)}, NUMBERED, "a list of groups"),
    ({"ties": [{0: 1, 1: 0}]}, NUMBERED, "ratio 0 "),
    ({"ties": [{0: 1, 1: INF}]}, NUMBERED, "ratio inf"),
    ({"shares": [{0: 1, 1: np.nan}]}, NUMBERED, "ratio nan"),
    ({"shares": [{0: 1, 1: "2"}]}, NUMBERED, "ratio '2'"),
    ({"ties": [FeatureTie([0, 1], -1.0)]}, NUMBERED, "is -1.0; expected a number"),
    ({"ties": [FeatureTie([0, 1], np.nan)]}, NUMBERED, "is nan; expected a number"),
    ({"ties": [FeatureTie([0, 1], INF)], "factor": 0.0}, NUMBERED, "has no value"),
    ({"shares": [FeatureTie([0, 1], 2.0)]}, NUMBERED, "equal has no strength"),
    ({"shares": [[0, 1], {1: 1, 0: -1}]}, NUMBERED, "feature_shares"),
    ({"shares": [[0, 1], [1, 2], {2: 1, 0: 2}]}, NUMBERED, "0 is to be 2 times"),
    ({"ties": [[0, 1]], "factor": INF, "shares": [{0: 1, 1: -1}]}, NUMBERED, "-1 t"),
    ({"shares": [["age", "bp"], {"age": 1, "bp": 2}]}, NAMED, "'bp'.*'age'"),
    ({"shares": [{0: 1e-60, 1: 1e60}]}, NUMBERED, "multiply to more than"),
    ({"ties": np.ones((2, 5))}, NUMBERED, r"shape \(2, 5\).*\(5, 5\)"),
    ({"ties": np.triu(np.ones((5, 5)))}, NUMBERED, "from 0 to 1 and 0 back"),
    ({"ties": -np.ones((5, 5))}, NUMBERED, "negative or NaN"),
    ({"ties": sp.csr_array(np.full((5, 5), np.nan))}, NUMBERED, "negative or NaN"),
]


@pytest.mark.parametrize(("given", "features", "message"), BAD)
def test_what_cannot_be_read_is_an_error(given, features, message):
    with pytest.raises(ValueError, match=message):
        read(**given, features=features)


BAD_TIES = [
    ({"age": 1.0}, "no strength for 4 of 5 features \\('bp', 'chol'"),
    ({"age": -1.0, None: 1.0}, r"tie\['age'\] is -1.0"),
    ({"age": 1.0, None: np.nan}, r"tie\[None\] is nan"),
    ({"age": "1", None: 1.0}, r"tie\['age'\] is '1'"),
    ({"old": 1.0, None: 1.0}, "tie names the feature 'old'"),
    ({"age": 1.0, 0: 2.0, None: 1.0}, "'age' twice"),
    ([1.0, 2.0], "array of 5 strengths"),
    ([1.0, 2.0, 3.0, 4.0, -1.0], "array of 5 strengths"),
    ([1.0, 2.0, 3.0, 4.0, np.nan], "array of 5 strengths"),
    ([["a"], [1, 2]], "array of 5 strengths"),
]


@pytest.mark.parametrize(("tie", "message"), BAD_TIES)
def test_strengths_that_cannot_be_read_are_an_error(tie, message):
    with pytest.raises(ValueError, match=message):
        read_strengths(tie, NAMED)


MANY = [f"x{k:02}" for k in range(20)]


@pytest.mark.parametrize(
    ("n", "shown"),
    [(5, r"'x04'\]"), (12, r"'x11'\]"), (13, r"'x11', '\.\.\.'\]")],
)
def test_messages_name_no_more_features_than_can_be_read(n, shown):
    features = Features(n, np.array(MANY[:n], dtype=object))
    with pytest.raises(ValueError, match=rf"no feature of X; it has .*{shown}\. Use"):
        features.place("weight", "tie")


@pytest.mark.parametrize(
    ("n", "shown"),
    [
        (4, r"1 of 4 features \('x03'\)"),
        (8, r"5 of 8 features \('x03', .*, 'x07'\)"),
        (9, r"6 of 9 features \('x03', .*, 'x07', \.\.\.\)"),
    ],
)
def test_of_features_without_a_strength_five_are_named(n, shown):
    features = Features(n, np.array(MANY[:n], dtype=object))
    with pytest.raises(ValueError, match=rf"tie has no strength for {shown}; exp"):
        read_strengths({"x00": 1.0, "x01": 1.0, "x02": INF}, features)
