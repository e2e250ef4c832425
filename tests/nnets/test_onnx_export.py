"""Exported networks, run by onnxruntime."""

import numpy as np
import pandas as pd
import pytest

from arignote.nnets import onnx_export
from arignote.nnets.activations import BUILT_IN
from arignote.nnets.layers import Layer
from arignote.nnets.nets import NNClassifier, define_mlp
from tests.nnets.layers.test_contract import EXAMPLES, NAMES, batch_for, network_with, with_random_params

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def run_by_onnxruntime(content, X, output="probabilities"):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run([output], {"features": X.astype(np.float32)})[0]


def require_agreement(network):
    X, _ = batch_for(network, n=7)
    found = run_by_onnxruntime(
        onnx_export.model_of(network, "it").SerializeToString(), X, network.output_layer.output_name
    )
    np.testing.assert_allclose(found, network.predict_batch(X), atol=1e-5)


def test_the_output_of_a_classifier_is_its_probabilities():
    for name in ("ClassificationOutputLayer", "SoftmaxOutputLayer", "MultilabelOutputLayer"):
        network = network_with(name)
        assert [output.name for output in onnx_export.model_of(network, "it").graph.output] == ["probabilities"]


def test_every_layer_is_known():
    assert {kind.__name__ for kind in onnx_export.TRANSLATIONS} == set(NAMES) == set(EXAMPLES)


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_computes_the_same(name):
    require_agreement(with_random_params(network_with(name)))


@pytest.mark.parametrize(
    ("layer", "params", "shape"),
    [
        ("MaxPoolChannelsLayer", {"n_channels": 2}, (6, 5, 4)),
        ("MaxPool2DLayer", {"pool_shape": 2}, (3, 7, 9)),
        ("MaxPool2DLayer", {"pool_shape": 2, "ignore_border": True}, (3, 7, 9)),
        ("MaxPool2DLayer", {"pool_shape": [3, 2], "stride": [2, 1]}, (3, 8, 7)),
        ("MaxPool2DLayer", {"pool_shape": [2, 3], "stride": [4, 5]}, (3, 8, 11)),
        ("MaxPool2DLayer", {"pool_shape": 5}, (3, 4, 3)),
        ("MLPConvLayer", {"n_output_maps": 2, "filter_shape": [3, 2], "n_units": [4], "stride": [2, 1]}, (3, 7, 6)),
        ("ConvMaxoutLayer", {"n_output_maps": 3, "filter_shape": 2, "maxout_k": 2, "stride": [1, 2]}, (2, 6, 7)),
    ],
)
def test_sizes_that_could_be_swapped(layer, params, shape, monkeypatch):
    monkeypatch.setitem(EXAMPLES, layer, (params, shape))
    require_agreement(with_random_params(network_with(layer)))


@pytest.mark.parametrize("name", sorted(BUILT_IN - {"maxout"}))
@pytest.mark.parametrize("layer", ["FCLayer", "ConvLayer"])
def test_every_activation_computes_the_same(name, layer, monkeypatch):
    params, shape = EXAMPLES[layer]
    monkeypatch.setitem(EXAMPLES, layer, (params | {"activation": name}, shape))
    require_agreement(with_random_params(network_with(layer)))


def test_the_conv_net_from_the_command_line_of_a_user(tmp_path):
    from arignote.examples.mnist import conv

    classifier = NNClassifier(conv(), rng=1)
    X = np.random.default_rng(0).random((30, 784), dtype="float32")
    content = classifier.export_onnx(tmp_path / "mnist.onnx").read_bytes()
    found = run_by_onnxruntime(content, X.reshape(-1, 1, 28, 28))
    np.testing.assert_allclose(found, classifier.predict_proba(X), atol=1e-5)


def test_a_layer_of_ones_own_says_what_it_is():
    class HalvingLayer(Layer):
        def expression(self, x):
            return x / 2

    definition = [[HalvingLayer], ["ClassificationOutputLayer", {"n_classes": 3}]]
    with pytest.raises(TypeError, match=r"a layer that Arignote does not know.*to_onnx\(self, model, x\)"):
        onnx_export.model_of(NNClassifier(definition, n_in=4).network, "mine")
    HalvingLayer.to_onnx = lambda self, model, x: model.node("Mul", x, model.weight("half", np.float32([0.5])))
    require_agreement(with_random_params(NNClassifier(definition, n_in=4).network))


def test_an_activation_of_ones_own_is_refused():
    definition = [["FCLayer", {"n_units": 3, "activation": abs}], ["ClassificationOutputLayer", {"n_classes": 3}]]
    with pytest.raises(TypeError, match="with the activation .*; need one that Arignote knows"):
        onnx_export.model_of(NNClassifier(definition, n_in=4).network, "mine")


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setattr(onnx_export.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'arignote\[export\]'"):
        onnx_export.model_of(network_with("FCLayer"), "it")


def test_the_metadata_tell_weights_classes_and_features(tmp_path, quick):
    frame = pd.DataFrame(np.eye(6, 2), columns=["width", "height"])
    classifier = NNClassifier(define_mlp(2, [3]), rng=0)
    classifier.fit(frame, list("ababab"), valid=(frame, list("ababab")), n_epochs=3, batch_size=2)
    session = onnxruntime.InferenceSession(classifier.export_onnx(tmp_path / "mine.onnx").read_bytes())
    found = session.get_modelmeta().custom_metadata_map
    assert found == {"weights": classifier.weights, "classes": '["a", "b"]', "features": '["width", "height"]'}
    assert "with the best validation loss" in found["weights"]
