"""The one door to the symbolic engine: Theano, or PyTensor, its continuation.

Everything above this package takes its symbols from here, and only from here: an engine is a module of this package.
:mod:`~arignote.engine.choice` says which one it is.

The vocabulary:

================================  ======================================================================================
``tensor``                        the module of symbolic arrays and their operations
``function``                      compile inputs, outputs and updates into a callable; see :class:`~.compiled.Compiled`
``shared``                        a variable with a value, kept between calls
``grad``                          symbolic gradient
``Op``, ``Apply``                 what an Op of our own is made of
``disconnected_type``             the gradient of an input that has none
``sigmoid``, ``sign``             under one name, and in the numerically stable form of the engine
``binary_cross_entropy``          the same for independent yes/no labels
``replace_products``              have products of matrices computed by an Op of our own
``convolve``                      the engine's own convolution, where :mod:`arignote.ops` has none
``resident``, ``Rows``            data kept on a device, and some rows of them; None where nothing is to be gained
``float_type``                    the dtype of the numbers that a network computes with
``use_float``, ``quick_compile``  change the dtype, or compile without C, inside a ``with`` block
``describe``                      what runs, on what
================================  ======================================================================================
"""

from arignote.engine.choice import chosen
from arignote.engine.errors import EngineError

if chosen() == "theano":
    from arignote.engine.theano_engine import (
        Apply,
        Op,
        Rows,
        binary_cross_entropy,
        convolve,
        describe,
        disconnected_type,
        float_type,
        function,
        grad,
        quick_compile,
        replace_products,
        resident,
        shared,
        sigmoid,
        sign,
        tensor,
        use_float,
    )
else:
    from arignote.engine.pytensor_engine import (
        Apply,
        Op,
        Rows,
        binary_cross_entropy,
        convolve,
        describe,
        disconnected_type,
        float_type,
        function,
        grad,
        quick_compile,
        replace_products,
        resident,
        shared,
        sigmoid,
        sign,
        tensor,
        use_float,
    )

__all__ = [
    "Apply",
    "EngineError",
    "Op",
    "Rows",
    "binary_cross_entropy",
    "convolve",
    "describe",
    "disconnected_type",
    "float_type",
    "function",
    "grad",
    "quick_compile",
    "replace_products",
    "resident",
    "shared",
    "sigmoid",
    "sign",
    "tensor",
    "use_float",
]
