"""What several test modules need."""

import http.server
import signal
import threading

import numpy as np
import pytest

from arignote import engine
from tests.helpers import MetadataService

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


@pytest.fixture
def service():
    """Run a metadata service of a spot machine; return its handler and its address."""

    class Service(MetadataService):
        pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Service, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
