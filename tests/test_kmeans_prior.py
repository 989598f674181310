"""KMeansPrior: scikit-learn's k-means, its codes, and the encoder that it is."""

from functools import cache

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.base import clone
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from sktie import KMeansPrior
from sktie._rows import canonical_rows
from sktie.priors import _class_table, _kmeans

CODES = ["one-hot", "soft", "triangle"]
codes = pytest.mark.parametrize("code", CODES)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def blobs(sizes=(40, 25, 10), p=3, spread=0.1, seed=0):
    """Rows around centres that are several units apart; where each row belongs."""
    rng = np.random.default_rng(seed)
    centres = np.arange(len(sizes))[:, np.newaxis] * 4.0 + rng.uniform(-1, 1, p)
    home = np.repeat(np.arange(len(sizes)), sizes)
    order = rng.permutation(len(home))
    X = centres[home] + spread * rng.normal(size=(len(home), p))
    return X[order], home[order]


def cloud(n=120, p=4, seed=0):
    """Rows without clusters: starts matter, and codes are soft."""
    return np.random.default_rng(seed).normal(size=(n, p))


def squared_distances(prior, X):
    centres = prior.cluster_centers_.astype(np.float64)
    return cdist(X.astype(np.float64), centres, "sqeuclidean")


def mean_entropy(prior, X, weight=None):
    p = prior.predict_proba(X)
    terms = np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0)
    return -np.average(terms.sum(axis=1), weights=weight)


def by_first_feature(centres):
    return centres[np.argsort(centres[:, 0])]


# ---- the encoder is k-means ----------------------------------------------------------


@cache
def problem(seed):
    """A random problem and its prior: any k, size, scale and place."""
    rng = np.random.default_rng(seed)
    dtype = [np.float64, np.float32][seed % 2]
    p = int(rng.integers(1, 16))
    k = int(rng.integers(1, 13))
    n = k + int(rng.integers(0, 120))
    X = rng.normal(size=(n, p)) + 2 * rng.integers(0, 3, (n, 1))
    # Four in ten lie away from the origin, up to the digits that the dtype leaves.
    away = rng.choice([0, 0, 0, 1, 1]) * [1e4, 1e2][seed % 2] * rng.uniform(-1, 1, p)
    X = ((X + away) * 10 ** rng.uniform(-3, 3)).astype(dtype)
    return X, KMeansPrior(k, random_state=seed).fit(X)


def clear(X, squared):
    """Rows whose nearest centre is nearer than the next by more than rounding."""
    if squared.shape[1] == 1:
        return np.ones(len(X), dtype=bool)
    first, second = np.partition(squared, 1, axis=1)[:, :2].T
    # scikit-learn expands |x - c|^2, and loses digits in |x|^2.
    eps = np.finfo(X.dtype).eps
    return second - first > 20 * eps * np.square(X.astype(np.float64)).sum(axis=1)


@pytest.mark.parametrize("seed", range(100))
def test_the_encoder_finds_the_cluster_of_kmeans(seed):
    X, prior = problem(seed)
    squared = squared_distances(prior, X)
    rows = clear(X, squared)
    assert rows.mean() > 0.9
    scores = X @ prior.coef_.T + prior.intercept_
    nearest = squared.argmin(axis=1)
    assert_array_equal(scores.argmax(axis=1)[rows], nearest[rows])
    centres = prior.cluster_centers_.copy()
    theirs = KMeans(prior.n_clusters, init=centres, n_init=1, max_iter=1).fit(X)
    theirs.cluster_centers_ = centres  # before the step that it made from them
    assert_array_equal(prior.predict(X)[rows], theirs.predict(X)[rows])
    assert_array_equal(prior.labels_, prior.predict(X))


@pytest.mark.parametrize("seed", range(100))
def test_the_encoder_is_the_responsibilities(seed):
    X, prior = problem(seed)
    t = prior.temperature_
    expected = softmax(-squared_distances(prior, X) / (2 * t), axis=1)
    # The scores are differences of numbers of this size.
    size = np.abs(X).max() * np.abs(prior.coef_).sum(axis=1).max()
    atol = 4 * np.finfo(X.dtype).eps * max(size, 1)
    found = prior.predict_proba(X)
    assert found.dtype == X.dtype
    assert_allclose(found, expected, atol=atol)
    scores = X @ prior.coef_.T + prior.intercept_
    assert_allclose(softmax(scores, axis=1), found, atol=atol)
    assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_the_tolerances_of_these_problems_tell_right_from_wrong():
    """Nearly all rows are clear, and nearly all probabilities compared closely."""
    unclear, sizes = [], []
    for X, prior in map(problem, range(100)):
        unclear.append(1 - clear(X, squared_distances(prior, X)).mean())
        size = np.abs(X).max() * np.abs(prior.coef_).sum(axis=1).max()
        sizes.append(4 * np.finfo(X.dtype).eps * max(size, 1))
    assert np.mean(unclear) < 0.005
    assert np.quantile(sizes, 0.8) < 1e-3


