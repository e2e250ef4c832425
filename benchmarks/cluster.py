"""Two single-threaded workers compared with one process with two threads: python benchmarks/cluster.py.

Trains a conv net on MNIST with minibatches of 512 and random shifts. Both variants train alternately, several times.
The results are the ratio of the median times of a step, and how the driver spends its time.
"""

import argparse
import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable

from arignote import sample_data
from arignote.cluster import Cluster
from arignote.data import files
from arignote.data.readers import Data
from arignote.image import augment
from arignote.nnets.callbacks import Callback
from arignote.nnets.nets import NNClassifier
from arignote.nnets.train.executors.ray import RayExecutor

N_WARMING = 4
LAYERS = [
    ["InputImageLayer", {"n_images": 1, "n_pixels": (28, 28)}],
    ["ConvLayer", {"n_output_maps": 32, "filter_shape": (3, 3)}],
    ["MaxPool2DLayer", {"pool_shape": (2, 2)}],
    ["ConvLayer", {"n_output_maps": 32, "filter_shape": (2, 2)}],
    ["ConvLayer", {"n_output_maps": 32, "filter_shape": (2, 2)}],
    ["MaxPool2DLayer", {"pool_shape": (2, 2)}],
    ["FCLayer", {"n_units": 400}],
    ["DropoutLayer", {"dropout_p": 0.5}],
    ["FCLayer", {"n_units": 400}],
    ["DropoutLayer", {"dropout_p": 0.5}],
    ["ClassificationOutputLayer", {"n_classes": 10}],
]


class Clock(Callback):
    """Record the time of each minibatch after the first few, and the share of some methods in it."""

    def __init__(self, spent):
        self.times, self.spent, self.before = [], spent, {}

    def on_batch_end(self, classifier, loss):
        self.times.append(time.perf_counter())
        if len(self.times) == N_WARMING:
            self.before = dict(self.spent)

    def steps(self) -> list[float]:
        """Return the seconds of each minibatch."""
        times = self.times[N_WARMING - 1 :]
        return [b - a for a, b in itertools.pairwise(times)]

    def parts(self) -> dict[str, float]:
        """Return the mean seconds per minibatch of each timed method."""
        n = len(self.times) - N_WARMING
        return {name: (value - self.before.get(name, 0.0)) / n for name, value in self.spent.items()}


def timed(owner: type, name: str, spent: dict[str, float]) -> None:
    """Wrap a method so that its total time is added to `spent`."""
    method: Callable = getattr(owner, name)

    def run(*arguments, **named):
        started = time.perf_counter()
        try:
            return method(*arguments, **named)
        finally:
            spent[f"{owner.__name__}.{name}"] += time.perf_counter() - started

    setattr(owner, name, run)


def main() -> None:
    """Train alternately and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--shards", type=int, default=2)
    given = parser.parse_args()
    (X, y), _, _ = files.read_pickle(sample_data.mnist)
    data = Data(X[: given.rows], y[: given.rows], shuffle=True)
    spent: dict[str, float] = defaultdict(float)
    for name in ("_answers", "_total", "_step"):
        timed(RayExecutor, name, spent)
    found: dict[str, list[float]] = {"one process, two threads": [], "two workers": []}
    parts: dict[str, float] = {}
    for _ in range(given.rounds):
        for kind, steps in found.items():
            clock = Clock(spent)
            more = {"workers": Cluster(2), "shards": given.shards} if kind == "two workers" else {}
            NNClassifier(LAYERS, rng=0).fit(
                data, n_epochs=1, batch_size=given.batch_size, sgd_type="nag", augmentation=augment.shift(3),
                callbacks=clock, progress=False, **more,
            )  # fmt: skip
            steps += clock.steps()
            parts = clock.parts()
            print(f"{kind}: {1e3 * statistics.median(clock.steps()):.1f} ms per minibatch", flush=True)
    alone, shared = (statistics.median(steps) for steps in found.values())
    print(f"efficiency: {alone / shared:.2f} ({1e3 * alone:.1f} ms without, {1e3 * shared:.1f} ms with two workers)")
    waiting, gradient, step = (1e3 * parts[f"RayExecutor.{name}"] for name in ("_answers", "_total", "_step"))
    print(f"of a step of {step:.1f} ms, in the last round: waiting for workers {waiting:.1f},")
    print(f"sending parameters, distributing work and summing {gradient - waiting:.1f}, update {step - gradient:.1f}")


if __name__ == "__main__":
    main()
