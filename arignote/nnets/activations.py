"""Activation functions, with the parameters they learn and the weights that suit them.

Each entry of :data:`ACTIVATIONS` describes one activation. :func:`register` adds a custom one. Layers
compute those that come with the library, bias included, by kernels: :mod:`arignote.ops.activate` has them again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from arignote.engine import sigmoid, tensor
from arignote.util import checks


@dataclass(frozen=True)
class Activation:
    """An activation function, its learned parameters, and the initial weights that suit it.

    Parameters
    ----------
    function : callable
        Called with the layer's linear output, and with each learned parameter by its name, shaped to fit. A maxout
        is called with a list of linear outputs instead.
    initialize : callable
        ``initialize(rng, shape, fan_in, fan_out)`` returns weights as a float64 array.
    learned : mapping of str to float, optional
        Parameters that are learned for each unit, with the value they start from.
    n_pieces : int, optional
        How many linear outputs of each unit the function takes, by default 1.
    """

    function: Callable
    initialize: Callable
    learned: Mapping[str, float] = field(default_factory=dict)
    n_pieces: int = 1


def he_normal(slope: float = 0.0) -> Callable:
    r"""Return an initializer for rectifiers: normal with variance ``2 / ((1 + slope**2) * fan_in)``.

    `slope` is the rectifier's slope for negative inputs. He, Zhang, Ren and Sun, arXiv:1502.01852, equation 15.
    """

    def initialize(rng, shape, fan_in, fan_out):
        return rng.normal(scale=np.sqrt(2 / ((1 + slope**2) * fan_in)), size=shape)

    return initialize


def glorot_uniform(gain: float = 1.0) -> Callable:
    """Return an initializer for saturating functions: uniform in ``+-gain * sqrt(6 / (fan_in + fan_out))``.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010,
    equation 16. The sigmoid is a tanh of four times less slope, hence gain 4.
    """

    def initialize(rng, shape, fan_in, fan_out):
        limit = gain * np.sqrt(6 / (fan_in + fan_out))
        return rng.uniform(-limit, limit, size=shape)

    return initialize


def linear(x):
    """Return `x`."""
    return x


def tanh(x):
    """Return the hyperbolic tangent."""
    return tensor.tanh(x)


def abstanh(x):
    """Return the absolute value of the hyperbolic tangent (Jarrett et al., ICCV 2009)."""
    return abs(tensor.tanh(x))


def relu(x):
    """Return ``max(x, 0)`` (Nair and Hinton, ICML 2010)."""
    return 0.5 * (x + abs(x))


def prelu(x, slope):
    """Return ``x`` where it is positive and ``slope * x`` elsewhere (He et al., arXiv:1502.01852)."""
    return 0.5 * ((1 + slope) * x + (1 - slope) * abs(x))


def prelu_shelf(x, slope, shelf):
    """Return ``max(x - shelf, 0) - slope * max(-(x + shelf), 0)``: a prelu with a flat part around zero."""
    return tensor.maximum(x - shelf, 0) - slope * tensor.maximum(-(x + shelf), 0)


def maxout(pieces):
    """Return the largest of several linear outputs (Goodfellow et al., arXiv:1302.4389)."""
    return reduce(tensor.maximum, pieces)


ACTIVATIONS: dict[str, Activation] = {
    "linear": Activation(linear, glorot_uniform()),
    "tanh": Activation(tanh, glorot_uniform()),
    "abstanh": Activation(abstanh, glorot_uniform()),
    "sigmoid": Activation(sigmoid, glorot_uniform(4.0)),
    "relu": Activation(relu, he_normal()),
    "prelu": Activation(prelu, he_normal(0.25), {"slope": 0.25}),
    "prelu_shelf": Activation(prelu_shelf, he_normal(0.25), {"slope": 0.25, "shelf": 0.05}),
    "maxout": Activation(maxout, he_normal(), n_pieces=5),
}
BUILT_IN = frozenset(ACTIVATIONS)

ALIASES = {"rec": "relu", "relu_max": "relu", "rec_para": "prelu", "sig": "sigmoid"}
"""Other names, those of the first Arignote -> today's."""


def register(
    function: Callable, name: str | None = None, initialize: Callable | None = None, learned: Mapping | None = None
) -> Callable:
    """Register a custom activation function by name, so that networks which use it can be stored and read.

    Parameters
    ----------
    function : callable
        ``function(x, **learned)``: symbolic in, symbolic out, of the same shape.
    name : str, optional
        By default the function's own name.
    initialize : callable, optional
        ``initialize(rng, shape, fan_in, fan_out)``; by default He et al.'s for rectifiers.
    learned : mapping of str to float, optional
        Parameters that each unit learns, and where they start.

    Returns
    -------
    callable
        `function`, so that this can be used as a decorator.

    Raises
    ------
    TypeError
        If `function` cannot be called.
    ValueError
        If it has no name (a lambda), or the name is taken by the library.

    Examples
    --------
    >>> @register
    ... def softsign(x):
    ...     return x / (1 + abs(x))
    >>> "softsign" in ACTIVATIONS
    True
    """
    if not callable(function):
        listing = ", ".join(sorted(ACTIVATIONS))
        raise TypeError(f"got activation {function!r}; need a function or a name; try one of: {listing}")
    name = str(name or getattr(function, "__name__", type(function).__name__))
    if name == "<lambda>":
        raise ValueError(
            "got a lambda as activation; need a function with a name, by which a stored network can find it again; "
            "try def my_activation(x): ..."
        )
    if name in BUILT_IN and ACTIVATIONS[name].function is not function:
        raise ValueError(f"got an activation named {name!r}, which is taken; need a name of your own; try my_{name}")
    if name not in BUILT_IN:
        ACTIVATIONS[name] = Activation(function, initialize or he_normal(), dict(learned or {}))
    return function


def standardize_activation_name(name: str) -> str:
    """Return today's name of an activation, written in any case or by a name of the first Arignote.

    Names that are not known are returned as they are.

    Examples
    --------
    >>> [standardize_activation_name(name) for name in ("rec", "ReLU", "rec_para", "mine")]
    ['relu', 'relu', 'prelu', 'mine']
    """
    lower = name.lower()
    known = ALIASES.get(lower, lower)
    return name if name in ACTIVATIONS or known not in ACTIVATIONS else known


def get_activation_func(name: str) -> Callable:
    """Return the function of an activation: symbolic in, symbolic out.

    Examples
    --------
    >>> get_activation_func("rec") is relu
    True
    """
    return find(name)[1].function


def find(activation: str | Callable) -> tuple[str, Activation]:
    """Return the name and the entry of an activation given by its name or as a function.

    Examples
    --------
    >>> find("relu")[0]
    'relu'
    """
    if isinstance(activation, str):
        name = standardize_activation_name(activation)
        return name, ACTIVATIONS[checks.choice(name, ACTIVATIONS, "activation")]
    for name, entry in ACTIVATIONS.items():
        if entry.function is activation:
            return name, entry
    register(activation)
    return find(activation)
