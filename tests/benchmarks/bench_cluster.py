"""A fit on a cluster: what a pass costs, how many there are, and how long they take.

The plan is for 1e9 rows, 100 features and 1000 domains on 100 workers of one core, in
chunks of 1e6 rows, ten on each worker. "mixed" rows have all domains in every chunk,
"sorted" ones lie by domain, so that a chunk holds one or two.

Measured, each in cells of its own:

"row ..."      seconds per row of what a worker does with a chunk in a pass for values
               and gradients, in one for Hessians, and in the survey before all passes;
               float64, seconds of one core, medians of repeats
"passes ..."   passes over all rows and over the sample that a fit at the default tol
               needs, at sizes that fit here; they should not grow with the rows
"cluster ..."  seconds of a pass on a LocalCluster of one and two workers, beside what
               the model below says of it (needs dask and distributed)

Computed, "plan ...": the seconds of a pass on 100 workers, by a simulation of 200
passes, and those of a fit, which are passes times these. Its assumptions are SETTINGS:
the scheduler starts tasks one after the other, each worker runs its tasks in order, a
worker receives what is sent to it one after the other, with a latency and a bandwidth;
parameters are handed on from worker to worker, so that those who have them double;
sums are added up eight at a time on the worker that holds most of them; the time of a
task varies (lognormal), and some workers are slow.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import joblib
import numpy as np
from _cells import Study, main
from _results import goal
from threadpoolctl import threadpool_limits

from sktie import TiedLogisticRegression
from sktie._loss import classification_loss
from sktie._row_sums import RowSums
from sktie.streams import _local
from sktie.streams._blocks import Assembly, Given, Reading, survey
from sktie.streams._files import ArrayStream
from sktie.streams._parts import LossWork

QUESTION = "How long would a fit to 1e9 rows on 100 workers take?"
FEATURES = 100
SETTINGS = {
    "rows": 1_000_000_000,
    "features": FEATURES,
    "domains": 1000,
    "workers": 100,
    "chunks": 1000,
    "share of a sample": 1 / 32,
    "fan in": 8,
    "bandwidth, bytes per s": 1.25e9,
    "latency, s": 1e-3,
    "scheduler, s per task": 1e-3,
    "adding, bytes per s": 2e9,
    "spread of a task (sigma of its logarithm)": 0.1,
    "share of slow workers": 0.02,
    "a slow worker takes": 1.5,
}
LAYOUTS = ("mixed", "sorted")
SOLVERS = ("newton-cholesky", "lbfgs")
KINDS = ("gradient", "Hessian")


def keys(quick):
    """Costs and passes first, then what is made of them."""
    if quick:
        sizes, workers = [20_000], [1]
    else:
        sizes, workers = [100_000, 200_000, 400_000], [1, 2]
    passes = [f"passes {solver} n={n}" for solver in SOLVERS for n in sizes]
    cluster = [f"cluster workers={w}" for w in workers]
    plans = [f"plan {solver} {layout}" for solver in SOLVERS for layout in LAYOUTS]
    return [[f"row {layout}" for layout in LAYOUTS] + passes, cluster, plans]


def measure(key, quick, known):
    """One cell."""
    kind, *more = key.split()
    if kind == "row":
        return row_cost(more[0], quick)
    if kind == "passes":
        return passes(more[0], int(more[1].split("=")[1]))
    if kind == "cluster":
        return cluster(int(more[0].split("=")[1]), quick, known)
    return plan(*more, quick, known)


def data(n_rows, n_domains, layout):
    """Rows with the domain in the last column, and two classes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, FEATURES + 1))
    domain = rng.integers(0, n_domains, n_rows)
    coef = rng.normal(size=FEATURES) / 10
    y = X[:, :-1] @ coef + rng.logistic(size=n_rows) > 0
    if layout == "each":  # as often as any other
        domain = np.arange(n_rows) % n_domains
    X[:, -1] = np.sort(domain) if layout == "sorted" else domain
    return X, y.astype(np.int8)


def block_work(X, y):
    """The two passes over a block, and its survey, as functions without arguments."""
    reading = Reading("TiedLogisticRegression", -1, labels=True)
    given = Given(X, y)
    kept, digest = survey(reading, given)
    loss = classification_loss(2)
    members = np.zeros((len(digest.domains), 1, FEATURES + 1))
    assembly = Assembly(reading, X.dtype, fit_intercept=True)
    gradient, hessian = (
        LossWork(assembly, loss, 0, what, (members,))
        for what in ("value_gradient", "hessians")
    )
    return (
        lambda: gradient(given, kept),
        lambda: hessian(given, kept),
        lambda: survey(reading, given),
    )


def timed(function, repeats, clock=time.perf_counter):
    """The median of some repeats, after one that does not count, in seconds."""
    function()
    seconds = []
    for _ in range(repeats):
        gc.collect()
        start = clock()
        function()
        seconds.append(clock() - start)
    return float(np.median(seconds))


