"""shift_invariance: decisions that do not change, or do, when images move."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from sktie import SharedConvClassifier
from sktie.inspection import shift_invariance


def bars(side=15, n=20, margin=0.0):
    """Upright and level bars in the middle of a wide margin."""
    rng = np.random.default_rng(0)
    X = np.zeros((2 * n, side, side))
    middle = slice(side // 2 - 1, side // 2 + 2)
    X[:n, middle, side // 2] = rng.uniform(1, 2, (n, 3))
    X[n:, side // 2, middle] = rng.uniform(1, 2, (n, 3))
    return X + margin, np.repeat(["upright", "level"], n)


class Reader(ClassifierMixin, BaseEstimator):
    """Decides by the largest pixel's row and column; remembers what it was shown."""

    def __init__(self, shape):
        self.shape = shape

    def fit(self, X, y):
        self.classes_ = np.arange(np.prod(self.shape))
        self.shown_ = []
        return self

    def predict(self, X):
        self.shown_.append(X)
        return np.asarray(X).reshape(len(X), -1).argmax(axis=1)


def convolution(**settings):
    chosen = {
        "filters": (4, 4),
        "pool_size": 1,
        "global_pool": "max",
        "max_iter": 30,
        "random_state": 0,
    }
    return SharedConvClassifier(**(chosen | settings))


@pytest.mark.parametrize("margin", [0.0, 3.0])
@pytest.mark.parametrize("pool", ["max", "mean"])
def test_shared_kernels_and_a_global_pool_decide_alike_wherever_the_object_is(
    pool, margin
):
    X, y = bars(margin=margin)
    model = convolution(global_pool=pool).fit(X, y)
    assert model.score(X, y) > 0.95
    found = shift_invariance(model, X, 3)
    assert_array_equal(found.unchanged, np.ones((7, 7)))
    assert found.mean == 1


def test_what_comes_in_at_the_border_matters():
    X, y = bars(margin=3.0)
    model = convolution().fit(X, y)
    assert shift_invariance(model, X, 3, fill=3.0).mean == 1
    assert shift_invariance(model, X, 3, fill=30.0).mean < 1


@pytest.mark.parametrize(
    "model",
    [
        convolution(global_pool=False),
        convolution(filters=4, tie=0.0, global_pool=False),
    ],
    ids=["all locations", "local"],
)
def test_without_the_pool_or_the_sharing_decisions_change(model):
    X, y = bars()
    found = shift_invariance(model.fit(X, y), X, 3)
    assert found.unchanged[3, 3] == 1
    assert found.mean < 1


def test_flat_rows_and_other_classifiers():
    X, y = bars()
    rows = X.reshape(len(X), -1)
    model = LogisticRegression().fit(rows, y)
    found = shift_invariance(model, rows, 3)
    assert found.unchanged.shape == (7, 7)
    assert found.unchanged[3, 3] == 1
    assert 0.3 < found.mean < 1
    away = np.delete(found.unchanged.ravel(), 24)
    assert_allclose(found.mean, away.mean())


def test_an_image_moves_down_and_to_the_right_by_what_the_result_says():
    # The decision is where the one bright pixel is.
    X = np.zeros((1, 4, 6))
    X[0, 1, 2] = 1
    model = Reader((4, 6)).fit(X, [0])
    found = shift_invariance(model, X, 2, fill=0)
    assert_array_equal(found.down, [-2, -1, 0, 1, 2])
    assert_array_equal(found.right, [-2, -1, 0, 1, 2])
    still, *moved = model.shown_
    assert_array_equal(still, X)
    for shown, (i, j) in zip(moved, np.ndindex(5, 5), strict=True):
        expected = np.zeros((1, 4, 6))
        row, column = 1 + found.down[i], 2 + found.right[j]
        if row >= 0:
            expected[0, row, column] = 1
        assert_array_equal(shown, expected)
    assert_array_equal(found.unchanged, np.arange(25).reshape(5, 5) == 12)
    assert found.mean == 0


def test_the_share_is_of_the_images():
    X = np.zeros((4, 5, 5))
    X[0, 2, 2] = 1  # The others are empty: the first pixel is the largest everywhere.
    found = shift_invariance(Reader((5, 5)).fit(X, None), X, 1)
    expected = np.full((3, 3), 0.75)
    expected[1, 1] = 1
    assert_array_equal(found.unchanged, expected)


