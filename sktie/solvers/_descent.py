"""Descent with a certificate: one loop for every rule of direction."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Protocol

import numpy as np

from sktie._contract import Problem
from sktie._linalg import EPS, TINY
from sktie._typing import FloatArray, IterationHook


class Status(Enum):
    """How a descent ended."""

    CONVERGED = "the estimated gap to the minimum is within tol"
    PRECISION = "the objective cannot be lowered further in floating point"
    MAX_ITER = "the limit of iterations was reached"
    STALLED = "no lower value was found, far from a minimum"
    UNBOUNDED = "the objective falls to zero without reaching a minimum"

    @property
    def success(self) -> bool:
        """Whether the result is a minimum, as far as numbers can tell."""
        return self in (Status.CONVERGED, Status.PRECISION)


@dataclass(frozen=True)
class SolverResult:
    """The end of a descent.

    Attributes
    ----------
    theta : ndarray of shape (size,)
        The parameters.
    value : float
        The objective there.
    gap : float
        The certificate: half the squared Newton decrement, ``1/2 g' B g`` with B the
        solver's model of the inverse Hessian, relative to the objective.
    n_iter : int
        Steps made; 1 where none was needed.
    status : Status
        How it ended.
    """

    theta: FloatArray
    value: float
    gap: float
    n_iter: int
    status: Status


class Direction(Protocol):
    """A rule that turns gradients into directions."""

    def __call__(
        self, theta: FloatArray, value: float, gradient: FloatArray
    ) -> FloatArray:
        """Return a step of natural length 1; called once for every iterate."""
        ...


#: Sufficient decrease, as a share of the slope (Armijo).
DECREASE = 1e-4
MAX_HALVINGS = 40
#: Steps in a row that lower neither objective nor gap before rounding is to blame.
MAX_STALLED = 4
#: The gap above which rounding is no excuse.
MAX_GAP = 1e-6


def minimize(
    problem: Problem,
    theta: FloatArray,
    direction: Direction,
    *,
    tol: float,
    max_iter: int,
    hook: IterationHook | None = None,
) -> SolverResult:
    """Minimise a convex problem from ``theta``.

    Parameters
    ----------
    problem : Problem
        A convex function, bounded below by 0.
    theta : array of shape (size,)
        Where to start.
    direction : Direction
        The rule of direction.
    tol : float
        Stop when the certificate (see `SolverResult`) is at most this.
    max_iter : int
        Steps to make at most.
    hook : callable, optional
        Called with (steps made, objective, gap) at every iterate.
    """
    value, gradient = problem.value_gradient(theta)
    start_value, best_value, best_gap, stalled = value, value, np.inf, 0
    for n_steps in count():
        step = direction(theta, value, gradient)
        slope = float(gradient @ step)
        if not slope < 0:  # rounding has spoilt the direction, or nothing is left
            step = -gradient
            slope = float(gradient @ step)
        gap = _relative(-0.5 * slope, value)
        if hook is not None:
            hook(n_steps, value, gap)
        # Near the minimum values are all rounding; what still counts is the gap.
        rounding = 8 * problem.eps * abs(value)
        progress = gap < 0.5 * best_gap or value < best_value - rounding
        stalled = 0 if progress else stalled + 1
        best_gap, best_value = min(gap, best_gap), min(value, best_value)
        found = None
        if gap <= tol:
            status = Status.CONVERGED
        elif value <= EPS * start_value:
            status = Status.UNBOUNDED
        elif n_steps == max_iter:
            status = Status.MAX_ITER
        else:
            status = Status.PRECISION if gap < MAX_GAP else Status.STALLED
            if stalled < MAX_STALLED:
                found = _line_search(problem, theta, value, gradient, step, slope)
        if found is None:
            break
        theta, value, gradient = found
    return SolverResult(theta, value, gap, max(1, n_steps), status)


def _relative(gap: float, value: float) -> float:
    return gap / max(abs(value), TINY)


def _line_search(
    problem: Problem,
    theta: FloatArray,
    value: float,
    gradient: FloatArray,
    step: FloatArray,
    slope: float,
) -> tuple[FloatArray, float, FloatArray] | None:
    """Return the first point of a backtracking search that lowers the objective.

    Where the expected decrease is below rounding, a smaller slope takes the place of
    a smaller value (the approximate Wolfe condition of Hager and Zhang 2005).
    """
    rounding = 8 * problem.eps * abs(value)
    length = 1.0
    for _ in range(MAX_HALVINGS):
        trial = theta + length * step
        trial_value, trial_gradient = problem.value_gradient(trial)
        if np.isfinite(trial_value):
            if trial_value <= value + DECREASE * length * slope:
                return trial, trial_value, trial_gradient
            trial_slope = float(trial_gradient @ step)
            if trial_value <= value + rounding and abs(trial_slope) <= 0.9 * -slope:
                return trial, trial_value, trial_gradient
            # Minimum of the parabola through both values and the slope at 0.
            rise = trial_value - value - length * slope
            parabola = -0.5 * slope * length**2 / rise if rise > 0 else 0.0
            length = min(max(parabola, 0.1 * length), 0.5 * length)
        else:
            length *= 0.1
    return None
