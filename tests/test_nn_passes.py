"""Tests of work that is noted down and done again: Arena.call, Pass, Passes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktie.nn import (
    Arena,
    Axis,
    ConnectedLayer,
    Convolution,
    ConvolutionLayer,
    Dropout,
    Flatten,
    GlobalPool,
    Network,
    Passes,
    Scratch,
)

SHAPE = (6, 9, 6)


def convolution_layer(shape, n_filters, stride, shared, activation):
    axes = [
        Axis(n, 3, stride, "same", Axis.outputs(n, 3, stride, "same") // 2 * 2)
        for n in (shape[0], shape[2])
    ]
    convolution = Convolution(*axes, shape[1], n_filters)
    return ConvolutionLayer(convolution, (2, 2), activation, shared, shared, 0.5)


def network(stride=1, shared=True, activation="relu", share=0.0, pool=None):
    layers = [convolution_layer(SHAPE, 8, stride, shared, activation)]
    if stride == 1:
        layers.append(convolution_layer(layers[-1].out_shape, 2, 1, shared, activation))
    if pool is not None:
        layers.append(GlobalPool(layers[-1].out_shape, pool))
    layers.append(Flatten(layers[-1].out_shape))
    n_in = layers[-1].out_shape[0]
    if share:
        layers.append(Dropout(n_in, share))
    layers.append(ConnectedLayer(n_in, 3, "tanh"))
    return Network(tuple(layers))


def drawn(net, seed=0):
    rng = np.random.default_rng(seed)
    return [tuple(rng.standard_normal(s) for s in layer.shapes) for layer in net.layers]


def zeros(parameters):
    return [tuple(map(np.zeros_like, own)) for own in parameters]


def directly(net, X, gradient, parameters, seed=None):
    """Outputs and gradients in the parameters, each call made at once."""
    rng = None if seed is None else np.random.default_rng(seed)
    out, back = net.forward(X.copy(), parameters, Scratch(rng=rng))
    out, sums = out.copy(), zeros(parameters)
    back(gradient.copy(), sums)
    return out, [part for own in sums for part in own]


NETWORKS = [
    {},
    {"shared": False},
    {"stride": 2},
    {"stride": 2, "shared": False},
    {"activation": "tanh"},
    {"activation": "logistic"},
    {"activation": "identity"},
    {"pool": "mean"},
    {"pool": "max"},
    {"share": 0.5},
]


@pytest.mark.parametrize("settings", NETWORKS, ids=str)
def test_what_is_done_again_is_what_was_done_at_once(settings):
    net = network(**settings)
    parameters = drawn(net)
    sums = zeros(parameters)
    passes = Passes(net, SHAPE, parameters, np.float64, Scratch(), sums)
    rng = np.random.default_rng(1)
    # Sizes come and go, and memory is one: larger ones drop what was noted down.
    for turn, n_images in enumerate([2, 2, 5, 2, 1, 5, 3]):
        seed = turn if "share" in settings else None
        X = rng.standard_normal((*SHAPE, n_images))
        gradient = rng.standard_normal((3, n_images))
        expected, of_parameters = directly(net, X, gradient, parameters, seed)
        passes.scratch.rng = None if seed is None else np.random.default_rng(seed)
        one = passes.over(n_images)
        one.X[...] = X
        one.forward()
        assert_array_equal(one.out, expected)
        one.gradient[...] = gradient
        before = [part.copy() for own in sums for part in own]
        one.backward()
        after = [part for own in sums for part in own]
        for was, now, change in zip(before, after, of_parameters, strict=True):
            assert_allclose(now - was, change, rtol=1e-9, atol=1e-9)


def test_a_pass_takes_the_parameters_that_are_there_when_it_is_done():
    net = network()
    parameters = drawn(net)
    passes = Passes(net, SHAPE, parameters, np.float64, Scratch(learning=False))
    X = np.random.default_rng(0).standard_normal((*SHAPE, 2))
    one = passes.over(2)
    for seed in (1, 2):
        for own, other in zip(parameters, drawn(net, seed), strict=True):
            for part, new in zip(own, other, strict=True):
                part[...] = new
        one.X[...] = X
        one.forward()
        out, _ = net.forward(X, drawn(net, seed), Scratch(learning=False))
        assert_array_equal(one.out, out)


def test_a_size_met_again_is_not_noted_down_again():
    passes = Passes(
        network(), SHAPE, drawn(network()), np.float32, Scratch(learning=False)
    )
    passes.over(4)  # Outside the block, which is made for it then.
    smaller = passes.over(2)
    largest = passes.over(4)
    assert passes.over(2) is smaller
    assert passes.over(4) is largest


def test_with_and_without_noise_are_two_passes():
    net = network(share=0.5)
    passes = Passes(net, SHAPE, drawn(net), np.float64, Scratch(learning=False))
    X = np.ones((*SHAPE, 2))
    outs = []
    for rng in (None, np.random.default_rng(0), np.random.default_rng(1), None):
        passes.scratch.rng = rng
        one = passes.over(2)
        one.X[...] = X
        one.forward()
        outs.append(one.out.copy())
    assert_array_equal(outs[0], outs[3])
    assert np.abs(outs[1] - outs[0]).max() > 0.01
    assert np.abs(outs[1] - outs[2]).max() > 0.01


def test_calls_are_made_at_once_or_noted_down():
    arena, array = Arena(), np.zeros(3)
    arena.call(np.add, array, 1, out=array)
    arena.constant(array[:1], 7)
    assert_array_equal(array, [7, 1, 1])
    constants = []
    with arena.noting(constants) as notes:
        arena.call(np.add, array, 1, out=array)
        arena.constant(array[:1], 0)
        arena.constant(array[3:], 5)  # nothing to fill
    assert_array_equal(array, [7, 1, 1])
    assert (len(notes), len(constants)) == (1, 1)
    for call in [*notes, *constants]:
        call()
    assert_array_equal(array, [0, 2, 2])
    arena.call(np.add, array, 1, out=array)
    assert_array_equal(array, [1, 3, 3])
