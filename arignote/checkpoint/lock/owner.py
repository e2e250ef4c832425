"""What a lock is, who holds it, and the error for those who come later."""

import json
import os
import socket
import time
import uuid
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self


class InUseError(RuntimeError):
    """Another program trains under the name of a checkpoint."""


class Lock:
    """A lock that is held until it is released. This one locks nothing; it is for places where locks do not work."""

    def check(self) -> None:
        """Make sure that the lock is still held.

        Raises
        ------
        InUseError
            If another program has it now.
        OSError
            If this cannot be found out at the moment.
        """

    def release(self) -> None:
        """Release the lock. More than one call does no harm."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


@dataclass(frozen=True)
class Owner:
    """The program that holds a lock.

    Attributes
    ----------
    host : str
    process : int
        Its number, which means something on the same machine only.
    since : str
        When it got the lock, by its own clock.
    machine : str or None
        Where its number is valid: this boot of this machine and, for containers, their list of processes.
    key : str
        Random, unlike that of any other owner.
    """

    host: str
    process: int
    since: str
    machine: str | None
    key: str

    @classmethod
    def this_program(cls) -> Self:
        """Return the program that calls this, as a new owner."""
        now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        return cls(socket.gethostname(), os.getpid(), now, _machine(), uuid.uuid4().hex)

    @classmethod
    def from_plain(cls, content: Any) -> Self | None:
        """Return the owner in what was read from a lock, or None if it has no owner."""
        try:
            return cls(**{field.name: content[field.name] for field in fields(cls)})
        except (KeyError, TypeError):
            return None

    def to_plain(self) -> dict[str, Any]:
        """Return the owner as a dictionary."""
        return asdict(self)

    def __str__(self) -> str:
        return f"process {self.process} on host {self.host} since {self.since}"

    def has_ended(self) -> bool:
        """Return True if it is known that the program no longer runs: it ran on this machine."""
        if self.machine is None or self.machine != _machine():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError, TypeError):
            return False
        return False


def plain_content(text: bytes) -> Any:
    """Return what was written to a lock, or None if it cannot be understood, as while it is being written."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def in_use(name: str | Path, owner: Owner | None) -> InUseError:
    """Return the error for a program that comes later."""
    return InUseError(
        f"got checkpoint={str(name)!r}, under which another program trains ({owner or 'it does not say which'}); "
        "need one program for each checkpoint; try another name, or wait until it ends"
    )


def _machine() -> str | None:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return None
