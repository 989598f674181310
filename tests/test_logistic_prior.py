"""Tied to a prior: an estimator that makes, in each fit, the model to be tied to."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sktie import TiedLogisticRegression
from sktie._prior import Prior

P = 4


def make_data(n_classes):
    return make_classification(
        n_samples=90,
        n_features=P,
        n_informative=3,
        n_redundant=0,
        n_classes=n_classes,
        n_clusters_per_class=1,
        random_state=0,
    )


@pytest.fixture(params=[2, 3], ids=["binary", "multinomial"])
def data(request):
    return make_data(request.param)


def fitted(pair, X, y, weight=None):
    return TiedLogisticRegression(pair, tol=1e-20).fit(X, y, weight)


def assert_same_model(a, b):
    assert_allclose(a.coef_, b.coef_, rtol=1e-7, atol=1e-7)
    assert_allclose(a.intercept_, b.intercept_, rtol=1e-7, atol=1e-7)


class MeanPrior(BaseEstimator):
    """Class means in units of the spread; remembers what it was given."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def fit(self, X, y=None, sample_weight=None):
        self.y_, self.fit_weight_ = y, sample_weight
        centre = np.average(X, axis=0, weights=sample_weight)
        self.spread_ = np.average((X - centre) ** 2, axis=0, weights=sample_weight)
        return self

    def linear_anchor(self, X, y_index, n_classes, sample_weight=None):
        self.asked_ = X.shape, np.array(y_index), n_classes
        self.anchor_weight_ = sample_weight
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        member = (y_index == np.arange(n_classes)[:, np.newaxis]) * weight
        coef = member @ X / member.sum(axis=1, keepdims=True)
        return self.scale * coef / self.spread_, np.zeros(n_classes)


def test_the_prior_of_these_tests_is_one():
    assert isinstance(MeanPrior(), Prior)
    assert not isinstance(LogisticRegression(), Prior)


@pytest.mark.parametrize("weighted", [False, True])
def test_an_unfitted_prior_is_cloned_and_fitted_inside_fit(data, weighted):
    X, y = data
    weight = np.linspace(0.5, 2.0, len(y)) if weighted else None
    prior = MeanPrior(scale=2.0)
    model = fitted(prior, X, y, weight)
    assert vars(prior) == {"scale": 2.0}, "the user's own prior stays unfitted"
    mine = MeanPrior(scale=2.0).fit(X, None, weight)
    pair = mine.linear_anchor(X, y, len(np.unique(y)), weight)
    expected = fitted(pair, X, y, weight)
    assert_same_model(model, expected)
    if weighted:
        other = fitted(prior, X, y)
        assert np.abs(other.coef_ - model.coef_).max() > 1e-3


class Spy(MeanPrior):
    """Hands what its clone was given to the test."""

    seen: list = []  # noqa: RUF012

    def linear_anchor(self, *args, **kwargs):
        anchor = super().linear_anchor(*args, **kwargs)
        Spy.seen.append(self)
        return anchor


def test_a_prior_is_asked_once_without_labels_in_its_fit(data):
    X, y = data
    words = np.array(["no", "so-so", "yes"])[y]
    weight = np.linspace(0.5, 2.0, len(y))
    Spy.seen.clear()
    TiedLogisticRegression(Spy()).fit(X, words, weight)
    (spy,) = Spy.seen
    assert spy.y_ is None
    shape, y_index, n_classes = spy.asked_
    assert shape == X.shape
    assert n_classes == len(np.unique(y))
    assert_array_equal(y_index, y)
    assert_allclose(spy.fit_weight_, weight)
    assert_allclose(spy.anchor_weight_, weight)


def test_a_prior_gets_the_weights_of_the_classes_too():
    X, y = make_data(2)
    Spy.seen.clear()
    TiedLogisticRegression(Spy(), class_weight={0: 1.0, 1: 3.0}).fit(X, y)
    assert_allclose(Spy.seen[0].anchor_weight_, np.where(y == 1, 3.0, 1.0))


def test_a_frozen_prior_is_used_as_it_is(data):
    X, y = data
    prior = MeanPrior().fit(X[:40])
    spread = prior.spread_.copy()
    model = fitted(FrozenEstimator(prior), X, y)
    assert_array_equal(prior.spread_, spread)
    pair = prior.linear_anchor(X, y, len(np.unique(y)))
    assert_same_model(model, fitted(pair, X, y))


def test_a_prior_and_its_parameters_go_through_a_search(data):
    X, y = data
    model = TiedLogisticRegression(MeanPrior())
    assert model.get_params()["pair__scale"] == 1.0
    search = GridSearchCV(model, {"pair__scale": [0.1, 10.0], "tie": [1e3]}, cv=2)
    best = search.fit(X, y).best_estimator_
    assert best.pair.scale == search.best_params_["pair__scale"]
    by_scale = [
        clone(model).set_params(pair__scale=s).fit(X, y).coef_ for s in (0.1, 10)
    ]
    assert np.abs(by_scale[0] - by_scale[1]).max() > 0.1


def test_a_prior_of_the_wrong_shape_is_named():
    class Wrong(MeanPrior):
        def linear_anchor(self, X, y_index, n_classes, sample_weight=None):
            return np.ones((1, X.shape[1] + 1)), np.zeros(1)

    X, y = make_data(2)
    with pytest.raises(ValueError, match=f"{P + 1} features, but X has {P}"):
        TiedLogisticRegression(Wrong()).fit(X, y)
