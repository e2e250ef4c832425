"""Set an engine up before it is imported: which BLAS, which float type, which compiler, where compiled code is kept.

Both engines read their configuration once, on import, first from an environment variable and then from a file. What the
user set in either stays as it is; the defaults here only fill what is left open.
"""

import configparser
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import util

from arignote.engine.errors import EngineError
from arignote.native import build

# The wheel scipy-openblas32 prefixes its symbols with "scipy_", so that it can live beside other BLAS libraries.
# The engines write the plain names: a macro for each routine that their C code calls renames it.
BLAS_ROUTINES = [
    precision + name for name in ("axpy", "copy", "dot", "gemm", "gemv", "ger", "scal") for precision in "sd"
]
# Both let gcc use vector instructions in more loops, and neither changes a result.
CXX_FLAGS = "-fno-math-errno -fno-trapping-math"


def parse(flags: str) -> dict[str, str]:
    """Split the text of an environment variable into names and values; a later value replaces an earlier one.

    Examples
    --------
    >>> parse("floatX=float64,gcc.cxxflags=-O2 -g")
    {'floatX': 'float64', 'gcc.cxxflags': '-O2 -g'}
    """
    pairs = (item.split("=", 1) for item in flags.split(",") if "=" in item)
    return {name.strip(): value for name, value in pairs}


def read_file(names: str, separator: str) -> dict[str, str]:
    """Return what the user's configuration files set, with the names spelled as in the environment variable."""
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment]  # "floatX" is not "floatx"
    parser.read(os.path.expanduser(name) for name in names.split(os.pathsep))
    return {
        option if section == "global" else f"{section}{separator}{option}": value
        for section in parser.sections()
        for option, value in parser.items(section)
    }


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


def compile_folder(engine: str) -> str:
    """Return the folder for the code that an engine compiles, below the user's cache folder, and make it."""
    folder = build.cache_folder() / engine
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(
            f"got {error}; need a folder to keep compiled code in; try: export XDG_CACHE_HOME=/a/folder/of/yours"
        ) from error
    return str(folder)


def find_compiler() -> str | None:
    """Return the path of g++, or None."""
    return shutil.which("g++")


def require_compiler() -> str:
    """Return the path of g++, without which Theano would compute a hundred times slower, in Python."""
    compiler = find_compiler()
    if compiler is None:
        raise EngineError(
            "got no C++ compiler; need g++ to compile networks; try: apt-get install g++, "
            "or THEANO_FLAGS='cxx=' to run slowly without one"
        )
    return compiler


@contextmanager
def configured(variable: str, chosen: Mapping[str, str], makers: Mapping[str, Callable[[], str]]) -> Iterator[None]:
    """Import an engine inside this block: it finds our defaults behind the user's own settings.

    The environment variable is put back afterwards, so that programs started later see only what the user set.

    Parameters
    ----------
    variable : str
        Name of the environment variable.
    chosen : mapping
        What the user set elsewhere, by name.
    makers : mapping of str to callable
        Name of a setting -> a function that returns our value of it, called if the user left the setting open.

    Raises
    ------
    EngineError
        If a setting was left to us and there is no compiler, no BLAS, or no folder to keep compiled code in.
    """
    own = os.environ.get(variable)
    chosen = dict(chosen) | parse(own or "")
    flags = [f"{name}={make()}" for name, make in makers.items() if name not in chosen]
    os.environ[variable] = ",".join(flags + ([own] if own else []))
    try:
        yield
    finally:
        if own is None:
            del os.environ[variable]
        else:
            os.environ[variable] = own
