import copy
import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest

from arignote import engine
from arignote.data import files
from arignote.data.readers import ArrayReader, Data, DataWithHoldoutPartitions, Reader
from arignote.engine import tensor
from arignote.nnets import nets
from arignote.nnets.layers import LAYERS, ClassificationOutputLayer
from arignote.nnets.nets import NNClassifier
from tests.helpers import DROPPED, MLP, assert_same, assert_same_params, assert_same_training


@pytest.fixture(autouse=True)
def _quick(quick):
    """Nothing here depends on C."""


def fitted(X, y, **changes):
    arguments = {"n_epochs": 15, "batch_size": 24, "sgd_type": "adam",
                 "lr_rule": {"rule": "const", "initial_value": 0.02}}  # fmt: skip
    return NNClassifier(MLP, rng=1).fit(X, y, **(arguments | changes))


def test_learns(blobs):
    X, y = blobs
    assert fitted(X[:200], y[:200]).score(X[200:], y[200:]) > 0.9


def test_predictions_do_not_depend_on_the_batches_they_are_made_in(blobs, monkeypatch):
    X, y = blobs
    classifier = fitted(X, y, n_epochs=1)
    whole = classifier.predict_proba(X)
    assert whole.shape == (240, 3)
    np.testing.assert_allclose(whole.sum(axis=1), 1, rtol=1e-5)
    monkeypatch.setattr(nets, "PREDICT_ROWS", 7)
    np.testing.assert_allclose(classifier.predict_proba(X), whole, rtol=1e-5)
    np.testing.assert_allclose(classifier.predict_proba(X[:1]), whole[:1], rtol=1e-5)
    np.testing.assert_array_equal(classifier.predict(X), whole.argmax(axis=1))
    assert classifier.score(X, y) == (whole.argmax(axis=1) == y).mean()


def test_predictions_are_of_the_altered_rows_in_their_order(blobs):
    X, y = blobs
    classifier = fitted(X, y, n_epochs=1)
    data = Data(X, y, 30, alter_features=lambda rows: 2 * rows, start=17, shuffle=True, allow_partial_batch=False)
    np.testing.assert_allclose(classifier.predict_proba(data), classifier.predict_proba(2 * X[17:]), rtol=1e-5)


def test_the_same_seed_gives_the_same_network_and_another_another(blobs):
    X, y = blobs
    first, again = fitted(X, y, n_epochs=2), fitted(X, y, n_epochs=2)
    assert_same_training(first, again)
    other = NNClassifier(MLP, rng=2, n_in=5)
    assert (other.params["fc1.W"].get_value() != NNClassifier(MLP, rng=1, n_in=5).params["fc1.W"].get_value()).any()


def test_rng_can_be_a_generator_or_go_by_another_name():
    for make in (lambda: {"rng": np.random.RandomState(3)}, lambda: {"rng": np.random.default_rng(3)}):
        assert NNClassifier(MLP, **make()).seed == NNClassifier(MLP, **make()).seed
    assert NNClassifier(MLP, random_state=7).seed == NNClassifier(MLP, rng=7).seed == 7
    assert NNClassifier(MLP).seed != NNClassifier(MLP).seed
    with pytest.raises(TypeError, match="which mean the same"):
        NNClassifier(MLP, rng=1, random_state=1)
    with pytest.raises(TypeError, match="got rng='x'; need a whole number"):
        NNClassifier(MLP, rng="x")
    with pytest.raises(ValueError, match="got rng=-1; need a seed of 0 or more"):
        NNClassifier(MLP, rng=-1)


def test_theano_rng_seeds_dropout_alone():
    definition = [["DropoutLayer", {"dropout_p": 0.5}], *MLP]
    first, second = NNClassifier(definition, n_in=5, rng=1), NNClassifier(definition, n_in=5, rng=1, theano_rng=9)
    np.testing.assert_array_equal(first.params["fc1.W"].get_value(), second.params["fc1.W"].get_value())
    keys = [net.get_layer("dropout1").key.get_value() for net in (first, second)]
    assert (keys[0] != keys[1]).any()


# -- every form of data ----------------------------------------------------------------------------------------------


class Squares(Reader):
    """A reader of one's own: rows that are computed when they are asked for."""

    n_rows, shape = 100, (2,)

    def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
        for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
            rows = np.arange(first, last)
            yield np.stack([rows % 3 - 1, (rows % 3 - 1) ** 2], axis=1).astype(float)


