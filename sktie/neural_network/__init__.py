"""Networks whose parameters are tied or shared."""

from sktie.neural_network._conv import SharedConvClassifier
from sktie.neural_network._mlp import TiedMLPClassifier

__all__ = ["SharedConvClassifier", "TiedMLPClassifier"]
