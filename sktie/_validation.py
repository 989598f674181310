"""Checks of what users hand in: each error names value, expectation and remedy."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from inspect import Parameter, signature
from typing import Any

import numpy as np

from sktie._compat import (
    InvalidParameterError,
    make_constraint,
    validate_parameter_constraints,
)
from sktie._typing import Array, FloatArray

OUT_OF_RANGE = (
    "The numbers are so large, or so small, that what is computed from them "
    "overflows; expected features, targets and weights whose squares and products are "
    "finite. Scale the features (StandardScaler), the targets and the weights."
)
#: What begins like this is learned, and finite.
LEARNED = ("coef", "intercept", "objective", "cluster_centers", "temperature")


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
        try:
            if not any(rule.is_satisfied_by(value) for rule in constraints):
                return False
        except TypeError:  # numbers that NumPy does not know, such as fractions
            raise InvalidParameterError(
                f"The {name!r} parameter of {kind.__name__} is {value!r} of the type "
                f"{type(value).__name__}, which NumPy cannot compare; expected a float "
                "or an int. Pass float(...) of it."
            ) from None
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


def as_array(name: str, given: Any, dtype: Any = None) -> Array:
    """Return what a user gave as an array, or say that it makes none."""
    try:
        return np.asarray(given, dtype=dtype)
    except (TypeError, ValueError, OverflowError):
        what = "labels or numbers" if dtype is None else "numbers"
        raise ValueError(
            f"{name} ({type(given).__name__}) makes no array of {what}; expected these "
            "in rows of equal length. Pass a NumPy array."
        ) from None


def numbers_of_rows(name: str, given: Any, n_rows: int) -> FloatArray:
    """Return numbers that a user gave, one for each row of X, as float64."""
    numbers: FloatArray = as_array(name, given)
    if numbers.dtype.kind == "O":
        numbers = as_array(name, numbers, np.float64)
    if numbers.dtype.kind not in "biuf" or numbers.shape != (n_rows,):
        raise ValueError(
            f"{name} has dtype {numbers.dtype} and shape {numbers.shape}, but X has "
            f"{n_rows} rows; expected one number for each row. Pass an array of shape "
            f"({n_rows},)."
        )
    return numbers.astype(np.float64)


def _noting(noted: list[str]) -> Any:
    """Return a context in which overflow is put down in a list."""

    def note(kind: str, flag: int) -> None:
        if kind == "overflow":
            noted.append(kind)
        elif not noted:
            warnings.warn(f"{kind} encountered", RuntimeWarning, stacklevel=2)

    return np.errstate(over="call", invalid="call", call=note)


@contextmanager
def overflow_noted() -> Iterator[list[str]]:
    """Note where numbers overflow, instead of a warning; whoever asked checks them.

    What is invalid after that, such as inf - inf, is part of it. On its own it warns.
    """
    noted: list[str] = []
    with _noting(noted):
        yield noted


def in_range(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a function returns, which must be finite numbers."""
    with overflow_noted():
        found = function(*args, **kwargs)
    if not np.isfinite(found).all():
        raise ValueError(OUT_OF_RANGE)
    return found


def score_in_range(function: Callable[..., Any], *args: Any, **kwargs: Any) -> float:
    """Return a score; it may be unknown, as R^2 of one row, but not from overflow."""
    with overflow_noted() as noted:
        score = function(*args, **kwargs)
    if noted and not np.isfinite(score):
        raise ValueError(OUT_OF_RANGE)
    return float(score)


def _check_learned(estimator: Any) -> None:
    """Check that what an estimator has learned is finite numbers."""
    for name, value in vars(estimator).items():
        if name.endswith("_") and name.startswith(LEARNED):
            for part in value if isinstance(value, list) else [value]:
                numbers = np.asarray(part)
                if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
                    raise ValueError(OUT_OF_RANGE)


def _is_ours(error: BaseException) -> bool:
    """Whether an error was raised here, and says more than that numbers overflow."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and last.tb_frame.f_globals["__name__"].startswith("sktie")


class unchanged_on_error:
    """Give an estimator its fitted state back when a new fit fails.

    It fails too where numbers overflow and what is learned from them is not finite.

    Not a generator: where Ctrl-C comes between the end of a fit and that of this
    context, one would be closed with the traceback, and undo what was done since then.

    Parameters
    ----------
    estimator : estimator
        Its attributes are put back; what they refer to must not be changed in place.
    """

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        self._noted: list[str] = []
        self._noting = _noting(self._noted)

    def __enter__(self) -> None:
        self._before = dict(vars(self._estimator))
        self._noting.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        self._noting.__exit__(None, None, None)
        if error is None:
            try:
                _check_learned(self._estimator)
            except ValueError:
                self._put_back()
                raise
            return
        self._put_back()
        overflown = self._noted and isinstance(error, ValueError | ArithmeticError)
        if isinstance(error, OverflowError) or (overflown and not _is_ours(error)):
            raise ValueError(OUT_OF_RANGE) from error

    def _put_back(self) -> None:
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
