"""What the functions of this package start from: a fitted network."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sklearn.utils.validation import check_is_fitted

from sktie._typing import Array
from sktie._validation import as_array
from sktie.neural_network import SharedConvClassifier
from sktie.nn import Network

#: How to install what `optional` imports.
REMEDY = {
    "matplotlib": 'python -m pip install "sktie[plot]"',
    "pandas": "python -m pip install pandas",
}


def fitted_network(estimator: Any) -> Network:
    """Return the network of a fitted `SharedConvClassifier`, without its parameters."""
    if not isinstance(estimator, SharedConvClassifier):
        raise TypeError(
            f"estimator is of type {type(estimator).__name__}; expected a fitted "
            "SharedConvClassifier. Of a pipeline pass the step itself, of a search "
            "its best_estimator_."
        )
    check_is_fitted(estimator)
    # What images are padded with changes nothing about who sees whom.
    return estimator._layers(estimator.margin_)


def check_axes(ax: Any) -> None:
    """Check that a drawing can be made on what was given, if anything was."""
    if ax is not None and not hasattr(ax, "imshow"):
        raise TypeError(
            f"ax={ax!r} is no Axes of matplotlib; expected one, such as the second "
            "item of matplotlib.pyplot.subplots(), or None for a new figure."
        )


def array_of(name: str, value: Any, *dimensions: int) -> Array:
    """Return a user's numbers as an array of so many axes, none of them empty."""
    array = as_array(name, value)
    if array.dtype.kind not in "biuf" or array.ndim not in dimensions or not array.size:
        wanted = " or ".join(map(str, dimensions))
        raise ValueError(
            f"{name} has dtype {array.dtype} and shape {array.shape}; expected numbers "
            f"in an array of {wanted} axes. Draw what from_estimator returns."
        )
    return array


def optional(module: str, purpose: str) -> Any:
    """Import a module that sktie does without, or say how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{purpose} needs {package}, which is not installed: {REMEDY[package]}"
        ) from error
