"""Bad input to TiedMLPClassifier: errors name value, expectation and remedy."""

import pickle
import re
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktie import AutoencoderPrior, KMeansPrior, TiedMLPClassifier

N = 24
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
Y = np.arange(N) % 2
THREE = np.arange(N) % 3
MARKED = np.where(np.arange(N) % 4 == 0, -1, Y)
ONES = np.ones(N)
PRIOR = KMeansPrior(4, random_state=0)


def put(array, value, place=0):
    """Return a copy with one entry replaced."""
    out = array.copy()
    out[place] = value
    return out


class LinearPrior(BaseEstimator):
    """A prior for linear models alone: it has no hidden units."""

    def fit(self, X, y=None, sample_weight=None):
        return self

    def linear_anchor(self, X, y_index, n_classes, sample_weight=None):
        return np.zeros((n_classes, X.shape[1])), np.zeros(n_classes)


@dataclass(frozen=True)
class Case:
    """A fit that must fail: the arguments that differ, and words of the message."""

    id: str
    words: tuple[str, ...]
    params: dict[str, Any] = field(default_factory=dict)
    X: Any = field(default_factory=lambda: X)
    y: Any = field(default_factory=lambda: Y)
    fit: dict[str, Any] = field(default_factory=dict)


def parameter(name, value, *words):
    """A value that no model takes; its name and scikit-learn's words are expected."""
    words = ("TiedMLPClassifier", f"'{name}'", *words)
    return Case(f"{name}={value!r}", words, {name: value})


