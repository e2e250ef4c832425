"""Which engine: what the environment variable ``ARIGNOTE_ENGINE`` says, else what is installed."""

import os
import sys
from importlib import util

from arignote.engine.errors import EngineError

ENGINES = ("theano", "pytensor")


def chosen() -> str:
    """Return "theano" or "pytensor": by default Theano where it is installed and runs, on Python 3.11, else PyTensor.

    Raises
    ------
    EngineError
        If the variable names something else, or neither is installed.
    """
    wanted = os.environ.get("ARIGNOTE_ENGINE", "").lower()
    if wanted and wanted not in ENGINES:
        raise EngineError(
            f"got ARIGNOTE_ENGINE={wanted!r}; need theano or pytensor; try: export ARIGNOTE_ENGINE=theano"
        )
    if wanted:
        return wanted
    installed = [engine for engine in ENGINES if util.find_spec(engine) is not None]
    if not installed:
        raise EngineError(
            "got neither Theano nor PyTensor; need one of them; try: pip install 'arignote[theano]' on Python 3.11, "
            "or 'arignote[pytensor]'"
        )
    return "theano" if "theano" in installed and sys.version_info < (3, 12) else installed[-1]
