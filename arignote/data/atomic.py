"""Atomic writes: a file is complete or absent, even if the program or the machine stops at any moment."""

import errno
import glob
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO


def write(path: str | Path, write_content: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name in the same folder, sync it to disk, and rename it.

    Parameters
    ----------
    path : str or Path
        An existing file of this name is replaced atomically.
    write_content : callable
        Called with a binary file that is open for writing.

    Raises
    ------
    OSError
        If the file cannot be written; an existing file of that name is then unchanged.
    """
    path = Path(path)
    descriptor, temporary = tempfile.mkstemp(prefix=_temporary(path, ""), suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write_content(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):  # the error before is the one to tell
            os.unlink(temporary)
        raise
    _sync_folder(path.parent)


def keep(path: str | Path, name: str | Path) -> None:
    """Keep an existing file under another name too, whatever becomes of the first one.

    It is a hard link where the file system knows them, and a copy elsewhere. A file that has this name is replaced
    atomically.
    """
    source, target = Path(path), Path(name)
    temporary = source.with_name(_temporary(source, f"{uuid.uuid4().hex}.tmp"))
    try:
        while not _try_to_link(source, temporary):
            source.stat()  # it is there: another program replaced it at this moment
        os.replace(temporary, target)
    except FileNotFoundError:
        raise
    except OSError:  # FAT has no links, and some network file systems have none either
        with open(source, "rb") as file:
            write(target, lambda copy: shutil.copyfileobj(file, copy))
    finally:
        with suppress(OSError):
            temporary.unlink()  # it is still there if both were links to the same file


def require_writable(path: str | Path) -> None:
    """Raise OSError unless a file of this name can be written, replaced, and kept under another name.

    The folder is created if necessary. Temporary files that interrupted writes of this file left are deleted.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(_temporary(Path(glob.escape(path.name)), "*.tmp")):
        leftover.unlink()
    probe, kept = (path.with_name(_temporary(path, f"{uuid.uuid4().hex}.tmp")) for _ in range(2))
    try:
        for content in (b"1", b"2"):
            write(probe, partial(_fill, content))
            keep(probe, kept)
    finally:
        for file in (probe, kept):
            file.unlink(missing_ok=True)


def _fill(content: bytes, file: BinaryIO) -> None:
    file.write(content)


def _temporary(path: Path, ending: str) -> str:
    """Return the name of a temporary file that belongs to a file, or to another temporary file of it."""
    return f".{path.name.lstrip('.')}.{ending}"


def _try_to_link(source: Path, target: Path) -> bool:
    """Make a hard link; return False if the source is not there, or was replaced at this moment."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Sync a folder to disk, since a power failure could undo a rename otherwise."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot do this for folders
            raise
    finally:
        os.close(descriptor)
