"""AutoencoderPrior: its objective and gradient, PCA and k-means as its ends."""

from functools import cache

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import subspace_angles
from scipy.special import softmax
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from sktie import AutoencoderPrior
from sktie._compat import HAS_CALLBACKS
from sktie.priors import _autoencoder
from sktie.priors._reconstruction import Reconstruction

SHARES = ["decoder", None]
FORMS = [(a, s) for a in ("softmax", "relu", "tanh", "identity") for s in SHARES]
forms = pytest.mark.parametrize(("activation", "share"), FORMS)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])

FUNCTIONS = {
    "softmax": lambda z: softmax(z, axis=1),
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "identity": lambda z: z,
}


def cloud(n=80, p=4, seed=0):
    """Rows without clusters, of unequal spread, away from the origin."""
    spread = np.linspace(0.5, 2.0, p)
    return np.random.default_rng(seed).normal(size=(n, p)) * spread + 3.0


def blobs(n_each=25, p=3, n_clusters=5, spread=0.5, seed=0):
    rng = np.random.default_rng(seed)
    centres = 4 * rng.normal(size=(n_clusters, p))
    return centres.repeat(n_each, axis=0) + spread * rng.normal(
        size=(n_clusters * n_each, p)
    )


# ---- the objective, by its formula ---------------------------------------------------


def naive_objective(theta, X, weight, k, activation, share, temperature, alpha):
    """The share of the variance that is lost, and decay; rows measured from the mean.

    With softmax units and sharing, theta is the centres alone; otherwise the encoder,
    its intercepts, those of the decoder and, if separate, the decoder.
    """
    p = X.shape[1]
    encoder = theta[: k * p].reshape(k, p)
    if activation == "softmax" and share == "decoder":
        decoder, shift = encoder, 0.0
        if temperature > 0:
            raw = X @ (encoder / temperature).T
            raw -= np.sum(encoder**2, axis=1) / (2 * temperature)
            units = softmax(raw, axis=1)
        else:
            squared = np.square(X[:, np.newaxis] - encoder).sum(axis=2)
            units = np.eye(k)[squared.argmin(axis=1)]
    else:
        units = FUNCTIONS[activation](X @ encoder.T + theta[k * p : k * p + k])
        shift = theta[k * p + k : k * p + k + p]
        decoder = encoder if share else theta[k * p + k + p :].reshape(k, p)
    lost = weight @ np.square(X - units @ decoder - shift).sum(axis=1)
    decay = np.sum(encoder**2) + (0 if share else np.sum(decoder**2))
    total = weight @ np.square(X).sum(axis=1)
    return lost / total + alpha / (2 * weight.sum()) * decay


def make_problem(activation, share, temperature=0.7, alpha=0.0, weighted=True, k=3):
    """An objective at a point where no relu and no nearest centre is about to turn."""
    rng = np.random.default_rng(1)
    X = cloud(40)
    weight = rng.uniform(0.5, 2.0, 40) if weighted else np.ones(40)
    X -= np.average(X, axis=0, weights=weight)
    problem = Reconstruction(
        X=X,
        weight=weight,
        total=float(weight @ np.square(X).sum(axis=1)),
        n_units=k,
        activation=activation,
        share=share == "decoder",
        temperature=temperature,
        alpha=alpha,
    )
    size = sum(int(np.prod(shape)) for shape in problem.shapes)
    return problem, rng.normal(size=size)


def naive_of(problem, theta):
    return naive_objective(
        theta,
        problem.X,
        problem.weight,
        problem.n_units,
        problem.activation,
        "decoder" if problem.share else None,
        problem.temperature,
        problem.alpha,
    )


def five_point(f, x, h=1e-4):
    gradient = np.empty_like(x)
    for i, step in enumerate(np.eye(len(x)) * h):
        near, far = f(x + step) - f(x - step), f(x + 2 * step) - f(x - 2 * step)
        gradient[i] = (8 * near - far) / (12 * h)
    return gradient


objectives = pytest.mark.parametrize(
    ("activation", "share", "temperature"),
    [
        (activation, share, temperature)
        for activation, share in FORMS
        for temperature in ((0.0, 0.7, 5.0) if activation == "softmax" else (1.0,))
        # Hard codes need centres: an encoder of its own is not trained through them.
        if share or temperature
    ],
)


