"""Training in shards: that they add up to the minibatch, and that nobody can tell who computed them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arignote.data.readers import ArrayReader, Data, DataWithHoldoutPartitions, HDFReader, HDFWriter, Reader
from arignote.image import augment
from arignote.nnets import shards
from arignote.nnets.nets import NNClassifier, define_cnn, define_mlp
from tests.helpers import StopAfter, assert_same_training, mean_nll

LAYERS = define_mlp([7], n_classes=3, dropout_p=0.5, l2=0.01)


def fit(X, y, n_epochs=2, layers=LAYERS, **given):
    given = {"batch_size": 50, "sgd_type": "nag", "n_epochs": n_epochs} | given
    given |= {} if "valid" in given else {"valid": (X[:33], y[:33])}
    return NNClassifier(layers, rng=1).fit(X, y, **given)


def longhand(vectors):
    """Add up vectors as a tree: neighbours, then neighbours of neighbours; None is nothing."""
    while len(vectors) > 1:
        pairs = itertools.zip_longest(vectors[::2], vectors[1::2])
        vectors = [b if a is None else a if b is None else a + b for a, b in pairs]
    return vectors[0]


@given(st.integers(1, 19), st.integers(1, 5), st.data())
def test_who_holds_which_shards_does_not_matter(n_shards, n_workers, data):
    rng = np.random.default_rng(n_shards)
    vectors = [rng.normal(size=3).astype("f4") for _ in range(n_shards)]
    for empty in data.draw(st.sets(st.integers(1, n_shards), max_size=n_shards - 1)):
        if empty < n_shards:
            vectors[empty] = None
    owner = data.draw(st.lists(st.integers(0, n_workers - 1), min_size=n_shards, max_size=n_shards))
    nodes = {}
    for worker in range(n_workers):
        held = {(0, i): vectors[i] for i in range(n_shards) if owner[i] == worker}
        nodes |= shards.merge(held, n_shards)
    (total,) = shards.merge(nodes, n_shards).values()
    assert total.tobytes() == longhand(vectors).tobytes()


def test_neighbours_are_sent_as_one():
    nodes = {(0, i): np.ones(1) for i in range(4)}
    assert list(shards.merge(nodes, 8)) == [(2, 0)]


def test_shards_add_up_to_the_minibatch(blobs, float64, quick):
    layers = define_mlp([7], n_classes=3, l2=0.01)
    whole = fit(*blobs, layers=layers)
    for n in (2, 3, 8, 64):  # the last: more shards than rows
        parts = fit(*blobs, layers=layers, shards=n)
        for name, param in whole.params.items():
            np.testing.assert_allclose(parts.params[name].get_value(), param.get_value(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(parts.trainer.curve("train_nll")[1], whole.trainer.curve("train_nll")[1])
        np.testing.assert_allclose(parts.trainer.curve("valid_nll")[1], whole.trainer.curve("valid_nll")[1])


def test_penalties_of_layers_count_once(blobs, float64, quick):
    from arignote.nnets.layers import FCLayer

    class Penalized(FCLayer):
        def penalty(self):
            return 0.1 * (self.params["b"] - 1).norm(2) if self.training else 0

    layers = [["Penalized", {"n_units": 5}], ["ClassificationOutputLayer", {"n_classes": 3}]]
    whole, parts = fit(*blobs, layers=layers), fit(*blobs, layers=layers, shards=3)
    np.testing.assert_allclose(parts.params["fc1.b"].get_value(), whole.params["fc1.b"].get_value(), rtol=1e-9)


def test_a_training_in_shards_goes_on_after_any_minibatch(blobs, quick, tmp_path):
    X, y = blobs
    given = {"shards": 3, "validation_frequency": 70}
    through = fit(X, y, **given)
    for n_batches in range(1, 10):
        stopped = fit(X, y, hooks=StopAfter(n_batches), **given)
        again = NNClassifier.from_state(stopped.__getstate__())
        again.fit(X, y, valid=(X[:33], y[:33]))
        assert_same_training(again, through)


class OnlyOn(Reader):
    """A reader that can only read on."""

    def __init__(self, array):
        self.array, self.n_rows, self.shape = array, len(array), array.shape[1:]

    def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
        for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
            yield self.array[first:last]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", ["array", "on", "hdf", "picked"])
def test_the_rows_of_all_shards_are_those_of_the_minibatch(kind, shuffle, tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.random((130, 4)).astype("f4"), rng.integers(3, size=130)
    if kind == "hdf":
        with HDFWriter(tmp_path / "data.h5") as writer:
            writer.append(X=X, y=y)
        sources = HDFReader(tmp_path / "data.h5", "X"), HDFReader(tmp_path / "data.h5", "y")
    else:
        make = OnlyOn if kind == "on" else ArrayReader
        sources = make(X), make(y)
    data = Data(*sources, start=7, shuffle=shuffle, shuffle_rows=40, alter_features=lambda X: 2 * X)
    if kind == "picked":
        data = DataWithHoldoutPartitions(X, y, 32, valid_frac=0.2, stratify=True, shuffle=shuffle).train
    network = NNClassifier(define_mlp([3], 3), n_in=4).network
    reader = shards.ShardReader(data, network, batch_size=32, n_shards=5, seed=9)
    for epoch in (0, 1):
        for batch, (expected, labels) in enumerate(data.iter_epoch(epoch, batch_size=32, seed=9)):
            parts = [reader.read(epoch, batch, shard) for shard in range(5)]
            np.testing.assert_array_equal(np.concatenate([X for X, _ in parts]), expected.astype("f4"))
            np.testing.assert_array_equal(np.concatenate([y for _, y in parts]), labels)
    reader.close()


def test_augmentation_is_keyed_by_the_shard(quick):
    rng = np.random.default_rng(0)
    X, y = rng.random((60, 1, 8, 8)), rng.integers(2, size=60)
    layers = define_cnn(1, 8, [(2, 3, 2)], [4], n_classes=2)
    network = NNClassifier(layers, n_in=(1, 8, 8)).network
    job = shards.Job({"train": Data(X, y)}, 20, 4, seed=3, augmentation=augment.shift(2))
    readers = [shards.Computer(network, job).readers["train"] for _ in range(2)]
    first, again, other = readers[0].read(1, 2, 3), readers[1].read(1, 2, 3), readers[1].read(2, 2, 3)
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0] != other[0]).any()


def test_what_an_augmentation_returns_is_prepared_for_the_network(blobs, quick):
    X, y = blobs
    doubled = fit(2 * X, y, valid=None, shards=3)
    assert_same_training(fit(X, y, valid=None, shards=3, augmentation=lambda X: 2 * X.astype("float64")), doubled)


@pytest.mark.parametrize("n_shards", [1, 2])
def test_validation_counts_all_rows_of_data_that_leave_out_partial_batches(blobs, quick, n_shards):
    X, y = blobs
    valid = Data(X[:73], y[:73], allow_partial_batch=False)
    classifier = fit(X, y, n_epochs=1, valid=valid, shards=n_shards)
    expected = mean_nll(classifier, X[:73], y[:73])
    assert classifier.trainer.history[0]["valid_nll"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "n_shards",
    [1, pytest.param(2, marks=pytest.mark.xfail(strict=True, reason="places take the batch size of the training"))],
)
@pytest.mark.parametrize("size", [64, 100, 256, 1000])
def test_validation_counts_all_rows_of_data_with_a_batch_size_of_their_own(size, n_shards, quick):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(1000, 5)), rng.integers(3, size=1000)
    valid = Data(X, y, batch_size=size)
    classifier = fit(X[:256], y[:256], n_epochs=1, batch_size=128, valid=valid, shards=n_shards)
    assert classifier.trainer.history[0]["valid_nll"] == pytest.approx(mean_nll(classifier, X, y), rel=1e-5)


@pytest.mark.parametrize(
    "n_shards",
    [1, pytest.param(2, marks=pytest.mark.xfail(strict=True, reason="parts go by the identity of their data"))],
)
def test_data_that_are_trained_on_and_validated_with(n_shards, blobs, quick):
    data, twin = Data(*blobs, shuffle=True), Data(*blobs, shuffle=True)
    once = fit(data, None, valid=data, test=data, shards=n_shards)
    assert_same_training(once, fit(data, None, valid=twin, test=Data(*blobs), shards=n_shards))
    assert once.trainer.history[-1]["valid_nll"] == pytest.approx(mean_nll(once, *blobs), rel=1e-5)


def test_bad_rows_are_named(quick):
    X = np.zeros((100, 4))
    X[57] = np.nan
    network = NNClassifier(define_mlp([3], 2), n_in=4).network
    reader = shards.ShardReader(Data(X, np.zeros(100)), network, batch_size=50, n_shards=2, seed=0)
    reader.read(0, 0, 1)
    with pytest.raises(ValueError, match="rows 50 to 74 of the array: got nan"):
        reader.read(0, 1, 0)
