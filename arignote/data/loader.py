"""Minibatches by their positions: the one place that reads, alters, checks, prepares and augments them.

The position of a minibatch, a :class:`BatchRef`, identifies it: which data, which epoch, which minibatch. A
:class:`Loader` turns a position into arrays, for training in one process, on a device, in shards and on many machines,
for validation and for prediction. Everything random depends on (seed, epoch, minibatch, shard), so the same position
gives the same arrays wherever and whenever it is read.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from arignote.data.dataset import Data, own_copy
from arignote.data.labels import LabelSummary, iter_labels
from arignote.data.order import Order, Unshuffled
from arignote.data.prefetch import Prefetcher
from arignote.data.reader import PickedReader, Reader
from arignote.util import streams
from arignote.util.functions import as_augmentation, pair

CHECKED_ROWS = 8192
"""How many rows of an array `Loader.check` looks at at a time."""


@dataclass(frozen=True, slots=True)
class BatchRef:
    """The position of a minibatch.

    Attributes
    ----------
    split : str
        Name of the data: "train", "valid", "test", ...
    epoch, index : int
        Minibatch number `index` of epoch `epoch`, both counted from 0.
    n_rows : int
        Number of its rows.
    """

    split: str
    epoch: int
    index: int
    n_rows: int


class Batch(NamedTuple):
    """The rows of a minibatch, or of a shard of it: features, and labels or None."""

    X: Any
    y: Any


class Target(Protocol):
    """What minibatches are prepared for: a network."""

    @property
    def dtype(self) -> np.dtype:
        """The type of features that the network computes with."""

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Return True if examples of this shape can be prepared."""

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of an example, for messages."""

    def prepare_features(self, X: np.ndarray) -> np.ndarray:
        """Return features in the shape and type that the network computes with, or raise ValueError."""

    def prepare_labels(self, y: np.ndarray, first_row: int = 0) -> np.ndarray:
        """Return labels as the network takes them, or raise ValueError, naming a row counted from `first_row`."""

    def check_labels(self, y: np.ndarray) -> np.ndarray:
        """Return labels that were prepared before, and perhaps changed since, or raise ValueError."""


class Loader:
    """Reads minibatches by their positions.

    Files stay open from one minibatch to the next, and minibatches that follow each other are read ahead by a thread
    where that takes time.

    Parameters
    ----------
    splits : mapping of str to Data
        The data, by name. Only "train" is augmented.
    batch_size : int or None
        Rows of a minibatch, where the data have no batch size of their own.
    seed : int, optional
        Of shuffling and augmentation, by default 0.
    network : Target, optional
        What minibatches are prepared for; by default they come as the data have them.
    augmentation : callable, or list of callable, optional
        As ``fit`` takes it: ``f(X, y, epoch, rng)``, ``f(X, y)`` or ``f(X)``, or several of them.
    prefetch : int or mapping of str to int, optional
        How many minibatches to read ahead, of each split or of some; by default 0, to read them when they are asked
        for.
    first_epoch : int, optional
        The number that `augmentation` gets for the first epoch, by default 1.

    Examples
    --------
    >>> loader = Loader({"train": Data(np.arange(10), np.arange(10) * 2)}, batch_size=4)
    >>> [ref.n_rows for ref in loader.refs("train")]
    [4, 4, 2]
    >>> loader.read(BatchRef("train", epoch=0, index=1, n_rows=4))
    Batch(X=array([4, 5, 6, 7]), y=array([ 8, 10, 12, 14]))
    """

    def __init__(
        self,
        splits: Mapping[str, Data],
        batch_size: int | None,
        seed: int = 0,
        network: Target | None = None,
        augmentation: Callable | Sequence[Callable] | None = None,
        prefetch: int | Mapping[str, int] = 0,
        first_epoch: int = 1,
    ):
        self.splits = dict(splits)
        self.batch_size, self.seed, self.network, self.prefetch = batch_size, seed, network, prefetch
        self.augmentation, self.first_epoch = augmentation, first_epoch
        self._augment = None if augmentation is None else keyed_augmentation(augmentation, seed, first_epoch)
        self._sizes = {name: data.batch_size_or(batch_size) for name, data in self.splits.items()}
        self._checked: set[str] = set()
        self._verified: list[Any] = []
        self._streams: dict[str, _BatchStream] = {}
        self._readers: dict[str, tuple[int, ExitStack, Callable]] = {}
        self._orders: dict[str, tuple[int, Order]] = {}

    # -- positions ---------------------------------------------------------------------------------------------------

    def n_batches(self, split: str) -> int:
        """Return the number of minibatches in an epoch."""
        return self.splits[split].n_batches(self._sizes[split])

    def refs(self, split: str, epoch: int = 0, start: int = 0) -> Iterator[BatchRef]:
        """Iterate over the positions of an epoch, from minibatch number `start` on."""
        size, n_rows = self._sizes[split], self.splits[split].n_rows
        for index in range(start, self.n_batches(split)):
            yield BatchRef(split, epoch, index, min(size, n_rows - index * size))

    def row_numbers(self, ref: BatchRef) -> np.ndarray:
        """Return the numbers of the rows of a minibatch, in the readers."""
        first = ref.index * self._sizes[ref.split]
        return self._order(ref).rows(first, first + ref.n_rows)

    def _order(self, ref: BatchRef) -> Order:
        """Return the order of an epoch; that of the last epoch asked for is remembered."""
        known = self._orders.get(ref.split)
        if known is None or known[0] != ref.epoch:
            known = self._orders[ref.split] = ref.epoch, self.splits[ref.split].order(ref.epoch, self.seed)
        return known[1]

    # -- checks ------------------------------------------------------------------------------------------------------

    def check(self) -> dict[str, LabelSummary]:
        """Refuse data that the network cannot be trained on.

        All labels are checked now, features that are arrays in memory, and the files of readers that can `verify` them;
        others are checked as they are read.

        Returns
        -------
        dict of str to LabelSummary
            The labels of each split, as the network takes them.

        Raises
        ------
        ValueError
            The message names the data, and the row if there is one.
        """
        summaries = {}
        for name, data in self.splits.items():
            try:
                summaries[name] = self._check_split(name, data)
            except ValueError as error:
                called = {"train": "training", "valid": "validation"}.get(name, name)
                raise ValueError(f"{called} data: {error}") from error
        return summaries

    def _check_split(self, name: str, data: Data) -> LabelSummary:
        network = self.network
        assert network is not None
        if data.labels is None:
            raise ValueError("got no labels; need one for each row; try Data(features, labels)")
        if not network.accepts(data.shape):
            raise ValueError(
                f"got examples of shape {data.shape}; this network was built for {network.example_shape}; "
                "try other data, or a new network"
            )
        self._verify(data.features)
        summary = LabelSummary()
        for first, labels in iter_labels(data):
            summary.add(check_rows(network.prepare_labels, labels, data, first, data.labels))
        if data.is_plain:
            with data.opened(Unshuffled(data.start)) as read:
                for first in range(0, data.n_rows, CHECKED_ROWS):
                    features, _ = read(first, min(first + CHECKED_ROWS, data.n_rows))
                    check_rows(self._require_usable, features, data, first, data.features)
            self._checked.add(name)
        return summary

    def _verify(self, reader: Any) -> None:
        """Let a reader that has a method `verify`, such as one of images, check its files: once, for all splits."""
        while isinstance(reader, PickedReader):
            reader = reader.reader
        verify = getattr(reader, "verify", None)
        if verify is not None and not any(reader is other for other in self._verified):
            verify()
            self._verified.append(reader)

    # -- reading -----------------------------------------------------------------------------------------------------

    def read(self, ref: BatchRef) -> Batch:
        """Return a minibatch, ready for the network."""
        return self.read_shards(ref, WHOLE, 1)[0]  # type: ignore[return-value]

    def read_shards(self, ref: BatchRef, shards: Sequence[int], n_shards: int) -> list[Batch | None]:
        """Return some of the `n_shards` shards of a minibatch, each ready for the network; None for one without rows.

        Each shard is altered and augmented by itself, so that it does not depend on what else is read.
        """
        stream = self._streams.get(ref.split)
        if stream is None or stream.next != (ref.epoch, ref.index, shards, n_shards):
            if stream is not None:
                stream.close()
            stream = self._streams[ref.split] = _BatchStream(self, ref, shards, n_shards)
        return stream.read()

    def is_static(self, split: str) -> bool:
        """Return True if all rows are in memory, have been checked, and come unchanged in each epoch."""
        return split in self._checked and not self._is_augmented(split)

    def whole(self, split: str) -> Batch:
        """Return all rows of a static split, ready for the network, in the order in which they are stored."""
        data = self.splits[split]
        with data.opened(Unshuffled(data.start)) as read:
            return self._prepared(*read(0, data.n_rows))

    def read_ahead(self, split: str) -> int:
        """Return how many minibatches to read ahead: 0 where that would save no time."""
        is_fast = self.splits[split].is_plain and not self._is_augmented(split)
        wanted = self.prefetch if isinstance(self.prefetch, int) else self.prefetch.get(split, 0)
        return 0 if is_fast else wanted

    def _is_augmented(self, split: str) -> bool:
        return split == "train" and self._augment is not None

    def close(self) -> None:
        """End the threads, and close the files."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        for split in list(self._readers):
            self.close_reader(split)

    def _iterate(self, ref: BatchRef, shards: Sequence[int], n_shards: int) -> Iterator[list[Batch | None]]:
        """Iterate over the same shards of this minibatch and of those that follow it in its epoch."""
        read = self._opened(ref)
        for later in self.refs(ref.split, ref.epoch, ref.index):
            yield [self._load(read, later, shard, n_shards) for shard in shards]

    def _opened(self, ref: BatchRef) -> Callable:
        """Return a function that reads positions of an epoch, from files that stay open."""
        epoch, _, read = self._readers.get(ref.split, (None, None, None))
        if epoch != ref.epoch or read is None:
            self.close_reader(ref.split)
            stack = ExitStack()
            read = stack.enter_context(self.splits[ref.split].opened(self._order(ref)))
            self._readers[ref.split] = ref.epoch, stack, read
        return read

    def close_reader(self, split: str) -> None:
        """Close the files of a split, and release the rows that are held in memory."""
        if split in self._readers:
            self._readers.pop(split)[1].close()

    def _load(self, read: Callable, ref: BatchRef, shard: int, n_shards: int) -> Batch | None:
        """Read a shard of a minibatch, and bring it into the form that the network takes."""
        start = ref.index * self._sizes[ref.split]
        first, last = (start + row for row in shard_rows(ref.n_rows, shard, n_shards))
        if first == last:
            return None
        X, y = read(first, last)
        if self.network is None:
            return Batch(X, y)
        try:
            if ref.split not in self._checked:
                self._require_usable(X)
            batch = self._prepared(X, y)
        except ValueError as error:
            raise self._at_fault(X, y, ref, first, error) from None
        if self._is_augmented(ref.split):
            position = (ref.index,) if n_shards == 1 else (ref.index, shard)
            shape = np.shape(X) if np.ndim(X) > 2 else batch.X.shape  # flat rows come as the network has them
            batch = self._augmented(Batch(batch.X.reshape(shape), batch.y), ref.epoch, *position)
        return batch

    def _augmented(self, batch: Batch, epoch: int, *position: int) -> Batch:
        """Return what the augmentation makes of a shard, checked as the data are."""
        assert self._augment is not None and self.network is not None
        X, y = self._augment(own_copy(batch.X), own_copy(batch.y), epoch, *position)
        try:
            self._require_usable(X)
            new = Batch(self.network.prepare_features(X), self.network.check_labels(y))
        except ValueError as error:
            raise ValueError(f"the augmentation: {error}") from error
        if not len(new.X) == len(new.y) > 0:
            raise ValueError(
                f"the augmentation: got {len(new.X)} rows of features and {len(new.y)} labels; need as many of both, "
                f"such as the {len(batch.X)} that it was given; try returning all rows"
            )
        return new

    def _require_usable(self, X: Any, first_row: int = 0) -> None:
        assert self.network is not None
        require_finite(X, first_row, self.network.dtype)

    def _prepared(self, X: Any, y: Any) -> Batch:
        network = self.network
        assert network is not None
        return Batch(network.prepare_features(X), None if y is None else network.prepare_labels(y))

    def _at_fault(self, X: Any, y: Any, ref: BatchRef, first: int, error: ValueError) -> ValueError:
        """Return what is wrong with a batch, with the number of the row in the data."""
        data, network = self.splits[ref.split], self.network
        assert network is not None
        rows = data.rows(first, first + len(X), ref.epoch, self.seed)
        for i, row in enumerate(rows):
            source = data.features
            try:
                self._require_usable(X[i : i + 1], row)
                network.prepare_features(X[i : i + 1])
                source = data.labels
                if y is not None:
                    network.prepare_labels(y[i : i + 1], row)
            except ValueError as found:
                return ValueError(f"{source}: {found}")
        return ValueError(f"rows {rows.min()} to {rows.max()} of {data.features}: {error}")

    # -- pickling ----------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to read the same minibatches for its own network."""
        names = ("splits", "batch_size", "seed", "augmentation", "prefetch", "first_epoch")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def shard_rows(n_rows: int, shard: int, n_shards: int) -> tuple[int, int]:
    """Return the first and last row (exclusive) of a shard in a minibatch.

    Examples
    --------
    >>> [shard_rows(10, shard, 4) for shard in range(4)]
    [(0, 2), (2, 5), (5, 7), (7, 10)]
    """
    return n_rows * shard // n_shards, n_rows * (shard + 1) // n_shards


