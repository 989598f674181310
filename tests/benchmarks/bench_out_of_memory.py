"""Fits to rows in files: seconds a row against rows in memory, and peak memory.

Every fit runs in a process of its own. What is timed beside it is the same fit to the
same rows, read into memory before the clock starts; the ratio is of seconds for each
row. Memory is the peak of the process beyond what it holds before the fit, of which the
kernel keeps count (VmHWM, reset before the fit; mapped files count), so this runs on
Linux alone. The large cases hold 10 GiB of float64, and no fit in memory beside them.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from _harness import Case, main
from _results import goal, row, spread
from bench_memory import CLEAR_REFS, kilobytes

QUESTION = (
    "Seconds to fit rows in files, against the same rows in memory; and bytes of "
    "memory that a fit to 10 GiB needs."
)
P, T, STEP = 100, 10, 100_000
GIB = 1 << 30
#: Of the timed cases; a process may hold it.
SMALL = 3 * GIB // 2
LARGE = 10 * GIB
FORMATS = ("npy", "memmap", "parquet", "parquet, scratch")
MODELS = ("logistic", "lbfgs", "ridge", "poisson")


def cases(quick):
    """Each format and model on rows that fit into memory; some on 10 GiB."""
    found = []
    for model in MODELS[:1] if quick else MODELS:
        for kind in FORMATS[:2] if quick else FORMATS:
            size = 1 << 22 if quick else SMALL
            found.append(_case("speed", kind, model, size))
    for kind, model in (
        ()
        if quick
        else (
            ("memmap", "logistic"),
            ("npy", "logistic"),
            ("npy", "ridge"),
            ("npy", "poisson"),
            ("parquet", "ridge"),
            ("parquet", "logistic"),
        )
    ):
        found.append(_case("memory", kind, model, LARGE))
    return found


def _case(what, kind, model, size):
    name = f"{what}, {kind}, {model}"
    facts = {
        "kind": what,
        "format": kind,
        "model": model,
        "rows": size // (8 * (P + 1)),
        "p": P,
    }
    facts |= {"T": T, "GiB": round(size / GIB, 3)}
    return Case(name, facts, partial(run, what, name, facts))


def run(what, name, facts, null):
    """Time both sides in turn, or measure the memory of one."""
    if not CLEAR_REFS.exists():
        return row(name, facts, "left out", "needs Linux")
    folder = files(facts)
    if what == "memory":
        seconds, peak = _child(folder, facts["format"], facts)
        (folder / "whole.npy").unlink(missing_ok=True)  # as large as all the others
        facts = {**facts, "seconds": round(seconds, 1)}
        facts["us a row"] = round(1e6 * seconds / facts["rows"], 3)
        reason = "rows in memory would take it all"
        sides = {"sktie": spread([peak]), "repeats": 1}
        return row(name, facts, "no peer", reason, unit="B", **sides)
    pairs = [
        [_child(folder, kind, facts)[0] for kind in (facts["format"], "memory")]
        for _ in range(1 if facts["GiB"] < 0.1 else 3)
    ]
    streamed, held = np.transpose(pairs)
    if null:
        streamed = held
    return row(
        name,
        facts,
        sktie=spread(streamed),
        peer={"name": "rows in memory", **spread(held)},
        ratio=spread(held / streamed),
        repeats=len(pairs),
    )


@cache
def _scratch():
    return tempfile.TemporaryDirectory(prefix="sktie-")


def files(facts):
    """Return a folder of the rows of a case, made on the first call.

    They stay where the environment variable SKTIE_SCRATCH says.
    """
    place = os.environ.get("SKTIE_SCRATCH") or _scratch().name
    folder = Path(place) / f"sktie-rows-{facts['rows']}"
    folder.mkdir(exist_ok=True)
    if not (folder / "y.npy").exists():
        _write_npy(folder, facts["rows"])
    if facts["format"].startswith("parquet") and not (folder / "parquet").exists():
        _write_parquet(folder)
    return folder


def _write_npy(folder, n):
    rng = np.random.default_rng(0)
    W = rng.normal(size=(T, P)) / 10
    (folder / "X").mkdir(exist_ok=True)
    y = np.empty(n)
    # Three files, as a folder may hold; the first two are of equal length.
    bounds = [0, 2 * n // 5, 4 * n // 5, n]
    for part, (a, b) in enumerate(pairwise(bounds)):
        path = folder / "X" / f"{part}.npy"
        X = np.lib.format.open_memmap(path, "w+", np.float64, (b - a, P + 1))
        for start in range(0, b - a, STEP):
            rows = slice(start, min(start + STEP, b - a))
            domain = rng.integers(0, T, rows.stop - start)
            X[rows, :P] = rng.standard_normal((len(domain), P))
            X[rows, P] = domain
            score = np.einsum("ij,ij->i", X[rows, :P], W[domain])
            y[a + start : a + rows.stop] = score + rng.logistic(size=len(domain))
        X.flush()
    np.save(folder / "y.npy", y)


def _write_parquet(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    y, start = np.load(folder / "y.npy", mmap_mode="r"), 0
    (folder / "parquet").mkdir()
    for path in sorted((folder / "X").glob("*.npy")):
        X, writer = np.load(path, mmap_mode="r"), None
        for a in range(0, len(X), 1 << 20):  # rows of a group, as pyarrow has them
            block = np.asfortranarray(X[a : a + (1 << 20)])
            table = {f"x{j}": block[:, j] for j in range(P)}
            table["site"] = pa.array([f"s{int(t)}" for t in block[:, P]])
            table["y"] = y[start + a : start + a + len(block)]
            table = pa.table(table)
            target = folder / "parquet" / f"{path.stem}.parquet"
            writer = writer or pq.ParquetWriter(target, table.schema)
            writer.write_table(table)
        writer.close()
        start += len(X)


def summarise(rows):
    """At most 1.5 times the time of rows in memory; less than 1 GiB for 10 GiB."""
    slow = [1 / r["ratio"]["median"] for r in rows if r["ratio"]]
    npy = [
        1 / r["ratio"]["median"]
        for r in rows
        if r["ratio"] and not r["facts"]["format"].startswith("parquet")
    ]
    peaks = [r["sktie"]["median"] / GIB for r in rows if r["unit"] == "B"]
    return [
        goal("npy and memmap: at most 1.5 times as slow", npy, lambda v: v <= 1.5, max),
        goal("all formats: at most 1.5 times as slow", slow, lambda v: v <= 1.5, max),
        goal("10 GiB in less than 1 GiB", peaks, lambda v: v < 1, max),
    ]


def _child(folder, kind, facts):
    """Return seconds of a fit in a new process, and bytes of its peak."""
    command = [sys.executable, __file__, "--child", str(folder), kind, facts["model"]]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def child(folder, kind, model):
    """Fit one model, and tell what it took."""
    from sktie import TiedLogisticRegression, TiedPoissonRegressor, TiedRidge
    from sktie.streams import open_npy, open_parquet

    estimator = {
        "logistic": TiedLogisticRegression(pair=-1),
        "lbfgs": TiedLogisticRegression(pair=-1, solver="lbfgs"),
        "ridge": TiedRidge(pair=-1),
        "poisson": TiedPoissonRegressor(pair=-1),
    }[model]
    folder = Path(folder)
    y = np.load(folder / "y.npy")
    if model in ("logistic", "lbfgs"):
        y = y > 0
    elif model == "poisson":
        y = np.maximum(np.floor(y), 0)
    if kind.startswith("parquet"):
        scratch = folder if "scratch" in kind else None
        X = open_parquet(folder / "parquet", scratch=scratch).drop("y")
        estimator.set_params(pair="site")
    elif kind == "memmap":
        X = _one_map(folder)
    else:
        X = open_npy(folder / "X")
        X = X.to_numpy() if kind == "memory" else X
    small = np.random.default_rng(0).normal(size=(200, 3))
    TiedRidge().fit(small, small[:, 0])
    CLEAR_REFS.write_text("5")  # resets the peak
    before = kilobytes("VmRSS")
    start = time.perf_counter()
    estimator.fit(X, y)
    seconds = time.perf_counter() - start
    return seconds, 1024 * (kilobytes("VmHWM") - before)


def _one_map(folder):
    """Return a map of all rows, of one file that is made here."""
    path, parts = folder / "whole.npy", sorted((folder / "X").glob("*.npy"))
    if not path.exists():
        arrays = [np.load(part, mmap_mode="r") for part in parts]
        n = sum(map(len, arrays))
        whole = np.lib.format.open_memmap(path, "w+", np.float64, (n, P + 1))
        start = 0
        for array in arrays:
            for a in range(0, len(array), STEP):
                block = array[a : a + STEP]
                whole[start : start + len(block)] = block
                start += len(block)
        whole.flush()
    return np.load(path, mmap_mode="r")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(*sys.argv[2:5])))
    else:
        sys.exit(main("out_of_memory", QUESTION, cases, summarise))
