"""One output layer for each domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from sktie._typing import Array, FloatArray
from sktie.nn._layers import Layer, LayerBackprop, Parameters, Scratch


@final
@dataclass(frozen=True)
class DomainHeads(Layer):
    """Every output sees every input, by the weights of the image's domain.

    The domains of the images are those of the scratch, numbers from 0. An image of the
    domain ``n_domains`` is of none of them, and sees the mean of their weights; nothing
    can be learned from it.

    Attributes
    ----------
    n_in, n_out : int
        Inputs and outputs.
    n_domains : int
        Domains.
    """

    n_in: int
    n_out: int
    n_domains: int

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The outputs."""
        return (self.n_out,)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of weights and biases; the domains are a column of locations."""
        one = self.n_domains, 1, self.n_out
        return (*one, self.n_in), (*one, 1)

    def forward(
        self, X: FloatArray, parameters: Parameters, scratch: Scratch
    ) -> tuple[FloatArray, LayerBackprop]:
        """Return outputs (n_out, n_images), and the way back."""
        arena = scratch.arena
        out = arena.empty((self.n_out, X.shape[-1]), X.dtype)
        arena.call(self._see, X, parameters, scratch, out)

        def backprop(
            gradient: FloatArray, gradients: Parameters, wanted: bool
        ) -> FloatArray | None:
            back = arena.empty(X.shape, X.dtype) if wanted else None
            arena.call(self._learn, X, parameters, scratch, gradient, gradients, back)
            return back

        return out, backprop

    def _see(
        self, X: FloatArray, parameters: Parameters, scratch: Scratch, out: FloatArray
    ) -> None:
        """Set the outputs."""
        for t, own in _images_by_domain(scratch):
            unseen = t == self.n_domains
            weights, bias = (
                part[:, 0].mean(axis=0) if unseen else part[t, 0] for part in parameters
            )
            out[:, own] = weights @ X[:, own] + bias

    def _learn(
        self,
        X: FloatArray,
        parameters: Parameters,
        scratch: Scratch,
        gradient: FloatArray,
        gradients: Parameters,
        back: FloatArray | None,
    ) -> None:
        """Add to the gradients in the parameters; set that in the inputs, if wanted."""
        of_weights, of_bias = gradients
        for t, own in _images_by_domain(scratch):
            part = gradient[:, own]
            of_weights[t, 0] += part @ X[:, own].T
            of_bias[t, 0] += part.sum(axis=1, keepdims=True)
            if back is not None:
                back[:, own] = parameters[0][t, 0].T @ part


def _images_by_domain(scratch: Scratch) -> list[tuple[int, Array]]:
    """Return the domains that images are of, and which images."""
    assert scratch.domain is not None
    return [(t, scratch.domain == t) for t in np.unique(scratch.domain).tolist()]
