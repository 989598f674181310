"""What a tie that was chosen by leave-one-out is worth on new rows, against all others.

SKTIE_DATA names the folder of exam_65schools.csv.gz, which is not shipped; without it
that set is left out. So are the mixed models where statsmodels is not installed.

Rules, fixed before anything is measured:

1. Sets: the four hospitals (`bench_choice.py` has how they are read), the schools with
   at least ten pupils (is the exam better than the average, from the reading test, the
   sex and the band at intake), and domains that are simulated: normal features, p = 5,
   coefficients common to all of standard deviation 1 plus deviations of 0 (identical),
   0.3 (near) and 1 (far), or *unrelated* ones. Eight domains of 10, 100 or 1000 rows,
   four of 10000.
2. Choices see training rows only. Test rows: the other half of hospitals and schools
   (splits that share rows: their standard errors are too small), 500 new rows of each
   domain of simulated ones, where every domain counts alike.
3. *tied* is `TiedLogisticRegressionCV()`, all its defaults; *coarse* the same with
   ``ties=10``, one to a decade instead of two. *pooled* and *separate* are the ends of
   its path, each with the C that leave-one-out prefers there. Where domains cannot be
   fitted alone, the weakest strength that can be stands for "separate".
4. *EasyAdapt* is scikit-learn's `LogisticRegression` on features of all domains and of
   each, `GridSearchCV` with five folds over C and the scale of the latter. *mixed* is
   `BinomialBayesMixedGLM` of statsmodels, random intercepts and slopes, variational, on
   sets of at most 3000 rows.
5. Differences of the log-loss are paired by split or seed, with standard errors. Goal:
   *tied* is within two standard errors of the better of separate and pooled, or better,
   on every set; by more than two better on those with related domains: "near, 100" and
   "far, 100". Unrelated domains are the negative control.

A cell ``SET/SEED`` holds the log-losses of all arms, the strengths, and the seconds.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from _cells import Study, main
from bench_choice import _number, _paired, draw, heart
from scipy import sparse
from scipy.special import expit
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    StratifiedShuffleSplit,
)
from sklearn.pipeline import make_pipeline

from sktie import TiedLogisticRegression, TiedLogisticRegressionCV

QUESTION = "Log-loss on new rows: a chosen tie, both ends, EasyAdapt and mixed models."
FAMILIES = {"identical": 0.0, "near": 0.3, "far": 1.0, "unrelated": None}
SIZES = {
    "10": (8, 10, 6),
    "100": (8, 100, 8),
    "1000": (8, 1000, 4),
    "10000": (4, 10000, 3),
}
REAL = {"heart": 10, "exam": 4}
RELATED = ("near, 100", "far, 100")
N_FEATURES, N_TEST, MOST_MIXED = 5, 500, 3000
GRID = {
    "easyadapt__scale": [0.1, 0.3, 1.0],
    "logisticregression__C": [0.01, 0.1, 1.0, 10.0, 100.0],
}
ARMS = ("tied", "coarse", "separate", "pooled", "EasyAdapt", "mixed")


class EasyAdapt(TransformerMixin, BaseEstimator):
    """Features for all domains, and again for each; the last column of X names them."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def fit(self, X, y=None):
        """Learn the domains."""
        self.domains_ = np.unique(X[:, -1])
        return self

    def transform(self, X):
        """Return the features, an indicator of the domain among them."""
        here = X[:, -1:] == self.domains_
        rows = np.column_stack([X[:, :-1], np.ones(len(X))])
        own = here[:, :, np.newaxis] * (self.scale * rows)[:, np.newaxis]
        return np.column_stack([X[:, :-1], own.reshape(len(X), -1)])


def simulated(family, size, seed):
    """Training and test rows."""
    n_domains, n_rows, _ = SIZES[size]
    rng = np.random.default_rng([seed, *map(ord, family + size)])
    own = rng.normal(size=(n_domains, N_FEATURES))
    spread = FAMILIES[family]
    coef = own if spread is None else rng.normal(size=N_FEATURES) + spread * own
    return draw(rng, coef, n_rows), draw(rng, coef, N_TEST)


def exam(seed):
    """Training and test rows of the schools."""
    import pandas as pd

    rows = pd.read_csv(Path(os.environ["SKTIE_DATA"]) / "exam_65schools.csv.gz")
    rows = rows[rows.groupby("school")["school"].transform("size") >= 10]
    intake = pd.get_dummies(rows["intake"], dtype=float).iloc[:, 1:]
    X = np.column_stack([rows["standLRT"], rows["sex"] == "M", intake])
    y, school = (rows["normexam"] > 0).astype(int), rows["school"]
    y, school = y.to_numpy(), np.unique(school, return_inverse=True)[1]
    splitter = StratifiedShuffleSplit(1, test_size=0.5, random_state=seed)
    (train, test), *_ = splitter.split(X, school)
    return tuple((X[part], y[part], school[part]) for part in (train, test))


def tied(X, y, domain):
    """The chosen model, and the ends of its path: {arm: model}, and seconds."""
    common = {"handle_unknown": "shared"}
    start = time.perf_counter()
    model = TiedLogisticRegressionCV(**common).fit(X, y, sample_domain=domain)
    seconds = time.perf_counter() - start
    coarse = TiedLogisticRegressionCV(ties=10, **common)
    found = {"tied": model, "coarse": coarse.fit(X, y, sample_domain=domain)}
    weakest = int(np.flatnonzero(np.isfinite(model.scores_).any(axis=0))[0])
    for arm, place in (("separate", weakest), ("pooled", -1)):
        C = model.Cs_[np.argmax(model.scores_[:, place])]
        end = TiedLogisticRegression(tie=model.ties_[place], C=C, **common)
        found[arm] = end.fit(X, y, sample_domain=domain)
    return found, seconds


