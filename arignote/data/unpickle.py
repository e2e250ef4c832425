"""Read pickles that may come from anybody.

A pickle is a program for a small stack machine, which can name any function and call it. The machine here carries out
only those instructions that plain data and numpy arrays are written with. It knows six names, each with a stand-in of
its own that makes an array, a number or bytes; it imports nothing, and calls nothing else. Whoever reads files in which
objects stand can name their classes: they come out as records, which hold what was stored and can do nothing. Sizes are
checked before memory is taken, so what comes out is never much larger than what went in.
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
LARGE = 2**20  # bytes; what is larger is read piece by piece, into memory that an array can keep
KEY_TYPES = (str, bytes, int, float, bool, type(None))


class PickleError(ValueError):
    """A pickle is damaged, or asks for more than plain data and numpy arrays."""


def loads(data: bytes | bytearray, start: int = 0, classes: Iterable[str] = ()) -> tuple[Any, int]:
    """Read one pickle without running anything that it says.

    Parameters
    ----------
    data : bytes or bytearray
    start : int, optional
        Where in `data` the pickle begins.
    classes : iterable of str, optional
        Full names, such as ``"datetime.datetime"``, of classes whose objects may occur. Each comes out as a
        :class:`~arignote.data.unpickle.StoredObject`.

    Returns
    -------
    value : object
        Made of None, bool, numbers, text, bytes, tuples, lists, dicts, sets, numpy arrays and records. Where a pickle
        names one of `classes` itself, its full name.
    end : int
        Where the pickle ends.

    Raises
    ------
    PickleError
        If the pickle is damaged or asks for anything else.

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
    """Read one pickle from a file; see :func:`loads`. Arrays are never in memory twice."""
    records = {_split(name): _Name(_maker_of_records(name), name) for name in classes}
    try:
        return _finish(_Machine(source, NAMES | records).run(), MAX_DEPTH, {})
    except (PickleError, OSError, EOFError, zlib.error):  # the last three are the file's
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise PickleError(f"got a damaged pickle ({type(error).__name__}: {error})") from error


# -- stand-ins for what array pickles name ---------------------------------------------------------------------------


class _Array:
    """An array: made empty, then given its state."""

    def __init__(self, *arguments):
        self.value = None

    def set_state(self, state):
        if not isinstance(state, tuple) or len(state) != 5:
            raise PickleError("got an array in an unknown form; need what numpy writes")
        _, shape, dtype, fortran, data = state
        self._fill(data.encode("latin1") if isinstance(data, str) else data, dtype, shape, fortran)

    @classmethod
    def from_buffer(cls, *arguments):
        """Stand in for ``_frombuffer``, by which protocol 5 writes arrays in one go."""
        if len(arguments) != 4 or arguments[3] not in ("C", "F"):
            raise PickleError("got an array in an unknown form; need what numpy writes")
        array = cls()
        array._fill(*arguments[:3], fortran=arguments[3] == "F")
        return array

    def _fill(self, data, dtype, shape, fortran):
        if not isinstance(dtype, _Dtype):
            raise PickleError("got an array in an unknown form; need what numpy writes")
        sizes_known = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
        if not sizes_known or len(shape) > 32 or not isinstance(data, bytes | bytearray):
            raise PickleError(f"got an array of shape {shape!r:.100}; need whole numbers, and its data as bytes")
        dtype = dtype.make()
        n_bytes = dtype.itemsize
        for n in shape:  # python's whole numbers do not overflow
            n_bytes *= n
        if n_bytes != len(data):
            raise PickleError(f"got {len(data)} bytes of data for an array of shape {shape} and dtype {dtype.str}")
        array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
        self.value = array if isinstance(data, bytearray) else array.copy(order="A")


class _Dtype:
    """A dtype: a letter and a size, then a byte order."""

    def __init__(self, *arguments):
        code = arguments[0] if arguments else None
        code = code.decode("ascii", "replace") if isinstance(code, bytes) else code
        if not isinstance(code, str) or code[:1] not in tuple("biufcSU") or not code[1:].isdigit() or len(code) > 12:
            raise PickleError(f"got an array of dtype {code!r:.100}; need plain numbers or text")
        if int(code[1:]) > MAX_ITEM_BYTES:
            raise PickleError(f"got an array of dtype {code!r}; need items of at most {MAX_ITEM_BYTES} bytes")
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
    """A numpy number: a dtype and its bytes."""

    def __init__(self, *arguments):
        if len(arguments) != 2 or not isinstance(arguments[0], _Dtype):
            raise PickleError("got a number in an unknown form; need what numpy writes")
        dtype, data = arguments[0].make(), arguments[1]
        data = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(data, bytes) or len(data) != dtype.itemsize:
            raise PickleError(f"got a number of dtype {dtype.str} with data that do not fit")
        self.value = np.frombuffer(data, dtype)[0]

    def set_state(self, state):
        raise PickleError("got a number with a state; need what numpy writes")


