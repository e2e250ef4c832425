"""Fuzz the readers of untrusted files with coverage, by atheris: ``python -m tests.fuzz [--seconds 600] [TARGET ...]``.

An input that makes a target fail, take more than 10 seconds, or take more than 1 GB is written to tests/fuzz/corpus,
where it stays as a test.
"""

import argparse
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["arignote.data", "numpy.lib.format", "zipfile"]):
    from tests.fuzz.targets import CORPUS, TARGETS, found

LIMITS = ["-timeout=10", "-rss_limit_mb=1024", "-max_len=16384", "-print_final_stats=1", "-verbosity=0"]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition(":")[0])
    parser.add_argument("targets", nargs="*", default=[*TARGETS], metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    given = parser.parse_args(arguments)
    failed = [name for name in given.targets if fuzz_in_process(name, given.seconds)]
    print(f"no findings in {', '.join(given.targets)}" if not failed else f"findings in {', '.join(failed)}")
    return 1 if failed else 0


def fuzz_in_process(name: str, seconds: int) -> int:
    """Fuzz a target in a process of its own, which the fuzzer ends."""
    with tempfile.TemporaryDirectory() as folder:
        for i, content in enumerate(TARGETS[name].seeds()):
            (Path(folder) / f"seed{i}").write_bytes(content)
        for path in found(name):
            (Path(folder) / path.name).write_bytes(path.read_bytes())
        (CORPUS / name).mkdir(parents=True, exist_ok=True)
        options = [f"-max_total_time={seconds}", f"-artifact_prefix={CORPUS / name}/", *LIMITS, folder]
        print(f"-- {name}: {seconds} s", flush=True)
        return subprocess.run([sys.executable, "-m", "tests.fuzz", "--in-process", name, *options]).returncode


def fuzz(name: str, options: list[str]) -> None:
    warnings.simplefilter("ignore")  # readers warn of what they find
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--in-process"]:
        fuzz(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main(sys.argv[1:]))
