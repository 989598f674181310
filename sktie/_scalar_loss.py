"""Losses of one raw prediction: scores, counts and margins; and one for each domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, final

import numpy as np

from sktie._loss import Loss, OneOutput
from sktie._typing import Array, FloatArray, IntArray


@final
class Squared(OneOutput):
    """Half the squared error, ``(raw - y)^2 / 2``."""

    def attains_zero(self, y: Array) -> bool:
        return True

    def cells(self, y: Array) -> tuple[IntArray, int]:
        # Any rows of a domain are as good a sample as others.
        return np.zeros(len(y), np.intp), 1

    def value_gradient(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> tuple[float, FloatArray]:
        residual = raw[:, 0] - y
        pull = residual if weight is None else weight * residual
        return _half_product(residual, pull), pull[:, np.newaxis]

    def curvature(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> FloatArray:
        return np.ones_like(raw) if weight is None else weight[:, np.newaxis]

    def start(self, y: Array, weight: FloatArray | None) -> float:
        return _mean(y, weight)


@final
class Poisson(OneOutput):
    """Half the deviance of counts, whose logarithm is predicted.

    ``exp(raw) - y raw``, and a constant that makes it 0 where ``exp(raw) = y``. Counts
    need not be whole numbers: a count in an exposure e is the rate ``y / e`` with
    weight e, as ``e exp(raw) - y raw = e (exp(raw) - (y / e) raw)``.
    """

    def attains_zero(self, y: Array) -> bool:
        return bool((y > 0).all())

    def cells(self, y: Array) -> tuple[IntArray, int]:
        return (y > 0).astype(np.intp), 2

    def value_gradient(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> tuple[float, FloatArray]:
        none = (y == 0).astype(raw.dtype)
        # mu - y = y (exp(ratio) - 1): large counts keep the digits of their residual,
        # and of a deviance that is far smaller than they are.
        ratio = raw[:, 0] - np.log(y + none)
        with np.errstate(over="ignore", invalid="ignore"):
            residual = y * np.expm1(ratio)
            residual += none * np.exp(raw[:, 0])
            ratio *= y
            loss = residual - ratio
            if weight is not None:
                loss *= weight
                residual *= weight
            value = float(loss.sum(dtype=np.float64))
        if not value < np.sqrt(np.finfo(raw.dtype).max):
            # A step too far: what comes of gradients like these would overflow.
            return np.inf, np.zeros_like(raw)
        return value, residual[:, np.newaxis]

    def curvature(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> FloatArray:
        with np.errstate(over="ignore"):  # is checked later
            mean = np.exp(raw)
        if weight is not None:
            mean *= weight[:, np.newaxis]
        return np.asarray(mean)

    def start(self, y: Array, weight: FloatArray | None) -> float:
        # Half an event stands in for none.
        return float(np.log(_mean(y, weight) or 0.5 / len(y)))


@final
class SquaredHinge(OneOutput):
    """The square of what a margin lacks: ``max(0, 1 - y raw)^2``, with y = -1 or +1.

    Its gradient has kinks at margins of 1, where the Hessian jumps from 2 to 0. There
    Newton's method takes an element of the generalised Hessian (Mangasarian 2002).
    """

    def attains_zero(self, y: Array) -> bool:
        return True

    def value_gradient(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> tuple[float, FloatArray]:
        short = np.maximum(1 - y * raw[:, 0], 0)
        pull = 2 * short if weight is None else 2 * weight * short
        return _half_product(short, pull), (-y * pull)[:, np.newaxis]

    def curvature(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> FloatArray:
        bend = 2 * (y[:, np.newaxis] * raw < 1).astype(raw.dtype)
        return bend if weight is None else np.asarray(bend * weight[:, np.newaxis])

    def cells(self, y: Array) -> tuple[IntArray, int]:
        return (y > 0).astype(np.intp), 2

    def start(self, y: Array, weight: FloatArray | None) -> float:
        return 0.0


@final
class ByDomain(OneOutput):
    """One loss for the rows of some domains, another for those of others.

    Parameters
    ----------
    *losses : Loss
        Losses of one output.

    Notes
    -----
    A target knows its loss: targets are arrays (n, 2) of what the row's own loss takes
    and the number of that loss; see `join`.
    """

    def __init__(self, *losses: Loss) -> None:
        self.losses = losses

    @staticmethod
    def join(y: Array, which: Array, dtype: Any) -> Array:
        """Return targets from those of each row's own loss and the number of it."""
        return np.column_stack([y, which]).astype(dtype)

    def attains_zero(self, y: Array) -> bool:
        return all(loss.attains_zero(y[rows, 0]) for loss, rows in self._parts(y))

    def _parts(self, y: Array) -> Iterator[tuple[Loss, Any]]:
        """Yield each loss and its rows; most blocks have rows of one."""
        which = y[:, 1]
        for number, loss in enumerate(self.losses):
            own = which == number
            if own.all():
                yield loss, slice(None)
            elif own.any():
                yield loss, np.flatnonzero(own)

    def value_gradient(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> tuple[float, FloatArray]:
        total, gradient = 0.0, np.empty_like(raw)
        for loss, rows in self._parts(y):
            value, gradient[rows] = loss.value_gradient(
                y[rows, 0], raw[rows], None if weight is None else weight[rows]
            )
            total += value
        return total, gradient

    def curvature(
        self, y: Array, raw: FloatArray, weight: FloatArray | None
    ) -> FloatArray:
        found = np.empty_like(raw)
        for loss, rows in self._parts(y):
            found[rows] = loss.curvature(
                y[rows, 0], raw[rows], None if weight is None else weight[rows]
            )
        return found

    def cells(self, y: Array) -> tuple[IntArray, int]:
        index, n_cells = np.empty(len(y), np.intp), 1
        for loss, rows in self._parts(y):
            index[rows], own = loss.cells(y[rows, 0])
            n_cells = max(n_cells, own)
        # Domains have cells of their own, so that losses need none.
        return index, n_cells

    def start(self, y: Array, weight: FloatArray | None) -> float:
        loss, rows = next(self._parts(y))
        return loss.start(y[rows, 0], None if weight is None else weight[rows])


def _half_product(a: FloatArray, b: FloatArray) -> float:
    return 0.5 * float(np.sum(a * b, dtype=np.float64))


def _mean(y: Array, weight: FloatArray | None) -> float:
    if weight is None:
        return float(y.mean()) if len(y) else 0.0
    total = weight.sum()
    return float((y * weight).sum() / total) if total > 0 else 0.0
