"""Ridge regressions of domains that nothing ties, at any decay, in principal axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sktie._design import Design
from sktie._moments import Moments
from sktie._parallel import Workers
from sktie._typing import FloatArray

#: Least eigenvalue, relative to the largest, that rounding leaves something of.
SOUND = 1e-12


@dataclass(frozen=True)
class PrincipalAxes:
    """Rows in the principal axes of their domains, where every decay is diagonal.

    Attributes
    ----------
    moments : Moments
        Those of the rows; the axes are of its Gram matrices.
    fit_intercept : bool
        Whether every domain has an intercept of its own.
    values : ndarray of shape (n_domains, n_features)
        Eigenvalues of the Gram matrices.
    vectors : ndarray of shape (n_domains, n_features, n_features)
        Their eigenvectors, as columns.
    blocks : list of (slice, int, ndarray)
        Places of rows, their domain, and their coordinates, about the mean.
    """

    moments: Moments
    fit_intercept: bool
    values: FloatArray
    vectors: FloatArray
    blocks: list[tuple[slice, int, FloatArray]]

    def _inverse(self, alphas: FloatArray) -> FloatArray | None:
        """Return inverse curvatures, (n_alphas, n_domains, n_features).

        None where rounding has taken some.
        """
        held = self.values + alphas[:, np.newaxis, np.newaxis]
        if not (held > SOUND * held.max(axis=2, initial=0.0, keepdims=True)).all():
            return None
        return np.asarray(1.0 / held)

    def _leverages(self, inverse: FloatArray, block: Any) -> FloatArray:
        """Return the leverages of a block of rows of weight 1, (n_alphas, n)."""
        _, domain, rows = block
        found = inverse[:, domain] @ np.square(rows).T
        if self.fit_intercept:
            found += 1.0 / self.moments.mass[domain]
        return np.asarray(found)

    def leverages(self, alpha: float) -> FloatArray | None:
        """Return the leverages of rows of weight 1, (n_rows,); None for rounding."""
        inverse = self._inverse(np.array([alpha]))
        if inverse is None:
            return None
        found = np.empty(max((place.stop for place, _, _ in self.blocks), default=0))
        for block in self.blocks:
            found[block[0]] = self._leverages(inverse, block)[0]
        return found

    def fits(
        self, alphas: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """Return the fits at several decays, with one product for all of them.

        Returns
        -------
        raw : ndarray of shape (n_alphas, n_rows, n_outputs)
            Predictions.
        leverages : ndarray of shape (n_alphas, n_rows)
            Those of rows of weight 1.
        values : ndarray of shape (n_alphas,)
            The objective, over all targets.

        None where rounding has taken some curvature.
        """
        inverse = self._inverse(alphas)
        if inverse is None:
            return None
        moments = self.moments
        n_outputs = moments.level.shape[1]
        cross = np.swapaxes(moments.cross, 1, 2) @ self.vectors
        slopes = cross * inverse[:, :, np.newaxis]
        explained = (slopes * cross).sum(axis=3)
        values = np.maximum(moments.square - explained, 0.0).sum(axis=(1, 2))
        n_rows = max((place.stop for place, _, _ in self.blocks), default=0)
        raw = np.empty((len(alphas), n_rows, n_outputs))
        leverages = np.empty((len(alphas), n_rows))
        for block in self.blocks:
            place, domain, rows = block
            leverages[:, place] = self._leverages(inverse, block)
            own = slopes[:, domain].reshape(-1, rows.shape[1]) @ rows.T
            own = own.reshape(len(alphas), n_outputs, len(rows))
            raw[:, place] = np.swapaxes(own, 1, 2) + moments.level[domain]
        return raw, leverages, values


def principal_axes(moments: Moments, design: Design, crew: Workers) -> PrincipalAxes:
    """Return the rows of a design, of these moments, in their principal axes."""
    values, vectors = np.linalg.eigh(moments.gram)

    def rotate(item: tuple[int, list[Any]]) -> list[tuple[slice, int, FloatArray]]:
        domain, blocks = item
        return [
            (
                slice(block.start, block.stop),
                domain,
                (design.features(block) - moments.mean[domain]) @ vectors[domain],
            )
            for block in blocks
        ]

    parts = crew.map(rotate, design.tall_blocks)
    return PrincipalAxes(
        moments,
        design.fit_intercept,
        np.maximum(values, 0.0),
        vectors,
        [block for part in parts for block in part],
    )
