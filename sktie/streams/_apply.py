"""Methods that look at one row at a time, on rows in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import check_is_fitted

from sktie._compat import n_samples_of
from sktie._typing import Array
from sktie.streams._dask import (
    Graph,
    beside,
    check_collection,
    chunks_of,
    is_dask,
    lengths_of,
)
from sktie.streams._files import RowStream, along, as_stream, rows_beside

Method = TypeVar("Method", bound=Callable[..., Any])


def is_parted(X: Any) -> bool:
    """Whether X is rows in blocks: a stream or a dask collection."""
    return isinstance(X, RowStream) or is_dask(X)


def at_hand(values: Any) -> Any:
    """Return one value of each row as an array in memory, wherever they were."""
    return np.asarray(values) if is_parted(values) else values


def check_at_hand(
    X: Any, who: str, remedy: str = "Give it a sample of the rows."
) -> None:
    """Check that rows are in memory, for what needs all of them there."""
    if is_parted(X):
        kind = f"{type(X).__module__.partition('.')[0]} {type(X).__name__}"
        raise ValueError(
            f"{who} needs all rows at hand, and X comes in blocks ({kind}). {remedy}"
        )


def by_blocks(like: Callable[[Any], Array]) -> Callable[[Method], Method]:
    """Let a method take rows in blocks, and return what it returns of each.

    Of streams that is one array in memory, of dask collections a dask array that is
    not computed yet.

    Parameters
    ----------
    like : callable
        Takes the estimator; returns an array without rows, of the dtype and shape that
        the method returns.
    """

    def decorate(method: Method) -> Method:
        @wraps(method)
        def wrapped(self: Any, X: Any, **beside_it: Any) -> Any:
            X = as_stream(X)
            if not is_parted(X):
                return method(self, X, **beside_it)
            check_is_fitted(self)
            run = _of_stream if isinstance(X, RowStream) else _of_dask
            return run(self, method, X, beside_it, like(self))

        return cast(Method, wrapped)

    return decorate


def in_batches(method: Method) -> Method:
    """Let a method that learns from some rows at a time take rows in blocks.

    It is called with each block, in order, and the result is the same bit by bit.
    Chunks of dask collections are no rows that come here: the model goes where each
    chunk is. After an error in any block the model is as it was.
    """
    named = signature(method)

    @wraps(method)
    def wrapped(self: Any, X: Any, *args: Any, **options: Any) -> Any:
        if not is_parted(X):
            return method(self, X, *args, **options)
        given = dict(named.bind(self, X, *args, **options).arguments)
        given = {name: given[name] for name in list(given)[2:]}
        rows = {name: given.pop(name) for name in BESIDE if name in given}
        step = _Step(method.__name__, tuple(rows), given)
        run = _through_stream if isinstance(X, RowStream) else _through_dask
        _become(self, run(self, step, X, rows, None))
        return self

    return cast(Method, wrapped)


class Sampled(NamedTuple):
    """What is done with a sample of all blocks, before and after they are visited.

    Attributes
    ----------
    draw : callable
        Takes the number of a block, how many there are, its rows and what goes with
        them; returns some of them.
    begin, end : callable
        Take a copy of the estimator and what all blocks gave; return the estimator.
    """

    draw: Callable[..., Any]
    begin: Callable[[Any, list[Any]], Any]
    end: Callable[[Any, list[Any]], Any]


def learn_in_turn(
    estimator: Any, X: Any, rows: dict[str, Any], method: str, sampled: Sampled
) -> None:
    """Let an estimator learn from a sample, then from block after block by a method."""
    step = _Step(method, tuple(rows), {})
    run = _through_stream if isinstance(X, RowStream) else _through_dask
    _become(estimator, run(estimator, step, X, rows, sampled))


#: Chunks that are there, or on their way, while a model goes through them.
IN_FLIGHT = 8
#: What holds one value for each row, by the names of parameters.
BESIDE = ("y", "sample_weight", "sample_domain")


@dataclass(frozen=True)
class _Step:
    """A call with one block: the method, what goes with rows, and its other options."""

    method: str
    names: tuple[str, ...]
    options: dict[str, Any]

    def __call__(self, estimator: Any, X: Any, *beside_it: Any) -> Any:
        if n_samples_of(X) == 0:
            return estimator
        # Of a copy: a task may be run again, if its worker is lost.
        estimator = deepcopy(estimator)
        rows = dict(zip(self.names, beside_it, strict=True))
        return getattr(estimator, self.method)(X, **rows, **self.options)


def _through_stream(
    estimator: Any,
    step: _Step,
    X: RowStream,
    rows: dict[str, Any],
    sampled: Sampled | None,
) -> Any:
    rows = {name: rows_beside(X, own, name) for name, own in rows.items()}

    def blocks() -> Iterator[Any]:
        columns = (along(X, values) for values in rows.values())
        return zip(X.blocks(), *columns, strict=True)

    if sampled is None:
        for block in blocks():
            estimator = step(estimator, *block)
        return estimator
    n_blocks = len(X.sizes)
    sample = [sampled.draw(i, n_blocks, *block) for i, block in enumerate(blocks())]
    estimator = sampled.begin(deepcopy(estimator), sample)
    return sampled.end(_through_stream(estimator, step, X, rows, None), sample)


def _through_dask(
    estimator: Any,
    step: _Step,
    X: Any,
    rows: dict[str, Any],
    sampled: Sampled | None,
) -> Any:
    check_collection(X, "X")
    columns = [chunks_of(X, None)]
    columns += [beside(X, values, name) for name, values in rows.items()]
    chunks = list(zip(*columns, strict=True))
    graph, model, sample = Graph(), estimator, None
    if sampled is not None:
        graph = Graph(part for chunk in chunks for part in chunk)
        parts = (
            graph.task(sampled.draw, place, len(chunks), *chunk)
            for place, chunk in enumerate(chunks)
        )
        (sample,) = graph.persist([graph.task(_listed, *parts)])
        graph = Graph([sample])
        start = graph.constant(estimator)
        model = graph.kept(graph.task(_copied, sampled.begin, start, sample))
    for first in range(0, len(chunks), IN_FLIGHT):
        some = chunks[first : first + IN_FLIGHT]
        graph = Graph(part for chunk in [*some, (model,)] for part in chunk)
        run = graph.constant(step)
        model = model if is_dask(model) else graph.constant(model)
        for chunk in some:
            model = graph.task(_called, run, model, *chunk)
        model = graph.kept(model)
    graph = Graph([model, sample])
    if sampled is not None:
        model = graph.task(_copied, sampled.end, model, sample)
    else:
        model = graph.task(_same, model)
    return graph.compute([model])[0]


def _same(value: Any) -> Any:
    return value


def _called(function: Any, *arguments: Any) -> Any:
    return function(*arguments)


def _copied(function: Any, estimator: Any, sample: list[Any]) -> Any:
    return function(deepcopy(estimator), sample)


def _listed(*parts: Any) -> list[Any]:
    return list(parts)


def _become(estimator: Any, trained: Any) -> None:
    """Take over what another has learnt, which has the same parameters."""
    own = set(estimator.get_params(deep=False))
    for name in set(vars(estimator)) - set(vars(trained)) - own:
        delattr(estimator, name)
    for name in set(vars(trained)) - own:
        setattr(estimator, name, getattr(trained, name))


def _of_stream(
    estimator: Any, method: Any, X: RowStream, beside_it: dict[str, Any], like: Array
) -> Array:
    """Return the results of all blocks in one array."""
    found = [like]
    columns = [along(X, rows_beside(X, rows, name)) for name, rows in beside_it.items()]
    for block, *own in zip(X.blocks(), *columns, strict=True):
        rows = dict(zip(beside_it, own, strict=True))
        found.append(_like(method(estimator, block, **rows), like))
    return sp.vstack(found, "csr") if sp.issparse(like) else np.concatenate(found)


def _of_dask(
    estimator: Any, method: Any, X: Any, beside_it: dict[str, Any], like: Array
) -> Any:
    """Return a dask array of the results."""
    import dask.array as da
    from dask import delayed

    call = delayed(_call, pure=False)
    # Sent once to each worker, not once for each chunk.
    model = delayed(estimator, traverse=False)
    check_collection(X, "X")
    chunks, sizes = chunks_of(X, None), lengths_of(X)
    columns = {name: beside(X, rows, name) for name, rows in beside_it.items()}
    found = []
    for place, chunk in enumerate(chunks):
        own = {name: column[place] for name, column in columns.items()}
        n_rows = np.nan if sizes is None else sizes[place]
        found.append(
            da.from_delayed(
                call(model, method.__name__, chunk, own, like),
                shape=(n_rows, *like.shape[1:]),
                meta=like,
            )
        )
    return da.concatenate(found)


def _call(
    estimator: Any, name: str, X: Any, beside_it: dict[str, Any], like: Array
) -> Array:
    if n_samples_of(X) == 0:
        return like
    return _like(getattr(estimator, name)(X, **beside_it), like)


def _like(found: Array, like: Array) -> Array:
    """Return what a block gave in the dtype of all."""
    return found if like.dtype.kind in "OU" else found.astype(like.dtype, copy=False)
