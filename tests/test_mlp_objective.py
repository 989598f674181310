"""The objective of TiedMLPClassifier, recomputed from its formula in plain numpy."""

import warnings
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier
from sklearn.utils.class_weight import compute_sample_weight

from sktie import AutoencoderPrior, KMeansPrior, TiedMLPClassifier
from sktie._loss import classification_loss
from sktie.neural_network._objective import NetworkLoss, tied_layer
from sktie.nn import ACTIVATIONS

INF = np.inf
UNITS = {
    "identity": lambda raw: raw,
    "relu": lambda raw: np.where(raw > 0, raw, 0.0),
    "tanh": np.tanh,
    "logistic": expit,
    "softmax": lambda raw: softmax(raw, axis=1),
}


def test_the_formulas_here_cover_every_activation():
    assert set(UNITS) == set(ACTIVATIONS)


# ---- the objective, as the docstring reads -------------------------------------------


@dataclass(frozen=True)
class Formula:
    """The objective in the parameters; y holds codes, anchors are (weights, shift)."""

    X: Any
    y: Any
    weight: Any
    activation: str
    alpha: float
    tie: float = 0.0
    tie_output: float = 0.0
    encoder: Any = None
    readout: Any = None

    def __call__(self, W, b, V, c):
        """Return the objective at W (units, p), b, V (1 or classes, units), c."""
        units = UNITS[self.activation](self.X @ W.T + b)
        raw = units @ V.T + c
        if len(c) == 1:
            raw = np.hstack([np.zeros_like(raw), raw])
        log_probability = log_softmax(raw, axis=1)[np.arange(len(self.y)), self.y]
        n = np.sum(self.weight)
        value = -np.sum(self.weight * log_probability) / n
        value += self.alpha / (2 * n) * (np.sum(W**2) + np.sum(V**2))
        value += self._tie(self.tie, self.encoder, W, b) / n
        return value + self._tie(self.tie_output, self.readout, V, c) / n

    @staticmethod
    def _tie(strength, anchor, weights, shift):
        if anchor is None or strength == 0:
            return 0.0
        away = np.sum((weights - anchor[0]) ** 2) + np.sum((shift - anchor[1]) ** 2)
        if strength == INF:
            assert away <= 1e-24, "an infinite tie is kept"
            return 0.0
        return strength / 2 * away


def as_outputs(anchor):
    """The rows of two classes as one, the log-odds of the second."""
    coef, intercept = anchor
    if len(intercept) > 2:
        return anchor
    return np.diff(coef, axis=0), np.diff(intercept)


def layers(model):
    """The parameters of a fitted model as the formula takes them."""
    (W, V), (b, c) = model.coefs_, model.intercepts_
    return W.T, b, V.T, c


def formula_of(model, X, y, weight, y_index, everything=None):
    """The formula that a fitted model minimises; y_index of all rows of its prior."""
    known = y_index >= 0
    rows = X if everything is None else everything
    formula = Formula(
        X[known], y_index[known], weight[known], model.activation_, model.alpha
    )
    if model.pair is None:
        return formula
    prior = model.prior_
    readout = prior.readout_anchor(rows, y_index, len(model.classes_), weight)
    return replace(
        formula,
        tie=model.tie,
        tie_output=model.tie_output,
        encoder=(prior.coef_, prior.intercept_),
        readout=as_outputs(readout),
    )


@pytest.fixture(params=[2, 3], ids=["binary", "multinomial"])
def data(request):
    return make_data(request.param)


def make_data(n_classes):
    X, y = make_blobs(60, 3, centers=6, cluster_std=2.0, random_state=4)
    weight = np.random.default_rng(0).uniform(0.2, 3.0, size=60)
    return X / 4, y % n_classes, weight


PAIRS = {
    "none": None,
    "k-means": KMeansPrior(5, random_state=0),
    "tanh": AutoencoderPrior(3, activation="tanh", random_state=0),
}


