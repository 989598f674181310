"""Bad input to SharedConvClassifier: errors name value, expectation and remedy."""

import pickle
import re
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from sktie import SharedConvClassifier

INF = np.inf
N = 24
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 16))
Y = np.arange(N) % 2
ONES = np.ones(N)
SETTINGS = {"max_iter": 2, "random_state": 0, "n_jobs": 1}


def network(filters=2, **settings):
    return SharedConvClassifier(filters, **(SETTINGS | settings))


PAIR = network().fit(X, Y)
FROZEN = FrozenEstimator(PAIR)


def put(array, value, place=0):
    """Return a copy with one entry replaced."""
    out = array.copy()
    out[place] = value
    return out


@dataclass(frozen=True)
class Case:
    """A fit that must fail: the arguments that differ, and words of the message."""

    id: str
    words: tuple[str, ...]
    params: dict[str, Any] = field(default_factory=dict)
    X: Any = field(default_factory=lambda: X)
    y: Any = field(default_factory=lambda: Y)
    fit: dict[str, Any] = field(default_factory=dict)


def parameter(name, value, *words):
    """A value that no model takes; its name and the value are in the message."""
    words = (name, str(value) if isinstance(value, str) else repr(value), *words)
    return Case(f"{name}={value!r}", words, {name: value})


def per_layer(name, value, expected):
    """A bad value of all layers, or of one of them."""
    remedy = "a tuple with one for each"
    return [
        Case(
            f"{name}={given!r}",
            (f"{name}={given!r}", expected, remedy),
            {name: given, "filters": (2, 2)},
        )
        for given in (value, (getattr(network(), name), value))
    ]


