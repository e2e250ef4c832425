"""Two programs that train under one name."""

import os
import subprocess
import sys

from arignote.data import files
from tests.helpers import ROOT, wait_until


def start(checkpoint, n_epochs):
    command = [sys.executable, "-m", "tests.resume.run", "mlp", str(checkpoint), f"{checkpoint}.result", str(n_epochs)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def test_the_second_is_refused_and_takes_over_when_the_first_is_killed(tmp_path):
    checkpoint = tmp_path / "mine"
    with start(checkpoint, 100_000) as first:
        wait_until((tmp_path / "mine_last.pkl.gz").exists)
        with start("./" + os.path.relpath(checkpoint, ROOT), 100_000) as second:
            said = second.stderr.read()
        assert second.returncode == 1
        assert f"under which another program trains (process {first.pid} on host" in said
        assert "Training from" not in said and first.poll() is None
        assert files.checkpoint_read(checkpoint).trainer.progress.n_examples > 0
        first.kill()
    n_epochs = files.checkpoint_read(checkpoint).trainer.progress.epoch + 2
    with start(checkpoint, n_epochs) as third:
        said = third.stderr.read()
    assert third.returncode == 0, said
    assert files.checkpoint_read(checkpoint).trainer.finished
    assert not (tmp_path / ".mine.lock").exists()
