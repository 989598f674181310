"""Tests of sktie._linalg."""

from dataclasses import dataclass
from inspect import signature

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import block_diag, helmert
from scipy.sparse.linalg import LinearOperator, cg

from sktie import _linalg
from sktie._linalg import (
    SMALL,
    BlockArrow,
    cholesky,
    conjugate_step,
    inverse_factors,
    loose_and_firm,
    lower_inverse,
    rough_step,
)
from sktie._tie import Tie, ToMean

INF = np.inf


def serial(function, items):
    return [function(item) for item in items]


# cholesky and lower_inverse


def gram(n_rows, n, seed=0):
    """A random positive semidefinite matrix of rank min(n_rows, n)."""
    rows = np.random.default_rng(seed).normal(size=(n_rows, n))
    return rows.T @ rows


@pytest.mark.parametrize("n", [1, 2, 7, 40])
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 1e-4)])
def test_cholesky_of_a_definite_matrix(n, dtype, rtol):
    matrix = gram(3 * n, n).astype(dtype)
    before = matrix.copy()
    factor = cholesky(matrix)
    assert factor.dtype == dtype
    assert_array_equal(factor, np.tril(factor))
    assert np.all(np.diag(factor) > 0)
    assert_allclose(factor @ factor.T, matrix, rtol=rtol, atol=rtol)
    assert_array_equal(matrix, before)


@pytest.mark.parametrize(
    "matrix",
    [
        np.ones((4, 4)),
        gram(3, 8),
        np.diag([1.0, 0.0, 1e-28]),
        np.zeros((3, 3)),
        1e12 * gram(1, 5),
    ],
    ids=["ones", "rank 3 of 8", "zero pivot", "zero", "large"],
)
def test_cholesky_of_a_singular_matrix_is_that_of_a_neighbour(matrix):
    factor = cholesky(matrix)
    assert np.all(np.diag(factor) > 0)
    atol = max(1e-13 * np.abs(matrix).max(), 1e-28)
    assert_allclose(factor @ factor.T, matrix, atol=atol)
    # The directions that the matrix does see are solved as if it were regular.
    right = matrix @ np.arange(1.0, len(matrix) + 1)
    inverse = lower_inverse(factor)
    solution = inverse.T @ (inverse @ right)
    error = np.abs(matrix @ solution - right).max()
    assert error <= 1e-10 * max(np.abs(right).max(), 1.0)


@pytest.mark.parametrize("bad", [np.nan, INF])
def test_cholesky_says_what_to_do_about_overflow(bad):
    matrix = np.eye(3)
    matrix[2, 1] = bad
    with pytest.raises(ValueError, match="Scale the features"):
        cholesky(matrix)


@pytest.mark.parametrize("n", [0, 1, 5, 40])
def test_lower_inverse_is_the_inverse_and_lower(n):
    factor = cholesky(gram(3 * n + 1, n)) if n else np.empty((0, 0))
    before = factor.copy()
    inverse = lower_inverse(factor)
    assert_allclose(factor @ inverse, np.eye(n), atol=1e-12)
    assert_array_equal(inverse, np.tril(inverse))
    assert_array_equal(factor, before)


# BlockArrow


