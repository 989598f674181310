"""Pooling: the largest output of every window of locations."""

from __future__ import annotations

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
    """Pool along one axis, by a running maximum over the places in the window."""
    if size == 1:
        return Y, lambda gradient: gradient
    places = [
        Y[(slice(None),) * axis + (slice(start, None, size),)] for start in range(size)
    ]
    shape = places[0].shape
    out = arena.empty(shape, Y.dtype)
    larger: list[Array] = []
    for k, place in enumerate(places[1:]):
        so_far = places[0] if k == 0 else out
        if learning:
            larger.append(arena.empty(shape, bool))
            arena.call(np.greater, place, so_far, out=larger[k])
        arena.call(np.maximum, place, so_far, out=out)

    def backprop(gradient: FloatArray) -> FloatArray:
        # In place of Y: what is needed of it is in `larger`, and it is still cached.
        for k in range(size - 1, 0, -1):
            arena.call(np.multiply, gradient, larger[k - 1], out=places[k])
            rest = gradient if k > 1 else places[0]
            arena.call(np.subtract, gradient, places[k], out=rest)
        return Y

    return out, backprop
