"""Checks of every Op: kernel and numpy agree for all memory layouts, and gradients are correct."""

import itertools

import numpy as np
import pytest

from arignote import engine, native
from arignote.engine import tensor
from arignote.native import memory
from arignote.nnets.sgd_updates import UPDATE_RULES
from arignote.ops import mean_nll
from arignote.ops.activate import FORMULAS, Activate, ActivateGradient, Maxout, MaxoutGradient
from arignote.ops.base import KernelOp, NumpyOp
from arignote.ops.convolve import ConvolutionOp, Convolve, ConvolveFilters, ConvolveImages
from arignote.ops.dropout import ActivateDropout, ActivateDropoutGradient, Dropout
from arignote.ops.flatten import Flatten, Unflatten
from arignote.ops.matmul import MatMul, matmul
from arignote.ops.pool import MaxPool, MaxPoolGradient, _index_type
from arignote.ops.softmax import (
    FractionWrong,
    PickLabel,
    PickLabelGradient,
    Scale,
    Softmax,
    SoftmaxGradient,
    SoftmaxNLL,
    softmax,
)
from arignote.ops.update import Update
from tests.helpers import numeric_gradient

POSITION, KEY, FRACTION = np.array([1, 2, 3]), np.array([123, 4567]), np.float64(0.3)


def normal(*shapes):
    """Return a function that makes normally distributed arrays of these shapes."""
    return lambda rng: [rng.normal(size=shape) for shape in shapes]


def activation(name, shape, gradient=False):
    """Return a function that makes the inputs of an activation, away from its kinks."""

    def make(rng):
        learned = [rng.uniform(0.1, 0.4, shape[1]) for _ in FORMULAS[name].learned]
        return [rng.normal(size=shape)] * gradient + [rng.normal(size=shape), rng.normal(size=shape[1]), *learned]

    return make


def maxout_gradient(rng):
    return [rng.normal(size=(6, 5)), rng.normal(size=(6, 15)), rng.normal(size=15)]


def labelled(rng):
    return [rng.normal(size=(9, 5)) * 3, rng.integers(5, size=9).astype("int32")]


def pooled(rng, window, stride, size, ignore_border=False):
    images = rng.normal(size=(3, 4, *size))
    _, indices = MaxPool(window, stride, None, ignore_border).reference(images)
    return [rng.normal(size=indices.shape), indices.astype(_index_type(window)), images]


POOLS = [((2, 2), (2, 2), (8, 6)), ((2, 2), (2, 2), (7, 9)), ((3, 2), (1, 2), (7, 6)), ((2, 1), (3, 2), (9, 9)),
         ((17, 17), (1, 2), (18, 20)), ((2, 2), (2, 2), (7, 9), True), ((3, 2), (2, 3), (8, 9), True),
         ((3, 3), (2, 2), (8, 6)), ((2, 2), (4, 3), (8, 9)), ((5, 4), (3, 3), (4, 3)),
         ((3, 3), (3, 3), (1, 1))]  # fmt: skip
CONVOLUTIONS = [((2, 3, 7, 9), (4, 3, 3, 2), (1, 1)), ((3, 1, 8, 8), (32, 1, 5, 5), (1, 1)),
                ((2, 16, 6, 7), (16, 16, 2, 3), (2, 1)), ((1, 5, 9, 9), (7, 5, 1, 1), (3, 2)),
                ((4, 3, 5, 5), (2, 3, 5, 5), (1, 1))]  # fmt: skip


def convolution(kind, images, filters, stride):
    """Return a function that makes the inputs of a convolution or of one of its gradients."""
    out = Convolve(stride).output_shape(images, filters)
    shapes = {
        Convolve: (images, filters),
        ConvolveFilters: (out, images, filters),
        ConvolveImages: (out, filters, images),
    }
    return normal(*shapes[kind])


def rule_inputs(rule):
    def make(rng):
        shapes = [(3, 4), (5,)]
        kept = [[rng.uniform(size=shape) for _ in rule.arrays] for shape in shapes]
        each = [[rng.normal(size=s), rng.normal(size=s), *k] for s, k in zip(shapes, kept, strict=True)]
        return [np.float64(0.01), np.float64(0.9), np.float64(3), *itertools.chain(*each)]

    return make