@objectives
@pytest.mark.parametrize("alpha", [0.0, 3.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_gradient(activation, share, temperature, alpha, weighted):
    if activation == "softmax" and share is None:
        temperature = 1.0  # no part of a separate encoder's objective
    problem, theta = make_problem(activation, share, temperature, alpha, weighted)
    value, gradient = problem(theta.copy(), None)
    assert_allclose(value, naive_of(problem, theta), rtol=1e-12)
    expected = five_point(lambda point: naive_of(problem, point), theta)
    assert_allclose(gradient, expected, atol=1e-9)
    assert np.abs(gradient).max() > 1e-2


@objectives
def test_batches_of_equal_size_average_to_all_rows(activation, share, temperature):
    problem, theta = make_problem(activation, share, temperature, alpha=3.0)
    order = np.random.default_rng(0).permutation(40)
    parts = [problem(theta, rows) for rows in order.reshape(4, 10)]
    values, gradients = zip(*parts, strict=True)
    value, gradient = problem(theta, None)
    assert_allclose(np.mean(values), value, rtol=1e-12)
    assert_allclose(np.mean(gradients, axis=0), gradient, atol=1e-12)
    assert np.ptp(values) > 1e-3


@objectives
def test_the_gradient_of_a_batch_is_that_of_its_value(activation, share, temperature):
    problem, theta = make_problem(activation, share, temperature, alpha=3.0)
    rows = np.array([3, 17, 5, 30, 31, 8, 1])
    expected = five_point(lambda point: problem(point, rows)[0], theta)
    assert_allclose(problem(theta, rows)[1], expected, atol=1e-9)


@forms
def test_an_evaluation_changes_nothing(activation, share):
    problem, theta = make_problem(activation, share, alpha=3.0)
    X, weight, point = problem.X.copy(), problem.weight.copy(), theta.copy()
    first = problem(theta, None)
    second = problem(theta, None)
    assert first[0] == second[0]
    assert_array_equal(first[1], second[1])
    assert_array_equal(problem.X, X)
    assert_array_equal(problem.weight, weight)
    assert_array_equal(theta, point)


@objectives
@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_the_gradient_is_that_of_torch(activation, share, temperature, alpha):
    torch = pytest.importorskip("torch")
    problem, flat = make_problem(activation, share, temperature, alpha)
    X, weight = torch.from_numpy(problem.X), torch.from_numpy(problem.weight)
    theta = torch.from_numpy(flat.copy()).requires_grad_()
    sizes = [int(np.prod(shape)) for shape in problem.shapes]
    parts = [
        part.reshape(shape)
        for part, shape in zip(torch.split(theta, sizes), problem.shapes, strict=True)
    ]
    encoder = parts[0]
    if activation == "softmax" and share:
        squared = ((X[:, None] - encoder) ** 2).sum(dim=2)
        if temperature > 0:
            units = torch.softmax(-squared / (2 * temperature), dim=1)
        else:
            nearest = squared.argmin(dim=1)
            units = torch.nn.functional.one_hot(nearest, 3).to(X.dtype)
        decoder, shift = encoder, 0.0
    else:
        raw = torch.nn.functional.linear(X, encoder, parts[1])
        units = {
            "softmax": lambda z: torch.softmax(z, dim=1),
            "relu": torch.relu,
            "tanh": torch.tanh,
            "identity": lambda z: z,
        }[activation](raw)
        decoder, shift = encoder if share else parts[3], parts[2]
    error = ((X - units @ decoder - shift) ** 2).sum(dim=1)
    decay = (encoder**2).sum() + (0 if share else (decoder**2).sum())
    value = (weight * error).sum() / (weight[:, None] * X**2).sum()
    value = value + alpha / (2 * weight.sum()) * decay
    value.backward()
    found, gradient = problem(flat, None)
    assert_allclose(found, value.item(), rtol=1e-12)
    assert_allclose(gradient, theta.grad.numpy(), atol=1e-12)


# ---- a fit, by its formula -----------------------------------------------------------


def parameters(prior, mean):
    """The parameters of a fit, for rows measured from their mean, from its attributes.

    The encoder's intercepts are for rows as they are; the mean is put back in.
    """
    if prior.activation == "softmax" and prior.share:
        return prior.decoder_coef_.ravel()
    parts = [
        prior.coef_,
        prior.intercept_ + prior.coef_ @ mean,
        prior.decoder_intercept_ - mean,
    ]
    if prior.share is None:
        parts.append(prior.decoder_coef_)
    return np.concatenate([part.ravel() for part in parts])


FITS = {
    "tol": 1e-6,
    "max_iter": 5000,
    "random_state": 0,
}


@forms
@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_the_objective_at_the_fit(activation, share, alpha, weighted):
    X = cloud()
    weight = np.random.default_rng(0).uniform(0.5, 2, 80) if weighted else None
    # Without decay the weights of an encoder of its own may grow without end.
    settings = FITS | {"tol": 1e-5 if share else 1e-3}
    prior = AutoencoderPrior(
        3, activation=activation, share=share, alpha=alpha, **settings
    )
    prior.fit(X, sample_weight=weight)
    weight = np.ones(80) if weight is None else weight
    mean = np.average(X, axis=0, weights=weight)
    theta = parameters(prior, mean)
    temperature = getattr(prior, "temperature_", None)

    def objective(point):
        return naive_objective(
            point, X - mean, weight, 3, activation, share, temperature, alpha
        )

    assert_allclose(prior.loss_, objective(theta), rtol=1e-9)
    if activation != "relu":  # a minimum may be at a kink
        assert np.abs(five_point(objective, theta)).max() < 10 * settings["tol"]
    assert 0 < prior.loss_ < 1
    assert_allclose(prior.loss_curve_[-1], prior.loss_, rtol=1e-12)
    assert prior.n_iter_ == len(prior.loss_curve_)
    assert (np.diff(prior.loss_curve_) <= 0).all()


@forms
def test_the_loss_is_what_reconstruction_loses(activation, share):
    X = cloud()
    prior = AutoencoderPrior(
        3, activation=activation, share=share, tol=1e-3, random_state=0
    ).fit(X)
    lost = np.square(X - prior.reconstruct(X)).sum()
    assert_allclose(prior.loss_, lost / np.square(X - X.mean(axis=0)).sum())


@forms
@dtypes
def test_transform_and_reconstruct_are_encoder_and_decoder(activation, share, dtype):
    X = cloud().astype(dtype)
    prior = AutoencoderPrior(
        3, activation=activation, share=share, tol=1e-3, random_state=0
    ).fit(X)
    new = cloud(20, seed=1).astype(dtype)
    code = prior.transform(new)
    tolerance = {"rtol": 0, "atol": 1e3 * np.finfo(dtype).eps}
    raw = new @ prior.coef_.T + prior.intercept_
    assert_allclose(code, FUNCTIONS[activation](raw), **tolerance)
    back = code @ prior.decoder_coef_ + prior.decoder_intercept_
    assert_allclose(prior.inverse_transform(code), back, **tolerance)
    assert_allclose(prior.reconstruct(new), back, **tolerance)
    shapes = {
        "coef_": (3, 4),
        "intercept_": (3,),
        "decoder_coef_": (3, 4),
        "decoder_intercept_": (4,),
    }
    for name, shape in shapes.items():
        assert getattr(prior, name).shape == shape, name
        assert getattr(prior, name).dtype == dtype, name
    assert code.dtype == back.dtype == prior.reconstruct(new).dtype == dtype
    assert hasattr(prior, "temperature_") == (activation == "softmax")


# ---- sharing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "share", "expected"),
    [
        ("softmax", "decoder", 5 * 4 + 4 + 1),  # centres, mean and temperature
        ("relu", "decoder", 5 * 4 + 5 + 4),
        ("tanh", "decoder", 5 * 4 + 5 + 4),
        ("identity", "decoder", 5 * 4 + 5 + 4),
        ("softmax", None, 2 * 5 * 4 + 5 + 4),
        ("relu", None, 2 * 5 * 4 + 5 + 4),
        ("tanh", None, 2 * 5 * 4 + 5 + 4),
        ("identity", None, 2 * 5 * 4 + 5 + 4),
    ],
)
def test_stored_parameters_are_counted(activation, share, expected):
    prior = AutoencoderPrior(
        5, activation=activation, share=share, tol=0.1, random_state=0
    ).fit(cloud())
    assert prior.n_stored_parameters_ == expected


@forms
def test_a_shared_decoder_is_the_encoder_stored_once(activation, share):
    prior = AutoencoderPrior(
        5, activation=activation, share=share, tol=0.1, random_state=0
    ).fit(cloud())
    arrays = [a for a in vars(prior).values() if isinstance(a, np.ndarray)]
    matrices = [a for a in arrays if a.ndim == 2]
    assert len(matrices) == (1 if share else 2)
    assert sum(a.size for a in matrices) == 5 * 4 * len(matrices)
    if share is None:
        assert np.abs(prior.coef_ - prior.decoder_coef_).max() > 1e-3
    elif activation == "softmax":
        assert_allclose(prior.coef_ * prior.temperature_, prior.decoder_coef_)
    else:
        assert np.shares_memory(prior.coef_, prior.decoder_coef_)


def test_softmax_units_that_share_are_responsibilities_of_centres():
    X = cloud()
    prior = AutoencoderPrior(4, tol=1e-3, random_state=0).fit(X)
    centres = prior.decoder_coef_ + prior.decoder_intercept_
    assert_allclose(prior.inverse_transform(np.eye(4)), centres, rtol=1e-12)
    assert_allclose(prior.decoder_intercept_, X.mean(axis=0))
    squared = np.square(X[:, np.newaxis] - centres).sum(axis=2)
    expected = softmax(-squared / (2 * prior.temperature_), axis=1)
    assert_allclose(prior.transform(X), expected, atol=1e-12)


def test_a_decoder_of_its_own_loses_no_more():
    for activation in FUNCTIONS:
        shared, separate = (
            AutoencoderPrior(
                3, activation=activation, share=share, tol=1e-3, random_state=0
            )
            .fit(cloud())
            .loss_
            for share in SHARES
        )
        assert separate < shared + 0.01


# ---- identity units are principal components -----------------------------------------


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("share", SHARES)
def test_identity_units_span_the_principal_subspace(k, weighted, share):
    X = cloud(100, 5)
    count = np.random.default_rng(0).integers(0, 4, 100) if weighted else None
    prior = AutoencoderPrior(
        k, activation="identity", share=share, **FITS | {"tol": 1e-10}
    ).fit(X, sample_weight=count)
    rows = X.repeat(count, axis=0) if weighted else X
    pca = PCA(k).fit(rows)
    angles = subspace_angles(prior.coef_.T, pca.components_.T)
    assert angles.max() < 1e-6
    angles = subspace_angles(prior.decoder_coef_.T, pca.components_.T)
    assert angles.max() < 1e-6
    expected = pca.inverse_transform(pca.transform(X))
    assert_allclose(prior.reconstruct(X), expected, atol=1e-5)
    assert_allclose(prior.loss_, 1 - pca.explained_variance_ratio_.sum(), rtol=1e-10)


def test_shared_identity_units_are_orthonormal():
    prior = AutoencoderPrior(3, activation="identity", **FITS | {"tol": 1e-10})
    coef = prior.fit(cloud(100, 5)).coef_
    assert_allclose(coef @ coef.T, np.eye(3), atol=1e-6)


def test_decay_shrinks_the_units():
    norms = [
        np.linalg.norm(
            AutoencoderPrior(3, activation="identity", alpha=alpha, random_state=0)
            .fit(cloud())
            .coef_
        )
        for alpha in (0.0, 1.0, 10.0)
    ]
    assert norms[0] > norms[1] > norms[2]


# ---- hard codes are k-means ----------------------------------------------------------

HARD = {"temperature": 0, "tol": 1e-9, "max_iter": 5000}
CLOUDS = {
    "cloud": lambda: (cloud(70, 3), 5),
    "plane": lambda: (cloud(70, 2), 7),
    "blobs": lambda: (blobs(), 5),
    "far": lambda: (blobs() + 100, 5),
    "line": lambda: (cloud(60, 1), 4),
}


@cache
def hard_fit(name, seed):
    X, k = CLOUDS[name]()
    return X, AutoencoderPrior(k, random_state=seed, **HARD).fit(X)


hard_fits = pytest.mark.parametrize(
    ("name", "seed"), [(name, seed) for name in CLOUDS for seed in range(3)]
)


def centres_of(prior):
    return prior.decoder_coef_ + prior.decoder_intercept_


@hard_fits
def test_hard_codes_end_at_a_fixed_point_of_kmeans(name, seed):
    X, prior = hard_fit(name, seed)
    centres = centres_of(prior)
    squared = np.square(X[:, np.newaxis] - centres).sum(axis=2)
    nearest = squared.argmin(axis=1)
    assert len(np.unique(nearest)) == len(centres)
    means = [X[nearest == h].mean(axis=0) for h in range(len(centres))]
    assert_allclose(centres, means, atol=1e-6)
    lloyd = KMeans(len(centres), init=centres, n_init=1, max_iter=1, tol=0).fit(X)
    assert_allclose(lloyd.cluster_centers_, centres, atol=1e-6)
    assert_array_equal(lloyd.labels_, nearest)
    total = np.square(X - X.mean(axis=0)).sum()
    assert_allclose(prior.loss_, lloyd.inertia_ / total, rtol=1e-9)


@hard_fits
def test_hard_codes_are_codes_at_the_least_temperature(name, seed):
    X, prior = hard_fit(name, seed)
    spread = np.square(X - X.mean(axis=0)).sum(axis=1).mean()
    assert_allclose(prior.temperature_, 1e-6 * spread)
    centres = centres_of(prior)
    squared = np.square(X[:, np.newaxis] - centres).sum(axis=2)
    assert_array_equal(prior.transform(X).argmax(axis=1), squared.argmin(axis=1))
    near, next_near = np.partition(squared, 1, axis=1)[:, :2].T
    clear = next_near - near > 1e-3 * spread
    assert clear.mean() > 0.9
    expected = centres[squared.argmin(axis=1)]
    assert_allclose(prior.reconstruct(X)[clear], expected[clear], atol=1e-6)


def test_hard_codes_are_as_good_as_kmeans():
    """Over some data sets: on each, both end in better or worse local minima."""
    ratios = []
    for seed in range(8):
        X = cloud(100, 3, seed)
        total = np.square(X - X.mean(axis=0)).sum()
        prior = AutoencoderPrior(6, random_state=seed, **HARD | {"tol": 1e-5}).fit(X)
        theirs = [KMeans(6, n_init=1, random_state=s).fit(X).inertia_ for s in range(9)]
        ratios.append(prior.loss_ * total / np.median(theirs))
    assert np.mean(ratios) < 1.0


def test_hard_codes_of_weighted_rows():
    X = cloud(60, 2)
    weight = np.random.default_rng(0).uniform(0.2, 3, 60)
    prior = AutoencoderPrior(4, random_state=0, **HARD).fit(X, sample_weight=weight)
    centres = centres_of(prior)
    nearest = np.square(X[:, np.newaxis] - centres).sum(axis=2).argmin(axis=1)
    means = [
        np.average(X[nearest == h], axis=0, weights=weight[nearest == h])
        for h in range(4)
    ]
    assert_allclose(centres, means, atol=1e-6)


# ---- temperature ---------------------------------------------------------------------


def test_the_temperature_asked_for_is_reached():
    X = blobs()
    for temperature in (1e-3, 0.1, 1.0, 50.0):
        prior = AutoencoderPrior(5, temperature=temperature, tol=0.01, random_state=0)
        assert prior.fit(X).temperature_ == pytest.approx(temperature, rel=1e-12)
        theta = parameters(prior, X.mean(axis=0))
        rows = X - X.mean(axis=0)
        expected = naive_objective(
            theta, rows, np.ones(len(X)), 5, "softmax", "decoder", temperature, 0.0
        )
        assert_allclose(prior.loss_, expected, rtol=1e-9)


def test_a_temperature_below_the_floor_is_raised_to_it():
    X = blobs()
    spread = np.square(X - X.mean(axis=0)).sum(axis=1).mean()
    prior = AutoencoderPrior(5, temperature=1e-12, tol=0.01, random_state=0).fit(X)
    assert_allclose(prior.temperature_, 1e-6 * spread)


@pytest.mark.parametrize("share", SHARES)
def test_the_automatic_temperature_goes_with_the_square_of_the_unit(share):
    X = blobs()
    one, other = (
        AutoencoderPrior(5, share=share, tol=0.1, random_state=0).fit(X * unit)
        for unit in (1.0, 8.0)
    )
    assert_allclose(other.temperature_, 64 * one.temperature_)


@pytest.mark.parametrize("unit", [2.0**-10, 2.0**4, 2.0**10])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0},
        {"share": None},
        {"solver": "adam", "max_iter": 200, "tol": 0, "learning_rate_init": 0.02},
        {"activation": "identity"},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_unit_of_the_rows_does_not_matter(settings, unit):
    """The objective is a share of the variance; grey values up to 255 are no trap.

    A power of two changes no digit of the rows, and so no start.
    """
    X = blobs()
    prior = AutoencoderPrior(5, random_state=0, **settings)
    one, other = clone(prior).fit(X), clone(prior).fit(X * unit)
    assert_allclose(other.loss_, one.loss_, rtol=1e-3, atol=1e-4)
    expected = one.reconstruct(X) - X.mean(axis=0)
    found = other.reconstruct(X * unit) / unit - X.mean(axis=0)
    assert_allclose(found, expected, atol=0.2)


