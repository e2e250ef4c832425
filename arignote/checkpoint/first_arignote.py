"""Checkpoints that the first Arignote wrote (``model_store_version`` 3.0), as states of today's classifier.

Such a file is two pickles: a dictionary that describes it, and a classifier with its layers, its trainer and its update
rule as objects. They are read as records, which run nothing, and taken apart here. Parameters, histories, learning rate
and momentum, their rules, and the velocities of "nag" are kept. Everything random continues from a new seed: the first
Arignote drew from generators that are not here any more.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from arignote.data.unpickle import PickleError, StoredObject

VERSION = "3.0"
LAYERS = (
    "InputLayer", "InputImageLayer", "FCLayer", "FCMaxoutLayer", "ConvLayer", "ConvMaxoutLayer", "MLPConvLayer",
    "DropoutLayer", "MaxPool2DLayer", "GlobalAveragePoolLayer", "MaxPoolChannelsLayer", "BC01ToC01BLayer",
    "C01BToBC01Layer", "ClassificationOutputLayer", "MultilabelOutputLayer", "SoftmaxOutputLayer",
)  # fmt: skip
CLASSES = (
    "arignote.nnets.nets.NNClassifier",
    "arignote.nnets.training.SupervisedTraining",
    "arignote.nnets.sgd_updates.SGD",
    "arignote.nnets.sgd_updates.Rule",
    *(f"arignote.nnets.layers.{name}" for name in LAYERS),
    "_io.StringIO",
    "datetime.datetime",
    "datetime.timedelta",
    "numpy.random._pickle.__randomstate_ctor",
    "numpy.random.__RandomState_ctor",
)
WITH_WEIGHTS = (
    "FCLayer", "FCMaxoutLayer", "ConvLayer", "ConvMaxoutLayer", "MLPConvLayer", "ClassificationOutputLayer",
)  # fmt: skip
# Arguments of layers that said how to compute, not what, or where to begin.
DROPPED_ARGUMENTS = (
    "n_in", "batch_size", "partial_sum", "may_train_unsupervised", "corruption_level", "load_params",
    "trainable_params", "W", "b", "bvis", "act_func_args", "act_func_args_vis",
)  # fmt: skip
# Arguments that every layer had, and that only layers with weights need.
OF_ALL = ("l1", "l2", "maxnorm", "fix_params")
# What an activation learns, in the order in which it was stored; the letter was its name.
LETTERS = {"a": "slope", "c": "shelf"}
LEARNED = tuple(LETTERS.values())
# The later convolutions of an mlpconv.
ONE_PIXEL = {"filter_shape": (1, 1)}


def knows(header: Any) -> bool:
    """Return whether the first pickle of a file says that the first Arignote wrote it."""
    return isinstance(header, dict) and header.get("model_store_version") == VERSION


def metadata(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return what describes a file as plain data: the log as text, the name of the class as text."""
    log = header.get("log")
    text = log.state[0] if isinstance(log, StoredObject) and isinstance(log.state, tuple) else log
    return dict(header) | {"log": text}


def state_of(model: Any) -> dict[str, Any]:
    """Return the state, of version 1, of the classifier that is equivalent to a stored one of the first Arignote.

    Parameters
    ----------
    model : StoredObject
        Of an ``NNClassifier``.

    Raises
    ------
    PickleError
        If it is something else.
    """
    if not isinstance(model, StoredObject) or not model.kind.endswith(".NNClassifier"):
        raise PickleError("got a file of the first Arignote without a classifier; need one")
    stored = model.state
    layers = [layer.state for layer in stored["layers_train"]]
    n_in = tuple(int(n) for n in stored["n_in"])
    names = [layer["name"] for layer in layers if "W" in layer["trainable_params"]]
    seed = int(stored["rng"][1][0])
    return {
        "state_version": 1,
        "layer_defs": definitions(stored["layer_defs"], names, n_in),
        "name": stored["name"],
        "batch_size": stored["batch_size"],
        "seed": seed,
        "dropout_seed": seed,
        "input_shape": n_in,
        "params": dict(_all_params(layers)),
        "trainer": _trainer(stored["trainer"].state, layers, stored["batch_size"]) if stored["trainer"] else None,
    }


# -- layers and parameters -------------------------------------------------------------------------------------------


