import os

import pytest

from arignote.data import atomic


def test_writes_and_replaces(tmp_path):
    for content in (b"first", b"second"):
        atomic.write(tmp_path / "file", lambda file, content=content: file.write(content))
        assert (tmp_path / "file").read_bytes() == content
    assert os.listdir(tmp_path) == ["file"]


def test_a_failure_leaves_the_existing_file_and_nothing_else(tmp_path):
    (tmp_path / "file").write_bytes(b"good")

    def fail(file):
        file.write(b"half of it")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        atomic.write(tmp_path / "file", fail)
    assert (tmp_path / "file").read_bytes() == b"good"
    assert os.listdir(tmp_path) == ["file"]


def test_content_is_synced_before_the_rename(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)

        def recorded(*arguments, name=name, original=original):
            calls.append(name)
            return original(*arguments)

        monkeypatch.setattr(os, name, recorded)
    atomic.write(tmp_path / "file", lambda file: file.write(b"x"))
    assert calls == ["fsync", "replace", "fsync"]


def test_a_folder_is_created_if_necessary(tmp_path):
    atomic.require_writable(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        atomic.require_writable(tmp_path / "file" / "c")
