"""Tests of sktie.solvers."""

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose, assert_array_equal

from sktie._design import Design, group_rows
from sktie._loss import classification_loss
from sktie._parallel import Workers
from sktie._problem import TiedProblem
from sktie._row_sums import RowSums
from sktie._tie import Tie, TiedCoordinates, ToMean
from sktie.solvers import SOLVERS, Status, choose, minimize

solvers = pytest.mark.parametrize("name", list(SOLVERS))


class Factored:
    """A dense Hessian as the solvers' model of curvature."""

    def __init__(self, matrix):
        self._matrix = matrix

    def solve(self, gradient):
        return scipy.linalg.solve(self._matrix, gradient, assume_a="pos")


@dataclass
class Cosh:
    """floor + sum_i (cosh z_i - 1) with z = B (x - minimum): overflows far away."""

    mixing: np.ndarray
    minimum: np.ndarray
    floor: float = 1.0
    sample: "Cosh | None" = None
    curvature_work: float = 1e9
    curvature_passes: float = 5.0
    eps: float = 2.0**-52
    calls: Counter = field(default_factory=Counter)

    @property
    def size(self):
        return len(self.minimum)

    def _z(self, theta):
        return self.mixing @ (theta - self.minimum)

    def value_gradient(self, theta):
        self.calls["value"] += 1
        z = self._z(theta)
        with np.errstate(over="ignore", invalid="ignore"):
            # cosh z - 1 without cancellation, so that values keep their digits.
            value = self.floor + float(np.sum(2 * np.sinh(z / 2) ** 2))
            return value, self.mixing.T @ np.sinh(z)

    def _hessian(self, theta):
        return self.mixing.T @ (np.cosh(self._z(theta))[:, np.newaxis] * self.mixing)

    def curvature(self, theta):
        self.calls["curvature"] += 1
        return Factored(self._hessian(theta))

    def hessp(self, theta):
        matrix = self._hessian(theta)

        def product(direction):
            self.calls["product"] += 1
            return matrix @ direction

        return product

    def diagonal(self, theta):
        return np.diag(self._hessian(theta)).copy()

    @property
    def curvature_floor(self):
        return np.zeros(self.size)

    def coarse(self):
        return self.sample


@dataclass
class Exponential(Cosh):
    """sum_i exp(-x_i): falls towards zero for ever."""

    def value_gradient(self, theta):
        return float(np.sum(np.exp(-theta))), -np.exp(-theta)

    def _hessian(self, theta):
        return np.diag(np.exp(-theta))


def make_cosh(size=6, floor=1.0, seed=0, distance=1.0, **settings):
    rng = np.random.default_rng(seed)
    mixing = np.eye(size) + 0.5 * rng.normal(size=(size, size)) / np.sqrt(size)
    minimum = distance * rng.normal(size=size)
    return Cosh(mixing, minimum, floor, **settings)