def interrupted(model, *args, **kwargs):
    """Fit a model that stops early: the formula holds anywhere, not at minima alone."""
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        return model.fit(*args, **kwargs)


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 0.5, 1: 3.0}])
@pytest.mark.parametrize(
    ("tie", "tie_output"), [(0.0, 0.0), (0.7, 5.0), (0.7, INF), (INF, 5.0), (INF, INF)]
)
@pytest.mark.parametrize("pair", ["k-means", "tanh"])
def test_loss_is_the_formula_at_the_parameters(
    data, pair, tie, tie_output, class_weight
):
    X, y, weight = data
    model = TiedMLPClassifier(
        PAIRS[pair],
        tie=tie,
        tie_output=tie_output,
        alpha=0.3,
        class_weight=class_weight,
        unlabeled=-1,
        max_iter=4,
    )
    marked = np.where(np.arange(60) % 3 == 0, -1, y)
    if tie_output == INF and tie == INF:
        model.fit(X, marked, weight)  # nothing to train
    else:
        interrupted(model, X, marked, weight)
    known = marked >= 0
    if class_weight == "balanced":
        mass = np.bincount(y[known], weights=weight[known])
        factors = dict(enumerate(weight[known].sum() / (len(mass) * mass)))
    else:
        factors = class_weight or {}
    weight = weight * [factors.get(label, 1.0) for label in marked.tolist()]
    formula = formula_of(model, X, y, weight, marked)
    assert_allclose(model.loss_, formula(*layers(model)), rtol=1e-10)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_loss_is_the_formula_without_a_pair(data, activation):
    X, y, weight = data
    model = TiedMLPClassifier(
        hidden_units=4,
        activation=activation,
        alpha=0.3,
        tie=50.0,
        tie_output=50.0,
        max_iter=4,
        random_state=0,
    )
    interrupted(model, X, y, weight)
    formula = formula_of(model, X, y, weight, y)
    assert formula.tie == formula.tie_output == 0, "there is nothing to be tied to"
    assert_allclose(model.loss_, formula(*layers(model)), rtol=1e-10)
    assert model.tie_gap_ == 0


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_tie_gap_is_the_largest_deviation_of_weights_and_intercepts(data, scale):
    X, y, _ = data
    prior = FrozenEstimator(clone(PAIRS["tanh"]).fit(X))
    model = TiedMLPClassifier(prior, tie=0.01, alpha=0.0, max_iter=4)
    interrupted(model, scale * X, y)
    W, b = layers(model)[:2]
    of_weights = np.abs(W - model.prior_.coef_).max()
    of_intercepts = np.abs(b - model.prior_.intercept_).max()
    # Small features move the intercepts more than the weights.
    assert (of_intercepts > of_weights) == (scale < 1)
    assert_allclose(model.tie_gap_, max(of_weights, of_intercepts), rtol=1e-10)


def test_more_than_two_outputs_are_centred():
    X, y, _ = make_data(3)
    for pair in PAIRS.values():
        model = TiedMLPClassifier(pair, tie_output=2.0, hidden_units=4, tol=1e-3)
        model.set_params(random_state=0).fit(X, y)
        assert_allclose(model.coefs_[1].sum(axis=1), 0, atol=1e-12)
        assert_allclose(model.intercepts_[1].sum(), 0, atol=1e-12)


# ---- scikit-learn's own network at the same parameters -------------------------------


def quietly(model, *args, **kwargs):
    """Fit, whether or not the few iterations asked for suffice."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*args, **kwargs)


def theirs_at(model, X, y, weight, **settings):
    """Fit scikit-learn's MLPClassifier, started at the parameters of ours."""
    theirs = MLPClassifier(
        model.coefs_[0].shape[1],
        activation=model.activation_,
        alpha=model.alpha,
        warm_start=True,
        max_iter=1,
    )
    quietly(theirs, X, y, weight)
    theirs.coefs_ = [coef.copy() for coef in model.coefs_]
    theirs.intercepts_ = [intercept.copy() for intercept in model.intercepts_]
    return quietly(theirs.set_params(**settings), X, y, weight)


