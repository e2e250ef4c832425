"""A line in the log for each validation."""

import logging
from collections.abc import Mapping
from typing import Any

from arignote.nnets.callbacks.base import Callback
from arignote.nnets.schedules import Rule

logger = logging.getLogger(__name__)


class ValidationLog(Callback):
    """Log a line for each validation, with losses and seconds of training, and a line when the learning rate changes.

    A line has 80 columns or less, the time of day included.
    """

    def on_train_begin(self, classifier: Any) -> None:
        rules = rules_in_use(classifier.trainer.sgd)
        if any(rule.value != rule.initial_value for rule in rules.values()):
            logger.info("%s", describe_rates(rules))

    def on_validation_end(self, classifier: Any, entry: Mapping[str, float]) -> None:
        logger.info("%s", describe_entry(classifier, entry))
        rules = rules_in_use(classifier.trainer.sgd)
        if any(entry[name] != rule.value for name, rule in rules.items()):
            logger.info("%s", describe_rates(rules))


def rules_in_use(sgd: Any) -> dict[str, Rule]:
    """Return the schedules by name: the learning rate, and the momentum if the update rule uses it."""
    return {"learning_rate": sgd.lr_rule} | ({"momentum": sgd.momentum_rule} if sgd.update_rule.uses_momentum else {})


def describe_rates(rules: Mapping[str, Rule]) -> str:
    """Return a line on the present values of schedules."""
    return ", ".join(f"{name.replace('_', ' ')} {rule.value:g}" for name, rule in rules.items())


def describe_entry(classifier: Any, entry: Mapping[str, float]) -> str:
    """Return a line on the newest entry of the history, such as "1/50: nll 0.4012, valid 0.1523 best; 2 s".

    The first number is the training loss. The others are the same loss of other data, unless another name is said.
    """
    trainer, metrics = classifier.trainer, classifier.network.output_layer.metrics
    is_best = trainer.best_params is not None and trainer.progress.best_epoch == entry["epoch"]
    losses: dict[str, list[str]] = {"train": [], "train_deterministic": [], "valid": [], "test": []}
    for name, value in entry.items():
        part, _, loss = name.rpartition("_")
        if part in losses:
            in_percent = loss in metrics and metrics[loss].in_percent
            shown = f"{100 * value:.2f} %" if in_percent else f"{value:.4f}"
            said = part == "train" or loss != trainer.settings.train_loss
            losses[part].append(f"{loss} {shown}" if said else shown)
    parts = [*losses["train"]]
    for part in ("train_deterministic", "valid", "test"):
        values = sorted(losses[part], key=lambda shown: not shown[0].isdigit())  # the loss of the training first
        if values:
            best = " best" if part == "valid" and is_best else ""
            parts.append(f"{part.removeprefix('train_')} {', '.join(values)}{best}")
    return f"{entry['epoch']:g}/{trainer.settings.n_epochs}: {', '.join(parts)}; {trainer.progress.seconds:.0f} s"
