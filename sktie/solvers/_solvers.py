"""The solvers by name: each is a start, a rule of direction, and one descent."""

from __future__ import annotations

from typing import Protocol

from sktie._contract import (
    HESSIAN_RATE,
    Curvature,
    Problem,
    factoring_work,
    sampling_stride,
)
from sktie._typing import FloatArray, IterationHook
from sktie.solvers._descent import SolverResult, Status, minimize
from sktie.solvers._directions import LBFGS, Certified, InexactNewton, Newton

#: Gap to which a coarse problem is solved: about what its sample can tell.
COARSE_TOL = 1e-4
#: Multiplications below which a Newton step takes less time than a fit's own checks.
SMALL_WORK = 8e5
#: Coefficients of a member up to which the choice is not worth a thought.
SMALL_SIZE = 64


class Solver(Protocol):
    """Minimise a problem; see `minimize` for the parameters."""

    def __call__(
        self,
        problem: Problem,
        theta: FloatArray,
        *,
        tol: float,
        max_iter: int,
        hook: IterationHook | None = None,
    ) -> SolverResult: ...


def newton_cholesky(
    problem: Problem,
    theta: FloatArray,
    *,
    tol: float,
    max_iter: int,
    hook: IterationHook | None = None,
) -> SolverResult:
    """Newton's method with factored Hessians, each kept while it serves.

    Where rows are many, a sample of them gives the start and the first Hessian; then
    a few passes over all rows, for gradients, are often all that is left to do. The
    certificate is always that of all rows. A small problem gets one step
    more than asked for: near the minimum it squares the gap.
    """
    tol = _goal(problem, tol)
    coarse = problem.coarse()
    if coarse is not None:
        rule = Newton(coarse, tol)
        start = minimize(coarse, theta, rule, tol=COARSE_TOL, max_iter=max_iter).theta
        rule.move_to(problem)
        certified = Certified(problem, rule, tol)
        result = minimize(
            problem, start, certified, tol=tol, max_iter=max_iter, hook=hook
        )
        if result.status is not Status.STALLED:
            return result
        # The sample has misled: its minimum lies where the rows see no way out.
    certified = Certified(problem, Newton(problem, tol), tol)
    return minimize(problem, theta, certified, tol=tol, max_iter=max_iter, hook=hook)


def newton_from(
    problem: Problem,
    theta: FloatArray,
    curvature: Curvature,
    *,
    tol: float,
    max_iter: int,
    hook: IterationHook | None = None,
) -> SolverResult:
    """Newton's method from near the minimum, with a Hessian of a problem nearby."""
    tol = _goal(problem, tol)
    rule = Certified(problem, Newton(problem, tol, curvature), tol)
    return minimize(problem, theta, rule, tol=tol, max_iter=max_iter, hook=hook)


def _goal(problem: Problem, tol: float) -> float:
    """Return the gap to reach: a step more, where that costs next to nothing."""
    return min(tol, tol**2) if problem.curvature_work < SMALL_WORK else tol


def lbfgs(
    problem: Problem,
    theta: FloatArray,
    *,
    tol: float,
    max_iter: int,
    hook: IterationHook | None = None,
) -> SolverResult:
    """L-BFGS, preconditioned by the diagonal of the Hessian at the start."""
    rule = Certified(problem, LBFGS(problem, theta, tol), tol)
    return minimize(problem, theta, rule, tol=tol, max_iter=max_iter, hook=hook)


def newton_cg(
    problem: Problem,
    theta: FloatArray,
    *,
    tol: float,
    max_iter: int,
    hook: IterationHook | None = None,
) -> SolverResult:
    """Newton's method with conjugate gradients, preconditioned by the diagonal."""
    rule = Certified(problem, InexactNewton(problem, theta, tol), tol)
    return minimize(problem, theta, rule, tol=tol, max_iter=max_iter, hook=hook)


#: A new solver is a new row.
SOLVERS: dict[str, Solver] = {
    "newton-cholesky": newton_cholesky,
    "lbfgs": lbfgs,
    "newton-cg": newton_cg,
}


#: Passes over the rows that each method needs, besides the Hessian of the first.
NEWTON_PASSES = 5.0
FIRST_ORDER_PASSES = 22.0


def choose(
    *, entries: int, n_rows: int, n_members: int, n_outputs: int, n_coefs: int
) -> str:
    """Return the name of the solver that is fastest for a problem of this size.

    Newton's method makes few passes over the rows for the price of a Hessian, of a
    sample where rows are many; L-BFGS makes more passes.
    """
    size = n_outputs * n_coefs
    sample = n_rows // sampling_stride(n_rows, n_members, size)
    hessian = factoring_work(sample, n_members, size, n_coefs) / HESSIAN_RATE
    # For each pair of outputs all rows are weighted, at the rate of a pass.
    hessian += 0.5 * n_outputs * (n_outputs - 1) * sample * (n_coefs + n_outputs)
    one_pass = 2.0 * entries * n_outputs
    saved = (FIRST_ORDER_PASSES - NEWTON_PASSES) * one_pass
    return "newton-cholesky" if size <= SMALL_SIZE or hessian < saved else "lbfgs"
