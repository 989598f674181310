"""Instructions of the hot paths, counted by valgrind: no busy machine can blur them.

Each path of `PATHS` runs once in one process under callgrind, after two runs that do
not count. Counting is on only inside of it: callgrind is told to collect within one
function of Python that nothing else calls, `PySequence_Count`, which compares a number
to an object whose comparison runs the path. One thread; hashes are fixed, and so are
the kernels of OpenBLAS (valgrind knows no AVX-512). What is counted is what a processor
executes, whether it waits for memory or not: a count says that code has grown, not how
long it takes.

`tests/benchmarks/results/instructions.json` has the medians of `RUNS` processes, how
far these were apart, and the versions. With `--check` each path is counted once more,
and may not be more than 5 % above its stored median. Other versions of Python, NumPy,
SciPy, scikit-learn or valgrind execute other instructions: then nothing is compared,
and the script says so.

    python tests/benchmarks/count_instructions.py [--check] [--paths REGEX]
"""

from __future__ import annotations

import argparse
import gc
import json
import operator
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "instructions.json"
#: Growth that fails.
MOST = 0.05
RUNS = 3
KERNELS = "Haswell"
#: Versions under which counts can be compared.
COMPARED = ("python", "numpy", "scipy", "sklearn", "valgrind", "kernels")
FUNCTION = "PySequence_Count"


def rows_of_domains(n_domains, n_each, p, n_classes=2):
    """Rows, their domain last, and classes."""
    import numpy as np

    rng = np.random.default_rng(0)
    domain = np.repeat(np.arange(n_domains), n_each)
    X = rng.standard_normal((len(domain), p))
    score = X @ rng.standard_normal((p, n_classes))
    y = np.argmax(score + rng.gumbel(size=score.shape), axis=1)
    return np.column_stack([X, domain]), y


def tied_problem(*shape):
    """The problem of a tied classifier, and where to look at it."""
    import numpy as np

    from sktie import TiedLogisticRegression
    from sktie._parallel import Workers

    model = TiedLogisticRegression(-1)
    rows = model._read(*rows_of_domains(*shape), None, None, None)
    problem = model._problem(rows, Workers())
    return problem, np.random.default_rng(1).standard_normal(problem.size) / 10


def passes(*shape):
    """Value and gradient."""
    problem, theta = tied_problem(*shape)
    return lambda: problem.value_gradient(theta)


def hessians(*shape):
    """Hessians of all members."""
    problem, theta = tied_problem(*shape)
    members = problem.members(theta)
    return lambda: problem.hessians(members)


def block_solve(*shape):
    """The Newton system, factored and solved."""
    from sktie._problem import TiedCurvature

    problem, theta = tied_problem(*shape)
    found = problem.hessians(problem.members(theta))
    return lambda: TiedCurvature(problem, found).solve(theta)


def lbfgs(*shape):
    """Ten steps of L-BFGS."""
    from sktie.solvers import SOLVERS

    problem, theta = tied_problem(*shape)
    return lambda: SOLVERS["lbfgs"](problem, theta, tol=0.0, max_iter=10)


def left_out(*shape):
    """All rows left out, one by one."""
    from sktie import TiedLogisticRegression
    from sktie._parallel import Workers
    from sktie.linear_model._path import Path as Fits

    model = TiedLogisticRegression(-1)
    rows = model._read(*rows_of_domains(*shape), None, None, None)
    path = Fits(model, rows, Workers())
    stop = path.fit(1.0, 1.0)
    return lambda: path.without_each_row(stop)


def along_a_ring(tie):
    """The Newton system of 400 domains along a ring with chords, and its solution."""
    import numpy as np

    from sktie import TiedLogisticRegression
    from sktie._parallel import Workers
    from sktie.linear_model._path import Path as Fits

    X, y = rows_of_domains(400, 10, 10)
    places = np.arange(400)
    graph = np.zeros((400, 400))
    for step in (1, 7):
        graph[places, (places + step) % 400] = graph[(places + step) % 400, places] = 1
    model = TiedLogisticRegression(-1, graph=graph)
    rows = model._read(X, y, None, None, None)
    problem = Fits(model, rows, Workers()).problem(tie, 1.0)
    theta = np.random.default_rng(1).standard_normal(problem.size) / 10
    return lambda: problem.curvature(theta).solve(theta)


def fit(name, **parameters):
    """A whole fit of a regressor or classifier on 2000 rows."""
    import numpy as np

    import sktie

    X, y = rows_of_domains(1, 2000, 20)
    y = np.random.default_rng(1).poisson(1.0 + y) if "Ridge" not in name else X[:, 0]
    y = y > 0 if "Logistic" in name else y
    model = getattr(sktie, name)(**parameters)
    return lambda: model.fit(X[:, 1:-1], y)


