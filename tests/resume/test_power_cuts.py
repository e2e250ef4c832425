"""After a power cut at any moment, whatever of the unsynced work is lost, there is a whole checkpoint: old or new."""

import errno
import itertools
import os

import h5py
import numpy as np
import pytest

from arignote.data import atomic, journal, storage
from arignote.data.readers import HDFWriter
from arignote.nnets.nets import NNClassifier
from tests import crashes
from tests.helpers import MLP


def no_links(*arguments):
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.fixture(params=["links", "copies"])
def file_system(request, monkeypatch):
    """With hard links, or without."""
    if request.param == "copies":
        monkeypatch.setattr(os, "link", no_links)
    return request.param


@pytest.fixture
def promises(monkeypatch):
    """Note in a recording when a write begins, and when it has returned."""
    write = storage.write
    recordings = []

    def noted(path, content, keep_as=None):
        for recording in recordings:
            recording.mark(("begun", os.path.basename(path), content))
        write(path, content, keep_as)
        for recording in recordings:
            recording.mark(("done", os.path.basename(path), content))

    monkeypatch.setattr(storage, "write", noted)
    return recordings


def allowed(marks, name):
    """Return the contents that a file may have: the last one promised, or one that was being written."""
    own = [(what, content) for what, marked, content in marks if marked == name]
    done = [content for what, content in own if what == "done"]
    begun = [content for what, content in own if what == "begun"]
    return {done[-1] if done else None, *begun[len(done) :]}


def check_promises(recording, names):
    n_states = 0
    for state, marks in crashes.states(recording):
        for name in names:
            assert state.get(name) in allowed(marks, name), f"{name} is lost or damaged in {sorted(state)}"
        assert state.get("mine_previous.pkl.gz") in {None, *(content for _, _, content in marks)}
        n_states += 1
    return n_states


def test_each_write_leaves_the_old_file_or_the_new_one(tmp_path, promises, file_system):
    with crashes.record(tmp_path) as recording:
        promises.append(recording)
        for content in (b"first " * 50, b"second " * 60, b"third " * 40, b"fourth " * 50):
            storage.write(tmp_path / "mine_last.pkl.gz", content, keep_as=tmp_path / "mine_previous.pkl.gz")
    assert check_promises(recording, ["mine_last.pkl.gz"]) > 40


def test_each_save_of_a_training_does(tmp_path, promises, file_system, quick, blobs):
    X, y = blobs
    NNClassifier(MLP, rng=1).fit(X, y, valid=(X, y), n_epochs=1, batch_size=40, checkpoint=tmp_path / "mine")
    (tmp_path / ".mine_last.pkl.gz.killed.tmp").write_bytes(b"half")
    stored = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix == ".gz"}
    with crashes.record(tmp_path) as recording:
        promises.append(recording)
        classifier = NNClassifier(MLP, rng=2)
        classifier.fit(X, y, valid=(X, y), n_epochs=2, batch_size=40, checkpoint=tmp_path / "mine", resume=False)
    there = [(what, name, content) for name, content in stored.items() for what in ("begun", "done")]
    n_states = 0
    for state, later in crashes.states(recording):
        marks = there + later
        assert state.get("mine_last.pkl.gz") in allowed(marks, "mine_last.pkl.gz")
        # The best network of the earlier run gets another name.
        best = {name: state.get(f"mine_{name}.pkl.gz") for name in ("best_model", "best_model_previous")}
        whole = {content for _, _, content in marks}
        assert set(best.values()) <= {None, *whole} and any(best.values())
        n_states += 1
    assert n_states > 100


def test_a_probe_leaves_no_file_that_means_something(tmp_path, file_system):
    with crashes.record(tmp_path) as recording:
        atomic.require_writable(tmp_path / "mine")
    left = {name for state, _ in crashes.states(recording) for name in state}
    assert left and all(name.startswith(".mine.") and name.endswith(".tmp") for name in left)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_write_that_fails_at_any_step_leaves_a_whole_file_and_the_next_one_succeeds(code, tmp_path, file_system):
    last, previous = tmp_path / "mine_last", tmp_path / "mine_previous"
    for n in itertools.count(1):
        for content in (b"first", b"second"):
            storage.write(last, content, keep_as=previous)
        try:
            with crashes.failing(n, code) as calls:
                storage.write(last, b"third", keep_as=previous)
            failed = False
        except OSError as error:
            assert error.errno == code
            failed = True
        assert last.read_bytes() in ((b"second", b"third") if failed else (b"third",))
        assert previous.read_bytes() in (b"first", b"second")
        assert failed or previous.read_bytes() == b"second"
        atomic.require_writable(last)
        storage.write(last, b"fourth", keep_as=previous)
        assert last.read_bytes() == b"fourth"
        assert sorted(os.listdir(tmp_path)) == ["mine_last", "mine_previous"]
        if calls[0] < n:
            break
    assert n > 8


def rows_after(state, folder):
    """Return the rows of a file after a power cut, or None if there is no file."""
    crashes.lay_out(state, folder)
    if "data.h5" not in state:
        return None
    journal.recover(folder / "data.h5")
    with h5py.File(folder / "data.h5") as file:
        return file["X"][:] if "X" in file else np.empty((0, 3))


def test_rows_that_were_committed_to_a_file_are_there(tmp_path):
    (tmp_path / "lived").mkdir()
    (tmp_path / "left").mkdir()
    rows = np.random.default_rng(0).random((160, 3))
    with crashes.record(tmp_path / "lived") as recording:
        writer = HDFWriter(tmp_path / "lived/data.h5")
        recording.mark(0)
        for stop in range(20, 161, 20):
            writer.append(X=rows[stop - 20 : stop])
            writer.commit()
            recording.mark(stop)
        writer.close()
    n_states = 0
    for state, marks in crashes.states(recording):
        found = rows_after(state, tmp_path / "left")
        if found is None:
            assert not marks
        else:
            least = marks[-1] if marks else 0
            assert len(found) in (least, least + 20)
            np.testing.assert_array_equal(found, rows[: len(found)])
        n_states += 1
    assert n_states > 100
