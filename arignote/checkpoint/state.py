"""What a checkpoint holds: every field, listed once.

All of it is plain data: dicts, lists, numbers, text and arrays, each array under the name of its parameter. A change
of these lists, or of the meaning of a field, needs a new `VERSION` and a function in
:mod:`arignote.checkpoint.migrations`. A new setting with a default that means "as before" (a field of
:class:`~arignote.nnets.train.state.Settings`) needs neither.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, Self, get_type_hints

import numpy as np

from arignote.util.checks import brief
from arignote.util.hints import mismatch

VERSION = 4


@dataclass
class PlainState:
    """A list of fields that can be stored as a dictionary, and restored from it."""

    def check(self) -> None:
        """Raise ValueError where a field is of the right type, and still makes no sense."""

    def to_plain(self) -> dict[str, Any]:
        """Return the fields as a dictionary. Arrays are not copied."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_plain(cls, state: Mapping[str, Any]) -> Self:
        """Return the state in a dictionary, which must have exactly these fields; those with a default can be missing.

        Raises
        ------
        ValueError
            If a field is missing, unknown, of another type, or absurd.
        """
        known = {field.name: field for field in fields(cls)}
        needed = {name for name, field in known.items() if field.default is field.default_factory is MISSING}
        wrong = [f"no {name}" for name in sorted(needed - set(state))]
        wrong += [f"the unknown entry {brief(name)}" for name in sorted(map(str, set(state) - set(known)))]
        hints = _hints(cls)  # type: ignore[arg-type]
        found = [mismatch(value, hints[name], name) for name, value in state.items() if name in known]
        wrong += [each for each in found if each is not None]
        if wrong:
            raise ValueError(f"got a {cls.__name__} with {', '.join(wrong)}; need its fields; try a copy of the file")
        made = cls(**state)
        made.check()
        return made


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def require(is_right: bool, what: str, need: str) -> None:
    """Raise ValueError unless a part of a state is right."""
    if not is_right:
        raise ValueError(f"got a stored state with {what}; need {need}; try a copy of the file")


@dataclass
class RuleState(PlainState):
    """A schedule.

    Attributes
    ----------
    definition : dict
        The arguments of :class:`~arignote.nnets.schedules.Rule`.
    value : float
        The present value.
    best : float
        The lowest validation loss so far.
    waited : int
        Validations since the last change or best loss.
    n_validations, n_scheduled : int
        Validations, and entries of the schedule that are over.
    """

    definition: dict[str, Any]
    value: float
    best: float
    waited: int
    n_validations: int
    n_scheduled: int

    def check(self) -> None:
        require(math.isfinite(self.value), f"the rate {self.value}", "a finite one")
        require(min(self.waited, self.n_validations, self.n_scheduled) >= 0, "a negative count", "0 or more")


@dataclass
class SGDState(PlainState):
    """The optimizer.

    Attributes
    ----------
    sgd_type : str
    lr_rule, momentum_rule : dict
        The fields of `RuleState`.
    max_grad_norm : float or None
    n_updates : int
    pending_rules : dict of str to dict
        Definitions of schedules that take over at the next validation.
    arrays : dict of str to array
        Those of the update rule, under names such as ``velocity fc1.W``.
    """

    sgd_type: str
    lr_rule: dict[str, Any]
    momentum_rule: dict[str, Any]
    max_grad_norm: float | None
    n_updates: int
    pending_rules: dict[str, dict[str, Any]]
    arrays: dict[str, np.ndarray]

    def check(self) -> None:
        require(self.n_updates >= 0, f"{self.n_updates} updates", "0 or more")
        unknown = set(self.pending_rules) - {"lr_rule", "momentum_rule"}
        require(not unknown, f"a schedule {brief(sorted(unknown))}", "lr_rule or momentum_rule")


@dataclass
class RunState(PlainState):
    """The state of a training run, between two minibatches.

    Attributes
    ----------
    settings, progress : dict
        The fields of :class:`~arignote.nnets.train.state.Settings` and :class:`~arignote.nnets.train.state.Progress`.
    sgd : dict
        The fields of `SGDState`.
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
    environment : dict of str to str
        Threads, versions and kernels that it was last trained with; see :mod:`arignote.nnets.train.environment`. Empty
        if nothing was trained, and for runs of earlier versions.
    """

    settings: dict[str, Any]
    progress: dict[str, Any]
    sgd: dict[str, Any]
    history: list[dict[str, float]]
    best_params: dict[str, np.ndarray] | None
    last_params: dict[str, np.ndarray] | None
    callbacks: dict[str, dict[str, Any]]
    data: dict[str, dict[str, Any]]
    environment: dict[str, str]

    def check(self) -> None:
        require(all("epoch" in entry for entry in self.history), "an entry of the history without epoch", "it in each")


@dataclass
class ModelState(PlainState):
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
    has_copied_params : bool
        True if parameters were copied from another network since this one was last trained.
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
    has_copied_params: bool
    params: dict[str, np.ndarray] | None
    run: Any

    def check(self) -> None:
        sizes = (*(self.input_shape or ()), self.batch_size or 1)
        require(min(sizes) >= 1, f"the input shape {self.input_shape} and batch size {self.batch_size}", "1 or more")
        require(isinstance(self.run, Mapping | RunState | None), f"the training {brief(self.run)}", "its fields")
        is_built = self.input_shape is not None
        require(is_built or self.run is None, "a training of a network that is not built", "the shape of its input")
        require(min(self.seed, self.dropout_seed) >= 0, "a negative seed", "0 or more")

    def to_plain(self) -> dict[str, Any]:
        plain = {"state_version": VERSION} | super().to_plain()
        return plain | {"run": self.run.to_plain() if isinstance(self.run, RunState) else None}

    @classmethod
    def from_plain(cls, state: Mapping[str, Any]) -> Self:
        """Return the state in a dictionary of the current version."""
        state = {name: value for name, value in state.items() if name != "state_version"}
        found = super().from_plain(state)
        found.run = None if found.run is None else RunState.from_plain(found.run)
        return found
