import random
import shutil
import subprocess
import sys
import time

import h5py
import numpy as np
import pandas as pd
import pytest
import tables

from arignote.data import journal
from arignote.data.readers import HDFError, HDFReader, HDFWriter
from tests import kills
from tests.data.hdf.append import rows
from tests.helpers import ROOT

rng = np.random.default_rng(4)


def check_rows(path, n_rows):
    """Check that the file contains the first rows of `append.rows`, and that each library reads them."""
    expected = rows(0, n_rows)
    with h5py.File(path) as file:
        assert np.array_equal(file["images"][:], expected["images"])
    pd.testing.assert_frame_equal(pd.read_hdf(path, "labels").reset_index(drop=True), expected["labels"])
    with tables.open_file(path) as file:
        assert file.root.labels.nrows == n_rows and file.root.images.shape == (n_rows, 20, 20)
    images = HDFReader(path, "images")
    assert np.array_equal(np.concatenate(list(images.iter_epoch(50, allow_partial=True))), expected["images"])


@pytest.mark.parametrize("compression", [None, 0, 9, "blosc"])
def test_appended_rows_are_read_back(tmp_path, compression):
    path = tmp_path / "folder/data.h5"
    for stop in (0, 1, 40, 1000):
        with HDFWriter(path, compression) as writer:
            while writer.n_rows < stop:
                writer.append(**rows(writer.n_rows, min(stop, writer.n_rows + 130)))
    check_rows(path, 1000)
    with h5py.File(path) as file:
        assert (file["images"].compression == "gzip") == isinstance(compression, int)


def test_single_rows_and_series(tmp_path):
    path = tmp_path / "data.h5"
    image, started = rng.normal(size=(3, 8, 8)).astype("float32"), time.monotonic()
    with HDFWriter(path) as writer:
        for i in range(1000):
            writer.append(images=[image + i], labels=pd.Series([i % 3], name="digit"), weights=[i / 2])
    assert time.monotonic() - started < 30
    assert np.array_equal(pd.read_hdf(path, "labels")["labels"], np.arange(1000) % 3)
    assert np.array_equal(np.concatenate(list(HDFReader(path, "weights").iter_epoch(100))), np.arange(1000) / 2)
    features, labels = HDFReader(path, "images"), HDFReader(path, "labels")
    assert (features.shape, labels.shape) == ((3, 8, 8), ())
    assert np.array_equal(next(features.iter_epoch(2, start=998))[1], image + 999)


def test_committed_rows_can_be_read_before_close(tmp_path):
    path = tmp_path / "data.h5"
    writer = HDFWriter(path)
    writer.append(**rows(0, 60))
    writer.commit()
    copy = shutil.copy(path, tmp_path / "copy.h5")
    check_rows(copy, 60)
    writer.append(**rows(60, 80))
    writer.close()
    writer.close()
    check_rows(path, 80)


def test_rows_appended_before_an_error_are_kept(tmp_path):
    path = tmp_path / "data.h5"
    with pytest.raises(KeyboardInterrupt), HDFWriter(path) as writer:
        writer.append(**rows(0, 60))
        raise KeyboardInterrupt
    check_rows(path, 60)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, "got no tables"),
        ({"images": np.zeros((2, 20, 20), "uint8")}, r"got the tables \['images'\]; need \['images', 'labels'\]"),
        ({"images": np.zeros((2, 20, 20)), "labels": rows(0, 3)["labels"]}, "got {'images': 2, 'labels': 3} rows"),
        ({"images": np.zeros((2, 20, 21), "uint8"), "labels": rows(0, 2)["labels"]}, r"got rows of shape \(20, 21\)"),
        ({"images": np.zeros((2, 20, 20)), "labels": rows(0, 2)["labels"]}, "type float64 for 'images'; need"),
        ({"images": ["a", "b"], "labels": rows(0, 2)["labels"]}, "need rows of numbers"),
        ({"images": [[1], [2, 3]], "labels": rows(0, 2)["labels"]}, "examples of different sizes"),
    ],
)
def test_mismatched_rows_are_refused_and_nothing_is_lost(tmp_path, tables, message):
    path = tmp_path / "data.h5"
    with HDFWriter(path) as writer:
        writer.append(**rows(0, 5))
        with pytest.raises(ValueError, match=message):
            writer.append(**tables)
        writer.append(**rows(5, 9))
    check_rows(path, 9)


