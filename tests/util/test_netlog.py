import subprocess
import sys

PROGRAM = """
import logging
from arignote.util import netlog
{}
netlog.ensure_visible()
logging.getLogger("arignote.x").info("seen")
"""


def stderr_of(setup):
    return subprocess.run([sys.executable, "-c", PROGRAM.format(setup)], capture_output=True, text=True).stderr


def test_a_script_without_logging_configuration_shows_messages():
    assert stderr_of("pass").endswith(" seen\n")


def test_a_logging_configuration_of_the_program_takes_precedence():
    assert stderr_of("logging.basicConfig(level='WARNING')") == ""
    assert stderr_of("logging.basicConfig(level='INFO', format='mine %(message)s')") == "mine seen\n"
    assert stderr_of("logging.getLogger('arignote').setLevel('ERROR')") == ""


def test_messages_are_not_duplicated():
    assert stderr_of("netlog.ensure_visible()").count("seen") == 1
