"""Who sees whom: from a unit down to the pixels, and from a pixel up to the units.

Both axes of an image are independent: a unit sees a pixel where its row sees the
pixel's row and its column the pixel's column. So masks of one axis are enough, moved
from layer to layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sktie._typing import Array
from sktie._validation import as_array, checked_number
from sktie.inspection._fitted import fitted_network
from sktie.nn import Axis, ConvolutionLayer, Layer, Network

ROWS, COLUMNS = 0, 1


def receptive_field(estimator: Any, layer: int, unit: Any) -> Array:
    """Return the pixels that a unit of a layer sees: its links, followed down.

    Follows the links and not the weights, which may be zero. A unit of a layer that
    pools sees all that its window sees. Padding is left out.

    Parameters
    ----------
    estimator : SharedConvClassifier
        A fitted network.
    layer : int
        Number of the layer in ``coefs_``, from 0: convolutions, hidden layers, output.
    unit : tuple of int or int
        ``(row, column)`` among the pooled outputs of a convolution, or the position in
        a signal; the number of a unit of the layers after them.

    Returns
    -------
    ndarray of shape (height, width), dtype bool
        Whether the unit sees the pixel. Signals have height 1.

    See Also
    --------
    influence : The other direction.
    ReceptiveFieldDisplay : Draws it.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import SharedConvClassifier
    >>> from sktie.inspection import receptive_field
    >>> X = np.random.default_rng(0).normal(size=(20, 5))
    >>> y = np.arange(20) % 2
    >>> model = SharedConvClassifier(1, pool_size=1, image_shape=(5,), max_iter=1)
    >>> receptive_field(model.fit(X, y), layer=0, unit=2)
    array([[False,  True,  True,  True, False]])
    """
    network = fitted_network(estimator)
    convolutions, shape = _up_to(network, layer)
    masks = [np.ones(n, bool) for n in estimator.image_shape_[:2]]
    if convolutions:
        rows, _, columns = convolutions[-1].out_shape
        masks = [np.ones(rows, bool), np.ones(columns, bool)]
    place = _place("unit", unit, shape)
    if len(place) == 2:
        masks = [np.arange(n) == k for n, k in zip(shape, place, strict=True)]
    for convolution in reversed(convolutions):
        masks = [_seen(masks[which], convolution, which) for which in (ROWS, COLUMNS)]
    return np.logical_and.outer(*masks)


def influence(estimator: Any, pixel: Any, layer: int) -> Array:
    """Return the outputs of a layer that a pixel affects: its links, followed up.

    Follows the links and not the weights, which may be zero. A pixel affects a pooled
    output if it affects any in its window.

    Parameters
    ----------
    estimator : SharedConvClassifier
        A fitted network.
    pixel : tuple of int or int
        ``(row, column)``, or the position in a signal.
    layer : int
        Number of the layer in ``coefs_``, from 0: convolutions, hidden layers, output.

    Returns
    -------
    ndarray of shape (height, width) or (n_units,), dtype bool
        Whether the pixel affects the pooled output of a convolution, whatever the
        kernel, or the unit of a layer after them.

    See Also
    --------
    receptive_field : The other direction.

    Examples
    --------
    >>> import numpy as np
    >>> from sktie import SharedConvClassifier
    >>> from sktie.inspection import influence
    >>> X = np.random.default_rng(0).normal(size=(20, 5))
    >>> y = np.arange(20) % 3
    >>> model = SharedConvClassifier(1, pool_size=1, image_shape=(5,), max_iter=1)
    >>> influence(model.fit(X, y), pixel=0, layer=0)
    array([[ True,  True, False, False, False]])
    >>> influence(model, pixel=0, layer=1)
    array([ True,  True,  True])
    """
    network = fitted_network(estimator)
    convolutions, shape = _up_to(network, layer)
    height, width, _ = estimator.image_shape_
    place = _place("pixel", pixel, (height, width))
    masks = [np.arange(n) == k for n, k in zip((height, width), place, strict=True)]
    for convolution in convolutions:
        masks = [_moved(masks[which], convolution, which) for which in (ROWS, COLUMNS)]
    reached = np.logical_and.outer(*masks)
    return reached if len(shape) == 2 else np.full(shape, reached.any())


def _up_to(
    network: Network, layer: Any
) -> tuple[list[ConvolutionLayer], tuple[int, ...]]:
    """Return the convolutions up to a layer, and the shape of the layer's units."""
    layers: tuple[Layer, ...] = network.layers_with_weights
    what = "the layers with parameters"
    number = checked_number("layer", layer, len(layers), what)
    found = [own for own in layers[: number + 1] if isinstance(own, ConvolutionLayer)]
    shape = layers[number].out_shape
    return found, (shape[0], shape[2]) if len(shape) == 3 else shape


def _place(name: str, given: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a position in an array of this shape, checked."""
    place = np.atleast_1d(as_array(name, given))
    if len(shape) == 2 and shape[0] == 1 and place.shape == (1,):
        place = np.concatenate([np.zeros_like(place), place])
    whole = place.dtype.kind in "iu" and place.shape == (len(shape),)
    if not whole or (place < 0).any() or (place >= shape).any():
        last = tuple(n - 1 for n in shape)
        numbers = (
            f"(row, column) from (0, 0) to {last}"
            if len(shape) == 2 and shape[0] > 1
            else f"a number from 0 to {last[-1]}"
        )
        raise ValueError(f"{name}={given!r} does not exist. Use {numbers}.")
    return tuple(place.tolist())


def _axis(layer: ConvolutionLayer, which: int) -> tuple[Axis, int]:
    """Return what outputs see along an axis, and how many are pooled."""
    own = layer.convolution
    return (own.rows, own.columns)[which], layer.pool_size[which]


def _seen(units: Array, layer: ConvolutionLayer, which: int) -> Array:
    """Return the inputs that some of these units see, along one axis."""
    axis, pool = _axis(layer, which)
    outputs = np.repeat(units, pool)
    inputs = np.zeros(axis.n_in, bool)
    for tap in range(axis.kernel_size):
        to, source = axis.seen[tap]
        inputs[source] |= outputs[to]
    return inputs


def _moved(inputs: Array, layer: ConvolutionLayer, which: int) -> Array:
    """Return the units that see some of these inputs, along one axis."""
    axis, pool = _axis(layer, which)
    outputs = np.zeros(axis.n_out, bool)
    for tap in range(axis.kernel_size):
        to, source = axis.seen[tap]
        outputs[to] |= inputs[source]
    return np.asarray(outputs.reshape(-1, pool).any(axis=1))
