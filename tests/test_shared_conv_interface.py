"""SharedConvClassifier among others: partial_fit, warm starts, Ctrl-C, pipelines."""

import pickle
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktie._parallel import workers
from sktie.neural_network import _conv_fitted
from sktie.neural_network._image_loss import ImageLoss
from tests.networks import (
    WEIGHT,
    N,
    X,
    Y,
    assert_close_models,
    assert_same_model,
    network,
    parameters,
    quietly,
)

INF = np.inf
CLASSES = [0, 1, 2]


# ---- partial_fit ---------------------------------------------------------------------

CONSTANT = {"learning_rate": "constant", "tol": 0.0, "n_iter_no_change": 1000}


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_calls_of_partial_fit_are_epochs_of_fit(solver):
    # On one batch: the rows of fit are in an order of their own.
    model = network(solver=solver, batch_size=N, tie=0.5)
    for _ in range(4):
        model.partial_fit(X, Y, classes=CLASSES, sample_weight=WEIGHT)
    whole = network(solver=solver, batch_size=N, tie=0.5, max_iter=4, **CONSTANT)
    quietly(whole, X, Y, WEIGHT)
    assert_close_models(model, whole, rtol=1e-6, atol=1e-9)
    assert_allclose(model.loss_curve_, whole.loss_curve_, rtol=1e-9)
    assert (model.t_, model.n_iter_) == (whole.t_, whole.n_iter_) == (4 * N, 4)
    assert model.loss_ == model.loss_curve_[-1]
    assert model.best_loss_ == min(model.loss_curve_)


def test_a_call_is_one_pass_in_batches(monkeypatch):
    sizes = []
    original = ImageLoss.__call__

    def spy(self, theta, rows):
        sizes.append(len(rows))
        return original(self, theta, rows)

    monkeypatch.setattr(ImageLoss, "__call__", spy)
    model = network(batch_size=25, max_iter=7).partial_fit(X, Y, CLASSES)
    assert sizes == [25, 25, 10]
    assert (model.n_iter_, model.t_) == (1, N)
    model.partial_fit(X[:30], Y[:30])
    assert sizes[3:] == [25, 5]
    assert (model.n_iter_, model.t_) == (2, N + 30)


def test_the_scale_is_that_of_the_first_call():
    model = network().partial_fit(X[:20], Y[:20], CLASSES)
    first = network().fit(X[:20], Y[:20])
    for _ in range(2):
        for name in ("offset_", "scale_", "margin_"):
            assert_allclose(getattr(model, name), getattr(first, name), rtol=1e-12)
        model.partial_fit(X[20:] * 5 + 3, Y[20:])


def test_the_classes_are_those_of_the_first_call():
    model = network().partial_fit(X[Y == 1], Y[Y == 1], classes=[2, 0, 1, 7])
    assert_array_equal(model.classes_, [0, 1, 2, 7])
    model.partial_fit(X, Y).partial_fit(X, Y, classes=[7, 2, 1, 0])
    assert model.predict_proba(X).shape == (N, 4)
    names = np.array(["a", "b", "c"])
    text = network().partial_fit(X, names[Y], classes=names).partial_fit(X, names[Y])
    assert set(text.predict(X)) <= set(names)


@pytest.mark.parametrize("class_weight", [None, {0: 4.0, 1: 0.5}])
def test_weights_of_partial_fit_are_of_rows_and_classes(class_weight):
    weight = np.where(Y == 2, 0, WEIGHT)
    kept = weight > 0
    factors = {0: 1.0, 1: 1.0} | (class_weight or {})
    model = network(class_weight=class_weight)
    model.partial_fit(X, Y, CLASSES, sample_weight=weight)
    by_hand = weight[kept] * [factors[label] for label in Y[kept]]
    other = network().partial_fit(X[kept], Y[kept], CLASSES, sample_weight=by_hand)
    assert_same_model(model, other)
    assert model.t_ == kept.sum()


