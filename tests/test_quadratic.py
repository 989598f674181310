"""Tests of sktie._quadratic, and of the problem that it is a part of."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from sktie._design import Design
from sktie._loss import classification_loss
from sktie._parallel import Workers
from sktie._problem import TiedProblem
from sktie._quadratic import Quadratic, QuadraticSum
from sktie._row_sums import RowSums
from sktie._tie import Tie, TiedCoordinates, ToFixed, ToMean
from sktie.solvers import SOLVERS

P = 4  # coefficients, the intercept included
FORMS = ["dense", "sparse", "root", "sparse root", "all outputs", "sum"]
CASES = [
    # classes, members, fixed, strength of the tie, one decay of the mean
    pytest.param((2, 3, False, 2.0, False), id="domains"),
    pytest.param((3, 3, False, np.array([0, 1.0, np.inf, 1e9]), False), id="mixed"),
    pytest.param((2, 3, False, np.inf, True), id="shared, one decay"),
    pytest.param((3, 2, False, 0.0, False), id="separate"),
    pytest.param((3, 1, True, 0.7, False), id="fixed"),
]


def root_of(n, seed=3):
    """A root with two rows fewer than columns: Q is singular."""
    return np.random.default_rng(seed).normal(size=(n - 2, n))


def quadratic_of(form, n_outputs, centre):
    root = root_of(P)
    if form == "all outputs":
        root = root_of(n_outputs * P)
        return Quadratic(root.T @ root, (n_outputs, P), centre), root.T @ root
    if form == "sum":
        parts = [
            quadratic_of(own, n_outputs, centre) for own in ("root", "all outputs")
        ]
        (first, one), (second, other) = parts
        return QuadraticSum(first, second), one + other
    dense = np.kron(np.eye(n_outputs), root.T @ root)
    kind = sp.csr_array if "sparse" in form else np.asarray
    matrix = root if "root" in form else root.T @ root
    found = Quadratic(kind(matrix), (n_outputs, P), centre, root="root" in form)
    return found, dense


def build(case, form, n=60):
    """A problem, and its objective as a function of the members without sktie."""
    n_classes, n_members, fixed, strength, shared_decay = case
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, P - 1))
    bounds = np.linspace(0, n, n_members + 1).astype(int)
    y = rng.integers(n_classes, size=n)
    loss = classification_loss(n_classes)
    k = loss.n_outputs
    target = rng.normal(size=(k, P))
    structure = ToFixed(target) if fixed else ToMean()
    centre = rng.normal(size=(k, P))
    quadratic, Q = quadratic_of(form, k, centre)
    decay = np.array([0.5, 1.0, 2.0, 0.0])
    problem = TiedProblem(
        RowSums(Design(X, bounds), loss, loss.encode(y, np.float64), None, Workers()),
        coordinates=TiedCoordinates(Tie(structure, strength), (n_members, k, P)),
        decay=decay,
        shared_decay=shared_decay,
        quadratic=quadratic,
    )

    def objective(members):
        W = np.asarray(members).reshape(n_members, k, P)
        total = 0.0
        for t in range(n_members):
            rows = slice(bounds[t], bounds[t + 1])
            scores = np.c_[X[rows], np.ones(len(X[rows]))] @ loss.expand(W[t]).T
            if n_classes == 2:
                total += np.logaddexp(0, -(2 * y[rows] - 1) * scores[:, 0]).sum()
            else:
                total += np.logaddexp.reduce(scores, axis=1).sum()
                total -= scores[np.arange(len(scores)), y[rows]].sum()
            away = (W[t] - centre).ravel()
            total += 0.5 * away @ Q @ away
        mean = W.mean(axis=0)
        finite = np.where(np.isinf(strength), 0.0, strength)
        apart = np.square(W - target) if fixed else 2 * np.square(W - mean)
        total += 0.5 * (finite * apart).sum()
        decayed = mean[np.newaxis] if shared_decay else W
        return total + 0.5 * (decay * np.square(decayed)).sum()

    return problem, objective


def dense_hessian(problem, theta):
    """The Hessian on the steps that the tie allows, column by column."""
    project = problem.coordinates.join
    product = problem.hessp(theta)
    columns = []
    for direction in np.eye(problem.size):
        allowed = project(*problem.coordinates.split_direction(direction))
        columns.append(project(*problem.coordinates.split_direction(product(allowed))))
    return np.array(columns).T


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_value_gradient_and_hessian_are_those_of_the_formula(case, form):
    problem, objective = build(case, form)
    rng = np.random.default_rng(1)
    theta, step = 0.4 * rng.normal(size=(2, problem.size))
    step = problem.coordinates.join(*problem.coordinates.split_direction(step))

    def along(length):
        return objective(problem.members(theta + length * step))

    value, gradient = problem.value_gradient(theta)
    assert_allclose(value, along(0), rtol=1e-12)
    h = 1e-3
    first = 8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))
    assert_allclose(gradient @ step, first / (12 * h), rtol=1e-7, atol=1e-6)
    before = problem.value_gradient(theta - h * step)[1]
    after = problem.value_gradient(theta + h * step)[1]
    image = problem.hessp(theta)(step)
    assert_allclose(image, (after - before) / (2 * h), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_curvature_diagonal_and_floor_are_those_of_the_hessian(case, form):
    problem, _ = build(case, form)
    theta = 0.4 * np.random.default_rng(2).normal(size=problem.size)
    H = dense_hessian(problem, theta)
    gradient = problem.value_gradient(theta)[1]
    gradient = problem.coordinates.join(*problem.coordinates.split_direction(gradient))
    step = problem.curvature(theta).solve(gradient)
    scale = np.abs(gradient).max()
    assert_allclose(H @ step, gradient, rtol=1e-6, atol=1e-7 * scale)
    v = problem.coordinates.join(*problem.coordinates.split_direction(step))
    assert v @ H @ v >= v @ (problem.curvature_floor * v) * (1 - 1e-9)
    # The diagonal is that of members as they are, of which deviations are centred.
    n_hub = problem.coordinates.size - np.prod(problem.coordinates.shape)
    found = problem.diagonal(theta)[:n_hub]
    assert_allclose(found, np.diag(H)[:n_hub], rtol=1e-9)


@pytest.mark.parametrize("solver", sorted(SOLVERS))
@pytest.mark.parametrize("case", CASES)
def test_minimum_is_that_of_scipy(case, solver):
    problem, objective = build(case, "sparse root")
    start = np.zeros(problem.size)
    result = SOLVERS[solver](problem, start, tol=1e-13, max_iter=2000)
    assert result.status.success
    found = minimize(
        lambda theta: objective(problem.members(theta)),
        start,
        method="BFGS",
        options={"gtol": 1e-6},
    )
    assert_allclose(result.value, found.fun, rtol=1e-8)
    assert_allclose(problem.members(result.theta), problem.members(found.x), atol=2e-4)


def test_posterior_is_the_inverse_hessian():
    problem, _ = build((3, 3, False, np.array([0.5, 1.0, 4.0, 2.0]), False), "dense")
    members = 0.3 * np.random.default_rng(4).normal(size=problem.coordinates.shape)
    hessians = problem.hessians(members)
    size = hessians.shape[1]
    decay = np.tile(problem.decay, 2)
    strength = np.tile([0.5, 1.0, 4.0, 2.0], 2)
    apart = np.kron(2 * (np.eye(3) - np.full((3, 3), 1 / 3)), np.diag(strength))
    Q = np.kron(np.eye(2), root_of(P).T @ root_of(P))
    whole = apart + np.kron(np.eye(3), Q + np.diag(decay))
    for t, own in enumerate(hessians):
        place = slice(t * size, (t + 1) * size)
        whole[place, place] += own
    inverse = np.linalg.inv(whole)
    found = problem.posterior(hessians).covariances
    for t in range(3):
        place = slice(t * size, (t + 1) * size)
        assert_allclose(found[t], inverse[place, place], rtol=1e-8, atol=1e-12)


def test_another_tie_and_a_sample_of_the_rows_keep_it():
    problem, _ = build(CASES[0].values[0], "dense", n=40000)
    retied = problem.retied(np.full(P, 3.0), problem.decay)
    assert retied.quadratic is problem.quadratic
    assert problem.coarse().quadratic is problem.quadratic


def test_a_root_keeps_the_digits_that_its_square_loses():
    strength = 2.0**46  # so that its root is exact
    root = sp.csr_array(np.sqrt(strength) * np.array([[1.0, -1.0]]))
    w = np.array([[[1.0, 1.0 + 2**-50]]])
    value = Quadratic(root, (1, 2), root=True).value(w)
    assert_allclose(value, 0.5 * strength * 2.0**-100, rtol=1e-12)


def test_no_quadratic_is_a_zero_one():
    problem, _ = build(CASES[0].values[0], "dense")
    theta = np.random.default_rng(5).normal(size=problem.size)
    zero = replace(problem, quadratic=Quadratic(np.zeros((P, P)), (1, P)))
    without = replace(problem, quadratic=None)
    assert zero.value_gradient(theta)[0] == without.value_gradient(theta)[0]


@pytest.mark.parametrize("root", [True, False])
def test_a_penalty_beyond_all_numbers_is_infinite(root):
    members = np.full((1, 1, P), 1e200)
    assert Quadratic(np.eye(P), (1, P), root=root).value(members) == np.inf
