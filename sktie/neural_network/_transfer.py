"""A network tied, layer by layer, to one that was fitted elsewhere."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sktie._loss import Loss
from sktie._typing import FloatArray
from sktie.neural_network._architecture import Plan, parameters_from
from sktie.nn import Network

REMEDY = "Use FrozenEstimator(fitted), with a fitted SharedConvClassifier, or None."


def find_pair(pair: Any) -> Any:
    """Return the fitted network that ``pair`` is or holds."""
    found = getattr(pair, "estimator", pair)
    if not hasattr(type(found), "feature_maps"):
        raise ValueError(f"pair={pair!r} is no network of convolutions. {REMEDY}")
    if not hasattr(found, "coefs_"):
        raise ValueError(
            f"pair={pair!r} is not fitted; clone() drops what was learned, and "
            f"searches and pipelines clone. {REMEDY}"
        )
    check_is_fitted(found)
    return found


def check_pair_shape(pair: Any, shape: tuple[int, int, int]) -> None:
    """Check that the pair saw images of the same shape."""
    if pair.image_shape_ != shape:
        raise ValueError(
            f"pair was fitted to images of shape {pair.image_shape_}, but X holds "
            f"images of shape {shape}. Resize the images, or fit another pair."
        )


def pair_parameters(
    pair: Any, estimator: Any, network: Network, loss: Loss | None
) -> list[FloatArray]:
    """Return the pair's parameters; without the output layer where loss is None."""
    layers = network.layers_with_weights
    names = ("coefs_", "intercepts_")
    n_layers = len(layers) if loss is not None else len(layers) - 1
    if len(pair.coefs_) != len(layers):
        raise ValueError(
            f"pair has {len(pair.coefs_)} layers with parameters, but this model has "
            f"{len(layers)}. Give both the same filters and hidden_layer_sizes."
        )
    coefs, intercepts = (
        [np.asarray(part, np.float64) for part in getattr(pair, name)[:n_layers]]
        for name in names
    )
    shortened = Network(_up_to(network, n_layers))
    expected = [
        layer.shapes for layer in shortened.layers_with_weights[: len(layers) - 1]
    ]
    same = alike(pair.layers_, estimator.layers_)
    found: list[FloatArray] = []
    if same:
        found = parameters_from(shortened, coefs, intercepts, loss)
    shapes = [part.shape for part in found][: 2 * len(expected)]
    if not same or shapes != [shape for both in expected for shape in both]:
        raise ValueError(
            "pair differs from this model in its layers: "
            f"{pair.layers_} and {estimator.layers_}. Give both the same parameters; "
            "pair.to_shared() has one kernel for all locations."
        )
    return found


def alike(plan: Plan, other: Plan) -> bool:
    """Whether the parameters of two plans have the same meaning."""
    return _kinds(plan) == _kinds(other)


def _kinds(plan: Plan) -> Plan:
    """Return the layers without dropout, and of strengths only which are infinite."""
    return [
        part | {"tie": part["tie"] == np.inf} if "tie" in part else part
        for part in plan
        if part["kind"] != "dropout"
    ]


def _up_to(network: Network, n_layers: int) -> tuple[Any, ...]:
    """Return the layers up to the last of some that have parameters."""
    kept: list[Any] = []
    for layer in network.layers:
        if layer.shapes:
            n_layers -= 1
        if n_layers < 0:
            break
        kept.append(layer)
    return tuple(kept)


def layer_strengths(tie_pair: Any, n_layers: int) -> list[float]:
    """Return the strength of the tie of every layer to the pair."""
    if isinstance(tie_pair, Real):
        return [float(tie_pair)] * n_layers
    strengths = list(np.atleast_1d(np.asarray(tie_pair, dtype=object)))
    numbers = all(isinstance(one, Real) and float(one) >= 0 for one in strengths)
    if len(strengths) != n_layers or not numbers:
        raise ValueError(
            f"tie_pair={tie_pair!r}; expected one strength from 0 to inf for all "
            f"layers, or one for each of the {n_layers} layers with parameters, the "
            "output layer last."
        )
    return [float(one) for one in strengths]
