"""Safe loading of pickles from untrusted sources.

A pickle is a program for a small stack machine, which can import and call any function. The machine here implements
only the opcodes that are needed for plain data and numpy arrays. It resolves an allow-list of six globals, each to a
substitute that creates an array, a scalar or bytes; it imports nothing and calls nothing else. Callers can allow more
classes, whose objects are loaded as inert records of the stored data. Sizes are checked before memory is allocated, so
the result is never much larger than the input.
"""

import codecs
import io
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

import numpy as np

MAX_DEPTH = 200
MAX_ITEM_BYTES = 2**20
LARGE = 2**20  # bytes; larger data are read in pieces, into a buffer that an array can own
KEY_TYPES = (str, bytes, int, float, bool, type(None))


class PickleError(ValueError):
    """A pickle is damaged, or contains more than plain data and numpy arrays."""


def loads(data: bytes | bytearray, start: int = 0, classes: Iterable[str] = ()) -> tuple[Any, int]:
    """Load one pickle without executing any code from it.

    Parameters
    ----------
    data : bytes or bytearray
    start : int, optional
        The offset of the pickle in `data`.
    classes : iterable of str, optional
        Full names, such as ``"datetime.datetime"``, of classes whose objects are allowed. Their objects are loaded as
        :class:`~arignote.data.unpickle.StoredObject`.

    Returns
    -------
    value : object
        Composed of None, bool, numbers, strings, bytes, tuples, lists, dicts, sets, numpy arrays and records. A
        reference to one of `classes` itself is loaded as its full name.
    end : int
        The offset of the end of the pickle.

    Raises
    ------
    PickleError
        If the pickle is damaged or contains anything else.

    Examples
    --------
    >>> import pickle
    >>> loads(pickle.dumps({"a": [1, 2]}))[0]
    {'a': [1, 2]}
    >>> loads(pickle.dumps(len))
    Traceback (most recent call last):
    ...
    arignote.data.unpickle.PickleError: got a pickle that asks for builtins.len; need plain data and numpy arrays only
    """
    source = io.BytesIO(data)
    source.seek(start)
    return load(source, classes), source.tell()


def load(source: BinaryIO, classes: Iterable[str] = ()) -> Any:
    """Load one pickle from a file; see :func:`loads`. Arrays are never held in memory twice."""
    records = {_split_name(name): _Global(_record_factory(name), name) for name in classes}
    try:
        return _resolve(_Machine(source, NAMES | records).run(), MAX_DEPTH, {})
    except (PickleError, OSError, EOFError, zlib.error):  # the last three are errors of the file
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise PickleError(f"got a damaged pickle ({type(error).__name__}: {error})") from error


# -- substitutes for the globals in array pickles ----------------------------------------------------------------------


class _Array:
    """An array, created empty and filled by its state."""

    def __init__(self, *arguments):
        self.value = None

    def set_state(self, state):
        if not isinstance(state, tuple) or len(state) != 5:
            raise PickleError("got an array in an unknown format; need a pickle written by numpy")
        _, shape, dtype, fortran, data = state
        self._fill(data.encode("latin1") if isinstance(data, str) else data, dtype, shape, fortran)

    @classmethod
    def from_buffer(cls, *arguments):
        """Substitute for ``_frombuffer``, which protocol 5 uses for arrays."""
        if len(arguments) != 4 or arguments[3] not in ("C", "F"):
            raise PickleError("got an array in an unknown format; need a pickle written by numpy")
        array = cls()
        array._fill(*arguments[:3], fortran=arguments[3] == "F")
        return array

    def _fill(self, data, dtype, shape, fortran):
        if not isinstance(dtype, _Dtype):
            raise PickleError("got an array in an unknown format; need a pickle written by numpy")
        sizes_known = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
        if not sizes_known or len(shape) > 32 or not isinstance(data, bytes | bytearray):
            raise PickleError(f"got an array of shape {shape!r:.100}; need integers, and its data as bytes")
        dtype = dtype.make()
        n_bytes = dtype.itemsize
        for n in shape:  # Python integers do not overflow
            n_bytes *= n
        if n_bytes != len(data):
            raise PickleError(f"got {len(data)} bytes of data for an array of shape {shape} and dtype {dtype.str}")
        array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
        self.value = array if isinstance(data, bytearray) else array.copy(order="A")


