"""The file of `arignote train`: what is accepted, and what is said of everything else."""

import json
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from arignote import configuration
from arignote.nnets.callbacks import EarlyStopping, Record
from arignote.nnets.nets import NNClassifier

pytest.importorskip("yaml")
LAYERS = "layers: [[FCLayer, {n_units: 8}], [ClassificationOutputLayer, {n_classes: 3}]]\n"


def read(folder, text, name="a.yaml"):
    path = folder / name
    path.write_text(text)
    return configuration.read(path)


def test_everything_that_it_may_hold(tmp_path):
    text = f"""\ufeffname: "no"
rng: 42
{LAYERS}fit:
  n_epochs: 10
  batch_size: 20.0
  lr_rule: {{rule: stalled, initial_value: 1e-3, interval: 5}}
  sgd_max_grad_norm: 2
  test_loss: [error, nll]
  validate_on_train: on
  checkpoint_seconds: null
  spot_notice: yes
  extra_metadata: {{any: [thing, 1]}}
shuffle: yes
augmentation: {{shift: 3, flip: {{vertical: true}}, quarter_turns: false}}
early_stopping: {{patience: 3, min_improvement: 1E-4}}
record: history.csv
size: [28, 28]
gray: off
check: all
"""
    config = read(tmp_path, text)
    assert config["name"] == "no" and config["shuffle"] is True and config["gray"] is False
    assert config["fit"]["lr_rule"]["initial_value"] == 0.001
    assert config["early_stopping"]["min_improvement"] == 0.0001
    assert config["fit"]["checkpoint_seconds"] is None
    assert set(config) == set(configuration.ENTRIES)
    assert read(tmp_path, "\ufeff" + json.dumps(config), "a.json") == config


def test_types_that_no_file_can_hold_are_left_to_fit(monkeypatch, tmp_path):
    def fit(self, callbacks, loss: Callable | None = None, names: Sequence[Callable] | None = None):
        """Take arguments of other types."""

    monkeypatch.setattr(NNClassifier, "fit", fit)
    assert read(tmp_path, LAYERS + "fit: {loss: a, names: [b]}")["fit"] == {"loss": "a", "names": ["b"]}


def test_an_entry_without_a_value_is_not_given(tmp_path):
    assert set(read(tmp_path, LAYERS + "fit:\nshuffle:\nearly_stopping: ~\n")) == {"layers"}


