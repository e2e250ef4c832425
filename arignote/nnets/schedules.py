"""How training parameters, such as the learning rate and the momentum, change from validation to validation."""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from arignote.checkpoint.state import RuleState
from arignote.util import checks

COUNTERS = ("value", "best", "waited", "n_validations", "n_scheduled")
RULES = ("const", "constant", "fixed", "stalled")


class Rule:
    """How a training parameter, such as the learning rate, changes from validation to validation.

    A change sets ``value = multiply_by * (value - decrease_by)``, but never goes past `final_value`.

    Parameters
    ----------
    rule : {"const", "constant", "fixed", "stalled"}
        "fixed" changes the value whenever `interval` validations have passed. "stalled" changes it when that many have
        passed without a new best loss, and then starts counting again. The other two never change it.
    initial_value : float
    final_value : float, optional
        Where to stop.
    decrease_by : float, optional
        By default 0. Negative to increase.
    multiply_by : float, optional
        By default 1.
    interval : int, optional
        In validations. Needed by "fixed" and "stalled" unless there is a schedule.
    schedule : list of int, optional
        Change at the ends of these epochs. While entries are left, `interval` waits.

    Attributes
    ----------
    value : float
        The present value.

    Examples
    --------
    >>> rule = Rule("stalled", initial_value=0.1, multiply_by=0.5, interval=2)
    >>> [rule.update(loss) for loss in [3.0, 2.0, 2.5, 2.1, 1.0, 1.5, 1.5]]
    [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025]
    """

    def __init__(
        self,
        rule: str,
        initial_value: float,
        final_value: float | None = None,
        decrease_by: float = 0.0,
        multiply_by: float = 1.0,
        interval: int | None = None,
        schedule: Sequence[int] | None = None,
    ):
        self.rule = checks.choice(rule, RULES, "rule")
        if self.rule == "constant":  # two names of one rule
            self.rule = "const"
        self.initial_value = checks.number(initial_value, "initial_value")
        self.final_value = None if final_value is None else checks.number(final_value, "final_value")
        self.decrease_by = checks.number(decrease_by, "decrease_by")
        self.multiply_by = checks.number(multiply_by, "multiply_by")
        self.interval = None if interval is None else checks.whole_number(interval, "interval")
        if schedule is not None and (isinstance(schedule, str) or not isinstance(schedule, Sequence | np.ndarray)):
            raise ValueError(f"got schedule={checks.brief(schedule)}; need a list of epochs; try schedule=[10, 20]")
        self.schedule = sorted(
            checks.whole_number(epoch, "schedule") for epoch in ([] if schedule is None else schedule)
        )
        changes = self.decrease_by != 0 or self.multiply_by != 1
        if self.rule in ("fixed", "stalled") and changes and self.interval is None and not self.schedule:
            raise ValueError(f'got rule="{rule}" without a time; need interval or schedule; try interval=5')
        self.value = self.initial_value
        self.best = math.inf
        self.waited = 0
        self.n_validations = 0
        self.n_scheduled = 0

    @classmethod
    def read(cls, definition: "float | Mapping[str, Any] | Rule", what: str) -> "Rule":
        """Make a rule from what `fit` takes: a number, which stays constant, a dictionary of parameters, or a rule.

        `what` names the argument in messages.

        Examples
        --------
        >>> print(Rule.read(0.01, "lr_rule"))
        constant 0.01
        """
        if isinstance(definition, Rule):
            definition = definition.definition()
        if isinstance(definition, int | float | np.number) and not isinstance(definition, bool):
            return cls("const", checks.number(definition, what))
        if not isinstance(definition, Mapping):
            raise TypeError(
                f"got {what}={checks.brief(definition)}; need a number or a dictionary of Rule parameters; "
                f'try {what}=0.1, or {what}={{"rule": "const", "initial_value": 0.1}}'
            )
        known = list(inspect.signature(cls).parameters)
        for name in definition:
            if name not in known:
                raise ValueError(f"got {what} with {name!r}; need parameters of Rule; {checks.suggestion(name, known)}")
        for name in ("rule", "initial_value"):
            if name not in definition:
                example = {"rule": '"const"', "initial_value": 0.1}[name]
                raise ValueError(f'got {what} without "{name}"; need it; try "{name}": {example}')
        return cls(**definition)

    def definition(self) -> dict[str, Any]:
        """Return the arguments that define this rule."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def update(self, loss: float, epoch: float | None = None) -> float:
        """Update the value after a validation, and return it.

        Parameters
        ----------
        loss : float
            Validation loss.
        epoch : float, optional
            Number of epochs trained, for the schedule; by default the number of validations.
        """
        self.n_validations += 1
        self.waited += 1
        if loss < self.best:
            self.best = float(loss)
            if self.rule == "stalled":
                self.waited = 0
        if self._is_due(self.n_validations if epoch is None else epoch):
            self._change()
            self.waited = 0
        return self.value

    def taking_over(self, earlier: "Rule", epoch: float) -> "Rule":
        """Return a rule with this definition that takes over from another one after so many epochs.

        It starts with its initial value, knows the best loss so far, and leaves out those epochs of its schedule that
        are over.
        """
        new = Rule(**self.definition())
        new.best, new.n_validations = earlier.best, earlier.n_validations
        new.n_scheduled = sum(entry <= epoch for entry in new.schedule)
        return new

    def _is_due(self, epoch: float) -> bool:
        if self.rule in ("const", "constant"):
            return False
        if self.n_scheduled < len(self.schedule):
            due = epoch >= self.schedule[self.n_scheduled]
            while self.n_scheduled < len(self.schedule) and epoch >= self.schedule[self.n_scheduled]:
                self.n_scheduled += 1
            if not due:
                self.waited = 0  # the interval counts from the end of the schedule
            return due
        return self.interval is not None and self.waited >= self.interval

    def _change(self) -> None:
        new = self.multiply_by * (self.value - self.decrease_by)
        if self.final_value is not None:
            low, high = sorted((self.value, self.final_value))
            new = min(max(new, low), high)
        self.value = new

    def get_state(self) -> dict[str, Any]:
        """Return definition and counters as plain data."""
        return {"definition": self.definition()} | {name: getattr(self, name) for name in COUNTERS}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Rule":
        """Restore a rule from its state."""
        stored = RuleState.from_plain(state)
        rule = cls.read(stored.definition, "the stored rule")
        for name in COUNTERS:
            setattr(rule, name, getattr(stored, name))
        return rule

    def __str__(self) -> str:
        if self.rule in ("const", "constant"):
            return f"constant {self.initial_value:g}"
        when = f"after {self.interval} validations" + (" without a new best" if self.rule == "stalled" else "")
        when = ", ".join([f"at epochs {self.schedule}"] * bool(self.schedule) + [when] * bool(self.interval))
        until = "" if self.final_value is None else f", until {self.final_value:g}"
        change = [f"minus {self.decrease_by:g}" if self.decrease_by > 0 else f"plus {-self.decrease_by:g}"]
        change = change * (self.decrease_by != 0) + [f"times {self.multiply_by:g}"] * (self.multiply_by != 1)
        return f"{self.initial_value:g}, {', '.join(change) or 'unchanged'} {when}{until}"
