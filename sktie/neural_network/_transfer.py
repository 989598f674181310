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

REMEDY = (
    "Use FrozenEstimator(fitted), with a fitted SharedConvClassifier, a column of X "
    "that holds domains, or None."
)


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
    # Of a pair with domains the mean head counts.
    plan = [*pair.layers_[:-1], {"kind": "output"}]
    if not alike(plan, estimator.layers_):
        difference = _difference(plan, estimator.layers_)
        raise ValueError(
            f"pair differs from this model: {difference}. Give both "
            "the same filters, hidden_layer_sizes and other parameters of layers; "
            "pair.to_shared() has one kernel for all locations."
        )
    coefs, intercepts = (
        [np.asarray(part, np.float64) for part in parts]
        for parts in (pair.coefs_, pair.intercepts_)
    )
    found = parameters_from(network, coefs, intercepts, loss)
    return found[:-2] if loss is None else found


def alike(plan: Plan, other: Plan) -> bool:
    """Whether the parameters of two plans have the same meaning."""
    return _kinds(plan) == _kinds(other)


def _kinds(plan: Plan) -> Plan:
    """Return the layers without dropout, and of strengths only which are infinite."""
    return [
        part | {"tie": "inf" if part["tie"] == np.inf else "finite"}
        if "tie" in part
        else part
        for part in plan
        if part["kind"] != "dropout"
    ]


def _difference(plan: Plan, other: Plan) -> str:
    """Return the first difference of two plans that are not alike."""
    plan, other = _kinds(plan), _kinds(other)
    if len(plan) != len(other):
        return f"it has {len(plan)} layers, this has {len(other)}"
    return next(
        f"in layer {k} {name} is {theirs.get(name)!r}, here {own.get(name)!r}"
        for k, (theirs, own) in enumerate(zip(plan, other, strict=True))
        for name in sorted({*theirs, *own})
        if theirs.get(name) != own.get(name)
    )


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
