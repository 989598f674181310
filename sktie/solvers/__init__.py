"""Solvers: they see a problem, never a tie or an estimator.

A solver is a row of `SOLVERS`: a name, a start, and the rule that turns a gradient
into a direction. The descent, its line search and its certificate are one for all.
"""

from sktie.solvers._descent import SolverResult, Status, minimize
from sktie.solvers._directions import LBFGS
from sktie.solvers._solvers import SOLVERS, choose, newton_from

__all__ = [
    "LBFGS",
    "SOLVERS",
    "SolverResult",
    "Status",
    "choose",
    "minimize",
    "newton_from",
]
