"""The command ``arignote``: train, predict, inspect checkpoints, and check the installation.

Exit codes: 0, success; 1, error; 2, invalid command line; 130, stopped by Ctrl-C; 143, stopped by SIGTERM. In the last
two cases, the checkpoint has the progress so far.
"""

import argparse
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from arignote import __version__
from arignote.util import netlog

CTRL_C = 130
EXAMPLES = """
examples:
  arignote train mnist.yaml --data mnist.h5 --valid 0.2 --checkpoint runs/mnist
        starts training; the same command resumes a run that was stopped
  arignote predict runs/mnist --data new.npy --output classes.csv
  arignote show runs/mnist --plot curves.png
  arignote doctor

example of a configuration, in YAML or JSON:
  name: MNIST
  rng: 42
  layers:
    - [InputImageLayer, {n_images: 1, n_pixels: 28}]
    - [FCLayer, {n_units: 400, activation: prelu_shelf, l2: 1e-3}]
    - [DropoutLayer, {dropout_p: 0.5}]
    - [ClassificationOutputLayer, {n_classes: 10}]
  fit: {n_epochs: 50, batch_size: 128, sgd_type: nag}
  shuffle: true                    # the default; false keeps the order of the rows
  augmentation: {shift: 3}         # functions of arignote.image.augment and their arguments
  early_stopping: {patience: 10}   # arguments of arignote.nnets.callbacks.EarlyStopping
  record: runs/mnist.csv           # write the history to a table

with a folder of images by class (by default images are read as the InputImageLayer takes them):
  size: [24, 32]                   # resize all images to these rows and columns; default: all have the same size
  gray: false                      # true: one channel; false: three
  check: all                       # decode all images before training; default: header
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    given = make_parser().parse_args(arguments)
    try:
        return given.run(given)
    except (ValueError, TypeError, OSError, ImportError, ArithmeticError, RuntimeError) as error:
        if isinstance(error, BrokenPipeError):  # the reader of a pipe has closed it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"arignote: {error}", file=sys.stderr)
        return 1


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="arignote",
        description="Train and apply neural networks.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"arignote {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    part = commands.add_parser("train", help="train a network, or resume training")
    part.add_argument("config", help="YAML or JSON file of the network and the training settings (see arignote --help)")
    part.add_argument("--data", required=True, help="HDF5 file, CSV file, pickle, or folder of images by class")
    part.add_argument("--valid", help="validation data: a file or folder, or the fraction of the data to hold out")
    part.add_argument("--test", help="test data: a file or folder, or the fraction of the data to hold out")
    part.add_argument(
        "--checkpoint", required=True, help="DIR/STEM of the checkpoints to write; or DIR/ for a name with the date"
    )
    part.add_argument("--epochs", type=int, help="total number of epochs; overrides the configuration")
    part.add_argument("--fresh", action="store_true", help="start over even if there is a checkpoint")
    part.add_argument("--keep", action="store_true", help="resume with the stored settings where the file has others")
    part.add_argument("--quiet", action="store_true", help="show no progress bar and no validation results")
    part.set_defaults(run=train)

    _add_predict(commands)

    part = commands.add_parser("show", help="show the network, the training history and the metadata in a checkpoint")
    part.add_argument("checkpoint", help="DIR/STEM, or a file")
    part.add_argument("--plot", help="plot the learning curves to this file")
    part.set_defaults(run=show)

    part = commands.add_parser("doctor", help="check the installation and suggest fixes")
    part.set_defaults(run=doctor)
    return parser


def _add_predict(commands: Any) -> None:
    part = commands.add_parser("predict", help="predict the classes of examples")
    part.add_argument("checkpoint", help="a file, or DIR/STEM, of which the best network is used if there is one")
    part.add_argument(
        "--data", required=True, nargs="+", action="extend", metavar="PATH",
        help="as for train; or a .npy file of features; or images: any number of files, or a folder that contains some",
    )  # fmt: skip
    part.add_argument("--no-labels", action="store_true", help="the file has only features; or ignore class folders")
    part.add_argument("--output", help="file.csv, or file.npy without a header (default: the table on standard output)")
    part.add_argument("--proba", action="store_true", help="write the probability of each class")
    part.set_defaults(run=predict)


def train(given: argparse.Namespace) -> int:
    """Train a network, or resume training."""
    from arignote import configuration
    from arignote.checkpoint.format import checkpoint_read
    from arignote.checkpoint.names import in_folder, to_resume
    from arignote.nnets.nets import NNClassifier
    from arignote.nnets.train.inputs import LEGACY
    from arignote.nnets.train.resume import ResumeWarning

    config = configuration.read(given.config)
    fit = dict(config.get("fit", {}))
    if given.epochs is not None:
        fit["n_epochs"] = given.epochs
    fit |= {"augmentation": configuration.augmentation(config), "callbacks": configuration.callbacks(config)}
    checkpoint = in_folder(given.checkpoint, resume=not given.fresh)
    if checkpoint != given.checkpoint and not given.quiet:
        print(f"arignote: checkpoint {checkpoint}", file=sys.stderr)
    fit |= {"shuffle": config.get("shuffle"), "checkpoint": checkpoint, "resume": not given.fresh}
    found = None if given.fresh else to_resume(checkpoint)
    stored = None if found is None else checkpoint_read(found)
    if stored is not None and given.keep:
        classifier = stored
    else:
        classifier = NNClassifier(config["layers"], name=config.get("name", "network"), rng=config.get("rng"))
    with netlog.quiet() if given.quiet else nullcontext(), _plain_warnings():
        netlog.ensure_visible()
        warnings.simplefilter("default" if given.keep else "error", ResumeWarning)
        X, y, valid, test = _data(given, config, classifier)
        if stored is not None and stored.trainer is not None and stored.trainer.settings.order == LEGACY:
            shuffle, size = bool(fit.pop("shuffle")), stored.trainer.settings.batch_size
            X, y, valid, test = _as_before_version_3(X, y, valid, test, size, shuffle)
        try:
            classifier.fit(X, y, valid=valid, test=test, **fit)
        except ResumeWarning as difference:
            raise ValueError(f"{given.config}: {difference}, or --keep to train with the stored values") from difference
    return CTRL_C if classifier.trainer.stopped_by == "Ctrl-C" else 0


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show warnings as messages of the command, without a line of code."""
    earlier = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"arignote: {message}\n"
    try:
        with warnings.catch_warnings():
            yield
    finally:
        warnings.formatwarning = earlier


