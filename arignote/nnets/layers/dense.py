"""Fully-connected layers."""

from collections.abc import Callable, Sequence

import numpy as np

from arignote import ops
from arignote.nnets import activations
from arignote.nnets.layers.base import WeightLayer
from arignote.util import checks


class ActivatedLayer(WeightLayer, abstract=True):
    """A layer with weights and an activation: what dense and convolutional layers have in common.

    Parameters
    ----------
    activation : str or callable
        Name of an entry of :data:`arignote.nnets.activations.ACTIVATIONS`, or a function of a symbolic array.
    name, l1, l2, maxnorm, fix_params : optional
        See :class:`~arignote.nnets.layers.base.WeightLayer`.
    """

    def __init__(self, activation: str | Callable, name, l1, l2, maxnorm, fix_params):
        super().__init__(name, l1, l2, maxnorm, fix_params)
        self.activation, self._activation = activations.find(activation)
        self.n_pieces = self._activation.n_pieces

    def add_unit_params(self, n_units: int, suffix: str = "") -> None:
        """Create a bias for each linear output, and what the activation learns for each unit."""
        n_biases = n_units * self.n_pieces
        self.add_param(f"b{suffix}", np.zeros(n_biases))
        for name, start in self._activation.learned.items():
            self.add_param(f"{name}{suffix}", np.full(n_units, start))

    def activate(self, z, suffix: str = ""):
        """Add the bias to `z`, of shape (n, units) or (n, units, rows, columns), and apply the activation."""
        bias = self.params[f"b{suffix}"]
        learned = {name: self.params[f"{name}{suffix}"] for name in self._activation.learned}
        if self.n_pieces > 1:
            return ops.maxout(z, bias, self.n_pieces)
        if self.activation in activations.BUILT_IN:
            return ops.activate(self.activation, z, bias, *learned.values())
        per_unit = ("x", 0, *"x" * (z.ndim - 2))
        learned = {name: values.dimshuffle(*per_unit) for name, values in learned.items()}
        return self._activation.function(z + bias.dimshuffle(*per_unit), **learned)


class FCLayer(ActivatedLayer):
    """A fully-connected layer: ``activation(x @ W + b)``. Images are laid out as vectors.

    Parameters
    ----------
    n_units : int
        Number of neurons.
    activation : str or callable, optional
        By default "prelu".
    name, l1, l2, maxnorm, fix_params : optional
        See :class:`~arignote.nnets.layers.base.WeightLayer`.
    """

    short_name = "fc"

    def __init__(
        self,
        n_units: int,
        activation: str | Callable = "prelu",
        name: str | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        maxnorm: float | None = None,
        fix_params: bool | Sequence[str] = False,
    ):
        super().__init__(activation, name, l1, l2, maxnorm, fix_params)
        self.n_units = checks.whole_number(n_units, "n_units")

    def output_shape_for(self, input_shape):
        if self.layout == "c01b":
            self.refuse("images in the order (batch, channel, row, column)", 'a ["C01BToBC01Layer"] before it')
        return (self.n_units,)

    def create_params(self):
        n_in, n_out = int(np.prod(self.input_shape)), self.n_units * self.n_pieces
        initialize = self._activation.initialize
        shape = (n_in, n_out)
        self.add_weight("W", lambda rng: initialize(rng, shape, n_in, self.n_units), incoming_axes=(0,), shape=shape)
        self.add_unit_params(self.n_units)

    def expression(self, x):
        return self.activate(ops.matmul(as_vectors(x, self.input_shape), self.params["W"]))


class FCMaxoutLayer(FCLayer):
    """A fully-connected layer whose neurons take the largest of `maxout_k` linear functions.

    Column ``j * n_units + i`` of ``W`` holds the weights of linear function j of neuron i.

    Parameters
    ----------
    n_units : int
        Number of neurons.
    maxout_k : int, optional
        Number of linear functions of each neuron, by default 5.
    name, l1, l2, maxnorm, fix_params : optional
        See :class:`~arignote.nnets.layers.base.WeightLayer`; `maxnorm` bounds each linear function.
    """

    short_name = "maxout"

    def __init__(
        self,
        n_units: int,
        maxout_k: int = 5,
        name: str | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        maxnorm: float | None = None,
        fix_params: bool | Sequence[str] = False,
    ):
        super().__init__(n_units, "maxout", name, l1, l2, maxnorm, fix_params)
        self.n_pieces = self.maxout_k = checks.whole_number(maxout_k, "maxout_k", least=2)


def as_vectors(x, input_shape: tuple[int, ...]):
    """Return a batch of examples of any shape as a matrix with a row for each example."""
    return x if len(input_shape) == 1 else ops.flatten(x)
