"""A network: layers one after the other, and passes through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sktie._typing import FloatArray
from sktie.nn._arena import Calls
from sktie.nn._layers import Layer, Parameters, Scratch

NetworkBackprop: TypeAlias = Callable[[FloatArray, Sequence[Parameters]], None]


@dataclass(frozen=True)
class Network:
    """Layers one after the other, each with its parameters."""

    layers: tuple[Layer, ...]

    def forward(
        self, X: FloatArray, parameters: Sequence[Parameters], scratch: Scratch
    ) -> tuple[FloatArray, NetworkBackprop]:
        """Return the outputs of a tile of images, and the way back.

        Parameters
        ----------
        X : ndarray of shape (rows, channels, columns, n_images)
            Images.
        parameters : sequence of sequences of arrays
            Those of every layer.
        scratch : Scratch
            What the pass works with.

        Returns
        -------
        out : ndarray of shape (*shape of the last layer, n_images)
            Outputs.
        backprop : callable
            Takes the gradient in them, and arrays like ``parameters`` to which it adds
            the gradient in these.
        """
        ways = []
        for layer, own in zip(self.layers, parameters, strict=True):
            X, way = layer.forward(X, own, scratch)
            ways.append(way)

        def backprop(gradient: FloatArray, gradients: Sequence[Parameters]) -> None:
            flow: FloatArray | None = gradient
            learning = [k for k, layer in enumerate(self.layers) if layer.shapes]
            for k in range(len(ways) - 1, min(learning, default=len(ways)) - 1, -1):
                assert flow is not None
                flow = ways[k](flow, gradients[k], k > learning[0])

        return X, backprop

    @property
    def layers_with_weights(self) -> tuple[Layer, ...]:
        """The layers that have parameters."""
        return tuple(layer for layer in self.layers if layer.shapes)


@dataclass(frozen=True)
class Pass:
    """A pass over tiles of one size: calls on arrays that keep their places.

    Attributes
    ----------
    X : ndarray of shape (rows, channels, columns, n_images)
        To be filled with images.
    out : ndarray of shape (*shape of the last layer, n_images)
        Has the outputs after `forward`.
    gradient : ndarray like out
        To be filled with the gradient in them.
    """

    X: FloatArray
    out: FloatArray
    gradient: FloatArray
    _constants: Calls
    _forward: Calls
    _backward: Calls

    def prepare(self) -> None:
        """Set what stays as it is until the memory serves another pass."""
        for call in self._constants:
            call()

    def forward(self) -> None:
        """Set the outputs."""
        for call in self._forward:
            call()

    def backward(self) -> None:
        """Add to the gradients of the parameters. What is in `out` is lost."""
        for call in self._backward:
            call()


class Passes:
    """Passes of one thread, each noted down when its size is first met.

    Parameters
    ----------
    network : Network
        What to pass through.
    in_shape : tuple of int
        Rows, channels, columns of the images.
    parameters : sequence of sequences of arrays
        Those of every layer; a pass takes what is in them then.
    dtype : dtype
        Of all that is computed.
    scratch : Scratch
        What passes work with, and they alone.
    gradients : sequence of sequences of arrays, default=()
        Where it is learned, passes add to these the gradients in the parameters.
    """

    def __init__(
        self,
        network: Network,
        in_shape: tuple[int, ...],
        parameters: Sequence[Parameters],
        dtype: Any,
        scratch: Scratch,
        gradients: Sequence[Parameters] = (),
    ) -> None:
        self._network, self._in_shape = network, in_shape
        self._parameters, self._dtype = parameters, np.dtype(dtype)
        self.scratch, self._gradients = scratch, gradients
        self._known: dict[tuple[int, bool], Pass] = {}
        self._last: Pass | None = None

    def over(self, n_images: int) -> Pass:
        """Return the pass over so many images."""
        key = n_images, self.scratch.rng is None
        if key not in self._known:
            if self.scratch.arena.outgrown:
                # What lies outside the block makes room for passes inside it.
                self._known.clear()
            self._known[key] = self._note(n_images)
        found = self._known[key]
        if found is not self._last:
            found.prepare()
            self._last = found
        return found

    def _note(self, n_images: int) -> Pass:
        scratch, arena = self.scratch, self.scratch.arena
        arena.clear()
        X = arena.empty((*self._in_shape, n_images), self._dtype)
        constants: Calls = []
        with arena.noting(constants) as forward:
            out, backprop = self._network.forward(X, self._parameters, scratch)
        gradient = arena.empty(out.shape, self._dtype)
        with arena.noting(constants) as backward:
            if scratch.learning:
                backprop(gradient, self._gradients)
        return Pass(X, out, gradient, constants, forward, backward)