# ---- training ------------------------------------------------------------------------


def assert_same_fit(one, other):
    for name in (
        "coef_",
        "intercept_",
        "decoder_coef_",
        "decoder_intercept_",
        "loss_",
        "loss_curve_",
        "n_iter_",
    ):
        assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


SOLVERS = {
    "lbfgs": {"solver": "lbfgs", "max_iter": 40, "tol": 1e-3},
    "adam": {"solver": "adam", "max_iter": 15, "batch_size": 16, "tol": 0.0},
}
solvers = pytest.mark.parametrize("solver", SOLVERS)
# A fit of a few epochs is compared with another; neither has to converge.
unconverged = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning"
)


@forms
@solvers
@dtypes
@unconverged
def test_a_weight_is_so_many_equal_rows(activation, share, solver, dtype):
    X = cloud().astype(dtype)
    count = np.random.default_rng(0).integers(0, 4, 80)
    prior = AutoencoderPrior(
        3, activation=activation, share=share, random_state=0, **SOLVERS[solver]
    )
    weighted = clone(prior).fit(X, sample_weight=count)
    repeated = clone(prior).fit(X.repeat(count, axis=0))
    assert_same_fit(weighted, repeated)


@forms
@solvers
@unconverged
def test_the_order_of_the_rows_does_not_matter(activation, share, solver):
    X = np.vstack([cloud(), cloud()[:20]])
    weight = np.random.default_rng(0).integers(1, 5, 100)
    order = np.random.default_rng(1).permutation(100)
    prior = AutoencoderPrior(
        3, activation=activation, share=share, random_state=0, **SOLVERS[solver]
    )
    one = clone(prior).fit(X, sample_weight=weight)
    other = clone(prior).fit(X[order], sample_weight=weight[order])
    assert_same_fit(one, other)


