"""The README's programs run as they are printed."""

import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text()


def program(word):
    """Return the program of the README that has a word in it."""
    (found,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if word in block]
    return found


def test_data_larger_than_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(program("HDFWriter"), "README.md", "exec"), names)
    assert (names["features"].n_rows, names["features"].shape, names["labels"].shape) == (2000, (3, 16, 16), ())
    assert [entry["examples"] for entry in names["classifier"].trainer.history] == [1600, 3200]
    assert names["classifier"].trainer.history[-1]["valid_nll"] < 0.1
