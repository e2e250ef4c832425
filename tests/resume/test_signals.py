"""Told to stop: by Ctrl-C, by SIGTERM, by a spot notice."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from arignote.data import files
from arignote.nnets.callbacks import Callback
from arignote.nnets.train.interrupt import SpotWatcher, Stopped, StopRequest
from tests.helpers import ROOT, wait_until
from tests.resume import run
from tests.resume.test_exact import in_process, straight_run


def start(kind, checkpoint, *more):
    command = [sys.executable, "-m", "tests.resume.run", kind, str(checkpoint), *map(str, more)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("moment", ["compiling", "training"])
def test_sigterm_saves_and_exits_as_sigterm_does(moment, tmp_path):
    process = start("mlp", tmp_path / "mine", tmp_path / "result", 400)
    awaited = "Compiling" if moment == "compiling" else "2/400: "
    for line in process.stderr:
        if awaited in line:
            break
    process.terminate()
    process.stderr.read()
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    if moment == "training" or (tmp_path / "mine_last.pkl.gz").exists():  # nothing to save before the first minibatch
        assert files.checkpoint_read(tmp_path / "mine").trainer.progress.n_examples > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_work_that_need_not_be_finished_is_left_at_once(number):
    started = time.monotonic()
    with StopRequest() as stop:
        with pytest.raises(Stopped), stop.interruptible():
            os.kill(os.getpid(), number)
            time.sleep(60)
        assert stop.requested
        with pytest.raises(Stopped), stop.interruptible():  # asked for before it was begun
            pass
    assert time.monotonic() - started < 30


def test_sigterm_at_random_moments_then_the_same_end(tmp_path):
    expected = straight_run("mlp", tmp_path)
    moments = random.Random(1)
    for _ in range(4):
        process = start("mlp", tmp_path / "mine", tmp_path / "result")
        time.sleep(moments.uniform(0.5, 4.0))
        process.terminate()
        process.stderr.read()
        assert process.wait(timeout=60) in (128 + signal.SIGTERM, -signal.SIGTERM, 0)
    assert in_process("mlp", tmp_path / "mine", tmp_path / "result") == expected


def test_a_handler_of_the_programs_own_is_called_when_all_is_saved(quick, tmp_path):
    stored = []
    earlier = signal.signal(signal.SIGTERM, lambda *_: stored.append((tmp_path / "mine_last.pkl.gz").exists()))

    def terminate_once(X, y, epoch, rng):
        if epoch == 2 and not sent:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))
        return X, y

    sent = []
    try:
        layers, given = run.arguments("mlp")
        classifier = run.NNClassifier(layers, rng=5)
        given |= {"checkpoint_batches": None, "augmentation": terminate_once, "n_epochs": 50}
        classifier.fit(**given, checkpoint=tmp_path / "mine")
        assert stored == [True]
        assert classifier.trainer.progress.epoch < 50
    finally:
        signal.signal(signal.SIGTERM, earlier)


class Failing(Callback):
    """Raises an error after a SIGTERM."""

    def __init__(self, event):
        self.event = event

    def on_batch_end(self, classifier, loss):
        os.kill(os.getpid(), signal.SIGTERM)
        if self.event == "on_batch_end":
            raise RuntimeError("an error of a callback")

    def on_train_end(self, classifier):
        if self.event == "on_train_end":
            raise RuntimeError("an error of a callback")


@pytest.mark.parametrize("event", ["on_batch_end", "on_train_end"])
def test_sigterm_ends_the_program_where_an_error_follows(event, quick, caplog):
    layers, given = run.arguments("mlp")
    with pytest.raises(SystemExit) as exit:
        run.NNClassifier(layers, rng=5).fit(**given | {"callbacks": [Failing(event)], "n_epochs": 50})
    assert exit.value.code == 128 + signal.SIGTERM
    assert "an error of a callback" in caplog.text


def test_an_error_after_sigterm_is_raised_where_the_program_handles_the_signal(quick):
    handled = []
    earlier = signal.signal(signal.SIGTERM, lambda *_: handled.append(True))
    try:
        layers, given = run.arguments("mlp")
        with pytest.raises(RuntimeError, match="an error of a callback"):
            run.NNClassifier(layers, rng=5).fit(**given | {"callbacks": [Failing("on_train_end")], "n_epochs": 50})
        assert handled
    finally:
        signal.signal(signal.SIGTERM, earlier)


def test_a_signal_that_the_program_ignores_stays_ignored(quick, tmp_path):
    earlier = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        layers, given = run.arguments("mlp")
        os.kill(os.getpid(), signal.SIGTERM)
        given["augmentation"] = lambda X, y: (os.kill(os.getpid(), signal.SIGTERM), (X, y))[1]
        assert run.NNClassifier(layers, rng=5).fit(**given, n_epochs=2).trainer.finished
    finally:
        signal.signal(signal.SIGTERM, earlier)


def test_a_spot_notice_stops_training_and_saves(service, quick, tmp_path, caplog):
    handler, address = service
    layers, given = run.arguments("mlp")

    def announce(X, y, epoch, rng):
        if epoch == 2:
            handler.notice = '{"action": "terminate", "time": "2026-01-01T00:02:00Z"}'
        time.sleep(0.005)
        return X, y

    given |= {"augmentation": announce, "n_epochs": 10_000, "spot_notice": address}
    classifier = run.NNClassifier(layers, rng=5).fit(**given, checkpoint=tmp_path / "mine")
    assert 1 <= classifier.trainer.progress.epoch < 10_000
    assert "spot notice (terminate at 2026-01-01T00:02:00Z)" in caplog.text
    assert files.checkpoint_read(tmp_path / "mine").trainer.progress.epoch >= 1
    assert not [thread for thread in threading.enumerate() if thread.name == "arignote-spot"]


def test_a_watcher_asks_until_there_is_a_notice_and_tells_once(service):
    handler, address = service
    told = []
    watcher = SpotWatcher(told.append, address, interval=0.01)
    watcher.start()
    wait_until(lambda: handler.asked >= 3)
    assert told == []
    handler.notice = '{"action": "stop", "time": "soon"}'
    watcher._thread.join(20)
    assert told == ["the spot notice (stop at soon)"]
    watcher.stop()


def test_a_watcher_gets_a_new_token_when_its_own_has_expired(service):
    handler, address = service
    told = []
    watcher = SpotWatcher(told.append, address, interval=0.01)
    watcher.start()
    wait_until(lambda: handler.asked >= 1)
    handler.token = "the-next-token"
    handler.notice = '{"action": "stop", "time": "soon"}'
    wait_until(lambda: told)
    assert told == ["the spot notice (stop at soon)"]
    watcher.stop()


def test_a_machine_without_the_service_is_left_in_peace(caplog):
    told = []
    watcher = SpotWatcher(told.append, "http://127.0.0.1:9", interval=0.01)
    watcher.start()
    watcher._thread.join(20)
    assert not watcher._thread.is_alive() and told == [] and caplog.text == ""
    watcher.stop()


TWO_FITS = """
import sys
import numpy as np
from arignote import engine
from arignote.nnets.nets import NNClassifier, define_mlp

