import os
import subprocess
import sys

import pytest

from arignote.engine import EngineError, choice, theano_flags

needs_theano = pytest.mark.skipif(choice.chosen() != "theano", reason="Theano is not the engine")


def run(code, **environment):
    """Run a program in a new process with additional environment variables; None removes a variable."""
    full = {name: value for name, value in (os.environ | environment).items() if value is not None}
    return subprocess.run([sys.executable, "-c", code], env=full, capture_output=True, text=True)


def configured(**environment):
    """Return the description of the engine in a new process."""
    code = "import json; from arignote import engine; print(json.dumps(engine.describe()))"
    result = run(code, **environment)
    assert result.returncode == 0, result.stderr
    return __import__("json").loads(result.stdout)


@needs_theano
def test_defaults_without_user_settings(tmp_path):
    found = configured(THEANO_FLAGS=None, THEANORC=str(tmp_path / "none"), XDG_CACHE_HOME=str(tmp_path / "my cache"))
    assert found["float"] == "float32"
    assert "scipy_openblas" in found["blas"]
    assert found["cache"].startswith(str(tmp_path / "my cache" / "arignote"))


@needs_theano
def test_theano_flags_take_precedence_and_are_restored(tmp_path):
    flags = "floatX=float64,blas.ldflags=-lm"
    found = configured(THEANO_FLAGS=flags)
    assert (found["float"], found["blas"]) == ("float64", "-lm")
    code = "import os; from arignote import engine; print(os.environ['THEANO_FLAGS'])"
    assert run(code, THEANO_FLAGS=flags).stdout.strip() == flags


@needs_theano
def test_theanorc_takes_precedence(tmp_path):
    (tmp_path / "rc").write_text("[global]\nfloatX = float64\n[gcc]\ncxxflags = -O2\n")
    assert configured(THEANORC=str(tmp_path / "rc"))["float"] == "float64"


@needs_theano
def test_matrix_products_use_the_blas():
    code = (
        "from arignote import engine; x = engine.tensor.dmatrix(); "
        "f = engine.function([x], engine.tensor.dot(x, x)); "
        "print(f([[1, 2], [3, 4]]).tolist(), f.compiled.maker.fgraph)"
    )
    result = run(code)
    assert "[[7.0, 10.0], [15.0, 22.0]]" in result.stdout, result.stderr
    assert "Dot22" in result.stdout


@needs_theano
def test_the_error_without_a_compiler():
    result = run("import arignote.engine", PATH="/nonexistent")
    assert result.returncode != 0
    assert "got no C++ compiler; need g++" in result.stderr
    assert "apt-get install g++" in result.stderr


@needs_theano
def test_runs_without_a_compiler_if_cxx_is_empty():
    assert configured(PATH="/nonexistent", THEANO_FLAGS="cxx=")["compiler"] == ""


def test_the_error_without_theano(monkeypatch):
    monkeypatch.setattr(theano_flags.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"got no Theano.*pip install Theano==1\.0\.5"):
        theano_flags.check_versions()


@needs_theano
def test_a_numpy_that_is_too_new_is_refused(monkeypatch):
    monkeypatch.setattr(theano_flags.metadata, "version", lambda name: "1.24.0")
    with pytest.raises(EngineError, match=r"got numpy 1\.24\.0.*numpy<1\.24"):
        theano_flags.check_versions()


@needs_theano
def test_a_python_that_is_too_new_is_refused(monkeypatch):
    monkeypatch.setattr(theano_flags.sys, "version_info", (3, 12, 1))
    with pytest.raises(EngineError, match=r"got Python 3\.12\.1"):
        theano_flags.check_versions()


@needs_theano
def test_warning_if_theano_was_imported_before_without_a_blas():
    code = "import numpy.distutils.__config__ as c; c.blas_opt_info = {}; import theano; import arignote.engine"
    result = run(code, THEANO_FLAGS="blas.ldflags=")
    assert result.returncode == 0, result.stderr
    assert "imported before Arignote and has no BLAS" in result.stderr
