"""Ctrl-C and a lack of memory for real, in processes of their own.

One program forks a process for each kind of estimator, so that the libraries are
imported once. A child says by its exit status what it saw.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs fork, signals and limits"
)
COMMON = """
    import os, resource, signal, sys, threading, time, warnings
    from contextlib import suppress
    import numpy as np
    from sklearn.base import clone
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import ThreadpoolController
    from sktie._fingerprint import fingerprint
    from tests.saved import UNFITTED

    warnings.simplefilter("ignore", ConvergenceWarning)

    def case(name, copies):
        model, rows, y, given = UNFITTED[name]
        model = clone(model)
        if "n_jobs" in model.get_params():
            model.set_params(n_jobs=2)
        rows = np.tile(rows, (copies, 1))
        rows[:, :4] += 0.1 * np.random.default_rng(0).normal(size=(len(rows), 4))
        given = {key: np.tile(value, copies) for key, value in given.items()}
        return model, rows, None if y is None else np.tile(y, copies), given

    def state(model):
        running = ("_callback", "_skl")
        found = {k: v for k, v in vars(model).items() if not k.startswith(running)}
        return fingerprint(found)

    def blas_threads():
        info = ThreadpoolController().select(user_api="blas").info()
        return [library["num_threads"] for library in info]

    def alone():
        end = time.monotonic() + 5
        while threading.active_count() > 1 and time.monotonic() < end:
            time.sleep(0.001)
        return threading.active_count() == 1

    def end_of(child, signals=(0,)):
        for number in signals:
            os.kill(child, number)
            end = time.monotonic() + 30
            while time.monotonic() < end:
                found, status = os.waitpid(child, os.WNOHANG)
                if found:
                    return os.waitstatus_to_exitcode(status)
                time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "hangs"
"""


def run(code, n_blas):
    """Run a program; return the lines that it prints."""
    # One thread of OpenMP: its pool does not survive a fork.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": str(n_blas)}
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(COMMON) + textwrap.dedent(code)],
        cwd=ROOT,
        env={**os.environ, **threads, **path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_ctrl_c_ends_every_fit_and_leaves_the_model_as_it_was():
    """Children fit again and again, until a signal comes in the middle of some fit."""
    code = """
    def fit_until_interrupted(name, ready):
        model, rows, y, given = case(name, 30)
        model.fit(rows, y, **given)
        before, threads = state(model), blas_threads()
        try:
            os.write(ready, b"!")
            while True:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    model.fit(rows, y, **given)
                if any("was interrupted" in str(w.message) for w in caught):
                    # A network keeps what it has learned, and says so.
                    model.fit(rows, y, **given)
                    break
        except KeyboardInterrupt:
            pass
        if state(model) != before:
            return 2
        if blas_threads() != threads:
            return 3
        if not alone():
            return 4
        model.fit(rows, y, **given)
        return 0 if state(model) == before else 5

    for k, name in enumerate(UNFITTED):
        read, ready = os.pipe()
        child = os.fork()
        if child == 0:
            status = 6
            try:
                status = fit_until_interrupted(name, ready)
            finally:
                os._exit(status)
        os.close(ready)
        os.read(read, 1)
        os.close(read)
        time.sleep(0.03 + 0.007 * k)
        # Python ignores one that comes while it calls what an object left behind.
        print(name, end_of(child, [signal.SIGINT] * 2))
    """
    found = run(code, 2)
    assert len(found) > 20
    assert [line for line in found if not line.endswith(" 0")] == []


def test_a_lack_of_memory_is_an_error_and_leaves_the_model_as_it_was():
    """Children may have some more megabytes than they have, from none to enough.

    In one thread: OpenBLAS 0.3.21, of the oldest supported NumPy, waits for ever where
    there is no memory for the buffers of a second one.
    """
    code = """
    def fit_with(name, megabytes):
        model, rows, y, given = CASE
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (most, most + 2**31))
        held = []  # what the process has, and has freed
        for size in (2**26, 2**23, 2**20, 2**17):
            with suppress(MemoryError):
                while True:
                    held.append(bytearray(size))
        more = most + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (more, more))
        try:
            model.fit(rows, y, **given)
        except MemoryError:
            return 1 if state(model) == BEFORE and alone() else 2
        return 0

    for name in ("domains", "ridge", "counts", "learned", "two-forms", "clusters",
                 "codes", "network", "images", "images-domains"):
        copies = 1500 if name in ("domains", "ridge", "counts", "two-forms") else 200
        model, rows, y, given = CASE = case(name, copies)
        if "n_jobs" in model.get_params():
            model.set_params(n_jobs=1)
        few = [each[:60] for each in (rows, y) if each is not None]
        model.fit(*few, **{key: value[:60] for key, value in given.items()})
        BEFORE = state(model)
        found = []
        for megabytes in (0, 1, 2, 4, 8, 16, 1024):
            child = os.fork()
            if child == 0:
                status = 6
                try:
                    status = fit_with(name, megabytes)
                finally:
                    os._exit(status)
            found.append(end_of(child))
        print(name, *found)
    """
    found = {line.split()[0]: line.split()[1:] for line in run(code, 1)}
    assert len(found) == 10
    for name, statuses in found.items():
        assert set(statuses) <= {"0", "1"}, (name, statuses)
        assert statuses[-1] == "0", (name, statuses)
    # Some fits of few rows need little.
    assert sum(statuses[0] == "1" for statuses in found.values()) >= 5, found
