"""How the benchmarks compare two solvers of one problem, and their command line.

Rules, the same for both sides, fixed before anything is timed:

1. A row counts only where both sides are at the same minimum. The objective is computed
   by `_problems.Objective`, from its formula; the best-known minimum comes from a tight
   fit and carries a certificate (a bound from strong convexity, whoever found it) of at
   most 1e-8; each timed side has to be within 1e-6 of it, relatively.
2. Each side runs with the loosest `tol` of 1e-1, 1e-2, ... 1e-12 that reaches this gap,
   so nobody is timed on a needlessly tight stop.
3. The peer is the fastest of the listed ones. They race: one that needs more than
   twice the fastest so far, at any `tol`, or more than 120 s, is out, and the row says
   so. The finalists are timed again before the fastest is named.
4. Timings are paired in one process: A, B, A, B, ... after a warm-up, with a garbage
   collection before each; 5 to 25 pairs (3 where a fit takes over 5 s). The ratio is
   the median over the pairs.

The results are described in `_results.py`. Command line of every benchmark::

    python tests/benchmarks/bench_x.py [--quick] [--force] [--cases REGEX] [--null]

A case already measured with the same code and versions on the same kind of machine is
skipped unless `--force`. `--quick` runs a tiny seeded form in seconds, stores nothing.
`--null` times the peer against itself, stores nothing, and its ratios have to be about
1: else the machine is too noisy to measure on.
"""

from __future__ import annotations

import argparse
import gc
import re
import signal
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from _results import DIRECTORY, Results, as_line, row, spread

GAP = 1e-6  # relative objective gap at which two fits count as equal
LADDER = tuple(10.0**-k for k in range(1, 13))
LIMIT = 120.0  # seconds for one fit of a peer
LEAD = 2.0  # a peer this much slower than the fastest so far is out of the race


@dataclass(frozen=True)
class Solver:
    """One way to solve a problem.

    Parameters
    ----------
    name : str
    fit : callable
        `fit(tol)` returns a fitted estimator; this call is timed.
    parameters : callable
        From the estimator to (T, K, p) coefficients and (T, K) intercepts.
    tight : float
        The `tol` for an accurate minimum.
    """

    name: str
    fit: Callable
    parameters: Callable
    tight: float = 1e-12


@dataclass(frozen=True)
class Case:
    """One row to be: its name, its facts, and `run(null)`, which returns the row."""

    name: str
    facts: dict
    run: Callable


@dataclass(frozen=True)
class Entry:
    """A solver at the loosest tolerance that reaches the gap, and how to check it."""

    solver: Solver
    tol: float
    seconds: float  # of that one fit
    gap: Callable

    def fit(self):
        """The call that is timed."""
        return self.solver.fit(self.tol)


class OutError(Exception):
    """A solver is out of the race; the message says why."""


def compare(case, facts, objective, ours, peers, *, left_out=None, null=False):
    """The row of sktie's solver `ours` against the fastest of `peers`.

    Parameters
    ----------
    case, facts : str, dict
        As in the row.
    objective : Objective
        What every solver minimises.
    ours : Solver
    peers : list of Solver
        Those expected to be fast first: it shortens the race.
    left_out : dict, optional
        {name: reason} of peers that are not even tried.
    null : bool
        Time the fastest peer against itself.
    """
    outcomes = dict(left_out or {})
    minimum = certified_minimum(objective, peers if null else [ours, *peers])
    stored = {"minimum": minimum, "other_peers": outcomes}
    fastest = race(peers, objective, minimum, outcomes)
    try:
        own = fastest if null else qualify(ours, objective, minimum)
    except OutError as reason:
        return row(case, facts, "failed", f"sktie: {reason}", **stored)
    if own is None:
        return row(case, facts, "failed", "no peer to time against itself", **stored)
    if fastest is None:
        seconds, fits = timed_rounds([own], 3)
        side = _side(own, seconds[0], fits[0])
        return row(case, facts, "no peer", "see other_peers", sktie=side, **stored)
    return row(case, facts, **timed_pairs(own, fastest), **stored)


def compare_per_domain(case, facts, many, two):
    """The row of sktie's time per domain on `many` domains; the peer is it on `two`.

    Both are (n_domains, solver, objective).
    """
    entries = []
    for _, solver, objective in (many, two):
        entries.append(
            qualify(solver, objective, certified_minimum(objective, [solver]))
        )
    measured = timed_pairs(*entries, shares=(many[0], two[0]))
    return row(case, facts, unit="s/domain", **measured)


def certified_minimum(objective, solvers):
    """The least objective of tight fits, as soon as one is certified to GAP / 100."""
    best = None
    for solver in solvers:
        try:
            with _time_limit(LIMIT):
                fitted = _silent(solver.fit, solver.tight)
        except TimeoutError:
            continue
        parameters = solver.parameters(fitted)
        found = {
            "objective": float(objective(parameters)),
            "certificate": float(objective.certificate(parameters)),
        }
        if best is None or found["certificate"] < best["certificate"]:
            best = found
        if best["certificate"] <= GAP / 100:
            return best
    raise RuntimeError(f"no solver reached a certified minimum; the best was {best}")


def race(peers, objective, minimum, outcomes):
    """The fastest peer that reaches the gap, or None; `outcomes` gets the others."""
    entries, limit = [], LIMIT
    for peer in peers:
        try:
            entry = qualify(peer, objective, minimum, limit)
        except OutError as reason:
            outcomes[peer.name] = str(reason)
            continue
        entries.append(entry)
        outcomes[peer.name] = entry.seconds
        limit = min(limit, LEAD * entry.seconds + 0.05)  # 0.05 s: the timer's slack
    if not entries:
        return None
    best = min(entry.seconds for entry in entries)
    finalists = [entry for entry in entries if entry.seconds <= LEAD * best]
    if len(finalists) > 1:
        seconds, _ = timed_rounds(finalists, 5 if best < 1 else 1)
        finals = np.median(seconds, axis=1)
        outcomes.update(zip((e.solver.name for e in finalists), finals, strict=True))
        finalists = [finalists[np.argmin(finals)]]
    outcomes.pop(finalists[0].solver.name)
    return finalists[0]


