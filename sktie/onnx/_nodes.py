"""Nodes of a graph of ONNX, written one after the other, and what they start from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sktie._domains import is_column
from sktie._typing import Array

#: Types of elements by their number in ONNX.
ELEMENTS = {"float32": 1, "int64": 7, "str": 8, "float64": 11}
#: The name of the node at which a runtime stops for a domain that `fit` did not see.
UNSEEN = "domain_not_seen_in_fit"
#: Integers up to which float32 tells neighbours apart.
MOST_FLOAT32 = 2**24
#: The first version of ONNX's operators that has all of ours in the form used here.
OLDEST_OPSET = 13


class Nodes:
    """Writes nodes; a value is the name of the node's output.

    Parameters
    ----------
    scope, operator, container : object
        What skl2onnx hands to a converter.
    dtype : dtype
        What is computed in.
    """

    def __init__(self, scope: Any, operator: Any, container: Any, dtype: Any) -> None:
        if container.target_opset < OLDEST_OPSET:
            raise ValueError(
                f"target_opset={container.target_opset}; expected {OLDEST_OPSET} or "
                f"more. Leave it out, or use target_opset={OLDEST_OPSET}."
            )
        self._scope, self._container = scope, container
        self.operator, self.dtype = operator, np.dtype(dtype)

    def __call__(
        self,
        kind: str,
        *inputs: Any,
        domain: str = "",
        name: str = "",
        **attributes: Any,
    ) -> str:
        """Write a node; arrays among its inputs become constants."""
        known = [
            value if isinstance(value, str) else self.constant(value)
            for value in inputs
        ]
        out: str = self._scope.get_unique_variable_name(kind.lower())
        self._container.add_node(
            kind,
            known,
            out,
            op_domain=domain,
            name=self._scope.get_unique_operator_name(name or f"sktie_{kind}"),
            **attributes,
        )
        return out

    def constant(self, values: Any) -> str:
        """Return a constant: floats in the dtype, integers as int64, words."""
        array = np.asarray(values)
        if array.dtype.kind == "f":
            array = array.astype(self.dtype)
        elif array.dtype.kind in "iub":
            array = array.astype(np.int64)
        kind = "str" if array.dtype.kind in "UO" else array.dtype.name
        content = array.ravel()
        name: str = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(
            name,
            ELEMENTS[kind],
            list(array.shape),
            [str(word).encode() for word in content] if kind == "str" else content,
        )
        return name

    def cast(self, value: str, dtype: Any = None) -> str:
        """Return a value in another dtype, ours if none is named."""
        return self("Cast", value, to=ELEMENTS[np.dtype(dtype or self.dtype).name])

    def reshape(self, value: str, *shape: int) -> str:
        """Return a value in another shape; -1 is the number of rows."""
        return self("Reshape", value, np.array(shape))

    def affine(self, value: str, weights: Any, bias: Any) -> str:
        """Return rows times weights, plus a bias."""
        return self("Add", self("MatMul", value, np.asarray(weights)), np.asarray(bias))

    def activate(self, value: str, activation: str) -> str:
        """Return the outputs of units."""
        kinds = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}
        if activation == "softmax":
            return self("Softmax", value, axis=1)
        return value if activation == "identity" else self(kinds[activation], value)

    def finish(self, place: int, value: str) -> None:
        """Make a value an output of the model, in the type that it has there."""
        output = self.operator.outputs[place]
        kind = type(output.type).__name__
        element = {"DoubleTensorType": "float64", "Int64TensorType": "int64"}
        if kind == "StringTensorType":
            self._container.add_node(
                "Identity",
                value,
                output.full_name,
                name=self._scope.get_unique_operator_name("sktie_Identity"),
            )
            return
        self._container.add_node(
            "Cast",
            value,
            output.full_name,
            to=ELEMENTS[element.get(kind, "float32")],
            name=self._scope.get_unique_operator_name("sktie_Cast"),
        )


def read_rows(nodes: Nodes, model: Any) -> tuple[str, str | None]:
    """Return the features of rows (n, n_features), and the number of their domain.

    Parameters
    ----------
    nodes : Nodes
        With one input or more, whose columns stand side by side.
    model : estimator
        Fitted, with ``domains_`` if it has domains.
    """
    inputs, place = list(nodes.operator.inputs), None
    tied, n_columns = hasattr(model, "domains_"), int(model.n_features_in_)
    column = is_column(getattr(model, "pair", None))
    if column:
        place = _place(model)
    elif tied:
        place = n_columns
        n_columns += 1
    widths = _widths(inputs, n_columns, model)
    if tied and not column and (len(inputs) < 2 or widths[-1] != 1):
        raise ValueError(
            f"This {type(model).__name__} was fitted with sample_domain; expected the "
            "domains as one more input of one column, the last: initial_types=[('X', "
            f"FloatTensorType([None, {model.n_features_in_}])), ('sample_domain', "
            "StringTensorType([None, 1]))]. Steps of a pipeline pass none on: name a "
            "column by pair= there."
        )
    _check_names(inputs, widths, model)
    pieces, domain, start = [], None, 0
    for variable, width in zip(inputs, widths, strict=True):
        value, holds = variable.full_name, False
        if place is not None:
            holds = start <= place < start + width
        if not holds:
            _check_numbers(variable, model)
        if len(variable.type.shape) != 2:
            value = nodes.reshape(value, -1, width)
        if not holds:
            pieces.append(nodes.cast(value))
        else:
            own = int(place or 0) - start
            labels = value
            if width > 1:
                labels = nodes("Slice", value, [own], [own + 1], [1])
            domain = _index(nodes, labels, variable, model)
            for first, last in ((0, own), (own + 1, width)):
                if last > first:
                    part = nodes("Slice", value, [first], [last], [1])
                    pieces.append(nodes.cast(part))
        start += width
    if len(pieces) == 1:
        return pieces[0], domain
    return nodes("Concat", *pieces, axis=1), domain


def _place(model: Any) -> int:
    if isinstance(model.pair, str):
        return int(list(model.feature_names_in_).index(model.pair))
    return int(model.pair) % int(model.n_features_in_)


def _widths(inputs: list[Any], n_columns: int, model: Any) -> list[int]:
    """Return how many columns each input has; they must be those of the model."""
    sizes = [list(variable.type.shape[1:]) or [1] for variable in inputs]
    if len(sizes) == 1 and None in sizes[0]:
        return [n_columns]
    known = all(size is not None for shape in sizes for size in shape)
    widths = [math.prod(shape) for shape in sizes] if known else []
    if sum(widths) != n_columns:
        raise ValueError(
            f"The inputs have the shapes {[v.type.shape for v in inputs]}, but this "
            f"{type(model).__name__} takes {n_columns} columns. Give initial_types "
            "that say how many columns each input has."
        )
    return widths


def _check_names(inputs: list[Any], widths: list[int], model: Any) -> None:
    """Check that columns, where they are inputs, have the order of the fit."""
    known = list(getattr(model, "feature_names_in_", []))
    given = [variable.raw_name for variable in inputs]
    if set(widths) == {1} and given != known and sorted(given) == sorted(known):
        raise ValueError(
            f"The inputs are {given}, but the columns of the fit {known}. Give "
            "initial_types in this order."
        )


def _check_numbers(variable: Any, model: Any) -> None:
    """Check that an input is of numbers.

    One that holds the words of domains may hold text: skl2onnx writes numbers so, where
    a ColumnTransformer puts them beside words.
    """
    if type(variable.type).__name__ == "StringTensorType":
        raise ValueError(
            f"The input {variable.raw_name!r} of {type(model).__name__} is of words; "
            "expected numbers. Encode it, for example with OneHotEncoder, or name it "
            "as the column of the domains by pair=."
        )


def labels_of(model: Any) -> list[Any]:
    """Return the labels of all domains that the model tells apart, by their number."""
    inferred = getattr(model, "inferred_domains_", model.domains_[:0])
    return [*model.domains_.tolist(), *inferred.tolist()]


def _index(nodes: Nodes, value: str, variable: Any, model: Any) -> str:
    """Return the number of each row's domain (n,); for others one more, or too many."""
    labels = labels_of(model)
    kind = type(variable.type).__name__
    words = model.domains_.dtype.kind == "U"
    places = {
        label: place
        for place, label in enumerate(labels)
        if isinstance(label, str) == words
    }
    if words != (kind == "StringTensorType"):
        wanted = "StringTensorType" if words else "Int64TensorType or FloatTensorType"
        raise ValueError(
            f"The domains {labels[:3]} are {'words' if words else 'numbers'}, but "
            f"{variable.raw_name!r}, which holds them, is a {kind}; expected a "
            f"{wanted}. Give the column a type of its own, or put an OrdinalEncoder "
            "into the pipeline before it is fitted."
        )
    # Beyond the last: a runtime finds no parameters there, and says so.
    default = len(labels) + (model.handle_unknown == "error")
    keys: dict[str, Any]
    if words:
        keys = {"keys_strings": list(places)}
    elif kind.startswith(("Int", "UInt", "Bool")):
        value = nodes.cast(value, np.int64)
        keys = {"keys_int64s": [int(label) for label in places]}
    else:
        large = [label for label in places if abs(int(label)) > MOST_FLOAT32]
        if large:
            raise ValueError(
                f"The domain {large[0]} is a number that float32 does not tell from "
                f"its neighbours; expected at most {MOST_FLOAT32}. Pass the column as "
                "an input of Int64TensorType, or number the domains anew."
            )
        value = nodes.cast(value, np.float32)
        keys = {"keys_floats": [float(label) for label in places]}
    found = nodes(
        "LabelEncoder",
        value,
        domain="ai.onnx.ml",
        op_version=2,
        values_int64s=list(places.values()),
        default_int64=default,
        **keys,
    )
    return nodes.reshape(found, -1)


