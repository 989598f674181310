"""The objective of a network with one hidden layer, whose two layers are tied."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
from sklearn.model_selection import train_test_split

from sktie._loss import ClassLoss
from sktie._typing import Array, FloatArray, Matrix
from sktie.neural_network._tied_array import TiedArray
from sktie.neural_network._trainer import share_right
from sktie.nn import ACTIVATIONS, Backprop


@dataclass(frozen=True)
class NetworkLoss:
    """``1/n (sum_i s_i loss_i + penalties of both layers)``, with n the sum of s.

    Attributes
    ----------
    X : ndarray or CSR container of shape (n_samples, n_features)
        Rows.
    y : ndarray of shape (n_samples,)
        Targets, as ``loss`` encodes them.
    weight : ndarray of shape (n_samples,)
        Positive weights s.
    loss : ClassLoss
        The loss of the raw predictions.
    activation : str
        Name of the hidden units' activation function.
    hidden, output : TiedArray
        The layers ``x -> W x + b``: (W, b) of shape (n_out, n_in + 1), the biases last.
    """

    X: Matrix
    y: Array
    weight: FloatArray
    loss: ClassLoss
    activation: str
    hidden: TiedArray
    output: TiedArray

    def take(self, rows: Array) -> NetworkLoss:
        """Return the objective of some of the rows."""
        X, y, weight = self.X[rows], self.y[rows], self.weight[rows]
        return replace(self, X=X, y=y, weight=weight)

    def join(self, hidden: FloatArray, output: FloatArray) -> FloatArray:
        """Return a flat vector of the coordinates of the layers that can move."""
        both = ((self.hidden, hidden), (self.output, output))
        moving = [V.ravel() for layer, V in both if not layer.held]
        return np.concatenate([np.empty(0), *moving])

    def split(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the coordinates of both layers, 0 where an infinite tie holds."""
        size = 0 if self.hidden.held else math.prod(self.hidden.shape)
        both = ((self.hidden, theta[:size]), (self.output, theta[size:]))
        hidden, output = (
            np.zeros(layer.shape) if layer.held else part.reshape(layer.shape)
            for layer, part in both
        )
        return hidden, output

    def parameters(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return (W, b) of both layers."""
        hidden, output = self.split(theta)
        return self.hidden.weights(hidden), self.output.weights(output)

    def __call__(
        self, theta: FloatArray, rows: Array | None
    ) -> tuple[float, FloatArray]:
        """Return value and gradient; from some of the rows, estimates of both."""
        X, y, weight = self.X, self.y, self.weight
        if rows is not None:
            X, y = X[rows], y[rows]
            weight = weight[rows] * (len(self.y) / len(rows))
        hidden, output = self.split(theta)
        first, second = self.hidden.weights(hidden), self.output.weights(output)
        units, backprop = self._units(X, first, rows)
        readout = second.astype(X.dtype, copy=False)
        raw = units @ readout[:, :-1].T
        raw += readout[:, -1]
        value, residual = self.loss.value_gradient(y, raw, weight)
        of_hidden, gradient = self.hidden.penalty(hidden, first)
        of_output, own = self.output.penalty(output, second)
        own += self.output.pull_back(_gradient(residual, units))
        if not self.hidden.held:
            inward = backprop(residual @ readout[:, :-1])
            gradient += self.hidden.pull_back(_gradient(inward, X))
        flat = self.join(gradient, own)
        flat /= self.total
        return (value + of_hidden + of_output) / self.total, flat

    def accuracy(self, theta: FloatArray) -> float:
        """Return the weighted share of the rows that are classified right."""
        first, second = self.parameters(theta)
        units, _ = self._units(self.X, first, None)
        return share_right(self, units @ second[:, :-1].T + second[:, -1])

    @property
    def rng(self) -> None:
        """Nothing is random in a step."""

    def contents(self) -> Iterator[Any]:
        """Yield all that the objective depends on but the estimator's parameters."""
        yield self.X, self.y, self.weight
        yield self.hidden.anchor, self.output.anchor

    @cached_property
    def total(self) -> float:
        """The sum of the weights."""
        return float(self.weight.sum(dtype=np.float64))

    def _units(
        self, X: Matrix, first: FloatArray, rows: Array | None
    ) -> tuple[FloatArray, Backprop]:
        if not self.hidden.held:
            return hidden_units(X, first, self.activation)
        units = self._frozen_units if rows is None else self._frozen_units[rows]
        return units, lambda gradient: gradient

    @cached_property
    def _frozen_units(self) -> FloatArray:
        """The units of all rows, which an infinite tie keeps as they are."""
        held = self.hidden.weights(np.zeros(self.hidden.shape))
        return hidden_units(self.X, held, self.activation)[0]


def tied_layer(anchor: FloatArray, tie: float, alpha: float) -> TiedArray:
    """Return a layer (W, b) tied to an anchor, whose weights W are decayed."""
    return TiedArray(anchor.shape, alpha, anchor=anchor, tie_pair=tie, biases=True)


class RowsObjective(Protocol):
    """What `hold_back` can split: an objective of rows."""

    @property
    def y(self) -> Array:
        """Targets, as the loss encodes them."""

    @property
    def loss(self) -> ClassLoss:
        """The loss."""

    def take(self, rows: Array) -> Any:
        """Return the objective of some of the rows."""


#: One kind of it.
Rows = TypeVar("Rows", bound=RowsObjective)


def _gradient(residual: FloatArray, X: Matrix) -> FloatArray:
    """Return the gradient in (W, b) from that in the outputs W x + b."""
    of_weights = (X.T @ residual).T.astype(np.float64, copy=False)
    return np.column_stack([of_weights, residual.sum(axis=0)])


def hidden_units(
    X: Matrix, parameters: FloatArray, activation: str
) -> tuple[FloatArray, Backprop]:
    """Return the outputs of hidden units (W, b), and the way back through them."""
    parameters = parameters.astype(X.dtype, copy=False)
    raw = X @ parameters[:, :-1].T
    raw += parameters[:, -1]
    return ACTIVATIONS[activation](raw)


def hold_back(
    problem: Rows, fraction: float, rng: np.random.RandomState
) -> tuple[Rows, Rows]:
    """Split the rows in two, by class: to train on, and to stop by."""
    y_index, n_classes = problem.loss.class_index(problem.y), problem.loss.n_classes
    fewest = int(np.bincount(y_index, minlength=n_classes).min())
    n_held = max(int(np.ceil(fraction * len(y_index))), n_classes)
    if fewest < 2 or len(y_index) - n_held < n_classes:
        raise ValueError(
            f"early_stopping=True holds back {n_held} of {len(y_index)} distinct "
            f"labelled rows, but all {n_classes} classes must be on both sides; the "
            f"smallest has {fewest} of these rows. Set early_stopping=False, change "
            "validation_fraction, or label more rows."
        )
    training, held = train_test_split(
        np.arange(len(y_index)), test_size=n_held, stratify=y_index, random_state=rng
    )
    return problem.take(training), problem.take(held)
