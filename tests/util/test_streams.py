import subprocess
import sys

import numpy as np

from arignote.util import streams


def test_streams_differ_by_seed_purpose_and_position():
    def first(*key):
        return streams.generator(*key).integers(2**60)

    keys = [(1, "a"), (2, "a"), (1, "b"), (1, "a", 0), (1, "a", 1), (1, "a", 0, 0), (1, "a", 0, 1), (1, "a", 1, 0)]
    assert len({first(*key) for key in keys}) == len(keys)
    assert [first(*key) for key in keys] == [first(*key) for key in reversed(keys)][::-1]


def test_streams_are_the_same_in_every_process():
    code = "from arignote.util import streams; print(streams.generator(3, 'x', 4).integers(2**60))"
    results = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)}
    assert results == {f"{streams.generator(3, 'x', 4).integers(2**60)}\n".encode()}


def test_the_global_generator_is_not_used():
    before = np.random.get_state()[1].copy()
    streams.generator(1, "a").normal(size=10)
    streams.as_seed(None)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
