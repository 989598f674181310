"""TiedLogisticRegression tied to the priors that sktie ships."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktie import AutoencoderPrior, KMeansPrior, TiedLogisticRegression
from sktie.model_selection import LabeledSplit

# Overlapping blobs, two for each class; a quarter of the rows has its label.
N, P = 160, 5
X, THREE = make_blobs(N, P, centers=6, cluster_std=3.0, random_state=5)
X = X / 5
THREE = THREE % 3
SEEN = np.random.default_rng(0).uniform(size=N) < 0.25
WEIGHT = np.random.default_rng(1).uniform(0.5, 2.0, N)

PRIORS = {
    "k-means": KMeansPrior(10, random_state=0),
    "minibatch": KMeansPrior(10, minibatch=True, batch_size=64, random_state=0),
    **{
        f"{activation}, {share}": AutoencoderPrior(
            4,
            activation=activation,
            share=share,
            tol=1e-2,
            random_state=0,
        )
        for activation in ("softmax", "relu", "tanh", "identity")
        for share in ("decoder", None)
    },
}
priors = pytest.mark.parametrize("prior", PRIORS.values(), ids=list(PRIORS))
PRIOR = PRIORS["k-means"]


@pytest.fixture(params=[2, 3], ids=["binary", "multinomial"])
def labels(request):
    """Labels of all rows, in two or three classes."""
    return np.minimum(THREE, request.param - 1)


def hide(y):
    return np.where(SEEN, y, -1)


def tied(prior=PRIOR, **kwargs):
    return TiedLogisticRegression(prior, **{"unlabeled": -1, "tol": 1e-20, **kwargs})


def full_rows(coef, intercept):
    """Coefficients with the intercepts in the last column, a row for each class."""
    rows = np.column_stack([coef, intercept])
    return np.vstack([-rows / 2, rows / 2]) if len(rows) == 1 else rows


def one_scale(coef, intercept):
    """An anchor as it is compared: the log-odds for two classes, else centred."""
    rows = np.column_stack([coef, intercept])
    return rows[1:] - rows[:1] if len(rows) == 2 else rows - rows.mean(axis=0)


def anchor_of(prior, y, weight=None):
    """The prior fitted by hand on all rows, and its anchor."""
    mine = clone(prior).fit(X, sample_weight=weight)
    return one_scale(*mine.linear_anchor(X, y, len(np.unique(y[SEEN])), weight))


def objective(rows, anchor, y, weight, tie, tie_intercept, C):
    """The documented objective on the labelled rows and its gradient in ``rows``."""
    ones = np.column_stack([X[SEEN], np.ones(SEEN.sum())])
    scores = ones @ rows.T
    target = np.eye(max(len(rows), 2))[y[SEEN]]
    if len(rows) == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    s = np.ones(N) if weight is None else weight
    value = -(s[SEEN] @ np.sum(target * log_softmax(scores, axis=1), axis=1))
    residual = s[SEEN][:, np.newaxis] * (softmax(scores, axis=1) - target)
    gradient = residual[:, -len(rows) :].T @ ones
    strength = np.append(np.full(P, tie), tie_intercept)
    decay = np.append(np.full(P, 1 / C), 0)
    value += 0.5 * np.sum(strength * (rows - anchor) ** 2 + decay * rows**2)
    return value, gradient + strength * (rows - anchor) + decay * rows


# --- The minimum


@priors
@pytest.mark.parametrize("tie", [0.3, 30.0])
def test_fit_ends_where_the_objective_is_stationary(prior, tie, labels):
    y = hide(labels)
    model = tied(prior, tie=tie).fit(X, y, WEIGHT)
    anchor = anchor_of(prior, y, WEIGHT)
    rows = np.column_stack([model.coef_, model.intercept_])
    value, gradient = objective(rows, anchor, y, WEIGHT, tie, tie, 1.0)
    assert model.objective_ == pytest.approx(value, rel=1e-9)
    assert np.abs(gradient).max() < 1e-6 * (1 + tie)
    assert model.tie_gap_ == pytest.approx(np.abs(rows - anchor).max(), rel=1e-6)


@pytest.mark.parametrize(
    ("params", "tie_intercept", "C"),
    [
        ({"tie_intercept": False}, 0.0, 1.0),
        ({"tie_intercept": 0.5}, 0.5, 1.0),
        ({"C": 0.05}, 2.0, 0.05),
        ({"C": np.inf}, 2.0, np.inf),
    ],
    ids=["free intercept", "loose intercept", "decay", "no decay"],
)
def test_other_strengths_act_as_with_any_anchor(params, tie_intercept, C, labels):
    y = hide(labels)
    model = tied(tie=2.0, **params).fit(X, y)
    rows = np.column_stack([model.coef_, model.intercept_])
    anchor = anchor_of(PRIOR, y)
    value, gradient = objective(rows, anchor, y, None, 2.0, tie_intercept, C)
    assert model.objective_ == pytest.approx(value, rel=1e-9)
    assert np.abs(gradient).max() < 1e-6


def test_without_an_intercept_only_the_slopes_are_tied(labels):
    model = tied(tie=1e9, C=np.inf, fit_intercept=False).fit(X, hide(labels))
    assert_allclose(model.coef_, anchor_of(PRIOR, hide(labels))[:, :-1], atol=1e-6)
    assert_array_equal(model.intercept_, 0)


@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs", "newton-cg"])
def test_every_solver_ends_at_the_same_minimum(solver, labels):
    expected = tied().fit(X, hide(labels))
    model = tied(solver=solver).fit(X, hide(labels))
    assert_allclose(model.coef_, expected.coef_, atol=1e-6)
    assert_allclose(model.intercept_, expected.intercept_, atol=1e-6)


def test_the_deviation_from_the_anchor_shrinks_like_one_over_the_tie(labels):
    y, ties = hide(labels), [0.0, 0.1, 1.0, 1e4, 1e5, np.inf]
    anchor = anchor_of(PRIOR, y)
    gaps = []
    for tie in ties:
        model = tied(tie=tie).fit(X, y)
        rows = np.column_stack([model.coef_, model.intercept_])
        gaps.append(np.linalg.norm(rows - anchor))
    assert np.all(np.diff(gaps) < 0)
    assert gaps[4] == pytest.approx(gaps[3] / 10, rel=0.01)
    assert gaps[5] == pytest.approx(0, abs=1e-9)


def test_with_all_labels_and_no_tie_it_is_logistic_regression(labels):
    model = TiedLogisticRegression(PRIOR, tie=0.0, tol=1e-20).fit(X, labels)
    plain = LogisticRegression(tol=1e-10, max_iter=10000).fit(X, labels)
    assert_allclose(model.coef_, plain.coef_, atol=1e-6)
    assert_allclose(model.intercept_, plain.intercept_, atol=1e-6)


# --- The anchor


@pytest.mark.parametrize(
    "params",
    [
        {"code": "soft"},
        {"code": "triangle", "sparse_output": True},
        {"temperature": 0.01},
        {"temperature": 100.0},
    ],
    ids=str,
)
def test_code_and_temperature_of_a_prior_are_of_no_matter(params, labels):
    expected = tied(tie=np.inf).fit(X, hide(labels))
    model = tied(clone(PRIOR).set_params(**params), tie=np.inf).fit(X, hide(labels))
    assert_allclose(model.coef_, expected.coef_, rtol=1e-5, atol=1e-5)
    assert_allclose(model.intercept_, expected.intercept_, rtol=1e-5, atol=1e-5)


def test_one_cluster_says_nothing_of_the_features(labels):
    model = tied(KMeansPrior(1), tie=np.inf).fit(X, hide(labels))
    assert_allclose(model.coef_, 0, atol=1e-3)
    counts = np.bincount(labels[SEEN])
    assert_array_equal(np.unique(model.predict(X)), [counts.argmax()])


def test_every_row_may_be_a_cluster(labels):
    model = tied(KMeansPrior(N, random_state=0), tie=10.0).fit(X, hide(labels))
    assert np.isfinite(model.coef_).all()
    assert model.prior_.inertia_ == pytest.approx(0, abs=1e-9)


def test_labels_go_from_cluster_to_cluster_along_the_rows():
    # Two parallel strips of rows, with labels at opposite ends: alone, these say that
    # the classes differ along the strips.
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    rows = np.column_stack([rng.uniform(0, 6, 400), rng.normal(3 * y, 0.4)])
    seen = np.full(400, -1)
    seen[(y == 0) & (rows[:, 0] < 1)] = 0
    seen[(y == 1) & (rows[:, 0] > 5)] = 1
    known = seen >= 0
    alone = LogisticRegression().fit(rows[known], seen[known])
    model = tied(KMeansPrior(16, random_state=0), tie=100.0).fit(rows, seen)
    assert alone.score(rows, y) < 0.8
    assert model.score(rows, y) > 0.95
    # A prior without clusters reads the labels off its units: no better than alone.
    linear = AutoencoderPrior(2, activation="identity", random_state=0)
    assert tied(linear, tie=100.0).fit(rows, seen).score(rows, y) < 0.8


@pytest.mark.parametrize(
    "prior",
    [
        KMeansPrior(100, random_state=0),
        AutoencoderPrior(100, temperature=0.5, max_iter=10, tol=0.1, random_state=0),
    ],
    ids=["k-means", "autoencoder"],
)
def test_two_labels_of_each_digit_go_further_with_clusters(prior):
    digits, y = load_digits(return_X_y=True)
    digits, train, test = digits / 16, slice(0, 900), slice(900, None)
    seen = np.full(900, -1)
    for digit in range(10):
        seen[np.flatnonzero(y[train] == digit)[:2]] = digit
    known = seen >= 0
    alone = LogisticRegression().fit(digits[train][known], seen[known])
    model = TiedLogisticRegression(prior, unlabeled=-1, C=100).fit(digits[train], seen)
    gain = model.score(digits[test], y[test]) - alone.score(digits[test], y[test])
    assert gain > 0.05


# --- Invariances


def test_a_weight_of_two_is_a_row_twice_with_a_label_or_without(labels):
    count = np.random.default_rng(4).integers(0, 3, N)
    weighted = tied().fit(X, hide(labels), count.astype(float))
    repeated = tied().fit(np.repeat(X, count, axis=0), np.repeat(hide(labels), count))
    assert_allclose(weighted.prior_.coef_, repeated.prior_.coef_, rtol=1e-9)
    assert_allclose(weighted.coef_, repeated.coef_, atol=1e-5)
    assert_allclose(weighted.intercept_, repeated.intercept_, atol=1e-5)


def test_names_of_classes_are_of_no_matter():
    expected = tied().fit(X, hide(THREE))
    # In the reverse order of the numbers.
    words = np.array(["none", "c", "b", "a"])[hide(THREE) + 1]
    model = tied(unlabeled="none").fit(X, words)
    assert_array_equal(model.classes_, ["a", "b", "c"])
    assert_allclose(model.coef_[::-1], expected.coef_, atol=1e-5)
    assert_allclose(model.intercept_[::-1], expected.intercept_, atol=1e-5)
    two = tied().fit(X, hide(np.minimum(THREE, 1)))
    turned = tied().fit(X, hide(1 - np.minimum(THREE, 1)))
    assert_allclose(turned.coef_, -two.coef_, atol=1e-5)
    assert_allclose(turned.intercept_, -two.intercept_, atol=1e-5)


def test_random_state_of_the_prior_makes_fits_repeatable():
    first, again = (tied().fit(X, hide(THREE)) for _ in range(2))
    assert_array_equal(first.coef_, again.coef_)
    others = [
        tied(KMeansPrior(10, random_state=seed)).fit(X, hide(THREE)).coef_
        for seed in (1, 2)
    ]
    assert np.abs(others[0] - others[1]).max() > 1e-6


def test_sparse_rows_make_the_same_model(labels):
    rows = np.maximum(X, 0)
    prior = KMeansPrior(10, init=rows[:10])
    dense = tied(prior).fit(rows, hide(labels))
    sparse = tied(prior).fit(sp.csr_array(rows), hide(labels))
    assert_allclose(sparse.coef_, dense.coef_, atol=1e-5)
    assert_allclose(sparse.intercept_, dense.intercept_, atol=1e-5)


def test_a_warm_start_ends_where_a_cold_one_does(labels):
    cold = tied(tie=5.0).fit(X, hide(labels))
    warm = tied(tie=0.5, warm_start=True).fit(X, hide(labels))
    warm.set_params(tie=5.0).fit(X, hide(labels))
    assert_allclose(warm.coef_, cold.coef_, atol=1e-6)
    assert_allclose(warm.intercept_, cold.intercept_, atol=1e-6)


# --- The object


@priors
def test_fitted_attributes_and_predictions(prior, labels):
    n_classes = len(np.unique(labels))
    n_rows = 1 if n_classes == 2 else n_classes
    model = tied(prior).fit(X, hide(labels))
    assert type(model.prior_) is type(prior)
    assert model.prior_.coef_.shape[1] == P
    assert model.coef_.shape == (n_rows, P)
    assert model.n_features_in_ == P
    assert model.n_stored_parameters_ == n_rows * (P + 1)
    assert not hasattr(model, "domains_")
    rows = full_rows(model.coef_, model.intercept_)
    scores = np.column_stack([X, np.ones(N)]) @ rows.T
    assert_allclose(model.predict_proba(X), softmax(scores, axis=1), atol=1e-9)
    assert_array_equal(model.predict(X), model.classes_[scores.argmax(axis=1)])


@priors
def test_it_is_cloned_and_pickled_with_its_prior(prior):
    model = tied(prior).fit(X, hide(THREE))
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert_array_equal(again.prior_.transform(X), model.prior_.transform(X))
    copy = clone(model)
    assert copy.pair is not model.pair
    assert copy.pair.get_params() == prior.get_params()
    assert not hasattr(copy, "prior_")


def test_parameters_of_the_prior_are_parameters_of_the_model():
    model = tied(KMeansPrior(4)).set_params(pair__n_clusters=7, pair__random_state=3)
    assert model.get_params()["pair__n_clusters"] == 7
    assert model.fit(X, hide(THREE)).prior_.cluster_centers_.shape == (7, P)
    assert "pair=KMeansPrior(n_clusters=7, random_state=3)" in repr(model)


def test_a_prior_and_domains_are_one_too_many():
    with pytest.raises(ValueError, match=r"pair=KMeansPrior.*sample_domain"):
        tied().fit(X, hide(THREE), sample_domain=np.arange(N) % 2)


def test_a_frozen_prior_is_fitted_once_for_a_whole_search():
    class Counting(KMeansPrior):
        fits = 0

        def fit(self, X, y=None, sample_weight=None):
            Counting.fits += 1
            return super().fit(X, y, sample_weight)

    frozen = FrozenEstimator(Counting(10, random_state=0).fit(X))
    grid = {"tie": [0.1, 1.0, 10.0]}
    search = GridSearchCV(tied(frozen), grid, cv=LabeledSplit(3))
    search.fit(X, hide(THREE))
    assert Counting.fits == 1
    assert search.best_estimator_.prior_ is frozen.estimator
    Counting.fits = 0
    bare = GridSearchCV(tied(Counting(10)), grid, cv=LabeledSplit(3))
    bare.fit(X, hide(THREE))
    assert Counting.fits == 3 * 3 + 1


def test_after_a_scaler_the_prior_sees_scaled_rows(labels):
    scaler = StandardScaler().fit(X)
    model = make_pipeline(StandardScaler(), tied()).fit(X, hide(labels))
    expected = tied().fit(scaler.transform(X), hide(labels))
    assert_allclose(
        model.predict_proba(X), expected.predict_proba(scaler.transform(X)), atol=1e-12
    )