def test_rows_far_from_the_origin_are_told_apart():
    """The centres alone would leave no digits: half of |c|^2 is 5e15 here."""
    X = cloud()
    near = KMeansPrior(5, init=X[:5], temperature=1.0).fit(X)
    far = KMeansPrior(5, init=X[:5] + 1e8, temperature=1.0).fit(X + 1e8)
    assert_array_equal(far.labels_, near.labels_)
    assert_allclose(far.predict_proba(X + 1e8), near.predict_proba(X), atol=1e-6)


@dtypes
def test_fitted_arrays_have_the_dtype_of_X(dtype):
    prior = KMeansPrior(3, random_state=0).fit(cloud().astype(dtype))
    for name in ("cluster_centers_", "coef_", "intercept_"):
        assert getattr(prior, name).dtype == dtype, name
    assert prior.coef_.shape == (3, 4)
    assert prior.intercept_.shape == (3,)
    assert isinstance(prior.temperature_, float)


# ---- the fit is scikit-learn's -------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"init": "random", "n_init": 3},
        {"n_init": 4},
        {"max_iter": 2},
        {"tol": 0.1},
        {"init": cloud()[5:11]},
        {"init": cloud()[5:11].tolist()},
    ],
    ids=str,
)
@dtypes
def test_the_centres_are_those_of_kmeans_on_the_canonical_rows(settings, dtype):
    X = np.vstack([cloud(), cloud()[:30]]).astype(dtype)
    weight = np.random.default_rng(1).integers(1, 4, len(X)).astype(dtype)
    prior = KMeansPrior(6, random_state=3, **settings).fit(X, sample_weight=weight)
    rows, mass, _ = canonical_rows(X, weight)
    theirs = KMeans(6, random_state=3, **settings).fit(rows, sample_weight=mass)
    assert_array_equal(prior.cluster_centers_, theirs.cluster_centers_)
    assert prior.n_iter_ == theirs.n_iter_
    assert_allclose(prior.inertia_, theirs.inertia_, rtol=1e-4)


def test_the_fits_are_as_good_as_those_of_kmeans():
    ours, theirs = [], []
    for seed in range(20):
        X = cloud(150, 3, seed)
        ours.append(KMeansPrior(8, random_state=seed).fit(X).inertia_)
        theirs.append(KMeans(8, random_state=seed).fit(X).inertia_)
    assert np.mean(ours) < 1.02 * np.mean(theirs)


