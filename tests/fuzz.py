"""Odd input by the thousand: every public method works, or says what is wrong.

    python -m tests.fuzz --cases 20000 --start 0

A case is a subject, a method, and which of its arguments or parameters are odd in which
way. Its number names it for one state of these tables; its repr for good. Failures are
printed with both. A run that was cut off goes on with ``--start``.
"""

import argparse
import collections
import contextlib
import copy
import faulthandler
import io
import os
import pickle
import sys
import time
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _num_samples

from sktie.datasets import load_heart_sites
from tests.fuzz_judge import (
    Verdict,
    fingerprint,
    judged,
    number_flaws,
    shape_flaws,
    state_flaws,
)
from tests.fuzz_subjects import SUBJECTS, fitted
from tests.kinds import N
from tests.oddities import oddities

#: Seconds that a call may take; nearly all take less than one.
LIMIT = 60.0
#: How many of the arguments are odd at once, and how often.
AT_ONCE = (1, 2, 3)
OFTEN = (0.75, 0.2, 0.05)
#: Predictions that may be infinite: the logarithm of 0.
LOGARITHMS = ("predict_log_proba",)


@dataclass(frozen=True)
class Case:
    """A call with odd arguments.

    Attributes
    ----------
    subject, method : str
        What is called.
    odd : dict
        Name of the oddity of each odd argument; with "*" before it, of a parameter of
        the constructor.
    again : bool
        Whether the estimator was fitted before, where the method is a fit.
    """

    subject: str
    method: str
    odd: dict
    again: bool = False


def is_fit(method):
    return method in ("fit", "partial_fit", "fit_transform", "fit_predict")


def draw(number):
    """Return the case of a number."""
    rng = np.random.default_rng([8, number])
    # Each in turn, so that the rare ones are tried as often as the frequent.
    subject = list(SUBJECTS.values())[number % len(SUBJECTS)]
    method = str(rng.choice(list(subject.functions)))
    if rng.random() < 0.3 and subject.make is not None:
        method = "fit"
    names = list(subject.signature(method))
    parameters = []
    if subject.make is not None and is_fit(method):
        parameters = list(subject.make().get_params(deep=False))
    odd = {}
    for _ in range(rng.choice(AT_ONCE, p=OFTEN)):
        if parameters and (not names or rng.random() < 0.4):
            name = "*" + str(rng.choice(parameters))
        elif names:
            name = str(rng.choice(names))
        else:
            continue
        table = oddities(name.lstrip("*"), numbers=subject.numbers)
        odd[name] = str(rng.choice(list(table)))
    return Case(subject.name, method, odd, again=bool(rng.random() < 0.5))


def arguments(case):
    """Return the arguments of a case, and the odd parameters."""
    subject = SUBJECTS[case.subject]
    given, parameters = subject.valid(case.method), {}
    for name, oddity in case.odd.items():
        plain = name.lstrip("*")
        make = oddities(plain, numbers=subject.numbers)[oddity]
        valid = subject.given.get(plain)
        valid = np.arange(N) % 3 if valid is None else copy.deepcopy(valid)
        value = make(valid)
        (parameters if name.startswith("*") else given)[plain] = value
    if isinstance(given.get("estimator"), str) and given["estimator"] in SUBJECTS:
        given["estimator"] = copied(fitted(given["estimator"]))
    return given, parameters


def copied(estimator):
    return pickle.loads(pickle.dumps(estimator))


def run(case, seconds=LIMIT):
    """Return the verdict on a case."""
    subject = SUBJECTS[case.subject]
    try:
        given, parameters = arguments(case)
    except Exception as error:  # no such oddity of what is not there
        return Verdict("not made", text=f"{type(error).__name__}: {error}")
    if subject.make is None:
        return judge_function(subject.functions[case.method], given, seconds)
    fresh = is_fit(case.method) and not case.again
    model = subject.make() if fresh else copied(fitted(subject.name))
    return judge_method(case, model, given, parameters, seconds)


def judge_function(function, given, seconds=LIMIT):
    """Return the verdict on a call that changes none of its arguments."""
    before = fingerprint(given)
    verdict = judged(lambda: function(**given), seconds)
    if fingerprint(given) != before:
        verdict.flaws.append("changed its arguments")
    if verdict.outcome == "worked" and function is not load_heart_sites:
        verdict.flaws += number_flaws(verdict.output)  # those data lack numbers
    return verdict