def plain_network(activation, **settings):
    return TiedMLPClassifier(
        hidden_units=4, activation=activation, random_state=0, **settings
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("activation", ["identity", "relu", "tanh", "logistic"])
def test_value_and_gradient_are_those_of_mlp_classifier(data, activation, weighted):
    X, y, weight = data
    weight = weight if weighted else None
    model = interrupted(plain_network(activation, alpha=0.3, max_iter=3), X, y, weight)
    # One step of plain gradient descent on all rows, of size 1, gives its gradient;
    # the loss that it reports is that of the parameters before the step.
    theirs = theirs_at(
        model,
        X,
        y,
        weight,
        solver="sgd",
        momentum=0.0,
        learning_rate_init=1.0,
        batch_size=60,
    )
    assert_allclose(model.loss_, theirs.loss_, rtol=1e-12)
    before = layers(model)
    after = layers(theirs)
    W, b, V, c = (start - end for start, end in zip(before, after, strict=True))
    loss = classification_loss(len(model.classes_))
    mine = NetworkLoss(
        X,
        loss.encode(y, X.dtype),
        np.ones(60) if weight is None else weight,
        loss,
        activation,
        tied_layer(np.zeros((4, 4)), 0.0, model.alpha),
        tied_layer(np.zeros((loss.n_outputs, 5)), 0.0, model.alpha),
    )
    hidden = np.column_stack(before[:2])
    output = loss.reduce(np.column_stack(before[2:]))
    value, gradient = mine(mine.join(hidden, output), None)
    assert_allclose(value, theirs.loss_, rtol=1e-12)
    expected = mine.join(np.column_stack([W, b]), loss.reduce(np.column_stack([V, c])))
    assert_allclose(gradient, expected, atol=1e-12)


@pytest.mark.parametrize("activation", ["identity", "tanh", "logistic"])
def test_mlp_classifier_finds_nothing_lower_from_the_minimum(data, activation):
    X, y, weight = data
    model = plain_network(activation, alpha=0.5, tol=1e-8).fit(X, y, weight)
    theirs = theirs_at(model, X, y, weight, solver="lbfgs", tol=1e-8, max_iter=500)
    assert_allclose(theirs.loss_, model.loss_, rtol=1e-9)
    assert_allclose(theirs.predict_proba(X), model.predict_proba(X), atol=1e-5)


def test_a_linear_network_ends_where_that_of_scikit_learn_does(data):
    # All minima of a network of identity units are global.
    X, y, weight = data
    ours = plain_network("identity", alpha=0.5, tol=1e-8).fit(X, y, weight)
    theirs = MLPClassifier(
        4,
        activation="identity",
        solver="lbfgs",
        alpha=0.5,
        tol=1e-8,
        max_iter=1000,
        random_state=3,
    ).fit(X, y, weight)
    assert_allclose(ours.loss_, theirs.loss_, rtol=1e-6)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)


# ---- value and gradient of the network -----------------------------------------------

TIES = [0.0, 0.3, 1e6, INF]
OUTPUT_TIES = [0.0, 2.0, INF]


