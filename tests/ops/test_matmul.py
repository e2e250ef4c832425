import numpy as np

from arignote import engine
from arignote.engine import tensor
from arignote.ops.matmul import MatMul


def test_dot_in_custom_layers_is_computed_by_the_kernel():
    a, b = tensor.fmatrix(), tensor.fmatrix()
    loss = (tensor.dot(a, b) ** 2).sum()
    run = engine.function([a, b], [loss, engine.grad(loss, a)])
    ops = [type(node.op) for node in run.compiled.maker.fgraph.toposort()]
    assert ops.count(MatMul) == 2
    x, y = np.random.default_rng(0).normal(size=(2, 5, 5)).astype("float32")
    np.testing.assert_allclose(run(x, y)[1], 2 * (x @ y) @ y.T, rtol=1e-4)


def test_other_products_are_computed_by_the_engine():
    for a, b in [(tensor.dmatrix(), tensor.dmatrix()), (tensor.fmatrix(), tensor.fvector())]:
        ops = [type(node.op) for node in engine.function([a, b], tensor.dot(a, b)).compiled.maker.fgraph.toposort()]
        assert MatMul not in ops
