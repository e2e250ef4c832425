"""Which engine, device and backend: what environment variables say, else what is installed.

=====================  ===============================================================================================
``ARIGNOTE_ENGINE``    ``theano`` or ``pytensor``; by default Theano where it runs, else PyTensor
``ARIGNOTE_DEVICE``    ``cpu``, the default, or ``gpu``: PyTensor, on JAX
``ARIGNOTE_BACKEND``   what PyTensor compiles to: ``c``, the default on a CPU, ``jax`` or ``numba``. Where there is
                       no g++, JAX if it is installed, else ``c``, which then computes in numpy
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
    """Return what an environment variable says, or None."""
    wanted = os.environ.get(variable, "").lower()
    if wanted and wanted not in known:
        raise EngineError(
            f"got {variable}={wanted!r}; need {', '.join(known[:-1])} or {known[-1]}; try: export {variable}={known[0]}"
        )
    return wanted or None


def chosen() -> str:
    """Return "theano" or "pytensor": by default Theano where it is installed and runs, on Python 3.11, else PyTensor.

    Raises
    ------
    EngineError
        If a variable names something that there is not, they do not go together, or no engine is installed.
    """
    wanted = _read("ARIGNOTE_ENGINE", ENGINES)
    settings = {"ARIGNOTE_DEVICE": device(), "ARIGNOTE_BACKEND": _read("ARIGNOTE_BACKEND", BACKENDS)}
    settings = {"ARIGNOTE_DEVICE": device(), "ARIGNOTE_BACKEND": _read("ARIGNOTE_BACKEND", BACKENDS)}
    beyond_theano = [f"{name}={value}" for name, value in settings.items() if value not in ("cpu", "c", None)]
    if beyond_theano and wanted == "theano":
        raise EngineError(
            f"got {beyond_theano[0]} with ARIGNOTE_ENGINE=theano, which computes by C on a CPU; need PyTensor for it; "
            "try: export ARIGNOTE_ENGINE=pytensor, in an environment where arignote[pytensor] was installed"
        )
    if beyond_theano:
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
    """Return what PyTensor compiles to: "c", "jax" or "numba".

    Raises
    ------
    EngineError
        If the variables do not go together.
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