def easyadapt(train, test):
    """Probabilities of the second class, of the test rows."""
    X, y, domain = train
    model = make_pipeline(
        EasyAdapt(), LogisticRegression(solver="newton-cholesky", max_iter=1000)
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    search = GridSearchCV(model, GRID, cv=folds, scoring="neg_log_loss")
    search.fit(np.column_stack([X, domain]), y)
    return search.predict_proba(np.column_stack([test[0], test[2]]))[:, 1]


def mixed(train, test):
    """The same of a mixed model: the means of its posterior are put in."""
    from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

    X, y, domain = train
    n_domains = 1 + max(domain.max(), test[2].max())

    def parts(X, domain):
        fixed = np.column_stack([np.ones(len(X)), X])
        here = np.eye(n_domains)[domain]
        random = [here * column[:, np.newaxis] for column in fixed.T]
        return fixed, sparse.csr_matrix(np.concatenate(random, axis=1))

    fixed, random = parts(X, domain)
    kinds = np.repeat(np.arange(fixed.shape[1]), n_domains)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own optimiser
        model = BinomialBayesMixedGLM(y, fixed, random, kinds).fit_vb()
    fixed, random = parts(test[0], test[2])
    return expit(fixed @ model.fe_mean + random @ model.vc_mean)


def loss(y, p):
    """The log-loss of probabilities of the second class."""
    p = np.clip(np.where(y == 1, p, 1 - p), 1e-15, 1.0)
    return round(float(-np.log(p).mean()), 5)


def compare(train, test):
    """Log-losses of all arms."""
    models, seconds = tied(*train)
    X, y, domain = test
    cell = {"loss": {}, "tie": {}, "C": {}, "seconds of arms": {"tied": seconds}}
    for arm, model in models.items():
        p = model.predict_proba(X, sample_domain=domain)[:, 1]
        cell["loss"][arm] = loss(y, p)
        cell["tie"][arm], cell["C"][arm] = _number(model.tie_), _number(model.C_)
    others = {"EasyAdapt": easyadapt}
    known = importlib.util.find_spec("statsmodels") is not None
    if known and len(train[1]) <= MOST_MIXED:
        others["mixed"] = mixed
    for arm, predict in others.items():
        start = time.perf_counter()
        cell["loss"][arm] = loss(y, predict(train, test))
        cell["seconds of arms"][arm] = time.perf_counter() - start
    cell["seconds of arms"] = {
        k: round(v, 2) for k, v in cell["seconds of arms"].items()
    }
    return cell


def measure(key, quick, known):
    """One cell."""
    name, seed = key.split("/")
    if name in REAL:
        return compare(*(heart if name == "heart" else exam)(int(seed)))
    return compare(*simulated(*name.split(", "), int(seed)))


def keys(quick):
    """One stage; real sets first."""
    if quick:
        return [["near, 10/0"]]
    real = {k: n for k, n in REAL.items() if k != "exam" or "SKTIE_DATA" in os.environ}
    sets = real | {
        f"{family}, {size}": n
        for size, (_, _, n) in SIZES.items()
        for family in FAMILIES
    }
    return [[f"{name}/{seed}" for name, n in sets.items() for seed in range(n)]]


def summarise(cells):
    """Means of log-loss, and paired differences of the chosen tie from the others."""
    groups = {}
    for key, cell in cells.items():
        groups.setdefault(key.rpartition("/")[0], []).append(cell)
    tables = {name: compared(group) for name, group in groups.items()}
    worse = {
        name: (table["minus better end"]["mean"], table["minus better end"]["error"])
        for name, table in tables.items()
    }
    related = {name: worse[name] for name in RELATED if name in worse}
    goals = [
        {
            "goal": "never worse than the better end by more than 2 standard errors",
            "value": [name for name, (mean, se) in worse.items() if mean > 2 * se],
            "met": all(mean <= 2 * se for mean, se in worse.values()),
        },
        {
            "goal": "related domains: better by more than 2 standard errors",
            "value": [name for name, (mean, se) in related.items() if mean < -2 * se],
            "met": all(mean < -2 * se for mean, se in related.values()),
        },
    ]
    return {"sets": tables, "goals": goals}


def compared(group):
    """The table of one set."""
    losses = {
        arm: np.array([cell["loss"][arm] for cell in group])
        for arm in ARMS
        if all(arm in cell["loss"] for cell in group)
    }
    better = min((losses["separate"], losses["pooled"]), key=np.mean)
    return {
        "n": len(group),
        "mean": {arm: round(float(v.mean()), 4) for arm, v in losses.items()},
        "minus better end": _paired(losses["tied"] - better),
        **{f"minus {arm}": _paired(losses["tied"] - losses[arm]) for arm in losses},
        "ties": [cell["tie"]["tied"] for cell in group],
        "separate is": sorted({str(cell["tie"]["separate"]) for cell in group}),
    }


def show(summary):
    """Print the table."""
    for name, table in summary["sets"].items():
        print(f"{name}, {table['n']} draws", table["mean"], "ties", table["ties"])
        for key in ("minus better end", "minus EasyAdapt", "minus mixed"):
            if key in table:
                print("  {}: {mean:+.4f} (se {error:.4f})".format(key, **table[key]))
    for line in summary["goals"]:
        print("goal: {goal} | {value} | met {met}".format(**line))


STUDY = Study(
    "worth",
    QUESTION,
    {"families": FAMILIES, "sizes": SIZES, "grid": GRID, "test": N_TEST},
    keys,
    measure,
    summarise,
    show,
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
