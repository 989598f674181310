"""Coefficients that are multiples of fewer stored ones."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from sktie._typing import FloatArray, IntArray, Matrix


class Shares:
    """Features whose coefficients are multiples of fewer stored ones: ``w = E z``.

    Parameters
    ----------
    index : array of shape (n_features,)
        The stored coefficient of each feature.
    ratio : array of shape (n_features,)
        Its multiple.

    Notes
    -----
    The columns of E are orthogonal, since each feature has one stored coefficient,
    and scaled to length 1. Decay and tie, squared norms, are then the same in z and
    in w, every copy counted: a coefficient that m features share is decayed m times.
    """

    def __init__(self, index: IntArray, ratio: FloatArray) -> None:
        self.index, self.ratio = index, ratio
        self.n_features, self.n_stored = len(index), int(index.max()) + 1
        largest = np.zeros(self.n_stored)
        np.maximum.at(largest, index, np.abs(ratio))
        self._entry = ratio / largest[index]  # squares of ratios may overflow
        square = np.bincount(index, np.square(self._entry))
        self._entry /= np.sqrt(square)[index]

    @cached_property
    def basis(self) -> Any:
        """E, sparse, (n_features, n_stored)."""
        places = (np.arange(self.n_features), self.index)
        return sp.csr_array(
            (self._entry, places), shape=(self.n_features, self.n_stored)
        )

    def _extended(self, rows: FloatArray, n_own: int) -> tuple[FloatArray, FloatArray]:
        """Split rows into slopes and what follows them, an intercept or nothing."""
        return rows[..., :n_own], rows[..., n_own:]

    def widen(self, rows: FloatArray) -> FloatArray:
        """Return ``E z`` of rows (..., n_stored), an intercept after them kept."""
        slopes, rest = self._extended(rows, self.n_stored)
        wide = slopes[..., self.index] * self._entry.astype(rows.dtype, copy=False)
        return np.concatenate([wide, rest], axis=-1)

    def narrow(self, rows: FloatArray, weight: FloatArray | None = None) -> FloatArray:
        """Return the z whose ``E z`` is nearest to rows (..., n_features).

        Parameters
        ----------
        rows : array of shape (..., n_features) or (..., n_features + 1)
            An intercept after them is kept.
        weight : array of shape (n_features,), optional
            Weights of the squared distances: 0 and infinity, exact, among them. Where
            all are 0 they count alike.
        """
        slopes, rest = self._extended(rows, self.n_features)
        if weight is None:
            weight = np.ones(self.n_features)
        top = np.zeros(self.n_stored)
        np.maximum.at(top, self.index, weight)
        top = top[self.index]
        with np.errstate(invalid="ignore"):  # inf/inf and 0/0 are replaced
            share = np.where(np.isinf(top), np.isinf(weight), weight / top)
        share = np.where(top == 0, 1.0, share)
        part = share * self._entry
        total = np.bincount(self.index, part * self._entry, minlength=self.n_stored)
        flat = (slopes * part).reshape(-1, self.n_features)
        ones = sp.csr_array(
            (np.ones(self.n_features), (np.arange(self.n_features), self.index))
        )
        summed = np.asarray((ones.T @ flat.T).T) / total
        return np.concatenate([summed.reshape(*rest.shape[:-1], -1), rest], axis=-1)

    def strengths(self, strengths: FloatArray) -> FloatArray:
        """Return the strength of each stored coefficient, the intercept's kept."""
        own, rest = self._extended(strengths, self.n_features)
        stored = np.bincount(self.index, own * np.square(self._entry))
        return np.concatenate([stored, rest])

    def aggregate(self, X: Matrix, skip: int | None) -> Matrix:
        """Return ``X E``, in order, without the column ``skip`` that is no feature."""
        basis = self.basis.astype(X.dtype)
        if skip is not None:
            features = np.delete(np.arange(X.shape[1]), skip)
            shape = (X.shape[1], self.n_stored)
            basis = sp.csr_array(
                (basis.data, (features, self.index)), shape=shape, dtype=X.dtype
            )
        if sp.issparse(X):
            return sp.csr_array(X @ basis)
        # The sparse factor comes first: its transpose reads the columns of X.
        return np.ascontiguousarray((basis.T @ X.T).T)
