"""Files with atomic transactions: a commit is applied completely or not at all, even if the program is killed.

Data appended to the file are written immediately, since nothing refers to them yet. Changes within the committed part
are buffered. `commit` first writes these changes to a journal next to the file, then applies them to the file, then
removes the journal. If a complete journal is found later, `recover` applies it; without one, the file is unchanged.
"""

import os
import pickle
import zlib
from collections.abc import Mapping
from pathlib import Path

from arignote.data import atomic, unpickle

PAGE = 4096


def journal_path(path: str | Path) -> Path:
    """Return the path of the journal of a file."""
    path = Path(path)
    return path.with_name(f"{path.name}.journal")


def recover(path: str | Path) -> bool:
    """Complete an interrupted commit; return True if there was one.

    Examples
    --------
    >>> recover("there is no such file")
    False
    """
    journal = journal_path(path)
    if not journal.is_file():
        return False
    content = journal.read_bytes()
    checksum, body = content[:4], content[4:]
    if zlib.crc32(body).to_bytes(4, "little") != checksum:
        raise ValueError(
            f"got a damaged journal {journal}; need an intact one; try removing it if its file can be read"
        )
    pages, _ = unpickle.loads(body)
    _apply(path, pages)
    journal.unlink(missing_ok=True)
    return True


def _apply(path: str | Path, pages: Mapping[int, bytes | bytearray]) -> None:
    with open(path, "r+b") as file:
        for number, page in sorted(pages.items()):
            file.seek(number * PAGE)
            file.write(page)
        file.flush()
        os.fsync(file.fileno())


class JournaledFile:
    """A binary file, open for reading and writing, whose changes are applied atomically by `commit`.

    It implements the methods that h5py needs of a file object.

    Parameters
    ----------
    path : str or Path
        An existing file.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        recover(self.path)
        self._file = open(self.path, "r+b")  # noqa: SIM115
        self._committed = self._file.seek(0, os.SEEK_END)
        self._end = self._committed
        self._position = 0
        self._pages: dict[int, bytearray] = {}

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return bytes from the current position, including uncommitted changes."""
        buffer = bytearray(max(0, self._end - self._position) if size < 0 else size)
        return bytes(buffer[: self.readinto(memoryview(buffer))])

    def readinto(self, buffer: memoryview) -> int:
        """Read bytes from the current position into a buffer, including uncommitted changes."""
        view = memoryview(buffer).cast("B")
        start = self._position
        stop = start + max(0, min(len(view), self._end - start))
        self._file.seek(start)
        n_read = self._file.readinto(view[: stop - start])
        view[n_read : stop - start] = bytes(stop - start - n_read)  # buffered changes may be beyond the end of the file
        for number in range(start // PAGE, -(-stop // PAGE)) if self._pages else ():
            if number in self._pages:
                first, last = max(start, number * PAGE), min(stop, (number + 1) * PAGE)
                page = self._pages[number]
                view[first - start : last - start] = page[first - number * PAGE : last - number * PAGE]
        self._position = stop
        return stop - start

    def write(self, data: bytes) -> int:
        """Write at the current position: beyond the committed end immediately, elsewhere to the buffer."""
        view = memoryview(data).cast("B")
        first, last = self._position, self._position + len(view)
        direct = max(first, -(-self._committed // PAGE) * PAGE)  # the page of the committed end is buffered as a whole
        while first < min(last, direct):
            number = first // PAGE
            stop = min(last, (number + 1) * PAGE)
            page = self._page(number)
            page[first - number * PAGE : stop - number * PAGE] = view[first - self._position : stop - self._position]
            first = stop
        if first < last:
            self._file.seek(first)
            self._file.write(view[first - self._position :])
        self._position = last
        self._end = max(self._end, last)
        return len(view)

    def _page(self, number: int) -> bytearray:
        """Return the buffered page of this number."""
        if number not in self._pages:
            self._file.seek(number * PAGE)
            self._pages[number] = bytearray(self._file.read(PAGE).ljust(PAGE, b"\0"))
        return self._pages[number]

    def truncate(self, size: int) -> int:
        """Truncate the file, but not below its committed size: nothing refers to that part any more."""
        self._end = max(size, self._committed)
        return size

    def flush(self) -> None:
        """Do nothing: changes are applied by `commit`."""

    def commit(self) -> None:
        """Apply all changes atomically."""
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._pages:
            body = pickle.dumps({number: bytes(page) for number, page in self._pages.items()}, protocol=4)
            content = zlib.crc32(body).to_bytes(4, "little") + body
            journal = journal_path(self.path)
            atomic.write(journal, lambda file: file.write(content))
            _apply(self.path, self._pages)
            journal.unlink()
            self._pages = {}
        self._committed = self._end = self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close the file; discard uncommitted changes."""
        self._file.close()
