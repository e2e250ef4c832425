"""The reader of image files, which are decoded as they are needed."""

import copy
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from arignote.data.formats.errors import naming
from arignote.data.reader import Reader
from arignote.util import checks

logger = logging.getLogger(__name__)

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
MAX_PIXELS = 2**26
DRAWN_BY_PROGRAMS = frozenset({"EPS"})
"""Formats for which Pillow starts another program, which does what the file says; whatever the suffix of the file."""

CHECKS = ("header", "all")
SHOW_AFTER, SHOW_EVERY = 1.0, 3.0  # seconds

# Pillow's modes of gray images. Those of 16 and 32 bits it cannot convert to 8 bits without clipping them.
DEEP_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N", "F"})
GRAY_MODES = frozenset({"1", "L", "LA"}) | DEEP_MODES


class Header(NamedTuple):
    """What the header of an image file says: the size, (rows, columns), and whether the image is gray."""

    size: tuple[int, int]
    is_gray: bool


class ImageReader(Reader):
    """Image files, one a row, loaded on demand as float32 in [0, 1] of shape (channels, rows, columns).

    Values of 8 and 16 bits are divided by the largest possible one; floating-point images must lie in [0, 1] already.
    Transparency is ignored. Needs Pillow: ``pip install "arignote[images]"``.

    Parameters
    ----------
    paths : sequence of str or Path
        The files.
    size : int or pair of int, optional
        Resize all images to this size, (rows, columns). By default all images must have the same size.
    gray : bool, optional
        Load images with one channel (True) or with three (False). By default with one if the first image is gray; then
        all must be.
    check : {"header", "all"}, optional
        What `verify` reads of each file: its header (the default), or all of it.
    max_pixels : int, optional
        Refuse an image of more pixels, rows times columns, before it is decoded: by default 2**26, about 8000 x 8000. A
        small file can hold a large image of one color.

    Attributes
    ----------
    paths : list of Path
        The file of each row.

    Raises
    ------
    ValueError
        If there are no images, or one cannot be read, or differs from the first in size or color; the message names
        the file.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("L", (8, 6), 255).save(f"{folder}/1.png")
    ...     images = ImageReader([f"{folder}/1.png"])
    ...     print(images.shape, images.take([0]).max(), ImageReader(images.paths, size=4, gray=False).shape)
    (1, 6, 8) 1.0 (3, 4, 4)
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        size: int | tuple[int, int] | None = None,
        gray: bool | None = None,
        check: str = "header",
        max_pixels: int = MAX_PIXELS,
    ):
        self.max_pixels = checks.whole_number(max_pixels, "max_pixels")
        self.paths = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        if not self.paths:
            raise ValueError("got no images; need at least one; try another path")
        if gray not in (None, True, False):
            raise ValueError(f"got gray={gray!r}; need True, False or None; try gray=True")
        self.size = None if size is None else checks.pair(size, "size")
        self.gray, self.check = gray, checks.choice(check, CHECKS, "check")
        self.n_rows = len(self.paths)
        self._first = read_header(self.paths[0])
        self._require_small(self._first, 0)
        is_gray = self._first.is_gray if gray is None else gray
        self.shape = (1 if is_gray else 3, *(self.size or self._first.size))
        self._adapted: dict[tuple[int, ...], ImageReader] = {}

    def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
        for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
            yield self.take(np.arange(first, last))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the images of these rows, in this order."""
        batch = np.empty((len(rows), *self.shape), np.float32)
        for i, row in enumerate(rows):
            batch[i] = self._read(row)
        return batch

    def verify(self) -> None:
        """Check all images: by their headers, which is fast, or by decoding them, with ``check="all"``.

        `fit` calls this before it trains. The progress is logged where it takes longer than a second.

        Raises
        ------
        ValueError
            The message names the first file that is damaged, or differs from the first image in size or color.
        """
        due = time.monotonic() + SHOW_AFTER
        for row, path in enumerate(self.paths):
            if time.monotonic() >= due:
                logger.info("Checking images: %s of %s", f"{row:,}", f"{self.n_rows:,}")
                due = time.monotonic() + SHOW_EVERY
            if self.check == "all":
                self._read(row)
            else:
                self._require_fitting(read_header(path), row)

    def for_shape(self, shape: Sequence[int]) -> "ImageReader":
        """Return a reader of these images for a network that takes examples of this shape.

        Where `gray` was not given, the network's number of channels decides; where `size` was not given, images are
        resized to the network's rows and columns.

        Parameters
        ----------
        shape : sequence of int
            (channels, rows, columns). For any other number of axes, this reader is returned.
        """
        shape = tuple(shape)
        if len(shape) != 3 or shape == self.shape:
            return self
        if shape not in self._adapted:
            self._adapted[shape] = self._adapt(*shape)
        return self._adapted[shape]

    def _adapt(self, channels: int, rows: int, columns: int) -> "ImageReader":
        new = copy.copy(self)
        new._adapted = {}
        if self.gray is None and channels in (1, 3):
            new.shape = (channels, *new.shape[1:])
        if self.size is None:
            new.shape = (new.shape[0], rows, columns)
        if new.shape[1:] != self.shape[1:]:
            sizes = tuple("x".join(map(str, size)) for size in (self.shape[1:], new.shape[1:]))
            logger.info("images of %s pixels are resized to %s", *sizes)
        if new.shape[0] < self.shape[0]:
            logger.info("color images are converted to gray ones")
        return new

    def _read(self, row: int) -> np.ndarray:
        """Return an image, of this reader's shape."""
        return read_image(
            self.paths[row], self.shape[0] == 1, self.shape[1:], lambda header: self._require_fitting(header, row)
        )

    def _require_fitting(self, header: Header, row: int) -> None:
        """Refuse an image of another size or color than the first, where `size` or `gray` does not say what to do."""
        self._require_small(header, row)
        first, path = self._first, self.paths[row]
        if self.size is None and header.size != first.size:
            raise ValueError(
                f"{path}: got an image of {header.size[0]}x{header.size[1]} pixels in row {row}; need "
                f"{first.size[0]}x{first.size[1]}, like the first; try size={self.shape[1:]}"
            )
        if self.gray is None and self.shape[0] == 1 and first.is_gray and not header.is_gray:
            raise ValueError(
                f"{path}: got a color image in row {row}; need a gray one, like the first; "
                "try gray=True to convert all images, or gray=False to load them with three channels"
            )

    def _require_small(self, header: Header, row: int) -> None:
        rows, columns = header.size
        if rows * columns > self.max_pixels:
            raise ValueError(
                f"{self.paths[row]}: got an image of {rows}x{columns} pixels in row {row}; need at most "
                f"{self.max_pixels}, since it has to be decoded; try max_pixels={rows * columns}, or smaller images"
            )

    def __str__(self) -> str:
        return f"the images {self.paths[0]}, ..." if self.n_rows > 1 else f"the image {self.paths[0]}"


