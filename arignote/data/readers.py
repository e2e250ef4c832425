"""Readers and data sets: one place to import them from.

See :mod:`arignote.data.reader` for what a reader is, and :mod:`arignote.data.dataset` for `Data` and its partitions.
"""

from arignote.data.dataset import Data, DataWithHoldoutPartitions, as_reader, read_data
from arignote.data.hdf.attributes import HDFError
from arignote.data.hdf.reader import HDFReader
from arignote.data.hdf.writer import HDFWriter
from arignote.data.image_folder import ImageFolderReader
from arignote.data.images import ImageReader
from arignote.data.reader import ArrayReader, PickedReader, Reader

DataWithHoldoutParitions = DataWithHoldoutPartitions
"""The name under which the class was first published, with its misprint."""

__all__ = [
    "ArrayReader",
    "Data",
    "DataWithHoldoutParitions",
    "DataWithHoldoutPartitions",
    "HDFError",
    "HDFReader",
    "HDFWriter",
    "ImageFolderReader",
    "ImageReader",
    "PickedReader",
    "Reader",
    "as_reader",
    "read_data",
]
