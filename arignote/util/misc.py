"""Small helpers for scripts: one place to import them from. See :mod:`arignote.misc`."""

from arignote.misc import (
    as_list,
    flatten,
    get_tensor_type_from_data,
    is_floatlike,
    is_listlike,
    stratified_holdout,
    stratified_shuffle,
)

__all__ = [
    "as_list",
    "flatten",
    "get_tensor_type_from_data",
    "is_floatlike",
    "is_listlike",
    "stratified_holdout",
    "stratified_shuffle",
]
