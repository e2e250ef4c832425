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
    weights = rng.normal(size=(4, 6, 4, 4)).astype("float32")
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


def longhand(images, window, stride, ignore_border):
    """Pool window by window, and return the maxima and the gradient of their sum, weighted by 1, 2, 3, ..."""
    (down, across), (height, width) = stride, images.shape[2:]
    starts = []
    for size, extent, step in ((height, window[0], down), (width, window[1], across)):
        found = list(range(0, size, step))
        # A window counts if it is whole, or has a pixel that none before it has.
        whole = [start for start in found if start + extent <= size]
        cut = [start for start in found if start + extent > size]
        covered = max((start + extent for start in whole), default=0)
        starts.append(whole if ignore_border else whole + (cut[:1] if covered < size else []))
    maxima = np.zeros((*images.shape[:2], len(starts[0]), len(starts[1])))
    gradient = np.zeros(images.shape)
    for number, (n, c, i, j) in enumerate(np.ndindex(maxima.shape), start=1):
        row, column = starts[0][i], starts[1][j]
        part = images[n, c, row : row + window[0], column : column + window[1]]
        maxima[n, c, i, j] = part.max()
        at = np.unravel_index(part.argmax(), part.shape)
        gradient[n, c, row + at[0], column + at[1]] += number
    return maxima, gradient


CASES = [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((3, 2), (1, 3)), ((2, 2), (3, 4)), ((4, 4), (4, 4)), ((5, 1), (2, 1))]


@pytest.mark.parametrize("ignore_border", [False, True])
@pytest.mark.parametrize(("window", "stride"), CASES)
def test_windows_at_the_edge_are_kept_or_left_out(window, stride, ignore_border):
    rng = np.random.default_rng(0)
    variable = tensor.ftensor4()
    pooled = max_pool(variable, window, stride, ignore_border)
    weights = tensor.ftensor4()
    functions = [
        engine.function([variable], [pooled, pooled.shape]),
        engine.function([variable, weights], engine.grad((pooled * weights).sum(), variable)),
    ]
    for size in ((7, 9), (8, 8), (5, 6), (6, 5)):
        images = rng.integers(5, size=(2, 3, *size)).astype("float32")  # equal values too
        maxima, gradient = longhand(images, window, stride, ignore_border)
        found, shape = functions[0](images)
        np.testing.assert_array_equal(found, maxima)
        assert tuple(shape) == maxima.shape
        numbers = np.arange(1, maxima.size + 1, dtype="float32").reshape(maxima.shape)
        np.testing.assert_array_equal(functions[1](images, numbers), gradient)


@pytest.mark.parametrize(("window", "stride"), [case for case in CASES if case[1] <= case[0]])
def test_pytorch_keeps_the_same_windows(window, stride):
    torch = pytest.importorskip("torch")
    rng, variable = np.random.default_rng(0), tensor.ftensor4()
    pool = engine.function([variable], max_pool(variable, window, stride))
    for size in ((7, 9), (8, 8), (5, 6)):
        images = rng.normal(size=(2, 3, *size)).astype("float32")
        expected = torch.nn.functional.max_pool2d(torch.tensor(images), window, stride, ceil_mode=True).numpy()
        np.testing.assert_array_equal(pool(images), expected)
