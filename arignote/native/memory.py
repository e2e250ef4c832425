"""Memory that begins where the processor likes it."""

from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes; a vector that the processor loads then lies in one line of its cache


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return a new array, in C order, that begins where a line of the cache does."""
    dtype = np.dtype(dtype)
    n_bytes = dtype.itemsize
    for size in shape:
        n_bytes *= size
    memory = np.empty(n_bytes + ALIGNMENT, np.uint8)
    skip = -memory.__array_interface__["data"][0] % ALIGNMENT
    return memory[skip : skip + n_bytes].view(dtype).reshape(shape)


def copy(array: np.ndarray) -> np.ndarray:
    """Return a copy of an array, in C order, that begins where a line of the cache does."""
    array = np.asarray(array)
    new = empty(array.shape, array.dtype)
    new[...] = array
    return new
