"""Models trained without labels, to which classifiers can be tied."""

from sktie.priors._autoencoder import AutoencoderPrior
from sktie.priors._kmeans import KMeansPrior

__all__ = ["AutoencoderPrior", "KMeansPrior"]
