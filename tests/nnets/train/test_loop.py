import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext

import numpy as np
import pytest

from arignote.data import files
from arignote.data.loader import keyed_augmentation
from arignote.data.readers import Data, DataWithHoldoutPartitions
from arignote.nnets.callbacks import Callback
from arignote.nnets.nets import NNClassifier
from arignote.nnets.train.resume import ResumeWarning
from arignote.nnets.training import DivergedError, SupervisedTraining
from tests.helpers import DROPPED, MLP, StopAfter, assert_same, assert_same_params, assert_same_training


@pytest.fixture(autouse=True)
def _quick(quick):
    """Nothing here depends on C."""


def fit(X, y, definition=DROPPED, classifier=None, **changes):
    arguments = {"n_epochs": 3, "batch_size": 50, "sgd_type": "nag"} | changes
    if "valid" not in changes:
        arguments["valid"] = (X[:90], y[:90])
    return (classifier or NNClassifier(definition, rng=1)).fit(X, y, **arguments)


# -- what is computed ------------------------------------------------------------------------------------------------


def test_one_epoch_agrees_with_numpy_written_out(blobs, float64):
    X, y = blobs
    classifier = NNClassifier(MLP, rng=1, n_in=5)
    p = classifier.network.get_values()
    rule = {"rule": "const", "initial_value": 0.1}
    fit(X, y, classifier=classifier, n_epochs=1, sgd_type="sgd", lr_rule=rule, shuffle=False)
    losses = []
    for start in range(0, 240, 50):
        x, onehot = X[start : start + 50], np.eye(3)[y[start : start + 50]]
        h = np.tanh(x @ p["fc1.W"] + p["fc1.b"])
        z = h @ p["output.W"] + p["output.b"]
        q = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        losses.append((len(x), -(onehot * np.log(q)).sum() / len(x)))
        dz = (q - onehot) / len(x)
        dh = dz @ p["output.W"].T * (1 - h**2)
        p["output.W"] -= 0.1 * h.T @ dz
        p["output.b"] -= 0.1 * dz.sum(axis=0)
        p["fc1.W"] -= 0.1 * x.T @ dh
        p["fc1.b"] -= 0.1 * dh.sum(axis=0)
    for name, value in classifier.network.get_values().items():
        np.testing.assert_allclose(value, p[name], rtol=1e-9, atol=1e-12)
    mean = sum(n * loss for n, loss in losses) / 240
    np.testing.assert_allclose(classifier.trainer.history[0]["train_nll"], mean, rtol=1e-9)


def test_validation_counts_every_row_once(blobs):
    X, y = blobs
    classifier = fit(X, y, n_epochs=1, valid=(X[:73], y[:73]), valid_loss="error", test=(X[:31], y[:31]))
    entry = classifier.trainer.history[0]
    assert entry["valid_error"] == pytest.approx(1 - classifier.score(X[:73], y[:73]))
    assert entry["test_error"] == pytest.approx(1 - classifier.score(X[:31], y[:31]))
    p = classifier.predict_proba(X[:31]).astype(float)
    assert entry["test_nll"] == pytest.approx(-np.log(p[np.arange(31), y[:31]]).mean(), rel=1e-5)


def test_validate_on_train_uses_the_deterministic_network(blobs):
    X, y = blobs
    classifier = fit(X, y, n_epochs=1, validate_on_train=True)
    p = classifier.predict_proba(X).astype(float)
    expected = -np.log(p[np.arange(240), y]).mean()
    assert classifier.trainer.history[0]["train_deterministic_nll"] == pytest.approx(expected, rel=1e-5)


def test_validation_frequency_is_in_examples(blobs):
    history = fit(*blobs, n_epochs=2, batch_size=40, validation_frequency=100).trainer.history
    assert [entry["examples"] for entry in history] == [120, 200, 320, 400]
    assert [entry["epoch"] for entry in history] == pytest.approx([0.5, 5 / 6, 4 / 3, 5 / 3])


