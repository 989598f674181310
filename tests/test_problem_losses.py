"""Tests of sktie._problem where members differ in loss and decay."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktie._design import Design
from sktie._loss import Binomial
from sktie._parallel import Workers
from sktie._problem import TiedProblem
from sktie._row_sums import RowSums
from sktie._scalar_loss import ByDomain, Poisson, Squared
from sktie._tie import Tie, TiedCoordinates, ToFixed, ToMean

RNG = np.random.default_rng(0)
N, P = 80, 3
BOUNDS = np.array([0, 30, N])
X = RNG.normal(size=(N, P))
SECOND = np.arange(N) >= 30
COUNTS = RNG.poisson(np.where(SECOND, 5.0, 0.5)).astype(float)


def make(strength, fixed=False, intercept=None, loss=None, y=None):
    """Counts for the first member, scores for the second, each with its own decay."""
    strengths = np.full(P + 1, float(strength))
    strengths[-1] = strength if intercept is None else intercept
    structure = ToFixed(np.full((1, P + 1), 0.1)) if fixed else ToMean()
    decay = np.array([[[0.3] * P + [0.0]], [[2.0, 3.0, 4.0, 0.5]]])
    return TiedProblem(
        RowSums(
            Design(X, BOUNDS),
            loss or ByDomain(Poisson(), Squared()),
            ByDomain.join(COUNTS, SECOND, float) if y is None else y,
            None,
            Workers(),
        ),
        coordinates=TiedCoordinates(Tie(structure, strengths), (2, 1, P + 1)),
        decay=decay,
        shared_decay=False,
    )


problems = pytest.mark.parametrize(
    "problem",
    [make(s, fixed) for s in (0.0, 0.7, 1e4, np.inf) for fixed in (False, True)],
    ids=[f"{s}-{kind}" for s in (0, 0.7, 1e4, "inf") for kind in ("mean", "fixed")],
)


def directions(problem, n=4):
    """Flat vectors that the coordinates can hold."""
    rng = np.random.default_rng(1)
    for _ in range(n):
        flat = rng.normal(size=problem.size)
        yield problem.coordinates.join(*problem.coordinates.split_direction(flat))


@problems
def test_the_gradient_is_that_of_the_value(problem):
    theta, *others = directions(problem)
    _, gradient = problem.value_gradient(theta)
    for d in others:
        value = [problem.value_gradient(theta + s * d)[0] for s in (-2e-3, -1e-3)]
        value += [problem.value_gradient(theta + s * d)[0] for s in (1e-3, 2e-3)]
        slope = (value[0] - 8 * value[1] + 8 * value[2] - value[3]) / 0.012
        assert_allclose(gradient @ d, slope, rtol=1e-7, atol=1e-6)


@problems
def test_the_hessian_is_the_change_of_the_gradient(problem):
    theta, *others = directions(problem)
    product, curvature = problem.hessp(theta), problem.curvature(theta)
    for d in others:
        at = [problem.value_gradient(theta + s * d)[1] for s in (-2e-3, -1e-3)]
        at += [problem.value_gradient(theta + s * d)[1] for s in (1e-3, 2e-3)]
        change = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / 0.012
        assert_allclose(product(d), change, rtol=1e-6, atol=1e-5)
        # The factored Hessian is the inverse of the same product.
        assert_allclose(curvature.solve(product(d)), d, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("strength", [0.0, 0.7, np.inf])
def test_the_floor_is_the_hessian_without_rows(strength):
    problem = make(strength, fixed=True)
    empty = problem.of_rows(weight=np.zeros(N))
    assert_array_equal(empty.diagonal(np.zeros(problem.size)), problem.curvature_floor)
    free = make(strength)
    empty = free.of_rows(weight=np.zeros(N))
    assert_allclose(empty.diagonal(np.zeros(free.size)), free.curvature_floor)
    hub = free.curvature_floor[: P + 1]
    assert_allclose(hub, [2.3, 3.3, 4.3, 0.5])


def test_free_intercepts_start_where_each_member_alone_is_best():
    problem = make(1.0, intercept=0.0)
    members = problem.members(problem.origin())
    assert_array_equal(members[:, :, :P], 0)
    first, second = COUNTS[:30].mean(), COUNTS[30:].mean()
    assert_allclose(members[:, 0, P], [np.log(first), second])


def test_tied_intercepts_start_where_one_model_of_all_is_best():
    for strength in (1e-9, np.inf):
        problem = make(strength, loss=Poisson(), y=COUNTS)
        members = problem.members(problem.origin())
        assert_allclose(members[:, 0, P], np.log(COUNTS.mean()))


def test_classes_start_at_zero_and_fixed_models_where_they_are():
    problem = make(0.0, loss=Binomial(), y=np.where(SECOND, 1.0, -1.0))
    assert_array_equal(problem.origin(), 0)
    problem = make(1.0, fixed=True)
    assert_array_equal(problem.members(problem.origin()), np.full((2, 1, P + 1), 0.1))


def test_what_is_tied_to_nothing_has_no_fixed_model_to_start_from():
    problem = make(0.0, fixed=True, loss=Poisson(), y=COUNTS)
    members = problem.members(problem.origin())
    expected = np.log([COUNTS[:30].mean(), COUNTS[30:].mean()])
    assert_allclose(members[:, 0, P], expected)
