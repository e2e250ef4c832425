"""Tables in text files: CSV."""

import csv
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arignote.data.formats.errors import naming
from arignote.data.formats.packed import read_bytes

# A compressed table may unpack to this much, and to a multiple of its size; as numbers it takes four times as much.
TEXT_BYTES = 16 * 2**20
LABEL_NAMES = ("label", "labels", "target", "class", "y")


@dataclass
class LabelledTable:
    """Features and labels of a table.

    Attributes
    ----------
    columns : list of str or None
        Names of the features, if the first line has them.
    features : float32 array, shape (n_rows, n_columns - 1)
    labels : float64 or text array, shape (n_rows,)
    """

    columns: list[str] | None
    features: np.ndarray
    labels: np.ndarray


def read_csv(
    name: str | Path, label: str | int | None = None, max_bytes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read features and labels from a table, separated by commas.

    Parameters
    ----------
    name : str or Path
        May be compressed (.gz).
    label : str or int, optional
        Name or number of the column of labels. By default the column named "label", "labels", "target", "class" or,
        unless there is one named "x", "y"; else the last one.
    max_bytes : int, optional
        Refuse a compressed file that unpacks to more. By default 16 MiB and a hundred times its size.

    Returns
    -------
    features : float32 array, shape (n_rows, n_columns - 1)
    labels : float64 or text array, shape (n_rows,)

    Raises
    ------
    ValueError
        If there is no such column, or a feature is not a number.
    """
    table = read_labelled_table(name, label, max_bytes)
    return table.features, table.labels


def read_labelled_table(
    name: str | Path, label: str | int | None = None, max_bytes: int | None = None
) -> LabelledTable:
    """Read features with their names, and labels; see `read_csv`."""
    with naming(name, "CSV"):
        return _labelled_table(name, label, max_bytes)


def _labelled_table(name: str | Path, label: str | int | None, max_bytes: int | None) -> LabelledTable:
    header, text = _header_and_rows(name, max_bytes)
    n_columns = len(next(csv.reader(_lines(text))))
    if n_columns < 2:
        raise ValueError(
            f"{name}: got one column; need features and labels, separated by commas; try another separator"
        )
    if header is not None and "" in header:
        warnings.warn(
            f"{name}: got a column without a name, which is used as a feature; pandas writes the row numbers there, "
            "which can give away the labels; try frame.to_csv(..., index=False)",
            stacklevel=3,
        )
    column = _label_column(header or [], n_columns, label, name)
    others = [i for i in range(n_columns) if i != column]
    features = _numbers(text, others, header, name).astype(np.float32)
    fields = np.loadtxt(_lines(text), str, delimiter=",", quotechar='"', usecols=column, ndmin=1, comments=None)
    labels = np.char.strip(fields)
    for row, field in enumerate(labels.tolist()):
        if field.lower() in ("", "nan"):
            raise ValueError(f"{name}: got no label in row {row}; need one for each row; try leaving the row out")
    if all(_is_number(field) for field in labels.tolist()):
        labels = labels.astype(np.float64)
    return LabelledTable(None if header is None else [header[i] for i in others], features, labels)


def read_table(name: str | Path) -> tuple[list[str] | None, np.ndarray]:
    """Return the names of the columns of a table, if its first line has them, and its numbers, float64 of two axes.

    Raises
    ------
    ValueError
        If a field is not a number.
    """
    with naming(name, "CSV"):
        header, text = _header_and_rows(name)
        return header, _numbers(text, range(len(next(csv.reader(_lines(text))))), header, name)


def read_column_names(name: str | Path) -> list[str] | None:
    """Return the names of the columns of a table, if its first line has them."""
    with naming(name, "CSV"):
        return _header_and_rows(name)[0]


def _header_and_rows(name: str | Path, max_bytes: int | None = None) -> tuple[list[str] | None, str]:
    """Return the names of the columns, if the first line has them, and the lines of the rows.

    Names are text, but for 0, 1, 2, ..., as pandas numbers columns. Where there are such numbers, the line has names if
    it has text where the second line has a number, or text that stands in its column nowhere else.
    """
    text = (
        read_bytes(name, max_bytes, TEXT_BYTES)
        .decode("utf-8-sig")
        .replace("\r\n", "\n")
        .replace("\r", "\n")
        .lstrip("\n")
    )
    first, second = _first_rows(text, name)
    numbers = [field for field in first if _is_number(field)]
    if numbers and (len(numbers) == len(first) or numbers != [str(i) for i in range(len(numbers))]):
        return None, text
    is_header = not numbers or any(
        not _is_number(one) and (_is_number(other) or _is_alone(i, text))
        for i, (one, other) in enumerate(zip(first, second, strict=False))
    )
    return (first, text.partition("\n")[2]) if is_header else (None, text)


def _lines(text: str) -> Iterator[str]:
    """Iterate over the lines of a text, each with a newline. A StringIO would take four times the memory of the text.

    Without a newline, `loadtxt` of numpy 1.23 writes behind its buffer where the last line ends with a comma.
    """
    start = 0
    while start < len(text):
        stop = text.find("\n", start)
        stop = len(text) if stop < 0 else stop
        yield text[start:stop] + "\n"
        start = stop + 1


def _is_alone(column: int, text: str) -> bool:
    """Return True if the first field of a column stands in it nowhere else."""
    first, *others = (row[column].strip() for row in csv.reader(_lines(text)) if len(row) > column)
    return first not in others


def _first_rows(text: str, name: str | Path) -> tuple[list[str], list[str]]:
    rows = csv.reader(_lines(text))
    first, second = ([field.strip() for field in next(rows, [])] for _ in range(2))
    if not first or (not second and not any(map(_is_number, first))):
        raise ValueError(f"{name}: got a table without rows; need at least one; try another file")
    return first, second


def _numbers(text: str, columns: Sequence[int], header: list[str] | None, name: str | Path) -> np.ndarray:
    """Return columns of numbers, float64 of two axes."""
    try:
        return np.loadtxt(_lines(text), delimiter=",", quotechar='"', usecols=columns, ndmin=2, comments=None)
    except ValueError as error:
        for row, fields in enumerate(csv.reader(_lines(text))):
            for i in columns if fields else ():
                if i >= len(fields) or not _is_number(fields[i]):
                    got = repr(fields[i]) if i < len(fields) else "no field"
                    called = i if header is None else repr(header[i])
                    raise ValueError(
                        f"{name}: got {got} in row {row}, column {called}; need a number; try leaving the column or "
                        "row out, or numbers for its values, such as pandas.get_dummies makes"
                    ) from error
        raise ValueError(f"{name}: got {error}; need numbers separated by commas; try another file") from error


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
        names = [field.lower() for field in header]
        usual = [name for name in LABEL_NAMES if name in names and not (name == "y" and "x" in names)]  # coordinates
        return names.index(usual[0]) if usual else n_columns - 1
    if label in header:
        return header.index(label)
    raise ValueError(f"{name}: got label={label!r}; need one of the columns; try one of {header or range(n_columns)}")
