"""Softmax regression on class probabilities, for the anchors of priors."""

from __future__ import annotations

import numpy as np

from sktie._design import Design
from sktie._loss import SoftMultinomial
from sktie._parallel import workers
from sktie._problem import TiedProblem
from sktie._row_sums import RowSums
from sktie._tie import Tie, TiedCoordinates, ToFixed
from sktie._typing import FloatArray, Matrix
from sktie.linear_model._solving import fastest
from sktie.solvers import LBFGS, SOLVERS, minimize


def softmax_regression(
    X: Matrix,
    targets: FloatArray,
    weight: FloatArray | None,
    *,
    C: float,
    tol: float = 1e-3,
    max_iter: int = 1000,
) -> tuple[FloatArray, FloatArray]:
    """Return the coefficients and intercepts of a softmax regression.

    Minimises ``sum_i s_i sum_k -q_ik log softmax(W x_i + b)_k + 1/(2C) |W|^2``. Where
    Newton's method costs too much, L-BFGS stops on its own word: an anchor is a place
    to be pulled to, and gets no better by being proved the minimum, which can take
    most of the time.

    Parameters
    ----------
    X : ndarray or CSR container of shape (n_samples, n_features)
        Validated rows.
    targets : ndarray of shape (n_samples, n_classes)
        Probabilities q of the classes; they sum to 1 over the classes.
    weight : ndarray of shape (n_samples,) or None
        Weights s of the rows.
    C : float
        Inverse strength of the weight decay, finite.
    tol : float
        Stop when the relative gap to the minimum is taken for at most this.
    max_iter : int
        Most iterations.

    Returns
    -------
    coef : ndarray of shape (n_classes, n_features)
        Coefficients, centred over the classes.
    intercept : ndarray of shape (n_classes,)
        Intercepts, centred over the classes.
    """
    n_samples, n_classes = targets.shape
    design = Design(X, np.array([0, n_samples]))
    loss = SoftMultinomial(n_classes)
    decay = np.full(design.n_coefs, 1.0 / C)
    decay[-1] = 0.0
    free = Tie(
        ToFixed(np.zeros((loss.n_outputs, design.n_coefs))), np.zeros(design.n_coefs)
    )
    shape = (1, loss.n_outputs, design.n_coefs)
    with workers(None, design.n_lanes) as crew:
        problem = TiedProblem(
            RowSums(design, loss, targets, weight, crew),
            coordinates=TiedCoordinates(free, shape),
            decay=decay,
            shared_decay=False,
        )
        start, solver = np.zeros(problem.size), fastest(problem)
        if solver == "newton-cholesky":
            result = SOLVERS[solver](problem, start, tol=tol, max_iter=max_iter)
        else:
            rule = LBFGS(problem, start, tol)
            result = minimize(problem, start, rule, tol=tol, max_iter=max_iter)
    hub, deviations = problem.coordinates.split(result.theta)
    rows = loss.expand(problem.coordinates.members(hub, deviations))[0]
    return rows[:, :-1].copy(), rows[:, -1].copy()
