"""Tests of sktie._tie."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sktie import tying_penalty
from sktie._tie import Graph, Structure, Tie, TiedCoordinates, ToFixed, ToMean

INF = np.inf
N_MEMBERS = 5
SHAPE = (N_MEMBERS, 2, 3)
TARGET = np.random.default_rng(0).normal(size=SHAPE[1:])


def incidence(edges, n_members=N_MEMBERS):
    """The incidence matrix of edges {(s, t): weight}."""
    matrix = np.zeros((len(edges), n_members))
    for row, ((s, t), weight) in zip(matrix, edges.items(), strict=True):
        row[s], row[t] = np.sqrt(weight), -np.sqrt(weight)
    return sp.csr_array(matrix)


@dataclass(frozen=True)
class Case:
    """A structure and, for the naive formula, its weighted pairs of members."""

    name: str
    structure: Structure
    pairs: dict | None = None

    @property
    def linear(self):
        return self.pairs is not None

    def differences(self, members):
        """The (weight, difference) terms of Omega."""
        if not self.linear:
            return [(1.0, member - TARGET) for member in members]
        return [(a, members[s] - members[t]) for (s, t), a in self.pairs.items()]


ALL_PAIRS = dict.fromkeys(combinations(range(N_MEMBERS), 2), 2 / N_MEMBERS)
CHAIN = {(0, 1): 1.0, (1, 2): 0.3, (2, 3): 2.0, (3, 4): 0.7}
ISLANDS = {(0, 3): 0.5, (3, 2): 2.0}  # members 1 and 4 each stand alone
CASES = [
    Case("mean", ToMean(), ALL_PAIRS),
    Case("fixed", ToFixed(TARGET)),
    Case("complete graph", Graph(incidence(ALL_PAIRS)), ALL_PAIRS),
    Case("chain", Graph(incidence(CHAIN)), CHAIN),
    Case("disconnected graph", Graph(incidence(ISLANDS)), ISLANDS),
]
LINEAR = [case for case in CASES if case.linear]
METRIC = np.array([[2.0, 1.0, 0.0], [1.0, 0.5, 0.0], [0.0, 0.0, 3.0]])  # singular
STRENGTHS = {
    "zero": 0.0,
    "scalar": 1.7,
    "vector": np.array([0.3, 0.0, 20.0]),
    "part shared": np.array([0.3, INF, 2.0]),
    "shared": INF,
}

structures = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
linear_structures = pytest.mark.parametrize("case", LINEAR, ids=lambda case: case.name)
strengths = pytest.mark.parametrize(
    "strength", STRENGTHS.values(), ids=list(STRENGTHS.keys())
)
metrics = pytest.mark.parametrize("metric", [None, METRIC], ids=["euclidean", "metric"])


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def five_point(function, x, direction, step=1e-2):
    """The derivative of a function at x along a direction, to O(step^4)."""

    def at(multiple):
        return function(x + multiple * step * direction)

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)


def naive_penalty(case, strength, metric, members):
    """tie/2 Omega by loops; shared coefficients are taken to agree."""
    strength = np.broadcast_to(strength, members.shape[-1:])
    finite = np.where(np.isinf(strength), 0.0, strength)
    metric = np.eye(len(strength)) if metric is None else metric
    total = 0.0
    for weight, difference in case.differences(members):
        for row in difference:
            for i, a in enumerate(row):
                for j, b in enumerate(row):
                    root = np.sqrt(finite[i] * finite[j])
                    total += 0.5 * weight * root * a * metric[i, j] * b
    return total


def agreeing(tie, members):
    """Members that agree in the shared coefficients alone."""
    return np.where(tie.shared, tie.project(members), members)


# tying_penalty


@pytest.mark.parametrize(
    ("w_a", "w_b", "expected"),
    [
        ([1.0, 2.0], [1.0, 4.0], 4.0),
        (3, 1, 4.0),
        ([[1, 2], [3, 4]], [[0, 2], [3, 6]], 5.0),
        (np.ones((2, 3, 4)), np.zeros((2, 3, 4)), 24.0),
        ([], [], 0.0),
        (np.array([255, 0], np.uint8), np.array([0, 255], np.uint8), 2 * 255.0**2),
        ([True, False], [False, False], 1.0),
    ],
)
def test_tying_penalty_is_the_squared_distance(w_a, w_b, expected):
    penalty = tying_penalty(w_a, w_b)
    assert type(penalty) is float
    assert penalty == expected == tying_penalty(w_b, w_a)


def test_tying_penalty_leaves_its_arguments(rng):
    w_a, w_b = rng.normal(size=(2, 4)).astype(np.float32)
    copies = w_a.copy(), w_b.copy()
    assert_allclose(tying_penalty(w_a, w_b), np.sum((w_a - w_b) ** 2), rtol=1e-6)
    assert_array_equal(w_a, copies[0])
    assert_array_equal(w_b, copies[1])


@pytest.mark.parametrize(
    ("w_a", "w_b"), [([1.0], [1.0, 2.0]), ([[1.0, 2.0]], [1.0, 2.0]), (1.0, [1.0])]
)
def test_tying_penalty_never_broadcasts(w_a, w_b):
    with pytest.raises(ValueError, match=r"w_a has shape \(.*equal shapes"):
        tying_penalty(w_a, w_b)


@pytest.mark.parametrize("bad", [np.nan, INF, -INF])
def test_tying_penalty_names_the_argument_that_is_not_finite(bad):
    with pytest.raises(ValueError, match="w_a contains NaN or infinity"):
        tying_penalty([1.0, bad], [1.0, 2.0])
    with pytest.raises(ValueError, match="w_b contains NaN or infinity"):
        tying_penalty([1.0, 2.0], [1.0, bad])


@pytest.mark.parametrize("container", [sp.csr_array, sp.csc_matrix, sp.coo_array])
def test_tying_penalty_refuses_sparse_parameters(container):
    with pytest.raises(TypeError, match=r"w_b is a sparse .* w_b\.toarray\(\)"):
        tying_penalty(np.eye(2), container(np.eye(2)))


@pytest.mark.parametrize("bad", [["a", "b"], [1j, 2.0], [None, 1.0]])
def test_tying_penalty_refuses_what_is_no_real_number(bad):
    with pytest.raises(TypeError, match=r"w_a has dtype .* regular array\. Convert it"):
        tying_penalty(bad, [1.0, 2.0])


def test_penalty_of_two_members_is_that_of_the_book(rng):
    members = rng.normal(size=(2, 1, 3))
    expected = 0.5 * 3.0 * tying_penalty(members[0], members[1])
    assert_allclose(Tie(ToMean(), 3.0).value(members), expected, rtol=1e-14)


# Structures


@structures
def test_adjoint_passes_the_dot_test(case, rng):
    x = rng.normal(size=SHAPE)
    image = case.structure.deviation(x) - case.structure.deviation(np.zeros(SHAPE))
    y = rng.normal(size=image.shape)
    assert_allclose(np.vdot(image, y), np.vdot(x, case.structure.adjoint(y)))


@structures
def test_project_is_idempotent_and_leaves_no_deviation(case, rng):
    members = rng.normal(size=SHAPE)
    before = members.copy()
    projected = case.structure.project(members)
    assert projected.shape == SHAPE
    assert_allclose(case.structure.deviation(projected), 0, atol=1e-15)
    assert_allclose(case.structure.project(projected), projected, rtol=1e-15)
    projected += 1.0  # the caller's own array, not a view
    assert_array_equal(members, before)


@linear_structures
def test_project_is_self_adjoint(case, rng):
    x, y = rng.normal(size=(2, *SHAPE))
    project = case.structure.project
    assert_allclose(np.vdot(project(x), y), np.vdot(x, project(y)))


@linear_structures
def test_project_is_the_nearest_of_all_without_deviation(case, rng):
    # x - P x is orthogonal to the null space of D, and that is all P maps onto: its
    # rank is the number of components of the graph.
    eye = np.eye(N_MEMBERS)
    matrix = case.structure.project(eye)
    null = N_MEMBERS - np.linalg.matrix_rank(case.structure.deviation(eye))
    assert np.linalg.matrix_rank(matrix) == null
    assert_allclose(np.trace(matrix), null)


def test_project_on_a_disconnected_graph_averages_each_component():
    members = np.arange(5.0)[:, np.newaxis] ** 2
    projected = Graph(incidence(ISLANDS)).project(members)
    mean = (0 + 9 + 4) / 3
    assert_allclose(projected[:, 0], [mean, 1, mean, mean, 16], rtol=1e-15)


def test_graph_without_edges_ties_nothing(rng):
    members = rng.normal(size=(3, 2))
    tie = Tie(Graph(sp.csr_array((0, 3))), 2.0)
    assert tie.value(members) == 0
    assert_array_equal(tie.gradient(members), 0)
    assert_array_equal(tie.project(members), members)


@given(n_members=st.integers(2, 6), n_coefs=st.integers(1, 4), seed=st.integers(0, 99))
def test_complete_graph_of_weight_two_over_members_is_to_mean(n_members, n_coefs, seed):
    members = np.random.default_rng(seed).normal(size=(n_members, n_coefs))
    pairs = dict.fromkeys(combinations(range(n_members), 2), 2 / n_members)
    graph, mean = Graph(incidence(pairs, n_members)), ToMean()
    for strength in (2.5, np.linspace(0, 3, n_coefs)):
        ties = Tie(graph, strength), Tie(mean, strength)
        values = [tie.value(members) for tie in ties]
        assert_allclose(values[0], values[1], rtol=1e-12, atol=1e-14)
        gradients = [tie.gradient(members) for tie in ties]
        assert_allclose(gradients[0], gradients[1], rtol=1e-12, atol=1e-14)
    assert_allclose(graph.project(members), mean.project(members), atol=1e-15)


# Tie


@structures
@strengths
@metrics
def test_value_is_that_of_naive_loops(case, strength, metric, rng):
    tie = Tie(case.structure, strength, metric)
    members = agreeing(tie, rng.normal(size=SHAPE))
    expected = naive_penalty(case, strength, metric, members)
    assert_allclose(tie.value(members), expected, rtol=1e-12, atol=1e-14)


@structures
@strengths
@metrics
def test_gradient_is_that_of_the_value(case, strength, metric, rng):
    tie = Tie(case.structure, strength, metric)
    members = agreeing(tie, rng.normal(size=SHAPE))
    gradient = tie.gradient(members)
    assert gradient.shape == SHAPE
    for direction in rng.normal(size=(4, *SHAPE)):
        # Shared coefficients may only move together; a fixed model does not move.
        allowed = agreeing(tie, members + direction) - members
        expected = five_point(tie.value, members, allowed)
        assert_allclose(np.vdot(gradient, allowed), expected, rtol=1e-9, atol=1e-10)


@structures
@strengths
@metrics
def test_hessp_is_the_change_of_the_gradient(case, strength, metric, rng):
    tie = Tie(case.structure, strength, metric)
    members, direction, other = rng.normal(size=(3, *SHAPE))
    image = tie.hessp(direction)
    # The gradient is affine: one difference, of any length, is exact.
    expected = tie.gradient(members + direction) - tie.gradient(members)
    assert_allclose(image, expected, rtol=1e-9, atol=1e-11)
    assert_allclose(np.vdot(other, image), np.vdot(tie.hessp(other), direction))
    assert np.vdot(direction, image) >= -1e-12


@structures
def test_penalty_is_infinite_where_shared_members_disagree(case, rng):
    tie = Tie(case.structure, np.array([1.0, INF, 0.0]))
    members = agreeing(tie, rng.normal(size=SHAPE))
    assert np.isfinite(tie.value(members))
    members[2, 0, 1] += 1e-9  # an end of an edge in every graph above
    assert tie.value(members) == INF


@pytest.mark.parametrize("n_members", [100, 1000])
def test_penalty_of_many_projected_members_is_finite(n_members, rng):
    tie = Tie(ToMean(), INF)
    members = np.repeat(rng.normal(size=(1, 1, 50)), n_members, axis=0)
    assert tie.value(members) == 0
    assert tie.value(tie.project(rng.normal(size=(n_members, 1, 50)))) == 0


@structures
def test_shared_coefficients_have_no_gradient(case, rng):
    tie = Tie(case.structure, np.array([1.0, INF, 2.0]))
    members = rng.normal(size=SHAPE)
    assert np.all(np.isfinite(tie.gradient(members)))
    assert_array_equal(tie.gradient(members)[..., 1], 0)
    assert_array_equal(tie.hessp(members)[..., 1], 0)
    assert np.all(tie.gradient(members)[2, :, [0, 2]] != 0)


def test_scale_and_weight_are_exact_at_both_ends():
    for strength in (0.0, np.zeros(3)):
        tie = Tie(ToMean(), strength)
        assert_array_equal(tie.scale, np.ones_like(strength))
        assert_array_equal(tie.weight, np.zeros_like(strength))
    tie = Tie(ToMean(), np.array([INF, 0.0]))
    assert_array_equal(tie.scale, [0, 1])
    assert_array_equal(tie.weight, [1, 0])
    assert_array_equal(tie.shared, [True, False])


def test_scale_and_weight_keep_their_digits_at_every_strength():
    strength = np.logspace(-300, 300, 601)
    tie = Tie(ToMean(), strength)
    assert_allclose(tie.weight, strength / (1 + strength), rtol=1e-15)
    # The exponent of the scale, up to log(1e300) / 2 = 345, costs two digits.
    assert_allclose(tie.scale, 1 / np.sqrt(1 + strength), rtol=1e-13)
    ordinary = strength <= 1e6
    assert_allclose(
        tie.scale[ordinary], 1 / np.sqrt(1 + strength[ordinary]), rtol=2e-15
    )


# TiedCoordinates

HUBS = {"mean": ToMean(), "fixed": ToFixed(TARGET)}
DIALS = {
    "untied": 0.0,
    "loose": 1e-9,
    "tied": 2.5,
    "firm": 1e9,
    "shared": INF,
    "mixed": np.array([0.0, 3.0, INF]),
}


@pytest.fixture(params=DIALS.values(), ids=list(DIALS.keys()))
def dial(request):
    return request.param


@pytest.fixture(params=HUBS.values(), ids=list(HUBS.keys()))
def coordinates(request, dial):
    return TiedCoordinates(Tie(request.param, dial), SHAPE)


def test_size_counts_a_free_hub_and_the_deviations(coordinates):
    n_hub = 6 if coordinates.free_hub else 0
    assert coordinates.free_hub == isinstance(coordinates.tie.structure, ToMean)
    assert coordinates.size == n_hub + 30


def test_members_of_located_members_are_the_same(coordinates, rng):
    members = agreeing(coordinates.tie, rng.normal(size=SHAPE))
    theta = coordinates.locate(members)
    assert theta.shape == (coordinates.size,)
    again = coordinates.members(*coordinates.split(theta))
    assert_allclose(again, members, rtol=1e-12, atol=1e-14)


def test_located_members_are_the_nearest_that_the_tie_allows(coordinates, rng):
    members = rng.normal(size=SHAPE)
    again = coordinates.members(*coordinates.split(coordinates.locate(members)))
    assert_allclose(again, agreeing(coordinates.tie, members), rtol=1e-12, atol=1e-14)


def test_split_and_join_are_inverse_on_what_is_allowed(coordinates, rng):
    hub, deviations = coordinates.split(rng.normal(size=coordinates.size))
    assert hub.shape == SHAPE[1:]
    assert deviations.shape == SHAPE
    hub_again, again = coordinates.split(coordinates.join(hub, deviations))
    assert_array_equal(hub_again, hub)
    assert_allclose(again, deviations, rtol=1e-12, atol=1e-15)


def test_any_vector_splits_into_deviations_that_the_tie_allows(coordinates, rng):
    theta = rng.normal(size=coordinates.size)
    hub, deviations = coordinates.split(theta)
    shared = np.broadcast_to(coordinates.tie.shared, SHAPE[2:])
    assert_array_equal(deviations[..., shared], 0)
    assert shared.all() or np.any(deviations[..., ~shared] != 0)
    if coordinates.free_hub:
        assert_allclose(deviations.sum(axis=0), 0, atol=1e-14)
        assert_array_equal(hub.ravel(), theta[:6])
        members = coordinates.members(hub, deviations)
        assert_allclose(members.mean(axis=0), hub, rtol=1e-13)
    else:
        assert_array_equal(hub, TARGET)


def test_members_of_one_strength_are_independent_of_those_of_another(rng):
    # Coefficient j of the mixed dial is that of a dial of its strength alone.
    theta = rng.normal(size=36)
    mixed = TiedCoordinates(Tie(ToMean(), DIALS["mixed"]), SHAPE)
    for j, strength in enumerate(DIALS["mixed"]):
        alone = TiedCoordinates(Tie(ToMean(), strength), SHAPE)
        assert_array_equal(
            mixed.members(*mixed.split(theta))[..., j],
            alone.members(*alone.split(theta))[..., j],
        )


def test_pull_back_is_the_adjoint_of_members(coordinates, rng):
    direction, gradient = rng.normal(size=coordinates.size), rng.normal(size=SHAPE)
    theta = rng.normal(size=coordinates.size)
    image = coordinates.members(*coordinates.split_direction(direction))
    step = coordinates.members(*coordinates.split(theta + direction))
    step -= coordinates.members(*coordinates.split(theta))
    assert_allclose(step, image, rtol=1e-9, atol=1e-12)
    pulled = coordinates.pull_back(gradient)
    assert pulled.shape == (coordinates.size,)
    assert_allclose(np.vdot(image, gradient), pulled @ direction, rtol=1e-11)


@pytest.mark.parametrize("structure", HUBS.values(), ids=list(HUBS.keys()))
@pytest.mark.parametrize("strength", [0.0, 1e-3, 2.5, 1e3, np.array([0.0, 3.0, 40.0])])
def test_penalty_is_that_of_the_tie(structure, strength, rng):
    tie = Tie(structure, strength)
    coordinates = TiedCoordinates(tie, SHAPE)
    members = rng.normal(size=SHAPE)
    _, deviations = coordinates.split(coordinates.locate(members))
    assert_allclose(coordinates.penalty(deviations), tie.value(members), rtol=1e-12)


@pytest.mark.parametrize("structure", HUBS.values(), ids=list(HUBS.keys()))
def test_penalty_at_inf_is_zero(structure, rng):
    coordinates = TiedCoordinates(Tie(structure, INF), SHAPE)
    _, deviations = coordinates.split(rng.normal(size=coordinates.size))
    assert coordinates.penalty(deviations) == 0
    assert_array_equal(coordinates.tie_gradient(deviations), 0)


def test_tie_gradient_is_that_of_the_penalty(coordinates, rng):
    def penalty(theta):
        return coordinates.penalty(coordinates.split(theta)[1])

    theta = rng.normal(size=coordinates.size)
    gradient = coordinates.tie_gradient(coordinates.split(theta)[1])
    assert gradient.shape == (coordinates.size,)
    for direction in rng.normal(size=(3, coordinates.size)):
        expected = five_point(penalty, theta, direction)
        assert_allclose(gradient @ direction, expected, rtol=1e-9, atol=1e-10)
