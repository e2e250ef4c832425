"""Fingerprints tell data apart, and are the same for the same rows, wherever they come from."""

import re

import h5py
import numpy as np
import pytest

from arignote.data import fingerprint as module
from arignote.data.fingerprint import differences, fingerprint
from arignote.data.readers import Data, HDFReader
from tests.data.test_dataset import Plain

rng = np.random.default_rng(2)
X = rng.random((500, 3)).astype("float32")


def of(features, labels="labels", **given):
    return fingerprint(Data(features, **given), labels)


CHANGED = {
    "fewer rows": (lambda: of(X[:499]), ["499 rows instead of 500"]),
    "another shape": (lambda: of(X.reshape(500, 3, 1)), ["[3, 1] as the shape of a row instead of [3]"]),
    "another type": (lambda: of(X.astype(float)), ["float64 as the type of the features instead of float32"]),
    "scaled": (lambda: of(X * 2), ["other features"]),
    "in another order": (lambda: of(X[::-1]), ["other features"]),
    "other rows of the same": (lambda: of(np.r_[X[:1], X], start=1), []),
    "other labels": (lambda: of(X, "others"), ["other labels"]),
    "shuffled": (lambda: of(X, shuffle=True), ["shuffle=True instead of False"]),
    "another seed": (lambda: of(X, seed=4), ["seed=4 instead of None"]),
    "mixed otherwise": (lambda: of(X, shuffle_rows=4), ["shuffle_rows=4 instead of None"]),
    "without the rest": (lambda: of(X, allow_partial_batch=False), ["allow_partial_batch=False instead of True"]),
    "a longer row": (lambda: of(np.c_[X, X]), ["[6] as the shape of a row instead of [3]"]),
    "the same": (lambda: of(X.copy()), []),
}


@pytest.mark.parametrize("case", CHANGED)
def test_differences_are_said(case):
    make, expected = CHANGED[case]
    assert differences(of(X), make()) == expected


def test_the_same_rows_in_a_file_have_the_same_fingerprint(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=X, chunks=(7, 3), compression="gzip")
    np.save(tmp_path / "x.npy", X)
    assert of(HDFReader(tmp_path / "x.h5")) == of(tmp_path / "x.npy") == of(X) == of(list(X))


def test_rows_that_a_file_shuffles_by_blocks_are_others(tmp_path):
    def shuffled(chunk_rows):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file.create_dataset("x", data=X, chunks=(chunk_rows, 3))
        return of(HDFReader(tmp_path / "x.h5"), shuffle=True)

    one, other, again = shuffled(40), shuffled(50), shuffled(40)
    assert not differences(one, again)
    (said,) = differences(one, other)
    assert re.fullmatch(r"the order of the rows: blocks of \d+ rows, \d+ of them mixed, instead of blocks of .*", said)
    assert "instead of all rows mixed" in differences(of(X, shuffle=True), other)[0]
    del one["order"]  # as earlier versions stored them
    assert not differences(one, other)


def test_of_a_reader_of_sequences_only_the_first_rows_are_read():
    read = []

    class Watched(Plain):
        def iter_epoch(self, *arguments, **named):
            for rows in super().iter_epoch(*arguments, **named):
                read.extend(rows.tolist())
                yield rows

    of(Watched(np.arange(1000)), start=100)
    assert read == list(range(100, 100 + module.SAMPLE_ROWS))


def test_a_fingerprint_is_plain_data_that_can_be_stored():
    found = of(X, seed=3)
    assert {type(value) for value in found.values()} <= {int, str, list, bool, type(None)}
