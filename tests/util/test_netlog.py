import subprocess
import sys

SAY = """
import logging
from arignote.util import netlog
{}
netlog.ensure_visible()
logging.getLogger("arignote.x").info("seen")
"""


def said(setup):
    return subprocess.run([sys.executable, "-c", SAY.format(setup)], capture_output=True, text=True).stderr


def test_a_plain_script_sees_what_goes_on():
    assert said("pass").endswith(" seen\n")


def test_a_program_that_set_up_logging_decides_for_itself():
    assert said("logging.basicConfig(level='WARNING')") == ""
    assert said("logging.basicConfig(level='INFO', format='mine %(message)s')") == "mine seen\n"
    assert said("logging.getLogger('arignote').setLevel('ERROR')") == ""


def test_twice_is_once():
    assert said("netlog.ensure_visible()").count("seen") == 1
