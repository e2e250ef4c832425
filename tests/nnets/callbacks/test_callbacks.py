"""Callbacks: when they are called, and that their state is part of the training state."""

import collections
import csv
import json
import pickle
import warnings

import numpy as np
import pytest

from arignote import engine
from arignote.checkpoint import format as checkpoint_format
from arignote.data import files
from arignote.nnets.callbacks import Callback, EarlyStopping, Record
from arignote.nnets.checkpoints import CheckpointWriter
from arignote.nnets.nets import NNClassifier
from tests.helpers import StopAfter, assert_same_training, digests
from tests.resume import run


@pytest.fixture(autouse=True)
def _quick(quick):
    """Nothing here depends on C."""


class Diary(Callback):
    """Keeps what it was told, as text."""

    state_attributes = ("told",)

    def __init__(self):
        self.told = []

    def on_batch_end(self, classifier, loss):
        self.told.append(f"batch {loss!r}")

    def on_validation_end(self, classifier, entry):
        assert entry is classifier.trainer.history[-1]
        self.told.append(f"validation {entry['epoch']!r}")

    def on_epoch_end(self, classifier):
        self.told.append(f"epoch {classifier.trainer.progress.epoch}")


class Ends(Callback):
    def __init__(self):
        self.told = []

    def on_train_begin(self, classifier):
        self.told.append("start")

    def on_train_end(self, classifier):
        self.told.append("stop")


def fit(X, y, callbacks, n_epochs=3, classifier=None, **changes):
    arguments = {"n_epochs": n_epochs, "batch_size": 60, "sgd_type": "nag", "callbacks": callbacks} | changes
    return (classifier or NNClassifier(run.MLP, rng=1)).fit(X, y, **arguments)


def test_callbacks_are_called_at_every_event(blobs):
    diary, ends = Diary(), Ends()
    fit(*blobs, [diary, ends], valid=(blobs[0][:90], blobs[1][:90]))
    assert [line.split()[0] for line in diary.told] == (["batch"] * 4 + ["validation", "epoch"]) * 3
    assert diary.told[5::6] == ["epoch 1", "epoch 2", "epoch 3"]
    assert ends.told == ["start", "stop"]


def test_callbacks_are_called_when_training_ends_by_an_error(blobs):
    ends = Ends()

    def broken(X):
        raise KeyError("mine")

    with pytest.raises(KeyError):
        fit(*blobs, [ends], augmentation=broken)
    assert ends.told == ["start", "stop"]


def test_the_state_of_callbacks_is_resumed(tmp_path, monkeypatch):
    """A snapshot of every state that is written, that of the best network too; from each the same diary at the end."""
    contents = []
    write = CheckpointWriter.write

    def collect(self, kind, model):
        contents.append(checkpoint_format.checkpoint_content(*checkpoint_format.take_state(model)))
        write(self, kind, model)

    monkeypatch.setattr(CheckpointWriter, "write", collect)
    layers, given = run.arguments("mlp")
    expected = Diary()
    NNClassifier(layers, rng=5).fit(**given, checkpoint=tmp_path / "straight", n_epochs=2, callbacks=[expected])
    monkeypatch.setattr(CheckpointWriter, "write", write)
    snapshots = list(contents)
    assert len(snapshots) > 10
    for i, content in enumerate(snapshots):
        checkpoint_format.write_content(tmp_path / f"from{i}_last.pkl.gz", content)
        diary = Diary()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All 2 epochs of this training are done")
            files.checkpoint_read(tmp_path / f"from{i}").fit(**given, callbacks=[diary])
        assert diary.told == expected.told, f"from state {i}"


def test_on_epoch_end_is_called_after_resuming_from_the_validation(blobs, tmp_path):
    given = {"valid": (blobs[0][:90], blobs[1][:90])}
    expected = Diary()
    fit(*blobs, [expected], n_epochs=2, **given)
    fit(*blobs, [Diary()], n_epochs=1, checkpoint=tmp_path / "mine", **given)
    validated = files.checkpoint_read(tmp_path / "mine_best_model.pkl.gz")  # taken before the epoch's end is told
    diary = Diary()
    fit(*blobs, [diary], n_epochs=2, classifier=validated, **given)
    assert diary.told == expected.told


def test_states_are_stored_by_class_and_number(blobs, caplog):
    first, second = Diary(), Diary()
    classifier = fit(*blobs, [first, second], n_epochs=1)
    second.told.append("mine")
    stored = classifier.__getstate__()["run"]["callbacks"]
    assert stored["Diary 2"]["told"][-1] == "mine" != stored["Diary"]["told"][-1]
    again = [Diary(), Diary()]
    with pytest.warns(UserWarning, match="All 1 epochs of this training are done"):
        fit(*blobs, again, n_epochs=1, classifier=classifier)
    assert [callback.told for callback in again] == [first.told, second.told]
    with caplog.at_level("WARNING", "arignote"):
        fit(*blobs, [Diary()], n_epochs=2, classifier=classifier)
    assert "had the callback Diary 2, which is not given now" in caplog.text
    assert classifier.__getstate__()["run"]["callbacks"]["Diary 2"]["told"][-1] == "mine"


def test_reading_a_checkpoint_does_not_ask_for_callbacks(blobs, caplog):
    state = fit(*blobs, [Diary()], n_epochs=1).__getstate__()
    with caplog.at_level("WARNING", "arignote"):
        again = NNClassifier.from_state(state)
    assert not caplog.text
    assert again.__getstate__()["run"]["callbacks"] == state["run"]["callbacks"]


