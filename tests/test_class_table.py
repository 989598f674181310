"""What priors make of labels: table, targets and anchors, against naive references."""

from functools import cache, partial

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sktie import AutoencoderPrior, KMeansPrior
from sktie.linear_model._softmax import softmax_regression
from sktie.priors import _class_table, _encoder

KINDS = {
    "k-means": KMeansPrior(9, random_state=0),
    "two clusters": KMeansPrior(2, random_state=0),
    "one cluster": KMeansPrior(1, random_state=0),
    "shared": AutoencoderPrior(7, max_iter=20, tol=1e-2, random_state=0),
    "separate": AutoencoderPrior(7, share=None, max_iter=300, tol=0.1, random_state=0),
}
kinds = pytest.mark.parametrize("kind", KINDS)
METHODS = ["class_table", "class_targets", "linear_anchor", "readout_anchor"]
methods = pytest.mark.parametrize("method", METHODS)


def three_moons(n=90, n_labelled=12, seed=0):
    """Three classes along a bent line, few labels; and weights, some of them zero."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(n) % 3
    angle = (y + rng.uniform(0.1, 0.9, n)) * 2
    X = np.column_stack([np.cos(angle), np.sin(angle), angle / 3])
    X += 0.1 * rng.normal(size=(n, 3))
    y_seen = np.full(n, -1)
    y_seen[:n_labelled] = y[:n_labelled]
    weight = rng.integers(0, 4, n).astype(float)
    weight[:3] = 1
    return X, y_seen, weight


def fitted(kind, X, weight=None):
    return clone(KINDS[kind]).fit(X, sample_weight=weight)


# ---- the table -----------------------------------------------------------------------


def naive_variance(prior, X, weight=None):
    """Mean squared distance to the nearest centre in fit, corrected as a variance."""
    if getattr(prior, "share", "decoder") is None:
        return np.inf
    if isinstance(prior, KMeansPrior):
        centres = prior.cluster_centers_
    else:
        centres = prior.decoder_coef_ + prior.decoder_intercept_
    weight = np.ones(len(X)) if weight is None else weight
    rows = X[weight > 0]
    squared = cdist(rows, centres, "sqeuclidean")
    n, used = len(rows), len(set(squared.argmin(axis=1)))
    return np.average(squared.min(axis=1), weights=weight[weight > 0]) * n / (n - used)


def naive_shares(scores, weight, within):
    """Shares of the three clusters of the highest scores, row by row."""
    n_near = min(3, scores.shape[1])
    near = [sorted(range(len(row)), key=lambda h: -row[h])[:n_near] for row in scores]
    gaps = [
        [row[places[0]] - row[h] for h in places]
        for row, places in zip(scores, near, strict=True)
    ]
    unit = sum(w * gap[-1] for w, gap in zip(weight, gaps, strict=True)) / sum(weight)
    unit = min(unit, 3 * within)
    shares = np.zeros(scores.shape)
    for i, (places, gap) in enumerate(zip(near, gaps, strict=True)):
        values = [np.exp(-g / unit) if unit > 0 else 1.0 for g in gap]
        for h, value in zip(places, values, strict=True):
            shares[i, h] = value / sum(values)
    return shares


def naive_table(shares, y_index, n_classes, weight):
    """Solve (diag(1.1 W 1 + 10 F 1) - W) A = F, after a hundredth of even belief."""
    k = shares.shape[1]
    W, F = np.zeros((k, k)), np.zeros((k, n_classes))
    for share, label, w in zip(shares, y_index, weight, strict=True):
        W += w * np.outer(share, share)
        if label >= 0:
            F[:, label] += w * share
    F += 0.01 * np.outer(W.sum(axis=1) / W.sum(), F.sum(axis=0))
    A = np.linalg.solve(np.diag(1.1 * W.sum(axis=1) + 10 * F.sum(axis=1)) - W, F)
    return A / A.sum(axis=1, keepdims=True)


def naive_targets(prior, X, y_index, n_classes, weight, within):
    """The table of each row's clusters, cubed."""
    shares = naive_shares(X @ prior.coef_.T + prior.intercept_, weight, within)
    p = (shares @ naive_table(shares, y_index, n_classes, weight)) ** 3
    return p / p.sum(axis=1, keepdims=True)


