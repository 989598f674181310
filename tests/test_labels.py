"""Tests of sktie._labels: classes, weights and rows without a label."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sktie import KMeansPrior, TiedMLPClassifier
from sktie._labels import Sample, append_unlabeled, encode_sample, labelled_rows

X = np.arange(12.0).reshape(6, 2)
Y = np.array([3, -1, 1, 3, -1, 3])
KNOWN = Y != -1


def encode(y, weight=None, class_weight=None, unlabeled=-1, X=X):
    return encode_sample(X, np.asarray(y), weight, class_weight, unlabeled)


def assert_same_sample(a, b):
    dense = [s.X.toarray() if sp.issparse(s.X) else s.X for s in (a, b)]
    assert_array_equal(*dense)
    assert_array_equal(a.y_index, b.y_index)
    assert (a.weight is None) == (b.weight is None)
    if a.weight is not None:
        assert_allclose(a.weight, b.weight, rtol=1e-15)


# --- encode_sample: which rows have which class


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.float64, np.float32])
def test_marked_rows_get_no_class_and_the_mark_is_none(dtype):
    classes, sample = encode(Y.astype(dtype))
    assert_array_equal(classes, [1, 3])
    assert classes.dtype == np.dtype(dtype)
    assert_array_equal(sample.y_index, [1, -1, 0, 1, -1, 1])
    assert sample.weight is None
    assert sample.X is X


@pytest.mark.parametrize("dtype", [str, object])
def test_any_string_can_be_the_mark(dtype):
    y = np.array(["b", "?", "a", "b", "?", "c"], dtype=dtype)
    classes, sample = encode(y, unlabeled="?")
    assert_array_equal(classes, ["a", "b", "c"])
    assert_array_equal(sample.y_index, [1, -1, 0, 1, -1, 2])


@pytest.mark.parametrize("mark", [0, 3, 200])
def test_any_integer_can_be_the_mark(mark):
    y = np.array([1, mark, 2, 7, mark, 7], dtype=np.uint8)
    classes, sample = encode(y, unlabeled=mark)
    assert_array_equal(classes, [1, 2, 7])
    assert_array_equal(sample.y_index, [0, -1, 1, 2, -1, 2])


def test_labels_of_words_and_the_mark_minus_one_go_together():
    y = np.array(["b", -1, "a", "b", -1, "b"], dtype=object)
    classes, sample = encode(y)
    assert_array_equal(classes, ["a", "b"])
    assert_array_equal(sample.y_index, [1, -1, 0, 1, -1, 1])


def test_without_a_mark_every_label_is_a_class():
    classes, sample = encode(Y, unlabeled=None)
    assert_array_equal(classes, [-1, 1, 3])
    assert_array_equal(sample.y_index, [2, 0, 1, 2, 0, 2])


def test_a_mark_that_no_row_has_changes_nothing():
    expected = encode(Y, unlabeled=None)
    classes, sample = encode(Y, unlabeled=77)
    assert_array_equal(classes, expected[0])
    assert_same_sample(sample, expected[1])


def test_indices_can_hold_minus_one_for_any_number_of_classes():
    for n_classes in (2, 3, 300):
        y = np.append(np.arange(n_classes), -1)
        classes, sample = encode(y, X=np.zeros((len(y), 1)))
        assert_array_equal(classes, np.arange(n_classes))
        assert_array_equal(sample.y_index, y)
        assert sample.y_index.dtype.kind == "i"


# --- encode_sample: weights


def test_weights_of_all_rows_are_kept():
    weight = np.array([1.0, 2.0, 3.0, 0.5, 0.0, 1.0])
    _, sample = encode(Y, weight)
    assert_array_equal(sample.weight, weight)
    _, sample = encode(Y, weight, X=X.astype(np.float32))
    assert sample.weight.dtype == np.float32


def test_classes_of_weight_zero_are_absent_as_without_unlabelled_rows():
    y = np.array([3, -1, 1, 3, -1, 8])
    classes, sample = encode(y, [1, 1, 1, 1, 1, 0])
    assert_array_equal(classes, [1, 3])
    assert sample.y_index[5] >= 0
    assert sample.weight[5] == 0


def test_balanced_weights_count_labelled_rows_alone():
    _, sample = encode(Y, None, "balanced")
    rare, common = 4 / (2 * 1), 4 / (2 * 3)
    assert_allclose(sample.weight, [common, 1, rare, common, 1, common])
    # Weighted, both classes have half of the mass; unlabelled rows keep theirs.
    _, sample = encode(Y, [1.0, 50.0, 2.0, 0.5, 50.0, 1.0], "balanced")
    assert_allclose(sample.weight[Y == 1].sum(), 2.25)
    assert_allclose(sample.weight[Y == 3].sum(), 2.25)
    assert_array_equal(sample.weight[~KNOWN], [50, 50])


def test_class_weights_leave_unlabelled_rows_alone():
    for mark in ({}, {-1: 9.0}):
        _, sample = encode(Y, None, {1: 4.0, 3: 0.5} | mark)
        assert_allclose(sample.weight, [0.5, 1, 4, 0.5, 1, 0.5])
    _, sample = encode(Y, [2.0, 3, 1, 1, 1, 1], {1: 4.0})
    assert_allclose(sample.weight, [2, 3, 4, 1, 1, 1])


def test_class_weights_have_the_dtype_of_the_rows():
    _, sample = encode(Y, None, {1: 4.0}, X=X.astype(np.float32))
    assert sample.weight.dtype == np.float32


def test_arguments_are_left_alone():
    y, weight, class_weight = Y.copy(), np.ones(6), {1: 2.0, 3: 1.0}
    encode(y, weight, class_weight)
    assert_array_equal(y, Y)
    assert_array_equal(weight, 1)
    assert class_weight == {1: 2.0, 3: 1.0}


# A mark among few classes, and a class for the rows that have one.
marked = st.lists(st.sampled_from([-1, 0, 1, 4]), min_size=4, max_size=30).filter(
    lambda y: len(set(y) - {-1}) >= 2
)


@given(
    y=marked,
    seed=st.none() | st.integers(0, 99),
    class_weight=st.sampled_from([None, "balanced", {0: 2.0, 1: 3.0, 4: 0.5}]),
    sparse=st.booleans(),
)
def test_labelled_part_is_what_the_labelled_rows_give_alone(
    y, seed, class_weight, sparse
):
    y = np.array(y)
    known = y != -1
    rows = np.random.default_rng(0).normal(size=(len(y), 2))
    if sparse:
        rows = sp.csr_array(rows)
    weight = None
    if seed is not None:
        weight = np.random.default_rng(seed).uniform(0.1, 3, len(y))
    classes, sample = encode(y, weight, class_weight, X=rows)
    alone = None if weight is None else weight[known]
    expected = encode(y[known], alone, class_weight, None, X=rows[known])
    assert_array_equal(classes, expected[0])
    assert_same_sample(sample.labelled(), expected[1])


# --- errors


def test_all_rows_unlabelled_is_an_error_that_names_the_mark():
    with pytest.raises(ValueError, match=r"no labelled row: all 4 .* unlabeled=-1"):
        labelled_rows(np.full(4, -1), -1)


@pytest.mark.parametrize(
    ("y", "mark", "holds"),
    [
        (Y, "none", "numbers"),
        (Y.astype(float), "-1", "numbers"),
        (Y.astype(str), -1, "strings"),
        (Y.astype(str).astype(object), -1, "strings"),
    ],
)
def test_a_mark_of_another_kind_is_an_error(y, mark, holds):
    with pytest.raises(ValueError, match=f"(?s)unlabeled={mark!r}.*holds {holds}"):
        labelled_rows(y, mark)


def test_one_class_among_labelled_rows_is_an_error():
    with pytest.raises(ValueError, match="one class, 3"):
        encode(np.where(Y == 1, -1, Y))


def test_labelled_rows_of_weight_zero_are_an_error():
    with pytest.raises(ValueError, match=r"(?i)weight"):
        encode(Y, (~KNOWN).astype(float))


def test_unknown_class_in_class_weight_is_an_error():
    with pytest.raises(ValueError, match=r"labels \[7\].*classes \[1, 3\]"):
        encode(Y, None, {1: 1.0, 7: 2.0})


# --- Sample


@pytest.mark.parametrize("weighted", [False, True])
def test_labelled_keeps_rows_classes_and_weights_together(weighted):
    weight = np.arange(1.0, 7.0) if weighted else None
    _, sample = encode(Y, weight)
    labelled = sample.labelled()
    assert_array_equal(labelled.X, X[KNOWN])
    assert_array_equal(labelled.y_index, [1, 0, 1, 1])
    if weighted:
        assert_array_equal(labelled.weight, [1, 3, 4, 6])
    else:
        assert labelled.weight is None
    assert labelled.labelled() is labelled, "no copy where all rows have a label"


@pytest.mark.parametrize("theirs", [np.asarray, sp.csr_matrix, sp.csr_array])
@pytest.mark.parametrize("ours", [np.asarray, sp.csr_matrix, sp.csr_array])
def test_rows_of_any_kind_can_be_appended(ours, theirs):
    sample = Sample(ours(X), np.array([0, 1, 0, 1, -1, 0], np.int8), None)
    more = -X[:2]
    longer = sample.with_rows(theirs(more))
    assert sp.issparse(longer.X) == sp.issparse(sample.X)
    if sp.issparse(longer.X):
        assert longer.X.format == "csr"
    expected = Sample(np.vstack([X, more]), np.array([0, 1, 0, 1, -1, 0, -1, -1]), None)
    assert_same_sample(longer, expected)
    assert sample.X.shape == (6, 2)


def test_appended_rows_weigh_one():
    sample = Sample(X, np.zeros(6, int), np.arange(6, dtype=np.float32))
    longer = sample.with_rows(X[:2])
    assert_array_equal(longer.weight, [0, 1, 2, 3, 4, 5, 1, 1])
    assert longer.weight.dtype == np.float32


# --- append_unlabeled


@pytest.fixture
def estimator():
    model = TiedMLPClassifier(KMeansPrior(2, random_state=0), tie=np.inf)
    return model.fit(X, [0, 1, 0, 1, 0, 1])


def test_nothing_to_append_leaves_the_sample_as_it_is(estimator):
    _, sample = encode(Y)
    assert append_unlabeled(estimator, sample, None) is sample


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "rows",
    [
        X[:2] + 0.5,
        (X[:2] + 0.5).tolist(),
        sp.csc_array(X[:2] + 0.5),
        sp.coo_matrix((X[:2] + 0.5).astype(np.float32)),
    ],
    ids=["array", "list", "csc", "coo"],
)
def test_appended_rows_take_the_dtype_of_the_others(estimator, rows, dtype):
    _, sample = encode(Y, X=X.astype(dtype))
    longer = append_unlabeled(estimator, sample, rows)
    assert longer.X.dtype == dtype
    assert_array_equal(longer.X, np.vstack([X, X[:2] + 0.5]))
    assert_array_equal(longer.y_index, [*sample.y_index, -1, -1])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (X[:, :1], "X_unlabeled has 1 features.*2"),
        (np.full((2, 2), np.nan), "X_unlabeled contains NaN"),
        (np.full((2, 2), np.inf), "X_unlabeled contains infinity"),
        (X[:0], "0 sample"),
        (X[0], "features|1D"),
        ([["a", "b"]], "convert string"),
    ],
    ids=["features", "nan", "inf", "empty", "1-D", "words"],
)
def test_rows_that_do_not_fit_are_refused(estimator, rows, words):
    _, sample = encode(Y)
    with pytest.raises(ValueError, match=f"(?is){words}"):
        append_unlabeled(estimator, sample, rows)


def test_names_of_columns_must_be_those_of_fit():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b"])
    model = TiedMLPClassifier(KMeansPrior(2, random_state=0), tie=np.inf)
    model.fit(frame, [0, 1, 0, 1, 0, 1])
    _, sample = encode(Y)
    longer = append_unlabeled(model, sample, frame[:2])
    assert_array_equal(longer.X, np.vstack([X, X[:2]]))
    for wrong in (frame[["b", "a"]], frame.rename(columns={"b": "c"})):
        with pytest.raises(ValueError, match="feature names should match"):
            append_unlabeled(model, sample, wrong)


def test_strings_and_numbers_do_not_mix():
    y = np.array(["a", "b", 1, "a", 2.0, "b"], dtype=object)
    with pytest.raises(ValueError, match=r"y mixes strings with float, int; expected"):
        encode(y, unlabeled="none")
