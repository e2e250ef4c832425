import errno
import os
import resource
import shutil
import threading
import time
import warnings

import pytest

from arignote.checkpoint import format as checkpoint_format
from arignote.checkpoint import lock
from arignote.checkpoint.lock import InUseError
from arignote.data import files, storage
from arignote.nnets import checkpoints
from arignote.nnets.callbacks import Callback, CallbackList
from arignote.nnets.checkpoints import Checkpoint, CheckpointWriter
from arignote.nnets.nets import NNClassifier
from tests.helpers import MLP, assert_same_params, assert_same_training, hold, wait_until


@pytest.fixture(autouse=True)
def _quick(quick):
    """Nothing here depends on C."""


def fit(X, y, **changes):
    arguments = {"n_epochs": 4, "batch_size": 40, "sgd_type": "nag", "valid": (X, y)} | changes
    return NNClassifier(MLP, rng=1).fit(X, y, **arguments)


def test_a_lost_folder_is_reported_and_training_goes_on(blobs, tmp_path, caplog):
    X, y = blobs

    def lose(X, y, epoch, rng):
        if epoch == 3:
            shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        return X, y

    classifier = fit(X, y, checkpoint=tmp_path / "runs/mine", augmentation=lose)
    assert classifier.trainer.progress.epoch == 4
    assert "could not be written" in caplog.text and "Training continues" in caplog.text
    assert "Not written: " in caplog.text
    straight = fit(X, y, checkpoint=tmp_path / "straight", augmentation=lambda X, y: (X, y))
    assert_same_training(classifier, straight)


