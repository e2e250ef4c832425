"""The history of a training run, in a file."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arignote.data import atomic
from arignote.nnets.callbacks.base import Callback


class Record(Callback):
    """Write the history of a training run to a file that other programs read: a line for each validation.

    A resumed run writes the same file as one that was never stopped.

    Parameters
    ----------
    filename : str or Path
        ``*.csv``, a table, or ``*.jsonl``, a JSON object a line.

    Raises
    ------
    ValueError
        If the name ends otherwise.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from arignote.nnets import nets
    >>> name = tempfile.mkdtemp() + "/run.jsonl"
    >>> X, y = np.eye(4, dtype="float32"), np.arange(4)
    >>> classifier = nets.NNClassifier(nets.define_mlp(4, [5]), rng=0)
    >>> _ = classifier.fit(X, y, n_epochs=2, batch_size=2, callbacks=[Record(name)])
    >>> [json.loads(line)["epoch"] for line in Path(name).read_text().splitlines()]
    [1.0, 2.0]
    """

    def __init__(self, filename: str | Path):
        self.path = Path(filename)
        if self.path.suffix not in (".csv", ".jsonl"):
            raise ValueError(
                f'got the file name {str(filename)!r}; need .csv or .jsonl at its end; try Record("run.jsonl")'
            )

    def on_train_begin(self, classifier: Any) -> None:
        self._write(classifier.trainer.history)

    def on_validation_end(self, classifier: Any, entry: Mapping[str, float]) -> None:
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
