"""The displays: what they draw, where, and how they say what is missing."""

import sys
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktie import SharedConvClassifier
from sktie.inspection import (
    FeatureMapDisplay,
    KernelDisplay,
    ReceptiveFieldDisplay,
    _displays,
    receptive_field,
)
from sktie.inspection._tying_display import STYLES

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 8, 8))
SIGNALS = RNG.normal(size=(12, 20))
Y = np.arange(12) % 3


@pytest.fixture
def plt():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")


def fitted(X=X, **settings):
    return SharedConvClassifier(**{"max_iter": 1, "random_state": 0} | settings).fit(
        X, Y
    )


def displays(ax=None):
    model = fitted(filters=(2, 3))
    return [
        ReceptiveFieldDisplay.from_estimator(model, 1, (0, 1), ax=ax),
        KernelDisplay.from_estimator(model, 1, channel=1, ax=ax),
        FeatureMapDisplay.from_estimator(model, X[:2], 0, ax=ax),
    ]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_display_makes_a_figure_or_draws_where_it_is_told(plt, which):
    own = displays()[which]
    assert own.figure_.number in plt.get_fignums()
    figure, axes = plt.subplots(1, 2)
    inside = displays(axes[1])[which]
    assert inside.figure_ is figure
    assert len(plt.get_fignums()) == 4  # Three of their own, and this.
    if which == 0:
        assert inside.ax_ is axes[1]
    else:
        box = axes[1].get_tightbbox().padded(1)
        figure.canvas.draw()
        for ax in inside.axes_.ravel():
            assert box.x0 <= ax.get_window_extent().x0 < box.x1
        assert not axes[0].child_axes
    again = inside.plot()
    assert again is inside
    assert again.figure_ is not figure


def test_the_receptive_field_is_what_is_drawn(plt):
    model = fitted(filters=2)
    display = ReceptiveFieldDisplay.from_estimator(model, 0, (0, 2))
    mask = receptive_field(model, 0, (0, 2))
    assert_array_equal(display.mask, mask)
    assert display.title == "Layer 0, unit (0, 2): sees 12 of 64 pixels"
    assert display.ax_.get_title() == display.title
    (image,) = display.ax_.images
    assert_array_equal(image.get_array(), mask)
    assert image.get_extent() == [0, 8, 8, 0]
    # Rows 0 to 2 and columns 3 to 6: the outline goes around them.
    (outline,) = display.ax_.collections[-1:]
    ends = np.concatenate(outline.get_segments())
    assert_array_equal(ends.min(axis=0), [3, 0])
    assert_array_equal(ends.max(axis=0), [7, 3])
    assert len(outline.get_segments()) == 2 * (4 + 3)


def test_the_outline_goes_around_holes(plt):
    mask = np.ones((3, 3), bool)
    mask[1, 1] = False
    display = ReceptiveFieldDisplay(mask).plot()
    edges = {
        tuple(map(tuple, np.sort(edge, axis=0).astype(int)))
        for edge in display.ax_.collections[-1].get_segments()
    }
    inner = {((1, 1), (2, 1)), ((1, 2), (2, 2)), ((1, 1), (1, 2)), ((2, 1), (2, 2))}
    assert inner < edges
    assert len(edges) == 16


@pytest.mark.parametrize("image", [X[3], X[3].ravel(), X[3].tolist()])
def test_an_image_is_drawn_under_a_veil(plt, image):
    model = fitted(filters=2)
    display = ReceptiveFieldDisplay.from_estimator(model, 0, (1, 1), image=image)
    below, veil = display.ax_.images
    assert_array_equal(below.get_array(), X[3])
    assert_array_equal(veil.get_array()[..., 3] == 0, display.mask)


def test_signals_and_units_of_dense_layers_are_named(plt):
    model = fitted(SIGNALS, image_shape=20, filters=2)
    display = ReceptiveFieldDisplay.from_estimator(model, 0, 0)
    assert display.title == "Layer 0, unit 0: sees 3 of 20 pixels"
    display = ReceptiveFieldDisplay.from_estimator(model, 1, 2)
    assert display.title == "Layer 1, unit 2: sees 20 of 20 pixels"


