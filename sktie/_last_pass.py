"""What the last pass over the rows has found, for fits that begin where it ended."""

from __future__ import annotations

from typing import Any

import numpy as np

from sktie._linalg import EPS
from sktie._typing import FloatArray


class LastPass:
    """What the last pass over some rows has found.

    Attributes
    ----------
    value : float
        Sum of the losses.
    gradient : ndarray of shape (n_members, n_outputs, n_coefs)
        Its gradient in the members.
    raw : ndarray of shape (n_rows, n_outputs)
        Raw predictions.
    """

    def __init__(self) -> None:
        self.value = np.nan
        self.gradient: FloatArray = np.empty(0)
        self.raw: FloatArray = np.empty((0, 0))
        self._rows: tuple[Any, ...] = ()
        self._members: FloatArray = np.empty(0)

    def begin(self, sums: Any) -> FloatArray:
        """Forget all; return where to put the raw predictions of a new pass."""
        self._rows = ()
        shape = sums.design.n_rows, sums.loss.n_outputs
        self.raw = np.empty(shape, sums.design.dtype)
        return self.raw

    def end(
        self,
        sums: Any,
        members: FloatArray,
        value: float,
        gradient: FloatArray,
    ) -> None:
        """Remember a pass whose raw predictions are in place."""
        self.value, self.gradient = value, gradient.copy()
        self._rows = sums.design, sums.y, sums.weight
        self._members = members.copy()

    def was_at(self, sums: Any, members: FloatArray) -> bool:
        """Whether it was over these rows with these parameters, but for rounding."""
        if not self._rows:
            return False
        design, y, weight = self._rows
        same = sums.design is design and sums.y is y and sums.weight is weight
        if not same:
            return False
        rounding = 4 * EPS * np.abs(self._members).max(initial=0.0)
        return bool(np.abs(members - self._members).max(initial=0.0) <= rounding)
