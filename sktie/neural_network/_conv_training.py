"""How a network of convolutions is trained: objective, start, stop, what is kept."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sktie._compat import WRAPPER_FRAMES, CallbackSupportMixin
from sktie._domains import is_column
from sktie._labels import index_of_known
from sktie._loss import ClassLoss, classification_loss
from sktie._parallel import Workers
from sktie._typing import FloatArray
from sktie.neural_network._architecture import (
    build_network,
    draw_weights,
    parameters_from,
    tied_arrays,
    tile_size,
    to_public,
)
from sktie.neural_network._augment import as_augment
from sktie.neural_network._conv_fitted import FittedConvolutions
from sktie.neural_network._conv_rows import Rows
from sktie.neural_network._image_loss import ImageLoss
from sktie.neural_network._images import Scale, measure_scale
from sktie.neural_network._objective import hold_back
from sktie.neural_network._tied_array import TiedArray
from sktie.neural_network._trainer import train
from sktie.neural_network._transfer import (
    alike,
    check_pair_shape,
    find_pair,
    layer_strengths,
    pair_parameters,
)
from sktie.nn import DomainHeads, Network, Trained, one_cycle

#: Rows up to which ``batch_size="auto"`` takes all of them, and its batches beyond.
FULL_BATCH_ROWS = 256
BATCH_ROWS = 128
#: What ``dropout="auto"`` drops where there are batches.
DROPOUT = 0.25
#: Steps that ``max_iter="auto"`` aims at, and the least and most epochs it takes.
STEPS, FEWEST_EPOCHS, MOST_EPOCHS = 1500, 15, 200


class TrainedConvolutions(CallbackSupportMixin, FittedConvolutions):
    """Base of the networks of convolutions: from rows to fitted attributes."""

    loss_curve_: list[float]

    def _measure(self, rows: Rows, previous: Any) -> None:
        """Learn the scale of the pixels, unless parameters to go on from have one."""
        self._dtype = self.dtype
        if self.dtype == "auto":
            self._dtype = "float64" if rows.X.dtype == np.float64 else "float32"
        source: Any = None if previous is None else self
        if (pair := self._fitted_pair()) is not None:
            source = pair
            check_pair_shape(source, self.image_shape_)
        if source is None:
            n_channels = self.image_shape_[2]
            scale = measure_scale(rows.X, rows.index, n_channels, rows.weight)
        else:
            scale = Scale(source.offset_, source.scale_, source.margin_)
        scale.check(self._dtype)
        self.offset_, self.scale_ = scale.offset, scale.scale
        self.margin_ = scale.margin

    def _fitted_pair(self) -> Any:
        """Return the network that this one is tied to, if it is to one."""
        if self.pair is None or is_column(self.pair):
            return None
        return find_pair(self.pair)

    def _problem(
        self, rows: Rows, rng: np.random.RandomState, crew: Workers
    ) -> ImageLoss:
        """Return the objective of rows with weights and classes."""
        images = self._images(rows.X).take(rows.index)
        loss = classification_loss(len(self.classes_))
        network = build_network(
            self.layers_, self.image_shape_, loss.n_outputs, images.fill
        )
        augment = as_augment(self.augment, self.margin_)
        noisy = augment is not None or self._dropped > 0
        if noisy and self.solver == "lbfgs":
            raise ValueError(
                f"solver='lbfgs' needs the same loss at every step, which dropout="
                f"{self.dropout} and augment={self.augment!r} change at random. Take "
                "solver='adam', or leave both out."
            )
        return ImageLoss(
            images=images,
            y=loss.encode(rows.y_index, images.dtype),
            weight=rows.weight.astype(images.dtype),
            loss=loss,
            network=network,
            arrays=self._tied(network, loss),
            tile=tile_size(network, images.dtype.itemsize),
            workers=crew,
            rng=np.random.default_rng(rng.randint(2**31)) if noisy else None,
            augment=augment,
            domain=rows.domain,
        )

    def _tied(self, network: Network, loss: ClassLoss) -> tuple[TiedArray, ...]:
        """Return how all parameters are tied, those of a pair included."""
        arrays = tied_arrays(self.layers_, network, float(self.alpha))
        if (pair := self._fitted_pair()) is None:
            return arrays
        same = np.array_equal(pair.classes_, self.classes_)
        anchors = pair_parameters(pair, self, network, loss if same else None)
        strengths = layer_strengths(self.tie_pair, len(network.layers_with_weights))
        tied = [
            array.tied_to(anchor, strengths[k // 2])
            for k, (array, anchor) in enumerate(zip(arrays, anchors, strict=False))
        ]
        return (*tied, *arrays[len(tied) :])

    def _held_back(
        self,
        problem: ImageLoss,
        X_val: Any,
        y_val: Any,
        sample_domain_val: Any,
        rng: np.random.RandomState,
    ) -> tuple[ImageLoss, ImageLoss | None]:
        """Return what to train on and what to stop by, if anything."""
        if X_val is None and sample_domain_val is not None:
            raise ValueError(
                "sample_domain_val was given without X_val; expected the domain of "
                "each row of X_val. Pass X_val and y_val too, or leave it out."
            )
        if (X_val is None) != (y_val is None):
            raise ValueError(
                "X_val and y_val go together, but only one of them was given. Pass "
                "both, or none."
            )
        if X_val is None:
            if not self.early_stopping:
                return problem, None
            training, held_back = hold_back(problem, self.validation_fraction, rng)
            self._check_left(training)
            return training, held_back
        name = "sample_domain_val"
        X, _, y, domains = self._images_of(
            X_val, self.image_shape_, sample_domain_val, name=name, y=y_val
        )
        y = problem.loss.encode(
            index_of_known(y, self.classes_, "y_val"), problem.images.dtype
        )
        weight = np.ones(len(X), problem.images.dtype)
        return problem, replace(
            problem,
            images=self._images(X),
            y=y,
            weight=weight,
            domain=self._domain_of(domains, name),
        )

    def _check_left(self, training: ImageLoss) -> None:
        """Check that no head is left without rows and without a tie."""
        if training.domain is None or self.layers_[-1]["tie"] > 0:
            return
        left = np.isin(np.arange(len(self.domains_)), training.domain)
        if not left.all():
            raise ValueError(
                "early_stopping=True holds back all rows of the domains "
                f"{self.domains_[~left].tolist()}, which tie_pair=0 fits alone. Use "
                "a positive tie_pair, another validation_fraction, or X_val and y_val."
            )

    def _previous(self) -> Any:
        """Return what the last fit was, if there is one."""
        if not hasattr(self, "coefs_"):
            return None
        return (
            self.classes_,
            self.image_shape_,
            self.layers_,
            self._labels_of_domains(),
            *self._stored(),
            self._units,
        )

    def _labels_of_domains(self) -> list[Any]:
        """Return what tells domains from those of another fit; empty without any."""
        return list(self.domains_.tolist()) if hasattr(self, "domains_") else []

    def _still_fits(self, previous: Any) -> Any:
        """Return parameters to go on from, or None where classes or layers differ."""
        if previous is None:
            return None
        classes, shape, layers, domains, *_ = previous
        same = (
            np.array_equal(classes, self.classes_)
            and shape == self.image_shape_
            and alike(layers, self.layers_)
            and domains == self._labels_of_domains()
        )
        return previous if same else None

    def _start(
        self, problem: ImageLoss, previous: Any, rng: np.random.RandomState
    ) -> FloatArray:
        """Return the last fit, the pair, or a draw."""
        if previous is not None:
            *_, coefs, intercepts, units = previous
            found = parameters_from(problem.network, coefs, intercepts, problem.loss)
        else:
            units = np.ones((len(problem.arrays), 2))
            found = []
            for layer in problem.network.layers_with_weights:
                found += draw_weights(rng, layer)
            found = [
                part if array.anchor is None else array.anchor
                for part, array in zip(found, problem.arrays, strict=True)
            ]
        theta = problem.locate(found, units)
        return theta if self.solver == "lbfgs" else theta.astype(problem.images.dtype)

    def _train(
        self,
        problem: ImageLoss,
        held_back: ImageLoss | None,
        theta: FloatArray,
        rng: np.random.RandomState,
        callback: Any,
        epochs: int,
        **options: Any,
    ) -> Trained:
        """Train for some epochs, by the schedule of the learning rate."""
        if self.learning_rate == "one-cycle" and "schedule" not in options:
            options |= {"schedule": one_cycle, "patience": np.inf}
        return train(
            self,
            problem,
            held_back,
            theta,
            callback=callback,
            max_iter=epochs,
            batch_size=self._batch(len(problem.y)),
            rng=rng,
            shuffle=self.shuffle,
            keep_on_interrupt=True,
            **options,
        )

    def _epochs(self, n_rows: int) -> int:
        if self.max_iter != "auto":
            return int(self.max_iter)
        if self.solver == "lbfgs":
            return MOST_EPOCHS
        batches = -(-n_rows // self._batch(n_rows))
        return int(np.clip(STEPS // batches, FEWEST_EPOCHS, MOST_EPOCHS))

    def _share_to_drop(self, n_rows: int) -> float:
        if self.dropout != "auto":
            return float(self.dropout)
        if self.global_pool or self.solver == "lbfgs" or n_rows <= self._batch(n_rows):
            return 0.0
        return DROPOUT

    def _batch(self, n_rows: int) -> int:
        if self.batch_size != "auto":
            return int(self.batch_size)
        return n_rows if n_rows <= FULL_BATCH_ROWS else BATCH_ROWS

    def _warn(self, trained: Trained) -> None:
        where = {"stacklevel": 3 + WRAPPER_FRAMES}
        if trained.interrupted:
            warnings.warn(
                f"{type(self).__name__} was interrupted after "
                f"{len(trained.loss_curve)} epochs, and keeps the parameters of that "
                "moment. To go on, set warm_start=True and call fit again.",
                ConvergenceWarning,
                **where,
            )
            return
        cycled = self.learning_rate == "one-cycle" and self.solver != "lbfgs"
        if trained.converged or self.early_stopping or cycled:
            return
        warnings.warn(
            f"{type(self).__name__} stopped after {len(trained.loss_curve)} "
            f"iterations, at a loss of {trained.loss_curve[-1]:.3g}. Increase max_iter "
            f"(now {self.max_iter!r}) or tol (now {self.tol}), or take "
            "solver='adam' with learning_rate='one-cycle', which ends by itself.",
            ConvergenceWarning,
            **where,
        )

    def _store(self, problem: ImageLoss, trained: Trained) -> None:
        """Set the fitted attributes."""
        found = problem.parameters(trained.theta)
        expand, dtype = problem.loss.expand, problem.images.dtype
        found[-2:] = [expand(part).astype(dtype) for part in found[-2:]]
        layers = problem.network.layers_with_weights
        public = [
            to_public(layer, *found[2 * k : 2 * k + 2])
            for k, layer in enumerate(layers)
        ]
        self.coefs_ = [weights for weights, _ in public]
        self.intercepts_ = [bias for _, bias in public]
        self._domain_coef = self._domain_intercept = None
        if isinstance(layers[-1], DomainHeads):
            self._domain_coef, self._domain_intercept = public[-1]
            self.coefs_[-1] = self._domain_coef.mean(axis=0)
            self.intercepts_[-1] = self._domain_intercept.mean(axis=0)
        self._units = np.array([array.units for array in problem.arrays])
        self.loss_curve_ = trained.loss_curve
        curve = trained.loss_curve
        if not curve and not trained.interrupted:  # L-BFGS began at a minimum.
            curve = [problem(trained.theta, None)[0]]
        self.loss_ = curve[-1] if curve else np.nan
        self.best_loss_ = min(curve, default=np.nan)
        self.n_iter_ = len(trained.loss_curve)
        self._count()