def test_clear_clusters_are_found():
    X, home = blobs()
    prior = KMeansPrior(3, random_state=0).fit(X)
    expected = np.array([X[home == h].mean(axis=0) for h in range(3)])
    assert_allclose(by_first_feature(prior.cluster_centers_), expected, rtol=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
@dtypes
def test_labels_and_inertia_are_those_of_the_rows_given(dtype, weighted):
    X = cloud().astype(dtype)
    weight = np.random.default_rng(0).uniform(0, 2, len(X)) if weighted else None
    if weighted:
        weight[:10] = 0
    prior = KMeansPrior(5, random_state=0).fit(X, sample_weight=weight)
    squared = squared_distances(prior, X)
    assert prior.labels_.shape == (len(X),)
    assert_array_equal(prior.labels_, squared.argmin(axis=1))
    least = squared.min(axis=1)
    expected = (least if weight is None else weight * least).sum()
    assert_allclose(prior.inertia_, expected, rtol=1e-5)
    assert 1 <= prior.n_iter_ <= prior.max_iter


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_the_size_of_the_blocks_does_not_matter(container, monkeypatch):
    X = container(cloud())
    weight = np.arange(120) % 3
    whole = KMeansPrior(5, random_state=0).fit(X, sample_weight=weight)
    monkeypatch.setattr(_class_table, "BLOCK_ENTRIES", 35)
    found = KMeansPrior(5, random_state=0).fit(X, sample_weight=weight)
    assert_array_equal(found.labels_, whole.labels_)
    assert_array_equal(found.predict(X), whole.predict(X))
    assert_allclose(found.inertia_, whole.inertia_)


def test_random_state_makes_fits_repeatable():
    X = cloud()
    for minibatch in (False, True):
        fits = [
            KMeansPrior(8, minibatch=minibatch, random_state=seed).fit(X)
            for seed in (0, 0, 1, np.random.RandomState(0))
        ]
        centres = [fit.cluster_centers_ for fit in fits]
        assert_array_equal(centres[0], centres[1])
        assert np.abs(centres[0] - centres[2]).max() > 1e-3
        assert_array_equal(centres[0], centres[3])


def test_no_seed_is_set_globally():
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    KMeansPrior(4, random_state=0).fit(cloud())
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_a_fit_changes_neither_rows_nor_parameters():
    X, weight, init = cloud(), np.ones(120), cloud()[:4].copy()
    prior = KMeansPrior(4, init=init)
    before = prior.get_params()
    prior.fit(X, sample_weight=weight).transform(X)
    prior.partial_fit(X[:50])
    assert_array_equal(X, cloud())
    assert_array_equal(weight, 1)
    assert_array_equal(init, cloud()[:4])
    after = prior.get_params()
    assert all(after[name] is value for name, value in before.items())


def test_y_is_ignored():
    X = cloud()
    with_y = KMeansPrior(4, random_state=0).fit(X, np.arange(120))
    assert_array_equal(
        with_y.cluster_centers_, KMeansPrior(4, random_state=0).fit(X).cluster_centers_
    )
    assert_array_equal(with_y.fit_predict(X), with_y.labels_)
    assert with_y.fit_transform(X).shape == (120, 4)


def test_verbose_prints(capsys):
    KMeansPrior(3, random_state=0).fit(cloud())
    assert capsys.readouterr().out == ""
    KMeansPrior(3, random_state=0, verbose=1).fit(cloud())
    assert "inertia" in capsys.readouterr().out


# ---- minibatches ---------------------------------------------------------------------


def fitted_in_batches(minibatch, X, **settings):
    settings = {"batch_size": 16, "random_state": 2} | settings
    return KMeansPrior(5, minibatch=minibatch, **settings).fit(X).cluster_centers_


def test_minibatch_says_which_of_the_two_it_is():
    X = cloud(300)
    rows, mass, _ = canonical_rows(X, np.ones(300))
    batches = MiniBatchKMeans(5, batch_size=16, random_state=2)
    passes = KMeans(5, random_state=2)
    expected = {
        True: batches.fit(rows, sample_weight=mass).cluster_centers_,
        False: passes.fit(rows, sample_weight=mass).cluster_centers_,
    }
    assert np.abs(expected[True] - expected[False]).max() > 1e-3
    for minibatch, centres in expected.items():
        assert_array_equal(fitted_in_batches(minibatch, X), centres)


def test_minibatches_are_used_from_a_number_of_multiplications_on(monkeypatch):
    X = cloud(300)
    monkeypatch.setattr(_kmeans, "MINIBATCH_WORK", 300 * 4 * 5)
    assert_array_equal(fitted_in_batches("auto", X), fitted_in_batches(False, X))
    monkeypatch.setattr(_kmeans, "MINIBATCH_WORK", 300 * 4 * 5 - 1)
    assert_array_equal(fitted_in_batches("auto", X), fitted_in_batches(True, X))


def test_small_data_are_not_fitted_in_minibatches():
    X = cloud(300)
    assert_array_equal(fitted_in_batches("auto", X), fitted_in_batches(False, X))


# ---- weights and order of rows -------------------------------------------------------


def assert_same_prior(one, other):
    for name in ("cluster_centers_", "coef_", "intercept_", "temperature_"):
        assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.n_iter_ == other.n_iter_


weighted_fits = pytest.mark.parametrize(
    "settings",
    [{}, {"init": "random"}, {"minibatch": True, "batch_size": 16}],
    ids=["passes", "random", "batches"],
)
containers = pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])


@weighted_fits
@containers
@dtypes
def test_a_weight_is_so_many_equal_rows(settings, container, dtype):
    X = cloud().astype(dtype)
    count = np.random.default_rng(0).integers(0, 4, len(X))
    prior = KMeansPrior(6, random_state=0, **settings)
    weighted = clone(prior).fit(container(X), sample_weight=count)
    repeated = clone(prior).fit(container(X.repeat(count, axis=0)))
    assert_same_prior(weighted, repeated)
    assert_array_equal(weighted.labels_.repeat(count), repeated.labels_)
    assert_allclose(weighted.inertia_, repeated.inertia_, rtol=1e-4)


@weighted_fits
@containers
def test_the_order_of_the_rows_does_not_matter(settings, container):
    X = np.vstack([cloud(), cloud()[:20]])
    weight = np.random.default_rng(0).integers(1, 5, len(X))
    order = np.random.default_rng(1).permutation(len(X))
    prior = KMeansPrior(6, random_state=0, **settings)
    one = clone(prior).fit(container(X), sample_weight=weight)
    other = clone(prior).fit(container(X[order]), sample_weight=weight[order])
    assert_same_prior(one, other)
    assert_array_equal(one.labels_[order], other.labels_)


