"""Classifiers in other processes, which start afresh (spawn), as they do on macOS and Windows."""

import multiprocessing
import pickle

import numpy as np
import pytest

from arignote.nnets.nets import NNClassifier
from tests.helpers import DROPPED, StopAfter, assert_same_training

rng = np.random.default_rng(3)
X, y = rng.random((120, 5)).astype("f4"), rng.integers(3, size=120)
GIVEN = {"X": X, "y": y, "valid": (X[:40], y[:40]), "n_epochs": 3, "batch_size": 16, "sgd_type": "nag"}


def resume(content):
    """Resume a pickled classifier; return it as a pickle, since each process has its own engine."""
    classifier = pickle.loads(content)
    return pickle.dumps(classifier.fit(**GIVEN))


@pytest.fixture(scope="module")
def pool():
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        yield pool


def test_processes_predict_the_same(pool):
    classifier = NNClassifier(DROPPED, rng=1).fit(**GIVEN)
    found = np.concatenate(pool.map(classifier.predict_proba, np.array_split(X, 4)))
    np.testing.assert_array_equal(
        found, np.concatenate([classifier.predict_proba(part) for part in np.array_split(X, 4)])
    )


def test_a_training_is_resumed_in_another_process_and_comes_back(pool):
    straight = NNClassifier(DROPPED, rng=1).fit(**GIVEN)
    stopped = NNClassifier(DROPPED, rng=1).fit(**GIVEN, callbacks=StopAfter(10))
    content, other = pool.map(resume, [pickle.dumps(stopped), pickle.dumps(NNClassifier(DROPPED, rng=1))])
    assert_same_training(pickle.loads(content), straight)
    assert_same_training(pickle.loads(other), straight)
