"""What a reader is, and the reader of arrays."""

import importlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from arignote.data import frames


@contextmanager
def closing(iterator: Iterator[Any]) -> Iterator[Iterator[Any]]:
    """Close an iterator after a ``with`` block, if it can be closed: a generator closes its files.

    Python would do so in the end, but not while an exception remembers where it came from.
    """
    try:
        yield iterator
    finally:
        getattr(iterator, "close", lambda: None)()


class Reader(ABC):
    """A source of rows. Write `iter_epoch`, `n_rows` and `shape`, and a network can train on it.

    Attributes
    ----------
    n_rows : int
        Number of rows.
    shape : tuple of int
        Shape of one row, e.g. (784,) or (3, 32, 32); () for one number a row, such as a class label.

    Examples
    --------
    A reader of the numbers 0, 1, 2, ... that never has them all in memory:

    >>> class Counter(Reader):
    ...     n_rows, shape = 10, ()
    ...
    ...     def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
    ...         for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
    ...             yield np.arange(first, last)
    >>> [batch.tolist() for batch in Counter().iter_epoch(4, allow_partial=True)]
    [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]

    A generator as a reader. It cannot start in the middle, so what lies before `start` is made and thrown away:

    >>> from itertools import islice
    >>> def measurements():
    ...     for i in range(1000):
    ...         yield [i, i % 7]
    >>> class Generated(Reader):
    ...     n_rows, shape = 1000, (2,)
    ...
    ...     def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
    ...         rows, position = measurements(), 0
    ...         for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
    ...             yield np.array(list(islice(rows, first - position, last - position)))
    ...             position = last
    >>> [batch.tolist() for batch in Generated().iter_epoch(2, start=996)]
    [[[996, 2], [997, 3]], [[998, 4], [999, 5]]]
    """

    n_rows: int
    shape: tuple[int, ...]
    dtype: Any = None

    def __init__(self, data_src: Any = None):
        """Keep a source, such as an array, which says how many rows there are, and of which shape."""
        self.data_src = data_src
        if data_src is not None and not hasattr(self, "n_rows"):
            self.n_rows = len(data_src)
        if data_src is not None and not hasattr(self, "shape"):
            self.shape = np.shape(data_src)[1:]

    def __len__(self) -> int:
        return self.n_rows

    @property
    def ndim(self) -> int:
        """Number of axes of an array of all rows."""
        return 1 + len(self.shape)

    def get_start_row(self, start: float, batch_size: int) -> int:
        """Return the first row of the batch that has the row `start`, or the row at this fraction of all, below 1."""
        return self._row(start) // batch_size * batch_size

    def get_stop_row(self, stop: float | None, batch_size: int) -> int:
        """Return the row before which to stop: the edge of a batch, unless it is the last row; see `get_start_row`."""
        row = self.n_rows if stop is None else self._row(stop)
        return row if row >= self.n_rows else row // batch_size * batch_size

    def _row(self, position: float) -> int:
        is_fraction = isinstance(position, float | np.floating) and 0 <= position <= 1
        return int(position * self.n_rows) if is_fraction else int(position)

    @abstractmethod
    def iter_epoch(
        self,
        batch_size: int,
        start: int = 0,
        stop: int | None = None,
        start_on_batch: bool = True,
        allow_partial: bool = False,
    ) -> Iterator[np.ndarray]:
        """Iterate over rows in order, as arrays of shape ``(batch_size, *shape)``.

        Parameters
        ----------
        batch_size : int
        start, stop : int, optional
            The first row, and the row before which to stop; by default all rows.
        start_on_batch : bool, optional
            Batches lie on multiples of `batch_size`, counted from row 0: a `start` between two multiples moves up to
            the next one. If False, the first batch begins at exactly `start`.
        allow_partial : bool, optional
            Give the rows that are left over at the end, too, as a smaller batch.
        """

    def spans(
        self, batch_size: int, start: int = 0, stop: int | None = None, start_on_batch: bool = True,
        allow_partial: bool = False,
    ) -> Iterator[tuple[int, int]]:  # fmt: skip
        """Iterate over the first and last row (exclusive) of each batch that `iter_epoch` must give."""
        stop = self.n_rows if stop is None else min(stop, self.n_rows)
        if start_on_batch:
            start = -(-start // batch_size) * batch_size
        for first in range(start, stop, batch_size):
            last = min(first + batch_size, stop)
            if last - first == batch_size or allow_partial:
                yield first, last

    @contextmanager
    def opened(self) -> Iterator[Callable[[int, int], np.ndarray]]:
        """Provide a function ``read(first, last)`` of any rows inside a ``with`` block.

        By default rows come from `iter_epoch`, which is started again only where a read does not continue the one
        before. A reader of files can override this to keep its file open.
        """
        stream = _RowStream(self)
        try:
            yield stream.read
        finally:
            stream.close()

    def __str__(self) -> str:
        return type(self).__name__


@contextmanager
def open_reader(reader: Reader) -> Iterator[Callable[[int, int], np.ndarray]]:
    """Provide a function ``read(first, last)`` of a reader inside a ``with`` block, which checks the number of rows.

    A subclass that overrides only `iter_epoch` is read by it, even if the class above has its own `opened`.

    Raises
    ------
    ValueError
        If the reader returns more or fewer rows than it should.
    """
    kind = next(kind for kind in type(reader).__mro__ if {"opened", "iter_epoch"} & set(vars(kind)))
    with reader.opened() if "opened" in vars(kind) else Reader.opened(reader) as read:

        def read_checked(first: int, last: int) -> np.ndarray:
            rows = read(first, last)
            require_rows(reader, rows, last - first, f" from row {first} on")
            return rows

        yield read_checked


def require_rows(reader: Reader, rows: Any, expected: int, where: str = "") -> None:
    """Refuse what a reader returned if it has another number of rows; `where` belongs to the message."""
    if len(rows) != expected:
        raise ValueError(
            f"{reader}: got {len(rows)} rows{where}; need {expected}, as its n_rows={reader.n_rows} says; "
            "try checking its methods iter_epoch, opened and take"
        )


class _RowStream:
    """Reads successive rows from one pass of a reader's `iter_epoch`."""

    def __init__(self, reader: Reader):
        self._reader = reader
        self._chunks: Iterator[np.ndarray] | None = None
        self._size = 0
        self._rest: Any = ()  # rows of the last chunk that have not been asked for
        self._next = 0  # the row that follows those given out

    def read(self, first: int, last: int) -> np.ndarray:
        if self._chunks is None or first != self._next:
            self.close()
            self._size, self._next, self._rest = last - first, first, ()
            self._chunks = self._reader.iter_epoch(self._size, start=first, start_on_batch=False, allow_partial=True)
        parts = []
        while self._next < last:
            rows = self._rest if len(self._rest) else self._chunk()
            n = min(len(rows), last - self._next)
            parts.append(rows[:n])
            self._rest, self._next = rows[n:], self._next + n
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def close(self) -> None:
        getattr(self._chunks, "close", lambda: None)()
        self._chunks = None

    def _chunk(self) -> np.ndarray:
        """Return the next chunk of `iter_epoch`, which must have the number of rows that the reader promises."""
        assert self._chunks is not None
        rows = next(self._chunks, ())
        expected = min(self._size, self._reader.n_rows - self._next)
        require_rows(self._reader, rows, expected, f" from row {self._next} on")
        return rows.copy()  # type: ignore[union-attr]  # since a reader may yield the same array again and again


class ArrayReader(Reader):
    """Rows of an array: numpy, `numpy.memmap`, pandas, or anything that numpy makes an array of.

    Parameters
    ----------
    array : array-like, shape (n_rows, ...)
        All columns of a data frame must be numbers.
    columns : list of str, optional
        Names of the columns; by default those of a data frame.

    Examples
    --------
    >>> [batch.tolist() for batch in ArrayReader([[1], [2], [3]]).iter_epoch(2)]
    [[[1], [2]]]
    """

    def __init__(self, array: Any, columns: Sequence[str] | None = None):
        self.column_names = frames.column_names(array) if columns is None else list(columns)
        refuse_masked(array)
        if not isinstance(array, np.ndarray):  # keeps a memmap what it is
            array = rectangular(frames.as_features(array))
        if self.column_names is not None and array.shape[1:] != (len(self.column_names),):
            self.column_names = None
        if array.ndim == 0:
            raise ValueError(f"got {array.tolist()!r}; need an array of rows; try a list or an array")
        self.array, self.dtype = array, array.dtype
        self.n_rows = len(array)
        self.shape = array.shape[1:]

    def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
        for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
            yield self.array[first:last]

    @contextmanager
    def opened(self) -> Iterator[Callable[[int, int], np.ndarray]]:
        """Provide a function ``read(first, last)``, which returns a view of the array."""
        yield lambda first, last: self.array[first:last]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return these rows, in this order. The rows of a reader that has this method can be shuffled one by one."""
        return self.array[rows]

    def with_columns(self, names: Sequence[str]) -> "ArrayReader":
        """Return a reader of the same rows with the columns in this order; refuse missing and other columns."""
        assert self.column_names is not None
        return ArrayReader(self.array[:, frames.positions(self.column_names, names)], names)

    @property
    def in_memory(self) -> bool:
        """True if the array is in memory, and not a `numpy.memmap` of a file."""
        return not isinstance(self.array, np.memmap)

    def __str__(self) -> str:
        return f"the file {self.array.filename}" if isinstance(self.array, np.memmap) else "the array"


def refuse_masked(rows: Any) -> None:
    """Refuse an array, or a list of rows, with masked values, since what is behind the mask would be used."""
    parts = rows if isinstance(rows, list | tuple) else [rows]
    n_masked = sum(int(np.ma.getmaskarray(part).sum()) for part in parts if isinstance(part, np.ma.MaskedArray))
    if n_masked:
        raise ValueError(
            f"got a masked array with {n_masked} masked values; need values everywhere; try X.filled(0), or leaving "
            "these rows out"
        )


def rectangular(rows: Any) -> np.ndarray:
    """Return an array of rows that need not be one yet; refuse rows of different sizes, and masked ones."""
    refuse_masked(rows)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what numpy 1 warns of, numpy 2 refuses
            return np.asarray(rows)
    except (ValueError, Warning) as error:
        raise ValueError(
            "got examples of different sizes; need the same shape in every row; try padding or cropping them"
        ) from error


class _SelectedRows:
    """What readers of some rows of another reader have in common."""

    reader: Any
    rows: np.ndarray

    @property
    def column_names(self) -> list[str] | None:
        """Names of the columns, if the reader has them."""
        return getattr(self.reader, "column_names", None)

    def with_columns(self, names: Sequence[str]) -> Any:
        """Return the same rows with the columns in this order; refuse missing and other columns."""
        return type(self)(self.reader.with_columns(names), self.rows)  # type: ignore[call-arg]

    def __str__(self) -> str:
        return str(self.reader)


class PickedReader(_SelectedRows, Reader):
    """Some rows of a reader that has a method `take`, in a given order.

    Parameters
    ----------
    reader : Reader
    rows : int array
        Their numbers.

    Examples
    --------
    >>> list(PickedReader(ArrayReader([10, 11, 12, 13]), np.array([3, 0])).iter_epoch(2))
    [array([13, 10])]
    """

    def __init__(self, reader: Any, rows: np.ndarray):
        self.reader, self.rows = reader, rows
        self.n_rows, self.shape = len(rows), reader.shape

    def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
        for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
            yield self.reader.take(self.rows[first:last])

    @contextmanager
    def opened(self) -> Iterator[Callable[[int, int], np.ndarray]]:
        """Provide a function ``read(first, last)``."""
        yield lambda first, last: self.reader.take(self.rows[first:last])

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return rows by their numbers among those picked."""
        return self.reader.take(self.rows[rows])

    @property
    def in_memory(self) -> bool:
        """True if the reader's rows are in memory."""
        return getattr(self.reader, "in_memory", False)

    def for_shape(self, shape: tuple[int, ...]) -> "PickedReader":
        """Return the same rows of a reader that is adapted to a shape of examples, if the reader can be."""
        reader = getattr(self.reader, "for_shape", lambda shape: self.reader)(shape)
        return self if reader is self.reader else PickedReader(reader, self.rows)


class SparseReader(_SelectedRows, Reader):
    """Some rows, in increasing order, of a reader that reads rows in sequence, such as one of a file.

    The rows between those wanted are read and left out.

    Parameters
    ----------
    reader : Reader
    rows : int array
        Their numbers, increasing.

    Examples
    --------
    >>> list(SparseReader(ArrayReader([10, 11, 12, 13]), np.array([0, 3])).iter_epoch(2))
    [array([10, 13])]
    """

    def __init__(self, reader: Any, rows: np.ndarray):
        self.reader, self.rows = reader, rows
        self.n_rows, self.shape = len(rows), reader.shape
        self.dtype = getattr(reader, "dtype", None)
        if hasattr(reader, "block_rows"):
            self.block_rows = reader.block_rows and max(1, reader.block_rows * self.n_rows // reader.n_rows)

    def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
        with self.opened() as read:
            for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
                yield read(first, last)

    @contextmanager
    def opened(self) -> Iterator[Callable[[int, int], np.ndarray]]:
        """Provide a function ``read(first, last)``."""
        with open_reader(self.reader) as read_all:

            def read(first: int, last: int) -> np.ndarray:
                wanted = self.rows[first:last]
                start = int(wanted[0])
                return np.asarray(read_all(start, int(wanted[-1]) + 1))[wanted - start]

            yield read


def pick(reader: Any, rows: np.ndarray) -> Reader:
    """Return a reader of some rows of another, given by their numbers in increasing order."""
    return PickedReader(reader, rows) if hasattr(reader, "take") else SparseReader(reader, rows)


def is_random_access(reader: Any) -> bool:
    """Return True if rows anywhere can be read fast: one by one, or in blocks as from a file."""
    return hasattr(reader, "take") or hasattr(reader, "block_rows")


def read_sample(reader: Any, rows: np.ndarray) -> np.ndarray:
    """Return rows of a reader, given by their numbers in increasing order; of a slow one, as many of its first rows."""
    if hasattr(reader, "take"):
        return np.asarray(reader.take(rows))
    with open_reader(reader) as read:
        if not is_random_access(reader):
            return np.asarray(read(int(rows[0]), int(rows[0]) + len(rows)))
        return np.concatenate([np.asarray(read(row, row + 1)) for row in rows.tolist()])


def __getattr__(name: str) -> Any:
    """Find ``reader.Data`` and partitions, as the documentation of the first Arignote wrote them."""
    if name in ("Data", "DataWithHoldoutPartitions"):
        return getattr(importlib.import_module("arignote.data.dataset"), name)  # which imports this module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
