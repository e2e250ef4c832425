"""Storage of checkpoints: local files, or any file system supported by fsspec, such as ``s3://bucket/run/mnist``.

fsspec is optional: ``pip install arignote[s3]`` installs it with its S3 backend.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

from arignote.data import atomic

# These make single writes atomic. On other file systems, files are written under a temporary name and renamed.
OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"})


def is_remote(name: str | Path) -> bool:
    """Return True if a name is a URL like ``s3://bucket/key``, and not a path.

    Examples
    --------
    >>> is_remote("s3://bucket/run/mnist"), is_remote("runs/mnist")
    (True, False)
    """
    return "://" in str(name)


def read(name: str | Path) -> bytes:
    """Return the content of a file.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    """
    try:
        if is_remote(name):
            filesystem, path = _open(name)
            return filesystem.cat_file(path)
        return Path(name).read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise missing(name) from error


def missing(name: str | Path) -> FileNotFoundError:
    """Return the error for a file that does not exist."""
    return FileNotFoundError(f"got the file name {str(name)!r}; need a file that exists; try another path")


def exists(name: str | Path) -> bool:
    """Return True if a file exists."""
    if is_remote(name):
        filesystem, path = _open(name)
        return filesystem.exists(path)
    return Path(name).is_file()


def write(name: str | Path, content: bytes, keep_as: str | Path | None = None) -> None:
    """Write a file atomically.

    Parameters
    ----------
    name : str or Path
    content : bytes
    keep_as : str or Path, optional
        Keep an existing file under this name.
    """
    if is_remote(name):
        _write_remote(name, content, keep_as)
    else:
        if keep_as is not None and Path(name).exists():
            _link(Path(name), Path(keep_as))
        atomic.write(name, lambda file: file.write(content))


def require_writable(name: str | Path) -> None:
    """Raise OSError unless a file of this name can be written; delete temporary files of interrupted writes."""
    if is_remote(name):
        filesystem, path = _open(name)
        probe = f"{path}.writable"
        filesystem.pipe_file(probe, b"")
        filesystem.rm_file(probe)
        return
    folder = Path(name).parent
    atomic.require_writable(folder)
    for leftover in folder.glob(f".{Path(name).name}.*.tmp"):
        leftover.unlink()


def _link(source: Path, target: Path) -> None:
    """Make `target` a hard link to the file `source`, replacing an existing file atomically."""
    temporary = target.with_name(f".{target.name}.link.tmp")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    os.link(source, temporary)
    os.replace(temporary, target)


def _open(name: str | Path) -> tuple[Any, str]:
    """Return the fsspec file system of a URL, and the path in it."""
    try:
        import fsspec
    except ImportError as error:
        raise ImportError(
            f"got the URL {str(name)!r}; need fsspec to access it; try: pip install 'arignote[s3]'"
        ) from error
    filesystem, path = fsspec.core.url_to_fs(str(name))
    filesystem.invalidate_cache()  # other processes may have written since
    return filesystem, path


def _write_remote(name: str | Path, content: bytes, keep_as: str | Path | None) -> None:
    filesystem, path = _open(name)
    if keep_as is not None and filesystem.exists(path):
        filesystem.copy(path, _open(keep_as)[1])
    if str(name).split("://", 1)[0] in OBJECT_STORES:
        filesystem.pipe_file(path, content)
    else:
        filesystem.pipe_file(f"{path}.tmp", content)
        filesystem.mv(f"{path}.tmp", path)
