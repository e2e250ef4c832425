"""The scikit-learn estimator: scikit-learn's own checks, and what people do with estimators."""

import importlib
import pickle
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator

from arignote.estimator import ArignoteClassifier
from arignote.image import augment
from arignote.nnets.callbacks import EarlyStopping
from arignote.nnets.nets import define_cnn


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning", "ignore:got features as large as")
def test_all_of_scikit_learns_checks_pass():
    results = check_estimator(ArignoteClassifier(n_epochs=60, random_state=0), on_fail=None)
    assert len(results) > 50
    assert [result["check_name"] for result in results if result["status"] != "passed"] == []


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X, np.array(list("abcdefghij"))[y], random_state=0)


def test_a_pipeline_learns_labels_of_any_kind(digits):
    X_train, X_test, y_train, y_test = digits
    network = ArignoteClassifier([50], dropout_p=0.2, l2=1e-4, n_epochs=30, random_state=3)
    pipeline = make_pipeline(MinMaxScaler(), network).fit(X_train, y_train)
    assert pipeline.score(X_test, y_test) > 0.95
    assert list(network.classes_) == list("abcdefghij")
    probabilities = pipeline.predict_proba(X_test)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    again = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(again.predict_proba(X_test), probabilities)


def test_a_seed_makes_it_the_same_again(digits):
    X_train, X_test, y_train, _ = digits
    network = ArignoteClassifier([10], n_epochs=2, random_state=1)
    first = network.fit(X_train, y_train).predict_proba(X_test)
    np.testing.assert_array_equal(clone(network).fit(X_train, y_train).predict_proba(X_test), first)
    other = clone(network).set_params(random_state=2).fit(X_train, y_train).predict_proba(X_test)
    assert (other != first).any()


def test_augmentation_is_handed_on_and_each_class_is_held_out():
    y = np.repeat(["common", "frequent", "rare"], [60, 30, 10])
    X = np.random.default_rng(0).normal(size=(100, 3))
    seen = []

    def spy(X, y):
        seen.extend(y)
        return X, y

    ArignoteClassifier([4], n_epochs=1, valid=0.2, augmentation=spy, random_state=0).fit(X, y)
    assert np.bincount(seen).tolist() == [48, 24, 8]


def test_searches_and_cross_validation(digits):
    X_train, _, y_train, _ = digits
    network = ArignoteClassifier([10], n_epochs=3, random_state=1)
    search = GridSearchCV(network, {"hidden": [(5,), (30,)], "sgd_type": ["adam", "nag"]}, cv=2)
    search.fit(X_train / 16, y_train)
    assert search.best_params_["hidden"] == (30,)
    assert len(cross_val_score(network, X_train / 16, y_train, cv=3)) == 3


def test_images_augmentation_callbacks_and_validation(digits):
    X_train, X_test, y_train, y_test = digits
    layers = define_cnn(10, (8, 8), [8], 3, 1, [30])
    layers[-1] = ["ClassificationOutputLayer"]
    network = ArignoteClassifier(
        layer_defs=layers,
        n_epochs=60,
        valid=0.2,
        augmentation=augment.shift(1),
        callbacks=[EarlyStopping(5)],
        random_state=0,
    )
    network.fit(X_train / 16, y_train)
    assert network.n_iter_ < 60
    best = network.classifier_.trainer.best_params
    np.testing.assert_array_equal(network.classifier_.params["output.b"].get_value(), best["output.b"])
    assert network.score(X_test / 16, y_test) > 0.85


def test_without_scikit_learn_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "arignote.estimator")
    with pytest.raises(
        ImportError, match=r"need scikit-learn for the estimator; try: pip install 'arignote\[sklearn\]'"
    ):
        importlib.import_module("arignote.estimator")


def test_masked_values_are_refused():
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    fitted = ArignoteClassifier(n_epochs=1).fit(np.ma.array(X), np.ma.array(y))
    masked = np.ma.masked_greater(X, 37)
    for use in (lambda: fitted.fit(masked, y), lambda: fitted.fit(X, np.ma.masked_equal(y, 1)),
                lambda: fitted.predict(masked)):  # fmt: skip
        with pytest.raises(ValueError, match=r"got a masked array with \d+ masked values; need values everywhere"):
            use()


def test_rows_and_labels_in_another_order_are_refused():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(np.random.default_rng(0).normal(size=(40, 2)))
    y = pandas.Series(np.arange(40) % 2)
    with pytest.raises(ValueError, match="index differs from row 0 on"):
        ArignoteClassifier(n_epochs=1).fit(X, y.sample(frac=1, random_state=1))


def test_a_number_of_units_is_that_of_the_only_hidden_layer():
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2
    one, other = (ArignoteClassifier(hidden, n_epochs=1, random_state=0).fit(X, y) for hidden in (7, [7]))
    assert one.classifier_.layer_defs == other.classifier_.layer_defs


def test_callbacks_can_be_used_for_several_trainings():
    X, y = np.random.default_rng(0).normal(size=(200, 2)), np.arange(200) % 2
    X[:, 0] += 4 * y
    given = {"valid": 0.2, "n_epochs": 60, "random_state": 0, "callbacks": [EarlyStopping(patience=2)]}
    network = ArignoteClassifier(**given)
    scores = [network.fit(X, y).score(X, y) for _ in range(2)]
    assert scores[0] == scores[1] > 0.9 and network.n_iter_ > 2
