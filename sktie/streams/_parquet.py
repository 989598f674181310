"""Rows in Parquet files, which pyarrow decodes a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import numpy as np

from sktie.streams._files import BLOCK_ROWS, ArrayStream, RowStream, files_of

#: A block, of which copies are made; and how many may be decoded at a time: each column
#: that is being read holds a page or two.
TABLE_BYTES = 1 << 23
TABLE_LANES = 2


@final
class ParquetStream(RowStream):
    """Rows of Parquet files one after the other.

    Parameters
    ----------
    paths : list of Path
        The files.
    columns : list of str, or str
        Names of columns; a single one as a string makes a stream of one dimension.
    groups : list of (int, int, int)
        Of each row group the file, its number there, and its rows.
    step : int
        Rows of a block.
    schema : pyarrow.Schema
        Types of all columns.
    scratch : str, path or None
        A folder for decoded rows.
    """

    most_lanes = TABLE_LANES

    def __init__(
        self,
        paths: list[Path],
        columns: list[str] | str,
        groups: list[tuple[int, int, int]],
        step: int,
        schema: Any,
        scratch: Any = None,
    ) -> None:
        self.paths, self._columns, self._schema = paths, columns, schema
        self.scratch = scratch
        self._groups, self._step = groups, step
        n_rows = sum(rows for _, _, rows in groups)
        one = isinstance(columns, str)
        self.shape = (n_rows,) if one else (n_rows, len(columns))
        self.sizes, self._starts, self._group_of = [], [], []
        for place, (_, _, rows) in enumerate(groups):
            self._starts.append(len(self.sizes))
            own = [min(step, rows - start) for start in range(0, rows, step)]
            self.sizes += own
            self._group_of += [place] * len(own)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        one = isinstance(self._columns, str)
        return [self._columns] if one else list(self._columns)  # type: ignore[list-item]

    def __repr__(self) -> str:
        return (
            f"<stream of {len(self.paths)} Parquet files, shape {self.shape}, columns "
            f"{', '.join(self.columns[:6])}{', ...' if len(self.columns) > 6 else ''}>"
        )

    def __getitem__(self, columns: Any) -> ParquetStream:
        """Return some columns: a list of names, or one name for a single column."""
        names = [columns] if isinstance(columns, str) else columns
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise TypeError(
                "A stream is read in order and has no rows by number; expected the "
                "name of a column, or a list of names."
            )
        unknown = [name for name in names if name not in self.columns]
        if unknown:
            raise KeyError(f"{unknown} are no columns; there are {self.columns}.")
        return ParquetStream(
            self.paths,
            columns,
            self._groups,
            self._step,
            self._schema,
            self.scratch,
        )

    def drop(self, columns: str | list[str]) -> ParquetStream:
        """Return all columns but some.

        Parameters
        ----------
        columns : str or list of str
            Names.

        Returns
        -------
        RowStream
            The others, in their order.
        """
        left = set([columns] if isinstance(columns, str) else columns)
        self[list(left)]  # are all there
        return self[[name for name in self.columns if name not in left]]

    def cut_as(self, sizes: list[int]) -> RowStream:
        self._check_sizes(sizes)
        if sizes == self.sizes:
            return self
        if self.ndim == 1:
            return ArrayStream([self.to_numpy()], sizes)
        raise ValueError(
            f"{self!r} has other row groups than X; expected columns of the same "
            "files. Open them together, and take columns by name."
        )

    @property
    def starts(self) -> list[int]:
        return self._starts

    @property
    def empty(self) -> Any:
        found = self._schema.empty_table().select(self.columns)
        return np.array(found[self._columns]) if self.ndim == 1 else found

    def blocks(self, first: int = 0, last: int | None = None) -> Iterator[Any]:
        last = len(self.sizes) if last is None else last
        place = first
        while place < last:
            group = self._group_of[place]
            begin = self._starts[group]
            for at, block in enumerate(self._blocks_of(group), begin):
                if place <= at < last:
                    yield np.asarray(block.column(0)) if self.ndim == 1 else block
            place = begin + -(-self._groups[group][2] // self._step)

    def _blocks_of(self, group: int) -> Iterator[Any]:
        """Yield the blocks of a row group, as tables."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        file, number, rows = self._groups[group]
        # Piece by piece: otherwise all of the group is read before the first batch.
        how = {"pre_buffer": False, "buffer_size": 1 << 16}
        with pq.ParquetFile(self.paths[file], **how) as source:
            batches = source.iter_batches(
                self._step, [number], columns=self.columns, use_threads=False
            )
            held, n_held, left = [], 0, rows
            for batch in batches:
                held.append(batch)
                n_held += len(batch)
                while n_held and n_held >= min(self._step, left):
                    table = pa.Table.from_batches(held)
                    size = min(self._step, left)
                    # In the order of the names, whatever that of the file is.
                    yield table.slice(0, size).select(self.columns)
                    held, n_held = table.slice(size).to_batches(), n_held - size
                    left -= size
                    del table
        pa.default_memory_pool().release_unused()


def open_parquet(
    path: Any, columns: list[str] | str | None = None, *, scratch: Any = None
) -> RowStream:
    """Open Parquet files as a stream of rows, which is read block by block.

    Parameters
    ----------
    path : str, path, or list of these
        A file, a folder of files, which are taken in the order of their names, or
        files. They have the same columns.
    columns : list of str, or str, default=None
        Names of columns; None: all. A single name makes a stream of one dimension.
    scratch : str or path, default=None
        A folder in which a fit may keep decoded rows until it ends, 8 bytes for each
        number, or 4. Without one every pass decodes the files anew, which takes a few
        times as long.

    Returns
    -------
    RowStream
        The rows; ``stream["name"]``, ``stream[["a", "b"]]`` and ``stream.drop("name")``
        are some of its columns, for X, y and what goes with them.

    Raises
    ------
    ImportError
        Without pyarrow: ``pip install "sktie[parquet]"``.
    FileNotFoundError
        If there is no such file, or none in the folder.
    ValueError
        If a file has other columns than the first.

    See Also
    --------
    open_npy : The same for .npy files, which are read faster.

    Notes
    -----
    A row group is decoded piece by piece, so that large ones are no burden.

    Examples
    --------
    >>> from sktie import TiedLogisticRegression
    >>> from sktie.streams import open_parquet
    >>> rows = open_parquet("visits/")  # doctest: +SKIP
    >>> model = TiedLogisticRegression(pair="hospital")  # doctest: +SKIP
    >>> model.fit(rows.drop("ill"), rows["ill"])  # doctest: +SKIP
    """
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError(
            'Reading Parquet files needs pyarrow: pip install "sktie[parquet]".'
        ) from error
    paths = files_of(path, "*.parquet")
    groups, schema = [], None
    for number, file in enumerate(paths):
        with pq.ParquetFile(file) as source:
            if schema is None:
                schema = source.schema_arrow
            if source.schema_arrow.names != schema.names:
                raise ValueError(
                    f"{file} has the columns {source.schema_arrow.names}, and "
                    f"{paths[0]} has {schema.names}; expected the same. Open the files "
                    "of each kind apart."
                )
            groups += [
                (number, group, source.metadata.row_group(group).num_rows)
                for group in range(source.metadata.num_row_groups)
            ]
    assert schema is not None
    step = max(1, min(TABLE_BYTES // (8 * max(1, len(schema.names))), BLOCK_ROWS))
    groups = [group for group in groups if group[2] > 0]
    whole = ParquetStream(paths, list(schema.names), groups, step, schema, scratch)
    return whole if columns is None else whole[columns]
