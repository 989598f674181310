"""The solvers by name: each is a start, a rule of direction, and one descent."""

from __future__ import annotations

from typing import Protocol

from sktie._problem import Problem
from sktie._typing import FloatArray, IterationHook
from sktie.solvers._descent import SolverResult, minimize
from sktie.solvers._directions import (
    InexactNewton,
    Newton,
    QuasiNewton,
    diagonal_rule,
)

#: Gap to which a coarse problem is solved: about what its sample can tell.
COARSE_TOL = 1e-4
#: Steps with the coarse Hessian before the exact one takes over.
COARSE_STEPS = 12
MAX_CONJUGATE_STEPS = 200


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
    """Newton's method with factored Hessians.

    Where rows are many, a sample of them gives the start and a Hessian good enough
    for quasi-Newton steps on all rows: the cost is then a few passes for gradients,
    and none for Hessians. The certificate is always that of all rows.
    """
    coarse = problem.coarse()
    n_before = 0
    if coarse is not None:
        start = newton_cholesky(coarse, theta, tol=COARSE_TOL, max_iter=max_iter)
        rule = QuasiNewton(coarse.curvature(start.theta).solve)
        steps = min(COARSE_STEPS, max_iter)
        result = minimize(
            problem, start.theta, rule, tol=tol, max_iter=steps, hook=hook
        )
        if result.status.success or result.n_iter >= max_iter:
            return result
        theta, n_before = result.theta, result.n_iter
    return minimize(
        problem,
        theta,
        Newton(problem),
        tol=tol,
        max_iter=max_iter - n_before,
        hook=hook,
        n_before=n_before,
    )


def lbfgs(
    problem: Problem,
    theta: FloatArray,
    *,
    tol: float,
    max_iter: int,
    hook: IterationHook | None = None,
) -> SolverResult:
    """L-BFGS, preconditioned by the diagonal of the Hessian at the start."""
    rule = QuasiNewton(diagonal_rule(problem, theta))
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
    rule = InexactNewton(problem, diagonal_rule(problem, theta), MAX_CONJUGATE_STEPS)
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
