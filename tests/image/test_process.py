import pickle

import numpy as np
import pytest
from PIL import Image

from arignote.image import process
from arignote.image.process import ZCA

rng = np.random.default_rng(2)


def photo(n=4, channels=3, rows=24, columns=30):
    """Return smooth random images, like photographs."""
    steps = rng.normal(size=(n, channels, rows, columns)).cumsum(axis=2).cumsum(axis=3)
    return ((steps - steps.min()) / np.ptp(steps)).astype("float32")


@pytest.mark.parametrize("size", [(24, 30), (48, 60), (12, 15), (17, 41), (7, 9)])
def test_rescale_agrees_with_pillow(size):
    X = photo()
    found = process.rescale(X, size)
    assert found.shape == (4, 3, *size) and found.dtype == np.float32
    for image, new in zip(X.reshape(-1, 24, 30), found.reshape(-1, *size), strict=True):
        expected = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
        assert np.abs(new - expected).max() < 0.03
        assert np.abs(new - expected).mean() < 0.005


def test_rescale_preserves_images_of_the_same_size_and_uniform_images():
    X = photo()
    assert np.allclose(process.rescale(X, (24, 30)), X, atol=1e-6)
    assert np.allclose(process.rescale(np.full((1, 1, 9, 9), 0.3), 5), 0.3)


def test_trim_finds_the_content():
    X = np.zeros((3, 2, 20, 30))
    shape = rng.uniform(0.5, 1, size=(2, 8, 12))
    X[0, :, 3:11, 15:27] = shape
    X[1, :, 12:20, 0:12] = shape
    trimmed = process.trim(X, (8, 12))
    assert np.allclose(trimmed[0], shape, atol=1e-6)
    assert np.allclose(trimmed[1], shape, atol=1e-6)
    assert not trimmed[2].any()
    assert not process.trim(X, (8, 12), threshold=1.0).any()
    centred = process.trim(X, (14, 12))[0]
    assert np.allclose(centred[:, 3:11], shape, atol=1e-6) and not centred[:, :3].any() and not centred[:, 11:].any()


def test_normalize_contrast():
    X = photo() * 0.1 + 0.4
    found = process.normalize_contrast(X, epsilon=0)
    for image, new in zip(X.astype("float64"), found, strict=True):
        assert np.allclose(new, (image - image.mean()) / image.std(), atol=1e-4)
    assert not process.normalize_contrast(np.full((1, 1, 4, 4), 0.7)).any()


def test_local_contrast_agrees_with_a_plain_implementation():
    X = photo(1, 2, 9, 9).astype("float64")
    sigma = 1.5
    reach = int(4 * sigma + 0.5)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weights = np.outer(weights, weights) / weights.sum() ** 2

    def smooth(image):
        padded = np.pad(image, reach, mode="symmetric")
        return np.array([
            [(padded[i : i + 2 * reach + 1, j : j + 2 * reach + 1] * weights).sum() for j in range(9)] for i in range(9)
        ])  # fmt: skip

    centred = X[0] - np.mean([smooth(channel) for channel in X[0]], axis=0)
    deviation = np.sqrt(np.mean([smooth(channel**2) for channel in centred], axis=0))
    expected = centred / np.maximum(deviation, deviation.mean())
    found = process.normalize_local_contrast(X, sigma, epsilon=0)
    assert np.allclose(found[0], expected, atol=1e-4)


def test_zca_whitens():
    X = photo(800, 1, 5, 6)
    white = ZCA(epsilon=0).fit(X)(X).reshape(800, 30).astype("float64")
    assert np.allclose(white.mean(axis=0), 0, atol=1e-3)
    assert np.allclose(np.cov(white, rowvar=False, bias=True), np.eye(30), atol=0.02)


def test_zca_agrees_with_a_plain_implementation_and_batches_with_one_array():
    X = photo(200, 2, 4, 4) * 3
    flat = X.reshape(200, 32).astype("float64")
    covariance = np.cov(flat, rowvar=False, bias=True)
    u, s, _ = np.linalg.svd(covariance)
    expected = (flat - flat.mean(axis=0)) @ (u @ np.diag(1 / np.sqrt(s + 0.1)) @ u.T)
    whole = ZCA(0.1).fit(X)
    batches = ZCA(0.1).fit(X[i : i + 7] for i in range(0, 200, 7))
    assert np.allclose(whole(X).reshape(200, 32), expected, atol=1e-4)
    assert np.allclose(whole.matrix, batches.matrix, atol=1e-5)
    assert np.allclose(whole.matrix, whole.matrix.T, atol=1e-6)


def test_zca_can_be_saved_and_pickled(tmp_path):
    X = photo(50, 1, 4, 4)
    zca = ZCA().fit(X)
    zca.save(tmp_path / "zca.npz")
    for copy in (ZCA.load(tmp_path / "zca.npz"), pickle.loads(pickle.dumps(zca))):
        assert np.array_equal(copy(X), zca(X))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: process.rescale(np.zeros((3, 4)), 5), "need images of shape"),
        (lambda: process.rescale(photo(), 0), "got size=0"),
        (lambda: ZCA()(photo()), "got a ZCA that is not fitted"),
        (lambda: ZCA().fit(photo())(photo(rows=5)), r"got images of shape \(3, 5, 30\); need \(3, 24, 30\)"),
        (lambda: ZCA().fit(iter([])), "got 0 images to fit to"),
        (lambda: ZCA(-1), "got epsilon=-1"),
    ],
)
def test_invalid_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
