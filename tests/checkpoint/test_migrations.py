"""Checkpoints of earlier versions resume to the bytes that the code of that time would have reached."""

import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from arignote import engine
from arignote.checkpoint import migrations
from arignote.checkpoint.state import VERSION
from arignote.data import files
from arignote.data.readers import DataWithHoldoutPartitions, ImageFolderReader
from arignote.nnets.callbacks import Callback, EarlyStopping
from arignote.nnets.nets import NNClassifier
from tests.helpers import assert_same
from tests.resume import run

# Runs of tests.resume.run with EarlyStopping(patience=50), stored by each version after 8 minibatches, in the middle of
# the second epoch, beside what that version reached at the end.
STORED = Path(__file__).parent
RUNS = [
    *[(1, kind) for kind in ("mlp", "conv", "hdf")],
    *[(2, kind) for kind in ("mlp", "hdf", "arrays", "folder")],
    *[(3, kind) for kind in ("mlp", "hdf")],
]


class Snapshot(Callback):
    """Keep the parameters after a number of examples."""

    def __init__(self, n_examples):
        self.n_examples = n_examples

    def on_batch_end(self, classifier, loss):
        if classifier.trainer.progress.n_examples == self.n_examples:
            self.params = classifier.network.get_values()


def in_the_order_of_that_time(kind, given):
    """Return the arguments of `fit` that train on the same rows in a new run."""
    if kind == "arrays":
        parts = DataWithHoldoutPartitions(given.pop("X"), given.pop("y"), 10, given.pop("valid"), given.pop("test"))
        return given | {"X": parts}
    if kind == "folder":
        images = ImageFolderReader(given.pop("X"), gray=False)
        fractions = given.pop("valid"), given.pop("test")
        parts = DataWithHoldoutPartitions(images, images.labels, 10, *fractions, shuffle=True, stratify=True)
        return given | {"X": parts}
    return given


@pytest.mark.parametrize(("version", "kind"), RUNS)
def test_a_run_stored_by_an_earlier_version_resumes_to_the_same_bytes(version, kind, tmp_path):
    with nullcontext() if kind == "conv" else engine.quick_compile():
        check_resumed(STORED / f"version_{version}", kind, tmp_path)


def check_resumed(stored, kind, tmp_path):
    layers, given = run.arguments(kind, tmp_path)
    shutil.copy(stored / f"{kind}_last.pkl.gz", tmp_path / "mine_last.pkl.gz")
    resumed = files.checkpoint_read(tmp_path / "mine")
    progress = resumed.trainer.progress
    assert progress.epoch == 1 and progress.batch > 0
    snapshot = Snapshot(progress.n_examples)
    stored_params = resumed.network.get_values()
    # The sines that the data are made of are not the same to the bit in all versions of numpy.
    patient = EarlyStopping(patience=50)
    resumed.fit(**given, checkpoint=tmp_path / "mine", callbacks=[patient], data_check=False)

    # Where this machine computes the same bytes as the one that wrote the files, so must the rest of the run.
    NNClassifier(layers, rng=5).fit(**in_the_order_of_that_time(kind, given), n_epochs=3, callbacks=[snapshot])
    is_same_machine = all((value == snapshot.params[name]).all() for name, value in stored_params.items())
    state = resumed.__getstate__()
    found = {f"params/{name}": value for name, value in state["params"].items()}
    found |= {f"optimizer/{name}": value for name, value in state["run"]["sgd"]["arrays"].items()}
    expected = dict(np.load(stored / f"{kind}_expected.npz"))
    history = json.loads((stored / f"{kind}_history.json").read_text())
    if is_same_machine:
        assert_same({name: found[name] for name in expected}, expected)
        assert_same(state["run"]["history"], history)
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    assert [list(entry) for entry in state["run"]["history"]] == [list(entry) for entry in history]
    assert [entry["examples"] for entry in state["run"]["history"]] == [entry["examples"] for entry in history]


