"""Training rows of classifiers that are at hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sktie._design import Design
from sktie._features import Dependencies
from sktie._graph import DomainGraph
from sktie._labels import Sample
from sktie._loss import ClassLoss
from sktie._parallel import Workers
from sktie._row_sums import RowSums
from sktie._typing import FloatArray, IntArray, Matrix
from sktie.linear_model._updates import Metric


@dataclass(frozen=True)
class ClassRows:
    """Training rows with a label, in the design's order; and all rows, as given.

    ``metric`` is that of the tie; None is the identity.
    """

    X: Matrix
    y_index: IntArray
    weight: FloatArray | None
    design: Design
    everything: Sample
    dependencies: Dependencies
    metric: Metric | None = None
    graph: DomainGraph | None = None

    @property
    def domain(self) -> IntArray:
        """Number of each row's domain, in the design's order."""
        bounds = self.design.bounds
        return np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))

    @property
    def mean_weight(self) -> float:
        """Mean of the weights of the rows."""
        return 1.0 if self.weight is None else float(self.weight.mean())

    @property
    def most_weight(self) -> float:
        """The largest weight of a row."""
        return 1.0 if self.weight is None else float(self.weight.max(initial=0.0))

    def sums(self, loss: ClassLoss, crew: Workers) -> RowSums:
        """Return the sums of a loss over the rows."""
        y = loss.encode(self.y_index, self.X.dtype)
        return RowSums(self.design, loss, y, self.weight, crew)
