"""Read pickles that may come from anybody.

A pickle is a program: it can name any function and call it. The reader here knows a handful of names, those that numpy
arrays and plain data are made of, and gives each a harmless stand-in; any other name, and any instruction that plain
data does not need, is refused before it acts.
"""

import io
import pickle
import pickletools
from typing import Any

import numpy as np

FORBIDDEN_OPCODES = frozenset(
    {"INST", "OBJ", "PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX", "NEXT_BUFFER"}
)
MAX_DEPTH = 200


class PickleError(ValueError):
    """A pickle is damaged, or asks for more than plain data and numpy arrays."""


class _Dtype:
    """Stands for a numpy dtype while a pickle is read."""

    __slots__ = ("code",)

    def __init__(self, *arguments):
        code = arguments[0] if arguments else None
        if isinstance(code, bytes):
            code = code.decode("ascii", "replace")
        if not isinstance(code, str) or code[:1] not in "biufcSUV" or not code[1:].isdigit() or code[0] == "V":
            raise PickleError(f"got an array of dtype {code!r}; need plain numbers or text")
        self.code = code

    def __setstate__(self, state):
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        order = order.decode("ascii", "replace") if isinstance(order, bytes) else order
        if order not in ("<", ">", "|", "="):
            raise PickleError(f"got a dtype of byte order {order!r}; need one of < > |")
        self.code = order + self.code.lstrip("<>|=")

    def make(self) -> np.dtype:
        dtype = np.dtype(self.code)
        if dtype.itemsize > 2**20:
            raise PickleError(f"got an array of dtype {self.code!r}; need items of at most 1 MiB")
        return dtype


class _Array:
    """Stands for a numpy array while a pickle is read."""

    __slots__ = ("value",)

    def __init__(self, *arguments):
        self.value = None

    def __setstate__(self, state):
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Dtype):
            raise PickleError("got an array in an unknown form; need what numpy writes")
        _, shape, dtype, fortran, data = state
        data = data.encode("latin1") if isinstance(data, str) else data
        sizes_known = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
        if not sizes_known or len(shape) > 32 or not isinstance(data, bytes):
            raise PickleError(f"got an array of shape {shape!r}; need whole numbers, and its data as bytes")
        dtype = dtype.make()
        n_bytes = dtype.itemsize
        for n in shape:  # python's whole numbers do not overflow
            n_bytes *= n
        if n_bytes != len(data):
            raise PickleError(f"got {len(data)} bytes of data for an array of shape {shape} and dtype {dtype.str}")
        self.value = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()


class _Scalar:
    """Stands for a numpy scalar while a pickle is read."""

    __slots__ = ("value",)

    def __init__(self, *arguments):
        if len(arguments) != 2 or not isinstance(arguments[0], _Dtype):
            raise PickleError("got a number in an unknown form; need what numpy writes")
        dtype, data = arguments[0].make(), arguments[1]
        data = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(data, bytes) or len(data) != dtype.itemsize:
            raise PickleError(f"got a number of dtype {dtype.str} with data that do not fit")
        self.value = np.frombuffer(data, dtype)[0]


class _Encode:
    """Stands for ``_codecs.encode``, by which Python 2's bytes are written; knows one encoding."""

    __slots__ = ()

    def __call__(self, *arguments):
        if len(arguments) != 2 or not isinstance(arguments[0], str) or arguments[1] != "latin1":
            raise PickleError("got an encoding other than latin1; need what numpy writes")
        return arguments[0].encode("latin1")


class _EmptyBytes:
    """Stands for ``bytes``, which old protocols call, without arguments, to make an empty text of bytes."""

    __slots__ = ()

    def __call__(self):
        return b""


class _Nothing:
    """Stands for ``numpy.ndarray``, which array pickles name but need not call."""

    __slots__ = ()


ALLOWED = {
    ("numpy", "ndarray"): _Nothing(),
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Encode(),
    ("__builtin__", "bytes"): _EmptyBytes(),
} | {
    (module, name): stand_in
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    for name, stand_in in (("_reconstruct", _Array), ("scalar", _Scalar))
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        raise PickleError(f"got a pickle that asks for {module}.{name}; need plain data and numpy arrays only")


def loads(data: bytes, start: int = 0) -> tuple[Any, int]:
    """Read one pickle without running anything that it says.

    Parameters
    ----------
    data : bytes
    start : int, optional
        Where in `data` the pickle begins.

    Returns
    -------
    value : object
        Made of None, bool, numbers, text, bytes, tuples, lists, dicts, sets and numpy arrays.
    end : int
        Where the pickle ends.

    Raises
    ------
    PickleError
        If the pickle is damaged or asks for anything else.

    Examples
    --------
    >>> loads(pickle.dumps({"a": [1, 2]}))[0]
    {'a': [1, 2]}
    >>> loads(pickle.dumps(print))
    Traceback (most recent call last):
    ...
    arignote.data.unpickle.PickleError: got a pickle that asks for builtins.print; need plain data and numpy arrays only
    """
    stream = io.BytesIO(data)
    stream.seek(start)
    try:
        end = _scan(stream)
        stream.seek(start)
        value = _finish(_Unpickler(stream, encoding="latin1").load(), MAX_DEPTH)
    except PickleError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise PickleError(f"got a damaged pickle ({type(error).__name__}: {error})") from error
    return value, end


def _scan(stream: io.BytesIO) -> int:
    """Look at every instruction before any is carried out; return where the pickle ends."""
    n_stored = 0
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in FORBIDDEN_OPCODES:
            raise PickleError(f"got a pickle with the instruction {opcode.name}; need plain data and numpy arrays only")
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            n_stored += 1
            # The unpickler makes room for as many as the largest number says.
            if argument is not None and argument > 2 * n_stored + 1000:
                raise PickleError(f"got a pickle that numbers an object {argument}; need numbers that count up")
    return stream.tell()


def _finish(value: Any, depth: int) -> Any:
    """Replace the stand-ins in `value` by what they stand for."""
    if depth == 0:
        raise PickleError(f"got data nested more than {MAX_DEPTH} deep; need less")
    if isinstance(value, _Array | _Scalar):
        if value.value is None:
            raise PickleError("got an array without data")
        return value.value
    if isinstance(value, _Dtype | _Encode | _EmptyBytes | _Nothing | type):
        raise PickleError("got a pickle of a type; need plain data and numpy arrays only")
    if isinstance(value, dict):
        return {_finish(key, depth - 1): _finish(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(_finish(item, depth - 1) for item in value)
    return value
