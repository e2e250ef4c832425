"""Learning-rate schedules and update rules: one place to import them from.

See :mod:`arignote.nnets.schedules` and :mod:`arignote.nnets.updates`.
"""

from arignote.nnets.schedules import RULES, Rule
from arignote.nnets.updates import SGD, UPDATE_RULES, UpdateRule

__all__ = ["RULES", "SGD", "UPDATE_RULES", "Rule", "UpdateRule"]
