"""Checkpoint files.

A checkpoint is a gzip file of two pickles, one after the other: a header, which describes it and has a checksum of
the rest; and the state of a network and its training, plain data and numpy arrays only: a
:class:`~arignote.checkpoint.state.ModelState`. Files are opened by :mod:`arignote.data.unpickle`, which runs nothing
that they contain, and unpacked up to a limit.
"""

import gzip
import hashlib
import pickle
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from arignote import __version__
from arignote.checkpoint import first_arignote, names, stores
from arignote.checkpoint.registry import MODELS
from arignote.data import storage, unpickle
from arignote.data.formats.packed import CheckpointError, unpacked
from arignote.util import checks

FORMAT = "arignote checkpoint"
FORMAT_VERSION = 1
# Weights are noise to a compressor, which would save less than a tenth of the size and take most of the time.
COMPRESSION = 0


def plain_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return metadata that can be stored and read back.

    Raises
    ------
    ValueError
        If they are more than plain data.
    """
    metadata = dict(metadata or {})
    problem = why_not_storable(metadata)
    if problem is not None:
        raise ValueError(f"got metadata that cannot be stored ({problem}); need plain data; try text or numbers")
    return metadata


def why_not_storable(value: Any) -> str | None:
    """Return why a value could not be stored and read back, or None if it could."""
    try:
        unpickle.loads(pickle.dumps(value, protocol=4))
    except (unpickle.PickleError, pickle.PicklingError, AttributeError, TypeError) as error:
        return str(error)
    return None


def take_state(model: Any, metadata: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], bytes]:
    """Return a snapshot of a network: its header, and its state as a pickle. Takes a few milliseconds."""
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
    """Return the content of a checkpoint file, not yet packed, from a header and a state. Adds the checksum."""
    sums = {"n_bytes": len(state), "sha256": hashlib.sha256(state).hexdigest()}
    return pickle.dumps(dict(header) | sums, protocol=4) + state


def write_content(path: str | Path, content: bytes) -> None:
    """Write the content of a checkpoint file. A last checkpoint keeps the one before it under another name."""
    storage.write(path, gzip.compress(content, COMPRESSION), keep_as=names.previous_path(path))


def checkpoint_write(net: Any, trainer: Any = None, filename: Any = None, extra_metadata: Any = None) -> str | Path:
    """Write a classifier, with its training, to a file, which is replaced in one step.

    The order ``checkpoint_write(filename, net, extra_metadata)`` is accepted, too.

    Parameters
    ----------
    net : NNClassifier
    trainer : optional
        Ignored, since a classifier knows its training.
    filename : str or Path
        A file name that ends in .pkl.gz, .pkl, .gz or the like, or ``DIR/STEM``, which is written to
        ``DIR/STEM_last.pkl.gz``; or an address that fsspec knows, such as ``s3://bucket/run/mnist``.
    extra_metadata : dict, optional
        Stored with it; see `checkpoint_read`. Plain data.

    Returns
    -------
    str or Path
        The file.

    Examples
    --------
    >>> import tempfile
    >>> from arignote.nnets.nets import NNClassifier
    >>> network = NNClassifier([["ClassificationOutputLayer", {"n_classes": 3}]], n_in=4)
    >>> path = checkpoint_write(network, network.trainer, tempfile.mkdtemp() + "/mine.pkl.gz", {"note": "untrained"})
    >>> checkpoint_read(path, get_metadata=True)[1]["note"]
    'untrained'
    """
    if isinstance(net, str | Path):
        filename, net, extra_metadata = net, trainer, filename if extra_metadata is None else extra_metadata
    if not isinstance(filename, str | Path):
        raise TypeError(
            f"got the file name {checks.brief(filename)}; need text or a Path; "
            "try checkpoint_write(classifier, classifier.trainer, 'runs/mine.pkl.gz')"
        )
    path = names.checkpoint_path(filename)
    content = checkpoint_content(*take_state(net, extra_metadata))
    if isinstance(path, Path):
        storage.tolerant_makedirs(path.parent)
    write_content(path, content)
    return path


def checkpoint_read(filename: str | Path, get_metadata: bool = False, max_bytes: int | None = None) -> Any:
    """Read a network that can predict at once, and whose `fit` resumes its training.

    Checkpoints of earlier versions are read too, those of the first Arignote (version 3.0) among them; see
    :mod:`arignote.checkpoint.first_arignote`. Where the last checkpoint of a run is damaged, the one before it is read,
    with a warning.

    Parameters
    ----------
    filename : str or Path
        A file name, or ``DIR/STEM``, which is read from ``DIR/STEM_last.pkl.gz``; or an address. A folder alone, such
        as ``"runs/"``, means the newest of the runs that `fit` named there.
    get_metadata : bool, optional
        Return the dictionary stored with it, too.
    max_bytes : int, optional
        Refuse a file that unpacks to more, or whose data take more memory. By default 64 MiB and a hundred times its
        size.

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
    path = names.find(filename)
    try:
        model, header = _read_model(path, max_bytes)
    except CheckpointError as damage:
        previous = names.previous_path(path)
        if previous is None or not storage.exists(previous):
            raise
        model, header = _read_model(previous, max_bytes)
        message = f"{damage}. Reading the checkpoint before it, {previous}, of {header['utc_time']} UTC"
        warnings.warn(message, stacklevel=2)
    return (model, header) if get_metadata else model