def _data(given: argparse.Namespace, config: Mapping[str, Any], classifier: Any) -> tuple:
    """Return the arguments X, y, valid and test of `fit`."""
    from arignote.configuration import OF_IMAGES
    from arignote.data.dataset import read_data

    settings = {name: config[name] for name in OF_IMAGES if name in config}
    parts = [_part(given.valid), _part(given.test)]
    if Path(given.data).is_dir():
        images = _class_folders(given.data, settings, classifier)
        return (images, images.labels, *(_held_out(part, settings, classifier) for part in parts))
    for name in settings:
        raise ValueError(
            f"{given.config}: got the entry {name!r} with {given.data}; need a folder of images; try removing the entry"
        )
    content = read_data(given.data)
    if len(content) == 3:  # training, validation and test data
        content, *others = content
        parts = [other if part is None else part for part, other in zip(parts, others, strict=True)]
    return (*content, *parts)


def _as_before_version_3(X: Any, y: Any, valid: Any, test: Any, batch_size: int, shuffle: bool) -> tuple:
    """Return the arguments of `fit` with the rows in the order in which earlier versions of this command had them."""
    from arignote.data.dataset import DataWithHoldoutPartitions

    valid_frac, test_frac = (part if isinstance(part, float) else 0.0 for part in (valid, test))
    parts = DataWithHoldoutPartitions(X, y, batch_size, valid_frac, test_frac, shuffle=shuffle)
    held_out = (own if given is None or isinstance(given, float) else given
                for own, given in ((parts.valid, valid), (parts.test, test)))  # fmt: skip
    return parts.train, None, *held_out


def _class_folders(folder: str, settings: Mapping[str, Any], classifier: Any) -> Any:
    """Return the reader of a folder of images by class, for the shape of the network's images if they have one."""
    from arignote.data.image_folder import ImageFolderReader
    from arignote.nnets import definitions

    reader = ImageFolderReader(folder, **settings)
    return reader.for_shape(definitions.known_shape(classifier.layer_defs) or ())


def _held_out(part: float | str | None, settings: Mapping[str, Any], classifier: Any) -> Any:
    """Return the images and labels of a folder; anything else as `fit` takes it."""
    if not isinstance(part, str) or not Path(part).is_dir():
        return part
    images = _class_folders(part, settings, classifier)
    return images, images.labels