def test_shared_kernels_are_drawn_once_on_one_scale(plt):
    model = fitted(filters=(2, 10))
    display = KernelDisplay.from_estimator(model, 1, channel=1)
    assert display.title == "Kernels of layer 1, input channel 1 of 2"
    assert display.axes_.shape == (10,)
    limits = set()
    for k, ax in enumerate(display.axes_):
        (image,) = ax.images
        assert_array_equal(image.get_array(), model.coefs_[1][:, :, 1, k])
        limits.add(image.get_clim())
    (scale,) = limits
    largest = np.abs(model.coefs_[1][:, :, 1]).max()
    assert_allclose(scale, (-largest, largest))


def test_places_of_the_grid_without_a_kernel_stay_empty(plt):
    kernels = RNG.normal(size=(3, 3, 10))
    colorbar = 1
    assert len(KernelDisplay(kernels).plot().figure_.axes) == 10 + colorbar
    figure, ax = plt.subplots()
    KernelDisplay(kernels).plot(ax)
    assert len(ax.child_axes) == 10
    assert len(figure.axes) == 1 + colorbar


def test_local_kernels_are_drawn_where_they_look(plt):
    model = fitted(filters=2, tie=0, kernel_size=(3,), pool_size=1)
    model.coefs_[0] = RNG.normal(size=model.coefs_[0].shape)
    display = KernelDisplay.from_estimator(model)
    assert display.title == "Kernels of layer 0"
    for k, ax in enumerate(display.axes_):
        found = ax.images[0].get_array()
        assert found.shape == (8 * 4 - 1, 8 * 4 - 1)
        for i, j in np.ndindex(8, 8):
            place = found[4 * i : 4 * i + 3, 4 * j : 4 * j + 3]
            assert_array_equal(place, model.coefs_[0][i, j, :, :, 0, k])
        assert found[3].mask.all()
        assert found[:, 3].mask.all()


def test_local_kernels_of_signals_have_a_row_for_each_location(plt):
    model = fitted(SIGNALS, image_shape=20, filters=2, tie=0, kernel_size=5)
    display = KernelDisplay.from_estimator(model)
    for k, ax in enumerate(display.axes_):
        found = ax.images[0].get_array()
        assert_array_equal(found, model.coefs_[0][0, :, 0, :, 0, k])


def test_kernels_of_zeros_are_drawn(plt):
    display = KernelDisplay(np.zeros((3, 3, 2))).plot()
    assert display.axes_[0].images[0].get_clim() == (-1, 1)


def test_feature_maps_stand_beside_their_image_on_one_scale(plt):
    model = fitted(filters=(2, 3))
    display = FeatureMapDisplay.from_estimator(model, X[:2], 1)
    maps = model.feature_maps(X[:2], 1)
    assert display.axes_.shape == (2, 4)
    for i, (first, *others) in enumerate(display.axes_):
        assert_array_equal(first.images[0].get_array(), X[i])
        for k, ax in enumerate(others):
            assert_array_equal(ax.images[0].get_array(), maps[i, ..., k])
            assert ax.images[0].get_clim() == (maps.min(), maps.max())


def test_colours_are_drawn_by_their_mean(plt):
    pixels = RNG.normal(size=(12, 6, 6, 3))
    display = FeatureMapDisplay.from_estimator(fitted(pixels, filters=1), pixels[:1])
    drawn = display.axes_[0, 0].images[0].get_array()
    assert_allclose(drawn, pixels[0].mean(axis=-1))


def test_feature_maps_of_signals_are_lines(plt):
    model = fitted(SIGNALS, image_shape=20, filters=2)
    display = FeatureMapDisplay.from_estimator(model, SIGNALS[:2])
    maps = model.feature_maps(SIGNALS[:2])
    for i, (first, *others) in enumerate(display.axes_):
        assert_array_equal(first.lines[-1].get_ydata(), SIGNALS[i])
        for k, ax in enumerate(others):
            assert_array_equal(ax.lines[-1].get_ydata(), maps[i, 0, :, k])
            low, high = ax.get_ylim()
            assert low < maps.min() <= maps.max() < high
            assert ax.get_ylim() == others[0].get_ylim()