COUNT = "a whole number of at least 1"
STRENGTH = "a strength from 0 to inf"
SIZES = "whole numbers of at least 1"
SHAPES = ("(height, width)", "(length, channels)")
CASES = [
    # --- X
    Case("X has NaN", ("NaN",), X=put(X, np.nan, (0, 0))),
    Case("X has inf", ("infinity",), X=put(X, -INF, (0, 0))),
    Case("images have NaN", ("NaN",), X=put(X, np.nan, (0, 0)).reshape(N, 4, 4)),
    Case("float32 images have inf", ("infinity",), X=put(X, INF).astype("f4")),
    Case("X is 1-D", ("Expected 2D", "1D", "Reshape"), X=X[:, 0]),
    Case("X is complex", ("Complex data not supported",), X=X + 1j),
    Case("X is words", ("not compatible", "strings"), X=[["red", "sky"]] * N),
    Case("X has no rows", ("0 sample", "minimum of 1"), X=X[:0], y=Y[:0]),
    Case("X has no features", ("0 feature", "minimum of 1"), X=X[:, :0]),
    Case(
        "X has five axes",
        ("(2, 2, 2, 2)", *SHAPES, SIZES, "Leave it None"),
        X=X.reshape(N, 2, 2, 2, 2),
    ),
    # --- y
    Case("y is None", ("requires y", "None"), y=None),
    Case("y has NaN", ("NaN",), y=put(Y.astype(float), np.nan)),
    Case("y is continuous", ("continuous",), y=X[:, 0]),
    Case("y has two columns", ("1d", "(24, 2)"), y=np.column_stack([Y, Y])),
    Case("y is shorter", ("inconsistent", "24", "23"), y=Y[1:]),
    Case("y holds one class", ("one class, 7;", "two classes", "Add"), y=np.full(N, 7)),
    Case(
        "y holds one class where it weighs",
        ("one class", "sample_weight", "two classes", "Add"),
        fit={"sample_weight": (Y == 0) * 1.0},
    ),
    # --- sample_weight, class_weight
    Case(
        "a negative weight",
        ("Negative", "sample_weight"),
        fit={"sample_weight": put(ONES, -1.0)},
    ),
    Case(
        "weights all zero",
        ("weights are zero", "positive", "Leave sample_weight out"),
        fit={"sample_weight": 0 * ONES},
    ),
    Case("a weight is NaN", ("NaN",), fit={"sample_weight": put(ONES, np.nan)}),
    Case("too few weights", ("23", "24"), fit={"sample_weight": ONES[1:]}),
    Case(
        "class_weight of an unknown class",
        ("class_weight", "[5]", "[0, 1]", "keys"),
        {"class_weight": {5: 2.0}},
    ),
    parameter("class_weight", "heavy"),
    # --- the layers
    *per_layer("kernel_size", 0, COUNT),
    *per_layer("stride", -1, COUNT),
    *per_layer("pool_size", 0, COUNT),
    *per_layer("padding", "full", "'same' or 'valid'"),
    *per_layer("tie", -0.5, STRENGTH),
    *per_layer("tie", np.nan, STRENGTH),
    *per_layer("bias", "none", "'auto', 'shared' or 'location'"),
    *per_layer("activation", "softmax", "one of ('identity', 'logistic'"),
    *(
        Case(
            f"{name} of {n} layers",
            (f"{name}={value * n!r}", f"{n} values", "filters has 2", "one for each"),
            {name: value * n, "filters": (2, 2)},
        )
        for name, value in {
            "kernel_size": (3,),
            "stride": (1,),
            "pool_size": (2,),
            "padding": ("same",),
            "tie": (0.0,),
            "bias": ("auto",),
            "activation": ("relu",),
        }.items()
        for n in (1, 3)
    ),
    *(
        Case(f"{name} holds {bad!r}", (f"{name}={[bad]!r}", COUNT), {name: [bad]})
        for name in ("kernel_size", "stride", "pool_size")
        for bad in (2.0, True, "3", None)
    ),
    Case("tie holds True", ("tie=(True,)", STRENGTH), {"tie": (True,)}),
    Case("tie holds words", ("tie=('a',)", STRENGTH), {"tie": ("a",)}),
    *(
        Case(
            f"{name}={value!r}",
            (f"{name}={value!r}", SIZES, f"{name}=()"),
            {name: value},
        )
        for name in ("filters", "hidden_layer_sizes")
        for value in (0, -3, (4, 0), (2.5,), (True,), ("4",))
    ),
    parameter("filters", "many"),
    parameter("hidden_layer_sizes", None),
    parameter("kernel_size", 2.5),
    parameter("tie", "strong"),
    parameter("padding", 1),
    parameter("global_pool", "median", "'max'", "'mean'"),
    Case(
        "a kernel larger than the image",
        ("Convolution 0", "kernel_size=5", "'valid'", "height 4", "padding='same'"),
        {"kernel_size": 5, "padding": "valid"},
    ),
    Case(
        "a kernel wider than the image",
        ("Convolution 0", "kernel_size=3", "'valid'", "width 2", "smaller kernel"),
        {"kernel_size": 3, "padding": "valid", "image_shape": (8, 2)},
    ),
    Case(
        "a kernel longer than the signal",
        ("Convolution 0", "kernel_size=17", "'valid'", "width 16"),
        {"kernel_size": 17, "padding": "valid", "image_shape": (16,)},
    ),
    Case(
        "layers that leave no pixel",
        ("Convolution 1", "kernel_size=3", "'valid'", "height 1", "less pooling"),
        {"filters": (2, 2), "padding": "valid"},
    ),
    # --- the shape of images
    Case(
        "image_shape of other images",
        ("image_shape=(3, 5)", "15 numbers", "have 16", *SHAPES),
        {"image_shape": (3, 5)},
    ),
    Case(
        "image_shape against the axes of X",
        ("arrays of shape (4, 4)", "image_shape is (2, 8)", "Reshape X"),
        {"image_shape": (2, 8)},
        X=X.reshape(N, 4, 4),
    ),
    Case(
        "channels against the axes of X",
        ("image_shape", "(4, 4, 2)"),
        {"image_shape": (4, 4, 2)},
        X=X.reshape(N, 4, 4),
    ),
    *(
        Case(
            f"image_shape={shape!r}",
            (f"image_shape={shape!r}", *SHAPES, SIZES, "Leave it None"),
            {"image_shape": shape},
        )
        for shape in (
            (4, 2, 2, 1),
            (0, 16),
            (4.5, 4),
            (),
            ("a", "b"),
        )
    ),
    parameter("image_shape", "square", "Leave it None"),
    Case(
        "images that are signals",
        ("signals=True", "(4, 2, 2)", "(length, channels)", "signals=None"),
        {"image_shape": (4, 2, 2), "signals": True},
    ),
    parameter("signals", "yes"),
    # --- pairs
    Case(
        "a pair that is no network",
        ("LogisticRegression", "no network", "FrozenEstimator", "or None"),
        {"pair": LogisticRegression()},
    ),
    Case(
        "a pair that is not fitted",
        ("not fitted", "clone()", "FrozenEstimator"),
        {"pair": network()},
    ),
    Case(
        "a frozen pair that is not fitted",
        ("not fitted", "FrozenEstimator"),
        {"pair": FrozenEstimator(network())},
    ),
    parameter("pair", "model"),
    Case(
        "a pair of other images",
        ("(4, 4, 1)", "(2, 8, 1)", "Resize"),
        {"pair": FROZEN, "image_shape": (2, 8)},
    ),
    *(
        Case(f"a pair of other layers: {params}", words, {"pair": FROZEN} | params)
        for params, words in [
            ({"filters": (2, 2)}, ("2 layers", "this has 3", "same filters")),
            (
                {"hidden_layer_sizes": 3},
                ("2 layers", "this has 3", "hidden_layer_sizes"),
            ),
            ({"filters": 3}, ("layer 0 filters is 2, here 3", "the same")),
            ({"kernel_size": 2}, ("layer 0 kernel_size is 3, here 2", "the same")),
            ({"stride": 2}, ("layer 0 stride is 1, here 2", "the same")),
            ({"pool_size": 1}, ("layer 0 pool_size is 2, here 1", "the same")),
            ({"padding": "valid"}, ("padding is 'same', here 'valid'", "the same")),
            ({"activation": "tanh"}, ("activation is 'relu', here 'tanh'", "the same")),
            ({"bias": "location"}, ("bias is 'shared', here 'location'", "the same")),
            ({"global_pool": True}, ("2 layers", "this has 3", "the same")),
            ({"tie": 1.0, "bias": "shared"}, ("differs", "pair.to_shared()")),
        ]
    ),
    parameter("tie_pair", -1.0),
    parameter("tie_pair", np.nan),
    *(
        Case(
            f"tie_pair={value!r}",
            (f"tie_pair={value!r}", STRENGTH[2:], "2 layers", "output layer last"),
            {"pair": FROZEN, "tie_pair": value},
        )
        for value in ((1.0,), (1.0, 1.0, 1.0), (1.0, -1.0), (np.nan, 1.0), ("a", "b"))
    ),
    # --- training
    parameter("solver", "newton", "adam", "lbfgs"),
    *(parameter("alpha", value) for value in (-1.0, INF, np.nan, "auto")),
    *(parameter("batch_size", value) for value in (0, 2.5, "all")),
    parameter("learning_rate", "adaptive", "constant", "one-cycle"),
    *(parameter("learning_rate_init", each, "default suits") for each in (0, -1.0)),
    *(parameter("max_iter", value) for value in (0, 2.5, "none")),
    parameter("tol", -1e-4),
    parameter("n_iter_no_change", 0),
    parameter("early_stopping", "yes"),
    *(parameter("validation_fraction", value) for value in (0, 1, -0.5)),
    parameter("shuffle", "yes"),
    *(parameter("dropout", value) for value in (1.0, -0.1)),
    parameter("dtype", "float16", "float32", "float64"),
    parameter("n_jobs", 1.5),
    parameter("random_state", "lucky"),
    parameter("verbose", -1),
    parameter("augment", "shift", "callable"),
    *(
        Case(
            f"augment={value!r}",
            (f"augment={value!r}", "'shift'", "'flip'", "pass a callable"),
            {"augment": value},
        )
        for value in (
            {"shift": -1},
            {"shift": 1.5},
            {"shift": True},
            {"flip": "sideways"},
            {"turn": 3},
        )
    ),
    Case(
        "augment returns other shapes",
        ("augment returned", "(24, 4, 3, 1)", "(24, 4, 4, 1)", "same"),
        {"augment": lambda pixels, rng: pixels[:, :, 1:]},
    ),
    Case(
        "augment drops images",
        ("augment returned", "(23, 4, 4, 1)", "(24, 4, 4, 1)", "as many"),
        {"augment": lambda pixels, rng: pixels[1:]},
    ),
    Case(
        "a class with one row in early stopping",
        ("early_stopping=True", "smallest has 1", "early_stopping=False"),
        {"early_stopping": True},
        y=put(0 * Y, 1),
    ),
    Case("X_val alone", ("X_val and y_val", "Pass both"), fit={"X_val": X}),
    Case("y_val alone", ("X_val and y_val", "Pass both"), fit={"y_val": Y}),
    Case(
        "y_val has an unknown class",
        ("y_val", "[5]", "[0, 1]", "Drop these rows"),
        fit={"X_val": X, "y_val": put(Y, 5)},
    ),
    Case("X_val is narrower", ("9 features",), fit={"X_val": X[:, :9], "y_val": Y}),
    Case("X_val has NaN", ("NaN",), fit={"X_val": put(X, np.nan), "y_val": Y}),
    Case("y_val is shorter", ("24", "23"), fit={"X_val": X, "y_val": Y[1:]}),
]


