"""Blocks that this process reads from files, one after the other in each lane."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from threading import Lock
from typing import Any
from weakref import finalize

import numpy as np

from sktie._design import Design, group_rows
from sktie._loss import Loss
from sktie._parallel import Workers
from sktie._row_sums import RowSums
from sktie._typing import IntArray, Matrix
from sktie.streams._blocks import NAMES, Assembly, Digest, Given, Kept, Reading, survey
from sktie.streams._files import ArrayStream, RowStream, along, rows_beside
from sktie.streams._parts import Draw, Parts, Work

#: Bytes that the totals of all lanes may take.
TOTAL_BYTES = 1 << 28
#: Seconds between two lines of progress within a pass.
SECONDS = 5.0


class Progress:
    """Says how far passes over the rows have come.

    Parameters
    ----------
    n_rows : int
        Rows of a pass.
    shown : bool
        Whether to print anything.
    """

    def __init__(self, n_rows: int, shown: bool) -> None:
        self.n_rows, self.shown = n_rows, shown
        self._lock, self._pass = Lock(), 0

    def begin(self) -> None:
        """Begin a pass."""
        self._pass += 1
        self._done, self._start = 0, time.monotonic()
        self._next = self._start + SECONDS

    def add(self, n_rows: int) -> None:
        """Count rows; print a line from time to time, and at the end of the pass."""
        with self._lock:
            self._done += n_rows
            now = time.monotonic()
            if not self.shown or (self._done < self.n_rows and now < self._next):
                return
            self._next = now + SECONDS
            print(  # noqa: T201
                f"pass {self._pass}: {self._done / self.n_rows:4.0%} of {self.n_rows} "
                f"rows, {now - self._start:.1f} s"
            )


class Store:
    """Decoded blocks of a stream in a folder, which is removed with this object.

    Parameters
    ----------
    stream : RowStream
        Says where, and how many rows there are.
    """

    def __init__(self, stream: RowStream) -> None:
        self._folder = Path(mkdtemp(prefix="sktie-", dir=stream.scratch))
        finalize(self, rmtree, self._folder, ignore_errors=True)
        self._sizes = stream.sizes

    def taker(self, place: int) -> Callable[[Matrix], None]:
        """Return what takes the rows of a block."""

        def take(X: Matrix) -> None:
            np.save(self._path(place), X, allow_pickle=False)

        return take

    def _path(self, place: int) -> Path:
        return self._folder / f"{place}.npy"

    def stream(self) -> ArrayStream:
        """Return all blocks, once they have been taken."""
        files = [self._path(place) for place in range(len(self._sizes))]
        arrays = [np.load(file, mmap_mode="r", allow_pickle=False) for file in files]
        found = ArrayStream(arrays, self._sizes)
        found.store = self  # which lives as long
        return found


class StreamedParts(Parts):
    """Blocks of streams; arrays beside them are in memory, and cut alike.

    Parameters
    ----------
    given : Given
        X is a `RowStream`; the others are streams, arrays or None.
    verbose : bool
        Whether to say how far passes have come.
    """

    def __init__(self, given: Given, verbose: bool) -> None:
        stream: RowStream = given.X
        if not len(stream):
            raise ValueError(
                f"X={stream!r} has no rows; expected at least one. Check the files."
            )
        if given.weight is not None and np.ndim(given.weight) == 0:  # one for all rows
            one = np.broadcast_to(np.asarray(given.weight), len(stream))
            given = given._replace(weight=one)
        self._given = Given(
            stream,
            *(
                rows_beside(stream, rows, name)
                for name, rows in zip(NAMES[1:], given[1:], strict=True)
            ),
        )
        self.empty = Given(
            *(None if rows is None else _none_of(rows) for rows in self._given)
        )
        self._kept: list[Kept] = []
        self._spans = _spans(stream)
        self._progress = Progress(len(stream), verbose)

    def _blocks(self, first: int, last: int) -> Iterator[tuple[int, Given]]:
        """Yield the numbers and the rows of some blocks."""
        sizes = self._given.X.sizes
        stream = self._given.X
        parts = zip(
            *(along(stream, rows, first, last) for rows in self._given), strict=True
        )
        for place, part in enumerate(parts, first):
            yield place, Given(*part)
            self._progress.add(sizes[place])

    def survey(
        self, reading: Reading, workers: Workers
    ) -> tuple[Reading, list[Digest]]:
        stream = self._given.X
        store = None if stream.scratch is None else Store(stream)

        def lane(span: tuple[int, int]) -> list[tuple[Kept, Digest]]:
            return [
                survey(reading, given, None if store is None else store.taker(place))
                for place, given in self._blocks(*span)
            ]

        self._progress.begin()
        found = [pair for own in workers.map(lane, self._spans) for pair in own]
        self._kept = [kept for kept, _ in found]
        # What is kept tells of these from now on.
        y = None if reading.labels else self._given.y
        self._given = self._given._replace(domain=None, y=y)
        if store is not None:
            self._given = self._given._replace(X=store.stream())
            self._spans = _spans(self._given.X)
            reading = replace(reading, column=None)
        return reading, [digest for _, digest in found]

    def number(self, maps: list[tuple[IntArray, IntArray | None]]) -> None:
        self._kept = [
            kept.numbered(*own) for kept, own in zip(self._kept, maps, strict=True)
        ]

    def total(self, work: Work, n_domains: int, workers: Workers) -> Any:
        every = np.arange(n_domains)

        def lane(span: tuple[int, int]) -> Any:
            totals = work.totals(every)
            for place, given in self._blocks(*span):
                kept = self._kept[place]
                totals.add(kept.domains, work(given, kept))
            return totals

        self._progress.begin()
        most = max(1, TOTAL_BYTES // max(1, work.total_bytes(n_domains)))
        spans = _merged(self._spans, most)
        whole, *others = workers.map(lane, spans)
        for other in others:
            whole.add(every, other.found)
        return whole.found

    def sample(
        self, assembly: Assembly, loss: Loss, target: int, counts: IntArray, stride: int
    ) -> RowSums | None:
        """Return rows that are drawn; the draw is the same in every call."""
        draw = Draw(assembly, loss, target, counts, stride)
        rng = np.random.default_rng(0)
        tables, ys, weights, domains = [], [], [], []
        self._progress.begin()
        for place, given in self._blocks(0, len(self._kept)):
            kept = self._kept[place]
            rows = draw(given, kept, rng)
            tables.append(rows.design.X)
            ys.append(rows.y)
            assert rows.weight is not None
            weights.append(rows.weight)
            domains.append(np.repeat(kept.domains, np.diff(rows.design.bounds)))
            skip = rows.design.skip
        n_domains = int(max(kept.domains.max() for kept in self._kept)) + 1
        order, bounds = group_rows(np.concatenate(domains), n_domains)
        X = np.concatenate(tables)
        y, weight = np.concatenate(ys), np.concatenate(weights)
        if order is not None:
            y, weight = y[order], weight[order]
        design = Design(
            X, bounds, order=order, skip=skip, fit_intercept=assembly.fit_intercept
        )
        return RowSums(design, loss, y, weight, Workers())


def _none_of(rows: Any) -> Any:
    return rows.empty if isinstance(rows, RowStream) else rows[:0]


def _spans(stream: RowStream) -> list[tuple[int, int]]:
    """Return lanes of consecutive blocks, about equally many rows in each."""
    rows = np.cumsum([0, *stream.sizes])
    starts = np.array(stream.starts)
    wanted = np.linspace(0, rows[-1], min(stream.most_lanes, len(starts)) + 1)[:-1]
    firsts = starts[np.searchsorted(rows[starts], wanted, side="right") - 1]
    ends = [*np.unique(np.append(firsts, 0)).tolist(), len(stream.sizes)]
    return list(pairwise(ends))


def _merged(spans: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """Return at most so many lanes."""
    size = -(-len(spans) // most)
    groups = [spans[i : i + size] for i in range(0, len(spans), size)]
    return [(group[0][0], group[-1][1]) for group in groups]
