"""Blocks that are chunks of dask collections, and are worked on where they lie."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from sktie._parallel import Workers, workers
from sktie._typing import IntArray
from sktie.streams._blocks import Digest, Given, Kept, Reading, survey
from sktie.streams._parts import Parts, Work

#: Results that are added up at a time, where they were found.
FAN_IN = 8


def is_dask(X: Any) -> bool:
    """Whether X is a dask collection; without dask there are none."""
    dask = sys.modules.get("dask")
    return dask is not None and bool(dask.is_dask_collection(X))


def chunks_of(X: Any, lengths: list[int] | None) -> list[Any]:
    """Return the chunks of rows of a collection, as delayed objects.

    Parameters
    ----------
    X : dask array, data frame or series
        Rows.
    lengths : list of int or None
        Rows of each chunk, where they should be so; None: as they are.
    """
    if not hasattr(X, "chunks"):  # a data frame, or a column of one
        return list(X.to_delayed())
    if X.ndim > 1 and X.numblocks[1] > 1:
        X = X.rechunk({1: -1})
    if lengths is not None and not np.isnan(X.chunks[0]).any():
        X = X.rechunk({0: tuple(lengths)})
    return list(X.to_delayed().ravel())


def lengths_of(X: Any) -> list[int] | None:
    """Return the rows of each chunk, where they are known."""
    if not hasattr(X, "chunks") or np.isnan(X.chunks[0]).any():
        return None
    return list(map(int, X.chunks[0]))


def counted(X: Any) -> list[int]:
    """Return the rows of each chunk; a data frame is looked at to know."""
    known = lengths_of(X)
    if known is not None:
        return known
    if hasattr(X, "chunks"):
        raise ValueError(
            "X is a dask array whose chunks have unknown sizes, and what goes with it "
            "is in memory; expected sizes that are known. Call "
            "X.compute_chunk_sizes() first."
        )
    return list(map(int, X.map_partitions(len).compute()))


def beside(X: Any, rows: Any, name: str) -> list[Any]:
    """Return what goes with each chunk of X: chunks, parts of an array, or None."""
    n_chunks = X.npartitions if not hasattr(X, "chunks") else X.numblocks[0]
    if rows is None:
        return [None] * n_chunks
    if is_dask(rows):
        found = chunks_of(rows, lengths_of(X))
        if len(found) != n_chunks:
            raise ValueError(
                f"{name} has {len(found)} chunks, and X has {n_chunks}; expected the "
                "same partitions. Take both from one data frame, or know the chunks by "
                "compute_chunk_sizes()."
            )
        return found
    sizes = counted(X)
    values = np.asarray(rows)
    if len(values) != sum(sizes):
        raise ValueError(
            f"X has {sum(sizes)} rows, but {name} has {len(values)}; expected one for "
            "each row of X, in the same order."
        )
    return np.split(values, np.cumsum(sizes)[:-1])


def none_of(rows: Any) -> Any:
    """Return no rows, in a container like those of the chunks."""
    if rows is None or not is_dask(rows):
        return None if rows is None else np.asarray(rows)[:0]
    if hasattr(rows, "chunks"):
        return np.empty((0, *rows.shape[1:]), rows.dtype)
    return rows._meta


class DaskParts(Parts):
    """Chunks of dask collections.

    What is sent out for a pass are the parameters; what comes back are sums, added up
    where the chunks are, in a tree that depends on their number alone. Chunks that are
    not persisted are computed anew in every pass; of those that are lost with a worker
    the scheduler does the same.

    Parameters
    ----------
    given : Given
        X is a dask array or data frame; the others are collections of as many chunks,
        arrays in memory, or None.
    """

    def __init__(self, given: Given) -> None:
        from dask import delayed

        X = given.X
        parts = [chunks_of(X, None)]
        for name, rows in zip(given._fields[1:], given[1:], strict=True):
            parts.append(beside(X, rows, name))
        self._chunks = list(zip(*parts, strict=True))
        self.empty = Given(*map(none_of, given))
        self._kept: list[Any] = []
        self._delayed = delayed

    def survey(
        self, reading: Reading, workers: Workers
    ) -> tuple[Reading, list[Digest]]:
        import dask

        look = self._delayed(_survey, pure=False)
        pairs = dask.persist(*(look(reading, *chunk) for chunk in self._chunks))
        first, second = (self._delayed(_item, pure=False) for _ in range(2))
        self._kept = [first(pair, 0) for pair in pairs]
        return reading, list(dask.compute(*(second(pair, 1) for pair in pairs)))

    def number(self, maps: list[tuple[IntArray, IntArray | None]]) -> None:
        import dask

        number = self._delayed(_numbered, pure=False)
        self._kept = list(
            dask.persist(
                *(number(kept, own) for kept, own in zip(self._kept, maps, strict=True))
            )
        )

    def total(self, work: Work, n_domains: int, workers: Workers) -> Any:
        run = self._delayed(_run, pure=False)
        add = self._delayed(_added, pure=False)
        # Sent once to each worker, not once for each chunk.
        task = self._delayed(work, traverse=False)
        level = [
            run(task, kept, *chunk)
            for kept, chunk in zip(self._kept, self._chunks, strict=True)
        ]
        while len(level) > 1:
            groups = range(0, len(level), FAN_IN)
            level = [add(task, level[i : i + FAN_IN]) for i in groups]
        domains, found = level[0].compute()
        whole = work.totals(np.arange(n_domains))
        whole.add(domains, found)
        return whole.found


def _survey(reading: Reading, *chunk: Any) -> tuple[Kept, Digest]:
    return survey(reading, Given(*chunk))


def _item(pair: Any, place: int) -> Any:
    return pair[place]


def _numbered(kept: Kept, own: Any) -> Kept:
    return kept.numbered(*own)


def _run(work: Work, kept: Kept, *chunk: Any) -> tuple[IntArray, Any]:
    with workers(1, 1):  # dask's own threads are enough
        return kept.domains, work(Given(*chunk), kept)


def _added(work: Work, parts: list[tuple[IntArray, Any]]) -> tuple[IntArray, Any]:
    """Return what some chunks add up to, for the domains that they have."""
    domains = np.unique(np.concatenate([own for own, _ in parts]))
    totals = work.totals(domains)
    for own, found in parts:
        totals.add(own, found)
    return domains, totals.found
