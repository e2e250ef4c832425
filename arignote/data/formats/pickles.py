"""Pickles of plain data and arrays, and single arrays in files."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from arignote.data import storage, unpickle
from arignote.data.formats.npy import read_npy
from arignote.data.formats.packed import CheckpointError, unpacked
from arignote.data.formats.tables import read_table
from arignote.util import checks

PICKLE_ARGUMENTS = ("encoding", "errors", "fix_imports", "buffers")


def read_pickle(fname: str | Path, trusted: bool = False, max_bytes: int | None = None, **pickle_arguments: Any) -> Any:
    """Read a pickle, compressed by gzip or not, written by Python 2 or 3.

    Parameters
    ----------
    fname : str or Path
    trusted : bool, optional
        A pickle can run any program. By default, only plain data and numpy arrays are read, and nothing is run. True
        reads anything, with Python's own pickle: for files of your own.
    max_bytes : int, optional
        Refuse a file that unpacks to more, or whose data take more memory. By default 64 MiB and 32 times the size of
        the file, or a hundred times if it is packed.
    **pickle_arguments
        Those of Python's ``pickle.load``: `encoding`, by default "latin1", and `errors`, of strings of Python 2;
        `fix_imports` and `buffers` matter only if the file is trusted.

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
    for name in pickle_arguments:
        if name not in PICKLE_ARGUMENTS:
            raise TypeError(
                f"got the argument {name!r}; need one of read_pickle or pickle.load; "
                f"{checks.suggestion(name, ['trusted', 'max_bytes', *PICKLE_ARGUMENTS])}"
            )
    given = {"encoding": "latin1", "errors": "strict"} | pickle_arguments
    try:
        with unpacked(fname, max_bytes) as (file, limit):
            if trusted:
                value = pickle.load(file, **given)
            else:
                value = unpickle.load(file, (), limit, given["encoding"], given["errors"])
            while file.read(2**20):  # the checksum of a packed file is at its end
                pass
            return value
    except unpickle.PickleSizeError as error:
        raise CheckpointError(f"{fname}: {error}; try max_bytes=... if you trust its author") from error
    except unpickle.PickleError as error:
        attempt = "read_pickle(..., trusted=True) if you trust its author"
        if str(fname).endswith(".npz"):
            attempt = f"numpy.load({str(fname)!r}), and fit(X, y) with its arrays"
        raise CheckpointError(f"{fname}: {error}; try {attempt}") from error


def read_array(name: str | Path) -> np.ndarray:
    """Read an array from a .npy file (left on the disk, and read as it is used), a .csv file or a pickle."""
    path = Path(name)
    if not path.is_file():
        raise storage.missing(name)
    if path.suffix == ".npy":
        return read_npy(name)
    if path.name.endswith((".csv", ".csv.gz")):
        _, table = read_table(path)
        return table[:, 0] if table.shape[1] == 1 else table
    return read_pickle(path)