def test_test_losses_are_computed_at_each_new_best(blobs):
    X, y = blobs
    trainer = fit(X, y, n_epochs=8, test=(X, y), lr_rule={"rule": "const", "initial_value": 2.0}).trainer
    best = np.inf
    for entry in trainer.history:
        assert ("test_nll" in entry) == (entry["valid_nll"] < best)
        best = min(best, entry["valid_nll"])
    assert trainer.progress.best_loss == best


def test_of_equal_validation_losses_the_first_is_the_best(blobs):
    X, y = blobs
    standing = {"rule": "const", "initial_value": 1e-30}
    trainer = fit(X, y, definition=MLP, n_epochs=3, test=(X, y), sgd_type="sgd", lr_rule=standing).trainer
    assert len(set(trainer.curve("valid_nll")[1])) == 1
    assert trainer.progress.best_epoch == 1
    assert trainer.curve("test_nll")[0] == [1]


def test_without_validation_data_rules_watch_the_training_loss(blobs):
    rule = {"rule": "stalled", "initial_value": 1e-9, "multiply_by": 0.5, "interval": 1}
    trainer = fit(*blobs, definition=MLP, n_epochs=3, valid=None, sgd_type="sgd", lr_rule=rule).trainer
    assert "valid_nll" not in trainer.history[0]
    assert trainer.sgd.lr_rule.n_validations == 3


def test_max_grad_norm_is_of_all_gradients_together(blobs):
    X, y = blobs
    rate = {"rule": "const", "initial_value": 1.0}
    free = NNClassifier(MLP, rng=1, n_in=5)
    bound = NNClassifier(MLP, rng=1, n_in=5)
    before = free.network.get_values()
    for classifier, norm in ((free, None), (bound, 0.01)):
        fit(
            X,
            y,
            classifier=classifier,
            n_epochs=1,
            batch_size=240,
            sgd_type="sgd",
            lr_rule=rate,
            sgd_max_grad_norm=norm,
        )
    steps = [{n: v - before[n] for n, v in c.network.get_values().items()} for c in (free, bound)]
    norms = [np.sqrt(sum((step**2).sum() for step in all_steps.values())) for all_steps in steps]
    assert norms[0] > 0.01
    assert norms[1] == pytest.approx(0.01, rel=1e-4)
    for name in before:
        np.testing.assert_allclose(steps[1][name] / norms[1], steps[0][name] / norms[0], rtol=2e-3, atol=1e-5)


# -- augmentation and readers in a thread ----------------------------------------------------------------------------


def test_augmentation_takes_each_of_its_forms(blobs):
    X, y = blobs
    seen = []

    def full(X, y, epoch, rng):
        seen.append((epoch, len(X), threading.current_thread().name))
        return X + rng.normal(size=X.shape), y

    fit(X, y, n_epochs=2, batch_size=100, augmentation=full)
    assert seen == [(epoch, n, "arignote-prefetch") for epoch in (1, 2) for n in (100, 100, 40)]
    doubled = fit(2 * X, y, definition=MLP, valid=None).network.get_values()
    for function in (lambda X: 2 * X, lambda X, y: (2 * X, y)):
        found = fit(X, y, definition=MLP, valid=None, augmentation=function).network.get_values()
        for name, value in doubled.items():
            np.testing.assert_allclose(value, found[name], rtol=1e-6)


def test_an_augmentation_gets_rows_in_the_shape_of_the_data():
    X, y = np.random.default_rng(0).random((20, 4, 6)), np.arange(20) % 2
    layers = [["InputImageLayer", {"n_images": 1, "n_pixels": (4, 6)}], ["ClassificationOutputLayer", {"n_classes": 2}]]
    shapes = []

    def note(X, y):
        shapes.append((X.shape, str(X.dtype)))
        return X, y

    forms = {(10, 4, 6): X, (10, 1, 4, 6): X[:, np.newaxis]}
    for expected, given in (*forms.items(), ((10, 1, 4, 6), X.reshape(20, 24))):
        shapes.clear()
        fit(given, y, layers, valid=None, batch_size=10, augmentation=note)
        assert set(shapes) == {(expected, "float32")}
    shapes.clear()
    fit(Data(X.reshape(20, 24), y, alter_features=lambda X: X.reshape(-1, 4, 6)), None, layers, valid=None,
        batch_size=10, augmentation=[note, note])  # fmt: skip
    assert set(shapes) == {((10, 4, 6), "float32")}


