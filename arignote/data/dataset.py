"""Data sets: features and labels, row by row, and partitions of them.

`Data` puts readers of features and labels together, and `DataWithHoldoutPartitions` cuts them into rows for training,
validation and testing. A position in the data is a number, so reading can start anywhere.
"""

import copy
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from arignote.data import formats, frames
from arignote.data.frames import as_labels
from arignote.data.hdf.reader import HDFReader, read_tables
from arignote.data.image_folder import ImageFolderReader
from arignote.data.order import BLOCK_BYTES, BLOCKS_MIXED, GROUP_BYTES, Blocks, Order, Permuted, Unshuffled
from arignote.data.prefetch import threaded_generator
from arignote.data.reader import ArrayReader, PickedReader, Reader, SparseReader, open_reader, pick
from arignote.util import checks, streams

BATCH_SIZE = 128
"""Rows of a batch of `Data`, where nothing else says how many."""

HDF_SUFFIXES = frozenset({".h5", ".hdf5", ".hdf", ".he5"})


def as_reader(source: Any) -> Reader:
    """Return a reader of `source`: a reader, an array, or a file (.h5, .npy, .csv, pickle) or folder of images."""
    if isinstance(source, Reader):
        return source
    if not isinstance(source, str | Path):
        return ArrayReader(source)
    if Path(source).suffix.lower() in HDF_SUFFIXES:
        return HDFReader(source)
    if Path(source).is_dir():
        return ImageFolderReader(source)
    if is_csv(source) and Path(source).is_file():
        columns, table = formats.read_table(source)
        return ArrayReader(table[:, 0] if table.shape[1] == 1 else table, columns)
    return ArrayReader(formats.read_array(source))


def is_csv(name: str | Path) -> bool:
    """Return True if the name is that of a CSV file."""
    return str(name).endswith((".csv", ".csv.gz"))


def read_data(name: str | Path, label: str | None = None) -> Any:
    """Return what `fit` can train on from a file or folder: features and labels, or three pairs of them.

    Parameters
    ----------
    name : str or Path
        An HDF5 file with a table of features and one of labels; a folder with a folder of images for each class; a .csv
        file (see :func:`~arignote.data.formats.read_csv`); a pickle of (X, y) or of ((X, y), (X, y), (X, y)).
    label : str, optional
        Name of the column of labels in a .csv file; by default it is known by its name, or the last one.
    """
    if Path(name).suffix.lower() in HDF_SUFFIXES:
        return read_tables(name)
    if Path(name).is_dir():
        images = ImageFolderReader(name)
        return images, images.labels
    if is_csv(name):
        table = formats.read_labelled_table(name, label)
        return ArrayReader(table.features, table.columns), table.labels
    return formats.read_pickle(name)


def own_copy(rows: Any) -> Any:
    """Return a copy of rows, which a function may change in place: a reader may give the array that it keeps."""
    return rows.copy() if isinstance(rows, np.ndarray) else rows


