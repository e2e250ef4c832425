"""Parameters alone, as the first Arignote stored them: its model stores of version 1.0 and 2.0.

Version 2.0 is one pickle, a dictionary of "metadata", "params" (for each layer, its name and its arrays with their
names) and "param_update_rules". Version 1.0 is several: the metadata, then array after array. Metadata have
"init_params", from which the network can be built again. Layers have the same order in both, and so have the arrays of
a layer; a linear function of a maxout has an array of its own, and filters are upside down. See
:mod:`arignote.checkpoint.first_arignote`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from arignote.checkpoint.first_arignote import LETTERS, definitions, layer_params, with_weights
from arignote.data.unpickle import PickleError, StoredObject

# Types of the variables, which metadata list.
THEANO_TYPES = (
    "theano.tensor.type.TensorType", "theano.sandbox.cuda.type.CudaNdarrayType", "theano.gpuarray.type.GpuArrayType",
)  # fmt: skip
MAXOUT_K = 5  # where a definition does not say it
# How many arrays an activation learns for each unit.
N_LEARNED = {"prelu": 1, "rec_para": 1, "prelu_shelf": 2}
REORDERING = ("BC01ToC01BLayer", "C01BToBC01Layer")

Values = Iterator[tuple[str, np.ndarray]]


def knows(header: Any) -> bool:
    """Return whether the first pickle of a file says that it is a store of version 1.0 or 2.0."""
    return isinstance(header, dict) and str(metadata(header).get("model_store_version")) in ("1.0", "2.0")


def metadata(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return what describes a store as plain data: types as the names of their classes."""
    found = dict(header["metadata"] if isinstance(header.get("metadata"), dict) else header)
    if isinstance(found.get("params"), list | tuple):
        found["params"] = [
            tuple(map(_plain, entry)) if isinstance(entry, tuple) else entry for entry in found["params"]
        ]
    return found


def _plain(value: Any) -> Any:
    return value.kind if isinstance(value, StoredObject) else value


def arrays_behind(header: Mapping[str, Any], load: Callable[[], Any]) -> list[np.ndarray]:
    """Return the arrays that follow the first pickle, of which `load` returns the next one."""
    return [] if "metadata" in header else [np.asarray(load()) for _ in header["params"]]


# -- a network from a store ------------------------------------------------------------------------------------------


def state_of(header: Mapping[str, Any], behind: Sequence[np.ndarray]) -> dict[str, Any]:
    """Return the state, of version 1, of the classifier in a store. It has no training.

    Parameters
    ----------
    header : dict
        The first pickle.
    behind : list of array
        Those in the pickles that follow.

    Raises
    ------
    PickleError
        If the store does not say which layers the network has, or has other parameters.
    """
    found = metadata(header)
    init = found.get("init_params") or {}
    if "layer_defs" not in init:
        raise PickleError(
            "got a model store that does not define its layers; need a network to put its parameters into; "
            "try restore_model(filename, model=...)"
        )
    n_in = tuple(int(n) for n in np.atleast_1d(init["n_in"]))
    names = [name for name, arrays in header["params"] if arrays] if "metadata" in header else None
    layer_defs = definitions(init["layer_defs"], names, n_in)
    return {
        "state_version": 1,
        "layer_defs": layer_defs,
        "name": str(found.get("model_name") or "network"),
        "batch_size": init.get("batch_size"),
        "seed": 0,
        "dropout_seed": 0,
        "input_shape": n_in,
        "params": values_for(layer_defs, header, behind),
        "trainer": None,
    }


