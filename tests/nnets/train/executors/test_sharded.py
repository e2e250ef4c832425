"""Training in shards: that they add up to the minibatch, and that nobody can tell who computed them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arignote.data.readers import Data
from arignote.nnets.nets import NNClassifier, define_mlp
from arignote.nnets.train.executors import sharded as shards
from tests.helpers import StopAfter, assert_same_training, mean_nll

LAYERS = define_mlp(3, [7], dropout_p=[0, 0.5], l2_reg=0.01)


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
    layers = define_mlp(3, [7], l2_reg=0.01)
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
        stopped = fit(X, y, callbacks=StopAfter(n_batches), **given)
        again = NNClassifier.from_state(stopped.__getstate__())
        again.fit(X, y, valid=(X[:33], y[:33]))
        assert_same_training(again, through)


def test_what_an_augmentation_returns_is_prepared_for_the_network(blobs, quick):
    X, y = blobs
    doubled = fit(2 * X, y, valid=None, shards=3)
    assert_same_training(
        fit(X, y, valid=None, shards=3, augmentation=lambda X: 2 * X.astype("float64")), doubled, same_data=False
    )


@pytest.mark.parametrize("n_shards", [1, 2])
def test_validation_counts_all_rows_of_data_that_leave_out_partial_batches(blobs, quick, n_shards):
    X, y = blobs
    valid = Data(X[:73], y[:73], allow_partial_batch=False)
    classifier = fit(X, y, n_epochs=1, valid=valid, shards=n_shards)
    expected = mean_nll(classifier, X[:73], y[:73])
    assert classifier.trainer.history[0]["valid_nll"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "n_shards",
    [1, 2],
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
    [1, 2],
)
def test_data_that_are_trained_on_and_validated_with(n_shards, blobs, quick):
    data, twin = Data(*blobs, shuffle=True), Data(*blobs, shuffle=True)
    once = fit(data, None, valid=data, test=data, shards=n_shards)
    assert_same_training(once, fit(data, None, valid=twin, test=Data(*blobs), shards=n_shards))
    assert once.trainer.history[-1]["valid_nll"] == pytest.approx(mean_nll(once, *blobs), rel=1e-5)


@pytest.mark.parametrize("n_shards", [1, 2, 3])
def test_validation_counts_the_rows_that_an_alter_function_leaves(blobs, quick, n_shards):
    X, y = blobs
    table = np.column_stack([X, y])
    keep = lambda rows: rows[rows[:, 0] > np.median(X[y == 1, 0])]  # noqa: E731
    valid = Data(table, table, 37, lambda rows: keep(rows)[:, :5], lambda rows: keep(rows)[:, 5])
    classifier = fit(X, y, n_epochs=1, valid=valid, shards=n_shards)
    kept = X[:, 0] > np.median(X[y == 1, 0])
    expected = mean_nll(classifier, X[kept], y[kept])
    assert classifier.trainer.history[0]["valid_nll"] == pytest.approx(expected, rel=1e-5)


def test_an_augmentation_that_doubles_the_rows_weighs_shards_as_before(blobs, quick, float64):
    def double(X, y):
        return np.concatenate([X, X]), np.concatenate([y, y])

    layers = define_mlp(3, [7])
    whole, parts = (
        fit(*blobs, layers=layers, valid=None, augmentation=augmentation, shards=n_shards)
        for augmentation, n_shards in ((None, 1), (double, 3))
    )
    np.testing.assert_allclose(parts.trainer.curve("train_nll")[1], whole.trainer.curve("train_nll")[1], rtol=1e-9)
    for name, param in whole.params.items():
        np.testing.assert_allclose(parts.params[name].get_value(), param.get_value(), rtol=1e-9, atol=1e-12)
