"""Convolution whose even and odd columns of outputs are arrays of their own.

Pooling by two compares even columns with odd ones: apart, each lies in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
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


def split_columns(X: FloatArray, arena: Arena) -> Halves:
    """Return copies of even and odd columns, each in one piece."""
    halves = []
    for half in halves_of(X):
        halves.append(arena.empty(half.shape, half.dtype))
        arena.call(np.copyto, halves[-1], half)
    return halves


def n_pairs(convolution: Convolution) -> int:
    """Return how many pairs of columns of outputs there are; one may be a single."""
    return -(-convolution.columns.n_out // 2)


def seen_half(
    halves: Halves, convolution: Convolution, place: int
) -> tuple[FloatArray, tuple[slice, slice]]:
    """Return the columns ``2 q + place`` of what the kernels see, padding not counted.

    Outputs 2 q and 2 q + 1 see them by their taps ``place`` and ``place - 1``.

    Returns
    -------
    half : ndarray of shape (rows, channels, columns, n_images)
        Even or odd columns of the inputs.
    seen : tuple of slice
        The q for which such a column is there, and these columns of the half.
    """
    which = place - convolution.columns.before
    half = halves[which % 2]
    return half, _seen(half.shape[2], -(which // 2), n_pairs(convolution))


@lru_cache(1 << 10)
def _seen(n_in: int, before: int, n_out: int) -> tuple[slice, slice]:
    """Return the outputs that are an input each, and these inputs."""
    (found,) = Axis(n_in, 1, 1, before, n_out).seen
    return found


def columns_of(
    part: tuple[FloatArray, tuple[slice, slice]], start: int, stop: int
) -> FloatArray | None:
    """Return the columns of what `seen_half` found for some q, None for padding."""
    half, (to, source) = part
    if not to.start <= start < to.stop:
        return None
    first = source.start + start - to.start
    columns: FloatArray = half[:, :, first : first + stop - start]
    return columns


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
        seen = self._windows(split_columns(X, arena), arena, fill)
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
        width, n_images = own.columns.kernel_size, halves[0].shape[-1]
        shape = 2, own.rows.n_padded, width, own.n_channels, pairs, n_images
        spread = arena.empty(shape, halves[0].dtype)
        for half in (0, 1):
            for tap in range(width):
                X, seen = seen_half(halves, own, half + tap)
                pad(X, spread[half, :, tap], own.rows, seen, arena, fill)
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
