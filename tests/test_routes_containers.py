"""What X may be: every container, for every estimator and way to name what is tied."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from sktie import AutoencoderPrior, KMeansPrior, SharedConvClassifier
from tests.kinds import KINDS, NAMES, SPLITS, WORDS, N, X, Y, form_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def columns_of(form):
    """Return the columns of a frame, words for domains, the column not last."""
    columns = dict(zip(NAMES, form.features.T, strict=True))
    if form.name == "column":
        columns["site"] = WORDS[form.domains]
        columns["chol"] = columns.pop("chol")
    return columns


def pandas(form):
    return pytest.importorskip("pandas").DataFrame(columns_of(form))


def polars(form):
    return pytest.importorskip("polars").DataFrame(columns_of(form))


def pyarrow(form):
    return pytest.importorskip("pyarrow").table(columns_of(form))


def rows(form):
    return form.X.tolist()


FRAMES = {"pandas": pandas, "polars": polars, "pyarrow": pyarrow}
CONTAINERS = {
    "numpy": lambda form: form.X,
    "lists": rows,
    **FRAMES,
    "csr_matrix": lambda form: sp.csr_matrix(form.X),
    "csr_array": lambda form: sp.csr_array(form.X),
    "csc_array": lambda form: sp.csc_array(form.X),
}


def model_for(form, container):
    named = container in FRAMES and form.name == "column"
    return form.model(pair="site") if named else form.model()


def takes(label, container):
    """Whether an estimator takes a container."""
    # Images and what reconstructs rows are dense.
    dense = label == "SharedConvClassifier" or "AutoencoderPrior" in label
    return not (dense and container.startswith("cs"))


def cells():
    for label, kind in KINDS.items():
        for form in kind.forms:
            for container in CONTAINERS:
                yield label, form, container


@pytest.mark.parametrize(("label", "form", "container"), list(cells()))
def test_every_container_gives_the_same_model(label, form, container):
    takes_it, form = takes(label, container), form_of(form, KINDS[label])
    data, model = CONTAINERS[container](form), model_for(form, container)
    if not takes_it:
        with pytest.raises(TypeError, match=r"(?i)sparse.*dense"):
            model.fit(data, form.kind.y, **form.metadata)
        return
    model.fit(data, form.kind.y, **form.metadata)
    values = getattr(model, form.kind.values)(data, **form.metadata)
    assert_allclose(values, form.values(), rtol=1e-6, atol=1e-9)
    if container in FRAMES:
        assert_array_equal(model.feature_names_in_, list(columns_of(form)))


# What cuts rows out of a container, and what hands frames on.

FRAMED = [
    ("TiedLogisticRegression", "column"),
    ("TiedRidge", "column"),
    ("TiedPair, two classifiers", "column"),
    ("TiedMLPClassifier", "model"),
    ("SharedConvClassifier", "column"),
]


@pytest.mark.parametrize("container", FRAMES)
@pytest.mark.parametrize(("label", "form"), FRAMED)
def test_frames_can_be_split_by_cross_validation(label, form, container):
    form = form_of(form, KINDS[label])
    data, model = CONTAINERS[container](form), model_for(form, container)
    options = {"cv": SPLITS, "method": form.kind.values}
    found = cross_val_predict(model, data, form.kind.y, **options)
    for train, test in SPLITS:
        assert_allclose(found[test], form.values(train, test), rtol=1e-6, atol=1e-9)
    search = GridSearchCV(model, form.kind.grid, cv=SPLITS, error_score="raise")
    search.fit(data, form.kind.y)
    values = getattr(search, form.kind.values)(data)
    assert_allclose(values, form.values(**search.best_params_), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize(
    "label", [k for k, kind in KINDS.items() if "column" in kind.forms]
)
def test_set_output_hands_the_column_on_by_its_name(label, library):
    pytest.importorskip(library)
    form = form_of("column", KINDS[label])
    scale = ColumnTransformer(
        [("scale", StandardScaler(), NAMES)],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform=library)
    pipe = make_pipeline(scale, form.model(pair="site"))
    data = FRAMES[library](form)
    values = getattr(pipe.fit(data, form.kind.y), form.kind.values)(data)
    features = np.asarray(pipe[0].transform(data)[NAMES])
    assert_allclose(values, form.values(features=features), rtol=1e-6, atol=1e-9)
    assert pipe[-1].feature_names_in_.tolist() == [*NAMES, "site"]


# The priors, and the features of a network, are transformers.

TRANSFORMERS = {
    "KMeansPrior": KMeansPrior(3, n_init=1, code="soft", random_state=0),
    "AutoencoderPrior": AutoencoderPrior(3, max_iter=5, random_state=0),
    "SharedConvClassifier": SharedConvClassifier(2, max_iter=2, random_state=0),
}
transformers = pytest.mark.parametrize("label", TRANSFORMERS)


@pytest.mark.parametrize("container", CONTAINERS)
@transformers
def test_transformers_take_every_container(label, container):
    model, none = clone(TRANSFORMERS[label]), form_of("none", KINDS["TiedRidge"])
    data = CONTAINERS[container](none)
    if not takes(label, container):
        with pytest.raises(TypeError, match=r"(?i)sparse.*dense"):
            model.fit(data, Y)
        return
    expected = clone(model).fit(X, Y).transform(X)
    found = model.fit(data, Y).transform(data)
    found = found.toarray() if sp.issparse(found) else found
    assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@transformers
def test_transformers_name_what_they_return(label, library):
    pytest.importorskip(library)
    model = clone(TRANSFORMERS[label])
    plain = model.fit(X, Y).transform(X)
    found = model.set_output(transform=library).transform(X)
    assert type(found).__module__.partition(".")[0] == library
    assert list(found.columns) == model.get_feature_names_out().tolist()
    assert_array_equal(np.asarray(found), plain)


@transformers
def test_transformers_work_in_unions_columns_and_searches(label):
    model = TRANSFORMERS[label]
    alone = clone(model).fit(X, Y).transform(X)
    union = FeatureUnion([("codes", clone(model)), ("raw", "passthrough")])
    assert_allclose(union.fit(X, Y).transform(X), np.hstack([alone, X]))
    columns = ColumnTransformer([("codes", clone(model), [0, 1, 2])])
    assert_allclose(columns.fit(X, Y).transform(X), alone)
    pipe = make_pipeline(clone(model), LogisticRegression())
    name = pipe.steps[0][0] + "__random_state"
    search = GridSearchCV(pipe, {name: [0, 1]}, cv=SPLITS, error_score="raise")
    score = search.fit(X, Y).cv_results_["mean_test_score"][0]
    by_hand = [clone(pipe).fit(X[a], Y[a]).score(X[b], Y[b]) for a, b in SPLITS]
    assert score == pytest.approx(np.mean(by_hand))
    assert cross_val_predict(pipe, X, Y, cv=SPLITS).shape == (N,)
