"""Activation functions, each with its derivative.

``ACTIVATIONS[name](raw)`` returns the outputs and ``backprop``, which takes the
gradient in the outputs to the gradient in ``raw``. Both overwrite what they get.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from scipy.special import expit

from sktie._typing import FloatArray
from sktie.nn._arena import Arena

Backprop: TypeAlias = Callable[[FloatArray], FloatArray]
#: Takes the inputs, and where the work is done, if that is given.
Activation: TypeAlias = Callable[..., tuple[FloatArray, Backprop]]


def identity(
    raw: FloatArray, arena: Arena | None = None
) -> tuple[FloatArray, Backprop]:
    """Return raw as it is."""
    return raw, lambda gradient: gradient


def relu(raw: FloatArray, arena: Arena | None = None) -> tuple[FloatArray, Backprop]:
    """Return max(raw, 0); the derivative at 0 is 0."""
    arena = arena or Arena()
    arena.call(np.maximum, raw, 0, out=raw)

    def backprop(gradient: FloatArray) -> FloatArray:
        positive = arena.empty(raw.shape, bool)
        arena.call(np.greater, raw, 0, out=positive)
        arena.call(np.multiply, gradient, positive, out=gradient)
        return gradient

    return raw, backprop


def tanh(raw: FloatArray, arena: Arena | None = None) -> tuple[FloatArray, Backprop]:
    """Return tanh(raw)."""
    arena = arena or Arena()
    arena.call(np.tanh, raw, out=raw)

    def backprop(gradient: FloatArray) -> FloatArray:
        slope = arena.empty(raw.shape, raw.dtype)
        arena.call(np.square, raw, out=slope)
        arena.call(np.subtract, 1, slope, out=slope)
        arena.call(np.multiply, gradient, slope, out=gradient)
        return gradient

    return raw, backprop


def logistic(
    raw: FloatArray, arena: Arena | None = None
) -> tuple[FloatArray, Backprop]:
    """Return 1 / (1 + exp(-raw))."""
    arena = arena or Arena()
    arena.call(expit, raw, out=raw)

    def backprop(gradient: FloatArray) -> FloatArray:
        other = arena.empty(raw.shape, raw.dtype)
        arena.call(np.multiply, gradient, raw, out=gradient)
        arena.call(np.subtract, 1, raw, out=other)
        arena.call(np.multiply, gradient, other, out=gradient)
        return gradient

    return raw, backprop


def softmax(raw: FloatArray, arena: Arena | None = None) -> tuple[FloatArray, Backprop]:
    """Return exp(raw) divided by its sum over the units."""
    arena = arena or Arena()
    each = arena.empty((len(raw), 1), raw.dtype)
    arena.call(np.max, raw, axis=1, keepdims=True, out=each)
    arena.call(np.subtract, raw, each, out=raw)
    arena.call(np.exp, raw, out=raw)
    arena.call(np.sum, raw, axis=1, keepdims=True, out=each)
    arena.call(np.divide, raw, each, out=raw)

    def backprop(gradient: FloatArray) -> FloatArray:
        arena.call(np.einsum, "ij,ij->i", gradient, raw, out=each[:, 0])
        arena.call(np.subtract, gradient, each, out=gradient)
        arena.call(np.multiply, gradient, raw, out=gradient)
        return gradient

    return raw, backprop


#: The activation functions by name.
ACTIVATIONS: dict[str, Activation] = {
    "identity": identity,
    "relu": relu,
    "tanh": tanh,
    "logistic": logistic,
    "softmax": softmax,
}
