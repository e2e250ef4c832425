"""What `fit` can be given to train on, and the checks that it goes through before any work starts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arignote import engine
from arignote.data import readers
from arignote.data.reader import closing
from arignote.data.readers import ArrayReader, Data, DataWithHoldoutPartitions, ImageFolderReader
from arignote.nnets.network import Network
from arignote.util import checks

CHUNK = 8192


@dataclass
class Inputs:
    """Data to train on, and perhaps to validate and to test with."""

    train: Data
    valid: Data | None
    test: Data | None


def gather(X: Any, y: Any, valid: Any, test: Any, batch_size: int | None) -> Inputs:
    """Bring any form of data that `fit` takes into one.

    Raises
    ------
    TypeError, ValueError
        If the forms do not go together.
    """
    if isinstance(X, str | Path) and y is None:
        X = readers.read_data(X)
    if isinstance(X, DataWithHoldoutPartitions):
        if y is not None or valid is not None or test is not None:
            raise TypeError(
                "got DataWithHoldoutPartitions and y, valid or test beside it; need one or the other; "
                "try valid_frac and test_frac of the partitions"
            )
        return Inputs(X.train, X.valid, X.test)
    if isinstance(X, tuple) and len(X) == 3 and y is None and all(isinstance(part, tuple) for part in X):
        X, valid, test = X[0], X[1] if valid is None else valid, X[2] if test is None else test
    if isinstance(X, Data):
        if y is not None:
            raise TypeError("got Data and y beside it; need the labels inside; try Data(features, labels)")
        return Inputs(X, _held_out(valid, "valid"), _held_out(test, "test"))
    if y is None and isinstance(X, tuple) and len(X) == 2:
        X, y = X
    if y is None:
        raise ValueError("got no labels; need one for each row; try fit(X, y) or fit((X, y))")
    return _from_arrays(X, y, valid, test, batch_size)


def _from_arrays(X: Any, y: Any, valid: Any, test: Any, batch_size: int | None) -> Inputs:
    size = Data(X, y, batch_size).batch_size_or(None)
    valid_frac = checks.number(valid, "valid", least=0, below=1) if _is_number(valid) else 0.0
    test_frac = checks.number(test, "test", least=0, below=1) if _is_number(test) else 0.0
    by_class = isinstance(X, ImageFolderReader)  # which is no order to train in, or to cut
    parts = DataWithHoldoutPartitions(X, y, size, valid_frac, test_frac, shuffle=by_class, stratify=by_class)
    return Inputs(
        parts.train,
        parts.valid if _is_number(valid) else _held_out(valid, "valid"),
        parts.test if _is_number(test) else _held_out(test, "test"),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _held_out(part: Any, name: str) -> Data | None:
    """Return validation or test data given as a tuple, Data, or a file name."""
    if part is None or isinstance(part, Data):
        return part
    if isinstance(part, str | Path):
        part = readers.read_data(part)
    if isinstance(part, tuple | list) and len(part) == 2:
        return Data(part[0], part[1])
    got = f"an array of shape {part.shape}" if isinstance(part, np.ndarray) else f"{part!r:.100}"
    raise TypeError(
        f"got {name}={got}; need a tuple (X, y), Data, a file name, or, if the training data are arrays, "
        f"a fraction; try {name}=(X_{name}, y_{name})"
    )


def check(inputs: Inputs, network: Network, batch_size: int | None) -> None:
    """Refuse data that the network cannot be trained on. Arrays are looked through; other readers, as they are read.

    Raises
    ------
    ValueError
        The message names the part of the data, and the row if there is one.
    """
    size = inputs.train.batch_size_or(batch_size)
    if size > inputs.train.n_rows:
        raise ValueError(
            f"got batch_size={size} for {inputs.train.n_rows} rows of training data; need a minibatch no larger than "
            f"the data; try batch_size={inputs.train.n_rows}"
        )
    for name, data in (("training", inputs.train), ("validation", inputs.valid), ("test", inputs.test)):
        if data is None:
            continue
        try:
            _check_part(data, network)
        except ValueError as error:
            raise ValueError(f"{name} data: {error}") from error


def _check_part(data: Data, network: Network) -> None:
    if data.labels is None:
        raise ValueError("got no labels; need one for each row; try Data(features, labels)")
    if not network.input_layer.accepts(data.shape):
        raise ValueError(
            f"got examples of shape {data.shape}; this network was built for {network.input_layer.output_shape}; "
            "try other data, or a new network"
        )
    if is_checked_ahead(data):
        for start in range(data.start, data.stop, CHUNK):
            stop = min(start + CHUNK, data.stop)
            require_finite(data.features.array[start:stop], start)
            network.output_layer.prepare_labels(data.labels.array[start:stop], start)


def is_checked_ahead(data: Data) -> bool:
    """Say whether `check` looks at every row, so that nobody has to look again while training."""
    sources = (data.features, data.labels)
    in_memory = all(type(reader) is ArrayReader and not isinstance(reader.array, np.memmap) for reader in sources)
    return in_memory and data.alter_features is None and data.alter_labels is None


def require_finite(X: np.ndarray, first_row: int) -> None:
    """Refuse features that are NaN, infinite, or no numbers; the message names the row."""
    X = np.asarray(X)
    if X.dtype.kind not in "buif":
        raise ValueError(f"got features of dtype {X.dtype}; need numbers; try X.astype('float32')")
    if X.dtype.kind != "f" or np.isfinite(X).all():
        return
    finite = np.isfinite(X.reshape(len(X), -1))
    row = int((~finite.all(axis=1)).argmax())
    value = X.reshape(len(X), -1)[row][~finite[row]][0]
    raise ValueError(f"got {value} in row {first_row + row} of the features; need finite numbers; try numpy.nan_to_num")


def training_batches(
    data: Data,
    network: Network,
    batch_size: int,
    seed: int,
    epoch: int = 0,
    first_batch: int = 0,
    augment: Callable | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Iterate over the batches of an epoch, ready for the network.

    Parameters
    ----------
    augment : callable, optional
        ``augment(X, y, epoch, batch)`` returns what to use instead of a batch.
    """
    size = data.batch_size_or(batch_size)
    unchecked = not is_checked_ahead(data)
    with closing(data.iter_epoch(epoch, first_batch, batch_size, seed)) as batches:
        for batch, (X, y) in enumerate(batches, start=first_batch):
            try:
                if unchecked:
                    require_finite(X, 0)
                X, y = network.prepare_features(X), network.output_layer.prepare_labels(y)
            except ValueError:
                rows = data.rows(batch * size, batch * size + len(X), epoch, seed)
                raise _at_fault(X, y, data, network, rows) from None
            if augment is not None:
                X, y = augment(X, y, epoch, batch)
                X, y = network.prepare_features(X), network.output_layer.prepare_labels(y)
            yield X, y