CASES = {
    **{
        f"matmul {a:d}{b:d} {m} {n} {k}": (
            MatMul(a, b), normal((k, m) if a else (m, k), (n, k) if b else (k, n)))
        for a in (False, True) for b in (False, True) for m, n, k in [(5, 7, 3), (128, 40, 65), (1, 1, 1)]
    },
    **{
        f"{name} {shape}": (Activate(name), activation(name, shape))
        for name in FORMULAS for shape in [(5, 7), (200, 50), (3, 5, 4, 2), (0, 4)]
    },
    **{
        f"{name} gradient {shape}": (ActivateGradient(name), activation(name, shape, gradient=True))
        for name in FORMULAS for shape in [(5, 7), (700, 50), (3, 5, 4, 2), (0, 4)]
    },
    "maxout": (Maxout(3), normal((6, 15), (15,))),
    "maxout images": (Maxout(2), normal((40, 6, 9, 8), (6,))),
    "maxout gradient": (MaxoutGradient(3), maxout_gradient),
    "maxout images gradient": (MaxoutGradient(2), normal((40, 3, 9, 8), (40, 6, 9, 8), (6,))),
    **{
        f"pool by {name}": (
            MaxPool((2, 3), (2, 2), name),
            lambda rng, name=name: [
                rng.normal(size=(3, 4, 8, 9)), rng.normal(size=4), *rng.normal(size=(len(FORMULAS[name].learned), 4))])
        for name in FORMULAS
    },
    **{f"pool {case}": (MaxPool(*case[:2], None, *case[3:]), normal((3, 4, *case[2]))) for case in POOLS},
    **{
        f"pool {border} by prelu": (
            MaxPool((3, 2), (2, 2), "prelu", border),
            lambda rng: [rng.normal(size=(3, 4, 6, 9)), *rng.normal(size=(2, 4))])
        for border in (False, True)
    },
    **{
        f"pool gradient {case}": (MaxPoolGradient(*case[:2]), lambda rng, case=case: pooled(rng, *case))
        for case in POOLS
    },
    **{
        f"{kind.__name__} {case}": (kind(case[2]), convolution(kind, *case))
        for kind in (Convolve, ConvolveFilters, ConvolveImages) for case in CONVOLUTIONS
    },
    **{
        f"dropout {shape}": (
            Dropout(), lambda rng, shape=shape: [rng.normal(size=shape), FRACTION, KEY, POSITION])
        for shape in [(128, 400), (3, 7), (2, 3, 5, 4), (0, 4)]
    },
    **{
        f"{name} dropout": (
            ActivateDropout(name),
            lambda rng, name=name: [FRACTION, KEY, POSITION, *activation(name, (65, 43))(rng)])
        for name in FORMULAS
    },
    **{
        f"{name} dropout gradient": (
            ActivateDropoutGradient(name),
            lambda rng, name=name: [
                FRACTION, rng.integers(2, size=(6, 7)).astype("uint8"), *activation(name, (6, 7), gradient=True)(rng)])
        for name in FORMULAS
    },
    "small dropout": (
        ActivateDropout("prelu_shelf"),
        lambda rng: [FRACTION, KEY, POSITION, *activation("prelu_shelf", (6, 7))(rng)]),
    "softmax": (Softmax(), normal((9, 5))),
    "softmax many": (Softmax(), normal((900, 10))),
    "softmax gradient": (SoftmaxGradient(), normal((9, 5), (9, 5))),
    "nll": (SoftmaxNLL(), labelled),
    "pick label": (PickLabel(), labelled),
    "pick label gradient": (PickLabelGradient(), lambda rng: [rng.normal(size=9), *labelled(rng)]),
    "scale": (Scale(), lambda rng: [rng.normal(size=(9, 5)), np.float64(0.7)]),
    "fraction wrong": (FractionWrong(), labelled),
    "flatten": (Flatten(), normal((3, 4, 5, 2))),
    "unflatten": (Unflatten(), normal((3, 40), (3, 4, 5, 2))),
    **{
        f"update {name}": (
            Update(rule.function, rule.kernel, len(rule.arrays), [(0.0, 0.0), (0.2, 0.3)]), rule_inputs(rule))
        for name, rule in UPDATE_RULES.items()
    },
}  # fmt: skip


