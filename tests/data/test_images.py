"""Image files: what their values mean, which of them are refused, and how they are fitted to a network."""

import itertools
import logging
import pickle
import struct
import warnings
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from arignote.data import images
from arignote.data.loader import Loader
from arignote.data.readers import Data, DataWithHoldoutPartitions, ImageReader
from arignote.nnets.nets import NNClassifier


def save(path, pixels):
    Image.fromarray(np.asarray(pixels)).save(path)
    return path


def gray_file(folder, name="gray.png", size=(4, 6), value=100):
    return save(folder / name, np.full(size, value, "uint8"))


def color_file(folder, name="color.png", size=(4, 6)):
    return save(folder / name, np.full((*size, 3), (10, 20, 30), "uint8"))


def pixels_of(path, **options):
    return ImageReader([path], **options).take([0])[0]


# -- values ----------------------------------------------------------------------------------------------------------

RAMP = np.arange(24).reshape(4, 6) / 23


def a_bilevel(path):
    Image.fromarray(RAMP > 0.5).save(path)
    return RAMP > 0.5


def an_8_bit(path):
    return save(path, np.rint(255 * RAMP).astype("uint8")) and RAMP


def one_with_alpha(path):
    pixels = np.stack([np.rint(255 * RAMP), np.full(RAMP.shape, 7)], axis=2).astype("uint8")
    return save(path, pixels) and RAMP


def a_16_bit(path):
    return save(path, np.rint(65535 * RAMP).astype("uint16")) and RAMP


def a_32_bit(path):
    return save(path, np.rint(65535 * RAMP).astype("int32")) and RAMP


def a_float(path):
    return save(path, RAMP.astype("float32")) and RAMP


GRAY = {
    "1": ("png", a_bilevel),
    "L": ("png", an_8_bit),
    "LA": ("png", one_with_alpha),
    "I;16": ("png", a_16_bit),
    "I;16 in a TIFF": ("tif", a_16_bit),
    "I": ("tif", a_32_bit),
    "F": ("tif", a_float),
}


@pytest.mark.parametrize("mode", GRAY)
def test_gray_images_stay_gray_and_are_scaled_by_what_their_mode_means(mode, tmp_path):
    suffix, write = GRAY[mode]
    path = tmp_path / f"a.{suffix}"
    expected = write(path)
    with Image.open(path) as image:
        assert image.mode == mode.split()[0]
    found = pixels_of(path)
    assert found.shape == (1, 4, 6) and found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected, atol=0.5 / 255)
    np.testing.assert_array_equal(pixels_of(path, gray=False), np.repeat(found, 3, axis=0))
    small = pixels_of(path, size=(2, 3))
    np.testing.assert_allclose(small.mean(), expected.mean(), atol=0.02)
    ImageReader([path], check="all").verify()


def test_colors_stay_colors_unless_told_otherwise(tmp_path):
    path = color_file(tmp_path)
    color = pixels_of(path)
    np.testing.assert_allclose(color[:, 0, 0] * 255, [10, 20, 30], atol=1e-4)
    gray = pixels_of(path, gray=True)
    assert gray.shape == (1, 4, 6)
    np.testing.assert_allclose(gray * 255, 0.299 * 10 + 0.587 * 20 + 0.114 * 30, atol=1)


@pytest.mark.parametrize("largest", [70000, 2**31 - 1])
def test_values_of_which_the_scale_is_not_known_are_refused(largest, tmp_path):
    whole = save(tmp_path / "whole.tif", np.array([[0, largest]], "int32"))
    floating = save(tmp_path / "floating.tif", np.array([[0, largest]], "float32"))
    nan = save(tmp_path / "nan.tif", np.array([[0, np.nan]], "float32"))
    for path, needed in ((whole, "0 to 65535"), (floating, "0 to 1"), (nan, "0 to 1")):
        reader = ImageReader([path], check="all")
        with pytest.raises(ValueError, match=rf"{path.name}: got pixels from .*; need values from {needed}"):
            reader.verify()


def test_arguments_are_checked(tmp_path):
    path = gray_file(tmp_path)
    assert ImageReader(str(path)).paths == [path]
    for options, message in (
        ({"check": "headers"}, "got check 'headers'; need one that exists; try \"header\""),
        ({"gray": "no"}, "got gray='no'; need True, False or None"),
        ({"size": (1, 2, 3)}, "got size="),
    ):
        with pytest.raises(ValueError, match=message):
            ImageReader([path], **options)
    with pytest.raises(ValueError, match="got no images"):
        ImageReader([])


# -- what is refused -------------------------------------------------------------------------------------------------


def truncated(path):
    save(path, np.random.default_rng(0).integers(256, size=(64, 64), dtype="uint8"))
    path.write_bytes(path.read_bytes()[:-2000])


def one_with_a_broken_checksum(path):
    content = bytearray(gray_file(path.parent, path.name, (64, 64)).read_bytes())
    content[content.index(b"IDAT") + 5] ^= 255
    path.write_bytes(content)


