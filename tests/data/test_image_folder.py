import numpy as np
import pytest
from PIL import Image

from arignote.data.readers import Data, ImageFolderReader
from arignote.nnets.nets import NNClassifier, define_mlp
from tests.helpers import write_digits


def fill(folder, size=(6, 5), n=10):
    rng = np.random.default_rng(1)
    for i in range(n):
        for k, name in enumerate(("dark", "light")):
            pixels = rng.integers(100 * k, 100 * k + 100, size=(*size, 3)).astype("uint8")
            (folder / name / "more").mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / name / ("more" if i % 2 else "") / f"{i}.png")
    (folder / "dark/notes.txt").write_text("not an image")
    (folder / "nothing").mkdir()
    return folder


def test_classes_labels_and_pixels(tmp_path):
    reader = ImageFolderReader(fill(tmp_path))
    assert reader.classes == ["dark", "light"]
    assert reader.labels.array.tolist() == ["dark"] * 10 + ["light"] * 10
    for X, y in Data(reader, reader.labels, 8, shuffle=True).iter_epoch():
        assert X.dtype == np.float32 and X.min() >= 0 and X.max() <= 1
        assert ((X.mean(axis=(1, 2, 3)) > 0.39) == (y == "light")).all()


def test_sizes_and_gray(tmp_path):
    fill(tmp_path)
    assert ImageFolderReader(tmp_path, size=(12, 9)).shape == (3, 12, 9)
    gray = ImageFolderReader(tmp_path, gray=True)
    assert gray.shape == (1, 6, 5)
    expected = np.asarray(Image.open(gray.paths[3]).convert("L")) / 255
    assert np.allclose(gray.take(np.array([3]))[0, 0], expected)


def test_links_that_lead_elsewhere_are_followed_and_said(tmp_path, caplog):
    caplog.set_level("INFO")
    for name in ("mine/cats", "mine/dogs", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("L", (4, 4), 200).save(tmp_path / name / "1.png")
    (tmp_path / "mine/dogs/2.png").symlink_to("1.png")
    assert ImageFolderReader(tmp_path / "mine").n_rows == 3
    assert "link" not in caplog.text
    (tmp_path / "mine/dogs/3.png").symlink_to(tmp_path / "elsewhere/1.png")
    images = ImageFolderReader(tmp_path / "mine")
    assert images.n_rows == 4 and images.take([3]).shape == (1, 1, 4, 4)
    assert (
        f"1 of the images are links that lead out of {tmp_path}/mine, such as {tmp_path}/mine/dogs/3.png" in caplog.text
    )
    caplog.clear()
    (tmp_path / "mine/foxes").symlink_to(tmp_path / "elsewhere")
    assert ImageFolderReader(tmp_path / "mine").classes == ["cats", "dogs", "foxes"]
    assert f"2 of the images are links that lead out of {tmp_path}/mine, such as" in caplog.text


def test_gray_images_stay_gray_and_hidden_files_are_ignored(tmp_path):
    X, y = write_digits(tmp_path, 100)
    (tmp_path / "3/._0003.png").write_bytes(b"what macOS puts there")
    (tmp_path / "3/.cache").mkdir()
    (tmp_path / ".cache").mkdir()
    for hidden in ("3/.cache/a.png", ".cache/a.png"):
        Image.new("L", (8, 8)).save(tmp_path / hidden)
    reader = ImageFolderReader(tmp_path, check="all")
    reader.verify()
    np.testing.assert_array_equal(reader.take(np.arange(100))[:, 0], X)
    np.testing.assert_array_equal(reader.labels.array, y.astype(str))
    assert reader.classes == list("0123456789")
    last = reader.paths[-1]
    last.write_bytes(last.read_bytes()[:-40])
    with pytest.raises(ValueError, match=f"{last.name}: got a file that cannot be read as an image"):
        reader.verify()


def test_fit_on_a_folder(tmp_path, quick):
    layers = [["InputImageLayer", {"n_images": 3, "n_pixels": [6, 5]}], *define_mlp(2, [4], activation="prelu")]
    classifier = NNClassifier(layers, rng=0)
    classifier.fit(str(fill(tmp_path)), valid=0.2, n_epochs=100, batch_size=5, sgd_type="adam")
    assert classifier.trainer.progress.n_examples == 100 * 16  # two of each class are held out
    reader = ImageFolderReader(tmp_path)
    assert classifier.score(reader, reader.labels) >= 0.9


def test_invalid_folders_and_images(tmp_path):
    with pytest.raises(FileNotFoundError, match="got the folder .*; need one that exists"):
        ImageFolderReader(tmp_path / "none")
    with pytest.raises(ValueError, match="got no images; need one folder of images for each class"):
        ImageFolderReader(tmp_path)
    fill(tmp_path)
    Image.new("RGB", (7, 7)).save(tmp_path / "light/9.png")
    with pytest.raises(ValueError, match=r"9.png: got an image of 7x7 pixels in row \d+; need 6x5, like the first"):
        list(ImageFolderReader(tmp_path).iter_epoch(20))
    (tmp_path / "light/9.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match="9.png: got a file that cannot be read as an image"):
        list(ImageFolderReader(tmp_path).iter_epoch(20))
