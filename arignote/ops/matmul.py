"""Matrix products."""

import numpy as np

from arignote import engine, native
from arignote.engine import Apply, tensor
from arignote.ops.base import KernelOp, namespace, output_buffer


class MatMul(KernelOp):
    """The product of two matrices, each optionally transposed.

    Parameters
    ----------
    transpose_a, transpose_b : bool, optional
    """

    __props__ = ("transpose_a", "transpose_b")

    def __init__(self, transpose_a: bool = False, transpose_b: bool = False):
        self.transpose_a, self.transpose_b = transpose_a, transpose_b

    def make_node(self, a, b):
        a, b = tensor.as_tensor_variable(a), tensor.as_tensor_variable(b)
        return Apply(self, [a, b], [tensor.TensorType(a.dtype, (False, False))()])

    def can_run(self, a, b):
        return a.dtype == np.float32 == b.dtype and a.size > 0 and b.size > 0 and native.has("matmul")

    def run(self, outputs, a, b):
        transpose_a, transpose_b = self.transpose_a, self.transpose_b
        if not a.flags.c_contiguous:  # often the transpose of a contiguous matrix
            a, transpose_a = np.ascontiguousarray(a.T), not transpose_a
        if not b.flags.c_contiguous:
            b, transpose_b = np.ascontiguousarray(b.T), not transpose_b
        shape = a.shape[1 if transpose_a else 0], b.shape[0 if transpose_b else 1]
        if a.shape[0 if transpose_a else 1] != b.shape[1 if transpose_b else 0]:
            raise ValueError(f"{self}: got matrices of shapes {a.shape} and {b.shape}; need equal inner dimensions")
        native.kernels().matmul(output_buffer(outputs[0], shape, a.dtype), a, b, transpose_a, transpose_b)

    def reference(self, a, b):
        return (namespace(a, b).dot(a.T if self.transpose_a else a, b.T if self.transpose_b else b),)

    def L_op(self, inputs, outputs, output_gradients):
        (a, b), (gradient,) = inputs, output_gradients
        if self.transpose_a:
            a_gradient = MatMul(self.transpose_b, True)(b, gradient)
        else:
            a_gradient = MatMul(False, not self.transpose_b)(gradient, b)
        if self.transpose_b:
            b_gradient = MatMul(True, self.transpose_a)(gradient, a)
        else:
            b_gradient = MatMul(not self.transpose_a, False)(a, gradient)
        return [a_gradient, b_gradient]

    def output_shapes(self, node, shapes):
        a, b = shapes
        return [(a[1 if self.transpose_a else 0], b[0 if self.transpose_b else 1])]


def matmul(a, b):
    """Return the product of two symbolic matrices.

    Examples
    --------
    >>> a, b = engine.tensor.fmatrix(), engine.tensor.fmatrix()
    >>> engine.function([a, b], matmul(a, b))(np.ones((2, 3), "float32"), np.eye(3, 2, dtype="float32")).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    product = product_by_kernel(a, b)
    return tensor.dot(a, b) if product is None else product


def product_by_kernel(a, b):
    """Return the product of two symbolic matrices computed by a kernel, or None if there is no such kernel."""
    return MatMul()(a, b) if native.has("matmul") else None


engine.replace_products(product_by_kernel)
