"""The common interface to the symbolic engines: Theano, and its successor PyTensor.

The rest of the library uses the engine through this package only. There is one module for each engine;
:mod:`~arignote.engine.choice` selects one of them.

The interface:

================================  ======================================================================================
``tensor``                        the module of symbolic arrays and their operations
``function``                      compile inputs, outputs and updates into a callable; see :class:`~.compiled.Compiled`
``shared``                        a shared variable, whose value persists between calls
``grad``                          symbolic gradients
``Op``, ``Apply``                 base class of custom Ops; one application of an Op in a graph
``disconnected_type``             the gradient of an input that has none
``sigmoid``, ``sign``             the engine's numerically stable implementations
``binary_cross_entropy``          likewise, for independent binary labels
``replace_products``              register a rewrite of matrix products to a custom Op
``convolve``                      the engine's convolution, the fallback of :mod:`arignote.ops`; None if there is none
``resident``, ``Rows``            an array stored on the device, and a selection of its rows; None unless on JAX
``float_type``                    the float dtype of networks
``use_float``, ``quick_compile``  context managers: use another float dtype; compile without C
``describe``                      engine, versions, device and settings
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