def test_in_a_stored_run_epochs_are_counted_as_they_were(blobs):
    def note(X, epoch):
        seen.append(epoch)
        return X

    seen = []
    stopped = fit(*blobs, n_epochs=1, augmentation=note)
    state = stopped.__getstate__()
    assert state["run"]["settings"]["first_epoch"] == 1
    del state["run"]["settings"]["first_epoch"]  # as earlier versions stored them
    seen.clear()
    fit(*blobs, n_epochs=3, augmentation=note, classifier=NNClassifier.from_state(state))
    assert set(seen) == {1, 2}


def test_random_numbers_of_an_augmentation_depend_on_seed_epoch_and_batch_alone():
    augment = keyed_augmentation(lambda X, y, epoch, rng: (rng.integers(1000, size=4), y), seed=5)
    first = augment(None, None, 2, 3)[0]
    augment(None, None, 0, 0)
    np.testing.assert_array_equal(augment(None, None, 2, 3)[0], first)
    for other in (augment(None, None, 2, 4)[0], augment(None, None, 3, 3)[0]):
        assert (other != first).any()


def test_alter_functions_run_in_the_thread(blobs):
    X, y = blobs
    names = set()

    def note(batch):
        names.add(threading.current_thread().name)
        return batch

    fit(Data(X, y, alter_features=note, alter_labels=note), None, valid=None)
    assert names - {"MainThread"} == {"arignote-prefetch"}


@pytest.mark.parametrize("where", ["augmentation", "alter_features"])
def test_an_error_in_the_thread_reaches_fit_with_its_traceback(where, blobs):
    X, y = blobs

    def broken_by_the_user(batch):
        if len(batch) > 1:
            raise KeyError("something of the user's")
        return batch

    data = Data(X, y, alter_features=broken_by_the_user) if where == "alter_features" else Data(X, y)
    augmentation = broken_by_the_user if where == "augmentation" else None
    with pytest.raises(KeyError, match="something of the user's") as caught:
        fit(data, None, valid=None, augmentation=augmentation)
    assert "broken_by_the_user" in [frame.name for frame in caught.traceback]
    assert not [t for t in threading.enumerate() if t.name == "arignote-prefetch"]


def test_an_augmentation_that_changes_the_shape_is_refused(blobs):
    with pytest.raises(ValueError, match=r"got examples of shape \(4,\)"):
        fit(*blobs, augmentation=lambda X: X[:, :4])


def test_a_nan_that_appears_while_reading_is_refused_with_its_row(blobs):
    X, y = blobs
    X = X.copy()
    X[123, 1] = np.nan
    with pytest.raises(ValueError, match="got nan in row 123"):
        fit(Data(X, y, alter_features=lambda batch: batch), None, valid=None)


def test_shuffling_sees_every_row_once_an_epoch_in_an_order_of_its_own(blobs):
    X, y = blobs
    epochs = [[], []]
    rows = {row.tobytes(): i for i, row in enumerate(X.astype("float32"))}

    def spy(X, y, epoch, rng):
        epochs[epoch - 1] += [rows[row.tobytes()] for row in X]
        return X, y

    fit(Data(X, y, shuffle=True), None, n_epochs=2, valid=None, augmentation=spy)
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(240))
    assert epochs[0] != epochs[1] and epochs[0] != sorted(epochs[0])


# -- checkpoints -----------------------------------------------------------------------------------------------------


