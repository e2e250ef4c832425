"""Theano 1.0.5 behind the door: import it, set up, and give its parts the door's names."""

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
native.prepare()  # compilers take seconds, in which this process can import Theano
imported_before = "theano" in sys.modules
if imported_before:
    import theano

    if not theano.config.blas.ldflags:
        warnings.warn(
            "got a Theano that was imported before Arignote and has no BLAS; need blas.ldflags for fast matrix "
            "products; try importing arignote.nnets first, or THEANO_FLAGS='blas.ldflags=-lopenblas'",
            RuntimeWarning,
            stacklevel=2,
        )
else:
    with theano_flags.configured(), warnings.catch_warnings():
        # Theano's own deprecation warnings are no news to the user, who cannot mend them.
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

# The name of the mode that functions are compiled in; None is the user's. It is handed to Theano with each function,
# since Theano keeps the first default mode that it makes, and does not notice when the setting changes to another.
compile_mode = None

sigmoid = nnet.sigmoid
sign = tensor.sgn
Rows: Any = None  # data are where the engine computes
resident: Any = None
binary_cross_entropy = nnet.binary_crossentropy


class Op(TheanoOp):
    """What an Op of our own is made of: ``L_op`` and ``output_shapes``, under Theano's names."""

    def infer_shape(self, node, shapes):
        return self.output_shapes(node, shapes)


def function(inputs, outputs, updates=None, on_unused_input: str = "raise"):
    """Compile inputs, outputs and updates of shared variables into a callable, which threads may share."""
    return Compiled(
        theano.function(
            inputs, outputs, updates=updates, on_unused_input=on_unused_input, mode=compile_mode, accept_inplace=True
        )
    )


def shared(value, name: str | None = None):
    """Return a variable with a value, kept between calls: a copy of the array given."""
    return theano.shared(memory.copy(value), name=name, borrow=True)


def replace_products(make: Callable) -> None:
    """From now on, compile the product of two float32 matrices as ``make(a, b)``, whoever wrote ``tensor.dot``.

    Where `make` returns None, the product stays as it is.
    """

    @local_optimizer([tensor.Dot])
    def product(node):
        types = [variable.type for variable in (*node.inputs, *node.outputs)]
        if any(kind.dtype != "float32" or kind.broadcastable != (False, False) for kind in types):
            return None
        made = make(*node.inputs)
        return None if made is None else [made]

    register_canonicalize(product, name=f"{make.__module__}.{make.__name__}")


def convolve(images, filters, stride: tuple[int, int] = (1, 1)):
    """Correlate images with filters where they overlap in full (no filter is flipped, nothing is padded).

    Parameters
    ----------
    images : symbolic, shape (n, channels, rows, columns)
    filters : symbolic, shape (n_filters, channels, filter_rows, filter_columns)
    stride : pair of int
        Distance of neighbouring filter positions, in pixels.

    Returns
    -------
    symbolic, shape (n, n_filters, (rows - filter_rows) // stride[0] + 1, (columns - filter_columns) // stride[1] + 1)
    """
    return nnet.conv2d(images, filters, subsample=stride, border_mode="valid", filter_flip=False)


def float_type() -> str:
    """Return the dtype of the numbers that a network computes with: "float32" unless the user set ``floatX``."""
    return theano.config.floatX


@contextmanager
def use_float(dtype: str) -> Iterator[None]:
    """Build and compile networks with another float type inside this block ("float64" to check gradients)."""
    with theano.configparser.change_flags(floatX=dtype):
        yield


@contextmanager
def quick_compile() -> Iterator[None]:
    """Inside this block functions are compiled without C: in a moment, to run slowly. Made for tests.

    Convolutions and pools exist in C only, and cannot be run so.
    """
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
