"""Tests of what a fit leaves that Ctrl-C or a lack of memory ends, wherever it comes.

Python looks for Ctrl-C where a function begins and where one in C returns: a profiler,
which is called there, raises in its place.
"""

import contextlib
import copy
import functools
import gc
import os
import random
import sys
import threading
import time
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from threadpoolctl import ThreadpoolController, threadpool_limits

import sktie
from sktie import _design
from sktie._fingerprint import fingerprint
from sktie._parallel import Workers, workers
from sktie._validation import unchanged_on_error
from sktie.streams import open_npy
from tests.saved import PARTLY, UNFITTED, N, X, Y

HERE = str(Path(sktie.__file__).parent)
#: Whose functions may be interrupted: ours, and those that end our contexts.
FILES = (HERE, "contextlib.py", os.path.join("concurrent", "futures"))
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
#: Places of each fit, for each error.
PLACES = 60 if LONG else 5
#: What makes long fits short.
SHORT = {
    "chosen": {"ties": [1.0]},
    "counts-chosen": {"ties": [1.0], "alphas": [1.0]},
}

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Python tells of errors within generators that it closes.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Interrupt:
    """Raises an error at one place of what is called."""

    def __init__(self, error=KeyboardInterrupt, place=-1, files=FILES):
        self.error, self.place, self.files = error, place, files
        self.count, self.where = 0, None

    def __call__(self, frame, event, _):
        name = frame.f_code.co_filename
        if event not in ("call", "c_return"):
            return
        if not any(part in name for part in self.files):
            return
        self.count += 1
        if self.count == self.place:
            sys.setprofile(None)
            self.where = f"{name}:{frame.f_lineno} ({event})"
            raise self.error

    def during(self, call):
        """Call; return whether the error came out."""
        before = sys.getprofile()
        sys.setprofile(self)
        try:
            call()
        except self.error:
            return True
        finally:
            sys.setprofile(before)
        return False


def places_of(call, n):
    """Return some of the places of a call, the first and the last ones among them."""
    call()  # The first time is longer.
    counting = Interrupt()
    counting.during(call)
    some = random.Random(0).sample(range(1, counting.count), min(n, counting.count - 1))
    return sorted({1, *some, *range(counting.count - 2, counting.count + 1)})


def state(model):
    """All that was learned, in a word."""
    running = ("_callback", "_skl")
    return fingerprint(
        {name: v for name, v in vars(model).items() if not name.startswith(running)}
    )


def blas_threads():
    info = ThreadpoolController().select(user_api="blas").info()
    return [library["num_threads"] for library in info]


def our_threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("sktie")]


def assert_no_threads(where):
    """Threads end by themselves once nobody holds their pool."""
    end = time.monotonic() + 5
    while our_threads() and time.monotonic() < end:
        time.sleep(0.001)
    assert our_threads() == [], where


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """Two threads for small data, and BLAS allowed as many."""
    monkeypatch.setattr(_design, "LANE_ENTRIES", 40)
    monkeypatch.setattr(_design, "PIECE_ROWS", 4)
    with threadpool_limits(2, user_api="blas"):
        yield


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("name", UNFITTED)
def test_a_fit_that_is_interrupted_leaves_the_model_whole(name, error):
    """As it was, or, from the last line of the fit on, as it is to be."""
    model, rows, y, given = UNFITTED[name]
    model = clone(model).set_params(**SHORT.get(name, {}))
    if "n_jobs" in model.get_params():
        model.set_params(n_jobs=2)
    given_other = {key: value[::-1][:50] for key, value in given.items()}
    other = rows[::-1][:50], None if y is None else y[::-1][:50]

    def fit(model):
        model.fit(*other, **given_other)

    model.fit(rows, y, **given)
    new = clone(model)
    fit(new)
    old, new, threads = state(model), state(new), blas_threads()
    assert old != new
    came_out = 0
    again = copy.deepcopy(model)
    for place in places_of(lambda: fit(again), PLACES):
        one = copy.deepcopy(model)
        interrupt = Interrupt(error, place)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            raised = interrupt.during(lambda one=one: fit(one))
        kept = [w for w in caught if "was interrupted after" in str(w.message)]
        came_out += raised or bool(kept)
        if raised:
            assert state(one) in (old, new), interrupt.where
        assert_no_threads(interrupt.where)
        assert blas_threads() == threads, interrupt.where
        fit(one)
        assert state(one) == new, interrupt.where
    assert came_out >= 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("name", PARTLY)