def _part(text: str | None) -> float | str | None:
    """Return the fraction or the file name in an argument."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def predict(given: argparse.Namespace) -> int:
    """Write the predicted classes or probabilities; with labels, also report the error rate."""
    from arignote import prediction
    from arignote.checkpoint.format import checkpoint_read
    from arignote.checkpoint.names import find
    from arignote.data import atomic

    if given.output is not None:
        if not given.output.endswith((".csv", ".npy")):
            raise ValueError(f"got --output {given.output!r}; need a name ending in .csv or .npy; try classes.csv")
        atomic.require_writable(given.output)
    classifier = checkpoint_read(find(given.checkpoint, "best_model", "last"))
    examples = prediction.read(given.data, classifier, not given.no_labels)
    output = classifier.network.output_layer
    found = classifier.predict_proba(examples.features)
    decided = output.decide(found)
    if examples.labels is not None:
        score = output.describe_score(output.score(decided, examples.labels), len(found))
        print(f"{score} by {classifier.weights}", file=sys.stderr)
    prediction.write(given.output, examples, classifier, found if given.proba else None, decided)
    return 0


def show(given: argparse.Namespace) -> int:
    """Print a summary of a checkpoint."""
    from arignote.checkpoint.format import checkpoint_read

    classifier, metadata = checkpoint_read(given.checkpoint, get_metadata=True)
    print(classifier)
    trainer = classifier.trainer
    if trainer is not None:
        progress = trainer.progress
        print(f"trained by {trainer.sgd}")
        where = f"epoch {progress.epoch} of {trainer.settings.n_epochs}, minibatch {progress.batch}"
        print(f"{where}; {progress.seconds:.0f} s")
        print(f"has {classifier.weights}")
        for entry in trainer.history[-5:]:
            print("  " + ", ".join(f"{name} {value:.6g}" for name, value in entry.items()))
        if trainer.best_params is not None:
            print(f"best validation loss {progress.best_loss:.6g}, at epoch {progress.best_epoch:g}")
    for name, value in metadata.items():
        print(f"{name}: {value}")
    if given.plot:
        from arignote import plotting

        plotting.learning_curves(classifier, given.plot)
    return 0


# Optional packages: name -> purpose, and the extra that installs it.
WANTED = {
    "h5py": ("HDF5 files", "hdf5"),
    "pandas": ("tables in HDF5 files", "hdf5"),
    "PIL": ("folders of images", "images"),
    "matplotlib": ("plots", "plot"),
    "s3fs": ("checkpoints on S3", "s3"),
    "ray": ("workers on many machines", "ray"),
    "onnx": ("export to ONNX", "export"),
    "safetensors": ("safetensors files", "export"),
    "sklearn": ("the scikit-learn estimator", "sklearn"),
    "yaml": ("configurations in YAML", "command"),
}


def doctor(given: argparse.Namespace) -> int:
    """Check the installation and suggest fixes; return 1 if networks cannot be trained, or only slowly."""
    print(f"arignote {__version__}, Python {sys.version.split()[0]}")
    try:
        from arignote import engine, native
    except ImportError as error:
        print(f"engine: none. {error}")
        return 1
    for name, value in engine.describe().items():
        print(f"{name}: {value}")
    print(f"threads: {native.threads()} (set ARIGNOTE_THREADS to change)")
    troubles = []
    if engine.describe()["backend"] == "c":
        if shutil.which("g++") is None:
            troubles.append("no g++, without which training is slow: apt-get install g++")
        elif not native.available():
            troubles.append("the kernels could not be compiled; see the warning above")
        elif not native.has("convolve"):
            packages = "onednn-cpu-gomp onednn-devel-cpu-gomp"
            troubles.append(f"no oneDNN, without which convolutions are slow: pip install {packages}")
    for package, (purpose, extra) in WANTED.items():
        if util.find_spec(package) is None:
            print(f"not installed: {package}, for {purpose}: pip install 'arignote[{extra}]'")
    for trouble in troubles:
        print(f"to fix: {trouble}")
    if not troubles:
        print("everything works" if _trains() else "to fix: a small network could not be trained")
    return 1 if troubles else 0


def _trains() -> bool:
    """Train a small network; return True if its predictions are finite."""
    from arignote.nnets.nets import NNClassifier, define_mlp

    X = np.eye(8, dtype=np.float32)
    classifier = NNClassifier(define_mlp(2, [8]), rng=0)
    with netlog.quiet():
        classifier.fit(X, np.arange(8) % 2, n_epochs=50, batch_size=4, sgd_type="adam")
    return bool(np.isfinite(classifier.predict_proba(X)).all())


if __name__ == "__main__":
    sys.exit(main())
