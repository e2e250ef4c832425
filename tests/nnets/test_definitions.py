import numpy as np
import pytest

from arignote.nnets import definitions
from arignote.nnets.layers import ConvLayer, FCLayer
from arignote.nnets.nets import NNClassifier

OUTPUT = ["ClassificationOutputLayer", {"n_classes": 3}]


def test_reads_lists_tuples_and_classes_and_leaves_nothing_open():
    read = definitions.read(
        [(FCLayer, {"n_units": np.int64(5)}), ["FCLayer", {"n_units": 4.0, "name": "mine"}], OUTPUT]
    )
    assert read == [
        ["InputLayer", {"name": "input"}],
        ["FCLayer", {"n_units": 5, "name": "fc1"}],
        ["FCLayer", {"n_units": 4.0, "name": "mine"}],
        ["ClassificationOutputLayer", {"n_classes": 3, "name": "output"}],
    ]
    assert type(read[1][1]["n_units"]) is int


def test_leaves_the_users_definition_alone():
    mine = [["FCLayer", {"n_units": 5}], OUTPUT]
    definitions.read(mine)
    assert mine == [["FCLayer", {"n_units": 5}], ["ClassificationOutputLayer", {"n_classes": 3}]]


def test_default_names_avoid_those_that_are_taken():
    read = definitions.read([["FCLayer", {"n_units": 5}], ["FCLayer", {"n_units": 5, "name": "fc1"}], OUTPUT])
    assert [params["name"] for _, params in read] == ["input", "fc2", "fc1", "output"]


@pytest.mark.parametrize(
    ("layer_defs", "message"),
    [
        ("FCLayer", "got layer definitions 'FCLayer'; need a list"),
        ({"FCLayer": {}}, "need a list with an entry for each layer"),
        ([], "got no layers"),
        (["FCLayer", {"n_units": 5}], r"layer 1: got 'FCLayer'; need \[type\]"),
        ([["FCLayr", {"n_units": 5}], OUTPUT], "layer 1: got the type 'FCLayr'; need a layer; try \"FCLayer\""),
        ([["FCLayer", {"n_unit": 5}], OUTPUT], r"layer 1 \(FCLayer\): got the parameter 'n_unit'.*try \"n_units\""),
        ([["FCLayer"], OUTPUT], r"layer 1 \(FCLayer\): got no n_units; need it"),
        ([["FCLayer", 5], OUTPUT], "got 5; need a dictionary"),
        ([["FCLayer", {"n_units": 0}], OUTPUT], "'fc1'.*got n_units=0; need a whole number of 1 or more"),
        ([["FCLayer", {"n_units": 2.5}], OUTPUT], "got n_units=2.5"),
        ([["FCLayer", {"n_units": 5, "activation": "reul"}], OUTPUT], "got activation 'reul'.*try \"relu\""),
        ([["FCLayer", {"n_units": 5, "l2": -1}], OUTPUT], "got l2=-1; need a finite number of at least 0"),
        ([["FCLayer", {"n_units": 5, "name": "a.b"}], OUTPUT], 'need a text without "."'),
        ([["DropoutLayer", {"dropout_p": 1.0}], OUTPUT], "got dropout_p=1.0; need .* less than 1; try dropout_p=0.5"),
        (
            [["FCLayer", {"n_units": 5, "name": "a"}], ["FCLayer", {"n_units": 5, "name": "a"}], OUTPUT],
            "name 'a' 2 times",
        ),
        ([["FCLayer", {"n_units": 5}]], "got a network that ends with a FCLayer; need an output layer"),
        ([OUTPUT, ["FCLayer", {"n_units": 5}]], "got layers behind a ClassificationOutputLayer"),
        ([["FCLayer", {"n_units": 5}], ["InputLayer"], OUTPUT], "got a InputLayer behind other layers"),
        ([["MaxPool2DLayer", {"pool_shape": [2, 2, 2]}], OUTPUT], "need two whole numbers"),
        (
            [["MLPConvLayer", {"n_output_maps": 2, "filter_shape": 3, "n_units": 4}], OUTPUT],
            "need a list of whole numbers",
        ),
        ([["FCLayer", {"n_units": 5, "fix_params": object()}], OUTPUT], "which can be stored"),
    ],
)
def test_refuses_wrong_definitions(layer_defs, message):
    with pytest.raises((TypeError, ValueError), match=message):
        NNClassifier(layer_defs, n_in=4)


def image_net(*layers, n_pixels=6):
    return NNClassifier([["InputImageLayer", {"n_images": 2, "n_pixels": n_pixels}], *layers, OUTPUT])


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [["FCLayer", {"n_units": 5}], ["ConvLayer", {"n_output_maps": 2, "filter_shape": 3}]],
            r'"conv1" \(ConvLayer\): got an input of shape \(5,\); need images',
        ),
        (
            [["ConvLayer", {"n_output_maps": 2, "filter_shape": 7}]],
            r"got an input of shape \(2, 6, 6\).*would be \(2, 0, 0\)",
        ),
        ([["MaxPool2DLayer", {"pool_shape": 8, "ignore_border": True}]], "smaller filters or pools, or larger images"),
        ([["MaxPoolChannelsLayer", {"n_channels": 4}]], "need a number of channels that 4 divides"),
        ([["BC01ToC01BLayer"], ["FCLayer", {"n_units": 5}]], r'try a \["C01BToBC01Layer"\] before it'),
        ([["BC01ToC01BLayer"]], r'"output".*try a \["C01BToBC01Layer"\] before it'),
        ([["C01BToBC01Layer"]], r'try a \["BC01ToC01BLayer"\] before it'),
        ([["BC01ToC01BLayer"], ["BC01ToC01BLayer"]], "leaving this layer out"),
    ],
)
def test_refuses_a_layer_that_cannot_follow_the_one_before(layers, message):
    with pytest.raises(ValueError, match=message):
        image_net(*layers)


def test_refuses_images_without_an_image_layer():
    with pytest.raises(ValueError, match=r"got an input of shape \(3, 8, 8\).*InputImageLayer"):
        NNClassifier([["ConvLayer", {"n_output_maps": 2, "filter_shape": 3}], OUTPUT], n_in=(3, 8, 8))


def test_softmax_layer_checks_its_number_of_classes():
    with pytest.raises(ValueError, match="one value for each class"):
        NNClassifier([["FCLayer", {"n_units": 5}], ["SoftmaxOutputLayer", {"n_classes": 4}]], n_in=3)


def test_a_class_can_be_the_type():
    net = NNClassifier(
        [
            ["InputImageLayer", {"n_images": 1, "n_pixels": 5}],
            [ConvLayer, {"n_output_maps": 2, "filter_shape": 2}],
            OUTPUT,
        ]
    )
    assert net.layer_defs[1][0] == "ConvLayer"
