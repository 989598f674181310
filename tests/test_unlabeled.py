"""Rows without a label: how they are given, and what becomes of them."""

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.datasets import make_blobs
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from sktie import (
    AutoencoderPrior,
    KMeansPrior,
    TiedLogisticRegression,
    TiedMLPClassifier,
)

# Overlapping blobs, so that no two ways of fitting agree by saturation.
N, P, N_SEEN = 120, 4, 30
X, THREE = make_blobs(N, P, centers=6, cluster_std=3.0, random_state=3)
X = X / 5
THREE = THREE % 3
WORDS = np.array(["no", "so-so", "yes"])
WEIGHT = np.random.default_rng(1).uniform(0.5, 2, N)
SEEN = np.zeros(N, dtype=bool)
SEEN[np.random.default_rng(2).permutation(N)[:N_SEEN]] = True

# The tie of the output layer is how unlabelled rows get into a network, besides
# through the encoder.
NETWORK = {
    "hidden_units": 3,
    "activation": "identity",
    "tie": 3.0,
    "tie_output": 2.0,
    "alpha": 0.1,
    "tol": 1e-5,
}
MODELS = {
    "linear": lambda pair=None, **kwargs: TiedLogisticRegression(
        pair, **{"tol": 1e-20, **kwargs}
    ),
    "network": lambda pair=None, **kwargs: TiedMLPClassifier(
        pair, **{**NETWORK, **kwargs}
    ),
}
models = pytest.mark.parametrize("make", MODELS.values(), ids=list(MODELS))
PRIORS = {
    "k-means": KMeansPrior(8, random_state=0),
    "softmax": AutoencoderPrior(6, random_state=0, max_iter=200, tol=1e-3),
    "tanh": AutoencoderPrior(
        3, activation="tanh", share=None, random_state=0, max_iter=200, tol=1e-2
    ),
}
priors = pytest.mark.parametrize("prior", PRIORS.values(), ids=list(PRIORS))
PRIOR = PRIORS["k-means"]


@pytest.fixture(params=[2, 3], ids=["binary", "multinomial"])
def labels(request):
    """Labels of all rows, in two or three classes."""
    return np.minimum(THREE, request.param - 1)


def hide(y, mark=-1):
    """Mark all rows but those seen as unlabelled."""
    return np.where(SEEN, y, mark)


def prediction(model, rows=X):
    return model.predict_log_proba(rows)


def assert_same_model(a, b, rows=X):
    """The anchor ends where L-BFGS does, up to rounding of its path."""
    assert_allclose(prediction(a, rows), prediction(b, rows), rtol=1e-5, atol=1e-5)


def assert_other_model(a, b):
    assert np.abs(prediction(a) - prediction(b)).max() > 1e-2


# --- Marks


@models
def test_any_mark_gives_the_same_model(make, labels):
    expected = make(PRIOR, unlabeled=-1).fit(X, hide(labels))
    for y, mark in [
        (hide(labels, 99), 99),
        (hide(labels + 5, 0), 0),
        (hide(labels).astype(float), -1),
        (hide(WORDS[labels], "none"), "none"),
        (hide(WORDS[labels], "?").astype(object), "?"),
        (
            hide(WORDS[labels], "a mark of some length").tolist(),
            "a mark of some length",
        ),
    ]:
        model = make(PRIOR, unlabeled=mark).fit(X, y)
        assert_same_model(model, expected)
        assert mark not in model.classes_.tolist()
        assert len(model.classes_) == len(np.unique(labels))


@models
def test_no_row_is_predicted_as_the_mark(make, labels):
    model = make(PRIOR, unlabeled="none").fit(X, hide(WORDS[labels], "none"))
    assert_array_equal(model.classes_, np.unique(WORDS[labels]))
    assert set(model.predict(X)) == set(model.classes_)
    assert model.predict_proba(X).shape == (N, len(model.classes_))


@models
def test_a_mark_that_sorts_between_the_classes_shifts_none_of_them(make):
    y = hide(np.array(["a", "c", "e"])[THREE], "b")
    model = make(PRIOR, unlabeled="b").fit(X, y)
    assert_array_equal(model.classes_, ["a", "c", "e"])
    expected = make(PRIOR, unlabeled=-1).fit(X, hide(THREE))
    assert_same_model(model, expected)


