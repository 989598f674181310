"""Benchmarks of accuracy: many small results, cells, and a summary of them.

One JSON file per benchmark, `tests/benchmarks/results/<name>.json`:

    format        1
    benchmark, question, command
                  as in `_results.py`
    environments  {id: environment}, as there
    settings      what the benchmark fixed beforehand
    cells         {key: {"environment": id, "seconds": number, ...}}; the rest is the
                  benchmark's own, and described in its file
    summary       likewise

Command line of every benchmark::

    python tests/benchmarks/bench_x.py [--quick] [--force] [--cases REGEX] [--jobs N]

A run is resumed where it stopped: cells that were measured with the same code and
versions are skipped unless `--force`. `--cases` takes the keys that match, `--jobs`
so many at a time. `--quick` runs a tiny form in seconds and stores nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
from dataclasses import dataclass
from typing import Any

import joblib
from _results import DIRECTORY, environment


@dataclass(frozen=True)
class Study:
    """What a benchmark of accuracy does.

    Attributes
    ----------
    name, question : str
        As in the file of results.
    settings : dict
        What was fixed beforehand.
    keys : callable
        `keys(quick)` returns lists of keys, one for each stage.
    measure : callable
        `measure(key, quick, known)` returns a cell; known is {key: cell} of what the
        stages before have measured.
    summarise : callable
        From {key: cell} to the summary.
    show : callable
        Prints a summary.
    """

    name: str
    question: str
    settings: dict
    keys: Any
    measure: Any
    summarise: Any
    show: Any


def main(study):
    """The command line of one benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(description=study.question)
    parser.add_argument("--quick", action="store_true", help="tiny form; not stored")
    parser.add_argument("--force", action="store_true", help="measure again")
    parser.add_argument("--cases", default="", metavar="REGEX", help="only these cells")
    parser.add_argument("--jobs", type=int, default=1, help="cells at a time")
    args = parser.parse_args()
    path = DIRECTORY / f"{study.name}.json"
    here = environment()
    own = hashlib.sha256(json.dumps(here, sort_keys=True).encode()).hexdigest()[:12]
    stored = json.loads(path.read_text()) if path.exists() and not args.quick else {}
    environments = {**stored.get("environments", {}), own: here}
    cells = stored.get("cells", {})
    stages = study.keys(args.quick)
    keys = [key for stage in stages for key in stage]
    for stage in stages:
        todo = [
            key
            for key in stage
            if re.search(args.cases, key)
            and (args.force or cells.get(key, {}).get("environment") != own)
        ]
        work = joblib.Parallel(args.jobs, return_as="generator_unordered")
        known = dict(cells)
        for key, cell in work(
            joblib.delayed(_timed)(study.measure, key, args.quick, known)
            for key in todo
        ):
            cells[key] = {"environment": own, **cell}
            ordered = {key: cells[key] for key in keys if key in cells}
            if not args.quick:
                _write(path, study, environments, ordered)
            print(f"{key} ({cell['seconds']:.1f} s)", flush=True)
    ordered = {key: cells[key] for key in keys if key in cells}
    if ordered:
        study.show(study.summarise(ordered))
    return 0


def _timed(measure, key, quick, known):
    start = time.perf_counter()
    cell = measure(key, quick, known)
    return key, {"seconds": round(time.perf_counter() - start, 2), **cell}


def _write(path, study, environments, cells):
    used = {cell["environment"] for cell in cells.values()}
    content = {
        "format": 1,
        "benchmark": study.name,
        "question": study.question,
        "command": f"python tests/benchmarks/bench_{study.name}.py",
        "environments": {k: v for k, v in environments.items() if k in used},
        "settings": study.settings,
        "cells": cells,
        "summary": study.summarise(cells),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=0, allow_nan=False) + "\n")
    part.replace(path)