WHOLE = (0,)
"""The shards of a minibatch that is not cut."""


class _BatchStream:
    """Reads minibatches of one split that follow each other, in a thread where that saves time."""

    def __init__(self, loader: Loader, ref: BatchRef, shards: Sequence[int], n_shards: int):
        self._loader, self._split = loader, ref.split
        self._position = ref.epoch, ref.index, shards, n_shards
        self._left = loader.n_batches(ref.split) - ref.index
        self._open = ExitStack()

        def iterate() -> Iterator[list[Batch | None]]:
            return loader._iterate(ref, shards, n_shards)

        depth = loader.read_ahead(ref.split)
        if depth > 0:
            self._batches = iter(self._open.enter_context(Prefetcher(iterate, depth)))
        else:
            self._batches = iterate()
            self._open.callback(self._batches.close)  # type: ignore[attr-defined]

    @property
    def next(self) -> tuple | None:
        """Which shards of which minibatch `read` returns next; None at the end of the epoch."""
        return self._position if self._left else None

    def read(self) -> list[Batch | None]:
        batch = next(self._batches)
        epoch, index, shards, n_shards = self._position
        self._position = epoch, index + 1, shards, n_shards
        self._left -= 1
        if not self._left:
            self.close()
            self._loader.close_reader(self._split)
        return batch

    def close(self) -> None:
        self._left = 0
        self._open.close()


