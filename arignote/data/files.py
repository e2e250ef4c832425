"""Pickles, tables and checkpoints.

A checkpoint is a gzip file of two pickles, one after the other: a dictionary that describes it, with a checksum of what
follows; and the state of a network and its training, plain data and numpy arrays only. Files are opened by
:mod:`arignote.data.unpickle`, which runs nothing that they say, and unpacked up to a limit.
"""

import gzip
import hashlib
import importlib
import io
import math
import pickle
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from arignote import __version__
from arignote.data import first_format, storage, unpickle

FORMAT = "arignote checkpoint"
FORMAT_VERSION = 1
# Weights are noise to a compressor, which would save less than a tenth of the size and take most of the time.
COMPRESSION = 0
# A packed file may unpack to this much, and to this many times its own size.
UNPACKED_BYTES = 64 * 2**20
UNPACKED_RATIO = 100
# The third byte of an IDX file -> the type of its numbers, highest byte first.
IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
# What can be read back, and where it is made. A file names an entry, never a module. The class is looked up when it is
# needed, so that data can be read without an engine.
STORABLE = {"NNClassifier": "arignote.nnets.nets"}


class CheckpointError(ValueError):
    """A checkpoint or a pickle cannot be read; nothing in it was run."""


def read_pickle(name: str | Path, trusted: bool = False, max_bytes: int | None = None) -> Any:
    """Read a pickle, compressed by gzip or not, written by Python 2 or 3.

    Parameters
    ----------
    name : str or Path
    trusted : bool, optional
        A pickle can run any program. By default, only plain data and numpy arrays are read, and nothing is run. True
        reads anything, with Python's own pickle: for files of your own.
    max_bytes : int, optional
        Refuse a file that unpacks to more. By default 64 MiB and a hundred times its packed size.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If the file is damaged, too large, or asks for more than plain data and arrays.

    Examples
    --------
    >>> from arignote import sample_data
    >>> train, valid, test = read_pickle(sample_data.mnist)
    >>> train[0].shape, valid[0].shape, test[0].shape
    ((50000, 784), (10000, 784), (10000, 784))
    """
    try:
        with _unpacked(name, max_bytes) as file:
            value = pickle.load(file, encoding="latin1") if trusted else unpickle.load(file)
            while file.read(2**20):  # at the end of a packed file stands its checksum
                pass
            return value
    except unpickle.PickleError as error:
        attempt = "read_pickle(..., trusted=True) if you know who wrote it"
        raise CheckpointError(f"{name}: {error}; try {attempt}") from error


