"""How often a decision stays the same when an image moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sktie._typing import Array
from sktie._validation import is_frame
from sktie.neural_network._images import full_shape, guess_shape, with_border


def shift_invariance(
    estimator: Any,
    X: Any,
    max_shift: int,
    *,
    image_shape: Any = None,
    fill: Any = None,
) -> Bunch:
    """Measure how often decisions stay the same when images move.

    Parameters
    ----------
    estimator : classifier
        A fitted classifier that takes images.
    X : array-like of shape (n_samples, n_features) or (n_samples, ``*image_shape``)
        Images or signals, in the form that ``predict`` takes.
    max_shift : int
        How many pixels images move at most, up and down and to the left and right,
        smaller than the image. Signals move along their one axis.
    image_shape : tuple of int or None, default=None
        ``(height, width)``, ``(height, width, channels)``, ``(length,)`` or ``(length,
        channels)`` of what a row of X holds. None: the estimator's ``image_shape_``, if
        it has one, else the axes of X, or squares where that is possible.
    fill : float, array-like of shape (n_channels,) or None, default=None
        What comes in at the border. None: the estimator's ``margin_``, if it has one,
        else 0.

    Returns
    -------
    Bunch
        With the attributes

        ``unchanged`` : ndarray of shape (n_down, n_right)
            Share of the images whose class is that of the image in its place.
        ``down``, ``right`` : ndarray of shape (n_down,) and (n_right,)
            The shifts in pixels; negative ones are up and to the left.
        ``mean`` : float
            The mean over all shifts but that by no pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import SharedConvClassifier
    >>> from sktie.inspection import shift_invariance
    >>> X = np.zeros((20, 9, 9))
    >>> X[:10, 3:6, 4] = X[10:, 4, 3:6] = 1
    >>> y = np.repeat(["upright", "level"], 10)
    >>> model = SharedConvClassifier(
    ...     4, pool_size=1, global_pool="max", max_iter=50, random_state=0
    ... )
    >>> shift_invariance(model.fit(X, y), X, max_shift=2).mean
    1.0
    """
    check_is_fitted(estimator)
    pixels, shape, like_X = _read(estimator, X, image_shape)
    height, width, channels = shape
    _check_shift(max_shift, shape)
    fill = getattr(estimator, "margin_", 0) if fill is None else fill
    padded = with_border(pixels, int(max_shift), _channels(fill, channels))
    down = np.arange(-max_shift, max_shift + 1) if height > 1 else np.zeros(1, int)
    right = np.arange(-max_shift, max_shift + 1)
    still = np.asarray(estimator.predict(like_X(pixels)))
    unchanged = np.empty((len(down), len(right)))
    for i, rows in enumerate(down):
        for j, columns in enumerate(right):
            top = down[-1] - rows
            left = right[-1] - columns
            moved = padded[:, top : top + height, left : left + width]
            unchanged[i, j] = np.mean(estimator.predict(like_X(moved)) == still)
    away = np.logical_or.outer(down != 0, right != 0)
    return Bunch(
        unchanged=unchanged,
        down=down,
        right=right,
        mean=float(unchanged[away].mean()),
    )


def _read(
    estimator: Any, X: Any, image_shape: Any
) -> tuple[Array, tuple[int, int, int], Callable[[Array], Any]]:
    """Return pixels (n, height, width, channels), their shape, and the way back."""
    found = np.asarray(X)
    if found.ndim < 2 or not len(found):
        raise ValueError(
            f"X has the shape {found.shape}; expected images, (n_samples, n_features) "
            "or (n_samples, *image_shape). Put a single one into a list: [image]."
        )
    shape = _shape(estimator, found.shape[1:], image_shape)
    pixels = found.reshape(len(found), *shape)

    def like_X(moved: Array) -> Any:
        rows = moved.reshape(found.shape)
        if not is_frame(X):
            return rows
        if hasattr(X, "column_names"):  # a table of pyarrow
            return type(X).from_arrays(list(rows.T), names=X.column_names)
        names = {"columns" if hasattr(X, "iloc") else "schema": list(X.columns)}
        return type(X)(rows, **names)

    return pixels, shape, like_X


def _shape(
    estimator: Any, axes: tuple[int, ...], image_shape: Any
) -> tuple[int, int, int]:
    n_features = math.prod(axes)
    if image_shape is None:
        image_shape = getattr(estimator, "image_shape_", None)
    if image_shape is not None:
        shape = full_shape(image_shape, None)
    else:
        shape = (
            full_shape(axes, None) if len(axes) > 1 else guess_shape(n_features, None)
        )
    if math.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={image_shape} has {math.prod(shape)} numbers, but an image "
            f"of X has {n_features}. Set image_shape to what a row of X holds."
        )
    return shape


def _check_shift(max_shift: Any, shape: tuple[int, int, int]) -> None:
    sides = [side for side in (shape[0], shape[1]) if side > 1]
    largest = min(sides, default=1) - 1
    whole = isinstance(max_shift, (int, np.integer))
    if isinstance(max_shift, bool) or not whole or not 1 <= max_shift <= largest:
        raise ValueError(
            f"max_shift={max_shift!r} for images of height {shape[0]} and width "
            f"{shape[1]}; expected a whole number from 1 to {largest}, by which "
            "something of the image stays in sight."
        )


def _channels(fill: Any, n_channels: int) -> Array:
    try:
        return np.broadcast_to(np.asarray(fill, dtype=np.float64), (n_channels,))
    except (TypeError, ValueError):
        raise ValueError(
            f"fill={fill!r}; expected a number, or one for each of the {n_channels} "
            "channels of the images."
        ) from None
