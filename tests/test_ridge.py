"""TiedRidge against dense systems, scikit-learn's Ridge, and its own limits."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktie import TiedRidge
from tests.ridge_oracles import dense_fit, exact_slopes, make_rows, objective

INF = np.inf


def members_of(model):
    """Members (n_domains, n_targets, n_coefs), intercepts last where fitted."""
    if hasattr(model, "domains_"):
        coef, intercept = model.domain_coef_, model.domain_intercept_
    else:
        coef, intercept = model.coef_[np.newaxis], np.asarray(model.intercept_)[None]
    if model._flat_target:
        coef = coef[:, np.newaxis]
        intercept = np.asarray(intercept)[:, np.newaxis]
    if not model.fit_intercept:
        return coef
    return np.concatenate([coef, intercept[..., np.newaxis]], axis=-1)


SETTINGS = [
    {},
    {"tie": 0.0},
    {"tie": 1e-12},
    {"tie": 1e4},
    {"tie": INF},
    {"alpha": 0.0},
    {"alpha": 0.0, "tie": INF, "tie_intercept": 3.0},
    {"tie_intercept": False},
    {"tie_intercept": 0.3},
    {"tie_intercept": INF},
    {"tie": INF, "tie_intercept": False},
    {"tie": 0.0, "tie_intercept": INF},
    {"tie": 0.0, "tie_intercept": 5.0},
    {"fit_intercept": False},
    {"fit_intercept": False, "tie": INF},
    {"decay": "shared"},
    {"decay": "shared", "tie": INF, "alpha": 5.0},
    {"decay": "shared", "tie": 20.0, "tie_intercept": False},
    {"decay": "shared", "fit_intercept": False},
    {"tie": np.array([0.0, 3.0, INF]), "tie_intercept": 2.0},
    {"tie": np.array([INF, 3.0, INF]), "tie_intercept": False},
    {"tie": np.array([INF, INF, 0.5]), "tie_intercept": INF, "alpha": 0.0},
]


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("n_targets", [None, 2])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_domains_equal_the_stacked_system(settings, n_targets, weights):
    X, y, domain, weight = make_rows(n_targets=n_targets, weights=weights)
    model = TiedRidge(**settings).fit(X, y, weight, sample_domain=domain)
    oracle = {k: v for k, v in settings.items() if k != "decay"}
    oracle["shared_decay"] = settings.get("decay") == "shared"
    expected = dense_fit(X, y, domain, weight, **oracle)
    np.testing.assert_allclose(members_of(model), expected, rtol=1e-9, atol=1e-9)
    value = objective(X, y, domain, weight, expected, **oracle)
    assert model.objective_ == pytest.approx(value, rel=1e-10)
    centre = np.concatenate([model.coef_.ravel(), np.ravel(model.intercept_)])
    means = expected.mean(axis=0)
    p = X.shape[1]
    own = means[:, p] if model.fit_intercept else np.zeros(len(means))
    means = np.concatenate([means[:, :p].ravel(), own])
    np.testing.assert_allclose(centre, means, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("tie_intercept", [True, False, 0.3, INF])
@pytest.mark.parametrize("alpha", [0.0, 2.0])
@pytest.mark.parametrize("tie", [0.0, 1e-9, 1.0, 1e6, INF])
@pytest.mark.parametrize("n_targets", [None, 2])
def test_a_fixed_pair_equals_the_stacked_system(n_targets, tie, alpha, tie_intercept):
    X, y, _, weight = make_rows(n_targets=n_targets, weights=True)
    coef = np.arange(3.0 * (n_targets or 1)).reshape(-1, 3)
    anchor = (coef, np.arange(float(n_targets or 1)) - 5.0)
    if n_targets is None:
        anchor = coef[0], -5.0
    settings = {"tie": tie, "alpha": alpha, "tie_intercept": tie_intercept}
    model = TiedRidge(anchor, **settings).fit(X, y, weight)
    one = np.zeros(len(y), dtype=int)
    expected = dense_fit(X, y, one, weight, anchor=anchor, **settings)
    np.testing.assert_allclose(members_of(model), expected, rtol=1e-9, atol=1e-9)
    value = objective(X, y, one, weight, expected, anchor=anchor, **settings)
    assert model.objective_ == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("form", ["dense", "fortran", "csr", "float32"])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("n_targets", [None, 1, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 50.0])
def test_without_a_pair_it_is_ridge(alpha, fit_intercept, n_targets, weights, form):
    X, y, _, weight = make_rows(
        sizes=(30, 30), n_features=6, n_targets=n_targets, weights=weights
    )
    settings = {"alpha": alpha, "fit_intercept": fit_intercept}
    tolerance = 1e-4 if form == "float32" else 1e-10
    dtype = np.float32 if form == "float32" else np.float64
    theirs = Ridge(**settings).fit(X, y, weight)
    given = {"csr": sp.csr_array, "fortran": np.asfortranarray}.get(form, np.asarray)
    ours = TiedRidge(**settings).fit(given(X.astype(dtype)), y, weight)
    assert ours.coef_.dtype == dtype
    np.testing.assert_allclose(
        ours.coef_, np.reshape(theirs.coef_, ours.coef_.shape), rtol=tolerance
    )
    np.testing.assert_allclose(
        ours.intercept_, theirs.intercept_, rtol=tolerance, atol=tolerance
    )
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), rel=1e-6)
    if n_targets != 1:
        assert ours.coef_.shape == theirs.coef_.shape
        assert ours.predict(X).shape == theirs.predict(X).shape
    if n_targets != 1 and fit_intercept:
        assert np.shape(ours.intercept_) == np.shape(theirs.intercept_)


@pytest.mark.parametrize("tie", [1e-3, 1.0, 40.0])
def test_finite_ties_are_ridge_on_augmented_features(tie):
    X, y, domain, _ = make_rows(n_features=4)
    alpha, n_domains = 0.7, 3
    own = 1 / (alpha + 2 * tie)
    common = (1 / alpha - own) / n_domains
    blocks = [np.sqrt(common) * X]
    blocks += [np.sqrt(own) * X * (domain == t)[:, None] for t in range(n_domains)]
    theirs = Ridge(alpha=1.0, fit_intercept=False).fit(np.hstack(blocks), y)
    parts = theirs.coef_.reshape(n_domains + 1, -1)
    expected = np.sqrt(common) * parts[0] + np.sqrt(own) * parts[1:]
    model = TiedRidge(tie=tie, alpha=alpha, fit_intercept=False)
    model.fit(X, y, sample_domain=domain)
    np.testing.assert_allclose(model.domain_coef_, expected, rtol=1e-9)


def test_strengths_by_name_are_those_by_place():
    pd = pytest.importorskip("pandas")
    X, y, domain, _ = make_rows()
    frame = pd.DataFrame(X, columns=["age", "chol", "fbs"])
    frame["site"] = domain
    model = TiedRidge("site", tie={"chol": INF, None: 2.0}, tie_intercept=1.0)
    model.fit(frame, y)
    np.testing.assert_array_equal(model.tie_, [2.0, INF, 2.0])
    places = TiedRidge(tie=[2.0, INF, 2.0], tie_intercept=1.0)
    places.fit(X, y, sample_domain=domain)
    np.testing.assert_array_equal(model.domain_coef_, places.domain_coef_)
    assert np.ptp(model.domain_coef_[:, 1]) == 0 < np.ptp(model.domain_coef_[:, 0])
    with pytest.raises(ValueError, match="Use a strength for tie_intercept"):
        places.set_params(tie_intercept=True).fit(X, y, sample_domain=domain)
    pair = TiedRidge(store_covariance=True).fit(X, y)
    fisher = TiedRidge(FrozenEstimator(pair), tie=[1.0, 1.0, 1.0], metric="fisher")
    with pytest.raises(ValueError, match="a tie for each coefficient"):
        fisher.fit(X, y)
    with pytest.raises(ValueError, match="no feature of X"):
        model.set_params(tie={"years": 1.0, None: 0.0}).fit(frame, y)


def test_the_ends_of_the_dial_are_pooled_and_separate_ridge():
    X, y, domain, weight = make_rows(weights=True)
    pooled = Ridge(alpha=3 * 0.5).fit(X, y, weight)
    model = TiedRidge(tie=INF, alpha=0.5).fit(X, y, weight, sample_domain=domain)
    np.testing.assert_allclose(model.coef_, pooled.coef_, rtol=1e-11)
    np.testing.assert_allclose(model.intercept_, pooled.intercept_, rtol=1e-11)
    assert model.n_stored_parameters_ == 4
    assert model.tie_gap_ == 0
    assert model.domain_coef_.strides[0] == 0
    model = TiedRidge(tie=0, alpha=0.5).fit(X, y, weight, sample_domain=domain)
    assert model.n_stored_parameters_ == 12
    for t in range(3):
        own = domain == t
        alone = Ridge(alpha=0.5).fit(X[own], y[own], weight[own])
        np.testing.assert_allclose(model.domain_coef_[t], alone.coef_, rtol=1e-11)
        found = model.domain_estimator(t)
        np.testing.assert_allclose(found.predict(X[own]), alone.predict(X[own]))
        assert found.alpha == 0.5


def test_the_gap_to_a_hard_tie_shrinks_like_its_inverse():
    X, y, domain, _ = make_rows()
    gaps = [
        TiedRidge(tie=tie).fit(X, y, sample_domain=domain).tie_gap_
        for tie in (1e5, 1e6, 1e7, 1e8)
    ]
    np.testing.assert_allclose(np.divide(gaps[:-1], gaps[1:]), 10, rtol=1e-3)


LARGE = [
    {},
    {"tie_intercept": False},
    {"tie": INF},
    {"tie": INF, "tie_intercept": 2.0},
    {"tie": INF, "tie_intercept": False},
    {"tie": 0.0},
    {"tie": 0.0, "tie_intercept": 0.25},
    {"tie_intercept": INF},
]


@pytest.mark.parametrize("mean", [1e3, 1e6])
@pytest.mark.parametrize("settings", LARGE, ids=str)
def test_large_means_cost_no_digits(mean, settings):
    """Slopes against rational arithmetic, to eps times mean over spread."""
    X, y, domain, _ = make_rows(sizes=(8, 12, 16), n_features=2)
    X = np.round(X * 2**20) / 2**20 + mean
    y = np.round(y * 2**20) / 2**20 + mean
    expected = exact_slopes(X, y, domain, **settings)
    model = TiedRidge(**settings).fit(X, y, sample_domain=domain)
    np.testing.assert_allclose(model.domain_coef_, expected, rtol=0, atol=1e-14 * mean)


def test_ridge_is_no_more_accurate_where_means_are_large():
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(200, 4)) * 2**20) / 2**20
    y = X @ [1.0, -2.0, 0.5, 3.0] + 0.1 * rng.normal(size=200)
    exact = Ridge(alpha=1e-3).fit(X, y).coef_
    for mean in (1e4, 1e7):
        theirs = np.abs(Ridge(alpha=1e-3).fit(X + mean, y).coef_ - exact).max()
        ours = np.abs(TiedRidge(alpha=1e-3).fit(X + mean, y).coef_ - exact).max()
        assert ours <= 3 * theirs + 1e-14


@pytest.mark.parametrize("tie", [0.0, 1.0, INF])
def test_more_features_than_rows(tie):
    rng = np.random.default_rng(1)
    X, domain = rng.normal(size=(30, 60)), np.arange(30) % 2
    y = rng.normal(size=30)
    model = TiedRidge(tie=tie, alpha=1e-3).fit(X, y, sample_domain=domain)
    expected = dense_fit(X, y, domain, tie=tie, alpha=1e-3)
    np.testing.assert_allclose(members_of(model), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("tie", [0.0, 1.0, INF])
@pytest.mark.parametrize("tie_intercept", [True, False])
def test_collinear_features_without_decay_have_the_least_norm(tie, tie_intercept):
    X, y, domain, _ = make_rows(sizes=(20, 30, 40))
    X = np.column_stack([X, X[:, 0] - X[:, 1], np.ones(len(X))])
    settings = {"tie": tie, "tie_intercept": tie_intercept, "alpha": 0.0}
    model = TiedRidge(**settings).fit(X, y, sample_domain=domain)
    limit = TiedRidge(**settings | {"alpha": 1e-6}).fit(X, y, sample_domain=domain)
    np.testing.assert_allclose(model.domain_coef_, limit.domain_coef_, atol=1e-5)
    plain = TiedRidge(alpha=0.0).fit(X, y)
    theirs = LinearRegression().fit(X, y)
    np.testing.assert_allclose(plain.coef_, theirs.coef_, rtol=1e-6, atol=1e-7)


def test_weights_are_numbers_of_rows():
    X, y, domain, _ = make_rows()
    counts = np.random.default_rng(0).integers(0, 3, size=len(y))
    counts[[np.flatnonzero(domain == t)[0] for t in range(3)]] = 2
    weighted = TiedRidge().fit(X, y, counts, sample_domain=domain)
    rows = np.repeat(np.arange(len(y)), counts)
    repeated = TiedRidge().fit(X[rows], y[rows], sample_domain=domain[rows])
    np.testing.assert_allclose(weighted.domain_coef_, repeated.domain_coef_, rtol=1e-10)
    assert weighted.sigma2_ == pytest.approx(repeated.sigma2_, rel=1e-10)


def test_many_blocks_are_one():
    """Rows enough for several blocks and pieces, in no order, sparse and dense."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(30_000, 12)) + 5.0
    X[rng.uniform(size=X.shape) < 0.5] = 0
    domain = rng.integers(3, size=len(X))
    y = X @ rng.normal(size=12) + domain + rng.normal(size=len(X))
    weight = rng.uniform(size=len(X))
    own = [domain == t for t in range(3)]
    alone = [Ridge(solver="cholesky").fit(X[o], y[o], weight[o]) for o in own]
    for form in (np.asarray, sp.csr_array):
        for n_jobs in (1, 2):
            model = TiedRidge(tie=0, n_jobs=n_jobs)
            model.fit(form(X), y, weight, sample_domain=domain)
            for t in range(3):
                np.testing.assert_allclose(model.domain_coef_[t], alone[t].coef_)


