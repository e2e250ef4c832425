import threading
import time

import pytest

from arignote.data.prefetch import Prefetcher


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "arignote-prefetch"]


def test_gives_everything_in_order():
    with Prefetcher(lambda: iter(range(100))) as items:
        assert list(items) == list(range(100))
    assert not threads()


def test_works_ahead_but_not_too_far():
    made = []

    def make():
        for i in range(100):
            made.append(i)
            yield i

    with Prefetcher(make, depth=3) as items:
        deadline = time.monotonic() + 10
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.05)
        assert len(made) == 4  # three wait in the queue, one for room in it
        assert next(iter(items)) == 0


def test_errors_are_raised_where_the_items_are_read_with_their_traceback():
    def guilty():
        yield 1
        raise ZeroDivisionError("in the thread")

    with pytest.raises(ZeroDivisionError, match="in the thread") as caught, Prefetcher(guilty) as items:
        assert next(iter(items)) == 1
        list(items)
    assert "guilty" in [entry.name for entry in caught.traceback]
    assert not threads()


def test_an_error_before_the_first_item_is_raised_too():
    def fail():
        raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"), Prefetcher(fail) as items:
        list(items)


@pytest.mark.parametrize("read", [0, 1, 5])
def test_leaving_early_ends_the_thread_and_closes_the_iterator(read):
    closed = []

    def make():
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    with Prefetcher(make) as items:
        iterator = iter(items)
        for _ in range(read):
            next(iterator)
    assert not threads()
    assert closed == [True]


def test_leaving_by_an_error_ends_the_thread():
    with pytest.raises(KeyboardInterrupt), Prefetcher(lambda: iter(range(1000))):
        raise KeyboardInterrupt
    assert not threads()