def no_image(path):
    path.write_text("not an image")


def a_syntax_error(path):
    """Write a PNG file that holds half of its pixels, and then a chunk without a name: Pillow raises SyntaxError."""
    truncated(path)
    content = path.read_bytes()
    start = content.index(b"IDAT")
    pixels = content[start + 4 : -16]
    chunk = struct.pack(">I", len(pixels)) + b"IDAT" + pixels + struct.pack(">I", zlib.crc32(b"IDAT" + pixels))
    path.write_bytes(content[: start - 4] + chunk + bytes(100))


DAMAGED = {"truncated": truncated, "checksum": one_with_a_broken_checksum, "text": no_image, "syntax": a_syntax_error}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_named_wherever_it_is_read(kind, tmp_path):
    first, bad = gray_file(tmp_path, size=(64, 64)), tmp_path / "bad.png"
    DAMAGED[kind](bad)
    reader = ImageReader([first, bad], size=8, check="all")
    for read in (reader.verify, lambda: reader.take([1])):
        with pytest.raises(ValueError, match=r"bad.png: .* read as an image \(.+\); need an intact one; try"):
            read()
    if kind == "text":
        with pytest.raises(ValueError, match="bad.png: got a file that cannot be read as an image"):
            ImageReader([bad])
        with pytest.raises(ValueError, match="bad.png: got a file that cannot be read as an image"):
            ImageReader([first, bad]).verify()


@pytest.mark.parametrize(
    "error", [MemoryError(), Image.DecompressionBombError("too large"), struct.error("short"), IndexError("no tile")]
)
def test_any_error_of_a_decoder_names_the_file(error, tmp_path, monkeypatch):
    reader = ImageReader([gray_file(tmp_path)], check="all")

    def load(image):
        raise error

    monkeypatch.setattr(Image.Image, "load", load)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(ValueError, match=rf"gray.png: .* read as an image \({str(error) or 'MemoryError'}\)"):
        reader.verify()


def test_images_that_are_far_too_large_are_refused_by_their_header(tmp_path, monkeypatch):
    reader = ImageReader([gray_file(tmp_path)])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match=r"gray.png: .* read as an image \(Image size .* exceeds limit"):
        reader.verify()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with warnings.catch_warnings(), pytest.raises(ValueError, match="exceeds limit"):
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        reader.verify()


