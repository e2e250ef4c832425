"""Augmentation: random changes of training images that leave their class as it is.

Each function here returns an augmentation ``f(X, y, epoch, rng)`` for `fit`, which takes a minibatch of images of shape
(n, channels, rows, columns) and their labels, and returns a new pair. All randomness comes from `rng`, so a minibatch
is changed in the same way whenever it is prepared.
"""

from collections.abc import Callable

import numpy as np

from arignote.util import checks

Augmentation = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def shift(max_pixels: int, fill: float = 0.0) -> Augmentation:
    """Shift each image by up to `max_pixels` rows and columns, each way, independently.

    Parameters
    ----------
    max_pixels : int
    fill : float, optional
        Value of the pixels that come in at the edges, by default 0.

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
        # A view of all windows of the padded images; picking one an image copies each pixel once.
        windows = np.lib.stride_tricks.sliding_window_view(padded, (rows, columns), axis=(2, 3))
        return windows[np.arange(n), :, down, right], y

    return augment


def flip(horizontal: bool = True, vertical: bool = False) -> Augmentation:
    """Mirror each image, or leave it, with equal chances.

    Parameters
    ----------
    horizontal : bool, optional
        Swap left and right; by default True.
    vertical : bool, optional
        Swap top and bottom, independently; by default False.
    """
    axes = [axis for axis, wanted in ((3, horizontal), (2, vertical)) if wanted]

    def augment(X, y, epoch, rng):
        X = require_images(X)
        for axis in axes:
            chosen = rng.integers(2, size=len(X), dtype=np.int8).astype(bool)
            X = np.where(chosen[:, np.newaxis, np.newaxis, np.newaxis], np.flip(X, axis), X)
        return X, y

    return augment


def quarter_turns() -> Augmentation:
    """Turn each image by 0, 90, 180 or 270 degrees. Images must be square."""

    def augment(X, y, epoch, rng):
        if require_images(X).shape[2] != X.shape[3]:
            raise ValueError(f"got images of {X.shape[2]}x{X.shape[3]} pixels; need square ones; try augment.flip()")
        turns = rng.integers(4, size=len(X))
        turned = X.copy()
        for k in (1, 2, 3):
            turned[turns == k] = np.rot90(X[turns == k], k, axes=(2, 3))
        return turned, y

    return augment


def pipeline(*augmentations: Augmentation) -> Augmentation:
    """Apply several augmentations, one after the other.

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
    """Return `X` if it is a batch of images, of shape (n, channels, rows, columns)."""
    if X.ndim != 4:
        raise ValueError(
            f"got a batch of shape {X.shape}; need images of shape (n, channels, rows, columns); "
            'try ["InputImageLayer", ...] as the first layer'
        )
    return X
