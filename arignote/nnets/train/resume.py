"""What must be the same when a training run is resumed, and what may change."""

import inspect
import logging
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np

from arignote.checkpoint.migrations import IMPLIED_BEFORE_4
from arignote.data.fingerprint import Fingerprint, differences, fingerprint
from arignote.data.labels import LabelSummary
from arignote.data.loader import Loader
from arignote.nnets.schedules import Rule
from arignote.nnets.train import environment
from arignote.nnets.train.inputs import SHUFFLED, STORED
from arignote.nnets.train.state import Trainer
from arignote.util import checks

logger = logging.getLogger(__name__)

CHANGEABLE = ("lr_rule", "momentum_rule")
"""Arguments of `fit` that ``change`` can name."""

SPLITS = {"train": "training data", "valid": "validation data", "test": "test data"}
"""The data that have a fingerprint, and what they are called."""


LONGEST = 300
"""Characters of the description of a function."""


class ResumeWarning(UserWarning):
    """A training run is resumed with other arguments or data than it began with."""


def require_same_network(given: Any, stored: Any) -> None:
    """Refuse to resume the training of another network than the one that was defined.

    Parameters
    ----------
    given, stored : NNClassifier
        The one that the program made, and the one in the checkpoint.

    Raises
    ------
    ValueError
        With a list of the differences.
    """
    wrong = [
        f"layer {i} {_layer(one)} (stored: {_layer(other)})"
        for i, (one, other) in enumerate(_paired(given.layer_defs, stored.layer_defs))
        if one != other and not (one and other and one == _without_implied(other))
    ]
    if given.built and stored.built and given.network.input_layer.input_shape != stored.network.input_layer.input_shape:
        shapes = [each.network.input_layer.input_shape for each in (given, stored)]
        wrong.append(f"n_in={shapes[0]} (stored: {shapes[1]})")
    if wrong:
        raise ValueError(
            f"got a network that differs from the one in the checkpoint: {'; '.join(wrong)}; need the same layers to "
            "resume; try another checkpoint name, or the stored network with files.checkpoint_read"
        )


def _paired(one: Sequence, other: Sequence) -> list[tuple[Any, Any]]:
    """Return the entries of two lists side by side; None where a list is shorter."""
    n = max(len(one), len(other))
    return [(one[i] if i < len(one) else None, other[i] if i < len(other) else None) for i in range(n)]


def _without_implied(definition: Sequence) -> list:
    """Return a definition without the parameters that today's script need not have for a run of an earlier version."""
    name, params = definition
    implied = IMPLIED_BEFORE_4.get(name, {})
    return [name, {key: value for key, value in params.items() if key not in implied or implied[key] != value}]


def _layer(definition: Sequence | None) -> str:
    return "none" if definition is None else f"{definition[0]} {definition[1]}"


def fingerprints(loader: Loader, labels: Mapping[str, LabelSummary]) -> dict[str, Fingerprint]:
    """Return the fingerprint of each split that counts, with the checksum of its labels."""
    return {name: fingerprint(loader.splits[name], labels[name].checksum) for name in SPLITS if name in loader.splits}


def check_data(
    stored: Mapping[str, Fingerprint], found: Mapping[str, Fingerprint], data_check: bool | str, where: str
) -> None:
    """Refuse other data than a run was stopped on, or warn of them.

    Parameters
    ----------
    stored, found : dict of str to Fingerprint
        By the names of splits. A run of an earlier version has none.
    data_check : bool or "warn"
    where : str
        The position of the run, for the message.
    """
    if not stored or data_check is False:
        return
    wrong = []
    for split, called in SPLITS.items():
        if split in stored and split in found:
            wrong += [f"{called}: {', '.join(each)}" for each in [differences(stored[split], found[split])] if each]
        elif split in stored and split == "valid":
            wrong.append("no validation data")
        elif split in found and split == "valid":
            wrong.append("validation data, which it did not have")
    if not wrong:
        return
    got = f"got other data than this training was stopped on, {where} ({'; '.join(wrong)})"
    if data_check == "warn":
        warnings.warn(f"{got}; it continues with them", ResumeWarning, stacklevel=4)
        return
    raise ValueError(
        f"{got}; need the same data to resume; try a new NNClassifier, with set_trainable_params to start from this "
        "one's parameters, or fit(..., data_check=False) to continue this training on other data"
    )


