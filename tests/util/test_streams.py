import pickle
import subprocess
import sys
import warnings

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


LEGACY = sorted(name for name in dir(np.random.RandomState) if not name.startswith("_"))
# A position has no state to set, and no other seed than its own.
OF_STATE = {"get_state", "set_state", "seed"}


def test_generators_have_the_methods_of_random_state():
    rng = streams.generator(1, "a")
    assert isinstance(rng, np.random.Generator)
    assert {name for name in LEGACY if not hasattr(rng, name)} == OF_STATE


def test_methods_of_random_state_return_what_theirs_do():
    rng, legacy = streams.generator(1, "a"), np.random.RandomState(1)
    calls = {
        "rand": [(), (3,), (2, 3)], "randn": [(), (3,), (2, 3)], "random_sample": [(), (3,), ((2, 3),)],
        "tomaxint": [(), (3,)], "randint": [(5,), (2, 5), (2, 5, 4), (0, 5, (2, 3)), (5, None, 4)],
        "random_integers": [(5,), (2, 5), (2, 5, 4)], "permutation": [(5,), ([1, 2, 3],)], "bytes": [(4,)],
        "choice": [(5,), (5, 3), (5, 3, False), ([0.5, 1.5],)], "normal": [(), (1, 2, 3)], "uniform": [(0, 1, 4)],
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of random_integers
        for name, cases in calls.items():
            for arguments in cases:
                found, expected = getattr(rng, name)(*arguments), getattr(legacy, name)(*arguments)
                assert np.shape(found) == np.shape(expected), (name, arguments)
                assert np.asarray(found).dtype.kind == np.asarray(expected).dtype.kind, (name, arguments)
    assert isinstance(rng.randint(5), int)


def test_numbers_are_from_the_ranges_of_random_state():
    rng = streams.generator(1, "a")
    assert set(rng.randint(2, 5, size=500).tolist()) == {2, 3, 4}
    assert set(rng.randint(3, size=500).tolist()) == {0, 1, 2}
    assert set(rng.random_integers(2, 4, size=500).tolist()) == {2, 3, 4}
    assert set(rng.random_integers(3, size=500).tolist()) == {1, 2, 3}
    assert rng.randint(0, 9, 3, np.uint8).dtype == np.uint8
    assert 0.4 < rng.rand(1000).mean() < 0.6 and 0.9 < rng.randn(1000).std() < 1.1
    assert rng.random_sample(100).min() >= 0 and rng.tomaxint(100).max() > 2**60
    rows = np.arange(50)
    rng.shuffle(rows)
    assert sorted(rows) == list(range(50)) != rows.tolist()


def test_generators_are_pickled_with_their_methods_and_position():
    rng = streams.generator(1, "a")
    rng.normal(size=3)
    again = pickle.loads(pickle.dumps(rng))
    assert again.rand(3).tolist() == rng.rand(3).tolist()


def test_the_numbers_are_those_of_numpy():
    plain = np.random.Generator(np.random.Philox(streams.seed_sequence(1, "a", 2)))
    assert streams.generator(1, "a", 2).normal(size=5).tolist() == plain.normal(size=5).tolist()
