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
from sktie import TiedLogisticRegressionCV as ModelCV
from sktie.inspection import tying_path, tying_report
from tests.tied import brute_force

INF = np.inf
P = 5
TIGHT = {"tol": 1e-13}
SOLVERS = ["newton-cholesky", "lbfgs", "newton-cg"]


def rows(n=90, n_classes=2, n_domains=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, P))
    domain = rng.integers(n_domains, size=n)
    own = np.array([1.0, 0.8, -1.2, 0.3, 0.5]) + 0.5 * rng.normal(size=(n_domains, P))
    score = np.einsum("ij,ij->i", X, own[domain]) + rng.logistic(size=n)
    cuts = np.quantile(score, np.arange(1, n_classes) / n_classes)
    return X, np.digitize(score, cuts), domain


def anchor(n_classes):
    rng = np.random.default_rng(7)
    n_rows = 1 if n_classes == 2 else n_classes
    coef, intercept = rng.normal(size=(n_rows, P)), rng.normal(size=n_rows)
    if n_classes > 2:
        coef, intercept = coef - coef.mean(axis=0), intercept - intercept.mean()
    return coef, intercept


# --- The objective, written down without sktie.

#: What ties and shares mean here: ratios of features, and strengths of groups.
TIES = [FeatureTie({0: 1, 2: -1}, 3.0), [1, 3, 4], {0: 1, 4: 0.5}]
GROUPS = [({0: 1, 2: -1}, 3.0), ({1: 1, 3: 1, 4: 1}, 1.0), ({0: 1, 4: 0.5}, 1.0)]
SHARED = [{0: 1.0, 2: -2.0}, [1, 3]]
INDEX, RATIO = np.array([0, 1, 0, 1, 2]), np.array([1.0, 1.0, -2.0, 1.0, 1.0])


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


BOTH = {"feature_ties": TIES, "feature_shares": SHARED, "feature_tie": 2.0}
UNEVEN = {"tie": np.array([0.5, 2.0, 0.0, 1.0, 4.0]), "tie_intercept": 1.5}
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


# --- Certainty, evidence, choice.


def dense_system(model, X, domain, n_domains):
    """The Hessian of losses and of penalties at the fitted model, (T P)^2 both."""
    T = n_domains
    data, prior = np.zeros((T * P, T * P)), np.zeros((T * P, T * P))
    for t in range(T):
        place = slice(t * P, (t + 1) * P)
        here = X[domain == t]
        coef = model.domain_coef_[t, 0] if T > 1 else model.coef_[0]
        p = 1 / (1 + np.exp(-here @ coef))
        data[place, place] = here.T @ ((p * (1 - p))[:, np.newaxis] * here)
        prior[place, place] += np.eye(P) / model.C_
        for group, strength in GROUPS if model.feature_ties is not None else ():
            r = np.zeros(P)
            r[list(group)] = list(group.values())
            own = np.diag((r != 0).astype(float)) - np.outer(r, r) / (r @ r)
            prior[place, place] += 2 * strength * model.feature_tie * own
    tie = np.broadcast_to(model.tie_, P)
    if T > 1:
        centred = np.eye(T) - np.full((T, T), 1 / T)
        prior += np.kron(2 * centred, np.diag(tie))
    elif model.pair is not None:
        prior += np.diag(tie)
    if model.feature_shares is None:
        return data, prior, np.eye(T * P)
    E = np.zeros((P, 3))
    E[np.arange(P), INDEX] = RATIO
    E = np.kron(np.eye(T), E / np.linalg.norm(E, axis=0))
    return E.T @ data @ E, E.T @ prior @ E, E


NO_INTERCEPT = {"fit_intercept": False, **TIGHT}
TIED = {"feature_ties": TIES, "feature_tie": 2.0}


