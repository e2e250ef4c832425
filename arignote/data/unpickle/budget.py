"""What a pickle may make: memory is counted before it is taken, against one limit that grows with the file."""

LIMIT_BYTES = 64 * 2**20
LIMIT_RATIO = 32


class PickleError(ValueError):
    """A pickle is damaged, or contains more than plain data and numpy arrays."""


class PickleSizeError(PickleError):
    """A pickle makes much more data than it has bytes."""


def default_limit(n_bytes: int) -> int:
    """Return how much memory the data in a pickle of `n_bytes` bytes may take.

    Short objects take most: the text "a" takes 50 bytes as an object, and 4 in a pickle.
    """
    return LIMIT_BYTES + LIMIT_RATIO * n_bytes


class Budget:
    """The memory that one pickle may still take.

    Parameters
    ----------
    limit : int
        In bytes.
    """

    __slots__ = ("left", "limit")

    def __init__(self, limit: int):
        self.left = self.limit = limit

    def spend(self, n_bytes: int) -> None:
        """Count memory that is about to be taken, or has just been taken by one small object."""
        self.left -= n_bytes
        if self.left < 0:
            raise self.error()

    def error(self) -> PickleSizeError:
        return PickleSizeError(f"got a pickle of data that take more than {self.limit} bytes of memory; need less")
