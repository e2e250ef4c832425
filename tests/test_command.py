"""The command, as one types it at a shell."""

import contextlib
import csv
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from importlib import util
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from arignote import command
from arignote.checkpoint import lock
from arignote.data import files
from arignote.data.readers import ImageReader
from arignote.nnets.nets import NNClassifier
from arignote.nnets.train.resume import ResumeWarning
from tests.helpers import ROOT, digests, mean_nll, write_digits

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
    for text in ("FCLayer", "56 params", "epoch 4 of 4", "valid_nll", "best validation loss", "arignote_version"):
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


@pytest.mark.parametrize("name", ["runs/mine.pkl.gz", "runs/", "runs/mine_last.pkl.gz"])
def test_so_it_does_with_the_name_of_a_file_and_with_a_folder(name, folder, capsys):
    for n_epochs in ("1", "4"):
        assert train("--valid", "0.25", "--checkpoint", name, "--epochs", n_epochs) == 0
    (last,) = Path("runs").glob("*_last.pkl.gz")
    assert len(files.checkpoint_read(last).trainer.history) == 4
    best = NNClassifier(CONFIG["layers"], n_in=5, rng=9)  # any that is not the last
    best.set_trainable_params({"output.b": np.arange(3, dtype="f4")})
    files.checkpoint_write(best, None, str(last).replace("_last", "_best_model"))
    assert command.main(["predict", name, "--data", "new.npy", "--output", "found.npy", "--proba"]) == 0
    kind = "last" if "last" in name else "best_model"
    expected = files.checkpoint_read(str(last).replace("last", kind)).predict_proba(np.load("new.npy"))
    np.testing.assert_array_equal(np.load("found.npy"), expected)


def test_a_name_in_a_folder_is_told(folder, capsys):
    assert command.main(["train", "config.json", "--data", "blobs.h5", "--checkpoint", "runs/"]) == 0
    assert "arignote: checkpoint runs/20" in capsys.readouterr().err


def test_a_second_program_under_the_same_name_fails(folder, capsys):
    with lock.acquire("runs/mine"):
        assert train() == 1
    error = capsys.readouterr().err
    assert error.startswith("arignote: got checkpoint='runs/mine', under which another program trains (process ")
    assert train() == 0


def test_ctrl_c_leaves_a_checkpoint_and_its_exit_code(folder):
    words = ["train", "config.json", "--data", "blobs.h5", "--checkpoint", "runs/mine", "--epochs", "100000"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "arignote", *words], stderr=subprocess.PIPE, text=True, env=environment
    )
    with process.stderr:
        for line in process.stderr:
            if " 3/" in line:
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


# -- folders of images -----------------------------------------------------------------------------------------------

