"""Random numbers that depend on position, not on history.

Every use of random numbers has its own stream, identified by a seed, a purpose and a position such as (epoch, batch).
Streams can be created anywhere, at any time and in any order, and always yield the same numbers. The random state of a
training run is therefore just a seed and a position: threads that prepare batches in advance do not affect it, and
resuming a run does not need a stored generator.
"""

import zlib
from typing import Any

import numpy as np


def seed_sequence(seed: int, purpose: str, *position: int) -> np.random.SeedSequence:
    """Return the seed sequence of a stream, for a seed, a purpose and a position.

    The purpose is mixed in by its checksum, since Python's ``hash`` of a string differs between processes.
    """
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(purpose.encode()), *position))


class Generator(np.random.Generator):
    """A random generator of numpy, with those methods of `numpy.random.RandomState` that `Generator` lacks.

    Examples
    --------
    >>> rng = Generator(np.random.Philox(1))
    >>> rng.rand(2, 3).shape, rng.randint(10, size=4).dtype.kind, rng.random_integers(1, 1)
    ((2, 3), 'i', 1)
    """

    def rand(self, *shape: int) -> Any:
        """Return uniform numbers of [0, 1) in an array of this shape; a single one without a shape."""
        return self.random(shape or None)

    def randn(self, *shape: int) -> Any:
        """Return standard normal numbers in an array of this shape; a single one without a shape."""
        return self.standard_normal(shape or None)

    def randint(self, low: Any, high: Any = None, size: Any = None, dtype: Any = int) -> Any:
        """Return whole numbers from `low` to below `high`, or from 0 to below `low`."""
        found = self.integers(low, high, size, dtype)
        return found if np.ndim(found) else dtype(found)

    def random_integers(self, low: Any, high: Any = None, size: Any = None) -> Any:
        """Return whole numbers from `low` to `high`, or from 1 to `low`: both can occur."""
        first, last = (1, low) if high is None else (low, high)
        return self.randint(first, last + 1, size)

    def random_sample(self, size: Any = None) -> Any:
        """Return uniform numbers of [0, 1)."""
        return self.random(size)

    def tomaxint(self, size: Any = None) -> Any:
        """Return whole numbers from 0 to the largest int."""
        return self.randint(0, np.iinfo(int).max, size)

    def __reduce__(self) -> tuple:
        return Generator, (self.bit_generator,)


def generator(seed: int, purpose: str, *position: int) -> Generator:
    """Return the random generator for a purpose at a position.

    Parameters
    ----------
    seed : int
        The seed of the training run, 0 or larger.
    purpose : str
        The purpose of the random numbers, e.g. "augmentation".
    *position : int
        The position in the run, e.g. epoch and batch.

    Examples
    --------
    >>> first = generator(42, "augmentation", 3, 17).integers(100, size=4)
    >>> again = generator(42, "augmentation", 3, 17).integers(100, size=4)
    >>> bool((first == again).all())
    True
    """
    return Generator(np.random.Philox(seed_sequence(seed, purpose, *position)))


def philox_key(seed: int, purpose: str) -> np.ndarray:
    """Return the key of the counter-based generator of a dropout layer: two 32-bit words, as int64."""
    return seed_sequence(seed, purpose).generate_state(2, np.uint32).astype(np.int64)


def as_seed(rng: object, argument: str = "rng") -> int:
    """Return a seed for a user-supplied source of randomness.

    Parameters
    ----------
    rng : None, int, numpy.random.RandomState or numpy.random.Generator
        None uses entropy from the operating system; a seed is drawn from a generator.
    argument : str
        Name of the argument, for error messages.

    Raises
    ------
    TypeError, ValueError
        If `rng` is of another type, or a negative number.

    Examples
    --------
    >>> as_seed(42)
    42
    """
    if rng is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(rng, np.random.RandomState):
        return int(rng.randint(2**31))
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**31))
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer):
        raise TypeError(f"got {argument}={rng!r}; need a whole number, a numpy generator or None; try {argument}=42")
    if rng < 0:
        raise ValueError(f"got {argument}={rng}; need a seed of 0 or more; try {argument}=42")
    return int(rng)
