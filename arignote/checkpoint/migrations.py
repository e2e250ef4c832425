"""States of earlier versions, brought to the current one step by step.

The first Arignote's checkpoints are read by :mod:`arignote.checkpoint.first_arignote`, which makes a state of version
1.
"""

from collections.abc import Callable, Mapping
from typing import Any

from arignote.checkpoint.state import VERSION
from arignote.util import checks


def migrate(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state of the current version; the one given is left as it is.

    Raises
    ------
    ValueError
        If a newer Arignote wrote it, or it has no version.

    Examples
    --------
    >>> old = {"state_version": 1, "name": "mine", "layer_defs": [], "trainer": None}
    >>> migrate(old)
    {'state_version': 4, 'name': 'mine', 'layer_defs': [], 'run': None, 'classes': None, 'columns': None, \
'has_copied_params': False}
    """
    version = state.get("state_version")
    if type(version) is not int or version not in (*MIGRATIONS, VERSION):
        is_newer = isinstance(version, int) and version > VERSION
        advice = "a newer Arignote, pip install --upgrade arignote" if is_newer else "a copy of the file"
        raise ValueError(
            f"got a state of version {checks.brief(version)}; need version {VERSION} or an earlier one; try {advice}"
        )
    found = dict(state)
    while found["state_version"] != VERSION:
        found = MIGRATIONS[found["state_version"]](found)
    return found


def _from_version_1(state: dict[str, Any]) -> dict[str, Any]:
    """A training run was called trainer, and callbacks were called hooks; the first states had none."""
    run = state.pop("trainer")
    if run is not None:
        run = dict(run)
        run["callbacks"] = run.pop("hooks", {})
    return state | {"state_version": 2, "run": run}


def _from_version_2(state: dict[str, Any]) -> dict[str, Any]:
    """Labels were class numbers, features had no names, and nothing was known of the data."""
    run = state["run"]
    if run is not None:
        sgd = dict(run["sgd"]) | {"pending_rules": {}}
        run = dict(run) | {"sgd": sgd, "data": {}}
    return state | {"state_version": 3, "run": run, "classes": None, "columns": None}


def _from_version_3(state: dict[str, Any]) -> dict[str, Any]:
    """Pools left out windows that were cut off. Of the functions of a run, augmentation alone was known.

    The environment of a run was first unknown, and then a setting.
    """
    layers = [[name, IMPLIED_BEFORE_4.get(name, {}) | params] for name, params in state.get("layer_defs", ())]
    run = state["run"]
    if run is not None:
        settings = dict(run["settings"])
        augmentation, environment = settings.pop("augmentation", None), settings.pop("environment", {})
        settings["functions"] = {} if augmentation is None else {"augmentation": augmentation}
        run = dict(run) | {"environment": environment, "settings": settings}
    return state | {"state_version": 4, "layer_defs": layers, "run": run, "has_copied_params": False}


IMPLIED_BEFORE_4 = {"MaxPool2DLayer": {"ignore_border": True}}
"""Layer -> parameters that definitions of earlier versions did not have, and what they did."""


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _from_version_1, 2: _from_version_2, 3: _from_version_3,
}  # fmt: skip
"""Version of a state -> a function that returns it in the next version."""
