"""The reader of HDF5 files."""

import copy
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from arignote.data import frames
from arignote.data.hdf import find
from arignote.data.hdf.attributes import HDFError, error_context
from arignote.data.hdf.layouts import Layout
from arignote.data.reader import Reader
from arignote.util import checks


class HDFReader(Reader):
    """Rows of a table in an HDF5 file, which is read in batches and never loaded as a whole.

    Supported are data frames and series of pandas in table and fixed format; datasets with any number of axes, of which
    the first is the rows, as written by h5py and PyTables; tables of several numeric columns; and the Panel and Panel4D
    tables of pandas 0.x, where a row consists of the records with one label of the first index axis.

    Parameters
    ----------
    filename : str or Path
    table : str, optional
        Name of the table, such as "images" or "group/images". Optional if there is only one, or only one apart from the
        labels.
    color : int or str, optional
        Index or name of a channel. Only this channel of images of shape (channels, rows, columns) is read; rows then
        have the shape (1, rows, columns).
    asarray : bool, optional
        Return arrays (True, the default), or pandas objects for data frames and series, with row numbers as index.

    Attributes
    ----------
    n_rows : int
    shape : tuple of int
        Shape of one row. () for a series; (n_columns,) for a frame.
    dtype : numpy dtype
        The common dtype of all columns.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    HDFError
        If the file is damaged, the table does not exist or it is not numeric; the message lists the tables.

    Examples
    --------
    >>> import tempfile, h5py
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with h5py.File(f"{folder}/data.h5", "w") as file:
    ...         file["images"] = np.zeros((5, 3, 8, 8))
    ...         file["labels"] = [0, 1, 0, 1, 1]
    ...     images = HDFReader(f"{folder}/data.h5")
    ...     red = HDFReader(f"{folder}/data.h5", "images", color=0)
    ...     labels = HDFReader(f"{folder}/data.h5", "labels")
    ...     print(images.n_rows, images.shape, red.shape, [batch.tolist() for batch in labels.iter_epoch(2)])
    5 (3, 8, 8) (1, 8, 8) [[0, 1], [0, 1]]
    """

    def __init__(
        self,
        filename: str | Path,
        table: str | None = None,
        color: int | str | None = None,
        asarray: bool | None = None,
    ):
        self.filename = str(filename)
        self.asarray = True if asarray is None else bool(asarray)
        self.color = color
        self._index: Any = None
        with find.open_file(filename) as file:
            self.table = self._only_table(file) if table is None else str(table)
            layout = self._layout(file)
            self.n_rows, self.dtype = layout.n_rows, layout.dtype
            self._color = None if color is None else self._channel_index(color, layout)
            self.shape = layout.shape if color is None else (1, *layout.shape[1:])
            self._items = layout.items
            self._order: list[int] | None = None
            self._cache_bytes = max(chunk_cache_bytes(dataset) for dataset in layout.datasets)
            self.block_rows = self._rows_per_chunk(layout)

    def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False, color=None):
        if color is not None:
            reader = HDFReader(self.filename, self.table, color, self.asarray)
            yield from reader.iter_epoch(batch_size, start, stop, start_on_batch, allow_partial)
            return
        with self.opened() as read:
            for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
                yield read(first, last)

    @contextmanager
    def opened(self) -> Iterator[Callable[[int, int], np.ndarray]]:
        """Open the file, and yield a function ``read(first, last)``."""
        with find.open_file(self.filename, self._cache_bytes) as file:
            layout = self._layout(file)
            if (layout.n_rows, layout.dtype) != (self.n_rows, self.dtype):
                raise HDFError(
                    f"{self}: got {layout.n_rows} rows of {layout.dtype}; need {self.n_rows} rows of "
                    f"{self.dtype}, as before; try a new reader, or restore the file"
                )
            descriptor = file.id.get_vfd_handle()
            size = os.fstat(descriptor).st_size

            def read(first: int, last: int) -> Any:
                values = self._read(layout, first, last)
                if os.fstat(descriptor).st_size < size:  # HDF5 reads zeros where a file was truncated
                    raise HDFError(
                        f"{self}, rows {first} to {last - 1}: got a file that was truncated while it was read; "
                        "need an intact one; try another copy"
                    )
                return values

            yield read

    def _read(self, layout: Layout, first: int, last: int) -> Any:
        with error_context(f"{self}, rows {first} to {last - 1}"):
            values = layout.read(first, last)
        if len(values) != last - first:
            raise HDFError(f"{self}: got {len(values)} rows from row {first}; need {last - first}; try an intact file")
        if self._order is not None:
            values = values[:, self._order]
        if self._color is not None:
            values = values[:, self._color : self._color + 1]
        return values if self.asarray or len(self.shape) > 1 or self._items is None else self._as_pandas(values, first)

    @property
    def column_names(self) -> list[str] | None:
        """Names of the columns, for tables that have them."""
        return list(map(str, self._items)) if self._items and len(self.shape) == 1 else None

    def with_columns(self, names: Sequence[str]) -> "HDFReader":
        """Return a reader of the same rows with the columns in this order; refuse missing and other columns."""
        assert self.column_names is not None
        places, new = frames.positions(self.column_names, names), copy.copy(self)
        new._order = places if self._order is None else [self._order[place] for place in places]
        new._items = list(names)
        return new

    def _as_pandas(self, values: np.ndarray, first: int) -> Any:
        import pandas

        index = pandas.RangeIndex(first, first + len(values))
        if self.shape == ():
            return pandas.Series(values, index, name=self._items[0] if self._items else None)
        return pandas.DataFrame(values, index, self._items)

    def _only_table(self, file: Any) -> str:
        with error_context(self.filename):
            tables = find.find_tables(file)
        features, _ = find.choose_tables(tables)
        if features is None:
            known = ", ".join(f"{name!r} ({what})" for name, what in tables.items())
            raise HDFError(
                f"{self.filename}: got no table; need the name of one; tables in the file: {known or 'none'}"
            )
        return features

    def _layout(self, file: Any) -> Layout:
        with error_context(self.filename):
            layout = find.find_layout(file, self.table, self._index)
        self._index = layout.index
        return layout

    def _channel_index(self, color: int | str, layout: Layout) -> int:
        """Return the index of a channel."""
        if len(layout.shape) != 3:
            raise HDFError(f"{self}: got color={color!r} and rows of shape {layout.shape}; need images; try color=None")
        if isinstance(color, str):
            return list(layout.items or ()).index(checks.choice(color, layout.items or (), "the color"))
        number = checks.whole_number(color, "color", least=0)
        if number >= layout.shape[0]:
            raise HDFError(f"{self}: got color={color}; need 0 to {layout.shape[0] - 1}; try color=0")
        return number

    @staticmethod
    def _rows_per_chunk(layout: Layout) -> int | None:
        """Return the number of rows in a chunk, or None if the first axis of the dataset is not the rows."""
        first = layout.datasets[0]
        return first.chunks[0] if first.chunks and first.shape[0] == layout.n_rows else None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_index": None}  # recomputed when needed

    def __str__(self) -> str:
        return f"{self.filename}, table {self.table!r}"


def chunk_cache_bytes(dataset: Any) -> int:
    """Return the size of a cache that avoids decompressing chunks repeatedly; 0 if the dataset is not compressed."""
    if dataset.chunks is None or dataset.id.get_create_plist().get_nfilters() == 0:
        return 0
    return max(2**23, 2 * math.prod(dataset.chunks) * dataset.dtype.itemsize)


def read_tables(filename: str | Path) -> tuple[HDFReader, HDFReader]:
    """Return the readers of the features and the labels in a file, identified by their names.

    Raises
    ------
    HDFError
        If the names are ambiguous.
    """
    with find.open_file(filename) as file:
        tables = find.find_tables(file)
    features, labels = find.choose_tables(tables)
    if features is None or labels is None:
        known = ", ".join(f"{name!r} ({what})" for name, what in tables.items())
        raise HDFError(
            f"{filename}: got the tables {known or '(none)'}; need one with labels and one with features; "
            "try fit(HDFReader(name, ...), HDFReader(name, ...))"
        )
    return HDFReader(filename, features), HDFReader(filename, labels)
