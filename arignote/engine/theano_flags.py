"""Configuration of Theano before it is imported. On Python 3.11 its import fails unless ``blas.ldflags`` is set."""

import os
import sys
from contextlib import AbstractContextManager
from importlib import metadata, util

from arignote.engine import flags
from arignote.engine.errors import EngineError


def check_versions() -> None:
    """Check for versions of Python and numpy that Theano 1.0.5 fails with, often with a misleading message.

    Raises
    ------
    EngineError
        If Theano is not installed, or the version of numpy or Python is too new.
    """
    if util.find_spec("theano") is None:
        raise EngineError("got no Theano; need Theano 1.0.5; try: pip install Theano==1.0.5 'numpy<1.24'")
    if sys.version_info >= (3, 12):
        found = ".".join(map(str, sys.version_info[:3]))
        raise EngineError(f"got Python {found}; need 3.11 or older for Theano 1.0.5; try: ARIGNOTE_ENGINE=pytensor")
    numpy_version = metadata.version("numpy")
    if tuple(map(int, numpy_version.split(".")[:2])) >= (1, 24):
        raise EngineError(f"got numpy {numpy_version}; need < 1.24 for Theano 1.0.5; try: pip install 'numpy<1.24'")


def configured() -> AbstractContextManager[None]:
    """Context manager in which to import Theano, with our defaults for all settings that the user did not set."""
    defaults = {
        "floatX": lambda: "float32",
        "blas.ldflags": flags.blas_flags,
        "gcc.cxxflags": lambda: flags.CXX_FLAGS,
        # Reuse the buffers of intermediate results: allocating them again can take longer than the computation.
        "allow_gc": lambda: "False",
        "base_compiledir": lambda: flags.compile_folder("theano"),
        "cxx": flags.require_compiler,
    }
    user_settings = flags.read_file(os.environ.get("THEANORC", "~/.theanorc"), ".")
    return flags.configured("THEANO_FLAGS", user_settings, defaults)