def is_image(path: Path) -> bool:
    """Return True for the name of an image file."""
    return path.suffix.lower() in SUFFIXES


def read_header(path: Path) -> Header:
    """Return what the header of an image file says, without decoding the image."""
    pillow = _pillow(path)
    with naming(path, "an image"), pillow.open(path) as image:
        return _header(image)


def read_image(path: Path, gray: bool, size: tuple[int, ...], check: Callable[[Header], None]) -> np.ndarray:
    """Return the pixels of an image file, in [0, 1], float32 of shape (1 or 3, rows, columns).

    Parameters
    ----------
    path : Path
    gray : bool
        One channel instead of three.
    size : pair of int
        The rows and columns to resize to.
    check : callable
        Is given the header before the image is decoded, and raises an error that names the file if it is refused.
    """
    pillow = _pillow(path)
    with naming(path, "an image"), pillow.open(path) as image:
        header, is_deep = _header(image), image.mode in DEEP_MODES
        check(header)
        image.load()
        if not is_deep:
            image = image.convert("L" if gray else "RGB")
    if is_deep:
        image = pillow.fromarray(_in_unit_range(image, path))
    with naming(path, "an image"):
        if header.size != tuple(size):
            image = image.resize(tuple(size)[::-1], pillow.Resampling.BILINEAR)
        pixels = np.asarray(image, np.float32)
    if not is_deep:
        pixels = pixels / np.float32(255)
    if pixels.ndim == 3:
        return pixels.transpose(2, 0, 1)
    return np.broadcast_to(pixels, (1 if gray else 3, *pixels.shape))


def _header(image: Any) -> Header:
    if image.format in DRAWN_BY_PROGRAMS:
        raise ValueError(f"got the format {image.format}, which another program would have to draw")
    return Header((image.height, image.width), image.mode in GRAY_MODES)


def _in_unit_range(image: Any, path: Path) -> np.ndarray:
    """Return the pixels of a gray image of more than 8 bits as float32 in [0, 1]."""
    pixels, largest = np.asarray(image, np.float32), 1 if image.mode == "F" else 65535
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= largest):
        raise ValueError(
            f"{path}: got pixels from {low:g} to {high:g}; need values from 0 to {largest}, which are scaled to "
            "[0, 1]; try scaling the images, and saving them with 8 or 16 bits"
        )
    return pixels / np.float32(largest)


def _pillow(path: Path) -> Any:
    """Return the module `PIL.Image`."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            f"got the image {str(path)!r}; need Pillow to read it; try: pip install 'arignote[images]'"
        ) from error
    return Image
