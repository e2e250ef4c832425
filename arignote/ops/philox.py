"""The counter-based random number generator Philox4x32-10, in numpy.

See Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The generator is a function
from a key and a counter to four 32-bit words. It has no state, so any part of its sequence can be computed anywhere.
"""

import numpy as np

# Counters are processed in groups: 16 consecutive counters yield 4 words each, which are used word by word. A SIMD
# unit can then compute a whole group at once and write it in order.
LANES = 16
WORDS = 4
# The constants of Philox4x32-10.
ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_INCREMENTS = 0x9E3779B9, 0xBB67AE85


def philox(key: np.ndarray, counter: np.ndarray) -> np.ndarray:
    """Return four random 32-bit words for each counter.

    Parameters
    ----------
    key : uint32 array of shape (2,)
    counter : uint32 array of shape (4, n)

    Returns
    -------
    uint32 array of shape (4, n)

    Examples
    --------
    >>> [hex(word) for word in philox(np.zeros(2, "uint32"), np.zeros((4, 1), "uint32"))[:, 0]]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    key0, key1 = (int(word) for word in key)
    c0, c1, c2, c3 = counter.astype(np.uint64)
    for _ in range(ROUNDS):
        product0 = np.uint64(MULTIPLIERS[0]) * c0
        product1 = np.uint64(MULTIPLIERS[1]) * c2
        c0, c1, c2, c3 = (
            (product1 >> half) ^ c1 ^ np.uint64(key0),
            product1 & low,
            (product0 >> half) ^ c3 ^ np.uint64(key1),
            product0 & low,
        )
        key0 = (key0 + KEY_INCREMENTS[0]) & 0xFFFFFFFF
        key1 = (key1 + KEY_INCREMENTS[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3]).astype(np.uint32)


def random_words(key: np.ndarray, position: np.ndarray, n: int) -> np.ndarray:
    """Return the first `n` random 32-bit words for a key and a position, one for each unit.

    Parameters
    ----------
    key : array of 2 integers
    position : array of 3 integers
    n : int

    Returns
    -------
    uint32 array of shape (n,)
    """
    n_groups = -(-n // (LANES * WORDS))
    counter = np.empty((4, n_groups * LANES), np.uint32)
    counter[0] = np.arange(n_groups * LANES)
    counter[1:] = np.asarray(position).astype(np.uint32)[:, np.newaxis]
    words = philox(np.asarray(key).astype(np.uint32), counter)
    return words.reshape(WORDS, n_groups, LANES).transpose(1, 0, 2).ravel()[:n]
