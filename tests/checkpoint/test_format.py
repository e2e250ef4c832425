import contextlib
import gzip
import hashlib
import os
import pickle
import random
import tracemalloc
from functools import cache

import numpy as np
import pytest

from arignote import engine
from arignote.checkpoint import format as checkpoint_format
from arignote.data import files
from arignote.data.files import CheckpointError
from arignote.nnets.nets import NNClassifier
from tests.helpers import MLP, StopAfter, assert_same


@pytest.fixture
def classifier():
    return NNClassifier(MLP, name="Mine", n_in=5, rng=1)


def test_checkpoints_come_back(classifier, tmp_path):
    path = files.checkpoint_write(tmp_path / "mine", classifier, {"note": [1, "two"]})
    assert path.name == "mine_last.pkl.gz"
    for name in (tmp_path / "mine", str(path)):
        again, metadata = files.checkpoint_read(name, get_metadata=True)
        assert_same(again.__getstate__(), classifier.__getstate__())
        assert metadata["note"] == [1, "two"]
        assert metadata["model_name"] == "Mine" and metadata["format_version"] == 1
    assert_same(files.checkpoint_read(path).__getstate__(), classifier.__getstate__())


def test_a_checkpoint_can_be_opened_by_python_alone(classifier, tmp_path):
    with gzip.open(files.checkpoint_write(tmp_path / "mine", classifier)) as file:
        metadata, state = pickle.load(file), pickle.load(file)
    assert metadata["model_type"] == "NNClassifier"
    np.testing.assert_array_equal(state["params"]["fc1.W"], classifier.params["fc1.W"].get_value())


def test_metadata_that_could_not_be_read_back_are_refused(classifier, tmp_path):
    with pytest.raises(ValueError, match="need plain data"):
        files.checkpoint_write(tmp_path / "mine", classifier, {"when": os.getcwd})
    assert os.listdir(tmp_path) == []


def rewritten(path, change):
    """Change the two pickles of a checkpoint, and write it again."""
    with gzip.open(path) as file:
        header, state = pickle.load(file), pickle.load(file)
    header, state = change(header, state)
    path.write_bytes(gzip.compress(pickle.dumps(header) + pickle.dumps(state)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header, state: (header, state | {"seed": 2}), "checksum does not fit"),
        (lambda header, state: (header | {"format_version": 99}, state), "got format version 99; need 1"),
        (lambda header, state: ({"X": 1}, state), "no Arignote checkpoint"),
        (lambda header, state: ([1], state), "no Arignote checkpoint"),
    ],
)
def test_changed_checkpoints_are_refused(change, message, classifier, tmp_path):
    path = files.checkpoint_write(tmp_path / "mine", classifier)
    rewritten(path, change)
    with pytest.raises(CheckpointError, match=f"mine_last.pkl.gz: .*{message}"):
        files.checkpoint_read(path)


@pytest.mark.parametrize("cut", [0, 1, 10, 100, -1, -10])
def test_cut_off_checkpoints_are_refused(cut, classifier, tmp_path):
    path = files.checkpoint_write(tmp_path / "mine", classifier)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CheckpointError):
        files.checkpoint_read(path)


def test_the_order_of_arguments_of_the_first_arignote(classifier, tmp_path):
    name = str(tmp_path / "runs/mine.pkl.gz")
    assert str(files.checkpoint_write(classifier, classifier.trainer, name)) == name
    files.checkpoint_write(net=classifier, trainer=None, filename=name, extra_metadata={"note": 1})
    again, metadata = files.checkpoint_read(filename=name, get_metadata=True)
    assert_same(again.__getstate__(), classifier.__getstate__())
    assert metadata["note"] == 1
    for wrong in ((classifier,), (classifier, name)):
        with pytest.raises(TypeError, match=r"got the file name None; need text or a Path; try checkpoint_write"):
            files.checkpoint_write(*wrong)


