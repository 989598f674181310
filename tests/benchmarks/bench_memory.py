"""Peak memory of one fit beyond its data, in a fresh process.

The child process imports, fits a tiny problem, makes X and y, and then reads how far
the peak of its resident memory rises above its level while `fit` runs. The peak is the
kernel's (VmHWM, reset before the fit), so this runs on Linux alone. Every fit runs to a
tolerance of 1e-8; the fits of scikit-learn are shown beside it, for comparison only.
"""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
from _harness import Case, main
from _problems import draw_labels, gaussian_design
from _results import goal, row, spread

QUESTION = (
    "Bytes of peak memory beyond X and y while fitting; "
    "the peer is the solver of scikit-learn that needs least."
)
GRID = [(1_000_000, 50, 2, 0), (1_000_000, 50, 5, 0), (1_000_000, 50, 2, 8)]
QUICK = [(50_000, 20, 2, 0)]
PEERS = ("lbfgs", "newton-cholesky")
REPEATS = 3
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def cases(quick):
    """Two classes, five classes, and eight domains."""
    for_all = []
    for n, p, n_classes, T in QUICK if quick else GRID:
        name = f"n={n} p={p} classes={n_classes}" + f" T={T}" * (T > 0)
        facts = {"n": n, "p": p, "classes": n_classes, "T": T}
        # What X and, for more classes, three arrays of n x classes allow.
        facts["limit"] = 8 * (0.1 * n * p + 3 * n * n_classes * (n_classes > 2))
        repeats = 1 if quick else REPEATS
        for_all.append(Case(name, facts, partial(run, name, facts, repeats)))
    return for_all


def run(name, facts, repeats, null):
    """Measure sktie and the peers, each in its own processes."""
    if not CLEAR_REFS.exists():
        return row(name, facts, "left out", "needs Linux", unit="B")
    measured = {}
    solvers = PEERS if null else ("sktie", *PEERS)
    for solver in solvers if facts["T"] == 0 or null else ("sktie",):
        measured[solver] = [_child(solver, facts) for _ in range(repeats)]
    sktie = measured.pop("lbfgs" if null else "sktie")
    sides = {"sktie": spread(sktie), "repeats": repeats}
    if not measured:
        reason = "scikit-learn has no such model"
        return row(name, facts, "no peer", reason, unit="B", **sides)
    best = min(measured, key=lambda solver: np.median(measured[solver]))
    peer = measured.pop(best)
    sides |= {"peer": {"name": best, **spread(peer)}}
    sides |= {"ratio": spread(np.divide(peer, sktie))}
    others = {solver: float(np.median(values)) for solver, values in measured.items()}
    return row(name, facts, unit="B", **sides, other_peers=others)


def summarise(rows):
    """The goal: at most the limit of each case; the number is the worst share of it."""
    shares = {
        "one model": [_share(r) for r in rows if r["sktie"] and not r["facts"]["T"]],
        "domains": [_share(r) for r in rows if r["sktie"] and r["facts"]["T"]],
    }
    text = "{}: at most 10 % of X (five classes: and three n x classes arrays)"
    return [
        goal(f"{text.format(what)}, as a share of that", share, lambda v: v <= 1, max)
        for what, share in shares.items()
    ]


def _share(row):
    return row["sktie"]["median"] / row["facts"]["limit"]


def _child(solver, facts):
    # Freed blocks go back to the system at once, so that none is reused unseen.
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, "--child", solver, json.dumps(facts)]
    answer = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE)
    return int(answer.stdout)


def child(solver, facts):
    """Bytes by which the peak of one fit exceeds the memory in use before it."""
    estimator = _estimator(solver, facts)
    rng = np.random.default_rng(0)
    estimator.fit(*_data(rng, 2_000, facts))
    X, y = _data(rng, facts["n"], facts)
    CLEAR_REFS.write_text("5")  # resets the peak
    before = kilobytes("VmRSS")
    estimator.fit(X, y)
    return 1024 * (kilobytes("VmHWM") - before)


def _estimator(solver, facts):
    if solver == "sktie":
        from sktie import TiedLogisticRegression

        pair = -1 if facts["T"] else None
        return TiedLogisticRegression(pair, tol=1e-8)
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(solver=solver, tol=1e-8, max_iter=1000)


def _data(rng, n, facts):
    X = gaussian_design(n, facts["p"], rng)
    y = draw_labels(X, facts["classes"], rng)
    if facts["T"]:  # the last of the p columns holds the domain
        X[:, -1] = rng.integers(0, facts["T"], n)
    return X, y


def kilobytes(field):
    for line in STATUS.read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"no {field} in {STATUS}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(child(sys.argv[2], json.loads(sys.argv[3])))
    else:
        sys.exit(main("memory", QUESTION, cases, summarise))
