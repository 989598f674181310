"""Rows in files, read block by block: the same fits as of the rows in memory."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import KMeans
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sktie import (
    KMeansPrior,
    TiedLogisticRegression,
    TiedLogisticRegressionCV,
    TiedPoissonRegressor,
    TiedRidge,
)
from sktie.streams import (
    RowStream,
    _files,
    _local,
    _parquet,
    open_npy,
    open_parquet,
)
from sktie.streams._files import ArrayStream
from sktie.streams._local import StreamedParts

N, P, T = 600, 4, 5
CUTS = [7, 100, N]


def problem(n=N, seed=0):
    """Rows with their domains as the last column; domain 4 is in the last rows only."""
    rng = np.random.default_rng(seed)
    Z, domain = rng.normal(size=(n, P)), rng.integers(0, T - 1, n)
    domain[-n // 20 :] = T - 1
    score = np.einsum("ij,ij->i", Z, rng.normal(size=(T, P))[domain])
    return np.column_stack([Z, domain]), score + rng.logistic(size=n)


X, SCORE = problem()
RNG = np.random.default_rng(1)
WEIGHT = RNG.uniform(0.5, 2, N)
EXPOSURE = RNG.uniform(0.5, 2, N)
BINARY = (SCORE > 0).astype(int)
THREE = np.array(["a", "b", "c"])[np.digitize(SCORE, [-1, 1])]
COUNTS = RNG.poisson(np.exp(SCORE / 3))
TARGETS = {
    TiedLogisticRegression: BINARY,
    TiedRidge: SCORE,
    TiedPoissonRegressor: COUNTS,
}
RING = {(i, (i + 1) % T): 1.0 for i in range(T)}
NESTING = {**{i: "north" if i < 2 else "south" for i in range(T)}, "north": "all"}
NESTING |= {"south": "all"}


def stream(array, step):
    """The array as two files would hold it, in blocks of some rows."""
    sizes = [min(step, len(array) - i) for i in range(0, len(array), step)]
    cut = len(array) // 3
    return ArrayStream([array[:cut], array[cut:]], sizes)


def tight(model):
    """The model with a tolerance at which two ways to its minimum agree."""
    if "tol" in model.get_params():
        model.set_params(tol=1e-14)
    return model


def assert_same(found, expected, rtol=1e-8):
    for name in ("coef_", "intercept_", "domain_coef_", "domain_intercept_"):
        if hasattr(expected, name):
            want = getattr(expected, name)
            scale = np.abs(want).max(initial=1e-3)
            assert_allclose(getattr(found, name), want, rtol=rtol, atol=rtol * scale)
    assert_allclose(found.objective_, expected.objective_, rtol=rtol)
    assert found.n_features_in_ == expected.n_features_in_
    for name in ("classes_", "domains_", "tie_gap_", "n_stored_parameters_"):
        if hasattr(expected, name):
            want = getattr(expected, name)
            if name == "tie_gap_":
                assert_allclose(found.tie_gap_, want, rtol=1e-6, atol=1e-9)
            else:
                assert_array_equal(getattr(found, name), want)


SETTINGS = {
    "separate": {"tie": 0},
    "tied": {"tie": 2.0},
    "shared": {"tie": np.inf},
    "free intercepts": {"tie": 2.0, "tie_intercept": False},
    "no intercept": {"fit_intercept": False},
    "decayed once": {"decay": "shared"},
    "each its own": {"tie": [0.0, 1.0, 10.0, np.inf], "tie_intercept": 0.5},
    "ring": {"graph": RING},
    "nesting": {"graph": NESTING, "tie": 3.0},
    "learned": {"graph": "learned"},
    "close features": {"feature_ties": [[0, 1]], "feature_tie": 5.0},
    "equal features": {"feature_shares": [{0: 1, 1: -2}], "tie": 1.0},
    "distance": {"max_distance": 0.5},
}


@pytest.mark.parametrize("step", CUTS)
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", TARGETS)
def test_a_fit_is_that_of_the_rows_in_memory(kind, setting, step):
    y = TARGETS[kind]
    found = tight(kind(pair=-1, **SETTINGS[setting])).fit(stream(X, step), y, WEIGHT)
    expected = tight(kind(pair=-1, **SETTINGS[setting])).fit(X, y, WEIGHT)
    # At a distance the strength is itself a root that is found.
    assert_same(found, expected, 1e-6 if setting == "distance" else 1e-8)


@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("y", [BINARY, THREE], ids=["two", "three"])
def test_every_solver(y, solver):
    model = TiedLogisticRegression(pair=-1, solver=solver, class_weight="balanced")
    found = tight(model).fit(stream(X, 50), y)
    expected = tight(TiedLogisticRegression(**model.get_params())).fit(X, y)
    assert_same(found, expected)


@given(st.lists(st.integers(1, 250), min_size=3, max_size=60))
def test_any_blocks_give_the_same_fit(sizes):
    sizes = sizes[: np.searchsorted(np.cumsum(sizes), N)]
    rest = N - sum(sizes)
    sizes = [*sizes, rest] if rest else sizes
    found = TiedLogisticRegression(pair=-1, tol=1e-14).fit(
        ArrayStream([X], sizes), THREE
    )
    assert_same(found, TiedLogisticRegression(pair=-1, tol=1e-14).fit(X, THREE))


@pytest.mark.parametrize("kind", [TiedLogisticRegression, TiedRidge])
def test_chosen_strengths(kind):
    found = kind(pair=-1, tie="auto").fit(stream(X, 100), TARGETS[kind])
    expected = kind(pair=-1, tie="auto").fit(X, TARGETS[kind])
    assert_allclose(found.tie_, expected.tie_, rtol=1e-3)
    assert_allclose(found.log_evidence_, expected.log_evidence_, rtol=1e-8)


def test_ridge_keeps_its_covariance_and_takes_several_targets():
    Y = np.column_stack([SCORE, SCORE**2])
    found = TiedRidge(pair=-1, store_covariance=True).fit(stream(X, 100), Y, WEIGHT)
    expected = TiedRidge(pair=-1, store_covariance=True).fit(X, Y, WEIGHT)
    assert_same(found, expected)
    assert_allclose(found.sigma2_, expected.sigma2_, rtol=1e-9)
    assert_allclose(
        found.coef_covariance(2), expected.coef_covariance(2), rtol=1e-8, atol=1e-15
    )
    assert_allclose(found.predict(stream(X, 70)), expected.predict(X), rtol=1e-9)


@pytest.mark.parametrize("step", CUTS)
def test_exposures(step):
    model = TiedPoissonRegressor(pair=-1, tol=1e-14)
    rows = stream(X, step), COUNTS, WEIGHT
    found = model.fit(*rows, sample_exposure=stream(EXPOSURE, step))
    expected = TiedPoissonRegressor(pair=-1, tol=1e-14)
    expected.fit(X, COUNTS, WEIGHT, sample_exposure=EXPOSURE)
    assert_same(found, expected)
    assert_allclose(
        found.predict(rows[0], sample_exposure=EXPOSURE),
        expected.predict(X, sample_exposure=EXPOSURE),
        rtol=1e-8,
    )


def test_domains_beside_the_rows_and_everything_else_in_streams():
    names = np.array(["ä", "b", "c", "dd", "e"])[X[:, -1].astype(int)]
    Z = X[:, :-1]
    model = TiedLogisticRegression(tol=1e-14)
    found = model.fit(
        stream(Z, 90), stream(THREE, 30), stream(WEIGHT, 11), sample_domain=names
    )
    expected = TiedLogisticRegression(tol=1e-14)
    expected.fit(Z, THREE, WEIGHT, sample_domain=names)
    assert_same(found, expected)
    for method in (
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
    ):
        want = getattr(expected, method)(Z, sample_domain=names)
        got = getattr(found, method)(stream(Z, 40), sample_domain=stream(names, 9))
        assert got.dtype == want.dtype
        if method == "predict":
            assert_array_equal(got, want)
        else:
            assert_allclose(got, want, rtol=1e-7, atol=1e-9)
    assert found.score(stream(Z, 40), THREE, sample_domain=names) == expected.score(
        Z, THREE, sample_domain=names
    )


def test_rows_of_weight_zero_are_no_rows():
    weight = WEIGHT.copy()
    weight[THREE == "c"] = 0
    weight[::3] = 0
    found = tight(TiedLogisticRegression(pair=-1)).fit(stream(X, 50), THREE, weight)
    kept = weight > 0
    expected = tight(TiedLogisticRegression(pair=-1))
    expected.fit(X[kept], THREE[kept], weight[kept])
    assert_array_equal(found.classes_, ["a", "b"])
    assert_same(found, expected)


def test_tied_to_a_fitted_model_also_in_its_own_metric():
    Z = X[:, :-1]
    past = TiedLogisticRegression(store_covariance=True).fit(Z[:200], BINARY[:200])
    plain = LogisticRegression().fit(Z[:200], BINARY[:200])
    for pair, more in ((past, {"metric": "fisher"}), (plain, {})):
        model = TiedLogisticRegression(FrozenEstimator(pair), tol=1e-14, **more)
        found = model.fit(stream(Z, 70), BINARY)
        expected = TiedLogisticRegression(FrozenEstimator(pair), tol=1e-14, **more)
        assert_same(found, expected.fit(Z, BINARY))


def test_single_precision_stays_single():
    rows = X.astype(np.float32)
    found = TiedLogisticRegression(pair=-1).fit(stream(rows, 90), BINARY)
    expected = TiedLogisticRegression(pair=-1).fit(rows, BINARY)
    assert found.coef_.dtype == np.float32
    assert_allclose(found.domain_coef_, expected.domain_coef_, rtol=2e-3, atol=2e-3)
    mixed = ArrayStream([rows[:300], X[300:]])
    assert TiedLogisticRegression(pair=-1).fit(mixed, BINARY).coef_.dtype == np.float64


def test_many_rows_start_from_a_sample(monkeypatch):
    rows, score = problem(60_000, 2)
    y = (score > 0).astype(int)
    y[rows[:, -1] == 3] = 0  # ten rows of a class in a domain must not get lost
    y[np.flatnonzero(rows[:, -1] == 3)[:10]] = 1
    drawn, sample = [], StreamedParts.sample

    def noted(self, *args):
        drawn.append(sample(self, *args))
        return drawn[-1]

    monkeypatch.setattr(StreamedParts, "sample", noted)
    found = TiedLogisticRegression(pair=-1, tol=1e-18).fit(stream(rows, 1000), y)
    assert_same(found, TiedLogisticRegression(pair=-1, tol=1e-18).fit(rows, y))
    (kept,) = drawn
    assert len(kept.y) < 60_000 / 3
    assert kept.weight.sum() == pytest.approx(60_000, rel=0.05)
    a, b = kept.design.bounds[3:5]
    assert (kept.y[a:b] == 1).sum() == 10
    assert (kept.weight[a:b][kept.y[a:b] == 1] == 1).all()


def test_threads_change_no_bit():
    fits = [
        TiedLogisticRegression(pair=-1, n_jobs=n).fit(stream(X, 20), THREE)
        for n in (1, 2, 5)
    ]
    for other in fits[1:]:
        assert_array_equal(other.domain_coef_, fits[0].domain_coef_)


def test_large_totals_are_held_by_fewer_lanes(monkeypatch):
    expected = TiedRidge(pair=-1).fit(stream(X, 20), SCORE)
    monkeypatch.setattr(_local, "TOTAL_BYTES", 1)
    assert_same(TiedRidge(pair=-1).fit(stream(X, 20), SCORE), expected)


def test_progress_is_shown(capsys):
    TiedLogisticRegression(pair=-1, verbose=1).fit(stream(X, 20), BINARY)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("pass 1: 100% of 600 rows, ")
    assert any(line.startswith("iteration    1  objective") for line in lines)
    TiedRidge(pair=-1, verbose=1).fit(stream(X, 20), SCORE)
    assert capsys.readouterr().out.count("100% of 600 rows") == 2
    TiedRidge(pair=-1).fit(stream(X, 20), SCORE)
    assert capsys.readouterr().out == ""


def test_progress_within_a_long_pass(capsys, monkeypatch):
    monkeypatch.setattr(_local, "SECONDS", 0.0)
    TiedRidge(pair=-1, verbose=1, n_jobs=1).fit(stream(X, 150), SCORE)
    shown = [line.split("%")[0] for line in capsys.readouterr().out.splitlines()]
    assert shown == [
        f"pass {k}: {share:>3}" for k in (1, 2) for share in (25, 50, 75, 100)
    ]


# Files


@pytest.fixture
def folder(tmp_path):
    for name, rows in {"X": X, "y": THREE, "weight": WEIGHT}.items():
        (tmp_path / name).mkdir()
        for place, part in enumerate(np.array_split(rows, 3)):
            np.save(tmp_path / name / f"{place}.npy", part)
    return tmp_path


def test_a_folder_of_npy_files(folder):
    rows, y = open_npy(folder / "X"), open_npy(folder / "y")
    assert isinstance(rows, RowStream)
    assert (rows.shape, rows.ndim, len(rows), y.shape) == ((N, P + 1), 2, N, (N,))
    assert repr(rows) == "<stream of 3 arrays, shape (600, 5)>"
    assert_array_equal(rows.to_numpy(), X)
    assert_array_equal(np.asarray(y), THREE)
    found = TiedLogisticRegression(pair=-1, tol=1e-14)
    found.fit(rows, y, open_npy(folder / "weight"))
    expected = TiedLogisticRegression(pair=-1, tol=1e-14).fit(X, THREE, WEIGHT)
    assert_same(found, expected)


def test_npy_files_one_by_one(folder):
    one = open_npy(folder / "X" / "1.npy")
    assert_array_equal(one.to_numpy(), X[200:400])
    two = open_npy([folder / "X" / "2.npy", str(folder / "X" / "0.npy")])
    assert_array_equal(two.to_numpy(), np.vstack([X[400:], X[:200]]))


def test_files_that_are_none(folder):
    with pytest.raises(FileNotFoundError, match=r"holds no \*\.npy files; expected"):
        open_npy(folder)
    with pytest.raises(FileNotFoundError, match="no file"):
        open_npy(folder / "lacking.npy")
    np.save(folder / "X" / "4.npy", X[:, :2])
    with pytest.raises(ValueError, match=r"shape \(600, 2\).*as many columns"):
        open_npy(folder / "X")
    np.save(folder / "objects.npy", np.array([1, "a"], dtype=object))
    with pytest.raises(ValueError, match="cannot be read in blocks"):
        open_npy(folder / "objects.npy")


@pytest.mark.parametrize("order", ["C", "F"])
def test_large_memory_maps_are_read_in_blocks(tmp_path, monkeypatch, order):
    np.save(tmp_path / "X.npy", np.asarray(np.vstack([X[:5], X]), order=order))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")[5:]
    seen, blocks = [], ArrayStream.blocks

    def noted(self, *args):
        seen.append(self)
        return blocks(self, *args)

    monkeypatch.setattr(ArrayStream, "blocks", noted)
    held = TiedLogisticRegression(pair=-1, tol=1e-14).fit(mapped, BINARY)
    assert not seen
    monkeypatch.setattr(_files, "MAPPED_BYTES", 1000)
    monkeypatch.setattr(_files, "BLOCK_BYTES", 4096)
    found = TiedLogisticRegression(pair=-1, tol=1e-14).fit(mapped, BINARY)
    assert seen
    assert len(seen[0].sizes) > 5
    assert_same(found, held)
    assert_allclose(found.predict_proba(mapped), held.predict_proba(X), rtol=1e-7)
    # What is let go of is read again, and not zero.
    assert_array_equal(mapped, X)


def test_changes_of_a_copy_on_write_map_are_not_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "MAPPED_BYTES", 1000)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="c")
    mapped[:, 0] *= -1
    changed = np.array(mapped)
    found = TiedRidge(pair=-1).fit(mapped, SCORE)
    assert_array_equal(mapped, changed)
    assert_same(found, TiedRidge(pair=-1).fit(changed, SCORE))


MEMORY = """
import sys
import numpy as np
from sktie import TiedLogisticRegression, TiedRidge
from sktie.streams import open_npy

