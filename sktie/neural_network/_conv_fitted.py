"""What a fitted network of convolutions does: predict, and show what it detects."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import (
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils.validation import check_is_fitted

from sktie._domains import of_domains
from sktie._labels import accuracy
from sktie._loss import most_probable, probability
from sktie._parallel import workers
from sktie._typing import Array, FloatArray, IntArray
from sktie._validation import in_range
from sktie.neural_network._architecture import (
    Plan,
    build_network,
    by_layer,
    convolution_number,
    multiplications,
    parameters_from,
    plan_layers,
    tile_size,
)
from sktie.neural_network._conv_rows import ReadingConvolutions
from sktie.neural_network._image_loss import even_tiles, predict_raw
from sktie.neural_network._images import Images, Scale
from sktie.nn import Network
from sktie.streams._apply import at_hand, by_blocks

#: Multiplications of a prediction, some 10 ms, from which a second thread is worth its
#: start and its own notes of the passes.
LEAST_WORK = 300_000_000


def _chances(model: Any) -> FloatArray:
    """Return no rows of what `predict_proba` returns."""
    return np.empty((0, len(model.classes_)), model._dtype)


class FittedConvolutions(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClassifierMixin,
    ReadingConvolutions,
):
    """Base of the networks of convolutions: all that needs fitted attributes alone."""

    __metadata_request__predict: ClassVar = {"sample_domain": True}
    __metadata_request__predict_proba: ClassVar = {"sample_domain": True}
    __metadata_request__predict_log_proba: ClassVar = {"sample_domain": True}
    __metadata_request__score: ClassVar = {"sample_domain": True}

    layers_: Plan
    coefs_: list[FloatArray]
    intercepts_: list[FloatArray]
    offset_: FloatArray
    scale_: FloatArray
    margin_: FloatArray
    n_iter_: int
    _domain_coef: FloatArray | None
    _domain_intercept: FloatArray | None
    _units: FloatArray

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
        for name in ("_dtype", "_domain_coef", "_domain_intercept", "_units"):
            fitted[name] = vars(self)[name]
        shared.__dict__.update(fitted)
        shared.layers_ = shared._plan(self._dropped)
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

    @by_blocks(lambda self: self.classes_[:0])
    def predict(self, X: Any, *, sample_domain: Any = None) -> Array:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ``*image_shape``)
            Images or signals.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for a model fitted with ``sample_domain``.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        index = most_probable(in_range(self._raw, X, sample_domain))
        return np.asarray(self.classes_[index])

    @by_blocks(_chances)
    def predict_proba(self, X: Any, *, sample_domain: Any = None) -> FloatArray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ``*image_shape``)
            Images or signals.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for a model fitted with ``sample_domain``.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        return probability(in_range(self._raw, X, sample_domain))

    @by_blocks(_chances)
    def predict_log_proba(self, X: Any, *, sample_domain: Any = None) -> FloatArray:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ``*image_shape``)
            Images or signals.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for a model fitted with ``sample_domain``.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            The logarithm of `predict_proba`; -inf where that is 0.
        """
        with np.errstate(divide="ignore"):
            return np.log(probability(in_range(self._raw, X, sample_domain)))

    def score(
        self, X: Any, y: Any, sample_weight: Any = None, *, sample_domain: Any = None
    ) -> float:
        """Return the accuracy on the given rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ``*image_shape``)
            Images or signals.
        y : array-like of shape (n_samples,)
            True labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row, for a model fitted with ``sample_domain``.

        Returns
        -------
        float
            Share of the rows that `predict` gets right.
        """
        predicted = self.predict(X, sample_domain=sample_domain)
        y, predicted, sample_weight = map(at_hand, (y, predicted, sample_weight))
        return accuracy(y, predicted, sample_weight)

    @by_blocks(lambda self: np.empty((0, self._n_features_out), self._dtype))
    def transform(self, X: Any) -> FloatArray:
        """Return the features that the output layer sees.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ``*image_shape``)
            Images or signals.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            Outputs of the last layer but one.
        """
        check_is_fitted(self)
        return self._outputs(self._pixels_of(X), -1)

    def feature_maps(self, X: Any, layer: int = 0) -> FloatArray:
        """Return what the kernels of a layer detect, and where.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ``*image_shape``)
            Images or signals.
        layer : int, default=0
            Number of the convolution, from 0.

        Returns
        -------
        ndarray of shape (n_samples, height, width, filters)
            The layer's outputs, pooled and activated.
        """
        check_is_fitted(self)
        number = convolution_number(layer, self.layers_)
        maps = self._outputs(self._pixels_of(X), number + 1)
        return np.ascontiguousarray(maps.transpose(0, 1, 3, 2))

    def _network(self, images: Images) -> tuple[Network, list[Any]]:
        """Return the fitted network and its parameters."""
        network = self._layers(images.fill)
        parameters = parameters_from(network, *self._stored())
        return network, by_layer(network, parameters)

    def _layers(self, fill: FloatArray) -> Network:
        """Return the fitted network, whose images are padded with ``fill``."""
        n_outputs = self.coefs_[-1].shape[1]
        return build_network(self.layers_, self.image_shape_, n_outputs, fill)

    def _raw(self, X: Any, sample_domain: Any) -> FloatArray:
        """Return the raw predictions, (n_samples, 1 or n_classes)."""
        check_is_fitted(self)
        X, _, _, domains = self._images_of(X, self.image_shape_, sample_domain)
        return self._outputs(X, None, self._domain_of(domains))

    def _outputs(
        self, X: Array, n_layers: int | None, domain: IntArray | None = None
    ) -> FloatArray:
        """Return the outputs of the first layers, (n_samples, *their shape)."""
        images = self._images(X)
        network, parameters = self._network(images)
        network = Network(network.layers[:n_layers])
        tile = tile_size(network, images.dtype.itemsize)
        n_lanes = len(even_tiles(range(len(X)), tile))
        if len(X) * multiplications(network) < LEAST_WORK:
            n_lanes = 1
        with workers(self.n_jobs, n_lanes) as crew:
            return predict_raw(
                network, parameters[:n_layers], images, tile, crew, domain
            )

    def _images(self, X: Array) -> Images:
        scale = Scale(self.offset_, self.scale_, self.margin_)
        return Images(X, self.image_shape_, scale, np.dtype(self._dtype))

    def _count(self) -> None:
        """Count what is stored, and what `transform` returns."""
        coefs, intercepts = self._stored()
        self.n_stored_parameters_ = sum(array.size for array in coefs + intercepts)
        self._n_features_out = self.coefs_[-1].shape[0]

    def _plan(self, dropped: float) -> Plan:
        """Return the layers that the parameters ask for."""
        domains = getattr(self, "domains_", None)
        n_domains = None if domains is None else len(domains)
        return plan_layers(self.get_params(deep=False), dropped, n_domains)

    @property
    def _dropped(self) -> float:
        """The share of the units that training dropped."""
        shares = [part["share"] for part in self.layers_ if part["kind"] == "dropout"]
        return float(max(shares, default=0.0))

    def _stored(self) -> tuple[list[FloatArray], list[FloatArray]]:
        """Return weights and biases, those of all domains in place of their mean."""
        if self._domain_coef is None or self._domain_intercept is None:
            return self.coefs_, self.intercepts_
        return (
            [*self.coefs_[:-1], self._domain_coef],
            [*self.intercepts_[:-1], self._domain_intercept],
        )

    @property
    def domain_coef_(self) -> FloatArray:
        """Output weights of each domain; stored once where all are shared."""
        return of_domains(self, "_domain_coef", lambda: self.coefs_[-1])

    @property
    def domain_intercept_(self) -> FloatArray:
        """Output biases of each domain; stored once where all are shared."""
        return of_domains(self, "_domain_intercept", lambda: self.intercepts_[-1])

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