@pytest.mark.parametrize("settings", [TIED, {"feature_shares": SHARED}, BOTH, UNEVEN])
def test_covariances_are_those_of_the_dense_hessian(settings):
    X, y, domain = rows()
    model = TiedLogisticRegression(store_covariance=True)
    model.set_params(**settings | NO_INTERCEPT).fit(X, y, sample_domain=domain)
    data, prior, E = dense_system(model, X, domain, 2)
    covariance = E @ np.linalg.inv(data + prior) @ E.T
    mean = np.kron(np.full(2, 0.5), np.eye(P))
    assert_allclose(model.coef_covariance(0), covariance[:P, :P], rtol=1e-7)
    assert_allclose(model.coef_covariance(), mean @ covariance @ mean.T, rtol=1e-7)
    lower, upper = model.coef_interval(1)
    width = np.sqrt(np.diag(covariance)[P:]) * 1.959963984540054
    assert_allclose(upper - lower, 2 * width[np.newaxis], rtol=1e-7)
    found = model.predict_interval(X[:6], sample_domain=np.zeros(6, int))
    raw = X[:6] @ model.domain_coef_[0, 0]
    spread = np.sqrt(np.einsum("ij,jk,ik->i", X[:6], covariance[:P, :P], X[:6]))
    expected = 1 / (1 + np.exp(-raw + 1.959963984540054 * spread))
    assert_allclose(found[0][:, 1], expected, rtol=1e-7)


def test_unseen_domains_differ_by_ties_of_features_too():
    X, y, domain = rows()
    model = TiedLogisticRegression(
        store_covariance=True, handle_unknown="shared", tie=3.0, **TIED | NO_INTERCEPT
    ).fit(X, y, sample_domain=domain)
    _, prior, _ = dense_system(model, X, domain, 1 + 1)
    alone = prior[:P, :P] - 3.0 * np.eye(P)  # 2 tie (1 - 1/T) for T = 2
    expected = model.coef_covariance() + 1.5 * np.linalg.inv(alone + 6.0 * np.eye(P))
    assert_allclose(model.coef_covariance(99), expected, rtol=1e-7)
    model.set_params(tie=INF).fit(X, y, sample_domain=domain)
    assert_allclose(model.coef_covariance(99), model.coef_covariance(), rtol=1e-9)


@pytest.mark.parametrize("kind", ["domains", "pair"])
@pytest.mark.parametrize("settings", [TIED, {"feature_shares": SHARED}, BOTH])
def test_evidence_is_that_of_the_dense_matrices(settings, kind):
    X, y, domain = rows(n=60)
    model = TiedLogisticRegression(tie=2.0, C="auto", **settings | NO_INTERCEPT)
    given = {"sample_domain": domain} if kind == "domains" else {}
    T = 2 if kind == "domains" else 1
    if kind == "pair":
        coef = np.array([[1.0, 1.0, -2.0, 1.0, 0.5]])  # which the shares can hold
        model.set_params(pair=(coef, np.zeros(1)))
    model.fit(X, y, **given)
    where = domain if kind == "domains" else np.zeros(len(y), int)
    data, prior, E = dense_system(model, X, where, T)
    constant = 0.0
    if kind == "pair":  # the penalties at their own minimum
        pull = model.tie_ * E.T @ coef[0]
        at = np.linalg.solve(prior, pull)
        constant = 0.5 * model.tie_ * coef[0] @ coef[0] - 0.5 * at @ pull
    expected = constant - model.objective_
    expected += 0.5 * np.linalg.slogdet(prior)[1]
    expected -= 0.5 * np.linalg.slogdet(data + prior)[1]
    assert_allclose(model.log_evidence_, expected, atol=1e-6)


