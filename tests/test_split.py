"""LabeledSplit, and searches over models that learn from rows without labels."""

import numpy as np
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    PredefinedSplit,
    RandomizedSearchCV,
    RepeatedStratifiedKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sktie import KMeansPrior, TiedLogisticRegression, TiedMLPClassifier
from sktie.model_selection import LabeledSplit

# Three classes of two blobs each, with four labels a class; the rest is marked.
N = 240
X, Y = make_blobs(
    N, centers=6, n_features=10, cluster_std=2, center_box=(-5, 5), random_state=0
)
Y = Y % 3
SEEN = np.full(N, -1)
for label in range(3):
    chosen = np.random.default_rng(label).permutation(np.flatnonzero(label == Y))[:4]
    SEEN[chosen] = label
KNOWN = np.flatnonzero(SEEN != -1)
REST = np.flatnonzero(SEEN == -1)
GROUPS = np.random.default_rng(9).integers(0, 5, N)

SPLITTERS = {
    "default": (None, 5),
    "integer": (3, 3),
    "kfold": (KFold(4), 4),
    "shuffled": (StratifiedKFold(2, shuffle=True, random_state=0), 2),
    "repeated": (RepeatedStratifiedKFold(n_splits=2, n_repeats=3, random_state=0), 6),
    "random": (StratifiedShuffleSplit(4, test_size=6, random_state=0), 4),
    "one": (LeaveOneOut(), 12),
    "groups": (GroupKFold(3), 3),
    "one group": (LeaveOneGroupOut(), len(np.unique(GROUPS[KNOWN]))),
    "predefined": (PredefinedSplit(np.arange(12) % 4), 4),
    "iterable": ([(np.arange(6), np.arange(6, 12)), (np.arange(6, 12), [0, 5])], 2),
}
splitters = pytest.mark.parametrize("name", list(SPLITTERS))


def splits(cv, y=SEEN, groups=None, **kwargs):
    """All splits, as a list."""
    return list(LabeledSplit(cv, **kwargs).split(np.zeros((len(y), 1)), y, groups))


# --- The splits


@splitters
def test_every_splitter_splits_the_labelled_rows_as_if_they_were_all(name):
    cv, n_splits = SPLITTERS[name]
    y = SEEN.copy()
    if name == "default":  # five folds need five labels of each class
        y[REST[:12]] = Y[REST[:12]]
    known = np.flatnonzero(y != -1)
    grouped = name in ("groups", "one group")
    groups = GROUPS if grouped else None
    expected = cv
    if not isinstance(cv, list):
        splitter = StratifiedKFold(n_splits) if cv in (None, 3) else cv
        alone = groups[known] if grouped else None
        expected = splitter.split(X[known], y[known], alone)
    found = splits(5 if cv is None else cv, y, groups)
    assert len(found) == n_splits
    for (train, test), (ours, scored) in zip(expected, found, strict=True):
        assert_array_equal(scored, known[test])
        rest = np.flatnonzero(y == -1)
        assert_array_equal(ours, np.sort(np.concatenate([known[train], rest])))


@splitters
def test_the_number_of_splits_is_known_before(name):
    cv, n_splits = SPLITTERS[name]
    splitter = LabeledSplit() if cv is None else LabeledSplit(cv)
    assert splitter.get_n_splits(X, SEEN, GROUPS) == n_splits
    if name not in ("one", "one group"):
        assert splitter.get_n_splits() == n_splits


@given(
    y=st.lists(st.integers(-1, 2), min_size=8, max_size=40),
    n_splits=st.integers(2, 4),
    shuffle=st.booleans(),
)
def test_folds_part_the_labelled_rows_and_keep_the_others(y, n_splits, shuffle):
    y = np.array(y)
    y[: 4 * 3] = np.resize([0, 1, 2], len(y[: 4 * 3]))
    y = np.concatenate([y, [0, 1, 2] * 4])
    seed = 0 if shuffle else None
    cv = StratifiedKFold(n_splits, shuffle=shuffle, random_state=seed)
    tested = []
    for train, test in splits(cv, y):
        assert np.all(np.diff(train) > 0)
        assert set(np.flatnonzero(y == -1)) <= set(train)
        assert not set(train) & set(test)
        assert set(train) | set(test) == set(range(len(y)))
        tested += test.tolist()
        for label in range(3):
            share = np.sum(y == label) / n_splits
            assert abs(np.sum(y[test] == label) - share) < 1
    assert_array_equal(np.sort(tested), np.flatnonzero(y != -1))


