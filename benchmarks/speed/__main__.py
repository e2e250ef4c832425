"""Arignote compared with other libraries: ``make bench``, or ``python -m benchmarks.speed --peers PYTHON``.

Each peer runs in its own process, and the peers alternate: each round asks every peer for some steps, in an order that
changes from round to round. Fluctuations of the machine then affect all peers alike, so the ratio of a round is more
reliable than absolute times. A table shows medians over the rounds, and interquartile ranges.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Case:
    """A task that several peers are measured on.

    Parameters
    ----------
    title : str
    what, name : str
        The function of each peer's module, and the network.
    peers : dict of str to (str, str)
        Displayed name -> module of the peer, with @ and one of `PLACES` if it needs another environment; and a variant.
        Ratios are of the first peer to each of the others.
    n_times : int
        Number of repetitions in a round.
    unit : {"ms", "s"}
        Unit of the time of one repetition.
    at_most : dict of str to float, optional
        Target of the ratio to each peer.
    rounds : int
        Number of rounds.
    """

    title: str
    what: str
    name: str
    peers: dict[str, tuple[str, str]]
    n_times: int
    unit: str = "ms"
    at_most: dict[str, float] = field(default_factory=dict)
    rounds: int = 12


# Arignote's engines and devices, by the environment variables that select them.
PLACES = {
    "pytensor": {"ARIGNOTE_ENGINE": "pytensor", "ARIGNOTE_BACKEND": "c"},
    "jax": {"ARIGNOTE_ENGINE": "pytensor", "ARIGNOTE_BACKEND": "jax"},
    "gpu": {"ARIGNOTE_ENGINE": "pytensor", "ARIGNOTE_DEVICE": "gpu"},
}

OURS = {"Arignote": ("arignote_peer", "")}
ENGINES = {"Arignote, PyTensor": ("arignote_peer@pytensor", ""), "Arignote, JAX": ("arignote_peer@jax", "")}
FLOOR = {"floor": ("arignote_peer", "")}
JAX_STEP = {"JAX step": ("jax_peer", "step")}
JAX = JAX_STEP | {"JAX scan": ("jax_peer", "scan")}  # in a scan, convolutions take ten times as long
EAGER = {"PyTorch": ("torch_peer", "")}
COMPILED = {"PyTorch compiled": ("torch_peer", "compile")}
LAST = {"PyTorch channels last": ("torch_peer", "channels_last")}

CASES = [
    Case("784-400-400-10, relu, dropout 0.5: a step", "steps", "mlp",
         OURS | ENGINES | EAGER | COMPILED | JAX | FLOOR, 100,
         at_most={"PyTorch": 0.30, "JAX scan": 0.70, "floor": 1.6}),
    Case("the same without dropout: a step", "steps", "mlp without dropout", OURS | EAGER | JAX, 100),
    Case("the seed's network (prelu_shelf, dropout, l2): a step", "steps", "seed",
         OURS | ENGINES | EAGER | COMPILED | JAX, 100),
    Case("maxout 240x5 twice, dropout: a step", "steps", "maxout", OURS | EAGER, 40),
    Case("LeNet-like, 32 and 64 maps: a step", "steps", "lenet",
         OURS | ENGINES | EAGER | LAST | COMPILED | JAX_STEP | FLOOR, 20,
         at_most={"PyTorch": 0.50, "PyTorch channels last": 0.50, "floor": 1.3}, rounds=8),
    Case("the conv net: a step", "steps", "conv", OURS | EAGER | LAST | COMPILED | JAX_STEP, 20, rounds=8),
    Case("mlpconv: a step", "steps", "mlpconv", OURS | EAGER | LAST, 20, rounds=8),
    Case("the seed's network: an epoch of fit on MNIST, validation included", "epochs", "seed",
         OURS | {"PyTorch, DataLoader": ("torch_peer", ""), "PyTorch, sliced": ("torch_peer", "sliced")},
         4, "s", {"PyTorch, DataLoader": 0.25}, 6),
    Case("784-400-400-10, relu, no dropout: an epoch of fit on MNIST", "epochs", "mlp without dropout",
         OURS | {"scikit-learn": ("sklearn_peer", "")}, 4, "s", {}, 4),
    Case("the conv net with shifts: an epoch of fit on MNIST, validation included", "epochs", "conv",
         {"Arignote": ("arignote_peer", "shifts"), "PyTorch, DataLoader": ("torch_peer", "shifts"),
          "PyTorch channels last, DataLoader": ("torch_peer", "shifts channels_last")},
         1, "s", {"PyTorch, DataLoader": 0.60, "PyTorch channels last, DataLoader": 0.60}, 4),
    Case("predict_proba on 10 000 images, the seed's network", "prediction", "seed",
         OURS | EAGER | {"JAX": ("jax_peer", "")}, 4, at_most={"PyTorch": 0.60}),
    Case("predict_proba on 10 000 images, the conv net", "prediction", "conv",
         OURS | EAGER | LAST | {"JAX": ("jax_peer", "")}, 1,
         at_most={"PyTorch": 0.60, "PyTorch channels last": 0.60}),
    Case("predict_proba on 10 000 images, relu without dropout", "prediction", "mlp without dropout",
         OURS | {"scikit-learn": ("sklearn_peer", "")}, 4),
]  # fmt: skip


def device_cases(place: str) -> list[Case]:
    """Return the cases for a device: whole epochs, with the data of every peer on the device."""
    peers = {
        "Arignote": (f"arignote_peer@{place}", ""),
        "PyTorch": ("torch_peer", "device"),
        "PyTorch compiled, CUDA graphs": ("torch_peer", "device compile graphs"),
        "JAX": ("jax_peer", ""),
    }
    aims = dict.fromkeys(list(peers)[1:3], 0.50)
    # On a CPU, JAX's convolutions take ten times as long inside its scan.
    conv_peers = peers if place == "gpu" else {shown: peer for shown, peer in peers.items() if shown != "JAX"}
    return [
        Case("the seed's network: an epoch on MNIST, validation included", "epochs", "seed", peers, 8, "s", aims, 8),
        Case("the conv net: an epoch on MNIST, validation included", "epochs", "conv", conv_peers, 4, "s", aims, 8),
    ]


class Worker:
    """The process of a peer."""

    def __init__(self, pythons: dict[str, str], peer: str):
        module, _, place = peer.partition("@")
        command = [python_of(peer, pythons), "-m", "benchmarks.speed.worker", module]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
            env=os.environ | PLACES.get(place, {}),
        )  # fmt: skip

    def ask(self, request: object) -> object:
        """Send a request and wait for the answer."""
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            return json.loads(self.process.stdout.readline())
        except (json.JSONDecodeError, BrokenPipeError) as error:
            raise RuntimeError(f"the process of {self.process.args[-1]} ended on {request}") from error

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.stdin.close()
        self.process.wait()


def python_of(peer: str, pythons: dict[str, str]) -> str:
    """Return the interpreter of a peer: of the PyTensor environment, of the peers' environment, or this one."""
    if peer.partition("@")[2]:
        return pythons["pytensor"]
    return sys.executable if peer.startswith("arignote") else pythons["peers"]


