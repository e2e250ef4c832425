"""Functions compiled and run by JAX, on a CPU or a GPU (https://github.com/jax-ml/jax).

PyTensor translates a graph to a function of JAX arrays. The values of shared variables, such as the parameters of a
network, stay on the device. The overhead of a call is far larger than a training step of a small network, so
:meth:`JaxFunction.block` makes many calls in one dispatch.
"""

import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import util
from typing import Any

import numpy as np
import pytensor
from pytensor.tensor.sharedvar import TensorSharedVariable

from arignote.engine.errors import EngineError

BLOCK_SECONDS = 0.5
"""Target for the longest run time of a block. A stop, a validation or a checkpoint waits for the block to finish."""
BLOCK_BYTES = 16 * 2**20
"""Upper bound on the size of the inputs of a block."""
BLOCK_CALLS = 512
"""Upper bound on the number of calls in a block."""
RESIDENT_BYTES = 2 * 2**30
"""Upper bound on the size of an array that is stored on the device."""


def import_jax(device: str) -> Any:
    """Import JAX for a device, "cpu" or "gpu", and return it.

    Raises
    ------
    EngineError
        If JAX is not installed or finds no such device.
    """
    if util.find_spec("jax") is None:
        extra = "gpu" if device == "gpu" else "jax"
        raise EngineError(f"got no JAX; need it for this device or backend; try: pip install 'arignote[{extra}]'")
    if device == "gpu" and "jax" not in sys.modules:
        # The fastest kernels sum in an order that varies between runs, so that no run could be resumed exactly.
        flags = os.environ.get("XLA_FLAGS", "")
        if "xla_gpu_deterministic_ops" not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
    import jax

    if "JAX_PLATFORMS" not in os.environ:
        jax.config.update("jax_platforms", "cpu" if device == "cpu" else "cuda,rocm,cpu")
    try:
        found = jax.default_backend()
    except RuntimeError as error:
        found = f"an error: {error}"
    if device == "gpu" and found != "gpu":
        raise EngineError(
            f"got ARIGNOTE_DEVICE=gpu, but JAX reports {found}; need a GPU that JAX can use; try: pip install "
            "'arignote[gpu]', nvidia-smi to see whether the driver runs, or ARIGNOTE_DEVICE=cpu"
        )
    return jax


def register(op: type) -> None:
    """Register a class of Ops with PyTensor, to be translated to JAX by their method ``in_jax``."""
    from pytensor.link.jax.dispatch import jax_funcify

    @jax_funcify.register(op)
    def translate(op: Any, node: Any, **_: Any) -> Any:
        types = [output.type.dtype for output in node.outputs]

        def run(*inputs: Any) -> Any:
            from jax import numpy as jnp

            outputs = [jnp.asarray(value, dtype) for value, dtype in zip(op.in_jax(*inputs), types, strict=True)]
            return outputs if len(outputs) > 1 else outputs[0]

        return run


class DeviceVariable(TensorSharedVariable):
    """A shared variable whose value is stored on the device, and is set and returned as a numpy array."""

    def get_value(self, borrow: bool = False, return_internal_type: bool = False) -> np.ndarray:
        return np.array(super().get_value(borrow=True, return_internal_type=True))


def shared(value: Any, name: str | None = None) -> DeviceVariable:
    """Return a shared variable that holds a copy of an array."""
    value = np.array(value)
    type_ = pytensor.tensor.TensorType(value.dtype, (None,) * value.ndim)
    return DeviceVariable(type=type_, value=value, strict=False, name=name)


@dataclass(frozen=True)
class Rows:
    """Rows of an array on the device, an alternative to passing an array to a function.

    Parameters
    ----------
    array : array on the device, from :func:`resident`
    indices : integer array
    """

    array: Any
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)


def resident(array: np.ndarray) -> Any | None:
    """Copy an array to the device, for :class:`Rows`; return None if it is too large to be stored there."""
    import jax

    with jax.enable_x64(array.dtype.itemsize == 8):
        return jax.device_put(array) if array.nbytes <= RESIDENT_BYTES else None


