"""Which test runs which line, and how long each takes: a plugin for pytest.

Under ``coverage run``, every test function becomes a context of its own, so that a run
of the suite that is measured anyway also says, for each line, which tests execute it.
The times go to the file beside coverage's, named ``.json``. ``SHARED_LOCK`` may name a
file that is locked, shared, while a test runs: whoever times something locks it alone.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import coverage
import pytest


@contextmanager
def shared_lock() -> Iterator[None]:
    """Hold the lock that ``SHARED_LOCK`` names, if it names one."""
    path = os.environ.get("SHARED_LOCK")
    if not path:
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


class Watch:
    """Switch coverage's context with each test function, and add up its seconds."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured = measured
        self.function = ""
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        # The function, not its parameters: 2000 contexts instead of 18 000.
        function = item.nodeid.partition("[")[0]
        if function != self.function:
            self.measured.switch_context(function)
            self.function = function
        with shared_lock():
            start = time.perf_counter()
            result = yield
            elapsed = time.perf_counter() - start
        self.seconds[function] = self.seconds.get(function, 0.0) + elapsed
        return result

    def pytest_sessionfinish(self) -> None:
        path = Path(self.measured.get_option("run:data_file"))
        path.with_suffix(".json").write_text(json.dumps(self.seconds, indent=0))


def pytest_configure(config: pytest.Config) -> None:
    measured = coverage.Coverage.current()
    if measured is None:
        raise pytest.UsageError("run me under coverage: coverage run -m pytest ...")
    config.pluginmanager.register(Watch(measured))
