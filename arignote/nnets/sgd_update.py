"""The same as :mod:`arignote.nnets.sgd_updates`, under the name that the documentation of the first Arignote had."""

from arignote.nnets.schedules import RULES, Rule
from arignote.nnets.updates import SGD, UPDATE_RULES, UpdateRule

__all__ = ["RULES", "SGD", "UPDATE_RULES", "Rule", "UpdateRule"]
