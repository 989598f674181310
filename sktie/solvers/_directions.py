"""Rules of direction: how each solver turns a gradient into a step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeAlias, final

import numpy as np

from sktie._linalg import EPS, OVERFLOW, TINY
from sktie._problem import HessianProduct, Problem
from sktie._typing import FloatArray

#: A symmetric positive definite map: a model of the inverse Hessian.
Rule: TypeAlias = Callable[[FloatArray], FloatArray]


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
        step = -gradient
        shares = []
        for s, y, curvature in reversed(self._pairs):
            share = float(s @ step) / curvature
            step = step - share * y
            shares.append(share)
        step = self._gain * self.model(step)
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
            self.agreement = curvature / max(-float(self._last[1] @ s), TINY)
            length = np.linalg.norm(s) * np.linalg.norm(y)
            if curvature > 1e-10 * float(length):
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
    """

    #: Steps that a fresh Hessian is expected to need.
    FRESH_STEPS = 2.0

    def __init__(self, problem: Problem, tol: float) -> None:
        self._problem = problem
        self._tol = max(tol, EPS)
        self._rule: QuasiNewton | None = None
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

    def certain(self, gradient: FloatArray, value: float) -> bool:
        """Whether the model is exact, or was seen to be nearly right."""
        return self._fresh or (
            self._rule is not None and 0.5 < self._rule.agreement < 2.0
        )


@final
class LBFGS:
    """L-BFGS, preconditioned by the diagonal of the Hessian at the start.

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
        inverse = inverse_diagonal(problem, theta)
        self._rule = QuasiNewton(lambda gradient: inverse * gradient, rescale=True)
        self._tol = tol
        # Where neither decay nor tie bounds the curvature, an estimate stands in.
        floor = problem.curvature_floor
        self._bound = np.where(floor > 0, 1.0 / np.maximum(floor, TINY), inverse)

    def __call__(
        self, theta: FloatArray, value: float, gradient: FloatArray
    ) -> FloatArray:
        return self._rule(theta, value, gradient)

    def model(self, gradient: FloatArray) -> FloatArray:
        """Divide by the diagonal of the Hessian."""
        return self._rule.model(gradient)

    def certain(self, gradient: FloatArray, value: float) -> bool:
        """Whether strong convexity alone bounds the gap by tol."""
        bound = 0.5 * float(np.sum(self._bound * np.square(gradient)))
        return bound <= self._tol * abs(value)


class Estimating(Protocol):
    """A rule of direction whose model of the curvature may be off."""

    def __call__(
        self, theta: FloatArray, value: float, gradient: FloatArray
    ) -> FloatArray: ...

    def model(self, gradient: FloatArray) -> FloatArray:
        """Apply a symmetric positive definite model of the inverse Hessian."""
        ...

    def certain(self, gradient: FloatArray, value: float) -> bool:
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
        if not claimed or self._rule.certain(gradient, value):
            return step
        exact = conjugate_step(
            self._problem.hessp(theta),
            gradient,
            self._rule.model,
            CERTIFY_RESIDUAL,
            settle=True,
        )
        return exact if -float(gradient @ exact) > decrement else step


@final
class InexactNewton:
    """The Newton direction by preconditioned conjugate gradients.

    The Newton system is solved to a relative residual of ``min(1/2, sqrt(r))``, where
    r is the preconditioned gradient norm relative to the first one: superlinear, and
    cheap while far away (Nocedal & Wright 2006, algorithm 7.1).
    """

    def __init__(self, problem: Problem, theta: FloatArray) -> None:
        self._problem = problem
        inverse = inverse_diagonal(problem, theta)
        self._model: Rule = lambda gradient: inverse * gradient
        self._first: float | None = None

    def __call__(
        self, theta: FloatArray, value: float, gradient: FloatArray
    ) -> FloatArray:
        norm = float(np.sqrt(gradient @ self._model(gradient)))
        if self._first is None:
            self._first = norm
        target = min(0.5, np.sqrt(norm / max(self._first, TINY)))
        return conjugate_step(self._problem.hessp(theta), gradient, self._model, target)


#: Relative residual at which a Newton step is good enough to certify a gap.
CERTIFY_RESIDUAL = 0.2
#: Conjugate steps that count as the last few.
LATELY = 4
MAX_CONJUGATE_STEPS = 500


def conjugate_step(
    product: HessianProduct,
    gradient: FloatArray,
    model: Rule,
    target: float,
    settle: bool = False,
) -> FloatArray:
    """Return the Newton step, to a preconditioned residual relative to the first.

    Where it is to settle, the last few steps must also have added little to the
    decrease of the quadratic model: a small residual alone says little where
    directions are nearly flat.
    """
    step = np.zeros_like(gradient)
    decrease, lately = 0.0, deque([np.inf] * LATELY, maxlen=LATELY)
    residual = -gradient
    scaled = model(residual)
    search, energy = scaled, float(residual @ scaled)
    first = energy
    for _ in range(MAX_CONJUGATE_STEPS):
        image = product(search)
        curvature = float(search @ image)
        if curvature <= EPS * float(search @ search):
            break
        length = energy / curvature
        step += length * search
        lately.append(length * energy)
        decrease += length * energy
        residual = residual - length * image
        scaled = model(residual)
        previous, energy = energy, float(residual @ scaled)
        settled = not settle or sum(lately) <= target * decrease
        if energy <= EPS**2 * first or (energy <= target**2 * first and settled):
            break
        search = scaled + (energy / previous) * search
    return step if step.any() else scaled


def inverse_diagonal(problem: Problem, theta: FloatArray) -> FloatArray:
    """Return the inverse of the diagonal of the Hessian at ``theta``."""
    diagonal = problem.diagonal(theta)
    if not np.isfinite(diagonal).all():
        raise ValueError(OVERFLOW)
    floor = max(EPS * float(diagonal.max(initial=0.0)), TINY)
    return np.asarray(1.0 / np.maximum(diagonal, floor))
