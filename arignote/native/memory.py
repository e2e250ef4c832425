"""Arrays aligned to cache lines."""

from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes; a SIMD load then does not cross a cache line


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return a new C-contiguous array aligned to a cache line."""
    dtype = np.dtype(dtype)
    n_bytes = dtype.itemsize
    for size in shape:
        n_bytes *= size
    memory = np.empty(n_bytes + ALIGNMENT, np.uint8)
    skip = -memory.__array_interface__["data"][0] % ALIGNMENT
    return memory[skip : skip + n_bytes].view(dtype).reshape(shape)


def copy(array: np.ndarray) -> np.ndarray:
    """Return a C-contiguous copy of an array, aligned to a cache line."""
    array = np.asarray(array)
    copied = empty(array.shape, array.dtype)
    copied[...] = array
    return copied
