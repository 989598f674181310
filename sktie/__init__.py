"""Parameter tying and parameter sharing with scikit-learn's interface.

One dial, ``tie``, from 0 (separate parameters) through finite strengths (parameters
close to one another) to infinity (one shared parameter).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sktie._features import FeatureTie
from sktie._persistence import SKOPS_TRUSTED_TYPES, load, save
from sktie._tie import tying_penalty
from sktie._version import __version__
from sktie.linear_model import (
    TiedLogisticRegression,
    TiedPair,
    TiedPoissonRegressor,
    TiedRidge,
)

if TYPE_CHECKING:
    from sktie.model_selection import (
        TiedLogisticRegressionCV,
        TiedPoissonRegressorCV,
        TiedRidgeCV,
    )
    from sktie.neural_network import SharedConvClassifier, TiedMLPClassifier
    from sktie.priors import AutoencoderPrior, KMeansPrior

__all__ = [
    "SKOPS_TRUSTED_TYPES",
    "AutoencoderPrior",
    "FeatureTie",
    "KMeansPrior",
    "SharedConvClassifier",
    "TiedLogisticRegression",
    "TiedLogisticRegressionCV",
    "TiedMLPClassifier",
    "TiedPair",
    "TiedPoissonRegressor",
    "TiedPoissonRegressorCV",
    "TiedRidge",
    "TiedRidgeCV",
    "__version__",
    "load",
    "save",
    "tying_penalty",
]

#: Imported when first asked for: a linear model needs no clustering and no networks.
_LATER = {
    "AutoencoderPrior": "sktie.priors",
    "KMeansPrior": "sktie.priors",
    "SharedConvClassifier": "sktie.neural_network",
    "TiedLogisticRegressionCV": "sktie.model_selection",
    "TiedMLPClassifier": "sktie.neural_network",
    "TiedPoissonRegressorCV": "sktie.model_selection",
    "TiedRidgeCV": "sktie.model_selection",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'sktie' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
