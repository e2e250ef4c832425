import os

import pytest

from arignote.engine import EngineError, flags


def test_user_settings_take_precedence_and_are_restored(monkeypatch, tmp_path):
    (tmp_path / "rc").write_text("[global]\nfloatX = float64\n[gcc]\ncxxflags = -O2\n")
    user_settings = flags.read_file(str(tmp_path / "rc"), "__")
    assert user_settings == {"floatX": "float64", "gcc__cxxflags": "-O2"}
    monkeypatch.setenv("SOME_FLAGS", "cxx=mine")
    defaults = {name: lambda name=name: f"ours-{name}" for name in ("floatX", "cxx", "cache")}
    with flags.configured("SOME_FLAGS", user_settings, defaults):
        assert os.environ["SOME_FLAGS"] == "cache=ours-cache,cxx=mine"
    assert os.environ["SOME_FLAGS"] == "cxx=mine"
    monkeypatch.delenv("SOME_FLAGS")
    with flags.configured("SOME_FLAGS", {}, {}):
        assert os.environ["SOME_FLAGS"] == ""
    assert "SOME_FLAGS" not in os.environ


def test_the_error_without_a_blas(monkeypatch):
    monkeypatch.setattr(flags.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="got no BLAS.*pip install scipy-openblas32"):
        flags.blas_flags()


def test_a_blas_in_a_path_that_theano_cannot_parse_is_refused(monkeypatch):
    import scipy_openblas32

    monkeypatch.setattr(scipy_openblas32, "get_lib_dir", lambda: "/home/me/my project/lib")
    with pytest.raises(EngineError, match="without spaces"):
        flags.blas_flags()


def test_a_cache_folder_that_cannot_be_created_is_refused(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(EngineError, match="export XDG_CACHE_HOME"):
        flags.compile_folder("theano")
