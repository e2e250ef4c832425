"""The C++ kernels of the Ops in :mod:`arignote.ops`, compiled on first use.

Without a compiler the Ops fall back to numpy, which is slow; without oneDNN, the engine computes convolutions and
matrix products. A warning is issued once in either case.
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

__all__ = [
    "BuildError",
    "available",
    "build",
    "disable",
    "has",
    "kernels",
    "prepare",
    "set_threads",
    "threads",
    "using_threads",
    "version",
]

lock = threading.Lock()
disabled = False


def disable() -> None:
    """Disable the kernels, for a backend that does not need them. Call this before the kernels are first used."""
    global disabled
    disabled = True


@cache
def kernels() -> ModuleType | None:
    """Return the module of compiled kernels, built if necessary; warn and return None if it is not available.

    Each kernel is a function of this module. It takes contiguous arrays and numbers, in the order that its source file
    documents, writes its results to the first arrays, and releases the GIL while it runs.
    """
    if disabled:
        return None
    try:
        with lock:
            module = _load()
    except (BuildError, ImportError) as error:
        warnings.warn(f"Arignote falls back to numpy, which is slow: {error}", RuntimeWarning, stacklevel=2)
        return None
    if not hasattr(module, "convolve"):
        warnings.warn(
            "Arignote computes convolutions and matrix products slowly: got no oneDNN; need it for full speed; "
            "try: pip install onednn-cpu-gomp onednn-devel-cpu-gomp",
            RuntimeWarning,
            stacklevel=2,
        )
    module.set_threads(_default_threads())
    return module


def _load() -> ModuleType:
    """Load the kernels. Build them if the library does not exist or cannot be loaded."""
    path = build.library_path()
    if path.is_file():
        with suppress(ImportError):  # a damaged file, or a missing dependency
            return _import(path)
    build.build(path)
    return _import(path)


def _import(path: Path) -> ModuleType:
    loader = importlib.machinery.ExtensionFileLoader("kernels", str(path))
    module = importlib.util.module_from_spec(importlib.machinery.ModuleSpec("kernels", loader, origin=str(path)))
    loader.exec_module(module)
    return module


def prepare() -> None:
    """Build the kernels in a background thread, unless they are built already."""

    def run() -> None:
        with lock, suppress(BuildError):  # the error is raised again when the kernels are used
            path = build.library_path()
            if not path.is_file():
                build.build(path)

    threading.Thread(target=run, name="arignote kernels", daemon=True).start()


def available() -> bool:
    """Return True if the compiled kernels are available."""
    return kernels() is not None


def has(name: str) -> bool:
    """Return True if there is a compiled kernel of this name."""
    return hasattr(kernels(), name)


def describe() -> str:
    """Return a short description of what the Ops run on."""
    if disabled:
        return "not needed"
    if not available():
        return "not available: computing in numpy"
    library = "oneDNN" if has("convolve") else "no oneDNN"
    return f"compiled, {library}"


def version() -> str:
    """Return what the results of the kernels depend on; see :func:`arignote.native.build.version`."""
    return "none" if disabled or not available() else build.version()


n_threads = 0
_of_this_thread = threading.local()


def threads() -> int:
    """Return the number of threads that kernels use, by default the number of cores available to the process.

    The environment variable ``ARIGNOTE_THREADS``, or else ``OMP_NUM_THREADS``, sets another number, as does
    :func:`set_threads`; :func:`using_threads` does so for one thread of the program. A resumed run is bit-for-bit
    reproducible only with the number of threads that it started with.
    """
    return getattr(_of_this_thread, "n_threads", 0) or _default_threads()


def _default_threads() -> int:
    """Return the number of threads of kernels where nothing else is said for the thread that calls them."""
    wanted = os.environ.get("ARIGNOTE_THREADS") or os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return n_threads or (int(wanted) if wanted.isdigit() else 0) or len(os.sched_getaffinity(0))


def set_threads(n: int) -> None:
    """Set the number of threads that kernels use; 0 restores the default of :func:`threads`.

    Raises
    ------
    ValueError
        If `n` is negative.
    """
    global n_threads
    if n < 0:
        raise ValueError(f"got {n} threads; need 1 or more, or 0 for the default; try set_threads(0)")
    n_threads = n
    if (module := kernels()) is not None:
        module.set_threads(_default_threads())


@contextmanager
def using_threads(n: int) -> Iterator[None]:
    """Context manager that sets the number of threads of the kernels that this thread of the program calls."""
    before = getattr(_of_this_thread, "n_threads", 0)
    _use_threads(n)
    try:
        yield
    finally:
        _use_threads(before)


def _use_threads(n: int) -> None:
    _of_this_thread.n_threads = n
    if (module := kernels()) is not None:
        module.use_threads(n)


def _after_fork() -> None:
    """Use one thread in a forked process: OpenMP would deadlock waiting for threads that were not copied."""
    global n_threads
    n_threads = 1
    _of_this_thread.n_threads = 0
    if kernels.cache_info().currsize and (module := kernels()) is not None:
        module.set_threads(1)
        module.use_threads(0)


os.register_at_fork(after_in_child=_after_fork)
