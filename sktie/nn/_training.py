"""Training: from an objective and a start to parameters, by a well-kept optimiser.

An objective is ``value_gradient(theta, rows)``: the value and gradient in the flat
vector theta, estimated from the given rows (None: all of them, exactly).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import cos, pi
from typing import Any, TypeAlias

import numpy as np
import scipy.optimize

from sktie._compat import sgd_optimizer
from sktie._typing import Array, FloatArray, IterationHook
from sktie.nn._adam import Adam
from sktie.nn._checkpoint import Checkpoint

Objective: TypeAlias = Callable[[FloatArray, "Array | None"], tuple[float, FloatArray]]
#: Called after every iteration with its number, the loss and theta; True ends training.
AfterStep: TypeAlias = Callable[[int, float, FloatArray], bool]
#: From the share of the training that is done to a factor of the learning rate.
Schedule: TypeAlias = Callable[[float], float]


#: Rows of a minibatch for ``batch_size="auto"``.
AUTO_BATCH = 200


@dataclass(frozen=True)
class Trained:
    """What training leaves.

    Attributes
    ----------
    theta : ndarray of shape (size,)
        The last parameters.
    loss_curve : list of float
        The objective after each iteration, or its mean over the batches of an epoch.
    converged : bool
        False where ``max_iter`` ended it.
    optimizer : object
        With its moments, to go on from.
    interrupted : bool
        Whether the user ended it.
    checkpoint : Checkpoint or None
        Where its state is kept until it is of no use any more.
    """

    theta: FloatArray
    loss_curve: list[float]
    converged: bool
    optimizer: Any = None
    interrupted: bool = False
    checkpoint: Checkpoint | None = None

    def forget(self) -> None:
        """Remove the checkpoint, unless the training could go on from it."""
        if self.checkpoint is not None and not self.interrupted:
            self.checkpoint.remove()


@dataclass
class Plateau:
    """Notices when a value has not fallen by ``tol`` for ``patience`` iterations."""

    tol: float
    patience: float
    best: float = np.inf
    waited: int = field(default=0, init=False)

    def __call__(self, value: float) -> bool:
        """Take the next value; return whether it is time to stop."""
        self.waited = 0 if value < self.best - self.tol else self.waited + 1
        self.best = min(self.best, value)
        return self.waited >= self.patience


@dataclass
class EarlyStopping:
    """Keeps the parameters of the best score, and notices when it rises no more."""

    score: Callable[[FloatArray], float]
    tol: float
    patience: float
    scores: list[float] = field(default_factory=list, init=False)
    theta: FloatArray = field(default_factory=lambda: np.empty(0), init=False)

    def __post_init__(self) -> None:
        self.plateau = Plateau(self.tol, self.patience)

    def __call__(self, theta: FloatArray) -> bool:
        """Score the parameters; return whether it is time to stop."""
        score = self.score(theta)
        if not self.scores or score > max(self.scores):
            self.theta = theta.copy()
        self.scores.append(score)
        return self.plateau(-score)


def progress(
    verbose: int,
    callback: IterationHook | None,
    stopping: EarlyStopping | None = None,
) -> AfterStep:
    """Return what prints each loss, tells callbacks of it, and may end training."""

    def after_step(n_iter: int, loss: float, theta: FloatArray) -> bool:
        if verbose:
            print(f"iteration {n_iter:4d}  loss {loss:.8g}")  # noqa: T201
        if callback is not None:
            callback(n_iter, loss, np.nan)
        return stopping is not None and stopping(theta)

    return after_step


def glorot_uniform(rng: np.random.RandomState, shape: tuple[int, int]) -> FloatArray:
    """Return weights drawn evenly within +-sqrt(6 / (inputs + outputs))."""
    bound = np.sqrt(6.0 / sum(shape))
    return rng.uniform(-bound, bound, shape)


class _Stop(Exception):
    """Leaves scipy's optimiser."""