# What is refused: lines of YAML -> what the message says.
WRONG = {
    "shuffle: yes please": "got shuffle='yes please'; need true or false; try shuffle: true",
    "shuffle: 1": "got shuffle=1; need true or false; try shuffle: true",
    "rng: abc": "got rng='abc'; need a whole number; try rng: 42",
    "rng: yes": "got rng=True; need a whole number; try rng: 42",
    "rng: 1.5": "got rng=1.5; need a whole number; try rng: 42",
    "rng: .nan": "got rng=nan; need a whole number; try rng: 42",
    "name: no": "got name=False (yes, no, on and off in YAML); need text; try name: MNIST",
    "name: 3": "got name=3; need text; try name: MNIST",
    "fit: [n_epochs, 3]": "got fit=['n_epochs', 3]; need entries {name: value}; try fit: {n_epochs: 50",
    "fit: {n_epochs: ten}": "got n_epochs='ten' under fit; need a whole number; try n_epochs: 10",
    "fit: {n_epochs: '10'}": "got n_epochs='10' under fit; need a whole number; try n_epochs: 10",
    "fit: {n_epochs: yes}": "got n_epochs=True under fit; need a whole number; try n_epochs: 10",
    "fit: {prefetch: ~}": "got prefetch=None under fit; need a whole number; try prefetch: 10",
    "fit: {sgd_max_grad_norm: true}": "got sgd_max_grad_norm=True under fit; need a number; try sgd_max_grad_norm: 0.1",
    "fit: {sgd_type: 3}": "got sgd_type=3 under fit; need text",
    "fit: {sgd_type: on}": "got sgd_type=True (yes, no, on and off in YAML) under fit; need text",
    "fit: {checkpoint_all: 'no'}": "got checkpoint_all='no' under fit; need true or false; try checkpoint_all: true",
    "fit: {test_loss: [error, 3]}": "got test_loss=['error', 3] under fit; need text or a list",
    "fit: {extra_metadata: 3}": "got extra_metadata=3 under fit; need entries {name: value}",
    "fit: {lr_rule: [1]}": "got lr_rule=[1] under fit; need entries {name: value}",
    "fit: {lr_rule: {rul: const}}": "got 'rul' under lr_rule; need an argument of lr_rule; try \"rule\"",
    "fit: {lr_rule: {initial_value: 0.1}}": 'got lr_rule without "rule"; need it; try "rule": "const"',
    "fit: {lr_rule: {rule: constantly, initial_value: 0.1}}": "got rule",
    "fit: {lr_rule: {initial_value: '0.1'}}": "got initial_value='0.1' under lr_rule; need a number",
    "fit: {n_epoch: 3}": "got 'n_epoch' under fit; need an argument of fit; try \"n_epochs\"",
    "fit: {shuffle: true}": "got 'shuffle' under fit; need an argument of fit",
    "fit: {callbacks: []}": "got 'callbacks' under fit; need an argument of fit",
    "augmentation: shift": "got augmentation='shift'; need entries {name: value}; try augmentation: {shift: 3}",
    "augmentation: [shift]": "got augmentation=['shift']; need entries {name: value}; try augmentation: {shift: 3}",
    "augmentation: {shft: 3}": "got the augmentation 'shft'; need one that exists; try \"shift\"",
    "augmentation: {shift: three}": "got max_pixels='three' under shift; need a whole number",
    "augmentation: {shift: {max_pixel: 3}}": "got 'max_pixel' under shift; need an argument of shift",
    "augmentation: {shift: {max_pixels: 3, fil: 1}}": "got 'fil' under shift; need an argument of shift; try \"fill\"",
    "augmentation: {shift: true}": "got shift without max_pixels; need it; try shift: {max_pixels: 3}",
    "augmentation: {flip: {horizontal: left}}": "got horizontal='left' under flip; need true or false",
    "augmentation: {quarter_turns: 2}": "got quarter_turns=2; need true or false; try quarter_turns: true",
    "early_stopping: 5": "got early_stopping=5; need true or false or entries {name: value}; "
    "try early_stopping: {patience: 10}",
    "early_stopping: {patients: 3}": "got 'patients' under early_stopping; need an argument of early_stopping; "
    'try "patience"',
    "early_stopping: {patience: long}": "got patience='long' under early_stopping; need a whole number",
    "early_stopping: {patience: 0}": "got patience=0; need a whole number of 1 or more",
    "record: 3": "got record=3; need text; try record: history.csv",
    "record: history.txt": "got the file name 'history.txt'; need .csv or .jsonl",
    "gray: maybe": "got gray='maybe'; need true or false; try gray: true",
    "size: large": "got size='large'; need a whole number or a list; try size: 28",
    "size: [a, 3]": "got size=['a', 3]; need a whole number or a list; try size: 28",
    "check: yes": "got check=True (yes, no, on and off in YAML); need text; try check: all",
    "shufle: true": "got the entry 'shufle'; need a known entry; try \"shuffle\"",
    "on: true": "got the entry True; need a known entry",
    "rng: 1\nrng: 2": "got 'rng' 2 times in the entries from line 1 on; need each entry once; try removing one of them",
    "fit:\n  n_epochs: 1\n  n_epochs: 2": "got 'n_epochs' 2 times in the entries from line 3 on; need each entry once",
}


