"""Tests of saving and loading: copies agree, versions are told, old files are read."""

import copy
import inspect
import io
import pickle
import warnings
from importlib import import_module

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning as ScikitLearnWarning

import sktie
from sktie import KMeansPrior, TiedLogisticRegression
from sktie.exceptions import InconsistentVersionWarning
from sktie.model_selection import LabeledSplit
from sktie.nn._adam import Adam
from tests.saved import FOLDER, PARTLY, UNFITTED, N, X, Y, answers, first, fitted

PUBLIC = [getattr(sktie, name) for name in sktie.__all__ if name[0].isupper()]
CLASSES = [thing for thing in PUBLIC if inspect.isclass(thing)]
ESTIMATORS = [one for one in CLASSES if issubclass(one, BaseEstimator)]
VERSIONS = sorted(folder.name for folder in FOLDER.iterdir())


def by_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def by_skops(model):
    skops = pytest.importorskip("skops.io")
    return skops.loads(skops.dumps(model), trusted=sktie.SKOPS_TRUSTED_TYPES)


WAYS = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "joblib": by_joblib,
    "skops": by_skops,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", UNFITTED)
def test_a_copy_answers_as_the_model_does(name, way):
    model, X, given = fitted(name)
    again = WAYS[way](model)
    assert type(again) is type(model)
    assert vars(again).keys() == vars(model).keys()
    assert repr(again) == repr(model)
    found, expected = answers(again, X, given), answers(model, X, given)
    assert found.keys() == expected.keys() != set()
    for method, array in expected.items():
        assert_array_equal(found[method], array)


