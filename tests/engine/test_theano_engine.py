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


@pytest.mark.parametrize("size", [(7, 9), (8, 8), (5, 11)])
@pytest.mark.parametrize("window", [(3, 3), (2, 4), (1, 1)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 3), (3, 1)])
def test_convolution_agrees_with_a_longhand_loop(size, window, stride):
    rng = np.random.default_rng(0)
    images, filters = rng.normal(size=(2, 3, *size)), rng.normal(size=(4, 3, *window))
    x, w = tensor.tensor4(dtype="float64"), tensor.tensor4(dtype="float64")
    found = engine.function([x, w], engine.convolve(x, w, stride))(images, filters)
    np.testing.assert_allclose(found, correlate(images, filters, stride), rtol=1e-10, atol=1e-10)


def test_quick_compile_needs_no_c_and_ends_with_its_block():
    x = tensor.vector()

    def uses_c():
        thunks = engine.function([x], tensor.tanh(x)).fn.thunks
        return any(hasattr(thunk, "cthunk") for thunk in thunks)

    assert uses_c()
    with engine.quick_compile():
        assert not uses_c()
    assert uses_c()
