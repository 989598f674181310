"""The dials of a layer: locations, or domains, from separate to shared, and a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sktie._tie import scaled_tie
from sktie._typing import FloatArray

#: Rounding errors that weights may be away from where the ties hold them.
ROUNDING = 8


@dataclass(frozen=True)
class TiedArray:
    """Weights, or biases, of a layer: locations tied to their mean, all to an anchor.

    What is said of locations holds for domains: those of a `DomainHeads` stand in a
    column. In coordinates V of their own, with the mean m of the V of all locations::

        W_l = centre_l + q m + s (V_l - m)
        q = (1 + tie_pair)^-1/2,    s = (1 + tie + tie_pair)^-1/2

    where the centre is what both ties together would make of W: the mean of the
    anchor, and tie_pair / (tie + tie_pair) of its deviations. Ties of any strength are
    numbers below 1 there, so none makes a step of a first-order method too long, nor
    the way too far. Without ties W is V. With an infinite tie all locations agree, and
    one is stored; with an infinite ``tie_pair`` W is the anchor.

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
    biases : bool, default=False
        Whether the last column holds biases, which are not decayed.
    """

    shape: tuple[int, ...]
    alpha: float
    tie: float = 0.0
    n_locations: int = 1
    anchor: FloatArray | None = None
    tie_pair: float = 0.0
    biases: bool = False

    @property
    def held(self) -> bool:
        """Whether the weights can be nothing but the anchor."""
        return self.units[0] == 0

    @property
    def soft(self) -> bool:
        """Whether a finite tie pulls the locations together."""
        return 0 < self.tie < np.inf

    @cached_property
    def units(self) -> tuple[float, float]:
        """The factors q and s: what a unit of V moves the mean and the deviations."""
        return self._of_pair[0], self._of_both[0]

    def tied_to(self, anchor: FloatArray, tie_pair: float) -> TiedArray:
        """Return the same, tied to an anchor."""
        return replace(self, anchor=anchor, tie_pair=tie_pair)

    def weights(self, V: FloatArray) -> FloatArray:
        """Return W at V."""
        W = self.pull_back(V)
        if self.anchor is None:
            return W
        return np.asarray(self._centre.astype(V.dtype, copy=False) + W)

    def pull_back(self, gradient: FloatArray) -> FloatArray:
        """Return the gradient in V of a function with this gradient in W."""
        # The linear part of the map from V to W is symmetric.
        return self._scaled(gradient, *self.units)

    def locate(
        self, W: FloatArray, coarsest: Sequence[float] | FloatArray = (0.0, 0.0)
    ) -> FloatArray:
        """Return V at W, or as near to it as units of V that are no finer allow.

        Weights that weaker ties have left far apart would be out of reach in the units
        of stronger ones. Given the units that the weights had, these are no limit where
        ties are as they were, or weaker.
        """
        # What rounding may have left of the ties would be large in fine units.
        noise = ROUNDING * float(np.finfo(W.dtype).eps * np.abs(W).max(initial=0.0))
        of_mean, of_deviations = (
            1 / max(own, least) if own > 0 else 0.0
            for own, least in zip(self.units, coarsest, strict=True)
        )
        W = W.astype(np.float64)
        if self.anchor is not None:
            W = W - self._centre
        if not self.soft:
            return _magnified(W, of_mean, noise)
        mean = W.mean(axis=(0, 1))
        deviations = _magnified(W - mean, of_deviations, noise)
        return np.asarray(deviations + _magnified(mean, of_mean, noise))

    def penalty(self, V: FloatArray, W: FloatArray) -> tuple[float, FloatArray]:
        """Return ties and decay at V, where the weights are W, and their gradient."""
        many = float(self.n_locations)
        decayed = W
        if self.biases:
            decayed = W.copy()
            decayed[..., -1] = 0
        value = 0.5 * self.alpha * many * _squares(decayed)
        gradient = self.pull_back(W.dtype.type(self.alpha * many) * decayed)
        strengths = self._of_pair[1], self._of_both[1]
        if max(strengths) > 0:
            pull = self._scaled(V, many * strengths[0], many * strengths[1])
            value += 0.5 * float(V.ravel() @ pull.ravel()) + self._at_centre
            gradient = gradient + pull
        return value, gradient

    @cached_property
    def _of_pair(self) -> tuple[float, float]:
        """Unit and strength of the tie to the anchor."""
        return _unit_and_strength(0.0 if self.anchor is None else self.tie_pair)

    @cached_property
    def _of_both(self) -> tuple[float, float]:
        """Unit and strength of what holds the deviations of locations."""
        if not self.soft:
            return self._of_pair
        pair = 0.0 if self.anchor is None else self.tie_pair
        return _unit_and_strength(self.tie + pair)

    @cached_property
    def _loose(self) -> float:
        """The share of the anchor's deviations that the tie of locations takes away."""
        if not self.soft:
            return 0.0
        return 1.0 / (1.0 + self.tie_pair / self.tie)

    @cached_property
    def _deviations(self) -> FloatArray:
        """Deviations of the anchor from its mean over locations."""
        assert self.anchor is not None
        return np.asarray(self.anchor - self.anchor.mean(axis=(0, 1)))

    @cached_property
    def _centre(self) -> FloatArray:
        """Where the ties would hold the weights."""
        assert self.anchor is not None
        if self._loose == 0:
            return self.anchor
        return np.asarray(self.anchor - self._loose * self._deviations)

    @cached_property
    def _at_centre(self) -> float:
        """The ties there, where they contradict one another."""
        if self.anchor is None or not self.soft or self.tie_pair == 0:
            return 0.0
        # The product of both strengths by their sum.
        strength = 1.0 / (1.0 / self.tie + 1.0 / self.tie_pair)
        return 0.5 * strength * _squares(self._deviations)

    def _scaled(
        self, V: FloatArray, of_mean: float, of_deviations: float
    ) -> FloatArray:
        """Return V with its mean over locations and the deviations times factors."""
        number = V.dtype.type
        if not self.soft:
            return V if of_mean == 1 else V * number(of_mean)
        mean = V.mean(axis=(0, 1))
        scaled = (V - mean) * number(of_deviations)
        return np.asarray(scaled + (mean if of_mean == 1 else mean * number(of_mean)))


def _unit_and_strength(tie: float) -> tuple[float, float]:
    unit, strength = scaled_tie(tie)
    return float(unit), float(strength)


def _magnified(values: FloatArray, factor: float, noise: float) -> FloatArray:
    """Return values times a factor; noise, of this size at most, becomes 0."""
    if factor > 1:
        values = np.where(np.abs(values) > noise, values, 0.0)
    return np.asarray(values * factor)


def _squares(values: FloatArray) -> float:
    flat = values.ravel()
    return float(flat @ flat)
