"""Tests of sktie._squares: minima of tied least squares, against augmented rows."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktie._design import Design
from sktie._moments import moments_of
from sktie._parallel import Workers
from sktie._squares import TiedSquares, n_open
from sktie._tie import Tie, ToFixed, ToMean

INF = np.inf
T, N_FEATURES, N_TARGETS = 3, 2, 2
TARGET = np.array([[1.0, -2.0, 0.5], [0.3, 2.0, -1.5]])
BOUNDS = np.array([0, 9, 20, 26])


def rows(mean=2.0):
    rng = np.random.default_rng(0)
    X = rng.normal(mean, [1.0, 3.0], size=(BOUNDS[-1], N_FEATURES))
    y = rng.normal(size=(BOUNDS[-1], N_TARGETS)) + X @ [[1.0, -1.0], [0.5, 0.0]]
    return X, y, rng.uniform(0.2, 2.0, BOUNDS[-1])


def build(X, y, weight, structure, strengths, decay, shared_decay, fit_intercept):
    n_coefs = X.shape[1] + fit_intercept
    design = Design(X, BOUNDS, fit_intercept=fit_intercept)
    hub = ToFixed(TARGET[:, :n_coefs]) if structure == "fixed" else ToMean()
    return TiedSquares(
        moments=moments_of(design, y, weight, Workers()),
        tie=Tie(hub, np.array(strengths, dtype=float)[:n_coefs]),
        decay=np.append(np.full(X.shape[1], decay), [0.0] * fit_intercept),
        shared_decay=shared_decay,
        fit_intercept=fit_intercept,
        workers=Workers(),
        relative=1e-15,
    )


def dense(X, y, weight, structure, strengths, decay, shared_decay, fit_intercept):
    """Members and objectives, by least squares on the rows and what the terms add."""
    P = X.shape[1] + fit_intercept
    Z = np.column_stack([X, np.ones(len(X))]) if fit_intercept else X
    mean = np.tile(np.eye(P), T) / T
    own = [np.eye(T * P)[t * P : (t + 1) * P] for t in range(T)]
    decays = np.append(np.full(X.shape[1], decay), [0.0] * fit_intercept)
    found, values = np.empty((T, y.shape[1], P)), np.empty(y.shape[1])
    for k in range(y.shape[1]):
        A, b = [], []
        for t in range(T):
            place = slice(BOUNDS[t], BOUNDS[t + 1])
            root = np.sqrt(weight[place])
            A.append(root[:, np.newaxis] * Z[place] @ own[t])
            b.append(root * y[place, k])
            if not shared_decay:
                A.append(np.sqrt(decays)[:, np.newaxis] * own[t])
                b.append(np.zeros(P))
        if shared_decay:
            A.append(np.sqrt(decays)[:, np.newaxis] * mean)
            b.append(np.zeros(P))
        strength = np.array(strengths, dtype=float)[:P]
        finite = np.where(np.isinf(strength), 0.0, strength)
        fixed = structure == "fixed"
        for t in range(T):
            if fixed:
                A.append(np.sqrt(finite)[:, np.newaxis] * own[t])
                b.append(np.sqrt(finite) * TARGET[k, :P])
            else:
                A.append(np.sqrt(2 * finite)[:, np.newaxis] * (own[t] - mean))
                b.append(np.zeros(P))
        A, b = np.vstack(A), np.concatenate(b)
        # Shared coefficients: W = start + B z.
        B, start = np.eye(T * P), np.zeros(T * P)
        shared = np.flatnonzero(np.isinf(strength))
        if fixed:
            for t in range(T):
                start[t * P + shared] = TARGET[k, shared]
                B[t * P + shared] = 0.0
        else:
            for t in range(1, T):
                B[t * P + shared] = B[shared]
        z = np.linalg.lstsq(A @ B, b - A @ start, rcond=None)[0]
        W = start + B @ z
        found[:, k], values[k] = W.reshape(T, P), np.sum((A @ W - b) ** 2)
    return found, values


STRENGTHS = {
    "none": [0.0, 0.0, 0.0],
    "all": [2.0, 2.0, 2.0],
    "free intercepts": [2.0, 5.0, 0.0],
    "mixed": [0.0, 30.0, 0.1],
    "shared": [INF, INF, INF],
    "shared slopes": [INF, INF, 0.0],
    "some shared": [INF, 1.0, 0.5],
    "firm": [1e9, 1e9, 1e9],
    "loose": [1e-9, 1e-9, 1e-9],
}
FORMS = [
    # what members are tied to, one decay of the mean, an intercept
    ("mean", False, True),
    ("mean", True, True),
    ("mean", False, False),
    ("fixed", False, True),
    ("fixed", False, False),
]


@pytest.mark.parametrize("decay", [0.0, 0.7])
@pytest.mark.parametrize("strengths", STRENGTHS.values(), ids=STRENGTHS)
@pytest.mark.parametrize(("structure", "shared_decay", "fit_intercept"), FORMS)
def test_minima_are_those_of_augmented_rows(
    structure, shared_decay, fit_intercept, strengths, decay
):
    settings = structure, strengths, decay, shared_decay, fit_intercept
    problem = build(*rows(), *settings)
    members, values = dense(*rows(), *settings)
    found = problem.solve()
    assert_allclose(found.members, members, rtol=1e-6, atol=1e-8)
    assert_allclose(found.values, values, rtol=1e-8)
    # The hub is what members are tied to, the intercept in its own units.
    hub = members.mean(axis=0)
    if structure == "fixed":
        hub = TARGET[:, : members.shape[-1]]
    assert_allclose(found.hub, hub, rtol=1e-6, atol=1e-7)
    assert_allclose(found.deviations, members - hub, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("strengths", STRENGTHS.values(), ids=STRENGTHS)
@pytest.mark.parametrize("structure", ["mean", "fixed"])
def test_large_means_cost_few_digits(structure, strengths):
    # An intercept that is free, or that of slopes which are shared, moves with the
    # rows: all else is the same.
    X, y, weight = rows(mean=0.0)
    if structure == "fixed" or strengths[:2] != [INF, INF]:
        strengths = [*strengths[:2], 0.0]
    settings = structure, strengths, 0.3, False, True
    near = build(X, y, weight, *settings).solve()
    far = build(X + 1e6, y, weight, *settings).solve()
    assert_allclose(far.values, near.values, rtol=1e-6)
    slopes = near.members[..., :2]
    assert_allclose(far.members[..., :2], slopes, rtol=1e-6, atol=1e-8)


def test_open_directions_get_the_least_squares_with_the_least_norm():
    X, y, weight = rows(mean=0.0)
    X[:, 1] = X[:, 0]  # only the sum of both is known
    settings = "mean", [INF, INF, INF], 0.0, False, True
    found = build(X, y, weight, *settings).solve()
    expected, values = dense(X, y, weight, *settings)
    assert_allclose(found.values, values, rtol=1e-8)
    assert_allclose(found.members, expected, rtol=1e-5, atol=1e-7)


def test_another_tie_keeps_the_rows():
    X, y, weight = rows()
    first = build(X, y, weight, "mean", [1.0, 2.0, 3.0], 0.7, False, True)
    other = first.retied(np.array([5.0, INF, 0.0]), np.array([0.1, 0.1, 0.0]))
    settings = "mean", [5.0, INF, 0.0], 0.1, False, True
    assert_allclose(other.solve().members, dense(X, y, weight, *settings)[0], rtol=1e-7)
    assert other.moments is first.moments
    assert_array_equal(first.tie.strength, [1.0, 2.0, 3.0])


@pytest.mark.parametrize("strengths", STRENGTHS.values(), ids=STRENGTHS)
@pytest.mark.parametrize("decay", [0.0, 0.7])
@pytest.mark.parametrize(
    ("structure", "shared_decay"), [("mean", False), ("mean", True), ("fixed", False)]
)
def test_flat_directions_are_those_that_no_penalty_bends(
    structure, decay, strengths, shared_decay
):
    X, y, weight = rows()
    problem = build(X, y, weight, structure, strengths, decay, shared_decay, True)
    n = 0
    for j, strength in enumerate(strengths):
        bent = decay if j < 2 else 0.0
        if structure == "fixed":
            n += T * (bent == 0 and strength == 0)
        elif shared_decay:
            n += (bent == 0) + (T - 1) * (strength == 0)
        else:
            n += (bent == 0) * (1 + (T - 1) * (strength == 0))
    assert problem.n_flat == n


def test_a_penalty_leaves_fewer_directions_open():
    free = np.array([True, True, False])
    assert n_open(None, free) == 2
    assert n_open(np.array([[1.0, -1.0], [-1.0, 1.0]]), free) == 1
    assert n_open(np.diag([1.0, 0.0]), free) == 1
    assert n_open(np.diag([0.0, 0.0]), free) == 2
    assert n_open(np.diag([1.0, 2.0]), free) == 0
    assert n_open(np.diag([1.0, 2.0]), ~free) == 1
    problem = build(*rows(), "mean", [0.0, 0.0, 0.0], 0.0, False, True)
    assert problem.n_flat == 3 * T
    held = replace(problem, penalty=np.array([[1.0, -1.0], [-1.0, 1.0]]))
    assert held.n_flat == 2 * T
