"""The engine interface for Theano 1.0.5: configure and import it, and define the common names."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from arignote import native
from arignote.engine import theano_flags
from arignote.engine.compiled import Compiled
from arignote.native import memory

theano_flags.check_versions()
native.prepare()  # compile in the background while Theano is imported, which takes seconds
imported_before = "theano" in sys.modules
if imported_before:
    import theano

    if not theano.config.blas.ldflags:
        warnings.warn(
            "got a Theano that was imported before Arignote and has no BLAS; need blas.ldflags for fast matrix "
            "products; try: import arignote.nnets first, or THEANO_FLAGS='blas.ldflags=-lopenblas'",
            RuntimeWarning,
            stacklevel=2,
        )
else:
    with theano_flags.configured(), warnings.catch_warnings():
        # Users cannot do anything about the deprecation warnings of Theano itself.
        warnings.simplefilter("ignore")
        import theano

import theano.tensor as tensor  # noqa: E402
import theano.tensor.nnet as nnet  # noqa: E402
from theano import grad  # noqa: E402
from theano.gof import Apply, local_optimizer  # noqa: E402
from theano.gof import Op as TheanoOp  # noqa: E402
from theano.gradient import disconnected_type  # noqa: E402
from theano.tensor.opt import register_canonicalize  # noqa: E402

__all__ = ["Apply", "disconnected_type", "grad", "tensor"]

# The mode that functions are compiled in; None means the user's setting. It is passed to Theano with each function,
# since Theano caches its default mode and ignores later changes of the setting.
compile_mode = None

sigmoid = nnet.sigmoid
sign = tensor.sgn
Rows: Any = None  # data need no transfer: the engine runs on the CPU
resident: Any = None
binary_cross_entropy = nnet.binary_crossentropy


class Op(TheanoOp):
    """Base class of custom Ops, which maps ``output_shapes`` to the interface of Theano."""

    def infer_shape(self, node, shapes):
        return self.output_shapes(node, shapes)


def function(inputs, outputs, updates=None, on_unused_input: str = "raise"):
    """Compile inputs, outputs and updates of shared variables into a thread-safe callable."""
    return Compiled(
        theano.function(
            inputs, outputs, updates=updates, on_unused_input=on_unused_input, mode=compile_mode, accept_inplace=True
        )
    )


def shared(value, name: str | None = None):
    """Return a shared variable that holds a copy of an array."""
    return theano.shared(memory.copy(value), name=name, borrow=True)


def replace_products(make: Callable) -> None:
    """Register a rewrite that replaces products of two float32 matrices, as of ``tensor.dot``, by ``make(a, b)``.

    If `make` returns None, the product is not replaced.
    """

    @local_optimizer([tensor.Dot])
    def product(node):
        types = [variable.type for variable in (*node.inputs, *node.outputs)]
        if any(type_.dtype != "float32" or type_.broadcastable != (False, False) for type_ in types):
            return None
        replacement = make(*node.inputs)
        return None if replacement is None else [replacement]

    register_canonicalize(product, name=f"{make.__module__}.{make.__name__}")


def convolve(images, filters, stride: tuple[int, int] = (1, 1)):
    """Cross-correlate images with filters, without padding; filters are not flipped.

    Parameters
    ----------
    images : symbolic, shape (n, channels, rows, columns)
    filters : symbolic, shape (n_filters, channels, filter_rows, filter_columns)
    stride : pair of int
        Step between filter positions, in pixels.

    Returns
    -------
    symbolic, shape (n, n_filters, (rows - filter_rows) // stride[0] + 1, (columns - filter_columns) // stride[1] + 1)
    """
    return nnet.conv2d(images, filters, subsample=stride, border_mode="valid", filter_flip=False)


def float_type() -> str:
    """Return the float dtype of networks: "float32" unless the user set ``floatX``."""
    return theano.config.floatX


@contextmanager
def use_float(dtype: str) -> Iterator[None]:
    """Context manager to build and compile networks with another float dtype, as "float64" to check gradients."""
    with theano.configparser.change_flags(floatX=dtype):
        yield


@contextmanager
def quick_compile() -> Iterator[None]:
    """Context manager to compile functions without C: faster to compile, slower to run. Meant for tests.

    Theano's own convolution and pooling exist in C only, and cannot run in this mode.
    """
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
    'theano'
    """
    return {
        "engine": "theano",
        "version": theano.__version__,
        "numpy": np.__version__,
        "backend": "c",
        "device": "cpu",
        "blas": theano.config.blas.ldflags.split(" -D")[0],
        "compiler": theano.config.cxx,
        "float": theano.config.floatX,
        "kernels": native.describe(),
        "cache": theano.config.compiledir,
    }
