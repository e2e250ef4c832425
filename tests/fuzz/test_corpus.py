"""What a fuzzer once found is read as it should be; and so is what it begins with."""

import pytest

from tests.fuzz.targets import TARGETS, found


def test_what_was_found_gives_an_error_or_data():
    read = []
    for name, target in TARGETS.items():
        for path in found(name):
            target(path.read_bytes())
            read.append(path.name)
    assert {"text-beyond-unicode", "loadtxt-of-numpy-1.23"} <= set(read)


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_fuzzer_begins_with_is_read(name):
    target = TARGETS[name]
    contents = [content for content in target.seeds() if b"OrderedDict" not in content]
    assert contents
    for content in contents:
        target.read(content)


def test_any_other_error_is_a_finding(monkeypatch):
    def fail(data):
        raise KeyError("x")

    target = TARGETS["idx"].__class__(fail, ValueError, lambda: iter(()))
    with pytest.raises(KeyError):
        target(b"")
