"""Train a network on MNIST: python examples/mnist.py --net seed --epochs 50.

Prints the network, the losses of each epoch and the test error, and writes a plot of the learning curves. To resume a
run that was stopped, run the same command again.
"""

import argparse
import time
from pathlib import Path

from arignote import sample_data
from arignote.cluster import Cluster
from arignote.data import files
from arignote.image import augment
from arignote.nnets import nets
from arignote.util import plotting

LR_RULE = {"rule": "stalled", "initial_value": 0.1, "multiply_by": 0.25, "interval": 5}
MOMENTUM_RULE = {"rule": "stalled", "initial_value": 0.7, "decrease_by": -0.1, "final_value": 0.95, "interval": 5}


def mlp(n_units: int) -> list:
    """Two hidden layers with dropout: the network of the README with 400 units, the small network with 128."""
    return [
        ["FCLayer", {"name": "fc1", "n_units": n_units, "activation": "prelu_shelf", "l2": 0.001}],
        ["DropoutLayer", {"name": "DO-fc1", "dropout_p": 0.5}],
        ["FCLayer", {"name": "fc2", "n_units": n_units, "activation": "prelu_shelf", "l2": 0.001}],
        ["DropoutLayer", {"name": "DO-fc2", "dropout_p": 0.5}],
        ["ClassificationOutputLayer", {"name": "output", "n_classes": 10}],
    ]


def conv() -> list:
    """Three convolutions and two dense layers."""
    return [
        ["InputImageLayer", {"name": "input", "n_images": 1, "n_pixels": [28, 28]}],
        ["ConvLayer", {"name": "conv1", "n_output_maps": 32, "filter_shape": [3, 3], "activation": "prelu"}],
        ["MaxPool2DLayer", {"name": "pool1", "pool_shape": [2, 2]}],
        ["ConvLayer", {"name": "conv2", "n_output_maps": 32, "filter_shape": [2, 2], "activation": "prelu"}],
        ["ConvLayer", {"name": "conv3", "n_output_maps": 32, "filter_shape": [2, 2], "activation": "prelu"}],
        ["MaxPool2DLayer", {"name": "pool3", "pool_shape": [2, 2]}],
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
"""Name on the command line -> title, definition, augmentation, epochs."""


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=NETS, default="seed", help="the network to train (default: seed)")
    parser.add_argument("--epochs", type=int, help="total number of epochs (default: 50; small: 100; conv: 148)")
    parser.add_argument("--batch-size", type=int, default=128, help="examples per minibatch (default: 128)")
    parser.add_argument("--checkpoint", help="DIR/STEM of the checkpoints (default: runs/NET)")
    parser.add_argument("--fresh", action="store_true", help="start over even if there is a checkpoint")
    parser.add_argument("--plot", help="file for the learning curves (default: CHECKPOINT.png)")
    parser.add_argument("--rng", type=int, default=42, help="seed of everything random (default: 42)")
    parser.add_argument("--workers", type=int, help="number of Ray workers (requires pip install '.[ray]')")
    parser.add_argument("--cluster", help="address of a Ray cluster (default: start one on this machine)")
    parser.add_argument("--shards", type=int, help="shards per minibatch (default: 8 with workers, else 1)")
    return parser.parse_args()


def main() -> None:
    """Train, test and plot."""
    arguments = parse_arguments()
    name, define, augmentation, n_epochs = NETS[arguments.net]
    checkpoint = arguments.checkpoint or f"runs/{arguments.net}"
    classifier = nets.NNClassifier(define(), name=name, rng=arguments.rng)
    train, valid, test = files.read_pickle(sample_data.mnist)
    started = time.monotonic()
    arguments_of_fit = {
        "n_epochs": arguments.epochs or n_epochs, "batch_size": arguments.batch_size, "augmentation": augmentation,
        "sgd_type": "nag", "lr_rule": LR_RULE, "momentum_rule": MOMENTUM_RULE, "test_loss": ["nll", "error"],
        "workers": Cluster(arguments.workers, arguments.cluster) if arguments.workers else None,
        "shards": arguments.shards,
    }  # fmt: skip
    classifier.fit(train, valid=valid, test=test, checkpoint=checkpoint, resume=not arguments.fresh, **arguments_of_fit)
    print(f"Trained to epoch {classifier.trainer.progress.epoch} in {time.monotonic() - started:.0f} s.")
    print(f"Test error of the network with the best validation loss: {100 * (1 - classifier.score(*test)):.2f} %")
    plot = Path(arguments.plot or f"{checkpoint}.png")
    plotting.learning_curves(classifier, plot)
    print(f"Learning curves: {plot}")


if __name__ == "__main__":
    main()
