"""The stack machine that executes the opcodes of a pickle, and counts the memory that each of them takes."""

import codecs
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from arignote.data.unpickle.budget import Budget, PickleError
from arignote.data.unpickle.resolve import FrozenKeys, Keys, Pairs
from arignote.data.unpickle.substitutes import Array, Dtype, Global, Scalar, StoredObject

LARGE = 2**20  # bytes; larger data are read in pieces, into a buffer that an array can own
# Larger numbers take long to be printed and parsed, and nobody trains on them.
MAX_NUMBER_BYTES = 1024
MAX_NUMBER_DIGITS = 2400
# Memory, in bytes: a place in a list, and on the stack before; in the memo; and in a dictionary.
PLACE_BYTES = 16
MEMO_BYTES = 80
PAIR_BYTES = 84

_MARK = object()
KINDS: dict[type, str] = {list: "a list", Pairs: "a dictionary", Keys: "a set"}


class Machine:
    """Executes the opcodes of one pickle.

    Each method below implements one or several opcodes, which `OPCODES` maps to them.
    """

    OPCODES: dict[int, Callable] = {}

    def __init__(
        self, source: BinaryIO, names: Mapping[tuple[str, str], Global], budget: Budget, encoding: str = "latin1",
        errors: str = "strict",
    ):  # fmt: skip
        self.source = source
        self.names = names
        self.budget = budget
        self.encoding, self.errors = encoding, errors
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

    def push_old_text(self, data: bytes) -> None:
        """Push a string of Python 2, as text, or as the bytes that it is if the encoding is "bytes"."""
        self.push(data if self.encoding == "bytes" else data.decode(self.encoding, self.errors))

    def push(self, value: Any) -> None:
        """Push a value that was made for it."""
        self.budget.spend(PLACE_BYTES + sys.getsizeof(value))
        self.stack.append(value)

    def push_known(self, value: Any) -> None:
        """Push a value that is there already, such as None."""
        self.budget.spend(PLACE_BYTES)
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
            raise PickleError(f"got a pickle that adds items to a value that is not {KINDS[kind]}; need a complete one")
        return self.stack[-1]

    def store(self, index: int) -> None:
        """Store the value on top of the stack in the memo."""
        if not self.stack or self.stack[-1] is _MARK:
            raise PickleError("got a pickle that stores a value from an empty stack; need a complete one")
        self.budget.spend(MEMO_BYTES)
        self.memo[index] = self.stack[-1]

    def fetch(self, index: int) -> None:
        if index not in self.memo:
            raise PickleError(f"got a pickle that fetches value {index}, which it has not stored; need a complete one")
        self.push_known(self.memo[index])

    def load_global(self, module: Any, name: Any) -> None:
        if (module, name) not in self.names:
            asked = f"{brief_name(module)}.{brief_name(name)}"
            raise PickleError(f"got a pickle that asks for {asked}; need plain data and numpy arrays only")
        self.push_known(self.names[module, name])

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Global) or function.make is None or not isinstance(arguments, tuple):
            raise PickleError("got a pickle that calls a function; need plain data and numpy arrays only")
        self.push(function.make(arguments, self.budget))

    def build(self) -> None:
        state, value = self.pop(), self.pop()
        if not isinstance(value, Array | Dtype | Scalar | StoredObject):
            raise PickleError("got a pickle that sets the state of an object; need plain data and numpy arrays only")
        value.set_state(state, self.budget)
        self.push_known(value)

    def add_pairs(self, items: list) -> None:
        target = self.top(Pairs)
        if len(items) % 2:
            raise PickleError("got a key without a value; need a complete pickle")
        self.budget.spend(len(items) // 2 * PAIR_BYTES)
        target.extend(items)

    def push_pairs(self, items: list) -> None:
        """Push a new dictionary of keys and values by turns."""
        self.push(Pairs())
        self.add_pairs(items)

    def add_keys(self, items: list) -> None:
        self.budget.spend(len(items) * PAIR_BYTES)
        self.top(Keys).extend(items)

    def sized(self, fmt: str) -> bytes:
        """Return bytes that are preceded by their length."""
        return self.read(self.number(fmt))

    def sized_large(self, fmt: str) -> bytes | bytearray:
        """Return bytes that are preceded by their length; large data as a buffer that an array can own."""
        n = self.number(fmt)
        return self.read_large(n) if n > LARGE else self.read(n)


def brief_name(name: Any) -> str:
    return f"{name:.100}" if isinstance(name, str) else f"a {type(name).__name__}"


def _parsed(text: str) -> int:
    if len(text) > MAX_NUMBER_DIGITS:
        raise PickleError(f"got a number of {len(text)} digits; need at most {MAX_NUMBER_DIGITS}")
    return int(text)


def _long(data: bytes) -> int:
    if len(data) > MAX_NUMBER_BYTES:
        raise PickleError(f"got a number of {len(data)} bytes; need at most {MAX_NUMBER_BYTES}")
    return int.from_bytes(data, "little", signed=True)


def _integer(text: str) -> int | bool:
    return {"00": False, "01": True}[text] if text in ("00", "01") else _parsed(text)


def _quoted(text: str) -> bytes:
    """Return a string in the format of Python 2, with quotes and escapes."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in ("'", '"'):
        raise PickleError("got a string without quotes; need a complete pickle")
    return codecs.escape_decode(text[1:-1].encode("latin1"))[0]


Machine.OPCODES = {
    ord(code): handler
    for code, handler in {
        # structure
        "\x80": lambda m: m.read(1),  # PROTO
        "\x95": lambda m: m.read(8),  # FRAME: the size of the frame, which is not needed
        "(": lambda m: m.push_known(_MARK),
        "0": lambda m: m.pop(),
        "1": lambda m: m.pop_to_mark(),
        # numbers, strings, bytes
        "N": lambda m: m.push_known(None),
        "\x88": lambda m: m.push_known(True),
        "\x89": lambda m: m.push_known(False),
        "I": lambda m: m.push(_integer(m.line())),
        "L": lambda m: m.push(_parsed(m.line().rstrip("L"))),
        "F": lambda m: m.push(float(m.line())),
        "J": lambda m: m.push(m.number("<i")),
        "K": lambda m: m.push_known(m.number("<B")),
        "M": lambda m: m.push(m.number("<H")),
        "G": lambda m: m.push(m.number(">d")),
        "\x8a": lambda m: m.push(_long(m.sized("<B"))),
        "\x8b": lambda m: m.push(_long(m.sized("<i"))),
        "S": lambda m: m.push_old_text(_quoted(m.line())),
        "T": lambda m: m.push_old_text(m.sized("<i")),
        "U": lambda m: m.push_old_text(m.sized("<B")),
        "V": lambda m: m.push(m.line().encode("latin1").decode("raw-unicode-escape")),
        "X": lambda m: m.push(m.sized("<I").decode("utf-8", "surrogatepass")),
        "\x8c": lambda m: m.push(m.sized("<B").decode("utf-8", "surrogatepass")),
        "\x8d": lambda m: m.push(m.sized("<Q").decode("utf-8", "surrogatepass")),
        "B": lambda m: m.push(m.sized_large("<I")),
        "C": lambda m: m.push(m.sized("<B")),
        "\x8e": lambda m: m.push(m.sized_large("<Q")),
        "\x96": lambda m: m.push(m.sized_large("<Q")),  # BYTEARRAY8
        # tuples, lists, dicts, sets
        ")": lambda m: m.push_known(()),
        "t": lambda m: m.push(tuple(m.pop_to_mark())),
        "\x85": lambda m: m.push((m.pop(),)),
        "\x86": lambda m: m.push((m.pop(), m.pop())[::-1]),
        "\x87": lambda m: m.push((m.pop(), m.pop(), m.pop())[::-1]),
        "]": lambda m: m.push([]),
        "l": lambda m: m.push(m.pop_to_mark()),
        "a": lambda m: (lambda item: m.top(list).append(item))(m.pop()),
        "e": lambda m: (lambda items: m.top(list).extend(items))(m.pop_to_mark()),
        "}": lambda m: m.push(Pairs()),
        "d": lambda m: m.push_pairs(m.pop_to_mark()),
        "s": lambda m: m.add_pairs([m.pop(), m.pop()][::-1]),
        "u": lambda m: m.add_pairs(m.pop_to_mark()),
        "\x8f": lambda m: m.push(Keys()),
        "\x90": lambda m: m.add_keys(m.pop_to_mark()),
        "\x91": lambda m: m.push(FrozenKeys(m.pop_to_mark())),
        # memo
        "p": lambda m: m.store(_parsed(m.line())),
        "q": lambda m: m.store(m.number("<B")),
        "r": lambda m: m.store(m.number("<I")),
        "\x94": lambda m: m.store(len(m.memo)),
        "g": lambda m: m.fetch(_parsed(m.line())),
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