@pytest.mark.parametrize("lines", WRONG)
def test_what_is_refused(lines, tmp_path):
    with pytest.raises(ValueError) as raised:
        read(tmp_path, f"{LAYERS}{lines}\n")
    assert str(raised.value).startswith(f"{tmp_path / 'a.yaml'}: {WRONG[lines]}")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("{}", "got layers={}; need a list; try layers: [[Class"),
        ("FCLayer", "got layers='FCLayer'; need a list"),
        ("[]", "got no layers; need at least an output layer"),
        ("[[FCLayr]]", "layer 1: got the type 'FCLayr'; need a layer"),
        ("[[FCLayer, {n_unit: 3}]]", "layer 1 (FCLayer): got the parameter 'n_unit'; need one that this layer takes"),
        ("~", "got no layers; need a list of layers; try the example in arignote --help"),
        ("[&a [*a]]", "layer 1: got the type [[[[...]]]]; need a layer"),
        (
            "[[FCLayer, {n_units: 3, n_units: 4}], [ClassificationOutputLayer, {n_classes: 3}]]",
            "got 'n_units' 2 times",
        ),
    ],
)
def test_wrong_layers_are_refused(layers, message, tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"a.yaml: {message}")):
        read(tmp_path, f"layers: {layers}\n")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "got Expecting property name .*; need valid JSON"),
        ("a.json", b'{"rng": 1, "rng": 2}', "got 'rng' 2 times; need each entry once"),
        ("a.json", b'{"layers": [["FCLayer", {"n_units": 1, "n_units": 2}]]}', "got 'n_units' 2 times"),
        ("a.json", b"[]", "got no layers"),
        ("a.yaml", b"", "got no layers"),
        ("a.yaml", b"a: [\n", "got while parsing .*; need valid YAML"),
        ("a.yaml", b"{[1]: 2}", "got while constructing .*; need valid YAML"),
        ("a.yaml", b"name: \xe9", "got 'utf-8' codec .*; need text in UTF-8"),
    ],
)
def test_files_that_cannot_be_read_are_refused(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"(?s){name}: {message}"):
        configuration.read(tmp_path / name)


def test_merged_entries_are_no_duplicates(tmp_path):
    text = f"{LAYERS}fit: &fit {{n_epochs: 3, batch_size: 5}}\nname: a\n"
    merged = text.replace("&fit {", "{<<: {n_epochs: 9, prefetch: 0}, ")
    assert read(tmp_path, merged)["fit"] == {"n_epochs": 3, "batch_size": 5, "prefetch": 0}


def test_what_the_entries_make(tmp_path):
    config = read(
        tmp_path, LAYERS + "augmentation: {shift: 1, flip: true, quarter_turns: true}\nearly_stopping: true\n"
    )
    (stopping,) = configuration.callbacks(config)
    assert isinstance(stopping, EarlyStopping) and stopping.patience == 10
    X = np.random.default_rng(0).normal(size=(50, 1, 5, 5)).astype("float32")
    new, _ = configuration.augmentation(config)(X, np.zeros(50), 0, np.random.default_rng(0))
    assert new.shape == X.shape and (new != X).any()
    config = read(tmp_path, LAYERS + "augmentation: {flip: no}\nearly_stopping: no\nrecord: a.csv\n")
    assert configuration.augmentation(config) is None
    (record,) = configuration.callbacks(config)
    assert isinstance(record, Record) and record.path.name == "a.csv"
    config = read(tmp_path, LAYERS + "early_stopping: {patience: 3}\n")
    assert configuration.callbacks(config)[0].patience == 3
    assert configuration.augmentation(config) is None


@pytest.mark.parametrize("name", ["deep.yaml", "deep.json"])
def test_values_that_are_nested_too_deeply_are_refused(name, tmp_path):
    (tmp_path / name).write_text("[" * 100_000)
    with pytest.raises(ValueError, match=rf"{name}: got entries nested too deeply; need .*; try "):
        configuration.read(tmp_path / name)


DOUBLED = "&a0 [x, x]" + "".join(f", &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60))
ENTRIES = ["name: [%s]", "fit: {n_epochs: [%s]}", "fit: {lr_rule: [%s]}", "size: {a: [%s]}", "record: [%s]",
           "early_stopping: {patience: [%s]}", "augmentation: {shift: [%s]}", "check: [%s]", "rng: [%s]"]  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES)
def test_messages_do_not_print_what_aliases_stand_for(entry, tmp_path):
    """Sixty lists, each of two of the one before, would be printed as 10**18 letters."""
    (tmp_path / "a.yaml").write_text(f"layers: [[ClassificationOutputLayer, {{n_classes: 3}}]]\n{entry % DOUBLED}\n")
    with pytest.raises(ValueError, match=r"a.yaml: got .*; need .*; try ") as caught:
        configuration.read(tmp_path / "a.yaml")
    assert len(str(caught.value)) < 1000
