"""Blocks that are chunks of dask collections, and are worked on where they lie."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from itertools import compress
from math import inf
from operator import getitem
from typing import Any
from uuid import uuid4

import numpy as np

from sktie._compat import n_samples_of
from sktie._loss import Loss
from sktie._parallel import Workers, workers
from sktie._row_sums import RowSums
from sktie._typing import IntArray
from sktie.streams._blocks import NAMES, Assembly, Digest, Given, Kept, Reading, survey
from sktie.streams._parts import Draw, Parts, Work

#: From which size of a graph a client warns. Parameters may be large.
WARN_FROM = "distributed.admin.large-graph-warning-threshold"
NEVER = 1 << 62
#: Results that are added up at a time, where they were found.
FAN_IN = 8


def is_dask(X: Any) -> bool:
    """Whether X is a dask collection; without dask there are none."""
    dask = sys.modules.get("dask")
    return dask is not None and bool(dask.is_dask_collection(X))


def check_collection(X: Any, name: str) -> None:
    """Check that a dask collection is one of rows."""
    from dask.delayed import Delayed

    if isinstance(X, Delayed) or not hasattr(X, "ndim"):
        raise TypeError(
            f"{name} is a dask {type(X).__name__}; expected a dask array or data "
            "frame. Make one by dask.array.from_delayed or to_dataframe()."
        )


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
        # Optimised no further, by which small partitions are joined: of few columns
        # more of them than of all.
        return list(X.simplify().to_delayed(optimize_graph=False))
    if X.numblocks[1:] != (1,) * (X.ndim - 1):
        X = X.rechunk(dict.fromkeys(range(1, X.ndim), -1))
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
    graph = Graph(chunks := chunks_of(X, None))
    return list(map(int, graph.compute([graph.task(len, own) for own in chunks])))


def beside(X: Any, rows: Any, name: str) -> list[Any]:
    """Return what goes with each chunk of X: chunks, parts of an array, or None."""
    n_chunks = X.npartitions if not hasattr(X, "chunks") else X.numblocks[0]
    if rows is None:
        return [None] * n_chunks
    if is_dask(rows):
        check_collection(rows, name)
        sizes, own = lengths_of(X), lengths_of(rows)
        if sizes is not None and own is not None:
            _check_lengths(sum(sizes), sum(own), name)
        found = chunks_of(rows, sizes)
        if len(found) != n_chunks:
            raise ValueError(
                f"{name} has {len(found)} chunks, and X has {n_chunks}; expected the "
                "same partitions. Take both from one data frame, or know the chunks by "
                "compute_chunk_sizes()."
            )
        return found
    sizes, values = counted(X), np.asarray(rows)
    _check_lengths(sum(sizes), len(values), name)
    import dask

    parts = np.split(values, np.cumsum(sizes)[:-1])
    # Sent to the workers now, and not again in each pass.
    return list(dask.persist(*map(dask.delayed, parts)))


def _check_lengths(n_rows: int, n_given: int, name: str) -> None:
    if n_given != n_rows:
        raise ValueError(
            f"X has {n_rows} rows, but {name} has {n_given}; expected one for each row "
            "of X, in the same order."
        )


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
    the scheduler does the same. Chunks without rows are left out.

    Parameters
    ----------
    given : Given
        X is a dask array or data frame; the others are collections of as many chunks,
        arrays in memory, or None.
    """

    sample_bytes = inf  # which lie where the chunks do

    def __init__(self, given: Given) -> None:
        check_collection(given.X, "X")
        parts = [chunks_of(given.X, None)]
        for name, rows in zip(NAMES[1:], given[1:], strict=True):
            parts.append(beside(given.X, rows, name))
        self._chunks = list(zip(*parts, strict=True))
        self.empty = Given(*map(none_of, given))
        self._graph = Graph()

    def survey(
        self, reading: Reading, workers: Workers
    ) -> tuple[Reading, list[Digest]]:
        graph = Graph(part for chunk in self._chunks for part in chunk)
        look = graph.constant(reading)
        pairs = graph.persist(
            [graph.task(_survey, look, *chunk) for chunk in self._chunks], quiet=False
        )
        graph = Graph(pairs)
        digests = graph.compute([graph.task(getitem, pair, 1) for pair in pairs])
        held = [digest is not None for digest in digests]
        if not any(held):
            raise ValueError(
                "X has no rows, in any of its chunks; expected some. Look at what was "
                "filtered."
            )
        self._chunks = list(compress(self._chunks, held))
        self._pairs = list(compress(pairs, held))
        return reading, [digest for digest in digests if digest is not None]

    def number(self, maps: list[tuple[IntArray, IntArray | None]]) -> None:
        graph = Graph(self._pairs)
        kept = graph.persist(
            [
                graph.task(_numbered, pair, graph.constant(own))
                for pair, own in zip(self._pairs, maps, strict=True)
            ]
        )
        del self._pairs
        self._arrange(_run, list(zip(kept, self._chunks, strict=True)))

    def _arrange(self, run: Any, blocks: list[tuple[Any, tuple[Any, ...]]]) -> None:
        """Keep what a pass takes: a function, and for each block its arguments."""
        self._visit, self._blocks = run, blocks
        self._graph = Graph([part for kept, chunk in blocks for part in (kept, *chunk)])

    def total(self, work: Work, n_domains: int, workers: Workers) -> Any:
        graph = self._graph.copy()
        task = graph.constant(work)
        level = [
            graph.task(self._visit, task, kept, *chunk) for kept, chunk in self._blocks
        ]
        while len(level) > 1:
            groups = range(0, len(level), FAN_IN)
            level = [graph.task(_added, task, *level[i : i + FAN_IN]) for i in groups]
        ((domains, found),) = graph.compute(level)
        whole = work.totals(np.arange(n_domains))
        whole.add(domains, found)
        return whole.found

    def sample(
        self, assembly: Assembly, loss: Loss, target: int, counts: IntArray, stride: int
    ) -> DaskParts:
        graph = self._graph.copy()
        draw = graph.constant(Draw(assembly, loss, target, counts, stride))
        rows = graph.persist(
            [
                graph.task(_drawn, draw, place, kept, *chunk)
                for place, (kept, chunk) in enumerate(self._blocks)
            ]
        )
        found = copy(self)
        kept = [kept for kept, _ in self._blocks]
        found._arrange(_run_drawn, list(zip(kept, zip(rows), strict=True)))
        return found


