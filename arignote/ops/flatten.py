"""Flattening of examples to vectors."""

from functools import reduce
from operator import mul

import numpy as np

from arignote.engine import Apply, disconnected_type, tensor
from arignote.ops.base import NumpyOp


class Flatten(NumpyOp):
    """Flatten each example to a vector, in C order of its axes."""

    view_map = {0: [0]}  # the output may share memory with the input

    def make_node(self, x):
        x = tensor.as_tensor_variable(x)
        return Apply(self, [x], [tensor.TensorType(x.dtype, (False, False))()])

    def reference(self, x):
        return (x.reshape(len(x), int(np.prod(x.shape[1:]))),)

    def output_shapes(self, node, shapes):
        n, *rest = shapes[0]
        return [(n, reduce(mul, rest))]

    def L_op(self, inputs, outputs, output_gradients):
        return [Unflatten()(output_gradients[0], inputs[0])]


class Unflatten(NumpyOp):
    """Undo :class:`Flatten`. Inputs: the vectors; the examples, for their shape."""

    view_map = {0: [0]}

    def make_node(self, vectors, x):
        vectors, x = tensor.as_tensor_variable(vectors), tensor.as_tensor_variable(x)
        return Apply(self, [vectors, x], [tensor.TensorType(vectors.dtype, (False,) * x.ndim)()])

    def reference(self, vectors, x):
        return (vectors.reshape(x.shape),)

    def output_shapes(self, node, shapes):
        return [shapes[1]]

    def connection_pattern(self, node):
        return [[True], [False]]

    def L_op(self, inputs, outputs, output_gradients):
        return [Flatten()(output_gradients[0]), disconnected_type()]


flatten = Flatten()
