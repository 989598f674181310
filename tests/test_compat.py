"""Tests of sktie._compat."""

from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from sktie import TiedLogisticRegression, _compat
from sktie._compat import check_sample_weight, fit_callbacks

needs_callbacks = pytest.mark.skipif(
    not _compat.HAS_CALLBACKS, reason="scikit-learn >= 1.9 has callbacks"
)


class Recording:
    """A callback that keeps what it is told, in order."""

    def __init__(self):
        self.events = []

    def setup(self, estimator, context):
        self.events.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.events.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.rows = len(X), len(y)
        self.events.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None):
        self.max_subtasks = max(context.max_subtasks, getattr(self, "max_subtasks", 0))
        self.events.append(("end", context.task_name))


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    return X, (X[:, 0] + rng.logistic(size=200) > 0).astype(int)


@needs_callbacks
@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs", "newton-cg"])
def test_callback_sees_the_fit_and_every_iteration(rows, solver):
    callback = Recording()
    model = TiedLogisticRegression(solver=solver).set_callbacks(callback).fit(*rows)
    events, (root,) = callback.events, {name for _, name in callback.events[:1]}
    assert events[0] == ("setup", root)
    assert events[1] == ("begin", root)
    assert events[-2:] == [("end", root), ("teardown", root)]
    inner = events[2:-2]
    # One for the start, then one for every step.
    pair = [("begin", "iteration"), ("end", "iteration")]
    assert inner == pair * (model.n_iter_ + 1)
    assert callback.rows == (200, 200)
    assert callback.max_subtasks == model.max_iter + 1


@needs_callbacks
def test_callback_survives_the_limit_of_iterations(rows):
    callback = Recording()
    model = TiedLogisticRegression(solver="lbfgs", max_iter=2, tol=1e-12)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        model.set_callbacks(callback).fit(*rows)
    count = Counter(callback.events)
    assert count["begin", "iteration"] == count["end", "iteration"] == 3
    assert model.n_iter_ == 2


@needs_callbacks
def test_teardown_follows_an_error_within_the_fit(rows):
    class Failing(Recording):
        def on_fit_task_end(self, estimator, context):
            raise ArithmeticError("enough")

    callback = Failing()
    model = TiedLogisticRegression().set_callbacks(callback)
    with pytest.raises(ArithmeticError, match="enough"):
        model.fit(*rows)
    assert callback.events[-1][0] == "teardown"


@needs_callbacks
def test_every_fit_reports_anew(rows):
    callback = Recording()
    model = TiedLogisticRegression().set_callbacks(callback)
    model.fit(*rows)
    first = callback.events.copy()
    callback.events.clear()
    model.fit(*rows)
    assert callback.events == first


@needs_callbacks
def test_callbacks_change_no_bit_of_a_fit(rows):
    heard = TiedLogisticRegression().set_callbacks(Recording()).fit(*rows)
    plain = TiedLogisticRegression().fit(*rows)
    assert_array_equal(heard.coef_, plain.coef_)
    assert heard.n_iter_ == plain.n_iter_


def test_without_callbacks_solvers_call_no_hook(rows):
    with fit_callbacks(TiedLogisticRegression(), *rows, max_iter=5) as hook:
        assert hook is None


def test_without_support_in_scikit_learn_nothing_is_asked_of_it(rows, monkeypatch):
    monkeypatch.setattr(_compat, "HAS_CALLBACKS", False)
    with fit_callbacks(object(), *rows, max_iter=5) as hook:
        assert hook is None
    assert TiedLogisticRegression().fit(*rows).n_iter_ >= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_take_the_dtype_of_the_rows(dtype):
    X = np.zeros((3, 2), dtype)
    for weight in (None, 2.0, [1, 2, 0], np.ones(3, np.float64)):
        assert check_sample_weight(weight, X).dtype == dtype
    assert_array_equal(check_sample_weight([1, 2, 0], X), [1, 2, 0])


@pytest.mark.parametrize("weight", [[1, -1, 1], [1, np.nan, 1], [1, 1], np.eye(3)])
def test_bad_weights_are_refused(weight):
    with pytest.raises(ValueError, match=r"(?i)weight|shape"):
        check_sample_weight(weight, np.zeros((3, 2)))


def test_all_names_exist():
    assert len(set(_compat.__all__)) == len(_compat.__all__)
    for name in _compat.__all__:
        assert hasattr(_compat, name)
