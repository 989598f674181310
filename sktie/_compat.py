"""The only place for private or version-dependent names of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import signature
from itertools import takewhile
from typing import Any, TypeVar, cast

from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    StrOptions,
    make_constraint,
    validate_parameter_constraints,
)
from sklearn.utils.metaestimators import available_if as _available_if
from sklearn.utils.validation import _check_sample_weight, _num_samples

from sktie._typing import IterationHook

try:  # scikit-learn >= 1.9
    from sklearn.callback import CallbackSupportMixin
    from sklearn.callback import with_callbacks as _with_callbacks

    #: Frames between a public fit and its caller, for the place that warnings name.
    WRAPPER_FRAMES = 1
    HAS_CALLBACKS = True
except ImportError:
    WRAPPER_FRAMES = 0
    HAS_CALLBACKS = False
    CallbackSupportMixin = type("CallbackSupportMixin", (), {})

    def _as_it_is(method: Callable[..., Any]) -> Callable[..., Any]:
        return method

    _with_callbacks = _as_it_is

# scikit-learn >= 1.9 asks for a positive weight.
_ALL_MAY_BE_ZERO = {
    name: True
    for name in signature(_check_sample_weight).parameters
    if name == "allow_all_zero_weights"
}

Method = TypeVar("Method", bound=Callable[..., Any])

__all__ = [
    "WRAPPER_FRAMES",
    "CallbackSupportMixin",
    "DocLinkMixin",
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "StrOptions",
    "available_if",
    "check_sample_weight",
    "fit_callbacks",
    "make_constraint",
    "n_samples_of",
    "set_glm_loss",
    "sgd_optimizer",
    "validate_parameter_constraints",
    "with_callbacks",
]


def with_callbacks(method: Method) -> Method:
    """Let callbacks follow a fit; its signature stays as it is."""
    wrapped: Method = _with_callbacks(method)
    return wrapped


def available_if(check: Callable[[Any], bool]) -> Callable[[Method], Method]:
    """Offer a method only where the check says so; its signature stays as it is."""
    return cast("Callable[[Method], Method]", _available_if(check))


#: Where the built docs of a release are; the HTML of estimators links there.
DOCS_URL = "https://sktie.readthedocs.io/en/stable"


class DocLinkMixin:
    """Links the HTML of an estimator to its page of our API reference.

    Stands before `BaseEstimator`, whose link it replaces. Classes of other packages
    that inherit from ours have no page here, and no link.
    """

    _doc_link_module = "sktie"
    _doc_link_template = f"{DOCS_URL}/generated/{{place}}.{{name}}.html"

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        """Return the name of the class and the first module that exports it."""
        name, parts = type(self).__name__, type(self).__module__.split(".")
        public = ".".join(takewhile(lambda part: not part.startswith("_"), parts))
        place = "sktie" if name in import_module("sktie").__all__ else public
        return {"place": place, "name": name}


def sgd_optimizer(parameters: list[Any], learning_rate: float) -> Any:
    """Return scikit-learn's SGD with Nesterov's momentum of 0.9.

    Imported here, as linear models do without it.
    """
    from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

    return SGDOptimizer(parameters, learning_rate)


def check_sample_weight(sample_weight: Any, X: Any) -> Any:
    """Return non-negative weights with the dtype of X, one a row; all may be 0."""
    return _check_sample_weight(
        sample_weight, X, dtype=X.dtype, ensure_non_negative=True, **_ALL_MAY_BE_ZERO
    )


def n_samples_of(X: Any) -> int:
    """Return the number of rows of anything that scikit-learn takes for an array."""
    return int(_num_samples(X))


def set_glm_loss(estimator: Any) -> None:
    """Set what `predict` of a generalised linear model needs besides coefficients."""
    estimator._base_loss = estimator._get_loss()


@contextmanager
def fit_callbacks(
    estimator: Any, X: Any, y: Any, max_iter: int
) -> Iterator[IterationHook | None]:
    """Yield a hook that reports iterations to the estimator's callbacks, if any."""
    if not HAS_CALLBACKS:
        yield None
        return
    context = estimator._init_callback_context(max_subtasks=max_iter + 1)
    context.call_on_fit_task_begin(estimator=estimator, X=X, y=y)

    def hook(n_iter: int, value: float, gap: float) -> None:
        iteration = context.subcontext(task_name="iteration")
        iteration.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
        iteration.call_on_fit_task_end(estimator=estimator, X=X, y=y)

    yield hook if hasattr(estimator, "_skl_callbacks") else None
    context.call_on_fit_task_end(estimator=estimator, X=X, y=y)
