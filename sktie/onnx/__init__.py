"""Conversion of fitted models to ONNX, by `skl2onnx`."""

from __future__ import annotations

from importlib import import_module

__all__ = ["register"]


def register() -> None:
    """Teach `skl2onnx` to convert the estimators of this package.

    Afterwards ``skl2onnx.to_onnx`` and ``convert_sklearn`` take them, alone, at the end
    of a `Pipeline`, after a `ColumnTransformer`, or in a search. To call it twice does
    no harm.

    =================================  ==============================================
    estimator                          outputs
    =================================  ==============================================
    classifiers                        label and probabilities, as of scikit-learn's
                                       (an array with ``options={"zipmap": False}``)
    `TiedRidge`, `TiedRidgeCV`         predictions, a column for each target
    `TiedPoissonRegressor` and its CV  rates: counts for an exposure of 1
    `KMeansPrior`, `AutoencoderPrior`  the code that `transform` returns, dense
    `TiedPair`                         none: convert its ``estimators_``
    =================================  ==============================================

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Notes
    -----
    *Domains.* A column that ``pair`` names stays a column: one of numbers in X, or,
    where the labels are words, an input of text. For a model fitted with
    ``sample_domain`` the domains are one more input, of one column, the last. With
    ``handle_unknown="shared"`` other domains are predicted by the shared model; with
    ``"error"`` the runtime raises, at the node ``domain_not_seen_in_fit``: onnxruntime
    does on a CPU.

    *Precision.* Linear models and `TiedMLPClassifier` compute in the dtype of their
    coefficients, networks of convolutions in float32; the outputs have the type of the
    input. What cannot be converted raises at conversion, with the reason.

    Examples
    --------
    >>> from sktie.onnx import register
    >>> register()  # doctest: +SKIP
    >>> from skl2onnx import to_onnx  # doctest: +SKIP
    >>> onx = to_onnx(model, X[:1].astype("float32"))  # doctest: +SKIP
    """
    try:
        skl2onnx = import_module("skl2onnx")
    except ImportError as error:
        raise ImportError(
            "sktie.onnx.register needs skl2onnx, which is not installed: "
            'python -m pip install "sktie[onnx]"'
        ) from error
    from sktie.onnx._converters import converters

    for estimator, way in converters().items():
        skl2onnx.update_registered_converter(
            estimator,
            f"Sktie{estimator.__name__}",
            way.shapes,
            way.convert,
            options=way.options,
            parser=way.parser,
        )
