"""Rows taken out by Newton steps, against minima found without them."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sktie import _design
from sktie._design import Design, group_rows
from sktie._leave_one_out import (
    MAX_LEVERAGE,
    _inverses,
    _leverage,
    leave_one_out,
    survey,
    without_row,
)
from sktie._loss import classification_loss
from sktie._parallel import Workers, workers
from sktie._problem import TiedProblem
from sktie._row_sums import RowSums
from sktie._tie import Tie, TiedCoordinates, ToFixed, ToMean
from sktie.solvers import SOLVERS

INF = np.inf


def problem(n_classes=2, strength=0.5, fixed=False, sparse=False, weighted=False, n=90):
    """A small problem of three domains, or of one tied to a fixed point."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    n_domains = 1 if fixed else 3
    domain = rng.integers(n_domains, size=n)
    y = (X[:, 0] + rng.gumbel(size=n) > 0.5).astype(int)
    y += (n_classes == 3) * (X[:, 1] > 0.8)
    order, bounds = group_rows(domain, n_domains)
    design = Design(sp.csr_array(X) if sparse else X, bounds, order=order)
    loss = classification_loss(n_classes)
    places = slice(None) if order is None else order
    shape = (n_domains, loss.n_outputs, 4)
    structure = ToFixed(rng.normal(size=shape[1:])) if fixed else ToMean()
    weight = rng.uniform(0.2, 2, n)[places] if weighted else None
    return TiedProblem(
        RowSums(design, loss, loss.encode(y, np.float64)[places], weight, Workers()),
        coordinates=TiedCoordinates(Tie(structure, np.full(4, strength)), shape),
        decay=np.array([1.0, 1.0, 1.0, 0.0]),
        shared_decay=False,
    )


def minimum(of):
    theta = np.zeros(of.size)
    result = SOLVERS["newton-cholesky"](of, theta, tol=1e-12, max_iter=100)
    return of.members(result.theta)


def left_out(of, crew=None):
    members = minimum(of)
    of = of if crew is None else of.of_rows(workers=crew)
    rows = survey(of, members)
    return leave_one_out(of, rows, of.posterior(rows.hessians))


CASES = {
    "domains": {},
    "separate": {"strength": 0.0},
    "shared": {"strength": INF},
    "softmax": {"n_classes": 3, "weighted": True},
    "fixed": {"fixed": True, "weighted": True},
    "sparse": {"sparse": True, "strength": 20.0},
}


@pytest.mark.parametrize("case", CASES)
def test_predictions_are_those_of_minima_without_the_row(case):
    of = problem(**CASES[case])
    raw, trusted = left_out(of)
    bounds = of.design.bounds
    exact = np.empty_like(raw)
    for row in range(of.design.n_rows):
        domain = int(np.searchsorted(bounds, row, side="right")) - 1
        exact[row] = of.design.row(row) @ minimum(without_row(of, row))[domain].T
    assert trusted.mean() > 0.9
    assert_allclose(raw[trusted], exact[trusted], atol=2e-3)


def test_no_bit_depends_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(_design, "PIECE_WORK", 100)
    raw, trusted = left_out(problem())
    with workers(3, 3) as crew:
        again, trusted_again = left_out(problem(), crew)
    assert_array_equal(again, raw)
    assert_array_equal(trusted_again, trusted)


def test_rows_that_move_their_member_far_are_not_trusted():
    of = problem(strength=0.0)
    X = of.design.X.copy()
    place = int(of.design.order[3])
    # Large values speak for the other class than the row has.
    X[place] = [-8.0 if of.rows.y[3] > 0 else 8.0, 0.0, 0.0]
    of = replace(
        of.of_rows(design=Design(X, of.design.bounds, order=of.design.order)),
        decay=np.array([0.01, 0.01, 0.01, 0.0]),
    )
    _, trusted = left_out(of)
    assert not trusted[3]
    assert trusted.mean() > 0.8


def test_survey_is_what_one_block_after_the_other_gives():
    of = problem(3, weighted=True)
    members = minimum(of)
    rows = survey(of, members)
    assert_allclose(rows.hessians, of.hessians(members))
    for row in range(0, of.design.n_rows, 11):
        domain = int(np.searchsorted(of.design.bounds, row, side="right")) - 1
        raw = of.design.row(row) @ members[domain].T
        assert_allclose(rows.raw[row], raw)
        step = 1e-6
        for k in range(2):
            ends = []
            for sign in (1, -1):
                moved = raw[np.newaxis].copy()
                moved[0, k] += sign * step
                ends.append(
                    of.loss.value_gradient(
                        of.rows.y[[row]], moved, of.rows.weight[[row]]
                    )
                )
            slope = (ends[0][0] - ends[1][0]) / (2 * step)
            assert_allclose(rows.gradient[row, k], slope, atol=1e-6)
            bend = (ends[0][1] - ends[1][1])[0] / (2 * step)
            assert_allclose(rows.bend[row, k], bend, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_leverage_is_an_eigenvalue_or_a_bound_that_is_low_enough(size):
    rng = np.random.default_rng(size)
    spreads, bends = rng.normal(size=(2, 300, size, 3)) * 0.3
    spreads, bends = (a @ np.swapaxes(a, 1, 2) for a in (spreads, bends))
    weights = spreads @ bends
    largest = np.linalg.eigvals(weights).real.max(axis=1)
    found = _leverage(weights)
    assert (found >= largest - 1e-12).all()
    assert_array_equal(found <= MAX_LEVERAGE, largest <= MAX_LEVERAGE)
    assert 0 < np.mean(found <= MAX_LEVERAGE) < 1
    sure = np.einsum("nii->n", weights) > MAX_LEVERAGE
    assert_allclose(found[sure], largest[sure])


@pytest.mark.parametrize("size", [1, 2, 4])
def test_inverses_of_many_small_matrices(size):
    rng = np.random.default_rng(size)
    matrices = np.eye(size) - 0.2 * rng.random((50, size, size))
    found = _inverses(matrices)
    assert found.flags.c_contiguous
    assert_allclose(found @ matrices, np.tile(np.eye(size), (50, 1, 1)), atol=1e-12)
    assert np.isfinite(_inverses(np.ones((1, 2, 2)))).all()
