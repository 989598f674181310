"""The coordinates in which networks are tied: exact, and in reach at any strength."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator

from sktie import KMeansPrior, TiedMLPClassifier
from sktie.neural_network._tied_array import TiedArray
from tests.networks import X, Y, network, quietly

INF = np.inf
RNG = np.random.default_rng(0)
SHAPE = (2, 3, 4, 5)  # Locations in two axes, and a kernel of each.
W = RNG.normal(size=SHAPE)
ANCHOR = RNG.normal(size=SHAPE)
TIES = [0.0, 0.3, 40.0, INF]


def array(tie=0.0, tie_pair=None, shape=SHAPE, **more):
    found = TiedArray(shape, 0.2, tie, **more)
    if tie_pair is None:
        return found
    return found.tied_to(ANCHOR if shape == SHAPE else ANCHOR[0, 0], tie_pair)


def formula(own, W):
    """The penalty as the docstring has it."""
    value = own.alpha / 2 * own.n_locations * np.sum(W**2)
    if own.soft:
        value += own.tie / 2 * np.sum((W - W.mean(axis=(0, 1))) ** 2)
    if own.anchor is not None and own.tie_pair < INF:
        value += own.tie_pair / 2 * own.n_locations * np.sum((W - own.anchor) ** 2)
    return value


@pytest.mark.parametrize("tie_pair", [None, *TIES])
@pytest.mark.parametrize("tie", TIES[:3])
def test_coordinates_are_the_formula_and_their_inverse(tie, tie_pair):
    own = array(tie, tie_pair)
    V = own.locate(W)
    assert_allclose(own.weights(V), ANCHOR if tie_pair == INF else W, rtol=1e-12)
    pair = tie_pair or 0.0
    q, s = (1 + pair) ** -0.5, (1 + tie + pair) ** -0.5
    centre = np.zeros(SHAPE)
    if tie_pair is not None:
        share = 1.0 if pair == INF or tie == 0 else pair / (tie + pair)
        mean = ANCHOR.mean(axis=(0, 1))
        centre = mean + share * (ANCHOR - mean)
    mean = V.mean(axis=(0, 1))
    expected = centre + q * mean + s * (V - mean)
    assert_allclose(own.weights(V), expected, rtol=1e-12)


@pytest.mark.parametrize("tie_pair", [None, *TIES])
@pytest.mark.parametrize("tie", TIES)
def test_the_penalty_is_the_formula_and_its_gradient_exact(tie, tie_pair):
    shape = SHAPE[2:] if tie == INF else SHAPE
    own = array(tie, tie_pair, shape, n_locations=6 if tie == INF else 1)
    V = RNG.normal(size=shape)
    if tie_pair == INF:
        V[:] = 0
    value, gradient = own.penalty(V, own.weights(V))
    assert_allclose(value, formula(own, own.weights(V)), rtol=1e-12)
    move, step = RNG.normal(size=shape), 1e-4
    ahead, behind = (
        own.penalty(V + k * step * move, own.weights(V + k * step * move))[0]
        for k in (1, -1)
    )
    slope = (ahead - behind) / (2 * step)
    assert_allclose(np.sum(gradient * move), slope, rtol=1e-7, atol=1e-9)


def test_at_the_centre_the_ties_pull_no_more():
    own = TiedArray(SHAPE, 0.0, 3.0).tied_to(ANCHOR, 5.0)
    V = np.zeros(SHAPE)
    value, gradient = own.penalty(V, own.weights(V))
    assert_array_equal(gradient, 0)
    assert_allclose(value, formula(own, own.weights(V)), rtol=1e-12)


@pytest.mark.parametrize("tie_pair", [None, 0.0, 1e-300, 2.0, 1e300, INF])
@pytest.mark.parametrize("tie", [1e-320, 1e-12, 1e12, 1e300])
def test_no_strength_is_too_much_for_numbers(tie, tie_pair):
    own = array(tie, tie_pair)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        V = own.locate(W, (1.0, 1.0))
        value, gradient = own.penalty(V, own.weights(V))
    assert np.isfinite(own.weights(V)).all()
    assert np.isfinite(value)
    assert np.abs(gradient).max() < 10


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_kernels_have_no_deviations_however_fine_the_unit(dtype):
    equal = np.broadcast_to(RNG.normal(size=SHAPE[2:]).astype(dtype), SHAPE)
    V = array(1e300).locate(equal)
    assert np.ptp(V, axis=(0, 1)).max() == 0
    assert_allclose(V, equal, rtol=1e-6)


def test_units_are_no_finer_than_those_that_weights_had():
    weak, strong = array(3.0), array(99.0)
    assert_allclose(weak.units, (1, 0.5))
    assert_allclose(strong.units, (1, 0.1))
    # Where the tie is as it was, or weaker, weights are what they were.
    for own in (weak, array(0.5), array(0.0)):
        assert_allclose(own.weights(own.locate(W, weak.units)), W, rtol=1e-12)
    found = strong.weights(strong.locate(W, weak.units))
    mean = W.mean(axis=(0, 1))
    assert_allclose(found, mean + (W - mean) / 5, rtol=1e-12)


def test_biases_in_the_last_column_are_not_decayed():
    V = RNG.normal(size=(3, 4))
    own = TiedArray((3, 4), 0.2, biases=True)
    value, gradient = own.penalty(V, V)
    assert_allclose(value, 0.1 * np.sum(V[:, :-1] ** 2), rtol=1e-12)
    assert_allclose(gradient, 0.2 * V * [1, 1, 1, 0], rtol=1e-12)


# ---- what follows for networks -------------------------------------------------------


def spread(model):
    """How far kernels are from their mean."""
    return np.abs(model.coefs_[0] - model.coefs_[0].mean(axis=(0, 1))).max()


def least(**settings):
    """The loss that L-BFGS ends at, which needs no units."""
    settings |= {"solver": "lbfgs", "max_iter": 500, "activation": "tanh"}
    return quietly(network(**settings), X, Y).loss_


@pytest.mark.parametrize("tie", [100.0, 1e4, 1e8])
def test_a_warm_start_with_a_stronger_tie_gets_there(tie):
    settings = {"max_iter": 200, "activation": "tanh"}
    model = network(tie=0.0, warm_start=True, **settings).fit(X, Y)
    before = spread(model)
    loss = model.set_params(tie=tie).fit(X, Y).loss_
    assert loss < 1.2 * network(tie=tie, **settings).fit(X, Y).loss_
    assert spread(model) < before / 5


@pytest.mark.parametrize("tie", [100.0, 1e4, 1e8])
@pytest.mark.parametrize("tie_pair", [0.0, 1.0, 100.0])
def test_a_pair_that_shares_nothing_is_no_obstacle_to_a_tie(tie, tie_pair):
    settings = {"max_iter": 200, "activation": "tanh"}
    pair = network(tie=0.0, **settings).fit(X[::2] * 2 + 1, Y[::2])
    chosen = {"tie": tie, "tie_pair": tie_pair, "pair": pair}
    assert network(**settings, **chosen).fit(X, Y).loss_ < 0.1 + least(**chosen)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("tie", [1e20, 1e308])
def test_the_largest_numbers_are_ties(dtype, tie):
    settings = {"dtype": dtype, "max_iter": 20, "bias": "shared"}
    tied = network(tie=tie, **settings).fit(X, Y)
    shared = network(tie=INF, **settings).fit(X, Y)
    assert_allclose(tied.loss_, shared.loss_, rtol=1e-3)
    assert_allclose(tied.coefs_[0][1, 1], shared.coefs_[0], atol=1e-3)
    last = tied.loss_
    tied.set_params(warm_start=True, learning_rate_init=1e-6).fit(X, Y)
    assert_allclose(tied.loss_curve_[0], last, rtol=0.05)


@pytest.mark.parametrize("tie", [1e4, 1e8])
def test_hidden_units_tied_more_strongly_in_a_warm_start_get_there(tie):
    chosen = {"solver": "adam", "max_iter": 200, "random_state": 0}
    prior = FrozenEstimator(KMeansPrior(5, random_state=0).fit(X / 16))
    model = TiedMLPClassifier(prior, tie=0.0, warm_start=True, **chosen)
    quietly(model, X / 16, Y)
    before = model.tie_gap_
    quietly(model.set_params(tie=tie), X / 16, Y)
    anew = quietly(TiedMLPClassifier(prior, tie=tie, **chosen), X / 16, Y)
    assert model.tie_gap_ < before / 20
    assert model.loss_ < 1.1 * anew.loss_


def test_heads_can_be_tied_more_strongly_in_a_warm_start():
    domain = np.arange(len(X)) % 2
    chosen = {"max_iter": 200, "activation": "tanh"}
    model = network(tie_pair=0.0, warm_start=True, **chosen)
    model.fit(X, np.where(domain, 2 - Y, Y), sample_domain=domain)
    model.set_params(tie_pair=1e6).fit(X, Y, sample_domain=domain)
    heads = model.domain_coef_
    assert np.abs(heads[0] - heads[1]).max() < 1e-3
    assert model.loss_ < 1
