"""One supervised process."""

from __future__ import annotations

import os
import signal
import uuid

import pytest

from infra.launcher.process import Process
from tests.infra.standins import HAS_A_CHILD, SLEEPS, Heard, marked, role
from tests.support.waiting import eventually


@pytest.fixture(name="heard")
def _heard():
    return Heard()


def started(heard, code, **facts):
    """A process that runs *code* and has said ``up``."""
    process = Process(role("one", code, **facts), heard.say)
    process.start()
    eventually(lambda: heard.said("one", "up"))
    return process


def test_lines_carry_name(heard):
    """Each line of stdout and stderr is passed on once, with the process's name."""
    code = "import sys; print('a'); print('b', file=sys.stderr); print(); print('up')"
    process = started(heard, code)
    eventually(lambda: not process.is_alive)
    process.sweep()
    assert sorted(heard.lines) == [("one", "a"), ("one", "b"), ("one", "up")]
    assert process.last_line == "up"


def test_broken_bytes_pass(heard):
    """Bytes that are no UTF-8 become replacement characters, and the lines go on."""
    code = r"import os; os.write(1, b'\xff\xfe\nup\n')"
    process = started(heard, code)
    process.sweep()
    assert heard.lines == [("one", "\ufffd\ufffd"), ("one", "up")]


def test_own_process_group(heard):
    """It leads a group of its own, so that the terminal's Ctrl-C does not reach it."""
    process = started(heard, SLEEPS)
    assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
    process.sweep()


def test_sweep_kills_children(heard):
    """The children it leaves behind end with it."""
    mark = uuid.uuid4().hex
    process = started(heard, HAS_A_CHILD, env={**os.environ, "MARK": mark})
    eventually(lambda: len(marked(mark)) == 2)
    os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: not process.is_alive)
    process.sweep()
    eventually(lambda: not marked(mark))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print('up'); raise SystemExit(3)", "ended with exit code 3"),
        ("import os; print('up', flush=True); os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
    ],
)
def test_end_in_words(heard, code, words):
    """How it ended is told in words, signals by name."""
    process = started(heard, code)
    eventually(lambda: not process.is_alive)
    assert process.how_it_ended == words
    process.sweep()


def test_never_started(heard):
    """A process that was never started can be asked, stopped and swept all the same."""
    process = Process(role("one", SLEEPS), heard.say)
    process.ask_to_stop()
    process.sweep()
    assert (process.pid, process.is_alive) == (None, False)
    assert process.how_it_ended == "is not running"


def test_environment_is_whole(heard):
    """The process gets the role's environment and nothing of the launcher's."""
    code = "import os; print('up', sorted(k for k in os.environ if k != 'LC_CTYPE'))"
    process = started(heard, code, env={"ONLY": "this"})
    process.sweep()
    assert heard.lines == [("one", "up ['ONLY']")]
