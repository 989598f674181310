"""Rules of direction: how each solver turns a gradient into a step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias, final

import numpy as np

from sktie._problem import Problem
from sktie._typing import FloatArray

#: A symmetric positive definite map: a model of the inverse Hessian.
Rule: TypeAlias = Callable[[FloatArray], FloatArray]

EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)


@final
class QuasiNewton:
    """Limited-memory BFGS around any model of the inverse Hessian.

    Parameters
    ----------
    solve : callable
        The model of the inverse Hessian, a symmetric positive definite map.
    memory : int
        Pairs of steps and gradient changes to keep.

    References
    ----------
    J. Nocedal, S. Wright (2006). Numerical Optimization, algorithm 7.4.
    """

    def __init__(self, solve: Rule, memory: int = 10) -> None:
        self._solve = solve
        self._pairs: deque[tuple[FloatArray, FloatArray, float]] = deque(maxlen=memory)
        self._last: tuple[FloatArray, FloatArray] | None = None
        self._gain = 1.0

    def __call__(
        self, theta: FloatArray, value: float, gradient: FloatArray
    ) -> FloatArray:
        self._remember(theta, gradient)
        step = -gradient
        shares = []
        for s, y, curvature in reversed(self._pairs):
            share = float(s @ step) / curvature
            step = step - share * y
            shares.append(share)
        step = self._gain * self._solve(step)
        for (s, y, curvature), share in zip(self._pairs, reversed(shares), strict=True):
            step += (share - float(y @ step) / curvature) * s
        return step

    def forget_position(self) -> None:
        """Go on with another problem of nearly the same curvature."""
        self._last = None

    def _remember(self, theta: FloatArray, gradient: FloatArray) -> None:
        if self._last is not None:
            s, y = theta - self._last[0], gradient - self._last[1]
            curvature = float(s @ y)
            length = np.linalg.norm(s) * np.linalg.norm(y)
            if curvature > 1e-10 * float(length):
                self._pairs.append((s, y, curvature))
                self._gain = curvature / float(y @ self._solve(y))
        self._last = (theta, gradient)


@final
class Newton:
    """The Newton direction from a factored Hessian, kept while it serves.

    Quasi-Newton pairs correct a Hessian of some steps ago. A fresh one is factored
    when, at the rate of the last steps, going on without would take longer.
    """

    #: Steps that a fresh Hessian is expected to need.
    FRESH_STEPS = 2.0

    def __init__(self, problem: Problem, tol: float) -> None:
        self._problem = problem
        self._tol = max(tol, EPS)
        self._rule: QuasiNewton | None = None
        self._decrements: list[float] = []

    def move_to(self, problem: Problem) -> None:
        """Go on with another problem of nearly the same curvature."""
        self._problem = problem
        self._decrements = []
        if self._rule is not None:
            self._rule.forget_position()

    def __call__(
        self, theta: FloatArray, value: float, gradient: FloatArray
    ) -> FloatArray:
        if self._rule is not None:
            step = self._rule(theta, value, gradient)
            self._decrements.append(-float(gradient @ step))
            if self._serves(self._tol * abs(value)):
                return step
        self._rule = QuasiNewton(self._problem.curvature(theta).solve)
        step = self._rule(theta, value, gradient)
        self._decrements = [-float(gradient @ step)]
        return step

    def _serves(self, target: float) -> bool:
        """Whether to keep the Hessian, at the rate of the last two steps."""
        if len(self._decrements) < 3:
            return True
        before, _, now = self._decrements[-3:]
        if not 0 < now < before:
            return False
        rate = np.log(before / now) / 2
        remaining = np.log(max(now / max(target, TINY), 1.0)) / rate
        return bool(remaining <= self._problem.curvature_passes + self.FRESH_STEPS)


@final
class InexactNewton:
    """The Newton direction by preconditioned conjugate gradients.

    The Newton system is solved to a relative residual of ``min(1/2, sqrt(r))``, where
    r is the preconditioned gradient norm relative to the first one: superlinear, and
    cheap while far away (Nocedal & Wright 2006, algorithm 7.1).
    """

    def __init__(self, problem: Problem, precondition: Rule, max_inner: int) -> None:
        self._problem = problem
        self._precondition = precondition
        self._max_inner = max_inner
        self._first: float | None = None

    def __call__(
        self, theta: FloatArray, value: float, gradient: FloatArray
    ) -> FloatArray:
        product = self._problem.hessp(theta)
        step = np.zeros_like(gradient)
        residual = -gradient
        scaled = self._precondition(residual)
        search, energy = scaled, float(residual @ scaled)
        norm = np.sqrt(energy)
        if self._first is None:
            self._first = norm
        target = min(0.5, np.sqrt(norm / max(self._first, TINY))) * norm
        for _ in range(self._max_inner):
            image = product(search)
            curvature = float(search @ image)
            if curvature <= EPS * float(search @ search):
                break
            length = energy / curvature
            step += length * search
            residual = residual - length * image
            scaled = self._precondition(residual)
            previous, energy = energy, float(residual @ scaled)
            if np.sqrt(energy) <= target:
                break
            search = scaled + (energy / previous) * search
        return step if step.any() else scaled


def diagonal_rule(problem: Problem, theta: FloatArray) -> Rule:
    """Return division by the diagonal of the Hessian at ``theta``."""
    diagonal = problem.diagonal(theta)
    floor = max(EPS * float(diagonal.max(initial=0.0)), TINY)
    inverse = 1.0 / np.maximum(diagonal, floor)
    return lambda gradient: inverse * gradient
