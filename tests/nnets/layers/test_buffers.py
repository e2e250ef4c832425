"""Layers with state that is not learned: a running mean is kept, resumed, sharded and exported like a parameter."""

import numpy as np
import pytest

from arignote import engine
from arignote.data import files
from arignote.nnets.layers import LAYERS, Layer
from arignote.nnets.nets import NNClassifier
from tests.helpers import StopAfter, assert_same_params, assert_same_training


@pytest.fixture(autouse=True)
def _quick(quick):
    """Nothing here depends on C."""


@pytest.fixture(autouse=True, scope="module")
def running_mean():
    class RunningMeanLayer(Layer):
        """Subtract the mean of the minibatch in training, and its running mean in prediction."""

        def create_params(self):
            self.add_buffer("mean", np.zeros(self.input_shape))

        def expression(self, x):
            if not self.training:
                return x - self.params["mean"]
            self.batch_mean = x.mean(axis=0)
            return x - self.batch_mean

        def buffer_updates(self):
            return {"mean": 0.9 * self.params["mean"] + 0.1 * self.batch_mean}

    yield RunningMeanLayer
    del LAYERS["RunningMeanLayer"]


LAYER_DEFS = [
    ["InputLayer"],
    ["RunningMeanLayer", {"name": "norm"}],
    ["FCLayer", {"n_units": 4, "activation": "tanh"}],
    ["DropoutLayer", {"dropout_p": 0.3}],
    ["ClassificationOutputLayer", {"n_classes": 3}],
]


def fit(X, y, classifier=None, **given):
    given = {"n_epochs": 3, "batch_size": 50, "sgd_type": "nag", "valid": (X[:70], y[:70]), "shuffle": False} | given
    return (classifier or NNClassifier(LAYER_DEFS, rng=1)).fit(X, y, **given)


def longhand(X, n_epochs=3, batch_size=50):
    mean = np.zeros(X.shape[1])
    for _ in range(n_epochs):
        for start in range(0, len(X), batch_size):
            mean = 0.9 * mean + 0.1 * X[start : start + batch_size].mean(axis=0)
    return mean


@pytest.mark.parametrize("shards", [1, 4])
def test_a_buffer_follows_its_updates(shards, blobs, float64):
    found = fit(*blobs, shards=shards).params["norm.mean"].get_value()
    np.testing.assert_allclose(found, longhand(blobs[0]), rtol=1e-10)


def test_prediction_uses_the_buffer(blobs, float64):
    X, _ = blobs
    classifier = fit(*blobs)
    values = classifier.network.get_values()
    h = np.tanh((X - values["norm.mean"]) @ values["fc1.W"] + values["fc1.b"])
    z = np.exp(h @ values["output.W"] + values["output.b"])
    np.testing.assert_allclose(classifier.predict_proba(X), z / z.sum(axis=1, keepdims=True), rtol=1e-9)


def test_a_buffer_is_no_parameter_to_learn(blobs):
    classifier = NNClassifier(LAYER_DEFS, n_in=5, rng=1)
    assert classifier.n_params == 5 * 4 + 4 + 4 * 3 + 3
    assert "norm.mean" not in [param.name for param in classifier.network.trainable]
    trainer = fit(*blobs, classifier).trainer
    assert not [name for name in trainer.sgd.arrays if "norm" in name]


@pytest.mark.parametrize("shards", [1, 3])
def test_a_run_resumes_to_the_same_buffer_after_any_minibatch(shards, blobs, tmp_path):
    straight = fit(*blobs, shards=shards, checkpoint=tmp_path / "straight")
    on_device = engine.resident is not None  # where compiling takes seconds
    for n_batches in (1, 8) if on_device else range(1, 15):
        name = tmp_path / f"after{n_batches}"
        fit(*blobs, shards=shards, checkpoint=name, callbacks=StopAfter(n_batches))
        assert_same_training(fit(*blobs, files.checkpoint_read(name), checkpoint=name), straight)


def test_a_buffer_is_saved_and_loaded_with_the_parameters(blobs, tmp_path):
    trained = fit(*blobs)
    other = NNClassifier(LAYER_DEFS, n_in=5, rng=2)
    other.set_trainable_params(trained.save_params(tmp_path / "mine.npz"))
    assert_same_params(other, trained)
    np.testing.assert_array_equal(other.predict_proba(blobs[0]), trained.predict_proba(blobs[0]))


def test_the_best_buffer_comes_back_with_the_best_parameters(blobs, tmp_path):
    rate = {"rule": "const", "initial_value": 3.0}  # so that the best network is not the last
    classifier = fit(*blobs, n_epochs=6, lr_rule=rate, checkpoint=tmp_path / "mine")
    assert classifier.trainer.progress.best_epoch < 6
    best = classifier.trainer.best_params["norm.mean"]
    np.testing.assert_array_equal(classifier.params["norm.mean"].get_value(), best)
    assert (classifier.trainer.last_params["norm.mean"] != best).any()


def test_a_fixed_layer_is_no_buffer(blobs):
    layers = [["FCLayer", {"n_units": 4, "fix_params": True}], ["ClassificationOutputLayer", {"n_classes": 3}]]
    network = NNClassifier(layers, n_in=5, rng=1).network
    assert not network.tags["fc1.W"].trainable and not network.tags["fc1.W"].is_buffer
    assert network.buffer_updates() == []
    assert engine.float_type() == network.params["fc1.W"].dtype