def test_a_gzip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    zeros = gzip.compress(pickle.dumps(bytes(300 * 2**20)), 9)  # 300 MB in 300 kB
    (tmp_path / "bomb.pkl.gz").write_bytes(zeros)
    tracemalloc.start()
    for read in (files.read_pickle, files.checkpoint_read):
        with pytest.raises(CheckpointError, match="unpacks to more than .*try max_bytes"):
            read(tmp_path / "bomb.pkl.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 260 * 2**20
    packed = gzip.compress(pickle.dumps(np.zeros(2**24)), 9)
    (tmp_path / "zeros.pkl.gz").write_bytes(packed)
    assert files.read_pickle(tmp_path / "zeros.pkl.gz", max_bytes=2**28).shape == (2**24,)


def test_mutated_checkpoints_give_an_error_or_an_equal_network(classifier, tmp_path):
    path = files.checkpoint_write(tmp_path / "mine", classifier)
    original, rng = path.read_bytes(), random.Random(0)
    expected = classifier.__getstate__()
    n_read = 0
    for i in range(4000):
        content = bytearray(original if i % 2 else gzip.decompress(original))
        for _ in range(rng.randrange(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(bytes(content))
        with contextlib.suppress(CheckpointError):
            assert_same(files.checkpoint_read(path).__getstate__(), expected)
            n_read += 1
    assert n_read > 10  # what stands before the state, such as the time, may be anything


@cache
def stored_state():
    """Return the state of a training that was stopped between two minibatches."""
    rng = np.random.default_rng(0)
    X, y = rng.random((60, 5)).astype("f4"), np.arange(60) % 3
    with engine.quick_compile():
        classifier = NNClassifier(MLP, rng=1)
        classifier.fit(X, y, valid=(X, y), n_epochs=4, batch_size=16, sgd_type="nag", callbacks=StopAfter(6))
    return classifier.__getstate__()


GONE = object()


def changed(state, path, value):
    """Return a state with another value in one place, such as "run/progress/epoch"; or without it, if it is GONE."""
    name, _, rest = path.partition("/")
    if rest:
        return state | {name: changed(state[name], rest, value)}
    return {key: item for key, item in state.items() if key != name} | ({} if value is GONE else {name: value})


HUGE = ["FCLayer", {"n_units": 10**12, "activation": "tanh"}]
UNKNOWN = ["FCLayer", {"n_units": 5, "activation": "mine"}]
OUTPUT = ["ClassificationOutputLayer", {"n_classes": 3}]


def with_params(state, params):
    return state | {"params": state["params"] | params}


def forged(state_change):
    """Return the content of a checkpoint whose state was changed by someone who also knows of checksums."""
    state = state_change(NNClassifier(MLP, n_in=5, rng=1).__getstate__())
    packed = pickle.dumps(state, 4)
    header = {"format": checkpoint_format.FORMAT, "format_version": 1, "model_type": "NNClassifier",
              "n_bytes": len(packed),
              "sha256": hashlib.sha256(packed).hexdigest(), "utc_time": "now"}  # fmt: skip
    return pickle.dumps(header, 4) + packed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s | {"layer_defs": [["MyLayer", {}], *s["layer_defs"][1:]]}, "got the type 'MyLayer'"),
        (lambda s: with_params(s, {"fc1.W": np.zeros((5, 7), "f4")}), r"fc1.W of shape \(5, 7\).*need \(5, 8\)"),
        (lambda s: s | {"params": {k: v for k, v in s["params"].items() if k != "fc1.b"}}, "without fc1.b"),
        (lambda s: with_params(s, {"fc9.b": np.zeros(8)}), "got the parameter 'fc9.b'"),
        (lambda s: s | {"layer_defs": [UNKNOWN, OUTPUT]}, "activation 'mine'"),
        (lambda s: s | {"layer_defs": [HUGE, OUTPUT]}, r"fc1.W of shape \(5, 8\).*need \(5, 1000000000000\)"),
        (lambda s: s | {"input_shape": [5]}, r"input_shape=\[5\], which is not a tuple or None"),
        (lambda s: s | {"input_shape": (10**12,), "params": None}, "cannot be restored"),
        (lambda s: s | {"input_shape": (10**12,)}, r"fc1.W of shape \(5, 8\).*need \(1000000000000, 8\)"),
        (lambda s: s | {"state_version": 99}, "got a state of version 99; need version 4 or an .*try a newer Arignote"),
        (lambda s: {}, "got a state of version None"),
        (lambda s: s | {"run": {"settings": {}}}, "cannot be restored"),
        (lambda s: 5, "cannot be restored"),
    ],
)  # fmt: skip
def test_a_checkpoint_that_does_not_fit_the_code_is_refused_by_name(change, message, tmp_path):
    (tmp_path / "mine_last.pkl.gz").write_bytes(gzip.compress(forged(change)))
    with pytest.raises(CheckpointError, match=f"(?s)mine_last.pkl.gz: .*{message}"):
        files.checkpoint_read(tmp_path / "mine")


