"""Tied to a fixed model: every way to hand one in, and what is matched by label."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sktie import TiedLogisticRegression

ACCURATE = {"tol": 1e-20}
P = 4


def make_data(n_classes, seed=0, n_samples=90):
    return make_classification(
        n_samples=n_samples,
        n_features=P,
        n_informative=3,
        n_redundant=0,
        n_classes=n_classes,
        n_clusters_per_class=1,
        random_state=seed,
    )


@pytest.fixture(params=[2, 3], ids=["binary", "multinomial"])
def data(request):
    """Rows of the new model, and a model fitted to other rows."""
    X, y = make_data(request.param)
    anchor = LogisticRegression(C=0.3).fit(*make_data(request.param, seed=1))
    return X, y, anchor


def tied_to(pair, X, y, **params):
    return TiedLogisticRegression(pair, **{**ACCURATE, **params}).fit(X, y)


def assert_same_model(a, b, rtol=1e-7):
    assert_array_equal(a.classes_, b.classes_)
    assert_allclose(a.coef_, b.coef_, rtol=rtol, atol=rtol)
    assert_allclose(a.intercept_, b.intercept_, rtol=rtol, atol=rtol)


def centred(coef):
    return coef if len(coef) == 1 else coef - coef.mean(axis=0)


# --- The minimum, from its stationarity: an oracle that knows no pair.


@pytest.mark.parametrize("tie_intercept", [True, False, 7.0])
@pytest.mark.parametrize("tie", [0.1, 1.0, 50.0])
def test_the_gradient_of_the_objective_vanishes(data, tie, tie_intercept):
    X, y, anchor = data
    C = 0.7
    model = tied_to(anchor, X, y, tie=tie, tie_intercept=tie_intercept, C=C)
    probability = model.predict_proba(X)
    one_hot = y[:, np.newaxis] == model.classes_
    residual = probability - one_hot
    if len(model.classes_) == 2:
        residual = residual[:, 1:]
    strength = tie if tie_intercept is True else float(tie_intercept)
    gradient = residual.T @ X + model.coef_ / C
    gradient += tie * (model.coef_ - centred(anchor.coef_))
    assert_allclose(gradient, 0, atol=1e-7)
    slope = residual.sum(axis=0)
    slope += strength * (model.intercept_ - centred(anchor.intercept_[:, None])[:, 0])
    assert_allclose(slope, 0, atol=1e-7)


def test_limits_are_the_plain_model_and_the_pair_itself(data):
    X, y, anchor = data
    free = tied_to(anchor, X, y, tie=0.0)
    assert_same_model(free, tied_to(None, X, y))
    for tie in (np.inf, 1e12):
        shared = tied_to(anchor, X, y, tie=tie)
        assert_allclose(shared.coef_, centred(anchor.coef_), rtol=1e-6)
        assert_allclose(
            shared.predict_proba(X), anchor.predict_proba(X), rtol=1e-6, atol=1e-9
        )
    assert tied_to(anchor, X, y, tie=np.inf).tie_gap_ == 0.0
    gaps = [tied_to(anchor, X, y, tie=tie).tie_gap_ for tie in (1e3, 1e5)]
    assert gaps[0] / gaps[1] == pytest.approx(100.0, rel=0.1)


def test_tie_gap_is_the_largest_distance_to_the_pair(data):
    X, y, anchor = data
    model = tied_to(anchor, X, y)
    coef_gap = np.abs(model.coef_ - centred(anchor.coef_)).max()
    offset = centred(anchor.intercept_[:, None])[:, 0]
    gap = max(coef_gap, np.abs(model.intercept_ - offset).max())
    assert model.tie_gap_ == pytest.approx(gap, rel=1e-9)
    free = tied_to(anchor, X, y, tie_intercept=False)
    expected = np.abs(free.coef_ - centred(anchor.coef_)).max()
    assert free.tie_gap_ == pytest.approx(expected, rel=1e-9)


# --- Every form of the same pair.


def test_every_form_gives_the_same_model(data):
    X, y, anchor = data
    bare = tied_to(anchor, X, y)
    k = len(anchor.coef_)
    intercept = anchor.intercept_.tolist()
    forms = [
        FrozenEstimator(anchor),
        (anchor.coef_, anchor.intercept_),
        (anchor.coef_.tolist(), intercept),
        (anchor.coef_.astype(object), anchor.intercept_),
    ]
    if k == 1:
        forms += [
            (anchor.coef_[0], anchor.intercept_[0]),
            (anchor.coef_[0], anchor.intercept_),
            (anchor.coef_, float(intercept[0])),
        ]
    for form in forms:
        assert_same_model(tied_to(form, X, y), bare)


def test_one_intercept_serves_all_rows():
    X, y = make_data(3)
    coef = np.arange(3 * P).reshape(3, P)
    expected = tied_to((coef, np.zeros(3)), X, y)
    # The same number in every row is no number at all, once centred.
    assert_same_model(tied_to((coef, [5.0]), X, y), expected)


def test_frozen_survives_clone_pickle_and_a_search(data):
    X, y, anchor = data
    model = TiedLogisticRegression(FrozenEstimator(anchor), **ACCURATE)
    expected = tied_to(anchor, X, y)
    assert_same_model(clone(model).fit(X, y), expected)
    assert_same_model(pickle.loads(pickle.dumps(model)).fit(X, y), expected)
    fitted = pickle.loads(pickle.dumps(clone(model).fit(X, y)))
    assert_array_equal(fitted.predict(X), expected.predict(X))
    pairs = [None, FrozenEstimator(anchor), (anchor.coef_, anchor.intercept_)]
    search = GridSearchCV(model, {"pair": pairs, "tie": [0.1, 1e6]}, cv=3).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    for row, score in zip(search.cv_results_["params"], scores, strict=True):
        alone = TiedLogisticRegression(**ACCURATE, **row)
        expected_score = cross_val_score(alone, X, y, cv=3).mean()
        assert score == pytest.approx(expected_score, abs=1e-12)
    # Forms two and three are one pair; None is another.
    assert_array_equal(scores[2:4], scores[4:6])


def test_arrays_survive_clone_and_are_copied_by_nobody(data):
    X, y, anchor = data
    coef, intercept = anchor.coef_.copy(), anchor.intercept_.copy()
    coef.flags.writeable = intercept.flags.writeable = False
    pair = (coef, intercept)
    model = TiedLogisticRegression(pair, **ACCURATE)
    assert model.fit(X, y).pair is pair
    assert_same_model(clone(model).fit(X, y), model)


@pytest.mark.parametrize("wrap", ["last step", "frozen pipeline", "bare pipeline"])
def test_a_pipeline_gives_its_last_step(data, wrap):
    X, y, _ = data
    scaler = StandardScaler().fit(X)
    Z = scaler.transform(X)
    pipe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(X, y)
    pair = {
        "last step": pipe[-1],
        "frozen pipeline": FrozenEstimator(pipe),
        "bare pipeline": pipe,
    }[wrap]
    # coef_ is read on the scale it was trained on: that of the scaled features.
    assert_same_model(tied_to(pair, Z, y), tied_to(pipe[-1], Z, y))


def test_a_pipeline_step_inside_a_pipeline(data):
    X, y, _ = data
    other = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(X, y)
    ours = TiedLogisticRegression(FrozenEstimator(other[-1]), tie=1e12, **ACCURATE)
    pipe = make_pipeline(StandardScaler(), ours).fit(X, y)
    assert_allclose(pipe.predict_proba(X), other.predict_proba(X), rtol=1e-6)


# --- Classes.


def test_two_rows_for_two_classes_are_their_difference():
    X, y = make_data(2)
    two = np.arange(2.0 * P).reshape(2, P) ** 1.5, np.array([0.5, 2.0])
    one = two[0][1:] - two[0][:1], two[1][1:] - two[1][:1]
    assert_same_model(tied_to(two, X, y), tied_to(one, X, y))
    shared = tied_to(two, X, y, tie=np.inf)
    assert_allclose(shared.coef_, one[0])
    assert_allclose(shared.intercept_, one[1])


def test_rows_and_intercepts_are_centred_over_classes():
    X, y = make_data(3)
    rng = np.random.default_rng(0)
    coef, intercept = rng.normal(size=(3, P)), rng.normal(size=3)
    lifted = coef + rng.normal(size=P), intercept + 3.0
    model = tied_to((coef, intercept), X, y)
    assert_same_model(tied_to(lifted, X, y), model)
    assert_allclose(model.coef_.sum(axis=0), 0, atol=1e-12)
    assert model.intercept_.sum() == pytest.approx(0, abs=1e-12)
    shared = tied_to(lifted, X, y, tie=np.inf)
    assert_allclose(shared.coef_, coef - coef.mean(axis=0), atol=1e-12)
    assert_allclose(shared.intercept_, intercept - intercept.mean(), atol=1e-12)


class Reordered(LogisticRegression):
    """A fitted classifier whose classes stand in an order of its own."""

    def shuffle(self, order):
        if len(self.coef_) == 1 and list(order) == [1, 0]:
            self.coef_, self.intercept_ = -self.coef_, -self.intercept_
        elif len(self.coef_) > 1:
            self.coef_, self.intercept_ = self.coef_[order], self.intercept_[order]
        self.classes_ = self.classes_[order]
        return self


@pytest.mark.parametrize("strings", [False, True])
@pytest.mark.parametrize("order", [[1, 0], [2, 0, 1], [1, 2, 0]])
def test_classes_are_matched_by_label(order, strings):
    X, y = make_data(len(order))
    if strings:
        y = np.array(["no", "so-so", "yes"])[y]
    expected = tied_to(LogisticRegression(C=0.2).fit(X, y), X, y)
    shuffled = Reordered(C=0.2).fit(X, y).shuffle(order)
    assert_same_model(tied_to(shuffled, X, y), expected)
    assert_same_model(tied_to(FrozenEstimator(shuffled), X, y), expected)


@pytest.mark.parametrize("dtype", ["U", object, "U20"])
def test_kinds_of_string_labels_match(dtype):
    X, y = make_data(3)
    words = np.array(["no", "so-so", "yes"])[y]
    anchor = LogisticRegression().fit(X, words.astype(dtype))
    assert_same_model(tied_to(anchor, X, words), tied_to(anchor, X, words.astype("O")))


def test_integers_match_integral_floats_and_booleans():
    X, y = make_data(2)
    anchor = LogisticRegression().fit(X, y)
    expected = tied_to(anchor, X, y)
    assert_allclose(tied_to(anchor, X, y.astype(float)).coef_, expected.coef_)
    assert_allclose(tied_to(anchor, X, y.astype(bool)).coef_, expected.coef_)


# --- Features.


def test_features_are_matched_by_name(data):
    pd = pytest.importorskip("pandas")
    X, y, _ = data
    frame = pd.DataFrame(X, columns=list("abcd"))
    anchor = LogisticRegression(C=0.2).fit(frame[list("dbca")], y)
    place = [list("dbca").index(name) for name in "abcd"]
    by_hand = tied_to((anchor.coef_[:, place], anchor.intercept_), X, y)
    assert_same_model(tied_to(FrozenEstimator(anchor), frame, y), by_hand)
    other = tied_to(anchor, frame[list("cadb")], y)
    assert_array_equal(other.coef_feature_names_, list("cadb"))
    place = [list("cadb").index(name) for name in "abcd"]
    assert_allclose(other.coef_[:, place], by_hand.coef_, rtol=1e-6, atol=1e-9)


def test_missing_and_extra_features_are_named(data):
    pd = pytest.importorskip("pandas")
    X, y, _ = data
    frame = pd.DataFrame(X, columns=list("abcd"))
    anchor = LogisticRegression().fit(frame.rename(columns={"b": "pulse"}), y)
    with pytest.raises(ValueError, match=r"pair lacks \['b'\], X lacks \['pulse'\]"):
        tied_to(anchor, frame, y)
    fewer = LogisticRegression().fit(frame[["a", "c", "d"]], y)
    with pytest.raises(ValueError, match=r"pair lacks \['b'\], X lacks none"):
        tied_to(fewer, frame, y)
    with pytest.raises(ValueError, match=r"pair lacks none, X lacks \['a'\]"):
        tied_to(LogisticRegression().fit(frame, y), frame[list("bcd")], y)


def test_without_names_on_one_side_the_order_counts(data):
    pd = pytest.importorskip("pandas")
    X, y, _ = data
    frame = pd.DataFrame(X, columns=list("abcd"))
    named = LogisticRegression().fit(frame, y)
    assert_same_model(tied_to(named, X, y), tied_to(named, frame, y))
    unnamed = LogisticRegression().fit(X, y)
    assert_same_model(tied_to(unnamed, frame, y), tied_to(unnamed, X, y))


def test_names_of_a_frozen_pipeline_are_those_into_its_last_step(data):
    pd = pytest.importorskip("pandas")
    X, y, _ = data
    frame = pd.DataFrame(X, columns=list("abcd"))
    pipe = make_pipeline(StandardScaler(), LogisticRegression(C=0.2))
    pipe.fit(frame[list("dcba")], y)
    scaled = StandardScaler().set_output(transform="pandas").fit_transform(frame)
    model = tied_to(FrozenEstimator(pipe), scaled, y)
    by_hand = pipe[-1].coef_[:, ::-1], pipe[-1].intercept_
    assert_same_model(model, tied_to(by_hand, scaled, y))


def test_an_anchor_with_domains_gives_its_shared_centre(data):
    pd = pytest.importorskip("pandas")
    X, y, _ = data
    site = np.array(["s", "t", "u"])[np.arange(len(y)) % 3]
    frame = pd.DataFrame(X, columns=list("abcd"))
    with_site = frame.assign(site=site)[["a", "site", "b", "c", "d"]]
    anchor = TiedLogisticRegression("site", tie=0.1, **ACCURATE).fit(with_site, y)
    centre = (anchor.coef_, anchor.intercept_)
    expected = tied_to(centre, X, y)
    assert_same_model(tied_to(anchor, X, y), expected)
    assert_same_model(tied_to(FrozenEstimator(anchor), frame, y), expected)
    by_name = tied_to(anchor, frame[list("dcba")], y)
    assert_allclose(by_name.coef_[:, ::-1], expected.coef_, rtol=1e-6, atol=1e-9)
    routed = TiedLogisticRegression(tie=0.1, **ACCURATE)
    routed.fit(frame, y, sample_domain=site)
    assert_same_model(tied_to(routed, frame, y), expected)
    positional = np.column_stack([X, np.arange(len(y)) % 3])
    by_place = TiedLogisticRegression(-1, tie=0.1, **ACCURATE).fit(positional, y)
    assert_same_model(tied_to(by_place, X, y), expected)


# --- Kinds of anchor.


@pytest.mark.parametrize("anchor", [LinearSVC(), RidgeClassifier()], ids=repr)
def test_an_anchor_without_log_odds_warns(data, anchor):
    X, y, _ = data
    anchor = clone(anchor).fit(X, y)
    name = type(anchor).__name__
    for pair in (anchor, FrozenEstimator(anchor)):
        with pytest.warns(UserWarning, match=f"{name}.*no log-odds.*LogisticReg"):
            model = tied_to(pair, X, y)
        assert_same_model(model, tied_to((anchor.coef_, anchor.intercept_), X, y))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "anchor",
    [
        LinearDiscriminantAnalysis(),
        SGDClassifier(loss="log_loss", random_state=0),
        LogisticRegression(),
        TiedLogisticRegression(),
    ],
    ids=repr,
)
def test_an_anchor_with_log_odds_does_not_warn(anchor, n_classes):
    X, y = make_data(n_classes)
    anchor = clone(anchor).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = tied_to(FrozenEstimator(anchor), X, y, tie=np.inf)
    assert_allclose(model.coef_, centred(anchor.coef_), rtol=1e-10, atol=1e-12)


def test_an_sgd_classifier_of_the_hinge_warns():
    X, y = make_data(2)
    anchor = SGDClassifier(loss="hinge", random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="no log-odds"):
        tied_to(anchor, X, y)


def test_cross_validated_anchors_have_one_coef():
    X, y = make_data(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        anchor = LogisticRegressionCV(Cs=3, cv=3).fit(X, y)
    expected = tied_to((anchor.coef_, anchor.intercept_), X, y)
    assert_same_model(tied_to(anchor, X, y), expected)


class Columns(LogisticRegression):
    """A classifier that stores its coefficients as other libraries do."""

    def store(self, form):
        self.coef_, self.intercept_ = form(self.coef_, self.intercept_)
        return self


@pytest.mark.parametrize(
    "form",
    [
        lambda coef, intercept: (coef.ravel(), intercept),
        lambda coef, intercept: (coef, intercept[0]),
        lambda coef, intercept: (coef.tolist(), intercept.tolist()),
        lambda coef, intercept: (coef, intercept[:, np.newaxis]),
        lambda coef, intercept: (coef.astype(np.float32), intercept),
    ],
    ids=["flat coef", "scalar intercept", "lists", "column", "float32"],
)
def test_shapes_of_the_attributes_of_an_anchor(form):
    X, y = make_data(2)
    plain = LogisticRegression().fit(X, y)
    stored = Columns().fit(X, y).store(form)
    assert_same_model(tied_to(stored, X, y), tied_to(plain, X, y), rtol=1e-5)


def test_fit_intercept_false_takes_no_intercept_from_the_pair(data):
    X, y, anchor = data
    model = tied_to(anchor, X, y, fit_intercept=False, tie=np.inf)
    assert_allclose(model.coef_, centred(anchor.coef_), atol=1e-12)
    assert_array_equal(model.intercept_, np.zeros(len(anchor.coef_)))


def test_the_pair_is_not_changed(data):
    X, y, anchor = data
    before = pickle.dumps(anchor)
    tied_to(anchor, X, y)
    tied_to(FrozenEstimator(anchor), X, y)
    assert pickle.dumps(anchor) == before


def test_attributes_are_those_of_a_linear_classifier(data):
    X, y, anchor = data
    model = tied_to(anchor, X, y)
    k = len(anchor.coef_)
    assert model.coef_.shape == (k, P)
    assert model.intercept_.shape == (k,)
    assert model.n_features_in_ == P
    assert model.n_stored_parameters_ == k * (P + 1)
    assert type(model.n_iter_) is int
    assert type(model.objective_) is float
    for name in ("domains_", "domain_coef_", "domain_intercept_"):
        assert not hasattr(model, name)
