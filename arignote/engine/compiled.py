"""A compiled function, as those above the door see it."""

import threading
from collections.abc import Callable, Sequence
from typing import Any


class Compiled:
    """A function that was compiled to machine code, which threads may share.

    Parameters
    ----------
    function : callable
        The engine's own.

    Attributes
    ----------
    block_size : int
        How many calls it pays to make in one go by :meth:`block`: one, since a call costs next to nothing.
    """

    block_size = 1

    def __init__(self, function: Callable):
        self.compiled = function
        self._lock = threading.Lock()  # it has one place for each intermediate result, and kernels let threads go on

    def __call__(self, *values: Any) -> Any:
        with self._lock:
            return self.compiled(*values)

    def block(self, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """Make one call after another; return what each returned."""
        return [self(*values) for values in calls]
