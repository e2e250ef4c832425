"""Sources of examples, and batches made from them.

A `Reader` gives the rows of one thing (features, or labels) in batches. `Data` puts features and labels together, and
`DataWithHoldoutPartitions` cuts them into rows for training, validation and testing. A position in the data is a
number, so reading can start anywhere.
"""

import itertools
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from arignote.data import files
from arignote.util import checks, streams


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
    """

    n_rows: int
    shape: tuple[int, ...]

    @abstractmethod
    def iter_epoch(
        self,
        batch_size: int,
        start: int = 0,
        stop: int | None = None,
        start_on_batch: bool = True,
        allow_partial: bool = False,
    ) -> Iterator[np.ndarray]:
        """Iterate over rows in order, as arrays of shape (batch_size, *shape).

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


class ArrayReader(Reader):
    """Rows of an array: numpy, `numpy.memmap`, pandas, or anything that numpy makes an array of.

    Parameters
    ----------
    array : array-like, shape (n_rows, ...)

    Examples
    --------
    >>> [batch.tolist() for batch in ArrayReader([[1], [2], [3]]).iter_epoch(2)]
    [[[1], [2]]]
    """

    def __init__(self, array: Any):
        if not isinstance(array, np.ndarray):  # keeps a memmap what it is
            array = rectangular(array)
        if array.ndim == 0:
            raise ValueError(f"got {array[()]!r}; need an array of rows; try a list or an array")
        self.array = array
        self.n_rows = len(array)
        self.shape = array.shape[1:]

    def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
        for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
            yield self.array[first:last]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return these rows, in this order. A reader that has this method can be shuffled."""
        return self.array[rows]


def rectangular(rows: Any) -> np.ndarray:
    """Return an array of rows that need not be one yet; refuse rows of different sizes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what numpy 1 warns of, numpy 2 refuses
            return np.asarray(rows)
    except (ValueError, Warning) as error:
        raise ValueError(
            "got examples of different sizes; need the same shape in every row; try padding or cropping them"
        ) from error


def as_reader(source: Any) -> Reader:
    """Return a reader of `source`: a reader, an array, or the name of a .npy, .csv or pickle file."""
    if isinstance(source, Reader):
        return source
    if isinstance(source, str | Path):
        return ArrayReader(files.read_array(source))
    return ArrayReader(source)


