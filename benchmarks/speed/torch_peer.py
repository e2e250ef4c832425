"""The benchmarks of PyTorch: eager or compiled, with images in either memory order, in its usual style.

A variant is a string of words: "channels_last", "compile" (with "graphs", CUDA graphs), "shifts", "sliced", which
indexes the data instead of using the DataLoader, and "device", which puts all data and the network on the GPU, if there
is one.
"""

import gzip
import itertools
import math
import pickle
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.speed.networks import BATCH, NETWORKS


class PreluShelf(nn.Module):
    """max(x - c, 0) - a max(-(x + c), 0), with a and c learned for each unit."""

    def __init__(self, n: int):
        super().__init__()
        self.slope, self.shelf = nn.Parameter(torch.full((n,), 0.25)), nn.Parameter(torch.full((n,), 0.05))

    def forward(self, x):
        return torch.relu(x - self.shelf) - self.slope * torch.relu(-(x + self.shelf))


class Maxout(nn.Module):
    """The maximum of several linear functions."""

    def __init__(self, n_in: int, n_units: int, n_pieces: int):
        super().__init__()
        self.linear, self.shape = nn.Linear(n_in, n_units * n_pieces), (n_pieces, n_units)

    def forward(self, x):
        return self.linear(x).unflatten(1, self.shape).amax(1)


ACTIVATIONS = {"relu": lambda n: nn.ReLU(), "prelu": nn.PReLU, "prelu_shelf": PreluShelf}


