"""IDX files, the form in which MNIST and Fashion-MNIST are published."""

import math
from pathlib import Path

import numpy as np

from arignote.data.formats.errors import naming
from arignote.data.formats.packed import read_bytes
from arignote.util.checks import brief

# The third byte of an IDX file -> the type of its numbers, highest byte first.
IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(name: str | Path) -> np.ndarray:
    """Read an array from an IDX file, as MNIST and Fashion-MNIST are published in; compressed by gzip or not.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no IDX file, or not a whole one.
    """
    content = read_bytes(name)
    with naming(name, "IDX"):
        return _decode(name, content)


def _decode(name: str | Path, content: bytes) -> np.ndarray:
    dtype = IDX_TYPES.get(content[2]) if len(content) > 3 and content[:2] == b"\0\0" else None
    if dtype is None or len(content) < 4 + 4 * content[3]:
        raise ValueError(f"{name}: got a file that is not in IDX form; need one; try another file")
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start], ">i4").tolist()
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if min(shape, default=0) < 0 or n_bytes != len(content) - start:
        raise ValueError(
            f"{name}: got {len(content) - start} bytes of data for shape {brief(shape)}; need {n_bytes}; try a copy"
        )
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array.astype(array.dtype.newbyteorder("="))
