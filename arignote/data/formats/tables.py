"""Tables in text files: CSV."""

import csv
import itertools
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arignote.data.formats.errors import naming
from arignote.data.formats.packed import UNPACKED_BYTES, read_bytes

logger = logging.getLogger(__name__)

# A compressed table may unpack to this much, and to a multiple of its size; as numbers it takes four times as much.
TEXT_BYTES = 16 * 2**20
# An array of labels may have this many times as many characters as the text.
LABELS_RATIO = 16
SHOWN_NAMES = 20
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
    table = _split(name, max_bytes)
    header, n_columns = table.header, table.n_columns
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
    logger.info("%s: the labels are in the column %r.", name, column if header is None else header[column])
    others = [i for i in range(n_columns) if i != column]
    features = _single(_numbers(table, others), name)
    return LabelledTable(None if header is None else [header[i] for i in others], features, _labels(table, column))


def read_table(name: str | Path) -> tuple[list[str] | None, np.ndarray]:
    """Return the names of the columns of a table, if its first line has them, and its numbers, float64 of two axes.

    Raises
    ------
    ValueError
        If a field is not a number.
    """
    with naming(name, "CSV"):
        table = _split(name)
        return table.header, _numbers(table, range(table.n_columns))


def read_columns(name: str | Path) -> tuple[list[str] | None, int]:
    """Return the names of the columns of a table, if its first line has them, and their number."""
    with naming(name, "CSV"):
        table = _split(name)
        return table.header, table.n_columns


@dataclass
class _Table:
    """The text of a table.

    Attributes
    ----------
    name : str or Path
        The file.
    header : list of str or None
        Names of the columns, if the first line has them.
    text : str
        All lines.
    start : int
        Where in the text the rows begin.
    n_columns : int
        Number of fields in the first line.
    """

    name: str | Path
    header: list[str] | None
    text: str
    start: int
    n_columns: int

    def lines(self) -> Iterator[str]:
        """Iterate over the lines of the rows."""
        return _lines(self.text, self.start)

    def rows(self) -> Iterator[list[str]]:
        """Iterate over the fields of the rows; blank lines are none."""
        return (row for row in csv.reader(self.lines()) if row)


def _split(name: str | Path, max_bytes: int | None = None) -> _Table:
    """Return a table, divided into the names of its columns, if the first line has them, and its rows.

    Names are text, but for 0, 1, 2, ..., as pandas numbers columns. Where there are such numbers, the line has names if
    it has text where the second line has a number, or text that stands in its column nowhere else.
    """
    content = read_bytes(name, max_bytes, TEXT_BYTES)
    text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    reader = csv.reader(_lines(text))
    rows = ([field.strip() for field in row] for row in reader if row)
    first = next(rows, [])
    n_lines = reader.line_num
    second = next(rows, [])
    if not first or (not second and not any(map(_is_number, first))):
        raise ValueError(f"{name}: got a table without rows; need at least one; try another file")
    if not _is_header(first, second, rows):
        return _Table(name, None, text, 0, len(first))
    if len(first) != len(second):
        raise ValueError(
            f"{name}: got {len(first)} names of columns, and {len(second)} fields in row 0; need as many of one as of "
            "the other; try a name for each column"
        )
    return _Table(name, first, text, sum(map(len, itertools.islice(_lines(text), n_lines))), len(first))


def _is_header(first: list[str], second: list[str], others: Iterator[list[str]]) -> bool:
    """Return True if the fields of the first line are names; `others` are the rows behind the second."""
    numbers = [field for field in first if _is_number(field)]
    if numbers and (len(numbers) == len(first) or numbers != [str(i) for i in range(len(numbers))]):
        return False
    names = {i for i in range(min(len(first), len(second))) if not _is_number(first[i])}
    if not numbers or any(_is_number(second[i]) for i in names):
        return True
    for row in itertools.chain([second], others):  # names that no row has in their column
        names = {i for i in names if i >= len(row) or row[i] != first[i]}
        if not names:
            break
    return bool(names)


def _lines(text: str, start: int = 0) -> Iterator[str]:
    """Iterate over the lines of a text, each with a newline. A StringIO would take four times the memory of the text.

    Without a newline, `loadtxt` of numpy 1.23 writes behind its buffer where the last line ends with a comma.
    """
    while start < len(text):
        stop = text.find("\n", start)
        stop = len(text) if stop < 0 else stop
        yield text[start:stop] + "\n"
        start = stop + 1


def _numbers(table: _Table, columns: Sequence[int]) -> np.ndarray:
    """Return columns of numbers, float64 of two axes."""
    try:
        return np.loadtxt(table.lines(), delimiter=",", quotechar='"', usecols=columns, ndmin=2, comments=None)
    except ValueError as error:
        for row, fields in enumerate(table.rows()):
            for i in columns:
                if i >= len(fields) or not _is_number(fields[i]):
                    got = f"{fields[i]!r:.100}" if i < len(fields) else "no field"
                    called = i if table.header is None else f"{table.header[i]!r:.100}"
                    raise ValueError(
                        f"{table.name}: got {got} in row {row}, column {called}; need a number; try leaving the column "
                        "or row out, or numbers for its values, such as pandas.get_dummies makes"
                    ) from error
        raise ValueError(f"{table.name}: got {error}; need numbers separated by commas; try another file") from error


def _single(numbers: np.ndarray, name: str | Path) -> np.ndarray:
    """Return numbers as float32; refuse those that it does not have."""
    with np.errstate(over="ignore"):
        single = numbers.astype(np.float32)
    too_large = np.isinf(single) & np.isfinite(numbers)
    if too_large.any():
        row, column = np.argwhere(too_large)[0]
        raise ValueError(
            f"{name}: got {numbers[row, column]:g} in row {row}; need numbers that float32 has, up to "
            f"{np.finfo(np.float32).max:.2g}; try scaling the column"
        )
    return single


def _labels(table: _Table, column: int) -> np.ndarray:
    """Return the column of labels, numbers or text."""
    labels = [row[column].strip() if column < len(row) else "" for row in table.rows()]
    for row, field in enumerate(labels):
        if field.lower() in ("", "nan"):
            raise ValueError(f"{table.name}: got no label in row {row}; need one for each row; try leaving the row out")
    if all(map(_is_number, labels)):
        return np.array([float(field) for field in labels])
    longest = max(labels, key=len)  # an array takes as much for each of the others
    if len(longest) * len(labels) > UNPACKED_BYTES // 4 + LABELS_RATIO * len(table.text):
        raise ValueError(
            f"{table.name}: got a label of {len(longest)} characters, {longest[:50]!r}...; need names of classes; "
            "try another column, or shorter names"
        )
    return np.array(labels)


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
    known = header[:SHOWN_NAMES] or range(n_columns)
    raise ValueError(f"{name}: got label={label!r}; need one of the columns; try one of {known}")