def test_a_file_system_without_hard_links_gets_every_checkpoint(blobs, tmp_path, caplog, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    fit(*blobs, n_epochs=3, checkpoint=tmp_path / "mine")
    assert "could not be written" not in caplog.text
    assert files.checkpoint_read(tmp_path / "mine").trainer.progress.epoch == 3
    assert files.checkpoint_read(tmp_path / "mine_previous.pkl.gz").trainer.progress.epoch >= 2


def test_a_full_disk_leaves_the_last_good_file_and_is_tried_again(blobs, tmp_path, caplog):
    X, y = blobs
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_and_empty(X, y, epoch, rng):
        # No file may grow beyond this while epochs 1 and 2 are trained: the system refuses, as it does on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000 if epoch in (1, 2) else soft, hard))
        return X, y

    try:
        classifier = fit(X, y, checkpoint=tmp_path / "mine", augmentation=fill_and_empty)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "could not be written ([Errno 27] File too large" in caplog.text
    assert classifier.trainer.finished
    assert files.checkpoint_read(tmp_path / "mine").trainer.finished
    best = files.checkpoint_read(tmp_path / "mine_best_model.pkl.gz")
    assert_same_params(best, classifier)


@pytest.mark.parametrize(("given", "expected"), [({"batches": 3, "seconds": None}, 3), ({"seconds": 0}, 1)])
def test_is_due_after_batches_or_seconds(given, expected, tmp_path):
    due = CheckpointWriter(Checkpoint(tmp_path / "a", **given))
    assert [due.is_due(1) for _ in range(expected)] == [False] * (expected - 1) + [True]


def test_is_due_after_a_minute_by_default(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    due = CheckpointWriter(Checkpoint(tmp_path / "a"))
    now[0] += 59.9
    assert not due.is_due(1)
    now[0] += 0.2
    assert due.is_due(1)


def test_a_best_model_does_not_put_off_the_last_one(blobs, tmp_path, monkeypatch):
    """The last state is due after 3 and 6 minibatches, though there is a best model after 2, 4 and 6."""
    written = []
    monkeypatch.setattr(checkpoint_format, "write_content", lambda path, content: written.append(path.name))
    given = {"validation_frequency": 80, "checkpoint_batches": 3, "checkpoint_seconds": None}
    fit(*blobs, n_epochs=1, checkpoint=tmp_path / "mine", **given)
    kinds = [name.removeprefix("mine_").removesuffix(".pkl.gz") for name in written]
    assert kinds[:5] == ["best_model", "last", "best_model", "best_model", "last"]


def test_a_good_run_warns_of_nothing(blobs, tmp_path, caplog):
    with caplog.at_level("INFO", "arignote"):
        fit(*blobs, checkpoint=tmp_path / "mine")
    assert "4/4: " in caplog.text
    assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == []


def test_files_are_whole_when_fit_raises(blobs, tmp_path, monkeypatch):
    write = checkpoint_format.write_content

    def slowly(path, content):
        time.sleep(0.2)
        write(path, content)

    def fail_in_the_second_epoch(X, y, epoch, rng):
        return {1: (X, y)}[epoch]

    monkeypatch.setattr(checkpoint_format, "write_content", slowly)
    with pytest.raises(KeyError):
        fit(*blobs, checkpoint=tmp_path / "mine", augmentation=fail_in_the_second_epoch)
    assert files.checkpoint_read(tmp_path / "mine").trainer.progress.epoch == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("arignote")]


def test_what_comes_while_a_store_is_slow_is_written_when_it_is_not(tmp_path, monkeypatch, caplog):
    write, may_write, written = checkpoint_format.write_content, threading.Event(), []

    def slowly(path, content):
        written.append(path.name.removeprefix("mine_").removesuffix(".pkl.gz"))
        may_write.wait(60)
        write(path, content)

    monkeypatch.setattr(checkpoint_format, "write_content", slowly)
    monkeypatch.setattr(checkpoints, "PATIENCE", 0.1)
    writer = CheckpointWriter(Checkpoint(tmp_path / "mine"))
    models = [NNClassifier(MLP, n_in=5, rng=seed) for seed in range(9)]
    started = time.monotonic()
    for model in models[:3]:
        writer.write("last", model)
    for i, model in enumerate(models):
        writer.write(f"epoch{i}", model)
    assert time.monotonic() - started < 5
    assert caplog.text.count("takes long to be written. Training continues.") == 1
    may_write.set()
    wait_until(lambda: not writer._is_writing)
    may_write.clear()
    for model in models[:3]:  # it is slow again
        writer.write("best_model", model)
    assert caplog.text.count("takes long to be written") == 1
    may_write.set()
    writer.finish()
    assert written[6:] == ["best_model", "best_model"]
    assert written[:6] == ["last", "last", "epoch5", "epoch6", "epoch7", "epoch8"]
    assert_same_params(files.checkpoint_read(tmp_path / "mine"), models[2])
    assert_same_params(files.checkpoint_read(tmp_path / "mine_epoch8.pkl.gz"), models[8])
    assert caplog.text.count("is given up, since it could not be written so far") == 5
    assert "Not written" not in caplog.text


def test_a_store_that_never_answers_does_not_hold_the_program(tmp_path, monkeypatch, caplog):
    forever = threading.Event()
    monkeypatch.setattr(checkpoint_format, "write_content", lambda path, content: forever.wait(60))
    monkeypatch.setattr(checkpoints, "LONGEST_WAIT", 0.2)
    with CheckpointWriter(Checkpoint(tmp_path / "mine")) as writer:
        writer.write("last", NNClassifier(MLP, n_in=5, rng=1))
    assert "Not written: last. Earlier files" in caplog.text
    forever.set()


def test_leaves_no_thread(blobs, tmp_path):
    fit(*blobs, checkpoint=tmp_path / "mine")
    with pytest.raises(KeyError):
        fit(*blobs, checkpoint=tmp_path / "mine", augmentation=lambda X, y: {}["nothing"])
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("arignote")]


def test_a_best_model_found_elsewhere_is_written_here_too(blobs, tmp_path):
    X, y = blobs
    classifier = fit(X, y, checkpoint=tmp_path / "a")
    moved = files.checkpoint_read(tmp_path / "a")
    moved.trainer.progress.best_loss = 0.0  # nothing to come can be better
    moved.fit(X, y, valid=(X, y), n_epochs=5, checkpoint=tmp_path / "b")
    best = files.checkpoint_read(tmp_path / "b_best_model.pkl.gz")
    assert_same_params(best, classifier)


