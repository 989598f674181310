"""Many small domains are visited together, and found as they are one by one."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from sktie import _design
from sktie._design import Design, group_rows
from sktie._loss import Binomial, Multinomial
from sktie._parallel import Workers
from sktie._problem import TiedProblem
from sktie._row_sums import RowSums
from sktie._tie import Tie, TiedCoordinates, ToMean

N_DOMAINS = 90
LAYOUTS = ["dense", "sparse", "column", "sparse column", "no intercept", "in order"]


def problem(layout, n_classes, weighted):
    """Domains of 0 to 12 rows, one of 300, in no order."""
    rng = np.random.default_rng(0)
    size = rng.integers(13, size=N_DOMAINS)
    size[[0, 40, 41, N_DOMAINS - 1]] = 0, 300, 0, 0
    code = np.repeat(np.arange(N_DOMAINS), size)
    code = code if layout == "in order" else rng.permutation(code)
    X = rng.normal(size=(len(code), 4)) * (rng.random((len(code), 4)) < 0.6)
    X = sp.csr_matrix(X) if "sparse" in layout else X
    order, bounds = group_rows(code, N_DOMAINS)
    skip = 1 if "column" in layout else None
    intercept = layout != "no intercept"
    design = Design(X, bounds, order=order, skip=skip, fit_intercept=intercept)
    loss = Binomial() if n_classes == 2 else Multinomial(n_classes)
    shape = (N_DOMAINS, loss.n_outputs, design.n_coefs)
    y = loss.encode(rng.integers(n_classes, size=len(code)), np.float64)
    weight = rng.uniform(0, 2, size=len(code)) if weighted else None
    coordinates = TiedCoordinates(Tie(ToMean(), np.ones(design.n_coefs)), shape)
    decay = np.ones(design.n_coefs)
    return TiedProblem(
        RowSums(design, loss, y, weight, Workers()),
        coordinates=coordinates,
        decay=decay,
        shared_decay=False,
    )


def dense_rows(design):
    """All rows in order, features and ones, without the column that is none."""
    X = design.X.toarray() if design.is_sparse else design.X
    X = X if design.order is None else X[design.order]
    X = X if design.skip is None else np.delete(X, design.skip, axis=1)
    return np.column_stack([X, np.ones(len(X))]) if design.fit_intercept else X


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_and_hessians_are_sums_over_the_rows(
    monkeypatch, layout, n_classes, weighted
):
    # Blocks that cut domains, and tiles that do not hold all of a size.
    monkeypatch.setattr(_design, "BLOCK_BYTES", 5000)
    monkeypatch.setattr(_design.Design, "rows_per_block", lambda self, width: 60)
    case = problem(layout, n_classes, weighted)
    design, loss = case.design, case.loss
    assert design.is_crowded
    assert len(design.tiles(loss.n_outputs)) > 5
    W = np.random.default_rng(1).normal(size=case.coordinates.shape)
    Z, code = (
        dense_rows(design),
        np.repeat(np.arange(N_DOMAINS), np.diff(design.bounds)),
    )
    raw = np.einsum("ij,ikj->ik", Z, W[code])
    value, residual = loss.value_gradient(case.rows.y, raw, case.rows.weight)
    gradient = np.zeros_like(W)
    np.add.at(gradient, code, residual[:, :, None] * Z[:, None, :])
    curvature = loss.curvature(case.rows.y, raw, case.rows.weight)
    hessian = np.zeros((*W.shape, *W.shape[1:]))
    for k in range(loss.n_outputs):
        for j in range(loss.n_outputs):
            bend = loss.hessian_block(curvature, max(k, j), min(k, j))
            parts = bend[:, None, None] * Z[:, :, None] * Z[:, None, :]
            np.add.at(hessian[:, k, :, j], code, parts)
    found, pulled = case.sums.value_gradient(W)
    assert found == pytest.approx(value)
    assert_allclose(pulled, gradient, atol=1e-12)
    visited = np.zeros(design.n_rows)

    def visit(block, raws, curvatures):
        visited[block.start : block.stop] += 1
        assert_allclose(raws, raw[block.start : block.stop])

    size = W[0].size
    flat = hessian.reshape(N_DOMAINS, size, size)
    assert_allclose(case.rows.hessians(W, visit), flat, atol=1e-12)
    assert (visited == 1).all()


def test_squares_are_those_of_the_columns():
    for layout in LAYOUTS:
        design = problem(layout, 2, False).design
        rows = dense_rows(design)
        assert_allclose(design.squares(), np.square(rows).sum(axis=0))
