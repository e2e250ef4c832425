"""Files of data and of networks: one place to import their functions from.

Data are read by :mod:`arignote.data.formats`, checkpoints are written and read by :mod:`arignote.checkpoint`.
"""

from arignote.checkpoint.format import checkpoint_read, checkpoint_write
from arignote.checkpoint.models import restore_model, save_model
from arignote.checkpoint.names import checkpoint_path, parse_checkpoint, previous_path
from arignote.data.formats import CheckpointError, read_array, read_csv, read_idx, read_pickle
from arignote.data.storage import get_file_type, tolerant_makedirs

__all__ = [
    "CheckpointError",
    "checkpoint_path",
    "checkpoint_read",
    "checkpoint_write",
    "get_file_type",
    "parse_checkpoint",
    "previous_path",
    "read_array",
    "read_csv",
    "read_idx",
    "read_pickle",
    "restore_model",
    "save_model",
    "tolerant_makedirs",
]
