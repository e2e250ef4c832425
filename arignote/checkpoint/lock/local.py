"""A lock on a local disk: a file that is locked by the system, which unlocks it when the program ends or is killed."""

import json
import logging
import os
import weakref
from contextlib import suppress
from pathlib import Path

from arignote.checkpoint.lock.owner import InUseError, Lock, Owner, in_use, plain_content

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)


class UnsupportedError(OSError):
    """The file system, or the operating system, has no locks."""


def acquire(name: str | Path, path: Path) -> Lock:
    """Lock a file, which is created; where the file system has no locks, warn, and return a lock that locks nothing.

    Raises
    ------
    InUseError
        If it is locked, by another program or by this one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return FileLock(name, path)
    except UnsupportedError as error:
        path.unlink(missing_ok=True)
        logger.warning(
            "No lock for the checkpoint %s (%s): make sure that no other program trains under this name.", name, error
        )
        return Lock()


class FileLock(Lock):
    """A locked file, which says who has locked it.

    Different spellings of a path lead to the same file, and so to the same lock. Each `FileLock` opens the file anew,
    so that two of them exclude each other in one program, too.
    """

    def __init__(self, name: str | Path, path: Path):
        self._name, self._path = name, path
        self._descriptor: int | None = self._lock()
        _held.add(self)

    def check(self) -> None:
        if self._descriptor is None:
            raise InUseError(
                f"got checkpoint={str(self._name)!r} in a process that does not hold its lock; need the process that "
                "called fit; try to call fit in this one, under another name"
            )
        if not self._path.parent.exists() or _is_at(self._descriptor, self._path):
            return
        # Somebody has deleted the file. It is held until there is another, which may fail for a while.
        deleted, self._descriptor = self._descriptor, self._lock()
        os.close(deleted)

    def release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                if _is_at(descriptor, self._path):
                    self._path.unlink()  # before it is unlocked: later, it may be another program's
            os.close(descriptor)

    def forget(self) -> None:
        """Leave the lock to the process that this one was forked from, which keeps it until its own end."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _lock(self) -> int:
        """Open and lock the file that is at the path, and write into it who has it."""
        while (descriptor := self._try()) is None:
            pass
        with suppress(OSError):  # a disk that is full
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(Owner.this_program().to_plain()).encode() + b"\n", 0)
        return descriptor

    def _try(self) -> int | None:
        """Open and lock the file; return None if its owner has released, and deleted, it at this moment."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        is_held = False
        try:
            locked = _try_to_lock(descriptor)
            is_there = _is_at(descriptor, self._path)
            if is_there and not locked:
                raise in_use(self._name, Owner.from_plain(plain_content(os.pread(descriptor, 10_000, 0))))
            is_held = is_there
        finally:
            if not is_held:
                os.close(descriptor)
        return descriptor if is_held else None


def _try_to_lock(descriptor: int) -> bool:
    """Lock an open file; return False if it is locked already."""
    if fcntl is None:
        raise UnsupportedError("this operating system has no flock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        raise UnsupportedError(f"the file system has no locks: {error}") from error
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Return True if an open file is the one that is at a path now."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


_held: "weakref.WeakSet[FileLock]" = weakref.WeakSet()


def _after_fork() -> None:
    # A lock ends when the last process that has its file open ends, which must not be a worker that was forked.
    for lock in list(_held):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