class Data:
    """Features and labels, row by row, in batches.

    Parameters
    ----------
    features, labels : Reader, array or file name
        Labels may be left out, to predict.
    batch_size : int, optional
        By default the network's.
    alter_features, alter_labels : callable, optional
        Each is given a batch of features or labels, and returns what to use instead. Runs in the thread that prepares
        batches.
    start, stop : int, optional
        Use only the rows from `start` to before `stop`.
    allow_partial_batch : bool, optional
        Give the rows left over at the end of an epoch as a smaller batch (True, the default), or leave them out.
    shuffle : bool, optional
        Read the rows in a new random order each epoch. By default they come in the order in which they lie.
    seed : int, optional
        Of the random order, which depends on this and on the epoch; by default the network's seed.

    Raises
    ------
    ValueError
        If features and labels have different numbers of rows, or `start` and `stop` leave none.

    Examples
    --------
    >>> data = Data(np.arange(6.0).reshape(3, 2), [0, 1, 0], batch_size=2)
    >>> [y.tolist() for X, y in data.iter_epoch()]
    [[0, 1], [0]]
    """

    def __init__(
        self,
        features: Any,
        labels: Any = None,
        batch_size: int | None = None,
        alter_features: Callable[[np.ndarray], np.ndarray] | None = None,
        alter_labels: Callable[[np.ndarray], np.ndarray] | None = None,
        start: int = 0,
        stop: int | None = None,
        allow_partial_batch: bool = True,
        shuffle: bool = False,
        seed: int | None = None,
    ):
        self.features = as_reader(features)
        self.labels = None if labels is None else as_reader(labels)
        if self.labels is not None and self.labels.n_rows != self.features.n_rows:
            raise ValueError(
                f"got {self.features.n_rows} rows of features and {self.labels.n_rows} of labels; need as many of one "
                "as of the other; try checking where the two come from"
            )
        self.batch_size = None if batch_size is None else checks.whole_number(batch_size, "batch_size")
        self.alter_features = alter_features
        self.alter_labels = alter_labels
        self.start = checks.whole_number(start, "start", least=0)
        self.stop = self.features.n_rows if stop is None else checks.whole_number(stop, "stop", least=0)
        if not self.start < self.stop <= self.features.n_rows:
            raise ValueError(
                f"got rows {self.start} to {self.stop} of {self.features.n_rows}; need at least one row; "
                "try other values of start and stop"
            )
        self.allow_partial_batch = allow_partial_batch
        self.shuffle = shuffle
        self.seed = None if seed is None else streams.as_seed(seed, "seed")
        unable = [r for r in (self.features, self.labels) if r is not None and not hasattr(r, "take")]
        if shuffle and unable:
            raise ValueError(
                f"got shuffle=True with a {type(unable[0]).__name__}; need a reader with a method take(rows); "
                "try an ArrayReader, or shuffle=False"
            )

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.stop - self.start

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the features of one row, as the network gets them."""
        if self.alter_features is None:
            return tuple(self.features.shape)
        batch = next(self.features.iter_epoch(1, start=self.start, stop=self.stop, start_on_batch=False))
        return np.shape(self.alter_features(batch))[1:]

    @property
    def needs_work(self) -> bool:
        """True if batches take time to prepare, so that a thread pays."""
        readers = (self.features, self.labels)
        plain = all(reader is None or type(reader) is ArrayReader for reader in readers)
        return self.shuffle or not plain or self.alter_features is not None or self.alter_labels is not None

    def batch_size_or(self, batch_size: int | None) -> int:
        """Return this data's own batch size, or else the one given."""
        if self.batch_size or batch_size:
            return self.batch_size or batch_size
        raise ValueError("got no batch_size; need the number of examples in a minibatch; try batch_size=128")

    def n_batches(self, batch_size: int | None = None) -> int:
        """Return the number of batches in an epoch."""
        size = self.batch_size_or(batch_size)
        return -(-self.n_rows // size) if self.allow_partial_batch else self.n_rows // size

    def iter_epoch(
        self, epoch: int = 0, first_batch: int = 0, batch_size: int | None = None, seed: int = 0
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Iterate over the batches of an epoch as pairs (features, labels).

        Parameters
        ----------
        epoch : int, optional
            Number of the epoch, from 0; matters only when rows are shuffled.
        first_batch : int, optional
            Start here, as if the batches before had been read.
        batch_size, seed : int, optional
            Used where this data has none of its own.
        """
        size = self.batch_size_or(batch_size)
        if self.shuffle:
            batches = self._shuffled(epoch, first_batch, size, seed if self.seed is None else self.seed)
        else:
            batches = self._in_order(first_batch, size)
        for X, y in batches:
            if self.alter_features is not None:
                X = self.alter_features(X)
            if self.alter_labels is not None and y is not None:
                y = self.alter_labels(y)
            yield X, y

    def _in_order(self, first_batch: int, size: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        where = {
            "batch_size": size,
            "start": self.start + first_batch * size,
            "stop": self.stop,
            "start_on_batch": False,
            "allow_partial": self.allow_partial_batch,
        }
        features = self.features.iter_epoch(**where)
        labels = itertools.repeat(None) if self.labels is None else self.labels.iter_epoch(**where)
        row = where["start"]
        for X, y in zip(features, labels, strict=False):
            if y is not None and len(X) != len(y):
                raise ValueError(
                    f"got {len(X)} rows of features and {len(y)} of labels from row {row} on; "
                    "need as many of one as of the other; try checking both readers' iter_epoch"
                )
            row += len(X)
            yield X, y

    def _shuffled(
        self, epoch: int, first_batch: int, size: int, seed: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        order = self.start + streams.generator(seed, "shuffle", epoch).permutation(self.n_rows)
        for batch in range(first_batch, self.n_batches(size)):
            rows = order[batch * size : (batch + 1) * size]
            yield self.features.take(rows), None if self.labels is None else self.labels.take(rows)


class DataWithHoldoutPartitions:
    """Data of which some rows are held out for validation, and some for testing.

    The rows lie in the order training, validation, testing, and each partition starts on a multiple of the batch size.
    Every row is in exactly one partition.

    Parameters
    ----------
    features, labels : Reader, array or file name
    batch_size : int
    valid_frac, test_frac : float, optional
        Fractions to hold out, in [0, 1). Rounded to whole batches, but to no less than one.
    alter_features, alter_labels : callable, optional
        See `Data`.
    shuffle : bool, optional
        Shuffle the training rows each epoch; see `Data`.
    seed : int, optional
        See `Data`.

    Attributes
    ----------
    train : Data
    valid, test : Data or None
        None where the fraction is 0.

    Raises
    ------
    ValueError
        If the fractions leave no rows to train on.

    Examples
    --------
    >>> X, y = np.zeros((100, 3)), np.zeros(100)
    >>> data = DataWithHoldoutPartitions(X, y, batch_size=10, valid_frac=0.2, test_frac=0.1)
    >>> data.train.n_rows, data.valid.n_rows, data.test.n_rows
    (70, 20, 10)
    """

    def __init__(
        self,
        features: Any,
        labels: Any,
        batch_size: int,
        valid_frac: float = 0.0,
        test_frac: float = 0.0,
        alter_features: Callable[[np.ndarray], np.ndarray] | None = None,
        alter_labels: Callable[[np.ndarray], np.ndarray] | None = None,
        shuffle: bool = False,
        seed: int | None = None,
    ):
        features, labels = as_reader(features), as_reader(labels)
        batch_size = checks.whole_number(batch_size, "batch_size")
        n_batches = -(-features.n_rows // batch_size)
        held_out = []
        for fraction, name in ((valid_frac, "valid_frac"), (test_frac, "test_frac")):
            fraction = checks.number(fraction, name, least=0, below=1)
            held_out.append(max(1, round(fraction * n_batches)) if fraction > 0 else 0)
        valid_start = (n_batches - sum(held_out)) * batch_size
        test_start = (n_batches - held_out[1]) * batch_size
        if valid_start <= 0:
            raise ValueError(
                f"got valid_frac={valid_frac} and test_frac={test_frac} of {n_batches} batches; "
                "need at least one batch left to train on; try smaller fractions or a smaller batch_size"
            )

        def part(start: int, stop: int, shuffled: bool = False) -> Data | None:
            stop = min(stop, features.n_rows)
            if start >= stop:
                return None
            return Data(
                features, labels, batch_size, alter_features, alter_labels, start, stop, shuffle=shuffled, seed=seed
            )

        self.batch_size = batch_size
        self.train = part(0, valid_start, shuffle)
        self.valid = part(valid_start, test_start)
        self.test = part(test_start, features.n_rows)


DataWithHoldoutParitions = DataWithHoldoutPartitions
"""The name under which the class was first published, with its misprint."""
