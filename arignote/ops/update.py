"""The update of all parameters of a network, each fused into one pass over memory."""

from collections.abc import Callable, Sequence

import numpy as np

from arignote import native
from arignote.engine import Apply, tensor
from arignote.ops.base import KernelOp, namespace


class Update(KernelOp):
    """Update parameters and the optimizer state in place.

    Inputs: learning rate, momentum, the number of the update; then, for each parameter, its value, its gradient and
    its state arrays. Outputs: for each parameter, its new value and its new state arrays.

    Parameters
    ----------
    rule : callable
        ``rule(gradient, rate, momentum, time, *state)`` returns the step to add to a parameter, and a dictionary of the
        new state arrays in the same order. It is called with numpy arrays where there is no kernel.
    kernel : str
        The name of the kernel in ``update.cpp`` that implements the rule.
    n_states : int
        The number of state arrays for each parameter.
    decay : sequence of (float, float)
        For each parameter, the coefficients of the penalties ``sum(abs(parameter))`` and ``sum(parameter**2)``, whose
        gradients are added here.
    """

    __props__ = ("rule", "kernel", "n_states", "decay")

    def __init__(self, rule: Callable, kernel: str, n_states: int, decay: Sequence[tuple[float, float]]):
        self.rule, self.kernel, self.n_states, self.decay = rule, kernel, n_states, tuple(decay)
        # The input that each output overwrites.
        width = 2 + n_states
        sources = [3 + width * i + j for i in range(len(self.decay)) for j in range(width) if j != 1]
        self.destroy_map = {output: [source] for output, source in enumerate(sources)}

    def make_node(self, *inputs):
        inputs = [tensor.as_tensor_variable(variable) for variable in inputs]
        return Apply(self, inputs, [inputs[sources[0]].type() for sources in self.destroy_map.values()])

    def run(self, outputs, rate, momentum, time, *arrays):
        arrays = [np.ascontiguousarray(array) for array in arrays]
        decay = [factor for factors in self.decay for factor in factors]
        kernel = getattr(native.kernels(), self.kernel)
        kernel(*arrays, float(rate), float(momentum), float(time), *decay)
        for output, (source,) in self.destroy_map.items():
            outputs[output][0] = arrays[source - 3]

    def reference(self, rate, momentum, time, *arrays):
        outputs, width = [], 2 + self.n_states
        for i, (l1, l2) in enumerate(self.decay):
            parameter, gradient, *state = arrays[i * width : (i + 1) * width]
            if l1 or l2:
                gradient = gradient + l1 * namespace(parameter).sign(parameter) + 2 * l2 * parameter
            step, new = self.rule(gradient, rate, momentum, time, *state)
            outputs += [parameter + step, *new.values()]
        return tuple(outputs)

    def output_shapes(self, node, shapes):
        return [shapes[sources[0]] for sources in self.destroy_map.values()]