def test_no_weights_are_equal_weights():
    X = cloud()
    prior = KMeansPrior(6, random_state=0)
    assert_same_prior(clone(prior).fit(X), clone(prior).fit(X, sample_weight=[1] * 120))


def test_weights_pull_centres():
    X = np.array([[0.0], [1.0], [10.0], [11.0]])
    prior = KMeansPrior(2, random_state=0).fit(X, sample_weight=[3, 1, 1, 1])
    assert_allclose(np.sort(prior.cluster_centers_.ravel()), [0.25, 10.5])


# ---- sparse rows ---------------------------------------------------------------------


def thinned(n=90, p=6):
    X = cloud(n, p)
    X[np.abs(X) < 0.7] = 0
    return X


sparse_formats = pytest.mark.parametrize(
    "sparse",
    [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array, sp.csc_array],
    ids=lambda c: c.__name__,
)


@sparse_formats
@dtypes
def test_sparse_rows_are_fitted_as_dense_ones(sparse, dtype):
    X = thinned().astype(dtype)
    prior = KMeansPrior(5, init=X[:5], tol=0)
    one, other = clone(prior).fit(X), clone(prior).fit(sparse(X))
    tolerance = {"rtol": 1e3 * np.finfo(dtype).eps, "atol": 1e3 * np.finfo(dtype).eps}
    for name in ("cluster_centers_", "coef_", "intercept_", "temperature_", "inertia_"):
        assert_allclose(
            getattr(other, name), getattr(one, name), **tolerance, err_msg=name
        )
    assert other.cluster_centers_.dtype == other.coef_.dtype == dtype
    assert_array_equal(other.labels_, one.labels_)


@codes
@sparse_formats
@dtypes
def test_sparse_rows_are_coded_as_dense_ones(code, sparse, dtype):
    X = thinned().astype(dtype)
    prior = KMeansPrior(5, code=code, random_state=0).fit(X)
    found = prior.transform(sparse(X))
    assert isinstance(found, np.ndarray)
    assert found.dtype == dtype
    atol = 300 * np.finfo(dtype).eps
    assert_allclose(found, prior.transform(X), atol=atol)
    assert_array_equal(prior.predict(sparse(X)), prior.predict(X))
    with pytest.raises(TypeError, match="transform, with code='soft'"):
        prior.predict_proba(sparse(X))


def test_clear_clusters_of_sparse_rows_are_found():
    X, home = blobs()
    prior = KMeansPrior(3, random_state=0).fit(sp.csr_matrix(X))
    expected = np.array([X[home == h].mean(axis=0) for h in range(3)])
    assert_allclose(by_first_feature(prior.cluster_centers_), expected, rtol=1e-10)


# ---- codes ---------------------------------------------------------------------------


def naive_code(code, x, centres, t):
    """The code of one row, by the formula in words."""
    distance = [sum((a - b) ** 2 for a, b in zip(x, c, strict=True)) for c in centres]
    if code == "one-hot":
        nearest = distance.index(min(distance))
        return [float(h == nearest) for h in range(len(centres))]
    if code == "soft":
        weights = [np.exp((min(distance) - d) / (2 * t)) for d in distance]
        return [w / sum(weights) for w in weights]
    distance = [d**0.5 for d in distance]
    mean = sum(distance) / len(distance)
    return [max(0.0, mean - d) for d in distance]


@codes
@dtypes
@pytest.mark.parametrize("k", [1, 2, 7])
@pytest.mark.parametrize("sparse_output", [False, True])
def test_the_code_of_a_row(code, dtype, k, sparse_output):
    X = cloud().astype(dtype)
    prior = KMeansPrior(k, code=code, sparse_output=sparse_output, random_state=0)
    new = cloud(30, seed=1).astype(dtype)
    found = prior.fit(X).transform(new)
    assert found.dtype == dtype
    assert found.shape == (30, k)
    assert sp.issparse(found) == sparse_output
    if sparse_output:
        assert found.format == "csr"
        assert (found.data != 0).all()
        found = found.toarray()
    centres = prior.cluster_centers_.astype(float).tolist()
    expected = [naive_code(code, x, centres, prior.temperature_) for x in new.tolist()]
    assert_allclose(found, expected, atol=100 * np.finfo(dtype).eps)


@codes
@pytest.mark.parametrize("sparse_output", [False, True])
def test_fit_transform_is_fit_then_transform(code, sparse_output):
    prior = KMeansPrior(5, code=code, sparse_output=sparse_output, random_state=0)
    found = clone(prior).fit_transform(cloud())
    expected = clone(prior).fit(cloud()).transform(cloud())
    if sparse_output:
        found, expected = found.toarray(), expected.toarray()
    assert_array_equal(found, expected)


