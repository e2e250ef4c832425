"""Set Theano up before it is imported: which BLAS, which float type, which compiler, where compiled code is kept.

Theano reads its configuration once, on import, first from ``THEANO_FLAGS`` and then from ``.theanorc``. What the user
set in either stays as it is; the defaults here only fill what is left open. Theano 1.0.5 on Python 3.11 fails on import
when ``blas.ldflags`` is open, so somebody has to set it.
"""

import configparser
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata, util
from pathlib import Path

from arignote.engine.errors import EngineError

# The wheel scipy-openblas32 prefixes its symbols with "scipy_", so that it can live beside other BLAS libraries.
# Theano writes the plain names: a macro for each routine that its C code calls renames it.
BLAS_ROUTINES = [
    precision + name for name in ("axpy", "copy", "dot", "gemm", "gemv", "ger", "scal") for precision in "sd"
]


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
        raise EngineError(f"got Python {found}; Theano 1.0.5 needs Python 3.11 or older; try: python3.11 -m venv .venv")
    numpy_version = metadata.version("numpy")
    if tuple(map(int, numpy_version.split(".")[:2])) >= (1, 24):
        raise EngineError(f"got numpy {numpy_version}; Theano 1.0.5 needs numpy < 1.24; try: pip install 'numpy<1.24'")


def parse_flags(flags: str) -> dict[str, str]:
    """Split the text of ``THEANO_FLAGS`` into names and values; a later value replaces an earlier one.

    Examples
    --------
    >>> parse_flags("floatX=float64,gcc.cxxflags=-O2 -g")
    {'floatX': 'float64', 'gcc.cxxflags': '-O2 -g'}
    """
    pairs = (item.split("=", 1) for item in flags.split(",") if "=" in item)
    return {name.strip(): value for name, value in pairs}


def read_theanorc() -> dict[str, str]:
    """Return what the user's ``.theanorc`` sets, with the names spelled as in ``THEANO_FLAGS``."""
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # "floatX" is not "floatx"
    parser.read(os.path.expanduser(name) for name in os.environ.get("THEANORC", "~/.theanorc").split(os.pathsep))
    return {
        option if section == "global" else f"{section}.{option}": value
        for section in parser.sections()
        for option, value in parser.items(section)
    }


def default_flags(chosen: dict[str, str]) -> dict[str, str]:
    """Return our value of every setting that the user's settings, `chosen`, leave open.

    Raises
    ------
    EngineError
        If a setting was left to us and there is no compiler, no BLAS, or no folder to keep compiled code in.
    """
    makers = {
        "floatX": lambda: "float32",
        "blas.ldflags": blas_flags,
        # Both let gcc use vector instructions in more loops, and neither changes a result.
        "gcc.cxxflags": lambda: "-fno-math-errno -fno-trapping-math",
        # What was computed once has its place in memory: taking it anew would cost more than many a computation.
        "allow_gc": lambda: "False",
        "base_compiledir": compile_folder,
        "cxx": find_compiler,
    }
    return {name: make() for name, make in makers.items() if name not in chosen}


def blas_flags() -> str:
    """Return linker flags for the OpenBLAS that comes from PyPI as ``scipy-openblas32``."""
    if util.find_spec("scipy_openblas32") is None:
        raise EngineError(
            "got no BLAS to multiply matrices with; need the package scipy-openblas32, or a BLAS of your own; "
            "try: pip install scipy-openblas32, or THEANO_FLAGS='blas.ldflags=-lopenblas'"
        )
    import scipy_openblas32

    folder = scipy_openblas32.get_lib_dir()
    if any(character.isspace() or character in ",=" for character in folder):
        raise EngineError(
            f"got a BLAS in the folder {folder!r}; Theano needs a path without spaces and commas; "
            "try a virtual environment in another folder, or THEANO_FLAGS='blas.ldflags=-lopenblas'"
        )
    renames = " ".join(f"-D{name}_=scipy_{name}_" for name in BLAS_ROUTINES)
    return f"-L{folder} -l{scipy_openblas32.get_library()} {renames}"


def compile_folder() -> str:
    """Return the folder for compiled code, below the user's cache folder, and make it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "arignote" / "theano"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(
            f"got {error}; need a folder to keep compiled code in; try: export XDG_CACHE_HOME=/a/folder/of/yours"
        ) from error
    return str(folder)


def find_compiler() -> str:
    """Return the path of g++, without which Theano would compute a hundred times slower, in Python."""
    compiler = shutil.which("g++")
    if compiler is None:
        raise EngineError(
            "got no C++ compiler; need g++ to compile networks; try: apt-get install g++, "
            "or THEANO_FLAGS='cxx=' to run slowly without one"
        )
    return compiler


@contextmanager
def theano_configured() -> Iterator[None]:
    """Import Theano inside this block: it finds our defaults in ``THEANO_FLAGS`` behind the user's own settings.

    The variable is put back afterwards, so that programs started later see only what the user set.
    """
    own = os.environ.get("THEANO_FLAGS")
    chosen = read_theanorc() | parse_flags(own or "")
    flags = [f"{name}={value}" for name, value in default_flags(chosen).items()]
    os.environ["THEANO_FLAGS"] = ",".join(flags + ([own] if own else []))
    try:
        yield
    finally:
        if own is None:
            del os.environ["THEANO_FLAGS"]
        else:
            os.environ["THEANO_FLAGS"] = own
