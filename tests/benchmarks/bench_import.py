"""Import time of sktie against that of `sklearn.linear_model`, each in fresh processes.

The processes take turns, after one of each whose time is thrown away: it compiles all
that is imported into a bytecode cache of their own and warms the disk cache. The clock
starts inside the process, so starting Python is not counted.
"""

import os
import subprocess
import sys
import tempfile
from functools import partial

import numpy as np
from _harness import Case, main
from _results import goal, ratios, row, spread

QUESTION = "Seconds to import sktie, against importing sklearn.linear_model."
PEER = "import sklearn.linear_model"
STATEMENTS = ("from sktie import TiedLogisticRegression", "import sktie")
PAIRS = 15
TIMER = (
    "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
)


def cases(quick):
    """The package, and the estimator, which a lazy package would import later."""
    statements = STATEMENTS[:1] if quick else STATEMENTS
    pairs = 2 if quick else PAIRS
    return [Case(s, {}, partial(run, s, pairs)) for s in statements]


def run(statement, pairs, null):
    """Time both statements in turns."""
    both = (PEER if null else statement, PEER)
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        turns = [[_seconds(s, env) for s in both] for _ in range(1 + pairs)]
    seconds = np.array(turns[1:]).T
    sides = {"sktie": spread(seconds[0]), "peer": {"name": PEER, **spread(seconds[1])}}
    ratio = spread(seconds[1] / seconds[0])
    return row(statement, {}, **sides, ratio=ratio, repeats=pairs)


def _seconds(statement, env):
    command = [sys.executable, "-c", TIMER.format(statement)]
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE)
    return float(done.stdout)


def summarise(rows):
    """The goal: at most 10 % longer."""
    text = "at most 1.1 times the import of sklearn.linear_model: least ratio >= 1/1.1"
    return [goal(text, ratios(rows), lambda value: value >= 1 / 1.1, min)]


if __name__ == "__main__":
    sys.exit(main("import", QUESTION, cases, summarise))
