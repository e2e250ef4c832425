"""Damaged and hostile files of every format: one kind of error, which names the file, before much memory is taken."""

import gzip
import io
import json
import os
import pickle
import random
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from arignote.data import files, formats, images, unpickle
from arignote.data.formats import arrays
from arignote.data.images import ImageReader
from arignote.data.readers import Data

safetensors = pytest.importorskip("safetensors.numpy")

ROWS = np.arange(60, dtype="f4").reshape(12, 5)
MIB = 2**20


def saved(save, **options):
    buffer = io.BytesIO()
    save(buffer, **options)
    return buffer.getvalue()


def image(form, **options):
    pixels = np.arange(48 * 3, dtype="u1").reshape(8, 6, 3)
    return saved(lambda file: Image.fromarray(pixels).save(file, form, **options))


def idx(array):
    return struct.pack(f">BBBB{array.ndim}i", 0, 0, 0x0D, array.ndim, *array.shape) + array.astype(">f4").tobytes()


def zipped(entry):
    """Return a .npz file of one entry, with a checksum that is right whatever is in it."""

    def write(file):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("X.npy", entry)

    return saved(write)


def same(content):
    return content


CSV = "\n".join(["a,b,label", *(f"{i},{i / 7:.3f},{i % 2}" for i in range(20))]).encode()
NAMES = b'"a, b","c\nd",label\n' + b"".join(b'%d,"%d.5e-1",dog %d\n' % (i, i, i % 3) for i in range(20))
NPY = saved(lambda file: np.save(file, ROWS))
read_image = lambda path: ImageReader([path]).take([0])  # noqa: E731
# The name of a file -> a good content, the function that reads it, and what is done with a mutated content before that.
FORMATS = {
    "a.npz": (saved(np.savez, X=ROWS, y=np.arange(12)), arrays.read, same),
    "packed.npz": (saved(np.savez_compressed, X=ROWS, y=np.arange(12)), arrays.read, same),
    "entry.npz": (NPY, arrays.read, zipped),
    "a.safetensors": (safetensors.save({"X": ROWS, "y": np.arange(12)}), arrays.read, same),
    "a.npy": (NPY, files.read_array, same),
    "a-idx2-ubyte": (idx(ROWS), files.read_idx, same),
    "a-idx2-ubyte.gz": (gzip.compress(idx(ROWS)), files.read_idx, same),
    "a.csv": (CSV, files.read_csv, same),
    "a.csv.gz": (gzip.compress(CSV), files.read_csv, same),
    "names.csv.gz": (NAMES, formats.read_labelled_table, gzip.compress),
    "header.csv": (NAMES, formats.read_columns, same),
    "table.csv": (CSV, formats.read_table, same),
    "array.csv": (CSV, files.read_array, same),
    "a.pkl": (pickle.dumps((ROWS, list(range(12)))), files.read_pickle, same),
    **{f"a{suffix}": (image(form), read_image, same) for suffix, form in
       {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".bmp": "bmp", ".tif": "tiff", ".tiff": "tiff",
        ".webp": "webp", ".ppm": "ppm"}.items()},
    "a.pgm": (saved(lambda file: Image.fromarray(np.arange(48, dtype="u1").reshape(8, 6)).save(file, "ppm")),
              read_image, same),
}  # fmt: skip


def test_every_format_is_here():
    names = {name for name in formats.__all__ if name.startswith("read_")}
    assert {getattr(formats, name) for name in names} <= {read for _, read, _ in FORMATS.values()}
    assert {os.path.splitext(name)[1] for name in FORMATS} >= set(arrays.FORMATS) | images.SUFFIXES


