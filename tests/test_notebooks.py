"""The notebooks of examples/ run from start to end, and show what they showed."""

import re

import pytest

from tests.helpers import ROOT

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("matplotlib")


def shares(notebook):
    """Return the percentages of examples that a notebook says were classified right."""
    return [
        float(share) for share in re.findall(r"([\d.]+) % of", str([cell.get("outputs") for cell in notebook.cells]))
    ]


def shown(notebook):
    """Return what each cell shows: the kinds of its outputs."""
    outputs = [cell.get("outputs", []) for cell in notebook.cells]
    return [[sorted(output.get("data", {output.output_type: ""})) for output in each] for each in outputs]


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    stored, n_shares = shown(notebook), len(shares(notebook))
    assert any("image/png" in kinds for each in stored for kinds in each)
    client = nbclient.NotebookClient(
        notebook, timeout=300, coalesce_streams=True, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    assert shown(notebook) == stored
    assert [share > 95 for share in shares(notebook)] == [True] * n_shares


TRAINING = """
import numpy as np
from arignote.nnets import nets
from arignote.nnets.callbacks import bar
bar.REDRAW_SECONDS = 0
rng = np.random.default_rng(0)
X, y = rng.normal(size=(200, 30)), rng.integers(3, size=200)
classifier = nets.NNClassifier(nets.define_mlp(3, [50]), rng=0)
_ = classifier.fit(X, y, n_epochs=3, batch_size=20)
"""


def test_what_a_training_leaves_in_a_notebook(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(TRAINING)])
    bars = []
    client = nbclient.NotebookClient(notebook, timeout=300, coalesce_streams=True)
    process_message = client.process_message

    def watch(message, *arguments):
        bars.append(message["content"].get("data", {}).get("text/plain", ""))
        return process_message(message, *arguments)

    monkeypatch.setattr(client, "process_message", watch)
    client.execute()
    assert len([bar for bar in bars if re.match(r"epoch [123]/3 \|.*loss", bar)]) > 20
    text = "".join(output["text"] for output in notebook.cells[0].outputs if output.output_type == "stream")
    assert re.findall(r"\d\d (\d)/3: nll", text) == ["1", "2", "3"]
    assert not re.search(r"[\r\x1b|]", text)
    others = [output["data"] for output in notebook.cells[0].outputs if output.output_type != "stream"]
    assert others == [{"text/plain": "", "text/html": ""}]