@models
def test_a_mark_that_no_row_has_changes_nothing(make, labels):
    with pytest.warns(UserWarning, match="no row of y is marked so"):
        with_mark = make(PRIOR, unlabeled=-1).fit(X, labels)
    without = make(PRIOR).fit(X, labels)
    assert_array_equal(prediction(with_mark), prediction(without))


@models
def test_without_unlabeled_minus_one_is_a_class(make):
    y = np.where(THREE == 2, -1, 1)
    model = make(PRIOR).fit(X, y)
    assert_array_equal(model.classes_, [-1, 1])


# --- Ways to give them


@models
@priors
@pytest.mark.parametrize("weighted", [False, True])
def test_all_ways_to_give_the_rows_make_the_same_model(make, prior, weighted, labels):
    # X_unlabeled has weights of 1.
    weight = np.where(SEEN, WEIGHT, 1.0) if weighted else None
    marked = make(prior, unlabeled=-1).fit(X, hide(labels), weight)
    order = np.argsort(~SEEN, kind="stable")
    apart = make(prior).fit(
        X[SEEN],
        labels[SEEN],
        None if weight is None else weight[SEEN],
        X_unlabeled=X[~SEEN],
    )
    by_hand = type(prior)(**prior.get_params()).fit(X, sample_weight=weight)
    frozen = make(FrozenEstimator(by_hand), unlabeled=-1).fit(X, hide(labels), weight)
    both = make(prior, unlabeled=-1)
    half = np.sort(order[: N_SEEN + 40])
    both.fit(
        X[half],
        hide(labels)[half],
        None if weight is None else weight[half],
        X_unlabeled=X[np.setdiff1d(order, half)],
    )
    for model in (apart, frozen, both):
        assert_same_model(model, marked)
        assert_allclose(model.prior_.coef_, marked.prior_.coef_, rtol=1e-6, atol=1e-9)
    assert frozen.prior_ is by_hand
    # What the ways must not be equal to.
    assert_other_model(marked, make(prior).fit(X[SEEN], labels[SEEN]))
    if weighted:
        assert_other_model(marked, make(prior, unlabeled=-1).fit(X, hide(labels)))


@models
def test_weights_of_unlabelled_rows_count(make, labels):
    twice = np.where(SEEN, 1.0, 2.0)
    weighted = make(PRIOR, unlabeled=-1).fit(X, hide(labels), twice)
    repeated = make(PRIOR).fit(
        X[SEEN], labels[SEEN], X_unlabeled=np.vstack([X[~SEEN], X[~SEEN]])
    )
    assert_same_model(weighted, repeated)
    assert_other_model(weighted, make(PRIOR, unlabeled=-1).fit(X, hide(labels)))


@models
def test_unlabelled_rows_of_weight_zero_are_not_there(make, labels):
    none = make(PRIOR, unlabeled=-1).fit(X, hide(labels), SEEN.astype(float))
    assert_same_model(none, make(PRIOR).fit(X[SEEN], labels[SEEN]))


@models
def test_the_order_of_the_rows_is_of_no_matter(make, labels):
    order = np.random.default_rng(0).permutation(N)
    model = make(PRIOR, unlabeled=-1).fit(X[order], hide(labels)[order], WEIGHT[order])
    expected = make(PRIOR, unlabeled=-1).fit(X, hide(labels), WEIGHT)
    assert_same_model(model, expected)


@models
def test_rows_are_left_alone(make):
    rows, more, y, weight = X.copy(), X[~SEEN].copy(), hide(THREE), WEIGHT.copy()
    make(PRIOR, unlabeled=-1).fit(rows, y, weight, X_unlabeled=more)
    assert_array_equal(rows, X)
    assert_array_equal(more, X[~SEEN])
    assert_array_equal(y, hide(THREE))
    assert_array_equal(weight, WEIGHT)


@models
def test_a_prior_is_cloned_and_a_frozen_one_kept(make):
    prior = KMeansPrior(8, random_state=0)
    model = make(prior, unlabeled=-1).fit(X, hide(THREE))
    assert vars(prior) == vars(KMeansPrior(8, random_state=0))
    assert model.prior_ is not prior
    elsewhere = KMeansPrior(8, random_state=0).fit(X[:50])
    before = elsewhere.cluster_centers_.copy()
    model = make(FrozenEstimator(elsewhere), unlabeled=-1).fit(X, hide(THREE))
    assert model.prior_ is elsewhere
    assert_array_equal(elsewhere.cluster_centers_, before)


