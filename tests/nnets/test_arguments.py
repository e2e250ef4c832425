"""Arguments of other libraries are refused with ours."""

import inspect
import re

import numpy as np
import pytest

from arignote.nnets import arguments, nets
from arignote.nnets.nets import NNClassifier

FIT = list(inspect.signature(NNClassifier.fit).parameters)
INIT = list(inspect.signature(NNClassifier).parameters)
X, y = np.eye(4, dtype="float32"), np.arange(4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"learning_rate": 0.1}, "got fit(learning_rate=0.1); need an argument of fit; try lr_rule=0.1"),
        ({"lr": 1e-3}, "try lr_rule=0.001"),
        ({"momentum": 0.9}, "try momentum_rule=0.9"),
        ({"optimizer": "Adam"}, "got fit(optimizer='Adam'); need an argument of fit; try sgd_type=\"adam\""),
        ({"epochs": 20}, "try n_epochs=20"),
        ({"loss": "categorical_crossentropy"}, 'try train_loss="nll"'),
        (
            {"validation_data": (X, y)},
            "got fit(validation_data=...); need an argument of fit; try valid=(X_valid, y_val",
        ),
        ({"validation_split": 0.2}, "try valid=0.2"),
        ({"metrics": ["accuracy"]}, 'try test_loss=["error", "nll"]'),
        ({"verbose": 0}, "try progress=0"),
        ({"patience": 5}, "try callbacks=[EarlyStopping(patience=5)]"),
        ({"seed": 3}, "try NNClassifier(..., rng=3)"),
        ({"n_epoch": 3}, 'got fit(n_epoch=3); need an argument of fit; try "n_epochs" (known: X, '),
        ({"zzz": 3}, "need an argument of fit; it is not available; try one of: X, "),
    ],
)
def test_fit_names_its_own_argument(given, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        NNClassifier(nets.define_mlp(4, [5]), rng=0).fit(X, y, **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hidden_layer_sizes": (50, 20)}, "try layer_defs=nets.define_mlp(10, (50, 20))"),
        (
            {"layers": [["FCLayer"]]},
            "got NNClassifier(layers=[['FCLayer']]); need an argument of NNClassifier; try layer_d",
        ),
        ({"seed": 42}, "try rng=42"),
        ({"dropout": 0.5}, 'try layer_defs=[..., ["DropoutLayer", {"dropout_p": 0.5}], ...]'),
        ({"n_classes": 3}, 'try layer_defs=[..., ["ClassificationOutputLayer", {"n_classes": 3}]]'),
        ({"input_shape": (784,)}, "try n_in=(784,)"),
        ({"learning_rate": 0.1}, "try fit(..., lr_rule=0.1)"),
        ({"batchsize": 10}, 'try "batch_size"'),
    ],
)
def test_the_constructor_names_its_own_argument(given, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        NNClassifier(**given)


def test_what_is_to_be_tried_exists():
    for table, known in ((arguments.TRAINING, FIT), (arguments.NETWORK, INIT)):
        for advice, names in table.items():
            assert advice.split("=")[0] in known
            assert not set(names.split()) & set(known)


def test_every_name_is_in_one_row_of_its_table():
    for table in (arguments.TRAINING, arguments.NETWORK):
        names = " ".join(table.values()).split()
        assert len(names) == len(set(names))


def test_signatures_stay():
    assert FIT[:4] == ["self", "X", "y", "valid"] and INIT[0] == "layer_defs"
    assert "Train, or resume training" in NNClassifier.fit.__doc__


def test_warnings_of_fit_name_the_line_that_called_it(quick):
    classifier = NNClassifier(nets.define_mlp(4, [5]), rng=0).fit(X, y, n_epochs=1, batch_size=2)
    with pytest.warns(UserWarning, match="keeps its own: sgd_type='adam'") as caught:
        classifier.fit(X, y, n_epochs=2, sgd_type="adam")
    assert caught[0].filename == __file__
