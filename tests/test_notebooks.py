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