@models
def test_the_prior_goes_where_a_later_fit_has_none(make):
    model = make(PRIOR).fit(X, THREE)
    assert hasattr(model, "prior_")
    model.set_params(pair=None).fit(X, THREE)
    assert not hasattr(model, "prior_")


# --- What learns from them


@models
@pytest.mark.parametrize("tie", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_the_loss_is_that_of_the_labelled_rows(make, tie, class_weight, labels):
    y, weight = hide(labels), WEIGHT
    settings = {"tie": tie, "class_weight": class_weight}
    frozen = FrozenEstimator(KMeansPrior(8, random_state=0).fit(X))
    if make is MODELS["linear"]:
        model = make(frozen, unlabeled=-1, **settings).fit(X, y, weight)
        n_classes = len(np.unique(labels))
        share = np.ones(n_classes)
        if class_weight:
            mass = np.bincount(labels[SEEN], weights=weight[SEEN])
            share = mass.sum() / (n_classes * mass)
        anchor = frozen.estimator.linear_anchor(
            X, y, n_classes, np.where(SEEN, share[labels], 1.0) * weight
        )
        alone = make(anchor, **settings).fit(X[SEEN], labels[SEEN], weight[SEEN])
    else:
        # With a free output layer unlabelled rows act through the encoder alone.
        settings["tie_output"] = 0.0
        model = make(frozen, unlabeled=-1, **settings).fit(X, y, weight)
        alone = make(frozen, **settings).fit(X[SEEN], labels[SEEN], weight[SEEN])
        assert model.loss_ == pytest.approx(alone.loss_, rel=1e-9)
    assert_same_model(model, alone)


def test_without_a_tie_they_are_of_no_matter_to_a_linear_model(labels):
    model = MODELS["linear"](PRIOR, tie=0.0, unlabeled=-1).fit(X, hide(labels))
    plain = LogisticRegression(tol=1e-10, max_iter=10000).fit(X[SEEN], labels[SEEN])
    assert_allclose(model.coef_, plain.coef_, atol=1e-6)
    assert_allclose(model.intercept_, plain.intercept_, atol=1e-6)


@priors
@pytest.mark.parametrize("weighted", [False, True])
def test_an_infinite_tie_makes_a_linear_model_the_anchor(prior, weighted, labels):
    weight = WEIGHT if weighted else None
    model = MODELS["linear"](prior, tie=np.inf, unlabeled=-1)
    model.fit(X, hide(labels), weight)
    n_classes = len(np.unique(labels))
    coef, intercept = model.prior_.linear_anchor(X, hide(labels), n_classes, weight)
    if n_classes == 2:
        coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
    assert_allclose(model.coef_, coef, rtol=1e-9, atol=1e-9)
    assert_allclose(model.intercept_, intercept, rtol=1e-9, atol=1e-9)
    assert model.tie_gap_ == 0


@priors
def test_infinite_ties_make_a_network_the_encoder_and_its_readout(prior, labels):
    model = MODELS["network"](prior, tie=np.inf, tie_output=np.inf, unlabeled=-1)
    model.fit(X, hide(labels), WEIGHT)
    assert_array_equal(model.coefs_[0], model.prior_.coef_.T)
    assert_array_equal(model.intercepts_[0], model.prior_.intercept_)
    n_classes = len(np.unique(labels))
    coef, intercept = model.prior_.readout_anchor(X, hide(labels), n_classes, WEIGHT)
    if n_classes == 2:
        coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
    assert_allclose(model.coefs_[1].T, coef, rtol=1e-9, atol=1e-9)
    assert_allclose(model.intercepts_[1], intercept, rtol=1e-9, atol=1e-9)


@models
def test_class_weights_reach_the_prior_for_labelled_rows_only(make):
    weights = {0: 3.0, 1: 1.0, 2: 0.5}
    model = make(PRIOR, unlabeled=-1, class_weight=weights).fit(X, hide(THREE))
    share = np.where(SEEN, np.array([3.0, 1.0, 0.5])[THREE], 1.0)
    expected = make(PRIOR, unlabeled=-1).fit(X, hide(THREE), share)
    assert_same_model(model, expected)
    assert_other_model(model, make(PRIOR, unlabeled=-1).fit(X, hide(THREE)))


@models
@pytest.mark.parametrize("n_labels", [1, 2])
def test_clusters_make_up_for_missing_labels(make, n_labels):
    gain = []
    for seed in range(6):
        rows, y = make_blobs(
            200, 8, centers=4, cluster_std=2.0, center_box=(-4, 4), random_state=seed
        )
        seen = np.full(200, -1)
        for label in range(4):
            seen[np.flatnonzero(y == label)[:n_labels]] = label
        known = seen >= 0
        model = make(KMeansPrior(12, random_state=0), tie=10.0, unlabeled=-1)
        model.fit(rows, seen)
        alone = LogisticRegression().fit(rows[known], seen[known])
        gain.append(
            model.score(rows[~known], y[~known]) - alone.score(rows[~known], y[~known])
        )
    assert np.mean(gain) > 0.05
    assert np.min(gain) > 0


# --- Forms of the rows

FRAMES = {
    "pandas": lambda module, rows, names: module.DataFrame(rows, columns=names),
    "polars": lambda module, rows, names: module.DataFrame(rows, schema=names),
}
NAMES = ["a", "b", "c", "d"]


@pytest.fixture(params=list(FRAMES))
def framed(request):
    """A function that makes a data frame of rows and names."""
    module = pytest.importorskip(request.param)
    return lambda rows, names=NAMES: FRAMES[request.param](module, rows, names)


@models
def test_data_frames_are_the_same_as_arrays(make, framed):
    expected = make(PRIOR, unlabeled=-1).fit(X, hide(THREE))
    marked = make(PRIOR, unlabeled=-1).fit(framed(X), hide(THREE))
    apart = make(PRIOR).fit(framed(X[SEEN]), THREE[SEEN], X_unlabeled=framed(X[~SEEN]))
    for model in (marked, apart):
        assert_array_equal(model.feature_names_in_, NAMES)
        assert_allclose(
            model.predict_proba(framed(X)), expected.predict_proba(X), atol=1e-6
        )


@models
@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["b", "a", "c", "d"], "same order"),
        (["a", "b", "c", "e"], "unseen at fit time"),
    ],
)
def test_other_names_of_unlabelled_rows_are_an_error(make, framed, names, words):
    with pytest.raises(ValueError, match=f"(?s)feature names.*{words}"):
        make(PRIOR).fit(
            framed(X[SEEN]), THREE[SEEN], X_unlabeled=framed(X[~SEEN], names)
        )