def measure(case: Case, pythons: dict[str, str]) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return the seconds per repetition of each peer in each round, and the peak memory of each peer in MB."""
    with ExitStack() as stack:
        workers = {}
        for shown, (module, variant) in case.peers.items():
            workers[shown] = stack.enter_context(Worker(pythons, module))
            workers[shown].ask(["floor" if shown == "floor" else case.what, case.name, variant])
            workers[shown].ask(max(1, case.n_times // 4 * (case.what != "epochs")) if case.what != "steps" else 20)
        seconds = {shown: [] for shown in workers}
        for i in range(case.rounds):
            for shown in list(workers)[:: 1 if i % 2 else -1]:
                seconds[shown].append(workers[shown].ask(case.n_times) / case.n_times)
        return seconds, {shown: worker.ask("memory") for shown, worker in workers.items()}


def spread(values: list[float]) -> tuple[float, float, float]:
    """Return the median and the lower and upper quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def rows(case: Case, seconds: dict[str, list[float]]) -> Iterator[list[str]]:
    """Yield the rows of a case's table: peer, time, ratio of Arignote's time to the peer's, and the target."""
    ours = next(iter(seconds.values()))
    factor, digits = (1e3, 2) if case.unit == "ms" else (1, 2)
    for shown, theirs in seconds.items():
        middle, low, high = (factor * value for value in spread(theirs))
        row = [shown, f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"]
        if theirs is ours:
            yield [*row, "", ""]
            continue
        ratio, low, high = spread([a / b for a, b in zip(ours, theirs, strict=True)])
        aim = case.at_most.get(shown)
        verdict = "" if aim is None else f"{aim:.2f}: {'yes' if ratio <= aim else 'no'}"
        yield [*row, f"{ratio:.2f} ({low:.2f}-{high:.2f})", verdict]


def table(head: list[str], lines: list[list[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"
        for line in [head, rule, *lines]
    )


def starts(pythons: dict[str, str], rounds: int = 5) -> str:
    """Measure the time from program start to the first step, with cold and warm caches; return a table."""
    places = {"Arignote, cold": None, "Arignote, warm": tempfile.mkdtemp(), "PyTorch": ""}
    seconds = {shown: [] for shown in places}
    for i in range(rounds + 1):
        for shown, cache in places.items():
            peer = "torch" if shown == "PyTorch" else "arignote"
            command = [python_of(peer, pythons), "-m", "benchmarks.speed.first_step", peer]
            environment = os.environ | {"XDG_CACHE_HOME": cache if cache is not None else tempfile.mkdtemp()}
            started = time.perf_counter()
            subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True)
            if i > 0:  # the first round fills the caches, including that of the file system
                seconds[shown].append(time.perf_counter() - started)
    aims = {"Arignote, cold": 15, "Arignote, warm": 3}
    lines = []
    for shown, values in seconds.items():
        middle, low, high = spread(values)
        aim = f"{aims[shown]}: {'yes' if middle <= aims[shown] else 'no'}" if shown in aims else ""
        lines.append([shown, f"{middle:.2f} ({low:.2f}-{high:.2f})", aim])
    return table(["from the shell to the first step", "s", "aim"], lines)


def machine(peers: str) -> str:
    """Return a line that describes the machine and the versions."""
    code = "import torch, jax, sklearn; print(torch.__version__, jax.__version__, sklearn.__version__)"
    torch, jax, sklearn = subprocess.run([peers, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    name = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                 if line.startswith("model name")), platform.processor())  # fmt: skip
    return (
        f"{date.today()}; {len(os.sched_getaffinity(0))} cores of {name}; Python {platform.python_version()}; "
        f"PyTorch {torch}, JAX {jax}, scikit-learn {sklearn}"
    )


def main() -> None:
    """Measure all cases, or some of them; print the tables and write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=".venv-bench/bin/python", help="interpreter of the peers' environment")
    parser.add_argument("--pytensor", default=".venv-pytensor/bin/python", help="interpreter with PyTensor and JAX")
    parser.add_argument("--device", choices=["cpu", "gpu"], help="measure only epochs, on JAX")
    parser.add_argument("--only", default="", help="only cases whose title contains this text")
    parser.add_argument("--rounds", type=int, help="number of rounds (default: that of each case)")
    parser.add_argument("--output", default="benchmarks/RESULTS.md", help="output file of the tables")
    arguments = parser.parse_args()
    pythons = {name: str(Path(getattr(arguments, name)).absolute()) for name in ("peers", "pytensor")}
    peers = pythons["peers"]
    parts = [f"# Arignote compared with other libraries\n\n`make bench`, {machine(peers)}."]
    parts.append(
        "Medians over rounds, with interquartile ranges in parentheses. A ratio is Arignote's time divided by the "
        "peer's time in the same\nround. The floor is the time of the matrix products and convolutions in oneDNN, and "
        "of the pooling kernels, and nothing else."
    )
    print("\n\n".join(parts))
    for case in device_cases("gpu" if arguments.device == "gpu" else "jax") if arguments.device else CASES:
        if arguments.only not in case.title:
            continue
        case.rounds = arguments.rounds or case.rounds
        seconds, memory = measure(case, pythons)
        lines = [[*row, f"{memory[row[0]]:.0f}"] for row in rows(case, seconds)]
        parts.append(table([case.title, case.unit, "ratio", "at most", "peak MB"], lines))
        print("\n" + parts[-1], flush=True)
    if not arguments.device and (not arguments.only or arguments.only in "start"):
        parts.append(starts(pythons))
        print("\n" + parts[-1], flush=True)
    Path(arguments.output).write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
