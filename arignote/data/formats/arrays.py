"""Files of named arrays in common formats: .npz (numpy) and .safetensors (Hugging Face)."""

import zipfile
from collections.abc import Callable, Mapping
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from arignote.data import atomic, storage


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
    try:
        return read_from(name)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        kind = Path(name).suffix[1:]
        raise ValueError(
            f"{name}: got a file that cannot be read as {kind} ({error}); need an intact one; try another copy"
        ) from error


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
    with open(name, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def _safetensors() -> Any:
    if util.find_spec("safetensors") is None:
        raise ImportError("got no package safetensors; need it for such files; try: pip install 'arignote[export]'")
    import safetensors.numpy

    return safetensors


def _write_safetensors(file: Any, values: Mapping[str, np.ndarray]) -> None:
    file.write(_safetensors().numpy.save(dict(values), metadata={"format": "np"}))


def _read_safetensors(name: str | Path) -> dict[str, np.ndarray]:
    library = _safetensors()
    try:
        return library.numpy.load_file(name)
    except library.SafetensorError as error:
        raise ValueError(error) from error


FORMATS: dict[str, tuple[Callable, Callable]] = {
    ".npz": (_write_npz, _read_npz),
    ".safetensors": (_write_safetensors, _read_safetensors),
}
