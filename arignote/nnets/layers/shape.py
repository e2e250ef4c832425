"""Layers at the start of a network, and layers that only reorder."""

from arignote.nnets.layers.base import Layer, Shape
from arignote.util import checks


class InputLayer(Layer):
    """The start of a network on plain vectors of features. May be left out of a definition.

    Parameters
    ----------
    name : str, optional
    """

    short_name = "input"

    @property
    def known_shape(self) -> Shape | None:
        """The shape of an example, if the layer knows it before it sees data."""
        return None

    def output_shape_for(self, input_shape):
        if len(input_shape) != 1:
            self.refuse(
                "examples that are vectors of features",
                '["InputImageLayer", {"n_images": channels, "n_pixels": (rows, columns)}] as the first layer',
            )
        return input_shape

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Return True if examples of this shape can be reshaped for this layer."""
        return tuple(shape) == self.output_shape

    def expression(self, x):
        return x


class InputImageLayer(InputLayer):
    """The start of a network on images.

    Examples may come as (channels, rows, columns), as (rows, columns) if there is one channel, or laid out as a vector
    in that order.

    Parameters
    ----------
    n_images : int
        Number of channels.
    n_pixels : int or pair of int
        Rows and columns.
    name : str, optional
    """

    short_name = "input"

    def __init__(self, n_images: int, n_pixels: int | tuple[int, int], name: str | None = None):
        super().__init__(name)
        self.n_images = checks.whole_number(n_images, "n_images")
        self.n_pixels = checks.pair(n_pixels, "n_pixels")

    @property
    def known_shape(self) -> tuple[int, int, int]:
        """The shape of an example, which this layer knows before it sees data."""
        return (self.n_images, *self.n_pixels)

    def output_shape_for(self, input_shape):
        self.output_shape = self.known_shape
        if not self.accepts(input_shape):
            self.refuse(
                f"images of shape {self.known_shape}, or vectors of {self._size} values",
                "n_images and n_pixels that fit the data",
            )
        return self.known_shape

    @property
    def _size(self) -> int:
        return self.n_images * self.n_pixels[0] * self.n_pixels[1]

    def accepts(self, shape):
        shape = tuple(shape)
        return shape in {self.known_shape, (self._size,)} or (self.n_images == 1 and shape == self.n_pixels)


class BC01ToC01BLayer(Layer):
    """Reorder images from (batch, channel, row, column) to (channel, row, column, batch).

    This is the order of cuda-convnet, in which neighbouring values belong to different examples. Layers of images work
    on either order, and a network computes the same with or without the reordering.

    Parameters
    ----------
    name : str, optional
    """

    short_name = "to_c01b"

    def output_shape_for(self, input_shape):
        self.require_images()
        if self.layout == "c01b":
            self.refuse("images in the order (batch, channel, row, column)", "leaving this layer out")
        return input_shape

    def output_layout(self):
        return "c01b"

    def expression(self, x):
        return x.dimshuffle(1, 2, 3, 0)


class C01BToBC01Layer(Layer):
    """Reorder images back from (channel, row, column, batch) to (batch, channel, row, column).

    Parameters
    ----------
    name : str, optional
    """

    short_name = "to_bc01"

    def output_shape_for(self, input_shape):
        self.require_images()
        if self.layout == "bc01":
            self.refuse("images in the order (channel, row, column, batch)", 'a ["BC01ToC01BLayer"] before it')
        return input_shape

    def output_layout(self):
        return "bc01"

    def expression(self, x):
        return x.dimshuffle(3, 0, 1, 2)
