"""Files of data and of networks: one place to import their functions from.

Data are read by :mod:`arignote.data.formats`, checkpoints are written and read by :mod:`arignote.checkpoint`.
"""

from arignote.checkpoint.format import checkpoint_path, checkpoint_read, checkpoint_write, previous_path
from arignote.data.formats import CheckpointError, read_array, read_csv, read_idx, read_pickle

__all__ = [
    "CheckpointError",
    "checkpoint_path",
    "checkpoint_read",
    "checkpoint_write",
    "previous_path",
    "read_array",
    "read_csv",
    "read_idx",
    "read_pickle",
]
