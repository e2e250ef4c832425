"""Read a network's definition: a list of ``[type]`` or ``[type, {parameters}]``, one entry a layer."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from arignote.nnets import activations
from arignote.nnets.layers import LAYERS, InputLayer, Layer, OutputLayer, WeightLayer
from arignote.nnets.layers.dense import ActivatedLayer
from arignote.util import checks

Definition = list[Any]
"""``[type name, {parameters}]``: plain data, complete, with the layer's name among the parameters."""

# Names and arguments of the first Arignote, in addition to today's.
ALIASES = {"MaxPoolChannelsLayer": {"k": "n_channels"}}
"""Layer -> its parameters under other names -> under today's."""
START_VALUES = ("W", "b", "act_func_args")
"""Parameters that say from which values weights, biases and what an activation learns start; see `start_values`."""
WITHOUT_EFFECT = ("batch_size", "partial_sum", "corruption_level", "may_train_unsupervised", "clip")
"""Parameters that tuned old hardware, or training without labels."""
OF_WEIGHTS = ("l1", "l2", "maxnorm", "fix_params")
"""Parameters that every layer takes; they say nothing of a layer without weights."""

EXAMPLE = '[["FCLayer", {"n_units": 100}], ["ClassificationOutputLayer", {"n_classes": 10}]]'


def read(layer_defs: Sequence) -> list[Definition]:
    """Check a network's definition, and return it as plain data in which nothing is left open.

    Parameters
    ----------
    layer_defs : list
        Each entry is a layer; or a list or tuple of a layer's type (its class, or its name, with or without "Layer" at
        the end) and, if need be, a dictionary of parameters. The input layer can be omitted.

    Returns
    -------
    list of [str, dict]

    Raises
    ------
    TypeError, ValueError
        If the definition is no list, or something in it is unknown, missing, or of a wrong kind.

    Examples
    --------
    >>> read([["FCLayer", {"n_units": 5}], ["ClassificationOutputLayer", {"n_classes": 3}]])[1]
    ['FCLayer', {'n_units': 5, 'name': 'fc1'}]
    """
    if isinstance(layer_defs, str | Mapping) or not isinstance(layer_defs, Sequence):
        raise TypeError(
            f"got layer definitions {checks.brief(layer_defs)}; need a list with an entry for each layer; try {EXAMPLE}"
        )
    if not layer_defs:
        raise ValueError(f"got no layers; need at least an output layer; try {EXAMPLE}")
    definitions = [_read_entry(i, entry) for i, entry in enumerate(layer_defs, start=1)]
    first = 1
    if not issubclass(LAYERS[definitions[0][0]], InputLayer):
        definitions.insert(0, ["InputLayer", {}])
        first = 0  # layers are counted as they were given
    _check_order([LAYERS[name] for name, _ in definitions])
    _give_names(definitions)
    for i, definition in enumerate(definitions, start=first):
        make_layer(definition, f"layer {i}")
    return definitions


def make_layer(definition: Definition, where: str = "layer") -> Layer:
    """Make the layer of one entry; `where` names the entry in messages."""
    type_name, params = definition
    try:
        return LAYERS[type_name](**params)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where} ({type_name} {params.get('name')!r}): {error}") from error


def known_shape(definitions: Sequence[Definition]) -> tuple[int, ...] | None:
    """Return the shape of an example, if the input layer says it."""
    layer = make_layer(definitions[0])
    return layer.known_shape if isinstance(layer, InputLayer) else None


def _read_entry(i: int, entry: Any) -> Definition:
    """Return one entry as [type name, parameters], checked as far as the signature of the layer goes."""
    if isinstance(entry, Layer):
        entry = [type(entry), entry.arguments]
    if isinstance(entry, str) or not isinstance(entry, Sequence) or not 1 <= len(entry) <= 2:
        raise ValueError(
            f"layer {i}: got {checks.brief(entry)}; need [type] or [type, {{parameters}}]; "
            'try ["FCLayer", {"n_units": 100}]'
        )
    layer_type, params = entry[0], entry[1] if len(entry) == 2 else {}
    if inspect.isclass(layer_type) and issubclass(layer_type, Layer):
        layer_type = layer_type.__name__
    if isinstance(layer_type, str) and layer_type not in LAYERS and f"{layer_type}Layer" in LAYERS:
        layer_type += "Layer"
    if not isinstance(layer_type, str) or layer_type not in LAYERS:
        raise ValueError(
            f"layer {i}: got the type {checks.brief(layer_type)}; need a layer; {checks.suggestion(layer_type, LAYERS)}"
        )
    if not isinstance(params, Mapping):
        raise ValueError(
            f"layer {i} ({layer_type}): got {checks.brief(params)}; need a dictionary of parameters; "
            'try {"name": "a"}'
        )
    if not isinstance(params.get("name"), str | None):
        raise ValueError(f'layer {i} ({layer_type}): got name={checks.brief(params["name"])}; need text; try name="a"')
    signature = inspect.signature(LAYERS[layer_type]).parameters
    params = _of_today(layer_type, params, signature)
    for name in params:
        if name not in signature:
            raise ValueError(
                f"layer {i} ({layer_type}): got the parameter {name!r}; need one that this layer takes; "
                f"{checks.suggestion(name, signature)}"
            )
    for name, parameter in signature.items():
        if parameter.default is parameter.empty and name not in params:
            raise ValueError(
                f'layer {i} ({layer_type}): got no {name}; need it; try ["{layer_type}", {{"{name}": 10}}]'
            )
    return [layer_type, {name: _plain(value, name, f"layer {i} ({layer_type})") for name, value in params.items()}]


