"""From what the machine leaves to the value of a pickle: substitutes are replaced, and keys are checked and hashed."""

from collections import Counter
from typing import Any

from arignote.data.unpickle.budget import Budget, PickleError
from arignote.data.unpickle.substitutes import Array, Dtype, Global, Scalar, StoredObject

MAX_DEPTH = 200
# Keys of equal hash are compared one by one. Numbers that have one are easily found, so few are allowed.
MAX_EQUAL_HASHES = 100
KEY_TYPES = (str, bytes, float, bool, type(None))
# What code that walks through the value, or prints it, takes for an item.
ITEM_BYTES = 8


class Pairs(list):
    """A dictionary in the making: its keys and values by turns. Nothing is hashed before all keys are checked."""

    __slots__ = ()


class Keys(list):
    """A set in the making."""

    __slots__ = ()


class FrozenKeys(list):
    """A frozenset in the making."""

    __slots__ = ()


class Resolver:
    """Replaces all substitutes in a value by their values; shared objects remain shared.

    A pickle can use a list many times inside another, and that one again. The data are refused where they would be
    larger than the budget if every use were a copy, since whoever walks through them meets each use.
    """

    def __init__(self, budget: Budget):
        self.budget = budget
        self.done: dict[int, Any] = {}
        self.n_items: dict[int, int] = {}  # in a container, with those of the containers inside it

    def resolve(self, value: Any, depth: int = MAX_DEPTH) -> Any:
        if depth == 0:
            raise PickleError(f"got data nested more than {MAX_DEPTH} levels deep; need at most {MAX_DEPTH}")
        if not isinstance(value, list | tuple | StoredObject | bytearray):
            return _simple(value)
        if id(value) not in self.done:
            self.done[id(value)] = self._container(value, depth - 1)
        return self.done[id(value)]

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, bytearray):
            return bytes(value)
        if isinstance(value, Keys | FrozenKeys):
            keys = _checked(value)
            return self._counted(set(keys) if isinstance(value, Keys) else frozenset(keys), keys)
        if isinstance(value, Pairs):
            keys, items = _checked(value[::2]), [self.resolve(item, depth) for item in value[1::2]]
            return self._counted(dict(zip(keys, items, strict=True)), items)
        if isinstance(value, StoredObject):
            parts = [self.resolve(part, depth) for part in (value.arguments, value.state)]
            return self._counted(StoredObject(value.kind, *parts), parts)
        items = [self.resolve(item, depth) for item in value]
        return self._counted(tuple(items) if isinstance(value, tuple) else items, items)

    def _counted(self, made: Any, items: list) -> Any:
        """Return a container; refuse it if it has too many items inside."""
        n_items = len(items) + sum(self.n_items.get(id(item), 0) for item in items)
        if n_items * ITEM_BYTES > self.budget.limit:
            raise self.budget.error()
        self.n_items[id(made)] = n_items
        return made


def _simple(value: Any) -> Any:
    if isinstance(value, Array | Scalar):
        if value.value is None:
            raise PickleError("got an array without data; need a complete pickle")
        return value.value
    if isinstance(value, Global) and value.value is not None:
        return value.value
    if isinstance(value, Dtype | Global):
        raise PickleError("got a pickle of a type; need plain data and numpy arrays only")
    return value


def _checked(keys: list) -> list:
    """Return keys that are plain and can be hashed in linear time. Nested tuples could take forever."""
    for key in keys:
        parts = key if type(key) is tuple and len(key) < 64 else (key,)
        if not all(map(_is_plain, parts)):
            raise PickleError(f"got a {type(key).__name__} as a key; need a string or a number")
    # Python mixes a secret into the hashes of text, and so into those of these texts.
    hashes = Counter(str(hash(key)) for key in keys if not isinstance(key, str | bytes))
    if hashes and max(hashes.values()) > MAX_EQUAL_HASHES:
        raise PickleError(f"got more than {MAX_EQUAL_HASHES} keys of one hash; need keys that differ; try text")
    return keys


def _is_plain(key: Any) -> bool:
    return isinstance(key, KEY_TYPES) or (isinstance(key, int) and -(2**63) <= key < 2**64)
