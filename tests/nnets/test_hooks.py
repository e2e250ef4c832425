"""Hooks: what they are told, and that their state is part of the training's."""

import csv
import json

import numpy as np
import pytest

from arignote import engine
from arignote.data import files
from arignote.nnets.checkpoints import Checkpoints
from arignote.nnets.hooks import EarlyStopping, Hook, Record
from arignote.nnets.nets import NNClassifier
from tests.helpers import StopAfter, digests
from tests.resume import run


@pytest.fixture(autouse=True)
def _quick(quick):
    """Nothing here depends on C."""


class Diary(Hook):
    """Keeps what it was told, as text."""

    kept = ("told",)

    def __init__(self):
        self.told = []

    def batch_end(self, classifier, loss):
        self.told.append(f"batch {loss!r}")

    def validation(self, classifier, entry):
        assert entry is classifier.trainer.history[-1]
        self.told.append(f"validation {entry['epoch']!r}")

    def epoch_end(self, classifier):
        self.told.append(f"epoch {classifier.trainer.progress.epoch}")


class Ends(Hook):
    def __init__(self):
        self.told = []

    def start(self, classifier):
        self.told.append("start")

    def stop(self, classifier):
        self.told.append("stop")


def fit(X, y, hooks, n_epochs=3, classifier=None, **changes):
    arguments = {"n_epochs": n_epochs, "batch_size": 60, "sgd_type": "nag", "hooks": hooks} | changes
    return (classifier or NNClassifier(run.MLP, rng=1)).fit(X, y, **arguments)


def test_hooks_are_told_of_every_step(blobs):
    diary, ends = Diary(), Ends()
    fit(*blobs, [diary, ends], valid=(blobs[0][:90], blobs[1][:90]))
    assert [line.split()[0] for line in diary.told] == (["batch"] * 4 + ["validation", "epoch"]) * 3
    assert diary.told[5::6] == ["epoch 1", "epoch 2", "epoch 3"]
    assert ends.told == ["start", "stop"]


def test_hooks_are_told_of_an_end_by_an_error(blobs):
    ends = Ends()

    def broken(X):
        raise KeyError("mine")

    with pytest.raises(KeyError):
        fit(*blobs, [ends], augmentation=broken)
    assert ends.told == ["start", "stop"]


def test_whatever_hooks_keep_goes_on_where_it_stood(tmp_path, monkeypatch):
    """A snapshot of every state that is written, that of the best network too; from each the same diary at the end."""
    contents = []
    write = Checkpoints.write

    def collect(self, kind, model):
        contents.append(files.checkpoint_content(*files.take_state(model)))
        write(self, kind, model)

    monkeypatch.setattr(Checkpoints, "write", collect)
    layers, given = run.arguments("mlp")
    expected = Diary()
    NNClassifier(layers, rng=5).fit(**given, checkpoint=tmp_path / "straight", n_epochs=2, hooks=[expected])
    monkeypatch.setattr(Checkpoints, "write", write)
    snapshots = list(contents)
    assert len(snapshots) > 10
    for i, content in enumerate(snapshots):
        files.write_content(tmp_path / f"from{i}_last.pkl.gz", content)
        diary = Diary()
        files.checkpoint_read(tmp_path / f"from{i}").fit(**given, hooks=[diary])
        assert diary.told == expected.told, f"from state {i}"


def test_the_end_of_an_epoch_is_told_after_resuming_from_its_validation(blobs, tmp_path):
    given = {"valid": (blobs[0][:90], blobs[1][:90])}
    expected = Diary()
    fit(*blobs, [expected], n_epochs=2, **given)
    fit(*blobs, [Diary()], n_epochs=1, checkpoint=tmp_path / "mine", **given)
    validated = files.checkpoint_read(tmp_path / "mine_best_model.pkl.gz")  # taken before the epoch's end is told
    diary = Diary()
    fit(*blobs, [diary], n_epochs=2, classifier=validated, **given)
    assert diary.told == expected.told


def test_states_are_kept_by_class_and_number(blobs, caplog):
    first, second = Diary(), Diary()
    classifier = fit(*blobs, [first, second], n_epochs=1)
    second.told.append("mine")
    stored = classifier.__getstate__()["trainer"]["hooks"]
    assert stored["Diary 2"]["told"][-1] == "mine" != stored["Diary"]["told"][-1]
    again = [Diary(), Diary()]
    fit(*blobs, again, n_epochs=1, classifier=classifier)
    assert [hook.told for hook in again] == [first.told, second.told]
    with caplog.at_level("WARNING", "arignote"):
        fit(*blobs, [Diary()], n_epochs=2, classifier=classifier)
    assert "had the hook Diary 2, which is not given now" in caplog.text
    assert classifier.__getstate__()["trainer"]["hooks"]["Diary 2"]["told"][-1] == "mine"


