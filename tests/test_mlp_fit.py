"""TiedMLPClassifier: the limits of its ties, and what fit does and leaves."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.base import clone
from sklearn.datasets import make_blobs, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from sktie import AutoencoderPrior, KMeansPrior, TiedMLPClassifier, _compat
from sktie.model_selection import LabeledSplit
from sktie.neural_network._objective import NetworkLoss

INF = np.inf
N = 90
K = 6


def make_data(n_classes):
    X, y = make_blobs(N, 4, centers=9, cluster_std=1.5, random_state=1)
    return X / 5, y % n_classes


@pytest.fixture(params=[2, 3], ids=["binary", "multinomial"])
def data(request):
    return make_data(request.param)


WEIGHT = np.random.default_rng(0).uniform(0.3, 3.0, size=N)
KMEANS = KMeansPrior(K, random_state=0)
PRIORS = {"k-means": KMEANS} | {
    activation: AutoencoderPrior(K, activation=activation, random_state=0)
    for activation in ["softmax", "relu", "tanh", "identity"]
}


def network(pair=None, **settings):
    """A model with little of what makes minima hard to find."""
    chosen = {"hidden_units": 5, "activation": "tanh", "alpha": 0.3, "random_state": 0}
    chosen |= settings
    return TiedMLPClassifier(pair, **chosen)


def frozen(X, prior=KMEANS, weight=None):
    return FrozenEstimator(clone(prior).fit(X, None, weight))


def briefly(model, *args, max_iter=1, **kwargs):
    """Fit for a few iterations."""
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        return model.set_params(max_iter=max_iter).fit(*args, **kwargs)


def quietly(model, *args, **kwargs):
    """Fit, whether or not it converges: what is exactly equal is so at any time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*args, **kwargs)


def soft_codes(prior, X):
    return (
        prior.predict_proba(X)
        if hasattr(prior, "predict_proba")
        else prior.transform(X)
    )


def parameters(model):
    return [*model.coefs_, *model.intercepts_]


def assert_same_model(a, b):
    """Every number of the two models is the same."""
    for mine, other in zip(parameters(a), parameters(b), strict=True):
        assert_array_equal(mine, other)
    assert a.loss_curve_ == b.loss_curve_


def assert_different_model(a, b):
    assert np.abs(a.coefs_[0] - b.coefs_[0]).max() > 1e-6


# ---- the limits of the ties ----------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", list(PRIORS))
def test_a_frozen_encoder_is_logistic_regression_on_its_codes(data, name, weighted):
    X, y = data
    weight, class_weight = (WEIGHT, {0: 2.0, 1: 0.5}) if weighted else (None, None)
    model = network(PRIORS[name], tie=INF, tol=1e-9, class_weight=class_weight)
    model.fit(X, y, weight)
    codes = soft_codes(model.prior_, X)
    linear = LogisticRegression(
        C=1 / model.alpha, tol=1e-9, max_iter=10_000, class_weight=class_weight
    ).fit(codes, y, weight)
    assert_allclose(model.predict_proba(X), linear.predict_proba(codes), atol=1e-5)
    assert_allclose(model.coefs_[1].T, linear.coef_, atol=1e-3)
    assert_allclose(model.intercepts_[1], linear.intercept_, atol=1e-3)
    assert_array_equal(model.coefs_[0], model.prior_.coef_.T)
    assert_array_equal(model.intercepts_[0], model.prior_.intercept_)
    assert model.tie_gap_ == 0
    assert model.activation_ == model.prior_.activation


def test_the_output_layer_of_a_frozen_encoder_has_the_weight_of_alpha(data):
    X, y = data
    pair = frozen(X)
    codes = pair.predict_proba(X)
    for alpha in [0.01, 10.0]:
        model = network(pair, tie=INF, alpha=alpha, tol=1e-9).fit(X, y)
        linear = LogisticRegression(C=1 / alpha, tol=1e-9, max_iter=10_000)
        expected = linear.fit(codes, y).predict_proba(codes)
        assert_allclose(model.predict_proba(X), expected, atol=1e-5)


@pytest.mark.parametrize("name", list(PRIORS))
def test_untied_training_starts_at_the_encoder_and_ends_lower(data, name):
    X, y = data
    pair = frozen(X, PRIORS[name])
    kept = network(pair, tie=INF).fit(X, y)
    start = briefly(network(pair, tie=0.0), X, y)
    # The output layer is silent: decay alone moves the hidden layer, by a step.
    encoder = pair.estimator.coef_.T
    assert 0 < np.abs(start.coefs_[0] - encoder).max() < 0.05 * np.abs(encoder).max()
    assert np.abs(start.coefs_[1]).max() > 0
    free = quietly(network(pair, tie=0.0, max_iter=200), X, y)
    assert free.loss_ < kept.loss_ - 1e-3
    assert free.tie_gap_ > 0.1


@pytest.mark.parametrize("name", ["k-means", "tanh"])
def test_no_tie_is_the_network_without_a_pair_from_the_same_start(data, name):
    X, y = data
    pair = frozen(X, PRIORS[name])
    prior = pair.estimator
    tied = network(pair, tie=0.0, alpha=0.5).fit(X, y)
    free = network(
        hidden_units=K, activation=prior.activation, alpha=0.5, warm_start=True
    )
    briefly(free, X, y)
    free.coefs_[0][:] = prior.coef_.T
    free.intercepts_[0][:] = prior.intercept_
    free.coefs_[1][:] = 0.0
    free.intercepts_[1][:] = 0.0
    free.set_params(max_iter=1000).fit(X, y)
    assert_allclose(free.loss_curve_[:5], tied.loss_curve_[:5], rtol=1e-6)
    assert_allclose(free.loss_, tied.loss_, rtol=1e-6)
    assert_allclose(free.predict_proba(X), tied.predict_proba(X), atol=1e-3)


