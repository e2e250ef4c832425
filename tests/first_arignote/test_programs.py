"""Each area of the first Arignote, called as its users called it: names, order of arguments, defaults, meaning."""

import numpy as np
import pytest

from arignote.nnets.nets import NNClassifier
from tests.helpers import MLP

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 5)).astype("float32")
y = X[:, :3].argmax(axis=1)


@pytest.fixture(autouse=True)
def _quick(quick):
    """Nothing here depends on C."""


# -- readers ---------------------------------------------------------------------------------------------------------


def test_readers_and_data():
    from arignote.data import reader, readers

    class Squares(readers.Reader):
        def __init__(self, data_src):
            super().__init__(data_src)

        def iter_epoch(self, batch_size, start=0, stop=None, start_on_batch=True, allow_partial=False):
            for first, last in self.spans(batch_size, start, stop, start_on_batch, allow_partial):
                yield self.data_src[first:last] ** 2

    squares = Squares(X)
    assert (len(squares), squares.ndim, squares.shape, squares.data_src is X) == (300, 2, (5,), True)
    assert readers.ArrayReader(X).dtype == np.float32
    assert squares.get_start_row(0.5, 128) == 128 and squares.get_start_row(130, 128) == 128
    assert (
        squares.get_stop_row(0.5, 64) == 128 and squares.get_stop_row(None, 64) == squares.get_stop_row(1.0, 64) == 300
    )
    data = readers.Data(squares, y)
    assert len(data) == 300 and [len(labels) for _, labels in data.iter_epoch()] == [128, 128, 44]
    features, labels = data.peek()
    np.testing.assert_array_equal(features, X[:128] ** 2)
    np.testing.assert_array_equal(labels, y[:128])
    for batches in (data.iter_epoch(num_cached=5), data.iter_epoch(0), data.iter_epoch_single()):
        np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), y)
    assert reader.Data is readers.Data and reader.DataWithHoldoutPartitions is readers.DataWithHoldoutPartitions
    with pytest.raises(AttributeError, match="no attribute 'Dato'"):
        reader.Dato  # noqa: B018


def test_partitions_hold_out_a_tenth_each_by_default():
    from arignote.data.readers import DataWithHoldoutParitions, to_data_partitions

    parts = DataWithHoldoutParitions(X, y, 10)
    assert (parts.train.n_rows, parts.valid.n_rows, parts.test.n_rows) == (240, 30, 30)
    assert [labels.tolist() for _, labels in parts.iter_epoch("valid")] == [
        y[i : i + 10].tolist() for i in (240, 250, 260)
    ]
    assert len(list(parts.iter_epoch())) == 24 and DataWithHoldoutParitions(X, y).batch_size == 128
    assert to_data_partitions(parts) is parts and to_data_partitions(X, y, 10).test.n_rows == 30
    with pytest.raises(ValueError, match="got which='valid', but no rows are held out for it; try valid_frac=0.1"):
        DataWithHoldoutParitions(X, y, 10, 0).iter_epoch("valid")


def test_functions_that_make_readers():
    from arignote.data.readers import ArrayReader, Data, get_reader, threaded_generator, to_data_object

    assert isinstance(get_reader(X), ArrayReader) and list(threaded_generator(iter(range(9)), 2)) == list(range(9))
    data = to_data_object(X, y)
    assert isinstance(data, Data) and data.batch_size == 128 and to_data_object(data) is data


def test_data_without_a_batch_size_are_trained_on_in_batches_of_128():
    from arignote.data.readers import Data

    classifier = NNClassifier(MLP, rng=0).fit(Data(X, y), n_epochs=1)
    assert classifier.trainer.settings.batch_size == 128
    assert NNClassifier(MLP, rng=0, batch_size=50).fit(Data(X, y), n_epochs=1).trainer.settings.batch_size == 50


def test_a_color_of_a_file(tmp_path):
    from arignote.data.readers import HDFReader, HDFWriter

    images = rng.integers(256, size=(10, 3, 4, 4), dtype="uint8")
    with HDFWriter(tmp_path / "x.h5") as writer:
        writer.append(images=images)
    (found,) = HDFReader(tmp_path / "x.h5", "images").iter_epoch(10, color=1)
    np.testing.assert_array_equal(found, images[:, 1:2])


# -- names of functions, losses and optimizers -------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "today"), [("rec", "relu"), ("REC_PARA", "prelu"), ("sig", "sigmoid"),
                                             ("relu_max", "relu"), ("PReLU_Shelf", "prelu_shelf")])  # fmt: skip
def test_activations_under_their_old_names(name, today):
    from arignote.nnets.activations import get_activation_func, standardize_activation_name

    assert standardize_activation_name(name) == today
    assert get_activation_func(name) is get_activation_func(today)
    old, new = (NNClassifier([["FCLayer", {"n_units": 4, "activation": each}], MLP[1]], n_in=5, rng=1)
                for each in (name, today))  # fmt: skip
    np.testing.assert_array_equal(old.predict_proba(X), new.predict_proba(X))
    assert list(old.params.keys()) == list(new.params.keys())