def test_evidence_with_intercepts_moves_as_the_dense_one():
    # The flat intercept is the same in both models: their difference needs no rule.
    X, y, domain = rows(n=60)
    found, expected = [], []
    for settings in ({}, TIED):
        model = TiedLogisticRegression(tie="auto", C=0.5, **settings | TIGHT)
        found.append(model.fit(X, y, sample_domain=domain).log_evidence_)
        tie = model.tie_
        wide = TiedLogisticRegression(
            tie=tie, C=0.5, tie_intercept=tie + 1 / 50, **settings | TIGHT
        ).fit(X, y, sample_domain=domain)
        rows_ = np.c_[X, np.ones(len(X))]
        K, Pr = np.zeros((12, 12)), np.zeros((12, 12))
        _, prior, _ = dense_system(wide, X, domain, 2)
        for s in range(2):
            for t in range(2):
                a, b = slice(6 * s, 6 * s + 5), slice(6 * t, 6 * t + 5)
                Pr[a, b] = prior[5 * s : 5 * s + 5, 5 * t : 5 * t + 5]
                Pr[6 * s + 5, 6 * t + 5] = 2 * (tie + 1 / 50) * ((s == t) - 0.5)
            here = rows_[domain == s]
            w = np.r_[wide.domain_coef_[s, 0], wide.domain_intercept_[s]]
            p = 1 / (1 + np.exp(-here @ w))
            place = slice(6 * s, 6 * s + 6)
            K[place, place] = here.T @ ((p * (1 - p))[:, np.newaxis] * here)
        values = np.linalg.eigvalsh(Pr)
        log_prior = np.log(values[1:]).sum()  # but for the flat direction
        log_whole = np.linalg.slogdet(K + Pr)[1]
        expected.append(0.5 * (log_prior - log_whole) - wide.objective_)
    assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("settings", [TIED, BOTH])
@pytest.mark.parametrize("kind", ["domains", "pair"])
def test_leave_one_out_is_that_of_fits_without_each_row(kind, settings):
    X, y, domain = rows(n=60)
    pair = anchor(2) if kind == "pair" else None
    given = {"sample_domain": domain} if kind == "domains" else {}
    chosen = ModelCV(pair, ties=[0.0, 1.0, INF], Cs=[1.0], tol=1e-13, **settings)
    chosen.fit(X, y, **given)
    for j, tie in enumerate(chosen.ties_):
        model = TiedLogisticRegression(pair, tie=tie, **settings | TIGHT)
        losses = brute_force(model, X, y, domain)
        assert_allclose(chosen.scores_[0, j], -losses.mean(), rtol=2e-4)
    best = TiedLogisticRegression(pair, tie=chosen.tie_, **settings | TIGHT)
    assert_allclose(chosen.coef_, best.fit(X, y, **given).coef_, rtol=1e-6)
    assert chosen.stored_coef_.shape == best.stored_coef_.shape


def test_folds_are_fitted_with_ties_of_features():
    X, y, domain = rows()
    chosen = ModelCV(ties=[1.0], Cs=[1.0], cv=3, tol=1e-13, **BOTH)
    chosen.fit(X, y, sample_domain=domain)
    assert chosen.domain_coef_.shape == (2, 1, P)
    assert_allclose(chosen.coef_[0, 2], -2 * chosen.coef_[0, 0])


def test_reports_and_paths_know_all_features():
    X, y, domain = rows()
    model = TiedLogisticRegression(tie=2.0, **BOTH | NO_INTERCEPT)
    model.fit(X, y, sample_domain=domain)
    report = tying_report(model, X, y, sample_domain=domain)
    data, prior, _ = dense_system(model, X, domain, 2)
    effective = np.trace(np.linalg.solve(data + prior, data))
    assert_allclose(report.effective_parameters, effective, rtol=1e-6)
    assert report.logical_parameters == 2 * P
    assert report.stored_parameters == 2 * 3
    path = tying_path(model, X, y, sample_domain=domain, ties=[0, 2.0, INF])
    assert path.coefs.shape == (3, 2, 1, P)
    assert_allclose(path.coefs[1], model.domain_coef_, rtol=1e-5)
    fixed = TiedLogisticRegression(anchor(2), **BOTH | TIGHT).fit(X, y)
    report = tying_report(fixed, X, y)
    total = report.total
    assert report.effective_anchor.shape == (1, P)
    assert_allclose(total.own + total.decay + total.pair, 1.0)
    assert 0 < total.pair < 1


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