def evaluated(data: Data) -> Data:
    """Return the same data with all rows in their order: what validation reads."""
    return data.replace(shuffle=False, allow_partial_batch=True)


def features_alone(X: Any, batch_size: int) -> Data:
    """Return all rows of features in their order, without labels: what prediction reads."""
    data = X if isinstance(X, Data) else Data(X)
    return evaluated(data).replace(labels=None, alter_labels=None, batch_size=batch_size)


def check_rows(check: Callable, rows: Any, data: Data, first: int, source: Reader) -> Any:
    """Return what ``check(rows, first_row)`` returns; name the row and its source in its error.

    Parameters
    ----------
    check : callable
    rows : array
        Features or labels.
    data : Data
        Where they come from, beginning with position `first` in the order in which they are stored.
    first : int
    source : Reader
    """
    try:
        return check(rows, data.start + first)
    except ValueError as error:
        where = "" if getattr(source, "in_memory", False) else f"{source}: "
        numbers = evaluated(data).rows(first, first + len(rows)).tolist()
        message = error if numbers[0] == data.start + first else _message_by_row(check, rows, numbers, error)
        raise ValueError(f"{where}{message}") from None


def _message_by_row(check: Callable, rows: Any, numbers: Sequence[int], error: ValueError) -> ValueError:
    """Return the error of the first row that a check refuses, where row numbers do not follow each other."""
    for i, number in enumerate(numbers):
        try:
            check(rows[i : i + 1], number)
        except ValueError as found:
            return found
    return error