def kilobytes(field):
    with open("/proc/self/status") as status:
        return next(int(l.split()[1]) for l in status if l.startswith(field))

X = open_npy(sys.argv[1])
y = np.arange(len(X)) % 7 < 3
TiedLogisticRegression(pair=-1).fit(X.to_numpy()[:1000], y[:1000])
before = kilobytes("VmRSS")
with open("/proc/self/clear_refs", "w") as refs:
    refs.write("5")
TiedLogisticRegression(pair=-1).fit(X, y)
TiedRidge(pair=-1).fit(X, y)
print((kilobytes("VmHWM") - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_fit_needs_little_memory_beyond_a_block(tmp_path):
    n = 1_200_000
    path = tmp_path / "X.npy"
    rows = np.lib.format.open_memmap(path, "w+", np.float64, (n, 20))
    rng = np.random.default_rng(0)
    for start in range(0, n, 100_000):
        rows[start : start + 100_000] = rng.standard_normal((100_000, 20))
    rows[:, -1] = np.arange(n) % 3
    rows.flush()
    size = path.stat().st_size
    command = [sys.executable, "-c", MEMORY, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 0.6 * size


# Parquet


@pytest.fixture
def parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    names = np.array(["ä", "b", "c", "dd", "e"])[X[:, -1].astype(int)]
    columns = {f"x{j}": X[:, j] for j in range(P)}
    table = pa.table({"site": names, **columns, "y": THREE, "w": WEIGHT, "n": COUNTS})
    pq.write_table(table.slice(0, 250), tmp_path / "0.parquet", row_group_size=90)
    pq.write_table(table.slice(250), tmp_path / "1.parquet")
    return tmp_path, table


FEATURES = ["site", *(f"x{j}" for j in range(P))]


@pytest.mark.parametrize("step", [1000, 40, 1])
@pytest.mark.parametrize("scratch", [False, True])
def test_parquet_files(parquet, monkeypatch, step, scratch):
    path, table = parquet
    monkeypatch.setattr(_parquet, "BLOCK_ROWS", step)
    (path / "scratch").mkdir()
    rows = open_parquet(path, scratch=path / "scratch" if scratch else None)
    assert rows.shape == (N, 8)
    assert rows.columns == table.column_names
    Z, n_rows = rows[FEATURES], [len(block) for block in rows.blocks()]
    assert n_rows == rows.sizes
    assert max(n_rows) <= step
    found = TiedLogisticRegression(pair="site", tol=1e-13).fit(Z, rows["y"], rows["w"])
    held = table.select(FEATURES)
    expected = TiedLogisticRegression(pair="site", tol=1e-13)
    expected.fit(held, THREE, WEIGHT)
    assert_same(found, expected)
    assert_array_equal(found.feature_names_in_, FEATURES)
    assert_array_equal(found.coef_feature_names_, FEATURES[1:])
    assert_allclose(found.predict_proba(Z), expected.predict_proba(held), rtol=1e-7)
    counts = TiedPoissonRegressor(pair="site", tol=1e-13).fit(Z, rows["n"])
    assert_same(counts, TiedPoissonRegressor(pair="site", tol=1e-13).fit(held, COUNTS))
    assert not list((path / "scratch").iterdir())


def test_columns_of_parquet_files(parquet):
    path, _ = parquet
    rows = open_parquet(path)
    left = rows.drop(["y", "w"]).drop("n")
    assert left.columns == FEATURES
    assert rows[["x1", "x0"]].columns == ["x1", "x0"]
    (block, *_) = rows[["x1", "x0"]].blocks()
    assert block.column_names == ["x1", "x0"]
    assert open_parquet(path, ["x1", "x0"]).columns == ["x1", "x0"]
    assert_array_equal(open_parquet(path, "x2").to_numpy(), X[:, 2])
    assert repr(rows["y"]) == "<stream of 2 Parquet files, shape (600,), columns y>"
    with pytest.raises(KeyError, match=r"\['z'\] are no columns"):
        rows["z"]
    with pytest.raises(TypeError, match="expected the name of a column"):
        rows[3]
    # y may also be cut otherwise: it is read into memory then.
    other = ArrayStream([np.array(rows["x0"])])
    assert_array_equal(rows["x0"].cut_as([100] * 6).to_numpy(), other.to_numpy())
    with pytest.raises(ValueError, match="other row groups"):
        rows.cut_as([100] * 6)


def test_types_of_parquet_columns(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    codes = pa.array([0, 1] * 40).dictionary_encode()
    table = {"a": pa.array(np.arange(80) % 9, pa.int16()), "d": codes}
    table["b"] = pa.array(np.sin(np.arange(80.0)), pa.float32())
    y = np.arange(80) % 3 > 0
    pq.write_table(pa.table(table), tmp_path / "X.parquet")
    rows = open_parquet(tmp_path / "X.parquet")
    found = TiedLogisticRegression(pair="d", tol=1e-12).fit(rows, y)
    held = pa.table(table)
    expected = TiedLogisticRegression(pair="d", tol=1e-12).fit(held, y)
    assert found.coef_.dtype == np.float32
    assert_same(found, expected, 1e-5)
    table["b"] = pa.array([None, *np.ones(79)])
    pq.write_table(pa.table(table), tmp_path / "Y.parquet")
    with pytest.raises(ValueError, match="contains NaN"):
        TiedLogisticRegression(pair="d").fit(open_parquet(tmp_path / "Y.parquet"), y)
    pq.write_table(pa.table({"z": [1.0]}), tmp_path / "Z.parquet")
    with pytest.raises(ValueError, match=r"has the columns \['z'\]"):
        open_parquet(tmp_path)


# What is refused


def test_what_needs_all_rows_at_hand_is_refused():
    rows = stream(X[:, :-1], 100)
    y = BINARY.copy()
    for model, match in (
        (TiedLogisticRegression(store_covariance=True), "store_covariance=True needs"),
        (TiedLogisticRegression(KMeansPrior(3)), "pair=KMeansPrior.*needs all rows"),
        (
            TiedLogisticRegression(KMeansPrior(3), unlabeled=-1),
            "unlabeled=-1 needs all rows at hand",
        ),
    ):
        with pytest.raises(ValueError, match=match):
            model.fit(rows, y)
        assert not hasattr(model, "coef_")
    with pytest.raises(ValueError, match="TiedLogisticRegressionCV needs all rows"):
        TiedLogisticRegressionCV(pair=-1).fit(rows, y)
    with pytest.raises(TypeError, match="was about to be read into memory"):
        KMeans(3).fit(rows)
    with pytest.raises(TypeError, match="was about to be read into memory"):
        GridSearchCV(TiedRidge(), {"alpha": [1, 2]}, error_score="raise").fit(rows, y)


@pytest.mark.parametrize("kind", TARGETS)
def test_bad_rows_are_told_as_in_memory_and_lose_nothing(kind):
    y = TARGETS[kind]
    model = kind(pair=-1).fit(X, y)
    before = model.domain_coef_.copy()
    bad = X.copy()
    bad[500, 1] = np.nan
    far = X.copy()
    far[550, -1] = 0.5
    for rows, target, weight, match in (
        (bad, y, None, "contains NaN"),
        (far, y, None, "numbers with fractions"),
        (X, y[:-1], None, r"X has 600 rows, but y has the shape \(599,\)"),
        (X, y, WEIGHT[:-1], r"but sample_weight has the shape \(599,\)"),
        (X, y, -WEIGHT, "[Nn]egative"),
        (X, y, 0 * WEIGHT, "weight"),
        (X, np.where(np.arange(N) == 599, np.nan, y), None, "NaN"),
    ):
        with pytest.raises(ValueError, match=match):
            model.fit(stream(rows, 100), target, weight)
        assert_array_equal(model.domain_coef_, before)
    with pytest.raises(ValueError, match="600 rows, but <stream"):
        model.fit(stream(X, 100), stream(y[:-1], 100))


def test_one_weight_for_all_rows_and_no_rows():
    found = TiedRidge(pair=-1).fit(stream(X, 100), SCORE, 2.0)
    assert_same(found, TiedRidge(pair=-1).fit(X, SCORE, 2.0))
    with pytest.raises(ValueError, match=r"shape \(0, 5\)> has no rows"):
        TiedRidge().fit(ArrayStream([X[:0]]), SCORE[:0])


def test_large_maps_are_held_where_all_rows_are_needed(tmp_path, monkeypatch):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    model = TiedLogisticRegression(pair=-1, store_covariance=True).fit(X, BINARY)
    monkeypatch.setattr(_files, "MAPPED_BYTES", 1000)
    found = TiedLogisticRegression(pair=-1, store_covariance=True).fit(mapped, BINARY)
    assert_array_equal(found.coef_covariance(1), model.coef_covariance(1))


def test_errors_of_targets():
    with pytest.raises(ValueError, match="y holds one class, 1"):
        TiedLogisticRegression(pair=-1).fit(stream(X, 100), np.ones(N))
    with pytest.raises(ValueError, match="negative numbers, such as -3"):
        TiedPoissonRegressor(pair=-1).fit(stream(X, 100), np.full(N, -3))
    with pytest.raises(ValueError, match="Unknown label type"):
        TiedLogisticRegression(pair=-1).fit(stream(X, 100), SCORE)
    lone = np.where(X[:, -1] == 4, 1, BINARY)
    with pytest.raises(ValueError, match=r"tie=0.*\{4: \[1\]\}"):
        TiedLogisticRegression(pair=-1, tie=0).fit(stream(X, 100), lone)
    none = np.where(X[:, -1] == 4, 0, COUNTS)
    with pytest.raises(ValueError, match=r"\[4\] hold no events"):
        TiedPoissonRegressor(pair=-1, tie=0).fit(stream(X, 100), none)
    with pytest.raises(ValueError, match=r"sample_exposure holds 0\.0; expected posit"):
        TiedPoissonRegressor(pair=-1).fit(
            stream(X, 100), COUNTS, sample_exposure=0 * EXPOSURE
        )


def test_labels_of_several_types_in_different_blocks():
    labels = [*["a"] * 300, *[1] * 300]
    with pytest.raises(ValueError, match="mixes labels of the types"):
        TiedLogisticRegression().fit(
            stream(X, 100), BINARY, sample_domain=np.array(labels, dtype=object)
        )


def test_a_stream_is_no_array():
    with pytest.raises(TypeError, match=r"shape \(600, 5\).*blocks\(\), or call to_n"):
        np.asarray(stream(X, 100))
    assert np.asarray(stream(WEIGHT, 100), dtype=np.float32).dtype == np.float32
