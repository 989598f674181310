"""Adam, in place and in blocks.

scikit-learn's makes a dozen arrays in every step, and in float64 where the parameters
are float32; with the weights of a wide output layer this takes a tenth of a training.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from sktie._typing import FloatArray

#: Decay of the moments, and what keeps a step finite where no gradient has been.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
#: Numbers of a block, small enough to stay in the cache until it is done.
BLOCK = 1 << 14


class Adam:
    """Steps along the mean of the gradients over the root of their mean square.

    Parameters
    ----------
    parameters : sequence of ndarray of shape (size,)
        What the steps will be of.
    learning_rate_init : float
        Length of a step, which may be set anew before each.

    References
    ----------
    D. P. Kingma, J. Ba, *Adam: a method for stochastic optimization*, ICLR 2015.
    """

    def __init__(
        self, parameters: Sequence[FloatArray], learning_rate_init: float
    ) -> None:
        self.learning_rate_init = learning_rate_init
        self.t = 0
        self.ms = [np.zeros_like(part) for part in parameters]
        self.vs = [np.zeros_like(part) for part in parameters]

    def update_params(
        self, parameters: Sequence[FloatArray], gradients: Sequence[FloatArray]
    ) -> None:
        """Change the parameters by one step."""
        self.t += 1
        unbiased = sqrt(1 - BETA_2**self.t) / (1 - BETA_1**self.t)
        rate = float(self.learning_rate_init) * unbiased
        for arrays in zip(parameters, gradients, self.ms, self.vs, strict=True):
            work = np.empty(min(BLOCK, arrays[0].size), arrays[0].dtype)
            for start in range(0, arrays[0].size, BLOCK):
                block = (array[start : start + BLOCK] for array in arrays)
                _step(work, rate, *block)


def _step(
    work: FloatArray,
    rate: float,
    theta: FloatArray,
    gradient: FloatArray,
    m: FloatArray,
    v: FloatArray,
) -> None:
    """Change a block of the parameters and of both moments."""
    work = work[: theta.size]
    m *= BETA_1
    np.multiply(gradient, 1 - BETA_1, out=work)
    m += work
    v *= BETA_2
    np.square(gradient, out=work)
    work *= 1 - BETA_2
    v += work
    np.sqrt(v, out=work)
    work += EPSILON
    np.divide(m, work, out=work)
    work *= rate
    theta -= work
