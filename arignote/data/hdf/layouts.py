"""The ways in which rows lie in an HDF5 file: as datasets, as records, as the frames and series of pandas."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from arignote.data.hdf.attributes import (
    HDFError,
    as_texts,
    dataset_in,
    h5py,
    inside,
    require_numbers,
    require_values,
    stored,
    text,
)

MAX_NAMES = 2**22


class Layout(ABC):
    """Where the rows of a table are.

    Attributes
    ----------
    n_rows : int
    shape : tuple of int
        Of one row.
    dtype : numpy dtype
    datasets : list of h5py.Dataset
        Where the values lie.
    items : list of str or None
        Names along the first axis of a row: the channels of images, the columns of a frame.
    index : object
        What took a long look through the table to find, if anything did.
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
        """Return rows `first` to before `last`, as an array of shape ``(last - first, *shape)``."""


class ArrayLayout(Layout):
    """A dataset of any number of axes, rows first."""

    def __init__(self, dataset: "h5py.Dataset"):
        super().__init__([inside(dataset)])
        if not dataset.shape:
            raise HDFError("got a single value; need rows; try another table")
        require_numbers(dataset.dtype, "the dataset")
        self.n_rows, self.shape, self.dtype = dataset.shape[0], dataset.shape[1:], dataset.dtype

    def read(self, first, last):
        return self.datasets[0][first:last]


class ColumnsLayout(Layout):
    """A dataset of records (a PyTables Table, an h5py compound): each field a column, or several.

    Parameters
    ----------
    dataset : h5py.Dataset
    fields : list of str, optional
        Which fields to use; by default all.
    names : dict of str to list of str, optional
        The names of the columns that lie in a field; by default the field's own.
    order : list of str, optional
        In which order to give the columns; by default as they lie.
    """

    def __init__(
        self,
        dataset: "h5py.Dataset",
        fields: Sequence[str] | None = None,
        names: dict[str, list[str]] | None = None,
        order: Sequence[str] | None = None,
    ):
        super().__init__([inside(dataset)])
        self.fields = list(fields or dataset.dtype.names)
        dtypes = [dataset.dtype[field] for field in self.fields]
        for field, dtype in zip(self.fields, dtypes, strict=True):
            require_numbers(dtype, f"the column {', '.join((names or {}).get(field, [field]))[:100]!r}")
        self.n_rows = dataset.shape[0]
        self.dtype = np.result_type(*(dtype.base for dtype in dtypes))
        self.shape = dtypes[0].shape if len(dtypes) == 1 else (sum(math.prod(dtype.shape) for dtype in dtypes),)
        self._order: np.ndarray | None = None
        if names is None and not any(dtype.shape for dtype in dtypes):
            self.items = self.fields
        elif names is not None:
            self._arrange([name for field in self.fields for name in names[field]], order)

    def _arrange(self, lying: list[str], order: Sequence[str] | None) -> None:
        """Find out how to bring the columns into their order."""
        present = set(lying)
        self.items = lying if order is None else [name for name in order if name in present]
        if sorted(self.items) != sorted(lying) or (self.shape and len(lying) != math.prod(self.shape)):
            raise HDFError(f"got columns {lying!r:.200} and an order {self.items!r:.200}; need the same names in both")
        if self.items != lying:
            where = {name: i for i, name in enumerate(lying)}
            self._order = np.array([where[name] for name in self.items])

    def read(self, first, last):
        records = self.datasets[0][first:last]
        if len(self.fields) == 1 and self._order is None:
            return np.ascontiguousarray(records[self.fields[0]])
        n = len(records)
        values = np.concatenate([records[field].reshape(n, -1) for field in self.fields], axis=1, dtype=self.dtype)
        return values if self._order is None else values[:, self._order]


class FrameLayout(ColumnsLayout):
    """A frame or a series that pandas wrote as a table: an index, and blocks of columns of one type each."""

    def __init__(self, group: "h5py.Group"):
        table = dataset_in(group, "table")
        index = {name for _, name in stored(group, "index_cols", [(0, "index")])}
        fields = [field for field in table.dtype.names if field not in index]
        names = {field: self._columns(table, field) for field in fields}
        for level in np.atleast_1d(stored(group, "levels", [])).tolist():
            fields = [field for field in fields if field != level]
        for field in fields:
            require_values(table, field, names[field])
        axes = stored(group, "non_index_axes", [])
        order = as_texts(axes[0][1]) if len(axes) == 1 else None
        super().__init__(table, fields, names, order)
        if (text(group.attrs.get("pandas_type")) or "").startswith("series"):
            self.shape = ()
        elif self.shape == ():
            self.shape = (1,)

    @staticmethod
    def _columns(table: "h5py.Dataset", field: str) -> list[str]:
        kind = stored(table, f"{field}_kind", [field])
        return as_texts(kind) if isinstance(kind, list | tuple | np.ndarray) else [field]

    def read(self, first, last):
        values = super().read(first, last)
        return values.reshape(len(values), *self.shape)