@kinds
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_the_table_is_the_solution_of_its_equation(kind, weighted, n_classes):
    X, y, weight = three_moons()
    y = np.minimum(y, n_classes - 1)
    weight = weight if weighted else None
    prior = fitted(kind, X, weight)
    table = prior.class_table(X, y, n_classes, weight)
    within = naive_variance(prior, X, weight) / prior.temperature_
    weight = np.ones(len(X)) if weight is None else weight
    shares = naive_shares(X @ prior.coef_.T + prior.intercept_, weight, within)
    assert_allclose(table, naive_table(shares, y, n_classes, weight), atol=1e-7)
    targets = prior.class_targets(X, y, n_classes, weight)
    expected = naive_targets(prior, X, y, n_classes, weight, within)
    assert_allclose(targets, expected, atol=1e-7)


def test_the_scores_of_kmeans_are_squared_distances():
    X, y, weight = three_moons()
    prior = fitted("k-means", X)
    scores = -cdist(X, prior.cluster_centers_, "sqeuclidean")
    shares = naive_shares(scores, weight, 2 * naive_variance(prior, X))
    expected = naive_table(shares, y, 3, weight)
    assert_allclose(prior.class_table(X, y, 3, weight), expected, atol=1e-7)


@kinds
def test_rows_are_probabilities(kind):
    X, y, weight = three_moons()
    prior = fitted(kind, X)
    for found, n_rows in (
        (prior.class_table(X, y, 3, weight), len(prior.coef_)),
        (prior.class_targets(X, y, 3, weight), len(X)),
    ):
        assert found.shape == (n_rows, 3)
        assert (found >= 0).all()
        assert_allclose(found.sum(axis=1), 1, rtol=1e-12)


def chain(n_clusters=7, n_each=30, seed=0):
    """Clusters in a line, each overlapping its neighbours; the cluster of each row."""
    rng = np.random.default_rng(seed)
    home = np.repeat(np.arange(n_clusters), n_each)
    X = home[:, np.newaxis] + rng.normal(size=(len(home), 1)) * 0.25
    centres = np.arange(n_clusters)[:, np.newaxis].astype(float)
    return X, home, KMeansPrior(n_clusters, init=centres).fit(X)


def test_clusters_without_labels_take_those_of_their_neighbours():
    X, home, prior = chain()
    y = np.full(len(X), -1)
    y[home == 0], y[home == 6] = 0, 1
    second = prior.class_table(X, y, 2)[:, 1]
    assert (np.diff(second) > 0).all()
    assert second[0] < 0.1
    assert second[6] > 0.9
    assert second[1] < 0.4
    assert second[5] > 0.6
    assert_allclose(second[3], 0.5, atol=0.1)


