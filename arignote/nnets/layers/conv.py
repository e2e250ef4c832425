"""Convolutional layers. Filters are laid over the images without flipping, and only where they fit in full."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from arignote.nnets.layers.dense import ActivatedLayer
from arignote.ops import convolve
from arignote.util import checks


class ConvLayer(ActivatedLayer):
    """A convolutional layer.

    Parameters
    ----------
    n_output_maps : int
        Number of filters, and of channels in the output.
    filter_shape : int or pair of int
        Rows and columns of the filters.
    activation : str or callable, optional
        By default "prelu".
    stride : int or pair of int, optional
        Distance of neighbouring filter positions, by default (1, 1).
    name, l1, l2, maxnorm, fix_params : optional
        See :class:`~arignote.nnets.layers.base.WeightLayer`.
    """

    short_name = "conv"

    def __init__(
        self,
        n_output_maps: int,
        filter_shape: int | tuple[int, int],
        activation: str | Callable = "prelu",
        stride: int | tuple[int, int] = (1, 1),
        name: str | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        maxnorm: float | None = None,
        fix_params: bool | Sequence[str] = False,
    ):
        super().__init__(activation, name, l1, l2, maxnorm, fix_params)
        self.n_output_maps = checks.whole_number(n_output_maps, "n_output_maps")
        self.filter_shape = checks.pair(filter_shape, "filter_shape")
        self.stride = checks.pair(stride, "stride")

    def output_shape_for(self, input_shape):
        self.require_images()
        return (self.n_output_maps, *positions(input_shape[1:], self.filter_shape, self.stride))

    def create_params(self):
        self.add_filters(self.n_output_maps, self.input_shape[0], self.filter_shape)

    def add_filters(self, n_maps: int, n_channels: int, filter_shape: tuple[int, int], suffix: str = "") -> None:
        """Create the filters of one convolution, of shape (maps, channels, rows, columns), and what goes along."""
        area = int(np.prod(filter_shape))
        shape = (n_maps * self.n_pieces, n_channels, *filter_shape)
        initialize = self._activation.initialize
        self.add_weight(
            f"W{suffix}",
            lambda rng: initialize(rng, shape, n_channels * area, n_maps * area),
            incoming_axes=(1, 2, 3),
            shape=shape,
        )
        self.add_unit_params(n_maps, suffix)

    def expression(self, x):
        z = convolve(self.as_bc01(x), self.params["W"], self.stride)
        return self.as_layout(self.activate(z))


class ConvMaxoutLayer(ConvLayer):
    """A convolutional layer whose units take the largest of `maxout_k` linear filters.

    Filter ``j * n_output_maps + i`` is linear filter j of map i.

    Parameters
    ----------
    n_output_maps : int
        Number of channels in the output.
    filter_shape : int or pair of int
        Rows and columns of the filters.
    maxout_k : int, optional
        Number of linear filters of each map, by default 5.
    stride : int or pair of int, optional
        Distance of neighbouring filter positions, by default (1, 1).
    name, l1, l2, maxnorm, fix_params : optional
        See :class:`~arignote.nnets.layers.base.WeightLayer`; `maxnorm` bounds each linear filter.
    """

    short_name = "conv_maxout"

    def __init__(
        self,
        n_output_maps: int,
        filter_shape: int | tuple[int, int],
        maxout_k: int = 5,
        stride: int | tuple[int, int] = (1, 1),
        name: str | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        maxnorm: float | None = None,
        fix_params: bool | Sequence[str] = False,
    ):
        super().__init__(n_output_maps, filter_shape, "maxout", stride, name, l1, l2, maxnorm, fix_params)
        self.n_pieces = self.maxout_k = checks.whole_number(maxout_k, "maxout_k", least=2)


class MLPConvLayer(ConvLayer):
    """A convolution followed by a small perceptron at each position ("mlpconv": Lin, Chen and Yan, arXiv:1312.4400).

    The first convolution has ``n_units[0]`` filters of `filter_shape`; a 1x1 convolution follows for each further entry
    of `n_units`, and a last one gives `n_output_maps`. The activation is applied after each. Parameters are numbered:
    ``W0``, ``b0``, ``W1``, ...

    Parameters
    ----------
    n_output_maps : int
        Number of channels in the output.
    filter_shape : int or pair of int
        Rows and columns of the first filters.
    n_units : list of int
        Number of neurons in each hidden layer of the perceptron.
    activation : str or callable, optional
        By default "prelu".
    stride : int or pair of int, optional
        Distance of neighbouring filter positions of the first convolution, by default (1, 1).
    name, l1, l2, maxnorm, fix_params : optional
        See :class:`~arignote.nnets.layers.base.WeightLayer`.
    """

    short_name = "mlpconv"

    def __init__(
        self,
        n_output_maps: int,
        filter_shape: int | tuple[int, int],
        n_units: Sequence[int],
        activation: str | Callable = "prelu",
        stride: int | tuple[int, int] = (1, 1),
        name: str | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        maxnorm: float | None = None,
        fix_params: bool | Sequence[str] = False,
    ):
        super().__init__(n_output_maps, filter_shape, activation, stride, name, l1, l2, maxnorm, fix_params)
        if isinstance(n_units, str) or not isinstance(n_units, Sequence) or len(n_units) == 0:
            raise ValueError(f"got n_units={n_units!r}; need a list of whole numbers; try n_units=[32, 16]")
        self.n_units = [checks.whole_number(n, "n_units") for n in n_units]

    def create_params(self):
        channels = [self.input_shape[0], *self.n_units, self.n_output_maps]
        for i, (n_channels, n_maps) in enumerate(itertools.pairwise(channels)):
            self.add_filters(n_maps, n_channels, self.filter_shape if i == 0 else (1, 1), suffix=str(i))

    def expression(self, x):
        h = self.as_bc01(x)
        for i in range(len(self.n_units) + 1):
            z = convolve(h, self.params[f"W{i}"], self.stride if i == 0 else (1, 1))
            h = self.activate(z, suffix=str(i))
        return self.as_layout(h)


def positions(size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> tuple[int, int]:
    """Return at how many places, down and across, a window fits into an image.

    Examples
    --------
    >>> positions((28, 28), (3, 3), (1, 1))
    (26, 26)
    >>> positions((13, 14), (2, 2), (2, 2))
    (6, 7)
    """
    down, across = ((n - w) // s + 1 for n, w, s in zip(size, window, stride, strict=True))
    return down, across
