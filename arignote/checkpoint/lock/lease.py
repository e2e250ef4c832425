"""A lock in a store that has none, such as S3: a lease, which its owner renews, and which expires if it does not.

Clocks of two machines are not compared. A lease has expired if it has not changed for its whole length while somebody
watched it.
"""

import json
import logging
import os
import threading
import time
from pathlib import Path

from arignote.checkpoint.lock.owner import InUseError, Lock, Owner, in_use, plain_content
from arignote.data import storage

logger = logging.getLogger(__name__)

SECONDS = 30.0
MOMENT = 1.0
RENEWALS = 3  # within the length of a lease, so that one may fail


class Lease(Lock):
    """A lease, renewed by a thread.

    Parameters
    ----------
    name : str or Path
        Of the checkpoint, for messages.
    address : str
        Of the lease.
    seconds : float
        Its length.
    moment : float
        How long after writing it to make sure that no other program has written it, too.

    Raises
    ------
    InUseError
        If another program has the lease, and renews it.
    OSError
        If the store cannot be used.
    """

    def __init__(self, name: str | Path, address: str, seconds: float, moment: float):
        self._name, self._address = name, address
        self._seconds, self._moment = seconds, moment
        self._owner = Owner.this_program()
        self._n_renewals = 0
        self._lost: InUseError | None = None
        self._released = threading.Event()
        self._busy = threading.Lock()
        self._take()
        self._thread = threading.Thread(target=self._keep, name="arignote-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        with self._busy:
            if not self._released.is_set():
                self._renew()

    def release(self) -> None:
        # In a process that was forked, the lease is that of its parent.
        if self._released.is_set() or os.getpid() != self._owner.process:
            return
        self._released.set()
        if self._busy.acquire(timeout=self._seconds):  # a request may be on its way
            try:
                if self._lost is None and self._is_own(self._read()):
                    storage.delete(self._address)
            except Exception as error:  # a network can fail in many ways
                logger.warning("The lease %s could not be deleted (%s); it expires.", self._address, error)
            finally:
                self._busy.release()
        self._thread.join(timeout=self._seconds)

    # -- to get it ---------------------------------------------------------------------------------------------------

    def _take(self) -> None:
        """Create the lease, or take over one that has expired."""
        found = self._read()
        if found is None:
            try:
                if storage.create(self._address, self._content()):
                    return
            except FileExistsError:
                self._require_own(self._read())  # own, if the answer to the request was lost and it was sent again
                return
        else:
            self._wait_until_expired(found)
            storage.put(self._address, self._content())
        time.sleep(self._moment)  # others may have done the same; the last of them has it
        self._require_own(self._read())

    def _wait_until_expired(self, found: bytes) -> None:
        content = plain_content(found)
        owner = Owner.from_plain(content)
        if owner is not None and owner.has_ended():
            logger.info("The lease %s is that of %s, which has ended.", self._address, owner)
            return
        seconds = _length(content)
        who = owner or "another program"
        logger.warning("Checkpoint %s: waiting up to %g s for the lease of %s to expire.", self._name, seconds, who)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(seconds / 30)
            now = self._read()
            if now is None:
                # What this program has read of the checkpoint may be older than what the other one has written last.
                raise InUseError(
                    f"got checkpoint={str(self._name)!r}, under which another program trained until now ({who}); "
                    "need what it has written; try the same again, reading the checkpoint first"
                )
            if now != found:
                raise in_use(self._name, Owner.from_plain(plain_content(now)) or owner)

    # -- to keep it --------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Renew the lease until it is released or lost."""
        fails = False
        while not self._released.wait(self._seconds / RENEWALS):
            try:
                self.check()
                fails = False
            except InUseError as error:
                logger.error("%s. This program writes no more checkpoints.", error)
                return
            except Exception as error:
                if not fails:
                    logger.warning("The lease %s could not be renewed (%s). Training continues.", self._address, error)
                fails = True

    def _renew(self) -> None:
        if self._lost is None:
            found = self._read()
            is_damaged = found is not None and Owner.from_plain(plain_content(found)) is None  # by a request cut off
            if not self._is_own(found) and not is_damaged:
                self._lost = self._taken_over(found)
        if self._lost is not None:
            raise self._lost
        self._n_renewals += 1
        storage.put(self._address, self._content())

    def _taken_over(self, found: bytes | None) -> InUseError:
        """Return the error for a program that has lost its lease, and does not get it back."""
        owner = None if found is None else Owner.from_plain(plain_content(found))
        return InUseError(
            f"got checkpoint={str(self._name)!r}, which another program has taken over "
            f"({owner or 'it has ended since'}): the lease was not renewed for {self._seconds:g} s, or was deleted; "
            "need one program for each checkpoint; try the same again when that one has ended"
        )

    # -- the file ----------------------------------------------------------------------------------------------------

    def _content(self) -> bytes:
        about = {"seconds": self._seconds, "renewals": self._n_renewals}
        return json.dumps(self._owner.to_plain() | about).encode() + b"\n"

    def _read(self) -> bytes | None:
        try:
            return storage.read(self._address)
        except FileNotFoundError:
            return None

    def _is_own(self, found: bytes | None) -> bool:
        return found is not None and Owner.from_plain(plain_content(found)) == self._owner

    def _require_own(self, found: bytes | None) -> None:
        if not self._is_own(found):
            raise in_use(self._name, None if found is None else Owner.from_plain(plain_content(found)))


def _length(content: object) -> float:
    """Return the length of a lease that was read."""
    seconds = content.get("seconds") if isinstance(content, dict) else None
    return float(seconds) if isinstance(seconds, int | float) else SECONDS
