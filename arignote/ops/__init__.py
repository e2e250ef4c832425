"""Custom Ops: computations that the engine lacks or does not compute fast enough.

========================  =============================================================================================
:mod:`~.base`             ``KernelOp``: a C++ kernel with a numpy implementation; ``NumpyOp``
:mod:`~.matmul`           ``matmul``
:mod:`~.convolve`         ``convolve``
:mod:`~.flatten`          ``flatten``
:mod:`~.pool`             ``max_pool``
:mod:`~.activate`         ``activate``, ``maxout``: bias and activation
:mod:`~.dropout`          ``dropout``
:mod:`~.philox`           the random number generator of ``dropout``
:mod:`~.softmax`          ``softmax``, ``mean_nll``, ``fraction_wrong``
:mod:`~.update`           ``Update``: the update rules
========================  =============================================================================================

Images always have the axes (n, channels, rows, columns). In memory the Ops store the channels last, which shows in the
strides only. A stack of image layers therefore stays in the memory format that the kernels are fastest in, and no other
code depends on it.
"""

from arignote.ops.activate import activate, maxout
from arignote.ops.convolve import convolve
from arignote.ops.dropout import dropout
from arignote.ops.flatten import flatten
from arignote.ops.matmul import matmul
from arignote.ops.pool import max_pool
from arignote.ops.softmax import fraction_wrong, mean_nll, softmax
from arignote.ops.update import Update

__all__ = [
    "Update",
    "activate",
    "convolve",
    "dropout",
    "flatten",
    "fraction_wrong",
    "matmul",
    "max_pool",
    "maxout",
    "mean_nll",
    "softmax",
]
