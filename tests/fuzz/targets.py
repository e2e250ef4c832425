"""What is fuzzed: a function of some bytes, the errors that it may raise, and contents to begin with."""

import io
import os
import pickle
import struct
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from arignote.data import files, unpickle
from arignote.data.formats import arrays
from arignote.data.hdf import attributes

ARRAY = np.arange(6, dtype="f4").reshape(2, 3)
PLAIN = {"a": [1, 2.5, None, True, -(2**40)], "b": ("text", b"bytes", ()), 3: ARRAY, "s": ARRAY[0, 0]}


@dataclass(frozen=True)
class Target:
    """A function that reads bytes of unknown origin.

    Attributes
    ----------
    read : callable
        Of bytes.
    errors : type or tuple of type
        What it may raise.
    seeds : callable
        Returns contents to begin with.
    """

    read: Callable[[bytes], Any]
    errors: Any
    seeds: Callable[[], Iterator[bytes]]

    def __call__(self, data: bytes) -> None:
        """Read bytes, and let through only errors that users should never see."""
        with suppress(self.errors):
            self.read(data)


def as_file(suffix: str, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
    """Return a function of bytes that writes them to a file, in memory if possible, for a function of its path."""
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

    def read_bytes(data: bytes) -> Any:
        with tempfile.TemporaryDirectory(dir=in_memory) as folder:
            path = Path(folder) / f"fuzz{suffix}"
            path.write_bytes(data)
            return read(path)

    return read_bytes


def pickles() -> Iterator[bytes]:
    for protocol in range(6):
        yield pickle.dumps(PLAIN, protocol)
        if protocol >= 4:
            yield pickle.dumps([{1, "x"}, frozenset({(1, 2)})], protocol)
        yield pickle.dumps([np.array(["ab", "c"]), np.float64(2), ARRAY.T, ()], protocol)
    yield b"\x80\x02(U\x01aI00\nL12L\nF1.5\nV\\u00e9\nS'x'\ntp2\n."
    yield pickle.dumps(OrderedDict(a=1), 2)


def read_attribute(data: bytes) -> Any:
    node = SimpleNamespace(attrs={"x": np.bytes_(data + b".")})
    with attributes.error_context("a table"):
        value = attributes.read_attribute(node, "x")
        return attributes.to_string(value), attributes.to_strings(value if isinstance(value, list) else [value])


def idx_files() -> Iterator[bytes]:
    for code, dtype in ((8, ">u1"), (9, ">i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")):
        yield struct.pack(">BBBBii", 0, 0, code, 2, 2, 3) + ARRAY.astype(dtype).tobytes()


def npz_files() -> Iterator[bytes]:
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, a=ARRAY, b=np.arange(3).T, c=np.array(["x"]))
        yield buffer.getvalue()


def tables() -> Iterator[bytes]:
    yield b"a,b,label\n1,2.5,0\n3,4,1\n"
    yield b'1,"2",x\r\n3,4,y\r\n'
    yield b"\xef\xbb\xbf0,1,2\n1e5,nan,-inf\n"


TARGETS = {
    "unpickle": Target(
        lambda data: unpickle.loads(data, max_bytes=2**20 + 32 * len(data)), unpickle.PickleError, pickles
    ),
    "attributes": Target(read_attribute, attributes.HDFError, pickles),
    "idx": Target(as_file("-idx", files.read_idx), ValueError, idx_files),
    "npz": Target(as_file(".npz", arrays.read), ValueError, npz_files),
    "csv": Target(as_file(".csv", files.read_csv), ValueError, tables),
}
CORPUS = Path(__file__).parent / "corpus"


def found(name: str) -> list[Path]:
    """Return the files of the corpus of a target: contents that once were read wrongly."""
    return sorted((CORPUS / name).glob("*"))
