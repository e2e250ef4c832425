"""Pictures of training runs. Needs matplotlib: ``pip install arignote[plot]``."""

from pathlib import Path
from typing import Any


def learning_curves(classifier: Any, filename: str | Path | None = None) -> Any:
    """Draw the losses of a training run against the epochs, and the test error, if known, on an axis of its own.

    Parameters
    ----------
    classifier : NNClassifier
        One that was trained.
    filename : str or Path, optional
        Write the picture there, in the format that the name says (.png, .pdf, ...).

    Returns
    -------
    matplotlib axes
        Of the losses.
    """
    from matplotlib.figure import Figure  # drawn without a screen

    history = classifier.trainer.history
    names = list(dict.fromkeys(name for entry in history for name in entry))
    curves = [name for name in names if name.split("_")[0] in ("train", "valid", "test")]
    figure = Figure(figsize=(8, 5), layout="constrained")
    losses = figure.add_subplot()
    losses.set(xlabel="epoch", ylabel="loss", title=classifier.name)
    losses.grid(alpha=0.3)
    errors = None
    handles = []
    for i, name in enumerate(curves):
        axes, percent = losses, 1.0
        if name.endswith("_error"):
            errors = errors or losses.twinx()
            axes, percent = errors, 100.0
        epochs, values = classifier.trainer.curve(name)
        style = "--" if axes is errors else "-"
        values = [percent * value for value in values]
        handles += axes.plot(epochs, values, style, marker=".", color=f"C{i}", label=name.replace("_", " "))
    if classifier.trainer.best_params is not None:
        best = classifier.trainer.progress.best_epoch
        handles.append(losses.axvline(best, color="gray", linestyle=":", label="best validation loss"))
    losses.set_yscale("log")
    if errors is not None:
        errors.set_ylabel("error, %")
        errors.set_ylim(bottom=0)
    losses.legend(handles=handles)
    if filename is not None:
        figure.savefig(filename, dpi=100)
    return losses
