"""What ``arignote predict`` reads and writes: examples by file or row, and a table of their classes."""

import csv
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arignote.data.dataset import Data, as_reader, read_data
from arignote.data.image_folder import ImageFolderReader, class_folders, images_in
from arignote.data.images import ImageReader, is_image, read_header
from arignote.nnets import definitions
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
    folders = list(class_folders(paths[0])) if len(paths) == 1 and paths[0].is_dir() else []
    if folders:
        images, labels = _class_folders(paths[0], folders, classifier, with_labels, settings)
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
    folder: Path, found: list[str], classifier: NNClassifier, with_labels: bool, settings: dict[str, Any]
) -> tuple[ImageReader, np.ndarray | None]:
    """Return the images of a folder by class, and the network's numbers of their classes."""
    if images_in(folder):
        raise ValueError(f"got images in {folder} and in folders inside it; need one or the other; try {folder}/*.png")
    if not with_labels:
        return ImageFolderReader(folder, **settings), None
    images = ImageFolderReader(folder, **settings, classes=_folder_classes(folder, found, classifier))
    return images, classifier.network.output_layer.prepare_labels(images.labels.array)


def _folder_classes(folder: Path, found: list[str], classifier: NNClassifier) -> list[str] | None:
    """Return the names of the network's classes if the names of folders are such; None if they are only numbered."""
    known = getattr(classifier, "classes_", None)
    if known is not None:
        names = [str(name) for name in known]
        if isinstance(known[0], str) or set(found) <= set(names):
            return names
    n_classes = classifier.network.output_layer.n_classes
    if len(found) != n_classes:
        raise ValueError(
            f"{folder}: got {len(found)} class folders for a network of {n_classes} classes that have no names; need "
            "a folder for each class to number them; try --no-labels"
        )
    return None


def _read_table(source: str, classifier: NNClassifier, with_labels: bool) -> Examples:
    """Return the examples in a file of features, or of features and labels; the last of three pairs are for testing."""
    if not with_labels or source.endswith(".npy"):
        features = as_reader(source)
        return Examples(features, None, "row", range(features.n_rows))
    content = read_data(source)
    data = Data(*(content[-1] if len(content) == 3 else content))  # checks that there are as many labels as rows
    labels = np.concatenate([rows for rows, _ in Data(data.labels).iter_epoch(batch_size=READ_ROWS)])
    numbers = classifier.network.output_layer.prepare_labels(_class_numbers(labels, classifier))
    return Examples(data.features, numbers, "row", range(data.n_rows))


def _class_numbers(labels: np.ndarray, classifier: NNClassifier) -> np.ndarray:
    """Return the numbers of classes that labels name; labels that are no names are class numbers already."""
    known = getattr(classifier, "classes_", None)
    numbers = {} if known is None else {name: k for k, name in enumerate(np.asarray(known).tolist())}
    if labels.ndim != 1 or not set(labels.tolist()) <= set(numbers):
        return labels
    return np.array([numbers[label] for label in labels.tolist()])


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
        Its `classes_` are the names of the classes, if it has them; otherwise they are numbers.
    probabilities : array of shape (n, n_classes) or None
        What to write instead of the classes.
    decided : array of shape (n,) or (n, n_classes)
        The class numbers, or 0 and 1 for each of several labels.
    """
    known = getattr(classifier, "classes_", None)
    classes = np.arange(classifier.network.output_layer.n_classes) if known is None else np.array(list(known))
    values = probabilities
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
