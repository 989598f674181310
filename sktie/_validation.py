"""Checks of what users hand in: each error names value, expectation and remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sktie._compat import (
    InvalidParameterError,
    validate_parameter_constraints,
)


def check_parameters(estimator: Any, remedies: dict[str, str]) -> None:
    """Check constructor parameters; add the remedy to scikit-learn's message."""
    constraints = estimator._parameter_constraints
    # get_params would inspect the signature, which takes longer than a small fit.
    parameters = {name: getattr(estimator, name) for name in constraints}
    try:
        validate_parameter_constraints(
            constraints, parameters, caller_name=type(estimator).__name__
        )
    except InvalidParameterError as error:
        for name, remedy in remedies.items():
            if f"The {name!r} parameter" in str(error):
                raise InvalidParameterError(f"{error} {remedy}") from None
        raise


@contextmanager
def unchanged_on_error(estimator: Any) -> Iterator[None]:
    """Give an estimator its fitted state back when a new fit fails."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        # scikit-learn keeps the state of running callbacks here, and tidies it up.
        running = {
            name: value
            for name, value in vars(estimator).items()
            if name.startswith(("_callback", "_skl"))
        }
        vars(estimator).clear()
        vars(estimator).update(before | running)
        raise


def is_frame(X: Any) -> bool:
    """Whether X is a data frame (pandas, polars, pyarrow)."""
    return hasattr(X, "columns") or hasattr(X, "column_names")


def layer_number(layer: Any, n_layers: int, what: str) -> int:
    """Return the number of a layer from 0, checked; negative ones count from the end.

    Parameters
    ----------
    layer : int
        As the user gave it.
    n_layers : int
        How many there are.
    what : str
        Which layers these are, for the message.
    """
    whole = isinstance(layer, int) or hasattr(layer, "__index__")
    if isinstance(layer, bool) or not whole or not -n_layers <= layer < n_layers:
        choice = "another model"
        if n_layers:
            choice = f"a whole number from 0 to {n_layers - 1}"
        raise ValueError(
            f"layer={layer!r}, but the model has {n_layers} {what}. Use {choice}."
        )
    return int(layer) % n_layers
