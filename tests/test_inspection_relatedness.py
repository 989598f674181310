"""RelatednessDisplay: what it draws, and in which order."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktie import TiedLogisticRegression, TiedLogisticRegressionCV
from sktie.inspection import RelatednessDisplay

NAMES = np.array(["a", "b", "c", "d", "e", "f"])


@pytest.fixture
def plt():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")


def rows():
    rng = np.random.default_rng(0)
    X, code = rng.normal(size=(600, 2)), np.arange(600) % 6
    y = np.where(code % 2, X[:, 0], X[:, 1]) + rng.logistic(size=600) > 0
    return X, y, NAMES[code]


def fitted(**settings):
    X, y, domain = rows()
    model = TiedLogisticRegression(**{"graph": "learned", "tie": 5.0} | settings)
    return model.fit(X, y, sample_domain=domain)


def test_domains_that_go_together_stand_together(plt):
    model = fitted()
    display = RelatednessDisplay.from_estimator(model)
    names = [label.get_text() for label in display.ax_.get_xticklabels()]
    assert names == NAMES[display.order].tolist()
    assert {frozenset(names[:3]), frozenset(names[3:])} == {
        frozenset("ace"),
        frozenset("bdf"),
    }
    S = model.domain_covariance_
    spread = np.sqrt(np.diag(S))
    expected = (S / np.outer(spread, spread))[np.ix_(display.order, display.order)]
    assert_allclose(display.image_.get_array(), expected, atol=1e-12)
    assert display.figure_ is display.ax_.figure


def test_it_draws_into_axes_of_the_user(plt):
    _, ax = plt.subplots()
    assert RelatednessDisplay.from_estimator(fitted(), ax=ax).ax_ is ax


def test_many_domains_have_no_names(plt):
    covariance = np.eye(50) - 1 / 50
    display = RelatednessDisplay(covariance, np.arange(50)).plot()
    assert not display.ax_.get_xticks().size
    assert display.ax_.get_xlabel() == "50 domains"


def test_a_domain_at_the_mean_has_no_correlation():
    display = RelatednessDisplay([[0.5, -0.5, 0], [-0.5, 0.5, 0], [0, 0, 0]], "abc")
    assert_array_equal(display.correlation[2], 0)
    assert sorted(display.order.tolist()) == [0, 1, 2]
    assert RelatednessDisplay([[0.5, -0.5], [-0.5, 0.5]], "ab").order.tolist() == [0, 1]


def test_of_a_search_too(plt):
    X, y, domain = rows()
    model = TiedLogisticRegressionCV(graph="learned", ties=[5.0], Cs=[1.0], cv=2)
    model.fit(X, y, sample_domain=domain)
    assert RelatednessDisplay.from_estimator(model).image_ is not None


@pytest.mark.parametrize("graph", [None, {("a", "b"): 1.0, ("b", "c"): 1.0}])
def test_what_has_learned_nothing_is_an_error(graph):
    if graph is not None:
        graph |= {("c", "d"): 1.0, ("d", "e"): 1.0, ("e", "f"): 1.0}
    with pytest.raises(ValueError, match="graph='learned'"):
        RelatednessDisplay.from_estimator(fitted(graph=graph))
