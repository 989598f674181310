"""Convolution with kernels of three columns, in two thirds of the multiplications.

Two neighbouring outputs of three taps take six products of a kernel and an input.
Winograd's minimal filtering F(2, 3) makes them of four products, of sums::

    m0 = (d0 - d2) g0               m1 = (d1 + d2) (g0 + g1 + g2) / 2
    m3 = (d1 - d3) g2               m2 = (d2 - d1) (g0 - g1 + g2) / 2
    y0 = m0 + m1 + m2               y1 = m1 - m2 - m3

with inputs d and taps g. Rows and channels are summed over inside the products, which
are products of matrices.

References
----------
A. Lavin, S. Gray, *Fast algorithms for convolutional neural networks*, CVPR 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from sktie._typing import FloatArray
from sktie.nn._arena import Arena
from sktie.nn._convolution import Convolution, windows
from sktie.nn._halves import (
    Halves,
    HalvesBackprop,
    columns_of,
    halves_of,
    n_pairs,
    seen_half,
    split_columns,
)

#: The sums of inputs, of two each.
SUMS = (
    (np.subtract, 0, 2),
    (np.add, 1, 2),
    (np.subtract, 2, 1),
    (np.subtract, 1, 3),
)
#: From the three taps to the factors of the four products.
TAPS = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
#: What the gradient in y1 is multiplied by in that of m3; all others need no sign.
SIGNS = np.array([1.0, 1.0, 1.0, -1.0])
#: Channels from which it is faster: with few, sums outweigh products.
FEWEST_CHANNELS = 8


def is_faster(convolution: Convolution) -> bool:
    """Whether it takes less time than `HalvedConvolution`, and is possible."""
    enough = convolution.n_channels >= FEWEST_CHANNELS
    return enough and convolution.columns.kernel_size == 3


@dataclass(frozen=True)
class Winograd:
    """Does what `HalvedConvolution` does.

    Attributes
    ----------
    convolution : Convolution
        What is computed. Its kernels have three columns.
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
        taps = self._taps(kernels)
        sums = self._sums(split_columns(X, arena), arena, fill)
        products = self._products(sums, taps.transpose(2, 0, 1, 3), arena)
        halves = products[0], products[3]
        self._combine(products, halves, arena)

        def backprop(
            gradient: Halves, of_kernels: FloatArray, wanted: bool
        ) -> FloatArray | None:
            of_inputs = None
            if wanted:
                of_inputs = arena.empty((*own.in_shape, X.shape[-1]), X.dtype)
                back = self._reverse
                dual = back._sums(gradient, arena, 0)
                turned = taps[:, ::-1, ::-1].transpose(2, 3, 1, 0)
                found = back._products(dual, turned, arena)
                back._combine(found, halves_of(of_inputs), arena)
            self._add_gradient(sums, gradient, self._taps(of_kernels), arena)
            return of_inputs

        return halves, backprop

    @cached_property
    def _reverse(self) -> Winograd:
        """From gradients in the outputs to gradients in the inputs."""
        return Winograd(self.convolution.reverse)

    def _taps(self, kernels: FloatArray) -> FloatArray:
        """Return the kernels (filters, rows, 3, channels)."""
        own = self.convolution
        return kernels.reshape(own.n_filters, own.rows.kernel_size, 3, own.n_channels)

    def _sums(
        self, halves: Halves, arena: Arena, fill: FloatArray | float
    ) -> FloatArray:
        """Return sums of inputs (4, padded rows, channels, pairs, n_images)."""
        own = self.convolution
        seen = [seen_half(halves, own, place) for place in range(4)]
        rows, n_images = own.rows, halves[0].shape[-1]
        shape = 4, rows.n_padded, own.n_channels, n_pairs(own), n_images
        sums = arena.empty(shape, halves[0].dtype)
        inner = slice(rows.before, min(rows.before + rows.n_in, rows.n_padded))
        for out, (function, *pair) in zip(sums, SUMS, strict=True):
            parts = [seen[place] for place in pair]
            padding = function(fill, fill)
            arena.constant(out[: inner.start], padding)
            arena.constant(out[inner.stop :], padding)
            ends = (end for _, (to, _) in parts for end in (to.start, to.stop))
            for start, stop in pairwise(sorted({0, shape[3], *ends})):
                to = out[inner, :, start:stop]
                found = [columns_of(part, start, stop) for part in parts]
                if all(columns is None for columns in found):
                    arena.constant(to, padding)
                    continue
                terms = [
                    fill if columns is None else columns[: len(to)] for columns in found
                ]
                arena.call(function, *terms, out=to)
        return sums

    def _products(self, sums: FloatArray, taps: FloatArray, arena: Arena) -> FloatArray:
        """Return products (4, rows, filters, pairs, n_images).

        Taps are (3, filters, rows, channels).
        """
        own, n_images = self.convolution, sums.shape[-1]
        ordered = arena.empty(taps.shape, taps.dtype)
        arena.call(np.copyto, ordered, taps)
        factors = arena.empty((4, *taps.shape[1:]), taps.dtype)
        flat = factors.reshape(4, -1)
        arena.call(np.matmul, TAPS.astype(taps.dtype), ordered.reshape(3, -1), out=flat)
        shape = 4, own.rows.n_out, own.n_filters, n_pairs(own), n_images
        products = arena.empty(shape, sums.dtype)
        arena.call(
            np.matmul,
            factors.reshape(4, 1, own.n_filters, -1),
            windows(sums, own.rows),
            out=products.reshape(*shape[:3], -1),
        )
        return products

    @staticmethod
    def _combine(products: FloatArray, out: Halves, arena: Arena) -> None:
        """Set even and odd outputs; what is in the products is lost."""
        m0, m1, m2, m3 = products
        n_odd = out[1].shape[2]
        arena.call(np.add, m0, m1, out=m0)
        arena.call(np.add, m0, m2, out=out[0])
        arena.call(np.subtract, m1, m2, out=m1)
        arena.call(np.subtract, m1[:, :, :n_odd], m3[:, :, :n_odd], out=out[1])

    def _add_gradient(
        self, sums: FloatArray, gradient: Halves, taps: FloatArray, arena: Arena
    ) -> None:
        """Add the gradient in the taps to them."""
        own = self.convolution
        n_rows, n_filters, pairs, n_images = gradient[0].shape
        # Filters last: BLAS is twice as fast, which pays for the copies.
        turned = arena.empty((4, n_rows, pairs * n_images, n_filters), sums.dtype)
        m0, m1, m2, m3 = turned
        for product, half in ((m0, gradient[0]), (m3, gradient[1])):
            matrices = half.reshape(n_rows, n_filters, -1)
            arena.call(np.copyto, product, matrices.swapaxes(-1, -2))
        arena.call(np.add, m0, m3, out=m1)
        arena.call(np.subtract, m0, m3, out=m2)
        n_taps = own.rows.kernel_size * own.n_channels
        rows = arena.empty((4, n_rows, n_taps, n_filters), sums.dtype)
        arena.call(np.matmul, windows(sums, own.rows), turned, out=rows)
        factors = arena.empty((4, n_taps * n_filters), sums.dtype)
        total = factors.reshape(4, n_taps, n_filters)
        arena.call(np.add.reduce, rows, axis=1, out=total)
        found = arena.empty((3, n_taps * n_filters), sums.dtype)
        signed = (SIGNS[:, np.newaxis] * TAPS).T.astype(sums.dtype)
        arena.call(np.matmul, signed, factors, out=found)
        shape = 3, own.rows.kernel_size, own.n_channels, n_filters
        arena.call(np.add, taps, found.reshape(shape).transpose(3, 1, 0, 2), out=taps)
