"""Things to do beside training: hooks, which are told of every step on the way.

A hook is a class with the methods that it needs of :class:`Hook`'s; ``fit(..., hooks=[...])`` takes any number of them.
Whatever they keep is stored with the checkpoint, so that a run that is resumed goes on with them, too.
"""

import csv
import io
import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arignote.data import atomic
from arignote.util import checks

logger = logging.getLogger(__name__)


class Hook:
    """Something to be done while a network is trained.

    Each method is called with the classifier: its `trainer` has the state, the `history` and ``stop(reason)``. All are
    called in the thread that trains, between two minibatches. On a device that trains blocks of minibatches in one go,
    `batch_end` is called for each of them when the block is done.

    Examples
    --------
    >>> import numpy as np
    >>> from arignote.nnets import nets
    >>> class Largest(Hook):
    ...     loss = 0.0
    ...     kept = ("loss",)
    ...     def batch_end(self, classifier, loss):
    ...         self.loss = max(self.loss, loss)
    >>> largest = Largest()
    >>> X, y = np.eye(4, dtype="float32"), np.arange(4)
    >>> _ = nets.NNClassifier(nets.define_mlp([5], 4), rng=0).fit(X, y, n_epochs=1, batch_size=2, hooks=[largest])
    >>> 1 < largest.loss < 2
    True
    """

    kept: Sequence[str] = ()
    """Names of the attributes that are stored with the checkpoint: plain data and arrays."""

    def start(self, classifier: Any) -> None:
        """Training begins, or goes on."""

    def batch_end(self, classifier: Any, loss: float) -> None:
        """Another minibatch was trained on, with this loss."""

    def validation(self, classifier: Any, entry: Mapping[str, float]) -> None:
        """There was a validation; `entry` is the newest of ``classifier.trainer.history``."""

    def epoch_end(self, classifier: Any) -> None:
        """An epoch is complete, its validation included."""

    def stop(self, classifier: Any) -> None:
        """Training ends, for whatever reason: all epochs done, told to stop, or an error."""

    def get_state(self) -> dict[str, Any]:
        """Return what is to be stored, as plain data: by default the attributes that `kept` names."""
        return {name: getattr(self, name) for name in self.kept}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where another one stood."""
        for name, value in state.items():
            setattr(self, name, value)


class Hooks:
    """The hooks of one training, told together.

    Parameters
    ----------
    hooks : sequence of Hook
    classifier : NNClassifier or None
        What they are told about; None while their states are only kept.
    stored : dict of str to dict
        States by name, from a checkpoint. A hook is named after its class; a second one of a class gets a number.

    Raises
    ------
    TypeError
        If something is no hook.
    """

    def __init__(self, hooks: Sequence[Hook], classifier: Any, stored: Mapping[str, Mapping[str, Any]]):
        self._classifier = classifier
        self._stored = dict(stored)
        self._hooks: dict[str, Hook] = {}
        for hook in hooks:
            if not isinstance(hook, Hook):
                raise TypeError(f"got the hook {hook!r:.80}; need a Hook; try hooks=[EarlyStopping(patience=10)]")
            kind = type(hook).__name__
            n_before = sum(type(other).__name__ == kind for other in self._hooks.values())
            self._hooks[kind if n_before == 0 else f"{kind} {n_before + 1}"] = hook
        for name, state in self._stored.items():
            if name in self._hooks:
                self._hooks[name].set_state(state)
            elif state and classifier is not None:  # it is being trained, and not only looked at
                logger.warning("The stored training had the hook %s, which is not given now; its state is kept.", name)

    def tell(self, event: str, *arguments: Any) -> None:
        """Call a method of all hooks."""
        for hook in self._hooks.values():
            getattr(hook, event)(self._classifier, *arguments)

    def get_state(self) -> dict[str, dict[str, Any]]:
        """Return the state of each, by its name."""
        stored = {name: dict(state) for name, state in self._stored.items()}
        return stored | {name: dict(hook.get_state()) for name, hook in self._hooks.items()}


class EarlyStopping(Hook):
    """Stop when a number of validations in a row brought no new best loss.

    Parameters
    ----------
    patience : int, optional
        By default 10.
    min_improvement : float, optional
        By how much a loss must be lower than the best so far to count, by default 0.

    Examples
    --------
    >>> import numpy as np
    >>> from arignote.nnets import nets
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(60, 4)), rng.integers(2, size=60)  # there is nothing to learn
    >>> classifier = nets.NNClassifier(nets.define_mlp([20], 2), rng=0)
    >>> classifier = classifier.fit(X, y, valid=0.5, n_epochs=500, batch_size=10, hooks=[EarlyStopping(patience=5)])
    >>> classifier.trainer.progress.epoch < 100
    True
    """

    kept = ("best", "waited")

    def __init__(self, patience: int = 10, min_improvement: float = 0.0):
        self.patience = checks.whole_number(patience, "patience")
        self.min_improvement = checks.number(min_improvement, "min_improvement", least=0)
        self.best, self.waited = math.inf, 0

    def start(self, classifier: Any) -> None:
        self._look(classifier)

    def validation(self, classifier: Any, entry: Mapping[str, float]) -> None:
        settings = classifier.trainer.settings
        # Without validation data the training loss decides, as it does for the rules.
        loss = entry.get(f"valid_{settings.valid_loss}", entry[f"train_{settings.train_loss}"])
        self.waited += 1
        if loss < self.best - self.min_improvement:
            self.best, self.waited = loss, 0
        self._look(classifier)

    def _look(self, classifier: Any) -> None:
        if self.waited >= self.patience:
            classifier.trainer.stop(f"no new best loss in {self.waited} validations")


class Record(Hook):
    """Write the history of a training to a file that other programs read: a line for each validation.

    A run that is resumed leaves the same file as one that was never stopped: it begins with the history so far.

    Parameters
    ----------
    filename : str or Path
        ``*.csv``, a table, or ``*.jsonl``, a JSON object a line.

    Raises
    ------
    ValueError
        If the name says another format.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from arignote.nnets import nets
    >>> name = tempfile.mkdtemp() + "/run.jsonl"
    >>> X, y = np.eye(4, dtype="float32"), np.arange(4)
    >>> _ = nets.NNClassifier(nets.define_mlp([5], 4), rng=0).fit(X, y, n_epochs=2, batch_size=2, hooks=[Record(name)])
    >>> [json.loads(line)["epoch"] for line in Path(name).read_text().splitlines()]
    [1.0, 2.0]
    """

    def __init__(self, filename: str | Path):
        self.path = Path(filename)
        if self.path.suffix not in (".csv", ".jsonl"):
            raise ValueError(
                f'got the file name {str(filename)!r}; need .csv or .jsonl at its end; try Record("run.jsonl")'
            )

    def start(self, classifier: Any) -> None:
        self._write(classifier.trainer.history)

    def validation(self, classifier: Any, entry: Mapping[str, float]) -> None:
        self._write(classifier.trainer.history)

    def _write(self, history: Sequence[Mapping[str, float]]) -> None:
        if self.path.suffix == ".jsonl":
            content = "".join(json.dumps(entry) + "\n" for entry in history)
        else:
            text = io.StringIO()
            columns = list(dict.fromkeys(name for entry in history for name in entry))
            table = csv.DictWriter(text, columns, lineterminator="\n")
            table.writeheader()
            table.writerows(history)
            content = text.getvalue()
        atomic.write(self.path, lambda file: file.write(content.encode()))
