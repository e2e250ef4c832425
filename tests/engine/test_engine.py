from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from arignote import engine, ops
from arignote.engine import tensor

not_on_jax = pytest.mark.skipif(engine.describe()["backend"] == "jax", reason="JAX works differently")


def correlate(images, filters, stride):
    """Cross-correlate in a plain loop: every output value is a sum over a window."""
    n, _, rows, columns = images.shape
    n_filters, _, height, width = filters.shape
    out = np.empty((n, n_filters, (rows - height) // stride[0] + 1, (columns - width) // stride[1] + 1))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            top, left = i * stride[0], j * stride[1]
            window = images[:, :, top : top + height, left : left + width]
            for f in range(n_filters):
                out[:, f, i, j] = (window * filters[f]).sum(axis=(1, 2, 3))
    return out


@pytest.mark.skipif(engine.convolve is None, reason="this engine has no convolution")
@pytest.mark.parametrize("size", [(7, 9), (8, 8), (5, 11)])
@pytest.mark.parametrize("window", [(3, 3), (2, 4), (1, 1)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 3), (3, 1)])
def test_convolution_agrees_with_a_plain_loop(size, window, stride):
    rng = np.random.default_rng(0)
    images, filters = rng.normal(size=(2, 3, *size)), rng.normal(size=(4, 3, *window))
    x, w = tensor.tensor4(dtype="float64"), tensor.tensor4(dtype="float64")
    found = engine.function([x, w], engine.convolve(x, w, stride))(images, filters)
    np.testing.assert_allclose(found, correlate(images, filters, stride), rtol=1e-10, atol=1e-10)


@not_on_jax
def test_quick_compile_uses_no_c_inside_its_block_only():
    x = tensor.vector()

    def uses_c():
        compiled = engine.function([x], tensor.tanh(x)).compiled
        machine = compiled.fn if hasattr(compiled, "fn") else compiled.vm  # in Theano and in PyTensor
        return any(hasattr(thunk, "cthunk") for thunk in machine.thunks)

    assert uses_c()
    with engine.quick_compile():
        assert not uses_c()
    assert uses_c()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary_cross_entropy_agrees_with_numpy(dtype):
    p, flags = tensor.TensorType(dtype, (False, False))(), tensor.imatrix()
    run = engine.function([p, flags], engine.binary_cross_entropy(p, flags))
    found = run(np.array([[0.1, 0.9], [0.5, 0.5]], dtype), np.array([[0, 1], [1, 1]], "int32"))
    np.testing.assert_allclose(found, -np.log([[0.9, 0.9], [0.5, 0.5]]), rtol=1e-5)


@not_on_jax
def test_shared_variables_hold_aligned_copies():
    value = np.arange(12.0).reshape(3, 4)[:, ::2]
    variable = engine.shared(value, name="v")
    held = variable.get_value(borrow=True)
    np.testing.assert_array_equal(held, value)
    assert not np.shares_memory(held, value)
    assert held.flags.c_contiguous and held.ctypes.data % 64 == 0


def test_a_function_can_be_called_by_many_threads():
    x = tensor.matrix()
    run = engine.function([x], ops.activate("relu", ops.matmul(x, x), np.zeros(60, "float32")))
    inputs = [np.full((60, 60), i, "float32") for i in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        for array, found in zip(inputs * 20, pool.map(run, inputs * 20), strict=True):
            np.testing.assert_array_equal(found, array @ array)
