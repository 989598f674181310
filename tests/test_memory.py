"""Tests of what stays in memory: nothing of the rows, and no more after many fits."""

import contextlib
import gc
import os
import tracemalloc
import warnings
import weakref

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sktie._parallel import Workers
from tests.saved import PARTLY, UNFITTED, X, Y, answers

#: HYPOTHESIS_PROFILE=long (.ci/full): as many fits as a service does in a day.
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
TIMES = 200 if LONG else 6
#: Rows for each of those of `tests.saved`.
COPIES = 16
#: Bytes that may stay: half of the rows for each call.
ALLOWED = TIMES * X.nbytes * COPIES // 2
#: What makes long fits short.
SHORT = {
    "chosen": {"ties": [1.0]},
    "counts-chosen": {"ties": [1.0], "alphas": [1.0]},
    "ridge-chosen": {"ties": [1.0]},
}
names = pytest.mark.parametrize("name", UNFITTED)


def case(name):
    """A model, and more rows, which are all different."""
    model, rows, y, given = UNFITTED[name]
    rows = np.tile(rows, (COPIES, 1))
    rows[:, :4] += 0.1 * np.random.default_rng(0).normal(size=(len(rows), 4))
    given = {key: np.tile(value, COPIES) for key, value in given.items()}
    y = None if y is None else np.tile(y, COPIES)
    return clone(model).set_params(**SHORT.get(name, {})), rows, y, given


@pytest.fixture(autouse=True)
def no_convergence_warnings():
    # Caught here and not by a mark, which keeps a list of all.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def resident():
    """Bytes of the process in memory; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def growth(call):
    """Return by how many bytes Python's memory and the process grow in many calls."""
    call()  # Caches are filled.
    traced = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        call()
        gc.collect()
        before, whole = tracemalloc.get_traced_memory()[0], resident()
        for _ in range(TIMES):
            call()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before, resident() - whole
    finally:
        if not traced:
            tracemalloc.stop()


@pytest.mark.parametrize("what", ["fit", "predict", "failed fit"])
@names
def test_many_calls_leave_nothing(name, what):
    model, rows, y, given = case(name)
    fitted = clone(model).fit(rows, y, **given)
    wrong = rows.copy()
    wrong[3, 1] = np.nan

    def fail():
        with pytest.raises(ValueError, match="NaN"):
            fitted.fit(wrong, y, **given)

    calls = {
        "fit": lambda: clone(model).fit(rows, y, **given),
        "predict": lambda: answers(fitted, rows, given),
        "failed fit": fail,
    }
    traced, process = growth(calls[what])
    assert traced < ALLOWED
    # A leak of C of one array of the rows in each call.
    assert not LONG or process < 4 * ALLOWED


@pytest.mark.parametrize("name", PARTLY)
def test_many_batches_leave_nothing(name):
    model = clone(PARTLY[name])
    some = np.tile(X[:, :-1], (COPIES, 1)), np.tile(Y, COPIES)
    first = {} if name in ("ridge", "clusters") else {"classes": [0, 1]}
    model.partial_fit(*some, **first)
    traced, _ = growth(lambda: model.partial_fit(*some))
    assert traced < ALLOWED


def test_a_leak_would_be_found():
    model, rows, y, given = case("plain")
    kept = []

    def leak():
        clone(model).fit(rows, y, **given)
        kept.append(rows.copy())

    traced, _ = growth(leak)
    assert traced > ALLOWED


@pytest.fixture
def no_collector():
    """Only what nothing refers to is freed: cycles stay."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def without_memory(monkeypatch):
    """Make every pass over the rows fail in its second lane, or in its first."""
    run = Workers.map

    def map_some(crew, function, items):
        items = list(items)

        def work(item):
            if item is items[min(1, len(items) - 1)]:
                raise MemoryError("of a lane")
            return function(item)

        return run(crew, work, items)

    monkeypatch.setattr(Workers, "map", map_some)


@names
def test_a_fitted_model_does_not_hold_the_rows(name, no_collector):
    model, rows, y, given = case(name)
    known = weakref.ref(rows)
    model.fit(rows, y, **given)
    del rows
    assert known() is None
    answers(model, case(name)[1], given)
    known = weakref.ref(model)
    del model
    assert known() is None


@pytest.mark.parametrize("why", ["NaN", "no memory"])
@names
def test_a_failed_fit_does_not_hold_the_rows(name, why, no_collector, monkeypatch):
    model, rows, y, given = case(name)
    if why == "NaN":
        rows[3, 1] = np.nan
    else:
        without_memory(monkeypatch)
    known = weakref.ref(rows)
    with contextlib.suppress(ValueError, MemoryError):
        model.fit(rows, y, **given)
    del rows
    assert known() is None
    known = weakref.ref(model)
    del model
    assert known() is None
