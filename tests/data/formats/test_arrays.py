"""Files of named arrays, also those of other libraries."""

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
    donor = NNClassifier(define_mlp([7], 3), n_in=5, rng=1)
    path = donor.save_params(tmp_path / f"donor{suffix}")
    other = NNClassifier(define_mlp([7], 4), n_in=5, rng=2)
    with pytest.raises(ValueError, match="got output"):
        other.set_trainable_params(path)
    other.set_trainable_params(path, layers=["fc1"])
    np.testing.assert_array_equal(other.params["fc1.W"].get_value(), donor.params["fc1.W"].get_value())
