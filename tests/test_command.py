"""The command, as one types it at a shell."""

import csv
import io
import json
import os
import pickle
import signal
import subprocess
import sys
from importlib import util

import h5py
import numpy as np
import pytest

from arignote import command
from arignote.data import files
from tests.helpers import ROOT, digests, mean_nll

CONFIG = {
    "name": "blobs",
    "rng": 3,
    "layers": [
        ["FCLayer", {"n_units": 8}],
        ["DropoutLayer", {"dropout_p": 0.2}],
        ["ClassificationOutputLayer", {"n_classes": 3}],
    ],
    "fit": {"n_epochs": 4, "batch_size": 20, "sgd_type": "adam", "lr_rule": {"rule": "const", "initial_value": 0.01}},
    "shuffle": True,
}


@pytest.fixture
def folder(tmp_path, monkeypatch, blobs):
    """Return a folder to work in, with data and a configuration."""
    monkeypatch.chdir(tmp_path)
    X, y = blobs
    with h5py.File("blobs.h5", "w") as file:
        file["features"], file["labels"] = X.astype("float32"), y
    np.savetxt("held.csv", np.column_stack([X[:60], y[:60]]), delimiter=",")
    np.save("new.npy", X[:7].astype("float32"))
    write(CONFIG)
    return tmp_path


def write(config, name="config.json"):
    with open(name, "w") as file:
        file.write(json.dumps(config))


def train(*more, config="config.json"):
    return command.main(["train", config, "--data", "blobs.h5", "--checkpoint", "runs/mine", "--quiet", *more])


def test_train_show_predict(folder, capsys):
    assert train("--valid", "0.25", "--test", "held.csv") == 0
    trained = files.checkpoint_read("runs/mine")
    assert trained.trainer.progress.epoch == 4 and trained.name == "blobs"
    assert {"valid_nll", "test_error"} <= set(trained.trainer.history[0])
    assert command.main(["show", "runs/mine", "--plot", "curves.png"]) == 0
    shown = capsys.readouterr().out
    for text in ("FCLayer", "56 parameters", "epoch 4 of 4", "valid_nll", "best validation loss", "arignote_version"):
        assert text in shown
    assert (folder / "curves.png").stat().st_size > 1000
    best = files.checkpoint_read("runs/mine_best_model.pkl.gz")
    assert command.main(["predict", "runs/mine", "--data", "new.npy"]) == 0
    header, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    expected = [[str(row), str(label)] for row, label in enumerate(best.predict(np.load("new.npy")))]
    assert header == ["row", "class"] and rows == expected
    arguments = ["predict", "runs/mine", "--data", "held.csv", "--proba", "--output", "found.npy"]
    assert command.main(arguments) == 0
    assert "% of 60 examples are misclassified" in capsys.readouterr().err
    assert np.load("found.npy").shape == (60, 3)


def test_three_pairs_in_a_pickle(folder, blobs, capsys):
    """They are trained, validated and tested on, unless other data are named; the last are what to predict."""
    X, y = blobs
    pairs = (X[:100], y[:100]), (X[100:140], y[100:140]), (X[140:170], y[140:170])
    (folder / "three.pkl").write_bytes(pickle.dumps(pairs))
    data = ["--data", "three.pkl"]
    held = X[:60], y[:60]
    for more, valid, test in (([], *pairs[1:]), (["--valid", "held.csv", "--test", "held.csv"], held, held)):
        assert train(*data, *more, "--fresh", "--epochs", "1") == 0
        trained = files.checkpoint_read("runs/mine")
        entry = trained.trainer.history[0]
        assert entry["valid_nll"] == pytest.approx(mean_nll(trained, *valid), rel=1e-4)
        assert entry["test_nll"] == pytest.approx(mean_nll(trained, *test), rel=1e-4)
    capsys.readouterr()
    assert command.main(["predict", "runs/mine", *data]) == 0
    shown = capsys.readouterr()
    best = files.checkpoint_read("runs/mine_best_model.pkl.gz")
    assert shown.out.split()[1:] == [f"{row},{label}" for row, label in enumerate(best.predict(X[140:170]))]
    assert "of 30 examples" in shown.err


