"""Tests of sktie._problem."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp

from sktie import _contract, _design
from sktie._design import Design, group_rows
from sktie._last_pass import LastPass
from sktie._loss import classification_loss
from sktie._parallel import Workers
from sktie._problem import TiedProblem
from sktie._row_sums import RowSums
from sktie._tie import Tie, TiedCoordinates, ToFixed, ToMean

INF = np.inf


@dataclass(frozen=True)
class Setting:
    """One objective, and the data it is of."""

    name: str
    strength: float | np.ndarray = 2.0
    n_classes: int = 2
    n_domains: int = 3
    n_rows: int = 400
    fixed: bool = False
    shared_decay: bool = False
    weighted: bool = False
    sparse: bool = False
    sorted: bool = False
    skip: int | None = None
    fit_intercept: bool = True
    dtype: type = np.float64


# Settings beside each other cover every choice, and pairs of those that meet in code.
SETTINGS = [
    Setting("plain"),
    Setting("separate", 0.0, shared_decay=True, sparse=True),
    Setting("nearly separate", 1e-12, weighted=True),
    Setting("nearly shared", 1e12, n_classes=3),
    Setting("shared", INF, weighted=True),
    Setting("shared, one decay", INF, n_classes=3, shared_decay=True),
    Setting("mixed", np.array([0, 1.0, INF, 5.0]), n_classes=3, weighted=True),
    Setting("mixed, one decay", np.array([INF, 1.0, INF, 0.0]), shared_decay=True),
    Setting("sparse softmax", n_classes=4, sparse=True, weighted=True, skip=0),
    Setting("sorted", sorted=True, skip=2, n_classes=3),
    Setting("sorted, sparse", sorted=True, sparse=True, shared_decay=True),
    Setting("no intercept", np.array([1.0, 3.0, 0.1]), fit_intercept=False, skip=3),
    Setting("one domain", n_domains=1, shared_decay=True),
    Setting("fixed", fixed=True, n_domains=1, weighted=True),
    Setting("fixed softmax", 7.0, fixed=True, n_domains=1, n_classes=3, skip=1),
    Setting("fixed, shared", INF, fixed=True, n_domains=1),
    Setting("fixed, mixed", np.array([INF, 0, 3.0, 0.0]), fixed=True, n_domains=1),
    Setting("none", 0.0, fixed=True, n_domains=1, n_classes=3, sparse=True),
]
settings = pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks and lanes on data of test size."""
    monkeypatch.setattr(_design, "BLOCK_BYTES", 1)
    monkeypatch.setattr(_design, "LANE_ENTRIES", 400)


def build(setting, seed=0):
    """The problem of a setting, and its data in the order of X."""
    rng = np.random.default_rng(seed)
    n, n_features = setting.n_rows, 3
    table = rng.normal(size=(n, n_features)).astype(setting.dtype)
    domain = rng.integers(setting.n_domains, size=n)
    domain = np.sort(domain) if setting.sorted else domain
    y = rng.integers(setting.n_classes, size=n)
    weight = rng.uniform(0, 2, n).astype(setting.dtype) if setting.weighted else None
    columns = table
    if setting.skip is not None:
        noise = rng.normal(size=n).astype(setting.dtype)
        columns = np.insert(table, setting.skip, noise, axis=1)
    order, bounds = group_rows(domain, setting.n_domains)
    design = Design(
        sp.csr_array(columns) if setting.sparse else columns,
        bounds,
        order=order,
        skip=setting.skip,
        fit_intercept=setting.fit_intercept,
    )
    loss = classification_loss(setting.n_classes)
    shape = (setting.n_domains, loss.n_outputs, design.n_coefs)
    structure = ToFixed(rng.normal(size=shape[1:])) if setting.fixed else ToMean()
    places = slice(None) if order is None else order
    decay = rng.uniform(0.5, 2, design.n_coefs)
    if setting.fit_intercept:
        table = np.hstack([table, np.ones((n, 1), setting.dtype)])
        decay[-1] = 0
    problem = TiedProblem(
        RowSums(
            design,
            loss,
            loss.encode(y, setting.dtype)[places],
            None if weight is None else weight[places],
            Workers(),
        ),
        coordinates=TiedCoordinates(Tie(structure, setting.strength), shape),
        decay=decay,
        shared_decay=setting.shared_decay,
    )
    weight = np.ones(n) if weight is None else weight
    return problem, SimpleNamespace(table=table, domain=domain, y=y, weight=weight)