def qualify(solver, objective, minimum, limit=np.inf):
    """The entry of a solver at the loosest tolerance of the ladder that reaches GAP."""

    def gap(fitted):
        value = objective(solver.parameters(fitted))
        return float(value / minimum["objective"] - 1.0)

    for tol in LADDER:
        start = time.perf_counter()
        try:
            with _time_limit(limit):
                fitted = _silent(solver.fit, tol)
        except TimeoutError:
            raise OutError(f"over {limit:.3g} s at tol {tol:.0e}") from None
        seconds = time.perf_counter() - start
        reached = gap(fitted)
        if reached <= GAP:
            return Entry(solver, tol, seconds, gap)
        if np.max(fitted.n_iter_) >= fitted.max_iter:
            raise OutError(f"gap {reached:.0e} after {fitted.max_iter} iterations")
    raise OutError(f"gap {reached:.0e} at tol {LADDER[-1]:.0e}")


def timed_rounds(entries, n_rounds, clock=time.perf_counter):
    """Seconds (n_entries, n_rounds), the entries taking turns; and their last fits."""
    seconds = np.empty((len(entries), n_rounds))
    fits = [None] * len(entries)
    for turn in range(n_rounds):
        for i, entry in enumerate(entries):
            fits[i] = None
            gc.collect()
            start = clock()
            fits[i] = _silent(entry.fit)
            seconds[i, turn] = clock() - start
    return seconds, fits


def timed_pairs(own, peer, shares=(1, 1), clock=time.perf_counter):
    """The measured fields of a row: two entries in turns, after a warm-up.

    The seconds of each side are divided by its share.
    """
    warm, _ = timed_rounds([own, peer], 1, clock)
    pairs = 3 if warm.max() > 5 else int(np.clip(4 / warm.sum(), 5, 25))
    seconds, fits = timed_rounds([own, peer], pairs, clock)
    seconds /= np.array(shares)[:, None]
    sides = [_side(*side) for side in zip((own, peer), seconds, fits, strict=True)]
    return {
        "sktie": sides[0],
        "peer": {"name": peer.solver.name, **sides[1]},
        "ratio": spread(seconds[1] / seconds[0]),
        "repeats": pairs,
    }


def _side(entry, seconds, fitted):
    gap = entry.gap(fitted)
    assert gap <= GAP, (
        f"{entry.solver.name}: a timed fit is {gap:.1e} above the minimum"
    )
    return {**spread(seconds), "tol": entry.tol, "gap": gap}


def _silent(function, *args):
    """Call without warnings: loose stops and iteration limits are judged by the gap."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args)


@contextmanager
def _time_limit(seconds):
    """Raise TimeoutError after `seconds`, as soon as Python runs between C calls."""
    if not np.isfinite(seconds) or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(signum, frame):
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def main(name, question, make_cases, summarise):
    """The command line of one benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--quick", action="store_true", help="tiny form; not stored")
    parser.add_argument("--force", action="store_true", help="measure again")
    parser.add_argument("--cases", default="", metavar="REGEX", help="only these")
    parser.add_argument("--null", action="store_true", help="peer against itself")
    args = parser.parse_args()
    command = f"python tests/benchmarks/bench_{name}.py"
    cases = make_cases(args.quick)
    gc.freeze()  # the modules: without it each collection would take 70 ms
    with tempfile.TemporaryDirectory() as scratch:
        directory = scratch if args.quick or args.null else DIRECTORY
        results = Results(name, question, command, directory)
        for case in cases:
            if not re.search(args.cases, case.name):
                continue
            known = case.name in results and not args.force
            if not known:
                gc.collect()
                results.add(case.run(null=args.null))
                results.write([case.name for case in cases], summarise)
            print(as_line(results[case.name]), "(stored)" * known, flush=True)
        content = results.write([case.name for case in cases], summarise)
    if not (args.quick or args.null):
        for line in content["summary"]:
            print("goal: {goal} | value {value} | met {met}".format(**line))
    return int(any(row["status"] == "failed" for row in content["rows"]))


def logistic(name, X, y, restore=None, **parameters):
    """A scikit-learn `LogisticRegression` as a `Solver`.

    `restore` takes `coef_` to the (T, K, p) coefficients of the objective.
    """
    from sklearn.linear_model import LogisticRegression

    parameters = {"max_iter": 10_000, "fit_intercept": False, **parameters}

    def fit(tol):
        return LogisticRegression(tol=tol, **parameters).fit(X, y)

    def restored(fitted):
        coef = fitted.coef_[None] if restore is None else restore(fitted.coef_)
        shape = coef.shape[:2]
        return coef, np.broadcast_to(fitted.intercept_, shape)

    return Solver(name, fit, restored)


def tied(X, y, **parameters):
    """A `sktie.TiedLogisticRegression` as a `Solver`."""
    parameters = {"max_iter": 10_000, "fit_intercept": False, **parameters}

    def fit(tol):
        from sktie import TiedLogisticRegression

        return TiedLogisticRegression(tol=tol, **parameters).fit(X, y)

    def restored(fitted):
        if hasattr(fitted, "domain_coef_"):
            return fitted.domain_coef_, fitted.domain_intercept_
        return fitted.coef_[None], fitted.intercept_[None]

    return Solver("sktie", fit, restored, tight=1e-20)
