"""Networks as ONNX models, which other programs run (https://onnx.ai). Needs ``pip install arignote[export]``.

What is exported is the deterministic network: features in, probabilities out. Each kind of layer has a function here
that adds it to the model. A layer of your own has a method ``to_onnx(model, x)`` that does the same, with the help of
:class:`Model`.
"""

from collections.abc import Callable, Mapping
from importlib import util
from typing import Any

import numpy as np

from arignote import __version__
from arignote.nnets import layers
from arignote.nnets.layers import Layer
from arignote.nnets.network import Network
from arignote.ops.pool import MaxPool

OPSET = 17


class Model:
    """An ONNX model that grows. Values in it go by names; `weight` and `node` return those of what they add."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def weight(self, name: str, value: np.ndarray) -> str:
        """Add an array."""
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operation of ONNX on values; return the name of its result."""
        from onnx import helper

        name = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def shape(self, *sizes: int) -> str:
        """Add a shape for Reshape: 0 keeps the size that an axis has."""
        return self.weight(f"shape{len(self.initializers)}", np.array(sizes, np.int64))


def model_of(network: Network, name: str, metadata: Mapping[str, str] | None = None) -> Any:
    """Return a network as an ``onnx.ModelProto``, with metadata as its properties.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    TypeError
        If a layer, or an activation that is a function of your own, has no form in ONNX.
    """
    if util.find_spec("onnx") is None:
        raise ImportError("got no package onnx; need it to export networks; try: pip install 'arignote[export]'")
    from onnx import TensorProto, checker, helper

    model, x = Model(), "features"
    for layer in network.layers_inf:
        if hasattr(layer, "to_onnx"):
            x = layer.to_onnx(model, x)
        elif type(layer) in TRANSLATIONS:
            x = TRANSLATIONS[type(layer)](model, layer, x)
        else:
            raise TypeError(
                f"got {layer}, a layer that Arignote does not know; need its form in ONNX; "
                "try a method to_onnx(self, model, x)"
            )
    model.node("Identity", x)
    model.nodes[-1].output[0] = network.output_layer.output_name
    inputs, outputs = (
        [helper.make_tensor_value_info(label, TensorProto.FLOAT, ["n", *layer.output_shape])]
        for label, layer in (
            ("features", network.input_layer),
            (network.output_layer.output_name, network.output_layer),
        )
    )
    graph = helper.make_graph(model.nodes, name, inputs, outputs, model.initializers)
    found = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
        producer_name="arignote",
        producer_version=__version__,
    )
    helper.set_model_props(found, dict(metadata or {}))
    checker.check_model(found, full_check=True)
    return found


def _param(model: Model, layer: Layer, name: str, shape: tuple[int, ...] | None = None) -> str:
    """Add a parameter of a layer, perhaps in another shape."""
    variable = layer.params[name]
    value = np.asarray(variable.get_value(), np.float32)
    return model.weight(variable.name, value if shape is None else value.reshape(shape))


def _activated(model: Model, layer: Any, z: str, suffix: str = "") -> str:
    """Add the activation of a layer on what has its bias already."""
    if layer.n_pieces > 1:
        pieces = model.node("Reshape", z, model.shape(0, layer.n_pieces, *layer.output_shape))
        return model.node("ReduceMax", pieces, axes=[1], keepdims=0)
    make = ACTIVATIONS.get(layer.activation) if isinstance(layer.activation, str) else None
    if make is None:
        raise TypeError(
            f"got {layer} with the activation {layer.activation!r}; need one that Arignote knows to export it; "
            f"try one of {', '.join(sorted(ACTIVATIONS))}, or a layer of your own with to_onnx(self, model, x)"
        )
    per_unit = (-1,) + (1,) * (len(layer.output_shape) - 1)
    learned = [_param(model, layer, f"{name}{suffix}", per_unit) for name in layer._activation.learned]
    return make(model, z, *learned)


def _prelu_shelf(model: Model, z: str, slope: str, shelf: str) -> str:
    above = model.node("Relu", model.node("Sub", z, shelf))
    below = model.node("Relu", model.node("Neg", model.node("Add", z, shelf)))
    return model.node("Sub", above, model.node("Mul", slope, below))


ACTIVATIONS: dict[str, Callable] = {
    "linear": lambda model, z: z,
    "tanh": lambda model, z: model.node("Tanh", z),
    "abstanh": lambda model, z: model.node("Abs", model.node("Tanh", z)),
    "sigmoid": lambda model, z: model.node("Sigmoid", z),
    "relu": lambda model, z: model.node("Relu", z),
    "prelu": lambda model, z, slope: model.node("PRelu", z, slope),
    "prelu_shelf": _prelu_shelf,
}


def _linear(model: Model, layer: Layer, x: str) -> str:
    """Add ``x @ W + b``, of examples laid out as vectors."""
    x = x if len(layer.input_shape) == 1 else model.node("Flatten", x, axis=1)
    return model.node("Gemm", x, _param(model, layer, "W"), _param(model, layer, "b"))


