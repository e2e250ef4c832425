"""The benchmarks of scikit-learn: `MLPClassifier`, with relu and Nesterov momentum; it has no dropout."""

import gzip
import pickle
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.speed.networks import BATCH, NETWORKS


def classifier(name: str, n_epochs: int) -> MLPClassifier:
    """Return a perceptron."""
    sizes = tuple(units for _, units in NETWORKS[name]["layers"])
    return MLPClassifier(
        sizes, solver="sgd", alpha=0, batch_size=BATCH, learning_rate_init=0.01, momentum=0.9, max_iter=n_epochs,
        n_iter_no_change=10**6, random_state=0,
    )  # fmt: skip


def epochs(name: str, variant: str) -> Callable[[int], float]:
    """Return a function that trains for some epochs of MNIST, with validation, and returns the seconds."""
    with gzip.open("arignote/sample_data/mnist.pkl.gz") as file:
        (X, y), (X_valid, y_valid) = pickle.load(file)[:2]
    X, X_valid = (
        np.asarray(X, np.float32).reshape(len(X), -1),
        np.asarray(X_valid, np.float32).reshape(len(X_valid), -1),
    )

    def run(n_epochs: int) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that it did not converge
            started = time.perf_counter()
            classifier(name, n_epochs).fit(X, y).score(X_valid, y_valid)
            return time.perf_counter() - started

    return run


def prediction(name: str, variant: str) -> Callable[[int], float]:
    """Return a function that predicts 10 000 images repeatedly and returns the seconds."""
    X = np.random.default_rng(0).random((10_000, 784), dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trained = classifier(name, 1).fit(X[:BATCH], np.arange(BATCH) % 10)

    def run(n_times: int) -> float:
        started = time.perf_counter()
        for _ in range(n_times):
            trained.predict_proba(X)
        return time.perf_counter() - started

    return run
