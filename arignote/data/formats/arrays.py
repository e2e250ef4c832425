"""Files of named arrays in common formats: .npz (numpy) and .safetensors (Hugging Face)."""

import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from arignote.data import atomic, storage
from arignote.data.formats import npy
from arignote.data.formats.errors import naming
from arignote.data.formats.packed import UNPACKED_BYTES, UNPACKED_RATIO

SAFETENSORS_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def is_supported(name: str | Path) -> bool:
    """Return True if a file is in a supported format, judging by its suffix."""
    return Path(name).suffix in FORMATS


def write(name: str | Path, values: Mapping[str, np.ndarray]) -> Path:
    """Write named arrays to a file atomically.

    Parameters
    ----------
    name : str or Path
        The suffix is .npz or .safetensors.
    values : dict of str to array

    Raises
    ------
    ValueError
        If the suffix is another one.
    ImportError
        If the package safetensors is needed and not installed.
    """
    write_to, _ = _format(name)
    atomic.write(name, lambda file: write_to(file, {key: np.ascontiguousarray(v) for key, v in values.items()}))
    return Path(name)


def read(name: str | Path, choose: Callable[[Iterable[str]], Iterable[str]] = list) -> dict[str, np.ndarray]:
    """Read named arrays. No code in the file is executed.

    Parameters
    ----------
    name : str or Path
    choose : callable, optional
        Given the names of the arrays, returns those to read, before any is unpacked; by default all.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is damaged, or its format does not match its suffix.
    ImportError
        If the package safetensors is needed and not installed.
    """
    _, open_from = _format(name)
    if not Path(name).is_file():
        raise storage.missing(name)
    kind = Path(name).suffix[1:]
    with ExitStack() as stack:
        with naming(name, kind):
            stored = open_from(name, stack)
        wanted = choose(stored)
        with naming(name, kind):
            return {key: stored[key]() for key in wanted}


def _format(name: str | Path) -> tuple[Callable, Callable]:
    """Return the functions that write to an open file, and that find the arrays of a file."""
    if not is_supported(name):
        raise ValueError(
            f"got the file name {str(name)!r}; need the suffix {' or '.join(FORMATS)}; try {Path(name).stem}.npz"
        )
    return FORMATS[Path(name).suffix]


def _write_npz(file: Any, values: Mapping[str, np.ndarray]) -> None:
    np.savez(file, **values)


def _open_npz(name: str | Path, stack: ExitStack) -> dict[str, Callable[[], np.ndarray]]:
    """Return a function for each array that reads it, while the file is open."""
    limit = UNPACKED_BYTES + UNPACKED_RATIO * Path(name).stat().st_size
    archive = stack.enter_context(zipfile.ZipFile(name))
    entries = archive.infolist()
    total = sum(entry.file_size for entry in entries)
    if total > limit:
        raise ValueError(
            f"{name}: got arrays that unpack to {total} bytes; need at most {limit} in a file of this size; "
            "try numpy.savez, which does not compress them"
        )
    stored: dict[str, Callable[[], np.ndarray]] = {
        entry.filename.removesuffix(".npy"): partial(_read_entry, archive, entry) for entry in entries
    }
    if len(stored) < len(entries):
        raise ValueError(f"{name}: got several arrays of one name; need one for each; try another copy")
    return stored


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    try:
        with archive.open(entry) as file:
            return npy.read_stream(file, entry.file_size)
    except Exception as error:
        raise ValueError(f"{entry.filename[:100]!r}: {error!s:.300}") from error


def _safetensors() -> Any:
    if util.find_spec("safetensors") is None:
        raise ImportError("got no package safetensors; need it for such files; try: pip install 'arignote[export]'")
    import safetensors.numpy

    return safetensors


def _write_safetensors(file: Any, values: Mapping[str, np.ndarray]) -> None:
    file.write(_safetensors().numpy.save(dict(values), metadata={"format": "np"}))


def _open_safetensors(name: str | Path, stack: ExitStack) -> dict[str, Callable[[], np.ndarray]]:
    entries = _safetensors().deserialize(Path(name).read_bytes())
    return {key: partial(_read_tensor, key, entry) for key, entry in entries}


def _read_tensor(key: str, entry: Mapping[str, Any]) -> np.ndarray:
    kind = entry["dtype"]
    if kind not in SAFETENSORS_TYPES:
        raise ValueError(f"got {key[:100]!r} in {kind}; need one of {', '.join(SAFETENSORS_TYPES)}")
    array = np.frombuffer(entry["data"], SAFETENSORS_TYPES[kind]).reshape(entry["shape"])
    # bfloat16 is the upper half of float32, which it is read as.
    return (array.astype("<u4") << 16).view("<f4") if kind == "BF16" else array


FORMATS: dict[str, tuple[Callable, Callable]] = {
    ".npz": (_write_npz, _open_npz),
    ".safetensors": (_write_safetensors, _open_safetensors),
}