def row_cost(layout, quick):
    """Seconds per row of the passes over a chunk; of a sorted one, of few domains."""
    n_rows = 20_000 if quick else SETTINGS["rows"] // SETTINGS["chunks"]
    many = 20 if quick else SETTINGS["domains"]
    n_domains = many if layout == "mixed" else 2
    work = block_work(*data(n_rows, n_domains, layout))
    repeats = 2 if quick else 3
    with threadpool_limits(1):
        found = [timed(own, repeats, time.process_time) / n_rows for own in work]
    names = ("gradient", "Hessian", "survey")
    return {name: float(f"{own:.3g}") for name, own in zip(names, found, strict=True)}


@dataclass(frozen=True)
class CountedSample(RowSums):
    """A sample of the rows that counts the passes over it."""

    counts: dict = field(default_factory=dict)

    def value_gradient(self, members):
        self.counts["gradient of sample"] += 1
        return super().value_gradient(members)

    def hessians(self, members):
        self.counts["Hessian of sample"] += 1
        return super().hessians(members)


@contextmanager
def counting():
    """Yield what will be the passes over all rows, and over a sample of them."""
    found = {kind + of: 0 for kind in KINDS for of in ("", " of sample")} | {
        "sample": 0
    }
    parts = _local.StreamedParts
    total, sample = parts.total, parts.sample

    def counted(self, work, *given):
        found["Hessian" if work.what == "hessians" else "gradient"] += 1
        return total(self, work, *given)

    def drawn(self, *given):
        rows = sample(self, *given)
        found["sample"] = rows.design.n_rows
        return CountedSample(**vars(rows), counts=found)

    parts.total, parts.sample = counted, drawn
    try:
        yield found
    finally:
        parts.total, parts.sample = total, sample


