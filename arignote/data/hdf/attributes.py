"""Single things in an HDF5 file, read with care: datasets, attributes, types."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from arignote.data import unpickle

try:
    import h5py
except ImportError:  # an extra
    h5py = None
else:
    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401  (importing it makes blosc, bzip2 and others readable)


MAX_ROW_BYTES = 2**26
MAX_CHUNK_BYTES = 2**30
# A table may unpack to this much, and to this many times the bytes that it stores.
UNPACKED_BYTES = 2**30
UNPACKED_RATIO = 2000
# What h5py, numpy and the code here raise when a file says one thing and holds another.
DAMAGE = (
    ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


class HDFError(ValueError):
    """An HDF5 file, or a table in it, cannot be used."""


@contextlib.contextmanager
def naming(what: str) -> Iterator[None]:
    """Let every error say where it was; turn those of damaged files, which can be of many kinds, into one."""
    try:
        yield
    except HDFError as error:
        raise HDFError(f"{what}: {error}") from error
    except unpickle.PickleError as error:
        raise HDFError(f"{what}: an attribute cannot be read: {error}") from error
    except DAMAGE as error:
        raise HDFError(f"{what}: got damaged data ({error!r}); need a whole file; try a copy of it") from error


def dataset_in(group: "h5py.Group", key: str) -> "h5py.Dataset":
    """Return a dataset that lies in the file itself."""
    if not isinstance(group.get(key, getlink=True), h5py.HardLink) or not isinstance(group[key], h5py.Dataset):
        raise HDFError(f"got no dataset {key!r} in the group; need a whole table; try writing it anew")
    return inside(group[key])


def inside(dataset: "h5py.Dataset") -> "h5py.Dataset":
    """Refuse a dataset whose values lie in other files, or were never written and could only fill the memory."""
    if dataset.is_virtual or dataset.external:
        raise HDFError("got a dataset that takes its values from other files; need data in the file; try copying it")
    shape, item_bytes = dataset.shape or (), dataset.dtype.itemsize
    require_fitting((), dataset.dtype)
    chunk_bytes = math.prod(dataset.chunks or ()) * item_bytes
    if dataset.chunks and chunk_bytes > MAX_CHUNK_BYTES:
        raise HDFError(f"got chunks of {chunk_bytes} bytes; need at most {MAX_CHUNK_BYTES}; try h5repack -l")
    n_bytes = dataset.id.get_storage_size()
    if math.prod(shape) * item_bytes > UNPACKED_BYTES + UNPACKED_RATIO * n_bytes:
        raise HDFError(f"got {shape} values in {n_bytes} bytes; need data that were really written; try another table")
    return dataset


def require_fitting(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse rows that are too large for a batch of them."""
    row_bytes = math.prod(shape) * dtype.itemsize
    if row_bytes > MAX_ROW_BYTES:
        raise HDFError(f"got rows of shape {shape}, {row_bytes} bytes each; need at most {MAX_ROW_BYTES}; try parts")


def text(value: Any) -> str | None:
    """Return an attribute that is a text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if value is None else str(value)


def stored(node: Any, key: str, default: Any = None) -> Any:
    """Return an attribute as PyTables stores what is no number: a text, or a pickle of plain data."""
    value = node.attrs.get(key, default)
    if isinstance(value, np.bytes_ | bytes) and value.endswith(b"."):
        with contextlib.suppress(UnicodeDecodeError):
            return unpickle.loads(bytes(value))[0]
    return value


def as_texts(labels: Any) -> list[str]:
    """Return labels as texts, by which they can be compared."""
    return [f"{text(label)}" for label in (labels.tolist() if isinstance(labels, np.ndarray) else labels)]


def require_numbers(dtype: np.dtype, what: str) -> None:
    if dtype.base.kind not in "buif":
        raise HDFError(f"got {dtype.base} in {what}; need numbers; try other columns, or numbers in their place")


def require_values(table: "h5py.Dataset", field: str, columns: list[str]) -> None:
    """Refuse columns whose numbers stand for something else."""
    dtype, meta = text(table.attrs.get(f"{field}_dtype")) or "", text(stored(table, f"{field}_meta"))
    kind = meta if meta == "category" else dtype
    if kind == "category" or kind.startswith(("datetime", "timedelta")):
        raise HDFError(
            f"got {kind} in the column {', '.join(columns)[:100]!r}; need numbers; try other columns, or numbers in "
            "their place (.cat.codes for categories)"
        )
