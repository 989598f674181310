"""SharedConvClassifier: its objective, its ties, and what its layers compute."""

import math
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from sktie import SharedConvClassifier
from sktie._parallel import Workers
from sktie.neural_network._conv_rows import Rows
from sktie.nn import Trained

INF = np.inf
N = 11
SHAPE = (5, 6, 2)
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(0.5, 2.0, size=(N, *SHAPE))
THREE = np.arange(N) % 3
TWO = np.arange(N) % 2
WEIGHT = RNG.uniform(0.3, 3.0, size=N)
ACTIVATIONS = {
    "relu": lambda raw: np.maximum(raw, 0),
    "tanh": np.tanh,
    "logistic": expit,
    "identity": lambda raw: raw,
}


def network(filters=(2, 3), **settings):
    """A small smooth network."""
    chosen = {"activation": "tanh", "alpha": 0.3, "random_state": 0, "n_jobs": 1}
    return SharedConvClassifier(filters, **(chosen | settings))


def quietly(model, *args, **kwargs):
    """Fit, whether or not it converges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*args, **kwargs)


def parameters(model):
    return [*model.coefs_, *model.intercepts_]


# ---- what the docstring says, one loop for each word ---------------------------------


def naive_layer(part, maps, kernels, bias, fill):
    """Return the outputs of a convolution of maps (n, height, width, channels)."""
    local = kernels.ndim == 6
    sizes, n_filters = kernels.shape[-4:-2], kernels.shape[-1]
    before, shape, pools = [], [], []
    for n_in, size in zip(maps.shape[1:3], sizes, strict=True):
        flat = maps.shape[1] == 1 and not before
        stride = 1 if flat else part["stride"]
        if part["padding"] == "same":
            n_out = math.ceil(n_in / stride)
            before.append(max((n_out - 1) * stride + size - n_in, 0) // 2)
        else:
            n_out = (n_in - size) // stride + 1
            before.append(0)
        pools.append(min(1 if flat else part["pool_size"], n_out))
        shape.append(n_out // pools[-1] * pools[-1])
    n, height, width, channels = maps.shape
    margin = 10 * part["stride"] + 20
    padded = np.empty((n, height + 2 * margin, width + 2 * margin, channels))
    padded[...] = fill
    padded[:, margin : margin + height, margin : margin + width] = maps
    out = np.empty((n, *shape, n_filters))
    for i in range(shape[0]):
        for j in range(shape[1]):
            top = margin - before[0] + i * (1 if height == 1 else part["stride"])
            left = margin - before[1] + j * part["stride"]
            seen = padded[:, top : top + sizes[0], left : left + sizes[1]]
            kernel = kernels[i, j] if local else kernels
            own = bias[i, j] if bias.ndim == 3 else bias
            out[:, i, j] = np.einsum("nabc,abcf->nf", seen, kernel) + own
    out = ACTIVATIONS[part["activation"]](out)
    places = out.reshape(
        n, shape[0] // pools[0], pools[0], shape[1] // pools[1], pools[1], n_filters
    )
    return places.max(axis=(2, 4)), shape[0] * shape[1]


def naive_maps(model, X):
    """Return the outputs of all layers, and the locations of the convolutions."""
    pixels = np.asarray(X, np.float64).reshape(len(X), *model.image_shape_)
    maps = (pixels - model.offset_) / model.scale_
    fill = (model.margin_ - model.offset_) / model.scale_
    outputs, locations, k = [maps], [], 0
    for part in model.layers_:
        if part["kind"] == "convolution":
            maps, many = naive_layer(
                part, maps, model.coefs_[k], model.intercepts_[k], fill
            )
            locations.append(many)
            fill, k = 0.0, k + 1
        elif part["kind"] == "global_pool":
            how = np.max if model.global_pool == "max" else np.mean
            maps = how(maps, axis=(1, 2))
        elif part["kind"] in ("dense", "output"):
            maps = maps.reshape(len(X), -1) @ model.coefs_[k] + model.intercepts_[k]
            maps = ACTIVATIONS[part.get("activation", "identity")](maps)
            k += 1
        outputs.append(maps)
    return outputs, locations


def naive_objective(model, X, y, weight=None, pair=None, strengths=()):
    """Return the objective, from the attributes of a model and the docstring."""
    weight = np.ones(len(X)) if weight is None else weight
    outputs, locations = naive_maps(model, X)
    raw, index = outputs[-1], np.searchsorted(model.classes_, y)
    if raw.shape[1] == 1:
        losses = -log_expit((2 * index - 1) * raw[:, 0])
    else:
        losses = -log_softmax(raw, axis=1)[np.arange(len(y)), index]
    penalty = 0.0
    for k, (W, b) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        many, of_bias = 1, 1
        if k < len(locations):
            many = 1 if W.ndim == 6 else locations[k]
            of_bias = 1 if b.ndim == 3 else locations[k]
            if W.ndim == 6:
                tie = model.layers_[k]["tie"]
                penalty += tie * np.sum((W - W.mean(axis=(0, 1))) ** 2)
        penalty += model.alpha * many * np.sum(W**2)
        if k < len(strengths) and 0 < strengths[k] < INF:
            far = many * np.sum((W - pair.coefs_[k]) ** 2)
            far += of_bias * np.sum((b - pair.intercepts_[k]) ** 2)
            penalty += strengths[k] * far
    return (weight @ losses + penalty / 2) / weight.sum()


def objective(model, X, y, weight):
    """Return the objective that `fit` hands to an optimiser."""
    quietly(model.set_params(max_iter=1), X, y, weight)
    pixels, y_index = X.reshape(len(X), -1), np.searchsorted(model.classes_, y)
    rows = Rows(pixels, np.arange(len(X)), weight, y_index)
    return model._problem(rows, np.random.RandomState(0), Workers())


def at(model, problem, theta):
    """Return the model with the parameters at theta."""
    model._store(problem, Trained(theta, [np.nan], True))
    return model


def assert_gradient(problem, theta, step=1e-6):
    """Five-point differences along random directions are those of the gradient."""
    gradient = problem(theta, None)[1]
    for move in np.random.default_rng(2).normal(size=(4, len(theta))):
        ahead = [
            problem(theta + k * step * move, None)[0] * factor
            for k, factor in ((-2, 1), (-1, -8), (1, 8), (2, -1))
        ]
        assert_allclose(gradient @ move, sum(ahead) / (12 * step), rtol=1e-6, atol=1e-8)


NETWORKS = {
    "shared": {},
    "local": {"tie": 0.0},
    "soft": {"tie": 2.5},
    "soft, then shared": {"tie": (0.7, INF)},
    "shared, then local": {"tie": (INF, 0)},
    "local, shared bias": {"tie": 0.0, "bias": "shared"},
    "soft, shared bias": {"tie": 2.5, "bias": ("shared", "location")},
    "shared, bias by location": {"bias": "location"},
    "strides": {"stride": (2, 1), "kernel_size": (3, 2), "pool_size": 1},
    "strides, local": {"stride": 2, "pool_size": 1, "tie": (0.0, 1.0)},
    "valid": {"padding": "valid", "pool_size": 1, "kernel_size": (3, 2)},
    "valid, then same": {"padding": ("valid", "same"), "kernel_size": 2, "tie": 1.0},
    "even kernels": {"kernel_size": (2, 4), "pool_size": 1},
    "pools that leave a rest": {"filters": (2,), "pool_size": 4, "tie": 1.5},
    "pools larger than the maps": {"pool_size": (2, 9)},
    "mean of the maps": {"global_pool": True, "pool_size": 1},
    "maximum of the maps": {"global_pool": "max", "pool_size": 1},
    "hidden layers": {"hidden_layer_sizes": (4, 3), "filters": 2},
    "activations": {"activation": ("logistic", "identity")},
    "relu": {"activation": "relu", "hidden_layer_sizes": 3},
    "no convolution": {"filters": (), "hidden_layer_sizes": 3},
    "no decay": {"alpha": 0.0, "tie": 1.0},
    "signals": {"image_shape": (30, 2), "stride": 2, "tie": (1.0, INF)},
}


@pytest.mark.parametrize("y", [TWO, THREE], ids=["binary", "multinomial"])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_objective_is_the_formula_and_its_gradient_exact(name, y):
    settings = NETWORKS[name]
    X = IMAGES.reshape(N, -1) if "image_shape" in settings else IMAGES
    model = network(**settings)
    problem = objective(model, X, y, WEIGHT)
    size = sum(math.prod(array.shape) for array in problem.arrays)
    theta = np.random.default_rng(1).normal(0, 0.4, size)
    value, _ = problem(theta, None)
    expected = naive_objective(at(model, problem, theta), X, y, WEIGHT)
    assert_allclose(value, expected, rtol=1e-12)
    assert_gradient(problem, theta)


PAIRS = {
    "free": (0.0, {}),
    "one strength": (0.8, {}),
    "one for each layer": ((0.5, 0.0, INF), {}),
    "frozen": (INF, {}),
    "frozen features": ((INF, INF, 0.3), {"tie": (2.0, 0.0)}),
    "both ties": ((0.6, 1.7, 0.0), {"tie": (2.0, INF)}),
    "by location, shared bias": (0.6, {"tie": 0.0, "bias": ("shared", "location")}),
}


@pytest.mark.parametrize("same", [True, False], ids=["same classes", "new head"])
@pytest.mark.parametrize("name", list(PAIRS))
def test_the_objective_with_a_pair_is_the_formula(name, same):
    tie_pair, settings = PAIRS[name]
    settings = settings | {"pool_size": (2, 1)}
    pair = quietly(network(**settings, max_iter=4, random_state=3), IMAGES + 1, THREE)
    y = THREE if same else TWO
    model = network(**settings, pair=pair, tie_pair=tie_pair)
    problem = objective(model, IMAGES, y, WEIGHT)
    strengths = [tie_pair] * 3 if np.isscalar(tie_pair) else list(tie_pair)
    strengths = strengths[: 3 if same else 2]
    size = sum(math.prod(array.shape) for array in problem.arrays)
    theta = np.random.default_rng(1).normal(0, 0.4, size)
    # Where the pair holds the parameters, theta has but one place to be.
    free = [np.full(array.shape, array.tie_pair < INF) for array in problem.arrays]
    theta *= problem.join(free)
    value, _ = problem(theta, None)
    at(model, problem, theta)
    expected = naive_objective(model, IMAGES, y, WEIGHT, pair, strengths)
    assert_allclose(value, expected, rtol=1e-12)
    for k, strength in enumerate(strengths):
        if strength == INF:
            assert_allclose(model.coefs_[k], pair.coefs_[k], atol=1e-12)
            assert_allclose(model.intercepts_[k], pair.intercepts_[k], atol=1e-12)
    assert_gradient(problem, theta)


@pytest.mark.parametrize("tie", [0.0, 3.0, INF])
def test_lbfgs_ends_where_the_formula_is_flat(tie):
    # Without the corners of pooling.
    settings = {"pool_size": 1, "stride": 2, "solver": "lbfgs", "max_iter": 2000}
    model = network(2, tie=tie, tol=1e-7, **settings)
    model.fit(IMAGES, THREE, WEIGHT)
    best = naive_objective(model, IMAGES, THREE, WEIGHT)
    assert_allclose(model.loss_, best, rtol=1e-12)
    rng = np.random.default_rng(2)
    start = [part.copy() for part in parameters(model)]
    for _ in range(6):
        values = []
        moves = [rng.normal(size=part.shape) for part in start]
        for step in (1e-4, -1e-4):
            for part, own, move in zip(parameters(model), start, moves, strict=True):
                part[...] = own + step * move
            values.append(naive_objective(model, IMAGES, THREE, WEIGHT))
        assert abs(values[0] - values[1]) / 2e-4 < 1e-5


# ---- the dial ------------------------------------------------------------------------


def test_the_dial_does_not_change_the_loss_of_equal_kernels():
    # Every location starts from the same kernels; the first entry is the loss there.
    first = [
        quietly(network(tie=tie, bias="shared", max_iter=1), IMAGES, THREE).loss_curve_
        for tie in (0.0, 1e-3, 4.0, 1e9, INF, (0.0, INF))
    ]
    assert_allclose(np.ravel(first), first[-2][0], rtol=1e-10)


@pytest.fixture(scope="module")
def dial():
    """Models along the dial, fitted to the end, by tie."""
    settings = {"pool_size": 1, "stride": 2, "solver": "lbfgs", "max_iter": 5000}
    settings |= {"tol": 1e-7, "bias": "shared", "random_state": 1}
    return {  # One kernel, as two could change places.
        tie: network(1, tie=tie, **settings).fit(IMAGES, THREE)
        for tie in (0.0, 1e-7, 0.01, 0.1, 1.0, 10.0, 100.0, 1e6, INF)
    }


def test_a_large_tie_approaches_the_convolution(dial):
    shared = dial[INF]
    gaps = []
    for tie in (10.0, 100.0, 1e6):
        mean = dial[tie].coefs_[0].mean(axis=(0, 1))
        gaps.append(np.abs(mean - shared.coefs_[0]).max())
    assert gaps[1] < 0.3 * gaps[0]
    assert gaps[2] < 1e-4
    assert_allclose(dial[1e6].loss_, shared.loss_, rtol=1e-5)


def test_a_tiny_tie_approaches_separate_kernels(dial):
    assert_allclose(dial[1e-7].loss_, dial[0.0].loss_, rtol=1e-6)
    assert_allclose(dial[1e-7].coefs_[0], dial[0.0].coefs_[0], atol=1e-3)
    assert np.ptp(dial[0.0].coefs_[0], axis=(0, 1)).max() > 0.1


def test_the_more_kernels_are_tied_the_less_they_differ(dial):
    spread = [
        np.abs(model.coefs_[0] - model.coefs_[0].mean(axis=(0, 1))).max()
        for tie, model in dial.items()
        if 0 < tie < INF
    ]
    assert (np.diff(spread) < 0).all()
    assert spread[-1] < 1e-5
    losses = [model.loss_ for model in dial.values()]
    assert (np.diff(losses) > 0).all()


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("strength", [{"tie": 1e12}, {"tie_pair": 1e12}])
def test_no_strength_makes_a_step_too_long(solver, strength):
    pair = quietly(network(max_iter=4, tie=1e12), IMAGES + 1, THREE)
    model = network(solver=solver, max_iter=30, pair=pair, **({"tie": 1.0} | strength))
    quietly(model, IMAGES, THREE)
    assert model.loss_ <= model.loss_curve_[0] * (1 + 1e-5)


def test_auto_shares_biases_where_kernels_are_shared():
    model = quietly(network(tie=(INF, 3.0), max_iter=1), IMAGES, THREE)
    assert [part["bias"] for part in model.layers_[:2]] == ["shared", "location"]
    assert [part.shape for part in model.intercepts_] == [(2,), (2, 2, 3), (3,)]
    assert [part.shape for part in model.coefs_] == [
        (3, 3, 2, 2),
        (2, 2, 3, 3, 2, 3),
        (3, 3),
    ]
    assert model.n_stored_parameters_ == sum(part.size for part in parameters(model))


# ---- pairs ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair():
    return quietly(network(max_iter=20, random_state=7), IMAGES * 3 + 2, THREE)


def test_an_infinite_tie_is_the_pair(pair):
    model = quietly(network(pair=pair, tie_pair=INF, max_iter=5), IMAGES, THREE)
    for mine, other in zip(parameters(model), parameters(pair), strict=True):
        assert_allclose(mine, other, atol=1e-12)
    assert_allclose(model.predict_proba(IMAGES), pair.predict_proba(IMAGES), atol=1e-12)


def test_training_starts_at_the_pair_on_its_scale(pair):
    model = quietly(network(pair=pair, tie_pair=0, max_iter=1), IMAGES, THREE)
    expected = naive_objective(pair, IMAGES, THREE)
    assert_allclose(model.loss_curve_, [expected], rtol=1e-12)
    assert_array_equal(model.offset_, pair.offset_)
    assert_array_equal(model.margin_, pair.margin_)


def test_a_stronger_tie_stays_nearer_to_the_pair(pair):
    far = []
    for tie_pair in (0.01, 1.0, 100.0):
        model = network(pair=pair, tie_pair=tie_pair, solver="lbfgs", max_iter=200)
        quietly(model, IMAGES, THREE)
        far.append(np.abs(model.coefs_[0] - pair.coefs_[0]).max())
    assert far[0] > 2 * far[1] > 20 * far[2] > 0


def test_a_pair_with_other_classes_has_a_new_head(pair):
    y = np.where(TWO == 1, "b", "a")
    model = quietly(network(pair=pair, tie_pair=INF, max_iter=3), IMAGES, y)
    assert_allclose(model.transform(IMAGES), pair.transform(IMAGES), atol=1e-12)
    assert model.coefs_[-1].shape == (3, 1)
    assert_array_equal(model.classes_, ["a", "b"])


def test_a_frozen_pair_survives_cloning_and_a_bare_one_works_in_fit(pair):
    before = [part.copy() for part in parameters(pair)]
    bare = quietly(network(pair=pair, max_iter=3), IMAGES, THREE)
    frozen = clone(network(pair=FrozenEstimator(pair), max_iter=3))
    quietly(frozen, IMAGES, THREE)
    assert_array_equal(bare.coefs_[0], frozen.coefs_[0])
    for mine, other in zip(before, parameters(pair), strict=True):
        assert_array_equal(mine, other)


# ---- without convolutions: scikit-learn's models -------------------------------------


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    chosen = y < 4
    return X[chosen][:80], y[chosen][:80]


@pytest.mark.parametrize(("n_classes", "alpha"), [(2, 0.5), (4, 0.5), (4, 20.0)])
def test_without_convolutions_it_is_logistic_regression(digits, n_classes, alpha):
    X, y = digits[0], digits[1] % n_classes
    weight = np.random.default_rng(0).uniform(0.3, 3.0, len(X))
    model = network((), solver="lbfgs", alpha=alpha, tol=1e-8, max_iter=5000)
    model.fit(X, y, weight)
    Z = (X - model.offset_) / model.scale_
    linear = LogisticRegression(C=1 / alpha, tol=1e-10, max_iter=10_000)
    linear.fit(Z, y, weight)
    assert_allclose(model.predict_proba(X), linear.predict_proba(Z), atol=1e-6)
    assert_allclose(model.coefs_[0].T, linear.coef_, atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_without_convolutions_mlp_classifier_ends_at_the_same_minimum(
    digits, n_classes
):
    X, y = digits[0], digits[1] % n_classes
    settings = {"alpha": 2.0, "activation": "tanh", "solver": "lbfgs", "max_iter": 3000}
    model = network((), hidden_layer_sizes=(5, 3), tol=1e-7, **settings).fit(X, y)
    Z = (X - model.offset_) / model.scale_
    mlp = MLPClassifier((5, 3), tol=1e-7, warm_start=True, random_state=0, **settings)
    quietly(mlp.set_params(max_iter=1), Z, y)
    mlp.coefs_ = [part.copy() for part in model.coefs_]
    mlp.intercepts_ = [part.copy() for part in model.intercepts_]
    quietly(mlp.set_params(max_iter=50), Z, y)
    assert_allclose(mlp.loss_, model.loss_, rtol=1e-9)
    assert_allclose(mlp.predict_proba(Z), model.predict_proba(X), atol=1e-5)


# ---- what comes out ------------------------------------------------------------------


@pytest.mark.parametrize("name", list(NETWORKS))
def test_outputs_are_those_of_the_loops(name):
    settings = NETWORKS[name]
    X = IMAGES.reshape(N, -1) if "image_shape" in settings else IMAGES
    model = quietly(network(**settings, max_iter=3), X, THREE)
    outputs, locations = naive_maps(model, X)
    kinds = [part["kind"] for part in model.layers_]
    for k in range(len(locations)):
        maps = model.feature_maps(X, k)
        assert_allclose(maps, outputs[k + 1], atol=1e-12)
        assert_array_equal(model.feature_maps(X, k - len(locations)), maps)
    features = outputs[kinds.index("output")].reshape(N, -1)
    assert_allclose(model.transform(X), features, atol=1e-12)
    expected = softmax(outputs[-1], axis=1)
    assert_allclose(model.predict_proba(X), expected, atol=1e-12)
    assert_allclose(model.predict_log_proba(X), np.log(expected), atol=1e-12)
    assert_array_equal(model.predict(X), expected.argmax(axis=1))


def test_rectified_maps_are_never_negative():
    model = quietly(network(activation="relu", max_iter=2), IMAGES, TWO)
    for layer, shape in enumerate([(N, 2, 3, 2), (N, 1, 1, 3)]):
        maps = model.feature_maps(IMAGES, layer)
        assert maps.shape == shape
        assert maps.min() == 0 < maps.max()


def test_hidden_layers_have_the_activation_of_the_last_convolution():
    settings = {"activation": ("relu", "logistic"), "hidden_layer_sizes": 3}
    model = quietly(network(**settings, max_iter=2), IMAGES, TWO)
    features = model.transform(IMAGES)
    assert features.shape == (N, 3)
    assert 0 < features.min() < features.max() < 1


def moved_object(margin):
    """Return an object with a margin of a pixel, and moved by one into it."""
    image = np.full((1, *SHAPE), margin)
    image[0, 1:3, 1:4] = RNG.normal(size=(2, 3, 2))
    return image, np.roll(image, 1, 2), np.roll(image, 1, 1)


def test_shared_kernels_move_with_the_image():
    model = quietly(network(2, pool_size=1, max_iter=5), IMAGES, THREE)
    image, right, down = moved_object(model.margin_)
    maps = model.feature_maps(image)
    for moved, axis in ((right, 2), (down, 1)):
        expected = np.roll(maps, 1, axis)
        assert_allclose(model.feature_maps(moved), expected, atol=1e-12)


@pytest.mark.parametrize("how", [True, "mean", "max"])
def test_global_pools_do_not_see_where_an_object_is(how):
    settings = {"pool_size": 1, "global_pool": how}
    model = quietly(network(2, **settings, max_iter=5), IMAGES, THREE)
    image, *moved = moved_object(model.margin_)
    expected = model.predict_proba(image)
    for other in moved:
        assert_allclose(model.predict_proba(other), expected, atol=1e-12)
    # A local bias promises nothing of the kind.
    local = network(2, **settings, bias="location", max_iter=20)
    quietly(local, IMAGES, THREE)
    change = local.predict_proba(moved[0]) - local.predict_proba(image)
    assert np.abs(change).max() > 1e-6
