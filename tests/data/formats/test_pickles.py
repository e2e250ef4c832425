import gzip
import os
import pickle

import numpy as np
import pytest

from arignote.data import files, readers
from arignote.data.files import CheckpointError


def test_reads_pickles_compressed_or_not(tmp_path):
    value = {"X": np.arange(6).reshape(2, 3)}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    (tmp_path / "a.pkl.gz").write_bytes(gzip.compress(pickle.dumps(value)))
    for name in ("a.pkl", "a.pkl.gz"):
        np.testing.assert_array_equal(files.read_pickle(str(tmp_path / name))["X"], value["X"])


def test_a_pickle_that_runs_something_is_refused_unless_it_is_trusted(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(os.getcwd))
    with pytest.raises(CheckpointError, match=r"a.pkl: got a pickle that asks for posix.getcwd.*trusted=True"):
        files.read_pickle(tmp_path / "a.pkl")
    assert files.read_pickle(tmp_path / "a.pkl", trusted=True) is os.getcwd


@pytest.mark.parametrize(
    "content",
    [b"", b"\x1f\x8b damaged", gzip.compress(pickle.dumps(1))[:-5], b"no pickle"],
    ids=["empty", "damaged", "cut off", "no pickle"],
)
def test_a_corrupted_pickle_is_refused(content, tmp_path):
    (tmp_path / "a.pkl.gz").write_bytes(content)
    with pytest.raises(CheckpointError, match="a.pkl.gz: got a (damaged|pickle)"):
        files.read_pickle(tmp_path / "a.pkl.gz")


@pytest.mark.parametrize("n_bytes", [100, 2**16, 2**20, 2**20 + 1])
@pytest.mark.parametrize("n_behind", [0, 2**20])
def test_a_pickle_whose_checksum_does_not_fit_is_refused(n_bytes, n_behind, tmp_path):
    """Wherever the pickle ends within the blocks that are read, and whatever follows it."""
    padding = n_bytes - len(pickle.dumps(bytes(n_bytes)))
    content = bytearray(gzip.compress(pickle.dumps(bytes(n_bytes + padding)) + bytes(n_behind), 0))
    content[-8] ^= 1  # the first byte of the checksum
    (tmp_path / "a.pkl.gz").write_bytes(content)
    with pytest.raises(CheckpointError, match="a.pkl.gz: got a damaged gzip file .*CRC"):
        files.read_pickle(tmp_path / "a.pkl.gz")


def test_a_missing_file_is_an_error(tmp_path):
    for read in (files.read_pickle, files.checkpoint_read, files.read_csv, files.read_array, readers.read_data):
        with pytest.raises(FileNotFoundError, match="need a file that exists"):
            read(tmp_path / "nothing")


def test_arguments_of_pickle_load(tmp_path):
    """Text and bytes as Python 2 wrote them, in each of its opcodes."""
    (tmp_path / "a.pkl").write_bytes(b"(lp0\nS'caf\\xc3\\xa9'\naU\x05caf\xc3\xa9aT\x05\x00\x00\x00caf\xc3\xa9a.")
    for given in ({}, {"encoding": "utf-8"}, {"encoding": "bytes"}, {"encoding": "ascii", "errors": "replace"}):
        expected = b"caf\xc3\xa9"
        if given.get("encoding") != "bytes":
            expected = expected.decode(given.get("encoding", "latin1"), given.get("errors", "strict"))
        for trusted in (False, True):
            found = files.read_pickle(fname=str(tmp_path / "a.pkl"), trusted=trusted, fix_imports=True, **given)
            assert found == [expected] * 3
    with pytest.raises(CheckpointError, match=r"a.pkl: got a damaged pickle .*ascii"):
        files.read_pickle(tmp_path / "a.pkl", encoding="ascii")
    with pytest.raises(TypeError, match="got the argument 'encodin'; need one of .*encoding"):
        files.read_pickle(tmp_path / "a.pkl", encodin="ascii")


def test_errors_of_files_are_errors_of_input_and_of_values():
    assert issubclass(CheckpointError, IOError) and issubclass(CheckpointError, ValueError)
    assert str(CheckpointError("a.pkl: got it")) == "a.pkl: got it"