def test_the_loss_at_the_minimum_grows_with_the_tie(data):
    X, y = data
    pair = frozen(X)
    ties = [0.3, 3.0, 30.0, 300.0, INF]
    models = [network(pair, tie=tie).fit(X, y) for tie in ties]
    assert (np.diff([model.loss_ for model in models]) > 0).all()
    assert (np.diff([model.tie_gap_ for model in models]) < 0).all()


@pytest.mark.parametrize("name", ["k-means", "tanh"])
def test_the_gap_shrinks_like_one_over_the_tie(data, name):
    X, y = data
    pair = frozen(X, PRIORS[name])
    gaps = [
        network(pair, tie=tie, tol=1e-11).fit(X, y).tie_gap_ * tie
        for tie in [1e4, 1e5, 1e6]
    ]
    assert_allclose(gaps, gaps[-1], rtol=0.02)
    assert gaps[-1] > 0


@pytest.mark.parametrize("name", ["k-means", "softmax", "relu", "tanh"])
def test_both_layers_frozen_are_the_readout_of_the_prior(data, name):
    X, y = data
    seen = np.where(np.arange(N) % 2 == 0, y, -1)
    model = network(PRIORS[name], tie=INF, tie_output=INF, unlabeled=-1)
    model.fit(X, seen, WEIGHT)
    prior = model.prior_
    coef, intercept = prior.readout_anchor(X, seen, len(set(y)), WEIGHT)
    raw = soft_codes(prior, X) @ coef.T + intercept
    assert_allclose(model.predict_proba(X), softmax(raw, axis=1), atol=1e-12)
    assert model.n_iter_ == 0
    assert model.loss_curve_ == []
    assert np.isfinite(model.loss_)


def test_the_readout_hears_of_rows_without_a_label(data):
    X, y = data
    seen = np.where(np.arange(N) % 10 == 0, y, -1)
    settings = {"tie": INF, "tie_output": INF}
    everything = network(frozen(X), unlabeled=-1, **settings).fit(X, seen)
    alone = network(frozen(X), **settings).fit(X[seen >= 0], seen[seen >= 0])
    assert np.abs(everything.predict_proba(X) - alone.predict_proba(X)).max() > 1e-3


def test_the_tie_of_the_output_layer_runs_from_free_to_the_readout(data):
    X, y = data
    pair = frozen(X)
    strengths = [0.0, 1e-6, 0.1, 1.0, 10.0, 1e8, INF]
    at = [
        network(pair, tie=INF, tie_output=strength, tol=1e-10).fit(X, y)
        for strength in strengths
    ]
    output = [np.vstack([m.coefs_[1], m.intercepts_[1]]) for m in at]
    assert_allclose(output[1], output[0], atol=1e-3)
    assert_allclose(output[-2], output[-1], atol=1e-5)
    away = [np.sum((layer - output[-1]) ** 2) for layer in output]
    assert (np.diff(away[1:]) < 0).all()
    for model in at:
        assert_array_equal(model.coefs_[0], pair.estimator.coef_.T)


def test_without_a_pair_ties_do_nothing(data):
    X, y = data
    plain = network(tie=0.0).fit(X, y)
    assert_same_model(network(tie=INF, tie_output=INF).fit(X, y), plain)
    assert not hasattr(plain, "prior_")


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("name", ["k-means", "tanh"])
def test_a_huge_tie_converges_to_the_frozen_encoder(data, name, solver):
    X, y = data
    pair = frozen(X, PRIORS[name])
    settings = {"learning_rate_init": 0.05, "n_iter_no_change": 50, "tol": 1e-8}
    huge = network(pair, tie=1e12, solver=solver, max_iter=2000, **settings).fit(X, y)
    kept = network(pair, tie=INF, tol=1e-9).fit(X, y)
    tolerance = 1e-4 if solver == "lbfgs" else 0.02
    assert_allclose(huge.predict_proba(X), kept.predict_proba(X), atol=tolerance)
    assert huge.tie_gap_ < 1e-5


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_huge_ties_of_both_layers_converge_to_the_readout(data, solver):
    X, y = data
    pair = frozen(X)
    huge = network(pair, tie=1e12, tie_output=1e12, solver=solver).fit(X, y)
    kept = network(pair, tie=INF, tie_output=INF).fit(X, y)
    assert_allclose(huge.predict_proba(X), kept.predict_proba(X), atol=1e-4)


# ---- weights, order, labels, kinds of input ------------------------------------------

FORMS = {
    "none": (None, {}),
    "k-means": (KMEANS, {"tie": 0.5}),
    "tanh": (PRIORS["tanh"], {"tie": 0.5}),
    "adam": (KMEANS, {"solver": "adam", "batch_size": 20}),
    "adam, no pair": (None, {"solver": "adam", "batch_size": 20}),
    "stopping": (KMEANS, {"early_stopping": True, "validation_fraction": 0.3}),
}


@pytest.fixture(params=list(FORMS))
def fitted(request):
    """Return a function that fits one form of the model."""
    pair, settings = FORMS[request.param]

    def fit(*args):
        return quietly(network(pair, **{"max_iter": 30} | settings), *args)

    return fit


def test_a_weight_of_two_is_a_row_twice(data, fitted):
    X, y = data
    twice = np.arange(N) % 4 == 0
    weight = np.where(twice, 2.0, 1.0)
    again = fitted(np.vstack([X, X[twice]]), np.concatenate([y, y[twice]]))
    assert_same_model(fitted(X, y, weight), again)
    assert_different_model(again, fitted(X, y))


def test_a_weight_of_zero_is_no_row(data, fitted):
    X, y = data
    out = np.arange(N) % 4 == 0
    # A class, and numbers, that no other row has.
    strange, labels = np.where(out[:, np.newaxis], 1e3, X), np.where(out, 7, y)
    assert_same_model(fitted(strange, labels, 1.0 - out), fitted(X[~out], y[~out]))


