"""The objective of a network of convolutions, in tiles of images over threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, TypeAlias, TypeVar

import numpy as np

from sktie._loss import ClassLoss
from sktie._parallel import Workers
from sktie._typing import Array, FloatArray, IntArray
from sktie.neural_network._architecture import WHOLE, by_layer
from sktie.neural_network._images import Images
from sktie.neural_network._tied_array import TiedArray
from sktie.neural_network._trainer import share_right
from sktie.nn import Network, Parameters, Passes, Scratch

#: Rows by number, which can be sliced.
Rows = TypeVar("Rows", Array, range)
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
    loss : ClassLoss
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
    loss: ClassLoss
    network: Network
    arrays: tuple[TiedArray, ...]
    tile: int
    workers: Workers
    rng: np.random.Generator | None = None
    augment: Augment | None = None
    domain: IntArray | None = None
    _free: list[tuple[Passes, FloatArray]] = field(
        default_factory=list, init=False, repr=False
    )

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
        return [theta[part].reshape(shape) for part, shape in self._parts]

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

    def locate(self, parameters: Sequence[FloatArray], units: FloatArray) -> FloatArray:
        """Return the flat vector at which the parameters are these, or near to it.

        `TiedArray.locate` tells what their units are, two for every array.
        """
        triples = zip(self.arrays, parameters, units, strict=True)
        return self.join([array.locate(part, own) for array, part, own in triples])

    def __call__(
        self, theta: FloatArray, rows: Array | None
    ) -> tuple[float, FloatArray]:
        """Return value and gradient; from some of the rows, estimates of both."""
        parameters = self.split(self._flat)
        for part, found in zip(parameters, self.parameters(theta), strict=True):
            np.copyto(part, found)
        chosen = np.arange(len(self.y)) if rows is None else rows
        # Estimates are of the same sum.
        share = len(self.y) / len(chosen)
        noise = self.rng is not None and rows is not None
        lanes = self._lanes(chosen, noise)
        passed = self.workers.map(lambda lane: self._learn(*lane, share), lanes)
        value, flat = passed[0]
        for more, other in passed[1:]:
            value += more
            flat += other
        coordinates = self.split(theta.astype(self.images.dtype, copy=False))
        for k, (array, gradient) in enumerate(
            zip(self.arrays, self.split(flat), strict=True)
        ):
            extra, of_ties = array.penalty(coordinates[k], parameters[k])
            value += extra
            np.add(of_ties, array.pull_back(gradient), out=gradient)
        flat = flat.astype(theta.dtype, copy=False)
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
        return share_right(self, self.raw(theta))

    def contents(self) -> Iterator[Any]:
        """Yield all that the objective depends on but the estimator's parameters."""
        images, scale = self.images, self.images.scale
        yield images.shape, images.dtype.str, scale.offset, scale.scale, scale.margin
        yield from images.blocks()
        yield self.y, self.weight, self.domain
        yield [array.anchor for array in self.arrays]
        yield None if self.rng is None else self.rng.bit_generator.state

    @cached_property
    def total(self) -> float:
        """The sum of the weights."""
        return float(self.weight.sum(dtype=np.float64))

    @cached_property
    def _parts(self) -> list[tuple[slice, tuple[int, ...]]]:
        """Where the coordinates of every array are, and their shape."""
        shapes = [array.shape for array in self.arrays]
        ends = list(accumulate(map(math.prod, shapes), initial=0))
        return list(zip(map(slice, ends, ends[1:]), shapes, strict=True))

    @cached_property
    def _flat(self) -> FloatArray:
        """Weights and biases of all layers, where the passes find them."""
        size = sum(math.prod(array.shape) for array in self.arrays)
        return np.empty(size, self.images.dtype)

    def _lanes(self, rows: Array, noise: bool) -> list[tuple[list[Array], int | None]]:
        """Return lanes of tiles, each with a seed where there is noise."""
        tiles = even_tiles(rows, self.tile)
        size = -(-len(tiles) // N_LANES)
        lanes = [tiles[start : start + size] for start in range(0, len(tiles), size)]
        seeds: list[int | None] = [None] * len(lanes)
        if noise and self.rng is not None:
            seeds = self.rng.integers(2**63, size=len(lanes)).tolist()
        return list(zip(lanes, seeds, strict=True))

    def _learn(
        self, tiles: list[Array], seed: int | None, share: float
    ) -> tuple[float, FloatArray]:
        """Return loss and gradient of one lane."""
        passes, gradient = self._free.pop() if self._free else self._new_passes()
        rng = None if seed is None else np.random.default_rng(seed)
        passes.scratch.rng = rng
        gradient[:] = 0
        value = 0.0
        for tile in tiles:
            passes.scratch.domain = None if self.domain is None else self.domain[tile]
            one = passes.over(len(tile))
            self._read(tile, rng, one.X)
            one.forward()
            weight = self.weight[tile] * self.weight.dtype.type(share)
            loss, residual = self.loss.value_gradient(self.y[tile], one.out.T, weight)
            value += loss
            np.copyto(one.gradient, residual.T)
            one.backward()
        found = gradient.copy()
        self._free.append((passes, gradient))
        return value, found

    def _new_passes(self) -> tuple[Passes, FloatArray]:
        """Return passes for one thread, and where they add the gradients."""
        gradient = np.empty_like(self._flat)
        parameters, gradients = (
            by_layer(self.network, self.split(flat)) for flat in (self._flat, gradient)
        )
        images = self.images
        passes = Passes(
            self.network,
            images.tile_shape,
            parameters,
            images.dtype,
            Scratch(),
            gradients,
        )
        return passes, gradient

    def _read(
        self, rows: IntArray, rng: np.random.Generator | None, out: FloatArray
    ) -> None:
        if self.augment is None or rng is None:
            self.images.read(rows, out)
            return
        self.images.scaled(self.augment(self.images.raw(rows), rng), out)


def even_tiles(rows: Rows, most: int) -> list[Rows]:
    """Return rows in tiles of one size, an even number unless these get too small.

    Sizes are multiples of 16 where they can: rows of a matrix then begin where lines of
    the cache do, which BLAS is a third faster with.
    """
    n_tiles = -(-len(rows) // most)
    least = max(most // 4, WHOLE)
    if n_tiles % 2 and len(rows) >= least * (n_tiles + 1):
        n_tiles += 1
    size = -(-len(rows) // n_tiles)
    size = min(-(-size // WHOLE) * WHOLE, most)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


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
    free: list[Passes] = []

    def work(rows: range) -> None:
        passes = free.pop() if free else new_passes()
        place = slice(rows.start, rows.stop)
        one = passes.over(len(rows))
        images.read(place, one.X)
        passes.scratch.domain = None if domain is None else domain[place]
        one.forward()
        out[place] = np.moveaxis(one.out, -1, 0)
        free.append(passes)

    def new_passes() -> Passes:
        scratch = Scratch(learning=False)
        return Passes(network, images.tile_shape, parameters, images.dtype, scratch)

    workers.map(work, even_tiles(range(len(images)), tile))
    return out