class _Dtype:
    """A dtype: a type code with a size, and a byte order."""

    def __init__(self, *arguments):
        code = arguments[0] if arguments else None
        code = code.decode("ascii", "replace") if isinstance(code, bytes) else code
        if not isinstance(code, str) or code[:1] not in tuple("biufcSU") or not code[1:].isdigit() or len(code) > 12:
            raise PickleError(f"got an array of dtype {code!r:.100}; need numbers or strings")
        if int(code[1:]) > MAX_ITEM_BYTES:
            raise PickleError(f"got an array of dtype {code!r}; need at most {MAX_ITEM_BYTES} bytes per item")
        self.code, self.order = code, "="

    def set_state(self, state):
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        order = order.decode("ascii", "replace") if isinstance(order, bytes) else order
        if order not in ("<", ">", "|", "="):
            raise PickleError(f"got a dtype of byte order {order!r:.100}; need one of < > |")
        self.order = order

    def make(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class _Scalar:
    """A numpy scalar: a dtype and its bytes."""

    def __init__(self, *arguments):
        if len(arguments) != 2 or not isinstance(arguments[0], _Dtype):
            raise PickleError("got a scalar in an unknown format; need a pickle written by numpy")
        dtype, data = arguments[0].make(), arguments[1]
        data = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(data, bytes) or len(data) != dtype.itemsize:
            raise PickleError(
                f"got a scalar of dtype {dtype.str} with data of another size; need {dtype.itemsize} bytes"
            )
        self.value = np.frombuffer(data, dtype)[0]

    def set_state(self, state):
        raise PickleError("got a scalar with a state; need a pickle written by numpy")


def _encode(*arguments) -> bytes:
    """Substitute for ``_codecs.encode``, which old protocols use for bytes; supports latin1 only."""
    if len(arguments) != 2 or not isinstance(arguments[0], str) or arguments[1] != "latin1":
        raise PickleError("got an encoding other than latin1; need a pickle written by numpy")
    return arguments[0].encode("latin1")


def _empty_bytes(*arguments) -> bytes:
    """Substitute for ``bytes``, which old protocols call for empty bytes."""
    if arguments:
        raise PickleError("got a call of bytes with arguments; need a pickle written by numpy")
    return b""


class StoredObject:
    """A record of a pickled object: the full name of its class, its constructor arguments and its state."""

    def __init__(self, kind: str, arguments: tuple = (), state: Any = None):
        self.kind, self.arguments, self.state = kind, arguments, state

    def set_state(self, state):
        self.state = state


def _split_name(full_name: str) -> tuple[str, str]:
    module, _, name = full_name.rpartition(".")
    return module, name


def _record_factory(kind: str) -> Callable:
    return lambda *arguments: StoredObject(kind, arguments)


class _Global:
    """A global that a pickle refers to, and its substitute. It can be a value itself only if it has a `value`."""

    def __init__(self, factory: Callable | None, value: str | None = None):
        self.factory, self.value = factory, value


NAMES = (
    {
        ("numpy", "ndarray"): _Global(None),  # referred to by arrays, never called
        ("numpy", "dtype"): _Global(_Dtype),
        ("_codecs", "encode"): _Global(_encode),
        ("__builtin__", "bytes"): _Global(_empty_bytes),
    }
    | {
        (module, name): _Global(factory)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name, factory in (("_reconstruct", _Array), ("scalar", _Scalar))
    }
    | {(module, "_frombuffer"): _Global(_Array.from_buffer) for module in ("numpy.core.numeric", "numpy._core.numeric")}
)


def _resolve(value: Any, depth: int, done: dict[int, Any]) -> Any:
    """Replace all substitutes in `value` by their values; shared objects remain shared."""
    if depth == 0:
        raise PickleError(f"got data nested more than {MAX_DEPTH} levels deep; need at most {MAX_DEPTH}")
    if isinstance(value, _Array | _Scalar):
        if value.value is None:
            raise PickleError("got an array without data; need a complete pickle")
        return value.value
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, _Global) and value.value is not None:
        return value.value
    if isinstance(value, _Dtype | _Global):
        raise PickleError("got a pickle of a type; need plain data and numpy arrays only")
    if not isinstance(value, dict | list | tuple | set | frozenset | StoredObject):
        return value
    if id(value) not in done:
        resolved: Any
        if isinstance(value, dict):
            resolved = {key: _resolve(item, depth - 1, done) for key, item in value.items()}
        elif isinstance(value, list | tuple):
            resolved = type(value)([_resolve(item, depth - 1, done) for item in value])
        elif isinstance(value, StoredObject):
            parts = (_resolve(part, depth - 1, done) for part in (value.arguments, value.state))
            resolved = StoredObject(value.kind, *parts)
        else:
            resolved = value  # sets contain keys only, which have no substitutes
        done[id(value)] = resolved
    return done[id(value)]


# -- the machine -----------------------------------------------------------------------------------------------------

