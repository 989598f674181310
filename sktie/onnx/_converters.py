"""How each estimator becomes nodes of ONNX: one converter a kind, one row each."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sktie import (
    AutoencoderPrior,
    KMeansPrior,
    SharedConvClassifier,
    TiedLogisticRegression,
    TiedLogisticRegressionCV,
    TiedMLPClassifier,
    TiedPair,
    TiedPoissonRegressor,
    TiedPoissonRegressorCV,
    TiedRidge,
    TiedRidgeCV,
)
from sktie._typing import Array, FloatArray
from sktie.onnx._convolutions import convolutions_raw
from sktie.onnx._nodes import Nodes, affine_of_domain, read_rows

#: What skl2onnx calls with scope, operator and container.
Convert = Callable[[Any, Any, Any], None]


class Way(NamedTuple):
    """How skl2onnx converts an estimator."""

    shapes: Callable[[Any], None]
    convert: Convert
    options: dict[str, list[Any]] | None = None
    parser: Any = None


#: Of classifiers, the options that skl2onnx itself handles.
OPTIONS: dict[str, list[Any]] = {
    "zipmap": [True, False, "columns"],
    "output_class_labels": [False, True],
    "nocl": [True, False],
}


def converters() -> dict[type, Way]:
    """Return how each estimator is converted."""
    scores = {"raw_scores": [True, False]}  # of what has a decision_function
    linear = Way(classifier_shapes, classifier(linear_raw), OPTIONS | scores)
    network = Way(classifier_shapes, classifier(network_raw), OPTIONS)
    images = Way(classifier_shapes, classifier(convolutions_raw), OPTIONS)
    numbers = Way(regressor_shapes, convert_regressor)
    code = Way(code_shapes, convert_code, parser=parse_code)
    return {
        TiedLogisticRegression: linear,
        TiedLogisticRegressionCV: linear,
        TiedMLPClassifier: network,
        SharedConvClassifier: images,
        TiedRidge: numbers,
        TiedRidgeCV: numbers,
        TiedPoissonRegressor: numbers,
        TiedPoissonRegressorCV: numbers,
        KMeansPrior: code,
        AutoencoderPrior: code,
        TiedPair: Way(refuse_pair, refuse_pair_nodes),
    }


def _types() -> Any:
    return import_module("skl2onnx.common.data_types")


def _like_input(operator: Any, shape: list[Any]) -> Any:
    """Return the type of outputs: floats, of double precision where X is."""
    types = _types()
    double = any(
        isinstance(value.type, types.DoubleTensorType) for value in operator.inputs
    )
    return (types.DoubleTensorType if double else types.FloatTensorType)(shape)


def _n_rows(operator: Any) -> Any:
    return operator.inputs[0].type.shape[0]


def class_labels(model: Any) -> Array:
    """Return the classes as words or whole numbers, which ONNX has for labels."""
    classes: Array = np.asarray(model.classes_)
    if classes.dtype.kind == "U":
        return classes
    if classes.dtype.kind == "O" and all(isinstance(label, str) for label in classes):
        return classes.astype(str)
    whole = classes.dtype.kind in "iub"
    if classes.dtype.kind == "f":
        whole = bool(np.all(classes == np.round(classes)))
    if not whole:
        raise ValueError(
            f"The classes {classes[:3].tolist()} of {type(model).__name__} are neither "
            "whole numbers nor words, and labels of ONNX are one of these. Fit the "
            "model with such labels."
        )
    return classes.astype(np.int64)


def classifier_shapes(operator: Any) -> None:
    """Set the types of labels and probabilities."""
    check_is_fitted(operator.raw_operator)
    types, n_rows = _types(), _n_rows(operator)
    labels = class_labels(operator.raw_operator)
    numbers = operator.scope_inst.get_options(operator.raw_operator, {"nocl": False})
    words = labels.dtype.kind == "U" and not numbers["nocl"]
    kind = types.StringTensorType if words else types.Int64TensorType
    operator.outputs[0].type = kind([n_rows])
    operator.outputs[1].type = _like_input(operator, [n_rows, len(labels)])


def classifier(raw_of: Callable[[Any, Any, Any, Any], tuple[Nodes, str]]) -> Convert:
    """Return the converter of a classifier with these raw predictions."""

    def convert(scope: Any, operator: Any, container: Any) -> None:
        model = operator.raw_operator
        nodes, raw = raw_of(scope, operator, container, model)
        labels = class_labels(model)
        if scope.get_options(model, {"nocl": False})["nocl"]:
            labels = np.arange(len(labels))
        scores = (
            hasattr(model, "decision_function")
            and (scope.get_options(model, {"raw_scores": False})["raw_scores"])
        )
        if len(labels) == 2:
            both = nodes("Concat", nodes("Neg", raw), raw, axis=1)
            above = nodes("Greater", raw, np.zeros(1))
            index = nodes.reshape(nodes.cast(above, np.int64), -1)
            chance = both if scores else nodes("Sigmoid", both)
        else:
            index = nodes("ArgMax", raw, axis=1, keepdims=0)
            chance = raw if scores else nodes("Softmax", raw, axis=1)
        nodes.finish(0, nodes("Gather", labels, index, axis=0))
        nodes.finish(1, chance)

    return convert


def members_of(model: Any) -> tuple[FloatArray, FloatArray]:
    """Return weights (n_members + 1, n_features, n_outputs) and biases of all members.

    The last are those of the shared model; the only ones without domains.
    """
    n_features = model.coef_.shape[-1]

    def stacked(coef: Any, intercept: Any) -> tuple[FloatArray, FloatArray]:
        rows = np.reshape(coef, (-1, np.atleast_2d(model.coef_).shape[0], n_features))
        return rows, np.reshape(intercept, rows.shape[:2])

    parts = [stacked(model.coef_, model.intercept_)]
    if hasattr(model, "inferred_domains_"):
        parts.insert(0, stacked(model.inferred_coef_, model.inferred_intercept_))
    if hasattr(model, "domains_"):
        parts.insert(0, stacked(model.domain_coef_, model.domain_intercept_))
    coef, intercept = (np.concatenate(part) for part in zip(*parts, strict=True))
    return np.swapaxes(coef, 1, 2), intercept


def linear_raw(
    scope: Any, operator: Any, container: Any, model: Any
) -> tuple[Nodes, str]:
    """Write the raw predictions ``x'w_t + b_t``."""
    nodes = Nodes(scope, operator, container, model.coef_.dtype)
    X, domain = read_rows(nodes, model)
    weights, bias = members_of(model)
    if domain is None:
        return nodes, nodes.affine(X, weights[0], bias[0])
    return nodes, affine_of_domain(nodes, X, domain, weights, bias)