def test_the_order_of_rows_does_not_matter(data, fitted):
    X, y = data
    order = np.random.default_rng(3).permutation(N)
    weight = np.where(np.arange(N) % 3 == 0, 2.0, 0.5)
    shuffled = fitted(X[order], y[order], weight[order])
    assert_same_model(fitted(X, y, weight), shuffled)


def test_with_a_readout_all_this_holds_to_rounding(data):
    X, y = data
    y = np.where(np.arange(N) % 3 == 0, y, -1)
    weight = np.where(np.arange(N) % 4 == 0, 2.0, np.where(np.arange(N) % 4 == 1, 0, 1))
    model = network(KMEANS, tie_output=3.0, unlabeled=-1)
    by_weight = clone(model).fit(X, y, weight).predict_proba(X)
    order = np.random.default_rng(3).permutation(
        np.repeat(np.arange(N), weight.astype(int))
    )
    by_rows = clone(model).fit(X[order], y[order]).predict_proba(X)
    assert_allclose(by_weight, by_rows, atol=2e-4)


def test_more_weight_for_all_rows_is_less_decay_and_tie(data):
    # The penalties are divided by the sum of the weights.
    X, y = data
    pair = frozen(X)
    heavy = network(pair, tie=2.0, tie_output=4.0, alpha=0.4, tol=1e-9)
    light = network(pair, tie=0.5, tie_output=1.0, alpha=0.1, tol=1e-9)
    # The readout itself has a decay of its own, and sees the weights.
    heavy.set_params(tie_output=0.0)
    light.set_params(tie_output=0.0)
    heavy.fit(X, y, np.full(N, 4.0))
    light.fit(X, y)
    assert_allclose(heavy.predict_proba(X), light.predict_proba(X), atol=1e-5)
    assert_allclose(heavy.loss_, light.loss_, rtol=1e-7)


@pytest.mark.parametrize("pair", [None, KMEANS], ids=["none", "k-means"])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 2.0, 1: 0.25}])
def test_class_weights_are_sample_weights_written_out(data, pair, class_weight):
    X, y = data
    X, y = X[:70], y[:70]
    given = np.where(np.arange(70) % 2 == 0, 1.0, 2.0)
    if class_weight == "balanced":
        # Balanced to the weights, which stand for repeated rows.
        rows = np.repeat(np.arange(70), given.astype(int))
        factors = dict(
            zip(y[rows], compute_sample_weight("balanced", y[rows]), strict=True)
        )
    else:
        factors = class_weight
    written = given * [factors.get(label, 1.0) for label in y.tolist()]
    model = network(pair, class_weight=class_weight, tol=1e-8).fit(X, y, given)
    expected = network(pair, tol=1e-8).fit(X, y, written)
    assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=1e-6)
    unweighted = network(pair, tol=1e-8).fit(X, y, given)
    assert np.abs(model.predict_proba(X) - unweighted.predict_proba(X)).max() > 1e-3


@pytest.mark.parametrize("kind", [str, object, float, bool])
def test_labels_of_every_kind_give_the_same_model(data, kind):
    X, y = data
    names = {
        str: np.array(["no", "so", "yes"]),
        object: np.array(["no", "so", "yes"], dtype=object),
        float: np.array([-2.0, 0.0, 5.0]),
        bool: np.array([False, True]),
    }[kind]
    if kind is bool:
        y = y % 2
    model = network(KMEANS).fit(X, names[y])
    assert_array_equal(model.classes_, names[: y.max() + 1])
    plain = network(KMEANS).fit(X, y)
    assert_same_model(model, plain)
    assert_array_equal(model.predict(X), names[plain.predict(X)])
    assert model.score(X, names[y]) == plain.score(X, y) > 0.8


@pytest.mark.parametrize("name", [None, "k-means", "tanh"])
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_float32_is_kept(data, name, solver):
    X, y = data
    X = X.astype(np.float32)
    settings = {"solver": solver, "tie_output": 1.0, "max_iter": 20}
    model = network(None if name is None else frozen(X, PRIORS[name]), **settings)
    single = quietly(clone(model), X, y)
    for array in parameters(single):
        assert array.dtype == np.float32
    assert single.predict_proba(X).dtype == np.float32
    assert single.predict_log_proba(X).dtype == np.float32
    double = quietly(clone(model), X.astype(np.float64), y)
    for array in parameters(double):
        assert array.dtype == np.float64
    assert_allclose(single.loss_, double.loss_, rtol=1e-3)


