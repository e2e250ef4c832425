import pickle
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import tables

from arignote.data.hdf import find
from arignote.data.readers import HDFError, HDFReader


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "data.h5")


@pytest.fixture
def file(path):
    with h5py.File(path, "w") as file:
        yield file


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ("x", ("x", None)),
        ("labels", ("labels", None)),
        ("pictures labels", ("pictures", "labels")),
        ("images y", ("images", "y")),
        ("train/X train/y", ("train/X", "train/y")),
        ("images labels names", ("images", "labels")),
        ("a b", (None, None)),
        ("a b labels", (None, "labels")),
        ("labels y", (None, None)),
    ],
)
def test_the_choice_of_a_table(names, chosen):
    assert find.choose_tables(dict.fromkeys(names.split(), "")) == chosen


def test_an_ambiguous_choice_is_an_error_that_lists_the_tables(file, path):
    file["one"], file["two"], file["group/words"] = np.zeros((3, 4)), np.zeros(3), [b"a", b"b"]
    file.flush()
    with pytest.raises(
        HDFError, match=r"data.h5: got no table; .*'one' \(3 rows of shape \(4,\)\), 'two' \(3 rows of sh"
    ):
        HDFReader(path)
    with pytest.raises(HDFError, match=r"data.h5: got the table 'three'; need one that exists; tables here: 'one'"):
        HDFReader(path, "three")
    with pytest.raises(HDFError, match=r"got the tables 'one'.*need one with labels and one with features"):
        find_both(path)


def find_both(path):
    from arignote.data.readers import read_data

    return read_data(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: f.create_dataset("x", (0, 3), "f4"), "table 'x': got an empty table"),
        (lambda f: f.create_dataset("x", data=1.0), "got a single value; need rows"),
        (lambda f: f.create_dataset("x", data=np.array([b"a"])), "got .S1 in the dataset; need numbers"),
        (lambda f: f.create_dataset("x", data=["a"], dtype=h5py.string_dtype()), "need numbers"),
        (lambda f: f.create_dataset("x", data=np.zeros(3, complex)), "need numbers"),
        (lambda f: f.create_group("x"), "got a group; need a dataset, a frame or a panel"),
        (
            lambda f: f.create_dataset("x", (10, 2**28), "u1", chunks=(1, 2**20), maxshape=(None, None)),
            "got .* values in 0 b",
        ),
        (
            lambda f: f.create_dataset("x", (1, 2**27), "u1", chunks=(1, 2**20)),
            r"rows of shape \(134217728,\)",
        ),
        (lambda f: f.create_dataset("x", (2**40,), "u1", chunks=(2**20,)), "got .* values in 0 bytes; need data"),
        (lambda f: f.create_dataset("x", (2**31, 1), "u1", chunks=(2**31 - 1, 1)), "got chunks of 2147483647 bytes"),
        (lambda f: f.__setitem__("x", h5py.SoftLink("/y")), "got the table 'x', which is a link"),
        (lambda f: f.__setitem__("x", h5py.ExternalLink("other.h5", "/y")), "got the table 'x', which is a link"),
        (
            lambda f: f.create_dataset("x", (3,), "u1", external=[("/etc/passwd", 0, 3)]),
            "takes its values from other files",
        ),
    ],
)
def test_unreadable_tables_are_refused(file, path, make, message):
    file["y"] = np.zeros(3)
    make(file)
    file.flush()
    with pytest.raises(HDFError, match=message):
        HDFReader(path, "x")


