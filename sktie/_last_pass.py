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

    def begin(self, problem: Any) -> FloatArray:
        """Forget all; return where to put the raw predictions of a new pass."""
        self._rows = ()
        shape = problem.design.n_rows, problem.loss.n_outputs
        self.raw = np.empty(shape, problem.design.dtype)
        return self.raw

    def end(
        self,
        problem: Any,
        members: FloatArray,
        value: float,
        gradient: FloatArray,
    ) -> None:
        """Remember a pass whose raw predictions are in place."""
        self.value, self.gradient = value, gradient.copy()
        self._rows = problem.design, problem.y, problem.weight
        self._members = members.copy()

    def was_at(self, problem: Any, members: FloatArray) -> bool:
        """Whether it was over these rows with these parameters, but for rounding."""
        if not self._rows:
            return False
        design, y, weight = self._rows
        same = problem.design is design and problem.y is y and problem.weight is weight
        if not same:
            return False
        rounding = 4 * EPS * np.abs(self._members).max(initial=0.0)
        return bool(np.abs(members - self._members).max(initial=0.0) <= rounding)
