"""Hessians as sums of products of rows, block by block."""

from __future__ import annotations

import numpy as np

from sktie._design import Tile
from sktie._loss import Loss
from sktie._typing import FloatArray


def add_grams(
    total: FloatArray, rows: FloatArray, curvature: FloatArray, loss: Loss
) -> None:
    """Add the sum over rows of (loss Hessian) kron (row row') to ``total``."""
    for k in range(loss.n_outputs):
        own = loss.hessian_block(curvature, k, k)
        # A' A with one A: BLAS computes half of it (syrk).
        half = np.sqrt(own)[:, np.newaxis] * rows
        total[k, :, k] += half.T @ half
        for j in range(k):
            cross = loss.hessian_block(curvature, k, j)[:, np.newaxis] * rows
            gram = cross.T @ rows
            total[k, :, j] += gram
            total[j, :, k] += gram


def add_tiled_grams(
    total: FloatArray, rows: FloatArray, tile: Tile, curvature: FloatArray, loss: Loss
) -> None:
    """Add what `add_grams` would for each domain of a tile.

    ``curvature`` is that of the rows of the tile in turn, those that fill up included.
    """
    shape = tile.filled.shape
    for k in range(loss.n_outputs):
        own = loss.hessian_block(curvature, k, k).reshape(shape) * tile.filled
        half = np.sqrt(own)[:, :, np.newaxis] * rows
        total[:, k, :, k] += np.swapaxes(half, 1, 2) @ half
        for j in range(k):
            cross = loss.hessian_block(curvature, k, j).reshape(shape) * tile.filled
            gram = np.swapaxes(cross[:, :, np.newaxis] * rows, 1, 2) @ rows
            total[:, k, :, j] += gram
            total[:, j, :, k] += gram
