"""Functions that users write for augmentation: which arguments they take, and how they are called."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from arignote.util import checks

Augmentation = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], tuple[np.ndarray, np.ndarray]]

BY_NAME = ("epoch", "rng")
"""Arguments that a function gets by name, if it has parameters of these names."""
LABELS = ("y", "train_y", "labels", "targets")
"""What a second parameter with a default is called if it takes the labels."""


def as_augmentation(given: Callable | Sequence[Callable]) -> Augmentation:
    """Return ``f(X, y, epoch, rng)``, which calls a function with those of the arguments that it takes.

    Parameters
    ----------
    given : callable, or list of callable
        Takes ``X``, or ``X, y``, and in addition ``epoch`` and ``rng``, by their names, if it has them; or these four
        by position. A function of `X` alone returns new features, any other a pair of features and labels. The
        functions of a list are applied in order.

    Raises
    ------
    TypeError
        If it is no function, or takes other arguments.

    Examples
    --------
    >>> as_augmentation(lambda X, epoch: X + epoch)(np.ones(2), "labels", 3, None)
    (array([4., 4.]), 'labels')
    """
    if isinstance(given, list | tuple):
        return pipeline(*given)
    if not callable(given):
        raise TypeError(
            f"got augmentation={checks.brief(given)}; need a function; try def augmentation(X, y, epoch, rng): "
            "return X, y"
        )
    n_positional, names = _arguments(given)
    if n_positional == 4:
        return given
    if n_positional not in (1, 2):
        raise TypeError(
            f"got augmentation with {n_positional} arguments{' beside ' * bool(names)}{' and '.join(names)}; need "
            "f(X), f(X, y) or f(X, y, epoch, rng); try def augmentation(X, y, epoch, rng): return X, y"
        )

    def augment(X: Any, y: Any, epoch: int, rng: np.random.Generator) -> tuple[Any, Any]:
        values = dict(zip(BY_NAME, (epoch, rng), strict=True))
        named = {name: values[name] for name in names}
        return (given(X, **named), y) if n_positional == 1 else given(X, y, **named)

    return augment


def pipeline(*augmentations: Any) -> Augmentation:
    """Compose several augmentations of any form that `fit` takes, applied in order.

    Examples
    --------
    >>> augmentation = pipeline(lambda X: 2 * X, lambda X: X + 1)
    >>> augmentation(np.ones(2), np.zeros(2), 1, None)[0]
    array([3., 3.])
    """
    augmentations = tuple(map(as_augmentation, augmentations))

    def augment(X: Any, y: Any, epoch: int, rng: np.random.Generator) -> tuple[Any, Any]:
        for augmentation in augmentations:
            X, y = pair(augmentation(X, y, epoch, rng))
        return X, y

    return augment


def pair(found: Any) -> tuple[Any, Any]:
    """Return what an augmentation returned; refuse anything but a pair."""
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise TypeError(
            f"got {type(found).__name__} from the augmentation; need a pair of features and labels; try return X, y"
        )
    return found[0], found[1]


def _arguments(function: Callable) -> tuple[int, list[str]]:
    """Return how many arguments a function takes by position, 4 for all, and which of `BY_NAME` by name."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # some C functions have no signature
        return 1, []
    bound = function.keywords if isinstance(function, partial) else {}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    own = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    names = [name for name in BY_NAME if name not in bound and (takes_any or name in own)]
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if [p.name for p in by_position[2:]] == list(BY_NAME) == names:
        return 4, []
    places = [p for p in by_position if p.name not in names]
    n_needed = sum(p.default is p.empty for p in places)
    takes_more = any(p.kind is p.VAR_POSITIONAL for p in parameters) and bool(names)
    takes_labels = n_needed == 1 and len(places) > 1 and places[1].name in LABELS
    return max(n_needed, 2) if takes_more or takes_labels else n_needed, names