def require_finite(X: Any, first_row: int = 0, dtype: np.dtype | str = "float64") -> None:
    """Refuse features that are no numbers, NaN or infinite, or would become infinite as `dtype`.

    The message names the row, counted from `first_row`.
    """
    X = np.asarray(X)
    if X.dtype.kind not in "buif":
        raise ValueError(f"got features of dtype {X.dtype}; need numbers; try X.astype('float32')")
    if X.dtype.kind != "f" or _is_finite(X, dtype).all():
        return
    rows = X.reshape(len(X), -1)
    finite = _is_finite(rows, dtype)
    row = int((~finite.all(axis=1)).argmax())
    value = rows[row][~finite[row]][0]
    needed, attempt = "finite numbers", "numpy.nan_to_num"
    if np.isfinite(value):
        needed, attempt = f"at most {np.finfo(dtype).max:.2g}, the largest of {dtype}", "scaling the features"
    raise ValueError(f"got {value} in row {first_row + row} of the features; need {needed}; try {attempt}")


def _is_finite(X: np.ndarray, dtype: np.dtype | str) -> np.ndarray:
    """Return which numbers are finite, and stay so as `dtype`."""
    largest = np.finfo(dtype).max
    return np.isfinite(X) if np.finfo(X.dtype).max <= largest else np.abs(X) <= largest


def keyed_augmentation(function: Any, seed: int, first_epoch: int = 1) -> Callable:
    """Return ``augment(X, y, epoch, *position)``, which calls the user's function with a new random generator.

    Parameters
    ----------
    function : callable, or list of callable
        In any of the forms of :func:`arignote.util.functions.as_augmentation`.
    seed : int
        The generator depends on it, and on the epoch and position.
    first_epoch : int, optional
        The number that the function gets for the first epoch, which is 0 elsewhere.
    """
    augmentation = as_augmentation(function)

    def augment(X: np.ndarray, y: np.ndarray, epoch: int, *position: int) -> tuple[np.ndarray, np.ndarray]:
        rng = streams.generator(seed, "augmentation", epoch, *position)
        return pair(augmentation(X, y, epoch + first_epoch, rng))

    return augment