def five_point(function, x, direction, step=2e-3):
    """The derivative of a function at x along a direction, to O(step^4)."""

    def at(multiple):
        return function(x + multiple * step * direction)

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)


def members_of(problem, theta):
    return problem.coordinates.members(*problem.coordinates.split(theta))


def vectors(problem, count, seed=1):
    return 0.5 * np.random.default_rng(seed).normal(size=(count, problem.size))


def allowed(problem, direction):
    """The nearest direction that the tie allows, as `split` reads it."""
    return problem.coordinates.join(*problem.coordinates.split_direction(direction))


@settings
def test_value_is_that_of_the_formula(setting):
    problem, data = build(setting)
    (theta,) = vectors(problem, 1)
    members = members_of(problem, theta)
    expected = 0.0
    rows = members if setting.n_classes == 2 else problem.loss.expand(members)
    for x, t, y, s in zip(data.table, data.domain, data.y, data.weight, strict=True):
        scores = rows[t] @ x
        scores = np.r_[0, scores] if setting.n_classes == 2 else scores
        expected += s * (logsumexp(scores) - scores[y])
    decayed = [members.mean(axis=0)] if setting.shared_decay else members
    for member in decayed:
        expected += 0.5 * np.sum(problem.decay * member**2)
    # Strengths of 1e12 multiply the rounding of members: take the tie's own terms.
    hub, deviations = problem.coordinates.split(theta)
    tie = problem.coordinates.tie
    finite = np.where(tie.shared, 0, tie.strength)
    multiple = 1.0 if setting.fixed else 2.0
    apart = problem.coordinates.scale * deviations
    expected += 0.5 * multiple * np.sum(finite * apart**2)
    value, gradient = problem.value_gradient(theta)
    assert type(value) is float
    assert gradient.shape == theta.shape
    assert_allclose(value, expected, rtol=1e-12)
    if setting.fixed:
        assert_array_equal(hub, tie.structure.target)


@settings
def test_gradient_is_that_of_the_value(setting):
    problem, _ = build(setting)
    theta, *directions = vectors(problem, 6)
    _, gradient = problem.value_gradient(theta)
    for direction in directions:
        expected = five_point(lambda x: problem.value_gradient(x)[0], theta, direction)
        assert_allclose(gradient @ direction, expected, rtol=1e-8, atol=1e-8)


@settings
def test_hessp_is_the_change_of_the_gradient(setting):
    problem, _ = build(setting)
    theta, other, *directions = vectors(problem, 5)
    product = problem.hessp(theta)
    for direction in directions:
        image = product(direction)
        expected = five_point(lambda x: problem.value_gradient(x)[1], theta, direction)
        assert_allclose(image, expected, rtol=1e-8, atol=1e-8)
        assert_allclose(image @ other, direction @ product(other), rtol=1e-10)
        assert image @ direction >= 0


@settings
def test_hessians_are_the_naive_sums(setting):
    problem, data = build(setting)
    (theta,) = vectors(problem, 1)
    members = members_of(problem, theta)
    found = problem.hessians(members)
    n_outputs, n_coefs = problem.coordinates.shape[1:]
    size = n_outputs * n_coefs
    expected = np.zeros((setting.n_domains, size, size))
    for x, t, s in zip(data.table, data.domain, data.weight, strict=True):
        raw = (members[t] @ x)[np.newaxis]
        curvature = problem.loss.curvature(np.zeros(1), raw, None)
        block = np.array(
            [
                [
                    problem.loss.hessian_block(curvature, k, j)[0]
                    for j in range(n_outputs)
                ]
                for k in range(n_outputs)
            ]
        )
        expected[t] += s * np.kron(block, np.outer(x, x))
    assert found.shape == expected.shape
    assert_allclose(found, expected, rtol=1e-10, atol=1e-11)


@settings
def test_hessians_give_the_same_products_as_hessp(setting):
    problem, _ = build(setting)
    theta, direction = vectors(problem, 2)
    coordinates = problem.coordinates
    hub, deviations = coordinates.split_direction(direction)
    moved = coordinates.members(hub, deviations)
    hessians = problem.hessians(members_of(problem, theta))
    image = np.einsum("tij,tj->ti", hessians, moved.reshape(len(moved), -1))
    image = image.reshape(moved.shape) + problem.member_decay * moved
    expected = coordinates.pull_back(image)
    expected += coordinates.tie_gradient(deviations)
    expected += coordinates.join(problem.mean_decay * hub, np.zeros_like(deviations))
    assert_allclose(problem.hessp(theta)(direction), expected, rtol=1e-9, atol=1e-9)


