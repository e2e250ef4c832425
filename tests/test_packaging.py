"""What `pip install .` installs."""

import shutil
import subprocess
import sys
import zipfile

from tests.helpers import ROOT


def test_a_wheel_holds_all_that_the_library_needs(tmp_path):
    source = tmp_path / "source"  # a copy, without what earlier builds left
    shutil.copytree(ROOT / "arignote", source / "arignote", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*command, tmp_path, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("arignote-*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("arignote/")}
    needed = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.py", "*.cpp", "*.h", "mnist.pkl.gz")
        for path in (ROOT / "arignote").rglob(pattern)
    }
    assert held == needed
