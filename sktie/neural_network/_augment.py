"""Images changed at random in training, in ways that leave their class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sktie._typing import Array, FloatArray
from sktie.neural_network._images import with_border

#: Axes of pixels (n, height, width, channels) that are turned around.
FLIPS = {"horizontal": (2,), "vertical": (1,), "both": (1, 2)}


def as_augment(
    augment: Any, margin: FloatArray
) -> Callable[[Array, np.random.Generator], Array] | None:
    """Return the function that changes images, or None.

    Parameters
    ----------
    augment : dict, callable or None
        As the user gave it.
    margin : ndarray of shape (n_channels,)
        What comes in at the border.
    """
    if augment is None:
        return None
    if callable(augment):
        return lambda pixels, rng: _checked(augment(pixels, rng), pixels)
    unknown = sorted(set(augment) - {"shift", "flip"})
    shift, flip = augment.get("shift", 0), augment.get("flip")
    whole = isinstance(shift, (int, np.integer)) and not isinstance(shift, bool)
    if unknown or not whole or shift < 0 or flip not in (None, *FLIPS):
        raise ValueError(
            f"augment={augment!r}; expected 'shift', a whole number of pixels of at "
            f"least 0, and 'flip', one of {tuple(FLIPS)} or None, and no other keys. "
            "For anything else pass a callable."
        )

    def change(pixels: Array, rng: np.random.Generator) -> Array:
        if flip is not None:
            pixels = _flipped(pixels, FLIPS[flip], rng)
        return _shifted(pixels, int(shift), margin, rng) if shift else pixels

    return change


def _checked(changed: Any, pixels: Array) -> Array:
    found = np.asarray(changed)
    if found.shape != pixels.shape:
        raise ValueError(
            f"augment returned an array of shape {found.shape} for pixels of shape "
            f"{pixels.shape}; expected the same. Return as many images of that shape."
        )
    return found


def _flipped(pixels: Array, axes: tuple[int, ...], rng: np.random.Generator) -> Array:
    out = pixels.copy()
    for axis in axes:
        chosen = rng.random(len(out)) < 0.5
        out[chosen] = np.flip(out[chosen], axis)
    return out


def _shifted(
    pixels: Array, shift: int, margin: FloatArray, rng: np.random.Generator
) -> Array:
    """Return images moved by up to ``shift`` pixels in each direction."""
    n, height, width, _ = pixels.shape
    padded = with_border(pixels, shift, margin.astype(pixels.dtype))
    down = (padded.shape[1] - height) // 2
    places = sliding_window_view(padded, (height, width), axis=(1, 2))
    row = rng.integers(2 * down + 1, size=n)
    column = rng.integers(2 * shift + 1, size=n)
    return np.asarray(places[np.arange(n), row, column].transpose(0, 2, 3, 1))
