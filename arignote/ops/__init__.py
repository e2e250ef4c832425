"""Operations of our own: computations that the engine lacks, or has not fast enough.

========================  =============================================================================================
:mod:`~.base`             ``KernelOp``: one computation as a kernel in C++ and in numpy; ``NumpyOp``
:mod:`~.matmul`           ``matmul``
:mod:`~.convolve`         ``convolve``
:mod:`~.flatten`          ``flatten``
:mod:`~.pool`             ``max_pool``
:mod:`~.activate`         ``activate``, ``maxout``: bias and activation
:mod:`~.dropout`          ``dropout``
:mod:`~.philox`           random numbers for ``dropout``
:mod:`~.softmax`          ``softmax``, ``mean_nll``, ``fraction_wrong``
:mod:`~.update`           ``Update``: the update rules
========================  =============================================================================================

Images have the axes (n, channels, rows, columns), always; in memory the Ops leave the channels last, as the axes'
strides say. So a run of layers on images works in the order that the kernels like, and nobody else has to know.
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
