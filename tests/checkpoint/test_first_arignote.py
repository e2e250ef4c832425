"""Checkpoints of the first Arignote. Those in `first_format/` were written by it, with what it predicted."""

import copy
import gzip
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from arignote import sample_data
from arignote.checkpoint import first_arignote as first_format
from arignote.data import files
from arignote.data.unpickle import StoredObject
from arignote.nnets.nets import NNClassifier
from arignote.util import plotting

HERE = Path(__file__).parent / "first_arignote"


@pytest.fixture
def expected():
    with np.load(HERE / "small_expected.npz") as arrays:
        return dict(arrays)


def test_it_predicts_what_it_predicted(quick, expected):
    classifier = files.checkpoint_read(HERE / "small_best_model.pkl.gz")
    assert [layer.name for layer in classifier.layers_inf] == ["input", "fc1", "DO-fc1", "mx", "output"]
    np.testing.assert_allclose(classifier.predict_proba(expected["X"]), expected["proba"], atol=1e-6)


def test_it_goes_on_with_its_histories_and_velocities(quick, expected, tmp_path):
    shutil.copy(HERE / "small_best_model.pkl.gz", tmp_path / "old_last.pkl.gz")
    classifier, metadata = files.checkpoint_read(tmp_path / "old", get_metadata=True)
    trainer = classifier.trainer
    assert (metadata["model_name"], trainer.progress.epoch, trainer.sgd.n_updates) == ("Small", 3, 120)
    assert "Beginning training" in metadata["log"]
    epochs, losses = trainer.curve("valid_nll")
    assert epochs == [1, 2, 3]
    np.testing.assert_allclose(losses, expected["valid_loss"][:, 1], rtol=1e-6)
    np.testing.assert_allclose(trainer.curve("train_nll")[1][-1], expected["train_loss"][80:, 1].mean())
    assert set(trainer.sgd.arrays) == {f"velocity {name}" for name in classifier.params}
    assert all(np.abs(array.get_value()).max() > 1e-5 for array in trainer.sgd.arrays.values())
    assert trainer.sgd.lr_rule.value == 0.1
    with pytest.raises(ValueError, match="history has no learning_rate"):
        plotting.training_rates(classifier)

    (X, y), (V, w), _ = files.read_pickle(sample_data.mnist)
    classifier.fit(X[:5120], y[:5120], valid=(V[:1024], w[:1024]), n_epochs=5, checkpoint=tmp_path / "old")
    losses = trainer.curve("valid_nll")[1]
    assert len(losses) == 5 and losses[-1] < losses[2]  # had it begun anew, the loss would be 1.4
    assert files.checkpoint_read(tmp_path / "old").trainer.curve("valid_nll")[1] == losses


LAYERS = [
    ["InputImageLayer", {"n_images": 2, "n_pixels": [9, 9]}],
    ["ConvLayer", {"n_output_maps": 3, "filter_shape": [2, 3], "activation": "prelu_shelf", "stride": [2, 1]}],
    ["MLPConvLayer", {"n_output_maps": 4, "filter_shape": [2, 2], "n_units": [5], "activation": "prelu"}],
    ["ConvMaxoutLayer", {"n_output_maps": 3, "filter_shape": [2, 2], "maxout_k": 2}],
    ["FCMaxoutLayer", {"n_units": 4, "maxout_k": 3}],
    ["ClassificationOutputLayer", {"n_classes": 3}],
]


def in_first_form(layer, definition, values, cuda_convnet):
    """Return the parameters of a layer as the first Arignote stored them, one by one and in its order."""
    values = {name.partition(".")[2]: value for name, value in values.items() if name.startswith(layer.name + ".")}

    def turned(W):
        if W.ndim < 4:
            return W
        return W.transpose(1, 2, 3, 0).copy() if cuda_convnet else W[:, :, ::-1, ::-1].copy()

    if not values:
        return {}, []
    k = definition.get("maxout_k")
    if k and values["W"].ndim == 4:
        n = definition["n_output_maps"]
        form = {
            "W": [turned(values["W"][j * n : (j + 1) * n]) for j in range(k)],
            "b": [values["b"][j * n : (j + 1) * n] for j in range(k)],
        }
        return form, [*form["W"], *form["b"]]
    if k:
        n = definition["n_units"]
        form = {"W": [values["W"][:, j * n : (j + 1) * n] for j in range(k)]}
        form["b"] = [values["b"][j * n : (j + 1) * n] for j in range(k)]
        return form, [*form["W"], *form["b"]]
    if "W0" in values:
        form = {
            "W": [turned(values["W0"]), turned(values["W1"])],
            "b": [values["b0"], values["b1"]],
            "act_func_args": [[values["slope0"]], [values["slope1"]]],
        }
        pairs = zip(form["W"], form["b"], form["act_func_args"], strict=True)
        return form, [array for W, b, learned in pairs for array in (W, b, *learned)]
    learned = [values[name] for name in ("slope", "shelf") if name in values]
    form = {"W": turned(values["W"]), "b": values["b"]}
    return form | ({"act_func_args": learned} if learned else {}), [form["W"], form["b"], *learned]


