"""receptive_field and influence: what perturbing pixels shows, exactly."""

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sktie import SharedConvClassifier
from sktie.inspection import influence, receptive_field

#: Far above all pixels, so that a raised pixel is the largest of every window.
RAISED = 1e6


def positive_network(shape, **chosen):
    """A network that no perturbation is lost in: outputs rise with every input."""
    rng = np.random.default_rng(0)
    n_classes = chosen.pop("n_classes", 3)
    X = rng.normal(size=(9, int(np.prod(shape))))
    model = SharedConvClassifier(
        activation="identity", image_shape=shape, max_iter=1, random_state=0, **chosen
    ).fit(X, np.arange(9) % n_classes)
    model.coefs_ = [rng.uniform(0.5, 1.5, part.shape) for part in model.coefs_]
    return model


def observed(model, layer):
    """Which unit changes with which pixel, (height, width, *units)."""
    height, width, channels = model.image_shape_
    X = np.zeros((1 + height * width, height * width, channels))
    X[1:][np.arange(height * width), np.arange(height * width)] = RAISED
    X = X.reshape(len(X), -1)
    n_convolutions = sum(part["kind"] == "convolution" for part in model.layers_)
    n_layers = len(model.coefs_)
    if layer < n_convolutions:
        found = model.feature_maps(X, layer)
        changed = np.abs(found[1:] - found[0]) > 1
        assert_array_equal(changed.all(axis=-1), changed.any(axis=-1))
        changed = changed[..., 0]
    else:
        assert layer == n_layers - 2  # What the output layer sees.
        found = model.transform(X)
        changed = np.abs(found[1:] - found[0]) > 1
    return changed.reshape(height, width, *changed.shape[1:])


def assert_as_observed(model, layer):
    changed = observed(model, layer)
    for pixel in np.ndindex(changed.shape[:2]):
        assert_array_equal(influence(model, pixel, layer), changed[pixel])
    for unit in np.ndindex(changed.shape[2:]):
        seen = receptive_field(model, layer, unit)
        assert seen.dtype == bool
        assert_array_equal(seen, changed[(..., *unit)])


CASES = {
    "defaults": ((8, 8), {}),
    "odd sizes": ((7, 9), {"kernel_size": (3, 4), "pool_size": (1, 3)}),
    "valid": ((9, 10), {"padding": ("valid", "same"), "kernel_size": (4, 2)}),
    "strides": (
        (11, 10),
        {"stride": (2, 1), "padding": ("same", "valid"), "kernel_size": (3, 2)},
    ),
    "gaps": ((9, 9), {"kernel_size": (1, 2), "stride": (3, 1), "pool_size": 1}),
    "kernel wider than the image": ((3, 4), {"kernel_size": 7, "pool_size": 1}),
    "even kernel, padded at the end": ((5, 5), {"kernel_size": 2, "pool_size": 1}),
    "signals": ((17,), {"kernel_size": (5, 3), "pool_size": (2, 1)}),
    "signals of two channels": ((15, 2), {"stride": 2}),
    "colours": ((5, 6, 3), {}),
    "local": ((6, 6), {"tie": 0.0}),
    "one pixel": ((1,), {}),
}


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_units_see_the_pixels_that_change_them(case, layer):
    shape, chosen = CASES[case]
    assert_as_observed(positive_network(shape, filters=(2, 2), **chosen), layer)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    kernels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pools=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(*[st.sampled_from(["same", "valid"])] * 2),
)
def test_units_see_the_pixels_that_change_them_in_any_geometry(
    shape, kernels, strides, pools, padding
):
    chosen = {"kernel_size": kernels, "stride": strides, "padding": padding}
    try:
        model = positive_network(shape, filters=(1, 1), pool_size=pools, **chosen)
    except ValueError:  # The kernel is larger than its input.
        reject()
    for layer in (0, 1):
        assert_as_observed(model, layer)


