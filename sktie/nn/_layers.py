"""Layers: parameters and inputs to outputs, and the way back for gradients.

``layer.forward(X, parameters, scratch)`` returns the outputs and ``backprop``, which
takes the gradient in the outputs and arrays to which it adds the gradients in the
parameters, and returns the gradient in the inputs (None where it is not wanted).
Inputs and outputs have the images last. Both functions may overwrite what they get.
Both work by ``scratch.arena.call`` alone, on arrays of ``scratch.arena.empty``, and
never look at what is in them, so that their work can be noted down and done again.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias, final

import numpy as np

from sktie._typing import FloatArray, IntArray
from sktie.nn._activation import ACTIVATIONS
from sktie.nn._arena import Arena
from sktie.nn._convolution import Convolution
from sktie.nn._halves import HalvedConvolution
from sktie.nn._pooling import largest, max_pool
from sktie.nn._winograd import Winograd, is_faster

Parameters: TypeAlias = Sequence[FloatArray]
LayerBackprop: TypeAlias = Callable[[FloatArray, Parameters, bool], "FloatArray | None"]


@dataclass
class Scratch:
    """What a pass over one tile of images works with.

    Attributes
    ----------
    arena : Arena
        Memory of the thread, and notes of what is done there.
    rng : numpy.random.Generator or None
        Draws the units that are dropped; None where none are. What is noted down
        with one draws from the one that is there when it is done.
    learning : bool
        Whether gradients will go back.
    domain : ndarray of shape (n_images,) or None
        Number of each image's domain; None where there are no domains. What is noted
        down looks at those that are there when it is done.
    """

    arena: Arena = field(default_factory=Arena)
    rng: np.random.Generator | None = None
    learning: bool = True
    domain: IntArray | None = None

    def draw(self, out: IntArray) -> None:
        """Draw integers of 64 bits evenly."""
        assert self.rng is not None
        np.copyto(out, self.rng.integers(0, 1 << 64, out.size, dtype=out.dtype))


class Layer(ABC):
    """The interface of a layer."""

    @property
    @abstractmethod
    def out_shape(self) -> tuple[int, ...]:
        """Shape of the outputs of one image."""

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the parameters: weights and biases, or none."""
        return ()

    @abstractmethod
    def forward(
        self, X: FloatArray, parameters: Parameters, scratch: Scratch
    ) -> tuple[FloatArray, LayerBackprop]:
        """Return the outputs, and the way back."""


