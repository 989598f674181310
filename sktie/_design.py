"""The rows of a data set, grouped by domain and visited block by block.

`Design` never copies X: rows that are not already in order are gathered one
cache-sized block at a time, a column that is no feature gets the coefficient zero, and
sparse rows are made dense only inside a block, where a Hessian needs it. Only small
data are kept in order, and dense.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from sktie._typing import FloatArray, IntArray, Matrix

#: A block and what is made of it should stay in a core's own cache.
BLOCK_BYTES = 1 << 20
#: Data up to this size are gathered once and kept; larger ones in every pass.
KEPT_BYTES = 1 << 24
#: Lanes are what threads take up. Their number must not depend on the machine.
MAX_LANES = 8
#: Entries below which a lane of a pass costs more than it saves, and multiplications
#: below which a piece of a Hessian does.
LANE_ENTRIES = 1 << 18
PIECE_WORK = 1 << 22
#: Rows below which a piece costs more to add up than to work out.
PIECE_ROWS = 128
#: Rows of a block for each coefficient, where it is for a Gram matrix.
GRAM_ROWS = 16
#: Domains of at most so many rows are small; from so many of them on, and in blocks
#: of so many, they are visited together. NumPy's calls would take longer than they do.
SMALL_ROWS = 256
MANY_SMALL = 64
MANY_SEGMENTS = 8
#: Rows that a tile may be filled up with, relative to those of its smallest domain.
FILLING = 1.25
#: Rows that a sample keeps of each cell, if it has them.
FEW_ROWS = 20


@dataclass(frozen=True)
class Segment:
    """Rows ``start:stop`` of a block that belong to one domain."""

    domain: int
    start: int
    stop: int


@dataclass(frozen=True)
class Block:
    """Rows ``start:stop`` of the design, in its order, cut at the domains."""

    start: int
    stop: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Tile:
    """Small domains of about equal size, as a stack of equally many rows each.

    Attributes
    ----------
    domains : ndarray of shape (n_domains,)
        Their numbers.
    places : ndarray of shape (n_domains * width,)
        Place of each row in the design's order.
    filled : ndarray of shape (n_domains, width)
        1 for rows of the domain, 0 for others that fill it up.
    """

    domains: IntArray
    places: IntArray
    filled: FloatArray


class Design:
    """Rows of X in the order of their domains.

    Parameters
    ----------
    X : ndarray or CSR container of shape (n_rows_of_X, n_columns)
        The data; never written to.
    bounds : array of shape (n_domains + 1,)
        Where each domain begins among the rows in order, and the end.
    order : array of shape (n_rows,), optional
        Row of X at each place; by default the rows of X as they are.
    skip : int, optional
        A column of X that is no feature.
    fit_intercept : bool, default=True
        Whether the last coefficient is an intercept.
    """

    def __init__(
        self,
        X: Matrix,
        bounds: IntArray,
        *,
        order: IntArray | None = None,
        skip: int | None = None,
        fit_intercept: bool = True,
    ) -> None:
        self.X = X
        self.bounds = bounds
        self.order = order
        self.skip = skip
        self.fit_intercept = fit_intercept
        self.is_sparse = sp.issparse(X)
        self.dtype = X.dtype
        self.n_rows = int(bounds[-1])
        self.n_domains = len(bounds) - 1
        self.n_features = X.shape[1] - (skip is not None)
        self.n_coefs = self.n_features + fit_intercept
        self._kept: dict[tuple[int, int], Matrix] = {}
        self._dense: dict[tuple[int, int], FloatArray] = {}
        self._domain_blocks: dict[tuple[int, bool], list[tuple[int, list[Block]]]] = {}
        self._tiles: dict[int, list[Tile]] = {}

    @cached_property
    def _small(self) -> IntArray:
        """Numbers of the small domains."""
        sizes = np.diff(self.bounds)
        return np.flatnonzero((sizes > 0) & (sizes <= SMALL_ROWS))

    @property
    def is_crowded(self) -> bool:
        """Whether many domains are small, so that Hessians of theirs come in tiles."""
        return self.n_domains >= MANY_SMALL and len(self._small) >= MANY_SMALL

    def rows_per_block(self, row_bytes: float) -> int:
        return max(128, min(int(BLOCK_BYTES / row_bytes), 1 << 14))

    @property
    def entries(self) -> int:
        """Stored numbers in the rows."""
        if self.is_sparse:
            return int(self.X.nnz * (self.n_rows / max(1, self.X.shape[0])))
        return int(self.n_rows * self.X.shape[1])

    def column_squares(self) -> FloatArray:
        """Return the sum of the squares of each feature, over all rows of X."""
        if self.is_sparse:
            squares = np.asarray(self.X.multiply(self.X).sum(axis=0)).ravel()
        else:
            squares = np.einsum("ij,ij->j", self.X, self.X, dtype=np.float64)
        if self.skip is not None:
            squares = np.delete(squares, self.skip)
        return np.asarray(squares, dtype=np.float64)

    @property
    def n_lanes(self) -> int:
        return max(1, min(self.entries // LANE_ENTRIES, MAX_LANES))

    @cached_property
    def lanes(self) -> list[list[Block]]:
        """Blocks of rows, in lanes of about equal size."""
        if self.is_sparse:
            # A block of sparse rows costs a dense gradient: few blocks.
            step = -(-self.n_rows // self.n_lanes)
        else:
            step = self.rows_per_block(self.dtype.itemsize * self.X.shape[1])
        starts = range(0, self.n_rows, step)
        blocks = [self._block(a, min(a + step, self.n_rows)) for a in starts]
        cuts = _cuts(0, len(blocks), self.n_lanes)
        lanes = [blocks[a:b] for a, b in pairwise(cuts)]
        return [lane for lane in lanes if lane]

    def _block(self, start: int, stop: int) -> Block:
        first = int(np.searchsorted(self.bounds, start, side="right")) - 1
        last = int(np.searchsorted(self.bounds, stop, side="left"))
        segments = []
        for domain in range(first, last):
            a = max(start, int(self.bounds[domain])) - start
            b = min(stop, int(self.bounds[domain + 1])) - start
            if a < b:
                segments.append(Segment(domain, a, b))
        return Block(start, stop, tuple(segments))

    def domain_blocks(
        self, n_outputs: int, tiled: bool = False
    ) -> list[tuple[int, list[Block]]]:
        """Blocks for Hessians: (domain, blocks) pairs, a large domain in several.

        Where ``tiled``, domains in `tiles` are left out.
        """
        key = n_outputs, tiled
        if key in self._domain_blocks:
            return self._domain_blocks[key]
        width = self.dtype.itemsize * self.n_coefs * (1 + n_outputs)
        step = self.rows_per_block(width)
        row_work = (n_outputs * self.n_coefs) ** 2
        pieces = []
        domains = np.arange(self.n_domains)
        if tiled and self.is_crowded:
            domains = np.setdiff1d(domains, self._small)
        for domain in domains.tolist():
            a, b = int(self.bounds[domain]), int(self.bounds[domain + 1])
            most = min((b - a) // PIECE_ROWS, MAX_LANES)
            n_pieces = max(1, min((b - a) * row_work // PIECE_WORK, most))
            for c, d in pairwise(_cuts(a, b, n_pieces)):
                pieces.append((domain, _blocks(domain, c, d, step)))
        self._domain_blocks[key] = pieces
        return pieces

    @cached_property
    def tall_blocks(self) -> list[tuple[int, list[Block]]]:
        """Blocks for Gram matrices: `domain_blocks` of many rows for a coefficient.

        What is done once for a block, in matrices of coefficients, costs little then.
        """
        least = GRAM_ROWS * self.n_coefs
        return [
            (domain, _blocks(domain, blocks[0].start, blocks[-1].stop, step))
            for domain, blocks in self.domain_blocks(1)
            if blocks
            for step in [max(least, blocks[0].stop - blocks[0].start)]
        ]

    def tiles(self, n_outputs: int) -> list[Tile]:
        """Small domains in tiles, for Hessians."""
        if n_outputs in self._tiles:
            return self._tiles[n_outputs]
        sizes = np.diff(self.bounds)
        domains = self._small[np.argsort(sizes[self._small], kind="stable")]
        # A tile should stay in cache, with what is made of it.
        size = n_outputs * self.n_coefs
        row_bytes = self.dtype.itemsize * self.n_coefs * (1 + n_outputs)
        tiles, first = [], 0
        while first < len(domains):
            least = int(sizes[domains[first]])
            fits = np.searchsorted(sizes[domains], FILLING * least, side="right")
            most = max(1, int(2 * BLOCK_BYTES / (least * row_bytes + 8 * size**2)))
            last = min(int(fits), first + most)
            tiles.append(self._tile(domains[first:last]))
            first = last
        self._tiles[n_outputs] = tiles
        return tiles

    def _tile(self, domains: IntArray) -> Tile:
        start, sizes = self.bounds[domains], np.diff(self.bounds)[domains]
        step = np.arange(sizes.max())
        filled = step < sizes[:, np.newaxis]
        places = start[:, np.newaxis] + np.where(filled, step, 0)
        return Tile(domains, places.ravel(), filled.astype(self.dtype))

    def tile_rows(self, tile: Tile) -> FloatArray:
        """Return dense rows (n_domains, width, n_coefs) of a tile."""
        places = tile.places if self.order is None else self.order[tile.places]
        rows = self._as_coefs(self.X[places])
        return rows.reshape(*tile.filled.shape, self.n_coefs)

    def blocks_of(self, domain: int, numbers: int) -> list[Block]:
        """Return blocks of one domain's rows, for so many more numbers a row."""
        width = self.dtype.itemsize * (self.n_coefs + numbers)
        bounds = self.bounds[domain], self.bounds[domain + 1]
        return _blocks(domain, *bounds, self.rows_per_block(width))

    def rows(self, block: Block) -> Matrix:
        """Return the rows of a block, all columns of X: a view where one is enough."""
        if self.order is not None:
            return self._gathered(block, self.order)
        if not self.is_sparse:
            return self.X[block.start : block.stop]
        if block.start == 0 and block.stop == self.X.shape[0]:
            return self.X
        return self._sparse_view(block.start, block.stop)

    def _gathered(self, block: Block, order: IntArray) -> Matrix:
        """Return the rows of a block in order; those of small data are kept."""
        key = block.start, block.stop
        rows = self._kept.get(key)
        if rows is None:
            rows = self.X[order[block.start : block.stop]]
            if self.entries * self.dtype.itemsize <= KEPT_BYTES:
                self._kept[key] = rows
        return rows

    def _sparse_view(self, start: int, stop: int) -> Matrix:
        # Slicing a CSR container copies its entries; this shares them.
        indptr = self.X.indptr[start : stop + 1]
        a, b = indptr[0], indptr[-1]
        view = sp.csr_array((stop - start, self.X.shape[1]), dtype=self.dtype)
        # Set one by one: the constructor copies short parts of long arrays.
        view.indptr = indptr - a
        view.indices, view.data = self.X.indices[a:b], self.X.data[a:b]
        return view

    def features(self, block: Block) -> FloatArray:
        """Return the dense (n, n_features) features of a block: a view if possible."""
        rows = self.rows(block)
        if self.is_sparse:
            rows = rows.toarray()
        if self.skip is None:
            return np.asarray(rows)
        if self.skip == self.n_features:
            return np.asarray(rows[:, :-1])
        return np.delete(rows, self.skip, axis=1)

    def dense_rows(self, block: Block) -> FloatArray:
        """Return dense (n, n_coefs) rows of a block, read-only: features, then ones.

        Those of small data are kept, unless they are sparse.
        """
        key = block.start, block.stop
        out = self._dense.get(key)
        if out is None:
            out = self._densified(block)
            out.setflags(write=False)
            size = self.n_rows * self.n_coefs * self.dtype.itemsize
            if size <= KEPT_BYTES and not self.is_sparse:
                self._dense[key] = out
        return out

    def all_rows(self) -> FloatArray:
        """Return the `dense_rows` of all rows, of small data."""
        return self.dense_rows(Block(0, self.n_rows, ()))

    def _densified(self, block: Block) -> FloatArray:
        if self.order is None:
            rows = self.rows(block)
        else:  # gathered, but not kept twice
            rows = self.X[self.order[block.start : block.stop]]
        return self._as_coefs(rows)

    def _as_coefs(self, rows: Matrix) -> FloatArray:
        """Return rows as dense ones (n, n_coefs): features, then ones."""
        if self.is_sparse:
            rows = rows.toarray()
        out = np.empty((len(rows), self.n_coefs), dtype=self.dtype)
        skip, n_features = self.skip, self.n_features
        if skip is None:
            out[:, :n_features] = rows
        else:
            out[:, :skip] = rows[:, :skip]
            out[:, skip:n_features] = rows[:, skip + 1 :]
        if self.fit_intercept:
            out[:, -1] = 1.0
        return out

    def squares(self) -> FloatArray:
        """Return the sum of the squares of each coefficient's column, (n_coefs,)."""
        if self.is_sparse:
            sums = np.asarray(self.X.multiply(self.X).sum(axis=0), dtype=np.float64)
        else:
            sums = np.einsum("ij,ij->j", self.X, self.X, dtype=np.float64)
        ones = np.array([float(self.n_rows)]) if self.fit_intercept else None
        sums = sums.ravel()
        if self.skip is not None:
            sums = np.delete(sums, self.skip)
        return sums if ones is None else np.concatenate([sums, ones])

    def row(self, place: int) -> FloatArray:
        """Return one row, (n_coefs,): features, then one."""
        return np.asarray(self._densified(self._block(place, place + 1))[0])

    def widen(self, coefs: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Split (..., n_coefs) into slopes for all columns of X, and intercepts."""
        slopes = coefs[..., : self.n_features].astype(self.dtype, copy=False)
        if self.skip is not None:
            slopes = np.insert(slopes, self.skip, 0.0, axis=-1)
        if self.is_sparse and slopes.shape[-2] > 1:
            # Products with sparse rows read the transpose, and copy it otherwise.
            slopes = np.swapaxes(
                np.ascontiguousarray(np.swapaxes(slopes, -1, -2)), -1, -2
            )
        if not self.fit_intercept:
            return slopes, None
        return slopes, coefs[..., -1].astype(self.dtype, copy=False)

    def narrow(self, slopes: FloatArray, intercepts: FloatArray | None) -> FloatArray:
        """Join gradients of slopes for all columns of X, and of intercepts."""
        if self.skip is not None:
            slopes = np.delete(slopes, self.skip, axis=-1)
        if intercepts is None:
            return slopes
        return np.concatenate([slopes, intercepts[..., np.newaxis]], axis=-1)

    def raw(
        self,
        block: Block,
        rows: Matrix,
        slopes: FloatArray,
        intercepts: FloatArray | None,
    ) -> FloatArray:
        """Return the raw predictions (n, n_outputs) of a block; see `widen`."""
        if self._is_fine(block):
            return self._raw_of_many(block, rows, slopes, intercepts)
        out = np.empty((block.stop - block.start, slopes.shape[1]), dtype=self.dtype)
        for part, piece in self._pieces(block, rows):
            out[part.start : part.stop] = piece @ slopes[part.domain].T
            if intercepts is not None:
                out[part.start : part.stop] += intercepts[part.domain]
        return out

    def accumulate(
        self,
        block: Block,
        rows: Matrix,
        gradient: FloatArray,
        slopes: FloatArray,
        intercepts: FloatArray | None,
        first: int,
    ) -> None:
        """Add the adjoint of `raw` to slopes and intercepts of domains from first."""
        if self._is_fine(block):
            self._accumulate_many(block, rows, gradient, slopes, intercepts, first)
            return
        for part, piece in self._pieces(block, rows):
            g = gradient[part.start : part.stop]
            slopes[part.domain - first] += (piece.T @ g).T
            if intercepts is not None:
                intercepts[part.domain - first] += g.sum(axis=0, dtype=np.float64)

    @staticmethod
    def _is_fine(block: Block) -> bool:
        """Whether a block holds many domains with few rows each."""
        n_segments = len(block.segments)
        few = block.stop - block.start <= SMALL_ROWS * n_segments
        return n_segments >= MANY_SEGMENTS and few

    def _starts(self, block: Block) -> tuple[slice, IntArray]:
        """Return the domains of a block, and where each begins in it, and the end."""
        first, last = block.segments[0].domain, block.segments[-1].domain + 1
        bounds = np.clip(self.bounds[first : last + 1], block.start, block.stop)
        return slice(first, last), bounds - block.start

    def _raw_of_many(
        self,
        block: Block,
        rows: Matrix,
        slopes: FloatArray,
        intercepts: FloatArray | None,
    ) -> FloatArray:
        domains, starts = self._starts(block)
        domain = np.repeat(np.arange(domains.start, domains.stop), np.diff(starts))
        n_outputs = slopes.shape[1]
        out = np.empty((len(domain), n_outputs), dtype=self.dtype)
        for k in range(n_outputs):
            if self.is_sparse:
                of_row = np.repeat(domain, np.diff(rows.indptr))
                parts = rows.data * slopes[of_row, k, rows.indices]
                table = (parts, rows.indices, rows.indptr)
                ones = np.ones(rows.shape[1], dtype=self.dtype)
                out[:, k] = sp.csr_array(table, shape=rows.shape) @ ones
            else:
                np.einsum("ij,ij->i", rows, slopes[domain, k], out=out[:, k])
        if intercepts is not None:
            out += intercepts[domain]
        return out

    def _accumulate_many(
        self,
        block: Block,
        rows: Matrix,
        gradient: FloatArray,
        slopes: FloatArray,
        intercepts: FloatArray | None,
        first: int,
    ) -> None:
        domains, starts = self._starts(block)
        into = slice(domains.start - first, domains.stop - first)
        places = np.arange(len(gradient))
        shape = len(starts) - 1, len(gradient)
        for k, own in enumerate(gradient.T):
            table = np.ascontiguousarray(own), places, starts
            sums = sp.csr_array(table, shape=shape) @ rows
            slopes[into, k] += sums.toarray() if self.is_sparse else sums
        if intercepts is not None:
            some = np.flatnonzero(np.diff(starts))
            sums = np.add.reduceat(gradient, starts[some], axis=0, dtype=np.float64)
            intercepts[into.start + some] += sums

    @staticmethod
    def _pieces(block: Block, rows: Matrix) -> Iterator[tuple[Segment, Matrix]]:
        if len(block.segments) == 1:
            yield block.segments[0], rows
            return
        for part in block.segments:
            yield part, rows[part.start : part.stop]

    def places(self, block: Block) -> slice | IntArray:
        """Return where in X the rows of a block are."""
        place = slice(block.start, block.stop)
        return place if self.order is None else self.order[place]

    def predict(self, members: FloatArray) -> FloatArray:
        """Return the raw predictions of all rows, in the order of X."""
        slopes, intercepts = self.widen(members)
        out = np.empty((self.n_rows, members.shape[1]), dtype=self.dtype)
        for lane in self.lanes:
            for block in lane:
                raw = self.raw(block, self.rows(block), slopes, intercepts)
                out[self.places(block)] = raw
        return out

    def of(self, X: Matrix) -> Design:
        """Return the same rows with other features: all columns of X."""
        return Design(
            X, self.bounds, order=self.order, fit_intercept=self.fit_intercept
        )

    def sample(self, chosen: IntArray) -> Design:
        """Return a design of a copy of the rows at some places, in ascending order."""
        bounds = np.searchsorted(chosen, self.bounds)
        places = chosen if self.order is None else self.order[chosen]
        return Design(
            self.X[places], bounds, skip=self.skip, fit_intercept=self.fit_intercept
        )


def _cuts(start: int, stop: int, n_parts: int) -> list[int]:
    """Return where parts of about equal length begin, and the end."""
    if n_parts == 1:  # as always for small data, where linspace takes long
        return [start, stop]
    found: list[int] = np.linspace(start, stop, n_parts + 1).astype(int).tolist()
    return found


def _blocks(domain: int, start: int, stop: int, step: int) -> list[Block]:
    """Return blocks of consecutive rows of one domain."""
    ends = [min(s + step, int(stop)) for s in range(start, stop, step)]
    return [
        Block(s, e, (Segment(domain, 0, e - s),))
        for s, e in zip(range(start, stop, step), ends, strict=True)
    ]


def group_rows(index: IntArray, n_groups: int) -> tuple[IntArray | None, IntArray]:
    """Return an order that brings the rows of each group together, and its bounds.

    The order is None where the rows are together already, group after group.
    """
    bounds = np.concatenate([[0], np.cumsum(np.bincount(index, minlength=n_groups))])
    if np.all(index[:-1] <= index[1:]):
        return None, bounds
    return np.argsort(index, kind="stable"), bounds


def sample_cells(
    cell: IntArray, n_cells: int, stride: int
) -> tuple[IntArray, FloatArray]:
    """Return about one row in ``stride``, and what each row of the sample stands for.

    Rows are drawn at random, one from each run of ``stride`` rows, so that no pattern
    in their order can be missed or hit; the draw is the same in every call. Cells
    (classes within domains) that would keep few rows keep all of theirs.
    """
    n_rows = len(cell)
    size = np.bincount(cell, minlength=n_cells)
    starts = np.arange(0, n_rows - stride + 1, stride)
    chosen = starts + np.random.default_rng(0).integers(stride, size=len(starts))
    drawn = np.bincount(cell[chosen], minlength=n_cells)
    small = drawn < FEW_ROWS
    if small.any():
        every = np.flatnonzero(small[cell])
        chosen = np.union1d(chosen[~small[cell[chosen]]], every)
        drawn = np.where(small, size, drawn)
    return chosen, (size / np.maximum(1, drawn))[cell[chosen]]