def values_for(layer_defs: Sequence, header: Mapping[str, Any], behind: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the parameters in a store by today's names, for layers of these definitions; their order counts.

    Layers without a name are called by their number among those with weights, from 0.

    Raises
    ------
    PickleError
        If there are more or fewer than these layers have.
    """
    layers = with_weights(layer_defs)
    values: dict[str, np.ndarray] = {}
    for i, ((kind, given), arrays) in enumerate(zip(layers, _by_layer(layers, header, behind), strict=True)):
        if len(arrays) != _n_arrays(kind, given):
            raise PickleError(f"got {len(arrays)} arrays for a {kind}; need {_n_arrays(kind, given)}")
        layer = dict(given) | ({"maxout_k": given.get("maxout_k", MAXOUT_K)} if _is_maxout(kind) else {})
        for name, value in layer_params(layer, _form(kind, layer, arrays)):
            values[f"{given.get('name', i)}.{name}"] = value
    return values


def _by_layer(layers: Sequence, header: Mapping[str, Any], behind: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Return the arrays of each layer with weights."""
    if "metadata" in header:
        found = [[array for _, array in arrays] for _, arrays in header["params"] if arrays]
        if len(found) != len(layers):
            raise PickleError(f"got a store of {len(found)} layers with weights; need {len(layers)}")
        return found
    counts = [_n_arrays(kind, arguments) for kind, arguments in layers]
    if len(behind) != sum(counts):
        raise PickleError(f"got a store of {len(behind)} parameters; need {sum(counts)}")
    ends = np.cumsum(counts)
    return [list(behind[end - n : end]) for end, n in zip(ends, counts, strict=True)]


def _is_maxout(kind: str) -> bool:
    return kind in ("FCMaxoutLayer", "ConvMaxoutLayer")


def _n_arrays(kind: str, arguments: Mapping[str, Any]) -> int:
    """Return how many arrays a layer has."""
    if _is_maxout(kind):
        return 2 * arguments.get("maxout_k", MAXOUT_K)
    default = "softmax" if kind == "ClassificationOutputLayer" else "prelu"
    n = 2 + N_LEARNED.get(str(arguments.get("activation", default)).lower(), 0)
    return n * (len(arguments["n_units"]) + 1) if kind == "MLPConvLayer" else n


def _form(kind: str, layer: Mapping[str, Any], arrays: list[np.ndarray]) -> dict[str, Any]:
    """Return the arrays of a layer in the form of a checkpoint of version 3.0."""
    if _is_maxout(kind):
        return {"W": arrays[: layer["maxout_k"]], "b": arrays[layer["maxout_k"] :]}
    if kind == "MLPConvLayer":
        n = len(arrays) // (len(layer["n_units"]) + 1)
        pieces = [arrays[i : i + n] for i in range(0, len(arrays), n)]
        Ws, bs, *_ = zip(*pieces, strict=True)
        return {"W": list(Ws), "b": list(bs), "act_func_args": [piece[2:] for piece in pieces]}
    return {"W": arrays[0], "b": arrays[1], "act_func_args": arrays[2:]}


# -- a store of a network --------------------------------------------------------------------------------------------


def store_of(state: Mapping[str, Any], described: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a store, version 2.0, of a classifier.

    Parameters
    ----------
    state : dict
        Its current state.
    described : dict
        More metadata.

    Raises
    ------
    PickleError
        If a layer has parameters that the first Arignote did not have.
    """
    layer_defs = state["layer_defs"][state["layer_defs"][0][0] == "InputLayer" :]
    layers: list[tuple[str, list]] = [("input", [])]
    rules: list[tuple[str, list]] = [("input", [])]
    for kind, arguments in layer_defs:
        if kind not in REORDERING:  # on a CPU there were none
            own = list(_first_arrays(kind, arguments, state["params"]))
            layers.append((arguments["name"], own))
            rule = {"maxnorm": arguments.get("maxnorm")} | (
                {"fixed": True} if arguments.get("fix_params") is True else {}
            )
            rules.append((arguments["name"], [rule for _ in own]))
    init = {"n_in": list(state["input_shape"]), "layer_defs": layer_defs, "name": state["name"],
            "batch_size": state["batch_size"], "stored_network": None}  # fmt: skip
    found = {"model_store_version": "2.0", "model_name": state["name"],
             "model_type": "<class 'arignote.nnets.nets.NNClassifier'>", "init_params": init}  # fmt: skip
    found["params"] = [(name, str(array.dtype), array.ndim) for _, own in layers for name, array in own]
    return {"metadata": found | dict(described), "params": layers, "param_update_rules": rules}


def _first_arrays(kind: str, arguments: Mapping[str, Any], params: Mapping[str, np.ndarray]) -> Values:
    """Return the arrays of a layer as the first Arignote named and ordered them."""
    layer = arguments["name"]
    values = {name.rpartition(".")[2]: value for name, value in params.items() if name.rpartition(".")[0] == layer}
    if values and not with_weights([(kind, arguments)]):
        raise PickleError(f"got a {kind} with parameters; need layers of the first Arignote; try checkpoint_write")
    if _is_maxout(kind):
        k = arguments.get("maxout_k", MAXOUT_K)
        for i, W in enumerate(np.split(values["W"], k, axis=1 if values["W"].ndim == 2 else 0)):
            yield f"W_{layer}_{i}", _turned(W)
        for i, b in enumerate(np.split(values["b"], k)):
            yield f"b_{layer}_{i}", b
        return
    for name, value in values.items():  # W, b, slope, shelf; of an mlpconv with a number behind
        plain = name.rstrip("0123456789")
        letter = {today: first for first, today in LETTERS.items()}.get(plain, plain)
        yield f"{letter}_{layer}{f'_internal{name[len(plain) :]}' if name != plain else ''}", _turned(value)


def _turned(W: np.ndarray) -> np.ndarray:
    """Return an array with its filters, if it has some, upside down."""
    return np.ascontiguousarray(W[:, :, ::-1, ::-1]) if W.ndim == 4 else W
