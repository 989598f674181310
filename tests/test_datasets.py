"""Tests of sktie.datasets."""

import csv
import gzip
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from sktie.datasets import load_heart_sites

FEATURES = [
    "age",
    "sex",
    "cp",
    "trestbps",
    "chol",
    "fbs",
    "restecg",
    "thalach",
    "exang",
    "oldpeak",
    "site",
]
CATEGORICAL = ["sex", "cp", "restecg", "site"]
SITES = {  # patients, positive
    "Cleveland": (303, 139),
    "Hungary": (294, 106),
    "Switzerland": (123, 115),
    "VA Long Beach": (200, 149),
}
MISSING = {  # per site, in the order of SITES
    "trestbps": (0, 1, 2, 57),
    "chol": (0, 23, 123, 56),
    "fbs": (0, 8, 75, 7),
    "restecg": (0, 1, 1, 0),
    "thalach": (0, 1, 1, 53),
    "exang": (0, 1, 1, 53),
    "oldpeak": (0, 0, 6, 56),
}


@pytest.fixture(scope="module")
def heart():
    return load_heart_sites()


@pytest.fixture(scope="module")
def heart_array():
    return load_heart_sites(as_frame=False)


def test_frame_columns_and_dtypes(heart):
    assert list(heart.data.columns) == heart.feature_names == FEATURES
    assert list(heart.frame.columns) == [*FEATURES, "target"]
    assert heart.data.shape == (920, 11)
    for name in FEATURES:
        dtype = heart.data[name].dtype
        if name in CATEGORICAL:
            assert isinstance(dtype, pd.CategoricalDtype)
            assert list(dtype.categories) == heart.categories[name]
        else:
            assert dtype == (np.int64 if name == "age" else np.float64)
    assert heart.target.dtype == np.int64
    assert heart.target.name == "target"
    pd.testing.assert_frame_equal(heart.frame[FEATURES], heart.data)
    pd.testing.assert_series_equal(heart.frame["target"], heart.target)


def test_array_dtypes_and_layout(heart_array):
    assert type(heart_array.data) is type(heart_array.target) is np.ndarray
    assert heart_array.data.shape == (920, 11)
    assert heart_array.data.dtype == np.float64
    assert heart_array.data.flags.c_contiguous
    assert heart_array.target.shape == (920,)
    assert heart_array.target.dtype == np.int64
    assert heart_array.frame is None


def test_first_patient(heart_array):
    """The codes are those that DESCR states."""
    first = [63, 1, 0, 145, 233, 1, 2, 150, 0, 2.3, 0]
    assert_array_equal(heart_array.data[0], first)
    assert heart_array.target[0] == 0


def test_patients_and_positives_per_site(heart, heart_array):
    assert heart.site_names == heart.categories["site"] == list(SITES)
    for code, (site, (patients, positive)) in enumerate(SITES.items()):
        in_frame = (heart.data["site"] == site).to_numpy()
        assert_array_equal(in_frame, heart_array.data[:, -1] == code)
        assert in_frame.sum() == patients
        assert heart_array.target[in_frame].sum() == positive
    assert set(heart_array.target) == {0, 1}


@pytest.mark.parametrize("name", FEATURES)
def test_missing_values_per_site(heart, name):
    missing = heart.data[name].isna().groupby(heart.data["site"], observed=True).sum()
    assert tuple(missing) == MISSING.get(name, (0, 0, 0, 0))


@pytest.mark.parametrize("name", FEATURES)
def test_frame_and_array_agree(heart, heart_array, name):
    column = heart.data[name]
    if name in CATEGORICAL:
        column = column.cat.codes.astype(float).replace(-1, np.nan)
    assert_array_equal(
        column.to_numpy(dtype=float), heart_array.data[:, FEATURES.index(name)]
    )


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("age", 28, 77),
        ("sex", 0, 1),
        ("cp", 0, 3),
        ("trestbps", 80, 200),  # no zero: nobody lives with it
        ("chol", 85, 603),  # as here
        ("fbs", 0, 1),
        ("restecg", 0, 2),
        ("thalach", 60, 202),
        ("exang", 0, 1),
        ("oldpeak", -2.6, 6.2),
        ("site", 0, 3),
    ],
)
def test_range_of_each_variable(heart_array, name, low, high):
    column = heart_array.data[:, FEATURES.index(name)]
    assert (np.nanmin(column), np.nanmax(column)) == (low, high)


@pytest.mark.parametrize("as_frame", [True, False])
def test_return_X_y(as_frame):
    bunch = load_heart_sites(as_frame=as_frame)
    X, y = load_heart_sites(return_X_y=True, as_frame=as_frame)
    assert type(X) is type(bunch.data)
    assert_array_equal(np.asarray(y), np.asarray(bunch.target))
    assert pd.DataFrame(X).equals(pd.DataFrame(bunch.data))


def test_a_caller_cannot_change_the_next_load():
    first = load_heart_sites(as_frame=False)
    first.data[:] = 0
    first.site_names.clear()
    first.categories["site"].clear()
    second = load_heart_sites(as_frame=False)
    assert second.data[0, 0] == 63
    assert second.site_names == second.categories["site"] == list(SITES)


def test_without_pandas_the_array_works(monkeypatch, heart_array):
    monkeypatch.setitem(sys.modules, "pandas", None)
    X, y = load_heart_sites(return_X_y=True, as_frame=False)
    assert_array_equal(X, heart_array.data)
    assert_array_equal(y, heart_array.target)


def test_without_pandas_the_frame_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"install pandas.*as_frame=False"):
        load_heart_sites()


def test_description(heart):
    assert heart.target_names == ["absent", "present"]
    assert heart.DESCR.startswith(".. _heart_sites_dataset:")
    words = ["Janosi", "Steinbrunn", "Pfisterer", "Detrano", "1989", "UCI", "CC BY 4.0"]
    for word in [*words, *FEATURES, *SITES]:
        assert word in heart.DESCR


def test_description_states_the_counts(heart):
    """The tables of DESCR are those of this file, which are those of the data."""
    lines = [line.split() for line in heart.DESCR.splitlines()]
    for name, counts in MISSING.items():
        assert [name, *map(str, counts)] in lines
    for code, (site, (patients, positive)) in enumerate(SITES.items()):
        women = ((heart.data["site"] == site) & (heart.data["sex"] == "Female")).sum()
        percent = f"{100 * positive / patients:.1f}"
        row = [code, *site.split(), patients, positive, percent, "%", women]
        assert any(line[: len(row)] == list(map(str, row)) for line in lines)


def test_shipped_file_is_the_shared_source(heart, shared_data):
    """Undo the documented preparation by hand, row by row."""
    with gzip.open(shared_data / "heart_4sites.csv.gz", "rt", newline="") as file:
        source = list(csv.DictReader(file))
    assert len(source) == len(heart.frame)
    renamed = {"thalach": "thalch", "site": "dataset"}
    for name in FEATURES:
        expected = [row[renamed.get(name, name)] for row in source]
        actual = heart.data[name]
        if name in CATEGORICAL:
            assert actual.astype(object).fillna("").tolist() == expected
        else:
            yes_no = {"True": 1.0, "False": 0.0, "": np.nan}
            numbers = [yes_no[x] if x in yes_no else float(x) for x in expected]
            assert_array_equal(actual.to_numpy(dtype=float), numbers)
    assert heart.target.tolist() == [int(int(row["num"]) > 0) for row in source]