def test_the_colours_get_lighter_with_the_value_so_grey_is_enough(plt):
    display = KernelDisplay(RNG.normal(size=(3, 3, 2))).plot()
    drawn = display.axes_[0].images[0]
    rgb = drawn.cmap(np.linspace(0, 1, 50))[:, :3]
    lightness = rgb @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()
    field = ReceptiveFieldDisplay(np.eye(3, dtype=bool)).plot().ax_.images[0]
    unseen, seen = field.cmap([0.0, 1.0])[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert unseen - seen > 0.4


#: What is seen of linear RGB without one kind of cone, by Machado et al. 2009, and, in
#: grey, of all.
SEEN = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
    "grey": [[0.2126, 0.7152, 0.0722]] * 3,
}
#: From linear RGB to XYZ, relative to white.
XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)


def lab(colours, seen):
    """CIELAB of colours as somebody sees them."""
    rgb = np.asarray(colours)[..., :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.transpose(SEEN[seen]), 0, 1)
    f = (linear @ XYZ.T) / XYZ.sum(axis=1)
    f = np.where(f > 0.008856, np.cbrt(f), 7.787 * f + 16 / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@pytest.mark.parametrize("seen", SEEN)
def test_colours_differ_to_everybody(plt, seen):
    colors = pytest.importorskip("matplotlib.colors")
    # A difference of 10 is seen at a glance.
    field = lab(colors.to_rgba_array([_displays.BLUE, _displays.PALE]), seen)
    assert np.linalg.norm(field[0] - field[1]) > 40
    outline = lab(colors.to_rgba_array([_displays.ORANGE]), seen)
    apart = np.linalg.norm(field - outline, axis=1)
    assert apart[1] > 10  # In grey the outline is of the field, and ends it.
    assert apart[0] > (5 if seen == "grey" else 10)
    lightness = lab(plt.get_cmap(_displays.CMAP)(np.linspace(0, 1, 50)), seen)[:, 0]
    assert (np.diff(lightness) > 0).all()
    lines = lab(colors.to_rgba_array([colour for colour, *_ in STYLES]), seen)
    for (i, one), (j, other) in combinations(enumerate(STYLES), 2):
        # Lines that are alike in colour differ in dashes and in markers.
        alike = np.linalg.norm(lines[i] - lines[j]) < 10
        assert seen == "grey" or not alike
        assert one[1] != other[1]
        assert one[2] != other[2]


@pytest.mark.parametrize("layer", [1, -2, True, 0.5])
def test_a_layer_that_is_no_convolution_is_refused(layer):
    model = fitted(filters=2)
    for draw in (
        lambda: KernelDisplay.from_estimator(model, layer),
        lambda: FeatureMapDisplay.from_estimator(model, X, layer),
    ):
        with pytest.raises(ValueError, match=r"convolutions .* 0 to 0\. Use one"):
            draw()
    with pytest.raises(ValueError, match=r"no convolutions\. Give it filters"):
        KernelDisplay.from_estimator(fitted(filters=()))


@pytest.mark.parametrize("channel", [1, -2, 0.5, None])
def test_a_channel_that_does_not_exist_is_refused(channel):
    with pytest.raises(ValueError, match=rf"channel={channel}, .* 0 to 0\. Use one"):
        KernelDisplay.from_estimator(fitted(filters=2), channel=channel)


def test_without_matplotlib_a_display_says_how_to_get_it(monkeypatch):
    for module in list(sys.modules):
        if module.partition(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    model = fitted(filters=2)
    for draw in (
        lambda: ReceptiveFieldDisplay.from_estimator(model, 0, (0, 0)),
        lambda: KernelDisplay.from_estimator(model),
        lambda: FeatureMapDisplay.from_estimator(model, X[:1]),
    ):
        with pytest.raises(ImportError, match=r'matplotlib.*pip install "sktie\[plot'):
            draw()
