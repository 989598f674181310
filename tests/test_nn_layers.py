"""sktie.nn: layers and networks against formulas, differences and PyTorch; training."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktie.nn import (
    OPTIMIZERS,
    Arena,
    ConnectedLayer,
    Convolution,
    ConvolutionLayer,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    Network,
    Scratch,
    one_cycle,
)
from tests.test_nn import (
    FORMULAS,
    Diary,
    LeastSquares,
    adam_by_the_paper,
    five_point,
    keep_going,
    train,
)
from tests.test_nn_convolution import (
    PER_CHANNEL,
    axis,
    convolution,
    naive,
    naive_max_pool,
    used_arena,
)

ACTIVATION_NAMES = ["identity", "relu", "tanh", "logistic"]
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


# ---- the layers, each with inputs ----------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A layer and the shape of an image that it takes."""

    name: str
    layer: Layer
    in_shape: tuple[int, ...]
    seed: int | None = None  # of what a layer draws

    def __str__(self):
        return self.name

    def draw(self, n_images=2, dtype=np.float64):
        """Inputs, parameters, and the gradient in the outputs."""
        rng = np.random.default_rng(0)
        shapes = [(*self.in_shape, n_images), *self.layer.shapes]
        shapes.append((*self.layer.out_shape, n_images))
        X, *parameters, outward = [rng.normal(size=s).astype(dtype) for s in shapes]
        return X, tuple(parameters), outward

    def scratch(self, arena=None):
        rng = None if self.seed is None else np.random.default_rng(self.seed)
        return Scratch(used_arena() if arena is None else arena, rng)

    def forward(self, X, parameters, arena=None):
        """The outputs; layers may overwrite what they get."""
        return self.layer.forward(X.copy(), parameters, self.scratch(arena))[0].copy()

    def gradients(self, X, parameters, outward, wanted=True, start=0.0):
        """The gradients of sum(outward * outputs) in the inputs and the parameters."""
        _, backprop = self.layer.forward(X.copy(), parameters, self.scratch())
        found = tuple(np.full_like(array, start) for array in parameters)
        return backprop(outward.copy(), found, wanted), found


def pooled(n_in, kernel_size, stride, padding, pool):
    """An axis of as many outputs as whole windows need."""
    own = axis(n_in, kernel_size, stride, padding)
    return replace(own, n_out=own.n_out // pool * pool)


def convolution_layers():
    """Every sharing with every pool size and activation, on axes that differ."""
    # Whole windows leave outputs of the height over, of the width none.
    shapes = {
        1: convolution(axis(3, 2), axis(4, 3, 2), 2, 2),
        2: convolution(pooled(5, 3, 1, "same", 2), pooled(4, 1, 2, "same", 2), 1, 2),
        3: convolution(pooled(5, 2, 1, "valid", 3), pooled(5, 2, 2, "same", 3), 1, 2),
    }
    for shared, shared_bias, pool, activation in itertools.product(
        [True, False], [True, False], shapes, ACTIVATION_NAMES
    ):
        own = shapes[pool]
        kernels = "shared" if shared else "local"
        bias = "shared" if shared_bias else "local"
        yield Case(
            f"{kernels} kernels-{bias} bias-pool {pool}-{activation}",
            ConvolutionLayer(
                own,
                (pool, pool),
                activation,
                shared,
                shared_bias,
                PER_CHANNEL[: own.n_channels] if shared_bias else 0.0,
            ),
            own.in_shape,
        )


def other_layers():
    shape = 3, 2, 4
    wide = convolution(axis(1), pooled(7, 3, 1, "same", 3))
    yield Case(
        "a signal", ConvolutionLayer(wide, (1, 3), "tanh", True, True), wide.in_shape
    )
    tall = convolution(pooled(4, 2, 1, "valid", 2), axis(2, 3))
    yield Case(
        "pool rows", ConvolutionLayer(tall, (2, 1), "tanh", False, False), tall.in_shape
    )
    for how in ("mean", "max"):
        yield Case(f"global {how}", GlobalPool(shape, how), shape)
        yield Case(f"global {how} of one pixel", GlobalPool((1, 3, 1), how), (1, 3, 1))
    yield Case("flatten", Flatten(shape), shape)
    yield Case("no dropout", Dropout(6, 0.4), (6,))
    yield Case("dropout", Dropout(6, 0.4), (6,), seed=0)
    for activation in ACTIVATION_NAMES:
        yield Case(f"connected-{activation}", ConnectedLayer(5, 3, activation), (5,))


CASES = [*convolution_layers(), *other_layers()]
CONVOLUTIONS = [case for case in CASES if isinstance(case.layer, ConvolutionLayer)]
every = pytest.mark.parametrize("case", CASES, ids=str)
convolutions = pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)


