"""The comparison of counted instructions, without counting any."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"


@pytest.fixture
def counting(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import count_instructions

    yield count_instructions
    for name in ("count_instructions", "_results"):
        sys.modules.pop(name, None)


def test_what_has_grown_by_more_than_a_twentieth_is_named(counting):
    stored = {"fit": 1000, "predict": 2000, "gone": 10}
    assert counting.grown(stored, {"fit": 1050, "predict": 1}) == {}
    assert counting.grown(stored, {"fit": 1051, "predict": 2100}) == {"fit": 1.051}
    assert counting.grown(stored, {"new": 1}) == {"new": float("inf")}
    assert counting.grown(stored, {"fit": 1051}, most=0.1) == {}


def test_counts_are_read_and_nothing_counted_is_an_error(counting):
    assert counting.total_of("events: Ir\ntotals: 163187\n") == 163187
    for text in ("totals: 0\n", "summary: 12\n"):
        with pytest.raises(ValueError, match="counted nothing"):
            counting.total_of(text)


def stored(tmp_path, **changed):
    """A file of results of one path."""
    versions = {
        "python": "3.11.7",
        "numpy": "2.4.6",
        "scipy": "1.17.1",
        "sklearn": "1.9.1",
        "valgrind": "3.19.0",
        "kernels": "Haswell",
    }
    cells = {"fit": {"instructions": 1000, "spread": 0.0}}
    path = tmp_path / "instructions.json"
    path.write_text(json.dumps({"environments": {"all": versions}, "cells": cells}))
    return path, versions | changed


@pytest.mark.parametrize(("number", "status"), [(900, 0), (1050, 0), (1100, 1)])
def test_a_slower_path_fails_the_check(
    counting, tmp_path, monkeypatch, capsys, number, status
):
    path, here = stored(tmp_path)
    monkeypatch.setattr(counting, "RESULTS", path)
    monkeypatch.setattr(counting, "versions", lambda: here)
    monkeypatch.setattr(counting, "count", lambda names: dict.fromkeys(names, number))
    assert counting.check(["fit"]) == status
    assert ("MORE" in capsys.readouterr().out) == bool(status)


def test_other_versions_compare_nothing_and_say_so(
    counting, tmp_path, monkeypatch, capsys
):
    path, here = stored(tmp_path, numpy="3.0.0")
    monkeypatch.setattr(counting, "RESULTS", path)
    monkeypatch.setattr(counting, "versions", lambda: here)
    assert counting.check(["fit"]) == 0
    said = capsys.readouterr().out
    assert "Nothing is compared" in said
    assert "numpy 2.4.6 there, 3.0.0 here" in said
