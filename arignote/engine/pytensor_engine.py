"""The engine interface for PyTensor: configure and import it, and define the common names."""

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
    raise EngineError("got no PyTensor; need PyTensor 3; try: pip install 'pytensor>=3'")

backend, device = choice.backend(), choice.device()
if backend == "jax":
    native.disable()  # JAX compiles everything
else:
    native.prepare()  # compile in the background while PyTensor is imported, which takes seconds
# Our defaults for settings that the user's PYTENSOR_FLAGS and .pytensorrc do not set.
defaults = {
    "floatX": lambda: "float32",
    "gcc__cxxflags": lambda: flags.CXX_FLAGS,
    "allow_gc": lambda: "False",
    "base_compiledir": lambda: flags.compile_folder("pytensor"),
    "cxx": lambda: flags.find_compiler() or "",
    "blas__ldflags": lambda: flags.blas_flags() if flags.find_compiler() else "",
}
user_settings = flags.read_file(os.environ.get("PYTENSORRC", "~/.pytensorrc"), "__")
with flags.configured("PYTENSOR_FLAGS", user_settings, defaults), warnings.catch_warnings():
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

# The mode that functions are compiled in, if it is not the default of the backend.
compile_mode: str | None = None


class Op(PyTensorOp):
    """Base class of custom Ops, which maps ``L_op`` and ``output_shapes`` to the interface of PyTensor."""

    def pullback(self, inputs, outputs, cotangents):
        return self.L_op(inputs, outputs, cotangents)

    def infer_shape(self, fgraph, node, shapes):
        if backend == "jax":
            raise ShapeError  # JAX needs concrete shapes, and takes them from the outputs
        return self.output_shapes(node, shapes)


Rows: Any = None  # data need no transfer: the engine runs on the CPU
resident: Any = None
if backend == "jax":
    from arignote.engine import jax_backend

    jax_backend.import_jax(device)
    jax_backend.register(Op)
    Rows, resident = jax_backend.Rows, jax_backend.resident


def binary_cross_entropy(probabilities, labels):
    """Return the symbolic cross entropy of probabilities of the positive class and labels 0 or 1."""
    return -(labels * tensor.log(probabilities) + (1 - labels) * tensor.log1p(-probabilities))


def function(inputs, outputs, updates=None, on_unused_input: str = "raise"):
    """Compile inputs, outputs and updates of shared variables into a thread-safe callable."""
    if backend == "jax":
        return jax_backend.JaxFunction(inputs, outputs, updates, on_unused_input)
    without_compiler = pytensor.Mode("vm", "fast_run")
    mode = compile_mode or ("NUMBA" if backend == "numba" else "CVM" if pytensor.config.cxx else without_compiler)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Numba will use object mode")  # meant for custom Ops, which are fast
        return Compiled(
            pytensor.function(
                inputs, outputs, updates=updates, on_unused_input=on_unused_input, mode=mode, accept_inplace=True
            )
        )


def shared(value, name: str | None = None):
    """Return a shared variable that holds a copy of an array."""
    if backend == "jax":
        return jax_backend.shared(value, name)
    return pytensor.shared(memory.copy(value), name=name, borrow=True)


def replace_products(make: Callable) -> None:
    """Register a rewrite that replaces products of two float32 matrices, as of ``tensor.dot``, by ``make(a, b)``.

    If `make` returns None, the product is not replaced.
    """

    @node_rewriter([Dot])
    def product(fgraph, node):
        types = [variable.type for variable in (*node.inputs, *node.outputs)]
        if any(type_.dtype != "float32" or type_.ndim != 2 or 1 in type_.shape for type_ in types):
            return None
        replacement = make(*node.inputs)
        return None if replacement is None else [replacement]

    register_canonicalize(product, name=f"{make.__module__}.{make.__name__}")


convolve: Any = None  # PyTensor has no convolution


def float_type() -> str:
    """Return the float dtype of networks: "float32" unless the user set ``floatX``."""
    return pytensor.config.floatX


@contextmanager
def use_float(dtype: str) -> Iterator[None]:
    """Context manager to build and compile networks with another float dtype, as "float64" to check gradients."""
    with pytensor.config.change_flags(floatX=dtype):
        yield


@contextmanager
def quick_compile() -> Iterator[None]:
    """Context manager to compile functions without C: faster to compile, slower to run. Meant for tests."""
    global compile_mode
    previous, compile_mode = compile_mode, "FAST_COMPILE"
    try:
        yield
    finally:
        compile_mode = previous


def describe() -> dict[str, str]:
    """Return the engine, versions, BLAS, compiler, float type and compile cache.

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
