"""Networks that the first Arignote stored: convolutions, pools, maxout, mlpconv, in each of its formats."""

import contextlib
import gzip
import os
import pickle

import numpy as np
import pytest

from arignote.checkpoint import stores
from arignote.data import files
from arignote.nnets.nets import NNClassifier
from tests.checkpoint import first_files
from tests.checkpoint.first_files import Named, Record
from tests.helpers import MLP, assert_same_params

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _quick(quick):
    """Nothing here depends on C."""


def random(*shape):
    return RNG.normal(size=shape).astype("f4")


def conv(maps, channels, size, is_cuda):
    return random(channels, size, size, maps) if is_cuda else random(maps, channels, size, size)


def layers_of(is_cuda=False):
    """Return (kind, arguments, arrays) for each layer of a network on images of 2 channels, 10 x 10 pixels."""
    shelf = {"activation": "prelu_shelf", "partial_sum": 1, "batch_size": 4}
    return [
        ("InputImageLayer", {"name": "input", "n_images": 2, "n_pixels": [10, 10]}, []),
        ("BC01ToC01BLayer", {"name": "to"}, []),
        ("ConvLayer", {"name": "conv1", "n_output_maps": 5, "filter_shape": (3, 3), **shelf},
         [conv(5, 2, 3, is_cuda), random(5), random(5), abs(random(5))]),
        ("MaxPool2DLayer", {"name": "pool1", "pool_shape": (2, 2), "stride": (2, 2)}, []),
        ("MLPConvLayer", {"name": "mlp", "n_output_maps": 4, "filter_shape": (2, 2), "n_units": [6, 7],
                          "activation": "prelu"},
         [conv(6, 5, 2, is_cuda), random(6), random(6), conv(7, 6, 1, is_cuda), random(7), random(7),
          conv(4, 7, 1, is_cuda), random(4), random(4)]),
        ("ConvMaxoutLayer", {"name": "mx1", "n_output_maps": 3, "filter_shape": [2, 2], "maxout_k": 2, "l1": 0.001},
         [conv(3, 4, 2, is_cuda), conv(3, 4, 2, is_cuda), random(3), random(3)]),
        ("C01BToBC01Layer", {"name": "back"}, []),
        ("FCMaxoutLayer", {"name": "mx2", "n_units": 6, "maxout_k": 3},
         [random(12, 6), random(12, 6), random(12, 6), random(6), random(6), random(6)]),
        ("DropoutLayer", {"name": "lyr2", "dropout_p": 0.5}, []),
        ("FCLayer", {"name": "lyr3", "n_units": 5, "activation": "tanh", "corruption_level": 0.2,
                     "fix_params": ["W_lyr3"]}, [random(6, 5), random(5)]),
        ("ClassificationOutputLayer", {"name": "output", "n_classes": 3}, [random(5, 3), random(3)]),
    ]  # fmt: skip


def definitions(layers):
    """Return what the user wrote: not all layers have a name, nor "Layer" in their type; some are layers."""
    found = [[kind, dict(arguments)] for kind, arguments, _ in layers]
    for entry in found:
        if entry[1]["name"].startswith("lyr"):
            del entry[1]["name"]
    found[-1][0] = "ClassificationOutput"
    for i, layer in enumerate(layers):
        if layer[0] in ("FCMaxoutLayer", "DropoutLayer"):
            found[i] = Record(f"arignote.nnets.layers.{layer[0]}", state_of(*layer))
    return found


def trainable(kind, arguments, arrays):
    """Return the parameters of a layer in the form of its pickled state."""
    if "Maxout" in kind:
        return {"W": arrays[: arguments["maxout_k"]], "b": arrays[arguments["maxout_k"] :]}
    if kind == "MLPConvLayer":
        return {"W": arrays[::3], "b": arrays[1::3], "act_func_args": [[a] for a in arrays[2::3]]}
    form = dict(zip(("W", "b"), arrays, strict=False))
    return form | ({"act_func_args": arrays[2:], "bvis": None} if kind in ("FCLayer", "ConvLayer") else {})


def state_of(kind, arguments, arrays):
    more = {"n_in": (3,), "l1": 0, "l2": 0, "maxnorm": None, "fix_params": False, "may_train_unsupervised": True}
    return more | arguments | {"trainable_params": trainable(kind, arguments, arrays)}


def built(layers, is_cuda):
    """Return the layers of the network: without a GPU there was no reordering."""
    return [layer for layer in layers if is_cuda or layer[0] not in stores.REORDERING]


INIT = {"n_in": np.array([200]), "name": "Old", "batch_size": 4, "stored_network": None}
NETWORK = "arignote.nnets.nets.NNClassifier"
INPUT = ("InputLayer", {"name": "input"}, [])


