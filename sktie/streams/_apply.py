"""Methods that look at one row at a time, on rows in blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from sktie._typing import Array
from sktie.streams._dask import beside, chunks_of, is_dask, lengths_of
from sktie.streams._files import RowStream, as_stream

Method = TypeVar("Method", bound=Callable[..., Any])


def is_parted(X: Any) -> bool:
    """Whether X is rows in blocks: a stream or a dask collection."""
    return isinstance(X, RowStream) or is_dask(X)


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
            run = _of_stream if isinstance(X, RowStream) else _of_dask
            return run(self, method, X, beside_it, like(self))

        return cast(Method, wrapped)

    return decorate


def _of_stream(
    estimator: Any, method: Any, X: RowStream, beside_it: dict[str, Any], like: Array
) -> Array:
    """Return the results of all blocks in one array."""
    found, start = [like], 0
    for block, size in zip(X.blocks(), X.sizes, strict=True):
        own = {
            name: None if rows is None else np.asarray(rows)[start : start + size]
            for name, rows in beside_it.items()
        }
        found.append(method(estimator, block, **own))
        start += size
    return np.concatenate(found)


def _of_dask(
    estimator: Any, method: Any, X: Any, beside_it: dict[str, Any], like: Array
) -> Any:
    """Return a dask array of the results."""
    import dask.array as da
    from dask import delayed

    call = delayed(_call, pure=False)
    # Sent once to each worker, not once for each chunk.
    model = delayed(estimator, traverse=False)
    chunks, sizes = chunks_of(X, None), lengths_of(X)
    columns = {name: beside(X, rows, name) for name, rows in beside_it.items()}
    found = []
    for place, chunk in enumerate(chunks):
        own = {name: column[place] for name, column in columns.items()}
        n_rows = np.nan if sizes is None else sizes[place]
        found.append(
            da.from_delayed(
                call(model, method.__name__, chunk, own),
                shape=(n_rows, *like.shape[1:]),
                dtype=like.dtype,
            )
        )
    return da.concatenate(found)


def _call(estimator: Any, name: str, X: Any, beside_it: dict[str, Any]) -> Array:
    found: Array = getattr(estimator, name)(X, **beside_it)
    return found
