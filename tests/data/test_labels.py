"""What labels look like: their classes, their order, and a checksum."""

import logging
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from arignote.data import labels as module
from arignote.data.labels import LabelSummary, iter_labels, plain_labels, summarize
from arignote.data.readers import Data
from tests.data.test_dataset import Plain

rng = np.random.default_rng(3)


@pytest.mark.parametrize("chunk", [1, 7, 8192])
def test_counts_and_changes_are_those_of_the_whole(chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_ROWS", chunk)
    labels = rng.integers(4, size=100)
    found = summarize(Data(np.zeros(120), np.r_[np.full(20, 9), labels], start=20))
    assert found.counts == {k: (labels == k).sum() for k in range(4)}
    assert (found.n_rows, found.n_changes) == (100, (np.diff(labels) != 0).sum())
    assert found.run_length == pytest.approx(100 / (1 + (np.diff(labels) != 0).sum()))


ORDERED = {
    "sorted": np.repeat(np.arange(10), 30),
    "sorted twice": np.tile(np.repeat(np.arange(10), 30), 2),
    "rare class at the end": np.repeat([0, 1], [990, 10]),
    "nearly sorted": np.where(np.arange(300) == 50, 7, np.repeat(np.arange(3), 100)),
    "text": np.repeat(["b", "a"], 20),
}
MIXED = {
    "random": rng.integers(10, size=300),
    "in turn": np.arange(300) % 3,
    "rare class": (np.arange(1000) % 100 == 0) * 1,
    "few rows": np.array([0, 0, 1, 1]),
    "one of each": np.arange(10),
    "one class": np.zeros(50),
}


@pytest.mark.parametrize("case", [*ORDERED, *MIXED])
def test_an_order_by_class_is_found(case):
    summary = LabelSummary()
    summary.add({**ORDERED, **MIXED}[case])
    assert summary.is_ordered_by_class == (case in ORDERED)


def test_the_checksum_depends_on_values_and_order_alone():
    def checksum(*parts):
        summary = LabelSummary()
        for part in parts:
            summary.add(np.asarray(part))
        return summary.checksum

    assert checksum([1, 2, 3]) == checksum(np.array([1.0, 2.0]), np.array([3], "int8"))
    assert len({checksum([1, 2, 3]), checksum([1, 3, 2]), checksum([1, 2]), checksum(["1", "2", "3"])}) == 4


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([[1], [2]], np.array([1, 2])),
        (np.array(["a", "b"], dtype=object), np.array(["a", "b"])),
        (np.array([b"a", b"\xc3\xa4"]), np.array(["a", "ä"])),
        (np.array([b"a", "b"], dtype=object), np.array(["a", "b"])),
        (np.array([True, False], dtype=object), np.array([True, False])),
        (np.array([2, 3.0], dtype=object), np.array([2.0, 3.0])),
        (pd.Series(["x", "y"], dtype="category"), np.array(["x", "y"])),
        (pd.Series(["x", "y"], dtype="string"), np.array(["x", "y"])),
        (np.eye(2), np.eye(2)),
    ],
)
def test_labels_become_plain_arrays(given, expected):
    found = plain_labels(given)
    assert found.dtype.kind == expected.dtype.kind
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_missing_label_is_named(missing):
    with pytest.raises(ValueError, match="got a missing label in row 12; need one"):
        plain_labels(np.array(["a", "b", missing], dtype=object), first_row=10)
    with pytest.raises(ValueError, match="got a missing label in row 1; need one"):
        plain_labels([1.0, np.nan])


def test_labels_of_several_types_are_refused():
    with pytest.raises(ValueError, match="got labels of several types"):
        plain_labels(np.array(["a", 1], dtype=object))


def test_measurements_are_refused_before_all_are_read(monkeypatch):
    monkeypatch.setattr(module, "MAX_CLASSES", 50)
    with pytest.raises(ValueError, match="got labels with more than 50 different values, such as 0"):
        summarize(Data(np.zeros(100), np.arange(100)))


def test_labels_are_read_in_order_as_they_were_altered(monkeypatch):
    monkeypatch.setattr(module, "CHUNK_ROWS", 4)
    data = Data(
        Plain(np.zeros(20)), Plain(np.arange(20)), shuffle=True, alter_labels=lambda y: 10 * y, start=3, stop=13
    )
    found = list(iter_labels(data))
    assert [position for position, _ in found] == [0, 4, 8]
    assert np.concatenate([labels for _, labels in found]).tolist() == list(range(30, 130, 10))


def test_progress_is_reported_where_it_takes_long(monkeypatch, caplog):
    monkeypatch.setattr(module, "CHUNK_ROWS", 4)
    monkeypatch.setattr(module, "REPORT_SECONDS", 0.0)
    with caplog.at_level(logging.INFO, "arignote"):
        summarize(Data(np.zeros(10), np.arange(10) % 2))
    assert [record.getMessage().split(",")[0] for record in caplog.records] == [
        "Reading labels: 4 of 10", "Reading labels: 8 of 10",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "labels",
    [
        np.array([Decimal(1), Decimal(2)], dtype=object),
        np.array([1, 2], dtype="datetime64[D]"),
        np.array([1, 2], dtype="timedelta64[s]"),
        np.array([10**30, 1], dtype=object),
    ],
)
def test_labels_that_could_not_be_stored_are_refused(labels):
    with pytest.raises(ValueError, match=r"need (text or|smaller) numbers; try labels.astype\(str\)"):
        plain_labels(labels)
