"""Linear models whose coefficients are tied or shared."""

from sktie.linear_model._logistic import TiedLogisticRegression
from sktie.linear_model._ridge import TiedRidge

__all__ = ["TiedLogisticRegression", "TiedRidge"]
