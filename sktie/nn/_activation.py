"""Activation functions, each with its derivative.

``ACTIVATIONS[name](raw)`` returns the outputs and ``backprop``, which takes the
gradient in the outputs to the gradient in ``raw``. Both may overwrite what they get.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from scipy.special import expit

from sktie._typing import FloatArray

Backprop: TypeAlias = Callable[[FloatArray], FloatArray]
Activation: TypeAlias = Callable[[FloatArray], tuple[FloatArray, Backprop]]


def identity(raw: FloatArray) -> tuple[FloatArray, Backprop]:
    """Return raw as it is."""
    return raw, lambda gradient: gradient


def relu(raw: FloatArray) -> tuple[FloatArray, Backprop]:
    """Return max(raw, 0); the derivative at 0 is 0."""
    out = np.maximum(raw, 0, out=raw)

    def backprop(gradient: FloatArray) -> FloatArray:
        gradient *= out > 0
        return gradient

    return out, backprop


def tanh(raw: FloatArray) -> tuple[FloatArray, Backprop]:
    """Return tanh(raw)."""
    out = np.tanh(raw, out=raw)

    def backprop(gradient: FloatArray) -> FloatArray:
        gradient *= 1 - np.square(out)
        return gradient

    return out, backprop


def logistic(raw: FloatArray) -> tuple[FloatArray, Backprop]:
    """Return 1 / (1 + exp(-raw))."""
    out = expit(raw, out=raw)

    def backprop(gradient: FloatArray) -> FloatArray:
        gradient *= out
        gradient *= 1 - out
        return gradient

    return out, backprop


def softmax(raw: FloatArray) -> tuple[FloatArray, Backprop]:
    """Return exp(raw) divided by its sum over the units."""
    raw -= raw.max(axis=1, keepdims=True)
    out = np.exp(raw, out=raw)
    out /= out.sum(axis=1, keepdims=True)

    def backprop(gradient: FloatArray) -> FloatArray:
        gradient -= np.einsum("ij,ij->i", gradient, out)[:, np.newaxis]
        gradient *= out
        return gradient

    return out, backprop


#: The activation functions by name.
ACTIVATIONS: dict[str, Activation] = {
    "identity": identity,
    "relu": relu,
    "tanh": tanh,
    "logistic": logistic,
    "softmax": softmax,
}