def test_integers_make_stratified_folds():
    # Sorted classes: plain folds would hold one class each.
    y = np.repeat([0, 1, -1, 2], [6, 6, 20, 6])
    for train, test in splits(3, y):
        assert_array_equal(np.bincount(y[test]), [2, 2, 2])
        assert_array_equal(np.bincount(y[train] + 1), [20, 4, 4, 4])


@pytest.mark.parametrize("kind", ["list", "strings", "objects", "pandas", "polars"])
def test_labels_may_come_in_any_container(kind):
    words = np.array(["none", "a", "b", "c"])[SEEN + 1]
    y, mark = {
        "list": (SEEN.tolist(), -1),
        "strings": (words, "none"),
        "objects": (words.astype(object), "none"),
        "pandas": (words, "none"),
        "polars": (words, "none"),
    }[kind]
    if kind in ("pandas", "polars"):
        y = pytest.importorskip(kind).Series(y.tolist())
    for (train, test), expected in zip(
        splits(2, y, unlabeled=mark), splits(2), strict=True
    ):
        assert_array_equal(train, expected[0])
        assert_array_equal(test, expected[1])


def test_rows_that_are_all_labelled_are_split_as_usual():
    for found, expected in zip(
        splits(3, Y), StratifiedKFold(3).split(X, Y), strict=True
    ):
        assert_array_equal(found[0], expected[0])
        assert_array_equal(found[1], expected[1])


# --- The object


def test_it_is_cloned_and_shown_as_other_objects_of_scikit_learn():
    cv = StratifiedKFold(3, shuffle=True)
    splitter = LabeledSplit(cv, unlabeled="none")
    assert repr(LabeledSplit()) == "LabeledSplit()"
    assert repr(LabeledSplit(3, unlabeled="none")) == (
        "LabeledSplit(cv=3, unlabeled='none')"
    )
    assert splitter.get_params(deep=False) == {"cv": cv, "unlabeled": "none"}
    copy = clone(splitter)
    assert copy is not splitter
    assert copy.unlabeled == "none"
    assert repr(copy.cv) == repr(cv)
    assert splitter.set_params(unlabeled=-1).unlabeled == -1


