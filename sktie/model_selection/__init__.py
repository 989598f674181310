"""Choosing the tie, and splitters for rows of which only some have labels."""

from sktie.model_selection._poisson_cv import TiedPoissonRegressorCV
from sktie.model_selection._ridge_cv import TiedRidgeCV
from sktie.model_selection._split import LabeledSplit
from sktie.model_selection._tied_cv import TiedLogisticRegressionCV

__all__ = [
    "LabeledSplit",
    "TiedLogisticRegressionCV",
    "TiedPoissonRegressorCV",
    "TiedRidgeCV",
]
