import gzip
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.helpers import ROOT


def run(*arguments, folder, example="mnist"):
    command = [sys.executable, str(ROOT / f"examples/{example}.py"), *arguments]
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def test_trains_tests_draws_and_goes_on(tmp_path):
    pytest.importorskip("matplotlib")
    said = run("--net", "small", "--epochs", "1", folder=tmp_path)
    assert "fc1      FCLayer                   784 -> 128 " in said
    assert "1/1: nll" in said
    assert 0 < float(re.search(r"Test error .*: ([0-9.]+) %", said).group(1)) < 12
    assert (tmp_path / "runs/small.png").read_bytes()[:4] == b"\x89PNG"
    said = run("--net", "small", "--epochs", "2", "--checkpoint", "runs/small", folder=tmp_path)
    assert "Resuming from runs/small_last.pkl.gz" in said
    assert " 1/2: " not in said and " 2/2: " in said


def test_help_names_the_networks():
    assert "{seed,small,conv}" in run("--help", folder=ROOT)


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(header + array.astype("u1").tobytes()))


def test_fashion_from_files_and_from_memory(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    rng = np.random.default_rng(0)
    for part, n in (("train", 3000), ("t10k", 500)):
        labels = rng.integers(2, size=n)
        images = rng.integers(100, size=(n, 28, 28))
        images[labels == 0, :14] += 100  # the upper half is bright
        images[labels == 1, 14:] += 100
        write_idx(source / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(source / f"{part}-labels-idx1-ubyte.gz", labels)
    given = ("--source", str(source), "--epochs", "2")
    errors = []
    for more in ((), ("--in-memory",), ("--epochs", "3")):
        said = run(*given, *more, folder=tmp_path, example="fashion")
        errors.append(float(re.search(r"Test error .*: ([0-9.]+) %", said).group(1)))
    assert " 1/3: " not in said and " 3/3: " in said
    assert all(error < 5 for error in errors)
    assert (tmp_path / "runs/fashion-train.h5").exists()
    with pytest.raises(AssertionError, match="got no folder none; need the data; try: apt-get install"):
        run("--source", "none", folder=tmp_path, example="fashion")
