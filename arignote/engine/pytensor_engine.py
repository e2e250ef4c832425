"""PyTensor, Theano's continuation, behind the door: import it, set up, and give its parts the door's names."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import util
from typing import Any

import numpy as np

from arignote import native
from arignote.engine import choice, flags
from arignote.engine.compiled import Compiled
from arignote.engine.errors import EngineError
from arignote.native import memory

if util.find_spec("pytensor") is None:
    raise EngineError("PyTensor is not installed; need PyTensor 3; try: pip install 'pytensor>=3'")

backend, device = choice.backend(), choice.device()
if backend == "jax":
    native.disable()  # JAX compiles all that is computed
else:
    native.prepare()  # compilers take seconds, in which this process can import PyTensor
# What the user's PYTENSOR_FLAGS and .pytensorrc leave open, we set.
settings = {
    "floatX": lambda: "float32",
    "gcc__cxxflags": lambda: flags.CXX_FLAGS,
    "allow_gc": lambda: "False",
    "base_compiledir": lambda: flags.compile_folder("pytensor"),
    "cxx": lambda: flags.find_compiler() or "",
    "blas__ldflags": lambda: flags.blas_flags() if flags.find_compiler() else "",
}
chosen = flags.read_file(os.environ.get("PYTENSORRC", "~/.pytensorrc"), "__")
with flags.configured("PYTENSOR_FLAGS", chosen, settings), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytensor

from pytensor import grad, tensor  # noqa: E402
from pytensor.gradient import disconnected_type  # noqa: E402
from pytensor.graph.basic import Apply  # noqa: E402
from pytensor.graph.op import Op as PyTensorOp  # noqa: E402
from pytensor.graph.rewriting.basic import node_rewriter  # noqa: E402
from pytensor.tensor.exceptions import ShapeError  # noqa: E402
from pytensor.tensor.math import Dot, sigmoid, sign  # noqa: E402
from pytensor.tensor.rewriting.basic import register_canonicalize  # noqa: E402

__all__ = ["Apply", "disconnected_type", "grad", "sigmoid", "sign", "tensor"]

# The name of the mode that functions are compiled in, instead of the backend's own.
compile_mode: str | None = None


class Op(PyTensorOp):
    """What an Op of our own is made of: ``L_op`` and ``output_shapes``, under PyTensor's names."""

    def pullback(self, inputs, outputs, cotangents):
        return self.L_op(inputs, outputs, cotangents)

    def infer_shape(self, fgraph, node, shapes):
        if backend == "jax":
            raise ShapeError  # JAX wants shapes as plain numbers, which it has of the outputs themselves
        return self.output_shapes(node, shapes)


Rows: Any = None  # data are where the engine computes
resident: Any = None
if backend == "jax":
    from arignote.engine import jax_backend

    jax_backend.import_jax(device)
    jax_backend.register(Op)
    Rows, resident = jax_backend.Rows, jax_backend.resident


def binary_cross_entropy(probabilities, labels):
    """Return the cross entropy of probabilities of yes, and labels 0 or 1, symbolic."""
    return -(labels * tensor.log(probabilities) + (1 - labels) * tensor.log1p(-probabilities))


def function(inputs, outputs, updates=None, on_unused_input: str = "raise"):
    """Compile inputs, outputs and updates of shared variables into a callable, which threads may share."""
    if backend == "jax":
        return jax_backend.JaxFunction(inputs, outputs, updates, on_unused_input)
    without_compiler = pytensor.Mode("vm", "fast_run")
    mode = compile_mode or ("NUMBA" if backend == "numba" else "CVM" if pytensor.config.cxx else without_compiler)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Numba will use object mode")  # it calls our Ops, which are fast themselves
        return Compiled(
            pytensor.function(
                inputs, outputs, updates=updates, on_unused_input=on_unused_input, mode=mode, accept_inplace=True
            )
        )


def shared(value, name: str | None = None):
    """Return a variable with a value, kept between calls: a copy of the array given."""
    if backend == "jax":
        return jax_backend.shared(value, name)
    return pytensor.shared(memory.copy(value), name=name, borrow=True)


def replace_products(make: Callable) -> None:
    """From now on, compile the product of two float32 matrices as ``make(a, b)``, whoever wrote ``tensor.dot``.

    Where `make` returns None, the product stays as it is.
    """

    @node_rewriter([Dot])
    def product(fgraph, node):
        types = [variable.type for variable in (*node.inputs, *node.outputs)]
        if any(kind.dtype != "float32" or kind.ndim != 2 or 1 in kind.shape for kind in types):
            return None
        made = make(*node.inputs)
        return None if made is None else [made]

    register_canonicalize(product, name=f"{make.__module__}.{make.__name__}")


convolve: Any = None  # PyTensor has none


def float_type() -> str:
    """Return the dtype of the numbers that a network computes with: "float32" unless the user set ``floatX``."""
    return pytensor.config.floatX


@contextmanager
def use_float(dtype: str) -> Iterator[None]:
    """Build and compile networks with another float type inside this block ("float64" to check gradients)."""
    with pytensor.config.change_flags(floatX=dtype):
        yield


@contextmanager
def quick_compile() -> Iterator[None]:
    """Inside this block functions are compiled without C: in a moment, to run slowly. Made for tests."""
    global compile_mode
    earlier, compile_mode = compile_mode, "FAST_COMPILE"
    try:
        yield
    finally:
        compile_mode = earlier


def describe() -> dict[str, str]:
    """Say what runs: engine, versions, BLAS, compiler, float type and compile cache.

    Examples
    --------
    >>> describe()["engine"]
    'pytensor'
    """
    return {
        "engine": "pytensor",
        "version": pytensor.__version__,
        "numpy": np.__version__,
        "backend": backend,
        "device": jax_backend.describe() if backend == "jax" else "cpu",
        "blas": pytensor.config.blas__ldflags.split(" -D")[0],
        "compiler": pytensor.config.cxx,
        "float": pytensor.config.floatX,
        "kernels": native.describe(),
        "cache": str(pytensor.config.compiledir),
    }
