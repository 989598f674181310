"""Constructor parameters are checked as scikit-learn checks them, but faster."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_param_validation

from sktie import TiedRidge, TiedRidgeCV
from sktie._compat import InvalidParameterError
from sktie._validation import check_parameters


class Wrong(TiedRidge):
    """Has a default that the parameter cannot have."""

    def __init__(self, pair=None, *, alpha=-1.0):
        super().__init__(pair, alpha=alpha)


def test_a_default_out_of_range_is_refused_too():
    with pytest.raises(InvalidParameterError, match=r"'alpha' .* Got -1.0 instead"):
        check_parameters(Wrong(), {})
    check_parameters(Wrong(alpha=1.0), {})


def test_what_equals_a_default_but_is_another_object_is_checked():
    check_parameters(TiedRidge(alpha=np.float64(1.0), tie=np.array([1.0])), {})
    with pytest.raises(InvalidParameterError, match=r"'fit_intercept' .* Got 1.0"):
        check_parameters(TiedRidge(fit_intercept=1.0), {})


def test_a_parameter_that_became_wrong_is_refused():
    model = TiedRidgeCV()
    check_parameters(model, {})
    model.set_params(alphas="many")
    with pytest.raises(InvalidParameterError, match=r"'alphas' .* Use numbers"):
        check_parameters(clone(model), {"alphas": "Use numbers."})


@pytest.mark.parametrize("kind", [TiedRidge, TiedRidgeCV])
def test_messages_are_those_of_scikit_learn(kind):
    check_param_validation(kind.__name__, kind())
