"""Train a network on MNIST: python examples/mnist.py --net seed --epochs 50.

Prints the network, the losses of each epoch and the test error, and writes a plot of the learning curves. To resume a
run that was stopped, run the same command again.
"""

import argparse
import time
from pathlib import Path

from arignote.cluster import Cluster
from arignote.data import files
from arignote.examples.mnist import NETS, fit
from arignote.nnets import nets
from arignote.sample_data import mnist
from arignote.util import plotting


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
    name, define, _, _ = NETS[arguments.net]
    checkpoint = arguments.checkpoint or f"runs/{arguments.net}"
    classifier = nets.NNClassifier(define(), name=name, rng=arguments.rng)
    started = time.monotonic()
    workers = Cluster(arguments.workers, arguments.cluster) if arguments.workers else None
    fit(
        classifier, arguments.net, arguments.epochs, batch_size=arguments.batch_size, checkpoint=checkpoint,
        resume=not arguments.fresh, workers=workers, shards=arguments.shards,
    )  # fmt: skip
    _, _, test = files.read_pickle(mnist)
    print(f"Trained to epoch {classifier.trainer.progress.epoch} in {time.monotonic() - started:.0f} s.")
    print(f"Test error of the network with the best validation loss: {100 * (1 - classifier.score(*test)):.2f} %")
    plot = Path(arguments.plot or f"{checkpoint}.png")
    plotting.learning_curves(classifier, plot)
    print(f"Learning curves: {plot}")


if __name__ == "__main__":
    main()
