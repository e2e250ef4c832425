"""The base classes of layers.

A custom layer is a class with one method::

    class ScaleLayer(Layer):
        def expression(self, x):
            return 2 * x

From then on ``["ScaleLayer"]`` works in a network's definition, as does ``[ScaleLayer]``. A layer that changes the
shape also defines `output_shape_for`. A layer with parameters defines `create_params`, and calls `add_param` there. A
layer with state that is not learned, such as a running mean, calls `add_buffer` there, and defines `buffer_updates`.
"""

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, ClassVar

import numpy as np

from arignote import engine
from arignote.engine import tensor
from arignote.util import checks, streams

LAYERS: dict[str, type["Layer"]] = {}
"""Every layer class that a definition can name. A subclass of `Layer` enters itself, unless it is `abstract`."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ParamTags:
    """The role of a parameter in training.

    Parameters
    ----------
    trainable : bool, optional
        True, the default, if training changes it by its gradient.
    l1, l2 : float, optional
        The training loss gains ``l1 * sum(abs(W)) + l2 * sum(W**2)``. By default 0.
    maxnorm : float, optional
        After each update, the norm along `incoming_axes` is at most this.
    incoming_axes : tuple of int, optional
        The axes that hold the incoming weights of one unit.
    is_buffer : bool, optional
        True for state that is not learned: see :meth:`Layer.add_buffer`.
    """

    trainable: bool = True
    l1: float = 0.0
    l2: float = 0.0
    maxnorm: float | None = None
    incoming_axes: tuple[int, ...] = ()
    is_buffer: bool = False

    def constrain(self, value):
        """Return a new, symbolic value of the parameter, scaled down to the maximal norm if there is one."""
        if self.maxnorm is None:
            return value
        squares = (value**2).sum(axis=self.incoming_axes, keepdims=True)
        # The floor keeps 0 / 0 out of units whose weights are all zero.
        return value * tensor.minimum(1, self.maxnorm / tensor.sqrt(tensor.maximum(squares, 1e-30)))


@dataclass
class BuildContext:
    """What the layers of a network share when it is built.

    Parameters
    ----------
    seed : int
        Seed of the initial weights.
    dropout_seed : int
        Seed of dropout masks.
    position : symbolic int64 vector of length 3
        Position of the minibatch: (epoch, batch, shard).
    stored : dict of str to array, optional
        Parameters of a stored network, by full name, to use instead of initial ones.
    """

    seed: int
    dropout_seed: int
    position: Any
    stored: Mapping[str, np.ndarray] | None = None


def _recorded(init: Callable) -> Callable:
    """Decorate the `__init__` of a layer, so that the layer knows the arguments that it was made with."""

    @wraps(init)
    def recording(self: Any, *args: Any, **kwargs: Any) -> None:
        if "arguments" not in vars(self):  # set by the class itself, before its base classes come
            given = inspect.signature(init).bind_partial(self, *args, **kwargs).arguments
            self.arguments = dict(list(given.items())[1:])
        init(self, *args, **kwargs)

    return recording


class Layer:
    """A layer of a network: shapes, an expression, and perhaps parameters.

    Parameters
    ----------
    name : str, optional
        For display, and as the first part of the names of the layer's parameters (``fc1.W``). By default the network
        gives one: ``short_name`` and a number.

    Attributes
    ----------
    input_shape, output_shape : tuple of int
        Shape of one example, (n_units,) or (channels, rows, columns), whatever the order in memory is.
    layout : {"bc01", "c01b"}
        Order of the axes of input images: b for batch, c for channel, 0 and 1 for row and column.
    params : dict of str to shared variable
        The layer's parameters and buffers, by their names in the layer (``W``, not ``fc1.W``).
    tags : dict of str to ParamTags
        The role of each in training.
    training : bool
        True in the network that is trained, False in its deterministic twin.
    output : symbolic
        The output of the layer.
    arguments : dict
        Those that the layer was made with, by name.
    """

    short_name: ClassVar[str] = "layer"
    training: bool = True
    input_shape: Shape
    output_shape: Shape
    context: BuildContext
    output: Any
    arguments: dict[str, Any]

    def __init_subclass__(cls, abstract: bool = False, **kwargs):
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _recorded(vars(cls)["__init__"])  # type: ignore[method-assign]
        known = LAYERS.get(cls.__name__)
        if known is not None and known.__module__.startswith("arignote.") and known.__module__ != cls.__module__:
            raise ValueError(
                f"got a layer class named {cls.__name__!r}, which is taken; need a name of your own; "
                f"try class My{cls.__name__}"
            )
        if not abstract:
            LAYERS[cls.__name__] = cls

    @_recorded
    def __init__(self, name: str | None = None):
        if name is not None and (not isinstance(name, str) or not name or "." in name):
            raise ValueError(f'got name={name!r}; need a text without "."; try name="fc1"')
        self.name = name
        self.params: dict[str, Any] = {}
        self.tags: dict[str, ParamTags] = {}
        self.layout = "bc01"

    # -- to be defined by a layer ------------------------------------------------------------------------------------

    def expression(self, x):
        """Return the output for an input `x`, a symbolic array of shape ``(n, *input_shape)`` in `layout` order."""
        raise NotImplementedError(f"{type(self).__name__} must define expression(self, x)")

    def output_shape_for(self, input_shape: Shape) -> Shape:
        """Return the shape of one example of the output. Call `self.refuse` for an input that does not fit."""
        return input_shape

    def output_layout(self) -> str:
        """Return the order of the output in memory; most layers keep that of their input."""
        return self.layout

    def create_params(self) -> None:
        """Call `add_param` for each parameter and `add_buffer` for each buffer. Shapes are known by now."""

    def buffer_updates(self) -> dict[str, Any]:
        """Return the new value of each buffer that a training step changes, symbolic, by its name in the layer.

        Called in the network that is trained, after `expression`. Where a minibatch is cut into shards, each shard
        computes a value, and the buffer becomes their mean, weighted by the numbers of rows.
        """
        return {}

    def penalty(self):
        """Return a symbolic penalty to add to the training loss, in addition to weight decay, or 0."""
        return 0

    # -- for use by a layer ------------------------------------------------------------------------------------------

    def add_param(
        self,
        name: str,
        value: np.ndarray | Callable[[np.random.Generator], np.ndarray],
        shape: Shape | None = None,
        tags: ParamTags = ParamTags(),
    ):
        """Create a parameter.

        Parameters
        ----------
        name : str
            Its name in the layer, e.g. "W".
        value : array, or callable
            Its initial value, or a function that draws it from a random generator of the parameter's own.
        shape : tuple of int, optional
            Shape of what the function returns, so that a stored parameter can be compared with it before memory is
            taken.
        tags : ParamTags, optional
            Its role in training; by default it is trained, without weight decay.

        Returns
        -------
        shared variable
        """
        if self.context.stored is not None:
            value = self._stored_param(name, shape if callable(value) else np.shape(value))
        elif callable(value):
            value = self._drawn(name, value, shape)
        value = np.ascontiguousarray(value, dtype=engine.float_type())
        self.params[name] = engine.shared(value, name=f"{self.name}.{name}")
        self.tags[name] = tags
        return self.params[name]

    def _drawn(self, name: str, draw: Callable[[np.random.Generator], np.ndarray], shape: Shape | None) -> np.ndarray:
        """Return initial values from a random generator of the parameter's own."""
        try:
            return draw(streams.generator(self.context.seed, f"initial {self.name}.{name}"))
        except (MemoryError, ValueError) as error:  # numpy raises ValueError where a size does not fit a number
            if shape is None or math.prod(shape) < 2**24:
                raise
            size = checks.human_size(8 * math.prod(shape))
            raise MemoryError(
                f"{self}: got {self.name}.{name} of shape {tuple(shape)}, {size} while it is drawn, more than this "
                "machine has; need smaller layers; try fewer units"
            ) from error

    def add_buffer(self, name: str, value: np.ndarray):
        """Create a buffer: state that is stored, exported and resumed like a parameter, but not learned.

        Parameters
        ----------
        name : str
            Its name in the layer, e.g. "mean".
        value : array
            Its initial value. Its new value after a training step comes from `buffer_updates`.

        Returns
        -------
        shared variable
        """
        return self.add_param(name, value, tags=ParamTags(trainable=False, is_buffer=True))

    def _stored_param(self, name: str, shape: Shape | None) -> np.ndarray:
        """Return a parameter of the stored network, which must have it, of the right shape."""
        full_name = f"{self.name}.{name}"
        value = (self.context.stored or {}).get(full_name)
        if not isinstance(value, np.ndarray):
            raise ValueError(f"got a stored network without {full_name}; need all parameters; try another file")
        if shape is not None and value.shape != tuple(shape):
            raise ValueError(
                f"got {full_name} of shape {value.shape} from the stored network; need {tuple(shape)}; "
                "try the same definition of the layer"
            )
        return value

    def refuse(self, need: str, attempt: str):
        """Raise the error for an input that this layer cannot take: what it needs, and what to try."""
        raise ValueError(f"{self}: got an input of shape {self.input_shape}; need {need}; try {attempt}")

    def require_images(self) -> None:
        """Refuse an input that is not (channels, rows, columns)."""
        if len(self.input_shape) != 3:
            self.refuse(
                "images of shape (channels, rows, columns)",
                'starting the network with ["InputImageLayer", {"n_images": 1, "n_pixels": (28, 28)}], '
                "and putting layers of images before dense layers",
            )

    def as_bc01(self, x):
        """Return input images in the order (batch, channel, row, column)."""
        return x.dimshuffle(3, 0, 1, 2) if self.layout == "c01b" and x.ndim == 4 else x

    def as_layout(self, x):
        """Return images, given as (batch, channel, row, column), in the order of the input."""
        return x.dimshuffle(1, 2, 3, 0) if self.layout == "c01b" and x.ndim == 4 else x

    # -- called by the network ----------------------------------------------------------------------------------------

    def connect(self, input_shape: Shape, layout: str, context: BuildContext) -> None:
        """Set the shapes of input and output, and create the parameters."""
        self.input_shape = tuple(input_shape)
        self.layout = layout
        self.context = context
        self.output_shape = tuple(self.output_shape_for(self.input_shape))
        if any(size < 1 for size in self.output_shape):
            self.refuse(f"one large enough to leave something (the output would be {self.output_shape})",
                        "smaller filters or pools, or larger images")  # fmt: skip
        self.create_params()

    def twin(self) -> "Layer":
        """Return a copy for the deterministic network, which shares this layer's parameters."""
        twin = copy.copy(self)
        twin.training = False
        return twin

    def __str__(self) -> str:
        return f'layer "{self.name}" ({type(self).__name__})' if self.name else type(self).__name__

    def __repr__(self) -> str:
        shapes = f" {self.input_shape} -> {self.output_shape}" if hasattr(self, "output_shape") else ""
        return f"<{self}{shapes}>"


