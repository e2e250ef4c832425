import io
import struct

import numpy as np
import pytest

from arignote.data.files import read_array

HEADER = "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }"


def npy(header=HEADER, data=bytes(24), version=(1, 0)):
    """Return a file with this header, written as numpy's format is described."""
    length = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + length + header.encode("latin1") + data


ARRAYS = {
    "numbers": np.arange(6.0).reshape(2, 3),
    "columns first": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "big endian": np.arange(4, dtype=">i2"),
    "text": np.array(["cat", "dog"]),
    "nothing": np.zeros((0, 3)),
    "one number": np.array(3),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_stay_on_the_disk(kind, tmp_path):
    np.save(tmp_path / "a.npy", ARRAYS[kind])
    found = read_array(tmp_path / "a.npy")
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, ARRAYS[kind])


def test_both_versions_of_the_header_are_read(tmp_path):
    for version in ((1, 0), (2, 0)):
        (tmp_path / "a.npy").write_bytes(npy(data=np.arange(3.0).tobytes(), version=version))
        assert read_array(tmp_path / "a.npy").tolist() == [0, 1, 2]


def an_npz_file():
    file = io.BytesIO()
    np.savez(file, a=np.zeros(3))
    return file.getvalue()


DAMAGED = {
    "cut off in the header": (HEADER[:-4], "cannot be read as npy"),
    "no dictionary": ("[1, 2]", "cannot be read as npy"),
    "keys of several types": (HEADER.replace("}", "3: 4}"), "cannot be read as npy"),
    "nested deeply": ("(" * 5000, "cannot be read as npy"),
    "more values than the file": (HEADER.replace("3,", "10000000000000,"), "24 bytes of data for the shape"),
    "a shape that overflows": (HEADER.replace("3,", "4294967296, 4294967296, 4"), "24 bytes of data for the shape"),
    "a negative shape": (HEADER.replace("3,", "-1, -3"), r"the shape \(-1, -3\)"),
    "values without bytes": (HEADER.replace("<f8", "V0").replace("3,", "10000000000000,"), "24 bytes of data"),
    "objects": (HEADER.replace("<f8", "|O"), "got objects, which need a pickle"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_are_refused_by_their_header(kind, tmp_path):
    header, message = DAMAGED[kind]
    (tmp_path / "a.npy").write_bytes(npy(header))
    with pytest.raises(ValueError, match=rf"a.npy: got .*{message}"):
        read_array(tmp_path / "a.npy")


@pytest.mark.parametrize("content", [b"", b"PK", npy(version=(3, 0)), npy(version=(9, 1)), an_npz_file(), npy()[:-1]])
def test_other_files_are_refused(content, tmp_path):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match="a.npy: got "):
        read_array(tmp_path / "a.npy")