ABSURD = {
    "run": (5, "the training 5"),
    "input_shape": (None, "a training of a network that is not built"),
    "batch_size": (-1, "batch size -1"),
    "seed": (-3, "a negative seed"),
    "columns": ([1, 2], r"columns\[0\]=1, which is not text"),
    "classes": ("abc", "classes='abc', which is not a list or None"),
    "run/settings": (None, "settings=None, which is not a dictionary"),
    "run/settings/shards": (0, "got shards=0"),
    "run/settings/batch_size": (-1, "got batch_size=-1"),
    "run/settings/n_epochs": (GONE, "no n_epochs"),
    "run/settings/surprise": (1, "the unknown entry 'surprise'"),
    "run/settings/valid_loss": ("mse", "got valid_loss 'mse'"),
    "run/settings/test_loss": ("nll", "test_loss='nll', which is not a list"),
    "run/progress/epoch": (-1, "a negative count"),
    "run/progress/batch": (True, "batch=True, which is not a whole number"),
    "run/progress/seconds": (float("inf"), "inf seconds"),
    "run/progress/validation_is_due": (1, "validation_is_due=1, which is not True or False"),
    "run/sgd/n_updates": ([], r"n_updates=\[\], which is not a whole number"),
    "run/sgd/sgd_type": ("best", "got sgd_type 'best'"),
    "run/sgd/lr_rule/value": (float("nan"), "the rate nan"),
    "run/sgd/lr_rule/waited": (-1, "a negative count"),
    "run/sgd/lr_rule/definition": ({"rule": "const"}, 'without "initial_value"'),
    "run/sgd/lr_rule/definition/schedule": (7, "got schedule=7; need a list of epochs"),
    "run/sgd/pending_rules": ({"speed": {}}, r"a schedule \['speed'\]"),
    "run/sgd/arrays/velocity fc1.W": (np.zeros((5, 9)), r"fc1.W of shape \(5, 9\).*need \(5, 8\)"),
    "run/sgd/arrays/velocity fc1.b": (GONE, r"an optimizer without \['velocity fc1.b'\]"),
    "run/sgd/arrays/velocity fc7.W": (np.zeros((5, 8)), "got the parameter 'fc7.W'"),
    "run/sgd/arrays/mean fc1.W": (np.zeros((5, 8)), "the array 'mean fc1.W' of the optimizer"),
    "run/sgd/arrays/velocity output.b": (np.array(["a", "b", "c"]), "which is not an array of numbers"),
    "run/history": ([{"valid_nll": 0.1}], "without epoch"),
    "run/best_params/fc1.W": (GONE, r"parameters without \['fc1.W'\]"),
    "run/callbacks": ({"EarlyStopping": 3}, r"callbacks\['EarlyStopping'\]=3, which is not a dictionary"),
    "run/data": ([], r"data=\[\], which is not a dictionary"),
}


@pytest.mark.parametrize("path", ABSURD)
def test_a_state_that_makes_no_sense_is_refused(path, tmp_path):
    value, message = ABSURD[path]
    NNClassifier.from_state(stored_state())
    with pytest.raises(ValueError, match=message):
        NNClassifier.from_state(changed(stored_state(), path, value))


def test_a_validation_of_nothing_is_refused():
    state = changed(stored_state(), "run/progress/validation_is_due", True)
    with pytest.raises(ValueError, match="a validation of nothing"):
        NNClassifier.from_state(changed(state, "run/progress/loss_examples", 0))


def test_a_damaged_last_checkpoint_gives_the_one_before_loudly(classifier, tmp_path):
    files.checkpoint_write(tmp_path / "mine", classifier)
    later = NNClassifier(MLP, n_in=5, rng=2)
    path = files.checkpoint_write(tmp_path / "mine", later)
    assert_same(files.checkpoint_read(tmp_path / "mine").__getstate__(), later.__getstate__())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="damaged gzip file.*Reading the checkpoint before it.*mine_previous"):
        again = files.checkpoint_read(tmp_path / "mine")
    assert_same(again.__getstate__(), classifier.__getstate__())
    (tmp_path / "mine_previous.pkl.gz").unlink()
    with pytest.raises(CheckpointError, match="damaged"):
        files.checkpoint_read(tmp_path / "mine")