def mutated(content, rng):
    """Return a content with some bytes changed, removed, or repeated."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(content) + 1)
        what = rng.randrange(5)
        if what < 2 and at < len(content):
            content[at] = rng.choice((0, 255, rng.randrange(256), content[at] ^ 1 << rng.randrange(8)))
        elif what == 2:
            del content[at : at + rng.randint(1, 8)]
        elif what == 3:
            content[at:at] = content[at : at + rng.randint(1, 20)]
        elif rng.random() < 0.3:
            del content[at:]
    return bytes(content)


N_MUTATIONS = int(os.environ.get("ARIGNOTE_MUTATIONS", "150"))


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_gives_an_error_with_its_name_or_an_array(name, tmp_path):
    content, read, pack = FORMATS[name]
    path = tmp_path / name
    path.write_bytes(pack(content))
    read(path)
    rng, n_refused = random.Random(name), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # decoders warn of this and that
        for _ in range(N_MUTATIONS):
            path.write_bytes(pack(mutated(content, rng)))
            try:
                read(path)
            except ValueError as error:
                assert str(error).startswith(f"{path}: "), error
                assert "; need " in str(error) and "; try " in str(error), error
                n_refused += 1
    assert n_refused > N_MUTATIONS / 10


# -- limits ----------------------------------------------------------------------------------------------------------


def npz_of(header: dict, data: bytes, compress: int = zipfile.ZIP_DEFLATED) -> bytes:
    text = repr(header).encode()
    entry = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data

    def write(file):
        with zipfile.ZipFile(file, "w", compress) as archive:
            archive.writestr("X.npy", entry)

    return saved(write)


HUGE = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
BOMBS = {
    "zeros.npz": (saved(np.savez_compressed, X=np.zeros(30 * MIB)), arrays.read),
    "huge.npz": (npz_of(HUGE, b"12345678"), arrays.read),
    "negative.npz": (npz_of(HUGE | {"shape": (-1,)}, b"12345678"), arrays.read),
    "zeros.csv.gz": (gzip.compress((b"0," * 2000 + b"0\n") * 10_000), Data),
    "zeros-idx1-ubyte.gz": (gzip.compress(struct.pack(">BBBBi", 0, 0, 8, 1, 10**8) + bytes(10**8)), files.read_idx),
    "zeros.png": (saved(lambda file: Image.new("L", (9000, 9000)).save(file, "png")), read_image),
    "lists.pkl": (b"(" + b"(" + b"N" * 1000 + b"lq\x01" + b"h\x01" * 50_000 + b"l.", files.read_pickle),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_of_large_data_is_refused_before_they_are_in_memory(name, tmp_path):
    content, read = BOMBS[name]
    assert len(content) < 350_000
    (tmp_path / name).write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"{name}: .*; need .*; try"):
            read(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 130 * MIB
    finally:
        tracemalloc.stop()


def test_images_of_any_size_are_read_where_they_are_allowed(tmp_path):
    Image.new("L", (60, 50), 255).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a.png: got an image of 50x60 pixels in row 0; .* try max_pixels=3000"):
        ImageReader([tmp_path / "a.png"], max_pixels=2999)
    assert ImageReader([tmp_path / "a.png"], max_pixels=3000).take([0]).all()
    Image.new("L", (60, 51), 255).save(tmp_path / "b.png")
    second = ImageReader([tmp_path / "a.png", tmp_path / "b.png"], size=4, max_pixels=3000)
    for read in (second.verify, lambda: second.take([1])):
        with pytest.raises(ValueError, match="b.png: got an image of 51x60 pixels in row 1"):
            read()


def test_a_table_may_be_allowed_more(tmp_path):
    path = tmp_path / "zeros.csv.gz"
    path.write_bytes(BOMBS["zeros.csv.gz"][0])
    features, labels = files.read_csv(path, max_bytes=2**28)
    assert features.shape == (10_000, 2000) and len(labels) == 10_000


# -- what other programs write ---------------------------------------------------------------------------------------


def safetensors_of(kind, shape, data):
    header = json.dumps({"W": {"dtype": kind, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    return struct.pack("<Q", len(header)) + header + data


def test_bfloat16_is_read_as_float32(tmp_path):
    values = np.array([[1.0, -2.5, 0.0], [np.inf, 3.140625, -1e30]], "f4")
    upper = values.view("u4") >> 16
    (tmp_path / "a.safetensors").write_bytes(safetensors_of("BF16", [2, 3], upper.astype("<u2").tobytes()))
    found = arrays.read(tmp_path / "a.safetensors")["W"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, (upper.astype("u4") << 16).view("f4"))
    np.testing.assert_allclose(found, values, rtol=2**-7)


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2"])
def test_types_that_numpy_does_not_have_are_named(kind, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(safetensors_of(kind, [4], b"1234"))
    with pytest.raises(ValueError, match=rf"a.safetensors: .*got 'W' in {kind}; need one of F64, F32"):
        arrays.read(tmp_path / "a.safetensors")


def test_an_encrypted_archive_is_refused(tmp_path):
    content = bytearray(npz_of(HUGE | {"shape": (1,)}, b"12345678", zipfile.ZIP_STORED))
    for start in (6, content.index(b"PK\x01\x02") + 8):  # the flags of the entry, and of the directory
        content[start] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a.npz: .*'X.npy': .*encrypted"):
        arrays.read(tmp_path / "a.npz")


@pytest.mark.parametrize("content", ["a,b,label\n", "a,b,label", "\n\na,b\n\n", "\ufeffa,b\n"])
@pytest.mark.parametrize("read", [files.read_csv, files.read_array, Data])
def test_a_table_with_a_header_alone_is_refused(read, content, tmp_path):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ValueError, match="a.csv: got a table without rows; need at least one"):
        read(tmp_path / "a.csv")


def test_all_errors_of_pickles_are_of_the_same_kind():
    assert issubclass(unpickle.PickleError, ValueError) and issubclass(files.CheckpointError, ValueError)
