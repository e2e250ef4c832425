import collections
import contextlib
import os
import pickle
import random
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arignote.data import unpickle
from arignote.data.unpickle import PickleError

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(plain, st.integers(0, 5))
def test_plain_data_come_back(value, protocol):
    assert unpickle.loads(pickle.dumps(value, protocol))[0] == value


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "i8", "u1", "?", "c8", "S3", "U3"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back(protocol, dtype, order):
    array = np.asarray(np.arange(12).reshape(3, 4), dtype=dtype, order=order)
    found = unpickle.loads(pickle.dumps({"a": [array, array[0, 0]]}, protocol))[0]["a"]
    np.testing.assert_array_equal(found[0], array)
    assert found[0].dtype == array.dtype and found[0].flags.writeable
    assert found[1] == array[0, 0]


def test_pickles_of_python_2_come_back():
    # cPickle.dumps({'a': numpy.array([1.5, 2.5], 'f4'), u'b': 'text'}, 2), written by Python 2.7 with numpy 1.16
    written = (
        b"\x80\x02}q\x01(U\x01acnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04"
        b"(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02f4K\x00K\x01\x87Rq\x06(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x08\x00\x00\xc0?\x00\x00 @tbX\x01\x00\x00\x00bU\x04textu."
    )
    found, end = unpickle.loads(written)
    assert end == len(written)
    np.testing.assert_array_equal(found["a"], np.array([1.5, 2.5], "f4"))
    assert found["b"] == "text"


def test_several_pickles_in_a_row():
    content = pickle.dumps({"a": 1}) + pickle.dumps([2])
    first, end = unpickle.loads(content)
    assert (first, unpickle.loads(content, end)[0]) == ({"a": 1}, [2])


class Point:
    def __init__(self, x):
        self.x = x


def test_objects_of_named_classes_come_out_as_records():
    content = pickle.dumps({"at": Point([1, np.arange(2)]), "kind": Point}, 2)
    with pytest.raises(PickleError, match="asks for tests.data.test_unpickle.Point"):
        unpickle.loads(content)
    found, _ = unpickle.loads(content, classes=["tests.data.test_unpickle.Point"])
    record = found["at"]
    assert isinstance(record, unpickle.StoredObject)
    assert found["kind"] == record.kind == "tests.data.test_unpickle.Point"
    assert record.arguments == () and record.state["x"][1].tolist() == [0, 1]