def test_a_configuration_in_yaml_with_all_that_it_may_hold(folder):
    config = CONFIG | {
        "layers": [["InputImageLayer", {"n_images": 1, "n_pixels": [1, 5]}], *CONFIG["layers"]],
        "augmentation": {"shift": 1, "flip": True},
        "early_stopping": {"patience": 1},
        "record": "history.csv",
    }
    yaml = pytest.importorskip("yaml")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert train("--valid", "0.25", "--epochs", "200", config="config.yaml") == 0
    trained = files.checkpoint_read("runs/mine")
    assert trained.trainer.progress.epoch < 200
    lines = (folder / "history.csv").read_text().splitlines()
    assert len(lines) == 1 + len(trained.trainer.history)


def test_the_same_command_goes_on(folder):
    assert train("--valid", "0.25", "--epochs", "2") == 0
    assert train("--valid", "0.25") == 0
    in_two = digests(files.checkpoint_read("runs/mine"))
    assert train("--valid", "0.25", "--fresh") == 0
    assert digests(files.checkpoint_read("runs/mine")) == in_two


def test_ctrl_c_leaves_a_checkpoint_and_its_exit_code(folder):
    words = ["train", "config.json", "--data", "blobs.h5", "--checkpoint", "runs/mine", "--epochs", "100000"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "arignote", *words], stderr=subprocess.PIPE, text=True, env=environment
    )
    with process.stderr:
        for line in process.stderr:
            if "epoch 3" in line:
                break
        process.send_signal(signal.SIGINT)
        process.stderr.read()
    assert process.wait() == 130
    assert files.checkpoint_read("runs/mine").trainer.progress.epoch >= 2


WRONG = {
    "no such configuration": (["train", "none.yaml"], "got the configuration 'none.yaml'; need a file that exists"),
    "no such data": (["train", "config.json", "--data", "none.h5"], "none.h5"),
    "no such checkpoint": (["show", "runs/none"], "runs/none_last.pkl.gz'; need a file that exists"),
    "no such format": (["predict", "runs/mine", "--data", "new.npy", "--output", "a.txt"], "ending in .csv or .npy"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_answered_in_words(folder, capsys, case):
    words, message = WRONG[case]
    if words[0] == "train":
        words = [*words, *([] if "--data" in words else ["--data", "blobs.h5"]), "--checkpoint", "runs/mine"]
    if "runs/mine" in words and words[0] != "train":
        assert train() == 0
    assert command.main(words) == 1
    error = capsys.readouterr().err
    assert "arignote: " in error and message in error and "Traceback" not in error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": []}, "got the entry 'layer'; need a known entry; try \"layers\""),
        ({"fit": {"n_epoch": 3}}, "got 'n_epoch' under fit; need an argument of fit; try \"n_epochs\""),
        ({"fit": {"checkpoint": "a"}}, "got 'checkpoint' under fit"),
        ({"layers": [["FCLayr", {}]]}, "need a layer"),
        ({"augmentation": {"shft": 3}}, "the augmentation"),
        ({"fit": {"n_epochs": 3}}, "got no batch_size"),
    ],
)
def test_wrong_configurations_are_refused(folder, capsys, change, message):
    write(CONFIG | change)
    assert train() == 1
    assert message in capsys.readouterr().err
    assert not (folder / "runs/mine_last.pkl.gz").exists()


@pytest.mark.parametrize(("name", "content"), [("a.json", "{"), ("a.json", "[]"), ("a.yaml", "a: [\n")])
def test_what_is_no_configuration_is_refused(folder, capsys, name, content):
    (folder / name).write_text(content)
    assert train(config=name) == 1
    assert name in capsys.readouterr().err


def test_the_command_line_itself(capsys):
    for words, code in ((["--help"], 0), (["--version"], 0), ([], 2), (["train"], 2), (["tran"], 2)):
        with pytest.raises(SystemExit) as ended:
            command.main(words)
        assert ended.value.code == code
    assert "arignote train mnist.yaml" in capsys.readouterr().out


def test_the_doctor_says_what_runs_and_what_is_missing(capsys, monkeypatch):
    assert command.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for text in ("engine: ", "blas: ", "compiler: ", "kernels: compiled", "cache: ", "threads: ", "everything works"):
        assert text in shown
    monkeypatch.setattr(command.shutil, "which", lambda name: None)
    monkeypatch.setattr(command.util, "find_spec", lambda name: None if name == "onnx" else util.find_spec)
    assert command.main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert (
        "to fix: no g++" in shown and "not installed: onnx, for export to ONNX: pip install 'arignote[export]'" in shown
    )
