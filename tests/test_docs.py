"""The programs of the README and of the pages of docs/ run as they are printed, each page from top to bottom.

Long trainings are cut short: the number of epochs is all that is changed.
"""

import re

import numpy as np
import pytest

from tests.helpers import ROOT

LONG = ("README.md", "tutorial.md")
NEEDS = {
    "tutorial.md": ["matplotlib"],
    "data.md": ["h5py", "pandas"],
    "extending.md": ["tensorboardX"],
    "in_and_out.md": ["safetensors", "onnx", "onnxruntime", "sklearn"],
}


def programs(page):
    """Return the programs of a page, but for those that say of themselves that they cannot run here."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    return [block for block in blocks if not block.startswith("# doc: no-run")]


PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if programs(page)]


def run(page, folder, monkeypatch):
    """Run the programs of a page in an empty folder; return the names they made."""
    monkeypatch.chdir(folder)
    names = {"__name__": "__main__"}
    for program in programs(page):
        if page.name in LONG:
            program = re.sub(r"n_epochs=\d+", "n_epochs=1", program)
        exec(compile(program, str(page), "exec"), names)
    return names


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page(page, tmp_path, monkeypatch):
    for package in NEEDS.get(page.name, []):
        pytest.importorskip(package)
    names = run(page, tmp_path, monkeypatch)
    if page.name == "README.md":
        assert names["classifier"].score(*names["test"]) > 0.85
        assert (tmp_path / "runs/mnist_last.pkl.gz").is_file()
    if page.name == "tutorial.md":
        pictures = {path.name for path in tmp_path.glob("*.png")}
        assert pictures == {
            f"{name}.png" for name in ["curves", "rates", "filters", "confusion", "wrong", "activations"]
        }
    if page.name == "data.md":
        assert (names["features"].n_rows, names["features"].shape, names["labels"].shape) == (2000, (3, 16, 16), ())
        assert [entry["examples"] for entry in names["classifier"].trainer.history] == [1600, 3200]
        assert names["classifier"].trainer.history[-1]["valid_nll"] < 0.1
    if page.name == "extending.md":
        assert names["smooth"].trainer.history[0]["train_smoothed"] > 0
        assert names["waves"].score(names["Waves"](), np.arange(1000) % 2) > 0.9
        assert len((tmp_path / "runs/history.csv").read_text().splitlines()) == 4
        (events,) = (tmp_path / "runs/board").iterdir()
        assert b"valid_nll" in events.read_bytes()
    if page.name == "in_and_out.md":
        test, even = names["test"][0], names["test"][1] % 2
        assert names["parity"].score(test, even) > names["scratch"].score(test, even)
        assert names["search"].best_score_ > 0.9


def test_links_and_pictures_of_the_pages_exist():
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        if "build" in page.parts:
            continue
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
