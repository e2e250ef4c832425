"""The forms of data that `fit` takes, brought into one."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arignote.data.dataset import Data, DataWithHoldoutPartitions, read_data
from arignote.data.fingerprint import sample_rows
from arignote.data.image_folder import ImageFolderReader
from arignote.data.labels import LabelSummary, summarize
from arignote.data.loader import evaluated
from arignote.data.order import Blocks
from arignote.data.reader import is_random_access
from arignote.nnets.classes import describe_classes
from arignote.util import checks

logger = logging.getLogger(__name__)

SHUFFLED, STORED, OWN, LEGACY = "shuffled", "stored", "own", "legacy"
"""The order of training rows: shuffled each epoch; as they are stored; that of the user's `Data`; and, in runs stored
before version 3, shuffled for folders of images only."""

LARGE = 100
"""Absolute value of a feature above which a warning says that features should be scaled."""

MIX_MORE = 4
"""How many times as many rows to mix in memory where each block of a file has rows of one class only."""


@dataclass
class Inputs:
    """Data to train on, and perhaps to validate and to test with.

    Attributes
    ----------
    train, valid, test : Data or None
    order : str
        The order of the training rows: "shuffled", "stored", "own" or "legacy".
    columns : list of str or None
        The names of the features, in the order that the network takes.
    """

    train: Data
    valid: Data | None
    test: Data | None
    order: str
    columns: list[str] | None = None

    def splits(self, validate_on_train: bool) -> dict[str, Data]:
        """Return the data that a training run reads, by the names of its splits."""
        parts = {
            "valid": self.valid,
            "test": self.test,
            "train_deterministic": self.train if validate_on_train else None,
        }
        return {"train": self.train} | {name: evaluated(data) for name, data in parts.items() if data is not None}

    def adapt(self, shape: tuple[int, ...] | None) -> None:
        """Bring all features into the form that the network takes; see `Data.adapted`."""
        for split, called in (("train", "training"), ("valid", "validation"), ("test", "test")):
            data = getattr(self, split)
            try:
                setattr(self, split, None if data is None else data.adapted(self.columns, shape))
            except ValueError as error:
                raise ValueError(f"{called} data: {error}") from error

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


def gather(
    X: Any, y: Any, valid: Any, test: Any, batch_size: int | None, order: str | None = None, seed: int = 0
) -> Inputs:
    """Return the data of `fit`, given in any of its forms.

    Parameters
    ----------
    X, y, valid, test, batch_size
        As `fit` takes them.
    order : str, optional
        The order of rows that are not in `Data`: "shuffled", "stored" or "legacy"; by default "shuffled" for all that
        can be read fast at any position, and "stored" for readers that cannot.
    seed : int, optional
        Of the choice of the rows to hold out.

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
        return Inputs(X.train, X.valid, X.test, OWN)
    if isinstance(X, tuple) and len(X) == 3 and y is None and all(isinstance(part, tuple) for part in X):
        X, valid, test = X[0], X[1] if valid is None else valid, X[2] if test is None else test
    if isinstance(X, Data):
        if y is not None:
            raise TypeError("got Data together with y; need the labels inside; try Data(features, labels)")
        return Inputs(X, _held_out(valid, "valid"), _held_out(test, "test"), OWN)
    if y is None and isinstance(X, tuple) and len(X) == 2:
        if all(isinstance(part, tuple) and len(part) == 2 for part in X):
            raise ValueError(
                "got two pairs; need features and labels, or three pairs to train, to validate and to test with; "
                "try fit(X, y, valid=(X_valid, y_valid))"
            )
        X, y = X
    if y is None:
        raise ValueError("got no labels; need one for each row; try fit(X, y) or fit((X, y))")
    whole = Data(X, y, batch_size)
    if order is None:
        order = SHUFFLED if all(map(is_random_access, (whole.features, whole.labels))) else STORED
    valid_frac, test_frac = (
        checks.number(part, name, least=0, below=1) if _is_number(part) else 0.0
        for part, name in ((valid, "valid"), (test, "test"))
    )
    train, *held_out = _partitions(whole, whole.batch_size_or(None), valid_frac, test_frac, order, seed)
    valid, test = (
        own if _is_number(part) else _held_out(part, name)
        for own, part, name in zip(held_out, (valid, test), ("valid", "test"), strict=True)
    )
    return Inputs(train, valid, test, order)


def _partitions(
    whole: Data, batch_size: int, valid_frac: float, test_frac: float, order: str, seed: int
) -> tuple[Data, Data | None, Data | None]:
    """Cut data into rows to train, to validate and to test on."""
    if order == LEGACY:
        by_class = isinstance(whole.features, ImageFolderReader)
        if not by_class:
            logger.warning(
                "This training was begun by an earlier version of Arignote, which did not shuffle: the rows keep the "
                "order in which they are stored."
            )
        parts = DataWithHoldoutPartitions(
            whole.features, whole.labels, batch_size, valid_frac, test_frac, shuffle=by_class, stratify=by_class
        )
        return parts.train, parts.valid, parts.test
    if order == STORED:
        return _last_rows(whole, valid_frac, test_frac)
    if valid_frac == test_frac == 0:
        return _shuffled(whole), None, None
    parts = DataWithHoldoutPartitions(
        whole.features, whole.labels, batch_size, valid_frac, test_frac, seed=seed, stratify=True
    )
    return _shuffled(parts.train), parts.valid, parts.test


