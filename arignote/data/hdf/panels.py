"""The Panel and Panel4D tables of pandas 0.x, which current versions of pandas cannot read."""

import math
from dataclasses import dataclass

import numpy as np

from arignote.data.hdf.attributes import (
    HDFError,
    check_numeric,
    check_plain_values,
    get_dataset,
    h5py,
    read_attribute,
    to_strings,
)
from arignote.data.hdf.layouts import Layout

SCAN_BYTES = 2**25


class PanelLayout(Layout):
    """A Panel or Panel4D in the table format of pandas 0.x: one record for each combination of the index axes.

    An example consists of all records with the same label of the first index axis; examples are in the order of the
    first occurrence of their labels. The values of an example are sorted by the labels of the other index axes,
    independently of the order of the records.
    """

    def __init__(self, group: "h5py.Group", index: "PanelIndex | None" = None):
        table = get_dataset(group, "table")
        super().__init__([table])
        self.items: list[str] = []
        self._find_axes(group, table)
        self._find_blocks(table)
        self.index = index or self._scan(table)
        self.n_rows = len(self.index.starts) - 1
        self.shape = tuple(
            len(self.items) if axis == self._item_axis else len(self.index.levels[axis])
            for axis in range(self._n_axes)
            if axis != self._example_axis
        )

    def _find_axes(self, group: "h5py.Group", table: "h5py.Dataset") -> None:
        """Determine which columns are the index axes, and which axis is stored along the columns."""
        if "index_cols" in group.attrs:
            index = [(int(axis), str(name)) for axis, name in read_attribute(group, "index_cols")]
            ((item_axis, items),) = read_attribute(group, "non_index_axes")
            self._value_fields = [str(name) for name in read_attribute(group, "values_cols")]
        else:  # before pandas 0.10
            index, item_axis = [(1, "index"), (2, "column")], 0
            items = read_attribute(table, "fields", None)
            items = read_attribute(group, "fields") if items is None else items
            self._value_fields = ["values"]
        self.items, self._item_axis = to_strings(items), int(item_axis)
        self._columns = dict(index)
        self._example_axis = index[0][0]
        self._n_axes = len(index) + 1
        if sorted([self._item_axis, *self._columns]) != list(range(self._n_axes)) or self._n_axes not in (3, 4):
            raise HDFError(
                f"got the axes {sorted([self._item_axis, *self._columns])}; need those of a Panel or Panel4D"
            )
        missing = [name for name in [*self._columns.values(), *self._value_fields] if name not in table.dtype.names]
        if missing:
            raise HDFError(f"got no column {missing[0]!r} in the table; need a complete one; try writing it again")

    def _find_blocks(self, table: "h5py.Dataset") -> None:
        """Determine which items each column of values contains."""
        self._positions: dict[str, np.ndarray] = {}
        position = {name: i for i, name in enumerate(self.items)}
        for field in self._value_fields:
            older = field.replace("values_block_", "values_")
            kind = read_attribute(table, f"{field}_kind", read_attribute(table, f"{older}_kind", None))
            names = self.items if kind is None else to_strings(kind)
            dtype = table.dtype[field]
            check_numeric(dtype, f"the items {', '.join(names)[:100]!r}")
            check_plain_values(table, field, names)
            if math.prod(dtype.shape) != len(names):
                raise HDFError(
                    f"got {math.prod(dtype.shape)} values in {field!r} for the items {names!r:.200}; need one for each"
                )
            self._positions[field] = np.array([position[name] for name in names])
        found = np.concatenate(list(self._positions.values()))
        if sorted(found.tolist()) != list(range(len(self.items))):
            raise HDFError(f"got values for {len(found)} of the {len(self.items)} items; need each once")
        self.dtype = np.result_type(*(table.dtype[field].base for field in self._value_fields))

    def _scan(self, table: "h5py.Dataset") -> "PanelIndex":
        """Scan the index columns once to locate the records of each example."""
        example_column = self._columns[self._example_axis]
        others = {axis: name for axis, name in self._columns.items() if axis != self._example_axis}
        levels = {axis: np.empty(0, table.dtype[name]) for axis, name in others.items()}
        firsts, labels, previous = [np.empty(0, np.int64)], [np.empty(0, table.dtype[example_column])], None
        chunk_size = max(1, SCAN_BYTES // table.dtype.itemsize)
        for start in range(0, table.shape[0], chunk_size):
            records = table[start : start + chunk_size]
            column = records[example_column]
            changes = np.flatnonzero(column[1:] != column[:-1]) + 1
            if column[0] != previous:
                changes = np.concatenate([[0], changes])
            firsts.append(changes + start)
            labels.append(column[changes])
            previous = column[-1]
            for axis, name in others.items():
                levels[axis] = np.union1d(levels[axis], records[name])
        return index_runs(np.concatenate(firsts), np.concatenate(labels), table.shape[0], levels)

    def read(self, first, last):
        levels = self.index.levels
        records = self._records(self.index.runs[self.index.starts[first] : self.index.starts[last]])
        n, n_cells = last - first, math.prod(len(level) for level in levels.values())
        cell = np.repeat(np.arange(n), n_cells)
        for axis in sorted(levels):
            cell = cell * len(levels[axis]) + np.searchsorted(levels[axis], records[self._columns[axis]])
        self._check_complete(cell, n_cells, first, n)
        values = np.empty((n * n_cells, len(self.items)), self.dtype)
        for field, items in self._positions.items():
            block = records[field].reshape(len(records), -1)
            if len(items) == len(self.items) and (items == np.arange(len(items))).all():
                values[cell] = block
            else:
                values[cell[:, np.newaxis], items] = block
        # move the last axis, the items, from (row, other axes, item) to its position
        values = values.reshape(n, *(len(levels[axis]) for axis in sorted(levels)), len(self.items))
        destination = 1 + sum(axis < self._item_axis for axis in levels)
        return np.ascontiguousarray(np.moveaxis(values, -1, destination))

    def _records(self, runs: np.ndarray) -> np.ndarray:
        """Return the concatenated records of some runs; read them in one piece if they are close together."""
        table, ends = self.datasets[0], runs.sum(axis=1)
        if (runs[1:, 0] == ends[:-1]).all():
            return table[runs[0, 0] : ends[-1]]
        first, last, needed = runs[:, 0].min(), ends.max(), runs[:, 1].sum()
        if last - first <= 4 * needed:
            within = np.repeat(runs[:, 0] - first - np.cumsum(runs[:, 1]) + runs[:, 1], runs[:, 1])
            return table[first:last][within + np.arange(needed)]
        return np.concatenate([table[start:end] for start, end in zip(runs[:, 0], ends, strict=True)])

    @staticmethod
    def _check_complete(cell: np.ndarray, n_cells: int, first: int, n: int) -> None:
        """Refuse an example in which one record occurs twice and another one is missing."""
        seen = np.zeros(n * n_cells, bool)
        seen[cell] = True
        if not seen.all():
            row = first + int((~seen).argmax()) // n_cells
            raise HDFError(f"got two records for one element of row {row}; need one; try writing the table again")


@dataclass
class PanelIndex:
    """The location of the examples in a Panel table.

    Attributes
    ----------
    runs : int array, shape (n_runs, 2)
        Consecutive records of one example: the first one and their number. Sorted by example.
    starts : int array, shape (n_examples + 1,)
        The first run of each example.
    levels : dict of int to array
        The labels of the other index axes, in increasing order.
    """

    runs: np.ndarray
    starts: np.ndarray
    levels: dict[int, np.ndarray]


def index_runs(first: np.ndarray, label: np.ndarray, n_records: int, levels: dict[int, np.ndarray]) -> PanelIndex:
    """Sort runs by example. Examples are numbered in the order of the first occurrence of their labels.

    Parameters
    ----------
    first : int array
        The first record of each run.
    label : array
        The label of the example of each run.
    n_records : int
        The total number of records.
    levels : dict of int to array
    """
    labels, first_run, inverse = np.unique(label, return_index=True, return_inverse=True)
    rank = np.empty(len(labels), np.int64)
    rank[np.argsort(first_run)] = np.arange(len(labels))
    example, count = rank[inverse], np.diff(np.append(first, n_records))
    per_example = np.bincount(example, count, len(labels)).astype(np.int64)
    needed = math.prod(len(level) for level in levels.values())
    if (per_example != needed).any():
        row = int((per_example != needed).argmax())
        label = labels[np.argsort(first_run)].tolist()[row]
        raise HDFError(
            f"got {per_example[row]} records in row {row}, labelled {label!r}; need {needed}, "
            "one for each element of an example; try writing all examples with the same shape"
        )
    order = np.argsort(example, kind="stable")
    starts = np.searchsorted(example[order], np.arange(len(labels) + 1))
    return PanelIndex(np.stack([first[order], count[order]], axis=1), starts, levels)
