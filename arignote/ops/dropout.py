"""Dropout with masks from a counter-based generator.

The generator is Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
a function from a key and a counter to four 32-bit numbers. The key belongs to a layer, the counter holds the position
in the training run and the number of the unit. Nothing is stored between calls, the gradient computes the same mask
once more, and any mask can be computed anywhere.
"""

import numpy as np

from arignote import native
from arignote.engine import Apply, disconnected_type, tensor
from arignote.ops.activate import FORMULAS, Activate, ActivateGradient
from arignote.ops.base import KernelOp, room

# Counters are taken in groups: 16 neighbouring counters give 4 numbers each, used word by word. A vector unit can then
# compute a whole group at once, and write it in order.
LANES = 16
WORDS = 4
# The constants of Philox4x32-10.
ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85


def philox(key: np.ndarray, counter: np.ndarray) -> np.ndarray:
    """Return four random 32-bit words for each counter.

    Parameters
    ----------
    key : uint32 array of shape (2,)
    counter : uint32 array of shape (4, n)

    Returns
    -------
    uint32 array of shape (4, n)

    Examples
    --------
    >>> [hex(word) for word in philox(np.zeros(2, "uint32"), np.zeros((4, 1), "uint32"))[:, 0]]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    key0, key1 = (int(word) for word in key)
    c0, c1, c2, c3 = counter.astype(np.uint64)
    for _ in range(ROUNDS):
        product0 = np.uint64(MULTIPLIERS[0]) * c0
        product1 = np.uint64(MULTIPLIERS[1]) * c2
        c0, c1, c2, c3 = (
            (product1 >> half) ^ c1 ^ np.uint64(key0),
            product1 & low,
            (product0 >> half) ^ c3 ^ np.uint64(key1),
            product0 & low,
        )
        key0 = (key0 + KEY_STEPS[0]) & 0xFFFFFFFF
        key1 = (key1 + KEY_STEPS[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3]).astype(np.uint32)


def random_words(key: np.ndarray, position: np.ndarray, n: int) -> np.ndarray:
    """Return the `n` random 32-bit words of a key at a position (three whole numbers), in the order of the units."""
    n_groups = -(-n // (LANES * WORDS))
    counter = np.empty((4, n_groups * LANES), np.uint32)
    counter[0] = np.arange(n_groups * LANES)
    counter[1:] = np.asarray(position).astype(np.uint32)[:, np.newaxis]
    words = philox(np.asarray(key).astype(np.uint32), counter)
    return words.reshape(WORDS, n_groups, LANES).transpose(1, 0, 2).ravel()[:n]


def _scale(fraction: float, array: np.ndarray) -> np.ndarray:
    """Return what to multiply what stays by, in the type of an array."""
    return array.dtype.type(1.0 / (1.0 - fraction))


class Dropout(KernelOp):
    """Set a fraction of an array to zero, and scale the rest up so that its mean stays.

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
        native.kernels().dropout(room(outputs[0], array.shape, array.dtype), array, key, position, float(fraction))

    def reference(self, array, fraction, key, position):
        words = random_words(key, position, array.size).reshape(array.shape)
        return (np.where(words >= fraction * 2.0**32, array * _scale(fraction, array), array.dtype.type(0)),)

    def in_jax(self, array, fraction, key, position):
        from arignote.ops import in_jax

        return (in_jax.dropped(array, in_jax.stays(fraction, key, position, array.shape), fraction),)

    def connection_pattern(self, node):
        return [[True], [False], [False], [False]]

    def L_op(self, inputs, outputs, output_gradients):
        disconnected = [disconnected_type() for _ in inputs[1:]]
        return [self(output_gradients[0], *inputs[1:]), *disconnected]

    def output_shapes(self, node, shapes):
        return [shapes[0]]


