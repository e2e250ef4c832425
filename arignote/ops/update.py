"""The update of all parameters of a network, each in one pass over memory."""

from collections.abc import Callable, Sequence

import numpy as np

from arignote import native
from arignote.engine import Apply, tensor
from arignote.ops.base import KernelOp, namespace


class Update(KernelOp):
    """Change parameters, and what the update rule keeps for them, in place.

    Inputs: learning rate, momentum, the number of the update; then, for each parameter, its value, its gradient, and
    each array that the rule keeps. Outputs: for each parameter, its new value and the new arrays.

    Parameters
    ----------
    rule : callable
        ``rule(gradient, rate, momentum, time, *kept)`` returns what to add to a parameter, and a dictionary of the new
        arrays, in their order. It is called with numpy arrays where there is no kernel.
    kernel : str
        The same in C++: the name of a kernel of ``update.cpp``.
    n_kept : int
        How many arrays the rule keeps for each parameter.
    decay : sequence of (float, float)
        For each parameter the factors of ``sum(abs(parameter))`` and of ``sum(parameter**2)``, penalties whose
        gradients are added here.
    """

    __props__ = ("rule", "kernel", "n_kept", "decay")

    def __init__(self, rule: Callable, kernel: str, n_kept: int, decay: Sequence[tuple[float, float]]):
        self.rule, self.kernel, self.n_kept, self.decay = rule, kernel, n_kept, tuple(decay)
        # Which input each output takes the place of.
        width = 2 + n_kept
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
        outputs, width = [], 2 + self.n_kept
        for i, (l1, l2) in enumerate(self.decay):
            parameter, gradient, *kept = arrays[i * width : (i + 1) * width]
            if l1 or l2:
                gradient = gradient + l1 * namespace(parameter).sign(parameter) + 2 * l2 * parameter
            step, new = self.rule(gradient, rate, momentum, time, *kept)
            outputs += [parameter + step, *new.values()]
        return tuple(outputs)

    def output_shapes(self, node, shapes):
        return [shapes[sources[0]] for sources in self.destroy_map.values()]
