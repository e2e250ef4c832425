"""The loader: the same minibatch from its position, however it is read."""

import pickle
import threading
from contextlib import contextmanager

import numpy as np
import pytest

from arignote.data.loader import BatchRef, Loader, keyed_augmentation
from arignote.data.readers import ArrayReader, Data, DataWithHoldoutPartitions, HDFReader, HDFWriter, Reader
from arignote.image import augment
from arignote.nnets.nets import NNClassifier, define_cnn, define_mlp


class Sequential(Reader):
    """A reader without a method `take`, which counts how often it is started."""

    def __init__(self, array):
        self.array, self.n_rows, self.shape = array, len(array), array.shape[1:]
        self.n_starts = 0

    def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
        self.n_starts += 1
        for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
            yield self.array[first:last]


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "arignote-prefetch"]


@pytest.fixture(params=["array", "sequential", "hdf", "picked"])
def kind(request):
    return request.param


def make_data(kind, shuffle, folder):
    rng = np.random.default_rng(0)
    X, y = rng.random((130, 4)).astype("f4"), rng.integers(3, size=130)
    if kind == "picked":
        return DataWithHoldoutPartitions(X, y, 32, 0.2, 0, stratify=True, shuffle=shuffle).train
    if kind == "hdf":
        with HDFWriter(folder / "data.h5") as writer:
            writer.append(X=X, y=y)
        sources = HDFReader(folder / "data.h5", "X"), HDFReader(folder / "data.h5", "y")
    else:
        make = Sequential if kind == "sequential" else ArrayReader
        sources = make(X), make(y)
    return Data(*sources, start=7, shuffle=shuffle, shuffle_rows=40, alter_features=lambda X: 2 * X)


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_shards_of_a_minibatch_are_its_rows(kind, shuffle, prefetch, tmp_path):
    data = make_data(kind, shuffle, tmp_path)
    network = NNClassifier(define_mlp(3, [3]), n_in=4).network
    loader = Loader({"train": data}, 32, seed=9, network=network, prefetch=prefetch)
    for epoch in (0, 1):
        whole = list(data.iter_epoch_single(epoch, batch_size=32, seed=9))
        refs = list(loader.refs("train", epoch))
        assert [ref.n_rows for ref in refs] == [len(X) for X, _ in whole]
        for ref, (expected, labels) in zip(refs, whole, strict=True):
            shards = loader.read_shards(ref, range(5), 5)
            np.testing.assert_array_equal(np.concatenate([batch.X for batch in shards]), expected.astype("f4"))
            np.testing.assert_array_equal(np.concatenate([batch.y for batch in shards]), labels)
    loader.close()
    assert not threads()


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_position_gives_the_same_rows_in_any_order_of_reading(kind, shuffle, tmp_path):
    data = make_data(kind, shuffle, tmp_path)
    in_order = Loader({"train": data}, 32, seed=9)
    refs = [ref for epoch in (0, 1) for ref in in_order.refs("train", epoch)]
    expected = {ref: in_order.read(ref) for ref in refs}
    jumping = Loader({"train": data}, 32, seed=9, prefetch=2)
    for i in np.random.default_rng(0).permutation(len(refs)):
        for found, wanted in zip(jumping.read(refs[i]), expected[refs[i]], strict=True):
            np.testing.assert_array_equal(found, wanted)
    jumping.close()
    assert not threads()


def test_a_file_is_read_in_one_pass_an_epoch():
    reader = Sequential(np.arange(95))
    loader = Loader({"train": Data(reader)}, 10)
    for epoch in range(3):
        assert np.concatenate([loader.read(ref).X for ref in loader.refs("train", epoch)]).tolist() == list(range(95))
    assert reader.n_starts == 3


def test_the_thread_ends_with_the_epoch_and_when_the_loader_is_closed():
    loader = Loader({"train": Data(Sequential(np.arange(100)))}, 10, prefetch=2)
    refs = list(loader.refs("train"))
    for ref in refs:
        loader.read(ref)
    assert not threads()
    loader.read(refs[0])
    assert threads()
    loader.close()
    assert not threads()


def test_each_split_has_a_stream_of_its_own():
    loader = Loader({"train": Data(Sequential(np.arange(20))), "valid": Data(Sequential(-np.arange(20)))}, 5)
    found = [
        loader.read(ref).X.sum()
        for pair in zip(loader.refs("train"), loader.refs("valid"), strict=True)
        for ref in pair
    ]
    assert found == [10, -10, 35, -35, 60, -60, 85, -85]
    assert [reader.n_starts for reader in (loader.splits[name].features for name in ("train", "valid"))] == [1, 1]


def test_splits_keep_their_own_batch_sizes():
    loader = Loader({"train": Data(np.arange(100)), "valid": Data(np.arange(100), batch_size=64)}, 30)
    assert [ref.n_rows for ref in loader.refs("train")] == [30, 30, 30, 10]
    assert [ref.n_rows for ref in loader.refs("valid")] == [64, 36]
    refs = list(loader.refs("train", epoch=2, start=3))
    assert refs == [BatchRef("train", 2, 3, 10)]