# ---- every layer ---------------------------------------------------------------------


@every
def test_backprop_is_the_gradient(case):
    X, parameters, outward = case.draw()
    of_X, found = case.gradients(X, parameters, outward)

    def objective(k):
        def at(array):
            arrays = [X, *parameters]
            arrays[k] = array
            return np.sum(outward * case.forward(arrays[0], arrays[1:], Arena()))

        return at

    for k, (array, gradient) in enumerate(
        zip([X, *parameters], [of_X, *found], strict=True)
    ):
        expected = five_point(objective(k), array, h=1e-4)
        assert_allclose(gradient, expected, atol=1e-8)


@every
@dtypes
def test_shapes_and_dtypes_are_kept(case, dtype):
    X, parameters, outward = case.draw(dtype=dtype)
    out = case.forward(X, parameters)
    of_X, found = case.gradients(X, parameters, outward)
    assert out.shape == outward.shape
    assert of_X.shape == X.shape
    assert {array.dtype for array in (out, of_X, *found)} == {np.dtype(dtype)}


@every
def test_the_gradient_in_the_inputs_is_none_where_not_wanted(case):
    X, parameters, outward = case.draw()
    _, expected = case.gradients(X, parameters, outward)
    of_X, found = case.gradients(X, parameters, outward, wanted=False)
    assert of_X is None
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


@every
def test_gradients_in_parameters_are_added(case):
    X, parameters, outward = case.draw()
    _, expected = case.gradients(X, parameters, outward)
    _, found = case.gradients(X, parameters, outward, start=5.0)
    for one, other in zip(found, expected, strict=True):
        assert_allclose(one, other + 5.0, atol=1e-12)


