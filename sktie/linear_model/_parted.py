"""Training rows in blocks, read as an estimator reads rows at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from sktie._design import MAX_LANES
from sktie._domains import Domains, check_columns, encode_domains, is_column
from sktie._labels import Sample, class_weights, encode_classes
from sktie._loss import Loss
from sktie._moments import Moments
from sktie._parallel import Workers, workers
from sktie._prior import find_prior
from sktie._shares import Shares
from sktie._typing import Array, FloatArray, IntArray
from sktie.streams._apply import is_parted
from sktie.streams._blocks import Assembly, Digest, Given, Reading
from sktie.streams._dask import DaskParts, is_dask
from sktie.streams._files import as_stream
from sktie.streams._local import StreamedParts
from sktie.streams._parts import MomentWork, Parts
from sktie.streams._sums import Cells, PartDesign, PartSums


@dataclass(frozen=True)
class PartedRows:
    """Training rows in blocks: all of them as sums, and a row for each cell.

    Cells are the classes of each domain, or the domains alone where y holds numbers.
    They stand for their rows wherever classes and masses are looked at.

    Attributes
    ----------
    parts : Parts
        The blocks.
    assembly : Assembly
        How they become rows.
    design : PartDesign
        What is known of all rows.
    cells : Cells
        The cells.
    everything : Sample
        No rows, but the weights of the classes.
    dependencies, metric, graph : object or None
        What is known of coefficients, of the tie and of domains.
    """

    parts: Parts
    assembly: Assembly
    design: PartDesign
    cells: Cells
    everything: Sample
    dependencies: Any = None
    metric: Any = None
    graph: Any = None

    @property
    def y_index(self) -> IntArray:
        """Index of the class of each cell."""
        return self.cells.y

    @property
    def y(self) -> FloatArray:
        """Means of the targets of each cell."""
        return self.cells.y

    @property
    def weight(self) -> FloatArray:
        """What each cell weighs."""
        return self.cells.weight

    @property
    def domain(self) -> IntArray:
        """Number of the domain of each cell."""
        return self.cells.domain

    @property
    def mean_weight(self) -> float:
        """Mean of the weights of the rows."""
        return float(self.cells.weight.sum() / self.design.n_rows)

    @property
    def most_weight(self) -> float:
        """The largest weight of a row."""
        return self.cells.heaviest

    def sums(self, loss: Loss, crew: Workers, target: int = 0) -> PartSums:
        """Return the sums of a loss; ``target`` is a column of y."""
        return PartSums(
            self.parts, self.design, self.assembly, self.cells, loss, target, crew
        )

    def moments(self, crew: Workers) -> Moments:
        """Return the moments of the rows."""
        work = MomentWork(self.assembly, self.design.n_features)
        found: Moments = self.parts.total(work, self.design.n_domains, crew)
        return found

    def weighing_one(self) -> PartedRows:
        """Return the same rows with weights whose sum is 1."""
        scale = 1.0 / float(self.cells.weight.sum())
        cells = replace(
            self.cells,
            weight=self.cells.weight * scale,
            heaviest=self.cells.heaviest * scale,
        )
        return replace(self, cells=cells, assembly=replace(self.assembly, scale=scale))

    def depending(self, dependencies: Any) -> PartedRows:
        """Return the rows of the coefficients that are stored."""
        rows = replace(self, dependencies=dependencies)
        shares: Shares | None = dependencies.shares
        if shares is None:
            return rows
        design = replace(rows.design, n_features=shares.n_stored, squared=None)
        if rows.design.squared is not None:
            # At most so much: a sum of columns is at most as long as they are together.
            longest = np.sqrt(rows.design.squared) * np.abs(shares.ratio)
            squared = np.square(np.bincount(shares.index, longest))
            design = replace(design, squared=squared)
        return replace(
            rows, design=design, assembly=replace(rows.assembly, shares=shares)
        )


def read_parts(
    model: Any, given: Given, *, labels: bool, counts: bool = False
) -> tuple[PartedRows, Domains | None, Any]:
    """Look at all rows once, and return them with their domains and classes.

    Parameters
    ----------
    model : TiedLinearModel
        Has the parameters.
    given : Given
        Rows as its `fit` was given them; X `is_parted`.
    labels, counts : bool
        What y holds.
    """
    for name in _needs_rows(model, labels):
        raise ValueError(
            f"{name}={getattr(model, name)!r} needs all rows at hand, and X comes in "
            "blocks. Fit rows that are at hand, such as a sample, or leave it out."
        )
    parts = _open(given, bool(getattr(model, "verbose", False)))
    check_columns(model, parts.empty.X, reset=True)
    column = model.pair if is_column(model.pair) else None
    reading = Reading(
        type(model).__name__,
        column,
        labels=labels,
        counts=counts,
        squares=model.graph is not None or model.feature_ties is not None,
    )
    with workers(model.n_jobs, MAX_LANES) as crew:
        later, digests = parts.survey(reading, crew)
    if not any(digest.mass.any() for digest in digests):
        raise ValueError(
            "All sample weights are zero; expected at least one positive weight. "
            "Leave sample_weight out to weigh all rows alike."
        )
    skip = _name_columns(model, reading, parts)
    domains, domain_maps = _domains(reading, given, digests)
    classes, class_maps, factors = None, [None] * len(digests), None
    if labels:
        classes, class_maps, factors = _classes(
            model, digests, given.weight is not None
        )
    parts.number(list(zip(domain_maps, class_maps, strict=True)))
    cells = _cells(digests, domain_maps, class_maps, classes)
    dtype = np.dtype(np.result_type(*(digest.dtype for digest in digests)))
    squared: FloatArray | None = None
    if reading.squares:
        own = [digest.squares for digest in digests if digest.squares is not None]
        squared = np.sum(own, axis=0)
        squared = squared if skip is None else np.delete(squared, skip)
    design = PartDesign(
        n_rows=sum(digest.n_rows for digest in digests),
        n_domains=int(cells.domain.max()) + 1,
        n_features=digests[0].n_columns - (skip is not None),
        fit_intercept=bool(model.fit_intercept),
        dtype=dtype,
        is_sparse=digests[0].sparse,
        entries=sum(digest.entries for digest in digests),
        n_lanes=MAX_LANES,
        squared=squared,
    )
    assembly = Assembly(later, dtype, design.fit_intercept, factors)
    none = np.empty((0, design.n_features), dtype)
    everything = Sample(none, np.empty(0, np.intp), None, factors)
    rows = PartedRows(parts, assembly, design, cells, everything)
    return rows, domains, classes


def as_parts(model: Any, X: Any, *, labels: bool) -> Any:
    """Return X, in blocks where it is a large memory map and blocks will do."""
    return X if _needs_rows(model, labels) else as_stream(X)


def _needs_rows(model: Any, labels: bool) -> list[str]:
    """Return the parameters by which a model asks for all rows at hand."""
    asked = {
        "store_covariance": labels and model.store_covariance,
        "unlabeled": getattr(model, "unlabeled", None) is not None,
        "pair": find_prior(model.pair) is not None,
    }
    return [name for name, wanted in asked.items() if wanted]


def _open(given: Given, verbose: bool) -> Parts:
    if is_dask(given.X):
        return DaskParts(given)
    return StreamedParts(given, verbose)


def _name_columns(model: Any, reading: Reading, parts: Parts) -> int | None:
    """Set ``coef_feature_names_``; return the column of blocks that is no feature."""
    columns = reading.columns(parts.empty)
    model.__dict__.pop("coef_feature_names_", None)
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        place = columns.place
        model.coef_feature_names_ = names if place is None else np.delete(names, place)
    return columns.skip


def _joined(labels: list[Array]) -> Array:
    """Return the labels of all blocks in one array, of their own types."""
    if len({array.dtype.kind == "U" for array in labels}) == 1:
        return np.concatenate(labels)
    found = np.empty(sum(map(len, labels)), dtype=object)
    found[:] = [label for array in labels for label in array.tolist()]
    return found


def _split(values: Array, parts: list[Array]) -> list[Array]:
    """Return values in pieces as long as the parts are."""
    ends = np.cumsum([0, *map(len, parts)])
    return [values[a:b] for a, b in pairwise(ends)]


def _domains(
    reading: Reading, given: Given, digests: list[Digest]
) -> tuple[Domains | None, list[IntArray]]:
    """Return the domains of all blocks, and of each block their numbers."""
    labels = [digest.domains for digest in digests]
    if reading.column is None and given.domain is None:
        return None, [np.zeros(1, dtype=np.intp)] * len(digests)
    every = _joined(labels)
    found = encode_domains(every, reading.source, len(every))
    return found, _split(found.index, labels)


def _classes(
    model: Any, digests: list[Digest], weighted: bool
) -> tuple[Array, list[Any], FloatArray | None]:
    """Return the classes, of each block their numbers, and the weights of classes."""
    labels = [digest.classes for digest in digests]
    every = _joined(labels)
    mass = np.concatenate([digest.mass.sum(axis=0) for digest in digests])
    classes, index = encode_classes(every, mass if weighted else None)
    factors = class_weights(model.class_weight, classes, index, mass)
    return classes, _split(index.astype(np.intp), labels), factors


def _cells(
    digests: list[Digest],
    domain_maps: list[IntArray],
    class_maps: list[Any],
    classes: Array | None,
) -> Cells:
    """Return what all blocks tell of each cell."""
    n_domains = int(max(own.max() for own in domain_maps)) + 1
    n_classes = 1 if classes is None else len(classes)
    n_outputs = digests[0].totals.shape[1]
    mass: FloatArray = np.zeros((n_domains, n_classes))
    count: IntArray = np.zeros((n_domains, n_classes), dtype=np.int64)
    totals: FloatArray = np.zeros((n_domains, n_outputs))
    for digest, domain, label in zip(digests, domain_maps, class_maps, strict=True):
        column = np.zeros(1, dtype=np.intp) if label is None else label
        at = domain[:, np.newaxis], column[np.newaxis]
        np.add.at(mass, at, digest.mass)
        np.add.at(count, at, digest.count)
        totals[domain] += digest.totals
    y: Array = np.tile(np.arange(n_classes), n_domains)
    if classes is None:
        safe = np.where(mass > 0, mass, 1.0)
        y = totals / safe
    return Cells(
        domain=np.repeat(np.arange(n_domains), n_classes),
        y=y,
        weight=mass.ravel(),
        count=count.ravel(),
        least=min(digest.least for digest in digests),
        heaviest=max(digest.heaviest for digest in digests),
    )


__all__ = ["Given", "PartedRows", "as_parts", "is_parted", "read_parts"]