@solvers
@unconverged
def test_weights_pull_the_fit(solver):
    X = cloud()
    prior = AutoencoderPrior(3, random_state=0, **SOLVERS[solver])
    even, uneven = (
        clone(prior).fit(X, sample_weight=weight)
        for weight in (None, np.linspace(0.01, 1, 80))
    )
    assert np.abs(even.decoder_intercept_ - uneven.decoder_intercept_).max() > 1e-2
    doubled = clone(prior).fit(X, sample_weight=np.full(80, 2.0))
    assert_allclose(doubled.coef_, even.coef_, rtol=1e-6)


@forms
@solvers
@unconverged
def test_random_state_makes_fits_repeatable(activation, share, solver):
    prior = AutoencoderPrior(3, activation=activation, share=share, **SOLVERS[solver])
    one, same, other, generator = (
        clone(prior).set_params(random_state=seed).fit(cloud())
        for seed in (0, 0, 1, np.random.RandomState(0))
    )
    assert_same_fit(one, same)
    assert_same_fit(one, generator)
    assert np.abs(one.coef_ - other.coef_).max() > 1e-6


@forms
@unconverged
def test_adam_reduces_the_loss(activation, share):
    prior = AutoencoderPrior(
        3,
        activation=activation,
        share=share,
        solver="adam",
        learning_rate_init=0.01,
        batch_size=20,
        max_iter=100,
        random_state=0,
    )
    prior.fit(cloud())
    assert prior.loss_ < 0.9 * prior.loss_curve_[0]
    best = clone(prior).set_params(solver="lbfgs", max_iter=2000).fit(cloud())
    assert prior.loss_ < best.loss_ + 0.15
    assert len(prior.loss_curve_) == prior.n_iter_ <= 100