class ActivateDropout(KernelOp):
    """A bias, an activation and dropout on a matrix (n, units), in one pass.

    Inputs: the fraction, the key and the position, as in :class:`Dropout`; then those of
    :class:`~arignote.ops.activate.Activate`. The second output says which units stay, 1 or 0, of type uint8.

    Parameters
    ----------
    name : str
        A key of :data:`~arignote.ops.activate.FORMULAS`.
    """

    __props__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def make_node(self, fraction, key, position, z, *per_unit):
        drawn = Dropout().make_node(z, fraction, key, position).inputs[1:]
        activated = Activate(self.name).make_node(z, *per_unit).inputs
        return Apply(self, [*drawn, *activated], [activated[0].type(), tensor.TensorType("uint8", (False, False))()])

    def run(self, outputs, fraction, key, position, z, *per_unit):
        out, stays = room(outputs[0], z.shape, z.dtype), room(outputs[1], z.shape, "uint8")
        arguments = out, stays, np.ascontiguousarray(z), *per_unit, key, position
        native.kernels().activate_dropout(*arguments, FORMULAS[self.name].number, float(fraction))

    def reference(self, fraction, key, position, z, *per_unit):
        (activated,) = Activate(self.name).reference(z, *per_unit)
        stays = random_words(key, position, z.size).reshape(z.shape) >= fraction * 2.0**32
        return np.where(stays, activated * _scale(fraction, z), z.dtype.type(0)), stays

    def in_jax(self, fraction, key, position, z, *per_unit):
        from arignote.ops import in_jax

        (activated,) = Activate(self.name).in_jax(z, *per_unit)
        stays = in_jax.stays(fraction, key, position, z.shape)
        return in_jax.dropped(activated, stays, fraction), stays

    def connection_pattern(self, node):
        return [[False, False]] * 3 + [[True, False]] * (len(node.inputs) - 3)

    def L_op(self, inputs, outputs, output_gradients):
        fraction, _, _, *activated = inputs
        gradient = ActivateDropoutGradient(self.name)
        found = gradient(fraction, outputs[1], output_gradients[0], *activated, return_list=True)
        return [*(disconnected_type() for _ in range(3)), *found]

    def output_shapes(self, node, shapes):
        return [shapes[3]] * 2


class ActivateDropoutGradient(KernelOp):
    """The gradients of :class:`ActivateDropout` for z, the bias, and what is learned.

    Inputs: the fraction, which units stayed, the output's gradient; z, bias, learned.

    Parameters
    ----------
    name : str
    """

    __props__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def make_node(self, fraction, stays, gradient, *inputs):
        inputs = [tensor.as_tensor_variable(variable) for variable in inputs]
        drawn = [tensor.as_tensor_variable(variable) for variable in (fraction, stays, gradient)]
        return Apply(self, [*drawn, *inputs], [variable.type() for variable in inputs])

    def run(self, outputs, fraction, stays, gradient, z, *per_unit):
        out = room(outputs[0], z.shape, z.dtype)
        sums = [room(cell, values.shape, z.dtype) for cell, values in zip(outputs[1:], per_unit, strict=True)]
        arguments = np.ascontiguousarray(gradient), np.ascontiguousarray(z), *per_unit, np.ascontiguousarray(stays)
        number = FORMULAS[self.name].number
        native.kernels().activate_dropout_gradient(out, *sums, *arguments, number, float(fraction))

    def reference(self, fraction, stays, gradient, z, *per_unit):
        return ActivateGradient(self.name).reference(gradient * stays * _scale(fraction, z), z, *per_unit)

    def in_jax(self, fraction, stays, gradient, z, *per_unit):
        from arignote.ops import in_jax

        return ActivateGradient(self.name).in_jax(in_jax.dropped(gradient, stays, fraction), z, *per_unit)

    def output_shapes(self, node, shapes):
        return shapes[3:]


def dropout(array, fraction, key, position):
    """Drop a fraction of a symbolic array; see :class:`Dropout`.

    What comes from :func:`~arignote.ops.activate` as a matrix is activated and dropped in one pass, with the same
    result.
    """
    if array.owner is not None and isinstance(array.owner.op, Activate) and array.ndim == 2:
        return ActivateDropout(array.owner.op.name)(fraction, key, position, *array.owner.inputs)[0]
    return Dropout()(array, fraction, key, position)
