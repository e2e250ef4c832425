"""What a checkpoint holds: every field, listed once.

All of it is plain data: dicts, lists, numbers, text and arrays, each array under the name of its parameter. A change
of these lists, or of the meaning of a field, needs a new `VERSION` and a function in
:mod:`arignote.checkpoint.migrations`. A new setting with a default that means "as before" (a field of
:class:`~arignote.nnets.train.state.Settings`) needs neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

VERSION = 3


@dataclass
class _PlainState:
    """A list of fields that can be stored as a dictionary, and restored from it."""

    def to_plain(self) -> dict[str, Any]:
        """Return the fields as a dictionary. Arrays are not copied."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_plain(cls, state: Mapping[str, Any]) -> Self:
        """Return the state in a dictionary, which must have exactly these fields.

        Raises
        ------
        ValueError
            If a field is missing, or one is unknown.
        """
        known = {field.name for field in fields(cls)}
        wrong = [f"no {name}" for name in sorted(known - set(state))]
        wrong += [f"the unknown entry {name!r}" for name in sorted(map(str, set(state) - known))]
        if wrong:
            raise ValueError(f"got a {cls.__name__} with {', '.join(wrong)}; need its fields; try a copy of the file")
        return cls(**state)


@dataclass
class RunState(_PlainState):
    """The state of a training run, between two minibatches.

    Attributes
    ----------
    settings, progress : dict
        The fields of :class:`~arignote.nnets.train.state.Settings` and :class:`~arignote.nnets.train.state.Progress`.
    sgd : dict
        The optimizer: its update rule, learning-rate and momentum schedules, and arrays such as velocities, by name.
    history : list of dict
        One entry for each validation.
    best_params : dict of str to array, or None
        The parameters with the best validation loss so far.
    last_params : dict of str to array, or None
        The parameters to resume from, where the network was given the best ones instead.
    callbacks : dict of str to dict
        The state of each callback, by its name.
    data : dict of str to dict
        The fingerprint of the data of each split; see :mod:`arignote.data.fingerprint`.
    """

    settings: dict[str, Any]
    progress: dict[str, Any]
    sgd: dict[str, Any]
    history: list[dict[str, float]]
    best_params: dict[str, np.ndarray] | None
    last_params: dict[str, np.ndarray] | None
    callbacks: dict[str, dict[str, Any]]
    data: dict[str, dict[str, Any]]


@dataclass
class ModelState(_PlainState):
    """A network, and its training run, if there is one.

    Attributes
    ----------
    layer_defs : list of [str, dict]
        The complete definition.
    name : str
    batch_size : int or None
    seed, dropout_seed : int
    input_shape : tuple of int or None
        Shape of one example; None while the network is not built.
    classes : list or None
        The labels of the classes, in order; None if labels are class numbers.
    columns : list of str or None
        The names of the features, if the training data had them.
    params : dict of str to array, or None
        All parameters and buffers, by names such as ``fc1.W``.
    run : RunState or None
    """

    layer_defs: list
    name: str
    batch_size: int | None
    seed: int
    dropout_seed: int
    input_shape: tuple[int, ...] | None
    classes: list | None
    columns: list[str] | None
    params: dict[str, np.ndarray] | None
    run: RunState | None

    def to_plain(self) -> dict[str, Any]:
        plain = {"state_version": VERSION} | super().to_plain()
        return plain | {"run": None if self.run is None else self.run.to_plain()}

    @classmethod
    def from_plain(cls, state: Mapping[str, Any]) -> Self:
        """Return the state in a dictionary of the current version."""
        state = {name: value for name, value in state.items() if name != "state_version"}
        found = super().from_plain(state)
        found.run = None if found.run is None else RunState.from_plain(found.run)  # type: ignore[arg-type]
        return found
