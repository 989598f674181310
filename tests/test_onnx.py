"""Tests of models converted to ONNX, against our own predictions, under onnxruntime.

They run where the extra ``onnx`` is installed; .ci/run has a stage that installs it.
"""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import sktie.onnx
from sktie import (
    AutoencoderPrior,
    KMeansPrior,
    SharedConvClassifier,
    TiedLogisticRegression,
    TiedMLPClassifier,
    TiedPair,
    TiedPoissonRegressor,
    TiedRidge,
)
from tests.pages import code_blocks
from tests.saved import COUNTS, SCORE, SMALL, THREE, UNFITTED, WORDS, N, X, Y, fitted

skl2onnx = pytest.importorskip("skl2onnx")
runtime = pytest.importorskip("onnxruntime")
sktie.onnx.register()
types = skl2onnx.common.data_types

#: The bound of the project, on probabilities.
CLOSE = 1e-5
FEATURES = X[:, :-1]
# What skl2onnx and onnx say of themselves.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Served:
    """A model under onnxruntime."""

    def __init__(self, model, initial_types, **options):
        if hasattr(model, "classes_") and "options" not in options:
            options["options"] = {"zipmap": False}
        onx = skl2onnx.to_onnx(model, initial_types=initial_types, **options)
        self.session = runtime.InferenceSession(
            onx.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        self.inputs = [one.name for one in self.session.get_inputs()]
        self.outputs = [one.name for one in self.session.get_outputs()]

    def __call__(self, *values):
        return self.session.run(None, dict(zip(self.inputs, values, strict=True)))


def floats(n, name="X"):
    return [(name, types.FloatTensorType([None, n]))]


def serve(model, n, **options):
    return Served(model, floats(n), **options)


def assert_serves(model, served, given, ours, **more):
    """Probabilities agree, and labels where the two highest differ by more."""
    label, chance = served(*given)
    expected = model.predict_proba(ours, **more)
    assert np.abs(chance - expected).max() < CLOSE
    top = np.sort(expected, axis=1)
    clear = top[:, -1] - top[:, -2] > 2 * CLOSE
    assert_array_equal(label[clear], model.predict(ours, **more)[clear])
    assert clear.mean() > 0.5
    assert len(np.unique(label)) > 1


def quietly(model, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*args, **kwargs)


KNOWN = [name for name in UNFITTED if name != "two-forms"]


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("name", KNOWN)
def test_every_estimator_answers_as_it_does_itself(name, double):
    model, rows, given = fitted(name)
    rows = rows.astype(np.float64 if double else np.float32)
    kind = types.DoubleTensorType if double else types.FloatTensorType
    inputs, values = [("X", kind([None, rows.shape[1]]))], [rows]
    for key, labels in given.items():
        inputs.append((key, types.StringTensorType([None, 1])))
        values.append(labels[:, np.newaxis].astype(object))
    served = Served(model, inputs)
    if hasattr(model, "classes_"):
        assert_serves(model, served, values, rows, **given)
        assert served(*values)[1].dtype == rows.dtype
        return
    (found,) = served(*values)
    assert found.dtype == rows.dtype
    method = model.transform if hasattr(model, "transform") else model.predict
    expected = method(rows, **given)
    assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


def test_a_pair_is_two_models():
    model, rows, _ = fitted("two-forms")
    with pytest.raises(NotImplementedError, match=r"model\.estimators_"):
        serve(model, 4)
    rows = rows.astype(np.float32)
    first, second = model.estimators_
    assert_serves(first, serve(first, 4), [rows], rows)
    (found,) = serve(second, 4)(rows)
    assert_allclose(found[:, 0], second.predict(rows), rtol=1e-5, atol=1e-6)
    model = TiedPair(PoissonRegressor(), LogisticRegression())
    y, domain = np.where(WORDS == "east", Y, COUNTS), WORDS == "east"
    for member in model.fit(FEATURES, y, sample_domain=domain).estimators_:
        serve(member, 4)


# --- domains ---


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_domains_in_a_column_of_integers(dtype):
    rows = np.c_[X[:, -1], np.digitize(X[:, :2], [-1, 0, 1])].astype(dtype)
    model = TiedLogisticRegression(0).fit(rows, rows[:, 1] > 1 + rows[:, 0] % 2)
    kinds = {"int64": "Int64", "int32": "Int32", "uint8": "UInt8"}
    kind = getattr(types, f"{kinds[np.dtype(dtype).name]}TensorType")
    served = Served(model, [("X", kind([None, 3]))])
    assert_serves(model, served, [rows], rows)


@pytest.mark.parametrize("place", [0, 2, -1])
def test_the_column_may_be_anywhere(place):
    rows = np.insert(FEATURES, place % 5, X[:, -1], axis=1).astype(np.float32)
    model = TiedLogisticRegression(place).fit(rows, THREE)
    assert_serves(model, serve(model, 5), [rows], rows)


@pytest.mark.parametrize("method", ["TiedRidge", "TiedPoissonRegressor", "conv"])
def test_a_domain_that_fit_did_not_see(method):
    settings = {"pair": -1}
    kinds = {"TiedRidge": TiedRidge, "TiedPoissonRegressor": TiedPoissonRegressor}
    kind, y = kinds.get(method, SharedConvClassifier), COUNTS
    if method == "conv":
        settings |= {"filters": 2, **SMALL}
        y = Y
    model = quietly(kind(**settings), X, y)
    other = X[:5].astype(np.float32)
    other[2, -1] = 7
    with pytest.raises(Exception, match="domain_not_seen_in_fit"):
        serve(model, 5)(other)
    model.set_params(handle_unknown="shared")
    served = serve(model, 5)(other)
    expected = model.predict(other)
    assert_allclose(served[0].reshape(expected.shape), expected, rtol=1e-5)


@pytest.mark.parametrize("value", [0.5, np.nan, -1, 3])
def test_what_is_no_label_is_no_domain(value):
    model = TiedLogisticRegression(-1).fit(X, Y)
    other = X[:5].astype(np.float32)
    other[0, -1] = value
    with pytest.raises(Exception, match="domain_not_seen_in_fit"):
        serve(model, 5)(other)


@pytest.mark.parametrize("estimator", ["linear", "conv"])
def test_shared_parameters_are_stored_once_and_unseen_domains_still_told(estimator):
    sizes = {}
    many = np.arange(N) % 20
    rows = np.c_[np.tile(FEATURES, 16), many].astype(np.float32)
    for tie in (1.0, np.inf):
        model = TiedLogisticRegression(-1, tie=tie)
        if estimator == "conv":
            model = SharedConvClassifier(2, pair=-1, tie_pair=tie, **SMALL)
        model = quietly(model, rows, Y)
        onx = skl2onnx.to_onnx(model, rows[:1], options={"zipmap": False})
        sizes[tie] = len(onx.SerializeToString())
        served = serve(model, 65)
        assert_serves(model, served, [rows], rows)
        other = rows[:3].copy()
        other[0, -1] = 99
        with pytest.raises(Exception, match="domain_not_seen_in_fit"):
            served(other)
    assert sizes[np.inf] < 0.6 * sizes[1.0]


def test_members_of_a_graph_without_rows():
    graph = {"north": "N", "east": "S", "south": "S", "N": "all", "S": "all"}
    model = TiedLogisticRegression(graph=graph, tie=0.5)
    model.fit(FEATURES, Y, sample_domain=WORDS)
    where = np.array(["N", "S", "all", "north"])
    rows = FEATURES[:4].astype(np.float32)
    served = Served(
        model, [*floats(4), ("sample_domain", types.StringTensorType([None, 1]))]
    )
    _, found = served(rows, where[:, np.newaxis].astype(object))
    expected = model.predict_proba(rows, sample_domain=where)
    assert_allclose(found, expected, atol=CLOSE)


# --- data frames and pipelines ---


@pytest.fixture
def frame():
    pandas = pytest.importorskip("pandas")
    found = pandas.DataFrame(
        {"age": X[:, 0] * 9 + 50, "chol": X[:, 1] * 40 + 200, "sex": WORDS}
    )
    found.loc[3, "chol"] = np.nan
    found["site"] = np.array(["Hungary", "VA", "Cleveland", "Hungary"])[
        np.arange(N) % 4
    ]
    return found


def columns_of(frame):
    return [
        (
            name,
            (types.FloatTensorType if kind == "f" else types.StringTensorType)(
                [None, 1]
            ),
        )
        for name, kind in zip(frame, [t.kind for t in frame.dtypes], strict=True)
    ]


def values_of(frame):
    return [
        frame[[name]]
        .to_numpy()
        .astype(np.float32 if name in ("age", "chol") else object)
        for name in frame
    ]


def rounded(frame):
    """Return what a runtime sees, numbers of single precision."""
    return frame.astype({"age": np.float32, "chol": np.float32})


NUMBERS = make_pipeline(SimpleImputer(), StandardScaler())


@pytest.mark.parametrize("y", [Y, THREE])
def test_a_pipeline_whose_column_of_words_is_passed_through(frame, y):
    prepare = ColumnTransformer(
        [
            ("number", NUMBERS, ["age", "chol"]),
            ("word", OneHotEncoder(sparse_output=False), ["sex"]),
        ],
        remainder="passthrough",
    )
    model = make_pipeline(prepare, TiedLogisticRegression(-1)).fit(frame, y)
    served = Served(model, columns_of(frame))
    assert served.inputs == ["age", "chol", "sex", "site"]
    # Numbers go through text there, of eight digits.
    assert_serves(model, served, values_of(frame), rounded(frame))


@pytest.mark.parametrize("handle_unknown", ["error", "shared"])
def test_a_pipeline_that_numbers_the_domains(frame, handle_unknown):
    prepare = ColumnTransformer(
        [
            ("number", NUMBERS, ["age", "chol"]),
            ("word", OneHotEncoder(sparse_output=False), ["sex"]),
            (
                "site",
                OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
                ["site"],
            ),
        ]
    )
    tied = TiedLogisticRegression(-1, handle_unknown=handle_unknown)
    model = make_pipeline(prepare, tied).fit(frame, Y)
    served = Served(model, columns_of(frame))
    assert_serves(model, served, values_of(frame), rounded(frame))
    frame.loc[0, "site"] = "elsewhere"
    if handle_unknown == "shared":
        assert_serves(model, served, values_of(frame), rounded(frame))
    else:
        with pytest.raises(Exception, match="domain_not_seen_in_fit"):
            served(*values_of(frame))


def test_a_data_frame_without_a_pipeline(frame):
    frame = frame[["age", "site"]]
    model = TiedLogisticRegression("site").fit(frame, Y)
    served = Served(model, columns_of(frame))
    seen = frame.astype({"age": np.float32})
    assert_serves(model, served, values_of(frame), seen)
    with pytest.raises(ValueError, match=r"inputs are \['site', 'age'\]"):
        Served(model, columns_of(frame)[::-1])


def test_a_search_and_a_prior_within_a_pipeline():
    rows = FEATURES.astype(np.float32)
    model = make_pipeline(
        StandardScaler(),
        KMeansPrior(6, code="soft", random_state=0),
        GridSearchCV(TiedLogisticRegression(), {"C": [1.0, 10.0]}, cv=2),
    ).fit(rows, rows[:, 0] > 0)
    assert_serves(model, serve(model, 4), [rows], rows)


TIED = TiedLogisticRegression(-1)
COMMITTEES = {
    "vote": VotingClassifier(
        [("tied", TIED), ("shared", TiedLogisticRegression(-1, tie=np.inf))],
        voting="soft",
        flatten_transform=False,
    ),
    "stack": StackingClassifier(
        [("tied", TIED), ("plain", LogisticRegression())], cv=3
    ),
    "bags": BaggingClassifier(TIED, n_estimators=3, random_state=0),
    "one by one": OneVsRestClassifier(TIED),
    # By the raw scores, which the converter is asked for.
    "calibrated": CalibratedClassifierCV(TIED, cv=3),
    "calibrated probabilities": CalibratedClassifierCV(
        TiedMLPClassifier(hidden_units=5, alpha=3.0, random_state=0), cv=3
    ),
}


@pytest.mark.parametrize("y", [Y, THREE])
@pytest.mark.parametrize("name", COMMITTEES)
def test_members_of_estimators_of_scikit_learn(name, y):
    rows = X.astype(np.float32)
    model = quietly(clone(COMMITTEES[name]), rows, y)
    assert_serves(model, serve(model, 5), [rows], rows)


def test_raw_scores():
    rows = X.astype(np.float32)
    for y in (Y, THREE):
        model = TiedLogisticRegression(-1).fit(rows, y)
        options = {"zipmap": False, "raw_scores": True}
        scores = serve(model, 5, options=options)(rows)[1]
        expected = model.decision_function(rows)
        if y is Y:
            expected = np.c_[-expected, expected]
        assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


def test_a_network_in_the_middle_of_a_pipeline_is_refused():
    net = SharedConvClassifier(2, image_shape=(2, 2), **SMALL)
    model = quietly(make_pipeline(net, LogisticRegression()), FEATURES, Y)
    with pytest.raises(Exception, match="'probabilities'"):
        serve(model, 4)


# --- outputs ---


def test_probabilities_in_dicts_and_in_columns():
    model = TiedLogisticRegression().fit(FEATURES, WORDS)
    rows = FEATURES.astype(np.float32)
    expected = model.predict_proba(rows)
    label, maps = serve(model, 4, options={})(rows)
    assert label.tolist() == model.predict(rows).tolist()
    assert maps[0].keys() == set(model.classes_)
    for k, name in enumerate(model.classes_):
        assert_allclose([one[name] for one in maps], expected[:, k], atol=CLOSE)
    served = serve(model, 4, options={"zipmap": "columns"})
    assert_allclose(np.column_stack(served(rows)[1:]), expected, atol=CLOSE)
    options = {"zipmap": False, "output_class_labels": True}
    assert serve(model, 4, options=options)(rows)[2].tolist() == list(model.classes_)
    label, _ = serve(model, 4, options={"zipmap": False, "nocl": True})(rows)
    assert_array_equal(model.classes_[label], model.predict(rows))


@pytest.mark.parametrize(
    "classes",
    [
        [False, True],
        [-1, 1],
        [0.0, 2.0],
        ["no", "yes"],
        np.array(["no", "yes"], dtype=object),
        [3, 7],
        [0, 1, 5],
    ],
)
def test_labels_are_those_of_the_model(classes):
    y = np.array(classes)[THREE % len(classes)]
    model = TiedLogisticRegression().fit(FEATURES, y)
    rows = FEATURES.astype(np.float32)
    assert_serves(model, serve(model, 4), [rows], rows)


def test_labels_that_onnx_lacks():
    model = TiedLogisticRegression().fit(FEATURES, np.where(Y, b"yes", b"no"))
    with pytest.raises(ValueError, match=r"b'no', b'yes'.*neither whole numbers"):
        serve(model, 4)


@pytest.mark.parametrize("opset", [13, 15, 18, 20])
@pytest.mark.parametrize("name", ["domains", "images-local", "images-domains"])
def test_older_sets_of_operators(name, opset):
    model, rows, _ = fitted(name)
    rows = rows.astype(np.float32)
    served = serve(model, rows.shape[1], target_opset={"": opset, "ai.onnx.ml": 3})
    assert_serves(model, served, [rows], rows)


def test_too_old_a_set_of_operators():
    model, *_ = fitted("plain")
    with pytest.raises(ValueError, match="target_opset=12"):
        serve(model, 5, target_opset=12)


# --- priors ---


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("code", ["one-hot", "soft", "triangle"])
def test_codes_of_clusters(code, offset):
    rows = (np.random.default_rng(0).normal(size=(300, 5)) + offset).astype(np.float32)
    for dtype in (np.float64, np.float32):
        model = KMeansPrior(12, code=code, random_state=0).fit(rows.astype(dtype))
        (found,) = serve(model, 5)(rows)
        expected = model.transform(rows.astype(np.float64))
        tolerance = 1e-6 if dtype == np.float64 else 1e-6 * (1 + offset)
        if code == "one-hot":
            scores = np.sort(rows.astype(np.float64) @ model.coef_.T + model.intercept_)
            clear = scores[:, -1] - scores[:, -2] > tolerance * np.abs(scores).max()
            found, expected = found[clear], expected[clear]
            assert clear.mean() > 0.9
        assert_allclose(found, expected, atol=max(tolerance, 1e-6))


@pytest.mark.parametrize("activation", ["softmax", "relu", "tanh", "identity"])
def test_codes_of_autoencoders(activation):
    rows = FEATURES.astype(np.float32)
    model = quietly(AutoencoderPrior(3, activation=activation, **SMALL), rows)
    (found,) = serve(model, 4)(rows)
    assert_allclose(found, model.transform(rows), atol=1e-5)


def test_a_sparse_code_is_dense():
    model = KMeansPrior(3, sparse_output=True, random_state=0).fit(FEATURES)
    rows = FEATURES.astype(np.float32)
    assert_array_equal(serve(model, 4)(rows)[0], model.transform(rows).toarray())


# --- networks ---


@pytest.mark.parametrize(
    "activation", ["relu", "tanh", "logistic", "identity", "softmax"]
)
@pytest.mark.parametrize("y", [Y, THREE])
def test_networks_with_a_hidden_layer(activation, y):
    model = TiedMLPClassifier(
        hidden_units=6, activation=activation, max_iter=30, random_state=0
    )
    rows = FEATURES.astype(np.float32)
    model = quietly(model, rows, y)
    assert_serves(model, serve(model, 4), [rows], rows)


INF = np.inf
#: Enough to tell classes apart.
TRAINED = {"max_iter": 30, "batch_size": 10, "random_state": 0}
#: Shape of an image, and settings.
CONVOLUTIONS = {
    "plain": ((8, 8), {"filters": (3, 4)}),
    "strides": ((9, 7), {"filters": (3, 4), "stride": (2, 1), "pool_size": (1, 2)}),
    "larger strides": ((9, 8), {"filters": 3, "stride": 3, "kernel_size": 2}),
    "even kernels": ((8, 8), {"filters": 3, "kernel_size": 4, "stride": 2}),
    "valid": ((9, 9), {"filters": (3, 2), "padding": "valid", "pool_size": 2}),
    "windows left over": ((7, 9), {"filters": 3, "pool_size": 4}),
    "windows left over, local": ((7, 9), {"filters": 3, "pool_size": 4, "tie": 0.0}),
    "inputs left over": (
        (10, 10),
        {"filters": 2, "kernel_size": 1, "stride": 3, "padding": "valid"},
    ),
    "local": ((6, 6), {"filters": (3, 4), "tie": 0.0}),
    "tied": ((6, 6), {"filters": (3, 4), "tie": (2.0, INF), "kernel_size": (3, 2)}),
    "local, strides": (
        (8, 7),
        {"filters": 2, "tie": 1.0, "stride": 2, "kernel_size": 4, "pool_size": 1},
    ),
    "local, valid": ((8, 8), {"filters": 2, "tie": 0, "padding": "valid"}),
    "biases by location": ((8, 8), {"filters": 3, "bias": "location"}),
    "a bias of local kernels": ((8, 8), {"filters": 3, "tie": 0.0, "bias": "shared"}),
    "global mean": ((8, 8), {"filters": (3, 4), "global_pool": True}),
    "global max": ((8, 8), {"filters": (3, 4), "pool_size": 1, "global_pool": "max"}),
    "hidden": (
        (8, 8),
        {"filters": 3, "hidden_layer_sizes": (6, 5), "activation": "tanh"},
    ),
    "logistic": ((8, 8), {"filters": 3, "activation": "logistic"}),
    "identity": ((8, 8), {"filters": (3, 3), "activation": ("identity", "relu")}),
    "no convolution": ((8, 8), {"filters": (), "hidden_layer_sizes": 5}),
    "nothing but an output": ((8, 8), {"filters": ()}),
    "channels": ((8, 6, 3), {"filters": (3, 4)}),
    "channels, local": ((6, 6, 2), {"filters": 3, "tie": 0.0}),
    "signals": ((30,), {"filters": (3, 4), "kernel_size": 5}),
    "signals, channels, local": ((24, 2), {"filters": 3, "tie": 0.5, "stride": 2}),
    "dropout": ((8, 8), {"filters": 3, "dropout": 0.5}),
}


def images(shape, n=40, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    patterns = rng.normal(size=(3, int(np.prod(shape)))).cumsum(axis=1)
    pixels = rng.normal(size=(n, patterns.shape[1])) + patterns[y]
    # No pixel is 0, so that the margin is another number in each channel.
    n_channels = shape[-1] if len(shape) == 3 or shape == (24, 2) else 1
    pixels = 5 + pixels.reshape(n, -1, n_channels) * (1 + np.arange(n_channels))
    return pixels.reshape(n, -1), y


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_networks_of_convolutions(name):
    shape, settings = CONVOLUTIONS[name]
    rows, y = images(shape)
    rows = rows.astype(np.float32)
    settings = TRAINED | {"image_shape": shape} | settings
    for labels in (y, y > 0):
        model = quietly(SharedConvClassifier(**settings), rows, labels)
        assert_serves(model, serve(model, rows.shape[1]), [rows], rows)


def test_images_of_bytes_with_axes_of_their_own():
    rows, y = images((8, 8, 3))
    rows = np.clip(rows * 20, 0, 255).astype(np.uint8).reshape(-1, 8, 8, 3)
    model = quietly(SharedConvClassifier(3, **TRAINED), rows, y)
    for kind, given in (
        (types.UInt8TensorType, rows),
        (types.FloatTensorType, rows.astype(np.float32)),
    ):
        served = Served(model, [("X", kind([None, 8, 8, 3]))])
        assert_serves(model, served, [given], rows)


@pytest.mark.parametrize("tie_pair", [0.0, 1.0, INF])
def test_images_of_domains(tie_pair):
    rows, y = images((6, 6))
    rows = rows.astype(np.float32)
    site = WORDS[: len(rows)]
    model = SharedConvClassifier(
        3, tie_pair=tie_pair, handle_unknown="shared", **TRAINED
    )
    model = quietly(model, rows, y, sample_domain=site)
    served = Served(
        model, [*floats(36), ("sample_domain", types.StringTensorType([None, 1]))]
    )
    where = site.copy()
    where[::5] = "west"
    given = [rows, where[:, np.newaxis].astype(object)]
    assert_serves(model, served, given, rows, sample_domain=where)


# --- what cannot be converted ---


def test_inputs_that_do_not_suit_the_model():
    beside, *_ = fitted("words")
    with pytest.raises(ValueError, match="fitted with sample_domain"):
        Served(beside, [*floats(3), ("rest", types.FloatTensorType([None, 2]))])
    with pytest.raises(ValueError, match="takes 5 columns"):
        serve(beside, 4)
    column, *_ = fitted("plain")
    with pytest.raises(ValueError, match="takes 5 columns"):
        serve(column, 4)
    with pytest.raises(ValueError, match="is of words; expected numbers"):
        Served(column, [("X", types.StringTensorType([None, 5]))])


def test_labels_of_another_kind_than_the_column():
    numbers, *_ = fitted("domains")
    inputs = [*floats(4), ("site", types.StringTensorType([None, 1]))]
    with pytest.raises(ValueError, match=r"are numbers, but 'site'.*Ordinal"):
        Served(numbers, inputs)
    words, *_ = fitted("words")
    inputs = [*floats(4), ("site", types.FloatTensorType([None, 1]))]
    with pytest.raises(ValueError, match="are words, but 'site'"):
        Served(words, inputs)


def test_domains_too_large_for_single_precision():
    large = X.copy()
    large[:, -1] += 2**24
    model = TiedLogisticRegression(-1).fit(large, Y)
    with pytest.raises(ValueError, match="16777217 is a number that float32"):
        serve(model, 5)
    kinds = [*floats(4), ("site", types.Int64TensorType([None, 1]))]
    served = Served(model, kinds)
    given = [FEATURES.astype(np.float32), large[:, -1:].astype(np.int64)]
    ours = np.c_[FEATURES.astype(np.float32), large[:, -1]]
    assert_serves(model, served, given, ours)


def test_what_is_not_fitted():
    for model in (TiedLogisticRegression(), TiedRidge(), KMeansPrior()):
        more = {"options": {"zipmap": False}} if hasattr(model, "C") else {}
        with pytest.raises(NotFittedError):
            serve(model, 4, **more)


def test_coefficients_of_double_precision_are_kept():
    """Of far-off features: in single precision the sums would lose 1e-4."""
    rng = np.random.default_rng(0)
    rows = np.c_[rng.normal(size=(80, 2)), 20_000 + rng.integers(30, size=80)]
    y = rows[:, 0] + (rows[:, 2] - 20_015) / 3 + rng.logistic(size=80) > 0
    model = TiedLogisticRegression(C=INF).fit(rows, y)
    rows = rows.astype(np.float32)
    # The rows are those; what is made of them is compared at full precision.
    assert_serves(model, serve(model, 3), [rows], rows.astype(np.float64))


def test_targets_of_a_ridge():
    rows = FEATURES.astype(np.float32)
    model = TiedRidge().fit(rows, np.c_[SCORE, Y])
    (found,) = serve(model, 4)(rows)
    assert_allclose(found, model.predict(rows), rtol=1e-5, atol=1e-6)


def test_the_page_about_serving_runs(root):
    """The one block of docs/persistence.rst that the tests of the pages cannot run."""
    text = (root / "docs" / "persistence.rst").read_text("utf-8")
    (code,) = [block for block in code_blocks(text) if "onnxruntime" in block]
    names = {"__name__": "persistence"}
    exec(compile(code, "persistence.rst", "exec"), names)
    patient = names["X"].iloc[:1].assign(age=61.0, thalach=140.0, site="Hungary")
    expected = names["model"].predict_proba(patient)
    assert_allclose(names["probability"], expected, atol=CLOSE)
    assert names["label"] == names["model"].predict(patient)


def test_clones_convert_and_register_does_no_harm_twice():
    sktie.onnx.register()
    model = clone(TiedLogisticRegression()).fit(FEATURES, Y)
    rows = FEATURES.astype(np.float32)
    assert_serves(model, serve(model, 4), [rows], rows)
