"""Thousands of small domains that a graph relates, against one pooled fit.

Domains of 20 rows and 30 standard normal features, two classes, an intercept; the
coefficients drift over the positions of the domains in a plane. "nesting" has domains
in 100 regions in 10 countries, "tree" is a binary tree of domains, "neighbours" the
graph of 5 nearest neighbours in the plane, "chain" a path, "mean" the default tie,
"learned" the covariance that is estimated with the model.

The fit with the tie and `TiedLogisticRegression` without domains run in turns with the
same tol (1e-8) on the same rows, on one thread, and are measured in seconds of the
processor, which other programs hardly touch; a cell holds the medians of these, the
quartiles of the paired ratio, and the gap of both objectives to those at tol=1e-14,
relative. The peak of Python's allocations while fitting is that of one more fit, as
multiples of a Hessian of every domain (T times 31 by 31 numbers).

Rules: goals are for the nesting, the tree and the neighbours at T=5000 and tie=1, and
for memory of one graph at tie=1 to be the same multiple at every T, within a factor of
two. (All its cells had to be alike until strong ties needed less than half as much.)
"""

from __future__ import annotations

import re
import sys
import time
import tracemalloc

import numpy as np
import scipy.sparse as sp
from _cells import Study, main
from _results import goal
from scipy.spatial import cKDTree

from sktie import TiedLogisticRegression

QUESTION = "How many pooled fits does a fit of T=5000 domains along a graph cost?"
N_ROWS, N_FEATURES, REPEATS, LIMIT = 20, 30, 9, 20.0
GRAPHS = ("nesting", "tree", "neighbours")
OTHERS = ("chain", "mean", "learned")
TIES = (1e-8, 1e-2, 1.0, 1e2, 1e4, 1e8)
SIZES = (1250, 2500, 10_000)


def keys(quick):
    """All graphs at all strengths, and some at other numbers of domains."""
    if quick:
        return [[key(kind, 200, 1.0) for kind in (*GRAPHS, *OTHERS)]]
    cells = [key(kind, 5000, tie) for kind in GRAPHS for tie in TIES]
    cells += [key(kind, 5000, 1.0) for kind in OTHERS]
    return [cells + [key(kind, T, 1.0) for kind in GRAPHS for T in SIZES]]


def key(kind, n_domains, tie):
    """The name of a cell."""
    return f"{kind} T={n_domains} tie={tie:g}"


def data(n_domains):
    """Rows of domains whose coefficients drift over a plane."""
    rng = np.random.default_rng(0)
    place = rng.normal(size=(n_domains, 2))
    drift = 0.3 * rng.normal(size=(2, N_FEATURES))
    coef = 0.5 * rng.normal(size=N_FEATURES) + place @ drift
    domain = np.repeat(np.arange(n_domains), N_ROWS)
    X = rng.normal(size=(len(domain), N_FEATURES))
    score = np.einsum("ij,ij->i", X, coef[domain])
    return X, score + rng.logistic(size=len(domain)) > 0, domain, place


def graph_of(kind, place):
    """A graph, in the form that is natural for it."""
    domains = range(len(place))
    if kind == "mean":
        return None
    if kind == "learned":
        return "learned"
    if kind == "chain":
        return {t: t - 1 for t in domains if t}
    if kind == "tree":
        return {t: (t - 1) // 2 for t in domains if t}
    if kind == "nesting":
        nesting = {t: f"region {t % 100}" for t in domains}
        nesting |= {f"region {k}": f"country {k % 10}" for k in range(100)}
        return nesting | {f"country {k}": "world" for k in range(10)}
    _, near = cKDTree(place).query(place, 6)
    row = np.repeat(np.arange(len(place)), 5)
    table = np.ones(len(row)), (row, near[:, 1:].ravel())
    A = sp.csr_array(table, shape=(len(place),) * 2)
    return A.maximum(A.T)


def measure(key, quick, known):
    """One cell: both fits in turns."""
    kind, n_domains, tie = (part.split("=")[-1] for part in key.split())
    X, y, domain, place = data(int(n_domains))
    graph = graph_of(kind, place)
    given = {"sample_domain": domain}
    tied = TiedLogisticRegression(graph=graph, tie=float(tie))
    plain = TiedLogisticRegression()
    seconds = []
    for _ in range(2 if quick else REPEATS):
        seconds.append([timed(tied, X, y, given), timed(plain, X, y, {})])
    tracemalloc.start()
    tied.fit(X, y, **given)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    ratio = np.divide(*np.transpose(seconds))
    q1, median, q3 = np.round(np.quantile(ratio, [0.25, 0.5, 0.75]), 2).tolist()
    hessians = 8 * int(n_domains) * (N_FEATURES + 1) ** 2
    medians = np.median(seconds, axis=0)
    return {
        "domains": int(n_domains),
        "tied s": round(float(medians[0]), 4),
        "pooled s": round(float(medians[1]), 4),
        "ratio": {"q1": q1, "median": median, "q3": q3},
        "iterations": tied.n_iter_,
        "gap": gap(tied, X, y, given),
        "pooled gap": gap(plain, X, y, {}),
        "memory": round(peak / hessians, 2),
    }


def timed(model, X, y, given):
    """Seconds of one fit."""
    start = time.process_time()
    model.fit(X, y, **given)
    return time.process_time() - start


def gap(model, X, y, given):
    """How far the objective of a fitted model is above a closer one, relative."""
    found = model.objective_
    best = TiedLogisticRegression(**model.get_params() | {"tol": 1e-14})
    return float(max(0.0, found / best.fit(X, y, **given).objective_ - 1))


def summarise(cells):
    """The ratios at T=5000, and whether memory is linear."""
    rows = {k: cell["ratio"]["median"] for k, cell in cells.items()}
    wanted = [rows[k] for kind in GRAPHS if (k := key(kind, 5000, 1.0)) in rows]
    memory = []
    for kind in GRAPHS:
        own = re.compile(rf"{kind} .* tie=1$")
        used = [cell["memory"] for k, cell in cells.items() if own.match(k)]
        memory += [max(used) / min(used)] if used else []
    gaps = [cell["gap"] for cell in cells.values()]
    return {
        "ratios": rows,
        "goals": [
            goal("T=5000, tie=1: <= 20 pooled fits", wanted, lambda v: v <= LIMIT, max),
            goal("memory a multiple of T p^2", memory, lambda v: v <= 2, max),
            goal("gaps <= 1e-7", gaps, lambda v: v <= 1e-7, max),
        ],
    }


def show(summary):
    """Print the ratios and the goals."""
    for name, ratio in summary["ratios"].items():
        print(f"{name:32} {ratio:6.1f} pooled fits")
    for line in summary["goals"]:
        print(f"{line['goal']:36} {line['value']}  met: {line['met']}")


STUDY = Study(
    "graph",
    QUESTION,
    {"rows of a domain": N_ROWS, "features": N_FEATURES, "repeats": REPEATS},
    keys,
    measure,
    summarise,
    show,
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