@dataclass(frozen=True)
class System:
    """A Newton system, and its dense form on a basis of the allowed directions."""

    hessians: np.ndarray
    strength: np.ndarray
    free_hub: bool = True
    mean_decay: np.ndarray | None = None

    @property
    def scale(self):
        return 1 / np.sqrt(1 + self.strength)

    @property
    def weight(self):
        finite = np.where(np.isinf(self.strength), 0, self.strength)
        weight = np.where(np.isinf(self.strength), 1, finite / (1 + finite))
        return 2 * weight if self.free_hub else weight

    @property
    def decay(self):
        n = self.hessians.shape[1]
        return np.zeros(n) if self.mean_decay is None else self.mean_decay

    @property
    def basis(self):
        """Columns span the (mean, u) that the tie allows: sum_t u_t = 0."""
        n_members, n = self.hessians.shape[:2]
        moving = np.eye(n)[:, self.scale > 0]
        if not self.free_hub:
            return np.vstack(
                [
                    np.zeros((n, n_members * moving.shape[1])),
                    np.kron(np.eye(n_members), moving),
                ]
            )
        return block_diag(np.eye(n), np.kron(helmert(n_members).T, moving))

    @property
    def matrix(self):
        """The Hessian in (mean, u), of members w_t = mean + scale u_t."""
        n_members, n = self.hessians.shape[:2]
        to_members = np.hstack(
            [
                np.tile(np.eye(n), (n_members, 1)),
                np.kron(np.eye(n_members), np.diag(self.scale)),
            ]
        )
        smooth = to_members.T @ block_diag(*self.hessians) @ to_members
        return smooth + np.diag(np.r_[self.decay, np.tile(self.weight, n_members)])

    def gradient(self, seed=0):
        """A gradient as solvers meet it: that of a function of the members."""
        rng = np.random.default_rng(seed)
        parts = rng.normal(size=self.hessians.shape[:2])
        if not self.free_hub:
            return np.zeros(parts.shape[1]), self.scale * parts
        return parts.sum(axis=0), self.scale * (parts - parts.mean(axis=0))

    def dense_solve(self, mean_part, member_parts):
        basis = self.basis
        small = basis.T @ self.matrix @ basis
        right = basis.T @ np.r_[mean_part, member_parts.ravel()]
        solution = basis @ np.linalg.solve(small, right)
        n = len(mean_part)
        return solution[:n], solution[n:].reshape(member_parts.shape)

    def solve(self, mean_part, member_parts):
        arrow = BlockArrow(
            self.hessians.copy(),
            self.scale,
            self.weight,
            self.free_hub,
            self.decay,
            serial,
        )
        return arrow.solve(mean_part.copy(), member_parts.copy())


def relative_error(actual, expected):
    size = max(np.abs(expected).max(), np.finfo(float).tiny)
    return np.abs(actual - expected).max() / size


def hessians(n_members=4, n=5, n_rows=25):
    return np.stack([gram(n_rows, n, seed) for seed in range(n_members)])


STRENGTHS = {
    "0": np.zeros(5),
    **{f"1e{k}": np.full(5, 10.0**k) for k in range(-12, 13, 3)},
    "1e-28": np.full(5, 1e-300),
    "1e300": np.full(5, 1e300),
    "inf": np.full(5, INF),
    "free intercept": np.array([1, 1, 1, 1, 0.0]),
    "pooled but the intercept": np.array([INF, INF, INF, INF, 0]),
    "mixed": np.array([1e-12, 1e12, 0, INF, 1.0]),
    "near the switch": np.array([20.0, 25, 30, 1e-9, 1e9]),
}
DECAYS = {
    "no decay": None,
    "decay": np.array([1, 1, 1, 1, 0.0]),
    "strong decay": np.array([1e6, 1e6, 1e6, 1e6, 0]),
}

strengths = pytest.mark.parametrize(
    "strength", STRENGTHS.values(), ids=STRENGTHS.keys()
)


def assert_solves(system, rtol=1e-9):
    gradient = system.gradient()
    mean, steps = system.solve(*gradient)
    mean_expected, steps_expected = system.dense_solve(*gradient)
    members = mean + system.scale * steps
    members_expected = mean_expected + system.scale * steps_expected
    assert relative_error(members, members_expected) <= rtol
    if system.free_hub:
        assert relative_error(mean, mean_expected) <= rtol
        assert_allclose(steps.sum(axis=0), 0, atol=1e-13)
    else:
        assert_array_equal(mean, 0)
    for k, own in enumerate(system.scale):  # small ones have their own digits
        if own > 0:
            assert relative_error(steps[:, k], steps_expected[:, k]) <= rtol
        else:
            assert_array_equal(steps[:, k], 0)


@strengths
@pytest.mark.parametrize("decay", DECAYS.values(), ids=DECAYS.keys())
def test_members_tied_to_their_mean(strength, decay):
    assert_solves(System(hessians(), strength, mean_decay=decay))


@strengths
def test_members_tied_to_a_fixed_model(strength):
    assert_solves(System(hessians(), strength, free_hub=False))


