"""What holds for every reader, found by reflection: every row once, in order, from anywhere, again after a restore."""

import importlib
import inspect
import pickle
import pkgutil
import threading

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import arignote.data
from arignote.data.reader import ArrayReader, PickedReader, Reader, SparseReader
from arignote.data.readers import Data, HDFReader, ImageFolderReader, ImageReader
from tests.data.hdf.old_pandas import write_panel

N = 37
rng = np.random.default_rng(8)
IMAGES = rng.integers(256, size=(N, 3, 4, 5)).astype("uint8")
FRAME = pd.DataFrame(rng.normal(size=(N, 4)), columns=list("abcd"))


def memmap(folder):
    np.save(folder / "x.npy", IMAGES)
    return ArrayReader(np.load(folder / "x.npy", mmap_mode="r")), IMAGES


def hdf_dataset(folder):
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("x", data=IMAGES, chunks=(5, 3, 2, 5), compression="gzip")
    return HDFReader(folder / "x.h5"), IMAGES


def hdf_color(folder):
    reader, images = hdf_dataset(folder)
    return HDFReader(reader.filename, color=1), images[:, 1:2]


def hdf_frame(folder):
    FRAME.to_hdf(folder / "x.h5", key="x", format="table")
    return HDFReader(folder / "x.h5"), FRAME.to_numpy()


def hdf_fixed(folder):
    FRAME.to_hdf(folder / "x.h5", key="x", format="fixed")
    return HDFReader(folder / "x.h5"), FRAME.to_numpy()


def hdf_pandas(folder):
    FRAME.to_hdf(folder / "x.h5", key="x", format="table")
    return HDFReader(folder / "x.h5", asarray=False), FRAME.to_numpy()


def hdf_panel4d(folder):
    labels = [list(range(N)), list("rgb"), list(range(4)), list(range(5))]
    order = np.concatenate([i * 20 + rng.permutation(20) for i in range(N)])
    write_panel(folder / "x.h5", "x", IMAGES, labels, 1, order=order)
    return HDFReader(folder / "x.h5"), IMAGES


def image_folder(folder):
    for i, image in enumerate(IMAGES):
        path = folder / f"images/class{i // 20}/{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(path)
    return ImageFolderReader(folder / "images"), IMAGES / np.float32(255)


def loose_images(folder):
    reader, images = image_folder(folder)
    return ImageReader(reader.paths[::-1]), images[::-1]


def picked(folder):
    rows = rng.permutation(60)[:N]
    return PickedReader(ArrayReader(np.arange(60)), rows), rows


def sparse(folder):
    images = rng.integers(256, size=(N + 23, 3, 4, 5)).astype("uint8")
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("x", data=images, chunks=(5, 3, 2, 5))
    rows = np.sort(rng.permutation(len(images))[:N])
    return SparseReader(HDFReader(folder / "x.h5"), rows), images[rows]


READERS = {
    "array": (ArrayReader, lambda folder: (ArrayReader(IMAGES), IMAGES)),
    "memmap": (ArrayReader, memmap),
    "picked": (PickedReader, picked),
    "sparse": (SparseReader, sparse),
    "dataset": (HDFReader, hdf_dataset),
    "color": (HDFReader, hdf_color),
    "frame": (HDFReader, hdf_frame),
    "fixed frame": (HDFReader, hdf_fixed),
    "pandas": (HDFReader, hdf_pandas),
    "panel4d": (HDFReader, hdf_panel4d),
    "images": (ImageReader, loose_images),
    "folder": (ImageFolderReader, image_folder),
}


@pytest.fixture(scope="module", params=READERS)
def case(request, tmp_path_factory):
    return READERS[request.param][1](tmp_path_factory.mktemp("reader"))


def test_every_reader_is_here():
    found = set()
    for module in pkgutil.walk_packages(arignote.data.__path__, "arignote.data."):
        for _, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(value, Reader) and not inspect.isabstract(value):
                found.add(value)
    assert found == {kind for kind, _ in READERS.values()}


@settings(deadline=None, max_examples=30)
@given(batch=st.integers(1, 45), start=st.integers(0, 40), stop=st.none() | st.integers(0, 50), on_batch=st.booleans(),
       partial=st.booleans())  # fmt: skip
def test_batches_are_those_promised(case, batch, start, stop, on_batch, partial):
    reader, values = case
    first = -(-start // batch) * batch if on_batch else start
    last = N if stop is None else min(stop, N)
    expected = [values[i : min(i + batch, last)] for i in range(first, last, batch)]
    expected = [rows for rows in expected if partial or len(rows) == batch]
    found = list(reader.iter_epoch(batch, start, stop, on_batch, partial))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(np.asarray(one), other)


def test_says_what_it_has(case):
    reader, values = case
    assert (reader.n_rows, tuple(reader.shape)) == (N, values.shape[1:])
    assert str(reader)


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_same_from_every_batch_on_after_a_restore(case, shuffle):
    reader, _ = case
    source = Data(reader, np.arange(N), 5, start=2, shuffle=shuffle, shuffle_rows=11)
    whole = [(np.asarray(X), y) for X, y in source.iter_epoch(epoch=1, seed=3)]
    labels = np.concatenate([y for _, y in whole])
    assert sorted(labels.tolist()) == list(range(2, N))
    assert (labels.tolist() == list(range(2, N))) != shuffle
    numbers = (
        reader.rows[labels] if isinstance(reader, PickedReader | SparseReader) else labels
    )  # as the user counts the rows
    assert source.rows(0, N - 2, epoch=1, seed=3).tolist() == numbers.tolist()
    restored = pickle.loads(pickle.dumps(source))
    for first in range(len(whole) + 1):
        rest = list(restored.iter_epoch(epoch=1, first_batch=first, seed=3))
        assert len(rest) == len(whole) - first
        for (X, y), (other_X, other_y) in zip(rest, whole[first:], strict=True):
            assert np.array_equal(np.asarray(X), other_X) and np.array_equal(y, other_y)


def test_labels_stay_with_their_rows(case):
    reader, values = case
    for X, y in Data(reader, np.arange(N), 4, shuffle=True, shuffle_rows=9).iter_epoch(seed=7):
        assert np.array_equal(np.asarray(X), values[y])


def test_a_pickle_is_small(case):
    reader, _ = case
    if isinstance(reader, HDFReader):
        assert len(pickle.dumps(reader)) < 1000


def test_many_iterators_at_once(case):
    reader, values = case
    one, other = reader.iter_epoch(5), reader.iter_epoch(7, start=7)
    for i in range(4):
        assert np.array_equal(np.asarray(next(one)), values[5 * i : 5 * i + 5])
        assert np.array_equal(np.asarray(next(other)), values[7 * i + 7 : 7 * i + 14])
    found = {}

    def read(size):
        found[size] = np.concatenate([np.asarray(X) for X in reader.iter_epoch(size, allow_partial=True)])

    threads = [threading.Thread(target=read, args=(size,)) for size in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all(np.array_equal(rows, values) for rows in found.values())
