"""Odd input: some hundred cases of the fuzz, those that once failed, and its judge."""

import json
import re
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from tests import fuzz
from tests.fuzz import Case, draw, judge_function, judge_method, run
from tests.fuzz_subjects import SUBJECTS
from tests.kinds import X
from tests.oddities import oddities

CASES, CHUNK = 400, 40


@pytest.fixture(autouse=True)
def quiet(monkeypatch, capsys):
    """Figures that are drawn are closed again; what is printed is not shown."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    yield
    fuzz.close_figures()
    capsys.readouterr()


def said(case):
    verdict = run(case)
    return [f"{case}: {flaw}" for flaw in verdict.flaws]


@pytest.mark.parametrize("start", range(0, CASES, CHUNK))
def test_odd_input_works_or_is_told_what_is_wrong(start):
    flaws = [flaw for i in range(start, start + CHUNK) for flaw in said(draw(i))]
    assert flaws == []


def test_nearly_every_case_can_be_made():
    outcomes = [run(draw(i)).outcome for i in range(0, 2 * CHUNK)]
    assert outcomes.count("not made") <= CHUNK / 10  # pyarrow may be missing
    assert outcomes.count("worked") >= CHUNK / 4


def test_a_number_is_a_case():
    assert draw(123) == draw(123)
    assert len({repr(draw(i)) for i in range(200)}) > 190


def test_everything_public_is_tried(root):
    listed = re.findall(
        r"^ +(sktie\.[\w.]+)$", (root / "docs/api.rst").read_text(), re.M
    )
    tried = {function for own in SUBJECTS.values() for function in own.functions}
    kinds = {type(own.make()).__name__ for own in SUBJECTS.values() if own.make}
    known = " ".join({*tried, *kinds, *SUBJECTS})
    # What is made by functions that are tried, takes nothing, is a warning, or reads
    # files, whose errors are those of the system too.
    made = {
        "CompatibilityReport", "EqualityTest", "TyingPath", "CoefSummary",
        "TyingReport", "InconsistentVersionWarning", "open_npy", "open_parquet",
        "RowStream", "register", "load", "save",
    }  # fmt: skip
    names = {name.rpartition(".")[2] for name in listed} - made
    assert names
    assert [name for name in sorted(names) if name not in known] == []


# --- The judge ------------------------------------------------------------------------


class Broken(BaseEstimator):
    """Fits the mean, unless told how to go wrong."""

    def __init__(self, how=None):
        self.how = how

    def fit(self, X, y=None):
        if self.how == "changes X":
            X[0] = 0
        if self.how == "changes a parameter":
            self.how = None
        if self.how == "hangs":
            time.sleep(30)
        if self.how == "KeyError":
            raise KeyError("age")
        if self.how == "IndexError":
            [][1]
        if self.how == "says nothing":
            raise ValueError("")
        if self.how == "NumPy speaks":
            np.zeros(3) + np.zeros(2)
        if self.how == "Python speaks":
            len(None)
        if self.how == "half done":
            self.half_ = 1
            raise ValueError("n_clusters=5, but X has 3 rows; expected more rows.")
        if self.how == "warns":
            warnings.warn("overflow encountered", RuntimeWarning, stacklevel=1)
        if self.how == "deprecated":
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        self.coef_ = np.mean(X, axis=0)
        if self.how == "learns NaN":
            self.coef_ = self.coef_ * np.nan
        return self

    def predict(self, X):
        found = np.asarray(X) @ self.coef_
        if self.how == "predicts NaN":
            found[0] = np.nan
        if self.how == "predicts less":
            found = found[1:]
        if self.how == "predict forgets":
            del self.coef_
        return found


WAYS = {
    "changes X": "changed its arguments",
    "changes a parameter": "changed its parameters",
    "hangs": "took more than",
    "KeyError": "KeyError",
    "IndexError": "IndexError",
    "says nothing": "says too little",
    "NumPy speaks": "not raised on purpose: ValueError: operands could not",
    "Python speaks": "not raised on purpose: TypeError: object of type 'NoneType'",
    "half done": "not as it was",
    "warns": "RuntimeWarning: overflow",
    "deprecated": "DeprecationWarning: old",
    "learns NaN": "NaN in the output: coef_",
    "predicts NaN": "NaN in the output",
    "predicts less": "predict of 60 rows has the shape (59,)",
}


def judged(how, method="fit", seconds=0.2):
    model = Broken(how)
    case = Case("Broken", method, {})
    return judge_method(case, model, {"X": X.copy()}, {}, seconds).flaws


def test_nothing_is_wrong_with_what_works():
    assert judged(None) == []


@pytest.mark.parametrize(("how", "words"), WAYS.items())
def test_what_is_broken_is_caught(how, words):
    flaws = judged(how)
    assert any(words in flaw for flaw in flaws), flaws


def test_a_prediction_that_changes_the_model_is_caught():
    model = Broken("predict forgets")
    model.coef_ = np.ones(3)
    flaws = judge_method(Case("", "predict", {}), model, {"X": X}, {}).flaws
    assert flaws == ["is not as it was"]


def test_functions_are_judged_too():
    def fills(array):
        array[:] = 0

    assert judge_function(fills, {"array": np.ones(3)}).flaws == [
        "changed its arguments"
    ]
    assert judge_function(np.log, {"x": -1}).outcome == "TypeError"
    assert judge_function(lambda: np.nan, {}).flaws == ["NaN in the output"]


def test_errors_of_scikit_learn_are_on_purpose():
    from sklearn.linear_model import Ridge

    for bad in (None, [[1, 2], [3]], [["a"]], np.array(1.0), {"a": 1}):
        flaws = judge_function(lambda X=bad: Ridge().fit(X, [1, 2]), {}).flaws
        assert flaws == [], bad


def test_a_case_of_the_past_is_named(capsys):
    case = Case("TiedRidge, none", "fit", {"X": "no such oddity"})
    assert run(case).outcome == "not made"


# --- What failed once -----------------------------------------------------------------

#: One case of each kind that ever failed, with what was wrong.
PAST = Path(__file__).with_name("fuzz_once.jsonl").read_text(encoding="ascii")
ONCE = [json.loads(line) for line in PAST.splitlines()]


@pytest.mark.parametrize("method", sorted({past["method"] for past in ONCE}))
def test_what_failed_once(method):
    flaws = []
    for past in ONCE:
        if past["method"] == method:
            was = past["was"]
            case = Case(**{key: value for key, value in past.items() if key != "was"})
            flaws += [f"{flaw} (once: {was})" for flaw in said(case)]
    assert flaws == []


def test_what_failed_once_is_still_tried():
    assert len(ONCE) > 200
    for past in ONCE:
        subject = SUBJECTS[past["subject"]]
        assert past["method"] in subject.functions
        for name, oddity in past["odd"].items():
            table = oddities(name.lstrip("*"), numbers=subject.numbers)
            assert oddity in table, (name, oddity)
