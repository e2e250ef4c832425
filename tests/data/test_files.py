import contextlib
import gzip
import hashlib
import os
import pickle
import random
import tracemalloc

import numpy as np
import pytest

from arignote.data import files, readers
from arignote.data.files import CheckpointError
from arignote.nnets.nets import NNClassifier
from tests.helpers import MLP, assert_same


@pytest.fixture
def classifier():
    return NNClassifier(MLP, name="Mine", n_in=5, rng=1)


def test_reads_pickles_compressed_or_not(tmp_path):
    value = {"X": np.arange(6).reshape(2, 3)}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    (tmp_path / "a.pkl.gz").write_bytes(gzip.compress(pickle.dumps(value)))
    for name in ("a.pkl", "a.pkl.gz"):
        np.testing.assert_array_equal(files.read_pickle(str(tmp_path / name))["X"], value["X"])


def test_a_pickle_that_runs_something_is_refused_unless_it_is_trusted(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(os.getcwd))
    with pytest.raises(CheckpointError, match=r"a.pkl: got a pickle that asks for posix.getcwd.*trusted=True"):
        files.read_pickle(tmp_path / "a.pkl")
    assert files.read_pickle(tmp_path / "a.pkl", trusted=True) is os.getcwd


@pytest.mark.parametrize(
    "content",
    [b"", b"\x1f\x8b damaged", gzip.compress(pickle.dumps(1))[:-5], b"no pickle"],
    ids=["empty", "damaged", "cut off", "no pickle"],
)
def test_a_corrupted_pickle_is_refused(content, tmp_path):
    (tmp_path / "a.pkl.gz").write_bytes(content)
    with pytest.raises(CheckpointError, match="a.pkl.gz: got a (damaged|pickle)"):
        files.read_pickle(tmp_path / "a.pkl.gz")


@pytest.mark.parametrize("n_bytes", [100, 2**16, 2**20, 2**20 + 1])
@pytest.mark.parametrize("n_behind", [0, 2**20])
def test_a_pickle_whose_checksum_does_not_fit_is_refused(n_bytes, n_behind, tmp_path):
    """Wherever the pickle ends within the blocks that are read, and whatever follows it."""
    padding = n_bytes - len(pickle.dumps(bytes(n_bytes)))
    content = bytearray(gzip.compress(pickle.dumps(bytes(n_bytes + padding)) + bytes(n_behind), 0))
    content[-8] ^= 1  # the first byte of the checksum
    (tmp_path / "a.pkl.gz").write_bytes(content)
    with pytest.raises(CheckpointError, match="a.pkl.gz: got a damaged gzip file .*CRC"):
        files.read_pickle(tmp_path / "a.pkl.gz")


def test_a_missing_file_is_an_error(tmp_path):
    for read in (files.read_pickle, files.checkpoint_read, files.read_csv, files.read_array, readers.read_data):
        with pytest.raises(FileNotFoundError, match="need a file that exists"):
            read(tmp_path / "nothing")


def test_reads_tables(tmp_path):
    (tmp_path / "plain.csv").write_text("1,2,0\n3,4,1\n")
    X, y = files.read_csv(tmp_path / "plain.csv")
    assert X.tolist() == [[1, 2], [3, 4]] and X.dtype == np.float32 and y.tolist() == [0, 1]
    (tmp_path / "header.csv").write_text('"label",a,b\n7,1,2\n8,3,4\n')
    assert files.read_csv(tmp_path / "header.csv")[1].tolist() == [7, 8]
    assert files.read_csv(tmp_path / "header.csv", label="b")[1].tolist() == [2, 4]
    assert files.read_csv(tmp_path / "header.csv", label=1)[1].tolist() == [1, 3]
    with gzip.open(tmp_path / "packed.csv.gz", "wt") as file:
        file.write("1,0\n2,1\n")
    assert files.read_csv(tmp_path / "packed.csv.gz")[0].tolist() == [[1], [2]]