def make_tied(strength, seed=0, n_classes=2, decay=1.0):
    """A problem of the package itself: domains tied to their mean."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(200, 5))
    order, bounds = group_rows(rng.integers(3, size=200), 3)
    y = (X[:, :n_classes] + rng.normal(size=(200, n_classes))).argmax(axis=1)
    design = Design(X, bounds, order=order)
    loss = classification_loss(n_classes)
    shape = (3, loss.n_outputs, 6)
    return TiedProblem(
        RowSums(design, loss, loss.encode(y, X.dtype)[order], None, Workers()),
        coordinates=TiedCoordinates(Tie(ToMean(), strength), shape),
        decay=np.r_[np.full(5, decay), 0],
        shared_decay=False,
    )


def solve(name, problem, theta=None, tol=1e-20, max_iter=500, hook=None):
    theta = np.zeros(problem.size) if theta is None else theta
    return SOLVERS[name](problem, theta, tol=tol, max_iter=max_iter, hook=hook)


class Recorder:
    """A hook that keeps what it is told."""

    def __init__(self):
        self.rows = []

    def __call__(self, n_iter, value, gap):
        self.rows.append((n_iter, value, gap))


# Minima


@solvers
@pytest.mark.parametrize("size", [1, 6, 40])
@pytest.mark.parametrize("floor", [1e-3, 1.0, 1e6])
def test_every_solver_ends_at_a_known_minimum(name, size, floor):
    problem = make_cosh(size, floor)
    start = np.zeros(size)
    result = solve(name, problem, start)
    assert result.status.success
    assert_allclose(result.value, floor, rtol=1e-14)
    # Values tell no more of the minimum than the root of their rounding.
    atol = 1e-7 * max(1.0, np.sqrt(floor))
    assert_allclose(result.theta, problem.minimum, atol=atol)
    value, gradient = problem.value_gradient(result.theta)
    assert value == result.value
    first = problem.value_gradient(start)[1]
    assert np.abs(gradient).max() < 1e-6 * np.abs(first).max() * max(1, np.sqrt(floor))
    assert_array_equal(start, 0)


@solvers
@pytest.mark.parametrize("strength", [0.0, 1e-12, 1.0, 1e12, np.inf])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_solver_makes_a_tied_problem_stationary(name, strength, n_classes):
    problem = make_tied(strength, n_classes=n_classes)
    result = solve(name, problem)
    assert result.status.success
    gradient = problem.value_gradient(result.theta)[1]
    assert np.abs(gradient).max() < 1e-6
    reference = solve("newton-cholesky", problem)
    assert_allclose(result.value, reference.value, rtol=1e-13)


@solvers
def test_a_start_at_the_minimum_stays_there(name):
    problem = make_cosh()
    result = solve(name, problem, problem.minimum.copy())
    assert result.status is Status.CONVERGED
    assert (result.gap, result.n_iter) == (0, 1)
    assert_array_equal(result.theta, problem.minimum)


@solvers
def test_a_warm_start_takes_fewer_iterations(name):
    problem = make_cosh(distance=3.0)
    cold = solve(name, problem, tol=1e-10)
    near = problem.minimum + 1e-3
    assert solve(name, problem, near, tol=1e-10).n_iter < cold.n_iter


# Ways of ending


@solvers
def test_convergence_means_a_gap_within_tol(name):
    loose = solve(name, make_cosh(), tol=1e-2)
    tight = solve(name, make_cosh(), tol=1e-10)
    for result, tol in ((loose, 1e-2), (tight, 1e-10)):
        assert result.status is Status.CONVERGED
        assert result.gap <= tol
    assert loose.n_iter < tight.n_iter
    assert loose.gap > 1e-10


@solvers
@pytest.mark.parametrize("max_iter", [1, 2, 3])
def test_limit_of_iterations(name, max_iter):
    problem = make_cosh(distance=4.0)
    result = solve(name, problem, max_iter=max_iter)
    assert result.status is Status.MAX_ITER
    assert not result.status.success
    assert result.n_iter == max_iter
    assert result.gap > 0
    start = problem.value_gradient(np.zeros(problem.size))[0]
    assert problem.floor < result.value < start


@solvers
def test_a_function_that_falls_to_zero_is_unbounded(name):
    problem = Exponential(np.eye(3), np.zeros(3))
    result = solve(name, problem, np.array([0.0, 1.0, -1.0]))
    assert result.status is Status.UNBOUNDED
    assert not result.status.success
    assert result.value <= 1e-15 * (1 + np.exp(1) + np.exp(-1))


@solvers
def test_tol_zero_ends_at_the_precision_of_the_objective(name):
    problem = make_cosh(20, floor=np.pi)
    result = solve(name, problem, tol=0.0)
    assert result.status in (Status.PRECISION, Status.CONVERGED)
    assert result.status.success
    assert result.gap < 1e-14
    assert result.n_iter < 100


def test_precision_is_the_status_where_rounding_ends_the_descent():
    problem = make_tied(1.0)
    result = solve("lbfgs", problem, tol=0.0)
    assert result.status is Status.PRECISION
    assert result.gap < 1e-14


@solvers
def test_values_known_to_few_digits_end_a_descent(name):
    class Rounded(Cosh):
        """Its values carry rounding of float32, its gradients do not."""

        def value_gradient(self, theta):
            value, gradient = super().value_gradient(theta)
            return float(np.float32(value)), gradient

    exact = make_cosh(20, distance=2.0)
    problem = Rounded(exact.mixing, exact.minimum, floor=10.0, eps=2.0**-23)
    result = solve(name, problem, tol=0.0)
    assert result.status.success
    assert result.gap < 1e-6
    assert result.n_iter < 200


def test_a_search_that_fails_far_from_the_minimum_is_no_success():
    class Deceptive(Cosh):
        """Its gradient points uphill."""

        def value_gradient(self, theta):
            value, gradient = super().value_gradient(theta)
            return value, -gradient

    problem = Deceptive(np.eye(2), np.ones(2))
    result = minimize(
        problem, np.zeros(2), lambda theta, value, g: -g, tol=1e-8, max_iter=50
    )
    assert not result.status.success
    assert_allclose(result.theta, 0, atol=1e-12)


# The certificate


@solvers
@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize(
    "make", [make_cosh, lambda: make_tied(1.0), lambda: make_tied(1e4, n_classes=3)]
)
def test_certificate_bounds_the_gap_to_the_minimum(name, tol, make):
    lowest = solve("newton-cholesky", make()).value
    result = solve(name, make(), tol=tol)
    assert result.status is Status.CONVERGED
    true_gap = (result.value - lowest) / result.value
    assert true_gap <= 4 * result.gap + 1e-15


def test_certificate_of_newton_is_the_gap_near_the_minimum():
    problem, hook = make_cosh(), Recorder()
    solve("newton-cholesky", problem, problem.minimum + 1e-2, hook=hook)
    n_iter, value, gap = hook.rows[0]
    assert n_iter == 0
    assert_allclose(gap, (value - problem.floor) / value, rtol=1e-2)


@solvers
def test_certificate_is_relative_to_the_objective(name):
    # The same function in other units: the same iterates, up to rounding.
    one = make_tied(1.0)
    doubled = replace(
        one.of_rows(weight=np.full(200, 1024.0)),
        decay=1024 * one.decay,
        coordinates=TiedCoordinates(Tie(ToMean(), 1024.0), one.coordinates.shape),
    )
    first, second = solve(name, one, tol=1e-5), solve(name, doubled, tol=1e-5)
    assert_allclose(second.value, 1024 * first.value, rtol=4e-5)
    assert second.gap <= 1e-5


# Hooks, line search, samples


@solvers
def test_hook_sees_every_iterate_once(name):
    problem, hook = make_cosh(distance=3.0), Recorder()
    result = solve(name, problem, tol=1e-9, hook=hook)
    numbers, values, gaps = zip(*hook.rows, strict=True)
    assert numbers == tuple(range(result.n_iter + 1))
    assert values[0] == problem.value_gradient(np.zeros(problem.size))[0]
    assert np.all(np.diff(values) < 0)
    assert (values[-1], gaps[-1]) == (result.value, result.gap)
    assert min(gaps[:-1]) > 1e-9 >= gaps[-1]


@solvers
@pytest.mark.parametrize("with_sample", [False, True])
def test_hook_is_called_at_most_once_more_than_max_iter(name, with_sample):
    # Callbacks are promised max_iter + 1 tasks.
    sample = make_cosh(seed=5, distance=4.0) if with_sample else None
    for max_iter in (1, 3, 13, 20):
        hook = Recorder()
        problem = make_cosh(distance=4.0, sample=sample)
        result = solve(name, problem, max_iter=max_iter, hook=hook)
        assert len(hook.rows) <= max_iter + 1
        assert result.n_iter <= max_iter


@pytest.mark.parametrize("length", [10.0, 1e3, 1e6])
def test_line_search_survives_an_infinite_value(length):
    problem = make_cosh(floor=1.0, distance=1.0)
    start = np.zeros(problem.size)
    overflows = problem.value_gradient(start - 1e6 * problem.value_gradient(start)[1])[
        0
    ]
    assert not np.isfinite(overflows)
    result = minimize(
        problem,
        start,
        lambda theta, value, gradient: -length * gradient,
        tol=1e-6 * length,  # the certificate is that of the model, `length` times I
        max_iter=500,
    )
    assert result.status is Status.CONVERGED
    assert_allclose(result.value, problem.floor, rtol=1e-3)


def test_ascent_is_replaced_by_the_gradient():
    problem = make_cosh()
    result = minimize(
        problem,
        np.zeros(problem.size),
        lambda theta, value, gradient: gradient,
        tol=1e-6,
        max_iter=500,
    )
    assert result.status is Status.CONVERGED
    assert_allclose(result.value, problem.floor, rtol=1e-5)


def test_conjugate_directions_solve_a_quadratic_in_as_many_products():
    # Near its minimum the function is one, with 12 different curvatures.
    problem = make_cosh(12)
    problem.mixing = problem.mixing @ np.diag(np.logspace(0, 2, 12))
    result = solve("newton-cg", problem, problem.minimum + 1e-6, tol=1e-30)
    assert result.status is Status.CONVERGED
    assert problem.calls["product"] <= 4 * 12


def test_a_good_sample_spares_the_exact_hessian():
    sample = make_cosh(distance=3.0)
    sample.minimum = sample.minimum + 1e-3
    problem = make_cosh(distance=3.0, sample=sample, curvature_passes=50.0)
    alone = make_cosh(distance=3.0, curvature_passes=50.0)
    result, plain = (solve("newton-cholesky", p, tol=1e-8) for p in (problem, alone))
    assert result.status is Status.CONVERGED
    assert_allclose(result.theta, problem.minimum, atol=1e-3)
    assert (problem.calls["curvature"], sample.calls["curvature"] > 0) == (0, True)
    assert problem.calls["value"] < alone.calls["value"]
    assert_allclose(result.value, plain.value, rtol=1e-7)


def test_a_bad_sample_does_no_harm():
    sample = make_cosh(seed=9, distance=1.0)
    sample.mixing = sample.mixing @ np.diag(np.logspace(-1, 1, 6))
    problem = make_cosh(distance=1.0, sample=sample)
    result = solve("newton-cholesky", problem)
    assert result.status.success
    assert problem.calls["curvature"] > 0
    assert_allclose(result.value, problem.floor, rtol=1e-14)
    assert_allclose(result.theta, problem.minimum, atol=1e-6)


# choose


SIZES = list(
    itertools.product(
        (10, 10**4, 10**7), (1, 10, 1000), (1, 4, 99), (1, 2, 50, 1000, 10**5)
    )
)


@pytest.mark.parametrize("share", [1.0, 0.01])
def test_choose_names_a_solver_for_every_size(share):
    names = {
        choose(
            entries=int(share * n_rows * n_coefs),
            n_rows=n_rows,
            n_members=n_members,
            n_outputs=n_outputs,
            n_coefs=n_coefs,
        )
        for n_rows, n_members, n_outputs, n_coefs in SIZES
    }
    assert names <= set(SOLVERS)
    assert len(names) > 1


def test_choose_factors_hessians_that_are_small_alone():
    few = choose(entries=10**6, n_rows=10**5, n_members=4, n_outputs=1, n_coefs=10)
    assert few == "newton-cholesky"
    wide = choose(entries=10**6, n_rows=10**4, n_members=4, n_outputs=1, n_coefs=10**5)
    assert wide != "newton-cholesky"


@pytest.mark.parametrize(
    ("n_outputs", "expected"),
    [(1, "newton-cholesky"), (9, "newton-cholesky"), (39, "lbfgs")],
)
def test_choose_counts_what_every_pair_of_outputs_costs(n_outputs, expected):
    # 10000 rows of 20 features: with 40 classes L-BFGS took a third of the time.
    sizes = {"n_rows": 10_000, "n_members": 1, "n_coefs": 21}
    assert choose(entries=200_000, n_outputs=n_outputs, **sizes) == expected


def test_small_problems_get_a_step_more():
    # What a step costs decides alone: the problems are the same.
    small, large = (
        solve("newton-cholesky", make_cosh(curvature_work=work), tol=1e-4)
        for work in (1e3, 1e9)
    )
    assert small.gap <= 1e-8 < large.gap <= 1e-4


def test_statuses_say_what_happened():
    said = {status: str(status.value) for status in Status}
    assert "limit of iterations" in said[Status.MAX_ITER]
    assert "within tol" in said[Status.CONVERGED]
    assert len(set(said.values())) == len(Status)


@pytest.mark.parametrize("entries", [1e6, 1e8])
def test_choose_knows_that_a_pass_for_more_outputs_takes_longer(entries):
    # Of as many parameters in all, and so of as large a Hessian.
    chosen = {
        n_outputs: [
            choose(
                entries=int(entries),
                n_rows=5000,
                n_members=3,
                n_outputs=n_outputs,
                n_coefs=size // n_outputs,
            )
            for size in range(80, 8000, 40)
        ]
        for n_outputs in (1, 2, 4)
    }
    newton = {k: names.count("newton-cholesky") for k, names in chosen.items()}
    assert newton[1] < newton[2] < newton[4]