def test_a_batch_that_is_interrupted_leaves_the_model_whole(name, error):
    """Its moments and its random numbers too: the same batch then learns the same."""
    first = {} if name in ("ridge", "clusters") else {"classes": [0, 1]}
    begun = clone(PARTLY[name])
    begun.partial_fit(X[: N // 2, :-1], Y[: N // 2], **first)

    def going_on(model):
        # Found beforehand: scikit-learn takes any error there for a missing method.
        return functools.partial(model.partial_fit, X[N // 2 :, :-1], Y[N // 2 :])

    def go_on(model):
        going_on(model)()

    whole = copy.deepcopy(begun)
    go_on(whole)
    old, new = state(begun), state(whole)
    for place in places_of(going_on(copy.deepcopy(begun)), 2 * PLACES):
        model = copy.deepcopy(begun)
        interrupt = Interrupt(error, place)
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            raised = interrupt.during(going_on(model))
        if not raised:  # Networks keep what they have learned so far.
            continue
        assert state(model) in (old, new), interrupt.where
        if state(model) == old:
            go_on(model)
        assert state(model) == new, interrupt.where


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError])
@pytest.mark.parametrize("name", ["domains", "ridge", "counts"])
def test_a_fit_to_rows_in_files_that_is_interrupted_leaves_nothing(
    name, error, tmp_path
):
    """No half of a model, and no thread that reads on."""
    model, rows, y, _ = UNFITTED[name]
    for k in range(3):
        np.save(tmp_path / f"{k}.npy", rows[k * 20 : k * 20 + 20])
    stream = open_npy(tmp_path)
    model = clone(model).set_params(n_jobs=2)
    if "store_covariance" in model.get_params():  # Needs the rows at hand.
        model.set_params(store_covariance=False)
    model.fit(stream, y)
    other = clone(model).set_params(tie=7.0).fit(stream, y)
    model.set_params(tie=7.0)
    old, new = state(model), state(other)

    def fit(model):
        model.fit(stream, y)

    again = copy.deepcopy(model)
    for place in places_of(lambda: fit(again), PLACES):
        one = copy.deepcopy(model)
        interrupt = Interrupt(error, place)
        interrupt.during(lambda one=one: fit(one))
        assert state(one) in (old, new), interrupt.where
        assert_no_threads(interrupt.where)
        fit(one)
        assert state(one) == new, interrupt.where


#: Fits that have lanes to share between threads, and so many of them.
WITH_LANES = {
    (name, lane) for name in ("domains", "ridge", "counts") for lane in (0, 1)
}
WITH_LANES |= {(name, 0) for name in ("features", "learned", "images", "chosen")}


@pytest.mark.parametrize(
    ("name", "lane"), [(name, lane) for name in UNFITTED for lane in (0, 1)]
)
def test_a_lane_without_memory_ends_the_fit(name, lane, monkeypatch):
    """In whichever thread it is."""
    model, rows, y, given = UNFITTED[name]
    model = clone(model)
    if "n_jobs" in model.get_params():
        model.set_params(n_jobs=2)
    model.fit(rows, y, **given)
    old, threads, failed = state(model), blas_threads(), []
    run = Workers.map

    def map_until(crew, function, items):
        items = list(items)

        def work(item):
            if len(items) > lane and item is items[lane]:
                failed.append(lane)
                raise MemoryError("of a lane")
            return function(item)

        return run(crew, work, items)

    monkeypatch.setattr(Workers, "map", map_until)
    raised = False
    try:
        model.fit(rows, y, **given)
    except MemoryError as error:
        raised = str(error) == "of a lane"
    assert raised == bool(failed)
    assert raised or (name, lane) not in WITH_LANES
    assert state(model) == old
    assert blas_threads() == threads
    assert_no_threads(name)


# The parts


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_interrupt_anywhere_gives_blas_back_its_threads(n_jobs):
    """Every place where one can come, from before the context until after it."""
    files = ("_parallel.py", "contextlib.py", os.path.join("concurrent", "futures"))
    before = blas_threads()
    seen = set()

    def work():
        with workers(n_jobs, 4) as crew:
            assert crew.map(lambda item: item + 1, range(4)) == [1, 2, 3, 4]

    work()
    for place in range(1, 200):
        interrupt = Interrupt(KeyboardInterrupt, place, files)
        interrupt.during(work)
        assert_no_threads(interrupt.where)
        assert blas_threads() == before, interrupt.where
        if interrupt.where is None:  # There are no more.
            break
        seen.add(interrupt.where)
    assert len(seen) > 20
    assert place < 199


class Model:
    """Something that learns."""

    def fit(self, value, wrong=False):
        with unchanged_on_error(self):
            self.value_ = value
            self.new_ = None
            if wrong:
                raise ValueError("wrong")
        return self


def test_a_failed_fit_is_undone():
    model = Model().fit(1)
    del model.new_
    with pytest.raises(ValueError, match="wrong"):
        model.fit(2, wrong=True)
    assert vars(model) == {"value_": 1}


def test_what_was_interrupted_at_its_end_is_not_undone_later():
    """Nothing is closed with a traceback that somebody keeps."""
    kept = []
    for place in range(1, 12):
        model = Model().fit(1)
        try:
            before = sys.getprofile()
            sys.setprofile(Interrupt(KeyboardInterrupt, place, (HERE, "contextlib.py")))
            try:
                model.fit(2)
            finally:
                sys.setprofile(before)
        except KeyboardInterrupt as error:
            kept.append(error)
        model.fit(3)
        assert model.value_ == 3
        del kept[:]
        assert model.value_ == 3


def test_without_memory_for_threads_the_work_is_done_by_one(monkeypatch):
    def no_thread(*args):
        raise RuntimeError("can't start new thread")

    with workers(2, 4) as crew:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            assert crew.map(lambda item: item + 1, range(4)) == [1, 2, 3, 4]
        assert crew.map(lambda item: item + 1, range(4)) == [1, 2, 3, 4]
    assert_no_threads("after")


def test_an_error_of_a_lane_holds_nothing():
    """Nothing is kept by what was raised, once that is gone."""

    class Thing:
        pass

    def fail(item):
        raise ArithmeticError(item)

    things = [Thing() for _ in range(4)]
    known = [weakref.ref(thing) for thing in things]
    gc.disable()
    try:
        with workers(2, 4) as crew, contextlib.suppress(ArithmeticError):
            crew.map(fail, things)
        del things, crew
        assert [ref() for ref in known] == [None] * 4
    finally:
        gc.enable()
