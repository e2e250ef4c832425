"""Data frames: the names of their columns, and their values as numbers.

Frames are recognized by what they have, so that pandas need not be installed.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

SHOWN = 10


def column_names(table: Any) -> list[str] | None:
    """Return the names of the columns of a data frame, as text; None for anything else."""
    names = getattr(table, "columns", None)
    if isinstance(table, np.ndarray) or names is None or not hasattr(table, "shape"):
        return None
    return [str(name) for name in names] or None


def is_pandas_frame(table: Any) -> bool:
    """Return True for a data frame of pandas."""
    return type(table).__module__.startswith("pandas.") and hasattr(table, "columns")


def as_features(table: Any) -> Any:
    """Return the values of a data frame of pandas as an array of numbers; anything else as it is.

    Raises
    ------
    ValueError
        If a column has text, categories, times or missing values. The message names all such columns.

    Examples
    --------
    >>> import pandas as pd
    >>> as_features(pd.DataFrame({"width": [1, 2], "is_new": [True, False]}))
    array([[1., 1.],
           [2., 0.]])
    """
    if not is_pandas_frame(table):
        return table
    if all(isinstance(kind, np.dtype) and kind.kind in "biuf" for kind in table.dtypes.unique()):
        values = np.asarray(table)
        if values.dtype.kind != "f" or not np.isnan(values).any():
            return values if values.dtype.kind in "biuf" else table.to_numpy(dtype=np.float64)
    wrong = [problem for name in range(table.shape[1]) for problem in [_problem(table.iloc[:, name])] if problem]
    if wrong:
        raise ValueError(
            f"got a data frame in which {'; '.join(wrong)}; need numbers in all columns; try frame.fillna(...) for "
            "missing values, pandas.get_dummies(frame) for text and categories, or frame.drop(columns=[...])"
        )
    values = np.asarray(table)
    return values if values.dtype.kind in "biuf" else table.to_numpy(dtype=np.float64)


def require_same_order(features: Any, labels: Any) -> None:
    """Refuse a data frame and labels whose index has the same entries in another order: rows are taken by position.

    Raises
    ------
    ValueError
        The message names the first row that differs.

    Examples
    --------
    >>> import pandas as pd
    >>> frame, labels = pd.DataFrame({"width": [1, 2]}, index=[7, 3]), pd.Series([0, 1], index=[3, 7])
    >>> require_same_order(frame, labels)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: got features and labels whose index differs from row 0 on (7 and 3); need ...
    """
    if not (_has_index(features) and _has_index(labels)) or len(features) != len(labels):
        return
    one, other = features.index, labels.index
    if one.equals(other) or not (one.is_unique and other.is_unique) or not one.difference(other, sort=False).empty:
        return
    row = next(i for i in range(len(one)) if one[i] != other[i])
    raise ValueError(
        f"got features and labels whose index differs from row {row} on ({one[row]} and {other[row]}); need the rows "
        "of both in one order; try labels.loc[features.index]"
    )


def _has_index(table: Any) -> bool:
    return type(table).__module__.startswith("pandas.") and hasattr(table, "index")


def as_labels(table: Any) -> Any:
    """Return the only column of a data frame of pandas; anything else as it is."""
    return table.iloc[:, 0] if is_pandas_frame(table) and table.shape[1] == 1 else table


def _problem(column: Any) -> str | None:
    """Return what is wrong with a column of a frame, in words."""
    kind = column.dtype
    if getattr(kind, "categories", None) is not None:
        return f"the column {column.name!r} has categories"
    if getattr(kind, "kind", "O") in "Mm":
        return f"the column {column.name!r} has times"
    if getattr(kind, "kind", "O") not in "biuf":
        example = next((value for value in column.tolist() if isinstance(value, str)), None)
        return f"the column {column.name!r} has " + ("objects" if example is None else f"text, such as {example!r:.40}")
    n_missing = int(column.isna().sum())
    return f"the column {column.name!r} has {n_missing} missing values" if n_missing else None


def positions(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return where the columns of a table are that are wanted, in the order in which they are wanted.

    Where one of the two has nothing but the numbers of the columns for names, as frames do that are made of arrays, and
    the other one has names, columns are taken as they come.

    Raises
    ------
    ValueError
        If one is missing, or there are others.

    Examples
    --------
    >>> positions(["b", "a"], ["a", "b"])
    [1, 0]
    """
    known, needed = Counter(names), set(wanted)
    if len(names) == len(wanted) and known.keys().isdisjoint(needed) and (_are_numbers(names) or _are_numbers(wanted)):
        return list(range(len(names)))
    problems = [
        f"{what} {', '.join(map(repr, found[:SHOWN]))}{', ...' * (len(found) > SHOWN)}"
        for what, found in (
            ("without", [name for name in wanted if name not in known]),
            ("with the other column", [name for name in names if name not in needed]),
            ("with several of", [name for name, n in known.items() if n > 1]),
        )
        if found
    ]
    if problems:
        raise ValueError(
            f"got a table {' and '.join(problems)}; need the columns that the network was trained on, in any order; "
            "try frame[classifier.feature_names_in_]"
        )
    places = {name: place for place, name in enumerate(names)}
    return [places[name] for name in wanted]


def _are_numbers(names: Sequence[str]) -> bool:
    """Return True if names are the numbers of the columns."""
    return list(names) == list(map(str, range(len(names))))
