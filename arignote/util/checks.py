"""Validation of arguments. Each check returns the normalized value or raises an error "got X; need Y; try Z"."""

import difflib
import math
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 100, 100, 60


def brief(value: object) -> str:
    """Return a value as text for a message: short, and in a short time, whatever the value is.

    Examples
    --------
    >>> brief(list(range(1000)))
    '[0, 1, 2, 3, 4, 5, ...]'
    """
    return f"{_SHORT.repr(value):.200}"


def suggestion(word: object, known: Iterable[str]) -> str:
    """Return what to try instead of an unknown word: a known one, if one is spelled nearly so, and a list of all.

    Examples
    --------
    >>> suggestion("reul", ["relu", "tanh"])
    'try "relu" (known: relu, tanh)'
    >>> suggestion("swish", ["relu", "tanh"])
    'it is not available; try one of: relu, tanh'
    """
    known = sorted(known)
    near = _nearest(str(word).lower(), {name.lower(): name for name in known})
    listing = ", ".join(known)
    return f"it is not available; try one of: {listing}" if near is None else f'try "{near}" (known: {listing})'


def _nearest(word: str, known: Mapping[str, str]) -> str | None:
    """Return the value of the key that is spelled nearly as `word`. What all keys end with makes none alike."""
    ending = _common_ending(list(known))
    stems = {key.removesuffix(ending): name for key, name in known.items()}
    for spelled, names, cutoff in ((word.removesuffix(ending), stems, 0.7), (word, known, 0.85)):
        if close := difflib.get_close_matches(spelled, names, n=1, cutoff=cutoff):
            return names[close[0]]
    return None


def _common_ending(words: Sequence[str]) -> str:
    """Return what all words end with, such as "layer"; of one word or none, nothing."""
    if len(words) < 2:
        return ""
    columns = takewhile(lambda letters: len(set(letters)) == 1, zip(*(word[::-1] for word in words), strict=False))
    return "".join(letters[0] for letters in columns)[::-1]


def choice(value: object, known: Iterable[str], what: str) -> str:
    """Return `value` if it is one of the `known` words, else raise ValueError; `what` is its name in the message."""
    known = list(known)
    if isinstance(value, str) and value in known:
        return value
    raise ValueError(f"got {what} {brief(value)}; need one that exists; {suggestion(value, known)}")


def whole_number(value: Any, what: str, least: int = 1) -> int:
    """Return `value` as an int if it is an integer of at least `least`.

    Examples
    --------
    >>> whole_number(3.0, "n_units")
    3
    """
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or int(value) != value or value < least:
        raise ValueError(
            f"got {what}={brief(value)}; need a whole number of {least} or more; try {what}={max(least, 10)}"
        )
    return int(value)


def number(value: Any, what: str, least: float = -math.inf, below: float = math.inf) -> float:
    """Return `value` as a float if it is finite, at least `least` and less than `below`."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not least <= value < below:
        needed = "a finite number" + (f" of at least {least:g}" if least > -math.inf else "")
        needed += f" and less than {below:g}" if below < math.inf else ""
        example = max(least, 0.0) if below == math.inf else (max(least, 0.0) + below) / 2
        raise ValueError(f"got {what}={brief(value)}; need {needed}; try {what}={example:g}")
    return float(value)


def truth_value(value: Any, what: str) -> bool:
    """Return `value` if it is True or False.

    Examples
    --------
    >>> truth_value(True, "ignore_border")
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"got {what}={brief(value)}; need True or False; try {what}=True")
    return bool(value)


def pair(value: Any, what: str, least: int = 1) -> tuple[int, int]:
    """Return `value`, a pair of integers of at least `least` or one integer for both, as a tuple.

    Examples
    --------
    >>> pair([3, 5], "filter_shape")
    (3, 5)
    >>> pair(2, "pool_shape")
    (2, 2)
    """
    if isinstance(value, int | np.integer):
        value = (value, value)
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str) or len(value) != 2:
        raise ValueError(f"got {what}={brief(value)}; need two whole numbers (rows, columns); try {what}=(3, 3)")
    return whole_number(value[0], what, least), whole_number(value[1], what, least)


def human_size(n: int) -> str:
    """Return a number of bytes in human-readable form.

    Examples
    --------
    >>> human_size(1259200), human_size(40)
    ('1.3 MB', '40 bytes')
    """
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n} bytes"
