"""Bad input: each error names the value, what was expected, and the remedy."""

import pickle
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktie import TiedLogisticRegression

N = 24
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
Y = np.arange(N) % 2
THREE = np.arange(N) % 3
DOMAIN = np.repeat(["a", "b", "c"], N // 3)
CODES = np.repeat([0, 1, 2], N // 3)
COLUMN = np.column_stack([X, CODES])
ONES = np.ones(N)


def put(array, value, place=0):
    """Return a copy with one entry replaced."""
    out = np.array(array, dtype=object if isinstance(array, list) else None)
    out[place] = value
    return out


def objects(*head):
    """Return labels as objects, the first ones replaced."""
    out = DOMAIN.astype(object)
    out[: len(head)] = head
    return out


@dataclass(frozen=True)
class Case:
    """A fit that must fail: the arguments that differ, and words of the message."""

    id: str
    words: tuple[str, ...]
    params: dict[str, Any] = field(default_factory=dict)
    X: Any = field(default_factory=lambda: X)
    y: Any = field(default_factory=lambda: Y)
    fit: dict[str, Any] = field(default_factory=dict)


def one_class_in(label, y=Y):
    """Return y with the single class 0 in one domain."""
    return np.where(label == DOMAIN, 0, y)


ANCHOR = LogisticRegression().fit(X, Y)

CASES = [
    # --- X
    Case("X has NaN", ("NaN",), X=put(X, np.nan, (0, 0))),
    Case("X has inf", ("infinity",), X=put(X, np.inf, (0, 0))),
    Case("X is 1-D", ("Expected 2D", "1D", "Reshape"), X=X[:, 0]),
    Case("X is 1-D list", ("Expected 2D", "1D", "Reshape"), X=X[:, 0].tolist()),
    Case(
        "X is 1-D, pair a position",
        ("Expected 2D", "1D", "Reshape"),
        {"pair": -1},
        X=X[:, 0],
    ),
    Case("X is 3-D", ("dim 3", "2"), X=X.reshape(N, 3, 1)),
    Case("X is complex", ("Complex data not supported",), X=X + 1j),
    Case(
        "X is complex, with a column",
        ("complex128", "expected"),
        {"pair": -1},
        X=COLUMN + 0j,
    ),
    Case("X is words", ("could not convert", "red"), X=[["red", "sky"]] * N),
    Case("X has no rows", ("0 sample", "minimum of 1"), X=X[:0], y=Y[:0]),
    Case("X has no features", ("0 feature", "minimum of 1"), X=X[:, :0]),
    Case(
        "X has the domain and no feature",
        ("1 column", "pair=-1", "at least one feature", "Add"),
        {"pair": -1},
        X=COLUMN[:, 3:],
    ),
    Case("sparse X has NaN", ("NaN",), X=sp.csr_array(put(X, np.nan, (0, 0)))),
    Case(
        "sparse X and a name",
        ("'site'", "csr", "column names", "position", "pair=-1"),
        {"pair": "site"},
        X=sp.csr_array(COLUMN),
    ),
    # --- y
    Case("y is None", ("requires y", "None"), y=None),
    Case("y has NaN", ("NaN",), y=put(Y.astype(float), np.nan)),
    Case("y is continuous", ("continuous",), y=X[:, 0]),
    Case("y has two columns", ("1d", "(24, 2)"), y=np.column_stack([Y, Y])),
    Case("y is shorter", ("inconsistent", "24", "23"), y=Y[1:]),
    Case("y holds one class", ("one class, 7;", "two classes"), y=np.full(N, 7)),
    Case(
        "y holds one class where it weighs",
        ("one class", "sample_weight", "two classes"),
        fit={"sample_weight": (Y == 0) * 1.0},
    ),
    # --- sample_weight
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
    Case(
        "weights too short",
        ("sample_weight", "(23,)", "(24,)"),
        fit={"sample_weight": ONES[1:]},
    ),
    # --- constructor parameters
    *(
        Case(f"{name}={value!r}", (f"'{name}'", *words), {name: value})
        for name, value, *words in [
            ("tie", -1.0, "-1.0", "tie=0", "tie=np.inf"),
            ("tie", np.nan, "nan", "tie=0", "tie=np.inf"),
            ("tie", "soft", "'soft'", "tie=0", "tie=np.inf"),
            ("tie", None, "None", "tie=0", "tie=np.inf"),
            ("C", 0, "0", "positive"),
            ("C", -1, "-1", "positive"),
            ("C", np.nan, "nan", "positive"),
            ("C", "1", "'1'", "positive"),
            ("tie_intercept", -1.0, "-1.0", "True", "False", "strength"),
            ("tie_intercept", np.nan, "nan", "True", "False", "strength"),
            ("tie_intercept", "no", "'no'", "True", "False", "strength"),
            ("solver", "saga", "'saga'", "'lbfgs'", "'newton-cg'"),
            ("decay", "none", "'none'", "'each'", "'shared'"),
            ("max_iter", 0, "0", "[1, inf)"),
            ("tol", -1.0, "-1.0", "[0"),
            ("handle_unknown", "ignore", "'ignore'", "'shared'"),
            ("pair", 1.0, "1.0", "column", "FrozenEstimator"),
            ("pair", True, "True", "column", "FrozenEstimator"),
            ("pair", [0, 1], "[0, 1]", "column", "FrozenEstimator"),
            ("pair", 1j, "1j", "column", "FrozenEstimator"),
        ]
    ),
    Case(
        "class_weight of an unknown class",
        ("class_weight", "5", "[0, 1]"),
        {"class_weight": {5: 2.0}},
    ),
    Case(
        "class_weight negative",
        ("class_weight", "-1", "positive", "drop its rows"),
        {"class_weight": {0: -1.0}},
    ),
    # --- pair, a column
    Case("pair is too large", ("pair=3", "3 columns", "-3 to 2"), {"pair": 3}),
    Case("pair is too small", ("pair=-4", "3 columns", "-3 to 2"), {"pair": -4}),
    Case(
        "a name, but X has none",
        ("'site'", "ndarray", "data frame", "position"),
        {"pair": "site"},
    ),
    Case(
        "the column has fractions",
        ("pair=-1", "fractions", "ColumnTransformer", "passthrough"),
        {"pair": -1},
    ),
    Case(
        "the column was scaled",
        ("pair=-1", "fractions", "ColumnTransformer", "passthrough"),
        {"pair": -1},
        X=StandardScaler().fit_transform(COLUMN),
    ),
    Case(
        "the column has missing labels",
        ("pair=-1", "1 missing label", "Drop"),
        {"pair": -1},
        X=put(COLUMN, np.nan, (0, 3)),
    ),
    Case(
        "the column has infinite labels",
        ("pair=-1", "inf"),
        {"pair": -1},
        X=put(COLUMN, np.inf, (0, 3)),
    ),
    Case(
        "pair and sample_domain",
        ("pair=-1", "sample_domain", "one of them", "pair=None"),
        {"pair": -1},
        X=COLUMN,
        fit={"sample_domain": DOMAIN},
    ),
    # --- sample_domain
    *(
        Case(f"sample_domain holds {name}", words, fit={"sample_domain": labels})
        for name, labels, words in [
            ("None", objects(None), ("sample_domain", "1 missing label", "Drop")),
            ("NaN", objects(np.nan), ("sample_domain", "1 missing label", "Drop")),
            ("float NaN", put(CODES * 1.0, np.nan), ("1 missing label", "Drop")),
            ("two Nones", objects(None, None), ("2 missing labels", "Drop")),
            ("fractions", CODES + 0.5, ("sample_domain", "fractions", "0.5")),
            ("inf", put(CODES * 1.0, np.inf), ("sample_domain", "inf")),
            (
                "words and numbers",
                objects(1),
                ("sample_domain", "['int', 'str']", "astype(str)"),
            ),
            (
                "dates",
                np.array(["2020-01-01"] * N, dtype="datetime64[D]"),
                ("sample_domain", "datetime64[D]", "astype(str)"),
            ),
            ("too few", DOMAIN[1:], ("sample_domain", "(23,)", "24 rows")),
            ("a table", DOMAIN.reshape(-1, 1), ("sample_domain", "(24, 1)", "24 rows")),
            ("a word", "a", ("sample_domain", "()", "24 rows")),
        ]
    ),
    Case(
        "a domain weighs nothing",
        ("['b']", "weight zero", "Drop"),
        fit={"sample_domain": DOMAIN, "sample_weight": (DOMAIN != "b") * 1.0},
    ),
    *(
        Case(
            f"one class in a domain, {params}",
            ("{'b': [0]}", *words, "positive tie"),
            params,
            y=one_class_in("b"),
            fit={"sample_domain": DOMAIN},
        )
        for params, words in [
            ({"tie": 0.0}, ("tie=0.0", "alone")),
            ({"tie_intercept": False}, ("tie_intercept=False", "alone")),
            ({"tie_intercept": 0.0}, ("tie_intercept=0.0", "alone")),
        ]
    ),
    Case(
        "a class is missing in a domain, tie=0",
        ("'b': [0, 2]", "tie=0", "positive tie"),
        {"tie": 0},
        y=np.where((DOMAIN == "b") & (THREE == 1), 0, THREE),
        fit={"sample_domain": DOMAIN},
    ),
    # --- pair, a fixed model
    Case(
        "anchor of other classes",
        ("[3, 4]", "[0, 1]", "same classes", "Map"),
        {"pair": LogisticRegression().fit(X, Y + 3)},
    ),
    Case(
        "anchor of more classes",
        ("[0, 1, 2]", "[0, 1]", "same classes"),
        {"pair": LogisticRegression().fit(X, THREE)},
    ),
    Case(
        "anchor of other features",
        ("2 features", "X has 3", "same features"),
        {"pair": LogisticRegression().fit(X[:, :2], Y)},
    ),
    Case(
        "arrays of other features",
        ("2 features", "X has 3", "same features"),
        {"pair": (np.ones((1, 2)), [0.0])},
    ),
    Case(
        "arrays of other classes",
        ("3 rows", "1 or 2 rows", "2 classes"),
        {"pair": (np.ones((3, 3)), np.zeros(3))},
    ),
    Case(
        "one row for three classes",
        ("1 rows", "3 rows", "3 classes"),
        {"pair": (np.ones((1, 3)), [0.0])},
        y=THREE,
    ),
    Case(
        "intercepts of another shape",
        ("(2,)", "(1,)", "intercept"),
        {"pair": (np.ones((1, 3)), np.zeros(2))},
    ),
    Case(
        "coefficients in three dimensions",
        ("(1, 1, 3)",),
        {"pair": (np.ones((1, 1, 3)), np.zeros(1))},
    ),
    Case(
        "arrays with NaN",
        ("NaN", "finite"),
        {"pair": (np.full((1, 3), np.nan), [0.0])},
    ),
    Case(
        "arrays with inf",
        ("infinite", "finite"),
        {"pair": (np.ones((1, 3)), [np.inf])},
    ),
    Case("words", ("numbers", "(coef, intercept)"), {"pair": ("coef", "intercept")}),
    Case(
        "three arrays",
        ("3 items", "(coef, intercept)"),
        {"pair": (np.ones((1, 3)), [0.0], [0.0])},
    ),
    Case(
        "anchor is not fitted",
        ("LogisticRegression", "coef_", "FrozenEstimator"),
        {"pair": LogisticRegression()},
    ),
    Case(
        "anchor was cloned",
        ("clone", "FrozenEstimator(fitted_logisticregression)"),
        {"pair": clone(ANCHOR)},
    ),
    Case(
        "anchor is a regressor",
        ("LinearRegression", "classes_", "classifier"),
        {"pair": LinearRegression().fit(X, Y)},
    ),
    Case(
        "anchor is a pipeline, not fitted",
        ("LogisticRegression", "FrozenEstimator"),
        {"pair": make_pipeline(StandardScaler(), LogisticRegression())},
    ),
]


def assert_says(message, words):
    missing = [word for word in words if word not in message]
    assert not missing, f"{missing} not in: {message}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_fit_fails_and_says_why(case):
    estimator = TiedLogisticRegression(**case.params)
    arguments = (case.X, case.y, case.fit)
    before = pickle.dumps(arguments)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        estimator.fit(case.X, case.y, **case.fit)
    assert_says(str(caught.value), case.words)
    assert pickle.dumps(arguments) == before
    for name, value in case.params.items():
        assert getattr(estimator, name) is value
    assert not hasattr(estimator, "coef_")


FITS = {
    "plain": ({}, {}),
    "sample_domain": ({}, {"sample_domain": DOMAIN}),
    "anchor": ({"pair": (ANCHOR.coef_, ANCHOR.intercept_)}, {}),
}
# Another number of columns is recorded before X is read, as scikit-learn does.
REFITS = [case for case in CASES if not case.params and np.shape(case.X) == X.shape]


@pytest.mark.parametrize("form", FITS)
@pytest.mark.parametrize("case", REFITS, ids=lambda case: case.id)
def test_a_failed_refit_leaves_the_old_model_as_it_was(case, form):
    params, metadata = FITS[form]
    estimator = TiedLogisticRegression(**params).fit(X, Y, **metadata)
    predicted = estimator.predict_proba(X, **metadata)
    with pytest.raises(ValueError):  # noqa: PT011
        estimator.fit(case.X, case.y, **case.fit)
    np.testing.assert_array_equal(estimator.predict_proba(X, **metadata), predicted)


def test_a_failed_refit_does_not_turn_domains_into_none():
    estimator = TiedLogisticRegression().fit(X, Y, sample_domain=DOMAIN)
    with pytest.raises(ValueError, match="24 rows"):
        estimator.fit(X, Y, sample_domain=DOMAIN[1:])
    with pytest.raises(ValueError, match="fitted with domains"):
        estimator.predict(X)


def test_a_failed_refit_does_not_rename_the_classes():
    estimator = TiedLogisticRegression().fit(X, Y)
    with pytest.raises(ValueError, match="24 rows"):
        estimator.fit(X, Y + 5, sample_domain=DOMAIN[1:])
    assert set(estimator.predict(X)) == {0, 1}


FITTED = TiedLogisticRegression().fit(X, Y, sample_domain=DOMAIN)
BY_COLUMN = TiedLogisticRegression(-1).fit(COLUMN, Y)
PLAIN = TiedLogisticRegression().fit(X, Y)
UNSEEN = objects("z")
PREDICTIONS = [
    # estimator, X, metadata, words
    (FITTED, X, {}, ("fitted with domains", "sample_domain", "pair=")),
    (
        FITTED,
        X,
        {"sample_domain": UNSEEN},
        ("sample_domain", "['z']", "['a', 'b', 'c']", "handle_unknown='shared'"),
    ),
    (FITTED, X, {"sample_domain": DOMAIN[1:]}, ("(23,)", "24 rows")),
    (FITTED, X, {"sample_domain": objects(None)}, ("1 missing label",)),
    (FITTED, X, {"sample_domain": CODES}, ("[0, 1, 2]", "['a', 'b', 'c']")),
    (FITTED, X[:, :2], {"sample_domain": DOMAIN}, ("2 features", "3 features")),
    (
        BY_COLUMN,
        put(COLUMN, 9, (0, 3)),
        {},
        ("pair=-1", "[9]", "[0, 1, 2]", "handle_unknown='shared'"),
    ),
    (BY_COLUMN, X, {}, ("3 features", "4 features")),
    (BY_COLUMN, COLUMN, {"sample_domain": CODES}, ("pair=-1", "sample_domain")),
    (BY_COLUMN, put(COLUMN, np.nan, (0, 3)), {}, ("pair=-1", "missing label")),
    (BY_COLUMN, put(COLUMN, np.nan, (0, 0)), {}, ("NaN",)),
    (BY_COLUMN, put(COLUMN, 0.5, (0, 3)), {}, ("pair=-1", "fractions")),
    (PLAIN, X, {"sample_domain": DOMAIN}, ("without domains", "fit with")),
    (PLAIN, put(X, np.nan, (0, 0)), {}, ("NaN",)),
    (PLAIN, X[0], {}, ("Expected 2D", "Reshape")),
]
METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", PREDICTIONS, ids=lambda case: " ".join(case[3]))
def test_predict_fails_and_says_why(case, method):
    estimator, data, metadata, words = case
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        getattr(estimator, method)(data, **metadata)
    assert_says(str(caught.value), words)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_fitted_says_so(method):
    with pytest.raises(NotFittedError, match="fit"):
        getattr(TiedLogisticRegression(), method)(X)


def test_domain_estimator_fails_and_says_why():
    with pytest.raises(NotFittedError):
        TiedLogisticRegression().domain_estimator("a")
    with pytest.raises(
        ValueError, match=r"fitted without domains.*fitted model itself"
    ):
        PLAIN.domain_estimator("a")
    with pytest.raises(ValueError, match=r"\['z'\].*\['a', 'b', 'c'\].*handle_unknown"):
        FITTED.domain_estimator("z")


def test_a_pair_stripped_by_a_search_names_frozen_estimator():
    search = GridSearchCV(TiedLogisticRegression(ANCHOR), {"tie": [1.0]}, cv=2)
    with pytest.raises(ValueError, match="FrozenEstimator"):
        search.set_params(error_score="raise").fit(X, Y)
    with pytest.raises(ValueError, match="FrozenEstimator"):
        cross_val_score(TiedLogisticRegression(ANCHOR), X, Y, error_score="raise")


def test_a_name_is_no_column_of_the_frame():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["age", "bp", "chol"])
    with pytest.raises(ValueError, match="'site'") as caught:
        TiedLogisticRegression("site").fit(frame, Y)
    assert_says(str(caught.value), ("['age', 'bp', 'chol']", "Name one", "pair=-1"))


@pytest.mark.parametrize("dtype", ["string", "Int64", "category", object])
def test_missing_labels_of_pandas_are_counted(dtype):
    pd = pytest.importorskip("pandas")
    labels = pd.Series(CODES if dtype == "Int64" else DOMAIN).astype(dtype)
    labels[[0, 5]] = None if dtype == "category" else pd.NA
    with pytest.raises(ValueError, match=r"sample_domain has 2 missing labels.*Drop"):
        TiedLogisticRegression().fit(X, Y, sample_domain=labels)
    frame = pd.DataFrame(X, columns=["age", "bp", "chol"]).assign(site=labels)
    with pytest.raises(ValueError, match=r"pair='site' has 2 missing labels.*Drop"):
        TiedLogisticRegression("site").fit(frame, Y)


def test_other_columns_at_predict_are_named():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["age", "bp", "chol"]).assign(site=DOMAIN)
    model = TiedLogisticRegression("site").fit(frame, Y)
    with pytest.raises(ValueError, match="feature names") as caught:
        model.predict(frame.rename(columns={"bp": "pulse"}))
    assert_says(str(caught.value), ("bp", "pulse"))
    with pytest.raises(ValueError, match="site"):
        model.predict(frame.drop(columns="site"))
    # Warns of the missing names, and is an error as a label is not what fit saw.
    with (
        pytest.warns(UserWarning, match="valid feature names"),
        pytest.raises(ValueError, match="column names"),
    ):
        model.predict(frame.to_numpy())
