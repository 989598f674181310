"""Everything of scikit-learn that takes an estimator, and what comes of it.

Each route raises what scikit-learn or sktie raises, or compares with the same
computation by hand.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.inspection import (
    DecisionBoundaryDisplay,
    PartialDependenceDisplay,
    permutation_importance,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, mean_absolute_error
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    learning_curve,
    validation_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tests.kinds import KINDS, NAMES, SPLITS, WORDS, Y3, N, P, X

SCALED = StandardScaler().fit_transform(X)


def close(found, expected):
    assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def other(kind):
    """Return the name of a scorer that is not the estimator's own, and its function."""
    if kind.is_classifier:
        return "balanced_accuracy", balanced_accuracy_score
    return "neg_mean_absolute_error", lambda y, found: -mean_absolute_error(y, found)


def direct(form, routing):
    model = form.model().fit(form.X, form.kind.y, **form.metadata)
    values = getattr(model, form.kind.values)(form.X, **form.metadata)
    close(values, form.values())
    score = model.score(form.X, form.kind.y, **form.metadata)
    everything = [(slice(None), slice(None))]
    close([score], form.folds(splits=everything))


def _pipeline(form, routing, first, expected):
    """Return a pipeline, and the features that its last step sees."""
    pipe = Pipeline([("first", first), ("tied", form.model())])
    pipe.fit(form.X, form.kind.y, **form.step("tied__", routing))
    features = pipe[:-1].transform(form.X)[:, :P]
    assert_allclose(features, expected)
    return pipe, features


def _scaler():
    features = [("scale", StandardScaler(), list(range(P)))]
    return ColumnTransformer(features, remainder="passthrough")


def pipeline_predict(form, routing):
    pipe, features = _pipeline(form, routing, _scaler(), SCALED)
    found = getattr(pipe, form.kind.values)(form.X, **form.metadata)
    close(found, form.values(features=features))


def pipeline_score(form, routing):
    pipe, features = _pipeline(form, routing, _scaler(), SCALED)
    score = pipe.score(form.X, form.kind.y, **(form.metadata if routing else {}))
    model, labels = form.by_hand(features=features), form.labels(slice(None))
    assert score == pytest.approx(model.score(features, form.kind.y, **labels))


