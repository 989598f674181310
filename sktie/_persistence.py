"""What saved models say of themselves: the version that saved them, and their types."""

from __future__ import annotations

import warnings
from typing import Any

from sklearn.base import BaseEstimator

from sktie._compat import DocLinkMixin
from sktie._version import __version__
from sktie.exceptions import InconsistentVersionWarning

#: Where the version stands in the state of an estimator.
VERSION_KEY = "_sktie_version"
#: What stands there for models that were saved before versions were recorded.
UNRECORDED = "before 0.1.0"

#: The types in files of skops that have to be trusted to load models of this package.
SKOPS_TRUSTED_TYPES = (
    "sktie._features.FeatureTie",
    "sktie.linear_model._logistic.TiedLogisticRegression",
    "sktie.linear_model._poisson.TiedPoissonRegressor",
    "sktie.linear_model._ridge.TiedRidge",
    "sktie.linear_model._tied_pair.TiedPair",
    "sktie.model_selection._poisson_cv.TiedPoissonRegressorCV",
    "sktie.model_selection._ridge_cv.TiedRidgeCV",
    "sktie.model_selection._split.LabeledSplit",
    "sktie.model_selection._tied_cv.TiedLogisticRegressionCV",
    "sktie.neural_network._conv.SharedConvClassifier",
    "sktie.neural_network._mlp.TiedMLPClassifier",
    "sktie.priors._autoencoder.AutoencoderPrior",
    "sktie.priors._kmeans.KMeansPrior",
    # The moments of `partial_fit` of a network, which are arrays.
    "sktie.nn._adam.Adam",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
)
#: In a saved state, the key of the items of a dict that has tuples or None as keys.
ITEMS_KEY = "_sktie_items"


class VersionedEstimator(DocLinkMixin, BaseEstimator):
    """An estimator of this package: saved with its version, linked to its docs.

    scikit-learn records its own version for its own estimators alone. The version is
    part of the state while this is saved, and never an attribute.
    """

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        found = {name: _plain(value) for name, value in state.items()}
        return {**found, VERSION_KEY: __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = {name: _restored(value) for name, value in state.items()}
        original = state.pop(VERSION_KEY, UNRECORDED)
        if original != __version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    original_version=original,
                    current_version=__version__,
                ),
                stacklevel=2,
            )
        super().__setstate__(state)


def _plain(value: Any) -> Any:
    """Return a dict such as a graph of pairs, or a tie of "the others", as its items.

    skops writes dicts as JSON, where tuples and None are no keys.
    """
    if isinstance(value, dict) and any(key is None or _is_pair(key) for key in value):
        items = [[list(key) if _is_pair(key) else key, value[key]] for key in value]
        return {ITEMS_KEY: items}
    return value


def _restored(value: Any) -> Any:
    if isinstance(value, dict) and ITEMS_KEY in value:
        items = value[ITEMS_KEY]
        return {tuple(k) if isinstance(k, list) else k: v for k, v in items}
    return value


def _is_pair(key: Any) -> bool:
    return isinstance(key, tuple)
