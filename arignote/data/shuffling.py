"""Random orders of rows that are too many to be held in memory, or to be picked one by one.

The rows are cut into blocks, which lie together in a file. An epoch takes the blocks in a random order, some at a time:
a group. Within a group all rows are mixed. Each group's order depends on (seed, epoch, group) alone, so reading can
start at any batch.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from arignote.util import streams

BLOCK_BYTES = 2**18
GROUP_BYTES = 2**25
BLOCKS_MIXED = 16


class BlockOrder:
    """The order in which an epoch visits the rows `start` to before `stop`.

    Parameters
    ----------
    start, stop : int
    block_rows : int
        Rows in a block; blocks lie on multiples of this number.
    group_rows : int
        Rows that are mixed with each other, about: a whole number of blocks.
    seed, epoch : int

    Examples
    --------
    >>> order = BlockOrder(0, 10, block_rows=2, group_rows=6, seed=1, epoch=0)
    >>> sorted(order.rows(0, 10).tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    def __init__(self, start: int, stop: int, block_rows: int, group_rows: int, seed: int, epoch: int):
        self.n_rows = stop - start
        self._seed, self._epoch = seed, epoch
        numbers = np.arange(start // block_rows, -(-stop // block_rows))
        numbers = streams.generator(seed, "shuffle", epoch).permutation(numbers)
        self._firsts = np.maximum(numbers * block_rows, start)
        self._lasts = np.minimum((numbers + 1) * block_rows, stop)
        self._n_together = max(1, group_rows // block_rows)
        sizes = np.add.reduceat(self._lasts - self._firsts, np.arange(0, len(numbers), self._n_together))
        self._edges = np.concatenate([[0], np.cumsum(sizes)])

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self._edges) - 1

    def blocks(self, group: int) -> list[tuple[int, int]]:
        """Return the first and last row (exclusive) of each block of a group."""
        which = slice(group * self._n_together, (group + 1) * self._n_together)
        return list(zip(self._firsts[which].tolist(), self._lasts[which].tolist(), strict=True))

    def mixing(self, group: int) -> np.ndarray:
        """Return the order in which a group's rows are used, as positions in its blocks laid end to end."""
        n_rows = int(self._edges[group + 1] - self._edges[group])
        return streams.generator(self._seed, "shuffle", self._epoch, group).permutation(n_rows)

    def split(self, first: int, last: int) -> Iterator[tuple[int, slice]]:
        """Cut positions of the epoch at the edges of groups: pairs of a group, and where in its order."""
        while first < last:
            group = int(np.searchsorted(self._edges, first, side="right")) - 1
            end = min(last, int(self._edges[group + 1]))
            yield group, slice(first - int(self._edges[group]), end - int(self._edges[group]))
            first = end

    def rows(self, first: int, last: int) -> np.ndarray:
        """Return the numbers of the rows at some positions of the epoch."""
        pieces = []
        for group, where in self.split(first, last):
            lying = np.concatenate([np.arange(*block) for block in self.blocks(group)])
            pieces.append(lying[self.mixing(group)[where]])
        return np.concatenate(pieces)


def batches(
    order: BlockOrder,
    reads: Sequence[Callable[[int, int], np.ndarray]],
    batch_size: int,
    first_batch: int,
    n_batches: int,
) -> Iterator[list[np.ndarray]]:
    """Iterate over the batches of an epoch, each a list with one array for each function of `reads`.

    Each function is called with the first and last row of a block. The blocks of the next group are read between the
    batches of the present one, so that no batch waits for a whole group.
    """
    present, ahead = None, None
    for batch in range(first_batch, n_batches):
        pieces = []
        for group, where in order.split(batch * batch_size, min((batch + 1) * batch_size, order.n_rows)):
            if present is None or present.number != group:
                present = ahead if ahead is not None and ahead.number == group else _Group(order, group, reads)
                present.complete()
                ahead = _Group(order, group + 1, reads) if group + 1 < order.n_groups else None
            pieces.append(present.rows(where))
            if ahead is not None:
                ahead.advance(where.stop / present.n_rows)
        yield [np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*pieces, strict=True)]


class _Group:
    """The rows of a group, in memory; read block by block."""

    def __init__(self, order: BlockOrder, number: int, reads: Sequence[Callable[[int, int], np.ndarray]]):
        self.number = number
        self._reads = reads
        self._blocks = order.blocks(number)
        self._mixing = order.mixing(number)
        self.n_rows = len(self._mixing)
        self._arrays: list[np.ndarray] = []
        self._n_read = self._n_rows_read = 0

    def advance(self, fraction: float) -> None:
        """Read blocks until this fraction of them is there."""
        while self._n_read < round(fraction * len(self._blocks)):
            first, last = self._blocks[self._n_read]
            for i, read in enumerate(self._reads):
                rows = np.asarray(read(first, last))
                if len(self._arrays) == i:  # the first block
                    self._arrays.append(np.empty((self.n_rows, *rows.shape[1:]), rows.dtype))
                self._arrays[i][self._n_rows_read : self._n_rows_read + len(rows)] = rows
            self._n_read += 1
            self._n_rows_read += last - first

    def complete(self) -> None:
        self.advance(1.0)

    def rows(self, where: slice) -> list[np.ndarray]:
        """Return rows by their positions in the order of this group."""
        return [array[self._mixing[where]] for array in self._arrays]
