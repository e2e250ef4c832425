"""The lint of the tests finds each kind of check that cannot fail, and nothing else."""

import subprocess
import sys
from textwrap import dedent

import pytest

from tests import lint
from tests.helpers import ROOT

HELPERS = """
    def equal(a, b):
        return a == b

    def alike(a, b):
        if a is None:
            return False
        return equal(a, b)

    def assert_equal(a, b):
        assert a == b

    def assert_nothing(a):
        print(a)

    def ended(command):
        assert_equal(command.wait(), 0)
        return command.output == ""
"""
IMPORT = "from tests.helpers import alike, assert_equal, assert_nothing, ended, equal\n"
BAD = {
    "no assertion": ("def test(): f()", "test asserts nothing"),
    "a helper that asserts nothing": ("def test(): assert_nothing(1)", "test asserts nothing"),
    "an error in a function of the test": ("def test():\n def f(): raise KeyError\n f()", "test asserts nothing"),
    "an answer that is dropped": ("def test():\n assert_equal(1, 1)\n equal(a, b)", "nothing is done with equal(a, b)"),
    "an answer of an answer": ("def test():\n assert x\n alike(a, b)", "nothing is done with alike(a, b)"),
    "an answer of numpy": (
        "def test():\n assert x\n np.array_equal(a, b)",
        "nothing is done with np.array_equal(a, b)",
    ),
    "a comparison that is dropped": ("def test():\n assert x\n a == b", "nothing is done with a == b"),
    "a negation that is dropped": ("def test():\n assert x\n not a", "nothing is done with not a"),
    "a message that compares": ("def test(): assert a, b == c", "the comparison b == c is a message"),
    "a tuple": ("def test(): assert (a == b, 'message')", "(a == b, 'message') is always true"),
    "a constant": ("def test(): assert 'text'", "'text' is always true"),
    "an alternative": ("def test(): assert a == b or True", "a == b or True is always true"),
    "a generator": ("def test(): assert (a for a in b)", "(a for a in b) is always true"),
    "the same twice": ("def test(): assert x.a == x.a", "x.a == x.a is always true"),
    "all of nothing": ("def test(): assert all([])", "all([]) is always true"),
    "all that is found": ("def test(): assert all(a > 1 for a in re.findall(b, c))", "is true if nothing is found"),
    "all that is left": (
        "def test():\n d = [a for a in b if a.c]\n assert all(d)",
        "all(d) is true if nothing is found",
    ),
}
GOOD = {
    "an assertion": "def test(): assert a == b",
    "a helper that asserts": "def test(): assert_equal(1, 1)",
    "a helper that asserts and answers": "def test(): ended(command)",
    "numpy": "def test(): np.testing.assert_array_equal(a, b)",
    "an error that is expected": "def test():\n with pytest.raises(KeyError): f()",
    "a function of the test that asserts": "def test():\n def check(x): assert x\n f(check)",
    "an answer that is asserted": "def test(): assert equal(a, b)",
    "two calls, which may differ": "def test(): assert f(1) == f(1)",
    "a message": "def test(): assert a, f'{a} is wrong'",
    "all of what must be there": "def test():\n found = re.findall(a, b)\n assert len(found) == 3\n assert all(found)",
    "all, and that there is something": "def test():\n d = [a for a in b if a]\n assert d and all(a > 1 for a in d)",
    "all of something that was given": "def test(): assert all(a > 1 for a in b)",
    "no test": "def helper(): f()",
}


def problems_of(code, folder):
    """Return what is wrong with a test module, beside a module of helpers."""
    tests = folder / "tests"
    tests.mkdir()
    (tests / "helpers.py").write_text(dedent(HELPERS))
    (tests / "test_it.py").write_text(IMPORT + code + "\n")
    return list(lint.Tests(tests).problems())


@pytest.mark.parametrize("case", BAD)
def test_checks_that_cannot_fail_are_found(case, tmp_path):
    code, message = BAD[case]
    (problem,) = problems_of(code, tmp_path)
    where, _, what = problem.partition(": ")
    assert what.endswith(message)
    name, line = where.rsplit(":", 1)
    assert name.endswith("tests/test_it.py") and 2 <= int(line) <= 4


@pytest.mark.parametrize("case", GOOD)
def test_checks_that_can_fail_are_left_alone(case, tmp_path):
    assert problems_of(GOOD[case], tmp_path) == []


def test_the_command_says_what_it_found_by_its_exit_code(tmp_path):
    (tmp_path / "test_it.py").write_text("def test(): assert a, b == c\n")
    command = [sys.executable, "-m", "tests.lint"]
    for arguments, code, said in (
        ([], 0, "Every check can fail."),
        ([str(tmp_path)], 1, "test_it.py:1: the comparison"),
    ):
        done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == code and said in done.stdout, done.stdout + done.stderr
