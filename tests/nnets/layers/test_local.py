"""Locally connected layers agree with a dense layer for each segment, written out."""

import numpy as np
import pytest

from arignote.nnets.nets import NNClassifier

rng = np.random.default_rng(0)
X = rng.normal(size=(7, 12))


def test_each_segment_has_weights_of_its_own(float64, quick):
    layers = [["LCLayer", {"n_units": 4, "n_segments": 3, "activation": "tanh"}], ["SoftmaxOutputLayer"]]
    classifier = NNClassifier(layers, n_in=12, rng=1)
    W, b = (classifier.params[f"lc1.{name}"].get_value() for name in ("W", "b"))
    assert W.shape == (3, 4, 4) and b.shape == (12,)
    b = rng.normal(size=12)
    classifier.network.set_values({"lc1.b": b})
    hidden = np.concatenate([X[:, 4 * s : 4 * s + 4] @ W[s] for s in range(3)], axis=1)
    expected = np.exp(np.tanh(hidden + b))
    np.testing.assert_allclose(classifier.predict_proba(X), expected / expected.sum(axis=1, keepdims=True))


def test_maxout_of_each_segment(float64, quick):
    layers = [["LCMaxoutLayer", {"n_units": 3, "n_segments": 2, "maxout_k": 4}], ["SoftmaxOutputLayer"]]
    classifier = NNClassifier(layers, n_in=12, rng=1)
    W, b = classifier.params["lc_maxout1.W"].get_value(), rng.normal(size=4 * 6)
    assert W.shape == (2, 4, 6, 3)
    classifier.network.set_values({"lc_maxout1.b": b})
    pieces = np.stack([[X[:, 6 * s : 6 * s + 6] @ W[s, j] for j in range(4)] for s in range(2)])  # s, j, row, unit
    pieces = pieces.transpose(2, 1, 0, 3).reshape(7, 4, 6)
    expected = np.exp((pieces + b.reshape(4, 6)).max(axis=1))
    np.testing.assert_allclose(classifier.predict_proba(X), expected / expected.sum(axis=1, keepdims=True))


def test_the_norm_of_each_unit_is_bounded(quick):
    layers = [
        ["LCLayer", {"n_units": 4, "n_segments": 3, "maxnorm": 0.1}],
        ["ClassificationOutputLayer", {"n_classes": 2}],
    ]
    classifier = NNClassifier(layers, rng=1).fit(X, np.arange(7) % 2, n_epochs=3, batch_size=7, lr_rule=1.0)
    norms = np.sqrt((classifier.params["lc1.W"].get_value() ** 2).sum(axis=1))
    assert norms.shape == (3, 4) and norms.max() == pytest.approx(0.1, rel=1e-5)


def test_a_size_that_cannot_be_cut_is_refused():
    layers = [["LCLayer", {"n_units": 4, "n_segments": 5}], ["ClassificationOutputLayer", {"n_classes": 2}]]
    with pytest.raises(ValueError, match="need a size that n_segments=5 divides; try another n_segments"):
        NNClassifier(layers, n_in=12)