_MARK = object()


class _Machine:
    """Executes the opcodes of one pickle.

    Each method below implements one or several opcodes, which `OPCODES` maps to them.
    """

    OPCODES: dict[int, Callable] = {}

    def __init__(self, source: BinaryIO, names: Mapping[tuple[str, str], _Global] = NAMES):
        self.source = source
        self.names = names
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while True:
            code = self.read(1)[0]
            if code == ord("."):
                break
            if code not in self.OPCODES:
                raise PickleError(f"got a pickle with the opcode {chr(code)!r}; need plain data and numpy arrays only")
            self.OPCODES[code](self)
        if len(self.stack) != 1 or self.stack[0] is _MARK:
            raise PickleError("got a pickle that leaves values on the stack; need a complete one")
        return self.stack[0]

    def read(self, n: int) -> bytes:
        """Return the next `n` bytes."""
        return bytes(self.read_large(n)) if n > LARGE or n < 0 else self.piece(n)

    def piece(self, n: int) -> bytes:
        """Return the next `n` bytes in one read."""
        data = self.source.read(n)
        if len(data) != n:
            raise PickleError("got a pickle that is truncated; need a complete one")
        return data

    def read_large(self, n: int) -> bytearray:
        """Return the next `n` bytes, read in pieces so that a wrong `n` does not allocate more than the data."""
        if n < 0:
            raise PickleError("got a pickle that is truncated; need a complete one")
        data = bytearray()
        while len(data) < n:
            data += self.piece(min(n - len(data), LARGE))
        return data

    def number(self, fmt: str) -> Any:
        """Return the next number, in a format of `struct`."""
        return struct.unpack(fmt, self.read(struct.calcsize(fmt)))[0]

    def line(self) -> str:
        """Return the rest of the line."""
        line = self.source.readline()
        if not line.endswith(b"\n"):
            raise PickleError("got a pickle that is truncated; need a complete one")
        return line[:-1].decode("latin1")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise PickleError("got a pickle that pops from an empty stack; need a complete one")
        return self.stack.pop()

    def pop_to_mark(self) -> list:
        """Pop everything above the last mark, and the mark."""
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _MARK:
                items = self.stack[i + 1 :]
                del self.stack[i:]
                return items
        raise PickleError("got a pickle without a mark; need a complete one")

    def top(self, kind: type) -> Any:
        """Return the value on top of the stack; check its type."""
        if not self.stack or type(self.stack[-1]) is not kind:
            raise PickleError(
                f"got a pickle that adds items to a value that is not a {kind.__name__}; need a complete one"
            )
        return self.stack[-1]

    def store(self, index: int) -> None:
        """Store the value on top of the stack in the memo."""
        if not self.stack or self.stack[-1] is _MARK:
            raise PickleError("got a pickle that stores a value from an empty stack; need a complete one")
        self.memo[index] = self.stack[-1]

    def fetch(self, index: int) -> None:
        if index not in self.memo:
            raise PickleError(f"got a pickle that fetches value {index}, which it has not stored; need a complete one")
        self.push(self.memo[index])

    def load_global(self, module: Any, name: Any) -> None:
        if (module, name) not in self.names:
            raise PickleError(f"got a pickle that asks for {module}.{name}; need plain data and numpy arrays only")
        self.push(self.names[module, name])

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, _Global) or function.factory is None or not isinstance(arguments, tuple):
            raise PickleError("got a pickle that calls a function; need plain data and numpy arrays only")
        self.push(function.factory(*arguments))

    def build(self) -> None:
        state, value = self.pop(), self.pop()
        if not isinstance(value, _Array | _Dtype | _Scalar | StoredObject):
            raise PickleError("got a pickle that sets the state of an object; need plain data and numpy arrays only")
        value.set_state(state)
        self.push(value)

    def add_pairs(self, items: list) -> None:
        target = self.top(dict)
        if len(items) % 2:
            raise PickleError("got a key without a value; need a complete pickle")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def sized(self, fmt: str) -> bytes:
        """Return bytes that are preceded by their length."""
        return self.read(self.number(fmt))

    def sized_large(self, fmt: str) -> bytes | bytearray:
        """Return bytes that are preceded by their length; large data as a buffer that an array can own."""
        n = self.number(fmt)
        return self.read_large(n) if n > LARGE else self.read(n)


def _key(value: Any) -> Any:
    """Return a value that can be a key. Nested tuples are refused, since they could take forever to hash."""
    flat = isinstance(value, KEY_TYPES) or (
        type(value) is tuple and len(value) < 64 and all(isinstance(item, KEY_TYPES) for item in value)
    )
    if not flat:
        raise PickleError(f"got a {type(value).__name__} as a key; need a string or a number")
    return value