@final
@dataclass(frozen=True)
class ConvolutionLayer(Layer):
    """Convolution, bias, pooling, activation.

    The activation functions never fall, so pooling before them is the same, and less
    work. So is adding a bias afterwards that all locations of a window share.

    Attributes
    ----------
    convolution : Convolution
        What is computed, for whole windows of the pooling only.
    pool_size : tuple of int
        Rows and columns of a window.
    activation : str
        Name of the activation function.
    shared : bool
        Whether there is one kernel for all locations.
    shared_bias : bool
        Whether there is one bias for all locations.
    fill : ndarray of shape (channels, 1, 1) or float, default=0
        What images are padded with.
    """

    convolution: Convolution
    pool_size: tuple[int, int]
    activation: str
    shared: bool
    shared_bias: bool
    fill: FloatArray | float = 0.0

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """Rows, filters and columns of the pooled outputs."""
        rows, n_filters, columns = self.convolution.out_shape
        return rows // self.pool_size[0], n_filters, columns // self.pool_size[1]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of kernels and biases."""
        rows, n_filters, columns = self.convolution.out_shape
        kernel = n_filters, self.convolution.n_taps
        return (
            kernel if self.shared else (rows, columns, *kernel),
            (n_filters, 1, 1) if self.shared_bias else (rows, n_filters, columns, 1),
        )

    def forward(
        self, X: FloatArray, parameters: Parameters, scratch: Scratch
    ) -> tuple[FloatArray, LayerBackprop]:
        """Return outputs (rows, filters, columns, n_images), and the way back."""
        kernels, bias = parameters
        arena = scratch.arena
        pool = self._pool_halves if self._halved else self._pool
        raw, way_back = pool(X, kernels, bias, scratch)
        if self.shared_bias:
            arena.call(np.add, raw, bias, out=raw)
        out, to_raw = ACTIVATIONS[self.activation](raw, arena)

        def backprop(
            gradient: FloatArray, gradients: Parameters, wanted: bool
        ) -> FloatArray | None:
            of_bias = gradients[1]
            gradient = to_raw(gradient)
            if self.shared_bias:
                sums = arena.empty(of_bias.shape, of_bias.dtype)
                arena.call(np.einsum, "hfwb->f", gradient, out=sums[:, 0, 0])
                arena.call(np.add, of_bias, sums, out=of_bias)
            return way_back(gradient, gradients, wanted)

        return out, backprop

    @cached_property
    def _halved(self) -> bool:
        """Whether even and odd columns are computed apart, and then compared."""
        own = self.convolution
        alike = self.shared and self.shared_bias
        one_by_one = own.rows.stride == own.columns.stride == 1
        return alike and one_by_one and self.pool_size[1] == 2

    def _pool(
        self, X: FloatArray, kernels: FloatArray, bias: FloatArray, scratch: Scratch
    ) -> tuple[FloatArray, LayerBackprop]:
        """Return the pooled outputs, biases of locations added, and the way back."""
        arena = scratch.arena
        raw, to_kernels = self.convolution.forward(X, kernels, arena, self.fill)
        if not self.shared_bias:
            arena.call(np.add, raw, bias, out=raw)
        out, unpool = max_pool(raw, self.pool_size, arena, scratch.learning)

        def backprop(
            gradient: FloatArray, gradients: Parameters, wanted: bool
        ) -> FloatArray | None:
            of_kernels, of_bias = gradients
            gradient = unpool(gradient)
            if not self.shared_bias:
                sums = arena.empty(of_bias.shape, of_bias.dtype)
                arena.call(np.add.reduce, gradient, axis=-1, keepdims=True, out=sums)
                arena.call(np.add, of_bias, sums, out=of_bias)
            return to_kernels(gradient, of_kernels, wanted)

        return out, backprop

    def _pool_halves(
        self, X: FloatArray, kernels: FloatArray, _: FloatArray, scratch: Scratch
    ) -> tuple[FloatArray, LayerBackprop]:
        """Do the same from even and odd columns."""
        arena, learning = scratch.arena, scratch.learning
        kind = Winograd if is_faster(self.convolution) else HalvedConvolution
        halves, to_kernels = kind(self.convolution).forward(
            X, kernels, arena, self.fill
        )
        out, across = largest(halves, arena, learning)
        out, down = max_pool(out, (self.pool_size[0], 1), arena, learning)

        def backprop(
            gradient: FloatArray, gradients: Parameters, wanted: bool
        ) -> FloatArray | None:
            across(down(gradient))
            return to_kernels(halves, gradients[0], wanted)

        return out, backprop


@final
@dataclass(frozen=True)
class GlobalPool(Layer):
    """One number of every channel: its mean, or its maximum, over all locations."""

    in_shape: tuple[int, int, int]
    how: str

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """One row and one column."""
        return 1, self.in_shape[1], 1

    def forward(
        self, X: FloatArray, parameters: Parameters, scratch: Scratch
    ) -> tuple[FloatArray, LayerBackprop]:
        """Return outputs (1, channels, 1, n_images), and the way back."""
        rows, channels, columns = self.in_shape
        arena = scratch.arena
        if self.how == "max":
            # A copy: its place is needed on the way back, and X by the layer before.
            maps = arena.empty(X.shape, X.dtype)
            arena.call(np.copyto, maps, X)
            out, unpool = max_pool(maps, (rows, columns), arena, scratch.learning)
            return out, lambda gradient, _, wanted: unpool(gradient) if wanted else None
        scale = X.dtype.type(1 / (rows * columns))
        out = arena.empty((1, channels, 1, X.shape[-1]), X.dtype)
        arena.call(np.add.reduce, X, axis=(0, 2), keepdims=True, out=out)
        arena.call(np.multiply, out, scale, out=out)

        def backprop(
            gradient: FloatArray, _: Parameters, wanted: bool
        ) -> FloatArray | None:
            if not wanted:
                return None
            spread = arena.empty(X.shape, X.dtype)
            arena.call(np.multiply, gradient, scale, out=spread)
            return spread

        return out, backprop


