"""The layouts of rows in HDF5 files: datasets, records, and the data frames and series of pandas."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from arignote.data.hdf.attributes import (
    HDFError,
    check_dataset,
    check_numeric,
    check_plain_values,
    get_dataset,
    h5py,
    read_attribute,
    to_string,
    to_strings,
)

MAX_NAMES = 2**22


class Layout(ABC):
    """The layout of a table.

    Attributes
    ----------
    n_rows : int
    shape : tuple of int
        Shape of one row.
    dtype : numpy dtype
    datasets : list of h5py.Dataset
        The datasets that contain the values.
    items : list of str or None
        Names along the first axis of a row: the channels of images, the columns of a frame.
    index : object
        The result of scanning the table, for layouts that need it.
    """

    n_rows: int
    shape: tuple[int, ...]
    dtype: np.dtype
    items: list[str] | None = None
    index: Any = None

    def __init__(self, datasets: Sequence["h5py.Dataset"]):
        self.datasets = list(datasets)

    @abstractmethod
    def read(self, first: int, last: int) -> np.ndarray:
        """Return the rows from `first` to `last`, exclusive, as an array of shape ``(last - first, *shape)``."""


class ArrayLayout(Layout):
    """A dataset with any number of axes, of which the first is the rows."""

    def __init__(self, dataset: "h5py.Dataset"):
        super().__init__([check_dataset(dataset)])
        if not dataset.shape:
            raise HDFError("got a single value; need rows; try another table")
        check_numeric(dataset.dtype, "the dataset")
        self.n_rows, self.shape, self.dtype = dataset.shape[0], dataset.shape[1:], dataset.dtype

    def read(self, first, last):
        return self.datasets[0][first:last]


class ColumnsLayout(Layout):
    """A dataset of records (a PyTables table, an h5py compound type); each field is one or several columns.

    Parameters
    ----------
    dataset : h5py.Dataset
    fields : list of str, optional
        The fields to use, by default all.
    names : dict of str to list of str, optional
        The names of the columns in each field, by default the name of the field.
    order : list of str, optional
        The order of the columns, by default as stored.
    """

    def __init__(
        self,
        dataset: "h5py.Dataset",
        fields: Sequence[str] | None = None,
        names: dict[str, list[str]] | None = None,
        order: Sequence[str] | None = None,
    ):
        super().__init__([check_dataset(dataset)])
        self.fields = list(fields or dataset.dtype.names)
        dtypes = [dataset.dtype[field] for field in self.fields]
        for field, dtype in zip(self.fields, dtypes, strict=True):
            check_numeric(dtype, f"the column {', '.join((names or {}).get(field, [field]))[:100]!r}")
        self.n_rows = dataset.shape[0]
        self.dtype = np.result_type(*(dtype.base for dtype in dtypes))
        self.shape = dtypes[0].shape if len(dtypes) == 1 else (sum(math.prod(dtype.shape) for dtype in dtypes),)
        self._order: np.ndarray | None = None
        if names is None and not any(dtype.shape for dtype in dtypes):
            self.items = self.fields
        elif names is not None:
            self._set_order([name for field in self.fields for name in names[field]], order)

    def _set_order(self, stored_names: list[str], order: Sequence[str] | None) -> None:
        """Set the names of the columns, and the permutation from the stored order."""
        present = set(stored_names)
        self.items = stored_names if order is None else [name for name in order if name in present]
        if sorted(self.items) != sorted(stored_names) or (self.shape and len(stored_names) != math.prod(self.shape)):
            raise HDFError(
                f"got columns {stored_names!r:.200} and an order {self.items!r:.200}; need the same names in both"
            )
        if self.items != stored_names:
            position = {name: i for i, name in enumerate(stored_names)}
            self._order = np.array([position[name] for name in self.items])

    def read(self, first, last):
        records = self.datasets[0][first:last]
        if len(self.fields) == 1 and self._order is None:
            return np.ascontiguousarray(records[self.fields[0]])
        n = len(records)
        values = np.concatenate([records[field].reshape(n, -1) for field in self.fields], axis=1, dtype=self.dtype)
        return values if self._order is None else values[:, self._order]


class FrameLayout(ColumnsLayout):
    """A data frame or series in the table format of pandas: an index, and one block of columns for each dtype."""

    def __init__(self, group: "h5py.Group"):
        table = get_dataset(group, "table")
        index = {name for _, name in read_attribute(group, "index_cols", [(0, "index")])}
        fields = [field for field in table.dtype.names if field not in index]
        names = {field: self._columns(table, field) for field in fields}
        for level in np.atleast_1d(read_attribute(group, "levels", [])).tolist():
            fields = [field for field in fields if field != level]
        for field in fields:
            check_plain_values(table, field, names[field])
        axes = read_attribute(group, "non_index_axes", [])
        order = to_strings(axes[0][1]) if len(axes) == 1 else None
        super().__init__(table, fields, names, order)
        if (to_string(group.attrs.get("pandas_type")) or "").startswith("series"):
            self.shape = ()
        elif self.shape == ():
            self.shape = (1,)

    @staticmethod
    def _columns(table: "h5py.Dataset", field: str) -> list[str]:
        kind = read_attribute(table, f"{field}_kind", [field])
        return to_strings(kind) if isinstance(kind, list | tuple | np.ndarray) else [field]

    def read(self, first, last):
        values = super().read(first, last)
        return values.reshape(len(values), *self.shape)


class FixedFrameLayout(Layout):
    """A data frame in the fixed format of pandas: one dataset of values for each dtype."""

    n_axes = 2

    def __init__(self, group: "h5py.Group"):
        n_blocks = int(group.attrs["nblocks"]) if "nblocks" in group.attrs else 0
        super().__init__([get_dataset(group, f"block{i}_values") for i in range(n_blocks)])
        if not n_blocks:
            raise HDFError("got no values; need a data frame with columns; try another table")
        axes = [get_dataset(group, f"axis{axis}") for axis in range(self.n_axes)]
        names = self._labels(axes[0])
        for dataset in self.datasets:
            check_numeric(dataset.dtype, "the values")
            kind = to_string(dataset.attrs.get("value_type")) or ""
            if kind.startswith(("datetime", "timedelta")):
                raise HDFError(f"got {kind} in the values; need numbers; try converting them to numbers")
        self.dtype = np.result_type(*(dataset.dtype for dataset in self.datasets))
        self._transposed = [bool(dataset.attrs.get("transposed", False)) for dataset in self.datasets]
        position = {name: i for i, name in enumerate(names)}
        blocks = [self._labels(get_dataset(group, f"block{i}_items")) for i in range(n_blocks)]
        self._positions = [np.array([position[name] for name in block]) for block in blocks]
        if sorted(np.concatenate(self._positions).tolist()) != list(range(len(names))):
            raise HDFError("got values that do not match the names of the columns; need each column once")
        sizes = [axis.shape[0] for axis in axes]
        for dataset, transposed, positions in zip(self.datasets, self._transposed, self._positions, strict=True):
            expected = (len(positions), *sizes[1:])
            if dataset.shape != (expected[::-1] if transposed else expected):
                raise HDFError(f"got values of shape {dataset.shape} for axes of {expected}; need equal shapes")
        self._set_shape(sizes, names)

    def _set_shape(self, sizes: list[int], names: list[str]) -> None:
        self.items = names
        self.n_rows, self.shape = sizes[1], (len(names),)

    @staticmethod
    def _labels(dataset: "h5py.Dataset") -> list[str]:
        if dataset.dtype.kind not in "buifS":
            raise HDFError(
                "got column names of a type that only pandas can read; need numbers or bytes; "
                'try to_hdf(..., format="table")'
            )
        if dataset.size > MAX_NAMES:
            raise HDFError(f"got {dataset.size} column names; need at most {MAX_NAMES}; try a plain dataset")
        return to_strings(dataset[:])

    def read(self, first, last):
        values = np.empty((last - first, *self.shape), self.dtype)
        for dataset, transposed, positions in zip(self.datasets, self._transposed, self._positions, strict=True):
            values[:, positions] = dataset[first:last] if transposed else dataset[:, first:last].T
        return values


class FixedPanelLayout(FixedFrameLayout):
    """A Panel in the fixed format of pandas 0.x. A row is one item, of shape (major_axis, minor_axis)."""

    n_axes = 3

    def _set_shape(self, sizes, names):
        self.n_rows, self.shape = len(names), (sizes[1], sizes[2])
        self._block_of = np.concatenate([np.full(len(p), i) for i, p in enumerate(self._positions)])
        offset = np.concatenate([np.arange(len(p)) for p in self._positions])
        order = np.argsort(np.concatenate(self._positions))
        self._block_of, self._offset = self._block_of[order], offset[order]

    def read(self, first, last):
        values = np.empty((last - first, *self.shape), self.dtype)
        for block, (dataset, transposed) in enumerate(zip(self.datasets, self._transposed, strict=True)):
            rows = np.flatnonzero(self._block_of[first:last] == block)
            if not len(rows):
                continue
            offset = self._offset[first + rows]
            start, stop = offset.min(), offset.max() + 1
            items = dataset[..., start:stop].transpose(2, 1, 0) if transposed else dataset[start:stop]
            values[rows] = items[offset - start]
        return values


class FixedSeriesLayout(ArrayLayout):
    """A series in the fixed format of pandas."""

    def __init__(self, group: "h5py.Group"):
        values = get_dataset(group, "values")
        kind = to_string(values.attrs.get("value_type")) or ""
        if kind.startswith(("datetime", "timedelta")):
            raise HDFError(f"got {kind} in the values; need numbers; try converting them to numbers")
        super().__init__(values)