def _integer(text: str) -> int | bool:
    return {"00": False, "01": True}[text] if text in ("00", "01") else int(text)


def _quoted(text: str) -> str:
    """Return a string in the format of Python 2, with quotes and escapes."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in ("'", '"'):
        raise PickleError("got a string without quotes; need a complete pickle")
    return codecs.escape_decode(text[1:-1].encode("latin1"))[0].decode("latin1")


def _pairs(items: list) -> dict:
    machine = _Machine(io.BytesIO())
    machine.push({})
    machine.add_pairs(items)
    return machine.pop()


_Machine.OPCODES = {
    ord(code): handler
    for code, handler in {
        # structure
        "\x80": lambda m: m.read(1),  # PROTO
        "\x95": lambda m: m.read(8),  # FRAME: the size of the frame, which is not needed
        "(": lambda m: m.push(_MARK),
        "0": lambda m: m.pop(),
        "1": lambda m: m.pop_to_mark(),
        # numbers, strings, bytes
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "I": lambda m: m.push(_integer(m.line())),
        "L": lambda m: m.push(int(m.line().rstrip("L"))),
        "F": lambda m: m.push(float(m.line())),
        "J": lambda m: m.push(m.number("<i")),
        "K": lambda m: m.push(m.number("<B")),
        "M": lambda m: m.push(m.number("<H")),
        "G": lambda m: m.push(m.number(">d")),
        "\x8a": lambda m: m.push(int.from_bytes(m.sized("<B"), "little", signed=True)),
        "\x8b": lambda m: m.push(int.from_bytes(m.sized("<i"), "little", signed=True)),
        "S": lambda m: m.push(_quoted(m.line())),
        "T": lambda m: m.push(m.sized("<i").decode("latin1")),
        "U": lambda m: m.push(m.sized("<B").decode("latin1")),
        "V": lambda m: m.push(m.line().encode("latin1").decode("raw-unicode-escape")),
        "X": lambda m: m.push(m.sized("<I").decode("utf-8", "surrogatepass")),
        "\x8c": lambda m: m.push(m.sized("<B").decode("utf-8", "surrogatepass")),
        "\x8d": lambda m: m.push(m.sized("<Q").decode("utf-8", "surrogatepass")),
        "B": lambda m: m.push(m.sized_large("<I")),
        "C": lambda m: m.push(m.sized("<B")),
        "\x8e": lambda m: m.push(m.sized_large("<Q")),
        "\x96": lambda m: m.push(m.sized_large("<Q")),  # BYTEARRAY8
        # tuples, lists, dicts, sets
        ")": lambda m: m.push(()),
        "t": lambda m: m.push(tuple(m.pop_to_mark())),
        "\x85": lambda m: m.push((m.pop(),)),
        "\x86": lambda m: m.push((m.pop(), m.pop())[::-1]),
        "\x87": lambda m: m.push((m.pop(), m.pop(), m.pop())[::-1]),
        "]": lambda m: m.push([]),
        "l": lambda m: m.push(m.pop_to_mark()),
        "a": lambda m: (lambda item: m.top(list).append(item))(m.pop()),
        "e": lambda m: (lambda items: m.top(list).extend(items))(m.pop_to_mark()),
        "}": lambda m: m.push({}),
        "d": lambda m: m.push(_pairs(m.pop_to_mark())),
        "s": lambda m: m.add_pairs([m.pop(), m.pop()][::-1]),
        "u": lambda m: m.add_pairs(m.pop_to_mark()),
        "\x8f": lambda m: m.push(set()),
        "\x90": lambda m: (lambda items: m.top(set).update(map(_key, items)))(m.pop_to_mark()),
        "\x91": lambda m: m.push(frozenset(map(_key, m.pop_to_mark()))),
        # memo
        "p": lambda m: m.store(int(m.line())),
        "q": lambda m: m.store(m.number("<B")),
        "r": lambda m: m.store(m.number("<I")),
        "\x94": lambda m: m.store(len(m.memo)),
        "g": lambda m: m.fetch(int(m.line())),
        "h": lambda m: m.fetch(m.number("<B")),
        "j": lambda m: m.fetch(m.number("<I")),
        # arrays and records
        "c": lambda m: m.load_global(m.line(), m.line()),
        "\x93": lambda m: m.load_global(*(m.pop(), m.pop())[::-1]),
        "R": lambda m: m.call(),
        "\x81": lambda m: m.call(),  # NEWOBJ: call of a class
        "b": lambda m: m.build(),
    }.items()
}
