"""SharedConvClassifier with domains: layers are shared, heads are tied."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from sktie import SharedConvClassifier, TiedLogisticRegression
from sktie._parallel import Workers
from sktie.inspection import sharing_report
from sktie.neural_network._conv_rows import Rows
from tests.networks import assert_same_model, quietly
from tests.test_shared_conv_fit import assert_gradient, at, naive_maps

INF = np.inf
X, Y = load_digits(n_class=3, return_X_y=True)
X, Y = X[:60], Y[:60]
N, T = len(X), 3
CODES = np.random.default_rng(3).integers(T, size=N)
WORDS = np.array(["ankara", "basel", "cairo"])[CODES]
# In one domain the classes trade places, so that heads have something to differ in.
Y = np.where(CODES == 2, (Y + 1) % 3, Y)
WEIGHT = np.random.default_rng(0).uniform(0.3, 3.0, size=N)
ROWS = np.column_stack([X, CODES])


def network(filters=2, **settings):
    chosen = {"max_iter": 8, "random_state": 0, "n_jobs": 1, "stride": 2, "alpha": 0.1}
    return SharedConvClassifier(filters, **(chosen | settings))


def heads(model):
    return [model.domain_coef_, model.domain_intercept_]


def assert_same_heads(a, b):
    assert_same_model(a, b)
    for mine, other in zip(heads(a), heads(b), strict=True):
        assert_array_equal(mine, other)


@pytest.fixture(scope="module")
def fitted():
    """One fit with labels beside X."""
    return quietly(network(), X, Y, sample_domain=WORDS)


@pytest.fixture(scope="module")
def column():
    """The same with labels in the last column."""
    return quietly(network(pair=-1), ROWS, Y)


# ---- without convolutions: TiedLogisticRegression ------------------------------------


def table(n_domains, n_classes):
    """Rows on the scale of the network, with weights, classes and domains."""
    rng = np.random.default_rng(n_domains + n_classes)
    features = rng.normal(size=(90, 5))
    domain = rng.integers(n_domains, size=90)
    scores = features @ rng.normal(size=(5, n_classes)) + domain[:, np.newaxis]
    y = (scores + 2 * rng.normal(size=scores.shape)).argmax(axis=1)
    weight = rng.uniform(0.3, 3.0, size=90)
    features -= np.average(features.mean(axis=1), weights=weight)
    features /= np.sqrt(np.average((features**2).mean(axis=1), weights=weight))
    return features, y, weight, domain


def exactly(**settings):
    chosen = {"solver": "lbfgs", "tol": 1e-9, "max_iter": 5000, "image_shape": (5,)}
    return network((), **(chosen | settings))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_domains", [1, 2, 3])
@pytest.mark.parametrize("tie", [0.0, 0.7, 40.0, 1e6, INF])
def test_without_convolutions_it_is_tied_logistic_regression(n_domains, n_classes, tie):
    features, y, weight, domain = table(n_domains, n_classes)
    model = exactly(alpha=0.5, tie_pair=tie)
    model.fit(features, y, weight, sample_domain=domain)
    linear = TiedLogisticRegression(tie=tie, C=2.0, tol=1e-14)
    linear.fit(features, y, weight, sample_domain=domain)
    assert_allclose(
        model.predict_proba(features, sample_domain=domain),
        linear.predict_proba(features, sample_domain=domain),
        atol=1e-6,
    )
    assert_allclose(model.coefs_[-1].T, linear.coef_, atol=1e-5)
    assert_allclose(model.intercepts_[-1], linear.intercept_, atol=1e-5)
    own = model.domain_coef_.swapaxes(1, 2)
    assert_allclose(own, linear.domain_coef_, atol=1e-5)
    assert_allclose(model.domain_intercept_, linear.domain_intercept_, atol=1e-5)
    assert model.n_stored_parameters_ == linear.n_stored_parameters_


@pytest.mark.parametrize("n_classes", [2, 3])
def test_without_a_tie_heads_are_separate_models_and_with_an_infinite_one_pooled(
    n_classes,
):
    features, y, weight, domain = table(3, n_classes)
    separate, pooled = (
        exactly(alpha=0.5, tie_pair=tie).fit(features, y, weight, sample_domain=domain)
        for tie in (0.0, INF)
    )
    settings = {"tol": 1e-10, "max_iter": 5000}
    for t in range(3):
        own = domain == t
        alone = LogisticRegression(C=2.0, **settings)
        alone.fit(features[own], y[own], weight[own])
        assert_allclose(separate.domain_coef_[t].T, alone.coef_, atol=1e-4)
    # The one head is decayed as that of each of three domains.
    alone = LogisticRegression(C=2.0 / 3, **settings).fit(features, y, weight)
    assert_allclose(pooled.coefs_[-1].T, alone.coef_, atol=1e-4)


# ---- the formula, one loop for each word ---------------------------------------------


def raw_by_loops(model, X, domain):
    outputs, _ = naive_maps(model, X)
    kinds = [part["kind"] for part in model.layers_]
    features = outputs[kinds.index("output")].reshape(len(X), -1)
    raw = np.empty((len(X), model.coefs_[-1].shape[1]))
    for i, t in enumerate(domain):
        raw[i] = features[i] @ model.domain_coef_[t] + model.domain_intercept_[t]
    return raw


def objective_by_loops(model, X, y, weight, domain):
    raw = raw_by_loops(model, X, domain)
    if raw.shape[1] == 1:
        losses = -log_expit((2 * y - 1) * raw[:, 0])
    else:
        losses = -log_softmax(raw, axis=1)[np.arange(len(y)), y]
    n_domains, penalty = len(model.domains_), 0.0
    locations = naive_maps(model, X)[1]
    for k, W in enumerate(model.coefs_[:-1]):
        many = locations[k] if k < len(locations) else 1
        penalty += model.alpha * many * np.sum(W**2)
    for t in range(n_domains):
        penalty += model.alpha * np.sum(model.domain_coef_[t] ** 2)
        for s in range(t):
            far = np.sum((model.domain_coef_[s] - model.domain_coef_[t]) ** 2)
            far += np.sum(
                (model.domain_intercept_[s] - model.domain_intercept_[t]) ** 2
            )
            if model.tie_pair < INF:
                penalty += model.tie_pair * 2 / n_domains * far
    return (weight @ losses + penalty / 2) / weight.sum()


@pytest.mark.parametrize("n_domains", [2, 3])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("tie", [0.0, 0.8, INF])
def test_the_objective_is_the_formula_and_its_gradient_exact(n_domains, n_classes, tie):
    y, domain = Y % n_classes, CODES % n_domains
    settings = {"activation": "tanh", "hidden_layer_sizes": 4, "max_iter": 1}
    model = quietly(network(tie_pair=tie, **settings), X, y, sample_domain=domain)
    rows = Rows(X, np.arange(len(X)), WEIGHT, y, domain)
    problem = model._problem(rows, np.random.RandomState(0), Workers())
    size = sum(int(np.prod(array.shape)) for array in problem.arrays)
    theta = np.random.default_rng(1).normal(0, 0.4, size)
    value, _ = problem(theta, None)
    expected = objective_by_loops(at(model, problem, theta), X, y, WEIGHT, domain)
    assert_allclose(value, expected, rtol=1e-12)
    assert_gradient(problem, theta)


def test_every_row_is_predicted_by_the_head_of_its_domain(fitted):
    raw = raw_by_loops(fitted, X, CODES)
    proba = fitted.predict_proba(X, sample_domain=WORDS)
    assert_allclose(proba, softmax(raw, axis=1), atol=1e-12)
    log_proba = fitted.predict_log_proba(X, sample_domain=WORDS)
    assert_allclose(log_proba, log_softmax(raw, axis=1), atol=1e-12)
    labels = fitted.predict(X, sample_domain=WORDS)
    assert_array_equal(labels, raw.argmax(axis=1))
    score = fitted.score(X, Y, WEIGHT, sample_domain=WORDS)
    assert score == pytest.approx(WEIGHT @ (labels == Y) / WEIGHT.sum())
    # Another domain of the same rows is another prediction.
    others = np.roll(np.unique(WORDS), 1)[CODES]
    changed = fitted.predict_proba(X, sample_domain=others)
    assert np.abs(changed - proba).max() > 1e-3


def test_rows_of_many_tiles_keep_their_domains(fitted):
    many = np.random.default_rng(4).integers(N, size=700)
    domain = np.random.default_rng(5).integers(T, size=700)
    raw = raw_by_loops(fitted, X[many], domain)
    proba = fitted.predict_proba(X[many], sample_domain=np.unique(WORDS)[domain])
    assert_allclose(proba, softmax(raw, axis=1), atol=1e-12)
    model = quietly(network(max_iter=1, alpha=0.3), X, Y, sample_domain=CODES)
    rows = Rows(X, many, np.ones(700), Y[many], domain)
    problem = model._problem(rows, np.random.RandomState(0), Workers())
    size = sum(int(np.prod(array.shape)) for array in problem.arrays)
    theta = np.random.default_rng(1).normal(0, 0.4, size)
    value, _ = problem(theta, None)
    at(model, problem, theta)
    expected = objective_by_loops(model, X[many], Y[many], np.ones(700), domain)
    assert_allclose(value, expected, rtol=1e-12)


def test_with_two_classes_there_is_one_output_for_each_domain():
    model = quietly(network(), X, Y % 2, sample_domain=WORDS)
    raw = raw_by_loops(model, X, CODES)
    proba = model.predict_proba(X, sample_domain=WORDS)
    assert_allclose(proba[:, 1], expit(raw[:, 0]), atol=1e-12)
    assert model.domain_coef_.shape == (T, *model.coefs_[-1].shape)
    assert model.coefs_[-1].shape[1] == 1


# ---- the dial ------------------------------------------------------------------------


def test_the_stronger_the_tie_the_less_heads_differ():
    settings = {"solver": "lbfgs", "max_iter": 800, "tol": 1e-6, "activation": "tanh"}
    settings |= {"pool_size": 1, "alpha": 1.0}
    dial = {
        tie: quietly(network(tie_pair=tie, **settings), X, Y, sample_domain=CODES)
        for tie in (0.0, 1.0, 100.0, 1e7, INF)
    }
    spread = [np.ptp(model.domain_coef_, axis=0).max() for model in dial.values()]
    assert spread[0] > spread[1] > 5 * spread[2] > 100 * spread[3] > spread[4] == 0
    losses = [model.loss_ for model in dial.values()]
    assert (np.diff(losses) > 0).all()
    far, shared = dial[1e7], dial[INF]
    assert_allclose(far.loss_, shared.loss_, rtol=1e-5)
    assert_allclose(
        far.predict_proba(X, sample_domain=CODES),
        shared.predict_proba(X, sample_domain=CODES),
        atol=1e-3,
    )


@pytest.mark.parametrize("tie", [0.3, INF])
def test_attributes_have_the_shapes_of_the_docstring(tie):
    model = quietly(network((2, 3), tie_pair=tie), X, Y, sample_domain=WORDS)
    n_in = model.transform(X).shape[1]
    assert_array_equal(model.domains_, ["ankara", "basel", "cairo"])
    assert model.domain_coef_.shape == (T, n_in, 3)
    assert model.domain_intercept_.shape == (T, 3)
    assert_allclose(model.coefs_[-1], model.domain_coef_.mean(axis=0), atol=1e-15)
    mean = model.domain_intercept_.mean(axis=0)
    assert_allclose(model.intercepts_[-1], mean, atol=1e-15)
    of_head = 3 * (n_in + 1)
    below = sum(part.size for part in model.coefs_[:-1] + model.intercepts_[:-1])
    n_heads = 1 if tie == INF else T
    assert model.n_stored_parameters_ == below + n_heads * of_head
    report = sharing_report(model)
    assert report.stored_parameters == model.n_stored_parameters_
    assert report.networks["this network"][-1].logical_parameters == T * of_head
    assert report.total("dense").stored_parameters > T * of_head


def test_one_head_is_stored_and_pickled_once():
    settings = {"hidden_layer_sizes": 500, "max_iter": 1}
    sizes = {}
    for tie in (1.0, INF):
        model = quietly(network(tie_pair=tie, **settings), X, Y, sample_domain=WORDS)
        dumped = pickle.dumps(model)
        again = pickle.loads(dumped)
        assert_same_heads(model, again)
        assert_array_equal(
            model.predict_proba(X, sample_domain=WORDS),
            again.predict_proba(X, sample_domain=WORDS),
        )
        sizes[tie] = len(dumped)
    plain = len(pickle.dumps(quietly(network(**settings), X, Y)))
    assert sizes[INF] < plain + 1000
    assert sizes[1.0] > plain + T * 500 * 3 * 8
    assert np.shares_memory(model.domain_coef_, model.coefs_[-1])


def test_float32_stays_float32():
    model = quietly(network(), X.astype(np.float32), Y, sample_domain=WORDS)
    assert {part.dtype for part in [*model.coefs_, *heads(model)]} == {
        np.dtype(np.float32)
    }


# ---- both routes ---------------------------------------------------------------------


def pandas_frame(labels, place):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=[f"pixel{k}" for k in range(64)])
    frame.insert(place, "site", labels)
    return frame


def polars_frame(labels, place):
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({f"pixel{k}": X[:, k] for k in range(64)})
    return frame.insert_column(place, pl.Series("site", labels))


def array(labels, place):
    return np.insert(X, place, labels, axis=1)


def objects(labels, place):
    return np.insert(X.astype(object), place, labels.astype(object), axis=1)


def rows(labels, place):
    return [list(row) for row in objects(labels, place)]


FORMS = [
    (array, CODES, 64, -1),
    (array, CODES, 64, 64),
    (array, CODES, 0, 0),
    (array, CODES, 5, 5),
    (objects, WORDS, 64, -1),
    (rows, WORDS, 64, -1),
    (rows, CODES, 3, 3),
    (pandas_frame, WORDS, 64, "site"),
    (pandas_frame, WORDS, 7, -58),
    (polars_frame, WORDS, 7, "site"),
    (polars_frame, WORDS, 0, 0),
]


@pytest.mark.parametrize(("form", "labels", "place", "pair"), FORMS)
def test_a_column_is_labels_beside_x_bit_for_bit(fitted, form, labels, place, pair):
    with_column = form(labels, place)
    model = quietly(network(pair=pair), with_column, Y)
    assert_same_heads(model, fitted)
    assert_array_equal(model.domains_, np.unique(labels))
    assert model.n_features_in_ == 65
    assert fitted.n_features_in_ == 64
    expected = fitted.predict_proba(X, sample_domain=WORDS)
    assert_array_equal(model.predict_proba(with_column), expected)
    assert model.score(with_column, Y) == fitted.score(X, Y, sample_domain=WORDS)
    # What the shared layers see needs no domain.
    assert_array_equal(model.transform(with_column), fitted.transform(X))
    assert_array_equal(model.feature_maps(with_column), fitted.feature_maps(X))


def test_images_of_any_accepted_shape_take_labels_beside_them(fitted):
    images = X.reshape(N, 8, 8)
    assert_same_heads(quietly(network(), images, Y, sample_domain=WORDS), fitted)
    shape = {"image_shape": (8, 4, 2), "pool_size": 1}
    model = quietly(network(**shape), X.reshape(N, 8, 4, 2), Y, sample_domain=CODES)
    cut = quietly(network(pair=-1, **shape), ROWS, Y)
    assert_same_heads(model, cut)
    assert cut.image_shape_ == (8, 4, 2)


def test_integers_keep_their_type_beside_a_column_of_words():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X.astype(np.uint8)).assign(site=WORDS)
    frame.columns = frame.columns.astype(str)
    model = quietly(network(pair="site"), frame, Y)
    assert model.coefs_[0].dtype == np.float32
    beside = quietly(network(), X.astype(np.uint8), Y, sample_domain=WORDS)
    assert_same_heads(model, beside)


def test_names_and_order_of_domains_do_not_matter(fitted):
    names = np.array(["z", "y", "x"])[CODES]
    model = quietly(network(), X, Y, sample_domain=names)
    assert_array_equal(model.domains_, ["x", "y", "z"])
    assert_allclose(model.domain_coef_[::-1], fitted.domain_coef_, rtol=1e-9)


@pytest.mark.parametrize("batch_size", ["auto", 16])
def test_neither_the_order_of_rows_nor_their_copies_matter(batch_size):
    # Every image occurs in two domains with one class: only the domains differ.
    images, y = np.vstack([X, X]), np.tile(Y, 2)
    domain = np.concatenate([CODES, (CODES + 1) % T])
    weight = np.random.default_rng(1).integers(1, 3, size=2 * N)

    def fit(images, y, weight, domain):
        model = network(batch_size=batch_size)
        return quietly(model, images, y, weight, sample_domain=domain)

    model = fit(images, y, weight, domain)
    order = np.random.default_rng(2).permutation(2 * N)
    chosen = [part[order] for part in (images, y, weight, domain)]
    assert_same_heads(fit(*chosen), model)
    twice = np.repeat(np.arange(2 * N), weight)
    assert_same_heads(fit(images[twice], y[twice], None, domain[twice]), model)
    assert model.t_ == model.n_iter_ * 2 * N


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_threads_do_not_change_a_bit(solver):
    settings = {"solver": solver, "batch_size": 50, "random_state": 1}
    noise = np.random.default_rng(5).normal(size=(5 * N, 64))
    one, two = (
        quietly(
            network(n_jobs=n, **settings),
            np.tile(X, (5, 1)) + noise,
            np.tile(Y, 5),
            sample_domain=np.tile(CODES, 5),
        )
        for n in (1, 2)
    )
    assert_same_heads(one, two)


def test_a_name_that_is_none_is_told_beside_some_of_many():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=[f"pixel{k}" for k in range(X.shape[1])])
    with pytest.raises(ValueError, match=r"pixel4'\] to .*'pixel63'\]") as told:
        network(pair="site").fit(frame, Y)
    assert "pixel5'" not in str(told.value)
