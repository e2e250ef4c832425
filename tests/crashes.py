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
    found = Recording()
    numbers: dict[str, int] = {}  # by name, at present
    counter = itertools.count()
    open_files: dict[int, int] = {}
    for path in sorted(folder.iterdir()):
        number = numbers[path.name] = next(counter)
        found.contents[number] = path.read_bytes()
    found.before = dict(numbers)
    real: dict[str, Any] = {
        name: getattr(os, name) for name in ("open", "fdopen", "link", "replace", "rename", "unlink", "remove", "fsync")
    }
    real_open = builtins.open

    def name_of(path: Any) -> str | None:
        path = Path(os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else None
        return path.name if path is not None and path.parent == folder else None

    def note(*event: Any) -> None:
        found.events.append(event)

    def rename_to(changes: dict[str, int | None]) -> None:
        note("name", changes)
        for name, number in changes.items():
            if number is None:
                del numbers[name]
            else:
                numbers[name] = number

    def opened(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        name = name_of(path)
        is_new = name is not None and name not in numbers and flags & os.O_CREAT
        descriptor = real["open"](path, flags, *arguments, **named)
        if is_new:
            rename_to({name: next(counter)})
        if name is not None:
            open_files[descriptor] = numbers[name]
            if flags & os.O_TRUNC and not is_new:
                note("size", numbers[name], 0)
        elif Path(os.fsdecode(path)) == folder:
            open_files[descriptor] = -1
        else:
            open_files.pop(descriptor, None)
        return descriptor

    def as_file(descriptor: int, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if descriptor in open_files and mode != "r" and "b" in mode:
            return _File(descriptor, mode, note, open_files[descriptor])
        return real["fdopen"](descriptor, mode, *arguments, **named)

    def open_file(path: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        name = name_of(path)
        if name is None or mode in ("r", "rb"):
            return real_open(path, mode, *arguments, **named)
        assert "b" in mode
        if name not in numbers:
            rename_to({name: next(counter)})
        elif "w" in mode:
            note("size", numbers[name], 0)
        file = _File(path, mode, note, numbers[name])
        open_files[file.fileno()] = numbers[name]
        return file

    def link(source: Any, target: Any) -> None:
        real["link"](source, target)
        rename_to({name_of(target): numbers[name_of(source)]})

    def replace(source: Any, target: Any) -> None:
        real["replace"](source, target)
        old, new = name_of(source), name_of(target)
        if numbers[old] != numbers.get(new):  # two links to one file stay
            rename_to({new: numbers[old], old: None})

    def unlink(path: Any, **named: Any) -> None:
        real["unlink"](path, **named)
        if name_of(path) is not None:
            rename_to({name_of(path): None})

    def fsync(descriptor: int) -> None:
        real["fsync"](descriptor)
        number = open_files.get(descriptor)
        if number is not None:
            note(*(("sync folder",) if number == -1 else ("sync", number)))

    substitutes = {"open": opened, "fdopen": as_file, "link": link, "replace": replace, "rename": replace}
    substitutes |= {"unlink": unlink, "remove": unlink, "fsync": fsync}
    with mock.patch.multiple(os, **substitutes), mock.patch.object(builtins, "open", open_file):
        yield found


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
