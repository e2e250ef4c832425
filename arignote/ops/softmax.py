"""Softmax, the negative log likelihood, and the error rate."""

import numpy as np

from arignote import native
from arignote.engine import Apply, disconnected_type, tensor
from arignote.ops.base import KernelOp, NumpyOp, namespace, output_buffer


class Softmax(KernelOp):
    """``exp(x) / sum(exp(x))`` for each row of a matrix."""

    def make_node(self, x):
        x = tensor.as_tensor_variable(x)
        return Apply(self, [x], [x.type()])

    def run(self, outputs, x):
        native.kernels().softmax(output_buffer(outputs[0], x.shape, x.dtype), np.ascontiguousarray(x))

    def reference(self, x):
        powers = namespace(x).exp(x - x.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True),)

    def L_op(self, inputs, outputs, output_gradients):
        return [SoftmaxGradient()(output_gradients[0], outputs[0])]

    def output_shapes(self, node, shapes):
        return shapes


class SoftmaxGradient(KernelOp):
    """The gradient of :class:`Softmax`. Inputs: the gradient of its output, and its output."""

    def make_node(self, gradient, y):
        y = tensor.as_tensor_variable(y)
        return Apply(self, [tensor.as_tensor_variable(gradient), y], [y.type()])

    def run(self, outputs, gradient, y):
        out = output_buffer(outputs[0], y.shape, y.dtype)
        native.kernels().softmax_gradient(out, np.ascontiguousarray(gradient), np.ascontiguousarray(y))

    def reference(self, gradient, y):
        return (y * (gradient - (gradient * y).sum(axis=1, keepdims=True)),)

    def output_shapes(self, node, shapes):
        return [shapes[1]]


class SoftmaxNLL(KernelOp):
    """The mean negative log likelihood of int32 class labels under the softmax of each row.

    The second output is the gradient of the sum over the rows: the probabilities, minus 1 at the true class.
    """

    def make_node(self, x, labels):
        x, labels = tensor.as_tensor_variable(x), tensor.as_tensor_variable(labels)
        return Apply(self, [x, labels], [tensor.TensorType(x.dtype, ())(), x.type()])

    def run(self, outputs, x, labels):
        loss = np.empty((), x.dtype)
        gradient = output_buffer(outputs[1], x.shape, x.dtype)
        native.kernels().softmax_nll(loss, gradient, np.ascontiguousarray(x), np.ascontiguousarray(labels))
        outputs[0][0] = loss

    def reference(self, x, labels):
        xp = namespace(x, labels)
        shifted = x - x.max(axis=1, keepdims=True)
        logs = shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))
        true = _one_hot(labels, x)
        return -xp.where(true, logs, 0).sum() / len(x), xp.exp(logs) - true

    def connection_pattern(self, node):
        return [[True, False], [False, False]]

    def L_op(self, inputs, outputs, output_gradients):
        return [Scale()(outputs[1], output_gradients[0]), disconnected_type()]

    def output_shapes(self, node, shapes):
        return [(), shapes[0]]


def _one_hot(labels: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return a boolean array of the shape of `x`, True at the label of each row."""
    return labels[:, np.newaxis] == np.arange(x.shape[1])


class Scale(NumpyOp):
    """A matrix times a number, divided by the number of its rows."""

    def make_node(self, matrix, number):
        matrix = tensor.as_tensor_variable(matrix)
        return Apply(self, [matrix, tensor.as_tensor_variable(number)], [matrix.type()])

    def reference(self, matrix, number):
        return (matrix * (number / len(matrix)),)

    def output_shapes(self, node, shapes):
        return [shapes[0]]


class PickLabel(NumpyOp):
    """The value of each row of a matrix at the column of its int32 label."""

    def make_node(self, matrix, labels):
        matrix, labels = tensor.as_tensor_variable(matrix), tensor.as_tensor_variable(labels)
        return Apply(self, [matrix, labels], [tensor.TensorType(matrix.dtype, (False,))()])

    def reference(self, matrix, labels):
        return (namespace(matrix, labels).where(_one_hot(labels, matrix), matrix, 0).sum(axis=1),)

    def connection_pattern(self, node):
        return [[True], [False]]

    def L_op(self, inputs, outputs, output_gradients):
        return [PickLabelGradient()(output_gradients[0], *inputs), disconnected_type()]

    def output_shapes(self, node, shapes):
        return [shapes[1]]


class PickLabelGradient(NumpyOp):
    """The gradient of :class:`PickLabel`. Inputs: the gradient of its output, the matrix, the labels."""

    def make_node(self, gradient, matrix, labels):
        matrix = tensor.as_tensor_variable(matrix)
        return Apply(
            self,
            [tensor.as_tensor_variable(gradient), matrix, tensor.as_tensor_variable(labels)],
            [matrix.type()],
        )

    def reference(self, gradient, matrix, labels):
        return (_one_hot(labels, matrix) * gradient[:, np.newaxis],)

    def output_shapes(self, node, shapes):
        return [shapes[1]]


class FractionWrong(NumpyOp):
    """The fraction of rows whose largest value is not at the column of their int32 label."""

    def make_node(self, x, labels):
        x = tensor.as_tensor_variable(x)
        return Apply(self, [x, tensor.as_tensor_variable(labels)], [tensor.TensorType(x.dtype, ())()])

    def reference(self, x, labels):
        return ((x.argmax(axis=1) != labels).mean(dtype=x.dtype),)

    def connection_pattern(self, node):
        return [[False], [False]]

    def output_shapes(self, node, shapes):
        return [()]


softmax = Softmax()
fraction_wrong = FractionWrong()


def mean_nll(probabilities, labels):
    """Return the symbolic mean negative log likelihood of class labels.

    If the probabilities are the output of :class:`Softmax`, it is computed from the logits and is accurate even where a
    probability underflows to 0.

    Parameters
    ----------
    probabilities : symbolic, shape (n, n_classes)
    labels : symbolic int32, shape (n,)

    Examples
    --------
    >>> from arignote import engine
    >>> x, labels = engine.tensor.fmatrix(), engine.tensor.ivector()
    >>> loss = mean_nll(softmax(x), labels)
    >>> float(engine.function([x, labels], loss)(np.array([[0, 200]], "float32"), np.array([0], "int32")))
    200.0
    """
    if probabilities.owner is not None and isinstance(probabilities.owner.op, Softmax):
        return SoftmaxNLL()(probabilities.owner.inputs[0], labels)[0]
    return -tensor.log(PickLabel()(probabilities, labels)).mean()