def test_checkpoints_hold_what_their_names_say(blobs, tmp_path):
    X, y = blobs
    classifier = fit(X, y, n_epochs=4, checkpoint=tmp_path / "runs/mine", checkpoint_all=True, test=(X, y),
                     lr_rule={"rule": "const", "initial_value": 1.0}, extra_metadata={"who": "me"})  # fmt: skip
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert names == sorted(
        ["mine_last.pkl.gz", "mine_previous.pkl.gz", "mine_best_model.pkl.gz"]
        + [f"mine_epoch{n}.pkl.gz" for n in (1, 2, 3, 4)]
    )
    losses = [entry["valid_nll"] for entry in classifier.trainer.history]
    best = int(np.argmin(losses)) + 1
    read = {n: files.checkpoint_read(tmp_path / f"runs/mine_epoch{n}.pkl.gz") for n in (1, 2, 3, 4)}
    for n, stored in read.items():
        assert stored.trainer.progress.epoch == n
        assert stored.trainer.evaluate(Data(X[:90], y[:90]))["nll"] == pytest.approx(losses[n - 1], rel=1e-6)
    best_model, metadata = files.checkpoint_read(tmp_path / "runs/mine_best_model.pkl.gz", get_metadata=True)
    assert metadata["who"] == "me"
    for name, value in classifier.network.get_values().items():
        np.testing.assert_array_equal(value, read[best].network.get_values()[name])
        np.testing.assert_array_equal(value, best_model.network.get_values()[name])
    last = files.checkpoint_read(tmp_path / "runs/mine")
    assert_same_params(last, classifier)  # what the program had at the end
    assert_same(last.trainer.last_params, read[4].network.get_values())


def test_the_best_network_is_stored_although_a_callback_fails(blobs, tmp_path):
    class Failing(Callback):
        def on_validation_end(self, classifier, entry):
            if entry["epoch"] == 2:
                raise KeyError("mine")

    X, y = blobs
    given = {"n_epochs": 4, "valid": (X, y), "lr_rule": 0.001, "checkpoint": tmp_path / "mine"}
    with pytest.raises(KeyError, match="mine"):
        fit(X, y, callbacks=Failing(), **given)
    best = files.checkpoint_read(tmp_path / "mine_best_model.pkl.gz")
    assert best.trainer.progress.best_epoch == 2
    assert_same(best.network.get_values(), best.trainer.best_params)


def test_a_stored_training_goes_on_to_the_same_end(blobs, tmp_path):
    X, y = blobs
    rule = {"rule": "stalled", "initial_value": 0.5, "multiply_by": 0.5, "interval": 1}
    arguments = {"lr_rule": rule, "augmentation": lambda X, y, epoch, rng: (X + rng.normal(size=X.shape) / 9, y)}
    data = Data(X, y, shuffle=True)
    straight = fit(data, None, n_epochs=6, valid=(X, y), checkpoint=tmp_path / "straight", **arguments)
    fit(data, None, n_epochs=2, valid=(X, y), checkpoint=tmp_path / "halves", **arguments)
    again = files.checkpoint_read(tmp_path / "halves")
    fit(data, None, n_epochs=6, valid=(X, y), classifier=again, checkpoint=tmp_path / "halves",
        augmentation=arguments["augmentation"])  # fmt: skip
    assert_same_training(again, straight)


def test_going_on_after_the_best_network_was_restored_starts_from_the_last(blobs, tmp_path):
    X, y = blobs
    arguments = {"valid": (X, y), "lr_rule": {"rule": "const", "initial_value": 1.0}}
    straight = fit(X, y, n_epochs=6, checkpoint=tmp_path / "a", **arguments)
    halves = fit(X, y, n_epochs=3, checkpoint=tmp_path / "b", **arguments)
    fit(X, y, n_epochs=6, classifier=halves, checkpoint=tmp_path / "b", **arguments)
    assert_same_training(halves, straight)


def test_so_does_the_state_in_the_middle_of_an_epoch_after_that(blobs, tmp_path):
    X, y = blobs
    arguments = {"valid": (X, y), "lr_rule": {"rule": "const", "initial_value": 1.0}}
    straight = fit(X, y, n_epochs=6, checkpoint=tmp_path / "a", **arguments)
    halves = fit(X, y, n_epochs=3, checkpoint=tmp_path / "b", **arguments)
    fit(X, y, n_epochs=6, classifier=halves, checkpoint=tmp_path / "b", callbacks=StopAfter(7), **arguments)
    again = files.checkpoint_read(tmp_path / "b")
    assert 3 < again.trainer.progress.epoch + again.trainer.progress.batch / 5 < 6
    fit(X, y, n_epochs=6, classifier=again, checkpoint=tmp_path / "b", **arguments)
    assert_same_training(again, straight)


