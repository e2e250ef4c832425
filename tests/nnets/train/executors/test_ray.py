"""Workers on a Ray cluster of this machine: the same bytes as without, whatever happens to them."""

import contextlib
import logging
import os
import random
import re
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'arignote[ray]'")
import ray

from arignote import native
from arignote.cluster import Cluster, ClusterError
from arignote.data.readers import Data, HDFReader, HDFWriter
from arignote.image import augment
from arignote.nnets import activations
from arignote.nnets.callbacks import Callback
from arignote.nnets.layers import Layer
from arignote.nnets.nets import NNClassifier, define_cnn, define_mlp
from arignote.nnets.train.executors import ray as ray_executor
from tests.helpers import ROOT, StopAfter, assert_same_training, listening_addresses, process_tree, wait_until

pytestmark = pytest.mark.filterwarnings("ignore")
rng = np.random.default_rng(0)
X, y = rng.random((200, 36)).astype("f4"), rng.integers(3, size=200)
MLP = define_mlp(3, [9], dropout_p=[0, 0.5], l2_reg=0.01)


@pytest.fixture(scope="module", autouse=True)
def started():
    """Have one cluster for all tests: starting it takes seconds."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    Cluster(3).connect()
    yield
    ray.shutdown()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def fit(layers=MLP, data=None, classifier=None, **given):
    classifier = classifier or NNClassifier(layers, rng=1)
    given = {"n_epochs": 3, "batch_size": 30, "sgd_type": "nag", "valid": (X[:50], y[:50]), "shards": 4} | given
    return classifier.fit(Data(X, y, shuffle=True) if data is None else data, **given)


def watched(folder):
    """Return the data; each process that reads them leaves in a folder a file named after it, a byte for each time."""

    def leave_a_mark(X):
        with open(folder / str(os.getpid()), "ab") as file:
            file.write(b".")
        return X

    return Data(X, y, shuffle=True, alter_features=leave_a_mark)


class Harm(Callback):
    """Send a signal to workers that are at work on `watched` data, after some minibatches."""

    def __init__(self, folder, n_batches, number=signal.SIGKILL, n_workers=1):
        self.folder, self.left, self.number, self.n_workers = folder, n_batches, number, n_workers

    def workers(self, n_reads):
        """Return the marks of workers that have read so often."""
        return [
            path for path in self.folder.iterdir() if path.name != str(os.getpid()) and path.stat().st_size >= n_reads
        ]

    def on_batch_end(self, classifier, loss):
        self.left -= 1
        if self.left > 0 or self.n_workers == 0:
            return
        wait_until(lambda: len(self.workers(1)) >= self.n_workers)  # they start
        chosen = self.workers(5)[: self.n_workers]  # they were given shards
        if len(chosen) < self.n_workers:
            time.sleep(0.1)
            return
        for path in chosen:
            os.kill(int(path.name), self.number)
            path.unlink()
        self.n_workers = 0


@pytest.fixture(scope="module")
def alone():
    return fit()


def test_one_or_three_workers(alone):
    for workers in (1, 3):
        assert_same_training(fit(workers=workers), alone)


@pytest.mark.slow
def test_all_processes_listen_on_loopback_alone_though_ray_was_imported_earlier():
    def look(classifier, loss):
        addresses.extend(listening_addresses(process_tree(os.getpid())))

    ray.shutdown()
    addresses, callback = [], Callback()
    callback.on_batch_end = look
    fit(workers=2, n_epochs=1, callbacks=callback)
    assert len({pid for _, pid in addresses} - {os.getpid()}) >= 5  # two workers, and processes of Ray
    assert all(address.is_loopback for address, _ in addresses)


@pytest.mark.slow
def test_images_from_a_file_with_augmentation(tmp_path):
    with HDFWriter(tmp_path / "data.h5") as writer:
        writer.append(images=X.reshape(-1, 1, 6, 6), labels=y)
    name = str(tmp_path / "data.h5")

    def found(**given):
        data = Data(HDFReader(name, "images"), HDFReader(name, "labels"), shuffle=True, shuffle_rows=60)
        valid = Data(HDFReader(name, "images"), HDFReader(name, "labels"), stop=50)
        layers = define_cnn(3, (6, 6), [4], 3, 2, [8], [0, 0, 0.3])
        return fit(layers, data, valid=valid, augmentation=augment.shift(1), **given)

    assert_same_training(found(workers=2), found())


@pytest.mark.slow
def test_a_worker_that_hangs(alone, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="arignote"):
        harm = Harm(tmp_path, 4, signal.SIGSTOP)
        assert_same_training(fit(data=watched(tmp_path), workers=Cluster(2, timeout=3), callbacks=harm), alone)
    assert "did not answer within 3 s" in caplog.text


@pytest.mark.parametrize("n_workers", [1, 2])
def test_workers_that_die_in_one_minibatch(n_workers, alone, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="arignote"):
        harm = Harm(tmp_path, 4, n_workers=n_workers)
        assert_same_training(fit(data=watched(tmp_path), workers=3, callbacks=harm), alone)
    assert caplog.text.count("is gone") == n_workers


@pytest.mark.slow
def test_all_workers_die_again_and_again(alone, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="arignote"):
        harms = [Harm(tmp_path, 2), Harm(tmp_path, 9)]
        assert_same_training(fit(data=watched(tmp_path), workers=1, callbacks=harms), alone)
    assert caplog.text.count("is gone") == 2


def test_a_worker_whose_machine_is_to_be_taken_away_gets_nothing_more(service, alone, caplog):
    handler, address = service

    def notice_once(self):
        if self.path == "/latest/meta-data/spot/instance-action" and not handler.asked:
            handler.asked = 1
            return self.reply(200, '{"action": "terminate", "time": "2026-01-01T00:02:00Z"}')
        return self.reply(404)

    handler.do_GET = notice_once
    with caplog.at_level(logging.WARNING, logger="arignote"):
        assert_same_training(fit(workers=Cluster(2, spot_notice=address)), alone)
    assert caplog.text.count("is about to be taken away") == 1


@pytest.mark.slow
def test_it_goes_on_with_another_number_of_workers_or_none(alone, tmp_path):
    stopped = fit(workers=2, callbacks=StopAfter(5))
    assert stopped.trainer.progress.batch == 5
    again = NNClassifier.from_state(stopped.__getstate__())
    again.fit(Data(X, y, shuffle=True), valid=(X[:50], y[:50]), workers=1, callbacks=StopAfter(6))
    last = NNClassifier.from_state(again.__getstate__())
    assert_same_training(last.fit(Data(X, y, shuffle=True), valid=(X[:50], y[:50])), alone)


def test_layers_activations_and_functions_of_ones_own_are_sent(monkeypatch):
    monkeypatch.setattr(activations, "ACTIVATIONS", dict(activations.ACTIVATIONS))

    def bent(x):
        return x + abs(x) / 2

    class DoubleLayer(Layer):
        def expression(self, x):
            return 2 * x

    def negative(X):
        return -X

    layers = [["InputLayer"], ["DoubleLayer"], *define_mlp(3, [9], activation=bent)]
    data = Data(X, y, alter_features=negative)
    assert_same_training(fit(layers, data, n_epochs=1, workers=1), fit(layers, data, n_epochs=1))


@pytest.mark.slow
def test_predictions_and_preparation_are_spread(alone, tmp_path):
    workers = Cluster(2)
    np.save(tmp_path / "X.npy", X)
    for source in (X, tmp_path / "X.npy"):
        found = workers.predict_proba(alone, source, batch_size=64)
        np.testing.assert_allclose(found, alone.predict_proba(X), atol=1e-6)
    batches = list(workers.prepare(Data(X, y, alter_features=lambda X: X**2), batch_size=30))
    np.testing.assert_array_equal(np.concatenate([X for X, _ in batches]), X**2)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), y)


def test_every_row_is_prepared_once_whatever_the_batch_size_of_the_data():
    for size in (30, 100):
        batches = list(Cluster(1).prepare(Data(X, y, batch_size=size, shuffle=True), batch_size=64))
        np.testing.assert_array_equal(np.concatenate([X for X, _ in batches]), X)
        np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), y)
        assert min(len(X) for X, _ in batches) > 0


def test_some_rows_are_predicted_in_as_many_threads_as_were_asked_for(alone, tmp_path):
    def note_threads(X):
        (tmp_path / str(os.getpid())).write_text(str(native.threads()))
        return X

    data = Data(X, y, start=30, stop=150, alter_features=note_threads)
    found = Cluster(1, threads=2).predict_proba(alone, data, batch_size=64)
    np.testing.assert_allclose(found, alone.predict_proba(X[30:150]), atol=1e-6)
    (tmp_path / str(os.getpid())).unlink(missing_ok=True)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["2"]


def test_a_file_that_workers_cannot_see(tmp_path):
    with HDFWriter(tmp_path / "data.h5") as writer:
        writer.append(images=X, labels=y)
    data = Data(HDFReader(tmp_path / "data.h5", "images"), HDFReader(tmp_path / "data.h5", "labels"))

    class Moved(HDFReader):
        def __reduce__(self):
            state = self.__getstate__() | {"filename": "/on/the/driver/alone.h5"}
            return object.__reduce__(HDFReader) if state is None else (restored, (state,))

    def restored(state):
        reader = HDFReader.__new__(HDFReader)
        reader.__dict__.update(state)
        return reader

    data.features = Moved(tmp_path / "data.h5", "images")
    with pytest.raises(ClusterError, match=r"cannot do this job: .*'/on/the/driver/alone.h5'; need a file that exists"):
        fit(data=data, valid=None, workers=1)


def test_other_versions_on_other_machines(monkeypatch):
    here = ray_executor.environment()
    monkeypatch.setattr(ray_executor, "environment", lambda: here | {"numpy": "1.0"})
    with pytest.raises(ClusterError, match=f"numpy {re.escape(np.__version__)} instead of 1.0; .*the same versions"):
        fit(workers=1)


def test_bad_row_in_the_data():
    bad = Data(X, y, alter_features=lambda X: np.where(X.max() - 1e-3 < X, np.nan, X))
    with pytest.raises((ClusterError, ValueError), match=r"got nan in row"):
        fit(data=bad, workers=1)


def test_what_does_not_fit():
    plain = fit(shards=1)
    with pytest.raises(ValueError, match="begun without shards.*try a new NNClassifier"):
        fit(classifier=plain, n_epochs=5, workers=1)
    with pytest.raises(ValueError, match="got threads=2 for a training begun with 1"):
        fit(classifier=fit(), n_epochs=5, workers=Cluster(1, threads=2))
    with pytest.raises(ValueError, match="got workers=0; need a whole number of 1 or more"):
        fit(workers=0)


def test_without_ray(monkeypatch):
    monkeypatch.setattr(ray_executor.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'arignote\[ray\]'"):
        fit(workers=1)


def test_an_address_where_nobody_is():
    ray.shutdown()
    with pytest.raises(ClusterError, match=r"got no cluster at 127.0.0.1:1 .*try: ray start --head"):
        fit(workers=Cluster(1, address="127.0.0.1:1"))


def worker_pids():
    """Return the processes in which Ray runs our workers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(b"ray::Worker"):
                found.append(int(path.parent.name))
    return found


