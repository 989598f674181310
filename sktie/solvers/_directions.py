"""Rules of direction: how each solver turns a gradient into a step."""

from __future__ import annotations

from collections import deque
from math import sqrt
from typing import Protocol, final

import numpy as np
from scipy.linalg.blas import daxpy

from sktie._contract import Curvature, Problem
from sktie._linalg import EPS, OVERFLOW, TINY, Rule, conjugate_step
from sktie._typing import FloatArray


@final
class QuasiNewton:
    """Limited-memory BFGS around any model of the inverse Hessian.

    Parameters
    ----------
    model : callable
        The model, a symmetric positive definite map.
    rescale : bool
        Whether to multiply the model by what makes it agree with the last pair.
    memory : int
        Pairs of steps and gradient changes to keep.

    Attributes
    ----------
    agreement : float
        Curvature along the last step, relative to what was expected there.

    References
    ----------
    J. Nocedal, S. Wright (2006). Numerical Optimization, algorithm 7.4.
    """

    def __init__(self, model: Rule, rescale: bool = False, memory: int = 10) -> None:
        self.model = model
        self.agreement = np.inf
        self._rescale = rescale
        self._gain = 1.0
        self._pairs: deque[tuple[FloatArray, FloatArray, float]] = deque(maxlen=memory)
        self._last: tuple[FloatArray, FloatArray] | None = None

    def __call__(
        self, theta: FloatArray, value: float, gradient: FloatArray
    ) -> FloatArray:
        self._remember(theta, gradient)
        # axpy, in place: on long vectors temporaries would cost more than the sums.
        step = -gradient
        shares = []
        for s, y, curvature in reversed(self._pairs):
            shares.append(float(s @ step) / curvature)
            step = daxpy(y, step, a=-shares[-1])
        step = self.model(step)
        if self._rescale:
            step *= self._gain
        for (s, y, curvature), share in zip(self._pairs, reversed(shares), strict=True):
            step = daxpy(s, step, a=share - float(y @ step) / curvature)
        return step

    def forget_position(self) -> None:
        """Go on with another problem of nearly the same curvature."""
        self._last = None

    def _remember(self, theta: FloatArray, gradient: FloatArray) -> None:
        if self._last is not None:
            s, y = theta - self._last[0], gradient - self._last[1]
            curvature = float(s @ y)
            self.agreement = curvature / max(-float(self._last[1] @ s), TINY)
            length = sqrt(float(s @ s)) * sqrt(float(y @ y))
            if curvature > 1e-10 * length:
                self._pairs.append((s, y, curvature))
                if self._rescale:
                    self._gain = curvature / float(y @ self.model(y))
        self._last = (theta, gradient)


@final
class Newton:
    """The Newton direction from a factored Hessian, kept while it serves.

    Quasi-Newton pairs correct a Hessian of some steps ago. A fresh one is factored
    when, at the rate of the last steps, going on without would take longer.

    Parameters
    ----------
    problem : Problem
        What to minimise.
    tol : float
        The gap to reach, for that estimate.
    curvature : Curvature, optional
        A factored Hessian to begin with, of a point or a problem nearby.
    """

    #: Steps that a fresh Hessian is expected to need.
    FRESH_STEPS = 2.0

    def __init__(
        self, problem: Problem, tol: float, curvature: Curvature | None = None
    ) -> None:
        self._problem = problem
        self._tol = max(tol, EPS)
        self._rule = None if curvature is None else QuasiNewton(curvature.solve)
        self._decrements: list[float] = []
        self._fresh = False

    def move_to(self, problem: Problem) -> None:
        """Go on with another problem of nearly the same curvature."""
        self._problem = problem
        self._decrements = []
        self._fresh = False
        if self._rule is not None:
            self._rule.forget_position()

    def __call__(
        self, theta: FloatArray, value: float, gradient: FloatArray
    ) -> FloatArray:
        if self._rule is not None:
            step = self._rule(theta, value, gradient)
            self._decrements.append(-float(gradient @ step))
            if self._serves(self._tol * abs(value)):
                self._fresh = False
                return step
        self._rule = QuasiNewton(self._problem.curvature(theta).solve)
        self._fresh = True
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

    def model(self, gradient: FloatArray) -> FloatArray:
        """Apply the inverse of the factored Hessian."""
        if self._rule is None:
            return gradient
        return self._rule.model(gradient)

    def leftover(self, residual: FloatArray) -> float:
        """Return the decrease that a residual of the Newton system stands for."""
        return 0.5 * float(residual @ self.model(residual))

    def certain(self, theta: FloatArray, value: float, gradient: FloatArray) -> bool:
        """Whether the model is exact, or was seen to be nearly right."""
        return self._fresh or (
            self._rule is not None and 0.5 < self._rule.agreement < 2.0
        )


