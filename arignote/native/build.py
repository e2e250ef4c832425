"""Compile the kernels once for each machine and version, and store the library in the user's cache folder.

The folder is named after a fingerprint of everything that the library depends on: sources, compiler, processor, Python,
numpy and oneDNN. The library is written atomically, never modified, and can be deleted at any time.
"""

import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import numpy as np

from arignote.util import netlog

logger = logging.getLogger(__name__)

PACKAGE = Path(__file__).parent.parent
# -fno-math-errno and -fno-trapping-math let gcc vectorize more loops, and change no result.
FLAGS = ["-O3", "-march=native", "-std=c++17", "-fPIC", "-fopenmp", "-fno-math-errno", "-fno-trapping-math"]


class BuildError(RuntimeError):
    """The kernels cannot be compiled on this machine."""


def sources() -> list[Path]:
    """Return the C++ source files of the kernels."""
    return sorted([*PACKAGE.glob("native/*.cpp"), *PACKAGE.glob("ops/*.cpp")])


def onednn() -> tuple[Path, Path] | None:
    """Return the folders of oneDNN's headers and library, as installed by its wheels from PyPI, or None."""
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
    """Return the compile cache of Arignote, below the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "arignote"


def library_path() -> Path:
    """Return the path of the compiled library."""
    return cache_folder() / "native" / _fingerprint() / f"kernels{sysconfig.get_config_var('EXT_SUFFIX')}"


def _fingerprint() -> str:
    """Return a name for the compiled code; it depends on the installation too."""
    gxx = Path(compiler()).resolve()
    installed = f"{gxx.stat().st_mtime_ns} {sys.version} {np.__version__} {onednn()}"
    return _digest([*_code_parts(), installed])


def version() -> str:
    """Return a short name for what the results of the kernels depend on, to compare machines and installations.

    It stands for the sources, the compiler and the processor, and names the version of oneDNN.
    """
    library = "no oneDNN" if onednn() is None else f"oneDNN {metadata.version('onednn-cpu-gomp')}"
    return f"{_digest(_code_parts())[:8]} with {library}"


def _digest(parts: Iterable[str | bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:24]


def _code_parts() -> Iterator[str | bytes]:
    """Yield the sources, the flags, the compiler and the features of the processor."""
    for path in [*sources(), *sorted([*PACKAGE.glob("native/*.h"), *PACKAGE.glob("ops/*.h")])]:
        yield path.name
        yield path.read_bytes()
    yield from FLAGS
    gxx = Path(compiler()).resolve()
    yield f"{gxx} {gxx.stat().st_size}"
    yield _processor()


def _processor() -> str:
    """Return the features of the processor: code compiled for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return platform.platform() + platform.processor()


def build(target: Path) -> None:
    """Compile all sources in parallel, and write the library to `target` atomically.

    Raises
    ------
    BuildError
        If compilation fails; the message contains the output of the compiler.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            netlog.announce(logger, "compiling kernels, once, about 10 s")
            library = _compile(Path(folder), target.name)
            with open(library, "rb") as file:
                os.fsync(file.fileno())  # the file is complete even after a power failure
            os.replace(library, target)
    except OSError as error:
        raise BuildError(
            f"got {error}; need a writable folder for compiled code; try: export XDG_CACHE_HOME=/another"
        ) from error


def _compile(folder: Path, name: str) -> Path:
    gxx, dnnl = compiler(), onednn()
    includes = [f"-I{sysconfig.get_paths()['include']}", f"-I{np.get_include()}"]
    links = []
    if dnnl is not None:
        includes += ["-DARIGNOTE_ONEDNN", f"-I{dnnl[0]}"]
        links = [f"{dnnl[1]}/libdnnl.so.3", f"-Wl,-rpath,{dnnl[1]}"]
    # The slowest files first, to keep all cores busy until the end.
    paths = sorted(sources(), key=lambda path: path.stem not in ("convolve", "matmul", "activate"))
    objects = [folder / f"{path.stem}.o" for path in paths]
    commands = [[gxx, *FLAGS, *includes, "-c", path, "-o", output] for path, output in zip(paths, objects, strict=True)]
    _run(commands)
    _run([[gxx, "-shared", "-fopenmp", *objects, *links, "-o", folder / name]])
    return folder / name


def _run(commands: list[list]) -> None:
    """Run commands in parallel, one per core at a time."""
    n_cores, pending = len(os.sched_getaffinity(0)), list(commands)
    running: list[subprocess.Popen] = []
    try:
        while pending or running:
            while pending and len(running) < n_cores:
                running.append(subprocess.Popen(pending.pop(0), stderr=subprocess.PIPE, text=True))
            process = running.pop(0)
            message = process.communicate()[1]
            if process.returncode != 0:
                raise BuildError(f"got an error from the compiler:\n{message[-2000:]}")
    finally:
        for process in running:
            process.kill()
            process.communicate()
