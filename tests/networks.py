"""Small networks of convolutions on few digits, for the tests of several files."""

import warnings

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sktie import SharedConvClassifier

X, Y = load_digits(n_class=3, return_X_y=True)
X, Y = X[:60], Y[:60]
N = len(X)
WEIGHT = np.random.default_rng(0).uniform(0.3, 3.0, size=N)


def network(filters=3, **settings):
    chosen = {"max_iter": 3, "stride": 2, "alpha": 0.1, "dropout": 0.0}
    chosen |= {"random_state": 0, "n_jobs": 1}
    return SharedConvClassifier(filters, **(chosen | settings))


def quietly(model, *args, **kwargs):
    """Fit, whether or not it converges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*args, **kwargs)


def parameters(model):
    return [*model.coefs_, *model.intercepts_]


def assert_same_model(a, b):
    """Every number of the two models is the same."""
    for mine, other in zip(parameters(a), parameters(b), strict=True):
        assert_array_equal(mine, other)
    assert a.loss_curve_ == b.loss_curve_


def assert_close_models(a, b, **tolerances):
    for mine, other in zip(parameters(a), parameters(b), strict=True):
        assert_allclose(mine, other, **tolerances)


def assert_different_model(a, b):
    assert np.abs(a.coefs_[0] - b.coefs_[0]).max() > 1e-6
