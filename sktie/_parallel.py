"""Threads over lanes of work, with BLAS held to one thread meanwhile.

NumPy's element-wise functions use one core however large the array, so a pass over
the rows is split into lanes that run side by side. The lanes, and the order in which
their results are added up, depend on the data alone: the number of threads changes
the time and not one bit of the result.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar

import numpy as np
from joblib import effective_n_jobs
from threadpoolctl import OpenBLASController, ThreadpoolController

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@cache
def _blas() -> list[Any]:
    """Return the BLAS libraries; to limit them by the controller takes long."""
    found: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


def _take_control() -> None:
    """Let this thread set the number of BLAS threads.

    From threadpoolctl 3.8 only the thread that first did may do so; for the others it
    silently does nothing. Holders come and go in any thread, under one lock.
    """
    clear = getattr(OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


class _SerialBlas:
    """Hold BLAS to one thread; the last of several concurrent holders lets go.

    Ctrl-C may come at any line: what a holder did is undone by its release even if it
    was not done to the end, and what a release did not do is done by another one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders: set[object] = set()
        #: Threads of each library before the first holder came.
        self._before: list[int] | None = None

    def hold(self, holder: object) -> None:
        """Hold BLAS until the holder releases it."""
        with self._lock:
            self._holders.add(holder)
            if self._before is None:
                self._before = [library.num_threads for library in _blas()]
                if any(number != 1 for number in self._before):
                    _take_control()
                    for library in _blas():
                        library.set_num_threads(1)

    def release(self, holder: object) -> None:
        """Let go, unless there are other holders. To do it again does no harm."""
        with self._lock:
            self._holders.discard(holder)
            if self._holders or self._before is None:
                return
            if any(number != 1 for number in self._before):
                _take_control()
                for library, number in zip(_blas(), self._before, strict=True):
                    library.set_num_threads(number)
                _take_control()
            self._before = None


_SERIAL_BLAS = _SerialBlas()


def n_threads(n_jobs: int | None) -> int:
    """Threads to use: ``n_jobs``, or for None as many as BLAS may use now."""
    if n_jobs is not None:
        return int(effective_n_jobs(n_jobs))
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    # Inside joblib's workers, or under threadpool_limits, BLAS has been told how
    # many cores are ours.
    allowed = [library.num_threads for library in _blas()]
    return max(1, min([cores, *map(int, allowed)]))


class Workers:
    """Apply a function to lanes of work, in as many threads as allowed."""

    def __init__(
        self, executor: ThreadPoolExecutor | None = None, n_helpers: int = 0
    ) -> None:
        self._executor = executor
        self._n_helpers = n_helpers

    def map(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> list[_Result]:
        """Return ``[function(item) for item in items]``."""
        items = list(items)
        if self._executor is None or len(items) < 2:
            return [function(item) for item in items]
        results: list[Any] = [None] * len(items)
        failures: dict[int, BaseException] = {}
        left = deque(enumerate(items))
        # Threads begin with NumPy's defaults of what to do about overflow.
        floating: Any = {**np.geterr(), "call": np.geterrcall()}

        def work() -> None:
            with np.errstate(**floating):
                while left:
                    try:
                        place, item = left.popleft()
                    except IndexError:  # Another thread was faster.
                        return
                    try:
                        results[place] = function(item)
                    except BaseException as error:
                        failures[place] = error
                        left.clear()

        # The caller works too: of two threads, one alone has to be woken.
        n_helpers = min(self._n_helpers, len(items) - 1)
        helpers: list[Any] = []
        try:
            # Without memory for a thread the system gives none; others do the work.
            with suppress(RuntimeError):
                for _ in range(n_helpers):
                    helpers.append(self._executor.submit(work))
            work()
        finally:
            left.clear()
            for helper in helpers:
                if not helper.cancel():
                    helper.exception()
        if failures:
            try:
                raise failures[min(failures)]
            finally:
                # Else these and the frames that they know would hold one another.
                failures.clear()
        return results


@contextmanager
def workers(n_jobs: int | None, n_lanes: int) -> Iterator[Workers]:
    """Yield `Workers` for up to ``n_lanes`` lanes; their threads end with the block.

    BLAS is held to one thread throughout: on the small matrices between the passes
    its own threads cost more than they save.
    """
    threads = min(n_threads(n_jobs), n_lanes) if n_lanes > 1 else 1
    n_helpers = threads - 1  # The caller is a thread as well.
    holder = object()
    try:
        try:
            _SERIAL_BLAS.hold(holder)
            if n_helpers == 0:
                yield Workers()
                return
            with ThreadPoolExecutor(n_helpers, thread_name_prefix="sktie") as executor:
                yield Workers(executor, n_helpers)
        finally:
            _SERIAL_BLAS.release(holder)
    finally:
        # Again: a Ctrl-C may have come before the first line of the other.
        _SERIAL_BLAS.release(holder)