def test_a_column_names_the_domains_wherever_it_is():
    X, y, domain, _ = make_rows()
    expected = TiedRidge().fit(X, y, sample_domain=domain)
    for place in (0, 2, -1):
        whole = np.insert(X, place if place >= 0 else 3, domain, axis=1)
        for form in (np.asarray, sp.csr_array):
            model = TiedRidge(place).fit(form(whole), y)
            np.testing.assert_allclose(model.domain_coef_, expected.domain_coef_)
            np.testing.assert_allclose(
                model.predict(form(whole)), expected.predict(X, sample_domain=domain)
            )


def test_unknown_domains_are_refused_or_get_the_centre():
    X, y, domain, _ = make_rows()
    model = TiedRidge().fit(X, y, sample_domain=domain)
    with pytest.raises(ValueError, match="handle_unknown='shared'"):
        model.predict(X[:1], sample_domain=[9])
    model.set_params(handle_unknown="shared")
    found = model.predict(X[:1], sample_domain=[9])
    assert found == pytest.approx(X[:1] @ model.coef_ + model.intercept_)
    assert model.domain_estimator(9).predict(X[:1]) == pytest.approx(found)


# ---- pairs ---------------------------------------------------------------------------


def test_features_of_a_pair_are_matched_by_name():
    pd = pytest.importorskip("pandas")
    X, y, _, _ = make_rows()
    names = ["age", "chol", "fbs"]
    frame = pd.DataFrame(X, columns=names)
    for fitted in (Ridge().fit(frame, y), TiedRidge().fit(frame, y)):
        model = TiedRidge(FrozenEstimator(fitted), tie=INF)
        model.fit(frame[["fbs", "age", "chol"]], y)
        np.testing.assert_allclose(model.coef_, fitted.coef_[[2, 0, 1]])
        assert model.intercept_ == pytest.approx(fitted.intercept_)
    other = TiedRidge(FrozenEstimator(Ridge().fit(frame, y)))
    with pytest.raises(ValueError, match="different features"):
        other.fit(frame.rename(columns={"age": "years"}), y)
    piped = make_pipeline(StandardScaler(), Ridge()).fit(frame, y)
    model = TiedRidge(FrozenEstimator(piped), tie=INF).fit(frame, y)
    np.testing.assert_allclose(model.coef_, piped[-1].coef_)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (Ridge(), "FrozenEstimator"),
        (LogisticRegression().fit([[0.0], [1.0]], [0, 1]), "no fitted linear reg"),
        (([1.0, 2.0], 0.0), "2 features, but X has 3"),
        ((np.ones((2, 3)), [0.0, 0.0]), "one for each target"),
        (([1.0, np.nan, 1.0], 0.0), "finite"),
        (([1.0, 2.0, 3.0],), "tuple of 1 items"),
        (("a", "b"), "does not hold numbers"),
        (True, "pair"),
    ],
    ids=str,
)
def test_pairs_that_are_none_say_what_to_do(pair, words):
    X, y, _, _ = make_rows()
    with pytest.raises(ValueError, match=words):
        TiedRidge(pair).fit(X, y)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tie": -1.0}, "tie=0 for separate"),
        ({"alpha": -1.0}, "Use a number from 0"),
        ({"alpha": INF}, "Use a number from 0"),
        ({"tie_intercept": "strong"}, "False \\(free\\)"),
        ({"decay": "none"}, "decay"),
    ],
    ids=str,
)
def test_parameters_out_of_range_name_the_remedy(settings, words):
    X, y, _, _ = make_rows()
    with pytest.raises(ValueError, match=words):
        TiedRidge(**settings).fit(X, y)


def test_a_failed_fit_leaves_a_fitted_model_as_it_was():
    X, y, domain, _ = make_rows()
    model = TiedRidge().fit(X, y, sample_domain=domain)
    before = vars(model).copy()
    with pytest.raises(ValueError, match="weight zero"):
        model.fit(X, y, (domain > 0).astype(float), sample_domain=domain)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X, np.where(y > 1, np.nan, y), sample_domain=domain)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
    # And one without domains forgets them.
    model.fit(X, y)
    assert not hasattr(model, "domains_")


def test_gram_matrices_that_are_too_large_are_refused_before_they_are_made():
    X = sp.csr_array((10, 20_000))
    with pytest.raises(ValueError, match="Gram matrices hold 1 x 20001 x 20001"):
        TiedRidge().fit(X, np.arange(10.0))


def test_clone_and_repr_keep_parameters():
    model = TiedRidge(-1, tie=INF, alpha=0.5, tie_intercept=3.0)
    assert clone(model).get_params() == model.get_params()
