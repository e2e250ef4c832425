"""A line in the log for each validation."""

import logging
from collections.abc import Mapping
from typing import Any

from arignote.nnets.callbacks.base import Callback

logger = logging.getLogger(__name__)


class ValidationLog(Callback):
    """Log a line for each validation: losses, learning rate, momentum and time."""

    def on_validation_end(self, classifier: Any, entry: Mapping[str, float]) -> None:
        logger.info("%s", describe_entry(classifier, entry))


def describe_entry(classifier: Any, entry: Mapping[str, float]) -> str:
    """Return a line on the newest entry of the history."""
    trainer, metrics = classifier.trainer, classifier.network.output_layer.metrics
    is_best = trainer.best_params is not None and trainer.progress.best_epoch == entry["epoch"]
    losses: dict[str, list[str]] = {part: [] for part in ("train", "train_deterministic", "valid", "test")}
    for name, value in entry.items():
        part, _, loss = name.rpartition("_")
        if part in losses:
            in_percent = loss in metrics and metrics[loss].in_percent
            shown = f"{100 * value:.2f} %" if in_percent else f"{value:.4f}"
            losses[part].append(f"{loss} {shown}" + " (best)" * (is_best and part == "valid"))
    parts = [f"{part.replace('_', ' ')} {', '.join(each)}" for part, each in losses.items() if each]
    rates = f"rate {entry['learning_rate']:g}, momentum {entry['momentum']:g}; {trainer.progress.seconds:.0f} s"
    return "; ".join([f"epoch {entry['epoch']:g}/{trainer.settings.n_epochs}", *parts, rates])