@settings
def test_factored_curvature_undoes_hessp(setting):
    problem, _ = build(setting)
    theta, direction = vectors(problem, 2)
    again = problem.curvature(theta).solve(problem.hessp(theta)(direction))
    assert_allclose(again, allowed(problem, direction), rtol=1e-7, atol=1e-8)


@settings
def test_diagonal_is_that_of_free_coordinates(setting):
    problem, _ = build(setting)
    (theta,) = vectors(problem, 1)
    found = problem.diagonal(theta)
    coordinates = problem.coordinates
    own = np.einsum("tjj->tj", problem.hessians(members_of(problem, theta)))
    own = own.reshape(coordinates.shape) + problem.member_decay
    hub = own.sum(axis=0) + problem.mean_decay
    expected = coordinates.join(hub, coordinates.scale**2 * own + coordinates.weight)
    assert_allclose(found, expected, rtol=1e-10)
    assert found.min() > 0


@pytest.mark.parametrize(
    "setting", [s for s in SETTINGS if s.fixed], ids=lambda s: s.name
)
def test_diagonal_with_a_fixed_hub_is_that_of_hessp(setting):
    problem, _ = build(setting)
    (theta,) = vectors(problem, 1)
    product, eye = problem.hessp(theta), np.eye(problem.size)
    exact = np.array([row @ product(row) for row in eye])
    moving = np.broadcast_to(problem.coordinates.scale > 0, problem.coordinates.shape)
    moving = moving.ravel()
    assert_allclose(problem.diagonal(theta)[moving], exact[moving], rtol=1e-10)


@settings
def test_curvature_floor_is_the_hessian_of_decay_and_tie_alone(setting):
    problem, _ = build(setting)
    theta, *directions = vectors(problem, 4)
    weightless = problem.of_rows(weight=np.zeros(setting.n_rows, setting.dtype))
    for direction in directions:
        direction = allowed(problem, direction)
        floor = direction @ (problem.curvature_floor * direction)
        assert floor <= direction @ problem.hessp(theta)(direction)
        alone = direction @ weightless.hessp(theta)(direction)
        assert_allclose(floor, alone, rtol=1e-10, atol=1e-12)