def moments():
    """The moments of a ridge regression of eight domains."""
    from sktie import TiedRidge
    from sktie._moments import moments_of
    from sktie._parallel import Workers

    X, y = rows_of_domains(8, 500, 50)
    rows = TiedRidge(-1)._read(X, y.astype(float), None, None)
    return lambda: moments_of(rows.design, rows.y, rows.weight, Workers())


def counts_pass():
    """Value and gradient of a Poisson regression of eight domains."""
    import numpy as np

    from sktie import TiedPoissonRegressor
    from sktie._parallel import Workers

    X, y = rows_of_domains(8, 500, 50)
    model = TiedPoissonRegressor(-1)
    rows = model._read(X, y.astype(float), None, None)
    model.fit(X, y.astype(float))
    problem = model._problem(model._related(rows), Workers())
    theta = np.random.default_rng(1).standard_normal(problem.size) / 10
    return lambda: problem.value_gradient(theta)


def predict(n_rows, n_domains=8):
    """Probabilities of new rows."""
    from sktie import TiedLogisticRegression

    X, y = rows_of_domains(n_domains, 4000 // n_domains, 50)
    model = TiedLogisticRegression(-1).fit(X, y)
    return lambda: model.predict_proba(X[:n_rows])


def images(side):
    """A convolutional classifier of small random images, and 64 of these."""
    from bench_conv import Net

    net = Net((side, side, 1), (8, 16), batch=32)
    X, y = net.rows(64)
    return net.model(max_iter=1).set_params(n_jobs=1), X, y


def conv_step(side):
    """Value and gradient of a batch of 32 images."""
    from bench_conv import training_problem

    model, X, y = images(side)
    problem, theta = training_problem(model, X[:32], y[:32])
    return lambda: problem(theta, None)


def conv_predict(side, n_rows):
    """Classes of images."""
    model, X, y = images(side)
    model.fit(X, y)
    return lambda: model.predict(X[:n_rows])


def codes():
    """Soft codes of 1000 rows by 50 clusters."""
    from sktie import KMeansPrior

    X, _ = rows_of_domains(1, 1000, 20)
    prior = KMeansPrior(50, code="soft", random_state=0).fit(X)
    return lambda: prior.transform(X)


def everything():
    """The import of the package, after that of `sklearn.linear_model`."""
    return lambda: exec("from sktie import *", {})


#: {name: (function, arguments)}; the import comes first, and is not repeated.
FIRST = "import of everything, after scikit-learn"
PATHS = {
    FIRST: (everything, ()),
    "logistic: value and gradient": (passes, (8, 500, 50)),
    "logistic: Hessians": (hessians, (8, 500, 50)),
    "logistic: block solve": (block_solve, (8, 500, 50)),
    "logistic: ten L-BFGS steps": (lbfgs, (8, 500, 50)),
    "logistic: rows left out": (left_out, (8, 250, 20)),
    "three classes: value and gradient": (passes, (8, 500, 20, 3)),
    "three classes: rows left out": (left_out, (8, 250, 10, 3)),
    "small domains: value and gradient": (passes, (200, 20, 20)),
    "small domains: Hessians in tiles": (hessians, (200, 20, 20)),
    "graph: loose system": (along_a_ring, (0.01,)),
    "graph: firm system": (along_a_ring, (100.0,)),
    "ridge: moments": (moments, ()),
    "Poisson: value and gradient": (counts_pass, ()),
    "fit of TiedLogisticRegression": (fit, ("TiedLogisticRegression",)),
    "fit of TiedRidge": (fit, ("TiedRidge",)),
    "fit of TiedPoissonRegressor": (fit, ("TiedPoissonRegressor",)),
    "predict 10 rows": (predict, (10,)),
    "predict 4000 rows": (predict, (4000,)),
    "convolutions 8x8: step": (conv_step, (8,)),
    "convolutions 28x28: step": (conv_step, (28,)),
    "convolutions 8x8: predict 1": (conv_predict, (8, 1)),
    "convolutions 28x28: predict 64": (conv_predict, (28, 64)),
    "k-means codes": (codes, ()),
}


class Path_:
    """Runs a function when it is compared to something."""

    def __init__(self, run):
        self.run = run

    def __eq__(self, other):
        self.run()
        return True

    __hash__ = None


def count_inside(names, under_valgrind=True):
    """Run paths so that callgrind counts each of them.

    Until scikit-learn is imported valgrind looks at nothing, which saves a minute.
    """
    import sklearn.linear_model

    warnings.simplefilter("ignore")
    assert sklearn.linear_model.__name__ in sys.modules
    if under_valgrind:
        switch = ["callgrind_control", "-i", "on", str(os.getpid())]
        subprocess.run(switch, check=True, stdout=subprocess.DEVNULL)
    for name in names:
        make, arguments = PATHS[name]
        run = make(*arguments)
        if name != FIRST:
            run()
            run()
        gc.collect()
        gc.disable()
        operator.countOf((0,), Path_(run))
        gc.enable()


def count(names):
    """Return {name: instructions}, counted in one process."""
    if shutil.which("valgrind") is None:
        sys.exit("count_instructions: install valgrind, which counts.")
    env = {
        **os.environ,
        "OPENBLAS_CORETYPE": KERNELS,
        "PYTHONHASHSEED": "0",
        **dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
        ),
    }
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / "counts"
        command = [
            "valgrind",
            "--tool=callgrind",
            "--instr-atstart=no",
            "--collect-atstart=no",
            f"--toggle-collect={FUNCTION}",
            f"--dump-after={FUNCTION}",
            f"--callgrind-out-file={written}",
            sys.executable,
            __file__,
            "--inside",
            json.dumps(names),
        ]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"count_instructions: {done.stderr[-3000:]}")
        files = [Path(f"{written}.{k + 1}") for k in range(len(names))]
        totals = [total_of(file.read_text()) for file in files]
    return dict(zip(names, totals, strict=True))


