"""Preprocessing of batches of images: resizing, cropping, contrast normalization, whitening.

Each function takes a batch of shape (n, channels, rows, columns) and returns a new one, as float32. It can be passed to
`Data` as ``alter_features``, with `functools.partial` to set its arguments.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import linalg, ndimage

from arignote.data import atomic
from arignote.image.augment import require_images
from arignote.util import checks


def rescale(X: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Resize images by linear interpolation; images are smoothed before they are made smaller.

    Parameters
    ----------
    X : array, shape (n, channels, rows, columns)
    size : int or pair of int
        The new (rows, columns).

    Examples
    --------
    >>> rescale(np.ones((2, 3, 32, 32)), (28, 20)).shape
    (2, 3, 28, 20)
    """
    X = require_images(X).astype(np.float32)
    size = checks.pair(size, "size")
    factors = [new / old for new, old in zip(size, X.shape[2:], strict=True)]
    # The anti-aliasing filter of scikit-image's resize: sigma is half of the downsampling factor minus one.
    sigmas = [max(0.0, (1 / factor - 1) / 2) for factor in factors]
    if any(sigmas):
        X = ndimage.gaussian_filter(X, (0, 0, *sigmas), mode="nearest")
    return ndimage.zoom(X, (1, 1, *factors), order=1, mode="nearest", grid_mode=True)


def trim(X: np.ndarray, size: int | tuple[int, int], threshold: float = 0.0) -> np.ndarray:
    """Crop the dark borders of each image, and resize the content.

    The content is the bounding box of all pixels brighter than `threshold` in any channel. Its aspect ratio is
    preserved, and it is centered on a background of zeros. An image without such pixels becomes zeros.

    Parameters
    ----------
    X : array, shape (n, channels, rows, columns)
    size : int or pair of int
        The new (rows, columns).
    threshold : float, optional
        Brightness threshold, by default 0.

    Examples
    --------
    >>> X = np.zeros((1, 1, 10, 10))
    >>> X[0, 0, 4:6, 7:9] = 1
    >>> trim(X, (4, 6))[0, 0].tolist() == [[0.0, 1.0, 1.0, 1.0, 1.0, 0.0]] * 4
    True
    """
    X = require_images(X)
    size = checks.pair(size, "size")
    trimmed = np.zeros((*X.shape[:2], *size), np.float32)
    bright = (threshold < X).any(axis=1)
    for i in np.flatnonzero(bright.any(axis=(1, 2))):
        box = tuple(slice(ends[0], ends[-1] + 1) for ends in (np.flatnonzero(bright[i].any(axis=a)) for a in (1, 0)))
        content = X[(slice(i, i + 1), slice(None), *box)]
        factor = min(new / old for new, old in zip(size, content.shape[2:], strict=True))
        high, wide = (min(most, max(1, round(factor * old))) for most, old in zip(size, content.shape[2:], strict=True))
        top, left = (size[0] - high) // 2, (size[1] - wide) // 2
        trimmed[i, :, top : top + high, left : left + wide] = rescale(content, (high, wide))[0]
    return trimmed


def normalize_contrast(X: np.ndarray, epsilon: float = 1e-2) -> np.ndarray:
    """Normalize each image to mean 0 and standard deviation 1, over all its pixels and channels.

    Parameters
    ----------
    X : array, shape (n, channels, rows, columns)
    epsilon : float, optional
        Added to the standard deviation, so that noise in uniform images is not amplified. By default 0.01, for pixels
        in [0, 1].

    References
    ----------
    Coates, Ng and Lee: An analysis of single-layer networks in unsupervised feature learning, 2011.
    """
    X = require_images(X).astype(np.float32)
    X -= X.mean(axis=(1, 2, 3), keepdims=True)
    return X / (X.std(axis=(1, 2, 3), keepdims=True) + np.float32(epsilon))


def normalize_local_contrast(X: np.ndarray, sigma: float = 2.0, epsilon: float = 1e-2) -> np.ndarray:
    """Subtract the mean of its neighborhood from each pixel, and divide by the standard deviation of the neighborhood.

    Neighborhoods are weighted by a Gaussian and extend over all channels. Where the standard deviation is smaller than
    its mean over the image, that mean is used as the divisor.

    Parameters
    ----------
    X : array, shape (n, channels, rows, columns)
    sigma : float, optional
        Standard deviation of the Gaussian in pixels, by default 2.
    epsilon : float, optional
        Lower bound of the divisor, by default 0.01.

    References
    ----------
    Jarrett et al.: What is the best multi-stage architecture for object recognition?, 2009.
    """
    X = require_images(X).astype(np.float32)
    smooth = lambda values: ndimage.gaussian_filter(values, (0, 0, sigma, sigma), mode="reflect")  # noqa: E731
    X = X - smooth(X).mean(axis=1, keepdims=True)
    deviation = np.sqrt(smooth(X**2).mean(axis=1, keepdims=True))
    return X / np.maximum(np.maximum(deviation, deviation.mean(axis=(2, 3), keepdims=True)), np.float32(epsilon))