def test_other_shapes_that_would_exhaust_memory_are_refused(file, path):
    group = file.create_group("frame")
    group.attrs["pandas_type"], group.attrs["nblocks"] = "frame", 1
    group["axis0"], group["axis1"] = np.zeros(2**22 + 1, "i1"), np.arange(3)
    group["block0_items"], group["block0_values"] = np.arange(2), np.zeros((2, 3))
    file.create_dataset("records", 3, np.dtype([("x", "f4"), ("y", "V67108865")]), chunks=(1,))
    file.flush()
    with pytest.raises(HDFError, match="got 4194305 column names; need at most"):
        HDFReader(path, "frame")
    with pytest.raises(HDFError, match="67108869 bytes each; need 67108864 or less"):
        HDFReader(path, "records")
    del group["axis0"]
    group["axis0"] = np.arange(2)
    file.flush()
    assert HDFReader(path, "frame").shape == (2,)
    del group["axis1"]
    group["axis1"] = np.arange(4)
    file.flush()
    with pytest.raises(HDFError, match=r"got values of shape \(2, 3\) for axes of \(2, 4\)"):
        HDFReader(path, "frame")


def test_virtual_datasets_are_not_followed(file, path):
    with h5py.File(path.replace("data.h5", "other.h5"), "w") as other:
        other["secret"] = np.arange(3)
    layout = h5py.VirtualLayout((3,), "i8")
    layout[:] = h5py.VirtualSource("other.h5", "secret", (3,))
    file.create_virtual_dataset("x", layout)
    file.flush()
    with pytest.raises(HDFError, match="takes its values from other files"):
        HDFReader(path, "x")


class Exploit:
    def __reduce__(self):
        return print, ("EXPLOIT",)


@pytest.mark.parametrize(
    "attribute", ["non_index_axes", "index_cols", "levels", "values_block_0_kind", "FIELD_0_FILL", "info"]
)
def test_pickled_attributes_never_run(path, capfd, attribute):
    pd.DataFrame({"a": [1.0, 2.0]}).to_hdf(path, key="data", format="table")
    with h5py.File(path, "a") as file:
        node = file["data/table"] if attribute in file["data/table"].attrs else file["data"]
        node.attrs[attribute] = np.bytes_(pickle.dumps(Exploit(), protocol=0))
    try:
        next(HDFReader(path, "data").iter_epoch(2))
        refused = False
    except HDFError as error:
        refused = True
        assert "an attribute cannot be read: got a pickle that asks for" in str(error)
    assert refused == (attribute not in ("FIELD_0_FILL", "info"))
    assert "EXPLOIT" not in capfd.readouterr().out


def test_pytables_would_run_the_same_file(path, capfd):
    """Verify that the exploit of the previous test works."""
    pd.DataFrame({"a": [1.0, 2.0]}).to_hdf(path, key="data", format="table")
    with h5py.File(path, "a") as file:
        file["data"].attrs["info"] = np.bytes_(pickle.dumps(Exploit(), protocol=0))
    with tables.open_file(path) as file:
        file.root.data._v_attrs.info  # noqa: B018
    assert "EXPLOIT" in capfd.readouterr().out


@pytest.mark.parametrize("damage", ["foreign", "cut", "empty", "folder"])
def test_damaged_files(path, tmp_path, damage):
    pd.DataFrame({"a": np.arange(10000.0)}).to_hdf(path, key="data", format="table")
    content = Path(path).read_bytes()
    new = {"foreign": b"\x89PNG" + content[4:], "cut": content[: len(content) // 2], "empty": b"", "folder": content}[
        damage
    ]
    Path(path).write_bytes(new)
    with pytest.raises(FileNotFoundError if damage == "folder" else HDFError, match="need|not HDF5, or is damaged"):
        HDFReader(tmp_path if damage == "folder" else path)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="got the file name .*none.h5'; need a file that exists"):
        HDFReader(tmp_path / "none.h5")


def test_damaged_bytes_raise_hdf_errors_only(path):
    """A file with random changes is either read or refused with an HDFError."""
    with pd.HDFStore(path) as store:
        store.append("data", pd.DataFrame({"a": np.arange(50.0), "b": np.arange(50)}))
    content = Path(path).read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        changed = bytearray(content)
        for position in rng.integers(len(content), size=20):
            changed[position] = rng.integers(256)
        Path(path).write_bytes(changed)
        try:
            list(HDFReader(path, "data").iter_epoch(10))
        except HDFError:
            refused += 1
    assert refused > 10
