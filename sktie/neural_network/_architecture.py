"""Layers of a network of convolutions: from parameters to a plan, from it to a network.

The plan is what a fitted model keeps: a list of dicts, one for each layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from sktie._typing import FloatArray
from sktie._validation import checked_number
from sktie.neural_network._tied_array import TiedArray
from sktie.nn import (
    Axis,
    ConnectedLayer,
    Convolution,
    ConvolutionLayer,
    DomainHeads,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    Network,
    Parameters,
)

Plan: TypeAlias = list[dict[str, Any]]
#: Numbers of one layer's kernels that no memory should be asked for.
MOST_NUMBERS = 1 << 31
#: Images that a tile has a multiple of.
WHOLE = 16
#: Bytes that a pass over a tile may work with. Smaller tiles fit into the caches; but
#: then Python's part in every call weighs more, for which threads wait for one another.
TILE_BYTES = 1 << 22
#: Images of a tile at most.
MOST_IMAGES = 256


def plan_layers(
    parameters: dict[str, Any], dropped: float, n_domains: int | None = None
) -> Plan:
    """Return the plan of the layers from the parameters of an estimator.

    A share of the inputs of hidden layers and output is dropped in training. With
    domains each has an output layer, which ``tie_pair`` ties to those of others.
    """
    filters = _as_tuple("filters", parameters["filters"])
    columns = {
        name: _one_each(name, parameters[name], len(filters)) for name in PER_LAYER
    }
    maps: Plan = []
    for k, n_filters in enumerate(filters):
        layer = {"kind": "convolution", "filters": n_filters}
        layer |= {name: column[k] for name, column in columns.items()}
        if layer["bias"] == "auto":
            layer["bias"] = "shared" if layer["tie"] == np.inf else "location"
        maps.append(layer)
    if parameters["global_pool"]:
        how = parameters["global_pool"]
        maps.append({"kind": "global_pool", "how": how if how == "max" else "mean"})
    activation = parameters["activation"]
    if not isinstance(activation, str):  # one for each convolution
        activation = columns["activation"][-1] if filters else "relu"
    sizes = _as_tuple("hidden_layer_sizes", parameters["hidden_layer_sizes"])
    flat: Plan = [
        {"kind": "dense", "units": n_units, "activation": activation}
        for n_units in sizes
    ]
    flat.append({"kind": "output"} | _heads(parameters["tie_pair"], n_domains))
    if dropped > 0:
        silenced = {"kind": "dropout", "share": dropped}
        flat = [part for one in flat for part in (silenced, one)]
    return maps + flat


def _heads(tie_pair: Any, n_domains: int | None) -> dict[str, Any]:
    """Return how many output layers there are and how they are tied, with domains."""
    if n_domains is None:
        return {}
    if not isinstance(tie_pair, Real):
        raise ValueError(
            f"tie_pair={tie_pair!r} has a strength for each layer, but domains share "
            "all layers and tie the output layer alone; expected one strength from 0 "
            "to inf. Give it a number, such as tie_pair=1.0."
        )
    tie = float(tie_pair)
    # Twice the strength is what holds heads to their mean.
    return {"domains": n_domains, "tie": tie if 2 * tie < np.inf else np.inf}


def _as_tuple(name: str, value: Any) -> tuple[int, ...]:
    """Return counts as a tuple."""
    values = value if isinstance(value, (tuple, list, np.ndarray)) else (value,)
    numbers = tuple(values) if np.ndim(values) else (values,)
    if not all(_is_count(number) for number in numbers):
        raise ValueError(
            f"{name}={value!r}; expected a tuple of whole numbers of at least 1, one "
            f"for each layer. Leave it empty, {name}=(), for none."
        )
    return tuple(int(number) for number in numbers)


def _is_count(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return False
    return isinstance(value, (int, np.integer)) and int(value) >= 1


def _one_each(name: str, value: Any, n_layers: int) -> list[Any]:
    """Return one value for each layer."""
    if isinstance(value, (tuple, list, np.ndarray)):
        values = list(value)
        if len(values) != n_layers:
            raise ValueError(
                f"{name}={value!r} has {len(values)} values, but filters has "
                f"{n_layers}; expected one value for all layers, or one for each."
            )
    else:
        values = [value] * n_layers
    accepts, expected = PER_LAYER[name]
    for each in values:
        if not np.isscalar(each) or not accepts(each):
            raise ValueError(
                f"{name}={value!r}; expected {expected} for all layers, or a "
                "tuple with one for each."
            )
    if name == "tie":
        return [float(each) for each in values]
    return [each if isinstance(each, str) else int(each) for each in values]


def _is_strength(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return False
    number = isinstance(value, (int, float, np.integer, np.floating))
    return number and bool(value >= 0)


#: Smooth ones and the one with a corner; none ever falls, which pooling relies on.
ACTIVATION_NAMES = ("identity", "logistic", "relu", "tanh")
#: Parameters with one value for all convolutions, or one for each: whether a value will
#: do, and what is expected.
PER_LAYER: dict[str, tuple[Callable[[Any], bool], str]] = {
    "kernel_size": (_is_count, "a whole number of at least 1"),
    "stride": (_is_count, "a whole number of at least 1"),
    "pool_size": (_is_count, "a whole number of at least 1 (1: no pooling)"),
    "padding": (lambda value: value in ("same", "valid"), "'same' or 'valid'"),
    "tie": (_is_strength, "a strength from 0 to inf"),
    "bias": (
        lambda value: value in ("auto", "shared", "location"),
        "'auto', 'shared' or 'location'",
    ),
    "activation": (
        lambda value: value in ACTIVATION_NAMES,
        f"one of {ACTIVATION_NAMES}",
    ),
}


def convolution_number(layer: Any, plan: Plan) -> int:
    """Return the number of one of the convolutions of a network, checked."""
    count = sum(part["kind"] == "convolution" for part in plan)
    if count == 0:
        raise ValueError(
            f"layer={layer!r}, but the model has no convolutions. Give it filters, or "
            "call transform, which returns what its output layer sees."
        )
    return checked_number("layer", layer, count, "the convolutions of the model")


def build_network(
    plan: Plan, image_shape: tuple[int, int, int], n_outputs: int, fill: FloatArray
) -> Network:
    """Return the network for images of (height, width, channels)."""
    height, width, channels = image_shape
    layers: list[Layer] = []
    shape: tuple[int, ...] = (height, channels, width)
    for k, part in enumerate(plan):
        kind = part["kind"]
        if kind == "convolution":
            padding = fill if k == 0 else 0.0
            layers.append(_convolution(part, k, shape, padding, height == 1))
        elif kind == "global_pool":
            layers.append(GlobalPool((shape[0], shape[1], shape[2]), part["how"]))
        else:
            if len(shape) == 3:
                layers.append(Flatten((shape[0], shape[1], shape[2])))
                shape = layers[-1].out_shape
            layers.append(_flat(part, shape[0], n_outputs))
        shape = layers[-1].out_shape
    return Network(tuple(layers))


def _flat(part: dict[str, Any], n_in: int, n_outputs: int) -> Layer:
    if part["kind"] == "dropout":
        return Dropout(n_in, part["share"])
    if part["kind"] == "dense":
        return ConnectedLayer(n_in, part["units"], part["activation"])
    if part.get("tie", np.inf) < np.inf:
        return DomainHeads(n_in, n_outputs, part["domains"])
    return ConnectedLayer(n_in, n_outputs)


def _convolution(
    part: dict[str, Any],
    k: int,
    shape: tuple[int, ...],
    fill: FloatArray | float,
    signals: bool,
) -> ConvolutionLayer:
    height, channels, width = shape
    axes, pools = [], []
    for name, n_in, flat in (("height", height, signals), ("width", width, False)):
        # A signal has one row: kernels, strides and pools have one row too.
        size, stride, pool = (
            1 if flat else part[key] for key in ("kernel_size", "stride", "pool_size")
        )
        if part["padding"] == "valid" and size > n_in:
            raise ValueError(
                f"Convolution {k} has kernel_size={size} and padding='valid', but its "
                f"input has {name} {n_in}. Use padding='same', a smaller kernel, or "
                "less pooling and smaller strides in the layers before it."
            )
        if size**2 * channels * part["filters"] > MOST_NUMBERS:
            raise ValueError(
                f"Convolution {k} has kernel_size={size} and {part['filters']} filters "
                f"of {channels} channels: a kernel of more than {MOST_NUMBERS:,} "
                f"numbers for an input of {name} {n_in}. Use smaller kernels."
            )
        n_out = Axis.outputs(n_in, size, stride, part["padding"])
        pool = min(pool, n_out)
        axes.append(Axis(n_in, size, stride, part["padding"], n_out // pool * pool))
        pools.append(pool)
    return ConvolutionLayer(
        Convolution(axes[0], axes[1], channels, part["filters"]),
        (pools[0], pools[1]),
        part["activation"],
        part["tie"] == np.inf,
        part["bias"] == "shared",
        fill,
    )


def tied_arrays(plan: Plan, network: Network, alpha: float) -> tuple[TiedArray, ...]:
    """Return how weights and biases are tied and decayed, layer by layer."""
    ties = [part["tie"] for part in plan if part["kind"] == "convolution"]
    heads = plan[-1]
    found = []
    for k, layer in enumerate(network.layers_with_weights):
        weights, bias = layer.shapes
        if isinstance(layer, ConvolutionLayer):
            many = layer.convolution.n_locations
            of_kernels = many if layer.shared else 1
            found.append(TiedArray(weights, alpha, ties[k], of_kernels))
            found.append(TiedArray(bias, 0.0, 0.0, many if layer.shared_bias else 1))
        elif isinstance(layer, DomainHeads):
            # The penalty of two domains is |v_A - v_B|^2 = 2 sum_t |v_t - mean|^2.
            tie = 2 * heads["tie"]
            found += [TiedArray(weights, alpha, tie), TiedArray(bias, 0.0, tie)]
        else:
            many = heads.get("domains", 1) if layer is network.layers[-1] else 1
            found += [TiedArray(weights, alpha, 0.0, many), TiedArray(bias, 0.0)]
    return tuple(found)


def tile_size(network: Network, itemsize: int) -> int:
    """Return how many images make a tile, by what a pass over one works with."""
    numbers = 1
    for layer in network.layers:
        if isinstance(layer, ConvolutionLayer):
            own = layer.convolution
            unfolded = own.rows.n_padded * own.columns.kernel_size * own.n_channels
            numbers += unfolded * own.columns.n_out + math.prod(own.out_shape)
        else:
            numbers += math.prod(layer.out_shape)
    times = round(TILE_BYTES / (WHOLE * numbers * itemsize))
    return WHOLE * int(np.clip(times, 1, MOST_IMAGES // WHOLE))


def multiplications(network: Network) -> int:
    """Return how many multiplications the matrix products of one image take."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, ConvolutionLayer):
            own = layer.convolution
            total += own.n_locations * own.n_taps * own.n_filters
        elif isinstance(layer, (ConnectedLayer, DomainHeads)):
            total += layer.n_in * layer.n_out
    return total