class Data:
    """Features and labels, row by row, in batches.

    Parameters
    ----------
    features, labels : Reader, array or file name
        Labels can be omitted for prediction.
    batch_size : int, optional
        By default that of the network, or of `fit`, or else 128.
    alter_features, alter_labels : callable, optional
        Each is given a batch of features or labels, and returns what to use instead. Runs in the thread that prepares
        batches.
    start, stop : int, optional
        Use only the rows from `start` to before `stop`.
    allow_partial_batch : bool, optional
        Give the rows left over at the end of an epoch as a smaller batch (True, the default), or leave them out of
        training. Validation and prediction always use all rows.
    shuffle : bool, optional
        Read the rows in a new random order each epoch. By default they are read in the order in which they are
        stored. Where the readers can only read sequentially (files), blocks of rows are read in a random order, and
        the rows of many blocks are mixed in memory; every row still comes once an epoch.
    seed : int, optional
        Of the random order, which depends on this and on the epoch; by default the network's seed.
    shuffle_rows : int, optional
        How many rows to mix in memory at a time, where they are read by blocks; twice as many are held. By default
        about 32 MB of them.

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
        shuffle_rows: int | None = None,
    ):
        frames.require_same_order(features, labels)
        # A reader may have more than a Reader must: take, dtype, block_rows.
        self.features: Any = as_reader(features)
        self.labels: Any = None if labels is None else as_reader(as_labels(labels))
        if self.features.n_rows == 0:
            raise ValueError(f"got no rows in {self.features}; need at least one row; try checking its source")
        if self.labels is not None and self.labels.n_rows != self.features.n_rows:
            sources = dict.fromkeys([str(self.features), str(self.labels)])
            raise ValueError(
                f"got {self.features.n_rows} rows of features and {self.labels.n_rows} of labels; need as many of one "
                f"as of the other; try checking {' and '.join(sources) if len(sources) > 1 else 'both'}"
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
        self.shuffle_rows = None if shuffle_rows is None else checks.whole_number(shuffle_rows, "shuffle_rows")

    def replace(self, **arguments: Any) -> "Data":
        """Return data like these, but for some of the arguments."""
        names = list(inspect.signature(Data).parameters)
        new = copy.copy(self)  # a subclass may have other arguments
        Data.__init__(new, **{name: getattr(self, name) for name in names} | arguments)
        return new

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
        return np.shape(self.alter_features(own_copy(batch)))[1:]

    @property
    def is_plain(self) -> bool:
        """True if the rows are those of arrays in memory, unaltered: reading them costs next to nothing."""
        in_memory = all(getattr(reader, "in_memory", False) for reader in self._readers)
        known = all(type(reader) in (ArrayReader, PickedReader) for reader in self._readers)
        return in_memory and known and self.alter_features is None and self.alter_labels is None

    @property
    def column_names(self) -> list[str] | None:
        """Names of the columns of the features, where they come from a table that has them."""
        return getattr(self.features, "column_names", None)

    def adapted(self, columns: Sequence[str] | None = None, shape: tuple[int, ...] | None = None) -> "Data":
        """Return the same data in the form that a network takes, as far as the reader of the features can adapt.

        Parameters
        ----------
        columns : list of str, optional
            Bring the columns of a table into this order.
        shape : tuple of int, optional
            Read images in this shape, unless `alter_features` is there.

        Raises
        ------
        ValueError
            If a column is missing, or there are others.
        """
        features = self.features
        if columns is not None and self.column_names not in (None, list(columns)):
            features = features.with_columns(columns)
        if shape is not None and self.alter_features is None and hasattr(features, "for_shape"):
            features = features.for_shape(shape)
        return self if features is self.features else self.replace(features=features)

    def batch_size_or(self, batch_size: int | None) -> int:
        """Return this data's own batch size, or else the one given."""
        size = self.batch_size or batch_size
        if size:
            return size
        raise ValueError("got no batch_size; need the number of examples in a minibatch; try batch_size=128")

    def n_batches(self, batch_size: int | None = None) -> int:
        """Return the number of batches in an epoch."""
        size = self.batch_size_or(batch_size)
        return -(-self.n_rows // size) if self.allow_partial_batch else self.n_rows // size

    def __len__(self) -> int:
        return self.n_rows

    def peek(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the first batch: features and labels."""
        return next(self.iter_epoch_single())

    def iter_epoch(
        self,
        num_cached: int = 3,
        epoch: int = 0,
        first_batch: int = 0,
        batch_size: int | None = None,
        seed: int = 0,
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Iterate over the batches of an epoch as pairs (features, labels), which a thread reads ahead.

        Parameters
        ----------
        num_cached : int, optional
            How many batches to read ahead; 0 to read them without a thread.
        epoch, first_batch, batch_size, seed : int, optional
            See `iter_epoch_single`.
        """
        batches = self.iter_epoch_single(epoch, first_batch, batch_size, seed)
        return threaded_generator(batches, num_cached) if num_cached else batches

    def iter_epoch_single(
        self, epoch: int = 0, first_batch: int = 0, batch_size: int | None = None, seed: int = 0
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Iterate over the batches of an epoch as pairs (features, labels), in the thread of the caller.

        Parameters
        ----------
        epoch : int, optional
            Number of the epoch, from 0; matters only when rows are shuffled.
        first_batch : int, optional
            Start here, as if the batches before had been read.
        batch_size, seed : int, optional
            Used if this data set does not define them; by default batches have 128 rows.
        """
        size = self.batch_size_or(batch_size or BATCH_SIZE)
        with self.opened(self.order(epoch, seed)) as read:
            for first in range(first_batch * size, self.n_batches(size) * size, size):
                yield read(first, min(first + size, self.n_rows))

    @contextmanager
    def opened(self, order: Order) -> Iterator[Callable[[int, int], tuple[Any, Any]]]:
        """Provide a function ``read(first, last)`` inside a ``with`` block.

        It returns the features and labels, altered, of the positions from `first` to before `last` of an epoch in this
        order; None instead of labels where there are none.
        """
        with ExitStack() as stack:
            read_rows = order.opened(self._readers, stack)

            def read(first: int, last: int) -> tuple[Any, Any]:
                rows = read_rows(first, last)
                X: Any = rows[0]
                y: Any = rows[1] if len(rows) > 1 else None
                if self.alter_features is not None:
                    X = self.alter_features(own_copy(X))
                if self.alter_labels is not None and y is not None:
                    y = self.alter_labels(own_copy(y))
                return X, y

            yield read

    def order(self, epoch: int = 0, seed: int = 0) -> Order:
        """Return the order of the rows in an epoch; `seed` is used if this data set has none."""
        seed = seed if self.seed is None else self.seed
        if not self.shuffle:
            return Unshuffled(self.start)
        if all(hasattr(reader, "take") for reader in self._readers):
            return Permuted(self.start, self.stop, seed, epoch)
        row_bytes = max(1, math.prod(self.features.shape) * np.dtype(getattr(self.features, "dtype", float)).itemsize)
        group_rows = self.shuffle_rows or max(1, GROUP_BYTES // row_bytes)
        # Blocks are small enough that many are mixed, large enough to be read fast, and hold whole chunks of a file.
        chunk_rows = getattr(self.features, "block_rows", None) or 1
        wanted_rows = min(BLOCK_BYTES // row_bytes, group_rows // BLOCKS_MIXED)
        block_rows = chunk_rows * max(1, wanted_rows // chunk_rows)
        return Blocks(self.start, self.stop, block_rows, group_rows, seed, epoch)

    @property
    def _readers(self) -> list[Reader]:
        return [self.features] if self.labels is None else [self.features, self.labels]

    def rows(self, first: int, last: int, epoch: int = 0, seed: int = 0) -> np.ndarray:
        """Return the numbers of the rows that come from position `first` to before `last` in an epoch.

        They are row numbers of all data, also where this is a partition of picked rows.
        """
        rows = self.order(epoch, seed).rows(first, last)
        return self.features.rows[rows] if isinstance(self.features, PickedReader | SparseReader) else rows


class DataWithHoldoutPartitions:
    """Data of which some rows are held out for validation, and some for testing.

    The rows lie in the order training, validation, testing, and each partition starts on a multiple of the batch size.
    Every row is in exactly one partition. Nothing is read of a partition that is not asked for.

    Parameters
    ----------
    features, labels : Reader, array or file name
    batch_size : int, optional
        By default 128.
    valid_frac, test_frac : float, optional
        Fractions to hold out, in [0, 1), by default 0.1 each. Rounded to whole batches, but to no less than one.
    alter_features, alter_labels : callable, optional
        See `Data`.
    shuffle : bool, optional
        Shuffle the training rows each epoch; see `Data`.
    seed : int, optional
        See `Data`.
    stratify : bool, optional
        Hold out the same fraction of each class instead, chosen at random by `seed` (by default 0); within a partition
        the rows keep their order. Where the classes are too small to be divided, or there are several labels a row, the
        rows are chosen at random from all.

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
        labels: Any = None,
        batch_size: int = BATCH_SIZE,
        valid_frac: float = 0.1,
        test_frac: float = 0.1,
        alter_features: Callable[[np.ndarray], np.ndarray] | None = None,
        alter_labels: Callable[[np.ndarray], np.ndarray] | None = None,
        shuffle: bool = False,
        seed: int | None = None,
        stratify: bool = False,
    ):
        self.batch_size = checks.whole_number(batch_size, "batch_size")
        valid_frac = checks.number(valid_frac, "valid_frac", least=0, below=1)
        test_frac = checks.number(test_frac, "test_frac", least=0, below=1)
        whole = Data(features, labels, batch_size, alter_features, alter_labels, seed=seed)
        cut = _stratified if stratify else _on_batch_edges
        self.train, self.valid, self.test = cut(whole, self.batch_size, valid_frac, test_frac)
        self.train.shuffle = shuffle

    def iter_epoch(self, which: str = "train", num_cached: int = 3) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Iterate over the batches of a partition, "train", "valid" or "test"; see `Data.iter_epoch`."""
        data = getattr(self, checks.choice(which, ("train", "valid", "test"), "which"))
        if data is None:
            raise ValueError(f"got which={which!r}, but no rows are held out for it; try {which}_frac=0.1")
        return data.iter_epoch(num_cached)


def to_data_object(X: Any, y: Any = None, batch_size: int = BATCH_SIZE) -> Data:
    """Return `Data` of arrays, readers or file names; `Data` as they are."""
    return X if isinstance(X, Data) else Data(X, y, batch_size)


def to_data_partitions(
    X: Any, y: Any = None, batch_size: int = BATCH_SIZE, valid_frac: float = 0.1, test_frac: float = 0.1
) -> DataWithHoldoutPartitions:
    """Return partitions of arrays, readers or file names; partitions as they are."""
    if isinstance(X, DataWithHoldoutPartitions):
        return X
    return DataWithHoldoutPartitions(X, y, batch_size, valid_frac, test_frac)


def _on_batch_edges(
    whole: Data, batch_size: int, valid_frac: float, test_frac: float
) -> tuple[Data, Data | None, Data | None]:
    """Cut data into three partitions, in order."""
    n_batches = -(-whole.n_rows // batch_size)
    held_out = [max(1, round(fraction * n_batches)) if fraction > 0 else 0 for fraction in (valid_frac, test_frac)]
    valid_start = (n_batches - sum(held_out)) * batch_size
    test_start = (n_batches - held_out[1]) * batch_size
    if valid_start <= 0:
        raise ValueError(
            f"got valid_frac={valid_frac} and test_frac={test_frac} of {n_batches} batches; "
            "need at least one batch left to train on; try smaller fractions or a smaller batch_size"
        )

    def part(start: int, stop: int) -> Data:
        return whole.replace(start=start, stop=min(stop, whole.n_rows))

    return (
        part(0, valid_start),
        part(valid_start, test_start) if held_out[0] else None,
        part(test_start, whole.n_rows) if held_out[1] else None,
    )


def _stratified(
    whole: Data, batch_size: int, valid_frac: float, test_frac: float
) -> tuple[Data, Data | None, Data | None]:
    """Cut data into three partitions, each with the same proportions of the classes."""
    if valid_frac + test_frac >= 1:
        raise ValueError(
            f"got valid_frac={valid_frac} and test_frac={test_frac} of {whole.n_rows} rows; need rows to train on, "
            "less than 1 in all; try smaller fractions"
        )
    with open_reader(whole.labels) as read:
        labels = np.asarray(read(0, whole.n_rows))
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    picked = _pick_per_class(labels, (valid_frac, test_frac), whole.seed or 0) if labels.ndim == 1 else []
    if not picked or any(
        len(rows) == 0 for rows, fraction in zip(picked, (1, valid_frac, test_frac), strict=True) if fraction
    ):
        picked = _pick_per_class(
            np.zeros(len(labels)), (valid_frac, test_frac), whole.seed or 0
        )  # too few of each class
    for rows, fraction, name in zip(picked, (1.0, valid_frac, test_frac), ("train", "validate", "test"), strict=True):
        if fraction > 0 and not len(rows):
            raise ValueError(
                f"got valid_frac={valid_frac} and test_frac={test_frac} of {len(labels)} rows; need rows to {name} on; "
                "try other fractions"
            )
    train, valid, test = (
        whole.replace(features=pick(whole.features, rows), labels=pick(whole.labels, rows), start=0, stop=None)
        if len(rows)
        else None
        for rows in picked
    )
    assert train is not None  # or an error was raised above
    return train, valid, test


def _pick_per_class(labels: np.ndarray, fractions: tuple[float, float], seed: int) -> list[np.ndarray]:
    """Return the rows to train, to validate and to test on, in increasing order: the same fractions of each class."""
    parts: list[list[np.ndarray]] = [[], [], []]
    for k, label in enumerate(np.unique(labels)):
        rows = np.flatnonzero(labels == label)
        rows = streams.generator(seed, "stratify", k).permutation(rows)
        n_valid, n_test = (round(fraction * len(rows)) for fraction in fractions)
        for part, chosen in zip(parts, np.split(rows, [len(rows) - n_valid - n_test, len(rows) - n_test]), strict=True):
            part.append(chosen)
    return [np.sort(np.concatenate(part)) for part in parts]