def test_files_of_other_programs_are_not_modified(tmp_path):
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(3)
    before = path.read_bytes()
    with pytest.raises(HDFError, match="got 'x', which cannot grow"):
        HDFWriter(path)
    assert path.read_bytes() == before
    path.write_bytes(b"no hdf")
    with pytest.raises(HDFError, match="not HDF5, or is damaged"):
        HDFWriter(path)
    assert path.read_bytes() == b"no hdf"
    with pytest.raises(ValueError, match="got compression='zip'"):
        HDFWriter(tmp_path / "new.h5", "zip")


def test_after_kills_at_random_moments_rows_can_be_appended(tmp_path):
    path, moments, n_rows = tmp_path / "data.h5", random.Random(1), 0
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-m", "tests.data.hdf.append", path, "0.02"], cwd=ROOT)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (path.exists() and path.stat().st_size > 4096):
            time.sleep(0.01)
        time.sleep(moments.uniform(0.2, 1.2))
        process.kill()
        process.wait()
        found = HDFReader(path, "images").n_rows  # completes an interrupted commit
        assert found >= n_rows
        n_rows = found
        check_rows(path, n_rows)
    assert n_rows > 97
    with HDFWriter(path) as writer:
        assert writer.n_rows == n_rows
        writer.append(**rows(n_rows, n_rows + 3))
    check_rows(path, n_rows + 3)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")
def test_a_kill_at_every_system_call_of_a_commit(tmp_path):
    path, original = tmp_path / "data.h5", tmp_path / "before.h5"
    with HDFWriter(original) as writer:
        writer.append(**rows(0, 1300))
    found = []

    def reset():
        for leftover in tmp_path.glob("*data.h5*"):
            leftover.unlink()
        shutil.copy(original, path)

    def check():
        interrupted = journal.journal_path(path).exists()
        if not interrupted:  # then the file is intact for all programs
            with h5py.File(path) as file:
                assert len(file["images"]) == len(file["labels"])
        found.append(HDFReader(path, "images").n_rows)
        check_rows(path, found[-1])

    command = [sys.executable, "-m", "tests.data.hdf.append", str(path), "inf"]
    only = "write,pwrite64,ftruncate,fsync,rename,unlink"
    n_kills = kills.kill_at_every_system_call(command, tmp_path / "calls", reset, check, only)
    assert n_kills >= 10
    assert set(found) == {1300, 2000}


def test_columns_in_another_order_are_refused_and_nothing_is_lost(tmp_path):
    frame = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=list("abc"))
    with HDFWriter(tmp_path / "x.h5") as writer:
        writer.append(features=frame)
        for other in (frame[list("cba")], frame.rename(columns={"a": "x"}), frame[["a", "b"]]):
            with pytest.raises(ValueError, match="got the columns .* need .'a', 'b', 'c'., as before; try frame"):
                writer.append(features=other)
        writer.append(features=frame)
    np.testing.assert_array_equal(next(HDFReader(tmp_path / "x.h5").iter_epoch(8)), np.tile(frame, (2, 1)))


def test_rows_and_labels_in_another_order_are_refused(tmp_path):
    frame, labels = pd.DataFrame(np.eye(4)), pd.Series(np.arange(4))
    with HDFWriter(tmp_path / "x.h5") as writer:
        with pytest.raises(ValueError, match="index differs from row 0 on"):
            writer.append(features=frame, labels=labels[::-1])
        writer.append(features=frame, labels=labels)


def test_a_failed_commit_closes_the_file(tmp_path, monkeypatch):
    writer = HDFWriter(tmp_path / "x.h5")
    writer.append(features=np.eye(4))
    monkeypatch.setattr(writer, "commit", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        writer.close()
    assert not writer._file
    writer.close()
