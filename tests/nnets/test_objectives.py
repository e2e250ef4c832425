"""Objectives and metrics against numpy, with and without weights, and their gradients against finite differences."""

import numpy as np
import pytest

from arignote import engine
from arignote.engine import tensor
from arignote.nnets import metrics, objectives
from arignote.ops import softmax
from tests.helpers import numeric_gradient

rng = np.random.default_rng(3)
Z, CLASSES = rng.normal(size=(7, 4)), rng.integers(4, size=7).astype("int32")
LABELS = rng.integers(2, size=(7, 4)).astype("float64")
WEIGHT = rng.random(7)
P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
Q = 1 / (1 + np.exp(-Z))
NLL = -np.log(P[np.arange(7), CLASSES])
CASES = {
    "nll": (objectives.nll, softmax, CLASSES, NLL),
    "error": (metrics.error, softmax, CLASSES, P.argmax(axis=1) != CLASSES),
    "multilabel nll": (
        objectives.multilabel_nll,
        engine.sigmoid,
        LABELS,
        -(LABELS * np.log(Q) + (1 - LABELS) * np.log(1 - Q)).sum(axis=1),
    ),
    "multilabel error": (metrics.multilabel_error, engine.sigmoid, LABELS, ((Q > 0.5) != LABELS).mean(axis=1)),
}


def compiled(name, weighted):
    function, activate, target, _ = CASES[name]
    z, weight = tensor.matrix("z"), tensor.vector("weight")
    y = tensor.ivector("y") if target.ndim == 1 else tensor.matrix("y")
    loss = function(activate(z), y, weight if weighted else None)
    gradient = [] if "error" in name else [engine.grad(loss, z)]
    found = engine.function([z, y, weight], [loss, *gradient], on_unused_input="ignore")
    return lambda Z: found(Z, target, WEIGHT)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_numpy(name, weighted, float64, quick):
    expected = np.average(CASES[name][-1], weights=WEIGHT if weighted else None)
    np.testing.assert_allclose(compiled(name, weighted)(Z)[0], expected, rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", [name for name in CASES if "error" not in name])
def test_gradients_agree_with_finite_differences(name, weighted, float64, quick):
    function = compiled(name, weighted)
    expected = numeric_gradient(lambda Z: function(Z)[0], Z)
    np.testing.assert_allclose(function(Z)[1], expected, rtol=1e-6, atol=1e-9)


def test_a_weighted_nll_is_exact_where_a_probability_is_too_small_to_be_stored(float64, quick):
    z, y, weight = tensor.matrix(), tensor.ivector(), tensor.vector()
    loss = engine.function([z, y, weight], objectives.nll(softmax(z), y, weight))
    assert loss(np.array([[0.0, 2000.0]]), np.array([0], "int32"), np.ones(1)) == 2000


def test_tables_hold_functions_of_output_target_and_weight():
    for table in (objectives.CLASSIFICATION, objectives.MULTILABEL, metrics.CLASSIFICATION, metrics.MULTILABEL):
        assert table and all(callable(function) for function in table.values())
