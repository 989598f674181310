"""SharedConvClassifier: how it is trained, and what training leaves."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_sample_weight

from sktie import _compat
from sktie._rows import canonical_rows
from sktie.neural_network._augment import as_augment
from sktie.nn._adam import Adam
from tests.networks import (
    WEIGHT,
    N,
    X,
    Y,
    assert_close_models,
    assert_different_model,
    assert_same_model,
    network,
    parameters,
    quietly,
)

INF = np.inf
SGDOptimizer = type(_compat.sgd_optimizer([], 0.1))


NOISY = {"dropout": 0.3, "augment": {"shift": 1, "flip": "both"}, "batch_size": 9}

# ---- what does not matter, and what does ---------------------------------------------


@pytest.mark.parametrize("settings", [{}, NOISY, {"solver": "lbfgs"}, {"tie": 0.5}])
def test_a_seed_gives_the_same_model_with_any_number_of_threads(settings):
    first = quietly(network(**settings), X, Y)
    for n_jobs in (1, 2, 3, None):
        assert_same_model(quietly(network(**settings, n_jobs=n_jobs), X, Y), first)
    assert_different_model(quietly(network(**settings, random_state=1), X, Y), first)


def test_threads_share_the_work_of_many_images_and_not_one_bit_changes():
    many = np.tile(X, (20, 1)) + np.random.default_rng(0).normal(size=(20 * N, 64))
    model = network(8, kernel_size=5, stride=1, max_iter=1, batch_size=600)
    one = clone(model).fit(many, np.tile(Y, 20))
    two = clone(model).set_params(n_jobs=2).fit(many, np.tile(Y, 20))
    assert_same_model(one, two)
    assert_array_equal(one.predict_proba(many), two.predict_proba(many))


@pytest.mark.parametrize("settings", [{}, NOISY, {"early_stopping": True}])
def test_the_order_of_the_rows_does_not_matter(settings):
    order = np.random.default_rng(1).permutation(N)
    model = network(**settings).fit(X, Y, WEIGHT)
    assert_same_model(network(**settings).fit(X[order], Y[order], WEIGHT[order]), model)


@pytest.mark.parametrize("settings", [{}, NOISY, {"early_stopping": True}])
def test_a_row_twice_is_a_row_of_weight_two(settings):
    twice = np.arange(N) % 4 == 0
    rows = np.r_[np.arange(N), np.flatnonzero(twice)]
    model = network(**settings).fit(X[rows], Y[rows])
    assert_same_model(network(**settings).fit(X, Y, 1 + twice), model)
    assert network(**settings).fit(X, Y).loss_curve_ != model.loss_curve_


def test_rows_of_weight_zero_count_as_absent():
    weight = np.where(Y == 2, 0.0, WEIGHT)
    noise = np.where(weight[:, np.newaxis] > 0, X, 1e6)
    model = network(**NOISY).fit(noise, Y, weight)
    kept = weight > 0
    assert_same_model(network(**NOISY).fit(X[kept], Y[kept], weight[kept]), model)
    assert_array_equal(model.classes_, [0, 1])
    assert_array_equal(
        model.margin_, network().fit(X[kept], Y[kept], weight[kept]).margin_
    )


@pytest.mark.parametrize("class_weight", [{0: 3.0, 2: 0.5}, "balanced"])
def test_class_weight_multiplies_the_weights_of_the_rows(class_weight):
    few = np.r_[np.flatnonzero(Y != 1), np.flatnonzero(Y == 1)[:4]]
    factors = compute_sample_weight(class_weight, Y[few])
    model = network(class_weight=class_weight).fit(X[few], Y[few])
    expected = network().fit(X[few], Y[few], factors)
    assert_close_models(model, expected, rtol=1e-8, atol=1e-10)
    assert_different_model(model, network().fit(X[few], Y[few]))


def test_labels_of_any_kind_are_classes():
    names = np.array(["one", "three", "two"])
    model = network().fit(X, names[Y])
    assert_array_equal(model.classes_, names)
    assert_array_equal(model.predict(X), names[network().fit(X, Y).predict(X)])
    assert model.score(X, names[Y]) == network().fit(X, Y).score(X, Y)


# ---- batches, steps and epochs -------------------------------------------------------


def test_a_batch_is_all_rows_up_to_256_and_128_beyond():
    for n, same in ((256, 256), (257, 128)):
        rows = np.random.default_rng(0).normal(size=(n, 4))
        y = np.arange(n) % 2
        auto = network(max_iter=1).fit(rows, y)
        assert_same_model(auto, network(max_iter=1, batch_size=same).fit(rows, y))
        other = network(max_iter=1, batch_size=same - 1).fit(rows, y)
        assert_different_model(auto, other)


def test_the_loss_of_an_epoch_is_its_mean_over_the_batches():
    # With hardly any step every epoch has the loss of the start.
    settings = {"learning_rate_init": 1e-12, "max_iter": 2}
    losses = [
        network(**settings, batch_size=size).fit(X, Y).loss_curve_
        for size in (1, 7, N, 10 * N)
    ]
    assert_allclose(losses, losses[2][0], rtol=1e-6)


def test_without_shuffling_the_batches_are_the_same_in_every_epoch():
    settings = {"batch_size": N // 2, "learning_rate_init": 1e-12, "max_iter": 2}
    seen = []

    def augment(pixels, rng):
        seen.append(pixels.sum())
        return pixels

    network(**settings, augment=augment, shuffle=False).fit(X, Y)
    half = len(seen) // 2
    assert seen[:half] == seen[half:]
    seen.clear()
    network(**settings, augment=augment).fit(X, Y)
    assert set(seen[:half]) != set(seen[half:])
    assert_allclose(sum(seen[:half]), X.sum())


@pytest.mark.parametrize(
    ("n", "settings", "expected"),
    [
        (20, {}, 200),
        (40 * 128 + 1, {}, 36),
        (320, {"batch_size": 2}, 15),
        (20, {"max_iter": 3}, 3),
        (20, {"learning_rate_init": 1e-9}, 200),
    ],
)
def test_auto_takes_about_1500_steps_in_15_to_200_epochs(n, settings, expected):
    rows = np.random.default_rng(0).normal(size=(n, 1))
    settings = {"max_iter": "auto", "pool_size": 1, "dtype": "float32"} | settings
    model = network((), **settings).fit(rows, np.arange(n) % 2)
    assert model.n_iter_ == len(model.loss_curve_) == expected
    assert model.t_ == n * expected


def test_auto_is_200_iterations_of_lbfgs():
    settings = {"hidden_layer_sizes": 5, "activation": "tanh"}
    model = network((), solver="lbfgs", max_iter="auto", tol=0, alpha=1e-4, **settings)
    noise = np.random.default_rng(0).normal(size=(N, 6))
    with pytest.warns(ConvergenceWarning, match=r"200 iterations, .*'auto'"):
        model.fit(noise, np.arange(N) % 3)


@pytest.fixture
def rates(monkeypatch):
    """The learning rate of every step."""
    found = []
    for optimizer in (Adam, SGDOptimizer):

        def spy(self, *args, original=optimizer.update_params):
            found.append((type(self), self.learning_rate_init))
            return original(self, *args)

        monkeypatch.setattr(optimizer, "update_params", spy)
    return found


@pytest.mark.parametrize(
    ("solver", "optimizer"), [("adam", Adam), ("sgd", SGDOptimizer)]
)
def test_steps_rise_in_the_first_quarter_and_fall_to_almost_nothing(
    rates, solver, optimizer
):
    settings = {"solver": solver, "batch_size": N // 4, "learning_rate_init": 0.02}
    network(max_iter=25, **settings).fit(X, Y)
    sizes = np.array([rate for kind, rate in rates if kind is optimizer])
    assert len(sizes) == len(rates) == 100
    assert sizes.argmax() == 25
    assert_allclose(sizes[25], 0.02)
    assert (np.diff(sizes[:26]) > 0).all()
    assert (np.diff(sizes[25:]) < 0).all()
    assert sizes[-1] < 0.002 * 0.02


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_constant_learning_rate_is_constant(rates, solver):
    settings = {"solver": solver, "learning_rate_init": 0.01}
    quietly(network(learning_rate="constant", **settings), X, Y)
    assert {rate for _, rate in rates} == {0.01}


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_every_solver_learns(solver):
    rate = 0.1 if solver == "sgd" else 0.02
    model = network(8, solver=solver, max_iter=100, learning_rate_init=rate)
    quietly(model, X, Y)
    assert model.score(X, Y) == 1.0
    assert model.loss_ < 0.5 * model.loss_curve_[0]


def test_solvers_differ():
    models = [quietly(network(solver=s), X, Y) for s in ("adam", "sgd", "lbfgs")]
    assert_different_model(models[0], models[1])
    assert_different_model(models[1], models[2])


def test_a_constant_learning_rate_stops_when_the_loss_falls_no_more():
    settings = {"learning_rate": "constant", "tol": 10.0, "max_iter": 50}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = network(**settings, n_iter_no_change=4).fit(X, Y)
    assert model.n_iter_ == 5
    cycled = network(tol=10.0, max_iter=20, n_iter_no_change=4).fit(X, Y)
    assert cycled.n_iter_ == 20


def test_tol_is_the_largest_entry_of_the_gradient_of_lbfgs():
    settings = {"solver": "lbfgs", "max_iter": 500, "pool_size": 1}
    rough = network(**settings, tol=1e-2, activation="tanh").fit(X, Y)
    fine = network(**settings, tol=1e-5, activation="tanh").fit(X, Y)
    assert rough.n_iter_ < fine.n_iter_
    assert rough.loss_ > fine.loss_


def test_attributes_are_consistent():
    model = network((3, 2), hidden_layer_sizes=4, batch_size=11, max_iter=7).fit(X, Y)
    assert model.loss_ == model.loss_curve_[-1]
    assert model.best_loss_ == min(model.loss_curve_)
    assert model.n_iter_ == 7
    assert model.t_ == 7 * N
    kinds = [part["kind"] for part in model.layers_]
    assert kinds == ["convolution", "convolution", "dense", "output"]
    assert not hasattr(model, "validation_scores_")
    assert not hasattr(model, "best_validation_score_")
    sizes = [part.size for part in parameters(model)]
    assert model.n_stored_parameters_ == sum(sizes)


def test_layers_are_what_the_parameters_say():
    values = {
        "filters": (3, 2),
        "kernel_size": (2, 3),
        "stride": (2, 1),
        "pool_size": (1, 2),
        "padding": ("valid", "same"),
        "tie": (0.5, INF),
        "bias": ("shared", "location"),
        "activation": ("tanh", "logistic"),
    }
    model = network(**values).fit(X, Y)
    for name, each in values.items():
        assert tuple(part[name] for part in model.layers_[:2]) == each
    same = {name: each[0] for name, each in values.items()} | {"filters": [3, 3]}
    for part in network(**same).fit(X, Y).layers_[:2]:
        assert {name: part[name] for name in same} == same | {"filters": 3}


def test_verbose_prints_the_loss_of_every_epoch(capsys):
    model = network(verbose=1).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert f"{model.loss_:.6g}"[:6] in lines[-1]
    network().fit(X, Y)
    assert capsys.readouterr().out == ""


# ---- early stopping ------------------------------------------------------------------

STOPPED = {"learning_rate_init": 0.3, "max_iter": 30, "n_iter_no_change": 5}


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_best_parameters_on_the_validation_rows_are_kept(solver):
    settings = STOPPED | {"solver": solver, "alpha": 0.0}
    noisy = np.random.default_rng(0).permutation(Y)[30:]
    model = quietly(network(**settings), X[:30], Y[:30], X_val=X[30:], y_val=noisy)
    scores = model.validation_scores_
    assert model.best_validation_score_ == max(scores)
    assert max(scores) > scores[-1]
    assert_allclose(model.score(X[30:], noisy), max(scores))
    assert len(scores) == model.n_iter_ < 30
    # It stops when 5 epochs were no better.
    assert model.n_iter_ >= scores.index(max(scores)) + 6
    assert model.t_ == 30 * model.n_iter_


def test_rows_are_held_back_by_class():
    model = network(**STOPPED, early_stopping=True, validation_fraction=0.25).fit(X, Y)
    rows, _, y = canonical_rows(X, np.ones(N), Y)
    held = train_test_split(
        np.arange(N), test_size=15, stratify=y, random_state=np.random.RandomState(0)
    )[1]
    assert_allclose(model.score(rows[held], y[held]), model.best_validation_score_)
    assert model.t_ == (N - 15) * model.n_iter_
    assert set(np.round(np.array(model.validation_scores_) * 15, 9) % 1) == {0.0}
    assert len(model.validation_scores_) == model.n_iter_


def test_validation_rows_replace_those_held_back():
    given = {"X_val": X[30:], "y_val": Y[30:]}
    asked = network(**STOPPED, early_stopping=True).fit(X[:30], Y[:30], **given)
    assert_same_model(asked, network(**STOPPED).fit(X[:30], Y[:30], **given))


def test_scores_of_an_earlier_fit_are_gone():
    model = network(early_stopping=True).fit(X, Y)
    model.set_params(early_stopping=False).fit(X, Y)
    assert not hasattr(model, "validation_scores_")
    assert not hasattr(model, "best_validation_score_")


# ---- noise ---------------------------------------------------------------------------


def test_dropout_is_of_the_inputs_of_hidden_layers_and_output():
    model = network(dropout=0.4, hidden_layer_sizes=5).fit(X, Y)
    kinds = [part["kind"] for part in model.layers_]
    assert kinds == ["convolution", "dropout", "dense", "dropout", "output"]
    assert_different_model(model, network(hidden_layer_sizes=5).fit(X, Y))
    # Predictions are of the whole network, without noise.
    expected = np.maximum(model.transform(X), 0) @ model.coefs_[-1]
    expected += model.intercepts_[-1]
    found = np.log(model.predict_proba(X))
    centred = expected - expected.mean(axis=1, keepdims=True)
    assert_allclose(found - found.mean(axis=1, keepdims=True), centred, atol=1e-10)


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({}, 0.0),
        ({"batch_size": 10}, 0.25),
        ({"batch_size": N}, 0.0),
        ({"batch_size": 10, "solver": "sgd", "learning_rate_init": 1e-3}, 0.25),
        ({"solver": "lbfgs"}, 0.0),
        ({"batch_size": 10, "global_pool": True}, 0.0),
    ],
)
def test_units_are_dropped_by_default_where_steps_take_batches(settings, share):
    model = quietly(network(dropout="auto", **settings), X, Y)
    same = quietly(network(dropout=share, **settings), X, Y)
    assert_same_model(model, same)
    dropped = [part["share"] for part in model.layers_ if part["kind"] == "dropout"]
    assert dropped == [share] * (share > 0)
    assert model.to_shared().layers_ == model.layers_


def test_more_rows_than_one_batch_are_a_reason_to_drop_units():
    # batch_size="auto" takes all rows at once up to 256.
    many, labels = (np.concatenate([part] * 5)[:257] for part in (X, Y))
    many = many + np.arange(len(many))[:, None] * 1e-3  # None is like another.
    for n_rows, n_dropouts in ((256, 0), (257, 1)):
        model = network(dropout="auto").fit(many[:n_rows], labels[:n_rows])
        kinds = [part["kind"] for part in model.layers_]
        assert kinds.count("dropout") == n_dropouts


def test_the_callable_gets_pixels_as_they_are():
    seen = []

    def augment(pixels, rng):
        seen.append(pixels)
        assert isinstance(rng, np.random.Generator)
        return pixels + rng.normal(size=pixels.shape)

    grey = X.astype(np.uint8)
    model = network(augment=augment, batch_size=N, max_iter=2).fit(grey, Y)
    assert_array_equal(
        np.sort(np.concatenate(seen[: len(seen) // 2]), axis=0),
        (np.sort(grey.reshape(N, 8, 8, 1), axis=0)),
    )
    assert seen[0].dtype == np.uint8
    n_calls = len(seen)
    assert_array_equal(model.predict_proba(grey), model.predict_proba(grey))
    assert len(seen) == n_calls


def test_the_callable_changes_what_is_learned():
    settings = {"shuffle": False, "max_iter": 4, "batch_size": 10}
    same = network(**settings, augment=lambda pixels, rng: pixels.copy()).fit(X, Y)
    # It is seen by training alone: the scale is that of the rows.
    other = network(**settings, augment=lambda pixels, rng: pixels[:, ::-1]).fit(X, Y)
    flipped = X.reshape(N, 8, 8)[:, ::-1]
    assert_array_equal(same.offset_, other.offset_)
    assert_different_model(same, other)
    assert other.loss_ > 0
    long = settings | {"max_iter": 30}
    turned = network(**long, augment=lambda pixels, rng: pixels[:, ::-1]).fit(X, Y)
    assert turned.score(flipped, Y) > turned.score(X, Y)


@pytest.mark.parametrize("shift", [1, 2])
@pytest.mark.parametrize("shape", [(4, 5, 2), (1, 6, 1)])
def test_a_shift_moves_each_image_by_up_to_so_many_pixels(shape, shift):
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(200, *shape))
    margin = np.arange(7.0, 7.0 + shape[2])
    moved = as_augment({"shift": shift}, margin)(pixels, rng)
    down = 0 if shape[0] == 1 else shift
    wide = [(down, down), (shift, shift)]
    seen = set()
    for before, after in zip(pixels, moved, strict=True):
        padded = np.full((shape[0] + 2 * down, shape[1] + 2 * shift, shape[2]), margin)
        padded[down : down + shape[0], shift : shift + shape[1]] = before
        places = [
            (i, j)
            for i in range(wide[0][0] + wide[0][1] + 1)
            for j in range(wide[1][0] + wide[1][1] + 1)
            if np.array_equal(padded[i : i + shape[0], j : j + shape[1]], after)
        ]
        seen |= set(places[:1])
    assert len(seen) == (2 * down + 1) * (2 * shift + 1)


@pytest.mark.parametrize(
    ("flip", "axes"), [("horizontal", (1,)), ("vertical", (0,)), ("both", (0, 1))]
)
def test_a_flip_mirrors_half_of_the_images(flip, axes):
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(400, 3, 4, 2))
    before = pixels.copy()
    turned = as_augment({"flip": flip}, np.zeros(2))(pixels, rng)
    assert_array_equal(pixels, before)
    n_mirrored = dict.fromkeys(axes, 0)
    for one, other in zip(pixels, turned, strict=True):
        which = [
            chosen
            for chosen in [(), (0,), (1,), (0, 1)]
            if np.array_equal(np.flip(one, chosen), other)
        ]
        assert len(which) == 1
        for axis in which[0]:
            n_mirrored[axis] += 1  # A KeyError for an axis that was not asked for.
    assert all(150 < n < 250 for n in n_mirrored.values())
