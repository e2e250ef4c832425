"""Files in the first Arignote's formats, written longhand, and what it computes, in plain numpy.

Its classes are not here: a record stands for an object of one, and is written as Python 2 wrote objects, by the name of
the class and the state.
"""

import gzip
import io
import pickle
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Named:
    """A class, by its full name."""

    kind: str


@dataclass
class Record:
    """An object of a class."""

    kind: str
    state: Any = field(default_factory=dict)


class Pickler(pickle._Pickler):
    """Writes records and classes of which there is only the name."""

    def save(self, obj, *more):
        if isinstance(obj, Named):
            module, _, name = obj.kind.rpartition(".")
            self.write(f"c{module}\n{name}\n".encode())
        elif isinstance(obj, Record):
            self.save(Named(obj.kind))
            self.write(b")\x81")  # a new object, without arguments
            self.save(obj.state)
            self.write(b"b")
        else:
            super().save(obj, *more)


def write(path, *values):
    """Write pickles, one after the other, into a packed file."""
    content = io.BytesIO()
    for value in values:
        Pickler(content, protocol=2).dump(value)
    path.write_bytes(gzip.compress(content.getvalue()))
    return path


def tensor_type(array):
    """Return the type of a variable of Theano 1.0, as it was pickled."""
    state = {"dtype": "float32", "broadcastable": (False,) * array.ndim, "name": None,
             "numpy_dtype": np.dtype("f4"), "sparse_grad": False}  # fmt: skip
    return Record("theano.tensor.type.TensorType", state)


# -- what the first Arignote computes --------------------------------------------------------------------------------


def convolved(x, W, stride, is_cuda):
    """Return a convolution: Theano turns filters upside down; cuda-convnet does not, and has its own order of axes."""
    W = W.transpose(3, 0, 1, 2) if is_cuda else W[:, :, ::-1, ::-1]
    n_maps, _, height, width = W.shape
    rows, columns = ((size - n) // step + 1 for size, n, step in zip(x.shape[2:], (height, width), stride, strict=True))
    z = np.zeros((len(x), n_maps, rows, columns))
    for i in range(rows):
        for j in range(columns):
            patch = x[:, :, i * stride[0] : i * stride[0] + height, j * stride[1] : j * stride[1] + width]
            z[:, :, i, j] = np.tensordot(patch, W, axes=([1, 2, 3], [1, 2, 3]))
    return z


def activated(name, z, learned):
    if z.ndim == 4:
        learned = [values[:, None, None] for values in learned]
    if name == "prelu":
        return np.maximum(z, 0) - learned[0] * np.maximum(-z, 0)
    if name == "prelu_shelf":
        return np.maximum(z - learned[1], 0) - learned[0] * np.maximum(-(z + learned[1]), 0)
    return {"relu": lambda: (z + abs(z)) / 2, "tanh": lambda: np.tanh(z), "linear": lambda: z}[name]()


def pooled(x, shape):
    """Return the largest values of windows; those at the edge may be cut off."""
    rows, columns = (range(0, size, n) for size, n in zip(x.shape[2:], shape, strict=True))
    found = [[x[:, :, i : i + shape[0], j : j + shape[1]].max(axis=(2, 3)) for j in columns] for i in rows]
    return np.array(found).transpose(2, 3, 0, 1)


def per_map(b, z):
    return b if z.ndim == 2 else b[:, None, None]


def layer_output(kind, arguments, arrays, x, is_cuda):
    """Return the output of a layer; `arrays` are its parameters, in order."""
    stride = arguments.get("stride", (1, 1))
    if kind == "InputImageLayer":
        return x.reshape(len(x), arguments["n_images"], *arguments["n_pixels"])
    if kind == "MaxPool2DLayer":
        return pooled(x, arguments["pool_shape"])
    if kind == "GlobalAveragePoolLayer":
        return x.mean(axis=(2, 3))
    if kind == "MLPConvLayer":
        n = len(arrays) // (len(arguments["n_units"]) + 1)
        for i in range(0, len(arrays), n):
            W, b, *learned = arrays[i : i + n]
            z = convolved(x, W, stride if i == 0 else (1, 1), is_cuda)
            x = activated(arguments["activation"], z + per_map(b, z), learned)
        return x
    if not arrays:
        return x  # dropout and reordering
    is_conv = kind.startswith("Conv")
    x = x if is_conv else x.reshape(len(x), -1)

    def linear(W, b):
        z = convolved(x, W, stride, is_cuda) if is_conv else x @ W
        return z + per_map(b, z)

    if "Maxout" in kind:
        k = arguments["maxout_k"]
        return np.max([linear(W, b) for W, b in zip(arrays[:k], arrays[k:], strict=True)], axis=0)
    W, b, *learned = arrays
    if kind == "ClassificationOutputLayer":
        e = np.exp(linear(W, b))
        return e / e.sum(axis=1, keepdims=True)
    return activated(arguments["activation"], linear(W, b), learned)


def predicted(layers, X, is_cuda=False):
    """Return the probabilities that a network predicts; `layers` has (kind, arguments, arrays) for each layer."""
    x = X.astype(float)
    for kind, arguments, arrays in layers:
        x = layer_output(kind, arguments, arrays, x, is_cuda)
    return x