def test_the_clock_goes_on_where_it_stood(blobs):
    def slow_at_first(X, y, epoch, rng):
        time.sleep(0.3 if epoch == 1 else 0)
        return X, y

    classifier = fit(*blobs, n_epochs=1, batch_size=240, augmentation=slow_at_first)
    seconds = classifier.trainer.progress.seconds
    assert seconds >= 0.3
    again = NNClassifier.from_state(classifier.__getstate__())
    fit(*blobs, n_epochs=2, batch_size=240, classifier=again, augmentation=slow_at_first)
    assert again.trainer.progress.seconds > seconds


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(blobs, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"got checkpoint=.*no file can be written there.*need a place for checkpoints"):
        fit(*blobs, checkpoint=tmp_path / "file" / "mine")


def test_other_data_in_the_middle_of_an_epoch_are_refused(blobs):
    X, y = blobs
    classifier = fit(X, y, n_epochs=1)
    classifier.trainer.progress.batch = 2
    with pytest.raises(ValueError, match=r"other data than .* 1 epochs and 2 minibatches .*200 rows instead of 240"):
        fit(X[:200], y[:200], classifier=classifier, n_epochs=2)


def test_other_data_at_the_edge_of_an_epoch_are_taken_if_that_is_meant(blobs):
    X, y = blobs
    for data_check in (False, "warn"):
        classifier = fit(X, y, n_epochs=1)
        with pytest.warns(ResumeWarning, match="200 rows instead of 240") if data_check else nullcontext():
            fit(X[:200], y[:200], classifier=classifier, n_epochs=2, data_check=data_check)
        assert classifier.trainer.progress.n_examples == 240 + 200
        fit(X[:200], y[:200], classifier=classifier, n_epochs=3)  # these are its data now
        with pytest.raises(ValueError, match="240 rows instead of 200"):
            fit(X, y, classifier=classifier, n_epochs=4)


def test_other_batches_than_the_training_was_begun_with_are_refused(blobs):
    X, y = blobs
    classifier = fit(X, y, n_epochs=1)
    with pytest.raises(ValueError, match="got training data in batches of 40, and a training with batch_size=50"):
        fit(Data(X, y, batch_size=40), None, classifier=classifier, n_epochs=2, valid=None)


def test_a_new_training_says_that_it_replaces_a_checkpoint(blobs, tmp_path, caplog):
    fit(*blobs, n_epochs=1, checkpoint=tmp_path / "mine")
    assert "replaces" not in caplog.text
    fit(*blobs, n_epochs=1, checkpoint=tmp_path / "mine")
    assert "A new training replaces the checkpoint" in caplog.text


# -- stopping --------------------------------------------------------------------------------------------------------


def test_a_loss_that_becomes_nan_stops_and_keeps_the_last_good_checkpoint(blobs, tmp_path):
    X, y = blobs

    def explode(X, y, epoch, rng):
        return (X * 1e30 if epoch == 3 else X), y

    definition = [["FCLayer", {"n_units": 8, "activation": "relu"}], MLP[1]]
    with pytest.raises(
        DivergedError, match="became (nan|inf) in epoch 3, after minibatch .*try a smaller learning rate"
    ):
        fit(X, y, definition=definition, n_epochs=5, augmentation=explode, checkpoint=tmp_path / "mine")
    last = files.checkpoint_read(tmp_path / "mine")
    assert last.trainer.progress.epoch == 2
    assert all(np.isfinite(value).all() for value in last.network.get_values().values())


def test_the_minibatch_that_diverged_is_named(blobs):
    X, y = blobs
    marked = np.float32(X[130])  # in the third minibatch

    def explode(X, y, epoch, rng):
        return (np.full_like(X, 3e38) if epoch == 2 and (marked == X).all(axis=1).any() else X), y

    with pytest.raises(DivergedError, match=r"the training loss became nan in epoch 2, after minibatch 3;"):
        fit(X, y, definition=[["FCLayer", {"n_units": 8, "activation": "relu"}], MLP[1]], augmentation=explode)