def build(name: str) -> nn.Module:
    """Return a network."""
    network = NETWORKS[name]
    activation = ACTIVATIONS[network["activation"]]
    modules, shape = [], network["shape"]
    for kind, *parameters in network["layers"]:
        if kind in ("conv", "mlpconv"):
            maps, side, *units = parameters
            widths = [shape[0], *(units[0] if units else ()), maps]
            for i, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
                modules += [nn.Conv2d(n_in, n_out, side if i == 0 else 1), activation(n_out)]
            shape = (maps, shape[1] - side + 1, shape[2] - side + 1)
        elif kind == "pool":
            modules.append(nn.MaxPool2d(parameters[0]))
            shape = (shape[0], *(n // parameters[0] for n in shape[1:]))
        elif kind == "dropout":
            modules.append(nn.Dropout(parameters[0]))
        else:
            modules += [nn.Flatten()] if len(shape) > 1 else []
            n_in, shape = math.prod(shape), (parameters[0],)
            if kind == "maxout":
                modules.append(Maxout(n_in, *parameters))
            else:
                modules += [nn.Linear(n_in, parameters[0]), activation(parameters[0])]
    return nn.Sequential(*modules, nn.Linear(shape[0], 10))


def placed(X: torch.Tensor, variant: str) -> torch.Tensor:
    """Return images in the memory order of a variant."""
    return X.to(memory_format=torch.channels_last) if "channels_last" in variant and X.ndim == 4 else X


def device_of(variant: str) -> torch.device:
    """Return the device of a variant."""
    return torch.device("cuda" if "device" in variant and torch.cuda.is_available() else "cpu")


def trained(name: str, variant: str) -> tuple[nn.Module, Callable]:
    """Return a network, and a function that runs a training step on a batch."""
    torch.manual_seed(0)
    network, l2 = build(name).to(device_of(variant)), NETWORKS[name]["l2"]
    if "channels_last" in variant:
        network = network.to(memory_format=torch.channels_last)
    weights = [p for p in network.parameters() if p.ndim > 1][:-1]
    decayed = {id(p) for p in weights}
    groups = [
        {"params": weights, "weight_decay": 2 * l2},  # the gradient of l2 times the sum of squares
        {"params": [p for p in network.parameters() if id(p) not in decayed]},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True)
    loss = nn.CrossEntropyLoss()

    def step(x, t):
        optimizer.zero_grad(set_to_none=True)
        value = loss(network(x), t)
        value.backward()
        optimizer.step()
        return value

    if "compile" not in variant:
        return network, step
    return network, torch.compile(step, mode="reduce-overhead" if "graphs" in variant else None)


def steps(name: str, variant: str) -> Callable[[int], float]:
    """Return a function that trains for some steps and returns the seconds."""
    _, step = trained(name, variant)
    rng = np.random.default_rng(0)
    X = torch.from_numpy(rng.random((20, BATCH, *NETWORKS[name]["shape"]), dtype=np.float32))
    X = [placed(batch, variant) for batch in X]
    y = torch.from_numpy(rng.integers(10, size=(20, BATCH)))

    def run(n_steps: int) -> float:
        started = time.perf_counter()
        for i in range(n_steps):
            step(X[i % 20], y[i % 20])
        return time.perf_counter() - started

    return run


def mnist(shape: tuple[int, ...]) -> tuple[TensorDataset, TensorDataset]:
    """Return the training and validation data in Arignote's sample file."""
    with gzip.open("arignote/sample_data/mnist.pkl.gz") as file:
        parts = pickle.load(file)[:2]
    return tuple(
        TensorDataset(torch.from_numpy(np.asarray(X, np.float32).reshape(-1, *shape)), torch.from_numpy(np.int64(y)))
        for X, y in parts
    )


def shifted(X: torch.Tensor, n_pixels: int = 3) -> torch.Tensor:
    """Return a batch of randomly shifted images, computed by one gather for the whole batch."""
    n, channels, rows, columns = X.shape
    padded = nn.functional.pad(X, (n_pixels,) * 4)
    down, across = torch.randint(2 * n_pixels + 1, (2, n))
    i = (down[:, None] + torch.arange(rows))[:, None, :, None]
    j = (across[:, None] + torch.arange(columns))[:, None, None, :]
    return padded[torch.arange(n)[:, None, None, None], torch.arange(channels)[None, :, None, None], i, j]


def sliced(data: TensorDataset) -> Iterator:
    """Yield shuffled batches, each indexed at once, which is faster than the DataLoader."""
    X, y = data.tensors
    for rows in torch.randperm(len(X), device=X.device).split(BATCH):
        if len(rows) == BATCH:
            yield X[rows], y[rows]


def epochs_on_device(name: str, variant: str) -> Callable[[int], float]:
    """Like :func:`epochs`, with all data and the sum of the losses on the device."""
    train, valid = (TensorDataset(*(t.to(device_of(variant)) for t in part.tensors)) for part in
                    mnist(NETWORKS[name]["shape"]))  # fmt: skip
    network, step = trained(name, variant)

    def run(n_epochs: int) -> float:
        started = time.perf_counter()
        for _ in range(n_epochs):
            network.train()
            total = torch.zeros((), device=device_of(variant))
            for X, y in sliced(train):
                total += step(X, y).detach()
            network.eval()
            with torch.inference_mode():
                for X, y in zip(*(t.split(1000) for t in valid.tensors), strict=True):
                    total += nn.functional.cross_entropy(network(X), y, reduction="sum")
            total.item()
        return time.perf_counter() - started

    run(2)
    return run


def epochs(name: str, variant: str) -> Callable[[int], float]:
    """Return a function that trains for some epochs of MNIST, with validation, and returns the seconds."""
    if "device" in variant:
        return epochs_on_device(name, variant)
    train, valid = mnist(NETWORKS[name]["shape"])
    network, step = trained(name, variant)
    loader = DataLoader(train, BATCH, shuffle=True, drop_last=True)
    valid_loader = DataLoader(valid, 1000)

    def run(n_epochs: int) -> float:
        started = time.perf_counter()
        for _ in range(n_epochs):
            network.train()
            for X, y in sliced(train) if "sliced" in variant else loader:
                X = shifted(X) if "shifts" in variant else X
                step(placed(X, variant), y).item()
            network.eval()
            with torch.inference_mode():
                sum(
                    nn.functional.cross_entropy(network(placed(X, variant)), y, reduction="sum").item()
                    for X, y in valid_loader
                )
        return time.perf_counter() - started

    return run


def prediction(name: str, variant: str) -> Callable[[int], float]:
    """Return a function that predicts 10 000 images repeatedly and returns the seconds."""
    network = build(name).eval()
    X = torch.rand(10_000, *NETWORKS[name]["shape"])
    if "channels_last" in variant:
        network = network.to(memory_format=torch.channels_last)

    def run(n_times: int) -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            for _ in range(n_times):
                torch.cat([network(placed(batch, variant)).softmax(dim=1) for batch in X.split(500)])
        return time.perf_counter() - started

    return run