by_kernels = pytest.mark.skipif(not native.available(), reason="compares kernels")


def is_fraction(array):
    """Return True if an input is the fraction to drop."""
    return array.ndim == 0 and array == FRACTION


ORDERS = {
    "in C order": np.ascontiguousarray,
    "in Fortran order": np.asfortranarray,
    "channels last": lambda a: np.ascontiguousarray(np.moveaxis(a, 1, -1)).transpose(
        0, a.ndim - 1, *range(1, a.ndim - 1)
    ),
    "with gaps": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "backwards": lambda a: np.ascontiguousarray(a[::-1])[::-1],
}


def inputs_of(name, dtype, order="in C order"):
    """Return the inputs of a case, with float arrays in a dtype and a memory layout."""
    arrange = ORDERS[order]
    arrays = [np.asarray(array) for array in CASES[name][1](np.random.default_rng(1))]
    floats = [array.dtype == np.float64 and not is_fraction(array) for array in arrays]
    arrays = [array.astype(dtype) if is_float else array for array, is_float in zip(arrays, floats, strict=True)]
    return [arrange(array) if array.ndim in (2, 4) and array.size else array for array in arrays]


def symbols(arrays):
    return [tensor.TensorType(array.dtype, (False,) * array.ndim)() for array in arrays]


def computed(op, arrays):
    """Return all outputs of an Op, computed by a function that the engine compiled."""
    with engine.use_float(next(str(array.dtype) for array in arrays if array.dtype.kind == "f" and array.ndim)):
        if getattr(op, "destroy_map", None):  # the engine allows in-place updates of shared variables only
            updated = {source: engine.shared(arrays[source]) for (source,) in op.destroy_map.values()}
            inputs = [updated.get(i, array) for i, array in enumerate(arrays)]
            outputs = op(*inputs, return_list=True)
            updates = [(updated[source], outputs[i]) for i, (source,) in op.destroy_map.items()]
            engine.function([], [], updates=updates)()
            return [variable.get_value() for variable in updated.values()]
        # Dropout's fraction is a constant, as in a network.
        each = list(zip(arrays, symbols(arrays), strict=True))
        inputs, values = zip(*[(symbol, array) for array, symbol in each if not is_fraction(array)], strict=True)
        variables = [array if is_fraction(array) else symbol for array, symbol in each]
        return engine.function(inputs, op(*variables, return_list=True), on_unused_input="ignore")(*values)


def test_every_op_has_a_case():
    found, pending = set(), [NumpyOp]
    while pending:
        subclasses = pending.pop().__subclasses__()
        pending += subclasses
        found |= {kind for kind in subclasses if kind.__module__.startswith("arignote.")}
    assert found - {KernelOp, ConvolutionOp} == {type(op) for op, _ in CASES.values()}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_kernel_and_numpy_agree(name, dtype, order):
    op, arrays = CASES[name][0], inputs_of(name, dtype, order)
    found = computed(op, arrays)
    # Sums of many numbers in single precision are inexact: the reference sums in double precision.
    exact = op.reference(*[array.astype("float64") if array.dtype == "float32" else array for array in arrays])
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-9}
    for a, b in zip(found, exact, strict=True):
        assert a.shape == np.shape(b)
        np.testing.assert_allclose(a, b, **tolerance)


@pytest.mark.parametrize("name", CASES)
def test_a_second_call_does_not_overwrite_the_results_of_the_first(name):
    op, arrays = CASES[name][0], inputs_of(name, "float32")
    if getattr(op, "destroy_map", None):
        return
    variables = symbols(arrays)
    run = engine.function(variables, op(*variables, return_list=True), on_unused_input="ignore")
    first = run(*arrays)
    before = [output.copy() for output in first]
    run(*[array + 1 if array.dtype == "float32" and array.ndim else array for array in arrays])
    for a, b in zip(first, before, strict=True):
        np.testing.assert_array_equal(a, b)