@unconverged
def test_the_solver_follows_the_size_of_the_problem(monkeypatch):
    X = cloud()
    settings = {"max_iter": 5, "tol": 1e-8, "random_state": 0}
    auto = AutoencoderPrior(3, **settings)
    by_name = {
        solver: clone(auto).set_params(solver=solver).fit(X)
        for solver in ("lbfgs", "adam")
    }
    assert_same_fit(clone(auto).fit(X), by_name["lbfgs"])
    monkeypatch.setattr(_autoencoder, "LBFGS_WORK", 80 * 4 * 3)
    assert_same_fit(clone(auto).fit(X), by_name["adam"])
    monkeypatch.setattr(_autoencoder, "LBFGS_WORK", 80 * 4 * 3 + 1)
    assert_same_fit(clone(auto).fit(X), by_name["lbfgs"])


@unconverged
def test_batches_of_200_rows_are_the_default():
    X = cloud(450)
    prior = AutoencoderPrior(3, solver="adam", max_iter=4, random_state=0)
    auto = clone(prior).fit(X)
    assert_same_fit(auto, clone(prior).set_params(batch_size=200).fit(X))
    larger = clone(prior).set_params(batch_size=450).fit(X)
    assert np.abs(larger.coef_ - auto.coef_).max() > 0
    assert_same_fit(larger, clone(prior).set_params(batch_size=10_000).fit(X))


