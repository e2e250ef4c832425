"""The line of each validation."""

import re

import numpy as np
import pytest

from arignote.nnets.callbacks import log
from arignote.nnets.nets import NNClassifier
from tests.helpers import MLP


@pytest.fixture
def logged(quick, blobs, caplog):
    """Return a function that trains, and returns the lines of the log."""

    def train(classifier=None, **given):
        X, y = blobs
        given = {"valid": (X, y), "test": (X, y), "n_epochs": 2, "batch_size": 40, "sgd_type": "nag"} | given
        caplog.clear()
        with caplog.at_level("INFO", "arignote"):
            (classifier or NNClassifier(MLP, rng=0)).fit(X, y, **given)
        return [record.getMessage() for record in caplog.records if record.name == log.logger.name]

    return train


def test_a_line_has_all_losses(logged):
    lines = logged()
    assert len(lines) == 2
    number = r"\d\.\d{4}"
    line = rf"1/2: nll {number}, valid {number} best, test {number}, error \d+\.\d\d %; \d+ s"
    assert re.fullmatch(line, lines[0])


def test_losses_of_another_name_are_named(logged):
    lines = logged(valid_loss="error", validate_on_train=True, test_loss="error")
    percent = r"error \d+\.\d\d %"
    assert re.fullmatch(
        rf"1/2: nll \d\.\d{{4}}, deterministic {percent}, valid {percent} best, test {percent}; \d+ s", lines[0]
    )


def test_without_other_data_a_line_has_the_training_loss(logged):
    assert re.fullmatch(r"2/2: nll \d\.\d{4}; \d+ s", logged(valid=None, test=None)[-1])


HALVE = {"rule": "fixed", "initial_value": 0.2, "multiply_by": 0.5, "interval": 1}


def test_rates_have_a_line_when_they_change(logged):
    rates = [line for line in logged(lr_rule=HALVE, momentum_rule=0.8) if line.startswith("learning rate")]
    assert rates == ["learning rate 0.1, momentum 0.8", "learning rate 0.05, momentum 0.8"]


def test_and_when_a_training_is_resumed(logged):
    classifier = NNClassifier(MLP, rng=0)
    logged(classifier, lr_rule=HALVE)
    assert logged(classifier, n_epochs=3, sgd_type=None)[0] == "learning rate 0.05, momentum 0.9"


@pytest.mark.parametrize("sgd_type", ["sgd", "adam", "adadelta", "rmsprop", "adagrad"])
def test_momentum_is_not_shown_where_it_is_not_used(logged, sgd_type):
    lines = logged(sgd_type=sgd_type, lr_rule=HALVE, momentum_rule=HALVE)
    assert "learning rate 0.1" in lines
    assert "momentum" not in "".join(lines)


def test_the_network_of_the_readme_fits_80_columns(quick):
    layers = [
        ["FCLayer", {"name": "fc1", "n_units": 400, "activation": "prelu_shelf", "l2": 0.001}],
        ["DropoutLayer", {"dropout_p": 0.5}],
        ["FCLayer", {"name": "fc2", "n_units": 400, "activation": "prelu_shelf", "l2": 0.001}],
        ["DropoutLayer", {"dropout_p": 0.5}],
        ["ClassificationOutputLayer", {"n_classes": 10}],
    ]
    rng = np.random.default_rng(0)
    X, y = rng.random((40, 784)), rng.integers(10, size=40)
    classifier = NNClassifier(layers, rng=42)
    stalled = {"rule": "stalled", "interval": 5}
    classifier.fit(
        X,
        y,
        valid=(X, y),
        test=(X, y),
        n_epochs=1,
        batch_size=20,
        sgd_type="nag",
        lr_rule=stalled | {"initial_value": 0.1, "multiply_by": 0.25},
        momentum_rule=stalled | {"initial_value": 0.7, "decrease_by": -0.1, "final_value": 0.95},
    )
    table = f"{classifier}\n  trained by {classifier.trainer.sgd}".splitlines()
    assert table[2] == "  fc1      FCLayer                   784 -> 400         314,800 params, 1.3 MB"
    assert max(len(line) for line in table[1:]) <= 80
    trainer = classifier.trainer
    trainer.progress.seconds, trainer.settings.n_epochs, trainer.progress.best_epoch = 123, 50, 50
    line = log.describe_entry(classifier, trainer.history[-1] | {"epoch": 50, "test_error": 0.0171})
    assert re.fullmatch("50/50: nll .*, valid .* best, test .*, error 1.71 %; 123 s", line)
    assert len("12:00:01 " + line) <= 80
