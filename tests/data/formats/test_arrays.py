"""Files of named arrays, also those of other libraries."""

import io
import zipfile

import numpy as np
import pytest

from arignote.data.formats import arrays
from arignote.nnets.nets import NNClassifier, define_mlp

safetensors = pytest.importorskip("safetensors.numpy")

VALUES = {"fc1.W": np.arange(6, dtype="float32").reshape(2, 3), "fc1.b": np.array([1.5, -2]), "n": np.array(3)}
SUFFIXES = [".npz", ".safetensors"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_arrays_round_trip(tmp_path, suffix):
    path = arrays.write(tmp_path / f"mine{suffix}", VALUES | {"transposed": np.arange(6.0).reshape(2, 3).T})
    found = arrays.read(path)
    for name, value in VALUES.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == value.dtype
    np.testing.assert_array_equal(found["transposed"], np.arange(6.0).reshape(2, 3).T)


def test_exchange_with_other_libraries(tmp_path):
    np.testing.assert_array_equal(
        safetensors.load_file(arrays.write(tmp_path / "mine.safetensors", VALUES))["fc1.W"], VALUES["fc1.W"]
    )
    safetensors.save_file(VALUES, tmp_path / "theirs.safetensors")
    np.savez_compressed(tmp_path / "theirs.npz", **VALUES)
    for suffix in SUFFIXES:
        np.testing.assert_array_equal(arrays.read(tmp_path / f"theirs{suffix}")["fc1.b"], VALUES["fc1.b"])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_missing_and_foreign_files_are_refused(tmp_path, suffix):
    path = arrays.write(tmp_path / f"mine{suffix}", VALUES)
    with pytest.raises(FileNotFoundError, match="need a file that exists"):
        arrays.read(tmp_path / f"other{suffix}")
    for content in (path.read_bytes()[:-30], b"something else", b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"cannot be read as {suffix[1:]}"):
            arrays.read(path)
    with pytest.raises(ValueError, match=r"need the suffix \.npz or \.safetensors; try mine\.npz"):
        arrays.write(tmp_path / "mine.bin", VALUES)


def test_pickles_in_npz_files_are_not_loaded(tmp_path):
    np.savez(tmp_path / "hostile.npz", mine=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        arrays.read(tmp_path / "hostile.npz")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_network_loads_some_layers_of_a_file(tmp_path, suffix):
    donor = NNClassifier(define_mlp(3, [7]), n_in=5, rng=1)
    path = donor.save_params(tmp_path / f"donor{suffix}")
    other = NNClassifier(define_mlp(4, [7]), n_in=5, rng=2)
    with pytest.raises(ValueError, match="got output"):
        other.set_trainable_params(path)
    other.set_trainable_params(path, layers=["fc0"])
    np.testing.assert_array_equal(other.params["fc0.W"].get_value(), donor.params["fc0.W"].get_value())


def packed_npz(path, **entries):
    """Write entries to a .npz file, and return its content and where in it the header and the directory are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    content = bytearray(path.read_bytes())
    return content, content.index(b"PK\x03\x04"), content.index(b"PK\x01\x02")


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def broken_deflate(path):
    content, start, _ = packed_npz(path, W=npy(np.arange(1000.0)))
    first = start + 30 + len("W.npy")
    content[first : first + 2] = b"\xff\xff"
    return content


def unknown_compression(path):
    content, start, directory = packed_npz(path, W=npy(np.arange(10.0)))
    content[start + 8] = content[directory + 10] = 97
    return content


def encrypted(path):
    content, start, directory = packed_npz(path, W=npy(np.arange(10.0)))
    content[start + 6] |= 1
    content[directory + 8] |= 1
    return content


def wrong_checksum(path):
    content, start, directory = packed_npz(path, W=npy(np.arange(10.0)))
    content[start + 14] ^= 1
    content[directory + 16] ^= 1
    return content


def header_of(text):
    def make(path):
        header = b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode()
        return packed_npz(path, W=header + bytes(24))[0]

    return make


def no_array(path):
    return packed_npz(path, W=b"any text")[0]


DAMAGED = {
    "zlib": broken_deflate,
    "compression": unknown_compression,
    "encryption": encrypted,
    "checksum": wrong_checksum,
    "header cut off": header_of("{'descr': '<f8', 'shape': (3,"),
    "huge shape": header_of("{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,)}"),
    "keys of several types": header_of("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 3: 4}"),
    "more data than the header says": header_of("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}"),
    "no array": no_array,
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_array_of_an_npz_file_is_named(kind, tmp_path):
    path = tmp_path / "mine.npz"
    path.write_bytes(DAMAGED[kind](path))
    with pytest.raises(ValueError, match=r"mine.npz: got a file .* \('W.npy': .+\); need .+; try "):
        arrays.read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_in_an_npz_file_may_come_only_once(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as archive:
        archive.writestr("W.npy", npy(np.zeros(3)))
        archive.writestr("W.npy", npy(np.ones(3)))
    with pytest.raises(ValueError, match="mine.npz: got several arrays of one name"):
        arrays.read(tmp_path / "mine.npz")


@pytest.mark.parametrize("order", ["C", "F"])
def test_npz_files_keep_order_type_and_shape(order, tmp_path):
    values = {
        "matrix": np.array([[1, 2, 3], [4, 5, 6]], dtype=">i4", order=order),
        "text": np.array(["cat", "mouse"]),
        "none": np.zeros((0, 3)),
        "times": np.array(["2020-01-01"], dtype="M8[D]"),
    }
    np.savez(tmp_path / "mine.npz", **values)
    for name, found in arrays.read(tmp_path / "mine.npz").items():
        np.testing.assert_array_equal(found, values[name])
        assert found.dtype == values[name].dtype and found.flags.writeable


def test_only_what_is_chosen_is_read(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "mine.npz", W=np.zeros(3), b=np.ones(3))
    read, names = arrays._read_entry, []
    monkeypatch.setattr(
        arrays, "_read_entry", lambda archive, entry: names.append(entry.filename) or read(archive, entry)
    )
    found = arrays.read(tmp_path / "mine.npz", choose=lambda names: [name for name in names if name == "b"])
    assert list(found) == ["b"] and found["b"].tolist() == [1, 1, 1] and names == ["b.npy"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_network_refuses_a_name_before_any_array_is_read(suffix, tmp_path, monkeypatch):
    path = arrays.write(tmp_path / f"mine{suffix}", {"fc0.W": np.zeros((5, 7), "f4"), "fc9.W": np.zeros(2)})
    for read in ("_read_entry", "_read_tensor"):
        monkeypatch.setattr(arrays, read, lambda *given: pytest.fail("an array was read"))
    network = NNClassifier(define_mlp(3, [7]), n_in=5, rng=1)
    with pytest.raises(ValueError, match=r"got the parameter 'fc9.W' from the other network; need one of this"):
        network.set_trainable_params(path)
    with pytest.raises(ValueError, match="got the layer name 'fc2'"):
        network.set_trainable_params(path, layers=["fc2"])