@pytest.mark.parametrize(("name", "value"), [("checkpoint_seconds", -1), ("checkpoint_batches", 0)])
def test_refuses_wrong_intervals(name, value, blobs, tmp_path):
    with pytest.raises(ValueError, match=f"got {name}={value}"):
        fit(*blobs, checkpoint=tmp_path / "a", **{name: value})


def test_one_object_has_the_name_and_all_details(blobs, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(checkpoint_format, "write_content", lambda path, content: written.append(path.name))
    checkpoint = Checkpoint(tmp_path / "mine", seconds=None, batches=4, keep_all=True)
    classifier = fit(*blobs, n_epochs=2, checkpoint=checkpoint)
    kinds = [name.removeprefix("mine_").removesuffix(".pkl.gz") for name in written]
    assert kinds[:5] == ["last", "best_model", "last", "epoch1", "last"]
    assert classifier.trainer.settings.checkpoint_all


def test_details_beside_an_object_are_refused(blobs, tmp_path):
    checkpoint = Checkpoint(tmp_path / "mine")
    for name, value in (("seconds", 5), ("batches", 7)):
        with pytest.raises(TypeError, match=rf"got a Checkpoint and, in addition, {name}.*{name}={value}\)"):
            fit(*blobs, checkpoint=checkpoint, **{f"checkpoint_{name}": value})
    with pytest.raises(TypeError, match="got a Checkpoint and, in addition, keep_all"):
        fit(*blobs, checkpoint=checkpoint, checkpoint_all=True)


def test_a_wrong_interval_of_an_object_is_refused(tmp_path):
    for name, value in (("seconds", -1), ("batches", 0)):
        with pytest.raises(ValueError, match=f"got {name}={value}"):
            Checkpoint(tmp_path / "mine", **{name: value})


def test_a_resumed_run_keeps_what_its_object_says(blobs, tmp_path):
    X, y = blobs
    fit(X, y, n_epochs=1, checkpoint=tmp_path / "mine")
    resumed = files.checkpoint_read(tmp_path / "mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n_epochs, keep_all in ((2, True), (3, False)):
            checkpoint = Checkpoint(tmp_path / "mine", keep_all=keep_all)
            resumed.fit(X, y, valid=(X, y), n_epochs=n_epochs, checkpoint=checkpoint)
    assert [n for n in range(1, 4) if (tmp_path / f"mine_epoch{n}.pkl.gz").exists()] == [2]


# -- one program for each checkpoint ---------------------------------------------------------------------------------


def test_fit_under_a_name_that_another_program_has_is_refused_before_any_work(blobs, tmp_path):
    fit(*blobs, n_epochs=1, checkpoint=tmp_path / "mine")
    half_written = tmp_path / ".mine_last.pkl.gz.k3j4.tmp"  # by the other program, at this moment
    half_written.write_bytes(b"half")
    before = (tmp_path / "mine_last.pkl.gz").read_bytes()
    stored = files.checkpoint_read(tmp_path / "mine")
    with hold(tmp_path / "mine") as process:
        for classifier in (stored, NNClassifier(MLP, rng=2)):
            with pytest.raises(InUseError, match=f"another program trains .process {process.pid} on host"):
                classifier.fit(*blobs, n_epochs=3, batch_size=40, checkpoint=tmp_path / "mine")
        assert classifier.trainer is None and stored.trainer.settings.n_epochs == 1
        assert half_written.read_bytes() == b"half"
        assert (tmp_path / "mine_last.pkl.gz").read_bytes() == before
        assert files.checkpoint_read(tmp_path / "mine").trainer.progress.epoch == 1  # reading needs no lock
    stored.fit(*blobs, valid=blobs, n_epochs=2, checkpoint=tmp_path / "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "mine_best_model.pkl.gz", "mine_last.pkl.gz", "mine_previous.pkl.gz",
    ]  # fmt: skip


class At(Callback):
    """Do something after the first epoch."""

    def __init__(self, what):
        self.what = what

    def on_epoch_end(self, classifier):
        if classifier.trainer.progress.epoch == 1:
            self.what()


def test_two_fits_of_one_program_exclude_each_other(blobs, tmp_path):
    with pytest.raises(InUseError, match="another program trains"):
        fit(*blobs, checkpoint=tmp_path / "a", callbacks=At(lambda: fit(*blobs, checkpoint=tmp_path / "a")))
    fit(*blobs, n_epochs=2, checkpoint=tmp_path / "a", callbacks=At(lambda: fit(*blobs, checkpoint=tmp_path / "b")))


@pytest.mark.parametrize("when", ["before training", "when it begins", "while it trains"])
def test_an_error_gives_the_name_back(when, blobs, tmp_path, monkeypatch):
    X, y = blobs
    classifier = fit(X, y, n_epochs=1, checkpoint=tmp_path / "mine")
    given = {"n_epochs": 3}
    if when == "before training":
        given["n_epochs"] = "many"
    elif when == "when it begins":
        monkeypatch.setattr(CallbackList, "restore", lambda self: 1 / 0)
    else:
        given["callbacks"] = type("Fails", (Callback,), {"on_batch_end": lambda *_: 1 / 0})()
    with pytest.raises((ZeroDivisionError, TypeError, ValueError)):
        classifier.fit(X, y, checkpoint=tmp_path / "mine", **given)
    monkeypatch.undo()
    assert not (tmp_path / ".mine.lock").exists()
    fit(X, y, n_epochs=1, checkpoint=tmp_path / "mine")


def test_finish_gives_the_name_back(tmp_path):
    for _ in range(2):
        writer = CheckpointWriter(Checkpoint(tmp_path / "mine"))
        assert [path.name for path in tmp_path.iterdir()] == [".mine.lock"]
        writer.finish()
        writer.finish()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_not_locked(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "require_writable", lambda name: (_ for _ in ()).throw(OSError("read-only")))
    with pytest.raises(OSError, match="no file can be written there .read-only"):
        fit(*blobs, checkpoint=tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_epochs", [2, 4])
def test_whoever_loses_the_name_writes_nothing_more_and_stops(n_epochs, blobs, tmp_path):
    """In the middle of training, or so late that only the last file is left to write."""
    taken = []

    def take_over():
        wait_until((tmp_path / "mine_best_model.pkl.gz").exists)
        (tmp_path / ".mine.lock").unlink()
        taken.append(lock.acquire(tmp_path / "mine"))
        for path in tmp_path.glob("mine_*"):
            path.unlink()

    with pytest.raises(InUseError, match="another program trains"):
        fit(*blobs, checkpoint=tmp_path / "mine", n_epochs=n_epochs, callbacks=At(take_over))
    assert [path.name for path in tmp_path.iterdir()] == [".mine.lock"]
    taken[0].release()


def test_whoever_loses_the_name_at_the_very_end_is_told(blobs, tmp_path):
    taken = []

    def take_over():
        wait_until((tmp_path / "mine_best_model.pkl.gz").exists)
        (tmp_path / ".mine.lock").unlink()
        taken.append(lock.acquire(tmp_path / "mine"))

    with pytest.raises(InUseError, match="another program trains"):
        fit(*blobs, checkpoint=tmp_path / "mine", n_epochs=1, callbacks=At(take_over))
    taken[0].release()


def test_a_lease_that_is_lost_stops_training_too(bucket, blobs):
    name = f"{bucket}/lost/mine"

    def take_over():
        wait_until(lambda: storage.exists(f"{name}_best_model.pkl.gz"))
        storage.write(f"{name}.lock", storage.read(f"{name}.lock").replace(b'"key": "', b'"key": "not '))

    with pytest.raises(InUseError, match="another program has taken over"):
        fit(*blobs, checkpoint=name, n_epochs=5, callbacks=At(take_over))
    assert b'"key": "not ' in storage.read(f"{name}.lock")
    assert not storage.exists(f"{name}_last.pkl.gz")  # the first one was to be written after that