def _last_rows(whole: Data, valid_frac: float, test_frac: float) -> tuple[Data, Data | None, Data | None]:
    """Hold out the last rows, first those to validate and then those to test on."""
    n_valid, n_test = (
        max(1, round(fraction * whole.n_rows)) if fraction else 0 for fraction in (valid_frac, test_frac)
    )
    n_train = whole.n_rows - n_valid - n_test
    if n_train < 1:
        raise ValueError(
            f"got valid={valid_frac} and test={test_frac} of {whole.n_rows} rows; need rows to train on; "
            "try smaller fractions"
        )
    return (
        whole.replace(stop=n_train),
        whole.replace(start=n_train, stop=n_train + n_valid) if n_valid else None,
        whole.replace(start=n_train + n_valid) if n_test else None,
    )


def _shuffled(data: Data) -> Data:
    """Return data in a new random order each epoch; more rows are mixed where blocks have rows of one class only."""
    data = data.replace(shuffle=True)
    if not has_blocks_of_one_class(data):
        return data
    n_rows = MIX_MORE * data.order().group_rows  # type: ignore[attr-defined]
    logger.info(
        "The labels of %s lie in order of their classes: %s rows are mixed at a time, instead of %s.",
        data.features, f"{n_rows:,}", f"{n_rows // MIX_MORE:,}",
    )  # fmt: skip
    return data.replace(shuffle_rows=n_rows)


def has_blocks_of_one_class(data: Data) -> bool:
    """Return True if rows are shuffled by blocks of a file, most of which have rows of one class only."""
    order = data.order()
    if not isinstance(order, Blocks) or order.n_groups == 1:
        return False
    summary = summarize(data)
    return summary.is_ordered_by_class and summary.run_length > order.block_rows


def warn_of_data(data: Inputs, labels: Mapping[str, LabelSummary], classes: np.ndarray, n_batches: int) -> None:
    """Warn, once, of data from which a network learns badly: their order, their classes, or the size of their numbers.

    Parameters
    ----------
    data : Inputs
    labels : dict of str to LabelSummary
        Of each split, as the network takes them.
    classes : array
        The labels of the classes.
    n_batches : int
        Minibatches in an epoch.
    """
    train, valid = labels["train"], labels.get("valid")
    problems = []
    if len(train.counts) == 1 and len(classes) > 1:
        problems.append(
            f"got training rows of one class only, {describe_classes(classes[list(train.counts)])}, so that the "
            "network learns to predict nothing else; try checking the labels"
        )
    elif train.counts and (missing := sorted(set(range(len(classes))) - set(train.counts))):
        problems.append(
            f"got no training rows of class {describe_classes(classes[missing])}, which the network cannot learn; try "
            f"n_classes={len(train.counts)} and labels from 0 to {len(train.counts) - 1}, if there is no such class"
        )
    problems += _problems_of_scale(data.train)
    if data.train.alter_features is not None and data.valid is not None and data.valid.alter_features is None:
        problems.append(
            "got alter_features for the training data and none for the validation data, whose loss means little if "
            "they need it as well; try valid=Data(X, y, alter_features=...)"
        )
    if train.is_ordered_by_class and not data.train.shuffle and n_batches > 1:
        problems.append(
            "got training rows in order of their classes, which nothing shuffles, so that the network forgets early "
            "classes while it learns later ones; try shuffle=True, of fit or of Data"
        )
    elif data.order == OWN and has_blocks_of_one_class(data.train):
        problems.append(
            "got a file with rows in order of their classes, shuffled by blocks, which have rows of one class only; "
            f"try Data(..., shuffle_rows={MIX_MORE * data.train.order().group_rows})"  # type: ignore[attr-defined]
        )
    only = {
        split: sorted(set(one.counts) - set(other.counts))
        for split, one, other in (("training", train, valid or train), ("validation", valid or train, train))
    }
    if any(only.values()):
        named = [
            f"{describe_classes(classes[found])} only in the {called} data" for called, found in only.items() if found
        ]
        problems.append(
            f"got training and validation data of different classes: {', '.join(named)}; try more rows of these, or "
            "valid=0.2 with arrays, or DataWithHoldoutPartitions(..., stratify=True)"
        )
    if problems:
        warnings.warn("; and ".join(problems), stacklevel=4)


def _problems_of_scale(data: Data) -> list[str]:
    """Return what is wrong with the size of the numbers in a sample of the features, in words."""
    if data.alter_features is not None:  # which may well scale them
        return []
    sample = np.abs(sample_rows(data).astype(np.float64))
    if sample.max(initial=0) <= LARGE:
        return []
    place = np.unravel_index(sample.argmax(), sample.shape)
    column = "" if data.column_names is None else f" in the column {data.column_names[place[1]]!r}"
    return [
        f"got features as large as {sample[place]:.4g}{column}, while networks learn badly from numbers that are far "
        "from 1; try X / 255 for images, or (X - mean) / std of each column, as sklearn's StandardScaler does"
    ]


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
