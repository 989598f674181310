"""Adam against scikit-learn's, which makes new arrays in every step."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer

from sktie.nn import _adam
from sktie.nn._adam import Adam


def steps(kind, gradients, rates, dtype):
    """Parameters after steps along the gradients, each with its rate."""
    sizes = [len(part) for part in gradients[0]]
    theta = [np.linspace(-1, 1, size).astype(dtype) for size in sizes]
    optimizer = kind(theta, rates[0])
    for each, rate in zip(gradients, rates, strict=True):
        optimizer.learning_rate_init = rate
        optimizer.update_params(theta, [part.astype(dtype) for part in each])
    return theta, optimizer


@pytest.mark.parametrize("block", [1, 3, 1 << 14])
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_steps_are_those_of_scikit_learn(monkeypatch, block, dtype, rtol):
    monkeypatch.setattr(_adam, "BLOCK", block)
    rng = np.random.default_rng(0)
    gradients = [[rng.normal(size=7), 1e3 * rng.normal(size=1)] for _ in range(20)]
    gradients[3][0][:2] = 0
    rates = np.geomspace(1e-1, 1e-4, 20)
    found, ours = steps(Adam, gradients, rates, dtype)
    expected, theirs = steps(AdamOptimizer, gradients, rates, np.float64)
    for own, other in zip(found, expected, strict=True):
        assert own.dtype == dtype
        assert_allclose(own, other, rtol=rtol, atol=rtol)
    for name in ("ms", "vs"):
        for own, other in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            assert_allclose(own, other, rtol=rtol, atol=rtol)
    assert ours.t == theirs.t == 20


def test_gradients_stay_as_they_are_and_parameters_change_in_place():
    theta, gradient = np.ones(5), np.arange(5.0)
    kept, place = gradient.copy(), theta
    Adam([theta], 0.1).update_params([theta], [gradient])
    assert_array_equal(gradient, kept)
    assert place is theta
    # The first step is as long as the rate, whatever the gradient.
    assert_allclose(theta, [1, 0.9, 0.9, 0.9, 0.9], rtol=1e-6)


def test_nothing_to_learn_is_no_error():
    theta = np.empty(0)
    Adam([theta], 0.1).update_params([theta], [np.empty(0)])
    assert theta.size == 0