def test_float32_goes_through_a_prior_that_is_fitted_here(data):
    X, y = data
    for prior in [KMEANS, PRIORS["tanh"]]:
        model = network(prior, unlabeled=-1, tie_output=1.0)
        seen = np.where(np.arange(N) % 5 == 0, -1, y)
        # X_unlabeled takes the type of X.
        model.fit(X.astype(np.float32), seen, X_unlabeled=X)
        assert model.prior_.coef_.dtype == np.float32
        assert {array.dtype for array in parameters(model)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("container", [sp.csr_array, sp.csc_array, sp.coo_matrix])
@pytest.mark.parametrize("tie", [None, 0.5, INF])
def test_sparse_rows_give_the_model_of_dense_ones(data, container, tie):
    X, y = data
    X = np.where(np.abs(X) < 0.5, 0.0, X)
    if tie is None:
        model, seen = network(), y
    else:
        model = network(frozen(X), tie=tie, tie_output=1.0, unlabeled=-1)
        seen = np.where(np.arange(N) % 5 == 0, -1, y)
    dense = clone(model).fit(X, seen, WEIGHT)
    found = clone(model).fit(container(X), seen, WEIGHT)
    assert_allclose(found.loss_, dense.loss_, rtol=1e-6)
    assert_allclose(found.predict_proba(X), dense.predict_proba(X), atol=1e-3)
    assert_allclose(found.predict_proba(container(X)), found.predict_proba(X))


def test_sparse_rows_go_through_a_prior_that_is_fitted_here(data):
    X, y = data
    X = np.where(np.abs(X) < 0.5, 0.0, X)
    model = network(KMEANS, tie_output=1.0, unlabeled=-1)
    seen = np.where(np.arange(N) % 5 == 0, -1, y)
    found = model.fit(sp.csr_array(X[:60]), seen[:60], X_unlabeled=X[60:])
    # Sparse rows are put in an order of their own: the other clusters are as good.
    assert found.prior_.cluster_centers_.shape == (K, 4)
    assert found.score(sp.csr_array(X), y) > 0.7


def test_fit_and_predict_change_no_input(data):
    X, y = data
    seen = np.where(np.arange(N) % 5 == 0, -1, y)
    class_weight = {0: 2.0, 1: 1.0}
    for kind in [np.asarray, sp.csr_array, np.asfortranarray]:
        given = kind(X), seen, WEIGHT.copy(), class_weight, kind(X[:9])
        before = pickle.dumps(given)
        model = network(KMEANS, unlabeled=-1, class_weight=class_weight, tie_output=1.0)
        model.fit(given[0], given[1], given[2], X_unlabeled=given[4])
        model.predict_log_proba(given[0])
        assert pickle.dumps(given) == before


def test_log_probabilities_are_logarithms_and_minus_infinity_far_out(data):
    X, y = data
    model = network(KMEANS, tol=1e-3).fit(X, y)
    assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))
    model.coefs_[1] *= 1e4
    log_probability = model.predict_log_proba(X)
    assert log_probability.min() == -np.inf
    assert_allclose(np.exp(log_probability).sum(axis=1), 1)
    assert_array_equal(model.classes_[log_probability.argmax(axis=1)], model.predict(X))


# ---- early stopping ------------------------------------------------------------------


class Split:
    """The parts that early stopping trains on and scores, as a fit uses them."""

    def __init__(self, monkeypatch):
        self.parts = []
        accuracy = NetworkLoss.accuracy

        def spied(problem, theta):
            self.parts.append(problem)
            return accuracy(problem, theta)

        monkeypatch.setattr(NetworkLoss, "accuracy", spied)

    def rows(self, X):
        """Return the positions of the rows held back, all of them distinct."""
        held = self.parts[-1].X
        found = [np.flatnonzero((row == X).all(axis=1)) for row in held]
        assert all(len(places) == 1 for places in found)
        self.parts.clear()
        return np.concatenate(found)