def frames(form, routing):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=NAMES)
    pair = form.pair
    if form.name == "column":
        frame.insert(1, "site", WORDS[form.domains])
        pair = "site"
    scale = ColumnTransformer(
        [("scale", StandardScaler(), NAMES)],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    pipe = Pipeline([("scale", scale), ("tied", form.model(pair=pair))])
    pipe.fit(frame, form.kind.y, **form.step("tied__", routing))
    found = getattr(pipe, form.kind.values)(frame, **form.metadata)
    features = pipe[:-1].transform(frame)[NAMES].to_numpy()
    assert_allclose(features, SCALED)
    close(found, form.values(features=features))


def _last(rows):
    return rows[:, P:]


def union(form, routing):
    """Two views of the features side by side; the column after both."""
    scaled = ColumnTransformer([("scale", StandardScaler(), list(range(P - 1)))])
    absolute = ColumnTransformer([("abs", FunctionTransformer(np.abs), [P - 1])])
    parts = [("scaled", scaled), ("absolute", absolute)]
    if form.name == "column":
        parts.append(("site", FunctionTransformer(_last)))
    expected = np.column_stack([SCALED[:, : P - 1], np.abs(X[:, P - 1])])
    pipe, features = _pipeline(form, routing, FeatureUnion(parts), expected)
    found = getattr(pipe, form.kind.values)(form.X, **form.metadata)
    close(found, form.values(features=features))


def _check_search(form, found, measure=None, last=False):
    """Compare scores of settings, and the model that was chosen, with those by hand."""
    results, rows = found.cv_results_, slice(None)
    if last:  # Of halving: only its last round sees all rows.
        rows = results["n_resources"] == N
    settings = np.array(results["params"])[rows]
    expected = [np.mean(form.folds(measure, **params)) for params in settings]
    close(results["mean_test_score"][rows], expected)
    best = found.best_estimator_
    values = getattr(best, form.kind.values)(form.X, **form.metadata)
    close(values, form.values(**found.best_params_))


def _search(form, scoring=None):
    found = GridSearchCV(
        form.model(), form.kind.grid, cv=SPLITS, error_score="raise", scoring=scoring
    )
    return found.fit(form.X, form.kind.y, **form.metadata)


def grid_search(form, routing):
    _check_search(form, _search(form))


def grid_search_scoring(form, routing):
    scoring, measure = other(form.kind)
    _check_search(form, _search(form, scoring), measure)


def halving(form, routing):
    found = HalvingGridSearchCV(
        form.model(),
        form.kind.grid,
        cv=SPLITS,
        factor=2,
        min_resources=30,
        random_state=0,
        error_score="raise",
    )
    found.fit(form.X, form.kind.y, **form.metadata)
    assert found.n_resources_ == [30, N]
    _check_search(form, found, last=True)


def random_search(form, routing):
    found = RandomizedSearchCV(
        form.model(),
        {"tie": loguniform(1e-2, 1e2)},
        n_iter=2,
        cv=SPLITS,
        random_state=0,
        error_score="raise",
    )
    _check_search(form, found.fit(form.X, form.kind.y, **form.metadata))


def _cross_val_score(form, scoring):
    return cross_val_score(
        form.model(),
        form.X,
        form.kind.y,
        cv=SPLITS,
        scoring=scoring,
        params=form.metadata or None,
        error_score="raise",
    )


def score_folds(form, routing):
    close(_cross_val_score(form, None), form.folds())


def score_folds_scoring(form, routing):
    scoring, measure = other(form.kind)
    close(_cross_val_score(form, scoring), form.folds(measure))


def _predict_folds(form):
    """Return what each row's fold says of it, by hand."""
    parts = [form.values(train, test) for train, test in SPLITS]
    found = np.empty((N, *parts[0].shape[1:]))
    for (_, test), part in zip(SPLITS, parts, strict=True):
        found[test] = part
    return found


def predict_folds(form, routing):
    found = cross_val_predict(
        form.model(),
        form.X,
        form.kind.y,
        cv=SPLITS,
        method=form.kind.values,
        params=form.metadata or None,
    )
    close(found, _predict_folds(form))


def curve_of_rows(form, routing):
    sizes, _, found = learning_curve(
        form.model(),
        form.X,
        form.kind.y,
        cv=SPLITS,
        train_sizes=[30, 40],
        params=form.metadata or None,
        error_score="raise",
    )
    for size, scores in zip(sizes, found, strict=True):
        splits = [(train[:size], test) for train, test in SPLITS]
        close(scores, form.folds(splits=splits))


def curve_of_values(form, routing):
    ((name, values),) = form.kind.grid.items()
    _, found = validation_curve(
        form.model(),
        form.X,
        form.kind.y,
        param_name=name,
        param_range=values,
        cv=SPLITS,
        params=form.metadata or None,
        error_score="raise",
    )
    for value, scores in zip(values, found, strict=True):
        close(scores, form.folds(**{name: value}))


def _columns(values):
    """Return values as columns of numbers: of two probabilities the second."""
    return values[:, 1:] if values.ndim == 2 else values[:, np.newaxis]


def stacking(form, routing):
    classifier = form.kind.is_classifier
    stack = StackingClassifier if classifier else StackingRegressor
    final = LogisticRegression(tol=1e-10) if classifier else Ridge()
    model = stack([("tied", form.model())], final, cv=SPLITS)
    model.fit(form.X, form.kind.y, **form.metadata)
    final.fit(_columns(_predict_folds(form)), form.kind.y)
    ask = "predict_proba" if classifier else "predict"
    close(getattr(model, ask)(form.X), getattr(final, ask)(_columns(form.values())))


def voting(form, routing):
    ((name, values),) = form.kind.grid.items()
    chosen = [{name: value} for value in values]
    named = [(str(k), form.model(**params)) for k, params in enumerate(chosen)]
    if not form.kind.is_classifier:
        model = VotingRegressor(named)
    elif form.kind.has_scores:
        model = VotingClassifier(named, voting="soft")
    else:
        model, chosen = VotingClassifier(named[:1]), chosen[:1]
    model.fit(form.X, form.kind.y, **form.metadata)
    ask = form.kind.values
    expected = np.mean([form.values(**params) for params in chosen], axis=0)
    close(getattr(model, ask)(form.X), expected)


def calibration(form, routing):
    model = CalibratedClassifierCV(form.model(), cv=SPLITS, ensemble=True)
    model.fit(form.X, form.kind.y, **form.metadata)
    raw = hasattr(form.model(), "decision_function")
    parts = []
    for (train, _), fitted in zip(SPLITS, model.calibrated_classifiers_, strict=True):
        values = form.values(train, method="decision_function") if raw else None
        values = form.values(train)[:, 1] if values is None else values
        parts.append(fitted.calibrators[0].predict(values))
    close(model.predict_proba(form.X)[:, 1], np.mean(parts, axis=0))


def one_against_the_rest(form, routing):
    model = OneVsRestClassifier(form.model()).fit(form.X, Y3, **form.metadata)
    parts = [form.values(y=(k == Y3).astype(int))[:, 1] for k in range(3)]
    expected = np.column_stack(parts)
    close(model.predict_proba(form.X), expected / expected.sum(axis=1, keepdims=True))


def bagging(form, routing):
    bag = BaggingClassifier if form.kind.is_classifier else BaggingRegressor
    model = bag(form.model(), n_estimators=2, random_state=0)
    model.fit(form.X, form.kind.y, **form.metadata)
    found = getattr(model, form.kind.values)(form.X)
    # The clones of a bag have seeds of their own.
    members = zip(model.estimators_, model.estimators_samples_, strict=True)
    parts = [form.again(member, rows) for member, rows in members]
    if not form.kind.is_classifier or form.kind.has_scores:
        close(found, np.mean(parts, axis=0))
    else:
        assert_array_equal(found, np.mean(parts, axis=0) > 0.5)


def importance(form, routing):
    model = form.model().fit(form.X, form.kind.y, **form.metadata)
    result = permutation_importance(
        model, form.X, form.kind.y, n_repeats=2, random_state=0
    )
    assert result.importances.shape == (form.X.shape[1], 2)
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max + 1)
    order = np.arange(N)
    np.random.RandomState(seed).shuffle(order)
    alone, y = form.by_hand(), form.kind.y
    baseline = alone.score(form.features, y, **form.labels(slice(None)))
    # Shuffled domains cost accuracy as shuffled features do.
    for column, found in enumerate(result.importances[:, 0]):
        data = form.X.copy()
        data[:, column] = data[order, column]
        domain = {} if form.domains is None else {"sample_domain": data[:, -1]}
        assert found == pytest.approx(baseline - alone.score(data[:, :P], y, **domain))


