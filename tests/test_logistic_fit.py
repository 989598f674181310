"""How a fit behaves: what it leaves alone, how it starts, ends, and what it costs."""

import pickle
import tracemalloc
from threading import active_count

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from sktie import TiedLogisticRegression

N, P, T = 120, 4, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, P)) * np.array([1.0, 5.0, 0.2, 1.0])
CODES = RNG.integers(T, size=N)
CODES[:T] = np.arange(T)
Y = (X @ [1.0, -0.3, 2.0, 0.0] + 0.5 * CODES + RNG.normal(size=N) > 0.5).astype(int)
WEIGHT = RNG.uniform(0.5, 2.0, size=N)
SOLVERS = ["newton-cholesky", "lbfgs", "newton-cg"]
ANCHOR = (np.ones((1, P)), np.zeros(1))

FORMS = {
    "plain": (None, X, {}),
    "sample_domain": (None, X, {"sample_domain": CODES}),
    "column": (-1, np.column_stack([X, CODES]), {}),
    "anchor": (ANCHOR, X, {}),
}


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]


def fit(pair, data, metadata, y=Y, weight=None, **params):
    params = {"tol": 1e-20, "tie": 0.5, **params}
    return TiedLogisticRegression(pair, **params).fit(data, y, weight, **metadata)


def strided(array):
    """Return the same numbers, stored backwards and with gaps."""
    store = np.empty((2 * len(array), *array.shape[1:]), dtype=array.dtype)
    store[::-2] = array
    return store[::-2]


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def columns_apart(array):
    store = np.empty((len(array), 2 * array.shape[1]))
    store[:, ::2] = array
    return store[:, ::2]


LAYOUTS = [np.asfortranarray, strided, read_only, columns_apart]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_of_the_rows(form, layout):
    pair, data, metadata = form
    expected = fit(pair, data, metadata, weight=WEIGHT)
    vector = np.array if layout in (np.asfortranarray, columns_apart) else layout
    metadata = {name: vector(value) for name, value in metadata.items()}
    model = fit(pair, layout(data), metadata, y=vector(Y), weight=vector(WEIGHT))
    assert_allclose(model.coef_, expected.coef_, rtol=1e-6, atol=1e-9)
    proba = model.predict_proba(layout(data), **metadata)
    assert_allclose(proba, model.predict_proba(data, **metadata), rtol=1e-10)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", ["dense", "csr", "frame", "list"])
def test_nothing_handed_in_is_changed(form, kind, solver):
    pair, data, metadata = form
    if kind == "csr":
        data = sp.csr_array(np.where(np.abs(data) < 0.3, 0.0, data))
    elif kind == "frame":
        data = pytest.importorskip("pandas").DataFrame(data).rename(columns=str)
    elif kind == "list":
        data = data.tolist()
    arguments = (pair, data, metadata, Y, WEIGHT)
    before = pickle.dumps(arguments)
    model = fit(*arguments, class_weight="balanced", solver=solver)
    model.predict_proba(data, **metadata)
    model.score(data, Y, WEIGHT, **metadata)
    assert pickle.dumps(arguments) == before


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_names_of_a_frame_are_not_changed(solver):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"), index=range(7, N + 7))
    frame["site"] = CODES
    copy = frame.copy(deep=True)
    fit("site", frame, {}, solver=solver).predict(frame)
    pd.testing.assert_frame_equal(frame, copy)


def test_integers_and_booleans_are_read_as_numbers():
    whole = np.round(X).astype(int)
    expected = fit(None, whole.astype(float), {"sample_domain": CODES})
    for data in (whole, whole.astype(np.int8), whole.tolist()):
        model = fit(None, data, {"sample_domain": CODES})
        assert_allclose(model.coef_, expected.coef_, rtol=1e-7)
    both = np.column_stack([whole, CODES])
    assert_allclose(fit(-1, both, {}).coef_, expected.coef_, rtol=1e-7)
    yes = X > 0
    model = fit(None, yes, {})
    assert_allclose(model.coef_, fit(None, yes.astype(float), {}).coef_, rtol=1e-7)


