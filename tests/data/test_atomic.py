import errno
import os
import shutil
import stat

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
    assert os.listdir(tmp_path / "a") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        atomic.require_writable(tmp_path / "file" / "c")


def without_links(code):
    def fail(*arguments):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS])
def test_where_there_are_no_hard_links_a_file_is_kept_as_a_copy(code, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", without_links(code))
    atomic.require_writable(tmp_path / "a")
    for content in (b"one", b"two", b"three"):
        (tmp_path / "a").write_bytes(content)
        atomic.keep(tmp_path / "a", tmp_path / "b")
        assert (tmp_path / "b").read_bytes() == content
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_folder_in_which_a_step_fails_is_refused_at_once(step, tmp_path, monkeypatch):
    monkeypatch.setattr(os, step, without_links(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        atomic.require_writable(tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_a_folder_in_which_no_file_can_be_kept_is_refused_at_once(tmp_path, monkeypatch):
    def no_copies(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "link", without_links(errno.EPERM))
    monkeypatch.setattr(shutil, "copyfileobj", no_copies)
    with pytest.raises(OSError, match="Input/output error"):
        atomic.require_writable(tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_a_file_system_that_cannot_sync_folders_is_used(tmp_path, monkeypatch):
    fsync = os.fsync

    def of_files_only(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", of_files_only)
    atomic.require_writable(tmp_path / "a")
    atomic.write(tmp_path / "a", lambda file: file.write(b"x"))
    assert (tmp_path / "a").read_bytes() == b"x"


def test_what_an_interrupted_probe_left_is_deleted(tmp_path):
    (tmp_path / ".a[1].k3j4.tmp.x1.tmp").write_bytes(b"")
    atomic.require_writable(tmp_path / "a[1]")
    assert os.listdir(tmp_path) == []
