"""What `fit` makes of the data that it is given, and how it names a row at fault."""

import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

from arignote.data import dataset as dataset_module
from arignote.data.readers import Data, DataWithHoldoutPartitions, HDFReader
from arignote.nnets.nets import NNClassifier
from arignote.nnets.train.inputs import gather
from tests.data.test_dataset import Plain
from tests.helpers import MLP, mean_nll


@pytest.fixture(autouse=True)
def _quick(quick):
    """Nothing here depends on C."""


def fit(X, y=None, **given):
    return NNClassifier(MLP, rng=1).fit(X, y, **{"n_epochs": 1, "batch_size": 20, "sgd_type": "nag"} | given)


def with_value(array, row, value):
    """Return a copy of an array with another value in a row."""
    array = array.copy()
    array[row] = value
    return array


def test_data_given_beside_three_pairs_count(blobs):
    X, y = blobs
    pairs = (X[:100], y[:100]), (X[100:140], y[100:140]), (X[140:180], y[140:180])
    given, beside = fit(pairs), fit(pairs, valid=(X[180:210], y[180:210]), test=(X[210:], y[210:]))
    for classifier, valid, test in ((given, *pairs[1:]), (beside, (X[180:210], y[180:210]), (X[210:], y[210:]))):
        entry = classifier.trainer.history[0]
        assert entry["valid_nll"] == pytest.approx(mean_nll(classifier, *valid), rel=1e-5)
        assert entry["test_nll"] == pytest.approx(mean_nll(classifier, *test), rel=1e-5)


@pytest.mark.parametrize("row", [9, 120])
def test_rows_outside_start_and_stop_may_be_anything(blobs, row):
    X, y = blobs
    data = Data(with_value(X, row, np.nan), with_value(y, row, 99), start=10, stop=120)
    assert fit(data).trainer.progress.n_examples == 110


@pytest.mark.parametrize(("row", "start"), [(8499, 0), (8192, 0), (8499, 20), (70, 50)])
@pytest.mark.parametrize(("part", "message"), [("features", "got nan"), ("labels", "got the label 7")])
def test_rows_at_fault_are_counted_from_the_first_of_all(row, start, part, message):
    X, y = np.zeros((9000, 2), "float32"), np.arange(9000) % 3
    X, y = (with_value(X, row, np.nan), y) if part == "features" else (X, with_value(y, row, 7))
    with pytest.raises(ValueError, match=f"training data: {message} in row {row}[ ;]"):
        fit(Data(X, y, start=start))


def test_labels_are_checked_as_they_were_altered(blobs):
    X, y = blobs
    assert fit(Data(X, y + 5, alter_labels=lambda y: y - 5)).classes_.tolist() == [0, 1, 2]
    assert fit(Data(X, y, alter_labels=lambda y: y + 5)).classes_.tolist() == [5, 6, 7]
    with pytest.raises(ValueError, match=f"got the label {y[0] + 0.5} in row 0;"):
        fit(Data(X, y, alter_labels=lambda y: y + 0.5))


def test_a_row_of_stratified_data_is_numbered_as_the_user_does(blobs):
    X, y = blobs
    train = DataWithHoldoutPartitions(X, y, 20, 0.4, 0, stratify=True).train
    row = int(train.rows(train.n_rows - 1, train.n_rows)[0])
    assert row > train.n_rows
    for bad_X, bad_y, message in (
        (with_value(X, row, np.nan), y, f"got nan in row {row} "),
        (X, with_value(y, row, 7), f"got the label 7 in row {row};"),
    ):
        train = DataWithHoldoutPartitions(bad_X, bad_y, 20, 0.4, 0, stratify=True).train
        with pytest.raises(ValueError, match=message):
            fit(train)


# -- orders ----------------------------------------------------------------------------------------------------------

SORTED = np.repeat(np.arange(3), 80)
AT_CENTERS = np.random.default_rng(1).normal(size=(240, 5)) + 2 * np.eye(3, 5)[SORTED]


