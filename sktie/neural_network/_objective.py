"""The objective of a network with one hidden layer, whose two layers are tied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
from sklearn.model_selection import train_test_split

from sktie._loss import ClassLoss
from sktie._tie import scaled_tie
from sktie._typing import Array, FloatArray, Matrix
from sktie.neural_network._trainer import share_right
from sktie.nn import ACTIVATIONS, Backprop


@dataclass(frozen=True)
class TiedLayer:
    """A layer ``x -> W x + b`` whose parameters are tied to an anchor.

    In coordinates of its own: ``(W, b) = anchor + scale * U`` with
    ``scale = (1 + tie)^-1/2``, where the penalty ``tie/2 |(W, b) - anchor|^2`` is
    ``tie / (1 + tie) / 2 |U|^2``. No strength makes a step too long; at infinity the
    scale is 0 and the parameters are the anchor.

    Attributes
    ----------
    anchor : ndarray of shape (n_out, n_in + 1)
        What the parameters are tied to, the intercepts last.
    tie : float
        Strength in [0, inf].
    alpha : float
        Decay of the weights W towards zero.
    """

    anchor: FloatArray
    tie: float
    alpha: float

    @property
    def scale(self) -> float:
        """Units of U in units of the parameters."""
        return float(scaled_tie(self.tie)[0])

    @property
    def strength(self) -> float:
        """Strength of the tie on U."""
        return float(scaled_tie(self.tie)[1])

    def shape(self, part: FloatArray) -> FloatArray:
        """Return U from its part of a flat vector, empty if the layer is held."""
        if self.scale == 0:
            return np.zeros_like(self.anchor)
        return part.reshape(self.anchor.shape)

    def parameters(self, U: FloatArray) -> FloatArray:
        """Return (W, b) at U."""
        return self.anchor + self.scale * U

    def locate(self, parameters: FloatArray) -> FloatArray:
        """Return U at (W, b); where the tie is infinite there is but one, zero."""
        if self.scale == 0:
            return np.zeros_like(self.anchor)
        return np.asarray((parameters - self.anchor) / self.scale)

    def penalty(self, U: FloatArray) -> tuple[float, FloatArray]:
        """Return tie and decay at U, and the gradient in U."""
        weights = self.parameters(U)
        weights[:, -1] = 0.0
        value = 0.5 * self.strength * float(np.sum(np.square(U)))
        value += 0.5 * self.alpha * float(np.sum(np.square(weights)))
        return value, self.strength * U + self.scale * self.alpha * weights


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
    hidden, output : TiedLayer
        The layers.
    """

    X: Matrix
    y: Array
    weight: FloatArray
    loss: ClassLoss
    activation: str
    hidden: TiedLayer
    output: TiedLayer

    def take(self, rows: Array) -> NetworkLoss:
        """Return the objective of some of the rows."""
        X, y, weight = self.X[rows], self.y[rows], self.weight[rows]
        return replace(self, X=X, y=y, weight=weight)

    def join(self, hidden: FloatArray, output: FloatArray) -> FloatArray:
        """Return a flat vector of the coordinates U of the layers that can move."""
        both = ((self.hidden, hidden), (self.output, output))
        moving = [U.ravel() for layer, U in both if layer.scale > 0]
        return np.concatenate([np.empty(0), *moving])

    def split(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the coordinates U of both layers, 0 where an infinite tie holds."""
        size = self.hidden.anchor.size if self.hidden.scale > 0 else 0
        return self.hidden.shape(theta[:size]), self.output.shape(theta[size:])

    def parameters(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return (W, b) of both layers."""
        hidden, output = self.split(theta)
        return self.hidden.parameters(hidden), self.output.parameters(output)

    def __call__(
        self, theta: FloatArray, rows: Array | None
    ) -> tuple[float, FloatArray]:
        """Return value and gradient; from some of the rows, estimates of both."""
        X, y, weight = self.X, self.y, self.weight
        if rows is not None:
            X, y = X[rows], y[rows]
            weight = weight[rows] * (len(self.y) / len(rows))
        hidden, output = self.split(theta)
        first, second = self.parameters(theta)
        units, backprop = self._units(X, first, rows)
        second = second.astype(X.dtype, copy=False)
        raw = units @ second[:, :-1].T
        raw += second[:, -1]
        value, residual = self.loss.value_gradient(y, raw, weight)
        of_hidden, gradient = self.hidden.penalty(hidden)
        of_output, own = self.output.penalty(output)
        own[:, :-1] += self.output.scale * (residual.T @ units)
        own[:, -1] += self.output.scale * residual.sum(axis=0)
        if self.hidden.scale > 0:
            inward = backprop(residual @ second[:, :-1])
            gradient[:, :-1] += self.hidden.scale * (X.T @ inward).T
            gradient[:, -1] += self.hidden.scale * inward.sum(axis=0)
        flat = self.join(gradient, own)
        flat /= self.total
        return (value + of_hidden + of_output) / self.total, flat

    def accuracy(self, theta: FloatArray) -> float:
        """Return the weighted share of the rows that are classified right."""
        first, second = self.parameters(theta)
        units, _ = self._units(self.X, first, None)
        return share_right(self, units @ second[:, :-1].T + second[:, -1])

    @cached_property
    def total(self) -> float:
        """The sum of the weights."""
        return float(self.weight.sum(dtype=np.float64))

    def _units(
        self, X: Matrix, first: FloatArray, rows: Array | None
    ) -> tuple[FloatArray, Backprop]:
        if self.hidden.scale > 0:
            return hidden_units(X, first, self.activation)
        units = self._frozen_units if rows is None else self._frozen_units[rows]
        return units, lambda gradient: gradient

    @cached_property
    def _frozen_units(self) -> FloatArray:
        """The units of all rows, which an infinite tie keeps as they are."""
        return hidden_units(self.X, self.hidden.anchor, self.activation)[0]


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