def checkpoint(path, layers, is_cuda):
    """Write a checkpoint of version 3.0, of a network that was not trained."""
    state = INIT | {
        "layer_defs": definitions(layers),
        "layers_train": [
            Record(f"arignote.nnets.layers.{layer[0]}", state_of(*layer)) for layer in [INPUT, *built(layers, is_cuda)]
        ],
        "layers_inf": [],
        "rng": np.random.RandomState(3).get_state(),
        "trainer": None,
    }
    header = {"model_store_version": "3.0", "model_name": "Old", "model_type": Named(NETWORK), "utc_time": "then"}
    return first_files.write(path, header, Record(NETWORK, state))


def named_arrays(layer):
    """Return the arrays of a layer with names; only their order counts."""
    _, arguments, arrays = layer
    return arguments["name"], [(f"p{i}_{arguments['name']}", array) for i, array in enumerate(arrays)]


def metadata(layers, is_cuda, version):
    arrays = [entry for layer in built(layers, is_cuda) for entry in named_arrays(layer)[1]]
    return {
        "model_store_version": version,
        "model_name": "Old",
        "model_type": Named(NETWORK),
        "params": [(name, first_files.tensor_type(array), array.ndim) for name, array in arrays],
        "utc_time": "then",
        "init_params": INIT | {"layer_defs": definitions(layers)},
        "note": 5,
    }


def store_2(path, layers, is_cuda, **change):
    params = [named_arrays(layer) for layer in [INPUT, *built(layers, is_cuda)]]
    rules = [(name, [{"maxnorm": None}] * len(arrays)) for name, arrays in params]
    found = metadata(layers, is_cuda, "2.0") | change
    return first_files.write(path, {"metadata": found, "params": params, "param_update_rules": rules})


def store_1(path, layers, is_cuda, **change):
    arrays = [array for _, _, own in layers for array in own]
    return first_files.write(path, metadata(layers, is_cuda, "1.0") | change, *arrays)


WRITERS = {"3.0": checkpoint, "2.0": store_2, "1.0": store_1}


@pytest.mark.parametrize("is_cuda", [False, True], ids=["cpu", "gpu"])
@pytest.mark.parametrize("version", WRITERS)
def test_a_network_of_each_kind_of_layer_predicts_what_it_predicted(version, is_cuda, tmp_path):
    layers = layers_of(is_cuda)
    path = WRITERS[version](tmp_path / "old.pkl.gz", layers, is_cuda)
    classifier, found = files.checkpoint_read(path, get_metadata=True)
    X = random(6, 200)
    expected = first_files.predicted(layers, X, is_cuda)
    assert expected.std() > 0.1
    np.testing.assert_allclose(classifier.predict_proba(X), expected, atol=2e-6)
    assert found["model_type"] == NETWORK and classifier.name == "Old"
    assert classifier.get_layer("4" if version == "1.0" else "lyr3").fix_params == ["W"]
    if version != "3.0":
        assert classifier.weights == "parameters copied from another network"
        assert found["params"][0] == ("p0_conv1", "theano.tensor.type.TensorType", 4) and found["note"] == 5


TUNED = ("partial_sum", "batch_size", "corruption_level", "fix_params")


@pytest.mark.parametrize("is_cuda", [False, True], ids=["cpu", "gpu"])
@pytest.mark.parametrize("version", ["2.0", "1.0"])
def test_a_store_is_restored_into_a_network_of_other_names(version, is_cuda, tmp_path):
    layers = layers_of(is_cuda)
    path = WRITERS[version](tmp_path / "old.pkl.gz", layers, is_cuda, init_params={})
    names = {"conv1": "one", "lyr3": "three_hl", "output": "hl"}
    here = [[kind, {name: arguments[name] for name in arguments if name not in TUNED}] for kind, arguments, _ in layers]
    for _, arguments in here:
        arguments["name"] = names.get(arguments["name"])
    model = NNClassifier(here, n_in=200, rng=0)
    X = random(6, 200)
    for skip_hl in (True, False):
        earlier = model.network.get_values()
        same, found = files.restore_model(str(path), model, input=None, skip_hl=skip_hl)
        assert same is model and found["note"] == 5
        for name in ("three_hl.W", "hl.b"):
            assert (model.network.get_values()[name] == earlier[name]).all() is np.bool_(skip_hl)
    np.testing.assert_allclose(model.predict_proba(X), first_files.predicted(layers, X, is_cuda), atol=2e-6)
    with pytest.raises(files.CheckpointError, match=r"does not define its layers.*restore_model\(filename, model="):
        files.restore_model(path)


