"""What results depend on beside the program and its data: versions, kernels, threads, the float type."""

import logging
import platform
from collections.abc import Mapping

from arignote import __version__, engine, native

logger = logging.getLogger(__name__)


def environment(threads: int | None = None) -> dict[str, str]:
    """Return what has to be the same for results to be the same to the bit, by name.

    Parameters
    ----------
    threads : int, optional
        Threads to compute in, by default those of this thread of the program.
    """
    described = engine.describe()
    build = f", build {native.build.library_path().parent.name}" if native.available() else ""
    found = {
        "arignote": __version__,
        "python": platform.python_version(),
        "kernels": f"{native.describe()}{build}",
        "threads": str(threads or native.threads()),
    }
    found |= {name: str(described[name]) for name in ("engine", "numpy", "backend", "device", "float")}
    return found | {"engine": f"{described['engine']} {described['version']}"}


def differences(found: Mapping[str, str], expected: Mapping[str, str], where: str) -> str:
    """Return in words what differs from what is expected; `where` says what that is.

    Examples
    --------
    >>> differences({"numpy": "1.23.5", "threads": "2"}, {"numpy": "1.22.0", "threads": "2"}, "before")
    'numpy 1.23.5 (before 1.22.0)'
    """
    differing = [name for name, value in expected.items() if found.get(name) != value]
    return ", ".join(f"{name} {found.get(name, 'unknown')} ({where} {expected[name]})" for name in differing)


def compare(stored: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Say in the log where a run is resumed in another environment; one that was never noted is equal to any."""
    differing = differences(found, stored, "before")
    if differing:
        logger.warning(
            "Resuming with %s: results may differ in their last bits from those without an interruption.", differing
        )
