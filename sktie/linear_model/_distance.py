"""The norm penalty as a constraint: the tie that keeps a distance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq

from sktie.linear_model._path import NoMinimum

#: Gap of the fits: a distance is known to about the square root of it.
DISTANCE_TOL = 1e-12
#: Ties that are tried: outside of these a distance is as good as out of reach.
WEAKEST, STRONGEST = 1e-16, 1e18
#: Factor from one tie to the next until the distance lies between two.
STRIDE = 30.0
#: Accuracy of the logarithm of the tie.
ACCURACY = 1e-9


def tie_at_distance(model: Any, fit: Callable[[float], Any], n_features: int) -> float:
    """Return the tie at which what is tied is ``max_distance`` apart.

    It is the multiplier of the constraint: with ``Omega <= r^2`` in place of the
    penalty ``tie/2 Omega``, both have the same minimum, and Omega falls as the tie
    rises. 0 where the constraint does not act, infinity for r = 0.

    Parameters
    ----------
    model : estimator
        Has read the rows.
    fit : callable
        ``fit(tie)`` returns a stop, with ``omega``.
    n_features : int
        Number of coefficients that are stored, without the intercept.

    Raises
    ------
    ValueError
        Where there is nothing to be distant from, or no tie keeps the distance.
    """
    radius = float(model.max_distance)
    if not model._has_tie:
        raise ValueError(
            f"max_distance={radius:g} with pair=None and no domains: there is nothing "
            "to be distant from. Name a pair, pass sample_domain, or use "
            "max_distance=None."
        )
    if radius == 0:
        return float(np.inf)
    tied = model._strengths(n_features, np.inf) == np.inf
    if model.fit_intercept and model.tie_intercept is not True:
        tied[-1] = False

    def excess(log_tie: float) -> float:
        """Return log(distance / radius)."""
        stop = fit(float(np.exp(log_tie)))
        with np.errstate(divide="ignore"):
            return float(np.log(distance(stop, tied) / radius))

    try:
        if distance(fit(0.0), tied) <= radius:
            return 0.0
    except NoMinimum:
        pass  # Separate models lie infinitely far apart: the constraint acts.
    try:
        low, high = _bracket(excess)
        return float(np.exp(brentq(excess, low, high, xtol=ACCURACY)))
    except NoMinimum as error:
        raise ValueError(f"max_distance={radius:g}: {error}") from None


def distance(stop: Any, tied: Any) -> float:
    """Return the square root of Omega, over the coefficients that are tied."""
    return float(np.sqrt(stop.omega(tied)))


def _bracket(excess: Any) -> tuple[float, float]:
    """Return logarithms of two ties with the distance between theirs."""
    step, weakest, strongest = np.log([STRIDE, WEAKEST, STRONGEST])
    low = high = 0.0
    if excess(low) > 0:
        while high < strongest:
            low, high = high, high + step
            if excess(high) <= 0:
                return low, high
    else:
        while low > weakest:
            low, high = low - step, low
            if excess(low) >= 0:
                return low, high
    raise NoMinimum(
        f"ties from {WEAKEST:g} to {STRONGEST:g} do not keep it. Expected a distance "
        "of the order of the coefficients: use tie=0 or tie=np.inf with "
        "max_distance=None, or scale the features (StandardScaler)"
    )
