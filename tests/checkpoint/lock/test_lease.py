import json
import logging
import os
import threading
import time

import pytest

from arignote.checkpoint import lock
from arignote.checkpoint.lock import lease
from arignote.checkpoint.lock import owner as owner_module
from arignote.checkpoint.lock.owner import Owner
from arignote.data import storage
from tests.helpers import hold, wait_until

fsspec = pytest.importorskip("fsspec")
SECONDS = 0.6


@pytest.fixture
def name(tmp_path):
    """Return an address in a store where there is nothing at it."""
    return f"memory:/{tmp_path}/mnist"


def content_of(name):
    return json.loads(storage.read(f"{name}.lock"))


def leave(name, seconds=SECONDS, **changes):
    """Leave the lease of a program that was killed on another machine; return who that was."""
    owner = {"host": "elsewhere", "process": 12, "since": "yesterday", "machine": "another", "key": "k"} | changes
    storage.write(f"{name}.lock", json.dumps(owner | {"seconds": seconds, "renewals": 3}).encode())
    return owner


def take_all_at_once(name, n_programs, seconds=SECONDS, moment=0.0):
    """Let several threads take a lease at the same moment; return those who got it, and the errors of the others."""
    barrier, got, refused = threading.Barrier(n_programs), [], []

    def take():
        barrier.wait()
        try:
            got.append(lock.acquire(name, seconds, moment))
        except lock.InUseError as error:
            refused.append(error)

    threads = [threading.Thread(target=take) for _ in range(n_programs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got, refused


def test_a_lease_that_did_not_arrive_as_a_whole_is_written_again(name):
    with lock.acquire(name, SECONDS) as held:
        storage.write(f"{name}.lock", json.dumps(content_of(name)).encode()[:40])
        held.check()
        assert content_of(name)["process"] == os.getpid()


def test_a_second_program_waits_for_a_renewal_and_is_told(name, caplog):
    with lock.acquire(name, SECONDS) as held:
        with pytest.raises(lock.InUseError, match=f"another program trains .process {os.getpid()} on host .* since "):
            lock.acquire(name, SECONDS)
        assert f"waiting up to {SECONDS:g} s for the lease of process {os.getpid()} " in caplog.text
        held.check()
    assert not storage.exists(f"{name}.lock")
    lock.acquire(name).release()


def test_it_is_renewed_until_it_is_released(name):
    held = lock.acquire(name, 0.09)
    wait_until(lambda: content_of(name)["renewals"] >= 3)
    held.release()
    held.release()
    held.check()  # as the thread does that was about to renew it
    assert not storage.exists(f"{name}.lock")
    assert not [thread for thread in threading.enumerate() if thread.name == "arignote-lease"]


def test_a_killed_programs_lease_expires_and_is_taken_over(name, caplog):
    leave(name)
    started = time.monotonic()
    with lock.acquire(name, 30, moment=0.01) as held:
        assert SECONDS <= time.monotonic() - started < SECONDS + 5
        assert (
            "waiting up to 0.6 s for the lease of process 12 on host elsewhere since yesterday to expire" in caplog.text
        )
        assert content_of(name)["process"] == os.getpid()
        held.check()


@pytest.mark.parametrize("text", [b"", b"[1]", b'{"host": 1}', b"\xff"])
def test_a_lease_that_cannot_be_read_expires_too(text, name, monkeypatch):
    monkeypatch.setattr(lease, "SECONDS", 0.1)
    storage.write(f"{name}.lock", text)
    with lock.acquire(name, moment=0.01):
        assert content_of(name)["process"] == os.getpid()


def test_a_program_that_ended_on_this_machine_is_not_waited_for(bucket, caplog):
    """A real one, killed, on a real server."""
    caplog.set_level(logging.INFO)
    name = f"{bucket}/leases/killed"
    with hold(name) as process:
        process.kill()
        process.wait()
        assert content_of(name)["process"] == process.pid
        started = time.monotonic()
        with lock.acquire(name, moment=0.1):
            assert time.monotonic() - started < 10
            assert "waiting" not in caplog.text and f"process {process.pid} on host" in caplog.text
    assert not storage.exists(f"{name}.lock")


def test_a_program_that_runs_on_a_store_is_seen_by_another(bucket):
    name = f"{bucket}/leases/running"
    with hold(name, SECONDS) as process, pytest.raises(lock.InUseError, match=f"process {process.pid} on host"):
        lock.acquire(name)
    assert not storage.exists(f"{name}.lock")


def test_process_numbers_count_on_the_same_machine_only(monkeypatch):
    owner = Owner.this_program()
    assert not owner.has_ended()
    gone = os.fork()
    if gone == 0:
        os._exit(0)
    os.waitpid(gone, 0)
    plain = owner.to_plain() | {"process": gone}
    assert Owner.from_plain(plain).has_ended()
    assert not Owner.from_plain(plain | {"machine": "another"}).has_ended()
    assert not Owner.from_plain(plain | {"machine": None}).has_ended()
    assert not Owner.from_plain(plain | {"process": 2**70}).has_ended()
    monkeypatch.setattr(owner_module, "_machine", lambda: None)
    assert not Owner.from_plain(plain | {"machine": None}).has_ended()


def test_a_program_that_ends_while_it_is_watched_has_written_something_new(name):
    leave(name, seconds=30)
    threading.Timer(0.3, lambda: storage.delete(f"{name}.lock")).start()
    with pytest.raises(lock.InUseError, match="another program trained until now .*try the same again"):
        lock.acquire(name)
    assert not storage.exists(f"{name}.lock")


@pytest.mark.parametrize("exclusive", [True, False])
def test_of_programs_that_begin_at_once_one_has_it(exclusive, bucket, monkeypatch):
    if not exclusive:
        monkeypatch.setattr(storage, "EXCLUSIVE", frozenset())
    name = f"{bucket}/leases/at_once_{exclusive}"
    got, refused = take_all_at_once(name, 4, moment=0.0 if exclusive else 1.0)
    assert len(got) == 1 and len(refused) == 3
    got[0].check()
    got[0].release()


def test_without_exclusive_files_a_program_waits_for_others_that_write_theirs_a_moment_later(name, monkeypatch):
    monkeypatch.setattr(storage, "EXCLUSIVE", frozenset())
    later = threading.Timer(0.1, lambda: leave(name))
    later.start()
    with pytest.raises(lock.InUseError, match="process 12 on host elsewhere"):
        lock.acquire(name, moment=0.5)
    later.join()


def test_of_programs_that_wait_for_the_same_lease_one_has_it(name):
    leave(name, seconds=0.3)
    got, refused = take_all_at_once(name, 4, moment=0.3)
    assert len(got) == 1 and len(refused) == 3
    got[0].check()
    got[0].release()


def test_a_lease_that_was_taken_over_does_not_come_back(name):
    held = lock.acquire(name)
    held.check()
    other = leave(name)
    message = "another program has taken over .process 12 on host elsewhere"
    with pytest.raises(lock.InUseError, match=message):
        held.check()
    assert content_of(name)["key"] == other["key"]
    storage.delete(f"{name}.lock")  # the other one has ended, and left its checkpoints
    with pytest.raises(lock.InUseError, match=message):
        held.check()
    held.release()
    assert not storage.exists(f"{name}.lock")


def test_a_lease_that_is_gone_may_have_been_another_programs(name):
    held = lock.acquire(name)
    storage.delete(f"{name}.lock")
    with pytest.raises(lock.InUseError, match=r"has taken over \(it has ended since\)"):
        held.check()
    held.release()
    assert not storage.exists(f"{name}.lock")


def test_a_program_that_lost_its_lease_leaves_the_others(name):
    held = lock.acquire(name)
    other = leave(name)
    held.release()
    assert content_of(name)["key"] == other["key"]


def test_the_thread_says_so_and_ends(name, caplog):
    held = lock.acquire(name, 0.09)
    leave(name)
    held._thread.join(20)
    assert not held._thread.is_alive()
    assert caplog.text.count("This program writes no more checkpoints") == 1
    held.release()


def test_an_outage_is_survived(name, monkeypatch, caplog):
    with lock.acquire(name, 0.09) as held:
        failures = []

        def fail(name):
            failures.append(name)
            raise OSError("no route to host")

        with monkeypatch.context() as outage:
            outage.setattr(storage, "read", fail)
            wait_until(lambda: len(failures) >= 3)
            with pytest.raises(OSError, match="no route to host"):
                held.check()
        before = content_of(name)["renewals"]
        wait_until(lambda: content_of(name)["renewals"] > before)
        assert caplog.text.count("could not be renewed (no route to host). Training continues") == 1
        held.check()


def test_an_outage_at_the_end_is_reported(name, monkeypatch, caplog):
    held = lock.acquire(name)
    with monkeypatch.context() as outage:
        outage.setattr(storage, "delete", lambda name: 1 / 0)
        held.release()
    assert "could not be deleted (division by zero); it expires" in caplog.text


def test_a_request_whose_answer_was_lost_has_created_it(name, monkeypatch):
    def create_twice(address, content):
        storage.write(address, content)
        raise FileExistsError(address)

    monkeypatch.setattr(storage, "create", create_twice)
    with lock.acquire(name) as held:
        held.check()
        assert content_of(name)["key"] == held._owner.key


def test_a_process_that_was_forked_leaves_the_lease(tmp_path):
    held = lease.Lease("mnist", f"file://{tmp_path}/lock", 30, 0.0)
    child = os.fork()
    if child == 0:
        held.release()
        os._exit(0)
    os.waitpid(child, 0)
    held.check()
    held.release()
    assert os.listdir(tmp_path) == []
