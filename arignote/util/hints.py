"""Values that were read from a file, compared with type hints."""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np

from arignote.util.checks import brief

NAMES = {
    bool: "True or False", int: "a whole number", float: "a number", str: "text", NoneType: "None", list: "a list",
    dict: "a dictionary", tuple: "a tuple", np.ndarray: "an array of numbers",
}  # fmt: skip


def mismatch(value: Any, hint: Any, where: str) -> str | None:
    """Return in words where a value is not what a hint says, or None if it is.

    Parameters
    ----------
    value : object
        Plain data.
    hint : type
        Composed of bool, int, float, str, None, list, dict, tuple, arrays, unions and Any.
    where : str
        What the value is called.

    Examples
    --------
    >>> mismatch({"a": [1, 2.5]}, dict[str, list[int]], "sizes")
    "sizes['a'][1]=2.5, which is not a whole number"
    """
    if hint is Any:
        return None
    if get_origin(hint) in (Union, UnionType):
        return _in_union(value, get_args(hint), where)
    kind, inside = get_origin(hint) or hint, get_args(hint)
    if not _is(value, kind):
        return f"{where}={brief(value)}, which is not {NAMES[kind]}"
    for key, item, expected in _items(value, inside):
        found = mismatch(item, expected, f"{where}[{brief(key)}]")
        if found is not None:
            return found
    return None


def _in_union(value: Any, hints: tuple, where: str) -> str | None:
    """Return the mismatch with the member of a union that a value is closest to."""
    kinds = {get_origin(hint) or hint: hint for hint in hints}
    for kind, hint in kinds.items():
        if _is(value, kind):
            return mismatch(value, hint, where)
    return f"{where}={brief(value)}, which is not {' or '.join(NAMES[kind] for kind in kinds)}"


def _items(value: Any, inside: tuple) -> list[tuple[Any, Any, Any]]:
    """Return what a container holds, each with its key or index and with its hint."""
    if not inside:
        return []
    if isinstance(value, Mapping):
        of_key, of_item = inside
        return [(key, key, of_key) for key in value] + [(key, item, of_item) for key, item in value.items()]
    return [(i, item, inside[0]) for i, item in enumerate(value)]


def _is(value: Any, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int | np.integer) and not isinstance(value, bool)
    if kind is bool:
        return isinstance(value, bool | np.bool_)
    if kind is np.ndarray:
        return isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
    return isinstance(value, kind)