def of_domain(nodes: Nodes, index: str, members: Array) -> str:
    """Return the parameters of each row's domain, the first axis of the members.

    Parameters
    ----------
    nodes : Nodes
        Where it is written.
    index : str
        Number of each row's domain.
    members : array of shape (n_members + 1, ...)
        Parameters of all members, and of the shared model.
    """
    return nodes("Gather", members, index, name=UNSEEN, axis=0)


def affine_of_domain(
    nodes: Nodes, X: str, index: str, weights: Array, bias: Array
) -> str:
    """Return rows times the weights of their domain, plus its bias.

    Parameters
    ----------
    nodes : Nodes
        Where it is written.
    X : str
        Rows (n, n_in).
    index : str
        Number of each row's domain.
    weights : array of shape (n_members + 1, n_in, n_out)
        Weights of all members, and of the shared model.
    bias : array of shape (n_members + 1, n_out)
        Their biases.
    """
    n_in, n_out = weights.shape[1:]
    if (weights == weights[:1]).all():
        # Shared, and stored once. The biases still tell of domains not seen.
        product = nodes("MatMul", X, weights[0])
        return nodes("Add", product, of_domain(nodes, index, bias))
    own = of_domain(nodes, index, weights)
    product = nodes("MatMul", nodes.reshape(X, -1, 1, n_in), own)
    return nodes(
        "Add", nodes.reshape(product, -1, n_out), of_domain(nodes, index, bias)
    )