def test_images_without_an_image_layer(tmp_path):
    """Each layer took images as vectors then, or convolutions took them as they came."""
    dense = [("FCLayer", {"name": "fc", "n_units": 4, "activation": "relu"}, [random(12, 4), random(4)]),
             ("ClassificationOutputLayer", {"name": "output", "n_classes": 3}, [random(4, 3), random(3)])]  # fmt: skip
    conv1 = {"name": "conv1", "n_output_maps": 4, "filter_shape": (3, 3), "activation": "linear"}
    mean = ("GlobalAveragePoolLayer", {"name": "mean"}, [])
    pixels = [("ConvLayer", conv1, [random(4, 2, 3, 3), random(4)]), mean, dense[1]]
    for layers, shape in ((dense, (3, 4)), (pixels, (2, 5, 4)), ([INPUT, *dense], (3, 4)), (dense, (12,))):
        init = INIT | {"n_in": np.array(shape), "layer_defs": [[kind, arguments] for kind, arguments, _ in layers]}
        path = store_2(tmp_path / "old.pkl.gz", layers, False, init_params=init)
        X = random(6, *shape)
        found = files.restore_model(path)[0].predict_proba(X)
        np.testing.assert_allclose(found, first_files.predicted(layers, X), atol=2e-6)


def test_a_maxout_has_five_linear_functions_by_default(tmp_path):
    arrays = [*(random(4, 3) for _ in range(5)), *(random(3) for _ in range(5))]
    layers = [("FCMaxoutLayer", {"name": "mx", "n_units": 3}, arrays),
              ("ClassificationOutputLayer", {"name": "output", "n_classes": 3}, [random(3, 3), random(3)])]  # fmt: skip
    init = INIT | {"n_in": [4], "layer_defs": [[kind, arguments] for kind, arguments, _ in layers]}
    X = random(6, 4)
    complete = [(layers[0][0], layers[0][1] | {"maxout_k": 5}, arrays), layers[1]]
    for version in ("1.0", "2.0"):
        read, _ = files.restore_model(WRITERS[version](tmp_path / "old.pkl.gz", complete, False, init_params=init))
        np.testing.assert_allclose(read.predict_proba(X), first_files.predicted(complete, X), atol=2e-6)
    files.save_model(read, tmp_path / "mine.pkl.gz")
    assert_same_params(files.restore_model(tmp_path / "mine.pkl.gz")[0], read)


def test_what_is_saved_is_restored(tmp_path):
    layers = layers_of()
    files.restore_model(store_2(tmp_path / "old.pkl.gz", layers, False))
    classifier = files.checkpoint_read(tmp_path / "old.pkl.gz")
    files.save_model(classifier, f"{tmp_path}/new/mine.pkl.gz", {"note": 6})
    again, found = files.restore_model(f"{tmp_path}/new/mine.pkl.gz")
    assert_same_params(again, classifier)
    assert found["note"] == 6 and found["model_store_version"] == "2.0" and found["utc_time"]
    other = NNClassifier(classifier.layer_defs, n_in=200, rng=5)
    files.restore_model(f"{tmp_path}/new/mine.pkl.gz", other)
    assert_same_params(other, classifier)


def test_a_store_has_the_form_of_the_first_arignote(tmp_path):
    """It can be opened by Python alone, and its arrays are as they were read."""
    layers = layers_of()
    classifier = files.checkpoint_read(store_2(tmp_path / "old.pkl.gz", layers, False))
    files.save_model(classifier, tmp_path / "mine.pkl.gz")
    with gzip.open(tmp_path / "mine.pkl.gz") as file:
        found = pickle.load(file)
    expected = [named_arrays(layer) for layer in [INPUT, *built(layers, False)]]
    assert [name for name, _ in found["params"]][:4] == ["input", "input", "conv1", "pool1"]
    for (_, arrays), (_, own) in zip(found["params"], expected, strict=True):
        for (_, array), (_, other) in zip(arrays, own, strict=True):
            np.testing.assert_array_equal(array, other)
    names = [name for _, arrays in found["params"] for name, _ in arrays]
    assert names[:4] == ["W_conv1", "b_conv1", "a_conv1", "c_conv1"]
    assert {"W_mlp_internal0", "a_mlp_internal2", "W_mx1_0", "b_mx2_2", "W_lyr3", "b_output"} < set(names)
    assert [entry[0] for entry in found["metadata"]["params"]] == names
    assert found["metadata"]["init_params"]["n_in"] == [200]
    assert dict(found["param_update_rules"])["conv1"] == [{"maxnorm": None}] * 4
    fixed = [["FCLayer", {"n_units": 8, "fix_params": True, "maxnorm": 2.0}], MLP[1]]
    files.save_model(NNClassifier(fixed, n_in=5), tmp_path / "mine.pkl.gz")
    found = files.read_pickle(tmp_path / "mine.pkl.gz")
    assert [name for name, _ in found["params"]] == ["input", "fc1", "output"]
    assert [entry[0] for entry in found["metadata"]["init_params"]["layer_defs"]] == [fixed[0][0], MLP[1][0]]
    assert found["param_update_rules"][1] == ("fc1", [{"maxnorm": 2.0, "fixed": True}] * 3)