DIGITS = {
    "rng": 3,
    "layers": [
        ["InputImageLayer", {"n_images": 1, "n_pixels": 8}],
        ["ClassificationOutputLayer", {"n_classes": 10}],
    ],
    "fit": {"n_epochs": 3, "batch_size": 20, "sgd_type": "adam", "lr_rule": {"rule": "const", "initial_value": 0.01}},
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Return a folder with digits by class, and a network trained on them; tests must not change it."""
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder / "images", 600)
    write(DIGITS, folder / "digits.json")
    with contextlib.chdir(folder):
        assert train_digits() == 0
    return folder


def train_digits(*more, data="images", config="digits.json"):
    words = ["train", config, "--data", data, "--checkpoint", "runs/digits", "--quiet", *more]
    return command.main([str(word) for word in words])


@pytest.fixture
def trained(digits, tmp_path, monkeypatch):
    """Return the path of the trained network; the current folder is an empty one."""
    monkeypatch.chdir(tmp_path)
    return digits / "runs/digits"


def predict(checkpoint, *words):
    return command.main(["predict", str(checkpoint), *map(str, words)])


def table(text):
    return list(csv.reader(io.StringIO(text)))


def test_gray_images_of_a_folder_are_trained_on_as_they_are(digits):
    classifier = files.checkpoint_read(digits / "runs/digits")
    X, y = (array[:600] for array in load_digits(return_X_y=True))
    assert classifier.network.example_shape == (1, 8, 8)
    assert classifier.score(np.rint(X * (255 / 16)) / 255, y.astype(str)) > 0.9


def test_images_are_read_as_the_network_takes_them_or_as_the_configuration_says(digits, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    layers = [["InputImageLayer", {"n_images": 3, "n_pixels": 4}], DIGITS["layers"][1]]
    for more in ({}, {"size": 4, "gray": False, "check": "all"}, {"size": [4, 4]}):
        write(DIGITS | {"layers": layers} | more, "digits.json")
        assert train_digits("--valid", digits / "images", "--fresh", "--epochs", "1", data=digits / "images") == 0
        assert files.checkpoint_read("runs/digits").network.example_shape == (3, 4, 4)
    for more, message in (
        ({"gray": True}, "got examples of shape (1, 4, 4); this network was built for (3, 4, 4)"),
        ({"size": 5}, "got examples of shape (3, 5, 5); this network was built for (3, 4, 4)"),
        ({"check": "headers"}, "got check 'headers'; need one that exists"),
    ):
        write(DIGITS | {"layers": layers} | more, "digits.json")
        assert train_digits("--fresh", data=digits / "images") == 1
        assert message in capsys.readouterr().err


def test_it_is_said_that_images_are_resized(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layers = [["InputImageLayer", {"n_images": 1, "n_pixels": 4}], DIGITS["layers"][1]]
    write(DIGITS | {"layers": layers, "fit": {"n_epochs": 1, "batch_size": 20}}, "digits.json")
    words = ["train", "digits.json", "--data", str(digits / "images"), "--checkpoint", "runs/digits"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command_line = [sys.executable, "-m", "arignote", *words]
    shown = subprocess.run(command_line, stderr=subprocess.PIPE, text=True, env=environment)
    assert "images of 8x8 pixels are resized to 4x4" in shown.stderr and shown.returncode == 0


def test_a_damaged_image_is_named_before_training(digits, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(digits / "images", "images")
    bad = tmp_path / "images/9/0009.png"
    bad.write_bytes(bad.read_bytes()[:-40])
    write(DIGITS | {"check": "all"}, "digits.json")
    assert train_digits() == 1
    assert "training data: images/9/0009.png: got a file that cannot be read as an image" in capsys.readouterr().err
    assert not (tmp_path / "runs/digits_last.pkl.gz").exists()


def test_entries_of_images_need_a_folder(folder, capsys):
    write(CONFIG | {"gray": True})
    assert train() == 1
    assert "config.json: got the entry 'gray' with blobs.h5; need a folder of images" in capsys.readouterr().err


def test_a_held_out_folder_is_matched_by_name(digits, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("3", "7"):
        shutil.copytree(digits / "images" / name, f"held/{name}")
    shutil.copy(digits / "digits.json", tmp_path)
    with pytest.warns(UserWarning, match="'8', '9' only in the training data"):
        assert train_digits("--valid", "held", "--test", "held", data=digits / "images") == 0
    best = files.checkpoint_read("runs/digits_best_model.pkl.gz")
    paths = sorted((tmp_path / "held").rglob("*.png"))
    y = [int(path.parent.name) for path in paths]
    (entry,) = [entry for entry in best.trainer.history if entry["valid_nll"] == best.trainer.progress.best_loss]
    assert entry["valid_nll"] == pytest.approx(mean_nll(best, ImageReader(paths, gray=True), y), rel=1e-4)
    assert entry["test_error"] < 0.2
    shutil.copytree("held/3", "held/three")
    assert train_digits("--valid", "held", "--fresh", data=digits / "images") == 1
    assert "validation data: got the label 'three' in row " in capsys.readouterr().err


def test_a_stored_network_that_reads_gray_images_as_color_is_resumed(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layers = [["InputImageLayer", {"n_images": 3, "n_pixels": 8}], DIGITS["layers"][1]]
    write(DIGITS | {"layers": layers}, "digits.json")
    assert train_digits("--epochs", "1", data=digits / "images") == 0
    assert train_digits("--epochs", "2", data=digits / "images") == 0
    assert files.checkpoint_read("runs/digits").trainer.progress.epoch == 2


def test_predictions_on_a_folder_by_class(trained, digits, capsys):
    assert predict(trained, "--data", digits / "images") == 0
    shown = capsys.readouterr()
    header, *rows = table(shown.out)
    assert header == ["file", "class"] and len(rows) == 600
    right = np.mean([f"/{label}/" in name for name, label in rows])
    assert right > 0.9 and f"{100 * (1 - right):.2f} % of 600 examples are misclassified" in shown.err
    assert predict(trained, "--data", digits / "images", "--no-labels") == 0
    unlabeled = capsys.readouterr()
    assert unlabeled.out == shown.out and unlabeled.err == ""


def test_predictions_on_loose_images(trained, digits, capsys):
    """One, several, or a folder of them: colored, of other sizes, with commas in their names."""
    three, seven = (next((digits / "images" / name).glob("*.png")) for name in ("3", "7"))
    os.mkdir("loose")
    for source, name in ((three, "a, 3.png"), (seven, "b 7.png")):
        Image.open(source).convert("RGB").resize((32, 32)).save(f"loose/{name}")
    expected = [["file", "class"], ["loose/a, 3.png", "3"], ["loose/b 7.png", "7"]]
    for words in (
        ["loose"],
        ["loose/a, 3.png", "loose/b 7.png"],
        ["loose/a, 3.png", "--data", "loose/b 7.png"],
    ):
        assert predict(trained, "--data", *words) == 0
        shown = capsys.readouterr()
        assert table(shown.out) == expected
        assert shown.err == "images of 32x32 pixels are resized to 8x8\n"
    assert predict(trained, "--data", "loose/b 7.png", three, "--proba", "--output", "found.csv") == 0
    header, *rows = table(Path("found.csv").read_text())
    assert header == ["file", *"0123456789"] and [row[0] for row in rows] == ["loose/b 7.png", str(three)]
    assert np.array([row[1:] for row in rows], float).argmax(axis=1).tolist() == [7, 3]
    assert predict(trained, "--data", "loose", "--output", "new/found.npy") == 0
    assert np.load("new/found.npy").tolist() == ["3", "7"]


NAMES = ["zero", "one", "two, too", "three", "four", "five", "six", "seven", "eight", "nine"]


def test_classes_with_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_digits("images", 600, names=NAMES)
    write(DIGITS, "digits.json")
    assert train_digits() == 0
    loose = next(Path("images/two, too").glob("*.png"))
    assert predict("runs/digits", "--data", loose) == 0
    assert capsys.readouterr().out == f'file,class\n"{loose}","two, too"\n'
    assert predict("runs/digits", "--data", loose, "--proba") == 0
    assert table(capsys.readouterr().out)[0] == ["file", *sorted(NAMES)]
    assert predict("runs/digits", "--data", loose, "--output", "found.npy") == 0
    assert np.load("found.npy").tolist() == ["two, too"]
    shutil.copytree("images", "some")
    for name in ("one", "two, too", "six"):
        shutil.rmtree(f"some/{name}")
    assert predict("runs/digits", "--data", "some") == 0
    shown = capsys.readouterr()
    rows = table(shown.out)[1:]
    right = np.mean([name.split("/")[1] == label for name, label in rows])
    assert right > 0.9 and f"{100 * (1 - right):.2f} % of {len(rows)} examples" in shown.err
    shutil.copytree("some/four", "some/vier")
    assert predict("runs/digits", "--data", "some") == 1
    assert "got the label 'vier' in row" in capsys.readouterr().err


@pytest.mark.parametrize("names", [[0, 1, 2], [5, 6, 7], ["a", "b", "c"]])
def test_labels_in_a_table_are_written_as_they_are(names, folder, blobs, capsys):
    X, y = blobs
    names = np.array(names)
    pd.DataFrame(X).assign(label=names[y]).to_csv("named.csv", index=False)
    assert train("--epochs", "30", "--data", "named.csv") == 0
    capsys.readouterr()
    assert predict("runs/mine", "--data", "named.csv") == 0
    shown = capsys.readouterr()
    right = np.mean(names.astype(str)[y] == [label for _, label in table(shown.out)[1:]])
    assert right > 0.8 and f"{100 * (1 - right):.2f} % of 240 examples" in shown.err


def test_numbered_classes_are_matched_by_the_names_of_folders_or_by_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X, y = load_digits(return_X_y=True)
    network = NNClassifier(DIGITS["layers"], rng=1)
    network.fit(X / 16, y, n_epochs=10, batch_size=50, sgd_type="adam", lr_rule=0.01, checkpoint="numbered")
    write_digits("images", 300)
    write_digits("in order", 300, names=list("abcdefghij"))
    for name in ("3", "7"):
        shutil.copytree(f"images/{name}", f"some/{name}")
    for data in ("images", "some", "in order"):
        capsys.readouterr()
        assert predict("numbered", "--data", data) == 0
        shown = capsys.readouterr()
        letters = {letter: str(k) for k, letter in enumerate("abcdefghij")}
        found = [(Path(name).parent.name, label) for name, label in table(shown.out)[1:]]
        right = np.mean([letters.get(name, name) == label for name, label in found])
        assert right > 0.9 and f"{100 * (1 - right):.2f} %" in shown.err
    shutil.rmtree("in order/c")
    assert predict("numbered", "--data", "in order") == 1
    message = "in order: got 9 class folders for a network of 10 classes that have no names; need a folder for each"
    assert message in capsys.readouterr().err


def test_several_labels_have_a_column_each(folder, blobs, capsys):
    X, y = blobs
    with h5py.File("several.h5", "w") as file:
        file["features"], file["labels"] = X.astype("float32"), np.eye(3, dtype="uint8")[y][:, :2]
    write(CONFIG | {"layers": [["MultilabelOutputLayer", {"n_classes": 2}]]})
    assert train("--data", "several.h5") == 0
    assert predict("runs/mine", "--data", "several.h5") == 0
    shown = capsys.readouterr()
    header, *rows = table(shown.out)
    assert header == ["row", "0", "1"] and {value for row in rows for value in row[1:]} == {"0", "1"}


def test_images_that_cannot_be_predicted_on_are_refused(trained, digits, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(NNClassifier, "predict_proba", None)  # before any work starts
    three = next((digits / "images/3").glob("*.png"))
    for folder in ("empty", "mixed/3"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(three, "mixed/3")
    shutil.copy(three, "mixed")
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "notes.txt").write_text("not an image")
    for words, message in (
        (["none.png"], "got the image 'none.png'; need a file that exists"),
        (["empty"], "got no images in empty; need image files, or folders of them"),
        ([three, "notes.txt"], "got no images in notes.txt; need image files"),
        ([three, digits / "images"], "among others; need them alone"),
        (["mixed"], "got images in mixed and in folders inside it; need one or the other; try mixed/*.png"),
        ([three, "text.png"], "text.png: got a file that cannot be read as an image"),
    ):
        assert predict(trained, "--data", *words) == 1
        shown = capsys.readouterr()
        assert message in shown.err and shown.out == ""
    for output, message in (("a.txt", "need a name ending in .csv or .npy"), ("notes.txt/a.csv", "notes.txt")):
        assert predict(trained, "--data", three, "--output", output) == 1
        assert message in capsys.readouterr().err


# -- resuming --------------------------------------------------------------------------------------------------------

STORED = ROOT / "tests/checkpoint/version_2"


def test_an_edited_configuration_is_told_and_stops(folder, capsys):
    assert train("--valid", "0.25", "--epochs", "2") == 0
    stored = digests(files.checkpoint_read("runs/mine"))
    edited = CONFIG | {"rng": 4, "shuffle": False, "fit": CONFIG["fit"] | {"sgd_type": "nag", "batch_size": 30}}
    write(edited)
    assert train("--valid", "0.25") == 1
    message = capsys.readouterr().err
    for part in ("rng=4 (stored: 3)", "sgd_type='nag' (stored: 'adam')", "batch_size=30 (stored: 20)",
                 "shuffle=False (stored: True)", "config.json: ", "--keep"):  # fmt: skip
        assert part in message
    assert digests(files.checkpoint_read("runs/mine")) == stored
    with pytest.warns(ResumeWarning, match="keeps its own"):
        assert train("--valid", "0.25", "--keep") == 0
    resumed = files.checkpoint_read("runs/mine")
    write(CONFIG)
    assert train("--valid", "0.25", "--checkpoint", "runs/straight") == 0
    assert digests(resumed) == digests(files.checkpoint_read("runs/straight"))


def test_other_layers_are_told_and_stop(folder, capsys):
    assert train("--epochs", "2") == 0
    write(CONFIG | {"layers": [["FCLayer", {"n_units": 9}], *CONFIG["layers"][1:]]})
    assert train() == 1
    assert "layer 1 FCLayer {'n_units': 9" in capsys.readouterr().err
    assert train("--keep") == 0
    assert files.checkpoint_read("runs/mine").trainer.progress.epoch == 4
    assert train("--fresh") == 0
    assert files.checkpoint_read("runs/mine").network.layer_defs[1][1]["n_units"] == 9


def test_other_data_are_refused(folder, blobs, capsys):
    assert train("--epochs", "2") == 0
    with h5py.File("blobs.h5", "r+") as file:
        file["labels"][:3] = (blobs[1][:3] + 1) % 3
    assert train() == 1
    assert "got other data than this training was stopped on, after 2 epochs (training data: other labels)" in (
        capsys.readouterr().err
    )


def test_a_run_of_an_earlier_version_keeps_its_order_of_rows(tmp_path, capsys, quick):
    rows = np.arange(90)
    X = np.sin(rows[:, np.newaxis] * (1 + np.arange(6)) + rows[:, np.newaxis] % 3)
    table = np.column_stack([X, rows % 3])
    np.savetxt(tmp_path / "rows.csv", table, delimiter=",", header="a,b,c,d,e,f,label", comments="", fmt="%.6f")
    layers = [["FCLayer", {"n_units": 8, "activation": "tanh"}], ["ClassificationOutputLayer", {"n_classes": 3}]]
    config = {"rng": 5, "layers": layers, "fit": {"n_epochs": 2, "batch_size": 20, "sgd_type": "nag"}, "shuffle": True}
    (tmp_path / "c.json").write_text(json.dumps(config))
    shutil.copy(STORED / "command_last.pkl.gz", tmp_path / "mine_last.pkl.gz")
    assert command.main([
        "train", str(tmp_path / "c.json"), "--data", str(tmp_path / "rows.csv"), "--valid", "0.2", "--epochs", "4",
        "--checkpoint", str(tmp_path / "mine"), "--quiet",
    ]) == 0  # fmt: skip
    params = files.checkpoint_read(tmp_path / "mine").network.get_values()
    for name, value in np.load(STORED / "command_expected.npz").items():
        if name.startswith("params/"):
            np.testing.assert_allclose(params[name.removeprefix("params/")], value, rtol=1e-4, atol=1e-6)


def test_a_table_of_the_columns_that_were_trained_on_has_no_labels(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(90, 3)), columns=["width", "height", "y"]).round(3)
    labels = np.where(frame.width > 0, "wide", "narrow")
    frame.assign(label=labels).to_csv("all.csv", index=False)
    frame[["y", "width", "height"]].to_csv("new.csv", index=False)
    layers = [["FCLayer", {"n_units": 8}], ["ClassificationOutputLayer", {"n_classes": 2}]]
    write({"layers": layers, "fit": {"n_epochs": 20, "batch_size": 10, "sgd_type": "adam"}}, "net.json")
    assert command.main(["train", "net.json", "--data", "all.csv", "--checkpoint", "runs/a"]) == 0
    capsys.readouterr()
    assert predict("runs/a", "--data", "all.csv") == 0
    with_labels = capsys.readouterr()
    assert "% of 90 examples are misclassified" in with_labels.err
    assert predict("runs/a", "--data", "new.csv") == 0
    without = capsys.readouterr()
    assert without.out == with_labels.out and without.err == ""


def test_columns_of_a_table_are_known_by_their_names_wherever_the_labels_are(tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO", "arignote")
    X = np.random.default_rng(0).normal(size=(60, 3)).round(3)
    table = pd.DataFrame(X, columns=list("abc")).assign(species=np.where(X[:, 0] > 0, "oak", "elm"))
    table.to_csv("train.csv", index=False)
    table[["species", "c", "b", "a"]].to_csv("other.csv", index=False)
    layers = [["FCLayer", {"n_units": 8}], ["ClassificationOutputLayer", {"n_classes": 2}]]
    write({"layers": layers, "fit": {"n_epochs": 2, "batch_size": 10}}, "net.json")
    assert command.main(["train", "net.json", "--data", "train.csv", "--checkpoint", "mine"]) == 0
    assert "train.csv: the labels are in the column 'species'" in caplog.text
    capsys.readouterr()
    assert predict("mine", "--data", "train.csv") == 0
    expected = capsys.readouterr()
    assert predict("mine", "--data", "other.csv") == 0
    found = capsys.readouterr()
    assert found.out == expected.out and "% of 60 examples are misclassified" in found.err


def test_a_table_of_as_many_numbers_as_the_network_takes_has_no_labels(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).normal(size=(60, 3))
    pd.DataFrame(X).assign(label=np.arange(60) % 2).to_csv("train.csv", index=False)
    np.savetxt("new.csv", X, delimiter=",")
    write(
        {"layers": [["ClassificationOutputLayer", {"n_classes": 2}]], "fit": {"n_epochs": 1, "batch_size": 10}},
        "net.json",
    )
    assert command.main(["train", "net.json", "--data", "train.csv", "--checkpoint", "mine"]) == 0
    capsys.readouterr()
    assert predict("mine", "--data", "new.csv") == 0
    assert len(capsys.readouterr().out.splitlines()) == 61
