"""Tests of the rules of direction, on quadratic functions whose answers are known."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import LbfgsInvHessProduct

from sktie.solvers import Status, minimize
from sktie.solvers._directions import (
    LBFGS,
    Certified,
    DiagonalModel,
    InexactNewton,
    Newton,
    QuasiNewton,
    inverse_diagonal,
)

SIZE = 6


class Factored:
    def __init__(self, matrix):
        self._matrix = matrix

    def solve(self, gradient):
        return -np.linalg.solve(self._matrix, -gradient)


@dataclass
class Bowl:
    """``level + 1/2 (x - centre)'A(x - centre)``, and a Hessian that may be wrong."""

    A: np.ndarray
    level: float = 1.0
    floor: np.ndarray | None = None
    believed: np.ndarray | None = None
    curvature_passes: float = 5.0
    curvature_work: float = 1e9
    eps: float = 2.0**-52
    calls: Counter = field(default_factory=Counter)

    @property
    def size(self):
        return len(self.A)

    @property
    def centre(self):
        return np.linspace(-1, 1, self.size)

    def value_gradient(self, theta):
        self.calls["value"] += 1
        away = theta - self.centre
        return self.level + 0.5 * float(away @ self.A @ away), self.A @ away

    def curvature(self, theta):
        self.calls["curvature"] += 1
        return Factored(self.A if self.believed is None else self.believed)

    def hessp(self, theta):
        def product(direction):
            self.calls["product"] += 1
            return self.A @ direction

        return product

    def diagonal(self, theta):
        return np.diag(self.A).copy()

    @property
    def curvature_floor(self):
        return np.zeros(self.size) if self.floor is None else self.floor

    def coarse(self):
        return None


def matrix(seed=0, n=SIZE):
    root = np.random.default_rng(seed).normal(size=(n, n))
    return root @ root.T + 0.5 * np.eye(n)


