"""Files of named arrays in common formats: .npz (numpy) and .safetensors (Hugging Face)."""

import math
import zipfile
from collections.abc import Callable, Mapping
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from arignote.data import atomic, storage
from arignote.data.formats.errors import naming
from arignote.data.formats.packed import UNPACKED_BYTES, UNPACKED_RATIO
from arignote.util.checks import brief

SAFETENSORS_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_READ_HEADER_2 = np.lib.format.read_array_header_2_0


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


def read(name: str | Path) -> dict[str, np.ndarray]:
    """Read named arrays. No code in the file is executed.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is damaged, or its format does not match its suffix.
    ImportError
        If the package safetensors is needed and not installed.
    """
    _, read_from = _format(name)
    if not Path(name).is_file():
        raise storage.missing(name)
    with naming(name, Path(name).suffix[1:]):
        return read_from(name)


def _format(name: str | Path) -> tuple[Callable, Callable]:
    """Return the functions that write to an open file and read from a file name."""
    if not is_supported(name):
        raise ValueError(
            f"got the file name {str(name)!r}; need the suffix {' or '.join(FORMATS)}; try {Path(name).stem}.npz"
        )
    return FORMATS[Path(name).suffix]


def _write_npz(file: Any, values: Mapping[str, np.ndarray]) -> None:
    np.savez(file, **values)


def _read_npz(name: str | Path) -> dict[str, np.ndarray]:
    limit = UNPACKED_BYTES + UNPACKED_RATIO * Path(name).stat().st_size
    with zipfile.ZipFile(name) as archive:
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if total > limit:
            raise ValueError(
                f"{name}: got arrays that unpack to {total} bytes; need at most {limit} in a file of this size; "
                "try numpy.savez, which does not compress them"
            )
        return {entry.filename.removesuffix(".npy"): _read_entry(archive, entry) for entry in entries}


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """Return an array of a .npz file, whose header must fit the size of the entry before memory is taken for it."""
    try:
        with archive.open(entry) as file:
            version = np.lib.format.read_magic(file)
            read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else _READ_HEADER_2
            shape, fortran, dtype = read_header(file)
            if dtype.hasobject:
                raise ValueError("got objects, which need a pickle (allow_pickle)")
            n_bytes = entry.file_size - file.tell()
            if math.prod(shape) * dtype.itemsize != n_bytes or min(shape, default=0) < 0:
                raise ValueError(f"got {n_bytes} bytes of data for the shape {brief(shape)} and the type {dtype}")
            data = bytearray(file.read())
    except Exception as error:
        raise ValueError(f"{entry.filename[:100]!r}: {error!s:.300}") from error
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _safetensors() -> Any:
    if util.find_spec("safetensors") is None:
        raise ImportError("got no package safetensors; need it for such files; try: pip install 'arignote[export]'")
    import safetensors.numpy

    return safetensors


def _write_safetensors(file: Any, values: Mapping[str, np.ndarray]) -> None:
    file.write(_safetensors().numpy.save(dict(values), metadata={"format": "np"}))


def _read_safetensors(name: str | Path) -> dict[str, np.ndarray]:
    found = {}
    for key, entry in _safetensors().deserialize(Path(name).read_bytes()):
        kind = entry["dtype"]
        if kind not in SAFETENSORS_TYPES:
            raise ValueError(f"got {key[:100]!r} in {kind}; need one of {', '.join(SAFETENSORS_TYPES)}")
        array = np.frombuffer(entry["data"], SAFETENSORS_TYPES[kind]).reshape(entry["shape"])
        # bfloat16 is the upper half of float32, which it is read as.
        found[key] = (array.astype("<u4") << 16).view("<f4") if kind == "BF16" else array
    return found


FORMATS: dict[str, tuple[Callable, Callable]] = {
    ".npz": (_write_npz, _read_npz),
    ".safetensors": (_write_safetensors, _read_safetensors),
}
