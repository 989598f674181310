"""One plain model: `pair=None` against scikit-learn's fastest dense solver.

Correlated Gaussian features, labels of unit signal, an intercept; the objective of
`LogisticRegression(C=1)`. Rows of five classes are shown, but no goal is set on them.
"""

import sys
from functools import partial

import numpy as np
from _harness import Case, compare, logistic, main, tied
from _problems import Objective, draw_labels, gaussian_design
from _results import goal, ratios

QUESTION = (
    "Seconds to fit one plain logistic regression (pair=None), dense, "
    "against the fastest solver of scikit-learn at an equal objective."
)
GRID = [
    (n, p, 2)
    for n in (2_000, 20_000, 200_000, 1_000_000)
    for p in (20, 100, 300)
    if (n, p) != (1_000_000, 300)
]
GRID += [(20_000, 20, 5), (20_000, 100, 5), (200_000, 100, 5)]
GRID += [(1_000_000, 300, 2)]  # 2.4 GB: last
QUICK = [(2_000, 20, 2), (500, 5, 3)]


def cases(quick):
    """The grid of sizes."""
    for_all = []
    for n, p, n_classes in QUICK if quick else GRID:
        name = f"n={n} p={p} classes={n_classes}"
        facts = {"n": n, "p": p, "classes": n_classes}
        for_all.append(Case(name, facts, partial(run, name, facts)))
    return for_all


def run(name, facts, null):
    """Fit one problem with both libraries."""
    rng = np.random.default_rng(0)
    X = gaussian_design(facts["n"], facts["p"], rng)
    y = draw_labels(X, facts["classes"], rng)
    peers = [
        logistic(solver, X, y, solver=solver, fit_intercept=True)
        for solver in ("newton-cholesky", "lbfgs", "newton-cg")
    ]
    ours = tied(X, y, fit_intercept=True)
    objective = Objective(X, y, fit_intercept=True)
    return compare(name, facts, objective, ours, peers, null=null)


def summarise(rows):
    """The goals of the plain fit; two classes only."""
    binary = ratios(rows, classes=2)
    return [
        goal("two classes: never slower, least ratio >= 1", binary, _at_least(1), min),
        goal("two classes: median ratio >= 1.5", binary, _at_least(1.5)),
        goal("two classes: accepted from a median of 1.2", binary, _at_least(1.2)),
    ]


def _at_least(bound):
    return lambda value: value >= bound


if __name__ == "__main__":
    sys.exit(main("plain", QUESTION, cases, summarise))