@pytest.mark.parametrize(
    ("cv", "mark", "rows", "y", "words"),
    [
        (2, -1, 239, SEEN, "239 rows.*240 labels"),
        (2, "none", N, SEEN, "unlabeled='none'.*numbers"),
        (2, -1, N, SEEN.astype(str), "unlabeled=-1.*strings"),
        (2, -1, N, np.full(N, -1), "no labelled row.*240.*unlabeled=-1"),
        ("five", -1, N, SEEN, "cv.*five"),
        (7, -1, N, SEEN, "n_splits=7"),
    ],
)
def test_what_cannot_be_split_is_an_error(cv, mark, rows, y, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        next(LabeledSplit(cv, unlabeled=mark).split(X[:rows], y))


def test_groups_of_another_length_are_an_error():
    with pytest.raises(ValueError, match=r"inconsistent|groups"):
        splits(GroupKFold(2), groups=GROUPS[:-10])


def test_an_iterator_is_an_error_as_it_could_be_read_only_once():
    once = iter([(np.arange(6), np.arange(6, 12))])
    with pytest.raises(ValueError, match="list"):
        GridSearchCV(model(), {"tie": [1.0]}, cv=LabeledSplit(once)).fit(X, SEEN)


# --- In searches


class Spy(KMeansPrior):
    """Keeps what its clones were fitted on."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y=None, sample_weight=None):
        Spy.seen.append(np.array(X))
        return super().fit(X, y, sample_weight)


@pytest.fixture(autouse=True)
def _forget():
    Spy.seen.clear()


def model(prior=None, **kwargs):
    prior = KMeansPrior(24, random_state=0) if prior is None else prior
    return TiedLogisticRegression(prior, **({"tie": 10.0, "unlabeled": -1} | kwargs))


def pipeline(*args, **kwargs):
    steps = [("scale", StandardScaler()), ("model", model(*args, **kwargs))]
    return Pipeline(steps)


def test_grid_search_chooses_prior_code_and_tie_by_labelled_rows():
    scored = []

    def accuracy(estimator, X, y):
        scored.append(np.array(y))
        return estimator.score(X, y)

    grid = {
        "model__pair__n_clusters": [2, 24],
        "model__pair__code": ["one-hot", "soft"],
        "model__tie": [0.0, 10.0],
    }
    cv = LabeledSplit(4)
    search = GridSearchCV(pipeline(), grid, cv=cv, scoring=accuracy).fit(X, SEEN)
    assert search.n_splits_ == 4
    assert len(scored) == 4 * 8
    for y in scored:
        assert_array_equal(np.bincount(y), [1, 1, 1])
    # Two clusters cannot tell six blobs apart, and without a tie none help.
    assert search.best_params_["model__pair__n_clusters"] == 24
    assert search.best_params_["model__tie"] == 10.0
    best = search.best_estimator_
    assert best["model"].prior_.n_clusters == 24
    assert_array_equal(best.classes_, [0, 1, 2])
    assert search.score(X, Y) > 0.85
    # The code of `transform` is of no matter to a model that is tied to the prior.
    results = search.cv_results_
    by_code = [
        results["mean_test_score"][results["param_model__pair__code"] == code]
        for code in ("one-hot", "soft")
    ]
    assert_array_equal(*by_code)


def test_every_training_fold_has_all_unlabelled_rows():
    cross_val_score(model(Spy(6, random_state=0)), X, SEEN, cv=LabeledSplit(4))
    assert [len(rows) for rows in Spy.seen] == [len(REST) + 9] * 4
    rest = {row.tobytes() for row in X[REST]}
    for rows in Spy.seen:
        assert rest <= {row.tobytes() for row in rows}


def test_plain_folds_score_the_marks_as_a_class_that_is_never_predicted():
    plain = cross_val_score(pipeline(), X, SEEN, cv=StratifiedKFold(4))
    assert plain.max() <= len(KNOWN) / len(X)
    ours = cross_val_score(pipeline(), X, SEEN, cv=LabeledSplit(4))
    assert ours.mean() > 0.8


def test_scores_are_those_of_a_loop_written_out():
    scores = cross_val_score(pipeline(), X, SEEN, cv=LabeledSplit(4))
    for score, (_, test) in zip(
        scores, StratifiedKFold(4).split(KNOWN, SEEN[KNOWN]), strict=True
    ):
        y = SEEN.copy()
        y[KNOWN[test]] = -1
        train = np.setdiff1d(np.arange(N), KNOWN[test])
        fitted = pipeline().fit(X[train], y[train])
        assert score == fitted.score(X[KNOWN[test]], SEEN[KNOWN[test]])


def test_any_scorer_works():
    scoring = {
        "f1": make_scorer(f1_score, average="macro"),
        "log": "neg_log_loss",
        "area": "roc_auc_ovr",
        "accuracy": "accuracy",
    }
    found = cross_validate(
        pipeline(), X, SEEN, cv=LabeledSplit(4), scoring=scoring, error_score="raise"
    )
    for name in scoring:
        assert np.isfinite(found[f"test_{name}"]).all()
    assert found["test_f1"].mean() > 0.8
    assert found["test_area"].mean() > 0.9


def test_random_search_and_shuffled_folds():
    search = RandomizedSearchCV(
        pipeline(),
        {"model__tie": loguniform(1, 1e2), "model__pair__n_clusters": [12, 24]},
        n_iter=4,
        cv=LabeledSplit(StratifiedKFold(4, shuffle=True, random_state=0)),
        random_state=0,
        error_score="raise",
    ).fit(X, SEEN)
    assert search.best_score_ > 0.7
    assert search.score(X, Y) > 0.8


def test_words_as_labels_go_through_a_search():
    words = np.array(["none", "a", "b", "c"])[SEEN + 1]
    cv = LabeledSplit(2, unlabeled="none")
    search = GridSearchCV(
        pipeline(unlabeled="none"), {"model__tie": [1.0, 10.0]}, cv=cv
    ).fit(X, words)
    numbers = GridSearchCV(
        pipeline(), {"model__tie": [1.0, 10.0]}, cv=LabeledSplit(2)
    ).fit(X, SEEN)
    assert_array_equal(search.classes_, ["a", "b", "c"])
    assert_array_equal(
        search.cv_results_["mean_test_score"], numbers.cv_results_["mean_test_score"]
    )


def test_networks_go_through_a_search():
    network = TiedMLPClassifier(
        KMeansPrior(random_state=0), tie=np.inf, unlabeled=-1, max_iter=200
    )
    grid = {"pair__n_clusters": [2, 24], "tie_output": [0.0, 1.0]}
    search = GridSearchCV(network, grid, cv=LabeledSplit(4), error_score="raise")
    search.fit(X, SEEN)
    assert search.best_params_["pair__n_clusters"] == 24
    assert search.score(X, Y) > 0.9


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("cv", [GroupKFold(2), LeaveOneGroupOut()], ids=str)
def test_groups_are_kept_together(cv, routing):
    scored = []

    def accuracy(estimator, X, y):
        scored.append(X)
        return estimator.score(X, y)

    with sklearn.config_context(enable_metadata_routing=routing):
        GridSearchCV(
            model(),
            {"tie": [1.0]},
            cv=LabeledSplit(cv),
            scoring=accuracy,
            error_score="raise",
        ).fit(X, SEEN, groups=GROUPS)
    place = {row.tobytes(): i for i, row in enumerate(X)}
    folds = [{GROUPS[place[row.tobytes()]] for row in rows} for rows in scored]
    assert sum(map(len, folds)) == len(set(GROUPS[KNOWN]))
    assert set.union(*folds) == set(GROUPS[KNOWN])


# --- The other way: X_unlabeled


@pytest.mark.parametrize("routing", [False, True])
def test_more_rows_of_another_number_go_whole_into_every_fit_of_a_search(routing):
    more = X[REST]
    assert len(more) != len(KNOWN)
    with sklearn.config_context(enable_metadata_routing=routing):
        estimator = model(Spy(24, random_state=0), unlabeled=None)
        if routing:
            estimator.set_fit_request(X_unlabeled=True)
        search = GridSearchCV(estimator, {"tie": [1.0]}, cv=2)
        search.fit(X[KNOWN], Y[KNOWN], X_unlabeled=more)
    assert [len(rows) for rows in Spy.seen] == [6 + len(more)] * 2 + [12 + len(more)]
    for rows in Spy.seen:
        assert_array_equal(rows[-len(more) :], more)
    assert search.score(X, Y) > 0.8


@pytest.mark.parametrize("routing", [False, True])
def test_more_rows_of_the_same_number_are_cut_like_the_rows_themselves(routing):
    # scikit-learn takes them for one item a row: this is why the docs prefer marks.
    more = X[REST[:12]]
    with sklearn.config_context(enable_metadata_routing=routing):
        estimator = model(Spy(3, random_state=0), unlabeled=None)
        if routing:
            estimator.set_fit_request(X_unlabeled=True)
        GridSearchCV(estimator, {"tie": [1.0]}, cv=2).fit(
            X[KNOWN], Y[KNOWN], X_unlabeled=more
        )
    assert [len(rows) for rows in Spy.seen] == [12, 12, 24]
    for rows, (train, _) in zip(
        Spy.seen[:2], StratifiedKFold(2).split(X[KNOWN], Y[KNOWN]), strict=True
    ):
        assert_array_equal(rows[6:], more[train])


@pytest.mark.parametrize("routing", [False, True])
def test_steps_of_a_pipeline_do_not_transform_more_rows(routing):
    more = X[REST]
    with sklearn.config_context(enable_metadata_routing=routing):
        both = pipeline(Spy(6, random_state=0), unlabeled=None)
        if routing:
            both["model"].set_fit_request(X_unlabeled=True)
            both.fit(X[KNOWN], Y[KNOWN], X_unlabeled=more)
        else:
            both.fit(X[KNOWN], Y[KNOWN], model__X_unlabeled=more)
    (rows,) = Spy.seen
    scaled = StandardScaler().fit_transform(X[KNOWN])
    assert_array_equal(rows, np.vstack([scaled, more]))


def test_with_marks_the_steps_of_a_pipeline_see_all_rows():
    pipeline(Spy(6, random_state=0)).fit(X, SEEN)
    assert_array_equal(Spy.seen[0], StandardScaler().fit_transform(X))


def test_routing_asks_for_a_request_by_name():
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(model(unlabeled=None), {"tie": [1.0]}, cv=2)
        with pytest.raises(ValueError, match=r"X_unlabeled.*set_fit_request"):
            search.fit(X[KNOWN], Y[KNOWN], X_unlabeled=X[REST])


def test_clusters_help_where_labels_are_few():
    alone = LogisticRegression().fit(X[KNOWN], Y[KNOWN]).score(X[REST], Y[REST])
    grid = {"model__tie": [0.0, 10.0]}
    search = GridSearchCV(pipeline(), grid, cv=LabeledSplit(4)).fit(X, SEEN)
    assert search.score(X[REST], Y[REST]) > alone + 0.1


def test_labels_must_be_given():
    with pytest.raises(ValueError, match=r"got y=None; expected labels.*-1.*KFold"):
        next(LabeledSplit(3).split(X, None))
