"""Tests of ties and shares between the features of TiedLogisticRegression."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktie import FeatureTie, KMeansPrior, TiedLogisticRegression
from sktie.inspection import tying_path, tying_report
from tests.dependent import (
    BOTH,
    GROUPS,
    INDEX,
    INF,
    RATIO,
    SHARED,
    SOLVERS,
    TIED,
    TIES,
    TIGHT,
    UNEVEN,
    P,
    anchor,
    rows,
)

# --- The objective, written down without sktie.


def softmax_loss(scores, y):
    if scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    top = np.logaddexp.reduce(scores, axis=1)
    return top - scores[np.arange(len(y)), y]


def objective(model, X, y, domain, weight, coef, intercept):
    """The sum that the docstrings define, of (T, K, P) and (T, K)."""
    total = 0.0
    for t in range(len(coef)):
        here = domain == t if len(coef) > 1 else np.full(len(y), True)
        scores = X[here] @ coef[t].T + intercept[t]
        total += weight[here] @ softmax_loss(scores, y[here])
        for group, strength in GROUPS if model.feature_ties is not None else ():
            r, w = np.array(list(group.values())), coef[t][:, list(group)]
            m = (w @ r) / (r @ r)
            size = strength * model.feature_tie
            total += size / 2 * 2 * np.sum((w - np.outer(m, r)) ** 2)
    decayed = coef.mean(axis=0) if model.decay == "shared" else coef
    total += 0.5 / model.C * np.sum(decayed**2)
    if model.pair is None and len(coef) == 1:
        return total
    tie = np.broadcast_to(model.tie, P).astype(float)
    own = model.tie_intercept
    own = (tie.max() if own else 0.0) if isinstance(own, bool) else own
    if model.pair is not None:
        w, b = coef - model.pair[0], intercept - model.pair[1]
        omega, of_b = (w**2).sum(axis=(0, 1)), np.sum(b**2)
        if model.feature_shares is not None:  # without what no parameter changes
            omega = omega - np.array(
                [np.sum(d**2) for d in (nearest(model) - model.pair[0]).T]
            )
    else:
        w, b = coef - coef.mean(axis=0), intercept - intercept.mean(axis=0)
        omega, of_b = 2 * (w**2).sum(axis=(0, 1)), 2 * np.sum(b**2)
    if not model.fit_intercept:
        of_b = 0.0
    return total + 0.5 * (tie @ omega) + 0.5 * own * of_b


def nearest(model):
    """The shared coefficients nearest to those of the pair, by the strengths."""
    tie = np.broadcast_to(model.tie, P).astype(float)
    E = np.zeros((P, 3))
    E[np.arange(P), INDEX] = RATIO
    root = np.sqrt(tie)[:, np.newaxis]
    return (E @ np.linalg.lstsq(root * E, root * model.pair[0].T, rcond=None)[0]).T


def minimum(model, X, y, domain, weight, n_domains):
    """The minimum by scipy, and the coefficients there."""
    n_rows = 1 if len(np.unique(y)) == 2 else len(np.unique(y))
    shared = model.feature_shares is not None
    n_own = 3 if shared else P

    def unpack(theta):
        rows = theta.reshape(n_domains, n_rows, n_own + 1)
        z, b = rows[..., :-1], rows[..., -1] * model.fit_intercept
        return (z[..., INDEX] * RATIO if shared else z), b

    def value(theta):
        return objective(model, X, y, domain, weight, *unpack(theta))

    start = np.zeros(n_domains * n_rows * (n_own + 1))
    found = minimize(value, start, method="BFGS", options={"gtol": 1e-6})
    return found.fun, *unpack(found.x)


CASES = {
    # parameters, then: classes, pair or domains or neither, how the rows come
    "ties": ({"feature_ties": TIES}, 2, None, ""),
    "ties, softmax": ({"feature_ties": TIES, "C": 10.0}, 3, None, ""),
    "shares": ({"feature_shares": SHARED}, 2, None, ""),
    "shares, softmax": ({"feature_shares": SHARED}, 3, None, "sparse"),
    "both": (BOTH, 2, None, "weighted"),
    "domains, ties": ({"feature_ties": TIES, "tie": 2.0}, 2, "domains", ""),
    "domains, shares": ({"feature_shares": SHARED, "tie": 0.3}, 2, "domains", ""),
    "domains, both": (BOTH, 2, "domains", "sparse weighted"),
    "domains, both, softmax": (BOTH, 3, "domains", "weighted"),
    "domains, one decay": (BOTH | {"decay": "shared"}, 2, "domains", ""),
    "domains, separate": (BOTH | {"tie": 0.0}, 2, "domains", ""),
    "domains, free intercepts": (BOTH | {"tie_intercept": False}, 2, "domains", ""),
    "domains, no intercept": (BOTH | {"fit_intercept": False}, 2, "domains", "float32"),
    "domains, uneven": (UNEVEN, 2, "domains", "weighted"),
    "domains, uneven, both": (BOTH | UNEVEN, 3, "domains", ""),
    "pair, ties": ({"feature_ties": TIES}, 2, "pair", ""),
    "pair, both": (BOTH | {"tie": 0.7}, 3, "pair", "sparse"),
    "pair, shares": ({"feature_shares": SHARED, "tie_intercept": False}, 2, "pair", ""),
    "pair, uneven": (UNEVEN, 2, "pair", ""),
    "pair, uneven, both": (BOTH | UNEVEN, 2, "pair", "weighted"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_minimum_is_that_of_the_formula(name, solver):
    settings, n_classes, kind, how = CASES[name]
    X, y, domain = rows(n_classes=n_classes)
    weight = np.ones(len(y))
    given = {"sample_domain": domain} if kind == "domains" else {}
    model = TiedLogisticRegression(
        anchor(n_classes) if kind == "pair" else None, solver=solver, **TIGHT
    ).set_params(**settings)
    if "weighted" in how:
        given["sample_weight"] = weight = np.linspace(0.2, 2, len(y))
    data = sp.csr_array(X) if "sparse" in how else X
    data = data.astype(np.float32) if "float32" in how else data
    model.fit(data, y, **given)
    coef, intercept = model.coef_[np.newaxis], model.intercept_[np.newaxis]
    if kind == "domains":
        coef, intercept = model.domain_coef_, model.domain_intercept_
    loose = "float32" in how
    here = objective(model, X, y, domain, weight, coef, intercept)
    assert_allclose(here, model.objective_, rtol=1e-5 if loose else 1e-10)
    lowest, w, b = minimum(model, X, y, domain, weight, len(coef))
    assert_allclose(here, lowest, rtol=1e-5 if loose else 1e-8)
    if n_classes > 2:
        w, b = w - w.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    assert_allclose(coef, w, atol=2e-3)
    if kind != "domains" or model.tie_intercept is not False:
        assert_allclose(intercept, b, atol=2e-3)
    if model.feature_shares is not None:
        assert_allclose(coef[..., 2], -2 * coef[..., 0], rtol=1e-6)
        assert_allclose(coef[..., 3], coef[..., 1], rtol=1e-6)


# --- scikit-learn, on other columns.


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("feature_tie", [0.1, 1.0, 50.0])
def test_ties_are_a_plain_model_of_transformed_features(n_classes, feature_tie):
    X, y, _ = rows(n_classes=n_classes)
    precision = np.eye(P) / 0.7
    for group, strength in GROUPS:
        r = np.zeros(P)
        r[list(group)] = list(group.values())
        own = np.diag((r != 0).astype(float)) - np.outer(r, r) / (r @ r)
        precision += 2 * strength * feature_tie * own
    root = np.linalg.inv(np.linalg.cholesky(precision)).T
    plain = LogisticRegression(C=1.0, tol=1e-10, max_iter=5000).fit(X @ root, y)
    tied = TiedLogisticRegression(
        C=0.7, feature_ties=TIES, feature_tie=feature_tie, **TIGHT
    ).fit(X, y)
    assert_allclose(tied.coef_, plain.coef_ @ root.T, atol=2e-5)
    assert_allclose(tied.intercept_, plain.intercept_, atol=2e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_shares_are_a_plain_model_of_aggregated_columns(n_classes):
    X, y, _ = rows(n_classes=n_classes)
    E = np.zeros((P, 3))
    E[np.arange(P), INDEX] = RATIO
    # A coefficient is decayed once for each feature, times squared ratios.
    E /= np.linalg.norm(E, axis=0)
    plain = LogisticRegression(C=0.7, tol=1e-10, max_iter=5000).fit(X @ E, y)
    model = TiedLogisticRegression(C=0.7, feature_shares=SHARED, **TIGHT).fit(X, y)
    assert_allclose(model.coef_, plain.coef_ @ E.T, atol=2e-5)
    assert_allclose(model.stored_coef_, model.coef_[:, [0, 1, 4]])
    assert model.n_stored_parameters_ == len(model.coef_) * 4


@pytest.mark.parametrize("kind", ["domains", "shared domains", "pair"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_ever_stronger_ties_converge_to_the_share(kind, solver):
    X, y, domain = rows()
    settings = TIGHT | {"solver": solver, "tie": INF if "shared" in kind else 2.0}
    if kind == "pair":
        # Of which the shared model keeps the mean: the rest is a constant.
        settings["pair"] = anchor(2)
    given = {"sample_domain": domain} if kind != "pair" else {}
    groups = [{0: 1, 2: -1}, [1, 3]]
    share = TiedLogisticRegression(feature_shares=groups, **settings)
    share.fit(X, y, **given)
    infinite = TiedLogisticRegression(feature_ties=groups, feature_tie=INF, **settings)
    infinite.fit(X, y, **given)
    assert_array_equal(infinite.coef_, share.coef_)
    assert infinite.n_stored_parameters_ == share.n_stored_parameters_
    for strength in (1e3, 1e6, 1e9, 1e12, 1e16, 1e30, 1e300):
        model = TiedLogisticRegression(
            feature_ties=groups, feature_tie=strength, **settings
        ).fit(X, y, **given)
        far = np.abs(model.coef_ - share.coef_).max()
        assert far < 100 / strength + 1e-5
        apart = abs(model.coef_[0, 0] + model.coef_[0, 2])
        assert apart < 100 / strength + 1e-11
        if strength <= 1e6:  # and no faster: it is this strength that acts
            assert apart > 0.1 / strength


def test_a_strength_of_zero_is_no_tie():
    X, y, _ = rows()
    plain = TiedLogisticRegression(**TIGHT).fit(X, y)
    none = TiedLogisticRegression(feature_ties=TIES, feature_tie=0, **TIGHT).fit(X, y)
    assert_array_equal(none.coef_, plain.coef_)


def test_a_graph_of_pairs_is_these_pairs():
    X, y, _ = rows()
    graph = np.zeros((P, P))
    graph[[0, 1, 2, 3], [1, 0, 3, 2]] = 2.0
    pairs = [FeatureTie([0, 1], 2.0), FeatureTie([2, 3], 2.0)]
    coefs = [
        TiedLogisticRegression(feature_ties=ties, **TIGHT).fit(X, y).coef_
        for ties in (graph, sp.csr_array(graph), pairs)
    ]
    assert_array_equal(coefs[0], coefs[1])
    assert_allclose(coefs[0], coefs[2], rtol=1e-12)


def test_shares_meet_a_shared_pair_at_the_mean_of_its_coefficients():
    X, y, _ = rows()
    coef, intercept = np.array([[1.0, 0.5, 2.0, -0.5, 3.0]]), np.zeros(1)
    model = TiedLogisticRegression(
        (coef, intercept), tie=INF, feature_shares=[[0, 2], {1: 1, 3: -1}]
    ).fit(X, y)
    assert_allclose(model.coef_, [[1.5, 0.5, 1.5, -0.5, 3.0]], rtol=1e-12)
    assert model.tie_gap_ == 0
    strengths = {0: 1.0, 2: 3.0, None: 1.0}
    near = TiedLogisticRegression(
        (coef, intercept),
        tie={key: 1e9 * value for key, value in strengths.items()},
        tie_intercept=0.0,
        feature_shares=[[0, 2]],
    ).fit(X, y)
    assert_allclose(near.coef_[0, 0], 1.75, atol=1e-6)


# --- A strength of the tie for each coefficient.


def test_equal_strengths_are_one_strength():
    X, y, domain = rows()
    one = TiedLogisticRegression(tie=2.0).fit(X, y, sample_domain=domain)
    for tie in ([2.0] * P, dict.fromkeys(range(P), 2.0), {None: 2.0}, {0: 2, None: 2}):
        many = TiedLogisticRegression(tie=tie).fit(X, y, sample_domain=domain)
        assert_array_equal(many.domain_coef_, one.domain_coef_)
        assert_array_equal(many.tie_, np.full(P, 2.0))
    assert one.tie_ == 2.0


def test_some_coefficients_are_shared_by_domains_and_others_free():
    X, y, domain = rows()
    model = TiedLogisticRegression(
        tie={0: INF, 1: INF, None: 0.0}, tie_intercept=False, **TIGHT
    ).fit(X, y, sample_domain=domain)
    coef = model.domain_coef_[:, 0]
    assert_array_equal(coef[0, :2], coef[1, :2])
    assert model.n_stored_parameters_ == 2 + 2 * (P - 2) + 2
    # A plain model: what is shared has one column and two decays.
    own = (domain == np.arange(2)[:, np.newaxis]).astype(float)
    blocks = [np.c_[X[:, 2:], np.full(len(X), 1e4)] * o[:, np.newaxis] for o in own]
    wide = np.hstack([X[:, :2] / np.sqrt(2), *blocks])
    plain = LogisticRegression(fit_intercept=False, tol=1e-10, max_iter=9999)
    plain.set_params(solver="newton-cholesky").fit(wide, y)
    assert_allclose(coef[0, :2], plain.coef_[0, :2] / np.sqrt(2), atol=1e-5)
    assert_allclose(
        coef[:, 2:].ravel(), np.delete(plain.coef_[0, 2:], [3, 7]), atol=1e-5
    )


def test_a_strength_by_name_is_that_of_the_column():
    X, y, domain = rows()
    names = ["a", "b", "c", "d", "e"]
    frame = pd.DataFrame(X, columns=names)
    frame.insert(0, "site", domain)
    model = TiedLogisticRegression(
        "site",
        tie={"b": INF, "e": 7.0, None: 1.0},
        tie_intercept=1.0,
        feature_ties=[["a", "c"]],
        feature_shares=[["d", "e"]],
        **TIGHT,
    ).fit(frame, y)
    by_place = TiedLogisticRegression(
        0,
        tie=[1.0, INF, 1.0, 1.0, 7.0],
        tie_intercept=1.0,
        feature_ties=[[0, 2]],
        feature_shares=[[3, 4]],
        **TIGHT,
    ).fit(frame.to_numpy(), y)
    assert_array_equal(model.tie_, by_place.tie_)
    assert_allclose(model.domain_coef_, by_place.domain_coef_, rtol=1e-12)
    assert np.ptp(model.domain_coef_[:, 0, 1]) == 0
    assert np.ptp(model.domain_coef_[:, 0, 0]) > 0
    assert_array_equal(model.predict(frame), by_place.predict(frame.to_numpy()))


def test_a_domain_of_one_class_borrows_what_is_tied():
    X, y, domain = rows()
    y = np.where(domain == 1, 0, y)
    settings = {"tie": {0: 0.0, None: 1.0}, "tie_intercept": 1.0}
    model = TiedLogisticRegression(**settings).fit(X, y, sample_domain=domain)
    assert np.isfinite(model.domain_coef_).all()
    with pytest.raises(ValueError, match="class"):
        TiedLogisticRegression(**settings, C=INF).fit(X, y, sample_domain=domain)


# --- What users do with models.


def test_the_strength_is_searched_over():
    X, y, _ = rows()
    model = TiedLogisticRegression(feature_ties=TIES)
    copied = clone(model)
    assert copied.feature_ties == TIES
    pipe = make_pipeline(StandardScaler(), model)
    strengths = [0, 0.1, 10.0, INF]
    name = "tiedlogisticregression__feature_tie"
    # TIES of infinite strength say three things of 0 and 4, all true of one ratio.
    pipe.set_params(tiedlogisticregression__feature_ties=[[0, 1], {3: 1, 2: -1}])
    search = GridSearchCV(pipe, {name: strengths}, cv=3).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    scores = [
        clone(pipe).set_params(**{name: s}).fit(X, y)[-1].coef_ for s in strengths
    ]
    assert len({coef.tobytes() for coef in scores}) == 4


def test_a_fitted_model_is_arrays_and_comes_back_from_a_pickle():
    X, y, domain = rows()
    model = TiedLogisticRegression(**BOTH).fit(X, y, sample_domain=domain)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.stored_coef_, model.stored_coef_)
    assert_array_equal(again.expand(again.stored_coef_), model.coef_)
    for name, value in vars(model).items():
        if name.endswith("_"):
            assert isinstance(value, (np.ndarray, float, int)), name


def test_expand_shows_all_features():
    X, y, _ = rows()
    model = TiedLogisticRegression(feature_shares=SHARED).fit(X, y)
    assert_array_equal(model.stored_index_, INDEX)
    assert_array_equal(model.stored_ratio_, RATIO)
    assert_array_equal(model.expand([[1.0, 2.0, 3.0]]), [[1, 2, -2, 2, 3]])
    with pytest.raises(ValueError, match=r"shape \(1, 5\); expected 3"):
        model.expand(model.coef_)
    # Another fit, without shares, leaves nothing of them.
    model.set_params(feature_shares=None).fit(X, y)
    assert model.stored_coef_.shape == (1, P)
    assert not hasattr(model, "stored_index_")
    assert_array_equal(model.expand(model.coef_), model.coef_)


def test_a_warm_start_begins_at_the_solution():
    X, y, domain = rows()
    model = TiedLogisticRegression(**BOTH, warm_start=True, **TIGHT)
    first = model.fit(X, y, sample_domain=domain).coef_
    assert model.fit(X, y, sample_domain=domain).n_iter_ <= 2
    assert_allclose(model.coef_, first, rtol=1e-9)
    # From a model without shares, and back: only a start.
    model.set_params(feature_shares=None, feature_ties=None)
    free = model.fit(X, y, sample_domain=domain).coef_.copy()
    model.set_params(**BOTH).fit(X, y, sample_domain=domain)
    assert_allclose(model.coef_, first, rtol=1e-6)
    cold = TiedLogisticRegression(**TIGHT).fit(X, y, sample_domain=domain)
    assert_allclose(free, cold.coef_, rtol=1e-6)


def test_a_warm_start_with_fewer_columns_is_a_cold_one():
    X, y, _ = rows()
    model = TiedLogisticRegression(feature_shares=[[0, 1]], warm_start=True, **TIGHT)
    model.fit(X, y)
    model.fit(X[:, :4], y)
    cold = clone(model).fit(X[:, :4], y)
    assert_array_equal(model.coef_, cold.coef_)


def test_features_of_a_prior_are_tied_too():
    X, y, _ = rows(n_classes=3)
    prior = KMeansPrior(4, random_state=0)
    model = TiedLogisticRegression(prior, tie=2.0, **BOTH | TIGHT).fit(X, y)
    fixed = TiedLogisticRegression(
        model.prior_.linear_anchor(X, y, 3), tie=2.0, **BOTH | TIGHT
    ).fit(X, y)
    assert_allclose(model.coef_, fixed.coef_, rtol=1e-7)


# --- What does not follow is an error, and leaves the model as it was.

ERRORS = [
    ({"tie": {0: 1.0}}, "no strength for 4 of 5"),
    ({"tie": {0: 1.0, None: 2.0}}, "tie_intercept=True.*different strengths"),
    ({"tie": [1.0, 2.0]}, "array of 5 strengths"),
    ({"tie": {0: 1.0, None: 1.0}, "C": "auto"}, "C='auto' with a strength"),
    ({"tie": "auto", "C": INF, **TIED}, "needs a decay"),
    ({"feature_ties": [[0, 7]]}, "holds 7"),
    ({"feature_shares": [["age", "bp"]]}, "no column names"),
    ({"feature_shares": [[0, 1], {0: 1, 1: -1}]}, "true of 0"),
    ({"feature_tie": -1.0}, "feature_tie"),
    ({"feature_tie": np.nan}, "feature_tie"),
    ({"feature_ties": 3}, "feature_ties"),
    ({"feature_shares": "age"}, "feature_shares"),
]


@pytest.mark.parametrize(("settings", "message"), ERRORS)
def test_an_error_leaves_the_model_as_it_was(settings, message):
    X, y, domain = rows()
    model = TiedLogisticRegression(feature_shares=SHARED).fit(
        X, y, sample_domain=domain
    )
    before = pickle.dumps({k: v for k, v in vars(model).items() if k.endswith("_")})
    model.set_params(feature_shares=None).set_params(**settings)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, sample_domain=domain)
    assert before == pickle.dumps(
        {k: v for k, v in vars(model).items() if k.endswith("_")}
    )


@pytest.mark.parametrize("function", [tying_report, tying_path])
def test_one_dial_is_not_turned_for_many_strengths(function):
    X, y, domain = rows()
    model = TiedLogisticRegression(**UNEVEN).fit(X, y, sample_domain=domain)
    with pytest.raises(ValueError, match="strength of the tie for each"):
        function(model, X, y, sample_domain=domain)
