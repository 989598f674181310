"""Saving and loading models, and what these say of themselves: version and types."""

from __future__ import annotations

import os
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator

from sktie._compat import DocLinkMixin
from sktie._files import PathLike, replacing
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
    # What searches, stacking and calibration by scikit-learn hold: numbers, and other
    # objects, which have to be trusted in turn.
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
    *(
        f"sklearn.model_selection._split.{name}"
        for name in (
            "GroupKFold",
            "GroupShuffleSplit",
            "KFold",
            "LeaveOneGroupOut",
            "LeaveOneOut",
            "PredefinedSplit",
            "RepeatedKFold",
            "RepeatedStratifiedKFold",
            "ShuffleSplit",
            "StratifiedGroupKFold",
            "StratifiedKFold",
            "StratifiedShuffleSplit",
        )
    ),
)
#: What zip and skops raise where bytes of a file are missing, or others.
DAMAGED = (
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
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


def save(model: Any, path: PathLike) -> None:
    """Save a model to a file of skops, which is whole or not there.

    The file is written beside its place and put into it when it is on the disk. A full
    disk, Ctrl-C or a killed process leave the file that was there before.

    Parameters
    ----------
    model : estimator
        An estimator of this package, or a pipeline, a search or anything else of
        scikit-learn around some; fitted or not.
    path : str or os.PathLike
        The file, such as ``"model.skops"``. One that exists is replaced.

    Raises
    ------
    ImportError
        If skops is not installed.
    OSError
        If the file cannot be written.

    See Also
    --------
    load : Read it again.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from sklearn.datasets import load_iris
    >>> import sktie
    >>> X, y = load_iris(return_X_y=True)
    >>> model = sktie.TiedLogisticRegression(C=10.0).fit(X, y)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.skops"
    >>> sktie.save(model, path)
    >>> again = sktie.load(path)
    >>> bool((again.predict(X) == model.predict(X)).all())
    True
    """
    # Whole, before there is a file: what cannot be written is known by then.
    data = _skops("save").dumps(model)
    with replacing(path) as file:
        file.write(data)


def load(path: PathLike, *, trusted: Sequence[str] = ()) -> Any:
    """Load a model from a file of skops, and run no code that the file brings.

    Types that are made are those that skops trusts, which are those of NumPy, SciPy and
    scikit-learn that do nothing but hold a model, those of this package
    (``sktie.SKOPS_TRUSTED_TYPES``), and those that you name.

    Parameters
    ----------
    path : str or os.PathLike
        A file that `save` wrote, or ``skops.io.dump``.
    trusted : sequence of str, default=()
        More types to make, and functions to hold, such as
        ``"sklearn.metrics._classification.accuracy_score"`` of a search with
        ``scoring="accuracy"``. The error that asks for them names them.

    Returns
    -------
    estimator
        The model.

    Raises
    ------
    ImportError
        If skops is not installed.
    FileNotFoundError
        If there is no such file.
    TypeError
        If the file holds types that are not trusted.
    ValueError
        If it is no file of skops, or a damaged one.

    Warns
    -----
    InconsistentVersionWarning
        If another version of sktie saved the model.

    See Also
    --------
    save : Write such a file.

    Examples
    --------
    >>> import sktie
    >>> model = sktie.load("model.skops")  # doctest: +SKIP
    """
    skops, data = _skops("load"), Path(path).read_bytes()
    if isinstance(trusted, str):
        trusted = [trusted]
    known = [*SKOPS_TRUSTED_TYPES, *trusted]
    try:
        found = skops.get_untrusted_types(data=data) if data else []
        if more := sorted(set(found) - set(known)):
            raise TypeError(
                f"{os.fspath(path)!r} holds types that are not trusted: "
                f"{', '.join(more)}. If you know what they do, and who wrote the file, "
                f"name them: sktie.load(path, trusted={more})."
            )
        return skops.loads(data, trusted=known)
    except DAMAGED as error:
        raise ValueError(
            f"{os.fspath(path)!r} is no file of skops, or is damaged "
            f"({type(error).__name__}: {error}). Use a file that sktie.save wrote; "
            "pickles are not read here."
        ) from error


def _skops(name: str) -> Any:
    """Return the module that reads and writes files of skops."""
    try:
        return import_module("skops.io")
    except ImportError as error:
        raise ImportError(
            f"sktie.{name} needs skops, which is not installed: "
            'python -m pip install "sktie[skops]"'
        ) from error
