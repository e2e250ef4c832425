"""Stochastic gradient descent: how parameters follow gradients.

An update rule is a plain function of one parameter's gradient and of the arrays that it keeps for the parameter::

    def my_rule(gradient, rate, momentum, time, velocity):
        velocity = momentum * velocity - rate * gradient
        return velocity, {"velocity": velocity}

It returns the step to add to the parameter, and the new arrays. The arrays are named by its arguments after `time`;
they have the parameter's shape and start at zero. An entry in :data:`UPDATE_RULES` makes it available as an
``sgd_type``. The rules here take symbolic arrays and numpy arrays alike, and each has a kernel that does the same in
one pass.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from arignote import engine
from arignote.checkpoint.state import SGDState
from arignote.engine import tensor
from arignote.nnets.schedules import Rule
from arignote.ops import Update
from arignote.util import checks


def sgd(gradient, rate, momentum, time):
    """Plain gradient descent: ``step = -rate * gradient``."""
    return -rate * gradient, {}


def nag(gradient, rate, momentum, time, velocity):
    """Nesterov's accelerated gradient, in the form of Bengio et al., arXiv:1212.0901, equation 7.

    ``velocity = momentum * velocity - rate * gradient``, ``step = momentum * velocity - rate * gradient``.
    """
    velocity = momentum * velocity - rate * gradient
    return momentum * velocity - rate * gradient, {"velocity": velocity}


def rmsprop(gradient, rate, momentum, time, mean_square):
    """Divide by a running root mean square of the gradient (Tieleman and Hinton, Coursera lecture 6.5, 2012).

    ``mean_square = 0.9 * mean_square + 0.1 * gradient**2``, ``step = -rate * gradient / sqrt(mean_square + 1e-6)``.
    """
    mean_square = 0.9 * mean_square + 0.1 * gradient**2
    return -rate * gradient / (mean_square + 1e-6) ** 0.5, {"mean_square": mean_square}


def adagrad(gradient, rate, momentum, time, sum_square):
    """Divide by the root of the sum of all squared gradients (Duchi, Hazan and Singer, JMLR 12, 2011).

    ``sum_square = sum_square + gradient**2``, ``step = -rate * gradient / sqrt(sum_square + 1e-6)``.
    """
    sum_square = sum_square + gradient**2
    return -rate * gradient / (sum_square + 1e-6) ** 0.5, {"sum_square": sum_square}


def adadelta(gradient, rate, momentum, time, mean_square, mean_square_step):
    """Steps in the units of the parameters (Zeiler, arXiv:1212.5701, algorithm 1, with decay 0.95 and epsilon 1e-6).

    The learning rate scales the step; the paper's is 1.
    """
    mean_square = 0.95 * mean_square + 0.05 * gradient**2
    step = -gradient * (mean_square_step + 1e-6) ** 0.5 / (mean_square + 1e-6) ** 0.5
    mean_square_step = 0.95 * mean_square_step + 0.05 * step**2
    return rate * step, {"mean_square": mean_square, "mean_square_step": mean_square_step}


def adam(gradient, rate, momentum, time, mean, mean_square):
    """Divide a running mean of the gradient by the root of that of its square (Kingma and Ba, arXiv:1412.6980).

    Decays 0.9 and 0.999, epsilon 1e-8, both means corrected for their start from zero.
    """
    mean = 0.9 * mean + 0.1 * gradient
    mean_square = 0.999 * mean_square + 0.001 * gradient**2
    corrected = (mean_square / (1 - 0.999**time)) ** 0.5 + 1e-8
    return -rate * mean / (1 - 0.9**time) / corrected, {"mean": mean, "mean_square": mean_square}


@dataclass(frozen=True)
class UpdateRule:
    """An update function, its default learning rate, its kernel, if it has one, and whether it uses the momentum.

    The momentum is shown only for rules that use it.
    """

    function: Callable
    default_rate: float
    kernel: str | None = None
    uses_momentum: bool = True

    @property
    def arrays(self) -> list[str]:
        """Names of the arrays that the function keeps for each parameter."""
        return list(inspect.signature(self.function).parameters)[4:]


UPDATE_RULES: dict[str, UpdateRule] = {
    "sgd": UpdateRule(sgd, 0.01, "update_sgd", uses_momentum=False),
    "nag": UpdateRule(nag, 0.01, "update_nag"),
    "momentum": UpdateRule(nag, 0.01, "update_nag"),
    "rmsprop": UpdateRule(rmsprop, 0.001, "update_rmsprop", uses_momentum=False),
    "adagrad": UpdateRule(adagrad, 0.01, "update_adagrad", uses_momentum=False),
    "adadelta": UpdateRule(adadelta, 1.0, "update_adadelta", uses_momentum=False),
    "adam": UpdateRule(adam, 0.001, "update_adam", uses_momentum=False),
}


class SGD:
    """Minibatch stochastic gradient descent.

    Parameters
    ----------
    sgd_type : {"adadelta", "nag", "momentum", "adagrad", "rmsprop", "sgd", "adam"}
        The update rule; "momentum" is another name of "nag".
    lr_rule : Rule, dict of its parameters, or float, optional
        The learning rate; a number stays constant. By default 0.01 for sgd, nag and adagrad, 0.001 for rmsprop and
        adam, 1 for adadelta.
    momentum_rule : Rule, dict of its parameters, or float, optional
        The momentum, which only nag uses of these. By default constant, 0.9.
    max_grad_norm : float, optional
        Scale all gradients together so that their joint Euclidean norm is at most this
        (Pascanu, Mikolov and Bengio, arXiv:1211.5063).

    Attributes
    ----------
    arrays : dict of str to shared variable
        The arrays of the update rule, under names such as ``velocity fc1.W``.
    n_updates : int
        How many updates were made.
    pending_rules : dict of str to Rule
        Schedules that replace "lr_rule" or "momentum_rule" at the next validation.
    """

    def __init__(
        self,
        sgd_type: str = "adadelta",
        lr_rule: Rule | Mapping[str, Any] | float | None = None,
        momentum_rule: Rule | Mapping[str, Any] | float | None = None,
        max_grad_norm: float | None = None,
    ):
        self.sgd_type = checks.choice(sgd_type, UPDATE_RULES, "sgd_type")
        self.update_rule = UPDATE_RULES[sgd_type]
        default_lr = self.update_rule.default_rate
        self.lr_rule = Rule.read(default_lr if lr_rule is None else lr_rule, "lr_rule")
        self.momentum_rule = Rule.read(0.9 if momentum_rule is None else momentum_rule, "momentum_rule")
        self.max_grad_norm = None
        if max_grad_norm is not None:
            self.max_grad_norm = checks.number(max_grad_norm, "sgd_max_grad_norm", least=1e-12)
        self.arrays: dict[str, Any] = {}
        self.n_updates = 0
        self.pending_rules: dict[str, Rule] = {}
        self.rate = tensor.scalar("learning_rate", dtype=engine.float_type())
        self.momentum = tensor.scalar("momentum", dtype=engine.float_type())
        self.time = tensor.scalar("time", dtype=engine.float_type())

    @property
    def inputs(self) -> list:
        """The symbolic scalars that the updates depend on; `input_values` gives their values for the next update."""
        return [self.rate, self.momentum, self.time]

    def input_values(self, ahead: int = 0) -> list[float]:
        """Return learning rate, momentum, and the number of the next update, counted from 1, or of one after it."""
        return [self.lr_rule.value, self.momentum_rule.value, self.n_updates + 1 + ahead]

    def updates(
        self, loss, params: Sequence, constrain: Callable | None = None, decay: Callable | None = None
    ) -> list[tuple]:
        """Return the pairs (shared variable, new value) of one update.

        Parameters
        ----------
        loss : symbolic scalar
        params : list of shared variables
            What to change.
        constrain : callable, optional
            ``constrain(param, new_value)`` returns what to store instead.
        decay : callable, optional
            ``decay(param)`` returns the factors (l1, l2) of penalties to add to `loss`: ``l1 * sum(abs(param)) + l2 *
            sum(param**2)``.
        """
        gradients = engine.grad(loss, list(params), disconnected_inputs="ignore")
        return self.updates_from(gradients, params, constrain, decay)

    def updates_from(
        self,
        gradients: Sequence,
        params: Sequence,
        constrain: Callable | None = None,
        decay: Callable | None = None,
    ) -> list[tuple]:
        """Return the pairs (shared variable, new value) of one update by symbolic gradients; see `updates`."""
        decays = [(0.0, 0.0) if decay is None else decay(param) for param in params]
        if self.max_grad_norm is not None or self.update_rule.kernel is None:
            gradients = [add_decay(*each) for each in zip(gradients, params, decays, strict=True)]
            decays = [(0.0, 0.0)] * len(decays)
        if self.max_grad_norm is not None:
            gradients = limit_norm(gradients, self.max_grad_norm)
        gradients = [tensor.cast(gradient, param.dtype) for gradient, param in zip(gradients, params, strict=True)]
        kept = [[self._array(name, param) for name in self.update_rule.arrays] for param in params]
        variables = [variable for param, arrays in zip(params, kept, strict=True) for variable in (param, *arrays)]
        new = dict(zip(variables, self._new_values(params, gradients, kept, decays), strict=True))
        if constrain is not None:
            new |= {param: constrain(param, new[param]) for param in params}
        return [(variable, tensor.cast(value, variable.dtype)) for variable, value in new.items()]

    def _new_values(self, params: Sequence, gradients: Sequence, kept: Sequence, decays: Sequence) -> list:
        """Return the new value of each parameter, followed by those of the arrays that are kept for it."""
        rule, scalars = self.update_rule, (self.rate, self.momentum, self.time)
        each = list(zip(params, gradients, kept, strict=True))
        if rule.kernel is not None and params:
            inputs = [variable for param, gradient, arrays in each for variable in (param, gradient, *arrays)]
            return Update(rule.function, rule.kernel, len(rule.arrays), decays)(*scalars, *inputs, return_list=True)
        values = []
        for param, gradient, arrays in each:
            step, new = rule.function(gradient, *scalars, *arrays)
            values += [param + step, *new.values()]
        return values

    def _array(self, name: str, param):
        """Return the shared variable in which the update rule keeps `name` for `param`; make it if need be."""
        full_name = f"{name} {param.name}"
        if full_name not in self.arrays:
            self.arrays[full_name] = engine.shared(np.zeros_like(param.get_value(borrow=True)), name=full_name)
        return self.arrays[full_name]

    def validated(self, loss: float, epoch: float) -> None:
        """Update both schedules after a validation; pending ones take over."""
        self.lr_rule.update(loss, epoch)
        self.momentum_rule.update(loss, epoch)
        self.replace_rules(epoch)

    def replace_rules(self, epoch: float) -> None:
        """Let pending schedules take over after so many epochs. They know the best loss so far."""
        for name, rule in self.pending_rules.items():
            setattr(self, name, rule.taking_over(getattr(self, name), epoch))
        self.pending_rules = {}

    def get_state(self) -> dict[str, Any]:
        """Return rules, counters and arrays as plain data."""
        return {
            "sgd_type": self.sgd_type,
            "lr_rule": self.lr_rule.get_state(),
            "momentum_rule": self.momentum_rule.get_state(),
            "max_grad_norm": self.max_grad_norm,
            "n_updates": self.n_updates,
            "pending_rules": {name: rule.definition() for name, rule in self.pending_rules.items()},
            "arrays": {name: variable.get_value() for name, variable in self.arrays.items()},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "SGD":
        """Restore an optimizer from its state."""
        stored = SGDState.from_plain(state)
        new = cls(stored.sgd_type, max_grad_norm=stored.max_grad_norm)
        new.lr_rule = Rule.from_state(stored.lr_rule)
        new.momentum_rule = Rule.from_state(stored.momentum_rule)
        new.n_updates = stored.n_updates
        new.pending_rules = {name: Rule.read(rule, name) for name, rule in stored.pending_rules.items()}
        new.arrays = {name: engine.shared(value, name=name) for name, value in stored.arrays.items()}
        return new

    def __str__(self) -> str:
        text = f"{self.sgd_type},\n  learning rate {self.lr_rule}"
        return text + (f",\n  momentum {self.momentum_rule}" if self.update_rule.uses_momentum else "")


def add_decay(gradient, param, factors: tuple[float, float]):
    """Add to a symbolic gradient that of ``l1 * sum(abs(param)) + l2 * sum(param**2)``."""
    l1, l2 = factors
    if l1:
        gradient = gradient + l1 * engine.sign(param)
    if l2:
        gradient = gradient + 2 * l2 * param
    return gradient


def limit_norm(gradients: Sequence, max_norm: float) -> list:
    """Scale symbolic gradients together so that the norm of all of them is at most `max_norm`."""
    norm = tensor.sqrt(sum((gradient**2).sum() for gradient in gradients))
    scale = max_norm / tensor.maximum(norm, max_norm)
    return [gradient * scale for gradient in gradients]
