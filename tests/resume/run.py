"""A small training run with everything that a resume must keep; started by the tests in processes of its own.

``python -m tests.resume.run KIND CHECKPOINT [RESULT]`` starts the run, or goes on if there is a checkpoint, and writes
what is left at the end to RESULT. KIND is mlp, conv, hdf (as mlp, from a file shuffled by blocks), arrays and folder
(which `fit` itself shuffles and cuts) or seed (the README's network on MNIST).
"""

import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from arignote import engine, sample_data
from arignote.data import files
from arignote.data.readers import Data, HDFReader, HDFWriter, Reader
from arignote.image import augment
from arignote.nnets.nets import NNClassifier
from tests.helpers import digests

RULE = {"rule": "stalled", "initial_value": 0.1, "multiply_by": 0.5, "interval": 1, "schedule": [1]}
MLP = [
    ["FCLayer", {"n_units": 8, "activation": "prelu_shelf", "l2": 0.001, "maxnorm": 2}],
    ["DropoutLayer", {"dropout_p": 0.4}],
    ["ClassificationOutputLayer", {"n_classes": 3}],
]
CONV = [
    ["InputImageLayer", {"n_images": 1, "n_pixels": 8}],
    ["ConvLayer", {"n_output_maps": 4, "filter_shape": 3}],
    ["MaxPool2DLayer", {"pool_shape": 2}],
    *MLP,
]
IN_COLOR = [["InputImageLayer", {"n_images": 3, "n_pixels": 8}], *CONV[1:]]
SEED = [
    ["FCLayer", {"name": "fc1", "n_units": 400, "activation": "prelu_shelf", "l2": 0.001}],
    ["DropoutLayer", {"name": "DO-fc1", "dropout_p": 0.5}],
    ["FCLayer", {"name": "fc2", "n_units": 400, "activation": "prelu_shelf", "l2": 0.001}],
    ["DropoutLayer", {"name": "DO-fc2", "dropout_p": 0.5}],
    ["ClassificationOutputLayer", {"name": "output", "n_classes": 10}],
]


class Computed(Reader):
    """A reader of the user's own, which can be shuffled: rows are computed from their numbers."""

    n_rows = 90

    def __init__(self, shape):
        self.shape = shape

    def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
        for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
            yield self.take(np.arange(first, last))

    def take(self, rows):
        size = int(np.prod(self.shape))
        return np.sin(rows[:, np.newaxis] * (1 + np.arange(size)) + rows[:, np.newaxis] % 3).reshape(-1, *self.shape)


def jitter(X, y, epoch, rng):
    """An augmentation that uses its random generator."""
    return X + rng.normal(scale=0.1, size=X.shape), y


def in_a_file(reader, labels, folder):
    """Return readers of a file that holds these rows; write it unless it is there."""
    path = Path(folder) / "rows.h5"
    if not path.exists():
        with HDFWriter(path) as file:
            for X in reader.iter_epoch(7, allow_partial=True):
                file.append(features=X, labels=labels[file.n_rows : file.n_rows + len(X)])
    return HDFReader(path, "features"), HDFReader(path, "labels")


def in_a_folder(reader, labels, folder):
    """Return a folder with a folder of images for each class, which hold these rows; write it unless it is there."""
    path = Path(folder) / "images"
    if not path.exists():
        for i, (X, label) in enumerate(zip(next(reader.iter_epoch(reader.n_rows)), labels, strict=True)):
            (path / "abc"[label]).mkdir(parents=True, exist_ok=True)
            Image.fromarray((127 + 127 * X[0]).astype(np.uint8)).save(path / "abc"[label] / f"{i:02}.png")
    return path


def arguments(kind, folder=None):
    """Return the layers and what `fit` is given."""
    if kind == "seed":
        train, valid, test = files.read_pickle(sample_data.mnist)
        rule = {"rule": "stalled", "initial_value": 0.1, "multiply_by": 0.25, "interval": 5}
        momentum = {"rule": "stalled", "initial_value": 0.7, "decrease_by": -0.1, "final_value": 0.95, "interval": 5}
        return SEED, {"X": Data(*train, shuffle=True), "valid": valid, "test": test, "batch_size": 128, "lr_rule": rule,
                      "momentum_rule": momentum, "sgd_type": "nag", "checkpoint_batches": 40}  # fmt: skip
    layers, shape = (CONV, (1, 8, 8)) if kind == "conv" else (MLP, (6,))
    reader, labels = Computed(shape), np.arange(90) % 3
    if kind in ("arrays", "folder"):
        data = {"X": next(reader.iter_epoch(90)), "y": labels}
        if kind == "folder":
            layers, data = IN_COLOR, {"X": in_a_folder(Computed((1, 8, 8)), labels, folder)}
        return layers, data | {"valid": 0.2, "test": 0.1, "batch_size": 10, "sgd_type": "nag", "checkpoint_batches": 1}
    if kind == "hdf":
        reader, labels = in_a_file(reader, labels, folder)
        reader.block_rows = 4
    augmentation = augment.pipeline(augment.shift(1), jitter) if kind == "conv" else jitter
    return layers, {
        "X": Data(reader, labels, shuffle=True, shuffle_rows=30), "valid": Data(reader, labels, stop=40),
        "test": Data(reader, labels, start=40), "batch_size": 20, "augmentation": augmentation, "lr_rule": RULE,
        "momentum_rule": RULE, "sgd_type": "adam", "validation_frequency": 50,
        "sgd_max_grad_norm": 1.0, "checkpoint_batches": 1,
    }  # fmt: skip


def run(kind, checkpoint, n_epochs=3):
    """Start, or go on, and return the classifier."""
    layers, given = arguments(kind, Path(checkpoint).parent)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All .* epochs of this training are done")
        return NNClassifier(layers, rng=5).fit(**given, checkpoint=checkpoint, n_epochs=n_epochs, resume=True)


if __name__ == "__main__":
    kind, checkpoint, *more = sys.argv[1:]
    n_epochs = int(more[1]) if len(more) > 1 else 3
    if kind in ("mlp", "hdf"):
        with engine.quick_compile():
            finished = run(kind, checkpoint, n_epochs)
    else:
        finished = run(kind, checkpoint, n_epochs)
    if more:
        Path(more[0]).write_bytes(pickle.dumps(digests(finished)))
