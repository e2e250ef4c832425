import os
import signal
import threading
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from arignote.data.reader import pick
from arignote.data.readers import Data, DataWithHoldoutPartitions, HDFError, HDFReader, HDFWriter
from arignote.nnets.nets import NNClassifier, define_mlp

rng = np.random.default_rng(6)


@pytest.fixture
def path(tmp_path, blobs):
    """Return a file with the features and labels of `blobs`."""
    path = str(tmp_path / "blobs.h5")
    with HDFWriter(path) as file:
        file.append(features=blobs[0].astype("float32"), labels=pd.Series(blobs[1]))
    return path


def open_files():
    names = (
        os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")
    )
    return [name for name in names if name.endswith(".h5")]


def rewrite(path, **tables):
    with h5py.File(path, "w") as file:
        for name, value in tables.items():
            file[name] = value


def small(**arguments):
    return NNClassifier(define_mlp(3, [8]), rng=0, batch_size=20, **arguments)


def params(classifier):
    return {name: value.get_value() for name, value in classifier.params.items()}


def test_fit_on_files_is_fit_on_arrays(path, blobs, quick):
    expected = params(small().fit(blobs[0].astype("float32"), blobs[1], n_epochs=2, shuffle=False))
    features, labels = HDFReader(path, "features"), HDFReader(path, "labels", asarray=False)
    for given in ((path,), (features, labels), (Data(features, labels),), ((features, labels),)):
        in_order = {} if isinstance(given[0], Data) else {"shuffle": False}
        found = params(small().fit(*given, n_epochs=2, **in_order))
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert open_files() == []


def test_partitions_of_a_file(path, quick):
    features, labels = HDFReader(path, "features"), HDFReader(path, "labels")
    parts = DataWithHoldoutPartitions(features, labels, 20, valid_frac=0.25, test_frac=0.25)
    classifier = small().fit(parts, n_epochs=2)
    assert (parts.train.n_rows, parts.valid.n_rows, parts.test.n_rows) == (120, 60, 60)
    assert classifier.trainer.history[-1]["test_error"] < 1
    assert small().fit(features, labels, valid=0.25, test=path, n_epochs=1).trainer.history


def test_predict_from_a_file(path, blobs, quick):
    classifier = small().fit(path, n_epochs=2)
    assert np.array_equal(
        classifier.predict(HDFReader(path, "features")), classifier.predict(blobs[0].astype("float32"))
    )


def test_colors(tmp_path):
    path = tmp_path / "x.h5"
    rewrite(path, images=np.zeros((4, 3, 5, 5)), flat=np.zeros((4, 3)))
    assert HDFReader(path, "images", color=2).shape == (1, 5, 5)
    for color, message in (
        (3, "got color=3; need 0 to 2"),
        (-1, "got color=-1"),
        ("red", "got the color"),
    ):
        with pytest.raises(ValueError, match=message):
            HDFReader(path, "images", color=color)
    with pytest.raises(HDFError, match=r"table 'flat': got color=0 and rows of shape \(3,\); need images"):
        HDFReader(path, "flat", color=0)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("features", np.nan, "got nan in row 67 of the features"), ("labels", 7, "got the label 7 in row 67")],
)
def test_a_bad_value_is_named_with_file_table_and_row(path, blobs, quick, column, value, message, shuffle):
    tables = {"features": blobs[0].copy(), "labels": blobs[1].copy()}
    tables[column][67] = value
    rewrite(path, **tables)
    data = Data(HDFReader(path, "features"), HDFReader(path, "labels"), shuffle=shuffle, shuffle_rows=50)
    with pytest.raises(ValueError, match=f"blobs.h5, table '{column}': {message}") as caught:
        small().fit(data, n_epochs=2)
    where = "_iterate" if column == "features" else "check"  # in the thread; before training
    assert where in [entry.name for entry in caught.traceback]
    assert open_files() == [] and "arignote-prefetch" not in [thread.name for thread in threading.enumerate()]


def test_different_lengths_are_refused_before_training(path):
    rewrite(path, features=np.zeros((9, 3)), labels=np.zeros(8))
    with pytest.raises(ValueError, match="got 9 rows of features and 8 of labels.*blobs.h5, table 'labels'"):
        small().fit(path, n_epochs=1)


@pytest.mark.parametrize("change", ["shrinks", "vanishes", "becomes another", "is cut off"])
def test_a_file_that_changes_between_epochs(path, blobs, change):
    reader = HDFReader(path, "features")
    list(reader.iter_epoch(10))
    if change == "shrinks":
        rewrite(path, features=blobs[0][:100].astype("float32"))
    elif change == "vanishes":
        os.unlink(path)
    elif change == "becomes another":
        rewrite(path, features=blobs[0].astype("int8"))
    else:
        Path(path).write_bytes(Path(path).read_bytes()[:3000])
    with pytest.raises((HDFError, FileNotFoundError), match="blobs.h5.*need") as caught:
        list(reader.iter_epoch(10))
    if change == "shrinks":
        assert "got 100 rows of float32; need 240 rows of float32, as before" in str(caught.value)
    assert open_files() == []


