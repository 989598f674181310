"""SharedConvClassifier with domains: training, unseen domains, pipelines, errors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktie import SharedConvClassifier
from sktie.inspection import FeatureMapDisplay, receptive_field
from tests.networks import assert_same_model, quietly
from tests.test_shared_conv_domains import (
    CODES,
    INF,
    ROWS,
    WEIGHT,
    WORDS,
    N,
    T,
    X,
    Y,
    assert_same_heads,
    heads,
    network,
)


def fit(model, *args, domain=WORDS, **kwargs):
    return quietly(model, X, Y, *args, sample_domain=domain, **kwargs)


# ---- domains that fit did not see ----------------------------------------------------


@pytest.mark.parametrize("tie", [0.5, INF])
def test_unseen_domains_have_the_mean_head(tie):
    model = fit(network(tie_pair=tie, handle_unknown="shared"))
    labels = WORDS.copy().astype("U10")
    labels[::4] = "dakar"
    raw = model.transform(X) @ model.coefs_[-1] + model.intercepts_[-1]
    proba = model.predict_proba(X, sample_domain=labels)
    assert_allclose(proba[::4], softmax(raw, axis=1)[::4], atol=1e-12)
    known = model.predict_proba(X, sample_domain=WORDS)
    seen = np.arange(N) % 4 > 0
    assert_allclose(proba[seen], known[seen], atol=1e-12)


def test_unseen_domains_are_an_error_by_default():
    model = fit(network())
    with pytest.raises(ValueError, match=r"\['dakar'\], which fit did not see") as info:
        model.predict(X[:1], sample_domain=["dakar"])
    assert "handle_unknown='shared'" in str(info.value)
    with pytest.raises(ValueError, match="labels of the same kind"):
        model.predict(X[:1], sample_domain=[3])


# ---- training ------------------------------------------------------------------------


def test_domains_share_all_layers_but_the_output():
    model = fit(network((2, 3), hidden_layer_sizes=4))
    alone = quietly(network((2, 3), hidden_layer_sizes=4), X, Y)
    for mine, other in zip(model.coefs_, alone.coefs_, strict=True):
        assert mine.shape == other.shape
    # With one domain there is nothing to tie.
    one = fit(network((2, 3), hidden_layer_sizes=4), domain=np.zeros(N, int))
    for mine, other in zip(one.coefs_, alone.coefs_, strict=True):
        assert_allclose(mine, other, rtol=1e-9, atol=1e-12)


def test_one_shared_head_without_decay_is_the_network_without_domains():
    model = fit(network(tie_pair=INF, alpha=0.0))
    alone = quietly(network(alpha=0.0), X, Y)
    for mine, other in zip(model.coefs_, alone.coefs_, strict=True):
        assert_allclose(mine, other, rtol=1e-7, atol=1e-9)
    proba = model.predict_proba(X, sample_domain=WORDS)
    assert_allclose(proba, alone.predict_proba(X), atol=1e-7)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_no_strength_makes_a_step_too_long(solver):
    model = fit(network(solver=solver, tie_pair=1e12, max_iter=30))
    assert model.loss_ < model.loss_curve_[0]
    assert np.ptp(model.domain_coef_, axis=0).max() < 1e-5
    # Even where twice the strength is no number any more.
    huge = fit(network(tie_pair=1.5e308))
    assert_same_model(huge, fit(network(tie_pair=INF)))


def test_a_domain_without_some_classes_learns_them_from_the_others():
    y = np.where(CODES == 1, 0, Y)
    model = quietly(network(tie_pair=3.0), X, y, sample_domain=CODES)
    assert np.isfinite(model.domain_intercept_).all()
    with pytest.raises(ValueError, match=r"tie_pair=0.0 fits domains alone") as info:
        quietly(network(tie_pair=0.0), X, y, sample_domain=CODES)
    assert "{1: [0]}. Use a positive tie_pair" in str(info.value)


def test_weights_count_and_domains_of_weight_zero_are_an_error():
    weighed = fit(network(), WEIGHT)
    assert np.abs(weighed.domain_coef_ - fit(network()).domain_coef_).max() > 1e-6
    with pytest.raises(ValueError, match=r"domains \['basel'\] have weight zero"):
        fit(network(), (CODES != 1).astype(float))


def test_warm_starts_go_on_where_domains_are_the_same():
    settings = {"solver": "lbfgs", "max_iter": 5, "warm_start": True}
    model = fit(network(**settings))
    first = model.loss_
    assert fit(model).loss_curve_[0] < first
    anew = fit(clone(model), domain=CODES)
    assert_array_equal(fit(model, domain=CODES).loss_curve_, anew.loss_curve_)
    assert_array_equal(
        quietly(model, X, Y).coefs_[0], quietly(clone(model), X, Y).coefs_[0]
    )
    assert not hasattr(model, "domains_")
    assert not hasattr(model, "domain_coef_")


def test_a_failed_fit_leaves_the_heads_as_they_were():
    model = fit(network())
    before = model.predict_proba(X, sample_domain=WORDS)
    with pytest.raises(ValueError, match="one label for each row"):
        model.fit(X, Y, sample_domain=WORDS[1:])
    assert_array_equal(model.predict_proba(X, sample_domain=WORDS), before)


def test_rows_are_held_back_with_their_domains():
    settings = {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 12}
    model = fit(network(**settings))
    assert len(model.validation_scores_) == model.n_iter_
    cut = quietly(network(pair=-1, **settings), ROWS, Y)
    assert_same_heads(model, cut)


def test_a_head_needs_rows_to_train_on_or_a_tie():
    # Two rows of domain 2 are left, of two classes.
    others = np.flatnonzero((CODES < 2) & (Y < 2))
    own = [np.flatnonzero((CODES == 2) & (k == Y))[0] for k in range(2)]
    kept = np.concatenate([others, own])
    settings = {"early_stopping": True, "validation_fraction": 0.5}

    def held_back(seed, tie_pair):
        model = network(tie_pair=tie_pair, random_state=seed, **settings)
        return quietly(model, X[kept], Y[kept], sample_domain=CODES[kept])

    lost = r"holds back all rows of the domains \[2\], which tie_pair=0 fits alone"
    with pytest.raises(ValueError, match=lost):
        held_back(0, 0)
    held_back(0, 1)
    held_back(1, 0)


@pytest.mark.parametrize("tie", [0.2, INF])
def test_rows_to_stop_by_have_domains_too(tie):
    train, test = np.arange(N) % 3 > 0, np.arange(N) % 3 == 0
    labels = WORDS.astype("U10")
    labels[0] = "dakar"  # Unseen: the mean head.
    settings = {"tie_pair": tie, "handle_unknown": "shared", "max_iter": 12}
    beside = quietly(
        network(**settings),
        X[train],
        Y[train],
        sample_domain=labels[train],
        X_val=X[test],
        y_val=Y[test],
        sample_domain_val=labels[test],
    )
    score = beside.score(X[test], Y[test], sample_domain=labels[test])
    assert score == pytest.approx(beside.best_validation_score_)
    rows = np.column_stack([X.astype(object), labels])
    cut = quietly(
        network(pair=-1, **settings),
        rows[train],
        Y[train],
        X_val=rows[test],
        y_val=Y[test],
    )
    assert_same_heads(beside, cut)
    assert beside.validation_scores_ == cut.validation_scores_


def test_partial_fit_knows_the_domains_of_its_first_call():
    def passes(**settings):
        model = network(**({"tie_pair": 0.3} | settings))
        model.partial_fit(X, Y, classes=[0, 1, 2], sample_domain=WORDS)
        for k in range(6):
            part = k % T == CODES
            model.partial_fit(X[part], Y[part], sample_domain=WORDS[part])
        return model

    model = passes()
    assert_array_equal(model.domains_, np.unique(WORDS))
    assert np.ptp(model.domain_coef_, axis=0).max() > 1e-3
    assert model.n_iter_ == 7
    cut = network(pair=-1, tie_pair=0.3).partial_fit(ROWS, Y, classes=[0, 1, 2])
    for k in range(6):
        part = k % T == CODES
        cut.partial_fit(ROWS[part], Y[part])
    assert_same_heads(model, cut)
    with pytest.raises(ValueError, match=r"\['dakar'\].*first call of partial"):
        model.partial_fit(X[:1], Y[:1], sample_domain=["dakar"])
    with pytest.raises(ValueError, match="fitted with domains, but got none"):
        model.partial_fit(X, Y)
    plain = network().partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="fitted without domains"):
        plain.partial_fit(X, Y, sample_domain=WORDS)
    with pytest.raises(ValueError, match="The layers differ"):
        model.set_params(tie_pair=INF).partial_fit(X, Y, sample_domain=WORDS)


def test_augmented_and_dropped_out_rows_keep_their_domains():
    settings = {"augment": {"flip": "vertical"}, "dropout": 0.1, "batch_size": 20}
    settings |= {"learning_rate_init": 0.02, "max_iter": 60}
    model = fit(network(8, tie_pair=0.0, **settings))
    right = model.score(X, Y, sample_domain=WORDS)
    wrong = model.score(X, Y, sample_domain=np.roll(np.unique(WORDS), 1)[CODES])
    assert right > wrong + 0.3


# ---- other models made of it ---------------------------------------------------------


@pytest.mark.parametrize("tie", [0.5, INF])
def test_sharing_kernels_keeps_the_heads(tie):
    model = fit(network(tie=3.0, tie_pair=tie))
    shared = model.to_shared()
    for mine, other in zip(heads(shared), heads(model), strict=True):
        assert_array_equal(mine, other)
    assert shared.n_stored_parameters_ < model.n_stored_parameters_
    proba = shared.predict_proba(X, sample_domain=WORDS)
    assert np.abs(proba - model.predict_proba(X, sample_domain=WORDS)).max() < 0.2
    always = fit(network(tie_pair=tie))
    assert shared.n_stored_parameters_ == always.n_stored_parameters_


@pytest.mark.parametrize("tie", [0.5, INF])
def test_of_a_pair_with_domains_the_mean_head_counts(tie):
    pair = fit(network(tie_pair=tie))
    model = quietly(network(pair=FrozenEstimator(pair), tie_pair=INF), X, Y)
    for mine, other in zip(model.coefs_, pair.coefs_, strict=True):
        assert_allclose(mine, other, atol=1e-12)
    assert_allclose(model.intercepts_[-1], pair.intercepts_[-1], atol=1e-12)
    assert not hasattr(model, "domains_")


def test_what_reads_fitted_networks_reads_those_with_domains():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    model = quietly(network(pair=0), np.column_stack([CODES, X]), Y)
    assert receptive_field(model, 1, 0).all()
    display = FeatureMapDisplay.from_estimator(model, np.column_stack([CODES, X])[:2])
    pyplot.close(display.figure_)
    assert_array_equal(display.images, X[:2].reshape(2, 8, 8))
    assert "output" in str(model.sharing_report())


# ---- pipelines and searches ----------------------------------------------------------


def test_searches_over_the_tie_take_the_column():
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(
        network(4, pair=-1, max_iter=60, learning_rate_init=0.02),
        {"tie_pair": [0.1, INF]},
        cv=cv,
        scoring="neg_log_loss",
    )
    search.fit(ROWS, Y)
    assert search.best_params_["tie_pair"] == 0.1  # A domain has classes of its own.
    assert cross_val_score(search.best_estimator_, ROWS, Y, cv=cv).shape == (3,)
    importance = permutation_importance(
        search, ROWS[:, :], Y, n_repeats=1, random_state=0
    )
    assert importance.importances_mean[-1] > 0


def test_labels_beside_x_go_through_pipelines_with_routing():
    steps = FunctionTransformer(), network()
    alone = fit(network())
    with config_context(enable_metadata_routing=True):
        pipe = quietly(make_pipeline(*steps), X, Y, sample_domain=WORDS)
        assert_same_heads(pipe[-1], alone)
        expected = alone.predict_proba(X, sample_domain=WORDS)
        for method in ("predict_proba", "predict_log_proba", "predict"):
            found = getattr(pipe, method)(X, sample_domain=WORDS)
            assert_array_equal(found, getattr(alone, method)(X, sample_domain=WORDS))
        assert expected.shape == (N, 3)
        assert pipe.score(X, Y, sample_domain=WORDS) == alone.score(
            X, Y, sample_domain=WORDS
        )
        search = GridSearchCV(network(), {"tie_pair": [0.1, INF]}, cv=2)
        search.fit(X, Y, sample_domain=WORDS)
        assert_array_equal(search.best_estimator_.domains_, np.unique(WORDS))
    search = GridSearchCV(network(), {"tie_pair": [0.1]}, cv=2, error_score="raise")
    with pytest.raises(ValueError, match="name a column of X by pair= instead"):
        search.fit(X, Y, sample_domain=WORDS)


# ---- errors --------------------------------------------------------------------------

IMAGES = X.reshape(N, 8, 8)
MISSING = WORDS.astype(object)
MISSING[3] = None
STOP = {"X_val": X, "y_val": Y}
ERRORS = {
    "both": ({"pair": -1}, (ROWS, Y), {"sample_domain": WORDS}, "Both pair=-1 and sam"),
    "one strength for each layer": (
        {"tie_pair": (1.0, 2.0)},
        (X, Y),
        {"sample_domain": WORDS},
        r"tie_pair=\(1.0, 2.0\) has a strength for each layer.*one strength.*Give",
    ),
    "a column of images": (
        {"pair": -1},
        (IMAGES, Y),
        {},
        r"pair=-1 names a column, but X holds arrays of shape \(8, 8\).*sample_domain",
    ),
    "a name without names": ({"pair": "site"}, (ROWS, Y), {}, "without column names"),
    "no such column": ({"pair": 65}, (ROWS, Y), {}, "no column of X, which has 65 col"),
    "a boolean": ({"pair": True}, (X, Y), {}, "pair=True is no network.*a column of X"),
    "pixels": ({"pair": -1}, (ROWS / 3, Y), {}, "numbers with fractions"),
    "too few labels": (
        {},
        (X, Y),
        {"sample_domain": WORDS[1:]},
        r"\(59,\), but X has",
    ),
    "missing labels": ({}, (X, Y), {"sample_domain": MISSING}, "1 missing labels"),
    "labels to stop by are missing": (
        {},
        (X, Y),
        {"sample_domain": WORDS, **STOP},
        "pass sample_domain_val, one label for each row",
    ),
    "labels to stop by of too few rows": (
        {},
        (X, Y),
        {"sample_domain": WORDS, **STOP, "sample_domain_val": ["a"]},
        r"sample_domain_val has shape \(1,\)",
    ),
    "labels to stop by without rows": (
        {},
        (X, Y),
        {"sample_domain": WORDS, "sample_domain_val": WORDS},
        "sample_domain_val was given without X_val",
    ),
    "labels to stop by without domains": (
        {},
        (X, Y),
        {**STOP, "sample_domain_val": WORDS},
        "sample_domain_val was given, but the model was fitted without domains",
    ),
    "labels to stop by beside a column": (
        {"pair": -1},
        (ROWS, Y),
        {"X_val": ROWS, "y_val": Y, "sample_domain_val": WORDS},
        "Both pair=-1 and sample_domain_val",
    ),
    "unseen to stop by": (
        {},
        (X, Y),
        {
            "sample_domain": CODES,
            "X_val": X,
            "y_val": Y,
            "sample_domain_val": CODES + 1,
        },
        r"sample_domain_val holds the domains \[3\], which fit did not see",
    ),
    "what to do with others": (
        {"handle_unknown": "mean"},
        (X, Y),
        {},
        "handle_unknown",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_value_expectation_and_remedy(name):
    params, args, kwargs, words = ERRORS[name]
    model = network(**params)
    with pytest.raises(ValueError, match=words):
        model.fit(*args, **kwargs)
    assert not hasattr(model, "coefs_")


def test_prediction_needs_what_fit_had():
    beside, cut, plain = fit(network()), quietly(network(pair=-1), ROWS, Y), network()
    quietly(plain, X, Y)
    for method in ("predict", "predict_proba", "predict_log_proba"):
        with pytest.raises(ValueError, match="fitted with domains, but got none"):
            getattr(beside, method)(X)
        with pytest.raises(ValueError, match="fitted without domains"):
            getattr(plain, method)(X, sample_domain=WORDS)
        with pytest.raises(ValueError, match="Both pair=-1 and sample_domain"):
            getattr(cut, method)(ROWS, sample_domain=WORDS)
    for method in (cut.predict, cut.transform, cut.feature_maps):
        with pytest.raises(ValueError, match="X has 64 features, but Shared"):
            method(X)
        with pytest.raises(ValueError, match="names a column, but X holds arrays"):
            method(IMAGES)
    with pytest.raises(AttributeError, match="no domain_coef_: it is not fitted with"):
        _ = plain.domain_coef_
    with pytest.raises(AttributeError, match="no domain_intercept_"):
        _ = SharedConvClassifier().domain_intercept_


def test_images_with_missing_pixels_are_refused_whatever_the_column():
    rows = ROWS.copy()
    rows[3, 5] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        network(pair=-1).fit(rows, Y)