class Runs:
    """A pickle that calls a function with arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(Runs(os.system, "touch owned"), id="os.system"),
        pytest.param(Runs(eval, "open('owned', 'w')"), id="eval"),
        pytest.param(Runs(getattr, os, "system"), id="getattr"),
        pytest.param(Runs(np.load, "x"), id="numpy.load"),
        pytest.param(Runs(np.zeros, (10,)), id="numpy.zeros"),
        pytest.param(collections.OrderedDict(a=1), id="OrderedDict"),
        pytest.param(np.array([object()], dtype=object), id="array of objects"),
        pytest.param(np.zeros(2, dtype=[("a", "f4")]), id="array of records"),
        pytest.param(np.array(["2020-01-01"], dtype="M8[D]"), id="array of dates"),
        pytest.param(Runs(bytearray, 10**12), id="bytearray"),
        pytest.param(print, id="a function"),
        pytest.param(np.ndarray, id="a class"),
        pytest.param(np.dtype("f4"), id="a dtype"),
    ],
)
def test_refuses_all_else(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for protocol in range(5):
        try:
            content = pickle.dumps(value, protocol)
        except Exception:
            continue
        with pytest.raises(PickleError):
            unpickle.loads(content)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        b"cos\nsystem\n(S'touch owned'\ntR.",
        b"(S'touch owned'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch owned'\no.",
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0btouch owned\x85R.",
        b"\x80\x04\x8c\x05numpy\x8c\x0dcore.os.system\x93\x8c\x0btouch owned\x85R.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000000\ntS'b'\ntR.",
        b"cnumpy\nndarray\n(I1000000000000\ntR.",
        b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR.",
        b"cnumpy\ndtype\n(S'S1000000000000'\nI0\nI1\ntR(I3\nS'|'\nNNNI5\nI1\nI0\ntb.",
        b"c_codecs\nencode\n(S'x'\nS'zip'\ntR.",
        b"Pid\n.",
        b"\x80\x04h\x05.",  # fetches what was not stored
        b"\x80\x04\x8c\x02\xff\xfe.",  # text that is no UTF-8
        b"\x80\x04\x95\xff\xff\xff\xff\x00\x00\x00\x00\x8c\x05ab",  # a frame that is cut off
        b"\x80\x04\x94.",  # stores nothing
        b"\x80\x04)R.",
        b"\x80\x04}N}b.",
        b"\x80\x02\x82\x01.",
        b"(" * 5000 + b"t" * 5000 + b".",
        b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR}S'code'\nS'x'\nsb.",
    ],
)
def test_refuses_hand_made_malice(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PickleError):
        unpickle.loads(content)
    assert os.listdir(tmp_path) == []


# What a pickle of malice might want to name. None of it is known to the machine, under any spelling.
NAMES = """
    os.system posix.system nt.system os.popen os.execv os.spawnl os.fork os.remove subprocess.Popen subprocess.call
    subprocess.check_output pty.spawn commands.getoutput builtins.eval builtins.exec builtins.getattr
    builtins.compile builtins.open builtins.__import__ builtins.globals builtins.type builtins.bytearray
    builtins.map builtins.print __builtin__.eval __builtin__.execfile __builtin__.getattr __builtin__.apply
    __builtin__.file __builtin__.bytearray operator.attrgetter operator.methodcaller operator.itemgetter
    functools.partial functools.reduce pydoc.locate pydoc.pipepager pkgutil.resolve_name importlib.import_module
    importlib._bootstrap._gcd_import imp.load_source runpy.run_path runpy._run_code timeit.timeit timeit.main
    cProfile.run profile.run bdb.Bdb.run pdb.run trace.Trace.run doctest.debug_script doctest.testfile
    code.InteractiveInterpreter codeop.compile_command pip.main pip._internal.main venv.create ensurepip.bootstrap
    imaplib.IMAP4_stream numpy.f2py.compile numpy.f2py.capi_maps numpy.testing._private.utils.runstring
    numpy.testing.measure numpy.load numpy.fromfile numpy.memmap numpy.zeros numpy.core.multiarray.fromstring
    numpy.core.multiarray.empty numpy.core._exceptions._ArrayMemoryError lib2to3.pgen2.grammar.Grammar.loads
    types.CodeType types.FunctionType marshal.loads ctypes.CDLL ctypes.pythonapi cloudpickle.loads
    cloudpickle.cloudpickle._make_function pickle.loads _pickle.loads pickle.Unpickler copyreg._reconstructor
    copyreg.__newobj__ copy.deepcopy io.FileIO _io.FileIO io.open logging.FileHandler logging.handlers.SocketHandler
    logging.config.listen socket.socket socket.create_connection urllib.request.urlopen http.client.HTTPSConnection
    smtplib.SMTP webbrowser.open ssl.get_server_certificate asyncio.create_subprocess_shell multiprocessing.Process
    threading.Thread signal.raise_signal sys.exit site.main shutil.rmtree tempfile.NamedTemporaryFile pathlib.Path
    glob.glob zipimport.zipimporter codecs.open _codecs.decode _codecs.lookup collections.OrderedDict
    collections.defaultdict theano.shared theano.compile.sharedvalue.SharedVariable arignote.nnets.nets.NNClassifier
    arignote.data.files.read_pickle arignote.nnets.layers.LAYERS tests.resume.run.run
