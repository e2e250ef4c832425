import numpy as np
import pytest

from arignote.ops.philox import philox, random_words


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [  # the test vectors that the authors of Philox publish with their library
        ([0] * 4, [0] * 2, ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, ["408f276d", "41c83b0e", "a20bc7c6", "6d5451fd"]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            ["d16cfe09", "94fdcceb", "5001e420", "24126ea1"],
        ),
    ],
)
def test_philox_matches_the_published_test_vectors(counter, key, words):
    found = philox(np.array(key, np.uint32), np.array(counter, np.uint32)[:, np.newaxis])
    assert [f"{word:08x}" for word in found[:, 0]] == words


def test_words_are_uniform():
    words = random_words([123, 4567], [0, 0, 0], 64_000)
    counts = np.bincount(words >> 28, minlength=16)
    # chi-squared with 15 degrees of freedom: 99.9 % are below 37.7
    assert ((counts - 4000) ** 2 / 4000).sum() < 37.7
