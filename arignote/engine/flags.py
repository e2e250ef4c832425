"""Configure an engine before it is imported: BLAS, float type, compiler and compile cache.

Both engines read their configuration once, on import, from an environment variable and from a file. The user's settings
take precedence; the defaults here apply to all other settings.
"""

import configparser
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import util

from arignote.engine.errors import EngineError
from arignote.native import build

# The wheel scipy-openblas32 prefixes its symbols with "scipy_", so that they do not clash with another BLAS library.
# The C code of the engines calls the plain names: one macro for each of these routines renames it.
BLAS_ROUTINES = [
    precision + name for name in ("axpy", "copy", "dot", "gemm", "gemv", "ger", "scal") for precision in "sd"
]
# Both let gcc vectorize more loops, and neither changes a result.
CXX_FLAGS = "-fno-math-errno -fno-trapping-math"


def parse(flags: str) -> dict[str, str]:
    """Parse the value of an environment variable to a dict of settings; later values override earlier ones.

    Examples
    --------
    >>> parse("floatX=float64,gcc.cxxflags=-O2 -g")
    {'floatX': 'float64', 'gcc.cxxflags': '-O2 -g'}
    """
    pairs = (item.split("=", 1) for item in flags.split(",") if "=" in item)
    return {name.strip(): value for name, value in pairs}


def read_file(names: str, separator: str) -> dict[str, str]:
    """Return the settings in the user's configuration files, with names as in the environment variable."""
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment]  # "floatX" is not "floatx"
    parser.read(os.path.expanduser(name) for name in names.split(os.pathsep))
    return {
        option if section == "global" else f"{section}{separator}{option}": value
        for section in parser.sections()
        for option, value in parser.items(section)
    }


def blas_flags() -> str:
    """Return linker flags for the OpenBLAS library in the PyPI package ``scipy-openblas32``."""
    if util.find_spec("scipy_openblas32") is None:
        raise EngineError(
            "got no BLAS for matrix products; need the package scipy-openblas32 or another BLAS library; "
            "try: pip install scipy-openblas32, or THEANO_FLAGS='blas.ldflags=-lopenblas'"
        )
    import scipy_openblas32

    folder = scipy_openblas32.get_lib_dir()
    if any(character.isspace() or character in ",=" for character in folder):
        raise EngineError(
            f"got a BLAS in the folder {folder!r}; Theano needs a path without spaces, commas and equals signs; "
            "try: a virtual environment in another folder, or THEANO_FLAGS='blas.ldflags=-lopenblas'"
        )
    renames = " ".join(f"-D{name}_=scipy_{name}_" for name in BLAS_ROUTINES)
    return f"-L{folder} -l{scipy_openblas32.get_library()} {renames}"


def compile_folder(engine: str) -> str:
    """Create the compile cache of an engine, below the user's cache folder, and return its path."""
    folder = build.cache_folder() / engine
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(
            f"got {error}; need a writable folder for the compile cache; try: export XDG_CACHE_HOME=/another/folder"
        ) from error
    return str(folder)


def find_compiler() -> str | None:
    """Return the path of g++, or None if it is not installed."""
    return shutil.which("g++")


def require_compiler() -> str:
    """Return the path of g++. Without it Theano would run in Python, a hundred times slower."""
    compiler = find_compiler()
    if compiler is None:
        raise EngineError(
            "got no C++ compiler; need g++ to compile networks; try: apt-get install g++, "
            "or THEANO_FLAGS='cxx=' to run slowly without one"
        )
    return compiler


@contextmanager
def configured(
    variable: str, user_settings: Mapping[str, str], defaults: Mapping[str, Callable[[], str]]
) -> Iterator[None]:
    """Context manager in which to import an engine: it adds our defaults to the user's settings.

    The environment variable is restored afterwards, so that child processes see the user's settings only.

    Parameters
    ----------
    variable : str
        Name of the environment variable.
    user_settings : mapping
        The settings in the user's configuration files, by name.
    defaults : mapping of str to callable
        Name of a setting -> a function that returns its default, called unless the user sets it.

    Raises
    ------
    EngineError
        If a default is needed, but there is no compiler, no BLAS, or no writable folder for compiled code.
    """
    original = os.environ.get(variable)
    settings = dict(user_settings) | parse(original or "")
    flags = [f"{name}={default()}" for name, default in defaults.items() if name not in settings]
    os.environ[variable] = ",".join(flags + ([original] if original else []))
    try:
        yield
    finally:
        if original is None:
            del os.environ[variable]
        else:
            os.environ[variable] = original
