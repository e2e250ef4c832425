"""Safe loading of pickles from untrusted sources.

A pickle is a program for a small stack machine, which can import and call any function. The
:mod:`~arignote.data.unpickle.machine` here implements only the opcodes that are needed for plain data and numpy
arrays. It resolves an allow-list of six globals, each to one of the :mod:`~arignote.data.unpickle.substitutes`, which
create an array, a scalar or bytes; it imports nothing and calls nothing else. Callers can allow more classes, whose
objects are loaded as inert records of the stored data. All memory is counted against a
:mod:`~arignote.data.unpickle.budget` of 64 MiB and 32 times the size of the pickle, and time is proportional to it.
"""

import io
import zlib
from collections.abc import Iterable
from typing import Any, BinaryIO

from arignote.data.unpickle.budget import Budget, PickleError, PickleSizeError, default_limit
from arignote.data.unpickle.machine import Machine
from arignote.data.unpickle.resolve import Resolver
from arignote.data.unpickle.substitutes import StoredObject, names

__all__ = ["PickleError", "PickleSizeError", "StoredObject", "load", "loads"]


def loads(
    data: bytes | bytearray, start: int = 0, classes: Iterable[str] = (), max_bytes: int | None = None,
    opaque: Iterable[str] = (),
) -> tuple[Any, int]:  # fmt: skip
    """Load one pickle without executing any code from it.

    Parameters
    ----------
    data : bytes or bytearray
    start : int, optional
        The offset of the pickle in `data`.
    classes : iterable of str, optional
        Full names, such as ``"datetime.datetime"``, of classes whose objects are allowed. Their objects are loaded as
        :class:`~arignote.data.unpickle.StoredObject`.
    max_bytes : int, optional
        Refuse data that take more memory. By default 64 MiB and 32 times the size of `data`.
    opaque : iterable of str, optional
        More such classes, of which the records have no state.

    Returns
    -------
    value : object
        Composed of None, bool, numbers, strings, bytes, tuples, lists, dicts, sets, numpy arrays and records. A
        reference to one of `classes` itself is loaded as its full name.
    end : int
        The offset of the end of the pickle.

    Raises
    ------
    PickleError
        If the pickle is damaged or contains anything else.
    PickleSizeError
        If its data take more memory than `max_bytes`.

    Examples
    --------
    >>> import pickle
    >>> loads(pickle.dumps({"a": [1, 2]}))[0]
    {'a': [1, 2]}
    >>> loads(pickle.dumps(len))
    Traceback (most recent call last):
    ...
    arignote.data.unpickle.budget.PickleError: got a pickle that asks for builtins.len; need plain data and numpy \
arrays only
    """
    source = io.BytesIO(data)
    source.seek(start)
    value = load(source, classes, default_limit(len(data)) if max_bytes is None else max_bytes, opaque=opaque)
    return value, source.tell()


def load(
    source: BinaryIO, classes: Iterable[str], max_bytes: int, encoding: str = "latin1", errors: str = "strict",
    opaque: Iterable[str] = (),
) -> Any:  # fmt: skip
    """Load one pickle from a file; see :func:`loads`. Arrays are never held in memory twice.

    `encoding` and `errors` are those of strings of Python 2, as in Python's own pickle.
    """
    budget = Budget(max_bytes)
    try:
        return Resolver(budget).resolve(Machine(source, names(classes, opaque), budget, encoding, errors).run())
    except (PickleError, OSError, EOFError, zlib.error):  # the last three are errors of the file
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise PickleError(
            f"got a damaged pickle ({type(error).__name__}: {error!s:.200}); need an intact one"
        ) from error