def read_csv(name: str | Path, label: str | int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read features and labels from a table of numbers, separated by commas.

    Parameters
    ----------
    name : str or Path
        May be compressed (.gz).
    label : str or int, optional
        Name or number of the column of labels. By default the column named "label", "labels", "target", "class" or
        "y", else the last one.

    Returns
    -------
    features : float32 array, shape (n_rows, n_columns - 1)
    labels : float64 array, shape (n_rows,)

    Raises
    ------
    ValueError
        If there is no such column, or a field is not a number.
    """
    text = _read_bytes(name).decode("utf-8-sig")
    first_line = text.split("\n", 1)[0].strip()
    header = [field.strip().strip('"') for field in first_line.split(",")]
    has_header = not all(_is_number(field) for field in header)
    try:
        table = np.loadtxt(io.StringIO(text), delimiter=",", skiprows=int(has_header), ndmin=2)
    except ValueError as error:
        raise ValueError(f"{name}: got {error}; need numbers separated by commas; try another file") from error
    column = _label_column(header if has_header else [], table.shape[1], label, name)
    return np.delete(table, column, axis=1).astype(np.float32), table[:, column]


def read_idx(name: str | Path) -> np.ndarray:
    """Read an array from an IDX file, as MNIST and Fashion-MNIST are published in; compressed by gzip or not.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no IDX file, or not a whole one.
    """
    content = _read_bytes(name)
    dtype = IDX_TYPES.get(content[2]) if len(content) > 3 and content[:2] == b"\0\0" else None
    if dtype is None or len(content) < 4 + 4 * content[3]:
        raise ValueError(f"{name}: got a file that is not in IDX form; need one; try another file")
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start], ">i4").tolist()
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if min(shape, default=0) < 0 or n_bytes != len(content) - start:
        raise ValueError(
            f"{name}: got {len(content) - start} bytes of data for shape {tuple(shape)}; need {n_bytes}; try a copy"
        )
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array.astype(array.dtype.newbyteorder("="))


def read_array(name: str | Path) -> np.ndarray:
    """Read an array from a .npy file (left on the disk, and read as it is used), a .csv file or a pickle."""
    path = Path(name)
    if not path.is_file():
        raise storage.missing(name)
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="r", allow_pickle=False)
    if path.name.endswith((".csv", ".csv.gz")):
        return np.loadtxt(path, delimiter=",", ndmin=1)
    return read_pickle(path)


def checkpoint_path(name: str | Path, kind: str | None = None) -> str | Path:
    """Return the file that a checkpoint `DIR/STEM` is kept in: ``DIR/STEM_last.pkl.gz``, or another kind than last.

    The full name of a file is returned as it is. Addresses such as ``s3://bucket/STEM`` stay text.

    Examples
    --------
    >>> checkpoint_path("runs/mnist", "best_model").name
    'mnist_best_model.pkl.gz'
    >>> checkpoint_path("s3://bucket/run/mnist")
    's3://bucket/run/mnist_last.pkl.gz'
    """
    full = str(name)
    if kind is not None or not full.endswith((".pkl", ".pkl.gz")):
        full = f"{full}_{kind or 'last'}.pkl.gz"
    return full if storage.is_remote(name) else Path(full)


def previous_path(path: str | Path) -> str | Path | None:
    """Return where the checkpoint before the last one is kept, if `path` is that of a last one."""
    full = str(path)
    if not full.endswith("_last.pkl.gz"):
        return None
    previous = full.removesuffix("_last.pkl.gz") + "_previous.pkl.gz"
    return previous if storage.is_remote(path) else Path(previous)


def plain_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return metadata that can be stored and read back.

    Raises
    ------
    ValueError
        If they are more than plain data.
    """
    metadata = dict(metadata or {})
    try:
        unpickle.loads(pickle.dumps(metadata, protocol=4))
    except (unpickle.PickleError, pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"got metadata that cannot be stored ({error}); need plain data; try text or numbers"
        ) from error
    return metadata


def take_state(model: Any, metadata: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], bytes]:
    """Return a classifier as it is now: what describes it, and its state as a pickle. Takes a few milliseconds."""
    header = plain_metadata(metadata) | {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "arignote_version": __version__,
        "model_type": type(model).__name__,
        "model_name": model.name,
        "utc_time": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
    }
    return header, pickle.dumps(model.__getstate__(), protocol=4)


def checkpoint_content(header: Mapping[str, Any], state: bytes) -> bytes:
    """Return the content of a checkpoint, not yet packed, of what `take_state` returned. Adds the checksum."""
    sums = {"n_bytes": len(state), "sha256": hashlib.sha256(state).hexdigest()}
    return pickle.dumps(dict(header) | sums, protocol=4) + state


def write_content(path: str | Path, content: bytes) -> None:
    """Write what `checkpoint_content` returned. A last checkpoint leaves the one before it beside it."""
    storage.write(path, gzip.compress(content, COMPRESSION), keep_as=previous_path(path))


def checkpoint_write(name: str | Path, model: Any, metadata: Mapping[str, Any] | None = None) -> str | Path:
    """Write a classifier to a file, which is replaced in one step.

    Parameters
    ----------
    name : str or Path
        A file name that ends in .pkl.gz, or ``DIR/STEM``, which is written to ``DIR/STEM_last.pkl.gz``; or an address
        that fsspec knows, such as ``s3://bucket/run/mnist``.
    model : NNClassifier
    metadata : dict, optional
        Stored with it; see `checkpoint_read`. Plain data.

    Returns
    -------
    str or Path
        The file.
    """
    path = checkpoint_path(name)
    write_content(path, checkpoint_content(*take_state(model, metadata)))
    return path


def checkpoint_read(name: str | Path, get_metadata: bool = False, max_bytes: int | None = None) -> Any:
    """Read a classifier that can predict at once, and whose `fit` goes on where it was stored.

    Files of the first Arignote (version 3.0) are read, too; see :mod:`arignote.data.first_format`. Where the last
    checkpoint of a run is damaged, the one before it is read, with a warning.

    Parameters
    ----------
    name : str or Path
        A file name, or ``DIR/STEM``, which is read from ``DIR/STEM_last.pkl.gz``; or an address.
    get_metadata : bool, optional
        Return the dictionary stored with it, too.
    max_bytes : int, optional
        Refuse a file that unpacks to more. By default 64 MiB and a hundred times its packed size.

    Returns
    -------
    NNClassifier, or a pair (NNClassifier, dict)

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If the file is damaged, is no checkpoint, or needs code that this program does not have.
    """
    path = checkpoint_path(name)
    try:
        model, header = _read_checkpoint(path, max_bytes)
    except CheckpointError as damage:
        previous = previous_path(path)
        if previous is None or not storage.exists(previous):
            raise
        model, header = _read_checkpoint(previous, max_bytes)
        message = f"{damage}. Going on from the checkpoint before it, {previous}, of {header['utc_time']} UTC"
        warnings.warn(message, stacklevel=2)
    return (model, header) if get_metadata else model


