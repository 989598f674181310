"""What choosing the tie costs: a path with leave-one-out, beside fits and a search.

Rules, fixed before anything is measured:

1. Eight domains of 2000 rows and 50 features (and a smaller and a three-class one);
   30 ties, 0 and infinity among them, at C = 1. *cv* is `TiedLogisticRegressionCV`
   with leave-one-out, without the refit. *fit* is one fit of
   `TiedLogisticRegression` at tie 1, from nothing. *grid* is `GridSearchCV` over the
   same ties and the same estimator, five folds, scored by log-loss, one job, without
   the refit. One thread, as OMP_NUM_THREADS=1 tells, and seconds of the processor,
   which other programs hardly touch.
2. The three take turns; ratios are medians of turns, cv by fit and grid by cv.
3. *accuracy*: on problems of at most 300 rows, the log-loss of leave-one-out against
   that of as many fits as rows, for every tie and C of `SMALL`; the largest relative
   difference, and how many rows had fits of their own.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from _cells import Study, main
from _problems import draw_labels, gaussian_design
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV

from sktie import TiedLogisticRegression, TiedLogisticRegressionCV
from sktie.model_selection._holding_out import grid_of_ties

QUESTION = "Time of a path of ties with leave-one-out, and how exact that is."
PROBLEMS = {
    "T=8, n=16000, p=50": (8, 2000, 50, 2),
    "T=4, n=2000, p=10": (4, 500, 10, 2),
    "T=8, n=16000, p=20, 3 classes": (8, 2000, 20, 3),
}
N_TIES, TURNS, THREADS = 30, 7, 1
SMALL = {"ties": [0.0, 0.1, 1.0, 10.0, np.inf], "Cs": [0.1, 1.0, 10.0, 100.0]}
SMALL_PROBLEMS = {
    "T=4, n=240, p=4": (4, 60, 4, 2),
    "T=2, n=100, p=8": (2, 50, 8, 2),
    "T=6, n=300, p=3, 3 classes": (6, 50, 3, 3),
    "T=10, n=300, p=5": (10, 30, 5, 2),
}


def problem(n_domains, n, p, n_classes, seed=0):
    """Rows, their domain last, and their classes."""
    rng = np.random.default_rng(seed)
    X = gaussian_design(n_domains * n, p, rng)
    domain = np.repeat(np.arange(n_domains), n)
    y = draw_labels(X, n_classes, rng, signal=2.0, domain=domain, n_domains=n_domains)
    order = rng.permutation(len(y))
    return np.column_stack([X, domain])[order], y[order]


def speed(shape, quick):
    """Medians of turns."""
    X, y = problem(*shape)
    if quick:
        X, y = X[::20], y[::20]
    ties = grid_of_ties(4 if quick else N_TIES)
    single = TiedLogisticRegression(-1, n_jobs=THREADS)
    chosen = TiedLogisticRegressionCV(
        -1, ties=ties, Cs=1.0, refit=False, n_jobs=THREADS
    )
    grid = GridSearchCV(
        single, {"tie": ties}, cv=5, scoring="neg_log_loss", refit=False
    )
    seconds = {"fit": [], "cv": [], "grid": []}
    for turn in range(1 if quick else TURNS):
        for name, model in (("fit", single), ("cv", chosen), ("grid", grid)):
            if name == "grid" and turn >= 3:
                continue
            start = time.process_time()
            model.fit(X, y)
            seconds[name].append(time.process_time() - start)
    median = {name: float(np.median(found)) for name, found in seconds.items()}
    by_fit = np.array(seconds["cv"]) / seconds["fit"]
    return {
        "median_seconds": {k: round(v, 5) for k, v in median.items()},
        "cv by fit": [
            round(float(np.quantile(by_fit, q)), 2) for q in (0.5, 0.25, 0.75)
        ],
        "grid by cv": round(median["grid"] / median["cv"], 2),
        "refitted": chosen.n_refitted_,
    }


def exactness(shape, quick):
    """Largest relative difference to brute force."""
    X, y = problem(*shape, seed=1)
    grid = {"ties": [1.0], "Cs": [1.0]} if quick else SMALL
    model = TiedLogisticRegressionCV(-1, **grid).fit(X, y)
    rows = range(len(y))[:: 20 if quick else 1]
    worst = 0.0
    for i, C in enumerate(model.Cs_):
        for j, tie in enumerate(model.ties_):
            single = TiedLogisticRegression(-1, tie=tie, C=C)
            found = []
            for row in rows:
                kept = np.arange(len(y)) != row
                single.fit(X[kept], y[kept])
                found.append(single.predict_proba(X[[row]])[0])
            if not quick:
                exact = -log_loss(y, found)
                worst = max(worst, float(abs(model.scores_[i, j] / exact - 1)))
    return {
        "largest relative difference": round(worst, 6),
        "refitted": model.n_refitted_,
        "rows": len(y) * model.scores_.size,
    }


def measure(key, quick, known):
    """One cell."""
    kind, name = key.split("/")
    if kind == "speed":
        return speed(PROBLEMS[name], quick)
    return exactness(SMALL_PROBLEMS[name], quick)


def keys(quick):
    """All problems."""
    return [
        [f"speed/{name}" for name in PROBLEMS]
        + [f"exact/{name}" for name in SMALL_PROBLEMS]
    ]


def summarise(cells):
    """The goals."""
    first = cells.get(f"speed/{next(iter(PROBLEMS))}")
    exact = [c for key, c in cells.items() if key.startswith("exact")]
    goals = []
    if first:
        cost, gain = first["cv by fit"][0], first["grid by cv"]
        goals += [
            {"goal": "30 ties by one fit: goal 8", "value": cost, "met": cost <= 8},
            {
                "goal": "30 ties by one fit: at most 15",
                "value": cost,
                "met": cost <= 15,
            },
            {"goal": "GridSearchCV by it: at least 8", "value": gain, "met": gain >= 8},
        ]
    if exact:
        worst = max(cell["largest relative difference"] for cell in exact)
        goals.append(
            {
                "goal": "leave-one-out within 1 %",
                "value": worst,
                "met": bool(worst <= 0.01),
            }
        )
    return {"goals": goals}


def show(summary):
    """Print the goals."""
    for line in summary["goals"]:
        print("goal: {goal} | value {value} | met {met}".format(**line))


STUDY = Study(
    "cv",
    QUESTION,
    {"ties": N_TIES, "turns": TURNS, "threads": THREADS},
    keys,
    measure,
    summarise,
    show,
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