def test_augmentation_is_keyed_by_epoch_minibatch_and_shard(quick):
    rng = np.random.default_rng(0)
    X, y = rng.random((60, 1, 8, 8)), rng.integers(2, size=60)
    layers = define_cnn(2, (8, 8), [2], 3, 2, [4])
    network = NNClassifier(layers, n_in=(1, 8, 8)).network

    def augmented(epoch, index, shard, n_shards=4):
        loader = Loader({"train": Data(X, y)}, 20, 3, network, augment.shift(2))
        return loader.read_shards(BatchRef("train", epoch, index, 20), (shard,), n_shards)[0].X

    np.testing.assert_array_equal(augmented(1, 2, 3), augmented(1, 2, 3))
    assert (augmented(1, 2, 3) != augmented(2, 2, 3)).any()
    plain = Loader({"train": Data(X, y)}, 20, 3, network)
    shift = keyed_augmentation(augment.shift(2), 3)
    rows = plain.read_shards(BatchRef("train", 1, 2, 20), (3,), 4)[0]
    np.testing.assert_array_equal(augmented(1, 2, 3), shift(*rows, 1, 2, 3)[0])
    whole = plain.read(BatchRef("train", 1, 2, 20))
    np.testing.assert_array_equal(augmented(1, 2, 0, n_shards=1), shift(*whole, 1, 2)[0])


def test_only_training_data_are_augmented(quick):
    network = NNClassifier(define_mlp(2, [3]), n_in=4).network
    data = Data(np.ones((10, 4)), np.zeros(10))
    loader = Loader({"train": data, "valid": data}, 10, 0, network, lambda X: 5 * X)
    assert [loader.read(next(loader.refs(split))).X.max() for split in ("train", "valid")] == [5, 1]


@pytest.mark.parametrize("n_shards", [1, 2])
def test_bad_rows_are_named(n_shards, quick):
    X = np.zeros((100, 4))
    X[57] = np.nan
    network = NNClassifier(define_mlp(2, [3]), n_in=4).network
    loader = Loader({"train": Data(X, np.zeros(100))}, 50, network=network)
    refs = list(loader.refs("train"))
    loader.read_shards(refs[0], range(n_shards), n_shards)
    with pytest.raises(ValueError, match="the array: got nan in row 57 of the features"):
        loader.read_shards(refs[1], range(n_shards), n_shards)


def test_a_pickled_loader_reads_the_same(tmp_path):
    data = Data(np.arange(50), np.arange(50), shuffle=True)
    loader = Loader({"train": data}, 8, seed=5, prefetch=1)
    again = pickle.loads(pickle.dumps(loader))
    for ref in loader.refs("train", 3):
        np.testing.assert_array_equal(loader.read(ref).X, again.read(ref).X)


def test_a_reader_that_gives_other_rows_than_it_promises_is_found_out():
    class Short(Sequential):
        def iter_epoch(self, *arguments, **named):
            for rows in super().iter_epoch(*arguments, **named):
                yield rows[:-1]

    loader = Loader({"train": Data(np.arange(8), Short(np.arange(8)))}, 4)
    with pytest.raises(ValueError, match="Short: got 3 rows from row 0 on; need 4, as its n_rows=8 says"):
        loader.read(next(loader.refs("train")))


@pytest.mark.parametrize("augmentation", [lambda X, y: X, lambda X, y: None])
def test_an_augmentation_that_returns_no_pair_is_refused(augmentation):
    augment = keyed_augmentation(augmentation, seed=1)
    with pytest.raises(TypeError, match=r"got (ndarray|NoneType) from the augmentation; need a pair .*try return X, y"):
        augment(np.zeros((5, 2)), np.zeros(5), 0, 0)


@pytest.mark.parametrize("n_shards", [1, 3])
@pytest.mark.parametrize("what", ["augmentation", "alter_features"])
def test_a_function_that_works_in_place_leaves_the_users_array_alone(n_shards, what):
    def double(X):
        X *= 2
        return X

    X = np.ones((12, 4), "float32")
    network = NNClassifier(define_mlp(2, [3]), n_in=4).network
    data = Data(X, np.zeros(12), alter_features=double if what == "alter_features" else None)
    loader = Loader({"train": data}, 12, 0, network, double if what == "augmentation" else None)
    shards = loader.read_shards(next(loader.refs("train")), range(n_shards), n_shards)
    assert all((shard.X == 2).all() for shard in shards)
    assert (X == 1).all()