@every
def test_parameters_are_left_as_they_are(case):
    X, parameters, outward = case.draw()
    before = [array.copy() for array in parameters]
    case.gradients(X, parameters, outward)
    for one, other in zip(parameters, before, strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("case", [c for c in CASES if c.seed is None], ids=str)
def test_images_do_not_know_each_other(case):
    X, parameters, outward = case.draw(n_images=3)
    together = case.forward(X, parameters)
    of_X, found = case.gradients(X, parameters, outward)
    total = [np.zeros_like(array) for array in parameters]
    for k in range(3):
        one = slice(k, k + 1)
        alone = case.forward(X[..., one], parameters)
        assert_allclose(alone, together[..., one], atol=1e-12)
        of_one, own = case.gradients(X[..., one], parameters, outward[..., one])
        assert_allclose(of_one, of_X[..., one], atol=1e-12)
        for so_far, more in zip(total, own, strict=True):
            so_far += more
    for one, other in zip(total, found, strict=True):
        assert_allclose(one, other, atol=1e-12)


# ---- convolution layers --------------------------------------------------------------


@convolutions
def test_a_convolution_layer_convolves_adds_a_bias_activates_and_pools(case):
    # The documentation has the pooling before the activation; it must not matter.
    X, (kernels, bias), _ = case.draw()
    own = case.layer.convolution
    raw, _, _ = naive(own, X, kernels, np.zeros((*own.out_shape, 2)), case.layer.fill)
    if case.layer.shared_bias:
        raw += np.array([bias[f, 0, 0] for f in range(own.n_filters)])[:, None, None]
    else:
        raw += bias[:, :, :, 0][..., np.newaxis]
    expected = naive_max_pool(
        FORMULAS[case.layer.activation](raw), case.layer.pool_size
    )
    assert_allclose(case.forward(X, (kernels, bias)), expected, atol=1e-12)


@convolutions
def test_parameters_are_stored_once_for_all_or_at_each_location(case):
    own, layer = case.layer.convolution, case.layer
    kernels, bias = (int(np.prod(shape)) for shape in layer.shapes)
    each = own.n_filters * own.n_taps
    assert kernels == each * (1 if layer.shared else own.n_locations)
    assert bias == own.n_filters * (1 if layer.shared_bias else own.n_locations)


def moved(X, rows, columns):
    """Images moved down and to the right, with zeros behind."""
    out = np.zeros_like(X)
    out[rows:, :, columns:] = X[: len(X) - rows, :, : X.shape[2] - columns]
    return out


def whole_numbers(shape, seed=0):
    """Numbers whose sums and products are exact."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


def maps_before_and_after_a_move(layers, rows, columns):
    """The outputs of layers for images, and for these images moved."""
    X = whole_numbers((12, 2, 12, 3))
    X[-rows or 12 :], X[:, :, -columns or 12 :] = 0, 0  # Nothing is lost.
    parameters = [
        tuple(whole_numbers(shape, k) for shape in layer.shapes)
        for k, layer in enumerate(layers)
    ]
    network = Network(tuple(layers))
    return [
        network.forward(images.copy(), parameters, Scratch(used_arena()))[0].copy()
        for images in (X, moved(X, rows, columns))
    ]


def on_maps(size, channels, *, stride=1, pool=1, shared=True, bias=True, kernel=3):
    """A layer on square maps."""
    own = pooled(size, kernel, stride, "same", pool)
    return ConvolutionLayer(
        Convolution(own, own, channels, 3), (pool, pool), "relu", shared, bias
    )


MOVES = [(1, 0), (0, 1), (2, 1)]


@pytest.mark.parametrize(("rows", "columns"), MOVES)
@pytest.mark.parametrize("kernel", [1, 3])
def test_shared_kernels_move_their_maps_with_the_image(rows, columns, kernel):
    layers = [on_maps(12, 2, kernel=kernel), on_maps(12, 3, kernel=kernel)]
    before, after = maps_before_and_after_a_move(layers, rows, columns)
    # Two layers of kernels of three see padding from two places at the border.
    assert before[2:-2, :, 2:-2].any()
    assert_array_equal(
        after[2 + rows : -2, :, 2 + columns : -2],
        before[2 : -2 - rows, :, 2 : (-2 - columns)],
    )


@pytest.mark.parametrize(("stride", "pool"), [(2, 1), (1, 2), (3, 1), (2, 2)])
def test_maps_move_by_one_for_the_product_of_strides_and_pools(stride, pool):
    step = stride * pool
    layers = [on_maps(12, 2, stride=stride, pool=pool)]
    before, after = maps_before_and_after_a_move(layers, step, step)
    assert before[1:-2, :, 1:-2].any() or len(before) < 4
    assert_array_equal(after[2:-1, :, 2:-1], before[1:-2, :, 1:-2])


@pytest.mark.parametrize("stride", [2, 3])
def test_maps_do_not_follow_moves_shorter_than_the_stride(stride):
    before, after = maps_before_and_after_a_move([on_maps(12, 2, stride=stride)], 1, 1)
    assert (after[2:-1, :, 2:-1] != before[1:-2, :, 1:-2]).any()
    assert (after[1:-1, :, 1:-1] != before[1:-1, :, 1:-1]).any()


@pytest.mark.parametrize(("shared", "bias"), [(False, True), (True, False)])
def test_what_is_local_does_not_move_with_the_image(shared, bias):
    layers = [on_maps(12, 2, shared=shared, bias=bias)]
    before, after = maps_before_and_after_a_move(layers, 1, 0)
    assert (after[3:-2, :, 2:-2] != before[2:-3, :, 2:-2]).any()


# ---- pooling over all, flattening, dropout, connections ------------------------------


def test_global_pools_are_the_mean_and_the_maximum_of_a_channel():
    X = np.random.default_rng(0).normal(-10, size=(3, 2, 5, 4))
    for how, formula in (("mean", np.mean), ("max", np.max)):
        layer = GlobalPool((3, 2, 5), how)
        out, _ = layer.forward(X.copy(), (), Scratch())
        expected = [
            [
                formula([X[r, k, c, i] for r in range(3) for c in range(5)])
                for i in range(4)
            ]
            for k in range(2)
        ]
        assert out.shape == (1, 2, 1, 4)
        assert_allclose(out[0, :, 0], expected, rtol=1e-14)


def test_flatten_goes_by_row_column_and_channel():
    rows, channels, columns = 2, 3, 4
    X = np.random.default_rng(0).normal(size=(rows, channels, columns, 5))
    out, _ = Flatten((rows, channels, columns)).forward(X, (), Scratch())
    expected = [
        X[row, channel, column]
        for row in range(rows)
        for column in range(columns)
        for channel in range(channels)
    ]
    assert_array_equal(out, expected)


def dropped(share, n_units=200, n_images=500, seed=0, dtype=np.float64):
    """Inputs, none of them zero, what a dropout leaves of them, and the way back."""
    X = np.random.default_rng(1).uniform(1, 2, (n_units, n_images)).astype(dtype)
    scratch = Scratch(rng=np.random.default_rng(seed))
    out, backprop = Dropout(n_units, share).forward(X.copy(), (), scratch)
    return X, out, backprop


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_dropout_silences_a_share_and_strengthens_the_others(share):
    X, out, _ = dropped(share)
    silent = out == 0
    assert_allclose(out[~silent], X[~silent] / (1 - share), rtol=1e-14)
    # Five standard errors, of the share of silent units and so of the mean.
    error = 5 * np.sqrt(share * (1 - share) / X.size)
    assert abs(silent.mean() - share) < error
    assert abs((out / X).mean() - 1) < error / (1 - share)


def test_dropout_draws_for_every_unit_and_image():
    _, out, _ = dropped(0.5)
    silent = out == 0
    for along in (0, 1):
        shares = silent.mean(axis=along)
        assert np.ptp(shares) > 0
        assert np.abs(shares - 0.5).max() < 0.3


def test_dropout_lets_the_gradient_through_where_it_lets_the_signal():
    X, out, backprop = dropped(0.3)
    assert_allclose(backprop(np.ones_like(X), (), True) * X, out, rtol=1e-14)


def test_dropout_repeats_itself_by_its_generator():
    _, one, _ = dropped(0.5)
    _, same, _ = dropped(0.5)
    _, other, _ = dropped(0.5, seed=1)
    assert_array_equal(one, same)
    assert (one != other).any()


def test_dropout_of_nothing_drops_nothing():
    X, out, _ = dropped(0.0)
    assert_array_equal(out, X)


@dtypes
def test_dropout_is_the_identity_without_a_generator(dtype):
    X = np.random.default_rng(0).normal(size=(4, 3)).astype(dtype)
    out, backprop = Dropout(4, 0.9).forward(X.copy(), (), Scratch())
    assert_array_equal(out, X)
    assert_array_equal(backprop(X.copy(), (), True), X)


@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
def test_a_connected_layer_is_its_formula(activation):
    case = Case("", ConnectedLayer(5, 3, activation), (5,))
    X, (weights, bias), _ = case.draw(4)
    expected = [
        [weights[k] @ X[:, image] + bias[k, 0] for image in range(4)] for k in range(3)
    ]
    expected = FORMULAS[activation](np.array(expected))
    assert_allclose(case.forward(X, (weights, bias)), expected, rtol=1e-13)


# ---- networks ------------------------------------------------------------------------


def conv_layer(rows, columns, n_channels, n_filters, pool, shared, bias):
    """A layer with tanh for activation."""
    own = Convolution(
        pooled(*rows, pool[0]), pooled(*columns, pool[1]), n_channels, n_filters
    )
    return ConvolutionLayer(own, pool, "tanh", shared, bias)


def networks():
    """The kinds of networks that classifiers are made of, and the shape of an image."""
    first = conv_layer((7, 3, 1, "same"), (6, 3, 1, "same"), 1, 3, (2, 2), True, True)
    second = conv_layer(
        (3, 2, 1, "valid"), (3, 2, 2, "same"), 3, 2, (1, 1), False, False
    )
    flatten = Flatten(second.out_shape)
    (size,) = flatten.out_shape
    signal = conv_layer((1, 1, 1, "same"), (9, 5, 2, "same"), 1, 3, (1, 2), True, True)
    layers = {
        "convolutions": [
            *(first, second, flatten),
            *(ConnectedLayer(size, 4, "tanh"), ConnectedLayer(4, 3)),
        ],
        "mean of maps": [
            *(first, second, GlobalPool(second.out_shape, "mean")),
            *(Flatten((1, 2, 1)), ConnectedLayer(2, 3)),
        ],
        "maximum of maps": [
            *(first, GlobalPool(first.out_shape, "max")),
            *(Flatten((1, 3, 1)), ConnectedLayer(3, 2)),
        ],
        "dropout": [
            *(second, flatten, Dropout(size, 0.3)),
            *(ConnectedLayer(size, 4, "logistic"), Dropout(4, 0.5)),
            ConnectedLayer(4, 2),
        ],
        "a signal": [signal, Flatten(signal.out_shape), ConnectedLayer(6, 2)],
        "no convolution": [Flatten((2, 2, 3)), Dropout(12, 0.2), ConnectedLayer(12, 3)],
        "maps last": [first, second],
    }
    shapes = {"dropout": (3, 3, 3), "a signal": (1, 1, 9), "no convolution": (2, 2, 3)}
    return {
        name: (tuple(own), shapes.get(name, (7, 1, 6))) for name, own in layers.items()
    }


NETWORKS = networks()
each_network = pytest.mark.parametrize("name", NETWORKS)


class Passes:
    """Forward and backward passes of one network."""

    def __init__(self, name, n_images=2, dtype=np.float64):
        layers, in_shape = NETWORKS[name]
        self.network = Network(layers)
        rng = np.random.default_rng(1)

        def draw(shape):
            return rng.normal(size=shape).astype(dtype)

        self.X = draw((*in_shape, n_images))
        self.parameters = [
            tuple(draw(shape) for shape in layer.shapes) for layer in layers
        ]
        self.outward = draw((*layers[-1].out_shape, n_images))

    def zeros(self, start=0.0):
        return [tuple(np.full_like(p, start) for p in own) for own in self.parameters]

    def run(self, gradients, arena=None, images=slice(None)):
        """Add up gradients; return the outputs."""
        rng = np.random.default_rng(0)
        scratch = Scratch(used_arena() if arena is None else arena, rng)
        out, backprop = self.network.forward(
            self.X[..., images].copy(), self.parameters, scratch
        )
        result = out.copy()
        backprop(self.outward[..., images].copy(), gradients)
        return result


def flat(gradients):
    """The arrays of all layers."""
    return [array for own in gradients for array in own]


@each_network
def test_backprop_of_a_network_is_the_gradient(name):
    passes = Passes(name)
    gradients = passes.zeros()
    passes.run(gradients)
    for array, gradient in zip(flat(passes.parameters), flat(gradients), strict=True):

        def at(point, array=array):
            kept = array.copy()
            array[...] = point
            out, _ = passes.network.forward(
                passes.X.copy(),
                passes.parameters,
                Scratch(rng=np.random.default_rng(0)),
            )
            array[...] = kept
            return np.sum(passes.outward * out)

        expected = five_point(at, array.copy(), h=1e-4)
        assert np.abs(expected).max() > 0
        assert_allclose(gradient, expected, atol=1e-8)


@each_network
def test_a_network_adds_to_the_gradients_given(name):
    passes = Passes(name)
    first, again = passes.zeros(), passes.zeros(-2.0)
    passes.run(first)
    passes.run(again)
    passes.run(again)
    for one, other in zip(flat(first), flat(again), strict=True):
        assert_allclose(other, 2 * one - 2.0, atol=1e-12)


@each_network
def test_memory_that_was_used_before_changes_nothing(name):
    passes = Passes(name)
    fresh, found, arena = passes.zeros(), passes.zeros(), used_arena()
    out = passes.run(fresh, arena)
    arena.clear()
    arena.empty((20_000,), np.float64)[:] = np.nan
    arena.clear()
    assert_array_equal(passes.run(found, arena), out)
    for one, other in zip(flat(fresh), flat(found), strict=True):
        assert_array_equal(one, other)


#: Those without dropout, which draws other units for a tile than for the whole.
FIXED = [
    name
    for name, (layers, _) in NETWORKS.items()
    if not any(isinstance(layer, Dropout) for layer in layers)
]


@pytest.mark.parametrize("name", FIXED)
def test_tiles_add_up_to_all_images(name):
    passes = Passes(name, n_images=5)
    whole, tiles, arena = passes.zeros(), passes.zeros(), used_arena()
    out = passes.run(whole)
    for images in (slice(0, 2), slice(2, 4), slice(4, 5)):
        arena.clear()
        part = passes.run(tiles, arena, images)
        assert_allclose(part, out[..., images], atol=1e-12)
    for one, other in zip(flat(whole), flat(tiles), strict=True):
        assert_allclose(one, other, atol=1e-12)


@each_network
def test_a_network_keeps_float32(name):
    passes = Passes(name, dtype=np.float32)
    gradients = passes.zeros()
    assert passes.run(gradients).dtype == np.float32
    assert {array.dtype for array in flat(gradients)} == {np.dtype(np.float32)}


@each_network
def test_the_layers_with_weights_are_those_with_parameters(name):
    network = Passes(name).network
    kinds = [type(layer) for layer in network.layers_with_weights]
    with_weights = ConvolutionLayer, ConnectedLayer
    assert kinds == [type(la) for la in network.layers if isinstance(la, with_weights)]


@dataclass(frozen=True)
class Spy(Layer):
    """A layer that notes whether the gradient in its inputs is wanted."""

    inner: Layer
    wanted: list

    @property
    def out_shape(self):
        return self.inner.out_shape

    @property
    def shapes(self):
        return self.inner.shapes

    def forward(self, X, parameters, scratch):
        out, way = self.inner.forward(X, parameters, scratch)

        def backprop(gradient, gradients, wanted):
            self.wanted.append(wanted)
            return way(gradient, gradients, wanted)

        return out, backprop


@each_network
def test_no_gradient_is_computed_that_no_layer_needs(name):
    passes = Passes(name)
    spies = tuple(Spy(layer, []) for layer in passes.network.layers)
    passes.network = Network(spies)
    passes.run(passes.zeros())
    first = next(k for k, spy in enumerate(spies) if spy.shapes)
    expected = [[] if k < first else [k > first] for k in range(len(spies))]
    assert [spy.wanted for spy in spies] == expected


def test_parameters_for_every_layer_are_needed():
    passes = Passes("convolutions")
    with pytest.raises(ValueError, match="shorter"):
        passes.network.forward(passes.X, passes.parameters[:-1], Scratch())


# ---- PyTorch -------------------------------------------------------------------------


def to_torch(torch, array):
    return torch.tensor(array, dtype=torch.float64, requires_grad=True)


def torch_convolution(torch, layer, X, kernels, bias):
    """The layer by PyTorch's functions, on (images, channels, rows, columns)."""
    F, own = torch.nn.functional, layer.convolution
    ends = []
    for one in (own.columns, own.rows):  # F.pad begins at the last axis.
        padding = 0
        if one.padding == "same":
            n_out = -(-one.n_in // one.stride)
            padding = max((n_out - 1) * one.stride + one.kernel_size - one.n_in, 0)
        ends += [padding // 2, padding - padding // 2]
    maps = F.pad(X.permute(3, 1, 0, 2) - layer.fill, ends) + layer.fill
    taps, steps = (
        (getattr(own.rows, name), getattr(own.columns, name))
        for name in ("kernel_size", "stride")
    )
    rows, columns = own.rows.n_out, own.columns.n_out
    if layer.shared:
        weights = kernels.reshape(-1, *taps, own.n_channels).permute(0, 3, 1, 2)
        raw = F.conv2d(maps, weights, stride=steps)[:, :, :rows, :columns]
    else:
        patches = maps.unfold(2, taps[0], steps[0]).unfold(3, taps[1], steps[1])
        patches = patches[:, :, :rows, :columns]
        weights = kernels.reshape(rows, columns, -1, *taps, own.n_channels)
        raw = torch.einsum("bcrwij,rwfijc->bfrw", patches, weights)
    raw = raw + (
        bias.reshape(1, -1, 1, 1)
        if layer.shared_bias
        else bias[..., 0].permute(1, 0, 2).unsqueeze(0)
    )
    activate = {
        "identity": lambda maps: maps,
        "relu": torch.relu,
        "tanh": torch.tanh,
        "logistic": torch.sigmoid,
    }[layer.activation]
    out = activate(F.max_pool2d(raw, layer.pool_size))
    return out.permute(2, 1, 3, 0)


@convolutions
def test_a_convolution_layer_is_pytorchs(case):
    torch = pytest.importorskip("torch")
    X, parameters, outward = case.draw(n_images=3)
    layer = case.layer
    if not np.isscalar(layer.fill):
        layer = replace(layer, fill=-1.5)  # what F.pad can do
        case = replace(case, layer=layer)
    tensors = [to_torch(torch, array) for array in (X, *parameters)]
    expected = torch_convolution(torch, layer, *tensors)
    (expected * torch.tensor(outward)).sum().backward()
    assert_allclose(case.forward(X, parameters), expected.detach().numpy(), atol=1e-12)
    of_X, found = case.gradients(X, parameters, outward)
    for gradient, tensor in zip((of_X, *found), tensors, strict=True):
        assert_allclose(gradient, tensor.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("name", ["convolutions", "a signal"])
def test_a_network_is_pytorchs(name):
    torch = pytest.importorskip("torch")
    passes = Passes(name, n_images=3)
    tensors = [to_torch(torch, array) for array in flat(passes.parameters)]
    rest, flow = iter(tensors), torch.tensor(passes.X)
    for layer in passes.network.layers:
        if isinstance(layer, ConvolutionLayer):
            flow = torch_convolution(torch, layer, flow, next(rest), next(rest))
        elif isinstance(layer, Flatten):
            flow = flow.permute(0, 2, 1, 3).reshape(-1, 3)
        else:
            flow = next(rest) @ flow + next(rest)
            flow = torch.tanh(flow) if layer.activation == "tanh" else flow
    (flow * torch.tensor(passes.outward)).sum().backward()
    gradients = passes.zeros()
    assert_allclose(passes.run(gradients), flow.detach().numpy(), atol=1e-12)
    for gradient, tensor in zip(flat(gradients), tensors, strict=True):
        assert_allclose(gradient, tensor.grad.numpy(), atol=1e-12)


# ---- one cycle of the learning rate --------------------------------------------------


def test_one_cycle_stays_between_nothing_and_one():
    factors = np.array([one_cycle(done) for done in np.linspace(0, 1, 1001)])
    assert (factors > 0).all()
    assert factors.max() == 1
    assert factors[0] < 0.1
    assert factors[-1] < 1e-3


def test_one_cycle_peaks_at_a_quarter():
    assert one_cycle(0.25) == pytest.approx(1.0, abs=1e-15)
    rising = [one_cycle(done) for done in np.linspace(0, 0.25, 101)]
    falling = [one_cycle(done) for done in np.linspace(0.25, 1, 301)]
    assert (np.diff(rising) > 0).all()
    assert (np.diff(falling) < 0).all()


def test_one_cycle_makes_no_jump():
    factors = [one_cycle(done) for done in np.linspace(0, 1, 10_001)]
    # No steeper than half a cosine within a quarter of the training.
    assert np.abs(np.diff(factors)).max() < 2 * np.pi * 1e-4


# ---- stochastic solvers --------------------------------------------------------------

stochastic = pytest.mark.parametrize("solver", ["adam", "sgd"])


def sgd_by_the_formula(objective, batches, rates, p):
    """Nesterov's momentum: a look ahead along the velocity after each of its steps."""
    theta, velocity, losses = np.zeros(p), np.zeros(p), []
    for rows, rate in zip(batches, rates, strict=True):
        loss, gradient = objective(theta, rows)
        losses.append(loss)
        velocity = 0.9 * velocity - rate * gradient
        theta = theta + 0.9 * velocity - rate * gradient
    return theta, losses


def test_sgd_is_nesterovs_momentum():
    objective = LeastSquares(n=45, noise=0.3)
    trained = train("sgd", objective, max_iter=4, batch_size=20, learning_rate=0.02)
    asked = objective.asked[:]
    assert [len(rows) for rows in asked] == [20, 20, 5] * 4
    theta, losses = sgd_by_the_formula(objective, asked, [0.02] * 12, 3)
    assert_allclose(trained.theta, theta, rtol=1e-10)
    by_epoch = np.reshape(losses, (4, 3)) @ np.array([20, 20, 5]) / 45
    assert_allclose(trained.loss_curve, by_epoch, rtol=1e-10)


class Ramp:
    """A schedule that notes what it is asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, done):
        self.asked.append(done)
        return 1.0 - 0.5 * done


@stochastic
def test_a_schedule_is_asked_for_every_batch(solver):
    ramp = Ramp()
    train(solver, LeastSquares(n=50), max_iter=4, batch_size=20, schedule=ramp)
    assert_allclose(ramp.asked, np.arange(12) / 12)


def test_a_schedule_sets_the_learning_rate_of_sgd():
    objective, ramp = LeastSquares(n=50, noise=0.3), Ramp()
    trained = train("sgd", objective, max_iter=4, learning_rate=0.02, schedule=ramp)
    rates = [0.02 * (1 - 0.5 * k / 12) for k in range(12)]
    theta, _ = sgd_by_the_formula(objective, objective.asked[:], rates, 3)
    assert_allclose(trained.theta, theta, rtol=1e-10)


def test_a_schedule_sets_the_learning_rate_of_adam():
    objective = LeastSquares(noise=0.3)
    halved = train("adam", objective, max_iter=4, schedule=lambda done: 0.5)
    batches = objective.asked[:]
    theta, _ = adam_by_the_paper(objective, batches, 0.025, 3)
    assert_allclose(halved.theta, theta, rtol=1e-5)


@stochastic
@pytest.mark.parametrize("schedule", [None, one_cycle], ids=["constant", "one cycle"])
def test_training_by_either_rate_finds_a_known_minimum(solver, schedule):
    objective = LeastSquares()
    trained = train(solver, objective, max_iter=100, schedule=schedule)
    assert_allclose(trained.theta, objective.truth, atol=1e-3)


@stochastic
def test_without_shuffle_rows_come_in_their_order(solver):
    objective = LeastSquares(n=50)
    train(solver, objective, max_iter=3, batch_size=20, shuffle=False)
    assert_array_equal(np.concatenate(objective.asked), np.tile(np.arange(50), 3))


def go_on(solver, theta, objective, epochs, rng, **settings):
    return OPTIMIZERS[solver](
        objective,
        theta,
        tol=0.0,
        max_iter=epochs,
        after_step=keep_going,
        n_rows=50,
        batch_size=20,
        learning_rate=0.02,
        patience=np.inf,
        rng=rng,
        **settings,
    )


@stochastic
def test_an_optimizer_goes_on_where_it_was(solver):
    objective, start = LeastSquares(noise=0.3), np.zeros(3)
    at_once = go_on(solver, start, objective, 6, np.random.RandomState(0))
    rng = np.random.RandomState(0)
    half = go_on(solver, start, objective, 2, rng)
    there = half.theta.copy()
    rest = go_on(solver, half.theta, objective, 4, rng, optimizer=half.optimizer)
    assert_array_equal(rest.theta, at_once.theta)
    assert half.loss_curve + rest.loss_curve == at_once.loss_curve
    assert rest.optimizer is half.optimizer
    assert_array_equal(half.theta, there)


@stochastic
def test_without_its_optimizer_training_starts_anew(solver):
    objective, rng = LeastSquares(noise=0.3), np.random.RandomState(0)
    half = go_on(solver, np.zeros(3), objective, 2, rng)
    state = rng.get_state()
    rest = go_on(solver, half.theta, objective, 4, rng, optimizer=half.optimizer)
    rng.set_state(state)
    anew = go_on(solver, half.theta, objective, 4, rng)
    assert np.abs(rest.theta - anew.theta).max() > 1e-6


class Interrupted(LeastSquares):
    """The user ends the training during the given call of the objective."""

    def __init__(self, call, **settings):
        super().__init__(**settings)
        self.call = call

    def __call__(self, theta, rows):
        if len(self.asked) == self.call:
            raise KeyboardInterrupt
        return super().__call__(theta, rows)


def train_and_keep(solver, objective, after_step=keep_going, **settings):
    """Train; an interrupt that comes through would end the tests, not one of them."""
    try:
        return train(solver, objective, after_step, keep_on_interrupt=True, **settings)
    except KeyboardInterrupt:
        pytest.fail("the interrupt was not kept")


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_an_interrupt_ends_training_and_keeps_what_was_found(solver):
    diary = Diary()
    trained = train_and_keep(solver, Interrupted(7, p=8, noise=0.3), diary)
    assert trained.interrupted
    assert not trained.converged
    assert 0 < len(trained.loss_curve) == len(diary.entries)
    assert trained.loss_curve[-1] == diary.entries[-1][1]
    start, end = (
        LeastSquares(p=8, noise=0.3)(theta, None)[0]
        for theta in (np.zeros(8), trained.theta)
    )
    assert end < start


@stochastic
def test_an_interrupt_keeps_the_steps_of_the_epoch_begun(solver):
    # Two epochs of three batches, and one batch of the third.
    whole = LeastSquares(noise=0.3)
    train(solver, whole, max_iter=3)
    objective = Interrupted(7, noise=0.3)
    trained = train_and_keep(solver, objective, max_iter=3)
    assert len(trained.loss_curve) == 2
    batches = whole.asked[:7]
    if solver == "adam":
        theta, _ = adam_by_the_paper(whole, batches, 0.05, 3)
    else:
        theta, _ = sgd_by_the_formula(whole, batches, [0.05] * 7, 3)
    assert_allclose(trained.theta, theta, rtol=1e-5)


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_an_interrupt_at_once_keeps_the_start(solver):
    trained = train_and_keep(solver, Interrupted(0))
    assert trained.interrupted
    assert trained.loss_curve == []
    assert_array_equal(trained.theta, np.zeros(3))


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_an_interrupt_goes_to_the_caller_unless_kept(solver):
    with pytest.raises(KeyboardInterrupt):
        train(solver, Interrupted(4))


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_training_that_nobody_ended_is_not_interrupted(solver):
    assert not train_and_keep(solver, LeastSquares()).interrupted
