"""Small pickles that make much of little are refused, before they take much memory or time."""

import gzip
import itertools
import pickle
import time
import tracemalloc

import numpy as np
import pytest

from arignote.data import files, unpickle
from arignote.data.unpickle import PickleError, PickleSizeError

MIB = 2**20
P = 2**61 - 1  # hashes of numbers are taken modulo this one


def array(data: bytes, shape: bytes) -> bytes:
    """Return the opcodes that make an array of bytes, from the opcodes of its data and of its shape."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(" + shape + b"t"
        b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntRI00\n" + data + b"tb"
    )


def stored(code: bytes, data: bytes) -> bytes:
    """Return the opcodes that make long text or bytes, and number it 1."""
    return code + len(data).to_bytes(8, "little") + data + b"q\x01"


def number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8b" + len(data).to_bytes(4, "little") + data


def doubled(n: int) -> bytes:
    return b"]q\x000" + b"0".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(n)) + b"."


SCALAR = b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'S1048576'\nI0\nI1\ntRh\x01tR"
ENCODE = b"c_codecs\nencode\n(h\x01S'latin1'\ntR"
LARGE = {
    "a text encoded 400 times": b"(" + stored(b"\x8d", b"x" * MIB) + ENCODE * 400 + b"l.",
    "bytes in 3000 arrays": b"(" + stored(b"\x8e", bytes(MIB)) + array(b"h\x01", b"I1048576\n") * 3000 + b"l.",
    "text in 3000 arrays": b"(" + stored(b"\x8d", b"\0" * MIB) + array(b"h\x01", b"I1048576\n") * 3000 + b"l.",
    "bytes in 3000 scalars": b"(" + stored(b"\x8e", bytes(MIB)) + SCALAR * 3000 + b"l.",
    "many lists": b"(" + b"]" * 3_000_000 + b"l.",
    "nested lists": b"]" * 3_000_000 + b"a" * 2_999_999 + b".",
    "many numbered lists": b"(" + b"]\x94" * 1_000_000 + b"l.",
    "a list of 1000 items, used 50 000 times": b"((" + b"N" * 1000 + b"lq\x01" + b"h\x01" * 50_000 + b"l.",
    "many pairs": b"}(" + b"N" * 500_000 + b"u.",
    "many keys": b"\x80\x04\x8f(" + b"N" * 250_000 + b"\x90.",
    "many numbers of the memo": b"N" + b"\x94" * 500_000 + b".",
    "lists doubled 60 times": doubled(60),
}


@pytest.mark.parametrize("content", LARGE.values(), ids=LARGE)
def test_what_takes_much_memory_is_refused_early(content):
    limit = 16 * MIB
    tracemalloc.start()
    try:
        with pytest.raises(PickleSizeError, match="take more than 16777216 bytes of memory"):
            unpickle.loads(content, max_bytes=limit)
        assert tracemalloc.get_traced_memory()[1] < 2 * limit + 4 * MIB
    finally:
        tracemalloc.stop()


# Tuples of these have one hash, if as many items are there.
EQUAL = [number(n * P) for n in range(1, 8)]
TUPLES = [b"(" + b"".join(items) + b"t" for items in itertools.product(EQUAL, repeat=4)]
SLOW = {
    "a shape of 32 long numbers": (array(b"S''\n", number(2 ** (8 * 200_000)) * 32) + b".", "200001 bytes"),
    "a long number in digits": (b"L" + b"9" * 3000 + b"L\n.", "3000 digits"),
    "long numbers as keys": (b"}(" + b"".join(number(n * P) + b"N" for n in range(1, 3000)) + b"u.", "as a key"),
    "tuples as keys": (b"}(" + b"N".join(TUPLES) + b"Nu.", "more than 100 keys of one hash"),
    "tuples in a set": (b"\x80\x04\x8f(" + b"".join(TUPLES) + b"\x90.", "more than 100 keys of one hash"),
    "tuples in a frozenset": (b"\x80\x04(" + b"".join(TUPLES) + b"\x91.", "more than 100 keys of one hash"),
    "tuples as keys, one by one": (b"}" + b"".join(key + b"Ns" for key in TUPLES) + b".", "more than 100 keys"),
}


@pytest.mark.parametrize(("content", "message"), SLOW.values(), ids=SLOW)
def test_what_takes_long_is_refused(content, message):
    with pytest.raises(PickleError, match=message):
        unpickle.loads(content)


def test_the_tuples_above_have_one_hash():
    keys = [pickle.loads(key + b".") for key in TUPLES]
    assert len(set(map(hash, keys))) == 1 and len(set(keys[:50])) == 50


def test_a_call_with_many_arguments_copies_nothing():
    many = b"(" + b"N" * 100_000 + b"tq\x01"
    calls = b"".join(b"cmine.Thing\nx\nh\x01R" for _ in range(2000))
    start = time.process_time()
    found, _ = unpickle.loads(b"(" + many + calls + b"l.", classes=["mine.Thing.x"], max_bytes=2**40)
    assert len(found) == 2001 and time.process_time() - start < 2  # copies would take ten times as long


def test_a_buffer_in_many_places_is_copied_once():
    buffer = b"\x96" + (2 * MIB).to_bytes(8, "little") + bytes(2 * MIB) + b"q\x01"
    tracemalloc.start()
    found, _ = unpickle.loads(b"(" + buffer + b"h\x01" * 200 + b"l.")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert type(found[0]) is bytes and len({id(item) for item in found}) == 1 and peak < 16 * MIB


def test_ordinary_data_fit():
    rows = [{"name": f"row {i}", "size": i, "at": (float(i), None, i % 2 == 0)} for i in range(3000)]
    data = {"rows": rows, "words": [f"w{i}" for i in range(10_000)], "X": np.zeros((100, 100))}
    for protocol in range(6):
        content = pickle.dumps(data, protocol)
        found, _ = unpickle.loads(content, max_bytes=unpickle.budget.LIMIT_RATIO * len(content))  # without the 64 MiB
        assert found["rows"] == rows and found["words"] == data["words"]


def test_a_file_may_be_allowed_more(tmp_path):
    for name, opened in (("lists.pkl", open), ("lists.pkl.gz", gzip.open)):
        with opened(tmp_path / name, "wb") as file:
            file.write(LARGE["a list of 1000 items, used 50 000 times"])
        with pytest.raises(files.CheckpointError, match=f"{name}: got a pickle of data .* try max_bytes="):
            files.read_pickle(tmp_path / name)
        assert files.read_pickle(tmp_path / name, max_bytes=2**30)[1:] == [[None] * 1000] * 50_000
