"""The bar, in a terminal of its own."""

import io
import logging
import os
import pty
import re
import subprocess
import sys
import termios

import pytest

from arignote.nnets.callbacks.bar import ProgressBar
from arignote.nnets.nets import NNClassifier, define_mlp
from arignote.util import netlog
from tests.helpers import ROOT

PROGRAM = """
import numpy as np
from arignote import engine
from arignote.nnets import nets
from arignote.nnets.callbacks import bar
bar.REDRAW_SECONDS = bar.ESTIMATE_SECONDS = 0  # however fast an epoch is
rng = np.random.default_rng(0)
X, y = rng.normal(size=(20000, 30)), rng.integers(3, size=20000)
classifier = nets.NNClassifier(nets.define_mlp(3, [50]), rng=0, batch_size=20)
with engine.quick_compile():
    classifier.fit(X, y, valid=0.1, n_epochs=3, sgd_type="sgd"ARGUMENT)
"""


def shown(program):
    """Return what a program writes to a terminal, and whether it ended well."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=theirs, stderr=theirs)
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        text += part
    os.close(ours)
    assert process.wait() == 0, text
    return text.decode()


def test_a_terminal_shows_a_bar_for_each_epoch():
    text = shown(PROGRAM.replace("ARGUMENT", ""))
    bars = re.findall(r"epoch (\d)/3 \|.*?\| *(\d+) %(.*?)\r", text)
    assert {epoch for epoch, _, _ in bars} == {"1", "2", "3"}
    last = [rest for epoch, _, rest in bars if epoch == "3" and "loss" in rest][-1]
    assert re.search(r"loss \d\.\d{4}, valid \d\.\d{4}, best \d\.\d{4}, [\d,]+/s, 0:\d\d left", last)
    # Each line of a validation stands alone: the bar has made room for it.
    for line in text.replace("\r", "\n").split("\n"):
        assert not (": nll" in line and "%" in line)


def test_a_terminal_shows_none_if_told_so():
    assert "| " not in shown(PROGRAM.replace("ARGUMENT", ", progress=False"))


def test_a_log_file_gets_no_bar(blobs, quick, capsys):
    NNClassifier(define_mlp(3, [5]), rng=0).fit(*blobs, n_epochs=1, batch_size=20)
    assert "%" not in capsys.readouterr().err


def test_a_program_with_its_own_logging_gets_no_bar(monkeypatch):
    monkeypatch.setattr(netlog.root, "handlers", [logging.NullHandler()])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert not ProgressBar.is_wanted()
    monkeypatch.setattr(netlog.root, "handlers", [netlog.DefaultHandler()])
    assert ProgressBar.is_wanted()


@pytest.mark.parametrize("seconds", [5, 65, 3700])
def test_the_time_left_is_that_of_the_rest_at_the_same_speed(monkeypatch, seconds):
    class Progress:
        epoch, batch, n_rows, n_examples, best_loss = 2, 5, 100, 250, 0.5

    class Trainer:
        progress = Progress
        settings = type("Settings", (), {"valid_loss": "nll", "n_epochs": 5, "batch_size": 10})

        @staticmethod
        def curve(name):
            return [], []

    bar = ProgressBar()
    bar._loss_sum, bar._n_losses, bar._started, bar._examples_before = 1.0, 4, 0.0, 0
    monkeypatch.setattr("arignote.nnets.callbacks.bar.time.monotonic", lambda: seconds)  # 250 examples are left
    clock = {5: "0:05", 65: "1:05", 3700: "1:01:40"}[seconds]
    assert bar._text(Trainer) == f"loss 0.2500, {250 / seconds:,.0f}/s, {clock} left"


def test_the_time_left_is_not_guessed_from_the_first_minibatches(monkeypatch):
    now = 100.0
    progress = type("Progress", (), {"epoch": 0, "batch": 1, "n_rows": 1000, "n_examples": 10, "best_loss": 0.5})()
    progress.epoch_end_is_due = False
    settings = type("Settings", (), {"valid_loss": "nll", "n_epochs": 1, "batch_size": 10})
    trainer = type("Trainer", (), {"progress": progress, "settings": settings, "n_batches": 100})
    trainer.curve = staticmethod(lambda name: ([], []))
    classifier = type("Classifier", (), {"trainer": trainer})
    monkeypatch.setattr("arignote.nnets.callbacks.bar.time.monotonic", lambda: now)
    monkeypatch.setattr("arignote.nnets.callbacks.bar.netlog.stream", io.StringIO)
    bar = ProgressBar()
    bar.on_train_begin(classifier)
    now = 160.0  # the first minibatch took a minute
    bar.on_batch_end(classifier, 1.0)
    assert bar._text(trainer) == "loss 1.0000"
    now, progress.batch, progress.n_examples = 200.0, 4, 40  # too few minibatches
    assert bar._text(trainer) == "loss 1.0000"
    now, progress.batch, progress.n_examples = 162.9, 51, 510  # too short a time
    assert bar._text(trainer) == "loss 1.0000"
    now = 165.0
    assert bar._text(trainer) == "loss 1.0000, 100/s, 0:05 left"
