"""Class labels of any kind, and the class numbers that a network computes with."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from arignote.data.labels import LabelSummary, plain_labels

SHOWN = 10


def find_classes(summary: LabelSummary, n_classes: int) -> np.ndarray | None:
    """Return the classes that labels stand for, in order, or None if labels are class numbers.

    Whole numbers from 0 to ``n_classes - 1`` are class numbers, even if some are missing. Text, truth values and other
    whole numbers are names of classes, which must be as many as the network has.

    Parameters
    ----------
    summary : LabelSummary
        Of the training data.
    n_classes : int

    Raises
    ------
    ValueError
        If there are more or fewer classes.

    Examples
    --------
    >>> summary = LabelSummary()
    >>> summary.add(np.array(["dog", "cat", "dog"]))
    >>> find_classes(summary, n_classes=2)
    array(['cat', 'dog'], dtype='<U3')
    """
    if not summary.counts:
        return None
    found = sorted(summary.counts)
    labels = np.array(found)
    if labels.dtype.kind in "iuf":
        is_whole = np.isfinite(labels).all() and (labels == np.floor(labels)).all()
        is_whole = is_whole and (labels.dtype.kind != "f" or np.abs(labels).max() < 2**53)
        if not is_whole or len(found) != n_classes or (labels[0] >= 0 and labels[-1] < n_classes):
            return None  # numbers of classes, or an error that is found, with its row, where labels are prepared
        return labels.astype(np.int64)
    if len(found) != n_classes:
        advice = f"n_classes={len(found)}" if len(found) > 1 else "data of several classes"
        raise ValueError(
            f"got labels of {len(found)} class{'es' * (len(found) != 1)} ({describe_classes(labels)}) for a network "
            f"with n_classes={n_classes}; need as many; try {advice}"
        )
    return labels


def encode(labels: Any, classes: np.ndarray, first_row: int = 0) -> np.ndarray:
    """Return the class number of each label, int64 of shape (n,).

    Parameters
    ----------
    labels : array-like, shape (n,) or (n, 1)
    classes : array, shape (n_classes,)
        In order.
    first_row : int, optional
        The number of the first row, for the message.

    Raises
    ------
    ValueError
        If a label is not one of the classes.

    Examples
    --------
    >>> encode(["b", "a", "b"], np.array(["a", "b"]))
    array([1, 0, 1])
    """
    labels = plain_labels(labels, first_row)
    if labels.ndim != 1:
        raise ValueError(f"got labels of shape {labels.shape}; need one for each row; try one column of labels")
    if is_text(labels) != is_text(classes):
        kinds = {True: "text", False: "numbers"}
        raise ValueError(
            f"got labels that are {kinds[is_text(labels)]}, such as {labels[:1].tolist()}; need "
            f"{kinds[is_text(classes)]}: {describe_classes(classes)}; try the labels that the network was trained on"
        )
    numbers = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
    wrong = classes[numbers] != labels
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"got the label {labels[row].item()!r} in row {first_row + row}; need one of the classes that the network "
            f"was trained on: {describe_classes(classes)}; try leaving the row out"
        )
    return numbers


def is_text(labels: np.ndarray) -> bool:
    """Return True if labels are text."""
    return labels.dtype.kind == "U"


def describe_classes(classes: Sequence | np.ndarray) -> str:
    """Return the classes for a message; of many, the first ones.

    Examples
    --------
    >>> describe_classes(np.arange(100))
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...'
    """
    shown = ", ".join(repr(label) for label in np.asarray(classes)[:SHOWN].tolist())
    return f"{shown}, ..." if len(classes) > SHOWN else shown
