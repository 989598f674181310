"""The objective of a network of convolutions, in tiles of images over threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from sklearn.utils import gen_batches

from sktie._loss import Loss, most_probable
from sktie._parallel import Workers
from sktie._typing import Array, FloatArray, IntArray
from sktie.neural_network._architecture import WHOLE, by_layer
from sktie.neural_network._images import Images
from sktie.neural_network._locations import TiedArray
from sktie.nn import Network, Parameters, Scratch

#: Takes pixels (n, height, width, channels) and a generator, returns pixels like them.
Augment: TypeAlias = Callable[[Array, np.random.Generator], Array]

#: Lanes of work of one pass. Their number is fixed, so that the order in which
#: gradients are added up does not depend on the number of threads.
N_LANES = 16


@dataclass(frozen=True)
class ImageLoss:
    """``1/n (sum_i s_i loss_i + penalties of all layers)``, with n the sum of s.

    Attributes
    ----------
    images : Images
        Rows.
    y : ndarray of shape (n_samples,)
        Targets, as ``loss`` encodes them.
    weight : ndarray of shape (n_samples,)
        Positive weights s.
    loss : Loss
        The loss of the raw predictions.
    network : Network
        From images to raw predictions.
    arrays : tuple of TiedArray
        Weights and biases of every layer that has some, in turn.
    tile : int
        Images of a tile.
    workers : Workers
        Threads.
    rng : numpy.random.Generator or None, default=None
        Draws dropped units and augmented images for batches; None where neither is.
    augment : callable or None, default=None
        Changes the images of batches.
    domain : ndarray of shape (n_samples,) or None, default=None
        Number of each row's domain.
    """

    images: Images
    y: Array
    weight: FloatArray
    loss: Loss
    network: Network
    arrays: tuple[TiedArray, ...]
    tile: int
    workers: Workers
    rng: np.random.Generator | None = None
    augment: Augment | None = None
    domain: IntArray | None = None
    _free: list[Scratch] = field(default_factory=list, init=False, repr=False)

    def take(self, rows: Array) -> ImageLoss:
        """Return the objective of some of the rows."""
        return replace(
            self,
            images=self.images.take(rows),
            y=self.y[rows],
            weight=self.weight[rows],
            domain=None if self.domain is None else self.domain[rows],
        )

    def split(self, theta: FloatArray) -> list[FloatArray]:
        """Return the coordinates of every array of parameters."""
        ends = np.cumsum([math.prod(array.shape) for array in self.arrays])
        return [
            part.reshape(array.shape)
            for array, part in zip(self.arrays, np.split(theta, ends[:-1]), strict=True)
        ]

    def join(self, parts: Sequence[FloatArray]) -> FloatArray:
        """Return a flat vector of what `split` takes apart."""
        return np.concatenate([part.ravel() for part in parts])

    def parameters(self, theta: FloatArray) -> list[FloatArray]:
        """Return weights and biases of every layer that has some."""
        theta = theta.astype(self.images.dtype, copy=False)
        return [
            array.weights(part)
            for array, part in zip(self.arrays, self.split(theta), strict=True)
        ]

    def locate(self, parameters: Sequence[FloatArray]) -> FloatArray:
        """Return the flat vector at which the parameters are these."""
        pairs = zip(self.arrays, parameters, strict=True)
        return self.join([array.locate(part) for array, part in pairs])

    def __call__(
        self, theta: FloatArray, rows: Array | None
    ) -> tuple[float, FloatArray]:
        """Return value and gradient; from some of the rows, estimates of both."""
        parameters = self.parameters(theta)
        chosen = np.arange(len(self.y)) if rows is None else rows
        # Estimates are of the same sum.
        share = len(self.y) / len(chosen)
        noise = self.rng is not None and rows is not None
        passes = self._lanes(
            chosen,
            lambda lane, seed: self._learn(lane, seed, parameters, share),
            noise,
        )
        value, gradients = passes[0]
        for more, others in passes[1:]:
            value += more
            for own, other in zip(gradients, others, strict=True):
                own += other
        coordinates = self.split(theta.astype(self.images.dtype, copy=False))
        for k, (array, gradient) in enumerate(zip(self.arrays, gradients, strict=True)):
            extra, of_ties = array.penalty(coordinates[k], parameters[k])
            value += extra
            gradients[k] = of_ties + array.pull_back(gradient)
        flat = self.join(gradients).astype(theta.dtype, copy=False)
        flat /= flat.dtype.type(self.total)
        return value / self.total, flat

    def raw(self, theta: FloatArray) -> FloatArray:
        """Return the raw predictions of all rows, (n_samples, n_outputs)."""
        return predict_raw(
            self.network,
            by_layer(self.network, self.parameters(theta)),
            self.images,
            self.tile,
            self.workers,
            self.domain,
        )

    def accuracy(self, theta: FloatArray) -> float:
        """Return the weighted share of the rows that are classified right."""
        raw = self.loss.expand(self.raw(theta).T).T
        right = most_probable(raw) == self.loss.class_index(self.y)
        return float(self.weight @ right) / self.total

    @cached_property
    def total(self) -> float:
        """The sum of the weights."""
        return float(self.weight.sum(dtype=np.float64))

    def _lanes(self, rows: Array, work: Any, noise: bool) -> list[Any]:
        """Apply work to lanes of tiles, each with a seed where there is noise."""
        tiles = even_tiles(rows, self.tile)
        size = -(-len(tiles) // N_LANES)
        lanes = [tiles[part] for part in gen_batches(len(tiles), size)]
        seeds: list[Any] = [None] * len(lanes)
        if noise and self.rng is not None:
            seeds = self.rng.integers(2**63, size=len(lanes)).tolist()
        pairs = zip(lanes, seeds, strict=True)
        return self.workers.map(lambda pair: work(*pair), pairs)

    def _learn(
        self, tiles: list[Array], seed: int | None, parameters: Any, share: float
    ) -> tuple[float, list[FloatArray]]:
        """Return loss and gradient of one lane."""
        scratch = self._free.pop() if self._free else Scratch()
        rng = None if seed is None else np.random.default_rng(seed)
        own = replace(scratch, rng=rng)
        gradients = [np.zeros_like(part) for part in parameters]
        inputs, sums = (
            by_layer(self.network, arrays) for arrays in (parameters, gradients)
        )
        value = 0.0
        for tile in tiles:
            own.arena.clear()
            X = self._read(tile, own)
            of_tile = own.of(self.domain, tile)
            raw, backprop = self.network.forward(X, inputs, of_tile)
            weight = self.weight[tile] * self.weight.dtype.type(share)
            loss, residual = self.loss.value_gradient(self.y[tile], raw.T, weight)
            value += loss
            backprop(residual.T, sums)
        self._free.append(scratch)
        return value, gradients

    def _read(self, rows: IntArray, scratch: Scratch) -> FloatArray:
        if self.augment is None or scratch.rng is None:
            return self.images.tile(rows, scratch.arena)
        pixels = self.images.pixels[rows].reshape(-1, *self.images.shape)
        pixels = self.augment(pixels, scratch.rng)
        return self.images.scaled(pixels, scratch.arena)


def even_tiles(rows: Array, most: int) -> list[Array]:
    """Return rows in tiles of one size, an even number of them if they are many.

    Sizes are multiples of 16 where they can: rows of a matrix then begin where lines of
    the cache do, which BLAS is a third faster with.
    """
    n_tiles = -(-len(rows) // most)
    if n_tiles % 2 and len(rows) >= WHOLE * (n_tiles + 1):
        n_tiles += 1
    size = -(-len(rows) // n_tiles)
    size = min(-(-size // WHOLE) * WHOLE, most)
    return [rows[part] for part in gen_batches(len(rows), size)]


def predict_raw(
    network: Network,
    parameters: Sequence[Parameters],
    images: Images,
    tile: int,
    workers: Workers,
    domain: IntArray | None = None,
) -> FloatArray:
    """Return the outputs of a network, (n_samples, *shape of its last layer)."""
    shape = network.layers[-1].out_shape
    out = np.empty((len(images), *shape), images.dtype)
    free: list[Scratch] = []

    def work(rows: slice) -> None:
        scratch = free.pop() if free else Scratch(learning=False)
        for part in gen_batches(rows.stop - rows.start, tile):
            place = slice(rows.start + part.start, rows.start + part.stop)
            scratch.arena.clear()
            X = images.tile(place, scratch.arena)
            of_tile = scratch.of(domain, place)
            found, _ = network.forward(X, parameters, of_tile)
            out[place] = np.moveaxis(found, -1, 0)
        free.append(scratch)

    workers.map(work, list(gen_batches(len(images), 8 * tile)))
    return out
