"""Shortcuts: the definitions of common networks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from arignote.util import checks

PerLayer = float | Sequence[float]


def define_logistic_regression(n_classes: int, l1_reg: float = 0.0, l2_reg: float = 0.0) -> list:
    """Return the definition of multinomial logistic regression.

    Parameters
    ----------
    n_classes : int
    l1_reg, l2_reg : float, optional
        Weight decay, by default 0.

    Examples
    --------
    >>> define_logistic_regression(10)
    [['ClassificationOutputLayer', {'name': 'output', 'n_classes': 10, 'l1': 0.0, 'l2': 0.0}]]
    """
    n_classes = checks.whole_number(n_classes, "n_classes")
    return [["ClassificationOutputLayer", {"name": "output", "n_classes": n_classes, "l1": l1_reg, "l2": l2_reg}]]


def define_mlp(
    n_classes: int,
    n_hidden: Sequence[int] | int,
    dropout_p: PerLayer = 0.0,
    activation: str = "relu",
    l1_reg: float = 0.0,
    l2_reg: float = 0.0,
) -> list:
    """Return the definition of a multi-layer perceptron: hidden layers ``fc0``, ``fc1``, ..., and the ``output``.

    Parameters
    ----------
    n_classes : int
    n_hidden : list of int
        Number of units of each hidden layer.
    dropout_p : float or list of float, optional
        Dropout of the input (``DO-input``) and behind each hidden layer (``DO-fc0``, ...): one number for all, or one
        for each, beginning with the input. By default none.
    activation : str, optional
        Of the hidden layers, by default "relu".
    l1_reg, l2_reg : float, optional
        Weight decay of all layers, by default 0.

    Examples
    --------
    >>> [params["name"] for _, params in define_mlp(10, [400, 400], dropout_p=[0, 0.5, 0.5])]
    ['fc0', 'DO-fc0', 'fc1', 'DO-fc1', 'output']
    """
    sizes = _list(n_hidden, "n_hidden")
    at_input, *behind = _one_each(dropout_p, 1 + len(sizes), "dropout_p")
    decay = {"l1": l1_reg, "l2": l2_reg}
    layers = _dropout("input", at_input)
    for i, (size, p) in enumerate(zip(sizes, behind, strict=True)):
        layers.append(["FCLayer", {"name": f"fc{i}", "n_units": size, "activation": activation, **decay}])
        layers += _dropout(f"fc{i}", p)
    return layers + define_logistic_regression(n_classes, l1_reg, l2_reg)


def define_cnn(
    n_classes: int,
    input_image_shape: int | Sequence[int],
    n_kernels: Sequence[int] | int,
    filter_scale: Any,
    poolsize: Any,
    n_hidden: Sequence[int] | int,
    dropout_p: PerLayer = 0.0,
    activation: str = "relu",
    l1_reg: float = 0.0,
    l2_reg: float = 0.0,
) -> list:
    """Return the definition of a convolutional network: ``conv0``, ``maxpool0``, ..., then a multi-layer perceptron.

    Parameters
    ----------
    n_classes : int
    input_image_shape : tuple of int
        (rows, columns) of gray images, or (channels, rows, columns).
    n_kernels : list of int
        Number of filters of each convolution.
    filter_scale : int, or list of int or (int, int)
        Size of the filters in pixels: one for all convolutions, or one for each.
    poolsize : int, or list of int or (int, int)
        Size of the pool behind each convolution, in the same form; 1 for none.
    n_hidden : list of int
        Number of units of each hidden layer behind the convolutions.
    dropout_p : float or list of float, optional
        Dropout of the input, behind each convolution and its pool, and behind each hidden layer: one number for all,
        or one for each. By default none.
    activation, l1_reg, l2_reg : optional
        As for `define_mlp`, for convolutions too.

    Examples
    --------
    >>> layers = define_cnn(10, (28, 28), [32, 64], 5, 2, [400], dropout_p=[0, 0, 0, 0.5])
    >>> [params["name"] for _, params in layers]
    ['input', 'conv0', 'maxpool0', 'conv1', 'maxpool1', 'fc0', 'DO-fc0', 'output']
    """
    counts, sizes = _list(n_kernels, "n_kernels"), _list(n_hidden, "n_hidden")
    at_input, *behind = _one_each(dropout_p, 1 + len(counts) + len(sizes), "dropout_p")
    filters, pools = (
        _one_each(value, len(counts), name) for value, name in ((filter_scale, "filter_scale"), (poolsize, "poolsize"))
    )
    layers = [["InputImageLayer", {"name": "input", **_image(input_image_shape)}], *_dropout("input", at_input)]
    decay = {"l1": l1_reg, "l2": l2_reg}
    for i, (count, size, pool) in enumerate(zip(counts, filters, pools, strict=True)):
        params = {"name": f"conv{i}", "n_output_maps": count, "filter_shape": size, "activation": activation, **decay}
        layers.append(["ConvLayer", params])
        if checks.pair(pool, "poolsize") != (1, 1):
            layers.append(["MaxPool2DLayer", {"name": f"maxpool{i}", "pool_shape": pool}])
        layers += _dropout(f"conv{i}", behind[i])
    return layers + define_mlp(n_classes, sizes, [0, *behind[len(counts) :]], activation, l1_reg, l2_reg)


def _dropout(layer: str, p: float) -> list:
    """Return dropout behind a layer, unless there is none."""
    return [["DropoutLayer", {"name": f"DO-{layer}", "dropout_p": p}]] if p else []


def _image(shape: int | Sequence[int]) -> dict[str, Any]:
    """Return the parameters of the input layer for images of one shape."""
    sizes = [shape, shape] if isinstance(shape, int | np.integer) else list(shape)
    if len(sizes) not in (2, 3):
        raise ValueError(
            f"got input_image_shape={checks.brief(shape)}; need (rows, columns) or (channels, rows, columns); "
            "try (28, 28)"
        )
    return {"n_images": sizes[0] if len(sizes) == 3 else 1, "n_pixels": sizes[-2:]}


def _list(value: Any, what: str) -> list:
    """Return one value for each layer as a list."""
    if isinstance(value, int | np.integer):
        return [value]
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
        raise ValueError(f"got {what}={checks.brief(value)}; need a list of whole numbers; try {what}=[100]")
    return list(value)


def _one_each(value: Any, n: int, what: str) -> list:
    """Return a value for each of `n` places: the same for all, or one of a list."""
    if isinstance(value, int | float | np.number):
        return [value] * n
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray) or len(value) != n:
        raise ValueError(f"got {what}={checks.brief(value)}; need one number, or {n}: one for each; try a list of {n}")
    return list(value)
