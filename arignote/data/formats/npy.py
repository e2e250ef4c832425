"""Files of one array in numpy's format: .npy, and the entries of .npz."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as numpy_format

from arignote.data import storage
from arignote.data.formats.errors import naming
from arignote.util.checks import brief

READ_HEADER = {(1, 0): numpy_format.read_array_header_1_0, (2, 0): numpy_format.read_array_header_2_0}


class Header(NamedTuple):
    """What an array is like, by its header."""

    shape: tuple[int, ...]
    dtype: np.dtype
    is_fortran: bool


def read_npy(name: str | Path) -> np.ndarray:
    """Return the array of a .npy file, left on the disk and read as it is used.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, or has fewer values than its header says, or Python objects, which are never loaded.
    """
    path = Path(name)
    if not path.is_file():
        raise storage.missing(name)
    with naming(name, "npy"):
        with open(path, "rb") as file:
            read_header(file, path.stat().st_size)
        return np.load(path, mmap_mode="r", allow_pickle=False)


def read_header(file: Any, n_bytes: int) -> Header:
    """Return the header of an array; refuse it if its values are more than what is left of the file's `n_bytes`."""
    version = numpy_format.read_magic(file)
    if version not in READ_HEADER:
        raise ValueError(f"got version {version} of the format, which only records have")
    shape, is_fortran, dtype = READ_HEADER[version](file)
    if dtype.hasobject:
        raise ValueError("got objects, which need a pickle (allow_pickle)")
    needed, left = math.prod(shape) * dtype.itemsize, n_bytes - file.tell()
    if min(shape, default=0) < 0 or not dtype.itemsize or needed > left:
        raise ValueError(f"got {left} bytes of data for the shape {brief(shape)} and the type {dtype!s:.100}")
    return Header(shape, dtype, is_fortran)


def read_stream(file: Any, n_bytes: int) -> np.ndarray:
    """Return the array of an open file of `n_bytes`, which ends with it."""
    header = read_header(file, n_bytes)
    array = np.empty(header.shape[::-1] if header.is_fortran else header.shape, header.dtype)
    target = array.reshape(-1).view(np.uint8).data
    while len(target):
        n_read = file.readinto(target)
        if not n_read:
            raise EOFError("the values end early")
        target = target[n_read:]
    if file.read(1):  # at its end, the checksum of a packed file is compared
        raise ValueError("got more bytes of data than the header says")
    return array.T if header.is_fortran else array