def test_steps_of_partial_fit_are_constant_whatever_fit_does():
    one = network().partial_fit(X, Y, CLASSES).partial_fit(X, Y)
    other = network(**CONSTANT).partial_fit(X, Y, CLASSES).partial_fit(X, Y)
    assert_same_model(one, other)
    double = network(learning_rate_init=1e-2).partial_fit(X, Y, CLASSES)
    start = network(learning_rate_init=1e-30).partial_fit(X, Y, CLASSES)
    single = network(learning_rate_init=5e-3).partial_fit(X, Y, CLASSES)
    steps = [model.coefs_[0] - start.coefs_[0] for model in (double, single)]
    assert_allclose(steps[0], 2 * steps[1], rtol=1e-6)


def test_partial_fit_takes_the_learning_rate_and_the_solver_of_the_moment():
    model = network(learning_rate_init=1e-9).partial_fit(X, Y, np.unique(Y))
    before = parameters(model)
    model.set_params(learning_rate_init=0.1).partial_fit(X, Y)
    moved = [
        np.abs(a - b).max() for a, b in zip(before, parameters(model), strict=True)
    ]
    assert max(moved) > 0.01
    assert type(model._optimizer["adam"]).__name__ == "Adam"
    model.set_params(solver="sgd").partial_fit(X, Y)
    assert type(model._optimizer["sgd"]).__name__ == "SGDOptimizer"


def test_partial_fit_learns_from_a_stream():
    model = network(8, learning_rate_init=0.01, alpha=1e-3)
    for _ in range(30):
        for start in range(0, N, 20):
            rows = slice(start, start + 20)
            model.partial_fit(X[rows], Y[rows], classes=CLASSES)
    assert model.score(X, Y) == 1.0


def test_partial_fit_goes_on_after_fit():
    model = network(max_iter=20).fit(X, Y)
    before, curve = clone(model).fit(X, Y), list(model.loss_curve_)
    model.partial_fit(X, Y)
    assert model.loss_curve_[:20] == curve
    assert (model.n_iter_, model.t_) == (21, 21 * N)
    far = np.abs(model.coefs_[0] - before.coefs_[0]).max()
    assert 1e-6 < far < 2 * model.learning_rate_init
    assert_array_equal(model.offset_, before.offset_)


def test_partial_fit_after_fit_depends_on_the_seed_alone():
    settings = {"batch_size": 7, "dropout": 0.3}
    first, second = (network(**settings).fit(X, Y) for _ in range(2))
    for _ in range(2):
        assert_same_model(first.partial_fit(X, Y), second.partial_fit(X, Y))


def test_fit_after_partial_fit_starts_anew():
    settings = {"batch_size": 20, "max_iter": 5, **CONSTANT}
    model = network(**settings)
    for _ in range(5):
        model.partial_fit(X + 3, Y, CLASSES)
    assert_same_model(quietly(model, X, Y), quietly(network(**settings), X, Y))
    # So does the first step on new rows after that.
    other = quietly(network(**settings), X, Y)
    assert_same_model(model.partial_fit(X, Y), other.partial_fit(X, Y))


def test_a_fit_with_other_layers_after_partial_fit_works():
    model = network(**CONSTANT).partial_fit(X, Y, CLASSES)
    quietly(model.set_params(filters=5), X, Y)
    assert_same_model(model, quietly(network(5, **CONSTANT), X, Y))


def test_a_pickle_of_partial_fit_goes_on_in_the_same_way():
    model = network(batch_size=7, **{"dropout": 0.3}).partial_fit(X, Y, CLASSES)
    copy = pickle.loads(pickle.dumps(model))
    assert_same_model(model.partial_fit(X, Y), copy.partial_fit(X, Y))


