"""Train on Fashion-MNIST from HDF5 files, which are read, shuffled and augmented while the network trains.

The data are in Debian's package dataset-fashion-mnist, and are converted on the first run. For comparison,
``--in-memory`` trains on the same images as arrays. To resume a run that was stopped, run the same command again.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from arignote.data import files
from arignote.data.readers import Data, DataWithHoldoutPartitions, HDFReader, HDFWriter
from arignote.image import augment
from arignote.nnets import nets

SOURCE = Path("/usr/share/datasets/fashion-mnist")
AUGMENTATION = augment.pipeline(augment.shift(1), augment.flip())
LR_RULE = {"rule": "stalled", "initial_value": 0.1, "multiply_by": 0.25, "interval": 4}
MOMENTUM_RULE = {"rule": "stalled", "initial_value": 0.9, "decrease_by": -0.05, "final_value": 0.95, "interval": 4}
INPUT = ["InputImageLayer", {"n_images": 1, "n_pixels": 28}]
NETS = {
    "mlp": [INPUT, *nets.define_mlp(10, [400, 400], activation="prelu_shelf", dropout_p=[0, 0.25, 0.25], l2_reg=1e-5)],
    "conv": nets.define_cnn(10, (28, 28), [32, 64], 3, 2, [400], [0, 0, 0, 0.5], "prelu"),
}


def convert(source: Path, part: str, target: Path) -> None:
    """Write the images and labels of one part, "train" or "t10k", to an HDF5 file, batch by batch."""
    images = files.read_idx(source / f"{part}-images-idx3-ubyte.gz")[:, np.newaxis]
    labels = files.read_idx(source / f"{part}-labels-idx1-ubyte.gz")
    with HDFWriter(target, compression="blosc") as writer:
        for start in range(writer.n_rows, len(images), 1000):
            writer.append(images=images[start : start + 1000], labels=labels[start : start + 1000])


def to_unit(X: np.ndarray) -> np.ndarray:
    """Scale bytes to [0, 1]."""
    return np.multiply(X, np.float32(1 / 255), dtype=np.float32)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=SOURCE, help=f"folder of the data (default: {SOURCE})")
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="output folder (default: runs)")
    parser.add_argument("--net", choices=NETS, default="mlp", help="the network to train (default: mlp)")
    parser.add_argument("--epochs", type=int, default=30, help="total number of epochs (default: 30)")
    parser.add_argument("--in-memory", action="store_true", help="train on arrays in memory instead of the files")
    parser.add_argument("--fresh", action="store_true", help="start over even if there is a checkpoint")
    parser.add_argument("--rng", type=int, default=42, help="seed of everything random (default: 42)")
    return parser.parse_args()


def main() -> None:
    """Convert the data, train and test."""
    arguments = parse_arguments()
    if not arguments.source.is_dir():
        raise SystemExit(f"got no folder {arguments.source}; need the data; try: apt-get install dataset-fashion-mnist")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    paths = {part: arguments.folder / f"fashion-{part}.h5" for part in ("train", "t10k")}
    for part, path in paths.items():
        convert(arguments.source, part, path)  # resumes if it was stopped; does nothing if the file is complete
    readers = {part: (HDFReader(path, "images"), HDFReader(path, "labels")) for part, path in paths.items()}
    if arguments.in_memory:
        readers = {part: [next(r.iter_epoch(r.n_rows)) for r in pair] for part, pair in readers.items()}
    data = DataWithHoldoutPartitions(*readers["train"], 128, 1 / 6, 0, alter_features=to_unit, shuffle=True)
    test = Data(*readers["t10k"], alter_features=to_unit)

    checkpoint = arguments.folder / f"fashion-{arguments.net}{'-in-memory' if arguments.in_memory else ''}"
    classifier = nets.NNClassifier(NETS[arguments.net], name=f"Fashion-MNIST {arguments.net}", rng=arguments.rng)
    started = time.monotonic()
    classifier.fit(
        data, n_epochs=arguments.epochs, augmentation=AUGMENTATION, checkpoint=checkpoint, sgd_type="nag",
        lr_rule=LR_RULE, momentum_rule=MOMENTUM_RULE, resume=not arguments.fresh,
    )  # fmt: skip
    progress = classifier.trainer.progress
    seconds = time.monotonic() - started
    print(f"Trained to epoch {progress.epoch} in {progress.seconds:.1f} s ({seconds:.1f} s in this run).")
    error = classifier.trainer.evaluate(test)["error"]
    print(f"Test error of the network with the best validation loss: {100 * error:.2f} %")


if __name__ == "__main__":
    main()
