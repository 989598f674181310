"""Scratch memory that belongs to one call, and the work on it that is done repeatedly.

Fresh arrays of some hundred kilobytes cost more than the arithmetic on them, as the
system hands out, and takes back, their pages every time. And for few images Python
takes longer to say what NumPy shall do than NumPy takes to do it. So memory is taken in
order and given back all at once; and what is done to it can be noted down, and be done
again to the same memory with other content.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from sktie._typing import Array

#: Work on given arrays.
Calls: TypeAlias = list[Callable[[], object]]
#: Bytes of a cache line, at which every array begins.
ALIGNMENT = 64


class Arena:
    """Arrays of one thread, in one block of memory that grows to what is needed."""

    def __init__(self) -> None:
        self._block = np.empty(0, np.uint8)
        self._used = 0
        self._notes: Calls | None = None
        self._constants: Calls = []

    def clear(self) -> None:
        """Give all arrays back; those handed out before must not be used any more."""
        if self.outgrown:
            self._block = _aligned(self._used)
        self._used = 0

    @property
    def outgrown(self) -> bool:
        """Whether arrays lie outside the block, until the next `clear`."""
        return self._used > self._block.size

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an array of arbitrary content."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        start = self._used
        self._used = start + size + -size % ALIGNMENT
        if self.outgrown:
            block, start = _aligned(size), 0
        else:
            block = self._block
        part: Array = block[start : start + size].view(dtype)
        return part.reshape(shape)

    def call(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Call a function that writes into arrays; or note it down to be called."""
        if self._notes is None:
            function(*args, **kwargs)
        else:
            self._notes.append(partial(function, *args, **kwargs))

    def constant(self, array: Array, value: Any) -> None:
        """Fill an array that nothing else writes to, which once is enough for."""
        if array.size == 0:
            return
        if self._notes is None:
            np.copyto(array, value)
        else:
            self._constants.append(partial(np.copyto, array, value))

    @contextmanager
    def noting(self, constants: Calls) -> Iterator[Calls]:
        """Note down what is called, instead of calling it; and constants apart."""
        self._notes, self._constants = [], constants
        try:
            yield self._notes
        finally:
            self._notes = None


def _aligned(size: int) -> Array:
    """Return so many bytes, from the beginning of a cache line on."""
    block = np.empty(size + ALIGNMENT, np.uint8)
    first = -block.ctypes.data % ALIGNMENT
    return block[first : first + size]
