"""Sparse text-like data: `pair=None` against every solver of scikit-learn that fits.

1e5 columns, about 80 words per row, Zipf distributed, tf-idf values, rows of unit norm;
two and five classes. No intercept: liblinear would decay it, the others do not.
"""

import sys
from functools import partial

import numpy as np
from _harness import Case, compare, logistic, main, tied
from _problems import Objective, draw_labels, text_design
from _results import goal, ratios

QUESTION = (
    "Seconds to fit one plain logistic regression (pair=None) on sparse text-like "
    "data, against the fastest solver of scikit-learn at an equal objective."
)
GRID = [
    (n, 100_000, n_classes, C)
    for n in (20_000, 100_000)
    for n_classes in (2, 5)
    for C in (1.0, 10.0)
]
QUICK = [(500, 2_000, 2, 1.0), (500, 2_000, 3, 1.0)]


def cases(quick):
    """The grid of rows, classes and C."""
    for_all = []
    for n, p, n_classes, C in QUICK if quick else GRID:
        name = f"n={n} p={p} classes={n_classes} C={C:g}"
        facts = {"n": n, "p": p, "classes": n_classes, "C": C}
        for_all.append(Case(name, facts, partial(run, name, facts)))
    return for_all


def run(name, facts, null):
    """Fit one sparse problem with both libraries."""
    rng = np.random.default_rng(0)
    X = text_design(facts["n"], facts["p"], rng)
    y = draw_labels(X, facts["classes"], rng, signal=3.0)
    C = facts["C"]
    solvers = ["sag", "lbfgs", "newton-cg", "saga"]
    if facts["classes"] == 2:  # with more, it would solve another objective
        solvers.insert(0, "liblinear")
    peers = [logistic(s, X, y, solver=s, C=C, random_state=0) for s in solvers]
    left_out = {"newton-cholesky": f"{8e-9 * facts['p'] ** 2:.1f} GB of Hessian"}
    ours = tied(X, y, C=C)
    objective = Objective(X, y, C=C)
    return compare(name, facts, objective, ours, peers, left_out=left_out, null=null)


def summarise(rows):
    """The goal of the sparse fit."""
    text = "never slower: least ratio >= 1"
    return [goal(text, ratios(rows), lambda value: value >= 1, min)]


if __name__ == "__main__":
    sys.exit(main("sparse", QUESTION, cases, summarise))
