"""What several test modules need."""

import signal

import numpy as np
import pytest

from arignote import engine

# Programs that a shell starts in the background ignore Ctrl-C, and so would those that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def quick():
    """Compile without C: in a moment, to run slowly."""
    with engine.quick_compile():
        yield


@pytest.fixture
def float64():
    """Compute in double precision."""
    with engine.use_float("float64"):
        yield


@pytest.fixture
def blobs():
    """Return a small problem that a network can learn: 240 points around 3 centres in 5 dimensions."""
    rng = np.random.default_rng(7)
    y = rng.integers(3, size=240)
    return (rng.normal(size=(3, 5)) * 2)[y] + rng.normal(size=(240, 5)), y


def numeric_gradient(function, array, step=1e-6):
    """Return the gradient of a function of an array by central differences."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        up, down = array.copy(), array.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def numeric_gradient_by(shared, function):
    """Return the gradient of a function of nothing by a shared variable that it depends on."""
    start = shared.get_value()

    def at(value):
        shared.set_value(value)
        return function()

    gradient = numeric_gradient(at, start)
    shared.set_value(start)
    return gradient