def compare_settings(
    trainer: Trainer, given: Mapping[str, Any], chosen: Mapping[str, Any], change: Sequence[str]
) -> None:
    """Warn of arguments that differ from what is stored with a run, which keeps its own.

    Parameters
    ----------
    trainer : Trainer
    given : dict
        Arguments of `fit` that were given.
    chosen : dict
        Arguments of the constructor that were given, and their stored values: name -> (given, stored).
    change : sequence of str
        Arguments that may change.
    """
    settings, sgd = trainer.settings, trainer.sgd
    rules = {name: sgd.pending_rules.get(name, getattr(sgd, name)).definition() for name in CHANGEABLE}
    shuffle = {SHUFFLED: True, STORED: False}.get(settings.order, "as it was")
    stored = vars(settings) | rules
    stored |= {"sgd_type": sgd.sgd_type, "sgd_max_grad_norm": sgd.max_grad_norm, "shuffle": shuffle}
    read = {name: Rule.read(value, name).definition() if name in CHANGEABLE else value for name, value in given.items()}
    pairs = {name: (value, stored[name]) for name, value in read.items() if name not in change} | dict(chosen)
    differing = [f"{name}={now!r} (stored: {was!r})" for name, (now, was) in pairs.items() if not _equal(now, was)]
    if differing:
        advice = "a new NNClassifier with set_trainable_params to start over"
        changeable = [name for name in CHANGEABLE if not _equal(*pairs.get(name, (0, 0)))]
        advice = f"fit(..., change={changeable}) if that is meant, or {advice}" if changeable else advice
        warnings.warn(
            f"got other arguments than the training that is resumed, which keeps its own: {', '.join(differing)}; "
            f"try {advice}", ResumeWarning, stacklevel=5,
        )  # fmt: skip


def describe_functions(loader: Loader) -> dict[str, str]:
    """Return the names of the functions that change the data of a run, to recognize them when it is resumed."""
    augmentation = loader.augmentation
    used = {"augmentation": tuple(augmentation) if isinstance(augmentation, list) else augmentation}
    for name, data in ((name, loader.splits[name]) for name in SPLITS if name in loader.splits):
        used |= {f"alter_features of the {SPLITS[name]}": data.alter_features}
        used |= {f"alter_labels of the {SPLITS[name]}": data.alter_labels}
    return {name: describe_function(function) for name, function in used.items()}


def compare_functions(stored: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Warn of other functions than a run began with, which are used from now on, since functions are not stored."""
    for name, was in stored.items():
        used = now.get(name, was)
        if used != was:
            warnings.warn(
                f"got {name}={used} for a training that had {was}; it continues with {used}; try the same one",
                ResumeWarning, stacklevel=5,
            )  # fmt: skip


def note_environment(trainer: Trainer, now: dict[str, str]) -> None:
    """Note threads, versions and kernels with a run, and log which of them are not as they were."""
    differing = environment.differences(trainer.environment, now)
    if differing:
        logger.warning("Resuming with %s: results may differ in the last bits.", differing)
    trainer.environment = now


def describe_function(function: Any) -> str:
    """Return the name of a function with the values that it keeps, to recognize it when a run is resumed.

    Examples
    --------
    >>> def scale(factor):
    ...     return lambda X: factor * X
    >>> describe_function(None), describe_function(scale(2)), describe_function(scale(3))
    ('none', 'scale.<locals>.<lambda>(factor=2)', 'scale.<locals>.<lambda>(factor=3)')
    """
    return "none" if function is None else _described(function)[:LONGEST]


def _described(value: Any, depth: int = 3) -> str:
    """Return the name of a function, and what it keeps that is a number, text or a function itself."""
    if isinstance(value, tuple):
        return f"({', '.join(_described(each, depth) for each in value)})"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    kept: Mapping[Any, Any] = {}
    if isinstance(value, partial):
        value, kept = value.func, {**dict(enumerate(value.args)), **value.keywords}
    elif isinstance(value, FunctionType) and value.__closure__ is not None:
        kept = inspect.getclosurevars(value).nonlocals
    name = str(getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or type(value).__qualname__)
    shown = [f"{key}={_described(each, depth - 1)}" for key, each in kept.items()] if depth else []
    return f"{name}({', '.join(shown)})" if shown else name


def change_rules(trainer: Trainer, given: Mapping[str, Any], change: Sequence[str]) -> None:
    """Let new schedules take over from the next validation on; between two validations, at once."""
    sgd, progress = trainer.sgd, trainer.progress
    for name in change:
        rule = Rule.read(given[name], name)
        if rule.definition() != sgd.pending_rules.get(name, getattr(sgd, name)).definition():
            sgd.pending_rules[name] = rule
    if progress.loss_examples == 0:
        sgd.replace_rules(progress.epoch)


def check_change(change: Sequence[str] | str, given: Mapping[str, Any]) -> list[str]:
    """Return the names of the arguments to change, or refuse them."""
    names = [change] if isinstance(change, str) else list(change)
    for name in names:
        if name not in CHANGEABLE:
            raise ValueError(
                f"got change={names!r}; need arguments that may change while a training runs; "
                f"{checks.suggestion(name, CHANGEABLE)}"
            )
        if name not in given:
            raise ValueError(f"got change={names!r} without {name}; need the new one; try fit(..., {name}=...)")
    return names


def _equal(one: Any, other: Any) -> bool:
    """Return True if two settings are equal; metadata can contain arrays, whose comparison has no truth value."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return set(one) == set(other) and all(_equal(one[key], other[key]) for key in one)
    return bool(one == other)