def test_old_names_make_no_message_worse():
    with pytest.raises(ValueError, match=r'got activation .rell.; .*try "relu"') as told:
        NNClassifier([["FCLayer", {"n_units": 4, "activation": "rell"}], MLP[1]])
    assert "rec_para" not in str(told.value)


def test_the_loss_under_its_long_name():
    given = {"n_epochs": 1, "batch_size": 100, "valid": (X, y)}
    old = NNClassifier(MLP, rng=1).fit(X, y, **given, train_loss="negative_log_likelihood",
                                       valid_loss="negative_log_likelihood", test=(X, y),
                                       test_loss=["negative_log_likelihood"])  # fmt: skip
    assert {"train_nll", "valid_nll", "test_nll"} <= set(old.trainer.history[0])
    old.fit(X, y, **given | {"n_epochs": 2}, train_loss="negative_log_likelihood", test=(X, y))  # warns of nothing
    assert old.get_loss("negative_log_likelihood") is not None


def test_an_optimizer_as_sgd_type():
    from arignote.nnets.sgd_update import SGD, Rule

    rule = Rule("stalled", 0.1, multiply_by=0.5, interval=2)
    one = NNClassifier(MLP, rng=1).fit(X, y, n_epochs=1, batch_size=100, sgd_type=SGD("nag", rule, 0.8, 2.0))
    other = NNClassifier(MLP, rng=1).fit(X, y, n_epochs=1, batch_size=100, sgd_type="nag", lr_rule=rule,
                                         momentum_rule=0.8, sgd_max_grad_norm=2.0)  # fmt: skip
    for name, value in other.network.get_values().items():
        np.testing.assert_array_equal(one.params[name].get_value(), value)
    assert one.trainer.sgd.lr_rule.definition() == rule.definition()
    beside = NNClassifier(MLP, rng=1).fit(X, y, n_epochs=1, batch_size=100, sgd_type=SGD("nag", rule), lr_rule=0.3)
    assert beside.trainer.sgd.lr_rule.value == 0.3


# -- helpers -----------------------------------------------------------------------------------------------------------


def test_helpers():
    from arignote.util import misc

    labels = np.repeat([0, 1, 2], [100, 50, 10])
    kept, held_out = misc.stratified_holdout(labels, 0.2, 1)
    assert np.bincount(labels[held_out]).tolist() == [20, 10, 2]
    assert sorted([*kept, *held_out]) == list(range(160))
    assert misc.stratified_holdout(labels, 0.2, 1)[1].tolist() == held_out.tolist()
    assert misc.stratified_holdout(labels, 0.2, 2)[1].tolist() != held_out.tolist()
    order = misc.stratified_shuffle(labels, 1)
    assert sorted(order) == list(range(160)) and order.tolist() != misc.stratified_shuffle(labels, 2).tolist()
    for start in range(0, 160, 16):
        assert abs(np.bincount(labels[order[start : start + 16]], minlength=3) - [10, 5, 1]).max() <= 1
    assert misc.as_list("ab") == ["ab"] and misc.as_list((1, 2)) == [1, 2] and misc.as_list(np.arange(2)) == [0, 1]
    assert list(misc.flatten([1, [2, [3]], (4,)])) == [1, 2, 3, 4]
    assert misc.is_floatlike("1.5") and not misc.is_floatlike([1]) and not misc.is_listlike("ab")
    kind = misc.get_tensor_type_from_data(np.ones((2, 3, 4), "float32"))
    assert (kind.ndim, kind.dtype) == (3, "float32")


def test_messages_of_a_logger(capsys):
    import logging

    from arignote.util import netlog

    logger = netlog.setup_logging("arignote.mine", logging.DEBUG)
    try:
        assert netlog.setup_logging("arignote.mine", "DEBUG") is logger and len(logger.handlers) == 1
        logger.debug("hello")
        assert "hello" in capsys.readouterr().err
    finally:
        logger.handlers.clear()


def test_a_plot_of_the_cost(tmp_path):
    pytest.importorskip("matplotlib")
    from arignote.util import plotting

    classifier = NNClassifier(MLP, rng=1).fit(
        X, y, n_epochs=3, batch_size=100, valid=(X, y), checkpoint=tmp_path / "mine"
    )
    axes = plotting.show_cost(classifier)
    assert [line.get_xdata().tolist() for line in axes.lines] == [[2, 5, 8]] * 2
    again = plotting.show_cost({"valid_loss": classifier.trainer.valid_loss, "train_loss": []}, axes=axes)
    assert again is axes and len(axes.lines) == 3
    assert len(plotting.show_cost(tmp_path / "mine", plot_train=False).lines) == 1