# --- How it starts.


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("tie", [1e-3, 0.5, 1e3, np.inf])
def test_warm_start_reaches_the_same_minimum_in_fewer_steps(form, solver, tie):
    pair, data, metadata = form
    settings = {"solver": solver, "tie": tie, "warm_start": True, "tol": 1e-10}
    first = fit(pair, data, metadata, **settings)
    assert first.n_iter_ > 1 or np.isinf(tie)
    coef, objective = first.coef_.copy(), first.objective_
    n_cold = first.n_iter_
    first.fit(data, Y, **metadata)
    assert first.n_iter_ <= min(2, n_cold)
    assert_allclose(first.coef_, coef, rtol=1e-3, atol=1e-4)
    assert first.objective_ == pytest.approx(objective, rel=1e-9)
    # Near by, too.
    first.set_params(C=1.05).fit(data, Y, **metadata)
    cold = fit(pair, data, metadata, **{**settings, "C": 1.05})
    assert first.objective_ == pytest.approx(cold.objective_, rel=1e-9)
    assert first.n_iter_ <= cold.n_iter_


def test_warm_start_with_other_data_starts_afresh():
    model = TiedLogisticRegression(warm_start=True, tie=0.5, tol=1e-20)
    model.fit(X, Y)
    changes = [
        (X[:, :3], Y, CODES),
        (X, Y, CODES),
        (X, Y, CODES + 1),
        (X, Y, CODES % 2),
        (X, Y + 1, CODES % 2),
        (X, CODES, CODES % 2),
        (X, Y, None),
    ]
    for data, y, domain in changes:
        model.fit(data, y, sample_domain=domain)
        metadata = {} if domain is None else {"sample_domain": domain}
        cold = fit(None, data, metadata, y=y)
        assert_allclose(model.coef_, cold.coef_, rtol=1e-6, atol=1e-7)
        assert_array_equal(model.classes_, cold.classes_)


# --- How it ends.


@pytest.mark.parametrize("solver", SOLVERS)
def test_verbose_prints_a_line_an_iteration(form, solver, capsys):
    pair, data, metadata = form
    fit(pair, data, metadata, solver=solver, tol=1e-8)
    assert capsys.readouterr().out == ""
    model = fit(pair, data, metadata, solver=solver, tol=1e-8, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == model.n_iter_ + 1  # the start, and every step
    assert all("objective" in line and "gap" in line for line in lines)
    shown = float(lines[-1].split("objective")[1].split()[0])
    assert shown == pytest.approx(model.objective_, rel=1e-6)


@pytest.mark.parametrize("n_jobs", [1, 2, -1, None])
def test_n_jobs_changes_no_bit(n_jobs):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(60_000, 12))
    y = (data[:, 0] + rng.normal(size=len(data)) > 0).astype(int)
    domain = rng.integers(3, size=len(data))
    one = fit(None, data, {"sample_domain": domain}, y=y, n_jobs=1, tol=1e-8)
    threads = active_count()
    model = fit(None, data, {"sample_domain": domain}, y=y, n_jobs=n_jobs, tol=1e-8)
    assert_array_equal(model.domain_coef_, one.domain_coef_)
    assert active_count() == threads


@pytest.mark.parametrize("solver", SOLVERS)
def test_too_few_iterations_warn_and_name_the_remedy(form, solver):
    pair, data, metadata = form
    with pytest.warns(ConvergenceWarning, match=r"max_iter.*StandardScaler.*solver"):
        model = fit(pair, data, metadata, solver=solver, max_iter=1)
    assert np.isfinite(model.coef_).all()
    assert model.n_iter_ == 1


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("domains", [False, True])
def test_separable_rows_without_decay_warn_and_end(solver, n_classes, domains):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(n_classes), 20)
    data = rng.normal(size=(len(y), 2)) * 0.1
    data += np.array([[0.0, 3.0], [3.0, 0.0], [-3.0, -3.0]])[y]
    metadata = {"sample_domain": np.arange(len(y)) % 2} if domains else {}
    with pytest.warns(ConvergenceWarning, match="finite C|C=inf"):
        model = fit(None, data, metadata, y=y, C=np.inf, solver=solver, tol=1e-8)
    assert np.isfinite(model.coef_).all()
    assert np.isfinite(model.intercept_).all()
    assert_array_equal(model.predict(data, **metadata), y)
    assert np.isfinite(model.predict_proba(data, **metadata)).all()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_more_features_than_rows(solver, n_classes):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(24, 60))
    y = np.arange(24) % n_classes
    plain = fit(None, data, {}, y=y, solver=solver)
    oracle = LogisticRegression(tol=1e-12, max_iter=10_000).fit(data, y)
    # For two classes both are log-odds; for more, rows are unique but for a shift.
    coef = oracle.coef_ if n_classes == 2 else oracle.coef_ - oracle.coef_.mean(axis=0)
    assert_allclose(plain.coef_, coef, rtol=1e-4, atol=1e-5)
    domain = np.arange(24) // 8
    tied = fit(None, data, {"sample_domain": domain}, y=y, solver=solver)
    assert tied.domain_coef_.shape == (3, len(plain.coef_), 60)
    assert tied.score(data, y, sample_domain=domain) == 1.0


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_same_fit_twice_is_the_same_to_the_last_bit(form, solver):
    pair, data, metadata = form
    one, two = (fit(pair, data, metadata, solver=solver) for _ in range(2))
    assert_array_equal(one.coef_, two.coef_)
    assert one.objective_ == two.objective_