@models
def test_names_on_one_side_only_are_warned_of_as_in_predict(make, framed):
    sides = (framed(X[SEEN]), X[~SEEN]), (X[SEEN], framed(X[~SEEN]))
    for rows, more in sides:
        with pytest.warns(UserWarning, match="feature names"):
            make(PRIOR).fit(rows, THREE[SEEN], X_unlabeled=more)


@models
def test_a_frozen_prior_of_other_names_is_an_error(make, framed):
    frozen = FrozenEstimator(KMeansPrior(8, random_state=0).fit(framed(X)))
    make(frozen, unlabeled=-1).fit(framed(X), hide(THREE))
    make(frozen, unlabeled=-1).fit(X, hide(THREE))
    for names in (["b", "a", "c", "d"], ["a", "b", "c", "e"]):
        with pytest.raises(ValueError, match=r"'a', 'b', 'c', 'd'.*same order"):
            make(frozen, unlabeled=-1).fit(framed(X, names), hide(THREE))


SPARSE_X = np.maximum(X - np.median(X), 0)


@models
@pytest.mark.parametrize("container", [sp.csr_array, sp.csc_matrix])
def test_sparse_and_dense_rows_mix(make, container):
    y, order = hide(THREE), np.argsort(~SEEN, kind="stable")
    dense, sparse = SPARSE_X[order], container(SPARSE_X[order])
    pairs = [(dense, sparse), (sparse, dense), (sparse, sparse)]
    for ours, theirs in pairs:
        apart = make(PRIOR).fit(
            ours[:N_SEEN], y[order][:N_SEEN], X_unlabeled=theirs[N_SEEN:]
        )
        # As many rows as one matrix, of the first one's kind.
        marked = make(PRIOR, unlabeled=-1).fit(ours, y[order])
        assert_same_model(apart, marked, SPARSE_X)


