"""Tests of what is packed, declared and imported."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest

import sktie.onnx
import sktie.streams


@pytest.fixture(scope="module")
def pyproject(root):
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def distribution():
    try:
        return metadata.distribution("sktie")
    except metadata.PackageNotFoundError:
        pytest.skip("sktie is not installed, only importable")


def test_installed_version_is_that_of_the_package(distribution):
    assert distribution.version == sktie.__version__


def test_citation_states_the_version(root):
    text = (root / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {sktie.__version__}\n" in text


@pytest.mark.parametrize(
    "name",
    [
        "sktie/py.typed",
        "sktie/datasets/data/heart_sites.csv.gz",
        "sktie/datasets/descr/heart_sites.rst",
    ],
)
def test_data_files_are_installed(distribution, name):
    assert name in map(str, distribution.files)


def test_nothing_but_the_package_is_installed(distribution):
    tops = {
        path.parts[0] for path in distribution.files if ".dist-info" not in str(path)
    }
    assert tops == {"sktie"}


def test_group_test_is_the_extra_test(pyproject):
    extras = pyproject["project"]["optional-dependencies"]
    assert pyproject["dependency-groups"]["test"] == extras["test"]


def test_every_imported_package_is_declared(root, pyproject):
    distributions = {"sklearn": "scikit-learn"}
    optional = {"dask", "matplotlib", "narwhals", "pandas", "polars", "pyarrow"}
    project = pyproject["project"]
    declared = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}
    imported = set()
    for file in (root / "sktie").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: imports are absolute"
                imported.add(node.module.partition(".")[0])
    third_party = imported - set(sys.stdlib_module_names) - {"sktie"} - optional
    assert {distributions.get(name, name) for name in third_party} <= declared


def test_import_needs_no_optional_package(root):
    """Neither a plain import nor the data as arrays loads an optional package."""
    code = (
        "import sys\n"
        "blocked = ['dask', 'matplotlib', 'onnx', 'pandas', 'polars', 'pyarrow']\n"
        "blocked += ['skl2onnx', 'skops']\n"
        "sys.modules.update(dict.fromkeys(blocked))\n"
        "import sktie, sktie.datasets, sktie.onnx, sktie.streams\n"
        "sktie.datasets.load_heart_sites(as_frame=False)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


def test_what_an_extra_is_needed_for_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r'pip install "sktie\[onnx\]"'):
        sktie.onnx.register()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'pip install "sktie\[parquet\]"'):
        sktie.streams.open_parquet("rows.parquet")


def test_committed_files_are_small(root):
    big = [
        path
        for folder in ("sktie", "tests", "examples", "docs")
        for path in (root / folder).rglob("*")
        if "_build" not in path.parts
        and path.is_file()
        and path.stat().st_size > 1_000_000
    ]
    assert big == []
