"""The pages: nothing public is missing, no result is copied, how-tos end in checks."""

import ast
import importlib.util
import json
import re
import sys

import pytest

import sktie
from sktie import datasets, exceptions, inspection, model_selection, onnx, streams

HOW_TOS = ["add_a_tie", "add_a_loss", "add_a_layer", "add_a_solver"]


@pytest.fixture(scope="module")
def pages(root):
    """The text of every page, by its name."""
    return {
        path.relative_to(root / "docs").with_suffix("").as_posix(): path.read_text(
            "utf-8"
        )
        for path in (root / "docs").glob("*.rst")
    }


@pytest.fixture(scope="module")
def tables(root):
    """The module that makes tables of the stored results."""
    path = root / "docs" / "_ext" / "benchmark_tables.py"
    spec = importlib.util.spec_from_file_location("benchmark_tables", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_has_a_page(pages):
    listed = set(re.findall(r"^   (sktie\.[\w.]+)$", pages["api"], re.MULTILINE))
    here = {name for name in sktie.__all__ if callable(getattr(sktie, name))}
    elsewhere = {
        f"{module.__name__}.{name}"
        for module in (datasets, exceptions, inspection, model_selection, onnx, streams)
        for name in module.__all__
        if name not in here
    }
    assert listed == {f"sktie.{name}" for name in here} | elsewhere


def test_every_page_is_in_a_toctree(pages):
    named = set()
    for text in pages.values():
        for tree in re.findall(r"\.\. toctree::\n((?:[ ]{3}.*\n|\n)+)", text + "\n"):
            for line in tree.splitlines():
                entry = re.search(r"<([^>]+)>$", line.strip()) or [None, line.strip()]
                named.add(entry[1])
    assert set(pages) - named == {"index"}


@pytest.mark.parametrize("name", HOW_TOS)
def test_how_tos_end_in_a_checklist(pages, name):
    last = re.findall(r"^(.+)\n---+$", pages[name], re.MULTILINE)[-1]
    assert last == "Checklist"
    assert len(re.findall(r"^- ", pages[name].split("\nChecklist\n")[1], re.M)) >= 5


def test_python_on_pages_is_run(pages):
    """Doctests are; what is marked as Python without a prompt would not be.

    But for three pages, whose blocks test_onnx.py, test_tools.py and test_dask.py run.
    """
    for name, text in pages.items():
        if name in ("persistence", "other_tools", "dask"):
            continue
        assert not re.search(r"\.\. code(-block)?:: (python|pycon)", text), name


def test_every_stored_result_is_on_a_page(root, pages, tables):
    asked = re.findall(r"^\.\. benchmark:: (.+)$", "\n".join(pages.values()), re.M)
    shown = {tables.TABLES[name][0] for name in asked}
    stored = {path.stem for path in (root / "tests/benchmarks/results").glob("*.json")}
    # Its page tells of single runs in prose.
    assert stored - shown == {"mnist_conv"}
    assert set(tables.TABLES) == set(asked)


def test_tables_are_rectangular_and_name_their_machine(tables):
    for name, (source, _) in tables.TABLES.items():
        rows = tables.table(name).rows
        assert len(rows) > 1, name
        assert {len(row) for row in rows} == {len(rows[0])}, name
        assert re.search(r"on \d+ cores of .+; Python 3", tables.machine(source))


def test_a_table_says_what_is_stored(root, tables):
    stored = json.loads((root / "tests/benchmarks/results/plain.json").read_text())
    shown = tables.table("plain").rows[1:]
    assert [row[0] for row in shown] == [row["case"] for row in stored["rows"]]
    for line, row in zip(shown, stored["rows"], strict=True):
        seconds, unit = line[1].split()
        scale = {"s": 1, "ms": 1e-3}[unit]
        assert float(seconds) * scale == pytest.approx(row["sktie"]["median"], rel=5e-3)
        assert line[3].split()[0] == f"{row['ratio']['median']:.2f}"
        assert row["peer"]["name"] in line[2]


def test_missed_goals_are_shown(tables):
    rows = tables.goals().rows[1:]
    assert {row[3] for row in rows} == {"yes", "**no**"}
    assert ["domains", "T=32: median ratio >= 50", "3.11", "**no**"] in rows


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0312, "0.0312"), (1234.5, "1,234"), (12.34, "12.3"), (2.0, "2")],
)
def test_numbers_have_three_digits(tables, value, text):
    assert tables.number(value) == text


def test_examples_ask_one_question_and_draw_one_figure(root):
    """A title that asks, one figure, and its file is ignored by git."""
    ignored = (root / ".gitignore").read_text()
    for path in (root / "examples").glob("plot_*.py"):
        source = path.read_text("utf-8")
        text = ast.get_docstring(ast.parse(source))
        title, line, *_ = text.splitlines()
        assert title.endswith("?"), path.name
        assert line == "=" * len(title), path.name
        figures = re.findall(r"savefig\(\s*\"(\w+\.png)\"", source)
        assert len(figures) == 1, path.name
        assert f"/{figures[0]}\n" in ignored, path.name


def test_figures_of_the_idea_exist_for_light_and_dark(root, pages):
    for text in pages.values():
        light = re.findall(r"images/([\w-]+)-light\.svg", text)
        dark = re.findall(r"images/([\w-]+)-dark\.svg", text)
        assert light == dark
        for name in light:
            for kind in ("light", "dark"):
                assert (root / f"docs/images/{name}-{kind}.svg").is_file()
