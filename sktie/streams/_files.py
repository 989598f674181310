"""Rows that lie in files, and are read a block at a time."""

from __future__ import annotations

import mmap
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import numpy as np

from sktie._design import MAX_LANES
from sktie._typing import Array

#: A block, and the most rows of one: places of rows in it then need two bytes.
BLOCK_BYTES = 1 << 26
BLOCK_ROWS = 1 << 16
#: Linux maps a whole block at once then (MADV_POPULATE_READ), and not page by page.
POPULATE = 22 if sys.platform == "linux" else None
#: Memory maps up to this size are fitted as arrays in memory are.
MAPPED_BYTES = 1 << 30


class RowStream(ABC):
    """Rows in files, read in blocks and in order: what `open_npy` and others return.

    The linear estimators take one as X in `fit` and in all that predicts, and one of a
    single column as y, ``sample_weight``, ``sample_domain`` or ``sample_exposure``;
    these may be arrays in memory as well.

    Attributes
    ----------
    shape : tuple
        Rows and columns; of a single column the rows alone.
    sizes : list of int
        Rows of each block.
    """

    shape: tuple[int, ...]
    sizes: list[int]
    scratch: Any = None
    most_lanes: int = MAX_LANES

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def blocks(self, first: int = 0, last: int | None = None) -> Iterator[Any]:
        """Yield blocks in order: arrays, or tables of pyarrow.

        Parameters
        ----------
        first, last : int, default=0 and None
            The first block, and the one after the last; None: all that follow.
        """

    @property
    @abstractmethod
    def starts(self) -> list[int]:
        """Blocks at which reading may begin without reading others."""

    @property
    @abstractmethod
    def empty(self) -> Any:
        """No rows, in a container like those of the blocks."""

    @abstractmethod
    def cut_as(self, sizes: list[int]) -> RowStream:
        """Return the same rows in blocks of these sizes."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.ndim > 1:
            raise TypeError(
                f"A stream of shape {self.shape} was about to be read into memory; "
                "expected something that reads blocks, such as the linear estimators "
                "of sktie. Loop over blocks(), or call to_numpy() if it fits."
            )
        return self.to_numpy() if dtype is None else self.to_numpy().astype(dtype)

    def to_numpy(self) -> Array:
        """Return all rows as an array in memory.

        Returns
        -------
        ndarray of shape (n_rows, n_columns) or (n_rows,)
            The rows.
        """
        found: Array = np.concatenate([np.array(block) for block in self.blocks()])
        return found

    def _check_sizes(self, sizes: list[int]) -> None:
        if sum(sizes) != len(self):
            raise ValueError(
                f"X has {sum(sizes)} rows, but {self!r} has {len(self)}; expected as "
                "many, in the same order."
            )


@final
class ArrayStream(RowStream):
    """Rows of arrays one after the other, which may be maps of files.

    Parameters
    ----------
    arrays : list of ndarray
        Of shapes (n, n_columns), or (n,).
    sizes : list of int, optional
        Rows of each block.
    """

    def __init__(self, arrays: Sequence[Array], sizes: list[int] | None = None) -> None:
        self.arrays = list(arrays)
        n_rows = sum(len(array) for array in self.arrays)
        self.shape = (n_rows, *self.arrays[0].shape[1:])
        self.dtype = np.result_type(*self.arrays)
        if sizes is None:
            row_bytes = max(1, int(self.dtype.itemsize * np.prod(self.shape[1:])))
            step = max(1, min(BLOCK_BYTES // row_bytes, BLOCK_ROWS))
            sizes = [
                min(step, len(array) - start)
                for array in self.arrays
                for start in range(0, len(array), step)
            ]
        self.sizes = sizes
        self.store: Any = None

    def __repr__(self) -> str:
        return f"<stream of {len(self.arrays)} arrays, shape {self.shape}>"

    def cut_as(self, sizes: list[int]) -> ArrayStream:
        self._check_sizes(sizes)
        return ArrayStream(self.arrays, sizes)

    @property
    def starts(self) -> list[int]:
        return list(range(len(self.sizes)))

    @property
    def empty(self) -> Array:
        return np.empty((0, *self.shape[1:]), self.dtype)

    def blocks(self, first: int = 0, last: int | None = None) -> Iterator[Array]:
        last = len(self.sizes) if last is None else last
        start = sum(self.sizes[:first])
        for size in self.sizes[first:last]:
            pieces = list(self._pieces(start, start + size))
            for piece in pieces:
                _advise(*piece, POPULATE)
            parts = [array[a:b] for array, a, b in pieces]
            yield parts[0] if len(parts) == 1 else np.concatenate(parts)
            del parts
            for piece in pieces:
                # The system would let go of these pages too, but late: until then
                # other programs lack the memory.
                _advise(*piece, getattr(mmap, "MADV_DONTNEED", None))
            start += size

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[Array, int, int]]:
        """Yield the arrays that hold some rows, and where."""
        for array in self.arrays:
            a, b = max(start, 0), min(stop, len(array))
            if a < b:
                yield array, a, b
            start, stop = start - len(array), stop - len(array)


def _advise(array: Array, start: int, stop: int, advice: int | None) -> None:
    """Tell the system what is about to happen to some rows of a mapped file."""
    mapped: Any = getattr(array, "_mmap", None)
    kept = getattr(array, "mode", None) not in ("r", "r+")  # changes only in memory
    if mapped is None or kept or advice is None or not hasattr(mapped, "madvise"):
        return
    base = np.frombuffer(mapped, np.uint8).ctypes.data
    row, item = array.strides[0], array.dtype.itemsize
    first = array.ctypes.data - base
    spans = []
    if array.flags.c_contiguous:
        spans = [(first + start * row, (stop - start) * row)]
    elif row == item:  # in the order of Fortran: some of each column
        columns = range(array.shape[1])
        spans = [
            (first + j * array.strides[1] + start * row, (stop - start) * row)
            for j in columns
        ]
    for begin, length in spans:
        page = begin - begin % mmap.PAGESIZE
        with suppress(OSError):  # older systems do not know all advice
            mapped.madvise(advice, page, length + begin - page)


def open_npy(path: Any) -> RowStream:
    """Open .npy files as a stream of rows, which is read block by block.

    Parameters
    ----------
    path : str, path, or list of these
        A file, a folder of files, which are taken in the order of their names, or
        files. They hold arrays of numbers with as many columns, or with one dimension
        for targets, weights and domains.

    Returns
    -------
    RowStream
        The rows, for X, y or what goes with them.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or none in the folder.
    ValueError
        If arrays have other columns than the first, or hold objects.

    See Also
    --------
    open_parquet : The same for Parquet files.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sktie import TiedRidge
    >>> from sktie.streams import open_npy
    >>> folder = Path(tempfile.mkdtemp())
    >>> rng = np.random.default_rng(0)
    >>> for part in range(3):
    ...     np.save(folder / f"{part}.npy", rng.normal(size=(100, 4)))
    >>> X = open_npy(folder)
    >>> X.shape
    (300, 4)
    >>> model = TiedRidge().fit(X, X.to_numpy().sum(axis=1))
    >>> print(model.coef_.round(2))
    [1. 1. 1. 1.]
    """
    paths = files_of(path, "*.npy")
    arrays = list(map(_mapped, paths))
    for file, array in zip(paths, arrays, strict=True):
        if array.ndim not in (1, 2) or array.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(
                f"{file} holds an array of shape {array.shape}, and {paths[0]} one of "
                f"shape {arrays[0].shape}; expected one or two dimensions, and as many "
                "columns in all."
            )
    return ArrayStream(arrays)


def _mapped(file: Path) -> Array:
    """Return the array of a .npy file, which is read where it is looked at."""
    try:
        found: Array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"{file} cannot be read in blocks: {error} Expected an array of numbers, "
            "or of strings of fixed length, that numpy.save has written."
        ) from error
    return found


def files_of(path: Any, pattern: str) -> list[Path]:
    """Return the files that a path, or a list of paths, stands for."""
    if isinstance(path, (list, tuple)):
        found = [Path(file) for file in path]
    else:
        folder = Path(path)
        found = sorted(folder.glob(pattern)) if folder.is_dir() else [folder]
    lacking = [str(file) for file in found if not file.is_file()]
    if lacking or not found:
        raise FileNotFoundError(
            f"There is no file {lacking[0]}."
            if lacking
            else f"{path} holds no "
            f"{pattern} files; expected a file, a list of files, or a folder of them."
        )
    return found


def rows_beside(X: RowStream, rows: Any, name: str) -> Any:
    """Return what goes with the rows of a stream, cut alike or an array; None stays."""
    if rows is None:
        return None
    if isinstance(rows, RowStream):
        return rows.cut_as(X.sizes)
    values = np.asarray(rows)
    if values.shape[:1] != (len(X),):
        raise ValueError(
            f"X has {len(X)} rows, but {name} has the shape {values.shape}; expected "
            "one for each row of X, in the same order."
        )
    return values


def along(
    X: RowStream, rows: Any, first: int = 0, last: int | None = None
) -> Iterator[Any]:
    """Yield what goes with some blocks of a stream; see `rows_beside`."""
    if isinstance(rows, RowStream):
        yield from rows.blocks(first, last)
        return
    place = sum(X.sizes[:first])
    for size in X.sizes[first:last]:
        yield None if rows is None else rows[place : place + size]
        place += size


def as_stream(X: Any) -> Any:
    """Return X, a stream where it is a memory map too large to be held."""
    if isinstance(X, np.memmap) and X.ndim == 2 and X.nbytes >= MAPPED_BYTES:
        return ArrayStream([X])
    return X