@contextlib.contextmanager
def killing_workers(moments, kills):
    """While this block runs, kill a random worker at random moments; `kills` gets their process ids."""
    stopped = threading.Event()

    def work():
        while not stopped.wait(moments.uniform(0.5, 6.0)):  # a worker starts in about four seconds
            pids = worker_pids()
            if pids:
                with contextlib.suppress(ProcessLookupError):
                    pid = moments.choice(pids)
                    os.kill(pid, signal.SIGKILL)
                    kills.append(pid)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_twenty_kills_at_random_moments(kind):
    images = X.reshape(-1, 1, 6, 6) if kind == "conv" else X
    layers = define_cnn(3, (6, 6), [4], 3, 2, [8], [0, 0, 0.3]) if kind == "conv" else MLP
    given = {"valid": (images[:50], y[:50]), "n_epochs": 60, "validation_frequency": 500}
    if kind == "conv":
        given["augmentation"] = augment.shift(1)

    def run(**more):
        return fit(layers, Data(images, y, shuffle=True), **given, **more)

    expected, kills, n_runs = run(), [], 0
    moments = random.Random(1)
    while len(kills) < 20:
        with killing_workers(moments, kills):
            found = run(workers=Cluster(2, start_timeout=300))
        assert_same_training(found, expected)
        n_runs += 1
    print(f"{kind}: {len(kills)} workers killed in {n_runs} runs, each with the same bytes")
