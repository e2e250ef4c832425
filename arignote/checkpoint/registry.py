"""The classes that checkpoints can be restored to. Imports nothing, so that `arignote` itself can fill it."""

from collections.abc import Callable
from typing import Any

MODELS: dict[str, Callable[[], Any]] = {}
"""Name of a class in the header of a checkpoint -> a function that imports and returns the class.

A file names an entry, never a module. The class is imported when it is needed, so that data can be read without an
engine. `arignote/__init__.py` fills the table, since checkpoints are below networks and do not import them.
"""