def check_message(error, words):
    message = str(error.value)
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_message_names_value_expectation_and_remedy(case):
    params = dict(case.params)
    model = network(params.pop("filters", 2), **params)
    with pytest.raises(ValueError, match=re.escape(case.words[0])) as error:
        model.fit(case.X, case.y, **case.fit)
    check_message(error, case.words)
    assert not hasattr(model, "classes_")
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_failed_fit_leaves_a_fitted_model_as_it_was(case):
    model = network(early_stopping=True).fit(X, Y)
    before, expected = pickle.dumps(vars(model)), model.predict_proba(X)
    parameters = model.get_params()
    with pytest.raises(ValueError, match=r"."):
        model.set_params(**case.params).fit(case.X, case.y, **case.fit)
    model.set_params(**parameters)
    assert pickle.dumps(vars(model)) == before
    np.testing.assert_array_equal(model.predict_proba(X), expected)


def test_sparse_images_are_refused():
    with pytest.raises(TypeError, match=r"dense data is required.*toarray"):
        network().fit(sp.csr_array(X), Y)


def test_a_bare_pair_is_lost_by_cloning_and_the_message_says_so():
    model = clone(network(pair=PAIR))
    with pytest.raises(ValueError, match=r"not fitted; clone\(\) drops.*Frozen"):
        model.fit(X, Y)


