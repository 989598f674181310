"""sharing_report: the counts of a network, and of networks that share nothing."""

import pickle
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sktie import SharedConvClassifier
from sktie.inspection import sharing_report

INF = np.inf
RNG = np.random.default_rng(0)
X_16 = RNG.normal(size=(30, 16, 16))
Y_10 = np.arange(30) % 10
NAMES = ["this network", "locally connected", "dense"]

#: Table 11.1 of The Elements of Statistical Learning: layers, links, weights.
HIDDEN = {
    "kernel_size": (3, 5),
    "stride": (2, 1),
    "padding": ("same", "valid"),
    "pool_size": 1,
    "bias": "location",
}
NETS = {
    "Net-1": ({"filters": ()}, 2570, 2570),
    "Net-2": ({"filters": (), "hidden_layer_sizes": 12}, 3214, 3214),
    "Net-3": (HIDDEN | {"filters": (1, 1), "tie": 0}, 1226, 1226),
    "Net-4": (HIDDEN | {"filters": (2, 1), "tie": (INF, 0)}, 2266, 1132),
    "Net-5": (HIDDEN | {"filters": (2, 4)}, 5194, 1060),
}


def fitted(X=X_16, y=Y_10, **settings):
    """A network whose parameters do not matter."""
    chosen = {"max_iter": 1, "random_state": 0} | settings
    return SharedConvClassifier(**chosen).fit(X, y)


def n_numbers(model):
    return sum(part.size for part in [*model.coefs_, *model.intercepts_])


@pytest.mark.parametrize("name", NETS)
def test_links_and_weights_of_table_11_1(name):
    settings, links, weights = NETS[name]
    model = fitted(**settings)
    report = sharing_report(model)
    assert report.connections == links
    assert report.logical_parameters == links
    assert report.stored_parameters == weights
    assert n_numbers(model) == weights


SHAPES = {
    "odd": {"X": RNG.normal(size=(12, 7, 6)), "kernel_size": 4, "pool_size": (1, 2)},
    "strides": {"X": X_16[:12], "stride": (2, 3), "padding": "valid", "kernel_size": 2},
    "colours": {"X": RNG.normal(size=(12, 5, 8, 3)), "hidden_layer_sizes": (5, 4)},
    "signals": {"X": RNG.normal(size=(12, 30)), "image_shape": (15, 2), "dropout": 0.2},
    "global pool": {"X": X_16[:12], "global_pool": True},
}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("case", SHAPES)
def test_the_local_twin_is_the_network_with_kernels_at_every_location(case, classes):
    settings = SHAPES[case] | {"y": np.arange(12) % classes, "filters": (2, 3)}
    report = sharing_report(fitted(**settings))
    twin = fitted(**settings, tie=0, bias="location")
    own = sharing_report(twin)
    sizes = [
        w.size + b.size for w, b in zip(twin.coefs_, twin.intercepts_, strict=True)
    ]
    rows = report.networks["locally connected"]
    assert [row.stored_parameters for row in rows] == sizes
    # It shares nothing, so these are its connections, and those of the network too.
    assert [row.connections for row in report.networks["this network"]] == sizes
    assert own.connections == own.stored_parameters == sum(sizes)
    assert own.total("dense") == report.total("dense")


def test_the_dense_twin_is_a_network_of_hidden_layers():
    report = sharing_report(fitted(**NETS["Net-5"][0]))
    # Without pooling its layers have as many units as the convolutions have outputs.
    twin = fitted(filters=(), hidden_layer_sizes=(128, 64))
    sizes = [
        w.size + b.size for w, b in zip(twin.coefs_, twin.intercepts_, strict=True)
    ]
    assert [row.stored_parameters for row in report.networks["dense"]] == sizes
    assert [row.connections for row in report.networks["dense"]] == sizes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bytes_are_those_of_the_arrays(dtype):
    model = fitted(X=X_16.astype(dtype), filters=(2, 3))
    report = sharing_report(model)
    held = sum(part.nbytes for part in [*model.coefs_, *model.intercepts_])
    assert report.nbytes == held
    for name in NAMES:
        total = report.total(name)
        assert total.nbytes == total.stored_parameters * np.dtype(dtype).itemsize


