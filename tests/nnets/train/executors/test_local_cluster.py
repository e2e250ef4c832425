"""Where a Ray cluster of this machine listens, and who can read its token."""

import ast
import os
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from arignote.nnets.train.executors import local_cluster
from tests.helpers import ROOT, process_tree, wait_until

USE = """
import os
os.umask(0)
import numpy as np
from arignote.cluster import Cluster
from arignote.data.readers import Data
from tests.helpers import listening_addresses, process_tree

batches = Cluster(1, address="local").prepare(Data(np.ones((40, 3)), np.ones(40)), batch_size=10)
next(batches)  # the worker runs from now on
pids = process_tree(os.getpid())
print([str(address) for address, _ in listening_addresses(pids)])
names = [open(f"/proc/{pid}/cmdline").read().split("\\0")[0] for pid in pids]
sockets = {line.split()[-1] for line in open("/proc/net/unix") if f"_{os.getpid()}/sockets" in line}
print(sorted(sockets))
print([sum(wanted in name for name in names) for wanted in ("/gcs_server", "/raylet", "ray::Worker")])
"""

TRAIN = """
import numpy as np
from arignote.data.readers import Data
from arignote.nnets.callbacks import Callback
from arignote.nnets.nets import NNClassifier, define_mlp

class Say(Callback):
    def on_batch_end(self, classifier, loss):
        print("trained", flush=True)

X = np.random.default_rng(0).random((100_000, 40)).astype("float32")  # in shared memory: 16 MB
data = Data(X, np.arange(100_000) % 3)
NNClassifier(define_mlp(3, [9]), rng=1).fit(data, n_epochs=1000, batch_size=300, workers=2, callbacks=Say())
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Have an empty home; return the path of the token in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", *local_cluster.TOKEN_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / ".ray/auth_token"


@pytest.fixture
def umask_0():
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_real_cluster_listens_on_loopback_alone_and_its_token_is_secret(home):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'arignote[ray]'")
    done = subprocess.run([sys.executable, "-c", USE], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    addresses, sockets, counts = map(ast.literal_eval, done.stdout.splitlines())
    assert set(addresses) <= {"127.0.0.1", "::1"}
    assert len(addresses) >= 5 and counts == [1, 1, 1]  # all processes were looked at, the worker too
    assert mode(home) == 0o600 and mode(home.parent) == 0o700
    assert len(home.read_text()) == 64
    folder = Path(tempfile.gettempdir()) / f"arignote-{os.geteuid()}"
    assert len(sockets) >= 2 and all(Path(name).is_relative_to(folder) for name in sockets)
    assert mode(folder) == 0o700


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
def test_sockets_are_in_a_folder_of_this_user(variable, tmp_path, monkeypatch, umask_0):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # which the module has found earlier
    for _ in range(2):
        assert local_cluster.private_folder() == tmp_path / f"arignote-{os.geteuid()}/ray"
    assert [mode(path) for path in tmp_path.iterdir()] == [0o700]


def others(folder, monkeypatch):
    folder.mkdir(mode=0o700)
    uid = os.geteuid()
    folder.rename(folder.with_name(f"arignote-{uid + 1}"))
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)


@pytest.mark.parametrize(
    "lay_out",
    [
        lambda folder, _: folder.mkdir() or folder.chmod(0o770),
        lambda folder, _: folder.symlink_to(folder.parent),
        lambda folder, _: folder.touch(mode=0o600),
        others,
    ],
    ids=["open to a group", "link", "file", "another user's"],
)
def test_a_folder_that_others_control_is_refused(lay_out, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    lay_out(tmp_path / f"arignote-{os.geteuid()}", monkeypatch)
    with pytest.raises(
        PermissionError, match=r"got .*arignote-\d+, which other users .* need a folder of this user alone"
    ):
        local_cluster.private_folder()


def test_a_new_token_is_secret_whatever_the_umask(home, umask_0):
    local_cluster.protect_token(create=True)
    assert mode(home) == 0o600 and mode(home.parent) == 0o700
    token = home.read_text()
    assert len(bytes.fromhex(token)) == 32
    local_cluster.protect_token(create=True)
    assert home.read_text() == token
    assert [path.name for path in home.parent.iterdir()] == ["auth_token"]


def test_the_file_is_secret_and_hidden_before_it_has_content(home, umask_0, monkeypatch):
    token_hex, seen = local_cluster.secrets.token_hex, []

    def look(n):
        seen.extend((path.name, mode(path)) for path in home.parent.iterdir())
        return token_hex(n)

    monkeypatch.setattr(local_cluster.secrets, "token_hex", look)
    local_cluster.protect_token(create=True)
    ((name, found),) = seen
    assert name.startswith(".auth_token.") and found == 0o600


def test_the_token_of_a_faster_program_counts(home, monkeypatch):
    link = os.link

    def lose(source, target):
        Path(target).write_text("theirs")
        link(source, target)

    monkeypatch.setattr(os, "link", lose)
    local_cluster.protect_token(create=True)
    assert home.read_text() == "theirs"
    assert [path.name for path in home.parent.iterdir()] == ["auth_token"]


def test_a_file_system_without_hard_links(home, monkeypatch):
    def refuse(source, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    local_cluster.protect_token(create=True)
    assert mode(home) == 0o600 and len(home.read_text()) == 64


@pytest.mark.parametrize("create", [False, True])
def test_a_token_that_others_can_read_is_mended_and_told(create, home, caplog):
    home.parent.mkdir()
    home.write_text("mine")
    home.chmod(0o644)
    for _ in range(2):
        local_cluster.protect_token(create)
    assert mode(home) == 0o600 and home.read_text() == "mine"
    (record,) = caplog.records
    assert "auth_token: its mode was 644 and is now 600" in record.getMessage()


def test_the_token_of_another_user_is_refused(home, monkeypatch):
    local_cluster.protect_token(create=True)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(
        PermissionError, match=r"got the token .*auth_token of user \d+; need one of user 12345.*try rem"
    ):
        local_cluster.protect_token(create=False)


@pytest.mark.parametrize(
    ("name", "value"), [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN", "x"), ("RAY_AUTH_TOKEN_PATH", "/there")]
)
def test_without_a_token_or_with_one_from_elsewhere_there_is_no_file(name, value, home, monkeypatch):
    monkeypatch.setenv(name, value)
    local_cluster.protect_token(create=True)
    assert not home.parent.exists()


def test_a_cluster_of_others_gets_no_token(home):
    local_cluster.protect_token(create=False)
    assert not home.parent.exists()


@pytest.mark.parametrize("before", [None, "1"])
def test_a_cluster_of_others_can_be_reached_afterwards(before, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'arignote[ray]'")
    from ray._private import ray_constants

    monkeypatch.delenv(local_cluster.SEVERAL_MACHINES, raising=False)
    if before is not None:
        monkeypatch.setenv(local_cluster.SEVERAL_MACHINES, before)
    with pytest.raises(KeyError), local_cluster.on_loopback():
        assert os.environ[local_cluster.SEVERAL_MACHINES] == "0" and ray_constants.ENABLE_RAY_CLUSTER is False
        raise KeyError
    assert os.environ.get(local_cluster.SEVERAL_MACHINES) == before and ray_constants.ENABLE_RAY_CLUSTER is True


def test_a_cluster_that_listens_on_a_network_is_told(caplog):
    for address in ("127.0.0.1", "::1", "10.0.0.5"):
        local_cluster.warn_of_network(address)
    (record,) = caplog.records
    assert "Ray listens on 10.0.0.5" in record.getMessage()


def shared_memory(pids):
    """Return the files in shared memory that processes have open, and those that are there by name."""
    found = {path.name for path in Path("/dev/shm").glob("*") if "plasma" in path.name or "ray" in path.name}
    for pid in pids:
        for path in Path(f"/proc/{pid}/fd").glob("*"):
            with suppress(OSError):
                found |= {link for link in [os.readlink(path)] if link.startswith("/dev/shm/")}
    return found


def running(pids):
    """Return the names of those processes that still run; one that waits for its parent to ask for it does not."""
    found = {}
    for pid in pids:
        with suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found[pid] = Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0].rpartition("/")[2]
    return found


@pytest.mark.slow
def test_a_killed_driver_leaves_neither_processes_nor_shared_memory():
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'arignote[ray]'")
    command, before = [sys.executable, "-c", TRAIN], shared_memory([])
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as driver:
        assert [driver.stdout.readline() for _ in range(5)] == ["trained\n"] * 5
        pids = process_tree(driver.pid)
        names = running(pids).values()
        assert {"gcs_server", "raylet"} <= set(names) and sum("ray::Worker" in name for name in names) == 2
        assert any("plasma" in name for name in shared_memory(pids))
        driver.send_signal(signal.SIGKILL)
    agents = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
    wait_until(lambda: all(name.strip() in agents for name in running(pids).values()), 30)
    wait_until(lambda: shared_memory(pids) == before, 30)
    wait_until(lambda: not running(pids), 150)  # the agents ask for the server for a minute