# -- the examples ------------------------------------------------------------------------------------------------------


def test_the_examples_are_importable_and_resume(tmp_path, monkeypatch):
    from arignote.examples import mnist

    small = [(rng.random((256, 784), dtype="float32"), rng.integers(10, size=256)) for _ in range(3)]
    monkeypatch.setattr(mnist, "read_pickle", lambda name: small)
    monkeypatch.setitem(mnist.NETS, "conv", (*mnist.NETS["conv"][:3], 1))
    monkeypatch.setitem(mnist.NETS, "seed", (*mnist.NETS["seed"][:3], 1))
    assert mnist.fit_mnist_mlp(tmp_path / "mlp").trainer.epoch == 1
    assert mnist.fit_mnist_small_mlp(2, tmp_path / "small").get_layer("fc1").params["b"].get_value().shape == (128,)
    conv = mnist.fit_mnist_conv(checkpoint=tmp_path / "conv")
    assert conv.get_layer("fc1").input_shape == (32, 6, 6)
    with pytest.warns(UserWarning, match="All 1 epochs"):
        again = mnist.load_and_train(tmp_path / "conv", tmp_path / "more")
    np.testing.assert_array_equal(again.predict_proba(small[0][0]), conv.predict_proba(small[0][0]))


# -- definitions of layers -------------------------------------------------------------------------------------------


def test_layers_under_other_names_and_as_objects():
    from arignote.nnets import layers

    entries = [
        ["Input"], ["FC", {"n_units": 6, "activation": "REC"}], ["MaxPoolChannels", {"k": 2}],
        ["Dropout", {"dropout_p": 0.1}],
        ["ClassificationOutput", {"n_classes": 3}],
    ]  # fmt: skip
    objects = [
        layers.InputLayer(), layers.FCLayer(6, activation="relu"), layers.MaxPoolChannelsLayer(2),
        layers.DropoutLayer(0.1), layers.ClassificationOutputLayer(n_classes=3),
    ]  # fmt: skip
    one, other = NNClassifier(entries, n_in=5, rng=1), NNClassifier(objects, n_in=5, rng=1)
    assert one.layer_defs == other.layer_defs
    assert one.layer_defs[1] == ["FCLayer", {"n_units": 6, "activation": "relu", "name": "fc1"}]
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    with pytest.raises(ValueError, match="got the type 'FCC'.*try \"FCLayer\""):
        NNClassifier([["FCC", {"n_units": 6}], MLP[1]])


OF_ALL = {"l1": 0.0, "l2": 0.1, "maxnorm": None, "fix_params": False, "may_train_unsupervised": True,
          "corruption_level": 0.3, "batch_size": 128, "partial_sum": 1, "clip": 1}  # fmt: skip


@pytest.mark.parametrize(
    "layer", [["FCLayer", {"n_units": 8, "name": "it"}], ["DropoutLayer", {"dropout_p": 0.2, "name": "it"}]]
)
def test_every_layer_takes_what_all_took(layer):
    name, params = layer
    classifier = NNClassifier([[name, params | OF_ALL], MLP[1]], n_in=5, rng=1)
    kept = {"l1", "l2", "maxnorm", "fix_params"} if name == "FCLayer" else set()
    assert set(classifier.layer_defs[1][1]) == set(params) | kept
    with pytest.raises(ValueError, match="got the parameter 'corruption'; need one that this layer takes"):
        NNClassifier([[name, params | {"corruption": 0.3}], MLP[1]])


def test_weights_biases_and_slopes_can_be_given():
    W, b = rng.normal(size=(5, 4)), rng.normal(size=4)
    given = {"n_units": 4, "activation": "prelu_shelf", "W": W, "b": b, "act_func_args": (0.5, [0.1, 0.2, 0.3, 0.4])}
    layers = [["FCLayer", given], MLP[1]]
    for classifier in (
        NNClassifier(layers, n_in=5, rng=1),
        NNClassifier(layers, rng=1).fit(X, y, n_epochs=1, batch_size=300, lr_rule=1e-30),
    ):
        params = classifier.params
        for name, value in (("W", W), ("b", b), ("slope", np.full(4, 0.5)), ("shelf", [0.1, 0.2, 0.3, 0.4])):
            np.testing.assert_allclose(params[f"fc1.{name}"].get_value(), value, rtol=1e-6)
        assert set(classifier.layer_defs[1][1]) == {"n_units", "activation", "name"}
    with pytest.raises(ValueError, match=r"got fc1.W of shape \(5, 3\) from the definition; need \(5, 4\)"):
        NNClassifier([["FCLayer", given | {"W": W[:, :3]}], MLP[1]], n_in=5)
    with pytest.raises(ValueError, match="got act_func_args=.*need 1: slope"):
        NNClassifier([["FCLayer", {"n_units": 4, "act_func_args": [1, 2]}], MLP[1]], n_in=5)
