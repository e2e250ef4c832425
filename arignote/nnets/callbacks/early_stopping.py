"""Stopping a training run that no longer improves."""

import math
from collections.abc import Mapping
from typing import Any

from arignote.nnets.callbacks.base import Callback
from arignote.util import checks


class EarlyStopping(Callback):
    """Stop training when the loss has not improved in a number of successive validations.

    Parameters
    ----------
    patience : int, optional
        By default 10.
    min_improvement : float, optional
        How much lower than the best so far a loss must be to count as an improvement, by default 0.

    Examples
    --------
    >>> import numpy as np
    >>> from arignote.nnets import nets
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(60, 4)), rng.integers(2, size=60)  # there is nothing to learn
    >>> classifier = nets.NNClassifier(nets.define_mlp(2, [20]), rng=0)
    >>> stopping = EarlyStopping(patience=5)
    >>> classifier = classifier.fit(X, y, valid=0.5, n_epochs=500, batch_size=10, callbacks=[stopping])
    >>> classifier.trainer.progress.epoch < 100
    True
    """

    state_attributes = ("best", "waited")

    def __init__(self, patience: int = 10, min_improvement: float = 0.0):
        self.patience = checks.whole_number(patience, "patience")
        self.min_improvement = checks.number(min_improvement, "min_improvement", least=0)
        self.best, self.waited = math.inf, 0

    def on_train_begin(self, classifier: Any) -> None:
        if classifier.trainer.progress.n_examples == 0:  # this object may have been used for another training
            self.best, self.waited = math.inf, 0
        self._stop_if_stalled(classifier)

    def on_validation_end(self, classifier: Any, entry: Mapping[str, float]) -> None:
        settings = classifier.trainer.settings
        # Without validation data the training loss decides, as it does for the learning-rate schedule.
        loss = entry.get(f"valid_{settings.valid_loss}", entry[f"train_{settings.train_loss}"])
        self.waited += 1
        if loss < self.best - self.min_improvement:
            self.best, self.waited = loss, 0
        self._stop_if_stalled(classifier)

    def _stop_if_stalled(self, classifier: Any) -> None:
        if self.waited >= self.patience:
            classifier.trainer.stop(f"no new best loss in {self.waited} validations")
