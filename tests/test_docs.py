"""The programs of the README and of the pages of docs/ run as they are printed, each page from top to bottom.

Long trainings are cut short: the number of epochs is all that is changed.
"""

import re
import shutil
import textwrap
from pathlib import Path

import numpy as np
import pytest

from arignote import command, configuration, sample_data
from arignote.data import files
from tests.helpers import ROOT, write_digits

LONG = ("README.md", "tutorial.md")
NEEDS = {
    "tutorial.md": ["matplotlib"],
    "data.md": ["h5py", "pandas", "PIL"],
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
        assert (names["images"].shape, names["images"].classes) == ((1, 24, 32), ["dark", "light"])
        assert names["shades"].predict(names["ImageReader"](["photos/light/3.png"])).tolist() == ["light"]
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


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


def test_the_commands_of_the_page_on_the_command(tmp_path, monkeypatch, capsys):
    """They run as they are printed, on small data, for one epoch; so does the configuration in the help."""
    for package in ("yaml", "h5py", "PIL", "sklearn", "matplotlib"):
        pytest.importorskip(package)
    import h5py

    monkeypatch.chdir(tmp_path)
    (X, y), *_ = files.read_pickle(sample_data.mnist)
    with h5py.File("mnist.h5", "w") as file:
        file["features"], file["labels"] = X[:500], y[:500]
    np.save("new.npy", X[500:510])
    write_digits("photos", 200, names="0120120120")
    Path("new").mkdir()
    for name, path in zip("ab", sorted(Path("photos").rglob("*.png")), strict=False):
        shutil.copy(path, f"new/{name}.png")
    configurations = blocks("command.md", "yaml")
    for text in configurations:
        name = text.splitlines()[0].removeprefix("# ")
        Path(name).write_text(text.replace("n_epochs: 50", "n_epochs: 1"))
    help_text = textwrap.dedent(command.EXAMPLES.partition("in YAML or JSON:\n")[2].partition("\n\n")[0])
    assert help_text.splitlines() == configurations[0].splitlines()[1:]
    of_images = textwrap.dedent(command.EXAMPLES.partition("takes them):\n")[2])
    Path("images.yaml").write_text(help_text + "\n" + of_images)
    assert set(configuration.read("images.yaml")) == set(configuration.ENTRIES)
    shown = {}
    for line in "".join(blocks("command.md", "sh")).splitlines():
        words = line.partition("#")[0].split()
        assert words[0] == "arignote" and command.main(words[1:]) == 0, line
        shown[words[1]] = capsys.readouterr()
    assert len((tmp_path / "classes.csv").read_text().splitlines()) == 3
    assert len((tmp_path / "runs/mnist.csv").read_text().splitlines()) == 2
    assert "everything works" in shown["doctor"].out
    (table,) = blocks("command.md", "text")
    for printed, written in zip(table.split(), (tmp_path / "classes.csv").read_text().split(), strict=True):
        assert printed.split(",")[0] == written.split(",")[0]


def test_links_and_pictures_of_the_pages_exist():
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        if "build" in page.parts:
            continue
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