class Resident:
    """Data in memory, copied to the device that computes, where there is one: batches are then numbers of rows."""

    def __init__(self) -> None:
        self._copies: dict[tuple, tuple] = {}

    def batches(
        self, data: Data, network: Network, batch_size: int, seed: int, epoch: int, first_batch: int
    ) -> Iterator[tuple] | None:
        """Return the batches of an epoch, or None if these data are not to be kept on a device.

        Parameters
        ----------
        data, network, batch_size, seed, epoch, first_batch
            As for :func:`training_batches`.
        """
        if engine.resident is None or not is_checked_ahead(data):
            return None
        key = id(data.features), id(data.labels), data.start, data.stop
        if key not in self._copies:
            X = engine.resident(network.prepare_features(data.features.array[data.start : data.stop]))
            y = engine.resident(network.output_layer.prepare_labels(data.labels.array[data.start : data.stop]))
            self._copies[key] = X, y, data.features, data.labels  # which keeps their ids from being used again
        X, y, *_ = self._copies[key]
        if X is None or y is None:
            return None
        size = data.batch_size_or(batch_size)
        first, last = first_batch * size, min(data.n_batches(size) * size, data.n_rows)
        rows = data.rows(first, last, epoch, seed) - data.start
        parts = (rows[start : start + size] for start in range(0, len(rows), size))
        return ((engine.Rows(X, part), engine.Rows(y, part)) for part in parts)


def _at_fault(X: np.ndarray, y: np.ndarray, data: Data, network: Network, rows: np.ndarray) -> ValueError:
    """Return what is wrong with a batch, with the number of the row in the data."""
    for i, row in enumerate(rows):
        try:
            source = data.features
            require_finite(X[i : i + 1], row)
            network.prepare_features(X[i : i + 1])
            source = data.labels
            network.output_layer.prepare_labels(y[i : i + 1], row)
        except ValueError as error:
            return ValueError(f"{source}: {error}")
    return ValueError(f"{data.features}: got features and labels that do not fit in rows {rows[0]} to {rows[-1]}")
