"""Tied ridge regression: plain fits beside scikit-learn's, and paths of ties.

Rules, fixed before anything is measured:

1. *plain*: `TiedRidge()` beside `Ridge(solver="cholesky")` and `Ridge()`, on correlated
   Gaussian features with an intercept, of the sizes in `PLAIN`. All take turns, after
   one turn that does not count; ratios are peer by sktie, medians of turns with
   quartiles. Coefficients must agree to 1e-9 relatively, or the cell fails.
2. *cv*: `TiedRidgeCV(alphas=ALPHAS)` beside `RidgeCV(ALPHAS)`, both leave-one-out of
   one model; the same, and equal choices.
3. *path*: eight domains. *fit* is one fit of `TiedRidge` at tie 1, *path* fits of 30
   ties from the same moments, *cv* `TiedRidgeCV` over these ties with leave-one-out
   and without the refit, *grid* `GridSearchCV` over them with five folds.
4. One thread for all, as BLAS is told by the environment.
"""

from __future__ import annotations

import gc
import sys
import time

import numpy as np
from _cells import Study, main
from _problems import gaussian_design
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV

from sktie import TiedRidge, TiedRidgeCV
from sktie._parallel import Workers
from sktie.model_selection._holding_out import grid_of_ties

QUESTION = "Seconds of ridge regression, plain and tied, beside scikit-learn."
PLAIN = {
    "n=200 p=10": (200, 10, 1),
    "n=2000 p=50": (2_000, 50, 1),
    "n=20000 p=50": (20_000, 50, 1),
    "n=20000 p=200": (20_000, 200, 1),
    "n=20000 p=50 targets=20": (20_000, 50, 20),
}
PATHS = {"T=8 n=16000 p=50": (8, 2_000, 50), "T=50 n=10000 p=10": (50, 200, 10)}
ALPHAS = (0.1, 1.0, 10.0, 100.0, 1000.0)
N_TIES, TURNS = 30, 25


def draw(n, p, n_targets, seed=0):
    """Rows and targets of a linear model with unit noise."""
    rng = np.random.default_rng(seed)
    X = gaussian_design(n, p, rng) + 1.0
    y = X @ rng.normal(size=(p, n_targets)) + rng.normal(size=(n, n_targets))
    return X, y[:, 0] if n_targets == 1 else y


def in_turns(calls, turns):
    """Seconds {name: [of each turn]} of calls in turns, after one for nothing."""
    seconds = {name: [] for name in calls}
    for turn in range(turns + 1):
        for name, call in calls.items():
            gc.collect()
            start = time.perf_counter()
            call()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def compared(calls, turns):
    """Medians, and ratios of all others by the first."""
    seconds = in_turns(calls, turns)
    ours = np.array(seconds[next(iter(calls))])
    cell = {"median_seconds": {}, "ratios": {}}
    for name, found in seconds.items():
        cell["median_seconds"][name] = round(float(np.median(found)), 6)
        if name != next(iter(calls)):
            quartiles = np.quantile(np.array(found) / ours, [0.5, 0.25, 0.75])
            cell["ratios"][name] = [round(float(q), 3) for q in quartiles]
    return cell


def measure_plain(shape, quick):
    """One plain model."""
    n, p, n_targets = shape
    X, y = draw(n // 20 if quick else n, p, n_targets)
    ours, theirs = TiedRidge().fit(X, y), Ridge(solver="cholesky").fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-9, atol=1e-9)
    calls = {
        "sktie": lambda: TiedRidge().fit(X, y),
        "cholesky": lambda: Ridge(solver="cholesky").fit(X, y),
        "default": lambda: Ridge().fit(X, y),
    }
    return compared(calls, 3 if quick else TURNS * (10 if n < 1000 else 1))


def measure_cv(shape, quick):
    """Leave-one-out of one model."""
    n, p, n_targets = shape
    X, y = draw(n // 20 if quick else n, p, n_targets)
    ours, theirs = TiedRidgeCV(alphas=ALPHAS).fit(X, y), RidgeCV(ALPHAS).fit(X, y)
    assert ours.alpha_ == theirs.alpha_
    np.testing.assert_allclose(ours.best_score_, theirs.best_score_, rtol=1e-8)
    calls = {
        "sktie": lambda: TiedRidgeCV(alphas=ALPHAS).fit(X, y),
        "RidgeCV": lambda: RidgeCV(ALPHAS).fit(X, y),
    }
    return compared(calls, 3 if quick else 7)


def measure_path(shape, quick):
    """Many ties of eight domains."""
    n_domains, n, p = shape
    X, y = draw(n_domains * (n // 20 if quick else n), p, 1)
    domain = np.random.default_rng(1).integers(n_domains, size=len(y))
    whole = np.column_stack([X, domain])
    ties = grid_of_ties(4 if quick else N_TIES)

    def path():
        model = TiedRidge(-1)
        found = model._path(model._read(whole, y, None, None), Workers())
        for tie in ties:
            found.fit(tie, 1.0)

    chosen = TiedRidgeCV(-1, ties=ties, alphas=1.0, refit=False)
    scoring = "neg_mean_squared_error"
    grid = GridSearchCV(TiedRidge(-1), {"tie": ties}, scoring=scoring, refit=False)
    calls = {
        "fit": lambda: TiedRidge(-1).fit(whole, y),
        "path": path,
        "cv": lambda: chosen.fit(whole, y),
        "grid": lambda: grid.fit(whole, y),
    }
    return compared(calls, 1 if quick else 5)


def measure(key, quick, known):
    """One cell."""
    kind, name = key.split("/")
    if kind == "path":
        return measure_path(PATHS[name], quick)
    return {"plain": measure_plain, "cv": measure_cv}[kind](PLAIN[name], quick)


def keys(quick):
    """All sizes."""
    plain = [f"plain/{name}" for name in PLAIN]
    return [plain + [f"cv/{n}" for n in PLAIN] + [f"path/{n}" for n in PATHS]]


def summarise(cells):
    """The goals: no slower than scikit-learn."""
    goals = []
    for kind, least in (("plain", 0.95), ("cv", 0.95)):
        ratios = [
            ratio[0]
            for key, cell in cells.items()
            if key.startswith(kind)
            for ratio in cell["ratios"].values()
        ]
        if ratios:
            text = f"{kind}: no slower, least median ratio >= {least}"
            goals.append(
                {"goal": text, "value": min(ratios), "met": min(ratios) >= least}
            )
    return {"goals": goals}


def show(summary):
    """Print the goals."""
    for line in summary["goals"]:
        print("goal: {goal} | value {value} | met {met}".format(**line))


STUDY = Study(
    "ridge",
    QUESTION,
    {"ties": N_TIES, "turns": TURNS, "alphas": ALPHAS},
    keys,
    measure,
    summarise,
    show,
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
