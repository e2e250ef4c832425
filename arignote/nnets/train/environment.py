"""What results depend on to the last bit, besides the state of a run and its data: threads, versions, kernels."""

import platform
from collections.abc import Mapping

from arignote import __version__, engine, native


def environment() -> dict[str, str]:
    """Return what has to be the same for results to be the same: threads, versions, kernels, float type.

    Examples
    --------
    >>> list(environment())
    ['threads', 'arignote', 'python', 'engine', 'numpy', 'backend', 'device', 'float', 'kernels']
    """
    described = engine.describe()
    return {
        "threads": str(native.threads()),
        "arignote": __version__,
        "python": platform.python_version(),
        "engine": f"{described['engine']} {described['version']}",
        **{name: str(described[name]) for name in ("numpy", "backend", "device", "float")},
        "kernels": native.version(),
    }


def differences(stored: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return in words what is not as it was stored; an empty text if nothing differs or nothing is known.

    Examples
    --------
    >>> differences({"threads": "1", "numpy": "1.22.0", "float": "float32"}, {"threads": "2", "numpy": "1.23.5"})
    '2 threads instead of 1 and numpy 1.23.5 instead of 1.22.0'
    """
    parts = [_difference(name, stored[name], now[name]) for name in now if stored.get(name, now[name]) != now[name]]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _difference(name: str, was: str, now: str) -> str:
    if name == "threads":
        return f"{now} {'thread' if now == '1' else 'threads'} instead of {was}"
    return f"{now} instead of {was}" if name == "engine" else f"{name} {now} instead of {was}"
