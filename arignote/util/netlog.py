"""Logging: messages of the library go to the logger "arignote" of `logging`."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

root = logging.getLogger("arignote")


class DefaultHandler(logging.StreamHandler):
    """The handler for programs that do not configure logging."""


def in_notebook() -> bool:
    """Return True in a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def stream() -> TextIO:
    """Return standard error, or standard output in a notebook, where standard error is displayed as an error."""
    return sys.stdout if in_notebook() else sys.stderr


def uses_default_handler() -> bool:
    """Return True if messages are shown by the default handler, not by a handler of the program."""
    return any(isinstance(handler, DefaultHandler) for handler in root.handlers)


def ensure_visible() -> None:
    """Show messages on `stream()`, unless the program has configured logging.

    Training takes minutes to hours, so progress should be visible in scripts that do not configure logging. A program
    that has added any handler, or set the level of the logger "arignote", is assumed to have configured it.
    """
    if not _is_configured():
        root.addHandler(_default_handler())
        root.setLevel(logging.INFO)


def setup_logging(name: str = "arignote", level: int | str = logging.INFO) -> logging.Logger:
    """Show the messages of a logger from a level on, and return it.

    Parameters
    ----------
    name : str, optional
        By default "arignote", the logger of the library.
    level : int or str, optional
        By default INFO.
    """
    logger = logging.getLogger(name)
    logger.setLevel(level)
    if not any(isinstance(handler, DefaultHandler) for handler in logger.handlers):
        logger.addHandler(_default_handler())
    return logger


def announce(logger: logging.Logger, message: str) -> None:
    """Log a message that should be visible even though the program may still configure logging, as in an import."""
    if _is_configured():
        logger.info(message)
    else:
        _default_handler().handle(logger.makeRecord(logger.name, logging.INFO, "", 0, message, (), None))


def _is_configured() -> bool:
    return bool(root.handlers or logging.getLogger().handlers or root.level != logging.NOTSET)


def _default_handler() -> DefaultHandler:
    handler = DefaultHandler(stream())
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    return handler


@contextmanager
def quiet() -> Iterator[None]:
    """Context manager that suppresses all messages below warnings."""
    level = root.level
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.setLevel(level)
