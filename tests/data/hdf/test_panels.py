import numpy as np
import pytest
import tables

from arignote.data.readers import HDFError, HDFReader
from tests.data.hdf.old_pandas import put, write_fixed_panel, write_panel

rng = np.random.default_rng(3)
IMAGES = rng.normal(size=(7, 3, 4, 5))
LABELS = [list(range(7)), ["red", "green", "blue"], list(range(4)), list(range(5))]


def read_all(reader, batch_size=3):
    return np.concatenate(list(reader.iter_epoch(batch_size, allow_partial=True)))


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "old.h5")


@pytest.mark.parametrize("kind", ["values_block_{}_kind", "values_{}_kind"])
def test_the_panel4d_of_the_original_readme(path, kind):
    write_panel(path, "images", IMAGES, LABELS, item_axis=1, kind=kind, complib="zlib", complevel=9)
    reader = HDFReader(path, "images", asarray=True)
    assert (reader.n_rows, reader.shape, reader.dtype) == (7, (3, 4, 5), np.float64)
    assert np.array_equal(read_all(reader), IMAGES)
    assert np.array_equal(next(reader.iter_epoch(2, start=4)), IMAGES[4:6])


@pytest.mark.parametrize("order", ["within", "interrupted", "reversed", "random"])
def test_records_are_sorted_by_their_labels(path, order):
    n = 7 * 20
    order = {
        "within": np.concatenate([i * 20 + rng.permutation(20) for i in range(7)]),
        "interrupted": np.argsort(
            np.repeat([0, 0, 1, 1, 0, 1, 0], 20) + np.tile(np.repeat([0, 2], 10), 7), kind="stable"
        ),
        "reversed": np.arange(n)[::-1],
        "random": rng.permutation(n),
    }[order]
    write_panel(path, "images", IMAGES, LABELS, item_axis=1, order=order)
    seen = list(dict.fromkeys((order // 20).tolist()))  # rows are in the order of the first occurrence of their labels
    assert np.array_equal(read_all(HDFReader(path)), IMAGES[seen])


def test_distant_records_of_one_example_are_found(path):
    values = rng.normal(size=(40, 1, 2, 2))
    order = np.arange(160).reshape(40, 2, 2).transpose(1, 0, 2).ravel()  # all first halves, then all second halves
    write_panel(path, "x", values, [list(range(40)), ["a"], [0, 1], [0, 1]], item_axis=1, order=order)
    assert np.array_equal(read_all(HDFReader(path), 1), values)


@pytest.mark.parametrize("item_axis", [1, 2, 3])
def test_any_axis_can_be_stored_along_the_columns(path, item_axis):
    labels = [LABELS[0], [b"r", b"g", b"b"], [10, 30, 40, 70], [1.5, 2.5, 3.0, 7.0, 9.0]]
    write_panel(path, "x", IMAGES, labels, item_axis)
    assert np.array_equal(read_all(HDFReader(path)), sort_bytes(IMAGES, item_axis))


def sort_bytes(images, item_axis):
    """Index axes are sorted by their labels: b, g, r."""
    return images if item_axis == 1 else images[:, ::-1]


def test_blocks_of_different_types(path):
    values = np.round(IMAGES * 10)
    write_panel(path, "x", values, LABELS, 1, blocks=[([2], np.float32), ([1, 0], np.int16)])
    reader = HDFReader(path)
    assert reader.dtype == np.float32
    assert np.array_equal(read_all(reader), values)
    green = HDFReader(path, color="green")
    assert green.shape == (1, 4, 5)
    assert np.array_equal(read_all(green), values[:, 1:2])
    assert np.array_equal(read_all(HDFReader(path, color=2)), values[:, 2:])


@pytest.mark.parametrize("dates", [False, True])
def test_a_panel_is_split_along_its_first_index_axis(path, dates):
    panel = rng.normal(size=(2, 6, 3))
    major = (np.arange(6) * 86_400_000_000_000 + 1_300_000_000_000_000_000).tolist() if dates else list(range(6))
    write_panel(path, "x", panel, [["a", "b"], major, [0, 1, 2]], item_axis=0)
    assert np.array_equal(read_all(HDFReader(path)), panel.transpose(1, 0, 2))


def test_a_panel_before_pandas_0_10(path):
    panel = rng.normal(size=(2, 6, 3))
    with tables.open_file(path, "w") as file:
        group = file.create_group("/", "x")
        columns = {
            "index": tables.Int64Col(pos=0),
            "column": tables.Int64Col(pos=1),
            "values": tables.Float64Col((2,), pos=2),
        }
        table = file.create_table(group, "table", columns)
        table.append([(i, j, panel[:, i, j]) for i in range(6) for j in range(3)])
        put(group, pandas_type="wide_table")
        put(table, fields=["a", "b"], index_kind="integer", columns_kind="integer")
    assert np.array_equal(read_all(HDFReader(path)), panel.transpose(1, 0, 2))


def test_the_rows_of_a_fixed_panel_are_its_items(path):
    values = rng.normal(size=(5, 4, 3))
    blocks = [([0, 3], values[[0, 3]]), ([4, 1, 2], values[[4, 1, 2]].astype(np.float32))]
    write_fixed_panel(path, "x", blocks, [[0, 1, 2, 3, 4], [0, 1, 2, 3], [0, 1, 2]])
    reader = HDFReader(path)
    assert (reader.n_rows, reader.shape) == (5, (4, 3))
    assert np.allclose(read_all(reader, 2), values, rtol=1e-7)
    assert np.array_equal(next(reader.iter_epoch(1, start=3)), values[3:4])


def test_an_example_with_too_few_records_is_refused(path):
    write_panel(path, "images", IMAGES, LABELS, 1, order=[i for i in range(140) if i != 47])
    with pytest.raises(HDFError, match=r"old.h5: table 'images': got 19 records in row 2, labelled 2; need 20"):
        HDFReader(path, "images")


def test_a_record_that_occurs_twice_is_refused_with_its_row(path):
    order = list(range(140))
    order[45] = 44
    write_panel(path, "images", IMAGES, LABELS, 1, order=order)
    with pytest.raises(HDFError, match="table 'images', rows 0 to 2: got two records for one element of row 2"):
        next(HDFReader(path, "images").iter_epoch(3))


def test_strings_are_refused(path):
    words = np.full((2, 1, 2, 2), b"yes")
    write_panel(path, "x", words, [[0, 1], ["a"], [0, 1], [0, 1]], 1)
    with pytest.raises(HDFError, match="got .S3 in the items 'a'; need numbers"):
        HDFReader(path)
