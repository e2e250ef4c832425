import numpy as np
import pytest

from arignote import engine
from arignote.engine import tensor
from arignote.ops import activate, max_pool
from arignote.ops.activate import FORMULAS
from arignote.ops.pool import MaxPool


@pytest.mark.parametrize("name", FORMULAS)
def test_pooling_before_the_activation_changes_nothing(name):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4, 6, 7, 8)).astype("float32")
    per_channel = rng.normal(size=(1 + len(FORMULAS[name].learned), 6)).astype("float32")  # negative slopes too
    weights = rng.normal(size=(4, 6, 3, 4)).astype("float32")
    variables = [tensor.ftensor4(), *(tensor.fvector() for _ in per_channel)]
    activated = activate(name, *variables)
    values = []
    for pooled in (max_pool(activated, (2, 2), (2, 2)), MaxPool((2, 2), (2, 2))(activated)[0]):
        loss = (pooled * weights).sum()
        outputs = [pooled, *engine.grad(loss, variables)]
        values.append(engine.function(variables, outputs)(z, *per_channel))
    for actual, expected in zip(*values, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(values[0][0], values[1][0])
