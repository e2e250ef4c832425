"""The writer of HDF5 files."""

import io
import math
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from arignote.data import atomic, journal
from arignote.data.frames import require_same_order
from arignote.data.hdf.attributes import HDFError, h5py
from arignote.data.reader import rectangular
from arignote.util.checks import brief

CHUNK_BYTES = 2**18
COMMIT_BYTES = 2**25
COMMIT_SECONDS = 5.0


class HDFWriter:
    """Append rows to the tables of an HDF5 file in batches; the total number need not be known in advance.

    Tables are chunked and compressed. All tables of a file always have the same number of rows. An array becomes a
    dataset whose first axis is the rows, as h5py reads it; a pandas data frame or series becomes a table of columns, as
    ``pandas.read_hdf`` reads it.

    Use it as a context manager. If the program is killed, at any moment, it leaves a readable file with the complete
    rows of a number of appends: at least those until the last call of `commit`, or until five seconds before. A program
    can continue to append at row ``n_rows``. An :class:`~arignote.data.readers.HDFReader` reads the rows that exist
    when it is created.

    Parameters
    ----------
    filename : str or Path
        Created if it does not exist; otherwise rows are appended to its tables.
    compression : int or "blosc" or None, optional
        Level of zlib compression, 0 to 9, by default 4, which every program can read; "blosc", which compresses less,
        is several times faster, and needs PyTables or hdf5plugin to read; or None.

    Attributes
    ----------
    n_rows : int
        Rows in each table.

    Raises
    ------
    HDFError
        If an existing file is damaged or was not written by an HDFWriter.
    ValueError
        If appended rows do not match the tables; then nothing is appended.

    Examples
    --------
    >>> import tempfile, h5py, pandas
    >>> rng = np.random.default_rng(0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with HDFWriter(f"{folder}/data.h5") as writer:
    ...         for _ in range(3):
    ...             images = rng.integers(256, size=(10, 3, 8, 8), dtype="uint8")
    ...             writer.append(images=images, labels=pandas.Series(rng.integers(2, size=10)))
    ...     with h5py.File(f"{folder}/data.h5") as file:
    ...         print(file["images"].shape, (file["images"][20:] == images).all())
    ...     print(len(pandas.read_hdf(f"{folder}/data.h5", "labels")))
    (30, 3, 8, 8) True
    30
    """

    def __init__(self, filename: str | Path, compression: int | str | None = 4):
        if h5py is None:
            raise ImportError(f"got the HDF5 file {str(filename)!r}; need h5py to write it; try: pip install h5py")
        self._filters = _filters(compression)
        self.filename = Path(filename)
        if not self.filename.exists():
            _create_empty(self.filename)
        self._closed = False
        with ExitStack() as opened:
            self._journaled = journal.JournaledFile(self.filename)
            opened.callback(self._journaled.close)
            self._file = self._open()
            opened.callback(self._file.close)
            self._tables = self._find_tables()
            opened.pop_all()  # no error: keep the files open
        self.n_rows = len(next(iter(self._tables.values()))) if self._tables else 0
        self._pending: list[dict[str, np.ndarray]] = []
        self._pending_bytes = 0
        self._committed_at = time.monotonic()

    def _open(self) -> Any:
        try:
            return h5py.File(self._journaled, "r+")
        except OSError as error:
            problem = (
                f"got a file that is not HDF5, or is damaged ({error}); need an intact HDF5 file; try another name"
            )
            raise HDFError(f"{self.filename}: {problem}") from error

    def _find_tables(self) -> dict[str, Any]:
        """Return the datasets of the file, which must all have the same length."""
        tables = {}
        for name in self._file:
            node = self._file[name] if isinstance(self._file.get(name, getlink=True), h5py.HardLink) else None
            if not isinstance(node, h5py.Dataset) or not node.chunks or node.maxshape[0] is not None:
                raise HDFError(
                    f"{self.filename}: got {name!r}, which cannot grow; need tables of an HDFWriter; try a new file"
                )
            tables[name] = node
        if len({len(node) for node in tables.values()}) > 1:
            raise HDFError(f"{self.filename}: got tables of different length; need equal ones; try a new file")
        return tables

    def append(self, **tables: Any) -> None:
        """Append rows to all tables.

        Parameters
        ----------
        **tables : array, pandas.DataFrame or pandas.Series
            The rows of each table, by name. The number of rows must be the same for all tables; names, dtypes and row
            shapes must be the same in all calls. The index of data frames is not stored.
        """
        first, *others = tables.values() or [None]
        for other in others:
            require_same_order(first, other)
        rows = {name: _as_rows(name, value) for name, value in tables.items()}
        self._check(rows)
        for name in rows if not self._tables else ():
            self._tables[name] = self._create(name, rows[name])
        self._pending.append(rows)
        self._pending_bytes += sum(array.nbytes for array in rows.values())
        self.n_rows += len(next(iter(rows.values())))
        if self._pending_bytes >= COMMIT_BYTES or time.monotonic() - self._committed_at >= COMMIT_SECONDS:
            self.commit()

    def _check(self, rows: dict[str, np.ndarray]) -> None:
        """Refuse rows that do not match each other or the tables."""
        if not rows:
            raise ValueError("got no tables; need at least one; try append(images=images, labels=labels)")
        lengths = {name: len(array) for name, array in rows.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"got {lengths} rows; need the same number for each table; try [label] for a single row")
        if self._tables and set(self._tables) != set(rows):
            raise ValueError(f"got the tables {sorted(rows)}; need {sorted(self._tables)}, as before; try a new file")
        for name, table in self._tables.items():
            array = rows[name]
            if array.dtype.names != table.dtype.names:
                raise ValueError(
                    f"got the columns {brief(array.dtype.names)} for {name!r}; need {brief(table.dtype.names)}, as "
                    "before; try frame[[...]] with the columns in this order"
                )
            if array.shape[1:] != table.shape[1:] or not np.can_cast(array.dtype, table.dtype, "same_kind"):
                raise ValueError(
                    f"got rows of shape {array.shape[1:]} and type {array.dtype} for {name!r}; need {table.shape[1:]} "
                    f"and {table.dtype}, as before; try reshape and astype"
                )

    def _create(self, name: str, rows: np.ndarray) -> Any:
        row_bytes = max(1, math.prod(rows.shape[1:]) * rows.dtype.itemsize)
        chunk = (max(1, CHUNK_BYTES // row_bytes), *rows.shape[1:])
        shape, maxshape = (0, *rows.shape[1:]), (None, *rows.shape[1:])
        table = self._file.create_dataset(name, shape, rows.dtype, maxshape=maxshape, chunks=chunk, **self._filters)
        if rows.dtype.names:  # attributes by which PyTables and pandas recognize a table
            attributes = {"CLASS": "TABLE", "VERSION": "2.7", "TITLE": ""}
            attributes |= {f"FIELD_{i}_NAME": field for i, field in enumerate(rows.dtype.names)}
            for key, value in attributes.items():
                table.attrs[key] = np.bytes_(value)
        return table

    def commit(self) -> None:
        """Write all rows appended so far to disk. Takes a few milliseconds."""
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        for name, table in self._tables.items():
            if pending:
                rows = np.concatenate([batch[name] for batch in pending])
                start = len(table)
                table.resize(start + len(rows), axis=0)
                table[start:] = rows
            if table.dtype.names:
                table.attrs["NROWS"] = np.int64(len(table))
        self._file.flush()
        self._journaled.commit()
        self._committed_at = time.monotonic()

    def close(self) -> None:
        """Commit and close the file."""
        if self._closed:
            return
        self._closed = True
        try:
            try:
                self.commit()
            finally:  # before the file below it, which HDF5 writes to when it is closed
                self._file.close()
            self._journaled.commit()
        finally:
            self._journaled.close()

    def __enter__(self) -> "HDFWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _filters(compression: int | str | None) -> dict[str, Any]:
    """Return the compression arguments of h5py."""
    if compression is None:
        return {}
    if compression == "blosc":
        try:
            import hdf5plugin
        except ImportError as error:
            raise ImportError('got compression="blosc"; need hdf5plugin for it; try: pip install hdf5plugin') from error
        return dict(hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.SHUFFLE))
    if compression in range(10):
        return {"compression": "gzip", "compression_opts": compression, "shuffle": True}
    raise ValueError(f'got compression={compression!r}; need a level of 0 to 9, "blosc" or None; try compression=4')


def _create_empty(path: Path) -> None:
    """Create an HDF5 file without tables atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    h5py.File(content, "w").close()
    atomic.write(path, lambda file: file.write(content.getvalue()))


def _as_rows(name: str, value: Any) -> np.ndarray:
    """Return rows as an array, with a structured dtype if they have named columns."""
    if hasattr(value, "to_frame"):  # a series
        value = value.to_frame(name)
    if hasattr(value, "to_records"):
        columns = [str(column) for column in value.columns]
        arrays = [value.iloc[:, i].to_numpy() for i in range(len(columns))]
        fields = [(name, array.dtype) for name, array in zip(columns, arrays, strict=True)]
        value = np.rec.fromarrays(arrays, dtype=np.dtype(fields))
        value = value.view(np.ndarray)
    rows = rectangular(value)
    dtypes = [rows.dtype[field] for field in rows.dtype.names] if rows.dtype.names else [rows.dtype]
    if rows.ndim == 0 or any(dtype.kind not in "buif" for dtype in dtypes):
        raise ValueError(f"got {name}={value!r:.60}; need rows of numbers; try an array, with rows as its first axis")
    return rows