# --- What it costs.


@pytest.mark.parametrize("kind", ["float64", "float32", "csr"])
@pytest.mark.parametrize("pair", [None, -1])
def test_fit_and_predict_make_no_numeric_copy_of_the_rows(pair, kind):
    n, p = 150_000, 60
    rng = np.random.default_rng(0)
    data = rng.normal(size=(n, p + 1)).astype(kind if kind != "csr" else float)
    data[:, -1] = domain = rng.integers(5, size=n)  # unsorted
    y = (data[:, 0] > 0).astype(int)
    if kind == "csr":
        data = sp.csr_array(np.where(np.abs(data) < 0.8, 0.0, data))
    size = sum(
        getattr(data, part).nbytes
        for part in (["data", "indices"] if kind == "csr" else ["data"])
    )
    metadata = {"sample_domain": domain} if pair is None else {}
    # Once outside the measure: imports and caches are not the fit's.
    fit(pair, data[:200], {k: v[:200] for k, v in metadata.items()}, y[:200], tol=1e-4)
    tracemalloc.start()
    try:
        model = fit(pair, data, metadata, y=y, tol=1e-6, n_jobs=1)
        fitting = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        model.predict(data, **metadata)
        predicting = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The rows of a block, their order, a few numbers a row, and a sample to start.
    assert fitting < 0.5 * size, f"{fitting / size:.2f} of X"
    assert predicting < 0.5 * size, f"{predicting / size:.2f} of X"


@pytest.mark.parametrize("sparse", [False, True])
def test_a_model_in_double_precision_predicts_float32_rows_in_it(sparse):
    # As scikit-learn does: in float32 such sums are off in the third digit.
    rng = np.random.default_rng(0)
    X = (2e5 + rng.normal(size=(80, 3))).astype(np.float32)
    y = (X[:, 0] - X[:, 1] + rng.normal(size=80) > 0).astype(int)
    model = TiedLogisticRegression(fit_intercept=False).fit(X.astype(float), y)
    rows = sp.csr_array(X) if sparse else X
    found, expected = (model.predict_proba(part) for part in (rows, rows.astype(float)))
    assert found.dtype == np.float64
    assert_array_equal(found, expected)


def test_features_without_any_variation_fit_quietly():
    X = np.column_stack([np.zeros((12, 2)), np.arange(12) // 2 % 2])
    y = np.arange(12) % 2
    model = TiedLogisticRegression(-1, decay="shared", fit_intercept=False, tie=0.0)
    assert_array_equal(model.fit(X, y).coef_, 0)


@pytest.mark.parametrize("value", [True, False])
def test_numpy_booleans_mean_what_booleans_mean(value):
    rng = np.random.default_rng(3)
    X = np.column_stack([rng.normal(size=(40, 2)), np.arange(40) % 2])
    y = (X[:, 0] + rng.normal(size=40) > 0).astype(int)
    one, other = (
        TiedLogisticRegression(-1, tie=7.0, tie_intercept=flag).fit(X, y)
        for flag in (value, np.bool_(value))
    )
    assert_array_equal(one.domain_intercept_, other.domain_intercept_)


def test_a_fixed_pair_and_domains_at_once_are_an_error():
    X, y = np.arange(8.0).reshape(4, 2), [0, 1, 0, 1]
    model = TiedLogisticRegression(([1.0, 0.0], 0.0))
    with pytest.raises(ValueError, match=r"Both pair=.*sample_domain.*one of them"):
        model.fit(X, y, sample_domain=[0, 0, 1, 1])