@final
@dataclass(frozen=True)
class Flatten(Layer):
    """All numbers of an image in one column, by row, column and channel."""

    in_shape: tuple[int, int, int]

    @property
    def out_shape(self) -> tuple[int, ...]:
        """How many they are."""
        return (math.prod(self.in_shape),)

    def forward(
        self, X: FloatArray, parameters: Parameters, scratch: Scratch
    ) -> tuple[FloatArray, LayerBackprop]:
        """Return outputs (size, n_images), and the way back."""
        rows, channels, columns = self.in_shape
        n_images = X.shape[-1]
        arena = scratch.arena
        turned = arena.empty((rows, columns, channels, n_images), X.dtype)
        arena.call(np.copyto, turned, X.swapaxes(1, 2))

        def backprop(
            gradient: FloatArray, _: Parameters, wanted: bool
        ) -> FloatArray | None:
            if not wanted:
                return None
            back = arena.empty(X.shape, X.dtype)
            arena.call(np.copyto, back, gradient.reshape(turned.shape).swapaxes(1, 2))
            return back

        return turned.reshape(-1, n_images), backprop


@final
@dataclass(frozen=True)
class Dropout(Layer):
    """Silences a share of the units in training, and strengthens the others."""

    n_units: int
    share: float

    @property
    def out_shape(self) -> tuple[int, ...]:
        """As many as come in."""
        return (self.n_units,)

    def forward(
        self, X: FloatArray, parameters: Parameters, scratch: Scratch
    ) -> tuple[FloatArray, LayerBackprop]:
        """Return outputs (n_units, n_images), and the way back."""
        if scratch.rng is None:
            return X, lambda gradient, _, wanted: gradient if wanted else None
        arena = scratch.arena
        # A draw of 64 bits is four chances of 16: the share is met within 1e-5.
        draws = arena.empty((-(-X.size // 4),), np.uint64)
        chance = draws.view(np.uint16)[: X.size].reshape(X.shape)
        stays = arena.empty(X.shape, bool)
        mask, out = (arena.empty(X.shape, X.dtype) for _ in range(2))
        arena.call(scratch.draw, draws)
        least = np.uint16(min(round(self.share * 2**16), 2**16 - 1))
        arena.call(np.greater_equal, chance, least, out=stays)
        arena.call(np.multiply, stays, X.dtype.type(1 / (1 - self.share)), out=mask)
        arena.call(np.multiply, X, mask, out=out)

        def backprop(
            gradient: FloatArray, _: Parameters, wanted: bool
        ) -> FloatArray | None:
            arena.call(np.multiply, gradient, mask, out=gradient)
            return gradient if wanted else None

        return out, backprop


@final
@dataclass(frozen=True)
class ConnectedLayer(Layer):
    """Every output sees every input.

    Attributes
    ----------
    n_in, n_out : int
        Inputs and outputs.
    activation : str
        Name of the activation function.
    """

    n_in: int
    n_out: int
    activation: str = "identity"

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The outputs."""
        return (self.n_out,)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of weights and biases."""
        return (self.n_out, self.n_in), (self.n_out, 1)

    def forward(
        self, X: FloatArray, parameters: Parameters, scratch: Scratch
    ) -> tuple[FloatArray, LayerBackprop]:
        """Return outputs (n_out, n_images), and the way back."""
        weights, bias = parameters
        arena = scratch.arena
        raw = arena.empty((self.n_out, X.shape[-1]), X.dtype)
        arena.call(np.matmul, weights, X, out=raw)
        arena.call(np.add, raw, bias, out=raw)
        out, to_raw = ACTIVATIONS[self.activation](raw, arena)

        def backprop(
            gradient: FloatArray, gradients: Parameters, wanted: bool
        ) -> FloatArray | None:
            gradient = to_raw(gradient)
            sums = [arena.empty(part.shape, part.dtype) for part in gradients]
            arena.call(np.matmul, gradient, X.T, out=sums[0])
            arena.call(np.add.reduce, gradient, axis=1, keepdims=True, out=sums[1])
            for part, own in zip(gradients, sums, strict=True):
                arena.call(np.add, part, own, out=part)
            if not wanted:
                return None
            back = arena.empty(X.shape, X.dtype)
            arena.call(np.matmul, weights.T, gradient, out=back)
            return back

        return out, backprop