def test_first_and_later_calls_are_like_those_of_mlp_classifier():
    for model in (network(), MLPClassifier(4, random_state=0)):
        with pytest.raises(ValueError, match="classes"):
            model.partial_fit(X, Y)
        assert not hasattr(model, "classes_")
        model.partial_fit(X, Y, classes=CLASSES).partial_fit(X, Y)
        assert (model.t_, len(model.loss_curve_)) == (2 * N, 2)
        with pytest.raises(ValueError, match="classes"):
            model.partial_fit(X, Y + 1)


# ---- warm starts ---------------------------------------------------------------------


@pytest.mark.parametrize("tie", [INF, 0.0, 2.0, 1e6])
def test_a_warm_start_begins_where_the_last_fit_ended(tie):
    settings = {"tie": tie, "solver": "lbfgs", "max_iter": 3}
    model = quietly(network(**settings, warm_start=True), X, Y)
    # With hardly a step, the loss of an epoch is that of the start.
    model.set_params(solver="adam", learning_rate_init=1e-30, max_iter=1)
    end, before = model.loss_, [part.copy() for part in parameters(model)]
    model.fit(X, Y)
    assert_allclose(model.loss_, end, rtol=1e-9)
    for mine, other in zip(parameters(model), before, strict=True):
        assert_allclose(mine, other, rtol=1e-9, atol=1e-12)
    assert model.n_iter_ == 1
    cold = model.set_params(warm_start=False).fit(X, Y)
    assert cold.loss_ > end * 1.01


@pytest.mark.parametrize("change", ["classes", "layers", "channels"])
def test_a_warm_start_from_another_model_is_a_fit_from_scratch(change):
    model = network(warm_start=True).fit(X, Y)
    Z, y, settings = X * 3 + 5, Y, {}
    if change == "classes":
        Z, y = Z[Y < 2], Y[Y < 2]
    elif change == "layers":
        settings = {"filters": 4}
    else:
        settings = {"image_shape": (8, 4, 2)}
    model.set_params(**settings).fit(Z, y)
    assert_same_model(model, network(**({"filters": 3} | settings)).fit(Z, y))


def test_a_warm_start_at_the_minimum_has_its_loss():
    model = network((), solver="lbfgs", warm_start=True, max_iter=200, tol=1e-4)
    ended = model.fit(X, Y).loss_
    model.set_params(tol=1.0).fit(X, Y)
    assert model.n_iter_ == 0
    assert model.loss_curve_ == []
    assert_allclose([model.loss_, model.best_loss_], ended, rtol=1e-12)


def test_without_a_warm_start_every_fit_begins_anew():
    model = network().fit(X, Y)
    assert_same_model(model.fit(X * 2, Y), network().fit(X * 2, Y))


# ---- Ctrl-C --------------------------------------------------------------------------


