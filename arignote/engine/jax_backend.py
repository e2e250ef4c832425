"""Functions that JAX compiles and runs, on a CPU or on a GPU (https://github.com/jax-ml/jax).

PyTensor translates a graph to a function of JAX's arrays. What a function keeps between calls, a network's parameters
for one, stays on the device. A call costs far more than a step of a small network takes: :meth:`JaxFunction.block`
makes many of them in one go.
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
"""How long a block should take at most: so long waits who wants to stop, to validate or to write a checkpoint."""
BLOCK_BYTES = 16 * 2**20
"""How much memory the inputs of a block should take at most."""
BLOCK_CALLS = 512
"""How many calls a block makes at most."""
RESIDENT_BYTES = 2 * 2**30
"""Data up to this size are kept on the device."""


def import_jax(device: str) -> Any:
    """Import JAX for a device, "cpu" or "gpu", and return it.

    Raises
    ------
    EngineError
        If it is not installed, or finds no such device.
    """
    if util.find_spec("jax") is None:
        extra = "gpu" if device == "gpu" else "jax"
        raise EngineError(f"got no JAX; need it to compute on this device; try: pip install 'arignote[{extra}]'")
    if device == "gpu" and "jax" not in sys.modules:
        # The fastest kernels add numbers in an order that changes from run to run: no run could be resumed exactly.
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
            f"got ARIGNOTE_DEVICE=gpu, and of JAX {found}; need a GPU that JAX can use; try: pip install "
            "'arignote[gpu]', nvidia-smi to see whether the driver runs, or ARIGNOTE_DEVICE=cpu"
        )
    return jax


def register(op: type) -> None:
    """Have PyTensor translate the Ops of a class by their method ``in_jax``."""
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
    """A shared variable whose value is on the device; it is given and taken as an array of numpy."""

    def get_value(self, borrow: bool = False, return_internal_type: bool = False) -> np.ndarray:
        return np.array(super().get_value(borrow=True, return_internal_type=True))


def shared(value: Any, name: str | None = None) -> DeviceVariable:
    """Return a variable with a value, kept between calls: a copy of the array given."""
    value = np.array(value)
    kind = pytensor.tensor.TensorType(value.dtype, (None,) * value.ndim)
    return DeviceVariable(type=kind, value=value, strict=False, name=name)


@dataclass(frozen=True)
class Rows:
    """Some rows of an array that lies on the device: in a block, a stand-in for an array of them."""

    array: Any
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)


def resident(array: np.ndarray) -> Any | None:
    """Return an array on the device, for :class:`Rows`, or None if it is too large to be kept there."""
    import jax

    with jax.enable_x64(array.dtype.itemsize == 8):
        return jax.device_put(array) if array.nbytes <= RESIDENT_BYTES else None


class JaxFunction:
    """What :class:`~arignote.engine.compiled.Compiled` is, on JAX.

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
            warnings.simplefilter("ignore")  # that JAX leaves out what PyTensor would assert
            self.compiled = pytensor.function(
                inputs, outputs, updates=updates, on_unused_input=on_unused_input, mode="JAX", accept_inplace=True
            )
            graph = self.compiled.maker.fgraph
            call = jax_funcify(graph)
        self._is_list = isinstance(outputs, list | tuple)
        self._types = [variable.type.dtype for variable in graph.inputs[: len(inputs)]]
        # Where the values of shared variables are kept, and which of them a call changes.
        self._cells = [container.storage for container in self.compiled.input_storage[len(inputs) :]]
        self._changed = [source - len(inputs) for source in graph.update_mapping.values()]
        call = pure(call, self._changed)
        self._call, self._loop = jax.jit(call), jax.jit(partial(repeated, call))
        # On a CPU, JAX computes convolutions many times slower inside a loop, and many calls cost little beside them.
        slow = any(getattr(node.op, "slow_in_jax_loops", False) for node in graph.apply_nodes)
        self._in_loops = jax.default_backend() != "cpu" or not slow
        self._seconds: dict[tuple, float] = {}
        self._capacity = BLOCK_CALLS
        self._lock = threading.Lock()

    def __call__(self, *values: Any) -> Any:
        with self._computing():
            return self._run(values)

    @property
    def block_size(self) -> int:
        """How many calls it pays to make in one go by :meth:`block`."""
        if not self._in_loops:
            return 1
        seconds = max(self._seconds.values(), default=BLOCK_SECONDS / 8)
        return max(1, min(int(BLOCK_SECONDS / seconds), self._capacity))

    def block(self, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """Make one call after another, all in one go of the device; return what each returned.

        A value may be :class:`Rows` instead of an array.
        """
        found: list[Any] = []
        with self._computing():
            if not self._in_loops:
                return [self._run(values) for values in calls]
            while len(found) < len(calls):
                rest = calls[len(found) :]
                kind = _kind(rest[0])
                n_bytes = sum(value.nbytes for value in map(_sent, rest[0]))
                # One number for all blocks of a kind: code that was compiled for another might round otherwise.
                self._capacity = max(1, min(BLOCK_BYTES // n_bytes, BLOCK_CALLS))
                n_alike = next((i for i, values in enumerate(rest) if _kind(values) != kind), len(rest))
                found += self._run_block(rest[: min(n_alike, self._capacity)], kind)
        return found

    def _run(self, values: Sequence[Any]) -> Any:
        """Make one call."""
        each = zip(values, self._types, strict=True)
        inputs = [self._fitting(np.asarray(_sent(value), _sent_type(value, dtype))) for value, dtype in each]
        outputs, kept = self._call(self._kept(), inputs, _sources(values))
        self._keep(kept)
        return self._as_asked([np.array(output) for output in outputs])

    def _run_block(self, calls: Sequence[Sequence[Any]], kind: tuple) -> list[Any]:
        """Make calls of one kind, no more than fit into one block."""
        stacks = [self._stack(*each) for each in zip(zip(*calls, strict=True), self._types, strict=True)]
        started = time.perf_counter()
        stacked, kept = self._loop(len(calls), self._kept(), stacks, _sources(calls[0]))
        stacked = [np.asarray(output) for output in stacked]
        if kind in self._seconds:  # the first of a kind is compiled
            self._seconds[kind] = (time.perf_counter() - started) / len(calls)
        self._seconds.setdefault(kind, BLOCK_SECONDS / 8)
        self._keep(kept)
        return [self._as_asked([output[i] for output in stacked]) for i in range(len(calls))]

    def _stack(self, values: Sequence[Any], dtype: str) -> np.ndarray:
        """Stack the values of one input; what is behind the last of them is left as it happens to be."""
        stack = np.empty((self._capacity, *_sent(values[0]).shape), _sent_type(values[0], dtype))
        for i, value in enumerate(values):
            stack[i] = _sent(value)
        return self._fitting(stack)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Compute inside this block: with 64-bit numbers if the network has them, and in one thread at a time."""
        import jax

        with self._lock, jax.enable_x64(self._is_double):
            yield

    def _fitting(self, value: Any) -> Any:
        """Return an array of the numbers that JAX has: without its upper half where there are no 64-bit integers."""
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.dtype.itemsize == 8:
            return value if self._is_double else value.astype(f"{value.dtype.kind}4")
        return value

    def _kept(self) -> list:
        """Return the values of all shared variables."""
        return [self._fitting(value) for (value,) in self._cells]

    def _keep(self, kept: list) -> None:
        for index in self._changed:
            self._cells[index][0] = kept[index]

    def _as_asked(self, outputs: list) -> Any:
        return outputs if self._is_list else outputs[0]


def pure(graph: Callable, changed: Sequence[int]) -> Callable:
    """Return ``call(kept, inputs, sources)``, which returns the outputs of a graph, and what is kept for the next call.

    `sources` has for each input an array in which it is numbers of rows, or None if it is the value itself.

    Parameters
    ----------
    graph : callable
        Takes the inputs and what is kept; returns the outputs, and new values of some of what is kept.
    changed : sequence of int
        Of which.
    """
    import jax
    from jax import numpy as jnp

    def call(kept: list, inputs: list, sources: list) -> tuple[list, list]:
        inputs = [
            value if source is None else source.at[value].get(mode="promise_in_bounds")
            for value, source in zip(inputs, sources, strict=True)
        ]
        # Products in full single precision, unless the user chose another for JAX.
        precision = jax.config.jax_default_matmul_precision or "highest"
        with warnings.catch_warnings(), jax.default_matmul_precision(precision):
            warnings.simplefilter("ignore")  # that JAX has no int64 is no news to the user, who cannot mend it
            found = list(graph(*inputs, *kept))
        n_outputs = len(found) - len(changed)
        kept = list(kept)
        for index, value in zip(changed, found[n_outputs:], strict=True):
            kept[index] = jnp.asarray(value, kept[index].dtype)
        return found[:n_outputs], kept

    return call


def repeated(call: Callable, n: Any, kept: list, stacks: list, sources: list) -> tuple[list, list]:
    """Make `n` calls; return stacks of their outputs, and what is kept.

    Parameters
    ----------
    call : callable
        What :func:`pure` returns.
    n : whole number, not known when this is compiled
    kept : list of arrays
    stacks : list of arrays
        For each input the values of all calls, of which the first `n` count.
    sources : list of array or None
        See :func:`pure`.
    """
    import jax
    from jax import lax
    from jax import numpy as jnp

    def inputs_of(i: Any) -> list:
        return [lax.dynamic_index_in_dim(stack, i, keepdims=False) for stack in stacks]

    def body(i: Any, carried: tuple[list, list]) -> tuple[list, list]:
        stacked, kept = carried
        outputs, kept = call(kept, inputs_of(i), sources)
        stacked = [lax.dynamic_update_index_in_dim(*pair, i, 0) for pair in zip(stacked, outputs, strict=True)]
        return stacked, kept

    kinds, _ = jax.eval_shape(call, kept, inputs_of(0), sources)
    stacked = [jnp.zeros((len(stacks[0]), *kind.shape), kind.dtype) for kind in kinds]
    return lax.fori_loop(0, n, body, (stacked, list(map(jnp.asarray, kept))))


def _sent(value: Any) -> np.ndarray:
    """Return what is sent to the device for one value of a call."""
    return value.numbers if isinstance(value, Rows) else np.asarray(value)


def _sent_type(value: Any, dtype: str) -> Any:
    """Return the type of what is sent, for a value of a type."""
    return value.numbers.dtype if isinstance(value, Rows) else dtype


def _sources(values: Sequence[Any]) -> list:
    """Return for each value of a call the array that it is rows of, or None."""
    return [value.array if isinstance(value, Rows) else None for value in values]


def _kind(values: Sequence[Any]) -> tuple:
    """Return what calls of one block have in common."""
    return tuple((_sent(value).shape, id(value.array) if isinstance(value, Rows) else None) for value in values)


def describe() -> str:
    """Say which device computes, by which JAX."""
    import jax

    device = jax.devices()[0]
    return f"{device.platform} ({device.device_kind}), JAX {jax.__version__}"