@settings
def test_theta_is_left_alone(setting):
    problem, _ = build(setting)
    theta, direction = vectors(problem, 2)
    before = theta.copy(), direction.copy()
    value, gradient = problem.value_gradient(theta)
    problem.hessp(theta)(direction)
    problem.curvature(theta).solve(direction)
    problem.diagonal(theta)
    gradient += 1  # a caller's own array
    assert problem.value_gradient(theta)[0] == value
    assert_array_equal(theta, before[0])
    assert_array_equal(direction, before[1])


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_blocks_and_lanes_do_not_change_the_objective(monkeypatch, sparse, n_classes):
    setting = Setting("", sparse=sparse, n_classes=n_classes, weighted=True)
    problem, _ = build(setting)
    theta, direction = vectors(problem, 2)
    cut = problem.value_gradient(theta)
    cut_image = problem.hessp(theta)(direction)
    assert len(problem.design.lanes) > 1
    monkeypatch.undo()
    whole, _ = build(setting)
    assert len(whole.design.lanes) == 1
    assert_allclose(whole.value_gradient(theta)[0], cut[0], rtol=1e-13)
    assert_allclose(whole.value_gradient(theta)[1], cut[1], rtol=1e-10, atol=1e-11)
    assert_allclose(whole.hessp(theta)(direction), cut_image, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_float32_data_give_nearly_the_same_in_float64(sparse, n_classes):
    setting = Setting("", sparse=sparse, n_classes=n_classes, weighted=True, skip=1)
    problem, _ = build(replace(setting, dtype=np.float32))
    assert problem.design.dtype == np.float32
    assert problem.eps == np.finfo(np.float32).eps
    theta, direction = vectors(problem, 2)
    as_double, _ = build(setting)
    design = problem.design
    as_double = as_double.of_rows(
        design=Design(
            design.X.astype(np.float64), design.bounds, order=design.order, skip=1
        ),
        weight=problem.rows.weight.astype(np.float64),
        y=problem.rows.y.astype(as_double.rows.y.dtype),
    )
    value, gradient = problem.value_gradient(theta)
    expected_value, expected_gradient = as_double.value_gradient(theta)
    assert gradient.dtype == np.float64  # sums keep more digits than their terms
    size = np.abs(expected_gradient).max()
    assert_allclose(value, expected_value, rtol=1e-6)
    assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-5 * size)
    image, expected = problem.hessp(theta)(direction), as_double.hessp(theta)(direction)
    assert image.dtype == np.float64
    assert_allclose(image, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    own = problem.hessians(members_of(problem, theta))
    expected = as_double.hessians(members_of(problem, theta))
    assert_allclose(own, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


# The coarse problem


@pytest.fixture
def many_rows(monkeypatch):
    """Let a few thousand rows count as many."""
    monkeypatch.setattr(_contract, "COARSE_ROWS_PER_COEF", 20)
    monkeypatch.setattr(_contract, "COARSE_ROWS", 100)


COARSE = [
    Setting("binary", n_rows=4000),
    Setting("weighted", n_rows=4000, weighted=True, sparse=True),
    Setting("softmax", n_rows=4000, n_classes=3, n_domains=2, skip=1),
    Setting("fixed", n_rows=4000, n_domains=1, fixed=True, sorted=True),
]
coarse_settings = pytest.mark.parametrize("setting", COARSE, ids=lambda s: s.name)


@settings
def test_few_rows_have_no_coarse_problem(setting):
    assert build(setting)[0].coarse() is None


@coarse_settings
def test_coarse_problem_has_the_same_parameters_and_fewer_rows(setting, many_rows):
    problem, _ = build(setting)
    coarse = problem.coarse()
    assert coarse is not None
    assert coarse.size == problem.size
    assert coarse.coordinates is problem.coordinates
    assert_array_equal(coarse.decay, problem.decay)
    assert coarse.shared_decay == problem.shared_decay
    assert coarse.design.n_rows <= problem.design.n_rows / 3
    assert coarse.design.n_domains == problem.design.n_domains


@coarse_settings
def test_coarse_rows_are_rows_of_the_problem_with_their_own_targets(setting, many_rows):
    problem, data = build(setting)
    coarse = problem.coarse()
    targets = problem.loss.encode(data.y, setting.dtype)
    known = {tuple(row): i for i, row in enumerate(data.table)}
    # A row stands for those of its class in its domain.
    kept = {}
    for t in range(setting.n_domains):
        a, b = coarse.design.bounds[t : t + 2]
        for target in np.unique(coarse.rows.y[a:b]):
            whole = np.sum((data.domain == t) & (targets == target))
            kept[t, target] = whole / np.sum(coarse.rows.y[a:b] == target)
    for domain, blocks in coarse.design.domain_blocks(1):
        for block in blocks:
            rows = coarse.design.dense_rows(block)
            at = range(block.start, block.stop)
            for place, row in zip(at, rows, strict=True):
                i = known[tuple(row)]
                assert data.domain[i] == domain
                assert coarse.rows.y[place] == targets[i]
                ratio = coarse.rows.weight[place] / data.weight[i]
                assert_allclose(ratio, kept[domain, targets[i]], rtol=1e-6)


@coarse_settings
def test_coarse_weights_stand_for_all_rows_of_each_domain(setting, many_rows):
    problem, _ = build(setting)
    coarse = problem.coarse()
    for t in range(setting.n_domains):
        a, b = coarse.design.bounds[t : t + 2]
        c, d = problem.design.bounds[t : t + 2]
        exact = (
            (d - c) if problem.rows.weight is None else problem.rows.weight[c:d].sum()
        )
        rtol = 1e-12 if problem.rows.weight is None else 0.15
        assert_allclose(coarse.rows.weight[a:b].sum(), exact, rtol=rtol)


@coarse_settings
def test_coarse_curvature_is_near_the_exact_one(setting, many_rows):
    problem, _ = build(setting)
    (theta,) = vectors(problem, 1)
    members = members_of(problem, theta)
    exact, near = problem.hessians(members), problem.coarse().hessians(members)
    for one, other in zip(exact, near, strict=True):
        ratios = np.linalg.eigvals(np.linalg.solve(one, other)).real
        assert ratios.min() > 0.5
        assert ratios.max() < 2


# Other strengths, the same rows


@settings
def test_retied_is_the_problem_built_anew(setting):
    n_coefs = 3 + setting.fit_intercept
    strengths = np.append(np.linspace(0, 3, n_coefs - 1), INF)
    anew, _ = build(replace(setting, strength=strengths))
    anew = replace(anew, decay=2 * anew.decay)
    problem, _ = build(setting)
    retied = problem.retied(strengths, 2 * problem.decay)
    (theta,) = vectors(anew, 1)
    for found, expected in zip(
        retied.value_gradient(theta), anew.value_gradient(theta), strict=True
    ):
        assert_array_equal(found, expected)


@settings
def test_posterior_is_the_inverse_of_hessp(setting):
    # Along steps that the members can make, the inverse Hessian undoes the Hessian.
    problem, _ = build(setting)
    theta, direction = vectors(problem, 2)
    coordinates = problem.coordinates
    moved = coordinates.members(*coordinates.split_direction(direction))
    found = problem.posterior(problem.hessians(problem.members(theta)))
    image = np.einsum("tij,tj->ti", found.hessians, moved.reshape(len(moved), -1))
    image = image.reshape(moved.shape)
    finite = np.where(np.isinf(coordinates.tie.strength), 0, coordinates.tie.strength)
    if coordinates.free_hub:
        image += 2 * finite * (moved - moved.mean(axis=0))
        image += problem.mean_decay * moved.mean(axis=0) / len(moved)
    else:
        image += finite * moved
    again = found.apply(image.reshape(len(moved), -1)).reshape(moved.shape)
    # A tie of 1e12 leaves the image few digits of what the data say.
    assert_allclose(again, moved, rtol=1e-5, atol=1e-5)


# What the last pass has found


def lasting(setting):
    """Return a problem that keeps its last pass, and the same without."""
    problem, _ = build(setting)
    return problem.of_rows(last=LastPass()), problem


def count_passes(monkeypatch):
    """Return a list that grows with every block whose predictions are computed."""
    seen, raw = [], Design.raw

    def counted(self, block, *rest):
        seen.append(block)
        return raw(self, block, *rest)

    monkeypatch.setattr(Design, "raw", counted)
    return seen


@settings
def test_what_the_last_pass_found_is_not_worked_out_again(setting, monkeypatch):
    keeping, plain = lasting(setting)
    (theta,) = vectors(plain, 1)
    members = plain.members(theta)
    keeping.value_gradient(theta)
    seen = count_passes(monkeypatch)
    found = keeping.retied(plain.coordinates.tie.strength, 2 * plain.decay)
    value, gradient = found.value_gradient(theta)
    hessians = found.hessians(members)
    assert not seen
    expected = replace(plain, decay=2 * plain.decay)
    expected_value, expected_gradient = expected.value_gradient(theta)
    assert value == expected_value
    assert_array_equal(gradient, expected_gradient)
    assert_allclose(hessians, plain.hessians(members), rtol=1e-12, atol=1e-12)
    # What is returned is the caller's.
    gradient[:] = np.nan
    assert_array_equal(found.value_gradient(theta)[1], expected_gradient)


@settings
def test_the_last_pass_serves_no_other_parameters_or_rows(setting):
    keeping, plain = lasting(setting)
    theta, other = vectors(plain, 2)
    near = theta + 1e-13 * np.abs(theta).max()
    for place in (other, near):
        keeping.value_gradient(theta)
        found, expected = keeping.value_gradient(place), plain.value_gradient(place)
        assert found[0] == expected[0]
        assert_array_equal(found[1], expected[1])
    weight = np.linspace(0, 2, plain.design.n_rows)
    for changed in ({"weight": weight}, {"y": plain.rows.y[::-1].copy()}):
        keeping.value_gradient(theta)
        found = keeping.of_rows(last=keeping.rows.last, **changed).value_gradient(theta)
        expected = plain.of_rows(**changed).value_gradient(theta)
        assert found[0] == expected[0]
        assert_array_equal(found[1], expected[1])


def test_a_pass_that_fails_leaves_nothing_behind(monkeypatch):
    keeping, plain = lasting(SETTINGS[0])
    theta, other = vectors(plain, 2)
    keeping.value_gradient(theta)
    with monkeypatch.context() as patch:
        patch.setattr(Design, "accumulate", None)
        with pytest.raises(TypeError):
            keeping.value_gradient(other)
    expected = plain.value_gradient(theta)
    assert_array_equal(keeping.value_gradient(theta)[1], expected[1])
