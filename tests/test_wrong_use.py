"""What a newcomer gets wrong: the message says what was got, what is needed, and what to try."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from arignote.data import files
from arignote.data.readers import Data
from arignote.image import augment
from arignote.nnets.callbacks import EarlyStopping
from arignote.nnets.nets import NNClassifier

rng = np.random.default_rng(0)
X, y = rng.random((100, 4)).astype("float32"), rng.integers(3, size=100)
FRAME, LABELS = pd.DataFrame(X, columns=list("abcd")), pd.Series(y)
FC, OUTPUT = ["FCLayer", {"n_units": 5}], ["ClassificationOutputLayer", {"n_classes": 3}]
IMAGES = ["InputImageLayer", {"n_images": 1, "n_pixels": 2}]
CONV = ["ConvLayer", {"n_output_maps": 2, "filter_shape": 5}]


def build(*layers, **given):
    return NNClassifier(layers, rng=0, **given)


def fit(features=X, labels=y, **given):
    return build(FC, OUTPUT).fit(features, labels, **({"n_epochs": 1, "batch_size": 10} | given))


def copied(names):
    """Return a new network with all parameters of one that was trained on classes of these names."""
    trained = fit(labels=np.array(names)[np.arange(100) % 3])
    return build(FC, OUTPUT, n_in=4, stored_network=trained)


def archive():
    name = Path(tempfile.mkdtemp(), "x.npz")
    np.savez(name, X=X, y=y)
    return name


WRONG = {
    "a misspelt layer": (lambda: build(["FCLayr", {"n_units": 3}]), "layer 1: got the type 'FCLayr'.*try \"FCLayer\""),
    "a misspelt parameter": (lambda: build(["FCLayer", {"units": 3}], OUTPUT), "layer 1 .*'units'.*try \"n_units\""),
    "a wrong parameter": (lambda: build(["FCLayer", {"n_units": 2.5}], OUTPUT), "layer 1 .*n_units=2.5.*whole number"),
    "a misspelt activation": (
        lambda: build(["FCLayer", {"n_units": 2, "activation": "rleu"}], OUTPUT),
        "layer 1 .*got activation 'rleu'.*try \"relu\"",
    ),
    "per cent": (lambda: build(FC, ["DropoutLayer", {"dropout_p": 50}], OUTPUT), "layer 2 .*try dropout_p=0.5"),
    "no output layer": (lambda: build(FC), "need an output layer; try adding"),
    "no list": (lambda: NNClassifier({"FCLayer": 5}), "need a list with an entry for each layer; try"),
    "filters larger than images": (lambda: build(IMAGES, CONV, OUTPUT), "try smaller filters or pools, or larger"),
    "a convolution of vectors": (lambda: build(CONV, OUTPUT, n_in=4), "need images.*try starting the network with"),
    "no epochs": (lambda: fit(n_epochs=None), "got no n_epochs.*try n_epochs=50"),
    "no batch size": (lambda: fit(batch_size=None), "got no batch_size.*try batch_size=128"),
    "batches larger than the data": (lambda: fit(batch_size=1000), "try batch_size=100"),
    "one-hot labels": (lambda: fit(labels=np.eye(3)[y]), r"try labels.argmax\(axis=1\)"),
    "more classes than the network has": (
        lambda: fit(labels=np.array(["a", "b", "c", "d"])[np.arange(100) % 4]),
        "got labels of 4 classes .'a', 'b', 'c', 'd'.*need as many; try n_classes=4",
    ),
    "one label too many": (
        lambda: fit(labels=np.where(np.arange(100) == 7, 3, y)),
        "got the label 3 in row 7.*try another n_classes",
    ),
    "text that the network does not know": (
        lambda: fit(labels=np.array(["a", "b", "c"])[y]).score(X, np.full(100, "d")),
        "got the label 'd' in row 0; need one of the classes .*: 'a', 'b', 'c'",
    ),
    "numbers for text": (
        lambda: fit(labels=np.array(["a", "b", "c"])[y]).score(X, y),
        "got labels that are numbers, such as .*need text: 'a', 'b', 'c'",
    ),
    "a missing label": (
        lambda: fit(labels=np.array(["a", "b", "c", None])[np.where(np.arange(100) == 7, 3, y)]),
        "got a missing label in row 7",
    ),
    "measurements as labels": (lambda: fit(labels=rng.random(100)), "got the label 0.* in row 0; need whole numbers"),
    "too few labels": (lambda: fit(labels=y[:-1]), "got 100 rows of features and 99 of labels.*try checking both"),
    "no rows": (lambda: fit(X[:0], y[:0]), "got no rows"),
    "a layer of a trillion units": (
        lambda: build(["FCLayer", {"n_units": 10**12}], OUTPUT, n_in=5),
        r"FCLayer.*: got fc1.W of shape \(5, 1000000000000\), 40000.0 GB while it is drawn.*try fewer units",
    ),
    "a masked array": (lambda: fit(np.ma.masked_less(X, 0.1)), r"a masked array with \d+ masked values; .*filled"),
    "masked labels": (lambda: fit(labels=np.ma.masked_equal(y, 1)), "a masked array with .* masked values"),
    "a list of masked rows": (lambda: fit(list(np.ma.masked_less(X, 0.1))), r"a masked array with \d+ masked values"),
    "a masked number": (lambda: fit(labels=[*y[:-1], np.ma.masked]), "a masked array with 1 masked values"),
    "predicting masked rows": (lambda: build(FC, OUTPUT, n_in=4).predict(np.ma.masked_less(X, 0.1)), "masked values"),
    "NaN": (lambda: fit(np.full_like(X, np.nan)), "got nan in row 0.*try numpy.nan_to_num"),
    "a fraction in per cent": (lambda: fit(valid=20), "got valid=20; .*less than 1; try valid=0.5"),
    "validation data without labels": (lambda: fit(valid=X), r"an array of shape \(100, 4\); need a tuple \(X, y\)"),
    "a misspelt update rule": (lambda: fit(sgd_type="Adam"), "got sgd_type 'Adam'.*try \"adam\""),
    "a word as a rule": (
        lambda: fit(lr_rule="stalled"),
        "got lr_rule='stalled'; need a number or a dictionary.*try lr_rule=0.1, or",
    ),
    "a rule that is no number": (lambda: fit(lr_rule=float("nan")), "got lr_rule=nan; need a finite number"),
    "a layer that is not there": (
        lambda: build(["BatchNormLayer"], OUTPUT),
        "got the type 'BatchNormLayer'; need a layer; it is not available; try one of: .*FCLayer",
    ),
    "an activation that is not there": (
        lambda: build(["FCLayer", {"n_units": 2, "activation": "swish"}], OUTPUT),
        "got activation 'swish'; need one that exists; it is not available; try one of: .*abstanh, linear",
    ),
    "an activation that is a number": (
        lambda: build(["FCLayer", {"n_units": 2, "activation": 3}], OUTPUT),
        "try one of: .*abstanh, linear",
    ),
    "an argument of another library": (lambda: fit(learning_rate=0.1), "try lr_rule=0.1"),
    "a loss that is none": (
        lambda: fit(valid=0.2, valid_loss="mse"),
        "got valid_loss 'mse'.*not available; try one of: error, nll",
    ),
    "a class as a callback": (
        lambda: fit(callbacks=[EarlyStopping]),
        r"need a Callback; try callbacks=\[EarlyStopping",
    ),
    "images augmented that are none": (lambda: fit(augmentation=augment.shift(2)), "need images.*InputImageLayer"),
    "predicting too early": (lambda: build(FC, OUTPUT).predict(X), r"need n_in or fit; try NNClassifier\(..., n_in="),
    "predicting one row": (
        lambda: build(FC, OUTPUT, n_in=4).predict(X[0]),
        r"got one row of 4 numbers; need rows, an array of shape \(n, 4\); try X\[np.newaxis\]",
    ),
    "labels in another order than a frame": (
        lambda: fit(FRAME.sample(frac=1, random_state=0), LABELS),
        r"index differs from row 0 on \(\d+ and 0\); need the rows of both in one order; try labels.loc",
    ),
    "columns of numbers far from 1": (
        lambda: fit(FRAME.assign(income=range(10**5, 10**5 + 100))),
        "features as large as 1.001e.05 in the column 'income', .* far from 1; try X / 255 .*, or .X - mean. / std",
    ),
    "images of whole numbers": (lambda: fit(X.clip(0, 1) * 255), "features as large as .* try X / 255 for images"),
    "a class without rows": (
        lambda: fit(labels=np.arange(100) % 2 + 1),
        "no training rows of class 0, which the network cannot learn; try n_classes=2 and labels from 0 to 1",
    ),
    "only the training data are altered": (
        lambda: fit(Data(X, y, alter_features=lambda X: X), None, valid=(X, y)),
        "alter_features for the training data and none for the validation data",
    ),
    "two pairs": (lambda: fit(((X, y), (X, y)), None), r"got two pairs; .*try fit\(X, y, valid=\(X_valid, y_valid\)\)"),
    "copied classes in another order": (
        lambda: copied(["a", "b", "c"]).fit(
            X, np.array(["b", "c", "d"])[np.arange(100) % 3], n_epochs=1, batch_size=10
        ),
        "labels 'b', 'c', 'd' for an output layer copied .* 'a', 'b', 'c', .* try set_trainable_params with the other",
    ),
    "numbers for copied classes": (
        lambda: copied(["a", "b", "c"]).fit(X, np.arange(100) % 3, n_epochs=1, batch_size=10),
        "labels 0, 1, 2 for an output",
    ),
    "an archive of arrays": (
        lambda: fit(archive(), None),
        r"try numpy.load\('.*x.npz'\), and fit\(X, y\) with its arrays",
    ),
    "labels of one class": (lambda: fit(labels=np.zeros(100)), "training rows of one class only, 0"),
    "scoring without labels": (lambda: build(FC, OUTPUT, n_in=4).score(X, None), r"try score\(X, y\)"),
    "a checkpoint that is not there": (lambda: files.checkpoint_read("runs/none"), "need a file that exists"),
    "a learning rate that is far too high": (
        lambda: fit(X, n_epochs=9, sgd_type="sgd", lr_rule={"rule": "const", "initial_value": 1e30}),
        "try a smaller learning rate",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_message_helps(wrong, quick):
    use, message = WRONG[wrong]
    with pytest.raises(
        (ValueError, TypeError, OSError, RuntimeError, ArithmeticError, MemoryError, Warning), match=message
    ):
        use()


@pytest.mark.parametrize("index", [range(100), range(7, 107), [0] * 100])
def test_rows_of_frames_are_taken_by_position(index, quick):
    labels = LABELS.set_axis(index)
    same = fit(FRAME, labels).network.get_values()
    assert all((value == same[name]).all() for name, value in fit().network.get_values().items())
    shuffled = FRAME.sample(frac=1, random_state=0)
    fit(shuffled, LABELS.loc[shuffled.index])


def test_an_array_without_masked_values_is_like_any_other(quick):
    same = fit(np.ma.masked_less(X, -1)).network.get_values()
    assert all((value == same[name]).all() for name, value in fit().network.get_values().items())


def test_one_hook_need_not_be_in_a_list(quick):
    assert fit(callbacks=EarlyStopping(patience=1)).trainer.finished
