"""Types: constructors name what they validate, and a program can rely on them."""

import inspect
import os
import subprocess
import sys
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

import sktie
from sktie._compat import StrOptions
from tests import user_program

ESTIMATORS = [
    getattr(sktie, name)
    for name in sktie.__all__
    if hasattr(getattr(sktie, name), "_parameter_constraints")
]
estimators = pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)


def words(hint):
    """Return the strings that a type names, or None where it takes anything."""
    if hint in (Any, str):
        return None
    if get_origin(hint) is Literal:
        return set(get_args(hint))
    parts = [words(part) for part in get_args(hint)]
    return None if None in parts else set().union(*parts)


@estimators
def test_the_words_of_a_type_are_those_that_are_validated(cls):
    hints = get_type_hints(cls.__init__)
    for name, constraints in cls._parameter_constraints.items():
        if isinstance(constraints, str) or words(hints[name]) is None:
            continue
        options = [part for part in constraints if isinstance(part, StrOptions)]
        assert words(hints[name]) == {word for one in options for word in one.options}


@estimators
def test_a_choice_of_words_alone_is_typed_as_one(cls):
    hints = get_type_hints(cls.__init__)
    for name, constraints in cls._parameter_constraints.items():
        if all(isinstance(part, StrOptions) for part in constraints):
            assert words(hints[name]), name


@estimators
def test_constructors_name_and_type_every_parameter(cls):
    parameters = list(inspect.signature(cls).parameters.values())
    hints = get_type_hints(cls.__init__)
    for parameter in parameters:
        assert parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        assert parameter.name in hints
    assert {parameter.name for parameter in parameters} == set(cls._get_param_names())


@estimators
def test_methods_name_and_type_every_parameter(cls):
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        module = getattr(method, "__module__", "")
        if name.startswith("_") or module.partition(".")[0] != "sktie":
            continue
        parameters = inspect.signature(method).parameters.values()
        hints = get_type_hints(method)
        assert "return" in hints, name
        for parameter in list(parameters)[1:]:
            assert parameter.kind is not parameter.VAR_KEYWORD, name
            assert parameter.name in hints, name


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_program_of_a_user_runs():
    user_program.main()


def strictly(source, root, folder):
    """Return what mypy says of a program outside of this tree, without its settings."""
    file = folder / "program.py"
    file.write_text(source, "utf-8")
    # Silent: of sktie and scikit-learn, the types count, and not whether they pass.
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file="]
    command += ["--follow-imports=silent", f"--cache-dir={folder / 'cache'}", str(file)]
    settings = os.environ | {"MYPYPATH": str(root)}
    done = subprocess.run(
        command, cwd=folder, env=settings, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_the_program_of_a_user_passes_mypy_strict(root, tmp_path):
    pytest.importorskip("mypy")
    source = (root / "tests" / "user_program.py").read_text("utf-8")
    assert "Success" in strictly(source, root, tmp_path)
    wrong = source.replace('solver="lbfgs"', 'solver="newton"')
    found = strictly(wrong, root, tmp_path)
    assert found.count("[arg-type]") == wrong.count('"newton"') == 3
