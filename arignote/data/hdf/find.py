"""Finding the tables of an HDF5 file, and the layout of each.

Files may come from untrusted sources. They are read with h5py, which executes no code from them; attributes that pandas
stores as pickles are loaded by :mod:`arignote.data.unpickle`; external links are not followed; and shapes are checked
before memory is allocated.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from arignote.data import journal, storage
from arignote.data.hdf.attributes import HDFError, check_row_size, error_context, get_dataset, h5py, to_string
from arignote.data.hdf.layouts import (
    ArrayLayout,
    ColumnsLayout,
    FixedFrameLayout,
    FixedPanelLayout,
    FixedSeriesLayout,
    FrameLayout,
    Layout,
)
from arignote.data.hdf.panels import PanelLayout

LABEL_NAMES = ("labels", "label", "y", "target", "targets", "class", "classes")
FEATURE_NAMES = ("features", "images", "x", "data")

LAYOUTS = {
    "frame_table": FrameLayout,
    "series_table": FrameLayout,
    "wide_table": PanelLayout,
    "ndim_table": PanelLayout,
    "frame": FixedFrameLayout,
    "series": FixedSeriesLayout,
    "wide": FixedPanelLayout,
}
"""The attribute pandas_type -> the layout class."""


def open_file(name: str | Path, cache_bytes: int = 2**23) -> "h5py.File":
    """Open an HDF5 file for reading.

    Parameters
    ----------
    name : str or Path
    cache_bytes : int, optional
        Size of the chunk cache of each dataset. Chunks that do not fit are decompressed again for every batch.
    """
    if h5py is None:
        raise ImportError(f"got the HDF5 file {str(name)!r}; need h5py to read it; try: pip install 'arignote[hdf5]'")
    if not Path(name).is_file():
        raise storage.missing(name)
    journal.recover(name)
    try:
        return h5py.File(name, "r", rdcc_nbytes=cache_bytes, rdcc_nslots=10007, rdcc_w0=1.0)
    except OSError as error:
        raise HDFError(
            f"{name}: got a file that is not HDF5, or is damaged ({error}); need an intact HDF5 file; try another copy"
        ) from error


def find_tables(file: "h5py.File") -> dict[str, str]:
    """Return the readable tables of a file: a dict from name to description."""
    with error_context("searching for tables"):
        return {name: description for name in _nodes(file, "") if (description := _describe(file[name]))}


def _describe(node: Any) -> str | None:
    if isinstance(node, h5py.Dataset):
        readable = node.shape and (node.dtype.names or node.dtype.kind in "buif")
        return f"{node.shape[0]} rows of shape {node.shape[1:]}" if readable else None
    kind = to_string(node.attrs.get("pandas_type"))
    if kind not in LAYOUTS:
        return None
    return f"{kind}, {get_dataset(node, 'table').shape[0]} records" if "table" in node else kind


def _nodes(group: "h5py.Group", prefix: str, depth: int = 8) -> Iterator[str]:
    """Iterate over the names of all datasets and pandas objects, without following links."""
    for key in sorted(group):
        if key.startswith("_i_") or not isinstance(group.get(key, getlink=True), h5py.HardLink):
            continue
        node, name = group.get(key), prefix + key
        if isinstance(node, h5py.Dataset) or (isinstance(node, h5py.Group) and "pandas_type" in node.attrs):
            yield name
        elif isinstance(node, h5py.Group) and depth > 0:
            yield from _nodes(node, f"{name}/", depth - 1)


def choose_tables(tables: dict[str, str]) -> tuple[str | None, str | None]:
    """Return the names of the tables of features and of labels, each None if it is ambiguous.

    Examples
    --------
    >>> choose_tables({"images": "", "labels": ""})
    ('images', 'labels')
    >>> choose_tables({"a": "", "b": ""})
    (None, None)
    """
    names = list(tables)
    matching = {kind: [n for n in names if _basename(n) in known] for kind, known in _CONVENTIONAL_NAMES.items()}
    labels = matching["labels"][0] if len(matching["labels"]) == 1 and len(names) > 1 else None
    others = [name for name in names if name != labels]
    if len(others) == 1:
        return others[0], labels
    return (matching["features"][0] if len(matching["features"]) == 1 else None), labels


_CONVENTIONAL_NAMES = {"labels": LABEL_NAMES, "features": FEATURE_NAMES}


def _basename(name: str) -> str:
    return name.rpartition("/")[2].lower()


def find_layout(file: "h5py.File", table: str, index: Any = None) -> "Layout":
    """Return the layout of a table.

    Parameters
    ----------
    file : h5py.File
    table : str
    index : object, optional
        `Layout.index` of an earlier layout of this table, which saves a scan of the table.

    Raises
    ------
    HDFError
        If there is no such table, or it cannot be read. The message names the table, but not the file.
    """
    node = _walk(file, table)
    with error_context(f"table {table!r}"):
        layout = _layout_of(node, index)
        check_row_size(layout.shape, layout.dtype)
    if layout.n_rows == 0:
        raise HDFError(f"table {table!r}: got an empty table; need at least one row; try another one")
    return layout


def _walk(file: "h5py.File", table: str) -> Any:
    """Return a node by its name, without following links."""
    node = file
    for key in table.strip("/").split("/"):
        link = node.get(key, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            known = ", ".join(f"{name!r} ({what})" for name, what in find_tables(file).items()) or "none"
            raise HDFError(f"got the table {table!r}; need one that exists; tables here: {known}")
        if not isinstance(link, h5py.HardLink):
            raise HDFError(f"got the table {table!r}, which is a link; need data in the file itself; try copying it")
        node = node[key]
    return node


def _layout_of(node: Any, index: Any) -> "Layout":
    if isinstance(node, h5py.Dataset):
        return ColumnsLayout(node) if node.dtype.names else ArrayLayout(node)
    kind = to_string(node.attrs.get("pandas_type"))
    if kind not in LAYOUTS:
        raise HDFError(f"got a group{f' of pandas type {kind!r}' if kind else ''}; need a dataset, a frame or a panel")
    return LAYOUTS[kind](node, index) if LAYOUTS[kind] is PanelLayout else LAYOUTS[kind](node)
