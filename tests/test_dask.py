"""Tests of dask collections, against fits of the same rows in memory.

They run where the extra ``dask`` is installed; .ci/run has a stage that installs it.
"""

import os
import pickle
import signal
import warnings

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV

from sktie import (
    AutoencoderPrior,
    FeatureTie,
    KMeansPrior,
    SharedConvClassifier,
    TiedLogisticRegression,
    TiedLogisticRegressionCV,
    TiedMLPClassifier,
    TiedPair,
    TiedPoissonRegressor,
    TiedPoissonRegressorCV,
    TiedRidge,
    TiedRidgeCV,
)
from sktie.inspection import compatibility_test, tying_path, tying_report
from sktie.streams import open_npy, open_parquet
from tests.pages import code_blocks

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
pd = pytest.importorskip("pandas")

# What dask does with the newest pandas.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword in")

N, P, T = 1200, 4, 5
RNG = np.random.default_rng(0)
Z = RNG.normal(size=(N, P))
DOMAIN = RNG.integers(0, T, N)
SCORE = np.einsum("ij,ij->i", Z, RNG.normal(size=(T, P))[DOMAIN])
X = np.column_stack([Z, DOMAIN])
LABEL = (SCORE + RNG.logistic(size=N) > 0).astype(int)
THREE = np.array(["low", "mid", "top"])[
    np.digitize(SCORE + RNG.logistic(size=N), [-1, 1])
]
NUMBER = SCORE + RNG.normal(size=N)
TWO_NUMBERS = np.column_stack([NUMBER, Z[:, 0] - 2 * NUMBER])
COUNT = RNG.poisson(np.exp(SCORE / 3))
WEIGHT = RNG.uniform(0.5, 2.0, N) * (RNG.uniform(size=N) > 0.1)
EXPOSURE = RNG.uniform(0.5, 2.0, N)
# Member 9 has no rows.
GRAPH = {(0, 1): 1.0, (1, 2): 2.0, (2, 3): 1.0, (3, 4): 0.5, (4, 9): 1.0}
FIRST_TWO = [FeatureTie([0, 1], strength=3.0)]
KINDS = {
    "labels": (TiedLogisticRegression, LABEL),
    "three": (TiedLogisticRegression, THREE),
    "numbers": (TiedRidge, NUMBER),
    "counts": (TiedPoissonRegressor, COUNT),
}


def rows(values, chunks):
    """Return values as a dask array, cut along the rows only."""
    return da.from_array(values, chunks=(chunks, *values.shape[1:]))


def exact(estimator):
    """Return an estimator that is fitted to the last digits."""
    if estimator.get_params().get("tol") == 1e-8:
        estimator.set_params(tol=1e-14)
    return estimator


def assert_same(found, expected, rtol=1e-8):
    """Check that two models have learned the same."""
    names = ["coef_", "intercept_", "objective_", "tie_", "n_stored_parameters_"]
    if hasattr(expected, "domains_"):
        assert_array_equal(found.domains_, expected.domains_)
        names += ["domain_coef_", "domain_intercept_"]
    if hasattr(expected, "classes_"):
        assert_array_equal(found.classes_, expected.classes_)
        assert found.classes_.dtype == expected.classes_.dtype
    for name in names:
        one, other = np.asarray(getattr(found, name)), getattr(expected, name)
        scale = np.max(np.abs(other)) if np.all(np.isfinite(other)) else 1.0
        assert_allclose(one, other, rtol=rtol, atol=rtol * scale, err_msg=name)
        assert one.dtype == np.asarray(other).dtype, name


def both(estimator, inputs, chunked, rtol=1e-8):
    """Fit the same estimator to rows in memory and in chunks, and compare."""
    expected = clone(exact(estimator)).fit(**inputs)
    found = estimator.fit(**chunked)
    assert_same(found, expected, rtol)
    return found, expected