# ---- predict and its like ------------------------------------------------------------

METHODS = ["predict", "predict_proba", "predict_log_proba", "transform", "feature_maps"]


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_is_not_fitted_says_so(method):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(network(), method)(X)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("X_new", "words"),
    [
        (X[:, :9], ("9 features", "16 features")),
        (X.reshape(N, 2, 8), ("(2, 8)", "(4, 4, 1)", "Reshape X")),
        (X.reshape(N, 2, 4, 2), ("(2, 4, 2)", "(4, 4, 1)", "Reshape X")),
        (put(X, np.nan), ("NaN",)),
        (X[:0], ("0 sample",)),
        (X[0], ("Expected 2D", "Reshape")),
    ],
    ids=["fewer", "other axes", "channels", "NaN", "no rows", "one row"],
)
def test_other_images_than_in_fit_are_refused(method, X_new, words):
    with pytest.raises(ValueError, match=re.escape(words[0])) as error:
        getattr(PAIR, method)(X_new)
    check_message(error, words)


@pytest.mark.parametrize("layer", [1, -2, 5, 0.5, True, "0", None, [0], np.array([0])])
def test_feature_maps_names_the_layers_that_there_are(layer):
    with pytest.raises(ValueError, match=r"convolutions .* 0 to 0\. Use one") as error:
        PAIR.feature_maps(X, layer)
    check_message(error, (f"layer={layer!r}",))


@pytest.mark.parametrize("layer", [0, -1, np.int8(0), np.array(0)])
def test_the_number_of_a_layer_is_any_whole_number(layer):
    assert_array_equal(PAIR.feature_maps(X, layer), PAIR.feature_maps(X))


def test_feature_maps_of_a_model_without_convolutions_says_so():
    with pytest.raises(ValueError, match=r"no convolution.*filters.*transform"):
        network(()).fit(X, Y).feature_maps(X)


# ---- partial_fit ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"early_stopping": True}, ("early_stopping=True", "early_stopping=False")),
        ({"class_weight": "balanced"}, ("'balanced'", "sample_weight", "dict")),
    ],
    ids=["early stopping", "balanced"],
)
def test_partial_fit_refuses_what_needs_all_rows(params, words):
    with pytest.raises(ValueError, match="partial_fit") as error:
        network(**params).partial_fit(X, Y, classes=[0, 1])
    check_message(error, words)


def test_lbfgs_has_no_partial_fit():
    assert not hasattr(network(solver="lbfgs"), "partial_fit")
    assert hasattr(network(solver="sgd"), "partial_fit")


def test_partial_fit_keeps_its_layers():
    model = network((2,)).partial_fit(X, Y, classes=[0, 1])
    before = dict(vars(model))
    with pytest.raises(ValueError, match="layers differ"):
        model.set_params(filters=(3,)).partial_fit(X, Y)
    assert {**before, "filters": (3,)} == dict(vars(model))


