"""A progress bar for each epoch, in a terminal and in a notebook."""

import html
import io
import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from arignote.nnets.callbacks.base import Callback
from arignote.util import netlog

REDRAW_SECONDS = 0.1
# Speed and time left are shown when so many seconds and minibatches have passed since the first one, which is slower.
ESTIMATE_SECONDS, ESTIMATE_BATCHES = 3, 5
NOTEBOOK_COLUMNS = 100


class NotebookLine(io.TextIOBase):
    """A line of its own in a notebook, apart from the text that a cell prints: each one replaces the one before."""

    def __init__(self) -> None:
        self._handle: Any = None

    def write(self, text: str) -> int:
        from IPython.display import display

        line = text.strip()
        content = {"text/plain": line, "text/html": f"<pre>{html.escape(line)}</pre>" if line else ""}
        if self._handle is not None:
            self._handle.update(content, raw=True)
        elif line:
            self._handle = display(content, raw=True, display_id=True)
        return len(text)


class ProgressBar(Callback):
    """Show the minibatches of each epoch as a bar, with losses, speed and the time left.

    The bar disappears at the end of the epoch.
    """

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stream: Any = None
        self._loss_sum = self._n_losses = 0.0
        self._started: float | None = None
        self._examples_before, self._drawn = 0, 0.0

    @staticmethod
    def is_wanted() -> bool:
        """Return True in a terminal or a notebook, unless the program has set up logging itself."""
        return netlog.uses_default_handler() and (netlog.in_notebook() or sys.stderr.isatty())

    def on_train_begin(self, classifier: Any) -> None:
        self._started = None
        self._stream = NotebookLine() if netlog.in_notebook() else netlog.stream()

    def on_batch_end(self, classifier: Any, loss: float) -> None:
        if self._bar is None:
            self._bar = self._opened(classifier.trainer)
        if self._started is None:
            self._started, self._examples_before = time.monotonic(), classifier.trainer.progress.n_examples
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
            file=self._stream,
            dynamic_ncols=True,
            ncols=NOTEBOOK_COLUMNS if netlog.in_notebook() else None,
            mininterval=0,
            bar_format="{desc} |{bar}| {percentage:3.0f} %{postfix}",
        )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _text(self, trainer: Any) -> str:
        """Return the text after the bar: losses, and, when they mean something, speed and time left."""
        progress, settings = trainer.progress, trainer.settings
        parts = [f"loss {self._loss_sum / self._n_losses:.4f}"]
        _, valid = trainer.curve(f"valid_{settings.valid_loss}")
        if valid:
            parts.append(f"valid {valid[-1]:.4f}, best {progress.best_loss:.4f}")
        seconds = 0.0 if self._started is None else time.monotonic() - self._started
        n_examples = progress.n_examples - self._examples_before
        if seconds >= ESTIMATE_SECONDS and n_examples >= ESTIMATE_BATCHES * settings.batch_size:
            speed = n_examples / seconds
            left = (settings.n_epochs - progress.epoch) * progress.n_rows - progress.batch * settings.batch_size
            parts += [f"{speed:,.0f}/s", f"{_clock(max(left, 0) / speed)} left"]
        return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _n_trained(trainer: Any) -> int:
    """Return the number of minibatches trained on in the current epoch, whose end may be due."""
    return trainer.n_batches if trainer.progress.epoch_end_is_due else trainer.progress.batch