class ZCA:
    """Zero-phase (ZCA) whitening: the whitened pixels of the training images are uncorrelated, with variance 1.

    Of all whitening transformations it is the one that changes the images least. It is fitted on training data, in
    batches, and then applied to all data. It can be pickled, or saved to a file with `save`.

    Parameters
    ----------
    epsilon : float, optional
        Added to the variance along each principal axis, so that noise is not amplified. By default 0.01, for pixels in
        [0, 1].

    Attributes
    ----------
    mean : float32 array, shape (n_pixels,)
    matrix : float32 array, shape (n_pixels, n_pixels)
        The symmetric whitening matrix; n_pixels includes all channels.
    shape : tuple of int
        Shape of one image.

    References
    ----------
    Bell and Sejnowski: The "independent components" of natural scenes are edge filters, 1997. Krizhevsky: Learning
    multiple layers of features from tiny images, 2009, appendix A.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(500, 1, 3, 3)).cumsum(axis=3)
    >>> white = ZCA(epsilon=0).fit(X)(X)
    >>> bool(np.allclose(np.cov(white.reshape(500, 9), rowvar=False, bias=True), np.eye(9), atol=1e-4))
    True
    """

    def __init__(self, epsilon: float = 1e-2):
        self.epsilon = checks.number(epsilon, "epsilon", least=0)
        self.mean: np.ndarray | None = None
        self.matrix: np.ndarray | None = None
        self.shape: tuple[int, ...] = ()

    def fit(self, X: Any) -> "ZCA":
        """Fit to images.

        Parameters
        ----------
        X : array or iterable of arrays, shape (n, channels, rows, columns)
            All images, or an iterable of batches, such as a reader's ``iter_epoch(128, allow_partial=True)``.
        """
        batches: Iterable[np.ndarray] = [X] if isinstance(X, np.ndarray) else X
        n, total, products = 0, np.zeros(1), np.zeros(1)
        shift: np.ndarray | None = None
        for batch in batches:
            self.shape = batch.shape[1:]
            rows = np.asarray(batch, np.float64).reshape(len(batch), math.prod(self.shape))
            shift = rows.mean(axis=0) if shift is None else shift  # centering near the mean keeps the sums accurate
            rows = rows - shift
            n += len(rows)
            total = total + rows.sum(axis=0)
            products = products + rows.T @ rows
        if shift is None or n < 2:
            raise ValueError(f"got {n} images to fit to; need two or more; try the training data")
        covariance = products / n - np.outer(total, total) / n**2
        variances, axes = linalg.eigh(covariance)
        variances = np.maximum(variances, 0) + max(self.epsilon, np.finfo(np.float32).eps * variances[-1])
        self.mean = (shift + total / n).astype(np.float32)
        self.matrix = ((axes / np.sqrt(variances)) @ axes.T).astype(np.float32)
        return self

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Return a whitened batch."""
        if self.mean is None or self.matrix is None:
            raise ValueError("got a ZCA that is not fitted; need to call fit first; try ZCA().fit(X)")
        if X.shape[1:] != self.shape:
            raise ValueError(f"got images of shape {X.shape[1:]}; need {self.shape}, as in fit; try process.rescale")
        rows = np.asarray(X, np.float32).reshape(len(X), -1)
        return ((rows - self.mean) @ self.matrix).reshape(X.shape)

    def save(self, name: str | Path) -> None:
        """Save to an .npz file, which is written atomically."""
        content: dict[str, Any] = {
            "epsilon": self.epsilon,
            "mean": self.mean,
            "matrix": self.matrix,
            "shape": self.shape,
        }
        atomic.write(name, lambda file: np.savez(file, **content))

    @classmethod
    def load(cls, name: str | Path) -> "ZCA":
        """Return a ZCA that was saved with `save`."""
        with np.load(name, allow_pickle=False) as file:
            zca = cls(float(file["epsilon"]))
            zca.mean, zca.matrix, zca.shape = file["mean"], file["matrix"], tuple(file["shape"].tolist())
        return zca