def test_the_code_is_no_matter_of_the_fit():
    X = cloud()
    one, *others = (KMeansPrior(5, code=c, random_state=0).fit(X) for c in CODES)
    for other in others:
        assert_same_prior(one, other)


@codes
def test_codes_of_another_code_need_no_other_fit(code):
    X = cloud()
    prior = KMeansPrior(5, random_state=0).fit(X).set_params(code=code)
    expected = KMeansPrior(5, code=code, random_state=0).fit(X).transform(X)
    assert_array_equal(prior.transform(X), expected)


@dtypes
def test_a_one_hot_code_goes_back_to_its_centre(dtype):
    X = cloud().astype(dtype)
    for sparse_output in (False, True):
        prior = KMeansPrior(6, sparse_output=sparse_output, random_state=0).fit(X)
        found = prior.inverse_transform(prior.transform(X))
        assert isinstance(found, np.ndarray)
        assert found.dtype == dtype
        assert_array_equal(found, prior.cluster_centers_[prior.labels_])


@pytest.mark.parametrize("code", ["soft", "triangle"])
@pytest.mark.parametrize("sparse_output", [False, True])
def test_other_codes_go_back_to_a_mean_of_the_centres(code, sparse_output):
    X = cloud()
    prior = KMeansPrior(6, code=code, sparse_output=sparse_output, random_state=0)
    given = prior.fit(X).transform(X)
    dense = given.toarray() if sparse_output else given
    expected = [
        np.average(prior.cluster_centers_, axis=0, weights=row) for row in dense
    ]
    assert_allclose(prior.inverse_transform(given), expected, atol=1e-12)


def test_a_code_of_zeros_goes_back_to_the_middle_of_the_centres():
    prior = KMeansPrior(6, code="triangle", random_state=0).fit(cloud())
    middle = prior.cluster_centers_.mean(axis=0)
    for zeros in (np.zeros((2, 6)), sp.csr_matrix((2, 6))):
        assert_allclose(prior.inverse_transform(zeros), [middle, middle])


def test_features_out_are_named_after_the_prior():
    prior = KMeansPrior(3, random_state=0)
    with pytest.raises(NotFittedError):
        prior.get_feature_names_out()
    names = prior.fit(cloud()).get_feature_names_out()
    assert names.tolist() == ["kmeansprior0", "kmeansprior1", "kmeansprior2"]


@codes
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_codes_can_be_a_frame(code, library):
    frames = pytest.importorskip(library)
    X = cloud()
    frame = frames.DataFrame(X, **{"pandas": {"columns": [*"abcd"]}}.get(library, {}))
    prior = KMeansPrior(3, code=code, random_state=0)
    expected = clone(prior).fit_transform(X)
    prior.set_output(transform=library).fit(frame)
    found = prior.transform(frame)
    assert isinstance(found, frames.DataFrame)
    assert list(found.columns) == prior.get_feature_names_out().tolist()
    assert_allclose(found.to_numpy(), expected, atol=1e-14)
    assert list(prior.feature_names_in_) == list(frame.columns)
    if library == "pandas":
        shuffled = frame.set_axis(np.arange(120)[::-1])
        assert prior.transform(shuffled).index.tolist() == shuffled.index.tolist()


# ---- temperature ---------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3, 10, 40])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_automatic_temperature_spreads_a_row_over_the_root_of_k(k, scale):
    X = cloud(seed=k) * scale
    prior = KMeansPrior(k, random_state=0).fit(X)
    assert_allclose(mean_entropy(prior, X), np.log(k) / 2, rtol=1e-6)


def test_the_automatic_temperature_weighs_the_rows():
    X = np.vstack([cloud(), 6 + 0.2 * cloud()])
    weight = np.repeat([1, 20], 120)
    prior = KMeansPrior(6, random_state=0).fit(X, sample_weight=weight)
    assert_allclose(mean_entropy(prior, X, weight), np.log(6) / 2, rtol=1e-6)
    assert abs(mean_entropy(prior, X) - np.log(6) / 2) > 0.01


def test_of_many_rows_a_sample_serves_for_the_temperature():
    X = cloud(9001, 3)
    prior = KMeansPrior(8, random_state=0).fit(X)
    assert_allclose(mean_entropy(prior, X), np.log(8) / 2, rtol=0.03)


def test_as_many_clusters_as_different_rows():
    X = cloud(12)
    prior = KMeansPrior(12, random_state=0).fit(np.vstack([X, X]))
    by_row = np.argsort(X[:, 0])
    assert_allclose(by_first_feature(prior.cluster_centers_), X[by_row], rtol=1e-12)
    assert_allclose(prior.inertia_, 0, atol=1e-20)
    assert_allclose(mean_entropy(prior, X), np.log(12) / 2, rtol=1e-6)


