"""Plots show the right numbers, and are written to files."""

import re

import numpy as np
import pytest

from arignote.data import files
from arignote.nnets.nets import NNClassifier, define_cnn
from tests.helpers import MLP

pytest.importorskip("matplotlib")
from arignote.util import plotting


@pytest.fixture
def trained(quick, blobs):
    X, y = blobs
    rule = {"rule": "fixed", "initial_value": 0.1, "multiply_by": 0.5, "interval": 1}
    classifier = NNClassifier(MLP, name="Mine", rng=0)
    return classifier.fit(X, y, valid=(X, y), test=(X, y), n_epochs=3, batch_size=40, sgd_type="nag", lr_rule=rule)


@pytest.fixture
def images():
    """Return an untrained conv net, images and labels."""
    rng = np.random.default_rng(0)
    classifier = NNClassifier(define_cnn(4, (10, 10), [20], 3, 2, [8]), name="Small", rng=0)
    return classifier, rng.random((40, 1, 10, 10)), rng.integers(4, size=40)


def check_png(path):
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_learning_curves_show_the_history(trained, tmp_path):
    axes = plotting.learning_curves(trained, tmp_path / "curves.png")
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert lines["valid nll"].get_ydata().tolist() == trained.trainer.curve("valid_nll")[1]
    assert (axes.get_title(), axes.get_xlabel()) == ("Mine", "epoch")
    check_png(tmp_path / "curves.png")


def test_losses_within_one_power_of_ten_have_tick_labels(trained):
    trained.trainer.history = [{"epoch": i + 1.0, "train_nll": 0.9 - 0.1 * i} for i in range(7)]
    axes = plotting.learning_curves(trained)
    axes.figure.canvas.draw()
    low, high = axes.get_ylim()
    shown = [t.get_text() for t, at in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True) if low <= at <= high]
    assert len([text for text in shown if text]) >= 2


def tick_labels(axes):
    axes.figure.canvas.draw()
    return {text.get_text() for text in [*axes.get_yticklabels(), *axes.get_yticklabels(minor=True)]}


def test_ticks_are_plain_numbers(trained):
    trained.trainer.history = [{"epoch": i + 1.0, "train_nll": 2 * 0.3**i} for i in range(5)]
    assert {"0.5", "0.02", "1"} <= tick_labels(plotting.learning_curves(trained))
    trained.trainer.history = [
        {"epoch": i + 1.0, "learning_rate": 0.1 * 0.3**i, "momentum": 0.9, "train_nll": 1.0} for i in range(5)
    ]
    shown = tick_labels(plotting.training_rates(trained))
    assert {"0.1", "0.002"} <= shown
    assert not [text for text in shown if not re.fullmatch(r"[0-9.]*|[0-9.]+e-\d+", text)]


def test_the_momentum_is_plotted_where_it_is_used(trained, blobs):
    assert [axes.get_ylabel() for axes in plotting.training_rates(trained).figure.axes] == ["learning rate", "momentum"]
    adam = NNClassifier(MLP, rng=0).fit(*blobs, n_epochs=1, batch_size=40, sgd_type="adam")
    assert [axes.get_ylabel() for axes in plotting.training_rates(adam).figure.axes] == ["learning rate"]


