"""The JAX backend; run by ``make test-jax`` with ``ARIGNOTE_BACKEND=jax``."""

import numpy as np
import pytest

from arignote import engine, ops
from arignote.data.readers import Data
from arignote.engine import tensor
from arignote.nnets.nets import NNClassifier
from arignote.ops.philox import random_words
from tests.ops.test_contract import CASES, computed, inputs_of
from tests.resume import run

pytestmark = pytest.mark.skipif(engine.describe()["backend"] != "jax", reason="needs ARIGNOTE_BACKEND=jax")

KINDS = {type(op): name for name, (op, _) in CASES.items()}


@pytest.mark.parametrize("name", KINDS.values(), ids=[kind.__name__ for kind in KINDS])
def test_every_op_agrees_with_numpy(name):
    op, arrays = CASES[name][0], inputs_of(name, "float64")
    for a, b in zip(computed(op, arrays), op.reference(*arrays), strict=True):
        assert a.shape == np.shape(b)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1 / 3, 0.999])
@pytest.mark.parametrize("shape", [(128, 40), (7, 9), (1, 1)])
def test_dropout_drops_the_same_units(fraction, shape):
    key, position = np.array([4123456789, 12]), np.array([70000, 391, 2**31 + 5])
    x = tensor.fmatrix()
    dropped = engine.function([x], ops.dropout(x, np.float64(fraction), engine.shared(key), position))
    words = random_words(key, position, np.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(dropped(np.ones(shape, "float32")) > 0, words >= fraction * 2.0**32)


@pytest.fixture
def counter():
    """Return a compiled function that adds its input to a running total, and the total."""
    x, total = tensor.fvector(), engine.shared(np.zeros((), "float32"))
    return engine.function([x], total + x.sum(), updates=[(total, total + x.sum())]), total


def test_a_block_is_a_sequence_of_calls(counter):
    add, total = counter
    assert [float(found) for found in add.block([(np.array([1.0, 2.0]),)] * 3)] == [3, 6, 9]
    assert float(total.get_value()) == 9


def test_a_block_may_contain_several_shapes_and_exceed_the_capacity(counter, monkeypatch):
    add, _ = counter
    monkeypatch.setattr("arignote.engine.jax_backend.BLOCK_CALLS", 3)
    found = add.block([(np.ones(2),)] * 4 + [(np.ones(5),)] + [(np.ones(2),)])
    assert [float(value) for value in found] == [2, 4, 6, 8, 13, 15]


def test_rows_of_an_array_on_the_device_as_inputs(counter):
    add, _ = counter
    data = engine.resident(np.arange(10, dtype="float32"))
    found = add.block([(engine.Rows(data, np.array(rows)),) for rows in ([1, 2], [9, 0], [3, 3])])
    assert [float(value) for value in found] == [3, 12, 18]
    assert len(engine.Rows(data, np.arange(4))) == 4


def test_arrays_that_are_too_large_are_not_stored_on_the_device(monkeypatch):
    monkeypatch.setattr("arignote.engine.jax_backend.RESIDENT_BYTES", 100)
    assert engine.resident(np.zeros(26, "float32")) is None


def test_values_are_numpy_copies(counter):
    add, total = counter
    add(np.ones(3))
    value = total.get_value(borrow=True)
    assert type(value) is np.ndarray and value == 3
    add(np.ones(3))
    assert value == 3
    total.set_value(np.float32(10))
    assert add(np.ones(1)) == 11


def test_networks_in_double_precision(float64):
    x = tensor.matrix()
    assert x.dtype == "float64"
    found = engine.function([x], x / 3)(np.ones((1, 1)))
    assert found.dtype == "float64" and found[0, 0] == 1 / 3


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_blocks_of_minibatches_give_bit_identical_results(kind, tmp_path):
    layers, given = run.arguments(kind)
    expected = run.digests(run.run(kind, tmp_path / "one by one"))
    given |= {"checkpoint_batches": None, "n_epochs": 3, "checkpoint": tmp_path / "in blocks"}
    assert run.digests(NNClassifier(layers, rng=5).fit(**given)) == expected


def test_data_on_the_device_and_transferred_batches_train_the_same(blobs, monkeypatch):
    X, y = blobs
    calls = []

    def train():
        classifier = NNClassifier(run.MLP, rng=1)
        data = Data(X, y, start=20, stop=200, shuffle=True)
        classifier.fit(data, valid=(X, y), n_epochs=2, batch_size=32)
        return run.digests(classifier)

    found = train()
    monkeypatch.setattr("arignote.engine.resident", lambda array: calls.append(array))
    assert train() == found
    assert calls
