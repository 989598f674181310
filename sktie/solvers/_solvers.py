"""The solvers by name: each is a start, a rule of direction, and one descent."""

from __future__ import annotations

from typing import Protocol

from sktie._problem import Problem
from sktie._typing import FloatArray, IterationHook
from sktie.solvers._descent import SolverResult, minimize
from sktie.solvers._directions import LBFGS, Certified, InexactNewton, Newton

#: Gap to which a coarse problem is solved: about what its sample can tell.
COARSE_TOL = 1e-4
#: Multiplications below which a Newton step takes less time than a fit's own checks.
SMALL_WORK = 8e5


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
    if problem.curvature_work < SMALL_WORK:
        tol = min(tol, tol**2)
    coarse = problem.coarse()
    rule = Newton(problem if coarse is None else coarse, tol)
    if coarse is not None:
        theta = minimize(coarse, theta, rule, tol=COARSE_TOL, max_iter=max_iter).theta
        rule.move_to(problem)
    certified = Certified(problem, rule, tol)
    return minimize(problem, theta, certified, tol=tol, max_iter=max_iter, hook=hook)


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
    rule = InexactNewton(problem, theta)
    return minimize(problem, theta, rule, tol=tol, max_iter=max_iter, hook=hook)


#: A new solver is a new row.
SOLVERS: dict[str, Solver] = {
    "newton-cholesky": newton_cholesky,
    "lbfgs": lbfgs,
    "newton-cg": newton_cg,
}


def choose(
    *, entries: int, n_rows: int, n_members: int, n_outputs: int, n_coefs: int
) -> str:
    """Return the name of the solver that is fastest for a problem of this size.

    Newton's method is chosen while its linear algebra costs no more than the passes
    that a first-order method would need.
    """
    size = n_outputs * n_coefs
    hessian_rows = min(n_rows, 50 * size * n_members)
    newton = 6.0 * (hessian_rows * size * n_coefs + 2.5 * n_members * size**3)
    passes = 60.0 * 4.0 * entries * n_outputs
    # Dense linear algebra runs about ten times as fast as passes through memory.
    return "newton-cholesky" if newton < 10.0 * passes or size <= 64 else "lbfgs"
