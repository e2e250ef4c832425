"""What every layer must keep, whichever there are: found by reflection."""

from contextlib import nullcontext

import numpy as np
import pytest

from arignote import engine
from arignote.nnets.layers import LAYERS, OutputLayer
from arignote.nnets.network import Network
from tests.helpers import numeric_gradient, numeric_gradient_by

IMAGE = (4, 7, 6)
# Layer -> its parameters, and the shape of an example that it takes.
EXAMPLES = {
    "InputLayer": ({}, (6,)),
    "InputImageLayer": ({"n_images": 4, "n_pixels": [7, 6]}, IMAGE),
    "BC01ToC01BLayer": ({}, IMAGE),
    "C01BToBC01Layer": ({}, IMAGE),
    "FCLayer": ({"n_units": 5, "activation": "prelu_shelf"}, IMAGE),
    "FCMaxoutLayer": ({"n_units": 4, "maxout_k": 3}, (6,)),
    "LCLayer": ({"n_units": 3, "n_segments": 2, "activation": "prelu_shelf"}, IMAGE),
    "LCMaxoutLayer": ({"n_units": 2, "n_segments": 3, "maxout_k": 2}, (6,)),
    "ConvLayer": ({"n_output_maps": 3, "filter_shape": [3, 2], "stride": [2, 1]}, IMAGE),
    "ConvMaxoutLayer": ({"n_output_maps": 3, "filter_shape": [2, 3], "maxout_k": 2}, IMAGE),
    "MLPConvLayer": ({"n_output_maps": 2, "filter_shape": [3, 3], "n_units": [4, 3]}, IMAGE),
    "MaxPool2DLayer": ({"pool_shape": [3, 2], "stride": [2, 2]}, IMAGE),
    "MaxPoolChannelsLayer": ({"n_channels": 2}, IMAGE),
    "GlobalAveragePoolLayer": ({}, IMAGE),
    "DropoutLayer": ({"dropout_p": 0.4}, IMAGE),
    "ClassificationOutputLayer": ({"n_classes": 3}, (6,)),
    "OrdinalOutputLayer": ({"n_classes": 4}, (6,)),
    "SoftmaxOutputLayer": ({}, (6,)),
    "MultilabelOutputLayer": ({"n_classes": 3}, (6,)),
}
NAMES = sorted(name for name, layer in LAYERS.items() if layer.__module__.startswith("arignote."))


@pytest.fixture
def quick_if_possible(name):
    """Compile without C, but for the layers that need it."""
    in_c = "Conv" in name or "Pool2D" in name
    with nullcontext() if in_c else engine.quick_compile():
        yield


def network_with(name, seed=3):
    """Return a network with one layer of a class, between what it needs before it and an output."""
    params, shape = EXAMPLES[name]
    params = params | {"name": "it"}
    definition = [[name, params]]
    if not name.startswith("Input"):
        first = ["InputLayer", {"name": "input"}]
        if len(shape) == 3:
            first = ["InputImageLayer", {"name": "input", "n_images": shape[0], "n_pixels": shape[1:]}]
        definition.insert(0, first)
    if name == "C01BToBC01Layer":
        definition.insert(1, ["BC01ToC01BLayer", {"name": "before"}])
    if name == "BC01ToC01BLayer":
        definition.append(["C01BToBC01Layer", {"name": "after"}])
    if not issubclass(LAYERS[name], OutputLayer):
        definition.append(["ClassificationOutputLayer", {"name": "output", "n_classes": 3}])
    return Network(definition, shape, seed, seed)


def with_random_params(network):
    """Set all parameters to random values, so that nothing is hidden by a zero."""
    rng = np.random.default_rng(5)
    network.set_values(
        {name: value + rng.normal(scale=0.3, size=value.shape) for name, value in network.get_values().items()}
    )
    return network


def batch_for(network, n=5):
    rng = np.random.default_rng(6)
    X = rng.normal(size=(n, *network.input_layer.output_shape)).astype(engine.float_type())
    n_classes = network.output_layer.n_classes
    if network.y.ndim == 2:
        return X, rng.integers(2, size=(n, n_classes)).astype(engine.float_type())
    return X, rng.integers(n_classes, size=n).astype("int32")