@pytest.mark.parametrize("n_members", [1, 2, 30])
@pytest.mark.parametrize("strength", [0.0, 1e-12, 1.0, 1e12, INF])
def test_any_number_of_members(n_members, strength):
    system = System(hessians(n_members, 3), np.full(3, strength))
    if n_members > 1:
        assert_solves(system)
        return
    # The mean of one member is that member: the tie holds nothing.
    gradient, nothing = system.gradient()
    mean, steps = system.solve(gradient, nothing)
    assert_allclose(mean, np.linalg.solve(system.hessians[0], gradient), rtol=1e-10)
    assert_allclose(steps, 0, atol=1e-13)


@pytest.mark.parametrize("strength", [1e-2, 1.0, 1e12, INF])
def test_members_that_hold_too_few_rows_alone(strength):
    # Each Hessian has rank 2 of 5; the tie and the other members fill the rest.
    assert_solves(System(hessians(6, n_rows=2), np.full(5, strength)))


@pytest.mark.parametrize("strength", [0.0, 1e-12, 1.0, 1e12, INF])
@pytest.mark.parametrize("free_hub", [True, False])
def test_collinear_features_are_solved_in_what_can_be_seen(strength, free_hub):
    seen = np.array([[1.0, 0, 1], [0, 1, 1]])  # feature 2 is the sum of the others
    regular = hessians(4, 2)
    singular = np.stack([seen.T @ h @ seen for h in regular])
    system = System(singular, np.full(3, strength), free_hub=free_hub)
    rng = np.random.default_rng(3)
    parts = rng.normal(size=(4, 2)) @ seen
    mean_part = parts.sum(axis=0) if free_hub else np.zeros(3)
    if free_hub:
        parts = parts - parts.mean(axis=0)
    member_parts = system.scale * parts
    mean, steps = system.solve(mean_part, member_parts)
    assert np.all(np.isfinite(steps))
    right = system.basis.T @ np.r_[mean_part, member_parts.ravel()]
    left = system.basis.T @ system.matrix @ np.r_[mean, steps.ravel()]
    assert_allclose(left, right, rtol=1e-6, atol=1e-6 * np.abs(right).max(initial=0))


def test_members_of_very_different_size():
    sizes = np.array([1e-6, 1.0, 1e6])[:, np.newaxis, np.newaxis]
    for strength in (1e-12, 1e-3, 1.0, 1e3, 1e12):
        system = System(sizes * hessians(3, 5), np.full(5, strength))
        gradient = system.gradient()
        solution = np.r_[tuple(part.ravel() for part in system.solve(*gradient))]
        right = np.r_[tuple(part.ravel() for part in gradient)]
        residual = system.basis.T @ (system.matrix @ solution - right)
        scale = np.abs(system.matrix) @ np.abs(solution) + np.abs(right)
        assert np.abs(residual).max() <= 1e-10 * scale.max()


def test_the_solution_is_a_descent_direction_and_symmetric():
    for strength in STRENGTHS.values():
        system = System(hessians(), strength)
        one, two = system.gradient(1), system.gradient(2)
        images = system.solve(*one), system.solve(*two)

        def dot(a, b):
            return np.vdot(a[0], b[0]) + np.vdot(a[1], b[1])

        assert dot(one, images[0]) > 0
        assert_allclose(dot(two, images[0]), dot(images[1], one), rtol=1e-8)


def test_reference_is_well_conditioned_where_the_naive_arrow_is_not():
    # Without sum_t u_t = 0, the mean and all deviations can shift against each other
    # at the cost of the tie alone: what such a system loses, ours must keep.
    system = System(hessians(), np.full(5, 1e-12))
    small = system.basis.T @ system.matrix @ system.basis
    assert np.linalg.cond(small) < 1e3
    assert np.linalg.cond(system.matrix) > 1e12
    gradient = system.gradient()
    naive = np.linalg.solve(
        system.matrix, np.r_[gradient[0], gradient[1].ravel()]
    ).reshape(5, 5)
    naive_members = naive[0] + system.scale * naive[1:]
    mean, steps = system.solve(*gradient)
    mean_expected, steps_expected = system.dense_solve(*gradient)
    expected = mean_expected + system.scale * steps_expected
    assert relative_error(naive_members, expected) > 1e-6
    assert relative_error(mean + system.scale * steps, expected) < 1e-12


