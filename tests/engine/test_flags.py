import os

import pytest

from arignote.engine import EngineError, flags


def test_what_the_user_set_comes_last_and_is_put_back(monkeypatch, tmp_path):
    (tmp_path / "rc").write_text("[global]\nfloatX = float64\n[gcc]\ncxxflags = -O2\n")
    chosen = flags.read_file(str(tmp_path / "rc"), "__")
    assert chosen == {"floatX": "float64", "gcc__cxxflags": "-O2"}
    monkeypatch.setenv("SOME_FLAGS", "cxx=mine")
    makers = {name: lambda name=name: f"ours-{name}" for name in ("floatX", "cxx", "cache")}
    with flags.configured("SOME_FLAGS", chosen, makers):
        assert os.environ["SOME_FLAGS"] == "cache=ours-cache,cxx=mine"
    assert os.environ["SOME_FLAGS"] == "cxx=mine"
    monkeypatch.delenv("SOME_FLAGS")
    with flags.configured("SOME_FLAGS", {}, {}):
        assert os.environ["SOME_FLAGS"] == ""
    assert "SOME_FLAGS" not in os.environ


def test_says_what_is_missing_without_a_blas(monkeypatch):
    monkeypatch.setattr(flags.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="got no BLAS.*pip install scipy-openblas32"):
        flags.blas_flags()


def test_refuses_a_blas_that_theano_cannot_be_told_of(monkeypatch):
    import scipy_openblas32

    monkeypatch.setattr(scipy_openblas32, "get_lib_dir", lambda: "/home/me/my project/lib")
    with pytest.raises(EngineError, match="without spaces"):
        flags.blas_flags()


def test_refuses_a_cache_that_cannot_be_made(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(EngineError, match="export XDG_CACHE_HOME"):
        flags.compile_folder("theano")
