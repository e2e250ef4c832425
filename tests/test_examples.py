import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*arguments, folder):
    command = [sys.executable, str(ROOT / "examples/mnist.py"), *arguments]
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def test_trains_tests_draws_and_goes_on(tmp_path):
    pytest.importorskip("matplotlib")
    said = run("--net", "small", "--epochs", "1", folder=tmp_path)
    assert "fc1          FCLayer                    (784,) -> (128,)" in said
    assert "epoch 1/1; train nll" in said
    assert 0 < float(re.search(r"Test error .*: ([0-9.]+) %", said).group(1)) < 12
    assert (tmp_path / "runs/small.png").read_bytes()[:4] == b"\x89PNG"
    said = run("--net", "small", "--epochs", "2", "--checkpoint", "runs/small", folder=tmp_path)
    assert "Going on from runs/small_last.pkl.gz" in said
    assert "epoch 1/2" not in said and "epoch 2/2" in said


def test_help_names_the_networks():
    assert "{seed,small,conv}" in run("--help", folder=ROOT)