def lbfgs(
    objective: Objective,
    theta: FloatArray,
    *,
    tol: float,
    max_iter: int,
    after_step: AfterStep,
    keep_on_interrupt: bool = False,
    **_: Any,
) -> Trained:
    """Minimise by scipy's L-BFGS until the largest entry of the gradient is ``tol``."""
    curve: list[float] = []
    last, reached = [np.nan], theta.copy()

    def full(point: FloatArray) -> tuple[float, FloatArray]:
        last[0], gradient = objective(point, None)
        return last[0], gradient

    def callback(point: FloatArray) -> None:
        curve.append(last[0])
        reached[:] = point
        if after_step(len(curve), last[0], point):
            raise _Stop

    try:
        found = scipy.optimize.minimize(
            full,
            theta,
            jac=True,
            method="L-BFGS-B",
            callback=callback,
            options={
                "maxiter": max_iter,
                "maxfun": 20 * max_iter,
                "gtol": tol,
                "ftol": 0.0,
            },
        )
    except _Stop:
        return Trained(reached, curve, True)
    except KeyboardInterrupt:
        if not keep_on_interrupt:
            raise
        return Trained(reached, curve, False, interrupted=True)
    # A line search that finds nothing lower has met the rounding of the objective.
    return Trained(found.x, curve, found.status != 1)


def stochastic(
    objective: Objective,
    theta: FloatArray,
    *,
    new_optimizer: Callable[[list[FloatArray], float], Any],
    tol: float,
    max_iter: int,
    after_step: AfterStep,
    n_rows: int,
    batch_size: int | str,
    learning_rate: float,
    patience: float,
    rng: np.random.RandomState,
    schedule: Schedule | None = None,
    shuffle: bool = True,
    optimizer: Any = None,
    keep_on_interrupt: bool = False,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Minimise over epochs of batches, drawn anew in each, by a first-order method.

    Ends when the loss of an epoch has not fallen by ``tol`` for ``patience`` epochs. A
    ``schedule`` takes the share of the training done to a factor of the learning rate.
    An ``optimizer`` of an earlier call goes on where it was, with this learning rate;
    and all goes on where a ``checkpoint`` says that it was.
    """
    size = AUTO_BATCH if batch_size == "auto" else int(batch_size)
    theta = theta.copy()
    optimizer = optimizer or new_optimizer([theta], learning_rate)
    optimizer.learning_rate_init = optimizer.learning_rate = learning_rate
    plateau, curve = Plateau(tol, patience), list[float]()
    n_batches = -(-n_rows // size)
    moving = {"theta": theta, "optimizer": optimizer, "rng": rng}
    moving |= {"curve": curve, "plateau": plateau}
    if checkpoint is not None:
        checkpoint.restore(**moving)

    def trained(converged: bool, interrupted: bool = False) -> Trained:
        return Trained(theta, curve, converged, optimizer, interrupted, checkpoint)

    def epoch() -> float:
        order = rng.permutation(n_rows) if shuffle else np.arange(n_rows)
        total = 0.0
        for k, start in enumerate(range(0, n_rows, size)):
            if schedule is not None:
                done = (len(curve) * n_batches + k) / (max_iter * n_batches)
                rate = learning_rate * schedule(done)
                # scikit-learn's SGD steps by the second, Adam by the first.
                optimizer.learning_rate_init = optimizer.learning_rate = rate
            rows = order[start : start + size]
            value, gradient = objective(theta, rows)
            total += value * len(rows)
            optimizer.update_params([theta], [gradient])
        return total / n_rows

    try:
        while len(curve) < max_iter:
            curve.append(epoch())
            if after_step(len(curve), curve[-1], theta) or plateau(curve[-1]):
                return trained(True)
            if checkpoint is not None:
                checkpoint.keep(**moving)
    except KeyboardInterrupt:
        if not keep_on_interrupt:
            raise
        return trained(False, interrupted=True)
    return trained(False)


def one_cycle(done: float) -> float:
    """Return the factor of the learning rate: up for a while, then down to nothing.

    References
    ----------
    L. N. Smith, N. Topin, *Super-convergence: very fast training of neural networks
    using large learning rates*, 2019.
    """
    rise, low, last = 0.25, 0.04, 1e-4
    if done < rise:
        return low + (1 - low) * 0.5 * (1 - cos(pi * done / rise))
    down = (done - rise) / (1 - rise)
    return last + (1 - last) * 0.5 * (1 + cos(pi * down))


#: A new optimiser is a new row.
OPTIMIZERS: dict[str, Callable[..., Trained]] = {
    "lbfgs": lbfgs,
    "adam": partial(stochastic, new_optimizer=Adam),
    "sgd": partial(stochastic, new_optimizer=sgd_optimizer),
}
