"""One model on few rows: the objective of `TiedProblem`, without what ties need."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sktie import TiedLogisticRegression, TiedPoissonRegressor, _design
from sktie._design import Design
from sktie._loss import classification_loss
from sktie._parallel import Workers
from sktie._plain import PlainProblem, simplest
from sktie._problem import TiedProblem
from sktie._quadratic import Quadratic
from sktie._row_sums import RowSums
from sktie._scalar_loss import Poisson
from sktie._tie import Tie, TiedCoordinates, ToFixed, ToMean
from sktie.linear_model import _base

N_ROWS, N_FEATURES = 60, 4


def problem(
    n_classes=0,
    *,
    weighted=False,
    fit_intercept=True,
    tie=0.0,
    target=0.0,
    structure=None,
    container=np.asarray,
    dtype=np.float64,
    quadratic=False,
    n_domains=1,
):
    """A small problem of counts, or of some classes."""
    rng = np.random.default_rng(0)
    X = container(rng.normal(size=(N_ROWS, N_FEATURES)).astype(dtype))
    if n_classes:
        index = rng.integers(n_classes, size=N_ROWS)
        loss = classification_loss(n_classes)
        y = loss.encode(index, dtype)
    else:
        loss, y = Poisson(), rng.poisson(1.0, size=N_ROWS).astype(dtype)
    bounds = np.linspace(0, N_ROWS, n_domains + 1).astype(int)
    design = Design(X, bounds, fit_intercept=fit_intercept)
    shape = n_domains, loss.n_outputs, design.n_coefs
    structure = structure or ToFixed(np.full(shape[1:], target))
    decay = np.full(design.n_coefs, 0.3)
    decay[N_FEATURES:] = 0.0
    return TiedProblem(
        RowSums(
            design,
            loss,
            y,
            rng.uniform(0, 2, N_ROWS).astype(dtype) if weighted else None,
            Workers(),
        ),
        coordinates=TiedCoordinates(Tie(structure, np.full(shape[2], tie)), shape),
        decay=decay,
        shared_decay=False,
        quadratic=Quadratic(np.eye(shape[2]), shape[1:]) if quadratic else None,
    )


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_it_is_the_whole_problem_but_for_rounding(n_classes, weighted, fit_intercept):
    whole = problem(n_classes, weighted=weighted, fit_intercept=fit_intercept)
    plain = simplest(whole)
    assert isinstance(plain, PlainProblem)
    assert plain.size == whole.size
    rng = np.random.default_rng(1)
    for _ in range(3):
        theta, direction = rng.normal(size=(2, whole.size))
        value, gradient = plain.value_gradient(theta)
        expected, slope = whole.value_gradient(theta)
        assert value == pytest.approx(expected, rel=1e-13)
        assert_allclose(gradient, slope, rtol=1e-12, atol=1e-12)
        step = plain.curvature(theta).solve(direction)
        assert_allclose(whole.hessp(theta)(step), direction, rtol=1e-10, atol=1e-10)
        assert_allclose(plain.hessp(theta)(step), direction, rtol=1e-10, atol=1e-10)
        assert_array_equal(plain.diagonal(theta), whole.diagonal(theta))


def test_a_curvature_is_that_of_its_own_point():
    plain = simplest(problem())
    first, second = np.random.default_rng(1).normal(size=(2, plain.size))
    expected = plain.curvature(first).solve(second)
    plain.value_gradient(second)
    assert_allclose(plain.curvature(first).solve(second), expected, rtol=1e-13)


OTHERS = {
    "tied": {"tie": 1.0},
    "anchored": {"target": 0.1},
    "a mean": {"structure": ToMean()},
    "domains": {"n_domains": 2},
    "sparse": {"container": sp.csr_array},
    "single precision": {"dtype": np.float32},
    "tied features": {"quadratic": True},
}


@pytest.mark.parametrize("settings", OTHERS.values(), ids=OTHERS)
def test_other_problems_are_left_as_they_are(settings):
    whole = problem(**settings)
    assert simplest(whole) is whole


def test_rows_of_several_blocks_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr(_design, "BLOCK_BYTES", 1)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(129, 2)), rng.integers(2, size=129)
    calls = []
    monkeypatch.setattr(
        _base, "simplest", lambda whole: calls.append(simplest(whole)) or calls[-1]
    )
    TiedLogisticRegression().fit(X, y)
    TiedLogisticRegression().fit(X[:128], y[:128])
    assert [type(found) for found in calls] == [TiedProblem, PlainProblem]


@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("kind", ["counts", "2 classes", "3 classes"])
def test_fits_are_those_of_the_whole_problem(kind, solver, monkeypatch):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(100, 5))
    raw = X @ rng.normal(size=5)
    if kind == "counts":
        model, y = TiedPoissonRegressor(alpha=0.1), rng.poisson(np.exp(0.3 * raw))
    else:
        model = TiedLogisticRegression()
        y = np.digitize(raw, [0.0] if kind == "2 classes" else [-1.0, 1.0])
    model.set_params(solver=solver, tol=1e-14)
    weight = rng.uniform(0.5, 2.0, size=100)
    model.fit(X, y, weight)
    coef, objective, n_iter = model.coef_, model.objective_, model.n_iter_
    monkeypatch.setattr(_base, "simplest", lambda whole: whole)
    model.fit(X, y, weight)
    assert_allclose(coef, model.coef_, rtol=1e-7)
    assert objective == pytest.approx(model.objective_, rel=1e-13)
    assert_array_equal(n_iter, model.n_iter_)
