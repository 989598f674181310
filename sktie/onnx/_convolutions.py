"""Networks of convolutions as nodes of ONNX, images as (n, channels, rows, columns)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sktie._typing import Array, FloatArray
from sktie.nn import (
    Axis,
    ConnectedLayer,
    ConvolutionLayer,
    Flatten,
    GlobalPool,
    Layer,
)
from sktie.onnx._nodes import Nodes, affine_of_domain, read_rows

#: Runtimes have convolutions in single precision alone.
DTYPE = np.float32


def convolutions_raw(
    scope: Any, operator: Any, container: Any, model: Any
) -> tuple[Nodes, str]:
    """Write the raw predictions of a `SharedConvClassifier`."""
    nodes = Nodes(scope, operator, container, DTYPE)
    value, domain = read_rows(nodes, model)
    height, width, channels = model.image_shape_
    value = nodes.reshape(value, -1, height, width, channels)
    # Zeros stand for the margin until images are padded.
    value = nodes("Sub", value, model.margin_)
    value = nodes("Mul", value, 1 / model.scale_)
    value = nodes("Transpose", value, perm=[0, 3, 1, 2])
    lift = ((model.margin_ - model.offset_) / model.scale_)[:, np.newaxis, np.newaxis]
    *layers, _ = model._layers(model.margin_).layers
    parameters = zip(model.coefs_, model.intercepts_, strict=True)
    for k, layer in enumerate(layers):
        own = next(parameters) if layer.shapes else ()
        first = k == 0
        if isinstance(layer, ConvolutionLayer):
            value = _convolve(nodes, value, layer, own, lift if first else None)
            continue
        if first:
            value = nodes("Add", value, lift)
        value = _flat(nodes, value, layer, own)
    return nodes, _output(nodes, value, domain, model)


def _output(nodes: Nodes, value: str, domain: str | None, model: Any) -> str:
    """Write the output layer; that of each domain, and their mean for others."""
    own = model.coefs_[-1], model.intercepts_[-1]
    if domain is None:
        return nodes.affine(value, *own)
    of_domains = model.domain_coef_, model.domain_intercept_
    weights, bias = (
        np.concatenate([part, mean[np.newaxis]])
        for part, mean in zip(of_domains, own, strict=True)
    )
    return affine_of_domain(nodes, value, domain, weights, bias)


def _flat(nodes: Nodes, value: str, layer: Layer, own: Any) -> str:
    """Write a layer that is neither a convolution nor the output."""
    if isinstance(layer, GlobalPool):
        kind = "GlobalMaxPool" if layer.how == "max" else "GlobalAveragePool"
        return nodes(kind, value)
    if isinstance(layer, Flatten):
        value = nodes("Transpose", value, perm=[0, 2, 3, 1])
        return nodes.reshape(value, -1, layer.out_shape[0])
    if isinstance(layer, ConnectedLayer):
        return nodes.activate(nodes.affine(value, *own), layer.activation)
    return value  # dropout silences nothing in prediction


def _convolve(
    nodes: Nodes, value: str, layer: ConvolutionLayer, own: Any, lift: Array | None
) -> str:
    """Write a convolution, or local kernels, with bias, pooling and activation."""
    kernels, bias = own
    rows, columns = layer.convolution.rows, layer.convolution.columns
    value = _pad(nodes, value, rows, columns)
    if lift is not None:
        value = nodes("Add", value, lift)
    if layer.shared:
        weights = np.transpose(kernels, (3, 2, 0, 1))
        strides = [rows.stride, columns.stride]
        value = nodes("Conv", value, weights, strides=strides)
    else:
        value = _local(nodes, value, rows, columns, kernels)
    if layer.shared_bias:
        bias = bias[:, np.newaxis, np.newaxis]
    else:
        bias = np.transpose(bias, (2, 0, 1))
    value = nodes("Add", value, bias)
    pool = list(layer.pool_size)
    if pool != [1, 1]:
        value = nodes("MaxPool", value, kernel_shape=pool, strides=pool)
    return nodes.activate(value, layer.activation)


def _pad(nodes: Nodes, value: str, rows: Axis, columns: Axis) -> str:
    """Bring images to the rows and columns that kernels see, by zeros or by cutting."""
    axes = (rows, columns)
    before = [axis.before for axis in axes]
    after = [max(axis.n_padded - axis.before - axis.n_in, 0) for axis in axes]
    if any(before + after):
        value = nodes("Pad", value, np.array([0, 0, *before, 0, 0, *after]))
    # Outputs that fill no window of the pooling are not computed.
    return nodes("Slice", value, [0, 0], [axis.n_padded for axis in axes], [2, 3])


def _local(
    nodes: Nodes, value: str, rows: Axis, columns: Axis, kernels: FloatArray
) -> str:
    """Write kernels of their own at every location, (rows, columns, *kernel)."""
    taps = []
    for i in range(rows.kernel_size):
        for j in range(columns.kernel_size):
            ends = [
                start + (axis.n_out - 1) * axis.stride + 1
                for start, axis in ((i, rows), (j, columns))
            ]
            steps = [rows.stride, columns.stride]
            taps.append(nodes("Slice", value, [i, j], ends, [2, 3], steps))
    seen = nodes("Concat", *taps, axis=1) if len(taps) > 1 else taps[0]
    seen = nodes("Transpose", seen, perm=[2, 3, 0, 1])
    weights = kernels.reshape(*kernels.shape[:2], -1, kernels.shape[-1])
    return nodes("Transpose", nodes("MatMul", seen, weights), perm=[2, 3, 0, 1])
