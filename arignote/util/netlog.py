"""What the library says while it works: records of `logging`, under the name "arignote"."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

root = logging.getLogger("arignote")


class OurHandler(logging.StreamHandler):
    """What shows messages where nobody thought of logging."""


def in_notebook() -> bool:
    """Say whether this program is a notebook's."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def stream() -> TextIO:
    """Return where to show what goes on: standard error; in a notebook standard output, where errors are not meant."""
    return sys.stdout if in_notebook() else sys.stderr


def is_ours() -> bool:
    """Say whether messages are shown by us, and not as the program says."""
    return any(isinstance(handler, OurHandler) for handler in root.handlers)


def ensure_visible() -> None:
    """Show messages on `stream()`, unless the program has set up logging itself.

    Training takes minutes to hours; in a plain script, where nobody thought of logging, one still wants to see it go
    on. A program that has any handler, or that set a level for the logger "arignote", has decided for itself.
    """
    if root.handlers or logging.getLogger().handlers or root.level != logging.NOTSET:
        return
    handler = OurHandler(stream())
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)


@contextmanager
def quiet() -> Iterator[None]:
    """Inside this block, say nothing but warnings."""
    level = root.level
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.setLevel(level)
