"""Training as all networks here do it: by an optimiser, with rows to stop by if any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from sktie._loss import ClassLoss, most_probable
from sktie._typing import Array, FloatArray
from sktie.nn import (
    OPTIMIZERS,
    Checkpoint,
    EarlyStopping,
    Trained,
    checkpoint_for,
    progress,
)


class Trainable(Protocol):
    """An objective of rows."""

    @property
    def y(self) -> Array:
        """Targets, as the loss encodes them."""

    def __call__(
        self, theta: FloatArray, rows: Array | None
    ) -> tuple[float, FloatArray]:
        """Return value and gradient."""

    @property
    def rng(self) -> np.random.Generator | None:
        """What is drawn at random in every step, if anything."""

    def accuracy(self, theta: FloatArray) -> float:
        """Return the share of the rows that are classified right."""

    def contents(self) -> Iterator[Any]:
        """Yield all that the objective depends on but the estimator's parameters."""


class Weighted(Protocol):
    """Rows with targets and weights."""

    @property
    def y(self) -> Array:
        """Targets, as the loss encodes them."""

    @property
    def weight(self) -> FloatArray:
        """Positive weights."""

    @property
    def total(self) -> float:
        """Their sum."""

    @property
    def loss(self) -> ClassLoss:
        """The loss of raw predictions."""


def share_right(problem: Weighted, raw: FloatArray) -> float:
    """Return the weighted share of the rows that raw predictions classify right."""
    scores = problem.loss.expand(raw.T).T
    right = most_probable(scores) == problem.loss.class_index(problem.y)
    return float(problem.weight @ right) / problem.total


def train(
    estimator: Any,
    problem: Trainable,
    held_back: Trainable | None,
    theta: FloatArray,
    *,
    callback: Any,
    rng: np.random.RandomState,
    kept: bool = True,
    **options: Any,
) -> Trained:
    """Return the trained parameters: those best on the rows held back, if there are.

    Sets the estimator's ``validation_scores_`` and ``best_validation_score_`` then.

    Parameters
    ----------
    estimator : estimator
        Has the parameters ``solver``, ``tol``, ``n_iter_no_change``,
        ``learning_rate_init``, ``checkpoint`` and ``verbose``.
    problem, held_back : Trainable, Trainable or None
        What to minimise, and what to stop by.
    theta : ndarray of shape (size,)
        The start.
    callback : callable or None
        Hears of every iteration.
    rng : RandomState
        Draws the batches.
    kept : bool, default=True
        Whether the estimator's ``checkpoint`` is used.
    **options
        For the optimiser.

    Raises
    ------
    ValueError
        If training diverged.
    """
    for name in ("validation_scores_", "best_validation_score_"):
        estimator.__dict__.pop(name, None)
    stopping = None
    if held_back is not None:
        stopping = EarlyStopping(
            held_back.accuracy, estimator.tol, estimator.n_iter_no_change
        )
        options["patience"] = np.inf
    checkpoint = None
    if kept:
        checkpoint = _checkpoint(estimator, problem, held_back, theta, rng, stopping)
    trained = Trained(theta, [], True)
    if theta.size > 0:  # Infinite ties may hold all layers.
        trained = OPTIMIZERS[estimator.solver](
            problem,
            theta,
            tol=estimator.tol,
            after_step=progress(estimator.verbose, callback, stopping),
            n_rows=len(problem.y),
            learning_rate=estimator.learning_rate_init,
            rng=rng,
            checkpoint=checkpoint,
            **{"patience": estimator.n_iter_no_change} | options,
        )
    if stopping is None:
        _check_finite(
            estimator, trained, np.append(trained.theta, trained.loss_curve[-1:])
        )
        return trained
    best = stopping.theta if stopping.scores else trained.theta
    _check_finite(estimator, trained, best)
    estimator.validation_scores_ = stopping.scores
    estimator.best_validation_score_ = stopping.score(best)
    return replace(trained, theta=best)


def _checkpoint(
    estimator: Any,
    problem: Trainable,
    held_back: Trainable | None,
    theta: FloatArray,
    rng: np.random.RandomState,
    stopping: EarlyStopping | None,
) -> Checkpoint | None:
    """Return where the training is kept, if anywhere."""
    also: dict[str, Any] = {}
    if problem.rng is not None:
        also["noise"] = problem.rng
    if stopping is not None:
        also |= {"stopping": stopping, "patience": stopping.plateau}
    rows = [one.contents() for one in (problem, held_back) if one is not None]
    return checkpoint_for(estimator, rng, theta, *rows, **also)


def _check_finite(estimator: Any, trained: Trained, numbers: Any) -> None:
    """Check that training did not leave all that is finite."""
    if np.isfinite(numbers).all():
        return
    curve = trained.loss_curve
    remedy = (
        f"Lower learning_rate_init (now {estimator.learning_rate_init}) or alpha (now "
        f"{estimator.alpha})"
    )
    if getattr(estimator, "augment", None) is not None:
        remedy += ", and check that what augment returns is finite"
    raise ValueError(
        f"{type(estimator).__name__} diverged: after {len(curve)} epochs the loss is "
        f"{curve[-1] if curve else np.nan:.3g}; expected finite numbers. {remedy}."
    )
