"""What ``arignote predict`` reads and writes: examples by file or row, and a table of their classes."""

import csv
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arignote.data.dataset import Data, as_reader, is_csv, read_data
from arignote.data.formats import read_columns
from arignote.data.image_folder import ImageFolderReader, class_folders, images_in
from arignote.data.images import ImageReader, is_image, read_header
from arignote.nnets import definitions
from arignote.nnets.classes import is_text
from arignote.nnets.nets import NNClassifier

READ_ROWS = 4096


@dataclass
class Examples:
    """Examples to predict the classes of.

    Attributes
    ----------
    features : Reader
    labels : array or None
        As the output layer takes them: class numbers, of shape (n,), or 0 and 1 for each of several labels.
    key : str
        What identifies an example: "file" or "row".
    names : iterable
        The file name or the row number of each.
    """

    features: Any
    labels: np.ndarray | None
    key: str
    names: Iterable


def read(sources: Sequence[str], classifier: NNClassifier, with_labels: bool) -> Examples:
    """Return the examples in images, in a folder of images, in a folder of images by class, or in a table or array.

    Images are read as the network takes them: in its size, and gray or in color.

    Raises
    ------
    FileNotFoundError, ValueError
        If something cannot be read, or its classes are not those of the network; the message names it.
    """
    paths = [Path(source) for source in sources]
    if len(paths) == 1 and not paths[0].is_dir() and not is_image(paths[0]):
        return _read_table(sources[0], classifier, with_labels)
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"got the image {str(path)!r}; need a file that exists; try another path")
    settings = _settings(classifier)
    if len(paths) == 1 and paths[0].is_dir() and class_folders(paths[0]):
        images, labels = _class_folders(paths[0], classifier, with_labels, settings)
    else:
        images, labels = ImageReader(_loose_images(paths), **settings), None
    images.verify()
    size = read_header(images.paths[0]).size
    if settings and size != images.shape[1:]:
        shown = ["x".join(map(str, one)) for one in (size, images.shape[1:])]
        print(f"images of {shown[0]} pixels are resized to {shown[1]}", file=sys.stderr)
    return Examples(images, labels, "file", images.paths)


def _settings(classifier: NNClassifier) -> dict[str, Any]:
    """Return `size` and `gray` of readers of images for a network, if its input layer is one for images."""
    shape = definitions.known_shape(classifier.layer_defs)
    if shape is None or len(shape) != 3:
        return {}
    return {"size": shape[1:], "gray": {1: True, 3: False}.get(shape[0])}


def _loose_images(paths: Sequence[Path]) -> list[Path]:
    """Return the image files that are named, and those directly inside the folders that are named."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir() and class_folders(path):
            raise ValueError(f"got the class folders in {path} among others; need them alone; try several commands")
        images = images_in(path) if path.is_dir() else [path] if is_image(path) else []
        if not images:
            raise ValueError(f"got no images in {path}; need image files, or folders of them; try another path")
        found += images
    return found


def _class_folders(
    folder: Path, classifier: NNClassifier, with_labels: bool, settings: dict[str, Any]
) -> tuple[ImageReader, np.ndarray | None]:
    """Return the images of a folder by class, and the network's numbers of their classes."""
    if images_in(folder):
        raise ValueError(f"got images in {folder} and in folders inside it; need one or the other; try {folder}/*.png")
    if not with_labels:
        return ImageFolderReader(folder, **settings), None
    images = ImageFolderReader(folder, **settings)
    return images, _class_numbers(images, classifier)


def _class_numbers(images: ImageFolderReader, classifier: NNClassifier) -> np.ndarray:
    """Return the network's numbers of the classes of images, by the names of their folders."""
    network, labels = classifier.network, images.labels.array
    if network.classes is not None and is_text(network.classes):
        return network.prepare_labels(labels)
    names = [str(name) for name in classifier.classes_]
    if not set(images.classes) <= set(names):
        if len(images.classes) != len(names):
            raise ValueError(
                f"{images.folder}: got {len(images.classes)} class folders for a network of {len(names)} classes that "
                "have no names; need a folder for each class to number them; try --no-labels"
            )
        names = images.classes
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[name] for name in labels])


def _read_table(source: str, classifier: NNClassifier, with_labels: bool) -> Examples:
    """Return the examples in a file of features, or of features and labels; the last of three pairs are for testing."""
    others = _other_columns(source, classifier)
    if not with_labels or source.endswith(".npy") or others == []:
        features = as_reader(source)
        return Examples(features, None, "row", range(features.n_rows))
    content = read_data(source, label=others[0] if others and len(others) == 1 else None)
    data = Data(*(content[-1] if len(content) == 3 else content))  # checks that there are as many labels as rows
    labels = np.concatenate([rows for rows, _ in Data(data.labels).iter_epoch(batch_size=READ_ROWS)])
    return Examples(data.features, classifier.network.prepare_labels(labels), "row", range(data.n_rows))


def _other_columns(source: str, classifier: NNClassifier) -> list[str] | None:
    """Return the columns of a table beside those that the network was trained on; None if that cannot be told."""
    if not is_csv(source) or not Path(source).is_file():
        return None
    names, n_columns = read_columns(source)
    known = classifier.feature_names_in_
    if names is None or known is None:
        return [] if (n_columns,) == classifier.network.input_layer.input_shape else None
    return [name for name in names if name not in known] if set(known) <= set(names) else None


def write(
    output: str | None, examples: Examples, classifier: NNClassifier, probabilities: np.ndarray | None,
    decided: np.ndarray,
) -> None:  # fmt: skip
    """Write predictions: a table with a header, or an array without one.

    Parameters
    ----------
    output : str or None
        ``*.csv`` or ``*.npy``, or a table on standard output.
    examples : Examples
    classifier : NNClassifier
    probabilities : array of shape (n, n_classes) or None
        What to write instead of the classes.
    decided : array of shape (n,) or (n, n_classes)
        The class numbers, or 0 and 1 for each of several labels.
    """
    classes, values = classifier.classes_, probabilities
    if values is None:
        values = classes[decided] if decided.ndim == 1 else decided
    if output is not None and output.endswith(".npy"):
        np.save(output, values)
        return
    columns = ["class"] if values.ndim == 1 else list(classes)
    with nullcontext(sys.stdout) if output is None else open(output, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([examples.key, *columns])
        for name, row in zip(examples.names, values, strict=True):
            table.writerow([name, *([row] if values.ndim == 1 else [f"{value:.7g}" for value in row])])