def test_a_checkpoint_is_restored_as_well(tmp_path):
    one, other = (NNClassifier(MLP, n_in=5, rng=seed) for seed in (1, 2))
    path = files.checkpoint_write(one, None, tmp_path / "mine.pkl.gz")
    assert files.restore_model(path, other)[0] is other
    assert_same_params(one, other)
    assert_same_params(files.restore_model(path)[0], one)


@pytest.mark.parametrize("version", ["2.0", "1.0"])
def test_parameters_that_do_not_fit_are_refused(version, tmp_path):
    layers = layers_of()
    path = WRITERS[version](tmp_path / "old.pkl.gz", layers, False)
    for wrong in (MLP, [["FCLayer", {"n_units": 2}], *MLP[1:]]):
        with pytest.raises(TypeError, match=r"old.pkl.gz: got .* need .*; try a network of the same layers"):
            files.restore_model(path, NNClassifier(wrong, n_in=5))
    files.save_model(NNClassifier(MLP, n_in=5), tmp_path / "mlp.pkl.gz")
    with pytest.raises(TypeError, match="got a store of 2 layers with weights; need 3"):
        files.restore_model(tmp_path / "mlp.pkl.gz", NNClassifier([MLP[0], *MLP], n_in=5))
    cut = [*layers[:-1], (*layers[-1][:2], layers[-1][2][:1])]
    path = WRITERS[version](tmp_path / "old.pkl.gz", cut, False)
    with pytest.raises(files.CheckpointError, match=r"old.pkl.gz: got (1 arrays|a store of) .*need"):
        files.restore_model(path)
    files.checkpoint_write(NNClassifier(MLP, n_in=5), None, tmp_path / "new.pkl.gz")
    with pytest.raises(TypeError, match=r"new.pkl.gz: got fc1.W of shape"):
        files.restore_model(tmp_path / "new.pkl.gz", NNClassifier(MLP, n_in=6))


@pytest.mark.parametrize("version", WRITERS)
def test_mutated_files_give_an_error_or_a_network(version, tmp_path, monkeypatch):
    monkeypatch.setitem(INIT, "n_in", np.array([3]))
    layers = [("FCLayer", {"name": "fc1", "n_units": 2, "activation": "tanh"}, [random(3, 2), random(2)]),
              ("ClassificationOutputLayer", {"name": "output", "n_classes": 3}, [random(2, 3), random(3)])]  # fmt: skip
    path = WRITERS[version](tmp_path / "old.pkl.gz", layers, False)
    content = gzip.decompress(path.read_bytes())
    model = NNClassifier([["FCLayer", {"n_units": 2}], MLP[1]], n_in=3)
    rng, n_read, n_refused = np.random.default_rng(0), 0, 0
    for _ in range(1000):
        mutated = bytearray(content)
        for at in rng.integers(len(mutated), size=2):
            mutated[at] = rng.integers(256)
        path.write_bytes(bytes(mutated))
        try:
            files.checkpoint_read(path)
            n_read += 1
        except files.CheckpointError:
            n_refused += 1
        with contextlib.suppress(files.CheckpointError, TypeError):
            files.restore_model(path, model)
    assert n_read > 5 and n_refused > 100


def test_a_checkpoint_of_other_layers_is_refused(tmp_path):
    layers = layers_of()
    path = checkpoint(tmp_path / "old.pkl.gz", layers, False)
    assert files.checkpoint_read(path)
    header = {"model_store_version": "3.0", "model_type": Named(NETWORK)}
    state = INIT | {"layer_defs": definitions(layers), "layers_train": [], "rng": (0, [1]), "trainer": None}
    first_files.write(path, header, Record(NETWORK, state))
    with pytest.raises(files.CheckpointError, match="got the parameters of 0 layers for 6 layers with weights"):
        files.checkpoint_read(path)


def test_layers_that_the_first_arignote_did_not_have_are_not_stored():
    params = {"mine.W": np.zeros(3)}
    state = {"layer_defs": [["MineLayer", {"name": "mine"}]], "params": params, "name": "", "batch_size": None,
             "input_shape": (3,)}  # fmt: skip
    with pytest.raises(ValueError, match="got a MineLayer with parameters; need .*; try checkpoint_write"):
        stores.store_of(state, {})


def test_a_network_that_is_not_built_is_not_stored(tmp_path):
    with pytest.raises(RuntimeError, match="not built"):
        files.save_model(NNClassifier(MLP), tmp_path / "mine.pkl.gz")
    with pytest.raises(ValueError, match="need plain data"):
        files.save_model(NNClassifier(MLP, n_in=5), tmp_path / "mine.pkl.gz", {"when": os.getcwd})
    assert os.listdir(tmp_path) == []
