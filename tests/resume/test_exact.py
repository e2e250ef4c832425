"""A run that was stopped anywhere ends like one that never was."""

import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from arignote import engine
from arignote.checkpoint import format as checkpoint_format
from arignote.data import files
from arignote.nnets.checkpoints import CheckpointWriter
from arignote.nnets.train.executors.local import LocalExecutor
from tests.helpers import ROOT, digests
from tests.resume import run


def in_process(kind, checkpoint, result):
    """Start or go on in a fresh process; return the digests of what is left at the end."""
    command = [sys.executable, "-m", "tests.resume.run", kind, str(checkpoint), str(result)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return pickle.loads(result.read_bytes())


@pytest.fixture
def snapshots(monkeypatch):
    """Collect the content of each checkpoint of the last state."""
    contents = []
    write = CheckpointWriter.write

    def collect(self, kind, model):
        if kind == "last":
            contents.append(checkpoint_format.checkpoint_content(*checkpoint_format.take_state(model)))
        write(self, kind, model)

    monkeypatch.setattr(CheckpointWriter, "write", collect)
    return contents


def straight_run(kind, tmp_path):
    if kind == "conv":
        return digests(run.run(kind, tmp_path / "straight"))
    with engine.quick_compile():
        return digests(run.run(kind, tmp_path / "straight"))


def test_a_run_stopped_after_any_minibatch_ends_the_same_in_a_fresh_process(snapshots, tmp_path):
    expected = straight_run("mlp", tmp_path)
    assert len(snapshots) == 15 + 1  # five minibatches an epoch, three epochs, and the end

    def go_on(i):
        checkpoint_format.write_content(tmp_path / f"from{i}_last.pkl.gz", snapshots[i])
        return in_process("mlp", tmp_path / f"from{i}", tmp_path / f"result{i}")

    with ThreadPoolExecutor(2) as two_at_a_time:
        for i, found in enumerate(two_at_a_time.map(go_on, range(len(snapshots)))):
            different = [name for name in expected if found.get(name) != expected[name]]
            assert not different, f"stopped after minibatch {i + 1}"


def test_so_does_a_conv_net(snapshots, tmp_path):
    expected = straight_run("conv", tmp_path)
    for i in (2, 6):  # in the middle of an epoch, and after a validation inside one
        checkpoint_format.write_content(tmp_path / f"from{i}_last.pkl.gz", snapshots[i])
        assert in_process("conv", tmp_path / f"from{i}", tmp_path / f"result{i}") == expected


def test_so_does_training_from_a_file_that_is_shuffled_by_blocks(snapshots, tmp_path, quick):
    expected = digests(run.run("hdf", tmp_path / "straight"))
    assert len(snapshots) == 15 + 1
    for i in range(15):
        checkpoint_format.write_content(tmp_path / f"from{i}_last.pkl.gz", snapshots[i])
    for i in (1, 7):
        assert in_process("hdf", tmp_path / f"from{i}", tmp_path / f"result{i}") == expected
    for i in set(range(15)) - {1, 7}:
        assert digests(run.run("hdf", tmp_path / f"from{i}")) == expected, f"stopped after minibatch {i + 1}"


def test_three_resumes_within_one_epoch_end_the_same(snapshots, tmp_path, quick):
    expected = straight_run("mlp", tmp_path)
    classifier, given = None, run.arguments("mlp", tmp_path)[1]
    for i in (5, 6, 8):
        checkpoint_format.write_content(tmp_path / "again_last.pkl.gz", snapshots[i])
        classifier = files.checkpoint_read(tmp_path / "again")
        del snapshots[i + 1 :]
        classifier.fit(**given, checkpoint=tmp_path / "again")
    assert digests(classifier) == expected


def test_the_state_in_the_middle_of_a_validation_validates_again(tmp_path, quick, monkeypatch):
    expected = straight_run("mlp", tmp_path)
    evaluate, calls = LocalExecutor.evaluate, []

    def stop_in_the_second(self, refs):
        calls.append(refs)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return evaluate(self, refs)

    monkeypatch.setattr(LocalExecutor, "evaluate", stop_in_the_second)
    run.run("mlp", tmp_path / "stopped")
    stored = files.checkpoint_read(tmp_path / "stopped")
    assert stored.trainer.progress.validation_is_due and not stored.trainer.history
    assert digests(run.run("mlp", tmp_path / "stopped")) == expected
