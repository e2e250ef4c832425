"""Readers and data sets: one place to import them from.

See :mod:`arignote.data.reader` for what a reader is, and :mod:`arignote.data.dataset` for `Data` and its partitions.
"""

from arignote.data.dataset import (
    Data,
    DataWithHoldoutPartitions,
    as_reader,
    read_data,
    to_data_object,
    to_data_partitions,
)
from arignote.data.hdf.attributes import HDFError
from arignote.data.hdf.reader import HDFReader
from arignote.data.hdf.writer import HDFWriter
from arignote.data.image_folder import ImageFolderReader
from arignote.data.images import ImageReader
from arignote.data.prefetch import threaded_generator
from arignote.data.reader import ArrayReader, PickedReader, Reader

DataWithHoldoutParitions = DataWithHoldoutPartitions
"""The name under which the class was first published, with its misprint."""

get_reader = as_reader
"""The name of the function in the first Arignote."""

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
    "get_reader",
    "read_data",
    "threaded_generator",
    "to_data_object",
    "to_data_partitions",
]
