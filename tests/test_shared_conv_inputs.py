"""SharedConvClassifier: what it takes for images and signals, and their scale."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from sktie import SharedConvClassifier

INF = np.inf
N = 18
RNG = np.random.default_rng(0)
Y = np.arange(N) % 3
COUNTS = RNG.integers(0, 17, size=(N, 16))


def network(filters=2, **settings):
    return SharedConvClassifier(
        filters, **({"max_iter": 2, "random_state": 0, "n_jobs": 1} | settings)
    )


def pixels(*shape):
    return np.random.default_rng(1).normal(size=(N, *shape))


def parameters(model):
    return [*model.coefs_, *model.intercepts_]


def assert_same_model(a, b):
    for mine, other in zip(parameters(a), parameters(b), strict=True):
        assert_array_equal(mine, other)


# ---- the shape of an image -----------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "settings", "expected"),
    [
        # Rows of numbers: squares where possible, else signals.
        ((1,), {}, (1, 1, 1)),
        ((2,), {}, (1, 2, 1)),
        ((4,), {}, (2, 2, 1)),
        ((16,), {}, (4, 4, 1)),
        ((15,), {}, (1, 15, 1)),
        ((12,), {}, (1, 12, 1)),
        # Rows with a shape.
        ((12,), {"image_shape": (3, 4)}, (3, 4, 1)),
        ((12,), {"image_shape": (2, 3, 2)}, (2, 3, 2)),
        ((12,), {"image_shape": [2, 3, 2]}, (2, 3, 2)),
        ((12,), {"image_shape": np.array([2, 3, 2])}, (2, 3, 2)),
        ((16,), {"image_shape": (16,)}, (1, 16, 1)),
        ((16,), {"image_shape": 16}, (1, 16, 1)),
        # Two numbers: a signal from more than four times as long as wide.
        ((16,), {"image_shape": (8, 2)}, (8, 2, 1)),
        ((18,), {"image_shape": (9, 2)}, (1, 9, 2)),
        ((18,), {"image_shape": (2, 9)}, (2, 9, 1)),
        ((16,), {"image_shape": (8, 2), "signals": True}, (1, 8, 2)),
        ((18,), {"image_shape": (9, 2), "signals": False}, (9, 2, 1)),
        ((16,), {"image_shape": (16,), "signals": False}, (1, 16, 1)),
        ((12,), {"image_shape": (2, 3, 2), "signals": False}, (2, 3, 2)),
        # Arrays with axes of their own.
        ((3, 4), {}, (3, 4, 1)),
        ((9, 2), {}, (1, 9, 2)),
        ((8, 2), {}, (8, 2, 1)),
        ((8, 2), {"signals": True}, (1, 8, 2)),
        ((9, 2), {"signals": False}, (9, 2, 1)),
        ((3, 4, 2), {}, (3, 4, 2)),
        ((3, 4, 2), {"image_shape": (3, 4, 2)}, (3, 4, 2)),
        ((3, 4), {"image_shape": (3, 4)}, (3, 4, 1)),
        ((9, 2), {"image_shape": (9, 2)}, (1, 9, 2)),
        ((1, 9, 2), {}, (1, 9, 2)),
    ],
)
def test_the_shape_of_an_image_is_read_as_documented(shape, settings, expected):
    X = pixels(*shape)
    model = network(**settings).fit(X, Y)
    assert model.image_shape_ == expected
    assert model.n_features_in_ == np.prod(expected)
    assert model.offset_.shape == (expected[2],)
    # What was fitted can be predicted, with and without the axes.
    found = model.predict_proba(X)
    assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    flat = X.reshape(N, -1)
    assert_array_equal(model.predict_proba(flat), found)
    assert_array_equal(model.predict_proba(flat.reshape(N, *expected)), found)


def test_rows_are_ordered_as_numpy_does():
    X = pixels(3, 4, 2)
    whole = network().fit(X, Y)
    flat = network(image_shape=(3, 4, 2)).fit(X.reshape(N, -1), Y)
    assert_same_model(whole, flat)
    signal = network(signals=True).fit(pixels(6, 2), Y)
    long = network(image_shape=(1, 6, 2)).fit(pixels(6, 2).reshape(N, -1), Y)
    assert_same_model(signal, long)


def test_nested_lists_are_images():
    X = pixels(3, 4)
    model = network().fit(X.tolist(), Y)
    assert model.image_shape_ == (3, 4, 1)
    assert_array_equal(model.predict_proba(X.tolist()), model.predict_proba(X))


def test_kernels_of_signals_have_one_row():
    model = network((2, 3), kernel_size=(5, 3), stride=2).fit(pixels(40), Y)
    model_2d = network((2, 3), image_shape=(8, 5)).fit(pixels(40), Y)
    assert [part.shape[:2] for part in model.coefs_[:2]] == [(1, 5), (1, 3)]
    # 40 pixels, half by the stride, half by the pool, and both again.
    assert model.feature_maps(pixels(40), 0).shape == (N, 1, 10, 2)
    assert model.feature_maps(pixels(40), 1).shape == (N, 1, 2, 3)
    assert model_2d.coefs_[0].shape[:2] == (3, 3)


@pytest.mark.parametrize("tie", [0.0, 1.0, INF])
@pytest.mark.parametrize("n_features", range(1, 12))
def test_the_defaults_fit_any_number_of_features(n_features, tie):
    X = pixels(n_features)
    model = SharedConvClassifier(max_iter=2, tie=tie, random_state=0).fit(X, Y)
    assert model.predict_proba(X).shape == (N, 3)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [3, 6, 7])
def test_the_number_of_locations_is_that_of_the_docstring(n, stride, padding):
    model = network(stride=stride, padding=padding, pool_size=1).fit(pixels(n, n), Y)
    expected = -(-n // stride) if padding == "same" else (n - 3) // stride + 1
    assert model.feature_maps(pixels(n, n)).shape == (N, expected, expected, 2)


@pytest.mark.parametrize(
    ("pool_size", "expected"), [(1, 7), (2, 3), (3, 2), (4, 1), (7, 1), (99, 1)]
)
def test_pools_are_never_larger_than_what_there_is(pool_size, expected):
    model = network(pool_size=pool_size, tie=0.0).fit(pixels(7, 7), Y)
    assert model.feature_maps(pixels(7, 7)).shape == (N, expected, expected, 2)
    # Outputs that fill no window have no kernels.
    used = expected * min(pool_size, 7)
    assert model.coefs_[0].shape == (used, used, 3, 3, 1, 2)


def test_a_kernel_may_be_larger_than_a_padded_image():
    model = network(kernel_size=9).fit(pixels(4, 4), Y)
    assert model.coefs_[0].shape == (9, 9, 1, 2)
    assert np.isfinite(model.predict_proba(pixels(4, 4))).all()


def test_predict_takes_one_row_and_none_of_the_others_matters():
    X = pixels(4, 4)
    model = network().fit(X, Y)
    each = [model.predict_proba(X[i : i + 1])[0] for i in range(N)]
    assert_allclose(each, model.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 2), (30, 2)])
def test_a_single_image_is_put_into_a_list(shape):
    X = pixels(*shape)
    model = network().fit(X, Y)
    with pytest.raises(ValueError, match=r"of a single image; .*list: \[image\]"):
        model.predict(X[0])
    assert_array_equal(model.predict([X[0]]), model.predict(X)[:1])


def test_as_many_images_as_rows_of_pixels_are_images():
    X = pixels(1, 4)  # Each of one row, which is all its pixels.
    assert len(network().fit(X, Y).predict(X[:, 0][:1])) == 1
    X = pixels(4, 4)
    assert len(network().fit(X, Y).predict(X[:4])) == 4


# ---- numbers of any kind -------------------------------------------------------------


def mixed(X):
    return pytest.importorskip("pandas").DataFrame(X).astype({0: "float32"})


KINDS = {
    "uint8": lambda X: X.astype(np.uint8),
    "int8": lambda X: X.astype(np.int8),
    "int16": lambda X: X.astype(np.int16),
    "uint32": lambda X: X.astype(np.uint32),
    "int64": lambda X: X.astype(np.int64),
    "float16": lambda X: X.astype(np.float16),
    "float32": lambda X: X.astype(np.float32),
    "float64": lambda X: X.astype(np.float64),
    "longdouble": lambda X: X.astype(np.longdouble),
    "object": lambda X: X.astype(object),
    "big endian": lambda X: X.astype(">f4"),
    "big endian integers": lambda X: X.astype(">i2"),
    "Fortran order": lambda X: np.asfortranarray(X, np.float64),
    "not contiguous": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "backwards in memory": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "list": lambda X: X.tolist(),
    "data frame": lambda X: pytest.importorskip("pandas").DataFrame(X),
    "data frame of mixed types": lambda X: mixed(X),
}


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


KINDS["read-only"] = read_only


@pytest.fixture(scope="module", params=["float32", "float64"])
def fitted(request):
    return network((3, 2), tie=(0.5, INF), dtype=request.param).fit(COUNTS, Y)


@pytest.mark.parametrize("kind", list(KINDS))
def test_equal_numbers_of_any_dtype_have_equal_predictions(fitted, kind):
    X = KINDS[kind](COUNTS)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X has feature names")
        for method in ("predict_proba", "transform", "feature_maps"):
            found, expected = (
                getattr(fitted, method)(X),
                getattr(fitted, method)(COUNTS),
            )
            assert_array_equal(found, expected)
            assert found.dtype == fitted.dtype


def test_truth_values_are_numbers(fitted):
    X = COUNTS > 8
    found = fitted.predict_proba(X)
    assert_array_equal(found, fitted.predict_proba(X.astype(np.float64)))


@pytest.mark.parametrize("how", ["fit", "partial_fit"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [*KINDS, "bool"])
def test_equal_numbers_of_any_dtype_train_one_model(kind, dtype, how):
    X = COUNTS > 8 if kind == "bool" else KINDS[kind](COUNTS)
    Z = (COUNTS > 8) * 1.0 if kind == "bool" else COUNTS * 1.0
    more = {"classes": np.unique(Y)} if how == "partial_fit" else {}
    model, plain = (
        getattr(network(dtype=dtype, batch_size=4), how)(rows, Y, **more)
        for rows in (X, Z)
    )
    assert_array_equal(model.offset_, plain.offset_)
    assert_same_model(model, plain)


@pytest.mark.parametrize(
    ("dtype", "kind", "expected"),
    [
        ("auto", "float64", "float64"),
        ("auto", "list", "float32"),
        ("auto", "float32", "float32"),
        ("auto", "float16", "float32"),
        ("auto", "uint8", "float32"),
        ("auto", "int64", "float32"),
        ("auto", "object", "float64"),
        ("float32", "float64", "float32"),
        ("float64", "uint8", "float64"),
        ("float64", "float32", "float64"),
    ],
)
def test_dtype_says_what_is_computed_in(dtype, kind, expected):
    X = KINDS[kind](COUNTS)
    model = network(dtype=dtype).fit(X, Y)
    assert {part.dtype for part in parameters(model)} == {np.dtype(expected)}
    for other in (COUNTS, COUNTS * 1.0):
        assert model.predict_proba(other).dtype == expected
        assert model.predict_log_proba(other).dtype == expected
        assert model.transform(other).dtype == expected


def test_float32_and_float64_agree():
    X = pixels(4, 4)
    single, double = (network(dtype=d).fit(X, Y) for d in ("float32", "float64"))
    found, expected = single.predict_proba(X), double.predict_proba(X)
    assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found - expected).max() > 0


@pytest.mark.parametrize("how", ["fit", "partial_fit"])
@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
def test_the_callers_arrays_are_not_changed(kind, how):
    X = KINDS[kind](COUNTS)
    weight = RNG.uniform(0.5, 2.0, N)
    given = X.copy(), Y.copy(), weight.copy()

    def augment(images, rng):
        images[...] = 0
        return images

    model = network(augment=augment, batch_size=5, dropout=0.2)
    more = {"classes": [0, 1, 2]} if how == "partial_fit" else {}
    getattr(model, how)(X, Y, sample_weight=weight, **more)
    model.predict_proba(X)
    model.transform(X)
    for before, after in zip(given, (X, Y, weight), strict=True):
        assert_array_equal(before, after)


def test_read_only_data_can_be_fitted():
    X = read_only(COUNTS * 1.0)
    assert_same_model(network().fit(X, read_only(Y)), network().fit(COUNTS * 1.0, Y))


# ---- the scale of the pixels ---------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_the_scale_is_mean_and_deviation_of_each_channel(weighted):
    X = pixels(3, 4, 2) * [2.0, 0.3] + [9.0, -7.0]
    weight = np.random.default_rng(2).uniform(0.2, 3, N) if weighted else np.ones(N)
    weight[4] = 0
    model = network().fit(X, Y, weight)
    flat = X.reshape(N, 12, 2)
    mean = np.average(flat.mean(axis=1), axis=0, weights=weight)
    variance = np.average(((flat - mean) ** 2).mean(axis=1), axis=0, weights=weight)
    assert_allclose(model.offset_, mean, rtol=1e-12)
    assert_allclose(model.scale_, np.sqrt(variance), rtol=1e-12)
    # Nearest to 0: the smallest where all are positive, the largest where none is.
    kept = flat[weight > 0]
    expected = [kept[..., 0].min(), kept[..., 1].max()]
    assert expected[0] > 0 > expected[1]
    assert_array_equal(model.margin_, expected)


def test_the_margin_is_zero_where_pixels_are_on_both_sides_of_it():
    model = network().fit(pixels(4, 4), Y)
    assert_array_equal(model.margin_, [0.0])


def test_units_do_not_matter():
    X = pixels(4, 4) + 3
    model = network().fit(X, Y)
    other = network().fit(X * 2.0**40, Y)
    assert_allclose(other.predict_proba(X * 2.0**40), model.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e-30, 1e30])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constant_images_are_of_no_use_and_no_harm(value, dtype):
    X = np.full((N, 4, 4), value)
    model = network(dtype=dtype).fit(X, Y)
    assert_array_equal(model.scale_, [1.0])
    assert_allclose(model.offset_, [value], rtol=1e-12)
    assert_array_equal(model.margin_, model.offset_)
    assert np.isfinite(model.predict_proba(X)).all()
    assert_array_equal(np.ptp(model.predict_proba(X), axis=0), 0)


def test_a_constant_channel_among_others_is_silent():
    X = pixels(4, 4, 2)
    X[..., 1] = 6.0
    model = network().fit(X, Y)
    assert model.scale_[1] == 1.0
    without = model.feature_maps(X)
    model.coefs_[0][:, :, 1] = 100.0
    assert_array_equal(model.feature_maps(X), without)


def test_a_margin_of_an_image_is_as_good_as_the_padding():
    # Images of positive pixels are padded with the smallest of them.
    X = np.random.default_rng(3).integers(1, 9, size=(N, 6, 6))
    model = network(3, pool_size=1, dtype="float32").fit(X, Y)
    assert_array_equal(model.margin_, [1.0])
    empty = np.ones((1, 6, 6))
    maps = model.feature_maps(empty)
    assert_allclose(maps, np.broadcast_to(maps[:, :1, :1], maps.shape), atol=1e-6)


def test_new_pixels_are_put_on_the_scale_of_training():
    X = pixels(4, 4)
    model = network((), hidden_layer_sizes=()).fit(X, Y)
    new = pixels(4, 4) * 3 + 1
    expected = (new.reshape(N, -1) - model.offset_) / model.scale_
    assert_allclose(model.transform(new), expected, rtol=1e-12)


# ---- data frames ---------------------------------------------------------------------


def named(library, X):
    names = [f"pixel{i}" for i in range(X.shape[1])]
    if library == "pandas":
        return pytest.importorskip("pandas").DataFrame(X, columns=names)
    return pytest.importorskip("polars").DataFrame(X, schema=names)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames_are_rows_of_named_pixels(library):
    X = COUNTS * 1.0
    frame = named(library, X)
    model = network().fit(frame, Y)
    assert_same_model(model, network().fit(X, Y))
    assert_array_equal(model.feature_names_in_, list(frame.columns))
    expected = network().fit(X, Y).predict_proba(X)
    assert_array_equal(model.predict_proba(frame), expected)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list(frame.columns)[::-1]])
    with pytest.warns(UserWarning, match="valid feature names"):
        model.predict(X)


def test_labels_may_be_a_series_or_strings():
    pd = pytest.importorskip("pandas")
    X, names = COUNTS * 1.0, np.array(["a", "b", "c"])
    model = network().fit(X, pd.Series(names[Y], dtype="category"))
    assert_array_equal(model.classes_, names)
    assert_array_equal(model.predict(X), names[network().fit(X, Y).predict(X)])


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_features_come_out_as_a_frame_where_wanted(container):
    library = pytest.importorskip(container)
    model = network().set_output(transform=container).fit(COUNTS * 1.0, Y)
    found = model.transform(COUNTS * 1.0)
    assert isinstance(found, library.DataFrame)
    names = [f"sharedconvclassifier{i}" for i in range(8)]
    assert list(found.columns) == list(model.get_feature_names_out()) == names


def test_validation_rows_may_have_any_form():
    X = pixels(4, 4)
    settings = {"learning_rate": "constant", "max_iter": 3}
    found = []
    for X_val in (X, X.reshape(N, -1), X.tolist()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = network(**settings).fit(X, Y, X_val=X_val, y_val=Y)
        found.append(model.validation_scores_)
    assert found[0] == found[1] == found[2]
