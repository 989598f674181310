"""A network: layers one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sktie._typing import FloatArray
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
