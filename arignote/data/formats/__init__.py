"""File formats, one module each: CSV, IDX, pickles, and arrays by name (.npz, .safetensors)."""

from arignote.data.formats.idx import read_idx
from arignote.data.formats.packed import CheckpointError
from arignote.data.formats.pickles import read_array, read_pickle
from arignote.data.formats.tables import read_columns, read_csv, read_labelled_table, read_table

__all__ = [
    "CheckpointError",
    "read_array",
    "read_columns",
    "read_csv",
    "read_idx",
    "read_labelled_table",
    "read_pickle",
    "read_table",
]
