"""Storage of checkpoints: local files, or any file system supported by fsspec, such as ``s3://bucket/run/mnist``.

fsspec is optional: ``pip install arignote[s3]`` installs it with its S3 backend.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from arignote.data import atomic

# These make single writes atomic. On other file systems, files are written under a temporary name and renamed.
OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"})
# A request that is not answered is given up after these seconds; s3fs repeats it, as it does after a failure.
S3_TIMEOUTS = {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 1}}
# Of these it is known that of several programs that create a file, only one succeeds.
EXCLUSIVE = frozenset({"s3", "s3a", "memory"})
FILE_TYPES = {"pkl": "pkl", "h5": "hdf", "hdf": "hdf", "csv": "csv"}


@contextmanager
def _reaching(name: str | Path) -> Iterator[None]:
    """Raise OSError for any error of a store inside the ``with`` block: each library has its own."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{name}: {type(error).__name__}: {error}") from error


def is_remote(name: str | Path) -> bool:
    """Return True if a name is a URL like ``s3://bucket/key``, and not a path.

    Examples
    --------
    >>> is_remote("s3://bucket/run/mnist"), is_remote("runs/mnist")
    (True, False)
    """
    return "://" in str(name)


def local_path(name: str | Path) -> Path | None:
    """Return the path of a file on this machine, whose URL may be ``file:///tmp/a``, or None if it is elsewhere.

    Examples
    --------
    >>> print(local_path("s3://bucket/key"))
    None
    """
    if not is_remote(name):
        return Path(name)
    if _scheme(name) in ("file", "local"):
        return Path(_open(name)[1])
    return None


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
            with _reaching(name):
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
        with _reaching(name):
            return filesystem.exists(path)
    return Path(name).is_file()


def names_in(folder: str | Path) -> list[str]:
    """Return the names of the files in a folder, without it, in order; none if there is no such folder."""
    if is_remote(folder):
        filesystem, path = _open(folder)
        with _reaching(folder):
            try:
                found = filesystem.ls(path, detail=False)
            except FileNotFoundError:
                return []
        return sorted(each.rstrip("/").rpartition("/")[2] for each in found)
    return sorted(path.name for path in Path(folder).iterdir()) if Path(folder).is_dir() else []


def write(name: str | Path, content: bytes, keep_as: str | Path | None = None) -> None:
    """Write a file atomically.

    At an address, it is uploaded under a temporary name, ``NAME.tmp``, and takes the place of an earlier file only when
    all of it has arrived.

    Parameters
    ----------
    name : str or Path
    content : bytes
    keep_as : str or Path, optional
        Keep an existing file under this name.
    """
    if is_remote(name):
        with _reaching(name):
            _write_remote(name, content, keep_as)
    else:
        if keep_as is not None and Path(name).exists():
            atomic.keep(name, keep_as)
        atomic.write(name, lambda file: file.write(content))


def put(name: str | Path, content: bytes) -> None:
    """Write a file in one request: at an address where nothing is lost if it does not arrive as a whole."""
    filesystem, path = _open(name)
    with _reaching(name):
        filesystem.pipe_file(path, content)


def create(name: str, content: bytes) -> bool:
    """Write a file at a URL, unless there is one.

    Returns
    -------
    bool
        True if the store makes sure that only one of several programs succeeds that do so at the same moment.

    Raises
    ------
    FileExistsError
        If there is one.
    """
    filesystem, path = _open(name)
    if _scheme(name) not in EXCLUSIVE:
        filesystem.pipe_file(path, content)
        return False
    try:
        filesystem.pipe_file(path, content, mode="create")
    except (TypeError, ValueError, NotImplementedError, OSError) as error:
        if filesystem.exists(path):
            raise FileExistsError(path) from error
        filesystem.pipe_file(path, content)  # the store, or this fsspec, does not know such a request
        return False
    try:
        filesystem.pipe_file(path, content, mode="create")
    except OSError:
        return True
    return False  # the store ignores what is asked for


def delete(name: str | Path) -> None:
    """Delete a file."""
    if not is_remote(name):
        Path(name).unlink()
        return
    filesystem, path = _open(name)
    with _reaching(name):
        filesystem.rm_file(path)


def require_writable(name: str | Path) -> None:
    """Raise OSError unless a file of this name can be written, by doing all that writing does.

    Temporary files of interrupted writes are deleted.
    """
    if is_remote(name):
        filesystem, path = _open(name)
        with _reaching(name):
            if filesystem.exists(f"{path}.tmp"):
                filesystem.rm_file(f"{path}.tmp")
            probe = f"{path}.writable"
            filesystem.pipe_file(probe, b"")
            filesystem.rm_file(probe)
        return
    atomic.require_writable(name)


def tolerant_makedirs(dirname: str | Path) -> None:
    """Make a folder and those above it, unless it is there, is the name of a file, or is empty.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp() + "/runs/today"
    >>> tolerant_makedirs(folder)
    >>> tolerant_makedirs(folder)
    >>> Path(folder).is_dir()
    True
    """
    with suppress(FileExistsError):
        Path(dirname).mkdir(parents=True, exist_ok=True)


def get_file_type(fname: str | Path) -> str:
    """Return what a file is by its extensions, of which the last known one counts: "pkl", "hdf" or "csv".

    Raises
    ------
    TypeError
        If none is known.

    Examples
    --------
    >>> get_file_type("mnist.pkl.gz"), get_file_type("images.h5"), get_file_type("iris.csv")
    ('pkl', 'hdf', 'csv')
    """
    for extension in reversed(str(fname).split(".")):
        if extension in FILE_TYPES:
            return FILE_TYPES[extension]
    raise TypeError(
        f"got the file name {str(fname)!r}; need the extension {', '.join(FILE_TYPES)}; try {Path(fname).stem}.pkl"
    )


def _scheme(name: str | Path) -> str:
    return str(name).split("://", 1)[0]


def _open(name: str | Path) -> tuple[Any, str]:
    """Return the fsspec file system of a URL, and the path in it."""
    try:
        import fsspec
    except ImportError as error:
        raise ImportError(
            f"got the URL {str(name)!r}; need fsspec to access it; try: pip install 'arignote[s3]'"
        ) from error
    filesystem, path = fsspec.core.url_to_fs(str(name), **_options(_scheme(name), fsspec.config.conf))
    filesystem.invalidate_cache()  # other processes may have written since
    return filesystem, path


def _options(scheme: str, configured: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a file system: short timeouts of S3, unless fsspec is configured otherwise."""
    if scheme not in ("s3", "s3a") or "config_kwargs" in {**configured.get("s3", {}), **configured.get(scheme, {})}:
        return {}
    return {"config_kwargs": dict(S3_TIMEOUTS)}


def _write_remote(name: str | Path, content: bytes, keep_as: str | Path | None) -> None:
    filesystem, path = _open(name)
    temporary = f"{path}.tmp"
    filesystem.pipe_file(temporary, content)
    filesystem.invalidate_cache()
    arrived = filesystem.info(temporary)["size"]
    if arrived != len(content):
        raise OSError(f"got {arrived} bytes at {name}.tmp after an upload of {len(content)}; need all of them")
    if keep_as is not None and filesystem.exists(path):
        filesystem.copy(path, _open(keep_as)[1])
    if _scheme(name) in OBJECT_STORES:  # a copy is atomic there
        filesystem.copy(temporary, path)
        filesystem.rm_file(temporary)
    else:
        filesystem.mv(temporary, path)