def test_signals_move_along_their_one_axis():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 10, 2)), np.arange(20) % 2
    model = SharedConvClassifier(2, image_shape=(10, 2), max_iter=1).fit(X, y)
    found = shift_invariance(model, X, 4)
    assert found.unchanged.shape == (1, 9)
    assert found.down.tolist() == [0]
    assert found.right.tolist() == list(range(-4, 5))
    assert_array_equal(
        shift_invariance(model, X.reshape(20, 20), 4).unchanged, found.unchanged
    )


def test_every_channel_has_its_own_fill():
    X = np.zeros((1, 3, 3, 2))
    model = Reader((3, 3, 2)).fit(X, None)
    shift_invariance(model, X, 1, fill=[5, 7])
    corner = model.shown_[1]  # Up and to the left.
    assert_array_equal(corner[0, -1], [[5, 7]] * 3)
    assert_array_equal(corner[0, :, -1], [[5, 7]] * 3)
    assert_array_equal(corner[0, :2, :2], np.zeros((2, 2, 2)))


@pytest.mark.parametrize(("fill", "dtype"), [(7, np.uint8), (0.5, np.float64)])
def test_a_fill_is_never_rounded_to_the_dtype_of_the_images(fill, dtype):
    X = np.zeros((1, 3, 3), np.uint8)
    model = Reader((3, 3)).fit(X, None)
    shift_invariance(model, X, 1, fill=fill)
    assert model.shown_[1].dtype == dtype
    assert model.shown_[1].max() == fill


def test_the_margin_of_a_network_is_its_fill():
    X, y = bars(margin=3.0)
    model = convolution(max_iter=1).fit(X, y)
    shown = []
    model.predict = lambda X: shown.append(X) or np.zeros(len(X))
    shift_invariance(model, X, 1)
    assert shown[1].min() == 3.0


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_stay_frames_with_their_columns(frame):
    X, y = bars(5, 4)
    names = [f"p{k}" for k in range(25)]
    rows = X.reshape(8, 25)
    table = frame(rows, **{"columns" if frame is pd.DataFrame else "schema": names})
    model = LogisticRegression().fit(table, y)
    plain = LogisticRegression().fit(rows, y)
    found = shift_invariance(model, table, 1)
    assert_array_equal(found.unchanged, shift_invariance(plain, rows, 1).unchanged)


def test_the_images_are_not_changed():
    X, y = bars()
    model = make_pipeline(MinMaxScaler(), LogisticRegression())
    rows = X.reshape(len(X), -1)
    before = rows.copy()
    shift_invariance(model.fit(rows, y), rows, 2)
    assert_array_equal(rows, before)


@pytest.mark.parametrize("shape", [(4, 6), (4, 3, 2), (24,), (12, 2)])
def test_a_shape_given_is_the_shape(shape):
    X = np.zeros((2, 24))
    model = Reader(shape).fit(X, None)
    found = shift_invariance(model, X, 2, image_shape=shape)
    flat = len(shape) == 1 or shape[0] == 12
    assert found.unchanged.shape == ((1, 5) if flat else (5, 5))


@pytest.mark.parametrize("max_shift", [0, -1, 15, 1.0, True, None, "1"])
def test_a_shift_that_leaves_nothing_or_is_none_is_refused(max_shift):
    X, y = bars()
    model = LogisticRegression().fit(X.reshape(len(X), -1), y)
    with pytest.raises(ValueError, match=r"max_shift=.*expected .* from 1 to 14"):
        shift_invariance(model, X.reshape(len(X), -1), max_shift)


def test_wrong_input_is_named():
    X, y = bars(4)
    rows = X.reshape(len(X), -1)
    model = LogisticRegression()
    with pytest.raises(NotFittedError):
        shift_invariance(model, rows, 1)
    model.fit(rows, y)
    with pytest.raises(ValueError, match=r"image_shape=\(3, 4\) has 12 .* has 16"):
        shift_invariance(model, rows, 1, image_shape=(3, 4))
    with pytest.raises(ValueError, match=r"fill=\[1, 2\].* 1 channels"):
        shift_invariance(model, rows, 1, fill=[1, 2])
    with pytest.raises(ValueError, match=r"X has the shape \(16,\)"):
        shift_invariance(model, rows[0], 1)