# Each form of data, and how many rows of it are trained on.
FORMS = {
    "arrays": 240,
    "lists": 240,
    "column of labels": 240,
    "float labels": 240,
    "tuple": 240,
    "data": 240,
    "readers": 240,
    "partitions": 168,
    "pickle": 240,
    "three pairs": 160,
    "csv": 240,
    "npy": 240,
}


def forms(X, y, tmp_path):
    with open(tmp_path / "data.pkl", "wb") as file:
        pickle.dump((X, y), file)
    with open(tmp_path / "three.pkl", "wb") as file:
        pickle.dump(((X[:160], y[:160]), (X[160:200], y[160:200]), (X[200:], y[200:])), file)
    np.savetxt(tmp_path / "data.csv", np.column_stack([X, y]), delimiter=",", header="a,b,c,d,e,label", comments="")
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    return {
        "arrays": (X, y),
        "lists": (X.tolist(), y.tolist()),
        "column of labels": (X, y[:, np.newaxis]),
        "float labels": (X, y.astype(float)),
        "tuple": ((X, y),),
        "data": (Data(X, y, batch_size=24),),
        "readers": (ArrayReader(X), ArrayReader(y)),
        "partitions": (DataWithHoldoutPartitions(X, y, 24, 0.2, 0.1),),
        "pickle": (str(tmp_path / "data.pkl"),),
        "three pairs": (str(tmp_path / "three.pkl"),),
        "csv": (tmp_path / "data.csv",),
        "npy": (str(tmp_path / "X.npy"), str(tmp_path / "y.npy")),
    }


@pytest.mark.parametrize("form", FORMS)
def test_fit_takes_every_form_of_data(form, blobs, tmp_path):
    n_rows = FORMS[form]
    arguments = forms(*blobs, tmp_path)[form]
    classifier = fitted(*(arguments if len(arguments) == 2 else (arguments[0], None)), n_epochs=8)
    assert classifier.trainer.progress.n_rows == n_rows
    assert classifier.score(*blobs) > 0.85
    if form in ("partitions", "three pairs"):
        assert {"valid_nll", "test_error"} <= set(classifier.trainer.history[0])


def test_fit_takes_pandas(blobs):
    pandas = pytest.importorskip("pandas")
    X, y = blobs
    frame, series = pandas.DataFrame(X), pandas.Series(y)
    plain = fitted(X, y, n_epochs=1).network.get_values()
    for name, value in fitted(frame, series, n_epochs=1).network.get_values().items():
        np.testing.assert_array_equal(value, plain[name])


@pytest.mark.parametrize("part", ["valid", "test"])
def test_held_out_data_take_every_form(part, blobs):
    X, y = blobs
    for form in ((X[:50], y[:50]), Data(X[:50], y[:50]), 0.2):
        history = fitted(X, y, n_epochs=1, **{part: form}).trainer.history
        assert f"{part}_nll" in history[-1]
    assert f"{part}_nll" not in fitted(X, y, n_epochs=1, **{part: 0.0}).trainer.history[-1]


def test_fractions_hold_out_the_last_rows(blobs):
    X, y = blobs
    classifier = fitted(X, y, n_epochs=1, valid=0.2, test=0.1)
    assert classifier.trainer.progress.n_rows == 168


def test_a_reader_of_ones_own(quick):
    reader = Squares()
    labels = np.arange(100) % 3
    classifier = NNClassifier(MLP, rng=0).fit(reader, labels, n_epochs=30, batch_size=20, sgd_type="adam",
                                              lr_rule={"rule": "const", "initial_value": 0.02})  # fmt: skip
    assert classifier.score(reader, labels) == 1.0


@pytest.fixture
def with_squares():
    """Return the definition of a network that has a loss of its own, "squared"."""

    class SquaresOutputLayer(ClassificationOutputLayer):
        def squared(self, y):
            """Return the mean squared distance to the one-hot labels."""
            return ((self.output - tensor.extra_ops.to_one_hot(y, self.n_classes)) ** 2).sum(axis=1).mean()

    yield [MLP[0], [SquaresOutputLayer, {"n_classes": 3}]]
    del LAYERS["SquaresOutputLayer"]


