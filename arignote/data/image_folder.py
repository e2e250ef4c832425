"""The reader of folders of images."""

import logging
from pathlib import Path

import numpy as np

from arignote.data.images import MAX_PIXELS, ImageReader, is_image
from arignote.data.reader import ArrayReader

logger = logging.getLogger(__name__)


class ImageFolderReader(ImageReader):
    """Images in one folder per class; the name of the folder is the name of the class.

    Images are loaded on demand, as float32 in [0, 1] of shape (channels, rows, columns). Hidden files and folders,
    whose names start with a dot, are ignored; links to files are followed. Needs Pillow:
    ``pip install "arignote[images]"``.

    Parameters
    ----------
    folder : str or Path
        The parent of the class folders, which contain .png, .jpg and other images at any depth.
    size : int or pair of int, optional
        Resize all images to this size, (rows, columns). By default all images must have the same size.
    gray : bool, optional
        Load images with one channel (True) or with three (False). By default with one if the first image is gray; then
        all must be.
    check : {"header", "all"}, optional
        What `verify` reads of each file: its header (the default), or all of it.
    max_pixels : int, optional
        Refuse an image of more pixels, rows times columns, before it is decoded: by default 2**26, about 8000 x 8000.

    Attributes
    ----------
    classes : list of str
        Sorted names of the classes.
    labels : ArrayReader
        The class of each image, for `fit` or `Data`: its name.
    paths : list of Path
        The file of each row, sorted by class and name.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If the folder contains no images, or an image cannot be read, or differs from the first in size or color.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cats", "dogs"):
    ...         (Path(folder) / name).mkdir()
    ...         Image.new("RGB", (8, 6)).save(f"{folder}/{name}/1.png")
    ...     images = ImageFolderReader(folder)
    ...     print(images.classes, images.shape, next(images.iter_epoch(2)).shape)
    ['cats', 'dogs'] (3, 6, 8) (2, 3, 6, 8)
    """

    def __init__(
        self,
        folder: str | Path,
        size: int | tuple[int, int] | None = None,
        gray: bool | None = None,
        check: str = "header",
        max_pixels: int = MAX_PIXELS,
    ):
        self.folder = Path(folder)
        found = class_folders(self.folder)
        if not found:
            raise ValueError(f"{folder}: got no images; need one folder of images for each class; try another path")
        self.classes = list(found)
        # Objects, so that each name is stored once.
        names = np.array(self.classes, dtype=object)
        self.labels = ArrayReader(np.repeat(names, [len(paths) for paths in found.values()]))
        super().__init__([path for paths in found.values() for path in paths], size, gray, check, max_pixels)
        _tell_of_links(self.folder, self.paths)

    def __str__(self) -> str:
        return f"the images in {self.folder}"


def _tell_of_links(folder: Path, paths: list[Path]) -> None:
    """Say in the log if links, of images or of class folders, lead to images that are elsewhere: they are read."""
    inside, linked = folder.resolve(), {path.name for path in folder.iterdir() if path.is_symlink()}
    links = [path for path in paths if path.is_symlink() or path.relative_to(folder).parts[0] in linked]
    outside = [path for path in links if not path.resolve().is_relative_to(inside)]
    if outside:
        logger.info("%d of the images are links that lead out of %s, such as %s.", len(outside), folder, outside[0])


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """Return the images of each folder inside a folder that has some, at any depth, sorted."""
    found = {path.name: images_in(path, "**/*") for path in _sorted(folder) if path.is_dir()}
    return {name: paths for name, paths in found.items() if paths and not name.startswith(".")}


def images_in(folder: Path, pattern: str = "*") -> list[Path]:
    """Return the images in a folder, sorted; by default only those directly inside it."""
    return [path for path in _sorted(folder, pattern) if is_image(path) and not _is_hidden(path, folder)]


def _sorted(folder: Path, pattern: str = "*") -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"got the folder {str(folder)!r}; need one that exists; try another path")
    return sorted(folder.glob(pattern))


def _is_hidden(path: Path, folder: Path) -> bool:
    """Return True if a path inside a folder is no file, or is inside a hidden folder."""
    return not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts)