def _encode(*arguments) -> bytes:
    """Stand in for ``_codecs.encode``, by which old protocols write bytes; knows one encoding."""
    if len(arguments) != 2 or not isinstance(arguments[0], str) or arguments[1] != "latin1":
        raise PickleError("got an encoding other than latin1; need what numpy writes")
    return arguments[0].encode("latin1")


def _empty_bytes(*arguments) -> bytes:
    """Stand in for ``bytes``, which old protocols call to make no bytes at all."""
    if arguments:
        raise PickleError("got a call of bytes with arguments; need what numpy writes")
    return b""


class StoredObject:
    """What a pickle says of an object: the full name of its class, the arguments that make it, and its state."""

    def __init__(self, kind: str, arguments: tuple = (), state: Any = None):
        self.kind, self.arguments, self.state = kind, arguments, state

    def set_state(self, state):
        self.state = state


def _split(full_name: str) -> tuple[str, str]:
    module, _, name = full_name.rpartition(".")
    return module, name


def _maker_of_records(kind: str) -> Callable:
    return lambda *arguments: StoredObject(kind, arguments)


class _Name:
    """A name that a pickle asked for, with what stands in for it; a value by itself only if it has a text."""

    def __init__(self, make: Callable | None, text: str | None = None):
        self.make, self.text = make, text


NAMES = (
    {
        ("numpy", "ndarray"): _Name(None),  # named by arrays, never called
        ("numpy", "dtype"): _Name(_Dtype),
        ("_codecs", "encode"): _Name(_encode),
        ("__builtin__", "bytes"): _Name(_empty_bytes),
    }
    | {
        (module, name): _Name(make)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name, make in (("_reconstruct", _Array), ("scalar", _Scalar))
    }
    | {(module, "_frombuffer"): _Name(_Array.from_buffer) for module in ("numpy.core.numeric", "numpy._core.numeric")}
)


def _finish(value: Any, depth: int, done: dict[int, Any]) -> Any:
    """Replace the stand-ins in `value` by what they stand for; what occurs several times is made once."""
    if depth == 0:
        raise PickleError(f"got data nested more than {MAX_DEPTH} deep; need less")
    if isinstance(value, _Array | _Scalar):
        if value.value is None:
            raise PickleError("got an array without data")
        return value.value
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, _Name) and value.text is not None:
        return value.text
    if isinstance(value, _Dtype | _Name):
        raise PickleError("got a pickle of a type; need plain data and numpy arrays only")
    if not isinstance(value, dict | list | tuple | set | frozenset | StoredObject):
        return value
    if id(value) not in done:
        finished: Any
        if isinstance(value, dict):
            finished = {key: _finish(item, depth - 1, done) for key, item in value.items()}
        elif isinstance(value, list | tuple):
            finished = type(value)([_finish(item, depth - 1, done) for item in value])
        elif isinstance(value, StoredObject):
            parts = (_finish(part, depth - 1, done) for part in (value.arguments, value.state))
            finished = StoredObject(value.kind, *parts)
        else:
            finished = value  # sets hold keys only, which need no finishing
        done[id(value)] = finished
    return done[id(value)]


# -- the machine -----------------------------------------------------------------------------------------------------

_MARK = object()


