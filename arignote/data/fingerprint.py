"""Fingerprints of data sets, which tell whether a training run is resumed with the data that it was stopped on."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from arignote.data.dataset import Data
from arignote.data.reader import read_sample

SAMPLE_ROWS = 64

Fingerprint = dict[str, Any]


def fingerprint(data: Data, labels: str) -> Fingerprint:
    """Return what identifies a data set: its size, type and order, and checksums of its labels and of sampled features.

    Takes milliseconds, however large the data are: the sample is spread evenly over the rows. Where rows can be read in
    sequence only, it consists of the first ones. What ``alter_features`` returns is not part of it.

    Parameters
    ----------
    data : Data
    labels : str
        A checksum of all labels.

    Examples
    --------
    >>> one = fingerprint(Data(np.eye(3)), "5f3a")
    >>> other = fingerprint(Data(np.eye(4)[:, 1:]), "5f3a")
    >>> differences(one, other)
    ['4 rows instead of 3']
    """
    features = sample_rows(data)
    return {
        "n_rows": data.n_rows,
        "shape": [int(n) for n in data.features.shape],
        "dtype": str(features.dtype),
        "shuffle": bool(data.shuffle),
        "seed": data.seed,
        "shuffle_rows": data.shuffle_rows,
        "allow_partial_batch": bool(data.allow_partial_batch),
        "order": data.order().description,
        "features": _checksum(features),
        "labels": labels,
    }


def sample_rows(data: Data) -> np.ndarray:
    """Return the features of a few rows, spread evenly where that is fast; not altered."""
    rows = np.linspace(data.start, data.stop - 1, min(SAMPLE_ROWS, data.n_rows)).round().astype(np.int64)
    return read_sample(data.features, np.unique(rows))


def differences(stored: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return how data differ from those of a stored fingerprint, in words."""
    sizes = {"n_rows": "rows", "shape": "as the shape of a row", "dtype": "as the type of the features"}
    wrong = [
        f"{found[name]} {what} instead of {stored[name]}"
        for name, what in sizes.items()
        if _differ(name, stored, found)
    ]
    order = ("shuffle", "seed", "shuffle_rows", "allow_partial_batch")
    wrong += [f"{name}={found[name]} instead of {stored[name]}" for name in order if _differ(name, stored, found)]
    if not wrong and "order" in stored and _differ("order", stored, found):  # of other files with the same rows
        wrong.append(f"the order of the rows: {found['order']}, instead of {stored['order']}")
    if not wrong:  # a sample of other rows always differs
        wrong = [f"other {name}" for name in ("features", "labels") if _differ(name, stored, found)]
    return wrong


def _differ(name: str, stored: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    return stored.get(name) != found.get(name)


def _checksum(rows: np.ndarray) -> str:
    content = repr(rows.tolist()).encode() if rows.dtype.kind == "O" else np.ascontiguousarray(rows).tobytes()
    return hashlib.blake2b(content, digest_size=16).hexdigest()
