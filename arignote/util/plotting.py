"""Plots: one place to import them from. See :mod:`arignote.plotting`."""

from arignote.plotting import (
    activations,
    confusion_matrix,
    filters,
    learning_curves,
    most_wrong,
    show_cost,
    training_rates,
)

__all__ = ["activations", "confusion_matrix", "filters", "learning_curves", "most_wrong", "show_cost", "training_rates"]