@models
def test_single_precision_stays_so(make, labels):
    # Seeds depend on the order of the rows as bytes, and so on the precision.
    prior, narrow = KMeansPrior(8, init=X[:8]), X.astype(np.float32)
    expected = make(prior, unlabeled=-1).fit(X, hide(labels), WEIGHT)
    marked = make(prior, unlabeled=-1).fit(narrow, hide(labels), WEIGHT)
    expected_apart = make(prior).fit(X[SEEN], labels[SEEN], X_unlabeled=X[~SEEN])
    # Rows without a label take the dtype of those that have one.
    apart = make(prior).fit(narrow[SEEN], labels[SEEN], X_unlabeled=X[~SEEN])
    for model, double in ((marked, expected), (apart, expected_apart)):
        arrays = [model.prior_.cluster_centers_, model.prior_.coef_]
        if isinstance(model, TiedLogisticRegression):
            arrays += [model.coef_, model.intercept_]
        else:
            arrays += [*model.coefs_, *model.intercepts_]
        for array in arrays:
            assert array.dtype == np.float32
        assert_allclose(model.predict_proba(narrow), double.predict_proba(X), atol=2e-3)


# --- Errors


@dataclass(frozen=True)
class Case:
    """A fit that must fail: the arguments that differ, and words of the message."""

    id: str
    words: str
    pair: Any = PRIOR
    params: dict[str, Any] = field(default_factory=lambda: {"unlabeled": -1})
    X: Any = field(default_factory=lambda: X)
    y: Any = field(default_factory=lambda: hide(THREE))
    fit: dict[str, Any] = field(default_factory=dict)
    error: type = ValueError


FITTED = LogisticRegression().fit(X, THREE)
MORE = {"X_unlabeled": X[:5]}
CASES = [
    Case("mark without a prior", "unlabeled.*pair=None.*KMeansPrior", None),
    Case("rows without a prior", "X_unlabeled.*pair=None", None, {}, y=THREE, fit=MORE),
    Case("all rows marked", "no labelled row.*unlabeled=-1", y=np.full(N, -1)),
    Case("one class", "one class, 0", y=np.where(hide(THREE) == 0, 0, -1)),
    Case(
        "labelled rows weigh nothing",
        "(?i)weight",
        fit={"sample_weight": (~SEEN).astype(float)},
    ),
    Case(
        "one class by weight",
        "sample_weight is positive.*one class, 1",
        fit={"sample_weight": np.where(THREE == 1, 1.0, ~SEEN)},
    ),
    Case(
        "mark of another kind",
        "unlabeled='none'.*numbers",
        params={"unlabeled": "none"},
    ),
    Case(
        "mark of another kind, for strings",
        "unlabeled=-1.*strings",
        y=WORDS[THREE],
    ),
    Case("mark is a float", "'unlabeled'.*None.*int.*str", params={"unlabeled": -1.0}),
    Case(
        "unfitted frozen prior",
        r"FrozenEstimator\(KMeansPrior\(\)\).*not fitted",
        FrozenEstimator(KMeansPrior(3)),
        error=NotFittedError,
    ),
    Case(
        "frozen prior of other features",
        "3 features.*X has 4",
        FrozenEstimator(KMeansPrior(3, random_state=0).fit(X[:, :3])),
    ),
    Case("more clusters than rows", "n_clusters=121.*n_samples=120", KMeansPrior(121)),
    Case(
        "more clusters than rows of both kinds",
        "n_clusters=36.*n_samples=35",
        KMeansPrior(36),
        {},
        X=X[SEEN],
        y=THREE[SEEN],
        fit=MORE,
    ),
    Case(
        "more clusters than rows that weigh",
        "n_clusters=31.*n_samples=30",
        KMeansPrior(31),
        fit={"sample_weight": SEEN.astype(float)},
    ),
    Case(
        "more units than rows",
        "n_components=121.*n_samples=120",
        AutoencoderPrior(121),
    ),
    Case(
        "unknown class in class_weight",
        r"class_weight.*\[7\].*\[0, 1, 2\]",
        params={"unlabeled": -1, "class_weight": {0: 1.0, 7: 2.0}},
    ),
    Case(
        "parameter of the prior out of range",
        "'n_clusters'.*KMeansPrior",
        KMeansPrior(0),
    ),
    Case(
        "unlabelled rows of other features",
        "3 features.*4",
        params={},
        y=THREE,
        fit={"X_unlabeled": X[:, :3]},
    ),
    Case(
        "unlabelled rows with NaN",
        "X_unlabeled.*NaN",
        params={},
        y=THREE,
        fit={"X_unlabeled": np.full((2, P), np.nan)},
    ),
    Case(
        "no unlabelled row",
        "0 sample",
        params={},
        y=THREE,
        fit={"X_unlabeled": X[:0]},
    ),
    Case("rows with NaN", "NaN", X=np.where(SEEN[:, np.newaxis], X, np.nan)),
    Case("lengths", "inconsistent", X=X[:-1]),
]
LINEAR_CASES = [
    Case("mark with a classifier", "no prior", FrozenEstimator(FITTED)),
    Case(
        "rows with arrays",
        "X_unlabeled.*no prior",
        (FITTED.coef_, FITTED.intercept_),
        {},
        y=THREE,
        fit=MORE,
    ),
    Case("mark with domains", "unlabeled.*no prior", -1, X=np.round(X)),
]
NETWORK_CASES = [
    Case("pair is a classifier", "no encoder", FrozenEstimator(FITTED), {}, y=THREE),
    Case("pair is a column", "'pair'", -1, {}, y=THREE),
]
FAILING = [
    pytest.param(make, case, id=f"{name}-{case.id}")
    for name, make in MODELS.items()
    for case in CASES + (LINEAR_CASES if name == "linear" else NETWORK_CASES)
]


