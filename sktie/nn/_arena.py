"""Scratch memory that belongs to one call: taken in order, given back all at once.

Fresh arrays of some hundred kilobytes cost more than the arithmetic on them, as the
system hands out, and takes back, their pages every time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sktie._typing import Array

#: Bytes of a cache line, at which every array begins.
ALIGNMENT = 64


class Arena:
    """Arrays of one thread, in one block of memory that grows to what is needed."""

    def __init__(self) -> None:
        self._block = np.empty(0, np.uint8)
        self._used = self._first = 0

    def clear(self) -> None:
        """Give all arrays back; those handed out before must not be used any more."""
        if self._used > self._block.size:
            self._block = np.empty(self._used + ALIGNMENT, np.uint8)
            self._first = -self._block.ctypes.data % ALIGNMENT
        self._used = self._first

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an array of arbitrary content."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        start = self._used
        self._used = start + size + -size % ALIGNMENT
        if self._used > self._block.size:  # It will fit after the next `clear`.
            return np.empty(shape, dtype)
        part: Array = self._block[start : start + size].view(dtype)
        return part.reshape(shape)
