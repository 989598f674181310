"""Tests of sktie.nn._halves and _winograd: the same as `Convolution`, in halves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sktie.nn import Arena, Axis, Convolution, ConvolutionLayer, Scratch
from sktie.nn._halves import HalvedConvolution
from sktie.nn._winograd import FEWEST_CHANNELS, Winograd, is_faster

KINDS = HalvedConvolution, Winograd


def axis(n_in, kernel_size, padding, even=False):
    n_out = Axis.outputs(n_in, kernel_size, 1, padding)
    return Axis(n_in, kernel_size, 1, padding, n_out - n_out % 2 if even else n_out)


def both_ways(kind, convolution, n_images=3, dtype=float, seed=0):
    """Outputs and gradients of the two: columns, kernels, inputs."""
    rng = np.random.default_rng(seed)
    rows, channels, columns = convolution.in_shape
    X = rng.standard_normal((rows, channels, columns, n_images)).astype(dtype)
    shape = convolution.n_filters, convolution.n_taps
    kernels = rng.standard_normal(shape).astype(dtype)
    fill = rng.standard_normal((channels, 1, 1)).astype(dtype)
    Y, back = convolution.forward(X, kernels, Arena(), fill)
    halves, back_halves = kind(convolution).forward(X, kernels, Arena(), fill)
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
    kernel_columns=st.integers(1, 5),
    padding=st.sampled_from(["same", "valid"]),
    n_channels=st.integers(1, 3),
    n_filters=st.integers(1, 3),
    n_images=st.integers(1, 3),
)
def test_halves_and_gradients_are_those_of_the_convolution(
    rows,
    columns,
    kernel_rows,
    kernel_columns,
    padding,
    n_channels,
    n_filters,
    n_images,
):
    if padding == "valid" and (rows < kernel_rows or columns <= kernel_columns):
        return
    convolution = Convolution(
        axis(rows, kernel_rows, padding),
        axis(columns, kernel_columns, padding, even=True),
        n_channels,
        n_filters,
    )
    for kind in KINDS[: 2 if kernel_columns == 3 else 1]:
        for found, expected in both_ways(kind, convolution, n_images):
            assert_allclose(expected, found, rtol=1e-10, atol=1e-12)


def test_single_precision_loses_no_more_than_a_few_roundings():
    convolution = Convolution(
        axis(14, 3, "same"), axis(14, 3, "same", even=True), 16, 32
    )
    exact = both_ways(Winograd, convolution, 8)
    rounded = both_ways(Winograd, convolution, 8, np.float32)
    for (truth, _), (direct, fast) in zip(exact, rounded, strict=True):
        assert fast.dtype == np.float32
        # The rows drawn are those of the exact run but for their own rounding.
        error = [np.abs(part - truth).max() for part in (direct, fast)]
        assert error[1] < 4 * error[0]


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_without_a_wanted_gradient_get_none(kind):
    convolution = Convolution(axis(4, 3, "same"), axis(4, 3, "same"), 2, 2)
    X, kernels = np.ones((4, 2, 4, 1)), np.ones((2, 18))
    halves, back = kind(convolution).forward(X, kernels, Arena())
    found = np.zeros_like(kernels)
    assert back(halves, found, False) is None
    assert np.all(found != 0)


@pytest.mark.parametrize(
    ("kernel_size", "n_channels", "expected"),
    [
        (3, FEWEST_CHANNELS, True),
        (3, FEWEST_CHANNELS - 1, False),
        (2, FEWEST_CHANNELS, False),
        (5, FEWEST_CHANNELS, False),
    ],
)
def test_sums_are_taken_where_three_taps_have_many_channels(
    kernel_size, n_channels, expected
):
    axes = axis(8, 3, "same"), axis(8, kernel_size, "same")
    assert is_faster(Convolution(*axes, n_channels, 4)) == expected


@pytest.mark.parametrize(
    ("stride", "pool_size", "shared", "shared_bias", "expected"),
    [
        (1, (2, 2), True, True, True),
        (1, (1, 2), True, True, True),
        (1, (2, 1), True, True, False),
        (1, (3, 3), True, True, False),
        (2, (2, 2), True, True, False),
        (1, (2, 2), True, False, False),
        (1, (2, 2), False, True, False),
    ],
)
def test_columns_are_halved_where_pairs_are_pooled(
    stride, pool_size, shared, shared_bias, expected
):
    one = Axis(12, 3, stride, "same", 6)
    layer = ConvolutionLayer(
        Convolution(one, one, 2, 2), pool_size, "relu", shared, shared_bias
    )
    assert layer._halved == expected


@pytest.mark.parametrize("learning", [True, False])
@pytest.mark.parametrize("pool_size", [(2, 2), (1, 2), (3, 2)])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_a_layer_gives_the_same_both_ways(
    monkeypatch, kernel_size, pool_size, learning
):
    axes = axis(6, 3, "same"), axis(6, kernel_size, "same")
    convolution = Convolution(*axes, FEWEST_CHANNELS, 4)
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
