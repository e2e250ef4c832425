"""A progress bar for each epoch, in a terminal and in a notebook."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from arignote.nnets.callbacks.base import Callback
from arignote.util import netlog

REDRAW_SECONDS = 0.1


class ProgressBar(Callback):
    """Show the minibatches of each epoch as a bar, with losses, speed and the time left.

    The bar disappears at the end of the epoch.
    """

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._loss_sum = self._n_losses = 0.0
        self._started, self._examples_before, self._drawn = 0.0, 0, 0.0

    @staticmethod
    def is_wanted() -> bool:
        """Return True in a terminal or a notebook, unless the program has set up logging itself."""
        return netlog.uses_default_handler() and (netlog.in_notebook() or sys.stderr.isatty())

    def on_train_begin(self, classifier: Any) -> None:
        self._started, self._examples_before = time.monotonic(), classifier.trainer.progress.n_examples

    def on_batch_end(self, classifier: Any, loss: float) -> None:
        if self._bar is None:
            self._bar = self._opened(classifier.trainer)
        bar = self._bar
        self._loss_sum, self._n_losses = self._loss_sum + loss, self._n_losses + 1
        if time.monotonic() - self._drawn >= REDRAW_SECONDS:  # drawing takes time
            self._drawn = time.monotonic()
            bar.set_postfix_str(self._text(classifier.trainer), refresh=False)
            bar.update(_n_trained(classifier.trainer) - bar.n)

    def on_validation_end(self, classifier: Any, entry: Mapping[str, float]) -> None:
        if self._bar is not None:
            self._bar.clear()  # makes room for the line on the validation

    def on_epoch_end(self, classifier: Any) -> None:
        self._close()

    def on_train_end(self, classifier: Any) -> None:
        self._close()

    def _opened(self, trainer: Any) -> tqdm:
        progress = trainer.progress
        self._loss_sum = self._n_losses = 0.0
        return tqdm(
            desc=f"epoch {progress.epoch + (not progress.epoch_end_is_due)}/{trainer.settings.n_epochs}",
            total=trainer.n_batches,
            initial=_n_trained(trainer) - 1,
            leave=False,
            file=netlog.stream(),
            dynamic_ncols=True,
            mininterval=0,
            bar_format="{desc} |{bar}| {percentage:3.0f} %{postfix}",
        )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _text(self, trainer: Any) -> str:
        """Return the text after the bar: losses, speed, and the time left."""
        progress, settings = trainer.progress, trainer.settings
        parts = [f"loss {self._loss_sum / self._n_losses:.4f}"]
        _, valid = trainer.curve(f"valid_{settings.valid_loss}")
        if valid:
            parts.append(f"valid {valid[-1]:.4f}, best {progress.best_loss:.4f}")
        speed = (progress.n_examples - self._examples_before) / (time.monotonic() - self._started)
        left = (settings.n_epochs - progress.epoch) * progress.n_rows - progress.batch * settings.batch_size
        minutes, seconds = divmod(round(max(left, 0) / speed), 60)
        hours, minutes = divmod(minutes, 60)
        clock = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
        return ", ".join([*parts, f"{speed:,.0f}/s", f"{clock} left"])


def _n_trained(trainer: Any) -> int:
    """Return the number of minibatches trained on in the current epoch, whose end may be due."""
    return trainer.n_batches if trainer.progress.epoch_end_is_due else trainer.progress.batch