@pytest.mark.parametrize("chunks", [N, 500, 37])
@pytest.mark.parametrize("kind", KINDS)
def test_chunks_of_arrays_are_fitted_as_rows_in_memory_are(kind, chunks):
    estimator, y = KINDS[kind]
    found, expected = both(
        estimator(pair=-1, tie=2.0),
        {"X": X, "y": y, "sample_weight": WEIGHT},
        {
            "X": rows(X, chunks),
            "y": rows(y, chunks),
            "sample_weight": rows(WEIGHT, chunks),
        },
    )
    assert found.n_features_in_ == P + 1
    predicted = found.predict(rows(X, chunks))
    assert isinstance(predicted, da.Array)
    assert predicted.shape == (N,)
    assert predicted.dtype == expected.predict(X).dtype
    if kind in ("labels", "three"):
        assert_array_equal(predicted, expected.predict(X))
    else:
        assert_allclose(predicted, expected.predict(X), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("solver", ["newton-cholesky", "newton-cg", "lbfgs"])
@pytest.mark.parametrize("kind", ["labels", "three", "counts"])
def test_all_solvers_end_at_the_same_minimum(kind, solver):
    estimator, y = KINDS[kind]
    both(
        estimator(pair=-1, tie=2.0, solver=solver),
        {"X": X, "y": y},
        {"X": rows(X, 210), "y": rows(y, 210)},
    )


SETTINGS = {
    "separate": {"tie": 0.0},
    "shared": {"tie": np.inf},
    "free intercept": {"tie_intercept": False},
    "other intercept": {"tie_intercept": 0.1},
    "no intercept": {"fit_intercept": False},
    "distance": {"max_distance": 0.3},
    "graph": {"graph": GRAPH},
    "learned": {"graph": "learned"},
    "shared decay": {"decay": "shared"},
    "close features": {"feature_ties": FIRST_TWO},
    "equal features": {"feature_shares": [[0, 1]]},
    "strengths": {"tie": [0.5, 1.0, 2.0, 4.0], "tie_intercept": 1.0},
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", ["labels", "numbers", "counts"])
def test_all_settings_are_those_of_rows_in_memory(kind, setting):
    estimator, y = KINDS[kind]
    # A distance is found to a tolerance, on a path of its own.
    both(
        estimator(pair=-1, **SETTINGS[setting]),
        {"X": X, "y": y, "sample_weight": WEIGHT},
        {"X": rows(X, 170), "y": rows(y, 170), "sample_weight": rows(WEIGHT, 170)},
        rtol=1e-6 if setting == "distance" else 1e-8,
    )


@pytest.mark.parametrize("kind", ["labels", "numbers"])
def test_strengths_of_the_highest_evidence(kind):
    estimator, y = KINDS[kind]
    decay = "alpha" if kind == "numbers" else "C"
    found, expected = both(
        estimator(pair=-1, tie="auto", **{decay: "auto"}),
        {"X": X, "y": y},
        {"X": rows(X, 400), "y": rows(y, 400)},
        rtol=1e-6,
    )
    assert_allclose(found.log_evidence_, expected.log_evidence_, rtol=1e-8)


@pytest.mark.parametrize("class_weight", ["balanced", {"low": 2, "mid": 1, "top": 3}])
def test_weights_of_classes_count_over_all_chunks(class_weight):
    both(
        TiedLogisticRegression(pair=-1, class_weight=class_weight),
        {"X": X, "y": THREE, "sample_weight": WEIGHT},
        {"X": rows(X, 90), "y": rows(THREE, 90), "sample_weight": rows(WEIGHT, 90)},
    )


def test_models_without_domains_and_tied_to_a_fixed_one():
    both(
        TiedLogisticRegression(),
        {"X": Z, "y": THREE},
        {"X": rows(Z, 90), "y": rows(THREE, 90)},
    )
    before = FrozenEstimator(TiedLogisticRegression().fit(Z[:100], LABEL[:100]))
    both(
        TiedLogisticRegression(pair=before, tie=5.0),
        {"X": Z, "y": LABEL},
        {"X": rows(Z, 90), "y": rows(LABEL, 90)},
    )


@pytest.mark.parametrize("in_memory", [True, False])
def test_what_goes_with_rows_is_in_chunks_or_in_memory(in_memory):
    """Chunks of another size are cut anew."""
    beside = {
        "y": COUNT,
        "sample_weight": WEIGHT,
        "sample_domain": np.array(list("abcde"))[DOMAIN],
        "sample_exposure": EXPOSURE,
    }
    chunked = dict(beside)
    if not in_memory:
        chunked = {name: rows(values, 250) for name, values in beside.items()}
    found, expected = both(
        TiedPoissonRegressor(tie=3.0),
        {"X": Z, **beside},
        {"X": da.from_array(Z, chunks=(333, 2)), **chunked},
    )
    given = {name: chunked[name] for name in ("sample_domain", "sample_exposure")}
    predicted = found.predict(rows(Z, 333), **given)
    own = {name: beside[name] for name in given}
    assert_allclose(predicted, expected.predict(Z, **own), rtol=1e-6)


def test_covariances_of_ridge_regression():
    model = TiedRidge(pair=-1, store_covariance=True).fit(rows(X, 170), NUMBER)
    expected = TiedRidge(pair=-1, store_covariance=True).fit(X, NUMBER)
    assert_allclose(
        model.coef_covariance(1), expected.coef_covariance(1), rtol=1e-8, atol=1e-12
    )


def test_targets_of_several_columns():
    found, expected = both(
        TiedRidge(pair=-1),
        {"X": X, "y": TWO_NUMBERS},
        {"X": rows(X, 100), "y": rows(TWO_NUMBERS, 100)},
    )
    predicted = found.predict(rows(X, 100))
    assert predicted.shape == (N, 2)
    assert_allclose(predicted, expected.predict(X), atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_stays_single(kind):
    estimator, y = KINDS[kind]
    one, model = X.astype(np.float32), estimator(pair=-1)
    found = model.fit(rows(one, 100), rows(y, 100))
    assert found.coef_.dtype == np.float32
    expected = clone(model).fit(one, y)
    assert_allclose(found.domain_coef_, expected.domain_coef_, atol=2e-4)
    assert found.predict(rows(one, 100)).dtype == expected.predict(one).dtype


def test_chunks_of_several_dtypes_are_read_as_the_widest():
    mixed = [X[:400].astype(np.float32), X[400:800].astype(np.float32), X[800:]]
    joined = np.concatenate(mixed)
    whole = da.concatenate([rows(part, 100) for part in mixed])
    parts = [da.from_array(part, chunks=(100, P + 1)) for part in mixed]
    # dask says float64 of all, whatever its chunks hold.
    narrow = da.concatenate([part.astype(np.float32) for part in parts[:2]])
    for table in (whole, da.concatenate([narrow, parts[2]])):
        both(
            TiedLogisticRegression(pair=-1),
            {"X": joined, "y": LABEL},
            {"X": table, "y": LABEL},
        )


@pytest.mark.parametrize("kind", KINDS)
def test_sparse_chunks(kind):
    estimator, y = KINDS[kind]
    thin = np.where(np.abs(Z) > 0.7, Z, 0.0)
    chunks = rows(thin, 170).map_blocks(sp.csr_matrix)
    found, expected = both(
        estimator(tie=2.0),
        {"X": sp.csr_matrix(thin), "y": y, "sample_domain": DOMAIN},
        {"X": chunks, "y": rows(y, 170), "sample_domain": DOMAIN},
    )
    predicted = found.predict(chunks, sample_domain=DOMAIN).compute()
    own = expected.predict(sp.csr_matrix(thin), sample_domain=DOMAIN)
    assert predicted.shape == own.shape
    assert predicted.dtype == own.dtype


@st.composite
def cuts(draw):
    """Return sizes of chunks, some of them small, of N rows."""
    ends = draw(st.lists(st.integers(1, N - 1), max_size=6, unique=True))
    return tuple(np.diff([0, *sorted(ends), N]).tolist())


@settings(max_examples=10)
@given(sizes=cuts(), columns=st.integers(1, P + 1), kind=st.sampled_from(sorted(KINDS)))
def test_any_chunks_give_the_same_model(sizes, columns, kind):
    estimator, y = KINDS[kind]
    both(
        estimator(pair=-1, tie=2.0),
        {"X": X, "y": y},
        {"X": da.from_array(X, chunks=(sizes, columns)), "y": y},
    )


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_may_lack_domains_and_classes(kind):
    """Sorted by domain and then by target, chunks hold little of either."""
    estimator, y = KINDS[kind]
    order = np.lexsort((y, DOMAIN))
    both(
        estimator(pair=-1, tie=2.0),
        {"X": X[order], "y": y[order]},
        {"X": rows(X[order], 50), "y": rows(y[order], 50)},
    )


SITE = np.array(["ärztin", "b", "c", "dd", "e"])[DOMAIN]
FRAME = pd.DataFrame(Z, columns=list("abcd")).assign(
    site=SITE, ill=np.where(LABEL, "yes", "no"), number=NUMBER, count=COUNT, w=WEIGHT
)
NAMES = [*"abcd", "site"]


def test_frames_have_columns_by_name():
    whole = dd.from_pandas(FRAME, npartitions=5)
    found, expected = both(
        TiedLogisticRegression(pair="site"),
        {"X": FRAME[NAMES], "y": FRAME["ill"], "sample_weight": FRAME["w"]},
        {"X": whole[NAMES], "y": whole["ill"], "sample_weight": whole["w"]},
    )
    assert_array_equal(found.feature_names_in_, NAMES)
    assert_array_equal(found.coef_feature_names_, list("abcd"))
    predicted = found.predict(whole[NAMES])
    assert isinstance(predicted, da.Array)
    assert_array_equal(predicted, expected.predict(FRAME[NAMES]))
    assert_allclose(
        found.predict_proba(whole[NAMES]),
        expected.predict_proba(FRAME[NAMES]),
        rtol=1e-6,
    )
    with pytest.raises(ValueError, match="feature names"):
        found.predict(whole[["b", "a", "c", "d", "site"]]).compute()


@pytest.mark.parametrize("estimator", [TiedRidge, TiedPoissonRegressor])
def test_frames_of_regressors(estimator):
    target = {TiedRidge: "number", TiedPoissonRegressor: "count"}[estimator]
    whole = dd.from_pandas(FRAME, npartitions=5)
    found, expected = both(
        estimator(pair="site"),
        {"X": FRAME[NAMES], "y": FRAME[target]},
        {"X": whole[NAMES], "y": whole[target]},
    )
    predicted = found.predict(whole[NAMES])
    assert_allclose(predicted, expected.predict(FRAME[NAMES]), rtol=1e-6)


def test_targets_in_memory_go_with_frames():
    whole = dd.from_pandas(FRAME, npartitions=5)
    both(
        TiedLogisticRegression(),
        {"X": FRAME[list("abcd")], "y": LABEL, "sample_domain": SITE},
        {"X": whole[list("abcd")], "y": LABEL, "sample_domain": SITE},
    )


@pytest.mark.parametrize("known", [True, False])
def test_categories_are_domains(known):
    """Of each partition its own, where they are not known over all."""
    frame = FRAME.assign(site=FRAME["site"].astype("category")).sort_values("site")
    whole = dd.from_pandas(frame, npartitions=5, sort=False)
    if not known:
        text = dd.from_pandas(frame.assign(site=frame["site"].astype(str)), 5)
        whole = text.assign(site=text["site"].astype("category"))
        assert not whole["site"].cat.known
    both(
        TiedLogisticRegression(pair="site"),
        {"X": frame[NAMES], "y": frame["ill"]},
        {"X": whole[NAMES], "y": whole["ill"]},
    )


def test_files_of_parquet(tmp_path):
    dd.from_pandas(FRAME, npartitions=4).to_parquet(tmp_path / "rows")
    whole = dd.read_parquet(tmp_path / "rows")
    assert not whole.known_divisions
    found, expected = both(
        TiedLogisticRegression(pair="site"),
        {"X": FRAME[NAMES], "y": FRAME["ill"]},
        {"X": whole[NAMES], "y": whole["ill"]},
    )
    predicted = found.predict(whole[NAMES]).compute()
    assert_array_equal(predicted, expected.predict(FRAME[NAMES]))


def test_partitions_without_rows_are_left_out():
    frame = FRAME.sort_values("site")
    whole = dd.from_pandas(frame, npartitions=6, sort=False)
    for keep in (["ärztin"], ["c", "dd"], ["e"]):
        few, own = whole[whole["site"].isin(keep)], frame[frame["site"].isin(keep)]
        assert 0 in few.map_partitions(len).compute().tolist()
        found, expected = both(
            TiedLogisticRegression(pair="site"),
            {"X": own[NAMES], "y": own["ill"]},
            {"X": few[NAMES], "y": few["ill"]},
        )
        predicted = found.predict_proba(few[NAMES]).compute()
        assert_allclose(predicted, expected.predict_proba(own[NAMES]), rtol=1e-6)
    none = whole[whole["site"] == "elsewhere"]
    with pytest.raises(ValueError, match="X has no rows"):
        TiedLogisticRegression(pair="site").fit(none[NAMES], none["ill"])


def test_a_chunk_without_rows_is_left_out_of_arrays():
    table = da.from_array(X, chunks=((50, 0, N - 50), (P + 1,)))
    both(TiedRidge(pair=-1), {"X": X, "y": NUMBER}, {"X": table, "y": NUMBER})


def test_chunks_of_unknown_sizes_go_with_others_of_the_same():
    few = DOMAIN != 2
    table, y = rows(X, 200), rows(LABEL, 200)
    chosen = table[:, -1] != 2
    assert np.isnan(table[chosen].shape[0])
    found, expected = both(
        TiedLogisticRegression(pair=-1),
        {"X": X[few], "y": LABEL[few]},
        {"X": table[chosen], "y": y[chosen]},
    )
    predicted = found.predict(table[chosen])
    assert np.isnan(predicted.shape[0])
    assert_array_equal(predicted, expected.predict(X[few]))


def test_a_sample_of_many_rows_stays_in_its_chunks(monkeypatch):
    """It gives the start, from which passes over all rows are few."""
    from sktie.streams import _dask

    rng = np.random.default_rng(1)
    wide = rng.normal(size=(60_000, 4))
    label = wide[:, 0] + rng.logistic(size=len(wide)) > 1
    drawn, passes = [], []
    sample, run = _dask.DaskParts.sample, _dask.DaskParts.total

    def counted_sample(self, *given):
        drawn.append(sample(self, *given))
        return drawn[-1]

    def counted_total(self, *given):
        passes.append(self)
        return run(self, *given)

    monkeypatch.setattr(_dask.DaskParts, "sample", counted_sample)
    monkeypatch.setattr(_dask.DaskParts, "total", counted_total)
    both(
        TiedLogisticRegression(tol=1e-18),
        {"X": wide, "y": label},
        {"X": rows(wide, 5000), "y": rows(label, 5000)},
    )
    (own,) = drawn
    kept = sum(chunk[0].compute().design.n_rows for _, chunk in own._blocks)
    assert 2000 <= kept <= 60_000 / 3
    passes.clear()
    TiedLogisticRegression().fit(rows(wide, 5000), rows(label, 5000))
    over_all = sum(parts is not drawn[-1] for parts in passes)
    passes.clear()
    monkeypatch.setattr(_dask.DaskParts, "sample", lambda *given: None)
    TiedLogisticRegression().fit(rows(wide, 5000), rows(label, 5000))
    assert over_all < len(passes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [True, False])
def test_scores_are_those_of_rows_in_memory(kind, weighted):
    estimator, y = KINDS[kind]
    model = estimator(pair=-1).fit(X, y)
    weight = WEIGHT if weighted else None
    expected = model.score(X, y, weight)
    for own_y, own_weight in ((y, weight), (rows(y, 170), rows(WEIGHT, 170))):
        own_weight = own_weight if weighted else None
        found = model.score(rows(X, 170), own_y, own_weight)
        assert found == pytest.approx(expected, rel=1e-12)


def test_scores_with_exposures():
    model = TiedPoissonRegressor(pair=-1).fit(X, COUNT, sample_exposure=EXPOSURE)
    expected = model.score(X, COUNT, WEIGHT, sample_exposure=EXPOSURE)
    chunks = (rows(values, 170) for values in (X, COUNT, WEIGHT))
    found = model.score(*chunks, sample_exposure=rows(EXPOSURE, 170))
    assert found == pytest.approx(expected, rel=1e-12)


METHODS = {
    "predict": (N,),
    "predict_proba": (N, 3),
    "predict_log_proba": (N, 3),
    "decision_function": (N, 3),
}


@pytest.mark.parametrize("method", METHODS)
def test_predictions_are_made_later_of_known_shape(method):
    def refuse(block):
        raise AssertionError("nothing should be computed yet")

    model = TiedLogisticRegression(pair=-1).fit(X, THREE)
    lazy = rows(X, 170).map_blocks(refuse, dtype=X.dtype, meta=np.empty((0, 0)))
    found = getattr(model, method)(lazy)
    assert found.shape == METHODS[method]
    assert found.chunks[0] == lazy.chunks[0]
    expected = getattr(model, method)(X)
    assert found.dtype == expected.dtype
    again = getattr(model, method)(rows(X, 170)).compute()
    if method == "predict":
        assert_array_equal(again, expected)
    else:
        assert_allclose(again, expected, rtol=1e-12, atol=1e-12)
    with pytest.raises(AssertionError, match="nothing should"):
        found.compute()


def test_a_chunk_may_weigh_nothing_and_hold_one_class():
    weight = WEIGHT.copy()
    weight[200:400] = 0.0
    order = np.argsort(LABEL, kind="stable")
    both(
        TiedLogisticRegression(pair=-1, C=0.5),
        {"X": X[order], "y": LABEL[order], "sample_weight": weight},
        {
            "X": rows(X[order], 100),
            "y": rows(LABEL[order], 100),
            "sample_weight": rows(weight, 100),
        },
    )


def with_value(value):
    broken = X.copy()
    broken[700, 1] = value
    return broken


MIXED = np.array([1, 2] * (N // 4) + ["a", "b"] * (N // 4), dtype=object)
WRONG = {
    "nan": ({"X": with_value(np.nan)}, "Input X contains NaN"),
    "inf": ({"X": with_value(np.inf)}, "Input X contains infinity"),
    "labels of several types": (
        {"y": MIXED},
        "mixes labels of the types|Unknown label type",
    ),
    "fractions": ({"y": NUMBER}, "Unknown label type: continuous"),
    "one class": ({"y": np.zeros(N, int)}, "y holds one class, 0"),
    "negative weights": ({"sample_weight": -WEIGHT}, "Negative values"),
    "no weight": ({"sample_weight": 0 * WEIGHT}, "All sample weights are zero"),
    "empty domain": (
        {"sample_weight": WEIGHT * (DOMAIN != 3)},
        r"The domains \[3\] have weight zero",
    ),
    "short weights": ({"sample_weight": WEIGHT[:800]}, "800"),
    "short labels": ({"y": LABEL[:800]}, "800"),
    "no labels": ({"y": None}, "requires y to be passed"),
    "one dimension": ({"X": X[:, 0]}, "Expected 2D array, got 1D array"),
    "three dimensions": ({"X": X[:, :, np.newaxis]}, "Found array with dim 3"),
}


@pytest.mark.parametrize("in_chunks", [True, False])
@pytest.mark.parametrize("case", WRONG)
def test_errors_are_those_of_rows_in_memory(case, in_chunks):
    changed, message = WRONG[case]
    given = {"X": X, "y": LABEL, **changed}
    if in_chunks:
        given = {k: None if v is None else rows(v, 170) for k, v in given.items()}
    model = TiedLogisticRegression(pair=-1)
    with pytest.raises(ValueError, match=message):
        model.fit(**given)
    assert not hasattr(model, "coef_")


def test_domains_of_several_types_are_an_error():
    for domain in (MIXED, rows(MIXED, N // 2), rows(MIXED, 170)):
        with pytest.raises(ValueError, match="mixes labels of the types"):
            TiedLogisticRegression().fit(rows(Z, N // 2), LABEL, sample_domain=domain)


def test_counts_and_exposures_are_checked():
    model, bad = TiedPoissonRegressor(pair=-1), EXPOSURE.copy()
    bad[900] = -1.0
    with pytest.raises(ValueError, match="sample_exposure holds -1"):
        model.fit(rows(X, 170), COUNT, sample_exposure=bad)
    with pytest.raises(ValueError, match="expected counts, 0 or more"):
        model.fit(rows(X, 170), -COUNT)


def test_chunks_have_to_go_together():
    table = rows(X, 200)
    unknown = table[table[:, 0] > 0]
    model = TiedLogisticRegression(pair=-1)
    with pytest.raises(ValueError, match=r"compute_chunk_sizes\(\) first"):
        model.fit(unknown, LABEL)
    with pytest.raises(ValueError, match="y has 4 chunks, and X has 6"):
        model.fit(unknown, rows(LABEL, 200)[:800])
    with pytest.raises(ValueError, match="X has 1200 rows, but sample_weight has 800"):
        model.fit(table, LABEL, rows(WEIGHT[:800], 200))
    with pytest.raises(ValueError, match="X has 1200 rows, but y has 800"):
        model.fit(table, LABEL[:800])


def test_an_unfitted_model_says_so():
    for model in (TiedLogisticRegression(), TiedRidge(), KMeansPrior()):
        with pytest.raises(NotFittedError):
            model.predict(rows(Z, 200))
    with pytest.raises(NotFittedError):
        SharedConvClassifier().predict_proba(rows(IMAGES, 60))


def test_only_arrays_and_frames_are_rows():
    from dask import bag

    for collection in (dask.delayed(X), bag.from_sequence([1, 2])):
        with pytest.raises(TypeError, match="expected a dask array or data frame"):
            TiedRidge().fit(collection, NUMBER)
        with pytest.raises(TypeError, match="expected a dask array or data frame"):
            TiedRidge().fit(Z, NUMBER).predict(collection)


NOT_OFFERED = {
    "prior": lambda X, y: TiedLogisticRegression(KMeansPrior(3)).fit(X, y),
    "unlabeled": lambda X, y: TiedLogisticRegression(KMeansPrior(3), unlabeled=-1).fit(
        X, y
    ),
    "store_covariance": lambda X, y: TiedLogisticRegression(store_covariance=True).fit(
        X, y
    ),
    "TiedLogisticRegressionCV": lambda X, y: TiedLogisticRegressionCV(-1).fit(X, y),
    "TiedRidgeCV": lambda X, y: TiedRidgeCV(-1).fit(X, y),
    "TiedPoissonRegressorCV": lambda X, y: TiedPoissonRegressorCV(-1).fit(X, y),
    "TiedPair": lambda X, y: TiedPair(LogisticRegression(), Ridge()).fit(X, y),
    "TiedMLPClassifier": lambda X, y: TiedMLPClassifier().fit(X, y),
    "SharedConvClassifier": lambda X, y: SharedConvClassifier().fit(X, y),
    "AutoencoderPrior": lambda X, y: AutoencoderPrior(3).fit(X),
    "tying_report": lambda X, y: tying_report(
        TiedRidge(-1).fit(X.compute(), y.compute()), X, y
    ),
    "tying_path": lambda X, y: tying_path(TiedLogisticRegression(-1), X, y),
    "compatibility_test": lambda X, y: compatibility_test(
        TiedLogisticRegression(-1), X, y
    ),
}


@pytest.mark.parametrize("name", NOT_OFFERED)
def test_what_needs_all_rows_at_hand_says_so_and_what_to_do(name):
    remedy = "sample of the rows|such as a sample|partial_fit"
    with pytest.raises(ValueError, match=f"needs all rows at hand.*({remedy})"):
        NOT_OFFERED[name](rows(X, 200), rows(LABEL, 200))


IMAGES = RNG.integers(0, 255, size=(240, 6, 6, 2)).astype(np.uint8)


def by_hand(estimator, step, given, **options):
    """Call partial_fit with the rows of each chunk."""
    for start in range(0, len(next(iter(given.values()))), step):
        own = {name: values[start : start + step] for name, values in given.items()}
        estimator.partial_fit(**own, **options)
    return estimator


def assert_identical(one, other, name=""):
    """Check that two fitted states are the same bit by bit."""
    if isinstance(other, np.ndarray):
        assert_array_equal(one, other, err_msg=name)
    elif isinstance(other, dict):
        assert one.keys() == other.keys(), name
        for key in other:
            assert_identical(one[key], other[key], f"{name}.{key}")
    elif isinstance(other, (list, tuple)):
        assert len(one) == len(other), name
        for own, others in zip(one, other, strict=True):
            assert_identical(own, others, name)
    elif hasattr(other, "__dict__") and not callable(other):
        assert_identical(vars(one), vars(other), name)
    elif not isinstance(other, np.random.RandomState):
        assert one == other or one != one, name


BATCHES = {
    "classifier": (
        lambda: TiedLogisticRegression(store_covariance=True),
        {"X": Z, "y": THREE, "sample_weight": WEIGHT},
        {"classes": ["low", "mid", "top"]},
    ),
    "regressor": (
        lambda: TiedRidge(store_covariance=True, tie=0.5),
        {"X": Z, "y": TWO_NUMBERS},
        {},
    ),
    "clusters": (
        lambda: KMeansPrior(4, random_state=0),
        {"X": Z, "sample_weight": WEIGHT},
        {},
    ),
    "images": (
        lambda: SharedConvClassifier((3,), random_state=0),
        {"X": IMAGES, "y": LABEL[:240]},
        {"classes": [0, 1]},
    ),
    "rows of pixels": (
        lambda: SharedConvClassifier((3,), random_state=0, dropout=0.2),
        {
            "X": IMAGES[..., 0].reshape(240, 36),
            "y": LABEL[:240],
            "sample_weight": WEIGHT[:240],
            "sample_domain": DOMAIN[:240] % 2,
        },
        {"classes": [0, 1]},
    ),
}


@pytest.mark.parametrize("case", BATCHES)
def test_partial_fit_takes_chunk_after_chunk(case, monkeypatch):
    monkeypatch.setattr("sktie.streams._apply.IN_FLIGHT", 3)
    make, given, options = BATCHES[case]
    step = len(given["X"]) // 4
    expected = by_hand(make(), step, given, **options)
    chunked = {name: rows(values, step) for name, values in given.items()}
    chunked["X"] = chunked["X"].rechunk({1: 2})
    found = make().partial_fit(**chunked, **options)
    assert_identical(vars(found), vars(expected))
    # A second pass goes on, and so do rows in memory.
    by_hand(expected, step, given).partial_fit(**given)
    found.partial_fit(**chunked).partial_fit(**given)
    assert_identical(vars(found), vars(expected))


@pytest.mark.parametrize("case", sorted(set(BATCHES) - {"images"}))
def test_partial_fit_takes_block_after_block_of_streams(case, tmp_path):
    make, given, options = BATCHES[case]
    step = len(given["X"]) // 4
    for start in range(0, len(given["X"]), step):
        np.save(tmp_path / f"{start:05}.npy", given["X"][start : start + step])
    expected = by_hand(make(), step, given, **options)
    found = make().partial_fit(
        open_npy(tmp_path), **{k: v for k, v in given.items() if k != "X"}, **options
    )
    assert_identical(vars(found), vars(expected))


def test_a_failing_chunk_leaves_the_model_as_it_was():
    for model in (
        TiedRidge(store_covariance=True).partial_fit(Z, NUMBER),
        TiedRidge(store_covariance=True),
    ):
        before = pickle.dumps(vars(model))
        with pytest.raises(ValueError, match="contains NaN"):
            model.partial_fit(rows(with_value(np.nan)[:, :P], 200), NUMBER)
        assert pickle.dumps(vars(model)) == before


def test_partitions_without_rows_are_no_batches():
    frame = FRAME.sort_values("site")
    whole = dd.from_pandas(frame, npartitions=6, sort=False)
    few = whole[whole["site"] == "c"]
    model = TiedRidge(store_covariance=True)
    model.partial_fit(few[list("abcd")], few["number"])
    assert model.coef_.shape == (P,)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform"])
@pytest.mark.parametrize("case", ["images", "rows of pixels"])
def test_networks_predict_chunk_by_chunk(case, method):
    make, given, _ = BATCHES[case]
    own = {"sample_domain": given["sample_domain"]} if "sample_domain" in given else {}
    model = make().fit(given["X"], given["y"], **own)
    own = {} if method == "transform" else own
    expected = getattr(model, method)(given["X"], **own)
    found = getattr(model, method)(rows(given["X"], 70), **own)
    assert isinstance(found, da.Array)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert_allclose(found.compute(), expected, rtol=1e-4, atol=1e-6)


def distortion(prior, Z):
    return np.square(Z - prior.cluster_centers_[prior.predict(Z)]).sum()


def test_clusters_of_chunks(monkeypatch):
    """Of a sample that is all rows, and of a small one."""
    from sktie.priors import _kmeans_blocks

    pixels = load_digits().data / 16
    expected = KMeansPrior(20, random_state=0).fit(pixels)
    found = KMeansPrior(20, random_state=0).fit(rows(pixels, 200))
    assert distortion(found, pixels) <= 1.01 * distortion(expected, pixels)
    assert found.temperature_ == pytest.approx(expected.temperature_, rel=0.02)
    assert not hasattr(found, "labels_")
    monkeypatch.setattr(_kmeans_blocks, "SAMPLE_SIZE", 64 * 300)
    for own in (rows(pixels, 200), dd.from_pandas(pd.DataFrame(pixels), npartitions=9)):
        rough = KMeansPrior(20, random_state=0).fit(own)
        assert distortion(rough, pixels) <= 1.1 * distortion(expected, pixels)
    for code in ("one-hot", "soft", "triangle"):
        for sparse in (False, True):
            found.set_params(code=code, sparse_output=sparse)
            codes, whole = found.transform(rows(pixels, 200)), found.transform(pixels)
            assert codes.shape == whole.shape
            assert codes.dtype == whole.dtype
            made = codes.compute()
            assert sp.issparse(made) == sparse
            if sparse:
                made, whole = made.toarray(), whole.toarray()
            assert_allclose(made, whole, atol=1e-12)
    assert_array_equal(found.predict(rows(pixels, 200)), found.predict(pixels))


def test_clusters_of_frames_and_of_files_know_names(tmp_path):
    names, step = list("abcd"), N // 4
    whole = dd.from_pandas(FRAME, npartitions=4)
    FRAME[[*names, "w"]].to_parquet(tmp_path / "rows.parquet", row_group_size=step)
    stream = open_parquet(tmp_path / "rows.parquet")
    for table, weight in ((whole[names], whole["w"]), (stream[names], stream["w"])):
        prior = KMeansPrior(3, random_state=0).fit(table, sample_weight=weight)
        assert_array_equal(prior.feature_names_in_, names)
        codes = prior.transform(table)
        assert_array_equal(codes, prior.transform(FRAME[names]))
    none = whole[whole["site"] == "elsewhere"]
    with pytest.raises(ValueError, match="X has no rows"):
        KMeansPrior(3).fit(none[names])


def test_clusters_of_chunks_are_a_prior():
    pixels, digit = load_digits(return_X_y=True)
    pixels = pixels / 16
    prior = KMeansPrior(30, random_state=0).fit(rows(pixels, 200))
    few = np.concatenate([np.flatnonzero(digit == k)[:3] for k in range(10)])
    tied = TiedLogisticRegression(FrozenEstimator(prior), C=100, tie=10)
    tied.fit(pixels[few], digit[few], X_unlabeled=pixels[:500])
    alone = TiedLogisticRegression().fit(pixels[few], digit[few])
    assert tied.score(pixels, digit) > alone.score(pixels, digit)


def test_weights_of_clusters_of_chunks():
    twice = np.where(DOMAIN == 0, 2.0, 0.0)
    found = KMeansPrior(3, random_state=0).fit(
        rows(Z, 200), sample_weight=rows(twice, 200)
    )
    expected = KMeansPrior(3, random_state=0).fit(Z[DOMAIN == 0])
    own = Z[DOMAIN == 0]
    assert distortion(found, own) <= 1.02 * distortion(expected, own)


@pytest.fixture(scope="module")
def client():
    """Two processes that work for the tests after this one."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=":0",
            memory_limit=0,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def many(n_rows, domains=T):
    """Return rows of a classification, and their labels."""
    rng = np.random.default_rng(3)
    table = rng.normal(size=(n_rows, P + 1))
    label = (table[:, 0] + rng.logistic(size=n_rows) > 0).astype(int)
    table[:, -1] = rng.integers(0, domains, n_rows)
    return table, label


@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs"])
def test_sums_come_back_and_never_rows(client, monkeypatch, solver):
    """The largest thing that the client gets does not grow with the rows."""
    gather, sizes = type(client).gather, []

    def weighed(self, *args, **options):
        found = gather(self, *args, **options)
        sizes[-1].append(len(pickle.dumps(found)))
        return found

    monkeypatch.setattr(type(client), "gather", weighed)
    for n_rows in (1_000, 10_000, 40_000):
        table, label = many(n_rows)
        step = n_rows // 4
        chunks = dask.persist(rows(table, step), rows(label, step))
        sizes.append([])
        model = TiedLogisticRegression(pair=-1, solver=solver).fit(*chunks)
        expected = TiedLogisticRegression(pair=-1, solver=solver).fit(table, label)
        assert_allclose(model.coef_, expected.coef_, rtol=1e-3, atol=1e-4)
    few, more, most = map(max, sizes)
    assert len(sizes[0]) > 4
    # Counts of many rows take a few bytes more than those of few.
    assert max(more, most) <= few + 300
    # Hessians of T domains, or what 4 chunks tell of their labels.
    assert most < 8 * T * (P + 1) ** 2 + 4_000


def test_large_parameters_are_nothing_to_warn_of(client):
    """Once, at first, rows may be: those that are no collection but in the graph."""
    table, label = many(1_000)
    chunks = dask.persist(rows(table, 250), rows(label, 250))
    limit = {"distributed.admin.large-graph-warning-threshold": "1kB"}
    with dask.config.set(limit), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        TiedLogisticRegression(pair=-1).fit(*chunks)
    assert ["large graph" in str(one.message) for one in told] == [True]


def test_no_rows_come_back_in_partial_fit(client, monkeypatch):
    gather, sizes = type(client).gather, []

    def weighed(self, *args, **options):
        found = gather(self, *args, **options)
        sizes.append(len(pickle.dumps(found)))
        return found

    table, _ = many(40_000)
    chunks = rows(table, 10_000).persist()
    monkeypatch.setattr(type(client), "gather", weighed)
    prior = KMeansPrior(3, random_state=0).fit(chunks)
    *signals, last = sizes
    assert max(signals) < 200
    # The clusterer in it keeps the labels of its last batch, of 4 bytes a row.
    assert last < 4 * 10_000 + 10_000
    expected = KMeansPrior(3, random_state=0).fit(rows(table, 10_000).compute())
    assert distortion(prior, table) <= 1.02 * distortion(expected, table)


def test_a_worker_that_is_killed_between_passes_is_survived(client, monkeypatch):
    """Its chunks are lost, and computed anew elsewhere."""
    from sktie.streams import _dask

    table, label = many(3_000)
    chunks = dask.persist(rows(table, 250), rows(label, 250))
    expected = TiedLogisticRegression(pair=-1, tol=1e-14).fit(table, label)
    run, passes = _dask.DaskParts.total, []
    before = client.run(os.getpid)

    def total(self, *given):
        passes.append(self)
        if len(passes) == 3:
            os.kill(next(iter(before.values())), signal.SIGKILL)
        return run(self, *given)

    monkeypatch.setattr(_dask.DaskParts, "total", total)
    found = TiedLogisticRegression(pair=-1, tol=1e-14).fit(*chunks)
    assert len(passes) > 3
    assert_same(found, expected)


def test_a_worker_that_is_killed_in_a_pass_is_survived(client, tmp_path):
    table, label = many(3_000)
    marks = tmp_path / "passes"
    kill = signal.SIGKILL

    def deadly(block):
        """Return a block, but not in the fourth pass over it."""
        with marks.open("a") as file:
            file.write("x")
        if marks.stat().st_size == 4:
            os.kill(os.getpid(), kill)
        return block

    first = da.from_array(table[:250], chunks=(250, P + 1))
    first = first.map_blocks(deadly, meta=table[:0])
    whole = da.concatenate([first, rows(table[250:], 250)])
    found = TiedLogisticRegression(pair=-1, tol=1e-14).fit(whole, rows(label, 250))
    assert marks.stat().st_size > 4
    assert_same(found, TiedLogisticRegression(pair=-1, tol=1e-14).fit(table, label))


def test_a_worker_that_is_killed_in_partial_fit_is_survived(client, tmp_path):
    given = {"X": IMAGES, "y": LABEL[:240]}
    mark, kill = tmp_path / "killed", signal.SIGKILL

    def deadly(block):
        if block.shape[0] and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), kill)
        return block

    chunked = {name: rows(values, 60) for name, values in given.items()}
    chunked["X"] = da.concatenate(
        [chunked["X"][:120], chunked["X"][120:].map_blocks(deadly, meta=IMAGES[:0])]
    )
    found = SharedConvClassifier((3,), random_state=0)
    found.partial_fit(**chunked, classes=[0, 1])
    assert mark.exists()
    expected = SharedConvClassifier((3,), random_state=0)
    assert_identical(vars(found), vars(by_hand(expected, 60, given, classes=[0, 1])))


def test_the_page_is_true(client, root, tmp_path, monkeypatch):
    """Its blocks run one after the other; this cluster serves for the one it starts."""
    table = pd.DataFrame(Z[:, :2], columns=["age", "pressure"])
    table = table.assign(hospital=SITE, ward=DOMAIN, ill=LABEL, days=NUMBER)
    dd.from_pandas(table, npartitions=3).to_parquet(tmp_path / "visits")
    monkeypatch.chdir(tmp_path)
    page = (root / "docs" / "dask.rst").read_text("utf-8")
    blocks = code_blocks(page)
    assert len(blocks) == 4
    names = {"__name__": "dask_page"}
    for code in blocks:
        own = [line for line in code.splitlines() if "Client" not in line]
        own = [line for line in own if "LocalCluster" not in line]
        exec(compile("\n".join(own), "dask.rst", "exec"), names)
    assert names["chance"].shape[1] == 2
    assert_array_equal(names["model"].domains_, np.arange(T))
    assert names["network"].t_ == 2 * 600
    assert set(names["search"].cv_results_["param_tie"]) == {1, 10}


CHOOSERS = {
    "grid": lambda: GridSearchCV(
        TiedLogisticRegression(pair=-1), {"tie": [0.1, 10.0]}, cv=2
    ),
    "path": lambda: TiedLogisticRegressionCV(pair=-1, cv=3, n_jobs=2),
}


@pytest.mark.parametrize("backend", ["threading", "loky", "dask"])
@pytest.mark.parametrize("kind", CHOOSERS)
def test_backends_of_joblib_choose_the_same(client, kind, backend):
    expected = CHOOSERS[kind]().fit(X, LABEL)
    with joblib.parallel_config(backend, n_jobs=2):
        found = CHOOSERS[kind]().fit(X, LABEL)
    if kind == "grid":
        for name in ("mean_test_score", "std_test_score"):
            assert_array_equal(found.cv_results_[name], expected.cv_results_[name])
        found, expected = found.best_estimator_, expected.best_estimator_
    assert_identical(found.coef_, expected.coef_)
    assert found.tie_ == expected.tie_