def test_pools_keep_leaving_out_windows_that_are_cut_off(tmp_path):
    layers, given = run.arguments("conv", tmp_path)
    shutil.copy(STORED / "version_1/conv_last.pkl.gz", tmp_path / "mine_last.pkl.gz")
    assert files.checkpoint_read(tmp_path / "mine").layer_defs[2][1]["ignore_border"] is True
    # The script that began it does not say so.
    given |= {"checkpoint": tmp_path / "mine", "callbacks": [EarlyStopping(patience=50)], "data_check": False}
    resumed = NNClassifier(layers, rng=5).fit(**given, n_epochs=2, resume=True)
    assert resumed.trainer.progress.epoch == 2 and resumed.layer_defs[2][1]["ignore_border"] is True
    explicit = {"state_version": 3, "layer_defs": [["MaxPool2DLayer", {"ignore_border": False}]], "run": None}
    assert migrations.migrate(explicit)["layer_defs"] == explicit["layer_defs"]


def test_a_network_stored_before_pools_kept_cut_windows_predicts_the_same():
    layers = [run.CONV[0], ["ConvLayer", {"n_output_maps": 4, "filter_shape": 2}],
              ["MaxPool2DLayer", {"pool_shape": 2, "ignore_border": True}], *run.MLP]  # fmt: skip
    classifier = NNClassifier(layers, rng=1)
    assert classifier.layers_train[2].input_shape == (4, 7, 7)
    state = classifier.__getstate__() | {"state_version": 3}
    del state["has_copied_params"], state["layer_defs"][2][1]["ignore_border"]
    X = np.random.default_rng(0).random((5, 64))
    assert_same(NNClassifier.from_state(state).predict_proba(X), classifier.predict_proba(X))


def test_the_state_of_callbacks_is_migrated():
    state = files.checkpoint_read(STORED / "version_1/mlp_last.pkl.gz").__getstate__()
    assert state["run"]["callbacks"] == {"EarlyStopping": {"best": 1.0242627263069153, "waited": 0}}


def test_the_environment_of_version_3_was_unknown_or_a_setting():
    state = {"state_version": 3, "run": {"settings": {"shards": 1}}}
    assert migrations.migrate(state)["run"] == {"settings": {"shards": 1, "functions": {}}, "environment": {}}
    known = {"state_version": 3, "run": {"settings": {"shards": 1, "environment": {"threads": "2"}}}}
    assert migrations.migrate(known)["run"]["environment"] == {"threads": "2"}
    assert known["run"]["settings"]["environment"] == {"threads": "2"}


def test_augmentation_was_the_only_function_of_version_3():
    state = {"state_version": 3, "run": {"settings": {"augmentation": "shift(margin=2)"}}}
    assert migrations.migrate(state)["run"]["settings"] == {"functions": {"augmentation": "shift(margin=2)"}}


def test_version_1_without_a_training_run():
    new = NNClassifier(run.MLP, n_in=6, rng=1)
    old = new.__getstate__() | {"state_version": 1, "trainer": None}
    for name in ("run", "classes", "columns", "has_copied_params"):
        del old[name]
    assert_same(NNClassifier.from_state(old).__getstate__(), new.__getstate__())


def test_a_migration_leaves_the_state_as_it_is():
    old = {"state_version": 1, "trainer": {"hooks": {"Mine": {"n": 1}}, "sgd": {}, "settings": {}}}
    assert migrations.migrate(old)["run"]["callbacks"] == {"Mine": {"n": 1}}
    assert old == {"state_version": 1, "trainer": {"hooks": {"Mine": {"n": 1}}, "sgd": {}, "settings": {}}}


def test_there_is_a_migration_from_each_version():
    assert sorted(migrations.MIGRATIONS) == list(range(1, VERSION))


@pytest.mark.parametrize("version", [2.0, True, "3", None, [3], 0, -1])
def test_a_version_that_is_none_is_refused(version):
    with pytest.raises(ValueError, match="got a state of version .*; need version 4 or an earlier one; try a copy"):
        migrations.migrate({"state_version": version})


def test_a_newer_version_is_refused_in_words():
    state = NNClassifier(run.MLP, n_in=6, rng=1).__getstate__() | {"state_version": VERSION + 1}
    with pytest.raises(ValueError, match="got a state of version 5; need version 4 or an earlier one; try a newer"):
        NNClassifier.from_state(state)


@pytest.mark.parametrize("change", [lambda s: s | {"extra": 1}, lambda s: {k: v for k, v in s.items() if k != "name"}])
def test_a_state_with_other_fields_is_refused(change):
    state = NNClassifier(run.MLP, n_in=6, rng=1).__getstate__()
    with pytest.raises(ValueError, match=r"got a ModelState with (the unknown entry 'extra'|no name); need its fields"):
        NNClassifier.from_state(change(state))
