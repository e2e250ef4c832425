import numpy as np
import pytest

from arignote import engine, native
from arignote.engine import tensor
from arignote.ops import activate, dropout
from arignote.ops.dropout import ActivateDropout, Dropout

KEY = np.array([123, 4567])


def compiled(dtype, fraction=0.3):
    """Return a compiled function that applies dropout, and computes the gradient of the weighted sum of its output."""
    x = tensor.TensorType(dtype, (False, False))("x")
    weights = tensor.TensorType(dtype, (False, False))("weights")
    position = tensor.lvector("position")
    y = dropout(x, np.float64(fraction), engine.shared(KEY), position)
    return engine.function([x, weights, position], [y, engine.grad((y * weights).sum(), x)])


@pytest.mark.skipif(not native.available(), reason="compares kernels")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(128, 400), (3, 7), (1, 64), (5, 13), (0, 4)])
def test_kernel_and_numpy_agree_bit_for_bit(dtype, shape):
    x = np.random.default_rng(1).normal(size=shape).astype(dtype)
    inputs = x, np.float64(0.3), KEY, np.array([1, 2, 3])
    cell = [None]
    Dropout().run([cell], *inputs)
    assert cell[0].tobytes() == Dropout().reference(*inputs)[0].tobytes()


def test_fused_dropout_drops_the_same_units():
    z = tensor.fmatrix()
    position = tensor.lvector()
    activated = activate("prelu", z, np.zeros(70, "float32"), np.full(70, 0.25, "float32"))
    fused = dropout(activated, np.float64(0.3), KEY, position)
    separate = Dropout()(activated, np.float64(0.3), KEY, position)
    assert type(fused.owner.op) is ActivateDropout
    x = np.random.default_rng(0).normal(size=(50, 70)).astype("float32")
    first, second = engine.function([z, position], [fused, separate])(x, [4, 5, 6])
    assert first.tobytes() == second.tobytes()


def test_gradient_uses_the_same_mask(quick):
    x = np.ones((50, 40), "float32")
    weights = np.random.default_rng(0).normal(size=x.shape).astype("float32")
    y, gradient = compiled("float32")(x, weights, [0, 0, 0])
    np.testing.assert_array_equal(gradient, weights * y)


def test_kept_values_are_scaled_and_the_fraction_is_right():
    x = np.full((400, 500), 2.0, "float32")
    y, _ = compiled("float32", 0.3)(x, x, [0, 0, 0])
    assert set(np.unique(y)) == {np.float32(0), np.float32(2.0) * np.float32(1 / 0.7)}
    # 200 000 draws: three standard deviations of the fraction are 0.0031
    assert abs((y == 0).mean() - 0.3) < 0.0031


@pytest.mark.parametrize("position", [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
def test_every_position_has_a_different_mask(position, quick):
    x = np.ones((40, 50), "float32")
    run = compiled("float32", 0.5)
    first, second = run(x, x, [0, 0, 0])[0], run(x, x, position)[0]
    # Independent masks agree on half of 2000 units, with a standard deviation of 22.
    assert abs((first == second).sum() - 1000) < 100


def test_mask_does_not_depend_on_the_memory_layout():
    x = np.asfortranarray(np.random.default_rng(0).normal(size=(6, 9)).astype("float32"))
    run = compiled("float32")
    np.testing.assert_array_equal(run(x, x, [4, 5, 6])[0], run(np.ascontiguousarray(x), x, [4, 5, 6])[0])
