"""The dials of a layer: locations, or domains, from separate to shared, and a pair."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sktie._tie import scaled_tie
from sktie._typing import FloatArray


@dataclass(frozen=True)
class TiedArray:
    """Weights, or biases, of a layer: locations tied to their mean, all to an anchor.

    What is said of locations holds for domains: those of a `DomainHeads` stand in a
    column.

    In coordinates V of their own, ``W_l = anchor_l + q (m + s (V_l - m))`` with the
    mean m of the V of all locations, ``s = (1 + tie)^-1/2`` and
    ``q = (1 + tie_pair)^-1/2``. A tie of any strength is a number below 1 there, so no
    strength makes a step of a first-order method too long. Without ties W is V. With
    an infinite tie all locations agree, and one is stored; with an infinite
    ``tie_pair`` W is the anchor.

    Attributes
    ----------
    shape : tuple of int
        Shape of what is stored; the first two axes are rows and columns of locations
        where every location has its own kernels.
    alpha : float
        Decay of every weight, ``alpha/2 |W|^2``.
    tie : float, default=0
        Strength of the tie of locations to their mean, ``tie/2 sum_l |W_l - mean|^2``.
    n_locations : int, default=1
        Locations at which a stored weight is used. It is decayed and tied at each, as
        it would be with a large finite tie.
    anchor : ndarray of the same shape or None, default=None
        Weights that these are tied to, ``tie_pair/2 |W - anchor|^2``.
    tie_pair : float, default=0
        Strength of that tie.
    """

    shape: tuple[int, ...]
    alpha: float
    tie: float = 0.0
    n_locations: int = 1
    anchor: FloatArray | None = None
    tie_pair: float = 0.0

    @property
    def soft(self) -> bool:
        """Whether a finite tie pulls the locations together."""
        return 0 < self.tie < np.inf

    @property
    def anchored(self) -> bool:
        """Whether there is something that the weights are tied to."""
        return self.anchor is not None and self.tie_pair > 0

    def tied_to(self, anchor: FloatArray, tie_pair: float) -> TiedArray:
        """Return the same, tied to an anchor."""
        return replace(self, anchor=anchor, tie_pair=tie_pair)

    def weights(self, V: FloatArray) -> FloatArray:
        """Return W at V."""
        W = self.pull_back(V)
        if self.anchor is None:
            return W
        return np.asarray(self.anchor.astype(V.dtype, copy=False) + W)

    def pull_back(self, gradient: FloatArray) -> FloatArray:
        """Return the gradient in V of a function with this gradient in W."""
        # The linear part of the map from V to W is symmetric.
        gradient = self._blend(gradient)
        if self.anchored:
            gradient = gradient * gradient.dtype.type(scaled_tie(self.tie_pair)[0])
        return gradient

    def locate(self, W: FloatArray) -> FloatArray:
        """Return V at W; where the anchor holds the weights there is but one, zero."""
        if self.anchor is not None:
            W = W - self.anchor
        if self.anchored:
            unit = float(scaled_tie(self.tie_pair)[0])
            W = W / unit if unit > 0 else np.zeros_like(W)
        return _contract(W, 1 / float(scaled_tie(self.tie)[0])) if self.soft else W

    def penalty(self, V: FloatArray, W: FloatArray) -> tuple[float, FloatArray]:
        """Return ties and decay at V, where the weights are W, and their gradient."""
        many = float(self.n_locations)
        value = 0.5 * self.alpha * many * _squares(W)
        gradient = self.pull_back(W.dtype.type(self.alpha * many) * W)
        if self.anchored:
            strength = float(scaled_tie(self.tie_pair)[1])
            moved = self._blend(V)
            value += 0.5 * many * strength * _squares(moved)
            gradient = gradient + V.dtype.type(many * strength) * self._blend(moved)
        if self.soft:
            # tie/2 |D|^2 with D = D_anchor + q s (V - m).
            unit = float(scaled_tie(self.tie_pair)[0]) if self.anchored else 1.0
            scale, strength = map(float, scaled_tie(self.tie))
            deviation = V - V.mean(axis=(0, 1))
            value += 0.5 * unit**2 * strength * _squares(deviation)
            gradient = gradient + V.dtype.type(unit**2 * strength) * deviation
            if self.anchor is not None:
                fixed = (self.anchor - self.anchor.mean(axis=(0, 1))).astype(V.dtype)
                value += 0.5 * self.tie * _squares(fixed)
                pull = self.tie * scale * unit
                value += pull * float(fixed.ravel() @ deviation.ravel())
                gradient = gradient + V.dtype.type(pull) * fixed
        return value, gradient

    def _blend(self, V: FloatArray) -> FloatArray:
        """Return V with its locations as near to their mean as the tie holds them."""
        return _contract(V, float(scaled_tie(self.tie)[0])) if self.soft else V


def _contract(V: FloatArray, factor: float) -> FloatArray:
    """Return V with the deviations from the mean over locations times a factor."""
    mean = V.mean(axis=(0, 1))
    return np.asarray((V - mean) * V.dtype.type(factor) + mean)


def _squares(values: FloatArray) -> float:
    flat = values.ravel()
    return float(flat @ flat)
