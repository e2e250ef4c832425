import h5py
import numpy as np
import pandas as pd
import pytest
import tables

from arignote.data.readers import HDFError, HDFReader

rng = np.random.default_rng(5)
FRAME = pd.DataFrame(
    {
        "b": rng.normal(size=23),
        "a": rng.integers(100, size=23),
        "flag": rng.integers(2, size=23).astype(bool),
        "small": rng.integers(100, size=23).astype("uint8"),
        "c": rng.normal(size=23),
    }
)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "data.h5")


def read_all(reader, batch_size=4):
    return np.concatenate(list(reader.iter_epoch(batch_size, allow_partial=True)))


@pytest.mark.parametrize("write", ["h5py", "h5py chunked", "array", "carray", "earray"])
@pytest.mark.parametrize("dtype", ["uint8", ">i2", "int64", "float16", "float32", "float64", "bool"])
def test_datasets(path, write, dtype):
    values = (rng.normal(size=(23, 3, 4)) * 20).astype(dtype)
    if write.startswith("h5py"):
        options = {"chunks": (5, 2, 4), "compression": "lzf", "shuffle": True} if "chunked" in write else {}
        with h5py.File(path, "w") as file:
            file.create_dataset("group/x", data=values, **options)
    else:
        with tables.open_file(path, "w") as file:
            group = file.create_group("/", "group")
            options = {"filters": tables.Filters(5, "blosc")} if write != "array" else {}
            getattr(file, f"create_{write}")(group, "x", obj=values, **options)
    for table in (None, "group/x", "/group/x"):
        reader = HDFReader(path, table)
        assert (reader.n_rows, reader.shape) == (23, (3, 4))
        found = read_all(reader)
        assert np.array_equal(found, values)


@pytest.mark.parametrize("data_columns", [None, ["a"], True])
@pytest.mark.parametrize("complib", ["zlib", "bzip2", "blosc", "blosc:zstd"])
def test_frames_as_tables(path, data_columns, complib):
    with pd.HDFStore(path, complib=complib, complevel=5) as store:
        store.append("data", FRAME[:10], data_columns=data_columns)
        store.append("data", FRAME[10:], data_columns=data_columns)
    reader = HDFReader(path, asarray=False)
    assert (reader.n_rows, reader.shape, reader.dtype) == (23, (5,), np.float64)
    assert np.array_equal(read_all(HDFReader(path)), FRAME.to_numpy(float))
    frames = list(reader.iter_epoch(10, start=10))
    pd.testing.assert_frame_equal(frames[0], FRAME[10:20].astype(float))


@pytest.mark.parametrize(
    "index", [range(5, 28), pd.date_range("2020", periods=23, freq="D"), [f"row {i}" for i in range(23)]]
)
def test_frames_with_any_index(path, index):
    FRAME.set_index(pd.Index(index)).to_hdf(path, key="data", format="table")
    assert np.array_equal(read_all(HDFReader(path)), FRAME.to_numpy(float))


def test_levels_of_an_index_are_not_columns(path):
    frame = FRAME.set_index(pd.MultiIndex.from_product([range(23), ["x"]], names=["n", "s"]))
    frame.to_hdf(path, key="data", format="table")
    assert np.array_equal(read_all(HDFReader(path)), FRAME.to_numpy(float))


@pytest.mark.parametrize("form", ["table", "fixed"])
@pytest.mark.parametrize("name", [None, "digit"])
def test_series(path, form, name):
    FRAME["a"].rename(name).to_hdf(path, key="labels", format=form)
    reader = HDFReader(path)
    assert reader.shape == ()
    assert np.array_equal(read_all(reader), FRAME["a"])


@pytest.mark.parametrize("columns", [None, [4, 2, 3, 0, 1]])
def test_frames_in_fixed_format(path, columns):
    frame = FRAME if columns is None else FRAME.set_axis(columns, axis=1)
    frame.to_hdf(path, key="data", format="fixed")
    reader = HDFReader(path)
    assert (reader.n_rows, reader.shape) == (23, (5,))
    assert np.array_equal(read_all(reader), FRAME.to_numpy(float))


def test_many_columns(path):
    frame = pd.DataFrame(rng.normal(size=(6, 2000)).astype("float32"))
    frame.to_hdf(path, key="data", format="table")
    assert np.array_equal(read_all(HDFReader(path)), frame)


def test_records(path):
    class Row(tables.IsDescription):
        image = tables.Float32Col((4, 4))

    images = rng.normal(size=(9, 4, 4)).astype("float32")
    points = np.rec.fromarrays([np.arange(9), rng.normal(size=9)], names="x,y")
    with tables.open_file(path, "w") as file:
        file.create_table("/", "images", Row).append([(image,) for image in images])
        file.create_table("/", "points", obj=points)
    assert np.array_equal(read_all(HDFReader(path, "images")), images)
    assert np.array_equal(read_all(HDFReader(path, "points")), np.stack([points.x, points.y], axis=1))
    frame = next(HDFReader(path, "points", asarray=False).iter_epoch(2, start=4))
    assert frame.columns.tolist() == ["x", "y"] and frame.index.tolist() == [4, 5]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"a": list("xyz")}), "got .S1 in the column 'a'; need numbers"),
        (pd.DataFrame({"a": [1, 2, 3], "w": pd.Categorical(list("xyx"))}), "got category in the column 'w'"),
        (pd.DataFrame({"t": pd.date_range("2020", periods=3)}), "got datetime64.* in the column 't'; need numbers"),
    ],
)
def test_columns_that_are_not_numeric_are_refused(path, frame, message):
    frame.to_hdf(path, key="data", format="table")
    with pytest.raises(HDFError, match=f"data.h5: table 'data': {message}"):
        HDFReader(path, "data")


@pytest.mark.filterwarnings("ignore::tables.NaturalNameWarning", "ignore::pandas.errors.PerformanceWarning")
def test_fixed_frames_of_text_are_refused(path):
    pd.DataFrame({"t": pd.date_range("2020", periods=3)}).to_hdf(path, key="data", format="fixed")
    with pytest.raises(HDFError, match="got datetime64"):
        HDFReader(path, "data")
    pd.DataFrame({"t": list("abc")}).to_hdf(path, key="words", format="fixed")
    with pytest.raises(HDFError, match="table 'words'.*need numbers"):
        HDFReader(path, "words")