class Graph:
    """Tasks on delayed objects, in one layer: far faster than one object for each.

    Parameters
    ----------
    inputs : iterable of Delayed
        What tasks may be given as arguments; others among them are ignored.
    """

    def __init__(self, inputs: Iterable[Any] = ()) -> None:
        from dask.highlevelgraph import HighLevelGraph

        graphs = [part.dask for part in inputs if is_dask(part)]
        self._inputs = HighLevelGraph.merge(*graphs)
        self._tasks: dict[str, Any] = {}
        self._token = uuid4().hex

    def copy(self) -> Graph:
        """Return a graph of the same inputs without tasks."""
        found = copy(self)
        found._tasks, found._token = {}, uuid4().hex
        return found

    def constant(self, value: Any) -> Any:
        """Add what many tasks are given: sent once to a worker, not for each task."""
        return self.task(_Constant(value))

    def task(self, function: Any, *arguments: Any) -> Any:
        """Add a call, and return what stands for its result.

        Arguments are values, results, or delayed objects.
        """
        from dask._task_spec import Task, TaskRef

        name = getattr(function, "__name__", "constant").strip("_")
        key = f"sktie_{name}-{self._token}-{len(self._tasks)}"
        own = (TaskRef(part.key) if is_dask(part) else part for part in arguments)
        self._tasks[key] = Task(key, function, *own)
        return TaskRef(key)

    def _delayed(self, results: list[Any]) -> list[Any]:
        from dask.delayed import Delayed
        from dask.highlevelgraph import HighLevelGraph

        name, inputs = f"sktie-{self._token}", self._inputs
        graph = HighLevelGraph(
            {**inputs.layers, name: self._tasks},
            {**inputs.dependencies, name: set(inputs.layers)},
        )
        return [Delayed(result.key, graph, layer=name) for result in results]

    def compute(self, results: list[Any], quiet: bool = True) -> list[Any]:
        """Return some results.

        Unless quiet, the client may warn of what the user has put into the graph.
        """
        import dask

        with dask.config.set({WARN_FROM: NEVER} if quiet else {}):
            return list(dask.compute(*self._delayed(results)))

    def persist(self, results: list[Any], quiet: bool = True) -> list[Any]:
        """Find some results, and return delayed objects of them, where they are."""
        import dask

        with dask.config.set({WARN_FROM: NEVER} if quiet else {}):
            return list(dask.persist(*self._delayed(results)))

    def kept(self, result: Any) -> Any:
        """Find a result, and return it as it stays where it is, once it is there."""
        (found,) = self.persist([result])
        graph = Graph([found])
        graph.compute([graph.task(_nothing, found)])
        return found


def _nothing(value: Any) -> None:
    """Return nothing, after a value has been found."""


@dataclass(frozen=True)
class _Constant:
    """A function that returns a value, whatever that is."""

    value: Any

    def __call__(self) -> Any:
        return self.value


def _survey(reading: Reading, *chunk: Any) -> tuple[Kept, Digest] | tuple[None, None]:
    if not any(n_samples_of(rows) for rows in chunk if rows is not None):
        return None, None
    return survey(reading, Given(*chunk))


def _numbered(pair: tuple[Kept, Digest], own: Any) -> Kept:
    return pair[0].numbered(*own)


def _run(work: Work, kept: Kept, *chunk: Any) -> tuple[IntArray, Any]:
    with workers(1, 1):  # dask's own threads are enough
        return kept.domains, work(Given(*chunk), kept)


def _drawn(draw: Draw, place: int, kept: Kept, *chunk: Any) -> RowSums:
    return draw(Given(*chunk), kept, np.random.default_rng([0, place]))


def _run_drawn(work: Any, kept: Kept, rows: RowSums) -> tuple[IntArray, Any]:
    with workers(1, 1):
        return kept.domains, work.of(rows, kept.domains)


def _added(work: Work, *parts: tuple[IntArray, Any]) -> tuple[IntArray, Any]:
    """Return what some chunks add up to, for the domains that they have."""
    domains = np.unique(np.concatenate([own for own, _ in parts]))
    totals = work.totals(domains)
    for own, found in parts:
        totals.add(own, found)
    return domains, totals.found