class DiagonalModel:
    """The diagonal of the Hessian at the start, and what strong convexity tells.

    Parameters
    ----------
    problem : Problem
        What to minimise.
    theta : array of shape (size,)
        The start.
    tol : float
        The gap to reach.
    """

    def __init__(self, problem: Problem, theta: FloatArray, tol: float) -> None:
        self._problem = problem
        self._tol = tol
        self._inverse = inverse_diagonal(problem, theta)
        floor = problem.curvature_floor
        self._free = floor == 0
        # Where neither decay nor tie bounds the curvature, an estimate stands in.
        bound = 1.0 / np.maximum(floor, TINY)
        self._bound = np.where(self._free, self._inverse, bound)

    def model(self, gradient: FloatArray) -> FloatArray:
        """Divide by the diagonal of the Hessian."""
        return self._inverse * gradient

    def leftover(self, residual: FloatArray) -> float:
        """Bound the decrease that a residual of the Newton system stands for."""
        return 0.5 * float(np.sum(self._bound * np.square(residual)))

    def certain(self, theta: FloatArray, value: float, gradient: FloatArray) -> bool:
        """Whether strong convexity alone bounds the gap by tol.

        What nothing bounds, such as an intercept, makes a Newton step of its own
        first: the gradient that this leaves in the others is theirs to reduce.
        """
        if self._free.all():
            return False
        gained, residual = 0.0, gradient
        if self._free.any():
            step = np.where(self._free, -self._inverse * gradient, 0.0)
            image = self._problem.hessp(theta)(step)
            gained = -float(gradient @ step) - 0.5 * float(step @ image)
            residual = gradient + image
        return gained + self.leftover(residual) <= self._tol * abs(value)


@final
class LBFGS(DiagonalModel):
    """L-BFGS, preconditioned by the diagonal of the Hessian at the start."""

    def __init__(self, problem: Problem, theta: FloatArray, tol: float) -> None:
        super().__init__(problem, theta, tol)
        self._rule = QuasiNewton(self.model, rescale=True)

    def __call__(
        self, theta: FloatArray, value: float, gradient: FloatArray
    ) -> FloatArray:
        return self._rule(theta, value, gradient)


class Estimating(Protocol):
    """A rule of direction whose model of the curvature may be off."""

    def __call__(
        self, theta: FloatArray, value: float, gradient: FloatArray
    ) -> FloatArray: ...

    def model(self, gradient: FloatArray) -> FloatArray:
        """Apply a symmetric positive definite model of the inverse Hessian."""
        ...

    def leftover(self, residual: FloatArray) -> float:
        """Return the decrease that a residual of the Newton system stands for."""
        ...

    def certain(self, theta: FloatArray, value: float, gradient: FloatArray) -> bool:
        """Whether the certificate of the last step can be believed."""
        ...


@final
class Certified:
    """A rule of direction that does not stop on its own word.

    Where the rule reports a gap within ``tol`` and is not certain, the Newton step is
    found by conjugate gradients with the exact Hessian, preconditioned by the rule's
    model. It is the larger estimate that counts, and its step that is made.
    """

    def __init__(self, problem: Problem, rule: Estimating, tol: float) -> None:
        self._problem = problem
        self._rule = rule
        self._tol = tol

    def __call__(
        self, theta: FloatArray, value: float, gradient: FloatArray
    ) -> FloatArray:
        step = self._rule(theta, value, gradient)
        decrement = -float(gradient @ step)
        claimed = 0.5 * decrement <= self._tol * abs(value)
        if not claimed or self._rule.certain(theta, value, gradient):
            return step

        def enough(residual: FloatArray, energy: float, decrease: float) -> bool:
            return self._rule.leftover(residual) <= 0.5 * decrease

        product = self._problem.hessp(theta)
        exact = conjugate_step(product, gradient, self._rule.model, enough)
        return exact if -float(gradient @ exact) > decrement else step


@final
class InexactNewton(DiagonalModel):
    """The Newton direction by preconditioned conjugate gradients.

    The Newton system is solved to a relative residual of ``min(1/2, sqrt(r))``, where
    r is the preconditioned gradient norm relative to the first one: superlinear, and
    cheap while far away (Nocedal & Wright 2006, algorithm 7.1).
    """

    def __init__(self, problem: Problem, theta: FloatArray, tol: float) -> None:
        super().__init__(problem, theta, tol)
        self._first: float | None = None

    def __call__(
        self, theta: FloatArray, value: float, gradient: FloatArray
    ) -> FloatArray:
        norm = float(np.sqrt(gradient @ self.model(gradient)))
        if self._first is None:
            self._first = norm
        target = norm * min(0.5, float(np.sqrt(norm / max(self._first, TINY))))

        def enough(residual: FloatArray, energy: float, decrease: float) -> bool:
            return energy <= target**2

        return conjugate_step(self._problem.hessp(theta), gradient, self.model, enough)


def inverse_diagonal(problem: Problem, theta: FloatArray) -> FloatArray:
    """Return the inverse of the diagonal of the Hessian at ``theta``."""
    diagonal = problem.diagonal(theta)
    if not np.isfinite(diagonal).all():
        raise ValueError(OVERFLOW)
    floor = max(EPS * float(diagonal.max(initial=0.0)), TINY)
    return np.asarray(1.0 / np.maximum(diagonal, floor))
