"""Substitutes for the globals that pickles of arrays refer to, and for objects of classes that callers allow.

They count the memory that they take: what a pickle stores once, it can use many times.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from arignote.data.unpickle.budget import Budget, PickleError
from arignote.util.checks import brief

MAX_ITEM_BYTES = 2**20
MAX_DIMENSIONS = 32
UNKNOWN_ARRAY = "got an array in an unknown format; need a pickle written by numpy"


class Array:
    """An array, created empty and filled by its state."""

    __slots__ = ("value",)

    def __init__(self, arguments: tuple, budget: Budget):
        self.value: np.ndarray | None = None

    def set_state(self, state: Any, budget: Budget) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise PickleError(UNKNOWN_ARRAY)
        _, shape, dtype, fortran, data = state
        self._fill(data.encode("latin1") if isinstance(data, str) else data, dtype, shape, fortran, budget)

    @classmethod
    def from_buffer(cls, arguments: tuple, budget: Budget) -> "Array":
        """Substitute for ``_frombuffer``, which protocol 5 uses for arrays."""
        if len(arguments) != 4 or arguments[3] not in ("C", "F"):
            raise PickleError(UNKNOWN_ARRAY)
        array = cls((), budget)
        array._fill(*arguments[:3], arguments[3] == "F", budget)
        return array

    def _fill(self, data: Any, dtype: Any, shape: Any, fortran: Any, budget: Budget) -> None:
        if not isinstance(dtype, Dtype):
            raise PickleError(UNKNOWN_ARRAY)
        known = isinstance(shape, tuple) and len(shape) <= MAX_DIMENSIONS and all(map(is_length, shape))
        if not known or not isinstance(data, bytes | bytearray):
            raise PickleError(f"got an array of shape {brief(shape)}; need integers, and its data as bytes")
        made = dtype.make()
        n_bytes = made.itemsize
        for n in shape:  # Python integers do not overflow
            n_bytes *= n
        if n_bytes != len(data):
            raise PickleError(
                f"got {len(data)} bytes of data for an array of shape {shape} and dtype {made.str}; need {n_bytes}"
            )
        array = np.frombuffer(data, made).reshape(shape, order="F" if fortran else "C")
        _require_text(array)
        if isinstance(data, bytes):
            budget.spend(n_bytes)
            array = array.copy(order="A")
        self.value = array


def _require_text(array: np.ndarray) -> None:
    """Refuse an array of text with a number in it that is no character, which Python's strings cannot hold."""
    if array.dtype.kind == "U" and array.size and array.dtype.itemsize:
        codes = np.frombuffer(array.tobytes(), np.dtype("u4").newbyteorder(array.dtype.byteorder))
        if codes.max() > sys.maxunicode:
            raise PickleError(f"got text with the code {codes.max()}; need characters; try another copy of the file")


class Dtype:
    """A dtype: a type code with a size, and a byte order."""

    __slots__ = ("code", "order")

    def __init__(self, arguments: tuple, budget: Budget):
        code = text(arguments[0]) if arguments else None
        if not code or code[:1] not in tuple("biufcSU") or not code[1:].isdigit():
            raise PickleError(f"got an array of dtype {brief(code)}; need numbers or strings")
        if int(code[1:]) > MAX_ITEM_BYTES:
            raise PickleError(f"got an array of dtype {code!r}; need at most {MAX_ITEM_BYTES} bytes per item")
        self.code, self.order = code, "="

    def set_state(self, state: Any, budget: Budget) -> None:
        order = text(state[1]) if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise PickleError(f"got a dtype of byte order {brief(order)}; need one of < > |")
        self.order = order

    def make(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class Scalar:
    """A numpy scalar: a dtype and its bytes."""

    __slots__ = ("value",)

    def __init__(self, arguments: tuple, budget: Budget):
        if len(arguments) != 2 or not isinstance(arguments[0], Dtype):
            raise PickleError("got a scalar in an unknown format; need a pickle written by numpy")
        dtype, data = arguments[0].make(), arguments[1]
        data = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(data, bytes) or len(data) != dtype.itemsize:
            raise PickleError(
                f"got a scalar of dtype {dtype.str} with data of another size; need {dtype.itemsize} bytes"
            )
        budget.spend(len(data))
        self.value = np.frombuffer(data, dtype)[0]

    def set_state(self, state: Any, budget: Budget) -> None:
        raise PickleError("got a scalar with a state; need a pickle written by numpy")


class StoredObject:
    """A record of a pickled object: the full name of its class, its constructor arguments and its state."""

    __slots__ = ("arguments", "kind", "state")

    def __init__(self, kind: str, arguments: tuple = (), state: Any = None):
        self.kind, self.arguments, self.state = kind, arguments, state

    def set_state(self, state: Any, budget: Budget) -> None:
        self.state = state


class OpaqueObject(StoredObject):
    """A record without the state, which nobody needs, and which may be more than plain data."""

    __slots__ = ()

    def set_state(self, state: Any, budget: Budget) -> None:
        """Leave the state out."""


class Global:
    """A global that a pickle refers to, and its substitute. It can be a value itself only if it has a `value`."""

    __slots__ = ("make", "value")

    def __init__(self, make: Callable[[tuple, Budget], Any] | None, value: str | None = None):
        self.make, self.value = make, value


def names(classes: Iterable[str] = (), opaque: Iterable[str] = ()) -> dict[tuple[str, str], Global]:
    """Return the globals that a pickle may refer to, by module and name: those of arrays, and allowed classes."""
    records = {_split(name): Global(_record_maker(StoredObject, name), name) for name in classes}
    return _OF_ARRAYS | records | {_split(name): Global(_record_maker(OpaqueObject, name), name) for name in opaque}


def text(value: Any) -> str | None:
    """Return a short text, given as such or as bytes; None if it is neither."""
    value = value.decode("ascii", "replace") if isinstance(value, bytes) and len(value) <= 12 else value
    return value if isinstance(value, str) and len(value) <= 12 else None


def is_length(n: Any) -> bool:
    return type(n) is int and 0 <= n < 2**63


def _encoded(arguments: tuple, budget: Budget) -> bytes:
    """Substitute for ``_codecs.encode``, which old protocols use for bytes; supports latin1 only."""
    if len(arguments) != 2 or not isinstance(arguments[0], str) or arguments[1] != "latin1":
        raise PickleError("got an encoding other than latin1; need a pickle written by numpy")
    return arguments[0].encode("latin1")


def _empty_bytes(arguments: tuple, budget: Budget) -> bytes:
    """Substitute for ``bytes``, which old protocols call for empty bytes."""
    if arguments:
        raise PickleError("got a call of bytes with arguments; need a pickle written by numpy")
    return b""


def _record_maker(record: type[StoredObject], kind: str) -> Callable[[tuple, Budget], StoredObject]:
    return lambda arguments, budget: record(kind, arguments)


def _split(full_name: str) -> tuple[str, str]:
    module, _, name = full_name.rpartition(".")
    return module, name


_OF_ARRAYS = (
    {
        ("numpy", "ndarray"): Global(None),  # referred to by arrays, never called
        ("numpy", "dtype"): Global(Dtype),
        ("_codecs", "encode"): Global(_encoded),
        ("__builtin__", "bytes"): Global(_empty_bytes),
    }
    | {
        (module, name): Global(make)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name, make in (("_reconstruct", Array), ("scalar", Scalar))
    }
    | {(module, "_frombuffer"): Global(Array.from_buffer) for module in ("numpy.core.numeric", "numpy._core.numeric")}
)
