"""Ordinal regression, and two classes with one unit: probabilities, exact losses, and what they learn."""

import numpy as np
import pytest

from arignote import engine
from arignote.nnets.nets import NNClassifier, define_mlp

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 3)).astype("float32")
GRADES = np.digitize(X @ [1.0, -2.0, 0.5] + rng.logistic(size=400) / 4, [-1.5, 0.0, 1.5])


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def ordinal(n_classes=4, **params):
    return [["OrdinalOutputLayer", {"n_classes": n_classes, **params}]]


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_probabilities_are_differences_of_sigmoids(n_classes, float64):
    classifier = NNClassifier(ordinal(n_classes), n_in=3, rng=1)
    np.testing.assert_allclose(classifier.predict_proba(X), 1 / n_classes)  # at the start
    W, b = rng.normal(size=(3, 1)), rng.normal(size=n_classes - 1)
    classifier.network.set_values({"output.W": W, "output.b": b})
    thresholds = np.cumsum(np.concatenate([b[:1], np.exp(b[1:])]))
    below = sigmoid(thresholds - X.astype(float) @ W)
    expected = np.diff(np.column_stack([np.zeros(len(X)), below, np.ones(len(X))]), axis=1)
    np.testing.assert_allclose(classifier.predict_proba(X), expected, rtol=1e-10, atol=1e-15)
    y = rng.integers(n_classes, size=len(X)).astype("int32")
    loss = engine.function([classifier.network.x, classifier.network.y], classifier.get_loss("nll", inference=True))
    np.testing.assert_allclose(loss(X, y), -np.log(expected[np.arange(len(X)), y]).mean(), rtol=1e-9)


def test_the_loss_is_exact_where_a_probability_is_none(quick):
    classifier = NNClassifier(ordinal(3), n_in=1, rng=1)
    classifier.network.set_values({"output.W": [[1.0]], "output.b": [0.0, np.log(2.0)]})  # thresholds 0 and 2
    network = classifier.network
    loss = classifier.get_loss("nll", inference=True)
    value = engine.function([network.x, network.y], [loss, engine.grad(loss, network.params["output.W"])])
    for x, label, expected in ((300, 0, 300), (-300, 2, 302), (300, 1, 298 - np.log(1 - np.exp(-2)))):
        found, gradient = value(np.array([[x]], engine.float_type()), np.array([label], "int32"))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert abs(gradient) == pytest.approx(abs(x), rel=1e-5)


def test_grades_are_learned_as_statistics_estimates_them(quick):
    classifier = NNClassifier(ordinal(), rng=1)
    classifier.fit(X, GRADES, n_epochs=150, batch_size=400, sgd_type="adam", lr_rule=0.1)
    assert classifier.score(X, GRADES) > 0.8
    W = classifier.params["output.W"].get_value()[:, 0]
    np.testing.assert_allclose(W / W[0], [1, -2, 0.5], rtol=0.15)
    named = np.array(["a", "b", "c", "d"])[GRADES]
    assert NNClassifier(ordinal(), rng=1).fit(X, named, n_epochs=1, batch_size=100).classes_.tolist() == list("abcd")


def test_two_classes_with_one_unit(quick, float64):
    y = (GRADES > 1).astype(int)
    classifier = NNClassifier([["ClassificationOutputLayer", {"n_classes": 1}]], rng=1)
    classifier.fit(X, y, n_epochs=60, batch_size=400, sgd_type="adam", lr_rule=0.1)
    assert classifier.params["output.W"].get_value().shape == (3, 1) and classifier.classes_.tolist() == [0, 1]
    proba = classifier.predict_proba(X)
    z = X.astype(float) @ classifier.params["output.W"].get_value() + classifier.params["output.b"].get_value()
    np.testing.assert_allclose(proba, np.column_stack([sigmoid(-z), sigmoid(z)]), rtol=1e-9)
    assert classifier.predict(X).tolist() == (proba[:, 1] > 0.5).astype(int).tolist() and classifier.score(X, y) > 0.9
    loss = engine.function([classifier.network.x, classifier.network.y], classifier.get_loss("nll", inference=True))
    expected = -(y * np.log(proba[:, 1]) + (1 - y) * np.log(proba[:, 0])).mean()
    np.testing.assert_allclose(loss(X, y.astype("int32")), expected)
    far = classifier.network
    far.set_values({"output.W": np.full((3, 1), 1e4)})
    assert np.isfinite(loss(X, y.astype("int32"))) and loss(X, 1 - y.astype("int32")) > 1000


def test_two_named_classes_with_one_unit(quick):
    names = np.array(["no", "yes"])[(GRADES > 1).astype(int)]
    classifier = NNClassifier(define_mlp(1, [5]), rng=1).fit(X, names, n_epochs=3, batch_size=50, valid=0.2)
    assert classifier.classes_.tolist() == ["no", "yes"] and set(classifier.predict(X)) <= {"no", "yes"}
    with pytest.raises(ValueError, match="got labels of 4 classes"):
        NNClassifier(define_mlp(1, [5]), rng=1).fit(X, np.array(list("abcd"))[GRADES], n_epochs=1, batch_size=50)
