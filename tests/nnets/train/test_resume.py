"""What is said, and what is refused, when a training run is resumed."""

import warnings
from functools import partial

import numpy as np
import pytest

from arignote import native
from arignote.checkpoint.names import find
from arignote.data import files
from arignote.data.readers import Data, DataWithHoldoutPartitions
from arignote.image import augment
from arignote.nnets.callbacks import Callback, EarlyStopping
from arignote.nnets.checkpoints import Checkpoint
from arignote.nnets.nets import NNClassifier
from arignote.nnets.train.environment import environment
from arignote.nnets.train.resume import ResumeWarning, describe_function
from tests.helpers import DROPPED, MLP, ROOT, StopAfter, assert_same, assert_same_params, assert_same_training
from tests.resume import run

RULE = {"rule": "stalled", "initial_value": 0.1, "multiply_by": 0.5, "interval": 1}
NEW = {"rule": "fixed", "initial_value": 0.01, "multiply_by": 0.5, "interval": 2, "schedule": [1, 4]}


@pytest.fixture(autouse=True)
def _quick(quick):
    """Nothing here depends on C."""


def fit(X, y=None, classifier=None, **given):
    given = {"n_epochs": 3, "batch_size": 40, "sgd_type": "nag", "lr_rule": RULE} | given
    return (classifier or NNClassifier(DROPPED, rng=1)).fit(X, y, **given)


def again(classifier):
    """Return the classifier as another program would get it."""
    return NNClassifier.from_state(classifier.__getstate__())


# -- resume=True -----------------------------------------------------------------------------------------------------


def test_resume_begins_where_there_is_no_checkpoint_and_resumes_where_there_is_one(blobs, tmp_path):
    straight = fit(*blobs, valid=0.25, checkpoint=tmp_path / "straight")
    given = {"valid": 0.25, "resume": True, "checkpoint": tmp_path / "mine"}
    for n_batches in (2, 3, 4):  # three programs that are stopped, and one that is not
        fit(*blobs, callbacks=StopAfter(n_batches), **given)
    assert_same_training(fit(*blobs, **given), straight)


def test_resume_reads_the_checkpoint_that_an_object_names(blobs, tmp_path):
    checkpoint = Checkpoint(tmp_path / "mine", keep_all=True)
    fit(*blobs, n_epochs=1, checkpoint=checkpoint, resume=True)
    resumed = fit(*blobs, n_epochs=2, checkpoint=checkpoint, resume=True)
    assert [entry["epoch"] for entry in resumed.trainer.history] == [1, 2]


@pytest.mark.parametrize("name", ["mine.pkl.gz", "mine.pkl", "mine_last.pkl.gz", "mine_best_model.pkl.gz", "mine_last"])
def test_the_name_of_a_file_means_its_run(name, blobs, tmp_path):
    given = {"checkpoint": f"{tmp_path}/{name}", "valid": 0.25, "resume": True}
    fit(*blobs, callbacks=StopAfter(8), **given)
    assert files.checkpoint_read(given["checkpoint"]).trainer.progress.n_examples > 0
    assert_same_training(fit(*blobs, **given), fit(*blobs, valid=0.25))
    assert {file.name for file in tmp_path.glob("[!.]*")} == {f"mine_{kind}.pkl.gz" for kind in KINDS}


KINDS = ("last", "previous", "best_model")


def test_a_run_of_several_dots_keeps_them(blobs, tmp_path):
    for rate in ("0.1", "0.05"):
        fit(*blobs, n_epochs=1, checkpoint=tmp_path / f"rate{rate}")
    assert len(list(tmp_path.glob("*_last.pkl.gz"))) == 2


def test_a_file_is_resumed_where_its_run_has_no_last_state(blobs, tmp_path):
    straight = fit(*blobs, checkpoint=Checkpoint(tmp_path / "mine", keep_all=True))
    name = tmp_path / "mine_epoch2.pkl.gz"
    resumed = fit(*blobs, checkpoint=Checkpoint(name, keep_all=True), resume=True, callbacks=StopAfter(1))
    assert resumed.trainer.history == straight.trainer.history[:2]
    assert_same_training(fit(*blobs, checkpoint=name, resume=True), straight)
    assert (tmp_path / "mine_epoch2_last.pkl.gz").exists()