@pytest.mark.parametrize("cuda_convnet", [False, True])
def test_layers_of_images_and_maxouts(quick, cuda_convnet):
    classifier = NNClassifier(LAYERS, name="Old", rng=3, batch_size=10)
    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=p.get_value().shape).astype("f4") for name, p in classifier.params.items()}
    classifier.set_trainable_params(values)
    definitions = copy.deepcopy(LAYERS)
    definitions[1][1]["partial_sum"] = 1  # an option of cuda-convnet, which changed nothing but the speed
    layers, velocities = [], []
    for layer, (_, definition) in zip(classifier.layers_train, classifier.layer_defs, strict=True):
        form, in_order = in_first_form(layer, definition, values, cuda_convnet)
        layers.append(StoredObject("", state=definition | {"name": layer.name, "trainable_params": form}))
        velocities += [{"velocity": 2 * array} for array in in_order]
    rule = {"rule": "fixed", "initial_value": 0.1, "final_value": None, "decrease_by": 0.0, "multiply_by": 0.5,
            "interval": 3, "schedule": [1, 9], "best_valid": 0.5, "epochs_since_best": 1}  # fmt: skip
    sgd = {"sgd_type": "nag", "lr_rule": StoredObject("", state=rule), "momentum_rule": StoredObject("", state=rule),
           "learning_rate": np.float32(0.05), "momentum": np.float32(0.9), "max_grad_norm": None,
           "stored_update_params": velocities}  # fmt: skip
    trainer = {"sgd": StoredObject("", state=sgd), "loss_type": {"train": "nll", "valid": "nll", "test": "error"},
               "max_epochs": 5, "iter": 7, "epoch": 2, "examples_seen": 80, "validation_frequency": None,
               "validate_on_train": False, "train_loss": [(i, 1.0 - i / 10) for i in range(8)],
               "valid_loss": [(3, 0.5), (7, 0.6)], "test_loss": [(3, 0.25)], "best_validation_loss": 0.5,
               "last_validation_loss": 0.6}  # fmt: skip
    stored = {"layers_train": layers, "rng": ("MT19937", np.array([7], "u4")), "layer_defs": definitions, "name": "Old",
              "batch_size": 10, "n_in": [2, 9, 9], "trainer": StoredObject("", state=trainer)}  # fmt: skip
    read = NNClassifier.from_state(
        first_format.state_of(StoredObject("arignote.nnets.nets.NNClassifier", state=stored))
    )
    X = rng.normal(size=(6, 2, 9, 9)).astype("f4")
    np.testing.assert_array_equal(read.predict_proba(X), classifier.predict_proba(X))
    for name, value in values.items():
        np.testing.assert_array_equal(read.trainer.sgd.arrays[f"velocity {name}"].get_value(), 2 * value)
    assert read.trainer.curve("test_error") == ([1.0], [0.25])
    # The best parameters are not in this file: the next validation counts as the best.
    assert read.trainer.best_params is None and read.trainer.progress.best_loss == np.inf
    rule = read.trainer.sgd.lr_rule
    assert (rule.value, rule.n_scheduled, rule.waited, rule.n_validations) == (0.05, 1, 2, 2)


class Runs:
    def __reduce__(self):
        return os.system, ("touch owned",)


def test_nothing_in_such_a_file_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    header = pickle.dumps({"model_store_version": "3.0"})
    for content in (Runs(), {"layers": [Runs()]}):
        Path("bad_last.pkl.gz").write_bytes(gzip.compress(header + pickle.dumps(content)))
        with pytest.raises(files.CheckpointError, match=r"asks for posix.system"):
            files.checkpoint_read("bad")
    assert not Path("owned").exists()


def test_a_file_without_a_classifier_is_refused(tmp_path):
    path = tmp_path / "bad_last.pkl.gz"
    for content, message in (([1], "without a classifier"), ({}, "without a classifier")):
        path.write_bytes(gzip.compress(pickle.dumps({"model_store_version": "3.0"}) + pickle.dumps(content)))
        with pytest.raises(files.CheckpointError, match=message):
            files.checkpoint_read(path)