def test_nobody_asks_for_hooks_who_only_looks(blobs, caplog):
    state = fit(*blobs, [Diary()], n_epochs=1).__getstate__()
    with caplog.at_level("WARNING", "arignote"):
        again = NNClassifier.from_state(state)
    assert not caplog.text
    assert again.__getstate__()["trainer"]["hooks"] == state["trainer"]["hooks"]


def test_what_is_no_hook_is_refused(blobs):
    with pytest.raises(TypeError, match=r"got the hook .*; need a Hook; try hooks=\[EarlyStopping"):
        fit(*blobs, [EarlyStopping])


def test_early_stopping_waits_for_a_new_best():
    class Trainer:
        settings = type("Settings", (), {"valid_loss": "nll", "train_loss": "nll"})
        reasons = []

        def stop(self, reason):
            self.reasons.append(reason)

    classifier = type("Classifier", (), {"trainer": Trainer()})
    hook = EarlyStopping(patience=3, min_improvement=0.1)
    for loss in [1.0, 0.8, 0.75, 0.85, 0.71]:
        assert not Trainer.reasons
        hook.validation(classifier, {"valid_nll": loss, "train_nll": 0.0})
    assert Trainer.reasons == ["no new best loss in 3 validations"]
    assert hook.best == 0.8


def test_a_training_that_stopped_early_stays_stopped(blobs, tmp_path):
    X, _ = blobs
    y = np.random.default_rng(0).integers(3, size=len(X))  # nothing to learn
    given = {"valid": (X[:90], y[:90][::-1]), "checkpoint": tmp_path / "mine", "n_epochs": 300}
    classifier = fit(X, y, [EarlyStopping(4)], **given)
    epoch = classifier.trainer.progress.epoch
    assert epoch < 300
    expected = digests(classifier)
    again = files.checkpoint_read(tmp_path / "mine")
    fit(X, y, [EarlyStopping(4)], classifier=again, **given)
    assert again.trainer.progress.epoch == epoch
    assert digests(again) == expected
    fit(X, y, [EarlyStopping(4)], classifier=files.checkpoint_read(tmp_path / "mine"), **given | {"n_epochs": 400})


def test_equal_losses_are_no_improvement(blobs):
    standing = {"rule": "const", "initial_value": 1e-30}
    given = {"valid": (blobs[0][:90], blobs[1][:90]), "lr_rule": standing, "n_epochs": 20}
    classifier = fit(*blobs, [EarlyStopping(3)], **given)
    assert classifier.trainer.progress.epoch == 4


def test_without_validation_data_the_training_loss_decides(blobs):
    X, _ = blobs
    y = np.random.default_rng(0).integers(3, size=len(X))
    rate = {"rule": "const", "initial_value": 1e-9}
    classifier = fit(X, y, [EarlyStopping(2, min_improvement=0.5)], n_epochs=50, lr_rule=rate)
    assert classifier.trainer.progress.epoch == 3


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_record_is_the_history_also_after_a_resume(blobs, tmp_path, suffix):
    X, y = blobs
    path = tmp_path / f"run{suffix}"
    classifier = fit(X, y, [Record(path)], valid=(X[:90], y[:90]), test=(X[90:], y[90:]), n_epochs=2)
    with open(path, "a") as file:
        file.write("what came after the last checkpoint\n")
    fit(X, y, [Record(path)], valid=(X[:90], y[:90]), test=(X[90:], y[90:]), n_epochs=4, classifier=classifier)
    with open(path, newline="") as file:
        if suffix == ".csv":
            found = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
        else:
            found = [json.loads(line) for line in file]
    assert found == classifier.trainer.history
    assert len(found) == 4


def test_records_of_other_formats_are_refused():
    with pytest.raises(ValueError, match=r"need \.csv or \.jsonl at its end"):
        Record("run.txt")


def test_a_hook_may_stop_the_training(blobs):
    classifier = fit(*blobs, [StopAfter(6)])
    if engine.resident is None:  # else a block of minibatches is trained in one go
        assert classifier.trainer.progress.epoch == 1 and classifier.trainer.progress.batch == 2
    assert not classifier.trainer.finished
    assert np.isfinite(classifier.predict_proba(blobs[0])).all()
