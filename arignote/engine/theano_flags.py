"""How Theano is set up before it is imported; on Python 3.11 it fails on import when ``blas.ldflags`` is open."""

import os
import sys
from contextlib import AbstractContextManager
from importlib import metadata, util

from arignote.engine import flags
from arignote.engine.errors import EngineError


def check_versions() -> None:
    """Refuse what Theano 1.0.5 is known to break on, before it breaks with a message about something else.

    Raises
    ------
    EngineError
        If Theano is not installed, or numpy or Python are too new for it.
    """
    if util.find_spec("theano") is None:
        raise EngineError("Theano is not installed; need Theano 1.0.5; try: pip install Theano==1.0.5 'numpy<1.24'")
    if sys.version_info >= (3, 12):
        found = ".".join(map(str, sys.version_info[:3]))
        raise EngineError(f"got Python {found}; Theano 1.0.5 needs Python 3.11 or older; try: ARIGNOTE_ENGINE=pytensor")
    numpy_version = metadata.version("numpy")
    if tuple(map(int, numpy_version.split(".")[:2])) >= (1, 24):
        raise EngineError(f"got numpy {numpy_version}; Theano 1.0.5 needs numpy < 1.24; try: pip install 'numpy<1.24'")


def configured() -> AbstractContextManager[None]:
    """Import Theano inside this block: what the user's ``THEANO_FLAGS`` and ``.theanorc`` leave open, we set."""
    makers = {
        "floatX": lambda: "float32",
        "blas.ldflags": flags.blas_flags,
        "gcc.cxxflags": lambda: flags.CXX_FLAGS,
        # What was computed once has its place in memory: taking it anew would cost more than many a computation.
        "allow_gc": lambda: "False",
        "base_compiledir": lambda: flags.compile_folder("theano"),
        "cxx": flags.require_compiler,
    }
    chosen = flags.read_file(os.environ.get("THEANORC", "~/.theanorc"), ".")
    return flags.configured("THEANO_FLAGS", chosen, makers)