def walk(rule, bowl, n_steps, seed=1):
    """Points, gradients and directions where random steps are made."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n_steps, bowl.size))
    gradients = [bowl.value_gradient(point)[1] for point in points]
    steps = [
        rule(point, 1.0, gradient)
        for point, gradient in zip(points, gradients, strict=True)
    ]
    return points, np.array(gradients), steps


def bfgs(model, pairs):
    """The inverse Hessian of BFGS, pair by pair (Nocedal and Wright, 6.17)."""
    for s, y in pairs:
        left = np.eye(len(s)) - np.outer(s, y) / (s @ y)
        model = left @ model @ left.T + np.outer(s, s) / (s @ y)
    return model


# --- QuasiNewton


def test_directions_are_those_of_scipy():
    bowl = Bowl(matrix())
    points, gradients, steps = walk(QuasiNewton(lambda v: v), bowl, 5)
    pairs = np.diff(points, axis=0), np.diff(gradients, axis=0)
    assert_allclose(steps[-1], -LbfgsInvHessProduct(*pairs) @ gradients[-1], rtol=1e-8)
    assert_array_equal(steps[0], -gradients[0])


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("memory", [1, 3, 10])
def test_directions_correct_a_model_by_the_last_pairs(memory, rescale):
    bowl, model = Bowl(matrix()), matrix(seed=7)
    rule = QuasiNewton(lambda v: model @ v, rescale, memory)
    points, gradients, steps = walk(rule, bowl, 6)
    s, y = np.diff(points, axis=0), np.diff(gradients, axis=0)
    gain = s[-1] @ y[-1] / (y[-1] @ model @ y[-1]) if rescale else 1.0
    pairs = list(zip(s, y, strict=True))[-memory:]
    expected = -bfgs(gain * model, pairs) @ gradients[-1]
    assert_allclose(steps[-1], expected, rtol=1e-7)
    assert_allclose(steps[0], -model @ gradients[0], rtol=1e-12)


def test_ten_pairs_are_kept():
    bowl = Bowl(matrix(n=20))
    points, gradients, steps = walk(QuasiNewton(lambda v: v), bowl, 14)
    pairs = np.diff(points, axis=0)[-10:], np.diff(gradients, axis=0)[-10:]
    assert_allclose(steps[-1], -LbfgsInvHessProduct(*pairs) @ gradients[-1], rtol=1e-6)


@pytest.mark.parametrize("curved", [-1.0, 0.0, 1e-9])  # 1e-10 of the lengths, or not
def test_pairs_without_curvature_are_left_out(curved):
    rule = QuasiNewton(lambda v: 2 * v)
    first, second = np.zeros(2), np.array([1.0, 0.0])
    start = np.array([0.5, 1.0])
    rule(first, 1.0, start)
    gradient = start + np.array([curved, 100.0])
    assert_array_equal(rule(second, 1.0, gradient), -2 * gradient)
    # The next pair counts, from where this one ended.
    third, after = np.array([1.0, 2.0]), gradient + np.array([0.0, 3.0])
    pair = [(third - second, after - gradient)]
    expected = -bfgs(2 * np.eye(2), pair) @ after
    assert_allclose(rule(third, 1.0, after), expected, rtol=1e-12)


def test_agreement_is_the_curvature_over_that_which_was_expected():
    A = matrix()
    bowl = Bowl(A)
    rule = QuasiNewton(lambda v: np.linalg.solve(3 * A, v))
    start = np.ones(SIZE)
    gradient = bowl.value_gradient(start)[1]
    step = rule(start, 1.0, gradient)
    rule(start + step, 1.0, bowl.value_gradient(start + step)[1])
    # The model is three times as curved as the function.
    assert_allclose(rule.agreement, 1 / 3, rtol=1e-10)


def test_a_forgotten_position_makes_no_pair():
    bowl = Bowl(matrix())
    rule = QuasiNewton(lambda v: v)
    points, gradients, _ = walk(rule, bowl, 3)
    rule.forget_position()
    far, slope = np.full(SIZE, 9.0), np.full(SIZE, 5.0)
    pairs = np.diff(points, axis=0), np.diff(gradients, axis=0)
    expected = -LbfgsInvHessProduct(*pairs) @ slope
    assert_allclose(rule(far, 1.0, slope), expected, rtol=1e-8)


# --- Newton


def descend(rule, problem, n_steps):
    """Make whole steps from 1; return the gaps before each."""
    theta, gaps = np.ones(problem.size), []
    for _ in range(n_steps):
        value, gradient = problem.value_gradient(theta)
        gaps.append(value - problem.level)
        theta = theta + rule(theta, value, gradient)
    return gaps


def test_newton_steps_to_the_minimum_and_is_certain():
    bowl = Bowl(matrix())
    rule = Newton(bowl, 1e-10)
    start = np.ones(SIZE)
    value, gradient = bowl.value_gradient(start)
    assert_array_equal(rule.model(gradient), gradient)
    assert not rule.certain(start, value, gradient)
    assert_allclose(start + rule(start, value, gradient), bowl.centre, atol=1e-12)
    assert rule.certain(start, value, gradient)
    assert_allclose(rule.leftover(gradient), value - bowl.level, rtol=1e-10)


def test_a_hessian_is_kept_while_it_serves():
    # Nearly right: each step takes a digit or two, and a fresh one costs five passes.
    A = matrix()
    scale = np.sqrt(np.linspace(1.0, 1.2, SIZE))
    bowl = Bowl(A, believed=scale * A * scale[:, np.newaxis], curvature_passes=50.0)
    gaps = descend(Newton(bowl, 1e-10), bowl, 4)
    assert bowl.calls["curvature"] == 1
    assert gaps[-1] < 1e-5 * gaps[0]


@pytest.mark.parametrize("passes", [1.0, 1000.0])
def test_a_hessian_that_is_slow_is_replaced_unless_that_is_slower(passes):
    A = matrix()
    bowl = Bowl(A, curvature_passes=passes)
    far = Factored(1e3 * A + 1e3 * np.diag(np.arange(1.0, SIZE + 1)))
    rule = Newton(bowl, 1e-10, far)
    gaps = descend(rule, bowl, 5)
    assert (bowl.calls["curvature"] > 0) is (passes == 1.0)
    if passes == 1.0:
        assert gaps[-1] < 1e-12 * gaps[0]


def test_a_slow_hessian_serves_where_little_is_left_to_gain():
    A = matrix()
    # A gap of 1e-10 of this value has been reached before the first step.
    bowl = Bowl(A, level=1e13, curvature_passes=1.0)
    far = Factored(1e3 * A + 1e3 * np.diag(np.arange(1.0, SIZE + 1)))
    descend(Newton(bowl, 1e-10, far), bowl, 5)
    assert bowl.calls["curvature"] == 0


def test_a_hessian_that_leads_away_is_replaced():
    bowl = Bowl(matrix(), curvature_passes=1000.0)
    rule = Newton(bowl, 1e-10, Factored(0.1 * bowl.A))
    theta = np.ones(SIZE)
    for k in range(3):  # steps of no use: the decrements grow
        value, gradient = bowl.value_gradient(theta)
        rule(theta, value, gradient * 2.0**k)
    assert bowl.calls["curvature"] == 1
    assert rule.certain(theta, value, gradient)


@pytest.mark.parametrize(
    ("factor", "certain"), [(1.0, True), (1.9, True), (2.1, False), (0.4, False)]
)
def test_a_kept_hessian_is_believed_within_a_factor_of_two(factor, certain):
    A = matrix()
    bowl = Bowl(A)
    rule = Newton(bowl, 1e-10, Factored(factor * A))
    theta = np.ones(SIZE)
    value, gradient = bowl.value_gradient(theta)
    theta = theta + rule(theta, value, gradient)
    value, gradient = bowl.value_gradient(theta)
    rule(theta, value, gradient)
    assert rule.certain(theta, value, gradient) is certain
    assert bowl.calls["curvature"] == 0


def test_another_problem_begins_with_the_hessian_but_without_the_position():
    A = matrix()
    first, other = Bowl(A), Bowl(2 * A)
    rule = Newton(first, 1e-10)
    theta = np.ones(SIZE)
    value, gradient = first.value_gradient(theta)
    rule(theta, value, gradient)
    rule.move_to(other)
    assert not rule.certain(theta, value, gradient)
    value, gradient = other.value_gradient(theta)
    expected = -np.linalg.solve(A, gradient)
    assert_allclose(rule(theta, value, gradient), expected, rtol=1e-9)
    assert first.calls["curvature"] == 1
    assert other.calls["curvature"] == 0


# --- The diagonal


def test_the_inverse_diagonal_is_bounded_where_nothing_curves():
    bowl = Bowl(np.diag([1e6, 4.0, 0.0]))
    found = inverse_diagonal(bowl, np.zeros(3))
    assert_allclose(found[:2], [1e-6, 0.25], rtol=1e-15)
    # Of curvature below rounding nothing is known: it counts as rounding.
    assert_allclose(found[2], 1 / (1e6 * 2.0**-52), rtol=1e-12)
    assert np.isfinite(inverse_diagonal(Bowl(np.zeros((2, 2))), np.zeros(2))).all()
    with pytest.raises(ValueError, match="Scale the features"):
        inverse_diagonal(Bowl(np.diag([1.0, np.inf])), np.zeros(2))


def coupled(level):
    """A free first coefficient, as an intercept, and others that decay holds."""
    A = np.array([[2.0, 0.5, -0.3], [0.5, 3.0, 0.0], [-0.3, 0.0, 4.0]])
    return Bowl(A, level, floor=np.array([0.0, 1.0, 1.0]))


@pytest.mark.parametrize("level", [1.0, 1e6])
@pytest.mark.parametrize("sign", [1, -1])
def test_what_nothing_bounds_steps_first_and_is_then_certain(level, sign):
    bowl = coupled(level)
    # The minimum over the first coefficient alone is that of all.
    theta = bowl.centre + sign * np.array([0.1, 0.0, 0.0])
    value, gradient = bowl.value_gradient(theta)
    gap = 0.5 * 2.0 * 0.1**2
    for share, certain in [(0.99, False), (1.01, True)]:
        rule = DiagonalModel(bowl, theta, gap * share / value)
        assert rule.certain(theta, value, gradient) is certain
    assert_allclose(rule.model(gradient), gradient / [2.0, 3.0, 4.0], rtol=1e-15)


@pytest.mark.parametrize("seed", range(20))
def test_certainty_bounds_the_gap(seed):
    bowl = coupled(1.0)
    theta = bowl.centre + 0.1 * np.random.default_rng(seed).normal(size=3)
    value, gradient = bowl.value_gradient(theta)
    tols = np.logspace(-6, 2, 200)
    said = [DiagonalModel(bowl, theta, t).certain(theta, value, gradient) for t in tols]
    first = tols[said.index(True)]
    assert said == sorted(said)
    # From above, and by no more than decay leaves room for.
    assert value - bowl.level <= first * value <= 8 * (value - bowl.level)


def test_bounds_are_those_of_strong_convexity():
    bowl = Bowl(np.diag([4.0, 5.0]), floor=np.array([1.0, 2.0]))
    rule = DiagonalModel(bowl, np.zeros(2), 0.1)
    assert_allclose(rule.leftover(np.array([1.0, 2.0])), 0.5 * (1 / 1 + 4 / 2))
    # 1/2 (1 + 2) is at most a tenth of the value, or is not.
    gradient = np.array([1.0, 2.0])
    assert rule.certain(np.zeros(2), 15.1, gradient)
    assert rule.certain(np.zeros(2), -15.1, gradient)
    assert not rule.certain(np.zeros(2), 14.9, gradient)


def test_without_any_bound_nothing_is_certain():
    bowl = Bowl(matrix())
    rule = DiagonalModel(bowl, bowl.centre, 1.0)
    assert not rule.certain(bowl.centre, 1.0, np.zeros(SIZE))


# --- LBFGS, Certified, InexactNewton


def test_lbfgs_rescales_the_diagonal_of_the_start():
    bowl = Bowl(matrix())
    rule = LBFGS(bowl, np.ones(SIZE), 1e-8)
    points, gradients, steps = walk(rule, bowl, 5)
    s, y = np.diff(points, axis=0), np.diff(gradients, axis=0)
    model = np.diag(1 / np.diag(bowl.A))
    gain = s[-1] @ y[-1] / (y[-1] @ model @ y[-1])
    expected = -bfgs(gain * model, zip(s, y, strict=True)) @ gradients[-1]
    assert_allclose(steps[-1], expected, rtol=1e-7)


class Claims:
    """A rule that takes ``factor`` times the right step, and is certain or not."""

    def __init__(self, bowl, factor, certain):
        self.bowl, self.factor, self._certain = bowl, factor, certain

    def __call__(self, theta, value, gradient):
        return -self.factor * np.linalg.solve(self.bowl.A, gradient)

    def model(self, gradient):
        return gradient / np.diag(self.bowl.A)

    def leftover(self, residual):
        return 0.5 * float(residual @ np.linalg.solve(self.bowl.A, residual))

    def certain(self, theta, value, gradient):
        return self._certain


@pytest.mark.parametrize(
    ("factor", "certain", "tol", "checked"),
    [
        (0.01, False, 0.2, True),  # claims too little, on its own word
        (0.01, True, 0.2, False),
        (0.01, False, 1e-9, False),  # claims nothing yet
        (5.0, False, 100.0, True),  # claims too much: the larger estimate counts
    ],
)
def test_a_claim_is_checked_by_conjugate_steps(factor, certain, tol, checked):
    bowl = Bowl(matrix())
    rule = Claims(bowl, factor, certain)
    theta = np.ones(SIZE)
    value, gradient = bowl.value_gradient(theta)
    step = Certified(bowl, rule, tol)(theta, value, gradient)
    assert (bowl.calls["product"] > 0) is checked
    own = rule(theta, value, gradient)
    if factor == 0.01 and checked:
        gap, after = value - bowl.level, bowl.value_gradient(theta + step)[0]
        # Half of the decrease, at most, is still to be had.
        assert after - bowl.level <= gap / 3 * (1 + 1e-12)
        assert -(gradient @ step) > -(gradient @ own)
    else:
        assert_array_equal(step, own)


def test_a_claim_is_relative_to_the_value():
    bowl = Bowl(matrix(), level=-1000.0)
    theta = bowl.centre + 1e-3
    value, gradient = bowl.value_gradient(theta)
    gap = 0.5 * float(gradient @ np.linalg.solve(bowl.A, gradient))
    for share, checked in [(0.99, False), (1.01, True)]:
        bowl.calls.clear()
        rule = Claims(bowl, 1.0, False)
        Certified(bowl, rule, share * gap / abs(value))(theta, value, gradient)
        assert (bowl.calls["product"] > 0) is checked


def test_newton_systems_are_solved_better_near_the_minimum():
    bowl = Bowl(matrix(n=40))
    start = np.ones(40)
    rule = InexactNewton(bowl, start, 1e-10)

    def left(shrink):
        """What is left of the system after a step, in the metric of the diagonal."""
        theta = bowl.centre + shrink * (start - bowl.centre)
        value, gradient = bowl.value_gradient(theta)
        step = rule(theta, value, gradient)
        residual = gradient + bowl.A @ step
        return np.sqrt(
            (residual @ rule.model(residual)) / (gradient @ rule.model(gradient))
        )

    # min(1/2, sqrt(r)), r relative to the first: and no better than is asked for.
    assert 0.5 / 50 < left(1.0) <= 0.5
    assert 0.5 / 50 < left(0.9) <= 0.5
    assert 0.1 / 50 < left(1e-2) <= 0.1
    assert 1e-3 / 50 < left(1e-6) <= 1e-3


# --- The line search


@pytest.mark.parametrize(
    ("factor", "n_trials"),
    [
        (1.0, 1),
        (2.5, 2),  # the parabola through what is known is the function
        (4.0, 2),
        (8.0, 2),
        (20.0, 3),  # but no trial is shorter than a tenth of the last
    ],
)
def test_steps_that_are_too_long_end_at_the_minimum_along_them(factor, n_trials):
    bowl = Bowl(matrix(), level=10.0)
    start = np.ones(SIZE)
    step = factor * (bowl.centre - start)
    result = minimize(bowl, start, lambda *_: step, tol=0.0, max_iter=1)
    assert_allclose(result.theta, bowl.centre, atol=1e-12)
    assert result.status is Status.MAX_ITER
    assert bowl.calls["value"] == 1 + n_trials


@pytest.mark.parametrize("factor", [0.5, 1.5, 1.95])
def test_steps_that_gain_are_made_as_they_are(factor):
    bowl = Bowl(matrix(), level=10.0)
    start = np.ones(SIZE)
    step = factor * (bowl.centre - start)
    result = minimize(bowl, start, lambda *_: step, tol=0.0, max_iter=1)
    assert_array_equal(result.theta, start + step)
    assert bowl.calls["value"] == 2
