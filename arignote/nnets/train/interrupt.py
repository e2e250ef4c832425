"""Requests to stop training: Ctrl-C, SIGTERM, and the notice that a spot machine will be taken away."""

import json
import logging
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger(__name__)

METADATA_SERVICE = "http://169.254.169.254"
POLL_SECONDS = 5.0


class Stopped(BaseException):
    """Raised to leave work that need not be finished after a request to stop."""


class StopRequest:
    """While this block runs, a signal requests a stop instead of interrupting the program.

    Training checks `requested` between minibatches; inside `interruptible`, where nothing can be lost, the signal
    raises `Stopped` at once. A second Ctrl-C does not wait: it raises KeyboardInterrupt. Signals that the program
    ignores stay ignored, and outside the main thread, where Python allows no signal handlers, nothing changes.

    Parameters
    ----------
    spot_notice : bool or str, optional
        Watch for the notice that this EC2 spot machine is to be taken away; a string is the address of the metadata
        service.
    raise_interrupt : bool, optional
        After a Ctrl-C, raise KeyboardInterrupt at the end instead of returning; by default False.

    Attributes
    ----------
    requested : bool
    reason : str or None
        "Ctrl-C", "SIGTERM", or a reason in words.
    """

    def __init__(self, spot_notice: bool | str = False, raise_interrupt: bool = False):
        self.raise_interrupt = raise_interrupt
        self.requested = False
        self.reason: str | None = None
        self._signal: int | None = None
        self._earlier: dict[int, Any] = {}
        self._interruptible = False
        address = spot_notice if isinstance(spot_notice, str) else METADATA_SERVICE
        self._watcher = SpotWatcher(self.request, address) if spot_notice else None

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # None is a handler that was not set from Python, which could not be restored.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._earlier[number] = signal.signal(number, self._handle)
        if self._watcher is not None:
            self._watcher.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._watcher is not None:
            self._watcher.stop()
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise `Stopped` if a stop was requested."""
        if self.requested:
            raise Stopped

    def request(self, why: str) -> None:
        """Request a stop."""
        self.requested, self.reason = True, why
        again = " (again: stop at once)" if why == "Ctrl-C" else ""
        logger.warning("Asked to stop by %s%s: finishing this minibatch.", why, again)

    @property
    def is_terminated(self) -> bool:
        """True if a SIGTERM came."""
        return self._signal == signal.SIGTERM

    @property
    def epilogue(self) -> str:
        """What happens next, for the log, if Ctrl-C ended the run."""
        if self.reason != "Ctrl-C":
            return ""
        if self.raise_interrupt:
            return "Stopped by Ctrl-C; a KeyboardInterrupt follows. "
        return 'Stopped by Ctrl-C; the program continues (fit(..., interrupt="raise") would end it). '

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Inside this block, a signal raises `Stopped` at once."""
        self.check()
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False

    def deliver(self) -> None:
        """After the block, when everything is saved: let SIGTERM, and Ctrl-C if wanted, have their usual effects.

        The program's own handler of SIGTERM is called. Without one the program exits, with status 128 + 15.
        """
        if self._signal == signal.SIGINT and self.raise_interrupt:
            raise KeyboardInterrupt
        if self.is_terminated:
            if self._earlier[signal.SIGTERM] == signal.SIG_DFL:
                raise SystemExit(128 + signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)

    def _handle(self, number: int, frame: object) -> None:
        if number == signal.SIGINT and self.requested:
            raise KeyboardInterrupt
        if self._signal != signal.SIGTERM:
            self._signal = number
        self.request("Ctrl-C" if number == signal.SIGINT else "SIGTERM")
        if self._interruptible:
            self._interruptible = False
            raise Stopped


class SpotWatcher:
    """Checks every few seconds whether this EC2 machine will be taken away (metadata service version 2, with a token).

    Where there is no such service, the watcher ends silently.

    Parameters
    ----------
    notify : callable
        Called once, with a description, from the watcher's thread, when there is a notice.
    address : str, optional
        Of the metadata service.
    interval : float, optional
        Seconds between two checks, by default 5.
    """

    def __init__(self, notify: Callable[[str], None], address: str = METADATA_SERVICE, interval: float = POLL_SECONDS):
        self._notify = notify
        self._address = address.rstrip("/")
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="arignote-spot", daemon=True)
        # The service is on this machine: no proxy can reach it.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join(timeout=self._interval)

    def _watch(self) -> None:
        try:
            token = self._new_token()
        except OSError:
            return
        while not self._stopped.is_set():
            try:
                notice = self._ask(token)
                if notice is not None:
                    self._notify(f"the spot notice ({notice})")
                    return
            except urllib.error.HTTPError as error:
                if error.code == 401:  # the token has expired
                    token = self._token_or(token)
            except OSError:
                pass  # try again next time
            self._stopped.wait(self._interval)

    def _new_token(self) -> str:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}
        request = urllib.request.Request(f"{self._address}/latest/api/token", method="PUT", headers=headers)
        with self._opener.open(request, timeout=2) as reply:
            return reply.read(1000).decode("ascii", "replace")

    def _token_or(self, token: str) -> str:
        try:
            return self._new_token()
        except OSError:
            return token

    def _ask(self, token: str) -> str | None:
        """Return what will happen and when, or None if there is no notice (status 404)."""
        url = f"{self._address}/latest/meta-data/spot/instance-action"
        request = urllib.request.Request(url, headers={"X-aws-ec2-metadata-token": token})
        try:
            with self._opener.open(request, timeout=2) as reply:
                content = reply.read(10_000).decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        try:
            action = json.loads(content)
            return f"{action['action']} at {action['time']}"
        except (ValueError, KeyError, TypeError):
            return content[:100]