def _read_checkpoint(path: str | Path, max_bytes: int | None) -> tuple[Any, dict]:
    """Return the classifier and the metadata in one file."""
    content = _read_bytes(path, max_bytes)
    try:
        header, end = unpickle.loads(content, classes=first_format.CLASSES)
        if first_format.knows(header):
            model, _ = unpickle.loads(content, end, first_format.CLASSES)
            return _model_class("NNClassifier").from_state(first_format.state_of(model)), first_format.metadata(header)
        _check_header(header, content[end:])
        state, _ = unpickle.loads(content, end)
        return _model_class(header["model_type"]).from_state(state), header
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except unpickle.PickleError as error:
        raise CheckpointError(f"{path}: {error}; try a copy of the file") from error
    except Exception as error:  # what was stored does not fit the code, in whatever way
        raise CheckpointError(f"{path}: cannot be restored by this program: {error}") from error


def _check_header(header: Any, state: bytes) -> None:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CheckpointError("got a file that is no Arignote checkpoint; need one; try files.read_pickle for data")
    if header.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"got format version {header.get('format_version')}; need {FORMAT_VERSION}; try another Arignote"
        )
    if header.get("n_bytes") != len(state) or header.get("sha256") != hashlib.sha256(state).hexdigest():
        raise CheckpointError("got a damaged file, whose checksum does not fit; need a whole one; try a copy of it")


def _model_class(name: str) -> Any:
    if name not in STORABLE:
        raise CheckpointError(f"got a {name!r}; need one of {', '.join(STORABLE)}")
    return getattr(importlib.import_module(STORABLE[name]), name)


def _read_bytes(name: str | Path, max_bytes: int | None = None) -> bytes:
    """Return the content of a file, unpacked if it is packed, up to a limit."""
    with _unpacked(name, max_bytes) as file:
        return file.read()


@contextmanager
def _unpacked(name: str | Path, max_bytes: int | None = None) -> Iterator[BinaryIO]:
    """Open a file, to be unpacked while it is read if it is packed, up to a limit.

    Raises
    ------
    CheckpointError
        If the packed file is damaged, or unpacks to more than the limit.
    """
    content = storage.read(name)
    if content[:2] != b"\x1f\x8b":
        yield io.BytesIO(content)
        return
    limit = UNPACKED_BYTES + UNPACKED_RATIO * len(content) if max_bytes is None else max_bytes
    try:
        with gzip.open(io.BytesIO(content)) as packed, io.BufferedReader(_Limited(packed, limit), 2**16) as file:
            yield file
    except _TooLargeError as error:
        raise CheckpointError(
            f"{name}: got a file of {len(content)} bytes that unpacks to more than {limit}; need a smaller one; "
            "try max_bytes=... if you know who wrote it"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise CheckpointError(f"{name}: got a damaged gzip file ({error}); need a whole one; try a copy") from error


class _TooLargeError(OSError):
    """More was read than a limit allows."""


class _Limited(io.RawIOBase):
    """A file of which no more than `limit` bytes can be read."""

    def __init__(self, file: io.BufferedIOBase, limit: int):
        self._file, self._left = file, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = self._file.readinto(buffer)
        self._left -= n
        if self._left < 0:
            raise _TooLargeError
        return n


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _label_column(header: list[str], n_columns: int, label: str | int | None, name: str | Path) -> int:
    """Return the number of the column of labels."""
    if isinstance(label, int) and -n_columns <= label < n_columns:
        return label % n_columns
    if label is None:
        usual = [i for i, field in enumerate(header) if field.lower() in ("label", "labels", "target", "class", "y")]
        return usual[0] if usual else n_columns - 1
    if label in header:
        return header.index(label)
    raise ValueError(f"{name}: got label={label!r}; need one of the columns; try one of {header or range(n_columns)}")
