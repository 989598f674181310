"""Linear models whose coefficients are tied or shared."""

from sktie.linear_model._logistic import TiedLogisticRegression

__all__ = ["TiedLogisticRegression"]
