"""Domains through scikit-learn: which route works, and what the others say.

The same table stands in docs/routes.rst, and a test holds the two together.
"""

import doctest
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sktie import TiedLogisticRegression

N, P = 90, 3
RNG = np.random.default_rng(0)
X = RNG.normal(loc=[10.0, 0.0, 0.0], scale=[5.0, 1.0, 0.1], size=(N, P))
SITE = np.repeat([0, 1, 2], N // 3)
Y = (X @ [0.3, 1.0, 5.0] + SITE - 4 + RNG.normal(size=N) > 0).astype(int)
SPLITS = list(StratifiedKFold(3).split(X, SITE * 2 + Y))
TIE = {"tie": 0.5, "tol": 1e-16}


@dataclass(frozen=True)
class Form:
    """How the domains are handed over: in a column of X, or beside X."""

    pair: int | None
    X: Any
    metadata: dict[str, Any]

    def model(self, **params):
        return TiedLogisticRegression(**{**TIE, "pair": self.pair, **params})

    def rows(self, rows):
        return Form(self.pair, self.X[rows], {k: v[rows] for k, v in self.items()})

    def items(self):
        return self.metadata.items()

    def step(self, name):
        """Metadata for the fit of a pipeline, as scikit-learn wants it just now."""
        return {name + key: value for key, value in self.items()}


FORMS = {
    "column": Form(-1, np.column_stack([X, SITE]), {}),
    "sample_domain": Form(None, X, {"sample_domain": SITE}),
}


def direct(train=slice(None), test=slice(None), features=X, **params):
    """Fit and predict by hand: the probabilities of the test rows."""
    model = TiedLogisticRegression(**{**TIE, **params})
    model.fit(features[train], Y[train], sample_domain=SITE[train])
    return model.predict_proba(features[test], sample_domain=SITE[test])


def accuracy(proba, y):
    return np.mean(proba.argmax(axis=1) == y)


def folds(measure, **params):
    return [measure(direct(a, b, **params), Y[b]) for a, b in SPLITS]


def losses(proba, y):
    return -log_loss(y, proba)


# --- The routes. Each raises what scikit-learn or sktie raises, or compares with the
# --- same computation by hand.


def by_hand(form, routing):
    model = form.model().fit(form.X, Y, **form.metadata)
    proba = model.predict_proba(form.X, **form.metadata)
    assert_allclose(proba, direct(), rtol=1e-6)
    assert_array_equal(model.predict(form.X, **form.metadata), proba.argmax(axis=1))
    score = model.score(form.X, Y, **form.metadata)
    assert score == pytest.approx(accuracy(proba, Y))


def _pipeline(form, routing):
    names = list(range(P))
    scale = ColumnTransformer(
        [("scale", StandardScaler(), names)], remainder="passthrough"
    )
    pipe = Pipeline([("scale", scale), ("tied", form.model())])
    metadata = form.metadata if routing else form.step("tied__")
    return pipe.fit(form.X, Y, **metadata)


def pipeline_predict(form, routing):
    pipe = _pipeline(form, routing)
    expected = direct(features=StandardScaler().fit_transform(X))
    assert_allclose(pipe.predict_proba(form.X, **form.metadata), expected, rtol=1e-6)
    predicted = pipe.predict(form.X, **form.metadata)
    assert_array_equal(predicted, expected.argmax(axis=1))


def pipeline_score(form, routing):
    pipe = _pipeline(form, routing)
    expected = direct(features=StandardScaler().fit_transform(X))
    metadata = form.metadata if routing else {}
    assert pipe.score(form.X, Y, **metadata) == pytest.approx(accuracy(expected, Y))


def scaler_and_frames(form, routing):
    pd = pytest.importorskip("pandas")
    names = ["age", "bp", "chol"]
    frame = pd.DataFrame(X, columns=names)
    if form.pair is not None:
        frame.insert(1, "site", np.array(["s", "t", "u"])[SITE])
    scale = ColumnTransformer(
        [("scale", StandardScaler(), names)],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    pair = None if form.pair is None else "site"
    pipe = Pipeline([("scale", scale), ("tied", form.model(pair=pair))])
    metadata = form.metadata if routing else form.step("tied__")
    proba = pipe.fit(frame, Y, **metadata).predict_proba(frame, **form.metadata)
    expected = direct(features=StandardScaler().fit_transform(X))
    assert_allclose(proba, expected, rtol=1e-6)
    assert_array_equal(pipe[-1].coef_feature_names_, names)


def search(form, routing):
    last = P if form.pair is not None else None
    grid = {"tie": [0.0, 10.0], "C": [0.01, 1.0], "pair": [form.pair, last]}
    found = GridSearchCV(form.model(), grid, cv=SPLITS, error_score="raise")
    found.fit(form.X, Y, **form.metadata)
    rows = zip(
        found.cv_results_["params"], found.cv_results_["mean_test_score"], strict=True
    )
    for row, score in rows:
        expected = np.mean(folds(accuracy, tie=row["tie"], C=row["C"]))
        assert score == pytest.approx(expected)
    best = {name: found.best_params_[name] for name in ("tie", "C")}
    proba = found.best_estimator_.predict_proba(form.X, **form.metadata)
    assert_allclose(proba, direct(**best), rtol=1e-6)


def search_log_loss(form, routing):
    found = GridSearchCV(
        form.model(),
        {"tie": [0.0, 10.0]},
        cv=SPLITS,
        scoring="neg_log_loss",
        error_score="raise",
    )
    found.fit(form.X, Y, **form.metadata)
    expected = [np.mean(folds(losses, tie=tie)) for tie in (0.0, 10.0)]
    assert_allclose(found.cv_results_["mean_test_score"], expected, rtol=1e-6)


def _cross_val_score(form, scoring):
    return cross_val_score(
        form.model(),
        form.X,
        Y,
        cv=SPLITS,
        scoring=scoring,
        params=form.metadata or None,
        error_score="raise",
    )


def score_folds(form, routing):
    assert_allclose(_cross_val_score(form, None), folds(accuracy))


def score_folds_log_loss(form, routing):
    assert_allclose(_cross_val_score(form, "neg_log_loss"), folds(losses), rtol=1e-6)


def predict_folds(form, routing):
    proba = cross_val_predict(
        form.model(),
        form.X,
        Y,
        cv=SPLITS,
        method="predict_proba",
        params=form.metadata or None,
    )
    for train, test in SPLITS:
        assert_allclose(proba[test], direct(train, test), rtol=1e-6)


def calibration(form, routing):
    model = CalibratedClassifierCV(form.model(), cv=SPLITS, ensemble=True)
    proba = model.fit(form.X, Y, **form.metadata).predict_proba(form.X)
    parts = []
    for (train, test), fitted in zip(
        SPLITS, model.calibrated_classifiers_, strict=True
    ):
        part = form.rows(train)
        alone = part.model().fit(part.X, Y[train], **part.metadata)
        assert_allclose(fitted.estimator.coef_, alone.coef_, rtol=1e-6)
        raw = alone.decision_function(form.X)
        parts.append(fitted.calibrators[0].predict(raw))
        assert len(test) < N
    assert_allclose(proba[:, 1], np.mean(parts, axis=0), rtol=1e-6)


def importance(form, routing):
    model = form.model().fit(form.X, Y, **form.metadata)
    result = permutation_importance(model, form.X, Y, n_repeats=2, random_state=0)
    assert result.importances.shape == (P + 1, 2)
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max + 1)
    order = np.arange(N)
    np.random.RandomState(seed).shuffle(order)
    alone = TiedLogisticRegression(**TIE).fit(X, Y, sample_domain=SITE)
    baseline = alone.score(X, Y, sample_domain=SITE)
    # Shuffled domains cost accuracy as shuffled features do.
    for column, found in enumerate(result.importances[:, 0]):
        data = form.X.copy()
        data[:, column] = data[order, column]
        score = alone.score(data[:, :P], Y, sample_domain=data[:, -1])
        assert found == pytest.approx(baseline - score)


def copies(form, routing):
    fitted = clone(form.model()).fit(form.X, Y, **form.metadata)
    again = pickle.loads(pickle.dumps(fitted))
    proba = again.predict_proba(form.X, **form.metadata)
    assert_allclose(proba, direct(), rtol=1e-6)


@dataclass(frozen=True)
class Route:
    """A route and its outcome for each form, by default and with routing on."""

    run: Callable[[Form, bool], None]
    column: tuple[str, str]
    sample_domain: tuple[str, str]


WORKS, ERROR = "works", "error"
ALWAYS, NEVER, ROUTED = (WORKS, WORKS), (ERROR, ERROR), (ERROR, WORKS)
ROUTES = {
    "direct call": Route(by_hand, ALWAYS, ALWAYS),
    "Pipeline: fit, predict, predict_proba": Route(pipeline_predict, ALWAYS, ALWAYS),
    "Pipeline: score": Route(pipeline_score, ALWAYS, ROUTED),
    "ColumnTransformer, data frames": Route(scaler_and_frames, ALWAYS, ALWAYS),
    "GridSearchCV, scoring=None": Route(search, ALWAYS, ROUTED),
    "GridSearchCV, any other scoring": Route(search_log_loss, ALWAYS, NEVER),
    "cross_val_score, scoring=None": Route(score_folds, ALWAYS, ROUTED),
    "cross_val_score, any other scoring": Route(score_folds_log_loss, ALWAYS, NEVER),
    "cross_val_predict": Route(predict_folds, ALWAYS, NEVER),
    "CalibratedClassifierCV": Route(calibration, ALWAYS, NEVER),
    "permutation_importance": Route(importance, ALWAYS, NEVER),
    "clone, pickle": Route(copies, ALWAYS, ALWAYS),
}


@pytest.mark.parametrize("routing", [False, True], ids=["default", "routing"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ROUTES)
def test_the_route_works_or_names_the_column_form(name, form, routing):
    route = ROUTES[name]
    with config_context(enable_metadata_routing=routing):
        if getattr(route, form)[routing] == WORKS:
            route.run(FORMS[form], routing)
        else:
            with pytest.raises(ValueError, match="domain") as caught:
                route.run(FORMS[form], routing)
            for word in ("sample_domain", "column of X", "pair="):
                assert word in str(caught.value)


# --- The page.


@pytest.fixture
def page(root):
    """The source of docs/routes.rst."""
    path = root / "docs" / "routes.rst"
    if not path.exists():
        pytest.skip("the docs are not part of this tree")
    return path


def read_list_table(source):
    """Return the rows of the only list-table of a page, as lists of plain text."""
    body = source.split(".. list-table::")[1]
    rows = []
    for line in body.splitlines()[1:]:
        text = line.strip()
        if line and not line.startswith(" "):
            break
        if text.startswith("* - "):
            rows.append([text[4:]])
        elif text.startswith("- ") and rows:
            rows[-1].append(text[2:])
        elif text and rows:
            rows[-1][-1] += " " + text
    return [[" ".join(cell.replace("`", "").split()) for cell in row] for row in rows]


def test_the_table_of_the_page_is_this_table(page):
    header, *rows = read_list_table(page.read_text("utf-8"))
    assert len(header) == 5
    expected = [
        [name, *route.column, *route.sample_domain] for name, route in ROUTES.items()
    ]
    assert rows == expected


def test_the_snippets_of_the_page_run(page):
    pytest.importorskip("pandas")
    results = doctest.testfile(
        str(page), module_relative=False, optionflags=doctest.ELLIPSIS
    )
    assert results.attempted > 10
    assert results.failed == 0