def definitions(stored: Sequence, names: Sequence[str] | None, n_in: Sequence[int]) -> list[list]:
    """Return the definitions of layers without what nothing depends on any more.

    Parameters
    ----------
    stored : list
        Lists of a type and arguments, or layers.
    names : sequence of str or None
        Names of the layers with weights, in order, some of which the definitions do not have. If they are not known,
        those without a name are called by their number among the layers with weights.
    n_in : sequence of int
        Shape of an example.

    Raises
    ------
    PickleError
        If there are more or fewer layers with weights than names.
    """
    found = [_definition(entry) for entry in stored]
    weighted = with_weights(found)
    if names is None:
        names = [arguments.get("name", str(i)) for i, (_, arguments) in enumerate(weighted)]
    if len(weighted) != len(names):
        raise PickleError(f"got the parameters of {len(names)} layers for {len(weighted)} layers with weights")
    for (_, arguments), name in zip(weighted, names, strict=True):
        arguments["name"] = name
    if len(n_in) > 1 and found[0][0] != "InputImageLayer":  # layers without images took their pixels as a vector
        channels, *pixels = n_in if len(n_in) == 3 else (1, *n_in)
        images = ["InputImageLayer", {"name": "input", "n_images": channels, "n_pixels": pixels}]
        found = [images, *found[found[0][0] == "InputLayer" :]]
    return found


def with_weights(definitions: Sequence) -> list:
    """Return the definitions of those layers that learn."""
    return [entry for entry in definitions if entry[0] in WITH_WEIGHTS]


def _definition(entry: Any) -> list:
    """Return the definition of a layer without the arguments that nothing depends on any more."""
    if isinstance(entry, StoredObject):
        entry = [entry.kind, {name: value for name, value in entry.state.items() if value or name not in OF_ALL}]
    kind, arguments = entry[0], entry[1] if len(entry) > 1 else {}
    kind = kind.rpartition(".")[2].removesuffix("Layer") + "Layer"
    kept = {name: value for name, value in arguments.items() if name not in DROPPED_ARGUMENTS}
    if isinstance(kept.get("fix_params"), list | tuple):  # beginnings of names such as W_fc1
        kept["fix_params"] = [LETTERS.get(name[:1], name[:1]) for name in kept["fix_params"]]
    return [kind, {"ignore_border": False} | kept if kind == "MaxPool2DLayer" else kept]


def _all_params(layers: list[dict]) -> Iterator[tuple[str, np.ndarray]]:
    for layer in layers:
        for name, value in layer_params(layer, layer["trainable_params"]):
            yield f"{layer['name']}.{name}", value


