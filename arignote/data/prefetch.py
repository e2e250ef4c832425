"""A thread that prepares batches while the network trains on earlier ones."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

from arignote.data.reader import closing

_END = object()


def threaded_generator(generator: Iterator[Any], num_cached: int = 3) -> Iterator[Any]:
    """Iterate over what a generator yields, which runs in a thread, up to `num_cached` items ahead.

    Examples
    --------
    >>> list(threaded_generator(n * n for n in range(4)))
    [0, 1, 4, 9]
    """
    with Prefetcher(lambda: generator, num_cached) as items:
        yield from items


class Prefetcher:
    """Run an iterator in a separate thread, and pass on its items in order.

    Use it as a context manager: when the block is left, for whatever reason, the thread has ended and the iterator is
    closed. An exception in the thread is raised in the reader of the batches, with the thread's own traceback.

    Parameters
    ----------
    make_iterator : callable
        Returns the iterator; called in the thread.
    depth : int, optional
        How many items to prepare ahead, by default 2.

    Examples
    --------
    >>> with Prefetcher(lambda: (n * n for n in range(4))) as squares:
    ...     list(squares)
    [0, 1, 4, 9]
    """

    def __init__(self, make_iterator: Callable[[], Iterator[Any]], depth: int = 2):
        self._make_iterator = make_iterator
        self._items: queue.Queue = queue.Queue(maxsize=depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="arignote-prefetch", daemon=True)

    def __enter__(self) -> "Prefetcher":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        while self._thread.is_alive():
            # The thread may be waiting for a free place in the queue: make some, until it sees the flag.
            try:
                self._items.get_nowait()
            except queue.Empty:
                self._thread.join(timeout=0.01)

    def __iter__(self) -> Iterator[Any]:
        while True:
            item, error = self._items.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item

    def _work(self) -> None:
        try:
            with closing(self._make_iterator()) as iterator:
                for item in iterator:
                    self._items.put((item, None))
                    if self._stopped.is_set():
                        return
        except BaseException as error:
            self._items.put((None, error))
        else:
            self._items.put((_END, None))
