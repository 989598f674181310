"""sktie.nn: convolution, pooling and scratch memory against naive loops."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sktie.nn import Arena, Axis, Convolution
from sktie.nn._pooling import max_pool

PADDINGS = ["same", "valid"]


# ---- the oracles: loops, from the words of the documentation -------------------------


def places_seen(n_in, kernel_size, stride, padding):
    """For every output the places of the inputs that its taps see, padding too."""
    if padding == "valid":
        starts = range(0, n_in - kernel_size + 1, stride)
    else:
        n_out = int(np.ceil(n_in / stride))
        padded = max((n_out - 1) * stride + kernel_size - n_in, 0)
        before = padded // 2  # The odd one is at the end.
        starts = [k * stride - before for k in range(n_out)]
    return [[start + tap for tap in range(kernel_size)] for start in starts]


def places_of(axis):
    """The same for the outputs that are computed."""
    seen = places_seen(axis.n_in, axis.kernel_size, axis.stride, axis.padding)
    return seen[: axis.n_out]


def naive(convolution, X, kernels, outward, fill=0.0):
    """The outputs, and the gradients of sum(outward * outputs), tap by tap."""
    rows, columns = places_of(convolution.rows), places_of(convolution.columns)
    n_channels, n_images = convolution.n_channels, X.shape[-1]
    fill = np.broadcast_to(np.ravel(fill), n_channels)
    Y = np.zeros((len(rows), convolution.n_filters, len(columns), n_images))
    of_X, of_kernels = np.zeros_like(X), np.zeros_like(kernels)
    for r, f, c, image in np.ndindex(Y.shape):
        kernel = (f,) if kernels.ndim == 2 else (r, c, f)
        tap = 0
        for row in rows[r]:
            for column in columns[c]:
                for channel in range(n_channels):
                    at, pixel = (*kernel, tap), (row, channel, column, image)
                    inside = 0 <= row < X.shape[0] and 0 <= column < X.shape[2]
                    value = X[pixel] if inside else fill[channel]
                    Y[r, f, c, image] += kernels[at] * value
                    of_kernels[at] += outward[r, f, c, image] * value
                    if inside:
                        of_X[pixel] += outward[r, f, c, image] * kernels[at]
                    tap += 1
    return Y, of_X, of_kernels


def naive_max_pool(Y, size):
    """The maxima of the windows."""
    n_rows, n_columns = Y.shape[0] // size[0], Y.shape[2] // size[1]
    out = np.full((n_rows, Y.shape[1], n_columns, Y.shape[3]), -np.inf)
    for r, f, c, image in np.ndindex(Y.shape):
        window = r // size[0], f, c // size[1], image
        out[window] = max(out[window], Y[r, f, c, image])
    return out


# ---- cases ---------------------------------------------------------------------------


def axis(n_in, kernel_size=1, stride=1, padding="same", n_out=None):
    """An axis with all its outputs, or the first `n_out` of them."""
    every = len(places_seen(n_in, kernel_size, stride, padding))
    return Axis(n_in, kernel_size, stride, padding, every if n_out is None else n_out)


def used_arena():
    """Memory that lies ready, full of what must not be read."""
    arena = Arena()
    for _ in range(2):
        arena.empty((20_000,), np.float64)[:] = np.nan
        arena.clear()
    return arena


@dataclass(frozen=True)
class Case:
    """A convolution, its inputs and the gradient in its outputs."""

    convolution: Convolution
    n_images: int = 2
    shared: bool = True
    fill: np.ndarray | float = 0.0
    seed: int = 0

    def draw(self):
        own, rng = self.convolution, np.random.default_rng(self.seed)
        places = () if self.shared else (own.rows.n_out, own.columns.n_out)
        X = rng.normal(size=(*own.in_shape, self.n_images))
        kernels = rng.normal(size=(*places, own.n_filters, own.n_taps))
        return X, kernels, rng.normal(size=(*own.out_shape, self.n_images))

    def check(self):
        """Compare with the loops."""
        X, kernels, outward = self.draw()
        expected = naive(self.convolution, X, kernels, outward, self.fill)
        Y, backprop = self.convolution.forward(X, kernels, used_arena(), self.fill)
        of_kernels = np.zeros_like(kernels)
        assert_allclose(Y, expected[0], atol=1e-12)
        of_X = backprop(outward.copy(), of_kernels, True)
        assert_allclose(of_X, expected[1], atol=1e-12)
        assert_allclose(of_kernels, expected[2], atol=1e-12)


def convolution(rows, columns, n_channels=2, n_filters=3):
    return Convolution(rows, columns, n_channels, n_filters)


CONVOLUTIONS = {
    "same": convolution(axis(4, 3), axis(5, 3)),
    "valid": convolution(axis(4, 3, 1, "valid"), axis(5, 3, 1, "valid")),
    "even kernels": convolution(axis(4, 2), axis(5, 4)),
    "strides on odd sizes": convolution(axis(5, 3, 2), axis(7, 3, 3)),
    "strides on even sizes": convolution(axis(4, 3, 2), axis(6, 5, 2)),
    "valid strides": convolution(axis(6, 3, 2, "valid"), axis(7, 2, 3, "valid")),
    "strides beyond the kernel": convolution(axis(7, 1, 3), axis(8, 2, 3, "valid")),
    "kernels beyond the image": convolution(axis(2, 5), axis(3, 4, 2)),
    "kernels far beyond the image": convolution(axis(3, 9, 2), axis(2, 7), 1, 1),
    "kernels of one pixel": convolution(axis(3), axis(4)),
    "kernels of the whole image": convolution(
        axis(4, 4, 1, "valid"), axis(3, 3, 1, "valid")
    ),
    "each axis its own": convolution(axis(4, 2, 1, "valid"), axis(5, 5, 2)),
    "one pixel": convolution(axis(1, 3), axis(1, 5)),
    "one pixel, strides": convolution(axis(1, 2, 3), axis(1, 1, 2, "valid")),
    "one row": convolution(axis(1), axis(9, 5, 2)),
    "one row, valid": convolution(axis(1), axis(9, 4, 1, "valid")),
    "one column": convolution(axis(6, 3), axis(1)),
    "one channel, one filter": convolution(axis(3, 3), axis(4, 3), 1, 1),
    "many channels": convolution(axis(3, 2), axis(3, 3), 5, 1),
    "whole windows": convolution(axis(5, 3, 1, "same", 4), axis(5, 3, 1, "same", 3)),
    "whole windows, strides": convolution(
        axis(9, 3, 2, "same", 4), axis(8, 3, 3, "same", 2)
    ),
    "whole windows, valid": convolution(
        axis(5, 2, 1, "valid", 2), axis(7, 3, 2, "valid", 2)
    ),
}
every = pytest.mark.parametrize("name", CONVOLUTIONS)
sharing = pytest.mark.parametrize("shared", [True, False], ids=["shared", "local"])
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])

PER_CHANNEL = np.array([0.5, -2.0, 3.0, 0.0, 1.0]).reshape(-1, 1, 1)


@st.composite
def axes(draw):
    """Any axis with at least one output, all of them computed or the first few."""
    n_in, stride = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    padding = draw(st.sampled_from(PADDINGS))
    kernel_size = draw(st.integers(1, 7 if padding == "same" else min(n_in, 5)))
    n_out = len(places_seen(n_in, kernel_size, stride, padding))
    return Axis(n_in, kernel_size, stride, padding, draw(st.integers(1, n_out)))


# ---- an axis -------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_gives_an_output_for_every_stride_begun(stride):
    for n_in, kernel_size in itertools.product(range(1, 9), range(1, 6)):
        n_out = Axis.outputs(n_in, kernel_size, stride, "same")
        assert n_out == len(range(0, n_in, stride))


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_valid_gives_an_output_wherever_the_kernel_fits(stride):
    for n_in, kernel_size in itertools.product(range(1, 9), range(1, 6)):
        fits = [k for k in range(0, n_in, stride) if k + kernel_size <= n_in]
        if fits:
            n_out = Axis.outputs(n_in, kernel_size, stride, "valid")
            assert n_out == len(fits)
            assert Axis(n_in, kernel_size, stride, "valid", n_out).before == 0


@pytest.mark.parametrize(
    ("n_in", "kernel_size", "stride", "before"),
    [
        (5, 3, 1, 1),  # one at both ends
        (5, 2, 1, 0),  # one, at the end
        (5, 4, 1, 1),  # one before, two after
        (4, 3, 2, 0),  # one, at the end: the ESL nets' 16 to 8
        (5, 3, 2, 1),
        (1, 5, 1, 2),
        (1, 5, 3, 2),
        (6, 1, 2, 0),  # the stride leaves inputs out; nothing is padded
        (8, 2, 3, 0),
    ],
)
def test_the_odd_zero_comes_at_the_end(n_in, kernel_size, stride, before):
    assert axis(n_in, kernel_size, stride).before == before


def test_leaving_outputs_out_moves_no_kernel():
    every = axis(9, 3, 2)
    assert axis(9, 3, 2, "same", 2).before == every.before


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_tap_sees_the_inputs_of_the_naive_loops(stride, padding):
    for n_in, kernel_size in itertools.product(range(1, 7), range(1, 9)):
        n_out = len(places_seen(n_in, kernel_size, stride, padding))
        for some, tap in itertools.product(range(1, n_out + 1), range(kernel_size)):
            one = Axis(n_in, kernel_size, stride, padding, some)
            outputs, inputs = one.seen[tap]
            found = zip(range(some)[outputs], range(n_in)[inputs], strict=True)
            expected = [
                (k, places[tap])
                for k, places in enumerate(places_of(one))
                if 0 <= places[tap] < n_in
            ]
            assert list(found) == expected


@given(axes())
def test_n_padded_is_from_the_first_tap_to_the_last(one):
    places = places_of(one)
    assert one.n_padded == places[-1][-1] - places[0][0] + 1


# ---- convolution ---------------------------------------------------------------------


def signal(values, kernel, stride, padding):
    """The correlation of a signal with a kernel, as a list."""
    own = convolution(
        axis(1), axis(len(values), len(kernel), stride, padding), n_channels=1
    )
    X = np.reshape(values, (1, 1, -1, 1)).astype(float)
    kernels = np.tile(np.array(kernel, dtype=float), (3, 1))
    Y, _ = own.forward(X, kernels, used_arena())
    assert_array_equal(Y[0, 0], Y[0, 2])
    return Y[0, 0, :, 0].tolist()


def test_kernels_are_not_flipped():
    assert signal([1, 10, 100], [1, 2, 3], 1, "valid") == [321]


def test_same_puts_zeros_around():
    assert signal([1, 10, 100], [1, 2, 3], 1, "same") == [32, 321, 210]
    assert signal([1, 10, 100, 1000], [1, 2, 3], 2, "same") == [321, 2100]
    assert signal([1, 10, 100], [1, 2], 1, "same") == [21, 210, 100]


@every
@sharing
def test_a_convolution_is_the_naive_loops(name, shared):
    Case(CONVOLUTIONS[name], shared=shared).check()


@every
@sharing
def test_a_batch_of_one_is_the_naive_loops(name, shared):
    Case(CONVOLUTIONS[name], n_images=1, shared=shared, seed=1).check()


@every
@sharing
def test_padding_is_filled_by_the_value_of_its_channel(name, shared):
    own = CONVOLUTIONS[name]
    Case(own, shared=shared, fill=PER_CHANNEL[: own.n_channels]).check()


@pytest.mark.parametrize("fill", [1.5, -3])
def test_padding_may_be_one_value(fill):
    Case(CONVOLUTIONS["even kernels"], fill=fill).check()


@given(
    rows=axes(),
    columns=axes(),
    n_channels=st.integers(1, 3),
    n_filters=st.integers(1, 2),
    n_images=st.integers(1, 2),
    shared=st.booleans(),
    filled=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_convolution_is_the_naive_loops(
    rows, columns, n_channels, n_filters, n_images, shared, filled, seed
):
    own = Convolution(rows, columns, n_channels, n_filters)
    fill = PER_CHANNEL[:n_channels] if filled else 0.0
    Case(own, n_images, shared, fill, seed).check()


@every
def test_shapes_are_those_of_the_arrays(name):
    own = CONVOLUTIONS[name]
    X, kernels, _ = Case(own).draw()
    Y, _ = own.forward(X, kernels, used_arena())
    assert Y.shape == (*own.out_shape, 2)
    assert own.n_locations == Y.shape[0] * Y.shape[2]
    size = own.rows.kernel_size * own.columns.kernel_size * own.n_channels
    assert own.n_taps == size


@every
def test_the_same_kernel_everywhere_is_a_shared_one(name):
    own = CONVOLUTIONS[name]
    X, kernel, outward = Case(own).draw()
    one_each = np.broadcast_to(
        kernel, (own.rows.n_out, own.columns.n_out, *kernel.shape)
    )
    found = []
    for kernels in (kernel, one_each.copy()):
        Y, backprop = own.forward(X, kernels, used_arena())
        gradient = np.zeros_like(kernels)
        of_X = backprop(outward.copy(), gradient, True)
        found.append((Y, of_X, gradient))
    (Y, of_X, gradient), (local_Y, local_of_X, local) = found
    assert_allclose(local_Y, Y, atol=1e-12)
    assert_allclose(local_of_X, of_X, atol=1e-12)
    assert_allclose(local.sum(axis=(0, 1)), gradient, atol=1e-12)


@every
@sharing
def test_gradients_in_kernels_are_added(name, shared):
    own = CONVOLUTIONS[name]
    X, kernels, outward = Case(own, shared=shared).draw()
    found = []
    for start in (0.0, 7.0):
        _, backprop = own.forward(X, kernels, used_arena())
        gradient = np.full_like(kernels, start)
        backprop(outward.copy(), gradient, True)
        found.append(gradient)
    assert_allclose(found[1], found[0] + 7.0, atol=1e-12)


@sharing
def test_the_gradient_in_the_images_is_none_where_not_wanted(shared):
    own = CONVOLUTIONS["strides on odd sizes"]
    X, kernels, outward = Case(own, shared=shared).draw()
    _, backprop = own.forward(X, kernels, used_arena())
    gradient = np.zeros_like(kernels)
    assert backprop(outward.copy(), gradient, False) is None
    assert_allclose(gradient, naive(own, X, kernels, outward)[2], atol=1e-12)


@every
@sharing
@dtypes
def test_a_convolution_keeps_the_dtype(name, shared, dtype):
    own = CONVOLUTIONS[name]
    X, kernels, outward = (
        array.astype(dtype) for array in Case(own, shared=shared).draw()
    )
    fill = PER_CHANNEL[: own.n_channels]  # float64
    assert own.unfold(X, used_arena(), fill).dtype == dtype
    Y, backprop = own.forward(X, kernels, used_arena(), fill)
    assert Y.dtype == dtype
    assert backprop(outward, np.zeros_like(kernels), True).dtype == dtype


@sharing
def test_float32_is_as_exact_as_float32_is(shared):
    own = CONVOLUTIONS["even kernels"]
    X, kernels, outward = Case(own, shared=shared).draw()
    expected = naive(own, X, kernels, outward)
    Y, backprop = own.forward(
        X.astype(np.float32), kernels.astype(np.float32), used_arena()
    )
    gradient = np.zeros_like(kernels, np.float32)
    of_X = backprop(outward.astype(np.float32), gradient, True)
    for found, exact in zip((Y, of_X, gradient), expected, strict=True):
        assert_allclose(found, exact, atol=1e-4)


@sharing
def test_images_that_do_not_lie_in_one_piece_give_the_same(shared):
    own = CONVOLUTIONS["same"]
    X, kernels, outward = Case(own, n_images=4, shared=shared).draw()
    expected = naive(own, X[..., ::2], kernels, outward[..., ::2])
    Y, backprop = own.forward(X[..., ::2], kernels, used_arena())
    gradient = np.zeros_like(kernels)
    of_X = backprop(outward[..., ::2], gradient, True)
    for found, exact in zip((Y, of_X, gradient), expected, strict=True):
        assert_allclose(found, exact, atol=1e-12)


# ---- unfolding -----------------------------------------------------------------------


def padded(own, X, fill):
    """Images with whatever the outputs see around them, by row and column."""

    def pixel(row, channel, column):
        inside = 0 <= row < X.shape[0] and 0 <= column < X.shape[2]
        return X[row, channel, column] if inside else np.full(X.shape[3], fill[channel])

    return pixel


@every
@sharing
def test_windows_hold_what_each_output_sees(name, shared):
    own = CONVOLUTIONS[name]
    fill = PER_CHANNEL[: own.n_channels]
    X, _, _ = Case(own).draw()
    windows = own.windows(own.unfold(X, used_arena(), fill), shared)
    rows, columns = places_of(own.rows), places_of(own.columns)
    if shared:
        assert windows.shape == (len(rows), own.n_taps, len(columns) * 2)
        windows = windows.reshape(len(rows), own.n_taps, len(columns), 2)
        windows = windows.swapaxes(1, 2)
    assert windows.shape == (len(rows), len(columns), own.n_taps, 2)
    pixel = padded(own, X, fill.ravel())
    for r, c in np.ndindex(windows.shape[:2]):
        seen = [
            pixel(row, channel, column)
            for row in rows[r]
            for column in columns[c]
            for channel in range(own.n_channels)
        ]
        assert_array_equal(windows[r, c], seen)


@every
@sharing
def test_windows_are_no_copy(name, shared):
    own = CONVOLUTIONS[name]
    X, _, _ = Case(own).draw()
    unfolded = own.unfold(X, used_arena())
    windows = own.windows(unfolded, shared)
    before = windows.copy()
    assert np.may_share_memory(windows, unfolded)
    assert not windows.flags.writeable
    unfolded += 1
    assert_array_equal(windows, before + 1)


def dot(one, other):
    return float(np.sum(one * other))


@every
def test_fold_is_the_adjoint_of_unfold(name):
    own, rng = CONVOLUTIONS[name], np.random.default_rng(3)
    X, _, _ = Case(own).draw()
    kernel = own.rows.kernel_size, own.columns.kernel_size, own.n_channels
    shape = own.rows.n_out, *kernel, own.columns.n_out, 2
    patches = rng.normal(size=shape)
    unfolded = own.windows(own.unfold(X, used_arena()), True).reshape(shape)
    folded = own.fold(patches, used_arena())
    assert folded.shape == X.shape
    assert_allclose(dot(folded, X), dot(patches, unfolded), rtol=1e-12)


def test_fold_counts_the_outputs_that_see_a_pixel():
    own = convolution(axis(1), axis(5, 3, 1, "valid"), n_channels=1)
    counts = own.fold(np.ones((1, 1, 3, 1, 3, 1)), used_arena())
    assert counts.ravel().tolist() == [1, 2, 3, 2, 1]


# ---- pooling -------------------------------------------------------------------------

SIZES = [(1, 1), (2, 2), (3, 3), (2, 1), (1, 3), (3, 2), (6, 6)]
sizes = pytest.mark.parametrize("size", SIZES, ids=str)


@sizes
def test_max_pool_is_the_naive_loops(size):
    # Far below zero: a maximum that starts from zero would show.
    Y = np.random.default_rng(0).normal(-10.0, size=(6, 3, 6, 2))
    out, _ = max_pool(Y.copy(), size, used_arena())
    assert_array_equal(out, naive_max_pool(Y, size))


def check_one_place_each(Y, size):
    """The gradient of a window goes to one of its largest values, to the first."""
    out, backprop = max_pool(Y.copy(), size, used_arena())
    assert_array_equal(out, naive_max_pool(Y, size))
    outward = np.random.default_rng(1).uniform(1, 2, out.shape)
    inward = backprop(outward.copy())
    assert inward.shape == Y.shape
    for r, f, c, image in np.ndindex(out.shape):
        rows = slice(r * size[0], (r + 1) * size[0])
        columns = slice(c * size[1], (c + 1) * size[1])
        values, gradient = Y[rows, f, columns, image], inward[rows, f, columns, image]
        ((row, column),) = np.argwhere(gradient)
        assert gradient[row, column] == outward[r, f, c, image]
        largest = values == values.max()
        assert largest[row, column]
        assert largest[: row + 1, : column + 1].sum() == 1, "none comes before it"


@sizes
def test_the_gradient_goes_to_the_largest(size):
    check_one_place_each(np.random.default_rng(0).normal(size=(6, 3, 6, 2)), size)


@sizes
def test_of_equal_values_the_first_gets_the_gradient(size):
    Y = np.random.default_rng(0).integers(0, 2, (6, 3, 6, 2)).astype(float)
    check_one_place_each(Y, size)


@sizes
def test_a_constant_window_gives_its_first_place_the_gradient(size):
    Y = np.full((6, 1, 6, 1), 3.0)
    out, backprop = max_pool(Y, size, used_arena())
    inward = backprop(np.ones_like(out))
    expected = np.zeros((6, 1, 6, 1))
    expected[:: size[0], :, :: size[1]] = 1
    assert_array_equal(inward, expected)


@given(
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    windows=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    values=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_any_max_pool_gives_each_gradient_one_place(size, windows, values, seed):
    shape = windows[0] * size[0], 2, windows[1] * size[1], 2
    Y = np.random.default_rng(seed).integers(-values, 1, shape).astype(float)
    check_one_place_each(Y, size)


@sizes
@dtypes
def test_max_pool_keeps_the_dtype(size, dtype):
    out, backprop = max_pool(np.ones((6, 1, 6, 1), dtype), size, used_arena())
    assert out.dtype == dtype
    assert backprop(np.ones_like(out)).dtype == dtype


# ---- scratch memory ------------------------------------------------------------------

REQUESTS = [
    ((3, 5), np.float64),
    ((7,), bool),
    ((2, 3, 1), np.float32),
    ((), np.float64),
    ((0, 4), np.float32),
    ((1,), np.int64),
    ((33, 2), np.float32),
]


def take(arena, requests):
    """Arrays, each filled with a number of its own."""
    arrays = [arena.empty(shape, dtype) for shape, dtype in requests]
    for k, array in enumerate(arrays):
        array[...] = k % 2 if array.dtype == bool else k
    return arrays


def check_each_keeps_its_own(arrays, requests):
    for k, (array, (shape, dtype)) in enumerate(zip(arrays, requests, strict=True)):
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert (array == (k % 2 if array.dtype == bool else k)).all()


def where(array):
    return array.__array_interface__["data"][0]


def addresses(arena, times=1):
    """Where the arrays of REQUESTS lie; those that are empty lie nowhere."""
    return [where(array) for array in take(arena, REQUESTS * times) if array.size]


def test_arrays_of_an_arena_are_apart():
    arena = Arena()
    for _ in range(3):
        check_each_keeps_its_own(take(arena, REQUESTS), REQUESTS)
        arena.clear()


def test_arrays_of_an_arena_begin_at_a_cache_line():
    assert not any(address % 64 for address in addresses(used_arena()))


def test_what_was_given_back_is_handed_out_again():
    arena = Arena()
    take(arena, REQUESTS)
    arena.clear()
    first = addresses(arena)
    arena.clear()
    assert addresses(arena) == first


def test_after_one_round_all_arrays_fit():
    # In order, next to each other, and with nothing lost but to begin at cache lines.
    arena = Arena()
    take(arena, REQUESTS)
    arena.clear()
    arrays = [array for array in take(arena, REQUESTS) if array.size]
    for before, after in itertools.pairwise(arrays):
        assert 0 <= where(after) - where(before) - before.nbytes < 64


def test_an_arena_grows_and_leaves_what_it_handed_out():
    arena = Arena()
    for rounds in range(1, 4):
        requests = REQUESTS * 4**rounds
        check_each_keeps_its_own(take(arena, requests), requests)
        arena.clear()
    arrays = take(arena, requests)
    check_each_keeps_its_own(arrays, requests)
    span = where(arrays[-1]) - where(arrays[0])
    assert span < sum(array.nbytes + 64 for array in arrays)


def test_a_small_round_does_not_shrink_an_arena():
    arena = Arena()
    take(arena, REQUESTS * 9)
    arena.clear()
    large = addresses(arena, 9)
    arena.clear()
    take(arena, REQUESTS)
    arena.clear()
    assert addresses(arena, 9) == large


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.lists(st.integers(0, 6), max_size=3).map(tuple),
                st.sampled_from([np.float32, np.float64, np.bool_]),
            ),
            max_size=6,
        ),
        max_size=4,
    )
)
def test_whatever_is_asked_for_arrays_are_apart(rounds):
    arena = Arena()
    for requests in rounds:
        check_each_keeps_its_own(take(arena, requests), requests)
        arena.clear()
