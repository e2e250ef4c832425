"""A cluster of this machine: no other machine reaches it, and nobody else reads its token."""

import contextlib
import os
import stat
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from arignote.nnets.train.executors import ray_access
from tests.helpers import ROOT, wait_until


def run(code, **environment):
    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


SOCKETS = """
    import contextlib
    import os
    from pathlib import Path

    def family(pid):
        found = [pid]
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in path.read_text().split():
                found += family(child)
        return found

    def listening():
        own = set()
        for pid in family(os.getpid()):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # closed at this moment
                    own.add(os.readlink(descriptor))
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                    yield fields[1].partition(":")[0]
"""

# 127.0.0.1, and the same as an address of IPv6, as the kernel writes them.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}


@pytest.mark.parametrize("first", ["", pytest.param("import ray", marks=pytest.mark.slow)])
def test_a_cluster_of_this_machine_listens_on_loopback_alone(first, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'arignote[ray]'")
    code = f"""
        import os
        {first}
        from arignote.cluster import Cluster
        {textwrap.indent(textwrap.dedent(SOCKETS), " " * 8).strip()}

        os.umask(0)
        Cluster(1).connect()
        import ray
        ray.get(ray.remote(lambda: 1).remote())
        print(*listening())
        ray.shutdown()
    """
    token = tmp_path / "mine/auth_token"
    found = run(code, RAY_AUTH_TOKEN_PATH=str(token))
    assert len(found) >= 5 and set(found) <= LOOPBACK
    assert stat.S_IMODE(token.stat().st_mode) == 0o600 and len(token.read_text()) == 64


def test_the_environment_is_as_before(monkeypatch):
    monkeypatch.setenv(ray_access.OF_SEVERAL_MACHINES, "1")
    with ray_access.on_loopback():
        assert os.environ[ray_access.OF_SEVERAL_MACHINES] == "0"
    assert os.environ[ray_access.OF_SEVERAL_MACHINES] == "1"
    monkeypatch.delenv(ray_access.OF_SEVERAL_MACHINES)
    with ray_access.on_loopback():
        pass
    assert ray_access.OF_SEVERAL_MACHINES not in os.environ


def test_a_token_that_others_can_read_is_protected_and_said(tmp_path, caplog):
    token = tmp_path / "auth_token"
    token.write_text("secret")
    token.chmod(0o644)
    ray_access.protect_token(token)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert "could be read by others; it has mode 0600 now" in caplog.text
    caplog.clear()
    ray_access.make_token(token)
    ray_access.protect_token(token)
    assert token.read_text() == "secret" and not caplog.text


def test_a_new_token_can_never_be_read_by_others(tmp_path):
    before = os.umask(0)
    try:
        ray_access.make_token(tmp_path / "mine/auth_token")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("mine", "mine/auth_token")]
    assert modes == [0o700, 0o600]


def test_a_token_of_somebody_else_that_others_can_read_is_refused(tmp_path, monkeypatch):
    token = tmp_path / "auth_token"
    token.write_text("secret")
    token.chmod(0o644)
    monkeypatch.setattr(os, "getuid", lambda: token.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="which others can read .*need one of your own"):
        ray_access.protect_token(token)
    assert stat.S_IMODE(token.stat().st_mode) == 0o644


def test_where_the_token_is(monkeypatch, tmp_path):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ray_access.token_path() == tmp_path / ".ray/auth_token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/etc/token")
    assert ray_access.token_path() == Path("/etc/token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "abc")
    assert ray_access.token_path() is None


def processes_of(folder):
    """Return the processes that mention a folder on their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in path.read_bytes() and path.parent.name != str(os.getpid()):
                found.append(path.parent.name)
    return found


@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_nothing_behind(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'arignote[ray]'")
    code = """
        import numpy as np
        from arignote.nnets.nets import NNClassifier, define_mlp
        X, y = np.random.rand(2000, 50), np.arange(2000) % 3
        NNClassifier(define_mlp([9], 3), rng=1).fit(X, y, n_epochs=10_000, batch_size=200, workers=2)
    """
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:  # a short name, since sockets are in it
        before = set(os.listdir("/dev/shm"))
        environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": folder}
        command = [sys.executable, "-c", textwrap.dedent(code)]
        driver = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        for line in driver.stderr:
            if "3/10000" in line:
                break
        assert len(processes_of(folder)) >= 2
        driver.kill()
        driver.communicate()
        wait_until(lambda: not processes_of(folder), seconds=120)
        assert set(os.listdir("/dev/shm")) <= before