def test_one_cluster_is_at_the_mean_and_at_the_least_temperature():
    X = cloud() + 5
    weight = np.arange(1, 121)
    prior = KMeansPrior(1).fit(X, sample_weight=weight)
    mean = np.average(X, axis=0, weights=weight)
    assert_allclose(prior.cluster_centers_, [mean])
    spread = np.average(np.square(X - mean).sum(axis=1), weights=weight)
    assert_allclose(prior.temperature_, 1e-6 * spread, rtol=1e-10)
    assert_array_equal(prior.predict_proba(X), 1)
    assert_array_equal(prior.predict(X), 0)


def test_the_temperature_has_a_floor():
    """Two spots of four centres that no sensible temperature tells apart."""
    spots = np.array([[0.0, 0.0], [1.0, 0.0]])
    fine = 1e-5 * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    X = (spots[:, np.newaxis] + fine).reshape(-1, 2)
    prior = KMeansPrior(8, random_state=0, tol=0).fit(X)
    assert len(np.unique(prior.labels_)) == 8
    spread = np.square(X - X.mean(axis=0)).sum(axis=1).mean()
    assert_allclose(prior.temperature_, 1e-6 * spread)
    assert mean_entropy(prior, X) > np.log(8) / 2


@pytest.mark.parametrize("place", [0.0, 3.0, -1e5])
@containers
def test_rows_that_are_all_alike(place, container):
    X = np.full((5, 2), place)
    with pytest.warns(ConvergenceWarning, match="distinct clusters"):
        prior = KMeansPrior(3, code="soft", random_state=0).fit(container(X))
    assert_array_equal(prior.cluster_centers_, X[:3])
    assert prior.temperature_ > 0
    assert_allclose(prior.transform(container(X)), np.full((5, 3), 1 / 3))
    assert len(np.unique(prior.labels_)) == 1
    assert prior.inertia_ == 0


def test_a_temperature_of_ones_own():
    X = cloud()
    prior = KMeansPrior(5, temperature=0.37, random_state=0).fit(X)
    assert prior.temperature_ == 0.37
    expected = softmax(-squared_distances(prior, X) / 0.74, axis=1)
    assert_allclose(prior.predict_proba(X), expected, atol=1e-12)


def test_a_higher_temperature_softens_the_codes_and_moves_no_label():
    X = cloud()
    temperatures = np.geomspace(1e-3, 1e3, 13)
    priors = [
        KMeansPrior(5, temperature=t, random_state=0).fit(X) for t in temperatures
    ]
    entropies = [mean_entropy(prior, X) for prior in priors]
    assert (np.diff(entropies) > 0).all()
    assert entropies[0] < 1e-2
    assert entropies[-1] > np.log(5) - 1e-2
    for prior in priors:
        assert_array_equal(prior.cluster_centers_, priors[0].cluster_centers_)
        assert_array_equal(prior.predict(X), priors[0].predict(X))


# ---- partial_fit ---------------------------------------------------------------------


def batches_of(X, size=30):
    return [X[start : start + size] for start in range(0, len(X), size)]


@containers
def test_partial_fit_is_that_of_minibatch_kmeans(container):
    X = cloud(150)
    prior = KMeansPrior(4, init=X[:4])
    theirs = MiniBatchKMeans(4, init=X[:4], n_init=1)
    for number, batch in enumerate(batches_of(X), start=1):
        assert prior.partial_fit(container(batch)) is prior
        theirs.partial_fit(container(batch))
        assert_array_equal(prior.cluster_centers_, theirs.cluster_centers_)
        assert prior.n_iter_ == number
        assert_array_equal(prior.labels_, theirs.labels_)
        assert_allclose(prior.inertia_, theirs.inertia_)


def test_a_batch_makes_the_encoder_anew():
    X = cloud(150)
    prior = KMeansPrior(4, random_state=0)
    for batch in batches_of(X):
        prior.partial_fit(batch)
        assert_allclose(mean_entropy(prior, batch), np.log(4) / 2, rtol=1e-6)
        expected = softmax(
            -squared_distances(prior, X) / (2 * prior.temperature_), axis=1
        )
        assert_allclose(prior.predict_proba(X), expected, atol=1e-12)


def test_earlier_centres_are_not_changed_by_a_batch():
    X = cloud(150)
    prior = KMeansPrior(4, random_state=0).partial_fit(X[:50])
    centres = prior.cluster_centers_
    before = centres.copy()
    prior.partial_fit(X[50:])
    assert_array_equal(centres, before)


