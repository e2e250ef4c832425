"""Labels of any kind, and the numbers of their classes."""

import numpy as np
import pytest
from sklearn.preprocessing import LabelEncoder

from arignote.data import files
from arignote.data.labels import LabelSummary
from arignote.nnets.classes import describe_classes, encode, find_classes
from arignote.nnets.nets import NNClassifier
from arignote.nnets.network import Network
from tests.helpers import MLP, assert_same, assert_same_params

KINDS = {
    "text": np.array(["cat", "dog", "bird"]),
    "objects": np.array(["cat", "dog", "bird"], dtype=object),
    "bytes": np.array([b"cat", b"dog", b"bird"]),
    "from 1": np.array([1, 2, 3]),
    "far apart": np.array([-5, 100, 7]),
    "whole floats": np.array([1.0, 2.0, 30.0]),
}


def found(labels, n_classes):
    summary = LabelSummary()
    summary.add(np.asarray(labels))
    return find_classes(summary, n_classes)


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 2], [0.0, 1.0], [0.5, 1, 2], [0, 1, 2, 3], [3, 4], [np.inf, 1, 2]])
def test_class_numbers_and_what_is_refused_later_are_no_names(labels):
    assert found(labels, 3) is None


@pytest.mark.parametrize("labels", [["b", "a"], [True, False], [1, 2], [-1, 1], [2.0, 1.0]])
def test_names_are_found_in_order(labels):
    classes = found(labels, 2)
    assert classes.tolist() == sorted(labels) and classes.dtype.kind in "Ubi"


@pytest.mark.parametrize(("labels", "n_classes"), [(["a", "b", "c"], 2), (["a"], 2), ([True, False], 3)])
def test_another_number_of_names_is_refused(labels, n_classes):
    with pytest.raises(ValueError, match=f"got labels of {len(labels)} class.*n_classes={n_classes}; need as many"):
        found(labels, n_classes)


def test_numbers_are_those_of_scikit_learn():
    labels = np.random.default_rng(0).choice(["x", "yy", "Z", "ä"], 50)
    encoder = LabelEncoder().fit(labels)
    assert encode(labels, encoder.classes_).tolist() == encoder.transform(labels).tolist()


def test_many_classes_are_cut_short():
    assert describe_classes(np.array(list("abcdefghijklm"))).endswith("'i', 'j', ...")


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_learns_and_returns_labels_of_any_kind(kind, blobs, quick, tmp_path):
    X, y = blobs
    names = KINDS[kind]
    order = np.argsort(np.argsort(names.astype("U") if names.dtype.kind in "SO" else names))
    by_number = NNClassifier(MLP, rng=1).fit(X, order[y], valid=0.25, n_epochs=4, batch_size=20)
    classifier = NNClassifier(MLP, rng=1).fit(
        X, names[y], valid=0.25, n_epochs=4, batch_size=20, checkpoint=tmp_path / "mine"
    )
    assert_same_params(classifier, by_number)
    plain = np.array([name.decode() if isinstance(name, bytes) else name for name in names])
    assert classifier.classes_.tolist() == sorted(plain.tolist())
    assert (classifier.predict(X) == plain[y]).mean() == by_number.score(X, order[y]) == classifier.score(X, names[y])
    again = files.checkpoint_read(tmp_path / "mine")
    assert_same(again.predict(X), classifier.predict(X))
    again.fit(X, names[y], valid=0.25, n_epochs=5)
    assert again.classes_.tolist() == classifier.classes_.tolist()
    assert by_number.classes_.tolist() == [0, 1, 2] and by_number.predict(X).dtype == np.int64


def test_truth_values(blobs, quick):
    X, y = blobs
    layers = [MLP[0], ["ClassificationOutputLayer", {"n_classes": 2}]]
    classifier = NNClassifier(layers, rng=1).fit(X, y > 0, n_epochs=2, batch_size=20)
    assert classifier.predict(X).dtype == bool and classifier.score(X, y > 0) > 0.5


def test_labels_of_a_fit_that_failed_are_forgotten(blobs, quick):
    X, y = blobs
    classifier = NNClassifier(MLP, rng=1, batch_size=20, n_in=5)
    with pytest.raises(ValueError, match="got no n_epochs"):
        classifier.fit(X, np.array(["a", "b", "c"])[y])
    assert classifier.fit(X, y, n_epochs=1).classes_.tolist() == [0, 1, 2]


def test_a_fit_that_was_refused_leaves_the_classifier_as_it_was(blobs, quick):
    X, y = blobs
    classifier = NNClassifier(MLP, rng=1, batch_size=20)
    with pytest.raises(ValueError, match="got nan in row 0"):
        classifier.fit(np.full_like(X, np.nan), np.array(["a", "b", "c"])[y], n_epochs=1)
    assert not classifier.built and classifier.trainer is None
    assert classifier.fit(X[:, :4], y, n_epochs=1).network.example_shape == (4,)


def test_text_and_numbers_far_apart_are_refused():
    summary = LabelSummary()
    summary.add(np.array(["a", "b"]))
    with pytest.raises(ValueError, match="got labels of several types"):
        summary.add(np.array([1, 2]))
    assert found([5.0, 1e300], 2) is None  # no whole number that can be told from its neighbors


@pytest.mark.parametrize("n_shards", [1, 3])
def test_labels_of_shards_are_numbered_too(n_shards, blobs, quick):
    X, y = blobs
    given = {"n_epochs": 2, "batch_size": 30, "shards": n_shards}
    named = NNClassifier(MLP, rng=1).fit(X, np.array(["a", "b", "c"])[y], **given)
    assert_same_params(named, NNClassifier(MLP, rng=1).fit(X, y, **given))


def swapped(X, y, epoch, rng):
    """Swap two classes: an augmentation gets class numbers, and returns some."""
    return X, np.where(y == 2, 2, 1 - y)


@pytest.mark.parametrize("names", [["a", "b", "c"], [1, 2, 3]])
def test_an_augmentation_gets_and_returns_class_numbers(names, blobs, quick):
    X, y = blobs
    given = {"n_epochs": 2, "batch_size": 30, "augmentation": swapped}
    named = NNClassifier(MLP, rng=1).fit(X, np.array(names)[y], **given)
    assert_same_params(named, NNClassifier(MLP, rng=1).fit(X, y, **given))


def test_a_copy_of_a_network_for_another_process_knows_the_classes(blobs, quick):
    X, y = blobs
    network = NNClassifier(MLP, rng=1).fit(X, np.array(["a", "b", "c"])[y], n_epochs=1, batch_size=30).network
    assert Network(**network.spec()).prepare_labels(["c", "a"]).tolist() == [2, 0]