def test_without_matplotlib_the_remedy_is_named(trained, monkeypatch):
    monkeypatch.setattr("arignote.plotting.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"need it for plots; try: pip install 'arignote\[plot\]'"):
        plotting.learning_curves(trained)


def test_training_rates_show_each_step(trained, tmp_path):
    axes = plotting.training_rates(trained, tmp_path / "rates.png")
    (line,) = axes.get_lines()
    np.testing.assert_allclose(line.get_ydata(), [0.1, 0.1, 0.05, 0.025])
    assert line.get_xdata().tolist() == [0, 1, 2, 3]
    check_png(tmp_path / "rates.png")


def test_a_checkpoint_can_be_plotted(trained, tmp_path):
    files.checkpoint_write(tmp_path / "mine", trained)
    assert plotting.learning_curves(tmp_path / "mine").get_title() == "Mine"


def test_filters_are_weights_as_images(images, tmp_path):
    classifier, _, _ = images
    axes = plotting.filters(classifier, tmp_path / "filters.png", n_filters=4)
    weights = classifier.params["conv0.W"].get_value()
    largest = np.sort(np.argsort(-(weights**2).sum(axis=(1, 2, 3)))[:4])
    shown = np.asarray(axes.images[0].get_array().filled(np.nan))
    # Each weight of the 3 x 3 is a square of 8 points; filters are separated by a line.
    assert shown.shape == (49, 49)
    np.testing.assert_array_equal(shown[:24, :24], np.kron(weights[largest[0], 0], np.ones((8, 8))))
    np.testing.assert_array_equal(shown[25:, 25:], np.kron(weights[largest[3], 0], np.ones((8, 8))))
    check_png(tmp_path / "filters.png")


def test_filters_of_dense_layers_on_images(quick):
    classifier = NNClassifier([["FCLayer", {"n_units": 5}], ["ClassificationOutputLayer", {"n_classes": 2}]], n_in=16)
    assert plotting.filters(classifier).images[0].get_array().shape == (2 * 25 - 1, 3 * 25 - 1)
    with pytest.raises(ValueError, match="need images; try an InputImageLayer"):
        plotting.filters(classifier, layer="output")


def test_activations_have_a_row_for_each_layer_of_images(images, tmp_path):
    classifier, X, _ = images
    rows = plotting.activations(classifier, X[0], tmp_path / "activations.png", n_maps=6)
    assert [axes.get_title(loc="left").split()[0] for axes in rows] == ["input", "conv0", "maxpool0"]
    np.testing.assert_allclose(np.asarray(rows[0].images[0].get_array())[:20:2, :20:2], X[0, 0], rtol=1e-6)
    check_png(tmp_path / "activations.png")


def test_a_network_without_image_layers_is_refused(trained, blobs):
    with pytest.raises(ValueError, match="need convolutions"):
        plotting.activations(trained, blobs[0][0])


def test_the_confusion_matrix_shows_counts(trained, blobs, tmp_path):
    X, y = blobs
    axes = plotting.confusion_matrix(trained, X, y, tmp_path / "confusion.png")
    counted = sum(int(text.get_text()) for text in axes.texts)
    correct = sum(int(text.get_text()) for text in axes.texts if text.get_position()[0] == text.get_position()[1])
    assert counted == len(y)
    assert correct == round(trained.score(X, y) * len(y))
    check_png(tmp_path / "confusion.png")


def test_classes_have_their_names(blobs, quick):
    X, y = blobs
    names = np.array(["oak", "ash", "elm"])
    classifier = NNClassifier(MLP, rng=1).fit(X, names[y], n_epochs=2, batch_size=20)
    axes = plotting.confusion_matrix(classifier, X, names[y])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["ash", "elm", "oak"]
    assert f"accuracy {100 * classifier.score(X, names[y]):.2f} %" in axes.get_title()
    images = NNClassifier([["InputImageLayer", {"n_images": 1, "n_pixels": (1, 5)}], *MLP], rng=1)
    images.fit(X, names[y], n_epochs=2, batch_size=20)
    title = plotting.most_wrong(images, X, names[y], n_examples=1)[0].get_title()
    row = int(title.rpartition(" ")[2])
    assert title.startswith(f"{names[y][row]}, predicted {images.predict(X)[row]}")


def test_the_most_wrong_come_first(images, tmp_path):
    classifier, X, y = images
    grid = plotting.most_wrong(classifier, X, y, tmp_path / "wrong.png", n_examples=5)
    probabilities = classifier.predict_proba(X)[np.arange(len(y)), y]
    rows = [int(axes.get_title().split("row ")[1]) for axes in grid if axes.get_title()]
    np.testing.assert_array_equal(rows, np.argsort(probabilities, kind="stable")[:5])
    np.testing.assert_allclose(grid[0].images[0].get_array(), X[rows[0], 0])
    check_png(tmp_path / "wrong.png")


def test_untrained_classifiers_have_no_curves():
    for draw in (plotting.learning_curves, plotting.training_rates):
        with pytest.raises(ValueError, match="has not been trained"):
            draw(NNClassifier(MLP, n_in=5))