def passes(solver, n_rows):
    """How many passes a fit takes, over all rows and over a sample."""
    X, y = data(n_rows, n_rows // 10_000, "mixed")
    with counting() as found:
        stream = ArrayStream([X], [n_rows // 10] * 10)
        model = TiedLogisticRegression(pair=-1, solver=solver).fit(stream, y)
    return {**found, "iterations": int(model.n_iter_), "rows": n_rows}


def chunk_seconds(n_rows, n_domains):
    """Seconds of both passes over a chunk without dask; as many run as are workers."""
    X, y = data(n_rows, n_domains, "each")
    # Several of them, so that none is in the cache from the pass before.
    work = [block_work(X.copy(), y) for _ in range(6)]

    def run(kind):
        for functions in work:
            functions[kind]()

    with threadpool_limits(1):
        return [timed(partial(run, kind), 3) / len(work) for kind in range(2)]


def cluster(n_workers, quick, known):
    """Seconds of passes on processes of this machine, and what the model says."""
    try:
        import dask
        import dask.array as da
        from distributed import Client, LocalCluster
    except ImportError:
        return {"left out": "needs dask and distributed"}
    from sktie.streams import _dask

    n_rows, n_chunks, n_domains = (2000, 2, 2) if quick else (320_000, 16, 100)
    seconds = {}
    run = _dask.DaskParts.total

    def total(self, work, *given):
        start = time.perf_counter()
        result = run(self, work, *given)
        what = "Hessian" if work.what == "hessians" else "gradient"
        seconds.setdefault(what, []).append(time.perf_counter() - start)
        return result

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    own = {"n_workers": n_workers, "threads_per_worker": 1, "memory_limit": 0}
    _dask.DaskParts.total = total
    try:
        with LocalCluster(**own, dashboard_address=":0") as local, Client(local):
            passing = {}
            for size, rows in (("empty", n_domains * n_chunks), ("full", n_rows)):
                X, y = data(rows, n_domains, "each")
                step = rows // n_chunks
                chunks = dask.persist(
                    da.from_array(X, chunks=(step, FEATURES + 1)),
                    da.from_array(y, chunks=step),
                )
                del X, y
                seconds.clear()
                for _ in range(1 if quick else 2):
                    TiedLogisticRegression(pair=-1, solver="newton-cholesky").fit(
                        *chunks
                    )
                passing[size] = {k: float(np.median(v)) for k, v in seconds.items()}
    finally:
        _dask.DaskParts.total = run
    side_by_side = joblib.Parallel(n_workers)(
        joblib.delayed(chunk_seconds)(n_rows // n_chunks, n_domains)
        for _ in range(n_workers)
    )
    alone = dict(zip(KINDS, np.mean(side_by_side, axis=0).tolist(), strict=True))
    chunks_each = -(-n_chunks // n_workers)
    cell = {"rows": n_rows, "chunks": n_chunks}
    for kind in KINDS:
        if kind in passing["full"]:
            # What is not rows: tasks, transfers and sums.
            around = passing["empty"].get(kind, passing["empty"]["gradient"])
            cell[kind] = {
                "measured s": round(passing["full"][kind], 4),
                "without rows s": round(around, 4),
                "modelled s": round(around + chunks_each * alone[kind], 4),
            }
    return cell


def plan(solver, layout, quick, known):
    """Seconds of passes and of a fit on the cluster of the plan."""
    cost = known[f"row {layout}"]
    stored = [cell for name, cell in known.items() if f"passes {solver}" in name]
    counts = max(stored, key=lambda cell: cell["rows"])
    rng, cell = np.random.default_rng(0), {}
    # The survey, and the drawing of a sample, are passes of their own.
    each = SETTINGS["rows"] / SETTINGS["workers"]
    fit = each * (cost["survey"] + (cost["gradient"] if counts["sample"] else 0.0))
    cell["survey and sample s"] = round(fit, 2)
    for kind in KINDS:
        for of, share in (("", 1.0), (" of sample", SETTINGS["share of a sample"])):
            n_passes = counts[kind + of]
            if n_passes == 0:
                continue
            row = share * cost[kind]
            simulated = [
                one_pass(kind, layout, row, rng) for _ in range(20 if quick else 200)
            ]
            seconds, received = np.transpose(simulated)
            low, median, high = (
                np.quantile(seconds, [0.05, 0.5, 0.95]).round(3).tolist()
            )
            cell[kind + of] = {
                "passes": n_passes,
                "s": {"p5": low, "median": median, "p95": high},
                "compute s": round(row * each, 3),
                "bytes out to a worker": result_bytes("gradient", SETTINGS["domains"]),
                "bytes of a chunk": result_bytes(kind, domains_of(layout)),
                "bytes into the busiest worker": int(np.median(received)),
                "bytes to the client": result_bytes(kind, SETTINGS["domains"]),
            }
            fit += n_passes * median
    cell["fit s"] = round(fit, 1)
    return cell


def domains_of(layout):
    """Domains in a chunk."""
    return SETTINGS["domains"] if layout == "mixed" else 2


def result_bytes(kind, n_domains):
    """What parameters, or gradients, or Hessians of domains take."""
    size = FEATURES + 1
    return 8 * n_domains * (size**2 if kind == "Hessian" else size)


def one_pass(kind, layout, cost, rng):
    """Seconds of a simulated pass, and the bytes that the busiest worker receives."""
    s = SETTINGS
    n_workers, n_chunks = s["workers"], s["chunks"]
    rate, latency, start = (
        s["bandwidth, bytes per s"],
        s["latency, s"],
        s["scheduler, s per task"],
    )
    # Parameters: those who have them double in each round.
    rounds = np.ceil(np.log2(np.arange(1, n_workers + 1)))
    parameters = result_bytes("gradient", s["domains"])
    free = rounds * (latency + parameters / rate)  # when each worker is
    slow = np.where(
        rng.uniform(size=n_workers) < s["share of slow workers"],
        s["a slow worker takes"],
        1.0,
    )
    sigma = s["spread of a task (sigma of its logarithm)"]
    rows = s["rows"] // n_chunks
    received = np.zeros(n_workers)
    n_started = 0
    # Results: when, where, first and last domain of the sorted ones.
    level = []
    for chunk in range(n_chunks):
        worker = chunk * n_workers // n_chunks
        n_started += 1
        begin = max(free[worker], n_started * start)
        own = cost * rows * slow[worker] * rng.lognormal(sigma=sigma)
        free[worker] = begin + own
        level.append((free[worker], worker, domains_of(layout)))
    while len(level) > 1:
        after = []
        for first in range(0, len(level), s["fan in"]):
            group = level[first : first + s["fan in"]]
            places = [worker for _, worker, _ in group]
            worker = max(set(places), key=places.count)
            n_domains = min(s["domains"], sum(own for _, _, own in group))
            n_started += 1
            ready = max(max(end for end, _, _ in group), n_started * start)
            coming = sum(
                result_bytes(kind, own) for _, place, own in group if place != worker
            )
            n_coming = sum(place != worker for place in places)
            added = sum(result_bytes(kind, own) for _, _, own in group)
            received[worker] += coming
            begin = max(ready, free[worker])
            end = begin + n_coming * latency + coming / rate
            free[worker] = end + added / s["adding, bytes per s"]
            after.append((free[worker], worker, n_domains))
        level = after
    end, _, n_domains = level[0]
    return end + latency + result_bytes(kind, n_domains) / rate, received.max()


def summarise(cells):
    """The plan in a few lines, and whether the model is near what was measured."""
    near = [
        cell[kind]["measured s"] / cell[kind]["modelled s"]
        for name, cell in cells.items()
        if name.startswith("cluster")
        for kind in KINDS
        if kind in cell
    ]
    off = [max(ratio, 1 / ratio) for ratio in near]
    return {
        "fits": {k: c["fit s"] for k, c in cells.items() if k.startswith("plan")},
        "goals": [
            goal(
                "model within a factor of 2 of passes here", off, lambda v: v <= 2, max
            )
        ],
    }


def show(summary):
    """Print the seconds of the plan and the goals."""
    for name, seconds in summary["fits"].items():
        print(f"{name:32} {seconds:8.1f} s")
    for line in summary["goals"]:
        print(f"{line['goal']:42} {line['value']}  met: {line['met']}")


STUDY = Study("cluster", QUESTION, SETTINGS, keys, measure, summarise, show)

if __name__ == "__main__":
    sys.exit(main(STUDY))
