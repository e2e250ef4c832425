"""A program, killed at every system call that it makes."""

import collections
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.helpers import ROOT

BEGIN, END = "/the-work-begins", "/the-work-has-ended"


def kill_at_every_system_call(
    command: list[str], log: Path, lay_out: Callable[[], None], check: Callable[[], None], only: str | None = None
) -> int:
    """Run a program once for each of its system calls, and kill it there; return how many there were.

    Parameters
    ----------
    command : list of str
        The program. It asks whether the files `BEGIN` and `END` exist before and after what is to be tried.
    log : Path
        A file for strace.
    lay_out : callable
        Brings the files to where the program finds them; called before each run.
    check : callable
        Called after each kill.
    only : str, optional
        The calls to try, separated by commas; by default all.
    """
    lay_out()
    subprocess.run(["strace", "-f", "-o", log, *command], cwd=ROOT, check=True)
    calls = re.findall(r"^\d+ +(\w+)\((.*)", log.read_text(errors="replace"), re.MULTILINE)
    begin = next(i for i, (_, arguments) in enumerate(calls) if BEGIN in arguments)
    end = next(i for i, (_, arguments) in enumerate(calls) if END in arguments)
    before = collections.Counter(name for name, _ in calls[: begin + 1])
    n_kills = 0
    for name, _ in calls[begin + 1 : end]:
        before[name] += 1
        if only is not None and name not in only.split(","):
            continue
        lay_out()
        injection = f"inject={name}:signal=KILL:when={before[name]}"
        trace = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={name}", "-e", injection]
        killed = subprocess.run([*trace, *command], cwd=ROOT)
        assert killed.returncode != 0, f"not killed at {name}"
        check()
        n_kills += 1
    return n_kills