def test_batches_in_any_order_find_clear_clusters():
    X, home = blobs((100, 80, 60))
    expected = np.array([X[home == h].mean(axis=0) for h in range(3)])
    start = expected + 0.5
    for batches in (batches_of(X), batches_of(X)[::-1]):
        prior = KMeansPrior(3, init=start)
        for batch in batches:
            prior.partial_fit(batch)
        assert_allclose(prior.cluster_centers_, expected, atol=1e-9)


def test_partial_fit_repeats_itself_by_random_state():
    def fitted(seed):
        prior = KMeansPrior(6, random_state=seed)
        for batch in batches_of(cloud(150)):
            prior.partial_fit(batch)
        return prior.cluster_centers_

    assert_array_equal(fitted(0), fitted(0))
    assert np.abs(fitted(0) - fitted(1)).max() > 1e-3


@dtypes
def test_after_fit_a_batch_moves_centres_by_its_share(dtype):
    """Each centre is the mean of all the rows it was given, of fit and batch."""
    sizes = 40, 25, 10
    X, home = blobs(sizes)
    new, new_home = blobs((5, 0, 7), seed=0)
    new += 0.3
    X, new = X.astype(dtype), new.astype(dtype)
    weight = np.random.default_rng(0).integers(1, 4, len(X))
    prior = KMeansPrior(3, random_state=0).fit(X, sample_weight=weight)
    order = np.argsort(prior.cluster_centers_[:, 0])
    prior.partial_fit(new)
    rows, homes = np.vstack([X, new]), np.concatenate([home, new_home])
    weight = np.concatenate([weight, np.ones(len(new))])
    expected = [
        np.average(rows[homes == h], axis=0, weights=weight[homes == h])
        for h in range(3)
    ]
    assert_allclose(prior.cluster_centers_[order], expected, rtol=1e-5)
    assert prior.labels_.shape == (12,)


@pytest.mark.parametrize("seed", range(5))
def test_after_fit_a_batch_keeps_small_clusters(seed):
    """One in 800 rows is a cluster too, though no batch may have a row of it."""
    X, _ = blobs((2000, 2000, 5), spread=0.05)
    prior = KMeansPrior(3, random_state=seed, n_init=5).fit(X)
    centres = prior.cluster_centers_.copy()
    prior.partial_fit(X[:50])
    assert_allclose(prior.cluster_centers_, centres, atol=0.02)


def test_a_fit_forgets_earlier_batches():
    X = cloud()
    prior = KMeansPrior(4, random_state=0).partial_fit(10 + X)
    assert_same_prior(prior.fit(X), KMeansPrior(4, random_state=0).fit(X))
    again = KMeansPrior(4, random_state=0).fit(X).partial_fit(X[:20])
    assert_array_equal(
        prior.partial_fit(X[:20]).cluster_centers_, again.cluster_centers_
    )


def test_batches_may_differ_in_dtype():
    X = cloud(150)
    wide = KMeansPrior(4, init=X[:4]).partial_fit(X[:50]).partial_fit(X[50:])
    mixed = KMeansPrior(4, init=X[:4]).partial_fit(X[:50])
    mixed.partial_fit(X[50:].astype(np.float32))
    assert_allclose(mixed.cluster_centers_, wide.cluster_centers_, rtol=1e-4, atol=1e-5)
    fitted = KMeansPrior(4, init=X[:4]).fit(X.astype(np.float32))
    assert fitted.partial_fit(X[:50]).predict(X).shape == (150,)


def test_a_batch_weighs_its_rows():
    X = cloud(150)
    count = np.random.default_rng(0).integers(0, 4, 100)
    one, other = (KMeansPrior(4, init=X[:4]).partial_fit(X[:50]) for _ in range(2))
    one.partial_fit(X[50:], sample_weight=count)
    other.partial_fit(X[50:].repeat(count, axis=0))
    for name in ("cluster_centers_", "coef_", "intercept_", "temperature_"):
        assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6)


def test_later_batches_may_be_small():
    X = cloud()
    prior = KMeansPrior(5, random_state=0).partial_fit(X[:30]).partial_fit(X[30:31])
    assert prior.n_iter_ == 2
    assert prior.labels_.shape == (1,)
    assert np.isfinite(prior.coef_).all()


def test_batches_must_fit_together():
    X = cloud()
    prior = KMeansPrior(5, random_state=0).partial_fit(X)
    with pytest.raises(ValueError, match="2 features"):
        prior.partial_fit(X[:, :2])


def test_the_first_batch_needs_as_many_rows_as_clusters():
    X = cloud()
    with pytest.raises(ValueError, match=r"n_clusters=5.*n_samples=4.*Lower"):
        KMeansPrior(5).partial_fit(X[:4])
    with pytest.raises(ValueError, match=r"n_clusters=5.*n_samples=4.*Lower"):
        KMeansPrior(5).partial_fit(X[:6], sample_weight=[1, 0, 1, 1, 1, 0])