@pytest.mark.parametrize("header", ["", "label,a,b\n", "0,label,1\n"], ids=["none", "names", "numbers and a name"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a byte order mark"])
def test_headers_of_tables(header, mark, tmp_path):
    (tmp_path / "a.csv").write_bytes(mark + header.encode() + b"7,8,0\n5,6,1\n")
    X, y = files.read_csv(tmp_path / "a.csv")
    column = header.strip().split(",").index("label") if header else 2
    table = np.array([[7, 8, 0], [5, 6, 1]])
    assert y.tolist() == table[:, column].tolist()
    assert X.tolist() == np.delete(table, column, axis=1).tolist()


def test_wrong_tables_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,four\n")
    with pytest.raises(ValueError, match=r"a.csv: got .*need numbers separated by commas"):
        files.read_csv(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("x,y\n1,2\n")
    with pytest.raises(ValueError, match="got label='z'; need one of the columns"):
        files.read_csv(tmp_path / "b.csv", label="z")


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


def test_names_of_checkpoints():
    assert str(files.checkpoint_path("a/b")) == "a/b_last.pkl.gz"
    assert str(files.checkpoint_path("a/b", "epoch3")) == "a/b_epoch3.pkl.gz"
    assert str(files.checkpoint_path("a/b_best_model.pkl.gz")) == "a/b_best_model.pkl.gz"


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


def with_array(state, name, value):
    sgd = {"sgd_type": "nag", "arrays": {name: value}}
    return state | {"trainer": {"sgd": sgd, "best_params": None, "last_params": None}}


HUGE = ["FCLayer", {"n_units": 10**12, "activation": "tanh"}]
UNKNOWN = ["FCLayer", {"n_units": 5, "activation": "mine"}]
OUTPUT = ["ClassificationOutputLayer", {"n_classes": 3}]


def with_params(state, params):
    return state | {"params": state["params"] | params}


def forged(state_change):
    """Return the content of a checkpoint whose state was changed by someone who also knows of checksums."""
    state = state_change(NNClassifier(MLP, n_in=5, rng=1).__getstate__())
    packed = pickle.dumps(state, 4)
    header = {"format": files.FORMAT, "format_version": 1, "model_type": "NNClassifier", "n_bytes": len(packed),
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
        (lambda s: s | {"input_shape": [10**12], "params": None}, "cannot be restored"),
        (lambda s: s | {"input_shape": [10**12]}, r"fc1.W of shape \(5, 8\).*need \(1000000000000, 8\)"),
        (lambda s: with_array(s, "velocity fc1.W", np.zeros((5, 9))), r"fc1.W of shape \(5, 9\).*need \(5, 8\)"),
        (lambda s: with_array(s, "velocity fc7.W", np.zeros((5, 8))), "got the parameter 'fc7.W'"),
        (lambda s: s | {"state_version": 99}, "got state version 99"),
        (lambda s: {}, "state_version"),
        (lambda s: s | {"trainer": {"settings": {}}}, "cannot be restored"),
        (lambda s: 5, "cannot be restored"),
    ],
)  # fmt: skip
def test_a_checkpoint_that_does_not_fit_the_code_is_refused_by_name(change, message, tmp_path):
    (tmp_path / "mine_last.pkl.gz").write_bytes(gzip.compress(forged(change)))
    with pytest.raises(CheckpointError, match=f"(?s)mine_last.pkl.gz: .*{message}"):
        files.checkpoint_read(tmp_path / "mine")


def test_a_damaged_last_checkpoint_gives_the_one_before_loudly(classifier, tmp_path):
    files.checkpoint_write(tmp_path / "mine", classifier)
    later = NNClassifier(MLP, n_in=5, rng=2)
    path = files.checkpoint_write(tmp_path / "mine", later)
    assert_same(files.checkpoint_read(tmp_path / "mine").__getstate__(), later.__getstate__())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="damaged gzip file.*Going on from the checkpoint before it.*mine_previous"):
        again = files.checkpoint_read(tmp_path / "mine")
    assert_same(again.__getstate__(), classifier.__getstate__())
    (tmp_path / "mine_previous.pkl.gz").unlink()
    with pytest.raises(CheckpointError, match="damaged"):
        files.checkpoint_read(tmp_path / "mine")


@pytest.mark.parametrize("dtype", ["u1", "i1", ">i2", ">i4", ">f4", ">f8"])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(tmp_path, dtype, packed):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    code = {value: key for key, value in files.IDX_TYPES.items()}[dtype]
    content = bytes([0, 0, code, 3]) + np.array([2, 3, 4], ">i4").tobytes() + array.tobytes()
    (tmp_path / "x").write_bytes(gzip.compress(content) if packed else content)
    found = files.read_idx(tmp_path / "x")
    assert np.array_equal(found, array) and found.dtype.isnative
    for cut in (0, 3, 10, len(content) - 1):
        (tmp_path / "x").write_bytes(content[:cut])
        with pytest.raises(ValueError, match="got a file that is not in IDX form|bytes of data for shape"):
            files.read_idx(tmp_path / "x")