class FixedFrameLayout(Layout):
    """A frame that pandas wrote in fixed format: a dataset of values for each type of number."""

    n_axes = 2

    def __init__(self, group: "h5py.Group"):
        n_blocks = int(group.attrs["nblocks"]) if "nblocks" in group.attrs else 0
        super().__init__([dataset_in(group, f"block{i}_values") for i in range(n_blocks)])
        if not n_blocks:
            raise HDFError("got no values; need a frame with columns; try another table")
        axes = [dataset_in(group, f"axis{axis}") for axis in range(self.n_axes)]
        names = self._labels(axes[0])
        for dataset in self.datasets:
            require_numbers(dataset.dtype, "the values")
            kind = text(dataset.attrs.get("value_type")) or ""
            if kind.startswith(("datetime", "timedelta")):
                raise HDFError(f"got {kind} in the values; need numbers; try numbers in their place")
        self.dtype = np.result_type(*(dataset.dtype for dataset in self.datasets))
        self._transposed = [bool(dataset.attrs.get("transposed", False)) for dataset in self.datasets]
        where = {name: i for i, name in enumerate(names)}
        blocks = [self._labels(dataset_in(group, f"block{i}_items")) for i in range(n_blocks)]
        self._places = [np.array([where[name] for name in block]) for block in blocks]
        if sorted(np.concatenate(self._places).tolist()) != list(range(len(names))):
            raise HDFError("got values that do not fit the names of the columns; need each column once")
        sizes = [axis.shape[0] for axis in axes]
        for dataset, transposed, places in zip(self.datasets, self._transposed, self._places, strict=True):
            expected = (len(places), *sizes[1:])
            if dataset.shape != (expected[::-1] if transposed else expected):
                raise HDFError(f"got values of shape {dataset.shape} for axes of {expected}; need one for each place")
        self._measure(sizes, names)

    def _measure(self, sizes: list[int], names: list[str]) -> None:
        self.items = names
        self.n_rows, self.shape = sizes[1], (len(names),)

    @staticmethod
    def _labels(dataset: "h5py.Dataset") -> list[str]:
        if dataset.dtype.kind not in "buifS":
            raise HDFError('got names of a type that only pandas can read; try to_hdf(..., format="table")')
        if dataset.size > MAX_NAMES:
            raise HDFError(f"got {dataset.size} names of columns; need at most {MAX_NAMES}; try a plain dataset")
        return as_texts(dataset[:])

    def read(self, first, last):
        values = np.empty((last - first, *self.shape), self.dtype)
        for dataset, transposed, places in zip(self.datasets, self._transposed, self._places, strict=True):
            values[:, places] = dataset[first:last] if transposed else dataset[:, first:last].T
        return values


class FixedPanelLayout(FixedFrameLayout):
    """A Panel that pandas 0.x wrote in fixed format. A row is one item, of shape (major_axis, minor_axis)."""

    n_axes = 3

    def _measure(self, sizes, names):
        self.n_rows, self.shape = len(names), (sizes[1], sizes[2])
        self._block_of = np.concatenate([np.full(len(p), i) for i, p in enumerate(self._places)])
        inside = np.concatenate([np.arange(len(p)) for p in self._places])
        order = np.argsort(np.concatenate(self._places))
        self._block_of, self._inside = self._block_of[order], inside[order]

    def read(self, first, last):
        values = np.empty((last - first, *self.shape), self.dtype)
        for block, (dataset, transposed) in enumerate(zip(self.datasets, self._transposed, strict=True)):
            rows = np.flatnonzero(self._block_of[first:last] == block)
            if not len(rows):
                continue
            inside = self._inside[first + rows]
            start, stop = inside.min(), inside.max() + 1
            found = dataset[..., start:stop].transpose(2, 1, 0) if transposed else dataset[start:stop]
            values[rows] = found[inside - start]
        return values


class FixedSeriesLayout(ArrayLayout):
    """A series that pandas wrote in fixed format."""

    def __init__(self, group: "h5py.Group"):
        values = dataset_in(group, "values")
        kind = text(values.attrs.get("value_type")) or ""
        if kind.startswith(("datetime", "timedelta")):
            raise HDFError(f"got {kind} in the values; need numbers; try numbers in their place")
        super().__init__(values)