def rows_read(data, epoch=0):
    """Return the numbers of the rows of an epoch, which must be the features."""
    return [int(row) for X, _ in data.iter_epoch_single(epoch, batch_size=20, seed=1) for row in X[:, 0]]


def numbered(labels=SORTED):
    return np.column_stack([np.arange(len(labels))] * 5), labels


def hdf_file(folder, X, y, **options):
    with h5py.File(folder / "rows.h5", "w") as file:
        file.create_dataset("features", data=X, **options)
        file.create_dataset("labels", data=y, **options)
    return folder / "rows.h5"


def csv_file(folder, X, y):
    pd.DataFrame(X, columns=list("abcde")).assign(label=y).to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


FORMS = {
    "arrays": lambda folder, X, y: (X, y),
    "a pair": lambda folder, X, y: ((X, y), None),
    "three pairs": lambda folder, X, y: (((X, y), (X, y), (X, y)), None),
    "frame": lambda folder, X, y: (pd.DataFrame(X), pd.Series(y)),
    "CSV": lambda folder, X, y: (csv_file(folder, X, y), None),
    "HDF5": lambda folder, X, y: (hdf_file(folder, X, y, chunks=True), None),
    "readers": lambda folder, X, y: (HDFReader(hdf_file(folder, X, y), "features"), y),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_given_to_fit_are_shuffled_each_epoch(form, tmp_path):
    X, y = FORMS[form](tmp_path, *numbered())
    data = gather(X, y, None, None, 20)
    epochs = [rows_read(data.train, epoch) for epoch in (0, 0, 1)]
    assert data.order == "shuffled" and sorted(epochs[0]) == list(range(240))
    assert epochs[0] == epochs[1] != epochs[2]
    assert epochs[0] != sorted(epochs[0])
    assert rows_read(gather(X, y, None, None, 20, "stored").train) == list(range(240))


@pytest.mark.parametrize("form", [form for form in FORMS if form != "three pairs"])
def test_a_fraction_is_held_out_of_each_class_by_the_seed(form, tmp_path):
    X, y = FORMS[form](tmp_path, *numbered())
    parts = gather(X, y, 0.2, 0.1, 20, seed=4)
    rows = {name: rows_read(getattr(parts, name)) for name in ("train", "valid", "test")}
    assert sorted([*rows["train"], *rows["valid"], *rows["test"]]) == list(range(240))
    for name, per_class in (("train", 56), ("valid", 16), ("test", 8)):
        assert np.bincount(SORTED[rows[name]]).tolist() == [per_class] * 3
    again, other = (rows_read(gather(X, y, 0.2, 0.1, 20, seed=seed).valid) for seed in (4, 5))
    assert rows["valid"] == again != other
    assert rows["train"] != sorted(rows["train"])
    for part in (parts.train, parts.valid, parts.test):
        assert all((SORTED[X[:, 0].astype(int)] == y).all() for X, y in part.iter_epoch(batch_size=20))


def test_without_shuffling_the_last_rows_are_held_out():
    parts = gather(*numbered(), 0.2, 0.1, 20, "stored")
    assert [rows_read(part) for part in (parts.train, parts.valid, parts.test)] == [
        list(range(168)), list(range(168, 216)), list(range(216, 240)),
    ]  # fmt: skip


def test_a_fraction_is_not_rounded_to_batches():
    X, y = load_wine(return_X_y=True)
    for order in ("shuffled", "stored"):
        assert gather(X, y, 0.2, None, 16, order).valid.n_rows == 36


def test_a_reader_of_sequences_is_read_in_order_unless_told_otherwise():
    X, y = numbered()
    data = gather(Plain(X), y, None, None, 20)
    assert data.order == "stored" and rows_read(data.train) == list(range(240))
    assert rows_read(gather(Plain(X), y, None, None, 20, "shuffled").train) != list(range(240))


def test_data_keep_the_order_that_they_were_made_with():
    X, y = numbered()
    assert rows_read(gather(Data(X, y), None, None, None, 20, "shuffled").train) == list(range(240))
    parts = gather(DataWithHoldoutPartitions(X, y, 20, 0.25, 0), None, None, None, 20, "shuffled")
    assert rows_read(parts.train) == list(range(180)) and rows_read(parts.valid) == list(range(180, 240))


@pytest.mark.parametrize("n_shards", [1, 2])
def test_sorted_rows_are_learned_as_well_as_shuffled_ones(n_shards):
    mixed = np.random.default_rng(0).permutation(240)
    scores = [
        fit(X, y, valid=0.2, n_epochs=15, shards=n_shards).score(X, y)
        for X, y in ((AT_CENTERS, SORTED), (AT_CENTERS[mixed], SORTED[mixed]))
    ]
    assert min(scores) > 0.8 and abs(scores[0] - scores[1]) < 0.03


# -- warnings --------------------------------------------------------------------------------------------------------


def told(X, y=None, **given):
    """Return the warnings of `fit`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        fit(X, y, **given)
    return [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]


def test_sorted_rows_that_nothing_shuffles_are_warned_of_once():
    in_order = Data(AT_CENTERS, SORTED)
    for given in ({"X": in_order}, {"X": AT_CENTERS, "y": SORTED, "shuffle": False}):
        (message,) = told(**given, n_epochs=2)
        assert "got training rows in order of their classes, which nothing shuffles" in message
        assert "try shuffle=True" in message
    with pytest.warns(UserWarning) as caught:
        classifier = fit(in_order)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        classifier.fit(in_order, n_epochs=2)  # it was said
        fit(Data(AT_CENTERS, SORTED, shuffle=True))
        fit(in_order, batch_size=240)  # one minibatch has no order


def test_partitions_of_sorted_rows_are_warned_of_in_one_sentence():
    (message,) = told(DataWithHoldoutPartitions(AT_CENTERS, np.array(["a", "b", "c"])[SORTED], 20, 0.25, 0))
    assert "which nothing shuffles" in message
    assert "of different classes: 'a', 'b' only in the training data; try more rows of these, or valid=0.2" in message


def test_a_class_that_only_the_validation_data_have():
    y = SORTED.copy()
    y[:80] = 1
    layers = [MLP[0], ["ClassificationOutputLayer", {"n_classes": 3}]]
    valid = AT_CENTERS[::2], SORTED[::2]
    with pytest.warns(UserWarning, match="of different classes: 0 only in the validation data; try"):
        NNClassifier(layers, rng=1).fit(AT_CENTERS, y, valid=valid, n_epochs=1, batch_size=20)


@pytest.fixture
def small_groups(monkeypatch):
    """Files are shuffled by blocks of 10 rows, 40 of which are mixed."""
    monkeypatch.setattr(dataset_module, "GROUP_BYTES", 40 * 5 * 8)
    monkeypatch.setattr(dataset_module, "BLOCKS_MIXED", 4)


def test_files_with_blocks_of_one_class_are_mixed_more(small_groups, tmp_path, caplog):
    (tmp_path / "mixed").mkdir()
    path, mixed = hdf_file(tmp_path, *numbered()), hdf_file(tmp_path / "mixed", *numbered(np.arange(240) % 3))
    with caplog.at_level("INFO", "arignote"):
        assert gather(mixed, None, None, None, 20).train.shuffle_rows is None
        assert caplog.text == ""
        data = gather(path, None, None, None, 20).train
    assert data.shuffle_rows == 4 * 40
    assert "lie in order of their classes: 160 rows are mixed at a time, instead of 40" in caplog.text


def test_data_of_a_file_with_blocks_of_one_class_are_warned_of(small_groups, tmp_path):
    path = hdf_file(tmp_path, AT_CENTERS, SORTED)
    (message,) = told(Data(HDFReader(path, "features"), HDFReader(path, "labels"), shuffle=True))
    assert "got a file with rows in order of their classes, shuffled by blocks" in message
    assert "try Data(..., shuffle_rows=160)" in message