def survives_ctrl_c(method, *args, **kwargs):
    """Call what will be interrupted; a KeyboardInterrupt would end all tests."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            method(*args, **kwargs)
        except KeyboardInterrupt:
            pytest.fail("The interrupt came through.")
    assert [each.category for each in caught] == [ConvergenceWarning]
    assert "interrupted after" in str(caught[0].message)
    assert "warm_start=True" in str(caught[0].message)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("n_steps", [0, 5])
def test_ctrl_c_keeps_the_parameters_of_that_moment(monkeypatch, solver, n_steps):
    settings = {"solver": solver, "max_iter": 50, "learning_rate": "constant"}
    calls = []
    original = ImageLoss.__call__

    def interrupted(self, theta, rows):
        calls.append(1)
        if len(calls) > n_steps:
            raise KeyboardInterrupt
        return original(self, theta, rows)

    monkeypatch.setattr(ImageLoss, "__call__", interrupted)
    model = network(**settings)
    survives_ctrl_c(model.fit, X, Y)
    monkeypatch.undo()
    assert model.n_iter_ == len(model.loss_curve_) <= n_steps
    assert np.isfinite(model.predict_proba(X)).all()
    if solver != "lbfgs":
        settings |= {"max_iter": n_steps or 1}
        settings |= {} if n_steps else {"learning_rate_init": 1e-30}
        expected = quietly(network(**settings), X, Y)
        assert_close_models(model, expected, rtol=1e-12, atol=1e-20)


def interrupting(n_calls):
    """Return a callable for `augment` that is interrupted after some calls."""
    calls = []

    def augment(pixels, rng):
        calls.append(1)
        if len(calls) > n_calls:
            raise KeyboardInterrupt
        return pixels

    return augment


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_in_a_callable_leaves_a_usable_model(n_jobs):
    model = network(augment=interrupting(7), max_iter=50, n_jobs=n_jobs)
    survives_ctrl_c(model.fit, X, Y)
    assert 0 < model.n_iter_ < 50
    assert set(model.predict(X)) <= set(CLASSES)
    again = pickle.loads(pickle.dumps(model.set_params(augment=None, warm_start=True)))
    assert again.fit(X, Y).n_iter_ == 50


def test_ctrl_c_with_early_stopping_keeps_the_best_parameters():
    settings = {"max_iter": 50, "n_iter_no_change": 50, "learning_rate_init": 0.3}
    model = network(augment=interrupting(9), **settings)
    survives_ctrl_c(model.fit, X, Y, X_val=X[:30], y_val=Y[:30])
    assert_allclose(model.score(X[:30], Y[:30]), model.best_validation_score_)
    assert 1 < len(model.validation_scores_) == model.n_iter_ < 50


def test_ctrl_c_in_partial_fit_is_not_swallowed():
    model = network().partial_fit(X, Y, CLASSES)
    model.set_params(augment=interrupting(0))
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model.partial_fit(X, Y)
    assert np.isfinite(model.predict_proba(X)).all()


# ---- scikit-learn's ways -------------------------------------------------------------


def test_a_pickle_is_the_same_model():
    model = network((3, 2), tie=(0.5, INF), dropout=0.1).fit(X, Y)
    copy = pickle.loads(pickle.dumps(model))
    assert_same_model(copy, model)
    for method in ("predict", "predict_proba", "transform", "feature_maps"):
        assert_array_equal(getattr(copy, method)(X), getattr(model, method)(X))


def test_a_pickle_holds_what_the_model_learned_and_no_scratch_memory():
    model = network((), max_iter=2).fit(np.tile(X, (30, 1)), np.tile(Y, 30))
    assert len(pickle.dumps(model)) < 8 * model.n_stored_parameters_ + 5000


def test_a_clone_has_the_parameters_and_is_not_fitted():
    model = network((3, 2), tie=(0.5, INF), augment={"shift": 1}).fit(X, Y)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "coefs_")
    assert_same_model(copy.fit(X, Y), model)


def test_fit_leaves_its_parameters_as_they_were():
    settings = {"filters": [3, 2], "tie": [0, INF], "augment": {"shift": 1}}
    model = network(**settings)
    before = dict(model.get_params())
    assert model.fit(X, Y) is model
    assert model.get_params() == before
    assert all(value is before[name] for name, value in model.get_params().items())


def test_a_search_over_the_dial_and_the_filters():
    grid = {"tie": [0.0, 1.0, INF, (INF, 0.0)], "filters": [(2, 2), (3, 2)]}
    search = GridSearchCV(network(), grid, cv=2, error_score="raise").fit(X, Y)
    best = clone(network()).set_params(**search.best_params_).fit(X, Y)
    assert_same_model(search.best_estimator_, best)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_search_over_a_frozen_pair_and_its_tie():
    pair = FrozenEstimator(network().fit(X, Y))
    search = GridSearchCV(network(pair=pair), {"tie_pair": [0.0, INF]}, cv=2).fit(X, Y)
    assert_array_equal(search.best_estimator_.offset_, pair.offset_)


def test_pipelines_before_and_after():
    scaled = make_pipeline(FunctionTransformer(np.sqrt), network()).fit(X, Y)
    expected = network().fit(np.sqrt(X), Y)
    assert_array_equal(scaled.predict_proba(X), expected.predict_proba(np.sqrt(X)))
    features = make_pipeline(network(), LogisticRegression(C=0.1)).fit(X, Y)
    codes = network().fit(X, Y).transform(X)
    alone = LogisticRegression(C=0.1).fit(codes, Y)
    assert_allclose(features.predict_proba(X), alone.predict_proba(codes))
    assert_array_equal(network().fit_transform(X, Y), codes)


def test_weights_are_routed():
    with config_context(enable_metadata_routing=True):
        model = network().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(FunctionTransformer(), model)
        pipeline.fit(X, Y, sample_weight=WEIGHT)
        assert_same_model(pipeline[-1], network().fit(X, Y, WEIGHT))
        found = cross_validate(
            model.set_score_request(sample_weight=True),
            X,
            Y,
            cv=2,
            params={"sample_weight": WEIGHT},
            return_estimator=True,
            return_indices=True,
        )
        rows = found["indices"]["train"][0]
        expected = network().fit(X[rows], Y[rows], WEIGHT[rows])
        assert_same_model(found["estimator"][0], expected)


def test_validation_rows_pass_through_a_pipeline_as_they_are():
    settings = {"max_iter": 4, "learning_rate_init": 0.1}
    doubled = make_pipeline(FunctionTransformer(lambda X: 2 * X), network(**settings))
    doubled.fit(
        X,
        Y,
        sharedconvclassifier__X_val=2 * X[:20],
        sharedconvclassifier__y_val=Y[:20],
    )
    expected = network(**settings).fit(2 * X, Y, X_val=2 * X[:20], y_val=Y[:20])
    assert_same_model(doubled[-1], expected)


def test_log_probabilities_of_zero_are_minus_infinity():
    model = network((), max_iter=1).fit(X, Y)
    model.coefs_[0] = model.coefs_[0] * 1e6
    found = model.predict_log_proba(X)
    assert np.isneginf(found).any()
    assert_array_equal(found.argmax(axis=1), model.predict(X))


def test_rows_of_two_tiles_are_predicted_by_two_threads(monkeypatch):
    model = network(n_jobs=2).fit(X, Y)
    seen = []

    def recorded(n_jobs, n_lanes):
        seen.append(n_lanes)
        return workers(n_jobs, n_lanes)

    monkeypatch.setattr(_conv_fitted, "workers", recorded)
    many = np.tile(X, (9, 1))  # 540 rows; a tile holds 256 at most
    alone = model.predict_proba(many)
    monkeypatch.setattr(_conv_fitted, "LEAST_WORK", 1)
    shared = model.predict_proba(many)
    model.predict(X[:1])
    # Little work is not worth a second thread.
    assert seen[0] == seen[2] == 1
    assert seen[1] >= 2
    assert_array_equal(alone, shared)


def test_threads_predict_with_one_model_at_the_same_time():
    model = network(n_jobs=2).fit(X, Y)
    many = [np.roll(np.tile(X, (9, 1)), k, axis=0) for k in range(4)]
    expected = [model.predict_proba(rows) for rows in many]
    start = Barrier(4)

    def predict(k):
        start.wait(timeout=20)
        return [model.predict_proba(many[k]) for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(predict, range(4)))
    for own, answers in zip(expected, found, strict=True):
        for answer in answers:
            assert_array_equal(answer, own)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_no_copy_of_the_images_is_made(dtype):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6000, 40, 40)).astype(dtype)
    model = network(1, max_iter=1, stride=4, kernel_size=4)
    model.fit(images[:200], np.arange(200) % 2)
    peaks = []
    for work, more in ((model.fit, [np.arange(6000) % 2]), (model.predict, [])):
        tracemalloc.start()
        work(images, *more)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A copy of four or eight bytes for each pixel would be twice as large, or more.
    assert max(peaks) < 2 * images.size
