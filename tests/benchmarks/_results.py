"""The result format of the benchmarks.

One JSON file per benchmark, `tests/benchmarks/results/<name>.json`:

    format        1, the version of this description
    benchmark     the name, "domains" for bench_domains.py
    question      what is measured, in one sentence
    command       what wrote the file
    environments  {id: environment}, see below; usually one
    rows          a list, one per case, see below
    summary       a list of {"goal", "value", "met"}: each goal of the benchmark in
                  words, the number reached (null: nothing measured), true or false

An environment holds `python`, `numpy`, `scipy`, `sklearn`, `sktie` (versions),
`sktie_source` (a hash of the code, without comments and docstrings), `system`, `cpu`,
`cores` and `blas`, a list of {"name", "version", "threads"}. No host name, no path.

A row holds

    case          its name, unique in the file, such as "T=8 p=100 n_t=200"
    facts         {name: number or string}: the same, for tables
    environment   the id of the environment it was measured in
    status        "measured", "no peer" (sktie was measured alone), "left out" (nothing
                  was measured) or "failed" (sktie never reached the gap)
    reason        why the status is not "measured"; null otherwise
    unit          "s" (seconds), "s/domain", "us/image" or "B" (bytes); lower is better
    sktie         {"median", "q1", "q3"} over the repeats; timings also have "tol", the
                  tolerance used, and "gap", the relative objective gap reached
    peer          the same, and "name": the best of the peers
    ratio         {"median", "q1", "q3"} of peer / sktie over the pairs: how many times
                  better sktie is
    repeats       the number of pairs
    minimum       {"objective", "certificate"}: the best value known, and a bound on how
                  far, relatively, it lies above the true minimum
    other_peers   {name: outcome}: the seconds of a single fit, or why there are none

Fields that do not apply are null. A row measured on older code stays until its case is
run again; its `environment` tells.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import os
import pkgutil
import platform
from pathlib import Path

import numpy as np
import threadpoolctl

FORMAT = 1
DIRECTORY = Path(__file__).parent / "results"
STATUSES = ("measured", "no peer", "left out", "failed")


def spread(values):
    """Median and quartiles of a sample, as a row stores them."""
    q1, median, q3 = np.percentile(np.asarray(values, dtype=float), [25, 50, 75])
    return {"median": float(median), "q1": float(q1), "q3": float(q3)}


def row(case, facts, status="measured", reason=None, unit="s", **measured):
    """A row with every field of the format; those not given are null."""
    assert status in STATUSES
    assert (status == "measured") == (reason is None)
    empty = dict.fromkeys(
        ("sktie", "peer", "ratio", "repeats", "minimum", "other_peers")
    )
    head = {"case": case, "facts": facts, "environment": None, "status": status}
    return {**head, "reason": reason, "unit": unit, **empty, **measured}


def environment():
    """Versions and machine facts that a timing depends on, without names or paths."""
    versions = {"python": platform.python_version()}
    for name in ("numpy", "scipy", "sklearn", "sktie"):
        versions[name] = _version(name)
    blas = [
        {
            "name": library["internal_api"],
            "version": library["version"],
            "threads": library["num_threads"],
        }
        for library in threadpoolctl.threadpool_info()
        if library["user_api"] == "blas"
    ]
    machine = {"system": f"{platform.system()} {platform.machine()}", "cpu": _cpu()}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    machine |= {"cores": cores or os.cpu_count(), "blas": blas}
    return {**versions, "sktie_source": _source_hash(), **machine}


def _version(name):
    try:
        return importlib.import_module(name).__version__
    except ImportError:
        return None


def _cpu():
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _source_hash():
    """Hash of sktie's code; editing a comment or a docstring does not change it."""
    package = pkgutil.resolve_name("sktie") if _version("sktie") else None
    if package is None:
        return None
    root, digest = Path(package.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value = ast.Constant(None)  # a docstring
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()[:12]


class Results:
    """The result file of one benchmark; written after every row, so a run resumes."""

    def __init__(self, name, question, command, directory=DIRECTORY):
        self.path = Path(directory) / f"{name}.json"
        head = {"format": FORMAT, "benchmark": name, "question": question}
        self._head = {**head, "command": command}
        self._environment = environment()
        text = json.dumps(self._environment, sort_keys=True)
        self._id = hashlib.sha256(text.encode()).hexdigest()[:12]
        stored = json.loads(self.path.read_text()) if self.path.exists() else {}
        if stored.get("format") != FORMAT:
            stored = {}
        self._environments = stored.get("environments", {}) | {
            self._id: self._environment
        }
        self._rows = {row["case"]: row for row in stored.get("rows", [])}

    def __contains__(self, case):
        """Whether the case was measured in this environment, with this code."""
        stored = self._rows.get(case)
        return (
            stored is not None
            and stored["environment"] == self._id
            and stored["status"] != "failed"
        )

    def __getitem__(self, case):
        return self._rows[case]

    def add(self, row):
        """Store a row in place of any older one of its case."""
        self._rows[row["case"]] = {**row, "environment": self._id}

    def write(self, cases, summarise):
        """Write the rows of `cases`, in that order, and the summary of them."""
        rows = [self._rows[case] for case in cases if case in self._rows]
        used = {row["environment"] for row in rows}
        content = {
            **self._head,
            "environments": {k: v for k, v in self._environments.items() if k in used},
            "rows": rows,
            "summary": summarise(rows),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
        part.replace(self.path)
        return content


def goal(text, values, met, reduce=np.median):
    """One line of a summary: `reduce` of the values, and whether it meets the goal."""
    if not len(values):
        return {"goal": text, "value": None, "met": None}
    value = float(reduce(values))
    return {"goal": text, "value": value, "met": bool(met(value))}


def ratios(rows, **facts):
    """The median ratios of the measured rows with the given facts."""
    return [
        row["ratio"]["median"]
        for row in rows
        if row["ratio"] and all(row["facts"].get(k) == v for k, v in facts.items())
    ]


def as_line(row):
    """One row as a line of text for the terminal."""
    parts = [f"{row['case']:36}"]
    if row["sktie"]:
        parts.append(f"sktie {_quantity(row['sktie'], row['unit'])}")
    if row["peer"]:
        parts.append(f"{row['peer']['name']} {_quantity(row['peer'], row['unit'])}")
    if row["ratio"]:
        parts.append("ratio {median:.2f} ({q1:.2f}-{q3:.2f})".format(**row["ratio"]))
    if row["reason"]:
        parts.append(f"{row['status']}: {row['reason']}")
    return " | ".join(parts)


def _quantity(side, unit):
    scale, name = (1e-6, "MB") if unit == "B" else (1.0, unit)
    text = f"{side['median'] * scale:.3g} {name}"
    if side.get("tol") is not None:
        text += f" (tol {side['tol']:.0e}, gap {side['gap']:.0e})"
    return text