def test_diverging_leaves_the_best_network(blobs):
    X, y = blobs
    classifier = NNClassifier([["FCLayer", {"n_units": 8, "activation": "relu"}], MLP[1]], rng=1)
    with pytest.raises(DivergedError):
        fit(
            X, y, classifier=classifier, n_epochs=5, augmentation=lambda X, y, epoch, rng: (X * 1e30 ** (epoch == 3), y)
        )
    assert np.isfinite(classifier.predict_proba(X)).all()


def test_ctrl_c_stops_early_and_leaves_a_usable_network(blobs, tmp_path):
    X, y = blobs
    handler = signal.getsignal(signal.SIGINT)
    pressed = []

    def press(X, y, epoch, rng):
        if epoch == 3 and not pressed:
            pressed.append(True)
            os.kill(os.getpid(), signal.SIGINT)
        return X, y

    classifier = fit(X, y, n_epochs=50, augmentation=press, checkpoint=tmp_path / "mine")
    assert classifier.trainer.progress.epoch in (2, 3)
    assert classifier.predict(X).shape == (240,)
    assert signal.getsignal(signal.SIGINT) is handler
    assert files.checkpoint_read(tmp_path / "mine").trainer.progress.n_examples >= 480
    again = {"n_epochs": 6, "augmentation": press}
    resumed = fit(X, y, classifier=files.checkpoint_read(tmp_path / "mine"), checkpoint=tmp_path / "mine", **again)
    straight = fit(X, y, checkpoint=tmp_path / "straight", **again)
    assert_same(resumed.trainer.history, straight.trainer.history)


