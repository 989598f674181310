"""How many changes of the arithmetic does a test notice?

    PYTHONPATH=tests/mutation coverage run -m pytest -p watched
    python tests/mutation/run.py .coverage results.jsonl

Mutants are drawn (``drawn.py``) and each is tried with the tests that run its line
(``covering.py``), in a fork of a process that has everything imported but sktie. One
line of ``results.jsonl`` is written for each; a run that was cut off goes on where it
stopped. It fails if less than nine of ten mutants are killed, or if ``survivors.json``
does not say why one lives.
"""

import argparse
import contextlib
import importlib
import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from covering import Covering
from drawn import Mutant, draw
from hypothesis import Phase, settings
from scipy.stats import binomtest
from watched import shared_lock

ROOT = Path(__file__).parents[2]
SURVIVORS = Path(__file__).with_name("survivors.json")
#: Imported once: what sktie and its tests import, where it is installed.
WARM = (
    "matplotlib.pyplot",
    "numpy",
    "pandas",
    "scipy.optimize",
    "scipy.sparse.csgraph",
    "scipy.stats",
    "sklearn.linear_model",
    "sklearn.utils.estimator_checks",
    "torch",
)
#: Bytes: a mutant that fills the memory shall not take the machine with it.
MEMORY = 8 << 30
#: Seconds of the clock to one of the core, on a machine that others use as well; what
#: waits for itself takes none of the core.
PATIENCE = 10


class Verdict(NamedTuple):
    """``killed``, ``timeout`` or ``survived``, and the first test that noticed."""

    outcome: str
    by: str = ""


class _FirstFailure:
    """Note the first test that fails, or the first file that cannot be imported."""

    def __init__(self) -> None:
        self.name = ""

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid

    pytest_runtest_logreport = pytest_collectreport = _note


class Workshop:
    """A copy of the tree, in which one module at a time is changed."""

    def __init__(self, root: Path, tree: Path) -> None:
        self.tree = tree
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            check=True,
            capture_output=True,
        ).stdout.decode()
        for name in filter(None, names.split("\0")):
            if (root / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                (tree / name).write_bytes((root / name).read_bytes())

    @contextlib.contextmanager
    def changed(self, mutant: Mutant):
        """The tree with this mutant in it."""
        path = self.tree / mutant.path
        try:
            self._write(path, mutant.mutate())
            yield
        finally:
            self._write(path, mutant.source)

    def _write(self, path: Path, source: str) -> None:
        path.write_text(source)
        # Within one second and of one size, Python would take the old code for the new.
        Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)

    def run(self, tests: Sequence[str], limit: int) -> Verdict:
        """Run these tests in a fork, for ``limit`` seconds of a core at most."""
        receive, send = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(receive)
            self._run_in_child(tests, limit, send)
        os.close(send)
        status = _wait(child, PATIENCE * limit)
        with os.fdopen(receive) as pipe:
            said = pipe.read()
        code = -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
        if status is None or code == -signal.SIGXCPU:
            return Verdict("timeout")
        if code < 0:
            return Verdict("killed", f"signal {-code}")
        if code == pytest.ExitCode.OK:
            return Verdict("survived")
        if not said:
            raise RuntimeError(f"pytest ended with {code} and no failure: {tests}")
        return Verdict("killed", said)

    def _run_in_child(self, tests: Sequence[str], limit: int, send: int) -> None:
        code = pytest.ExitCode.INTERNAL_ERROR
        try:
            os.setsid()
            os.chdir(self.tree)
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(silence, stream)
            # A failure is enough; the smallest example of it would take minutes.
            settings.register_profile(
                "mutation",
                derandomize=True,
                max_examples=25,
                deadline=None,
                phases=[Phase.explicit, Phase.generate],
            )
            os.environ["HYPOTHESIS_PROFILE"] = "mutation"
            first = _FirstFailure()
            # Hypothesis is imported already, so that pytest cannot rewrite its asserts.
            quiet = "ignore::pytest.PytestAssertRewriteWarning"
            options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-W", quiet]
            code = pytest.main([*options, *tests], plugins=[first])
            os.write(send, first.name.encode())
        finally:
            os._exit(int(code))