def test_one_label_of_a_class_names_the_clusters_nearest_to_it():
    X, home, prior = chain()
    y = np.full(len(X), -1)
    y[np.flatnonzero(home == 1)[0]] = 0
    y[np.flatnonzero(home == 5)[0]] = 1
    named = prior.class_table(X, y, 2).argmax(axis=1)
    assert_array_equal(np.delete(named, 3), [0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("k", [2, 3, 5])
def test_clear_clusters_with_many_labels_keep_their_counts(k):
    """Whatever the neighbours say: these are far, and every row has a label."""
    rng = np.random.default_rng(0)
    centres = 100 * np.eye(k)
    home = np.repeat(np.arange(k), 60)
    X = centres[home] + rng.normal(size=(len(home), k))
    prior = KMeansPrior(k, init=centres).fit(X)
    share = np.linspace(0.05, 0.95, k)
    y = (np.arange(len(home)) % 60 < 60 * share[home]).astype(int)
    counts = np.array([np.bincount(y[home == h], minlength=2) / 60 for h in range(k)])
    assert_allclose(prior.class_table(X, y, 2), counts, atol=0.1)


@pytest.mark.parametrize("n_labelled", [1, 40])
@pytest.mark.parametrize(
    "sizes", [(40, 40, 40, 40, 40, 40), (400, 200, 100, 60, 50, 40)]
)
@pytest.mark.parametrize("seed", range(6))
def test_clear_clusters_of_one_class_each_are_named_by_their_labels(
    seed, sizes, n_labelled
):
    rng = np.random.default_rng(seed)
    centres = 20 * rng.normal(size=(6, 5))
    home = np.repeat(np.arange(6), sizes)
    X = centres[home] + 0.1 * rng.normal(size=(len(home), 5))
    y = np.full(len(X), -1)
    for h in range(6):
        y[np.flatnonzero(home == h)[:n_labelled]] = h
    prior = KMeansPrior(6, init=centres).fit(X)
    assert_array_equal(prior.class_targets(X, y, 6).argmax(axis=1), home)
    assert_array_equal(prior.class_table(X, y, 6).argmax(axis=1), np.arange(6))


def islands(seed=0):
    """Two groups of three clusters, so far apart that no row belongs to both."""
    X, home, _ = chain(3, seed=seed)
    X, home = np.vstack([X, X + 1000]), np.concatenate([home, home + 3])
    centres = np.array([0.0, 1, 2, 1000, 1001, 1002])[:, np.newaxis]
    return X, home, KMeansPrior(6, init=centres).fit(X)


@pytest.mark.parametrize("weighted", [False, True])
def test_clusters_that_no_label_reaches_get_the_frequencies(weighted):
    X, home, prior = islands()
    y = np.full(len(X), -1)
    y[np.flatnonzero(home == 0)[:7]] = 0
    y[np.flatnonzero(home == 2)[:2]] = 1
    weight = np.linspace(1, 2, len(X)) if weighted else np.ones(len(X))
    table = prior.class_table(X, y, 2, weight)
    mass = np.array([weight[y == label].sum() for label in range(2)])
    assert_allclose(table[3:], np.tile(mass / mass.sum(), (3, 1)), rtol=1e-6)
    assert table[0, 0] > 0.8


def test_clusters_without_rows_get_the_frequencies():
    X, home, prior = islands()
    X, home = X[home < 3], home[home < 3]
    y = np.where(np.arange(len(X)) % 10 == 0, home // 2, -1)
    counts = np.bincount(y[y >= 0])
    table = prior.class_table(X, y, 2)
    assert_allclose(table[3:], np.tile(counts / counts.sum(), (3, 1)), rtol=1e-6)
    assert_allclose(prior.class_targets(X, y, 2).sum(axis=1), 1)


def test_rows_in_one_place_do_not_break_the_table():
    prior = KMeansPrior(3, init=np.eye(3)).fit(np.eye(3))
    X, y = np.full((4, 3), 1 / 3), np.array([0, 1, 1, -1])
    table = prior.class_table(X, y, 2)
    assert_allclose(table, np.tile([1 / 3, 2 / 3], (3, 1)), atol=1e-6)


# ---- what must not matter ------------------------------------------------------------


def answer(prior, method, X, y, n_classes, weight=None):
    """What a method returns, anchors as one array."""
    found = getattr(prior, method)(X, y, n_classes, sample_weight=weight)
    return np.column_stack(found) if isinstance(found, tuple) else found


@pytest.fixture(autouse=True)
def tight(monkeypatch):
    """Softmax regressions to the last digits: they stop early to save time."""
    exactly = partial(softmax_regression, tol=1e-20)
    monkeypatch.setattr(_encoder, "softmax_regression", exactly)


def assert_same(one, other):
    assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


ALL_KINDS = KINDS | {
    "relu": AutoencoderPrior(5, activation="relu", tol=1e-2, random_state=0),
    "tanh": AutoencoderPrior(5, activation="tanh", tol=1e-2, random_state=0),
}
CASES = [
    (kind, method)
    for kind in ALL_KINDS
    for method in METHODS
    if method != "class_table" or kind in KINDS
]
cases = pytest.mark.parametrize(("kind", "method"), CASES)
all_kinds = pytest.mark.parametrize("kind", ALL_KINDS)


@cache
def fitted_once(kind):
    X, _, _ = three_moons()
    return clone(ALL_KINDS[kind]).fit(X)


@pytest.fixture
def prior(kind):
    """A fitted prior, the same for all tests: they only ask it."""
    return fitted_once(kind)


@cases
def test_a_weight_is_so_many_equal_rows(prior, method):
    X, y, weight = three_moons()
    count = weight.astype(int)
    weighted = answer(prior, method, X, y, 3, weight)
    repeated = answer(prior, method, X.repeat(count, axis=0), y.repeat(count), 3)
    if method == "class_targets":
        weighted = weighted.repeat(count, axis=0)
    assert_same(weighted, repeated)


@cases
def test_no_weights_are_equal_weights(prior, method):
    X, y, _ = three_moons()
    expected = answer(prior, method, X, y, 3)
    assert_same(answer(prior, method, X, y, 3, np.ones(len(X))), expected)


@cases
def test_the_order_of_the_rows_does_not_matter(prior, method):
    X, y, weight = three_moons()
    order = np.random.default_rng(0).permutation(len(X))
    expected = answer(prior, method, X, y, 3, weight)
    found = answer(prior, method, X[order], y[order], 3, weight[order])
    assert_same(found, expected[order] if method == "class_targets" else expected)


@cases
def test_the_names_of_the_classes_do_not_matter(prior, method):
    X, y, weight = three_moons()
    name = np.array([2, 0, 1, -1])
    expected = answer(prior, method, X, y, 3, weight)
    found = answer(prior, method, X, name[y], 3, weight)
    if method in ("class_table", "class_targets"):
        assert_same(found[:, name[:3]], expected)
    else:
        assert_same(found[name[:3]], expected)


@kinds
@pytest.mark.parametrize("method", ["class_table", "class_targets"])
def test_the_unit_of_the_weights_does_not_matter_to_the_targets(kind, method):
    X, y, weight = three_moons()
    prior = fitted(kind, X)
    expected = answer(prior, method, X, y, 3, weight)
    for factor in (1e-6, 1e6):
        assert_same(answer(prior, method, X, y, 3, factor * weight), expected)


@pytest.mark.parametrize("method", METHODS[:3])
def test_the_temperature_does_not_matter(method):
    X, y, weight = three_moons()
    expected = answer(fitted("k-means", X), method, X, y, 3, weight)
    for temperature in (1e-4, 1.0, 1e4):
        prior = clone(KINDS["k-means"]).set_params(temperature=temperature).fit(X)
        assert_same(answer(prior, method, X, y, 3, weight), expected)


@methods
def test_the_code_does_not_matter(method):
    X, y, weight = three_moons()
    prior = fitted("k-means", X)
    expected = answer(prior, method, X, y, 3, weight)
    for code in ("soft", "triangle"):
        prior.set_params(code=code)
        assert_array_equal(answer(prior, method, X, y, 3, weight), expected)


@methods
@pytest.mark.parametrize("sparse", [sp.csr_matrix, sp.csc_matrix, sp.csr_array])
def test_sparse_rows_are_as_dense_ones(method, sparse):
    X, y, weight = three_moons()
    prior = fitted("k-means", X)
    expected = answer(prior, method, X, y, 3, weight)
    assert_same(answer(prior, method, sparse(X), y, 3, weight), expected)


@methods
def test_the_size_of_the_blocks_does_not_matter(method, monkeypatch):
    X, y, weight = three_moons()
    prior = fitted("k-means", X)
    expected = answer(prior, method, X, y, 3, weight)
    monkeypatch.setattr(_class_table, "BLOCK_ENTRIES", 40)
    assert_same(answer(prior, method, X, y, 3, weight), expected)


@methods
def test_single_precision_is_close_to_double(method):
    X, y, weight = three_moons()
    prior = KMeansPrior(9, init=X[:9])
    expected = answer(prior.fit(X), method, X, y, 3, weight)
    X = X.astype(np.float32)
    found = answer(prior.fit(X), method, X, y, 3, weight)
    if method == "class_targets":
        assert found.dtype == np.float32
    assert_allclose(found, expected, atol=1e-2 * np.abs(expected).max())


@cases
def test_nothing_given_is_changed(prior, method):
    X, y, weight = three_moons()
    before = X.copy(), y.copy(), weight.copy(), prior.coef_.copy()
    answer(prior, method, X, y, 3, weight)
    for now, then in zip((X, y, weight, prior.coef_), before, strict=True):
        assert_array_equal(now, then)


# ---- targets of units that are no clusters -------------------------------------------


def logistic(X, targets, weight, C):
    """scikit-learn's softmax regression on class probabilities, as (k, p) and (k,).

    Each row is given once for each class, with its probability as weight. For two
    classes scikit-learn fits one row, the difference of ours: half the decay.
    """
    n_classes = targets.shape[1]
    rows = X.repeat(n_classes, axis=0)
    y = np.tile(np.arange(n_classes), len(X))
    share = (targets * weight[:, np.newaxis]).ravel()
    model = LogisticRegression(
        C=2 * C if n_classes == 2 else C, tol=1e-10, max_iter=10_000
    )
    model.fit(rows[share > 0], y[share > 0], share[share > 0])
    if n_classes == 2:
        halves = np.array([[-0.5], [0.5]])
        return halves * model.coef_, (halves * model.intercept_).ravel()
    return model.coef_, model.intercept_ - model.intercept_.mean()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", ["relu", "tanh"])
def test_units_that_are_no_clusters_get_a_classifier_of_their_own(kind, n_classes):
    X, y, weight = three_moons()
    y = np.minimum(y, n_classes - 1)
    prior = clone(ALL_KINDS[kind]).fit(X)
    units = prior.transform(X)
    units = units - np.average(units, axis=0, weights=weight)
    spread = np.sqrt(np.average(units**2, axis=0, weights=weight))
    units = units / np.where(spread > 0, spread, 1)
    known = y >= 0
    one_hot = np.eye(n_classes)[y[known]]
    coef, intercept = logistic(units[known], one_hot, weight[known], C=1.0)
    odds = np.exp(units @ coef.T + intercept) ** 3
    expected = odds / odds.sum(axis=1, keepdims=True)
    targets = prior.class_targets(X, y, n_classes, weight)
    assert_allclose(targets, expected, atol=1e-4)


def test_units_that_are_no_clusters_have_no_table():
    X, y, _ = three_moons()
    prior = clone(ALL_KINDS["relu"]).fit(X)
    with pytest.raises(
        ValueError, match=r"activation='relu'.*Use activation='softmax'"
    ):
        prior.class_table(X, y, 3)


# ---- anchors -------------------------------------------------------------------------


def assert_anchor(anchor, expected, rtol=1e-4):
    """Compare on the scale of the coefficients; of one cluster they are all zero."""
    atol = rtol * max(np.abs(expected[0]).max(), 1e-2)
    assert_allclose(anchor[0], expected[0], rtol=0, atol=atol)
    assert_allclose(anchor[1], expected[1], rtol=0, atol=10 * atol)


@all_kinds
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("method", ["linear_anchor", "readout_anchor"])
def test_anchors_are_logistic_regressions_on_the_targets(
    prior, method, n_classes, weighted
):
    X, y, weight = three_moons()
    y = np.minimum(y, n_classes - 1)
    weight = weight if weighted else np.ones(len(X))
    anchor = getattr(prior, method)(X, y, n_classes, weight)
    targets = prior.class_targets(X, y, n_classes, weight)
    if method == "linear_anchor":
        expected = logistic(X, targets, weight, C=1.0)
    else:
        to_units = getattr(prior, "predict_proba", prior.transform)
        expected = logistic(to_units(X), targets, weight, C=10.0)
    assert_anchor(anchor, expected)
    coef, intercept = anchor
    assert_allclose(coef.sum(axis=0), 0, atol=1e-8 * max(np.abs(coef).max(), 1))
    assert_allclose(intercept.sum(), 0, atol=1e-8)


def test_an_anchor_knows_more_than_the_labelled_rows(monkeypatch):
    monkeypatch.undo()
    X, truth = load_digits(return_X_y=True)
    X, truth = X[:800] / 16, truth[:800]
    prior = KMeansPrior(80, random_state=0).fit(X)
    gain = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(800)
        of_each = [order[truth[order] == digit][:3] for digit in range(10)]
        chosen = np.concatenate(of_each)
        y = np.full(800, -1)
        y[chosen] = truth[chosen]
        coef, intercept = prior.linear_anchor(X, y, 10)
        right = (X @ coef.T + intercept).argmax(axis=1) == truth
        alone = LogisticRegression().fit(X[chosen], y[chosen])
        gain.append(right.mean() - alone.score(X, truth))
    assert min(gain) > 0
    assert np.mean(gain) > 0.05


@pytest.mark.parametrize("method", ["linear_anchor", "readout_anchor"])
def test_anchors_are_fitted_until_little_can_be_gained(method, monkeypatch):
    """As shipped, training stops by an estimate of what is left to gain."""
    monkeypatch.undo()
    X, y, weight = three_moons()
    prior = fitted("k-means", X)
    targets = prior.class_targets(X, y, 3, weight)
    rows, C = (X, 1.0) if method == "linear_anchor" else (prior.predict_proba(X), 10.0)
    reached = objective(
        rows, targets, weight, C, *getattr(prior, method)(X, y, 3, weight)
    )
    least = objective(rows, targets, weight, C, *logistic(rows, targets, weight, C))
    assert least <= reached * (1 + 1e-9)
    assert reached <= 1.02 * least


# ---- softmax regression --------------------------------------------------------------


def objective(X, targets, weight, C, coef, intercept):
    entropies = targets * log_softmax(X @ coef.T + intercept, axis=1)
    return -np.sum(weight[:, np.newaxis] * entropies) + np.sum(coef**2) / (2 * C)


def soft_labels(n_classes, n=80, p=4, seed=0):
    """Class probabilities that depend on the rows, some of them 0."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 0.5
    targets = rng.dirichlet(np.ones(n_classes), n)
    targets += softmax(X @ rng.normal(size=(p, n_classes)), axis=1)
    targets[:20] = np.eye(n_classes)[np.arange(20) % n_classes]
    targets /= targets.sum(axis=1, keepdims=True)
    return X, targets, rng.integers(0, 4, n).astype(float)


containers = pytest.mark.parametrize(
    "container", [np.asarray, sp.csr_matrix, sp.csr_array], ids=lambda c: c.__name__
)


@containers
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_softmax_regression_is_that_of_scikit_learn(n_classes, C, weighted, container):
    X, targets, weight = soft_labels(n_classes)
    weight = weight if weighted else np.ones(len(X))
    found = softmax_regression(
        container(X), targets, weight if weighted else None, C=C, tol=1e-12
    )
    expected = logistic(X, targets, weight, C)
    assert_anchor(found, expected, rtol=1e-4)
    assert_allclose(
        objective(X, targets, weight, C, *found),
        objective(X, targets, weight, C, *expected),
        rtol=1e-9,
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_softmax_regression_ends_where_the_gradient_is_zero(n_classes):
    X, targets, weight = soft_labels(n_classes)
    coef, intercept = softmax_regression(X, targets, weight, C=2.0, tol=1e-16)
    error = weight[:, np.newaxis] * (softmax(X @ coef.T + intercept, axis=1) - targets)
    assert_allclose(error.T @ X + coef / 2.0, 0, atol=1e-5)
    assert_allclose(error.sum(axis=0), 0, atol=1e-5)


def test_two_classes_have_two_opposite_rows():
    X, targets, weight = soft_labels(2)
    coef, intercept = softmax_regression(X, targets, weight, C=1.0)
    assert coef.shape == (2, 4)
    assert_allclose(coef[0], -coef[1])
    assert_allclose(intercept[0], -intercept[1])


def test_more_features_than_rows():
    X, targets, weight = soft_labels(3, n=30, p=60)
    found = softmax_regression(X, targets, weight, C=1.0, tol=1e-12)
    assert_anchor(found, logistic(X, targets, weight, 1.0))


# ---- errors --------------------------------------------------------------------------


@methods
def test_an_unfitted_prior_has_no_answers(method):
    X, y, _ = three_moons()
    for prior in (KMeansPrior(), AutoencoderPrior()):
        with pytest.raises(NotFittedError):
            getattr(prior, method)(X, y, 3)


BAD = {
    "too short": (lambda y: y[:-1], r"shape \(89,\).*one signed integer.*90 rows"),
    "a column": (lambda y: y[:, np.newaxis], r"shape \(90, 1\).*signed integer"),
    "floats": (lambda y: y.astype(float), "dtype float64; expected one signed"),
    "words": (lambda y: y.astype(str), "expected one signed integer"),
    "unsigned": (lambda y: np.abs(y).astype(np.uint8), "dtype uint8; expected"),
    "too high": (lambda y: y + 1, r"runs from 0 to 3; expected -1.*to 2.*n_classes=3"),
    "too low": (lambda y: y - 1, r"runs from -2 to 1; expected -1.*to 2"),
    "no label": (
        lambda y: np.full(90, -1),
        r"No labelled row.*\[0, 1, 2\].*Label a row",
    ),
    "no label of a class": (
        lambda y: np.where(y == 1, 2, y),
        r"No labelled row.*classes \[1\] of n_classes=3.*Label a row of each class",
    ),
}


@methods
@pytest.mark.parametrize("bad", BAD)
def test_bad_indices_are_named(method, bad):
    X, y, _ = three_moons()
    change, message = BAD[bad]
    with pytest.raises(ValueError, match=message):
        getattr(fitted("k-means", X), method)(X, change(y), 3)


@methods
def test_labels_of_weight_zero_are_no_labels(method):
    X, y, _ = three_moons()
    with pytest.raises(ValueError, match=r"positive weight .*classes \[0, 2\]"):
        getattr(fitted("k-means", X), method)(
            X, y, 3, np.isin(y, [-1, 1]).astype(float)
        )


@all_kinds
@methods
def test_rows_must_have_the_columns_of_the_fit(prior, method):
    X, y, _ = three_moons()
    name = type(prior).__name__
    with pytest.raises(ValueError, match=rf"2 features.*{name}.*fitted on 3.*same"):
        getattr(prior, method)(X[:, :2], y, 3)


@methods
def test_rows_must_be_finite(method):
    X, y, _ = three_moons()
    prior = fitted("k-means", X)
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        getattr(prior, method)(X, y, 3)


def test_an_autoencoder_takes_no_sparse_rows():
    X, y, _ = three_moons()
    prior = clone(KINDS["shared"]).fit(X)
    with pytest.raises(TypeError, match="Sparse data was passed"):
        prior.class_table(sp.csr_matrix(X), y, 3)
