"""The only place for private or version-dependent names of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import _check_sample_weight, _num_samples

from sktie._typing import IterationHook

try:  # scikit-learn >= 1.9
    from sklearn.callback import CallbackSupportMixin, with_callbacks

    #: Frames between a public fit and its caller, for the place that warnings name.
    WRAPPER_FRAMES = 1
    HAS_CALLBACKS = True
except ImportError:
    WRAPPER_FRAMES = 0
    HAS_CALLBACKS = False
    CallbackSupportMixin = type("CallbackSupportMixin", (), {})

    def _as_it_is(method: Callable[..., Any]) -> Callable[..., Any]:
        return method

    with_callbacks = _as_it_is


__all__ = [
    "WRAPPER_FRAMES",
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "StrOptions",
    "check_sample_weight",
    "fit_callbacks",
    "n_samples_of",
    "set_glm_loss",
    "sgd_optimizer",
    "validate_parameter_constraints",
    "with_callbacks",
]


def sgd_optimizer(parameters: list[Any], learning_rate: float) -> Any:
    """Return scikit-learn's SGD with Nesterov's momentum of 0.9.

    Imported here, as linear models do without it.
    """
    from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

    return SGDOptimizer(parameters, learning_rate)


def check_sample_weight(sample_weight: Any, X: Any) -> Any:
    """Return non-negative weights with the dtype of X, one a row."""
    return _check_sample_weight(
        sample_weight, X, dtype=X.dtype, ensure_non_negative=True
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
