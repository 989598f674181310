"""Convolution whose even and odd columns of outputs are arrays of their own.

Pooling by two compares even columns with odd ones: apart, each lies in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from sktie._typing import FloatArray
from sktie.nn._arena import Arena
from sktie.nn._convolution import Axis, Convolution, pad, windows

#: Even columns and odd columns.
Halves: TypeAlias = Sequence[FloatArray]
#: Like `KernelBackprop`, but from halves.
HalvesBackprop: TypeAlias = Callable[[Halves, FloatArray, bool], "FloatArray | None"]


def halves_of(X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return even and odd columns, as views."""
    return X[:, :, 0::2], X[:, :, 1::2]


def n_pairs(convolution: Convolution) -> int:
    """Return how many pairs of columns of outputs there are; one may be a single."""
    return -(-convolution.columns.n_out // 2)


def padded_halves(
    halves: Halves, convolution: Convolution, arena: Arena, fill: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    """Return even and odd columns of what the kernels see, padding included.

    Outputs 2 q and 2 q + 1 see, by their tap j, column q + (k // 2) of the half k % 2
    with k = j and k = j + 1.
    """
    rows, columns = convolution.rows, convolution.columns
    n_columns = n_pairs(convolution) + columns.kernel_size // 2
    shape = rows.n_padded, convolution.n_channels, n_columns, halves[0].shape[-1]
    found = arena.empty(shape, halves[0].dtype), arena.empty(shape, halves[0].dtype)
    for k, out in enumerate(found):
        # Column 2 m + k of what the kernels see is column 2 (m - shift) + half.
        half, shift = (k - columns.before) % 2, (columns.before + 1 - k) // 2
        X = halves[half]
        (seen,) = Axis(X.shape[2], 1, 1, shift, n_columns).seen
        pad(X, out, rows, seen, arena, fill)
    return found


@dataclass(frozen=True)
class HalvedConvolution:
    """Does what `Convolution` does with shared kernels and a stride of 1.

    Attributes
    ----------
    convolution : Convolution
        What is computed.
    """

    convolution: Convolution

    def forward(
        self,
        X: FloatArray,
        kernels: FloatArray,
        arena: Arena,
        fill: FloatArray | float = 0,
    ) -> tuple[Halves, HalvesBackprop]:
        """Return even and odd columns (rows, filters, pairs, n_images), and back."""
        own = self.convolution
        seen = self._windows(halves_of(X), arena, fill)
        outputs = self._products(seen, kernels, arena)
        halves = outputs[0], outputs[1]

        def backprop(
            gradient: Halves, of_kernels: FloatArray, wanted: bool
        ) -> FloatArray | None:
            of_inputs = None
            if wanted:
                of_inputs = arena.empty((*own.in_shape, X.shape[-1]), X.dtype)
                dual = self._reverse._windows(gradient, arena, 0)
                flipped = own.flip(kernels, arena)
                found = self._reverse._products(dual, flipped, arena)
                for part, half in zip(halves_of(of_inputs), found, strict=True):
                    arena.call(np.copyto, part, half[:, :, : part.shape[2]])
            each = arena.empty((2, own.rows.n_out, *of_kernels.T.shape), X.dtype)
            total = arena.empty(of_kernels.T.shape, X.dtype)
            for k, half in enumerate(gradient):
                matrices = half.reshape(*half.shape[:2], -1).swapaxes(-1, -2)
                arena.call(np.matmul, seen[k], matrices, out=each[k])
            arena.call(np.add.reduce, each, axis=(0, 1), out=total)
            arena.call(np.add, of_kernels, total.T, out=of_kernels)
            return of_inputs

        return halves, backprop

    @cached_property
    def _reverse(self) -> HalvedConvolution:
        """From gradients in the outputs to gradients in the inputs."""
        return HalvedConvolution(self.convolution.reverse)

    def _windows(
        self, halves: Halves, arena: Arena, fill: FloatArray | float
    ) -> FloatArray:
        """Return what the kernels see, for even and for odd outputs."""
        own, pairs = self.convolution, n_pairs(self.convolution)
        padded = padded_halves(halves, own, arena, fill)
        width, n_images = own.columns.kernel_size, halves[0].shape[-1]
        shape = 2, own.rows.n_padded, width, own.n_channels, pairs, n_images
        spread = arena.empty(shape, halves[0].dtype)
        for half in (0, 1):
            for tap in range(width):
                place, parity = divmod(half + tap, 2)
                seen = padded[parity][:, :, place : place + pairs]
                arena.call(np.copyto, spread[half, :, tap], seen)
        return windows(spread.reshape(*shape[:2], -1, pairs, n_images), own.rows)

    def _products(
        self, seen: FloatArray, kernels: FloatArray, arena: Arena
    ) -> FloatArray:
        """Return even and odd outputs (2, rows, filters, pairs, n_images)."""
        own, pairs = self.convolution, n_pairs(self.convolution)
        shape = 2, own.rows.n_out, own.n_filters, pairs, seen.shape[-1] // pairs
        outputs = arena.empty(shape, seen.dtype)
        arena.call(np.matmul, kernels, seen, out=outputs.reshape(*shape[:3], -1))
        return outputs