def read_state(path: str | Path, max_bytes: int | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state in one file, as it was stored, and the metadata.

    Raises
    ------
    CheckpointError
        If the file is damaged or is no checkpoint.
    """
    with opened(path, max_bytes) as (header, behind):
        if stores.knows(header):
            return stores.state_of(header, stores.arrays_behind(header, behind.load)), stores.metadata(header)
        if first_arignote.knows(header):
            return first_arignote.state_of(behind.load(first_arignote.CLASSES)), first_arignote.metadata(header)
        _check_header(header, behind.content)
        return behind.load(), header


def _read_model(path: str | Path, max_bytes: int | None) -> tuple[Any, dict]:
    """Return the classifier and the metadata in one file."""
    state, header = read_state(path, max_bytes)
    with _naming(path):
        kind = header["model_type"] if header.get("format") == FORMAT else "NNClassifier"  # the only one at first
        model = _model_class(kind).from_state(state)
        if stores.knows(header):
            model.set_trainable_params(state["params"])  # so that they are known not to be the initial ones
        return model, header


class Pickles:
    """The pickles that follow the first one in a file."""

    def __init__(self, content: bytes, max_bytes: int):
        self.content = content
        self._at, self._max_bytes = 0, max_bytes

    def load(self, classes: Iterable[str] = ()) -> Any:
        """Return the next one."""
        value, self._at = unpickle.loads(self.content, self._at, classes, self._max_bytes)
        return value


@contextmanager
def opened(path: str | Path, max_bytes: int | None = None) -> Iterator[tuple[Any, Pickles]]:
    """Open a file, and load its first pickle; errors inside the ``with`` block are CheckpointErrors with its name."""
    with unpacked(path, max_bytes) as (file, limit):
        content = file.read()
    with _naming(path):
        header, end = unpickle.loads(content, 0, first_arignote.CLASSES, limit, stores.THEANO_TYPES)
        yield header, Pickles(content[end:], limit)


@contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Raise CheckpointError, with the name of the file, for any error inside the ``with`` block."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except unpickle.PickleSizeError as error:
        raise CheckpointError(f"{path}: {error}; try max_bytes=... if you trust its author") from error
    except unpickle.PickleError as error:
        raise CheckpointError(f"{path}: {error}; try a copy of the file") from error
    except Exception as error:  # what was stored does not fit the code, in whatever way
        raise CheckpointError(f"{path}: cannot be restored by this program: {error}") from error


def _check_header(header: Any, state: bytes) -> None:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CheckpointError("got a file that is no Arignote checkpoint; need one; try files.read_pickle for data")
    if header.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"got format version {checks.brief(header.get('format_version'))}; need {FORMAT_VERSION}; "
            "try a newer Arignote, pip install --upgrade arignote"
        )
    if header.get("n_bytes") != len(state) or header.get("sha256") != hashlib.sha256(state).hexdigest():
        raise CheckpointError("got a damaged file, whose checksum does not fit; need a whole one; try a copy of it")


def _model_class(name: str) -> Any:
    if not isinstance(name, str) or name not in MODELS:
        raise CheckpointError(f"got a {checks.brief(name)}; need one of {', '.join(MODELS)}")
    return MODELS[name]()
