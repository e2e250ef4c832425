"""What the labels of a data set look like, found in one pass: which classes there are, and in what order."""

import hashlib
import logging
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from arignote.data.dataset import Data

logger = logging.getLogger(__name__)

CHUNK_ROWS = 8192
MAX_CLASSES = 10_000
REPORT_SECONDS = 1.0
ORDERED = 0.1
"""Labels count as ordered by class if they change less often than this fraction of what a random order would show."""


class LabelSummary:
    """Which classes there are, how often they change from one row to the next, and a checksum of all labels.

    Attributes
    ----------
    counts : dict
        The number of rows of each class; nothing where there are several labels for each row.
    n_rows, n_changes : int
        The number of rows, and of neighbors with different labels.

    Examples
    --------
    >>> summary = LabelSummary()
    >>> summary.add(np.repeat(["cat", "dog"], 50))
    >>> summary.counts, summary.n_changes, summary.is_ordered_by_class
    ({'cat': 50, 'dog': 50}, 1, True)
    """

    def __init__(self) -> None:
        self.counts: dict[Any, int] = {}
        self.n_rows = self.n_changes = 0
        self._last: Any = None
        self._checksum = hashlib.blake2b(digest_size=16)

    def add(self, labels: np.ndarray) -> None:
        """Add the labels of the next rows, an array of numbers, truth values or text."""
        is_text = labels.dtype.kind == "U"
        self._checksum.update(repr(labels.tolist()).encode() if is_text else labels.astype(np.float64).tobytes())
        if labels.ndim != 1 or not len(labels):
            return
        if self.n_rows and (labels.dtype.kind == "U") != isinstance(self._last, str):
            raise ValueError("got labels of several types; need text alone, or numbers alone; try labels.astype(str)")
        found, counts = np.unique(labels, return_counts=True)
        for label, count in zip(found.tolist(), counts.tolist(), strict=True):
            self.counts[label] = self.counts.get(label, 0) + count
        if len(self.counts) > MAX_CLASSES:
            example = next(iter(self.counts))
            raise ValueError(
                f"got labels with more than {MAX_CLASSES:,} different values, such as {example!r}; need classes; "
                "try rounding or binning them"
            )
        self.n_changes += int((labels[1:] != labels[:-1]).sum()) + bool(self.n_rows and labels[0] != self._last)
        self.n_rows += len(labels)
        self._last = labels[-1]

    @property
    def checksum(self) -> str:
        """A checksum of all labels, which does not depend on their type."""
        return self._checksum.hexdigest()

    @property
    def is_ordered_by_class(self) -> bool:
        """True if rows of the same class lie together, much more than by chance."""
        shares = np.array(list(self.counts.values())) / max(self.n_rows, 1)
        expected = self.n_rows * (1 - (shares**2).sum())
        return len(shares) > 1 and self.n_changes < ORDERED * expected

    @property
    def run_length(self) -> float:
        """Mean number of neighboring rows that have the same label."""
        return self.n_rows / (self.n_changes + 1)


def plain_labels(labels: Any, first_row: int = 0) -> np.ndarray:
    """Return labels as an array of numbers, truth values or text, of shape (n,) if there is one a row.

    Parameters
    ----------
    labels : array-like
        Objects must be of one kind. Bytes are read as UTF-8.
    first_row : int, optional
        The number of the first row, for messages.

    Raises
    ------
    ValueError
        If a label is missing, or of another kind.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind == "O" and labels.ndim == 1:
        labels = _from_objects(labels, first_row)
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8")
    if labels.dtype.kind not in "biufUO":
        raise ValueError(f"got labels of dtype {labels.dtype}; need text or numbers; try labels.astype(str)")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        row = int(np.isnan(labels.reshape(len(labels), -1)).any(axis=1).argmax())
        raise ValueError(
            f"got a missing label in row {first_row + row}; need one for each row; try leaving the row out"
        )
    return labels


def is_missing(label: Any) -> bool:
    """Return True for None, NaN, and what stands for a missing value in pandas."""
    return label is None or type(label).__name__ in ("NAType", "NaTType") or bool(label != label)


def _from_objects(labels: np.ndarray, first_row: int) -> np.ndarray:
    """Return labels that are Python objects as an array of text or numbers."""
    for row, label in enumerate(labels.tolist()):
        if is_missing(label):
            raise ValueError(
                f"got a missing label in row {first_row + row}; need one for each row; try leaving the row out"
            )
    for label in labels.tolist():
        if not isinstance(label, str | bytes | bool | int | float | np.bool_ | np.number):
            raise ValueError(
                f"got a label of type {type(label).__name__}; need text or numbers; try labels.astype(str)"
            )
    kinds = {str if isinstance(label, str | bytes) else bool if isinstance(label, bool | np.bool_) else float
             for label in labels.tolist()}  # fmt: skip
    if len(kinds) > 1:
        raise ValueError("got labels of several types; need text alone, or numbers alone; try labels.astype(str)")
    found = np.array([label.decode() if isinstance(label, bytes) else label for label in labels.tolist()])
    if found.dtype.kind == "O":
        raise ValueError("got labels that are larger than 64 bits; need smaller numbers; try labels.astype(str)")
    return found


def iter_labels(data: Data) -> Iterator[tuple[int, Any]]:
    """Iterate over the labels of data, in the order in which they are stored: pairs of a position, and labels.

    They are altered by ``alter_labels``. Reports how far it is where it takes long.
    """
    started = reported = time.monotonic()
    alone = data.replace(features=data.labels, labels=None, alter_features=data.alter_labels, shuffle=False)
    with alone.opened(alone.order()) as read:
        for first in range(0, data.n_rows, CHUNK_ROWS):
            last = min(first + CHUNK_ROWS, data.n_rows)
            yield first, read(first, last)[0]
            if time.monotonic() - reported > REPORT_SECONDS and last < data.n_rows:
                reported = time.monotonic()
                logger.info("Reading labels: %s of %s, %.0f s.", f"{last:,}", f"{data.n_rows:,}", reported - started)


def summarize(data: Data) -> LabelSummary:
    """Return what the labels of data look like."""
    summary = LabelSummary()
    for first, labels in iter_labels(data):
        summary.add(plain_labels(labels, data.start + first))
    return summary