def total_of(text):
    """The instructions that a file of callgrind's has counted."""
    found = re.search(r"^totals: (\d+)$", text, re.MULTILINE)
    if found is None or not int(found[1]):
        raise ValueError("callgrind has counted nothing; it does not see the function.")
    return int(found[1])


def versions():
    """What counts depend on, and the rest of what results say of a machine."""
    from _results import environment

    said = subprocess.run(["valgrind", "--version"], capture_output=True, text=True)
    valgrind = said.stdout.strip().removeprefix("valgrind-")
    return {**environment(), "valgrind": valgrind, "kernels": KERNELS}


def differing(stored, here):
    """The versions that keep counts from being compared, as text."""
    return [
        f"{name} {stored.get(name)} there, {here.get(name)} here"
        for name in COMPARED
        if stored.get(name) != here.get(name)
    ]


def grown(stored, found, most=MOST):
    """The paths that execute more than they did, with the ratio; of new ones, inf.

    Parameters
    ----------
    stored, found : dict
        Instructions by path.
    most : float
        Share by which a count may rise.
    """
    ratios = {
        name: number / stored[name] if name in stored else float("inf")
        for name, number in found.items()
    }
    return {name: ratio for name, ratio in ratios.items() if ratio > 1 + most}


def check(names):
    """Compare with what is stored; return the exit status."""
    content = json.loads(RESULTS.read_text())
    (stored,) = content["environments"].values()
    other = differing(stored, versions())
    if other:
        print(
            "Nothing is compared, other versions count differently:", *other, sep="\n"
        )
        return 0
    known = {name: cell["instructions"] for name, cell in content["cells"].items()}
    found = count(names)
    worse = grown(known, found)
    for name, number in found.items():
        ratio = number / known[name] if name in known else float("nan")
        mark = "  MORE" if name in worse else ""
        print(f"{name:36} {number:14,d}  {ratio:6.3f} of the stored one{mark}")
    return int(bool(worse))


def store(names):
    """Count in several processes and store the medians."""
    runs = [count(names) for _ in range(RUNS)]
    cells = {}
    for name in names:
        numbers = [run[name] for run in runs]
        middle = int(statistics.median(numbers))
        spread = (max(numbers) - min(numbers)) / middle
        cells[name] = {
            "environment": "all",
            "instructions": middle,
            "spread": round(spread, 6),
        }
        print(f"{name:36} {middle:14,d}  spread {spread:.4%}", flush=True)
    widest = max(cell["spread"] for cell in cells.values())
    text = f"counts of {RUNS} processes within 1 % of one another"
    content = {
        "format": 1,
        "benchmark": "instructions",
        "question": "How many instructions do the hot paths execute?",
        "command": "python tests/benchmarks/count_instructions.py",
        "environments": {"all": versions()},
        "settings": {"runs": RUNS, "most": MOST},
        "cells": cells,
        "summary": [{"goal": text, "value": widest, "met": widest <= 0.01}],
    }
    RESULTS.write_text(json.dumps(content, indent=0) + "\n")
    return 0


def main():
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, store nothing")
    parser.add_argument("--paths", default="", metavar="REGEX", help="only these")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        count_inside(json.loads(args.inside))
        return 0
    names = [name for name in PATHS if re.search(args.paths, name)]
    if args.check:
        return check(names)
    if args.paths:
        for name, number in count(names).items():
            print(f"{name:36} {number:14,d}  (not stored)")
        return 0
    return store(names)


if __name__ == "__main__":
    sys.exit(main())
