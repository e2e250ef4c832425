"""A short version of what `make torture` does at length."""

import shutil
import signal

import pytest

from tests.resume import torture


def test_real_kills_at_random_moments(tmp_path):
    expected = torture.straight_run("mlp", tmp_path, 60)
    torture.torture("mlp", tmp_path, signal.SIGKILL, 5, 60, expected, seed=3)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")
def test_a_kill_at_every_system_call_of_a_save(tmp_path):
    torture.kill_at_every_system_call(tmp_path)
