"""Kernels in C++: what the Ops of :mod:`arignote.ops` run on, built on first use.

Without a compiler the Ops compute in numpy, slowly; without oneDNN, convolutions and matrix products are the engine's.
Either way there is one warning.
"""

import importlib.machinery
import importlib.util
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import ModuleType

from arignote.native import build
from arignote.native.build import BuildError

__all__ = ["BuildError", "available", "build", "has", "kernels", "prepare", "set_threads", "switch_off", "threads"]

lock = threading.Lock()
switched_off = False


def switch_off() -> None:
    """Have no kernels: something else computes. Call it before anything asks for them."""
    global switched_off
    switched_off = True


@cache
def kernels() -> ModuleType | None:
    """Return the module of compiled kernels, built if need be, or None, after a warning, where it cannot be had.

    Each kernel is a function of this module. It takes contiguous arrays and numbers, in the order that its source
    names, writes to the first of the arrays, and lets other Python threads run meanwhile.
    """
    if switched_off:
        return None
    try:
        with lock:
            module = _load()
    except (BuildError, ImportError) as error:
        warnings.warn(f"Arignote computes slowly, in numpy: {error}", RuntimeWarning, stacklevel=2)
        return None
    if not hasattr(module, "convolve"):
        warnings.warn(
            "Arignote computes convolutions and matrix products slowly: got no oneDNN; need it for full speed; "
            "try: pip install onednn-cpu-gomp onednn-devel-cpu-gomp",
            RuntimeWarning,
            stacklevel=2,
        )
    module.set_threads(threads())
    return module


def _load() -> ModuleType:
    """Load the kernels. Build them if they are not there, or cannot be loaded."""
    path = build.library_path()
    if path.is_file():
        with suppress(ImportError):  # a damaged file, or a library that it needs is gone
            return _import(path)
    build.build(path)
    return _import(path)


def _import(path: Path) -> ModuleType:
    loader = importlib.machinery.ExtensionFileLoader("kernels", str(path))
    module = importlib.util.module_from_spec(importlib.machinery.ModuleSpec("kernels", loader, origin=str(path)))
    loader.exec_module(module)
    return module


def prepare() -> None:
    """Begin to build the kernels, if they are not there, while the program goes on."""

    def run() -> None:
        with lock, suppress(BuildError):  # who needs the kernels will see the error
            path = build.library_path()
            if not path.is_file():
                build.build(path)

    threading.Thread(target=run, name="arignote kernels", daemon=True).start()


def available() -> bool:
    """Say whether there are compiled kernels."""
    return kernels() is not None


def has(name: str) -> bool:
    """Say whether there is a compiled kernel of this name."""
    return hasattr(kernels(), name)


def describe() -> str:
    """Say in a few words what the Ops run on."""
    if switched_off:
        return "none needed"
    if not available():
        return "none: numpy computes"
    library = "oneDNN" if has("convolve") else "no oneDNN"
    return f"compiled, {library}, {threads()} threads"


n_threads = 0


def threads() -> int:
    """Return how many threads kernels run in: by default as many as the process has cores.

    The environment variable ``ARIGNOTE_THREADS``, or else ``OMP_NUM_THREADS``, sets another number, as does
    :func:`set_threads`. A training resumes to the bit with the number it began with.
    """
    wanted = os.environ.get("ARIGNOTE_THREADS") or os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return n_threads or (int(wanted) if wanted.isdigit() else 0) or len(os.sched_getaffinity(0))


def set_threads(n: int) -> None:
    """Let kernels run in `n` threads, or, with 0, in as many as `threads` says by default.

    Raises
    ------
    ValueError
        If `n` is negative.
    """
    global n_threads
    if n < 0:
        raise ValueError(f"got {n} threads; need 1 or more, or 0 for the default; try set_threads(0)")
    n_threads = n
    if available() and (module := kernels()) is not None:
        module.set_threads(threads())


@contextmanager
def using_threads(n: int) -> Iterator[None]:
    """While this block runs, let kernels run in `n` threads."""
    before = n_threads
    set_threads(n)
    try:
        yield
    finally:
        set_threads(before)


def _after_fork() -> None:
    """Compute in one thread from now on: the others did not follow into this process, and would be waited for."""
    global n_threads
    n_threads = 1
    if kernels.cache_info().currsize and (module := kernels()) is not None:
        module.set_threads(1)


os.register_at_fork(after_in_child=_after_fork)