def test_an_empty_name_means_no_checkpoint(blobs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(*blobs, n_epochs=1, checkpoint="")
    assert not list(tmp_path.iterdir())


def test_a_folder_alone_is_resumed(blobs, tmp_path, caplog):
    caplog.set_level("INFO")
    given = {"checkpoint": f"{tmp_path}/runs/", "resume": True}
    fit(*blobs, callbacks=StopAfter(8), **given)
    (last,) = (tmp_path / "runs").glob("*_last.pkl.gz")
    name = str(last).removesuffix("_last.pkl.gz")
    assert f"Checkpoint in the folder {tmp_path}/runs/: {name}." in caplog.messages
    assert_same_training(fit(*blobs, **given), fit(*blobs))
    assert f"Resuming from {last}." in caplog.messages
    assert list((tmp_path / "runs").glob("*_last.pkl.gz")) == [last]


def test_resume_from_object_storage(blobs):
    given = {"checkpoint": "memory://runs/mine", "resume": True}
    fit(*blobs, callbacks=StopAfter(8), **given)
    assert_same_training(fit(*blobs, **given), fit(*blobs))


def test_a_trained_classifier_resumes_its_own_training(blobs, tmp_path):
    given = {"checkpoint": tmp_path / "mine", "resume": True}
    classifier = fit(*blobs, n_epochs=2, **given)
    fit(*blobs, classifier=classifier, n_epochs=3, checkpoint=tmp_path / "other", resume=True)
    assert_same_training(classifier, fit(*blobs))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (MLP, r"layer 2 DropoutLayer .*; layer 3 ClassificationOutputLayer|layer 2 ClassificationOutputLayer"),
        (
            [["FCLayer", {"n_units": 9, "activation": "tanh"}], *DROPPED[1:]],
            r"layer 1 FCLayer .*9.*stored: FCLayer .*8",
        ),
        ([*DROPPED[:2], DROPPED[0], DROPPED[2]], r"layer 4 .*stored: none"),
    ],
)
def test_another_network_is_refused(layers, message, blobs, tmp_path):
    fit(*blobs, n_epochs=1, checkpoint=tmp_path / "mine")
    before = (tmp_path / "mine_last.pkl.gz").read_bytes()
    with pytest.raises(ValueError, match="got a network that differs from the one in the checkpoint: .*" + message):
        fit(*blobs, classifier=NNClassifier(layers, rng=1), checkpoint=tmp_path / "mine", resume=True)
    assert (tmp_path / "mine_last.pkl.gz").read_bytes() == before


def test_another_shape_is_refused(blobs, tmp_path):
    fit(*blobs, n_epochs=1, checkpoint=tmp_path / "mine")
    with pytest.raises(ValueError, match=r"n_in=\(4,\) \(stored: \(5,\)\)"):
        fit(*blobs, NNClassifier(DROPPED, rng=1, n_in=4), checkpoint=tmp_path / "mine", resume=True)


# -- other data ------------------------------------------------------------------------------------------------------


def changed_data(X, y):
    part = Data(X, y, shuffle=True, seed=3)
    return {
        "other rows": {"X": X[::-1], "y": y[::-1]},
        "scaled": {"X": 2 * X, "y": y},
        "other labels": {"X": X, "y": np.roll(y, 1)},
        "fewer rows": {"X": X[:-1], "y": y[:-1]},
        "another fraction": {"X": X, "y": y, "valid": 0.5},
        "other validation data": {"X": X, "y": y, "valid": (X, y)},
        "no validation data": {"X": X, "y": y, "valid": None},
        "another order": {"X": part, "y": None, "valid": (X, y)},
    }


