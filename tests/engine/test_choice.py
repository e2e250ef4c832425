import os
import subprocess
import sys
from pathlib import Path

import pytest

from arignote.engine import EngineError, choice

IMPORTS = ("import theano", "from theano", "import pytensor", "from pytensor")


def run(code):
    """Run a program in a new process."""
    return subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True)


@pytest.fixture
def installed(monkeypatch):
    """Return a function that sets which packages appear to be installed."""
    for variable in ("ARIGNOTE_ENGINE", "ARIGNOTE_DEVICE", "ARIGNOTE_BACKEND"):
        monkeypatch.delenv(variable, raising=False)
    return lambda *names: monkeypatch.setattr(choice.util, "find_spec", lambda name: name if name in names else None)


@pytest.mark.parametrize(
    ("python", "engines", "expected"),
    [
        ((3, 11), ["theano"], "theano"),
        ((3, 11), ["pytensor"], "pytensor"),
        ((3, 11), ["theano", "pytensor"], "theano"),
        ((3, 12), ["theano", "pytensor"], "pytensor"),
        ((3, 14), ["pytensor"], "pytensor"),
    ],
)
def test_the_engine_is_what_is_installed(installed, monkeypatch, python, engines, expected):
    installed(*engines)
    monkeypatch.setattr(choice.sys, "version_info", python)
    assert choice.chosen() == expected


def test_the_environment_variable_takes_precedence(installed, monkeypatch):
    installed("theano", "pytensor")
    for wanted in ("pytensor", "Theano"):
        monkeypatch.setenv("ARIGNOTE_ENGINE", wanted)
        assert choice.chosen() == wanted.lower()
    monkeypatch.setenv("ARIGNOTE_ENGINE", "torch")
    with pytest.raises(EngineError, match="got ARIGNOTE_ENGINE='torch'; need theano or pytensor"):
        choice.chosen()


def test_without_an_engine_the_error_says_how_to_install_one(installed):
    installed()
    with pytest.raises(EngineError, match="got neither Theano nor PyTensor.*pip install"):
        choice.chosen()


def test_a_gpu_needs_pytensor_on_jax(installed, monkeypatch):
    installed("theano", "pytensor", "jax")
    monkeypatch.setenv("ARIGNOTE_DEVICE", "gpu")
    assert (choice.chosen(), choice.backend()) == ("pytensor", "jax")
    monkeypatch.setenv("ARIGNOTE_BACKEND", "c")
    with pytest.raises(EngineError, match="ARIGNOTE_BACKEND=c with ARIGNOTE_DEVICE=gpu; need JAX"):
        choice.backend()
    monkeypatch.setenv("ARIGNOTE_ENGINE", "theano")
    with pytest.raises(EngineError, match="ARIGNOTE_DEVICE=gpu with ARIGNOTE_ENGINE=theano.*need PyTensor"):
        choice.chosen()
    monkeypatch.setenv("ARIGNOTE_DEVICE", "tpu")
    with pytest.raises(EngineError, match="got ARIGNOTE_DEVICE='tpu'; need cpu or gpu"):
        choice.device()


@pytest.mark.parametrize(
    ("wanted", "compiler", "names", "expected"),
    [
        (None, True, ["jax"], "c"),
        (None, False, ["jax"], "jax"),
        (None, False, [], "c"),
        ("numba", True, ["jax"], "numba"),
        ("JAX", True, [], "jax"),
    ],
)
def test_the_default_backend_can_compile(installed, monkeypatch, wanted, compiler, names, expected):
    installed("pytensor", *names)
    monkeypatch.setattr(choice.shutil, "which", lambda name: "/usr/bin/g++" if compiler else None)
    if wanted:
        monkeypatch.setenv("ARIGNOTE_BACKEND", wanted)
    assert choice.backend() == expected


def test_importing_the_package_imports_no_engine():
    code = (
        "import sys, arignote, arignote.data.files; print(sorted({'theano', 'pytensor', 'pandas'} & set(sys.modules)))"
    )
    assert run(code).stdout.strip() == "[]"


def test_only_the_engine_package_imports_an_engine():
    root = Path(choice.__file__).parent.parent
    for path in root.rglob("*.py"):
        if path.parent.name != "engine":
            lines = path.read_text().splitlines()
            assert not [n for n in lines if n.strip().startswith(IMPORTS)], path
