import numpy as np
import pytest

from arignote import engine
from arignote.engine import tensor
from arignote.nnets import activations
from arignote.nnets.activations import ACTIVATIONS
from arignote.nnets.nets import NNClassifier
from arignote.ops.activate import FORMULAS
from tests.helpers import numeric_gradient, numeric_gradient_by

X = np.array([-2.0, -0.3, -0.02, 0.0, 0.03, 0.4, 1.7])
POSITIVE, NEGATIVE = np.maximum(X, 0), np.minimum(X, 0)
# What each activation is, written out in numpy, with the learned parameters at their start.
EXPECTED = {
    "linear": X,
    "tanh": np.tanh(X),
    "abstanh": np.abs(np.tanh(X)),
    "sigmoid": 1 / (1 + np.exp(-X)),
    "relu": POSITIVE,
    "prelu": POSITIVE + 0.25 * NEGATIVE,
    "prelu_shelf": np.where(X > 0.05, X - 0.05, np.where(X < -0.05, 0.25 * (X + 0.05), 0)),
}


def evaluate(name, values):
    x = tensor.vector("x")
    entry = ACTIVATIONS[name]
    return engine.function([x], entry.function(x, **entry.learned))(values)


def test_every_activation_is_tested():
    assert set(EXPECTED) | {"maxout"} == activations.BUILT_IN


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_layers_compute_what_the_function_says(name):
    """What layers use is written apart, in C++ and in numpy: see arignote/ops/activate.py."""
    formula, learned = FORMULAS[name], [np.float64(start) for start in ACTIVATIONS[name].learned.values()]
    np.testing.assert_allclose(formula.value(np, X, *learned), EXPECTED[name], atol=1e-12)
    assert len(formula.learned) == len(learned)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_values(name, float64, quick):
    np.testing.assert_allclose(evaluate(name, X), EXPECTED[name], atol=1e-12)


def test_maxout_is_the_largest_piece(float64, quick):
    x = tensor.matrix("x")
    rows = np.random.default_rng(0).normal(size=(4, 6))
    found = engine.function([x], activations.maxout([x[0], x[1], x[2], x[3]]))(rows)
    np.testing.assert_array_equal(found, rows.max(axis=0))


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_gradients_by_input_and_learned_parameters(name, float64, quick):
    entry = ACTIVATIONS[name]
    x = tensor.vector("x")
    values = np.array([-2.0, -0.3, 0.02, 0.4, 1.7])  # away from the kinks
    learned = {key: engine.shared(np.full(5, start)) for key, start in entry.learned.items()}
    y = (entry.function(x, **learned) ** 2).sum()
    function = engine.function([x], y)
    gradients = engine.function([x], engine.grad(y, [x, *learned.values()]))(values)
    np.testing.assert_allclose(gradients[0], numeric_gradient(function, values), rtol=1e-5, atol=1e-8)
    for shared, gradient in zip(learned.values(), gradients[1:], strict=True):
        expected = numeric_gradient_by(shared, lambda: function(values))
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "variance"),
    [  # fan-in 300, fan-out 200
        ("relu", 2 / 300),
        ("prelu", 2 / (1 + 0.25**2) / 300),
        ("prelu_shelf", 2 / (1 + 0.25**2) / 300),
        ("maxout", 2 / 300),
        ("tanh", 6 / 500 / 3),
        ("abstanh", 6 / 500 / 3),
        ("linear", 6 / 500 / 3),
        ("sigmoid", 16 * 6 / 500 / 3),
    ],
)
def test_initial_weights_have_the_variance_of_the_papers(name, variance):
    weights = ACTIVATIONS[name].initialize(np.random.default_rng(0), (300, 200), 300, 200)
    assert abs(weights.mean()) < 4 * np.sqrt(variance / weights.size)
    np.testing.assert_allclose(weights.var(), variance, rtol=0.02)


def test_initial_weights_of_a_convolution_count_the_whole_filter():
    layers = [["InputImageLayer", {"n_images": 8, "n_pixels": 9}],
              ["ConvLayer", {"n_output_maps": 50, "filter_shape": [5, 3], "activation": "relu", "name": "conv"}],
              ["ClassificationOutputLayer", {"n_classes": 2}]]  # fmt: skip
    weights = NNClassifier(layers, rng=0).params["conv.W"].get_value()
    np.testing.assert_allclose(weights.var(), 2 / (8 * 5 * 3), rtol=0.05)


def test_a_function_of_ones_own(quick):
    def softsign(x):
        return x / (1 + abs(x))

    definition = [["FCLayer", {"n_units": 3, "activation": softsign}], ["ClassificationOutputLayer", {"n_classes": 2}]]
    classifier = NNClassifier(definition, n_in=2, rng=0)
    assert classifier.layer_defs[1][1]["activation"] == "softsign"
    layer = classifier.layers_inf[1]
    values = np.ones((1, 2), engine.float_type())
    found = engine.function([classifier.network.x], layer.output)(values)
    z = values @ layer.params["W"].get_value()
    np.testing.assert_allclose(found, z / (1 + abs(z)), rtol=1e-5)
    del ACTIVATIONS["softsign"]


def test_a_function_of_ones_own_with_learned_parameters():
    activations.register(lambda x, power: engine.sign(x) * abs(x) ** power, "signed_power", learned={"power": 1.5})
    definition = [
        ["FCLayer", {"n_units": 3, "activation": "signed_power"}],
        ["ClassificationOutputLayer", {"n_classes": 2}],
    ]
    classifier = NNClassifier(definition, n_in=2)
    np.testing.assert_array_equal(classifier.params["fc1.power"].get_value(), [1.5] * 3)
    del ACTIVATIONS["signed_power"]


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        ("reul", "got activation 'reul'.*try \"relu\""),
        (lambda x: x, "got a lambda.*try def my_activation"),
        (7, "activation 7"),
    ],
)
def test_refuses_what_is_no_activation(activation, message):
    with pytest.raises((TypeError, ValueError), match=message):
        activations.find(activation)


def test_refuses_to_replace_one_of_the_librarys():
    with pytest.raises(ValueError, match="taken; need a name of your own; try my_relu"):
        activations.register(abs, "relu")
