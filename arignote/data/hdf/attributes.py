"""Safe access to the datasets, attributes and types in an HDF5 file."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from arignote.data import unpickle

try:
    import h5py
except ImportError:  # an optional dependency
    h5py = None
else:
    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401  (the import registers blosc, bzip2 and other filters)


MAX_ROW_BYTES = 2**26
MAX_CHUNK_BYTES = 2**30
# A table may decompress to this many bytes plus this many times its stored size.
DECOMPRESSED_BYTES = 2**30
DECOMPRESSED_RATIO = 2000
# An attribute, stored as a pickle, may take this much memory: a file has many of them.
ATTRIBUTE_BYTES = 2**20
ATTRIBUTE_RATIO = 32
# The exceptions that h5py, numpy and the code here raise for inconsistent files.
DAMAGE_ERRORS = (
    ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


class HDFError(ValueError):
    """An HDF5 file, or a table in it, cannot be used."""


@contextlib.contextmanager
def error_context(what: str) -> Iterator[None]:
    """Add a prefix to error messages, and convert the many exceptions of damaged files to HDFError."""
    try:
        yield
    except HDFError as error:
        raise HDFError(f"{what}: {error}") from error
    except unpickle.PickleError as error:
        raise HDFError(f"{what}: an attribute cannot be read: {error}") from error
    except DAMAGE_ERRORS as error:
        raise HDFError(f"{what}: got damaged data ({error!r}); need an intact file; try another copy") from error


def get_dataset(group: "h5py.Group", key: str) -> "h5py.Dataset":
    """Return a dataset of a group; refuse links."""
    if not isinstance(group.get(key, getlink=True), h5py.HardLink) or not isinstance(group[key], h5py.Dataset):
        raise HDFError(f"got no dataset {key!r} in the group; need a complete table; try writing it again")
    return check_dataset(group[key])


def check_dataset(dataset: "h5py.Dataset") -> "h5py.Dataset":
    """Refuse a dataset with values in other files, or with a shape far larger than its stored data; return it."""
    if dataset.is_virtual or dataset.external:
        raise HDFError("got a dataset that takes its values from other files; need data in the file; try copying it")
    shape, item_bytes = dataset.shape or (), dataset.dtype.itemsize
    check_row_size((), dataset.dtype)
    chunk_bytes = math.prod(dataset.chunks or ()) * item_bytes
    if dataset.chunks and chunk_bytes > MAX_CHUNK_BYTES:
        raise HDFError(f"got chunks of {chunk_bytes} bytes; need at most {MAX_CHUNK_BYTES}; try h5repack -l")
    n_bytes = dataset.id.get_storage_size()
    if math.prod(shape) * item_bytes > DECOMPRESSED_BYTES + DECOMPRESSED_RATIO * n_bytes:
        raise HDFError(f"got {shape} values in {n_bytes} bytes; need data of that size; try another table")
    return dataset


def check_row_size(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse rows that are too large for a batch."""
    row_bytes = math.prod(shape) * dtype.itemsize
    if row_bytes > MAX_ROW_BYTES:
        raise HDFError(
            f"got rows of shape {shape}, {row_bytes} bytes each; need {MAX_ROW_BYTES} or less; try smaller rows"
        )


def to_string(value: Any) -> str | None:
    """Return a text attribute as a string."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if value is None else str(value)


def read_attribute(node: Any, key: str, default: Any = None) -> Any:
    """Return an attribute stored by PyTables; unpickle plain data."""
    value = node.attrs.get(key, default)
    if isinstance(value, np.bytes_ | bytes) and value.endswith(b"."):
        with contextlib.suppress(UnicodeDecodeError):
            return unpickle.loads(bytes(value), max_bytes=ATTRIBUTE_BYTES + ATTRIBUTE_RATIO * len(value))[0]
    return value


def to_strings(labels: Any) -> list[str]:
    """Return labels as strings, so that they can be compared."""
    return [f"{to_string(label)}" for label in (labels.tolist() if isinstance(labels, np.ndarray) else labels)]


def check_numeric(dtype: np.dtype, what: str) -> None:
    if dtype.base.kind not in "buif":
        raise HDFError(f"got {dtype.base} in {what}; need numbers; try other columns, or convert them to numbers")


def check_plain_values(table: "h5py.Dataset", field: str, columns: list[str]) -> None:
    """Refuse columns whose numbers encode categories or times."""
    dtype, meta = to_string(table.attrs.get(f"{field}_dtype")) or "", to_string(read_attribute(table, f"{field}_meta"))
    kind = meta if meta == "category" else dtype
    if kind == "category" or kind.startswith(("datetime", "timedelta")):
        raise HDFError(
            f"got {kind} in the column {', '.join(columns)[:100]!r}; need numbers; try other columns, or convert "
            "them to numbers (.cat.codes for categories)"
        )