def _wait(child: int, limit: float) -> int | None:
    """Its status; None if it had to be ended."""
    end = time.monotonic() + limit
    status = None
    while time.monotonic() < end:
        pid, found = os.waitpid(child, os.WNOHANG)
        if pid:
            status = found
            break
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if status is None:
        os.waitpid(child, 0)
    return status


def judge(
    mutant: Mutant, workshop: Workshop, covering: Covering, budget: float
) -> dict:
    """Try the tests that run its line until one notices."""
    start = time.monotonic()
    verdict = Verdict("survived")
    n_tests = 0
    with workshop.changed(mutant):
        for tests in covering.batches(mutant.path, mutant.lines, 6.0, budget):
            n_tests += len(tests)
            seconds = sum(covering.seconds[test] for test in tests)
            with shared_lock():
                verdict = workshop.run(tests, limit=int(10 + 2 * seconds))
            if verdict.outcome != "survived":
                break
    return {
        "name": mutant.name,
        "outcome": verdict.outcome,
        "by": verdict.by,
        "line": mutant.line,
        "change": mutant.difference,
        "n_tests": n_tests,
        "seconds": round(time.monotonic() - start, 1),
    }


def report(
    mutants: Sequence[Mutant], found: dict[str, dict], explained: dict[str, str]
) -> list[str]:
    """Print what became of the sample; what is wrong with it."""
    results = [found[mutant.name] for mutant in mutants if mutant.name in found]
    outcomes = Counter(result["outcome"] for result in results)
    n_killed = outcomes["killed"] + outcomes["timeout"]
    low, high = binomtest(n_killed, len(results)).proportion_ci(method="wilson")
    by_module: dict[str, Counter[str]] = {}
    for result in results:
        path = result["name"].partition("::")[0]
        by_module.setdefault(path, Counter())[result["outcome"]] += 1
    for path, counts in sorted(by_module.items()):
        print(f"{path:32} {counts.total():4} mutants {counts['survived']:4} survived")
    share = n_killed / len(results)
    print(
        f"{len(results)} mutants: {outcomes['killed']} killed, {outcomes['timeout']} "
        f"out of time, {outcomes['survived']} survived: {share:.1%} noticed, 95 % "
        f"interval {low:.1%} to {high:.1%}"
    )
    unexplained = [
        f"no word in {SURVIVORS.name} on line {result['line']}, {result['name']}\n"
        f"{result['change']}"
        for result in results
        if result["outcome"] == "survived" and result["name"] not in explained
    ]
    too_few = [f"{share:.1%} noticed, of 90 % at least"] if share < 0.9 else []
    return unexplained + too_few


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "coverage", type=Path, help="data of a watched run of the suite"
    )
    parser.add_argument("results", type=Path, help="one line for each mutant; goes on")
    parser.add_argument("--mutants", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--budget", type=float, default=60.0, help="of tests, in seconds"
    )
    parser.add_argument(
        "--again", action="store_true", help="try again what survived without a reason"
    )
    options = parser.parse_args()

    mutants = draw(ROOT, options.seed, options.mutants)
    covering = Covering(options.coverage)
    found: dict[str, dict] = {}
    if options.results.exists():
        lines = options.results.read_text().splitlines()
        found = {result["name"]: result for result in map(json.loads, lines)}
    explained = json.loads(SURVIVORS.read_text())
    done = {
        name
        for name, result in found.items()
        if not options.again or result["outcome"] != "survived" or name in explained
    }
    for name in WARM:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    with (
        tempfile.TemporaryDirectory() as folder,
        options.results.open("a", buffering=1) as results,
    ):
        workshop = Workshop(ROOT, Path(folder))
        for mutant in mutants:
            if mutant.name not in done:
                result = judge(mutant, workshop, covering, options.budget)
                found[mutant.name] = result
                print(json.dumps(result), file=results)
    sys.exit("\n".join(report(mutants, found, explained)) or None)


if __name__ == "__main__":
    main()
