"""Convolutions of images and their gradients, computed by oneDNN (https://github.com/oneapi-src/oneDNN)."""

from typing import Any

import numpy as np

from arignote import engine, native
from arignote.engine import Apply, tensor
from arignote.ops.base import KernelOp, channels_last, output_buffer, output_buffer_channels_last

FOUR_AXES = (False,) * 4


class ConvolutionOp(KernelOp):
    """Base class of the convolution and its two gradients.

    Parameters
    ----------
    stride : pair of int
        Step between filter positions, in pixels.
    """

    __props__ = ("stride",)
    slow_in_jax_loops = True

    def __init__(self, stride: tuple[int, int]):
        self.stride = tuple(stride)

    def can_run(self, *inputs):
        floats = all(array.dtype == np.float32 and array.size > 0 for array in inputs)
        return floats and native.has("convolve")

    def patches(self, images: np.ndarray, filter_shape: tuple[int, int]) -> np.ndarray:
        """Return a view of the patch at each filter position: (n, channels, rows, columns, *filter_shape)."""
        down, across = self.stride
        windows: Any = np.lib.stride_tricks.sliding_window_view  # its type annotations allow one axis only
        return windows(images, filter_shape, axis=(2, 3))[:, :, ::down, ::across]


class Convolve(ConvolutionOp):
    """Cross-correlate images (n, channels, rows, columns) with filters (n_filters, channels, rows, columns)."""

    def make_node(self, images, filters):
        images, filters = tensor.as_tensor_variable(images), tensor.as_tensor_variable(filters)
        return Apply(self, [images, filters], [tensor.TensorType(images.dtype, FOUR_AXES)()])

    def output_shape(self, images: tuple, filters: tuple) -> tuple:
        """Return the shape of the output for these shapes of images and filters."""
        sizes = zip(images[2:], filters[2:], self.stride, strict=True)
        return (images[0], filters[0], *((n - size) // distance + 1 for n, size, distance in sizes))

    def run(self, outputs, images, filters):
        out = output_buffer_channels_last(outputs[0], self.output_shape(images.shape, filters.shape), images.dtype)
        native.kernels().convolve(channels_last(images), np.ascontiguousarray(filters), out, *self.stride)

    def reference(self, images, filters):
        return (np.einsum("ncrsij,mcij->nmrs", self.patches(images, filters.shape[2:]), filters, optimize=True),)

    def in_jax(self, images, filters):
        from arignote.ops import in_jax

        return (in_jax.convolve(images, filters, self.stride),)

    def L_op(self, inputs, outputs, output_gradients):
        (images, filters), (gradient,) = inputs, output_gradients
        return [
            ConvolveImages(self.stride)(gradient, filters, images),
            ConvolveFilters(self.stride)(gradient, images, filters),
        ]

    def output_shapes(self, node, shapes):
        return [self.output_shape(*shapes)]


class ConvolveFilters(ConvolutionOp):
    """The gradient with respect to the filters. Inputs: output gradient, images; the filters, for their shape."""

    def make_node(self, gradient, images, filters):
        inputs = [tensor.as_tensor_variable(variable) for variable in (gradient, images, filters)]
        return Apply(self, inputs, [inputs[2].type()])

    def run(self, outputs, gradient, images, filters):
        out = output_buffer(outputs[0], filters.shape, images.dtype)
        native.kernels().convolve_filters(channels_last(images), out, channels_last(gradient), *self.stride)

    def reference(self, gradient, images, filters):
        return (np.einsum("ncrsij,nmrs->mcij", self.patches(images, filters.shape[2:]), gradient, optimize=True),)

    def in_jax(self, gradient, images, filters):
        from arignote.ops import in_jax

        return (in_jax.convolve_filters(gradient, images, filters, self.stride),)

    def output_shapes(self, node, shapes):
        return [shapes[2]]


class ConvolveImages(ConvolutionOp):
    """The gradient with respect to the images. Inputs: output gradient, filters; the images, for their shape."""

    def make_node(self, gradient, filters, images):
        inputs = [tensor.as_tensor_variable(variable) for variable in (gradient, filters, images)]
        return Apply(self, inputs, [inputs[2].type()])

    def run(self, outputs, gradient, filters, images):
        out = output_buffer_channels_last(outputs[0], images.shape, images.dtype)
        filters = np.ascontiguousarray(filters)
        native.kernels().convolve_images(out, filters, channels_last(gradient), *self.stride)

    def reference(self, gradient, filters, images):
        out = np.zeros(images.shape, images.dtype)
        (down, across), (rows, columns) = self.stride, gradient.shape[2:]
        for i, j in np.ndindex(filters.shape[2:]):
            pixels = out[:, :, i : i + down * (rows - 1) + 1 : down, j : j + across * (columns - 1) + 1 : across]
            pixels += np.einsum("nmrs,mc->ncrs", gradient, filters[:, :, i, j], optimize=True)
        return (out,)

    def in_jax(self, gradient, filters, images):
        from arignote.ops import in_jax

        return (in_jax.convolve_images(gradient, filters, images, self.stride),)

    def output_shapes(self, node, shapes):
        return [shapes[2]]


def convolve(images, filters, stride: tuple[int, int] = (1, 1)):
    """Cross-correlate images with filters, without padding; filters are not flipped.

    Parameters
    ----------
    images : symbolic, shape (n, channels, rows, columns)
    filters : symbolic, shape (n_filters, channels, filter_rows, filter_columns)
    stride : pair of int, optional
        Step between filter positions, in pixels, by default (1, 1).

    Returns
    -------
    symbolic, shape (n, n_filters, (rows - filter_rows) // stride[0] + 1, (columns - filter_columns) // stride[1] + 1)

    Examples
    --------
    >>> images, filters = engine.tensor.ftensor4(), engine.tensor.ftensor4()
    >>> run = engine.function([images, filters], convolve(images, filters))
    >>> run(np.arange(9, dtype="float32").reshape(1, 1, 3, 3), np.ones((1, 1, 2, 2), "float32")).tolist()
    [[[[8.0, 12.0], [20.0, 24.0]]]]
    """
    by_kernel = native.has("convolve") and images.dtype == filters.dtype == "float32"
    if by_kernel or not native.available() or engine.convolve is None:  # the engine's convolution needs a compiler too
        return Convolve(stride)(images, filters)
    return engine.convolve(images, filters, stride)