def _dense(model: Model, layer: Layer, x: str) -> str:
    return _activated(model, layer, _linear(model, layer, x))


def _convolved(model: Model, layer: Any, x: str, suffix: str = "", strides: tuple[int, int] = (1, 1)) -> str:
    filters = _param(model, layer, f"W{suffix}")
    z = model.node("Conv", x, filters, _param(model, layer, f"b{suffix}"), strides=strides)
    return _activated(model, layer, z, suffix)


def _conv(model: Model, layer: Any, x: str) -> str:
    return _convolved(model, layer, x, strides=layer.stride)


def _mlpconv(model: Model, layer: Any, x: str) -> str:
    for i in range(len(layer.n_units) + 1):
        x = _convolved(model, layer, x, str(i), layer.stride if i == 0 else (1, 1))
    return x


def _pool(model: Model, layer: Any, x: str) -> str:
    # Padding says which windows are cut off, also where `ceil_mode` is read in different ways; it is never the maximum.
    missing = MaxPool(layer.pool_shape, layer.stride, None, layer.ignore_border).missing((1, *layer.input_shape))
    return model.node("MaxPool", x, kernel_shape=layer.pool_shape, strides=layer.stride, pads=[0, 0, *missing])


def _pool_channels(model: Model, layer: Any, x: str) -> str:
    groups, *size = layer.output_shape
    pieces = model.node("Reshape", x, model.shape(0, groups, layer.n_channels, *size))
    return model.node("ReduceMax", pieces, axes=[2], keepdims=0)


def _unchanged(model: Model, layer: Layer, x: str) -> str:
    """Add nothing: dropout is for training, and the memory order does not matter outside."""
    return x


# Layers that a program derives from these may compute something else: only these very classes are known.
def _locally(model: Model, layer: Any, x: str) -> str:
    n, k = layer.n_segments, layer.n_pieces
    segments = model.node("Reshape", x, model.shape(0, n, layer.segment_size))
    W = layer.params["W"].get_value().astype(np.float32).reshape(n, k, layer.segment_size, layer.n_units)
    weights = model.weight(f"{layer.name}.W", W.transpose(0, 2, 1, 3).reshape(n, layer.segment_size, k * layer.n_units))
    z = model.node("MatMul", model.node("Transpose", segments, perm=[1, 0, 2]), weights)
    z = model.node("Reshape", model.node("Transpose", z, perm=[1, 0, 2]), model.shape(0, n, k, layer.n_units))
    z = model.node("Reshape", model.node("Transpose", z, perm=[0, 2, 1, 3]), model.shape(0, k * n * layer.n_units))
    return _activated(model, layer, model.node("Add", z, _param(model, layer, "b")))


def _classified(model: Model, layer: Any, x: str) -> str:
    z = _linear(model, layer, x)
    if layer.params["W"].get_value(borrow=True).shape[1] > 1:
        return model.node("Softmax", z, axis=1)
    return model.node("Concat", model.node("Sigmoid", model.node("Neg", z)), model.node("Sigmoid", z), axis=1)


def _ordinal(model: Model, layer: Any, x: str) -> str:
    x = x if len(layer.input_shape) == 1 else model.node("Flatten", x, axis=1)
    b = np.asarray(layer.params["b"].get_value(), np.float64)
    thresholds = np.concatenate([b[:1], b[:1] + np.exp(b[1:]).cumsum()]).astype(np.float32)
    score = model.node("MatMul", x, _param(model, layer, "W"))
    below = model.node("Sigmoid", model.node("Sub", model.weight("thresholds", thresholds), score))
    zero = model.node("Mul", score, model.weight("zero", np.zeros(1, np.float32)))
    one = model.node("Add", zero, model.weight("one", np.ones(1, np.float32)))
    upper = model.node("Concat", below, one, axis=1)
    return model.node("Sub", upper, model.node("Concat", zero, below, axis=1))


TRANSLATIONS: dict[type, Callable] = {
    layers.InputLayer: _unchanged,
    layers.InputImageLayer: _unchanged,
    layers.BC01ToC01BLayer: _unchanged,
    layers.C01BToBC01Layer: _unchanged,
    layers.DropoutLayer: _unchanged,
    layers.FCLayer: _dense,
    layers.FCMaxoutLayer: _dense,
    layers.LCLayer: _locally,
    layers.LCMaxoutLayer: _locally,
    layers.ConvLayer: _conv,
    layers.ConvMaxoutLayer: _conv,
    layers.MLPConvLayer: _mlpconv,
    layers.MaxPool2DLayer: _pool,
    layers.MaxPoolChannelsLayer: _pool_channels,
    layers.GlobalAveragePoolLayer: lambda model, layer, x: model.node("ReduceMean", x, axes=[2, 3], keepdims=0),
    layers.ClassificationOutputLayer: _classified,
    layers.OrdinalOutputLayer: _ordinal,
    layers.MultilabelOutputLayer: lambda model, layer, x: model.node("Sigmoid", _linear(model, layer, x)),
    layers.SoftmaxOutputLayer: lambda model, layer, x: model.node("Softmax", x, axis=1),
}
