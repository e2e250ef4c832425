"""Max pooling."""

from collections.abc import Callable
from typing import Any

import numpy as np

from arignote import native
from arignote.engine import Apply, disconnected_type, tensor
from arignote.ops.activate import FORMULAS, Activate, activate
from arignote.ops.base import KernelOp, channels_last, namespace, output_buffer_channels_last


def _index_type(window: tuple[int, int]) -> str:
    """Return the dtype for the index of a pixel in its window."""
    return "uint8" if window[0] * window[1] <= 256 else "int32"


def n_windows(
    size: Any, window: int, step: int, ignore_border: bool, maximum: Callable = max, minimum: Callable = min
) -> Any:
    """Return the number of windows along an axis of so many pixels.

    Parameters
    ----------
    size, window, step : int
        Pixels of the image and of a window, and from one window to the next.
    ignore_border : bool
        Count only whole windows. Otherwise the last one may be cut off, if it has pixels that no other one has.
    maximum, minimum : callable, optional
        Of two numbers, which can be symbolic.

    Examples
    --------
    >>> [n_windows(7, 2, 2, ignore_border) for ignore_border in (True, False)]
    [3, 4]
    """
    if ignore_border:
        return (size - window) // step + 1
    return 1 + minimum(maximum(0, -((window - size) // step)), (size - 1) // step)


class MaxPool(KernelOp):
    """The maximum of each window of images (n, channels, rows, columns).

    The second output is the index of the maximum in its window, in row-major order; the first one of equal values.

    Parameters
    ----------
    window, stride : pair of int
        Rows and columns of the windows, and the step between them.
    activation : str, optional
        Take the value whose activation, after the bias, is the maximum. Then the inputs are the images, the bias of
        each channel, and the learned parameters of the activation for each channel.
    ignore_border : bool, optional
        Leave out windows that the edge of the image cuts off; by default they are kept.
    """

    __props__ = ("window", "stride", "activation", "ignore_border")

    def __init__(
        self,
        window: tuple[int, int],
        stride: tuple[int, int],
        activation: str | None = None,
        ignore_border: bool = False,
    ):
        self.window, self.stride = tuple(window), tuple(stride)
        self.activation, self.ignore_border = activation, ignore_border

    def make_node(self, images, *per_channel):
        inputs = [tensor.as_tensor_variable(variable) for variable in (images, *per_channel)]
        indices = tensor.TensorType(_index_type(self.window), (False,) * 4)()
        return Apply(self, inputs, [tensor.TensorType(inputs[0].dtype, (False,) * 4)(), indices])

    def output_shape(self, shape: tuple) -> tuple:
        """Return the shape of the output for images of `shape`."""
        sizes = zip(shape[2:], self.window, self.stride, strict=True)
        return (*shape[:2], *(n_windows(*each, self.ignore_border) for each in sizes))

    def run(self, outputs, images, *per_channel):
        shape = self.output_shape(images.shape)
        out = output_buffer_channels_last(outputs[0], shape, images.dtype)
        indices = output_buffer_channels_last(outputs[1], shape, _index_type(self.window))
        arguments = out, indices, channels_last(images), *per_channel, *self.window, *self.stride
        if self.activation is None:
            native.kernels().max_pool(*arguments)
        else:
            native.kernels().max_pool_by_activation(*arguments, FORMULAS[self.activation].number)

    def reference(self, images, *per_channel):
        rows, columns = self.output_shape(images.shape)[2:]
        down, across = self.stride
        xp = namespace(images, *per_channel)
        # Windows that are cut off are filled with the pixels at the edge, which they have already: the first of equal
        # values counts.
        missing = self.missing(images.shape)
        if any(missing):
            images = xp.pad(images, ((0, 0), (0, 0), (0, missing[0]), (0, missing[1])), mode="edge")
        pixels = xp.stack([
            images[:, :, i : i + down * (rows - 1) + 1 : down, j : j + across * (columns - 1) + 1 : across]
            for i in range(self.window[0])
            for j in range(self.window[1])
        ])  # fmt: skip
        if self.activation is None:
            return pixels.max(axis=0), pixels.argmax(axis=0)
        bias, *learned = (array.reshape(-1, 1, 1) for array in per_channel)
        indices = FORMULAS[self.activation].value(xp, pixels + bias, *learned).argmax(axis=0)
        return xp.take_along_axis(pixels, indices[np.newaxis], axis=0)[0], indices

    def missing(self, shape: tuple) -> tuple[int, int]:
        """Return how many rows and columns the last windows lack."""
        sizes = zip(self.output_shape(shape)[2:], shape[2:], self.window, self.stride, strict=True)
        down, across = (max(0, (count - 1) * step + window - n) for count, n, window, step in sizes)
        return down, across

    def connection_pattern(self, node):
        return [[True, False]] + [[False, False]] * (len(node.inputs) - 1)

    def L_op(self, inputs, outputs, output_gradients):
        gradient = MaxPoolGradient(self.window, self.stride)(output_gradients[0], outputs[1], inputs[0])
        return [gradient, *(disconnected_type() for _ in inputs[1:])]

    def output_shapes(self, node, shapes):
        sizes = zip(shapes[0][2:], self.window, self.stride, strict=True)
        counts = [n_windows(*each, self.ignore_border, tensor.maximum, tensor.minimum) for each in sizes]
        return [(*shapes[0][:2], *counts)] * 2


class MaxPoolGradient(KernelOp):
    """The gradient of :class:`MaxPool`. Inputs: the gradient of the output, the indices; the images, for their size.

    Parameters
    ----------
    window, stride : pair of int
    """

    __props__ = ("window", "stride")

    def __init__(self, window: tuple[int, int], stride: tuple[int, int]):
        self.window, self.stride = tuple(window), tuple(stride)

    def make_node(self, gradient, indices, images):
        inputs = [tensor.as_tensor_variable(variable) for variable in (gradient, indices, images)]
        return Apply(self, inputs, [inputs[2].type()])

    def run(self, outputs, gradient, indices, images):
        out = output_buffer_channels_last(outputs[0], images.shape, images.dtype)
        gradient, indices = channels_last(gradient), channels_last(indices)
        native.kernels().max_pool_gradient(out, gradient, indices, *self.window, *self.stride)

    def reference(self, gradient, indices, images):
        (down, across), (rows, columns) = self.stride, gradient.shape[2:]
        # With room for windows that are cut off, whose maximum is never there.
        whole = [n + size for n, size in zip(images.shape[2:], self.window, strict=True)]
        out = np.zeros((*images.shape[:2], *whole), images.dtype)
        for index, (i, j) in enumerate(np.ndindex(self.window)):
            pixels = out[:, :, i : i + down * (rows - 1) + 1 : down, j : j + across * (columns - 1) + 1 : across]
            pixels += np.where(indices == index, gradient, 0)
        return (out[:, :, : images.shape[2], : images.shape[3]],)

    def in_jax(self, gradient, indices, images):
        from arignote.ops import in_jax

        return (in_jax.max_pool_gradient(gradient, indices, images.shape, self.window, self.stride),)

    def output_shapes(self, node, shapes):
        return [shapes[2]]


# These never decrease, whatever their learned parameters: the maximum can be taken before the activation.
MONOTONIC = frozenset(["linear", "tanh", "sigmoid", "relu"])
# These decrease in part where the learned slope is negative.
MONOTONIC_FOR_POSITIVE_SLOPE = frozenset(["prelu", "prelu_shelf"])


def max_pool(images, window: tuple[int, int], stride: tuple[int, int], ignore_border: bool = False):
    """Apply max pooling.

    The output of :func:`~arignote.ops.activate` is pooled before its bias and activation where the result is the same,
    so that they are computed for one value per window.

    Parameters
    ----------
    images : symbolic, shape (n, channels, rows, columns)
    window, stride : pair of int
        Size of the windows and the step between them, in pixels.
    ignore_border : bool, optional
        Leave out windows that the edge of the image cuts off; by default they are kept.

    Returns
    -------
    symbolic, shape (n, channels, ...)
        With a row and column for each window; see `n_windows`.

    Examples
    --------
    >>> from arignote import engine
    >>> images = engine.tensor.ftensor4()
    >>> pool = engine.function([images], max_pool(images, (2, 2), (2, 2)))
    >>> pool(np.arange(20, dtype="float32").reshape(1, 1, 4, 5)).tolist()
    [[[[6.0, 8.0, 9.0], [16.0, 18.0, 19.0]]]]
    """
    activated = images.owner is not None and isinstance(images.owner.op, Activate)
    name = images.owner.op.name if activated else None
    if name in MONOTONIC:
        z, *per_channel = images.owner.inputs
        return activate(name, MaxPool(window, stride, None, ignore_border)(z)[0], *per_channel)
    if name in MONOTONIC_FOR_POSITIVE_SLOPE:
        z, *per_channel = images.owner.inputs
        return activate(name, MaxPool(window, stride, name, ignore_border)(z, *per_channel)[0], *per_channel)
    return MaxPool(window, stride, None, ignore_border)(images)[0]
