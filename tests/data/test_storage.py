import os
import threading

import numpy as np
import pytest

from arignote.data import files, storage
from arignote.nnets.nets import NNClassifier
from tests.helpers import MLP, assert_same, assert_same_params


def test_an_earlier_file_is_kept(tmp_path):
    storage.write(tmp_path / "a", b"one", keep_as=tmp_path / "b")
    assert os.listdir(tmp_path) == ["a"]
    storage.write(tmp_path / "a", b"two", keep_as=tmp_path / "b")
    storage.write(tmp_path / "a", b"three", keep_as=tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == b"three" and (tmp_path / "b").read_bytes() == b"two"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_leftovers_of_killed_writes_are_cleared_away(tmp_path):
    (tmp_path / ".mine.pkl.gz.k3j4.tmp").write_bytes(b"half")
    (tmp_path / ".other.pkl.gz.k3j4.tmp").write_bytes(b"somebody else's")
    storage.require_writable(tmp_path / "mine.pkl.gz")
    assert os.listdir(tmp_path) == [".other.pkl.gz.k3j4.tmp"]


def test_a_file_that_is_kept_already_leaves_nothing_behind(tmp_path):
    """As after a kill between the two steps of a write."""
    (tmp_path / "a").write_bytes(b"one")
    os.link(tmp_path / "a", tmp_path / "b")
    storage.write(tmp_path / "a", b"two", keep_as=tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == b"two" and (tmp_path / "b").read_bytes() == b"one"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_programs_that_keep_an_earlier_file_at_once_do_not_meet(tmp_path):
    storage.write(tmp_path / "a", b"first")
    failures = []

    def write_often(content):
        try:
            for _ in range(100):
                storage.write(tmp_path / "a", content, keep_as=tmp_path / "b")
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write_often, args=(content,)) for content in (b"one", b"two", b"three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_missing_files(tmp_path):
    assert not storage.exists(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="need a file that exists"):
        storage.read(tmp_path / "a")


def test_makedirs_tolerates_what_is_there(tmp_path):
    for _ in range(2):
        storage.tolerant_makedirs(str(tmp_path / "a/b"))
    (tmp_path / "file").touch()
    storage.tolerant_makedirs(tmp_path / "file")
    storage.tolerant_makedirs("")
    assert (tmp_path / "a/b").is_dir()
    with pytest.raises(NotADirectoryError):
        storage.tolerant_makedirs(tmp_path / "file/a")


def test_types_of_files():
    assert [files.get_file_type(name) for name in ("a.pkl.gz", "a.csv.h5", "b.hdf", "a.csv.gz")] == [
        "pkl", "hdf", "hdf", "csv",
    ]  # fmt: skip
    with pytest.raises(TypeError, match=r"got the file name 'a.txt'; need .*pkl, h5, hdf, csv; try a.pkl"):
        files.get_file_type("a.txt")


def test_without_fsspec_an_address_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(ImportError, match=r"need fsspec.*pip install 'arignote\[s3\]'"):
        storage.exists("s3://bucket/key")


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_addresses_of_fsspec(scheme, tmp_path):
    pytest.importorskip("fsspec")
    name = f"{scheme}://{tmp_path}/a"
    storage.require_writable(name)
    assert not storage.exists(name)
    storage.write(name, b"one", keep_as=f"{name}_before")
    storage.write(name, b"two", keep_as=f"{name}_before")
    assert storage.read(name) == b"two" and storage.read(f"{name}_before") == b"one"
    with pytest.raises(FileNotFoundError):
        storage.read(f"{name}_nothing")


class Ignorant:
    """A file system that ignores, or does not know, the mode of a request."""

    def __init__(self, filesystem, error):
        self.filesystem, self.error = filesystem, error

    def pipe_file(self, path, content, mode=None):
        if mode is not None and self.error is not None:
            raise self.error
        self.filesystem.pipe_file(path, content)

    def exists(self, path):
        return self.filesystem.exists(path)


@pytest.mark.parametrize("error", [None, TypeError("mode"), NotImplementedError("A header"), OSError(22, "what?")])
def test_a_store_that_cannot_create_for_one_alone_says_so(error, monkeypatch):
    filesystem = pytest.importorskip("fsspec").filesystem("memory")
    monkeypatch.setattr(storage, "_open", lambda name: (Ignorant(filesystem, error), "/ignorant"))
    assert not storage.create("memory://ignorant", b"one")
    assert filesystem.cat_file("/ignorant") == b"one"
    if error is not None:
        with pytest.raises(FileExistsError):
            storage.create("memory://ignorant", b"two")
        assert filesystem.cat_file("/ignorant") == b"one"
    filesystem.rm_file("/ignorant")


def test_a_file_at_an_address_is_created_once(bucket):
    for address in ("memory://created/a", f"{bucket}/created/a"):
        assert storage.create(address, b"one")
        with pytest.raises(FileExistsError):
            storage.create(address, b"two")
        assert storage.read(address) == b"one"
        storage.delete(address)
        assert not storage.exists(address)


def test_addresses_of_files_on_this_machine(tmp_path):
    assert storage.local_path(f"file://{tmp_path}/a") == tmp_path / "a" == storage.local_path(tmp_path / "a")
    assert storage.local_path("s3://bucket/a") is None


def test_a_run_is_kept_on_s3_and_goes_on_from_there(bucket, quick, blobs, tmp_path):
    X, y = blobs
    given = {"X": X, "y": y, "valid": (X, y), "batch_size": 40, "sgd_type": "nag"}
    straight = NNClassifier(MLP, rng=1).fit(**given, n_epochs=4, checkpoint=tmp_path / "here")
    checkpoint = f"{bucket}/mnist/first"
    NNClassifier(MLP, rng=1).fit(**given, n_epochs=2, checkpoint=checkpoint, checkpoint_batches=2)
    again = files.checkpoint_read(checkpoint)
    assert again.trainer.progress.epoch == 2
    again.fit(**given, n_epochs=4, checkpoint=checkpoint)
    assert_same_params(again, straight)
    assert_same(again.trainer.history, straight.trainer.history)
    best = files.checkpoint_read(f"{checkpoint}_best_model.pkl.gz")
    np.testing.assert_array_equal(best.predict(X), again.predict(X))


def test_a_damaged_last_checkpoint_on_s3_gives_the_one_before(bucket):
    first, second = NNClassifier(MLP, n_in=5, rng=1), NNClassifier(MLP, n_in=5, rng=2)
    for classifier in (first, second):
        files.checkpoint_write(f"{bucket}/damaged", classifier)
    storage.write(f"{bucket}/damaged_last.pkl.gz", b"\x1f\x8bnothing")
    with pytest.warns(UserWarning, match="Reading the checkpoint before it"):
        again = files.checkpoint_read(f"{bucket}/damaged")
    assert_same(again.__getstate__(), first.__getstate__())


def test_a_bucket_that_is_not_there_is_refused_before_any_work(bucket, blobs):
    with pytest.raises(OSError, match="no file can be written there"):
        NNClassifier(MLP).fit(*blobs, n_epochs=1, batch_size=40, checkpoint="s3://nowhere/run")


def test_a_missing_checkpoint_on_s3_is_an_error(bucket):
    with pytest.raises(FileNotFoundError, match="need a file that exists"):
        files.checkpoint_read(f"{bucket}/never-written")
