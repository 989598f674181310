"""Sums over blocks of rows, as `TiedProblem` and `RidgePath` take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sktie._contract import COARSE_ROWS, COARSE_ROWS_PER_COEF, COARSE_SHARE, MIN_STRIDE
from sktie._loss import Loss
from sktie._parallel import Workers
from sktie._row_sums import RowSums
from sktie._typing import Array, FloatArray
from sktie.streams._blocks import Assembly
from sktie.streams._parts import LossWork, Parts


@dataclass(frozen=True)
class PartDesign:
    """What is known of rows that are not at hand; see `Design`.

    Attributes
    ----------
    n_rows, n_domains, n_features : int
        Numbers of rows, domains and features.
    fit_intercept : bool
        Whether the last coefficient is an intercept.
    dtype : dtype
        That of X.
    is_sparse : bool
        Whether X is sparse.
    entries : int
        Stored numbers in the rows.
    n_lanes : int
        Parts that may be worked on at a time.
    squared : ndarray of shape (n_features,) or None
        Sums of the squares of the features, where they were asked for.
    """

    n_rows: int
    n_domains: int
    n_features: int
    fit_intercept: bool
    dtype: Any
    is_sparse: bool
    entries: int
    n_lanes: int
    squared: FloatArray | None = None

    @property
    def n_coefs(self) -> int:
        return self.n_features + self.fit_intercept

    def column_squares(self) -> FloatArray:
        """Return the sum of the squares of each feature."""
        assert self.squared is not None
        return self.squared.copy()

    def squares(self) -> FloatArray:
        """Return the sum of the squares of each coefficient's column."""
        ones = np.full(int(self.fit_intercept), float(self.n_rows))
        return np.concatenate([self.column_squares(), ones])


@dataclass(frozen=True)
class Cells:
    """The classes of all domains, or the domains alone where y holds numbers.

    Attributes
    ----------
    domain : ndarray of shape (n_cells,)
        Number of the domain of each.
    y : ndarray of shape (n_cells, ...)
        Index of its class; otherwise the means of its targets.
    weight : ndarray of shape (n_cells,)
        What its rows weigh.
    count : ndarray of shape (n_cells,)
        Its rows.
    least : float
        The smallest number in y.
    heaviest : float
        The largest weight of a row.
    """

    domain: Array
    y: Array
    weight: FloatArray
    count: Array
    least: float
    heaviest: float


@dataclass(frozen=True)
class PartSums:
    """Sums over rows in blocks: `LossSums` for rows that are not at hand.

    Parameters
    ----------
    parts : Parts
        The blocks.
    design : PartDesign
        What is known of their rows.
    assembly : Assembly
        How blocks become rows.
    cells : Cells
        Classes and domains.
    loss : Loss
        The pointwise loss.
    target : int
        A column of y, where it holds numbers.
    workers : Workers
        What maps over lanes of blocks, and over domains.
    last : dict or None
        Where to keep what the last pass has found, as `LastPass` does.
    """

    parts: Parts
    design: PartDesign
    assembly: Assembly
    cells: Cells
    loss: Loss
    target: int
    workers: Workers
    last: dict[str, Any] | None = None

    def remembering(self) -> PartSums:
        """Return the same sums, which remember what their last pass has found."""
        return replace(self, last={})

    def _total(self, what: str, *tables: FloatArray) -> tuple[float, FloatArray]:
        work = LossWork(self.assembly, self.loss, self.target, what, tables)
        found: tuple[float, FloatArray] = self.parts.total(
            work, self.design.n_domains, self.workers
        )
        return found

    def value_gradient(self, members: FloatArray) -> tuple[float, FloatArray]:
        """Return the sum of the losses and its gradient in the members."""
        last = self.last
        if last and np.array_equal(last["members"], members):
            return last["value"], last["gradient"].copy()
        value, gradient = self._total("value_gradient", members)
        if last is not None:
            last.update(members=members.copy(), value=value, gradient=gradient.copy())
        return value, gradient

    def hessians(self, members: FloatArray) -> FloatArray:
        """Return the Hessian of the losses of each member, (n_members, n, n)."""
        return self._total("hessians", members)[1]

    def product(self, members: FloatArray) -> Callable[[FloatArray], FloatArray]:
        """Return these Hessians as a function of directions of all members."""
        return lambda directions: self._total("product", members, directions)[1]

    def diagonal(self, members: FloatArray) -> FloatArray:
        """Return the diagonals of these Hessians, in the shape of the members."""
        return self._total("diagonal", members)[1]

    def starts(self, pooled: bool) -> list[float]:
        """Return raw predictions to start from: one for each domain, or for all."""
        cells, y = self.cells, self.cells.y
        if y.ndim == 2:
            y = y[:, self.target]
        if pooled:
            return [self.loss.start(y, cells.weight)]
        own = [cells.domain == t for t in range(self.design.n_domains)]
        return [self.loss.start(y[rows], cells.weight[rows]) for rows in own]

    def attains_zero(self) -> bool:
        """Whether finite parameters may predict all rows without loss."""
        return self.loss.attains_zero(np.array([self.cells.least]))

    def coarse(self) -> RowSums | PartSums | None:
        """Return sums over a sample of the rows, where they may be gathered."""
        design = self.design
        size = self.loss.n_outputs * design.n_coefs
        wanted = design.n_domains * max(COARSE_ROWS_PER_COEF * size, COARSE_ROWS)
        wanted = max(wanted, int(COARSE_SHARE * design.n_rows))
        row_bytes = design.entries / max(design.n_rows, 1) * design.dtype.itemsize
        most = self.parts.sample_bytes / row_bytes
        stride = design.n_rows // max(1, int(min(wanted, most)))
        if stride < MIN_STRIDE:
            return None
        found = self.parts.sample(
            self.assembly, self.loss, self.target, self.cells.count, stride
        )
        if not isinstance(found, Parts):
            return None if found is None else replace(found, workers=self.workers)
        design = replace(
            design, n_rows=design.n_rows // stride, entries=design.entries // stride
        )
        return replace(self, parts=found, design=design, last=None)
