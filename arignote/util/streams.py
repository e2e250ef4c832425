"""Random numbers that depend on position, not on history.

Every use of randomness draws from a stream of its own, named by a seed, a purpose and a position such as (epoch,
batch). A stream can be opened anywhere, at any time, in any order, and gives the same numbers. So the state of all
randomness in a training run is a seed and the position, a thread that prepares batches ahead cannot disturb it, and
resuming needs no generator to be stored.
"""

import zlib

import numpy as np


def seed_sequence(seed: int, purpose: str, *position: int) -> np.random.SeedSequence:
    """Mix a seed, a purpose and a position into the start of a stream.

    The purpose goes in by its checksum: Python's own ``hash`` of a string differs from process to process.
    """
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(purpose.encode()), *position))


def generator(seed: int, purpose: str, *position: int) -> np.random.Generator:
    """Return the random generator of one purpose at one position.

    Parameters
    ----------
    seed : int
        The seed of the whole run, 0 or larger.
    purpose : str
        What the numbers are for, e.g. "augmentation".
    *position : int
        Where they are used, e.g. epoch and batch.

    Examples
    --------
    >>> first = generator(42, "augmentation", 3, 17).integers(100, size=4)
    >>> again = generator(42, "augmentation", 3, 17).integers(100, size=4)
    >>> bool((first == again).all())
    True
    """
    return np.random.Generator(np.random.Philox(seed_sequence(seed, purpose, *position)))


def philox_key(seed: int, purpose: str) -> np.ndarray:
    """Return the two 32-bit words, as int64, that key the counter-based generator of a dropout layer."""
    return seed_sequence(seed, purpose).generate_state(2, np.uint32).astype(np.int64)


def as_seed(rng: object, argument: str = "rng") -> int:
    """Turn what a user may give as a source of randomness into a seed.

    Parameters
    ----------
    rng : None, int, numpy.random.RandomState or numpy.random.Generator
        None takes a fresh seed from the operating system; a generator is asked for one number.
    argument : str
        Name of the argument, for the message.

    Raises
    ------
    TypeError, ValueError
        If `rng` is something else, or a negative number.

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
