"""The base class of callbacks, and the list of those of a run."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from arignote.checkpoint.format import why_not_storable
from arignote.util import checks

logger = logging.getLogger(__name__)


class Callback:
    """Something to do while a network is trained.

    Each method is called with the classifier: its `trainer` has the state, the `history` and ``stop(reason)``. All
    are called in the thread that trains, between two minibatches, when the state is consistent: the classifier can be
    pickled in each of them. The callbacks of a list are called in order, so one that pickles should come last: those
    after it have not been called yet. On a device that trains blocks of minibatches in one go, `on_batch_end` is
    called for each of them when the block is done.

    Examples
    --------
    >>> import numpy as np
    >>> from arignote.nnets import nets
    >>> class LargestLoss(Callback):
    ...     loss = 0.0
    ...     state_attributes = ("loss",)
    ...     def on_batch_end(self, classifier, loss):
    ...         self.loss = max(self.loss, loss)
    >>> largest = LargestLoss()
    >>> X, y = np.eye(4, dtype="float32"), np.arange(4)
    >>> classifier = nets.NNClassifier(nets.define_mlp(4, [5]), rng=0)
    >>> _ = classifier.fit(X, y, n_epochs=1, batch_size=2, callbacks=[largest])
    >>> 1 < largest.loss < 2
    True
    """

    state_attributes: Sequence[str] = ()
    """Names of the attributes that are stored with the checkpoint: numbers, strings, lists, dicts and arrays."""

    def on_train_begin(self, classifier: Any) -> None:
        """Called when training begins or is resumed.

        An object that is used for several trainings sets its attributes here, where
        ``classifier.trainer.progress.n_examples`` is 0.
        """

    def on_batch_end(self, classifier: Any, loss: float) -> None:
        """Called after each minibatch, with its training loss."""

    def on_validation_end(self, classifier: Any, entry: Mapping[str, float]) -> None:
        """Called after each validation; `entry` is the newest of ``classifier.trainer.history``."""

    def on_epoch_end(self, classifier: Any) -> None:
        """Called when an epoch is complete, its validation included."""

    def on_train_end(self, classifier: Any) -> None:
        """Called when training ends: all epochs done, stopped early, or by an error."""

    def get_state(self) -> dict[str, Any]:
        """Return what is stored with the checkpoint, as plain data: by default the `state_attributes`."""
        return {name: getattr(self, name) for name in self.state_attributes}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` returned."""
        for name, value in state.items():
            if name.startswith("__") or callable(getattr(type(self), name, None)):
                raise ValueError(f"got the stored state {name!r} of a callback, which is a method; need an attribute")
            setattr(self, name, value)


def check_methods(callback: Callback) -> None:
    """Refuse a callback with a method for an event that does not exist, or with a string as `state_attributes`."""
    known = [name for name in vars(Callback) if name.startswith("on_")]
    for name in dir(type(callback)):
        if name.startswith("on_") and name not in known:
            kind = type(callback).__name__
            raise TypeError(f"got {kind}.{name}; need the name of an event; {checks.suggestion(name, known)}")
    if isinstance(callback.state_attributes, str):
        raise TypeError(
            f"got state_attributes={callback.state_attributes!r}; need a list of names; "
            f"try state_attributes = ({callback.state_attributes!r},)"
        )


def storable_state(name: str, callback: Callback) -> dict[str, Any]:
    """Return the state of a callback, or refuse one that could not be read back from a checkpoint."""
    try:
        state = dict(callback.get_state())
        problem = why_not_storable(state)
    except AttributeError as error:
        state, problem = {}, str(error)
    if problem is not None:
        raise ValueError(
            f"got the callback {name} with a state that cannot be stored ({problem}); need plain data and arrays in "
            "all of its state_attributes, from its __init__ on; try lists, dicts, numbers or strings"
        )
    return state


class CallbackList:
    """The callbacks of a run, called in order.

    Parameters
    ----------
    callbacks : sequence of Callback
    classifier : NNClassifier
        The argument of each call.
    stored : dict of str to dict
        States by name, from a checkpoint. A callback is named after its class; a number is added to the name of a
        second one.

    Raises
    ------
    TypeError
        If something is not a callback.
    """

    def __init__(self, callbacks: Sequence[Callback], classifier: Any, stored: Mapping[str, Mapping[str, Any]]):
        self._classifier = classifier
        self._stored = {name: dict(state) for name, state in stored.items()}
        self._callbacks: dict[str, Callback] = {}
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(
                    f"got the callback {checks.brief(callback)}; need a Callback; "
                    "try callbacks=[EarlyStopping(patience=10)]"
                )
            check_methods(callback)
            kind = type(callback).__name__
            n_before = sum(type(other).__name__ == kind for other in self._callbacks.values())
            self._callbacks[kind if n_before == 0 else f"{kind} {n_before + 1}"] = callback

    def restore(self) -> None:
        """Give each callback its stored state; warn of states whose callback is missing."""
        for name, state in self._stored.items():
            if name in self._callbacks:
                self._callbacks[name].set_state(state)
            elif state:
                logger.warning(
                    "The stored training had the callback %s, which is not given now; its state is kept.", name
                )

    def call(self, event: str, *arguments: Any) -> None:
        """Call a method of all callbacks."""
        for callback in self._callbacks.values():
            getattr(callback, event)(self._classifier, *arguments)

    def get_state(self) -> dict[str, dict[str, Any]]:
        """Return the state of each callback that has one, by its name; that of a missing callback is kept."""
        states = self._stored | {name: storable_state(name, callback) for name, callback in self._callbacks.items()}
        return {name: state for name, state in states.items() if state}