@pytest.mark.parametrize("global_pool", [False, "max"])
@pytest.mark.parametrize("filters", [(), (2,)])
def test_units_of_dense_layers_see_all_that_any_unit_below_sees(filters, global_pool):
    chosen = {"stride": 3, "kernel_size": 2, "padding": "valid", "pool_size": 1}
    model = positive_network(
        (7, 7),
        filters=filters,
        hidden_layer_sizes=4,
        global_pool=global_pool,
        **chosen,
    )
    layer = len(filters)
    assert_as_observed(model, layer)
    seen = receptive_field(model, layer, 3)
    assert seen.sum() == (4 * 4 if filters else 7 * 7)
    assert_array_equal(receptive_field(model, -1, 0), seen)
    assert_array_equal(influence(model, (0, 2), -1), [not filters] * 3)
    assert_array_equal(influence(model, (0, 1), -1), [True] * 3)


def test_the_output_for_two_classes_is_one_unit():
    model = positive_network((6, 6), filters=1, n_classes=2)
    assert influence(model, (2, 2), -1).tolist() == [True]


def test_zero_weights_do_not_hide_a_pixel():
    model = positive_network((5, 5), filters=1, pool_size=1)
    model.coefs_[0][:] = 0
    assert receptive_field(model, 0, (2, 2)).sum() == 9


def test_the_book_s_example():
    # Goodfellow, Bengio, Courville, figures 9.2 to 9.4: width 3, five inputs.
    model = positive_network((5,), filters=(1, 1), pool_size=1)
    assert influence(model, 2, 0).tolist() == [[False, True, True, True, False]]
    assert receptive_field(model, 0, 2).tolist() == [[False, True, True, True, False]]
    assert receptive_field(model, 1, 2).all()
    dense = positive_network((5,), filters=(), hidden_layer_sizes=5)
    assert influence(dense, 2, 0).tolist() == [True] * 5
    assert receptive_field(dense, 0, 2).tolist() == [[True] * 5]


def test_positions_in_signals_may_be_written_either_way():
    model = positive_network((9,), filters=1)
    for find in (
        lambda place: receptive_field(model, 0, place),
        lambda place: influence(model, place, 0),
    ):
        assert_array_equal(find(3), find((0, 3)))
        assert_array_equal(find(np.int64(3)), find([3]))


@pytest.mark.parametrize(
    ("layer", "unit"),
    [
        (0, (4, 0)),
        (0, (0, -1)),
        (0, (0, 0, 0)),
        (0, 1),
        (0, (0.0, 1.0)),
        (0, None),
        (1, 3),
        (1, (0, 0)),
    ],
)
def test_a_unit_that_does_not_exist_is_refused(layer, unit):
    model = positive_network((8, 8), filters=1)
    choice = r"\(0, 0\) to \(3, 3\)" if layer == 0 else "from 0 to 2"
    with pytest.raises(ValueError, match=rf"unit=.* does not exist\. Use .*{choice}"):
        receptive_field(model, layer, unit)


@pytest.mark.parametrize("pixel", [(8, 0), (0, 9), (-1, 0), 4, "a"])
def test_a_pixel_that_does_not_exist_is_refused(pixel):
    model = positive_network((8, 9), filters=1)
    with pytest.raises(ValueError, match=r"pixel=.* from \(0, 0\) to \(7, 8\)"):
        influence(model, pixel, 0)


@pytest.mark.parametrize("layer", [2, -3, 0.0, True, "0", None, [0]])
def test_a_layer_that_does_not_exist_is_refused(layer):
    model = positive_network((8, 8), filters=1)
    for find in (receptive_field, lambda *a: influence(a[0], a[2], a[1])):
        with pytest.raises(ValueError, match=r"layer=.* the numbers 0 to 1\."):
            find(model, layer, (0, 0))


def test_long_signals_take_no_time():
    rng = np.random.default_rng(0)
    model = SharedConvClassifier(
        (1, 1), kernel_size=9, image_shape=(20000,), max_iter=1
    ).fit(rng.normal(size=(4, 20000)), [0, 1, 0, 1])
    # A window of two sees 9 + 1 pixels; one of two that see 9 windows, 10 windows.
    assert receptive_field(model, 0, 5000).sum() == 10
    assert receptive_field(model, 1, 2500).sum() == 10 + 9 * 2