def make_network(activation="tanh", n_classes=3, tie=0.3, tie_output=2.0, sparse=False):
    """A small network and a point."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(12, 3))
    X[rng.uniform(size=X.shape) < 0.3] = 0.0
    y = np.arange(12) % n_classes
    loss = classification_loss(n_classes)
    problem = NetworkLoss(
        sp.csr_array(X) if sparse else X,
        loss.encode(y, X.dtype),
        rng.uniform(0.3, 3.0, size=12),
        loss,
        activation,
        tied_layer(rng.normal(size=(4, 4)), tie, 0.4),
        tied_layer(rng.normal(size=(loss.n_outputs, 5)), tie_output, 0.4),
    )
    # What an infinite tie holds is no part of the point.
    layers = (problem.hidden, problem.output)
    return problem, problem.join(*(rng.normal(size=x.anchor.shape) for x in layers))


def value_at(problem, theta, rows=None):
    return problem(theta, rows)[0]


def five_point(function, theta, step=1e-3):
    """Derivatives of a function of a vector; the error is of order step**4."""
    out = np.empty_like(theta)
    for i in range(theta.size):
        move = np.zeros_like(theta)
        move[i] = step
        near = function(theta + move) - function(theta - move)
        far = function(theta + 2 * move) - function(theta - 2 * move)
        out[i] = (8 * near - far) / (12 * step)
    return out


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("tie", TIES)
def test_gradient_by_finite_differences(tie, activation, n_classes, sparse):
    for tie_output in OUTPUT_TIES:
        problem, theta = make_network(activation, n_classes, tie, tie_output, sparse)
        value, gradient = problem(theta, None)
        assert np.isfinite(value)
        expected = five_point(partial(value_at, problem), theta)
        assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rows", [np.array([3]), np.array([7, 0, 4, 4, 11])])
@pytest.mark.parametrize("tie", [0.3, INF])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_gradient_of_a_batch_by_finite_differences(rows, tie, sparse):
    problem, theta = make_network(tie=tie, sparse=sparse)
    gradient = problem(theta, rows)[1]
    expected = five_point(partial(value_at, problem, rows=rows), theta)
    assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("tie_output", OUTPUT_TIES)
@pytest.mark.parametrize("tie", TIES)
def test_value_is_the_formula_in_the_parameters(tie, tie_output, n_classes, sparse):
    problem, theta = make_network("softmax", n_classes, tie, tie_output, sparse)
    first, second = problem.parameters(theta)
    to_rows = problem.loss.expand
    anchor = to_rows(problem.output.anchor)
    formula = Formula(
        np.asarray(problem.X.todense()) if sparse else problem.X,
        np.arange(12) % n_classes,
        problem.weight,
        "softmax",
        0.4,
        tie,
        tie_output,
        (problem.hidden.anchor[:, :-1], problem.hidden.anchor[:, -1]),
        (anchor[:, :-1], anchor[:, -1]),
    )
    second = to_rows(second)
    expected = formula(first[:, :-1], first[:, -1], second[:, :-1], second[:, -1])
    assert_allclose(problem(theta, None)[0], expected, rtol=1e-10)


@pytest.mark.parametrize("size", [1, 3, 4, 6])
@pytest.mark.parametrize("tie", [0.0, 2.0, INF])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_batches_of_one_size_average_to_the_whole(size, tie, sparse):
    problem, theta = make_network(tie=tie, sparse=sparse)
    order = np.random.default_rng(0).permutation(12)
    parts = [problem(theta, rows) for rows in order.reshape(-1, size)]
    value, gradient = problem(theta, None)
    assert_allclose(np.mean([part[0] for part in parts]), value, rtol=1e-12)
    mean = np.mean([part[1] for part in parts], axis=0)
    assert_allclose(mean, gradient, rtol=1e-10, atol=1e-14)
    assert np.ptp([part[0] for part in parts]) > 1e-3, "and are not the whole"


def test_an_evaluation_changes_no_array(data):
    for activation in ACTIVATIONS:
        problem, theta = make_network(activation)
        held = [problem.X, problem.y, problem.weight, theta]
        held += [problem.hidden.anchor, problem.output.anchor]
        before = [array.copy() for array in held]
        first = problem(theta, None)
        problem(theta, np.array([1, 2]))
        problem.accuracy(theta)
        for array, copy in zip(held, before, strict=True):
            assert_array_equal(array, copy)
        again = problem(theta, None)
        assert first[0] == again[0]
        assert_array_equal(first[1], again[1])


@pytest.mark.parametrize("tie_output", OUTPUT_TIES)
@pytest.mark.parametrize("tie", TIES)
def test_a_point_holds_what_can_move(tie, tie_output):
    problem, theta = make_network(tie=tie, tie_output=tie_output)
    sizes = problem.hidden.anchor.size, problem.output.anchor.size
    free = [size for size, t in zip(sizes, (tie, tie_output), strict=True) if t < INF]
    assert theta.shape == (sum(free),)
    assert_array_equal(problem.join(*problem.split(theta)), theta)
    for layer, found in zip(
        (problem.hidden, problem.output), problem.parameters(theta), strict=True
    ):
        moved = np.abs(found - layer.anchor).max() > 0
        assert moved == (layer.tie_pair < INF)


@pytest.mark.parametrize("tie", [0.0, 0.3, 1e6])
def test_coordinates_and_parameters_are_inverse(tie):
    layer = tied_layer(np.arange(6.0).reshape(2, 3), tie, 0.0)
    target = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 9.0]])
    assert_allclose(layer.weights(layer.locate(target)), target, rtol=1e-12)
    # One unit of U is (1 + tie)^(-1/2) of a parameter.
    one = layer.weights(np.ones((2, 3))) - layer.anchor
    assert_allclose(one, (1 + tie) ** -0.5, rtol=1e-9)


def test_an_infinite_tie_has_one_place(data):
    layer = tied_layer(np.arange(6.0).reshape(2, 3), INF, 0.0)
    assert_array_equal(layer.weights(np.full((2, 3), 5.0)), layer.anchor)
    assert_array_equal(layer.locate(np.ones((2, 3))), np.zeros((2, 3)))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("tie", [0.3, INF])
def test_accuracy_is_the_weighted_share_of_right_rows(n_classes, tie):
    problem, theta = make_network("relu", n_classes, tie)
    first, second = problem.parameters(theta)
    second = problem.loss.expand(second)
    units = UNITS["relu"](problem.X @ first[:, :-1].T + first[:, -1])
    raw = units @ second[:, :-1].T + second[:, -1]
    found = raw[:, 0] > 0 if n_classes == 2 else raw.argmax(axis=1)
    right = found == np.arange(12) % n_classes
    expected = problem.weight[right].sum() / problem.weight.sum()
    assert 0 < expected < 1
    assert_allclose(problem.accuracy(theta), expected, rtol=1e-12)


TORCH_UNITS = {
    "identity": lambda torch, raw: raw,
    "relu": lambda torch, raw: torch.relu(raw),
    "tanh": lambda torch, raw: torch.tanh(raw),
    "logistic": lambda torch, raw: torch.sigmoid(raw),
    "softmax": lambda torch, raw: torch.softmax(raw, dim=1),
}


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_gradient_by_torch_autograd(activation, n_classes):
    torch = pytest.importorskip("torch")
    for tie, tie_output in product([0.0, 0.3, 1e6], [0.0, 2.0]):
        problem, theta = make_network(activation, n_classes, tie, tie_output)
        point = torch.tensor(theta, requires_grad=True)
        size = problem.hidden.anchor.size
        total = torch.zeros((), dtype=torch.float64)
        parts = []
        for layer, U in [
            (problem.hidden, point[:size]),
            (problem.output, point[size:]),
        ]:
            anchor = torch.tensor(layer.anchor)
            away = U.reshape(anchor.shape) / np.sqrt(1 + layer.tie_pair)
            parts.append(anchor + away)
            total = total + layer.tie_pair / 2 * away.square().sum()
            total = total + 0.4 / 2 * parts[-1][:, :-1].square().sum()
        first, second = parts
        units = torch.tensor(problem.X) @ first[:, :-1].T + first[:, -1]
        units = TORCH_UNITS[activation](torch, units)
        basis = torch.tensor(np.asarray(problem.loss.expand(np.eye(len(second)))))
        raw = (units @ second[:, :-1].T + second[:, -1]) @ basis.T
        if n_classes == 2:
            raw = torch.cat([torch.zeros_like(raw), raw], dim=1)
        y = torch.tensor(np.arange(12) % n_classes)
        losses = torch.nn.functional.cross_entropy(raw, y, reduction="none")
        weight = torch.tensor(problem.weight)
        value = ((weight * losses).sum() + total) / weight.sum()
        value.backward()
        found, gradient = problem(theta, None)
        assert_allclose(found, value.item(), rtol=1e-10)
        assert_allclose(gradient, point.grad.numpy(), rtol=1e-8, atol=1e-10)


# ---- the minimum ---------------------------------------------------------------------


def flat_objective(formula, model):
    """Return the formula of a flat vector of what is free, and where the model is."""
    parts = list(layers(model))
    ties = formula.tie, formula.tie, formula.tie_output, formula.tie_output
    free = [i for i in range(4) if ties[i] != INF]
    ends = np.cumsum([parts[i].size for i in free])

    def value(z):
        out = list(parts)
        for i, part in zip(free, np.split(z, ends[:-1]), strict=True):
            out[i] = part.reshape(parts[i].shape)
        return formula(*out)

    return value, np.concatenate([parts[i].ravel() for i in free])


@pytest.mark.parametrize(
    ("pair", "tie", "tie_output"),
    [
        ("none", 0.0, 0.0),
        ("k-means", 0.5, 0.0),
        ("k-means", 30.0, 3.0),
        ("k-means", INF, 0.0),
        ("k-means", INF, 3.0),
        ("tanh", 0.5, 1.0),
        ("tanh", 2.0, INF),
    ],
)
def test_nothing_lower_is_found_from_the_solution(data, pair, tie, tie_output):
    X, y, weight = data
    model = TiedMLPClassifier(
        PAIRS[pair],
        hidden_units=3,
        activation="tanh",
        tie=tie,
        tie_output=tie_output,
        alpha=0.3,
        tol=1e-8,
        random_state=0,
    ).fit(X, y, weight)
    formula = formula_of(model, X, y, weight, y)
    value, start = flat_objective(formula, model)
    assert_allclose(value(start), model.loss_, rtol=1e-10)
    slope = five_point(value, start)
    assert np.abs(slope).max() < 1e-6
    found = minimize(
        value,
        start + 1e-4 * np.random.default_rng(0).normal(size=start.size),
        jac=lambda z: five_point(value, z),
        method="BFGS",
        options={"maxiter": 30},
    )
    assert found.fun >= model.loss_ - 1e-8


@pytest.mark.parametrize("pair", ["k-means", "tanh"])
def test_pulled_by_decay_and_tie_alone_the_weights_are_their_weighted_mean(pair):
    # An output layer that is held at zero sends nothing back.
    X, y, _ = make_data(2)
    prior = PAIRS[pair]
    fitted = clone(prior).fit(X)

    class Silent(type(prior)):
        def readout_anchor(self, X, y_index, n_classes, sample_weight=None):
            return np.zeros((n_classes, len(self.coef_))), np.zeros(n_classes)

    fitted.__class__ = Silent
    model = TiedMLPClassifier(
        FrozenEstimator(fitted), tie=3.0, tie_output=INF, alpha=1.5, tol=1e-12
    ).fit(X, y)
    assert_allclose(model.coefs_[0].T, fitted.coef_ * 3.0 / 4.5, rtol=1e-7)
    assert_allclose(model.intercepts_[0], fitted.intercept_, rtol=1e-7)
    assert_allclose(model.predict_proba(X), 0.5)


def test_balanced_class_weights_are_those_of_scikit_learn(data):
    X, y, _ = data
    X, y = X[:50], y[:50]
    model = interrupted(
        plain_network("tanh", class_weight="balanced", max_iter=3), X, y
    )
    weight = compute_sample_weight("balanced", y)
    assert np.ptp(weight) > 0
    formula = formula_of(model, X, y, weight, y)
    assert_allclose(model.loss_, formula(*layers(model)), rtol=1e-10)