def test_every_layer_has_an_example():
    assert sorted(EXAMPLES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_output_has_the_shape_that_was_announced(name, quick_if_possible):
    network = network_with(name)
    layer = next(layer for layer in network.layers_train if layer.name == "it")
    X, _ = batch_for(network)
    shape = engine.function([network.x, network.position], layer.output, on_unused_input="ignore")(X, [0, 0, 0]).shape
    expected = (len(X), *layer.output_shape)
    if layer.output_layout() == "c01b":
        expected = (*expected[1:], expected[0])
    assert shape == expected


@pytest.mark.parametrize("name", NAMES)
def test_gradients_agree_with_finite_differences(name, float64, quick_if_possible):
    network = with_random_params(network_with(name))
    X, y = batch_for(network)
    loss = network.loss(network.output_layer.trainable_losses()[0], training=True) + network.penalty()
    inputs = [network.x, network.y, network.position]
    position = np.array([1, 2, 0])
    value = engine.function(inputs, loss, on_unused_input="ignore")
    gradients = engine.function(inputs, engine.grad(loss, [network.x, *network.trainable]), on_unused_input="ignore")(
        X, y, position
    )
    expected = [numeric_gradient(lambda X: value(X, y, position), X)]
    expected += [numeric_gradient_by(param, lambda: value(X, y, position)) for param in network.trainable]
    for name, a, b in zip(["x", *(param.name for param in network.trainable)], gradients, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("name", NAMES)
def test_deterministic_twin_shares_parameters_and_has_no_randomness(name, quick_if_possible):
    network = network_with(name)
    for trained, twin in zip(network.layers_train, network.layers_inf, strict=True):
        assert trained.training and not twin.training
        assert trained.params is twin.params
    predict = engine.function([network.x], network.output_layer.output)
    X, _ = batch_for(network)
    np.testing.assert_array_equal(predict(X), predict(X))


@pytest.mark.parametrize("name", NAMES)
def test_parameters_have_stable_names_and_depend_on_the_seed_alone(name):
    first, again, other = network_with(name, 3), network_with(name, 3), network_with(name, 4)
    assert list(first.params) == list(again.params) == list(other.params)
    assert all(param.startswith(("it.", "output.")) for param in first.params)
    for param, value in first.get_values().items():
        np.testing.assert_array_equal(value, again.get_values()[param])
        if param.startswith("it.W") and value.any():
            assert (value != other.get_values()[param]).any()


@pytest.mark.parametrize("name", [name for name in NAMES if EXAMPLES[name][1] == IMAGE and "Input" not in name])
def test_layers_of_images_compute_the_same_in_either_order(name, quick_if_possible):
    if name in ("BC01ToC01BLayer", "C01BToBC01Layer", "FCLayer", "LCLayer"):
        pytest.skip("has one order only")
    params, shape = EXAMPLES[name]
    first = ["InputImageLayer", {"name": "input", "n_images": shape[0], "n_pixels": shape[1:]}]
    it, last = [name, params | {"name": "it"}], ["ClassificationOutputLayer", {"name": "output", "n_classes": 3}]
    there, back = ["BC01ToC01BLayer", {"name": "there"}], ["C01BToBC01Layer", {"name": "back"}]
    keeps_images = len(network_with(name).layers_train[1].output_shape) == 3
    plain = with_random_params(Network([first, it, last], shape, 1, 1))
    reordered = with_random_params(Network([first, there, it, *([back] if keeps_images else []), last], shape, 1, 1))
    X, y = batch_for(plain)
    results = []
    for network in (plain, reordered):
        loss = network.loss(network.output_layer.trainable_losses()[0], training=True)
        outputs = [network.layers_train[-1].output, *engine.grad(loss, network.trainable)]
        inputs = [network.x, network.y, network.position]
        results.append(engine.function(inputs, outputs, on_unused_input="ignore")(X, y, [0, 1, 0]))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
