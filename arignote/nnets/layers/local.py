"""Locally connected layers: each unit sees a segment of the input."""

import math
from collections.abc import Callable, Sequence

from arignote import ops
from arignote.engine import tensor
from arignote.nnets.layers.dense import ActivatedLayer, as_vectors
from arignote.util import checks


class LCLayer(ActivatedLayer):
    """A locally connected layer: the input is cut into segments, each with weights and units of its own.

    Segment ``s`` of the input, ``x[s * n : (s + 1) * n]``, is connected to units ``s * n_units`` to
    ``(s + 1) * n_units - 1`` of the output by ``W[s]``. Images are laid out as vectors.

    Parameters
    ----------
    n_units : int
        Number of units of each segment; the output has ``n_segments * n_units``.
    n_segments : int
        Number of segments, all of the same size; must divide the size of the input.
    activation : str or callable, optional
        By default "prelu".
    name, l1, l2, maxnorm, fix_params : optional
        See :class:`~arignote.nnets.layers.base.WeightLayer`.
    """

    short_name = "lc"

    def __init__(
        self,
        n_units: int,
        n_segments: int,
        activation: str | Callable = "prelu",
        name: str | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        maxnorm: float | None = None,
        fix_params: bool | Sequence[str] = False,
    ):
        super().__init__(activation, name, l1, l2, maxnorm, fix_params)
        self.n_units = checks.whole_number(n_units, "n_units")
        self.n_segments = checks.whole_number(n_segments, "n_segments")

    @property
    def segment_size(self) -> int:
        """Number of inputs in a segment."""
        return math.prod(self.input_shape) // self.n_segments

    def output_shape_for(self, input_shape):
        if self.layout == "c01b":
            self.refuse("images in the order (batch, channel, row, column)", 'a ["C01BToBC01Layer"] before it')
        if math.prod(input_shape) % self.n_segments:
            self.refuse(f"a size that n_segments={self.n_segments} divides", "another n_segments")
        return (self.n_segments * self.n_units,)

    def create_params(self):
        n_in, initialize = self.segment_size, self._activation.initialize
        pieces = (self.n_pieces,) if self.n_pieces > 1 else ()
        shape = (self.n_segments, *pieces, n_in, self.n_units)
        incoming = (len(shape) - 2,)
        self.add_weight(
            "W", lambda rng: initialize(rng, shape, n_in, self.n_units), incoming_axes=incoming, shape=shape
        )
        self.add_unit_params(self.n_segments * self.n_units)

    def expression(self, x):
        x, size, W = as_vectors(x, self.input_shape), self.segment_size, self.params["W"]
        parts = [
            # The width of each part is known, which JAX needs.
            ops.matmul(x[:, i * size : (i + 1) * size], W[i] if W.ndim == 3 else W[i, j]).reshape((-1, 1, self.n_units))
            for j in range(self.n_pieces)
            for i in range(self.n_segments)
        ]
        return self.activate(tensor.concatenate(parts, axis=2).reshape((-1, len(parts) * self.n_units)))


class LCMaxoutLayer(LCLayer):
    """A locally connected layer whose units take the largest of `maxout_k` linear functions.

    Column i of ``W[s, j]`` holds the weights of linear function j of unit i of segment s.

    Parameters
    ----------
    n_units : int
        Number of units of each segment.
    n_segments : int
        Number of segments.
    maxout_k : int, optional
        Number of linear functions of each unit, by default 5.
    name, l1, l2, maxnorm, fix_params : optional
        See :class:`~arignote.nnets.layers.base.WeightLayer`; `maxnorm` bounds each linear function.
    """

    short_name = "lc_maxout"

    def __init__(
        self,
        n_units: int,
        n_segments: int,
        maxout_k: int = 5,
        name: str | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        maxnorm: float | None = None,
        fix_params: bool | Sequence[str] = False,
    ):
        super().__init__(n_units, n_segments, "maxout", name, l1, l2, maxnorm, fix_params)
        self.n_pieces = self.maxout_k = checks.whole_number(maxout_k, "maxout_k", least=2)
