import numpy as np
import pytest

from arignote.image import augment


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 2, 5, 6)).astype("float32") + 1, np.arange(60)


def rng():
    return np.random.default_rng(42)


def test_shift_moves_each_image_independently(images):
    X, y = images
    shifted, labels = augment.shift(2, fill=7.0)(X, y, 0, rng())
    assert labels is y and shifted.dtype == X.dtype and shifted.shape == X.shape
    moves = set()
    for before, after in zip(X, shifted, strict=True):
        padded = np.pad(before, ((0, 0), (2, 2), (2, 2)), constant_values=7.0)
        offsets = [(i, j) for i in range(5) for j in range(5) if (padded[:, i : i + 5, j : j + 6] == after).all()]
        assert len(offsets) == 1
        moves.add(offsets[0])
    assert {move[0] for move in moves} == {move[1] for move in moves} == {0, 1, 2, 3, 4}


def test_flip_mirrors_about_half(images):
    X, y = images
    flipped, _ = augment.flip()(X, y, 0, rng())
    same = (flipped == X).all(axis=(1, 2, 3))
    mirrored = (flipped == X[:, :, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all() and 15 < same.sum() < 45
    both, _ = augment.flip(vertical=True)(X, y, 0, rng())
    kinds = [X, X[:, :, ::-1], X[:, :, :, ::-1], X[:, :, ::-1, ::-1]]
    counts = [(both == kind).all(axis=(1, 2, 3)).sum() for kind in kinds]
    assert sum(counts) == 60 and min(counts) > 3


def test_quarter_turns(images):
    X, y = images[0][:, :, :, :5], images[1]
    turned, _ = augment.quarter_turns()(X, y, 0, rng())
    kinds = [np.rot90(X, k, axes=(2, 3)) for k in range(4)]
    counts = [(turned == kind).all(axis=(1, 2, 3)).sum() for kind in kinds]
    assert sum(counts) == 60 and min(counts) > 3
    with pytest.raises(ValueError, match="got images of 5x6 pixels; need square ones"):
        augment.quarter_turns()(*images, 0, rng())


@pytest.mark.parametrize("make", [lambda: augment.shift(2), lambda: augment.shift((1, 2)),
                                  lambda: augment.flip(vertical=True), augment.quarter_turns])  # fmt: skip
def test_images_without_a_channel_are_changed_as_those_with_one(make):
    X, y = np.random.default_rng(0).normal(size=(60, 6, 6)), np.arange(60)
    found, expected = make()(X, y, 0, rng())[0], make()(X[:, np.newaxis], y, 0, rng())[0]
    np.testing.assert_array_equal(found, expected[:, 0])


def test_shift_by_other_numbers_of_rows_and_columns(images):
    X, y = images
    shifted, _ = augment.shift((0, 2))(X, y, 0, rng())
    assert (shifted != X).any()
    moves = set()
    for before, after in zip(X, shifted, strict=True):
        padded = np.pad(before, ((0, 0), (0, 0), (2, 2)))
        moves |= {j for j in range(5) if (padded[:, :, j : j + 6] == after).all()}
    assert moves == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(augment.create_shift_augment(2, 0)(X, y, epoch=1, rng=rng())[0], shifted)


def test_the_first_arignote_shifts_by_columns_and_by_as_many_rows(images):
    found = augment.create_shift_augment(2)(*images, epoch=1, rng=rng())[0]
    np.testing.assert_array_equal(found, augment.shift((2, 2))(*images, 1, rng())[0])
    assert augment.create_shift_augment(max_shift_x=1, max_shift_y=2)(*images, 1, rng())[0].shape == images[0].shape
    assert augment.augmentation_pipeline is augment.pipeline
    assert augment.no_augmentation(*images, epoch=1, rng=rng()) == images


@pytest.mark.parametrize("shape", [(36,), (6, 6)])
def test_flat_square_images_are_flipped_and_turned(shape):
    image = np.arange(36.0)
    kinds = [np.rot90(each, k).ravel() for each in (image.reshape(6, 6), image.reshape(6, 6).T) for k in range(4)]
    X, y = np.tile(image.reshape(shape), (400, *[1] * len(shape))), np.arange(400)
    found, labels = augment.alter_training_minibatch(X, y, epoch=1, rng=rng())
    assert found.shape == X.shape and labels is y
    counts = [(found.reshape(400, 36) == kind).all(axis=1).sum() for kind in kinds]
    assert sum(counts) == 400 and min(counts) > 25
    with pytest.raises(ValueError, match="got an image of 35 pixels; need a square one"):
        augment.random_transformation(image[:35], rng())


def test_pipeline_applies_augmentations_in_order(images):
    X, y = images
    double = lambda X, y, epoch, rng: (2 * X, y + epoch)  # noqa: E731
    found, labels = augment.pipeline(double, double, augment.flip())(X, y, 3, rng())
    np.testing.assert_array_equal(found, augment.flip()(4 * X, y, 3, rng())[0])
    np.testing.assert_array_equal(labels, y + 6)
    with pytest.raises(TypeError, match="got augmentation=3; need a function"):
        augment.pipeline(3)


@pytest.mark.parametrize("make", [lambda: augment.shift(1), augment.flip, augment.quarter_turns])
def test_the_input_is_unchanged_and_the_result_depends_on_the_generator_only(make, images):
    X, y = images[0][:, :, :, :5], images[1]
    copy = X.copy()
    first, again = make()(X, y, 0, rng())[0], make()(X, y, 5, rng())[0]
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(X, copy)
    assert (make()(X, y, 0, np.random.default_rng(1))[0] != first).any()


def test_invalid_input_is_refused():
    with pytest.raises(ValueError, match=r"got a batch of shape \(3, 4\); need images"):
        augment.flip()(np.zeros((3, 4)), np.zeros(3), 0, rng())
    with pytest.raises(ValueError, match="got max_pixels=0"):
        augment.shift(0)
