"""What a fitted network of convolutions does: predict, and show what it detects."""

from __future__ import annotations

from importlib import import_module
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils.validation import check_is_fitted

from sktie._loss import most_probable, probability
from sktie._parallel import workers
from sktie._typing import Array, FloatArray
from sktie.neural_network._architecture import (
    Plan,
    build_network,
    by_layer,
    parameters_from,
    plan_layers,
    tile_size,
)
from sktie.neural_network._image_loss import predict_raw
from sktie.neural_network._images import Images, Scale, read_images
from sktie.nn import Network


class FittedConvolutions(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator
):
    """Base of the networks of convolutions: all that needs fitted attributes alone."""

    image_shape_: tuple[int, int, int]
    layers_: Plan
    coefs_: list[FloatArray]
    intercepts_: list[FloatArray]
    offset_: FloatArray
    scale_: FloatArray
    margin_: FloatArray
    n_iter_: int

    def to_shared(self) -> Self:
        """Return a model with one kernel for all locations: the mean of them all.

        Biases are averaged too, unless ``bias="location"`` asks for them.

        Returns
        -------
        SharedConvClassifier
            A fitted model with ``tie=inf``; this one is left as it is.
        """
        check_is_fitted(self)
        shared: Self = clone(self).set_params(tie=np.inf)
        fitted = {name: vars(self)[name] for name in vars(self) if name[-1] == "_"}
        shared.__dict__.update(fitted, _dtype=self._dtype)
        shared.layers_ = plan_layers(shared.get_params(deep=False))
        shared.coefs_, shared.intercepts_ = [], []
        plan = [part for part in shared.layers_ if "filters" in part]
        biases = [part["bias"] for part in plan] + ["location"] * len(self.coefs_)
        for kernels, bias, kind in zip(
            self.coefs_, self.intercepts_, biases, strict=False
        ):
            local = kernels.ndim == 6
            shared.coefs_.append(kernels.mean(axis=(0, 1)) if local else kernels)
            mixed = bias.ndim == 3 and kind == "shared"
            shared.intercepts_.append(bias.mean(axis=(0, 1)) if mixed else bias)
        shared._count()
        return shared

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, *image_shape)
            Images or signals.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        index = most_probable(self._outputs(X, None))
        return np.asarray(self.classes_[index])

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, *image_shape)
            Images or signals.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        return probability(self._outputs(X, None))

    def predict_log_proba(self, X: Any) -> FloatArray:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, *image_shape)
            Images or signals.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            The logarithm of `predict_proba`; -inf where that is 0.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def transform(self, X: Any) -> FloatArray:
        """Return the features that the output layer sees.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, *image_shape)
            Images or signals.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            Outputs of the last layer but one.
        """
        return self._outputs(X, -1)

    def feature_maps(self, X: Any, layer: int = 0) -> FloatArray:
        """Return what the kernels of a layer detect, and where.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, *image_shape)
            Images or signals.
        layer : int, default=0
            Number of the convolution, from 0.

        Returns
        -------
        ndarray of shape (n_samples, height, width, filters)
            The layer's outputs, pooled and activated.
        """
        check_is_fitted(self)
        n_layers = sum(part["kind"] == "convolution" for part in self.layers_)
        if n_layers == 0:
            raise ValueError(
                "The model has no convolution, so there are no maps. Give it filters, "
                "or call transform."
            )
        if not isinstance(layer, Integral) or not -n_layers <= layer < n_layers:
            raise ValueError(
                f"layer={layer!r}, but the model has {n_layers} convolutions. Use a "
                f"whole number from 0 to {n_layers - 1}."
            )
        maps = self._outputs(X, layer % n_layers + 1)
        return np.ascontiguousarray(maps.transpose(0, 1, 3, 2))

    def _network(self, images: Images) -> tuple[Network, list[Any]]:
        """Return the fitted network and its parameters."""
        n_outputs = self.coefs_[-1].shape[1]
        network = build_network(self.layers_, self.image_shape_, n_outputs, images.fill)
        parameters = parameters_from(network, self.coefs_, self.intercepts_)
        return network, by_layer(network, parameters)

    def _outputs(self, X: Any, n_layers: int | None) -> FloatArray:
        """Return the outputs of the first layers, (n_samples, *their shape)."""
        check_is_fitted(self)
        X, _, _ = read_images(self, X, self.image_shape_, self.signals, reset=False)
        images = self._images(X)
        network, parameters = self._network(images)
        network = Network(network.layers[:n_layers])
        tile = tile_size(network, images.dtype.itemsize)
        n_lanes = -(-len(X) // (8 * tile))
        with workers(self.n_jobs, n_lanes) as crew:
            return predict_raw(network, parameters[:n_layers], images, tile, crew)

    def _images(self, X: Array) -> Images:
        scale = Scale(self.offset_, self.scale_, self.margin_)
        return Images(X, self.image_shape_, scale, np.dtype(self._dtype))

    def _count(self) -> None:
        """Count what is stored, and what `transform` returns."""
        arrays = [*self.coefs_, *self.intercepts_]
        self.n_stored_parameters_ = sum(array.size for array in arrays)
        self._n_features_out = self.coefs_[-1].shape[0]

    def sharing_report(self) -> Any:
        """Return how many connections and parameters every layer has, and stores.

        Returns
        -------
        sktie.inspection.SharingReport
            A table; printed as text, shown in notebooks as HTML.
        """
        return _inspection().sharing_report(self)

    def receptive_field(self, layer: int, unit: Any) -> Array:
        """Return which pixels a unit sees: sharing seen from above.

        Parameters
        ----------
        layer : int
            Number of the layer, from 0.
        unit : int or tuple of int
            Row and column of the layer's outputs, or one number for other layers.

        Returns
        -------
        ndarray of bool of shape (height, width)
            True for what it sees.
        """
        found: Array = _inspection().receptive_field(self, layer, unit)
        return found

    def influence(self, pixel: Any, layer: int) -> Array:
        """Return which outputs of a layer a pixel affects: sharing seen from below.

        Parameters
        ----------
        pixel : int or tuple of int
            Row and column of an image, or the place in a signal.
        layer : int
            Number of the layer, from 0.

        Returns
        -------
        ndarray of bool
            True for what it affects.
        """
        found: Array = _inspection().influence(self, pixel, layer)
        return found


def _inspection() -> Any:
    """Return the package that reads fitted models; it stands on a floor above."""
    return import_module("sktie.inspection")
