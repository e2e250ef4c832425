"""A network: connected layers, their parameters, and the expressions and functions made of them."""

import logging
from collections.abc import Callable, ItemsView, Iterable, KeysView, Mapping, Sequence, ValuesView
from functools import cached_property
from typing import Any, cast

import numpy as np

from arignote import engine
from arignote.engine import tensor
from arignote.native import memory
from arignote.nnets import definitions, objectives
from arignote.nnets.classes import encode
from arignote.nnets.layers import InputLayer, Layer, OutputLayer
from arignote.nnets.layers.base import BuildContext, ParamTags
from arignote.nnets.updates import SGD
from arignote.util import checks

logger = logging.getLogger(__name__)


class Params(list):
    """The parameters of a network: a list of shared variables, in the order of the layers, and by name.

    Examples
    --------
    >>> from arignote.nnets.nets import NNClassifier, define_mlp
    >>> params = NNClassifier(define_mlp(3, [30]), n_in=4).params
    >>> [param.name for param in params] == list(params.keys())
    True
    >>> params["fc0.W"] is params[0], "fc0.b" in params
    (True, True)
    """

    def __init__(self, by_name: Mapping[str, Any]):
        super().__init__(by_name.values())
        self._by_name = dict(by_name)

    def __getitem__(self, key: Any) -> Any:
        return self._by_name[key] if isinstance(key, str) else super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        return key in self._by_name if isinstance(key, str) else super().__contains__(key)

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._by_name.keys()

    def values(self) -> ValuesView[Any]:
        """Return the shared variables."""
        return self._by_name.values()

    def items(self) -> ItemsView[str, Any]:
        """Return the names and the shared variables."""
        return self._by_name.items()


