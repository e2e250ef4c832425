"""A bar that shows how an epoch goes on, in a terminal and in a notebook."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from arignote.nnets.hooks import Hook
from arignote.util import netlog

REDRAW_SECONDS = 0.1


class ProgressBar(Hook):
    """Show the minibatches of each epoch as a bar, with losses, speed and the time left.

    When the epoch is over the bar makes room for the line that reports the validation.
    """

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._loss_sum = self._n_losses = 0.0
        self._started, self._examples_before, self._drawn = 0.0, 0, 0.0

    @staticmethod
    def is_wanted() -> bool:
        """Say whether somebody looks on: at a terminal or in a notebook, where messages are shown in our own way."""
        return netlog.uses_default_handler() and (netlog.in_notebook() or sys.stderr.isatty())

    def start(self, classifier: Any) -> None:
        self._started, self._examples_before = time.monotonic(), classifier.trainer.progress.n_examples

    def batch_end(self, classifier: Any, loss: float) -> None:
        if self._bar is None:
            self._bar = self._opened(classifier.trainer)
        bar = self._bar
        self._loss_sum, self._n_losses = self._loss_sum + loss, self._n_losses + 1
        if time.monotonic() - self._drawn >= REDRAW_SECONDS:  # not at every minibatch, which would take time
            self._drawn = time.monotonic()
            bar.set_postfix_str(self._text(classifier.trainer), refresh=False)
            bar.update(classifier.trainer.progress.batch - bar.n)

    def validation(self, classifier: Any, entry: Mapping[str, float]) -> None:
        if self._bar is not None:
            self._bar.clear()  # a line is written in its place

    def epoch_end(self, classifier: Any) -> None:
        self._close()

    def stop(self, classifier: Any) -> None:
        self._close()

    def _opened(self, trainer: Any) -> tqdm:
        progress = trainer.progress
        self._loss_sum = self._n_losses = 0.0
        return tqdm(
            desc=f"epoch {progress.epoch + 1}/{trainer.settings.n_epochs}",
            total=trainer.n_batches,
            initial=progress.batch - 1,
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
        """Return losses, speed, and the time left."""
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