@pytest.mark.parametrize(("make", "case"), FAILING)
def test_bad_input_is_named(make, case):
    with pytest.raises(case.error, match=f"(?s){case.words}"):
        make(case.pair, **case.params).fit(case.X, case.y, **case.fit)


@pytest.mark.parametrize(("make", "case"), FAILING)
def test_a_failed_fit_keeps_the_last_model(make, case):
    model = make(PRIOR, unlabeled=-1).fit(X, hide(THREE))
    before, fitted = prediction(model), set(vars(model))
    prior = model.prior_
    model.set_params(pair=case.pair, **{"unlabeled": None} | case.params)
    with pytest.raises(case.error):
        model.fit(case.X, case.y, **case.fit)
    assert set(vars(model)) == fitted
    assert model.prior_ is prior
    assert_array_equal(prediction(model.set_params(pair=PRIOR)), before)


# --- The warning


@models
@pytest.mark.parametrize("dtype", [int, float])
@pytest.mark.parametrize("frozen", [False, True])
def test_minus_one_among_other_labels_is_warned_of(make, dtype, frozen):
    pair = FrozenEstimator(KMeansPrior(4, random_state=0).fit(X)) if frozen else PRIOR
    with pytest.warns(UserWarning, match="-1.*unlabeled=-1") as record:
        model = make(pair).fit(X, hide(THREE).astype(dtype))
    assert_array_equal(model.classes_, [-1, 0, 1, 2])
    (found,) = [w for w in record if "unlabeled" in str(w.message)]
    assert found.filename == __file__


@models
@pytest.mark.parametrize(
    ("y", "params"),
    [
        (np.where(THREE == 0, -1, 1), {}),
        (THREE - 1, {"pair": None}),
        (hide(THREE), {"unlabeled": -1}),
        (THREE - 1, {"unlabeled": 0}),
        (THREE, {}),
        ((THREE - 1).astype(str), {}),
    ],
    ids=["two labels", "no prior", "mark", "other mark", "no -1", "strings"],
)
def test_nothing_is_warned_of_where_no_doubt_is(make, y, params):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(**{"pair": PRIOR} | params).fit(X, y)


# ---- meta-estimators -----------------------------------------------------------------


@models
def test_meta_estimators_that_hide_the_mark_are_warned_of(make):
    y = np.where(np.arange(len(X)) < 12, THREE, -1)
    with pytest.warns(UserWarning, match="meta-estimators.*X_unlabeled"):
        VotingClassifier([("tied", make(PRIOR, unlabeled=-1))]).fit(X, y)


@models
def test_meta_estimators_take_unlabelled_rows_by_routing(make):
    known = np.arange(len(X)) < 12
    with config_context(enable_metadata_routing=True):
        model = make(PRIOR).set_fit_request(X_unlabeled=True)
        voting = VotingClassifier([("tied", model)], voting="soft")
        voting.fit(X[known], THREE[known], X_unlabeled=X[~known])
    expected = make(PRIOR).fit(X[known], THREE[known], X_unlabeled=X[~known])
    assert_allclose(voting.predict_proba(X), expected.predict_proba(X))


@models
@pytest.mark.parametrize("mark", [False, True])
def test_a_boolean_is_no_mark(make, mark):
    with pytest.raises(ValueError, match="is no mark"):
        make(PRIOR, unlabeled=mark).fit(X, THREE)
