"""Domains: every way to name them gives one model, and what that model carries."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression

from sktie import TiedLogisticRegression

N, P, T = 90, 3, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, P))
CODES = RNG.integers(T, size=N)
CODES[:T] = np.arange(T)
WORDS = np.array(["ankara", "basel", "cairo"])[CODES]
NAMES = ["age", "bp", "chol"]


def make_y(n_classes):
    scores = X @ RNG.normal(size=(P, n_classes)) + CODES[:, np.newaxis] * 0.3
    return (scores + 0.5 * RNG.normal(size=scores.shape)).argmax(axis=1)


Y = {n_classes: make_y(n_classes) for n_classes in (2, 3)}
SETTINGS = {"tie": 0.5, "tol": 1e-20}


@pytest.fixture(params=[2, 3], ids=["binary", "multinomial"])
def y(request):
    return Y[request.param]


def fit(X, y, pair=None, domain=None, weight=None, **params):
    model = TiedLogisticRegression(pair, **{**SETTINGS, **params})
    return model.fit(X, y, weight, sample_domain=domain)


def assert_same_model(a, b, rtol=1e-7):
    for name in ("coef_", "intercept_", "domain_coef_", "domain_intercept_"):
        assert_allclose(
            getattr(a, name), getattr(b, name), rtol=rtol, atol=rtol, err_msg=name
        )
    assert a.objective_ == pytest.approx(b.objective_, rel=rtol)


def pandas_frame(labels, place=P):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=NAMES)
    frame.insert(place, "site", labels)
    return frame


def polars_frame(labels, place=P):
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({name: X[:, i] for i, name in enumerate(NAMES)})
    return frame.insert_column(place, pl.Series("site", labels))


def pyarrow_table(labels, place=P):
    pa = pytest.importorskip("pyarrow")
    columns = {name: X[:, i] for i, name in enumerate(NAMES)}
    items = list(columns.items())
    items.insert(place, ("site", labels))
    return pa.table(dict(items))


def array(labels, place=P):
    return np.insert(X, place, labels.astype(np.float64), axis=1)


def object_array(labels, place=P):
    return np.insert(X.astype(object), place, labels.astype(object), axis=1)


def passthrough(labels, place=P):
    """What ColumnTransformer makes of a frame: objects, the column last."""
    assert place == P
    keep = [("keep", "passthrough", NAMES)]
    transformer = ColumnTransformer(keep, remainder="passthrough")
    return transformer.fit_transform(pandas_frame(labels))


def rows(labels, place=P):
    return [list(row) for row in object_array(labels, place)]


def categorical(labels, place=P):
    pd = pytest.importorskip("pandas")
    return pandas_frame(pd.Categorical(labels, categories=sorted(set(labels))[::-1]))


WORD_FORMS = [
    (pandas_frame, "site"),
    (pandas_frame, -1),
    (categorical, "site"),
    (polars_frame, "site"),
    (polars_frame, -1),
    (pyarrow_table, "site"),
    (pyarrow_table, -1),
    (object_array, -1),
    (passthrough, -1),
    (rows, -1),
]


@pytest.mark.parametrize(("form", "pair"), WORD_FORMS)
def test_words_in_a_column_are_domains(form, pair, y):
    expected = fit(X, y, domain=WORDS)
    with_column = form(WORDS)
    model = fit(with_column, y, pair)
    assert_same_model(model, expected)
    assert_array_equal(model.domains_, ["ankara", "basel", "cairo"])
    assert_allclose(
        model.predict_proba(with_column),
        expected.predict_proba(X, sample_domain=WORDS),
        rtol=1e-7,
    )
    assert model.n_features_in_ == P + 1
    if form in (pandas_frame, categorical, polars_frame, pyarrow_table):
        assert_array_equal(model.feature_names_in_, [*NAMES, "site"])
        assert_array_equal(model.coef_feature_names_, NAMES)
        # The names of a new frame are checked, the type of the frame is not.
        if form is polars_frame:
            frame = pandas_frame(WORDS)
            assert_array_equal(model.predict(frame), model.predict(with_column))
    else:
        assert not hasattr(model, "coef_feature_names_")


NUMBER_FORMS = [pandas_frame, polars_frame, pyarrow_table, array, object_array, rows]
NUMBERS = {
    "int64": CODES - 1,
    "int8": (CODES - 1).astype(np.int8),
    "integral floats": CODES * 1.0,
    "large": CODES * 1.0 + 2**40,
}


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("form", NUMBER_FORMS)
def test_numbers_in_a_column_are_domains(form, kind):
    labels = NUMBERS[kind]
    expected = fit(X, Y[2], domain=WORDS)
    model = fit(form(labels), Y[2], -1)
    assert_same_model(model, expected)
    assert model.domains_.dtype.kind == "i"
    assert_array_equal(model.domains_, np.unique(labels))
    assert_array_equal(
        model.predict(form(labels)), expected.predict(X, sample_domain=WORDS)
    )


def series(labels):
    return pytest.importorskip("pandas").Series(labels)


def category(labels):
    return pytest.importorskip("pandas").Series(labels, dtype="category")


def polars_series(labels):
    return pytest.importorskip("polars").Series(labels)


def pyarrow_array(labels):
    return pytest.importorskip("pyarrow").array(labels)


def chunks(labels):
    half = len(labels) // 2
    parts = [labels[:half], labels[half:]]
    return pytest.importorskip("pyarrow").chunked_array(parts)


@pytest.mark.parametrize("labels", [WORDS, CODES, CODES * 1.0, CODES.astype(np.uint8)])
@pytest.mark.parametrize(
    "container",
    [np.asarray, list, tuple, series, category, polars_series, pyarrow_array, chunks],
)
def test_containers_of_sample_domain(labels, container):
    labels = container(labels)
    expected = fit(X, Y[2], domain=WORDS)
    model = fit(X, Y[2], domain=labels)
    assert_same_model(model, expected)
    assert_array_equal(
        model.predict(X, sample_domain=labels), expected.predict(X, sample_domain=WORDS)
    )


@pytest.mark.parametrize("form", [pandas_frame, array, object_array])
def test_booleans_are_domains(form):
    labels = CODES > 0
    expected = fit(X, Y[2], domain=np.where(labels, "yes", "no"))
    assert_same_model(fit(X, Y[2], domain=labels), expected)
    model = fit(form(labels), Y[2], -1)
    assert_same_model(model, expected)
    probability = expected.predict_proba(X, sample_domain=np.where(labels, "yes", "no"))
    assert_allclose(model.predict_proba(form(labels)), probability, rtol=1e-7)


@pytest.mark.parametrize("place", range(P + 1))
@pytest.mark.parametrize("form", [array, object_array, pandas_frame, polars_frame])
def test_the_column_may_stand_anywhere(form, place, y):
    expected = fit(X, y, domain=CODES)
    with_column = form(CODES, place)
    for pair in (place, place - P - 1, np.int64(place)):
        model = fit(with_column, y, pair)
        assert_same_model(model, expected)
        assert_allclose(
            model.decision_function(with_column),
            expected.decision_function(X, sample_domain=CODES),
            rtol=1e-6,
        )
        if form in (pandas_frame, polars_frame):
            assert_array_equal(model.coef_feature_names_, NAMES)


def test_a_record_batch_is_a_frame():
    pytest.importorskip("pyarrow")
    (batch,) = pyarrow_table(WORDS).to_batches()
    model, expected = fit(batch, Y[2], "site"), fit(X, Y[2], domain=WORDS)
    assert_same_model(model, expected)
    assert_array_equal(model.predict(batch), expected.predict(X, sample_domain=WORDS))


@pytest.mark.parametrize("pair", ["site", None])
def test_a_lazy_frame_is_to_be_collected(pair):
    with pytest.raises(TypeError, match=r"X is a LazyFrame.*X\.collect\(\)"):
        fit(polars_frame(WORDS).lazy(), Y[2], pair)


def test_categories_without_rows_are_no_domains():
    pd = pytest.importorskip("pandas")
    labels = pd.Categorical(WORDS, categories=["zagreb", "cairo", "basel", "ankara"])
    expected = fit(X, Y[2], domain=WORDS)
    assert_same_model(fit(X, Y[2], domain=labels), expected)
    model = fit(pandas_frame(labels), Y[2], "site")
    assert_array_equal(model.domains_, ["ankara", "basel", "cairo"])
    assert_same_model(model, expected)


def test_a_name_finds_its_column_wherever_it_stands():
    for place in range(P + 1):
        model = fit(pandas_frame(WORDS, place), Y[2], "site")
        assert_array_equal(model.coef_feature_names_, NAMES)
        assert_same_model(model, fit(X, Y[2], domain=WORDS))


SPARSE = [sp.csr_array, sp.csr_matrix, sp.csc_array, sp.csc_matrix]


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("container", SPARSE)
def test_sparse_rows(container, index, y):
    holes = np.where(np.abs(X) < 0.4, 0.0, X)

    def sparse(dense):
        out = container(dense)
        out.indices, out.indptr = out.indices.astype(index), out.indptr.astype(index)
        return out

    expected = fit(holes, y, domain=CODES)
    assert_same_model(fit(sparse(holes), y, domain=CODES), expected)
    for place in (0, P):
        with_column = sparse(np.insert(holes, place, CODES, axis=1))
        model = fit(with_column, y, place)
        assert_same_model(model, expected)
        assert_allclose(
            model.predict_proba(with_column),
            expected.predict_proba(holes, sample_domain=CODES),
            rtol=1e-6,
        )
    assert_allclose(
        expected.predict_proba(sparse(holes), sample_domain=CODES),
        expected.predict_proba(holes, sample_domain=CODES),
    )


def test_float32_stays_float32(y):
    single = X.astype(np.float32)
    expected = fit(single.astype(np.float64), y, domain=CODES)
    with_column = np.column_stack([single, CODES]).astype(np.float32)
    models = [
        fit(single, y, domain=CODES, tol=1e-8),
        fit(with_column, y, -1, tol=1e-8),
        fit(sp.csr_array(single), y, domain=CODES, tol=1e-8),
    ]
    for model, data in zip(models, [single, with_column, single], strict=True):
        assert_same_model(model, expected, rtol=1e-3)
        metadata = {} if model.pair == -1 else {"sample_domain": CODES}
        arrays = [model.coef_, model.intercept_, model.domain_coef_]
        arrays += [model.domain_intercept_, model.predict_proba(data, **metadata)]
        arrays += [model.decision_function(data, **metadata)]
        assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


@pytest.mark.parametrize("solver", ["newton-cholesky", "lbfgs", "newton-cg"])
def test_float32_ends_at_its_own_rounding(y, solver):
    single = X.astype(np.float32)
    for tol in (1e-8, 1e-20):
        model = fit(single, y, domain=CODES, tol=tol, max_iter=300, solver=solver)
        assert model.n_iter_ < 300


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("tie", [0.0, 0.5, np.inf])
def test_shapes_and_types_of_what_is_fitted(y, tie, fit_intercept):
    k = 1 if len(np.unique(y)) == 2 else 3
    model = fit(X, y, domain=WORDS, tie=tie, fit_intercept=fit_intercept)
    shapes = {
        "coef_": (k, P),
        "intercept_": (k,),
        "domain_coef_": (T, k, P),
        "domain_intercept_": (T, k),
        "domains_": (T,),
        "classes_": (max(k, 2),),
    }
    for name, shape in shapes.items():
        value = getattr(model, name)
        assert type(value) is np.ndarray, name
        assert value.shape == shape, name
        if "coef" in name or "intercept" in name:
            assert value.dtype == np.float64, name
    for name in ("tie_gap_", "objective_"):
        assert type(getattr(model, name)) is float
    for name in ("n_iter_", "n_stored_parameters_", "n_features_in_"):
        assert type(getattr(model, name)) is int
    assert_allclose(model.domain_coef_.mean(axis=0), model.coef_, atol=1e-12)
    assert_allclose(model.domain_intercept_.mean(axis=0), model.intercept_, atol=1e-12)
    if k == 3:
        assert_allclose(model.domain_coef_.sum(axis=1), 0, atol=1e-12)
    rows = k * (P + fit_intercept)
    assert model.n_stored_parameters_ == (rows if np.isinf(tie) else T * rows)
    assert model.decision_function(X, sample_domain=WORDS).shape == (
        (N,) if k == 1 else (N, k)
    )


def test_an_infinite_tie_stores_one_row():
    rng = np.random.default_rng(0)
    n_domains, n_features = 500, 40
    features = rng.normal(size=(2 * n_domains, n_features))
    target = np.tile([0, 1], n_domains)
    domain = np.repeat(np.arange(n_domains), 2)
    model = fit(features, target, domain=domain, tie=np.inf, tol=1e-6)
    assert model.domain_coef_.shape == (n_domains, 1, n_features)
    assert model.domain_coef_.strides[0] == model.domain_intercept_.strides[0] == 0
    assert np.shares_memory(model.domain_coef_, model.coef_)
    assert model.n_stored_parameters_ == n_features + 1
    separate = fit(features, target, domain=domain, tie=1.0, tol=1e-6)
    assert separate.n_stored_parameters_ == n_domains * (n_features + 1)
    one_row = 8 * (n_features + 1)
    small, large = len(pickle.dumps(model)), len(pickle.dumps(separate))
    assert large > n_domains * one_row
    assert small < 8 * n_domains + 20 * one_row
    again = pickle.loads(pickle.dumps(model))
    assert again.domain_coef_.strides[0] == 0
    assert_array_equal(again.domain_coef_, model.domain_coef_)
    # Free intercepts are stored for each domain, shared slopes once.
    mixed = fit(
        features, target, domain=domain, tie=np.inf, tie_intercept=1.0, tol=1e-6
    )
    assert mixed.n_stored_parameters_ == n_features + n_domains
    assert mixed.domain_coef_.strides[0] == 0
    assert mixed.domain_intercept_.strides[0] > 0


@pytest.mark.parametrize("tie", [0.5, np.inf])
def test_a_domain_estimator_predicts_as_the_model_does(y, tie):
    frame = pandas_frame(WORDS)
    model = fit(frame, y, "site", tie=tie)
    for label in model.domains_:
        of_label = frame[frame["site"] == label]
        estimator = model.domain_estimator(label)
        assert type(estimator) is LogisticRegression
        features = of_label[NAMES]
        for method in ("predict", "predict_proba", "decision_function"):
            ours = getattr(model, method)(of_label)
            again = pickle.loads(pickle.dumps(estimator))
            for one in (estimator, again):
                assert_allclose(getattr(one, method)(features), ours, rtol=1e-10)
        assert_array_equal(estimator.feature_names_in_, NAMES)
        assert estimator.n_features_in_ == P
        # A model of its own: changing it changes nothing here.
        assert not np.shares_memory(estimator.coef_, model.domain_coef_)
        estimator.fit(features, y[(frame["site"] == label).to_numpy()])


def test_a_domain_estimator_takes_every_kind_of_label():
    model = fit(X, Y[2], domain=CODES)
    for label in (1, np.int64(1), np.uint8(1), 1.0):
        assert_array_equal(model.domain_estimator(label).coef_, model.domain_coef_[1])
    with pytest.raises(ValueError, match="'1'"):
        model.domain_estimator("1")


def test_unseen_domains_are_predicted_by_the_centre(y):
    labels = WORDS.astype("U10")
    labels[:5] = "elsewhere"
    model = fit(X, y, domain=WORDS, handle_unknown="shared")
    proba = model.predict_proba(X, sample_domain=labels)
    known = model.predict_proba(X, sample_domain=WORDS)
    assert_allclose(proba[5:], known[5:], rtol=1e-12)
    centre = model.domain_estimator("elsewhere")
    assert_array_equal(centre.coef_, model.coef_)
    assert_allclose(proba[:5], centre.predict_proba(X[:5]), rtol=1e-12)
    column = fit(pandas_frame(WORDS), y, "site", handle_unknown="shared")
    assert_allclose(column.predict_proba(pandas_frame(labels)), proba, rtol=1e-6)
    strict = fit(X, y, domain=WORDS)
    with pytest.raises(ValueError, match="elsewhere"):
        strict.predict(X, sample_domain=labels)
    # A subset of the domains, or one row, is no problem.
    some = strict.predict(X[:1], sample_domain=WORDS[:1])
    assert_array_equal(some, strict.predict(X, sample_domain=WORDS)[:1])


@pytest.mark.parametrize("tie", [1e-6, 1.0, 1e6, np.inf])
@pytest.mark.parametrize("decay", ["each", "shared"])
def test_uneven_domains_end_finitely(decay, tie):
    rng = np.random.default_rng(0)
    sizes = [4000, 1, 3, 50]
    domain = np.repeat(["huge", "one row", "one class", "two of three"], sizes)
    features = rng.normal(size=(sum(sizes), P))
    target = rng.integers(3, size=len(domain))
    target[domain == "one class"] = 2
    target[domain == "two of three"] %= 2
    model = fit(features, target, domain=domain, tie=tie, decay=decay, tol=1e-12)
    for name in ("domain_coef_", "domain_intercept_", "coef_", "intercept_"):
        assert np.isfinite(getattr(model, name)).all()
    probability = model.predict_proba(features, sample_domain=domain)
    assert_allclose(probability.sum(axis=1), 1.0)
