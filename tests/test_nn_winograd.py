"""Tests of sktie.nn._winograd: the same as `Convolution`, by fewer products."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sktie.nn import Arena, Axis, Convolution, ConvolutionLayer, Scratch
from sktie.nn._winograd import FEWEST_CHANNELS, Winograd, is_faster


def axis(n_in, kernel_size, padding, even=False):
    n_out = Axis.outputs(n_in, kernel_size, 1, padding)
    return Axis(n_in, kernel_size, 1, padding, n_out - n_out % 2 if even else n_out)


def both_ways(convolution, n_images=3, dtype=float, seed=0):
    """Outputs and gradients of the two: columns, kernels, inputs."""
    rng = np.random.default_rng(seed)
    rows, channels, columns = convolution.in_shape
    X = rng.standard_normal((rows, channels, columns, n_images)).astype(dtype)
    shape = convolution.n_filters, convolution.n_taps
    kernels = rng.standard_normal(shape).astype(dtype)
    fill = rng.standard_normal((channels, 1, 1)).astype(dtype)
    Y, back = convolution.forward(X, kernels, Arena(), fill)
    halves, back_halves = Winograd(convolution).forward(X, kernels, Arena(), fill)
    joined = np.empty_like(Y)
    joined[:, :, 0::2], joined[:, :, 1::2] = halves
    gradient = rng.standard_normal(Y.shape).astype(dtype)
    parts = [gradient[:, :, k::2].copy() for k in (0, 1)]
    sums = [np.ones_like(kernels), np.ones_like(kernels)]
    of_X = back(gradient.copy(), sums[0], True), back_halves(parts, sums[1], True)
    return (Y, joined), tuple(sums), of_X


@settings(deadline=None, max_examples=150)
@given(
    rows=st.integers(1, 7),
    columns=st.integers(2, 9),
    kernel_rows=st.integers(1, 4),
    padding=st.sampled_from(["same", "valid"]),
    n_channels=st.integers(1, 3),
    n_filters=st.integers(1, 3),
    n_images=st.integers(1, 3),
)
def test_halves_and_gradients_are_those_of_the_convolution(
    rows, columns, kernel_rows, padding, n_channels, n_filters, n_images
):
    if padding == "valid" and (rows < kernel_rows or columns < 4):
        return
    convolution = Convolution(
        axis(rows, kernel_rows, padding),
        axis(columns, 3, padding, even=True),
        n_channels,
        n_filters,
    )
    for found, expected in both_ways(convolution, n_images):
        assert_allclose(expected, found, rtol=1e-10, atol=1e-12)


def test_single_precision_loses_no_more_than_a_few_roundings():
    convolution = Convolution(
        axis(14, 3, "same"), axis(14, 3, "same", even=True), 16, 32
    )
    exact = both_ways(convolution, 8)
    rounded = both_ways(convolution, 8, np.float32)
    for (truth, _), (direct, fast) in zip(exact, rounded, strict=True):
        assert fast.dtype == np.float32
        # The rows drawn are those of the exact run but for their own rounding.
        error = [np.abs(part - truth).max() for part in (direct, fast)]
        assert error[1] < 4 * error[0]


def test_inputs_without_a_wanted_gradient_get_none():
    convolution = Convolution(axis(4, 3, "same"), axis(4, 3, "same"), 2, 2)
    X, kernels = np.ones((4, 2, 4, 1)), np.ones((2, 18))
    halves, back = Winograd(convolution).forward(X, kernels, Arena())
    found = np.zeros_like(kernels)
    assert back(halves, found, False) is None
    assert np.all(found != 0)


@pytest.mark.parametrize(
    ("columns", "rows", "n_channels", "expected"),
    [
        (Axis(8, 3, 1, "same", 8), Axis(8, 3, 1, "same", 8), FEWEST_CHANNELS, True),
        (Axis(8, 3, 1, "same", 8), Axis(8, 5, 1, "same", 8), FEWEST_CHANNELS, True),
        (Axis(8, 3, 1, "same", 8), Axis(8, 3, 2, "same", 4), FEWEST_CHANNELS, False),
        (Axis(8, 5, 1, "same", 8), Axis(8, 3, 1, "same", 8), FEWEST_CHANNELS, False),
        (Axis(8, 3, 2, "same", 4), Axis(8, 3, 1, "same", 8), FEWEST_CHANNELS, False),
        (Axis(7, 3, 1, "same", 7), Axis(8, 3, 1, "same", 8), FEWEST_CHANNELS, False),
        (Axis(8, 3, 1, "same", 8), Axis(8, 3, 1, "same", 8), 7, False),
    ],
)
def test_it_is_chosen_where_it_can_be_done(columns, rows, n_channels, expected):
    assert is_faster(Convolution(rows, columns, n_channels, 4)) == expected


@pytest.mark.parametrize("learning", [True, False])
@pytest.mark.parametrize("pool_size", [(2, 2), (1, 2), (3, 2)])
def test_a_layer_gives_the_same_both_ways(monkeypatch, pool_size, learning):
    convolution = Convolution(
        axis(6, 3, "same"), axis(6, 3, "same"), FEWEST_CHANNELS, 4
    )
    rng = np.random.default_rng(0)
    layer = ConvolutionLayer(convolution, pool_size, "relu", True, True)
    assert layer._halved
    X = rng.standard_normal((6, FEWEST_CHANNELS, 6, 5))
    parameters = [rng.standard_normal(shape) for shape in layer.shapes]
    found = []
    for fast in (True, False):
        monkeypatch.setitem(vars(layer), "_halved", fast)
        scratch = Scratch(learning=learning)
        out, back = layer.forward(X, parameters, scratch)
        found.append([out.copy()])
        if learning:
            gradients = [np.zeros_like(part) for part in parameters]
            gradient = np.random.default_rng(1).standard_normal(out.shape)
            found[-1] += [back(gradient, gradients, True), *gradients]
    for one, other in zip(*found, strict=True):
        assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_equal_columns_have_equal_outputs():
    # Where an image is blank pooling compares what has to be the same.
    convolution = Convolution(axis(1, 1, "same"), axis(8, 3, "valid", even=True), 9, 4)
    rng = np.random.default_rng(0)
    X = np.broadcast_to(rng.standard_normal((1, 9, 1, 1)), (1, 9, 8, 1)).copy()
    X = X.astype(np.float32)
    kernels = rng.standard_normal((4, 27)).astype(np.float32)
    halves, _ = Winograd(convolution).forward(X, kernels, Arena())
    assert_array_equal(halves[0] - halves[0][:, :, :1], 0)
    assert_allclose(halves[1], halves[0], rtol=1e-5, atol=1e-6)
