"""The one door to the symbolic engine.

Everything above this package takes its symbols from here, and only from here, so that a second engine is a second
module beside :mod:`arignote.engine.theano_engine` and no change elsewhere.

The vocabulary:

============================  ==========================================================================================
``tensor``                    the module of symbolic arrays and their operations
``function``                  compile inputs, outputs and updates into a callable
``shared``                    a variable with a value, kept between calls
``grad``                      symbolic gradient
``Op``, ``Apply``             what an Op of our own is made of
``disconnected_type``         the gradient of an input that has none
``sigmoid``                   in the numerically stable form of the engine
``cross_entropy``             minus the logarithm of the probability of the right class
``binary_cross_entropy``      the same for independent yes/no labels
``replace_products``          have products of matrices computed by an Op of our own
``convolve``                  the engine's own convolution, where :mod:`arignote.ops` has none
``float_type``                the dtype of the numbers that a network computes with
``use_float``, ``quick_compile``  change the dtype, or compile without C, inside a ``with`` block
``describe``                  what runs, on what
============================  ==========================================================================================
"""

from arignote.engine.errors import EngineError
from arignote.engine.theano_engine import (
    Apply,
    Op,
    binary_cross_entropy,
    convolve,
    cross_entropy,
    describe,
    disconnected_type,
    float_type,
    function,
    grad,
    quick_compile,
    replace_products,
    shared,
    sigmoid,
    tensor,
    use_float,
)

__all__ = [
    "Apply",
    "EngineError",
    "Op",
    "binary_cross_entropy",
    "convolve",
    "cross_entropy",
    "describe",
    "disconnected_type",
    "float_type",
    "function",
    "grad",
    "quick_compile",
    "replace_products",
    "shared",
    "sigmoid",
    "tensor",
    "use_float",
]
