"""Callbacks: code that runs at each event of training.

A callback is a subclass of :class:`Callback` that overrides the methods it needs; ``fit(..., callbacks=[...])`` takes
any number of them. Their state is stored with the checkpoint, so a resumed run continues with them, too.
"""

from arignote.nnets.callbacks.bar import ProgressBar
from arignote.nnets.callbacks.base import Callback, CallbackList
from arignote.nnets.callbacks.early_stopping import EarlyStopping
from arignote.nnets.callbacks.log import ValidationLog
from arignote.nnets.callbacks.record import Record

__all__ = ["Callback", "CallbackList", "EarlyStopping", "ProgressBar", "Record", "ValidationLog"]
