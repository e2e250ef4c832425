"""The reader of folders of images."""

from pathlib import Path

import numpy as np

from arignote.data.reader import ArrayReader, Reader
from arignote.util import checks

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})


class ImageFolderReader(Reader):
    """Images in one folder per class; the name of the folder is the name of the class.

    Images are loaded on demand, as float32 in [0, 1] of shape (channels, rows, columns). Needs Pillow:
    ``pip install "arignote[images]"``.

    Parameters
    ----------
    folder : str or Path
        The parent of the class folders, which contain .png, .jpg and other images at any depth.
    size : int or pair of int, optional
        Resize all images to this size, (rows, columns). By default all images must have the same size.
    gray : bool, optional
        Convert images to one grayscale channel.

    Attributes
    ----------
    classes : list of str
        Sorted names of the classes; label k is ``classes[k]``.
    labels : ArrayReader
        The label of each image, for `fit` or `Data`.
    paths : list of Path
        The file of each row, sorted by class and name.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If the folder contains no images, or an image cannot be read or has another size.

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

    def __init__(self, folder: str | Path, size: int | tuple[int, int] | None = None, gray: bool = False):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"got the folder {str(folder)!r}; need one that exists; try another path")
        found = {
            part.name: sorted(p for p in part.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            for part in sorted(self.folder.iterdir())
            if part.is_dir()
        }
        self.classes = [name for name, paths in found.items() if paths]
        if not self.classes:
            raise ValueError(f"{folder}: got no images; need one folder of images for each class; try another path")
        self.paths = [path for name in self.classes for path in found[name]]
        self.labels = ArrayReader(np.repeat(np.arange(len(self.classes)), [len(found[name]) for name in self.classes]))
        self.n_rows = len(self.paths)
        self._mode = "L" if gray else "RGB"
        self._size = None if size is None else checks.pair(size, "size")
        self.shape = self._read(self.paths[0]).shape

    def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
        for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
            yield self.take(np.arange(first, last))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the images of these rows, in this order."""
        batch = np.empty((len(rows), *self.shape), np.float32)
        for i, row in enumerate(rows):
            image = self._read(self.paths[row])
            if image.shape != self.shape:
                raise ValueError(
                    f"{self.paths[row]}: got an image of {image.shape[1]}x{image.shape[2]} pixels in row {row}; need "
                    f"{self.shape[1]}x{self.shape[2]}, like the first; try size={self.shape[1:]}"
                )
            batch[i] = image
        return batch

    def _read(self, path: Path) -> np.ndarray:
        try:
            from PIL import Image
        except ImportError as error:
            raise ImportError(
                f"got the image {str(path)!r}; need Pillow to read it; try: pip install 'arignote[images]'"
            ) from error
        try:
            with Image.open(path) as file:
                image = file.convert(self._mode)
                if self._size is not None:
                    image = image.resize(self._size[::-1], Image.Resampling.BILINEAR)
                pixels = np.asarray(image, np.float32) / np.float32(255)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"{path}: got a damaged image ({error}); need an intact one; try removing it") from error
        return pixels[np.newaxis] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def __str__(self) -> str:
        return f"the images in {self.folder}"
