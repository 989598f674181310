"""One block of rows, wherever it was read: what it holds, and how it is summed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array, check_X_y, gen_batches

from sktie._compat import check_sample_weight
from sktie._design import Design, group_rows
from sktie._domains import Columns, cut_column, encode_domains
from sktie._labels import check_exposure, check_label_kind, distinct
from sktie._loss import ClassLoss, Loss
from sktie._moments import Moments, moments_of
from sktie._parallel import Workers
from sktie._row_sums import RowSums
from sktie._shares import Shares
from sktie._typing import Array, FloatArray, IntArray, Matrix

DTYPES = [np.float64, np.float32]
#: Rows of a table that are made an array at a time.
TABLE_ROWS = 4096


class Given(NamedTuple):
    """Rows as the user gave them: containers of equal length, or None."""

    X: Any
    y: Any = None
    weight: Any = None
    domain: Any = None
    exposure: Any = None


#: What users call these.
NAMES = ("X", "y", "sample_weight", "sample_domain", "sample_exposure")


@dataclass(frozen=True)
class Reading:
    """How an estimator reads rows.

    Attributes
    ----------
    estimator : str
        Its name, for messages.
    column : str, int or None
        The column of X that holds the domains.
    labels : bool
        Whether y holds classes; otherwise numbers.
    counts : bool
        Whether these numbers are counts, of one column and not negative.
    squares : bool
        Whether the squares of the features are asked for.
    """

    estimator: str
    column: str | int | None
    labels: bool
    counts: bool = False
    squares: bool = False

    @property
    def source(self) -> str:
        """What the user calls the domains, for messages."""
        return "sample_domain" if self.column is None else f"pair={self.column!r}"

    def columns(self, given: Given) -> Columns:
        """Return X with its labels of domains, beside it or cut from it."""
        if self.column is None:
            columns = Columns(given.X, labels=given.domain)
        else:
            columns = cut_column(given.X, self.column)
        return columns._replace(X=_of_table(columns.X))

    def numbers(self, given: Given) -> FloatArray:
        """Return the targets as floats, (n_rows, n_outputs)."""
        y = np.asarray(given.y)
        return y.reshape(len(y), -1).astype(np.float64, copy=False)


@dataclass(frozen=True)
class Kept:
    """What is remembered of a block: a few bytes a row.

    Attributes
    ----------
    order : ndarray of shape (n_rows,) or None
        Rows of the block in the order of their domains, None where they are in it.
    bounds : ndarray of shape (n_domains + 1,)
        Where each of its domains begins in this order, and the end.
    domains : ndarray of shape (n_domains,)
        Numbers of its domains.
    codes : ndarray of shape (n_rows,) or None
        Numbers of the rows' classes, in this order; None where y holds numbers.
    """

    order: IntArray | None
    bounds: IntArray
    domains: IntArray
    codes: IntArray | None

    def numbered(self, domains: IntArray, classes: IntArray | None) -> Kept:
        """Return the same with numbers that count over all blocks."""
        codes = self.codes
        if codes is not None and classes is not None:
            codes = classes[codes]
        return replace(self, domains=domains, codes=codes)


@dataclass(frozen=True)
class Digest:
    """What a block tells of its rows. Cells are its classes in its domains.

    Attributes
    ----------
    n_rows, n_columns, entries : int
        Rows, columns, and stored numbers of X.
    dtype : dtype
        That of X as numbers.
    sparse : bool
        Whether X is sparse.
    domains : ndarray of shape (n_domains,)
        Labels; of none, one 0.
    classes : ndarray of shape (n_classes,)
        Labels; where y holds numbers, one 0.
    mass : ndarray of shape (n_domains, n_classes)
        Sums of the weights.
    count : ndarray of shape (n_domains, n_classes)
        Rows.
    totals : ndarray of shape (n_domains, n_outputs)
        Weighted sums of y, where it holds numbers.
    least : float
        The smallest number in y.
    heaviest : float
        The largest weight.
    squares : ndarray of shape (n_columns,) or None
        Sums of the squares of the columns.
    """

    n_rows: int
    n_columns: int
    entries: int
    dtype: Any
    sparse: bool
    domains: Array
    classes: Array
    mass: FloatArray
    count: IntArray
    totals: FloatArray
    least: float
    heaviest: float
    squares: FloatArray | None


def survey(
    reading: Reading, given: Given, take: Callable[[Matrix], None] | None = None
) -> tuple[Kept, Digest]:
    """Validate a block of rows; return what is kept of it, and what it tells.

    ``take`` is called with X as numbers.
    """
    columns = reading.columns(given)
    X, y = check_X_y(
        columns.X,
        given.y,
        accept_sparse="csr",
        dtype=DTYPES,
        multi_output=not (reading.labels or reading.counts),
        y_numeric=not reading.labels,
        estimator=reading.estimator,
    )
    if take is not None:
        take(X)
    weight = None
    if given.weight is not None:
        weight = check_sample_weight(given.weight, X).astype(np.float64)
    exposure = check_exposure(given.exposure, X)
    if exposure is not None:
        weight = exposure if weight is None else weight * exposure
    n = X.shape[0]
    labels, index = np.zeros(1, dtype=np.intp), np.zeros(n, dtype=np.uint8)
    order, bounds = None, np.array([0, n])
    if columns.labels is not None:
        found = encode_domains(columns.labels, reading.source, n)
        labels, index = found.labels, _small(found.index, len(found.labels))
        order, bounds = group_rows(index, len(labels))
        order = None if order is None else _small(order, n)
    codes, classes = None, np.zeros(1, dtype=np.intp)
    totals, least = np.zeros((len(labels), 0)), np.inf
    if reading.labels:
        check_label_kind(y)
        classes = distinct(y)
        codes = _small(np.searchsorted(classes, y), len(classes))
        cell = index.astype(np.intp) * len(classes) + codes
        n_cells = len(classes)
        codes = codes if order is None else codes[order]
    else:
        values = reading.numbers(given)
        least = float(values.min(initial=np.inf))
        if exposure is not None:
            values = values / exposure[:, np.newaxis]
        cell, n_cells = index, 1
        weighted = values if weight is None else values * weight[:, np.newaxis]
        totals = np.stack(
            [np.bincount(index, column, len(labels)) for column in weighted.T], axis=1
        )
    shape = len(labels), n_cells
    mass = np.bincount(cell, weight, shape[0] * shape[1]).reshape(shape)
    count = np.bincount(cell, minlength=mass.size).reshape(shape)
    kept = Kept(order, bounds, np.arange(len(labels)), codes)
    return kept, Digest(
        n_rows=n,
        n_columns=X.shape[1],
        entries=int(X.nnz if sp.issparse(X) else X.size),
        dtype=X.dtype,
        sparse=sp.issparse(X),
        domains=labels,
        classes=classes,
        mass=mass.astype(np.float64),
        count=count,
        totals=totals,
        least=least,
        heaviest=1.0 if weight is None else float(weight.max(initial=0.0)),
        squares=_squares(X) if reading.squares else None,
    )


def _of_table(X: Any) -> Any:
    """Return a table of pyarrow as an array, if it holds numbers; others as they are.

    Some rows at a time, which stay in cache: pyarrow itself takes ten times as long.
    """
    if not hasattr(X, "column_names") or not X.num_columns or not len(X):
        return X
    columns = [np.asarray(column) for column in X.columns]
    if not all(column.dtype.kind in "biuf" for column in columns):
        return X
    found = np.empty((len(X), len(columns)), np.result_type(*columns))
    for rows in gen_batches(len(X), TABLE_ROWS):
        part = found[rows]
        for place, column in enumerate(columns):
            part[:, place] = column[rows]
    return found


def _small(numbers: IntArray, below: int) -> IntArray:
    """Return numbers from 0 up to a bound in as few bytes as hold them."""
    return numbers.astype(np.min_scalar_type(max(below - 1, 0)), copy=False)


def _squares(X: Matrix) -> FloatArray:
    """Return the sums of the squares of the columns."""
    if sp.issparse(X):
        return np.asarray(X.multiply(X).sum(axis=0), dtype=np.float64).ravel()
    return np.asarray(np.einsum("ij,ij->j", X, X, dtype=np.float64))


@dataclass(frozen=True)
class Assembly:
    """How blocks become rows of a problem, once all have been surveyed.

    Attributes
    ----------
    reading : Reading
        How they are read.
    dtype : dtype
        That of all of X.
    fit_intercept : bool
        Whether the last coefficient is an intercept.
    factors : ndarray of shape (n_classes,) or None
        Weights of the classes.
    scale : float or None
        A factor of all weights.
    shares : Shares or None
        How coefficients follow from fewer stored ones.
    """

    reading: Reading
    dtype: Any
    fit_intercept: bool
    factors: FloatArray | None = None
    scale: float | None = None
    shares: Shares | None = None

    def design(self, given: Given, kept: Kept) -> Design:
        """Return the rows of a block, in the order of its domains."""
        columns = self.reading.columns(given)
        X = check_array(
            columns.X,
            accept_sparse="csr",
            dtype=DTYPES,
            ensure_all_finite=False,  # as the survey has found
        ).astype(self.dtype, copy=False)
        skip = columns.skip
        if self.shares is not None:
            X, skip = self.shares.aggregate(X, skip), None
        return Design(
            X,
            kept.bounds,
            order=kept.order,
            skip=skip,
            fit_intercept=self.fit_intercept,
        )

    def targets(self, given: Given, kept: Kept) -> tuple[FloatArray, FloatArray | None]:
        """Return numbers as targets, (n_rows, n_outputs), and the weights, in order."""
        y, weight = self.reading.numbers(given), _numbers(given.weight)
        if (exposure := _numbers(given.exposure)) is not None:
            y = y / exposure[:, np.newaxis]
            weight = exposure if weight is None else weight * exposure
        y = y.astype(self.dtype, copy=False)
        return self._ordered(y, kept), self._weight(weight, kept)

    def sums(self, given: Given, kept: Kept, loss: Loss, target: int) -> RowSums:
        """Return the sums over the rows of a block; ``target`` is a column of y."""
        design = self.design(given, kept)
        if isinstance(loss, ClassLoss):
            assert kept.codes is not None
            y = loss.encode(kept.codes.astype(np.intp), self.dtype)
            weight = self._weight(_numbers(given.weight), kept)
        else:
            values, weight = self.targets(given, kept)
            y = np.ascontiguousarray(values[:, target])
        return RowSums(design, loss, y, weight, Workers())

    def moments(self, given: Given, kept: Kept) -> Moments:
        """Return the moments of the rows of a block."""
        return moments_of(
            self.design(given, kept), *self.targets(given, kept), Workers()
        )

    @staticmethod
    def _ordered(values: Array, kept: Kept) -> Array:
        return values if kept.order is None else values[kept.order]

    def _weight(self, weight: FloatArray | None, kept: Kept) -> FloatArray | None:
        if weight is not None:
            weight = self._ordered(weight, kept)
        if self.factors is not None and kept.codes is not None:
            own = self.factors[kept.codes]
            weight = own if weight is None else weight * own
        if self.scale is not None:
            n = int(kept.bounds[-1])
            weight = np.full(n, self.scale) if weight is None else weight * self.scale
        return None if weight is None else weight.astype(self.dtype)


def _numbers(values: Any) -> FloatArray | None:
    return None if values is None else np.asarray(values, dtype=np.float64)
