"""What several test modules need."""

import http.server
import os
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


@pytest.fixture(scope="module")
def bucket():
    """Run a real S3 server on this machine, and return the address of a bucket."""
    s3fs = pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    import boto3

    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    settings = {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    earlier = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    s3fs.S3FileSystem.clear_instance_cache()  # which knows the address of an earlier server
    boto3.client("s3").create_bucket(Bucket="runs")
    yield "s3://runs"
    for name, value in earlier.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    server.stop()