def _of_today(layer_type: str, params: Mapping[str, Any], signature: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a layer under today's names, without start values and those that have no effect."""
    names = ALIASES.get(layer_type, {})
    ignored = (*WITHOUT_EFFECT, *OF_WEIGHTS, *(START_VALUES if issubclass(LAYERS[layer_type], WeightLayer) else ()))
    found = {names.get(name, name): value for name, value in params.items()}
    return {name: value for name, value in found.items() if name in signature or name not in ignored}


def start_values(layer_defs: Sequence, definitions: Sequence[Definition]) -> dict[str, np.ndarray]:
    """Return the values that definitions let parameters start from, by full names such as ``fc1.W``.

    Parameters
    ----------
    layer_defs : list
        As they were given.
    definitions : list
        What `read` returned for them.

    Examples
    --------
    >>> given = [["FCLayer", {"n_units": 2, "b": [1, 2]}], ["ClassificationOutputLayer", {"n_classes": 3}]]
    >>> start_values(given, read(given))
    {'fc1.b': array([1, 2])}
    """
    found: dict[str, np.ndarray] = {}
    for entry, definition in zip(layer_defs, definitions[len(definitions) - len(layer_defs) :], strict=True):
        given = entry.arguments if isinstance(entry, Layer) else dict(*entry[1:])
        layer = make_layer(definition)
        own = inspect.signature(type(layer)).parameters
        values = {name: given[name] for name in START_VALUES if given.get(name) is not None and name not in own}
        if not isinstance(layer, WeightLayer) or not values:
            continue
        learned = values.pop("act_func_args", ())
        names = list(layer._activation.learned) if isinstance(layer, ActivatedLayer) else []
        if len(learned) > len(names):
            raise ValueError(
                f"{layer}: got act_func_args={checks.brief(learned)}; need {len(names)}: {', '.join(names)}"
            )
        values |= learned if isinstance(learned, Mapping) else dict(zip(names, learned, strict=False))
        found |= {f"{layer.name}.{name}": np.asarray(value) for name, value in values.items()}
    return found


def _plain(value: Any, name: str, where: str) -> Any:
    """Return a parameter as plain data, which can be stored and read without running anything."""
    if name == "activation" and (callable(value) or isinstance(value, str)):
        return activations.find(value)[0] if callable(value) else activations.standardize_activation_name(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item, "", where) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item, "", where) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"{where}: got {name}={checks.brief(value)}; need numbers, text, lists or dictionaries, which can be stored; "
        "try a name, and looking it up in the layer"
    )


def _check_order(types: list[type[Layer]]) -> None:
    """Refuse a network that does not start with its only input and end with its only output."""
    for i, layer_type in enumerate(types):
        if i > 0 and issubclass(layer_type, InputLayer):
            raise ValueError(
                f"got a {layer_type.__name__} behind other layers; need it first; try moving it to the top"
            )
        if i < len(types) - 1 and issubclass(layer_type, OutputLayer):
            raise ValueError(f"got layers behind a {layer_type.__name__}; need it last; try moving it to the end")
    if not issubclass(types[-1], OutputLayer):
        raise ValueError(
            f"got a network that ends with a {types[-1].__name__}; need an output layer; "
            'try adding ["ClassificationOutputLayer", {"n_classes": 10}]'
        )


def _give_names(definitions: list[Definition]) -> None:
    """Give a name to each layer that has none, the same for the same definition; refuse names used twice."""
    taken = {params["name"] for _, params in definitions if params.get("name") is not None}
    for type_name, params in definitions:
        if params.get("name") is None:
            short, number = LAYERS[type_name].short_name, 1
            plain = short if short in ("input", "output") else f"{short}1"
            while plain in taken:
                number += 1
                plain = f"{short}{number}"
            params["name"] = plain
            taken.add(plain)
    names = [params["name"] for _, params in definitions]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"got the layer name {name!r} {names.count(name)} times; need different names; try {name!r} + '2'"
            )