@pytest.mark.parametrize("what", ["augmentation", "alter_features", "alter_labels"])
def test_so_it_leaves_an_array_that_a_reader_keeps(what):
    class Keeping(Sequential):
        @contextmanager
        def opened(self):
            yield lambda first, last: self.array

    def shift(rows):
        rows += 1
        return rows

    X, y = np.zeros((12, 4), "float32"), np.zeros(12, "int32")
    network = NNClassifier(define_mlp(2, [3]), n_in=4).network
    altered = {what: shift} if what.startswith("alter") else {}
    data = Data(Keeping(X), Keeping(y), **altered)
    loader = Loader({"train": data}, 12, 0, network, shift if what == "augmentation" else None)
    batch = loader.read(next(loader.refs("train")))
    assert (batch.y if what == "alter_labels" else batch.X).all()
    assert not X.any() and not y.any()


def drop_rows(X, y):
    return X[:0], y[:0]


def drop_labels(X, y):
    return X, y[:5]


def make_nan(X, y):
    X[3, 1] = np.nan
    return X, y


@pytest.mark.parametrize("n_shards", [1, 2])
@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        (drop_rows, "the augmentation: got 0 rows of features and 0 labels; need as many of both, such as the (12|6)"),
        (drop_labels, "the augmentation: got (12|6) rows of features and 5 labels; need as many of both"),
        (make_nan, "the augmentation: got nan in row 3 of the features; need finite numbers"),
        (lambda X, y: (X[:, :2], y), r"the augmentation: got examples of shape \(2,\); this network needs \(4,\)"),
        (lambda X, y: (X, y + 7), "the augmentation: got the label 7 in row 0"),
    ],
    ids=["no rows", "fewer labels", "NaN", "another shape", "a new label"],
)
def test_what_an_augmentation_returns_is_checked(augmentation, message, n_shards):
    network = NNClassifier(define_mlp(2, [3]), n_in=4).network
    loader = Loader({"train": Data(np.zeros((12, 4)), np.zeros(12))}, 12, 0, network, augmentation)
    with pytest.raises(ValueError, match=message):
        loader.read_shards(next(loader.refs("train")), range(n_shards), n_shards)


@pytest.mark.parametrize("in_memory", [True, False])
def test_numbers_too_large_for_the_network_are_refused(in_memory):
    X = np.zeros((12, 4))
    X[7, 2] = -1e39
    network = NNClassifier(define_mlp(2, [3]), n_in=4).network
    loader = Loader({"train": Data(X if in_memory else Sequential(X), np.zeros(12))}, 6, 0, network)
    message = r"got -1e\+39 in row 7 of the features; need at most 3.4e\+38, the largest of float32; try scaling"
    with pytest.raises(ValueError, match=message):
        loader.check()
        for ref in loader.refs("train"):
            loader.read(ref)


def test_numbers_of_any_size_are_fine_in_double_precision(float64):
    X = np.full((12, 4), 1e39)
    network = NNClassifier(define_mlp(2, [3]), n_in=4).network
    loader = Loader({"train": Data(X, np.zeros(12))}, 12, 0, network)
    loader.check()
    assert (loader.read(next(loader.refs("train"))).X == 1e39).all()


@pytest.mark.parametrize(("n_shards", "prefetch"), [(1, 2), (3, 0), (3, 2)])
def test_a_reader_may_yield_the_same_array_again(n_shards, prefetch):
    class Reusing(Sequential):
        def iter_epoch(self, batch_size, *arguments, **named):
            buffer = np.empty((batch_size, 4), "float32")
            for rows in super().iter_epoch(batch_size, *arguments, **named):
                buffer[: len(rows)] = rows
                yield buffer[: len(rows)]

    X = np.arange(160, dtype="float32").reshape(40, 4)
    network = NNClassifier(define_mlp(2, [3]), n_in=4).network
    loader = Loader({"train": Data(Reusing(X), np.zeros(40))}, 8, 0, network, prefetch=prefetch)
    shards = [shard for ref in loader.refs("train") for shard in loader.read_shards(ref, range(n_shards), n_shards)]
    np.testing.assert_array_equal(np.concatenate([shard.X for shard in shards]), X)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_files_are_closed_at_the_end_of_an_epoch(prefetch):
    open_readers = []

    class Opened(Sequential):
        @contextmanager
        def opened(self):
            open_readers.append(self)
            yield lambda first, last: self.array[first:last]
            open_readers.remove(self)

    loader = Loader({"train": Data(Opened(np.arange(20)))}, 5, prefetch=prefetch)
    for epoch in range(2):
        for ref in loader.refs("train", epoch):
            loader.read(ref)
            assert len(open_readers) == (ref.index < 3)


def test_a_loader_in_another_process_counts_epochs_as_this_one():
    def note(X, epoch):
        seen.append(epoch)
        return X

    seen = []
    network = NNClassifier([["ClassificationOutputLayer", {"n_classes": 2}]], n_in=1, rng=0).network
    for first in (0, 1):
        loader = Loader({"train": Data(np.ones((4, 1)), np.arange(4) % 2)}, 2, 1, network, note, first_epoch=first)
        other = Loader(**loader.__getstate__())
        other.network = network
        for each in (loader, other):
            each.read(BatchRef("train", 3, 0, 2))
    assert seen == [3, 3, 4, 4]