# ---- errors --------------------------------------------------------------------------


def test_more_clusters_than_rows():
    X = cloud(4)
    with pytest.raises(ValueError, match=r"n_clusters=5.*n_samples=4.*Lower"):
        KMeansPrior(5).fit(X)
    with pytest.raises(ValueError, match=r"n_clusters=4.*n_samples=3.*Lower"):
        KMeansPrior(4).fit(X, sample_weight=[1, 1, 0, 1])
    assert KMeansPrior(4, random_state=0).fit(X).inertia_ == pytest.approx(0)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"n_clusters": 0}, "positive number of clusters"),
        ({"n_clusters": 2.5}, "positive number of clusters"),
        ({"code": "hot"}, "'soft' .*'triangle'"),
        ({"temperature": 0}, "positive variance"),
        ({"temperature": -1.0}, "positive variance"),
        ({"temperature": np.inf}, "positive variance"),
        ({"temperature": "warm"}, "positive variance"),
        ({"minibatch": "no"}, "'auto'.*bool"),
        ({"sparse_output": "yes"}, "bool"),
        ({"init": "pca"}, r"k-means\+\+"),
        ({"n_init": 0}, r"'auto'.*\[1, inf\)"),
        ({"max_iter": 0}, r"\[1, inf\)"),
        ({"tol": -1.0}, r"\[0.0, inf\)"),
        ({"batch_size": 0}, r"\[1, inf\)"),
        ({"random_state": "lucky"}, "RandomState"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_bad_parameter_is_named_with_its_remedy(settings, remedy, method):
    (name,) = settings
    message = f"{name!r} parameter of KMeansPrior.*{remedy}"
    with pytest.raises(ValueError, match=message):
        getattr(KMeansPrior(**settings), method)(cloud())


def test_a_start_of_the_wrong_shape():
    X = cloud()
    with pytest.raises(ValueError, match="initial centers"):
        KMeansPrior(3, init=X[:4]).fit(X)
    with pytest.raises(ValueError, match="initial centers"):
        KMeansPrior(3, init=X[:3, :2]).fit(X)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_must_be_finite(bad):
    X = cloud()
    prior = KMeansPrior(3, random_state=0).fit(X)
    X[3, 1] = bad
    for method in (KMeansPrior(3).fit, KMeansPrior(3).partial_fit, prior.transform):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            method(X)


@pytest.mark.parametrize("method", ["transform", "predict", "predict_proba"])
def test_rows_must_have_the_columns_of_the_fit(method):
    prior = KMeansPrior(3, random_state=0)
    with pytest.raises(NotFittedError):
        getattr(prior, method)(cloud())
    with pytest.raises(ValueError, match=r"3 features.*4 features"):
        getattr(prior.fit(cloud()), method)(cloud(p=3))


def test_weights_must_make_sense():
    X = cloud()
    with pytest.raises(ValueError, match=r"All sample weights are zero.*Leave"):
        KMeansPrior(3).fit(X, sample_weight=np.zeros(120))
    with pytest.raises(ValueError, match="Negative values"):
        KMeansPrior(3).fit(X, sample_weight=np.full(120, -1.0))
    with pytest.raises(ValueError, match=r"sample_weight.shape"):
        KMeansPrior(3).fit(X, sample_weight=np.ones(119))


def test_codes_must_be_codes():
    prior = KMeansPrior(3, random_state=0)
    with pytest.raises(NotFittedError):
        prior.inverse_transform(np.eye(3))
    prior.fit(cloud())
    with pytest.raises(ValueError, match="4 columns; expected 3, one for each cluster"):
        prior.inverse_transform(np.eye(4))
    for bad in (np.array([[-0.25, 1.0, 0.0]]), sp.csr_matrix([[-0.25, 1.0, 0.0]])):
        with pytest.raises(ValueError, match=r"negative numbers, such as -0.25"):
            prior.inverse_transform(bad)


def test_the_temperature_does_not_mind_where_the_rows_are():
    X = cloud(100)
    prior = KMeansPrior(8, init=X[:8]).fit(X)
    far = KMeansPrior(8, init=X[:8] + 1e7, code="triangle").fit(X + 1e7)
    assert_allclose(far.temperature_, prior.temperature_, rtol=1e-4)
    near = prior.set_params(code="triangle").transform(X)
    assert_allclose(far.transform(X + 1e7), near, atol=1e-5)


def test_a_small_batch_leaves_the_temperature():
    X = cloud(200)
    prior = KMeansPrior(8, random_state=0).partial_fit(X[:100])
    temperature = prior.temperature_
    prior.partial_fit(X[100:101])
    assert prior.temperature_ == temperature
    prior.partial_fit(X[101:])
    assert prior.temperature_ != temperature