ENCODERS = ("KMeansPrior", "AutoencoderPrior", "FrozenEstimator")
NO_PRIOR = ("no prior", "KMeansPrior", "AutoencoderPrior", "leave")
CASES = [
    # --- X
    Case("X has NaN", ("NaN",), X=put(X, np.nan, (0, 0))),
    Case("X has inf", ("infinity",), X=put(X, np.inf, (0, 0))),
    Case("X has NaN, with a prior", ("NaN",), {"pair": PRIOR}, put(X, np.nan, (0, 0))),
    Case("sparse X has NaN", ("NaN",), X=sp.csr_array(put(X, np.nan, (0, 0)))),
    Case("X is 1-D", ("Expected 2D", "1D", "Reshape"), X=X[:, 0]),
    Case("X is complex", ("Complex data not supported",), X=X + 1j),
    Case("X is words", ("could not convert", "red"), X=[["red", "sky"]] * N),
    Case("X has no rows", ("0 sample", "minimum of 1"), X=X[:0], y=Y[:0]),
    Case("X has no features", ("0 feature", "minimum of 1"), X=X[:, :0]),
    # --- y
    Case("y is None", ("requires y", "None"), y=None),
    Case("y has NaN", ("NaN",), y=put(Y.astype(float), np.nan)),
    Case("y is continuous", ("continuous",), y=X[:, 0]),
    Case("y has two columns", ("1d", "(24, 2)"), y=np.column_stack([Y, Y])),
    Case("y is shorter", ("inconsistent", "24", "23"), y=Y[1:]),
    Case("y holds one class", ("one class, 7;", "two classes", "Add"), y=np.full(N, 7)),
    Case(
        "y holds one class where it weighs",
        ("one class", "sample_weight", "two classes", "Add"),
        fit={"sample_weight": (Y == 0) * 1.0},
    ),
    Case(
        "y holds one class where it has labels",
        ("one class, 0;", "two classes", "Add"),
        {"pair": PRIOR, "unlabeled": -1},
        y=np.where(Y == 0, 0, -1),
    ),
    # --- sample_weight, class_weight
    Case(
        "a negative weight",
        ("Negative", "sample_weight"),
        fit={"sample_weight": put(ONES, -1.0)},
    ),
    Case(
        "weights all zero",
        ("weights are zero", "positive", "Leave sample_weight out"),
        fit={"sample_weight": 0 * ONES},
    ),
    Case("a weight is NaN", ("NaN",), fit={"sample_weight": put(ONES, np.nan)}),
    Case("too few weights", ("23", "24"), fit={"sample_weight": ONES[1:]}),
    Case(
        "class_weight of an unknown class",
        ("class_weight", "[5]", "[0, 1]", "keys"),
        {"class_weight": {5: 2.0}},
    ),
    Case(
        "class_weight negative",
        ("class_weight", "-1", "positive", "drop its rows"),
        {"class_weight": {0: -1.0}},
    ),
    # --- pair
    *(
        Case(f"pair is {name}", (words, "no encoder", *ENCODERS), {"pair": pair})
        for name, pair, words in [
            ("a classifier", LogisticRegression(), "pair=LogisticRegression()"),
            ("scikit-learn's KMeans", KMeans(4), "pair=KMeans(n_clusters=4)"),
            ("a prior without units", LinearPrior(), "pair=LinearPrior()"),
            (
                "a frozen classifier",
                FrozenEstimator(LogisticRegression().fit(X, Y)),
                "pair=FrozenEstimator(estimator=LogisticRegression())",
            ),
        ]
    ),
    *(parameter("pair", value, *ENCODERS) for value in ["site", -1, ([[1.0]], [0.0])]),
    Case(
        "pair is a pipeline",
        ("pipeline", "KMeansPrior(", "before this model", "the prior alone"),
        {"pair": make_pipeline(StandardScaler(), KMeansPrior(4))},
    ),
    Case(
        "the frozen prior has other features",
        ("pair=KMeansPrior()", "2 features", "X has 3", "same columns"),
        {"pair": FrozenEstimator(KMeansPrior(4).fit(X[:, :2]))},
    ),
    Case(
        "more clusters than rows",
        ("n_clusters=30", "n_samples=24", "Lower n_clusters"),
        {"pair": KMeansPrior(30)},
    ),
    Case(
        "more units than rows",
        ("n_components=30", "n_samples=24", "Lower n_components"),
        {"pair": AutoencoderPrior(30)},
    ),
    Case(
        "a parameter of the prior",
        ("'code'", "KMeansPrior", "'fuzzy'", "'triangle'"),
        {"pair": KMeansPrior(4, code="fuzzy")},
    ),
    # --- unlabeled
    Case(
        "no row has a label",
        ("no labelled row", "24", "unlabeled=-1", "Label at least one row"),
        {"pair": PRIOR, "unlabeled": -1},
        y=np.full(N, -1),
    ),
    Case(
        "no row with a label weighs anything",
        ("label", "weight", "positive"),
        {"pair": PRIOR, "unlabeled": -1},
        y=MARKED,
        fit={"sample_weight": (MARKED == -1) * 1.0},
    ),
    Case(
        "a string marks rows of numbers",
        ("unlabeled='?'", "numbers", "same kind"),
        {"pair": PRIOR, "unlabeled": "?"},
    ),
    Case(
        "a number marks rows of strings",
        ("unlabeled=-1", "strings", "same kind"),
        {"pair": PRIOR, "unlabeled": -1},
        y=np.array(["no", "yes"])[Y],
    ),
    Case(
        "unlabeled without a prior",
        ("unlabeled was given", "pair=None", *NO_PRIOR),
        {"unlabeled": -1},
        y=MARKED,
    ),
    Case(
        "X_unlabeled without a prior",
        ("X_unlabeled was given", "pair=None", *NO_PRIOR),
        fit={"X_unlabeled": X},
    ),
    parameter("unlabeled", 0.5, "int", "str"),
    parameter("unlabeled", [-1], "int", "str"),
    # --- X_unlabeled
    *(
        Case(f"X_unlabeled {name}", words, {"pair": PRIOR}, fit={"X_unlabeled": rows})
        for name, rows, words in [
            ("has other columns", X[:, :2], ("X_unlabeled", "2 features", "3")),
            ("has NaN", put(X, np.nan, (0, 0)), ("NaN", "X_unlabeled")),
            ("has inf", put(X, np.inf, (0, 0)), ("infinity", "X_unlabeled")),
            ("is 1-D", X[0], ("2D", "1D", "Reshape")),
            ("has no rows", X[:0], ("0 sample", "minimum of 1")),
            ("is words", [["a", "b", "c"]], ("could not convert",)),
        ]
    ),
    # --- early stopping
    Case(
        "a class has one row",
        ("2 classes", "1 of these rows", "early_stopping=False", "label"),
        {"early_stopping": True},
        y=(np.arange(N) == 3) * 1,
    ),
    Case(
        "too few rows are left",
        ("holds back 23 of 24", "2 classes", "validation_fraction"),
        {"early_stopping": True, "validation_fraction": 0.95},
    ),
    Case(
        "rows without a label do not count",
        ("early_stopping=True", "of 3 distinct labelled", "2 classes"),
        {"early_stopping": True, "pair": PRIOR, "unlabeled": -1},
        y=np.where(np.arange(N) < 3, Y, -1),
    ),
    # --- parameters
    *(parameter("tie", value, "tie=0", "np.inf") for value in [-1.0, np.nan, "hard"]),
    *(parameter("tie_output", value, "0 (free)", "np.inf") for value in [-1, None]),
    *(parameter("alpha", value, "positive") for value in [-1e-3, np.inf, "1"]),
    *(parameter("activation", value, "'softmax'") for value in ["sigmoid", None]),
    *(parameter("hidden_units", value, repr(value)) for value in [0, 2.5, (100,)]),
    parameter("solver", "sgd", "'lbfgs'", "'adam'"),
    *(parameter("batch_size", value, repr(value)) for value in [0, "all", 2.5]),
    *(parameter("learning_rate_init", value) for value in [0.0, -1.0, "adaptive"]),
    *(parameter("tol", value) for value in [-1.0, None]),
    *(parameter("max_iter", value, repr(value)) for value in [0, 10.5]),
    parameter("early_stopping", "yes"),
    *(parameter("validation_fraction", value) for value in [0.0, 1.0, 5]),
    *(parameter("n_iter_no_change", value) for value in [0, 1.5]),
    parameter("class_weight", "even", "'balanced'"),
    parameter("warm_start", "yes"),
    parameter("verbose", -1),
    parameter("random_state", "seed"),
]