def partial_dependence(form, routing):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    model = form.model().fit(form.X, form.kind.y, **form.metadata)
    display = PartialDependenceDisplay.from_estimator(
        model, form.X, [1], grid_resolution=3, method="brute", response_method="auto"
    )
    plt.close(display.figure_)
    (found,) = display.pd_results
    alone = form.by_hand()
    for value, mean in zip(found["grid_values"][0], found["average"][0], strict=True):
        data = form.features.copy()
        data[:, 1] = value
        values = getattr(alone, form.kind.values)(data, **form.labels(slice(None)))
        assert mean == pytest.approx(_columns(values).mean())


def boundary(form, routing):
    """Two features; a model that has three is for `domain_estimator`."""
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    two = form.only([0, 1])
    params = {}
    if isinstance(form.pair, tuple):
        params["pair"] = form.pair[0][..., :2], form.pair[1]
    if form.kind is KINDS["SharedConvClassifier"] and form.name == "model":
        pair = form.pair.estimator
        params["pair"] = clone(pair).fit(X[::-1, :2], form.kind.y[::-1])
    model = form.model(**params).fit(two.X, form.kind.y, **form.metadata)
    display = DecisionBoundaryDisplay.from_estimator(
        model, two.X, response_method="predict", grid_resolution=5
    )
    plt.close(display.figure_)
    grid = np.column_stack([display.xx0.ravel(), display.xx1.ravel()])
    alone = form.by_hand(features=X[:, :2], **params)
    assert_array_equal(display.response.ravel(), alone.predict(grid))


