"""Which solver suits a problem, and whether its result is a minimum."""

from __future__ import annotations

from dataclasses import replace

from sktie._learned import LearnedCoordinates
from sktie._problem import TiedProblem
from sktie._related import RelatedCoordinates
from sktie.linear_model._graph import has_room
from sktie.solvers import SolverResult, Status, choose


def fastest(problem: TiedProblem) -> str:
    """Return the name of the solver that is fastest for a problem of this size."""
    design = problem.design
    related = isinstance(problem.coordinates, (RelatedCoordinates, LearnedCoordinates))
    if related and has_room(problem):
        # Of the others, none sees further than from neighbour to neighbour.
        return "newton-cholesky"
    return choose(
        entries=design.entries,
        n_rows=design.n_rows,
        n_members=design.n_domains,
        n_outputs=problem.loss.n_outputs,
        n_coefs=design.n_coefs,
    )


def settled(problem: TiedProblem, result: SolverResult) -> SolverResult:
    """Return the result, converged where rows that are predicted perfectly may be."""
    perfect = result.status is Status.UNBOUNDED
    if perfect and problem.sums.attains_zero():
        return replace(result, status=Status.CONVERGED)
    return result
