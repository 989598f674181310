"""Pooling: the largest output of every window of locations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sktie._typing import Array, FloatArray
from sktie.nn._activation import Backprop
from sktie.nn._arena import Arena


def max_pool(
    Y: FloatArray, size: tuple[int, int], arena: Arena, learning: bool = True
) -> tuple[FloatArray, Backprop]:
    """Return the maxima of windows side by side, and the way back.

    Parameters
    ----------
    Y : ndarray of shape (rows, channels, columns, n_images)
        Rows and columns are multiples of the size.
    size : tuple of int
        Rows and columns of a window.
    arena : Arena
        Where the results lie.
    learning : bool, default=True
        Whether the way back will be gone.

    Notes
    -----
    The way back overwrites Y. Of equal values one counts as the largest, so that the
    gradient has one place to go: the first column that holds it, and there the first
    row.
    """
    out, down = _along(Y, 0, size[0], arena, learning)
    out, across = _along(out, 2, size[1], arena, learning)
    return out, lambda gradient: down(across(gradient))


def _along(
    Y: FloatArray, axis: int, size: int, arena: Arena, learning: bool
) -> tuple[FloatArray, Backprop]:
    """Pool along one axis."""
    if size == 1:
        return Y, lambda gradient: gradient
    before = (slice(None),) * axis
    places = [Y[(*before, slice(start, None, size))] for start in range(size)]
    out, back = largest(places, arena, learning)

    def backprop(gradient: FloatArray) -> FloatArray:
        back(gradient)
        return Y

    return out, backprop


def largest(
    places: Sequence[FloatArray], arena: Arena, learning: bool
) -> tuple[FloatArray, Callable[[FloatArray], None]]:
    """Return the largest of two arrays or more, entry by entry, and the way back.

    The way back overwrites the arrays with the gradients in them: what is needed of
    them is known by then, and they may still be cached.
    """
    shape = places[0].shape
    out = arena.empty(shape, places[0].dtype)
    larger: list[Array] = []
    for k, place in enumerate(places[1:]):
        so_far = places[0] if k == 0 else out
        if learning:
            larger.append(arena.empty(shape, bool))
            arena.call(np.greater, place, so_far, out=larger[k])
        arena.call(np.maximum, place, so_far, out=out)

    def backprop(gradient: FloatArray) -> None:
        for k in range(len(places) - 1, 0, -1):
            arena.call(np.multiply, gradient, larger[k - 1], out=places[k])
            rest = gradient if k > 1 else places[0]
            arena.call(np.subtract, gradient, places[k], out=rest)

    return out, backprop
