"""The benchmarks of Arignote, and the floor: the time of the kernels of the expensive operations alone."""

import time
from collections.abc import Callable

import numpy as np

from arignote import native, sample_data
from arignote.data import files
from arignote.data.loader import Loader
from arignote.data.readers import Data
from arignote.image import augment
from arignote.native.memory import empty
from arignote.nnets import nets
from arignote.nnets.train.executors.local import LocalExecutor
from benchmarks.speed.networks import BATCH, NETWORKS, convolutions, pools, products

RATE, MOMENTUM = {"rule": "const", "initial_value": 0.01}, {"rule": "const", "initial_value": 0.9}
FIT = {"batch_size": BATCH, "sgd_type": "nag", "lr_rule": RATE, "momentum_rule": MOMENTUM}


def layer_defs(name: str) -> list:
    """Return the definition of a network."""
    network = NETWORKS[name]
    shared = {"activation": network["activation"], "l2": network["l2"]}
    make = {
        "dense": lambda units: ["FCLayer", {"n_units": units, **shared}],
        "maxout": lambda units, pieces: ["FCMaxoutLayer", {"n_units": units, "maxout_k": pieces}],
        "conv": lambda maps, side: ["ConvLayer", {"n_output_maps": maps, "filter_shape": side, **shared}],
        "mlpconv": lambda maps, side, units: [
            "MLPConvLayer", {"n_output_maps": maps, "filter_shape": side, "n_units": list(units), **shared}],
        "pool": lambda side: ["MaxPool2DLayer", {"pool_shape": side}],
        "dropout": lambda p: ["DropoutLayer", {"dropout_p": p}],
    }  # fmt: skip
    layers = [make[kind](*parameters) for kind, *parameters in network["layers"]]
    if len(network["shape"]) == 3:
        layers.insert(0, ["InputImageLayer", {"n_images": network["shape"][0], "n_pixels": network["shape"][1:]}])
    return [*layers, ["ClassificationOutputLayer", {"n_classes": 10}]]


def repeated(action: Callable[[], object]) -> Callable[[int], float]:
    """Return a function that repeats an action and returns the seconds."""

    def run(n_times: int) -> float:
        started = time.perf_counter()
        for _ in range(n_times):
            action()
        return time.perf_counter() - started

    return run


def steps(name: str, variant: str) -> Callable[[int], float]:
    """Return a function that trains for some steps and returns the seconds."""
    rng = np.random.default_rng(0)
    X = rng.random((20 * BATCH, *NETWORKS[name]["shape"]), dtype=np.float32)
    y = rng.integers(10, size=len(X))
    classifier = nets.NNClassifier(layer_defs(name), rng=0)
    classifier.fit(X[:BATCH], y[:BATCH], n_epochs=1, **FIT)
    sgd = classifier.trainer.sgd
    loader = Loader({"train": Data(X, y)}, BATCH, network=classifier.network)
    executor = LocalExecutor(classifier.network, loader, sgd, "nll")
    batches = executor.load(list(loader.refs("train")))

    def run(n_steps: int) -> float:
        started = time.perf_counter()
        for i in range(0, n_steps, executor.chunk):
            chunk = range(executor.chunk)
            executor.step([batches[(i + j) % 20] for j in chunk], [sgd.input_values(ahead=j) for j in chunk])
            sgd.n_updates += len(chunk)
        return time.perf_counter() - started

    return run


def floor(name: str, variant: str) -> Callable[[int], float]:
    """Return a function that computes only the matrix products, convolutions and pools of a training step."""
    kernels, calls = native.kernels(), []

    def filled(*shape: int) -> np.ndarray:
        array = empty(shape, "float32")
        array[...] = np.random.default_rng(0).random(shape)
        return array

    for i, (n_in, n_out) in enumerate(products(name)):
        x, W, z = filled(BATCH, n_in), filled(n_in, n_out), filled(BATCH, n_out)
        calls += [(kernels.matmul, z, x, W, 0, 0), (kernels.matmul, filled(n_in, n_out), x, z, 1, 0)]
        if i > 0 or len(NETWORKS[name]["shape"]) == 3:
            calls.append((kernels.matmul, filled(BATCH, n_in), z, W, 0, 1))
    images = len(NETWORKS[name]["shape"]) == 3
    for i, (maps, side, maps_out, filter_side) in enumerate(convolutions(name) if images else []):
        x, W = filled(BATCH, side, side, maps), filled(maps_out, maps, filter_side, filter_side)
        y = filled(BATCH, side - filter_side + 1, side - filter_side + 1, maps_out)
        calls += [(kernels.convolve, x, W, y, 1, 1), (kernels.convolve_filters, x, filled(*W.shape), y, 1, 1)]
        if i > 0:
            calls.append((kernels.convolve_images, filled(*x.shape), W, y, 1, 1))
    for maps, side, window in pools(name) if images else []:
        x, y = filled(BATCH, side, side, maps), filled(BATCH, side // window, side // window, maps)
        places = np.zeros(y.shape, "uint8")
        calls += [
            (kernels.max_pool, y, places, x, *[window] * 4),
            (kernels.max_pool_gradient, x, y, places, *[window] * 4),
        ]

    def step() -> None:
        for kernel, *arguments in calls:
            kernel(*arguments)

    return repeated(step)


def epochs(name: str, variant: str) -> Callable[[int], float]:
    """Return a function that trains for some epochs of MNIST, with validation, and returns the seconds."""
    train, valid, _ = files.read_pickle(sample_data.mnist)
    classifier = nets.NNClassifier(layer_defs(name), rng=0)
    augmentation = augment.shift(3) if variant == "shifts" else None
    done = 0

    def run(n_epochs: int) -> float:
        nonlocal done
        done += n_epochs
        started = time.perf_counter()
        classifier.fit(Data(*train, shuffle=True), valid=valid, n_epochs=done, augmentation=augmentation, **FIT)
        return time.perf_counter() - started

    run(1)
    return run


def prediction(name: str, variant: str) -> Callable[[int], float]:
    """Return a function that predicts 10 000 images some times and returns the seconds."""
    X = np.random.default_rng(0).random((10_000, *NETWORKS[name]["shape"]), dtype=np.float32)
    classifier = nets.NNClassifier(layer_defs(name), n_in=NETWORKS[name]["shape"], rng=0)
    return repeated(lambda: classifier.predict_proba(X))
