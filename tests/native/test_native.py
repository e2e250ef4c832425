"""Building the kernels, and the fallbacks if that is not possible."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from arignote import native
from arignote.native import build
from tests.helpers import ROOT

TRAIN = """
    import warnings
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import numpy as np
        from arignote import native
        from arignote.nnets.nets import NNClassifier
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(60, 1, 6, 6)), rng.integers(2, size=60)
        layers = [["InputImageLayer", {"n_images": 1, "n_pixels": 6}],
                  ["ConvLayer", {"n_output_maps": 4, "filter_shape": 3}],
                  ["MaxPool2DLayer", {"pool_shape": 2}], ["DropoutLayer", {"dropout_p": 0.1}],
                  ["FCMaxoutLayer", {"n_units": 4}], ["ClassificationOutputLayer", {"n_classes": 2}]]
        classifier = NNClassifier(layers, rng=0).fit(X, y, n_epochs=2, batch_size=20, sgd_type="adam")
    print([str(w.message) for w in caught if w.category is RuntimeWarning])
    print(repr(classifier.trainer.history[-1]["train_nll"]))
"""


def python(code, timeout=None, **environment):
    """Run a program in a new process; return the lines that it prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=timeout)
    return done.stdout.splitlines()


def said(code):
    """Run a program in a new process; return what it writes to standard error."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr


@pytest.fixture(scope="module")
def expected_loss():
    """Return the loss of a training run with all kernels; check that it raises no warning."""
    warned, loss = python(TRAIN)
    assert warned == "[]"
    return float(loss)


def test_without_onednn_the_engine_computes_convolutions_after_one_warning(expected_loss, tmp_path):
    hidden = "from arignote.native import build\nbuild.onednn = lambda: None\n"
    warned, loss = python(hidden + textwrap.dedent(TRAIN), ARIGNOTE_HIDE="1")
    assert len(eval(warned)) == 1
    assert "got no oneDNN" in warned and "pip install onednn-cpu-gomp" in warned
    assert float(loss) == pytest.approx(expected_loss, rel=1e-4)


def test_without_a_compiler_numpy_computes_after_one_warning(expected_loss):
    warned, loss = python(TRAIN, PATH="/nowhere", THEANO_FLAGS="cxx=")
    warned = [message for message in eval(warned) if "Arignote" in message]
    assert len(warned) == 1
    assert "got no C++ compiler" in warned[0] and "apt-get install g++" in warned[0]
    assert float(loss) == pytest.approx(expected_loss, rel=1e-4)


def test_a_damaged_library_is_rebuilt(tmp_path):
    use = "from arignote import native; native.kernels().softmax; print(native.build.library_path())"
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    path = Path(python(use, **cache)[0])
    assert path.is_relative_to(tmp_path)
    path.write_bytes(b"damaged")
    assert python(use, **cache) == [str(path)]
    assert path.stat().st_size > 10_000


def test_concurrent_builds_and_a_killed_build_leave_an_intact_library(tmp_path):
    use = "from arignote import native; print(native.kernels().__name__)"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", use]
    victim = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(tmp_path.rglob("*.o")):
        time.sleep(0.01)
    victim.kill()
    victim.wait()
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["kernels\n"] * 2


def test_the_library_path_depends_on_sources_flags_processor_and_versions(monkeypatch, tmp_path):
    paths = {build.library_path()}
    for name, value in [
        ("FLAGS", ["-O1"]),
        ("sources", lambda: build.onednn() and [Path(build.__file__)]),
        ("_processor", lambda: "another"),
        ("onednn", lambda: None),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(build, name, value)
            paths.add(build.library_path())
    assert len(paths) == 5


def test_the_error_contains_the_output_of_the_compiler(monkeypatch, tmp_path):
    broken = tmp_path / "broken.cpp"
    broken.write_text("int main() { return nothing; }")
    monkeypatch.setattr(build, "sources", lambda: [broken])
    with pytest.raises(build.BuildError, match="nothing"):
        build.build(tmp_path / "kernels.so")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.cpp"]


def test_a_folder_that_is_not_writable_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(build.BuildError, match="export XDG_CACHE_HOME"):
        build.build(tmp_path / "file" / "kernels.so")


def test_kernels_refuse_invalid_arguments():
    kernels = native.kernels()
    x = np.ones((4, 3), "float32")
    with pytest.raises(ValueError, match="contiguous"):
        kernels.softmax(x, x[:, ::2])
    with pytest.raises(RuntimeError, match="with 12 elements; need 8"):
        kernels.softmax(x, np.ones((4, 2), "float32"))
    with pytest.raises(RuntimeError, match="need float32 or float64"):
        kernels.softmax(np.ones((4, 3), "int32"), np.ones((4, 3), "int32"))
    with pytest.raises(RuntimeError, match="got too few arrays"):
        kernels.softmax(x)
    with pytest.raises(TypeError):
        kernels.dropout(x, x, "key")


def test_number_of_threads(monkeypatch):
    for name in ("ARIGNOTE_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert native.threads() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert native.threads() == 3
    monkeypatch.setenv("ARIGNOTE_THREADS", "5")
    assert native.threads() == 5
    monkeypatch.setattr(native, "n_threads", 1)
    assert native.threads() == 1
    with pytest.raises(ValueError, match="got -1 threads"):
        native.set_threads(-1)


def openmp_threads():
    """Return how many threads of OpenMP the last kernel that this thread called could use."""
    library = ctypes.CDLL("libgomp.so.1")
    x = np.ones((4, 4), "f4")
    native.kernels().softmax(np.empty_like(x), x)
    return library.omp_get_max_threads()


@pytest.mark.parametrize("first_out", [0, 1])
def test_threads_of_a_program_have_their_own_number_of_threads(first_out):
    """Two of them overlap, and end in either order."""
    default, found = openmp_threads(), {}
    barrier, ended = threading.Barrier(2, timeout=60), [threading.Event(), threading.Event()]

    def work(i, n):
        found[i, "before"] = native.threads(), openmp_threads()
        barrier.wait()
        with native.using_threads(n):
            barrier.wait()
            found[i, "inside"] = native.threads(), openmp_threads()
            if i != first_out:
                ended[first_out].wait(60)
                found[i, "alone"] = native.threads(), openmp_threads()
        ended[i].set()
        found[i, "after"] = native.threads(), openmp_threads()

    workers = [threading.Thread(target=work, args=(i, default + 1 + i)) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found.pop((1 - first_out, "alone")) == (default + 2 - first_out,) * 2
    for i in range(2):
        assert found[i, "inside"] == (default + 1 + i,) * 2
        assert found[i, "before"] == found[i, "after"] == (default, default)
    assert (native.threads(), openmp_threads()) == (default, default)


def test_an_error_inside_gives_the_number_of_threads_back():
    default = native.threads()
    with pytest.raises(ZeroDivisionError), native.using_threads(default + 3):
        with native.using_threads(default + 4):
            assert native.threads() == default + 4
        assert native.threads() == default + 3
        _ = 1 / 0
    assert native.threads() == openmp_threads() == default


def test_a_forked_process_computes_in_one_thread():
    code = """
        import multiprocessing
        import numpy as np
        from arignote import native
        from arignote.nnets.nets import NNClassifier
        X = np.random.default_rng(0).normal(size=(2000, 1, 12, 12))
        layers = [["InputImageLayer", {"n_images": 1, "n_pixels": 12}],
                  ["ConvLayer", {"n_output_maps": 32, "filter_shape": 3}], ["FCLayer", {"n_units": 100}],
                  ["ClassificationOutputLayer", {"n_classes": 10}]]
        classifier = NNClassifier(layers, rng=0).fit(X, np.arange(2000) % 10, n_epochs=1, batch_size=100)
        expected = classifier.predict_proba(X)

        def work(_):
            return native.threads(), np.abs(classifier.predict_proba(X) - expected).max()

        with multiprocessing.get_context("fork").Pool(2) as pool:
            for threads, difference in pool.map(work, range(4)):
                print(threads, difference < 1e-5)
    """
    assert python(code, ARIGNOTE_THREADS="2", timeout=120) == ["1 True"] * 4


def test_a_compiler_and_onednn_are_installed():
    assert shutil.which("g++") and native.has("convolve")


def test_compiling_is_announced_before_it_starts(tmp_path):
    code = f"""
        import sys, pathlib
        from arignote.native import build

        def compiled(folder, name):
            print("compiles", file=sys.stderr)
            raise build.BuildError

        build._compile = compiled
        try:
            build.build(pathlib.Path({str(tmp_path)!r}) / "kernels.so")
        except build.BuildError:
            import logging
            print(logging.getLogger("arignote").handlers, file=sys.stderr)
    """
    assert re.fullmatch(r"\d\d:\d\d:\d\d compiling kernels, once, about 10 s\ncompiles\n\[\]\n", said(code))


def test_kernels_that_are_compiled_already_announce_nothing():
    assert native.available()
    assert said("from arignote import native; native.kernels(); native.prepare()") == ""
