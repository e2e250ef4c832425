"""Files that may be packed by gzip, unpacked up to a limit."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from arignote.data import storage
from arignote.data.unpickle.budget import default_limit

# A packed file may unpack to this much, and to this many times its own size.
UNPACKED_BYTES = 64 * 2**20
UNPACKED_RATIO = 100


class CheckpointError(OSError, ValueError):
    """A checkpoint or a pickle cannot be read; nothing in it was run."""


def read_bytes(name: str | Path, max_bytes: int | None = None, least: int = UNPACKED_BYTES) -> bytes:
    """Return the content of a file, unpacked if it is packed, up to a limit; see `unpacked`."""
    with unpacked(name, max_bytes, least) as (file, _):
        return file.read()


@contextmanager
def unpacked(
    name: str | Path, max_bytes: int | None = None, least: int = UNPACKED_BYTES
) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file, to be unpacked while it is read if it is packed, up to a limit.

    The limit, which comes with the file, is `max_bytes`; or `least`, 64 MiB, and a multiple of the file's size. What is
    made of the content should not take more memory either.

    Raises
    ------
    CheckpointError
        If the packed file is damaged, or unpacks to more than the limit.
    """
    content = storage.read(name)
    if content[:2] != b"\x1f\x8b":
        yield io.BytesIO(content), default_limit(len(content)) if max_bytes is None else max_bytes
        return
    limit = least + UNPACKED_RATIO * len(content) if max_bytes is None else max_bytes
    try:
        with gzip.open(io.BytesIO(content)) as packed, io.BufferedReader(_Limited(packed, limit), 2**16) as file:
            yield file, limit
    except _TooLargeError as error:
        raise CheckpointError(
            f"{name}: got a file of {len(content)} bytes that unpacks to more than {limit}; need a smaller one; "
            "try max_bytes=... if you trust its author, or unpacking it"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise CheckpointError(f"{name}: got a damaged gzip file ({error}); need a whole one; try a copy") from error


class _TooLargeError(OSError):
    """More was read than a limit allows."""


class _Limited(io.RawIOBase):
    """A file of which no more than `limit` bytes can be read."""

    def __init__(self, file: io.BufferedIOBase, limit: int):
        self._file, self._left = file, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = self._file.readinto(buffer)
        self._left -= n
        if self._left < 0:
            raise _TooLargeError
        return n
