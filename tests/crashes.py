"""Power cuts: every state of a folder that a file system may leave, if the machine stops while a program writes there.

POSIX promises little of what was not synced. After a power cut each of these may have happened or not, whatever the
order in which it was asked for: a write to a file that was not synced since, which may also be cut off in the middle;
and a new name, a renaming or a deletion, if the folder was not synced since. `record` notes what a program asks for,
and `states` lists what may be left.
"""

import builtins
import io
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

Names = dict[str, int]  # a folder: name -> number of the file
MAX_SUBSETS = 64


@dataclass
class Recording:
    """What happened in a folder.

    Attributes
    ----------
    events : list of tuple
        ("name", {name: file or None}) for a change of names, which is atomic; ("write", file, offset, content);
        ("size", file, n_bytes); ("sync", file); ("sync folder",); and whatever `mark` noted.
    before : dict
        The names at the beginning.
    contents : dict
        The contents of these files.
    """

    before: Names = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    events: list[tuple] = field(default_factory=list)

    def mark(self, what: Any) -> None:
        """Note a moment, such as that something was promised."""
        self.events.append(("mark", what))


class _File(io.FileIO):
    """A file, not buffered, whose changes are recorded."""

    def __init__(self, file: Any, mode: str, note: Callable, number: int):
        super().__init__(file, mode.replace("b", ""))
        self._note, self._number = note, number

    def write(self, data: Any) -> int:
        offset = self.tell()
        self._note("write", self._number, offset, bytes(data))
        n = super().write(data)
        assert n == len(memoryview(data).cast("B"))
        return n

    def truncate(self, size: int | None = None) -> int:
        self._note("size", self._number, self.tell() if size is None else size)
        return super().truncate(size)


@contextmanager
def record(folder: Path) -> Iterator[Recording]:
    """Record what this program does to the files in a folder, by the functions of `os` and by `open`."""
    recorder = _Recorder(folder)
    with (
        mock.patch.multiple(os, **{name: getattr(recorder, name) for name in recorder.real if name != "open_file"}),
        mock.patch.object(builtins, "open", recorder.open_file),
    ):
        yield recorder.recording


