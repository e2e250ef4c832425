"""Random numbers that depend on position, not on history.

Every use of random numbers has its own stream, identified by a seed, a purpose and a position such as (epoch, batch).
Streams can be created anywhere, at any time and in any order, and always yield the same numbers. The random state of a
training run is therefore just a seed and a position: threads that prepare batches in advance do not affect it, and
resuming a run does not need a stored generator.
"""

import zlib

import numpy as np


def seed_sequence(seed: int, purpose: str, *position: int) -> np.random.SeedSequence:
    """Return the seed sequence of a stream, for a seed, a purpose and a position.

    The purpose is mixed in by its checksum, since Python's ``hash`` of a string differs between processes.
    """
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(purpose.encode()), *position))


def generator(seed: int, purpose: str, *position: int) -> np.random.Generator:
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
    return np.random.Generator(np.random.Philox(seed_sequence(seed, purpose, *position)))


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