def has_gradient(name):
    """Return True if the Op of a case has a gradient, and inputs small enough to perturb each element."""
    sizes = [array.size for array in inputs_of(name, "float64")]
    return "L_op" in type(CASES[name][0]).__dict__ and min(sizes) > 0 and sum(sizes) < 1000


@pytest.mark.parametrize("name", list(filter(has_gradient, CASES)))
def test_gradients_agree_with_finite_differences(name, float64):
    op, arrays = CASES[name][0], inputs_of(name, "float64")
    variables = symbols(arrays)
    output = op(*variables, return_list=True)[0]
    weights = np.random.default_rng(2).normal(size=computed(op, arrays)[0].shape)
    loss = (output * weights).sum()
    node = op.make_node(*variables)
    pattern = op.connection_pattern(node) if hasattr(op, "connection_pattern") else [[True]] * len(arrays)
    value = engine.function(variables, loss, on_unused_input="ignore")
    for i, connected in enumerate(pattern):
        if not connected[0] or arrays[i].dtype != "float64":
            continue
        gradient = engine.function(variables, engine.grad(loss, variables[i]), on_unused_input="ignore")(*arrays)
        expected = numeric_gradient(lambda array, i=i: value(*arrays[:i], array, *arrays[i + 1 :]), arrays[i])
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "name",
    [f"{name} (5, 7)" for name in FORMULAS]
    + ["maxout", "softmax", "matmul 00 5 7 3", f"pool {POOLS[0]}", f"Convolve {CONVOLUTIONS[0]}"],
)
def test_nan_propagates(name):
    op, arrays = CASES[name][0], inputs_of(name, "float32")
    for index in np.ndindex(arrays[0].shape[:2]):
        poisoned = arrays[0].copy()
        poisoned[index] = np.nan
        assert np.isnan(computed(op, [poisoned, *arrays[1:]])[0]).any()


@by_kernels
def test_results_do_not_depend_on_the_alignment_of_arrays():
    for name in ["matmul 00 128 40 65", f"Convolve {CONVOLUTIONS[1]}", f"ConvolveFilters {CONVOLUTIONS[2]}"]:
        op, results = CASES[name][0], set()
        for offset in (0, 4, 8, 20):
            arrays = []
            for array in inputs_of(name, "float32"):
                buffer = memory.empty((array.nbytes + 64,), "uint8")
                arrays.append(buffer[offset : offset + array.nbytes].view("float32").reshape(array.shape))
                arrays[-1][...] = array
            results.add(computed(op, arrays)[0].tobytes())
        assert len(results) == 1, name


@by_kernels
@pytest.mark.parametrize("name", ["prelu_shelf gradient (700, 50)", "maxout images gradient", "dropout (128, 400)"])
def test_sums_in_kernels_do_not_depend_on_the_number_of_threads(name):
    op, arrays = CASES[name][0], inputs_of(name, "float32")
    found = set()
    try:
        for n in (1, 2, 3, 5):
            native.set_threads(n)
            found.add(b"".join(output.tobytes() for output in computed(op, arrays)))
    finally:
        native.set_threads(0)
    assert len(found) == 1


@by_kernels
def test_matrices_of_incompatible_shapes_are_refused():
    a, b = tensor.fmatrix(), tensor.fmatrix()
    run = engine.function([a, b], matmul(a, b))
    with pytest.raises(ValueError, match="need equal inner dimensions"):
        run(np.ones((2, 3), "float32"), np.ones((4, 2), "float32"))


@by_kernels
def test_labels_out_of_range_are_refused():
    x, y = tensor.fmatrix(), tensor.ivector()
    run = engine.function([x, y], mean_nll(softmax(x), y))
    with pytest.raises(RuntimeError, match="need labels from 0 to 2"):
        run(np.ones((2, 3), "float32"), np.array([0, 3], "int32"))


def test_mean_nll_of_probabilities_that_are_not_from_softmax():
    p, y = tensor.fmatrix(), tensor.ivector()
    found = engine.function([p, y], mean_nll(p, y))(np.array([[0.25, 0.75]], "float32"), np.array([1], "int32"))
    np.testing.assert_allclose(found, -np.log(0.75), rtol=1e-6)