def layer_params(layer: Mapping[str, Any], stored: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """Return the parameters of a layer by today's names, or other arrays that were stored in the same form."""
    if "W" not in stored:
        return
    if "maxout_k" in layer:  # a list of linear functions, which are one array today
        filters = [_filters(layer, W) for W in stored["W"]]
        yield "W", np.concatenate(filters, axis=1 if filters[0].ndim == 2 else 0)
        yield "b", np.concatenate(stored["b"])
    elif isinstance(stored["W"], list):  # an mlpconv: convolution after convolution
        for i, (W, b, learned) in enumerate(zip(stored["W"], stored["b"], stored["act_func_args"], strict=True)):
            yield from _one_layer(_filters(layer if i == 0 else ONE_PIXEL, W), b, learned, str(i))
    else:
        yield from _one_layer(_filters(layer, stored["W"]), stored["b"], stored.get("act_func_args"))


def _one_layer(W: np.ndarray, b: np.ndarray, learned: Sequence | None, suffix: str = "") -> Iterator:
    yield f"W{suffix}", W
    yield f"b{suffix}", b
    for name, values in zip(LEARNED, learned or [], strict=False):
        yield f"{name}{suffix}", values


def _filters(layer: Mapping[str, Any], W: np.ndarray) -> np.ndarray:
    """Return weights in today's form. Theano's convolution turned filters upside down; cuda-convnet's did not."""
    if W.ndim != 4:
        return W
    rows_and_columns = tuple(layer["filter_shape"])
    if W.shape[2:] != rows_and_columns and W.shape[1:3] == rows_and_columns:  # cuda-convnet: (channels, ..., filters)
        return np.ascontiguousarray(W.transpose(3, 0, 1, 2))
    return np.ascontiguousarray(W[:, :, ::-1, ::-1])


# -- training --------------------------------------------------------------------------------------------------------


def _trainer(stored: Mapping[str, Any], layers: list[dict], batch_size: int) -> dict[str, Any]:
    """Return the state of the training, at the beginning of the epoch that comes next."""
    sgd, losses = stored["sgd"].state, stored["loss_type"]
    test_losses = [losses["test"]] if isinstance(losses["test"], str) else list(losses["test"])
    n_updates, n_epochs = int(stored["iter"]) + 1, int(stored["epoch"])
    history = _history(stored, losses, test_losses, n_updates, n_epochs)
    best = float(stored["best_validation_loss"])
    # The parameters with the best loss are these, if it came last; else they are in another file, and unknown here.
    is_best = bool(history) and float(stored["last_validation_loss"]) == best
    return {
        "settings": {
            "n_epochs": int(stored["max_epochs"]),
            "batch_size": int(batch_size),
            "train_loss": losses["train"],
            "valid_loss": losses["valid"],
            "test_loss": test_losses,
            "validation_frequency": stored["validation_frequency"],
            "validate_on_train": bool(stored["validate_on_train"]),
        },
        "progress": {
            "epoch": n_epochs,
            "n_examples": int(stored["examples_seen"]),
            "best_loss": best if is_best else float("inf"),
            "best_epoch": history[-1]["epoch"] if is_best else 0.0,
        },
        "sgd": {
            "sgd_type": sgd["sgd_type"],
            "lr_rule": _rule(sgd["lr_rule"].state, sgd["learning_rate"], len(history), n_epochs),
            "momentum_rule": _rule(sgd["momentum_rule"].state, sgd["momentum"], len(history), n_epochs),
            "max_grad_norm": sgd["max_grad_norm"],
            "n_updates": n_updates,
            "arrays": dict(_velocities(sgd["stored_update_params"], layers)),
        },
        "history": history,
        "best_params": dict(_all_params(layers)) if is_best else None,
        "last_params": None,
    }


def _history(
    stored: Mapping[str, Any], losses: Mapping[str, str], test_losses: list[str], n_updates: int, n_epochs: int
) -> list[dict[str, float]]:
    """Return an entry for each validation. Losses were stored with the number of the minibatch before, from 0."""
    train = np.array([loss for _, loss in stored["train_loss"]])
    tests = {i: np.atleast_1d(values) for i, values in stored["test_loss"] or []}
    per_epoch = n_updates / max(n_epochs, 1)
    history, start = [], 0
    for i, valid in stored["valid_loss"] or []:
        entry = {"epoch": (i + 1) / per_epoch, "examples": (i + 1) * stored["examples_seen"] // n_updates}
        entry |= {f"train_{losses['train']}": float(train[start : i + 1].mean())}
        entry |= {f"valid_{losses['valid']}": float(valid)}
        if i in tests:
            entry |= {f"test_{name}": float(value) for name, value in zip(test_losses, tests[i], strict=True)}
        history.append(entry)
        start = i + 1
    return history


def _rule(stored: Mapping[str, Any], value: Any, n_validations: int, n_epochs: int) -> dict[str, Any]:
    names = ("rule", "initial_value", "final_value", "decrease_by", "multiply_by", "interval", "schedule")
    interval, best = stored["interval"], stored["best_valid"]
    stalled = stored["rule"] == "stalled"
    return {
        "definition": {name: stored[name] for name in names},
        "value": float(str(np.float32(value))),  # it was stored in single precision: 0.1, not 0.100000001
        "best": float("inf") if best is None else float(best),
        "waited": int(stored["epochs_since_best"]) if stalled else n_validations % (interval or n_validations or 1),
        "n_validations": n_validations,
        "n_scheduled": sum(epoch <= n_epochs for epoch in stored["schedule"] or []),
    }


def _velocities(stored: list[dict] | None, layers: list[dict]) -> Iterator[tuple[str, np.ndarray]]:
    """Return the velocities of "nag" by name. They were stored in the order of the parameters.

    Nothing if there are fewer, as with parameters that were fixed, or if another rule kept something else: its arrays
    start at zero.
    """
    values = [entry["velocity"] for entry in stored or [] if set(entry) == {"velocity"}]
    in_order = [array for layer in layers for array in _in_order(layer["trainable_params"])]
    if len(values) != len(in_order):
        return
    left = iter(values)
    for layer in layers:
        for name, value in layer_params(layer, _filled(layer["trainable_params"], left)):
            yield f"velocity {layer['name']}.{name}", value


def _in_order(stored: Mapping[str, Any]) -> Iterator[np.ndarray]:
    """Return the parameters of a layer in the order in which its update rule saw them."""
    if not stored:
        return
    learned = stored.get("act_func_args") or []
    if isinstance(stored["W"], list) and learned:
        for W, b, each in zip(stored["W"], stored["b"], learned, strict=True):
            yield from (W, b, *each)
    elif isinstance(stored["W"], list):
        yield from (*stored["W"], *stored["b"])
    else:
        yield from (stored["W"], stored["b"], *learned)


def _filled(stored: Mapping[str, Any], left: Iterator[np.ndarray]) -> dict[str, Any]:
    """Return what has the form of the parameters of a layer, made of the next arrays instead."""
    order = {id(array): next(left) for array in _in_order(stored)}

    def put(value: Any) -> Any:
        return [put(item) for item in value] if isinstance(value, list | tuple) else order[id(value)]

    kept = ("W", "b", "act_func_args")
    return {name: put(value) for name, value in stored.items() if name in kept and value is not None}