"""
SPELLINGS = {
    "GLOBAL": lambda module, name: b"c%s\n%s\n(S'x'\ntR." % (module, name),
    "INST": lambda module, name: b"(S'x'\ni%s\n%s\n." % (module, name),
    "OBJ": lambda module, name: b"(c%s\n%s\nS'x'\no." % (module, name),
    "STACK_GLOBAL": lambda module, name: (
        b"\x80\x04\x8c" + bytes([len(module)]) + module + b"\x8c" + bytes([len(name)]) + name + b"\x93)R."
    ),
    "dots": lambda module, name: (
        b"\x80\x04\x8c\x05numpy\x8c" + bytes([len(module) + len(name) + 1]) + module + b"." + name + b"\x93)R."
    ),
    "NEWOBJ": lambda module, name: b"\x80\x02c%s\n%s\n)\x81." % (module, name),
    "mere name": lambda module, name: b"c%s\n%s\n." % (module, name),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("full_name", NAMES.split())
def test_no_name_of_malice_is_known(full_name, spelling):
    before = set(sys.modules)
    module, _, name = full_name.rpartition(".")
    with pytest.raises(PickleError):
        unpickle.loads(SPELLINGS[spelling](module.encode(), name.encode()))
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    "inner",
    [b"cos\nsystem\n(S'x'\ntR.", pickle.dumps(np.array([print], dtype=object), 2)],
    ids=["a pickle in bytes", "an array of objects"],
)
def test_nested_pickles_stay_bytes_and_arrays_of_objects_are_refused(inner):
    assert unpickle.loads(pickle.dumps(inner))[0] == inner
    with pytest.raises(PickleError):
        unpickle.loads(inner)


def test_growth_is_bounded():
    bombs = [
        b"]" + b"2" * 100_000 + b"(" + b".",  # DUP, which we do not know
        b"(" * 1_000_000,
        b"\x8e" + (2**62).to_bytes(8, "little"),  # bytes that are not there
        b"\x8b\xff\xff\xff\x7f",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I4611686018427387904\nt"
        b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntRI00\nS''\ntb.",
        b"I" + b"9" * 1_000_000 + b"\n.",
    ]
    tracemalloc.start()
    for bomb in bombs:
        with pytest.raises(PickleError):
            unpickle.loads(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 2**20


def test_numbering_an_object_takes_no_memory():
    assert unpickle.loads(b"\x80\x02N\x72\xff\xff\xff\x7f.")[0] is None  # number 2**31


def doubled(n):
    value = [[]]
    for _ in range(n):
        value = [value, value]
    return value


def test_what_is_used_again_is_made_once():
    found = unpickle.loads(pickle.dumps(doubled(18)))[0]  # 2**18 lists, if each were made anew
    assert found[0] is found[1] and found[0][0] is found[1][1]


def test_keys_that_would_take_forever_to_hash_are_refused():
    value = ()
    for _ in range(60):
        value = (value, value)
    content = pickle.dumps(value, 4)
    with pytest.raises(PickleError, match="got a tuple as a key"):
        unpickle.loads(content[:2] + b"}" + content[11:-1] + b"Ns.")


def test_python_2_text_with_escapes_comes_back():
    assert unpickle.loads(b"S'a\\x00\\xff\\'b'\np0\n.")[0] == "a\x00\xff'b"


def test_an_array_whose_shape_does_not_fit_its_data_is_refused():
    content = pickle.dumps(np.zeros(4, "f4"), 2).replace(b"K\x04\x85", b"K\x05\x85")
    with pytest.raises(PickleError, match="got 16 bytes of data for an array of shape"):
        unpickle.loads(content)


def test_mutations_give_an_error_or_data():
    original = pickle.dumps({"a": np.arange(20.0), "b": [1, "two", (3.0, None)]}, 4)
    rng = random.Random(0)
    n_read = 0
    for _ in range(3000):
        content = bytearray(original)
        for _ in range(rng.randrange(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        with contextlib.suppress(PickleError):
            unpickle.loads(bytes(content))
            n_read += 1
    assert 500 < n_read < 2500  # most of the bytes are those of the array, where any number will do
