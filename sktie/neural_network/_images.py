"""Images: rows of numbers with a shape, read tile by tile on the scale of training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_X_y, gen_batches
from sklearn.utils.validation import validate_data

from sktie._typing import Array, FloatArray, IntArray
from sktie._validation import is_frame

#: Length in units of width from which two numbers are read as a signal's shape.
ELONGATED = 4
#: Numbers that the statistics of the pixels read at a time.
BLOCK_NUMBERS = 1 << 18


def read_images(
    estimator: Any,
    X: Any,
    image_shape: Any,
    signals: bool | None,
    *,
    cut: bool = False,
    **options: Any,
) -> tuple[Array, tuple[int, int, int], Any]:
    """Return the rows as numbers of any dtype, the shape of an image, and y if given.

    Parameters
    ----------
    estimator : estimator
        Who reads; its ``n_features_in_`` is set, or compared.
    X : array-like of shape (n_samples, n_features), or (n_samples, ``*image_shape``)
        Images.
    image_shape : tuple of int or None
        As the user gave it, or what `fit` saw.
    signals : bool or None
        Whether two numbers are length and channels, or height and width.
    cut : bool, default=False
        Whether X was cut from rows whose names and number of columns are checked.
    **options
        For ``validate_data``.
    """
    given: tuple[int, ...] | None = None
    if not is_frame(X) and not hasattr(X, "ndim"):
        X = check_array(X, dtype=None, ensure_2d=False, allow_nd=True)
    if not options.get("reset", True) and not cut:
        _check_many(estimator, X)
    if getattr(X, "ndim", 2) > 2:
        X = np.asarray(X)
        given = X.shape[1:]
        X = X.reshape(len(X), math.prod(given))
    if cut and "y" in options:
        checked = check_X_y(X, options["y"], estimator=estimator)
    elif cut:
        checked = check_array(X, estimator=estimator)
    else:
        checked = validate_data(
            estimator, X, dtype="numeric", ensure_all_finite=True, **options
        )
    X, y = checked if isinstance(checked, tuple) else (checked, None)
    n_features = X.shape[1]
    if image_shape is None and given is None:
        return X, guess_shape(n_features, signals), y
    shape = None if image_shape is None else full_shape(image_shape, signals)
    if given is not None:
        seen = full_shape(given, signals)
        if shape is not None and seen != shape and seen != (*shape[:2], 1):
            raise ValueError(
                f"X holds arrays of shape {given}, but image_shape is {image_shape}. "
                "Reshape X, or set image_shape to what it holds."
            )
        shape = seen if shape is None else shape
    assert shape is not None
    if math.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={image_shape} has {math.prod(shape)} numbers, but rows of X "
            f"have {n_features}. Set image_shape to (height, width), (height, width, "
            "channels), (length,) or (length, channels) of what a row holds."
        )
    return X, shape, y


def _check_many(estimator: Any, X: Any) -> None:
    """Check that images to predict are not a single one, without the axis of rows."""
    own = estimator.image_shape_
    given = tuple(X.shape)
    without = tuple(side for side in own if side > 1)
    if given not in (own, without) or len(given) < 2:
        return
    if math.prod(given[1:]) != estimator.n_features_in_:
        raise ValueError(
            f"X has the shape {given} of a single image; expected (n_samples, "
            "n_features) or (n_samples, *image_shape). Put it into a list: [image]."
        )


def guess_shape(n_features: int, signals: bool | None) -> tuple[int, int, int]:
    """Return a square where there is one, else a signal of one channel."""
    side = math.isqrt(n_features)
    square = side * side == n_features and not signals
    return (side, side, 1) if square else (1, n_features, 1)


def full_shape(shape: Any, signals: bool | None) -> tuple[int, int, int]:
    """Return (height, width, channels); signals have height 1."""
    try:
        numbers = tuple(int(number) for number in np.atleast_1d(shape))
        whole = numbers == tuple(np.atleast_1d(shape)) and min(numbers) >= 1
    except (TypeError, ValueError):
        numbers, whole = (), False
    if not whole or len(numbers) > 3:
        raise ValueError(
            f"image_shape={shape!r} is no shape of images; expected (height, width), "
            "(height, width, channels), (length,) or (length, channels), whole numbers "
            "of at least 1. Leave it None for square images."
        )
    if len(numbers) == 3:
        if signals and numbers[0] != 1:
            raise ValueError(
                f"signals=True, but image_shape={shape} has three numbers; expected "
                "(length,) or (length, channels). Set signals=None for images."
            )
        return numbers[0], numbers[1], numbers[2]
    if len(numbers) == 1:
        return 1, numbers[0], 1
    first, second = numbers
    if signals is None:
        signals = first > ELONGATED * second
    return (1, first, second) if signals else (first, second, 1)


def with_border(pixels: Array, shift: int, fill: Array) -> Array:
    """Return images with a border of the fill on all sides along which they move."""
    n, height, width, channels = pixels.shape
    down = shift if height > 1 else 0
    dtype = pixels.dtype
    if not np.array_equal(fill.astype(dtype), fill):
        dtype = np.result_type(dtype, fill.dtype)
    padded = np.empty((n, height + 2 * down, width + 2 * shift, channels), dtype)
    padded[...] = fill
    padded[:, down : down + height, shift : shift + width] = pixels
    return padded


@dataclass(frozen=True)
class Scale:
    """The scale on which a network sees pixels: ``(x - offset) / scale``.

    Attributes
    ----------
    offset, scale : ndarray of shape (n_channels,)
        Mean and standard deviation of the training pixels of each channel; a scale of
        1 where all are equal.
    margin : ndarray of shape (n_channels,)
        What images are padded with: 0, or what is nearest to 0 in the training pixels.
    """

    offset: FloatArray
    scale: FloatArray
    margin: FloatArray

    def check(self, dtype: str) -> None:
        """Check that pixels can be put on the scale in this dtype."""
        with np.errstate(over="ignore", under="ignore"):
            numbers = [self.offset.astype(dtype), (1 / self.scale).astype(dtype)]
        if np.isfinite(numbers).all() and (numbers[1] > 0).all():
            return
        raise ValueError(
            f"Pixels of mean {self.offset} and standard deviation {self.scale} are too "
            f"large or too small to be computed with in {dtype}. Multiply X by a "
            "number that makes them ordinary, or set dtype='float64'."
        )


def measure_scale(
    X: Array, index: IntArray, n_channels: int, weight: FloatArray
) -> Scale:
    """Return the scale of some rows with weights, without a copy of them all."""
    total = float(weight.sum(dtype=np.float64)) * (X.shape[1] // n_channels)
    low = np.full(n_channels, np.inf)
    high = -low
    sums = np.zeros(n_channels)
    blocks = list(gen_batches(len(index), max(BLOCK_NUMBERS // X.shape[1], 1)))
    for rows in blocks:
        block = _wide(X[index[rows]], n_channels)
        low = np.minimum(low, block.min(axis=(0, 1)))
        high = np.maximum(high, block.max(axis=(0, 1)))
        mass = weight[rows].astype(np.float64)
        sums += np.einsum("i,ijc->c", mass, block)
    offset = sums / total
    squares = np.zeros(n_channels)
    # A power of two, which rounds nothing, near to the largest deviations: without it
    # squares of very large or small pixels are infinite or 0.
    unit = np.ldexp(1.0, np.frexp(high - low)[1] - 1)
    for rows in blocks:
        deviation = (_wide(X[index[rows]], n_channels) - offset) / unit
        mass = weight[rows].astype(np.float64)
        squares += np.einsum("i,ijc,ijc->c", mass, deviation, deviation)
    scale = np.sqrt(squares / total) * unit
    # Rounding leaves a spread where there is none.
    scale[(low == high) | (scale == 0)] = 1.0
    offset = np.clip(offset, low, high)
    return Scale(offset, scale, np.clip(0.0, low, high))


def _wide(block: Array, n_channels: int) -> FloatArray:
    return block.astype(np.float64).reshape(len(block), -1, n_channels)


@dataclass(frozen=True)
class Images:
    """Rows that are images, with their scale.

    Attributes
    ----------
    pixels : ndarray of shape (n_rows, n_features)
        Numbers of any dtype, ordered by row, column, channel.
    shape : tuple of int
        Height, width and channels.
    scale : Scale
        Their scale.
    dtype : dtype
        What is computed in.
    index : ndarray of shape (n_samples,) or None, default=None
        Which of the rows the images are, and in which order; None for all.
    """

    pixels: Array
    shape: tuple[int, int, int]
    scale: Scale
    dtype: Any
    index: IntArray | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.pixels if self.index is None else self.index)

    def take(self, rows: Array) -> Images:
        """Return some of the images, without a copy of their pixels."""
        return replace(self, index=rows if self.index is None else self.index[rows])

    def raw(self, rows: Any) -> Array:
        """Return pixels of some images (n_images, height, width, channels)."""
        chosen = rows if self.index is None else self.index[rows]
        return np.asarray(self.pixels[chosen]).reshape(-1, *self.shape)

    def blocks(self) -> Iterator[Array]:
        """Yield pixels of all images, some at a time."""
        size = max(BLOCK_NUMBERS // math.prod(self.shape), 1)
        for start in range(0, len(self), size):
            yield self.raw(np.arange(start, min(start + size, len(self))))

    def read(self, rows: Any, out: FloatArray) -> None:
        """Put some images on their scale into (height, channels, width, n_images)."""
        self.scaled(self.raw(rows), out)

    def scaled(self, pixels: Array, out: FloatArray) -> None:
        """Put pixels (n_images, height, width, channels) there so."""
        # Every dtype takes the same way: equal values stay equal.
        np.copyto(out, pixels.transpose(1, 3, 2, 0), casting="unsafe")
        out -= self._offset
        out *= self._unit

    @property
    def fill(self) -> FloatArray:
        """The margin on this scale, (channels, 1, 1)."""
        # Computed as pixels are, so that a margin of the image is equal to it.
        margin = self._column(self.scale.margin) - self._offset
        return np.asarray(margin * self._unit)

    @property
    def tile_shape(self) -> tuple[int, int, int]:
        """Shape of an image in a tile: height, channels, width."""
        height, width, channels = self.shape
        return height, channels, width

    @cached_property
    def _offset(self) -> FloatArray:
        return self._column(self.scale.offset)

    @cached_property
    def _unit(self) -> FloatArray:
        return self._column(1 / self.scale.scale)

    def _column(self, values: FloatArray) -> FloatArray:
        return values.astype(self.dtype)[:, np.newaxis, np.newaxis]