how, folder = sys.argv[1:]
X, y = np.random.default_rng(0).normal(size=(240, 5)), np.arange(240) % 3
with engine.quick_compile():
    for name in ("first", "second"):
        classifier = NNClassifier(define_mlp(3, [8]), rng=1)
        n_epochs = 100_000 if name == "first" else 1
        classifier.fit(X, y, n_epochs=n_epochs, batch_size=20, checkpoint=f"{folder}/{name}", interrupt=how)
        print(name, classifier.trainer.stopped_by, flush=True)
"""


@pytest.mark.parametrize("how", ["stop", "raise"])
def test_ctrl_c_ends_one_fit_or_the_program(how, tmp_path):
    command = [sys.executable, "-c", TWO_FITS, how, str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, **pipes)
    for line in process.stderr:
        if " 3/100000: " in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert files.checkpoint_read(tmp_path / "first").trainer.progress.epoch >= 3
    if how == "stop":
        assert (process.returncode, out) == (0, "first Ctrl-C\nsecond None\n")
        assert "Stopped by Ctrl-C; the program continues" in err
    else:
        assert process.returncode != 0 and out == ""
        assert "Stopped by Ctrl-C; a KeyboardInterrupt follows" in err and err.rstrip().endswith("KeyboardInterrupt")
        assert not (tmp_path / "second_last.pkl.gz").exists()