@pytest.mark.parametrize("strength", [0.0, 1.0, INF])
def test_what_is_kept_of_members_is_one_tall_matrix_without_a_copy(strength):
    hessians = np.stack([gram(9, 3, seed) for seed in range(5)])
    weight = 2.0 if strength == INF else 2.0 * strength / (1 + strength)
    scale = np.full(3, 0.0 if strength == INF else 1 / np.sqrt(1 + strength))
    arrow = BlockArrow(hessians, scale, np.full(3, weight), True, np.zeros(3), serial)
    for kept in (arrow._inverses, arrow._edges):
        assert kept.flags.c_contiguous


@pytest.mark.parametrize(
    ("n_members", "n", "parts"),
    [(8, 5, 1), (20, SMALL, 1), (300, SMALL, 3), (5, 150, 5)],
)
def test_members_are_factored_through_the_given_map(n_members, n, parts):
    calls = []

    def apply(function, items):
        items = list(items)
        calls.append(len(items))
        return [function(item) for item in items]

    members = np.stack([gram(3 * n, n, t) for t in range(n_members)])
    system = System(members, np.ones(n))
    arrow = BlockArrow(
        system.hessians.copy(), system.scale, system.weight, True, system.decay, apply
    )
    assert calls == [parts]
    mean, steps = arrow.solve(*system.gradient())
    again = system.solve(*system.gradient())
    assert_array_equal(mean, again[0])
    assert_array_equal(steps, again[1])


@pytest.mark.parametrize("n", [1, 2, SMALL, SMALL + 1])
@pytest.mark.parametrize("kind", ["definite", "one is singular", "badly scaled"])
def test_inverse_factors_are_those_of_each_matrix_alone(n, kind):
    matrices = np.stack([gram(3 * n, n, t) for t in range(SMALL)])
    if kind == "one is singular":
        matrices[3] = 0.0
    if kind == "badly scaled":
        scale = np.geomspace(1e-8, 1e8, n) if n > 1 else np.full(1, 1e-12)
        matrices *= scale[:, np.newaxis] * scale
    before = matrices.copy()
    inverses, diagonals = inverse_factors(matrices)
    assert_array_equal(matrices, before)
    for matrix, inverse, diagonal in zip(matrices, inverses, diagonals, strict=True):
        factor = cholesky(matrix)
        expected = lower_inverse(factor)
        assert_array_equal(inverse, np.tril(inverse))
        # As exact as substitution is: entry by entry, whatever the scales.
        least = np.abs(expected) @ np.abs(factor) @ np.abs(expected)
        assert (np.abs(inverse - expected) <= 1e-13 * least).all()
        assert_allclose(diagonal, np.diag(factor), rtol=1e-12)


def test_overflowing_hessian_is_refused():
    bad = hessians()
    bad[2, 1, 1] = INF
    with pytest.raises(ValueError, match="Scale the features"):
        System(bad, np.ones(5)).solve(*System(hessians(), np.ones(5)).gradient())


@pytest.mark.parametrize("largest", [1e6, 1.0, 1e-6])
def test_pivots_below_rounding_count_as_rounding(largest):
    eps = 2.0**-52
    lu = np.diag([largest, 0.0, 1e-20 * largest, -1e-20 * largest, -3e-3 * largest])
    lu[0, 1] = 5.0
    before = lu.copy()
    _linalg._lift_zero_pivots(lu)
    small = eps * largest
    expected = [largest, small, small, -small, -3e-3 * largest]
    assert_allclose(np.diag(lu), expected, rtol=1e-12)
    np.fill_diagonal(lu, np.diag(before))
    assert_array_equal(lu, before)


def test_ties_are_firm_from_the_mean_curvature_on():
    hessians = np.array([np.diag([2.0, 4.0, 0.0, 1.0]), np.diag([4.0, 0.0, 2.0, 1.0])])
    hessians[:, 0, 1] = hessians[:, 1, 0] = 0.5
    share = np.array([0.0, 3.0, 1.0, 0.5])  # curvatures of 3, 5, 2 and 1.5
    for strengths, firm in [
        ([2.9, 4.9, 1.9, 0.0], []),
        ([3.1, 4.9, 2.1, INF], [0, 2, 3]),
        ([0.0, 5.1, 0.0, 1.6], [1, 3]),
    ]:
        tie = Tie(ToMean(), np.array(strengths))
        found = loose_and_firm(hessians, tie.scale, tie.weight, share)
        assert_array_equal(found[0], np.setdiff1d(range(4), firm))
        assert_array_equal(found[1], firm)