# A shallow copy shares the moments with the model.
@pytest.mark.parametrize("way", ["pickle", "joblib", "skops", "deepcopy"])
@pytest.mark.parametrize("name", PARTLY)
def test_a_copy_goes_on_learning_as_the_model_does(name, way):
    X_some, more = X[:, :-1], {"classes": [0, 1]}
    if "classes" not in inspect.signature(PARTLY[name].partial_fit).parameters:
        more = {}
    model = copy.deepcopy(PARTLY[name])
    model.partial_fit(X_some[: N // 2], Y[: N // 2], **more)
    again = WAYS[way](model)
    for one in (model, again):
        one.partial_fit(X_some[N // 2 :], Y[N // 2 :])
    for method, array in answers(model, X_some, {}).items():
        assert_array_equal(answers(again, X_some, {})[method], array)


def test_every_public_class_is_tried():
    tried = {type(model) for model, *_ in UNFITTED.values()}
    assert set(ESTIMATORS) == tried


def test_trusted_types_are_all_public_classes_and_what_trainings_hold():
    ours = {name for name in sktie.SKOPS_TRUSTED_TYPES if name.startswith("sktie.")}
    classes = [*CLASSES, LabeledSplit, Adam]
    assert ours == {f"{one.__module__}.{one.__name__}" for one in classes}
    for name in sktie.SKOPS_TRUSTED_TYPES:
        module, _, kind = name.rpartition(".")
        assert inspect.isclass(getattr(import_module(module), kind))


@pytest.mark.parametrize("way", ["pickle", "joblib", "skops"])
@pytest.mark.parametrize("cls", [*ESTIMATORS, LabeledSplit])
def test_the_version_is_recorded_while_a_model_is_saved(cls, way, monkeypatch):
    model = cls(*["a", "b"][: 2 * (cls is sktie.TiedPair)])
    assert model.__getstate__()["_sktie_version"] == sktie.__version__
    assert "_sktie_version" not in vars(WAYS[way](model))

    def later(model):
        with monkeypatch.context() as patch:
            patch.setattr("sktie._persistence.__version__", "0.0.1")
            return pickle.dumps(model)

    with pytest.warns(InconsistentVersionWarning, match=r"sktie 0\.0\.1 and is"):
        pickle.loads(later(model))


def test_the_warning_names_model_and_versions(monkeypatch):
    saved = pickle.dumps(TiedLogisticRegression(tie=2.0))
    monkeypatch.setattr("sktie._persistence.__version__", "9.0")
    with pytest.warns(InconsistentVersionWarning) as caught:
        model = pickle.loads(saved)
    assert model.tie == 2.0
    (warning,) = caught
    assert warning.message.estimator_name == "TiedLogisticRegression"
    assert warning.message.original_version != "9.0"
    assert warning.message.current_version == "9.0"
    assert "TiedLogisticRegression was saved by sktie" in str(warning.message)
    assert "fit it again" in str(warning.message)


def test_every_model_within_a_model_is_named(monkeypatch):
    model, *_ = fitted("prior")
    saved = pickle.dumps(model)
    monkeypatch.setattr("sktie._persistence.__version__", "9.0")
    with pytest.warns(InconsistentVersionWarning) as caught:
        pickle.loads(saved)
    names = {warning.message.estimator_name for warning in caught}
    assert names == {"TiedLogisticRegression", "KMeansPrior"}


def test_a_model_of_before_versions_were_recorded_warns():
    model = KMeansPrior()
    with pytest.warns(InconsistentVersionWarning, match=r"sktie before 0\.1\.0"):
        model.__setstate__({"n_clusters": 3})
    assert model.n_clusters == 3


def test_a_graph_of_pairs_is_the_same_after_skops():
    model, *_ = fitted("words")
    assert by_skops(model).graph == model.graph
    # What is no graph of pairs is none afterwards either.
    for graph in ({}, {"a": "b"}, None):
        assert copy.copy(TiedLogisticRegression(graph=graph)).graph == graph


@pytest.mark.parametrize("tie", [{None: 2.0}, {"age": np.inf, None: 1.0, -1: 0.0}])
def test_a_tie_of_all_others_is_the_same_after_skops(tie):
    for way in WAYS.values():
        assert way(TiedLogisticRegression(tie=tie)).tie == tie


def test_skops_refuses_a_model_that_is_not_trusted():
    skops = pytest.importorskip("skops.io")
    model, *_ = fitted("plain")
    with pytest.raises(TypeError, match="TiedLogisticRegression"):
        skops.loads(skops.dumps(model), trusted=[])


def test_there_are_files_of_this_version():
    assert sktie.__version__ in VERSIONS, "write them: python -m tests.saved"
    sizes = [file.stat().st_size for file in FOLDER.rglob("*.*") if file.is_file()]
    assert sum(sizes) < 100_000 * len(VERSIONS)


@pytest.mark.parametrize("version", VERSIONS)
def test_files_of_releases_are_read_and_answer_as_then(version):
    skops = pytest.importorskip("skops.io")
    folder = FOLDER / version
    expected = np.load(folder / "answers.npz")
    names = {name.partition(":")[0] for name in expected}
    assert names == {file.stem for file in folder.glob("*.skops")}
    for name in names:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = skops.load(
                folder / f"{name}.skops", trusted=sktie.SKOPS_TRUSTED_TYPES
            )
        # Models of scikit-learn inside tell of its own version.
        kinds = {warning.category for warning in caught} - {ScikitLearnWarning}
        ours = {InconsistentVersionWarning} if version != sktie.__version__ else set()
        assert kinds == ours
        _, rows, _, given = UNFITTED[name]
        found = answers(model, rows[:7], first(given))
        for method, array in found.items():
            assert_allclose(array, expected[f"{name}: {method}"], rtol=1e-5, atol=1e-7)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_saved_models_fit_again():
    """A loaded model is a whole one: its parameters make the same fit."""
    for name, (_, _, y, given) in UNFITTED.items():
        model, X, _ = fitted(name)
        again = WAYS["skops"](model).fit(X, y, **given)
        for method, array in answers(model, X, given).items():
            assert_allclose(answers(again, X, given)[method], array, rtol=1e-6)
