"""The forms of data that `fit` takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arignote.data.dataset import Data, DataWithHoldoutPartitions, read_data
from arignote.data.image_folder import ImageFolderReader
from arignote.data.loader import evaluated
from arignote.util import checks


@dataclass
class Inputs:
    """Data to train on, and perhaps to validate and to test with."""

    train: Data
    valid: Data | None
    test: Data | None

    def splits(self, validate_on_train: bool) -> dict[str, Data]:
        """Return the data that a training run reads, by the names of its splits."""
        parts = {
            "valid": self.valid,
            "test": self.test,
            "train_deterministic": self.train if validate_on_train else None,
        }
        return {"train": self.train} | {name: evaluated(data) for name, data in parts.items() if data is not None}

    def for_shape(self, shape: tuple[int, ...]) -> "Inputs":
        """Return the same data for a network that takes examples of this shape; see `Data.for_shape`."""
        valid, test = (data and data.for_shape(shape) for data in (self.valid, self.test))
        return Inputs(self.train.for_shape(shape), valid, test)

    def require_fitting(self, batch_size: int) -> None:
        """Refuse training data with another batch size, or less data than a minibatch."""
        train = self.train
        if train.batch_size not in (None, batch_size):
            raise ValueError(
                f"got training data in batches of {train.batch_size}, and a training with batch_size={batch_size}; "
                f"need one size; try Data(..., batch_size={batch_size})"
            )
        if batch_size > train.n_rows:
            raise ValueError(
                f"got batch_size={batch_size} for {train.n_rows} rows of training data; need a minibatch no larger "
                f"than the data; try batch_size={train.n_rows}"
            )


def gather(X: Any, y: Any, valid: Any, test: Any, batch_size: int | None) -> Inputs:
    """Return the data of `fit`, given in any of its forms.

    Raises
    ------
    TypeError, ValueError
        If the forms do not go together.
    """
    if isinstance(X, str | Path) and y is None:
        X = read_data(X)
    if isinstance(X, DataWithHoldoutPartitions):
        if y is not None or valid is not None or test is not None:
            raise TypeError(
                "got DataWithHoldoutPartitions together with y, valid or test; need one or the other; "
                "try valid_frac and test_frac of the partitions"
            )
        return Inputs(X.train, X.valid, X.test)
    if isinstance(X, tuple) and len(X) == 3 and y is None and all(isinstance(part, tuple) for part in X):
        X, valid, test = X[0], X[1] if valid is None else valid, X[2] if test is None else test
    if isinstance(X, Data):
        if y is not None:
            raise TypeError("got Data together with y; need the labels inside; try Data(features, labels)")
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
    by_class = isinstance(X, ImageFolderReader)  # an order that must not be trained in, or cut
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
        part = read_data(part)
    if isinstance(part, tuple | list) and len(part) == 2:
        return Data(part[0], part[1])
    got = f"an array of shape {part.shape}" if isinstance(part, np.ndarray) else f"{part!r:.100}"
    raise TypeError(
        f"got {name}={got}; need a tuple (X, y), Data, a file name, or, if the training data are arrays, "
        f"a fraction; try {name}=(X_{name}, y_{name})"
    )
