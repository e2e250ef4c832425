"""Arignote builds and trains feed-forward neural networks on Theano.

A network is a list of layer definitions; :class:`arignote.nnets.nets.NNClassifier` trains it with minibatch SGD on
data that need not fit in memory, and resumes after an interruption to the same bytes.

Importing this package imports neither an engine nor data: ``arignote.nnets`` opens the engine, ``arignote.data`` reads
data without one.
"""

import importlib
from typing import Any

from arignote.checkpoint.registry import MODELS

__version__ = "0.1.0"


def _classifier() -> Any:
    return importlib.import_module("arignote.nnets.nets").NNClassifier


# Checkpoints are below networks in the order of imports; here they are connected.
MODELS["NNClassifier"] = _classifier
