"""Convolution: the same kernel, or a kernel of its own, at every location of an image.

Like everywhere in this field, "convolution" is the cross-correlation: kernels are not
flipped. Images of a batch are arrays (rows, channels, columns, images), the images
last: what a kernel sees of a row of outputs is then a matrix in memory already, but
for shifts by a column, and every pass over an array runs along its memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from sktie._typing import FloatArray
from sktie.nn._arena import Arena

#: Takes the gradient in the outputs, and where to add the gradient in the kernels;
#: returns the gradient in the inputs, or None where it is not wanted.
KernelBackprop: TypeAlias = Callable[
    [FloatArray, FloatArray, bool], "FloatArray | None"
]


@dataclass(frozen=True)
class Axis:
    """How outputs along one axis see the inputs.

    Attributes
    ----------
    n_in, kernel_size, stride : int
        Inputs, inputs that an output sees, and inputs from one output to the next.
    padding : {"same", "valid"} or int
        ``"same"`` gives ``ceil(n_in / stride)`` outputs and pads with zeros, the odd
        one at the end; ``"valid"`` gives outputs that see inputs alone. A number is
        that of the zeros before the first input.
    n_out : int
        Outputs that are computed, at most as many as there are.
    """

    n_in: int
    kernel_size: int
    stride: int
    padding: str | int
    n_out: int

    @staticmethod
    def outputs(n_in: int, kernel_size: int, stride: int, padding: str) -> int:
        """Return how many outputs there are."""
        if padding == "same":
            return -(-n_in // stride)
        return (n_in - kernel_size) // stride + 1

    @cached_property
    def before(self) -> int:
        """Zeros before the first input."""
        if isinstance(self.padding, int):
            return self.padding
        if self.padding == "valid":
            return 0
        n_out = -(-self.n_in // self.stride)
        return max((n_out - 1) * self.stride + self.kernel_size - self.n_in, 0) // 2

    @property
    def n_padded(self) -> int:
        """Inputs and zeros that the outputs see."""
        return (self.n_out - 1) * self.stride + self.kernel_size

    @cached_property
    def seen(self) -> list[tuple[slice, slice]]:
        """For every tap, the outputs whose tap is an input, and these inputs."""
        return [self._seen(tap) for tap in range(self.kernel_size)]

    @property
    def reverse(self) -> Axis:
        """How inputs see the outputs that see them; with a stride of 1."""
        ahead = self.kernel_size - 1 - self.before
        return Axis(self.n_out, self.kernel_size, 1, ahead, self.n_in)

    def _seen(self, tap: int) -> tuple[slice, slice]:
        shift = tap - self.before
        first = max(-(shift // self.stride), 0)
        last = min((self.n_in - 1 - shift) // self.stride + 1, self.n_out)
        last = max(last, first)
        start = first * self.stride + shift
        stop = start + (last - first - 1) * self.stride + 1 if last > first else start
        return slice(first, last), slice(start, stop, self.stride)


@dataclass(frozen=True)
class Convolution:
    """Correlates images with kernels.

    Attributes
    ----------
    rows, columns : Axis
        What outputs see along both axes.
    n_channels, n_filters : int
        Channels of the inputs and of the outputs.

    Notes
    -----
    Kernels are arrays (n_filters, n_taps), or (rows, columns, n_filters, n_taps) with
    one for every location of the output; taps are ordered by row, column, channel.

    `unfold` U and `fold` U' are adjoint to one another; with them the outputs are
    ``Y = K U(X)``, and the gradients ``dK = dY U(X)'`` and ``dX = U'(K' dY)``. With a
    stride of 1 and shared kernels the last is a convolution of dY with the kernels
    flipped, which takes less memory and time.
    """

    rows: Axis
    columns: Axis
    n_channels: int
    n_filters: int

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """Shape of an image: rows, channels, columns."""
        return self.rows.n_in, self.n_channels, self.columns.n_in

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """Shape of the outputs of an image: rows, filters, columns."""
        return self.rows.n_out, self.n_filters, self.columns.n_out

    @property
    def n_locations(self) -> int:
        """Locations that a kernel visits."""
        return self.rows.n_out * self.columns.n_out

    @property
    def n_taps(self) -> int:
        """Inputs that an output sees."""
        return self.rows.kernel_size * self.columns.kernel_size * self.n_channels

    def unfold(
        self, X: FloatArray, arena: Arena, fill: FloatArray | float = 0
    ) -> FloatArray:
        """Return the images, shifted for every column of the kernel, and padded.

        Parameters
        ----------
        X : ndarray of shape (rows, channels, columns, n_images)
            Images.
        arena : Arena
            Where the result lies.
        fill : float or ndarray of shape (channels, 1, 1), default=0
            What images are padded with.

        Returns
        -------
        ndarray of shape (padded rows, kernel columns, channels, out columns, n_images)
            The kernel's view of a row of outputs is the rows that it covers.
        """
        rows, columns = self.rows, self.columns
        width = columns.kernel_size
        shape = (rows.n_padded, width, self.n_channels, columns.n_out, X.shape[-1])
        out = arena.empty(shape, X.dtype)
        for tap, seen in enumerate(columns.seen):
            pad(X, out[:, tap], rows, seen, arena, fill)
        return out

    def fold(self, patches: FloatArray, arena: Arena) -> FloatArray:
        """Return the images whose pixels are the sums of all taps that saw them.

        Parameters
        ----------
        patches : ndarray of shape \
                (out rows, kernel rows, kernel columns, channels, out columns, n_images)
            One number for every tap of every output.
        arena : Arena
            Where the result lies.

        Returns
        -------
        ndarray of shape (rows, channels, columns, n_images)
            The adjoint of `unfold`, padding left out, and of its windows.
        """
        out = arena.empty((*self.in_shape, patches.shape[-1]), patches.dtype)
        arena.call(out.fill, 0)
        for i, (to_row, row) in enumerate(self.rows.seen):
            for j, (to_column, column) in enumerate(self.columns.seen):
                part = out[row, :, column]
                arena.call(np.add, part, patches[to_row, i, j, :, to_column], out=part)
        return out

    def windows(self, unfolded: FloatArray, shared: bool) -> FloatArray:
        """Return what the kernel sees, without a copy.

        Returns
        -------
        ndarray of shape (rows, n_taps, columns * n_images) where ``shared``, else of \
                shape (rows, columns, n_taps, n_images)
            A matrix for every row of outputs, or for every output.
        """
        n_columns, n_images = unfolded.shape[-2:]
        spread = unfolded.reshape(1, len(unfolded), -1, n_columns, n_images)
        found: FloatArray = windows(spread, self.rows)[0]
        if shared:
            return found
        each = found.reshape(*found.shape[:2], n_columns, n_images)
        return each.swapaxes(1, 2)

    def forward(
        self,
        X: FloatArray,
        kernels: FloatArray,
        arena: Arena,
        fill: FloatArray | float = 0,
    ) -> tuple[FloatArray, KernelBackprop]:
        """Return the outputs (rows, filters, columns, n_images), and the way back."""
        shared, n_images = kernels.ndim == 2, X.shape[-1]
        windows = self.windows(self.unfold(X, arena, fill), shared)
        n_rows, n_filters, n_columns = self.out_shape
        Y = arena.empty((n_rows, n_filters, n_columns, n_images), X.dtype)
        arena.call(np.matmul, kernels, windows, out=self._matrices(Y, shared))

        def backprop(
            gradient: FloatArray, of_kernels: FloatArray, wanted: bool
        ) -> FloatArray | None:
            matrices = self._matrices(gradient, shared)
            # This way round BLAS is a third faster than with the kernels first.
            shape = (*matrices.shape[:-2], self.n_taps, n_filters)
            each = arena.empty(shape, X.dtype)
            arena.call(np.matmul, windows, matrices.swapaxes(-1, -2), out=each)
            if shared:
                rows, each = each, arena.empty(shape[-2:], X.dtype)
                arena.call(np.add.reduce, rows, axis=0, out=each)
            turned = each.swapaxes(-1, -2)
            arena.call(np.add, of_kernels, turned, out=of_kernels)
            if not wanted:
                return None
            if shared and self.rows.stride == self.columns.stride == 1:
                flipped = self.flip(kernels, arena)
                return self.reverse.forward(gradient, flipped, arena)[0]
            taps = self.rows.kernel_size, self.columns.kernel_size, self.n_channels
            patches = arena.empty((n_rows, *taps, n_columns, n_images), X.dtype)
            flat = patches.reshape(n_rows, self.n_taps, n_columns, n_images)
            back = kernels.swapaxes(-1, -2)
            arena.call(np.matmul, back, matrices, out=self._matrices(flat, shared))
            return self.fold(patches, arena)

        return Y, backprop

    @cached_property
    def reverse(self) -> Convolution:
        """From gradients in outputs to those in inputs; for a stride of 1."""
        axes = self.rows.reverse, self.columns.reverse
        return Convolution(*axes, n_channels=self.n_filters, n_filters=self.n_channels)

    def flip(self, kernels: FloatArray, arena: Arena) -> FloatArray:
        """Return the kernels of `reverse`: turned around, filters for channels."""
        taps = self.rows.kernel_size, self.columns.kernel_size, self.n_channels
        turned = kernels.reshape(self.n_filters, *taps)[:, ::-1, ::-1]
        turned = turned.transpose(3, 1, 2, 0)
        flipped = arena.empty(turned.shape, kernels.dtype)
        arena.call(np.copyto, flipped, turned)
        return flipped.reshape(self.n_channels, -1)

    @staticmethod
    def _matrices(Y: FloatArray, shared: bool) -> FloatArray:
        """Return a matrix for every row, or for every location, of outputs."""
        if shared:
            return Y.reshape(*Y.shape[:2], -1)
        return Y.swapaxes(1, 2)


def pad(
    X: FloatArray,
    out: FloatArray,
    rows: Axis,
    columns: tuple[slice, slice],
    arena: Arena,
    fill: FloatArray | float,
) -> None:
    """Put what is seen of X, by all rows and by some columns, among padding.

    Parameters
    ----------
    X : ndarray of shape (rows, channels, columns, n_images)
        Images.
    out : ndarray of shape (padded rows, channels, columns, n_images)
        Where they go.
    rows : Axis
        Along the rows.
    columns : tuple of slice
        Columns of ``out`` that are some of X, and these.
    arena : Arena
        Where ``out`` lies.
    fill : float or ndarray of shape (channels, 1, 1)
        What is put around them.
    """
    to, source = columns
    inner = slice(rows.before, min(rows.before + rows.n_in, rows.n_padded))
    arena.constant(out[: inner.start], fill)
    arena.constant(out[inner.stop :], fill)
    arena.constant(out[inner, :, : to.start], fill)
    arena.constant(out[inner, :, to.stop :], fill)
    seen = X[: inner.stop - inner.start, :, source]
    arena.call(np.copyto, out[inner, :, to], seen)


def windows(spread: FloatArray, rows: Axis) -> FloatArray:
    """Return what the kernels see, without a copy.

    Parameters
    ----------
    spread : ndarray of shape (parts, padded rows, taps of a row, pairs, n_images)
        What they see of every row.
    rows : Axis
        Along the rows.

    Returns
    -------
    ndarray of shape (parts, rows, taps, pairs * n_images)
        A matrix for every row of outputs.
    """
    n_parts, _, n_taps, pairs, n_images = spread.shape
    each, down, tap, _, step = spread.strides
    # What as_strided does, which takes ten times as long to set up.
    found: FloatArray = np.ndarray(
        (n_parts, rows.n_out, rows.kernel_size * n_taps, pairs * n_images),
        spread.dtype,
        spread,
        0,
        (each, rows.stride * down, tap, step),
    )
    found.flags.writeable = False
    return found
