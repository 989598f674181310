"""Tests of sktie._parallel."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
from joblib import effective_n_jobs
from numpy.testing import assert_array_equal
from threadpoolctl import ThreadpoolController, threadpool_limits

from sktie import TiedLogisticRegression
from sktie._design import LANE_ENTRIES
from sktie._parallel import Workers, n_threads, workers


def blas_threads():
    """The limits of all BLAS libraries in the process."""
    info = ThreadpoolController().select(user_api="blas").info()
    return {library["num_threads"] for library in info}


@pytest.fixture
def two_blas_threads():
    """BLAS allowed two threads, whatever the machine and the environment say."""
    with threadpool_limits(2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("no BLAS whose threads can be set")
        yield


# n_threads


@pytest.mark.parametrize("n_jobs", [1, 2, 5, -1, -2])
def test_n_jobs_is_read_as_joblib_reads_it(n_jobs):
    assert n_threads(n_jobs) == effective_n_jobs(n_jobs)


def test_no_n_jobs_means_as_many_threads_as_blas_may_use(monkeypatch, two_blas_threads):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert n_threads(None) == 2
    with threadpool_limits(1):
        assert n_threads(None) == 1
    assert n_threads(None) == 2


def test_no_n_jobs_means_no_more_threads_than_cores_of_ours(
    monkeypatch, two_blas_threads
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert n_threads(None) == 1
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS and Windows
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert n_threads(None) == 1
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert n_threads(None) == 2
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert n_threads(None) == 1


# Workers


@pytest.mark.parametrize("n_jobs", [1, 2, 4])
def test_map_keeps_the_order_of_the_items(n_jobs):
    def slow_first(item):
        time.sleep(0.01 if item == 0 else 0)
        return item**2

    with workers(n_jobs, 8) as crew:
        assert crew.map(slow_first, range(20)) == [i**2 for i in range(20)]
        assert crew.map(slow_first, iter([3])) == [9]
        assert crew.map(slow_first, []) == []


def test_map_runs_lanes_side_by_side():
    barrier = threading.Barrier(3)
    with workers(3, 8) as crew:  # each waits for the others: one alone would time out
        assert crew.map(lambda _: barrier.wait(timeout=5), range(3)).count(0) == 1


@pytest.mark.parametrize(("n_jobs", "n_lanes"), [(1, 8), (4, 1), (4, 0)])
def test_one_thread_or_one_lane_starts_no_threads(n_jobs, n_lanes):
    with workers(n_jobs, n_lanes) as crew:
        here = threading.get_ident()
        assert crew.map(lambda _: threading.get_ident(), range(5)) == [here] * 5


def test_no_more_threads_than_lanes_and_none_left_behind():
    before = threading.active_count()
    with workers(8, 3) as crew:
        names = crew.map(lambda _: threading.current_thread().name, range(50))
        assert len(set(names)) <= 3
        assert all(name.startswith("sktie") for name in names)
    assert threading.active_count() == before


# BLAS


def test_blas_is_serial_in_lanes_and_restored_after(two_blas_threads):
    assert blas_threads() == {2}
    for n_lanes in (1, 4):
        with workers(2, n_lanes) as crew:
            assert blas_threads() == {1}
            assert crew.map(lambda _: blas_threads(), range(4)) == [{1}] * 4
        assert blas_threads() == {2}


def test_blas_is_restored_after_an_error(two_blas_threads):
    def fail(item):
        raise ArithmeticError(f"lane {item}")

    with workers(2, 4) as crew:
        with pytest.raises(ArithmeticError, match="lane 0"):
            crew.map(fail, range(4))
        assert crew.map(lambda item: item, range(4)) == [0, 1, 2, 3]
    assert blas_threads() == {2}
    with pytest.raises(ArithmeticError, match="lane 0"), workers(2, 4) as crew:
        crew.map(fail, range(4))
    assert blas_threads() == {2}


def test_the_last_of_two_concurrent_holders_restores_blas(two_blas_threads):
    both_in, first_out = threading.Barrier(2), threading.Event()
    seen = {}

    def hold(name):
        def lane(item):
            if item == 0:
                both_in.wait(timeout=5)
                if name == "last":
                    assert first_out.wait(timeout=5)
                    seen["after the first"] = blas_threads()
            return item

        with workers(2, 2) as crew:
            crew.map(lane, range(2))
        if name == "first":
            first_out.set()

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(hold, name) for name in ("first", "last")]:
            future.result(timeout=10)
    assert seen == {"after the first": {1}}
    assert blas_threads() == {2}


def test_workers_without_an_executor_leave_blas_alone(two_blas_threads):
    assert Workers().map(lambda _: blas_threads(), range(2)) == [{2}] * 2


# A whole fit


def make_rows(sparse):
    """Rows for more lanes than four threads, in mixed order of four domains."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5 * LANE_ENTRIES // 32, 32)).astype(np.float32)
    domain = rng.integers(4, size=len(X))
    raw = X[:, :3] + 0.3 * domain[:, np.newaxis] * X[:, 3:6]
    y = (raw + rng.logistic(size=raw.shape)).argmax(axis=1)
    if sparse:
        X = sp.csr_array(np.where(np.abs(X) > 0.01, X, 0).astype(np.float32))
    return X, y, domain


@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_the_number_of_threads_changes_no_bit_of_a_fit(solver, sparse):
    X, y, domain = make_rows(sparse)
    models = []
    with threadpool_limits(1):
        for n_jobs in (1, 2, 4):
            model = TiedLogisticRegression(solver=solver, n_jobs=n_jobs, tol=1e-4)
            models.append(model.fit(X, y, sample_domain=domain))
    for model in models[1:]:
        assert_array_equal(model.domain_coef_, models[0].domain_coef_)
        assert_array_equal(model.domain_intercept_, models[0].domain_intercept_)
        assert model.objective_ == models[0].objective_
        assert model.n_iter_ == models[0].n_iter_


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("fail", [False, True], ids=["success", "error"])
def test_fit_restores_blas(fail, two_blas_threads):
    X, y, domain = make_rows(sparse=False)
    if fail:
        X[:, 0] *= np.float32(1e30)  # its squares overflow in the Hessian
    model = TiedLogisticRegression(solver="newton-cholesky", n_jobs=2, tol=1e-2)
    if fail:
        with (
            np.errstate(over="ignore", invalid="ignore"),
            pytest.raises(ValueError, match="Scale the features"),
        ):
            model.fit(X, y, sample_domain=domain)
    else:
        model.fit(X, y, sample_domain=domain)
    assert blas_threads() == {2}


def test_the_caller_is_one_of_the_threads():
    with workers(2, 4) as crew:
        meet = threading.Barrier(2)

        def lane(_):
            meet.wait(timeout=5)
            return threading.get_ident()

        idents = crew.map(lane, range(2))
    assert len(set(idents)) == 2
    assert threading.get_ident() in idents


def test_the_first_lane_that_fails_is_the_one_to_tell():
    def fail(item):
        time.sleep(0.02 if item == 0 else 0)
        if item < 2:
            raise ArithmeticError(f"lane {item}")

    with workers(2, 4) as crew:
        for _ in range(5):
            with pytest.raises(ArithmeticError, match="lane 0"):
                crew.map(fail, range(4))
