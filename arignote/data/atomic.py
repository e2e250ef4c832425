"""Write a file so that it is there in whole or not at all, whenever the program or the machine stops."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write(path: str | Path, write_content: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name in the same folder, and rename it when it is safely on the disk.

    Parameters
    ----------
    path : str or Path
        An existing file of this name is replaced, in one step.
    write_content : callable
        Called with a binary file, open for writing.

    Raises
    ------
    OSError
        If it cannot be written; then an earlier file of that name is as it was.
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
    """Make a folder if need be, and raise OSError unless files can be written there."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _sync_folder(folder: Path) -> None:
    """Bring the folder's entry of a renamed file to the disk, without which a power cut could undo the renaming."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