def test_no_program_is_started_to_draw_an_image(tmp_path):
    Image.new("RGB", (4, 6)).save(tmp_path / "a.eps")
    path = (tmp_path / "a.eps").rename(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a.png: got a file that cannot be read as an image \(got the format EPS"):
        ImageReader([path])


@pytest.mark.parametrize("check", ["header", "all"])
def test_images_that_differ_from_the_first_are_named(check, tmp_path):
    gray, color = gray_file(tmp_path), color_file(tmp_path)
    large = gray_file(tmp_path, "large.png", (7, 8))
    message = r"large.png: got an image of 7x8 pixels in row 1; need 4x6, like the first; try size=\(4, 6\)"
    reader = ImageReader([gray, large], check=check)
    for read in (reader.verify, lambda: reader.take([1])):
        with pytest.raises(ValueError, match=message):
            read()
    ImageReader([gray, large], size=4, check=check).verify()
    message = "color.png: got a color image in row 1; need a gray one, like the first; try gray=True .* or gray=False"
    reader = ImageReader([gray, color], check=check)
    for read in (reader.verify, lambda: reader.take([1])):
        with pytest.raises(ValueError, match=message):
            read()
    for options in ({"gray": True}, {"gray": False}):
        ImageReader([gray, color], check=check, **options).verify()
    ImageReader([color, gray], check=check).verify()


def test_headers_are_checked_without_decoding(tmp_path, monkeypatch):
    reader = ImageReader([gray_file(tmp_path)])
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    reader.verify()
    reader.check = "all"
    with pytest.raises(ValueError, match="gray.png"):
        reader.verify()


def test_the_progress_of_a_long_check_is_logged(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "arignote")
    paths = [gray_file(tmp_path)] * 4000
    reader = ImageReader(paths)
    ImageReader(paths[:3]).verify()
    assert not caplog.messages
    clock = itertools.count()  # each look at it takes a millisecond, and there is one for each image
    monkeypatch.setattr(images, "time", SimpleNamespace(monotonic=lambda: next(clock) / 1000))
    monkeypatch.setattr(images, "SHOW_EVERY", 2.0)
    reader.verify()
    assert caplog.messages == ["Checking images: 999 of 4,000", "Checking images: 2,999 of 4,000"]


# -- fitted to a network ---------------------------------------------------------------------------------------------


def test_a_reader_takes_its_shape_from_a_network_where_nothing_was_given(tmp_path, caplog):
    caplog.set_level(logging.INFO, "arignote")
    reader = ImageReader([gray_file(tmp_path, f"{i}.png", value=i) for i in range(3)])
    assert reader.for_shape((1, 4, 6)) is reader and reader.for_shape((24,)) is reader
    assert not caplog.messages
    fitted = reader.for_shape((3, 2, 3))
    assert fitted.shape == (3, 2, 3) and fitted is reader.for_shape([3, 2, 3])
    assert caplog.messages == ["images of 4x6 pixels are resized to 2x3"]
    np.testing.assert_allclose(fitted.take([2, 1])[:, 2, 1, 1] * 255, [2, 1], atol=1e-4)
    assert reader.shape == (1, 4, 6) and reader.take([0]).shape == (1, 1, 4, 6)
    assert pickle.loads(pickle.dumps(fitted)).take([0]).shape == (1, 3, 2, 3)


def test_what_was_given_stays(tmp_path, caplog):
    caplog.set_level(logging.INFO, "arignote")
    paths = [color_file(tmp_path)]
    assert ImageReader(paths, size=5).for_shape((1, 2, 3)).shape == (1, 5, 5)
    assert caplog.messages == ["color images are converted to gray ones"]
    assert ImageReader(paths, gray=False).for_shape((1, 2, 3)).shape == (3, 2, 3)
    assert ImageReader(paths, gray=True, size=5).for_shape((3, 2, 3)).shape == (1, 5, 5)


def test_resizing_for_a_network_hides_no_differences(tmp_path):
    reader = ImageReader([gray_file(tmp_path), gray_file(tmp_path, "large.png", (7, 8))]).for_shape((1, 3, 3))
    with pytest.raises(
        ValueError, match=r"large.png: got an image of 7x8 .* need 4x6, like the first; try size=\(3, 3"
    ):
        reader.verify()


# -- checked before training -----------------------------------------------------------------------------------------


class Counting(ImageReader):
    n_verified = 0

    def verify(self):
        type(self).n_verified += 1
        super().verify()


@pytest.mark.parametrize("stratify", [False, True])
def test_images_are_checked_once_before_training(stratify, tmp_path, quick, monkeypatch):
    reader = Counting([gray_file(tmp_path, f"{i}.png", value=20 * i) for i in range(12)])
    monkeypatch.setattr(Counting, "n_verified", 0)
    parts = DataWithHoldoutPartitions(reader, [0, 1] * 6, 2, 0.25, 0.25, stratify=stratify)
    layers = [["InputImageLayer", {"n_images": 1, "n_pixels": (4, 6)}], ["ClassificationOutputLayer", {"n_classes": 2}]]
    NNClassifier(layers, rng=0).fit(parts, n_epochs=1, validate_on_train=True)
    assert Counting.n_verified == 1


def test_a_bad_image_is_found_before_any_is_read(tmp_path):
    reader = ImageReader([gray_file(tmp_path), gray_file(tmp_path, "large.png", (7, 8))])
    layers = [["InputImageLayer", {"n_images": 1, "n_pixels": (4, 6)}], ["ClassificationOutputLayer", {"n_classes": 2}]]
    network = NNClassifier(layers).network
    with pytest.raises(ValueError, match="training data: .*large.png: got an image of 7x8 pixels"):
        Loader({"train": Data(reader, [0, 1])}, 2, network=network).check()


@pytest.mark.parametrize("stratify", [False, True])
def test_a_network_trains_and_predicts_on_images_of_another_size_and_color(stratify, tmp_path, quick, caplog):
    """As one does that was trained when gray images were read with three channels."""
    caplog.set_level(logging.INFO, "arignote")
    labels = np.arange(24) % 2
    paths = [gray_file(tmp_path, f"{i:02}.png", value=200 * k + i) for i, k in enumerate(labels)]
    parts = DataWithHoldoutPartitions(ImageReader(paths), labels, 4, 0.25, 0.25, stratify=stratify)
    layers = [["InputImageLayer", {"n_images": 3, "n_pixels": 2}], ["ClassificationOutputLayer", {"n_classes": 2}]]
    rule = {"rule": "const", "initial_value": 0.05}
    classifier = NNClassifier(layers, rng=0).fit(parts, n_epochs=40, sgd_type="adam", lr_rule=rule)
    assert caplog.messages.count("images of 4x6 pixels are resized to 2x2") == 1
    np.testing.assert_array_equal(classifier.predict(ImageReader(paths)), labels)
    fitted = ImageReader(paths, size=2, gray=False)
    expected = classifier.predict_proba(np.concatenate([fitted.take([row]) for row in range(24)]))
    np.testing.assert_array_equal(classifier.predict_proba(ImageReader(paths)), expected)
    altered = Data(ImageReader(paths), labels, 4, alter_features=lambda X: np.repeat(X[:, :, :2, :2], 3, axis=1))
    assert NNClassifier(layers, rng=0).fit(altered, n_epochs=1).predict(altered).shape == (24,)
