"""Networks whose layers are tied."""

from sktie.neural_network._mlp import TiedMLPClassifier

__all__ = ["TiedMLPClassifier"]
