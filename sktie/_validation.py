"""Checks of what users hand in: each error names value, expectation and remedy."""

from __future__ import annotations

import operator
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


def checked_number(name: str, given: Any, count: int, what: str) -> int:
    """Return the number of one of several things, from 0; negative ones from the end.

    Parameters
    ----------
    name : str
        The parameter.
    given : int
        As the user gave it.
    count : int
        How many things there are.
    what : str
        Which things these are, for the message.
    """
    try:
        number = -count - 1 if isinstance(given, bool) else operator.index(given)
    except TypeError:
        number = -count - 1
    if not -count <= number < count:
        raise ValueError(
            f"{name}={given!r}, but {what} have the numbers 0 to {count - 1}. Use one "
            "of these; negative ones count from the end."
        )
    return number % count


def is_frame(X: Any) -> bool:
    """Whether X is a data frame (pandas, polars, pyarrow)."""
    return hasattr(X, "columns") or hasattr(X, "column_names")