class _Machine:
    """Carries out the instructions of one pickle.

    Each method below is one or several instructions, entered in `INSTRUCTIONS` under the bytes that stand for them.
    """

    INSTRUCTIONS: dict[int, Callable] = {}

    def __init__(self, source: BinaryIO, names: Mapping[tuple[str, str], _Name] = NAMES):
        self.source = source
        self.names = names
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while True:
            code = self.read(1)[0]
            if code == ord("."):
                break
            if code not in self.INSTRUCTIONS:
                raise PickleError(
                    f"got a pickle with the instruction {chr(code)!r}; need plain data and numpy arrays only"
                )
            self.INSTRUCTIONS[code](self)
        if len(self.stack) != 1 or self.stack[0] is _MARK:
            raise PickleError("got a pickle that ends with something left over; need a whole one")
        return self.stack[0]

    def read(self, n: int) -> bytes:
        """Return the next `n` bytes."""
        return bytes(self.read_large(n)) if n > LARGE or n < 0 else self.piece(n)

    def piece(self, n: int) -> bytes:
        """Return the next `n` bytes, read in one go."""
        data = self.source.read(n)
        if len(data) != n:
            raise PickleError("got a pickle that is cut off; need a whole one")
        return data

    def read_large(self, n: int) -> bytearray:
        """Return the next `n` bytes; of a pickle that promises more than there is, no more than there is."""
        if n < 0:
            raise PickleError("got a pickle that is cut off; need a whole one")
        data = bytearray()
        while len(data) < n:
            data += self.piece(min(n - len(data), LARGE))
        return data

    def number(self, form: str) -> Any:
        """Return the next number, in a form of `struct`."""
        return struct.unpack(form, self.read(struct.calcsize(form)))[0]

    def line(self) -> str:
        """Return the text up to the end of the line."""
        line = self.source.readline()
        if not line.endswith(b"\n"):
            raise PickleError("got a pickle that is cut off; need a whole one")
        return line[:-1].decode("latin1")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise PickleError("got a pickle that takes from an empty stack; need a whole one")
        return self.stack.pop()

    def pop_to_mark(self) -> list:
        """Take everything above the last mark, and the mark."""
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _MARK:
                items = self.stack[i + 1 :]
                del self.stack[i:]
                return items
        raise PickleError("got a pickle without a mark; need a whole one")

    def top(self, kind: type) -> Any:
        """Return the topmost value, which has to be of a kind."""
        if not self.stack or type(self.stack[-1]) is not kind:
            raise PickleError(f"got a pickle that adds to something that is no {kind.__name__}; need a whole one")
        return self.stack[-1]

    def store(self, index: int) -> None:
        """Give the topmost value a number, by which it can be had again."""
        if not self.stack or self.stack[-1] is _MARK:
            raise PickleError("got a pickle that numbers nothing; need a whole one")
        self.memo[index] = self.stack[-1]

    def fetch(self, index: int) -> None:
        if index not in self.memo:
            raise PickleError(f"got a pickle that asks for value {index}, which it has not stored; need a whole one")
        self.push(self.memo[index])

    def name(self, module: Any, name: Any) -> None:
        if (module, name) not in self.names:
            raise PickleError(f"got a pickle that asks for {module}.{name}; need plain data and numpy arrays only")
        self.push(self.names[module, name])

    def call(self) -> None:
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, _Name) or name.make is None or not isinstance(arguments, tuple):
            raise PickleError("got a pickle that calls something; need plain data and numpy arrays only")
        self.push(name.make(*arguments))

    def build(self) -> None:
        state, value = self.pop(), self.pop()
        if not isinstance(value, _Array | _Dtype | _Scalar | StoredObject):
            raise PickleError("got a pickle that changes an object; need plain data and numpy arrays only")
        value.set_state(state)
        self.push(value)

    def add_pairs(self, items: list) -> None:
        target = self.top(dict)
        if len(items) % 2:
            raise PickleError("got a key without a value; need a whole pickle")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def sized(self, form: str) -> bytes:
        """Return bytes with their number before them."""
        return self.read(self.number(form))

    def block(self, form: str) -> bytes | bytearray:
        """Return bytes with their number before them; many, as an array can keep them."""
        n = self.number(form)
        return self.read_large(n) if n > LARGE else self.read(n)


def _key(value: Any) -> Any:
    """Return a value that can be a key. Nested tuples could take forever to hash, and need not be keys."""
    flat = isinstance(value, KEY_TYPES) or (
        type(value) is tuple and len(value) < 64 and all(isinstance(item, KEY_TYPES) for item in value)
    )
    if not flat:
        raise PickleError(f"got a {type(value).__name__} as a key; need text or numbers")
    return value


def _integer(text: str) -> int | bool:
    return {"00": False, "01": True}[text] if text in ("00", "01") else int(text)


def _quoted(text: str) -> str:
    """Return a text as Python 2 wrote it, between quotes and with escapes."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in ("'", '"'):
        raise PickleError("got a text without quotes; need a whole pickle")
    return codecs.escape_decode(text[1:-1].encode("latin1"))[0].decode("latin1")


def _pairs(items: list) -> dict:
    machine = _Machine(io.BytesIO())
    machine.push({})
    machine.add_pairs(items)
    return machine.pop()


_Machine.INSTRUCTIONS = {
    ord(code): act
    for code, act in {
        # structure
        "\x80": lambda m: m.read(1),  # PROTO
        "\x95": lambda m: m.read(8),  # FRAME: how much follows, of no use to us
        "(": lambda m: m.push(_MARK),
        "0": lambda m: m.pop(),
        "1": lambda m: m.pop_to_mark(),
        # numbers, text, bytes
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
        "B": lambda m: m.push(m.block("<I")),
        "C": lambda m: m.push(m.sized("<B")),
        "\x8e": lambda m: m.push(m.block("<Q")),
        "\x96": lambda m: m.push(m.block("<Q")),  # BYTEARRAY8
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
        # values that are used again
        "p": lambda m: m.store(int(m.line())),
        "q": lambda m: m.store(m.number("<B")),
        "r": lambda m: m.store(m.number("<I")),
        "\x94": lambda m: m.store(len(m.memo)),
        "g": lambda m: m.fetch(int(m.line())),
        "h": lambda m: m.fetch(m.number("<B")),
        "j": lambda m: m.fetch(m.number("<I")),
        # arrays and records
        "c": lambda m: m.name(m.line(), m.line()),
        "\x93": lambda m: m.name(*(m.pop(), m.pop())[::-1]),
        "R": lambda m: m.call(),
        "\x81": lambda m: m.call(),  # NEWOBJ: a call of a class
        "b": lambda m: m.build(),
    }.items()
}
