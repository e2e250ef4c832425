"""The Panel and Panel4D tables of pandas 0.x, which no pandas of today can read."""

import math
from dataclasses import dataclass

import numpy as np

from arignote.data.hdf.attributes import (
    HDFError,
    as_texts,
    dataset_in,
    h5py,
    require_numbers,
    require_values,
    stored,
)
from arignote.data.hdf.layouts import Layout

SCAN_BYTES = 2**25


class PanelLayout(Layout):
    """A Panel or Panel4D that pandas 0.x wrote as a table: a record for each combination of the index axes.

    An example is all that stands under one label of the first index axis, in the order in which these labels first
    occur. The values are placed by the labels of the other index axes, in increasing order, in whatever order the
    records come.
    """

    def __init__(self, group: "h5py.Group", index: "PanelIndex | None" = None):
        table = dataset_in(group, "table")
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
        """Read which columns are the index axes, and which axis is laid along the columns."""
        if "index_cols" in group.attrs:
            index = [(int(axis), str(name)) for axis, name in stored(group, "index_cols")]
            ((item_axis, items),) = stored(group, "non_index_axes")
            self._value_fields = [str(name) for name in stored(group, "values_cols")]
        else:  # before pandas 0.10
            index, item_axis = [(1, "index"), (2, "column")], 0
            items = stored(table, "fields", None)
            items = stored(group, "fields") if items is None else items
            self._value_fields = ["values"]
        self.items, self._item_axis = as_texts(items), int(item_axis)
        self._columns = dict(index)
        self._example_axis = index[0][0]
        self._n_axes = len(index) + 1
        if sorted([self._item_axis, *self._columns]) != list(range(self._n_axes)) or self._n_axes not in (3, 4):
            raise HDFError(
                f"got the axes {sorted([self._item_axis, *self._columns])}; need those of a Panel or Panel4D"
            )
        missing = [name for name in [*self._columns.values(), *self._value_fields] if name not in table.dtype.names]
        if missing:
            raise HDFError(f"got no column {missing[0]!r} in the table; need a whole one; try writing it anew")

    def _find_blocks(self, table: "h5py.Dataset") -> None:
        """Find out which items lie in which column of values."""
        self._places: dict[str, np.ndarray] = {}
        where = {name: i for i, name in enumerate(self.items)}
        for field in self._value_fields:
            older = field.replace("values_block_", "values_")
            kind = stored(table, f"{field}_kind", stored(table, f"{older}_kind", None))
            names = self.items if kind is None else as_texts(kind)
            dtype = table.dtype[field]
            require_numbers(dtype, f"the items {', '.join(names)[:100]!r}")
            require_values(table, field, names)
            if math.prod(dtype.shape) != len(names):
                raise HDFError(f"got {math.prod(dtype.shape)} values in {field!r} for the items {names!r:.200}")
            self._places[field] = np.array([where[name] for name in names])
        placed = np.concatenate(list(self._places.values()))
        if sorted(placed.tolist()) != list(range(len(self.items))):
            raise HDFError(f"got values for {len(placed)} of the {len(self.items)} items; need each once")
        self.dtype = np.result_type(*(table.dtype[field].base for field in self._value_fields))

    def _scan(self, table: "h5py.Dataset") -> "PanelIndex":
        """Look through the index columns once; note where each example lies."""
        example_column = self._columns[self._example_axis]
        others = {axis: name for axis, name in self._columns.items() if axis != self._example_axis}
        levels = {axis: np.empty(0, table.dtype[name]) for axis, name in others.items()}
        firsts, labels, previous = [np.empty(0, np.int64)], [np.empty(0, table.dtype[example_column])], None
        n_at_once = max(1, SCAN_BYTES // table.dtype.itemsize)
        for start in range(0, table.shape[0], n_at_once):
            records = table[start : start + n_at_once]
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
        n, n_places = last - first, math.prod(len(level) for level in levels.values())
        place = np.repeat(np.arange(n), n_places)
        for axis in sorted(levels):
            place = place * len(levels[axis]) + np.searchsorted(levels[axis], records[self._columns[axis]])
        self._require_each_place(place, n_places, first, n)
        values = np.empty((n * n_places, len(self.items)), self.dtype)
        for field, items in self._places.items():
            block = records[field].reshape(len(records), -1)
            if len(items) == len(self.items) and (items == np.arange(len(items))).all():
                values[place] = block
            else:
                values[place[:, np.newaxis], items] = block
        # so far (row, the other axes in order, item): the items go to their own axis
        values = values.reshape(n, *(len(levels[axis]) for axis in sorted(levels)), len(self.items))
        to = 1 + sum(axis < self._item_axis for axis in levels)
        return np.ascontiguousarray(np.moveaxis(values, -1, to))

    def _records(self, runs: np.ndarray) -> np.ndarray:
        """Return the records of some runs, one after the other; read at once where they lie close together."""
        table, ends = self.datasets[0], runs.sum(axis=1)
        if (runs[1:, 0] == ends[:-1]).all():
            return table[runs[0, 0] : ends[-1]]
        first, last, needed = runs[:, 0].min(), ends.max(), runs[:, 1].sum()
        if last - first <= 4 * needed:
            within = np.repeat(runs[:, 0] - first - np.cumsum(runs[:, 1]) + runs[:, 1], runs[:, 1])
            return table[first:last][within + np.arange(needed)]
        return np.concatenate([table[start:end] for start, end in zip(runs[:, 0], ends, strict=True)])

    @staticmethod
    def _require_each_place(place: np.ndarray, n_places: int, first: int, n: int) -> None:
        """Refuse an example in which a record occurs twice, and another one never."""
        seen = np.zeros(n * n_places, bool)
        seen[place] = True
        if not seen.all():
            row = first + int((~seen).argmax()) // n_places
            raise HDFError(f"got two records for one place in row {row}; need one; try writing the table anew")


@dataclass
class PanelIndex:
    """Where the examples of a Panel table lie.

    Attributes
    ----------
    runs : int array, shape (n_runs, 2)
        Records of one example that lie together: the first one, and how many. Sorted by example.
    starts : int array, shape (n_examples + 1,)
        The first run of each example.
    levels : dict of int to array
        The labels of the other index axes, in increasing order.
    """

    runs: np.ndarray
    starts: np.ndarray
    levels: dict[int, np.ndarray]


def index_runs(first: np.ndarray, label: np.ndarray, n_records: int, levels: dict[int, np.ndarray]) -> PanelIndex:
    """Sort runs by example. Examples are numbered as their labels first occur.

    Parameters
    ----------
    first : int array
        The first record of each run.
    label : array
        The label of its example.
    n_records : int
        The number of all records.
    levels : dict of int to array
    """
    labels, at, which = np.unique(label, return_index=True, return_inverse=True)
    rank = np.empty(len(labels), np.int64)
    rank[np.argsort(at)] = np.arange(len(labels))
    example, count = rank[which], np.diff(np.append(first, n_records))
    per_example = np.bincount(example, count, len(labels)).astype(np.int64)
    needed = math.prod(len(level) for level in levels.values())
    if (per_example != needed).any():
        row = int((per_example != needed).argmax())
        label = labels[np.argsort(at)].tolist()[row]
        raise HDFError(
            f"got {per_example[row]} records in row {row}, labelled {label!r}; need {needed}, "
            "one for each place of an example; try writing all examples in one shape"
        )
    order = np.argsort(example, kind="stable")
    starts = np.searchsorted(example[order], np.arange(len(labels) + 1))
    return PanelIndex(np.stack([first[order], count[order]], axis=1), starts, levels)
