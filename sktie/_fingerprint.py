"""Digests of what a computation depends on, the same in every process."""

from __future__ import annotations

import copyreg
import types
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
import scipy.sparse as sp

#: Bytes of a digest: two of 2**64 things would be taken for one another.
SIZE = 16


def fingerprint(*things: Any) -> str:
    """Return a word that differs where any of the things does.

    Arrays count by dtype, shape and content, functions by name and code (and what they
    enclose, but not what they call), other objects by what a copy would be made from;
    generators are used up, part by part.
    """
    return _digest(things, ()).hex()


def _digest(thing: Any, above: tuple[int, ...]) -> bytes:
    """Return the digest of one thing, found inside of others."""
    if id(thing) in above:  # A thing that holds itself.
        return _hash("above", len(above) - above.index(id(thing)))
    kind = type(thing)
    if thing is None or kind in (bool, int, float, complex, str, bytes):
        return _hash(kind.__name__, repr(thing))
    if isinstance(thing, np.generic):
        return _hash(kind.__name__, repr(thing.item()))
    if isinstance(thing, np.ndarray) and not thing.dtype.hasobject:
        return _of_array(thing)
    parts = _parts(thing)
    inside = (*above, id(thing))
    digests = [_digest(part, inside) for part in parts]
    if isinstance(thing, set | frozenset | dict):
        digests.sort()
    return _hash(kind.__name__, *digests)


def _hash(*parts: Any) -> bytes:
    found = blake2b(digest_size=SIZE)
    for part in parts:
        text = part if isinstance(part, bytes) else str(part).encode()
        found.update(len(text).to_bytes(8, "little") + text)
    return found.digest()


def _of_array(array: Any) -> bytes:
    numbers = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    content = blake2b(numbers.data, digest_size=SIZE).digest()
    return _hash("array", array.dtype.str, array.shape, content)


def _parts(thing: Any) -> Any:
    """Return what a thing consists of; the order of sets and dicts does not matter."""
    if isinstance(thing, dict):
        return thing.items()
    if isinstance(thing, tuple | list | set | frozenset | Iterator):
        return thing
    if isinstance(thing, np.ndarray):
        return thing.shape, thing.ravel().tolist()
    if sp.issparse(thing):
        rows = thing.tocsr()
        return rows.shape, rows.data, rows.indices, rows.indptr
    if isinstance(thing, type | types.BuiltinFunctionType):
        return thing.__module__, thing.__qualname__
    if isinstance(thing, types.MethodType):
        return thing.__self__, thing.__func__
    if isinstance(thing, types.CodeType):
        return thing.co_name, thing.co_code, thing.co_consts, thing.co_names
    if isinstance(thing, types.FunctionType):
        enclosed = [cell.cell_contents for cell in thing.__closure__ or ()]
        defaults = thing.__defaults__, thing.__kwdefaults__
        return thing.__module__, thing.__qualname__, thing.__code__, enclosed, defaults
    try:
        reduce = copyreg.dispatch_table.get(type(thing))
        return thing.__reduce_ex__(4) if reduce is None else reduce(thing)
    except TypeError:
        raise TypeError(
            f"{thing!r} cannot be told from others of its kind in another process, as "
            "checkpoint= needs. Expected numbers, words, arrays, functions, estimators "
            "or what copy.copy copies. Give another, or set checkpoint=None."
        ) from None
