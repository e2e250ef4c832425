"""Selection of the engine, the device and the backend: by environment variables, else by what is installed.

=====================  ===============================================================================================
``ARIGNOTE_ENGINE``    ``theano`` or ``pytensor``; by default Theano if it can run, else PyTensor
``ARIGNOTE_DEVICE``    ``cpu``, the default, or ``gpu``, which needs PyTensor and JAX
``ARIGNOTE_BACKEND``   the backend of PyTensor: ``c``, the default on a CPU, ``jax`` or ``numba``. Without g++ the
                       default is ``jax`` if JAX is installed, else ``c``, which falls back to numpy
=====================  ===============================================================================================
"""

import os
import shutil
import sys
from collections.abc import Sequence
from importlib import util

from arignote.engine.errors import EngineError

ENGINES = ("theano", "pytensor")
DEVICES = ("cpu", "gpu")
BACKENDS = ("c", "jax", "numba")


def _read(variable: str, known: Sequence[str]) -> str | None:
    """Return the value of an environment variable, or None if it is not set."""
    wanted = os.environ.get(variable, "").lower()
    if wanted and wanted not in known:
        raise EngineError(
            f"got {variable}={wanted!r}; need {', '.join(known[:-1])} or {known[-1]}; try: export {variable}={known[0]}"
        )
    return wanted or None


def chosen() -> str:
    """Return "theano" or "pytensor": by default Theano if it is installed and Python is 3.11 or older, else PyTensor.

    Raises
    ------
    EngineError
        If a variable has an unknown value, the variables conflict, or no engine is installed.
    """
    wanted = _read("ARIGNOTE_ENGINE", ENGINES)
    settings = {"ARIGNOTE_DEVICE": device(), "ARIGNOTE_BACKEND": _read("ARIGNOTE_BACKEND", BACKENDS)}
    settings = {"ARIGNOTE_DEVICE": device(), "ARIGNOTE_BACKEND": _read("ARIGNOTE_BACKEND", BACKENDS)}
    unsupported_by_theano = [f"{name}={value}" for name, value in settings.items() if value not in ("cpu", "c", None)]
    if unsupported_by_theano and wanted == "theano":
        raise EngineError(
            f"got {unsupported_by_theano[0]} with ARIGNOTE_ENGINE=theano, which runs compiled C on a CPU only; "
            "need PyTensor for it; try: export ARIGNOTE_ENGINE=pytensor, after pip install 'arignote[pytensor]'"
        )
    if unsupported_by_theano:
        return "pytensor"
    if wanted:
        return wanted
    installed = [engine for engine in ENGINES if util.find_spec(engine) is not None]
    if not installed:
        raise EngineError(
            "got neither Theano nor PyTensor; need one of them; try: pip install 'arignote[theano]' on Python 3.11, "
            "or 'arignote[pytensor]'"
        )
    return "theano" if "theano" in installed and sys.version_info < (3, 12) else installed[-1]


def device() -> str:
    """Return "cpu" or "gpu"."""
    return _read("ARIGNOTE_DEVICE", DEVICES) or "cpu"


def backend() -> str:
    """Return the backend that PyTensor compiles for: "c", "jax" or "numba".

    Raises
    ------
    EngineError
        If the variables conflict.
    """
    wanted = _read("ARIGNOTE_BACKEND", BACKENDS)
    if device() == "gpu":
        if wanted not in ("jax", None):
            raise EngineError(
                f"got ARIGNOTE_BACKEND={wanted} with ARIGNOTE_DEVICE=gpu; need JAX on a GPU; "
                "try: export ARIGNOTE_BACKEND=jax"
            )
        return "jax"
    without_compiler = "c" if util.find_spec("jax") is None else "jax"
    return wanted or ("c" if shutil.which("g++") else without_compiler)
