"""The order in which an epoch visits the rows of a data set.

An order maps positions of an epoch to rows of the readers. It depends on (seed, epoch) alone, so reading can start at
any position. Rows that are too many to be held in memory, or to be picked one by one, are shuffled by blocks: the rows
are cut into blocks of neighbours; an epoch takes the blocks in a random order, a group of them at a time; and within a
group all rows are mixed. Each group's order depends on (seed, epoch, group) alone.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np

from arignote.data.reader import Reader, open_reader, require_rows
from arignote.util import streams

BLOCK_BYTES = 2**18
GROUP_BYTES = 2**25
BLOCKS_MIXED = 16

Read = Callable[[int, int], list[np.ndarray]]
"""``read(first, last)`` returns the rows at positions `first` to before `last`, one array for each reader."""


class Order(Protocol):
    """The order of the rows in one epoch."""

    @property
    def description(self) -> str:
        """How rows are ordered, whatever the seed and the epoch, in words."""

    def rows(self, first: int, last: int) -> np.ndarray:
        """Return the row numbers, in the readers, of the positions from `first` to before `last`."""

    def opened(self, readers: Sequence[Reader], stack: ExitStack) -> Read:
        """Open the readers until `stack` is closed, and return a function that reads positions of the epoch."""


class Unshuffled:
    """Rows in the order in which they are stored, beginning with `start`."""

    description = "as stored"

    def __init__(self, start: int):
        self._start = start

    def rows(self, first: int, last: int) -> np.ndarray:
        return np.arange(self._start + first, self._start + last)

    def opened(self, readers: Sequence[Reader], stack: ExitStack) -> Read:
        reads = [stack.enter_context(open_reader(reader)) for reader in readers]
        return lambda first, last: [read(self._start + first, self._start + last) for read in reads]


class Permuted:
    """All rows in a random order, for readers with a method ``take``."""

    description = "all rows mixed"

    def __init__(self, start: int, stop: int, seed: int, epoch: int):
        self._order = start + streams.generator(seed, "shuffle", epoch).permutation(stop - start)

    def rows(self, first: int, last: int) -> np.ndarray:
        return self._order[first:last]

    def opened(self, readers: Sequence[Reader], stack: ExitStack) -> Read:
        def take(reader: Any, first: int, last: int) -> np.ndarray:
            rows = reader.take(self._order[first:last])
            require_rows(reader, rows, last - first)
            return rows

        return lambda first, last: [take(reader, first, last) for reader in readers]


class Blocks:
    """Rows shuffled by blocks, for readers of files.

    Parameters
    ----------
    start, stop : int
        The rows to visit.
    block_rows : int
        Rows in a block; blocks lie on multiples of this number.
    group_rows : int
        Rows that are mixed with each other, about: a whole number of blocks.
    seed, epoch : int

    Examples
    --------
    >>> order = Blocks(0, 10, block_rows=2, group_rows=6, seed=1, epoch=0)
    >>> sorted(order.rows(0, 10).tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    def __init__(self, start: int, stop: int, block_rows: int, group_rows: int, seed: int, epoch: int):
        self._seed, self._epoch = seed, epoch
        self.block_rows, self.group_rows = block_rows, group_rows
        numbers = np.arange(start // block_rows, -(-stop // block_rows))
        numbers = streams.generator(seed, "shuffle", epoch).permutation(numbers)
        self._firsts = np.maximum(numbers * block_rows, start)
        self._lasts = np.minimum((numbers + 1) * block_rows, stop)
        self._n_together = max(1, group_rows // block_rows)
        sizes = np.add.reduceat(self._lasts - self._firsts, np.arange(0, len(numbers), self._n_together))
        self._edges = np.concatenate([[0], np.cumsum(sizes)])

    @property
    def description(self) -> str:
        return f"blocks of {self.block_rows} rows, {self._n_together} of them mixed"

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self._edges) - 1

    def blocks(self, group: int) -> list[tuple[int, int]]:
        """Return the first and last row (exclusive) of each block of a group."""
        which = slice(group * self._n_together, (group + 1) * self._n_together)
        return list(zip(self._firsts[which].tolist(), self._lasts[which].tolist(), strict=True))

    def mixing(self, group: int) -> np.ndarray:
        """Return the order in which a group's rows are used, as positions in its concatenated blocks."""
        n_rows = int(self._edges[group + 1] - self._edges[group])
        return streams.generator(self._seed, "shuffle", self._epoch, group).permutation(n_rows)

    def split(self, first: int, last: int) -> Iterator[tuple[int, slice]]:
        """Cut positions of the epoch at the edges of groups: pairs of a group, and a slice of its order."""
        while first < last:
            group = int(np.searchsorted(self._edges, first, side="right")) - 1
            end = min(last, int(self._edges[group + 1]))
            yield group, slice(first - int(self._edges[group]), end - int(self._edges[group]))
            first = end

    def rows(self, first: int, last: int) -> np.ndarray:
        pieces = []
        for group, where in self.split(first, last):
            rows = np.concatenate([np.arange(*block) for block in self.blocks(group)])
            pieces.append(rows[self.mixing(group)[where]])
        return np.concatenate(pieces)

    def opened(self, readers: Sequence[Reader], stack: ExitStack) -> Read:
        return _BlockReading(self, [stack.enter_context(open_reader(reader)) for reader in readers]).read


class _BlockReading:
    """Reads an epoch in block order, with two groups of rows in memory: the current one, and the next, read ahead.

    The blocks of the next group are read between the minibatches of the current one, so that no minibatch waits for a
    whole group.
    """

    def __init__(self, order: Blocks, reads: Sequence[Callable[[int, int], np.ndarray]]):
        self._order, self._reads = order, reads
        self._current: _Group | None = None
        self._ahead: _Group | None = None

    def read(self, first: int, last: int) -> list[np.ndarray]:
        pieces = []
        for number, where in self._order.split(first, last):
            group = self._group(number)
            pieces.append(group.rows(where))
            if self._ahead is not None:
                self._ahead.advance(where.stop / group.n_rows)
        return [np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*pieces, strict=True)]

    def _group(self, number: int) -> "_Group":
        """Return a group with all its rows in memory; the one after it becomes the one to read ahead."""
        if self._current is None or self._current.number != number:
            found = self._ahead if self._ahead is not None and self._ahead.number == number else None
            self._current = found or _Group(self._order, number, self._reads)
            self._current.advance(1.0)
            is_last = number + 1 == self._order.n_groups
            self._ahead = None if is_last else _Group(self._order, number + 1, self._reads)
        return self._current


class _Group:
    """The rows of a group, in memory; read block by block."""

    def __init__(self, order: Blocks, number: int, reads: Sequence[Callable[[int, int], np.ndarray]]):
        self.number = number
        self._reads = reads
        self._blocks = order.blocks(number)
        self._mixing = order.mixing(number)
        self.n_rows = len(self._mixing)
        self._arrays: list[np.ndarray] = []
        self._n_read = self._n_rows_read = 0

    def advance(self, fraction: float) -> None:
        """Read blocks until this fraction of them has been read."""
        while self._n_read < round(fraction * len(self._blocks)):
            first, last = self._blocks[self._n_read]
            for i, read in enumerate(self._reads):
                rows = np.asarray(read(first, last))
                if len(self._arrays) == i:  # the first block
                    self._arrays.append(np.empty((self.n_rows, *rows.shape[1:]), rows.dtype))
                if rows.dtype != self._arrays[i].dtype:
                    self._arrays[i] = self._arrays[i].astype(np.promote_types(rows.dtype, self._arrays[i].dtype))
                self._arrays[i][self._n_rows_read : self._n_rows_read + len(rows)] = rows
            self._n_read += 1
            self._n_rows_read += last - first

    def rows(self, where: slice) -> list[np.ndarray]:
        """Return rows by their positions in the order of this group."""
        return [array[self._mixing[where]] for array in self._arrays]
