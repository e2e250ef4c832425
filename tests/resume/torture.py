"""Kill real runs, again and again, and compare what is left at the end: ``python -m tests.resume.torture``.

Three trials: ``kill -9`` at random moments of training runs of the README's network on MNIST; SIGTERM likewise; and a
kill at every system call of a save, by strace's fault injection. Each fails by an AssertionError.
"""

import argparse
import collections
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from arignote.checkpoint import format as checkpoint_format
from arignote.data import files, unpickle
from arignote.data.formats.packed import read_bytes
from tests import kills
from tests.helpers import ROOT

SAVE = """
import os, sys
from arignote.checkpoint import format as checkpoint_format
content = open(sys.argv[1], "rb").read()
os.path.exists("/the-work-begins")
checkpoint_format.write_content(sys.argv[2], content)
os.path.exists("/the-work-has-ended")
"""


def start(kind: str, checkpoint: Path, result: Path, n_epochs: int) -> subprocess.Popen:
    """Start a run, or go on with it; "seed" is the README's network."""
    command = [sys.executable, "-m", "tests.resume.run", kind, str(checkpoint), str(result), str(n_epochs)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def straight_run(kind: str, folder: Path, n_epochs: int) -> dict[str, str]:
    """Return the digests of a run that is left alone."""
    process = start(kind, folder / "straight", folder / "straight.result", n_epochs)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    return pickle.loads((folder / "straight.result").read_bytes())


def stop_at_a_random_moment(process: subprocess.Popen, number: int, moments: random.Random, seconds: float) -> bool:
    """Send a signal while the run starts, compiles, or (mostly) trains. Say whether it found the run alive."""
    if moments.random() < 0.15:
        time.sleep(moments.uniform(0.1, 5.0))
    else:
        for line in process.stdout:
            if "Training from" in line:
                break
        time.sleep(moments.uniform(0.0, seconds))
    process.send_signal(number)
    process.stdout.read()
    process.wait()
    return process.returncode != 0


def torture(
    kind: str,
    folder: Path,
    number: int,
    n_stops: int,
    n_epochs: int,
    expected: dict[str, str],
    seed: int,
    seconds: float = 1.2,
) -> None:
    """Stop runs until there were `n_stops` stops; each run that comes to its end is compared, and a new one begun.

    Runs are stopped within so many `seconds` after training began.
    """
    moments = random.Random(seed)
    name = signal.Signals(number).name
    stops = runs = whole = 0
    while stops < n_stops or runs == 0:
        checkpoint, result = folder / f"{name}{runs}", folder / f"{name}{runs}.result"
        process = start(kind, checkpoint, result, n_epochs)
        if stops < n_stops and stop_at_a_random_moment(process, number, moments, seconds):
            stops += 1
            process.stdout.close()
            assert process.returncode in (-number, 128 + number), process.returncode
            if files.checkpoint_path(checkpoint).exists():
                header, _ = unpickle.loads(read_bytes(files.checkpoint_path(checkpoint)))
                assert header["format"] == checkpoint_format.FORMAT
                whole += 1
            continue
        output = process.communicate()[0]
        assert process.returncode == 0, output
        compare(pickle.loads(result.read_bytes()), expected, f"run {runs}, stopped by {name}")
        runs += 1
    print(f"{name}: {stops} stops in {runs} runs of {n_epochs} epochs, {whole} times with a checkpoint; "
          "every run ended with the same bytes")  # fmt: skip


def compare(found: dict[str, str], expected: dict[str, str], what: str) -> None:
    """Refuse a difference in any part of the state."""
    different = [name for name in expected if found.get(name) != expected[name]]
    assert not different and len(found) == len(expected), f"{what}: differs in {different}"


def kill_at_every_system_call(folder: Path) -> None:
    """Kill a save at each of its system calls; after each, a whole checkpoint can be read: the new one, or the old."""
    from arignote.nnets import nets

    contents = []
    for seed in (1, 2, 3):
        classifier = nets.NNClassifier(nets.define_mlp(3, [20]), n_in=5, rng=seed)
        contents.append(checkpoint_format.checkpoint_content(*checkpoint_format.take_state(classifier)))
    (folder / "new").write_bytes(contents[2])
    target = folder / "mine_last.pkl.gz"
    command = [sys.executable, "-c", SAVE, str(folder / "new"), str(target)]

    def lay_out() -> None:
        for path in folder.glob("*mine*"):
            path.unlink()
        for content in contents[:2]:
            checkpoint_format.write_content(target, content)

    survivors = collections.Counter()

    def check() -> None:
        survivors[files.checkpoint_read(folder / "mine").seed] += 1
        assert files.checkpoint_read(folder / "mine_previous.pkl.gz").seed in (1, 2)

    n_kills = kills.kill_at_every_system_call(command, folder / "calls", lay_out, check)
    assert set(survivors) <= {2, 3}
    print(f"a kill at each of {n_kills} system calls of a save: {survivors[2]} times the old checkpoint was "
          f"there, {survivors[3]} times the new one")  # fmt: skip


def main() -> None:
    """Run the trials that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="how many kill -9 (default: 100)")
    parser.add_argument("--terms", type=int, default=20, help="how many SIGTERM (default: 20)")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of each run (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: 0)")
    parser.add_argument(
        "--seconds", type=float, default=1.2, help="stop within so long after training began (default: 1.2; JAX: 6)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "save").mkdir()
        kill_at_every_system_call(folder / "save")
        expected = straight_run("seed", folder, arguments.epochs)
        for number, n_stops in ((signal.SIGKILL, arguments.kills), (signal.SIGTERM, arguments.terms)):
            torture("seed", folder, number, n_stops, arguments.epochs, expected, arguments.seed, arguments.seconds)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    main()