def to_public(layer: Layer, weights: FloatArray, bias: FloatArray) -> tuple[Any, Any]:
    """Return parameters in the order of the images, the outputs last.

    Those of heads have the domains before.
    """
    if not isinstance(layer, ConvolutionLayer):
        if isinstance(layer, DomainHeads):
            weights, bias = weights[:, 0], bias[:, 0]
        return weights.swapaxes(-1, -2).copy(), bias[..., 0].copy()
    own = layer.convolution
    taps = own.rows.kernel_size, own.columns.kernel_size, own.n_channels
    kernels = weights.reshape(*weights.shape[:-1], *taps)
    kernels = np.moveaxis(kernels, -4, -1).copy()
    if layer.shared_bias:
        return kernels, bias[:, 0, 0].copy()
    return kernels, bias[..., 0].transpose(0, 2, 1).copy()


def from_public(
    layer: Layer, weights: FloatArray, bias: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return parameters as the layer takes them; the inverse of `to_public`."""
    if not isinstance(layer, ConvolutionLayer):
        weights = np.ascontiguousarray(weights.swapaxes(-1, -2))
        bias = bias[..., np.newaxis].copy()
        if isinstance(layer, DomainHeads):
            return weights[:, np.newaxis], bias[:, np.newaxis]
        return weights, bias
    kernels = np.ascontiguousarray(np.moveaxis(weights, -1, -4))
    kernels = kernels.reshape(*kernels.shape[:-3], -1)
    if layer.shared_bias:
        return kernels, bias[:, np.newaxis, np.newaxis].copy()
    return kernels, np.ascontiguousarray(bias.transpose(0, 2, 1))[..., np.newaxis]


def parameters_from(
    network: Network, coefs: list[Any], intercepts: list[Any], loss: Any = None
) -> list[FloatArray]:
    """Return weights and biases as the layers take them, from what a model keeps.

    With a ``loss``, those of the last layer are for its outputs instead of the classes.
    """
    layers = network.layers_with_weights
    found: list[FloatArray] = []
    for layer, weights, bias in zip(layers, coefs, intercepts, strict=True):
        found += from_public(layer, weights, bias)
    if loss is not None:
        found[-2:] = [loss.reduce(found[-2]), loss.reduce(found[-1])]
    return found


def by_layer(network: Network, parameters: Sequence[FloatArray]) -> list[Parameters]:
    """Return the parameters of every layer, none for those that have none."""
    rest = iter(parameters)
    return [tuple(next(rest) for _ in layer.shapes) for layer in network.layers]


def draw_weights(
    rng: np.random.RandomState, layer: Layer
) -> tuple[FloatArray, FloatArray]:
    """Return weights at random, such that signals keep their size, and no biases.

    Every location starts from the same kernels.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, *Delving deep into rectifiers*, 2015; X. Glorot,
    Y. Bengio, *Understanding the difficulty of training deep feedforward neural
    networks*, 2010.
    """
    weights, bias = layer.shapes
    n_out, n_in = weights[-2:]
    gain = 6.0 if getattr(layer, "activation", "identity") == "relu" else 3.0
    kernel = rng.uniform(-1, 1, (n_out, n_in)) * np.sqrt(gain / n_in)
    return np.broadcast_to(kernel, weights).copy(), np.zeros(bias)
