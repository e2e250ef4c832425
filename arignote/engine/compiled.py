"""Compiled functions."""

import threading
from collections.abc import Callable, Sequence
from typing import Any


class Compiled:
    """A thread-safe wrapper of a function that the engine compiled to machine code.

    Parameters
    ----------
    function : callable
        The compiled function of the engine.

    Attributes
    ----------
    block_size : int
        The most efficient number of calls for :meth:`block`: one, since the overhead of a call is negligible.
    """

    block_size = 1

    def __init__(self, function: Callable):
        self.compiled = function
        self._lock = threading.Lock()  # calls share the buffers of intermediate results, and kernels release the GIL

    def __call__(self, *values: Any) -> Any:
        with self._lock:
            return self.compiled(*values)

    def block(self, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """Make several calls in order; return the list of their results."""
        return [self(*values) for values in calls]
