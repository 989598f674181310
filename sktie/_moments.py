"""Sums over rows that least squares need: read once, centred, for each domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sktie._design import Block, Design
from sktie._parallel import Workers
from sktie._typing import FloatArray


@dataclass(frozen=True)
class Moments:
    """Weighted means of the rows of each domain, and products about these means.

    Without an intercept the products are about 0, and the means are 0.

    Attributes
    ----------
    mass : ndarray of shape (n_domains,)
        Sums of the weights.
    mean : ndarray of shape (n_domains, n_features)
        Means of the features.
    level : ndarray of shape (n_domains, n_outputs)
        Means of the targets.
    gram : ndarray of shape (n_domains, n_features, n_features)
        ``sum s (x - mean)(x - mean)'``.
    cross : ndarray of shape (n_domains, n_features, n_outputs)
        ``sum s (x - mean)(y - level)'``.
    square : ndarray of shape (n_domains, n_outputs)
        ``sum s (y - level)^2``.
    """

    mass: FloatArray
    mean: FloatArray
    level: FloatArray
    gram: FloatArray
    cross: FloatArray
    square: FloatArray


def joined(one: Moments, other: Moments) -> Moments:
    """Return the moments of the rows of both, domain by domain."""
    mass = one.mass + other.mass
    share = np.divide(other.mass, mass, out=np.zeros_like(mass), where=mass > 0)
    step, rise = other.mean - one.mean, other.level - one.level
    between = one.mass * share
    pull = between[:, np.newaxis] * step
    return Moments(
        mass,
        one.mean + share[:, np.newaxis] * step,
        one.level + share[:, np.newaxis] * rise,
        one.gram + other.gram + np.einsum("ti,tj->tij", pull, step),
        one.cross + other.cross + np.einsum("ti,tk->tik", pull, rise),
        one.square + other.square + between[:, np.newaxis] * np.square(rise),
    )


def moments_of(
    design: Design, y: FloatArray, weight: FloatArray | None, workers: Workers
) -> Moments:
    """Return the moments of rows, in one pass over blocks that stay in cache.

    Parameters
    ----------
    design : Design
        The rows.
    y : array of shape (n_rows, n_outputs)
        Targets, in the order of the design.
    weight : array of shape (n_rows,) or None
        Weights, likewise.
    workers : Workers
        What runs the pieces.

    Notes
    -----
    Each block is centred before its products are formed, so that large means cost no
    digits, and blocks are joined by Chan's formula, which adds and never subtracts.

    References
    ----------
    T. Chan, G. Golub, R. LeVeque (1983). Algorithms for computing the sample variance.
    The American Statistician.
    """

    def piece(item: tuple[int, list[Block]]) -> _Sums:
        total = None
        for block in item[1]:
            place = slice(block.start, block.stop)
            own = None if weight is None else weight[place]
            part = _block_sums(
                design.features(block), y[place], own, design.fit_intercept
            )
            if total is None and part.mass > 0:
                total = part
            elif total is not None:
                total.join(part)
        return total or _Sums(design.n_features, y.shape[1])

    pieces = design.tall_blocks
    found = workers.map(piece, pieces)
    totals: list[_Sums | None] = [None] * design.n_domains
    for (domain, _), part in zip(pieces, found, strict=True):
        before = totals[domain]
        if before is None:
            totals[domain] = part
        else:
            before.join(part)
    sums = [total for total in totals if total is not None]
    return Moments(*map(np.array, zip(*(one.parts() for one in sums), strict=True)))


class _Sums:
    """The moments of some rows of one domain."""

    def __init__(self, n_features: int = 0, n_outputs: int = 0) -> None:
        self.mass = 0.0
        self.mean: FloatArray = np.zeros(n_features)
        self.level: FloatArray = np.zeros(n_outputs)
        self.gram: FloatArray = np.zeros((n_features, n_features))
        self.cross: FloatArray = np.zeros((n_features, n_outputs))
        self.square: FloatArray = np.zeros(n_outputs)

    def parts(self) -> tuple[Any, ...]:
        """Return all of them, in the order of `Moments`."""
        return (self.mass, self.mean, self.level, self.gram, self.cross, self.square)

    def recentre(self, off: FloatArray, rise: FloatArray) -> None:
        """Take what single precision leaves of the means into account."""
        self.gram -= self.mass * np.outer(off, off)
        self.cross -= self.mass * np.outer(off, rise)
        self.square -= self.mass * np.square(rise)
        self.mean, self.level = self.mean + off, self.level + rise

    def join(self, other: _Sums) -> None:
        """Add more rows."""
        if other.mass == 0:
            return
        if self.mass == 0:
            vars(self).update(vars(other))
            return
        mass = self.mass + other.mass
        share = other.mass / mass
        step, rise = other.mean - self.mean, other.level - self.level
        self.gram += other.gram
        self.cross += other.cross
        self.square += other.square
        if step.any() or rise.any():
            between = self.mass * share
            self.gram += between * np.outer(step, step)
            self.cross += between * np.outer(step, rise)
            self.square += between * np.square(rise)
            self.mean = self.mean + share * step
            self.level = self.level + share * rise
        self.mass = mass


def _block_sums(
    rows: FloatArray, y: FloatArray, weight: FloatArray | None, centred: bool
) -> _Sums:
    """Return the moments of a block of dense rows."""
    sums = _Sums()
    ones = np.ones(len(y), rows.dtype) if weight is None else weight
    sums.mass = float(ones.sum(dtype=np.float64))
    if sums.mass == 0:
        return sums
    mean = level = None
    if centred:
        mean, level = ones @ rows / ones.sum(), ones @ y / ones.sum()
        rows, y = rows - mean, y - level
    half, own = rows, y
    if weight is not None:
        root = np.sqrt(weight)[:, np.newaxis]
        half, own = root * rows, root * y
    # A'A with one A: BLAS computes half of it (syrk).
    sums.gram = (half.T @ half).astype(np.float64, copy=False)
    sums.cross = (half.T @ own).astype(np.float64, copy=False)
    sums.square = np.einsum("ij,ij->j", own, own, dtype=np.float64)
    sums.mean, sums.level = np.zeros(rows.shape[1]), np.zeros(y.shape[1])
    if mean is not None and level is not None:
        sums.mean, sums.level = mean.astype(np.float64), level.astype(np.float64)
        if rows.dtype != np.float64:
            sums.recentre((ones @ rows) / sums.mass, (ones @ y) / sums.mass)
    return sums
