"""A network, built: layers connected to each other, their parameters, and the expressions made of them."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np

from arignote import engine
from arignote.engine import tensor
from arignote.native import memory
from arignote.nnets import definitions
from arignote.nnets.layers import InputLayer, Layer, OutputLayer
from arignote.nnets.layers.base import Surroundings
from arignote.util import checks


class Network:
    """The layers of a definition, for one shape of input.

    Parameters
    ----------
    layer_defs : list of [str, dict]
        As :func:`arignote.nnets.definitions.read` returns it.
    shape : tuple of int
        Shape of one example of the data.
    seed, dropout_seed : int
        Seeds of the initial weights and of dropout.
    stored : dict of str to array, optional
        All parameters, to take instead of initial ones.

    Attributes
    ----------
    layers_train : list of Layer
        The network that is trained.
    layers_inf : list of Layer
        Its deterministic twin, which predicts; the same parameters.
    params : dict of str to shared variable
        All parameters, by names such as ``fc1.W``.
    x, y, position : symbolic
        A batch of examples, its labels, and where training stands: (epoch, batch, shard).
    """

    def __init__(
        self,
        layer_defs: list,
        shape: Sequence[int],
        seed: int,
        dropout_seed: int,
        stored: Mapping[str, np.ndarray] | None = None,
    ):
        self.position = tensor.lvector("position")
        surroundings = Surroundings(seed, dropout_seed, self.position, stored)
        self.layers_train = [definitions.make_layer(definition) for definition in layer_defs]
        shape, layout = tuple(shape), "bc01"
        for layer in self.layers_train:
            layer.connect(shape, layout, surroundings)
            shape, layout = layer.output_shape, layer.output_layout()
        if stored is not None:
            self.require_values(stored, "the stored network")
        self.layers_inf = [layer.twin() for layer in self.layers_train]
        n_axes = 1 + len(self.layers_train[0].output_shape)
        self.x = tensor.TensorType(engine.float_type(), (False,) * n_axes)("x")
        self.y = self.output_layer.label_symbol()
        for layers in (self.layers_train, self.layers_inf):
            connect_expressions(layers, self.x)

    @property
    def input_layer(self) -> InputLayer:
        """The layer that knows the shape of the data."""
        return cast(InputLayer, self.layers_train[0])  # definitions.read sees to it

    @property
    def output_layer(self) -> OutputLayer:
        """The last layer of the deterministic network."""
        return cast(OutputLayer, self.layers_inf[-1])

    @cached_property
    def params(self) -> dict[str, Any]:
        return {param.name: param for layer in self.layers_train for param in layer.params.values()}

    @property
    def trainable(self) -> dict[str, tuple[Layer, str]]:
        """What training changes: name of the parameter -> its layer, and its name in the layer."""
        pairs = [(layer, name) for layer in self.layers_train for name in layer.params if not layer.is_fixed(name)]
        return {layer.params[name].name: (layer, name) for layer, name in pairs}

    def get_values(self) -> dict[str, np.ndarray]:
        """Return copies of all parameters."""
        return {name: param.get_value() for name, param in self.params.items()}

    def require_values(self, values: Mapping[str, np.ndarray], what: str) -> None:
        """Refuse values by name that this network has no parameter for, or one of another shape.

        Raises
        ------
        ValueError
            `what` says where the values are from.
        """
        for name, value in values.items():
            if name not in self.params:
                raise ValueError(
                    f"got the parameter {name!r} from {what}; need one of this network; "
                    f"{checks.suggestion(name, self.params)}"
                )
            expected = self.params[name].get_value(borrow=True).shape
            if np.shape(value) != expected:
                raise ValueError(
                    f"got {name} of shape {np.shape(value)} from {what}; need {expected}; "
                    "try the same definition of the layer"
                )

    def set_values(self, values: Mapping[str, np.ndarray], what: str = "the stored network") -> None:
        """Set parameters by name, all or none; see `require_values`."""
        self.require_values(values, what)
        for name, value in values.items():
            param = self.params[name]
            param.set_value(memory.copy(np.asarray(value, dtype=param.dtype)), borrow=True)

    def check_loss(self, name: str, what: str) -> str:
        """Return `name` if it is a loss of the output layer; `what` names the argument in the message."""
        return checks.choice(name, self.output_layer.losses(), what)

    def loss(self, name: str, training: bool = False):
        """Return a loss, symbolic, of the training network or of its deterministic twin."""
        layers = self.layers_train if training else self.layers_inf
        value = getattr(layers[-1], name)(self.y)
        if getattr(value, "ndim", 0) != 0:
            raise ValueError(f"got the loss {name!r} with {value.ndim} axes; need one number a batch; try .mean()")
        return tensor.cast(value, engine.float_type())

    def penalty(self):
        """Return what all layers add to the training loss beside weight decay, symbolic, or 0."""
        return sum(layer.penalty() for layer in self.layers_train)

    def decay(self, param) -> tuple[float, float]:
        """Return the factors (l1, l2) with which a trainable parameter adds to the training loss."""
        layer, name = self.trainable[param.name]
        return layer.decay(name)

    def constrain(self, param, value):
        """Return what to store for an updated parameter."""
        layer, name = self.trainable[param.name]
        return layer.constrain(name, value)

    def prepare_features(self, X: np.ndarray) -> np.ndarray:
        """Return a batch of examples in the shape and type that the network computes with.

        Raises
        ------
        ValueError
            If an example has another shape than the network was built for, or is not made of numbers.
        """
        X = np.asarray(X)
        if X.ndim == 0 or not self.input_layer.accepts(X.shape[1:]):
            raise ValueError(
                f"got examples of shape {X.shape[1:]}; this network needs {self.input_layer.output_shape}; "
                "try reshaping the data, or X[np.newaxis] for a single example"
            )
        if X.dtype.kind not in "buif":
            raise ValueError(f"got features of dtype {X.dtype}; need numbers; try X.astype('float32')")
        X = X.reshape((len(X), *self.input_layer.output_shape))
        return np.ascontiguousarray(X, dtype=self.x.dtype)

    @cached_property
    def predict_batch(self) -> Callable[[np.ndarray], np.ndarray]:
        """Compiled: probabilities of a batch."""
        return engine.function([self.x], self.output_layer.output)

    def evaluator(self, losses: Sequence[str]) -> Callable:
        """Compile: the named losses of a batch in the deterministic network."""
        return engine.function([self.x, self.y], [self.loss(name) for name in losses], on_unused_input="ignore")


def connect_expressions(layers: Sequence[Layer], x) -> None:
    """Let `x` run through the layers; each keeps its `output`."""
    for layer in layers:
        layer.output = x = layer.expression(x)
