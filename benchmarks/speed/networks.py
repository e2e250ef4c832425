"""The networks of the benchmarks, as plain data from which each peer builds its own.

A layer is a tuple: ("dense", units), ("maxout", units, pieces), ("conv", maps, filter side), ("mlpconv", maps, filter
side, units), ("pool", side), ("dropout", fraction). An activation follows each dense layer and each convolution; a
linear map to 10 classes follows the last layer.
"""

BATCH = 128

NETWORKS = {
    "mlp": {"shape": (784,), "activation": "relu", "l2": 0.0,
            "layers": [("dense", 400), ("dropout", 0.5), ("dense", 400), ("dropout", 0.5)]},
    "mlp without dropout": {"shape": (784,), "activation": "relu", "l2": 0.0,
                            "layers": [("dense", 400), ("dense", 400)]},
    "seed": {"shape": (784,), "activation": "prelu_shelf", "l2": 0.001,
             "layers": [("dense", 400), ("dropout", 0.5), ("dense", 400), ("dropout", 0.5)]},
    "maxout": {"shape": (784,), "activation": "relu", "l2": 0.0,
               "layers": [("maxout", 240, 5), ("dropout", 0.5), ("maxout", 240, 5), ("dropout", 0.5)]},
    "lenet": {"shape": (1, 28, 28), "activation": "relu", "l2": 0.0,
              "layers": [("conv", 32, 5), ("pool", 2), ("conv", 64, 5), ("pool", 2), ("dense", 400)]},
    "conv": {"shape": (1, 28, 28), "activation": "prelu", "l2": 0.0001,
             "layers": [("conv", 32, 3), ("pool", 2), ("conv", 32, 2), ("conv", 32, 2), ("pool", 2), ("dropout", 0.25),
                        ("dense", 400), ("dropout", 0.5), ("dense", 400), ("dropout", 0.5)]},
    "mlpconv": {"shape": (1, 28, 28), "activation": "relu", "l2": 0.0,
                "layers": [("mlpconv", 32, 5, (32,)), ("pool", 2), ("mlpconv", 32, 3, (32,)), ("pool", 2),
                           ("dense", 100)]},
}  # fmt: skip
"""Name -> the shape of an example, the activation, the l2 factor of all layers but the last, and the layers."""


def convolutions(name: str) -> list[tuple[int, int, int, int]]:
    """Return (input maps, input side, output maps, filter side) of each convolution of a network."""
    maps, side, _ = NETWORKS[name]["shape"]
    found = []
    for kind, *parameters in NETWORKS[name]["layers"]:
        if kind == "conv":
            found.append((maps, side, *parameters))
            maps, side = parameters[0], side - parameters[1] + 1
        elif kind == "pool":
            side //= parameters[0]
    return found


def pools(name: str) -> list[tuple[int, int, int]]:
    """Return (maps, input side, window) of each pool of a network."""
    maps, side, _ = NETWORKS[name]["shape"]
    found = []
    for kind, *parameters in NETWORKS[name]["layers"]:
        if kind == "conv":
            maps, side = parameters[0], side - parameters[1] + 1
        elif kind == "pool":
            found.append((maps, side, parameters[0]))
            side //= parameters[0]
    return found


def products(name: str) -> list[tuple[int, int]]:
    """Return (inputs, outputs) of each dense layer of a network, the last one included."""
    shape, found = NETWORKS[name]["shape"], []
    n = shape[0] if len(shape) == 1 else None
    if n is None:
        maps, side, _ = shape
        for kind, *parameters in NETWORKS[name]["layers"]:
            if kind == "conv":
                maps, side = parameters[0], side - parameters[1] + 1
            elif kind == "pool":
                side //= parameters[0]
        n = maps * side * side
    for kind, *parameters in NETWORKS[name]["layers"]:
        if kind == "dense":
            found.append((n, parameters[0]))
            n = parameters[0]
    return [*found, (n, 10)]
