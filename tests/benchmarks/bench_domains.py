"""Tied domains against scikit-learn on augmented features with the same minimum.

scikit-learn solves the tied problem as `LogisticRegression(C=1)` on EasyAdapt features,
dense or sparse, or, for two domains, on the two blocks [x, +-x]; the best of all these
with lbfgs, newton-cg and newton-cholesky is the peer. Building the augmented features
is NOT counted in the peer's time, while sktie's time holds everything, from the column
of domain labels on. Rows of the domains are mixed. C = 1 and tie = 1 unless the case
says otherwise; no intercept, so both sides have exactly the same objective.

"per domain" rows pair the fit of many domains with that of two; their ratio is the time
per domain at T=2 over that at the larger T.
"""

import sys
from dataclasses import replace
from functools import partial

import numpy as np
from _harness import LIMIT, Case, compare, compare_per_domain, logistic, main, tied
from _problems import Objective, draw_labels, easyadapt, gaussian_design, two_block
from _results import goal, ratios, row

QUESTION = (
    "Seconds to fit T tied domains, against the fastest solver of scikit-learn on "
    "augmented features (not counting their construction) at an equal objective."
)
GRID = [
    (T, p, n_t, 1.0)
    for n_t in (200, 2000)
    for p in (20, 100, 500)
    for T in (2, 8, 32, 64)
]
GRID[-1:-1] = [(8, 100, 200, tie) for tie in (0.01, 100.0)]  # the largest case is last
QUICK = [(2, 5, 100, 1.0), (3, 5, 100, 10.0)]
PER_DOMAIN = [(64, p, n_t) for n_t in (200, 2000) for p in (20, 100, 500)]

MAX_BYTES = 2e9  # of a dense augmented matrix, or of a Hessian on it
DENSE_FLOPS, SPARSE_FLOPS = 5e10, 2e8  # per second, generous for two cores
NEWTON_STEPS = 5


def cases(quick):
    """The grid of domains, features and rows per domain."""
    for_all = []
    for T, p, n_t, tie in QUICK if quick else GRID:
        name = f"T={T} p={p} n_t={n_t}" + f" tie={tie:g}" * (tie != 1)
        facts = {"T": T, "p": p, "n_t": n_t, "tie": tie}
        for_all.append(Case(name, facts, partial(run, name, facts)))
    for T, p, n_t in [(4, 5, 100)] if quick else PER_DOMAIN:
        name = f"per domain T={T} p={p} n_t={n_t}"
        facts = {"per_domain": T, "p": p, "n_t": n_t}
        for_all.append(Case(name, facts, partial(run_per_domain, name, facts)))
    return for_all


def problem(T, p, n_t, tie=1.0):
    """Features, domains, labels, and the objective they make."""
    rng = np.random.default_rng(0)
    X = gaussian_design(T * n_t, p, rng)
    domain = rng.permutation(np.repeat(np.arange(T), n_t))
    y = draw_labels(X, 2, rng, domain=domain, n_domains=T)
    return X, domain, y, Objective(X, y, tie=tie, domain=domain)


def run(name, facts, null):
    """Fit one tied problem with both libraries."""
    X, domain, y, objective = problem(**facts)
    peers, left_out = augmented(X, domain, y, facts["T"], facts["tie"])
    ours = tied(np.column_stack([X, domain]), y, pair=-1, tie=facts["tie"])
    return compare(name, facts, objective, ours, peers, left_out=left_out, null=null)


def augmented(X, domain, y, T, tie):
    """The peers, and the reasons of those that are not tried."""
    n, p = X.shape
    wide = (T + 1) * p
    encodings = [easyadapt(X, domain, T, 1.0, tie, dense=False)]
    if T == 2:
        encodings.append(two_block(X, domain, 1.0, tie))
    left_out = {}
    if n * wide * 8 <= MAX_BYTES:
        encodings.append(easyadapt(X, domain, T, 1.0, tie, dense=True))
    else:
        left_out["EasyAdapt dense"] = f"{n * wide * 8e-9:.1f} GB of features"
    peers = []
    for solver in ("lbfgs", "newton-cg", "newton-cholesky"):
        for encoding in encodings:
            label = f"{solver}, {encoding.name}"
            reason = too_slow(encoding.Z) if solver == "newton-cholesky" else None
            if reason:
                left_out[label] = reason
                continue
            peers.append(
                logistic(label, encoding.Z, y, encoding.restore, solver=solver)
            )
    return peers, left_out


def too_slow(Z):
    """Why newton-cholesky is not tried on these features; None where it is."""
    n, wide = Z.shape
    if 8 * wide**2 > MAX_BYTES:
        return f"{8e-9 * wide**2:.1f} GB of Hessian"
    if isinstance(Z, np.ndarray):
        step = 2 * n * wide**2 / DENSE_FLOPS
    else:
        step = 2 * n * (Z.nnz / n) ** 2 / SPARSE_FLOPS
    step += wide**3 / 3 / DENSE_FLOPS
    return f"estimated over {LIMIT:g} s" if NEWTON_STEPS * step > LIMIT else None


def run_per_domain(name, facts, null):
    """Time of sktie per domain on many domains, against that on two, in turns."""
    if null:
        return row(name, facts, "left out", "has no peer but sktie itself")
    sides = []
    for T in (facts["per_domain"], 2):
        X, domain, y, objective = problem(T, facts["p"], facts["n_t"])
        ours = tied(np.column_stack([X, domain]), y, pair=-1)
        sides.append((T, replace(ours, name=f"sktie at T={T}"), objective))
    return compare_per_domain(name, facts, *sides)


def summarise(rows):
    """The goals of the tied fit; a row without a peer counts as its least ratio."""
    two, many = (least_ratios(rows, T) for T in (2, 32))
    per_domain = [r for r in rows if "per_domain" in r["facts"]]
    times = 1.0 / np.array(ratios(per_domain))
    return [
        goal("T=2: median ratio >= 10", two, lambda v: v >= 10),
        goal("T=2: accepted from a median of 3", two, lambda v: v >= 3),
        goal("T=32: median ratio >= 50", many, lambda v: v >= 50),
        goal("T=32: accepted from a median of 30", many, lambda v: v >= 30),
        goal("T=64 over T=2, time per domain <= 1.3", times, lambda v: v <= 1.3, max),
    ]


def least_ratios(rows, T):
    """Median ratios at T; where every peer took over the limit, that limit counts."""
    alone = [
        LIMIT / r["sktie"]["median"]
        for r in rows
        if r["status"] == "no peer" and r["facts"].get("T") == T
    ]
    return ratios(rows, T=T) + alone


if __name__ == "__main__":
    sys.exit(main("domains", QUESTION, cases, summarise))
