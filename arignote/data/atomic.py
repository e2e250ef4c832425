"""Atomic writes: a file is complete or absent, even if the program or the machine stops at any moment."""

import os
import tempfile
from collections.abc import Callable
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
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write_content(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    _sync_folder(path.parent)


def require_writable(folder: Path) -> None:
    """Create a folder if necessary, and raise OSError unless it is writable."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _sync_folder(folder: Path) -> None:
    """Sync a folder to disk, since a power failure could undo a rename otherwise."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
