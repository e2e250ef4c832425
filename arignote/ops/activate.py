"""Bias and activation fused into one pass over memory, and their gradients into another.

Each activation is implemented twice: in ``activations.h``, and below in numpy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from arignote import native
from arignote.engine import Apply, tensor
from arignote.ops.base import KernelOp, namespace, output_buffer, output_buffer_units_last, units_last


@dataclass(frozen=True)
class Formula:
    """An activation in numpy: a function of ``x`` and of the learned parameters of each unit.

    The first argument of each function is the array namespace, numpy or ``jax.numpy``.

    Parameters
    ----------
    number : int
        Its number in ``activations.h``.
    value : callable
    slope : callable
        The derivative with respect to x.
    learned : sequence of callable, optional
        The derivative with respect to each learned parameter.
    """

    number: int
    value: Callable
    slope: Callable
    learned: Sequence[Callable] = ()


def _sigmoid(xp, x):
    return 1 / (1 + xp.exp(-x))


FORMULAS: dict[str, Formula] = {
    "linear": Formula(0, lambda xp, x: x, lambda xp, x: xp.ones_like(x)),
    "tanh": Formula(1, lambda xp, x: xp.tanh(x), lambda xp, x: 1 - xp.tanh(x) ** 2),
    "abstanh": Formula(
        2,
        lambda xp, x: abs(xp.tanh(x)),
        lambda xp, x: xp.where(x < 0, -1, 1).astype(x.dtype) * (1 - xp.tanh(x) ** 2),
    ),
    "sigmoid": Formula(3, _sigmoid, lambda xp, x: _sigmoid(xp, x) * (1 - _sigmoid(xp, x))),
    "relu": Formula(4, lambda xp, x: xp.maximum(x, 0), lambda xp, x: (x > 0).astype(x.dtype)),
    "prelu": Formula(
        5,
        lambda xp, x, slope: xp.where(x > 0, x, slope * x),
        lambda xp, x, slope: xp.where(x > 0, 1, slope),
        [lambda xp, x, slope: xp.minimum(x, 0)],
    ),
    "prelu_shelf": Formula(
        6,
        lambda xp, x, slope, shelf: xp.maximum(x - shelf, 0) + slope * xp.minimum(x + shelf, 0),
        lambda xp, x, slope, shelf: (x > shelf) + slope * (x < -shelf),
        [
            lambda xp, x, slope, shelf: xp.minimum(x + shelf, 0),
            lambda xp, x, slope, shelf: slope * (x < -shelf) - (x > shelf),
        ],
    ),
}


def _sum_per_unit(array: np.ndarray) -> np.ndarray:
    return array.sum(axis=tuple(axis for axis in range(array.ndim) if axis != 1))


def _per_unit(values: np.ndarray, n_axes: int) -> np.ndarray:
    """Reshape one value per unit so that it broadcasts against (n, units, ...)."""
    return values.reshape((1, -1) + (1,) * (n_axes - 2))


class Activate(KernelOp):
    """``activation(z + bias)`` on (n, units) or (n, units, rows, columns), with one bias per unit.

    Inputs: z, bias, and the learned parameters of the activation for each unit.

    Parameters
    ----------
    name : str
        A key of :data:`FORMULAS`.
    """

    __props__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def make_node(self, z, *per_unit):
        inputs = [tensor.as_tensor_variable(variable) for variable in (z, *per_unit)]
        return Apply(self, inputs, [inputs[0].type()])

    def run(self, outputs, z, *per_unit):
        out = output_buffer_units_last(outputs[0], z.shape, z.dtype)
        native.kernels().activate(out, units_last(z), *per_unit, FORMULAS[self.name].number)

    def reference(self, z, bias, *learned):
        bias, *learned = (_per_unit(values, z.ndim) for values in (bias, *learned))
        return (FORMULAS[self.name].value(namespace(z, bias), z + bias, *learned),)

    def L_op(self, inputs, outputs, output_gradients):
        return list(ActivateGradient(self.name)(output_gradients[0], *inputs, return_list=True))

    def output_shapes(self, node, shapes):
        return [shapes[0]]


class ActivateGradient(KernelOp):
    """The gradients of :class:`Activate`. Inputs: the gradient of the output, and the inputs of :class:`Activate`."""

    __props__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def make_node(self, gradient, *inputs):
        inputs = [tensor.as_tensor_variable(variable) for variable in inputs]
        return Apply(self, [tensor.as_tensor_variable(gradient), *inputs], [variable.type() for variable in inputs])

    def run(self, outputs, gradient, z, *per_unit):
        out = output_buffer_units_last(outputs[0], z.shape, z.dtype)
        sums = [output_buffer(cell, values.shape, z.dtype) for cell, values in zip(outputs[1:], per_unit, strict=True)]
        number = FORMULAS[self.name].number
        native.kernels().activate_gradient(out, *sums, units_last(gradient), units_last(z), *per_unit, number)

    def reference(self, gradient, z, bias, *learned):
        formula, xp = FORMULAS[self.name], namespace(gradient, z, bias)
        bias, *learned = (_per_unit(values, z.ndim) for values in (bias, *learned))
        x = z + bias
        z_gradient = gradient * formula.slope(xp, x, *learned)
        sums = (_sum_per_unit(gradient * slope(xp, x, *learned)) for slope in formula.learned)
        return (z_gradient, _sum_per_unit(z_gradient), *sums)

    def output_shapes(self, node, shapes):
        return shapes[1:]


class Maxout(KernelOp):
    """The maximum of several linear pieces for each unit, each piece with its own bias.

    Inputs: z, of shape (n, n_pieces * units) or (n, n_pieces * units, rows, columns); and bias. Piece j of unit i has
    index ``j * units + i``.

    Parameters
    ----------
    n_pieces : int
    """

    __props__ = ("n_pieces",)

    def __init__(self, n_pieces: int):
        self.n_pieces = n_pieces

    def make_node(self, z, bias):
        z, bias = tensor.as_tensor_variable(z), tensor.as_tensor_variable(bias)
        # Its width is not that of z, which engines may know.
        return Apply(self, [z, bias], [tensor.TensorType(z.dtype, (False,) * z.ndim)()])

    def run(self, outputs, z, bias):
        shape = (z.shape[0], z.shape[1] // self.n_pieces, *z.shape[2:])
        native.kernels().maxout(
            output_buffer_units_last(outputs[0], shape, z.dtype), units_last(z), bias, self.n_pieces
        )

    def reference(self, z, bias):
        return (self.pieces(z + _per_unit(bias, z.ndim)).max(axis=1),)

    def pieces(self, x: np.ndarray) -> np.ndarray:
        """Return `x` as (n, n_pieces, units, ...)."""
        return x.reshape((x.shape[0], self.n_pieces, -1, *x.shape[2:]))

    def L_op(self, inputs, outputs, output_gradients):
        return list(MaxoutGradient(self.n_pieces)(output_gradients[0], *inputs, return_list=True))

    def output_shapes(self, node, shapes):
        n, width, *rest = shapes[0]
        return [(n, width // self.n_pieces, *rest)]


class MaxoutGradient(KernelOp):
    """The gradients of :class:`Maxout`; of equal pieces the first gets all. Inputs: the output's gradient, z, bias."""

    __props__ = ("n_pieces",)

    def __init__(self, n_pieces: int):
        self.n_pieces = n_pieces

    def make_node(self, gradient, z, bias):
        z, bias = tensor.as_tensor_variable(z), tensor.as_tensor_variable(bias)
        return Apply(self, [tensor.as_tensor_variable(gradient), z, bias], [z.type(), bias.type()])

    def run(self, outputs, gradient, z, bias):
        out = output_buffer_units_last(outputs[0], z.shape, z.dtype)
        sums = output_buffer(outputs[1], bias.shape, z.dtype)
        native.kernels().maxout_gradient(out, sums, units_last(gradient), units_last(z), bias, self.n_pieces)

    def reference(self, gradient, z, bias):
        pieces = Maxout(self.n_pieces).pieces(z + _per_unit(bias, z.ndim))
        largest = pieces.argmax(axis=1)[:, np.newaxis] == np.arange(self.n_pieces).reshape(-1, *[1] * (z.ndim - 1))
        z_gradient = (largest * gradient[:, np.newaxis]).reshape(z.shape)
        return z_gradient, _sum_per_unit(z_gradient)

    def output_shapes(self, node, shapes):
        return shapes[1:]


def activate(name: str, z, bias, *learned):
    """Return the symbolic ``activation(z + bias)``.

    Parameters
    ----------
    name : str
        A key of :data:`FORMULAS`.
    z : symbolic, shape (n, units) or (n, units, rows, columns)
    bias, *learned : symbolic, shape (units,)

    Examples
    --------
    >>> from arignote import engine
    >>> z = engine.tensor.fmatrix()
    >>> y = activate("relu", z, np.array([0, 1], "float32"))
    >>> engine.function([z], y)(np.array([[-2, -2], [0.5, 0.5]], "float32")).tolist()
    [[0.0, 0.0], [0.5, 1.5]]
    """
    return Activate(name)(z, bias, *learned)


def maxout(z, bias, n_pieces: int):
    """Return the symbolic maximum of `n_pieces` linear pieces for each unit; see :class:`Maxout`."""
    return Maxout(n_pieces)(z, bias)