class WeightLayer(Layer, abstract=True):
    """A layer with weights: weight decay, maximal norms and fixed parameters.

    Parameters
    ----------
    name : str, optional
    l1, l2 : float, optional
        The training loss gains ``l1 * sum(abs(W))`` and ``l2 * sum(W**2)``. By default 0.
    maxnorm : float, optional
        After each update, the incoming weights of a unit (a filter, in a convolution) whose Euclidean norm is larger
        are scaled down to this norm. Srivastava et al., JMLR 15 (2014), section 5.1.
    fix_params : bool or list of str, optional
        Training leaves all parameters alone (True), or those whose names begin with one of these texts.
    """

    def __init__(
        self,
        name: str | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        maxnorm: float | None = None,
        fix_params: bool | Sequence[str] = False,
    ):
        super().__init__(name)
        self.l1 = checks.number(l1, "l1", least=0)
        self.l2 = checks.number(l2, "l2", least=0)
        self.maxnorm = None if maxnorm is None else checks.number(maxnorm, "maxnorm", least=1e-12)
        if isinstance(fix_params, str):
            fix_params = [fix_params]
        if not isinstance(fix_params, bool) and not all(isinstance(name, str) for name in fix_params):
            raise ValueError(f'got fix_params={fix_params!r}; need True or a list of names; try fix_params=["W"]')
        self.fix_params = fix_params if isinstance(fix_params, bool) else list(fix_params)

    def add_param(self, name, value, shape=None, tags=ParamTags()):
        fixed = self.fix_params if isinstance(self.fix_params, bool) else name.startswith(tuple(self.fix_params))
        return super().add_param(name, value, shape, replace(tags, trainable=tags.trainable and not fixed))

    def add_weight(self, name: str, value, incoming_axes: tuple[int, ...], shape: Shape | None = None):
        """Create a parameter to which l1, l2 and maxnorm apply; `incoming_axes` hold the weights of one unit."""
        tags = ParamTags(l1=self.l1, l2=self.l2, maxnorm=self.maxnorm, incoming_axes=incoming_axes)
        return self.add_param(name, value, shape, tags)

    def connect(self, input_shape, layout, context):
        super().connect(input_shape, layout, context)
        for beginning in self.fix_params if isinstance(self.fix_params, list) else []:
            if not any(name.startswith(beginning) for name in self.params):
                raise ValueError(
                    f"{self}: got fix_params with {beginning!r}; need the beginning of a parameter's name; "
                    f"{checks.suggestion(beginning, self.params)}"
                )