@pytest.fixture
def noisy():
    """Labels that are partly noise: something to overfit."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(200, 6))
    y = (X[:, 0] + rng.normal(size=200) > 0).astype(int) + (X[:, 1] > 1)
    return X, y


def stopping(pair=None, **settings):
    chosen = {"hidden_units": 30, "alpha": 1e-4, "random_state": 0} | settings
    return TiedMLPClassifier(pair, early_stopping=True, **chosen)


def test_the_rows_held_back_are_stratified(noisy, monkeypatch):
    X, y = noisy
    split = Split(monkeypatch)
    for seed, fraction in [(0, 0.1), (1, 0.1), (2, 0.25), (3, 0.5)]:
        model = stopping(random_state=seed, validation_fraction=fraction)
        rows = split.rows(X) if model.fit(X, y) else None
        assert len(set(rows)) == len(rows) == round(fraction * 200)
        expected = fraction * np.bincount(y)
        assert np.abs(np.bincount(y[rows]) - expected).max() <= 1


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_the_model_returned_is_the_best_on_the_rows_held_back(
    noisy, monkeypatch, solver
):
    X, y = noisy
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 200)
    split = Split(monkeypatch)
    model = stopping(solver=solver, learning_rate_init=0.02, validation_fraction=0.3)
    model.fit(X, y, weight)
    held = split.rows(X)
    scores = model.validation_scores_
    assert len(scores) == model.n_iter_ == len(model.loss_curve_)
    assert model.best_validation_score_ == max(scores) > scores[-1]
    found = model.score(X[held], y[held], weight[held])
    assert_allclose(found, model.best_validation_score_, rtol=1e-12)


def test_the_loss_is_that_of_the_rows_used_for_training(noisy, monkeypatch):
    X, y = noisy
    split = Split(monkeypatch)
    model = stopping(alpha=0.0).fit(X, y)
    training = np.setdiff1d(np.arange(200), split.rows(X))
    log_probability = model.predict_log_proba(X)[np.arange(200), y]
    assert_allclose(model.loss_, -log_probability[training].mean(), rtol=1e-10)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_the_best_parameters_are_those_of_their_iteration(noisy, solver):
    X, y = noisy
    settings = {
        "solver": solver,
        "learning_rate_init": 0.02,
        "validation_fraction": 0.3,
    }
    long = stopping(**settings).fit(X, y)
    best = 1 + int(np.argmax(long.validation_scores_))
    assert best < long.n_iter_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        short = stopping(max_iter=best, **settings).fit(X, y)
    for mine, other in zip(parameters(long), parameters(short), strict=True):
        assert_array_equal(mine, other)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("patience", [3, 8])
def test_training_stops_when_the_score_rises_no_more(noisy, solver, patience):
    X, y = noisy
    model = stopping(
        solver=solver,
        learning_rate_init=0.02,
        n_iter_no_change=patience,
        validation_fraction=0.3,
    ).fit(X, y)
    best = 1 + int(np.argmax(model.validation_scores_))
    assert model.n_iter_ == best + patience
    free = clone(model).set_params(early_stopping=False, max_iter=model.n_iter_ + 20)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        free.fit(X, y)
    assert free.n_iter_ == model.n_iter_ + 20
    assert not hasattr(free, "validation_scores_")
    assert not hasattr(free, "best_validation_score_")


def test_a_rise_below_tol_is_none(noisy):
    X, y = noisy
    model = stopping(solver="adam", tol=0.9, n_iter_no_change=4).fit(X, y)
    assert model.n_iter_ == 1 + 4


def test_while_the_score_rises_the_loss_may_fall_by_less_than_tol(noisy):
    X, y = noisy
    model = stopping(
        solver="adam",
        learning_rate_init=2e-3,
        tol=0.04,
        n_iter_no_change=5,
        random_state=2,
    ).fit(X, y)
    assert -np.diff(model.loss_curve_).min() < 0.04
    best = 1 + int(np.argmax(model.validation_scores_))
    assert model.n_iter_ == best + 5 > 10


def test_early_stopping_follows_its_seed(noisy):
    X, y = noisy
    first = stopping().fit(X, y)
    assert_same_model(stopping().fit(X, y), first)
    other = stopping(random_state=1).fit(X, y)
    assert other.validation_scores_ != first.validation_scores_


def test_early_stopping_holds_back_labelled_rows_alone(noisy, monkeypatch):
    X, y = noisy
    split = Split(monkeypatch)
    seen = np.where(np.arange(200) % 2 == 0, y, -1)
    model = stopping(KMEANS, unlabeled=-1, tie_output=1.0, validation_fraction=0.2)
    model.fit(X, seen)
    held = split.rows(X)
    assert len(held) == 20
    assert (seen[held] >= 0).all()


def test_a_refit_without_early_stopping_leaves_no_scores(noisy):
    X, y = noisy
    model = stopping(alpha=1.0, hidden_units=3).fit(X, y)
    model.set_params(early_stopping=False).fit(X, y)
    assert not hasattr(model, "validation_scores_")
    assert not hasattr(model, "best_validation_score_")


def test_early_stopping_where_nothing_is_to_be_trained():
    X, y = make_data(3)
    settings = {"tie": INF, "tie_output": INF}
    stopped = network(KMEANS, early_stopping=True, **settings).fit(X, y)
    kept = network(KMEANS, **settings).fit(X, y)
    assert_array_equal(stopped.predict_proba(X), kept.predict_proba(X))
    assert stopped.validation_scores_ == []
    assert 0 <= stopped.best_validation_score_ <= 1


def test_early_stopping_where_the_start_is_good_enough(noisy):
    # The gradient at the start is below tol: there is no iteration to choose from.
    X, y = noisy
    model = stopping(tol=0.9).fit(X, y)
    assert model.n_iter_ == 0
    assert model.validation_scores_ == []
    assert 0 <= model.best_validation_score_ <= 1
    assert np.isfinite(model.predict_proba(X)).all()


# ---- warm starts ---------------------------------------------------------------------


@pytest.mark.parametrize("pair", [None, KMEANS], ids=["none", "k-means"])
def test_a_warm_start_goes_on(data, pair):
    X, y = data
    cold = network(pair, alpha=0.3).fit(X, y)
    model = network(pair, alpha=0.3, warm_start=True).fit(X, y)
    assert_same_model(model, cold)
    model.fit(X, y)
    assert model.n_iter_ < cold.n_iter_ / 4
    assert_allclose(model.predict_proba(X), cold.predict_proba(X), atol=1e-4)
    assert clone(cold).fit(X, y).n_iter_ == cold.n_iter_


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("pair", [None, KMEANS], ids=["none", "k-means"])
def test_iteration_after_iteration_the_loss_falls(data, pair, solver):
    X, y = data
    model = network(pair, warm_start=True, solver=solver, tie=0.3, tie_output=0.1)
    losses = [briefly(model, X, y).loss_ for _ in range(8)]
    assert (np.diff(losses) < 0).all()


CHANGES = {
    "classes": ({}, lambda X, y: (X, np.where(np.arange(N) % 7 == 0, 5, y))),
    "labels": ({}, lambda X, y: (X, y + 1)),
    "features": ({}, lambda X, y: (X[:, :3], y)),
    "activation": ({"activation": "relu"}, lambda X, y: (X, y)),
    "units": ({"hidden_units": 7}, lambda X, y: (X, y)),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_what_does_not_fit_the_last_model_starts_afresh(data, change):
    X, y = data
    params, changed = CHANGES[change]
    model = quietly(network(warm_start=True, max_iter=20), X, y)
    quietly(model.set_params(**params), *changed(X, y))
    afresh = network(**{"max_iter": 20} | params)
    assert_same_model(model, quietly(afresh, *changed(X, y)))


def test_a_warm_start_with_other_clusters_starts_afresh(data):
    X, y = data
    model = network(clone(KMEANS), warm_start=True).fit(X, y)
    model.set_params(pair__n_clusters=K + 1).fit(X, y)
    assert_same_model(model, network(KMeansPrior(K + 1, random_state=0)).fit(X, y))


def test_a_warm_start_with_a_frozen_layer_keeps_it(data):
    X, y = data
    model = network(KMEANS, warm_start=True, tie=0.0).fit(X, y)
    model.set_params(tie=INF, tol=1e-8).fit(X, y)
    assert_array_equal(model.coefs_[0], model.prior_.coef_.T)
    expected = network(KMEANS, tie=INF, tol=1e-8).fit(X, y)
    assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=1e-5)


def test_without_a_warm_start_the_last_fit_does_not_matter(data):
    X, y = data
    model = network(KMEANS).fit(X, 1 - np.minimum(y, 1))
    assert_same_model(model.fit(X, y), network(KMEANS).fit(X, y))


# ---- training ------------------------------------------------------------------------


def test_lbfgs_keeps_the_curve_of_a_falling_loss(data):
    X, y = data
    for pair in [None, KMEANS]:
        model = network(pair, tie_output=0.5, max_iter=100)
        quietly(model, X, y)
        assert len(model.loss_curve_) == model.n_iter_ > 3
        assert (np.diff(model.loss_curve_) <= 0).all()
        assert_allclose(model.loss_curve_[-1], model.loss_, rtol=1e-9)
        assert all(isinstance(loss, float) for loss in model.loss_curve_)


def test_a_lower_tol_comes_closer(data):
    X, y = data
    fits = [network(KMEANS, tol=tol).fit(X, y) for tol in [1e-2, 1e-4, 1e-8]]
    assert fits[0].n_iter_ < fits[1].n_iter_ < fits[2].n_iter_
    assert fits[0].loss_ > fits[1].loss_ > fits[2].loss_


@pytest.mark.parametrize("pair", [None, KMEANS], ids=["none", "k-means"])
def test_adam_learns(data, pair):
    X, y = data
    settings = {"solver": "adam", "learning_rate_init": 0.05, "batch_size": 30}
    settings |= {"alpha": 1e-3, "tie": 0.1, "hidden_units": 20, "tol": 1e-3}
    model = network(pair, **settings).fit(X, y)
    assert len(model.loss_curve_) == model.n_iter_
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]
    assert model.score(X, y) > 0.9
    assert_same_model(clone(model).fit(X, y), model)
    assert_different_model(clone(model).set_params(random_state=1).fit(X, y), model)


def test_adam_ends_when_an_epoch_gains_less_than_tol(data):
    X, y = data
    settings = {"solver": "adam", "n_iter_no_change": 4}
    model = network(KMEANS, tol=0.5, **settings).fit(X, y)
    # The first loss is a gain, the next ones are not.
    assert model.n_iter_ == 1 + 4


def test_adam_takes_one_step_a_batch(data):
    X, y = data
    y = y % 2
    # Adam's first step has the size of the learning rate, whatever the gradient.
    settings = {"solver": "adam", "learning_rate_init": 0.01, "tie": INF}
    pair = frozen(X)
    whole = briefly(network(pair, batch_size=N, **settings), X, y)
    assert_allclose(np.abs(whole.coefs_[1]), 0.01, rtol=1e-3)
    more = briefly(network(pair, batch_size=2 * N, **settings), X, y)
    assert_same_model(whole, more)
    assert_same_model(whole, briefly(network(pair, **settings), X, y))
    batches = briefly(network(pair, batch_size=N // 3, **settings), X, y)
    largest = np.abs(batches.coefs_[1]).max()
    assert 0.02 < largest <= 0.031
    last = briefly(network(pair, batch_size=N - 1, **settings), X, y)
    assert 0.01 < np.abs(last.coefs_[1]).max() <= 0.021, "the rest is a batch too"


def test_the_step_of_adam_is_in_units_of_the_tie(data):
    X, y = data
    pair = frozen(X)
    settings = {"solver": "adam", "learning_rate_init": 0.01, "alpha": 1.0}
    encoder = pair.estimator.coef_.T
    for tie in [0.0, 3.0, 99.0]:
        model = briefly(network(pair, tie=tie, **settings), X, y)
        step = 0.01 / np.sqrt(1 + tie)
        # Behind a silent output layer only decay moves the weights: towards zero.
        assert_allclose(model.coefs_[0] - encoder, -step * np.sign(encoder), rtol=0.01)
        assert_array_equal(model.intercepts_[0], pair.estimator.intercept_)


def test_the_loss_of_an_epoch_is_the_mean_over_its_batches(data):
    # Steps of next to nothing, no decay and a silent output layer: every row has the
    # same loss, and batches weigh as their rows do, the last and smaller one too.
    X, y = data
    settings = {"solver": "adam", "learning_rate_init": 1e-12, "alpha": 0.0}
    for size in [N, 30, 7]:
        model = briefly(network(frozen(X), batch_size=size, **settings), X, y, WEIGHT)
        assert_allclose(model.loss_curve_, np.log(len(model.classes_)), rtol=1e-9)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_too_few_iterations_warn_and_name_the_parameter(data, solver):
    X, y = data
    model = network(KMEANS, solver=solver, max_iter=1)
    with pytest.warns(ConvergenceWarning, match=r"max_iter=1 .*Increase max_iter"):
        model.fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == 1


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_verbose_prints_every_loss(data, solver, capsys):
    X, y = data
    network(KMEANS, solver=solver, tol=1e-3).fit(X, y)
    assert capsys.readouterr().out == ""
    model = network(KMEANS, solver=solver, tol=1e-3, verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == model.n_iter_
    for i, (line, loss) in enumerate(zip(lines, model.loss_curve_, strict=True), 1):
        words = line.split()
        assert str(i) in words
        assert_allclose(float(words[-1]), loss, rtol=1e-6)


def test_it_draws_from_its_seed_alone(data):
    X, y = data
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = network(random_state=3).fit(X, y)
    assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert_same_model(network(random_state=np.random.RandomState(3)).fit(X, y), first)
    assert_different_model(network(random_state=4).fit(X, y), first)


@pytest.mark.parametrize(
    "activation", ["identity", "relu", "tanh", "logistic", "softmax"]
)
def test_the_draw_of_the_start_is_within_its_bounds(data, activation):
    X, y = data
    model = network(
        activation=activation, hidden_units=50, solver="adam", learning_rate_init=1e-9
    )
    model = briefly(model, X, y)
    # Glorot & Bengio: sqrt(6 / (inputs + outputs)), and no intercepts.
    bound = np.sqrt(6 / 54)
    assert 0.9 * bound < np.abs(model.coefs_[0]).max() <= bound + 1e-6
    assert np.abs(model.intercepts_[0]).max() < 1e-6
    assert model.coefs_[0].shape == (4, 50)
    assert model.activation_ == activation


def test_it_counts_what_it_stores(data):
    X, y = data
    n_outputs = 1 if y.max() == 1 else 3
    model = network(KMEANS).fit(X, y)
    assert [coef.shape for coef in model.coefs_] == [(4, K), (K, n_outputs)]
    assert [b.shape for b in model.intercepts_] == [(K,), (n_outputs,)]
    assert model.n_stored_parameters_ == sum(part.size for part in parameters(model))


def test_the_network_learns_what_no_linear_model_can():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(200, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    assert LogisticRegression().fit(X, y).score(X, y) < 0.7
    for activation in ["relu", "tanh", "logistic", "softmax"]:
        model = network(activation=activation, hidden_units=12, alpha=1e-3, max_iter=99)
        assert quietly(model, X, y).score(X, y) > 0.95


# ---- rows without a label ------------------------------------------------------------


@pytest.fixture
def half(data):
    """Rows of which every third has no label."""
    X, y = data
    known = np.arange(N) % 3 > 0
    return X, y, known


@pytest.mark.parametrize("name", ["k-means", "tanh"])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_way_to_pass_unlabelled_rows_is_the_prior_fitted_by_hand(
    half, name, weighted
):
    X, y, known = half
    prior = PRIORS[name]
    weight = np.where(known, WEIGHT, 1.0) if weighted else np.ones(N)

    def fit(pair, *args, unlabeled=None, **kwargs):
        model = network(pair, max_iter=20, unlabeled=unlabeled)
        return quietly(model, *args, **kwargs)

    by_hand = fit(frozen(X, prior, weight), X[known], y[known], weight[known])
    marked = np.where(known, y, -1)
    other = np.where(known, y, 99)
    assert_same_model(fit(prior, X, marked, weight, unlabeled=-1), by_hand)
    assert_same_model(fit(prior, X, other, weight, unlabeled=99), by_hand)
    assert_same_model(fit(prior, X, 1.0 * marked, weight, unlabeled=-1), by_hand)
    words = np.where(known, np.array(["a", "b", "c"])[y], "?")
    for mark in [words, words.astype(object)]:
        named = fit(prior, X, mark, weight, unlabeled="?")
        assert_same_model(named, by_hand)
        assert list(named.classes_) == ["a", "b", "c"][: y.max() + 1]
    own = X[known], y[known], weight[known]
    direct = fit(prior, *own, X_unlabeled=X[~known])
    assert_same_model(direct, by_hand)
    first = known | (np.arange(N) < 40)
    some = X[first], marked[first], weight[first]
    both = fit(prior, *some, X_unlabeled=X[~first], unlabeled=-1)
    assert_same_model(both, by_hand)
    assert_different_model(fit(prior, *own), by_hand)
    for attribute in ["coef_", "intercept_"]:
        found = getattr(direct.prior_, attribute)
        assert_array_equal(found, getattr(by_hand.prior_, attribute))


def test_the_readout_is_the_same_whichever_way_the_rows_come(half):
    X, y, known = half
    marked = np.where(known, y, -1)
    model = network(KMEANS, tie=INF, tie_output=1.0, class_weight="balanced", tol=1e-9)
    inside = clone(model).set_params(unlabeled=-1).fit(X, marked)
    beside = clone(model).fit(X[known], y[known], X_unlabeled=X[~known])
    sparse = clone(model).fit(X[known], y[known], X_unlabeled=sp.coo_matrix(X[~known]))
    expected = inside.predict_proba(X)
    assert_allclose(beside.predict_proba(X), expected, atol=1e-5)
    assert_allclose(sparse.predict_proba(X), expected, atol=1e-5)


def test_rows_without_a_label_have_the_weight_of_their_class_factor_one(half):
    # Factors of classes are for labelled rows; the others keep their own weight.
    X, y, known = half
    marked = np.where(known, y, -1)
    factors = {0: 4.0, 1: 0.25}
    model = network(KMEANS, unlabeled=-1, class_weight=factors).fit(X, marked, WEIGHT)
    weight = WEIGHT * [factors.get(label, 1.0) for label in marked.tolist()]
    expected = clone(KMEANS).fit(X, None, weight)
    assert_array_equal(model.prior_.coef_, expected.coef_)


def test_the_loss_counts_labelled_rows_alone(half):
    X, y, known = half
    pair = frozen(X)
    alone = network(pair, tie=2.0).fit(X[known], y[known])
    marked = network(pair, tie=2.0, unlabeled=-1).fit(X, np.where(known, y, -1))
    assert_same_model(alone, marked)
    assert alone.loss_ == marked.loss_


def test_no_row_need_be_unlabelled(data):
    X, y = data
    with pytest.warns(UserWarning, match="no row of y is marked so"):
        marked = network(KMEANS, unlabeled=-1).fit(X, y)
    assert_same_model(marked, network(KMEANS).fit(X, y))


def test_unlabelled_rows_help():
    X, y = make_moons(300, noise=0.08, random_state=0)
    seen = np.full(300, -1)
    for label in (0, 1):
        seen[np.flatnonzero(y == label)[:2]] = label
    plain = network().fit(X[seen >= 0], seen[seen >= 0])
    prior = KMeansPrior(30, random_state=0)
    tied = network(prior, tie=INF, tie_output=1.0, unlabeled=-1).fit(X, seen)
    assert tied.score(X, y) > 0.95 > plain.score(X, y) + 0.05


# ---- the prior -----------------------------------------------------------------------


def test_a_bare_prior_is_cloned_and_a_frozen_one_is_used_as_it_is(data):
    X, y = data
    prior = clone(KMEANS)
    before = pickle.dumps(prior)
    model = network(prior).fit(X, y)
    assert pickle.dumps(prior) == before
    assert model.pair is prior
    assert isinstance(model.prior_, KMeansPrior)
    assert model.prior_ is not prior
    held = clone(KMEANS).fit(X[:50])
    before = pickle.dumps(held)
    model = network(FrozenEstimator(held)).fit(X, y)
    assert pickle.dumps(held) == before
    assert model.prior_ is held


def test_a_fitted_bare_prior_is_fitted_anew(data):
    X, y = data
    stale = clone(KMEANS).fit(10 * X[:20])
    assert_same_model(network(stale).fit(X, y), network(KMEANS).fit(X, y))


def test_the_code_of_the_prior_does_not_matter(data):
    X, y = data
    expected = network(KMEANS).fit(X, y)
    for code in ["soft", "triangle"]:
        assert_same_model(
            network(clone(KMEANS).set_params(code=code)).fit(X, y), expected
        )


def test_a_refit_without_a_pair_leaves_no_prior(data):
    X, y = data
    model = network(KMEANS).fit(X, y)
    model.set_params(pair=None).fit(X, y)
    assert not hasattr(model, "prior_")
    assert_same_model(model, network().fit(X, y))


def test_parameters_of_the_prior_are_parameters_of_the_model(data):
    X, y = data
    model = network(clone(KMEANS), tie=3.0)
    assert model.get_params()["pair__n_clusters"] == K
    copy = clone(model)
    assert copy.pair is not model.pair
    assert copy.get_params()["tie"] == 3.0
    copy.set_params(pair__n_clusters=4).fit(X, y)
    assert copy.coefs_[0].shape == (4, 4)
    assert model.pair.n_clusters == K
    # FrozenEstimator shields the prior from both.
    pair = frozen(X)
    assert clone(network(pair)).pair.estimator is pair.estimator


def test_a_search_goes_over_prior_and_tie(half):
    X, y, known = half
    marked = np.where(known, y, -1)
    pipe = make_pipeline(StandardScaler(), network(KMEANS, tol=1e-3, unlabeled=-1))
    grid = {
        "tiedmlpclassifier__pair__n_clusters": [2, 12],
        "tiedmlpclassifier__tie": [0.1, INF],
    }
    search = GridSearchCV(pipe, grid, cv=LabeledSplit(3), error_score="raise")
    search.fit(X, marked)
    best = search.best_estimator_[-1]
    name = "tiedmlpclassifier__pair__n_clusters"
    assert best.prior_.n_clusters == search.best_params_[name]
    assert search.score(X[~known], y[~known]) > 0.7


def test_names_of_columns_are_kept(data):
    pandas = pytest.importorskip("pandas")
    X, y = data
    frame = pandas.DataFrame(X, columns=list("abcd"))
    seen = np.where(np.arange(N) % 3 == 0, -1, y)
    plain, named = (
        network(frozen(rows), unlabeled=-1, tie_output=1.0).fit(
            rows, seen, X_unlabeled=rows[:5]
        )
        for rows in (X, frame)
    )
    assert list(named.feature_names_in_) == list("abcd")
    assert named.n_features_in_ == 4
    assert_array_equal(named.predict_proba(frame), plain.predict_proba(X))


def test_a_pickle_predicts_the_same(data):
    X, y = data
    model = network(KMEANS).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))


# ---- failures and callbacks ----------------------------------------------------------


def test_a_failed_refit_leaves_the_fitted_model():
    X, y = make_data(3)
    model = network(KMEANS).fit(X, y)
    before = vars(model).copy()
    expected = model.predict_proba(X)
    bad = X.copy()
    bad[0, 0] = np.nan
    failures = [
        (bad, y, {}),
        (X, np.zeros(N), {}),
        (X[:4], y[:4], {}),  # fewer rows than clusters: after classes are known
        (X[:, :2], y, {"X_unlabeled": X}),
        (X, y + 5, {"X_unlabeled": bad}),
    ]
    for rows, labels, more in failures:
        with pytest.raises(ValueError):  # noqa: PT011
            model.fit(rows, labels, **more)
        assert vars(model).keys() == before.keys()
        for name, value in before.items():
            assert vars(model)[name] is value, name
        assert_array_equal(model.predict_proba(X), expected)


def test_an_interrupted_refit_leaves_the_fitted_model(monkeypatch):
    X, y = make_data(3)
    model = network(KMEANS).fit(X, y)
    before = vars(model).copy()

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(NetworkLoss, "__call__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[:, :3], y % 2)
    assert all(vars(model)[name] is value for name, value in before.items())


class Recording:
    """A callback that keeps what it is told."""

    def __init__(self):
        self.events = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None):
        self.most = max(context.max_subtasks, getattr(self, "most", 0))
        self.events.append(f"end {context.task_name}")


@pytest.mark.skipif(
    not _compat.HAS_CALLBACKS, reason="scikit-learn >= 1.9 has callbacks"
)
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_callbacks_hear_of_every_iteration_and_change_nothing(data, solver):
    X, y = data
    callback = Recording()
    plain = network(KMEANS, solver=solver, tol=1e-3).fit(X, y)
    heard = clone(plain).set_callbacks(callback).fit(X, y)
    assert_same_model(heard, plain)
    assert callback.events[0] == "setup"
    assert callback.events[-1] == "teardown"
    assert callback.events.count("begin iteration") == plain.n_iter_
    assert callback.events.count("end iteration") == plain.n_iter_
    assert plain.n_iter_ <= callback.most


def test_early_stopping_counts_distinct_rows():
    """1000 rows of 3 bits are 8 different ones; one of each class can be held back."""
    X = np.random.default_rng(0).integers(0, 2, (1000, 3)).astype(float)
    y = (X.sum(axis=1) > 1).astype(int)
    model = TiedMLPClassifier(early_stopping=True, random_state=0).fit(X, y)
    assert len(model.validation_scores_) == model.n_iter_
