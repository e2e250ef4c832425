import numpy as np
import pytest

from arignote import engine
from arignote.engine import tensor


def correlate(images, filters, stride):
    """Convolve longhand: every output value is a sum over a window."""
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


def pool(images, shape, stride):
    """Pool longhand."""
    rows = (images.shape[2] - shape[0]) // stride[0] + 1
    columns = (images.shape[3] - shape[1]) // stride[1] + 1
    out = np.empty((*images.shape[:2], rows, columns))
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride[0], j * stride[1]
            out[:, :, i, j] = images[:, :, top : top + shape[0], left : left + shape[1]].max(axis=(2, 3))
    return out


@pytest.mark.parametrize("size", [(7, 9), (8, 8), (5, 11)])
@pytest.mark.parametrize("window", [(3, 3), (2, 4), (1, 1)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 3), (3, 1)])
def test_convolution_agrees_with_a_longhand_loop(size, window, stride):
    rng = np.random.default_rng(0)
    images, filters = rng.normal(size=(2, 3, *size)), rng.normal(size=(4, 3, *window))
    x, w = tensor.tensor4(dtype="float64"), tensor.tensor4(dtype="float64")
    found = engine.function([x, w], engine.convolve(x, w, stride))(images, filters)
    np.testing.assert_allclose(found, correlate(images, filters, stride), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [(7, 9), (8, 8), (5, 11)])
@pytest.mark.parametrize("window", [(2, 2), (3, 2), (1, 3)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 2), (4, 1)])
def test_pooling_agrees_with_a_longhand_loop(size, window, stride):
    images = np.random.default_rng(0).normal(size=(2, 3, *size))
    x = tensor.tensor4(dtype="float64")
    found = engine.function([x], engine.max_pool(x, window, stride))(images)
    np.testing.assert_array_equal(found, pool(images, window, stride))


def test_single_precision_agrees_with_longhand_loops():
    rng = np.random.default_rng(0)
    images, filters = rng.normal(size=(2, 3, 9, 8)).astype("float32"), rng.normal(size=(4, 3, 3, 2)).astype("float32")
    x, w = tensor.tensor4(dtype="float32"), tensor.tensor4(dtype="float32")
    y = engine.convolve(x, w, (2, 1))
    found, pooled = engine.function([x, w], [y, engine.max_pool(y, (2, 3), (1, 2))])(images, filters)
    expected = correlate(images, filters, (2, 1))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(pooled, pool(expected, (2, 3), (1, 2)), rtol=1e-4, atol=1e-5)


def test_softmax_and_cross_entropy_stay_finite_for_large_inputs():
    x, y = tensor.matrix(), tensor.ivector()
    loss = engine.cross_entropy(engine.softmax(x), y).mean()
    function = engine.function([x, y], [loss, engine.grad(loss, x)])
    value, gradient = function(
        np.array([[1000.0, 0.0], [0.0, -1000.0]], engine.float_type()), np.array([0, 1], "int32")
    )
    np.testing.assert_allclose(value, 500.0)
    np.testing.assert_allclose(gradient, [[0, 0], [0.5, -0.5]])


def test_quick_compile_needs_no_c_and_ends_with_its_block():
    x = tensor.vector()

    def uses_c():
        thunks = engine.function([x], tensor.tanh(x)).fn.thunks
        return any(hasattr(thunk, "cthunk") for thunk in thunks)

    assert uses_c()
    with engine.quick_compile():
        assert not uses_c()
    assert uses_c()
