"""Shortcuts define the networks that the first Arignote's did, under the same names."""

import pytest

from arignote.nnets import nets
from arignote.nnets.nets import NNClassifier


def names(layers):
    return [params["name"] for _, params in layers]


def test_logistic_regression():
    layers = nets.define_logistic_regression(3, l1_reg=0.1, l2_reg=0.2)
    assert layers == [["ClassificationOutputLayer", {"name": "output", "n_classes": 3, "l1": 0.1, "l2": 0.2}]]
    assert NNClassifier(layers, n_in=4).n_params == 15


def test_a_perceptron_with_one_rate_of_dropout_for_all():
    layers = nets.define_mlp(3, [5, 6], 0.5, "tanh", 0.1, 0.2)
    assert names(layers) == ["DO-input", "fc0", "DO-fc0", "fc1", "DO-fc1", "output"]
    assert {params["dropout_p"] for kind, params in layers if kind == "DropoutLayer"} == {0.5}
    weights = [params for kind, params in layers if kind != "DropoutLayer"]
    assert all((params["l1"], params["l2"]) == (0.1, 0.2) for params in weights)
    assert [params.get("activation") for params in weights] == ["tanh", "tanh", None]
    assert NNClassifier(layers, n_in=4).n_params == 5 * 5 + 6 * 6 + 7 * 3


def test_a_perceptron_with_a_rate_of_dropout_for_each():
    assert names(nets.define_mlp(3, [5, 6], [0, 0.1, 0])) == ["fc0", "DO-fc0", "fc1", "output"]
    assert names(nets.define_mlp(3, [5, 6], [0.1, 0, 0])) == ["DO-input", "fc0", "fc1", "output"]
    assert names(nets.define_mlp(3, 5)) == ["fc0", "output"]
    assert nets.define_mlp(3, 5)[0][1]["activation"] == "relu"
    assert nets.define_mlp(3, []) == nets.define_logistic_regression(3)


def test_convolutions():
    layers = nets.define_cnn(3, (8, 8), [4, 5], [3, (2, 3)], [2, 1], [6], dropout_p=0.2, l2_reg=0.1)
    assert names(layers) == [
        "input", "DO-input", "conv0", "maxpool0", "DO-conv0", "conv1", "DO-conv1", "fc0", "DO-fc0", "output",
    ]  # fmt: skip
    shapes = {layer.name: layer.output_shape for layer in NNClassifier(layers).layers_train}
    assert (shapes["conv0"], shapes["maxpool0"], shapes["conv1"]) == ((4, 6, 6), (4, 3, 3), (5, 2, 1))
    assert all(params["l2"] == 0.1 for kind, params in layers if "l2" in params)
    assert names(nets.define_cnn(3, 8, 4, 3, 2, 6, [0, 0.1, 0])) == ["input", "conv0", "maxpool0", "DO-conv0", "fc0",
                                                                    "output"]  # fmt: skip
    assert nets.define_cnn(3, (2, 8, 9), 4, 3, 2, 6)[0][1] == {"name": "input", "n_images": 2, "n_pixels": [8, 9]}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: nets.define_mlp([5], 3), r"got n_classes=\[5\]; need a whole number"),
        (lambda: nets.define_mlp(3, "5"), "got n_hidden='5'; need a list of whole numbers"),
        (lambda: nets.define_mlp(3, [5], [0.5]), r"got dropout_p=\[0.5\]; need one number, or 2: one for each"),
        (lambda: nets.define_cnn(3, (1, 2, 3, 4), [4], 3, 2, [5]), "got input_image_shape=.*try"),
        (lambda: nets.define_cnn(3, 8, [4, 5], [3], 2, [5]), r"got filter_scale=\[3\]; need one number, or 2"),
    ],
)
def test_wrong_arguments_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
