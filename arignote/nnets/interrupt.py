"""Being told to stop while training."""

import logging
import signal
import threading

logger = logging.getLogger(__name__)


class StopRequest:
    """While this block runs, Ctrl-C asks to stop instead of breaking off whatever is going on.

    The block looks at `requested` where it can stop. A second Ctrl-C does not wait: it raises KeyboardInterrupt.
    Outside the main thread, where Python lets nobody handle signals, nothing changes.
    """

    def __init__(self):
        self.requested = False
        self._earlier = None

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._earlier = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._earlier is not None:
            signal.signal(signal.SIGINT, self._earlier)

    def _handle(self, number: int, frame: object) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        logger.warning("Asked to stop: finishing this minibatch. Press Ctrl-C again to stop at once.")
