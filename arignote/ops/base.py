"""What an Op of ours is: one computation in two forms, a kernel in C++ and the same in numpy.

The numpy form says what is computed, is what the kernel is tested against, and serves where there is no compiler. Since
``jax.numpy`` has the same functions, it is the form for JAX, too, but for the few Ops of :mod:`arignote.ops.in_jax`.
"""

import sys
from abc import abstractmethod
from types import ModuleType
from typing import Any

import numpy as np

from arignote import native
from arignote.engine import Op
from arignote.native.memory import empty


class NumpyOp(Op):
    """An Op that computes in numpy: for what takes no time to speak of."""

    __props__: tuple = ()

    @abstractmethod
    def reference(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Compute in numpy; return the outputs. Take functions from :func:`namespace`, and change no array."""

    def in_jax(self, *inputs: Any) -> tuple[Any, ...]:
        """Compute the same of JAX's arrays."""
        return self.reference(*inputs)

    @abstractmethod
    def output_shapes(self, node: Any, shapes: list) -> list:
        """Return the shapes of the outputs, symbolic, for those of the inputs."""

    def perform(self, node: Any, inputs: list, output_storage: list, params: Any = None) -> None:
        for cell, value, variable in zip(output_storage, self.reference(*inputs), node.outputs, strict=True):
            cell[0] = np.asarray(value, dtype=variable.dtype)

    def make_thunk(self, node, storage_map, compute_map, no_recycling, impl=None):
        # The engine would first look for C code of its own kind.
        return self.make_py_thunk(node, storage_map, compute_map, no_recycling)


class KernelOp(NumpyOp):
    """An Op that computes by a kernel, or, where there is none, in numpy."""

    @abstractmethod
    def run(self, outputs: list, *inputs: np.ndarray) -> None:
        """Compute by a kernel, and leave each output in the cell ``outputs[i][0]``, which may hold an earlier one."""

    def can_run(self, *inputs: np.ndarray) -> bool:
        """Say whether there is a kernel for these inputs."""
        return native.available()

    def perform(self, node: Any, inputs: list, output_storage: list, params: Any = None) -> None:
        if self.can_run(*inputs):
            self.run(output_storage, *inputs)
        else:
            super().perform(node, inputs, output_storage, params)


def namespace(*arrays: Any) -> ModuleType:
    """Return the module that computes with these arrays: numpy, or ``jax.numpy``."""
    in_numpy = all(isinstance(array, np.ndarray | np.generic | float | int) for array in arrays)
    return np if in_numpy else sys.modules["jax.numpy"]


def room(cell: list, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an array in C order to write an output to: the one in `cell` if it fits, else a new one, put there."""
    found = cell[0]
    if found is None or found.shape != shape or found.dtype != dtype or not found.flags.c_contiguous:
        found = cell[0] = empty(shape, dtype)
    return found


def channels_last(images: np.ndarray) -> np.ndarray:
    """Return images given as (n, channels, rows, columns) as (n, rows, columns, channels), in that order in memory.

    Our Ops on images leave them so; then nothing is copied.
    """
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def room_channels_last(cell: list, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return room for images of `shape` (n, channels, rows, columns) as (n, rows, columns, channels).

    What is put into `cell` has the axes of `shape`, and lies in memory in the other order.
    """
    n, channels, *size = shape
    if cell[0] is not None and cell[0].shape == shape and cell[0].dtype == dtype:
        found = cell[0].transpose(0, 2, 3, 1)
        if found.flags.c_contiguous:
            return found
    found = empty((n, *size, channels), dtype)
    cell[0] = found.transpose(0, 3, 1, 2)
    return found


def units_last(array: np.ndarray) -> np.ndarray:
    """Return an array (n, units) or (n, units, rows, columns) with the units as last axis, in that order in memory."""
    return channels_last(array) if array.ndim == 4 else np.ascontiguousarray(array)


def room_units_last(cell: list, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return room for an array of `shape` (n, units) or (n, units, rows, columns), with the units as last axis."""
    return room_channels_last(cell, shape, dtype) if len(shape) == 4 else room(cell, shape, dtype)
