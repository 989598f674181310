"""Checks of what users hand in: each error names value, expectation and remedy."""

from __future__ import annotations

import operator
from functools import lru_cache
from inspect import Parameter, signature
from typing import Any

from sktie._compat import (
    InvalidParameterError,
    make_constraint,
    validate_parameter_constraints,
)


@lru_cache(maxsize=64)
def _constraints_of(kind: Any) -> list[tuple[str, Any, list[Any]]]:
    """Return the parameters of a class: name, default where valid, and constraints.

    The constraints are objects, which are made once and not for every fit.
    """
    given, found = signature(kind).parameters, []
    for name, constraints in kind._parameter_constraints.items():
        if constraints == "no_validation":
            continue
        own = [make_constraint(constraint) for constraint in constraints]
        default = given[name].default if name in given else Parameter.empty
        valid = any(constraint.is_satisfied_by(default) for constraint in own)
        found.append((name, default if valid else Parameter.empty, own))
    return found


def _satisfies(estimator: Any) -> bool:
    """Whether each parameter satisfies one of its constraints."""
    kind: Any = type(estimator)
    for name, default, constraints in _constraints_of(kind):
        value = getattr(estimator, name)
        if value is default:
            continue
        for constraint in constraints:
            if constraint.is_satisfied_by(value):
                break
        else:
            return False
    return True


def check_parameters(estimator: Any, remedies: dict[str, str]) -> None:
    """Check constructor parameters; add the remedy to scikit-learn's message."""
    if _satisfies(estimator):
        return
    constraints = estimator._parameter_constraints
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


class unchanged_on_error:
    """Give an estimator its fitted state back when a new fit fails.

    Not a generator: where Ctrl-C comes between the end of a fit and that of this
    context, one would be closed with the traceback, and undo what was done since then.

    Parameters
    ----------
    estimator : estimator
        Its attributes are put back; what they refer to must not be changed in place.
    """

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator

    def __enter__(self) -> None:
        self._before = dict(vars(self._estimator))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            return
        # scikit-learn keeps the state of running callbacks here, and tidies it up.
        running = {
            name: value
            for name, value in vars(self._estimator).items()
            if name.startswith(("_callback", "_skl"))
        }
        self._estimator.__dict__ = self._before | running


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
