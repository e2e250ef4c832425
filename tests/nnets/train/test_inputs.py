"""What `fit` makes of the data that it is given, and how it names a row at fault."""

import numpy as np
import pytest

from arignote.data.readers import Data, DataWithHoldoutPartitions
from arignote.nnets.nets import NNClassifier
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
    train = DataWithHoldoutPartitions(X, y, 20, valid_frac=0.4, stratify=True).train
    row = int(train.rows(train.n_rows - 1, train.n_rows)[0])
    assert row > train.n_rows
    for bad_X, bad_y, message in (
        (with_value(X, row, np.nan), y, f"got nan in row {row} "),
        (X, with_value(y, row, 7), f"got the label 7 in row {row};"),
    ):
        train = DataWithHoldoutPartitions(bad_X, bad_y, 20, valid_frac=0.4, stratify=True).train
        with pytest.raises(ValueError, match=message):
            fit(train)
