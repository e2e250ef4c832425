"""Compile the kernels, once for each machine and version, and keep the result in the user's cache folder.

The folder's name is a fingerprint of all that the result depends on: sources, compiler, processor, Python, numpy and
oneDNN. What is in it never changes, appears in one step, and can be deleted at any time.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np

PACKAGE = Path(__file__).parent.parent
# -fno-math-errno and -fno-trapping-math let gcc use vector instructions in more loops, and change no result.
FLAGS = ["-O3", "-march=native", "-std=c++17", "-fPIC", "-fopenmp", "-fno-math-errno", "-fno-trapping-math"]


class BuildError(RuntimeError):
    """The kernels cannot be compiled here. The message says why."""


def sources() -> list[Path]:
    """Return the C++ files of the kernels."""
    return sorted([*PACKAGE.glob("native/*.cpp"), *PACKAGE.glob("ops/*.cpp")])


def onednn() -> tuple[Path, Path] | None:
    """Return the folders of oneDNN's headers and of its library, as the wheels from PyPI have them, or None."""
    try:
        library = _installed("onednn-cpu-gomp", "libdnnl.so.3")
        header = _installed("onednn-devel-cpu-gomp", "oneapi/dnnl/dnnl.hpp")
    except (metadata.PackageNotFoundError, StopIteration):
        return None
    return header.parent.parent.parent, library.parent


def _installed(distribution: str, ending: str) -> Path:
    files = metadata.files(distribution) or []
    return Path(next(file for file in files if str(file).endswith(ending)).locate()).resolve()


def compiler() -> str:
    """Return the path of g++."""
    found = shutil.which("g++")
    if found is None:
        raise BuildError("got no C++ compiler; need g++; try: apt-get install g++")
    return found


def cache_folder() -> Path:
    """Return the folder of all that Arignote compiles, below the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "arignote"


def library_path() -> Path:
    """Return where the compiled kernels belong."""
    return cache_folder() / "native" / _fingerprint() / f"kernels{sysconfig.get_config_var('EXT_SUFFIX')}"


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for part in _ingredients():
        digest.update(part if isinstance(part, bytes) else part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:24]


def _ingredients() -> Iterator[str | bytes]:
    """Yield all that the compiled code depends on."""
    for path in [*sources(), *sorted([*PACKAGE.glob("native/*.h"), *PACKAGE.glob("ops/*.h")])]:
        yield path.name
        yield path.read_bytes()
    yield from FLAGS
    gxx = Path(compiler()).resolve()
    yield f"{gxx} {gxx.stat().st_size} {gxx.stat().st_mtime_ns}"
    yield _processor()
    yield f"{sys.version} {np.__version__} {onednn()}"


def _processor() -> str:
    """Return what the processor can do: code for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return platform.platform() + platform.processor()


def build(target: Path) -> None:
    """Compile all sources, as many at a time as there are cores, and put the result at `target` in one step.

    Raises
    ------
    BuildError
        With what the compiler said.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = _compile(Path(folder), target.name)
            with open(made, "rb") as file:
                os.fsync(file.fileno())  # what has the name is whole, even after a power failure
            os.replace(made, target)
    except OSError as error:
        raise BuildError(
            f"got {error}; need a folder for compiled code; try: export XDG_CACHE_HOME=/another"
        ) from error


def _compile(folder: Path, name: str) -> Path:
    gxx, dnnl = compiler(), onednn()
    includes = [f"-I{sysconfig.get_paths()['include']}", f"-I{np.get_include()}"]
    links = []
    if dnnl is not None:
        includes += ["-DARIGNOTE_ONEDNN", f"-I{dnnl[0]}"]
        links = [f"{dnnl[1]}/libdnnl.so.3", f"-Wl,-rpath,{dnnl[1]}"]
    # The slow ones first, so that the last core to finish is not late.
    waiting = sorted(sources(), key=lambda path: path.stem not in ("convolve", "matmul", "activate"))
    objects = [folder / f"{path.stem}.o" for path in waiting]
    commands = [[gxx, *FLAGS, *includes, "-c", path, "-o", made] for path, made in zip(waiting, objects, strict=True)]
    _run(commands)
    _run([[gxx, "-shared", "-fopenmp", *objects, *links, "-o", folder / name]])
    return folder / name


def _run(commands: list[list]) -> None:
    """Run commands, as many at a time as there are cores."""
    n_cores, waiting = len(os.sched_getaffinity(0)), list(commands)
    running: list[subprocess.Popen] = []
    try:
        while waiting or running:
            while waiting and len(running) < n_cores:
                running.append(subprocess.Popen(waiting.pop(0), stderr=subprocess.PIPE, text=True))
            process = running.pop(0)
            message = process.communicate()[1]
            if process.returncode != 0:
                raise BuildError(f"got an error from the compiler:\n{message[-2000:]}")
    finally:
        for process in running:
            process.kill()
            process.communicate()