@pytest.mark.parametrize("stopped", ["in an epoch", "at its end", "finished"])
@pytest.mark.parametrize("case", changed_data(np.eye(4), np.arange(4)))
def test_other_data_are_refused(case, stopped, blobs, tmp_path):
    X, y = blobs
    n_epochs, callbacks = {"in an epoch": (3, StopAfter(6)), "at its end": (1, ()), "finished": (3, ())}[stopped]
    classifier = again(fit(X, y, valid=0.25, n_epochs=n_epochs, callbacks=callbacks))
    state = classifier.__getstate__()
    changed = {"valid": 0.25} | changed_data(X, y)[case]
    with pytest.raises(ValueError, match=r"got other data than .* stopped on, after \d epochs.*try a new"):
        fit(**changed, classifier=classifier, n_epochs=3)
    assert_same(classifier.__getstate__(), state)
    with pytest.warns(ResumeWarning, match="got other data than"):
        fit(**changed, classifier=again(classifier), n_epochs=4, data_check="warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(**changed, classifier=again(classifier), n_epochs=4, data_check=False)


def test_validation_data_do_not_come_and_go(blobs):
    X, y = blobs
    with_valid, without = (fit(X, y, n_epochs=1, valid=valid) for valid in ((X, y), None))
    with pytest.raises(ValueError, match=r"after 1 epochs \(no validation data\)"):
        fit(X, y, classifier=with_valid, n_epochs=2)
    with pytest.raises(ValueError, match=r"after 1 epochs \(validation data, which it did not have\)"):
        fit(X, y, classifier=without, n_epochs=2, valid=(X, y))


def test_test_data_may_be_left_out_or_come_later(blobs):
    X, y = blobs
    classifier = fit(X, y, n_epochs=1, test=(X, y))
    fit(X, y, classifier=classifier, n_epochs=2)
    fit(X, y, classifier=classifier, n_epochs=3, test=(X, y))
    with pytest.raises(ValueError, match="test data: 40 rows instead of 240"):
        fit(X, y, classifier=classifier, n_epochs=4, test=(X[:40], y[:40]))


def test_the_same_rows_as_a_copy_or_as_data_in_the_same_order_are_the_same(blobs):
    X, y = blobs
    classifier = fit(X, y, n_epochs=1, shuffle=False)
    fit(X.copy(), y.astype("int8"), classifier=classifier, n_epochs=2)
    fit(Data(X, y, batch_size=40), classifier=classifier, n_epochs=3)
    assert_same_training(classifier, fit(X, y, shuffle=False))


# -- other arguments -------------------------------------------------------------------------------------------------


CHANGED = {
    "batch_size": 30,
    "sgd_type": "adadelta",
    "lr_rule": NEW,
    "momentum_rule": NEW,
    "sgd_max_grad_norm": 1.0,
    "valid_loss": "error",
    "test_loss": "error",
    "validation_frequency": 100,
    "validate_on_train": True,
    "checkpoint_all": True,
    "extra_metadata": {"a": 1},
    "shards": 2,
    "shuffle": False,
}


@pytest.mark.parametrize("name", CHANGED)
def test_an_argument_that_differs_is_listed_and_changes_nothing(name, blobs):
    classifier = again(fit(*blobs, n_epochs=2))
    with pytest.warns(ResumeWarning, match=rf"keeps its own: {name}=.* \(stored: .*\); try ") as told:
        fit(*blobs, classifier=classifier, **{name: CHANGED[name]})
    assert len(told) == 1 and told[0].filename.endswith("test_resume.py")
    assert_same_training(classifier, fit(*blobs))


def test_all_differences_are_in_one_warning(blobs, tmp_path):
    fit(*blobs, n_epochs=1, checkpoint=tmp_path / "mine")
    new = NNClassifier(DROPPED, rng=7, batch_size=33)
    with pytest.warns(ResumeWarning) as told:
        new.fit(*blobs, n_epochs=2, sgd_type="adam", checkpoint=tmp_path / "mine", resume=True)
    found = str(told[0].message)
    assert len(told) == 1
    for part in ("sgd_type='adam' (stored: 'nag')", "rng=7 (stored: 1)", "batch_size=33 (stored: 40)"):
        assert part in found
    assert new.seed == 1 and new.trainer.settings.batch_size == 40


def test_a_constructor_without_a_seed_takes_the_stored_one(blobs, tmp_path):
    fit(*blobs, n_epochs=2, checkpoint=tmp_path / "mine")
    resumed = fit(*blobs, NNClassifier(DROPPED), checkpoint=tmp_path / "mine", resume=True)
    assert_same_training(resumed, fit(*blobs))


def shift(X, y, epoch, rng):
    return X + rng.normal(size=X.shape), y


def test_another_augmentation_is_said(blobs):
    classifier = fit(*blobs, n_epochs=1, augmentation=shift)
    fit(*blobs, classifier=classifier, n_epochs=2, augmentation=shift)
    with pytest.warns(ResumeWarning, match="got augmentation=none for .* that had shift; it continues with none"):
        fit(*blobs, classifier=classifier, n_epochs=3)
    with pytest.warns(ResumeWarning, match="got augmentation=shift for a training that had none"):
        fit(*blobs, classifier=classifier, n_epochs=4, augmentation=shift)


def test_functions_are_told_apart_by_their_names_and_what_they_keep():
    counts = []

    def recursive(X):
        counts.append(len(X))  # what changes during a training is not part of the description
        return recursive(X)

    described = [
        None, shift, partial(shift, epoch=2), EarlyStopping(), EarlyStopping().get_state,
        augment.shift(2), augment.shift(3), augment.flip(), augment.pipeline(augment.shift(1), augment.flip()),
        augment.pipeline(augment.shift(2), augment.flip()),
    ]  # fmt: skip
    found = [describe_function(function) for function in described]
    assert len(set(found)) == len(found)
    assert found[:5] == ["none", "shift", "shift(epoch=2)", "EarlyStopping", "Callback.get_state"]
    assert "margin=2" in found[5] and found[5] == describe_function(augment.shift(2))
    before = describe_function(recursive)
    counts.append(1)
    assert describe_function(recursive) == before and "recursive" in before


def test_the_functions_of_a_list_are_compared_one_by_one(blobs):
    def scale(factor):
        return lambda X: X * factor

    classifier = fit(*blobs, n_epochs=1, augmentation=[shift, scale(2)])
    fit(*blobs, classifier=classifier, n_epochs=2, augmentation=[shift, scale(2)])
    with pytest.warns(ResumeWarning, match=r"got augmentation=\(shift, .*factor=3.*had \(shift, .*factor=2"):
        fit(*blobs, classifier=classifier, n_epochs=3, augmentation=[shift, scale(3)])


def test_another_strength_of_the_same_augmentation_is_said(blobs):
    X, y = blobs[0].reshape(-1, 1, 1, 5), blobs[1]
    layers = [["InputImageLayer", {"n_images": 1, "n_pixels": (1, 5)}], *MLP]
    classifier = fit(X, y, NNClassifier(layers, rng=1), n_epochs=1, augmentation=augment.shift(1))
    with pytest.warns(ResumeWarning, match="margin=2.*for a training that had .*margin=1"):
        fit(X, y, classifier, n_epochs=2, augmentation=augment.shift(2))


def test_another_function_of_the_data_is_said(blobs):
    def scaled(factor, **given):
        return Data(X, y, alter_features=lambda X: factor * X, **given)

    X, y = blobs
    classifier = fit(scaled(1), None, n_epochs=1, valid=scaled(1))
    fit(scaled(1), None, classifier, n_epochs=2, valid=scaled(1))
    with pytest.warns(ResumeWarning, match=r"got alter_features of the training data=.*factor=100.* that had .*=1\)"):
        fit(scaled(100), None, classifier, n_epochs=3, valid=scaled(1))
    with pytest.warns(ResumeWarning, match=r"got alter_labels of the validation data=.*lambda.* that had none"):
        fit(scaled(100), None, classifier, n_epochs=4, valid=scaled(1, alter_labels=lambda y: y))


def test_what_may_change_changes_without_a_word(blobs, tmp_path):
    classifier = fit(*blobs, n_epochs=1, checkpoint=tmp_path / "one")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(*blobs, classifier=classifier, n_epochs=3, checkpoint=tmp_path / "two", prefetch=0, progress=False,
            callbacks=EarlyStopping(patience=9), checkpoint_batches=2, best=False)  # fmt: skip
    assert classifier.trainer.progress.epoch == 3


# -- change=... ------------------------------------------------------------------------------------------------------


def rates(classifier):
    return [entry["learning_rate"] for entry in classifier.trainer.history]


def test_a_new_rule_takes_over_at_the_next_validation(blobs):
    given = {"lr_rule": NEW, "change": ["lr_rule"], "n_epochs": 8}
    at_edge = fit(*blobs, again(fit(*blobs, n_epochs=2)), **given)
    within = fit(*blobs, again(fit(*blobs, n_epochs=3, callbacks=StopAfter(15))), **given)
    # NEW begins with 0.01; its schedule is 4 after that, and then each second validation.
    assert rates(at_edge) == [0.1, 0.1, 0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025]
    assert rates(within) == [0.1, 0.1, 0.1, 0.01, 0.005, 0.005, 0.0025, 0.0025]


def test_a_change_survives_stops_and_is_made_once(blobs, tmp_path):
    given = {"lr_rule": NEW, "momentum_rule": NEW, "change": ["lr_rule", "momentum_rule"], "n_epochs": 6}
    stored = fit(*blobs, n_epochs=3, callbacks=StopAfter(9)).__getstate__()
    straight = fit(*blobs, NNClassifier.from_state(stored), **given)
    classifier = NNClassifier.from_state(stored)
    while not classifier.trainer.finished:  # each time a new program, given the same arguments
        classifier = fit(*blobs, again(classifier), callbacks=StopAfter(2), **given)
    assert_same_training(classifier, straight)


def test_a_pending_rule_is_stored(blobs):
    classifier = fit(*blobs, n_epochs=3, callbacks=StopAfter(9))
    fit(*blobs, classifier=classifier, lr_rule=NEW, change="lr_rule", n_epochs=3, callbacks=StopAfter(1))
    straight = again(classifier)
    given = {"n_epochs": 5, "batch_size": 40}
    for each in (classifier, straight):
        each.fit(*blobs, **given)
    assert rates(straight) == rates(classifier) == [0.1, 0.1, 0.01, 0.01, 0.005]


def test_a_pending_rule_is_what_others_are_compared_with(blobs):
    classifier = fit(*blobs, n_epochs=3, callbacks=StopAfter(9))
    fit(*blobs, classifier=classifier, lr_rule=NEW, change="lr_rule", callbacks=StopAfter(1))
    assert list(classifier.trainer.sgd.pending_rules) == ["lr_rule"]
    with pytest.warns(ResumeWarning, match=r"lr_rule=.*try fit\(..., change=\['lr_rule'\]\) if that is meant"):
        fit(*blobs, classifier=classifier)


# -- the best weights ------------------------------------------------------------------------------------------------


HIGH = {"rule": "const", "initial_value": 3.0}  # so that the best network is not the last


class Last(Callback):
    """Keep the parameters that each epoch ends with."""

    def on_epoch_end(self, classifier):
        self.params = classifier.network.get_values()


@pytest.mark.parametrize("with_checkpoint", [False, True])
def test_the_network_has_the_best_weights_in_the_end(with_checkpoint, blobs, tmp_path, caplog):
    checkpoint = {"checkpoint": tmp_path / "mine"} if with_checkpoint else {}
    last = Last()
    with caplog.at_level("INFO", "arignote"):
        classifier = fit(*blobs, valid=0.25, n_epochs=6, lr_rule=HIGH, callbacks=last, **checkpoint)
    trainer = classifier.trainer
    assert trainer.progress.best_epoch < 6
    assert_same(classifier.network.get_values(), trainer.best_params)
    assert_same(trainer.last_params, last.params)
    said = f"the parameters of epoch {trainer.progress.best_epoch:g}, with the best validation loss"
    assert said in classifier.weights and said in caplog.text
    again = fit(*blobs, valid=0.25, n_epochs=6, lr_rule=HIGH, best=False)
    assert_same(again.network.get_values(), last.params)
    assert again.weights == "the last parameters, after epoch 6"
    if with_checkpoint:  # what another program reads is what this one has
        assert_same_params(files.checkpoint_read(tmp_path / "mine"), classifier)
        assert files.checkpoint_read(tmp_path / "mine").weights == classifier.weights


def test_it_goes_on_from_the_last_weights(blobs):
    given = {"valid": 0.25, "lr_rule": HIGH}
    straight = fit(*blobs, n_epochs=6, **given)
    classifier = fit(*blobs, n_epochs=4, **given)
    assert_same_training(fit(*blobs, classifier=classifier, n_epochs=6, **given), straight)


def test_weights_of_other_networks(blobs, tmp_path):
    assert NNClassifier(MLP, n_in=5).weights == "initial parameters"
    trained = fit(*blobs, valid=0.25, n_epochs=6, lr_rule=HIGH, checkpoint=tmp_path / "mine")
    best = files.checkpoint_read(tmp_path / "mine_best_model.pkl.gz")
    assert best.weights == trained.weights and "best validation loss" in best.weights
    other = NNClassifier(DROPPED, rng=1, stored_network=trained)
    fit(*blobs, classifier=other, n_epochs=1, callbacks=StopAfter(2))
    assert other.weights == "the last parameters, after epoch 0, minibatch 2"
    other.set_trainable_params(trained)
    assert other.weights == "parameters copied from another network"
    fit(*blobs, classifier=other, n_epochs=1)
    assert other.weights == "the last parameters, after epoch 1"


def test_the_name_may_change(blobs, tmp_path):
    fit(*blobs, NNClassifier(DROPPED, name="one", rng=1), n_epochs=1, checkpoint=tmp_path / "mine")
    given = {"checkpoint": tmp_path / "mine", "resume": True}
    assert fit(*blobs, NNClassifier(DROPPED), n_epochs=2, **given).name == "one"
    assert fit(*blobs, NNClassifier(DROPPED, name="two"), n_epochs=3, **given).name == "two"
    assert files.checkpoint_read(tmp_path / "mine").name == "two"


# -- runs of tests.resume.run ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["arrays", "folder"])
def test_what_fit_shuffles_and_holds_out_is_resumed_after_any_minibatch(kind, tmp_path):
    layers, given = run.arguments(kind, tmp_path)
    straight = NNClassifier(layers, rng=5).fit(**given, n_epochs=2)
    for n_batches in range(1, 14):
        name = tmp_path / f"after{n_batches}"
        NNClassifier(layers, rng=5).fit(**given, n_epochs=2, checkpoint=name, callbacks=StopAfter(n_batches))
        resumed = NNClassifier(layers, rng=5).fit(**given, n_epochs=2, checkpoint=name, resume=True)
        assert_same_training(resumed, straight)


def jitter(train_x, train_y, epoch, rng):
    """Augment as the first Arignote's users did."""
    kept = rng.rand(*train_x.shape) > 0.1
    moved = train_x + rng.randn(*train_x.shape) / (10 * epoch) + rng.randint(-1, 2, size=(len(train_x), 1))
    columns = rng.permutation(train_x.shape[1])
    rng.shuffle(columns)
    scale = rng.choice([0.9, 1.1], size=len(train_x))[:, np.newaxis] + rng.uniform(0, 0.1, (len(train_x), 1))
    return kept * moved[:, columns] * scale * (1 + rng.random_integers(0, 1) + rng.random_sample()), train_y


def test_augmentations_of_the_first_arignote_are_resumed_after_any_minibatch(blobs):
    given = {"n_epochs": 2, "augmentation": [jitter, lambda train_x, train_y, **others: (train_x, train_y)]}
    straight = fit(*blobs, **given)
    assert abs(straight.params["fc1.W"].get_value() - fit(*blobs, n_epochs=2).params["fc1.W"].get_value()).max() > 1e-3
    for n_batches in range(1, 10):
        stopped = fit(*blobs, callbacks=StopAfter(n_batches), **given)
        assert_same_training(fit(*blobs, classifier=again(stopped), **given), straight)


def test_partitions_keep_their_order_when_resumed(blobs):
    X, y = blobs
    parts = DataWithHoldoutPartitions(X, y, 40, 0.25, 0)
    classifier = fit(parts, n_epochs=1)
    assert classifier.trainer.settings.order == "own"
    assert_same_training(fit(parts, classifier=again(classifier)), fit(parts))


def test_the_best_network_of_an_earlier_run_is_not_taken_for_that_of_a_new_one(blobs, tmp_path):
    fit(*blobs, valid=0.25, n_epochs=1, checkpoint=tmp_path / "mine")
    earlier = (tmp_path / "mine_best_model.pkl.gz").read_bytes()
    fit(*blobs, n_epochs=1, checkpoint=tmp_path / "mine")
    assert not (tmp_path / "mine_best_model.pkl.gz").exists()
    assert (tmp_path / "mine_best_model_previous.pkl.gz").read_bytes() == earlier


def test_a_run_called_previous_keeps_its_best_network(blobs, tmp_path):
    fit(*blobs, valid=0.25, n_epochs=1, checkpoint=tmp_path / "m_previous")
    best = (tmp_path / "m_previous_best_model.pkl.gz").read_bytes()
    for _ in range(2):
        fit(*blobs, valid=0.25, n_epochs=1, checkpoint=tmp_path / "m")
    assert (tmp_path / "m_previous_best_model.pkl.gz").read_bytes() == best


@pytest.mark.parametrize("valid", [None, 0.25])
def test_the_best_network_of_another_run_is_not_taken_for_that_of_a_resumed_one(valid, blobs, tmp_path, caplog):
    fit(*blobs, valid=0.25, n_epochs=1, checkpoint=tmp_path / "b", classifier=NNClassifier(DROPPED, rng=2))
    other = (tmp_path / "b_best_model.pkl.gz").read_bytes()
    straight = fit(*blobs, valid=valid)
    fit(*blobs, valid=valid, checkpoint=tmp_path / "a", callbacks=StopAfter(8))
    resumed = fit(*blobs, valid=valid, classifier=files.checkpoint_read(tmp_path / "a"), checkpoint=tmp_path / "b")
    assert (tmp_path / "b_best_model_previous.pkl.gz").read_bytes() == other
    assert "The resumed training replaces the checkpoint" in caplog.text
    found = find(tmp_path / "b", "best_model", "last")
    assert ("best_model" in found.name) is (valid is not None)
    assert_same_params(files.checkpoint_read(found), resumed)
    assert_same_training(resumed, straight)


def test_a_complete_run_replaces_another_one_too(blobs, tmp_path):
    fit(*blobs, valid=0.25, n_epochs=1, checkpoint=tmp_path / "b", classifier=NNClassifier(DROPPED, rng=2))
    complete = fit(*blobs, valid=0.25)
    with pytest.warns(UserWarning, match="so nothing was trained"):
        fit(*blobs, valid=0.25, classifier=complete, checkpoint=tmp_path / "b")
    for kind in ("last", "best_model"):
        assert_same_params(files.checkpoint_read(tmp_path / f"b_{kind}.pkl.gz"), complete)


@pytest.mark.parametrize("n_batches", [2, 8])
def test_the_best_network_of_a_run_is_left_where_it_is_when_it_is_resumed(n_batches, blobs, tmp_path, caplog):
    given = {"valid": 0.25, "checkpoint": tmp_path / "mine"}
    stopped = again(fit(*blobs, callbacks=StopAfter(n_batches), **given))  # before the first validation, and after it
    fit(*blobs, callbacks=StopAfter(8), resume=True, **given)
    best = (tmp_path / "mine_best_model.pkl.gz").stat()
    fit(*blobs, classifier=stopped, callbacks=StopAfter(1), **given)
    assert (tmp_path / "mine_best_model.pkl.gz").stat() == best
    assert "replaces" not in caplog.text and not (tmp_path / "mine_best_model_previous.pkl.gz").exists()


def test_without_a_history_a_run_is_known_by_its_network_and_seed(blobs, tmp_path):
    fit(*blobs, valid=0.25, n_epochs=1, checkpoint=tmp_path / "mine")
    other = fit(*blobs, valid=0.25, classifier=NNClassifier(DROPPED, rng=2), callbacks=StopAfter(2))
    fit(*blobs, valid=0.25, classifier=other, callbacks=StopAfter(1), checkpoint=tmp_path / "mine")
    assert (tmp_path / "mine_best_model_previous.pkl.gz").exists()


def test_a_best_network_that_cannot_be_read_is_of_another_run(blobs, tmp_path):
    stored = fit(*blobs, n_epochs=1)
    (tmp_path / "mine_best_model.pkl.gz").write_bytes(b"damaged")
    fit(*blobs, n_epochs=2, classifier=stored, checkpoint=tmp_path / "mine")
    assert (tmp_path / "mine_best_model_previous.pkl.gz").read_bytes() == b"damaged"


def test_text_is_not_taken_for_the_numbers_of_an_earlier_version(tmp_path):
    _, given = run.arguments("arrays", tmp_path)
    given["y"] = np.array(["zebra", "ant", "mouse"])[given["y"]]
    stored = files.checkpoint_read(ROOT / "tests/checkpoint/version_2/arrays_last.pkl.gz")
    with pytest.raises(ValueError, match="got labels of dtype <U5; need numbers"):
        stored.fit(**given)


# -- another machine -------------------------------------------------------------------------------------------------


def said_of_environment(caplog):
    """Return the lines of the log on what results depend on, and forget them."""
    found = [each.getMessage() for each in caplog.records if "the last bits" in each.getMessage()]
    caplog.clear()
    return found


@pytest.fixture
def halfway(blobs):
    return fit(*blobs, callbacks=StopAfter(8))


def test_a_resume_in_another_environment_says_so_in_one_line(blobs, halfway, caplog):
    now = environment()
    halfway.trainer.environment = now | {"threads": "64", "numpy": "1.22.0", "kernels": "0a1b2c3d with oneDNN 2.5.1"}
    resumed = again(halfway)
    fit(*blobs, resumed, callbacks=StopAfter(1))
    threads = "1 thread" if now["threads"] == "1" else f"{now['threads']} threads"
    assert said_of_environment(caplog) == [
        f"Resuming with {threads} instead of 64, numpy {np.__version__} instead of 1.22.0 and kernels "
        f"{now['kernels']} instead of 0a1b2c3d with oneDNN 2.5.1: results may differ in the last bits."
    ]
    assert resumed.trainer.environment == now
    fit(*blobs, again(resumed))
    assert said_of_environment(caplog) == []


@pytest.mark.parametrize(
    ("name", "was", "message"),
    [
        ("engine", "other 0.9", "Resuming with {} instead of other 0.9: "),
        ("arignote", "0.0.1", "Resuming with arignote {} instead of 0.0.1: "),
        ("float", "float16", "Resuming with float {} instead of float16: "),
    ],
)
def test_each_difference_is_named(name, was, message, blobs, halfway, caplog):
    halfway.trainer.environment[name] = was
    fit(*blobs, again(halfway))
    (line,) = said_of_environment(caplog)
    assert line.startswith(message.format(environment()[name]))


def test_a_real_change_of_threads_is_said(blobs, caplog):
    native.set_threads(1)
    try:
        stopped = fit(*blobs, callbacks=StopAfter(8))
        native.set_threads(2)
        fit(*blobs, again(stopped))
    finally:
        native.set_threads(0)
    assert said_of_environment(caplog) == ["Resuming with 2 threads instead of 1: results may differ in the last bits."]


def test_shards_have_threads_of_their_own(blobs, caplog):
    try:
        native.set_threads(2)
        stopped = fit(*blobs, shards=2, callbacks=StopAfter(8))
        native.set_threads(3)
        resumed = fit(*blobs, again(stopped))
    finally:
        native.set_threads(0)
    assert stopped.trainer.environment["threads"] == resumed.trainer.environment["threads"] == "1"
    assert said_of_environment(caplog) == []


def test_nothing_is_said_where_nothing_differs_or_is_known(blobs, halfway, caplog):
    fit(*blobs, again(halfway))
    halfway.trainer.environment = {}
    fit(*blobs, again(halfway))
    assert said_of_environment(caplog) == []


def test_a_run_that_is_complete_is_left_as_it_is(blobs, caplog):
    complete = fit(*blobs)
    complete.trainer.environment["numpy"] = "1.22.0"
    with pytest.warns(UserWarning, match="All 3 epochs of this training are done"):
        fit(*blobs, complete)
    assert said_of_environment(caplog) == [] and complete.trainer.environment["numpy"] == "1.22.0"