def judge_method(case, model, given, parameters, seconds=LIMIT):
    """Return the verdict on a method of an estimator."""
    for name, value in parameters.items():
        setattr(model, name, value)
    method = case.method
    before = fingerprint(given), fingerprint(model.get_params(deep=False))
    state = fingerprint(vars(model))
    verdict = judged(lambda: getattr(model, method)(**given), seconds)
    if fingerprint(given) != before[0]:
        verdict.flaws.append("changed its arguments")
    if fingerprint(model.get_params(deep=False)) != before[1]:
        verdict.flaws.append("changed its parameters")
    if verdict.outcome != "worked":
        if fingerprint(vars(model)) != state:
            verdict.flaws.append("failed, and is not as it was")
        return verdict
    if not is_fit(method) and fingerprint(vars(model)) != state:
        verdict.flaws.append("is not as it was")
    if is_fit(method):
        verdict.flaws += state_flaws(model)
    rows = given.get("X")
    if not isinstance(verdict.output, BaseEstimator):
        verdict.flaws += output_flaws(model, method, verdict.output, rows)
    elif is_fit(method) and hasattr(model, "predict") and not verdict.flaws:
        verdict.flaws += prediction_flaws(model, given, seconds)
    return verdict


def prediction_flaws(model, given, seconds):
    """Return what is wrong with what a model says of the rows that it was fitted to."""
    wanted = SUBJECT_ARGUMENTS[type(model)]
    more = {
        k: given[k]
        for k in ("X", "sample_domain", "sample_exposure")
        if k in given and k in wanted
    }
    if any(hasattr(value, "__next__") for value in more.values()):
        return []  # read already
    verdict = judged(lambda: model.predict(**more), seconds)
    if verdict.outcome != "worked":
        return [f"fitted, but predict says {verdict.outcome}: {verdict.text}"]
    flaws = output_flaws(model, "predict", verdict.output, more["X"])
    return [f"fitted, and then: {flaw}" for flaw in verdict.flaws + flaws]


class _Arguments(dict):
    """Names of the arguments of `predict`, by class."""

    def __missing__(self, kind):
        import inspect

        self[kind] = set(inspect.signature(kind.predict).parameters)
        return self[kind]


SUBJECT_ARGUMENTS = _Arguments()


def output_flaws(model, method, output, rows):
    try:
        n_rows = None if rows is None else int(_num_samples(rows))
    except TypeError:
        n_rows = None
    n_classes = len(model.classes_) if hasattr(model, "classes_") else None
    flaws = number_flaws(output, infinite=method in LOGARITHMS)
    return flaws + shape_flaws(method, output, n_rows, n_classes)


# --- The command ----------------------------------------------------------------------


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print every case")
    options = parser.parse_args(arguments)
    os.environ.setdefault("MPLBACKEND", "Agg")
    faulthandler.enable()
    outcomes, failed, began = collections.Counter(), [], time.perf_counter()
    for number in range(options.start, options.start + options.cases):
        # A hang outside of Python ends the process; its traceback tells where.
        faulthandler.dump_traceback_later(3 * LIMIT, exit=True)
        case = draw(number)
        with contextlib.redirect_stdout(io.StringIO()):
            since = time.perf_counter()
            verdict = run(case)
            took = time.perf_counter() - since
            close_figures()
        outcomes[verdict.outcome] += 1
        if verdict.flaws or options.show or took > LIMIT / 10:
            print(f"{number} {case} {took:.1f} s")
            print(f"    {verdict.outcome}: {verdict.text[:300]}")
            for flaw in verdict.flaws:
                print(f"    FLAW {flaw[:300]}")
            sys.stdout.flush()
        if verdict.flaws:
            failed.append(number)
    faulthandler.cancel_dump_traceback_later()
    seconds = time.perf_counter() - began
    print(f"{options.cases} cases from {options.start} in {seconds:.0f} s:")
    print(f"    {dict(outcomes.most_common())}")
    print(f"    {len(failed)} failed: {failed}")
    return len(failed)


def close_figures():
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")


if __name__ == "__main__":
    sys.exit(main() > 0)