def test_a_pickle_holds_a_shared_parameter_once():
    shared, local = (fitted(filters=8, tie=tie) for tie in (INF, 0))
    without = {}
    for name, model in (("shared", shared), ("local", local)):
        held = sharing_report(model).nbytes
        without[name] = len(pickle.dumps(model)) - held
        assert held == sum(p.nbytes for p in [*model.coefs_, *model.intercepts_])
        assert 0 < without[name] < 5000
    assert abs(without["shared"] - without["local"]) < 500


def test_sharing_makes_the_file_of_a_local_model_small():
    local = fitted(filters=8, tie=3)
    shared = local.to_shared()
    saved = len(pickle.dumps(local)) - len(pickle.dumps(shared))
    numbers = n_numbers(local) - n_numbers(shared)
    assert numbers == 8 * (9 + 1) * (16 * 16 - 1)
    assert abs(saved - numbers * local.coefs_[0].itemsize) < 500


def test_skops_writes_a_shared_parameter_once_and_reads_it_back():
    skops = pytest.importorskip("skops.io")
    size = {}
    for tie in (INF, 0):
        model = fitted(filters=8, tie=tie)
        file = skops.dumps(model)
        # Of the types in it, nothing but the estimator itself has to be trusted.
        names = skops.get_untrusted_types(data=file)
        assert names == ["sktie.neural_network._conv.SharedConvClassifier"]
        loaded = skops.loads(file, trusted=names)
        assert_array_equal(loaded.predict_proba(X_16), model.predict_proba(X_16))
        assert loaded.get_params() == model.get_params()
        held = sharing_report(model).nbytes
        size[tie] = len(file) - held
        # What is around the arrays describes them, in words.
        assert sharing_report(loaded).nbytes == held
        assert 0 < size[tie] < 60_000
    assert abs(size[INF] - size[0]) < 500


def test_layers_are_numbered_and_named():
    model = fitted(filters=(1, 1, 1), tie=(INF, 0, 0.5), hidden_layer_sizes=3)
    names = [row.layer for row in sharing_report(model).networks["this network"]]
    assert names == [
        "0 convolution",
        "1 local",
        "2 local, tie=0.5",
        "3 hidden",
        "4 output",
    ]


def test_the_table_aligns_its_columns():
    text = str(sharing_report(fitted(**NETS["Net-5"][0])))
    over, *lines = text.split("\n")
    assert over.strip() == "parameters stored by"
    assert len({len(line) for line in lines}) == 1
    cells = [line.split()[-4:] for line in lines]
    assert cells[-2] == ["5,194", "1,060", "5,194", "41,802"]
    assert lines[-2].startswith("all ")
    assert lines[-1].split() == ["bytes", "8,480", "41,552", "334,416"]


def test_the_frame_has_the_counts_of_all_layers_and_networks():
    pytest.importorskip("pandas")
    report = sharing_report(fitted(**NETS["Net-4"][0]))
    frame = report.to_frame()
    assert list(frame.index.names) == ["network", "layer"]
    assert list(frame.index.unique("network")) == NAMES
    assert len(frame) == 3 * 4
    for name in NAMES:
        part = frame.loc[name]
        assert_array_equal(part.loc["all"], part.drop("all").sum())
    assert frame.loc[("this network", "1 local"), "stored_parameters"] == 816
    assert frame.loc[("this network", "all"), "connections"] == 2266


def test_a_frame_without_pandas_says_how_to_get_it(monkeypatch):
    report = sharing_report(fitted(filters=1))
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        report.to_frame()


def test_the_html_is_a_table_that_needs_nothing_else():
    html = sharing_report(fitted(**NETS["Net-5"][0]))._repr_html_()
    table = ElementTree.fromstring(html)
    cells = ["".join(cell.itertext()) for cell in table.iter() if cell.tag in "td th"]
    assert table.tag == "table"
    for number in ("5,194", "1,060", "41,802"):
        assert number in cells
    assert {len(row) for row in table.find("tbody")} == {5}
    for outside in ("http", "src=", "<script", "class=", "@import"):
        assert outside not in html
    # Readable on any background: text has the page's colour, and there is no other.
    assert "color:inherit" in html
    assert "#" not in html


@pytest.mark.parametrize("other", [LogisticRegression(), "a string"])
def test_other_estimators_are_refused(other):
    with pytest.raises(TypeError, match="expected a fitted SharedConvClassifier"):
        sharing_report(other)


def test_an_unfitted_network_is_refused():
    with pytest.raises(NotFittedError):
        sharing_report(SharedConvClassifier())
