"""Tests of sktie._loss."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logsumexp, softmax

from sktie._loss import (
    Binomial,
    Loss,
    Multinomial,
    SoftMultinomial,
    classification_loss,
    log_probability,
    probability,
)

N_ROWS = 40


@dataclass(frozen=True)
class Case:
    """A loss and what its formula says, row by row."""

    loss: Loss
    n_classes: int

    @property
    def n_rows(self):
        """Rows of coefficients: one for the log-odds of two classes."""
        return 1 if isinstance(self.loss, Binomial) else self.n_classes

    def scores(self, raw):
        """One score for each class."""
        if self.n_rows == 1:
            return np.hstack([np.zeros_like(raw), raw])
        return self.loss.expand(raw.T).T

    def encode(self, y_index, dtype=np.float64):
        return self.loss.encode(y_index, dtype)

    def targets(self, y_index):
        """The class probabilities (n, n_classes) that the loss compares with."""
        return np.eye(self.n_classes)[y_index]

    def values(self, y_index, raw):
        scores = self.scores(raw)
        return logsumexp(scores, axis=1) - np.sum(
            self.targets(y_index) * scores, axis=1
        )

    def draw(self, seed=0, scale=2.0):
        """Class indices and raw predictions."""
        rng = np.random.default_rng(seed)
        y_index = rng.integers(self.n_classes, size=N_ROWS)
        return y_index, scale * rng.normal(size=(N_ROWS, self.loss.n_outputs))


@dataclass(frozen=True)
class SoftCase(Case):
    """A loss whose targets are probabilities; every third row is sure of its class."""

    def targets(self, y_index):
        other = np.random.default_rng(6).dirichlet(np.ones(self.n_classes), N_ROWS)
        share = 0.6 * (np.arange(N_ROWS)[:, np.newaxis] % 3 > 0)
        return (1 - share) * super().targets(y_index) + share * other

    def encode(self, y_index, dtype=np.float64):
        return self.targets(y_index).astype(dtype)


# A new loss is a new row: every property below is then asked of it.
CASES = [
    Case(Binomial(), 2),
    Case(Multinomial(3), 3),
    Case(Multinomial(4), 4),
    Case(Multinomial(9), 9),
    SoftCase(SoftMultinomial(2), 2),
    SoftCase(SoftMultinomial(3), 3),
    SoftCase(SoftMultinomial(7), 7),
]
WEIGHT = np.random.default_rng(5).uniform(0, 3, N_ROWS)
WEIGHT[::7] = 0

losses = pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{type(case.loss).__name__}{case.n_classes}"
)
weights = pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])


def five_point(function, x, direction, step=1e-3):
    """The derivative of a function at x along a direction, to O(step^4)."""

    def at(multiple):
        return function(x + multiple * step * direction)

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)


def full_hessians(loss, curvature):
    """The Hessian of every row, (n, n_outputs, n_outputs), from its blocks."""
    outputs = range(loss.n_outputs)
    rows = [[loss.hessian_block(curvature, k, j) for j in outputs] for k in outputs]
    return np.moveaxis(np.array(rows), -1, 0)


@pytest.mark.parametrize("case", [c for c in CASES if type(c) is Case])
def test_classification_loss_knows_the_case(case):
    loss = classification_loss(case.n_classes)
    assert type(loss) is type(case.loss)
    assert loss.n_outputs == case.loss.n_outputs == case.n_classes - 1


@losses
def test_class_indices_survive_the_encoding(case):
    y_index, _ = case.draw()
    for dtype in (np.float32, np.float64):
        y = case.loss.encode(y_index, dtype)
        assert_array_equal(case.loss.class_index(y), y_index)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_probabilities_of_0_and_1_are_labels(n_classes):
    hard, soft = Multinomial(n_classes), SoftMultinomial(n_classes)
    y_index, raw = Case(hard, n_classes).draw()
    results = [
        loss.value_gradient(loss.encode(y_index, np.float64), raw, WEIGHT)
        for loss in (hard, soft)
    ]
    assert_allclose(results[1][0], results[0][0], rtol=1e-13)
    assert_allclose(results[1][1], results[0][1], atol=1e-13)


@losses
@weights
def test_value_is_that_of_the_formula(case, weight):
    y_index, raw = case.draw()
    value, _ = case.loss.value_gradient(case.encode(y_index), raw, weight)
    assert type(value) is float
    expected = np.average(case.values(y_index, raw), weights=weight)
    total = N_ROWS if weight is None else weight.sum()
    assert_allclose(value, total * expected, rtol=1e-13)


def test_binomial_value_is_that_of_logaddexp():
    y_index, raw = CASES[0].draw(1)
    value, gradient = Binomial().value_gradient(CASES[0].encode(y_index), raw, None)
    z = raw[:, 0]
    assert_allclose(value, np.sum(np.logaddexp(0, z) - y_index * z), rtol=1e-13)
    assert_allclose(gradient[:, 0], expit(z) - y_index, rtol=1e-12)


@losses
@weights
def test_gradient_is_that_of_the_value(case, weight):
    y_index, raw = case.draw()
    y = case.encode(y_index)
    _, gradient = case.loss.value_gradient(y, raw, weight)
    assert gradient.shape == raw.shape
    for row in range(0, N_ROWS, 3):
        for k in range(case.loss.n_outputs):
            direction = np.zeros_like(raw)
            direction[row, k] = 1
            expected = five_point(
                lambda x: case.loss.value_gradient(y, x, weight)[0], raw, direction
            )
            assert_allclose(gradient[row, k], expected, atol=1e-9)


@losses
@weights
def test_hessian_blocks_are_the_change_of_the_gradient(case, weight):
    y_index, raw = case.draw()
    y = case.encode(y_index)
    curvature = case.loss.curvature(y, raw, weight)
    assert len(curvature) == N_ROWS
    hessians = full_hessians(case.loss, curvature)
    for j in range(case.loss.n_outputs):
        direction = np.zeros_like(raw)
        direction[:, j] = 1  # rows do not meet: all are moved at once
        expected = five_point(
            lambda x: case.loss.value_gradient(y, x, weight)[1], raw, direction
        )
        assert_allclose(hessians[:, :, j], expected, atol=1e-9)


@losses
@weights
def test_hessian_product_is_that_of_the_blocks(case, weight):
    y_index, raw = case.draw()
    y = case.encode(y_index)
    direction = case.draw(2)[1]
    curvature = case.loss.curvature(y, raw, weight)
    before = curvature.copy(), direction.copy()
    image = case.loss.hessian_product(curvature, direction)
    expected = np.einsum("nkj,nj->nk", full_hessians(case.loss, curvature), direction)
    assert_allclose(image, expected, rtol=1e-11, atol=1e-13)
    assert_array_equal(curvature, before[0])
    assert_array_equal(direction, before[1])


@losses
@weights
@pytest.mark.parametrize("scale", [1.0, 30.0, 1e3])
def test_hessians_are_positive_semidefinite(case, weight, scale):
    y_index, raw = case.draw(scale=scale)
    curvature = case.loss.curvature(case.encode(y_index), raw, weight)
    hessians = full_hessians(case.loss, curvature)
    assert_allclose(hessians, hessians.swapaxes(1, 2), rtol=1e-13, atol=1e-15)
    assert np.linalg.eigvalsh(hessians).min() >= -1e-14
    diagonal = np.einsum("nkk->nk", hessians)
    assert diagonal.min() >= 0  # callers take its root


@losses
def test_gradient_does_not_see_the_common_part_of_the_scores(case):
    # d loss / d scores = probability - onehot sums to zero, and so does its image.
    y_index, raw = case.draw()
    _, gradient = case.loss.value_gradient(case.encode(y_index), raw, None)
    residual = softmax(case.scores(raw), axis=1) - case.targets(y_index)
    expected = residual[:, -case.n_rows :]
    assert_allclose(case.loss.expand(gradient.T).T, expected, atol=1e-13)


@losses
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", [50.0, 1e3, 1e4])
def test_extreme_predictions_stay_finite_and_exact(case, dtype, size):
    y_index, raw = case.draw()
    raw = (size * np.sign(raw)).astype(dtype)
    y = case.encode(y_index, dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value, gradient = case.loss.value_gradient(y, raw, None)
        curvature = case.loss.curvature(y, raw, None)
        image = case.loss.hessian_product(curvature, np.ones_like(raw))
    expected = case.values(y_index, raw.astype(np.float64)).sum()
    assert_allclose(value, expected, rtol=20 * np.finfo(dtype).eps)
    assert np.abs(gradient).max() <= 2
    assert np.isfinite(curvature).all()
    assert np.isfinite(image).all()


def test_binomial_keeps_the_digits_of_small_losses_and_curvatures():
    raw = np.array([[800.0], [-800.0], [40.0], [-40.0], [-700.0]])
    y_index = np.array([1, 1, 1, 0, 0])
    y = CASES[0].encode(y_index)
    tail = np.exp(-40.0)
    for i, expected in enumerate([0, 800, tail, tail, np.exp(-700.0)]):
        one = slice(i, i + 1)
        value, gradient = Binomial().value_gradient(y[one], raw[one], None)
        assert_allclose(value, expected, rtol=1e-14)
        expected_gradient = -expit(-raw[i, 0]) if y_index[i] else expit(raw[i, 0])
        assert_allclose(gradient, [[expected_gradient]], rtol=1e-14)
    curvature = Binomial().curvature(y, raw, None)[:, 0]
    assert_allclose(curvature[2:4], tail, rtol=1e-14)


@losses
def test_weights_are_copies_of_rows(case):
    y_index, raw = case.draw()
    y = case.encode(y_index)
    count = np.random.default_rng(1).integers(0, 4, N_ROWS)
    weighted = case.loss.value_gradient(y, raw, count.astype(float))
    again = np.repeat(np.arange(N_ROWS), count)
    copied = case.loss.value_gradient(y[again], raw[again], None)
    assert_allclose(weighted[0], copied[0], rtol=1e-13)
    assert_allclose(weighted[1].sum(axis=0), copied[1].sum(axis=0), atol=1e-12)
    weighted = full_hessians(
        case.loss, case.loss.curvature(y, raw, count.astype(float))
    )
    copied = full_hessians(case.loss, case.loss.curvature(y[again], raw[again], None))
    assert_allclose(weighted.sum(axis=0), copied.sum(axis=0), atol=1e-12)


@losses
@weights
def test_float32_stays_float32(case, weight):
    y_index, raw = case.draw()
    y = case.encode(y_index)
    weight32 = None if weight is None else weight.astype(np.float32)
    value, gradient = case.loss.value_gradient(y, raw, weight)
    raw32, y32 = raw.astype(np.float32), case.encode(y_index, np.float32)
    value32, gradient32 = case.loss.value_gradient(y32, raw32, weight32)
    assert_allclose(value32, value, rtol=1e-6)
    assert_allclose(gradient32, gradient, atol=2e-6)
    curvature = case.loss.curvature(y32, raw32, weight32)
    block = case.loss.hessian_block(curvature, 0, 0)
    image = case.loss.hessian_product(curvature, raw32)
    for array in (gradient32, curvature, block, image):
        assert array.dtype == np.float32


@losses
@weights
def test_arguments_are_left_alone(case, weight):
    y_index, raw = case.draw()
    y = case.encode(y_index)
    arguments = [y, raw, y_index] + ([] if weight is None else [weight])
    before = [array.copy() for array in arguments]
    case.loss.value_gradient(y, raw, weight)
    case.loss.curvature(y, raw, weight)
    for array, copy in zip(arguments, before, strict=True):
        assert_array_equal(array, copy)


@losses
@pytest.mark.parametrize("leading", [(), (6,)], ids=["one", "members"])
def test_reduce_undoes_expand_and_keeps_norms(case, leading):
    rng = np.random.default_rng(3)
    outputs = rng.normal(size=(*leading, case.loss.n_outputs, 5))
    rows = case.loss.expand(outputs)
    assert rows.shape == (*leading, case.n_rows, 5)
    assert_allclose(case.loss.reduce(rows), outputs, atol=1e-14)
    assert_allclose(np.sum(rows**2), np.sum(outputs**2), rtol=1e-13)
    if case.n_rows > 1:
        assert_allclose(rows.sum(axis=-2), 0, atol=1e-14)


@losses
def test_reduce_loses_the_mean_of_the_rows_alone(case):
    rows = np.random.default_rng(4).normal(size=(case.n_rows, 5))
    centred = rows if case.n_rows == 1 else rows - rows.mean(axis=0)
    assert_allclose(case.loss.expand(case.loss.reduce(rows)), centred, atol=1e-14)


def test_loss_of_sure_rows_keeps_its_digits():
    # Class 0 leads by 40: the loss is log1p(2 exp(-40)), far below 1e-16.
    loss = Multinomial(3)
    raw = loss.reduce(np.array([[40.0], [0.0], [0.0]])).T
    value, gradient = loss.value_gradient(np.array([0]), raw, None)
    assert value == pytest.approx(2 * np.exp(-40.0), rel=1e-12)
    rows = loss.expand(gradient.T)[:, 0]
    assert rows[0] == pytest.approx(-2 * np.exp(-40.0), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_the_logarithm_is_zero_where_the_probability_is_one(dtype, n_outputs):
    scores = np.arange(8.0, 40.0, 0.25)
    raw = np.zeros((len(scores), n_outputs), dtype)
    raw[:, 0] = scores
    own = 1 if n_outputs == 1 else 0
    log, chance = log_probability(raw)[:, own], probability(raw)[:, own]
    assert log.dtype == dtype
    others = np.exp(-scores) * (1 if n_outputs == 1 else 2)
    eps = np.finfo(dtype).eps
    assert_allclose(log, -np.log1p(others), atol=2 * eps, rtol=2 * eps)
    if dtype == np.float32:
        assert (chance == 1).any()
        assert_array_equal(log[chance == 1], 0.0)
    assert (log[others > 1.5 * eps] < 0).all()
