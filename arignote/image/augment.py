"""Augmentation: random, label-preserving transformations of training images.

Each function here returns an augmentation ``f(X, y, epoch, rng)`` for `fit`, which takes a minibatch of images of shape
(n, channels, rows, columns) or (n, rows, columns) and their labels, and returns a new pair. All randomness comes from
`rng`, so that the same minibatch is always transformed in the same way.

The names of the first Arignote are at the end.
"""

import math
from typing import Any

import numpy as np

from arignote.util import checks
from arignote.util.functions import Augmentation, pipeline

__all__ = [
    "alter_training_minibatch",
    "augmentation_pipeline",
    "create_shift_augment",
    "flip",
    "no_augmentation",
    "pipeline",
    "quarter_turns",
    "random_transformation",
    "shift",
]


def shift(max_pixels: int | tuple[int, int], fill: float = 0.0) -> Augmentation:
    """Randomly shift each image by up to `max_pixels` rows and columns in either direction.

    Parameters
    ----------
    max_pixels : int or tuple of int
        The largest shift; two numbers are those of rows and of columns.
    fill : float, optional
        Value of the pixels that are shifted in at the edges, by default 0.

    Examples
    --------
    >>> X = np.ones((1, 1, 3, 3), "float32")
    >>> shifted, _ = shift(1)(X, np.zeros(1), 0, np.random.default_rng(3))
    >>> shifted.shape
    (1, 1, 3, 3)
    """
    if isinstance(max_pixels, list | tuple):
        return _shift_by(*checks.pair(max_pixels, "max_pixels", least=0), fill)
    margin = checks.whole_number(max_pixels, "max_pixels")

    def augment(X, y, epoch, rng):
        return _moved(X, (margin, margin), rng.integers(0, 2 * margin + 1, size=(2, len(X))), fill), y

    return augment


def _shift_by(rows: int, columns: int, fill: float) -> Augmentation:
    def augment(X, y, epoch, rng):
        offsets = [rng.integers(0, 2 * margin + 1, size=len(X)) for margin in (rows, columns)]
        return _moved(X, (rows, columns), offsets, fill), y

    return augment


def _moved(X: np.ndarray, margins: tuple[int, int], offsets: Any, fill: float) -> np.ndarray:
    """Return the part of each image, with margins around it, that begins at an offset of its own."""
    rows, columns = require_images(X).shape[-2:]
    images = X.reshape(len(X), -1, rows, columns)
    (above, beside), (down, right) = margins, offsets
    padded = np.full((*images.shape[:2], rows + 2 * above, columns + 2 * beside), fill, X.dtype)
    padded[:, :, above : above + rows, beside : beside + columns] = images
    # A view of all windows of the padded images; selecting one per image copies each pixel once.
    windows: Any = np.lib.stride_tricks.sliding_window_view(padded, (rows, columns), axis=(2, 3))  # type: ignore
    return windows[np.arange(len(X)), :, down, right].reshape(X.shape)


def flip(horizontal: bool = True, vertical: bool = False) -> Augmentation:
    """Randomly flip each image with probability 0.5.

    Parameters
    ----------
    horizontal : bool, optional
        Flip left to right, by default True.
    vertical : bool, optional
        Flip top to bottom, independently, by default False.
    """
    axes = [axis for axis, enabled in ((-1, horizontal), (-2, vertical)) if enabled]

    def augment(X, y, epoch, rng):
        X = require_images(X)
        for axis in axes:
            chosen = rng.integers(2, size=len(X), dtype=np.int8).astype(bool)
            X = np.where(chosen.reshape(-1, *[1] * (X.ndim - 1)), np.flip(X, axis), X)
        return X, y

    return augment


def quarter_turns() -> Augmentation:
    """Randomly rotate each image by 0, 90, 180 or 270 degrees. Images must be square."""

    def augment(X, y, epoch, rng):
        if require_images(X).shape[-2] != X.shape[-1]:
            raise ValueError(f"got images of {X.shape[-2]}x{X.shape[-1]} pixels; need square ones; try augment.flip()")
        turns = rng.integers(4, size=len(X))
        rotated = X.copy()
        for k in (1, 2, 3):
            rotated[turns == k] = np.rot90(X[turns == k], k, axes=(-2, -1))
        return rotated, y

    return augment


def require_images(X: np.ndarray) -> np.ndarray:
    """Return `X` if it is a batch of images, of 4 or 3 dimensions, else raise ValueError."""
    if X.ndim not in (3, 4):
        raise ValueError(
            f"got a batch of shape {X.shape}; need images of shape (n, channels, rows, columns) or (n, rows, columns); "
            'try ["InputImageLayer", ...] as the first layer'
        )
    return X


# -- the names of the first Arignote ---------------------------------------------------------------------------------


def create_shift_augment(max_shift_x: int, max_shift_y: int | None = None) -> Augmentation:
    """Return an augmentation that shifts images by up to so many columns, and so many rows: by default as many.

    The same as `shift`.
    """
    return shift((max_shift_x if max_shift_y is None else max_shift_y, max_shift_x))


def no_augmentation(X: np.ndarray, y: np.ndarray, epoch: int = 1, rng: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Return a minibatch as it is."""
    return X, y


def random_transformation(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one of the eight images that flips and quarter turns make of a square image, flat or (rows, columns)."""
    side = math.isqrt(image.size)
    if side * side != image.size:
        raise ValueError(
            f"got an image of {image.size} pixels; need a square one; try augment.flip() for others, with "
            '["InputImageLayer", ...] as the first layer'
        )
    square = image.reshape(side, side)
    turned = np.rot90(square, rng.integers(4))
    return (turned.T if rng.integers(2) else turned).reshape(image.shape)


def alter_training_minibatch(
    X: np.ndarray, y: np.ndarray, epoch: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Flip and turn each of the square images of a minibatch, which may be flat; an augmentation itself."""
    return np.stack([random_transformation(image, rng) for image in X]), y


augmentation_pipeline = pipeline