class JaxFunction:
    """A function compiled by JAX, with the interface of :class:`~arignote.engine.compiled.Compiled`.

    Parameters
    ----------
    inputs, outputs, updates, on_unused_input
        As for ``engine.function``.
    """

    def __init__(self, inputs: Sequence, outputs: Any, updates: Any = None, on_unused_input: str = "raise"):
        import jax
        from pytensor.link.jax.dispatch import jax_funcify

        self._is_double = pytensor.config.floatX == "float64"
        with warnings.catch_warnings(), jax.enable_x64(self._is_double):
            warnings.simplefilter("ignore")  # JAX ignores the assertions of PyTensor
            self.compiled = pytensor.function(
                inputs, outputs, updates=updates, on_unused_input=on_unused_input, mode="JAX", accept_inplace=True
            )
            graph = self.compiled.maker.fgraph
            call = jax_funcify(graph)
        self._is_list = isinstance(outputs, list | tuple)
        self._types = [variable.type.dtype for variable in graph.inputs[: len(inputs)]]
        # The storage of the shared variables, and the indices of those that a call updates.
        self._cells = [container.storage for container in self.compiled.input_storage[len(inputs) :]]
        self._updated = [source - len(inputs) for source in graph.update_mapping.values()]
        call = pure(call, self._updated)
        self._call, self._loop = jax.jit(call), jax.jit(partial(run_loop, call))
        # On a CPU, JAX computes convolutions many times slower inside a loop, while the overhead of calls is small.
        slow = any(getattr(node.op, "slow_in_jax_loops", False) for node in graph.apply_nodes)
        self._in_loops = jax.default_backend() != "cpu" or not slow
        self._seconds: dict[tuple, float] = {}
        self._capacity = BLOCK_CALLS
        self._lock = threading.Lock()

    def __call__(self, *values: Any) -> Any:
        with self._locked():
            return self._run(values)

    @property
    def block_size(self) -> int:
        """The most efficient number of calls for :meth:`block`."""
        if not self._in_loops:
            return 1
        seconds = max(self._seconds.values(), default=BLOCK_SECONDS / 8)
        return max(1, min(int(BLOCK_SECONDS / seconds), self._capacity))

    def block(self, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """Make several calls in order, in as few dispatches as possible; return the list of their results.

        An input may be :class:`Rows` instead of an array.
        """
        found: list[Any] = []
        with self._locked():
            if not self._in_loops:
                return [self._run(values) for values in calls]
            while len(found) < len(calls):
                rest = calls[len(found) :]
                kind = _kind(rest[0])
                n_bytes = sum(value.nbytes for value in map(_transferred, rest[0]))
                # All blocks of a kind have the same capacity: code compiled for another one might round differently.
                self._capacity = max(1, min(BLOCK_BYTES // n_bytes, BLOCK_CALLS))
                n_alike = next((i for i, values in enumerate(rest) if _kind(values) != kind), len(rest))
                found += self._run_block(rest[: min(n_alike, self._capacity)], kind)
        return found

    def _run(self, values: Sequence[Any]) -> Any:
        """Make one call."""
        each = zip(values, self._types, strict=True)
        inputs = [
            self._convert_integers(np.asarray(_transferred(value), _transferred_type(value, dtype)))
            for value, dtype in each
        ]
        outputs, state = self._call(self._state(), inputs, _sources(values))
        self._set_state(state)
        return self._as_requested([np.array(output) for output in outputs])

    def _run_block(self, calls: Sequence[Sequence[Any]], kind: tuple) -> list[Any]:
        """Make the calls of one block, which are of the same kind."""
        stacks = [self._stack(*each) for each in zip(zip(*calls, strict=True), self._types, strict=True)]
        started = time.perf_counter()
        stacked, state = self._loop(len(calls), self._state(), stacks, _sources(calls[0]))
        stacked = [np.asarray(output) for output in stacked]
        if kind in self._seconds:  # the first block of a kind includes compilation
            self._seconds[kind] = (time.perf_counter() - started) / len(calls)
        self._seconds.setdefault(kind, BLOCK_SECONDS / 8)
        self._set_state(state)
        return [self._as_requested([output[i] for output in stacked]) for i in range(len(calls))]

    def _stack(self, values: Sequence[Any], dtype: str) -> np.ndarray:
        """Stack the values of one input, padded with uninitialized memory to the capacity of a block."""
        stack = np.empty((self._capacity, *_transferred(values[0]).shape), _transferred_type(values[0], dtype))
        for i, value in enumerate(values):
            stack[i] = _transferred(value)
        return self._convert_integers(stack)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Context manager that holds the lock, and enables 64-bit types if the network uses them."""
        import jax

        with self._lock, jax.enable_x64(self._is_double):
            yield

    def _convert_integers(self, value: Any) -> Any:
        """Convert 64-bit integers to 32 bits unless 64-bit types are enabled in JAX."""
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.dtype.itemsize == 8:
            return value if self._is_double else value.astype(f"{value.dtype.kind}4")
        return value

    def _state(self) -> list:
        """Return the values of all shared variables."""
        return [self._convert_integers(value) for (value,) in self._cells]

    def _set_state(self, state: list) -> None:
        for index in self._updated:
            self._cells[index][0] = state[index]

    def _as_requested(self, outputs: list) -> Any:
        return outputs if self._is_list else outputs[0]


def pure(graph: Callable, updated: Sequence[int]) -> Callable:
    """Return a pure function ``call(state, inputs, sources)`` that returns the outputs of a graph and the new state.

    The state is the list of the values of all shared variables. `sources` has one entry for each input: the array that
    the input indexes the rows of, or None if the input is the value itself.

    Parameters
    ----------
    graph : callable
        Takes the inputs and the state; returns the outputs, and new values of some of the shared variables.
    updated : sequence of int
        The indices of these shared variables.
    """
    import jax
    from jax import numpy as jnp

    def call(state: list, inputs: list, sources: list) -> tuple[list, list]:
        inputs = [
            value if source is None else source.at[value].get(mode="promise_in_bounds")
            for value, source in zip(inputs, sources, strict=True)
        ]
        # Matrix products in full single precision, unless the user configured JAX otherwise.
        precision = jax.config.jax_default_matmul_precision or "highest"
        with warnings.catch_warnings(), jax.default_matmul_precision(precision):
            warnings.simplefilter("ignore")  # users cannot do anything about JAX truncating int64
            results = list(graph(*inputs, *state))
        n_outputs = len(results) - len(updated)
        state = list(state)
        for index, value in zip(updated, results[n_outputs:], strict=True):
            state[index] = jnp.asarray(value, state[index].dtype)
        return results[:n_outputs], state

    return call


def run_loop(call: Callable, n: Any, state: list, stacks: list, sources: list) -> tuple[list, list]:
    """Make `n` calls in a loop; return their stacked outputs and the new state.

    Parameters
    ----------
    call : callable
        A function returned by :func:`pure`.
    n : int, not a compile-time constant
    state : list of arrays
    stacks : list of arrays
        For each input the stacked values of all calls, of which the first `n` are used.
    sources : list of array or None
        See :func:`pure`.
    """
    import jax
    from jax import lax
    from jax import numpy as jnp

    def inputs_of(i: Any) -> list:
        return [lax.dynamic_index_in_dim(stack, i, keepdims=False) for stack in stacks]

    def body(i: Any, carry: tuple[list, list]) -> tuple[list, list]:
        stacked, state = carry
        outputs, state = call(state, inputs_of(i), sources)
        stacked = [lax.dynamic_update_index_in_dim(*pair, i, 0) for pair in zip(stacked, outputs, strict=True)]
        return stacked, state

    shapes, _ = jax.eval_shape(call, state, inputs_of(0), sources)
    stacked = [jnp.zeros((len(stacks[0]), *output.shape), output.dtype) for output in shapes]
    return lax.fori_loop(0, n, body, (stacked, list(map(jnp.asarray, state))))


def _transferred(value: Any) -> np.ndarray:
    """Return the array that is transferred to the device for an input."""
    return value.indices if isinstance(value, Rows) else np.asarray(value)


def _transferred_type(value: Any, dtype: str) -> Any:
    """Return the dtype of that array, for an input of dtype `dtype`."""
    return value.indices.dtype if isinstance(value, Rows) else dtype


def _sources(values: Sequence[Any]) -> list:
    """Return for each input of a call the array on the device that it selects rows of, or None."""
    return [value.array if isinstance(value, Rows) else None for value in values]


def _kind(values: Sequence[Any]) -> tuple:
    """Return a key that all calls of a block have in common: the shapes and sources of the inputs."""
    return tuple((_transferred(value).shape, id(value.array) if isinstance(value, Rows) else None) for value in values)


def describe() -> str:
    """Return the device and the version of JAX."""
    import jax

    device = jax.devices()[0]
    return f"{device.platform} ({device.device_kind}), JAX {jax.__version__}"
