"""Small helpers for scripts, which the first Arignote had."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from arignote.engine import tensor
from arignote.util import streams


def is_listlike(value: Any) -> bool:
    """Return True for a sequence or an array with axes, but not for text.

    Examples
    --------
    >>> is_listlike([1]), is_listlike(np.ones(2)), is_listlike("ab"), is_listlike(3)
    (True, True, False, False)
    """
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes) and np.ndim(value) > 0


def is_floatlike(value: Any) -> bool:
    """Return True for what `float` takes.

    Examples
    --------
    >>> is_floatlike("1e3"), is_floatlike("a"), is_floatlike(None)
    (True, False, False)
    """
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def as_list(value: Any) -> list:
    """Return a list: of the items of what is like a list, or of the value alone.

    Examples
    --------
    >>> as_list((1, 2)), as_list("ab")
    ([1, 2], ['ab'])
    """
    return list(value) if is_listlike(value) else [value]


def flatten(items: Iterable) -> Iterator[Any]:
    """Iterate over the items of nested lists.

    Examples
    --------
    >>> list(flatten([1, [2, (3, "ab")]]))
    [1, 2, 3, 'ab']
    """
    for item in items:
        if is_listlike(item):
            yield from flatten(item)
        else:
            yield item


def get_tensor_type_from_data(data: Any) -> Any:
    """Return the symbolic type of arrays like this one: its dtype, and as many axes.

    Examples
    --------
    >>> get_tensor_type_from_data(np.ones((2, 3), "float32"))("x").ndim
    2
    """
    array = np.asarray(data)
    return tensor.TensorType(str(array.dtype), (False,) * array.ndim)


def stratified_shuffle(labels: Any, rng: Any = None) -> np.ndarray:
    """Return row numbers in a random order in which the classes are spread evenly.

    Parameters
    ----------
    labels : array of shape (n,)
    rng : int or numpy random generator, optional
        By default a fresh seed.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 50)
    >>> order = stratified_shuffle(labels, rng=0)
    >>> labels[order][:10].sum(), sorted(order) == list(range(100))
    (5, True)
    """
    labels = np.asarray(labels)
    generator = streams.generator(streams.as_seed(rng), "stratified shuffle")
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        place[rows] = (np.arange(len(rows)) + generator.random()) / len(rows)
    return np.argsort(place, kind="stable")


def stratified_holdout(labels: Any, holdout_frac: float, rng: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the row numbers to train on and those to hold out: the same fraction of each class.

    Parameters
    ----------
    labels : array of shape (n,)
    holdout_frac : float
        In [0, 1).
    rng : int or numpy random generator, optional
        By default a fresh seed.

    Examples
    --------
    >>> labels = np.repeat([0, 1], [80, 20])
    >>> kept, held_out = stratified_holdout(labels, 0.25, rng=0)
    >>> len(kept), labels[held_out].sum(), len(held_out)
    (75, 5, 25)
    """
    labels = np.asarray(labels)
    generator = streams.generator(streams.as_seed(rng), "stratified holdout")
    held_out: list[int] = []
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        held_out += rows[: round(holdout_frac * len(rows))].tolist()
    chosen = np.array(sorted(held_out), dtype=np.int64)
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen
