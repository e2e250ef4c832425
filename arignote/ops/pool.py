"""Max pooling."""

import numpy as np

from arignote import native
from arignote.engine import Apply, disconnected_type, tensor
from arignote.ops.activate import FORMULAS, Activate, activate
from arignote.ops.base import KernelOp, channels_last, namespace, room_channels_last


def _place_type(window: tuple[int, int]) -> str:
    """Return the type of the number of a pixel in its window."""
    return "uint8" if window[0] * window[1] <= 256 else "int32"


class MaxPool(KernelOp):
    """The largest value of each window of images (n, channels, rows, columns).

    The second output is the number of the pixel that is largest in its window, counted by rows; the first of equals.

    Parameters
    ----------
    window, stride : pair of int
        Rows and columns of the windows, and their distance.
    activation : str, optional
        Keep the value for which this activation is largest. Then the inputs are the images, one bias for each channel,
        and what the activation learns for each.
    """

    __props__ = ("window", "stride", "activation")

    def __init__(self, window: tuple[int, int], stride: tuple[int, int], activation: str | None = None):
        self.window, self.stride, self.activation = tuple(window), tuple(stride), activation

    def make_node(self, images, *per_channel):
        inputs = [tensor.as_tensor_variable(variable) for variable in (images, *per_channel)]
        places = tensor.TensorType(_place_type(self.window), (False,) * 4)()
        return Apply(self, inputs, [tensor.TensorType(inputs[0].dtype, (False,) * 4)(), places])

    def shape_out(self, shape: tuple) -> tuple:
        """Return the shape of the output for images of a shape."""
        sizes = zip(shape[2:], self.window, self.stride, strict=True)
        return (*shape[:2], *((n - size) // distance + 1 for n, size, distance in sizes))

    def run(self, outputs, images, *per_channel):
        shape = self.shape_out(images.shape)
        out = room_channels_last(outputs[0], shape, images.dtype)
        places = room_channels_last(outputs[1], shape, _place_type(self.window))
        arguments = out, places, channels_last(images), *per_channel, *self.window, *self.stride
        if self.activation is None:
            native.kernels().max_pool(*arguments)
        else:
            native.kernels().max_pool_by_activation(*arguments, FORMULAS[self.activation].number)

    def reference(self, images, *per_channel):
        rows, columns = self.shape_out(images.shape)[2:]
        down, across = self.stride
        xp = namespace(images, *per_channel)
        pixels = xp.stack([
            images[:, :, i : i + down * (rows - 1) + 1 : down, j : j + across * (columns - 1) + 1 : across]
            for i in range(self.window[0])
            for j in range(self.window[1])
        ])  # fmt: skip
        if self.activation is None:
            return pixels.max(axis=0), pixels.argmax(axis=0)
        bias, *learned = (array.reshape(-1, 1, 1) for array in per_channel)
        places = FORMULAS[self.activation].value(xp, pixels + bias, *learned).argmax(axis=0)
        return xp.take_along_axis(pixels, places[np.newaxis], axis=0)[0], places

    def connection_pattern(self, node):
        return [[True, False]] + [[False, False]] * (len(node.inputs) - 1)

    def L_op(self, inputs, outputs, output_gradients):
        gradient = MaxPoolGradient(self.window, self.stride)(output_gradients[0], outputs[1], inputs[0])
        return [gradient, *(disconnected_type() for _ in inputs[1:])]

    def output_shapes(self, node, shapes):
        return [self.shape_out(shapes[0])] * 2


class MaxPoolGradient(KernelOp):
    """The gradient of :class:`MaxPool`. Inputs: the output's gradient, the pixels' numbers; the images, for their size.

    Parameters
    ----------
    window, stride : pair of int
    """

    __props__ = ("window", "stride")

    def __init__(self, window: tuple[int, int], stride: tuple[int, int]):
        self.window, self.stride = tuple(window), tuple(stride)

    def make_node(self, gradient, places, images):
        inputs = [tensor.as_tensor_variable(variable) for variable in (gradient, places, images)]
        return Apply(self, inputs, [inputs[2].type()])

    def run(self, outputs, gradient, places, images):
        out = room_channels_last(outputs[0], images.shape, images.dtype)
        gradient, places = channels_last(gradient), channels_last(places)
        native.kernels().max_pool_gradient(out, gradient, places, *self.window, *self.stride)

    def reference(self, gradient, places, images):
        out = np.zeros(images.shape, images.dtype)
        (down, across), (rows, columns) = self.stride, gradient.shape[2:]
        for number, (i, j) in enumerate(np.ndindex(self.window)):
            pixels = out[:, :, i : i + down * (rows - 1) + 1 : down, j : j + across * (columns - 1) + 1 : across]
            pixels += np.where(places == number, gradient, 0)
        return (out,)

    def in_jax(self, gradient, places, images):
        from arignote.ops import in_jax

        return (in_jax.max_pool_gradient(gradient, places, images.shape, self.window, self.stride),)

    def output_shapes(self, node, shapes):
        return [shapes[2]]


# The largest of these is the one of the largest value before them, whatever they have learned.
INCREASING = frozenset(["linear", "tanh", "sigmoid", "relu"])
# These may fall where their slope was learned to be negative.
OFTEN_INCREASING = frozenset(["prelu", "prelu_shelf"])


def max_pool(images, window: tuple[int, int], stride: tuple[int, int]):
    """Take the largest value of each window; rows and columns that fill no whole window are left out.

    What comes from :func:`~arignote.ops.activate` is pooled before its bias and activation, which are then computed
    for a value a window, with the same result.

    Parameters
    ----------
    images : symbolic, shape (n, channels, rows, columns)
    window, stride : pair of int
        Size and distance of the windows, in pixels.

    Returns
    -------
    symbolic, shape (n, channels, (rows - window[0]) // stride[0] + 1, (columns - window[1]) // stride[1] + 1)

    Examples
    --------
    >>> from arignote import engine
    >>> images = engine.tensor.ftensor4()
    >>> pool = engine.function([images], max_pool(images, (2, 2), (2, 2)))
    >>> pool(np.arange(20, dtype="float32").reshape(1, 1, 4, 5)).tolist()
    [[[[6.0, 8.0], [16.0, 18.0]]]]
    """
    activated = images.owner is not None and isinstance(images.owner.op, Activate)
    name = images.owner.op.name if activated else None
    if name in INCREASING:
        z, *per_channel = images.owner.inputs
        return activate(name, MaxPool(window, stride)(z)[0], *per_channel)
    if name in OFTEN_INCREASING:
        z, *per_channel = images.owner.inputs
        return activate(name, MaxPool(window, stride, name)(z, *per_channel)[0], *per_channel)
    return MaxPool(window, stride)(images)[0]