@solvers
def test_the_end_of_the_iterations_is_a_warning(solver):
    prior = AutoencoderPrior(3, solver=solver, max_iter=1, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"max_iter=1 .*Increase max_iter"):
        prior.fit(cloud())
    assert prior.n_iter_ == 1


@solvers
@unconverged
def test_verbose_prints_every_iteration(solver, capsys):
    prior = AutoencoderPrior(3, random_state=0, **SOLVERS[solver]).fit(cloud())
    assert capsys.readouterr().out == ""
    prior.set_params(verbose=1).fit(cloud())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == prior.n_iter_
    printed = [float(line.split()[-1]) for line in lines]
    assert_allclose(printed, prior.loss_curve_, rtol=1e-6)


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn >= 1.9 has callbacks")
@pytest.mark.parametrize("temperature", ["auto", 0])
def test_callbacks_see_every_iteration(temperature):
    seen = []

    class Counting:
        def setup(self, estimator, context):
            seen.append("setup")

        def teardown(self, estimator, context):
            seen.append("teardown")

        def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
            assert X.shape == (80, 4)

        def on_fit_task_end(self, estimator, context, *, X=None, y=None):
            seen.append(f"end {context.task_name}")

    prior = AutoencoderPrior(3, temperature=temperature, random_state=0)
    prior.set_callbacks(Counting()).fit(cloud())
    assert seen.count("end iteration") == prior.n_iter_
    assert seen.count("setup") == seen.count("teardown") == 1
    plain = AutoencoderPrior(3, temperature=temperature, random_state=0).fit(cloud())
    assert_same_fit(prior, plain)