def test_other_objects_are_refused(blobs):
    with pytest.raises(TypeError, match=r"got the callback .*; need a Callback; try callbacks=\[EarlyStopping"):
        fit(*blobs, [EarlyStopping])


def test_early_stopping_waits_for_a_new_best():
    class Trainer:
        settings = type("Settings", (), {"valid_loss": "nll", "train_loss": "nll"})
        reasons = []

        def stop(self, reason):
            self.reasons.append(reason)

    classifier = type("Classifier", (), {"trainer": Trainer()})
    callback = EarlyStopping(patience=3, min_improvement=0.1)
    for loss in [1.0, 0.8, 0.75, 0.85, 0.71]:
        assert not Trainer.reasons
        callback.on_validation_end(classifier, {"valid_nll": loss, "train_nll": 0.0})
    assert Trainer.reasons == ["no new best loss in 3 validations"]
    assert callback.best == 0.8


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


def test_a_callback_can_stop_the_training(blobs):
    classifier = fit(*blobs, [StopAfter(6)])
    if engine.resident is None:  # else a block of minibatches is trained in one go
        assert classifier.trainer.progress.epoch == 1 and classifier.trainer.progress.batch == 2
    assert not classifier.trainer.finished
    assert np.isfinite(classifier.predict_proba(blobs[0])).all()


class Pickles(Callback):
    """Store the classifier at each event, as a user may."""

    def __init__(self):
        self.contents = []

    def store(self, classifier):
        self.contents.append(pickle.dumps(classifier))

    def on_batch_end(self, classifier, loss):
        self.store(classifier)

    def on_validation_end(self, classifier, entry):
        self.store(classifier)

    def on_epoch_end(self, classifier):
        self.store(classifier)


@pytest.mark.parametrize("shards", [1, 2])
def test_a_classifier_pickled_at_any_event_resumes_to_the_same_end(shards):
    layers, given = run.arguments("mlp")
    given |= {"n_epochs": 2, "shards": shards}
    pickles = Pickles()
    straight = NNClassifier(layers, rng=5).fit(**given, callbacks=[pickles])
    if engine.resident is None:  # else several minibatches are trained on in one go
        assert len(pickles.contents) == 10 + 3 + 2
    for content in pickles.contents[:-1]:
        assert_same_training(pickle.loads(content).fit(**given), straight)
    complete = pickle.loads(pickles.contents[-1])
    with pytest.warns(UserWarning, match="All 2 epochs of this training are done"):
        assert_same_training(complete.fit(**given), straight)


def test_a_state_is_stored_only_where_there_is_one(blobs):
    classifier = fit(*blobs, [Ends(), Diary()], n_epochs=1, progress=True)
    assert list(classifier.__getstate__()["run"]["callbacks"]) == ["Diary"]


def test_a_callback_that_fails_at_the_end_leaves_no_run_behind(blobs):
    class FailsAtTheEnd(Callback):
        def on_train_end(self, classifier):
            raise KeyError("mine")

    classifier = NNClassifier(run.MLP, rng=1)
    with pytest.raises(KeyError, match="mine"):
        fit(*blobs, [FailsAtTheEnd()], n_epochs=1, classifier=classifier)
    assert classifier.trainer.run is None
    assert fit(*blobs, [], n_epochs=2, classifier=classifier).trainer.finished


def test_a_misspelled_event_is_refused(blobs):
    class Misspelled(Callback):
        def on_epoch_begin(self, classifier):
            pass

    with pytest.raises(TypeError, match='got Misspelled.on_epoch_begin; need the name of an event; try "on_epo'):
        fit(*blobs, [Misspelled()])


def test_a_string_as_state_attributes_is_refused(blobs):
    class Comma(Callback):
        state_attributes = "best"

    with pytest.raises(TypeError, match=r"need a list of names; try state_attributes = \('best',\)"):
        fit(*blobs, [Comma()])


class Keeps(Callback):
    state_attributes = ("value",)

    def __init__(self, value):
        self.value = value


def test_a_state_that_could_not_be_read_back_is_refused_before_any_work(blobs, tmp_path):
    for value in (collections.deque([1]), lambda: 1):
        classifier = NNClassifier(run.MLP, rng=1)
        with pytest.raises(ValueError, match="got the callback Keeps with a state that cannot be stored"):
            fit(*blobs, [Keeps(value)], checkpoint=tmp_path / "mine", classifier=classifier)
        assert classifier.trainer is None
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_becomes_unreadable_leaves_the_last_good_checkpoint(blobs, tmp_path):
    class Changes(Keeps):
        def on_epoch_end(self, classifier):
            if classifier.trainer.progress.epoch == 2:
                self.value = collections.deque([1])

    classifier = NNClassifier(run.MLP, rng=1)
    with pytest.raises(ValueError, match="got the callback Changes with a state that cannot be stored"):
        fit(*blobs, [Changes(1)], checkpoint=tmp_path / "mine", classifier=classifier)
    assert files.checkpoint_read(tmp_path / "mine").trainer.progress.epoch == 1
    assert classifier.trainer.run is None


def test_early_stopping_can_be_used_for_another_training(blobs):
    X, y = blobs
    stopping, given = EarlyStopping(2, min_improvement=0.5), {"n_epochs": 50, "lr_rule": 0.01, "valid": (X, y)}
    first = fit(X, y, [stopping], **given)
    assert stopping.waited == 2
    assert_same_training(fit(X, y, [stopping], **given), first)
    kept = stopping.best
    fit(X, y, [stopping], classifier=first, **given | {"n_epochs": 60})  # which is the same training
    assert stopping.best == kept and first.trainer.progress.epoch < 50