# Conjugate gradients


def system(n=40):
    """A definite matrix, a gradient, and a model that knows the diagonal alone."""
    rng = np.random.default_rng(6)
    root = rng.normal(size=(n, n)) * np.logspace(0, 1.5, n)
    A = root.T @ root / n + np.eye(n)
    return A, rng.normal(size=n), lambda residual: residual / np.diag(A)


#: SciPy before 1.12 calls it so.
RTOL = "rtol" if "rtol" in signature(cg).parameters else "tol"


def iterates_of_scipy(A, gradient, model):
    found = []
    n = len(A)
    M = LinearOperator((n, n), matvec=model)
    cg(
        A,
        -gradient,
        M=M,
        **{RTOL: 1e-14, "atol": 0.0},
        maxiter=60,
        callback=lambda x: found.append(1 * x),
    )
    return found


@pytest.mark.parametrize("n_steps", [1, 2, 3, 10])
def test_conjugate_steps_are_those_of_scipy(n_steps):
    A, gradient, model = system()
    told = []

    def enough(residual, energy, decrease):
        told.append((residual.copy(), energy, decrease))
        return len(told) == n_steps

    step = conjugate_step(lambda v: A @ v, gradient, model, enough)
    expected = iterates_of_scipy(A, gradient, model)[:n_steps]
    assert_allclose(step, expected[-1], rtol=1e-9, atol=1e-12)
    # What is told is what is left of the system, and what was won so far.
    for (residual, energy, decrease), x in zip(told, expected, strict=True):
        left = -gradient - A @ x
        assert_allclose(residual, left, rtol=1e-7, atol=1e-11)
        assert_allclose(energy, left @ model(left), rtol=1e-7)
        assert_allclose(decrease, -(gradient @ x + 0.5 * x @ A @ x), rtol=1e-9)


def test_conjugate_steps_end_by_themselves():
    A, gradient, model = system()
    calls = []

    def product(v):
        calls.append(1)
        return A @ v

    step = conjugate_step(product, gradient, model, lambda *_: False)
    assert_allclose(step, -np.linalg.solve(A, gradient), rtol=1e-10, atol=1e-13)
    assert len(calls) <= 2 * len(A)


def test_there_is_a_last_conjugate_step(monkeypatch):
    monkeypatch.setattr(_linalg, "MAX_CONJUGATE_STEPS", 3)
    A, gradient, model = system()
    step = conjugate_step(lambda v: A @ v, gradient, model, lambda *_: False)
    assert_allclose(step, iterates_of_scipy(A, gradient, model)[2], rtol=1e-9)


def test_without_curvature_the_model_has_the_word():
    _, gradient, model = system()
    step = conjugate_step(np.zeros_like, gradient, model, lambda *_: False)
    assert_array_equal(step, model(-gradient))


def test_a_direction_without_curvature_is_not_followed():
    # The second conjugate direction is flat to rounding: the first step stands.
    A = np.diag([1.0, 1e-17])
    gradient = np.array([1.0, 1e-3])
    step = conjugate_step(lambda v: A @ v, gradient, lambda r: r, lambda *_: False)
    assert_allclose(step, [-1.0, -1e-3], rtol=1e-5)


@pytest.mark.parametrize("accuracy", [0.5, 0.1, 1e-3])
def test_rough_steps_are_the_first_that_are_near_enough(accuracy):
    A, gradient, model = system()
    step = rough_step(lambda v: A @ v, gradient, model, accuracy)
    lengths = [
        np.sqrt(left @ model(left) / (gradient @ model(gradient)))
        for x in iterates_of_scipy(A, gradient, model)
        for left in [-gradient - A @ x]
    ]
    first = next(k for k, length in enumerate(lengths) if length <= accuracy)
    expected = iterates_of_scipy(A, gradient, model)[first]
    assert_allclose(step, expected, rtol=1e-9, atol=1e-12)