def network_raw(
    scope: Any, operator: Any, container: Any, model: Any
) -> tuple[Nodes, str]:
    """Write the raw predictions of a network with one hidden layer."""
    nodes = Nodes(scope, operator, container, model.coefs_[0].dtype)
    value, _ = read_rows(nodes, model)
    hidden = nodes.affine(value, model.coefs_[0], model.intercepts_[0])
    units = nodes.activate(hidden, model.activation_)
    return nodes, nodes.affine(units, model.coefs_[1], model.intercepts_[1])


def regressor_shapes(operator: Any) -> None:
    """Set the type of the predictions."""
    check_is_fitted(operator.raw_operator)
    n_targets = np.atleast_2d(operator.raw_operator.coef_).shape[0]
    operator.outputs[0].type = _like_input(operator, [_n_rows(operator), n_targets])


def convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    """Convert a linear regressor."""
    model = operator.raw_operator
    nodes, raw = linear_raw(scope, operator, container, model)
    if isinstance(model, (TiedPoissonRegressor, TiedPoissonRegressorCV)):
        raw = nodes("Exp", raw)
    nodes.finish(0, raw)


def parse_code(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Declare the output of a prior: its code, as of any transformer."""
    parts = import_module("skl2onnx._supported_operators")
    own = scope.declare_local_operator(
        parts.sklearn_operator_name_map[type(model)], model
    )
    own.inputs = inputs
    kind = _types().guess_tensor_type(inputs[0].type)
    own.outputs.append(scope.declare_local_variable("code", kind))
    return own.outputs


def code_shapes(operator: Any) -> None:
    """Set the type of a code."""
    check_is_fitted(operator.raw_operator)
    n_units = len(operator.raw_operator.coef_)
    operator.outputs[0].type = _like_input(operator, [_n_rows(operator), n_units])


def convert_code(scope: Any, operator: Any, container: Any) -> None:
    """Convert what a prior's `transform` does."""
    model = operator.raw_operator
    # In double precision: scores of clusters are differences of large numbers.
    nodes = Nodes(scope, operator, container, np.float64)
    X, _ = read_rows(nodes, model)
    code = getattr(model, "code", "soft")
    if code == "triangle":
        nodes.finish(0, _triangle(nodes, X, model))
        return
    raw = nodes.affine(X, model.coef_.T.astype(np.float64), model.intercept_)
    if code == "soft":
        nodes.finish(0, nodes.activate(raw, model.activation))
        return
    nearest = nodes("ArgMax", raw, axis=1, keepdims=0)
    nodes.finish(0, nodes("Gather", np.eye(len(model.coef_)), nearest, axis=0))


def _triangle(nodes: Nodes, X: str, model: KMeansPrior) -> str:
    """Write ``max(0, mean_j |x - c_j| - |x - c_h|)``."""
    mean = model._mean.astype(np.float64)
    centres = model.cluster_centers_.astype(np.float64) - mean
    X = nodes("Sub", X, mean)
    n_features, n_clusters = centres.T.shape
    square = nodes("MatMul", nodes("Mul", X, X), np.ones((n_features, 1)))
    squared = nodes.affine(X, -2 * centres.T, np.square(centres).sum(axis=1))
    squared = nodes("Relu", nodes("Add", squared, square))
    distance = nodes("Sqrt", squared)
    mean_distance = nodes("MatMul", distance, np.full((n_clusters, 1), 1 / n_clusters))
    return nodes("Relu", nodes("Sub", mean_distance, distance))


def refuse_pair(operator: Any) -> None:
    """Say what to convert instead of a pair."""
    raise NotImplementedError(
        "TiedPair is two models, whose predictions need not even be of one type. "
        "Convert its members, model.estimators_[0] and model.estimators_[1], which are "
        "estimators of scikit-learn."
    )


def refuse_pair_nodes(scope: Any, operator: Any, container: Any) -> None:
    """Refuse as the shapes do, which come first."""
    refuse_pair(operator)