class Network:
    """The network of a definition, for one shape of input.

    Parameters
    ----------
    layer_defs : list of [str, dict]
        As :func:`arignote.nnets.definitions.read` returns it.
    shape : tuple of int
        Shape of one example of the data.
    seed, dropout_seed : int
        Seeds of the initial weights and of dropout.
    stored : dict of str to array, optional
        All parameters and buffers, to use instead of initial ones.
    classes : sequence, optional
        The labels of the classes, in order; by default labels are class numbers.

    Attributes
    ----------
    layers_train : list of Layer
        The network that is trained.
    layers_inf : list of Layer
        Its deterministic twin, which predicts; the same parameters.
    params : dict of str to shared variable
        All parameters and buffers, by names such as ``fc1.W``.
    tags : dict of str to ParamTags
        The role of each in training.
    x, y, position : symbolic
        A batch of examples, its labels, and its position: (epoch, batch, shard).
    """

    def __init__(
        self,
        layer_defs: list,
        shape: Sequence[int],
        seed: int,
        dropout_seed: int,
        stored: Mapping[str, np.ndarray] | None = None,
        classes: Sequence | None = None,
    ):
        self.classes = None if classes is None else np.array(classes)
        self.layer_defs, self.seed, self.dropout_seed = layer_defs, seed, dropout_seed
        self._functions: dict[tuple, Any] = {}
        self.position = tensor.lvector("position")
        context = BuildContext(seed, dropout_seed, self.position, stored)
        self.layers_train = [definitions.make_layer(definition) for definition in layer_defs]
        shape, layout = tuple(shape), "bc01"
        for layer in self.layers_train:
            layer.connect(shape, layout, context)
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

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of an example, as the network computes with it."""
        return self.input_layer.output_shape

    @property
    def readable_shape(self) -> tuple[int, ...]:
        """Shape in which images should be read: as the network was built for them, or as it computes with them."""
        built_for = self.input_layer.input_shape
        return built_for if len(built_for) == 3 else self.example_shape

    def spec(self) -> dict[str, Any]:
        """Return the arguments of a `Network` with the same layers and parameters, as plain data."""
        return {
            "layer_defs": self.layer_defs,
            "shape": self.input_layer.input_shape,
            "seed": self.seed,
            "dropout_seed": self.dropout_seed,
            "stored": self.get_values(),
            "classes": None if self.classes is None else self.classes.tolist(),
        }

    # -- parameters --------------------------------------------------------------------------------------------------

    @cached_property
    def params(self) -> dict[str, Any]:
        return {param.name: param for layer in self.layers_train for param in layer.params.values()}

    @cached_property
    def tags(self) -> dict[str, ParamTags]:
        return {layer.params[name].name: layer.tags[name] for layer in self.layers_train for name in layer.params}

    @property
    def trainable(self) -> list[Any]:
        """The parameters that training changes by their gradients."""
        return [param for name, param in self.params.items() if self.tags[name].trainable]

    def buffer_updates(self) -> list[tuple[Any, Any]]:
        """Return the pairs (buffer, new symbolic value) of a training step."""
        pairs = []
        for layer in self.layers_train:
            for name, value in layer.buffer_updates().items():
                buffer = layer.params[name]
                pairs.append((buffer, tensor.cast(value, buffer.dtype)))
        return pairs

    def get_values(self) -> dict[str, np.ndarray]:
        """Return copies of all parameters and buffers."""
        return {name: param.get_value() for name, param in self.params.items()}

    def require_names(self, names: Iterable[str], what: str) -> None:
        """Refuse names of which this network has no parameter; see `require_values`."""
        for name in names:
            if name not in self.params:
                raise ValueError(
                    f"got the parameter {name!r} from {what}; need one of this network; "
                    f"{checks.suggestion(name, self.params)}"
                )

    def require_values(self, values: Mapping[str, np.ndarray], what: str) -> None:
        """Refuse values by name for which this network has no parameter, or one of another shape.

        Raises
        ------
        ValueError
            `what` says where the values come from.
        """
        for name, value in values.items():
            self.require_names([name], what)
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

    def start_from(self, values: Mapping[str, np.ndarray]) -> None:
        """Set parameters by name before training; one number stands for all of a parameter."""
        self.require_names(values, "the definition")
        shapes = {name: self.params[name].get_value(borrow=True).shape for name in values}
        filled = {name: np.broadcast_to(v, shapes[name]) if np.ndim(v) == 0 else v for name, v in values.items()}
        self.set_values(filled, "the definition")

    # -- losses ------------------------------------------------------------------------------------------------------

    def check_loss(self, name: str, what: str, trained: bool = False) -> str:
        """Return the name of a loss of the output layer, or refuse it.

        Parameters
        ----------
        name : str
        what : str
            Name of the argument, for the message.
        trained : bool, optional
            Refuse a loss that has no gradient; by default False.
        """
        output = self.output_layer
        name = objectives.ALIASES.get(name, name) if isinstance(name, str) else name
        if trained and name in output.losses() and name not in output.trainable_losses():
            default = output.trainable_losses()[0]
            raise ValueError(f'got {what}="{name}", which has no gradient; need a smooth loss; try {what}="{default}"')
        return checks.choice(name, output.trainable_losses() if trained else output.losses(), what)

    def loss(self, name: str, training: bool = False, targets: Any = None):
        """Return a loss, symbolic, of the training network or of its deterministic twin, for `y` or other targets."""
        layers = self.layers_train if training else self.layers_inf
        labels = self.y if targets is None else tensor.cast(targets, self.y.dtype)
        value = cast(OutputLayer, layers[-1]).loss(name, labels)
        if getattr(value, "ndim", 0) != 0:
            raise ValueError(f"got the loss {name!r} with {value.ndim} axes; need one number a batch; try .mean()")
        return tensor.cast(value, engine.float_type())

    def weight_decay(self, power: int):
        """Return the sum of ``l1 * abs(W)`` (1) or ``l2 * W**2`` (2) of all weights, symbolic, or 0."""
        factors = {param: self.decay(param)[power - 1] for param in self.params.values()}
        return sum(factor * (abs(param) ** power).sum() for param, factor in factors.items() if factor)

    def penalty(self):
        """Return what all layers add to the training loss in addition to weight decay, symbolic, or 0."""
        return sum(layer.penalty() for layer in self.layers_train)

    def decay(self, param) -> tuple[float, float]:
        """Return the factors (l1, l2) of a parameter's weight decay."""
        tags = self.tags[param.name]
        return tags.l1, tags.l2

    def constrain(self, param, value):
        """Return the value to store for an updated parameter."""
        return self.tags[param.name].constrain(value)

    # -- data --------------------------------------------------------------------------------------------------------

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Return True if examples of this shape can be reshaped for the input layer."""
        return self.input_layer.accepts(shape)

    @property
    def dtype(self) -> np.dtype:
        """The type of features that the network computes with."""
        return np.dtype(self.x.dtype)

    def prepare_features(self, X: np.ndarray) -> np.ndarray:
        """Return a batch of examples in the shape and dtype that the network computes with.

        Raises
        ------
        ValueError
            If the examples have another shape than the network was built for, or are not numbers.
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

    def prepare_labels(self, labels: np.ndarray, first_row: int = 0) -> np.ndarray:
        """Return labels as the network takes them, or refuse them, naming a row counted from `first_row`."""
        if self.classes is not None:
            labels = encode(labels, self.classes, first_row)
        return self.output_layer.prepare_labels(labels, first_row)

    def check_labels(self, labels: np.ndarray) -> np.ndarray:
        """Return labels that were prepared before, and perhaps changed by an augmentation since, or refuse them."""
        return self.output_layer.prepare_labels(labels)

    # -- compiled functions ------------------------------------------------------------------------------------------

    @cached_property
    def predict_batch(self) -> Callable[[np.ndarray], np.ndarray]:
        """Compiled: the output for a batch of examples."""
        return engine.function([self.x], self.output_layer.output)

    def compiled_losses(self, names: tuple[str, ...]) -> Any:
        """Return a compiled function of a batch that returns some losses of the deterministic network."""

        def compile_losses() -> Any:
            losses = [self.loss(name) for name in names]
            return engine.function([self.x, self.y], losses, on_unused_input="ignore")

        return self._compiled(("losses", names), compile_losses)

    def compiled_step(self, sgd: SGD, train_loss: str) -> Any:
        """Return the compiled training step: a function of a batch, its position and the inputs of the update rule."""

        def compile_step() -> Any:
            loss = self.loss(train_loss, training=True)
            updates = sgd.updates(loss + self.penalty(), self.trainable, self.constrain, self.decay)
            inputs = [self.x, self.y, self.position, *sgd.inputs]
            return engine.function(inputs, loss, updates=updates + self.buffer_updates(), on_unused_input="ignore")

        return self._compiled(("training step", sgd, train_loss), compile_step)

    def _compiled(self, key: tuple, compile_function: Callable[[], Any]) -> Any:
        if key not in self._functions:
            logger.info("Compiling the %s.", key[0])
            self._functions[key] = compile_function()
        return self._functions[key]


def connect_expressions(layers: Sequence[Layer], x) -> None:
    """Connect the layers' expressions, from `x` on; each layer gets its `output`."""
    for layer in layers:
        layer.output = x = layer.expression(x)
