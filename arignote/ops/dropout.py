"""Dropout with masks from the counter-based generator of :mod:`arignote.ops.philox`.

The key of the generator belongs to a layer; the counter holds the position in the training run and the index of the
unit. No state is stored between calls: the gradient recomputes the same mask, and any mask can be computed anywhere.
"""

import numpy as np

from arignote import native
from arignote.engine import Apply, disconnected_type, tensor
from arignote.ops.activate import FORMULAS, Activate, ActivateGradient
from arignote.ops.base import KernelOp, output_buffer
from arignote.ops.philox import random_words


def _scale(fraction: float, array: np.ndarray) -> np.ndarray:
    """Return the factor by which kept values are scaled, in the dtype of `array`."""
    return array.dtype.type(1.0 / (1.0 - fraction))


class Dropout(KernelOp):
    """Set a random fraction of an array to zero, and scale up the rest so that the expected value is unchanged.

    Inputs: the array; the fraction to drop, a float64 scalar in [0, 1); a key of two 32-bit words and a position of
    three, both as int64 vectors. The output is ``array * mask / (1 - fraction)``.
    """

    def make_node(self, array, fraction, key, position):
        array = tensor.as_tensor_variable(array)
        fraction = tensor.cast(tensor.as_tensor_variable(fraction), "float64")
        key = tensor.cast(tensor.as_tensor_variable(key), "int64")
        position = tensor.cast(tensor.as_tensor_variable(position), "int64")
        return Apply(self, [array, fraction, key, position], [array.type()])

    def run(self, outputs, array, fraction, key, position):
        array = np.ascontiguousarray(array)
        native.kernels().dropout(
            output_buffer(outputs[0], array.shape, array.dtype), array, key, position, float(fraction)
        )

    def reference(self, array, fraction, key, position):
        words = random_words(key, position, array.size).reshape(array.shape)
        return (np.where(words >= fraction * 2.0**32, array * _scale(fraction, array), array.dtype.type(0)),)

    def in_jax(self, array, fraction, key, position):
        from arignote.ops import in_jax

        return (in_jax.apply_mask(array, in_jax.dropout_mask(fraction, key, position, array.shape), fraction),)

    def connection_pattern(self, node):
        return [[True], [False], [False], [False]]

    def L_op(self, inputs, outputs, output_gradients):
        disconnected = [disconnected_type() for _ in inputs[1:]]
        return [self(output_gradients[0], *inputs[1:]), *disconnected]

    def output_shapes(self, node, shapes):
        return [shapes[0]]


class ActivateDropout(KernelOp):
    """Bias, activation and dropout on a matrix (n, units), fused into one pass.

    Inputs: the fraction, the key and the position, as in :class:`Dropout`; then those of
    :class:`~arignote.ops.activate.Activate`. The second output is the uint8 mask of the units: 1 is kept, 0 is dropped.

    Parameters
    ----------
    name : str
        A key of :data:`~arignote.ops.activate.FORMULAS`.
    """

    __props__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def make_node(self, fraction, key, position, z, *per_unit):
        random = Dropout().make_node(z, fraction, key, position).inputs[1:]
        activated = Activate(self.name).make_node(z, *per_unit).inputs
        return Apply(self, [*random, *activated], [activated[0].type(), tensor.TensorType("uint8", (False, False))()])

    def run(self, outputs, fraction, key, position, z, *per_unit):
        out, mask = output_buffer(outputs[0], z.shape, z.dtype), output_buffer(outputs[1], z.shape, "uint8")
        arguments = out, mask, np.ascontiguousarray(z), *per_unit, key, position
        native.kernels().activate_dropout(*arguments, FORMULAS[self.name].number, float(fraction))

    def reference(self, fraction, key, position, z, *per_unit):
        (activated,) = Activate(self.name).reference(z, *per_unit)
        mask = random_words(key, position, z.size).reshape(z.shape) >= fraction * 2.0**32
        return np.where(mask, activated * _scale(fraction, z), z.dtype.type(0)), mask

    def in_jax(self, fraction, key, position, z, *per_unit):
        from arignote.ops import in_jax

        (activated,) = Activate(self.name).in_jax(z, *per_unit)
        mask = in_jax.dropout_mask(fraction, key, position, z.shape)
        return in_jax.apply_mask(activated, mask, fraction), mask

    def connection_pattern(self, node):
        return [[False, False]] * 3 + [[True, False]] * (len(node.inputs) - 3)

    def L_op(self, inputs, outputs, output_gradients):
        fraction, _, _, *activated = inputs
        gradient = ActivateDropoutGradient(self.name)
        gradients = gradient(fraction, outputs[1], output_gradients[0], *activated, return_list=True)
        return [*(disconnected_type() for _ in range(3)), *gradients]

    def output_shapes(self, node, shapes):
        return [shapes[3]] * 2


class ActivateDropoutGradient(KernelOp):
    """The gradients of :class:`ActivateDropout` with respect to z, the bias and the learned parameters.

    Inputs: the fraction, the mask, the gradient of the output; z, the bias, the learned parameters.

    Parameters
    ----------
    name : str
    """

    __props__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def make_node(self, fraction, mask, gradient, *inputs):
        inputs = [tensor.as_tensor_variable(variable) for variable in inputs]
        others = [tensor.as_tensor_variable(variable) for variable in (fraction, mask, gradient)]
        return Apply(self, [*others, *inputs], [variable.type() for variable in inputs])

    def run(self, outputs, fraction, mask, gradient, z, *per_unit):
        out = output_buffer(outputs[0], z.shape, z.dtype)
        sums = [output_buffer(cell, values.shape, z.dtype) for cell, values in zip(outputs[1:], per_unit, strict=True)]
        arguments = np.ascontiguousarray(gradient), np.ascontiguousarray(z), *per_unit, np.ascontiguousarray(mask)
        number = FORMULAS[self.name].number
        native.kernels().activate_dropout_gradient(out, *sums, *arguments, number, float(fraction))

    def reference(self, fraction, mask, gradient, z, *per_unit):
        return ActivateGradient(self.name).reference(gradient * mask * _scale(fraction, z), z, *per_unit)

    def in_jax(self, fraction, mask, gradient, z, *per_unit):
        from arignote.ops import in_jax

        return ActivateGradient(self.name).in_jax(in_jax.apply_mask(gradient, mask, fraction), z, *per_unit)

    def output_shapes(self, node, shapes):
        return shapes[3:]


def dropout(array, fraction, key, position):
    """Drop a fraction of a symbolic array; see :class:`Dropout`.

    If the array is a matrix from :func:`~arignote.ops.activate`, bias, activation and dropout are fused into one pass
    over memory, with the same result.
    """
    if array.owner is not None and isinstance(array.owner.op, Activate) and array.ndim == 2:
        return ActivateDropout(array.owner.op.name)(fraction, key, position, *array.owner.inputs)[0]
    return Dropout()(array, fraction, key, position)