@forms
def test_single_precision_trains_as_well(activation, share):
    losses = [
        AutoencoderPrior(
            3, activation=activation, share=share, alpha=0.1, random_state=0
        )
        .fit(blobs(n_clusters=3).astype(dtype))
        .loss_
        for dtype in (np.float32, np.float64)
    ]
    assert_allclose(losses[0], losses[1], rtol=0.05, atol=2e-3)


def test_a_fit_changes_neither_rows_nor_parameters():
    X, weight = cloud(), np.ones(80)
    for activation, share in FORMS:
        prior = AutoencoderPrior(
            3, activation=activation, share=share, tol=0.1, random_state=0
        )
        before = prior.get_params()
        prior.fit(X, sample_weight=weight)
        prior.reconstruct(X)
        assert_array_equal(X, cloud())
        assert_array_equal(weight, 1)
        assert prior.get_params() == before


def test_a_new_fit_forgets_the_old_one():
    X = cloud()
    prior = AutoencoderPrior(3, tol=0.1, random_state=0).fit(X)
    assert prior.temperature_ > 0
    prior.set_params(activation="relu", share=None).fit(X)
    assert not hasattr(prior, "temperature_")
    fresh = AutoencoderPrior(
        3, activation="relu", share=None, tol=0.1, random_state=0
    ).fit(X)
    assert_same_fit(prior, fresh)
    prior.set_params(share="decoder").fit(X)
    assert prior.coef_ is prior.decoder_coef_


# ---- rows that are all alike, or few -------------------------------------------------


@forms
def test_rows_that_are_all_alike_are_reconstructed(activation, share):
    X = np.full((5, 3), 2.0)
    prior = AutoencoderPrior(1, activation=activation, share=share, random_state=0)
    prior.fit(X)
    assert_allclose(prior.reconstruct(X), X, atol=1e-2)
    assert np.isfinite(prior.coef_).all()
    assert prior.loss_ < 1e-3


def test_as_many_units_as_different_rows():
    X = cloud(6)
    prior = AutoencoderPrior(6, random_state=0, **HARD).fit(np.vstack([X, X]))
    assert_allclose(prior.loss_, 0, atol=1e-12)
    assert_allclose(prior.reconstruct(X), X, atol=1e-6)


# ---- a transformer -------------------------------------------------------------------


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_codes_can_be_a_frame(library):
    frames = pytest.importorskip(library)
    X = cloud()
    frame = frames.DataFrame(dict(zip("abcd", X.T, strict=True)))
    prior = AutoencoderPrior(3, tol=0.1, random_state=0)
    expected = clone(prior).fit(X).transform(X)
    found = prior.set_output(transform=library).fit_transform(frame)
    assert isinstance(found, frames.DataFrame)
    names = [f"autoencoderprior{i}" for i in range(3)]
    assert list(found.columns) == prior.get_feature_names_out().tolist() == names
    assert_allclose(found.to_numpy(), expected, atol=1e-12)
    assert list(prior.feature_names_in_) == [*"abcd"]
    reconstructed = prior.reconstruct(frame)
    assert reconstructed.shape == X.shape


def test_y_is_ignored():
    X = cloud()
    prior = AutoencoderPrior(3, tol=0.1, random_state=0)
    assert_same_fit(clone(prior).fit(X, np.arange(80)), clone(prior).fit(X))


