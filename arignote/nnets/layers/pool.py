"""Layers that summarize neighbours: pixels, channels, or whole images."""

from functools import reduce

from arignote.engine import tensor
from arignote.nnets.layers.base import Layer
from arignote.ops import max_pool
from arignote.ops.pool import n_windows
from arignote.util import checks


class MaxPool2DLayer(Layer):
    """Take the largest value in each window of an image.

    Parameters
    ----------
    pool_shape : int or pair of int
        Rows and columns of the windows.
    stride : int or pair of int, optional
        Distance of neighbouring windows, by default `pool_shape`.
    ignore_border : bool, optional
        Leave out windows that the edge of the image cuts off: 7 pixels pooled by 2 give 3. By default they are kept,
        with the pixels that they have, which gives 4.
    name : str, optional
    """

    short_name = "pool"

    def __init__(
        self,
        pool_shape: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        ignore_border: bool = False,
        name: str | None = None,
    ):
        super().__init__(name)
        self.ignore_border = checks.truth_value(ignore_border, "ignore_border")
        self.pool_shape = checks.pair(pool_shape, "pool_shape")
        self.stride = self.pool_shape if stride is None else checks.pair(stride, "stride")

    def output_shape_for(self, input_shape):
        self.require_images()
        sizes = zip(input_shape[1:], self.pool_shape, self.stride, strict=True)
        return (input_shape[0], *(n_windows(*each, self.ignore_border) for each in sizes))

    def expression(self, x):
        return self.as_layout(max_pool(self.as_bc01(x), self.pool_shape, self.stride, self.ignore_border))


class MaxPoolChannelsLayer(Layer):
    """Take the largest value among each group of neighbouring channels (or units): channels 0 to k-1, k to 2k-1, ...

    Together with a linear convolution this is maxout (Goodfellow et al., arXiv:1302.4389).

    Parameters
    ----------
    n_channels : int
        Number of channels in a group; must divide the number of input channels.
    name : str, optional
    """

    short_name = "pool_channels"

    def __init__(self, n_channels: int, name: str | None = None):
        super().__init__(name)
        self.n_channels = checks.whole_number(n_channels, "n_channels")

    def output_shape_for(self, input_shape):
        if input_shape[0] % self.n_channels:
            self.refuse(f"a number of channels that {self.n_channels} divides", "another n_channels")
        return (input_shape[0] // self.n_channels, *input_shape[1:])

    def expression(self, x):
        x = self.as_bc01(x)
        return self.as_layout(reduce(tensor.maximum, [x[:, i :: self.n_channels] for i in range(self.n_channels)]))


class GlobalAveragePoolLayer(Layer):
    """Replace each channel of an image by its mean (Lin, Chen and Yan, arXiv:1312.4400, section 3.2).

    Parameters
    ----------
    name : str, optional
    """

    short_name = "average"

    def output_shape_for(self, input_shape):
        self.require_images()
        return (input_shape[0],)

    def output_layout(self):
        return "bc01"

    def expression(self, x):
        return self.as_bc01(x).mean(axis=(2, 3))