def select(form, routing):
    chooser = SelectFromModel(form.model(), threshold="median")
    chooser.fit(form.X, form.kind.y, **form.metadata)
    size = np.abs(np.atleast_2d(form.by_hand().coef_)).max(axis=0)
    assert_array_equal(chooser.get_support(), size >= np.median(size))
    assert_array_equal(chooser.transform(form.X), X[:, size >= np.median(size)])


def eliminate(form, routing):
    column = form.name == "column"  # It counts among the features, and stays.
    chooser = RFE(form.model(), n_features_to_select=1 + column, step=1)
    chooser.fit(form.X, form.kind.y, **form.metadata)
    left = list(range(P))
    while len(left) > 1:
        coef = form.by_hand(features=form.features[:, left]).coef_
        left.pop(np.abs(np.atleast_2d(coef)).max(axis=0).argmin())
    expected = [*left, P] if column else left
    assert_array_equal(np.flatnonzero(chooser.support_), expected)


def copies(form, routing):
    fitted = clone(form.model()).fit(form.X, form.kind.y, **form.metadata)
    again = pickle.loads(pickle.dumps(fitted))
    close(getattr(again, form.kind.values)(form.X, **form.metadata), form.values())


@dataclass(frozen=True)
class Route:
    """A route, and what comes of it.

    Attributes
    ----------
    run : callable
        Of a form and whether metadata routing is on.
    sample_domain : tuple of str
        The outcome for labels beside X, by default and with routing on.
    needs : str
        The traits without which a kind of estimator has no such route, or, where it
        chooses its own tie in every one of many fits, a slow one.
    errors : dict of str to str
        For the other forms that do not work: what the message says.
    """

    run: Callable[..., None]
    sample_domain: tuple[str, str]
    needs: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    def outcome(self, form, routing=False):
        if form == "sample_domain":
            return self.sample_domain[routing]
        return ERROR if form in self.errors else WORKS


WORKS, ERROR = "works", "error"
ALWAYS, NEVER, ROUTED = (WORKS, WORKS), (ERROR, ERROR), (ERROR, WORKS)
ROUTES = {
    "direct call": Route(direct, ALWAYS),
    "Pipeline: fit, predict, predict_proba": Route(pipeline_predict, ALWAYS),
    "Pipeline: score": Route(pipeline_score, ROUTED),
    "ColumnTransformer, data frames": Route(frames, ALWAYS),
    "FeatureUnion": Route(union, ALWAYS),
    "GridSearchCV, scoring=None": Route(grid_search, ROUTED, "dial"),
    "GridSearchCV, any other scoring": Route(grid_search_scoring, NEVER, "dial"),
    "HalvingGridSearchCV, scoring=None": Route(halving, ROUTED, "dial"),
    "RandomizedSearchCV, scoring=None": Route(random_search, ROUTED, "tie"),
    "cross_val_score, scoring=None": Route(score_folds, ROUTED),
    "cross_val_score, any other scoring": Route(score_folds_scoring, NEVER),
    "cross_val_predict": Route(predict_folds, NEVER),
    "learning_curve, scoring=None": Route(curve_of_rows, ROUTED, "dial"),
    "validation_curve, scoring=None": Route(curve_of_values, ROUTED, "dial"),
    "StackingClassifier, StackingRegressor": Route(stacking, NEVER),
    "VotingClassifier, VotingRegressor": Route(voting, NEVER, "dial"),
    "CalibratedClassifierCV": Route(calibration, NEVER, "scores dial"),
    "OneVsRestClassifier": Route(one_against_the_rest, NEVER, "scores dial"),
    "BaggingClassifier, BaggingRegressor": Route(bagging, NEVER, "dial"),
    "permutation_importance": Route(importance, NEVER),
    "PartialDependenceDisplay": Route(partial_dependence, NEVER, "responds"),
    "DecisionBoundaryDisplay": Route(
        boundary, NEVER, "scores", {"column": "n_features must be equal to 2"}
    ),
    "SelectFromModel": Route(select, ALWAYS, "ranks", {"column": "boolean ind"}),
    "RFE": Route(
        eliminate, ALWAYS, "ranks", {"model": "pair has coefficients for 3 features"}
    ),
    "clone, pickle": Route(copies, ALWAYS),
}
