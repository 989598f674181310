"""Every public docstring is valid, and states the defaults of the signature."""

import ast
import inspect
import math
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from numpydoc.docscrape import FunctionDoc
from numpydoc.validate import validate

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
IGNORED = tomllib.loads(PYPROJECT.read_text("utf-8"))["tool"]["numpydoc_validation"][
    "checks"
][1:]
MODULES = [
    "sktie",
    "sktie.datasets",
    "sktie.exceptions",
    "sktie.inspection",
    "sktie.linear_model",
    "sktie.model_selection",
    "sktie.neural_network",
    "sktie.onnx",
    "sktie.priors",
]


def _public_names():
    """The public classes and functions, each under the first module that names it."""
    found = {}
    for module_name in MODULES:
        module = import_module(module_name)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isroutine(thing):
                found.setdefault(thing, f"{module_name}.{name}")
    return found


def _own_methods(cls):
    """The names of the public methods and properties that sktie itself defines."""
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] != "sktie":
            continue
        for name, value in vars(base).items():
            routine = getattr(value, "fget", None) or getattr(value, "fn", value)
            ours = getattr(routine, "__module__", None) or ""
            if not name.startswith("_") and ours.partition(".")[0] == "sktie":
                yield name


NAMES = _public_names()
OBJECTS = sorted(NAMES.values())
METHODS = sorted(
    {
        f"{path}.{method}"
        for thing, path in NAMES.items()
        if inspect.isclass(thing)
        for method in _own_methods(thing)
    }
)


def _resolve(path):
    """Return the object behind ``sktie.module.Class.method``."""
    parts = path.split(".")
    thing = import_module(parts[0])
    for depth, name in enumerate(parts[1:], start=2):
        if not hasattr(thing, name):
            import_module(".".join(parts[:depth]))
        thing = getattr(thing, name)
    return thing


def _documented_default(kind):
    """Return the value behind ``default=`` in the type of a parameter."""
    text = re.search(r"default=(.+)$", kind)[1].strip().strip("`")
    if text in {"inf", "np.inf", "nan", "np.nan"}:
        return float(text.removeprefix("np."))
    return ast.literal_eval(text)


def _differences(function):
    """Say where the docstring of `function` and its signature disagree."""
    signature = inspect.signature(function).parameters
    parameters = {
        name: parameter
        for name, parameter in signature.items()
        if name not in {"self", "cls"}
    }
    documented = {
        name: item.type
        for item in FunctionDoc(function)["Parameters"]
        for name in re.split(r", *", item.name)
    }
    if list(documented) != [
        "*" * (p.kind == p.VAR_POSITIONAL) + "**" * (p.kind == p.VAR_KEYWORD) + name
        for name, p in parameters.items()
    ]:
        yield f"documented {list(documented)}, signature {list(parameters)}"
    for name, parameter in parameters.items():
        kind = documented.get(name, "")
        required = parameter.default is inspect.Parameter.empty
        if required:
            if "default=" in kind:
                yield f"{name} has no default, documented as {kind!r}"
            continue
        if "default=" not in kind:
            yield f"{name}={parameter.default!r} is documented without default="
            continue
        value = _documented_default(kind)
        same_nan = isinstance(value, float) and math.isnan(value)
        if type(value) is not type(parameter.default) or (
            value != parameter.default and not same_nan
        ):
            yield f"{name}={parameter.default!r}, documented as {kind!r}"


@pytest.mark.parametrize("module_name", MODULES)
def test_all_names_what_exists(module_name):
    module = import_module(module_name)
    assert module.__doc__
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name)


@pytest.mark.parametrize("path", OBJECTS + METHODS)
def test_docstring_is_valid(path):
    result = validate(path)
    errors = [error for error in result["errors"] if error[0] not in IGNORED]
    assert errors == []


@pytest.mark.parametrize("path", OBJECTS)
def test_classes_and_functions_show_an_example(path):
    assert ">>>" in inspect.getdoc(_resolve(path))


@pytest.mark.parametrize(
    "path",
    [path for path in OBJECTS + METHODS if not isinstance(_resolve(path), property)],
)
def test_documented_defaults_are_those_of_the_signature(path):
    assert list(_differences(_resolve(path))) == []


def test_a_wrong_default_is_found():
    def example(a, b=1, *, c=None, d=0.5):
        """Do it.

        Parameters
        ----------
        a : int, default=3
            No default.
        b : int, default=2
            Wrong.
        c : int
            Not stated.
        d : float, default=0.5
            Right.
        """

    messages = list(_differences(example))
    assert [message.split()[0].partition("=")[0] for message in messages] == [
        "a",
        "b",
        "c",
    ]
