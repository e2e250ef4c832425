"""Tables of numbers in text files: CSV."""

import io
from pathlib import Path

import numpy as np

from arignote.data.formats.packed import read_bytes


def read_csv(name: str | Path, label: str | int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read features and labels from a table of numbers, separated by commas.

    Parameters
    ----------
    name : str or Path
        May be compressed (.gz).
    label : str or int, optional
        Name or number of the column of labels. By default the column named "label", "labels", "target", "class" or
        "y", else the last one.

    Returns
    -------
    features : float32 array, shape (n_rows, n_columns - 1)
    labels : float64 array, shape (n_rows,)

    Raises
    ------
    ValueError
        If there is no such column, or a field is not a number.
    """
    header, table = read_table(name)
    column = _label_column(header, table.shape[1], label, name)
    return np.delete(table, column, axis=1).astype(np.float32), table[:, column]


def read_table(name: str | Path) -> tuple[list[str], np.ndarray]:
    """Return the names of the columns of a table, if its first line has them, and its numbers, float64 of two axes.

    Raises
    ------
    ValueError
        If a field is not a number.
    """
    text = read_bytes(name).decode("utf-8-sig")
    first_line = text.split("\n", 1)[0].strip()
    header = [field.strip().strip('"') for field in first_line.split(",")]
    has_header = not all(_is_number(field) for field in header)
    try:
        table = np.loadtxt(io.StringIO(text), delimiter=",", skiprows=int(has_header), ndmin=2)
    except ValueError as error:
        raise ValueError(f"{name}: got {error}; need numbers separated by commas; try another file") from error
    return header if has_header else [], table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _label_column(header: list[str], n_columns: int, label: str | int | None, name: str | Path) -> int:
    """Return the number of the column of labels."""
    if isinstance(label, int) and -n_columns <= label < n_columns:
        return label % n_columns
    if label is None:
        usual = [i for i, field in enumerate(header) if field.lower() in ("label", "labels", "target", "class", "y")]
        return usual[0] if usual else n_columns - 1
    if label in header:
        return header.index(label)
    raise ValueError(f"{name}: got label={label!r}; need one of the columns; try one of {header or range(n_columns)}")