def test_a_file_that_is_cut_off_while_it_is_read(tmp_path):
    path = str(tmp_path / "x.h5")
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=rng.normal(size=(2000, 100)), chunks=(100, 100))
    reader = HDFReader(path)
    with pytest.raises(HDFError, match=r"x.h5, table 'x', rows \d+ to \d+: got a file that was truncated"):
        for i, _ in enumerate(reader.iter_epoch(100)):
            if i == 3:
                os.truncate(path, 600_000)
    assert i == 3
    assert open_files() == []


def test_a_file_that_vanishes_while_it_is_read_is_read_to_its_end(path, blobs):
    iterator = HDFReader(path, "features").iter_epoch(40)
    next(iterator)
    os.unlink(path)
    assert len(list(iterator)) == 5


def test_leaving_early_closes_the_file(path, quick):
    reader = HDFReader(path, "features")
    iterator = reader.iter_epoch(10)
    next(iterator)
    assert len(open_files()) == 1
    iterator.close()
    assert open_files() == []

    def fail(X):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        small().fit(Data(reader, HDFReader(path, "labels"), alter_labels=fail), n_epochs=1)
    assert open_files() == []


def test_ctrl_c_leaves_no_thread_and_no_file(path, quick):
    seen = []

    def interrupt(X):
        seen.append(len(X))
        if len(seen) == 20:
            os.kill(os.getpid(), signal.SIGINT)
        return X

    classifier = small().fit(
        Data(HDFReader(path, "features"), HDFReader(path, "labels"), None, interrupt), n_epochs=500
    )
    assert 1 <= classifier.trainer.progress.epoch < 500
    assert open_files() == [] and "arignote-prefetch" not in [thread.name for thread in threading.enumerate()]


def test_depth_of_prefetching_is_checked(path, quick):
    with pytest.raises(ValueError, match="got prefetch=-1"):
        small().fit(path, n_epochs=1, prefetch=-1)
    params = [small().fit(path, n_epochs=1, prefetch=depth).params["output.W"].get_value() for depth in (0, 1, 5)]
    assert params[0].tobytes() == params[1].tobytes() == params[2].tobytes()


def test_without_h5py(path, monkeypatch):
    from arignote.data.hdf import find

    monkeypatch.setattr(find, "h5py", None)
    with pytest.raises(ImportError, match=r"need h5py to read it; try: pip install 'arignote\[hdf5\]'"):
        HDFReader(path)


@pytest.mark.parametrize("form", ["table", "fixed", "records"])
def test_columns_are_known_by_their_names(form, tmp_path):
    name = tmp_path / "x.h5"
    frame = pd.DataFrame(np.random.default_rng(0).random((60, 3)), columns=list("abc")).astype({"b": "float32"})
    if form == "records":
        with HDFWriter(name) as writer:
            writer.append(features=frame, labels=pd.Series(np.arange(60) % 2))
    else:
        frame.to_hdf(name, key="features", format=form)
        pd.Series(np.arange(60) % 2).to_hdf(name, key="labels", format=form)
    reader = HDFReader(name, "features")
    assert reader.column_names == list("abc") and HDFReader(name, "labels").column_names in (None, ["labels"])
    other = reader.with_columns(list("cab")).with_columns(list("bca"))
    assert other.column_names == list("bca")
    np.testing.assert_array_equal(
        next(other.iter_epoch(4, start=5, start_on_batch=False)), frame[list("bca")].to_numpy()[5:9]
    )
    table = HDFReader(name, "features", asarray=False).with_columns(list("cab"))
    table = next(table.iter_epoch(60))
    np.testing.assert_array_equal(table["b"], frame["b"])
    some = pick(reader, np.array([3, 7, 8])).with_columns(list("cab"))
    np.testing.assert_array_equal(next(some.iter_epoch(3)), frame[list("cab")].to_numpy()[[3, 7, 8]])
    classifier = NNClassifier([["ClassificationOutputLayer", {"n_classes": 2}]], rng=0)
    classifier.fit(name, valid=0.2, n_epochs=2, batch_size=8)
    assert classifier.feature_names_in_ == list("abc")
    expected = classifier.predict_proba(frame.to_numpy())
    for given in (frame[list("cba")], reader, other):
        np.testing.assert_array_equal(classifier.predict_proba(given), expected)
    with pytest.raises(ValueError, match="without 'a' and with the other column 'x'"):
        classifier.predict(frame.rename(columns={"a": "x"}))