def test_a_loss_of_ones_own(blobs, with_squares):
    X, y = blobs
    losses = {"train_loss": "squared", "valid_loss": "squared", "test_loss": "error"}
    classifier = NNClassifier(with_squares, rng=0).fit(
        X, y, valid=(X, y), test=(X, y), n_epochs=15, batch_size=24, sgd_type="adam",
        lr_rule={"rule": "const", "initial_value": 0.02}, **losses,
    )  # fmt: skip
    entry = classifier.trainer.history[-1]
    expected = ((classifier.predict_proba(X) - np.eye(3)[y]) ** 2).sum(axis=1).mean()
    np.testing.assert_allclose(entry["valid_squared"], expected, rtol=1e-4)
    assert classifier.score(X, y) > 0.9


def test_multilabel(blobs):
    X, y = blobs
    labels = np.stack([y == 0, y > 0], axis=1).astype(int)
    classifier = NNClassifier([MLP[0], ["MultilabelOutputLayer", {"n_classes": 2}]], rng=0)
    classifier.fit(X, labels, n_epochs=15, batch_size=24, sgd_type="adam", valid=(X, labels),
                   lr_rule={"rule": "const", "initial_value": 0.02})  # fmt: skip
    assert classifier.predict(X).shape == (240, 2)
    assert classifier.score(X, labels) > 0.9
    p = classifier.predict_proba(X).astype(np.float64)
    nll = -(labels * np.log(p) + (1 - labels) * np.log(1 - p)).sum(axis=1).mean()
    np.testing.assert_allclose(classifier.trainer.history[-1]["valid_nll"], nll, rtol=1e-4)


def test_average_pool_and_softmax_make_an_output(blobs):
    X = np.tile(blobs[0][:, :3, np.newaxis, np.newaxis], (1, 1, 2, 2))
    layers = [["InputImageLayer", {"n_images": 3, "n_pixels": 2}], ["GlobalAveragePoolLayer"], ["SoftmaxOutputLayer"]]
    found = NNClassifier(layers).predict_proba(X)
    exponentials = np.exp(blobs[0][:, :3])
    np.testing.assert_allclose(found, exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-4)


def test_images_may_come_as_vectors():
    layers = [["InputImageLayer", {"n_images": 1, "n_pixels": [4, 3]}], MLP[1]]
    classifier = NNClassifier(layers, rng=0)
    images = np.random.default_rng(0).normal(size=(6, 1, 4, 3))
    expected = classifier.predict_proba(images)
    for shape in ((6, 12), (6, 4, 3)):
        np.testing.assert_array_equal(classifier.predict_proba(images.reshape(shape)), expected)


# -- what is wrong with data -----------------------------------------------------------------------------------------


