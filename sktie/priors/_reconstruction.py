"""The objective of an autoencoder: what of the rows it does not reconstruct."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sktie._typing import Array, FloatArray
from sktie.nn import ACTIVATIONS, Backprop
from sktie.priors._class_table import one_hot
from sktie.priors._temperature import within_variance


@dataclass(frozen=True)
class Reconstruction:
    """``sum_i s_i |x_i - decode(encode(x_i))|^2 / total + alpha / (2n) |W|^2``.

    Three forms, by what is stored. *Shared, softmax*: centres C alone; the encoder is
    ``C / t`` with intercepts ``-|c_h|^2 / (2t)``, the decoder C. *Shared*: an encoder E
    with intercepts, and the intercepts of the decoder, whose weights are E too.
    *Separate*: a decoder D besides.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows, measured from their mean.
    weight : ndarray of shape (n_samples,)
        Positive weights s of the rows; n is their sum.
    total : float
        Weighted sum of squares of the rows.
    n_units : int
        Hidden units.
    activation : str
        Name of their activation function.
    share : bool
        Whether the decoder is the transposed encoder.
    temperature : float
        t; at 0 the units are those of the nearest centre, 1, and 0 elsewhere.
    alpha : float
        Weight decay.
    """

    X: FloatArray
    weight: FloatArray
    total: float
    n_units: int
    activation: str
    share: bool
    temperature: float
    alpha: float

    @property
    def centred(self) -> bool:
        """Whether the units are responsibilities of centres, and nothing else."""
        return self.share and self.activation == "softmax"

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of encoder, its intercepts, those of the decoder, and decoder."""
        k, p = self.n_units, self.X.shape[1]
        if self.centred:
            return [(k, p)]
        return [(k, p), (k,), (p,)] if self.share else [(k, p), (k,), (p,), (k, p)]

    def split(self, theta: FloatArray) -> list[FloatArray]:
        """Return the arrays that a flat vector holds, in the dtype of the rows."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1]
        return [
            part.reshape(shape).astype(self.X.dtype, copy=False)
            for part, shape in zip(np.split(theta, ends), self.shapes, strict=True)
        ]

    def units(self) -> FloatArray:
        """Return the unit of each parameter, so that those of X do not matter.

        With tanh units and sharing they do: what goes in has no unit, what comes out
        has that of X, and the weights are the same.
        """
        of_rows = float(np.sqrt(self.total / self.weight.sum(dtype=np.float64)))
        if self.centred:
            scales = [of_rows]
        elif self.activation in ("identity", "relu"):
            scales = [1.0, of_rows, of_rows, 1.0]
        elif self.share:
            scales = [1.0, 1.0, of_rows]
        else:
            scales = [1 / of_rows, 1.0, of_rows, of_rows]
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        return np.repeat(scales[: len(sizes)], sizes)

    def variance_within(self, centres: FloatArray) -> float:
        """Return the mean squared distance of rows to the nearest centre."""
        scores = self.X @ centres.T - 0.5 * np.square(centres).sum(axis=1)
        squares = np.einsum("ij,ij->i", self.X, self.X)
        squared = np.maximum(squares - 2 * scores.max(axis=1), 0)
        inertia = float(np.sum(self.weight * squared, dtype=np.float64))
        n_used = len(np.unique(scores.argmax(axis=1)))
        total = float(self.weight.sum(dtype=np.float64))
        return within_variance(inertia / total, len(self.X), n_used)

    def contents(self) -> Iterator[Any]:
        """Yield all that the objective depends on but the estimator's parameters."""
        yield self.X, self.weight, self.total, self.temperature

    def __call__(
        self, theta: FloatArray, rows: Array | None
    ) -> tuple[float, FloatArray]:
        """Return value and gradient; from some of the rows, estimates of both."""
        X, weight = self.X, self.weight
        if rows is not None:
            X, weight = X[rows], weight[rows] * (len(self.X) / len(rows))
        parts = self.split(theta)
        encoder = parts[0]
        decoder = encoder if self.share else parts[3]
        raw = X @ encoder.T
        if self.centred:
            raw -= 0.5 * np.square(encoder).sum(axis=1)
            raw /= self.temperature or 1.0
        else:
            raw += parts[1]
        units, backprop = self._activate(raw)
        error = units @ decoder
        error -= X
        if not self.centred:
            error += parts[2]
        weighted = error * (weight / self.total)[:, np.newaxis]
        value = float(np.einsum("ij,ij->", error, weighted, dtype=np.float64))
        weighted *= 2
        inward = backprop(weighted @ decoder.T)
        gradients = self._gradients(X, units, inward, weighted, encoder)
        decay = self.alpha / float(self.weight.sum())
        for place in {0} if self.share else {0, 3}:
            value += 0.5 * decay * float(np.sum(np.square(parts[place])))
            gradients[place] += decay * parts[place]
        flat = np.concatenate([gradient.ravel() for gradient in gradients])
        return value, flat.astype(np.float64)

    def _activate(self, raw: FloatArray) -> tuple[FloatArray, Backprop]:
        if self.temperature > 0:
            return ACTIVATIONS[self.activation](raw)
        # Hard codes: constant but where two centres are equally near.
        return one_hot(raw.argmax(axis=1), raw.shape[1], raw.dtype), np.zeros_like

    def _gradients(
        self,
        X: FloatArray,
        units: FloatArray,
        inward: FloatArray,
        outward: FloatArray,
        encoder: FloatArray,
    ) -> list[FloatArray]:
        """Return the gradients of the parts, from those of the raw units and of error.

        A parameter that is used twice gets the sum of what its uses get.
        """
        decoding = units.T @ outward
        if self.centred:
            inward /= self.temperature or 1.0
            through = inward.sum(axis=0)[:, np.newaxis] * encoder
            return [inward.T @ X - through + decoding]
        gradients = [inward.T @ X, inward.sum(axis=0), outward.sum(axis=0)]
        if self.share:
            gradients[0] += decoding
        else:
            gradients.append(decoding)
        return gradients
