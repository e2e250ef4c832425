"""Augmentation: random, label-preserving transformations of training images.

Each function here returns an augmentation ``f(X, y, epoch, rng)`` for `fit`, which takes a minibatch of images of shape
(n, channels, rows, columns) and their labels, and returns a new pair. All randomness comes from `rng`, so that the same
minibatch is always transformed in the same way.
"""

from collections.abc import Callable

import numpy as np

from arignote.util import checks

Augmentation = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def shift(max_pixels: int, fill: float = 0.0) -> Augmentation:
    """Randomly shift each image by up to `max_pixels` rows and columns in either direction.

    Parameters
    ----------
    max_pixels : int
        The largest shift.
    fill : float, optional
        Value of the pixels that are shifted in at the edges, by default 0.

    Examples
    --------
    >>> X = np.ones((1, 1, 3, 3), "float32")
    >>> shifted, _ = shift(1)(X, np.zeros(1), 0, np.random.default_rng(3))
    >>> shifted.shape
    (1, 1, 3, 3)
    """
    margin = checks.whole_number(max_pixels, "max_pixels")

    def augment(X, y, epoch, rng):
        n, channels, rows, columns = require_images(X).shape
        padded = np.full((n, channels, rows + 2 * margin, columns + 2 * margin), fill, X.dtype)
        padded[:, :, margin : margin + rows, margin : margin + columns] = X
        down, right = rng.integers(0, 2 * margin + 1, size=(2, n))
        # A view of all windows of the padded images; selecting one per image copies each pixel once.
        windows = np.lib.stride_tricks.sliding_window_view(padded, (rows, columns), axis=(2, 3))
        return windows[np.arange(n), :, down, right], y

    return augment


def flip(horizontal: bool = True, vertical: bool = False) -> Augmentation:
    """Randomly flip each image with probability 0.5.

    Parameters
    ----------
    horizontal : bool, optional
        Flip left to right, by default True.
    vertical : bool, optional
        Flip top to bottom, independently, by default False.
    """
    axes = [axis for axis, enabled in ((3, horizontal), (2, vertical)) if enabled]

    def augment(X, y, epoch, rng):
        X = require_images(X)
        for axis in axes:
            chosen = rng.integers(2, size=len(X), dtype=np.int8).astype(bool)
            X = np.where(chosen[:, np.newaxis, np.newaxis, np.newaxis], np.flip(X, axis), X)
        return X, y

    return augment


def quarter_turns() -> Augmentation:
    """Randomly rotate each image by 0, 90, 180 or 270 degrees. Images must be square."""

    def augment(X, y, epoch, rng):
        if require_images(X).shape[2] != X.shape[3]:
            raise ValueError(f"got images of {X.shape[2]}x{X.shape[3]} pixels; need square ones; try augment.flip()")
        turns = rng.integers(4, size=len(X))
        rotated = X.copy()
        for k in (1, 2, 3):
            rotated[turns == k] = np.rot90(X[turns == k], k, axes=(2, 3))
        return rotated, y

    return augment


def pipeline(*augmentations: Augmentation) -> Augmentation:
    """Compose several augmentations, applied in order.

    Examples
    --------
    >>> augmentation = pipeline(shift(2), flip())
    """
    for augmentation in augmentations:
        if not callable(augmentation):
            raise TypeError(f"got {augmentation!r}; need functions f(X, y, epoch, rng); try augment.shift(2)")

    def augment(X, y, epoch, rng):
        for augmentation in augmentations:
            X, y = augmentation(X, y, epoch, rng)
        return X, y

    return augment


def require_images(X: np.ndarray) -> np.ndarray:
    """Return `X` if it is a batch of images of shape (n, channels, rows, columns), else raise ValueError."""
    if X.ndim != 4:
        raise ValueError(
            f"got a batch of shape {X.shape}; need images of shape (n, channels, rows, columns); "
            'try ["InputImageLayer", ...] as the first layer'
        )
    return X