def with_value(X, row, value):
    X = X.copy()
    X[row, 2] = value
    return X


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: {"y": y[:-1]}, "got 240 rows of features and 239 of labels"),
        (lambda X, y: {"y": np.where(np.arange(240) == 7, 3, y)}, "training data: got the label 3 in row 7"),
        (lambda X, y: {"y": np.where(np.arange(240) == 7, -1, y)}, "got the label -1 in row 7"),
        (lambda X, y: {"y": y + 0.5}, "got the label .*5 in row 0"),
        (lambda X, y: {"y": np.where(np.arange(240) == 9, np.nan, y)}, "got a missing label in row 9"),
        (lambda X, y: {"y": np.array(list("abcd"))[np.arange(240) % 4]}, "got labels of 4 classes .'a', .*n_classes=4"),
        (lambda X, y: {"y": np.eye(3)[y]}, r"got labels of shape \(240, 3\).*one-hot"),
        (lambda X, y: {"y": None}, "got no labels; need one for each row"),
        (lambda X, y: {"X": Data(X), "y": None}, "training data: got no labels"),
        (lambda X, y: {"X": with_value(X, 11, np.nan)}, "training data: got nan in row 11 of the features"),
        (lambda X, y: {"X": with_value(X, 239, -np.inf)}, "got -inf in row 239"),
        (lambda X, y: {"valid": (with_value(X, 3, np.nan), y)}, "validation data: got nan in row 3"),
        (lambda X, y: {"test": (X, y + 1)}, "test data: got the label 3 in row"),
        (lambda X, y: {"X": X.astype(str)}, "got features of dtype <U32; need numbers"),
        (lambda X, y: {"X": [[1, 2], [3]], "y": [0, 1]}, "got examples of different sizes"),
        (lambda X, y: {"batch_size": 241}, "got batch_size=241 for 240 rows of training data"),
        (lambda X, y: {"batch_size": None}, "got no batch_size"),
        (lambda X, y: {"batch_size": 0}, "batch_size=0; need a whole number"),
        (lambda X, y: {"n_epochs": None}, "got no n_epochs"),
        (lambda X, y: {"n_epochs": -1}, "got n_epochs=-1"),
        (lambda X, y: {"valid": 0.9, "test": 0.5}, "got valid_frac=0.9 and test_frac=0.5 of 240 rows"),
        (lambda X, y: {"valid": 0.9, "test": 0.5, "shuffle": False}, "got valid=0.9 and test=0.5 of 240 rows"),
        (lambda X, y: {"X": Data(X, y), "y": None, "shuffle": True}, "got shuffle=True together with Data"),
        (lambda X, y: {"resume": True}, "got resume=True without a checkpoint"),
        (lambda X, y: {"change": ["sgd_type"], "sgd_type": "adam"}, "need arguments that may change while a training"),
        (lambda X, y: {"change": "momentum_rule"}, "got change=.* without momentum_rule"),
        (lambda X, y: {"interrupt": "ignore"}, "got interrupt 'ignore'"),
        (lambda X, y: {"data_check": "yes"}, "got data_check='yes'"),
        (lambda X, y: {"valid": 1.0}, "got valid=1.0; need .* less than 1"),
        (lambda X, y: {"valid": [1, 2, 3]}, "got valid=.*need a tuple"),
        (lambda X, y: {"X": Data(X, y), "y": None, "valid": 0.2}, "got valid=0.2; need a tuple"),
        (lambda X, y: {"X": Data(X, y)}, "got Data together with y"),
        (lambda X, y: {"X": DataWithHoldoutPartitions(X, y, 24), "y": None, "valid": 0.2}, "Partitions together with"),
        (lambda X, y: {"valid": (X[:, :4], y)}, r"validation data: got examples of shape \(4,\); .* built for \(5,\)"),
        (lambda X, y: {"train_loss": "nlll"}, 'got train_loss \'nlll\'.*try "nll"'),
        (lambda X, y: {"train_loss": "error"}, "which has no gradient"),
        (lambda X, y: {"valid_loss": "mse"}, "got valid_loss 'mse'; .*error, nll"),
        (lambda X, y: {"test_loss": ["nll", "eror"]}, 'got test_loss \'eror\'.*try "error"'),
        (lambda X, y: {"sgd_type": "adadelt"}, 'try "adadelta"'),
        (lambda X, y: {"lr_rule": {"rule": "stuck", "initial_value": 1}}, "got rule 'stuck'"),
        (lambda X, y: {"sgd_max_grad_norm": -1}, "got sgd_max_grad_norm=-1"),
        (lambda X, y: {"validation_frequency": 0}, "got validation_frequency=0"),
        (lambda X, y: {"X": Data(X, y, batch_size=30), "y": None}, "in batches of 30, and a training with"),
        (lambda X, y: {"checkpoint": "mine", "extra_metadata": {"f": print}}, "got metadata that cannot be stored"),
        (lambda X, y: {"augmentation": 3}, "got augmentation=3; need a function"),
        (lambda X, y: {"augmentation": lambda a, b, c: a}, "augmentation with 3 arguments"),
        (lambda X, y: {"X": "/nowhere/data.csv", "y": None}, "need a file that exists"),
    ],
)  # fmt: skip
def test_refuses_wrong_input_before_any_work(change, message, blobs, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def no_work(*arguments):
        raise AssertionError("work was begun")

    monkeypatch.setattr(nets.Run, "train", no_work)
    X, y = blobs
    arguments = {"X": X, "y": y} | change(X, y)
    with pytest.raises((TypeError, ValueError, FileNotFoundError), match=message):
        fitted(**arguments)


def test_refuses_data_of_another_shape_later(blobs):
    X, y = blobs
    classifier = fitted(X, y, n_epochs=1)
    with pytest.raises(ValueError, match=r"got examples of shape \(4,\); this network was built for \(5,\)"):
        classifier.fit(X[:, :4], y, n_epochs=2)
    with pytest.raises(ValueError, match=r"got examples of shape \(4,\); this network needs \(5,\)"):
        classifier.predict(X[:, :4])
    with pytest.raises(ValueError, match="got nan in row 6"):
        classifier.predict(with_value(X, 6, np.nan))
    with pytest.raises(ValueError, match="got 1e.39 in row 6 of the features; need at most 3.4e.38"):
        classifier.predict_proba(with_value(X, 6, 1e39))


def test_refuses_to_work_without_a_shape():
    with pytest.raises(RuntimeError, match="need n_in or fit"):
        NNClassifier(MLP).predict(np.zeros((2, 5)))


# -- parameters ------------------------------------------------------------------------------------------------------


def test_parameters_and_layers_by_name():
    classifier = NNClassifier(MLP, n_in=5)
    assert list(classifier.params.keys()) == ["fc1.W", "fc1.b", "output.W", "output.b"]
    assert classifier.n_params == 5 * 8 + 8 + 8 * 3 + 3
    assert classifier.get_layer("fc1") is classifier.layers_train[1]
    with pytest.raises(ValueError, match="layer name 'fc'.*try \"fc1\""):
        classifier.get_layer("fc")


def test_parameters_can_be_taken_over(tmp_path):
    source, target = NNClassifier(MLP, n_in=5, rng=1), NNClassifier(MLP, n_in=5, rng=2)
    name = files.checkpoint_write(tmp_path / "source", source)
    target.set_trainable_params(name, layers=["fc1"])
    np.testing.assert_array_equal(target.params["fc1.W"].get_value(), source.params["fc1.W"].get_value())
    for start in (source, str(name)):
        new = NNClassifier(MLP, n_in=5, rng=3, stored_network=start)
        np.testing.assert_array_equal(new.params["fc1.W"].get_value(), source.params["fc1.W"].get_value())


def test_names_of_classes_and_columns_are_copied_with_the_parameters(blobs):
    frame = pd.DataFrame(blobs[0], columns=list("abcde"))
    trained = NNClassifier(MLP, rng=1).fit(frame, np.array(["x", "y", "z"])[blobs[1]], n_epochs=1, batch_size=60)
    copy, body = (NNClassifier(MLP, n_in=5, rng=2) for _ in range(2))
    copy.set_trainable_params(trained)
    body.set_trainable_params(trained, layers=["fc1"])
    reordered = frame[list("edcba")]
    assert copy.predict(reordered).tolist() == trained.predict(frame).tolist()
    assert body.classes_.tolist() == [0, 1, 2] and body.feature_names_in_ is None
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        copy.fit(frame, np.array(["x", "y", "z"])[blobs[1]], n_epochs=1, batch_size=60)
        body.fit(*blobs, n_epochs=1, batch_size=60)


def test_score_takes_data_and_files(blobs, tmp_path):
    X, y = blobs
    classifier = NNClassifier(MLP, rng=1).fit(X, y, n_epochs=3, batch_size=60)
    expected = classifier.score(X, y)
    assert 0 < expected < 1
    pd.DataFrame(X).assign(label=y).to_csv(tmp_path / "x.csv", index=False)
    with open(tmp_path / "x.pkl", "wb") as file:
        pickle.dump(((X[:5], y[:5]), (X[:5], y[:5]), (X, y)), file)
    halves = Data(X / 2, 2 - y, alter_features=lambda X: 2 * X, alter_labels=lambda y: 2 - y, shuffle=True)
    for given in (Data(X, y, batch_size=7), tmp_path / "x.csv", str(tmp_path / "x.pkl"), halves):
        assert classifier.score(given) == expected
    with pytest.raises(ValueError, match=r"got no labels; need one for each row; try score\(X, y\)"):
        classifier.score(Data(X))


def test_copied_parameters_are_trained_whatever_the_best_were_before(blobs):
    X, y = blobs
    given = {"valid": (X, y), "batch_size": 24}
    classifier, start = NNClassifier(MLP, rng=1), NNClassifier(MLP, n_in=5, rng=2)
    classifier.fit(X, y, n_epochs=5, **given)
    best = classifier.network.get_values()
    classifier.set_trainable_params(start)
    again = pickle.loads(pickle.dumps(classifier))
    assert again.weights == classifier.weights == "parameters copied from another network"
    classifier.fit(X, y, n_epochs=6, lr_rule=1e-6, change="lr_rule", **given)
    for name, value in start.network.get_values().items():
        assert abs(classifier.params[name].get_value() - value).max() < 1e-2
    assert abs(classifier.params["fc1.W"].get_value() - best["fc1.W"]).max() > 0.1
    assert classifier.trainer.progress.best_epoch == 6 and "epoch 6" in classifier.weights


def test_parameters_that_do_not_fit_are_refused_and_nothing_changes():
    source = NNClassifier([["FCLayer", {"n_units": 8}], MLP[1]], n_in=6, rng=1)
    target = NNClassifier([["FCLayer", {"n_units": 8}], MLP[1]], n_in=5, rng=2)
    before = target.network.get_values()
    with pytest.raises(ValueError, match=r"got fc1.W of shape \(6, 8\) from the other network; need \(5, 8\)"):
        target.set_trainable_params(source)
    with pytest.raises(ValueError, match=r'got the parameter \'fc1.w\'.*try "fc1.W"'):
        target.set_trainable_params({"fc1.w": np.zeros((5, 8))})
    with pytest.raises(ValueError, match="the layer name 'fc9'"):
        target.set_trainable_params(source, layers=["fc9"])
    for name, value in before.items():
        np.testing.assert_array_equal(target.params[name].get_value(), value)


# -- pickling --------------------------------------------------------------------------------------------------------


def test_pickles_before_training(blobs):
    X, y = blobs
    for classifier in (NNClassifier(MLP, rng=1, batch_size=24), NNClassifier(MLP, rng=1, n_in=5, batch_size=24)):
        again = pickle.loads(pickle.dumps(classifier))
        assert_same(classifier.__getstate__(), again.__getstate__())
        again.fit(X, y, n_epochs=1), classifier.fit(X, y, n_epochs=1)
        assert_same_training(classifier, again)


def test_pickles_after_training_and_goes_on(blobs):
    X, y = blobs
    straight = fitted(X, y, n_epochs=6, valid=(X, y))
    halfway = fitted(X, y, n_epochs=3, valid=(X, y))
    again = pickle.loads(pickle.dumps(halfway))
    np.testing.assert_array_equal(again.predict_proba(X), halfway.predict_proba(X))
    again.fit(X, y, n_epochs=6, valid=(X, y))
    assert_same_training(again, straight)


def test_pickles_during_training_and_goes_on(blobs):
    X, y = blobs
    pickled = []
    classifier = NNClassifier(MLP, rng=1)

    class Spy(Reader):
        n_rows, shape = 240, (5,)

        def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
            for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
                if classifier.trainer is not None:
                    pickled.append(pickle.dumps(classifier))
                yield X[first:last]

    arguments = {"n_epochs": 2, "batch_size": 60, "sgd_type": "nag"}
    classifier.fit(Spy(), y, **arguments)
    assert len(pickled) == 8
    for pickle_ in pickled:
        again = pickle.loads(pickle_).fit(X, y, data_check=False, **arguments)
        assert_same_training(again, classifier, same_data=False)


def test_copies(blobs):
    classifier = fitted(*blobs, n_epochs=1)
    twin = copy.deepcopy(classifier)
    twin.fit(*blobs, n_epochs=2)
    assert classifier.trainer.progress.epoch == 1
    assert (twin.params["fc1.W"].get_value() != classifier.params["fc1.W"].get_value()).any()


def test_state_is_plain_data(blobs):
    def check(value):
        if isinstance(value, dict):
            return all(isinstance(key, str) for key in value) and all(map(check, value.values()))
        if isinstance(value, list | tuple):
            return all(map(check, value))
        return value is None or type(value) in (bool, int, float, str, np.ndarray)

    assert check(fitted(*blobs, n_epochs=1, valid=0.2, test=0.1).__getstate__())


def test_going_on_keeps_what_was_stored_and_says_so(blobs):
    X, y = blobs
    classifier = fitted(X, y, n_epochs=1)
    with pytest.warns(UserWarning, match=r"keeps its own: sgd_type='sgd' \(stored: 'adam'\);"):
        classifier.fit(X, y, n_epochs=2, sgd_type="sgd")
    assert classifier.trainer.sgd.sgd_type == "adam"
    assert classifier.trainer.progress.epoch == 2


# An argument of `fit` that has a default, and what a training was begun with instead.
BEGUN_WITH = {
    "sgd_type": "nag",
    "train_loss": "squared",
    "valid_loss": "error",
    "test_loss": ["squared"],
    "validate_on_train": True,
    "checkpoint_all": True,
}


DEFAULTS = {
    "sgd_type": "adadelta",
    "train_loss": "nll",
    "valid_loss": "nll",
    "test_loss": ["error", "nll"],
    "validate_on_train": False,
    "checkpoint_all": False,
}


def test_defaults_are_those_that_are_documented(blobs):
    settings = NNClassifier(MLP, rng=1).fit(*blobs, n_epochs=1, batch_size=60).trainer.settings
    sgd = NNClassifier(MLP, rng=1).fit(*blobs, n_epochs=1, batch_size=60).trainer.sgd
    found = {name: getattr(sgd if name == "sgd_type" else settings, name) for name in DEFAULTS}
    assert found == DEFAULTS


@pytest.mark.parametrize("name", BEGUN_WITH)
def test_resuming_with_a_default_that_the_training_does_not_have_warns(name, blobs, with_squares):
    X, y = blobs
    classifier = NNClassifier(with_squares, rng=1, batch_size=60)
    classifier.fit(X, y, valid=(X, y), n_epochs=1, **{name: BEGUN_WITH[name]})
    default = DEFAULTS[name]
    with pytest.warns(UserWarning, match=rf"{name}=.*stored: {re.escape(repr(BEGUN_WITH[name]))}"):
        classifier.fit(X, y, valid=(X, y), n_epochs=2, **{name: default})


@pytest.mark.parametrize("name", BEGUN_WITH)
def test_resuming_with_what_the_training_has_warns_of_nothing(name, blobs, with_squares):
    X, y = blobs
    classifier = NNClassifier(with_squares, rng=1, batch_size=60)
    classifier.fit(X, y, valid=(X, y), n_epochs=1, **{name: BEGUN_WITH[name]})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        classifier.fit(X, y, valid=(X, y), n_epochs=2)
        classifier.fit(X, y, valid=(X, y), n_epochs=3, **{name: BEGUN_WITH[name]})
    assert classifier.trainer.finished


def test_all_epochs_done_is_said(blobs, caplog):
    classifier = fitted(*blobs, n_epochs=1)
    before = classifier.network.get_values()
    with caplog.at_level("INFO", "arignote"), pytest.warns(UserWarning) as told:
        classifier.fit(*blobs)
    assert all(way in str(told[0].message) for way in ("n_epochs=2", "a new NNClassifier", "set_trainable_params"))
    assert told[0].filename == __file__
    assert "Compiling" not in caplog.text
    assert_same(before, classifier.network.get_values())


# -- the names of the first Arignote ---------------------------------------------------------------------------------


def test_parameters_are_a_list_of_variables_and_known_by_name():
    params = NNClassifier(MLP, n_in=5).params
    assert isinstance(params, list) and [param.name for param in params] == list(params.keys())
    assert params[0] is params["fc1.W"] and [*params.values()] == params[:] and dict(params)["fc1.b"] is params[1]
    assert "fc1.b" in params and params[1] in params and "fc9.b" not in params


def test_layers_of_both_networks_by_name():
    classifier = NNClassifier(MLP, n_in=5)
    assert classifier.get_layer("fc1") is classifier.layers_train[1]
    assert classifier.get_layer("fc1", inf=True) is classifier.layers_inf[1]


def test_a_network_is_made_again_from_its_arguments(blobs):
    first = fitted(*blobs, n_epochs=1)
    again = NNClassifier(**first.get_init_params())
    fitted_again = again.fit(*blobs, n_epochs=1, batch_size=24, sgd_type="adam", lr_rule=0.02)
    assert_same_params(first, fitted_again)
    unbuilt = NNClassifier(MLP, rng=3, name="mine", batch_size=7).get_init_params()
    assert (unbuilt["n_in"], unbuilt["rng"], unbuilt["batch_size"], unbuilt["name"]) == (None, 3, 7, "mine")


def test_a_seed_can_be_set_before_training(blobs):
    given = {"n_epochs": 1, "batch_size": 24}
    start = NNClassifier(DROPPED, n_in=5, rng=1)
    other = NNClassifier(DROPPED, n_in=5, rng=2, stored_network=start)
    start.set_rng(2)
    assert_same_params(start.fit(*blobs, **given), other.fit(*blobs, **given))
    with pytest.raises(RuntimeError, match="got set_rng for a network whose training has begun"):
        start.set_rng(3)


def test_losses_are_expressions_with_and_without_decay(float64):
    layers = [["FCLayer", {"n_units": 4, "l1": 0.1, "l2": 0.2}], ["DropoutLayer", {"dropout_p": 0.5}], MLP[1]]
    classifier = NNClassifier(layers, n_in=5, rng=1)
    classifier.compile()
    X, y = np.random.default_rng(0).normal(size=(6, 5)), np.arange(6) % 3
    network, W = classifier.network, classifier.params["fc1.W"].get_value()
    network.params["output.W"].set_value(np.random.default_rng(1).normal(size=(4, 3)))
    proba = classifier.predict_proba(X)
    plain = -np.log(proba[np.arange(6), y]).mean()

    def value(expression, *variables):
        return engine.function([network.x, *variables], expression)(X, *(y.astype(each.dtype) for each in variables))

    labels = tensor.lvector()
    given = {"inference": True}
    np.testing.assert_allclose(value(classifier.get_loss("nll", labels, **given), labels), plain)
    np.testing.assert_allclose(value(classifier.get_loss("nll", **given), network.y), plain)
    decay = 0.1 * abs(W).sum() + 0.2 * (W**2).sum()
    found = value(classifier.get_loss("nll", labels, regularized=True, **given), labels)
    np.testing.assert_allclose(found, plain + decay)
    np.testing.assert_allclose(engine.function([], classifier.l1 + classifier.l2_sqr)(), decay)
    assert classifier.get_loss("nll") is not None
    with pytest.raises(ValueError, match="got name 'nlll'"):
        classifier.get_loss("nlll")


def test_the_size_of_minibatches_given_to_fit_counts(blobs):
    classifier = NNClassifier(MLP, rng=1, batch_size=7).fit(*blobs, n_epochs=1, batch_size=24)
    assert classifier.trainer.settings.batch_size == 24


# -- text ------------------------------------------------------------------------------------------------------------


def test_print_shows_the_layers():
    text = str(NNClassifier(MLP, name="Mine", n_in=5))
    assert text.startswith("Mine: 3 layers, 75 parameters")
    assert "fc1      FCLayer                   5 -> 8 " in text


def test_both_networks_share_parameters_while_training(blobs):
    classifier = fitted(*blobs, n_epochs=1)
    layer = classifier.layers_inf[1]
    X = blobs[0].astype(engine.float_type())
    found = engine.function([classifier.network.x], layer.output)(X)
    params = classifier.network.get_values()
    np.testing.assert_allclose(found, np.tanh(X @ params["fc1.W"] + params["fc1.b"]), rtol=1e-3, atol=1e-5)


def test_a_replaced_loss_is_named_once():
    class DoubledOutputLayer(ClassificationOutputLayer):
        def nll(self, y):
            return 2 * super().nll(y)

    output = NNClassifier([MLP[0], [DoubledOutputLayer, {"n_classes": 3}]], n_in=5).network.output_layer
    assert output.trainable_losses() == ["nll"]
    assert output.losses() == ["nll", "error"]
    del LAYERS["DoubledOutputLayer"]


@pytest.mark.parametrize("name", ["nll", "error"])
def test_a_loss_replaced_with_other_arguments_is_refused(name, blobs):
    replaced = type("ReplacedOutputLayer", (ClassificationOutputLayer,), {})
    setattr(replaced, name, lambda self, labels: self.output.mean())
    X, y = blobs
    try:
        with pytest.raises(ValueError, match=rf"got a method {name}\(self, labels\); need the arguments \(self, y\)"):
            NNClassifier([MLP[0], [replaced, {"n_classes": 3}]], rng=0).fit(X, y, n_epochs=1, batch_size=24)
    finally:
        del LAYERS["ReplacedOutputLayer"]


def test_metadata_with_arrays_can_be_given_again(blobs):
    classifier = fitted(*blobs, n_epochs=1, extra_metadata={"mean": np.arange(3)})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        classifier.fit(*blobs, n_epochs=2, extra_metadata={"mean": np.arange(3)})
    with pytest.warns(UserWarning, match="extra_metadata="):
        classifier.fit(*blobs, n_epochs=3, extra_metadata={"mean": np.arange(4)})
