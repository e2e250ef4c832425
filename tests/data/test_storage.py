import os

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


def test_missing_files(tmp_path):
    assert not storage.exists(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="need a file that exists"):
        storage.read(tmp_path / "a")


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


@pytest.fixture(scope="module")
def bucket():
    """Run a real S3 server on this machine, and return the address of a bucket."""
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    import boto3

    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    settings = {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    earlier = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    boto3.client("s3").create_bucket(Bucket="runs")
    yield "s3://runs"
    for name, value in earlier.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    server.stop()


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