# ---- errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"n_components": 0}, "positive number of hidden units"),
        ({"activation": "gelu"}, "'softmax', 'relu', 'tanh' or 'identity'"),
        ({"share": "encoder"}, "transposed encoder"),
        ({"temperature": -1.0}, "0 for hard codes"),
        ({"temperature": "warm"}, "0 for hard codes"),
        ({"alpha": -1.0}, "0 for no decay"),
        ({"solver": "sgd"}, "adam"),
        ({"batch_size": 0}, r"\[1, inf\)"),
        ({"learning_rate_init": 0.0}, r"\(0.0, inf\)"),
        ({"tol": -1.0}, r"\[0.0, inf\)"),
        ({"max_iter": 0}, r"\[1, inf\)"),
        ({"random_state": "lucky"}, "RandomState"),
    ],
    ids=str,
)
def test_a_bad_parameter_is_named_with_its_remedy(settings, remedy):
    (name,) = settings
    message = f"{name!r} parameter of AutoencoderPrior.*{remedy}"
    with pytest.raises(ValueError, match=message):
        AutoencoderPrior(**settings).fit(cloud())


def test_hard_codes_need_a_shared_decoder():
    with pytest.raises(ValueError, match=r"temperature=0.*share=None.*share='decoder'"):
        AutoencoderPrior(3, temperature=0, share=None).fit(cloud())


def test_more_softmax_units_than_rows():
    X = cloud(4)
    message = r"n_components=5.*n_samples=4.*Lower n_components"
    for share in SHARES:
        with pytest.raises(ValueError, match=message):
            AutoencoderPrior(5, share=share).fit(X)
        prior = AutoencoderPrior(5, share=share, max_iter=5, tol=1.0, random_state=0)
        assert np.isfinite(prior.fit(np.vstack([X, X])).transform(X)).all()
    with pytest.raises(ValueError, match=r"n_components=4.*n_samples=3"):
        AutoencoderPrior(4).fit(X, sample_weight=[1, 0, 1, 1])


def test_other_units_may_be_more_than_the_rows():
    X = cloud(4)
    prior = AutoencoderPrior(6, activation="identity", random_state=0).fit(X)
    assert prior.loss_ < 1e-4


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_must_be_finite(bad):
    X = cloud()
    prior = AutoencoderPrior(3, tol=0.1, random_state=0).fit(X)
    X[3, 1] = bad
    for method in (AutoencoderPrior(3).fit, prior.transform, prior.reconstruct):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            method(X)
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        prior.inverse_transform(np.full((1, 3), bad))


@pytest.mark.parametrize("method", ["transform", "reconstruct"])
def test_rows_must_have_the_columns_of_the_fit(method):
    prior = AutoencoderPrior(3, tol=0.1, random_state=0)
    with pytest.raises(NotFittedError):
        getattr(prior, method)(cloud())
    with pytest.raises(ValueError, match=r"3 features.*4 features"):
        getattr(prior.fit(cloud()), method)(cloud(p=3))


def test_codes_must_have_a_column_for_each_unit():
    prior = AutoencoderPrior(3, tol=0.1, random_state=0)
    with pytest.raises(NotFittedError):
        prior.inverse_transform(np.eye(3))
    with pytest.raises(ValueError, match="4 columns; expected 3, one for each unit"):
        prior.fit(cloud()).inverse_transform(np.eye(4))


def test_weights_must_make_sense():
    X = cloud()
    with pytest.raises(ValueError, match=r"All sample weights are zero.*Leave"):
        AutoencoderPrior(3).fit(X, sample_weight=np.zeros(80))
    with pytest.raises(ValueError, match="Negative values"):
        AutoencoderPrior(3).fit(X, sample_weight=np.full(80, -1.0))


def test_sparse_rows_are_refused():
    with pytest.raises(TypeError, match="Sparse data was passed"):
        AutoencoderPrior(3).fit(sp.csr_matrix(cloud()))


@pytest.mark.parametrize("activation", ["identity", "relu"])
@pytest.mark.parametrize("share", SHARES)
def test_units_without_a_scale_of_their_own_do_not_mind_that_of_the_rows(
    activation, share
):
    X = cloud(60)
    losses = [
        AutoencoderPrior(2, activation=activation, share=share, random_state=0)
        .fit(scale * X)
        .loss_
        for scale in (1e-6, 1.0, 1e5)
    ]
    assert_allclose(losses, losses[1], rtol=1e-6)


def test_the_mean_of_many_far_off_float32_rows_is_exact():
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(200_000, 2)) + 1000).astype(np.float32)
    prior = AutoencoderPrior(2, random_state=0, max_iter=1, tol=1.0).fit(X)
    mean = X.mean(axis=0, dtype=np.float64)
    assert_allclose(prior.decoder_intercept_, mean, atol=1e-3)
