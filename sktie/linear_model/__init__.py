"""Linear models whose coefficients are tied or shared."""

from sktie.linear_model._logistic import TiedLogisticRegression
from sktie.linear_model._poisson import TiedPoissonRegressor
from sktie.linear_model._ridge import TiedRidge
from sktie.linear_model._tied_pair import TiedPair

__all__ = ["TiedLogisticRegression", "TiedPair", "TiedPoissonRegressor", "TiedRidge"]
