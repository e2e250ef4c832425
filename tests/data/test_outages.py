"""A store that fails: training goes on, what was stored stays, and what could not be stored follows."""

import http.client
import http.server
import os
import threading
import time
from urllib.parse import urlsplit

import pytest

from arignote.data import files, storage
from arignote.nnets import checkpoints
from arignote.nnets.callbacks import Callback
from arignote.nnets.nets import NNClassifier
from tests.helpers import MLP, assert_same_params, assert_same_training

s3fs = pytest.importorskip("s3fs")


class Proxy(http.server.ThreadingHTTPServer):
    """Stands between a program and a server. `fault` says what happens to requests that write, `n_faults` counts."""

    daemon_threads = True
    fault: str | None = None
    n_faults = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def relay(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault if self.command == "PUT" and body else None
        self.server.n_faults += fault is not None
        if fault == "drop":
            self.close_connection = True
            return
        if fault == "hang":
            time.sleep(4)  # longer than the timeout below
            self.close_connection = True
            return
        if fault == "500":
            self.send_response(500)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        headers = dict(self.headers)
        if fault == "truncate":
            body = body[: len(body) // 2]
            headers = {name: value for name, value in headers.items() if "checksum" not in name.lower()}
            headers["Content-Length"] = str(len(body))
        connection = http.client.HTTPConnection(self.server.target)
        connection.request(self.command, self.path, body, headers)
        reply = connection.getresponse()
        content = reply.read()
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        if reply.getheader("Content-Length") is None:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = relay

    def log_message(self, *arguments):
        pass


@pytest.fixture
def proxy(bucket, monkeypatch):
    """Stand between this program and the S3 server; repeat no request."""
    server = Proxy(("127.0.0.1", 0), Handler)
    server.target = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(
        storage, "S3_TIMEOUTS", {"connect_timeout": 5, "read_timeout": 3, "retries": {"max_attempts": 0}}
    )
    s3fs.S3FileSystem.clear_instance_cache()
    yield server
    server.fault = None
    server.shutdown()
    server.server_close()
    s3fs.S3FileSystem.clear_instance_cache()


FAULTS = ["500", "drop", "truncate", pytest.param("hang", marks=pytest.mark.slow)]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_upload_that_fails_leaves_both_files(fault, proxy, bucket, monkeypatch):
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    last, previous = f"{bucket}/{fault}/mine_last", f"{bucket}/{fault}/mine_previous"
    for content in (b"first " * 20, b"second " * 20):
        storage.write(last, content, keep_as=previous)
    proxy.fault = fault
    for _ in range(2):
        with pytest.raises(OSError):
            storage.write(last, b"third " * 20, keep_as=previous)
    assert proxy.n_faults >= 2
    proxy.fault = None
    assert (storage.read(last), storage.read(previous)) == (b"second " * 20, b"first " * 20)
    storage.require_writable(last)
    assert not storage.exists(f"{last}.tmp")
    storage.write(last, b"third " * 20, keep_as=previous)
    assert (storage.read(last), storage.read(previous)) == (b"third " * 20, b"second " * 20)
    assert not storage.exists(f"{last}.tmp")


class Outage(Callback):
    """Lets the store fail from one epoch to another; notes how long each minibatch took."""

    def __init__(self, proxy, fault, first, last):
        self.proxy, self.fault, self.first, self.last = proxy, fault, first, last
        self.at, self.longest = time.monotonic(), 0.0

    def on_batch_end(self, classifier, loss):
        now = time.monotonic()
        self.longest, self.at = max(self.longest, now - self.at), now
        epoch = classifier.trainer.progress.epoch
        self.proxy.fault = self.fault if self.first <= epoch < self.last else None

    def on_epoch_end(self, classifier):
        time.sleep(0.3)
        self.at = time.monotonic()


@pytest.mark.parametrize(
    "fault", ["500", *(pytest.param(fault, marks=pytest.mark.slow) for fault in ("truncate", "drop", "hang"))]
)
def test_training_goes_on_through_an_outage(fault, proxy, bucket, quick, blobs, caplog, monkeypatch):
    monkeypatch.setattr(checkpoints, "PATIENCE", 0.2)
    X, y = blobs
    given = {"X": X, "y": y, "valid": (X, y), "batch_size": 40, "sgd_type": "nag", "n_epochs": 12}
    name = f"{bucket}/outage-{fault}/mine"
    outage = Outage(proxy, fault, 3, 8)
    classifier = NNClassifier(MLP, rng=1).fit(**given, checkpoint=name, callbacks=outage)
    assert proxy.n_faults and outage.longest < 5  # s3fs repeats requests for a quarter of a minute
    assert "Training continues" in caplog.text and "Not written" not in caplog.text
    stored = files.checkpoint_read(name)
    assert stored.trainer.progress.epoch == 12
    assert_same_params(files.checkpoint_read(f"{name}_best_model.pkl.gz"), classifier)
    straight = NNClassifier(MLP, rng=1).fit(**given)
    assert_same_training(classifier, straight)


def test_an_outage_at_the_end_is_said_and_what_was_stored_is_resumed(proxy, bucket, quick, blobs, caplog, monkeypatch):
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    X, y = blobs
    given = {"X": X, "y": y, "valid": (X, y), "batch_size": 40, "sgd_type": "nag", "n_epochs": 6}
    name = f"{bucket}/end/mine"
    NNClassifier(MLP, rng=1).fit(**given, checkpoint=name, callbacks=Outage(proxy, "500", 3, 99))
    assert "Not written: " in caplog.text
    proxy.fault = None
    resumed = files.checkpoint_read(name)
    assert 0 < resumed.trainer.progress.epoch < 6
    assert_same_params(resumed.fit(**given, checkpoint=name), NNClassifier(MLP, rng=1).fit(**given))