@pytest.mark.parametrize("noise", [{"dropout": 0.2}, {"augment": {"shift": 1}}])
def test_lbfgs_refuses_a_loss_that_changes_at_random(noise):
    with pytest.raises(ValueError, match=r"solver=.lbfgs.*adam"):
        network(solver="lbfgs", **noise).fit(X, Y)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((X, Y), ("first call", "classes", "np.unique")),
        ((X, put(Y, 5), [0, 1]), ("[5]", "[0, 1]", "name all classes")),
        ((X, 0 * Y, [0]), ("one class", "two classes")),
        ((put(X, np.nan), Y, [0, 1]), ("NaN",)),
        ((X, Y, [0, 1], 0 * ONES), ("weights are zero", "positive")),
        ((X, Y, [0, 1], ONES[1:]), ("23", "24")),
    ],
    ids=["no classes", "unknown", "one class", "NaN", "no weight", "few weights"],
)
def test_a_first_partial_fit_that_fails_leaves_nothing(args, words):
    model = network()
    before = dict(vars(model))
    with pytest.raises(ValueError, match=re.escape(words[0])) as error:
        model.partial_fit(*args)
    check_message(error, words)
    assert vars(model) == before


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((X, put(Y, 5)), ("y holds", "[5]", "[0, 1]", "Drop these rows")),
        ((X, Y, [0, 1, 2]), ("[0, 1, 2]", "[0, 1]", "Leave `classes` out")),
        ((X[:, :9], Y), ("9 features", "16 features")),
        ((X.reshape(N, 2, 8), Y), ("(2, 8)", "(4, 4, 1)")),
        ((put(X, np.nan), Y), ("NaN",)),
    ],
    ids=["unknown class", "other classes", "fewer", "other axes", "NaN"],
)
def test_a_later_partial_fit_that_fails_leaves_the_model(args, words):
    model = network().partial_fit(X, Y, classes=[0, 1])
    before = pickle.dumps(vars(model))
    with pytest.raises(ValueError, match=re.escape(words[0])) as error:
        model.partial_fit(*args)
    check_message(error, words)
    assert pickle.dumps(vars(model)) == before


# ---- warnings ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{"solver": "lbfgs"}, {"learning_rate": "constant"}]
)
def test_training_that_has_not_converged_says_what_to_change(settings):
    with pytest.warns(ConvergenceWarning, match="stopped after 2 iter") as record:
        network(**settings).fit(X, Y)
    assert "max_iter (now 2)" in str(record[0].message)
    assert "tol (now 0.0001)" in str(record[0].message)
    assert record[0].filename == __file__


def test_a_one_cycle_training_ends_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network().fit(X, Y)


# ---- numbers that are not finite -----------------------------------------------------


@pytest.mark.filterwarnings("ignore:(overflow|invalid):RuntimeWarning")
@pytest.mark.parametrize("how", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"learning_rate_init": 1e200, "solver": "sgd"}, ("(now 1e+200)",)),
        ({"alpha": 1e200, "solver": "sgd"}, ("alpha (now 1e+200)",)),
        ({"augment": lambda pixels, _: pixels * np.nan}, ("what augment returns",)),
    ],
)
def test_training_that_diverges_is_an_error(settings, words, how):
    model = network(max_iter=5, batch_size=8).fit(X, Y)
    before = model.coefs_[0].copy()
    model.set_params(**settings)

    def train():
        for _ in range(5 if how == "partial_fit" else 1):
            getattr(model, how)(X, Y)

    with pytest.raises(ValueError, match="SharedConvClassifier diverged") as error:
        train()
    check_message(error, ("epochs the loss is", "Lower", *words))
    if how == "fit":
        assert_array_equal(model.coefs_[0], before)


@pytest.mark.parametrize("factor", [1e-42, 1e150])
def test_pixels_beyond_single_precision_are_refused_and_double_takes_them(factor):
    with pytest.raises(ValueError, match="standard deviation") as error:
        network(dtype="float32").fit(X * factor, Y)
    check_message(error, ("float32", "Multiply X", "dtype='float64'"))
    found = network().fit(X * factor, Y).predict_proba(X * factor)
    assert_allclose(found, network().fit(X, Y).predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize("factor", [1e-300, 1e200, 1e300])
def test_the_scale_of_extreme_pixels_is_exact(factor):
    small = network().fit(X * factor, Y)
    assert_allclose(small.scale_ / factor, network().fit(X, Y).scale_, rtol=1e-9)
