"""`arignote.data.files`, as a program for the first Arignote calls it."""

import os

import numpy as np
import pytest

from arignote.data import files
from arignote.nnets import nets

LAYERS = [
    ["FCLayer", {"name": "fc0", "n_units": 8, "activation": "relu"}],
    ["DropoutLayer", {"name": "DO-fc0", "dropout_p": 0.5}],
    ["ClassificationOutputLayer", {"name": "output", "n_classes": 3}],
]


def test_a_program_for_the_first_arignote(quick, blobs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = blobs
    files.tolerant_makedirs("runs")
    files.tolerant_makedirs("runs")
    classifier = nets.NNClassifier(LAYERS, name="Mine", rng=42)
    classifier.fit(
        X, y, valid=(X, y), n_epochs=2, batch_size=20, checkpoint="runs/mine.pkl.gz", extra_metadata={"note": "first"}
    )
    directory, stem = files.parse_checkpoint("runs/mine.pkl.gz")
    last, best = (os.path.join(directory, f"{stem}_{kind}.pkl.gz") for kind in ("last", "best_model"))
    assert os.path.exists(best) and files.get_file_type(best) == "pkl"

    stored, metadata = files.checkpoint_read(last, get_metadata=True)
    assert metadata["note"] == "first" and metadata["model_name"] == "Mine"
    stored.fit(X, y, valid=(X, y), n_epochs=3, checkpoint=last)
    assert len(stored.trainer.history) == 3
    assert sorted(os.listdir("runs")) == [f"mine_{kind}.pkl.gz" for kind in ("best_model", "last", "previous")]

    files.checkpoint_write(stored, stored.trainer, "elsewhere/net.pkl", {"note": "second"})
    again = files.checkpoint_read("elsewhere/net.pkl")
    files.save_model(stored, "elsewhere/params.pkl.gz", extra_metadata={"note": "third"})
    restored, metadata = files.restore_model("elsewhere/params.pkl.gz")
    assert metadata["note"] == "third"
    other = nets.NNClassifier(LAYERS, n_in=5)
    files.restore_model("elsewhere/params.pkl.gz", other)
    fourth = nets.NNClassifier(LAYERS, n_in=5, stored_network="elsewhere/params.pkl.gz")
    for one in (again, restored, other, fourth):
        np.testing.assert_array_equal(one.predict_proba(X), stored.predict_proba(X))

    np.array([1, 2]).dump("data.pkl")
    assert files.read_pickle("data.pkl", encoding="latin1").tolist() == [1, 2]
    for error in (IOError, ValueError, files.CheckpointError):
        with pytest.raises(error):
            files.checkpoint_read("data.pkl")
