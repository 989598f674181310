"""The softmax encoder that a set of centres is, and how soft it should be.

With equal shares and one variance t, a mixture of normal distributions gives a row x to
centre c with probability proportional to ``exp(-|x - c|^2 / (2t))``. The term in |x|^2
is the same for all centres and drops out: what is left is linear in x.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import entr, softmax

from sktie._typing import FloatArray
from sktie._validation import OUT_OF_RANGE

#: Rows from which a temperature is computed.
SAMPLE_ROWS = 1000
#: The least temperature, in units of the mean squared distance to the mean.
FLOOR = 1e-6
#: Factor between one temperature of the annealing and the next, and how many come
#: before zero.
COOLING = 4.0
STEPS_TO_ZERO = 5


def softmax_encoder(
    centres: FloatArray, mean: FloatArray, temperature: float
) -> tuple[FloatArray, FloatArray]:
    """Return coefficients (k, p) and intercepts (k,) of the encoder.

    Both belong to the centres as seen from the mean of the data: a constant in all
    centres changes no probability, and without it less is lost to rounding.
    """
    offset = centres - mean
    coef = offset / temperature
    intercept = -(offset @ mean + 0.5 * np.square(offset).sum(axis=1)) / temperature
    return coef, intercept


def sample_rows(n_rows: int) -> slice:
    """Return which rows a temperature is computed from: evenly spread, not too many."""
    return slice(None, None, -(-n_rows // SAMPLE_ROWS))


def within_variance(mean_squared: float, n_rows: int, n_clusters: int) -> float:
    """Return the variance of rows around the centre of their cluster.

    As centres are means, it is corrected like any variance: ``n / (n - k)``.

    Parameters
    ----------
    mean_squared : float
        Weighted mean squared distance of rows to the nearest centre.
    n_rows : int
        Number of distinct rows.
    n_clusters : int
        Number of clusters that hold some of them.
    """
    if n_rows == n_clusters:
        return np.inf
    return mean_squared * n_rows / (n_rows - n_clusters)


def auto_temperature(
    squared: FloatArray, weight: FloatArray | None, scale: float
) -> float:
    """Return the temperature at which a row is spread over sqrt(k) of k clusters.

    That is, the weighted mean entropy of the codes is ``log(k) / 2``. Unlike a multiple
    of the variance within the clusters, this does not depend on the number of features.

    Parameters
    ----------
    squared : ndarray of shape (n_samples, n_clusters)
        Squared distances between rows and centres.
    weight : ndarray of shape (n_samples,) or None
        Weights of the rows.
    scale : float
        Mean squared distance of rows to their mean, for the floor.
    """
    floor = FLOOR * scale if scale > 0 else 1.0
    n_clusters = squared.shape[1]
    if not np.isfinite(squared).all():
        raise ValueError(OUT_OF_RANGE)
    # Relative to the nearest centre, so that no row underflows in all clusters.
    squared = squared - squared.min(axis=1, keepdims=True)

    def excess(log_t: float) -> float:
        code = softmax(-squared / (2.0 * np.exp(log_t)), axis=1)
        entropy = np.average(entr(code).sum(axis=1), weights=weight)
        return float(entropy - 0.5 * np.log(n_clusters))

    low = float(np.log(floor))
    high = float(np.log(max(squared.max(), floor))) + 1.0
    if n_clusters == 1 or excess(low) >= 0:
        return floor
    # With all differences below exp(high), the codes are nearly even there.
    return float(np.exp(brentq(excess, low, high, xtol=1e-6)))


def cooling(start: float, final: float) -> list[float]:
    """Return temperatures from start to final that fall by COOLING, or less, each time.

    A final temperature above the start is the only one; zero follows the last step.
    """
    if final >= start:
        return [final]
    steps = STEPS_TO_ZERO
    if final > 0:
        steps = int(np.ceil(np.log(start / final) / np.log(COOLING)))
    lowest = final if final > 0 else start / COOLING**steps
    falling = [float(t) for t in np.geomspace(start, lowest, steps + 1)]
    return falling if final > 0 else [*falling, 0.0]
