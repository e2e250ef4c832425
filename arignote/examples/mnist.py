"""Networks for MNIST, and functions that train them.

>>> from arignote.examples import mnist
>>> [entry[0] for entry in mnist.mlp(400)][:2]
['FCLayer', 'DropoutLayer']
"""

from pathlib import Path
from typing import Any

from arignote import sample_data
from arignote.checkpoint.format import checkpoint_read
from arignote.data.formats import read_pickle
from arignote.image import augment
from arignote.nnets.nets import NNClassifier

LR_RULE = {"rule": "stalled", "initial_value": 0.1, "multiply_by": 0.25, "interval": 5}
MOMENTUM_RULE = {"rule": "stalled", "initial_value": 0.7, "decrease_by": -0.1, "final_value": 0.95, "interval": 5}


def mlp(n_units: int) -> list:
    """Return two hidden layers with dropout: the network of the README with 400 units, the small network with 128."""
    return [
        ["FCLayer", {"name": "fc1", "n_units": n_units, "activation": "prelu_shelf", "l2": 0.001}],
        ["DropoutLayer", {"name": "DO-fc1", "dropout_p": 0.5}],
        ["FCLayer", {"name": "fc2", "n_units": n_units, "activation": "prelu_shelf", "l2": 0.001}],
        ["DropoutLayer", {"name": "DO-fc2", "dropout_p": 0.5}],
        ["ClassificationOutputLayer", {"name": "output", "n_classes": 10}],
    ]


def conv() -> list:
    """Return three convolutions and two dense layers."""
    return [
        ["InputImageLayer", {"name": "input", "n_images": 1, "n_pixels": [28, 28]}],
        ["BC01ToC01BLayer", {"name": "to_c01b"}],
        ["ConvLayer", {"name": "conv1", "n_output_maps": 32, "filter_shape": [3, 3], "activation": "prelu"}],
        ["MaxPool2DLayer", {"name": "pool1", "pool_shape": [2, 2]}],
        ["ConvLayer", {"name": "conv2", "n_output_maps": 32, "filter_shape": [2, 2], "activation": "prelu"}],
        ["ConvLayer", {"name": "conv3", "n_output_maps": 32, "filter_shape": [2, 2], "activation": "prelu"}],
        ["MaxPool2DLayer", {"name": "pool3", "pool_shape": [2, 2]}],
        ["C01BToBC01Layer", {"name": "to_bc01"}],
        ["DropoutLayer", {"name": "DO-conv", "dropout_p": 0.25}],
        ["FCLayer", {"name": "fc1", "n_units": 400, "activation": "prelu_shelf", "l2": 0.0001}],
        ["DropoutLayer", {"name": "DO-fc1", "dropout_p": 0.5}],
        ["FCLayer", {"name": "fc2", "n_units": 400, "activation": "prelu_shelf", "l2": 0.0001}],
        ["DropoutLayer", {"name": "DO-fc2", "dropout_p": 0.5}],
        ["ClassificationOutputLayer", {"name": "output", "n_classes": 10}],
    ]


NETS = {
    "seed": ("MNIST MLP 400-400-10", lambda: mlp(400), None, 50),
    "small": ("MNIST MLP 128-128-10", lambda: mlp(128), None, 100),
    "conv": ("MNIST conv net", conv, augment.shift(3), 148),
}
"""Name -> title, definition, augmentation, epochs."""


def fit(classifier: NNClassifier, net: str, n_epochs: int | None = None, **given: Any) -> NNClassifier:
    """Train a network on MNIST.

    Parameters
    ----------
    classifier : NNClassifier
    net : {"seed", "small", "conv"}
        Which of `NETS` it is.
    n_epochs : int, optional
        By default as many as that network needs.
    **given
        Other arguments of `NNClassifier.fit`, or others than those used here.
    """
    _, _, augmentation, default = NETS[net]
    train, valid, test = read_pickle(sample_data.mnist)
    arguments = {
        "batch_size": 128, "augmentation": augmentation, "sgd_type": "nag", "lr_rule": LR_RULE,
        "momentum_rule": MOMENTUM_RULE, "test_loss": ["nll", "error"],
    }  # fmt: skip
    return classifier.fit(train, valid=valid, test=test, n_epochs=n_epochs or default, **(arguments | given))


def fit_mnist_mlp(checkpoint: str | Path | None = None) -> NNClassifier:
    """Train the network of the README, and return it: about 1.7 % test error after 50 epochs."""
    return _fit_new("seed", checkpoint)


def fit_mnist_small_mlp(n_epochs: int = 100, checkpoint: str | Path | None = None) -> NNClassifier:
    """Train a network of two layers of 128 units, and return it."""
    return _fit_new("small", checkpoint, n_epochs)


def fit_mnist_conv(checkpoint: str | Path | None = None) -> NNClassifier:
    """Train the convolutional network, with shifts of up to three pixels, and return it."""
    return _fit_new("conv", checkpoint)


def load_and_train(fname: str | Path, checkpoint: str | Path | None = None) -> NNClassifier:
    """Read a checkpoint of one of the functions here, resume its training on MNIST, and return the network.

    Parameters
    ----------
    fname : str or Path
        The checkpoint.
    checkpoint : str or Path, optional
        Where to write the next ones; by default nowhere.
    """
    classifier = checkpoint_read(fname)
    has_images = classifier.layer_defs[0][0] == "InputImageLayer"
    train, valid, test = read_pickle(sample_data.mnist)
    augmentation = NETS["conv"][2] if has_images else None
    return classifier.fit(train, valid=valid, test=test, augmentation=augmentation, checkpoint=checkpoint)


def _fit_new(net: str, checkpoint: str | Path | None, n_epochs: int | None = None) -> NNClassifier:
    title, define, _, _ = NETS[net]
    return fit(NNClassifier(define(), name=title, rng=42), net, n_epochs, checkpoint=checkpoint)