def light(pair=PRIOR, **settings):
    """A model that is quick to fit."""
    return TiedMLPClassifier(pair, alpha=1.0, tol=1e-2, random_state=0, **settings)


def learned(estimator):
    return {name: vars(estimator)[name] for name in vars(estimator) if name[-1] == "_"}


def assert_says(message, words):
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_fit_fails_and_says_why(case):
    estimator = TiedMLPClassifier(**case.params)
    arguments = (case.X, case.y, case.fit)
    before = pickle.dumps(arguments)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        estimator.fit(case.X, case.y, **case.fit)
    assert_says(str(caught.value), case.words)
    assert pickle.dumps(arguments) == before
    for name, value in case.params.items():
        assert getattr(estimator, name) is value
    assert not hasattr(estimator, "coefs_")


@pytest.mark.parametrize("pair", [None, PRIOR], ids=["none", "prior"])
@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_failed_refit_leaves_the_old_model_as_it_was(case, pair):
    estimator = light(pair, hidden_units=3).fit(X, THREE)
    predicted = estimator.predict_proba(X)
    fitted = learned(estimator)
    estimator.set_params(**{"pair": None} | case.params)
    with pytest.raises(ValueError):  # noqa: PT011
        estimator.fit(case.X, case.y, **case.fit)
    assert learned(estimator).keys() == fitted.keys()
    for name, value in fitted.items():
        assert vars(estimator)[name] is value, name
    np.testing.assert_array_equal(estimator.predict_proba(X), predicted)


def test_a_frozen_prior_that_is_not_fitted_is_named():
    for prior in [KMeansPrior(4), AutoencoderPrior(2)]:
        name = type(prior).__name__
        with pytest.raises(NotFittedError) as caught:
            TiedMLPClassifier(FrozenEstimator(prior)).fit(X, Y)
        words = (f"pair=FrozenEstimator({name}())", "not fitted", "Fit it first")
        assert_says(str(caught.value), (*words, f"pair={name}()"))