class _Recorder:
    """Stands for the functions that change files: calls them, and notes what they do in one folder."""

    FOLDER = -1  # the number of the folder itself, among those of its files

    def __init__(self, folder: Path):
        self.folder, self.recording = folder, Recording()
        names = ("open", "fdopen", "link", "replace", "rename", "unlink", "remove", "fsync")
        self.real: dict[str, Any] = {name: getattr(os, name) for name in names} | {"open_file": builtins.open}
        self._next = itertools.count()
        self._numbers: dict[str, int] = {}  # by name, at present
        self._open: dict[int, int] = {}  # by descriptor
        for path in sorted(folder.iterdir()):
            self._numbers[path.name] = next(self._next)
            self.recording.contents[self._numbers[path.name]] = path.read_bytes()
        self.recording.before = dict(self._numbers)

    # -- notes -------------------------------------------------------------------------------------------------------

    def _note(self, *event: Any) -> None:
        self.recording.events.append(event)

    def _name(self, path: Any) -> str | None:
        """Return the name of a file in the folder; None for any other."""
        found = Path(os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else None
        return found.name if found is not None and found.parent == self.folder else None

    def _change(self, names: dict[str, int | None]) -> None:
        self._note("name", names)
        self._numbers = {name: n for name, n in (self._numbers | names).items() if n is not None}

    def _opened(self, name: str, truncated: bool) -> int:
        """Note that a file was opened to be written; return its number."""
        if name not in self._numbers:
            self._change({name: next(self._next)})
        elif truncated:
            self._note("size", self._numbers[name], 0)
        return self._numbers[name]

    # -- in place of os.* and open ------------------------------------------------------------------------------------

    def open(self, path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        descriptor = self.real["open"](path, flags, *arguments, **named)
        name = self._name(path)
        self._open.pop(descriptor, None)
        if name is not None and flags & (os.O_WRONLY | os.O_RDWR):
            self._open[descriptor] = self._opened(name, bool(flags & os.O_TRUNC))
        elif Path(os.fsdecode(path)) == self.folder:
            self._open[descriptor] = self.FOLDER
        return descriptor

    def fdopen(self, descriptor: int, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if descriptor in self._open and mode in ("wb", "r+b"):
            return _File(descriptor, mode, self._note, self._open[descriptor])
        return self.real["fdopen"](descriptor, mode, *arguments, **named)

    def open_file(self, path: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        name = self._name(path)
        if name is None or mode in ("r", "rb"):
            return self.real["open_file"](path, mode, *arguments, **named)
        number = self._opened(name, "w" in mode)
        file = _File(path, mode, self._note, number)
        self._open[file.fileno()] = number
        return file

    def link(self, source: Any, target: Any) -> None:
        self.real["link"](source, target)
        self._change({self._name(target): self._numbers[self._name(source)]})

    def replace(self, source: Any, target: Any) -> None:
        self.real["replace"](source, target)
        old, new = self._name(source), self._name(target)
        if self._numbers[old] != self._numbers.get(new):  # two links to one file stay
            self._change({new: self._numbers[old], old: None})

    rename = replace

    def unlink(self, path: Any, **named: Any) -> None:
        self.real["unlink"](path, **named)
        if self._name(path) is not None:
            self._change({self._name(path): None})

    remove = unlink

    def fsync(self, descriptor: int) -> None:
        self.real["fsync"](descriptor)
        number = self._open.get(descriptor)
        if number is not None:
            self._note(*(("sync folder",) if number == self.FOLDER else ("sync", number)))


def states(recording: Recording) -> Iterator[tuple[dict[str, bytes], list[Any]]]:
    """Iterate over what may be left in the folder, each state once, with the marks that had been made before."""
    seen = set()
    for stop in range(len(recording.events) + 1):
        events = recording.events[:stop]
        marks = [event[1] for event in events if event[0] == "mark"]
        for names in _folders(recording.before, events):
            for contents in _contents(recording.contents, events, set(names.values())):
                state = {name: contents[number] for name, number in sorted(names.items())}
                key = (tuple(state.items()), len(marks))
                if key not in seen:
                    seen.add(key)
                    yield state, marks


def _folders(before: Names, events: list[tuple]) -> Iterator[Names]:
    """Iterate over the names that may be in the folder: all changes before it was synced, and any of those after."""
    synced = max((i for i, event in enumerate(events) if event[0] == "sync folder"), default=-1)
    certain = [event[1] for event in events[: synced + 1] if event[0] == "name"]
    perhaps = [event[1] for event in events[synced + 1 :] if event[0] == "name"]
    for chosen in _subsets(perhaps):
        names: dict[str, int | None] = dict(before)
        for change in (*certain, *chosen):
            names |= change
        yield {name: number for name, number in names.items() if number is not None}


def _contents(before: dict[int, bytes], events: list[tuple], files: set[int]) -> Iterator[dict[int, bytes]]:
    """Iterate over the contents that the files may have: all writes before they were synced, and any of those after."""
    choices = []
    for number in sorted(files):
        own = [event for event in events if event[0] in ("write", "size", "sync") and event[1] == number]
        synced = max((i for i, event in enumerate(own) if event[0] == "sync"), default=-1)
        certain = [event for event in own[: synced + 1] if event[0] != "sync"]
        found = []
        for chosen in _subsets(own[synced + 1 :]):
            found.append((number, _written(before.get(number, b""), [*certain, *chosen])))
            if chosen and chosen[-1][0] == "write":
                _, _, offset, data = chosen[-1]
                half = ("write", number, offset, data[: len(data) // 2])
                found.append((number, _written(before.get(number, b""), [*certain, *chosen[:-1], half])))
                hole = ("write", number, offset, bytes(len(data)))  # the size is there, the data are not
                found.append((number, _written(before.get(number, b""), [*certain, *chosen[:-1], hole])))
        choices.append(list(dict.fromkeys(found)))
    for combination in itertools.product(*choices):
        yield dict(combination)


def _written(content: bytes, changes: list[tuple]) -> bytes:
    buffer = bytearray(content)
    for kind, _, where, *data in changes:
        if kind == "size":
            del buffer[where:]
            buffer.extend(bytes(where - len(buffer)))
        else:
            buffer.extend(bytes(max(0, where - len(buffer))))
            buffer[where : where + len(data[0])] = data[0]
    return bytes(buffer)


def _subsets(items: list) -> Iterator[list]:
    """Iterate over all subsets in order; of many items, over those that leave out, or hold, at most two."""
    if 2 ** len(items) <= MAX_SUBSETS:
        sizes: Any = range(len(items) + 1)
    else:
        sizes = sorted({0, 1, 2, len(items) - 2, len(items) - 1, len(items)})
    for size in sizes:
        yield from map(list, itertools.combinations(items, size))


class _Full:
    """A file that is written to by one failing step after another."""

    def __init__(self, file: Any, step: Callable[[], None]):
        self._file, self._step = file, step

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: Any) -> int:
        self._step()
        return self._file.write(data)


@contextmanager
def failing(n: int, code: int) -> Iterator[list[int]]:
    """Let the `n`-th call of those that can fail raise OSError: on a full disk, or a broken one.

    Yields a list, which holds the number of calls at the end.
    """
    calls = [0]

    def step() -> None:
        calls[0] += 1
        if calls[0] == n:
            raise OSError(code, os.strerror(code))

    def stepping(function: Callable) -> Callable:
        def call(*arguments: Any, **named: Any) -> Any:
            step()
            return function(*arguments, **named)

        return call

    fdopen = os.fdopen
    names = ("open", "link", "replace", "unlink", "fsync")
    with mock.patch.multiple(
        os, fdopen=lambda *given: _Full(fdopen(*given), step), **{name: stepping(getattr(os, name)) for name in names}
    ):
        yield calls


def lay_out(state: dict[str, bytes], folder: Path) -> None:
    """Bring a folder into a state."""
    for path in folder.iterdir():
        path.unlink()
    for name, content in state.items():
        (folder / name).write_bytes(content)