def test_a_second_ctrl_c_does_not_wait():
    code = """
import os, signal
from arignote.nnets.train.interrupt import StopRequest
with StopRequest() as stop:
    os.kill(os.getpid(), signal.SIGINT)
    assert stop.requested
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        print("interrupted")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "interrupted", result.stderr


def test_trains_outside_the_main_thread(blobs):
    results = []
    thread = threading.Thread(target=lambda: results.append(fit(*blobs, n_epochs=1)))
    thread.start()
    thread.join()
    assert results[0].trainer.finished


def test_partitions_bring_their_own_validation_data(blobs):
    X, y = blobs
    trainer = NNClassifier(MLP, rng=0).fit(DataWithHoldoutPartitions(X, y, 40, 0.2, 0.2), n_epochs=1).trainer
    assert trainer.settings.batch_size == 40
    assert trainer.progress.n_examples == 160
    assert "valid_nll" in trainer.history[0] and "test_nll" in trainer.history[0]


def test_curves_are_read_from_the_history(blobs):
    trainer = fit(*blobs, n_epochs=3).trainer
    epochs, losses = trainer.curve("valid_nll")
    assert epochs == [1, 2, 3]
    assert losses == [entry["valid_nll"] for entry in trainer.history]


def test_the_history_under_the_names_of_the_first_arignote(blobs, tmp_path):
    given = {"n_epochs": 3, "batch_size": 50, "validate_on_train": True, "test": blobs, "checkpoint": tmp_path / "mine"}
    classifier = fit(*blobs, **given)
    trainer = classifier.trainer
    assert isinstance(trainer, SupervisedTraining)
    assert [number for number, _ in trainer.valid_loss] == [4, 9, 14] and trainer.iter == 15
    assert (trainer.epoch, trainer.examples_seen) == (3, 720) and trainer.time_training > 0
    for name, key in (("train_loss", "train_nll"), ("valid_loss", "valid_nll"),
                      ("train_valid_loss", "train_deterministic_nll")):  # fmt: skip
        assert [loss for _, loss in getattr(trainer, name)] == trainer.curve(key)[1]
    assert trainer.best_validation_loss == min(trainer.curve("valid_nll")[1])
    assert trainer.last_validation_loss == trainer.curve("valid_nll")[1][-1]
    (error, *_), (nll, *_) = (trainer.curve(f"test_{name}")[1] for name in ("error", "nll"))
    assert trainer.test_loss[0] == (4, {"error": error, "nll": nll})
    assert trainer.checkpoints_written >= 4 and trainer.sgd.sgd_type == "nag"
    again = files.checkpoint_read(tmp_path / "mine").trainer
    assert again.valid_loss == trainer.valid_loss and again.iter == 15
    one = fit(*blobs, n_epochs=1, test=blobs, test_loss="error").trainer
    assert [loss for _, loss in one.test_loss] == one.curve("test_error")[1]
    assert fit(*blobs, n_epochs=1, valid=None).trainer.last_validation_loss is None


def test_minibatches_are_counted_within_an_epoch(blobs):
    trainer = fit(*blobs, validation_frequency=96, batch_size=48, n_epochs=2).trainer
    assert [number for number, _ in trainer.valid_loss] == [1, 3, 5, 7, 9]


def test_a_run_stopped_behind_the_end_of_a_shorter_epoch_is_refused(blobs):
    X, y = blobs
    classifier = fit(X, y, n_epochs=1, batch_size=100, valid=None, callbacks=StopAfter(2))
    assert classifier.trainer.progress.batch == 2
    data = Data(X, y, allow_partial_batch=False)
    classifier.trainer.data = {}  # as in a run of an earlier version
    with pytest.raises(ValueError, match="got training data with 2 minibatches in an epoch; need more than the 2"):
        fit(data, None, n_epochs=1, batch_size=100, valid=None, classifier=classifier)


def test_no_thread_is_left_when_a_reader_is_interrupted(blobs, tmp_path):
    def interrupt(X, y, epoch, rng):
        if epoch == 2:
            raise KeyboardInterrupt
        return X, y

    with pytest.raises(KeyboardInterrupt):
        fit(*blobs, n_epochs=3, checkpoint=tmp_path / "mine", augmentation=interrupt)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("arignote")]
    assert files.checkpoint_read(tmp_path / "mine").trainer.progress.epoch == 1


def test_stored_arrays_of_another_float_type_are_converted(blobs):
    X, y = blobs
    classifier = fit(X, y, n_epochs=2, sgd_type="adam")
    state = fit(X, y, n_epochs=1, sgd_type="adam").__getstate__()
    arrays = state["run"]["sgd"]["arrays"]
    state["run"]["sgd"]["arrays"] = {name: value.astype("float64") for name, value in arrays.items()}
    resumed = NNClassifier.from_state(state)
    fit(X, y, n_epochs=2, classifier=resumed, sgd_type="adam")
    assert_same_params(resumed, classifier)


class Pickled(Callback):
    """Pickles the classifier at each event until another callback stops the training."""

    def __init__(self, other):
        self.other, self.taken = other, []

    def take(self, classifier, *_):
        if not self.other.has_stopped:
            self.taken.append(pickle.dumps(classifier))

    on_train_begin = on_batch_end = on_validation_end = on_epoch_end = on_train_end = take


class StopsAt(Callback):
    """Stops after some validations, as EarlyStopping does."""

    def __init__(self, n):
        self.n, self.has_stopped = n, False

    def on_validation_end(self, classifier, entry):
        if len(classifier.trainer.history) == self.n:
            self.has_stopped = True
            classifier.trainer.stop("seen enough")


@pytest.mark.parametrize("frequency", [None, 70])
@pytest.mark.parametrize("n_validations", [2, 3, 99])
@pytest.mark.filterwarnings("ignore:All 3 epochs of this training are done")
def test_pickles_taken_in_any_callback_end_the_same(frequency, n_validations, blobs):
    X, y = blobs
    given = {"validation_frequency": frequency}
    stops = StopsAt(n_validations)
    pickled = Pickled(stops)
    straight = fit(X, y, callbacks=[stops, pickled], **given)
    assert len(pickled.taken) >= 5
    for content in pickled.taken:
        resumed = fit(X, y, classifier=pickle.loads(content), callbacks=StopsAt(n_validations), **given)
        assert_same_training(resumed, straight)
