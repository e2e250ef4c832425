"""The script that users were promised, as it was printed; a few epochs of it."""

import numpy as np
import pytest

SCRIPT = """
from arignote.nnets import nets
from arignote.data import files
from arignote import sample_data
layers = [["InputLayer", {"name": "input"}], # May specify explicitly or leave this off.
["FCLayer", {"name": "fc1", "n_units": 400, "activation": "prelu_shelf", "l2": 0.001}],
["DropoutLayer", {"name": "DO-fc1", "dropout_p": 0.5}],
["FCLayer", {"name": "fc2", "n_units": 400, "activation": "prelu_shelf", "l2": 0.001}],
["DropoutLayer", {"name": "DO-fc2", "dropout_p": 0.5}],
["ClassificationOutputLayer", {"name": "output", "n_classes": 10}]]
classifier = nets.NNClassifier(layers, name="MNIST MLP", rng=42)
# Specify how the learning rate changes during training.
lr_rule = {"rule": "stalled", "initial_value": 0.1, "multiply_by": 0.25, "interval": 5}
# Specify how the momentum changes during training.
momentum_rule = {"rule": "stalled", "initial_value": 0.7, "decrease_by": -0.1,
"final_value": 0.95, "interval": 5}
mnist_data = files.read_pickle(sample_data.mnist)
classifier.fit(mnist_data[0], n_epochs=50, valid=mnist_data[1], test=mnist_data[2],
augmentation=None, checkpoint=checkpoint, sgd_type="nag",
lr_rule=lr_rule, momentum_rule=momentum_rule, batch_size=128,
train_loss="nll", valid_loss="nll", test_loss=["nll", "error"])
"""


def run(script, tmp_path):
    names = {"checkpoint": str(tmp_path / "mnist")}
    exec(compile(script, "seed.py", "exec"), names)
    return names


def test_three_epochs_of_the_script_learn_mnist(tmp_path):
    names = run(SCRIPT.replace("n_epochs=50", "n_epochs=3"), tmp_path)
    history = names["classifier"].trainer.history
    assert [entry["examples"] for entry in history] == [50_000, 100_000, 150_000]
    assert history[-1]["test_error"] < 0.06
    assert names["classifier"].score(*names["mnist_data"][2]) == pytest.approx(1 - history[-1]["test_error"])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["mnist_best_model.pkl.gz", "mnist_last.pkl.gz", "mnist_previous.pkl.gz"]


@pytest.mark.slow
def test_the_script_reaches_the_error_that_was_promised(tmp_path):
    classifier = run(SCRIPT, tmp_path)["classifier"]
    errors = classifier.trainer.curve("test_error")[1]
    assert np.min(errors) < 0.020
