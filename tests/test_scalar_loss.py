"""Tests of sktie._scalar_loss."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import xlogy
from sklearn.metrics import d2_tweedie_score, mean_poisson_deviance

from sktie._loss import Binomial, of_classes
from sktie._scalar_loss import ByDomain, Poisson, Squared, SquaredHinge

N_ROWS = 40
RNG = np.random.default_rng(0)
WEIGHT = RNG.uniform(0, 3, N_ROWS)
WEIGHT[::7] = 0
COUNTS = RNG.poisson(3, N_ROWS).astype(float)
COUNTS[:3] = [0, 0.5, 12]
SIGNS = np.where(RNG.normal(size=N_ROWS) > 0, 1.0, -1.0)
SCORES = RNG.normal(size=N_ROWS)
SECOND = (np.arange(N_ROWS) >= 15).astype(float)
MIXED = ByDomain.join(np.where(SECOND, SCORES, SIGNS), SECOND, np.float64)


@dataclass(frozen=True)
class Case:
    """A loss, targets, and what its formula says of each row."""

    loss: Any
    y: Any
    formula: Any

    def draw(self, seed=1, scale=1.0):
        return scale * np.random.default_rng(seed).normal(size=(N_ROWS, 1))


def half_deviance(y, raw):
    return np.exp(raw) - y * raw + xlogy(y, y) - y


def log_loss(y, raw):
    return np.logaddexp(0, -y * raw)


# A new loss is a new row: every property below is then asked of it.
CASES = {
    "squared": Case(Squared(), SCORES, lambda y, raw: 0.5 * (raw - y) ** 2),
    "poisson": Case(Poisson(), COUNTS, half_deviance),
    "hinge": Case(
        SquaredHinge(), SIGNS, lambda y, raw: np.clip(1 - y * raw, 0, None) ** 2
    ),
    "by domain": Case(
        ByDomain(Binomial(), Squared()),
        MIXED,
        lambda y, raw: np.where(
            y[:, 1], 0.5 * (raw - y[:, 0]) ** 2, log_loss(y[:, 0], raw)
        ),
    ),
}
losses = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
weights = pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])


def five_point(function, x, direction, step=1e-3):
    """The derivative of a function at x along a direction, to O(step^4)."""

    def at(multiple):
        return function(x + multiple * step * direction)

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)


@losses
@weights
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_value_is_that_of_the_formula(case, weight, scale):
    raw = case.draw(scale=scale)
    value, _ = case.loss.value_gradient(case.y, raw, weight)
    assert type(value) is float
    rows = case.formula(case.y, raw[:, 0])
    assert_allclose(
        value, np.sum(rows if weight is None else weight * rows), rtol=1e-13
    )


@losses
@weights
def test_gradient_is_that_of_the_value(case, weight):
    raw = case.draw()
    _, gradient = case.loss.value_gradient(case.y, raw, weight)
    assert gradient.shape == raw.shape
    for row in range(N_ROWS):
        direction = np.zeros_like(raw)
        direction[row] = 1
        expected = five_point(
            lambda x: case.loss.value_gradient(case.y, x, weight)[0], raw, direction
        )
        assert_allclose(gradient[row, 0], expected, atol=1e-8)


@losses
@weights
def test_curvature_is_the_change_of_the_gradient(case, weight):
    raw = case.draw()
    if isinstance(case.loss, SquaredHinge):  # at its kinks there is none
        raw[np.abs(1 - case.y * raw[:, 0]) < 0.01] += 0.1
    curvature = case.loss.curvature(case.y, raw, weight)
    expected = five_point(
        lambda x: case.loss.value_gradient(case.y, x, weight)[1], raw, np.ones_like(raw)
    )
    assert curvature.shape == (N_ROWS, 1)
    assert_allclose(curvature, expected, atol=1e-8)
    assert_array_equal(case.loss.hessian_block(curvature, 0, 0), curvature[:, 0])
    direction = case.draw(2)
    image = case.loss.hessian_product(curvature, direction)
    assert_allclose(image, curvature * direction)


@losses
@weights
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_losses_and_curvatures_are_not_negative(case, weight, scale):
    # A loss below 0 would make gaps relative to the objective meaningless.
    for row in range(N_ROWS):
        y, raw = case.y[row : row + 1], case.draw(scale=scale)[row : row + 1]
        assert case.loss.value_gradient(y, raw, None)[0] >= 0
    assert case.loss.curvature(case.y, case.draw(scale=scale), weight).min() >= 0


@losses
def test_weights_are_copies_of_rows(case):
    raw = case.draw()
    count = np.random.default_rng(1).integers(0, 4, N_ROWS)
    again = np.repeat(np.arange(N_ROWS), count)
    for loss_of in (
        lambda y, r, w: case.loss.value_gradient(y, r, w)[0],
        lambda y, r, w: case.loss.value_gradient(y, r, w)[1].sum(),
        lambda y, r, w: case.loss.curvature(y, r, w).sum(),
    ):
        weighted = loss_of(case.y, raw, count.astype(float))
        assert_allclose(weighted, loss_of(case.y[again], raw[again], None), rtol=1e-12)


@losses
@weights
def test_arguments_are_left_alone(case, weight):
    raw = case.draw()
    arguments = [case.y, raw] + ([] if weight is None else [weight])
    before = [array.copy() for array in arguments]
    case.loss.value_gradient(case.y, raw, weight)
    case.loss.hessian_product(case.loss.curvature(case.y, raw, weight), raw)
    case.loss.start(case.y, weight)
    for array, copy in zip(arguments, before, strict=True):
        assert_array_equal(array, copy)


@losses
@weights
def test_float32_stays_float32(case, weight):
    raw = case.draw()
    expected = case.loss.value_gradient(case.y, raw, weight)
    y, raw32 = case.y.astype(np.float32), raw.astype(np.float32)
    weight32 = None if weight is None else weight.astype(np.float32)
    value, gradient = case.loss.value_gradient(y, raw32, weight32)
    assert_allclose(value, expected[0], rtol=1e-5)
    assert_allclose(gradient, expected[1], rtol=1e-4, atol=1e-5)
    curvature = case.loss.curvature(y, raw32, weight32)
    for array in (gradient, curvature):
        assert array.dtype == np.float32


@losses
def test_cells_are_numbers_below_their_count(case):
    cell, n_cells = case.loss.cells(case.y)
    assert cell.shape == (N_ROWS,)
    assert 0 <= cell.min() <= cell.max() < n_cells


def test_events_and_classes_are_cells_and_scores_are_one():
    for loss, y in [(Poisson(), COUNTS), (SquaredHinge(), SIGNS)]:
        cell, n_cells = loss.cells(y)
        assert_array_equal(cell, y > 0)
        assert n_cells == 2
    assert Squared().cells(SCORES)[1] == 1
    loss = ByDomain(Binomial(), Squared())
    cell, n_cells = loss.cells(MIXED)
    assert n_cells == 2
    assert_array_equal(cell[:15], SIGNS[:15] > 0)


def test_poisson_is_half_the_deviance_of_scikit_learn():
    raw = CASES["poisson"].draw()
    value, _ = Poisson().value_gradient(COUNTS, raw, WEIGHT)
    deviance = mean_poisson_deviance(
        COUNTS[WEIGHT > 0], np.exp(raw[WEIGHT > 0, 0]), sample_weight=WEIGHT[WEIGHT > 0]
    )
    assert_allclose(value, 0.5 * deviance * WEIGHT.sum(), rtol=1e-13)
    mean = np.exp(Poisson().start(COUNTS, WEIGHT))
    assert_allclose(mean, np.average(COUNTS, weights=WEIGHT), rtol=1e-13)
    null = np.full(N_ROWS, np.average(COUNTS))
    assert d2_tweedie_score(COUNTS, null, power=1) == pytest.approx(0)


def test_a_start_makes_the_gradient_of_the_intercept_vanish():
    for loss, y in [(Squared(), SCORES), (Poisson(), COUNTS)]:
        for weight in (None, WEIGHT):
            raw = np.full((N_ROWS, 1), loss.start(y, weight))
            _, gradient = loss.value_gradient(y, raw, weight)
            assert_allclose(gradient.sum(), 0, atol=1e-12)
    first, second = MIXED[:15], MIXED[15:]
    loss = ByDomain(Binomial(), Squared())
    assert loss.start(first, None) == 0
    assert loss.start(second, None) == pytest.approx(SCORES[15:].mean())


def test_no_events_have_a_finite_start():
    assert np.isfinite(Poisson().start(np.zeros(4), None))
    assert np.isfinite(Poisson().start(np.zeros(4), np.zeros(4)))
    assert Squared().start(np.ones(4), np.zeros(4)) == 0


def test_an_exposure_is_a_weight():
    exposure = np.random.default_rng(3).uniform(0.1, 9, N_ROWS)
    raw = CASES["poisson"].draw()
    offset = raw + np.log(exposure)[:, np.newaxis]
    value, gradient = Poisson().value_gradient(COUNTS, offset, WEIGHT)
    rates = Poisson().value_gradient(COUNTS / exposure, raw, WEIGHT * exposure)
    assert_allclose(rates[0], value, rtol=1e-12)
    assert_allclose(rates[1], gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [1e6, 1e12, 1e18])
def test_huge_counts_keep_the_digits_of_their_deviance(size):
    # exp(raw) - y raw + y log y - y loses all of them: the terms are size large.
    y = size + np.sqrt(size) * np.array([-1.0, 0.0, 2.0])
    raw = np.full((3, 1), np.log(size))
    value, gradient = Poisson().value_gradient(y, raw, None)
    rounding = 4 * np.finfo(float).eps * np.log(size) * np.sqrt(size)
    assert_allclose(value, 2.5, rtol=2 / np.sqrt(size) + 10 * rounding)
    assert_allclose(gradient[:, 0], size - y, atol=rounding * np.sqrt(size))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("raw", [90.0, 800.0, 1e5])
def test_a_step_too_far_is_infinite_without_a_warning(dtype, raw):
    y, raw = np.array([0, 1, 2], dtype), np.array([[0], [raw], [-raw]], dtype)
    for weight in (None, np.array([1, 0, 1], dtype), np.ones(3, dtype)):
        value, gradient = Poisson().value_gradient(y, raw, weight)
        assert value > 1e35 or weight is not None or dtype == np.float64
        assert np.isfinite(gradient).all()
    value, gradient = Poisson().value_gradient(y, np.full((3, 1), dtype(800)), None)
    assert value == np.inf
    assert not gradient.any()


def test_only_losses_that_can_be_zero_say_so():
    assert Squared().attains_zero(SCORES)
    assert SquaredHinge().attains_zero(SIGNS)
    assert Poisson().attains_zero(COUNTS + 1)
    assert not Poisson().attains_zero(COUNTS)  # a rate of 0 is out of reach
    assert not Binomial().attains_zero(SIGNS)
    assert not ByDomain(Binomial(), Squared()).attains_zero(MIXED)
    assert ByDomain(SquaredHinge(), Squared()).attains_zero(MIXED)


def test_other_losses_are_none_of_classes():
    assert of_classes(loss := Binomial()) is loss
    with pytest.raises(
        TypeError,
        match=r"Poisson is no loss of classes; expected a classifier, such as TiedL",
    ):
        of_classes(Poisson())
