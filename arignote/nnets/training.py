"""Training: one place to import its classes from.

See :mod:`arignote.nnets.train.state` and :mod:`arignote.nnets.train.loop`.
"""

from arignote.nnets.train.state import DivergedError, Progress, Settings, Trainer

SupervisedTraining = Trainer
"""The name of the class in the first Arignote."""

__all__ = ["DivergedError", "Progress", "Settings", "SupervisedTraining", "Trainer"]
