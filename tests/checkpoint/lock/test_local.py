import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from arignote.checkpoint import lock
from arignote.checkpoint.lock import local
from tests.helpers import ROOT, hold

FORKS = """
import os, subprocess, sys, time
from arignote.checkpoint import lock
held = lock.acquire(sys.argv[1])
if sys.argv[2] == "fork":
    child = os.fork()
    if child == 0:
        try:
            held.check()
        except lock.InUseError as error:
            os.write(1, f"{error}\\n".encode())  # in one piece
        held.release()
        time.sleep(60)
        os._exit(0)
else:
    sleeps = "import os, time; os.write(1, bytes([97, 10])); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", sleeps], close_fds=False).pid
os.write(1, f"{child}\\n".encode())
time.sleep(60)
"""


@pytest.mark.parametrize("name", ["mnist.pkl.gz", "mnist_last.pkl.gz", "mnist_best_model"])
def test_a_run_has_one_lock_by_whatever_name_it_is_called(name, tmp_path):
    with lock.acquire(tmp_path / "mnist"), pytest.raises(lock.InUseError):
        lock.acquire(tmp_path / name)


def test_another_program_is_told_who_has_it(tmp_path):
    name = tmp_path / "mnist"
    with hold(name) as process:
        message = f"got checkpoint='{name}', under which another program trains (process {process.pid} on host "
        with pytest.raises(lock.InUseError) as caught:
            lock.acquire(name)
        assert str(caught.value).startswith(message)
        assert str(caught.value).endswith(
            "; need one program for each checkpoint; try another name, or wait until it ends"
        )
        lock.acquire(tmp_path / "other").release()
    lock.acquire(name).release()


def test_a_killed_program_leaves_no_lock(tmp_path):
    with hold(tmp_path / "mnist") as process:
        process.kill()
        process.wait()
        assert os.listdir(tmp_path) == [".mnist.lock"]
        held = lock.acquire(tmp_path / "mnist")
        assert json.loads((tmp_path / ".mnist.lock").read_text())["process"] == os.getpid()
    held.check()
    held.release()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_a_killed_programs_children_do_not_keep_its_lock(how, tmp_path):
    command = [sys.executable, "-c", FORKS, str(tmp_path / "mnist"), how]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        child, said = sorted((process.stdout.readline(), process.stdout.readline()))  # digits come before letters
        child = int(child)
        assert ("a process that does not hold its lock" if how == "fork" else "a") in said
        try:
            with pytest.raises(lock.InUseError):  # the child's release is not that of its parent
                lock.acquire(tmp_path / "mnist")
            process.kill()
            process.wait()
            os.kill(child, 0)
            lock.acquire(tmp_path / "mnist").release()
        finally:
            os.kill(child, signal.SIGKILL)


def test_different_spellings_meet(tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    with lock.acquire("runs/x"):
        for name in ("./runs/../runs/x", tmp_path / "runs/x", "link/x", f"file://{tmp_path}/runs/x"):
            with pytest.raises(lock.InUseError):
                lock.acquire(name)
    assert os.listdir("runs") == []


def test_threads_exclude_each_other(tmp_path):
    """They come and go so fast that a file is often deleted between the steps of another one's."""
    inside, most = [], []

    def come_and_go():
        n_left = 50
        while n_left:
            try:
                with lock.acquire(tmp_path / "mnist"):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
                    n_left -= 1
            except lock.InUseError:
                pass

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 200 and max(most) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("owner", ["lets go before", "has let go"])
def test_a_file_that_is_deleted_meanwhile_is_not_the_lock(owner, tmp_path, monkeypatch):
    first = lock.acquire(tmp_path / "mnist")
    try_to_lock = local._try_to_lock

    def release_first(descriptor):
        monkeypatch.undo()
        if owner == "lets go before":
            first.release()
            return try_to_lock(descriptor)
        (tmp_path / ".mnist.lock").unlink()  # it is about to unlock what it has deleted
        return try_to_lock(descriptor)

    monkeypatch.setattr(local, "_try_to_lock", release_first)
    with lock.acquire(tmp_path / "mnist"):
        with pytest.raises(lock.InUseError):
            lock.acquire(tmp_path / "mnist")
        first.release()
        with pytest.raises(lock.InUseError):
            lock.acquire(tmp_path / "mnist")


def test_a_deleted_file_is_made_again(tmp_path):
    with lock.acquire(tmp_path / "mnist") as held:
        (tmp_path / ".mnist.lock").unlink()
        held.check()
        with pytest.raises(lock.InUseError):
            lock.acquire(tmp_path / "mnist")
        shutil.rmtree(tmp_path)
        held.check()  # the folder is gone, which is for the writer to find


def test_a_folder_that_comes_back_is_locked_again(tmp_path):
    (tmp_path / "runs").mkdir()
    held = lock.acquire(tmp_path / "runs/mnist")
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/.mnist.lock").mkdir()  # so that no file of this name can be opened
    for _ in range(2):
        with pytest.raises(IsADirectoryError):
            held.check()
    (tmp_path / "runs/.mnist.lock").rmdir()
    held.check()
    with pytest.raises(lock.InUseError):
        lock.acquire(tmp_path / "runs/mnist")
    held.release()
    assert os.listdir(tmp_path / "runs") == []


def test_whoever_comes_after_the_file_was_deleted_has_the_lock(tmp_path):
    first = lock.acquire(tmp_path / "mnist")
    (tmp_path / ".mnist.lock").unlink()
    with lock.acquire(tmp_path / "mnist") as second:
        for _ in range(2):
            with pytest.raises(lock.InUseError):
                first.check()
        first.release()
        second.check()
        assert os.listdir(tmp_path) == [".mnist.lock"]


def test_a_release_leaves_the_file_of_another_program(tmp_path):
    first = lock.acquire(tmp_path / "mnist")
    (tmp_path / ".mnist.lock").unlink()
    with lock.acquire(tmp_path / "mnist"):
        first.release()
        assert os.listdir(tmp_path) == [".mnist.lock"]


@pytest.mark.parametrize("why", ["no locks", "no fcntl"])
def test_where_there_are_no_locks_one_warning_says_so(why, tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    if why == "no locks":
        monkeypatch.setattr(local.fcntl, "flock", refuse)
    else:
        monkeypatch.setattr(local, "fcntl", None)
    with lock.acquire(tmp_path / "mnist") as held:
        held.check()
    (record,) = caplog.records
    reason = "No locks available" if why == "no locks" else "this operating system has no flock"
    assert reason in record.getMessage() and "make sure that no other program trains" in record.getMessage()
    assert os.listdir(tmp_path) == []


def test_a_full_disk_does_not_matter(tmp_path):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        held = lock.acquire(tmp_path / "mnist")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    with pytest.raises(lock.InUseError, match=r"another program trains \(it does not say which\)"):
        lock.acquire(tmp_path / "mnist")
    held.release()


def test_a_place_that_cannot_be_written_is_an_ordinary_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        lock.acquire(tmp_path / "file/mnist")