def test_a_frozen_prior_with_other_names_is_named():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    pair = FrozenEstimator(KMeansPrior(4, random_state=0).fit(frame))
    words = ("pair=KMeansPrior()", "['a', 'b', 'c']", "same order", "Select and order")
    for columns in [["a", "c", "b"], ["a", "b", "d"]]:
        other = frame.set_axis(columns, axis=1)
        with pytest.raises(ValueError, match="columns") as caught:
            TiedMLPClassifier(pair).fit(other, Y)
        assert_says(str(caught.value), (*words, str(columns)))
    for rows in [frame, X]:
        light(pair).fit(rows, Y)


def test_more_rows_with_other_names_are_refused():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    with pytest.raises(ValueError, match="feature names"):
        TiedMLPClassifier(PRIOR).fit(frame, Y, X_unlabeled=frame[["b", "a", "c"]])


def test_sparse_rows_and_a_prior_that_takes_none():
    with pytest.raises(TypeError, match=r"[Ss]parse.*dense"):
        TiedMLPClassifier(AutoencoderPrior(2)).fit(sp.csr_array(X), Y)


# ---- a -1 that nobody explained ------------------------------------------------------


WITH_MARKS = put(THREE, -1, slice(0, 4))


@pytest.mark.parametrize(
    "y",
    [
        WITH_MARKS,
        WITH_MARKS.astype(float),
        WITH_MARKS.tolist(),
        np.where(np.arange(N) < 4, -1, Y),
    ],
    ids=["three and -1", "floats", "a list", "two and -1"],
)
def test_minus_one_beside_a_prior_warns_and_names_the_parameter(y):
    for pair in [PRIOR, FrozenEstimator(KMeansPrior(4, random_state=0).fit(X))]:
        with pytest.warns(UserWarning, match="y holds -1") as caught:
            model = light(pair).fit(X, y)
        (message,) = {str(warning.message) for warning in caught}
        assert_says(message, ("-1", "unlabeled=None", "set unlabeled=-1"))
        assert -1 in model.classes_, "it is only a warning"


@pytest.mark.parametrize(
    ("y", "settings", "is_class"),
    [
        (np.where(Y == 0, -1, 1), {}, True),
        (WITH_MARKS, {"pair": None}, True),
        (WITH_MARKS, {"unlabeled": -1}, False),
        (np.where(np.arange(N) < 4, -2, THREE), {}, False),
        (np.where(np.arange(N) < 4, "-1", np.array(list("abc"))[THREE]), {}, False),
    ],
    ids=["-1 and 1", "no prior", "unlabeled=-1", "-2", "strings"],
)
def test_what_needs_no_warning_gets_none(y, settings, is_class):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = light(**{"pair": PRIOR} | settings).fit(X, y)
    assert (-1 in model.classes_.tolist()) == is_class


def test_the_warning_about_iterations_names_value_and_remedy():
    with pytest.warns(ConvergenceWarning, match="max_iter") as caught:
        TiedMLPClassifier(PRIOR, max_iter=2, tol=1e-9).fit(X, Y)
    (message,) = {str(warning.message) for warning in caught}
    words = ("TiedMLPClassifier", "max_iter=2", "Increase max_iter", "tol", "1e-09")
    assert_says(message, (*words, "StandardScaler"))


# ---- predictions ---------------------------------------------------------------------

METHODS = ["predict", "predict_proba", "predict_log_proba"]


@pytest.mark.parametrize("method", METHODS)
def test_an_unfitted_model_says_so(method):
    with pytest.raises(NotFittedError, match="TiedMLPClassifier"):
        getattr(TiedMLPClassifier(), method)(X)


@pytest.mark.parametrize("method", METHODS)
def test_predictions_of_bad_rows_fail(method):
    model = light().fit(X, Y)
    bad = [
        (X[:, :2], "2 features, but TiedMLPClassifier is expecting 3"),
        (put(X, np.nan, (0, 0)), "NaN"),
        (X[0], "Expected 2D"),
        (X[:0], "0 sample"),
    ]
    for rows, words in bad:
        with pytest.raises(ValueError, match=re.escape(words)):
            getattr(model, method)(rows)
