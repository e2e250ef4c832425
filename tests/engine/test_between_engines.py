"""The same run on each engine and backend, and a run that is resumed on another engine.

Each run is a separate process. Theano runs in ``.venv``, or in the interpreter that ``ARIGNOTE_THEANO_PYTHON`` names;
the other engines run in the interpreter of the tests.
"""

import json
import os
import subprocess
import sys
from functools import cache
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from arignote import engine
from tests.helpers import ROOT

THEANO = Path(os.environ.get("ARIGNOTE_THEANO_PYTHON", ROOT / ".venv/bin/python"))

pytestmark = [
    pytest.mark.skipif(engine.describe()["engine"] != "pytensor", reason="runs on PyTensor, and compares with Theano"),
    pytest.mark.skipif(not THEANO.exists(), reason="needs Theano in .venv; try: make setup"),
]

ENGINES = {"theano": "c", "pytensor": "c", "jax": "jax"}

PROGRAM = """
import json, sys
import numpy as np
from arignote import ops
from arignote import engine
from arignote.data import files
from arignote.data.readers import Data
from arignote.nnets import nets

checkpoint, n_epochs, start = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
rng = np.random.default_rng(0)
y = rng.integers(10, size=3200)
X = (rng.normal(size=(10, 64))[y] + rng.normal(size=(3200, 64))).astype("float32")
if start:
    classifier = files.checkpoint_read(start[0])
else:
    classifier = nets.NNClassifier([
        ["FCLayer", {"n_units": 50, "activation": "prelu_shelf", "l2": 1e-3}], ["DropoutLayer", {"dropout_p": 0.5}],
        ["FCMaxoutLayer", {"n_units": 20, "maxout_k": 3}], ["DropoutLayer", {"dropout_p": 0.3}],
        ["ClassificationOutputLayer", {"n_classes": 10}],
    ], rng=3)
classifier.fit(Data(X, y, shuffle=True), n_epochs=n_epochs, batch_size=32, sgd_type="adam", validation_frequency=32)
files.checkpoint_write(checkpoint, classifier)
x = engine.tensor.fmatrix()
dropped = engine.function([x], ops.dropout(x, np.float64(0.3), engine.shared(np.array([4123456789, 1])), np.arange(3)))
print(json.dumps({
    "engine": engine.describe()["engine"],
    "losses": [entry["train_nll"] for entry in classifier.trainer.history],
    "mask": (dropped(np.ones((60, 50), "float32")) > 0).tolist(),
}))
"""


@pytest.fixture(scope="module")
def result_of(tmp_path_factory):
    """Return a function that trains on an engine, from the start or from the checkpoint of another engine."""
    folder = tmp_path_factory.mktemp("engines")

    @cache
    def train(name, n_epochs, started_by=None):
        if name == "jax" and util.find_spec("jax") is None:
            pytest.skip("needs JAX")
        start = []
        if started_by is not None:
            train(started_by, 1)
            start = [str(folder / f"{started_by}_1_last.pkl.gz")]
        python = THEANO if name == "theano" else sys.executable
        chosen = {"ARIGNOTE_ENGINE": "theano" if name == "theano" else "pytensor", "ARIGNOTE_BACKEND": ENGINES[name]}
        target = folder / f"{name}_{n_epochs}_last.pkl.gz"
        command = [str(python), "-c", PROGRAM, str(target), str(n_epochs), *start]
        environment = {key: value for key, value in os.environ.items() if key != "PYTENSOR_FLAGS"} | chosen
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout) | {"log": done.stderr}
        assert result["engine"] == chosen["ARIGNOTE_ENGINE"]
        return result

    return train


@pytest.mark.parametrize("name", ["pytensor", "jax"])
def test_the_first_hundred_losses_agree(result_of, name):
    expected, found = result_of("theano", 1), result_of(name, 1)
    assert len(found["losses"]) == 100
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=1e-4)
    assert found["mask"] == expected["mask"]


@pytest.mark.parametrize(("first", "second"), [("theano", "jax"), ("jax", "theano"), ("pytensor", "theano"),
                                               ("theano", "pytensor"), ("pytensor", "jax")])  # fmt: skip
def test_a_run_can_be_resumed_on_another_engine(result_of, first, second):
    expected, found = result_of("theano", 2), result_of(second, 2, started_by=first)
    assert len(found["losses"]) == 200
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=1e-3)
    (said,) = [line for line in found["log"].splitlines() if "the last bits" in line]
    named = ("theano 1", "pytensor 3") if "theano" in (first, second) else ("backend jax instead of c",)
    assert all(each in said for each in ("Resuming with", *named))
